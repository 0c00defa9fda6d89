//! From declarations to a catalogue that can be true.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use super::declare::{CategoryDecl, Controller, EntryDecl, GateDecl, RecipientDecl, ServiceDecl};
use super::gate::{CategoryCode, Exemption, Gate, SameSite, Storage, Trigger, category_id};
use super::index::Index;
use super::lifetime::{BadLifetime, Lifetime, MAX_COOKIE_LIFE};
use super::lint::{CatalogueError, Finding, Rule, Severity};
use super::own::{self, OWN_SERVICE, OwnNames, OwnNeeds};
use super::pattern::NamePattern;
use super::preset::Preset;
use super::text::{Language, Text};
use super::{Catalogue, Category, CookieEntry, Recipient, Service, load, material};
use crate::consent::{DEFAULT_CHOICE_LIFE, WordsDecl, resolve_words};
use crate::error::Result;

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
    controller: Controller,
    #[serde(default)]
    languages: Vec<Language>,
    #[serde(default)]
    features: BTreeSet<String>,
    #[serde(default)]
    presets: Vec<String>,
    #[serde(default)]
    notice: BTreeMap<Language, WordsDecl>,
    #[serde(default, rename = "category")]
    categories: Vec<CategoryDecl>,
    #[serde(default, rename = "service")]
    services: Vec<ServiceDecl>,
    #[serde(default, rename = "recipient")]
    recipients: Vec<RecipientDecl>,
}

/// How privet's own cookies look on one site.
#[derive(Clone, Debug)]
pub(crate) struct OwnCookies {
    pub(crate) names: OwnNames,
    pub(crate) domain: Option<String>,
    pub(crate) choice_life: Duration,
}

impl Default for OwnCookies {
    fn default() -> Self {
        Self { names: OwnNames::default(), domain: None, choice_life: DEFAULT_CHOICE_LIFE }
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

struct Check<'a> {
    findings: Vec<Finding>,
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
    fn new(decl: &'a CatalogueBuilder) -> Self {
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

    fn catalogue(&mut self, decl: &CatalogueBuilder, own: &OwnCookies) -> Option<Catalogue> {
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
            c.material = material::of_category(c, &services, &recipients);
        }
        let material = material::of_all(categories.iter().map(|c| (c.code.get(), &c.material)));
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
            has_categories: !categories.is_empty(),
            has_activation: services.iter().any(|s| {
                !s.activated_by.is_empty()
                    || waits(s.gate.as_ref())
                    || s.entries.iter().any(|e| waits(e.gate.as_ref()))
            }),
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

    fn categories(&mut self, declared: &[CategoryDecl]) -> Vec<Category> {
        let mut categories: Vec<Category> = Vec::new();
        for decl in declared {
            let at = format!("category {}", decl.id);
            if decl.id == category_id::NECESSARY {
                self.find(
                    Rule::NecessaryIsNotAsked,
                    &at,
                    "what is necessary is not asked for",
                    "remove the category and give its entries an `exempt` gate with a justification",
                );
                continue;
            }
            let fresh = !categories.iter().any(|c| c.id == decl.id);
            self.id_is_plain("category", &decl.id, fresh);
            let code = self.code(&at, decl);
            let Some(code) = code else {
                // Known by name, so that its entries are not reported a second time as unknown.
                self.codes.extend(CategoryCode::new(CategoryCode::MAX).map(|c| (decl.id.clone(), c)));
                continue;
            };
            if let Some(other) = categories.iter().find(|c| c.code == code) {
                let what = format!("code {} is already the one of `{}`", code.get(), other.id);
                self.find(
                    Rule::BadCode,
                    &at,
                    what,
                    "give every category a code of its own, and never give a code to another category",
                );
            }
            self.codes.insert(decl.id.clone(), code);
            let label = if decl.label.is_empty() && CategoryCode::built_in(&decl.id).is_some() {
                Text::default()
            } else {
                self.text(&at, "label", decl.label.clone())
            };
            let purpose = self.text(&at, "purpose", decl.purpose.clone());
            categories.push(Category {
                id: decl.id.clone(),
                code,
                label,
                purpose,
                sale_or_share: decl.sale_or_share,
                material: [0; 32],
            });
        }
        if categories.len() > MAX_CATEGORIES {
            self.find(
                Rule::TooManyCategories,
                "catalogue",
                format!(
                    "{} categories are asked for; the device's cookie has room for {MAX_CATEGORIES}",
                    categories.len()
                ),
                "join those that serve one purpose",
            );
        } else if categories.len() > USEFUL_CATEGORIES {
            self.find(
                Rule::ManyCategories,
                "catalogue",
                format!("{} categories are asked for", categories.len()),
                "join those that serve one purpose; the device's cookie grows with each",
            );
        }
        categories
    }

    fn code(&mut self, at: &str, decl: &CategoryDecl) -> Option<CategoryCode> {
        match (CategoryCode::built_in(&decl.id), decl.code) {
            (Some(built_in), None) => Some(built_in),
            (Some(built_in), Some(code)) if built_in.get() == code => Some(built_in),
            (Some(built_in), Some(_)) => {
                self.find(
                    Rule::BadCode,
                    at,
                    format!("a built-in category has the code {}", built_in.get()),
                    "leave the code out",
                );
                None
            }
            (None, Some(code)) if (CategoryCode::FIRST_OWN..=CategoryCode::MAX).contains(&code) => {
                CategoryCode::new(code)
            }
            (None, _) => {
                let what = format!(
                    "a category of the app's own needs a code from {} to {}",
                    CategoryCode::FIRST_OWN,
                    CategoryCode::MAX
                );
                self.find(
                    Rule::BadCode,
                    at,
                    what,
                    "write `code = 8` or the next free one, and never give it to another category",
                );
                None
            }
        }
    }

    fn recipient(&mut self, decl: &RecipientDecl) -> Recipient {
        let at = format!("recipient {}", decl.id);
        if decl.name.trim().is_empty() {
            self.find(
                Rule::TextMissing,
                &at,
                "the name is missing",
                "write `name = \"…\"`: recipients are named (GDPR Art. 13(1)(e))",
            );
        }
        let country = decl.country.to_ascii_uppercase();
        if country.len() != 2 || !country.bytes().all(|b| b.is_ascii_uppercase()) {
            self.find(
                Rule::BadCountry,
                &at,
                "the country is missing or no ISO 3166-1 code",
                "write `country = \"NL\"`",
            );
        }
        for field in &decl.fields {
            let plain = !field.is_empty()
                && field.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
            if !plain
                || matches!(field.as_str(), "ip" | "address" | "ip_address" | "client_ip" | "remote_addr")
            {
                self.find(Rule::BadField, &at, format!("field `{}` cannot be given to anybody", field.escape_default()), "name plain fields; for the address write `address = \"keyed-hash\"` and the field `pseudonym`");
            }
        }
        let headers: Vec<_> = decl.headers.iter().map(|h| h.to_ascii_lowercase()).collect();
        for header in &headers {
            if crate::ip::carries_address(header)
                || matches!(
                    header.as_str(),
                    "cookie" | "authorization" | "set-cookie" | "proxy-authorization"
                )
            {
                self.find(
                    Rule::BadField,
                    &at,
                    format!("header `{header}` cannot be given to anybody"),
                    "take it off `headers`: it carries an address or a secret",
                );
            }
        }
        Recipient {
            id: decl.id.clone(),
            name: decl.name.clone(),
            country,
            safeguard: decl.safeguard.clone(),
            purpose: self.text(&at, "purpose", decl.purpose.clone()),
            fields: decl.fields.clone(),
            headers,
            address: decl.address,
        }
    }

    fn service(&mut self, mut decl: ServiceDecl, own: &OwnNames) -> Option<Service> {
        let at = format!("service {}", decl.id);
        let from_privet = decl.id == OWN_SERVICE;
        if decl.provider.trim().is_empty() {
            if from_privet {
                decl.provider.clone_from(&self.controller.name);
            } else {
                self.find(
                    Rule::ProviderMissing,
                    &at,
                    "the provider is missing",
                    "write `provider = \"…\"`: the visitor has to know who sets it",
                );
            }
        }
        if decl.legal_basis.is_none() {
            self.find(
                Rule::LegalBasisMissing,
                &at,
                "the legal basis is missing",
                "write `legal_basis = \"consent\"` or another of GDPR Art. 6(1)",
            );
        }
        let purpose = self.text(&at, "purpose", std::mem::take(&mut decl.purpose));
        let label = if decl.label.is_empty() {
            let mut label = Text::default();
            label.set(Some(self.languages[0].clone()), decl.id.clone());
            label
        } else {
            self.text(&at, "label", std::mem::take(&mut decl.label))
        };
        for recipient in &decl.recipients {
            if !self.recipient_ids.contains(recipient) {
                self.find(
                    Rule::UnknownRecipient,
                    &at,
                    format!("recipient `{recipient}` is not declared"),
                    format!("write `[[recipient]]` with `id = \"{recipient}\"`"),
                );
            }
        }
        if decl.external_content && decl.external_hosts.is_empty() {
            self.find(
                Rule::ExternalSourceUnnamed,
                &at,
                "external content is announced and no source is named",
                "write `external_hosts = [\"…\"]`, or take `external_content` away",
            );
        }
        let gate = decl.gate.take().and_then(|g| self.gate(&at, &g));
        let entries = std::mem::take(&mut decl.entries);
        let entries: Vec<_> = entries.iter().filter_map(|e| self.entry(&decl, e, own, from_privet)).collect();
        Some(Service {
            id: decl.id,
            label,
            provider: decl.provider,
            purpose,
            legal_basis: decl.legal_basis?,
            gate,
            recipients: decl.recipients,
            external_hosts: decl.external_hosts,
            entries,
        })
    }

    fn gate(&mut self, at: &str, decl: &GateDecl) -> Option<Gate> {
        let given = [
            decl.exempt.is_some(),
            decl.activation.is_some(),
            decl.consent.is_some(),
            decl.unless_objected.is_some(),
        ];
        if given.iter().filter(|g| **g).count() != 1 {
            self.find(
                Rule::BadGate,
                at,
                "the gate names none or several of `exempt`, `activation`, `consent`, `unless_objected`",
                "name exactly one",
            );
            return None;
        }
        if let Some(reason) = decl.exempt {
            let justification = decl.justification.clone().unwrap_or_default();
            if justification.trim().is_empty() {
                self.find(Rule::ExemptUnjustified, at, "an exemption is claimed and not justified", "write `justification = \"…\"`: why the visitor's own request cannot be served without it; or ask for consent");
                return None;
            }
            return Some(Gate::Exempt { reason, justification });
        }
        if let Some(service) = &decl.activation {
            if !self.service_ids.contains(service) {
                self.find(
                    Rule::UnknownService,
                    at,
                    format!("service `{service}` is not declared"),
                    format!("write `[[service]]` with `id = \"{service}\"`, or name a declared one"),
                );
                return None;
            }
            return Some(Gate::Activation { service: service.clone() });
        }
        let category = decl.consent.as_ref().or(decl.unless_objected.as_ref())?;
        if category == category_id::NECESSARY {
            self.find(
                Rule::NecessaryIsNotAsked,
                at,
                "what is necessary is not asked for",
                "write `gate = { exempt = \"…\", justification = \"…\" }`",
            );
            return None;
        }
        let Some(code) = self.codes.get(category).copied() else {
            self.find(
                Rule::UnknownCategory,
                at,
                format!("category `{category}` is not declared"),
                format!("write `[[category]]` with `id = \"{category}\"`, or name a declared one"),
            );
            return None;
        };
        self.used_categories.insert(category.clone());
        Some(if decl.consent.is_some() { Gate::Consent(code) } else { Gate::UnlessObjected(code) })
    }

    fn entry(
        &mut self,
        service: &ServiceDecl,
        decl: &EntryDecl,
        own: &OwnNames,
        from_privet: bool,
    ) -> Option<CookieEntry> {
        let at = format!("entry {}/{}", service.id, decl.name);
        let name = match NamePattern::parse(&decl.name) {
            Ok(name) => Some(name),
            Err(e) => {
                self.find(Rule::BadName, &at, e.to_string(), "write the name as it is set");
                None
            }
        };
        if let Some(name) = &name {
            self.name_fits(&at, name, decl, from_privet, own);
        }
        let gate = match &decl.gate {
            None => {
                self.find(Rule::BadGate, &at, "the gate is missing", "write `gate = { consent = \"…\" }`, `{ activation = \"…\" }` or `{ exempt = \"…\", justification = \"…\" }`");
                None
            }
            Some(gate) => self.gate(&at, gate),
        };
        let lifetime = self.lifetime(&at, decl);
        let trigger = decl.trigger.or_else(|| decl.gesture.as_ref().map(|_| Trigger::Gesture));
        if trigger.is_none() {
            self.find(
                Rule::TriggerMissing,
                &at,
                "what makes it come into being is not said",
                "write `trigger = \"load\"`, `\"timer\"`, `\"gesture\"` or `\"server\"`",
            );
        }
        let purpose = self.text(&at, "purpose", decl.purpose.clone());
        if let (Some(gate), Some(trigger)) = (&gate, trigger) {
            self.trigger_fits(&at, service, decl, gate, trigger);
        }
        if let (Some(Gate::Exempt { reason, .. }), Some(lifetime), false) = (&gate, lifetime, from_privet) {
            self.exempt_is_short(&at, *reason, lifetime);
        }
        let mut third_party_access = decl.third_party_access.clone();
        third_party_access.extend(service.third_party_access.iter().cloned());
        third_party_access.sort();
        third_party_access.dedup();
        Some(CookieEntry {
            name: name?,
            storage: decl.storage,
            purpose,
            lifetime: lifetime?,
            gate: gate?,
            trigger: trigger?,
            condition: decl.condition.clone(),
            third_party_access,
            paths: if decl.path.0.is_empty() { vec!["/".to_owned()] } else { decl.path.0.clone() },
            domains: decl.domain.0.iter().map(|d| d.trim_start_matches('.').to_ascii_lowercase()).collect(),
            http_only: decl.http_only.unwrap_or(true),
            same_site: decl.same_site.unwrap_or(SameSite::Lax),
            partitioned: decl.partitioned,
        })
    }

    fn name_fits(
        &mut self,
        at: &str,
        name: &NamePattern,
        decl: &EntryDecl,
        from_privet: bool,
        own: &OwnNames,
    ) {
        if !from_privet
            && (own.is_own(name.as_str().as_bytes()) || OwnNames::default().is_own(name.as_str().as_bytes()))
        {
            self.find(
                Rule::ReservedName,
                at,
                "privet sets this cookie itself",
                "remove the entry; it is in the catalogue and in the statement already",
            );
        }
        if name.literal().is_none() && name.fixed_len() < 3 {
            self.find(
                Rule::PatternTooWide,
                at,
                "fewer than three characters of the name are fixed",
                "fix more of it, or cookies of others are taken for this one",
            );
        }
        if decl.storage != Storage::Cookie {
            return;
        }
        // RFC 6265bis, section 4.1.1: a cookie name is a token.
        let token = |b: u8| b.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?={}".contains(&b);
        let sample = name.as_str().replace(['<', '>'], "");
        if !sample.bytes().all(token) {
            self.find(
                Rule::BadName,
                at,
                "a cookie name holds a character that browsers or servers refuse",
                "use letters, digits and `!#$%&'*+-.^_`|~`",
            );
        }
        if name.as_str().len() > COOKIE_SIZE_LIMIT {
            self.find(
                Rule::BadName,
                at,
                format!("browsers ignore a cookie of more than {COOKIE_SIZE_LIMIT} octets of name and value"),
                "shorten the name",
            );
        }
        let lower = name.as_str().to_ascii_lowercase();
        let has_domain = decl.domain.0.iter().any(|d| !d.trim().is_empty());
        let has_path = decl.path.0.iter().any(|p| p != "/");
        if lower.starts_with("__host-") && (has_domain || has_path) {
            self.find(
                Rule::BadName,
                at,
                "a `__Host-` cookie has no Domain and the path `/`",
                "take `domain` and `path` away, or name it `__Secure-…`",
            );
        }
        let http_prefix = lower.starts_with("__http-") || lower.starts_with("__host-http-");
        if http_prefix && decl.http_only == Some(false) {
            self.find(
                Rule::BadName,
                at,
                "a `__Http-` cookie is kept away from scripts",
                "take `http_only = false` away, or name it otherwise",
            );
        }
    }

    fn lifetime(&mut self, at: &str, decl: &EntryDecl) -> Option<Lifetime> {
        match Lifetime::parse(&decl.duration) {
            Ok(Lifetime::Exactly(d)) if decl.storage == Storage::Cookie && d > MAX_COOKIE_LIFE => {
                self.find(
                    Rule::DurationOverLimit,
                    at,
                    format!("`{}` is longer than browsers keep a cookie", decl.duration),
                    "write at most `400 days`",
                );
                None
            }
            Ok(lifetime) => Some(lifetime),
            Err(BadLifetime::Missing) => {
                let what = if decl.duration.trim().is_empty() {
                    "the duration is missing".to_owned()
                } else {
                    format!("`{}` names no period", decl.duration)
                };
                self.find(
                    Rule::DurationMissing,
                    at,
                    what,
                    "write how long it lives: `duration = \"180 days\"`, or `\"session\"`",
                );
                None
            }
            Err(BadLifetime::Inexact) => {
                self.find(
                    Rule::DurationInexact,
                    at,
                    format!("`{}` has no exact length", decl.duration),
                    "write it in days: 395 days for 13 months, 365 days for a year",
                );
                None
            }
            Err(BadLifetime::Unreadable) => {
                self.find(
                    Rule::DurationInexact,
                    at,
                    format!("`{}` is no duration", decl.duration.escape_default()),
                    "write a number and a unit: seconds, minutes, hours, days or weeks",
                );
                None
            }
        }
    }

    fn trigger_fits(
        &mut self,
        at: &str,
        service: &ServiceDecl,
        decl: &EntryDecl,
        gate: &Gate,
        trigger: Trigger,
    ) {
        let before_the_visitor_acts = matches!(trigger, Trigger::Load | Trigger::Timer);
        if before_the_visitor_acts && gate.category().is_none() && service.no_storage_before_activation {
            self.find(
                Rule::PromiseBroken,
                at,
                "it is set before the visitor acts, and the service promises to store nothing before that",
                "set it after the visitor starts the service (`trigger = \"gesture\"`), ask for consent (`gate = { consent = \"…\" }`), or keep it in the page's memory and remove the entry",
            );
            return;
        }
        let Gate::Activation { service: waits_for } = gate else { return };
        if before_the_visitor_acts {
            self.find(
                Rule::ActivationWithoutGesture,
                at,
                "it waits for the visitor to start the service and is set by load or timer",
                "set it on the visitor's gesture",
            );
        } else if let (Trigger::Gesture, Some(gesture)) = (trigger, &decl.gesture)
            && *waits_for == service.id
            && !service.activated_by.contains(gesture)
        {
            self.find(
                Rule::GestureIsNotActivation,
                at,
                format!("`{gesture}` is a gesture of the visitor that does not start the service"),
                "set it only once the service is started, or keep the state in the page's memory until then",
            );
        }
    }

    fn exempt_is_short(&mut self, at: &str, reason: Exemption, lifetime: Lifetime) {
        let days = |n: u64| Duration::from_secs(n * 86_400);
        let (limit, word) = match reason {
            Exemption::Transmission | Exemption::LoadBalancing | Exemption::MediaPlayer => {
                (Duration::ZERO, "the session")
            }
            Exemption::UserInput | Exemption::RequestedService => (days(1), "the session or a few hours"),
            Exemption::UiPreference => (days(31), "the session or slightly longer"),
            Exemption::ChoiceMemory => (days(184), "six months"),
            Exemption::Auth | Exemption::Security => return,
        };
        if lifetime.exactly().is_some_and(|d| d > limit) {
            self.find(
                Rule::ExemptTooLong,
                at,
                format!("it lives for {lifetime}, and its reason needs {word}"),
                "shorten the duration, or ask for consent",
            );
        }
    }

    fn names_do_not_meet(&mut self, services: &[Service]) {
        let cookies: Vec<_> = services
            .iter()
            .flat_map(|s| s.entries.iter().map(move |e| (s, e)))
            .filter(|(_, e)| e.storage == Storage::Cookie)
            .collect();
        for (n, (service, entry)) in cookies.iter().enumerate() {
            for (other_service, other) in &cookies[n + 1..] {
                let exempt = |e: &CookieEntry| matches!(e.gate, Gate::Exempt { .. });
                let same_gate = entry.gate == other.gate || (exempt(entry) && exempt(other));
                if !same_gate && meet(&entry.name, &other.name) {
                    self.find(
                        Rule::OverlappingNames,
                        &format!("entry {}/{}", other_service.id, other.name),
                        format!(
                            "its name meets `{}` of service `{}`, and their gates differ",
                            entry.name, service.id
                        ),
                        "give them names that no cookie can both have",
                    );
                }
            }
        }
    }

    fn everything_is_used(
        &mut self,
        categories: &[Category],
        recipients: &[Recipient],
        services: &[Service],
    ) {
        for c in categories {
            if c.id != category_id::CONTACTS && !self.used_categories.contains(&c.id) {
                self.find(
                    Rule::Unused,
                    &format!("category {}", c.id),
                    "no service and no entry asks for it",
                    "remove it, or give the service that needs it `gate = { consent = \"…\" }`",
                );
            }
        }
        for r in recipients {
            if !services.iter().any(|s| s.recipients.contains(&r.id)) {
                self.find(
                    Rule::Unused,
                    &format!("recipient {}", r.id),
                    "no service names it",
                    "name it in the `recipients` of the service whose data it gets, so that the notice tells",
                );
            }
        }
    }
}

/// Whether some name could be both. Between two patterns this tries samples, which finds equal shapes.
fn meet(a: &NamePattern, b: &NamePattern) -> bool {
    let sample = |p: &NamePattern| p.literal().map_or_else(|| fill(p.as_str()), str::to_owned);
    a == b || a.matches(&sample(b)) || b.matches(&sample(a))
}

fn fill(pattern: &str) -> String {
    let mut out = String::new();
    let mut inside = false;
    for c in pattern.chars() {
        match c {
            '<' => inside = true,
            '>' => {
                inside = false;
                out.push('x');
            }
            c if !inside => out.push(c),
            _ => {}
        }
    }
    out
}
