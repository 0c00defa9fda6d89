//! Roles that are no superuser: one that makes its own schemas, and others that get what a test gives them.
#![allow(clippy::unwrap_used, reason = "a test that meets something else has failed")]

use privet_test_postgres::{PASSWORD, own_server};
use sqlx::{AssertSqlSafe, PgPool};

pub(crate) const APP: &str = "privet_app";

/// The URL of the tests' own server for [`APP`], which is made if it is not there. None without a PostgreSQL, after saying so; in
/// CI that is a failure.
pub(crate) async fn app_url() -> Option<String> {
    url_of(APP, &format!("GRANT CREATE ON DATABASE postgres TO {APP};")).await
}

/// The same for a role of another name, which is allowed what these statements say.
pub(crate) async fn url_of(role: &str, grants: &str) -> Option<String> {
    let server = own_server()?;
    let url = server.tcp_url(role)?;
    let pool = PgPool::connect(server.url()).await.unwrap();
    // Many tests may ask at once.
    let sql = format!(
        "SELECT pg_advisory_xact_lock(7777);
         DO $$ BEGIN
           IF to_regrole('{role}') IS NULL THEN
             CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}';
             {grants}
           END IF;
         END $$"
    );
    let mut making = pool.begin().await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *making).await.unwrap();
    making.commit().await.unwrap();
    Some(url)
}
