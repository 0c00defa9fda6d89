//! Leases.

use async_trait::async_trait;

use super::{MemoryStore, Tables};
use crate::clock::Timestamp;
use crate::error::Result;
use crate::store::{self, LeaseStore, LeaseToken};

#[derive(Debug)]
pub(super) struct Lease {
    token: u64,
    /// Whose it is, and until when.
    held: Option<([u8; 16], Timestamp)>,
}

impl Tables {
    /// Rule 18.
    pub(super) fn check_lease(&self, lease: Option<store::Lease>) -> Result<()> {
        let Some(store::Lease { name, token }) = lease else { return Ok(()) };
        let held = self.leases.get(name).is_some_and(|l| l.token == token.get() && l.held.is_some());
        if held { Ok(()) } else { Err(store::Lease::lost()) }
    }
}

#[async_trait]
impl LeaseStore for MemoryStore {
    async fn acquire_lease(
        &self,
        name: &str,
        owner: &[u8; 16],
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<LeaseToken>> {
        let mut tables = self.locked();
        let lease = tables.leases.entry(name.to_owned()).or_insert(Lease { token: 0, held: None });
        match lease.held {
            Some((holder, lapses)) if lapses > now && holder != *owner => return Ok(None),
            Some((_, lapses)) if lapses > now => {}
            _ => lease.token += 1,
        }
        lease.held = Some((*owner, until));
        Ok(Some(LeaseToken::new(lease.token)))
    }

    async fn release_lease(&self, name: &str, token: LeaseToken) -> Result<bool> {
        let mut tables = self.locked();
        let held = tables.leases.get_mut(name).filter(|l| l.token == token.get() && l.held.is_some());
        Ok(held.map(|lease| lease.held = None).is_some())
    }
}
