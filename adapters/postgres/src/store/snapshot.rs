//! One moment of a site, on a connection of its own: it may be read from for long, and no pool waits for it. There are few at
//! once, and one that nobody reads on ends: it keeps the server from tidying up, and from locks on its tables.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use privet::contact::{ContactId, ContactSummary, Conversation, ConversationId};
use privet::store::{Horizon, Snapshot, StoredMessage};
use privet::{Error, Result, Scope};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::conversations::{SHOWN, bind_shown};
use super::rows::{self, conversation_columns, ms, read_conversation, read_summary, summary_columns};
use super::{NAME, messages};
use crate::db::{Db, MOMENT, On, Sql, UnitResult};
use crate::error::{Failure, UnitError, told};

/// So many moments are open at once: each has a connection, and is a transaction for as long as somebody downloads.
const MOST: usize = 4;
/// A moment from which nobody read for so long is let go.
const IDLE: Duration = Duration::from_secs(60);

/// The connection of a moment, while nobody reads from it.
struct Held {
    connection: Option<PgConnection>,
    since: Instant,
}

fn held(held: &Mutex<Held>) -> MutexGuard<'_, Held> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The moments that are open.
#[derive(Clone, Default)]
pub(super) struct Moments(Arc<Mutex<Vec<Weak<Mutex<Held>>>>>);

impl fmt::Debug for Moments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Moments").finish_non_exhaustive()
    }
}

impl Moments {
    /// A place for another one. Those that nobody reads on make room: the server has ended them already.
    fn place(&self) -> Result<Arc<Mutex<Held>>> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|moment| {
            let Some(moment) = moment.upgrade() else { return false };
            let mut held = held(&moment);
            let is_idle = held.connection.is_some() && held.since.elapsed() >= IDLE;
            if is_idle {
                held.connection = None;
            }
            !is_idle
        });
        if open.len() >= MOST {
            return Err(Error::unavailable(
                NAME,
                format!(
                    "{MOST} exports are being read, which is as many as there may be at once; wait until one ends"
                ),
            ));
        }
        let held = Arc::new(Mutex::new(Held { connection: None, since: Instant::now() }));
        open.push(Arc::downgrade(&held));
        Ok(held)
    }
}

fn gone() -> Error {
    Error::unavailable(
        NAME,
        "the moment that was read from is closed: nobody read on for a minute, a read broke off, or the connection was lost; begin anew",
    )
}

struct SiteSnapshot {
    held: Arc<Mutex<Held>>,
    sql: Sql,
    scope: Scope,
    horizon: Horizon,
}

impl fmt::Debug for SiteSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SiteSnapshot").field("scope", &self.scope).finish_non_exhaustive()
    }
}

/// Opens the moment. The transaction ends with the connection, when the snapshot is dropped, or when nobody reads on.
pub(super) async fn open(
    db: &Db,
    moments: &Moments,
    scope: &Scope,
    horizon: &Horizon,
) -> UnitResult<Box<dyn Snapshot>> {
    let place = moments.place()?;
    let opened = async {
        let mut connection = PgConnection::connect_with(&db.pool.connect_options()).await?;
        let begin = format!("{MOMENT}; SET LOCAL idle_in_transaction_session_timeout = {}", IDLE.as_millis());
        sqlx::raw_sql(db.opening(AssertSqlSafe(begin), scope.into())).execute(&mut connection).await?;
        // The moment is that of the first look.
        let on = On { c: &mut connection, sql: &db.sql };
        on.q("SELECT 1 FROM privet.meta LIMIT 1").fetch_optional(&mut *on.c).await?;
        Ok::<_, sqlx::Error>(connection)
    };
    let connection = opened.await?;
    *held(&place) = Held { connection: Some(connection), since: Instant::now() };
    Ok(Box::new(SiteSnapshot { held: place, sql: db.sql.clone(), scope: scope.clone(), horizon: *horizon }))
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

impl SiteSnapshot {
    fn take(&self) -> Result<PgConnection> {
        held(&self.held).connection.take().ok_or_else(gone)
    }

    /// A moment that is gone does not come back: nothing is repeated here.
    fn settle<T>(&self, connection: PgConnection, worked: UnitResult<T>) -> Result<T> {
        match worked {
            Err(UnitError::Sql(error) | UnitError::Commit(error)) => Err(match Failure::of(&error) {
                Failure::Lost => gone(),
                _ => told(NAME, &error),
            }),
            Err(UnitError::Rule(error)) => Err(error),
            Ok(value) => {
                *held(&self.held) = Held { connection: Some(connection), since: Instant::now() };
                Ok(value)
            }
        }
    }
}

#[async_trait]
impl Snapshot for SiteSnapshot {
    async fn contacts(&mut self, after: Option<ContactId>, limit: u16) -> Result<Vec<ContactSummary>> {
        let mut connection = self.take()?;
        let on = &mut On { c: &mut connection, sql: &self.sql };
        let read = contacts(on, &self.scope, after, limit, &self.horizon).await;
        self.settle(connection, read)
    }

    async fn conversations(
        &mut self,
        after: Option<ConversationId>,
        limit: u16,
    ) -> Result<Vec<Conversation>> {
        let mut connection = self.take()?;
        let on = &mut On { c: &mut connection, sql: &self.sql };
        let read = conversations(on, &self.scope, after, limit, &self.horizon).await;
        self.settle(connection, read)
    }

    async fn messages(
        &mut self,
        conversation: ConversationId,
        after: u32,
        limit: u16,
    ) -> Result<Vec<StoredMessage>> {
        let mut connection = self.take()?;
        let on = &mut On { c: &mut connection, sql: &self.sql };
        let read = messages::of(on, &self.scope, conversation, after, limit, &self.horizon).await;
        self.settle(connection, read)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that meets something else has failed")]
mod tests {
    use privet::Timestamp;
    use privet::store::PortalStore as _;
    use privet_test_postgres::{Server, fresh_name, server};
    use sqlx::{PgPool, Row as _};

    use super::*;
    use crate::{PostgresOptions, PostgresStore};

    async fn store(server: &Server, name: &str) -> PostgresStore {
        PostgresOptions::new(&server.named_url(name)).unwrap().schema(name).store().await.unwrap()
    }

    /// Who opens exports and walks away keeps nobody else from one.
    #[tokio::test]
    async fn there_are_few_moments_and_an_idle_one_makes_room() {
        let Some(server) = server() else { return };
        let store = store(server, &fresh_name()).await;
        let (scope, horizon) = (Scope::default(), Horizon::unlimited(Timestamp::from_millis(0)));
        let mut open = Vec::new();
        for _ in 0..MOST {
            open.push(store.snapshot(&scope, &horizon).await.unwrap());
        }
        let refused = store.clone().snapshot(&scope, &horizon).await.unwrap_err();
        assert!(refused.to_string().contains("wait until one ends"), "{refused}");
        drop(open.pop());
        open.push(store.snapshot(&scope, &horizon).await.unwrap());
        assert!(store.snapshot(&scope, &horizon).await.is_err());
        // The first one was not read from for long.
        let first = store.moments.0.lock().unwrap()[0].upgrade().unwrap();
        held(&first).since = Instant::now().checked_sub(IDLE).unwrap();
        open.push(store.snapshot(&scope, &horizon).await.unwrap());
        let ended = open[0].contacts(None, 9).await.unwrap_err();
        assert!(ended.to_string().contains("begin anew"), "{ended}");
        for moment in &mut open[1..] {
            assert!(moment.contacts(None, 9).await.unwrap().is_empty(), "who reads on is not disturbed");
        }
    }

    /// Nobody asks for another one, and the server ends it by itself.
    #[tokio::test]
    async fn the_server_ends_a_moment_that_nobody_reads_on() {
        let Some(server) = server() else { return };
        let name = fresh_name();
        let store = store(server, &name).await;
        let (scope, horizon) = (Scope::default(), Horizon::unlimited(Timestamp::from_millis(0)));
        let mut moment = store.snapshot(&scope, &horizon).await.unwrap();
        let first = store.moments.0.lock().unwrap()[0].upgrade().unwrap();
        let mut connection = held(&first).connection.take().unwrap();
        let set = "SELECT current_setting('idle_in_transaction_session_timeout')";
        let set: String = sqlx::query(set).fetch_one(&mut connection).await.unwrap().get(0);
        assert_eq!(set, "1min");
        sqlx::raw_sql("SET LOCAL idle_in_transaction_session_timeout = 1")
            .execute(&mut connection)
            .await
            .unwrap();
        held(&first).connection = Some(connection);
        let pool = PgPool::connect(server.url()).await.unwrap();
        let reads = "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1 AND state = 'idle in transaction'";
        let ends = async {
            while sqlx::query(reads).bind(&name).fetch_one(&pool).await.unwrap().get::<i64, _>(0) > 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), ends).await.unwrap();
        for _ in 0..2 {
            let ended = moment.contacts(None, 9).await.unwrap_err();
            assert!(ended.to_string().contains("nobody read on for a minute"), "{ended}");
        }
    }
}
