//! Units of work at once, through more connections than the suite has, and what is left in the tables.
#![allow(clippy::unwrap_used, reason = "a test that meets something else has failed")]

use privet::conformance::units_at_once_are_one_after_the_other;
use privet_postgres::PostgresOptions;
use privet_test_postgres::{fresh_name, server};
use sqlx::{AssertSqlSafe, PgPool, Row as _};

const ORPHANS: [&str; 6] = [
    "SELECT count(*) FROM privet.messages m WHERE NOT EXISTS
       (SELECT 1 FROM privet.conversations c WHERE c.tenant = m.tenant AND c.site = m.site AND c.id = m.conversation)",
    "SELECT count(*) FROM privet.erased_messages e WHERE NOT EXISTS
       (SELECT 1 FROM privet.conversations c WHERE c.tenant = e.tenant AND c.site = e.site AND c.id = e.conversation)",
    "SELECT count(*) FROM privet.conversations c WHERE owner_kind = 1 AND NOT EXISTS
       (SELECT 1 FROM privet.contacts o WHERE o.tenant = c.tenant AND o.site = c.site AND o.id = c.owner)",
    "SELECT count(*) FROM privet.contacts o WHERE conversations <> (SELECT count(*) FROM privet.conversations c
       WHERE c.tenant = o.tenant AND c.site = o.site AND c.owner_kind = 1 AND c.owner = o.id)",
    // Not one of those who are there is fenced.
    "SELECT count(*) FROM privet.contacts c JOIN privet.fences f ON f.tenant = c.tenant AND f.subject = c.subject AND f.epoch >= c.epoch",
    "SELECT count(*) FROM privet.consent_heads h WHERE seq <> (SELECT max(seq) FROM privet.consent_links l WHERE l.tenant = h.tenant)",
];

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_over_when_units_meet() {
    let Some(server) = server() else { return };
    let pool = PgPool::connect(server.url()).await.unwrap();
    for _ in 0..3 {
        let schema = fresh_name();
        let options = PostgresOptions::new(server.url()).unwrap().schema(&schema).connections(48);
        let store = options.store().await.unwrap();
        units_at_once_are_one_after_the_other(&store).await;
        for sql in ORPHANS {
            let sql = sql.replace("privet.", &format!("\"{schema}\"."));
            let count: i64 = sqlx::query(AssertSqlSafe(sql.clone())).fetch_one(&pool).await.unwrap().get(0);
            assert_eq!(count, 0, "{sql}");
        }
    }
}
