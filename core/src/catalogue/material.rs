//! What a consent depends on, and what a change of it means.
//!
//! One model, [`Material`], is made from the catalogue per category. Its hash is the fingerprint that devices keep; two
//! of them side by side say what changed and whether visitors have to be asked anew. Texts are not in it, so that a typo
//! asks nobody (EDPB Guidelines 05/2020, paras 110 and 111); a purpose that becomes another one is told by
//! `purpose_version`. Nor is the controller, whose name and address change in wording too: a site that gets another
//! controller raises `purpose_version` of every category.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Category, Gate, LegalBasis, Recipient, Service};

/// What a consent to one category depends on.
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
    /// Who provides it.
    pub provider: String,
    /// Which of its purposes it is.
    pub purpose_version: u16,
    /// Hosts that the browser loads something from.
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

/// How a category changed from one version of the catalogue to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ChangeKind {
    /// The category itself is new.
    NewCategory,
    /// It serves another purpose.
    OtherPurpose,
    /// It is a sale or sharing now.
    NowSold,
    /// What becomes of data after a withdrawal is another thing than was told.
    OtherEnd,
    /// A service is new.
    NewService,
    /// A service is provided by somebody else.
    OtherProvider,
    /// Something is loaded from another host.
    NewHost,
    /// Data goes to somebody else too.
    NewRecipient,
    /// A recipient is in another country.
    OtherCountry,
    /// A recipient gets the address in another form.
    OtherAddress,
    /// A recipient gets more.
    MoreData,
    /// Something else is stored too.
    NewEntry,
    /// Something is kept longer.
    LongerDuration,
    /// Somebody else can read something.
    NewAccess,
    /// Less is done than was agreed to.
    Less,
}

impl ChangeKind {
    /// Whether visitors who agreed before have to be asked anew.
    #[must_use]
    pub const fn asks_anew(self) -> bool {
        !matches!(self, Self::Less)
    }
}

/// One change of one category.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct MaterialChange {
    /// The category's id.
    pub category: String,
    /// What kind of change.
    pub kind: ChangeKind,
    /// What it is about: a recipient, a host, an entry.
    pub subject: String,
}

impl fmt::Display for MaterialChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            ChangeKind::NewCategory => "is new",
            ChangeKind::OtherPurpose => "serves another purpose",
            ChangeKind::NowSold => "is a sale or sharing now",
            ChangeKind::OtherEnd => "keeps other data after a withdrawal",
            ChangeKind::NewService => "has a new service",
            ChangeKind::OtherProvider => "has a service of another provider",
            ChangeKind::NewHost => "loads from a new host",
            ChangeKind::NewRecipient => "has a new recipient",
            ChangeKind::OtherCountry => "has a recipient in another country",
            ChangeKind::OtherAddress => "gives the address in another form to",
            ChangeKind::MoreData => "gives more data to",
            ChangeKind::NewEntry => "stores something new",
            ChangeKind::LongerDuration => "keeps longer",
            ChangeKind::NewAccess => "lets others read",
            ChangeKind::Less => "does less",
        };
        write!(f, "`{}` {what}", self.category)?;
        if self.subject.is_empty() { Ok(()) } else { write!(f, ": {}", self.subject) }
    }
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

    /// Whether what is done under `today` is no more than somebody agreed to under this.
    #[must_use]
    pub fn covers(&self, today: &Self) -> bool {
        self.code == today.code
            && self.format == today.format
            && self.changes(today).iter().all(|c| !c.kind.asks_anew())
    }

    /// What changed from this to `today`, in a stable order.
    #[must_use]
    pub fn changes(&self, today: &Self) -> Vec<MaterialChange> {
        let mut found = Found { category: &today.id, changes: Vec::new() };
        if self.id != today.id || self.purpose_version != today.purpose_version {
            found.add(ChangeKind::OtherPurpose, "");
        }
        match (self.sale_or_share, today.sale_or_share) {
            (false, true) => found.add(ChangeKind::NowSold, ""),
            (true, false) => found.add(ChangeKind::Less, ""),
            _ => {}
        }
        match (self.kept_on, today.kept_on) {
            (before, after) if before == after => {}
            (Some(_), None) => found.add(ChangeKind::Less, ""),
            _ => found.add(ChangeKind::OtherEnd, ""),
        }
        for (id, service) in &today.services {
            match self.services.get(id) {
                Some(before) => before.changes(service, id, &mut found),
                None => {
                    found.add(ChangeKind::NewService, id);
                    for (recipient, r) in &service.recipients {
                        found.add(ChangeKind::NewRecipient, &format!("{recipient} ({})", r.country));
                    }
                }
            }
        }
        let gone = self.services.keys().filter(|id| !today.services.contains_key(*id));
        gone.for_each(|id| found.add(ChangeKind::Less, id));
        found.changes
    }
}

fn of_service(service: &Service, category: &Category, recipients: &[Recipient]) -> MaterialService {
    let set = |list: &[String]| list.iter().cloned().collect();
    let of_service = recipients.iter().filter(|r| service.recipients.contains(&r.id));
    let entries = service.entries.iter().filter(|e| belongs(Some(&e.gate), category));
    MaterialService {
        provider: service.provider.clone(),
        purpose_version: service.purpose_version,
        hosts: set(&service.external_hosts),
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

struct Found<'a> {
    category: &'a str,
    changes: Vec<MaterialChange>,
}

impl Found<'_> {
    fn add(&mut self, kind: ChangeKind, subject: &str) {
        let change = MaterialChange { category: self.category.to_owned(), kind, subject: subject.to_owned() };
        if !self.changes.contains(&change) {
            self.changes.push(change);
        }
    }

    /// What is in one set and not in the other.
    fn compare(&mut self, before: &BTreeSet<String>, after: &BTreeSet<String>, more: ChangeKind, of: &str) {
        let subject = |item: &String| if of.is_empty() { item.clone() } else { format!("{of}: {item}") };
        after.difference(before).for_each(|item| self.add(more, &subject(item)));
        before.difference(after).for_each(|item| self.add(ChangeKind::Less, &subject(item)));
    }
}

impl MaterialService {
    fn changes(&self, today: &Self, id: &str, found: &mut Found<'_>) {
        if self.provider != today.provider {
            found.add(ChangeKind::OtherProvider, &today.provider);
        }
        if self.purpose_version != today.purpose_version {
            found.add(ChangeKind::OtherPurpose, id);
        }
        found.compare(&self.hosts, &today.hosts, ChangeKind::NewHost, "");
        for (id, recipient) in &today.recipients {
            let named = format!("{id} ({})", recipient.country);
            let Some(before) = self.recipients.get(id) else {
                found.add(ChangeKind::NewRecipient, &named);
                continue;
            };
            if before.country != recipient.country {
                found.add(ChangeKind::OtherCountry, &named);
            }
            if before.address != recipient.address {
                let less = recipient.address == crate::ip::Strategy::Drop.as_str();
                found.add(if less { ChangeKind::Less } else { ChangeKind::OtherAddress }, id);
            }
            found.compare(&before.fields, &recipient.fields, ChangeKind::MoreData, id);
            found.compare(&before.headers, &recipient.headers, ChangeKind::MoreData, id);
        }
        let gone = self.recipients.keys().filter(|id| !today.recipients.contains_key(*id));
        gone.for_each(|id| found.add(ChangeKind::Less, id));
        for (name, entry) in &today.entries {
            let Some(before) = self.entries.get(name) else {
                found.add(ChangeKind::NewEntry, name);
                continue;
            };
            match entry.seconds.cmp(&before.seconds) {
                std::cmp::Ordering::Greater => found.add(ChangeKind::LongerDuration, name),
                std::cmp::Ordering::Less => found.add(ChangeKind::Less, name),
                std::cmp::Ordering::Equal => {}
            }
            found.compare(&before.third_party_access, &entry.third_party_access, ChangeKind::NewAccess, name);
        }
        let gone = self.entries.keys().filter(|name| !today.entries.contains_key(*name));
        gone.for_each(|name| found.add(ChangeKind::Less, name));
    }
}

pub(super) fn of_all<'a>(materials: impl Iterator<Item = &'a Material>) -> [u8; 32] {
    let all: BTreeMap<u8, &Material> = materials.map(|m| (m.code, m)).collect();
    Sha256::digest(serde_json::to_vec(&all).unwrap_or_default()).into()
}
