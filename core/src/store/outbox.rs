//! Notifications on their way to recipients (GDPR Art. 19): kept with the act that they tell of, and sent afterwards.

use std::fmt;

use serde::Serialize;

use super::types::SubjectDigest;
use crate::catalogue::CategoryCode;
use crate::clock::Timestamp;
use crate::consent::{Act, ConsentRecord, Decision};
use crate::random_id::random_id;
use crate::scope::Scope;

random_id! {
    /// The random name of a notification; it stays the same however often it is sent, so that a recipient can tell.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    NotificationId
}

impl fmt::Display for NotificationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

/// What a recipient is to be told if a record takes away what concerns it.
#[derive(Clone, Debug)]
pub struct NewNotification {
    /// Its name.
    pub id: NotificationId,
    /// The recipient's id in the catalogue.
    pub recipient: String,
    /// The categories that concern the recipient: bits by code.
    pub categories: u64,
    /// What the recipient knows the visitor's consent by.
    pub subject: SubjectDigest,
}

/// Where a notification stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
#[non_exhaustive]
pub enum Delivery {
    /// To be sent, again or for the first time.
    Waiting {
        /// When.
        due: Timestamp,
    },
    /// The recipient has acknowledged it.
    Delivered {
        /// When.
        at: Timestamp,
    },
    /// It was tried for as long as makes sense; somebody has to see to it.
    GivenUp {
        /// When.
        at: Timestamp,
    },
}

impl Delivery {
    /// As stores keep it: when it is due, when it was settled, and whether it was delivered.
    #[must_use]
    pub const fn parts(&self) -> (Option<Timestamp>, Option<Timestamp>, bool) {
        match self {
            Self::Waiting { due } => (Some(*due), None, false),
            Self::Delivered { at } => (None, Some(*at), true),
            Self::GivenUp { at } => (None, Some(*at), false),
        }
    }

    /// What a store kept.
    #[must_use]
    pub const fn from_parts(
        due: Option<Timestamp>,
        settled: Option<Timestamp>,
        delivered: bool,
    ) -> Option<Self> {
        match (due, settled, delivered) {
            (Some(due), None, _) => Some(Self::Waiting { due }),
            (None, Some(at), true) => Some(Self::Delivered { at }),
            (None, Some(at), false) => Some(Self::GivenUp { at }),
            _ => None,
        }
    }
}

/// A notification as a store keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Notification {
    /// Its name.
    pub id: NotificationId,
    /// Tenant and site.
    pub scope: Scope,
    /// The recipient's id in the catalogue.
    pub recipient: String,
    /// What was done.
    pub act: Act,
    /// The categories that were taken away: bits by code.
    pub categories: u64,
    /// What the recipient knows the visitor's consent by.
    pub subject: SubjectDigest,
    /// When the act was.
    pub at: Timestamp,
    /// How often it was tried.
    pub attempts: u32,
    /// What kept the last try from succeeding, by its class; nothing of the content.
    pub problem: Option<String>,
    /// Where it stands.
    pub delivery: Delivery,
}

impl Notification {
    /// A notification that a store kept.
    #[must_use]
    #[allow(clippy::too_many_arguments, reason = "one argument per column")]
    pub fn new(
        id: NotificationId,
        scope: Scope,
        recipient: String,
        act: Act,
        categories: u64,
        subject: SubjectDigest,
        at: Timestamp,
        attempts: u32,
        problem: Option<String>,
        delivery: Delivery,
    ) -> Self {
        Self { id, scope, recipient, act, categories, subject, at, attempts, problem, delivery }
    }

    /// Whether one of the categories is this one.
    #[must_use]
    pub fn concerns(&self, category: CategoryCode) -> bool {
        self.categories & category.bit() != 0
    }
}

/// What became of a try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attempted {
    /// The recipient has acknowledged it.
    Delivered,
    /// Not now; again at an instant.
    Again {
        /// When.
        due: Timestamp,
        /// Why, by its class.
        problem: String,
    },
    /// Not ever.
    GivenUp {
        /// Why, by its class.
        problem: String,
    },
}

impl Attempted {
    /// Where a notification stands after it, and what the problem was.
    #[must_use]
    pub fn stands(self, at: Timestamp) -> (Delivery, Option<String>) {
        match self {
            Self::Delivered => (Delivery::Delivered { at }, None),
            Self::Again { due, problem } => (Delivery::Waiting { due }, Some(problem)),
            Self::GivenUp { problem } => (Delivery::GivenUp { at }, Some(problem)),
        }
    }
}

/// Rule 17, in one place for every store: whom a record tells of what it took away from the latest one of its line.
#[must_use]
pub fn notifications_of(
    new: &[NewNotification],
    latest: Option<&ConsentRecord>,
    record: &ConsentRecord,
) -> Vec<Notification> {
    let Some(latest) = latest else { return Vec::new() };
    // A lapse tells nobody, so that a withdrawal which comes after it is news to the recipient.
    let granted = latest.decisions.iter().filter(|d| d.decision == Decision::Granted);
    let taken = granted.filter(|d| !record.grants(d.category, record.at));
    let taken = taken.fold(0, |codes, d| codes | d.category.bit());
    new.iter()
        .filter(|n| n.categories & taken != 0)
        .map(|n| Notification {
            id: n.id,
            scope: record.scope.clone(),
            recipient: n.recipient.clone(),
            act: record.act,
            categories: n.categories & taken,
            subject: n.subject,
            at: record.at,
            attempts: 0,
            problem: None,
            delivery: Delivery::Waiting { due: record.at },
        })
        .collect()
}
