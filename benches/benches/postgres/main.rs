//! The PostgreSQL store, beside SQL by hand on tables of its own, which have what somebody would write who needs that alone: in
//! one run on one server, in turns, so that whatever slows the machine slows both.
//!
//! The server is a temporary one that writes through to the disk. Both sides have the same kind of pool, whose connections are
//! not tried before each use.
//!
//! `PRIVET_BENCH_CONTACTS` says how many contacts there are, and how many messages: 1,000,000 if nothing does. `PRIVET_BENCH_ONLY`
//! names the sections to run, with commas between: `upserts`, `pages`, `export`, `purge`, `months`, `grants`. Ten million need
//! about 12 GB in the folder for temporary files (`TMPDIR`), in which the server's user has to be able to write.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    missing_docs,
    reason = "a bench prints, and ends where it cannot go on"
)]

mod export;
mod fill;
mod grants;
mod months;
mod pages;
mod purge;
mod turns;
mod upserts;

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use privet::store::{MemoryKeyStore, MemoryLedger};
use privet::{Catalogue, KeyRing, Privet, Scope, Storage, Timestamp};
use privet_postgres::{PostgresOptions, PostgresStore};
use privet_test_postgres::Cluster;
use sqlx::postgres::{PgPool, PgPoolOptions};
use tokio::runtime::Runtime;

/// Of a server that has the machine to itself, but for `wal_level`: filling is not what is measured.
const SETTINGS: &str = "max_connections = 100\nshared_buffers = 1GB\nmaintenance_work_mem = 512MB\nmax_wal_size = 2GB\n\
     wal_level = minimal\nmax_wal_senders = 0\n";

const CATALOGUE: &str = "[controller]\nname = \"Shop\"\ncontact = \"privacy@shop.example\"\n\
     [[category]]\nid = \"contacts\"\npurpose = \"Recognises you in the chat.\"\n";

/// As many as work at once where that is measured, and connections of each pool.
const TASKS: usize = 32;

/// What the sections work on.
struct Bench {
    cluster: Cluster,
    /// How many contacts there are, and messages.
    size: i64,
    now: Timestamp,
    scope: Scope,
    key: KeyRing,
    keys: Arc<MemoryKeyStore>,
}

impl Bench {
    async fn store(&self) -> PostgresStore {
        self.options().store().await.unwrap()
    }

    fn options(&self) -> PostgresOptions {
        PostgresOptions::new(&self.cluster.url()).unwrap().connections(u32::try_from(TASKS).unwrap())
    }

    /// An app on the store, whose keys are nowhere else: one app has one key for all that is measured.
    async fn privet(&self, store: PostgresStore) -> Privet {
        let ledger = Arc::new(MemoryLedger::new());
        let storage = Storage::new(Arc::new(store), self.keys.clone(), ledger, self.key.clone());
        let catalogue = Catalogue::from_toml(CATALOGUE).unwrap();
        Privet::builder(catalogue).storage(storage).build().await.unwrap()
    }

    /// For whoever writes by hand.
    async fn pool(&self) -> PgPool {
        let options =
            PgPoolOptions::new().max_connections(u32::try_from(TASKS).unwrap()).test_before_acquire(false);
        options.connect(&self.cluster.url()).await.unwrap()
    }
}

/// One thread, as for a page or a stream of rows: what it costs to change threads is not asked here.
fn one_thread() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// As many threads as an app has.
fn threads() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap()
}

fn main() {
    let set = |name| std::env::var(name).ok();
    let size = set("PRIVET_BENCH_CONTACTS").and_then(|n| n.parse().ok()).unwrap_or(1_000_000);
    let only = set("PRIVET_BENCH_ONLY");
    let asked = |name: &str| only.as_ref().is_none_or(|only| only.split(',').any(|o| o.trim() == name));
    let Some(cluster) = Cluster::primary_with(SETTINGS) else { return };
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now = Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap());
    let (key, keys) = (KeyRing::generate().unwrap(), Arc::new(MemoryKeyStore::new()));
    let bench = Bench { cluster, size, now, scope: Scope::default(), key, keys };

    if ["upserts", "pages", "export"].into_iter().any(asked) {
        one_thread().block_on(fill::contacts(&bench));
        // What does not change the order of the table comes before what does.
        if asked("pages") {
            one_thread().block_on(pages::run(&bench));
        }
        if asked("export") {
            one_thread().block_on(export::run(&bench));
        }
        if asked("upserts") {
            one_thread().block_on(upserts::run(&bench));
        }
        one_thread().block_on(fill::no_contacts(&bench));
    }
    if asked("purge") {
        one_thread().block_on(purge::run(&bench));
    }
    if asked("months") {
        one_thread().block_on(months::run(&bench));
    }
    if asked("grants") {
        threads().block_on(grants::run(&bench));
    }
}
