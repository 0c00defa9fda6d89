//! Taking data out: one moment of a site, in pieces of bounded size.

use std::collections::VecDeque;
use std::time::Duration;

use serde::Serialize;

use super::{Note, Permission, Portal, Verb};
use crate::contact::{
    ContactId, ContactSummary, Conversation, ConversationId, Message, Owner, SubjectKey, open_message,
};
use crate::error::{Error, Result};
use crate::store::Snapshot;

/// So many conversations, or messages, are held at once.
const ROWS: u16 = 500;
/// So many contacts are.
const CONTACTS: u16 = 1_000;

/// A conversation as it is exported, with a part of its messages: a long one comes in several pieces.
#[derive(Clone, Serialize)]
#[non_exhaustive]
pub struct ExportedConversation {
    /// Its id.
    pub id: String,
    /// The contact whose it is; none for one without a contact.
    pub contact: Option<String>,
    /// When it was opened: RFC 3339, UTC.
    pub opened: String,
    /// When it was closed, if it was: RFC 3339, UTC.
    pub closed: Option<String>,
    /// A part of its messages, in order.
    pub messages: Vec<Message>,
    /// How many messages of this part the store has and nobody can open any more: they are damaged, or their key is gone,
    /// since they are being erased or were given to a contact while the export ran.
    #[serde(skip_serializing_if = "is_none")]
    pub unreadable: u32,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
fn is_none(count: &u32) -> bool {
    *count == 0
}

/// Without what was said.
impl std::fmt::Debug for ExportedConversation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ExportedConversation").field("messages", &self.messages.len()).finish_non_exhaustive()
    }
}

/// One moment of a site on its way out; it needs as much memory for many contacts as for few.
#[derive(Debug)]
pub struct Export {
    portal: Portal,
    snapshot: Box<dyn Snapshot>,
    after_contact: Option<ContactId>,
    after_conversation: Option<ConversationId>,
    waiting: VecDeque<Conversation>,
    /// The conversation that is being read, its key, and the last number of it that was given.
    current: Option<(Conversation, Option<SubjectKey>, u32)>,
}

impl Export {
    /// How old the moment was already when it was opened, about, where it is a copy's of the database; none where it was the
    /// present.
    #[must_use]
    pub fn behind(&self) -> Option<Duration> {
        self.snapshot.behind()
    }
}

/// Everything about one contact.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct WholeContact {
    /// The contact.
    pub contact: ContactSummary,
    /// What the app knows it as.
    pub identity: Option<String>,
    /// Notes of operators.
    pub notes: Vec<Note>,
    /// Its conversations, the oldest first.
    pub conversations: Vec<ExportedConversation>,
}

impl Portal {
    /// Opens an export of all contacts of the site.
    ///
    /// # Errors
    /// [`Error::NotAllowed`], or what the store says.
    pub async fn export_contacts(&self) -> Result<Export> {
        self.export(Verb::ExportContacts).await
    }

    /// Opens an export of all conversations of the site.
    ///
    /// # Errors
    /// [`Error::NotAllowed`], or what the store says.
    pub async fn export_conversations(&self) -> Result<Export> {
        self.export(Verb::ExportConversations).await
    }

    async fn export(&self, verb: Verb) -> Result<Export> {
        let now = self.asks(Permission::Export, verb, None).await?;
        let horizon = self.privet.horizon(&self.scope.tenant, now).await?;
        Ok(Export {
            snapshot: self.privet.store().snapshot(&self.scope, &horizon).await?,
            portal: self.clone(),
            after_contact: None,
            after_conversation: None,
            waiting: VecDeque::new(),
            current: None,
        })
    }

    /// Everything about one contact.
    ///
    /// # Errors
    /// [`Error::NotAllowed`], [`Error::NotFound`], or what the store says.
    pub async fn export_contact(&self, id: ContactId) -> Result<WholeContact> {
        let digest = self.privet.keys().contact_digest(&self.scope.tenant, id).await?;
        let now = self.asks(Permission::Export, Verb::ExportContact, Some(digest)).await?;
        let (privet, scope) = (&self.privet, &self.scope);
        let contact = privet.contact(scope, id).await?;
        let horizon = privet.horizon(&scope.tenant, now).await?;
        let owned = privet.store().conversations(scope, Owner::Contact(id), u16::MAX, &horizon).await?;
        let mut conversations = Vec::new();
        for conversation in owned.iter().rev() {
            let mut exported = exported(conversation);
            loop {
                let after = exported.messages.last().map_or(0, |m| m.number);
                let page = privet.read_messages(scope, conversation, after, now).await?;
                if page.is_empty() {
                    break;
                }
                exported.messages.extend(page);
            }
            conversations.push(exported);
        }
        Ok(WholeContact {
            identity: privet.identity_of(scope, &contact).await?,
            notes: privet.notes_on(scope, &contact).await?,
            contact: (&contact).into(),
            conversations,
        })
    }
}

fn exported(c: &Conversation) -> ExportedConversation {
    ExportedConversation {
        id: c.id.to_string(),
        contact: match c.owner {
            Owner::Contact(id) => Some(id.to_string()),
            Owner::Session(_) => None,
        },
        opened: c.opened.to_string(),
        closed: c.closed.map(|at| at.to_string()),
        messages: Vec::new(),
        unreadable: 0,
    }
}

impl Export {
    /// The next contacts; none at the end.
    ///
    /// # Errors
    /// What the store says.
    pub async fn next_contacts(&mut self) -> Result<Vec<ContactSummary>> {
        let page = self.snapshot.contacts(self.after_contact, CONTACTS).await?;
        self.after_contact = page.last().map(|c| c.id).or(self.after_contact);
        Ok(page)
    }

    /// The next conversation with some of its messages; none at the end. One whose key was destroyed meanwhile comes without
    /// messages, and with their number.
    ///
    /// # Errors
    /// What the store says.
    pub async fn next_conversation(&mut self) -> Result<Option<ExportedConversation>> {
        let (conversation, key, after) = match self.current.take() {
            Some(current) => current,
            None => {
                if self.waiting.is_empty() {
                    let page = self.snapshot.conversations(self.after_conversation, ROWS).await?;
                    self.after_conversation = page.last().map(|c| c.id).or(self.after_conversation);
                    self.waiting.extend(page);
                }
                let Some(next) = self.waiting.pop_front() else { return Ok(None) };
                let (privet, scope) = (&self.portal.privet, &self.portal.scope);
                let subject = privet.subject_of(scope, &next).await?;
                let key = privet.keys().existing_subject_key(&scope.tenant, subject).await?;
                (next, key, 0)
            }
        };
        let mut piece = exported(&conversation);
        let stored = self.snapshot.messages(conversation.id, after, ROWS).await?;
        for message in &stored {
            let Some(key) = &key else {
                piece.unreadable += 1;
                continue;
            };
            match open_message(&self.portal.scope, key, message) {
                Ok(message) => piece.messages.push(message),
                // One that is damaged keeps nobody from the others, and is told of.
                Err(error @ Error::Corrupt { .. }) => {
                    tracing::error!("a message is left out of an export: {error}");
                    piece.unreadable += 1;
                }
                Err(error) => return Err(error),
            }
        }
        if stored.len() == usize::from(ROWS) {
            let last = stored.last().map_or(after, |m| m.number);
            self.current = Some((conversation, key, last));
        }
        Ok(Some(piece))
    }
}
