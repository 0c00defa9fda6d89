//! The rule sets that visitors are under, as data with a date and a source. Code asks a rule set what it says, and never
//! asks for countries.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::catalogue::{ConsentException, Exceptions};
use crate::error::{Error, Result};
use crate::ip::{Country, CountryCode};

/// The rule set that a visitor is under.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Regime {
    /// Nothing without consent: EU, and everywhere that nobody declared otherwise.
    #[default]
    OptIn,
    /// Allowed until the visitor objects, by a choice or by Global Privacy Control: the United States, for an app
    /// that is established outside EU and UK.
    OptOut,
    /// Consent, but for statistics and appearance, which are allowed until the visitor objects.
    Uk,
    /// Consent, but for the measurement of the own audience, which is allowed until the visitor objects.
    France,
}

/// What a regime says, when that was looked up, and where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RegimeRules {
    /// Its stable number in the device's cookie.
    pub code: u8,
    /// Its name in JSON and in records.
    pub id: &'static str,
    /// Whether what needs consent elsewhere is allowed until the visitor objects. Contacts are not: they exist on a
    /// recorded consent in every regime.
    pub allowed_until_objection: bool,
    /// What needs no consent here while the visitor does not object.
    pub exceptions: Exceptions,
    /// Whether a visitor who has not decided is asked; where not, the link to the choices stands on every page.
    pub asks: bool,
    /// Whether that link is called "Your Privacy Choices" (11 CCR 7013, 7015).
    pub privacy_choices_link: bool,
    /// The authority that a visitor is told of beside the operator, for complaints.
    pub complaints_to: Option<&'static str>,
    /// Day of the look-up, ISO 8601.
    pub as_of: &'static str,
    /// Where it stands.
    pub source: &'static str,
}

const OPT_IN: RegimeRules = RegimeRules {
    code: 1,
    id: "opt-in",
    allowed_until_objection: false,
    exceptions: Exceptions::NONE,
    asks: true,
    privacy_choices_link: false,
    complaints_to: None,
    as_of: "2026-11-21",
    source: "Directive 2002/58/EC Art. 5(3); GDPR Art. 4(11), 6(1)(a), 25(2)",
};

const OPT_OUT: RegimeRules = RegimeRules {
    code: 2,
    id: "opt-out",
    allowed_until_objection: true,
    exceptions: Exceptions::NONE,
    asks: false,
    privacy_choices_link: true,
    complaints_to: None,
    as_of: "2026-11-21",
    source: "Cal. Civ. Code 1798.120, 1798.135; 11 CCR 7013, 7015, 7025, 7026; applied to the whole of the United States, since only the country of a visitor is known",
};

const UK: RegimeRules = RegimeRules {
    code: 3,
    id: "uk",
    allowed_until_objection: false,
    exceptions: Exceptions::of(&[ConsentException::UkStatistics, ConsentException::UkAppearance]),
    asks: true,
    privacy_choices_link: false,
    complaints_to: Some("Information Commissioner's Office, ico.org.uk/make-a-complaint"),
    as_of: "2026-11-21",
    source: "PECR reg. 6 and Sch. A1, as amended by the Data (Use and Access) Act 2025 s. 112 and Sch. 12, in force 5 February 2026",
};

const FRANCE: RegimeRules = RegimeRules {
    code: 4,
    id: "france",
    allowed_until_objection: false,
    exceptions: Exceptions::of(&[ConsentException::FrAudienceMeasurement]),
    asks: true,
    privacy_choices_link: false,
    complaints_to: None,
    as_of: "2026-11-21",
    source: "Art. 82 of the French data protection act; CNIL guidelines (deliberation 2020-091, Art. 5) and recommendation 2020-092",
};

/// Where a visitor has to be for a regime other than [`Regime::OptIn`]. Territories with a code of their own are
/// not the country they belong to, so they fall to opt-in by themselves.
const BY_COUNTRY: &[(&str, Regime)] = &[("FR", Regime::France), ("GB", Regime::Uk), ("US", Regime::OptOut)];

/// States under the GDPR or the UK GDPR: an app that is established there is bound by them wherever its visitors are
/// (GDPR Art. 3(1)). EU, EEA, the territories of theirs to which the Treaties apply, and the UK.
const UNDER_GDPR: &[&str] = &[
    "AT", "AX", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GB", "GF", "GI", "GP", "GR",
    "HR", "HU", "IE", "IS", "IT", "LI", "LT", "LU", "LV", "MF", "MQ", "MT", "NL", "NO", "PL", "PT", "RE",
    "RO", "SE", "SI", "SK", "YT",
];

impl Regime {
    /// Every regime.
    pub const ALL: &[Self] = &[Self::OptIn, Self::OptOut, Self::Uk, Self::France];

    /// What the regime says.
    #[must_use]
    pub const fn rules(self) -> &'static RegimeRules {
        match self {
            Self::OptIn => &OPT_IN,
            Self::OptOut => &OPT_OUT,
            Self::Uk => &UK,
            Self::France => &FRANCE,
        }
    }

    /// The regime with this stable number.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::OptIn),
            2 => Some(Self::OptOut),
            3 => Some(Self::Uk),
            4 => Some(Self::France),
            _ => None,
        }
    }
}

/// Which regime a visitor of a site is under, by the country they are likely in. Everybody is under
/// [`Regime::OptIn`] unless a site says otherwise; an unknown country, a Tor exit, and every country that is
/// not in the table is.
///
/// ```
/// use privet::consent::{Regime, Regimes};
///
/// let regimes = Regimes::by_country();
/// assert_eq!(regimes.of("GB".parse()?), Regime::Uk);
/// assert_eq!(regimes.of("DE".parse()?), Regime::OptIn);
/// // Opt-out only for an app that says where outside EU and UK it is established.
/// assert_eq!(regimes.of("US".parse()?), Regime::OptIn);
/// assert_eq!(regimes.established_in("US".parse()?).of("US".parse()?), Regime::OptOut);
/// # Ok::<(), privet::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Regimes {
    by_country: BTreeMap<CountryCode, Regime>,
    established_in: Option<CountryCode>,
}

impl Regimes {
    /// Everybody is asked before anything happens.
    #[must_use]
    pub fn opt_in() -> Self {
        Self::default()
    }

    /// Each visitor by the table of countries that this version of privet knows. Needs
    /// [`countries`](crate::Builder::countries); without, nobody's country is known, and everybody is under opt-in.
    #[must_use]
    pub fn by_country() -> Self {
        let known = BY_COUNTRY.iter().filter_map(|(code, regime)| Some((CountryCode::new(code)?, *regime)));
        Self { by_country: known.collect(), established_in: None }
    }

    /// Declares where the operator is established. Only outside EU, EEA and UK is anybody under
    /// [`Regime::OptOut`]: elsewhere the operator's own law wants consent from everybody (GDPR Art. 3(1)).
    #[must_use]
    pub fn established_in(mut self, country: CountryCode) -> Self {
        self.established_in = Some(country);
        self
    }

    /// Another regime for visitors from a country than the table has.
    #[must_use]
    pub fn with(mut self, country: CountryCode, regime: Regime) -> Self {
        self.by_country.insert(country, regime);
        self
    }

    /// The regime of a visitor who is likely in a country.
    #[must_use]
    pub fn of(&self, country: CountryCode) -> Regime {
        match self.by_country.get(&country) {
            Some(Regime::OptOut) if !self.may_opt_out() => Regime::OptIn,
            Some(regime) => *regime,
            None => Regime::OptIn,
        }
    }

    pub(crate) fn of_country(&self, country: Country) -> Regime {
        country.code().map_or(Regime::OptIn, |code| self.of(code))
    }

    /// Whether nobody's country has to be looked up.
    pub(crate) fn is_opt_in(&self) -> bool {
        self.by_country.values().all(|r| *r == Regime::OptIn)
    }

    fn may_opt_out(&self) -> bool {
        self.established_in.is_some_and(|country| !UNDER_GDPR.contains(&country.as_str()))
    }

    pub(crate) fn check(&self) -> Result<()> {
        let built_in = |code: &CountryCode| BY_COUNTRY.contains(&(code.as_str(), Regime::OptOut));
        let own = self.by_country.iter().find(|(code, r)| **r == Regime::OptOut && !built_in(code));
        match own {
            Some((country, _)) if !self.may_opt_out() => Err(Error::config(
                format!(
                    "visitors from {country} are to be under opt-out, and the operator is not established outside EU, EEA and UK"
                ),
                "declare where it is with `established_in`, or leave them under opt-in",
            )),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every_code() -> impl Iterator<Item = CountryCode> {
        (b'A'..=b'Z')
            .flat_map(|a| (b'A'..=b'Z').map(move |b| [a, b]))
            .filter_map(|code| CountryCode::new(std::str::from_utf8(&code).ok()?))
    }

    /// JUR-01: of all codes only those of the table leave opt-in, and an unknown country does not.
    #[test]
    fn jur_01_only_listed_countries_leave_opt_in() {
        let outside = Regimes::by_country().established_in(CountryCode::new("US").unwrap());
        let left: Vec<_> = every_code()
            .map(|c| (c.as_str().to_owned(), outside.of(c)))
            .filter(|(_, r)| *r != Regime::OptIn)
            .collect();
        let expected = [("FR", Regime::France), ("GB", Regime::Uk), ("US", Regime::OptOut)];
        assert_eq!(left, expected.map(|(c, r)| (c.to_owned(), r)));
        assert_eq!(outside.of_country(Country::Unknown), Regime::OptIn);
        for territory in ["GP", "MQ", "RE", "YT", "GF", "MF", "PM", "PF", "NC", "AX", "GI", "JE", "PR", "GU"]
        {
            assert_eq!(outside.of(territory.parse().unwrap()), Regime::OptIn, "{territory}");
        }
        assert!(every_code().all(|c| Regimes::opt_in().of(c) == Regime::OptIn));
        assert!(Regimes::opt_in().is_opt_in() && !outside.is_opt_in());
    }

    /// JUR-13: what counts is where the operator is and where the visitor is, and nothing about who they are.
    #[test]
    fn jur_13_opt_out_follows_the_establishment() {
        let us = CountryCode::new("US").unwrap();
        assert_eq!(Regimes::by_country().of(us), Regime::OptIn, "not declared");
        for code in every_code() {
            let under_gdpr = UNDER_GDPR.contains(&code.as_str());
            let regimes = Regimes::by_country().established_in(code);
            assert_eq!(regimes.of(us) == Regime::OptOut, !under_gdpr, "established in {code}");
            let canada = CountryCode::new("CA").unwrap();
            let own = Regimes::opt_in().established_in(code).with(canada, Regime::OptOut);
            assert_eq!(own.check().is_err(), under_gdpr, "established in {code}");
        }
        assert!(UNDER_GDPR.iter().all(|c| CountryCode::new(c).is_some()));
    }

    /// JUR-02: no exception of one country holds in another, and Germany has none.
    #[test]
    fn jur_02_exceptions_hold_where_they_are() {
        let all = Regimes::by_country();
        let exceptions = |c: &str| all.of(c.parse().unwrap()).rules().exceptions;
        assert_eq!(exceptions("DE"), Exceptions::NONE);
        assert_eq!(exceptions("US"), Exceptions::NONE);
        assert!(exceptions("GB").meet(Exceptions::of(&[ConsentException::UkStatistics])));
        assert!(!exceptions("GB").meet(Exceptions::of(&[ConsentException::FrAudienceMeasurement])));
        assert!(!exceptions("FR").meet(Exceptions::of(&[ConsentException::UkAppearance])));
    }

    #[test]
    fn every_regime_is_dated_and_sourced() {
        for regime in Regime::ALL {
            let rules = regime.rules();
            assert_eq!(Regime::from_code(rules.code), Some(*regime));
            assert_eq!(serde_json::to_value(regime).unwrap(), rules.id);
            assert!(rules.source.len() > 20 && rules.as_of.len() == 10, "{regime:?}");
        }
        assert_eq!(Regime::from_code(0), None);
    }
}
