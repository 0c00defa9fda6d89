//! The public suite, in a schema of its own per case; on several nodes where `PRIVET_TEST_POSTGRES_URL` names a server that has
//! Citus.
#![allow(clippy::unwrap_used, reason = "a test that meets something else has failed")]

mod distributed;

use privet_postgres::{PostgresOptions, PostgresStore};

async fn fresh() -> (PostgresStore, ()) {
    let url = privet_test_postgres::server().unwrap().url();
    let schema = privet_test_postgres::fresh_name();
    let store = PostgresOptions::new(url).unwrap().schema(&schema).store().await.unwrap();
    distributed::spread(url, &schema).await;
    (store, ())
}

/// Does nothing where there is no PostgreSQL, after saying so; in CI it fails.
fn run(case: impl Future<Output = ()>) {
    if privet_test_postgres::server().is_some() {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(case);
    }
}

privet::store_tests!(fresh, run);
