//! One database: a pool, the name of the schema, and units of work that are repeated where that is safe.

use std::borrow::Cow;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::{Duration, Instant};

use privet::{Error, Result};
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, PgConnection, Postgres, SqlSafeStr, SqlStr};

use crate::error::{Failure, UnitError, only_reads, told, unknown};
use crate::hosts::{self, Hosts};
pub(crate) use crate::wall::Whose;

pub(crate) type UnitResult<T> = std::result::Result<T, UnitError>;

/// The schema that the SQL here names.
pub(crate) const SCHEMA: &str = "privet";

/// How often a collision is tried again: each time somebody else got through.
const COLLISIONS: u32 = 20;
/// How often a lost connection is tried again: with the pauses, for about five seconds.
const LOSSES: u32 = 25;
/// What begins a transaction that sees one moment.
pub(crate) const MOMENT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
/// How long a unit waits for what it needs, if nothing else is said.
pub(crate) const WAIT: Duration = Duration::from_secs(10);
/// The same while others wait along.
const IMPATIENT: Duration = Duration::from_secs(1);
/// How long, in milliseconds, a server waits within a unit of work for its next statement. It comes at once, unless the instance
/// is stopped or gone.
const IDLE: u32 = 15_000;
const SHORTEST: Duration = Duration::from_millis(2);
const LONGEST: Duration = Duration::from_millis(250);

/// What SQL becomes on its way: the name of the schema, and whether a statement may stay prepared.
#[derive(Clone, Debug)]
pub(crate) struct Sql {
    /// None while it is the one that the SQL names.
    schema: Option<Arc<str>>,
    persistent: bool,
    /// Whether each transaction says whose it is.
    pub(crate) walled: bool,
}

impl Sql {
    fn put(&self, sql: Cow<'static, str>) -> SqlStr {
        match (&self.schema, sql) {
            (None, Cow::Borrowed(sql)) => sql.into_sql_str(),
            (None, Cow::Owned(sql)) => AssertSqlSafe(sql).into_sql_str(),
            // The name was checked: letters, digits and underscores.
            (Some(schema), sql) => {
                AssertSqlSafe(sql.replace("privet.", &format!("\"{schema}\"."))).into_sql_str()
            }
        }
    }

    fn query(&self, sql: impl Into<Cow<'static, str>>) -> Query<'static, Postgres, PgArguments> {
        sqlx::query(self.put(sql.into())).persistent(self.persistent)
    }
}

/// A connection to run statements on, in a transaction or not.
pub(crate) struct On<'c> {
    pub(crate) c: &'c mut PgConnection,
    pub(crate) sql: &'c Sql,
}

impl On<'_> {
    /// A statement; `privet.` in it stands for the schema. It is put together from constants only: values are bound.
    pub(crate) fn q(&self, sql: impl Into<Cow<'static, str>>) -> Query<'static, Postgres, PgArguments> {
        self.sql.query(sql)
    }

    /// Goes on for another tenant, in a unit that has things of several.
    pub(crate) async fn speak_for(&mut self, whose: Whose<'_>) -> std::result::Result<(), sqlx::Error> {
        if self.sql.walled {
            let query =
                self.q("SELECT set_config('privet_unit.tenant', $1, true)").bind(whose.name().to_owned());
            query.execute(&mut *self.c).await?;
        }
        Ok(())
    }

    /// Several statements without values.
    pub(crate) async fn script(
        &mut self,
        sql: impl Into<Cow<'static, str>>,
    ) -> std::result::Result<(), sqlx::Error> {
        sqlx::raw_sql(self.sql.put(sql.into())).execute(&mut *self.c).await.map(drop)
    }
}

/// Whether a unit may run a second time when nobody knows whether it was committed the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Twice {
    /// It goes by an id, or says how things are to be.
    Harmless,
    /// Its second answer would be another one.
    Never,
}

/// A pool and a schema.
#[derive(Clone)]
pub(crate) struct Db {
    pub(crate) pool: PgPool,
    pub(crate) sql: Sql,
    pub(crate) store: &'static str,
    schema: Arc<str>,
    /// Where there are several servers.
    hosts: Option<Hosts>,
    wait: Duration,
    /// What begins a unit of work.
    unit: Arc<str>,
    /// Every statement is in a transaction, since the next one may meet another server.
    pooler: bool,
}

impl fmt::Debug for Db {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Db").field("store", &self.store).field("schema", &self.schema).finish_non_exhaustive()
    }
}

/// How to reach a database.
#[derive(Clone)]
pub(crate) struct Reach {
    pub(crate) options: PgConnectOptions,
    /// Other servers of the same database.
    pub(crate) others: Vec<PgConnectOptions>,
    pub(crate) schema: Arc<str>,
    pub(crate) connections: u32,
    pub(crate) wait: Duration,
    pub(crate) pooler: bool,
    pub(crate) row_security: bool,
}

impl Db {
    /// A pool of our own. The first connection is made here, so that what is wrong shows at once.
    pub(crate) async fn connect(store: &'static str, reach: &Reach) -> Result<Self> {
        let db = Self::lazily(store, reach);
        if let Some(hosts) = &db.hosts {
            hosts.choose(&db.pool).await;
        }
        drop(db.pool.acquire().await.map_err(|e| told(store, &e))?);
        Ok(db)
    }

    /// A pool of our own that connects when it is used.
    pub(crate) fn lazily(store: &'static str, reach: &Reach) -> Self {
        // A pooler refuses what it does not know among the settings of a new connection.
        let fit = |options: &PgConnectOptions| {
            let options = options.clone().extra_float_digits(None);
            if reach.pooler { options.statement_cache_capacity(0) } else { options }
        };
        let hosts = (!reach.others.is_empty())
            .then(|| Hosts::new(std::iter::once(&reach.options).chain(&reach.others).map(fit).collect()));
        let checked = hosts.clone();
        let pool = PgPoolOptions::new()
            .max_connections(reach.connections)
            .acquire_timeout(reach.wait)
            // A unit that meets a dead connection is repeated on another one, which costs nothing while all live.
            .test_before_acquire(false)
            .before_acquire(move |_, connection| {
                let keeps = checked.as_ref().is_none_or(|hosts| hosts.keeps(connection.age));
                Box::pin(std::future::ready(Ok(keeps)))
            })
            .connect_lazy_with(fit(&reach.options));
        let mut db = Self::on(store, pool, reach.schema.clone(), reach.pooler);
        db.sql.walled = reach.row_security;
        db.hosts = hosts;
        db.waits(reach.wait);
        db
    }

    /// A pool of somebody else's.
    pub(crate) fn on(store: &'static str, pool: PgPool, schema: Arc<str>, pooler: bool) -> Self {
        let named = (*schema != *SCHEMA).then(|| schema.clone());
        Self {
            pool,
            sql: Sql { schema: named, persistent: !pooler, walled: false },
            store,
            schema,
            hosts: None,
            wait: WAIT,
            unit: unit_opening(WAIT),
            pooler,
        }
    }

    pub(crate) fn schema(&self) -> &str {
        &self.schema
    }

    /// How long a unit waits for what it needs.
    pub(crate) fn waits(&mut self, longest: Duration) {
        (self.wait, self.unit) = (longest, unit_opening(longest));
    }

    /// For units that go together: they give up soon on what somebody holds, so that one does not keep the others waiting.
    pub(crate) fn impatient(&self) -> Self {
        Self { unit: unit_opening(self.wait.min(IMPATIENT)), ..self.clone() }
    }

    /// What begins a transaction on somebody's behalf.
    pub(crate) fn opening(&self, begin: impl SqlSafeStr, whose: Whose<'_>) -> SqlStr {
        let begin = begin.into_sql_str();
        if self.sql.walled { AssertSqlSafe(whose.opening(begin.as_str())).into_sql_str() } else { begin }
    }

    async fn begun(&self, begin: SqlStr) -> UnitResult<Transaction> {
        self.reached(|| async {
            // Open from here on: nobody knows whether the server has begun it while there is no answer.
            let mut transaction = Transaction { connection: self.pool.acquire().await?, open: true };
            sqlx::raw_sql(begin.clone()).execute(&mut *transaction).await?;
            Ok(transaction)
        })
        .await
    }

    /// What a server is waited for with, on another one as soon as that takes writes instead.
    async fn reached<T, F>(&self, begin: impl Fn() -> F) -> UnitResult<T>
    where
        F: Future<Output = std::result::Result<T, sqlx::Error>>,
    {
        let Some(hosts) = &self.hosts else { return Ok(begin().await?) };
        loop {
            // What is on its way to the old one may never arrive.
            if let Some(begun) = hosts.watched(&self.pool, hosts::PATIENCE, begin()).await {
                return Ok(begun?);
            }
        }
    }

    /// What is done within a transaction, for as long as its server is the one that takes writes: one that fell silent does
    /// not answer, and does not say so.
    pub(crate) async fn watched<T>(&self, work: impl Future<Output = UnitResult<T>>) -> UnitResult<T> {
        let Some(hosts) = &self.hosts else { return work.await };
        let silent = || sqlx::Error::Io(std::io::Error::other("another server takes writes by now"));
        hosts.watched(&self.pool, hosts::SILENCE, work).await.unwrap_or_else(|| Err(silent().into()))
    }

    /// A transaction in which each statement sees what was committed before it: what the locks are taken for.
    pub(crate) async fn begin(&self, whose: Whose<'_>) -> UnitResult<Transaction> {
        self.begun(self.opening(AssertSqlSafe(self.unit.clone()), whose)).await
    }

    /// A transaction that sees one moment.
    pub(crate) async fn moment(&self, whose: Whose<'_>) -> UnitResult<Transaction> {
        self.begun(self.opening(MOMENT, whose)).await
    }

    /// A place for one statement that reads.
    pub(crate) async fn place(&self, whose: Whose<'_>) -> UnitResult<Place> {
        if self.pooler || self.sql.walled {
            Ok(Place::Inside(self.begun(self.opening("BEGIN READ ONLY", whose)).await?))
        } else {
            Ok(Place::Alone(self.reached(|| self.pool.acquire()).await?))
        }
    }

    pub(crate) fn tries(&self, twice: Twice) -> Tries<'_> {
        Tries { db: self, twice, collisions: 0, losses: 0, began: Instant::now() }
    }

    /// Commits what worked, and leaves what did not.
    pub(crate) async fn end<T>(&self, mut transaction: Transaction, worked: UnitResult<T>) -> UnitResult<T> {
        match worked {
            Ok(value) => {
                let committed = self.watched(async { Ok(transaction.end("COMMIT").await?) }).await;
                match committed {
                    Ok(()) => Ok(value),
                    Err(UnitError::Sql(error)) => Err(UnitError::Commit(error)),
                    Err(error) => Err(error),
                }
            }
            Err(error) => {
                // A connection that is gone rolls back by itself, and so does one that is closed.
                if error.leaves_the_connection() {
                    let _ = self.watched(async { Ok(transaction.end("ROLLBACK").await?) }).await;
                }
                Err(error)
            }
        }
    }
}

/// A transaction on a connection of the pool. One that is dropped in the middle, since the visitor went away, takes its connection
/// along: it would go back to the pool with the transaction open, for whoever comes next, who may be the app itself.
pub(crate) struct Transaction {
    connection: PoolConnection<Postgres>,
    open: bool,
}

impl Transaction {
    async fn end(&mut self, how: &'static str) -> std::result::Result<(), sqlx::Error> {
        sqlx::raw_sql(how).execute(&mut *self.connection).await?;
        self.open = false;
        Ok(())
    }
}

impl Deref for Transaction {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.connection
    }
}

impl DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if self.open {
            self.connection.close_on_drop();
        }
    }
}

/// Where one statement runs.
pub(crate) enum Place {
    Alone(PoolConnection<Postgres>),
    Inside(Transaction),
}

impl Place {
    pub(crate) fn connection(&mut self) -> &mut PgConnection {
        match self {
            Self::Alone(connection) => connection,
            Self::Inside(transaction) => transaction,
        }
    }

    /// Ends the transaction, if there is one: nothing was written. A connection that failed is not used again.
    pub(crate) async fn leave<T>(mut self, worked: &UnitResult<T>) {
        if let (Self::Alone(connection), Err(error)) = (&mut self, worked)
            && !error.leaves_the_connection()
        {
            connection.close_on_drop();
        }
        if worked.is_ok()
            && let Self::Inside(mut transaction) = self
        {
            let _ = transaction.end("COMMIT").await;
        }
    }
}

/// How often a unit has been tried, and whether it is tried again.
pub(crate) struct Tries<'d> {
    db: &'d Db,
    twice: Twice,
    collisions: u32,
    losses: u32,
    began: Instant,
}

impl Tries<'_> {
    /// What the unit ended with, or nothing, after a pause, if it is to run again.
    pub(crate) async fn settle<T>(&mut self, done: UnitResult<T>) -> Option<Result<T>> {
        let (error, committing) = match done {
            Ok(value) => return Some(Ok(value)),
            Err(UnitError::Rule(error)) => return Some(Err(error)),
            Err(UnitError::Sql(error)) => (error, false),
            Err(UnitError::Commit(error)) => (error, true),
        };
        let failure = Failure::of(&error);
        if committing && failure == Failure::Lost && self.twice == Twice::Never {
            return Some(Err(unknown(self.db.store, &error)));
        }
        let (count, most) = match failure {
            Failure::Collision => (&mut self.collisions, COLLISIONS),
            Failure::Lost => (&mut self.losses, LOSSES),
            Failure::Lasting => return Some(Err(told(self.db.store, &error))),
        };
        *count += 1;
        let (mut over, mut attempts) = (*count > most, *count);
        if let (Failure::Lost, Some(hosts)) = (failure, &self.db.hosts) {
            // A standby takes its time to be promoted, and each connection that was open is lost once.
            over = self.began.elapsed() > self.db.wait;
            attempts = attempts.min(8);
            if only_reads(&error) {
                hosts.distrust();
            }
            hosts.choose(&self.db.pool).await;
        }
        if over {
            return Some(Err(told(self.db.store, &error)));
        }
        tracing::debug!("a unit of work is repeated: {failure:?}");
        let pause = (SHORTEST * 2_u32.saturating_pow(attempts)).min(LONGEST);
        tokio::time::sleep(pause.mul_f64(0.5 + part_of_one() / 2.0)).await;
        None
    }
}

/// What begins a unit of work. It gives up on what somebody else holds for longer than this; and when an instance vanishes in
/// the middle, with its machine, the server does not keep its locks until it notices that the connection is dead.
fn unit_opening(wait: Duration) -> Arc<str> {
    let wait = wait.as_millis().clamp(1, 86_400_000);
    Arc::from(format!(
        "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = {wait}; SET LOCAL idle_in_transaction_session_timeout = {IDLE}"
    ))
}

/// Enough to keep two who met from meeting again.
fn part_of_one() -> f64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    f64::from(now.map_or(0, |d| d.subsec_nanos()) % 1000) / 1000.0
}

/// Runs a unit of work in a transaction that is durable when it is through, and again where that is safe.
macro_rules! unit {
    ($db:expr, $whose:expr, $twice:expr, $on:ident => $work:expr) => {{
        let db: &$crate::db::Db = &$db;
        let mut tries = db.tries($twice);
        loop {
            let done = match db.begin($crate::db::Whose::from($whose)).await {
                Ok(mut transaction) => {
                    let worked = {
                        let $on = &mut $crate::db::On { c: &mut transaction, sql: &db.sql };
                        db.watched($work).await
                    };
                    db.end(transaction, worked).await
                }
                Err(error) => Err(error),
            };
            if let Some(result) = tries.settle(done).await {
                break result;
            }
        }
    }};
}

/// Runs one statement that reads.
macro_rules! read {
    ($db:expr, $whose:expr, $on:ident => $work:expr) => {{
        let db: &$crate::db::Db = &$db;
        let mut tries = db.tries($crate::db::Twice::Harmless);
        loop {
            let done = match db.place($crate::db::Whose::from($whose)).await {
                Ok(mut place) => {
                    let worked = {
                        let $on = &mut $crate::db::On { c: place.connection(), sql: &db.sql };
                        db.watched($work).await
                    };
                    place.leave(&worked).await;
                    worked
                }
                Err(error) => Err(error),
            };
            if let Some(result) = tries.settle(done).await {
                break result;
            }
        }
    }};
}

/// Runs several statements that read, all at one moment.
macro_rules! read_moment {
    ($db:expr, $whose:expr, $on:ident => $work:expr) => {{
        let db: &$crate::db::Db = &$db;
        let mut tries = db.tries($crate::db::Twice::Harmless);
        loop {
            let done = match db.moment($crate::db::Whose::from($whose)).await {
                Ok(mut transaction) => {
                    let worked = {
                        let $on = &mut $crate::db::On { c: &mut transaction, sql: &db.sql };
                        db.watched($work).await
                    };
                    db.end(transaction, worked).await
                }
                Err(error) => Err(error),
            };
            if let Some(result) = tries.settle(done).await {
                break result;
            }
        }
    }};
}

pub(crate) use {read, read_moment, unit};

/// Whether a schema may have this name: it is written into statements as it is.
pub(crate) fn check_schema(name: &str) -> Result<()> {
    let fits = (1..=48).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.starts_with("pg_");
    if fits {
        Ok(())
    } else {
        Err(Error::config(
            "the name of the schema is empty, longer than 48 characters, begins with a digit or `pg_`, or holds a character other than a to z, 0 to 9 and `_`",
            "name it plainly, such as `privet`",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemas_have_plain_names() {
        for good in ["privet", "app_privacy", "_x1"] {
            assert!(check_schema(good).is_ok(), "{good}");
        }
        for bad in ["", "Privet", "1x", "a.b", "a\"b", "pg_catalog", &"x".repeat(49)] {
            assert!(check_schema(bad).is_err(), "{bad}");
        }
    }
}
