//! Charts as SVG within the page: no script, no style of their own, and a table of the same numbers behind each.

use std::fmt::Write as _;

const WIDTH: u64 = 800;
/// Of a column of the full height.
const HEIGHT: u64 = 160;
const LINE: u64 = 26;
/// Where the bars of lines begin, and how long the longest is.
const LABELS: u64 = 260;
const BAR: u64 = 440;
/// So many lines are drawn; the table has them all.
const MOST_LINES: usize = 20;

/// A day of a chart, or several.
pub(super) struct Column {
    pub(super) label: String,
    /// How wide it is.
    pub(super) days: u64,
    pub(super) value: u64,
    /// What its row of the table has.
    pub(super) cells: Vec<String>,
}

/// A line of a chart.
pub(super) struct Line {
    pub(super) label: String,
    pub(super) value: u64,
    pub(super) text: String,
}

/// A rectangle.
pub(super) struct Bar {
    pub(super) x: String,
    pub(super) y: u64,
    pub(super) width: String,
    pub(super) height: u64,
    pub(super) tip: String,
}

/// Something written.
pub(super) struct Mark {
    pub(super) x: u64,
    pub(super) y: u64,
    pub(super) end: bool,
    pub(super) text: String,
}

pub(super) struct Chart {
    pub(super) id: String,
    pub(super) title: String,
    /// What it shows, in a sentence.
    pub(super) said: String,
    pub(super) width: u64,
    pub(super) height: u64,
    /// Where the columns stand.
    pub(super) axis: Option<u64>,
    /// The highest value.
    top: u64,
    pub(super) bars: Vec<Bar>,
    pub(super) marks: Vec<Mark>,
    pub(super) head: Vec<&'static str>,
    pub(super) rows: Vec<(String, Vec<String>)>,
}

impl Chart {
    fn new(id: String, title: String, said: String, top: u64, height: u64) -> Self {
        Self {
            id,
            title,
            said,
            width: WIDTH,
            height,
            axis: None,
            top,
            bars: Vec::new(),
            marks: Vec::new(),
            head: Vec::new(),
            rows: Vec::new(),
        }
    }

    /// A column per day or span of days, up to a value.
    pub(super) fn columns(id: String, title: String, said: String, top: u64, top_text: String) -> Self {
        let mut chart = Self::new(id, title, said, top, HEIGHT + 44);
        chart.marks.push(Mark { x: 0, y: 14, end: false, text: top_text });
        chart
    }

    /// The head of the table.
    pub(super) fn table(mut self, head: Vec<&'static str>) -> Self {
        self.head = head;
        self
    }

    pub(super) fn filled(mut self, columns: Vec<Column>) -> Self {
        let count = columns.iter().map(|c| c.days).sum::<u64>().max(1);
        let bottom = 20 + HEIGHT;
        self.axis = Some(bottom);
        for (mark, end) in [(columns.first(), false), (columns.last(), true)] {
            if let Some(column) = mark {
                let text = column.label.clone();
                self.marks.push(Mark { x: if end { WIDTH } else { 0 }, y: bottom + 18, end, text });
            }
        }
        let mut n = 0;
        for column in columns {
            let height = (column.value * HEIGHT).checked_div(self.top).unwrap_or_default().min(HEIGHT);
            if column.value > 0 {
                self.bars.push(Bar {
                    x: tenths(n * WIDTH * 10 / count),
                    y: bottom - height.max(1),
                    width: tenths(
                        (column.days * WIDTH * 10 / count).saturating_sub(WIDTH * 2 / count).max(5),
                    ),
                    height: height.max(1),
                    tip: format!("{}: {}", column.label, column.cells.last().map_or("", String::as_str)),
                });
            }
            n += column.days;
            self.rows.push((column.label, column.cells));
        }
        self
    }

    /// A line per group, the first one the longest.
    pub(super) fn lines(id: String, title: String, said: String, lines: Vec<Line>) -> Self {
        let top = lines.iter().map(|l| l.value).max().unwrap_or_default();
        let drawn = u64::try_from(lines.len().min(MOST_LINES)).unwrap_or_default();
        let mut chart = Self::new(id, title, said, top, (drawn * LINE).max(LINE));
        for (n, line) in (0..drawn).zip(&lines) {
            let (y, width) = (n * LINE, (line.value * BAR).checked_div(top).unwrap_or_default().max(1));
            let tip = format!("{}: {}", line.label, line.text);
            chart.bars.push(Bar {
                x: LABELS.to_string(),
                y: y + 3,
                width: width.to_string(),
                height: LINE - 6,
                tip,
            });
            chart.marks.push(Mark { x: LABELS - 10, y: y + 18, end: true, text: line.label.clone() });
            chart.marks.push(Mark { x: LABELS + width + 8, y: y + 18, end: false, text: line.text.clone() });
        }
        chart.rows = lines.into_iter().map(|l| (l.label, vec![l.text])).collect();
        chart
    }
}

/// A number of tenths with its point.
fn tenths(n: u64) -> String {
    let mut text = (n / 10).to_string();
    let _ = write!(text, ".{}", n % 10);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stay_within_the_picture() {
        for (days, top) in [(0_u64, 0), (1, 1), (30, 7), (400, 1_000_000)] {
            let column = |n: u64| Column {
                label: n.to_string(),
                days: 1 + n % 3,
                value: n % (top + 1),
                cells: vec![n.to_string()],
            };
            let chart = Chart::columns("c".to_owned(), String::new(), String::new(), top, String::new());
            let chart = chart.filled((0..days).map(column).collect());
            assert_eq!(chart.rows.len() as u64, days);
            for bar in &chart.bars {
                let (x, width): (f64, f64) = (bar.x.parse().unwrap(), bar.width.parse().unwrap());
                assert!(
                    x + width <= 800.5 && bar.y >= 20 && bar.y + bar.height <= 180,
                    "{days}: {x} {width}"
                );
            }
        }
    }
}
