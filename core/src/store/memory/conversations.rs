//! Conversations and messages.

use async_trait::async_trait;

use super::{GONE, MemoryStore, Row};
use crate::clock::Timestamp;
use crate::contact::{Channel, Conversation, ConversationId, Owner};
use crate::error::{Error, Result};
use crate::scope::Scope;
use crate::store::traits::ConversationStore;
use crate::store::types::{
    Adoption, Erasing, ErasureCause, Horizon, MessageToStore, OwnerProof, StoredMessage,
};

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
                let there =
                    tables.shown_contact(scope, *id, horizon).filter(|c| c.epoch == *epoch).ok_or(GONE)?;
                if there.blocked {
                    return Err(Error::Blocked);
                }
                tables.stand_on(scope, *id, proof);
                (Owner::Contact(*id), None)
            }
            OwnerProof::Session { session, subject } => (Owner::Session(*session), Some(*subject)),
        };
        let key = (scope.clone(), message.conversation);
        let fits = if tables.conversations.contains_key(&key) {
            let shown = tables.shown_conversation(scope, message.conversation, horizon);
            shown.is_some_and(|c| c.owner == whose)
        } else {
            message.opens && tables.running(scope, whose, since, horizon).is_none()
        };
        if !fits {
            return Err(Error::Conflict { what: "conversation" });
        }
        if let Some(there) = tables.came_before(scope, message) {
            return Ok(there);
        }
        let opens = !tables.conversations.contains_key(&key);
        if let Some(erased) = tables.erased_before(scope, message).filter(|_| opens) {
            return Ok(erased);
        }
        let row = tables.conversations.entry(key).or_insert_with(|| {
            Row::new(Conversation::opened(message.conversation, whose, message.at), subject)
        });
        let conversation = &mut row.value;
        conversation.messages += 1;
        conversation.last_message = conversation.last_message.max(message.at);
        conversation.live_support |= message.channel == Channel::LiveSupport;
        conversation.awaits_answer = message.author.awaits_answer().unwrap_or(conversation.awaits_answer);
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
        let Adoption { proof, contact, epoch, subject, from, conversation, texts, at } = adoption;
        let scope = &proof.scope;
        tables.check(proof, scope, *at)?;
        if tables.is_fenced(&scope.tenant, *subject, *epoch) {
            return Err(Error::Fenced);
        }
        let there =
            tables.shown_contact(scope, *contact, horizon).filter(|c| c.epoch == *epoch).ok_or(GONE)?;
        if there.blocked {
            return Err(Error::Blocked);
        }
        let gives = *from != Owner::Contact(*contact);
        let found =
            tables.shown_conversation(scope, *conversation, horizon).filter(|c| gives && c.owner == *from);
        found.ok_or(Error::NotFound { what: "conversation" })?;
        let range = (scope.clone(), *conversation, 0)..=(scope.clone(), *conversation, u32::MAX);
        let numbers: Vec<_> = tables.messages.range(range).map(|((_, _, n), _)| *n).collect();
        if !numbers.iter().eq(texts.iter().map(|t| &t.number)) {
            return Err(Error::Conflict { what: "conversation" });
        }
        for text in texts {
            if let Some(message) = tables.messages.get_mut(&(scope.clone(), *conversation, text.number)) {
                (message.body, message.page) = (text.body.clone(), text.page.clone());
            }
        }
        if let Some(row) = tables.conversations.get_mut(&(scope.clone(), *conversation)) {
            row.value.owner = Owner::Contact(*contact);
            row.subject = None;
        }
        tables.stand_on(scope, *contact, proof);
        if let Owner::Contact(from) = from
            && let Some(row) = tables.contacts.get_mut(&(scope.clone(), *from))
        {
            row.value.conversations = row.value.conversations.saturating_sub(1);
        }
        if let Some(row) = tables.contacts.get_mut(&(scope.clone(), *contact)) {
            row.value.conversations += 1;
        }
        Ok(())
    }

    async fn begin_conversation_erasure(&self, scope: &Scope, id: ConversationId) -> Result<Option<Erasing>> {
        Ok(self.locked().mark_conversation(scope, id, ErasureCause::Request))
    }
}
