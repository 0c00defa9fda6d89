//! Group commit: units of work of one kind and one tenant that come while another transaction is on its way share the next one,
//! each of its statements among them, and one write-through.
//!
//! Nobody waits for company: the first one leads, at once, and goes on for as long as others come. A unit stands for itself
//! all the same: a "no" of the rules is its own, and when the database fails over one of them, each goes alone.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use privet::{Error, Result, Tenant};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::Instant;

use crate::db::{Db, On, Twice, UnitResult, silent, unit};
use crate::error::{Failure, UnitError, unknown, waited_in_vain};

/// Units in one transaction at most: more hardly share more, and each holds locks, of which a server has room for some
/// thousands.
const MOST: usize = 64;
/// How often a unit is handed in again whose leader is gone.
const LEADERS: usize = 3;

/// A unit of work that may share a transaction with others of its kind. Doing it twice is harmless.
pub(crate) trait Unit: Send + Sync + Sized + 'static {
    type Answer: Send + 'static;

    fn tenant(&self) -> &Tenant;

    /// Does units of one tenant as if one came after the other, and says of each what became of it, in their order.
    fn together(
        on: &mut On<'_>,
        units: &[Arc<Self>],
    ) -> impl Future<Output = UnitResult<Vec<Became<Self::Answer>>>> + Send;
}

/// What became of a unit.
pub(crate) enum Became<T> {
    Done(Result<T>),
    /// It stands on what another one of them changes: it did nothing, and goes with the next. Never the first.
    Later,
}

struct Waiting<U: Unit> {
    unit: Arc<U>,
    reply: oneshot::Sender<Result<U::Answer>>,
}

/// Who waits, by tenant. A tenant is in it as long as somebody leads.
type Queues<U> = Mutex<HashMap<Tenant, VecDeque<Waiting<U>>>>;

fn locked<U: Unit>(queues: &Queues<U>) -> MutexGuard<'_, HashMap<Tenant, VecDeque<Waiting<U>>>> {
    queues.lock().unwrap_or_else(PoisonError::into_inner)
}

/// So many go alone at once, of whichever kind: whoever holds something does not take all connections from everybody else.
#[derive(Clone)]
pub(crate) struct Lonely(Arc<Semaphore>);

impl Lonely {
    pub(crate) fn on(db: &Db) -> Self {
        let all = usize::try_from(db.connections()).unwrap_or(usize::MAX);
        Self(Arc::new(Semaphore::new((all / 4).max(if all < 4 { 1 } else { 2 }))))
    }
}

/// The units of one kind.
pub(crate) struct GroupCommit<U: Unit> {
    db: Db,
    /// The same, for several at once.
    together: Db,
    queues: Arc<Queues<U>>,
    lonely: Lonely,
}

impl<U: Unit> Clone for GroupCommit<U> {
    fn clone(&self) -> Self {
        Self {
            db: self.db.clone(),
            together: self.together.clone(),
            queues: self.queues.clone(),
            lonely: self.lonely.clone(),
        }
    }
}

impl<U: Unit> fmt::Debug for GroupCommit<U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupCommit").field("db", &self.db).finish_non_exhaustive()
    }
}

impl<U: Unit> GroupCommit<U> {
    pub(crate) fn on(db: &Db, lonely: &Lonely) -> Self {
        Self { db: db.clone(), together: db.impatient(), queues: Arc::default(), lonely: lonely.clone() }
    }

    /// Does a unit of work, durable when the future is ready. When the future is dropped it may be done all the same.
    pub(crate) async fn run(&self, unit: U) -> Result<U::Answer> {
        let unit = Arc::new(unit);
        for _ in 0..LEADERS {
            let (reply, replied) = oneshot::channel();
            self.hand_in(Waiting { unit: unit.clone(), reply })?;
            if let Ok(answer) = replied.await {
                return answer;
            }
            // The runtime of whoever led has ended: nobody knows whether this was done.
        }
        Err(Error::unavailable(
            self.db.store,
            "whoever wrote for several at once ended in the middle, so it may have happened or not",
        ))
    }

    fn hand_in(&self, waiting: Waiting<U>) -> Result<()> {
        let tenant = waiting.unit.tenant().clone();
        let mut queues = locked(&self.queues);
        if let Some(queue) = queues.get_mut(&tenant) {
            queue.push_back(waiting);
            return Ok(());
        }
        // A task of its own, since a visitor who goes away takes their request with them, and not the others'.
        let runtime = Handle::try_current().map_err(|e| Error::unavailable(self.db.store, e))?;
        queues.insert(tenant.clone(), VecDeque::from([waiting]));
        // A runtime that ends drops what it is given at once, and that looks into the queues.
        drop(queues);
        let lead = Lead { group: self.clone(), tenant, ended: false };
        runtime.spawn(lead.run());
        Ok(())
    }

    /// A transaction for units, and what there is to say of it if it failed.
    async fn transaction(
        &self,
        db: &Db,
        tenant: &Tenant,
        units: &[Arc<U>],
    ) -> std::result::Result<Vec<Became<U::Answer>>, (Error, Fault)> {
        let fault = Mutex::new(Fault::Nobodys);
        let done = async {
            unit!(*db, tenant, Twice::Harmless, on => async {
                let done = U::together(on, units).await;
                *fault.lock().unwrap_or_else(PoisonError::into_inner) = Fault::of(&done);
                done
            })
        };
        // A server that fell silent says nothing any more, and everybody else of the tenant would wait along.
        let done = tokio::time::timeout(db.patience(), done).await;
        let done = done.unwrap_or_else(|_| Err(unknown(db.store, &silent())));
        done.map_err(|error| (error, fault.into_inner().unwrap_or_else(PoisonError::into_inner)))
    }

    /// A transaction of its own. With the last place it is impatient, and lets those who wait for one go first before it tries
    /// again, for as long as anybody waits.
    async fn alone(self, Waiting { unit, reply }: Waiting<U>) {
        let until = Instant::now() + self.db.wait;
        let done = loop {
            // Who needs nothing that is held is through at once, when it is its turn.
            let turn = tokio::time::timeout_at(until + self.db.wait, self.lonely.0.acquire());
            let Ok(Ok(_place)) = turn.await else {
                let _ = reply.send(Err(Error::unavailable(
                    self.db.store,
                    "too many wait for what somebody holds: look for an old transaction in pg_stat_activity, and end it",
                )));
                return;
            };
            let patient = self.lonely.0.available_permits() > 0;
            let db = if patient { &self.db } else { &self.together };
            match self.transaction(db, unit.tenant(), std::slice::from_ref(&unit)).await {
                Err((_, Fault::Held)) if !patient && Instant::now() < until => {}
                done => break done,
            }
        };
        let answer = match done {
            Ok(mut became) => match became.pop() {
                Some(Became::Done(answer)) => answer,
                _ => Err(Error::unavailable(self.db.store, "a unit of work had no answer")),
            },
            Err((error, _)) => Err(error),
        };
        let _ = reply.send(answer);
    }

    /// Tells each of them what became of it, and gives back those that go with the next.
    async fn settle(&self, tenant: &Tenant, mut group: Vec<Waiting<U>>) -> Vec<Waiting<U>> {
        let units: Vec<_> = group.iter().map(|w| w.unit.clone()).collect();
        let (error, fault) = match self.transaction(&self.together, tenant, &units).await {
            Ok(became) => {
                let mut later = Vec::new();
                for (waiting, became) in group.into_iter().zip(became) {
                    match became {
                        // Whoever does not wait any more does not want to know.
                        Became::Done(answer) => drop(waiting.reply.send(answer)),
                        Became::Later => later.push(waiting),
                    }
                }
                return later;
            }
            Err(failed) => failed,
        };
        if fault == Fault::Held || (fault == Fault::Own && group.len() > 1) {
            // Each on its own, so that none of the others fails or waits because of it.
            for waiting in group {
                tokio::spawn(self.clone().alone(waiting));
            }
            return Vec::new();
        }
        if fault == Fault::Nobodys {
            // Whoever came meanwhile would wait for as long to hear the same.
            group.extend(locked(&self.queues).get_mut(tenant).map(std::mem::take).unwrap_or_default());
        }
        let why = error.to_string();
        let mut waiting = group.into_iter();
        if let Some(first) = waiting.next() {
            let _ = first.reply.send(Err(error));
        }
        for waiting in waiting {
            let _ = waiting.reply.send(Err(Error::unavailable(self.db.store, why.clone())));
        }
        Vec::new()
    }
}

/// Whose fault it is that a transaction failed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// The database is not there, or gave up in the middle.
    Nobodys,
    /// Perhaps that of one unit.
    Own,
    /// Somebody holds what one unit needs.
    Held,
}

impl Fault {
    fn of<T>(done: &UnitResult<T>) -> Self {
        match done {
            Err(UnitError::Sql(error)) if waited_in_vain(error) => Self::Held,
            Err(UnitError::Sql(error)) if Failure::of(error) == Failure::Lasting => Self::Own,
            Err(UnitError::Rule(_)) => Self::Own,
            _ => Self::Nobodys,
        }
    }
}

/// Who leads the units of a tenant, until none is left.
struct Lead<U: Unit> {
    group: GroupCommit<U>,
    tenant: Tenant,
    ended: bool,
}

impl<U: Unit> Lead<U> {
    async fn run(mut self) {
        let mut later = Vec::new();
        while let Some(group) = self.next(later) {
            later = self.group.settle(&self.tenant, group).await;
        }
    }

    /// The next ones; first of all those that were put off.
    fn next(&mut self, later: Vec<Waiting<U>>) -> Option<Vec<Waiting<U>>> {
        let mut queues = locked(&self.group.queues);
        let queue = queues.get_mut(&self.tenant)?;
        for waiting in later.into_iter().rev() {
            queue.push_front(waiting);
        }
        if queue.is_empty() {
            queues.remove(&self.tenant);
            self.ended = true;
            return None;
        }
        let n = queue.len().min(MOST);
        Some(queue.drain(..n).collect())
    }
}

impl<U: Unit> Drop for Lead<U> {
    fn drop(&mut self) {
        if !self.ended {
            // Ended in the middle: those who wait learn it, since their senders go, and hand in again.
            locked(&self.group.queues).remove(&self.tenant);
        }
    }
}
