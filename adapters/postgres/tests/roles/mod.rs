//! A role that makes its own schema and is no superuser.
#![allow(clippy::unwrap_used, reason = "a test that meets something else has failed")]

use privet_test_postgres::{PASSWORD, own_server};
use sqlx::{AssertSqlSafe, PgPool};

pub(crate) const APP: &str = "privet_app";

/// The URL of the tests' own server for [`APP`], which is made if it is not there. None without a PostgreSQL, after saying so; in
/// CI that is a failure.
pub(crate) async fn app_url() -> Option<String> {
    let server = own_server()?;
    let url = server.tcp_url(APP)?;
    let pool = PgPool::connect(server.url()).await.unwrap();
    // Many tests may ask at once.
    let sql = format!(
        "SELECT pg_advisory_xact_lock(7777);
         DO $$ BEGIN
           IF to_regrole('{APP}') IS NULL THEN
             CREATE ROLE {APP} LOGIN PASSWORD '{PASSWORD}';
             GRANT CREATE ON DATABASE postgres TO {APP};
           END IF;
         END $$"
    );
    let mut making = pool.begin().await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *making).await.unwrap();
    making.commit().await.unwrap();
    Some(url)
}
