use std::fmt;

use async_trait::async_trait;

use crate::clock::Timestamp;
use crate::error::{Error, Result};

/// A number that grows each time a lease changes hands: it turns away a holder that does not know yet that it lost its lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LeaseToken(u64);

impl LeaseToken {
    /// A token as a store keeps it.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Its number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// A lease that somebody has, as far as they know. What is done under it is refused when it has changed hands: an instance that
/// was stopped for a while goes on with what it knew before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The work.
    pub name: &'static str,
    /// Its number.
    pub token: LeaseToken,
}

impl Lease {
    /// What a store says when it is somebody else's by now, or nobody's.
    #[must_use]
    pub const fn lost() -> Error {
        Error::Conflict { what: "lease" }
    }

    /// Whether a store said so.
    #[must_use]
    pub fn is_lost(error: &Error) -> bool {
        matches!(error, Error::Conflict { what: "lease" })
    }
}

/// Work that one instance at a time does, by name, for as long as its holder says that it lives.
#[async_trait]
pub trait LeaseStore: fmt::Debug + Send + Sync {
    /// Takes a lease until `until`: one that is free, or that has lapsed at `now`, under a higher token; or one that the owner
    /// has already, for longer and under the same token. None while somebody else has it.
    ///
    /// The instants are the caller's: an instance whose clock is ahead takes over early. The token tells the two apart.
    async fn acquire_lease(
        &self,
        name: &str,
        owner: &[u8; 16],
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<LeaseToken>>;

    /// Gives a lease back before it lapses. False, and nothing changes, when it is not held under this token.
    async fn release_lease(&self, name: &str, token: LeaseToken) -> Result<bool>;
}
