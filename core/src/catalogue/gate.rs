use serde::{Deserialize, Serialize};

/// The built-in category ids.
pub mod category_id {
    /// What needs no consent; never asked.
    pub const NECESSARY: &str = "necessary";
    /// Comfort functions.
    pub const FUNCTIONAL: &str = "functional";
    /// Statistics.
    pub const ANALYTICS: &str = "analytics";
    /// Advertising.
    pub const MARKETING: &str = "marketing";
    /// The contact list: a lasting record of the visitor's browser.
    pub const CONTACTS: &str = "contacts";
}

/// A category's stable number: 1 to 63, never given to another category. 1 to 4 are the built-in
/// `functional`, `analytics`, `marketing`, `contacts`; an app's own begin at 8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CategoryCode(u8);

impl CategoryCode {
    /// The highest code.
    pub const MAX: u8 = 63;
    /// The first code that an app may give to a category of its own.
    pub const FIRST_OWN: u8 = 8;

    /// The number.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }

    /// A code that a store kept.
    #[must_use]
    pub const fn new(code: u8) -> Option<Self> {
        if code >= 1 && code <= Self::MAX { Some(Self(code)) } else { None }
    }

    pub(crate) const fn bit(self) -> u64 {
        1 << self.0
    }

    /// The code of a built-in category.
    #[must_use]
    pub fn built_in(id: &str) -> Option<Self> {
        match id {
            category_id::FUNCTIONAL => Some(Self(1)),
            category_id::ANALYTICS => Some(Self(2)),
            category_id::MARKETING => Some(Self(3)),
            category_id::CONTACTS => Some(Self(4)),
            _ => None,
        }
    }
}

/// What opens an entry: the four ways in which storage on a terminal can be allowed (ePrivacy Directive
/// Art. 5(3)).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Gate {
    /// Needs no consent, for a reason the law knows and a justification the operator gives.
    Exempt {
        /// The reason.
        reason: Exemption,
        /// Why this entry is strictly necessary, in the operator's words.
        justification: String,
    },
    /// Open from the visitor's own gesture on, for the service named; never by load, timer or auto-open
    /// (CNIL on chatbots, 19 February 2021).
    Activation {
        /// The service's id.
        service: String,
    },
    /// Open while the visitor grants the category.
    Consent(CategoryCode),
    /// Open unless the visitor objects, where the visitor's regime knows one of the exceptions; elsewhere it needs
    /// consent.
    UnlessObjected {
        /// The category that the visitor grants or objects to.
        category: CategoryCode,
        /// What it stands on.
        exceptions: Exceptions,
    },
}

impl Gate {
    /// The category that decides about this gate, if one does.
    #[must_use]
    pub fn category(&self) -> Option<CategoryCode> {
        match self {
            Self::Consent(category) | Self::UnlessObjected { category, .. } => Some(*category),
            Self::Exempt { .. } | Self::Activation { .. } => None,
        }
    }
}

/// What needs no consent in one country while the visitor is informed and does not object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ConsentException {
    /// Statistics about the use of the service, to improve it, shared with nobody (UK: PECR Sch. A1).
    UkStatistics,
    /// How the service looks or works, as the visitor prefers or as the device needs (UK: PECR Sch. A1).
    UkAppearance,
    /// The measurement of the own audience, under the conditions in [`Attestation`] (France: CNIL, deliberation
    /// 2020-091, Art. 5): at most 13 months, and visits do not extend it.
    FrAudienceMeasurement,
}

/// A set of [`ConsentException`]s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(into = "Vec<ConsentException>")]
pub struct Exceptions(u8);

impl Exceptions {
    /// None.
    pub const NONE: Self = Self(0);

    /// These.
    #[must_use]
    pub const fn of(exceptions: &[ConsentException]) -> Self {
        let (mut bits, mut at) = (0, 0);
        while at < exceptions.len() {
            bits |= 1 << exceptions[at] as u8;
            at += 1;
        }
        Self(bits)
    }

    /// Whether one is in both.
    #[must_use]
    pub const fn meet(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether one is in it.
    #[must_use]
    pub const fn contain(self, exception: ConsentException) -> bool {
        self.meet(Self::of(&[exception]))
    }

    /// Each of them.
    pub fn iter(self) -> impl Iterator<Item = ConsentException> {
        use ConsentException::{FrAudienceMeasurement, UkAppearance, UkStatistics};
        [UkStatistics, UkAppearance, FrAudienceMeasurement].into_iter().filter(move |e| self.contain(*e))
    }
}

impl From<Exceptions> for Vec<ConsentException> {
    fn from(exceptions: Exceptions) -> Self {
        exceptions.iter().collect()
    }
}

/// What the operator has to be able to say of a measurement of the own audience in France; each one is needed (CNIL,
/// deliberation 2020-091, Art. 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Attestation {
    /// It measures the audience and does nothing else.
    SolePurpose,
    /// For the publisher of the site alone.
    ForThePublisherOnly,
    /// What comes out are statistics about nobody in particular.
    AnonymousStatistics,
    /// Nobody is followed across sites or apps.
    NoCrossSite,
    /// It is not matched with other data.
    NoMatching,
    /// It is given to no third party.
    NotShared,
    /// Of an address only what is left after at least its last octet was cut off is used.
    AddressCut,
}

impl Attestation {
    /// Every one.
    pub const ALL: &[Self] = &[
        Self::SolePurpose,
        Self::ForThePublisherOnly,
        Self::AnonymousStatistics,
        Self::NoCrossSite,
        Self::NoMatching,
        Self::NotShared,
        Self::AddressCut,
    ];

    /// As it is written in a catalogue.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SolePurpose => "sole-purpose",
            Self::ForThePublisherOnly => "for-the-publisher-only",
            Self::AnonymousStatistics => "anonymous-statistics",
            Self::NoCrossSite => "no-cross-site",
            Self::NoMatching => "no-matching",
            Self::NotShared => "not-shared",
            Self::AddressCut => "address-cut",
        }
    }
}

/// Why an entry needs no consent (WP29 Opinion 04/2012; CNIL's list of exempt trackers).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Exemption {
    /// Carries out the transmission of a communication, and nothing else.
    Transmission,
    /// Strictly necessary for a service that the visitor asked for.
    RequestedService,
    /// Remembers the visitor's choice about storage.
    ChoiceMemory,
    /// Recognises a signed-in visitor.
    Auth,
    /// Protects the service the visitor asked for.
    Security,
    /// Spreads requests over servers.
    LoadBalancing,
    /// Keeps what the visitor put in, such as a cart.
    UserInput,
    /// Plays a medium the visitor started.
    MediaPlayer,
    /// Keeps a setting of the page that the visitor made.
    UiPreference,
}

/// Where an entry is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StorageKind {
    /// An HTTP cookie.
    #[default]
    Cookie,
    /// `localStorage`
    LocalStorage,
    /// `sessionStorage`
    SessionStorage,
    /// An IndexedDB database.
    IndexedDb,
}

impl StorageKind {
    /// As it is written in a catalogue.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cookie => "cookie",
            Self::LocalStorage => "local-storage",
            Self::SessionStorage => "session-storage",
            Self::IndexedDb => "indexed-db",
        }
    }
}

/// What makes an entry come into being.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trigger {
    /// A page or script loads.
    Load,
    /// Time passes.
    Timer,
    /// The visitor does something.
    Gesture,
    /// The server decides, in an answer to a request.
    Server,
}

/// Why a service may process personal data (GDPR Art. 6(1)). Independent of the gate: a basis for processing
/// does not replace consent to storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LegalBasis {
    /// Art. 6(1)(a)
    Consent,
    /// Art. 6(1)(b)
    Contract,
    /// Art. 6(1)(c)
    LegalObligation,
    /// Art. 6(1)(d)
    VitalInterests,
    /// Art. 6(1)(e)
    PublicTask,
    /// Art. 6(1)(f)
    LegitimateInterests,
}

impl LegalBasis {
    /// The stable number that stores keep.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Consent => 1,
            Self::Contract => 2,
            Self::LegalObligation => 3,
            Self::VitalInterests => 4,
            Self::PublicTask => 5,
            Self::LegitimateInterests => 6,
        }
    }

    /// The basis that a store kept.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Consent),
            2 => Some(Self::Contract),
            3 => Some(Self::LegalObligation),
            4 => Some(Self::VitalInterests),
            5 => Some(Self::PublicTask),
            6 => Some(Self::LegitimateInterests),
            _ => None,
        }
    }

    /// Where the basis stands.
    #[must_use]
    pub fn article(self) -> &'static str {
        match self {
            Self::Consent => "GDPR Art. 6(1)(a)",
            Self::Contract => "GDPR Art. 6(1)(b)",
            Self::LegalObligation => "GDPR Art. 6(1)(c)",
            Self::VitalInterests => "GDPR Art. 6(1)(d)",
            Self::PublicTask => "GDPR Art. 6(1)(e)",
            Self::LegitimateInterests => "GDPR Art. 6(1)(f)",
        }
    }
}

/// A cookie's SameSite attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SameSite {
    /// Sent with same-site requests only.
    Strict,
    /// Sent with same-site requests and when the visitor navigates here.
    Lax,
    /// Sent with every request.
    None,
}
