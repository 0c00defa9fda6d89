//! What a consent depends on, in one model.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::own::OWN_SERVICE;
use super::{Category, Gate, LegalBasis, Recipient, Service};

/// What a consent to one category depends on, made from the catalogue. Its hash is the fingerprint that devices keep; two
/// of them side by side say what changed ([`changes`](Self::changes)) and whether a decision stands
/// ([`covers`](Self::covers)).
///
/// In it is what a considerable change is made of (EDPB Guidelines 05/2020, paras 110 and 111): purposes, providers, legal
/// bases, recipients, their countries and what they get, hosts, entries, durations, who can read them, whether it is a sale,
/// and what a withdrawal leaves. Not in it are
///
/// - texts, so that a typo asks nobody. A purpose that becomes another one is told by `purpose_version`;
/// - the names of recipients, which are corrected too: another recipient has another id;
/// - the controller, whose name and address are texts: a site that gets another controller raises the `purpose_version` of
///   each category, since a consent is given to somebody (GDPR Art. 4(11), recital 42);
/// - the safeguard of a transfer: another one protects as well (GDPR Art. 46). Where there is none any more, visitors have
///   to be asked about that (Art. 49(1)(a)), which is another purpose version.
///
/// When a start publishes a version in which one of these names or purposes is told otherwise, the log asks whether it is
/// another one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Material {
    format: u8,
    /// The category's id.
    pub id: String,
    /// Its stable number.
    pub code: u8,
    /// Which of its purposes it is: raised when the purpose becomes another one.
    pub purpose_version: u16,
    /// Whether it is a sale or sharing.
    pub sale_or_share: bool,
    /// On which other basis data is kept when the consent is withdrawn.
    pub kept_on: Option<LegalBasis>,
    /// The services that it opens, by id.
    pub services: BTreeMap<String, MaterialService>,
}

/// A service, as far as a consent depends on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MaterialService {
    /// Who provides it; nobody beside the controller for privet's own cookies.
    pub provider: String,
    /// Which of its purposes it is.
    pub purpose_version: u16,
    /// Why it may process personal data.
    pub legal_basis: LegalBasis,
    /// Whether the category opens the service itself, its external content and its work on the server, and not only
    /// entries of it.
    pub runs: bool,
    /// Hosts that the browser loads something from when the category is granted.
    pub hosts: BTreeSet<String>,
    /// Whom its data goes to, by id.
    pub recipients: BTreeMap<String, MaterialRecipient>,
    /// What it stores, by name and storage.
    pub entries: BTreeMap<String, MaterialEntry>,
}

/// A recipient, as far as a consent depends on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MaterialRecipient {
    /// ISO 3166-1 code of its country.
    pub country: String,
    /// What it gets in place of the visitor's address.
    pub address: String,
    /// The fields it may get.
    pub fields: BTreeSet<String>,
    /// The headers it may get.
    pub headers: BTreeSet<String>,
}

/// An entry, as far as a consent depends on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MaterialEntry {
    /// How long it lives; 0 for a session.
    pub seconds: u64,
    /// Third parties that can read it.
    pub third_party_access: BTreeSet<String>,
}

fn belongs(gate: Option<&Gate>, category: &Category) -> bool {
    gate.and_then(Gate::category) == Some(category.code)
}

impl Material {
    pub(super) fn of(category: &Category, services: &[Service], recipients: &[Recipient]) -> Self {
        let concerned = services.iter().filter(|s| {
            belongs(s.gate.as_ref(), category) || s.entries.iter().any(|e| belongs(Some(&e.gate), category))
        });
        Self {
            format: 1,
            id: category.id.clone(),
            code: category.code.get(),
            purpose_version: category.purpose_version,
            sale_or_share: category.sale_or_share,
            kept_on: category.kept_on_withdrawal.as_ref().map(|(basis, _)| *basis),
            services: concerned.map(|s| (s.id.clone(), of_service(s, category, recipients))).collect(),
        }
    }

    pub(super) fn hash(&self) -> [u8; 32] {
        // A structure of strings and numbers in a fixed order: one sequence of bytes for one material.
        Sha256::digest(serde_json::to_vec(self).unwrap_or_default()).into()
    }

    /// The part of its hash that a device keeps with its decision.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 3] {
        let hash = self.hash();
        [hash[0], hash[1], hash[2]]
    }

    pub(super) fn same_form(&self, other: &Self) -> bool {
        self.code == other.code && self.format == other.format
    }
}

fn of_service(service: &Service, category: &Category, recipients: &[Recipient]) -> MaterialService {
    let runs = belongs(service.gate.as_ref(), category);
    let set = |list: &[String]| list.iter().cloned().collect();
    let of_service = recipients.iter().filter(|r| service.recipients.contains(&r.id));
    let entries = service.entries.iter().filter(|e| belongs(Some(&e.gate), category));
    // privet's own cookies are told under the controller's name, which is a text.
    let own = service.id == OWN_SERVICE;
    MaterialService {
        provider: if own { String::new() } else { service.provider.clone() },
        purpose_version: service.purpose_version,
        legal_basis: service.legal_basis,
        runs,
        // Where no gate says what opens them, each category may.
        hosts: if runs || service.gate.is_none() { set(&service.external_hosts) } else { BTreeSet::new() },
        recipients: of_service
            .map(|r| {
                let material = MaterialRecipient {
                    country: r.country.clone(),
                    address: r.address.as_str().to_owned(),
                    fields: set(&r.fields),
                    headers: set(&r.headers),
                };
                (r.id.clone(), material)
            })
            .collect(),
        entries: entries
            .map(|e| {
                let material = MaterialEntry {
                    seconds: e.lifetime.exactly().map_or(0, |d| d.as_secs()),
                    third_party_access: set(&e.third_party_access),
                };
                (format!("{} ({})", e.name.as_str(), e.storage.as_str()), material)
            })
            .collect(),
    }
}

pub(super) fn of_all<'a>(materials: impl Iterator<Item = &'a Material>) -> [u8; 32] {
    let all: BTreeMap<u8, &Material> = materials.map(|m| (m.code, m)).collect();
    Sha256::digest(serde_json::to_vec(&all).unwrap_or_default()).into()
}
