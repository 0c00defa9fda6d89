//! One moment of a site, on a connection of its own: it may be read from for long, and no pool waits for it.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::TryStreamExt as _;
use futures_util::future::{Either, select};
use privet::contact::{ContactId, ContactSummary, Conversation, ConversationId};
use privet::store::{Horizon, Snapshot, StoredMessage};
use privet::{Error, Result, Scope};
use sqlx::{AssertSqlSafe, PgConnection};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::moments::{IDLE, Moment, Moments, gone};
use super::rows::{self, conversation_columns, ms, read_conversation, read_summary, summary_columns};
use super::shown::{SHOWN, bind_shown};
use super::{NAME, messages};
use crate::db::{Db, MOMENT, On, Sql, UnitResult, now, silent};
use crate::error::{Failure, UnitError, told};
use crate::replica::Replica;

/// So many contacts go from the connection to whoever reads at once; two such parts wait at most.
const PART: usize = 512;
/// A moment is opened within this.
const OPENS: Duration = Duration::from_secs(15);

/// Who has gone takes no more; who takes nothing for long has gone, and does not say so.
#[derive(PartialEq, Eq)]
enum Taken {
    All,
    NoMore,
    Stalled,
}

/// All contacts, in the order in which the table has them: in that of their ids each would be looked for by itself, which takes
/// several times as long. The server goes on while somebody does something with the last ones.
struct Contacts {
    parts: mpsc::Receiver<UnitResult<Vec<ContactSummary>>>,
    /// Gives the connection back when it ends.
    reading: JoinHandle<()>,
    rest: std::vec::IntoIter<ContactSummary>,
    last: Option<ContactId>,
    over: bool,
}

impl Contacts {
    fn read(
        (moment, mut connection): (Moment, PgConnection),
        sql: Sql,
        scope: Scope,
        horizon: Horizon,
    ) -> Self {
        let (give, parts) = mpsc::channel(2);
        let reading = tokio::spawn(async move {
            let on = &mut On { c: &mut connection, sql: &sql };
            let read = stream(on, &scope, &horizon, &give).await;
            match &read {
                Ok(Taken::All | Taken::NoMore) => moment.give(connection),
                Err(error) if error.leaves_the_connection() => moment.give(connection),
                _ => moment.end(),
            }
            match read {
                Ok(Taken::All) => drop(give.send(Ok(Vec::new())).await),
                Err(error) => drop(give.send(Err(error)).await),
                _ => {}
            }
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
                let part = self.parts.recv().await.unwrap_or_else(|| Err(gone().into()))?;
                self.over = part.is_empty();
                self.rest = part.into_iter();
            }
        }
        self.last = page.last().map(|c| c.id).or(self.last);
        Ok(page)
    }
}

/// Nobody reads on.
impl Drop for Contacts {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

async fn stream(
    on: &mut On<'_>,
    scope: &Scope,
    horizon: &Horizon,
    give: &mpsc::Sender<UnitResult<Vec<ContactSummary>>>,
) -> UnitResult<Taken> {
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
    loop {
        let filling = async {
            let mut part = Vec::with_capacity(PART);
            while part.len() < PART {
                match rows.try_next().await? {
                    Some(row) => part.push(read_summary(&row)?),
                    None => return UnitResult::Ok((part, true)),
                }
            }
            Ok((part, false))
        };
        // A server that fell silent says nothing any more, and who has gone does not wait for it.
        let filling = tokio::time::timeout(IDLE, filling);
        let (part, ends) = match select(std::pin::pin!(filling), std::pin::pin!(give.closed())).await {
            Either::Left((filled, _)) => filled.unwrap_or_else(|_| Err(silent().into()))?,
            Either::Right(_) => return Ok(Taken::NoMore),
        };
        if !part.is_empty() {
            match tokio::time::timeout(IDLE, give.send(Ok(part))).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Ok(Taken::NoMore),
                Err(_) => return Ok(Taken::Stalled),
            }
        }
        if ends {
            return Ok(Taken::All);
        }
    }
}

struct SiteSnapshot {
    moment: Moment,
    contacts: Option<Contacts>,
    sql: Sql,
    scope: Scope,
    horizon: Horizon,
    /// Whose moment it is, where it is not the primary's, and how old it was.
    replica: Option<Replica>,
    behind: Option<Duration>,
}

impl fmt::Debug for SiteSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SiteSnapshot").field("scope", &self.scope).finish_non_exhaustive()
    }
}

/// Opens the moment. The transaction ends with the connection, when the snapshot is dropped, or when nobody reads on.
pub(super) async fn open(
    db: &Db,
    replica: Option<&Replica>,
    moments: &Moments,
    scope: &Scope,
    horizon: &Horizon,
) -> UnitResult<Box<dyn Snapshot>> {
    let behind = replica.map(|replica| replica.behind(now()));
    let moment = moments.place()?;
    let opened = async {
        // From the pool, so that it is made ready as the app makes its connections ready; and out of it, for as long as it lasts.
        let mut connection = db.acquire().await?.detach();
        let begin = format!("{MOMENT}; SET LOCAL idle_in_transaction_session_timeout = {}", IDLE.as_millis());
        sqlx::raw_sql(db.opening(AssertSqlSafe(begin), scope.into())).execute(&mut connection).await?;
        // The moment is that of the first look.
        let on = On { c: &mut connection, sql: &db.sql };
        on.q("SELECT 1 FROM privet.meta LIMIT 1").fetch_optional(&mut *on.c).await?;
        Ok::<_, sqlx::Error>(connection)
    };
    let opened = tokio::time::timeout(OPENS, opened).await.unwrap_or_else(|_| Err(silent()));
    moment.give(opened?);
    let (sql, scope, horizon) = (db.sql.clone(), scope.clone(), *horizon);
    let replica = replica.cloned();
    Ok(Box::new(SiteSnapshot { moment, contacts: None, sql, scope, horizon, replica, behind }))
}

/// What became of it, as it is told.
pub(super) fn opened(opened: UnitResult<Box<dyn Snapshot>>) -> Result<Box<dyn Snapshot>> {
    opened.map_err(|error| match error {
        UnitError::Rule(error) => error,
        UnitError::Sql(error) | UnitError::Commit(error) => told(NAME, &error),
    })
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

/// A server that fell silent says nothing any more.
async fn in_time<T>(read: impl Future<Output = UnitResult<T>>) -> UnitResult<T> {
    tokio::time::timeout(IDLE, read).await.unwrap_or_else(|_| Err(silent().into()))
}

/// What is told when it did not go on: a moment that is gone does not come back, so that nothing is repeated here.
fn ended<T>(worked: UnitResult<T>) -> Result<T> {
    worked.map_err(|error| match error {
        UnitError::Rule(error) => error,
        UnitError::Sql(error) | UnitError::Commit(error) => match Failure::of(&error) {
            Failure::Lost => gone(),
            _ => told(NAME, &error),
        },
    })
}

impl SiteSnapshot {
    /// The connection, which is taken back from whoever reads contacts.
    async fn take(&mut self) -> Result<PgConnection> {
        if let Some(mut contacts) = self.contacts.take() {
            contacts.parts.close();
            let _ = (&mut contacts.reading).await;
        }
        self.moment.take()
    }

    fn settle<T>(&self, connection: PgConnection, worked: UnitResult<T>) -> Result<T> {
        match &worked {
            Err(error) if !error.leaves_the_connection() => self.moment.end(),
            _ => self.moment.give(connection),
        }
        self.ended(worked)
    }

    /// Whoever begins anew reads the primary for a while: a standby ends what is in its way, and would again.
    fn ended<T>(&self, worked: UnitResult<T>) -> Result<T> {
        if let (Err(UnitError::Sql(error) | UnitError::Commit(error)), Some(replica)) =
            (&worked, &self.replica)
            && Failure::of(error) != Failure::Lasting
        {
            replica.ended_export(now());
        }
        ended(worked)
    }
}

#[async_trait]
impl Snapshot for SiteSnapshot {
    fn behind(&self) -> Option<Duration> {
        self.behind
    }

    async fn contacts(&mut self, after: Option<ContactId>, limit: u16) -> Result<Vec<ContactSummary>> {
        if after.is_none() {
            let read = (self.moment.clone(), self.take().await?);
            self.contacts = Some(Contacts::read(read, self.sql.clone(), self.scope.clone(), self.horizon));
        }
        match &mut self.contacts {
            Some(contacts) if after == contacts.last => {
                let read = contacts.next(limit.into()).await;
                self.ended(read)
            }
            _ => Err(Error::Conflict { what: "the contacts of a snapshot" }),
        }
    }

    async fn conversations(
        &mut self,
        after: Option<ConversationId>,
        limit: u16,
    ) -> Result<Vec<Conversation>> {
        let mut connection = self.take().await?;
        let on = &mut On { c: &mut connection, sql: &self.sql };
        let read = in_time(conversations(on, &self.scope, after, limit, &self.horizon)).await;
        self.settle(connection, read)
    }

    async fn messages(
        &mut self,
        conversation: ConversationId,
        after: u32,
        limit: u16,
    ) -> Result<Vec<StoredMessage>> {
        let mut connection = self.take().await?;
        let on = &mut On { c: &mut connection, sql: &self.sql };
        let read = in_time(messages::of(on, &self.scope, conversation, after, limit, &self.horizon)).await;
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

    use super::super::moments::MOST;
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
        store.moments.first().unwrap().was_left(IDLE);
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
        let first = store.moments.first().unwrap();
        let mut connection = first.take().unwrap();
        let set = "SELECT current_setting('idle_in_transaction_session_timeout')";
        let set: String = sqlx::query(set).fetch_one(&mut connection).await.unwrap().get(0);
        assert_eq!(set, "1min");
        sqlx::raw_sql("SET LOCAL idle_in_transaction_session_timeout = 1")
            .execute(&mut connection)
            .await
            .unwrap();
        first.give(connection);
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
