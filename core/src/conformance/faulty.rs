use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_timer::Delay;

use crate::catalogue::{NewStatement, StatementVersion};
use crate::clock::{Day, Timestamp};
use crate::consent::{ConsentCount, ConsentRecord, NoticeId, NoticeSnapshot, RecordId};
use crate::contact::{
    Contact, ContactFilter, ContactId, ContactSummary, Conversation, ConversationId, NoteId, Owner, Removed,
};
use crate::error::{Error, Result};
use crate::portal::{AuditEvent, AuditId};
use crate::retention::{DataClass, RetentionRule};
use crate::scope::{Scope, Tenant};
use crate::store::{
    Adoption, AppendedRecord, Attempted, ChainLink, Chained, ConsentProof, ConsentStore, ContactQuery,
    ContactStore, ContactTouch, ConversationStore, EraseStep, Erasing, ErasureCause, Horizon, Identification,
    MessageToStore, NewRecord, Notification, NotificationId, OpenInfo, OutboxStore, OwnerProof, PortalStore,
    RetentionStore, SiteFigures, Snapshot, Store, StoredMessage, StoredNote, SubjectDigest, forward,
};

/// A store that is not available when it is told so, or that lets its units wait: what an app does then is
/// part of what it promises.
///
/// ```
/// use std::sync::Arc;
/// use privet::conformance::FaultyStore;
/// use privet::{Catalogue, Privet, Storage, store::MemoryStore};
///
/// # privet::conformance::block_on(async {
/// let store = Arc::new(FaultyStore::new(MemoryStore::new()));
/// let mut storage = Storage::in_memory()?;
/// storage.store = store.clone();
/// let catalogue = Catalogue::from_toml("[controller]\nname = \"Shop\"\ncontact = \"privacy@shop.example\"")?;
/// let privet = Privet::builder(catalogue).storage(storage).build().await?;
/// store.fail(true);
/// assert!(privet.sweep(privet.now()).await.is_err());
/// # Ok::<(), privet::Error>(()) }).unwrap();
/// ```
#[derive(Debug)]
pub struct FaultyStore<S> {
    store: S,
    fails: AtomicBool,
    corrupt: AtomicBool,
    holds: AtomicBool,
    waiting: AtomicUsize,
}

impl<S: Store> FaultyStore<S> {
    /// A store that works, until it is told otherwise.
    pub fn new(store: S) -> Self {
        Self {
            store,
            fails: AtomicBool::new(false),
            corrupt: AtomicBool::new(false),
            holds: AtomicBool::new(false),
            waiting: AtomicUsize::new(0),
        }
    }

    /// From now on no unit of work is taken, or every one again.
    pub fn fail(&self, fails: bool) {
        self.fails.store(fails, Ordering::SeqCst);
    }

    /// From now on every unit of work finds the store damaged, or none any more.
    pub fn corrupt(&self, corrupt: bool) {
        self.corrupt.store(corrupt, Ordering::SeqCst);
    }

    /// From now on units of work wait before they begin, or go on.
    pub fn hold(&self, holds: bool) {
        self.holds.store(holds, Ordering::SeqCst);
    }

    /// How many units wait.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }

    async fn reach(&self) -> Result<&S> {
        if self.fails.load(Ordering::SeqCst) {
            return Err(Error::unavailable("faulty store", "it was told to fail"));
        }
        if self.corrupt.load(Ordering::SeqCst) {
            return Err(Error::corrupt("faulty store", "it was told to be damaged", "tell it otherwise"));
        }
        if self.holds.load(Ordering::SeqCst) {
            self.waiting.fetch_add(1, Ordering::SeqCst);
            while self.holds.load(Ordering::SeqCst) {
                Delay::new(Duration::from_millis(1)).await;
            }
            self.waiting.fetch_sub(1, Ordering::SeqCst);
        }
        Ok(&self.store)
    }
}

forward!([S: Store] FaultyStore<S>, name: this => this.store.name(), store: this => this.reach().await?;);
