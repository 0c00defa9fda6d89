//! Whether declarations can be true together: each check leaves findings.

mod categories;
mod entries;
mod services;
mod together;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::build::{CatalogueBuilder, OwnCookies};
use super::declare::{Controller, GateDecl, RecipientDecl, ServiceDecl};
use super::gate::{CategoryCode, category_id};
use super::index::Index;
use super::lint::{Finding, Rule};
use super::material::{self, Material};
use super::own::{self, OWN_SERVICE, OwnNeeds};
use super::preset::Preset;
use super::text::{Language, Text};
use super::{Catalogue, Category};
use crate::consent::resolve_words;

pub(super) struct Check<'a> {
    pub(super) findings: Vec<Finding>,
    languages: Vec<Language>,
    controller: &'a Controller,
    /// Declared categories with a usable code.
    codes: BTreeMap<String, CategoryCode>,
    service_ids: BTreeSet<String>,
    recipient_ids: BTreeSet<String>,
    used_categories: BTreeSet<String>,
}

const COOKIE_SIZE_LIMIT: usize = 4096;
const USEFUL_CATEGORIES: usize = 7;
/// What the device's cookie has room for.
pub(crate) const MAX_CATEGORIES: usize = 16;

impl<'a> Check<'a> {
    pub(super) fn new(decl: &'a CatalogueBuilder) -> Self {
        let mut languages = decl.languages.clone();
        let mut seen = BTreeSet::new();
        languages.retain(|l| seen.insert(l.clone()));
        if languages.is_empty() {
            languages.extend(Language::new("en"));
        }
        Self {
            findings: Vec::new(),
            languages,
            controller: &decl.controller,
            codes: BTreeMap::new(),
            service_ids: BTreeSet::new(),
            recipient_ids: BTreeSet::new(),
            used_categories: BTreeSet::new(),
        }
    }

    fn find(&mut self, rule: Rule, entry: &str, what: impl Into<String>, cure: impl Into<String>) {
        self.findings.push(Finding::new(rule, entry, what, cure));
    }

    pub(super) fn catalogue(&mut self, decl: &CatalogueBuilder, own: &OwnCookies) -> Option<Catalogue> {
        self.controller_is_named();
        let words = self.words(decl);
        let mut services = self.with_presets(decl);
        self.collect_ids(&services, &decl.recipients);
        let mut categories = self.categories(&decl.categories);
        services.extend(self.own_service(&services, &categories, own));
        self.service_ids.insert(OWN_SERVICE.to_owned());
        let recipients: Vec<_> = decl.recipients.iter().map(|r| self.recipient(r)).collect();
        let mut services: Vec<_> = services.into_iter().filter_map(|s| self.service(s, &own.names)).collect();
        // Checked like the others, an entry whose feature is off then does not exist.
        for service in &mut services {
            service.entries.retain(|e| e.condition.as_ref().is_none_or(|f| decl.features.contains(f)));
        }
        self.names_do_not_meet(&services);
        self.everything_is_used(&categories, &recipients, &services);
        for c in &mut categories {
            c.facts = Arc::new(Material::of(c, &services, &recipients));
            c.material = c.facts.hash();
        }
        let material = material::of_all(categories.iter().map(|c| &*c.facts));
        let index = Index::new(&services);
        Some(Catalogue {
            controller: self.controller.clone(),
            languages: self.languages.clone(),
            categories,
            services,
            recipients,
            words: words?,
            material,
            index,
            warnings: Vec::new(),
            source: Arc::new(decl.clone()),
        })
    }

    fn controller_is_named(&mut self) {
        for (what, value) in [("name", &self.controller.name), ("contact", &self.controller.contact)] {
            if value.trim().is_empty() {
                self.find(
                    Rule::ControllerMissing,
                    "controller",
                    format!("the controller's {what} is missing"),
                    format!("write `{what} = \"…\"` under `[controller]`"),
                );
            }
        }
    }

    fn words(&mut self, decl: &CatalogueBuilder) -> Option<BTreeMap<Language, crate::consent::NoticeWords>> {
        let mut all = BTreeMap::new();
        for language in self.languages.clone() {
            match resolve_words(&language, &decl.notice) {
                Ok(words) => {
                    all.insert(language, words);
                }
                Err(missing) => self.find(
                    Rule::WordsMissing,
                    &format!("notice {language}"),
                    format!(
                        "privet has no words in `{language}`, and these are not given: {}",
                        missing.join(", ")
                    ),
                    format!(
                        "write them under `[notice.{language}]`, or leave the language out of `languages`"
                    ),
                ),
            }
        }
        (all.len() == self.languages.len()).then_some(all)
    }

    fn with_presets(&mut self, decl: &CatalogueBuilder) -> Vec<ServiceDecl> {
        let mut services = Vec::new();
        for name in &decl.presets {
            let preset = Preset::named(name).and_then(|p| p.services().ok());
            let Some(preset) = preset else {
                let known = Preset::ALL.map(Preset::as_str).join(", ");
                self.find(
                    Rule::UnknownPreset,
                    &format!("preset {name}"),
                    "privet has no such preset",
                    format!("use one of: {known}"),
                );
                continue;
            };
            for mut service in preset {
                service.provider.clone_from(&decl.controller.name);
                // Two presets may bring the same service, as tower-sessions and axum-login bring a session.
                if !services.iter().chain(&decl.services).any(|s: &ServiceDecl| s.id == service.id) {
                    services.push(service);
                }
            }
        }
        decl.services.iter().cloned().chain(services).collect()
    }

    fn own_service(
        &self,
        services: &[ServiceDecl],
        categories: &[Category],
        own: &OwnCookies,
    ) -> Option<ServiceDecl> {
        let waits = |g: Option<&GateDecl>| g.is_some_and(|g| g.activation.is_some());
        own::service(&OwnNeeds {
            names: &own.names,
            domain: own.domain.as_deref(),
            choice_life: own.choice_life,
            consent_life: own.consent_life.max(own.choice_life),
            has_categories: !categories.is_empty(),
            has_activation: services.iter().any(|s| {
                !s.activated_by.is_empty()
                    || waits(s.gate.as_ref())
                    || s.entries.iter().any(|e| waits(e.gate.as_ref()))
            }),
            has_accounts: own.accounts && !categories.is_empty(),
            has_contacts: categories.iter().any(|c| c.id == category_id::CONTACTS),
        })
    }

    fn collect_ids(&mut self, services: &[ServiceDecl], recipients: &[RecipientDecl]) {
        for service in services {
            let fresh = self.service_ids.insert(service.id.clone()) && service.id != OWN_SERVICE;
            self.id_is_plain("service", &service.id, fresh);
        }
        for recipient in recipients {
            let fresh = self.recipient_ids.insert(recipient.id.clone());
            self.id_is_plain("recipient", &recipient.id, fresh);
        }
    }

    fn id_is_plain(&mut self, kind: &str, id: &str, fresh: bool) {
        let at = format!("{kind} {id}");
        let plain = (1..=64).contains(&id.len())
            && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
        if !plain {
            self.find(
                Rule::BadId,
                &at,
                "the id is empty, longer than 64 characters, or holds more than letters, digits, `_`, `-`",
                "give it a short plain id",
            );
        }
        if !fresh {
            self.find(
                Rule::BadId,
                &at,
                "the id is taken",
                "give every category, service and recipient an id of its own; `privet` is privet's",
            );
        }
    }

    fn text(&mut self, at: &str, what: &str, mut text: Text) -> Text {
        let first = self.languages[0].clone();
        text.settle(&first);
        for language in self.languages.clone() {
            if text.has(&language) {
                continue;
            }
            let rule = if language == first { Rule::TextMissing } else { Rule::LanguageMissing };
            self.find(
                rule,
                at,
                format!("the {what} is missing in `{language}`"),
                format!("write `{what} = {{ {language} = \"…\" }}`"),
            );
        }
        text
    }
}
