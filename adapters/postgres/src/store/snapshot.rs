//! One moment of a site, on a connection of its own: it may be read from for long, and no pool waits for it.

use std::fmt;

use async_trait::async_trait;
use futures_util::TryStreamExt as _;
use privet::contact::{ContactId, ContactSummary, Conversation, ConversationId};
use privet::store::{Horizon, Snapshot, StoredMessage};
use privet::{Error, Result, Scope};
use sqlx::{Connection as _, PgConnection};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::conversations::{SHOWN, bind_shown};
use super::rows::{self, conversation_columns, ms, read_conversation, read_summary, summary_columns};
use super::{NAME, messages};
use crate::db::{Db, MOMENT, On, Sql, UnitResult};
use crate::error::{UnitError, told};

/// So many contacts go from the connection to whoever reads at once; two such parts wait at most.
const PART: usize = 512;

/// All contacts, in the order in which the table has them: in that of their ids each would be looked for by itself, which takes
/// several times as long. The server goes on while somebody does something with the last ones.
struct Contacts {
    parts: mpsc::Receiver<UnitResult<Vec<ContactSummary>>>,
    /// Gives the connection back.
    reading: JoinHandle<PgConnection>,
    rest: std::vec::IntoIter<ContactSummary>,
    last: Option<ContactId>,
    over: bool,
}

impl Contacts {
    fn read(mut connection: PgConnection, sql: Sql, scope: Scope, horizon: Horizon) -> Self {
        let (give, parts) = mpsc::channel(2);
        let reading = tokio::spawn(async move {
            let on = &mut On { c: &mut connection, sql: &sql };
            // Whoever takes them may have gone.
            let last = stream(on, &scope, &horizon, &give).await;
            let _ = give.send(last.map(|()| Vec::new())).await;
            connection
        });
        Self { parts, reading, rest: Vec::new().into_iter(), last: None, over: false }
    }

    /// The next ones; none at the end.
    async fn next(&mut self, limit: usize) -> UnitResult<Vec<ContactSummary>> {
        let mut page = Vec::with_capacity(limit);
        while page.len() < limit && !self.over {
            page.extend(self.rest.by_ref().take(limit - page.len()));
            if page.len() < limit {
                // An end that nobody said is none.
                let part =
                    self.parts.recv().await.unwrap_or_else(|| Err(sqlx::Error::WorkerCrashed.into()))?;
                self.over = part.is_empty();
                self.rest = part.into_iter();
            }
        }
        self.last = page.last().map(|c| c.id).or(self.last);
        Ok(page)
    }
}

async fn stream(
    on: &mut On<'_>,
    scope: &Scope,
    horizon: &Horizon,
    give: &mpsc::Sender<UnitResult<Vec<ContactSummary>>>,
) -> UnitResult<()> {
    let query = on
        .q(concat!(
            "SELECT ",
            summary_columns!(),
            " FROM privet.contacts WHERE tenant = $1 AND site = $2
               AND last_seen >= $3 AND consent_until > $4 AND erasing IS NULL AND frozen_until IS NULL"
        ))
        .bind(scope.tenant.as_str().to_owned())
        .bind(scope.site.as_str().to_owned())
        .bind(ms(horizon.contacts))
        .bind(ms(horizon.now));
    let mut rows = query.fetch(&mut *on.c);
    let mut part = Vec::with_capacity(PART);
    while let Some(row) = rows.try_next().await? {
        part.push(read_summary(&row)?);
        if part.len() == PART {
            let full = std::mem::replace(&mut part, Vec::with_capacity(PART));
            if give.send(Ok(full)).await.is_err() {
                return Ok(());
            }
        }
    }
    if !part.is_empty() {
        let _ = give.send(Ok(part)).await;
    }
    Ok(())
}

struct SiteSnapshot {
    /// None while contacts are read on it, and when it is lost.
    connection: Option<PgConnection>,
    contacts: Option<Contacts>,
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
    Ok(Box::new(SiteSnapshot {
        connection: Some(connection),
        contacts: None,
        sql: db.sql.clone(),
        scope: scope.clone(),
        horizon: *horizon,
    }))
}

impl SiteSnapshot {
    /// The connection, which is taken back from whoever reads contacts.
    async fn connection(&mut self) -> UnitResult<&mut PgConnection> {
        if let Some(contacts) = self.contacts.take() {
            drop(contacts.parts);
            self.connection = contacts.reading.await.ok();
        }
        self.connection.as_mut().ok_or_else(|| sqlx::Error::WorkerCrashed.into())
    }

    async fn next_contacts(
        &mut self,
        after: Option<ContactId>,
        limit: u16,
    ) -> UnitResult<Vec<ContactSummary>> {
        if after.is_none() {
            self.connection().await?;
            let connection = self.connection.take().ok_or(sqlx::Error::WorkerCrashed)?;
            self.contacts =
                Some(Contacts::read(connection, self.sql.clone(), self.scope.clone(), self.horizon));
        }
        match &mut self.contacts {
            Some(contacts) if after == contacts.last => contacts.next(limit.into()).await,
            _ => Err(Error::Conflict { what: "the contacts of a snapshot" }.into()),
        }
    }
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
        ended(self.next_contacts(after, limit).await)
    }

    async fn conversations(
        &mut self,
        after: Option<ConversationId>,
        limit: u16,
    ) -> Result<Vec<Conversation>> {
        let (sql, scope, horizon) = (self.sql.clone(), self.scope.clone(), self.horizon);
        let c = ended(self.connection().await)?;
        ended(conversations(&mut On { c, sql: &sql }, &scope, after, limit, &horizon).await)
    }

    async fn messages(
        &mut self,
        conversation: ConversationId,
        after: u32,
        limit: u16,
    ) -> Result<Vec<StoredMessage>> {
        let (sql, scope, horizon) = (self.sql.clone(), self.scope.clone(), self.horizon);
        let c = ended(self.connection().await)?;
        ended(messages::of(&mut On { c, sql: &sql }, &scope, conversation, after, limit, &horizon).await)
    }
}
