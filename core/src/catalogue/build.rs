//! From declarations to a catalogue that can be true.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Deserialize;

use super::check::Check;
use super::declare::{CategoryDecl, Controller, RecipientDecl, ServiceDecl};
use super::lint::{CatalogueError, Finding, Severity};
use super::own::OwnNames;
use super::preset::Preset;
use super::text::Language;
use super::{Catalogue, load};
use crate::consent::WordsDecl;
use crate::error::Result;
use crate::legal::Figure;

/// A catalogue in the making: declarations that nobody has checked yet.
///
/// ```
/// use privet::catalogue::{Catalogue, CategoryDecl, Controller, EntryDecl, GateDecl, LegalBasis, ServiceDecl, Trigger};
///
/// let catalogue = Catalogue::builder(Controller::new("Garden Shop Ltd", "privacy@garden.example"))
///     .language("en")
///     .category(CategoryDecl::new("analytics").purpose("en", "Counting which pages are read."))
///     .service(
///         ServiceDecl::new("counter", "Garden Shop Ltd")
///             .purpose("en", "Counts visits.")
///             .legal_basis(LegalBasis::Consent)
///             .entry(
///                 EntryDecl::new("visits")
///                     .purpose("en", "Tells a first visit from a later one.")
///                     .duration("30 days")
///                     .trigger(Trigger::Server)
///                     .gate(GateDecl::consent("analytics")),
///             ),
///     )
///     .build()?;
/// assert_eq!(catalogue.services()[0].id, "counter");
/// # Ok::<(), privet::Error>(())
/// ```
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CatalogueBuilder {
    #[serde(default)]
    pub(super) controller: Controller,
    #[serde(default)]
    pub(super) languages: Vec<Language>,
    #[serde(default)]
    pub(super) features: BTreeSet<String>,
    #[serde(default)]
    pub(super) presets: Vec<String>,
    #[serde(default)]
    pub(super) notice: BTreeMap<Language, WordsDecl>,
    #[serde(default, rename = "category")]
    pub(super) categories: Vec<CategoryDecl>,
    #[serde(default, rename = "service")]
    pub(super) services: Vec<ServiceDecl>,
    #[serde(default, rename = "recipient")]
    pub(super) recipients: Vec<RecipientDecl>,
}

/// How privet's own cookies look on one site.
#[derive(Clone, Debug)]
pub(crate) struct OwnCookies {
    pub(crate) names: OwnNames,
    pub(crate) domain: Option<String>,
    pub(crate) choice_life: Duration,
    /// How long refusals are kept as objections; zero where everybody is asked anyway.
    pub(crate) consent_life: Duration,
    pub(crate) accounts: bool,
}

impl Default for OwnCookies {
    fn default() -> Self {
        Self {
            names: OwnNames::default(),
            domain: None,
            choice_life: Figure::ChoiceLife.built_in(),
            consent_life: Duration::ZERO,
            accounts: false,
        }
    }
}

impl CatalogueBuilder {
    pub(super) fn new(controller: Controller) -> Self {
        Self { controller, ..Self::default() }
    }

    /// Reads declarations from TOML.
    ///
    /// # Errors
    /// [`CatalogueError::Toml`] with line and column, for broken TOML, unknown keys and unknown words.
    pub fn from_toml(text: &str) -> Result<Self> {
        load::from_toml(text)
    }

    pub(super) fn into_services(self) -> Vec<ServiceDecl> {
        self.services
    }

    /// Adds a language; the first is the default. English, if none is given. A tag that is none is left out.
    #[must_use]
    pub fn language(mut self, tag: &str) -> Self {
        self.languages.extend(Language::new(tag));
        self
    }

    /// Switches a feature on, so that entries with this condition exist.
    #[must_use]
    pub fn feature(mut self, name: impl Into<String>) -> Self {
        self.features.insert(name.into());
        self
    }

    /// Adds the cookies of a well-known crate.
    #[must_use]
    pub fn preset(mut self, preset: Preset) -> Self {
        self.presets.push(preset.as_str().to_owned());
        self
    }

    /// Adds a category.
    #[must_use]
    pub fn category(mut self, category: CategoryDecl) -> Self {
        self.categories.push(category);
        self
    }

    /// Adds a service.
    #[must_use]
    pub fn service(mut self, service: ServiceDecl) -> Self {
        self.services.push(service);
        self
    }

    /// Adds a recipient.
    #[must_use]
    pub fn recipient(mut self, recipient: RecipientDecl) -> Self {
        self.recipients.push(recipient);
        self
    }

    /// Everything that is wrong or looks wrong, errors first.
    #[must_use]
    pub fn lint(&self) -> Vec<Finding> {
        self.check(&OwnCookies::default()).1
    }

    /// Checks and builds.
    ///
    /// # Errors
    /// [`CatalogueError::Untrue`] with every finding, when one of them is an error.
    pub fn build(&self) -> Result<Catalogue> {
        self.build_with(&OwnCookies::default())
    }

    pub(crate) fn build_with(&self, own: &OwnCookies) -> Result<Catalogue> {
        let (catalogue, mut findings) = self.check(own);
        match catalogue {
            Some(mut catalogue) if findings.iter().all(|f| f.severity() == Severity::Warning) => {
                catalogue.warnings = std::mem::take(&mut findings);
                Ok(catalogue)
            }
            _ => Err(CatalogueError::Untrue(findings).into()),
        }
    }

    fn check(&self, own: &OwnCookies) -> (Option<Catalogue>, Vec<Finding>) {
        let mut check = Check::new(self);
        let catalogue = check.catalogue(self, own);
        let mut findings = check.findings;
        findings.sort_by_key(|f| std::cmp::Reverse(f.severity()));
        (catalogue, findings)
    }
}
