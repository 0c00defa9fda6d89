use serde::{Deserialize, Serialize};

use super::notice::NoticeId;
use crate::clock::Day;
use crate::scope::Scope;

/// What is counted per day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum CountKind {
    /// A response showed the banner to somebody who had not decided.
    BannerShown,
    /// The settings page was shown, with its form, to somebody who had not decided.
    SettingsShown,
    /// A refusal that leaves no record: the device had granted nothing.
    Refusal,
}

impl CountKind {
    /// The stable number that stores keep.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::BannerShown => 1,
            Self::SettingsShown => 2,
            Self::Refusal => 3,
        }
    }

    /// The kind that a store kept.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::BannerShown),
            2 => Some(Self::SettingsShown),
            3 => Some(Self::Refusal),
            _ => None,
        }
    }
}

/// How often something happened on one day: responses and acts, not people, and nobody's name. A record of each would
/// need an identifier before there is consent (GDPR Art. 5(1)(c)); that the question was put, and how often the answer
/// was no, can be shown without.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConsentCount {
    /// Tenant and site.
    pub scope: Scope,
    /// The day, UTC.
    pub day: Day,
    /// What.
    pub kind: CountKind,
    /// The notice that was shown, or that the answer was to.
    pub notice: NoticeId,
    /// How often.
    pub count: u64,
}

impl ConsentCount {
    /// A count of one day.
    #[must_use]
    pub fn new(scope: Scope, day: Day, kind: CountKind, notice: NoticeId, count: u64) -> Self {
        Self { scope, day, kind, notice, count }
    }
}
