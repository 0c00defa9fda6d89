//! Contacts of both sides, the same ones, and the tables by hand.

use std::time::Instant;

use sqlx::{AssertSqlSafe, PgPool, Row as _};

use crate::Bench;
use crate::turns::{script, settle};

/// The rarest country: so many contacts at most are from there.
pub(crate) const FEW: i64 = 20;

/// Ids look random, and are the same in each run. Each contact was seen last three seconds before another one, in an order
/// that is not that of the table.
const CONTACTS: &str = "
    INSERT INTO privet.contacts (tenant, site, id, subject, epoch, country, created, last_seen, conversations,
                                 consent, consent_line, consent_until, material)
    SELECT 'main', 'main', substr(a, 1, 16), substr(a, 17, 16), 1,
           CASE WHEN i % greatest({size} / {few}, 1) = 7 THEN 'LU'
                ELSE CASE i % 20 WHEN 0 THEN NULL WHEN 1 THEN 'NL' WHEN 2 THEN 'FR' ELSE 'DE' END END,
           {now} - i * 40503 % {size} * 3000 - 86400000, {now} - i * 40503 % {size} * 3000, i % 7,
           substr(b, 1, 16), substr(b, 17, 16), {now} - i * 40503 % {size} + 15552000000, '\\x000000'
    FROM (SELECT i, sha256(('a' || i)::bytea) AS a, sha256(('b' || i)::bytea) AS b FROM generate_series(0::bigint, {size} - 1) AS i) AS n";

/// What somebody would write who needs this list alone: its columns, what hides a contact, and an index per order.
const BY_HAND: &str = "
    CREATE SCHEMA IF NOT EXISTS hand;
    CREATE TABLE hand.contacts (
        tenant TEXT COLLATE \"C\" NOT NULL, site TEXT COLLATE \"C\" NOT NULL, id BYTEA NOT NULL, country TEXT COLLATE \"C\",
        created BIGINT NOT NULL, last_seen BIGINT NOT NULL, conversations BIGINT NOT NULL, consent_until BIGINT NOT NULL,
        erasing SMALLINT, frozen_until BIGINT);
    INSERT INTO hand.contacts SELECT tenant, site, id, country, created, last_seen, conversations, consent_until, erasing, frozen_until
        FROM privet.contacts;
    ALTER TABLE hand.contacts ADD PRIMARY KEY (tenant, site, id);
    CREATE INDEX recent ON hand.contacts (tenant, site, last_seen DESC, id DESC);
    CREATE INDEX by_country ON hand.contacts (tenant, site, country, last_seen DESC, id DESC)";

/// The definitions of a table's indexes, and what takes them away.
async fn indexes(pool: &PgPool, table: &str) -> (String, String) {
    let sql = "SELECT string_agg(format('DROP INDEX privet.%I', i.relname), '; '), string_agg(pg_get_indexdef(i.oid), '; ')
               FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
               WHERE x.indrelid = $1::regclass AND NOT x.indisprimary";
    let row = sqlx::query(sql).bind(table).fetch_one(pool).await.unwrap();
    (row.get(0), row.get(1))
}

/// Fills both tables, and builds their indexes afterwards, which takes a part of the time.
pub(crate) async fn contacts(bench: &Bench) {
    drop(bench.store().await);
    let pool = bench.pool().await;
    let from = Instant::now();
    let (drop_indexes, create_indexes) = indexes(&pool, "privet.contacts").await;
    let fill = CONTACTS
        .replace("{size}", &bench.size.to_string())
        .replace("{few}", &FEW.to_string())
        .replace("{now}", &bench.now.as_millis().to_string());
    let sql = format!(
        "BEGIN; TRUNCATE privet.contacts; ALTER TABLE privet.contacts DROP CONSTRAINT contacts_pkey; {drop_indexes}; {fill};
         ALTER TABLE privet.contacts ADD CONSTRAINT contacts_pkey PRIMARY KEY (tenant, site, id); {create_indexes}; COMMIT;
         BEGIN; {BY_HAND}; COMMIT"
    );
    script(&pool, &sql).await;
    for table in ["privet.contacts", "hand.contacts"] {
        script(&pool, &format!("VACUUM (ANALYZE) {table}")).await;
    }
    settle(&pool).await;
    println!(
        "{} contacts in {:.1} s; {} and {} MB",
        bench.size,
        from.elapsed().as_secs_f64(),
        megabytes(&pool, "privet.contacts").await,
        megabytes(&pool, "hand.contacts").await
    );
}

/// What a table and its indexes take.
pub(crate) async fn megabytes(pool: &PgPool, table: &str) -> i64 {
    let sql = AssertSqlSafe(format!("SELECT pg_total_relation_size('{table}') / 1000000"));
    sqlx::query(sql).fetch_one(pool).await.unwrap().get(0)
}

/// Makes room for what comes next.
pub(crate) async fn no_contacts(bench: &Bench) {
    script(&bench.pool().await, "DROP TABLE hand.contacts; TRUNCATE privet.contacts").await;
}
