//! Several instances on one store: one at a time keeps house, and another goes on when that one dies.
#![allow(clippy::unwrap_used, reason = "a test that meets something else has failed")]

mod common;

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use common::{CATALOGUE, start};
use futures_channel::oneshot::{Sender, channel};
use futures_executor::block_on;
use futures_util::future::select;
use privet::clock::FakeClock;
use privet::consent::{CountKind, NoticeId};
use privet::retention::{DataClass, RetentionRule};
use privet::store::{ConsentStore as _, CountBatch, LeaseStore as _, Store};
use privet::{Catalogue, Clock as _, Day, Privet, Scope, Storage, Tenant};

const NAME: &str = "housekeeping";

fn instance(storage: &Storage, clock: &FakeClock) -> Privet {
    let builder = Privet::builder(Catalogue::from_toml(CATALOGUE).unwrap());
    block_on(builder.storage(storage.clone()).clock(clock.clone()).build()).unwrap()
}

/// Runs until it is dropped in the middle, as a process that dies.
fn run_until_killed(privet: Privet) -> (Sender<()>, JoinHandle<()>) {
    let (kill, killed) = channel();
    let running = move || drop(block_on(select(Box::pin(privet.run(pending())), killed)));
    (kill, std::thread::spawn(running))
}

/// A count of long ago, which the next sweep takes.
async fn old_count(store: &Arc<dyn Store>) {
    static NUMBER: AtomicU32 = AtomicU32::new(1);
    let Scope { tenant, site, .. } = Scope::default();
    let until = start() + Duration::from_secs(86_400);
    let mut batch = CountBatch::new(tenant, [1; 16], NUMBER.fetch_add(1, Ordering::Relaxed), until);
    batch.add(site, Day::from_number(1), CountKind::Refusal, NoticeId::NONE, 1);
    store.add_consent_counts(&batch).await.unwrap();
}

fn is_swept(store: &Arc<dyn Store>) -> bool {
    let day = Day::from_number(1);
    block_on(store.consent_counts(&Scope::default(), day, day)).unwrap().is_empty()
}

fn until(what: &str, so: impl Fn() -> bool) {
    let began = Instant::now();
    while !so() {
        assert!(began.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::yield_now();
    }
}

#[test]
fn one_instance_sweeps_and_another_takes_over() {
    let storage = Storage::in_memory().unwrap();
    let (store, clock) = (storage.store.clone(), FakeClock::at(start()));
    // Who asks for no time at all leaves nothing behind.
    let is_held = || {
        let now = clock.now();
        block_on(store.acquire_lease(NAME, &[9; 16], now, now)).unwrap().is_none()
    };
    assert!(!is_held());
    block_on(old_count(&store));
    let (kill_first, first) = run_until_killed(instance(&storage, &clock));
    until("the first one sweeps", || is_swept(&store));
    assert!(is_held());
    block_on(old_count(&store));
    let second = instance(&storage, &clock);
    let (shut, shutdown) = channel::<()>();
    let second = std::thread::spawn(move || {
        block_on(second.run(async {
            let _ = shutdown.await;
        }));
    });
    kill_first.send(()).unwrap();
    first.join().unwrap();
    assert!(is_held() && !is_swept(&store), "it did not say that it died, and nobody else swept");
    clock.advance(Duration::from_secs(21));
    until("the second one takes over", || is_swept(&store));
    assert!(is_held());
    shut.send(()).unwrap();
    second.join().unwrap();
    assert!(!is_held(), "who ends in order gives it back");
}

/// Instances that start while others take the first records find the keys of these, whatever they see first.
#[test]
fn instances_start_together_on_nothing() {
    for _ in 0..50 {
        let (storage, clock) = (Storage::in_memory().unwrap(), FakeClock::at(start()));
        std::thread::scope(|threads| {
            for _ in 0..4 {
                threads.spawn(|| {
                    let privet = instance(&storage, &clock);
                    common::Browser::default().answer(&privet, &common::save(&["contacts"])).0.unwrap();
                });
            }
        });
    }
}

#[test]
fn a_start_with_other_keys_is_refused() {
    let (storage, clock) = (Storage::in_memory().unwrap(), FakeClock::at(start()));
    let mut other = storage.clone();
    other.keys = Arc::new(privet::store::MemoryKeyStore::new());
    let started = || {
        let builder = Privet::builder(Catalogue::from_toml(CATALOGUE).unwrap());
        block_on(builder.storage(other.clone()).clock(clock.clone()).build())
    };
    started().unwrap();
    let privet = instance(&storage, &clock);
    common::Browser::default().answer(&privet, &common::save(&["contacts"])).0.unwrap();
    let refused = started().unwrap_err();
    assert!(matches!(refused, privet::Error::Key { .. }), "{refused:?}");
    instance(&storage, &clock);
}

/// A sweep goes by the rules as they are when it begins, whatever its instance has read of them before: what an operator has just
/// ordered to be kept is not taken by a job that runs once a day, nor by an instance that takes over.
#[test]
fn a_sweep_knows_what_another_instance_has_set() {
    const DAY: Duration = Duration::from_secs(86_400);
    let (storage, clock) = (Storage::in_memory().unwrap(), FakeClock::at(start()));
    let (one, other) = (instance(&storage, &clock), instance(&storage, &clock));
    let tenant = Tenant::default();
    let keep = |days| {
        let rule = RetentionRule::new(DataClass::Messages, DAY * days).unwrap();
        block_on(one.set_retention(&tenant, rule)).unwrap();
    };
    let mut browser = common::Browser::default();
    browser.answer(&one, &common::save(&["contacts"])).0.unwrap();
    browser.say(&one, "hello");
    keep(30);
    assert!(block_on(other.sweep(clock.now())).unwrap().is_nothing());
    keep(90);
    clock.advance(DAY * 40);
    assert_eq!(block_on(other.sweep(clock.now())).unwrap().removed.messages, 0);
    clock.advance(DAY * 60);
    assert_eq!(block_on(other.sweep(clock.now())).unwrap().removed.messages, 1);
}
