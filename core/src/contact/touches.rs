//! Last-seen, coalesced: many page views of a contact become one small write.

use std::collections::HashMap;
use std::future::poll_fn;
use std::ops::Deref;
use std::sync::{Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use futures_util::task::AtomicWaker;

use super::id::{ContactId, FenceEpoch};
use crate::clock::Timestamp;
use crate::scope::Scope;

/// So many contacts are remembered between two flushes; a view beyond that is not counted, which moves
/// last-seen by less than the time to the next view.
const MAX_HELD: usize = 65_536;
/// With so many a flush does not wait for its time.
const CROWD: usize = MAX_HELD / 2;

/// One contact's most recent activity, floored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Touch {
    pub(crate) scope: Scope,
    pub(crate) id: ContactId,
    pub(crate) epoch: FenceEpoch,
    pub(crate) at: Timestamp,
}

#[derive(Debug)]
pub(crate) struct Touches {
    every: Duration,
    held: Mutex<HashMap<(Scope, ContactId), (FenceEpoch, Timestamp)>>,
    crowd: AtomicWaker,
}

/// Touches on their way into the store. They go back if they do not arrive, whatever ends the way.
pub(crate) struct Taken<'t> {
    from: &'t Touches,
    touches: Vec<Touch>,
}

impl Taken<'_> {
    pub(crate) fn are_written(mut self) {
        self.touches.clear();
    }
}

impl Deref for Taken<'_> {
    type Target = [Touch];
    fn deref(&self) -> &[Touch] {
        &self.touches
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        for t in &self.touches {
            self.from.put(&t.scope, t.id, t.epoch, t.at);
        }
    }
}

impl Touches {
    pub(crate) fn new(every: Duration) -> Self {
        Self { every, held: Mutex::default(), crowd: AtomicWaker::new() }
    }

    pub(crate) fn every(&self) -> Duration {
        self.every
    }

    fn locked<T>(&self, f: impl FnOnce(&mut HashMap<(Scope, ContactId), (FenceEpoch, Timestamp)>) -> T) -> T {
        // Nothing in here panics while the map is half-changed.
        f(&mut self.held.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn note(&self, scope: &Scope, id: ContactId, epoch: FenceEpoch, now: Timestamp) {
        if self.put(scope, id, epoch, now.floor_to(self.every)) >= CROWD {
            self.crowd.wake();
        }
    }

    /// Nothing that is there goes back in time. How many there are then.
    fn put(&self, scope: &Scope, id: ContactId, epoch: FenceEpoch, at: Timestamp) -> usize {
        self.locked(|held| {
            let room = held.len() < MAX_HELD;
            match held.get_mut(&(scope.clone(), id)) {
                Some(seen) => *seen = (seen.0.max(epoch), seen.1.max(at)),
                None if room => {
                    held.insert((scope.clone(), id), (epoch, at));
                }
                None => {}
            }
            held.len()
        })
    }

    /// Until there are so many that they should be written before their time.
    pub(crate) async fn crowded(&self) {
        poll_fn(|cx| {
            self.crowd.register(cx.waker());
            if self.locked(|held| held.len()) >= CROWD { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Forgets a contact that is being erased. The flush carries the fence as well.
    pub(crate) fn forget(&self, scope: &Scope, id: ContactId) {
        self.locked(|held| held.remove(&(scope.clone(), id)));
    }

    pub(crate) fn take(&self) -> Taken<'_> {
        let held = self.locked(std::mem::take);
        let touches =
            held.into_iter().map(|((scope, id), (epoch, at))| Touch { scope, id, epoch, at }).collect();
        Taken { from: self, touches }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_views_are_one_touch() {
        let t = Touches::new(Duration::from_secs(60));
        let (scope, id) = (Scope::default(), ContactId::from_bytes([1; 16]));
        for ms in [61_000, 119_000, 65_000, 61_000] {
            t.note(&scope, id, FenceEpoch::FIRST, Timestamp::from_millis(ms));
        }
        let taken = t.take();
        assert_eq!(
            *taken,
            [Touch {
                scope: scope.clone(),
                id,
                epoch: FenceEpoch::FIRST,
                at: Timestamp::from_millis(60_000)
            }]
        );
        assert!(t.take().is_empty());
        drop(taken);
        let again = t.take();
        assert_eq!(again.len(), 1, "what was not written is back");
        t.note(&scope, id, FenceEpoch::FIRST, Timestamp::from_millis(180_000));
        drop(again);
        let newest = t.take();
        assert_eq!(newest[0].at, Timestamp::from_millis(180_000));
        newest.are_written();
        assert!(t.take().is_empty());
    }

    #[test]
    fn the_map_is_bounded_and_forgets() {
        let t = Touches::new(Duration::from_secs(60));
        let scope = Scope::default();
        for n in 0..MAX_HELD + 10 {
            let mut id = [0; 16];
            id[..8].copy_from_slice(&n.to_be_bytes());
            t.note(&scope, ContactId::from_bytes(id), FenceEpoch::FIRST, Timestamp::from_millis(0));
        }
        futures_executor::block_on(t.crowded());
        t.forget(&scope, ContactId::from_bytes([0; 16]));
        assert_eq!(t.take().len(), MAX_HELD - 1);
    }
}
