//! Messages of a conversation. They are in partitions by month, so the lock on the conversation is what keeps their numbers and
//! ids unique.

use privet::contact::{ConversationId, Sealed};
use privet::store::{Horizon, MessageToStore, StoredMessage};
use privet::{Error, Scope};

use super::rows::{self, bytes, message_columns, ms, number, read_message};
use super::shown::{SHOWN, bind_shown};
use crate::db::{On, UnitResult};

pub(super) const BUSY: Error = Error::Conflict { what: "conversation" };

/// A message with the id of one that is to be stored, which was erased alone: it is not stored again, wherever it goes now.
pub(super) async fn erased_before(
    on: &mut On<'_>,
    scope: &Scope,
    message: &MessageToStore,
) -> UnitResult<Option<StoredMessage>> {
    let found = on
        .q("SELECT conversation, number FROM privet.erased_messages WHERE tenant = $1 AND site = $2 AND id = $3")
        .bind(scope.tenant.as_str())
        .bind(scope.site.as_str())
        .bind(message.id.as_bytes().as_slice())
        .fetch_optional(&mut *on.c)
        .await?;
    let Some(row) = found else { return Ok(None) };
    let conversation = ConversationId::from_bytes(bytes(&row, 0)?);
    let stored = StoredMessage::new(message.clone(), number(&row, 1)?);
    Ok(Some(StoredMessage { conversation, ..stored }))
}

/// Takes one message of a conversation that is locked out, and keeps its id.
pub(super) async fn erase(
    on: &mut On<'_>,
    scope: &Scope,
    conversation: ConversationId,
    number: u32,
) -> UnitResult<bool> {
    let kept = on
        .q("WITH gone AS (
              DELETE FROM privet.messages WHERE tenant = $1 AND site = $2 AND conversation = $3 AND number = $4
              RETURNING tenant, site, id, conversation, number)
            INSERT INTO privet.erased_messages (tenant, site, id, conversation, number)
            SELECT tenant, site, id, conversation, number FROM gone
            ON CONFLICT (tenant, site, id) DO UPDATE SET conversation = excluded.conversation, number = excluded.number")
        .bind(scope.tenant.as_str())
        .bind(scope.site.as_str())
        .bind(conversation.as_bytes().as_slice())
        .bind(i64::from(number))
        .execute(&mut *on.c)
        .await?;
    Ok(kept.rows_affected() > 0)
}

/// The message with the id of one that is to be stored: it came before. If it was erased since, it is not stored again.
pub(super) async fn by_id(
    on: &mut On<'_>,
    scope: &Scope,
    message: &MessageToStore,
) -> UnitResult<Option<StoredMessage>> {
    let found = on
        .q(concat!(
            "SELECT ",
            message_columns!(),
            " FROM privet.messages m WHERE tenant = $1 AND site = $2 AND conversation = $3 AND id = $4"
        ))
        .bind(scope.tenant.as_str())
        .bind(scope.site.as_str())
        .bind(message.conversation.as_bytes().as_slice())
        .bind(message.id.as_bytes().as_slice())
        .fetch_optional(&mut *on.c)
        .await?;
    match found {
        Some(row) => Ok(Some(read_message(message.conversation, &row)?)),
        None => erased_before(on, scope, message).await,
    }
}

/// Puts a message into its place.
pub(super) async fn insert(
    on: &mut On<'_>,
    scope: &Scope,
    message: &MessageToStore,
    number: u32,
) -> UnitResult<StoredMessage> {
    let stored = StoredMessage::new(message.clone(), number);
    on.q("INSERT INTO privet.messages (tenant, site, conversation, number, id, at, channel, author, body, page)
          VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)")
        .bind(scope.tenant.as_str())
        .bind(scope.site.as_str())
        .bind(stored.conversation.as_bytes().as_slice())
        .bind(i64::from(number))
        .bind(stored.id.as_bytes().as_slice())
        .bind(ms(stored.at))
        .bind(i16::from(stored.channel.code()))
        .bind(i16::from(stored.author.code()))
        .bind(stored.body.as_bytes())
        .bind(stored.page.as_ref().map(Sealed::as_bytes))
        .execute(&mut *on.c)
        .await?;
    Ok(stored)
}

/// Messages of a conversation, if that is shown.
pub(super) async fn of(
    on: &mut On<'_>,
    scope: &Scope,
    id: ConversationId,
    after: u32,
    limit: u16,
    horizon: &Horizon,
) -> UnitResult<Vec<StoredMessage>> {
    let sql = format!(
        "SELECT {} FROM privet.messages m WHERE tenant = $1 AND site = $2 AND conversation = $8 AND number > $9 AND at >= $10
           AND EXISTS (SELECT 1 FROM privet.conversations c WHERE c.tenant = $1 AND c.site = $2 AND c.id = $8 AND {SHOWN})
         ORDER BY number LIMIT $11",
        message_columns!()
    );
    let rows = bind_shown(on.q(sql), scope, horizon)
        .bind(id.as_bytes().as_slice())
        .bind(i64::from(after))
        .bind(ms(horizon.messages))
        .bind(i64::from(limit))
        .fetch_all(&mut *on.c)
        .await?;
    Ok(rows::all(&rows, |row| read_message(id, row))?)
}
