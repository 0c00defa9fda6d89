//! What a store must do: traits whose methods are **units of work**. Each is atomic in the store and none is a
//! table operation, so that a store in memory, a file or many nodes can keep the same promises.
//!
//! The rules, each with a case in the [conformance suite](crate::conformance):
//!
//! 1. Tenant and site lead every key and every look-up. What belongs to another scope is not there.
//! 2. Consent records are appended and never changed, but for rule 16. A record that follows another stands in its line. What
//!    is no grant takes away and gives nothing, is not written when it takes nothing away, and is kept for as long
//!    as anything that it takes back. A line has one contact at a time, and a contact goes with the line it
//!    speaks on.
//! 3. A unit that takes a [`ConsentProof`] checks, in its own transaction, that the record grants the category
//!    now and that the latest record of its line does too.
//! 4. `last_seen` is never null, never before `created`, and never moves back.
//! 5. The counter of conversations changes only together with a conversation.
//! 6. Nothing is written for a subject at or below its fence.
//! 7. What has passed its [`Horizon`] is not read, whether it is purged yet or not.
//! 8. Erasure and purge take children before parents, in bounded steps, by id or age, and can be taken up again
//!    after a crash. Erasing what is erased succeeds.
//! 9. A message with an id that is there already is not stored twice, and one that was erased alone is not stored again.
//! 10. What a unit acknowledged is durable.
//! 11. A store that was opened with one installation key refuses another.
//! 12. Each record gets its [`ChainLink`] in the same transaction; a purge takes records and leaves their links.
//! 13. A contact whose consent was about something else than is asked today is frozen: hidden and untouched, until it
//!     stands on a consent to what is asked today, or is purged. Meanwhile its line gets no other contact.
//! 14. Daily counts add up, whoever writes them, and name nobody. A [batch](CountBatch) is counted once, however often it
//!     comes: its number stays as the fence of its writer.
//! 15. A site's statement is published under the next number when its content is another, and never changed.
//! 16. A contact that is erased on request takes the link to its person out of the records of its line, up to the last
//!     one that is no grant: the ids, the line and the salt are [overwritten](Severed) in the unit that takes the contact
//!     away. What the person held finds nothing from then on; the chain stays whole. No other erasure does that: the
//!     proof stays with a withdrawal for as long as it is kept.
//! 17. A record that takes something away brings its notifications with it, in the same transaction. Each is sent by one
//!     at a time, and is kept until its recipient has it, or nobody tries any more.
//! 18. A lease has one holder at a time, and its token grows each time it changes hands. What somebody purges under a lease
//!     ([`Horizon::under`]) that is another's by then is not purged; what else goes with it, such as anchoring, may happen
//!     twice.

mod chain;
mod counts;
mod keys;
mod lease;
mod ledger;
mod memory;
mod outbox;
mod portal;
mod traits;
mod types;

pub use chain::{ChainLink, Chained, KeptRecord, Salt, Severed, record_digest};
pub use counts::CountBatch;
pub use keys::{KeyName, KeyStore, MemoryKeyStore};
pub use lease::{Lease, LeaseStore, LeaseToken};
pub use ledger::{FileLedger, Ledger, LedgerChain, LedgerEntry, MemoryLedger};
pub use memory::MemoryStore;
pub use outbox::{Attempted, Delivery, NewNotification, Notification, NotificationId, notifications_of};
pub use portal::{
    ContactIdentity, ContactQuery, DayCount, DayDecisions, DecisionsByDay, Direction, Identification,
    MAX_NOTES, PortalStore, SiteFigures, Snapshot, StoredNote, sorted_figures,
};
pub use traits::{ConsentStore, ContactStore, ConversationStore, OutboxStore, RetentionStore, Store};
pub use types::{
    Adoption, AppendedRecord, ConsentProof, ContactCursor, ContactTouch, EraseStep, Erasing, ErasingKind,
    ErasureCause, Horizon, MessageToStore, NEVER_LAPSES, NewRecord, OpenInfo, OwnerProof, Resealed,
    StoredMessage, SubjectDigest, joining_line,
};

pub(crate) use keys::Keys;
#[cfg(any(test, feature = "conformance"))]
pub(crate) use traits::forward;

use std::sync::Arc;

use crate::key::KeyRing;

/// Everything that keeps something: the store, and apart from it the keys and the ledger.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Storage {
    /// Consent records, contacts, conversations, rules.
    pub store: Arc<dyn Store>,
    /// The keys of subjects and days. Where it is backed up, and how long, decides how erased an erasure is.
    pub keys: Arc<dyn KeyStore>,
    /// What was erased, in another fault domain than the store.
    pub ledger: Arc<dyn Ledger>,
    /// The installation's secret.
    pub key_ring: KeyRing,
}

impl Storage {
    /// Puts the four together.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        keys: Arc<dyn KeyStore>,
        ledger: Arc<dyn Ledger>,
        key_ring: KeyRing,
    ) -> Self {
        Self { store, keys, ledger, key_ring }
    }

    /// Everything in memory, under a key of this process: for tests and for trying out. It is gone when the
    /// process ends.
    ///
    /// # Errors
    /// [`Error::Key`](crate::Error::Key) when the operating system gives no randomness.
    pub fn in_memory() -> crate::Result<Self> {
        Ok(Self::new(
            Arc::new(MemoryStore::new()),
            Arc::new(MemoryKeyStore::new()),
            Arc::new(MemoryLedger::new()),
            KeyRing::generate()?,
        ))
    }
}
