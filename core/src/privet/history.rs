//! What a site asked for before: the versions of its statement, and what a decision under each of them means today.

use std::collections::BTreeMap;

use super::{Privet, SiteState};
use crate::catalogue::{
    Catalogue, Category, CategoryCode, Language, Material, MaterialChange, NewStatement, Said, StatementDiff,
    StatementVersion,
};
use crate::clock::Timestamp;
use crate::error::Result;
use crate::scope::Scope;
use crate::store::Store;

/// What is known of the versions of a site's statement since the start. Everything is prepared here, so that a request
/// reads no version.
#[derive(Debug, Default)]
pub(crate) struct History {
    versions: Vec<StatementVersion>,
    /// The hash of the statement that this process publishes.
    own: [u8; 32],
    /// Per language what each version changed; none for the first.
    diffs: Vec<(Language, Vec<Option<StatementDiff>>)>,
    decided: BTreeMap<CategoryCode, Earlier>,
}

/// What may have been decided about a category before.
#[derive(Debug, Default)]
struct Earlier {
    /// Fingerprints under which no less was asked for than is done today.
    covered: Vec<[u8; 3]>,
    /// What was asked for in versions that do not cover today, the latest first.
    other: Vec<Material>,
}

impl Earlier {
    fn of(category: &Category, versions: &[Said]) -> Self {
        let mut earlier = Self::default();
        for said in versions.iter().rev() {
            let Some(before) = said.material.get(&category.id) else { continue };
            if before.covers(category.facts()) {
                earlier.covered.push(before.fingerprint());
            } else {
                earlier.other.push(before.clone());
            }
        }
        // Fingerprints are short. If two versions share one, nobody knows which of them was decided about.
        earlier
            .covered
            .retain(|f| *f != category.fingerprint() && !earlier.other.iter().any(|m| m.fingerprint() == *f));
        earlier.covered.sort_unstable();
        earlier.covered.dedup();
        earlier
    }
}

impl History {
    fn new(catalogue: &Catalogue, own: [u8; 32], versions: Vec<StatementVersion>) -> Self {
        let said: Vec<_> = versions.iter().map(StatementVersion::read).collect();
        let diffs = |language: &Language| {
            let later = said.windows(2).map(|two| Some(two[0].diff(&two[1], language)));
            said.first().map(|_| None).into_iter().chain(later).collect()
        };
        Self {
            own,
            diffs: catalogue.languages().iter().map(|l| (l.clone(), diffs(l))).collect(),
            decided: catalogue.categories().iter().map(|c| (c.code, Earlier::of(c, &said))).collect(),
            versions,
        }
    }

    pub(super) fn covers(&self, category: &Category, fingerprint: [u8; 3]) -> bool {
        self.decided.get(&category.code).is_some_and(|e| e.covered.contains(&fingerprint))
    }

    /// What a version changed, in the site's first language.
    fn change(&self, number: u32) -> Option<&StatementDiff> {
        let at = self.versions.iter().position(|v| v.number == number)?;
        self.diffs.first()?.1.get(at)?.as_ref()
    }
}

impl SiteState {
    /// Publishes the statement, if it is another one than before, and learns what earlier ones asked for.
    pub(super) async fn publish(&mut self, store: &dyn Store, now: Timestamp) -> Result<()> {
        let statement = NewStatement::of(&self.catalogue);
        let before = store.statements(&self.scope).await?;
        let latest = store.publish_statement(&self.scope, &statement, now).await?;
        let is_new = before.last().is_none_or(|v| v.number != latest.number);
        let versions = if is_new { store.statements(&self.scope).await? } else { before };
        self.history = History::new(&self.catalogue, statement.hash, versions);
        if is_new {
            self.tell_what_changed(&latest);
        }
        Ok(())
    }

    /// Says once to the developer what a new version means, and what in it only they can judge.
    fn tell_what_changed(&self, latest: &StatementVersion) {
        let (site, version) = (&self.scope, latest.number);
        let Some(diff) = self.history.change(version) else { return };
        for change in diff.material.iter().filter(|c| c.kind.asks_anew()) {
            tracing::info!(%site, version, "a new version of the statement asks visitors anew: {change}");
        }
        if !diff.is_material() {
            tracing::info!(%site, version, "a new version of the statement asks nobody anew");
        }
        if diff.controller.iter().any(|field| field == "name") {
            tracing::warn!(
                %site, version,
                "the controller has another name; if it is another controller, raise `purpose_version` of every category: \
                 nobody has agreed to it yet"
            );
        }
        for row in &diff.recipients_changed {
            if row.fields.iter().any(|field| field == "name") {
                tracing::warn!(
                    %site, version,
                    "recipient {} has another name; if it is another recipient, give it another id: nobody has agreed to it yet",
                    row.name
                );
            }
        }
        let purposes =
            |row: &&crate::catalogue::ChangedRow| row.fields.iter().any(|field| field == "purpose");
        for row in diff.groups_changed.iter().filter(purposes) {
            tracing::info!(
                %site, version,
                "the purpose of {} is told in other words; if it is another purpose, raise its `purpose_version`",
                row.name
            );
        }
    }

    /// Today's fingerprint of a category, and those that cover it; none where a later statement than this process's is
    /// published, whose decisions this process cannot judge.
    pub(crate) async fn fingerprints(
        &self,
        store: &dyn Store,
        category: &Category,
    ) -> Result<Option<Vec<[u8; 3]>>> {
        let latest = store.statements(&self.scope).await?;
        if latest.last().is_some_and(|v| v.hash != self.history.own) {
            return Ok(None);
        }
        let covered = self.history.decided.get(&category.code).into_iter().flat_map(|e| &e.covered).copied();
        Ok(Some(std::iter::once(category.fingerprint()).chain(covered).collect()))
    }

    /// What is new since a decision that is about something else than is done today.
    pub(crate) fn news(&self, category: &Category, fingerprint: [u8; 3]) -> Vec<MaterialChange> {
        let earlier = self.history.decided.get(&category.code);
        let before = earlier.and_then(|e| e.other.iter().find(|m| m.fingerprint() == fingerprint));
        let changes = before.map(|m| m.changes(category.facts())).unwrap_or_default();
        changes.into_iter().filter(|c| c.kind.asks_anew()).collect()
    }
}

impl Privet {
    /// The versions of a site's statement, the first one first, as they were known when this process started.
    ///
    /// # Errors
    /// [`Error::UnknownSite`](crate::Error::UnknownSite).
    pub fn statement_versions(&self, scope: &Scope) -> Result<&[StatementVersion]> {
        Ok(&self.site(scope)?.history.versions)
    }

    /// The same with what each of them changed, in a language of the site, or else in its first; none for the first.
    ///
    /// # Errors
    /// [`Error::UnknownSite`](crate::Error::UnknownSite).
    pub fn statement_changes(
        &self,
        scope: &Scope,
        language: &Language,
    ) -> Result<impl DoubleEndedIterator<Item = (&StatementVersion, Option<&StatementDiff>)>> {
        let history = &self.site(scope)?.history;
        let diffs = history.diffs.iter().find(|(l, _)| l == language).or_else(|| history.diffs.first());
        let diffs = diffs.map(|(_, all)| all.as_slice()).unwrap_or_default();
        Ok(history.versions.iter().zip(diffs.iter().map(Option::as_ref)))
    }
}
