//! Units of work at once, through more connections than the suite has, and what is left in the tables.
#![allow(clippy::unwrap_used, reason = "a test that meets something else has failed")]

use privet::conformance::units_at_once_are_one_after_the_other;
use privet_postgres::PostgresOptions;
use privet_test_postgres::{ORPHANS, fresh_name, server};
use sqlx::{AssertSqlSafe, PgPool, Row as _};

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
