use serde::{Deserialize, Serialize};

/// The rule set that a visitor is under. It is data, with a date and a source; code asks it, and does not ask
/// for countries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Regime {
    /// Nothing without consent: EU, and everywhere that nobody declared otherwise.
    #[default]
    OptIn,
}

/// What a regime says, when that was looked up, and where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RegimeRules {
    /// Its stable number in the device's cookie.
    pub code: u8,
    /// Its name in JSON and in records.
    pub id: &'static str,
    /// Whether storage without consent is allowed until the visitor objects.
    pub allowed_until_objection: bool,
    /// Day of the look-up, ISO 8601.
    pub as_of: &'static str,
    /// Where it stands.
    pub source: &'static str,
}

const OPT_IN: RegimeRules = RegimeRules {
    code: 1,
    id: "opt-in",
    allowed_until_objection: false,
    as_of: "2026-11-21",
    source: "Directive 2002/58/EC Art. 5(3); GDPR Art. 4(11), 6(1)(a), 25(2)",
};

impl Regime {
    /// What the regime says.
    #[must_use]
    pub const fn rules(self) -> &'static RegimeRules {
        match self {
            Self::OptIn => &OPT_IN,
        }
    }

    /// The regime with this stable number.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::OptIn),
            _ => None,
        }
    }
}
