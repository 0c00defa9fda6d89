//! The PostgreSQL store of privet, for many instances: consent records, contacts, conversations, keys and ledger.
//!
//! ```no_run
//! # async fn example() -> privet::Result<()> {
//! use privet::{Catalogue, KeyRing, Privet};
//!
//! let catalogue = Catalogue::from_toml("[controller]\nname = \"Shop\"\ncontact = \"privacy@shop.example\"")?;
//! let url = "postgres://shop:secret@localhost/shop";
//! let storage = privet_postgres::open(url, KeyRing::from_file("privet.key")?).await?;
//! let privet = Privet::builder(catalogue).storage(storage).build().await?;
//! # drop(privet);
//! # Ok(()) }
//! ```
//!
//! [`open`] puts all of it into one database. To keep keys and ledger in another fault domain than the data, as an erasure that
//! outlives a restored backup needs it, connect each on its own:
//!
//! ```no_run
//! # async fn example() -> privet::Result<()> {
//! use std::sync::Arc;
//! use privet::{KeyRing, Storage};
//! use privet_postgres::PostgresOptions;
//!
//! let storage = Storage::new(
//!     Arc::new(PostgresOptions::new("postgres://shop:secret@data.internal/shop")?.store().await?),
//!     Arc::new(PostgresOptions::new("postgres://shop:secret@keys.internal/keys")?.key_store().await?),
//!     Arc::new(PostgresOptions::new("postgres://shop:secret@ledger.internal/ledger")?.ledger().await?),
//!     KeyRing::from_file("privet.key")?,
//! );
//! # drop(storage);
//! # Ok(()) }
//! ```
//!
//! An app that has a pool already gives that instead of URLs, with a schema for each: [`PostgresOptions::from_pool`].
//!
//! # How it keeps its promises
//!
//! Each unit of work is one transaction, but for those that are about several tenants or take steps: `touch_contacts`,
//! `claim_notifications`, `erase_step`, `purge_fences` and `KeyStore::destroy` are one for each tenant or step, and `drop_messages` is
//! one for each month. A transaction locks what it stands on, always in the same order, and checks afterwards, so that a message and the
//! erasure of its contact, or two withdrawals at once, come one after the other. What collided with
//! another transaction did nothing and runs again; so does what lost its connection before the commit. A connection that is
//! lost during the commit leaves open whether the unit happened: it runs again only where a second time changes nothing. Where
//! that is not so, or the server stays away, the error says that it may have happened.
//!
//! A request that is given up in the middle takes its connection along, with whatever it had begun.
//!
//! Consent records and messages are written in groups: those of one tenant that come while another write of its kind is on the way
//! share the next transaction, in which each statement is for all of them, and one write-through. Nobody waits for company, and
//! a "no" to one is nobody else's; where the database fails over one of them, or somebody holds what one of them needs, each
//! goes alone. Such a write is done even if the request that asked for it is given up. The ledger's lines are written in the same way,
//! those of all tenants together.
//!
//! # The schema
//!
//! The tables are in the schema `privet`, or another one of your choice, with their own migrations in `_privet_migrations`;
//! any number of instances may start at once. A role that finds everything up to date needs USAGE on the schema and SELECT,
//! INSERT, UPDATE and DELETE on its tables, of which `ledger` is only read and appended to, and no right to create anything. Messages are partitioned by month; the
//! months to come get their partitions from any role that owns the tables, and without one the default partition takes
//! them. A month that is over for every tenant is dropped as a whole by a sweep of such a role, and goes row by row otherwise.
//! Neither waits for long: what is in use, by an export for instance, is left to the next time.
//!
//! # Distribution
//!
//! The tenant leads every primary key and every unique index of the tables that have one, there are no foreign keys, and no
//! transaction changes rows of two tenants, but the one that drops a month that is over for all of them, and one that appends to
//! the ledger, which is a chain of all: one append may carry lines of several tenants, and its table has no tenant column.
//! `citus.sql`, beside this crate's sources, spreads the tables by tenant. Distributed means Citus here: other distributed
//! PostgreSQLs were not tried, and advisory locks and the places of rows (`ctid`) are made use of. It was run by hand, and the
//! conformance suite on top of it (which `PRIVET_TEST_POSTGRES_URL` lets anybody do again), with Citus 13.2.2 on PostgreSQL 15: a coordinator with two
//! workers, also behind row-level security; not through a pooler there. What to know:
//!
//! - Set `citus.propagate_set_commands = 'local'` for the role or the database: without it the workers do not know on whose
//!   behalf a transaction runs, and show nothing behind row-level security; nor do they know how long it waits for a lock.
//! - Every instance connects to the coordinator: the ledger, the leases and the advisory locks are there.
//! - Install Citus before the wall is raised: the policies are written in another form then, which Citus takes.
//! - `citus.sql` comes when the tables are there. With `examples/migrate` neither order was tried, before the move or after it; behind
//!   row-level security the move says whose rows it takes by a setting of its session, of which the workers are not told.
//! - An export is of one moment on each worker, and those are not the same one. Each month of messages adds as many tables as
//!   there are shards: `citus.shard_count` need not be 32.
//!
//! # Encryption
//!
//! `sslmode` in the URL says what the way to the server is to be. Anything but a socket or the machine itself wants
//! `sslmode=verify-full`, which encrypts and holds the server's certificate against the host's name:
//!
//! ```text
//! postgres://shop:secret@db.internal/shop?sslmode=verify-full&sslrootcert=/etc/shop/db-root.crt
//! ```
//!
//! An authority of your own is named with `sslrootcert`, as a file in PEM; the public ones are known without it, and with it.
//! Where the URL says nothing it is `prefer`, or what `PGSSLMODE` says: encrypted if the server offers it, and in the clear
//! without a word if somebody on the way says that it does not. `require` encrypts, and takes any certificate, with
//! `sslrootcert` too; `verify-ca` does not look at the name; `allow` and `disable` do not encrypt. With `hostssl` alone in
//! `pg_hba.conf` the server refuses who does not. Each server of `failover_url` and `read_url` has a URL of its own, and so a
//! `sslmode`.
//!
//! # Failover
//!
//! [`PostgresOptions::failover_url`] names further servers of the same database. Whichever takes writes is used; when a
//! connection is lost, a server only reads, or one does not answer for two seconds, all are asked again. What was not committed is repeated on the new
//! primary, for as long as [`PostgresOptions::wait`] says. Nothing acknowledged is lost where the standby that is promoted is
//! a synchronous one. An old primary that goes on running has to be kept off by whoever promotes another: a server that is
//! asked knows only of itself.
//!
//! # Row-level security
//!
//! [`PostgresOptions::row_security`] puts a second wall behind the conditions of each statement: each transaction sets
//! `privet_unit.tenant` for itself, and policies on every table that has a tenant, partitions included, let it see and change
//! that tenant's rows only. `*` stands for the installation, which looks at all of them and changes none. The ledger is a chain of
//! all tenants: its table has no tenant column, and so no policy. It is best kept in another database.
//!
//! # A standby for lists
//!
//! [`PostgresOptions::read_url`] reads lists, counts, figures and exports from a streaming standby. They may be a moment old:
//! [`PostgresStore::replica_lag`] tells how old, and what was erased a moment ago may still be listed for as long. What decides
//! reads the primary: proofs, fences, one contact before an act, and a search by id or by name, since it may be for a request
//! about somebody's rights. So does everything while the standby is behind further than
//! [`PostgresOptions::read_lag_bound`], or does not follow the primary any more, since it was promoted, detached or follows
//! another one.
//!
//! # Poolers
//!
//! Behind PgBouncer in transaction mode say so with [`PostgresOptions::behind_pooler`]. No statement is kept prepared then,
//! also where the pooler could do that.

mod db;
mod error;
mod group;
mod hosts;
mod keys;
mod ledger;
mod options;
mod part;
mod partitions;
mod replica;
mod schema;
mod store;
mod wall;

pub use keys::PostgresKeyStore;
pub use ledger::PostgresLedger;
pub use options::PostgresOptions;
pub use replica::ReplicaLag;
pub use store::PostgresStore;

use privet::{KeyRing, Result, Storage};

/// Connects a store to a database in the schema `privet`, and brings its tables up to date.
///
/// ```no_run
/// # async fn example() -> privet::Result<()> {
/// let store = privet_postgres::connect("postgres://shop:secret@localhost/shop").await?;
/// # drop(store);
/// # Ok(()) }
/// ```
///
/// # Errors
/// [`Error::Config`](privet::Error::Config) when the URL cannot be read, or the tables are not up to date and the role may
/// not make them; [`Error::Unavailable`](privet::Error::Unavailable) when the database is not reached.
pub async fn connect(url: &str) -> Result<PostgresStore> {
    PostgresOptions::new(url)?.store().await
}

/// Store, keys and ledger in one database, in the schema `privet`, under an installation's key, which is not in it.
///
/// # Errors
/// As [`connect`].
pub async fn open(url: &str, key_ring: KeyRing) -> Result<Storage> {
    PostgresOptions::new(url)?.storage(key_ring).await
}
