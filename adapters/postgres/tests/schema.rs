//! The tables: who may make them, how they come about, and what leads their keys.
#![allow(clippy::unwrap_used, reason = "a test that meets something else has failed")]

use std::collections::BTreeMap;

use privet::Error;
use privet::conformance::{messages_are_numbered_and_stored_once, records_are_chained};
use privet::store::OpenInfo;
use privet::store::Store as _;
use privet::{KeyRing, Storage};
use privet_postgres::{PostgresOptions, PostgresStore};
use privet_test_postgres::{PASSWORD, fresh_name, own_server, server};
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

/// Ten instances that start at once on an empty database make one schema.
#[tokio::test(flavor = "multi_thread")]
async fn ten_instances_start_at_once() {
    let Some(server) = server() else { return };
    let schema = fresh_name();
    let starting = (0..10).map(|_| {
        let schema = schema.clone();
        tokio::spawn(async move { storage(server.url(), &schema).await })
    });
    for started in futures_util::future::join_all(starting).await {
        started.unwrap().unwrap();
    }
    let pool = PgPool::connect(server.url()).await.unwrap();
    let sql = "SELECT part || version FROM privet._privet_migrations ORDER BY 1";
    let rows = sqlx::query(AssertSqlSafe(sql.replace("privet.", &format!("\"{schema}\"."))))
        .fetch_all(&pool)
        .await
        .unwrap();
    let versions: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(versions, ["keys1", "ledger1", "store1", "store2"]);
    let ring = KeyRing::generate().unwrap();
    let store = PostgresOptions::new(server.url()).unwrap().schema(&schema).store().await.unwrap();
    store.open(&OpenInfo::new(&ring)).await.unwrap();
    let other = store.open(&OpenInfo::new(&KeyRing::generate().unwrap())).await;
    assert!(matches!(other, Err(Error::Key { .. })), "{other:?}");
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
