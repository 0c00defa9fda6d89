//! What can go wrong, for the developer: each error names the cause and the cure, and none carries an
//! address, a cookie value, a message or a key. What a visitor is told is decided by `privet-web`: nothing.

use std::error::Error as StdError;
use std::time::Duration;

use crate::catalogue::CatalogueError;

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

pub(crate) type Source = Box<dyn StdError + Send + Sync>;

/// Any error of privet and of its stores.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The catalogue cannot be true, or cannot be read.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),

    /// A setting that cannot work; found at `build()` or where it is set.
    #[error("{what}; {cure}")]
    Config {
        /// What is wrong.
        what: String,
        /// What to do about it.
        cure: String,
    },

    /// The installation key cannot be used.
    #[error("{what}; {cure}")]
    Key {
        /// What is wrong.
        what: String,
        /// What to do about it.
        cure: String,
        /// The operating system's word, if it had one.
        #[source]
        source: Option<Source>,
    },

    /// A category that the catalogue of this site does not declare.
    #[error(
        "category `{category}` is not in the catalogue of this site; declare it with `[[category]] id = \"{category}\"`, or ask for one that is declared"
    )]
    UnknownCategory {
        /// The id that was asked for.
        category: String,
    },

    /// A service that the catalogue of this site does not declare.
    #[error(
        "service `{service}` is not in the catalogue of this site; declare it with `[[service]] id = \"{service}\"`"
    )]
    UnknownService {
        /// The id that was asked for.
        service: String,
    },

    /// A recipient that the catalogue of this site does not declare: nothing is forwarded to it
    /// (GDPR Art. 13(1)(e): recipients are named beforehand).
    #[error(
        "recipient `{recipient}` is not in the catalogue of this site; declare it with `[[recipient]] id = \"{recipient}\"` and the fields it may get"
    )]
    UnknownRecipient {
        /// The id that was asked for.
        recipient: String,
    },

    /// The request belongs to no site of this installation.
    #[error(
        "no site is declared for this request; add it with `Builder::site` or let the resolver name a declared one"
    )]
    UnknownSite,

    /// The visitor has not granted the category, or has withdrawn it since.
    #[error("the visitor has not granted `{category}`, or has withdrawn it")]
    NotGranted {
        /// The category that is missing.
        category: String,
    },

    /// The response head has left: what a `Visit` gave out opens nothing any more.
    #[error(
        "the response head was already sent; do this before the response is returned, or keep the record id and ask the store again when the work runs"
    )]
    HeadSent,

    /// The subject was erased; nothing is written for it any more.
    #[error("the subject was erased; nothing is written for it any more")]
    Fenced,

    /// An operator has blocked the contact: nothing that it writes is taken.
    #[error("the contact is blocked; an operator can unblock it in the portal")]
    Blocked,

    /// The operator's role does not come with this.
    #[error(
        "the operator's role does not allow this; give them a role that does, or let somebody else do it"
    )]
    NotAllowed {
        /// What it takes.
        permission: crate::portal::Permission,
    },

    /// There is no such thing in this scope. A thing of another tenant is answered the same way.
    #[error("no such {what} in this scope")]
    NotFound {
        /// The kind of thing.
        what: &'static str,
    },

    /// Somebody else changed it first.
    #[error("{what} was changed by somebody else; read it again and repeat")]
    Conflict {
        /// The kind of thing.
        what: &'static str,
    },

    /// More grants came than one address may send, or than the store takes at once: this one was not taken, and nothing
    /// was acknowledged.
    #[error(
        "this grant was one of too many and was not taken; it may be sent again in {} s; if all visitors seem to come from one address, name the proxy in front of the app with `Builder::trusted_proxies`, and if many share one, raise `Builder::grants_per_address`",
        retry_after.as_secs()
    )]
    TooManyGrants {
        /// When to try again, in whole seconds.
        retry_after: Duration,
    },

    /// What was handed in breaks a bound.
    #[error("{what}; {cure}")]
    Invalid {
        /// What is wrong.
        what: String,
        /// What to do about it.
        cure: String,
    },

    /// The store did not take or give it now: disk full, locked, gone. Nothing was acknowledged.
    #[error("store `{store}` is not available: {source}")]
    Unavailable {
        /// Which store speaks.
        store: &'static str,
        /// What it said.
        source: Source,
    },

    /// What the store holds cannot be read: damaged, or written by something else.
    #[error("store `{store}` holds something that cannot be read: {what}; {cure}")]
    Corrupt {
        /// Which store speaks.
        store: &'static str,
        /// What is wrong.
        what: String,
        /// What to do about it.
        cure: String,
    },

    /// A country file that cannot serve.
    #[error("country file: {what}; {cure}")]
    CountryFile {
        /// What is wrong with it.
        what: String,
        /// What to do about it.
        cure: String,
    },
}

impl Error {
    /// [`Error::Config`] from its two sentences.
    pub fn config(what: impl Into<String>, cure: impl Into<String>) -> Self {
        Self::Config { what: what.into(), cure: cure.into() }
    }

    /// [`Error::Invalid`] from its two sentences.
    pub fn invalid(what: impl Into<String>, cure: impl Into<String>) -> Self {
        Self::Invalid { what: what.into(), cure: cure.into() }
    }

    /// [`Error::Unavailable`] of a store.
    pub fn unavailable(store: &'static str, source: impl Into<Source>) -> Self {
        Self::Unavailable { store, source: source.into() }
    }

    /// [`Error::Corrupt`] of a store.
    pub fn corrupt(store: &'static str, what: impl Into<String>, cure: impl Into<String>) -> Self {
        Self::Corrupt { store, what: what.into(), cure: cure.into() }
    }

    /// Whether the app's own code asks for something that cannot be: a mistake that every visitor meets alike,
    /// and whose text names nothing but what the code asked for.
    #[must_use]
    pub fn is_misuse(&self) -> bool {
        matches!(
            self,
            Self::UnknownCategory { .. }
                | Self::UnknownService { .. }
                | Self::UnknownRecipient { .. }
                | Self::HeadSent
        )
    }

    pub(crate) fn not_granted(category: impl Into<String>) -> Self {
        Self::NotGranted { category: category.into() }
    }
}
