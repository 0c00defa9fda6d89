//! Connections that are cut in the middle: what is acknowledged is there, once, and nobody has to start again.
#![allow(clippy::unwrap_used, reason = "a test that meets something else has failed")]

mod swallowing;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use privet::consent::{CountKind, NoticeId};
use privet::portal::{AuditEvent, AuditId, Outcome, Verb};
use privet::store::{
    ConsentStore as _, CountBatch, ErasureCause, Horizon, LeaseStore as _, Ledger as _, LedgerEntry,
    PortalStore as _, RetentionStore as _, SubjectDigest,
};
use privet::{Day, Scope, Tenant, Timestamp};
use privet_postgres::PostgresOptions;
use privet_test_postgres::{fresh_name, own_server, server};
use sqlx::{PgPool, Row as _};

use swallowing::{silent_when_tried, swallowing, swallowing_the_last};

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
    let url = server.named_url(&name);
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
    let url = server.named_url(&name);
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

/// A commit whose answer is lost: what goes by an id or a number is done again, which changes nothing; what would answer
/// otherwise the second time is not, and says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_without_an_answer_is_not_repeated_blindly() {
    let Some(server) = own_server() else { return };
    let (Some((_, port)), Some(url)) = (server.socket(), server.tcp_url("postgres")) else { return };
    let swallow = Arc::new(AtomicUsize::new(0));
    let between = swallowing(port, swallow.clone()).await;
    let url = url.replace(&format!(":{port}/"), &format!(":{between}/"));
    let store = PostgresOptions::new(&url).unwrap().schema(&fresh_name()).store().await.unwrap();
    let tenant = Tenant::default();

    swallow.store(1, Ordering::SeqCst);
    store.append_audit(&event(1, 1)).await.unwrap();
    assert_eq!(swallow.load(Ordering::SeqCst), 0, "it was swallowed");
    assert_eq!(store.audit(&tenant, None, 9).await.unwrap(), [event(1, 1)]);

    let (day, until) = (Day::from_number(20_000), Timestamp::from_millis(i64::MAX));
    let mut batch = CountBatch::new(tenant, [1; 16], 1, until);
    batch.add(Scope::default().site, day, CountKind::Refusal, NoticeId::NONE, 1);
    swallow.store(1, Ordering::SeqCst);
    store.add_consent_counts(&batch).await.unwrap();
    assert_eq!(swallow.load(Ordering::SeqCst), 0, "it was swallowed");
    assert_eq!(store.consent_counts(&Scope::default(), day, day).await.unwrap(), batch.counts());

    let (owner, now) = ([1; 16], Timestamp::from_millis(0));
    let token = store.acquire_lease("house", &owner, now, until).await.unwrap().unwrap();
    swallow.store(1, Ordering::SeqCst);
    let unknown = store.release_lease("house", token).await.unwrap_err();
    assert!(unknown.to_string().contains("may have happened or not"), "{unknown}");
    // It has happened, as soon as the server is through with it.
    let other = async || store.acquire_lease("house", &[2; 16], now, until).await.unwrap();
    let patience = tokio::time::timeout(Duration::from_secs(10), async {
        while other().await.is_none() {
            tokio::task::yield_now().await;
        }
    });
    patience.await.unwrap();
}

fn erased(n: u8) -> LedgerEntry {
    let (scope, subject) = (Scope::default(), SubjectDigest::from_bytes([n; 16]));
    LedgerEntry::Erased { scope, subject, cause: ErasureCause::Request, at: Timestamp::from_millis(n.into()) }
}

/// A line of the ledger whose commit had no answer stands there once, also between those of others.
#[tokio::test(flavor = "multi_thread")]
async fn a_line_of_the_ledger_is_not_written_twice() {
    let Some(server) = own_server() else { return };
    let (Some((_, port)), Some(url)) = (server.socket(), server.tcp_url("postgres")) else { return };
    let (swallow, schema) = (Arc::new(AtomicUsize::new(0)), fresh_name());
    let between = swallowing(port, swallow.clone()).await;
    let lossy = url.replace(&format!(":{port}/"), &format!(":{between}/"));
    let at = |url: &str| PostgresOptions::new(url).unwrap().schema(&schema);
    let (ledger, other) = (at(&lossy).ledger().await.unwrap(), at(&url).ledger().await.unwrap());
    ledger.append(&[erased(1)]).await.unwrap();
    swallow.store(1, Ordering::SeqCst);
    let (lost, beside) = tokio::join!(async { ledger.append(&[erased(2), erased(3)]).await }, async {
        other.append(&[erased(4)]).await
    });
    lost.unwrap();
    beside.unwrap();
    assert_eq!(swallow.load(Ordering::SeqCst), 0, "it was swallowed");
    let all = other.entries().await.unwrap();
    assert_eq!(all.len(), 4, "{all:?}");
    assert!([1, 2, 3, 4].map(erased).iter().all(|entry| all.contains(entry)), "{all:?}");
    // The same again, of another erasure, is another line.
    ledger.append(&[erased(1)]).await.unwrap();
    assert_eq!(other.entries().await.unwrap().len(), 5);
}

/// A commit had no answer, and then the server is not reached any more: whoever waits is told that it may stand, not that nothing
/// happened.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_told_that_nothing_happened_when_it_may_have() {
    let Some(server) = own_server() else { return };
    let (Some((_, port)), Some(url)) = (server.socket(), server.tcp_url("postgres")) else { return };
    let (swallow, schema) = (Arc::new(AtomicUsize::new(0)), fresh_name());
    let between = swallowing_the_last(port, swallow.clone()).await;
    let lossy = url.replace(&format!(":{port}/"), &format!(":{between}/"));
    let at = |url: &str| PostgresOptions::new(url).unwrap().schema(&schema).wait(Duration::from_secs(2));
    let (store, direct) = (at(&lossy).store().await.unwrap(), at(&url).store().await.unwrap());
    swallow.store(1, Ordering::SeqCst);
    let unknown = store.append_audit(&event(1, 1)).await.unwrap_err();
    assert!(unknown.to_string().contains("may have happened or not"), "{unknown}");
    assert_eq!(direct.audit(&Tenant::default(), None, 9).await.unwrap(), [event(1, 1)], "it has");
    let away = store.append_audit(&event(1, 2)).await.unwrap_err();
    assert!(!away.to_string().contains("may have happened or not"), "nothing was committed: {away}");
}

/// A server that falls silent when a connection is given back: its place in the pool is free soon after.
#[tokio::test(flavor = "multi_thread")]
async fn who_gives_a_connection_back_waits_for_nobody() {
    let Some(server) = own_server() else { return };
    let (Some((_, port)), Some(url)) = (server.socket(), server.tcp_url("postgres")) else { return };
    let silent = Arc::new(AtomicBool::new(false));
    let between = silent_when_tried(port, silent.clone()).await;
    let url = url.replace(&format!(":{port}/"), &format!(":{between}/"));
    let options = PostgresOptions::new(&url).unwrap().schema(&fresh_name()).connections(1);
    let store = options.wait(Duration::from_secs(5)).store().await.unwrap();
    let listed = async || store.audit(&Tenant::default(), None, 9).await;
    assert_eq!(listed().await.unwrap(), []);
    silent.store(true, Ordering::SeqCst);
    assert_eq!(listed().await.unwrap(), []);
    assert_eq!(listed().await.unwrap(), [], "on another connection");
    assert!(!silent.load(Ordering::SeqCst), "it was tried");
}
