//! The state of a visit as scripts read it.

use std::collections::BTreeMap;

use privet::Visit;
use privet::catalogue::{Gate, StorageKind};
use privet::consent::{Decision, SiteNotice};
use serde_json::{Value, json};

/// What a script may know: the decisions, and a fresh token for a form of its own. Pages also get what is declared for
/// storage beside cookies, which the script guards.
pub(crate) fn state_json(visit: &Visit, notice: &SiteNotice, with_storage: bool) -> Value {
    let consent = visit.consent();
    let categories: BTreeMap<&str, Decision> = consent.decisions().map(|(c, d)| (c.id.as_str(), d)).collect();
    let mut state = json!({
        "decided": consent.decided(),
        "categories": categories,
        "notice": visit.notice_token(notice),
        "regime": visit.regime().rules().id,
        "gpc": visit.gpc(),
    });
    if visit.regime().rules().allowed_until_objection {
        let open: Vec<_> = consent.decisions().map(|(c, _)| &c.id).filter(|id| consent.allows(id)).collect();
        state["open"] = json!(open);
    }
    if consent.pending() {
        state["pending"] = json!(true);
    }
    if with_storage {
        state["storage"] = storage_json(visit);
    }
    state
}

/// Kind, name pattern, category or null, service or null, per declared item that is no cookie; and true, where it is open
/// until the visitor objects.
fn storage_json(visit: &Visit) -> Value {
    let (catalogue, rules) = (visit.catalogue(), visit.regime().rules());
    let items =
        catalogue.services().iter().flat_map(|s| &s.entries).filter(|e| e.storage != StorageKind::Cookie);
    items
        .map(|e| {
            let category =
                e.gate.category().and_then(|code| catalogue.categories().iter().find(|c| c.code == code));
            let service = match &e.gate {
                Gate::Activation { service } => Some(service),
                _ => None,
            };
            let category = category.map(|c| &c.id);
            if matches!(&e.gate, Gate::UnlessObjected { exceptions, .. } if exceptions.meet(rules.exceptions))
            {
                json!([e.storage, e.name, category, service, true])
            } else {
                json!([e.storage, e.name, category, service])
            }
        })
        .collect()
}
