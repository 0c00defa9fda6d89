//! What goes on beside the requests: run once, from cron beside the app, and never in the way.
#![allow(clippy::unwrap_used, reason = "a test that meets something else has failed")]

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use privet::Clock as _;
use privet::{Catalogue, FakeClock, Privet, SystemClock};
use privet_tests::client::Visitor;
use privet_tests::log::Log;
use privet_tests::server::{Starting, contacts, folder};
use privet_tests::until;

const PROGRAM: &str = env!("CARGO_BIN_EXE_chat-under-test");

/// Spawned once per worker it would sweep once per worker: the second one says so and rests.
#[tokio::test]
async fn run_is_spawned_once() {
    let log = Log::default();
    let _guard = log.listen(tracing::Level::ERROR);
    let catalogue = Catalogue::from_toml(chat_shop::CATALOGUE).unwrap();
    let privet = Privet::builder(catalogue).build().await.unwrap();
    let first = tokio::spawn(privet.clone().run(pending()));
    let second = tokio::spawn(privet.clone().run(pending()));
    until("the second is told", async || log.said().contains("spawned twice")).await;
    assert_eq!(log.said().matches("spawned twice").count(), 1);
    first.abort();
    second.abort();
}

/// Dropped before its end, by a timeout or a panic of what it serves, it may be spawned again; and what serves gets its
/// output back with everything written.
#[tokio::test]
async fn housekeeping_that_was_cut_off_begins_again() {
    let log = Log::default();
    let _guard = log.listen(tracing::Level::ERROR);
    let catalogue = Catalogue::from_toml(chat_shop::CATALOGUE).unwrap();
    let privet = Privet::builder(catalogue).build().await.unwrap();
    let cut = tokio::time::timeout(Duration::from_millis(20), privet.run_while(pending::<()>())).await;
    assert!(cut.is_err());
    let panicking = privet.clone();
    let panicked = tokio::spawn(async move { panicking.run_while(async { panic!("while serving") }).await });
    assert!(panicked.await.is_err());
    assert_eq!(privet.run_while(async { "served" }).await, "served");
    assert!(!log.said().contains("spawned twice"), "{}", log.said());
}

/// `examples/retention-worker` in cron, beside an app that is busy: what is due goes, nobody waits for long, and
/// nobody is refused.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_sweeps_beside_the_app() {
    let data = folder();
    let server = Starting::new(PROGRAM, data.path()).running().await;
    let addr = server.addr;
    for _ in 0..20 {
        let mut visitor = Visitor::new(addr);
        assert_eq!(visitor.decide("accept_all", &[]).await.status, 303);
        assert_eq!(visitor.say("hello", "live-support").await.status, 200);
    }
    assert_eq!(contacts(addr).await.len(), 20);

    let busy = Arc::new(AtomicBool::new(true));
    let load = tokio::spawn({
        let busy = busy.clone();
        async move {
            let mut visitor = Visitor::new(addr);
            let mut said = 0;
            while busy.load(Ordering::Relaxed) {
                assert_eq!(visitor.say("are you there?", "ai-search").await.status, 200);
                said += 1;
            }
            said
        }
    });
    let clock = FakeClock::at(SystemClock.now());
    let catalogue = Catalogue::from_toml(chat_shop::CATALOGUE).unwrap();
    let storage = privet_sqlite::open(data.path()).await.unwrap();
    let worker = Privet::builder(catalogue).storage(storage).clock(clock.clone()).build().await.unwrap();
    assert!(worker.sweep(worker.now()).await.unwrap().is_nothing(), "nothing is due today");
    // The contacts' consent lapses with the choice, and nobody was seen since.
    clock.advance(Duration::from_secs(400 * 86_400));
    let swept = worker.sweep(worker.now()).await.unwrap();
    assert_eq!(swept.removed.contacts, 20);
    busy.store(false, Ordering::Relaxed);
    assert!(load.await.unwrap() > 0);
    assert_eq!(contacts(addr).await.len(), 0);

    let mut late = Visitor::new(addr);
    assert_eq!(late.decide("accept_all", &[]).await.status, 303);
    assert_eq!(late.say("still open?", "ai-search").await.status, 200);
    assert_eq!(contacts(addr).await.len(), 1);
    assert!(server.stop().await.status.success());
}
