//! What operators read and do, as units of work.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use super::types::{ConsentProof, ContactCursor, Horizon, MessageToStore, StoredMessage, SubjectDigest};
use crate::catalogue::CategoryCode;
use crate::clock::{Day, Timestamp};
use crate::contact::{
    ContactFilter, ContactId, ContactSummary, Conversation, ConversationId, FenceEpoch, NoteId, Removed,
    Sealed,
};
use crate::error::Result;
use crate::ip::CountryCode;
use crate::portal::{AuditEvent, AuditId};
use crate::scope::{Scope, Tenant};

/// Which way a page goes from its cursor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Direction {
    /// To contacts that were seen longer ago.
    #[default]
    Older,
    /// Back to contacts that were seen more recently.
    Newer,
}

/// Part of a contact list, as a store is asked for it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ContactQuery {
    /// Which contacts.
    pub filter: ContactFilter,
    /// Nobody who was seen after this.
    pub as_of: Timestamp,
    /// Beyond this place.
    pub after: Option<ContactCursor>,
    /// To which side of it.
    pub direction: Direction,
    /// How many at most.
    pub limit: u16,
}

impl ContactQuery {
    /// The first contacts of the whole list.
    #[must_use]
    pub fn first(limit: u16) -> Self {
        Self {
            filter: ContactFilter::default(),
            as_of: Timestamp::from_millis(i64::MAX),
            after: None,
            direction: Direction::Older,
            limit,
        }
    }

    /// Beyond a place.
    #[must_use]
    pub fn after(mut self, cursor: Option<ContactCursor>) -> Self {
        self.after = cursor;
        self
    }

    /// To which side.
    #[must_use]
    pub fn towards(mut self, direction: Direction) -> Self {
        self.direction = direction;
        self
    }

    /// Only these.
    #[must_use]
    pub fn only(mut self, filter: ContactFilter) -> Self {
        self.filter = filter;
        self
    }

    /// Nobody who was seen after this.
    #[must_use]
    pub fn as_of(mut self, at: Timestamp) -> Self {
        self.as_of = at;
        self
    }
}

/// An operator's note on a contact, as a store keeps it. It goes with the contact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredNote {
    /// Its id.
    pub id: NoteId,
    /// The contact.
    pub contact: ContactId,
    /// When it was written.
    pub at: Timestamp,
    /// Who wrote it.
    pub author: String,
    /// What was written, sealed with the contact's key.
    pub body: Sealed,
}

/// How many notes a contact can have.
pub const MAX_NOTES: u32 = 100;

/// How many of something there were on a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DayCount {
    /// The day, UTC.
    pub day: Day,
    /// How many.
    pub count: u64,
}

/// How a category was decided in the grants of a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DayDecisions {
    /// The day, UTC.
    pub day: Day,
    /// The category.
    pub category: CategoryCode,
    /// In so many grants it was granted,
    pub granted: u64,
    /// and in so many refused.
    pub refused: u64,
}

/// Figures about a site, exact: whoever shows them hides small groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SiteFigures {
    /// Contacts by country, the largest group first; none for those whose country is not known.
    pub countries: Vec<(Option<CountryCode>, u64)>,
    /// Contacts by the day they were opened on.
    pub contacts: Vec<DayCount>,
    /// Conversations by the day they were opened on.
    pub conversations: Vec<DayCount>,
    /// What grants said, by day and category.
    pub decisions: Vec<DayDecisions>,
}

/// One moment of a site's contacts and conversations: what is written after it was opened is not in it. It is dropped
/// when nobody reads on, since it keeps old versions of what changes.
#[async_trait]
pub trait Snapshot: fmt::Debug + Send {
    /// How old the moment was already when it was opened, where it is a copy's that follows; none where it was the present.
    fn behind(&self) -> Option<Duration> {
        None
    }

    /// Contacts, each once, in an order of the store's own: the first ones, or those after the last one that it gave.
    async fn contacts(&mut self, after: Option<ContactId>, limit: u16) -> Result<Vec<ContactSummary>>;

    /// Conversations in the order of their ids, after one of them.
    async fn conversations(&mut self, after: Option<ConversationId>, limit: u16)
    -> Result<Vec<Conversation>>;

    /// Messages of a conversation in order, after a number.
    async fn messages(
        &mut self,
        conversation: ConversationId,
        after: u32,
        limit: u16,
    ) -> Result<Vec<StoredMessage>>;
}

/// What operators read and do, and what is written down of it.
#[async_trait]
pub trait PortalStore: fmt::Debug + Send + Sync {
    /// How old lists and figures are, about, where they are read from a copy that follows; none where they are of the present.
    /// Who [looks for somebody](ContactFilter::looks_for_somebody) reads the present anyway.
    async fn lists_behind(&self) -> Result<Option<Duration>> {
        Ok(None)
    }

    /// How many contacts a filter fits, counted up to `cap`.
    async fn count_contacts(
        &self,
        scope: &Scope,
        filter: &ContactFilter,
        as_of: Timestamp,
        cap: u32,
        horizon: &Horizon,
    ) -> Result<u32>;

    /// What an erasure of a contact on request would take away, but for its records: with it goes whatever else stands on
    /// its line of consent. None when there is no such contact.
    async fn contact_contents(
        &self,
        scope: &Scope,
        id: ContactId,
        horizon: &Horizon,
    ) -> Result<Option<Removed>>;

    /// A conversation.
    async fn conversation(
        &self,
        scope: &Scope,
        id: ConversationId,
        horizon: &Horizon,
    ) -> Result<Option<Conversation>>;

    /// Conversations in which a person was asked and that are not closed, the latest first.
    async fn open_conversations(
        &self,
        scope: &Scope,
        limit: u16,
        horizon: &Horizon,
    ) -> Result<Vec<Conversation>>;

    /// Stores an operator's message. Atomic with the check that the conversation, and the contact whose it is, are there
    /// and neither is being erased. Neither `last_seen` nor the counter of conversations changes.
    ///
    /// # Errors
    /// `NotFound` when it is not there; `Conflict` when it is closed.
    async fn answer(
        &self,
        scope: &Scope,
        message: &MessageToStore,
        horizon: &Horizon,
    ) -> Result<StoredMessage>;

    /// Takes one message away; false when there is none. Its number is not given again, and whoever sends it once more is
    /// told that it is there, while nothing is stored.
    async fn erase_message(&self, scope: &Scope, conversation: ConversationId, number: u32) -> Result<bool>;

    /// Says whether a contact may write. False when there is no such contact.
    async fn set_blocked(
        &self,
        scope: &Scope,
        id: ContactId,
        blocked: bool,
        horizon: &Horizon,
    ) -> Result<bool>;

    /// Keeps what the app knows a contact as. Atomic with the check of both proofs, which are of one line, so that a record
    /// of the contact's line that forgets it is the end of either, and of the fence.
    ///
    /// # Errors
    /// `NotGranted`, `Fenced`, `NotFound`, `Blocked`.
    async fn identify_contact(&self, identification: &Identification, horizon: &Horizon) -> Result<()>;

    /// Keeps a note on a contact, which can have [`MAX_NOTES`]. Atomic with the check that the contact is there.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when it has as many notes as it can have.
    async fn add_note(&self, scope: &Scope, note: &StoredNote, horizon: &Horizon) -> Result<()>;

    /// The notes on a contact, the oldest first.
    async fn notes(&self, scope: &Scope, contact: ContactId, horizon: &Horizon) -> Result<Vec<StoredNote>>;

    /// Takes a note away; false when there is none.
    async fn erase_note(&self, scope: &Scope, contact: ContactId, note: NoteId) -> Result<bool>;

    /// Figures about a site: countries of all contacts, and what happened in a span of days, both included.
    async fn figures(&self, scope: &Scope, from: Day, to: Day, horizon: &Horizon) -> Result<SiteFigures>;

    /// Opens one moment of a site to read.
    async fn snapshot(&self, scope: &Scope, horizon: &Horizon) -> Result<Box<dyn Snapshot>>;

    /// Keeps an event, durably. The same one again changes nothing.
    async fn append_audit(&self, event: &AuditEvent) -> Result<()>;

    /// A tenant's events, the latest first, before one of them.
    async fn audit(
        &self,
        tenant: &Tenant,
        before: Option<(Timestamp, AuditId)>,
        limit: u16,
    ) -> Result<Vec<AuditEvent>>;
}

/// The figures of a site from its parts, in one place for every store: the order of each list.
#[must_use]
pub fn sorted_figures(mut figures: SiteFigures) -> SiteFigures {
    figures.countries.sort_by_key(|(country, count)| (std::cmp::Reverse(*count), *country));
    figures.contacts.sort();
    figures.conversations.sort();
    figures.decisions.sort();
    figures
}

/// Adds up what grants of a span of days said about each category, in one place for every store.
#[derive(Debug, Default)]
pub struct DecisionsByDay(std::collections::BTreeMap<(Day, CategoryCode), (u64, u64)>);

impl DecisionsByDay {
    /// Counts a record, if it is a grant.
    pub fn count(
        &mut self,
        act: crate::consent::Act,
        at: Timestamp,
        decisions: &[crate::consent::RecordedDecision],
    ) {
        if act == crate::consent::Act::Grant {
            self.count_grants(at.day(), decisions, 1);
        }
    }

    /// Counts grants of one day that say the same, as many as there are.
    pub fn count_grants(&mut self, day: Day, decisions: &[crate::consent::RecordedDecision], grants: u64) {
        for d in decisions {
            let (granted, refused) = self.0.entry((day, d.category)).or_default();
            match d.decision {
                crate::consent::Decision::Granted => *granted += grants,
                crate::consent::Decision::Refused => *refused += grants,
                crate::consent::Decision::Unknown => {}
            }
        }
    }

    /// What was counted, by day and category.
    #[must_use]
    pub fn finish(self) -> Vec<DayDecisions> {
        let all = self.0.into_iter();
        all.map(|((day, category), (granted, refused))| DayDecisions { day, category, granted, refused })
            .collect()
    }
}

/// The name of an identity: what a contact that the app knows is found by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContactIdentity {
    /// Keyed digest of the identity.
    pub digest: SubjectDigest,
    /// The identity, sealed with the contact's key.
    pub sealed: Sealed,
}

/// A contact on its way to be known.
#[derive(Clone, Debug)]
pub struct Identification {
    /// The consent to contacts.
    pub contacts: ConsentProof,
    /// The consent to being known.
    pub identity: ConsentProof,
    /// The contact.
    pub id: ContactId,
    /// Its epoch, as its cookie says.
    pub epoch: FenceEpoch,
    /// Its digest, as its fence has it.
    pub subject: SubjectDigest,
    /// What it is known as.
    pub known_as: ContactIdentity,
    /// When.
    pub at: Timestamp,
}
