//! A store in memory: the reference that the conformance suite is read against.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::traits::{ConsentStore, ContactStore, ConversationStore, RetentionStore, Store};
use super::types::{
    Adoption, AppendedRecord, ConsentProof, ContactCursor, ContactTouch, EraseStep, Erasing, ErasingKind,
    ErasureCause, Horizon, MessageToStore, NewRecord, OpenInfo, OwnerProof, StoredMessage, SubjectDigest,
    record_withdraws_nothing,
};
use crate::catalogue::CategoryCode;
use crate::clock::Timestamp;
use crate::consent::{ConsentRecord, NoticeId, NoticeSnapshot, RecordId};
use crate::contact::{Channel, Contact, ContactId, Conversation, ConversationId, FenceEpoch, Owner, Removed};
use crate::error::{Error, Result};
use crate::key::Fingerprint;
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
    notices: BTreeMap<(Scope, NoticeId), NoticeSnapshot>,
    /// In the order they were appended.
    records: Vec<ConsentRecord>,
    contacts: BTreeMap<(Scope, ContactId), Row<Contact>>,
    conversations: BTreeMap<(Scope, ConversationId), Row<Conversation>>,
    messages: BTreeMap<(Scope, ConversationId, u32), StoredMessage>,
    fences: BTreeMap<(Tenant, SubjectDigest), (FenceEpoch, Timestamp)>,
    rules: BTreeMap<(Tenant, DataClass), RetentionRule>,
}

#[derive(Debug)]
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
        if proof.scope == *scope && self.holds(proof, now) {
            Ok(())
        } else {
            Err(Error::not_granted(crate::catalogue::category_id::CONTACTS))
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
    ) -> bool {
        let Some(row) = self.contacts.get_mut(&(scope.clone(), id)).filter(|r| r.erasing.is_none()) else {
            return false;
        };
        row.erasing = Some(cause);
        self.fences.insert((scope.tenant.clone(), row.value.subject), (row.value.epoch, fence_until));
        true
    }

    fn mark_conversation(&mut self, scope: &Scope, id: ConversationId, cause: ErasureCause) -> bool {
        let key = (scope.clone(), id);
        let Some(row) = self.conversations.get_mut(&key).filter(|r| r.erasing.is_none()) else {
            return false;
        };
        row.erasing = Some(cause);
        if let Owner::Contact(contact) = row.value.owner
            && let Some(contact) = self.contacts.get_mut(&(scope.clone(), contact))
        {
            contact.value.conversations = contact.value.conversations.saturating_sub(1);
        }
        true
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
    fn remove_conversation(&mut self, scope: &Scope, id: ConversationId, max: u32) -> EraseStep {
        let messages = self.remove_messages(scope, id, max);
        if messages >= u64::from(max) {
            return EraseStep::new(Removed::new(0, 0, messages, 0), false);
        }
        let gone = u64::from(self.conversations.remove(&(scope.clone(), id)).is_some());
        EraseStep::new(Removed::new(0, gone, messages, 0), true)
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
impl ConsentStore for MemoryStore {
    async fn publish_notice(&self, scope: &Scope, notice: &NoticeSnapshot) -> Result<()> {
        self.locked().notices.entry((scope.clone(), notice.id)).or_insert_with(|| notice.clone());
        Ok(())
    }

    async fn notice(&self, scope: &Scope, id: NoticeId) -> Result<Option<NoticeSnapshot>> {
        Ok(self.locked().notices.get(&(scope.clone(), id)).cloned())
    }

    async fn append_record(
        &self,
        new: &NewRecord,
        contacts: CategoryCode,
        fence_until: Timestamp,
    ) -> Result<AppendedRecord> {
        let mut tables = self.locked();
        let scope = &new.record.scope;
        if let Some(there) = tables.record(scope, new.record.id) {
            return Ok(AppendedRecord::new(there.clone(), 0));
        }
        let latest = new.follows.and_then(|id| tables.latest(scope, id)).cloned();
        let mut record = new.record.clone();
        if let Some(latest) = latest {
            if record_withdraws_nothing(&record, &latest) {
                return Ok(AppendedRecord::new(latest, 0));
            }
            record.subject = latest.subject;
        }
        let of_line: Vec<_> = tables
            .contacts
            .iter()
            .filter(|((s, _), row)| s == scope && row.erasing.is_none())
            .filter(|(_, row)| {
                tables.record(scope, row.value.consent).is_some_and(|r| r.subject == record.subject)
            })
            .map(|((_, id), _)| *id)
            .collect();
        let mut erasing = 0;
        for id in of_line {
            if record.grants(contacts, record.at) {
                if let Some(row) = tables.contacts.get_mut(&(scope.clone(), id)) {
                    row.value.consent = record.id;
                    row.value.consent_until = record.until;
                }
            } else {
                let cause = record.act.erasure_cause();
                erasing += u32::from(tables.mark_contact(scope, id, cause, fence_until));
            }
        }
        tables.records.push(record.clone());
        Ok(AppendedRecord::new(record, erasing))
    }

    async fn record(&self, scope: &Scope, id: RecordId) -> Result<Option<ConsentRecord>> {
        Ok(self.locked().record(scope, id).cloned())
    }

    async fn latest_record(&self, scope: &Scope, id: RecordId) -> Result<Option<ConsentRecord>> {
        Ok(self.locked().latest(scope, id).cloned())
    }

    async fn holds(&self, proof: &ConsentProof, now: Timestamp) -> Result<bool> {
        Ok(self.locked().holds(proof, now))
    }
}

#[async_trait]
impl ContactStore for MemoryStore {
    async fn open_contact(&self, proof: &ConsentProof, contact: &Contact) -> Result<Contact> {
        let mut tables = self.locked();
        let scope = &proof.scope;
        tables.check(proof, scope, contact.created)?;
        if tables.is_fenced(&scope.tenant, contact.subject, contact.epoch) {
            return Err(Error::Fenced);
        }
        let until = tables.record(scope, proof.record).map_or(contact.created, |r| r.until);
        let row = tables.contacts.entry((scope.clone(), contact.id)).or_insert_with(|| {
            let value =
                Contact { consent: proof.record, consent_until: until, conversations: 0, ..contact.clone() };
            Row::new(value, None)
        });
        Ok(row.value.clone())
    }

    async fn touch_contacts(&self, touches: &[ContactTouch]) -> Result<u64> {
        let mut tables = self.locked();
        let mut moved = 0;
        for t in touches {
            let Some(row) = tables.contacts.get_mut(&(t.scope.clone(), t.id)) else { continue };
            let contact = &mut row.value;
            let there =
                row.erasing.is_none() && contact.last_seen >= t.gone_before && contact.consent_until > t.at;
            if there && contact.epoch == t.epoch && contact.last_seen < t.at {
                contact.last_seen = t.at;
                moved += 1;
            }
        }
        Ok(moved)
    }

    async fn contact(&self, scope: &Scope, id: ContactId, horizon: &Horizon) -> Result<Option<Contact>> {
        Ok(self.locked().shown_contact(scope, id, horizon).cloned())
    }

    async fn contacts(
        &self,
        scope: &Scope,
        after: Option<ContactCursor>,
        limit: u16,
        horizon: &Horizon,
    ) -> Result<Vec<Contact>> {
        let tables = self.locked();
        let mut all: Vec<_> = tables
            .contacts
            .keys()
            .filter(|(s, _)| s == scope)
            .filter_map(|(_, id)| tables.shown_contact(scope, *id, horizon))
            .filter(|c| after.is_none_or(|a| (c.last_seen, c.id) < (a.last_seen, a.id)))
            .cloned()
            .collect();
        all.sort_by_key(|c| std::cmp::Reverse((c.last_seen, c.id)));
        all.truncate(limit.into());
        Ok(all)
    }

    async fn begin_contact_erasure(
        &self,
        scope: &Scope,
        id: ContactId,
        _: Timestamp,
        fence_until: Timestamp,
    ) -> Result<bool> {
        Ok(self.locked().mark_contact(scope, id, ErasureCause::Request, fence_until))
    }
}

#[async_trait]
impl ConversationStore for MemoryStore {
    async fn running_conversation(
        &self,
        scope: &Scope,
        owner: Owner,
        since: Timestamp,
        horizon: &Horizon,
    ) -> Result<Option<Conversation>> {
        Ok(self.locked().running(scope, owner, since, horizon).cloned())
    }

    async fn record_message(
        &self,
        scope: &Scope,
        owner: &OwnerProof,
        message: &MessageToStore,
        since: Timestamp,
        horizon: &Horizon,
    ) -> Result<StoredMessage> {
        let mut tables = self.locked();
        let (whose, subject) = match owner {
            OwnerProof::Contact { proof, id, epoch, subject } => {
                tables.check(proof, scope, message.at)?;
                if tables.is_fenced(&scope.tenant, *subject, *epoch) {
                    return Err(Error::Fenced);
                }
                tables.shown_contact(scope, *id, horizon).filter(|c| c.epoch == *epoch).ok_or(GONE)?;
                (Owner::Contact(*id), None)
            }
            OwnerProof::Session { session, subject } => (Owner::Session(*session), Some(*subject)),
        };
        let key = (scope.clone(), message.conversation);
        if tables.conversations.contains_key(&key) {
            let there = tables
                .shown_conversation(scope, message.conversation, horizon)
                .is_some_and(|c| c.owner == whose);
            if !there {
                return Err(Error::NotFound { what: "conversation" });
            }
        } else if tables.running(scope, whose, since, horizon).is_some() {
            return Err(Error::Conflict { what: "conversation" });
        }
        let of_conversation = tables.messages.range(
            (scope.clone(), message.conversation, 0)..=(scope.clone(), message.conversation, u32::MAX),
        );
        if let Some(there) = of_conversation.map(|(_, m)| m).find(|m| m.id == message.id) {
            return Ok(there.clone());
        }
        let opens = !tables.conversations.contains_key(&key);
        let row = tables.conversations.entry(key).or_insert_with(|| {
            Row::new(Conversation::opened(message.conversation, whose, message.at), subject)
        });
        let conversation = &mut row.value;
        conversation.messages += 1;
        conversation.last_message = conversation.last_message.max(message.at);
        conversation.live_support |= message.channel == Channel::LiveSupport;
        let stored = StoredMessage::new(message.clone(), conversation.messages);
        if let Owner::Contact(id) = whose
            && let Some(contact) = tables.contacts.get_mut(&(scope.clone(), id))
        {
            contact.value.conversations += u32::from(opens);
            contact.value.last_seen = contact.value.last_seen.max(message.at);
        }
        tables.messages.insert((scope.clone(), message.conversation, stored.number), stored.clone());
        Ok(stored)
    }

    async fn conversations(
        &self,
        scope: &Scope,
        owner: Owner,
        limit: u16,
        horizon: &Horizon,
    ) -> Result<Vec<Conversation>> {
        Ok(self.locked().of_owner(scope, owner, horizon).into_iter().take(limit.into()).cloned().collect())
    }

    async fn messages(
        &self,
        scope: &Scope,
        conversation: ConversationId,
        after: u32,
        limit: u16,
        horizon: &Horizon,
    ) -> Result<Vec<StoredMessage>> {
        let tables = self.locked();
        if tables.shown_conversation(scope, conversation, horizon).is_none() {
            return Ok(Vec::new());
        }
        let from = (scope.clone(), conversation, after.saturating_add(1));
        let all = tables.messages.range(from..=(scope.clone(), conversation, u32::MAX));
        Ok(all.map(|(_, m)| m).filter(|m| m.at >= horizon.messages).take(limit.into()).cloned().collect())
    }

    async fn close_conversation(
        &self,
        scope: &Scope,
        id: ConversationId,
        at: Timestamp,
        horizon: &Horizon,
    ) -> Result<bool> {
        let mut tables = self.locked();
        if tables.shown_conversation(scope, id, horizon).is_none() {
            return Ok(false);
        }
        if let Some(row) = tables.conversations.get_mut(&(scope.clone(), id)) {
            row.value.closed.get_or_insert(at);
        }
        Ok(true)
    }

    async fn adopt_conversation(&self, adoption: &Adoption, horizon: &Horizon) -> Result<()> {
        let mut tables = self.locked();
        let Adoption { proof, contact, epoch, subject, session, conversation, bodies, at } = adoption;
        let scope = &proof.scope;
        tables.check(proof, scope, *at)?;
        if tables.is_fenced(&scope.tenant, *subject, *epoch) {
            return Err(Error::Fenced);
        }
        tables.shown_contact(scope, *contact, horizon).filter(|c| c.epoch == *epoch).ok_or(GONE)?;
        let found = tables
            .shown_conversation(scope, *conversation, horizon)
            .filter(|c| c.owner == Owner::Session(*session));
        found.ok_or(Error::NotFound { what: "conversation" })?;
        let range = (scope.clone(), *conversation, 0)..=(scope.clone(), *conversation, u32::MAX);
        let numbers: Vec<_> = tables.messages.range(range).map(|((_, _, n), _)| *n).collect();
        if !numbers.iter().eq(bodies.iter().map(|(n, _)| n)) {
            return Err(Error::Conflict { what: "conversation" });
        }
        for (number, body) in bodies {
            if let Some(message) = tables.messages.get_mut(&(scope.clone(), *conversation, *number)) {
                message.body = body.clone();
            }
        }
        if let Some(row) = tables.conversations.get_mut(&(scope.clone(), *conversation)) {
            row.value.owner = Owner::Contact(*contact);
            row.subject = None;
        }
        if let Some(row) = tables.contacts.get_mut(&(scope.clone(), *contact)) {
            row.value.conversations += 1;
        }
        Ok(())
    }

    async fn begin_conversation_erasure(&self, scope: &Scope, id: ConversationId) -> Result<bool> {
        Ok(self.locked().mark_conversation(scope, id, ErasureCause::Request))
    }
}

#[async_trait]
impl RetentionStore for MemoryStore {
    async fn tenants(&self) -> Result<Vec<Tenant>> {
        let tables = self.locked();
        let mut all: Vec<_> = tables
            .contacts
            .keys()
            .map(|(s, _)| &s.tenant)
            .chain(tables.conversations.keys().map(|(s, _)| &s.tenant))
            .chain(tables.records.iter().map(|r| &r.scope.tenant))
            .cloned()
            .collect();
        all.sort();
        all.dedup();
        Ok(all)
    }

    async fn rules(&self, tenant: &Tenant) -> Result<Vec<RetentionRule>> {
        Ok(self.locked().rules.iter().filter(|((t, _), _)| t == tenant).map(|(_, r)| *r).collect())
    }

    async fn set_rule(&self, tenant: &Tenant, rule: &RetentionRule) -> Result<()> {
        self.locked().rules.insert((tenant.clone(), rule.class()), *rule);
        Ok(())
    }

    async fn purge_step(
        &self,
        tenant: &Tenant,
        class: DataClass,
        max: u32,
        horizon: &Horizon,
        fence_until: Timestamp,
    ) -> Result<u32> {
        let mut tables = self.locked();
        let max = max as usize;
        let taken = match class {
            DataClass::Contacts => {
                let due: Vec<_> = tables
                    .contacts
                    .iter()
                    .filter(|((s, _), row)| {
                        s.tenant == *tenant && row.erasing.is_none() && !horizon.shows_contact(&row.value)
                    })
                    .map(|(k, _)| k.clone())
                    .take(max)
                    .collect();
                for (scope, id) in &due {
                    tables.mark_contact(scope, *id, ErasureCause::Retention, fence_until);
                }
                due.len()
            }
            DataClass::Conversations | DataClass::SessionConversations | DataClass::SupportConversations => {
                let due: Vec<_> = tables
                    .conversations
                    .iter()
                    .filter(|((s, _), row)| {
                        s.tenant == *tenant && row.erasing.is_none() && class_of(&row.value) == class
                    })
                    .filter(|(_, row)| !horizon.shows_conversation(&row.value))
                    .map(|(k, _)| k.clone())
                    .take(max)
                    .collect();
                for (scope, id) in &due {
                    tables.mark_conversation(scope, *id, ErasureCause::Retention);
                }
                due.len()
            }
            DataClass::Messages => {
                let due: Vec<_> = tables
                    .messages
                    .iter()
                    .filter(|((s, _, _), m)| s.tenant == *tenant && m.at < horizon.messages)
                    .map(|(k, _)| k.clone())
                    .take(max)
                    .collect();
                due.iter().for_each(|k| drop(tables.messages.remove(k)));
                due.len()
            }
            DataClass::ConsentRecords => {
                let mut left = max;
                tables.records.retain(|r| {
                    let due = left > 0 && r.scope.tenant == *tenant && r.until < horizon.records;
                    left -= usize::from(due);
                    !due
                });
                max - left
            }
        };
        Ok(u32::try_from(taken).unwrap_or(u32::MAX))
    }

    async fn erasing(&self, tenant: Option<&Tenant>, max: u32) -> Result<Vec<Erasing>> {
        let tables = self.locked();
        let mine = |s: &Scope| tenant.is_none_or(|t| *t == s.tenant);
        let contacts = tables.contacts.iter().filter_map(|((scope, id), row)| {
            Some(Erasing::new(
                scope.clone(),
                ErasingKind::Contact(*id),
                Some(row.value.subject),
                row.erasing?,
            ))
        });
        let conversations = tables.conversations.iter().filter_map(|((scope, id), row)| {
            Some(Erasing::new(scope.clone(), ErasingKind::Conversation(*id), row.subject, row.erasing?))
        });
        Ok(contacts.chain(conversations).filter(|e| mine(&e.scope)).take(max as usize).collect())
    }

    async fn erase_step(&self, erasing: &Erasing, max: u32) -> Result<EraseStep> {
        let mut tables = self.locked();
        let scope = &erasing.scope;
        match erasing.kind {
            ErasingKind::Conversation(id) => {
                let marked =
                    tables.conversations.get(&(scope.clone(), id)).is_some_and(|r| r.erasing.is_some());
                Ok(if marked {
                    tables.remove_conversation(scope, id, max)
                } else {
                    EraseStep::new(Removed::default(), true)
                })
            }
            ErasingKind::Contact(id) => {
                if tables.contacts.get(&(scope.clone(), id)).is_none_or(|r| r.erasing.is_none()) {
                    return Ok(EraseStep::new(Removed::default(), true));
                }
                let owned: Vec<_> = tables
                    .conversations
                    .iter()
                    .filter(|((s, _), row)| s == scope && row.value.owner == Owner::Contact(id))
                    .map(|((_, c), _)| *c)
                    .collect();
                let (mut removed, mut left) = (Removed::default(), max);
                for conversation in owned {
                    let step = tables.remove_conversation(scope, conversation, left);
                    removed += step.removed;
                    let rows = step.removed.messages + step.removed.conversations;
                    left = left.saturating_sub(u32::try_from(rows).unwrap_or(u32::MAX));
                    if !step.done || left == 0 {
                        return Ok(EraseStep::new(removed, false));
                    }
                }
                tables.contacts.remove(&(scope.clone(), id));
                removed += Removed::new(1, 0, 0, 0);
                Ok(EraseStep::new(removed, true))
            }
        }
    }

    async fn purge_fences(&self, now: Timestamp) -> Result<u64> {
        let mut tables = self.locked();
        let before = tables.fences.len();
        tables.fences.retain(|_, (_, until)| *until > now);
        Ok((before - tables.fences.len()) as u64)
    }
}

fn class_of(conversation: &Conversation) -> DataClass {
    match conversation.owner {
        Owner::Contact(_) => DataClass::Conversations,
        Owner::Session(_) if conversation.live_support => DataClass::SupportConversations,
        Owner::Session(_) => DataClass::SessionConversations,
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
