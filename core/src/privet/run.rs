//! What goes on beside the requests: [`Privet::run`].

use std::future::{Future, IntoFuture};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_channel::oneshot;
use futures_timer::Delay;
use futures_util::FutureExt as _;
use futures_util::future::{Either, join, select};

use super::Privet;
use crate::clock::{Day, Timestamp};
use crate::contact::Removed;
use crate::error::Result;
use crate::scope::{Scope, Tenant};
use crate::store::{ContactTouch, Erasing, ErasingKind, ErasureCause, LedgerEntry, SubjectDigest};

/// Buffered activity is written this often.
const FLUSH_EVERY: Duration = Duration::from_secs(5);
/// What has expired is taken away this often; it is hidden at once.
const SWEEP_EVERY: Duration = Duration::from_secs(600);
/// How far the chains of consent go is written into the ledger this often.
const ANCHOR_EVERY: Duration = Duration::from_secs(60);
/// Yesterday's key of pseudonyms is destroyed this long after midnight, UTC.
const EPOCH_GRACE: Duration = Duration::from_secs(3_600);
/// Erasures that share their writes.
const ERASE_AT_ONCE: u32 = 500;
/// Rows in one step of an erasure.
const ERASE_ROWS: u32 = 1_000;

/// That housekeeping goes on, for as long as it does, however it ends.
struct Running<'p>(&'p AtomicBool);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

impl Privet {
    /// Does what has to be done beside the requests: writes buffered activity, sweeps what has expired, changes
    /// the day's keys, records withdrawals that wait, tells recipients, anchors the chains of consent. Spawn it once. It ends after
    /// `shutdown`, with everything written; dropped before, it ends where it is, and may be spawned again.
    ///
    /// Of several instances on one store one at a time sweeps and anchors; when it ends, or is not heard of for 20 seconds, another
    /// one goes on.
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
        let _running = Running(&self.0.running);
        {
            // The sweep may take long: it goes on beside the rest, and ends with it. What it leaves, the next one
            // finds.
            let sweeping = std::pin::pin!(self.sweep_now_and_then());
            let delivering = std::pin::pin!(self.deliver_now_and_then());
            let ticking = std::pin::pin!(self.tick_until(shutdown));
            select(ticking, join(sweeping, delivering)).await;
        }
        self.logged("recording what waits", self.record_pending().await);
        self.logged("recording objections", self.record_objections().await);
        self.logged("writing activity", self.flush().await.map(drop));
        self.logged("writing counts", self.flush_counts().await);
        self.logged("anchoring consent", self.anchor_consent().await.map(drop));
        self.logged("leaving the house to another instance", self.leave_house().await);
    }

    /// Serves, and does beside it what [`run`](Self::run) does; when `serving` ends, everything is written before its
    /// output is given back. Several servers are joined into one `serving`, which ends with the last. Dropped before its
    /// end, it leaves what is buffered unwritten. The shortest way to run both in `main`, in the right order:
    ///
    /// ```
    /// # use privet::{Catalogue, Privet};
    /// # futures_executor::block_on(async {
    /// # let privet = Privet::builder(Catalogue::from_toml("[controller]\nname = \"Shop\"\ncontact = \"c\"")?).build().await?;
    /// # let serving = async { Ok::<_, std::io::Error>(()) };
    /// // let serving = axum::serve(listener, service).with_graceful_shutdown(ctrl_c);
    /// // let serving = HttpServer::new(…).bind(addr)?.run();
    /// privet.run_while(serving).await?;
    /// # Ok::<_, Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn run_while<S: IntoFuture>(&self, serving: S) -> S::Output {
        let (served, until_served) = oneshot::channel::<()>();
        let serving = async {
            let output = serving.into_future().await;
            drop(served);
            output
        };
        let (output, ()) = join(serving, self.clone().run(until_served.map(|_| ()))).await;
        output
    }

    async fn tick_until(&self, shutdown: impl Future<Output = ()> + Send) {
        let mut shutdown = std::pin::pin!(shutdown);
        let mut anchored = None;
        loop {
            self.logged("changing the day's keys", self.load_epoch_keys().await);
            self.logged("recording what waits", self.record_pending().await);
            self.logged("recording objections", self.record_objections().await);
            if self.keeps_house() && anchored.is_none_or(|at: Timestamp| self.now().since(at) >= ANCHOR_EVERY)
            {
                anchored = Some(self.now());
                self.logged("anchoring consent", self.anchor_consent().await.map(drop));
            }
            self.logged("writing counts", self.flush_counts().await);
            let flushed = self.flush().await;
            // After a failure nobody hurries.
            let hurries = flushed.is_ok();
            self.logged("writing activity", flushed.map(drop));
            let crowded = std::pin::pin!(async {
                if hurries { self.touches().crowded().await } else { std::future::pending().await }
            });
            let pause = select(Delay::new(FLUSH_EVERY), crowded);
            if let Either::Left(_) = select(&mut shutdown, pause).await {
                return;
            }
        }
    }

    async fn sweep_now_and_then(&self) {
        let (mut looked, mut swept) = (None, None);
        loop {
            let now = self.now();
            if looked.is_none_or(|at: Timestamp| now.since(at) >= SWEEP_EVERY) {
                looked = Some(now);
                self.forget_rules();
                // Only the latest version of a site does it, which need not be the instance that sweeps.
                self.logged("freezing contacts", self.freeze_contacts(now).await);
            }
            let keeps_house = self.keep_house().await;
            if keeps_house && swept.is_none_or(|at: Timestamp| now.since(at) >= SWEEP_EVERY) {
                swept = Some(now);
                let sweeping = std::pin::pin!(self.sweep(now));
                let losing = std::pin::pin!(self.until_house_is_lost());
                match select(sweeping, losing).await {
                    Either::Left((swept, _)) => self.logged("sweeping", swept.map(drop)),
                    // Its steps are whole, each; the other instance goes on where it stopped.
                    Either::Right(_) => tracing::warn!("another instance sweeps now; this one stopped"),
                }
            }
            Delay::new(FLUSH_EVERY).await;
        }
    }

    async fn until_house_is_lost(&self) {
        while self.keep_house().await {
            Delay::new(FLUSH_EVERY).await;
        }
    }

    /// Recipients may be slow: what else has to be done does not wait for them.
    async fn deliver_now_and_then(&self) {
        loop {
            self.logged("telling recipients", self.deliver_notifications().await.map(drop));
            // Without a channel there is only to see what has waited for too long.
            Delay::new(if self.0.channel.is_some() { FLUSH_EVERY } else { SWEEP_EVERY }).await;
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
        for t in taken.iter() {
            touches.push(ContactTouch {
                scope: t.scope.clone(),
                id: t.id,
                epoch: t.epoch,
                at: t.at,
                gone_before: self.horizon(&t.scope.tenant, now).await?.contacts,
            });
        }
        let moved = self.store().touch_contacts(&touches).await?;
        taken.are_written();
        Ok(moved)
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

    /// Ends erasures of a request: hidden and fenced is what it is about already. What fails is left to the next
    /// sweep.
    pub(crate) async fn erase_now(&self, erasing: &[Erasing]) -> Removed {
        self.erase(erasing).await.unwrap_or_else(|error| {
            tracing::error!("an erasure is not complete and will be taken up again: {error}");
            Removed::default()
        })
    }

    /// Ends what is marked for erasure, of one tenant or of all.
    pub(crate) async fn erase_marked(&self, tenant: Option<&Tenant>) -> Result<Removed> {
        let (mut removed, mut failed) = (Removed::default(), Ok(()));
        loop {
            let marked = self.store().erasing(tenant, ERASE_AT_ONCE).await?;
            // What is over by its age needs no ledger, which may be away.
            let parts: (Vec<_>, Vec<_>) =
                marked.into_iter().partition(|e| e.cause == ErasureCause::Retention);
            let mut goes_on = false;
            for part in [parts.0, parts.1].iter().filter(|part| !part.is_empty()) {
                match self.erase(part).await {
                    Ok(gone) => {
                        removed += gone;
                        goes_on = true;
                    }
                    Err(error) => failed = Err(error),
                }
            }
            if !goes_on {
                return failed.map(|()| removed);
            }
        }
    }

    /// The ledger first, then the keys, then the rows: from the first to the last there is no step after which
    /// a restored backup or a crash could bring one of them back.
    pub(crate) async fn erase(&self, erasing: &[Erasing]) -> Result<Removed> {
        let mut entries = Vec::new();
        for e in erasing.iter().filter(|e| e.cause != ErasureCause::Retention) {
            let subject = match (e.subject, e.kind) {
                (Some(subject), _) => subject,
                (None, ErasingKind::Contact(id)) => self.keys().contact_digest(&e.scope.tenant, id).await?,
                (None, ErasingKind::Conversation(id)) => {
                    self.keys().conversation_digest(&e.scope.tenant, id).await?
                }
            };
            entries.push(self.erased(&e.scope, subject, e.cause));
        }
        if !entries.is_empty() {
            self.ledger().append(&entries).await?;
        }
        let subjects = erasing.iter().filter_map(|e| Some((&e.scope.tenant, e.subject?)));
        self.keys().destroy_subject_keys(subjects).await?;
        let mut removed = Removed::default();
        let mut left = erasing;
        while !left.is_empty() {
            let step = self.store().erase_step(left, ERASE_ROWS).await?;
            removed += step.removed;
            left = left.get(step.done..).unwrap_or_default();
        }
        Ok(removed)
    }

    /// That something is erased at somebody's wish, as the ledger has it.
    pub(crate) fn erased(&self, scope: &Scope, subject: SubjectDigest, cause: ErasureCause) -> LedgerEntry {
        LedgerEntry::Erased { scope: scope.clone(), subject, cause, at: self.now() }
    }
}
