//! What only shows when everything is there.

use super::Check;
use crate::catalogue::gate::{Gate, StorageKind, category_id};
use crate::catalogue::lint::Rule;
use crate::catalogue::{Category, CookieEntry, Recipient, Service};

impl Check<'_> {
    pub(super) fn names_do_not_meet(&mut self, services: &[Service]) {
        let cookies: Vec<_> = services
            .iter()
            .flat_map(|s| s.entries.iter().map(move |e| (s, e)))
            .filter(|(_, e)| e.storage == StorageKind::Cookie)
            .collect();
        for (n, (service, entry)) in cookies.iter().enumerate() {
            for (other_service, other) in &cookies[n + 1..] {
                let exempt = |e: &CookieEntry| matches!(e.gate, Gate::Exempt { .. });
                let same_gate = entry.gate == other.gate || (exempt(entry) && exempt(other));
                let differ = match (same_gate, entry.lifetime == other.lifetime) {
                    (false, _) => "gates",
                    (true, false) => "durations",
                    (true, true) => continue,
                };
                if !entry.name.meets(&other.name) {
                    continue;
                }
                let what = format!(
                    "its name meets `{}` of service `{}`, and their {differ} differ",
                    entry.name, service.id
                );
                self.find(
                    Rule::OverlappingNames,
                    &format!("entry {}/{}", other_service.id, other.name),
                    what,
                    "give them names that no cookie can both have; to change an entry of a preset, declare a service with the id of the preset's",
                );
            }
        }
    }

    pub(super) fn everything_is_used(
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
