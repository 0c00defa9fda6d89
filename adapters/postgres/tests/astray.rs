//! Servers that are not what they are taken for: an old primary that lives on, another cluster, one that says nothing any more.
#![allow(clippy::unwrap_used, reason = "a test that meets something else has failed")]

mod lists;
#[path = "../../../tests/src/log.rs"]
#[allow(clippy::expect_used, unreachable_pub, reason = "it is shared with other tests")]
mod log;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use privet::store::{Horizon, PortalStore as _};
use privet::{Error, Scope, Timestamp};
use privet_postgres::{PostgresOptions, PostgresStore};
use privet_test_postgres::{Cluster, fresh_name, own_server};
use sqlx::{PgPool, Row as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

use lists::{event, listed, until};

async fn count(pool: &PgPool) -> i64 {
    sqlx::query("SELECT count(*) FROM privet.audit_events").fetch_one(pool).await.unwrap().get(0)
}

/// It was primary before the one that was promoted, and was started again, or never went. What were written there is lost to all
/// others, and who was erased since stands there again.
#[tokio::test(flavor = "multi_thread")]
async fn an_old_primary_is_not_gone_back_to() {
    let Some(old) = Cluster::primary() else { return };
    let options = PostgresOptions::new(&old.url()).unwrap();
    options.store().await.unwrap();
    let new = old.standby("second");
    new.promote();
    let options = options.failover_url(&new.url()).unwrap().wait(Duration::from_secs(1));
    let store = options.store().await.unwrap();
    store.append_audit(&event(1)).await.unwrap();
    let there = PgPool::connect(&old.url()).await.unwrap();
    assert_eq!(count(&there).await, 0, "it went to the one that was promoted");
    // It is asked, and does not answer.
    new.silence();
    let refused = store.append_audit(&event(2)).await;
    assert!(matches!(refused, Err(Error::Unavailable { .. })), "{refused:?}");
    assert_eq!(count(&there).await, 0);
}

/// Whoever mistakes one URL for another is told, and nothing goes there, though it was promoted more often.
#[tokio::test]
async fn a_server_of_another_cluster_is_not_used() {
    let Some(primary) = Cluster::primary() else { return };
    let other = Cluster::primary().unwrap().standby("other");
    other.promote();
    let options = PostgresOptions::new(&primary.url()).unwrap().failover_url(&other.url()).unwrap();
    let log = log::Log::default();
    let listening = log.listen(tracing::Level::WARN);
    let store = options.store().await.unwrap();
    drop(listening);
    assert!(log.said().contains("is of another database cluster"), "{}", log.said());
    store.append_audit(&event(1)).await.unwrap();
    assert_eq!(count(&PgPool::connect(&primary.url()).await.unwrap()).await, 1);
}

#[tokio::test]
async fn a_server_that_cannot_be_asked_is_told_of_at_the_start() {
    let Some(primary) = Cluster::primary() else { return };
    let wrong = primary.url().replace("postgres@", "nobody:secret@");
    let options = PostgresOptions::new(&primary.url()).unwrap().failover_url(&wrong).unwrap();
    let log = log::Log::default();
    let listening = log.listen(tracing::Level::WARN);
    options.store().await.unwrap();
    drop(listening);
    let said = log.said();
    assert!(said.contains("does not say whether it takes writes") && said.contains("nobody"), "{said}");
    assert!(!said.contains("secret"), "{said}");
}

/// A standby of another cluster, which has replayed further than this one has written.
#[tokio::test(flavor = "multi_thread")]
async fn a_standby_of_another_cluster_is_not_read() {
    let Some(primary) = Cluster::primary() else { return };
    let other = Cluster::primary().unwrap();
    PostgresOptions::new(&other.url()).unwrap().store().await.unwrap();
    let there = PgPool::connect(&other.url()).await.unwrap();
    sqlx::raw_sql("CREATE TABLE filled AS SELECT generate_series(1, 100000) AS n")
        .execute(&there)
        .await
        .unwrap();
    let standby = other.standby("other");
    let options = PostgresOptions::new(&primary.url()).unwrap().read_url(&standby.url()).unwrap();
    let store = options.store().await.unwrap();
    store.append_audit(&event(1)).await.unwrap();
    assert_eq!(listed(&store).await, 1, "the primary was read");
    let lag = store.replica_lag().await;
    assert!(
        matches!(&lag, Err(error @ Error::Unavailable { .. }) if error.to_string().contains("does not follow the primary")),
        "{lag:?}"
    );
}

/// There is no other server to go to, and nobody waits for ever all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_falls_silent_is_given_up_on() {
    let Some(primary) = Cluster::primary() else { return };
    let options = PostgresOptions::new(&primary.url()).unwrap().wait(Duration::from_secs(1)).connections(3);
    let store = options.store().await.unwrap();
    store.append_audit(&event(1)).await.unwrap();
    assert_eq!(listed(&store).await, 1);
    primary.silence();
    let began = Instant::now();
    let written = store.append_audit(&event(2)).await;
    assert!(matches!(written, Err(Error::Unavailable { .. })), "{written:?}");
    let read = store.snapshot(&Scope::default(), &Horizon::unlimited(Timestamp::from_millis(0))).await;
    assert!(matches!(read, Err(Error::Unavailable { .. })), "{read:?}");
    // A list is one statement without a transaction.
    let read = store.audit(&privet::Tenant::default(), None, 9).await;
    assert!(matches!(read, Err(Error::Unavailable { .. })), "{read:?}");
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
}

/// A way to the server that forgets, when it is told to, the connections that it has, and tells neither end.
async fn forgetting(server: u16, forgotten: Arc<AtomicUsize>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
            let (since, forgotten) = (forgotten.load(Ordering::SeqCst), forgotten.clone());
            let known = move || forgotten.load(Ordering::SeqCst) == since;
            let ((from_client, to_client), (from_server, to_server)) =
                (client.into_split(), server.into_split());
            tokio::spawn(passes(from_client, to_server, known.clone()));
            tokio::spawn(passes(from_server, to_client, known));
        }
    });
    port
}

async fn passes(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, known: impl Fn() -> bool) {
    let mut bytes = vec![0; 65_536];
    while let Ok(n @ 1..) = from.read(&mut bytes).await {
        if known() && to.write_all(&bytes[..n]).await.is_err() {
            return;
        }
    }
    // Both ends stay open.
    std::future::pending::<()>().await;
}

/// A firewall that forgets what lay idle lets nobody fail: the server is there, and new connections are made.
#[tokio::test(flavor = "multi_thread")]
async fn connections_that_something_on_the_way_forgot_are_made_anew() {
    let Some(server) = own_server() else { return };
    let ((_, port), direct) = (server.socket().unwrap(), server.tcp_url("postgres").unwrap());
    let forgotten = Arc::new(AtomicUsize::new(0));
    let between = forgetting(port, forgotten.clone()).await;
    let url = direct.replace(&format!(":{port}/"), &format!(":{between}/"));
    let store = PostgresOptions::new(&url).unwrap().schema(&fresh_name()).store().await.unwrap();
    for n in 1..4 {
        store.append_audit(&event(n)).await.unwrap();
        forgotten.fetch_add(1, Ordering::SeqCst);
    }
    store.append_audit(&event(4)).await.unwrap();
    assert_eq!(listed(&store).await, 4, "once each");
}

/// A server that closes what lies idle does no harm.
#[tokio::test(flavor = "multi_thread")]
async fn connections_that_the_server_closed_are_made_anew() {
    let Some(server) = own_server() else { return };
    let name = fresh_name();
    let url = format!("{}&options[idle_session_timeout]=20", server.named_url(&name));
    let options = PostgresOptions::new(&url).unwrap().schema(&name);
    let store = options.store().await.unwrap();
    let pool = PgPool::connect(server.url()).await.unwrap();
    for n in 1..4 {
        store.append_audit(&event(n)).await.unwrap();
        until(async || {
            let sql = "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1";
            sqlx::query(sql).bind(&name).fetch_one(&pool).await.unwrap().get::<i64, _>(0) == 0
        })
        .await;
    }
    assert_eq!(listed(&store).await, 3);
}

/// An export that a standby ends, since it has to go on: whoever begins anew reads the primary.
#[tokio::test(flavor = "multi_thread")]
async fn an_export_that_a_standby_ended_is_begun_anew_at_the_primary() {
    let Some(primary) = Cluster::primary() else { return };
    PostgresOptions::new(&primary.url()).unwrap().store().await.unwrap();
    let standby = primary.standby("lists");
    let options = PostgresOptions::new(&primary.url()).unwrap().read_url(&standby.url()).unwrap();
    let store = options.store().await.unwrap();
    until(async || store.replica_lag().await.unwrap().unwrap().bytes == 0).await;
    let (scope, horizon) = (Scope::default(), Horizon::unlimited(Timestamp::from_millis(0)));
    let open = async |store: &PostgresStore| store.snapshot(&scope, &horizon).await.unwrap();
    let mut moment = open(&store).await;
    assert!(moment.behind().is_some(), "it is the standby's");
    let there = PgPool::connect(&standby.url()).await.unwrap();
    let end =
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE state = 'idle in transaction'";
    let ended: i64 = sqlx::query(end).fetch_one(&there).await.unwrap().get(0);
    assert_eq!(ended, 1);
    assert!(moment.conversations(None, 9).await.is_err());
    assert_eq!(open(&store).await.behind(), None);
}

/// Whoever opens exports of many contacts and goes away in the middle leaves room for the next.
#[tokio::test(flavor = "multi_thread")]
async fn exports_that_are_left_in_the_middle_make_room() {
    let Some(server) = own_server() else { return };
    let name = fresh_name();
    let store = PostgresOptions::new(server.url()).unwrap().schema(&name).store().await.unwrap();
    let pool = PgPool::connect(server.url()).await.unwrap();
    let fill = format!(
        "INSERT INTO \"{name}\".contacts (tenant, site, id, subject, epoch, created, last_seen, conversations,
           consent, consent_line, consent_until, material)
         SELECT 'main', 'main', id, id, 1, 1, 1, 0, id, id, 9, '\\x010101'
         FROM (SELECT substr(sha256(n::text::bytea), 1, 16) AS id FROM generate_series(1, 5000) AS n) AS ids"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(fill)).execute(&pool).await.unwrap();
    let (scope, horizon) = (Scope::default(), Horizon::unlimited(Timestamp::from_millis(0)));
    for _ in 0..12 {
        // The places of those before are free when they have ended, which takes a moment.
        let mut opened = None;
        until(async || {
            opened = store.snapshot(&scope, &horizon).await.ok();
            opened.is_some()
        })
        .await;
        assert_eq!(opened.unwrap().contacts(None, 10).await.unwrap().len(), 10);
    }
}
