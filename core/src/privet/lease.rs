//! What one instance at a time does: sweeping, and writing into the ledger how far the chains go.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::Privet;
use crate::clock::Timestamp;
use crate::error::Result;
use crate::store::{Lease, LeaseToken};

const NAME: &str = "housekeeping";
/// Another instance takes over so long after this one was last heard of.
const LASTS: Duration = Duration::from_secs(20);
/// It is renewed when less than this is left.
const EARLY: Duration = Duration::from_secs(10);

/// This instance, and the lease that it has.
#[derive(Debug)]
pub(super) struct Housekeeper {
    owner: [u8; 16],
    held: Mutex<Option<(LeaseToken, Timestamp)>>,
}

impl Housekeeper {
    pub(super) fn new() -> Result<Self> {
        Ok(Self { owner: crate::key::random_bytes()?, held: Mutex::default() })
    }

    fn held(&self) -> Option<(LeaseToken, Timestamp)> {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, held: Option<(LeaseToken, Timestamp)>) {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = held;
    }
}

impl Privet {
    /// Whether this instance keeps house, as far as it knows.
    pub(super) fn keeps_house(&self) -> bool {
        self.lease().is_some()
    }

    /// The lease, while this instance has it as far as it knows.
    pub(crate) fn lease(&self) -> Option<Lease> {
        let (token, until) = self.0.housekeeper.held()?;
        (self.now() < until).then_some(Lease { name: NAME, token })
    }

    /// Takes or renews the lease. A store that does not answer gives none; what is held lasts until its end.
    pub(super) async fn keep_house(&self) -> bool {
        let (housekeeper, now) = (&self.0.housekeeper, self.now());
        if housekeeper.held().is_some_and(|(_, until)| now + EARLY < until) {
            return true;
        }
        let until = now + LASTS;
        match self.store().acquire_lease(NAME, &housekeeper.owner, now, until).await {
            Ok(token) => housekeeper.set(token.map(|token| (token, until))),
            Err(error) => tracing::error!("whether this instance keeps house is not known: {error}"),
        }
        self.keeps_house()
    }

    /// Lets another instance go on at once.
    pub(super) async fn leave_house(&self) -> Result<()> {
        let Some((token, _)) = self.0.housekeeper.held() else { return Ok(()) };
        self.0.housekeeper.set(None);
        self.store().release_lease(NAME, token).await.map(drop)
    }
}
