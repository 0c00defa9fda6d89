//! Connections that are cut in the middle: what is acknowledged is there, once, and nobody has to start again.
#![allow(clippy::unwrap_used, reason = "a test that meets something else has failed")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use privet::portal::{AuditEvent, AuditId, Outcome, Verb};
use privet::store::PortalStore as _;
use privet::store::{Horizon, RetentionStore as _};
use privet::{Scope, Tenant, Timestamp};
use privet_postgres::PostgresOptions;
use privet_test_postgres::{fresh_name, server};
use sqlx::{PgPool, Row as _};

const TASKS: u8 = 8;
const EVENTS: u8 = 60;

fn event(task: u8, n: u8) -> AuditEvent {
    let mut id = [task; 16];
    id[0] = n;
    AuditEvent::new(
        AuditId::from_bytes(id),
        Tenant::default(),
        None,
        Timestamp::from_millis(n.into()),
        "ann".to_owned(),
        Verb::SeeContact,
        None,
        Outcome::Allowed,
    )
}

/// Cuts every connection with this name, and says how many.
async fn cut(pool: &PgPool, name: &str) -> i64 {
    let sql = "SELECT count(*) FILTER (WHERE pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = $1";
    sqlx::query(sql).bind(name).fetch_one(pool).await.unwrap().get(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lost_its_connection_is_done_once() {
    let Some(server) = server() else { return };
    let name = fresh_name();
    let url = format!("{}&application_name={name}", server.url());
    let store = PostgresOptions::new(&url).unwrap().schema(&name).connections(8).store().await.unwrap();
    let pool = PgPool::connect(server.url()).await.unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let cutting = tokio::spawn({
        let (over, pool, name) = (over.clone(), pool.clone(), name.clone());
        async move {
            let mut cuts = 0;
            while !over.load(Ordering::SeqCst) {
                cuts += cut(&pool, &name).await;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            cuts
        }
    });
    let writers = (0..TASKS).map(|task| {
        let store = store.clone();
        tokio::spawn(async move {
            for n in 0..EVENTS {
                store.append_audit(&event(task, n)).await.unwrap();
                // Nothing of what was acknowledged is missing a moment later.
                let latest = store.audit(&Tenant::default(), None, 1_000).await.unwrap();
                assert!(latest.contains(&event(task, n)));
            }
        })
    });
    for writer in futures_util::future::join_all(writers).await {
        writer.unwrap();
    }
    over.store(true, Ordering::SeqCst);
    assert!(cutting.await.unwrap() > 10, "enough were cut");
    let all = store.audit(&Tenant::default(), None, 1_000).await.unwrap();
    assert_eq!(all.len(), usize::from(TASKS) * usize::from(EVENTS));
    // When all of them are cut while nobody looks, the next one notices nothing.
    assert!(cut(&pool, &name).await > 0);
    assert_eq!(store.tenants().await.unwrap(), [Tenant::default()]);
}

/// A moment that is gone does not come back as another one.
#[tokio::test]
async fn a_snapshot_that_is_cut_ends() {
    let Some(server) = server() else { return };
    let name = fresh_name();
    let url = format!("{}&application_name={name}", server.url());
    let store = PostgresOptions::new(&url).unwrap().schema(&name).store().await.unwrap();
    let horizon = Horizon::unlimited(Timestamp::from_millis(0));
    let mut snapshot = store.snapshot(&Scope::default(), &horizon).await.unwrap();
    assert!(snapshot.contacts(None, 9).await.unwrap().is_empty());
    cut(&PgPool::connect(server.url()).await.unwrap(), &name).await;
    for _ in 0..2 {
        let ended = snapshot.contacts(None, 9).await;
        assert!(matches!(ended, Err(privet::Error::Unavailable { .. })), "{ended:?}");
    }
}
