//! A lease while its holder is in the middle of what it does under it.
#![allow(clippy::unwrap_used, reason = "a test that meets something else has failed")]

mod distributed;
mod lists;

use std::time::Duration;

use privet::retention::DataClass;
use privet::store::{Horizon, Lease, LeaseStore as _, PortalStore as _, RetentionStore as _};
use privet::{Tenant, Timestamp};
use privet_postgres::PostgresOptions;
use privet_test_postgres::{fresh_name, server};
use sqlx::{AssertSqlSafe, PgPool};
use tokio::time::timeout;

use lists::{event, until};

const NAME: &str = "work";
/// Shorter than a unit of work waits for a lock.
const AT_ONCE: Duration = Duration::from_secs(5);

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1_000)
}

/// It renews its lease beside that, nobody takes it over before that is done, also when it has lapsed, and nobody waits for it.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_for_what_is_done_under_a_lease() {
    let Some(server) = server() else { return };
    let schema = fresh_name();
    let options = PostgresOptions::new(&server.named_url(&schema)).unwrap().schema(&schema);
    let store = options.store().await.unwrap();
    distributed::spread(server.url(), &schema).await;
    let pool = PgPool::connect(server.url()).await.unwrap();
    let (a, b) = ([1; 16], [2; 16]);
    let acquire = async |owner: [u8; 16], now, until| {
        timeout(AT_ONCE, store.acquire_lease(NAME, &owner, at(now), at(until))).await.unwrap().unwrap()
    };
    let token = acquire(a, 0, 60).await.unwrap();

    store.append_audit(&event(1)).await.unwrap();
    let mut holding = pool.begin().await.unwrap();
    let hold = AssertSqlSafe(format!("SELECT 1 FROM \"{schema}\".audit_events WHERE tenant = $1 FOR UPDATE"));
    sqlx::query(hold).bind(Tenant::default().as_str()).execute(&mut *holding).await.unwrap();
    let lease = Some(Lease { name: NAME, token });
    let over = Horizon::unlimited(at(60)).with(DataClass::AuditEvents, at(60)).under(lease);
    let purging = {
        let store = store.clone();
        tokio::spawn(async move {
            store.purge_step(&Tenant::default(), DataClass::AuditEvents, 9, &over, at(99)).await
        })
    };
    // Until it is in the middle of it.
    let free = format!("SELECT 1 FROM \"{schema}\".leases FOR UPDATE SKIP LOCKED");
    until(async || {
        let free = sqlx::query(AssertSqlSafe(free.clone())).fetch_optional(&pool);
        free.await.unwrap().is_none()
    })
    .await;

    assert_eq!(acquire(a, 30, 90).await, Some(token), "its holder renews it");
    assert_eq!(acquire(b, 90, 120).await, None, "it has lapsed, and is in use");
    assert_eq!(acquire(a, 91, 120).await, None, "a new one of the same owner is another one");
    assert!(!purging.is_finished());
    holding.rollback().await.unwrap();
    assert_eq!(purging.await.unwrap().unwrap(), 1);
    assert!(acquire(b, 92, 120).await.unwrap() > token);
    assert_eq!(acquire(a, 93, 120).await, None, "it was taken over");
}
