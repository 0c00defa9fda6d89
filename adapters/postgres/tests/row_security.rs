//! Row-level security by tenant: the public suite behind it, directly and through PgBouncer in transaction mode, and what a
//! statement without a condition sees.
#![allow(clippy::unwrap_used, reason = "a test that meets something else has failed")]

mod roles;

use privet::portal::{AuditEvent, AuditId, Outcome, Verb};
use privet::store::{KeyName, KeyStore as _, PortalStore as _, RetentionStore as _};
use privet::{Error, KeyRing, Storage, Tenant, Timestamp};
use privet_postgres::PostgresOptions;
use privet_test_postgres::{PASSWORD, fresh_name, own_server};
use sqlx::{AssertSqlSafe, PgPool, Postgres, Row as _, Transaction};

fn block_on(case: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(case);
}

mod direct {
    use privet_postgres::{PostgresOptions, PostgresStore};
    use privet_test_postgres::{fresh_name, own_server};

    async fn fresh() -> (PostgresStore, ()) {
        let url = super::roles::app_url().await.unwrap();
        let options = PostgresOptions::new(&url).unwrap().schema(&fresh_name()).row_security();
        (options.store().await.unwrap(), ())
    }

    /// Needs a role, which the tests' own server has. Does nothing where there is none, after saying so; in CI it fails.
    fn run(case: impl Future<Output = ()>) {
        if own_server().is_some() {
            super::block_on(case);
        }
    }

    privet::store_tests!(fresh, run);
}

mod pooled {
    use privet_postgres::{PostgresOptions, PostgresStore};
    use privet_test_postgres::{Pooler, fresh_name, pooler, pooler_for};

    async fn fresh() -> (PostgresStore, Pooler) {
        super::roles::app_url().await.unwrap();
        let pooler = pooler_for(super::roles::APP, 3).unwrap();
        let options = PostgresOptions::new(&pooler.url()).unwrap().schema(&fresh_name());
        (options.behind_pooler().row_security().store().await.unwrap(), pooler)
    }

    /// Does nothing where there is no PgBouncer, after saying so; in CI it fails.
    fn run(case: impl Future<Output = ()>) {
        if pooler(1).is_some() {
            super::block_on(case);
        }
    }

    privet::store_tests!(fresh, run);
}

fn event(tenant: &str, n: u8) -> AuditEvent {
    AuditEvent::new(
        AuditId::from_bytes([n; 16]),
        Tenant::new(tenant).unwrap(),
        None,
        Timestamp::from_millis(n.into()),
        "ann".to_owned(),
        Verb::SeeContact,
        None,
        Outcome::Allowed,
    )
}

async fn tables(pool: &PgPool, schema: &str) -> Vec<String> {
    let sql = "SELECT c.relname::text FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant'
               WHERE c.relnamespace = to_regnamespace($1) AND c.relkind IN ('r', 'p') ORDER BY 1";
    let rows = sqlx::query(sql).bind(format!("\"{schema}\"")).fetch_all(pool).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

async fn storage(url: &str, schema: &str) -> privet::Result<Storage> {
    let options = PostgresOptions::new(url)?.schema(schema).connections(4).row_security();
    options.storage(KeyRing::generate()?).await
}

/// What a row of a table is made of: its columns, and values for a tenant called `t`. A row of a month is in the month.
async fn row_of(superuser: &PgPool, full: &str) -> (String, String) {
    let columns = sqlx::query(
        "SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum),
                string_agg(CASE WHEN attname = 'tenant' THEN 't' WHEN attname = 'at' THEN coalesce(low, '1')
                                WHEN attname = 'id' OR format_type(atttypid, NULL) = 'bytea' THEN '''\\x01''::bytea'
                                WHEN format_type(atttypid, NULL) = 'text' THEN '''x''' WHEN format_type(atttypid, NULL) = 'boolean' THEN 'false'
                                ELSE '1' END, ', ' ORDER BY attnum)
         FROM pg_attribute, (SELECT substring(pg_get_expr(relpartbound, oid) FROM 'FROM \\(''([0-9]+)''\\)') AS low
                             FROM pg_class WHERE oid = to_regclass($1)) AS bounds
         WHERE attrelid = to_regclass($1) AND attnum > 0",
    );
    let row = columns.bind(full).fetch_one(superuser).await.unwrap();
    (row.get(0), row.get(1))
}

/// A row of each of two tenants in every table and every partition, past every policy.
async fn fill(superuser: &PgPool, schema: &str, tables: &[String]) {
    // All of its rows are in its partitions.
    for table in tables.iter().filter(|t| *t != "messages") {
        let full = format!("\"{schema}\".{table}");
        let (names, values) = row_of(superuser, &full).await;
        let sql = format!("INSERT INTO {full} ({names}) SELECT {values} FROM unnest(ARRAY['a', 'b']) AS t");
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(superuser).await.unwrap();
    }
}

/// Begins a transaction on behalf of a tenant, or of the installation.
async fn speaking_for(pool: &PgPool, whose: &str) -> Transaction<'static, Postgres> {
    let mut t = pool.begin().await.unwrap();
    let set = AssertSqlSafe(format!("SET LOCAL privet_unit.tenant = '{whose}'"));
    sqlx::raw_sql(set).execute(&mut *t).await.unwrap();
    t
}

async fn changed(t: &mut Transaction<'static, Postgres>, sql: String) -> u64 {
    sqlx::query(AssertSqlSafe(sql)).execute(&mut **t).await.unwrap().rows_affected()
}

/// A policy, and nothing else, keeps a row from being written.
async fn is_refused(mut t: Transaction<'static, Postgres>, sql: String) {
    let done = sqlx::query(AssertSqlSafe(sql.clone())).execute(&mut *t).await;
    let code = done.as_ref().err().and_then(|e| e.as_database_error()?.code());
    assert_eq!(code.as_deref(), Some("42501"), "{sql}: {done:?}");
    t.rollback().await.unwrap();
}

/// As the role that runs: statements that forgot their conditions, or name somebody else.
#[tokio::test]
async fn a_statement_without_a_condition_sees_its_tenant_only() {
    let Some(url) = roles::app_url().await else { return };
    let schema = fresh_name();
    storage(&url, &schema).await.unwrap();
    let superuser = PgPool::connect(own_server().unwrap().url()).await.unwrap();
    let tables = tables(&superuser, &schema).await;
    assert_eq!(tables.len(), 16 + 4, "with four partitions: {tables:?}");
    fill(&superuser, &schema, &tables).await;
    let hostile = PgPool::connect(&url).await.unwrap();
    for table in &tables {
        let full = format!("\"{schema}\".{table}");
        let there = AssertSqlSafe(format!("SELECT count(*) FROM {full} WHERE tenant IN ('a', 'b')"));
        let both: i64 = sqlx::query(there).fetch_one(&superuser).await.unwrap().get(0);
        assert!(both > 0, "{table} is tried");
        let (names, values) = row_of(&superuser, &full).await;
        let insert = |tenant| {
            format!("INSERT INTO {full} ({names}) SELECT {values} FROM (VALUES ('{tenant}')) AS v (t)")
        };
        let all = || AssertSqlSafe(format!("SELECT tenant FROM {full}"));
        // Nobody said whose it is.
        let mut t = hostile.begin().await.unwrap();
        assert!(sqlx::query(all()).fetch_all(&mut *t).await.unwrap().is_empty(), "{table}");
        is_refused(t, insert("b")).await;

        let mut t = speaking_for(&hostile, "a").await;
        let seen = sqlx::query(all()).fetch_all(&mut *t).await.unwrap();
        assert!(seen.iter().all(|row| row.get::<String, _>(0) == "a"), "{table}");
        assert_eq!(i64::try_from(seen.len()).unwrap() * 2, both, "{table}");
        for sql in [
            format!("UPDATE {full} SET tenant = tenant WHERE tenant = 'b'"),
            format!("UPDATE {full} SET tenant = 'a' WHERE tenant = 'b'"),
            format!("DELETE FROM {full} WHERE tenant = 'b'"),
        ] {
            assert_eq!(changed(&mut t, sql).await, 0, "{table}");
        }
        let gone = changed(&mut t, format!("DELETE FROM {full}")).await;
        assert_eq!(gone * 2, both.cast_unsigned(), "its own, and no more: {table}");
        t.rollback().await.unwrap();
        // Nor can a row be given to another one, or made in its name.
        for sql in [format!("UPDATE {full} SET tenant = 'b'"), insert("b")] {
            is_refused(speaking_for(&hostile, "a").await, sql).await;
        }

        // Who looks for all tenants changes nothing. Nobody looks for all keys.
        let mut t = speaking_for(&hostile, "*").await;
        let seen = sqlx::query(all()).fetch_all(&mut *t).await.unwrap().len();
        assert_eq!(i64::try_from(seen).unwrap(), if table == "keys" { 0 } else { both }, "{table}");
        for sql in [
            format!("UPDATE {full} SET tenant = tenant"),
            format!("UPDATE {full} SET tenant = 'b' WHERE tenant = 'a'"),
            format!("DELETE FROM {full} WHERE tenant IN ('a', 'b')"),
        ] {
            assert_eq!(changed(&mut t, sql).await, 0, "{table}");
        }
        t.rollback().await.unwrap();
        is_refused(speaking_for(&hostile, "*").await, insert("b")).await;
    }
}

/// What it is after a transaction with a tenant: the setting is empty then, and not unset.
#[tokio::test]
async fn a_tenant_is_forgotten_with_its_transaction() {
    let Some(url) = roles::app_url().await else { return };
    let schema = fresh_name();
    let options = PostgresOptions::new(&url).unwrap().schema(&schema).connections(1).row_security();
    let (store, keys) = (options.store().await.unwrap(), options.key_store().await.unwrap());
    store.append_audit(&event("a", 1)).await.unwrap();
    store.append_audit(&event("b", 2)).await.unwrap();
    assert_eq!(store.audit(&Tenant::new("a").unwrap(), None, 9).await.unwrap(), [event("a", 1)]);
    assert_eq!(store.tenants().await.unwrap().len(), 2, "the installation sees who there is");
    keys.insert(&KeyName::Epoch(privet::Day::from_number(1)), b"k").await.unwrap();
    let pool = sqlx::postgres::PgPoolOptions::new().max_connections(1).connect(&url).await.unwrap();
    let mut t = pool.begin().await.unwrap();
    sqlx::raw_sql("SET LOCAL privet_unit.tenant = 'a'").execute(&mut *t).await.unwrap();
    t.commit().await.unwrap();
    for table in ["audit_events", "keys"] {
        let sql = AssertSqlSafe(format!("SELECT count(*) FROM \"{schema}\".{table}"));
        assert_eq!(sqlx::query(sql).fetch_one(&pool).await.unwrap().get::<i64, _>(0), 0, "{table}");
    }
}

/// What would keep nobody out, or would see nothing, does not start.
#[tokio::test]
async fn a_wall_that_would_not_stand_is_told() {
    let Some(url) = roles::app_url().await else { return };
    let (superuser, schema) = (own_server().unwrap().url(), fresh_name());
    let passes = storage(superuser, &schema).await.unwrap_err();
    assert!(
        matches!(passes, Error::Config { .. }) && passes.to_string().contains("no superuser"),
        "{passes}"
    );
    let schema = fresh_name();
    storage(&url, &schema).await.unwrap();
    let blind = PostgresOptions::new(&url).unwrap().schema(&schema).store().await.unwrap_err();
    assert!(blind.to_string().contains("turn on `row_security()`"), "{blind}");
    // A role that only runs: the owner has to raise it first.
    let (schema, role) = (fresh_name(), fresh_name());
    PostgresOptions::new(&url).unwrap().schema(&schema).storage(KeyRing::generate().unwrap()).await.unwrap();
    let pool = PgPool::connect(superuser).await.unwrap();
    let grants = format!(
        "CREATE ROLE \"{role}\" LOGIN PASSWORD '{PASSWORD}'; GRANT USAGE ON SCHEMA \"{schema}\" TO \"{role}\";
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA \"{schema}\" TO \"{role}\""
    );
    sqlx::raw_sql(AssertSqlSafe(grants)).execute(&pool).await.unwrap();
    let runs = own_server().unwrap().tcp_url(&role).unwrap();
    let early = storage(&runs, &schema).await.unwrap_err();
    assert!(early.to_string().contains("as the role that owns the tables"), "{early}");
    storage(&url, &schema).await.unwrap();
    let storage = storage(&runs, &schema).await.unwrap();
    privet::conformance::messages_are_numbered_and_stored_once(&*storage.store).await;
}
