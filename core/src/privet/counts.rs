//! Showings and plain refusals, counted per day: in memory first, then in the store.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::{Privet, SiteNotice, SiteState};
use crate::clock::Day;
use crate::consent::{ConsentCount, CountKind, NoticeId};
use crate::error::Result;
use crate::scope::Scope;
use crate::visit::Visit;

/// Days, kinds and notices of a site between two flushes: a handful, as long as the store takes them. What comes on
/// top while it does not is not counted.
const MAX_HELD: usize = 1_000;

type Key = (Day, CountKind, NoticeId);

/// The counts of one site that are not in the store yet.
#[derive(Debug, Default)]
pub(crate) struct Counts(Mutex<BTreeMap<Key, u64>>);

impl Counts {
    fn locked<T>(&self, f: impl FnOnce(&mut BTreeMap<Key, u64>) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn add(&self, key: Key, count: u64) {
        self.locked(|held| {
            if held.len() < MAX_HELD || held.contains_key(&key) {
                let counted = held.entry(key).or_default();
                *counted = counted.saturating_add(count);
            }
        });
    }
}

impl SiteState {
    pub(super) fn count(&self, day: Day, kind: CountKind, notice: NoticeId) {
        self.counts.add((day, kind, notice), 1);
    }
}

/// Counts on their way into the store. They go back if they do not arrive, whatever ends the way.
struct Taken<'p>(&'p Privet, Vec<ConsentCount>);

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        for c in self.1.drain(..) {
            if let Ok(site) = self.0.site(&c.scope) {
                site.counts.add((c.day, c.kind, c.notice), c.count);
            }
        }
    }
}

impl Privet {
    /// How often the notice was shown and plainly refused on each day from `from` to `to`, both included, UTC; one
    /// entry per day, kind and notice, in this order. A refusal of a device that had granted nothing leaves no record,
    /// so this is all that is known of it. It counts responses and acts, of people and of programs alike.
    ///
    /// What was counted in the last seconds before a crash is lost.
    ///
    /// ```
    /// # futures_executor::block_on(async {
    /// use privet::{Catalogue, Day, Privet, Scope};
    ///
    /// let catalogue = Catalogue::from_toml("[controller]\nname = \"Shop\"\ncontact = \"privacy@shop.example\"")?;
    /// let privet = Privet::builder(catalogue).build().await?;
    /// let today = privet.now().day();
    /// let week = Day::from_number(today.number() - 6);
    /// assert!(privet.consent_counts(&Scope::default(), week, today).await?.is_empty());
    /// # Ok::<(), privet::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// What the store says.
    pub async fn consent_counts(&self, scope: &Scope, from: Day, to: Day) -> Result<Vec<ConsentCount>> {
        self.flush_counts().await?;
        let horizon = self.horizon(&scope.tenant, self.now()).await?;
        self.store().consent_counts(scope, from.max(horizon.counts.day()), to).await
    }

    /// Writes what was counted since the last time: [`run`](Self::run) does it every few seconds.
    ///
    /// # Errors
    /// What the store says; the counts are kept for the next time.
    pub async fn flush_counts(&self) -> Result<()> {
        let mut taken = Taken(self, Vec::new());
        for site in self.0.sites.values() {
            let counts = site.counts.locked(std::mem::take);
            let of_site = |((day, kind, notice), count)| {
                ConsentCount::new(site.scope.clone(), day, kind, notice, count)
            };
            taken.1.extend(counts.into_iter().map(of_site));
        }
        if !taken.1.is_empty() {
            self.store().add_consent_counts(&taken.1).await?;
            taken.1.clear();
        }
        Ok(())
    }
}

impl Visit {
    /// Counts that this response shows the notice to somebody who is asked; once, however often it is called, and not
    /// at all for whoever has decided. For adapters of one's own: privet's banner and settings page call it.
    pub fn notice_shown(&self, notice: &SiteNotice, kind: CountKind) {
        if self.asks() && self.first_showing() {
            self.site().count(self.now().day(), kind, notice.snapshot.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_map_is_bounded_and_goes_on_counting() {
        let counts = Counts::default();
        let key = |day| (Day::from_number(day), CountKind::Refusal, NoticeId::NONE);
        for day in 0..MAX_HELD as i64 + 5 {
            counts.add(key(day), 1);
        }
        counts.add(key(0), u64::MAX);
        let held = counts.locked(std::mem::take);
        assert_eq!(held.len(), MAX_HELD);
        assert_eq!(held[&key(0)], u64::MAX);
        assert_eq!(held[&key(1)], 1);
    }
}
