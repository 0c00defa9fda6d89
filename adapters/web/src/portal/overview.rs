//! Figures of a site as charts, each with its table.

use std::fmt::Write as _;

use askama::Template;
use privet::Day;
use privet::portal::{ConsentRate, DEFAULT_SMALLEST_GROUP, Figures, SpanCount};
use serde::Serialize;

use super::ask::{Answer, Ask, Failure, Params};
use super::chart::{Chart, Column, Line};
use super::contacts::country;
use super::frame::{Frame, Nav};
use super::text::{self, number};
use super::words::PortalWords;

/// The span that is shown if nothing is asked for.
const OFFERED_DAYS: i64 = 30;

#[derive(Template)]
#[template(path = "portal/overview.html")]
struct OverviewPage {
    frame: Frame,
    here: String,
    from: String,
    to: String,
    charts: Vec<Chart>,
    behind: Option<String>,
}

#[derive(Serialize)]
struct Told {
    from: String,
    to: String,
    consent: Vec<ToldCategory>,
    countries: Vec<privet::portal::CountryShare>,
    other_countries: Option<u64>,
    contacts: Vec<ToldCount>,
    conversations: Vec<ToldCount>,
    behind_ms: Option<u64>,
}

#[derive(Serialize)]
struct ToldCategory {
    category: String,
    spans: Vec<ToldRate>,
}

#[derive(Serialize)]
struct ToldRate {
    from: String,
    to: String,
    granted: u64,
    refused: u64,
}

#[derive(Serialize)]
struct ToldCount {
    from: String,
    to: String,
    count: u64,
}

fn told(figures: Figures) -> Told {
    let count = |s: &SpanCount| ToldCount { from: text::iso(s.from), to: text::iso(s.to), count: s.count };
    let counts = |spans: &[SpanCount]| spans.iter().map(count).collect();
    let rate = |r: &ConsentRate| ToldRate {
        from: text::iso(r.from),
        to: text::iso(r.to),
        granted: r.granted,
        refused: r.refused,
    };
    Told {
        from: text::iso(figures.from),
        to: text::iso(figures.to),
        contacts: counts(&figures.contacts),
        conversations: counts(&figures.conversations),
        consent: figures
            .consent
            .iter()
            .map(|(id, spans)| ToldCategory { category: id.clone(), spans: spans.iter().map(rate).collect() })
            .collect(),
        countries: figures.countries,
        other_countries: figures.other_countries,
        behind_ms: figures.behind.map(text::milliseconds),
    }
}

/// A day, or several.
fn span(words: &PortalWords, from: Day, to: Day) -> String {
    let first = text::day(words, from).text;
    if from == to { first } else { format!("{first} – {}", text::day(words, to).text) }
}

fn length(from: Day, to: Day) -> u64 {
    u64::try_from(to.number() - from.number() + 1).unwrap_or(1)
}

/// What is said of spans: that there are too few to be shown, or else `said`, and that days were put together, if they were.
fn about_spans(words: &PortalWords, said: String, spans: &[(Day, Day)]) -> String {
    if spans.is_empty() {
        words.too_few.to_owned()
    } else if spans.iter().any(|(from, to)| from != to) {
        format!("{said}. {}", words.small_days)
    } else {
        said
    }
}

fn per_day(ask: &Ask<'_>, id: &'static str, title: &str, label: &'static str, spans: &[SpanCount]) -> Chart {
    let w = ask.words;
    let columns: Vec<_> = spans
        .iter()
        .map(|s| Column {
            label: span(w, s.from, s.to),
            days: length(s.from, s.to),
            // As high as its days are on average, and as wide as they are many.
            value: s.count.div_ceil(length(s.from, s.to)),
            cells: vec![number(w, s.count)],
        })
        .collect();
    let most = columns.iter().map(|c| c.value).max().unwrap_or_default();
    let total = spans.iter().map(|s| s.count).sum();
    let mut said = format!("{} {}", w.in_all, number(w, total));
    if spans.iter().all(|s| s.from == s.to) {
        let _ = write!(said, ", {} {}", w.at_most, number(w, most));
    }
    let said = about_spans(w, said, &spans.iter().map(|s| (s.from, s.to)).collect::<Vec<_>>());
    Chart::columns(id.to_owned(), title.to_owned(), said, most, number(w, most))
        .table(vec![w.day, label])
        .filled(columns)
}

fn rates(ask: &Ask<'_>, id: &str, title: String, days: &[ConsentRate]) -> Chart {
    let w = ask.words;
    let none = || "–".to_owned();
    let columns = days.iter().map(|d| {
        let asked = d.granted + d.refused;
        Column {
            label: span(w, d.from, d.to),
            days: length(d.from, d.to),
            value: (d.granted * 100).checked_div(asked).unwrap_or_default(),
            cells: vec![
                number(w, d.granted),
                number(w, d.refused),
                text::percent(w, d.granted, asked).unwrap_or_else(none),
            ],
        }
    });
    let granted: u64 = days.iter().map(|d| d.granted).sum();
    let refused: u64 = days.iter().map(|d| d.refused).sum();
    let whole = text::percent(w, granted, granted + refused).unwrap_or_else(none);
    let said = format!(
        "{} {whole}; {} {}, {} {}",
        w.in_all,
        w.granted,
        number(w, granted),
        w.refused,
        number(w, refused)
    );
    let said = about_spans(w, said, &days.iter().map(|d| (d.from, d.to)).collect::<Vec<_>>());
    Chart::columns(format!("rate-{id}"), title, said, 100, format!("100{}", w.percent))
        .table(vec![w.day, w.granted, w.refused, "%"])
        .filled(columns.collect())
}

fn by_country(ask: &Ask<'_>, figures: &Figures) -> Chart {
    let w = ask.words;
    let shares = figures.countries.iter().map(|c| (country(ask, c.country), c.contacts));
    let other = figures.other_countries.map(|n| (w.other_countries.to_owned(), n));
    let lines: Vec<_> =
        shares.chain(other).map(|(label, value)| Line { label, value, text: number(w, value) }).collect();
    Chart::lines("countries".to_owned(), w.by_country.to_owned(), w.small_groups.to_owned(), lines)
        .table(vec![w.country, w.contacts])
}

/// Consent, contacts and conversations of a span of days.
pub(super) async fn overview(ask: &Ask<'_>, params: &Params<'_>) -> Answer {
    let portal = ask.portal(params.site())?;
    let day = |name| ask.query(name).map(|t| text::read_day(t.trim()).ok_or(Failure::Told(400))).transpose();
    let to = day("to")?.unwrap_or(ask.visit.now().day());
    let from = day("from")?.unwrap_or(Day::from_number(to.number() - OFFERED_DAYS + 1));
    if from > to {
        return Err(Failure::Told(400));
    }
    let figures = portal.figures(from, to, DEFAULT_SMALLEST_GROUP).await?;
    if !ask.wants_html() {
        return Ok(ask.json(200, &told(figures)));
    }
    let w = ask.words;
    let catalogue = ask.privet().catalogue(portal.scope())?;
    let mut charts = Vec::new();
    for (id, days) in &figures.consent {
        let label =
            catalogue.category(id).map(|c| catalogue.category_label(c.code, &ask.language(catalogue)));
        let title = format!("{} {}", w.consent_rate, label.as_deref().unwrap_or(id));
        charts.push(rates(ask, id, title, days));
    }
    charts.push(by_country(ask, &figures));
    charts.push(per_day(ask, "contacts", w.new_contacts, w.contacts, &figures.contacts));
    charts.push(per_day(ask, "conversations", w.new_conversations, w.conversations, &figures.conversations));
    Ok(ask.html(&OverviewPage {
        frame: ask.frame(Some(&portal), Some(Nav::Overview)),
        here: ask.link(&format!("/{}/overview", portal.scope().site), &[]),
        from: text::iso(figures.from),
        to: text::iso(figures.to),
        charts,
        behind: figures.behind.map(|behind| text::seconds(w, behind)),
    }))
}
