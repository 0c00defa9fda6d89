use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use super::chain::{ChainLink, Chained};
use super::counts::CountBatch;
use super::lease::LeaseStore;
use super::outbox::{Attempted, Notification, NotificationId};
use super::portal::{ContactQuery, Identification, PortalStore, SiteFigures, Snapshot, StoredNote};
use super::types::{
    Adoption, AppendedRecord, ConsentProof, ContactTouch, EraseStep, Erasing, ErasureCause, Horizon,
    MessageToStore, NewRecord, OpenInfo, OwnerProof, StoredMessage, SubjectDigest,
};
use crate::catalogue::{NewStatement, StatementVersion};
use crate::clock::{Day, Timestamp};
use crate::consent::{ConsentCount, ConsentRecord, NoticeId, NoticeSnapshot, RecordId};
use crate::contact::{
    Contact, ContactFilter, ContactId, ContactSummary, Conversation, ConversationId, NoteId, Owner, Removed,
};
use crate::error::Result;
use crate::portal::{AuditEvent, AuditId};
use crate::retention::{DataClass, RetentionRule};
use crate::scope::{Scope, Tenant};

/// Notices and consent records.
#[async_trait]
pub trait ConsentStore: fmt::Debug + Send + Sync {
    /// Keeps a notice that is about to be shown. The same one again changes nothing.
    async fn publish_notice(&self, scope: &Scope, notice: &NoticeSnapshot) -> Result<()>;

    /// A notice that was shown once, byte by byte.
    async fn notice(&self, scope: &Scope, id: NoticeId) -> Result<Option<NoticeSnapshot>>;

    /// Publishes a site's statement, under the next number and with this date, unless the latest version has the same
    /// content. The latest version afterwards. Versions are never changed.
    async fn publish_statement(
        &self,
        scope: &Scope,
        statement: &NewStatement,
        at: Timestamp,
    ) -> Result<StatementVersion>;

    /// Every version of a site's statement, the first one first.
    async fn statements(&self, scope: &Scope) -> Result<Vec<StatementVersion>>;

    /// Appends a record to its line, durably. In the same transaction: contacts of the line get the new
    /// record as theirs while it grants `contacts`, the category code given; otherwise they are marked for
    /// erasure, hidden and fenced until `fence_until`. A record whose id is there already changes nothing, and is
    /// answered with what is still marked of its line, so that whoever did not hear the first answer goes on with it.
    async fn append_record(
        &self,
        new: &NewRecord,
        contacts: crate::catalogue::CategoryCode,
        fence_until: Timestamp,
    ) -> Result<AppendedRecord>;

    /// A record by its id.
    async fn record(&self, scope: &Scope, id: RecordId) -> Result<Option<ConsentRecord>>;

    /// The latest record of the line that a record stands in.
    async fn latest_record(&self, scope: &Scope, id: RecordId) -> Result<Option<ConsentRecord>>;

    /// The latest record of a line, by its digest: what an account decided.
    async fn line_head(&self, scope: &Scope, line: SubjectDigest) -> Result<Option<ConsentRecord>>;

    /// Every record of the line that a record stands in, the oldest first: the visitor's history.
    async fn line(&self, scope: &Scope, id: RecordId) -> Result<Vec<ConsentRecord>>;

    /// Whether a proof still holds: what queued work asks when it runs.
    async fn holds(&self, proof: &ConsentProof, now: Timestamp) -> Result<bool>;

    /// The links of a tenant's chain after one, in order, each with its record as long as that is there.
    async fn chain(&self, tenant: &Tenant, after: Option<&ChainLink>, limit: u16) -> Result<Vec<Chained>>;

    /// The last link of every tenant that has one.
    async fn chain_heads(&self) -> Result<Vec<(Tenant, ChainLink)>>;

    /// How many records of a tenant stand beside the chain, which no unit of work leaves.
    async fn unchained_records(&self, tenant: &Tenant) -> Result<u64>;

    /// Adds a tenant's counts to the daily ones, to each what is there already: all of them or none. A batch at or below the
    /// last one that its writer brought changes nothing.
    async fn add_consent_counts(&self, batch: &CountBatch) -> Result<()>;

    /// The daily counts of a site from a day to a day, both included, by day, kind and notice.
    async fn consent_counts(&self, scope: &Scope, from: Day, to: Day) -> Result<Vec<ConsentCount>>;
}

/// Contacts.
#[async_trait]
pub trait ContactStore: fmt::Debug + Send + Sync {
    /// Opens a contact, or gives the one that is there. Atomic with the check of the proof and of the fence.
    ///
    /// # Errors
    /// `NotGranted`, `Fenced`, `NotFound` when the line has a contact that is frozen: it does not get another one.
    async fn open_contact(&self, proof: &ConsentProof, contact: &Contact) -> Result<Contact>;

    /// Moves `last_seen` of many contacts forward; what is fenced, hidden, gone or newer stays. How many moved.
    async fn touch_contacts(&self, touches: &[ContactTouch]) -> Result<u64>;

    /// A contact.
    async fn contact(&self, scope: &Scope, id: ContactId, horizon: &Horizon) -> Result<Option<Contact>>;

    /// Whether a contact is there and not marked for erasure, frozen or past its horizon as it may be. While it is, what it
    /// holds may be read again, and its key stays.
    async fn contact_lives(&self, scope: &Scope, id: ContactId) -> Result<bool>;

    /// Part of the list of contacts, always by most recent activity first, whichever way it is asked for.
    async fn contacts(
        &self,
        scope: &Scope,
        query: &ContactQuery,
        horizon: &Horizon,
    ) -> Result<Vec<ContactSummary>>;

    /// Freezes contacts of a site whose consent was about something else than what these fingerprints stand for, until
    /// `until`, and thaws those that are frozen and whose consent is about it; those kept on another basis stay as they
    /// are. Goes through up to `max` contacts after an id; answers the last one it saw, none at the end.
    async fn freeze_contacts(
        &self,
        scope: &Scope,
        current: &[[u8; 3]],
        until: Timestamp,
        after: Option<ContactId>,
        max: u32,
    ) -> Result<Option<ContactId>>;

    /// Marks a contact for erasure: from the commit on it is hidden and fenced until `fence_until`. None
    /// when there is no such contact.
    async fn begin_contact_erasure(
        &self,
        scope: &Scope,
        id: ContactId,
        cause: ErasureCause,
        fence_until: Timestamp,
    ) -> Result<Option<Erasing>>;
}

/// Conversations and messages.
#[async_trait]
pub trait ConversationStore: fmt::Debug + Send + Sync {
    /// The owner's open conversation with a message since `since`.
    async fn running_conversation(
        &self,
        scope: &Scope,
        owner: Owner,
        since: Timestamp,
        horizon: &Horizon,
    ) -> Result<Option<Conversation>>;

    /// Stores a message. Atomic with the check of the proof and of the fence, the opening of the conversation
    /// and its counter, and the contact's activity.
    ///
    /// # Errors
    /// `NotGranted`, `Fenced`, `NotFound` when the contact is not there. `Conflict` when the conversation is not
    /// there, is being erased or is somebody else's, and, if the message opens it, when the owner has another one
    /// running since `since`: look again and repeat.
    async fn record_message(
        &self,
        scope: &Scope,
        owner: &OwnerProof,
        message: &MessageToStore,
        since: Timestamp,
        horizon: &Horizon,
    ) -> Result<StoredMessage>;

    /// The owner's conversations, the latest first.
    async fn conversations(
        &self,
        scope: &Scope,
        owner: Owner,
        limit: u16,
        horizon: &Horizon,
    ) -> Result<Vec<Conversation>>;

    /// Messages of a conversation after a number, in order.
    async fn messages(
        &self,
        scope: &Scope,
        conversation: ConversationId,
        after: u32,
        limit: u16,
        horizon: &Horizon,
    ) -> Result<Vec<StoredMessage>>;

    /// Closes a conversation; one that is closed stays as it is. False when there is none.
    async fn close_conversation(
        &self,
        scope: &Scope,
        id: ConversationId,
        at: Timestamp,
        horizon: &Horizon,
    ) -> Result<bool>;

    /// Gives a conversation to a contact. Atomic with the check of the proof and of the fence, the counters of both sides, and
    /// the exchange of every sealed text.
    ///
    /// # Errors
    /// `NotGranted`, `Fenced`, `NotFound`, `Blocked`, and `Conflict` when a message came in between.
    async fn adopt_conversation(&self, adoption: &Adoption, horizon: &Horizon) -> Result<()>;

    /// Marks a conversation for erasure: from the commit on it is hidden, and its contact's counter is lower.
    /// None when there is no such conversation.
    async fn begin_conversation_erasure(&self, scope: &Scope, id: ConversationId) -> Result<Option<Erasing>>;
}

/// Rules, and the end of what they limit.
#[async_trait]
pub trait RetentionStore: fmt::Debug + Send + Sync {
    /// Every tenant that has something.
    async fn tenants(&self) -> Result<Vec<Tenant>>;

    /// The tenant's own rules; the built-in ones stand for the rest.
    async fn rules(&self, tenant: &Tenant) -> Result<Vec<RetentionRule>>;

    /// Sets a rule of a tenant.
    async fn set_rule(&self, tenant: &Tenant, rule: &RetentionRule) -> Result<()>;

    /// Takes up to `max` things of a class that have passed the horizon: subjects (contacts, a visit's
    /// conversations) and conversations are marked for erasure, and contacts fenced until `fence_until`; messages,
    /// records and counts are deleted. How many it took; fewer than `max` means there are no more.
    ///
    /// Nothing, and [`Lease::lost`](crate::store::Lease::lost), when the horizon's lease is another's by now.
    async fn purge_step(
        &self,
        tenant: &Tenant,
        class: DataClass,
        max: u32,
        horizon: &Horizon,
        fence_until: Timestamp,
    ) -> Result<u32>;

    /// Takes away messages that have passed a horizon which is that of each of these tenants, or an earlier one, where a store
    /// can do so for all of them at once; it leaves what has a message of another tenant. How many it took. What it leaves,
    /// [`purge_step`](Self::purge_step) takes.
    async fn drop_messages(&self, horizon: &Horizon, tenants: &[Tenant]) -> Result<u64> {
        let _ = (horizon, tenants);
        Ok(0)
    }

    /// What is marked for erasure, of every tenant or of one.
    async fn erasing(&self, tenant: Option<&Tenant>, max: u32) -> Result<Vec<Erasing>>;

    /// Takes up to `max` rows of them away, children before parents, one after the other. What is not marked, or
    /// gone, counts as done. With a contact that is erased on request its records are cut from their person, the last of
    /// them in the same step; a record that is cut is a row.
    async fn erase_step(&self, erasing: &[Erasing], max: u32) -> Result<EraseStep>;

    /// Forgets fences whose time is over.
    async fn purge_fences(&self, now: Timestamp) -> Result<u64>;
}

/// Notifications to recipients. They come into the store with the record that they tell of.
#[async_trait]
pub trait OutboxStore: fmt::Debug + Send + Sync {
    /// Up to `max` notifications that are due, for this caller alone until `until`: those that are due the longest,
    /// whichever tenant they are of.
    async fn claim_notifications(
        &self,
        now: Timestamp,
        until: Timestamp,
        max: u32,
    ) -> Result<Vec<Notification>>;

    /// Says what became of a notification that was claimed. False, and nothing changes, when somebody else has said so
    /// meanwhile.
    async fn settle_notification(
        &self,
        claimed: &Notification,
        outcome: &Attempted,
        at: Timestamp,
    ) -> Result<bool>;

    /// A tenant's notifications, the latest act first, after one of them.
    async fn notifications(
        &self,
        tenant: &Tenant,
        after: Option<(Timestamp, NotificationId)>,
        limit: u16,
    ) -> Result<Vec<Notification>>;
}

/// A store: every unit of work there is.
#[async_trait]
pub trait Store:
    ConsentStore + ContactStore + ConversationStore + LeaseStore + OutboxStore + PortalStore + RetentionStore
{
    /// Its name in errors and logs.
    fn name(&self) -> &'static str;

    /// Called once, before anything else: refuses another installation key than the one it was made with.
    ///
    /// # Errors
    /// [`Error::Key`](crate::Error::Key).
    async fn open(&self, info: &OpenInfo) -> Result<()>;
}

/// Implements [`Store`] for a type that has one: `store` says how a unit reaches it, and may fail.
macro_rules! forward {
    ($([$($generics:tt)*] $type:ty, name: $named:ident => $name:expr, store: $this:ident => $store:expr;)*) => {$(
        #[async_trait]
        impl<$($generics)*> ConsentStore for $type {
            async fn publish_notice(&self, scope: &Scope, notice: &NoticeSnapshot) -> Result<()> {
                let $this = self;
                $store.publish_notice(scope, notice).await
            }
            async fn notice(&self, scope: &Scope, id: NoticeId) -> Result<Option<NoticeSnapshot>> {
                let $this = self;
                $store.notice(scope, id).await
            }
            async fn publish_statement(&self, scope: &Scope, statement: &NewStatement, at: Timestamp) -> Result<StatementVersion> {
                let $this = self;
                $store.publish_statement(scope, statement, at).await
            }
            async fn statements(&self, scope: &Scope) -> Result<Vec<StatementVersion>> {
                let $this = self;
                $store.statements(scope).await
            }
            async fn append_record(&self, new: &NewRecord, contacts: crate::catalogue::CategoryCode, fence_until: Timestamp) -> Result<AppendedRecord> {
                let $this = self;
                $store.append_record(new, contacts, fence_until).await
            }
            async fn record(&self, scope: &Scope, id: RecordId) -> Result<Option<ConsentRecord>> {
                let $this = self;
                $store.record(scope, id).await
            }
            async fn latest_record(&self, scope: &Scope, id: RecordId) -> Result<Option<ConsentRecord>> {
                let $this = self;
                $store.latest_record(scope, id).await
            }
            async fn line_head(&self, scope: &Scope, line: SubjectDigest) -> Result<Option<ConsentRecord>> {
                let $this = self;
                $store.line_head(scope, line).await
            }
            async fn line(&self, scope: &Scope, id: RecordId) -> Result<Vec<ConsentRecord>> {
                let $this = self;
                $store.line(scope, id).await
            }
            async fn holds(&self, proof: &ConsentProof, now: Timestamp) -> Result<bool> {
                let $this = self;
                $store.holds(proof, now).await
            }
            async fn chain(&self, tenant: &Tenant, after: Option<&ChainLink>, limit: u16) -> Result<Vec<Chained>> {
                let $this = self;
                $store.chain(tenant, after, limit).await
            }
            async fn chain_heads(&self) -> Result<Vec<(Tenant, ChainLink)>> {
                let $this = self;
                $store.chain_heads().await
            }
            async fn unchained_records(&self, tenant: &Tenant) -> Result<u64> {
                let $this = self;
                $store.unchained_records(tenant).await
            }
            async fn add_consent_counts(&self, batch: &$crate::store::CountBatch) -> Result<()> {
                let $this = self;
                $store.add_consent_counts(batch).await
            }
            async fn consent_counts(&self, scope: &Scope, from: Day, to: Day) -> Result<Vec<ConsentCount>> {
                let $this = self;
                $store.consent_counts(scope, from, to).await
            }
        }

        #[async_trait]
        impl<$($generics)*> ContactStore for $type {
            async fn open_contact(&self, proof: &ConsentProof, contact: &Contact) -> Result<Contact> {
                let $this = self;
                $store.open_contact(proof, contact).await
            }
            async fn touch_contacts(&self, touches: &[ContactTouch]) -> Result<u64> {
                let $this = self;
                $store.touch_contacts(touches).await
            }
            async fn contact(&self, scope: &Scope, id: ContactId, horizon: &Horizon) -> Result<Option<Contact>> {
                let $this = self;
                $store.contact(scope, id, horizon).await
            }
            async fn contact_lives(&self, scope: &Scope, id: ContactId) -> Result<bool> {
                let $this = self;
                $store.contact_lives(scope, id).await
            }
            async fn contacts(&self, scope: &Scope, query: &ContactQuery, horizon: &Horizon) -> Result<Vec<ContactSummary>> {
                let $this = self;
                $store.contacts(scope, query, horizon).await
            }
            async fn freeze_contacts(&self, scope: &Scope, current: &[[u8; 3]], until: Timestamp, after: Option<ContactId>, max: u32) -> Result<Option<ContactId>> {
                let $this = self;
                $store.freeze_contacts(scope, current, until, after, max).await
            }
            async fn begin_contact_erasure(&self, scope: &Scope, id: ContactId, cause: ErasureCause, fence_until: Timestamp) -> Result<Option<Erasing>> {
                let $this = self;
                $store.begin_contact_erasure(scope, id, cause, fence_until).await
            }
        }

        #[async_trait]
        impl<$($generics)*> ConversationStore for $type {
            async fn running_conversation(&self, scope: &Scope, owner: Owner, since: Timestamp, horizon: &Horizon) -> Result<Option<Conversation>> {
                let $this = self;
                $store.running_conversation(scope, owner, since, horizon).await
            }
            async fn record_message(&self, scope: &Scope, owner: &OwnerProof, message: &MessageToStore, since: Timestamp, horizon: &Horizon) -> Result<StoredMessage> {
                let $this = self;
                $store.record_message(scope, owner, message, since, horizon).await
            }
            async fn conversations(&self, scope: &Scope, owner: Owner, limit: u16, horizon: &Horizon) -> Result<Vec<Conversation>> {
                let $this = self;
                $store.conversations(scope, owner, limit, horizon).await
            }
            async fn messages(&self, scope: &Scope, conversation: ConversationId, after: u32, limit: u16, horizon: &Horizon) -> Result<Vec<StoredMessage>> {
                let $this = self;
                $store.messages(scope, conversation, after, limit, horizon).await
            }
            async fn close_conversation(&self, scope: &Scope, id: ConversationId, at: Timestamp, horizon: &Horizon) -> Result<bool> {
                let $this = self;
                $store.close_conversation(scope, id, at, horizon).await
            }
            async fn adopt_conversation(&self, adoption: &Adoption, horizon: &Horizon) -> Result<()> {
                let $this = self;
                $store.adopt_conversation(adoption, horizon).await
            }
            async fn begin_conversation_erasure(&self, scope: &Scope, id: ConversationId) -> Result<Option<Erasing>> {
                let $this = self;
                $store.begin_conversation_erasure(scope, id).await
            }
        }

        #[async_trait]
        impl<$($generics)*> $crate::store::LeaseStore for $type {
            async fn acquire_lease(&self, name: &str, owner: &[u8; 16], now: Timestamp, until: Timestamp) -> Result<Option<$crate::store::LeaseToken>> {
                let $this = self;
                $store.acquire_lease(name, owner, now, until).await
            }
            async fn release_lease(&self, name: &str, token: $crate::store::LeaseToken) -> Result<bool> {
                let $this = self;
                $store.release_lease(name, token).await
            }
        }

        #[async_trait]
        impl<$($generics)*> OutboxStore for $type {
            async fn claim_notifications(&self, now: Timestamp, until: Timestamp, max: u32) -> Result<Vec<Notification>> {
                let $this = self;
                $store.claim_notifications(now, until, max).await
            }
            async fn settle_notification(&self, claimed: &Notification, outcome: &Attempted, at: Timestamp) -> Result<bool> {
                let $this = self;
                $store.settle_notification(claimed, outcome, at).await
            }
            async fn notifications(&self, tenant: &Tenant, after: Option<(Timestamp, NotificationId)>, limit: u16) -> Result<Vec<Notification>> {
                let $this = self;
                $store.notifications(tenant, after, limit).await
            }
        }

        #[async_trait]
        impl<$($generics)*> PortalStore for $type {
            async fn lists_behind(&self) -> Result<Option<std::time::Duration>> {
                let $this = self;
                $store.lists_behind().await
            }
            async fn count_contacts(&self, scope: &Scope, filter: &ContactFilter, as_of: Timestamp, cap: u32, horizon: &Horizon) -> Result<u32> {
                let $this = self;
                $store.count_contacts(scope, filter, as_of, cap, horizon).await
            }
            async fn contact_contents(&self, scope: &Scope, id: ContactId, horizon: &Horizon) -> Result<Option<Removed>> {
                let $this = self;
                $store.contact_contents(scope, id, horizon).await
            }
            async fn conversation(&self, scope: &Scope, id: ConversationId, horizon: &Horizon) -> Result<Option<Conversation>> {
                let $this = self;
                $store.conversation(scope, id, horizon).await
            }
            async fn open_conversations(&self, scope: &Scope, limit: u16, horizon: &Horizon) -> Result<Vec<Conversation>> {
                let $this = self;
                $store.open_conversations(scope, limit, horizon).await
            }
            async fn answer(&self, scope: &Scope, message: &MessageToStore, horizon: &Horizon) -> Result<StoredMessage> {
                let $this = self;
                $store.answer(scope, message, horizon).await
            }
            async fn erase_message(&self, scope: &Scope, conversation: ConversationId, number: u32) -> Result<bool> {
                let $this = self;
                $store.erase_message(scope, conversation, number).await
            }
            async fn set_blocked(&self, scope: &Scope, id: ContactId, blocked: bool, horizon: &Horizon) -> Result<bool> {
                let $this = self;
                $store.set_blocked(scope, id, blocked, horizon).await
            }
            async fn identify_contact(&self, identification: &Identification, horizon: &Horizon) -> Result<()> {
                let $this = self;
                $store.identify_contact(identification, horizon).await
            }
            async fn add_note(&self, scope: &Scope, note: &StoredNote, horizon: &Horizon) -> Result<()> {
                let $this = self;
                $store.add_note(scope, note, horizon).await
            }
            async fn notes(&self, scope: &Scope, contact: ContactId, horizon: &Horizon) -> Result<Vec<StoredNote>> {
                let $this = self;
                $store.notes(scope, contact, horizon).await
            }
            async fn erase_note(&self, scope: &Scope, contact: ContactId, note: NoteId) -> Result<bool> {
                let $this = self;
                $store.erase_note(scope, contact, note).await
            }
            async fn figures(&self, scope: &Scope, from: Day, to: Day, horizon: &Horizon) -> Result<SiteFigures> {
                let $this = self;
                $store.figures(scope, from, to, horizon).await
            }
            async fn snapshot(&self, scope: &Scope, horizon: &Horizon) -> Result<Box<dyn Snapshot>> {
                let $this = self;
                $store.snapshot(scope, horizon).await
            }
            async fn append_audit(&self, event: &AuditEvent) -> Result<()> {
                let $this = self;
                $store.append_audit(event).await
            }
            async fn audit(&self, tenant: &Tenant, before: Option<(Timestamp, AuditId)>, limit: u16) -> Result<Vec<AuditEvent>> {
                let $this = self;
                $store.audit(tenant, before, limit).await
            }
        }

        #[async_trait]
        impl<$($generics)*> RetentionStore for $type {
            async fn tenants(&self) -> Result<Vec<Tenant>> {
                let $this = self;
                $store.tenants().await
            }
            async fn rules(&self, tenant: &Tenant) -> Result<Vec<RetentionRule>> {
                let $this = self;
                $store.rules(tenant).await
            }
            async fn set_rule(&self, tenant: &Tenant, rule: &RetentionRule) -> Result<()> {
                let $this = self;
                $store.set_rule(tenant, rule).await
            }
            async fn purge_step(&self, tenant: &Tenant, class: DataClass, max: u32, horizon: &Horizon, fence_until: Timestamp) -> Result<u32> {
                let $this = self;
                $store.purge_step(tenant, class, max, horizon, fence_until).await
            }
            async fn drop_messages(&self, horizon: &Horizon, tenants: &[Tenant]) -> Result<u64> {
                let $this = self;
                $store.drop_messages(horizon, tenants).await
            }
            async fn erasing(&self, tenant: Option<&Tenant>, max: u32) -> Result<Vec<Erasing>> {
                let $this = self;
                $store.erasing(tenant, max).await
            }
            async fn erase_step(&self, erasing: &[Erasing], max: u32) -> Result<EraseStep> {
                let $this = self;
                $store.erase_step(erasing, max).await
            }
            async fn purge_fences(&self, now: Timestamp) -> Result<u64> {
                let $this = self;
                $store.purge_fences(now).await
            }
        }

        #[async_trait]
        impl<$($generics)*> Store for $type {
            fn name(&self) -> &'static str {
                let $named = self;
                $name
            }
            async fn open(&self, info: &OpenInfo) -> Result<()> {
                let $this = self;
                $store.open(info).await
            }
        }
    )*};
}

#[cfg(any(test, feature = "conformance"))]
pub(crate) use forward;

forward!(
    [T: Store + ?Sized] Arc<T>, name: this => (**this).name(), store: this => (**this);
    [T: Store + ?Sized] Box<T>, name: this => (**this).name(), store: this => (**this);
);
