//! Which contacts a list shows, and in which part of it one is.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::id::ContactId;
use super::model::{Contact, ContactSummary};
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::ip::CountryCode;
use crate::store::SubjectDigest;

/// A span of time: from an instant on, and before another one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct TimeSpan {
    /// From this instant on, if it has a beginning.
    pub from: Option<Timestamp>,
    /// Before this instant, if it has an end.
    pub before: Option<Timestamp>,
}

impl TimeSpan {
    /// Whether an instant is in it.
    #[must_use]
    pub fn holds(self, at: Timestamp) -> bool {
        self.from.is_none_or(|from| from <= at) && self.before.is_none_or(|before| at < before)
    }
}

/// The beginning of a contact's id, as somebody types it: hexadecimal digits, with or without dashes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct IdPrefix {
    lowest: [u8; 16],
    highest: [u8; 16],
    digits: u8,
}

impl IdPrefix {
    /// The lowest and the highest id that begin so.
    #[must_use]
    pub fn bounds(&self) -> (ContactId, ContactId) {
        (ContactId::from_bytes(self.lowest), ContactId::from_bytes(self.highest))
    }

    /// How many digits it has: 1 to 32. Every further one leaves a sixteenth of what fitted.
    #[must_use]
    pub fn digits(&self) -> u8 {
        self.digits
    }
}

impl fmt::Debug for IdPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IdPrefix({} digits)", self.digits)
    }
}

impl FromStr for IdPrefix {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bad = || {
            Error::invalid(
                "this is not the beginning of a contact's id",
                "type 1 to 32 of its digits 0 to 9 and a to f, with or without dashes",
            )
        };
        let (mut lowest, mut highest, mut digits) = ([0_u8; 16], [0xff_u8; 16], 0_u8);
        for c in text.trim().chars().filter(|c| *c != '-') {
            let digit = c.to_digit(16).and_then(|d| u8::try_from(d).ok()).ok_or_else(bad)?;
            let at = usize::from(digits / 2);
            let (Some(low), Some(high)) = (lowest.get_mut(at), highest.get_mut(at)) else {
                return Err(bad());
            };
            if digits % 2 == 0 {
                (*low, *high) = (digit << 4, (digit << 4) | 0x0f);
            } else {
                (*low, *high) = (*low | digit, (*high & 0xf0) | digit);
            }
            digits += 1;
        }
        if digits == 0 { Err(bad()) } else { Ok(Self { lowest, highest, digits }) }
    }
}

/// Which contacts to list: those that meet every condition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ContactFilter {
    /// Opened from this country.
    pub country: Option<CountryCode>,
    /// Opened then.
    pub created: TimeSpan,
    /// Last seen then.
    pub last_seen: TimeSpan,
    /// With a conversation that is not closed.
    pub open_conversation: bool,
    /// With an id that begins so.
    pub id: Option<IdPrefix>,
    /// Known to the app by this name; its keyed digest.
    pub identity: Option<SubjectDigest>,
}

impl ContactFilter {
    /// Opened from this country.
    #[must_use]
    pub fn country(mut self, country: CountryCode) -> Self {
        self.country = Some(country);
        self
    }

    /// Opened then.
    #[must_use]
    pub fn created(mut self, span: TimeSpan) -> Self {
        self.created = span;
        self
    }

    /// Last seen then.
    #[must_use]
    pub fn last_seen(mut self, span: TimeSpan) -> Self {
        self.last_seen = span;
        self
    }

    /// With a conversation that is not closed.
    #[must_use]
    pub fn with_open_conversation(mut self) -> Self {
        self.open_conversation = true;
        self
    }

    /// With an id that begins so.
    #[must_use]
    pub fn id(mut self, prefix: IdPrefix) -> Self {
        self.id = Some(prefix);
        self
    }

    /// Whether nothing is asked of a contact.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a contact meets the conditions; whether it has an open conversation, its store knows.
    #[must_use]
    pub fn fits(&self, contact: &Contact, has_open_conversation: bool) -> bool {
        let in_bounds = |p: &IdPrefix| {
            let (low, high) = p.bounds();
            low <= contact.id && contact.id <= high
        };
        self.country.is_none_or(|country| contact.country == Some(country))
            && self.created.holds(contact.created)
            && self.last_seen.holds(contact.last_seen)
            && (!self.open_conversation || has_open_conversation)
            && self.id.as_ref().is_none_or(in_bounds)
            && self
                .identity
                .is_none_or(|digest| contact.identity.as_ref().is_some_and(|i| i.digest == digest))
    }

    /// Whether somebody is looked for, such as for a request about their rights: that nobody is found has to be true now, so
    /// a copy of the database does not do.
    #[must_use]
    pub fn looks_for_somebody(&self) -> bool {
        self.id.is_some() || self.identity.is_some()
    }

    /// What a cursor is bound to beside its place: bytes that differ for filters that differ.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(96);
        bytes.extend(self.country.map_or(*b"--", CountryCode::to_bytes));
        for at in [self.created.from, self.created.before, self.last_seen.from, self.last_seen.before] {
            bytes.push(u8::from(at.is_some()));
            bytes.extend(at.map_or(0, Timestamp::as_millis).to_be_bytes());
        }
        bytes.push(u8::from(self.open_conversation));
        if let Some(prefix) = &self.id {
            bytes.push(prefix.digits);
            bytes.extend(prefix.lowest);
        }
        bytes.push(0xff);
        bytes.extend(self.identity.iter().flat_map(|digest| *digest.as_bytes()));
        bytes
    }
}

/// Which contacts to list, and which part of the list.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PageRequest {
    /// How many at most: 1 to 500.
    pub limit: u16,
    /// Where the page before ended, or the page after began: [`ContactPage::next`] or [`ContactPage::previous`].
    pub cursor: Option<String>,
    /// Which contacts.
    pub filter: ContactFilter,
}

impl PageRequest {
    /// The first page.
    #[must_use]
    pub fn first(limit: u16) -> Self {
        Self { limit: limit.clamp(1, 500), cursor: None, filter: ContactFilter::default() }
    }

    /// The page that a cursor leads to. A cursor is of one list: the filter has to be the same again.
    #[must_use]
    pub fn after(mut self, cursor: impl Into<String>) -> Self {
        self.cursor = Some(cursor.into());
        self
    }

    /// Only these.
    #[must_use]
    pub fn only(mut self, filter: ContactFilter) -> Self {
        self.filter = filter;
        self
    }
}

/// A page of contacts, most recent activity first.
///
/// A pass through all pages shows nobody twice: it is of the instant of its first page ([`as_of`](Self::as_of)), and
/// whoever becomes active after it is shown when the list is opened anew.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ContactPage {
    /// The contacts.
    pub contacts: Vec<ContactSummary>,
    /// Leads to the next page; none on the last one.
    pub next: Option<String>,
    /// Leads to the page before; none on the first one.
    pub previous: Option<String>,
    /// The instant of the first page.
    pub as_of: Timestamp,
    /// How old the list was then already, about, where it was read from a copy of the database that follows; none where it
    /// was the present.
    pub behind: Option<Duration>,
}

/// A number that is not counted beyond a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CappedCount {
    /// The number, or the bound.
    pub count: u32,
    /// Whether there are more.
    pub more: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_have_bounds() {
        let id: ContactId = "1234abcd-0000-4000-8000-0123456789ab".parse().unwrap();
        for text in ["1", "12", "1234ABC", " 1234abcd-00", "1234abcd-0000-4000-8000-0123456789ab"] {
            let (low, high) = text.parse::<IdPrefix>().unwrap().bounds();
            assert!(low <= id && id <= high, "{text}");
        }
        for text in ["2", "1234abce", "13"] {
            let (low, high) = text.parse::<IdPrefix>().unwrap().bounds();
            assert!(id < low || high < id, "{text}");
        }
        for bad in ["", " ", "-", "xyz", "1234abcd-0000-4000-8000-0123456789abc", "0x12"] {
            assert!(bad.parse::<IdPrefix>().is_err(), "{bad}");
        }
    }

    #[test]
    fn filters_that_differ_have_other_bytes() {
        let at = |ms| TimeSpan { from: Some(Timestamp::from_millis(ms)), before: None };
        let prefix = |text: &str| ContactFilter::default().id(text.parse().unwrap());
        let filters = [
            ContactFilter::default(),
            ContactFilter::default().country("DE".parse().unwrap()),
            ContactFilter::default().country("FR".parse().unwrap()),
            ContactFilter::default().created(at(0)),
            ContactFilter::default().created(at(1)),
            ContactFilter::default().last_seen(at(1)),
            ContactFilter::default().with_open_conversation(),
            prefix("1"),
            prefix("10"),
            prefix("2"),
        ];
        let distinct: std::collections::BTreeSet<_> = filters.iter().map(ContactFilter::to_bytes).collect();
        assert_eq!(distinct.len(), filters.len());
    }
}
