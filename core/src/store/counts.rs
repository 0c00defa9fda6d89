use std::fmt;

use crate::clock::{Day, Timestamp};
use crate::consent::{ConsentCount, CountKind, NoticeId};
use crate::scope::{Scope, Site, Tenant};

/// Daily counts of one tenant on their way into the store, under a number of whoever counted: it may be brought again when
/// nobody knows what became of it, and is counted once.
#[derive(Clone, PartialEq, Eq)]
pub struct CountBatch {
    tenant: Tenant,
    writer: [u8; 16],
    number: u32,
    until: Timestamp,
    counts: Vec<ConsentCount>,
}

/// Without the writer, who is nobody's business.
impl fmt::Debug for CountBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tenant, number, counts, .. } = self;
        f.debug_struct("CountBatch")
            .field("tenant", tenant)
            .field("number", number)
            .field("counts", &counts.len())
            .finish_non_exhaustive()
    }
}

impl CountBatch {
    /// An empty batch of a writer, which has a random name, and numbers its batches of a tenant from 1 on. The store
    /// remembers the number until `until`.
    #[must_use]
    pub const fn new(tenant: Tenant, writer: [u8; 16], number: u32, until: Timestamp) -> Self {
        Self { tenant, writer, number, until, counts: Vec::new() }
    }

    /// Adds a count of one of the tenant's sites.
    pub fn add(&mut self, site: Site, day: Day, kind: CountKind, notice: NoticeId, count: u64) {
        let scope = Scope::new(self.tenant.clone(), site);
        self.counts.push(ConsentCount::new(scope, day, kind, notice, count));
    }

    /// Whose counts they are.
    #[must_use]
    pub const fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    /// Whoever counted.
    #[must_use]
    pub const fn writer(&self) -> &[u8; 16] {
        &self.writer
    }

    /// Its number among those of the writer and the tenant.
    #[must_use]
    pub const fn number(&self) -> u32 {
        self.number
    }

    /// Until when the number is remembered.
    #[must_use]
    pub const fn until(&self) -> Timestamp {
        self.until
    }

    /// The counts.
    #[must_use]
    pub fn counts(&self) -> &[ConsentCount] {
        &self.counts
    }
}
