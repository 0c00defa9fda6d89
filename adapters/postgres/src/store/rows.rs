//! From rows to what they stand for.

use privet::catalogue::{Language, LegalBasis};
use privet::consent::{Act, ConsentRecord, Method, NoticeId, RecordId, RecordedDecision, Regime};
use privet::contact::{
    Author, Channel, Contact, ContactId, ContactSummary, Conversation, ConversationId, FenceEpoch, MessageId,
    Owner, Sealed,
};
use privet::ip::CountryCode;
use privet::store::{ContactIdentity, StoredMessage, SubjectDigest};
use privet::{Scope, Site, Tenant, Timestamp};
use sqlx::postgres::PgRow;
use sqlx::{Decode, Error, Postgres, Row as _, Type};

pub(super) type RowResult<T> = Result<T, Error>;

/// A value that a column holds and that is none of ours.
pub(super) fn unreadable(what: &'static str) -> Error {
    Error::Decode(format!("{what} has a value that is none").into())
}

/// A column through a conversion that can fail.
pub(super) fn column<'r, S, T>(
    row: &'r PgRow,
    at: usize,
    what: &'static str,
    read: impl FnOnce(S) -> Option<T>,
) -> RowResult<T>
where
    S: Decode<'r, Postgres> + Type<Postgres>,
{
    read(row.try_get(at)?).ok_or_else(|| unreadable(what))
}

/// One of the stable numbers.
pub(super) fn code<T>(
    row: &PgRow,
    at: usize,
    what: &'static str,
    read: impl FnOnce(u8) -> Option<T>,
) -> RowResult<T> {
    column(row, at, what, |code: i16| u8::try_from(code).ok().and_then(read))
}

pub(super) fn number<T: TryFrom<i64>>(row: &PgRow, at: usize) -> RowResult<T> {
    column(row, at, "a number", |n: i64| n.try_into().ok())
}

pub(super) fn bytes<const N: usize>(row: &PgRow, at: usize) -> RowResult<[u8; N]> {
    column(row, at, "an id or digest", |bytes: &[u8]| bytes.try_into().ok())
}

pub(super) fn time(row: &PgRow, at: usize) -> RowResult<Timestamp> {
    row.try_get(at).map(Timestamp::from_millis)
}

pub(super) fn time_if_any(row: &PgRow, at: usize) -> RowResult<Option<Timestamp>> {
    Ok(row.try_get::<Option<i64>, _>(at)?.map(Timestamp::from_millis))
}

pub(super) fn digest_if_any(row: &PgRow, at: usize) -> RowResult<Option<SubjectDigest>> {
    match row.try_get::<Option<&[u8]>, _>(at)? {
        Some(_) => Ok(Some(SubjectDigest::from_bytes(bytes(row, at)?))),
        None => Ok(None),
    }
}

/// A text that is kept byte by byte.
pub(super) fn text(row: &PgRow, at: usize) -> RowResult<String> {
    column(row, at, "a text", |bytes: Vec<u8>| String::from_utf8(bytes).ok())
}

pub(super) fn ms(t: Timestamp) -> i64 {
    t.as_millis()
}

pub(super) fn tenant(row: &PgRow, at: usize) -> RowResult<Tenant> {
    column(row, at, "tenant", |name: &str| Tenant::new(name).ok())
}

pub(super) fn site_scope(tenant: &Tenant, row: &PgRow, at: usize) -> RowResult<Scope> {
    column(row, at, "site", |name: &str| Site::new(name).ok().map(|site| Scope::new(tenant.clone(), site)))
}

/// Rows as what they stand for.
pub(super) fn all<T>(rows: &[PgRow], read: impl FnMut(&PgRow) -> RowResult<T>) -> RowResult<Vec<T>> {
    rows.iter().map(read).collect()
}

macro_rules! record_columns {
    () => {
        "r.id, r.subject, r.act, r.at, r.until, r.notice, r.language, r.regime, r.method, r.gesture, r.gpc, r.decisions"
    };
}

/// Of a table, if another one is beside it.
macro_rules! contact_columns {
    () => {
        contact_columns!("")
    };
    ($of:literal) => {
        concat!(
            $of,
            "id, ",
            $of,
            "epoch, ",
            $of,
            "subject, ",
            $of,
            "country, ",
            $of,
            "created, ",
            $of,
            "last_seen, ",
            $of,
            "conversations, ",
            $of,
            "consent, ",
            $of,
            "consent_until, ",
            $of,
            "material, ",
            $of,
            "frozen_until, ",
            $of,
            "kept_on, ",
            $of,
            "blocked, ",
            $of,
            "identity, ",
            $of,
            "identity_text"
        )
    };
}

macro_rules! summary_columns {
    () => {
        "id, country, created, last_seen, conversations"
    };
}

macro_rules! conversation_columns {
    () => {
        "c.id, c.owner_kind, c.owner, c.opened, c.closed, c.last_message, c.messages, c.live_support, c.awaits_answer"
    };
}

macro_rules! message_columns {
    () => {
        "m.number, m.id, m.at, m.channel, m.author, m.body, m.page"
    };
}

pub(super) use {contact_columns, conversation_columns, message_columns, record_columns, summary_columns};

/// From `record_columns!`, at the beginning of a row.
pub(super) fn read_record(scope: &Scope, row: &PgRow) -> RowResult<ConsentRecord> {
    Ok(ConsentRecord {
        scope: scope.clone(),
        id: RecordId::from_bytes(bytes(row, 0)?),
        subject: SubjectDigest::from_bytes(bytes(row, 1)?),
        act: code(row, 2, "act", Act::from_code)?,
        at: time(row, 3)?,
        until: time(row, 4)?,
        notice: NoticeId::from_bytes(bytes(row, 5)?),
        language: column(row, 6, "language", |tag: &str| Language::new(tag).ok())?,
        regime: code(row, 7, "regime", Regime::from_code)?,
        method: code(row, 8, "method", Method::from_code)?,
        gesture: row.try_get(9)?,
        gpc: row.try_get(10)?,
        decisions: column(row, 11, "decisions", RecordedDecision::all_from_bytes)?,
    })
}

/// From `summary_columns!`, at the beginning of a row.
pub(super) fn read_summary(row: &PgRow) -> RowResult<ContactSummary> {
    Ok(ContactSummary {
        id: ContactId::from_bytes(bytes(row, 0)?),
        country: country(row, 1)?,
        created: time(row, 2)?,
        last_seen: time(row, 3)?,
        conversations: number(row, 4)?,
    })
}

fn country(row: &PgRow, at: usize) -> RowResult<Option<CountryCode>> {
    Ok(row.try_get::<Option<&str>, _>(at)?.and_then(CountryCode::new))
}

/// From `contact_columns!`, at the beginning of a row.
pub(super) fn read_contact(row: &PgRow) -> RowResult<Contact> {
    let mut contact = Contact::opened(
        ContactId::from_bytes(bytes(row, 0)?),
        FenceEpoch::new(number(row, 1)?),
        SubjectDigest::from_bytes(bytes(row, 2)?),
        time(row, 4)?,
        RecordId::from_bytes(bytes(row, 7)?),
        time(row, 8)?,
    );
    contact.country = country(row, 3)?;
    contact.last_seen = time(row, 5)?;
    contact.conversations = number(row, 6)?;
    contact.material = bytes(row, 9)?;
    contact.frozen_until = time_if_any(row, 10)?;
    contact.kept_on = match row.try_get::<Option<i16>, _>(11)? {
        Some(_) => Some(code(row, 11, "kept_on", LegalBasis::from_code)?),
        None => None,
    };
    contact.blocked = row.try_get(12)?;
    contact.identity = match (digest_if_any(row, 13)?, row.try_get::<Option<Vec<u8>>, _>(14)?) {
        (Some(digest), Some(sealed)) => Some(ContactIdentity { digest, sealed: Sealed::from_bytes(sealed) }),
        _ => None,
    };
    Ok(contact)
}

/// From `conversation_columns!`, at the beginning of a row.
pub(super) fn read_conversation(row: &PgRow) -> RowResult<Conversation> {
    let owner = bytes(row, 2)?;
    Ok(Conversation {
        id: ConversationId::from_bytes(bytes(row, 0)?),
        owner: code(row, 1, "owner", |kind| Owner::from_parts(kind, owner))?,
        opened: time(row, 3)?,
        closed: time_if_any(row, 4)?,
        last_message: time(row, 5)?,
        messages: number(row, 6)?,
        live_support: row.try_get(7)?,
        awaits_answer: row.try_get(8)?,
    })
}

/// From `message_columns!`, at the beginning of a row.
pub(super) fn read_message(conversation: ConversationId, row: &PgRow) -> RowResult<StoredMessage> {
    Ok(StoredMessage {
        conversation,
        number: number(row, 0)?,
        id: MessageId::from_bytes(bytes(row, 1)?),
        at: time(row, 2)?,
        channel: code(row, 3, "channel", Channel::from_code)?,
        author: code(row, 4, "author", Author::from_code)?,
        body: Sealed::from_bytes(row.try_get(5)?),
        page: row.try_get::<Option<Vec<u8>>, _>(6)?.map(Sealed::from_bytes),
    })
}
