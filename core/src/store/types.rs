use std::fmt;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};

use super::lease::Lease;
use super::outbox::NewNotification;
use crate::catalogue::{CategoryCode, LegalBasis, category_id};
use crate::clock::Timestamp;
use crate::consent::{Act, ConsentRecord, Decision, RecordId, RecordedDecision};
use crate::contact::{
    Author, Channel, Contact, ContactId, Conversation, ConversationId, FenceEpoch, MessageId, Owner, Removed,
    Sealed,
};
use crate::error::Error;
use crate::key::Fingerprint;
use crate::retention::DataClass;
use crate::scope::Scope;

/// A keyed digest of a subject: 128 bits that name a person's or visit's data without saying whose they are to
/// anybody who has not got the tenant's pepper.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SubjectDigest([u8; 16]);

impl SubjectDigest {
    /// The bytes, as a store keeps them.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// A digest that a store kept.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// As text, for the ledger.
    #[must_use]
    pub fn encode(&self) -> String {
        HEXLOWER.encode(&self.0)
    }
}

impl fmt::Debug for SubjectDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SubjectDigest(..)")
    }
}

/// The right to do something that needs consent: scope, record and category. It is made from a
/// [`Granted`](crate::Granted) only; a store that takes it checks the record again in its own transaction.
#[derive(Clone, Debug)]
pub struct ConsentProof {
    pub(crate) scope: Scope,
    pub(crate) record: RecordId,
    pub(crate) category: CategoryCode,
}

impl ConsentProof {
    /// What a store answers when the proof does not hold.
    #[must_use]
    pub fn refused(&self) -> Error {
        let id =
            [category_id::FUNCTIONAL, category_id::ANALYTICS, category_id::MARKETING, category_id::CONTACTS]
                .into_iter()
                .find(|id| CategoryCode::built_in(id) == Some(self.category));
        Error::not_granted(id.map_or_else(|| format!("category {}", self.category.get()), str::to_owned))
    }

    /// Tenant and site.
    #[must_use]
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// The record that it stands on.
    #[must_use]
    pub fn record(&self) -> RecordId {
        self.record
    }

    /// The category that was granted.
    #[must_use]
    pub fn category(&self) -> CategoryCode {
        self.category
    }
}

/// A consent record to be appended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NewRecord {
    /// The record. Its `subject` counts only when it begins a line of its own.
    pub record: ConsentRecord,
    /// The record that the device held until now. The new one joins its line; one that is gone begins a line.
    pub follows: Option<RecordId>,
    /// On which other basis the contacts of the line are kept if it no longer grants them; else they are erased.
    pub keeps: Option<LegalBasis>,
    /// Whom to tell if it takes something away.
    pub notify: Vec<NewNotification>,
    /// Whether the contacts of the line are not known any more as whom the app knows them as, since it does not grant that.
    pub forgets: bool,
}

/// When the consent of a contact lapses that is kept on another basis: never.
pub const NEVER_LAPSES: Timestamp = Timestamp::from_millis(253_402_300_799_000);

/// What became of it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AppendedRecord {
    /// The record as it stands: the new one as it joined its line, or, for a withdrawal that changed nothing, the
    /// one before.
    pub record: ConsentRecord,
    /// The contacts of the line that it marked for erasure, since it no longer grants them, and that are still there.
    pub erasing: Vec<Erasing>,
}

impl AppendedRecord {
    /// What a store answers.
    #[must_use]
    pub fn new(record: ConsentRecord, erasing: Vec<Erasing>) -> Self {
        Self { record, erasing }
    }
}

impl NewRecord {
    /// A record that begins a line, or follows another one.
    #[must_use]
    pub fn new(record: ConsentRecord, follows: Option<RecordId>) -> Self {
        Self { record, follows, keeps: None, notify: Vec::new(), forgets: false }
    }

    /// With whether the contacts of the line are known no more.
    #[must_use]
    pub fn forgetting(mut self, forgets: bool) -> Self {
        self.forgets = forgets;
        self
    }

    /// With whom to tell if it takes something away.
    #[must_use]
    pub fn notifying(mut self, notify: Vec<NewNotification>) -> Self {
        self.notify = notify;
        self
    }

    /// With the basis on which contacts are kept that it no longer grants.
    #[must_use]
    pub fn keeping(mut self, basis: Option<LegalBasis>) -> Self {
        self.keeps = basis;
        self
    }
}

/// Rule 2, in one place for every store: a record as it joins its line, given the latest record of the line and
/// when the last one lapses. A grant stands as it is. Any other act takes away and gives nothing: what the line
/// does not grant now, for instance since another withdrawal came first, stays refused; and it stays for as long
/// as anything that it takes back. None when it takes nothing away; but a refusal, which an account keeps as long as a grant,
/// stands anew unless the line has said the same that day.
#[must_use]
pub fn joining_line(
    mut new: ConsentRecord,
    latest: Option<&ConsentRecord>,
    line_until: Option<Timestamp>,
) -> Option<ConsentRecord> {
    if let Some(latest) = latest {
        new.subject = latest.subject;
    }
    if new.act == Act::Grant {
        return Some(new);
    }
    let grants = |c: CategoryCode| latest.is_some_and(|l| l.grants(c, new.at));
    for d in new.decisions.iter_mut().filter(|d| d.decision == Decision::Granted && !grants(d.category)) {
        d.decision = Decision::Refused;
    }
    new.until = new.until.max(line_until.unwrap_or(new.until));
    let Some(latest) = latest else { return Some(new) };
    if new.act == Act::Refusal {
        // It says nothing about what it does not name: what the line refuses, and still grants, stands.
        let silent = |d: &&RecordedDecision| !new.decisions.iter().any(|n| n.category == d.category);
        let stands = |d: &&RecordedDecision| d.decision == Decision::Refused || grants(d.category);
        let kept: Vec<_> = latest.decisions.iter().filter(silent).filter(stands).copied().collect();
        new.decisions.extend(kept);
        new.decisions.sort_by_key(|d| d.category);
    }
    let takes = latest.decisions.iter().any(|d| grants(d.category) && !new.grants(d.category, new.at));
    let says_anew =
        new.act == Act::Refusal && (latest.at.day() != new.at.day() || latest.decisions != new.decisions);
    (takes || says_anew).then_some(new)
}

/// From when on each class of data is still there, computed once per call from the tenant's rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Horizon {
    /// The instant it was computed for.
    pub now: Timestamp,
    /// A contact seen before this is gone. Also gone is one whose consent has lapsed.
    pub contacts: Timestamp,
    /// A contact's conversation whose last message is older is gone.
    pub conversations: Timestamp,
    /// A visit's conversation whose last message is older is gone,
    pub sessions: Timestamp,
    /// unless a person was asked: then, one that was closed, or else had its last message, before this.
    pub support: Timestamp,
    /// A message older than this is gone.
    pub messages: Timestamp,
    /// A consent record whose decisions lapsed before this is gone.
    pub records: Timestamp,
    /// A count of a day before this one's is gone.
    pub counts: Timestamp,
    /// A notification that was settled before this is gone.
    pub notifications: Timestamp,
    /// What an operator did before this is gone.
    pub audit: Timestamp,
    /// Under which lease something is purged, if under one.
    pub lease: Option<Lease>,
}

impl Horizon {
    /// Nothing is gone yet.
    #[must_use]
    pub fn unlimited(now: Timestamp) -> Self {
        let never = Timestamp::from_millis(i64::MIN);
        Self {
            now,
            contacts: never,
            conversations: never,
            sessions: never,
            support: never,
            messages: never,
            records: never,
            counts: never,
            notifications: never,
            audit: never,
            lease: None,
        }
    }

    /// For somebody who purges under a lease: rule 18.
    #[must_use]
    pub fn under(mut self, lease: Option<Lease>) -> Self {
        self.lease = lease;
        self
    }

    /// Rule 7 for a contact.
    #[must_use]
    pub fn shows_contact(&self, contact: &Contact) -> bool {
        contact.frozen_until.is_none() && !self.ends_contact(contact)
    }

    /// Whether a contact is to be purged. One that is frozen is hidden before.
    #[must_use]
    pub fn ends_contact(&self, contact: &Contact) -> bool {
        contact.last_seen < self.contacts
            || contact.consent_until <= self.now
            || contact.frozen_until.is_some_and(|until| until <= self.now)
    }

    /// Rule 7 for a conversation, beside what holds for the contact it belongs to.
    #[must_use]
    pub fn shows_conversation(&self, conversation: &Conversation) -> bool {
        match conversation.owner {
            Owner::Contact(_) => conversation.last_message >= self.conversations,
            Owner::Session(_) if conversation.live_support => {
                conversation.closed.unwrap_or(conversation.last_message) >= self.support
            }
            Owner::Session(_) => conversation.last_message >= self.sessions,
        }
    }

    /// With another boundary for one class.
    #[must_use]
    pub fn with(mut self, class: DataClass, boundary: Timestamp) -> Self {
        match class {
            DataClass::Contacts => self.contacts = boundary,
            DataClass::Conversations => self.conversations = boundary,
            DataClass::SessionConversations => self.sessions = boundary,
            DataClass::SupportConversations => self.support = boundary,
            DataClass::Messages => self.messages = boundary,
            DataClass::ConsentRecords => self.records = boundary,
            DataClass::ConsentCounts => self.counts = boundary,
            DataClass::Notifications => self.notifications = boundary,
            DataClass::AuditEvents => self.audit = boundary,
        }
        self
    }
}

/// Who writes a message, and by what right.
#[derive(Clone, Debug)]
pub enum OwnerProof {
    /// A contact, on its consent.
    Contact {
        /// The consent.
        proof: ConsentProof,
        /// The contact.
        id: ContactId,
        /// Its epoch, as its cookie says.
        epoch: FenceEpoch,
        /// Its digest, as its fence has it.
        subject: SubjectDigest,
    },
    /// A visit: the visitor's own request for the service, and nothing else.
    Session {
        /// Digest of the session id.
        session: SubjectDigest,
        /// Digest of the conversation: the name of its key.
        subject: SubjectDigest,
    },
}

/// A message on its way into a store.
#[derive(Clone, Debug)]
pub struct MessageToStore {
    /// The conversation.
    pub conversation: ConversationId,
    /// Whether the message opens the conversation, under an id that nobody used before. If not, and the
    /// conversation is gone, it does not come back.
    pub opens: bool,
    /// The message's id.
    pub id: MessageId,
    /// When it came.
    pub at: Timestamp,
    /// How it came.
    pub channel: Channel,
    /// Who wrote it.
    pub author: Author,
    /// What was written.
    pub body: Sealed,
    /// The page it was sent from.
    pub page: Option<Sealed>,
    /// Of an operator's answer: whose the conversation was when it was sealed. Another owner has another key.
    pub owner: Option<Owner>,
}

impl MessageToStore {
    /// A message without page, into a conversation that is there.
    #[must_use]
    pub fn new(
        conversation: ConversationId,
        id: MessageId,
        at: Timestamp,
        channel: Channel,
        author: Author,
        body: Sealed,
    ) -> Self {
        Self { conversation, opens: false, id, at, channel, author, body, page: None, owner: None }
    }
}

/// A message as a store keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredMessage {
    /// The conversation.
    pub conversation: ConversationId,
    /// Its number in the conversation, from 1.
    pub number: u32,
    /// Its id.
    pub id: MessageId,
    /// When it came.
    pub at: Timestamp,
    /// How it came.
    pub channel: Channel,
    /// Who wrote it.
    pub author: Author,
    /// What was written.
    pub body: Sealed,
    /// The page it was sent from.
    pub page: Option<Sealed>,
}

impl StoredMessage {
    /// A message that is being stored under this number.
    #[must_use]
    pub fn new(message: MessageToStore, number: u32) -> Self {
        let MessageToStore { conversation, id, at, channel, author, body, page, opens: _, owner: _ } =
            message;
        Self { conversation, number, id, at, channel, author, body, page }
    }
}

/// A conversation on its way to a contact, because the visitor said so: from a visit, or from another contact of theirs.
#[derive(Clone, Debug)]
pub struct Adoption {
    /// The consent to contacts.
    pub proof: ConsentProof,
    /// The contact that takes it.
    pub contact: ContactId,
    /// Its epoch.
    pub epoch: FenceEpoch,
    /// Its digest.
    pub subject: SubjectDigest,
    /// Who gives it.
    pub from: Owner,
    /// The conversation.
    pub conversation: ConversationId,
    /// Every text of it, sealed anew with the contact's key, by number.
    pub texts: Vec<Resealed>,
    /// When.
    pub at: Timestamp,
}

/// The texts of a message, sealed with another key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resealed {
    /// The message's number.
    pub number: u32,
    /// What was written.
    pub body: Sealed,
    /// The page it was sent from.
    pub page: Option<Sealed>,
}

/// A contact's most recent activity on its way into a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContactTouch {
    /// Tenant and site.
    pub scope: Scope,
    /// The contact.
    pub id: ContactId,
    /// Its epoch, as its cookie says.
    pub epoch: FenceEpoch,
    /// The activity, floored.
    pub at: Timestamp,
    /// A contact that was last seen before this is gone, and no touch brings it back.
    pub gone_before: Timestamp,
}

/// Where a page of contacts ended: the order is most recent activity first, then id, both descending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContactCursor {
    /// The last one's activity.
    pub last_seen: Timestamp,
    /// The last one's id.
    pub id: ContactId,
}

/// Why something is erased.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ErasureCause {
    /// Its consent was withdrawn (GDPR Art. 17(1)(b)).
    Withdrawal,
    /// Somebody asked for it.
    Request,
    /// Its time is over; the rules find it again after a restore, so the ledger does not name it.
    Retention,
}

impl ErasureCause {
    /// The stable number that stores keep.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Withdrawal => 1,
            Self::Request => 2,
            Self::Retention => 3,
        }
    }

    /// The cause that a store kept.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Withdrawal),
            2 => Some(Self::Request),
            3 => Some(Self::Retention),
            _ => None,
        }
    }
}

/// What is being erased.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErasingKind {
    /// A contact with its conversations and messages.
    Contact(ContactId),
    /// A conversation with its messages.
    Conversation(ConversationId),
}

/// Something that is marked, hidden and fenced, and whose rows are still to go.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Erasing {
    /// Tenant and site.
    pub scope: Scope,
    /// What.
    pub kind: ErasingKind,
    /// Whose key has to go first; none for a conversation of a contact that stays.
    pub subject: Option<SubjectDigest>,
    /// Why.
    pub cause: ErasureCause,
}

impl Erasing {
    /// What a store found to be erased.
    #[must_use]
    pub fn new(scope: Scope, kind: ErasingKind, subject: Option<SubjectDigest>, cause: ErasureCause) -> Self {
        Self { scope, kind, subject, cause }
    }
}

/// One bounded step of erasures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct EraseStep {
    /// What this step took away.
    pub removed: Removed,
    /// Of how many, from the first on, nothing is left.
    pub done: usize,
}

impl EraseStep {
    /// Goes through erasures until `max` rows are taken away: `erase` takes up to so many rows of one, and says
    /// whether nothing is left of it. What every store's step has in common.
    ///
    /// # Errors
    /// What `erase` says.
    pub fn walk<E>(
        erasing: &[Erasing],
        max: u32,
        mut erase: impl FnMut(&Erasing, u32) -> Result<(Removed, bool), E>,
    ) -> Result<Self, E> {
        let mut step = Self::default();
        let mut left = max;
        for each in erasing {
            let (removed, done) = erase(each, left)?;
            step.removed += removed;
            step.done += usize::from(done);
            left = left.saturating_sub(u32::try_from(removed.rows()).unwrap_or(u32::MAX));
            if !done || left == 0 {
                break;
            }
        }
        Ok(step)
    }
}

/// What a store is told when it is opened.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct OpenInfo {
    /// The name of the installation key.
    pub key: Fingerprint,
    /// The name of the key before, while a rotation runs.
    pub previous_key: Option<Fingerprint>,
}

impl OpenInfo {
    /// From the installation's keys.
    #[must_use]
    pub fn new(keys: &crate::KeyRing) -> Self {
        Self { key: keys.fingerprint(), previous_key: keys.previous_fingerprint() }
    }

    /// Rule 11, in one place for every store: what to keep, given what was kept.
    ///
    /// # Errors
    /// [`Error::Key`](crate::Error::Key) when the store was opened with another key before, when an installation is being moved
    /// into it, and when one was moved out of it.
    pub fn check(&self, kept: Option<Fingerprint>) -> crate::Result<Fingerprint> {
        match kept {
            Some(Fingerprint::MOVING) => Err(Error::Key {
                what: "an installation is being moved into this store, which is not whole yet".to_owned(),
                cure: "finish the move, and start on this store then; until then the one before serves".to_owned(),
                source: None,
            }),
            Some(Fingerprint::MOVED) => Err(Error::Key {
                what: "this installation was moved to another store".to_owned(),
                cure: "start on that one; what is written here from now on would be missing there".to_owned(),
                source: None,
            }),
            Some(kept) if kept != self.key && Some(kept) != self.previous_key => Err(Error::Key {
                what: "the store was made with another installation key".to_owned(),
                cure: "start with the key file that belongs to this store; to change the key, put the new one in the first line of the file and leave the old one in the second".to_owned(),
                source: None,
            }),
            _ => Ok(self.key),
        }
    }
}
