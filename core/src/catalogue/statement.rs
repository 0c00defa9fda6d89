//! The cookie statement: the catalogue as a visitor reads it, in one language.

use data_encoding::HEXLOWER;
use serde::Serialize;

use super::gate::{CategoryCode, Gate, LegalBasis, StorageKind, Trigger};
use super::{Catalogue, Controller, CookieEntry, Language, Service};

/// What is stored, by whom, why, for how long, and who can read it (CJEU C-673/17, Planet49), in one language.
/// Web pages, Markdown and JSON are made from it.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Statement {
    /// The language of its texts.
    pub language: Language,
    /// Who answers for the site.
    pub controller: Controller,
    /// Changes when something changes that a consent depends on.
    pub version: String,
    /// The entries by what opens them.
    pub groups: Vec<StatementGroup>,
    /// Whom the app forwards something to.
    pub recipients: Vec<StatementRecipient>,
}

/// Entries that one gate opens.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct StatementGroup {
    /// `necessary`, `activation`, `consent` or `unless-objected`.
    pub kind: &'static str,
    /// Id of the category or of the service that opens it.
    pub id: Option<String>,
    /// Name of that category or service.
    pub label: Option<String>,
    /// Its purpose.
    pub purpose: Option<String>,
    /// What is stored.
    pub items: Vec<StatementItem>,
    /// Hosts that the browser loads something from when the gate is open.
    pub external_hosts: Vec<String>,
}

/// One entry.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct StatementItem {
    /// Its name, with placeholders in angle brackets.
    pub name: String,
    /// What it is for.
    pub purpose: String,
    /// How long it lives, in English: `session` or an exact duration.
    pub duration: String,
    /// The same in seconds; none for a session.
    pub seconds: Option<u64>,
    /// Where it is stored.
    pub storage: StorageKind,
    /// Id of the service it belongs to.
    pub service: String,
    /// That service's name.
    pub service_label: String,
    /// Who provides it.
    pub provider: String,
    /// Third parties that can read it.
    pub third_party_access: Vec<String>,
    /// What makes it come into being.
    pub trigger: Trigger,
    /// Why it needs no consent, where it needs none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub justification: Option<String>,
    /// Why the service may process personal data.
    pub legal_basis: LegalBasis,
    /// Where that basis stands.
    pub article: &'static str,
}

/// A recipient as the statement names it.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct StatementRecipient {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// ISO 3166-1 code of its country.
    pub country: String,
    /// The safeguard of a transfer to a third country.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub safeguard: Option<String>,
    /// What it gets the data for.
    pub purpose: String,
    /// What it may get.
    pub fields: Vec<String>,
    /// What it gets in place of the visitor's address: never the address.
    pub address: &'static str,
}

impl Catalogue {
    /// The statement in a language of the catalogue.
    #[must_use]
    pub fn statement(&self, language: &Language) -> Statement {
        let mut groups: Vec<StatementGroup> = Vec::new();
        for service in &self.services {
            for entry in &service.entries {
                let item = item(service, entry, language);
                self.group(&mut groups, &entry.gate, language).items.push(item);
            }
            if let (false, Some(gate)) = (service.external_hosts.is_empty(), &service.gate) {
                self.group(&mut groups, gate, language)
                    .external_hosts
                    .extend(service.external_hosts.iter().cloned());
            }
        }
        groups.sort_by_key(|g| match g.kind {
            "necessary" => 0,
            "activation" => 1,
            _ => 2,
        });
        Statement {
            language: language.clone(),
            controller: self.controller.clone(),
            version: HEXLOWER.encode(&self.material[..8]),
            groups,
            recipients: self
                .recipients
                .iter()
                .map(|r| StatementRecipient {
                    id: r.id.clone(),
                    name: r.name.clone(),
                    country: r.country.clone(),
                    safeguard: r.safeguard.clone(),
                    purpose: r.purpose.get(language).to_owned(),
                    fields: r.fields.clone(),
                    address: r.address.as_str(),
                })
                .collect(),
        }
    }

    /// The name of a category in a language: its own label, or the built-in one.
    #[must_use]
    pub fn category_label(&self, code: CategoryCode, language: &Language) -> String {
        let Some(category) = self.category_by_code(code) else { return String::new() };
        let built_in = || self.words(language).and_then(|w| w.category_label(&category.id));
        match category.label.get(language) {
            "" => built_in().unwrap_or(&category.id).to_owned(),
            label => label.to_owned(),
        }
    }

    fn group<'g>(
        &self,
        groups: &'g mut Vec<StatementGroup>,
        gate: &Gate,
        language: &Language,
    ) -> &'g mut StatementGroup {
        let (kind, id, label, purpose) = match gate {
            Gate::Exempt { .. } => ("necessary", None, None, None),
            Gate::Activation { service } => {
                let found = self.service(service);
                let text =
                    |pick: fn(&Service) -> &super::Text| found.map(|s| pick(s).get(language).to_owned());
                ("activation", Some(service.clone()), text(|s| &s.label), text(|s| &s.purpose))
            }
            Gate::Consent(code) | Gate::UnlessObjected { category: code, .. } => {
                let kind = if matches!(gate, Gate::Consent(_)) { "consent" } else { "unless-objected" };
                let category = self.category_by_code(*code);
                let purpose = category.map(|c| c.purpose.get(language).to_owned());
                (kind, category.map(|c| c.id.clone()), Some(self.category_label(*code, language)), purpose)
            }
        };
        let at = groups.iter().position(|g| g.kind == kind && g.id == id).unwrap_or_else(|| {
            groups.push(StatementGroup {
                kind,
                id,
                label,
                purpose,
                items: Vec::new(),
                external_hosts: Vec::new(),
            });
            groups.len() - 1
        });
        &mut groups[at]
    }
}

fn item(service: &Service, entry: &CookieEntry, language: &Language) -> StatementItem {
    StatementItem {
        name: entry.name.to_string(),
        purpose: entry.purpose.get(language).to_owned(),
        duration: entry.lifetime.to_string(),
        seconds: entry.lifetime.exactly().map(|d| d.as_secs()),
        storage: entry.storage,
        service: service.id.clone(),
        service_label: service.label.get(language).to_owned(),
        provider: service.provider.clone(),
        third_party_access: entry.third_party_access.clone(),
        trigger: entry.trigger,
        justification: match &entry.gate {
            Gate::Exempt { justification, .. } => Some(justification.clone()),
            _ => None,
        },
        legal_basis: service.legal_basis,
        article: service.legal_basis.article(),
    }
}
