//! The tables: who may make them, how they come about, and what leads their keys.
#![allow(clippy::unwrap_used, reason = "a test that meets something else has failed")]

use std::collections::BTreeMap;

use privet::Error;
use privet::conformance::{messages_are_numbered_and_stored_once, records_are_chained};
use privet::store::{ErasureCause, KeyName, LedgerEntry, OpenInfo, Store as _, SubjectDigest};
use privet::{Day, KeyRing, Scope, Storage, Timestamp};
use privet_postgres::{PostgresOptions, PostgresStore};
use privet_test_postgres::{PASSWORD, Server, fresh_name, own_server, server};
use sqlx::{AssertSqlSafe, PgPool, Row as _};

async fn run(pool: &PgPool, sql: String) {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(pool).await.unwrap();
}

async fn texts(pool: &PgPool, sql: &'static str, schema: &str) -> Vec<String> {
    let rows = sqlx::query(sql).bind(format!("\"{schema}\"")).fetch_all(pool).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// Everything in one schema, as one role makes it.
async fn storage(url: &str, schema: &str) -> privet::Result<Storage> {
    PostgresOptions::new(url)?.schema(schema).connections(4).storage(KeyRing::generate()?).await
}

/// Which versions of which part are there.
async fn versions(pool: &PgPool, schema: &str) -> Vec<String> {
    let sql = format!("SELECT part || version FROM \"{schema}\"._privet_migrations ORDER BY 1");
    let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(pool).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

async fn ten_start(server: &'static Server, schema: &str) {
    let starting = (0..10).map(|_| {
        let schema = schema.to_owned();
        tokio::spawn(async move { storage(server.url(), &schema).await })
    });
    for started in futures_util::future::join_all(starting).await {
        started.unwrap().unwrap();
    }
}

/// Ten instances that start at once on an empty database make one schema.
#[tokio::test(flavor = "multi_thread")]
async fn ten_instances_start_at_once() {
    let Some(server) = server() else { return };
    let schema = fresh_name();
    ten_start(server, &schema).await;
    let pool = PgPool::connect(server.url()).await.unwrap();
    assert_eq!(versions(&pool, &schema).await, ["keys1", "ledger1", "store1", "store2"]);
    let ring = KeyRing::generate().unwrap();
    let store = PostgresOptions::new(server.url()).unwrap().schema(&schema).store().await.unwrap();
    store.open(&OpenInfo::new(&ring)).await.unwrap();
    let other = store.open(&OpenInfo::new(&KeyRing::generate().unwrap())).await;
    assert!(matches!(other, Err(Error::Key { .. })), "{other:?}");
}

/// The same on what an older version left, with what is in it.
#[tokio::test(flavor = "multi_thread")]
async fn ten_instances_start_at_once_on_an_older_version() {
    let Some(server) = server() else { return };
    let (old, new) = (fresh_name(), fresh_name());
    let pool = PgPool::connect(server.url()).await.unwrap();
    let first = [
        "CREATE TABLE privet._privet_migrations (part TEXT COLLATE \"C\" NOT NULL, version BIGINT NOT NULL, PRIMARY KEY (part, version));
         INSERT INTO privet._privet_migrations VALUES ('store', 1), ('keys', 1), ('ledger', 1);",
        include_str!("../migrations/0001_init.sql"),
        include_str!("../migrations/keys_0001_init.sql"),
        include_str!("../migrations/ledger_0001_init.sql"),
        "INSERT INTO privet.fences VALUES ('main', '\\x01', 1, 1); INSERT INTO privet.keys VALUES ('main', 1, '\\x01', '\\x02');",
    ];
    let first = first.concat().replace("privet.", &format!("\"{old}\"."));
    run(&pool, format!("CREATE SCHEMA \"{old}\"; {first}")).await;
    assert_eq!(versions(&pool, &old).await, ["keys1", "ledger1", "store1"]);
    ten_start(server, &old).await;
    storage(server.url(), &new).await.unwrap();
    assert_eq!(versions(&pool, &old).await, versions(&pool, &new).await);
    let columns = "SELECT c.relname || '.' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
                   FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
                   WHERE c.relnamespace = to_regnamespace($1) AND c.relkind IN ('r', 'p', 'i', 'I') ORDER BY 1";
    assert_eq!(
        texts(&pool, columns, &old).await,
        texts(&pool, columns, &new).await,
        "as one that began with it"
    );
    let kept = format!(
        "SELECT (SELECT count(*) FROM \"{old}\".fences) + (SELECT count(*) FROM \"{old}\".keys WHERE wrapped = '\\x02')"
    );
    let kept: i64 = sqlx::query(AssertSqlSafe(kept)).fetch_one(&pool).await.unwrap().get(0);
    assert_eq!(kept, 2);
    messages_are_numbered_and_stored_once(&store(server.url(), &old).await).await;
}

/// The URL of a database that nobody else has.
async fn database(server: &Server) -> String {
    let name = fresh_name();
    let pool = PgPool::connect(server.url()).await.unwrap();
    run(&pool, format!("CREATE DATABASE \"{name}\"")).await;
    let (before, after) = server.url().split_once('?').unwrap_or((server.url(), ""));
    format!("{}/{name}?{after}", before.rsplit_once('/').unwrap().0)
}

/// The short forms: a URL is enough, and all is in the schema `privet`.
#[tokio::test(flavor = "multi_thread")]
async fn a_url_is_enough() {
    let Some(server) = server() else { return };
    let url = database(server).await;
    let pool = PgPool::connect(&url).await.unwrap();
    let parts = "SELECT relname::text FROM pg_class WHERE relnamespace = to_regnamespace($1)
                   AND relname IN ('contacts', 'keys', 'ledger') ORDER BY 1";
    let data = privet_postgres::connect(&url).await.unwrap();
    assert_eq!(texts(&pool, parts, "privet").await, ["contacts"], "the store alone");
    messages_are_numbered_and_stored_once(&data).await;

    let ring = || KeyRing::from_bytes(std::array::from_fn(|n| if n == 0 { 99 } else { 1 })).unwrap();
    let storage = privet_postgres::open(&url, ring()).await.unwrap();
    assert_eq!(texts(&pool, parts, "privet").await, ["contacts", "keys", "ledger"]);
    let name = KeyName::Epoch(Day::from_number(20_000));
    assert_eq!(storage.keys.insert(&name, &[7; 72]).await.unwrap(), [7; 72]);
    let entry = LedgerEntry::Erased {
        scope: Scope::default(),
        subject: SubjectDigest::from_bytes([1; 16]),
        cause: ErasureCause::Request,
        at: Timestamp::from_millis(1),
    };
    storage.ledger.append(std::slice::from_ref(&entry)).await.unwrap();
    storage.store.open(&OpenInfo::new(&storage.key_ring)).await.unwrap();

    // The next start finds all of it.
    let again = privet_postgres::open(&url, ring()).await.unwrap();
    assert_eq!(again.keys.get(&name).await.unwrap(), Some(vec![7; 72]));
    assert_eq!(again.ledger.entries().await.unwrap(), [entry]);
    again.store.open(&OpenInfo::new(&again.key_ring)).await.unwrap();
    let other = privet_postgres::open(&url, KeyRing::generate().unwrap()).await.unwrap();
    let refused = other.store.open(&OpenInfo::new(&other.key_ring)).await;
    assert!(matches!(refused, Err(Error::Key { .. })), "{refused:?}");
    let missing = privet_postgres::connect(&url.replace('?', "_2?")).await.unwrap_err();
    assert!(missing.to_string().contains("create the database"), "{missing}");
    let bad = privet_postgres::connect("mysql://app@localhost/app").await.unwrap_err();
    assert!(matches!(bad, Error::Config { .. }), "{bad}");
}

/// A role that only runs needs no right to make anything; without tables it is told what to do.
#[tokio::test(flavor = "multi_thread")]
async fn a_role_without_rights_to_make_tables_runs() {
    let Some(server) = own_server() else { return };
    let (schema, role) = (fresh_name(), fresh_name());
    let Some(url) = server.tcp_url(&role) else { return };
    let pool = PgPool::connect(server.url()).await.unwrap();
    run(&pool, format!("CREATE ROLE \"{role}\" LOGIN PASSWORD '{PASSWORD}'")).await;
    let refused = storage(&url, &schema).await.unwrap_err().to_string();
    assert!(refused.contains("start once with a role that may"), "{refused}");
    storage(server.url(), &schema).await.unwrap();
    run(
        &pool,
        format!(
            "GRANT USAGE ON SCHEMA \"{schema}\" TO \"{role}\";
             GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA \"{schema}\" TO \"{role}\""
        ),
    )
    .await;
    // As if no month had been made ahead, which this role may not make up for.
    let months = "SELECT c.relname::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
                  WHERE i.inhparent = to_regclass($1 || '.messages') AND c.relname <> 'messages_default'";
    for month in texts(&pool, months, &schema).await {
        run(&pool, format!("DROP TABLE \"{schema}\".{month}")).await;
    }
    let storage = storage(&url, &schema).await.unwrap();
    records_are_chained(&*storage.store).await;
    assert_eq!(texts(&pool, months, &schema).await, [] as [String; 0]);
}

async fn store(url: &str, schema: &str) -> PostgresStore {
    PostgresOptions::new(url).unwrap().schema(schema).store().await.unwrap()
}

/// Months are made ahead; a message of another one goes to the default partition.
#[tokio::test(flavor = "multi_thread")]
async fn messages_go_to_their_month() {
    let Some(server) = server() else { return };
    let schema = fresh_name();
    let store = store(server.url(), &schema).await;
    let pool = PgPool::connect(server.url()).await.unwrap();
    let months = "SELECT c.relname::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
                  WHERE i.inhparent = to_regclass($1 || '.messages') ORDER BY 1";
    let made = texts(&pool, months, &schema).await;
    assert_eq!(made.len(), 4, "this month, the next two, and the default: {made:?}");
    // The suite is of January 2027.
    messages_are_numbered_and_stored_once(&store).await;
    let sql = format!("SELECT DISTINCT tableoid::regclass::text FROM \"{schema}\".messages");
    let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(&pool).await.unwrap();
    let found: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    let expected =
        if made.iter().any(|m| m == "messages_2027_01") { "messages_2027_01" } else { "messages_default" };
    assert!(found.len() == 1 && found[0].ends_with(expected), "{found:?}");
}

/// TEN-01: the tenant leads every primary key and every unique index, and there is no foreign key that it does not lead.
#[tokio::test]
async fn ten_01_the_tenant_leads_every_key() {
    let Some(server) = server() else { return };
    let schema = fresh_name();
    storage(server.url(), &schema).await.unwrap();
    let pool = PgPool::connect(server.url()).await.unwrap();
    let sql = "SELECT t.relname::text, i.relname::text, x.indisunique,
                      (SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = t.oid AND a.attnum = x.indkey[0])
               FROM pg_index x JOIN pg_class t ON t.oid = x.indrelid JOIN pg_class i ON i.oid = x.indexrelid
               WHERE t.relnamespace = to_regnamespace($1)";
    let rows = sqlx::query(sql).bind(format!("\"{schema}\"")).fetch_all(&pool).await.unwrap();
    assert!(rows.len() > 40, "{}", rows.len());
    for row in &rows {
        let (table, index, first): (String, String, String) = (row.get(0), row.get(1), row.get(3));
        // The installation's own facts.
        let of_installation = ["meta", "leases", "ledger", "_privet_migrations"].contains(&table.as_str());
        assert!(first == "tenant" || of_installation, "{table}: {index} begins with {first}");
    }
    let keys = texts(
        &pool,
        "SELECT c.relname::text FROM pg_class c WHERE c.relnamespace = to_regnamespace($1) AND c.relkind IN ('r', 'p')
           AND NOT EXISTS (SELECT 1 FROM pg_index x WHERE x.indrelid = c.oid AND x.indisprimary)",
        &schema,
    );
    assert_eq!(keys.await, [] as [String; 0], "without a primary key");
    let foreign = texts(
        &pool,
        "SELECT c.conname::text FROM pg_constraint c WHERE c.connamespace = to_regnamespace($1) AND c.contype = 'f'",
        &schema,
    );
    assert_eq!(foreign.await, [] as [String; 0]);
}

/// Every table of the three parts is spread by its tenant, on each node, or named as one that stays; and it has a tenant if, and
/// only if, it is spread by it.
#[tokio::test]
async fn the_file_for_citus_names_every_table() {
    let Some(server) = server() else { return };
    let schema = fresh_name();
    storage(server.url(), &schema).await.unwrap();
    let pool = PgPool::connect(server.url()).await.unwrap();
    let sql = "SELECT c.relname::text, EXISTS (SELECT 1 FROM pg_attribute WHERE attrelid = c.oid AND attname = 'tenant')
               FROM pg_class c WHERE c.relnamespace = to_regnamespace($1) AND c.relkind IN ('r', 'p') AND NOT c.relispartition";
    let rows = sqlx::query(sql).bind(format!("\"{schema}\"")).fetch_all(&pool).await.unwrap();
    let tables: BTreeMap<String, bool> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let mut named = BTreeMap::new();
    for line in include_str!("../citus.sql").lines() {
        let (spread, rest) = if let Some(rest) = line.strip_prefix("SELECT create_distributed_table('privet.")
        {
            assert!(rest.contains("', 'tenant'") && rest.ends_with(");"), "{line}");
            (true, rest)
        } else if let Some(rest) = line.strip_prefix("SELECT create_reference_table('privet.") {
            (false, rest)
        } else if let Some(rest) = line.strip_prefix("-- local: privet.") {
            (false, rest)
        } else {
            assert!(line.starts_with("--"), "{line}");
            continue;
        };
        let name = rest.split(|c: char| !c.is_ascii_lowercase() && c != '_').next().unwrap();
        assert_eq!(named.insert(name.to_owned(), spread), None, "{name} is named twice");
    }
    assert_eq!(named, tables);
}

/// IP-07: a contact has five things and what they stand on; nothing has a place for an address or a user agent.
#[tokio::test]
async fn ip_07_there_is_no_place_for_an_address() {
    let Some(server) = server() else { return };
    let schema = fresh_name();
    storage(server.url(), &schema).await.unwrap();
    let pool = PgPool::connect(server.url()).await.unwrap();
    let columns = texts(
        &pool,
        "SELECT c.relname || ': ' || string_agg(a.attname, ' ' ORDER BY a.attnum)
         FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
         WHERE c.relnamespace = to_regnamespace($1) AND c.relkind IN ('r', 'p') AND NOT c.relispartition GROUP BY c.relname ORDER BY 1",
        &schema,
    )
    .await;
    let expected = [
        "_privet_migrations: part version",
        "audit_events: tenant id site at operator verb subject outcome",
        "consent_counts: tenant site day kind notice count",
        "consent_heads: tenant segment seq until digest hash",
        "consent_links: tenant segment seq until digest hash",
        "consent_records: tenant segment seq site id subject act at until notice language regime method gesture gpc decisions salt commitment",
        "contacts: tenant site id subject epoch country created last_seen conversations consent consent_line consent_until material frozen_until kept_on erasing blocked identity identity_text",
        "conversations: tenant site id owner_kind owner subject opened closed last_message messages live_support awaits_answer erasing",
        "erased_messages: tenant site id conversation number",
        "fences: tenant subject epoch until",
        "keys: tenant kind id wrapped",
        "leases: name owner until token",
        "ledger: seq line",
        "messages: tenant site conversation number id at channel author body page",
        "meta: key value",
        "notes: tenant site contact id at author body",
        "notices: tenant site id language body",
        "outbox: tenant site id recipient act categories subject at attempts problem due leased_until settled delivered",
        "retention_rules: tenant class period_ms",
        "statements: tenant site number since hash body",
    ];
    let mut expected = expected.map(str::to_owned);
    let mut columns = columns;
    expected.sort();
    columns.sort();
    assert_eq!(columns, expected);
}

/// Whoever only looks makes nothing, brings nothing up to date and raises no wall.
#[tokio::test(flavor = "multi_thread")]
async fn as_it_is_nothing_changes() {
    let Some(server) = server() else { return };
    let (schema, pool) = (fresh_name(), PgPool::connect(server.url()).await.unwrap());
    let look = PostgresOptions::new(server.url()).unwrap().schema(&schema).as_it_is();
    let refused = [look.store().await.err(), look.key_store().await.err(), look.ledger().await.err()];
    assert!(refused.iter().all(|e| matches!(e, Some(Error::Config { .. }))), "{refused:?}");
    let schemas = "SELECT nspname::text FROM pg_namespace WHERE oid = to_regnamespace($1)";
    assert_eq!(texts(&pool, schemas, &schema).await, [] as [String; 0]);

    storage(server.url(), &schema).await.unwrap();
    let tables = "SELECT relname::text || relrowsecurity FROM pg_class
                  WHERE relnamespace = to_regnamespace($1) AND relkind IN ('r', 'p') ORDER BY 1";
    let months = "SELECT c.relname::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
                  WHERE i.inhparent = to_regclass($1 || '.messages') AND c.relname <> 'messages_default'";
    for month in texts(&pool, months, &schema).await {
        run(&pool, format!("DROP TABLE \"{schema}\".{month}")).await;
    }
    let before = texts(&pool, tables, &schema).await;
    look.store().await.unwrap();
    look.key_store().await.unwrap();
    look.ledger().await.unwrap();
    let walled = look.clone().row_security();
    let refused = walled.store().await.unwrap_err().to_string();
    assert!(refused.contains("row-level security is not on"), "{refused}");
    assert!(walled.key_store().await.is_err());
    assert_eq!(texts(&pool, tables, &schema).await, before);
    let older = "DELETE FROM privet._privet_migrations WHERE version = 2; DROP TABLE privet.leases";
    run(&pool, older.replace("privet.", &format!("\"{schema}\"."))).await;
    let refused = look.store().await.unwrap_err().to_string();
    assert!(refused.contains("not up to date"), "{refused}");
    drop(store(server.url(), &schema).await);
    assert_ne!(texts(&pool, tables, &schema).await, before, "without it the months are made");
}
