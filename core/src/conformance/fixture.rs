//! What the cases are made of. A case that meets an error has failed, so helpers panic.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a panic is how a case fails")]

use std::time::Duration;

use crate::catalogue::{CategoryCode, Language};
use crate::clock::Timestamp;
use crate::consent::{Act, ConsentRecord, Decision, Method, NoticeId, RecordId, RecordedDecision, Regime};
use crate::contact::{
    Author, Channel, Contact, ContactId, ConversationId, FenceEpoch, MessageId, Owner, Removed, Sealed,
};
use crate::scope::{Scope, Site, Tenant};
use crate::store::{
    ConsentProof, Horizon, MessageToStore, NewRecord, OwnerProof, Store, StoredMessage, SubjectDigest,
};

/// Contacts, in every case.
pub(super) const CONTACTS: CategoryCode = CategoryCode::new(4).unwrap();
/// Another category.
pub(super) const ANALYTICS: CategoryCode = CategoryCode::new(2).unwrap();

/// The life of a choice, in every case.
pub(super) const LIFE: Duration = Duration::from_secs(180 * 86_400);

/// A store and one scope in it.
#[derive(Clone, Copy, Debug)]
pub struct Fixture<'s> {
    store: &'s dyn Store,
    pub(super) scope: &'s Scope,
}

/// An instant that every case counts from.
pub(super) fn start() -> Timestamp {
    Timestamp::from_millis(1_800_000_000_000)
}

pub(super) fn at(seconds: u64) -> Timestamp {
    start() + Duration::from_secs(seconds)
}

pub(super) fn scope(tenant: &str, site: &str) -> Scope {
    Scope::new(Tenant::new(tenant).unwrap(), Site::new(site).unwrap())
}

pub(super) fn digest(n: u8) -> SubjectDigest {
    SubjectDigest::from_bytes([n; 16])
}

/// Sees everything that is not marked.
pub(super) fn everything(now: Timestamp) -> Horizon {
    Horizon::unlimited(now)
}

pub(super) fn decisions(granted: &[CategoryCode]) -> Vec<RecordedDecision> {
    [ANALYTICS, CONTACTS]
        .map(|c| {
            let decision = if granted.contains(&c) { Decision::Granted } else { Decision::Refused };
            RecordedDecision::new(c, decision, [c.get(); 3])
        })
        .to_vec()
}

impl<'s> Fixture<'s> {
    /// A scope of a store.
    #[must_use]
    pub fn new(store: &'s dyn Store, scope: &'s Scope) -> Self {
        Self { store, scope }
    }

    pub(super) fn record(self, granted: &[CategoryCode], now: Timestamp) -> ConsentRecord {
        let id = RecordId::generate().unwrap();
        ConsentRecord {
            id,
            scope: self.scope.clone(),
            subject: SubjectDigest::from_bytes(*id.as_bytes()),
            act: if granted.is_empty() { Act::Withdrawal } else { Act::Grant },
            at: now,
            until: if granted.is_empty() { now } else { now + LIFE },
            notice: NoticeId::from_bytes([7; 32]),
            language: Language::new("en").unwrap(),
            regime: Regime::OptIn,
            method: Method::Form,
            gesture: true,
            gpc: false,
            decisions: decisions(granted),
        }
    }

    pub(super) async fn append(self, record: ConsentRecord, follows: Option<RecordId>) -> ConsentRecord {
        self.append_counting(record, follows).await.0
    }

    pub(super) async fn append_counting(
        self,
        record: ConsentRecord,
        follows: Option<RecordId>,
    ) -> (ConsentRecord, u32) {
        let new = NewRecord::new(record, follows);
        let appended = self.store.append_record(&new, CONTACTS, at(400 * 86_400)).await.unwrap();
        (appended.record, u32::try_from(appended.erasing.len()).unwrap())
    }

    /// A proof of a category, on a record that may or may not grant it.
    pub(super) fn proof(self, record: &ConsentRecord, category: CategoryCode) -> ConsentProof {
        ConsentProof { scope: self.scope.clone(), record: record.id, category }
    }

    pub(super) async fn granted(self) -> (ConsentRecord, ConsentProof) {
        let record = self.append(self.record(&[CONTACTS, ANALYTICS], start()), None).await;
        let proof = self.proof(&record, CONTACTS);
        (record, proof)
    }

    pub(super) fn new_contact(self, n: u8, proof: &ConsentProof, now: Timestamp) -> Contact {
        Contact::opened(ContactId::from_bytes([n; 16]), FenceEpoch::FIRST, digest(n), now, proof.record, now)
    }

    /// A contact on a consent of its own.
    pub(super) async fn contact(self, n: u8, now: Timestamp) -> (Contact, ConsentProof) {
        let record = self.append(self.record(&[CONTACTS], now), None).await;
        let proof = self.proof(&record, CONTACTS);
        let contact = self.store.open_contact(&proof, &self.new_contact(n, &proof, now)).await.unwrap();
        (contact, proof)
    }

    /// A message that opens its conversation, if that is not there.
    pub(super) fn message(self, conversation: u8, id: u8, now: Timestamp) -> MessageToStore {
        let message = MessageToStore::new(
            ConversationId::from_bytes([conversation; 16]),
            MessageId::from_bytes([id; 16]),
            now,
            Channel::AiSearch,
            Author::Visitor,
            Sealed::from_bytes(vec![conversation, id]),
        );
        MessageToStore { opens: true, ..message }
    }

    pub(super) fn by_contact(self, contact: &Contact, proof: &ConsentProof) -> OwnerProof {
        OwnerProof::Contact {
            proof: proof.clone(),
            id: contact.id,
            epoch: contact.epoch,
            subject: contact.subject,
        }
    }

    pub(super) fn by_session(self, session: u8, conversation: u8) -> OwnerProof {
        OwnerProof::Session { session: digest(session), subject: digest(100 + conversation) }
    }

    pub(super) async fn say(
        self,
        owner: &OwnerProof,
        message: &MessageToStore,
    ) -> crate::Result<StoredMessage> {
        // A gap of a day between conversations.
        let since = message.at - Duration::from_secs(86_400);
        self.store.record_message(self.scope, owner, message, since, &everything(message.at)).await
    }

    pub(super) async fn counter(self, id: ContactId, now: Timestamp) -> Option<u32> {
        self.store.contact(self.scope, id, &everything(now)).await.unwrap().map(|c| c.conversations)
    }

    pub(super) async fn conversation_count(self, owner: Owner, now: Timestamp) -> usize {
        self.store.conversations(self.scope, owner, 100, &everything(now)).await.unwrap().len()
    }

    pub(super) async fn erase_everything_marked(self, step: u32) -> (Removed, u32) {
        let (mut removed, mut steps) = (Removed::default(), 0);
        loop {
            let marked = self.store.erasing(None, 10).await.unwrap();
            let Some(first) = marked.first() else { return (removed, steps) };
            loop {
                let done = self.store.erase_step(std::slice::from_ref(first), step).await.unwrap();
                removed += done.removed;
                steps += 1;
                if done.done == 1 {
                    break;
                }
            }
        }
    }
}

/// Small enough to repeat, and the same in every run.
pub(super) struct Dice(u64);

impl Dice {
    /// Dice that roll in an order of their own; not nought.
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn roll(&mut self, sides: u64) -> u64 {
        // xorshift64* (Vigna, 2016).
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % sides
    }
}
