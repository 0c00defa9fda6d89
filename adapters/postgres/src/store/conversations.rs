use async_trait::async_trait;
use privet::contact::{ContactId, Conversation, ConversationId, Owner};
use privet::store::{
    Adoption, ConversationStore, Erasing, ErasingKind, ErasureCause, Horizon, MessageToStore, OwnerProof,
    StoredMessage,
};
use privet::{Error, Result, Scope, Timestamp};
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{Postgres, Row as _};

use super::locks;
use super::record_messages::RecordMessage;
use super::rows::{self, bytes, conversation_columns, digest_if_any, ms, number, read_conversation};
use super::{Line, PostgresStore, check_proof, messages, shown_contact, stand_on, writing_contact};
use crate::db::{On, Twice, UnitResult, read, unit};

/// Rule 7 for a conversation `c`, and for the contact whose it is: [`Horizon::shows_conversation`] and
/// [`Horizon::shows_contact`] in SQL, so that a list is one statement. What [`bind_shown`] binds is `$1` to `$7`.
///
/// No CASE, in which Citus takes no policy that reads a setting.
pub(super) const SHOWN: &str = "c.erasing IS NULL AND (
    (c.owner_kind <> 1 AND c.live_support AND coalesce(c.closed, c.last_message) >= $7)
    OR (c.owner_kind <> 1 AND NOT c.live_support AND c.last_message >= $6)
    OR (c.owner_kind = 1 AND c.last_message >= $5 AND EXISTS (
      SELECT 1 FROM privet.contacts o WHERE o.tenant = c.tenant AND o.site = c.site AND o.id = c.owner
        AND o.erasing IS NULL AND o.frozen_until IS NULL AND o.last_seen >= $3 AND o.consent_until > $4)))";

pub(super) fn bind_shown(
    query: Query<'static, Postgres, PgArguments>,
    scope: &Scope,
    horizon: &Horizon,
) -> Query<'static, Postgres, PgArguments> {
    query
        .bind(scope.tenant.as_str())
        .bind(scope.site.as_str())
        .bind(ms(horizon.contacts))
        .bind(ms(horizon.now))
        .bind(ms(horizon.conversations))
        .bind(ms(horizon.sessions))
        .bind(ms(horizon.support))
}

pub(super) async fn shown(
    on: &mut On<'_>,
    scope: &Scope,
    id: ConversationId,
    horizon: &Horizon,
) -> UnitResult<Option<Conversation>> {
    let sql = format!(
        "SELECT {} FROM privet.conversations c WHERE c.tenant = $1 AND c.site = $2 AND c.id = $8 AND {SHOWN}",
        conversation_columns!()
    );
    let query = bind_shown(on.q(sql), scope, horizon).bind(id.as_bytes().as_slice());
    let found = query.fetch_optional(&mut *on.c).await?;
    Ok(found.map(|row| read_conversation(&row)).transpose()?)
}

/// A conversation, locked, whatever it is, and whether it is marked.
async fn lock(
    on: &mut On<'_>,
    scope: &Scope,
    id: ConversationId,
) -> UnitResult<Option<(Conversation, bool)>> {
    let found = on
        .q(concat!(
            "SELECT ",
            conversation_columns!(),
            ", c.erasing IS NOT NULL FROM privet.conversations c WHERE tenant = $1 AND site = $2 AND id = $3 FOR UPDATE"
        ))
        .bind(scope.tenant.as_str())
        .bind(scope.site.as_str())
        .bind(id.as_bytes().as_slice())
        .fetch_optional(&mut *on.c)
        .await?;
    let read = |row: PgRow| Ok::<_, sqlx::Error>((read_conversation(&row)?, row.try_get(9)?));
    Ok(found.map(read).transpose()?)
}

/// Whose a conversation is, without a lock: to lock the contact before it.
async fn owner_of(on: &mut On<'_>, scope: &Scope, id: ConversationId) -> UnitResult<Option<Owner>> {
    let found = on
        .q("SELECT owner_kind, owner FROM privet.conversations WHERE tenant = $1 AND site = $2 AND id = $3")
        .bind(scope.tenant.as_str())
        .bind(scope.site.as_str())
        .bind(id.as_bytes().as_slice())
        .fetch_optional(&mut *on.c)
        .await?;
    let read = |row: PgRow| {
        let key = bytes(&row, 1)?;
        rows::code(&row, 0, "owner", |kind| Owner::from_parts(kind, key))
    };
    Ok(found.map(read).transpose()?)
}

/// A conversation and the contact whose it is, locked in their order.
pub(super) async fn lock_with_owner(
    on: &mut On<'_>,
    scope: &Scope,
    id: ConversationId,
) -> UnitResult<Option<(Conversation, bool)>> {
    let Some(mut owner) = owner_of(on, scope, id).await? else { return Ok(None) };
    loop {
        if let Owner::Contact(contact) = owner {
            locks::contacts(on, &scope.tenant, &[(scope.site.as_str(), contact)]).await?;
        }
        match lock(on, scope, id).await? {
            // It was adopted in between.
            Some((found, _)) if found.owner != owner => owner = found.owner,
            found => return Ok(found),
        }
    }
}

async fn of_owner(
    on: &mut On<'_>,
    scope: &Scope,
    owner: Owner,
    limit: u16,
    horizon: &Horizon,
) -> UnitResult<Vec<Conversation>> {
    let sql = format!(
        "SELECT {} FROM privet.conversations c
         WHERE c.tenant = $1 AND c.site = $2 AND c.owner_kind = $8 AND c.owner = $9 AND {SHOWN}
         ORDER BY c.last_message DESC, c.id DESC LIMIT $10",
        conversation_columns!()
    );
    let (kind, key) = owner.parts();
    let rows = bind_shown(on.q(sql), scope, horizon)
        .bind(i16::from(kind))
        .bind(key.as_slice())
        .bind(i64::from(limit))
        .fetch_all(&mut *on.c)
        .await?;
    Ok(rows::all(&rows, read_conversation)?)
}

async fn running(
    on: &mut On<'_>,
    scope: &Scope,
    owner: Owner,
    since: Timestamp,
    horizon: &Horizon,
) -> UnitResult<Option<Conversation>> {
    let sql = format!(
        "SELECT {} FROM privet.conversations c
         WHERE c.tenant = $1 AND c.site = $2 AND c.owner_kind = $8 AND c.owner = $9 AND {SHOWN}
           AND c.closed IS NULL AND c.last_message >= $10
         ORDER BY c.last_message DESC, c.id DESC LIMIT 1",
        conversation_columns!()
    );
    let (kind, key) = owner.parts();
    let found = bind_shown(on.q(sql), scope, horizon)
        .bind(i16::from(kind))
        .bind(key.as_slice())
        .bind(ms(since))
        .fetch_optional(&mut *on.c)
        .await?;
    Ok(found.map(|row| read_conversation(&row)).transpose()?)
}

pub(super) async fn count_conversations(
    on: &mut On<'_>,
    scope: &Scope,
    contact: ContactId,
    by: i64,
) -> UnitResult<()> {
    on.q("UPDATE privet.contacts SET conversations = greatest(0, conversations + $4) WHERE tenant = $1 AND site = $2 AND id = $3")
        .bind(scope.tenant.as_str())
        .bind(scope.site.as_str())
        .bind(contact.as_bytes().as_slice())
        .bind(by)
        .execute(&mut *on.c)
        .await?;
    Ok(())
}

pub(super) const BUSY: Error = Error::Conflict { what: "conversation" };

/// Gives a message its number in its conversation, which is locked.
pub(super) async fn advance(
    on: &mut On<'_>,
    scope: &Scope,
    message: &MessageToStore,
    live: bool,
    waits: Option<bool>,
) -> UnitResult<u32> {
    let row = on
        .q("UPDATE privet.conversations SET messages = messages + 1, last_message = greatest(last_message, $4),
              live_support = live_support OR $5, awaits_answer = coalesce($6, awaits_answer)
            WHERE tenant = $1 AND site = $2 AND id = $3 RETURNING messages")
        .bind(scope.tenant.as_str())
        .bind(scope.site.as_str())
        .bind(message.conversation.as_bytes().as_slice())
        .bind(ms(message.at))
        .bind(live)
        .bind(waits)
        .fetch_one(&mut *on.c)
        .await?;
    Ok(number(&row, 0)?)
}

async fn close(
    on: &mut On<'_>,
    scope: &Scope,
    id: ConversationId,
    at: Timestamp,
    horizon: &Horizon,
) -> UnitResult<bool> {
    let sql = format!(
        "UPDATE privet.conversations c SET closed = coalesce(closed, $9) WHERE c.tenant = $1 AND c.site = $2 AND c.id = $8 AND {SHOWN}"
    );
    let query = bind_shown(on.q(sql), scope, horizon).bind(id.as_bytes().as_slice()).bind(ms(at));
    Ok(query.execute(&mut *on.c).await?.rows_affected() == 1)
}

async fn adopt(on: &mut On<'_>, adoption: &Adoption, horizon: &Horizon) -> UnitResult<()> {
    let Adoption { proof, contact, epoch, subject, from, conversation, at, texts: _ } = adoption;
    let scope = proof.scope();
    let record = check_proof(on, scope, proof, *at, Line::Together).await?;
    if let Owner::Contact(from) = from {
        // Both at once, in their order.
        let site = scope.site.as_str();
        locks::contacts(on, &scope.tenant, &[(site, *contact), (site, *from)]).await?;
    }
    let line = writing_contact(on, scope, (*contact, *epoch, *subject), horizon).await?;
    let gives = *from != Owner::Contact(*contact);
    let found = lock(on, scope, *conversation).await?;
    let mut found = found.filter(|(found, marked)| {
        gives && !marked && found.owner == *from && horizon.shows_conversation(found)
    });
    if let (Some(_), Owner::Contact(from)) = (&found, from)
        && shown_contact(on, scope, *from, horizon).await?.is_none()
    {
        found = None;
    }
    found.ok_or(Error::NotFound { what: "conversation" })?;
    stand_on(on, scope, (*contact, line), &record, proof.category()).await?;
    exchange_texts(on, adoption).await?;
    on.q("UPDATE privet.conversations SET owner_kind = $4, owner = $5, subject = NULL WHERE tenant = $1 AND site = $2 AND id = $3")
        .bind(scope.tenant.as_str())
        .bind(scope.site.as_str())
        .bind(conversation.as_bytes().as_slice())
        .bind(i16::from(Owner::CONTACT))
        .bind(contact.as_bytes().as_slice())
        .execute(&mut *on.c)
        .await?;
    if let Owner::Contact(from) = from {
        count_conversations(on, scope, *from, -1).await?;
    }
    count_conversations(on, scope, *contact, 1).await
}

/// Puts the texts that were sealed anew in the place of the old ones: all of them, or none.
async fn exchange_texts(on: &mut On<'_>, adoption: &Adoption) -> UnitResult<()> {
    let scope = adoption.proof.scope();
    let rows = on
        .q("SELECT number FROM privet.messages WHERE tenant = $1 AND site = $2 AND conversation = $3 ORDER BY number")
        .bind(scope.tenant.as_str())
        .bind(scope.site.as_str())
        .bind(adoption.conversation.as_bytes().as_slice())
        .fetch_all(&mut *on.c)
        .await?;
    let numbers: Vec<u32> = rows::all(&rows, |row| number(row, 0))?;
    if !numbers.iter().eq(adoption.texts.iter().map(|text| &text.number)) {
        return Err(BUSY.into());
    }
    on.q("UPDATE privet.messages m SET body = t.body, page = t.page
          FROM unnest($4::bigint[], $5::bytea[], $6::bytea[]) AS t (number, body, page)
          WHERE m.tenant = $1 AND m.site = $2 AND m.conversation = $3 AND m.number = t.number")
        .bind(scope.tenant.as_str())
        .bind(scope.site.as_str())
        .bind(adoption.conversation.as_bytes().as_slice())
        .bind(numbers.iter().copied().map(i64::from).collect::<Vec<_>>())
        .bind(adoption.texts.iter().map(|text| text.body.as_bytes().to_vec()).collect::<Vec<_>>())
        .bind(
            adoption
                .texts
                .iter()
                .map(|text| text.page.as_ref().map(|p| p.as_bytes().to_vec()))
                .collect::<Vec<_>>(),
        )
        .execute(&mut *on.c)
        .await?;
    Ok(())
}

/// Hides a conversation, and takes it off its contact's counter.
pub(super) async fn mark(
    on: &mut On<'_>,
    scope: &Scope,
    id: ConversationId,
    cause: ErasureCause,
) -> UnitResult<Option<Erasing>> {
    let Some((found, false)) = lock_with_owner(on, scope, id).await? else { return Ok(None) };
    let row = on
        .q("UPDATE privet.conversations SET erasing = $4 WHERE tenant = $1 AND site = $2 AND id = $3 RETURNING subject")
        .bind(scope.tenant.as_str())
        .bind(scope.site.as_str())
        .bind(id.as_bytes().as_slice())
        .bind(i16::from(cause.code()))
        .fetch_one(&mut *on.c)
        .await?;
    let subject = digest_if_any(&row, 0)?;
    if let Owner::Contact(contact) = found.owner {
        count_conversations(on, scope, contact, -1).await?;
    }
    Ok(Some(Erasing::new(scope.clone(), ErasingKind::Conversation(id), subject, cause)))
}

#[async_trait]
impl ConversationStore for PostgresStore {
    async fn running_conversation(
        &self,
        scope: &Scope,
        owner: Owner,
        since: Timestamp,
        horizon: &Horizon,
    ) -> Result<Option<Conversation>> {
        read!(self.db, scope, on => running(on, scope, owner, since, horizon))
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
        self.messages.run(RecordMessage { scope, owner, message, since, horizon }).await
    }

    async fn conversations(
        &self,
        scope: &Scope,
        owner: Owner,
        limit: u16,
        horizon: &Horizon,
    ) -> Result<Vec<Conversation>> {
        read!(self.db, scope, on => of_owner(on, scope, owner, limit, horizon))
    }

    async fn messages(
        &self,
        scope: &Scope,
        conversation: ConversationId,
        after: u32,
        limit: u16,
        horizon: &Horizon,
    ) -> Result<Vec<StoredMessage>> {
        read!(self.db, scope, on => messages::of(on, scope, conversation, after, limit, horizon))
    }

    async fn close_conversation(
        &self,
        scope: &Scope,
        id: ConversationId,
        at: Timestamp,
        horizon: &Horizon,
    ) -> Result<bool> {
        unit!(self.db, scope, Twice::Harmless, on => close(on, scope, id, at, horizon))
    }

    async fn adopt_conversation(&self, adoption: &Adoption, horizon: &Horizon) -> Result<()> {
        // The second time it is not the giver's any more.
        unit!(self.db, adoption.proof.scope(), Twice::Never, on => adopt(on, adoption, horizon))
    }

    async fn begin_conversation_erasure(&self, scope: &Scope, id: ConversationId) -> Result<Option<Erasing>> {
        unit!(self.db, scope, Twice::Never, on => mark(on, scope, id, ErasureCause::Request))
    }
}
