use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::store::Horizon;

const DAY: Duration = Duration::from_secs(86_400);
const HOUR: Duration = Duration::from_secs(3_600);

const fn days(n: u32) -> Duration {
    Duration::from_secs(86_400 * n as u64)
}

/// A class of data that is kept for one period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum DataClass {
    /// Contacts, from their most recent activity on.
    Contacts,
    /// A contact's conversations, from their last message on.
    Conversations,
    /// A visit's conversations, from their last message on.
    SessionConversations,
    /// A visit's conversations in which a person was asked, from their close on, or else their last message.
    SupportConversations,
    /// Messages, from when they came on.
    Messages,
    /// Consent records, from when their decisions lapsed on.
    ConsentRecords,
    /// Daily counts of showings and plain refusals, from the end of their day on.
    ConsentCounts,
    /// Notifications to recipients, from when they were delivered or given up on.
    Notifications,
    /// What operators did, from then on.
    AuditEvents,
}

impl DataClass {
    /// Every class, in the order in which a sweep takes them.
    pub const ALL: &[Self] = &[
        Self::Messages,
        Self::SessionConversations,
        Self::SupportConversations,
        Self::Conversations,
        Self::Contacts,
        Self::ConsentRecords,
        Self::ConsentCounts,
        Self::Notifications,
        Self::AuditEvents,
    ];

    /// Its name, as settings and stores have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Contacts => "contacts",
            Self::Conversations => "conversations",
            Self::SessionConversations => "session-conversations",
            Self::SupportConversations => "support-conversations",
            Self::Messages => "messages",
            Self::ConsentRecords => "consent-records",
            Self::ConsentCounts => "consent-counts",
            Self::Notifications => "notifications",
            Self::AuditEvents => "audit-events",
        }
    }

    /// The class with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|c| c.as_str() == name)
    }

    /// How long the class is kept unless a tenant says otherwise.
    #[must_use]
    pub const fn default_period(self) -> Duration {
        match self {
            // CNIL lets a tracker of the own audience live for 13 months; nothing here is kept longer unasked.
            Self::Contacts | Self::Conversations | Self::Messages => days(395),
            // WP29 Opinion 04/2012: what a visitor puts in is kept for the session, or a few hours.
            Self::SessionConversations => DAY,
            // The answer may take its time; a month, as GDPR Art. 12(3) gives for one.
            Self::SupportConversations => days(30),
            // EDPB Guidelines 05/2020, para 107: proof no longer than needed after the processing ended. Three
            // years are a common limitation of claims.
            Self::ConsentRecords => days(1095),
            // They name nobody; CNIL gives what is learnt of an audience 25 months.
            Self::ConsentCounts => days(760),
            // GDPR Art. 19: that recipients were told has to be shown, and to whom; a quarter is enough to ask.
            Self::Notifications => days(90),
            // CNIL, recommendation on logging (2021-122): six months to a year.
            Self::AuditEvents => days(365),
        }
    }

    /// Where the default period comes from.
    #[must_use]
    pub const fn source(self) -> &'static str {
        match self {
            Self::Contacts | Self::Conversations | Self::Messages => {
                "GDPR Art. 5(1)(e); 13 months as CNIL's bound for trackers of the own audience (looked up 2026-11-21)"
            }
            Self::SessionConversations => {
                "WP29 Opinion 04/2012: input of the visitor, a few hours (looked up 2026-11-21)"
            }
            Self::SupportConversations => "GDPR Art. 12(3): a month for an answer (looked up 2026-11-21)",
            Self::ConsentRecords => {
                "EDPB Guidelines 05/2020, para 107: proof as long as strictly needed; three years as a common limitation of claims (looked up 2026-11-21)"
            }
            Self::Notifications => {
                "GDPR Art. 5(1)(e), 19: no figure; a quarter in which it can be shown (looked up 2026-11-27)"
            }
            Self::AuditEvents => {
                "CNIL, recommendation 2021-122 on logging: six months to a year (looked up 2026-11-28, in reports on it)"
            }
            Self::ConsentCounts => {
                "CNIL, guidelines 2020-091: 25 months for what is learnt of an audience (looked up 2026-11-21)"
            }
        }
    }

    /// Day on which that was looked up, ISO 8601.
    #[must_use]
    pub const fn as_of(self) -> &'static str {
        "2026-11-21"
    }

    /// The shortest and the longest period that a tenant can set.
    #[must_use]
    pub const fn bounds(self) -> (Duration, Duration) {
        match self {
            Self::Contacts | Self::Conversations | Self::Messages => (DAY, days(1095)),
            Self::SessionConversations => (HOUR, days(7)),
            Self::SupportConversations => (HOUR, days(395)),
            Self::ConsentRecords => (days(30), days(3650)),
            Self::ConsentCounts => (DAY, days(760)),
            Self::Notifications => (DAY, days(395)),
            Self::AuditEvents => (days(30), days(1095)),
        }
    }
}

/// How long a class is kept: always finite (GDPR Art. 5(1)(e), 25(2)).
///
/// ```
/// use std::time::Duration;
/// use privet::retention::{DataClass, RetentionRule};
///
/// let rule = RetentionRule::new(DataClass::Messages, Duration::from_secs(30 * 86_400))?;
/// assert_eq!(rule.class(), DataClass::Messages);
/// assert!(RetentionRule::new(DataClass::Messages, Duration::ZERO).is_err());
/// # Ok::<(), privet::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetentionRule {
    class: DataClass,
    period: Duration,
}

impl RetentionRule {
    /// A rule of a tenant.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the period is outside the class's [bounds](DataClass::bounds).
    pub fn new(class: DataClass, period: Duration) -> Result<Self> {
        let (shortest, longest) = class.bounds();
        if !(shortest..=longest).contains(&period) {
            return Err(Error::invalid(
                format!("`{}` cannot be kept for {} seconds", class.as_str(), period.as_secs()),
                format!("set {} to {} seconds", shortest.as_secs(), longest.as_secs()),
            ));
        }
        Ok(Self { class, period })
    }

    /// The built-in rule of a class.
    #[must_use]
    pub fn built_in(class: DataClass) -> Self {
        Self { class, period: class.default_period() }
    }

    /// What it is about.
    #[must_use]
    pub fn class(&self) -> DataClass {
        self.class
    }

    /// How long.
    #[must_use]
    pub fn period(&self) -> Duration {
        self.period
    }
}

/// A tenant's rules: the built-in ones with its own on top.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rules(Vec<RetentionRule>);

impl Rules {
    pub(crate) fn new(own: &[RetentionRule]) -> Self {
        let rule = |class: &DataClass| {
            own.iter().find(|r| r.class == *class).copied().unwrap_or_else(|| RetentionRule::built_in(*class))
        };
        Self(DataClass::ALL.iter().map(rule).collect())
    }

    pub(crate) fn all(&self) -> &[RetentionRule] {
        &self.0
    }
}

/// The boundaries of a tenant's data at an instant. `last_seen_every` is how coarse last-seen is: a contact is
/// not gone before the end of the bucket it was seen in.
pub(crate) fn horizon(rules: &Rules, now: Timestamp, last_seen_every: Duration) -> Horizon {
    rules.0.iter().fold(Horizon::unlimited(now), |h, rule| {
        let coarse = if rule.class == DataClass::Contacts { last_seen_every } else { Duration::ZERO };
        h.with(rule.class, now - rule.period - coarse)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_is_finite_sourced_and_within_its_bounds() {
        for class in DataClass::ALL.iter().copied() {
            let built_in = RetentionRule::built_in(class);
            assert!(RetentionRule::new(class, built_in.period()).is_ok(), "{class:?}");
            assert!(class.source().len() > 20);
            assert_eq!(DataClass::named(class.as_str()), Some(class));
            let (shortest, longest) = class.bounds();
            assert!(RetentionRule::new(class, shortest - Duration::from_secs(1)).is_err());
            assert!(RetentionRule::new(class, longest + Duration::from_secs(1)).is_err());
            assert!(RetentionRule::new(class, Duration::MAX).is_err());
        }
    }

    #[test]
    fn a_coarse_last_seen_never_ends_a_contact_early() {
        let now = Timestamp::from_millis(1_800_000_000_000);
        let h = horizon(&Rules::new(&[]), now, Duration::from_secs(60));
        assert_eq!(h.contacts, now - DataClass::Contacts.default_period() - Duration::from_secs(60));
        assert_eq!(h.messages, now - DataClass::Messages.default_period());
    }
}
