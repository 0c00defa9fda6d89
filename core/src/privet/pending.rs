//! Withdrawals that the store did not take: kept here and on the device until it does.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use super::Privet;
use super::act::{Origin, contacts_code, decisions};
use crate::clock::Timestamp;
use crate::consent::{Act, ConsentRecord, ConsentState, Method, NoticeId, RecordId};
use crate::error::{Error, Result};
use crate::scope::Scope;
use crate::store::NewRecord;
use crate::visit::Visit;

/// So many are held in memory; the devices hold theirs in any case.
const MAX_HELD: usize = 100_000;

#[derive(Clone, Debug)]
pub(super) struct PendingWithdrawal {
    scope: Scope,
    follows: RecordId,
    state: ConsentState,
    at: Timestamp,
    origin: Option<Origin>,
    gpc: bool,
}

impl PendingWithdrawal {
    pub(super) fn of(visit: &Visit, state: &ConsentState, origin: Option<Origin>) -> Option<Self> {
        Some(Self {
            scope: visit.scope().clone(),
            follows: state.record?,
            state: state.clone(),
            at: visit.now(),
            origin,
            gpc: visit.gpc(),
        })
    }
}

#[derive(Debug, Default)]
pub(super) struct Pending(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    queue: VecDeque<PendingWithdrawal>,
    /// Recorded meanwhile: what the device may forget, and the record it goes on with.
    settled: BTreeMap<RecordId, RecordId>,
    settled_order: VecDeque<RecordId>,
}

impl Pending {
    fn locked<T>(&self, f: impl FnOnce(&mut Held) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Privet {
    pub(super) fn keep_pending(&self, withdrawal: Option<PendingWithdrawal>) {
        let Some(withdrawal) = withdrawal else { return };
        self.0.pending.locked(|held| {
            held.queue.retain(|w| w.follows != withdrawal.follows);
            if held.queue.len() < MAX_HELD {
                held.queue.push_back(withdrawal);
            }
        });
    }

    /// A device that carries a withdrawal: it is queued again, or, if it is recorded meanwhile, the device is
    /// told.
    pub(crate) fn settle_pending(&self, visit: &Visit) {
        if !visit.is_pending() {
            return;
        }
        let Some(mut state) = visit.state() else { return };
        let Some(follows) = state.record else { return };
        let settled = self.0.pending.locked(|held| held.settled.get(&follows).copied());
        match settled {
            Some(record) => {
                state.pending = false;
                state.record = state.grants_something().then_some(record);
                // The head was not sealed: it has only just come.
                let _ = visit.decide(state);
            }
            None => {
                let known = self.0.pending.locked(|held| held.queue.iter().any(|w| w.follows == follows));
                if !known {
                    self.keep_pending(PendingWithdrawal::of(visit, &state, None));
                }
            }
        }
    }

    /// Records the withdrawal that a device carries, now.
    pub(super) async fn record_pending_of(&self, visit: &Visit) -> Result<()> {
        let state = visit.state();
        let Some(withdrawal) = state.as_ref().and_then(|s| PendingWithdrawal::of(visit, s, None)) else {
            return Ok(());
        };
        let known = self
            .0
            .pending
            .locked(|held| held.queue.iter().find(|w| w.follows == withdrawal.follows).cloned());
        let record = self.record_withdrawal(known.as_ref().unwrap_or(&withdrawal)).await?;
        self.settle(withdrawal.follows, record);
        self.settle_pending(visit);
        Ok(())
    }

    fn settle(&self, follows: RecordId, record: RecordId) {
        self.0.pending.locked(|held| {
            held.queue.retain(|w| w.follows != follows);
            held.settled.insert(follows, record);
            held.settled_order.push_back(follows);
            if held.settled_order.len() > MAX_HELD
                && let Some(oldest) = held.settled_order.pop_front()
            {
                held.settled.remove(&oldest);
            }
        });
    }

    /// How many withdrawals wait to be recorded.
    #[must_use]
    pub fn pending_withdrawals(&self) -> usize {
        self.0.pending.locked(|held| held.queue.len())
    }

    /// Records what waits. What the store does not take stays.
    ///
    /// # Errors
    /// What the store says about the first one that it does not take.
    pub async fn record_pending(&self) -> Result<()> {
        while let Some(withdrawal) = self.0.pending.locked(|held| held.queue.front().cloned()) {
            let record = self.record_withdrawal(&withdrawal).await?;
            self.settle(withdrawal.follows, record);
            tracing::info!("a withdrawal that waited is recorded");
        }
        Ok(())
    }

    async fn record_withdrawal(&self, withdrawal: &PendingWithdrawal) -> Result<RecordId> {
        let PendingWithdrawal { scope, follows, state, at, origin, gpc } = withdrawal;
        let site = self.site(scope)?;
        let latest = self.store().latest_record(scope, *follows).await?;
        let first = site.notices.first();
        let id = RecordId::generate()?;
        let record = ConsentRecord {
            id,
            scope: scope.clone(),
            subject: self.keys().line_digest(&scope.tenant, id.as_bytes()).await?,
            act: Act::Withdrawal,
            at: *at,
            until: site.lapses(state, *at),
            notice: latest
                .as_ref()
                .map(|r| r.notice)
                .or(first.map(|n| n.snapshot.id))
                .unwrap_or(NoticeId::NONE),
            language: latest
                .as_ref()
                .map(|r| r.language.clone())
                .or(first.map(|n| n.notice.language.clone()))
                .ok_or(Error::UnknownSite)?,
            regime: state.regime,
            method: origin.map_or(Method::Form, |o| o.method),
            gesture: origin.is_some_and(|o| o.gesture),
            gpc: *gpc,
            decisions: decisions(state),
        };
        let new = NewRecord::new(record, Some(*follows));
        let appended =
            self.store().append_record(&new, contacts_code(site), Self::fence_until(self.now())).await?;
        if appended.erasing > 0 {
            self.erase_marked_of(&scope.tenant).await;
        }
        Ok(appended.record.id)
    }
}
