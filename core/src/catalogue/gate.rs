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
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// Open unless the visitor objects, where the visitor's regime knows such a class; elsewhere it needs
    /// consent.
    UnlessObjected(CategoryCode),
}

impl Gate {
    /// The category that decides about this gate, if one does.
    #[must_use]
    pub fn category(&self) -> Option<CategoryCode> {
        match self {
            Self::Consent(c) | Self::UnlessObjected(c) => Some(*c),
            Self::Exempt { .. } | Self::Activation { .. } => None,
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
