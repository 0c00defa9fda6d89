//! Which connections of a pool are used.

use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

/// Since when connections are to be relied on: those that were made before go to a server that went away, or that only reads.
#[derive(Clone)]
pub(crate) struct Trust(Arc<RwLock<Instant>>);

impl Default for Trust {
    fn default() -> Self {
        Self(Arc::new(RwLock::new(Instant::now())))
    }
}

impl Trust {
    /// Whether a connection of this age is one of those.
    pub(crate) fn keeps(&self, age: Duration) -> bool {
        // Nobody panics while holding it.
        self.0.read().is_ok_and(|since| age <= since.elapsed())
    }

    /// Connections that are there by now are not used again.
    pub(crate) fn withdraw(&self) {
        if let Ok(mut since) = self.0.write() {
            *since = Instant::now();
        }
    }

    /// Whether that was done after an instant.
    pub(crate) fn withdrawn_after(&self, then: Instant) -> bool {
        self.0.read().is_ok_and(|since| *since > then)
    }
}
