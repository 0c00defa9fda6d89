//! One moment of a site, on a connection of its own: it may be read from for long, and no pool waits for it.

use std::fmt;

use async_trait::async_trait;
use privet::contact::{ContactId, ContactSummary, Conversation, ConversationId};
use privet::store::{Horizon, Snapshot, StoredMessage};
use privet::{Result, Scope};
use sqlx::{Connection as _, PgConnection};

use super::conversations::{SHOWN, bind_shown};
use super::rows::{self, conversation_columns, ms, read_conversation, read_summary, summary_columns};
use super::{NAME, messages};
use crate::db::{Db, MOMENT, On, Sql, UnitResult};
use crate::error::{UnitError, told};

struct SiteSnapshot {
    connection: PgConnection,
    sql: Sql,
    scope: Scope,
    horizon: Horizon,
}

impl fmt::Debug for SiteSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SiteSnapshot").field("scope", &self.scope).finish_non_exhaustive()
    }
}

/// Opens the moment. The transaction ends with the connection, when the snapshot is dropped.
pub(super) async fn open(db: &Db, scope: &Scope, horizon: &Horizon) -> UnitResult<Box<dyn Snapshot>> {
    let opened = async {
        let mut connection = PgConnection::connect_with(&db.pool.connect_options()).await?;
        sqlx::raw_sql(db.opening(MOMENT, scope.into())).execute(&mut connection).await?;
        // The moment is that of the first look.
        let on = On { c: &mut connection, sql: &db.sql };
        on.q("SELECT 1 FROM privet.meta LIMIT 1").fetch_optional(&mut *on.c).await?;
        Ok::<_, sqlx::Error>(connection)
    };
    let connection = opened.await?;
    Ok(Box::new(SiteSnapshot { connection, sql: db.sql.clone(), scope: scope.clone(), horizon: *horizon }))
}

async fn contacts(
    on: &mut On<'_>,
    scope: &Scope,
    after: Option<ContactId>,
    limit: u16,
    horizon: &Horizon,
) -> UnitResult<Vec<ContactSummary>> {
    let rows = on
        .q(concat!(
            "SELECT ",
            summary_columns!(),
            " FROM privet.contacts WHERE tenant = $1 AND site = $2 AND id > $3
               AND last_seen >= $4 AND consent_until > $5 AND erasing IS NULL AND frozen_until IS NULL
             ORDER BY id LIMIT $6"
        ))
        .bind(scope.tenant.as_str())
        .bind(scope.site.as_str())
        .bind(after.map_or_else(Vec::new, |id| id.as_bytes().to_vec()))
        .bind(ms(horizon.contacts))
        .bind(ms(horizon.now))
        .bind(i64::from(limit))
        .fetch_all(&mut *on.c)
        .await?;
    Ok(rows::all(&rows, read_summary)?)
}

async fn conversations(
    on: &mut On<'_>,
    scope: &Scope,
    after: Option<ConversationId>,
    limit: u16,
    horizon: &Horizon,
) -> UnitResult<Vec<Conversation>> {
    let sql = format!(
        "SELECT {} FROM privet.conversations c WHERE c.tenant = $1 AND c.site = $2 AND c.id > $8 AND {SHOWN} ORDER BY c.id LIMIT $9",
        conversation_columns!()
    );
    let rows = bind_shown(on.q(sql), scope, horizon)
        .bind(after.map_or_else(Vec::new, |id| id.as_bytes().to_vec()))
        .bind(i64::from(limit))
        .fetch_all(&mut *on.c)
        .await?;
    Ok(rows::all(&rows, read_conversation)?)
}

/// A moment that is gone does not come back: nothing is repeated here.
fn ended<T>(worked: UnitResult<T>) -> Result<T> {
    worked.map_err(|error| match error {
        UnitError::Rule(error) => error,
        UnitError::Sql(error) | UnitError::Commit(error) => told(NAME, &error),
    })
}

#[async_trait]
impl Snapshot for SiteSnapshot {
    async fn contacts(&mut self, after: Option<ContactId>, limit: u16) -> Result<Vec<ContactSummary>> {
        let on = &mut On { c: &mut self.connection, sql: &self.sql };
        ended(contacts(on, &self.scope, after, limit, &self.horizon).await)
    }

    async fn conversations(
        &mut self,
        after: Option<ConversationId>,
        limit: u16,
    ) -> Result<Vec<Conversation>> {
        let on = &mut On { c: &mut self.connection, sql: &self.sql };
        ended(conversations(on, &self.scope, after, limit, &self.horizon).await)
    }

    async fn messages(
        &mut self,
        conversation: ConversationId,
        after: u32,
        limit: u16,
    ) -> Result<Vec<StoredMessage>> {
        let on = &mut On { c: &mut self.connection, sql: &self.sql };
        ended(messages::of(on, &self.scope, conversation, after, limit, &self.horizon).await)
    }
}
