//! What is shown as a reader of a language expects it, and so that it does nothing.

use std::fmt::Write as _;
use std::time::Duration;

use privet::{Day, Timestamp};
use time::macros::format_description;
use time::{Date, OffsetDateTime};

use super::words::PortalWords;

/// What somebody else wrote, without what is not seen and still does something: control characters, and those that
/// turn the direction of what follows, also of what follows outside of the text (Unicode TR 36, section 2.5).
pub(super) fn inert(text: &str) -> String {
    let harmful = |c: char| {
        (c.is_control() && c != '\n')
            || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
    };
    text.replace("\r\n", "\n").chars().map(|c| if harmful(c) { '\u{fffd}' } else { c }).collect()
}

/// How long, for a program.
pub(super) fn milliseconds(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}

/// How long, in whole seconds, for people.
pub(super) fn seconds(words: &PortalWords, length: Duration) -> String {
    number(words, milliseconds(length).div_ceil(1_000))
}

/// A whole number with the separator of the language.
pub(super) fn number(words: &PortalWords, n: u64) -> String {
    let digits = n.to_string();
    if n < words.grouped_from {
        return digits;
    }
    let mut out = String::with_capacity(digits.len() * 2);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push_str(words.thousands);
        }
        out.push(digit);
    }
    out
}

/// A share in percent, with one decimal; none of nothing.
pub(super) fn percent(words: &PortalWords, part: u64, whole: u64) -> Option<String> {
    let tenths = (part * 1000 + whole / 2).checked_div(whole)?;
    Some(format!("{}{}{}{}", tenths / 10, words.decimal, tenths % 10, words.percent))
}

/// An instant: as programs read it, and as people do.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    pub(super) machine: String,
    pub(super) text: String,
}

fn date_of(words: &PortalWords, at: OffsetDateTime) -> String {
    let (year, month, day) = (at.year(), u8::from(at.month()), at.day());
    let name = words.months.get(usize::from(month) - 1).copied().unwrap_or("");
    if words.months_follow { format!("{day} {name} {year}") } else { format!("{day:02}.{month:02}.{year}") }
}

/// An instant, to the minute, UTC.
pub(super) fn time(words: &PortalWords, at: Timestamp) -> Shown {
    let utc = OffsetDateTime::from(at);
    let mut text = date_of(words, utc);
    let _ = write!(text, ", {:02}:{:02} UTC", utc.hour(), utc.minute());
    Shown { machine: at.to_string(), text }
}

/// A day.
pub(super) fn day(words: &PortalWords, day: Day) -> Shown {
    let utc = OffsetDateTime::from(day.start());
    let machine = iso(day);
    Shown { machine, text: date_of(words, utc) }
}

/// A day as forms and programs write it: `2026-11-27`.
pub(super) fn iso(day: Day) -> String {
    OffsetDateTime::from(day.start())
        .date()
        .format(format_description!("[year]-[month]-[day]"))
        .unwrap_or_default()
}

/// The day that a form names.
pub(super) fn read_day(text: &str) -> Option<Day> {
    if text.len() != 10 || !text.is_ascii() {
        return None;
    }
    let date = Date::parse(text, format_description!("[year]-[month]-[day]")).ok()?;
    Some(Timestamp::from(date.midnight().assume_utc()).day())
}

#[cfg(test)]
mod tests {
    use super::super::words;
    use super::*;

    #[test]
    fn what_does_something_unseen_is_shown() {
        assert_eq!(inert("a\u{0}b\u{1b}[2J\tc\u{85}d"), "a\u{fffd}b\u{fffd}[2J\u{fffd}c\u{fffd}d");
        assert_eq!(inert("x\u{202e}gpj.exe\u{2066}\u{2069}"), "x\u{fffd}gpj.exe\u{fffd}\u{fffd}");
        assert_eq!(inert("two\r\nlines\nעברית 👩‍🌾"), "two\nlines\nעברית 👩‍🌾");
    }

    #[test]
    fn numbers_are_those_of_the_language() {
        for (lang, thousand, more, share) in [
            ("en", "1,000", "10,000", "33.3%"),
            ("de", "1.000", "10.000", "33,3\u{a0}%"),
            ("fr", "1\u{202f}000", "10\u{202f}000", "33,3\u{202f}%"),
            ("nl", "1.000", "10.000", "33,3%"),
            ("es", "1000", "10.000", "33,3\u{a0}%"),
            ("it", "1000", "10.000", "33,3%"),
        ] {
            let words = words::named(lang).unwrap();
            assert_eq!(number(words, 1_000), thousand);
            assert_eq!(number(words, 10_000), more);
            assert_eq!(number(words, 999), "999");
            assert_eq!(percent(words, 1, 3).unwrap(), share);
            assert_eq!(percent(words, 0, 0), None);
        }
        assert_eq!(number(words::named("en").unwrap(), 1_234_567), "1,234,567");
    }

    #[test]
    fn days_are_read_and_written() {
        let day_of = |text| read_day(text);
        assert_eq!(iso(day_of("2026-11-27").unwrap()), "2026-11-27");
        assert_eq!(day_of("1970-01-02").unwrap().number(), 1);
        for bad in ["", "2026-02-30", "27.11.2026", "2026-1-1", "+2026-1-01", "2026-11-27T00", "二〇二六年"]
        {
            assert_eq!(day_of(bad), None, "{bad}");
        }
        let at = Timestamp::from_millis(1_800_000_000_000);
        for (lang, text) in [
            ("en", "15 Jan 2027, 08:00 UTC"),
            ("de", "15.01.2027, 08:00 UTC"),
            ("fr", "15 janv. 2027, 08:00 UTC"),
            ("nl", "15 jan 2027, 08:00 UTC"),
        ] {
            let shown = time(words::named(lang).unwrap(), at);
            assert_eq!((shown.text.as_str(), shown.machine.as_str()), (text, "2027-01-15T08:00:00Z"));
        }
    }
}
