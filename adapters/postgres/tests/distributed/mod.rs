//! The tables spread over the nodes of a distributed PostgreSQL, where `PRIVET_TEST_POSTGRES_URL` names one that has Citus.
#![allow(clippy::unwrap_used, unreachable_pub, reason = "helpers of tests")]

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};

/// Runs `citus.sql`, as it is told there: with the name of the schema, and without what is elsewhere.
pub async fn spread(url: &str, schema: &str) {
    if std::env::var_os("PRIVET_TEST_POSTGRES_URL").is_none() {
        return;
    }
    let mut connection = PgConnection::connect(url).await.unwrap();
    let sql = "SELECT EXISTS (SELECT 1 FROM pg_extension WHERE extname = 'citus')";
    if !sqlx::query(sql).fetch_one(&mut connection).await.unwrap().get::<bool, _>(0) {
        return;
    }
    let file = include_str!("../../citus.sql");
    for statement in file.lines().filter(|line| line.starts_with("SELECT")) {
        let table = statement.split('\'').nth(1).unwrap().replace("privet.", &format!("\"{schema}\"."));
        let there = sqlx::query("SELECT to_regclass($1) IS NOT NULL").bind(table);
        if there.fetch_one(&mut connection).await.unwrap().get(0) {
            let statement = AssertSqlSafe(statement.replace("privet.", &format!("\"{schema}\".")));
            sqlx::raw_sql(statement).execute(&mut connection).await.unwrap();
        }
    }
}
