//! Time, injected: [`Timestamp`], [`Clock`], [`SystemClock`] and the public [`FakeClock`].

use std::fmt;
use std::ops::{Add, Sub};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

const DAY_MS: i64 = 86_400_000;

/// An instant in UTC, in milliseconds since 1970. What stores keep: an integer, without zone or calendar.
///
/// ```
/// use privet::Timestamp;
///
/// let t = Timestamp::from_millis(1_700_000_000_000);
/// assert_eq!(t.to_string(), "2023-11-14T22:13:20Z");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The instant so many milliseconds after 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn from_millis(ms: i64) -> Self {
        Self(ms)
    }

    /// Milliseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// The UTC day this instant lies in.
    #[must_use]
    pub const fn day(self) -> Day {
        Day(self.0.div_euclid(DAY_MS))
    }

    /// The UTC month this instant lies in, counted from January 1970.
    #[must_use]
    pub(crate) fn month(self) -> i64 {
        let at = OffsetDateTime::from_unix_timestamp(self.0.div_euclid(1000));
        at.map_or(0, |at| (i64::from(at.year()) - 1970) * 12 + i64::from(u8::from(at.month())) - 1)
    }

    /// The start of the bucket of this length that the instant lies in; a bucket of zero changes nothing.
    #[must_use]
    pub fn floor_to(self, bucket: Duration) -> Self {
        match millis(bucket) {
            0 => self,
            ms => Self(self.0.div_euclid(ms) * ms),
        }
    }

    /// Time from `earlier` to this instant; zero when `earlier` lies after it.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

fn millis(d: Duration) -> i64 {
    i64::try_from(d.as_millis()).unwrap_or(i64::MAX)
}

impl Add<Duration> for Timestamp {
    type Output = Self;
    fn add(self, d: Duration) -> Self {
        Self(self.0.saturating_add(millis(d)))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;
    fn sub(self, d: Duration) -> Self {
        Self(self.0.saturating_sub(millis(d)))
    }
}

impl From<OffsetDateTime> for Timestamp {
    fn from(t: OffsetDateTime) -> Self {
        Self(i64::try_from(t.unix_timestamp_nanos() / 1_000_000).unwrap_or(0))
    }
}

impl From<Timestamp> for OffsetDateTime {
    fn from(t: Timestamp) -> Self {
        Self::from_unix_timestamp_nanos(i128::from(t.0) * 1_000_000).unwrap_or(Self::UNIX_EPOCH)
    }
}

/// RFC 3339, in UTC; what is before the year 0, which it has no form for, as its first instant, and what is no date at all
/// as 1970.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Rfc3339::of(*self).as_str())
    }
}

/// An instant as text. An export writes two of them per row, so the digits are written by hand: the general formatter takes
/// as long as the rest of the row.
struct Rfc3339 {
    text: [u8; 24],
    len: usize,
}

impl Rfc3339 {
    fn of(at: Timestamp) -> Self {
        let seconds = OffsetDateTime::from_unix_timestamp(at.0.div_euclid(1000));
        let (date, time, ms) = match seconds {
            Ok(seconds) if seconds.year() >= 0 => (seconds.date(), seconds.time(), at.0.rem_euclid(1000)),
            Ok(_) => (FIRST_DATE, time::Time::MIDNIGHT, 0),
            Err(_) => (OffsetDateTime::UNIX_EPOCH.date(), time::Time::MIDNIGHT, 0),
        };
        let mut text = *b"0000-00-00T00:00:00.000Z";
        let mut put = |place: usize, digits: usize, value: u32| {
            let mut rest = value;
            for slot in text[place..place + digits].iter_mut().rev() {
                *slot = b'0' + u8::try_from(rest % 10).unwrap_or(0);
                rest /= 10;
            }
        };
        put(0, 4, date.year().unsigned_abs());
        put(5, 2, u8::from(date.month()).into());
        put(8, 2, date.day().into());
        put(11, 2, time.hour().into());
        put(14, 2, time.minute().into());
        put(17, 2, time.second().into());
        put(20, 3, u32::try_from(ms).unwrap_or(0));
        // A fraction without what it does not need, and without its point if there is none.
        let mut end = 23;
        while text[end - 1] == b'0' && end > 20 {
            end -= 1;
        }
        if end == 20 {
            end = 19;
        }
        text[end] = b'Z';
        Self { text, len: end + 1 }
    }

    fn as_str(&self) -> &str {
        // Digits and signs, as they were put there.
        std::str::from_utf8(&self.text[..self.len]).unwrap_or_default()
    }
}

/// As RFC 3339 text, for `serialize_with`.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
pub(crate) fn as_rfc3339<S: serde::Serializer>(at: &Timestamp, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_str(Rfc3339::of(*at).as_str())
}

const FIRST_DATE: time::Date = match time::Date::from_ordinal_date(0, 1) {
    Ok(date) => date,
    Err(_) => time::Date::MIN,
};

/// A UTC day, counted from 1970-01-01. A decision on the device is dated to the day, so that it cannot tell
/// one visitor from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Day(i64);

impl Day {
    /// Days since 1970-01-01.
    #[must_use]
    pub const fn number(self) -> i64 {
        self.0
    }

    /// The day so many days after 1970-01-01.
    #[must_use]
    pub const fn from_number(n: i64) -> Self {
        Self(n)
    }

    /// The first instant of the day.
    #[must_use]
    pub const fn start(self) -> Timestamp {
        Timestamp(self.0 * DAY_MS)
    }
}

/// Where privet gets the time. Tests put a [`FakeClock`] here.
pub trait Clock: fmt::Debug + Send + Sync {
    /// Now, in UTC.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis))
    }
}

/// A clock that stands still until it is moved; clones move together.
///
/// ```
/// use std::time::Duration;
/// use privet::{Clock, FakeClock, Timestamp};
///
/// let clock = FakeClock::at(Timestamp::from_millis(0));
/// clock.advance(Duration::from_secs(2));
/// assert_eq!(clock.now().as_millis(), 2_000);
/// ```
#[derive(Clone, Debug)]
pub struct FakeClock(Arc<AtomicI64>);

impl FakeClock {
    /// A clock that shows `t`.
    #[must_use]
    pub fn at(t: Timestamp) -> Self {
        Self(Arc::new(AtomicI64::new(t.0)))
    }

    /// Moves forward.
    pub fn advance(&self, d: Duration) {
        self.0.fetch_add(millis(d), Ordering::SeqCst);
    }

    /// Jumps, backwards if asked.
    pub fn set(&self, t: Timestamp) {
        self.0.store(t.0, Ordering::SeqCst);
    }
}

impl Clock for FakeClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_buckets_floor_before_1970_too() {
        assert_eq!(Timestamp(-1).day().number(), -1);
        assert_eq!(Timestamp(DAY_MS).day().start(), Timestamp(DAY_MS));
        assert_eq!(Timestamp(61_999).floor_to(Duration::from_secs(60)), Timestamp(60_000));
        assert_eq!(Timestamp(-1).floor_to(Duration::from_secs(1)), Timestamp(-1000));
        assert_eq!(Timestamp(7).floor_to(Duration::ZERO), Timestamp(7));
    }

    #[test]
    fn written_as_the_calendar_library_writes_it() {
        let written = |ms: i64| {
            let at = OffsetDateTime::from(Timestamp(ms));
            at.format(&time::format_description::well_known::Rfc3339).unwrap()
        };
        let odd = [
            0,
            1,
            10,
            100,
            120,
            999,
            -1,
            951_782_399_999,
            951_782_400_000,
            253_402_300_799_999,
            -62_167_219_200_000,
        ];
        for ms in odd.into_iter().chain((0..20_000).map(|n: i64| n * 9_876_543_211 - 60_000_000_000_000)) {
            assert_eq!(Timestamp(ms).to_string(), written(ms), "{ms}");
        }
        assert_eq!(Timestamp(-70_000_000_000_000).to_string(), "0000-01-01T00:00:00Z");
        assert_eq!(Timestamp(i64::MIN).to_string(), "1970-01-01T00:00:00Z", "no date at all");
    }

    #[test]
    fn months_are_those_of_the_calendar() {
        for (day, month) in [(0, 0), (30, 0), (31, 1), (364, 11), (365, 12), (-1, -1), (20_514, 674)] {
            assert_eq!(Day::from_number(day).start().month(), month, "day {day}");
        }
    }

    #[test]
    fn since_does_not_go_below_zero() {
        assert_eq!(Timestamp(1).since(Timestamp(5)), Duration::ZERO);
        assert_eq!(Timestamp(i64::MAX) + Duration::MAX, Timestamp(i64::MAX));
    }
}
