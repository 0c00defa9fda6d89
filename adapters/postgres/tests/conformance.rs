//! The public suite, in a schema of its own per case.
#![allow(clippy::unwrap_used, reason = "a test that meets something else has failed")]

use privet_postgres::{PostgresOptions, PostgresStore};

async fn fresh() -> (PostgresStore, ()) {
    let url = privet_test_postgres::server().unwrap().url();
    let options = PostgresOptions::new(url).unwrap().schema(&privet_test_postgres::fresh_name());
    (options.store().await.unwrap(), ())
}

/// Does nothing where there is no PostgreSQL, after saying so; in CI it fails.
fn run(case: impl Future<Output = ()>) {
    if privet_test_postgres::server().is_some() {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(case);
    }
}

privet::store_tests!(fresh, run);
