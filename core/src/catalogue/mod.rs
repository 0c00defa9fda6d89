//! What may be stored on the visitor's terminal, and who gets what: one catalogue per site.
//!
//! The gate, the banner, the cookie statement and the question whether to ask again are all read from it, so
//! they cannot disagree. It is written as TOML ([`Catalogue::from_toml`]) or in Rust
//! ([`Catalogue::builder`]). What cannot be true is refused; what looks wrong is reported by
//! [`Catalogue::warnings`].
//!
//! ```
//! use privet::Catalogue;
//!
//! let catalogue = Catalogue::from_toml(r#"
//!     [controller]
//!     name = "Garden Shop Ltd"
//!     contact = "privacy@garden.example"
//!
//!     [[category]]
//!     id = "analytics"
//!     purpose = "Counting which pages are read, to write better ones."
//!
//!     [[service]]
//!     id = "counter"
//!     provider = "Garden Shop Ltd"
//!     purpose = "Counts visits."
//!     legal_basis = "consent"
//!
//!     [[service.entry]]
//!     name = "visits"
//!     purpose = "Tells a first visit from a later one."
//!     duration = "30 days"
//!     trigger = "server"
//!     gate = { consent = "analytics" }
//! "#)?;
//! assert_eq!(catalogue.categories().len(), 1);
//! # Ok::<(), privet::Error>(())
//! ```
//!
//! # When visitors are asked again
//!
//! A decision is about what its category meant then. When the catalogue says that more is done, visitors are asked again,
//! about the categories concerned and no other: another recipient, country, host, entry, provider or legal basis, a longer
//! duration, more data, somebody else who can read. When it says less, or the same in other words, their decisions stand
//! (EDPB Guidelines 05/2020, paras 110 and 111). [`Material`] has the whole list, and what a text cannot tell:
//!
//! - `purpose_version = 2` in a category or service says that its purpose is another one, and not only told in other words;
//! - another recipient gets another id: under the same id a name is taken for a correction.
//!
//! ```
//! use privet::Catalogue;
//!
//! let toml = |more: &str| format!(r#"
//!     [controller]
//!     name = "Garden Shop Ltd"
//!     contact = "privacy@garden.example"
//!
//!     [[category]]
//!     id = "analytics"
//!     purpose = "Counting which pages are read."
//!     {more}
//! "#);
//! let before = Catalogue::from_toml(&toml(""))?;
//! let after = Catalogue::from_toml(&toml("purpose_version = 2"))?;
//! let changes = before.categories()[0].facts().changes(after.categories()[0].facts());
//! assert_eq!(changes[0].to_string(), "`analytics` serves another purpose");
//! # Ok::<(), privet::Error>(())
//! ```
//!
//! Each start compares the catalogue with the version of the statement that was published last, says in the log whom it
//! asks again and why, and publishes the new one; visitors read all of them, with their differences, below the cookie
//! statement.

mod build;
mod change;
mod check;
mod declare;
mod gate;
mod index;
mod lifetime;
mod lint;
mod load;
mod material;
mod own;
mod pattern;
mod preset;
mod statement;
mod text;
mod version;

pub use build::CatalogueBuilder;
pub use change::{ChangeKind, MaterialChange};
pub(crate) use check::MAX_CATEGORIES;
pub use declare::{CategoryDecl, Controller, EntryDecl, GateDecl, RecipientDecl, ServiceDecl};
pub use gate::{
    Attestation, CategoryCode, ConsentException, Exceptions, Exemption, Gate, LegalBasis, SameSite,
    StorageKind, Trigger, category_id,
};
pub use lifetime::{Lifetime, MAX_COOKIE_LIFE, TimeUnit};
pub use lint::{CatalogueError, Finding, Rule, Severity};
pub use material::{Material, MaterialEntry, MaterialRecipient, MaterialService};
pub use pattern::NamePattern;
pub use preset::Preset;
pub use statement::{Statement, StatementGroup, StatementItem, StatementRecipient};
pub use text::{Language, Text};
pub use version::{ChangedRow, NewStatement, StatementDiff, StatementVersion};

pub(crate) use version::Said;

pub(crate) use build::OwnCookies;
pub(crate) use index::{EntryGate, EntryId};
pub(crate) use own::OwnNames;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use crate::consent::NoticeWords;
use crate::error::{Error, Result};
use crate::ip::Strategy;
use index::Index;

/// A category of a built catalogue: the unit of consent (GDPR Art. 6(1)(a): "one or more specific purposes").
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Category {
    /// Its id, such as `analytics`.
    pub id: String,
    /// Its stable number.
    pub code: CategoryCode,
    /// The name a visitor reads.
    pub label: Text,
    /// What the visitor agrees to.
    pub purpose: Text,
    /// Whether Global Privacy Control switches it off.
    pub sale_or_share: bool,
    /// On which other basis, and why, what privet holds on this consent is kept when it is withdrawn; else it is erased.
    pub kept_on_withdrawal: Option<(LegalBasis, Text)>,
    /// Raised when the purpose becomes another one: visitors are then asked anew. Other words for it ask nobody.
    pub purpose_version: u16,
    #[serde(skip)]
    material: [u8; 32],
    #[serde(skip)]
    facts: Arc<Material>,
}

impl Category {
    /// Hash over what a consent depends on: services, recipients, countries, hosts, entries and their
    /// durations. A corrected typo does not change it, a new recipient does (EDPB 05/2020, para 110).
    #[must_use]
    pub fn material(&self) -> &[u8; 32] {
        &self.material
    }

    /// What the hash is made over.
    #[must_use]
    pub fn facts(&self) -> &Material {
        &self.facts
    }

    /// The part of [`material`](Self::material) that a device keeps with its decision.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 3] {
        [self.material[0], self.material[1], self.material[2]]
    }
}

/// A service of a built catalogue.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Service {
    /// Its id, such as `webwidget`.
    pub id: String,
    /// The name a visitor reads.
    pub label: Text,
    /// Who provides it.
    pub provider: String,
    /// What it is for.
    pub purpose: Text,
    /// Raised when the purpose becomes another one.
    pub purpose_version: u16,
    /// Why it may process personal data.
    pub legal_basis: LegalBasis,
    /// What opens its external content and its work on the server.
    pub gate: Option<Gate>,
    /// Ids of the recipients of its data.
    pub recipients: Vec<String>,
    /// Hosts that the visitor's browser loads something from.
    pub external_hosts: Vec<String>,
    /// What it stores.
    pub entries: Vec<CookieEntry>,
}

/// An entry of a built catalogue: one declared item of storage on the terminal.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct CookieEntry {
    /// Its name.
    pub name: NamePattern,
    /// Where it is stored.
    pub storage: StorageKind,
    /// What it is for.
    pub purpose: Text,
    /// How long it lives.
    pub lifetime: Lifetime,
    /// What opens it.
    pub gate: Gate,
    /// What makes it come into being.
    pub trigger: Trigger,
    /// The feature that has to be switched on for it to exist.
    pub condition: Option<String>,
    /// Third parties that can read it.
    pub third_party_access: Vec<String>,
    /// Paths it is set with; the first is the one that a new cookie gets.
    pub paths: Vec<String>,
    /// Domains it is set with; empty for the host alone.
    pub domains: Vec<String>,
    /// Whether scripts are kept away from it.
    pub http_only: bool,
    /// Its SameSite attribute.
    pub same_site: SameSite,
    /// Whether it is partitioned by top-level site.
    pub partitioned: bool,
}

impl CookieEntry {
    /// Whether it may be set anew while the browser still has it, which extends its life: what stands on the French
    /// exception for the measurement of the own audience may not. It is set only by answers to requests that would have brought
    /// it: below each of its paths, and for its `SameSite`.
    #[must_use]
    pub fn may_be_renewed(&self) -> bool {
        let Gate::UnlessObjected { exceptions, .. } = &self.gate else { return true };
        !exceptions.contain(ConsentException::FrAudienceMeasurement)
    }
}

/// A recipient of a built catalogue (GDPR Art. 13(1)(e)).
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Recipient {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// ISO 3166-1 code of its country.
    pub country: String,
    /// The safeguard of a transfer to a third country.
    pub safeguard: Option<String>,
    /// What it gets the data for.
    pub purpose: Text,
    /// The fields it may get.
    pub fields: Vec<String>,
    /// The headers of the visitor's request it may get, in lower case.
    pub headers: Vec<String>,
    /// What it gets in place of the visitor's address.
    pub address: Strategy,
    /// Where it is told when a visitor takes a consent back that concerns it.
    pub withdrawal_endpoint: Option<String>,
}

/// A catalogue that can be true. See the [module documentation](self).
#[derive(Clone, Debug)]
pub struct Catalogue {
    controller: Controller,
    languages: Vec<Language>,
    categories: Vec<Category>,
    services: Vec<Service>,
    recipients: Vec<Recipient>,
    words: BTreeMap<Language, NoticeWords>,
    material: [u8; 32],
    index: Index,
    warnings: Vec<Finding>,
    source: Arc<CatalogueBuilder>,
}

impl Catalogue {
    /// Reads, checks and builds a catalogue from TOML.
    ///
    /// # Errors
    /// [`Error::Catalogue`]: with line and column when the text is no TOML or has an unknown key, with every
    /// finding when it cannot be true.
    pub fn from_toml(text: &str) -> Result<Self> {
        CatalogueBuilder::from_toml(text)?.build()
    }

    /// Reads, checks and builds a catalogue from a TOML file. To have it in the binary instead, give
    /// `include_str!("…")` to [`from_toml`](Self::from_toml).
    ///
    /// # Errors
    /// [`Error::Config`] when the file cannot be read; else as `from_toml`.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        Self::from_toml(&load::read(path.as_ref())?)
    }

    /// Begins a catalogue in Rust with the operator of the site.
    #[must_use]
    pub fn builder(controller: Controller) -> CatalogueBuilder {
        CatalogueBuilder::new(controller)
    }

    /// The same catalogue with privet's own cookies as this site sets them.
    pub(crate) fn with_own(&self, own: &OwnCookies) -> Result<Self> {
        self.source.build_with(own)
    }

    /// Who answers for the site.
    #[must_use]
    pub fn controller(&self) -> &Controller {
        &self.controller
    }

    /// The languages of the site; the first is the default.
    #[must_use]
    pub fn languages(&self) -> &[Language] {
        &self.languages
    }

    /// The categories that are asked for.
    #[must_use]
    pub fn categories(&self) -> &[Category] {
        &self.categories
    }

    /// The category with this id.
    #[must_use]
    pub fn category(&self, id: &str) -> Option<&Category> {
        self.categories.iter().find(|c| c.id == id)
    }

    pub(crate) fn category_by_code(&self, code: CategoryCode) -> Option<&Category> {
        self.categories.iter().find(|c| c.code == code)
    }

    /// The services.
    #[must_use]
    pub fn services(&self) -> &[Service] {
        &self.services
    }

    /// The service with this id.
    #[must_use]
    pub fn service(&self, id: &str) -> Option<&Service> {
        self.services.iter().find(|s| s.id == id)
    }

    /// The recipients.
    #[must_use]
    pub fn recipients(&self) -> &[Recipient] {
        &self.recipients
    }

    /// The recipient with this id.
    ///
    /// # Errors
    /// [`Error::UnknownRecipient`] when none is declared.
    pub fn recipient(&self, id: &str) -> Result<&Recipient> {
        self.recipients
            .iter()
            .find(|r| r.id == id)
            .ok_or_else(|| Error::UnknownRecipient { recipient: id.to_owned() })
    }

    /// What looks wrong without being impossible.
    #[must_use]
    pub fn warnings(&self) -> &[Finding] {
        &self.warnings
    }

    /// Hash over everything that a consent on this site depends on.
    #[must_use]
    pub fn material(&self) -> &[u8; 32] {
        &self.material
    }

    /// The words of the notice in one of the catalogue's languages.
    pub(crate) fn words(&self, language: &Language) -> Option<&NoticeWords> {
        self.words.get(language)
    }

    fn codes(&self, wanted: impl Fn(&Category) -> bool) -> u64 {
        self.categories.iter().filter(|c| wanted(c)).fold(0, |all, c| all | c.code.bit())
    }

    /// Every category.
    pub(crate) fn all_codes(&self) -> u64 {
        self.codes(|_| true)
    }

    /// The categories that are a sale or sharing, on which Global Privacy Control bears.
    pub(crate) fn sales(&self) -> u64 {
        self.codes(|c| c.sale_or_share)
    }

    /// The categories that a regime may allow without a decision: all but contacts, which exist on a record.
    pub(crate) fn allowable(&self) -> u64 {
        self.codes(|c| c.id != category_id::CONTACTS)
    }

    pub(crate) fn find_cookie(&self, name: &[u8]) -> Option<EntryId> {
        self.index.find(name)
    }

    /// Every declared cookie.
    pub(crate) fn cookie_ids(&self) -> impl Iterator<Item = EntryId> + use<> {
        self.index.ids()
    }

    pub(crate) fn entry_gate(&self, id: EntryId) -> EntryGate {
        self.index.gate(id)
    }

    pub(crate) fn entry(&self, id: EntryId) -> &CookieEntry {
        let (service, entry) = self.index.place(id);
        &self.services[service].entries[entry]
    }

    pub(crate) fn service_of(&self, id: EntryId) -> &Service {
        &self.services[self.index.place(id).0]
    }

    /// The cookie entries that a category opens.
    pub(crate) fn cookies_of(&self, code: CategoryCode) -> impl Iterator<Item = &CookieEntry> {
        self.services
            .iter()
            .flat_map(|s| &s.entries)
            .filter(move |e| e.storage == StorageKind::Cookie && e.gate.category() == Some(code))
    }
}
