//! Changes of the statement in the visitor's words, and the page of its versions.

use askama::Template;
use privet::Visit;
use privet::catalogue::{Catalogue, ChangeKind, ChangedRow, Language, StatementDiff, StatementVersion};

use crate::assets::style_path;
use crate::page::rendered;
use crate::words::{self, Words};

#[derive(Template)]
#[template(path = "versions.html")]
struct VersionsPage<'a> {
    lang: &'a str,
    base: &'a str,
    style: String,
    words: &'a Words,
    rows: Vec<VersionRow>,
}

/// A version of the statement, as it is shown.
struct VersionRow {
    number: u32,
    date: String,
    first: bool,
    added: Vec<String>,
    removed: Vec<String>,
    changed: Vec<String>,
    /// The categories that visitors are asked about again.
    asked: Vec<String>,
    reasons: Vec<String>,
}

impl VersionRow {
    fn new(
        version: &StatementVersion,
        diff: Option<&StatementDiff>,
        catalogue: &Catalogue,
        language: &Language,
    ) -> Self {
        let mut row = Self {
            number: version.number,
            date: version.date(),
            first: diff.is_none(),
            added: Vec::new(),
            removed: Vec::new(),
            changed: Vec::new(),
            asked: Vec::new(),
            reasons: Vec::new(),
        };
        let Some(diff) = diff else { return row };
        let words = words::of(language);
        row.added = diff.added.iter().chain(&diff.recipients_added).cloned().collect();
        row.removed = diff.removed.iter().chain(&diff.recipients_removed).cloned().collect();
        let rows = diff.changed.iter().chain(&diff.recipients_changed).chain(&diff.groups_changed);
        row.changed = rows.map(|changed| told_row(changed, words)).collect();
        if !diff.controller.is_empty() {
            row.changed.push(catalogue.controller().name.clone());
        }
        for change in diff.material.iter().filter(|c| c.kind.asks_anew()) {
            let label = match catalogue.category(&change.category) {
                Some(category) => catalogue.category_label(category.code, language),
                None => change.category.clone(),
            };
            row.reasons.push(format!("{label}: {}", told(&change.kind, catalogue, language)));
            if !row.asked.contains(&label) {
                row.asked.push(label);
            }
        }
        row
    }
}

fn told_row(row: &ChangedRow, words: &Words) -> String {
    let mut fields: Vec<_> = row.fields.iter().filter_map(|field| words.field(field)).collect();
    fields.dedup();
    if fields.is_empty() { row.name.clone() } else { format!("{} ({})", row.name, fields.join(", ")) }
}

/// The versions of the site's statement, the latest first.
pub(crate) fn versions(visit: &Visit, language: &Language) -> privet::Result<String> {
    let (privet, catalogue) = (visit.privet(), visit.catalogue());
    let base = privet.base_path();
    let all = privet.statement_changes(visit.scope(), language)?;
    Ok(rendered(&VersionsPage {
        lang: language.as_str(),
        base,
        style: style_path(base),
        words: words::of(language),
        rows: all.rev().map(|(v, diff)| VersionRow::new(v, diff, catalogue, language)).collect(),
    }))
}

/// A change in the visitor's words: services and recipients by the names that the catalogue has for them.
pub(crate) fn told(kind: &ChangeKind, catalogue: &Catalogue, language: &Language) -> String {
    let words = words::of(language);
    let service = |id: &str| match catalogue.service(id) {
        Some(service) => service.label.get(language).to_owned(),
        None => id.to_owned(),
    };
    let recipient = |id: &str| catalogue.recipient(id).map_or_else(|_| id.to_owned(), |r| r.name.clone());
    let about = match kind {
        ChangeKind::OtherPurpose { service: Some(id) } | ChangeKind::NewService { service: id } => {
            service(id)
        }
        ChangeKind::OtherProvider { service: id, provider } => format!("{provider} ({})", service(id)),
        ChangeKind::OtherBasis { service: id, basis } => format!("{} ({})", basis.article(), service(id)),
        ChangeKind::NewHost { host } => host.clone(),
        ChangeKind::NewRecipient { recipient: id, country } => format!("{} ({country})", recipient(id)),
        ChangeKind::OtherCountry { recipient: id, from, to } => format!("{} ({from} → {to})", recipient(id)),
        ChangeKind::OtherAddress { recipient: id, to } => {
            format!("{} ({})", recipient(id), words.address(to))
        }
        ChangeKind::MoreData { recipient: id, what } => format!("{} ({what})", recipient(id)),
        ChangeKind::NewEntry { entry } => entry.clone(),
        ChangeKind::LongerDuration { entry, from, to } => {
            let lifetime = |seconds: u64| words.lifetime((seconds > 0).then_some(seconds));
            format!("{entry} ({} → {})", lifetime(*from), lifetime(*to))
        }
        ChangeKind::NewAccess { entry, who } => format!("{who} ({entry})"),
        _ => String::new(),
    };
    format!("{} {about}", words.change(kind)).trim_end().to_owned()
}
