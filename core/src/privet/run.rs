//! What goes on beside the requests: [`Privet::run`].

use std::future::Future;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_timer::Delay;
use futures_util::future::{Either, select};

use super::Privet;
use crate::clock::{Day, Timestamp};
use crate::contact::Removed;
use crate::error::Result;
use crate::scope::Tenant;
use crate::store::{ContactTouch, Erasing, ErasureCause, LedgerEntry};

/// Buffered activity is written this often.
const FLUSH_EVERY: Duration = Duration::from_secs(5);
/// What has expired is taken away this often; it is hidden at once.
const SWEEP_EVERY: Duration = Duration::from_secs(600);
/// Yesterday's key of pseudonyms is destroyed this long after midnight, UTC.
const EPOCH_GRACE: Duration = Duration::from_secs(3_600);
/// So much activity is written before its time.
const FLUSH_AT: usize = 32_768;
/// Rows in one step of an erasure.
const ERASE_ROWS: u32 = 500;

impl Privet {
    /// Does what has to be done beside the requests: writes buffered activity, sweeps what has expired, changes
    /// the day's keys, records withdrawals that wait. Spawn it once. It ends after `shutdown`, with everything
    /// written.
    ///
    /// Nothing that fails ends it; it is logged and tried again.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) {
        if self.0.running.swap(true, Ordering::SeqCst) {
            tracing::error!(
                "`privet.run` was spawned twice; this second one does nothing; spawn it once, not per worker"
            );
            shutdown.await;
            return;
        }
        let mut shutdown = std::pin::pin!(shutdown);
        let mut swept = None;
        loop {
            let due = swept.is_none_or(|at: Timestamp| self.now().since(at) >= SWEEP_EVERY);
            self.tick(due).await;
            if due {
                swept = Some(self.now());
            }
            let pause =
                if self.touches().len() >= FLUSH_AT { Duration::from_millis(10) } else { FLUSH_EVERY };
            match select(&mut shutdown, Delay::new(pause)).await {
                Either::Left(_) => break,
                Either::Right(_) => {}
            }
        }
        self.logged("recording what waits", self.record_pending().await);
        self.logged("writing activity", self.flush().await.map(drop));
        self.0.running.store(false, Ordering::SeqCst);
    }

    async fn tick(&self, sweep: bool) {
        self.logged("changing the day's keys", self.load_epoch_keys().await);
        self.logged("recording what waits", self.record_pending().await);
        self.logged("writing activity", self.flush().await.map(drop));
        if sweep {
            self.forget_rules();
            self.logged("sweeping", self.sweep(self.now()).await.map(drop));
        }
    }

    fn logged(&self, what: &str, result: Result<()>) {
        if let Err(error) = result {
            tracing::error!("{what} failed and will be tried again: {error}");
        }
    }

    /// Writes buffered activity of contacts. How many contacts it moved.
    ///
    /// # Errors
    /// What the store says; the activity is kept for the next time.
    pub async fn flush(&self) -> Result<u64> {
        let taken = self.touches().take();
        if taken.is_empty() {
            return Ok(0);
        }
        let now = self.now();
        let mut touches = Vec::with_capacity(taken.len());
        for t in &taken {
            let gone_before = match self.horizon(&t.scope.tenant, now).await {
                Ok(horizon) => horizon.contacts,
                Err(error) => {
                    self.touches().put_back(taken);
                    return Err(error);
                }
            };
            touches.push(ContactTouch {
                scope: t.scope.clone(),
                id: t.id,
                epoch: t.epoch,
                at: t.at,
                gone_before,
            });
        }
        match self.store().touch_contacts(&touches).await {
            Ok(moved) => Ok(moved),
            Err(error) => {
                self.touches().put_back(taken);
                Err(error)
            }
        }
    }

    /// Today's key and tomorrow's are at hand, yesterday's until its grace is over; older ones are destroyed.
    pub(crate) async fn load_epoch_keys(&self) -> Result<()> {
        let now = self.now();
        let today = now.day();
        let yesterday = Day::from_number(today.number() - 1);
        let oldest = if now.since(today.start()) < EPOCH_GRACE { yesterday } else { today };
        self.keys().destroy_epochs_before(oldest).await?;
        let mut held = Vec::new();
        for n in oldest.number()..=today.number() + 1 {
            let day = Day::from_number(n);
            held.push((day, self.keys().epoch_key(day).await?));
        }
        self.epoch_keys().replace(&held);
        Ok(())
    }

    /// Ends what is marked for erasure, of one tenant: hidden and fenced it is already. What fails is left to
    /// the next sweep.
    pub(crate) async fn erase_marked_of(&self, tenant: &Tenant) -> Removed {
        self.erase_marked(Some(tenant)).await.unwrap_or_else(|error| {
            tracing::error!("an erasure is not complete and will be taken up again: {error}");
            Removed::default()
        })
    }

    pub(crate) async fn erase_marked(&self, tenant: Option<&Tenant>) -> Result<Removed> {
        let mut removed = Removed::default();
        loop {
            let marked = self.store().erasing(tenant, 100).await?;
            if marked.is_empty() {
                return Ok(removed);
            }
            for erasing in marked {
                removed += self.erase(&erasing).await?;
            }
        }
    }

    /// The ledger first, then the key, then the rows: from the first to the last there is no step after which
    /// a restored backup or a crash could bring it back.
    async fn erase(&self, erasing: &Erasing) -> Result<Removed> {
        if let Some(subject) = erasing.subject {
            if erasing.cause != ErasureCause::Retention {
                let entry = LedgerEntry::new(erasing.scope.clone(), subject, erasing.cause, self.now());
                self.ledger().append(&entry).await?;
            }
            self.keys().destroy_subject_key(&erasing.scope.tenant, subject).await?;
        }
        let mut removed = Removed::default();
        loop {
            let step = self.store().erase_step(erasing, ERASE_ROWS).await?;
            removed += step.removed;
            if step.done {
                return Ok(removed);
            }
        }
    }
}
