use serde::Serialize;

use super::id::{ContactId, ConversationId, FenceEpoch, MessageId};
use super::page_url::PageUrl;
use crate::catalogue::{CategoryCode, LegalBasis};
use crate::clock::{Timestamp, as_rfc3339};
use crate::consent::{ConsentRecord, RecordId};
use crate::error::{Error, Result};
use crate::ip::CountryCode;
use crate::key::Mac;
use crate::store::{ContactIdentity, SubjectDigest};

/// How a message reached the site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Channel {
    /// A question to the site's own search.
    AiSearch,
    /// A message to a person.
    LiveSupport,
}

impl Channel {
    /// The stable number that stores keep.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::AiSearch => 1,
            Self::LiveSupport => 2,
        }
    }

    /// The channel that a store kept.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::AiSearch),
            2 => Some(Self::LiveSupport),
            _ => None,
        }
    }
}

/// Who wrote a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Author {
    /// The visitor.
    Visitor,
    /// The site, by program.
    Assistant,
    /// The site, by a person.
    Agent,
}

impl Author {
    /// The stable number that stores keep.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Visitor => 1,
            Self::Assistant => 2,
            Self::Agent => 3,
        }
    }

    /// The author that a store kept.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Visitor),
            2 => Some(Self::Assistant),
            3 => Some(Self::Agent),
            _ => None,
        }
    }

    /// Whether somebody waits for a person after a message of this author; none when it is as before: what a program says
    /// answers nobody who waits for a person.
    #[must_use]
    pub const fn awaits_answer(self) -> Option<bool> {
        match self {
            Self::Visitor => Some(true),
            Self::Agent => Some(false),
            Self::Assistant => None,
        }
    }
}

/// A browser that its visitor allowed to be recognised. Not a person: two browsers of one person are two
/// contacts, and two persons at one browser are one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact {
    /// Its persistent, random id.
    pub id: ContactId,
    /// Its generation.
    pub epoch: FenceEpoch,
    /// Keyed digest of the id: the name of its key, its fence and its ledger entries.
    pub subject: SubjectDigest,
    /// The country it was opened from, if that was known.
    pub country: Option<CountryCode>,
    /// When it was opened.
    pub created: Timestamp,
    /// Most recent activity, floored (see [`Builder::last_seen_every`](crate::Builder::last_seen_every)).
    pub last_seen: Timestamp,
    /// How many conversations it has.
    pub conversations: u32,
    /// The record that proves the consent it exists on.
    pub consent: RecordId,
    /// When that consent lapses.
    pub consent_until: Timestamp,
    /// The fingerprint of what that consent was about.
    pub material: [u8; 3],
    /// Until when it is frozen, since the site asks for something else today than its visitor agreed to: it is shown to
    /// nobody, nothing is written to it, and then it is erased, unless the visitor agrees anew.
    pub frozen_until: Option<Timestamp>,
    /// On which other basis it is kept since the consent was withdrawn.
    pub kept_on: Option<LegalBasis>,
    /// Whether an operator has blocked it: it is shown, and nothing that it writes is taken.
    pub blocked: bool,
    /// What the app knows it as, if the app has said so.
    pub identity: Option<ContactIdentity>,
}

/// A contact as lists and exports have it, in the order of their columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ContactSummary {
    /// Its id.
    pub id: ContactId,
    /// ISO 3166-1 code of the country it was opened from, an estimate.
    pub country: Option<CountryCode>,
    /// When it was opened: RFC 3339, UTC.
    #[serde(serialize_with = "as_rfc3339")]
    pub created: Timestamp,
    /// Most recent activity: RFC 3339, UTC.
    #[serde(serialize_with = "as_rfc3339")]
    pub last_seen: Timestamp,
    /// How many conversations it has.
    pub conversations: u32,
}

impl From<&Contact> for ContactSummary {
    fn from(c: &Contact) -> Self {
        Self {
            id: c.id,
            country: c.country,
            created: c.created,
            last_seen: c.last_seen,
            conversations: c.conversations,
        }
    }
}

impl Contact {
    /// A contact as a store keeps it: just opened.
    #[must_use]
    pub fn opened(
        id: ContactId,
        epoch: FenceEpoch,
        subject: SubjectDigest,
        at: Timestamp,
        consent: RecordId,
        consent_until: Timestamp,
    ) -> Self {
        Self {
            id,
            epoch,
            subject,
            country: None,
            created: at,
            last_seen: at,
            conversations: 0,
            consent,
            consent_until,
            material: [0; 3],
            frozen_until: None,
            kept_on: None,
            blocked: false,
            identity: None,
        }
    }

    /// Stands on a record from now on, which grants contacts: the code given.
    pub(crate) fn stand_on(&mut self, record: &ConsentRecord, contacts: CategoryCode) {
        self.consent = record.id;
        self.consent_until = record.until;
        self.material = record.fingerprint_of(contacts).unwrap_or_default();
        self.frozen_until = None;
        self.kept_on = None;
    }
}

/// Whose a conversation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Owner {
    /// A contact's.
    Contact(ContactId),
    /// A visit's, without consent to contacts; by a keyed digest of its session id.
    Session(SubjectDigest),
}

impl Owner {
    /// The stable number of what a contact owns, as stores keep it.
    pub const CONTACT: u8 = 1;
    /// The stable number of what a visit owns, as stores keep it.
    pub const SESSION: u8 = 2;

    /// Its kind and its key, as stores keep them.
    #[must_use]
    pub const fn parts(&self) -> (u8, &[u8; 16]) {
        match self {
            Self::Contact(id) => (Self::CONTACT, id.as_bytes()),
            Self::Session(session) => (Self::SESSION, session.as_bytes()),
        }
    }

    /// The owner that a store kept.
    #[must_use]
    pub const fn from_parts(kind: u8, key: [u8; 16]) -> Option<Self> {
        match kind {
            Self::CONTACT => Some(Self::Contact(ContactId::from_bytes(key))),
            Self::SESSION => Some(Self::Session(SubjectDigest::from_bytes(key))),
            _ => None,
        }
    }
}

/// An exchange of messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conversation {
    /// Its random id.
    pub id: ConversationId,
    /// Whose it is.
    pub owner: Owner,
    /// When it began.
    pub opened: Timestamp,
    /// When it was closed, if it was.
    pub closed: Option<Timestamp>,
    /// When the last message came.
    pub last_message: Timestamp,
    /// How many messages it had, so that each gets a number of its own.
    pub messages: u32,
    /// Whether a person was asked.
    pub live_support: bool,
    /// Whether the visitor wrote since a person last did, so that they wait for an answer; what a program says is none.
    pub awaits_answer: bool,
}

impl Conversation {
    /// A conversation that begins now.
    #[must_use]
    pub fn opened(id: ConversationId, owner: Owner, at: Timestamp) -> Self {
        Self {
            id,
            owner,
            opened: at,
            closed: None,
            last_message: at,
            messages: 0,
            live_support: false,
            awaits_answer: false,
        }
    }
}

/// A message as the visitor sees it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Message {
    /// Its id.
    pub id: MessageId,
    /// Its number in the conversation, from 1.
    pub number: u32,
    /// The conversation.
    pub conversation: ConversationId,
    /// When it came.
    #[serde(serialize_with = "as_rfc3339")]
    pub at: Timestamp,
    /// How it came.
    pub channel: Channel,
    /// Who wrote it.
    pub author: Author,
    /// What was written.
    pub text: String,
    /// The page it was sent from; only under a contact.
    #[serde(serialize_with = "as_text", skip_serializing_if = "Option::is_none")]
    pub page: Option<PageUrl>,
}

fn as_text<S: serde::Serializer>(page: &Option<PageUrl>, s: S) -> std::result::Result<S::Ok, S::Error> {
    page.as_ref().map(PageUrl::as_str).serialize(s)
}

/// The longest text of a message, in bytes.
const MAX_TEXT: usize = 16 * 1024;

/// A message to be stored.
#[derive(Clone)]
pub struct NewMessage {
    pub(crate) id: Option<MessageId>,
    pub(crate) channel: Channel,
    pub(crate) author: Author,
    pub(crate) text: String,
    pub(crate) page: Option<PageUrl>,
}

/// Without the text, which belongs to a visitor.
impl std::fmt::Debug for NewMessage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewMessage")
            .field("channel", &self.channel)
            .field("author", &self.author)
            .finish_non_exhaustive()
    }
}

impl NewMessage {
    /// A message of the visitor.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the text is empty or longer than 16 KiB.
    pub fn new(channel: Channel, text: impl Into<String>) -> Result<Self> {
        let text = text.into();
        if text.trim().is_empty() {
            return Err(Error::invalid("the message is empty", "send some text"));
        }
        if text.len() > MAX_TEXT {
            return Err(Error::invalid("the message is longer than 16 KiB", "send a shorter text"));
        }
        Ok(Self { id: None, channel, author: Author::Visitor, text, page: None })
    }

    /// The page it was sent from. Kept only under a contact.
    #[must_use]
    pub fn page(mut self, page: Option<PageUrl>) -> Self {
        self.page = page;
        self
    }

    /// An id that the sender drew, so that a message that arrives twice is stored once.
    #[must_use]
    pub fn id(mut self, id: MessageId) -> Self {
        self.id = Some(id);
        self
    }

    /// Written by the site instead.
    #[must_use]
    pub fn author(mut self, author: Author) -> Self {
        self.author = author;
        self
    }
}

/// What became of a message.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Posted {
    /// The conversation it is in.
    pub conversation: ConversationId,
    /// Its id.
    pub message: MessageId,
    /// The contact it is under, if there is one.
    pub contact: Option<ContactId>,
    /// Key of the pseudonyms within this conversation.
    pub(crate) pseudonym_key: Mac,
}

/// What an erasure took away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Removed {
    /// Contacts.
    pub contacts: u64,
    /// Conversations.
    pub conversations: u64,
    /// Messages.
    pub messages: u64,
    /// Notes of operators.
    pub notes: u64,
    /// Consent records.
    pub records: u64,
    /// Consent records that stayed, cut from the person: whose they were cannot be told any more.
    pub severed: u64,
}

impl std::ops::AddAssign for Removed {
    fn add_assign(&mut self, other: Self) {
        self.contacts += other.contacts;
        self.conversations += other.conversations;
        self.messages += other.messages;
        self.notes += other.notes;
        self.records += other.records;
        self.severed += other.severed;
    }
}

impl Removed {
    /// Whether nothing was taken away.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// How many rows that were in all.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.contacts + self.conversations + self.messages + self.notes + self.records + self.severed
    }

    /// So many of each.
    #[must_use]
    pub fn new(contacts: u64, conversations: u64, messages: u64, records: u64) -> Self {
        Self { contacts, conversations, messages, records, notes: 0, severed: 0 }
    }
}
