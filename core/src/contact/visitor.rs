//! The visitor's side of the chat.

use super::id::{ContactId, ConversationId, FenceEpoch, MessageId};
use super::model::{Contact, Conversation, Message, NewMessage, Owner, Posted};
use super::page_url::PageUrl;
use super::seal::{Field, SubjectKey};
use crate::catalogue::{CategoryCode, category_id};
use crate::clock::Timestamp;
use crate::consent::RecordId;
use crate::consent::cookie::{AccountState, ContactCookie, last_day};
use crate::error::{Error, Result};
use crate::key::Mac;
use crate::privet::Privet;
use crate::scope::Scope;
use crate::store::{
    ConsentProof, ErasureCause, Horizon, MessageToStore, OwnerProof, StoredMessage, SubjectDigest,
};
use crate::visit::{Contacts, Granted, Visit};

/// Two first messages at once may each open a conversation; the later one joins the earlier one.
pub(super) const ATTEMPTS: usize = 4;
/// Conversations and messages that a visitor is shown.
pub(super) const SHOWN_CONVERSATIONS: u16 = 20;
pub(super) const SHOWN_MESSAGES: u16 = 500;

/// What the site knows the visitor as.
#[derive(Clone, Debug)]
pub struct Visitor {
    visit: Visit,
}

/// Who speaks, and under which key.
struct Speaker {
    proof: OwnerProof,
    /// Whether the conversation begins with what is said.
    opens: bool,
    conversation: ConversationId,
    key: SubjectKey,
    contact: Option<ContactId>,
}

impl Visit {
    /// The visitor of this request.
    #[must_use]
    pub fn visitor(&self) -> Visitor {
        Visitor { visit: self.clone() }
    }
}

impl Visitor {
    /// The contact that the visitor is recognised as, while contacts are granted.
    #[must_use]
    pub fn contact(&self) -> Option<ContactId> {
        self.visit.contact().map(|c| c.id)
    }

    /// The visit.
    #[must_use]
    pub fn visit(&self) -> &Visit {
        &self.visit
    }

    /// Stores a message that the visitor sent: under the visitor's contact if contacts are granted, which opens
    /// the contact on the first message; else, and while the contact is frozen, under this visit, without page and country,
    /// and purged within a day of its last message. Sending a message is the visitor's own gesture, so it activates `service`.
    ///
    /// # Errors
    /// [`Error::UnknownService`], [`Error::HeadSent`], or what the store says; the message is then not stored.
    pub async fn post(&self, service: &str, message: NewMessage) -> Result<Posted> {
        let visit = &self.visit;
        visit.activate(service)?;
        let known = visit.catalogue().category(category_id::CONTACTS).is_some();
        if known && let Ok(granted) = visit.granted::<Contacts>() {
            match self.post_as_contact(&granted, &message).await {
                Ok(Some(posted)) => return Ok(posted),
                // Frozen: nothing is added to it, until a consent to what is done today brings it back.
                Ok(None) => {}
                Err(Error::NotGranted { .. }) => {
                    visit.forget_grant(category_id::CONTACTS, granted.record()).await?;
                }
                Err(error) => return Err(error),
            }
        }
        self.post_as_session(&message).await
    }

    /// None when the contact is frozen.
    async fn post_as_contact(
        &self,
        granted: &Granted<Contacts>,
        message: &NewMessage,
    ) -> Result<Option<Posted>> {
        let visit = &self.visit;
        let privet = visit.privet();
        let tenant = &visit.scope().tenant;
        let mut brought = visit.contact();
        let mut last = Error::Conflict { what: "conversation" };
        self.check_grant(granted).await?;
        for _ in 0..ATTEMPTS {
            let (id, epoch) = match brought {
                Some(contact) => (contact.id, contact.epoch),
                None => match self.open_contact(granted).await {
                    Ok(contact) => (contact.id, contact.epoch),
                    Err(Error::NotFound { .. }) => return Ok(None),
                    Err(error) => return Err(error),
                },
            };
            let subject = privet.keys().contact_digest(tenant, id).await?;
            let proof = OwnerProof::Contact { proof: granted.proof()?, id, epoch, subject };
            let running = self.running(Owner::Contact(id)).await?;
            let speaker = Speaker {
                proof,
                opens: running.is_none(),
                conversation: running.map_or_else(ConversationId::generate, Ok)?,
                key: privet.keys().subject_key(tenant, subject).await?,
                contact: Some(id),
            };
            match self.store_message(&speaker, message).await {
                Err(error @ (Error::Fenced | Error::NotFound { .. })) => {
                    // Erased or expired while its cookie lived: no key may stay behind, and the next attempt
                    // opens a new contact, which has nothing of the old one.
                    self.end_if_due(id).await?;
                    if !privet.ends_key_of_gone(visit.scope(), id, subject).await? {
                        return Ok(None);
                    }
                    visit.expire_contact();
                    brought = None;
                    last = error;
                }
                Err(error @ Error::Conflict { .. }) => {
                    brought = visit.contact();
                    last = error;
                }
                Err(error @ Error::NotGranted { .. }) => {
                    // Withdrawn since it was checked. If the contact went with it, its key goes again.
                    privet.ends_key_of_gone(visit.scope(), id, subject).await?;
                    return Err(error);
                }
                stored => return stored.map(Some),
            }
        }
        Err(last)
    }

    /// Before a key is made for whom no consent holds any more: an old cookie must not leave a trace.
    pub(super) async fn check_grant(&self, granted: &Granted<Contacts>) -> Result<()> {
        let holds = self.visit.privet().store().holds(&granted.proof()?, self.visit.now()).await?;
        if holds { Ok(()) } else { Err(Error::not_granted(category_id::CONTACTS)) }
    }

    /// The visitor's contact, which is opened if there is none.
    pub(super) async fn contact_for(&self, granted: &Granted<Contacts>) -> Result<(ContactId, FenceEpoch)> {
        match self.visit.contact() {
            Some(contact) => Ok((contact.id, contact.epoch)),
            None => self.open_contact(granted).await.map(|contact| (contact.id, contact.epoch)),
        }
    }

    /// Erases a contact whose time is over before a sweep does, so that its line can have another one.
    async fn end_if_due(&self, id: ContactId) -> Result<()> {
        let visit = &self.visit;
        let (privet, scope, now) = (visit.privet(), visit.scope(), visit.now());
        let horizon = privet.horizon(&scope.tenant, now).await?;
        let there = privet.store().contact(scope, id, &Horizon::unlimited(now)).await?;
        if there.is_some_and(|contact| horizon.ends_contact(&contact)) {
            let (cause, until) = (ErasureCause::Retention, Privet::fence_until(now));
            let erasing = privet.store().begin_contact_erasure(scope, id, cause, until).await?;
            privet.erase_now(erasing.as_slice()).await;
        }
        Ok(())
    }

    async fn open_contact(&self, granted: &Granted<Contacts>) -> Result<Contact> {
        let visit = &self.visit;
        let contact = self.open_contact_on(&granted.proof()?).await?;
        // The cookie ends with the choice.
        let until = last_day(contact.consent_until);
        visit.set_contact(ContactCookie {
            id: contact.id,
            epoch: contact.epoch,
            until,
            line: visit.contacts_line(),
        });
        Ok(contact)
    }

    /// The contact of a proof's line, which is opened if there is none.
    pub(super) async fn open_contact_on(&self, proof: &ConsentProof) -> Result<Contact> {
        let visit = &self.visit;
        let privet = visit.privet();
        let id = ContactId::generate()?;
        let subject = privet.keys().contact_digest(&visit.scope().tenant, id).await?;
        let mut contact =
            Contact::opened(id, FenceEpoch::FIRST, subject, visit.now(), proof.record(), visit.now());
        contact.last_seen = visit.now().floor_to(privet.touches().every()).max(contact.created);
        contact.country = visit.country().code();
        privet.store().open_contact(proof, &contact).await
    }

    async fn post_as_session(&self, message: &NewMessage) -> Result<Posted> {
        let visit = &self.visit;
        let privet = visit.privet();
        let tenant = &visit.scope().tenant;
        let session = visit.session().ok_or(Error::NotFound { what: "session" })?;
        let session = privet.keys().session_digest(tenant, session).await?;
        let mut message = message.clone();
        message.page = None;
        for _ in 0..ATTEMPTS {
            let running = self.running(Owner::Session(session)).await?;
            let conversation = running.map_or_else(ConversationId::generate, Ok)?;
            let subject = privet.keys().conversation_digest(tenant, conversation).await?;
            let key = match running {
                None => Some(privet.keys().subject_key(tenant, subject).await?),
                // An erasure takes the key first: what is said from then on opens another conversation.
                Some(_) => privet.keys().existing_subject_key(tenant, subject).await?,
            };
            let Some(key) = key else { continue };
            let speaker = Speaker {
                proof: OwnerProof::Session { session, subject },
                opens: running.is_none(),
                conversation,
                key,
                contact: None,
            };
            match self.store_message(&speaker, &message).await {
                Err(Error::Conflict { .. }) if speaker.opens => {
                    privet.keys().destroy_subject_key(tenant, subject).await?;
                }
                Err(Error::Conflict { .. }) => {}
                stored => return stored,
            }
        }
        Err(Error::Conflict { what: "conversation" })
    }

    async fn running(&self, owner: Owner) -> Result<Option<ConversationId>> {
        let visit = &self.visit;
        let privet = visit.privet();
        let since = visit.now() - privet.conversation_gap();
        let horizon = privet.horizon(&visit.scope().tenant, visit.now()).await?;
        let running = privet.store().running_conversation(visit.scope(), owner, since, &horizon).await?;
        Ok(running.map(|c| c.id))
    }

    async fn store_message(&self, speaker: &Speaker, message: &NewMessage) -> Result<Posted> {
        let visit = &self.visit;
        let privet = visit.privet();
        let scope = visit.scope();
        let conversation = speaker.conversation;
        let id = match message.id {
            Some(id) => id,
            None => MessageId::generate()?,
        };
        let seal = |field, text: &str| speaker.key.seal(scope, conversation.as_bytes(), field, text);
        let body = seal(Field::Body, &message.text)?;
        let mut to_store =
            MessageToStore::new(conversation, id, visit.now(), message.channel, message.author, body);
        to_store.opens = speaker.opens;
        to_store.page = message.page.as_ref().map(|p| seal(Field::Page, p.as_str())).transpose()?;
        let since = visit.now() - privet.conversation_gap();
        let horizon = privet.horizon(&scope.tenant, visit.now()).await?;
        let stored = privet.store().record_message(scope, &speaker.proof, &to_store, since, &horizon).await?;
        if let (OwnerProof::Session { subject, .. }, true) =
            (&speaker.proof, speaker.opens && stored.conversation != conversation)
        {
            // It came before, and was erased: the conversation that it was to open is not there, and needs no key.
            privet.keys().destroy_subject_key(&scope.tenant, *subject).await?;
        }
        let conversation = stored.conversation;
        let pseudonym_key =
            Mac::from_key(&speaker.key.secret().derive("pseudonym/conversation", &[conversation.as_bytes()]));
        Ok(Posted { conversation, message: id, contact: speaker.contact, pseudonym_key })
    }

    /// The visitor's conversations, the latest first: those of the contact, or else of this visit.
    ///
    /// # Errors
    /// What the store says.
    pub async fn conversations(&self) -> Result<Vec<Conversation>> {
        let visit = &self.visit;
        let privet = visit.privet();
        let horizon = privet.horizon(&visit.scope().tenant, visit.now()).await?;
        // A contact that shows nothing may be frozen: what is said meanwhile is kept with the visit.
        for owner in self.owners().await? {
            let shown =
                privet.store().conversations(visit.scope(), owner, SHOWN_CONVERSATIONS, &horizon).await?;
            if !shown.is_empty() {
                return Ok(shown);
            }
        }
        Ok(Vec::new())
    }

    /// What the visitor can read again: the messages of [`conversations`](Self::conversations), in order.
    ///
    /// # Errors
    /// What the store says, [`Error::Corrupt`] when a text does not open.
    pub async fn messages(&self) -> Result<Vec<Message>> {
        let mut all = Vec::new();
        for conversation in self.conversations().await?.into_iter().rev() {
            all.extend(
                self.visit
                    .privet()
                    .read_conversation(self.visit.scope(), &conversation, self.visit.now())
                    .await?,
            );
        }
        Ok(all)
    }

    /// Every conversation with every message, the oldest first.
    pub(crate) async fn whole_conversations(&self) -> Result<Vec<(Conversation, Vec<Message>)>> {
        let visit = &self.visit;
        let privet = visit.privet();
        let horizon = privet.horizon(&visit.scope().tenant, visit.now()).await?;
        let (mut all, mut conversations) = (Vec::new(), Vec::new());
        for owner in self.owners().await? {
            conversations
                .extend(privet.store().conversations(visit.scope(), owner, u16::MAX, &horizon).await?);
        }
        conversations.sort_by_key(|c| std::cmp::Reverse(c.last_message));
        for conversation in conversations.into_iter().rev() {
            let (mut messages, mut after) = (Vec::new(), 0);
            loop {
                let page = privet.read_messages(visit.scope(), &conversation, after, visit.now()).await?;
                let more = page.len() == usize::from(SHOWN_MESSAGES);
                after = page.last().map_or(after, |m| m.number);
                messages.extend(page);
                if !more {
                    break;
                }
            }
            all.push((conversation, messages));
        }
        Ok(all)
    }

    /// Whose conversations may be the visitor's: the contact's, and then the visit's.
    async fn owners(&self) -> Result<Vec<Owner>> {
        let visit = &self.visit;
        let mut owners: Vec<_> = visit.contact().map(|c| Owner::Contact(c.id)).into_iter().collect();
        if let Some(session) = visit.session() {
            let digest = visit.privet().keys().session_digest(&visit.scope().tenant, session).await?;
            owners.push(Owner::Session(digest));
        }
        Ok(owners)
    }
}

impl Visit {
    /// The store knows better than the device's cookie: somebody else ended the grant. The device's choice is
    /// forgotten, so that the visitor is asked again, and with it whatever else was ended.
    async fn forget_grant(&self, category: &str, record: RecordId) -> Result<()> {
        let code = self.category(category)?.code;
        let latest = self.privet().store().latest_record(self.scope(), record).await?;
        let of_account = self.account().filter(|a| a.state.record == Some(record));
        let state = match &of_account {
            Some(account) => Some(account.state.clone()),
            None => self.device_state(),
        };
        if let Some(mut state) = state {
            let today = self.now().day();
            let ended = |c: CategoryCode| !latest.as_ref().is_some_and(|r| r.grants(c, self.now()));
            let codes: Vec<_> = state.choices().filter(|c| c.kept.is_granted()).map(|c| c.code).collect();
            for ended in codes.into_iter().filter(|c| *c == code || ended(*c)) {
                state = state.without(ended, today);
            }
            match of_account {
                Some(account) => self.keep_account(Some(AccountState { state, ..account }))?,
                None => self.decide_for_device(state)?,
            }
        }
        self.expire_contact();
        Ok(())
    }
}

impl Privet {
    /// Ends the key of a contact that is gone or on its way; whether it is. One that is frozen may come back, and is read
    /// with it then.
    pub(crate) async fn ends_key_of_gone(
        &self,
        scope: &Scope,
        id: ContactId,
        subject: SubjectDigest,
    ) -> Result<bool> {
        let gone = !self.store().contact_lives(scope, id).await?;
        if gone {
            self.keys().destroy_subject_key(&scope.tenant, subject).await?;
        }
        Ok(gone)
    }

    pub(crate) async fn read_conversation(
        &self,
        scope: &Scope,
        conversation: &Conversation,
        now: Timestamp,
    ) -> Result<Vec<Message>> {
        let latest = conversation.messages.saturating_sub(SHOWN_MESSAGES.into());
        self.read_messages(scope, conversation, latest, now).await
    }

    /// Up to [`SHOWN_MESSAGES`] after a number.
    pub(crate) async fn read_messages(
        &self,
        scope: &Scope,
        conversation: &Conversation,
        after: u32,
        now: Timestamp,
    ) -> Result<Vec<Message>> {
        let horizon = self.horizon(&scope.tenant, now).await?;
        let subject = self.subject_of(scope, conversation).await?;
        let stored = self.store().messages(scope, conversation.id, after, SHOWN_MESSAGES, &horizon).await?;
        let Some(key) = self.keys().existing_subject_key(&scope.tenant, subject).await? else {
            // An erasure took the key; its rows are on their way.
            return Ok(Vec::new());
        };
        match stored.iter().map(|m| open_message(scope, &key, m)).collect() {
            // Given to a contact between the two looks: it is read there.
            Err(Error::Corrupt { .. })
                if !self.owns(scope, conversation.owner, conversation.id, now).await? =>
            {
                Ok(Vec::new())
            }
            read => read,
        }
    }

    pub(super) async fn owns(
        &self,
        scope: &Scope,
        owner: Owner,
        conversation: ConversationId,
        now: Timestamp,
    ) -> Result<bool> {
        let horizon = self.horizon(&scope.tenant, now).await?;
        let found = self.store().conversation(scope, conversation, &horizon).await?;
        Ok(found.is_some_and(|c| c.owner == owner))
    }

    pub(crate) async fn subject_of(
        &self,
        scope: &Scope,
        conversation: &Conversation,
    ) -> Result<SubjectDigest> {
        match conversation.owner {
            Owner::Contact(contact) => self.keys().contact_digest(&scope.tenant, contact).await,
            Owner::Session(_) => self.keys().conversation_digest(&scope.tenant, conversation.id).await,
        }
    }
}

pub(crate) fn open_message(scope: &Scope, key: &SubjectKey, m: &StoredMessage) -> Result<Message> {
    let open = |field, sealed| key.open(scope, m.conversation.as_bytes(), field, sealed);
    Ok(Message {
        id: m.id,
        number: m.number,
        conversation: m.conversation,
        at: m.at,
        channel: m.channel,
        author: m.author,
        text: open(Field::Body, &m.body)?,
        page: m.page.as_ref().map(|p| open(Field::Page, p).map(PageUrl::from_stored)).transpose()?,
    })
}
