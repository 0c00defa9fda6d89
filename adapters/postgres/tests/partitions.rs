//! Months of messages that go as a whole.
#![allow(clippy::unwrap_used, reason = "a test that meets something else has failed")]

mod roles;

use std::time::Duration;

use privet::conformance::messages_are_numbered_and_stored_once;
use privet::retention::DataClass;
use privet::store::{Horizon, Lease, LeaseStore as _, RetentionStore as _};
use privet::{Tenant, Timestamp};
use privet_postgres::{PostgresOptions, PostgresStore};
use privet_test_postgres::{fresh_name, own_server, server};
use sqlx::{AssertSqlSafe, PgPool, Row as _};

/// The suite is of January 2027.
const MONTH: &str = "messages_2027_01";

/// What is from before an instant is over.
fn before(at: Timestamp) -> Horizon {
    Horizon::unlimited(end_of_month()).with(DataClass::Messages, at)
}

fn end_of_month() -> Timestamp {
    Timestamp::from_millis(1_801_440_000_000)
}

async fn number(pool: &PgPool, sql: String) -> i64 {
    sqlx::query(AssertSqlSafe(sql)).fetch_one(pool).await.unwrap().get(0)
}

/// Messages of the suite, in a month of their own. How many, and of which tenants.
async fn filled(store: &PostgresStore, pool: &PgPool, schema: &str) -> (u64, Vec<Tenant>) {
    let make = format!(
        "CREATE TABLE IF NOT EXISTS \"{schema}\".{MONTH} PARTITION OF \"{schema}\".messages FOR VALUES FROM (1798761600000) TO (1801440000000)"
    );
    sqlx::raw_sql(AssertSqlSafe(make)).execute(pool).await.unwrap();
    messages_are_numbered_and_stored_once(store).await;
    let sql = AssertSqlSafe(format!("SELECT DISTINCT tenant FROM \"{schema}\".{MONTH}"));
    let tenants = sqlx::query(sql).fetch_all(pool).await.unwrap();
    let tenants = tenants.iter().map(|row| Tenant::new(row.get::<String, _>(0)).unwrap()).collect();
    let count = number(pool, format!("SELECT count(*) FROM \"{schema}\".{MONTH}")).await;
    assert!(count > 0);
    (count.unsigned_abs(), tenants)
}

async fn months_go_whole(options: PostgresOptions, schema: &str) {
    let store = options.store().await.unwrap();
    let pool = PgPool::connect(server().unwrap().url()).await.unwrap();
    let (count, tenants) = filled(&store, &pool, schema).await;
    let early = Timestamp::from_millis(end_of_month().as_millis() - 1);
    assert_eq!(store.drop_messages(&before(early), &tenants).await.unwrap(), 0, "a part of it is not over");
    let others = [Tenant::new("somebody-else").unwrap()];
    assert_eq!(store.drop_messages(&before(end_of_month()), &others).await.unwrap(), 0, "nobody asked these");
    // Somebody is writing into it: it is left to the next sweep, and the writer is not held up for long.
    let mut writing = pool.begin().await.unwrap();
    let lock = format!("LOCK TABLE \"{schema}\".{MONTH} IN ROW EXCLUSIVE MODE");
    sqlx::raw_sql(AssertSqlSafe(lock)).execute(&mut *writing).await.unwrap();
    let over = before(end_of_month());
    let left = tokio::time::timeout(Duration::from_secs(30), store.drop_messages(&over, &tenants));
    assert_eq!(left.await.unwrap().unwrap(), 0);
    writing.rollback().await.unwrap();
    // Nor does it go under a lease that somebody else has by now.
    let lease = |token| Some(Lease { name: "work", token });
    let (a, b) = ([1; 16], [2; 16]);
    let lapsed = store.acquire_lease("work", &a, over.now, over.now).await.unwrap().unwrap();
    let held = store.acquire_lease("work", &b, over.now, end_of_month()).await.unwrap().unwrap();
    let refused = store.drop_messages(&over.under(lease(lapsed)), &tenants).await;
    assert!(refused.as_ref().is_err_and(Lease::is_lost), "{refused:?}");
    assert_eq!(store.drop_messages(&over.under(lease(held)), &tenants).await.unwrap(), count);
    let sql = format!("SELECT (to_regclass('\"{schema}\".{MONTH}') IS NOT NULL)::int::bigint");
    assert_eq!(number(&pool, sql).await, 0, "the partition is gone");
    assert_eq!(number(&pool, format!("SELECT count(*) FROM \"{schema}\".messages")).await, 0);
    assert_eq!(store.drop_messages(&before(end_of_month()), &tenants).await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_month_that_is_over_for_everybody_goes_as_a_whole() {
    let Some(server) = server() else { return };
    let schema = fresh_name();
    months_go_whole(PostgresOptions::new(server.url()).unwrap().schema(&schema), &schema).await;
}

/// A role that does not own the tables drops nothing, and is not told that it failed.
#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_only_runs_drops_nothing() {
    let Some(url) = roles::app_url().await else { return };
    let schema = fresh_name();
    let owner =
        PostgresOptions::new(own_server().unwrap().url()).unwrap().schema(&schema).store().await.unwrap();
    let pool = PgPool::connect(own_server().unwrap().url()).await.unwrap();
    let (_, tenants) = filled(&owner, &pool, &schema).await;
    let app = roles::APP;
    let grants = format!(
        "GRANT USAGE ON SCHEMA \"{schema}\" TO {app}; GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA \"{schema}\" TO {app}"
    );
    sqlx::raw_sql(AssertSqlSafe(grants)).execute(&pool).await.unwrap();
    let runs = PostgresOptions::new(&url).unwrap().schema(&schema).store().await.unwrap();
    assert_eq!(runs.drop_messages(&before(end_of_month()), &tenants).await.unwrap(), 0);
}

/// The partitions there are of this month and the two after it.
async fn months(pool: &PgPool, schema: &str) -> Vec<bool> {
    let sql = format!(
        "SELECT EXISTS (SELECT 1 FROM pg_inherits WHERE inhrelid = to_regclass('\"{schema}\".messages_' ||
           to_char(date_trunc('month', now() AT TIME ZONE 'UTC') + n * interval '1 month', 'YYYY_MM')))
         FROM generate_series(0, 2) n ORDER BY n"
    );
    let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(pool).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// As where nobody who owns the tables has started for long: this month's messages are in the default partition.
async fn without_months(schema: &str) -> PgPool {
    let url = server().unwrap().url();
    let store = PostgresOptions::new(url).unwrap().schema(schema).store().await.unwrap();
    drop(store);
    let pool = PgPool::connect(url).await.unwrap();
    assert_eq!(months(&pool, schema).await, [true; 3]);
    let forget = format!(
        "DO $$ DECLARE m regclass; BEGIN
           FOR m IN SELECT inhrelid::regclass FROM pg_inherits
             WHERE inhparent = '\"{schema}\".messages'::regclass AND inhrelid <> '\"{schema}\".messages_default'::regclass
           LOOP EXECUTE 'DROP TABLE ' || m; END LOOP; END $$;
         INSERT INTO \"{schema}\".messages (tenant, site, conversation, number, id, at, channel, author, body)
         SELECT 'a', 'x', '\\x01', 1, '\\x01', (extract(epoch FROM now()) * 1000)::bigint, 1, 1, '\\x01'"
    );
    sqlx::raw_sql(AssertSqlSafe(forget)).execute(&pool).await.unwrap();
    assert_eq!(months(&pool, schema).await, [false; 3]);
    pool
}

#[tokio::test(flavor = "multi_thread")]
async fn a_month_that_cannot_be_made_keeps_no_other_from_it() {
    let Some(server) = server() else { return };
    let schema = fresh_name();
    let pool = without_months(&schema).await;
    let options = PostgresOptions::new(server.url()).unwrap().schema(&schema);
    options.store().await.unwrap();
    assert_eq!(months(&pool, &schema).await, [false, true, true]);
    let promises = format!(
        "SELECT count(*) FROM pg_constraint WHERE contype = 'c' AND conrelid = '\"{schema}\".messages_default'::regclass"
    );
    assert_eq!(number(&pool, promises.clone()).await, 0, "nothing is promised any more");
    // Rows of this month, and of the next one, still have a place.
    for (ahead, place) in [(0, "messages_default"), (1, "messages_")] {
        let sql = format!(
            "INSERT INTO \"{schema}\".messages (tenant, site, conversation, number, id, at, channel, author, body)
             SELECT 'a', 'x', '\\x02', {ahead}, '\\x02',
               (extract(epoch FROM date_trunc('month', now() AT TIME ZONE 'UTC') + {ahead} * interval '1 month') * 1000)::bigint, 1, 1, '\\x01'
             RETURNING tableoid::regclass::text"
        );
        let at: String = sqlx::query(AssertSqlSafe(sql)).fetch_one(&pool).await.unwrap().get(0);
        assert!(at.contains(place), "{at}");
    }
}

/// What was promised of a month whose partition was not made refuses its messages: the next start of an owner takes it back.
#[tokio::test(flavor = "multi_thread")]
async fn a_promise_that_was_left_behind_is_taken_back() {
    let Some(server) = server() else { return };
    let schema = fresh_name();
    let pool = without_months(&schema).await;
    let month = "date_trunc('month', now() AT TIME ZONE 'UTC')";
    let promise = format!(
        "DELETE FROM \"{schema}\".messages;
         INSERT INTO \"{schema}\".messages (tenant, site, conversation, number, id, at, channel, author, body)
         VALUES ('a', 'x', '\\x01', 1, '\\x01', 1, 1, 1, '\\x01');
         DO $$ BEGIN EXECUTE format('ALTER TABLE \"{schema}\".messages_default ADD CONSTRAINT %I CHECK (at < %s OR at >= %s)',
           'only_before_messages_' || to_char({month}, 'YYYY_MM'), (extract(epoch FROM {month}) * 1000)::bigint,
           (extract(epoch FROM {month} + interval '1 month') * 1000)::bigint); END $$"
    );
    sqlx::raw_sql(AssertSqlSafe(promise)).execute(&pool).await.unwrap();
    let say = format!(
        "INSERT INTO \"{schema}\".messages (tenant, site, conversation, number, id, at, channel, author, body)
         SELECT 'a', 'x', '\\x02', 1, '\\x02', (extract(epoch FROM now()) * 1000)::bigint, 1, 1, '\\x01'"
    );
    let refused = sqlx::raw_sql(AssertSqlSafe(say.clone())).execute(&pool).await.unwrap_err();
    assert!(refused.to_string().contains("only_before"), "{refused}");
    PostgresOptions::new(server.url()).unwrap().schema(&schema).store().await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(say)).execute(&pool).await.unwrap();
    assert_eq!(months(&pool, &schema).await, [false, true, true]);
}

/// Somebody reads the messages for long, as an export does: whoever else reads or writes is not kept waiting by the month that
/// is to be made, which is made later.
#[tokio::test(flavor = "multi_thread")]
async fn a_month_is_made_when_nobody_minds() {
    let Some(server) = server() else { return };
    let schema = fresh_name();
    let pool = without_months(&schema).await;
    let mut reading = pool.begin().await.unwrap();
    let sql = format!("SELECT count(*) FROM \"{schema}\".messages");
    sqlx::query(AssertSqlSafe(sql.clone())).fetch_one(&mut *reading).await.unwrap();
    let options = PostgresOptions::new(server.url()).unwrap().schema(&schema);
    options.store().await.unwrap();
    assert_eq!(months(&pool, &schema).await, [false; 3]);
    // What it began keeps nobody from writing.
    sqlx::query(AssertSqlSafe(sql)).fetch_one(&pool).await.unwrap();
    reading.rollback().await.unwrap();
    // Any number of instances may be about it.
    let starts = (0..4).map(|_| options.store());
    for started in futures_util::future::join_all(starts).await {
        started.unwrap();
    }
    assert_eq!(months(&pool, &schema).await, [false, true, true]);
    let promises = format!(
        "SELECT count(*) FROM pg_constraint WHERE contype = 'c' AND conrelid = '\"{schema}\".messages_default'::regclass"
    );
    assert_eq!(number(&pool, promises).await, 0);
}

/// While the messages of a month are counted, what is erased in other months goes on; and a reader of that month does not keep
/// the others waiting.
#[tokio::test(flavor = "multi_thread")]
async fn a_month_that_is_read_is_dropped_later() {
    let Some(server) = server() else { return };
    let schema = fresh_name();
    let store = PostgresOptions::new(server.url()).unwrap().schema(&schema).store().await.unwrap();
    let pool = PgPool::connect(server.url()).await.unwrap();
    let (count, tenants) = filled(&store, &pool, &schema).await;
    let mut reading = pool.begin().await.unwrap();
    let sql = format!("SELECT count(*) FROM \"{schema}\".{MONTH}");
    sqlx::query(AssertSqlSafe(sql)).fetch_one(&mut *reading).await.unwrap();
    assert_eq!(store.drop_messages(&before(end_of_month()), &tenants).await.unwrap(), 0);
    let erase = format!("DELETE FROM \"{schema}\".messages WHERE tenant = 'nobody'");
    sqlx::raw_sql(AssertSqlSafe(erase)).execute(&pool).await.unwrap();
    reading.rollback().await.unwrap();
    assert_eq!(store.drop_messages(&before(end_of_month()), &tenants).await.unwrap(), count);
}

/// A row is found by its place, and there is one at the same place in each month.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_due_goes_from_every_month_and_nothing_else_does() {
    let Some(server) = server() else { return };
    let schema = fresh_name();
    let store = PostgresOptions::new(server.url()).unwrap().schema(&schema).store().await.unwrap();
    let pool = PgPool::connect(server.url()).await.unwrap();
    // Twenty of each tenant before the end of the month, and twenty after it, a second between them.
    let fill = format!(
        "CREATE TABLE IF NOT EXISTS \"{schema}\".{MONTH} PARTITION OF \"{schema}\".messages FOR VALUES FROM (1798761600000) TO (1801440000000);
         INSERT INTO \"{schema}\".messages (tenant, site, conversation, number, id, at, channel, author, body)
         SELECT tenant, 'x', '\\x01', n, '\\x02', {} + (n - 20) * 1000, 1, 1, ''
         FROM unnest(ARRAY['a', 'b']) AS tenant, generate_series(0, 39) AS n",
        end_of_month().as_millis()
    );
    sqlx::raw_sql(AssertSqlSafe(fill)).execute(&pool).await.unwrap();
    let tenant = Tenant::new("a").unwrap();
    let now = end_of_month() + Duration::from_secs(3_600);
    let purge = async |max, before| {
        let horizon = Horizon::unlimited(now).with(DataClass::Messages, before);
        store.purge_step(&tenant, DataClass::Messages, max, &horizon, now).await.unwrap()
    };
    let left = async |tenant: &str| {
        let sql =
            format!("SELECT coalesce(min(number), -1) FROM \"{schema}\".messages WHERE tenant = '{tenant}'");
        let sum = format!("SELECT count(*) FROM \"{schema}\".messages WHERE tenant = '{tenant}'");
        (number(&pool, sum).await, number(&pool, sql).await)
    };
    // Everything is due, and the oldest goes first: what is at the same places in the other month stays.
    let all = now;
    assert_eq!(purge(7, all).await, 7);
    assert_eq!(left("a").await, (33, 7));
    // Across the end of the month, up to an instant.
    assert_eq!(purge(1_000, end_of_month() + Duration::from_secs(5)).await, 18);
    assert_eq!(left("a").await, (15, 25));
    assert_eq!(purge(1_000, end_of_month()).await, 0);
    assert_eq!(left("b").await, (40, 0));
    assert_eq!(purge(1_000, all).await, 15);
    assert_eq!((left("a").await.0, left("b").await.0), (0, 40));
}
