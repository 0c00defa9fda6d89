//! The public suite through PgBouncer in transaction mode, with fewer servers than the store has connections.
#![allow(clippy::unwrap_used, reason = "a test that meets something else has failed")]

use privet_postgres::{PostgresOptions, PostgresStore};
use privet_test_postgres::{Pooler, fresh_name, pooler};

async fn fresh() -> (PostgresStore, Pooler) {
    let pooler = pooler(3).unwrap();
    let options = PostgresOptions::new(&pooler.url()).unwrap().schema(&fresh_name()).behind_pooler();
    (options.store().await.unwrap(), pooler)
}

/// Does nothing where there is no PgBouncer, after saying so; in CI it fails.
fn run(case: impl Future<Output = ()>) {
    if pooler(1).is_some() {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(case);
    }
}

privet::store_tests!(fresh, run);
