//! Store, key store and ledger on a pool that the app has already, each where the app wants it.
#![allow(clippy::unwrap_used, reason = "a test that meets something else has failed")]

#[path = "../../../core/tests/common/mod.rs"]
mod common;
mod roles;

use std::collections::BTreeMap;
use std::str::FromStr as _;
use std::sync::Arc;

use futures_executor::block_on;
use privet::conformance;
use privet::store::{KeyName, KeyStore as _, OpenInfo};
use privet::{Day, Error, KeyRing, Privet, Scope, Storage, Tenant};
use privet_postgres::{PostgresKeyStore, PostgresLedger, PostgresOptions, PostgresStore};
use privet_test_postgres::{fresh_name, pooler, server};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, PgPool, Row as _};

use common::{Browser, installation_on, save};

/// Of the suite, which a pool of privet's own is put to as a whole: what takes transactions, locks and many connections.
async fn some_cases(store: &PostgresStore) {
    conformance::records_form_lines(store).await;
    conformance::nothing_crosses_tenants_or_sites(store).await;
}

/// Behind row-level security, on a pool and in a schema of the app's.
#[tokio::test(flavor = "multi_thread")]
async fn the_wall_stands_on_a_pool_of_the_app() {
    let Some(url) = roles::app_url().await else { return };
    let pool = PgPool::connect(&url).await.unwrap();
    let on = |schema: &str| PostgresOptions::from_pool(pool.clone()).schema(schema).row_security();
    some_cases(&on(&fresh_name()).store().await.unwrap()).await;
    conformance::units_at_once_are_one_after_the_other(&on(&fresh_name()).store().await.unwrap()).await;
}

/// A pool of the app's to PgBouncer in transaction mode, with fewer servers than the pool has connections.
#[tokio::test(flavor = "multi_thread")]
async fn a_pool_of_the_app_goes_through_a_pooler() {
    let Some(pooler) = pooler(3) else { return };
    let options = PgConnectOptions::from_str(&pooler.url()).unwrap();
    let options = options.statement_cache_capacity(0).extra_float_digits(None);
    let pool = PgPoolOptions::new().connect_with(options).await.unwrap();
    let on = |schema: &str| PostgresOptions::from_pool(pool.clone()).schema(schema).behind_pooler();
    some_cases(&on(&fresh_name()).store().await.unwrap()).await;
    conformance::units_at_once_are_one_after_the_other(&on(&fresh_name()).store().await.unwrap()).await;
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// A pool to a database that nobody else has.
async fn database() -> Option<PgPool> {
    let server = server()?;
    let name = fresh_name();
    let all = PgPool::connect(server.url()).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(format!("CREATE DATABASE \"{name}\""))).execute(&all).await.unwrap();
    let options = PgConnectOptions::from_str(server.url()).unwrap().database(&name);
    Some(PgPoolOptions::new().max_connections(4).connect_with(options).await.unwrap())
}

/// The schemas of a database that have something, with how many tables, partitions apart.
async fn schemas(pool: &PgPool) -> BTreeMap<String, Vec<String>> {
    let sql = "SELECT n.nspname::text, c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
               WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND n.nspname !~ '^(pg_|information_schema$)' ORDER BY 1, 2";
    let mut all = BTreeMap::<_, Vec<_>>::new();
    for row in sqlx::query(sql).fetch_all(pool).await.unwrap() {
        all.entry(row.get(0)).or_default().push(row.get(1));
    }
    all
}

async fn count(pool: &PgPool, table: &str) -> i64 {
    let sql = AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
    sqlx::query(sql).fetch_one(pool).await.unwrap().get(0)
}

async fn storage(pool: &PgPool, schema: &str) -> Storage {
    let options = PostgresOptions::from_pool(pool.clone()).schema(schema);
    options.storage(KeyRing::generate().unwrap()).await.unwrap()
}

/// One who leaves a contact and a message.
fn comes(privet: &Privet, text: &str) -> Browser {
    let mut browser = Browser::default();
    browser.answer(privet, &save(&["contacts"])).0.unwrap();
    browser.say(privet, text);
    browser
}

fn contacts(privet: &Privet) -> usize {
    let first = privet::contact::PageRequest::first(9);
    block_on(privet.contacts(&Scope::default(), &first)).unwrap().contacts.len()
}

/// Two installations in one database, each with its own key, see and lose nothing of each other.
#[test]
fn two_schemas_on_one_pool_do_not_meet() {
    let rt = runtime();
    let _in = rt.enter();
    let Some(pool) = rt.block_on(database()) else { return };
    let [one, two] = ["one", "two"].map(|schema| rt.block_on(storage(&pool, schema)));
    let first = KeyName::Epoch(Day::from_number(1));
    rt.block_on(one.keys.insert(&first, b"k")).unwrap();
    assert_eq!(rt.block_on(two.keys.get(&first)).unwrap(), None);
    let (one, _) = installation_on(one, |b| b);
    let (two, _) = installation_on(two, |b| b);
    comes(&one, "in the first");
    assert_eq!((contacts(&one), contacts(&two)), (1, 0));
    let mut there = comes(&two, "in the second");
    assert_eq!(there.texts(&two), ["in the second"]);
    let all = rt.block_on(schemas(&pool));
    assert_eq!(all.keys().collect::<Vec<_>>(), ["one", "two"], "and nothing in `privet`");
    assert_eq!(all["one"], all["two"]);
    // One goes, and the other one goes on.
    rt.block_on(sqlx::raw_sql("DROP SCHEMA one CASCADE").execute(&pool)).unwrap();
    there.say(&two, "still there");
    assert_eq!(there.texts(&two), ["in the second", "still there"]);
    assert_eq!(block_on(two.verify_consent(&Tenant::default())).unwrap().records, 1);
}

/// Keys and ledger in schemas of their own, or in another database: each has its table and nothing else, and what is erased is
/// erased in each.
#[test]
fn keys_and_ledger_are_where_the_app_wants_them() {
    let rt = runtime();
    let _in = rt.enter();
    let (Some(data), Some(other)) = (rt.block_on(database()), rt.block_on(database())) else { return };
    for apart in [&data, &other] {
        let at = |pool: &PgPool, schema: &str| PostgresOptions::from_pool(pool.clone()).schema(schema);
        let storage = Storage::new(
            Arc::new(rt.block_on(at(&data, "data").store()).unwrap()),
            Arc::new(rt.block_on(at(apart, "secrets").key_store()).unwrap()),
            Arc::new(rt.block_on(at(apart, "book").ledger()).unwrap()),
            KeyRing::generate().unwrap(),
        );
        let (privet, _) = installation_on(storage, |b| b);
        let mut browser = comes(&privet, "forget me");
        let keys = rt.block_on(count(apart, "secrets.keys"));
        let lines = rt.block_on(count(apart, "book.ledger"));
        browser.withdraw(&privet, &[]).0.unwrap();
        assert_eq!(contacts(&privet), 0);
        let (keys_left, lines_now) =
            rt.block_on(async { (count(apart, "secrets.keys").await, count(apart, "book.ledger").await) });
        assert_eq!(
            (keys_left, lines_now > lines),
            (keys - 1, true),
            "the contact's key is gone, and it is written down"
        );

        let there = rt.block_on(schemas(apart));
        assert_eq!(there["secrets"], ["_privet_migrations", "keys"]);
        assert_eq!(there["book"], ["_privet_migrations", "ledger"]);
        let of_data = rt.block_on(schemas(&data));
        assert!(of_data["data"].iter().all(|table| table != "keys" && table != "ledger"), "{of_data:?}");
        drop(privet);
        // The next one begins anew.
        rt.block_on(sqlx::raw_sql("DROP SCHEMA data CASCADE").execute(&data)).unwrap();
        rt.block_on(sqlx::raw_sql("DROP SCHEMA secrets, book CASCADE").execute(apart)).unwrap();
    }
}

/// The short forms are in `privet`; what does not go with a pool is said.
#[tokio::test]
async fn the_short_forms_are_in_privet() {
    let Some(pool) = database().await else { return };
    PostgresStore::from_pool(pool.clone()).await.unwrap();
    let keys = PostgresKeyStore::from_pool(pool.clone()).await.unwrap();
    keys.insert(&KeyName::Epoch(Day::from_number(1)), b"k").await.unwrap();
    PostgresLedger::from_pool(pool.clone()).await.unwrap();
    assert_eq!(schemas(&pool).await.into_keys().collect::<Vec<_>>(), ["privet"]);
    let options = PostgresOptions::from_pool(pool.clone());
    let refused = options.clone().failover_url("postgres://app@localhost/app").unwrap_err();
    assert!(matches!(refused, Error::Config { .. }), "{refused}");
    assert!(refused.to_string().contains("with `PostgresOptions::new`"), "{refused}");
    let bad = options.schema("No Name").store().await.unwrap_err();
    assert!(bad.to_string().contains("name it plainly"), "{bad}");
}

/// A pool of one connection is enough: none is held between units, and none waits for another.
#[tokio::test]
async fn one_connection_is_enough() {
    let Some(server) = server() else { return };
    let pool = PgPoolOptions::new().max_connections(1).connect(server.url()).await.unwrap();
    let storage = storage(&pool, &fresh_name()).await;
    storage.store.open(&OpenInfo::new(&storage.key_ring)).await.unwrap();
    conformance::messages_are_numbered_and_stored_once(&*storage.store).await;
}

/// An app that looks for its keys where they are not does not draw others, which would know nobody who was erased.
#[test]
fn keys_that_are_elsewhere_are_not_drawn_anew() {
    let rt = runtime();
    let _in = rt.enter();
    let Some(data) = rt.block_on(database()) else { return };
    let ring = KeyRing::generate().unwrap();
    let with_keys_in = |schema: &str| {
        let at = |schema: &str| PostgresOptions::from_pool(data.clone()).schema(schema);
        let storage = Storage::new(
            Arc::new(rt.block_on(at("data").store()).unwrap()),
            Arc::new(rt.block_on(at(schema).key_store()).unwrap()),
            Arc::new(rt.block_on(at("data").ledger()).unwrap()),
            ring.clone(),
        );
        block_on(Privet::builder(common::catalogue()).storage(storage).build())
    };
    comes(&with_keys_in("secrets").unwrap(), "hello");
    let refused = with_keys_in("data").unwrap_err();
    assert!(matches!(refused, Error::Key { .. }), "{refused:?}");
    assert!(refused.to_string().contains("has consent records of tenant `main`"), "{refused}");
    with_keys_in("secrets").unwrap();
}
