//! The hash over what a consent depends on.

use sha2::{Digest, Sha256};

use super::{Category, Gate, Recipient, Service};

/// Length-prefixed fields, so that no two lists of fields give the same bytes.
struct Hasher(Sha256);

impl Hasher {
    fn field(&mut self, bytes: &[u8]) {
        self.0.update(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
        self.0.update(bytes);
    }

    fn list<'a>(&mut self, items: impl Iterator<Item = &'a str>) {
        let mut items: Vec<_> = items.collect();
        items.sort_unstable();
        self.field(&u32::try_from(items.len()).unwrap_or(u32::MAX).to_be_bytes());
        for item in items {
            self.field(item.as_bytes());
        }
    }
}

fn belongs(gate: Option<&Gate>, category: &Category) -> bool {
    gate.and_then(Gate::category) == Some(category.code)
}

pub(super) fn of_category(category: &Category, services: &[Service], recipients: &[Recipient]) -> [u8; 32] {
    let mut h = Hasher(Sha256::new());
    h.field(b"privet/material/1");
    h.field(category.id.as_bytes());
    h.field(&[category.code.get(), u8::from(category.sale_or_share)]);
    let mut concerned: Vec<_> = services
        .iter()
        .filter(|s| {
            belongs(s.gate.as_ref(), category) || s.entries.iter().any(|e| belongs(Some(&e.gate), category))
        })
        .collect();
    concerned.sort_unstable_by(|a, b| a.id.cmp(&b.id));
    for service in concerned {
        h.field(service.id.as_bytes());
        h.field(service.provider.as_bytes());
        h.list(service.external_hosts.iter().map(String::as_str));
        let mut of_service: Vec<_> =
            recipients.iter().filter(|r| service.recipients.contains(&r.id)).collect();
        of_service.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        for r in of_service {
            h.field(r.id.as_bytes());
            h.field(r.country.as_bytes());
            h.field(r.address.as_str().as_bytes());
            h.list(r.fields.iter().map(String::as_str));
            h.list(r.headers.iter().map(String::as_str));
        }
        let mut entries: Vec<_> =
            service.entries.iter().filter(|e| belongs(Some(&e.gate), category)).collect();
        entries.sort_unstable_by(|a, b| {
            (a.name.as_str(), a.storage.as_str()).cmp(&(b.name.as_str(), b.storage.as_str()))
        });
        for entry in entries {
            h.field(entry.name.as_str().as_bytes());
            h.field(entry.storage.as_str().as_bytes());
            h.field(&entry.lifetime.exactly().map_or(0, |d| d.as_secs()).to_be_bytes());
            h.list(entry.third_party_access.iter().map(String::as_str));
        }
    }
    h.0.finalize().into()
}

pub(super) fn of_all<'a>(materials: impl Iterator<Item = (u8, &'a [u8; 32])>) -> [u8; 32] {
    let mut all: Vec<_> = materials.collect();
    all.sort_unstable_by_key(|(code, _)| *code);
    let mut h = Hasher(Sha256::new());
    h.field(b"privet/material/all/1");
    for (code, material) in all {
        h.field(&[code]);
        h.field(material);
    }
    h.0.finalize().into()
}
