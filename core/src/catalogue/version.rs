//! Versions of a site's cookie statement: dated, immutable, with their differences (WP260, paras 29 to 31).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::material::{ChangeKind, Material, MaterialChange};
use super::{Catalogue, Language};
use crate::clock::Timestamp;

/// A statement as it was published once, in every language, with what consents depended on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StatementVersion {
    /// Its number on the site, from 1.
    pub number: u32,
    /// When it was published.
    pub since: Timestamp,
    /// The SHA-256 of its body.
    pub hash: [u8; 32],
    /// Statements and materials as JSON, byte-identical for an identical catalogue.
    pub body: String,
}

/// A statement that is about to be published.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NewStatement {
    /// The SHA-256 of its body.
    pub hash: [u8; 32],
    /// Statements and materials as JSON.
    pub body: String,
}

#[derive(Serialize, Deserialize)]
struct Body {
    statements: BTreeMap<String, Value>,
    material: BTreeMap<String, Material>,
}

/// What is different between two versions, in one language.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct StatementDiff {
    /// Entries that are new.
    pub added: Vec<String>,
    /// Entries that are gone.
    pub removed: Vec<String>,
    /// Entries that are still there and told otherwise, with the fields that are.
    pub changed: Vec<ChangedEntry>,
    /// Recipients that are new.
    pub recipients_added: Vec<String>,
    /// Recipients that are gone.
    pub recipients_removed: Vec<String>,
    /// What changed of what consents depend on; empty when only words did.
    pub material: Vec<MaterialChange>,
}

/// An entry that is told otherwise than before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ChangedEntry {
    /// Its name.
    pub name: String,
    /// The fields that are different.
    pub fields: Vec<String>,
}

impl StatementDiff {
    /// Whether somebody is asked anew because of it.
    #[must_use]
    pub fn is_material(&self) -> bool {
        self.material.iter().any(|c| c.kind.asks_anew())
    }
}

impl NewStatement {
    /// What a site publishes of its catalogue.
    #[must_use]
    pub fn of(catalogue: &Catalogue) -> Self {
        let statements = catalogue.languages().iter().map(|language| {
            let statement = serde_json::to_value(catalogue.statement(language)).unwrap_or_default();
            (language.to_string(), statement)
        });
        let body = Body {
            statements: statements.collect(),
            material: catalogue.categories().iter().map(|c| (c.id.clone(), c.facts().clone())).collect(),
        };
        let body = serde_json::to_string(&body).unwrap_or_default();
        Self { hash: Sha256::digest(body.as_bytes()).into(), body }
    }
}

impl StatementVersion {
    /// A version as a store keeps it.
    #[must_use]
    pub fn new(number: u32, since: Timestamp, hash: [u8; 32], body: String) -> Self {
        Self { number, since, hash, body }
    }

    /// The day it was published, UTC, ISO 8601.
    #[must_use]
    pub fn date(&self) -> String {
        self.since.to_string().chars().take(10).collect()
    }

    /// Whether the body is the one that the hash names.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.hash == <[u8; 32]>::from(Sha256::digest(self.body.as_bytes()))
    }

    fn read(&self) -> Option<Body> {
        self.is_whole().then(|| serde_json::from_str(&self.body).ok()).flatten()
    }

    /// What consents to a category depended on in this version.
    #[must_use]
    pub fn material(&self, category: &str) -> Option<Material> {
        self.read()?.material.remove(category)
    }

    /// What is different in a later version. A version that cannot be read counts as one that said nothing.
    #[must_use]
    pub fn diff(&self, later: &Self, language: &Language) -> StatementDiff {
        let empty = || Body { statements: BTreeMap::new(), material: BTreeMap::new() };
        let (before, after) = (self.read().unwrap_or_else(empty), later.read().unwrap_or_else(empty));
        let mut diff = StatementDiff::default();
        let (old, new) = (rows(&before, language), rows(&after, language));
        for (key, row) in &new {
            match old.get(key) {
                None => diff.added.push(key.1.clone()),
                Some(was) if was != row => {
                    let fields = row.iter().filter(|(field, value)| was.get(*field) != Some(value));
                    let fields = fields.map(|(field, _)| field.clone()).collect();
                    diff.changed.push(ChangedEntry { name: key.1.clone(), fields });
                }
                Some(_) => {}
            }
        }
        diff.removed = old.keys().filter(|k| !new.contains_key(*k)).map(|k| k.1.clone()).collect();
        let (old, new) = (recipients(&before, language), recipients(&after, language));
        diff.recipients_added = new.iter().filter(|r| !old.contains(r)).cloned().collect();
        diff.recipients_removed = old.iter().filter(|r| !new.contains(r)).cloned().collect();
        for (id, material) in &after.material {
            match before.material.get(id) {
                Some(was) => diff.material.extend(was.changes(material)),
                None => diff.material.push(MaterialChange {
                    category: id.clone(),
                    kind: ChangeKind::NewCategory,
                    subject: String::new(),
                }),
            }
        }
        let gone = before.material.keys().filter(|id| !after.material.contains_key(*id));
        diff.material.extend(gone.map(|id| MaterialChange {
            category: id.clone(),
            kind: ChangeKind::Less,
            subject: String::new(),
        }));
        diff
    }
}

/// Service and name, and storage where a name stands twice.
type Key = (String, String);
type Row = serde_json::Map<String, Value>;

fn of<'b>(body: &'b Body, language: &Language) -> Option<&'b Value> {
    body.statements.get(language.as_str()).or_else(|| body.statements.values().next())
}

fn rows(body: &Body, language: &Language) -> BTreeMap<Key, Row> {
    let groups = of(body, language).and_then(|s| s["groups"].as_array());
    let mut all = BTreeMap::new();
    for group in groups.into_iter().flatten() {
        for item in group["items"].as_array().into_iter().flatten().filter_map(Value::as_object) {
            let text = |field: &str| item.get(field).and_then(Value::as_str).unwrap_or_default();
            let mut row = item.clone();
            row.insert("gate".to_owned(), Value::String(format!("{} {}", group["kind"], group["id"])));
            let name = match text("storage") {
                "cookie" => text("name").to_owned(),
                storage => format!("{} ({storage})", text("name")),
            };
            all.insert((text("service").to_owned(), name), row);
        }
    }
    all
}

fn recipients(body: &Body, language: &Language) -> Vec<String> {
    let all = of(body, language).and_then(|s| s["recipients"].as_array());
    let named = |r: &Value| {
        format!("{} ({})", r["name"].as_str().unwrap_or_default(), r["country"].as_str().unwrap_or_default())
    };
    all.into_iter().flatten().map(named).collect()
}
