//! The proof: an append-only record of each grant, withdrawal and objection (GDPR Art. 7(1)).

use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};

use super::notice::NoticeId;
use super::regime::Regime;
use super::state::Decision;
use crate::catalogue::{CategoryCode, Language};
use crate::clock::Timestamp;
use crate::error::Result;
use crate::privet::SiteState;
use crate::random_id::random_id;
use crate::scope::Scope;
use crate::store::{ErasureCause, SubjectDigest};

random_id! {
    /// The random name of a [`ConsentRecord`]: 128 bits. A device that granted something holds it; so `Debug`
    /// does not show it.
    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
    #[serde(transparent)]
    RecordId
}

impl RecordId {
    /// As text, for the visitor's own copy.
    #[must_use]
    pub fn encode(&self) -> String {
        BASE64URL_NOPAD.encode(&self.0)
    }
}

impl fmt::Debug for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecordId(..)")
    }
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Act {
    /// At least one category was granted; the record holds every decision that was made with it.
    Grant,
    /// At least one granted category was withdrawn.
    Withdrawal,
    /// Somebody else than the visitor ended a granted category: an operator who erased the contact that hung on
    /// it.
    Revocation,
    /// The visitor's browser objected for them, by Global Privacy Control: what is sold or shared ends.
    Objection,
    /// A signed-in person refused everything, and had granted nothing. A device that refuses leaves no record.
    Refusal,
}

impl Act {
    /// Why contacts go when such a record no longer grants them.
    #[must_use]
    pub const fn erasure_cause(self) -> ErasureCause {
        match self {
            Self::Grant | Self::Withdrawal | Self::Objection | Self::Refusal => ErasureCause::Withdrawal,
            Self::Revocation => ErasureCause::Request,
        }
    }

    /// The stable number that stores keep.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Grant => 1,
            Self::Withdrawal => 2,
            Self::Revocation => 3,
            Self::Objection => 4,
            Self::Refusal => 5,
        }
    }

    /// The act that a store kept.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Grant),
            2 => Some(Self::Withdrawal),
            3 => Some(Self::Revocation),
            4 => Some(Self::Objection),
            5 => Some(Self::Refusal),
            _ => None,
        }
    }
}

/// How it was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Method {
    /// A form of the banner or of the settings page.
    Form,
    /// A request made by a script of the page, such as a CMP's consent event.
    Script,
    /// A program on the server, without the visitor.
    Server,
    /// A signal of the visitor's browser: Global Privacy Control.
    Signal,
}

impl Method {
    /// The stable number that stores keep.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Form => 1,
            Self::Script => 2,
            Self::Server => 3,
            Self::Signal => 4,
        }
    }

    /// The method that a store kept.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Form),
            2 => Some(Self::Script),
            3 => Some(Self::Server),
            4 => Some(Self::Signal),
            _ => None,
        }
    }
}

/// A decision about one category, with the fingerprint of what it was about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RecordedDecision {
    /// The category.
    pub category: CategoryCode,
    /// The decision: granted or refused.
    pub decision: Decision,
    /// The category's material fingerprint at that time.
    pub fingerprint: [u8; 3],
}

impl RecordedDecision {
    /// Five bytes, as a store keeps them: category, decision, fingerprint.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 5] {
        let decision = match self.decision {
            Decision::Unknown => 0,
            Decision::Refused => 1,
            Decision::Granted => 2,
        };
        let [a, b, c] = self.fingerprint;
        [self.category.get(), decision, a, b, c]
    }

    /// The decision that a store kept.
    #[must_use]
    pub const fn from_bytes([category, decision, a, b, c]: [u8; 5]) -> Option<Self> {
        let decision = match decision {
            0 => Decision::Unknown,
            1 => Decision::Refused,
            2 => Decision::Granted,
            _ => return None,
        };
        match CategoryCode::new(category) {
            Some(category) => Some(Self { category, decision, fingerprint: [a, b, c] }),
            None => None,
        }
    }

    /// Decisions one after the other, as a store keeps those of a record.
    #[must_use]
    pub fn all_to_bytes(decisions: &[Self]) -> Vec<u8> {
        decisions.iter().flat_map(|d| d.to_bytes()).collect()
    }

    /// The decisions that a store kept; none when these bytes are no decisions.
    #[must_use]
    pub fn all_from_bytes(bytes: &[u8]) -> Option<Vec<Self>> {
        let (decisions, rest) = bytes.as_chunks::<5>();
        if rest.is_empty() { decisions.iter().copied().map(Self::from_bytes).collect() } else { None }
    }

    /// A decision as a store kept it.
    #[must_use]
    pub fn new(category: CategoryCode, decision: Decision, fingerprint: [u8; 3]) -> Self {
        Self { category, decision, fingerprint }
    }
}

/// One act of one visitor, with everything that shows it stood on something: who (a keyed digest), when, how,
/// what was shown, what was decided. No address and no user agent (GDPR Art. 5(1)(c)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsentRecord {
    /// Its random name.
    pub id: RecordId,
    /// Tenant and site.
    pub scope: Scope,
    /// Keyed digest of the device's line of records: every later act of the device has the same.
    pub subject: SubjectDigest,
    /// What was done.
    pub act: Act,
    /// When.
    pub at: Timestamp,
    /// When the decisions of this record lapse.
    pub until: Timestamp,
    /// What was shown.
    pub notice: NoticeId,
    /// In which language.
    pub language: Language,
    /// Under which rule set.
    pub regime: Regime,
    /// How.
    pub method: Method,
    /// Whether the browser said that a person did it (`Sec-Fetch-User: ?1`).
    pub gesture: bool,
    /// Whether the browser sent Global Privacy Control.
    pub gpc: bool,
    /// Every decision that stands after the act.
    pub decisions: Vec<RecordedDecision>,
}

impl ConsentRecord {
    /// What a category was about when this was recorded.
    #[must_use]
    pub fn fingerprint_of(&self, category: CategoryCode) -> Option<[u8; 3]> {
        self.decisions.iter().find(|d| d.category == category).map(|d| d.fingerprint)
    }

    /// Whether the record grants a category at an instant, if it is the latest of its line.
    #[must_use]
    pub fn grants(&self, category: CategoryCode, now: Timestamp) -> bool {
        now < self.until
            && self.decisions.iter().any(|d| d.category == category && d.decision == Decision::Granted)
    }

    /// The record of an act on the server that refuses some categories of this one, and leaves the others as they are.
    pub(crate) fn refusing(&self, codes: u64, act: Act, method: Method, at: Timestamp) -> Result<Self> {
        let mut decisions = self.decisions.clone();
        for d in decisions.iter_mut().filter(|d| codes & d.category.bit() != 0) {
            d.decision = Decision::Refused;
        }
        let still = decisions.iter().any(|d| d.decision == Decision::Granted);
        Ok(Self {
            id: RecordId::generate()?,
            act,
            at,
            until: if still { self.until } else { at },
            notice: NoticeId::NONE,
            method,
            gesture: false,
            gpc: method == Method::Signal,
            decisions,
            ..self.clone()
        })
    }

    /// The first record of a line that a browser's signal begins: it refuses, and grants nothing.
    pub(crate) fn of_signal(
        site: &SiteState,
        subject: SubjectDigest,
        regime: Regime,
        at: Timestamp,
        decisions: Vec<RecordedDecision>,
    ) -> Result<Self> {
        Ok(Self {
            id: RecordId::generate()?,
            scope: site.scope.clone(),
            subject,
            act: Act::Objection,
            at,
            until: at,
            notice: NoticeId::NONE,
            language: site.catalogue.languages()[0].clone(),
            regime,
            method: Method::Signal,
            gesture: false,
            gpc: true,
            decisions,
        })
    }
}
