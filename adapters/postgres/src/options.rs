use std::fmt;
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use privet::{Error, KeyRing, Result, Storage};
use sqlx::postgres::{PgConnectOptions, PgPool};

use crate::db::{Db, Reach, SCHEMA, WAIT, check_schema};
use crate::replica::Replica;
use crate::{PostgresKeyStore, PostgresLedger, PostgresStore, keys, ledger, store};

/// Nobody waits for longer than a day.
const LONGEST: Duration = Duration::from_secs(86_400);

/// How to reach a database, and where in it the tables are.
///
/// `Debug` shows neither the URL nor anything of it, since it has a password.
///
/// ```no_run
/// # async fn example() -> privet::Result<()> {
/// use privet_postgres::PostgresOptions;
///
/// let data = PostgresOptions::new("postgres://app:secret@db.internal/shop")?.schema("privacy").connections(20);
/// let store = data.store().await?;
/// let keys = PostgresOptions::new("postgres://app:secret@keys.internal/keys")?.key_store().await?;
/// # drop((store, keys));
/// # Ok(()) }
/// ```
///
/// The app may have a pool already: see [`from_pool`](Self::from_pool).
#[derive(Clone)]
pub struct PostgresOptions {
    reach: Reach,
    /// The app's own, instead of one that is made.
    pool: Option<PgPool>,
    /// Where lists are read from, and how far that may be behind before the primary is read.
    read: Option<PgConnectOptions>,
    read_bound: Duration,
}

impl fmt::Debug for PostgresOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresOptions")
            .field("schema", &self.reach.schema)
            .field("connections", &self.reach.connections)
            .field("behind_pooler", &self.reach.pooler)
            .field("row_security", &self.reach.row_security)
            .field("pool_of_the_app", &self.pool.is_some())
            .field("servers", &(self.reach.others.len() + 1))
            .field("reads_elsewhere", &self.read.is_some())
            .finish_non_exhaustive()
    }
}

impl PostgresOptions {
    /// From a URL such as `postgres://user:password@host:5432/database?sslmode=verify-full`; what `sslmode` may say, and what
    /// goes without it, is told with the [crate](crate#encryption).
    ///
    /// # Errors
    /// [`Error::Config`] when it is none.
    pub fn new(url: &str) -> Result<Self> {
        Ok(Self::reaching(parsed(url)?, None))
    }

    /// On a pool that the app has already, for whatever is to be there: store, key store and ledger may each have a schema of
    /// their own in its database, or be on other pools. Transactions of privet and of the app stay apart.
    ///
    /// The pool keeps its own size, waiting and server: [`connections`](Self::connections) changes nothing,
    /// [`wait`](Self::wait) only how long is waited for what somebody else holds, and [`failover_url`](Self::failover_url) is
    /// refused; everything else goes.
    /// Each unit of work holds one of its connections, and none is held between; an export takes one out of it for as long as
    /// it runs, in whose place the pool may make another. Behind a pooler that changes servers between
    /// transactions the app gives its pool `PgConnectOptions` with `statement_cache_capacity(0)` and
    /// `extra_float_digits(None)`, and says [`behind_pooler`](Self::behind_pooler) here.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::sync::Arc;
    /// use privet::{KeyRing, Storage};
    /// use privet_postgres::PostgresOptions;
    ///
    /// let pool = sqlx::PgPool::connect("postgres://shop:secret@db.internal/shop?sslmode=verify-full").await?;
    /// let keys = sqlx::PgPool::connect("postgres://shop:secret@keys.internal/keys?sslmode=verify-full").await?;
    /// let storage = Storage::new(
    ///     Arc::new(PostgresOptions::from_pool(pool.clone()).schema("privacy").store().await?),
    ///     Arc::new(PostgresOptions::from_pool(keys).key_store().await?),
    ///     Arc::new(PostgresOptions::from_pool(pool).schema("privacy_ledger").ledger().await?),
    ///     KeyRing::from_file("privet.key")?,
    /// );
    /// # drop(storage);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn from_pool(pool: PgPool) -> Self {
        Self::reaching((*pool.connect_options()).clone(), Some(pool))
    }

    fn reaching(options: PgConnectOptions, pool: Option<PgPool>) -> Self {
        let reach = Reach {
            options,
            others: Vec::new(),
            schema: Arc::from(SCHEMA),
            connections: 10,
            wait: WAIT,
            pooler: false,
            row_security: false,
            as_it_is: false,
        };
        Self { reach, pool, read: None, read_bound: Duration::from_secs(30) }
    }

    /// In this schema instead of `privet`; it is made if it is not there and the role may make it.
    #[must_use]
    pub fn schema(mut self, name: &str) -> Self {
        self.reach.schema = Arc::from(name);
        self
    }

    /// So many connections at most (10 by default), to each server that is read from or written to. Key store and ledger
    /// have pools of their own, of four at most in [`storage`](Self::storage); each export that runs has one more, of which
    /// there are four at most; and with [`failover_url`](Self::failover_url) each server is asked on one now and then.
    #[must_use]
    pub fn connections(mut self, most: u32) -> Self {
        self.reach.connections = most.max(1);
        self
    }

    /// How long a unit of work waits for a free connection at most (10 s by default), for what another one holds, and, with
    /// [`failover_url`](Self::failover_url), for a server that takes writes. A day at most. A unit whose instance
    /// vanished keeps its locks for 15 s at most.
    #[must_use]
    pub fn wait(mut self, longest: Duration) -> Self {
        self.reach.wait = longest.min(LONGEST);
        self
    }

    /// Behind a pooler that changes servers between transactions, such as PgBouncer with `pool_mode = transaction`: every
    /// statement is in a transaction, and none is kept prepared, whatever the pooler could do; each is parsed and planned anew.
    #[must_use]
    pub fn behind_pooler(mut self) -> Self {
        self.reach.pooler = true;
        self
    }

    /// Row-level security by tenant, as a second wall: every transaction says whose it is, and policies on every table that has
    /// a tenant show it rows of that tenant only. A statement that forgot its condition finds nothing of anybody else's, and
    /// changes nothing. What is done for all tenants, such as to look what is due, reads under a policy of its own and writes
    /// one tenant after the other. Each read is in a transaction then, which costs a round trip.
    ///
    /// The first start with it, as the role that owns the tables, raises the wall; it is for the owner too, so that backups
    /// (`pg_dump`) need a role with BYPASSRLS. Superusers pass by it, so that a start as one is refused. Turn it on in all
    /// instances at once: one without it sees nothing from then on, and the next start of such a one is refused. It keeps out
    /// mistakes, not somebody who can run statements as this role, who can say any tenant's name.
    ///
    /// Off by default: it needs a role that is no superuser, and that transaction.
    ///
    /// ```no_run
    /// # async fn example() -> privet::Result<()> {
    /// let options = privet_postgres::PostgresOptions::new("postgres://shop:secret@db.internal/shop")?.row_security();
    /// let store = options.store().await?;
    /// # drop(store);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn row_security(mut self) -> Self {
        self.reach.row_security = true;
        self
    }

    /// For whoever only looks, such as a tool beside an app that serves: no table is made or brought up to date, no month gets
    /// its partition, and no wall is raised. What is not there as this version of privet needs it is refused.
    ///
    /// ```no_run
    /// # async fn example() -> privet::Result<()> {
    /// let options = privet_postgres::PostgresOptions::new("postgres://shop:secret@db.internal/shop")?.as_it_is();
    /// let store = options.store().await?;
    /// # drop(store);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn as_it_is(mut self) -> Self {
        self.reach.as_it_is = true;
        self
    }

    /// Another server of the same database, such as a standby that may be promoted; call it once for each. Which one takes
    /// writes is found out at the start, and whenever a connection is lost; a unit of work that did not happen goes on there,
    /// if one is found within [`wait`](Self::wait).
    ///
    /// ```no_run
    /// # async fn example() -> privet::Result<()> {
    /// let options = privet_postgres::PostgresOptions::new("postgres://shop:secret@a.internal/shop")?;
    /// let store = options.failover_url("postgres://shop:secret@b.internal/shop")?.store().await?;
    /// # drop(store);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::Config`] when it is no URL, or the options are [`from_pool`](Self::from_pool).
    pub fn failover_url(mut self, url: &str) -> Result<Self> {
        if self.pool.is_some() {
            return Err(Error::config(
                "`failover_url` does not go with `from_pool`: a pool of the app's is not turned to another server",
                "let privet make a pool of its own, with `PostgresOptions::new`",
            ));
        }
        self.reach.others.push(parsed(url)?);
        Ok(self)
    }

    /// Reads lists, counts, figures and exports from another server, a streaming standby, in the same schema and with as many
    /// connections. What was written a moment ago may be missing there, and what was erased may still be listed, for as
    /// long as [`replica_lag`](PostgresStore::replica_lag) tells. When it does not answer, is behind further than
    /// [`read_lag_bound`](Self::read_lag_bound) or does not follow the primary any more, the primary is read, with a warning;
    /// it need not be there when the store is made. Who is looked for by id or by name is always looked for at the primary.
    ///
    /// A standby ends what is in the way of what it replays, and a long export is: give it `hot_standby_feedback = on`, or a
    /// longer `max_standby_streaming_delay`. After an export that it ended the next one reads the primary.
    ///
    /// ```no_run
    /// # async fn example() -> privet::Result<()> {
    /// let options = privet_postgres::PostgresOptions::new("postgres://shop:secret@db.internal/shop")?;
    /// let store = options.read_url("postgres://shop:secret@standby.internal/shop")?.store().await?;
    /// # drop(store);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::Config`] when it is no URL.
    pub fn read_url(mut self, url: &str) -> Result<Self> {
        self.read = Some(parsed(url)?);
        Ok(self)
    }

    /// How far the server of [`read_url`](Self::read_url) may be behind before the primary is read instead, with a warning
    /// (30 s by default).
    #[must_use]
    pub fn read_lag_bound(mut self, most: Duration) -> Self {
        self.read_bound = most;
        self
    }

    async fn connect(&self, name: &'static str) -> Result<Db> {
        check_schema(&self.reach.schema)?;
        let Some(pool) = &self.pool else { return Db::connect(name, &self.reach).await };
        let mut db = Db::on(name, pool.clone(), self.reach.schema.clone(), self.reach.pooler);
        db.waits(self.reach.wait);
        (db.sql.walled, db.as_it_is) = (self.reach.row_security, self.reach.as_it_is);
        Ok(db)
    }

    /// Connects the store, and brings its tables up to date.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the database is not reached; [`Error::Config`] when the tables are not up to date and the
    /// role may not make them, and for a schema's name that is none.
    pub async fn store(&self) -> Result<PostgresStore> {
        let db = self.connect(store::NAME).await?;
        let replica = self.read.as_ref().map(|options| {
            let reach = Reach {
                options: options.clone(),
                others: Vec::new(),
                // Whoever waits for a list can be answered by the primary.
                wait: self.reach.wait.min(Duration::from_secs(1)),
                ..self.reach.clone()
            };
            Replica::new(Db::lazily(store::NAME, &reach), self.read_bound)
        });
        PostgresStore::on(db, replica).await
    }

    /// Connects a key store, and brings its table up to date.
    ///
    /// # Errors
    /// As [`store`](Self::store).
    pub async fn key_store(&self) -> Result<PostgresKeyStore> {
        PostgresKeyStore::on(self.connect(keys::NAME).await?).await
    }

    /// Connects a ledger, and brings its table up to date.
    ///
    /// # Errors
    /// As [`store`](Self::store).
    pub async fn ledger(&self) -> Result<PostgresLedger> {
        PostgresLedger::on(self.connect(ledger::NAME).await?).await
    }

    /// Everything in this database. Where an erasure has to outlive a restored backup, put the keys and the ledger elsewhere:
    /// see [`open`](crate::open).
    ///
    /// # Errors
    /// As [`store`](Self::store).
    pub async fn storage(&self, key_ring: KeyRing) -> Result<Storage> {
        let store = self.store().await?;
        // Both are asked seldom.
        let few = self.clone().connections(self.reach.connections.min(4));
        let (keys, ledger) = (few.key_store().await?, few.ledger().await?);
        Ok(Storage::new(Arc::new(store), Arc::new(keys), Arc::new(ledger), key_ring))
    }
}

fn parsed(url: &str) -> Result<PgConnectOptions> {
    let named = url.starts_with("postgres://") || url.starts_with("postgresql://");
    // What is said about the URL may be a part of it.
    let read = if named { PgConnectOptions::from_str(url).ok() } else { None };
    read.ok_or_else(|| {
            Error::config(
                "the database URL cannot be read",
                "write it as `postgres://user:password@host:5432/database`, with special characters percent-encoded",
            )
        })
}
