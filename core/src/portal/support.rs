//! Conversations: reading, answering, closing.

use super::{Permission, Portal, Verb};
use crate::contact::{
    Author, Channel, Conversation, ConversationId, Field, Message, MessageId, NewMessage, Removed,
};
use crate::error::{Error, Result};
use crate::store::{ErasureCause, MessageToStore, SubjectDigest};

/// So many open conversations are listed.
const SHOWN_OPEN: u16 = 200;

/// A conversation may be given to a contact while it is answered.
const ATTEMPTS: usize = 4;

/// A conversation in which a person was asked.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct OpenConversation {
    /// The conversation.
    pub conversation: Conversation,
    /// Its last message, if it can still be read.
    pub last: Option<Message>,
}

impl Portal {
    async fn conversation_digest(&self, id: ConversationId) -> Result<Option<SubjectDigest>> {
        self.privet.keys().conversation_digest(&self.scope.tenant, id).await.map(Some)
    }

    async fn shown_conversation(&self, id: ConversationId) -> Result<Conversation> {
        let (privet, scope) = (&self.privet, &self.scope);
        let horizon = privet.horizon(&scope.tenant, privet.now()).await?;
        let found = privet.store().conversation(scope, id, &horizon).await?;
        found.ok_or(Error::NotFound { what: "conversation" })
    }

    /// A conversation with its latest messages, up to 500, in order.
    ///
    /// # Errors
    /// [`Error::NotAllowed`], [`Error::NotFound`], or what the store says.
    pub async fn conversation(&self, id: ConversationId) -> Result<(Conversation, Vec<Message>)> {
        let digest = self.conversation_digest(id).await?;
        let now = self.asks(Permission::ReadMessages, Verb::ReadConversation, digest).await?;
        let conversation = self.shown_conversation(id).await?;
        let messages = self.privet.read_conversation(&self.scope, &conversation, now).await?;
        Ok((conversation, messages))
    }

    /// The messages of a conversation after a number: what is new since somebody [opened](Self::conversation) it. A look that
    /// shows nothing is not logged.
    ///
    /// # Errors
    /// [`Error::NotAllowed`], [`Error::NotFound`], or what the store says.
    pub async fn messages_after(
        &self,
        id: ConversationId,
        after: u32,
    ) -> Result<(Conversation, Vec<Message>)> {
        let asks = async || {
            let digest = self.conversation_digest(id).await?;
            self.asks(Permission::ReadMessages, Verb::ReadConversation, digest).await
        };
        if !self.operator.may(Permission::ReadMessages) {
            asks().await?;
        }
        let conversation = self.shown_conversation(id).await?;
        let now = self.privet.now();
        let messages = self.privet.read_messages(&self.scope, &conversation, after, now).await?;
        if !messages.is_empty() {
            asks().await?;
        }
        Ok((conversation, messages))
    }

    /// Conversations in which a person was asked and that are not closed, the latest first: at most 200.
    ///
    /// # Errors
    /// [`Error::NotAllowed`], or what the store says.
    pub async fn open_conversations(&self) -> Result<Vec<OpenConversation>> {
        let now = self.asks(Permission::ReadMessages, Verb::ListConversations, None).await?;
        let (privet, scope) = (&self.privet, &self.scope);
        let horizon = privet.horizon(&scope.tenant, now).await?;
        let mut open = Vec::new();
        for conversation in privet.store().open_conversations(scope, SHOWN_OPEN, &horizon).await? {
            let before_last = conversation.messages.saturating_sub(1);
            let last = match privet.read_messages(scope, &conversation, before_last, now).await {
                Ok(mut messages) => messages.pop(),
                // One that cannot be read keeps nobody from the others.
                Err(Error::Corrupt { .. }) => None,
                Err(error) => return Err(error),
            };
            open.push(OpenConversation { conversation, last });
        }
        Ok(open)
    }

    /// Answers in an open conversation.
    ///
    /// # Errors
    /// [`Error::NotAllowed`], [`Error::NotFound`], [`Error::Conflict`] when it is closed, [`Error::Invalid`] for a text that
    /// is empty or longer than 16 KiB, or what the store says.
    pub async fn answer(&self, id: ConversationId, text: &str) -> Result<MessageId> {
        let now = self.asks(Permission::Answer, Verb::Answer, self.conversation_digest(id).await?).await?;
        let message = NewMessage::new(Channel::LiveSupport, text)?;
        let (privet, scope) = (&self.privet, &self.scope);
        let horizon = privet.horizon(&scope.tenant, now).await?;
        let message_id = MessageId::generate()?;
        for _ in 0..ATTEMPTS {
            let conversation = self.shown_conversation(id).await?;
            if conversation.closed.is_some() {
                break;
            }
            let subject = privet.subject_of(scope, &conversation).await?;
            let Some(key) = privet.keys().existing_subject_key(&scope.tenant, subject).await? else {
                // An erasure takes the key first; an adoption, last.
                if self.shown_conversation(id).await?.owner != conversation.owner {
                    continue;
                }
                return Err(Error::NotFound { what: "conversation" });
            };
            let body = key.seal(scope, id.as_bytes(), Field::Body, &message.text)?;
            let mut to_store =
                MessageToStore::new(id, message_id, now, Channel::LiveSupport, Author::Agent, body);
            to_store.owner = Some(conversation.owner);
            match privet.store().answer(scope, &to_store, &horizon).await {
                // Closed, or given to a contact since, under whose key it is sealed anew.
                Err(Error::Conflict { .. }) => {}
                stored => return stored.map(|_| message_id),
            }
        }
        Err(Error::Conflict { what: "conversation" })
    }

    /// What an erasure of a conversation would take away.
    ///
    /// # Errors
    /// [`Error::NotAllowed`], [`Error::NotFound`], or what the store says.
    pub async fn preview_conversation_erasure(&self, id: ConversationId) -> Result<Removed> {
        let digest = self.conversation_digest(id).await?;
        let now = self.asks(Permission::Erase, Verb::PreviewErasure, digest).await?;
        let conversation = self.shown_conversation(id).await?;
        let (mut count, mut after) = (0, 0);
        loop {
            let page = self.privet.read_messages(&self.scope, &conversation, after, now).await?;
            let Some(last) = page.last() else { return Ok(Removed::new(0, 1, count, 0)) };
            (after, count) = (last.number, count + page.len() as u64);
        }
    }

    /// Closes a conversation; the visitor's next message begins another one.
    ///
    /// # Errors
    /// [`Error::NotAllowed`], [`Error::NotFound`], or what the store says.
    pub async fn close_conversation(&self, id: ConversationId) -> Result<()> {
        self.asks(Permission::Answer, Verb::CloseConversation, self.conversation_digest(id).await?).await?;
        self.privet.close_conversation(&self.scope, id).await
    }

    /// Erases one conversation with its messages.
    ///
    /// # Errors
    /// [`Error::NotAllowed`], [`Error::NotFound`], or what the store says.
    pub async fn erase_conversation(&self, id: ConversationId) -> Result<Removed> {
        self.asks(Permission::Erase, Verb::EraseConversation, self.conversation_digest(id).await?).await?;
        self.privet.erase_conversation(&self.scope, id).await
    }

    /// Erases one message of a conversation, by its number.
    ///
    /// # Errors
    /// [`Error::NotAllowed`], [`Error::NotFound`], or what the store says.
    pub async fn erase_message(&self, id: ConversationId, number: u32) -> Result<Removed> {
        let digest = self.conversation_digest(id).await?;
        let now = self.asks(Permission::Erase, Verb::EraseMessage, digest).await?;
        let (privet, scope, gone) = (&self.privet, &self.scope, Error::NotFound { what: "message" });
        let horizon = privet.horizon(&scope.tenant, now).await?;
        let before = number.checked_sub(1).ok_or(Error::NotFound { what: "message" })?;
        let there = privet.store().messages(scope, id, before, 1, &horizon).await?;
        let Some(message) = there.first().filter(|m| m.number == number) else { return Err(gone) };
        // The ledger first: a restored backup has the message again.
        let digest = privet.keys().message_digest(&scope.tenant, message.id).await?;
        privet.ledger().append(&[privet.erased(scope, digest, ErasureCause::Request)]).await?;
        let taken = privet.store().erase_message(scope, id, number).await?;
        if taken { Ok(Removed::new(0, 0, 1, 0)) } else { Err(gone) }
    }
}
