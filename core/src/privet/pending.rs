//! Withdrawals that the store did not take: kept here and on the device until it does.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use super::Privet;
use super::act::{Facts, Provenance, granted_mask};
use crate::clock::Timestamp;
use crate::consent::cookie::AccountState;
use crate::consent::{Act, ConsentRecord, ConsentState, Method, NoticeId, RecordId};
use crate::error::{Error, Result};
use crate::scope::Scope;
use crate::store::SubjectDigest;
use crate::visit::Visit;

/// So many are held in memory; the devices hold theirs in any case.
const MAX_HELD: usize = 100_000;

#[derive(Clone, Debug)]
pub(super) struct PendingWithdrawal {
    scope: Scope,
    follows: RecordId,
    state: ConsentState,
    at: Timestamp,
    provenance: Option<Provenance>,
    gpc: bool,
    account: Option<SubjectDigest>,
}

impl PendingWithdrawal {
    pub(super) fn of(
        visit: &Visit,
        state: &ConsentState,
        account: Option<SubjectDigest>,
        provenance: Option<Provenance>,
    ) -> Option<Self> {
        Some(Self {
            scope: visit.scope().clone(),
            follows: state.record?,
            state: state.clone(),
            at: visit.now(),
            provenance,
            gpc: visit.gpc(),
            account,
        })
    }
}

#[derive(Debug, Default)]
pub(super) struct Pending(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    /// In the order they came. A later withdrawal of the same line takes the place of the one that waits.
    queue: BTreeMap<u64, PendingWithdrawal>,
    of_line: BTreeMap<RecordId, u64>,
    next: u64,
    /// Recorded meanwhile: what the device may forget, and the record it goes on with.
    settled: BTreeMap<RecordId, Settled>,
    settled_order: VecDeque<RecordId>,
}

/// What a withdrawal became.
#[derive(Clone, Copy, Debug)]
struct Settled {
    record: RecordId,
    /// What it still grants: a device whose withdrawal took more back is not done.
    granted: u64,
}

impl Held {
    fn keep(&mut self, mut withdrawal: PendingWithdrawal) {
        self.settled.remove(&withdrawal.follows);
        if let Some(older) = self.of_line.remove(&withdrawal.follows)
            && let Some(older) = self.queue.remove(&older)
        {
            // Another device of the account may have taken back something else.
            withdrawal.state = withdrawal.state.refusing_too(&older.state);
        }
        if self.queue.len() < MAX_HELD {
            self.of_line.insert(withdrawal.follows, self.next);
            self.queue.insert(self.next, withdrawal);
            self.next += 1;
        }
    }

    /// One is recorded. Whatever else was withdrawn of the line meanwhile still waits.
    fn settle(&mut self, number: u64, follows: RecordId, record: Settled) {
        self.queue.remove(&number);
        if self.of_line.get(&follows).is_some_and(|n| *n != number) {
            return;
        }
        self.of_line.remove(&follows);
        self.settled.insert(follows, record);
        self.settled_order.push_back(follows);
        if self.settled_order.len() > MAX_HELD
            && let Some(oldest) = self.settled_order.pop_front()
        {
            self.settled.remove(&oldest);
        }
    }

    /// The latest first.
    fn of_account(&self, scope: &Scope, line: SubjectDigest) -> Vec<(u64, PendingWithdrawal)> {
        let held = self.queue.iter().rev();
        let of_line = held.filter(|(_, w)| w.account == Some(line) && w.scope == *scope);
        of_line.map(|(number, found)| (*number, found.clone())).collect()
    }

    fn of_line(&self, follows: RecordId) -> Option<(u64, PendingWithdrawal)> {
        let number = *self.of_line.get(&follows)?;
        Some((number, self.queue.get(&number)?.clone()))
    }
}

impl Pending {
    fn locked<T>(&self, f: impl FnOnce(&mut Held) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Privet {
    pub(super) fn keep_pending(&self, withdrawal: Option<PendingWithdrawal>) {
        let Some(withdrawal) = withdrawal else { return };
        self.0.pending.locked(|held| held.keep(withdrawal));
    }

    /// A device that carries a withdrawal, its own or an account's: it is queued again, or, if it is recorded meanwhile,
    /// the device is told.
    pub(crate) fn settle_pending(&self, visit: &Visit) {
        if !visit.is_pending() {
            return;
        }
        // The head was not sealed: it has only just come.
        if let Some(account) = visit.account()
            && let Some(state) = self.settled(visit, &account.state, Some(account.line))
        {
            let _ = visit.keep_account(Some(AccountState { state, ..account }));
        }
        if let Some(device) = visit.device_state()
            && let Some(state) = self.settled(visit, &device, None)
        {
            let _ = visit.decide_for_device(state);
        }
    }

    /// What a state goes on as, if its withdrawal is recorded; it is queued if it is not known here.
    fn settled(
        &self,
        visit: &Visit,
        state: &ConsentState,
        account: Option<SubjectDigest>,
    ) -> Option<ConsentState> {
        let follows = state.record.filter(|_| state.pending)?;
        let (settled, waits) = self
            .0
            .pending
            .locked(|held| (held.settled.get(&follows).copied(), held.of_line.contains_key(&follows)));
        let settled = settled.filter(|s| s.granted & !granted_mask(state) == 0);
        if settled.is_none() && !waits {
            self.keep_pending(PendingWithdrawal::of(visit, state, account, None));
        }
        let mut state = state.clone();
        state.pending = false;
        state.record = state.grants_something().then_some(settled?.record);
        Some(state)
    }

    /// Records the withdrawal that a device carries, now.
    pub(super) async fn record_pending_of(&self, visit: &Visit) -> Result<()> {
        let state = visit.state().filter(|s| s.pending);
        let carried = state.and_then(|s| PendingWithdrawal::of(visit, &s, visit.line(), None));
        let Some(carried) = carried else { return Ok(()) };
        let (number, withdrawal) = self.0.pending.locked(|held| {
            held.of_line(carried.follows).unwrap_or_else(|| {
                held.keep(carried.clone());
                held.of_line(carried.follows).unwrap_or((u64::MAX, carried))
            })
        });
        let record = self.record_withdrawal(&withdrawal).await?;
        self.0.pending.locked(|held| held.settle(number, withdrawal.follows, record));
        self.settle_pending(visit);
        Ok(())
    }

    /// Records the withdrawal of an account that waits here, before its choice is read. Where the store does not take it, what
    /// the person took back holds all the same.
    pub(super) async fn record_pending_of_account(
        &self,
        scope: &Scope,
        line: SubjectDigest,
    ) -> Option<ConsentState> {
        let mut left: Option<ConsentState> = None;
        // Each of the account's devices may have one of its own.
        for (number, withdrawal) in self.0.pending.locked(|held| held.of_account(scope, line)) {
            match self.record_withdrawal(&withdrawal).await {
                Ok(record) => self.0.pending.locked(|held| held.settle(number, withdrawal.follows, record)),
                Err(error) => {
                    tracing::error!("a withdrawal that waits cannot be recorded: {error}");
                    left = Some(match left {
                        Some(later) => later.refusing_too(&withdrawal.state),
                        None => withdrawal.state,
                    });
                }
            }
        }
        left
    }

    /// How many withdrawals wait to be recorded.
    #[must_use]
    pub fn pending_withdrawals(&self) -> usize {
        self.0.pending.locked(|held| held.queue.len())
    }

    /// Records what waits. What the store does not take stays, and keeps nothing else from being recorded.
    ///
    /// # Errors
    /// That the store is not available, at the first one; or else what it said about the last one that it did
    /// not take.
    pub async fn record_pending(&self) -> Result<()> {
        let mut failed = Ok(());
        let numbers: Vec<_> = self.0.pending.locked(|held| held.queue.keys().copied().collect());
        for number in numbers {
            let Some(withdrawal) = self.0.pending.locked(|held| held.queue.get(&number).cloned()) else {
                continue;
            };
            match self.record_withdrawal(&withdrawal).await {
                Ok(record) => {
                    self.0.pending.locked(|held| held.settle(number, withdrawal.follows, record));
                    tracing::info!("a withdrawal that waited is recorded");
                }
                Err(error @ Error::Unavailable { .. }) => return Err(error),
                Err(error) => {
                    tracing::error!("a withdrawal that waits cannot be recorded: {error}");
                    failed = Err(error);
                }
            }
        }
        failed
    }

    async fn record_withdrawal(&self, withdrawal: &PendingWithdrawal) -> Result<Settled> {
        let PendingWithdrawal { scope, follows, state, at, provenance, gpc, account } = withdrawal;
        let site = self.site(scope)?;
        let line = self.store().line(scope, *follows).await?;
        // Another instance may have recorded it, from the device that carried it there, and the person may have agreed anew
        // since: that is not to be taken back.
        let is_it = |r: &&ConsentRecord| {
            r.act != Act::Grant && r.at >= *at && granted_of(r) & !granted_mask(state) == 0
        };
        if let Some(recorded) = line.iter().rev().find(is_it) {
            return Ok(Settled { record: recorded.id, granted: granted_of(recorded) });
        }
        let latest = line.into_iter().next_back();
        let first = site.notices.first();
        // Where there is nothing to take back, an account has refused.
        let granted = granted_mask(state);
        let takes = latest.as_ref().is_none_or(|latest| {
            latest.decisions.iter().any(|d| latest.grants(d.category, *at) && granted & d.category.bit() == 0)
        });
        let known = latest.is_some();
        let facts = Facts {
            act: if account.is_some() && !(known && takes) { Act::Refusal } else { Act::Withdrawal },
            at: *at,
            notice: latest
                .as_ref()
                .map(|r| r.notice)
                .or(first.map(|n| n.snapshot.id))
                .unwrap_or(NoticeId::NONE),
            language: latest
                .map(|r| r.language)
                .or(first.map(|n| n.notice.language.clone()))
                .ok_or(Error::UnknownSite)?,
            provenance: provenance.unwrap_or(Provenance::new(Method::Form, false)),
            gpc: *gpc,
            account: *account,
        };
        let (record, _) = self.append(site, state, Some(*follows), facts).await?;
        Ok(Settled { record: record.id, granted: granted_of(&record) })
    }
}

/// What a record grants, as bits by code.
fn granted_of(record: &ConsentRecord) -> u64 {
    let granted = record.decisions.iter().filter(|d| record.grants(d.category, record.at));
    granted.fold(0, |codes, d| codes | d.category.bit())
}
