//! Last-seen, coalesced: many page views of a contact become one small write.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::id::{ContactId, FenceEpoch};
use crate::clock::Timestamp;
use crate::scope::Scope;

/// So many contacts are remembered between two flushes; a view beyond that is not counted, which moves
/// last-seen by less than the time to the next view.
const MAX_HELD: usize = 65_536;

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
}

impl Touches {
    pub(crate) fn new(every: Duration) -> Self {
        Self { every, held: Mutex::default() }
    }

    pub(crate) fn every(&self) -> Duration {
        self.every
    }

    fn locked<T>(&self, f: impl FnOnce(&mut HashMap<(Scope, ContactId), (FenceEpoch, Timestamp)>) -> T) -> T {
        // Nothing in here panics while the map is half-changed.
        f(&mut self.held.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn note(&self, scope: &Scope, id: ContactId, epoch: FenceEpoch, now: Timestamp) {
        let at = now.floor_to(self.every);
        self.locked(|held| {
            let room = held.len() < MAX_HELD;
            match held.get_mut(&(scope.clone(), id)) {
                Some(seen) => *seen = (seen.0.max(epoch), seen.1.max(at)),
                None if room => {
                    held.insert((scope.clone(), id), (epoch, at));
                }
                None => {}
            }
        });
    }

    /// Forgets a contact that is being erased. The flush carries the fence as well.
    pub(crate) fn forget(&self, scope: &Scope, id: ContactId) {
        self.locked(|held| held.remove(&(scope.clone(), id)));
    }

    pub(crate) fn take(&self) -> Vec<Touch> {
        let held = self.locked(std::mem::take);
        held.into_iter().map(|((scope, id), (epoch, at))| Touch { scope, id, epoch, at }).collect()
    }

    /// Puts back what could not be flushed, unless something newer came.
    pub(crate) fn put_back(&self, touches: Vec<Touch>) {
        for t in touches {
            self.note(&t.scope, t.id, t.epoch, t.at);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.locked(|held| held.len())
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
            taken,
            [Touch {
                scope: scope.clone(),
                id,
                epoch: FenceEpoch::FIRST,
                at: Timestamp::from_millis(60_000)
            }]
        );
        assert_eq!(t.len(), 0);
        t.note(&scope, id, FenceEpoch::FIRST, Timestamp::from_millis(180_000));
        t.put_back(taken);
        assert_eq!(t.take()[0].at, Timestamp::from_millis(180_000));
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
        assert_eq!(t.len(), MAX_HELD);
        t.forget(&scope, ContactId::from_bytes([0; 16]));
        assert_eq!(t.len(), MAX_HELD - 1);
    }
}
