use async_trait::async_trait;
use privet::catalogue::CategoryCode;
use privet::consent::ConsentRecord;
use privet::contact::{Author, Channel, ContactId, Conversation, ConversationId, MessageId, Owner, Sealed};
use privet::store::{
    Adoption, ConversationStore, Erasing, ErasingKind, ErasureCause, Horizon, MessageToStore, OwnerProof,
    StoredMessage, SubjectDigest,
};
use privet::{Error, Result, Scope, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::{SqliteStore, check_fence, check_proof, column, ms, shown_contact, time};
use crate::db::{Priority, UnitResult};

pub(super) const CONVERSATION: &str =
    "id, owner_kind, owner, opened, closed, last_message, messages, live_support, awaits_answer";
pub(super) const MESSAGE: &str = "number, id, at, channel, author, body, page";

pub(super) fn read_conversation(row: &Row<'_>) -> rusqlite::Result<Conversation> {
    let owner: [u8; 16] = row.get(2)?;
    Ok(Conversation {
        id: ConversationId::from_bytes(row.get(0)?),
        owner: column(row, 1, "owner", |kind: u8| Owner::from_parts(kind, owner))?,
        opened: time(row, 3)?,
        closed: row.get::<_, Option<i64>>(4)?.map(Timestamp::from_millis),
        last_message: time(row, 5)?,
        messages: row.get(6)?,
        live_support: row.get(7)?,
        awaits_answer: row.get(8)?,
    })
}

pub(super) fn read_message(conversation: ConversationId, row: &Row<'_>) -> rusqlite::Result<StoredMessage> {
    Ok(StoredMessage {
        conversation,
        number: row.get(0)?,
        id: MessageId::from_bytes(row.get(1)?),
        at: time(row, 2)?,
        channel: column(row, 3, "channel", Channel::from_code)?,
        author: column(row, 4, "author", Author::from_code)?,
        body: Sealed::from_bytes(row.get(5)?),
        page: row.get::<_, Option<Vec<u8>>>(6)?.map(Sealed::from_bytes),
    })
}

/// A conversation as it stands, and whether it is marked.
fn raw(c: &Connection, scope: &Scope, id: ConversationId) -> UnitResult<Option<(Conversation, bool)>> {
    let sql = format!(
        "SELECT {CONVERSATION}, erasing IS NOT NULL FROM conversations WHERE tenant = ?1 AND site = ?2 AND id = ?3"
    );
    let found = c
        .prepare_cached(&sql)?
        .query_row(params![scope.tenant.as_str(), scope.site.as_str(), id.as_bytes()], |row| {
            Ok((read_conversation(row)?, row.get(9)?))
        })
        .optional()?;
    Ok(found)
}

pub(super) fn owner_is_there(
    c: &Connection,
    scope: &Scope,
    owner: Owner,
    horizon: &Horizon,
) -> UnitResult<bool> {
    match owner {
        Owner::Contact(id) => Ok(shown_contact(c, scope, id, horizon)?.is_some()),
        Owner::Session(_) => Ok(true),
    }
}

pub(super) fn shown(
    c: &Connection,
    scope: &Scope,
    id: ConversationId,
    horizon: &Horizon,
) -> UnitResult<Option<Conversation>> {
    match raw(c, scope, id)? {
        Some((conversation, false))
            if horizon.shows_conversation(&conversation)
                && owner_is_there(c, scope, conversation.owner, horizon)? =>
        {
            Ok(Some(conversation))
        }
        _ => Ok(None),
    }
}

fn of_owner(
    c: &Connection,
    scope: &Scope,
    owner: Owner,
    limit: u16,
    horizon: &Horizon,
) -> UnitResult<Vec<Conversation>> {
    if !owner_is_there(c, scope, owner, horizon)? {
        return Ok(Vec::new());
    }
    let (kind, key) = owner.parts();
    let sql = format!(
        "SELECT {CONVERSATION} FROM conversations
         WHERE tenant = ?1 AND site = ?2 AND owner_kind = ?3 AND owner = ?4 AND erasing IS NULL
         ORDER BY last_message DESC, id DESC"
    );
    let mut statement = c.prepare_cached(&sql)?;
    let rows = statement
        .query_map(params![scope.tenant.as_str(), scope.site.as_str(), kind, key], read_conversation)?;
    let shown = rows.filter(|c| c.as_ref().map_or(true, |c| horizon.shows_conversation(c)));
    Ok(shown.take(limit.into()).collect::<rusqlite::Result<_>>()?)
}

fn running(
    c: &Connection,
    scope: &Scope,
    owner: Owner,
    since: Timestamp,
    horizon: &Horizon,
) -> UnitResult<Option<Conversation>> {
    let all = of_owner(c, scope, owner, u16::MAX, horizon)?;
    Ok(all.into_iter().find(|c| c.closed.is_none() && c.last_message >= since))
}

fn count_conversations(c: &Connection, scope: &Scope, contact: ContactId, by: i64) -> UnitResult<()> {
    c.prepare_cached(
        "UPDATE contacts SET conversations = max(0, conversations + ?4) WHERE tenant = ?1 AND site = ?2 AND id = ?3",
    )?
    .execute(params![scope.tenant.as_str(), scope.site.as_str(), contact.as_bytes(), by])?;
    Ok(())
}

/// A contact that speaks on another line of consent than before goes over to it: a withdrawal of that line has to
/// erase it.
pub(super) fn stand_on(
    c: &Connection,
    scope: &Scope,
    contact: ContactId,
    record: &ConsentRecord,
    contacts: CategoryCode,
) -> UnitResult<()> {
    c.prepare_cached(
        "UPDATE contacts SET consent = ?4, consent_line = ?5, consent_until = ?6, material = ?7, frozen_until = NULL, kept_on = NULL,
           identity = NULL, identity_text = NULL
         WHERE tenant = ?1 AND site = ?2 AND id = ?3 AND consent_line <> ?5",
    )?
    .execute(params![
        scope.tenant.as_str(),
        scope.site.as_str(),
        contact.as_bytes(),
        record.id.as_bytes(),
        record.subject.as_bytes(),
        ms(record.until),
        record.fingerprint_of(contacts).unwrap_or_default(),
    ])?;
    Ok(())
}

/// A message with the id of one that is to be stored, which was erased alone: it is not stored again, wherever it goes now.
fn erased_before(
    c: &Connection,
    scope: &Scope,
    message: &MessageToStore,
) -> UnitResult<Option<StoredMessage>> {
    let erased = c
        .prepare_cached(
            "SELECT conversation, number FROM erased_messages WHERE tenant = ?1 AND site = ?2 AND id = ?3",
        )?
        .query_row(params![scope.tenant.as_str(), scope.site.as_str(), message.id.as_bytes()], |row| {
            Ok((ConversationId::from_bytes(row.get(0)?), row.get(1)?))
        })
        .optional()?;
    Ok(erased.map(|(conversation, number)| StoredMessage {
        conversation,
        ..StoredMessage::new(message.clone(), number)
    }))
}

/// The message with the id of one that is to be stored: it came before. If it was erased since, it is not stored again.
pub(super) fn message_by_id(
    c: &Connection,
    scope: &Scope,
    message: &MessageToStore,
) -> UnitResult<Option<StoredMessage>> {
    let sql = format!(
        "SELECT {MESSAGE} FROM messages WHERE tenant = ?1 AND site = ?2 AND conversation = ?3 AND id = ?4"
    );
    let (tenant, site) = (scope.tenant.as_str(), scope.site.as_str());
    let values = params![tenant, site, message.conversation.as_bytes(), message.id.as_bytes()];
    let there = c
        .prepare_cached(&sql)?
        .query_row(values, |row| read_message(message.conversation, row))
        .optional()?;
    if there.is_some() {
        return Ok(there);
    }
    erased_before(c, scope, message)
}

fn record_message(
    c: &Connection,
    scope: &Scope,
    owner: &OwnerProof,
    message: &MessageToStore,
    since: Timestamp,
    horizon: &Horizon,
) -> UnitResult<StoredMessage> {
    let (whose, subject) = match owner {
        OwnerProof::Contact { proof, id, epoch, subject } => {
            let record = check_proof(c, scope, proof, message.at)?;
            check_fence(c, &scope.tenant, *subject, *epoch)?;
            let contact = shown_contact(c, scope, *id, horizon)?.filter(|contact| contact.epoch == *epoch);
            if contact.ok_or(Error::NotFound { what: "contact" })?.blocked {
                return Err(Error::Blocked.into());
            }
            stand_on(c, scope, *id, &record, proof.category())?;
            (Owner::Contact(*id), None)
        }
        OwnerProof::Session { session, subject } => (Owner::Session(*session), Some(*subject)),
    };
    let (tenant, site, id) = (scope.tenant.as_str(), scope.site.as_str(), message.conversation.as_bytes());
    if raw(c, scope, message.conversation)?.is_some() {
        if shown(c, scope, message.conversation, horizon)?.is_none_or(|c| c.owner != whose) {
            return Err(Error::Conflict { what: "conversation" }.into());
        }
        let twice = message_by_id(c, scope, message)?;
        if let Some(stored) = twice {
            return Ok(stored);
        }
    } else {
        if !message.opens || running(c, scope, whose, since, horizon)?.is_some() {
            return Err(Error::Conflict { what: "conversation" }.into());
        }
        if let Some(erased) = erased_before(c, scope, message)? {
            return Ok(erased);
        }
        let (kind, key) = whose.parts();
        c.prepare_cached(
            "INSERT INTO conversations (tenant, site, id, owner_kind, owner, subject, opened, last_message, messages, live_support)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7, 0, 0)",
        )?
        .execute(params![tenant, site, id, kind, key, subject.as_ref().map(SubjectDigest::as_bytes), ms(message.at)])?;
        if let Owner::Contact(contact) = whose {
            count_conversations(c, scope, contact, 1)?;
        }
    }
    let waits = message.author.awaits_answer();
    let number: u32 = c
        .prepare_cached(
            "UPDATE conversations SET messages = messages + 1, last_message = max(last_message, ?4), live_support = max(live_support, ?5), awaits_answer = coalesce(?6, awaits_answer)
             WHERE tenant = ?1 AND site = ?2 AND id = ?3 RETURNING messages",
        )?
        .query_row(params![tenant, site, id, ms(message.at), message.channel == Channel::LiveSupport, waits], |row| row.get(0))?;
    if let Owner::Contact(contact) = whose {
        c.prepare_cached(
            "UPDATE contacts SET last_seen = max(last_seen, ?4) WHERE tenant = ?1 AND site = ?2 AND id = ?3",
        )?
        .execute(params![tenant, site, contact.as_bytes(), ms(message.at)])?;
    }
    insert_message(c, scope, message, number)
}

/// Puts a message into its place.
pub(super) fn insert_message(
    c: &Connection,
    scope: &Scope,
    message: &MessageToStore,
    number: u32,
) -> UnitResult<StoredMessage> {
    let (tenant, site, id) = (scope.tenant.as_str(), scope.site.as_str(), message.conversation.as_bytes());
    let stored = StoredMessage::new(message.clone(), number);
    c.prepare_cached(
        "INSERT INTO messages (tenant, site, conversation, number, id, at, channel, author, body, page)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?
    .execute(params![
        tenant,
        site,
        id,
        number,
        stored.id.as_bytes(),
        ms(stored.at),
        stored.channel.code(),
        stored.author.code(),
        stored.body.as_bytes(),
        stored.page.as_ref().map(Sealed::as_bytes),
    ])?;
    Ok(stored)
}

fn messages(
    c: &Connection,
    scope: &Scope,
    id: ConversationId,
    after: u32,
    limit: u16,
    horizon: &Horizon,
) -> UnitResult<Vec<StoredMessage>> {
    if shown(c, scope, id, horizon)?.is_none() {
        return Ok(Vec::new());
    }
    messages_of(c, scope, id, after, limit, horizon)
}

/// Messages of a conversation that is shown.
pub(super) fn messages_of(
    c: &Connection,
    scope: &Scope,
    id: ConversationId,
    after: u32,
    limit: u16,
    horizon: &Horizon,
) -> UnitResult<Vec<StoredMessage>> {
    let sql = format!(
        "SELECT {MESSAGE} FROM messages
         WHERE tenant = ?1 AND site = ?2 AND conversation = ?3 AND number > ?4 AND at >= ?5 ORDER BY number LIMIT ?6"
    );
    let mut statement = c.prepare_cached(&sql)?;
    let rows = statement.query_map(
        params![
            scope.tenant.as_str(),
            scope.site.as_str(),
            id.as_bytes(),
            after,
            ms(horizon.messages),
            limit
        ],
        |row| read_message(id, row),
    )?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn adopt(c: &Connection, adoption: &Adoption, horizon: &Horizon) -> UnitResult<()> {
    let Adoption { proof, contact, epoch, subject, from, conversation, texts, at } = adoption;
    let scope = proof.scope();
    let record = check_proof(c, scope, proof, *at)?;
    check_fence(c, &scope.tenant, *subject, *epoch)?;
    let there = shown_contact(c, scope, *contact, horizon)?.filter(|found| found.epoch == *epoch);
    if there.ok_or(Error::NotFound { what: "contact" })?.blocked {
        return Err(Error::Blocked.into());
    }
    let gives = *from != Owner::Contact(*contact);
    let found = shown(c, scope, *conversation, horizon)?.filter(|found| gives && found.owner == *from);
    found.ok_or(Error::NotFound { what: "conversation" })?;
    stand_on(c, scope, *contact, &record, proof.category())?;
    let (tenant, site, id) = (scope.tenant.as_str(), scope.site.as_str(), conversation.as_bytes());
    let numbers: Vec<u32> = c
        .prepare_cached("SELECT number FROM messages WHERE tenant = ?1 AND site = ?2 AND conversation = ?3 ORDER BY number")?
        .query_map(params![tenant, site, id], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    if !numbers.iter().eq(texts.iter().map(|text| &text.number)) {
        return Err(Error::Conflict { what: "conversation" }.into());
    }
    let mut statement = c.prepare_cached(
        "UPDATE messages SET body = ?5, page = ?6 WHERE tenant = ?1 AND site = ?2 AND conversation = ?3 AND number = ?4",
    )?;
    for text in texts {
        let page = text.page.as_ref().map(Sealed::as_bytes);
        statement.execute(params![tenant, site, id, text.number, text.body.as_bytes(), page])?;
    }
    c.prepare_cached("UPDATE conversations SET owner_kind = ?4, owner = ?5, subject = NULL WHERE tenant = ?1 AND site = ?2 AND id = ?3")?
        .execute(params![tenant, site, id, Owner::CONTACT, contact.as_bytes()])?;
    if let Owner::Contact(from) = from {
        count_conversations(c, scope, *from, -1)?;
    }
    count_conversations(c, scope, *contact, 1)
}

/// Hides a conversation, and takes it off its contact's counter.
pub(super) fn mark(
    c: &Connection,
    scope: &Scope,
    id: ConversationId,
    cause: ErasureCause,
) -> UnitResult<Option<Erasing>> {
    type Marked = (u8, [u8; 16], Option<[u8; 16]>);
    let marked: Option<Marked> = c
        .prepare_cached(
            "UPDATE conversations SET erasing = ?4 WHERE tenant = ?1 AND site = ?2 AND id = ?3 AND erasing IS NULL
             RETURNING owner_kind, owner, subject",
        )?
        .query_row(params![scope.tenant.as_str(), scope.site.as_str(), id.as_bytes(), cause.code()], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .optional()?;
    let Some((kind, owner, subject)) = marked else { return Ok(None) };
    if kind == Owner::CONTACT {
        count_conversations(c, scope, ContactId::from_bytes(owner), -1)?;
    }
    let subject = subject.map(SubjectDigest::from_bytes);
    Ok(Some(Erasing::new(scope.clone(), ErasingKind::Conversation(id), subject, cause)))
}

#[async_trait]
impl ConversationStore for SqliteStore {
    async fn running_conversation(
        &self,
        scope: &Scope,
        owner: Owner,
        since: Timestamp,
        horizon: &Horizon,
    ) -> Result<Option<Conversation>> {
        let (scope, horizon) = (scope.clone(), *horizon);
        self.db.read(move |c| running(c, &scope, owner, since, &horizon)).await
    }

    async fn record_message(
        &self,
        scope: &Scope,
        owner: &OwnerProof,
        message: &MessageToStore,
        since: Timestamp,
        horizon: &Horizon,
    ) -> Result<StoredMessage> {
        let (scope, owner, message, horizon) = (scope.clone(), owner.clone(), message.clone(), *horizon);
        self.db
            .write(Priority::Urgent, move |c| record_message(c, &scope, &owner, &message, since, &horizon))
            .await
    }

    async fn conversations(
        &self,
        scope: &Scope,
        owner: Owner,
        limit: u16,
        horizon: &Horizon,
    ) -> Result<Vec<Conversation>> {
        let (scope, horizon) = (scope.clone(), *horizon);
        self.db.read(move |c| of_owner(c, &scope, owner, limit, &horizon)).await
    }

    async fn messages(
        &self,
        scope: &Scope,
        conversation: ConversationId,
        after: u32,
        limit: u16,
        horizon: &Horizon,
    ) -> Result<Vec<StoredMessage>> {
        let (scope, horizon) = (scope.clone(), *horizon);
        self.db.read(move |c| messages(c, &scope, conversation, after, limit, &horizon)).await
    }

    async fn close_conversation(
        &self,
        scope: &Scope,
        id: ConversationId,
        at: Timestamp,
        horizon: &Horizon,
    ) -> Result<bool> {
        let (scope, horizon) = (scope.clone(), *horizon);
        self.db
            .write(Priority::Urgent, move |c| {
                if shown(c, &scope, id, &horizon)?.is_none() {
                    return Ok(false);
                }
                c.prepare_cached(
                    "UPDATE conversations SET closed = coalesce(closed, ?4) WHERE tenant = ?1 AND site = ?2 AND id = ?3",
                )?
                .execute(params![scope.tenant.as_str(), scope.site.as_str(), id.as_bytes(), ms(at)])?;
                Ok(true)
            })
            .await
    }

    async fn adopt_conversation(&self, adoption: &Adoption, horizon: &Horizon) -> Result<()> {
        let (adoption, horizon) = (adoption.clone(), *horizon);
        self.db.write(Priority::Urgent, move |c| adopt(c, &adoption, &horizon)).await
    }

    async fn begin_conversation_erasure(&self, scope: &Scope, id: ConversationId) -> Result<Option<Erasing>> {
        let scope = scope.clone();
        self.db.write(Priority::Urgent, move |c| mark(c, &scope, id, ErasureCause::Request)).await
    }
}
