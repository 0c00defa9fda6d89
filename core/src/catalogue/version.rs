//! Versions of a site's cookie statement: dated, immutable, with their differences (WP260, paras 29 to 31).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::change::{ChangeKind, MaterialChange};
use super::material::Material;
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

/// What a version says, read.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Said {
    statements: BTreeMap<String, Value>,
    pub(crate) material: BTreeMap<String, Material>,
}

/// What is different between two versions, in one language.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct StatementDiff {
    /// Entries that are new.
    pub added: Vec<String>,
    /// Entries that are gone.
    pub removed: Vec<String>,
    /// Entries that are still there and told otherwise.
    pub changed: Vec<ChangedRow>,
    /// Recipients that are new.
    pub recipients_added: Vec<String>,
    /// Recipients that are gone.
    pub recipients_removed: Vec<String>,
    /// Recipients that are still there and told otherwise.
    pub recipients_changed: Vec<ChangedRow>,
    /// Categories and services on request that are still there and told otherwise, by the name that a visitor reads.
    pub groups_changed: Vec<ChangedRow>,
    /// What of the controller is told otherwise.
    pub controller: Vec<String>,
    /// What changed of what consents depend on; empty when only words did.
    pub material: Vec<MaterialChange>,
}

/// Something that is told otherwise than before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ChangedRow {
    /// Its name.
    pub name: String,
    /// The fields that are different, as the statement's JSON names them.
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
        let body = Said {
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

    /// What it says. One that is not whole, or that cannot be read, says nothing.
    pub(crate) fn read(&self) -> Said {
        let said = self.is_whole().then(|| serde_json::from_str(&self.body).ok()).flatten();
        said.unwrap_or_default()
    }

    /// What consents to a category depended on in this version.
    #[must_use]
    pub fn material(&self, category: &str) -> Option<Material> {
        self.read().material.remove(category)
    }

    /// What is different in a later version. A version that cannot be read counts as one that said nothing.
    #[must_use]
    pub fn diff(&self, later: &Self, language: &Language) -> StatementDiff {
        self.read().diff(&later.read(), language)
    }
}

type Row = serde_json::Map<String, Value>;
/// What can be compared, by what stays the same of it, with the name that is read.
type Rows = BTreeMap<(String, String), (String, Row)>;

impl Said {
    pub(crate) fn diff(&self, later: &Self, language: &Language) -> StatementDiff {
        // In a language that one of them does not have, every text would be another one.
        let has = |l: &str| self.statements.contains_key(l) && later.statements.contains_key(l);
        let common = || self.statements.keys().map(String::as_str).find(|l| has(l));
        let wanted = language.as_str();
        let language = if has(wanted) { wanted } else { common().unwrap_or(wanted) };
        let changes = |rows: fn(&Self, &str) -> Rows| Changes::of(self, later, language, rows);
        let (items, recipients) = (changes(Self::items), changes(Self::recipients));
        // A group comes and goes with what is in it.
        let (groups, controller) = (changes(Self::groups), changes(Self::controller));
        let mut diff = StatementDiff {
            added: items.added,
            removed: items.removed,
            changed: items.changed,
            recipients_added: recipients.added,
            recipients_removed: recipients.removed,
            recipients_changed: recipients.changed,
            groups_changed: groups.changed,
            controller: controller.changed.into_iter().flat_map(|row| row.fields).collect(),
            material: Vec::new(),
        };
        let one = |id: &String, kind| MaterialChange { category: id.clone(), kind };
        for (id, material) in &later.material {
            match self.material.get(id) {
                Some(was) => diff.material.extend(was.changes(material)),
                None => diff.material.push(one(id, ChangeKind::NewCategory)),
            }
        }
        let gone = self.material.keys().filter(|id| !later.material.contains_key(*id));
        diff.material.extend(gone.map(|id| one(id, ChangeKind::Less { what: id.clone() })));
        diff
    }

    /// The statement in a language, or in another where it was not published in it.
    fn statement(&self, language: &str) -> &Value {
        let found = self.statements.get(language).or_else(|| self.statements.values().next());
        found.unwrap_or(&Value::Null)
    }

    fn controller(&self, language: &str) -> Rows {
        let row = self.statement(language)["controller"].as_object().cloned();
        row.into_iter().map(|row| (Default::default(), (String::new(), row))).collect()
    }

    fn groups(&self, language: &str) -> Rows {
        let all = list(&self.statement(language)["groups"]).filter_map(|group| {
            let mut row = group.as_object()?.clone();
            row.remove("items");
            let key = (text(group, "kind").to_owned(), text(group, "id").to_owned());
            Some((key, (text(group, "label").to_owned(), row)))
        });
        all.collect()
    }

    fn items(&self, language: &str) -> Rows {
        let mut all = Rows::new();
        for group in list(&self.statement(language)["groups"]) {
            let gate = Value::from(format!("{} {}", text(group, "kind"), text(group, "id")));
            for item in list(&group["items"]) {
                let Some(mut row) = item.as_object().cloned() else { continue };
                row.insert("gate".to_owned(), gate.clone());
                let name = match text(item, "storage") {
                    "cookie" => text(item, "name").to_owned(),
                    storage => format!("{} ({storage})", text(item, "name")),
                };
                all.insert((text(item, "service").to_owned(), name.clone()), (name, row));
            }
        }
        all
    }

    fn recipients(&self, language: &str) -> Rows {
        let all = list(&self.statement(language)["recipients"]).filter_map(|recipient| {
            let name = format!("{} ({})", text(recipient, "name"), text(recipient, "country"));
            let key = (String::new(), text(recipient, "id").to_owned());
            Some((key, (name, recipient.as_object()?.clone())))
        });
        all.collect()
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value[field].as_str().unwrap_or_default()
}

/// What came, went and changed of one kind of rows.
#[derive(Default)]
struct Changes {
    added: Vec<String>,
    removed: Vec<String>,
    changed: Vec<ChangedRow>,
}

impl Changes {
    fn of(before: &Said, after: &Said, language: &str, rows: fn(&Said, &str) -> Rows) -> Self {
        let (old, new) = (rows(before, language), rows(after, language));
        let mut changes = Self::default();
        for (key, (name, row)) in &new {
            match old.get(key) {
                None => changes.added.push(name.clone()),
                Some((_, was)) if was != row => {
                    let all: BTreeSet<_> = row.keys().chain(was.keys()).collect();
                    let fields = all.into_iter().filter(|field| was.get(*field) != row.get(*field));
                    changes
                        .changed
                        .push(ChangedRow { name: name.clone(), fields: fields.cloned().collect() });
                }
                Some(_) => {}
            }
        }
        let gone = old.iter().filter(|(key, _)| !new.contains_key(*key));
        changes.removed = gone.map(|(_, (name, _))| name.clone()).collect();
        changes
    }
}
