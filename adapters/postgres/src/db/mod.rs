//! One database: a pool, the name of the schema, and units of work that are repeated where that is safe.

mod pooled;
mod sql;
mod transaction;
mod tries;
mod trust;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use privet::{Error, Result};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, SqlSafeStr, SqlStr};

use crate::error::{UnitError, told};
use crate::hosts::{self, Hosts};
pub(crate) use crate::wall::Whose;

use pooled::Pooled;
pub(crate) use sql::{On, Sql};
use transaction::{Opened, Place, Transaction};
use tries::Tries;
pub(crate) use tries::{Twice, again, attempt, read, read_moment, unit};
pub(crate) use trust::Trust;

pub(crate) type UnitResult<T> = std::result::Result<T, UnitError>;

/// The schema that the SQL here names.
pub(crate) const SCHEMA: &str = "privet";

/// What begins a transaction that sees one moment.
pub(crate) const MOMENT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
/// How long a unit waits for what it needs, if nothing else is said.
pub(crate) const WAIT: Duration = Duration::from_secs(10);
/// The same while others wait along.
const IMPATIENT: Duration = Duration::from_secs(1);
/// A transaction begins within this, on a connection that is there; a pooler may first have to find one.
const BEGIN: Duration = Duration::from_secs(5);
/// How long, in milliseconds, a server waits within a unit of work for its next statement. It comes at once, unless the instance
/// is stopped or gone.
const IDLE: u32 = 15_000;

/// A pool and a schema.
#[derive(Clone)]
pub(crate) struct Db {
    pub(crate) pool: PgPool,
    pub(crate) sql: Sql,
    pub(crate) store: &'static str,
    schema: Arc<str>,
    /// Where there are several servers.
    pub(super) hosts: Option<Hosts>,
    pub(crate) wait: Duration,
    /// After so long nobody waits any more for a server that says nothing. None where something takes its time.
    patience: Option<Duration>,
    /// Connections that were made before are not used again.
    trust: Trust,
    /// What begins a unit of work.
    unit: Arc<str>,
    /// Every statement is in a transaction, since the next one may meet another server.
    pooler: bool,
    /// What is there is neither made nor brought up to date.
    pub(crate) as_it_is: bool,
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
    pub(crate) as_it_is: bool,
}

impl Db {
    /// A pool of our own. The first connection is made here, so that what is wrong shows at once.
    pub(crate) async fn connect(store: &'static str, reach: &Reach) -> Result<Self> {
        let db = Self::lazily(store, reach);
        if let Some(hosts) = &db.hosts {
            hosts.choose(&db.pool).await;
        }
        Pooled::new(db.acquire().await.map_err(|e| told(store, &e))?).settled(true);
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
        let pool = PgPoolOptions::new()
            .max_connections(reach.connections)
            .acquire_timeout(reach.wait)
            .test_before_acquire(false)
            .before_acquire(pooled::tell)
            .connect_lazy_with(fit(&reach.options));
        let mut db = Self::on(store, pool, reach.schema.clone(), reach.pooler);
        (db.sql.walled, db.as_it_is) = (reach.row_security, reach.as_it_is);
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
            patience: Some(patience(WAIT)),
            trust: Trust::default(),
            unit: unit_opening(WAIT),
            pooler,
            as_it_is: false,
        }
    }

    pub(crate) fn schema(&self) -> &str {
        &self.schema
    }

    /// How long a unit waits for what it needs.
    pub(crate) fn waits(&mut self, longest: Duration) {
        (self.wait, self.unit, self.patience) = (longest, unit_opening(longest), Some(patience(longest)));
    }

    /// Whether a connection of this age is used.
    fn trusts(&self, age: Duration) -> bool {
        self.trust.keeps(age) && self.hosts.as_ref().is_none_or(|hosts| hosts.changed().keeps(age))
    }

    /// The connections that are there are not used again.
    pub(crate) fn withdraw_trust(&self) {
        self.trust.withdraw();
    }

    /// For what takes its time, and no visitor waits for.
    pub(crate) fn unhurried(&self) -> Self {
        Self { patience: None, ..self.clone() }
    }

    /// How many connections there are at most.
    pub(crate) fn connections(&self) -> u32 {
        self.pool.options().get_max_connections()
    }

    /// After so long nobody waits any more for a unit.
    pub(crate) fn patience(&self) -> Duration {
        patience(self.wait)
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
            let mut transaction = Transaction::open(self.acquire().await?);
            let begun = sqlx::raw_sql(begin.clone()).execute(&mut *transaction);
            let longest = if self.pooler { self.wait.max(BEGIN) } else { BEGIN };
            tokio::time::timeout(longest, begun).await.unwrap_or_else(|_| Err(silent()))?;
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

    /// What is done on a connection, for as long as its server is the one that takes writes, and somebody has the patience: one
    /// that fell silent does not answer, and does not say so.
    pub(crate) async fn watched<T>(&self, work: impl Future<Output = UnitResult<T>>) -> UnitResult<T> {
        let watched = async {
            let Some(hosts) = &self.hosts else { return work.await };
            let left = || sqlx::Error::Io(std::io::Error::other("another server takes writes by now"));
            hosts.watched(&self.pool, hosts::SILENCE, work).await.unwrap_or_else(|| Err(left().into()))
        };
        match self.patience {
            Some(patience) => {
                tokio::time::timeout(patience, watched).await.unwrap_or_else(|_| Err(silent().into()))
            }
            None => watched.await,
        }
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
            Ok(Place::Alone(Pooled::new(self.reached(|| self.acquire()).await?)))
        }
    }

    pub(crate) fn tries(&self, twice: Twice) -> Tries<'_> {
        Tries::of(self, twice)
    }

    /// Ends what was opened, and says what became of the work.
    pub(crate) async fn end<O: Opened, T: Send>(&self, opened: O, worked: UnitResult<T>) -> UnitResult<T> {
        opened.close(self, worked).await
    }
}

/// A unit waits for several things in a row at most.
fn patience(wait: Duration) -> Duration {
    wait * 3 + Duration::from_secs(15)
}

/// A server that says nothing for so long is not there any more.
pub(crate) fn silent() -> sqlx::Error {
    sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())
}

/// The instant, for what is made ahead of time only: what is stored has the instant that it is given.
pub(crate) fn now() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX))
}

/// What begins a unit of work. It gives up on what somebody else holds for longer than this; and when an instance vanishes in
/// the middle, with its machine, the server does not keep its locks until it notices that the connection is dead.
fn unit_opening(wait: Duration) -> Arc<str> {
    let wait = wait.as_millis().clamp(1, 86_400_000);
    Arc::from(format!(
        "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = {wait}; SET LOCAL idle_in_transaction_session_timeout = {IDLE}"
    ))
}

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
