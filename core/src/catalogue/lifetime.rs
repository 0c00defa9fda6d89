use std::fmt;
use std::time::Duration;

use serde::{Serialize, Serializer};

/// The longest life a cookie can have: browsers cap it at 400 days (RFC 6265bis, section 5.5).
pub const MAX_COOKIE_LIFE: Duration = Duration::from_secs(400 * DAY);

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// How long an entry lives. There is no "persistent": the duration has to be told (CJEU C-673/17, Planet49).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// Until the browser ends its session.
    Session,
    /// For exactly so long, in whole seconds.
    Exactly(Duration),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadLifetime {
    /// Nothing, or a word such as "persistent", which names no period.
    Missing,
    /// A month or a year has no exact length.
    Inexact,
    Unreadable,
}

impl Lifetime {
    /// Reads `session` or a number with a unit from seconds to weeks: `24 hours`, `180 days`.
    pub(crate) fn parse(text: &str) -> Result<Self, BadLifetime> {
        let text = text.trim().to_ascii_lowercase();
        match text.as_str() {
            "session" => return Ok(Self::Session),
            "" | "persistent" | "permanent" | "forever" | "unlimited" | "until deleted" => {
                return Err(BadLifetime::Missing);
            }
            _ => {}
        }
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let number: u64 = text[..digits].parse().map_err(|_| BadLifetime::Unreadable)?;
        let unit = match text[digits..].trim() {
            "s" | "second" | "seconds" => 1,
            "min" | "minute" | "minutes" => MINUTE,
            "h" | "hour" | "hours" => HOUR,
            "d" | "day" | "days" => DAY,
            "w" | "week" | "weeks" => 7 * DAY,
            "month" | "months" | "year" | "years" | "y" => return Err(BadLifetime::Inexact),
            _ => return Err(BadLifetime::Unreadable),
        };
        match number.checked_mul(unit) {
            None | Some(0) => Err(BadLifetime::Unreadable),
            Some(secs) => Ok(Self::Exactly(Duration::from_secs(secs))),
        }
    }

    /// The exact duration; none for a session.
    #[must_use]
    pub fn exactly(self) -> Option<Duration> {
        match self {
            Self::Session => None,
            Self::Exactly(d) => Some(d),
        }
    }

    /// Number and unit, in the largest unit that is whole: what a page translates.
    #[must_use]
    pub fn in_largest_unit(self) -> Option<(u64, TimeUnit)> {
        let secs = self.exactly()?.as_secs();
        let units = [(DAY, TimeUnit::Days), (HOUR, TimeUnit::Hours), (MINUTE, TimeUnit::Minutes)];
        let (size, unit) =
            units.into_iter().find(|(size, _)| secs.is_multiple_of(*size)).unwrap_or((1, TimeUnit::Seconds));
        Some((secs / size, unit))
    }
}

/// The unit of [`Lifetime::in_largest_unit`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeUnit {
    /// 1 s
    Seconds,
    /// 60 s
    Minutes,
    /// 3,600 s
    Hours,
    /// 86,400 s
    Days,
}

/// As it is written in a catalogue, in English.
impl fmt::Display for Lifetime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((n, unit)) = self.in_largest_unit() else { return f.write_str("session") };
        let unit = match unit {
            TimeUnit::Seconds => "second",
            TimeUnit::Minutes => "minute",
            TimeUnit::Hours => "hour",
            TimeUnit::Days => "day",
        };
        write!(f, "{n} {unit}{}", if n == 1 { "" } else { "s" })
    }
}

impl Serialize for Lifetime {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_or_refused() {
        let days = |n| Lifetime::Exactly(Duration::from_secs(n * DAY));
        assert_eq!(Lifetime::parse("Session"), Ok(Lifetime::Session));
        assert_eq!(Lifetime::parse("180 days"), Ok(days(180)));
        assert_eq!(Lifetime::parse("2w"), Ok(days(14)));
        assert_eq!(Lifetime::parse("Persistent"), Err(BadLifetime::Missing));
        assert_eq!(Lifetime::parse(""), Err(BadLifetime::Missing));
        assert_eq!(Lifetime::parse("13 months"), Err(BadLifetime::Inexact));
        for bad in [
            "0 days",
            "-1 days",
            "days",
            "5",
            "5 fortnights",
            "99999999999999999999 days",
            "18446744073709551615 days",
        ] {
            assert_eq!(Lifetime::parse(bad), Err(BadLifetime::Unreadable), "{bad}");
        }
    }

    #[test]
    fn shown_in_the_largest_whole_unit() {
        for text in ["session", "1 day", "180 days", "1 hour", "36 hours", "90 seconds", "5 minutes"] {
            assert_eq!(Lifetime::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Lifetime::parse("24 hours").unwrap().to_string(), "1 day");
    }
}
