//! What operators read and do.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use async_trait::async_trait;

use super::{GONE, MemoryStore, Tables};
use crate::clock::{Day, Timestamp};
use crate::contact::{
    Contact, ContactFilter, ContactId, ContactSummary, Conversation, ConversationId, NoteId, Owner, Removed,
};
use crate::error::{Error, Result};
use crate::portal::{AuditEvent, AuditId};
use crate::scope::{Scope, Tenant};
use crate::store::portal::{
    DayCount, DecisionsByDay, Identification, MAX_NOTES, PortalStore, SiteFigures, Snapshot, StoredNote,
    sorted_figures,
};
use crate::store::types::{ConsentProof, Horizon, MessageToStore, StoredMessage};

impl Tables {
    /// The contacts of a site that a filter fits.
    pub(super) fn listed<'t>(
        &'t self,
        scope: &'t Scope,
        filter: &'t ContactFilter,
        as_of: Timestamp,
        horizon: &'t Horizon,
    ) -> impl Iterator<Item = &'t Contact> {
        self.shown_contacts(scope, horizon).filter(move |c| {
            c.last_seen <= as_of && filter.fits(c, self.has_open_conversation(scope, c.id, horizon))
        })
    }

    fn shown_contacts<'t>(
        &'t self,
        scope: &'t Scope,
        horizon: &'t Horizon,
    ) -> impl Iterator<Item = &'t Contact> {
        let all = self.contacts.keys().filter(move |(s, _)| s == scope);
        all.filter_map(move |(_, id)| self.shown_contact(scope, *id, horizon))
    }

    fn shown_conversations<'t>(
        &'t self,
        scope: &'t Scope,
        horizon: &'t Horizon,
    ) -> impl Iterator<Item = &'t Conversation> {
        let all = self.conversations.keys().filter(move |(s, _)| s == scope);
        all.filter_map(move |(_, id)| self.shown_conversation(scope, *id, horizon))
    }

    /// The message with the id of one that is to be stored: it came before. If it was erased since, it is not stored again.
    pub(super) fn came_before(&self, scope: &Scope, message: &MessageToStore) -> Option<StoredMessage> {
        let (conversation, id) = (message.conversation, message.id);
        let span = (scope.clone(), conversation, 0)..=(scope.clone(), conversation, u32::MAX);
        let there = self.messages.range(span).map(|(_, m)| m).find(|m| m.id == id).cloned();
        there.or_else(|| self.erased_before(scope, message))
    }

    /// A message with the id of one that is to be stored, which was erased alone: it is not stored again, wherever it goes
    /// now.
    pub(super) fn erased_before(&self, scope: &Scope, message: &MessageToStore) -> Option<StoredMessage> {
        let (conversation, number) = self.erased.get(&(scope.clone(), message.id)).copied()?;
        Some(StoredMessage { conversation, ..StoredMessage::new(message.clone(), number) })
    }

    fn has_open_conversation(&self, scope: &Scope, id: ContactId, horizon: &Horizon) -> bool {
        self.of_owner(scope, Owner::Contact(id), horizon).iter().any(|c| c.closed.is_none())
    }

    fn by_day(&self, days: impl Iterator<Item = Day>, from: Day, to: Day) -> Vec<DayCount> {
        let mut counts = BTreeMap::<Day, u64>::new();
        days.filter(|day| (from..=to).contains(day)).for_each(|day| *counts.entry(day).or_default() += 1);
        counts.into_iter().map(|(day, count)| DayCount { day, count }).collect()
    }
}

/// A copy.
#[derive(Debug)]
struct Copied {
    contacts: BTreeMap<ContactId, ContactSummary>,
    conversations: BTreeMap<ConversationId, Conversation>,
    messages: BTreeMap<(ConversationId, u32), StoredMessage>,
}

#[async_trait]
impl Snapshot for Copied {
    async fn contacts(&mut self, after: Option<ContactId>, limit: u16) -> Result<Vec<ContactSummary>> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        Ok(self.contacts.range((from, Bound::Unbounded)).take(limit.into()).map(|(_, c)| *c).collect())
    }

    async fn conversations(
        &mut self,
        after: Option<ConversationId>,
        limit: u16,
    ) -> Result<Vec<Conversation>> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let all = self.conversations.range((from, Bound::Unbounded));
        Ok(all.take(limit.into()).map(|(_, c)| c.clone()).collect())
    }

    async fn messages(
        &mut self,
        conversation: ConversationId,
        after: u32,
        limit: u16,
    ) -> Result<Vec<StoredMessage>> {
        let span = (conversation, after.saturating_add(1))..=(conversation, u32::MAX);
        Ok(self.messages.range(span).take(limit.into()).map(|(_, m)| m.clone()).collect())
    }
}

#[async_trait]
impl PortalStore for MemoryStore {
    async fn count_contacts(
        &self,
        scope: &Scope,
        filter: &ContactFilter,
        as_of: Timestamp,
        cap: u32,
        horizon: &Horizon,
    ) -> Result<u32> {
        let tables = self.locked();
        let count = tables.listed(scope, filter, as_of, horizon).take(cap as usize).count();
        Ok(u32::try_from(count).unwrap_or(cap))
    }

    async fn contact_contents(
        &self,
        scope: &Scope,
        id: ContactId,
        horizon: &Horizon,
    ) -> Result<Option<Removed>> {
        let tables = self.locked();
        let Some(contact) = tables.shown_contact(scope, id, horizon) else { return Ok(None) };
        let line = |consent| tables.record(scope, consent).map(|r| r.subject);
        // What is kept on another basis stands on no consent that ends with it.
        let of_line = line(contact.consent).filter(|_| contact.kept_on.is_none());
        let all = tables.contacts.iter().filter(|((s, _), row)| s == scope && row.erasing.is_none());
        let whose: BTreeSet<_> = all
            .map(|(_, row)| &row.value)
            .filter(|c| c.id == id || (of_line.is_some() && line(c.consent) == of_line))
            .map(|c| c.id)
            .collect();
        let is_owned = |owner| matches!(owner, Owner::Contact(id) if whose.contains(&id));
        let all = tables.conversations.iter().filter(|((s, _), row)| s == scope && row.erasing.is_none());
        let owned: BTreeSet<_> =
            all.filter(|(_, row)| is_owned(row.value.owner)).map(|((_, id), _)| *id).collect();
        let messages = tables.messages.keys().filter(|(s, c, _)| s == scope && owned.contains(c)).count();
        let notes: usize =
            whose.iter().filter_map(|id| tables.notes.get(&(scope.clone(), *id))).map(Vec::len).sum();
        let contents = Removed::new(whose.len() as u64, owned.len() as u64, messages as u64, 0);
        Ok(Some(Removed { notes: notes as u64, ..contents }))
    }

    async fn conversation(
        &self,
        scope: &Scope,
        id: ConversationId,
        horizon: &Horizon,
    ) -> Result<Option<Conversation>> {
        Ok(self.locked().shown_conversation(scope, id, horizon).cloned())
    }

    async fn open_conversations(
        &self,
        scope: &Scope,
        limit: u16,
        horizon: &Horizon,
    ) -> Result<Vec<Conversation>> {
        let tables = self.locked();
        let open =
            tables.shown_conversations(scope, horizon).filter(|c| c.live_support && c.closed.is_none());
        let mut open: Vec<_> = open.cloned().collect();
        open.sort_by_key(|c| std::cmp::Reverse((c.last_message, c.id)));
        open.truncate(limit.into());
        Ok(open)
    }

    async fn answer(
        &self,
        scope: &Scope,
        message: &MessageToStore,
        horizon: &Horizon,
    ) -> Result<StoredMessage> {
        let mut tables = self.locked();
        let shown = tables.shown_conversation(scope, message.conversation, horizon);
        let shown = shown.ok_or(Error::NotFound { what: "conversation" })?;
        if shown.closed.is_some() || message.owner.is_some_and(|owner| owner != shown.owner) {
            return Err(Error::Conflict { what: "conversation" });
        }
        if let Some(there) = tables.came_before(scope, message) {
            return Ok(there);
        }
        let row = tables.conversations.get_mut(&(scope.clone(), message.conversation));
        let conversation = &mut row.ok_or(Error::NotFound { what: "conversation" })?.value;
        conversation.messages += 1;
        conversation.last_message = conversation.last_message.max(message.at);
        conversation.awaits_answer = false;
        let stored = StoredMessage::new(message.clone(), conversation.messages);
        tables.messages.insert((scope.clone(), message.conversation, stored.number), stored.clone());
        Ok(stored)
    }

    async fn erase_message(&self, scope: &Scope, conversation: ConversationId, number: u32) -> Result<bool> {
        let mut tables = self.locked();
        let marked =
            tables.conversations.get(&(scope.clone(), conversation)).is_none_or(|r| r.erasing.is_some());
        if marked {
            return Ok(false);
        }
        let gone = tables.messages.remove(&(scope.clone(), conversation, number));
        let kept = gone.map(|m| tables.erased.insert((scope.clone(), m.id), (conversation, m.number)));
        Ok(kept.is_some())
    }

    async fn set_blocked(
        &self,
        scope: &Scope,
        id: ContactId,
        blocked: bool,
        horizon: &Horizon,
    ) -> Result<bool> {
        let mut tables = self.locked();
        if tables.shown_contact(scope, id, horizon).is_none() {
            return Ok(false);
        }
        if let Some(row) = tables.contacts.get_mut(&(scope.clone(), id)) {
            row.value.blocked = blocked;
        }
        Ok(true)
    }

    async fn identify_contact(&self, identification: &Identification, horizon: &Horizon) -> Result<()> {
        let mut tables = self.locked();
        let Identification { contacts, identity, id, epoch, subject, known_as, at } = identification;
        let scope = &contacts.scope;
        tables.check(contacts, scope, *at)?;
        tables.check(identity, scope, *at)?;
        let line = |proof: &ConsentProof| tables.record(scope, proof.record).map(|r| r.subject);
        if line(contacts) != line(identity) {
            return Err(identity.refused());
        }
        if tables.is_fenced(&scope.tenant, *subject, *epoch) {
            return Err(Error::Fenced);
        }
        let there = tables.shown_contact(scope, *id, horizon).filter(|c| c.epoch == *epoch).ok_or(GONE)?;
        if there.blocked {
            return Err(Error::Blocked);
        }
        tables.stand_on(scope, *id, contacts);
        if let Some(row) = tables.contacts.get_mut(&(scope.clone(), *id)) {
            row.value.identity = Some(known_as.clone());
        }
        Ok(())
    }

    async fn add_note(&self, scope: &Scope, note: &StoredNote, horizon: &Horizon) -> Result<()> {
        let mut tables = self.locked();
        tables.shown_contact(scope, note.contact, horizon).ok_or(GONE)?;
        let notes = tables.notes.entry((scope.clone(), note.contact)).or_default();
        if notes.iter().any(|there| there.id == note.id) {
            return Ok(());
        }
        if notes.len() >= MAX_NOTES as usize {
            return Err(Error::Conflict { what: "the contact's notes" });
        }
        notes.push(note.clone());
        Ok(())
    }

    async fn notes(&self, scope: &Scope, contact: ContactId, horizon: &Horizon) -> Result<Vec<StoredNote>> {
        let tables = self.locked();
        let shown = tables.shown_contact(scope, contact, horizon).is_some();
        let mut notes =
            tables.notes.get(&(scope.clone(), contact)).filter(|_| shown).cloned().unwrap_or_default();
        notes.sort_by_key(|note| (note.at, note.id));
        Ok(notes)
    }

    async fn erase_note(&self, scope: &Scope, contact: ContactId, note: NoteId) -> Result<bool> {
        let mut tables = self.locked();
        let Some(notes) = tables.notes.get_mut(&(scope.clone(), contact)) else { return Ok(false) };
        let before = notes.len();
        notes.retain(|there| there.id != note);
        Ok(notes.len() < before)
    }

    async fn figures(&self, scope: &Scope, from: Day, to: Day, horizon: &Horizon) -> Result<SiteFigures> {
        let tables = self.locked();
        let mut countries = BTreeMap::<_, u64>::new();
        tables.shown_contacts(scope, horizon).for_each(|c| *countries.entry(c.country).or_default() += 1);
        let mut decisions = DecisionsByDay::default();
        for record in tables.records.iter().filter(|r| r.scope == *scope) {
            if (from..=to).contains(&record.at.day()) {
                decisions.count(record.act, record.at, &record.decisions);
            }
        }
        let contacts = tables.shown_contacts(scope, horizon).map(|c| c.created.day());
        let conversations = tables.shown_conversations(scope, horizon).map(|c| c.opened.day());
        Ok(sorted_figures(SiteFigures {
            countries: countries.into_iter().collect(),
            contacts: tables.by_day(contacts, from, to),
            conversations: tables.by_day(conversations, from, to),
            decisions: decisions.finish(),
        }))
    }

    async fn snapshot(&self, scope: &Scope, horizon: &Horizon) -> Result<Box<dyn Snapshot>> {
        let tables = self.locked();
        let conversations: BTreeMap<_, _> =
            tables.shown_conversations(scope, horizon).map(|c| (c.id, c.clone())).collect();
        let messages = tables.messages.iter().filter(|((s, conversation, _), m)| {
            s == scope && conversations.contains_key(conversation) && m.at >= horizon.messages
        });
        Ok(Box::new(Copied {
            contacts: tables.shown_contacts(scope, horizon).map(|c| (c.id, c.into())).collect(),
            messages: messages.map(|((_, c, number), m)| ((*c, *number), m.clone())).collect(),
            conversations,
        }))
    }

    async fn append_audit(&self, event: &AuditEvent) -> Result<()> {
        let mut tables = self.locked();
        if !tables.audit.iter().any(|e| e.tenant == event.tenant && e.id == event.id) {
            tables.audit.push(event.clone());
        }
        Ok(())
    }

    async fn audit(
        &self,
        tenant: &Tenant,
        before: Option<(Timestamp, AuditId)>,
        limit: u16,
    ) -> Result<Vec<AuditEvent>> {
        let tables = self.locked();
        let of_tenant = tables.audit.iter().filter(|e| e.tenant == *tenant);
        let mut all: Vec<_> =
            of_tenant.filter(|e| before.is_none_or(|place| (e.at, e.id) < place)).cloned().collect();
        all.sort_by_key(|e| std::cmp::Reverse((e.at, e.id)));
        all.truncate(limit.into());
        Ok(all)
    }
}
