//! A store in memory: the reference that the conformance suite is read against.

mod consent;
mod contacts;
mod conversations;
mod lease;
mod outbox;
mod portal;
mod retention;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::chain::{ChainLink, Salt, Severed};
use super::portal::StoredNote;
use super::traits::Store;
use super::types::{
    ConsentProof, Erasing, ErasingKind, ErasureCause, Horizon, OpenInfo, StoredMessage, SubjectDigest,
};
use crate::catalogue::StatementVersion;
use crate::clock::{Day, Timestamp};
use crate::consent::{Act, ConsentRecord, CountKind, NoticeId, NoticeSnapshot, RecordId};
use crate::contact::{
    Contact, ContactId, Conversation, ConversationId, FenceEpoch, MessageId, Owner, Removed,
};
use crate::error::{Error, Result};
use crate::key::Fingerprint;
use crate::portal::AuditEvent;
use crate::retention::{DataClass, RetentionRule};
use crate::scope::{Scope, Tenant};

/// Everything in memory, gone when the process ends: for tests and for trying out.
#[derive(Debug, Default)]
pub struct MemoryStore {
    tables: Mutex<Tables>,
}

#[derive(Debug, Default)]
struct Tables {
    key: Option<Fingerprint>,
    outbox: Vec<outbox::Posted>,
    statements: BTreeMap<Scope, Vec<StatementVersion>>,
    notices: BTreeMap<(Scope, NoticeId), NoticeSnapshot>,
    /// In the order they were appended.
    records: Vec<ConsentRecord>,
    /// In order; what hides the person goes with the record.
    links: BTreeMap<(Tenant, u64), (ChainLink, RecordId)>,
    salts: BTreeMap<(Tenant, RecordId), Salt>,
    /// By the id that a record has since it was cut from its person.
    severed: BTreeMap<(Tenant, RecordId), [u8; 32]>,
    counts: BTreeMap<(Scope, Day, CountKind, NoticeId), u64>,
    contacts: BTreeMap<(Scope, ContactId), Row<Contact>>,
    conversations: BTreeMap<(Scope, ConversationId), Row<Conversation>>,
    messages: BTreeMap<(Scope, ConversationId, u32), StoredMessage>,
    /// The ids of messages that were erased alone, with what they were of and their numbers.
    erased: BTreeMap<(Scope, MessageId), (ConversationId, u32)>,
    fences: BTreeMap<(Tenant, SubjectDigest), (FenceEpoch, Timestamp)>,
    rules: BTreeMap<(Tenant, DataClass), RetentionRule>,
    notes: BTreeMap<(Scope, ContactId), Vec<StoredNote>>,
    audit: Vec<AuditEvent>,
    leases: BTreeMap<String, lease::Lease>,
}

#[derive(Clone, Debug)]
struct Row<T> {
    value: T,
    /// The key of a visit's conversation; a contact has its own.
    subject: Option<SubjectDigest>,
    erasing: Option<ErasureCause>,
}

impl<T> Row<T> {
    fn new(value: T, subject: Option<SubjectDigest>) -> Self {
        Self { value, subject, erasing: None }
    }
}

const GONE: Error = Error::NotFound { what: "contact" };

impl Tables {
    fn record(&self, scope: &Scope, id: RecordId) -> Option<&ConsentRecord> {
        self.records.iter().find(|r| r.scope == *scope && r.id == id)
    }

    fn latest(&self, scope: &Scope, id: RecordId) -> Option<&ConsentRecord> {
        let subject = self.record(scope, id)?.subject;
        self.records.iter().rev().find(|r| r.scope == *scope && r.subject == subject)
    }

    fn holds(&self, proof: &ConsentProof, now: Timestamp) -> bool {
        [self.record(&proof.scope, proof.record), self.latest(&proof.scope, proof.record)]
            .iter()
            .all(|r| r.is_some_and(|r| r.grants(proof.category, now)))
    }

    fn check(&self, proof: &ConsentProof, scope: &Scope, now: Timestamp) -> Result<()> {
        if proof.scope == *scope && self.holds(proof, now) { Ok(()) } else { Err(proof.refused()) }
    }

    /// The contact that a line of consent has already, frozen as it may be.
    fn live_of_line(&self, scope: &Scope, record: RecordId, now: Timestamp) -> Option<Contact> {
        let line = self.record(scope, record)?.subject;
        let rows = self.contacts.iter().filter(|((s, _), row)| s == scope && row.erasing.is_none());
        let of_line = rows.filter(|(_, row)| {
            row.value.consent_until > now
                && row.value.kept_on.is_none()
                && self.record(scope, row.value.consent).is_some_and(|r| r.subject == line)
        });
        of_line.map(|(_, row)| &row.value).min_by_key(|c| c.frozen_until.is_some()).cloned()
    }

    /// A contact that speaks on another line of consent than before goes over to it: a withdrawal of that line
    /// has to erase it.
    fn stand_on(&mut self, scope: &Scope, id: ContactId, proof: &ConsentProof) {
        let Some(record) = self.latest(scope, proof.record).cloned() else { return };
        let before = self.contacts.get(&(scope.clone(), id)).map(|row| row.value.consent);
        let line = before.and_then(|consent| self.record(scope, consent)).map(|r| r.subject);
        if line != Some(record.subject)
            && let Some(row) = self.contacts.get_mut(&(scope.clone(), id))
        {
            row.value.stand_on(&record, proof.category);
            // Who it is known as was agreed to on the line that it leaves.
            row.value.identity = None;
        }
    }

    fn is_fenced(&self, tenant: &Tenant, subject: SubjectDigest, epoch: FenceEpoch) -> bool {
        self.fences.get(&(tenant.clone(), subject)).is_some_and(|(fence, _)| epoch <= *fence)
    }

    fn shown_contact(&self, scope: &Scope, id: ContactId, horizon: &Horizon) -> Option<&Contact> {
        let row = self.contacts.get(&(scope.clone(), id))?;
        (row.erasing.is_none() && horizon.shows_contact(&row.value)).then_some(&row.value)
    }

    fn shown_conversation(
        &self,
        scope: &Scope,
        id: ConversationId,
        horizon: &Horizon,
    ) -> Option<&Conversation> {
        let row = self.conversations.get(&(scope.clone(), id))?;
        let owner_is_there = match row.value.owner {
            Owner::Contact(contact) => self.shown_contact(scope, contact, horizon).is_some(),
            Owner::Session(_) => true,
        };
        (row.erasing.is_none() && owner_is_there && horizon.shows_conversation(&row.value))
            .then_some(&row.value)
    }

    fn of_owner(&self, scope: &Scope, owner: Owner, horizon: &Horizon) -> Vec<&Conversation> {
        let mut all: Vec<_> = self
            .conversations
            .iter()
            .filter(|((s, _), row)| s == scope && row.value.owner == owner)
            .filter_map(|((_, id), _)| self.shown_conversation(scope, *id, horizon))
            .collect();
        all.sort_by_key(|c| std::cmp::Reverse((c.last_message, c.id)));
        all
    }

    fn running(
        &self,
        scope: &Scope,
        owner: Owner,
        since: Timestamp,
        horizon: &Horizon,
    ) -> Option<&Conversation> {
        self.of_owner(scope, owner, horizon)
            .into_iter()
            .find(|c| c.closed.is_none() && c.last_message >= since)
    }

    /// Hides and fences a contact.
    fn mark_contact(
        &mut self,
        scope: &Scope,
        id: ContactId,
        cause: ErasureCause,
        fence_until: Timestamp,
    ) -> Option<Erasing> {
        let row = self.contacts.get_mut(&(scope.clone(), id)).filter(|r| r.erasing.is_none())?;
        row.erasing = Some(cause);
        let subject = row.value.subject;
        self.fences.insert((scope.tenant.clone(), subject), (row.value.epoch, fence_until));
        Some(Erasing::new(scope.clone(), ErasingKind::Contact(id), Some(subject), cause))
    }

    /// What is marked among the contacts of a record's line.
    fn marked_of_line(&self, record: &ConsentRecord) -> Vec<Erasing> {
        let marked = self.contacts.iter().filter_map(|((scope, id), row)| {
            let cause = row.erasing.filter(|_| *scope == record.scope)?;
            let line = self.record(scope, row.value.consent)?.subject;
            let erasing =
                Erasing::new(scope.clone(), ErasingKind::Contact(*id), Some(row.value.subject), cause);
            (line == record.subject).then_some(erasing)
        });
        marked.collect()
    }

    fn mark_conversation(
        &mut self,
        scope: &Scope,
        id: ConversationId,
        cause: ErasureCause,
    ) -> Option<Erasing> {
        let row = self.conversations.get_mut(&(scope.clone(), id)).filter(|r| r.erasing.is_none())?;
        row.erasing = Some(cause);
        let erasing = Erasing::new(scope.clone(), ErasingKind::Conversation(id), row.subject, cause);
        if let Owner::Contact(contact) = row.value.owner
            && let Some(contact) = self.contacts.get_mut(&(scope.clone(), contact))
        {
            contact.value.conversations = contact.value.conversations.saturating_sub(1);
        }
        Some(erasing)
    }

    fn remove_messages(&mut self, scope: &Scope, id: ConversationId, max: u32) -> u64 {
        let keys: Vec<_> = self
            .messages
            .range((scope.clone(), id, 0)..=(scope.clone(), id, u32::MAX))
            .map(|(k, _)| k.clone())
            .take(max as usize)
            .collect();
        keys.iter().for_each(|k| drop(self.messages.remove(k)));
        keys.len() as u64
    }

    /// Whatever fits into `max` rows of one conversation: its messages, and then itself.
    fn remove_conversation(&mut self, scope: &Scope, id: ConversationId, max: u32) -> (Removed, bool) {
        let messages = self.remove_messages(scope, id, max);
        if messages >= u64::from(max) {
            return (Removed::new(0, 0, messages, 0), false);
        }
        self.erased.retain(|(s, _), (conversation, _)| s != scope || *conversation != id);
        let gone = u64::from(self.conversations.remove(&(scope.clone(), id)).is_some());
        (Removed::new(0, gone, messages, 0), true)
    }

    /// Cuts up to `max` records of a contact's line from their person: all that ended with the consent. Whether that was
    /// all; the last of them goes with the contact.
    fn sever(&mut self, scope: &Scope, contact: ContactId, max: u32) -> Result<(u64, bool)> {
        let consent = self.contacts.get(&(scope.clone(), contact)).map(|row| row.value.consent);
        let line = consent.and_then(|id| self.record(scope, id)).map(|r| r.subject);
        let is_of_line = |r: &ConsentRecord| r.scope == *scope && Some(r.subject) == line;
        let last =
            self.records.iter().rposition(|r| is_of_line(r) && !matches!(r.act, Act::Grant | Act::Refusal));
        let before = self.records.iter_mut().take(last.map_or(0, |at| at + 1));
        let due: Vec<_> = before.filter(|r| is_of_line(r)).collect();
        let all = due.len() <= max as usize;
        // The way to the line, if it takes another step.
        if let (Some(row), Some(last)) = (self.contacts.get_mut(&(scope.clone(), contact)), due.last()) {
            row.value.consent = last.id;
        }
        let mut cut = 0;
        for record in due.into_iter().take(max as usize) {
            let tenant = &scope.tenant;
            let salt = self.salts.get(&(tenant.clone(), record.id)).copied();
            let salt = salt.unwrap_or(Salt::from_bytes([0; 16]));
            let severed = Severed::of(record.id, record.subject, salt)?;
            let mut links = self.links.range_mut((tenant.clone(), 0)..=(tenant.clone(), u64::MAX));
            if let Some((_, (_, of))) = links.find(|(_, (_, of))| *of == record.id) {
                *of = severed.id;
            }
            self.salts.remove(&(tenant.clone(), record.id));
            self.severed.insert((tenant.clone(), severed.id), severed.commitment);
            (record.id, record.subject) = (severed.id, severed.subject);
            cut += 1;
        }
        Ok((cut, all))
    }

    /// Up to `max` rows of something marked; whether nothing is left of it.
    fn remove(&mut self, erasing: &Erasing, max: u32) -> Result<(Removed, bool)> {
        let scope = &erasing.scope;
        match erasing.kind {
            ErasingKind::Conversation(id) => {
                let row = self.conversations.get(&(scope.clone(), id));
                if row.is_none_or(|r| r.erasing.is_none()) {
                    return Ok((Removed::default(), true));
                }
                Ok(self.remove_conversation(scope, id, max))
            }
            ErasingKind::Contact(id) => {
                let Some(cause) = self.contacts.get(&(scope.clone(), id)).and_then(|r| r.erasing) else {
                    return Ok((Removed::default(), true));
                };
                let owned = self
                    .conversations
                    .iter()
                    .filter(|((s, _), row)| s == scope && row.value.owner == Owner::Contact(id));
                let owned: Vec<_> = owned.map(|((_, c), _)| *c).collect();
                let (mut removed, mut left) = (Removed::default(), max);
                for conversation in owned {
                    let (gone, done) = self.remove_conversation(scope, conversation, left);
                    removed += gone;
                    left = left.saturating_sub(u32::try_from(gone.rows()).unwrap_or(u32::MAX));
                    if !done || left == 0 {
                        return Ok((removed, false));
                    }
                }
                if cause == ErasureCause::Request {
                    let (cut, all) = self.sever(scope, id, left)?;
                    removed.severed += cut;
                    if !all {
                        return Ok((removed, false));
                    }
                }
                let notes = self.notes.remove(&(scope.clone(), id)).map_or(0, |notes| notes.len() as u64);
                self.contacts.remove(&(scope.clone(), id));
                removed += Removed { notes, ..Removed::new(1, 0, 0, 0) };
                Ok((removed, true))
            }
        }
    }
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn locked(&self) -> MutexGuard<'_, Tables> {
        // A unit checks before it changes, so a panic leaves nothing half-done.
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Store for MemoryStore {
    fn name(&self) -> &'static str {
        "memory"
    }

    async fn open(&self, info: &OpenInfo) -> Result<()> {
        let mut tables = self.locked();
        tables.key = Some(info.check(tables.key)?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::{CategoryCode, Language};
    use crate::conformance::block_on;
    use crate::consent::{Decision, Method, RecordedDecision, Regime};
    use crate::store::{ConsentStore as _, ContactStore as _, NewRecord, RetentionStore as _};

    /// Rule 16, to the last byte: nothing in memory has the id or the line of somebody who was erased on request.
    #[test]
    fn nothing_is_left_of_a_line_that_was_cut() {
        let contacts = CategoryCode::built_in("contacts").unwrap();
        let (scope, at) = (Scope::default(), Timestamp::from_millis(1_800_000_000_000));
        let until = Timestamp::from_millis(1_900_000_000_000);
        let (id, line) = (RecordId::from_bytes([1; 16]), SubjectDigest::from_bytes([2; 16]));
        let grant = ConsentRecord {
            id,
            scope: scope.clone(),
            subject: line,
            act: Act::Grant,
            at,
            until,
            notice: NoticeId::NONE,
            language: Language::new("en").unwrap(),
            regime: Regime::OptIn,
            method: Method::Form,
            gesture: true,
            gpc: false,
            decisions: vec![RecordedDecision::new(contacts, Decision::Granted, [1; 3])],
        };
        let store = MemoryStore::new();
        block_on(async {
            store.append_record(&NewRecord::new(grant.clone(), None), contacts, until).await.unwrap();
            let proof = ConsentProof { scope: scope.clone(), record: id, category: contacts };
            let whose = SubjectDigest::from_bytes([4; 16]);
            let contact = ContactId::from_bytes([3; 16]);
            let contact = Contact::opened(contact, FenceEpoch::FIRST, whose, at, id, until);
            store.open_contact(&proof, &contact).await.unwrap();
            let end = grant.refusing(contacts.bit(), Act::Revocation, Method::Server, at).unwrap();
            let ended = store.append_record(&NewRecord::new(end, Some(id)), contacts, until).await.unwrap();
            store.erase_step(&ended.erasing, 100).await.unwrap();
        });
        let tables = store.locked();
        assert_eq!((tables.records.len(), tables.severed.len(), tables.salts.len()), (2, 2, 0));
        assert!(tables.records.iter().all(|r| r.id != id && r.subject != line));
        assert!(tables.links.values().all(|(_, of)| *of != id));
        assert!(tables.contacts.is_empty());
    }
}
