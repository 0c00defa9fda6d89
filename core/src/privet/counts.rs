//! Showings and plain refusals, counted per day: in memory first, then in the store.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::{Privet, SiteNotice, SiteState};
use crate::clock::{Day, Timestamp};
use crate::consent::{ConsentCount, CountKind, NoticeId};
use crate::error::Result;
use crate::key::random_bytes;
use crate::scope::{Scope, Tenant};
use crate::store::CountBatch;
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

/// How long the store remembers a batch: longer than anybody goes on trying to bring one.
const REMEMBERED: Duration = Duration::from_secs(86_400);

/// What is on its way into the store, by tenant.
#[derive(Debug)]
pub(crate) struct Counting {
    writer: [u8; 16],
    flushes: Mutex<BTreeMap<Tenant, Flush>>,
}

/// The last number of a tenant's batches, and the last batch until the store has said that it has it. Nobody knows what became
/// of one that was given up in between, so it goes again as it was, and what is counted meanwhile waits.
#[derive(Debug, Default)]
struct Flush {
    last: u32,
    under_way: Option<Arc<CountBatch>>,
}

impl Counting {
    pub(super) fn new() -> Result<Self> {
        Ok(Self { writer: random_bytes()?, flushes: Mutex::default() })
    }

    fn locked<T>(&self, f: impl FnOnce(&mut BTreeMap<Tenant, Flush>) -> T) -> T {
        f(&mut self.flushes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The batch that is under way, or else one of what was counted at a tenant's sites; none when nothing was.
    fn next(&self, sites: &[&Arc<SiteState>], now: Timestamp) -> Option<Arc<CountBatch>> {
        let tenant = &sites.first()?.scope.tenant;
        self.locked(|flushes| {
            if let Some(flush) = flushes.get(tenant)
                && let Some(batch) = &flush.under_way
            {
                return Some(batch.clone());
            }
            let number = flushes.get(tenant).map_or(0, |flush| flush.last).saturating_add(1);
            let mut batch = CountBatch::new(tenant.clone(), self.writer, number, now + REMEMBERED);
            for site in sites {
                for ((day, kind, notice), count) in site.counts.locked(std::mem::take) {
                    batch.add(site.scope.site.clone(), day, kind, notice, count);
                }
            }
            if batch.counts().is_empty() {
                return None;
            }
            let batch = Arc::new(batch);
            flushes.insert(tenant.clone(), Flush { last: number, under_way: Some(batch.clone()) });
            Some(batch)
        })
    }

    fn arrived(&self, batch: &CountBatch) {
        self.locked(|flushes| {
            if let Some(flush) = flushes.get_mut(batch.tenant()).filter(|f| f.last == batch.number()) {
                flush.under_way = None;
            }
        });
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
        let sites: Vec<_> = self.0.sites.values().collect();
        let mut flushed = Ok(());
        // A tenant whose store is away keeps no other one waiting.
        for of_tenant in sites.chunk_by(|a, b| a.scope.tenant == b.scope.tenant) {
            flushed = flushed.and(self.flush_counts_of(of_tenant).await);
        }
        flushed
    }

    async fn flush_counts_of(&self, sites: &[&Arc<SiteState>]) -> Result<()> {
        // What was under way already, and then what was counted since.
        for _ in 0..2 {
            let Some(batch) = self.0.counting.next(sites, self.now()) else { break };
            self.store().add_consent_counts(&batch).await?;
            self.0.counting.arrived(&batch);
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
