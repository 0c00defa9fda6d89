//! What holds while the store fails or lets wait.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that meets something else has failed")]

mod common;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{Answered, Browser, installation_on, save};
use futures_executor::block_on;
use privet::conformance::FaultyStore;
use privet::consent::Answer;
use privet::contact::{Channel, NewMessage, PageRequest};
use privet::retention::{DataClass, RetentionRule};
use privet::store::{KeyName, KeyStore, Ledger, LedgerEntry, MemoryKeyStore, MemoryLedger, MemoryStore};
use privet::{Day, Error, FakeClock, Privet, Scope, Storage, Tenant};

type Store = Arc<FaultyStore<MemoryStore>>;

fn faulty() -> (Privet, FakeClock, Store) {
    let store = Arc::new(FaultyStore::new(MemoryStore::new()));
    let mut storage = Storage::in_memory().unwrap();
    storage.store = store.clone();
    let (privet, clock) = installation_on(storage, |b| b);
    (privet, clock, store)
}

fn say(browser: &mut Browser, privet: &Privet) -> privet::Result<()> {
    let (visit, _) = browser.open(privet);
    let message = NewMessage::new(Channel::AiSearch, "hello").unwrap();
    let posted = block_on(visit.visitor().post("chat", message)).map(drop);
    browser.close(&visit, Answered::new(200));
    posted
}

fn contacts(privet: &Privet) -> usize {
    block_on(privet.contacts(&Scope::default(), &PageRequest::first(1000))).unwrap().contacts.len()
}

/// Runs `meanwhile` while the store lets a unit of `work` wait, and `work` to its end.
fn while_held<T: Send>(
    store: &Store,
    work: impl Future<Output = T> + Send,
    meanwhile: impl FnOnce() + Send,
) -> T {
    store.hold(true);
    std::thread::scope(|threads| {
        let working = threads.spawn(|| block_on(work));
        while store.waiting() == 0 {
            std::thread::yield_now();
        }
        meanwhile();
        store.hold(false);
        working.join().unwrap()
    })
}

/// P8: a grant that is not recorded is not acknowledged; a withdrawal holds on the device at once.
#[test]
fn a_grant_is_refused_and_a_withdrawal_is_not() {
    let (privet, _, store) = faulty();
    let mut browser = Browser::default();
    store.fail(true);
    let (refused, answered) = browser.answer(&privet, &Answer::AcceptAll);
    assert!(matches!(refused, Err(Error::Unavailable { .. })));
    assert!(answered.cookies().is_empty(), "nothing is acknowledged: {:?}", answered.cookies());
    store.fail(false);
    browser.answer(&privet, &Answer::AcceptAll).0.unwrap();
    store.fail(true);
    assert!(browser.withdraw(&privet, &[]).0.unwrap().pending);
    assert!(browser.granted(&privet).is_empty());
    assert_eq!(privet.pending_withdrawals(), 1);
    assert!(block_on(privet.record_pending()).is_err());
    assert_eq!(privet.pending_withdrawals(), 1);
    store.fail(false);
    block_on(privet.record_pending()).unwrap();
    assert_eq!(privet.pending_withdrawals(), 0);
    let (visit, _) = browser.open(&privet);
    assert!(!visit.consent().pending(), "the device is told");
}

/// P7, P8, WDR-06: what is withdrawn while an earlier withdrawal is being recorded is not lost with it.
#[test]
fn wdr_06_a_withdrawal_during_the_recording_of_another_one_counts() {
    let (privet, _, store) = faulty();
    let mut browser = Browser::default();
    browser.answer(&privet, &Answer::AcceptAll).0.unwrap();
    say(&mut browser, &privet).unwrap();
    assert_eq!(contacts(&privet), 1);
    store.fail(true);
    assert!(browser.withdraw(&privet, &["analytics"]).0.unwrap().pending);
    store.fail(false);
    while_held(&store, privet.record_pending(), || {
        assert!(browser.withdraw(&privet, &["contacts"]).0.unwrap().pending);
    })
    .unwrap();
    assert_eq!(privet.pending_withdrawals(), 1, "the later one still waits");
    assert!(browser.open(&privet).0.consent().pending(), "and the device still carries it");
    block_on(privet.record_pending()).unwrap();
    assert_eq!((privet.pending_withdrawals(), contacts(&privet)), (0, 0));
    let (visit, _) = browser.open(&privet);
    assert!(!visit.consent().pending() && !visit.consent().allows("contacts"));
    assert!(visit.consent().allows("marketing"), "what was not withdrawn stands");
}

/// P8: the withdrawal of an account waits in one instance, the device brings it to another one, and the person agrees anew
/// there, on the same line. The first instance does not take that back when its turn comes.
#[test]
fn what_another_instance_recorded_is_not_recorded_after_a_new_grant() {
    let store = Arc::new(FaultyStore::new(MemoryStore::new()));
    let mut storage = Storage::in_memory().unwrap();
    storage.store = store.clone();
    let instance = || installation_on(storage.clone(), privet::Builder::account_consent);
    let ((one, clock), (two, other)) = (instance(), instance());
    let mut browser = Browser::default();
    browser.sign_in(&one, "ann");
    browser.answer(&one, &Answer::AcceptAll).0.unwrap();
    say(&mut browser, &one).unwrap();
    clock.advance(Duration::from_secs(1));
    store.fail(true);
    assert!(browser.withdraw(&one, &[]).0.unwrap().pending);
    store.fail(false);
    other.advance(Duration::from_secs(2));
    browser.answer(&two, &Answer::AcceptAll).0.unwrap();
    assert_eq!(contacts(&two), 0, "what was withdrawn is gone before anything is agreed to anew");
    say(&mut browser, &two).unwrap();
    clock.advance(Duration::from_secs(2));
    assert_eq!(one.pending_withdrawals(), 1);
    block_on(one.record_pending()).unwrap();
    assert_eq!((one.pending_withdrawals(), contacts(&one)), (0, 1), "the new grant stands");
    assert!(browser.granted(&one).contains(&"contacts".to_owned()));
}

/// A withdrawal erases what it is about, and does not wait for what a sweep has still to do.
#[test]
fn a_withdrawal_erases_its_own_contact_only() {
    let (privet, clock, store) = faulty();
    let expired: Vec<_> = (0..20)
        .map(|_| {
            let mut browser = Browser::default();
            browser.answer(&privet, &save(&["contacts"])).0.unwrap();
            say(&mut browser, &privet).unwrap();
            browser
        })
        .collect();
    let short = RetentionRule::new(DataClass::Contacts, Duration::from_secs(86_400)).unwrap();
    block_on(privet.set_retention(&Tenant::default(), short)).unwrap();
    clock.advance(Duration::from_secs(2 * 86_400));
    let mut anna = Browser::default();
    anna.answer(&privet, &Answer::AcceptAll).0.unwrap();
    say(&mut anna, &privet).unwrap();
    // A sweep has marked the others and waits before it takes them away.
    let horizon = privet::store::Horizon::unlimited(privet.now()).with(DataClass::Contacts, privet.now());
    let later = privet.now() + Duration::from_secs(86_400);
    let marked = block_on(async {
        use privet::store::RetentionStore as _;
        let tenant = Tenant::default();
        store.purge_step(&tenant, DataClass::Contacts, 20, &horizon, later).await.unwrap()
    });
    assert_eq!((marked, expired.len()), (20, 20));
    let withdrawn = anna.withdraw(&privet, &[]).0.unwrap();
    assert_eq!((withdrawn.removed.contacts, withdrawn.removed.messages), (1, 1), "her own");
    let swept = block_on(privet.sweep(privet.now())).unwrap();
    assert_eq!(swept.removed.contacts, 20);
}

/// A flush that is cut off in the middle loses nothing: what was noted is written the next time.
#[test]
fn activity_survives_a_flush_that_is_cut_off() {
    let (privet, clock, store) = faulty();
    let mut browser = Browser::default();
    browser.answer(&privet, &Answer::AcceptAll).0.unwrap();
    say(&mut browser, &privet).unwrap();
    clock.advance(Duration::from_secs(600));
    let (visit, _) = browser.open(&privet);
    browser.close(&visit, Answered::new(200));
    store.hold(true);
    let mut flush = Box::pin(privet.flush());
    let polled = block_on(async {
        std::future::poll_fn(|cx| std::task::Poll::Ready(flush.as_mut().poll(cx).is_pending())).await
    });
    assert!(polled && store.waiting() == 1);
    drop(flush);
    store.hold(false);
    store.fail(true);
    assert!(block_on(privet.flush()).is_err());
    store.fail(false);
    assert_eq!(block_on(privet.flush()).unwrap(), 1);
    assert_eq!(block_on(privet.flush()).unwrap(), 0);
}

/// P8: whatever is wrong with the store, a withdrawal and a refusal hold on the device.
#[test]
fn a_damaged_store_does_not_keep_a_visitor_from_withdrawing() {
    let (privet, _, store) = faulty();
    for withdraws in [true, false] {
        let mut browser = Browser::default();
        browser.answer(&privet, &Answer::AcceptAll).0.unwrap();
        say(&mut browser, &privet).unwrap();
        store.corrupt(true);
        if withdraws {
            assert!(browser.withdraw(&privet, &[]).0.unwrap().pending);
        } else {
            browser.answer(&privet, &Answer::RejectAll).0.unwrap();
        }
        assert!(browser.granted(&privet).is_empty());
        assert!(!browser.cookies.contains_key("__Host-privet-contact"));
        store.corrupt(false);
    }
    block_on(privet.record_pending()).unwrap();
    assert_eq!((privet.pending_withdrawals(), contacts(&privet)), (0, 0));
}

/// P8: while one withdrawal waits, taking away more takes effect as well; adding does not.
#[test]
fn taking_away_more_while_a_withdrawal_waits() {
    let (privet, _, store) = faulty();
    let mut browser = Browser::default();
    browser.answer(&privet, &save(&["analytics", "contacts"])).0.unwrap();
    say(&mut browser, &privet).unwrap();
    store.fail(true);
    assert!(browser.withdraw(&privet, &["analytics"]).0.unwrap().pending);
    let (adds, _) = browser.answer(&privet, &save(&["contacts", "marketing"]));
    assert!(matches!(adds, Err(Error::Unavailable { .. })));
    assert_eq!(browser.granted(&privet), ["contacts"]);
    let (moves, _) = browser.answer(&privet, &save(&["marketing"]));
    assert!(matches!(moves, Err(Error::Unavailable { .. })), "what would be added is refused");
    assert!(browser.granted(&privet).is_empty(), "what is taken away is gone");
    store.fail(false);
    block_on(privet.record_pending()).unwrap();
    assert_eq!(contacts(&privet), 0);
}

#[derive(Debug, Default)]
struct CountingKeys {
    keys: MemoryKeyStore,
    subjects: Mutex<BTreeSet<KeyName>>,
}

#[async_trait::async_trait]
impl KeyStore for CountingKeys {
    async fn get(&self, name: &KeyName) -> privet::Result<Option<Vec<u8>>> {
        self.keys.get(name).await
    }
    async fn insert(&self, name: &KeyName, wrapped: &[u8]) -> privet::Result<Vec<u8>> {
        if matches!(name, KeyName::Subject(..)) {
            self.subjects.lock().unwrap().insert(name.clone());
        }
        self.keys.insert(name, wrapped).await
    }
    async fn destroy(&self, names: &[KeyName]) -> privet::Result<()> {
        self.subjects.lock().unwrap().retain(|name| !names.contains(name));
        self.keys.destroy(names).await
    }
    async fn destroy_epochs_before(&self, day: Day) -> privet::Result<()> {
        self.keys.destroy_epochs_before(day).await
    }
}

/// P7: an old cookie, sent again after the withdrawal, brings nothing back: no contact, and no key.
#[test]
fn a_replayed_cookie_leaves_no_trace_of_an_erased_contact() {
    let keys = Arc::new(CountingKeys::default());
    let mut storage = Storage::in_memory().unwrap();
    storage.keys = keys.clone();
    let (privet, _) = installation_on(storage, |b| b);
    let mut browser = Browser::default();
    browser.answer(&privet, &Answer::AcceptAll).0.unwrap();
    say(&mut browser, &privet).unwrap();
    let mut old = browser.clone();
    browser.withdraw(&privet, &[]).0.unwrap();
    assert!(keys.subjects.lock().unwrap().is_empty());
    say(&mut old, &privet).unwrap();
    assert_eq!(contacts(&privet), 0);
    assert_eq!(keys.subjects.lock().unwrap().len(), 1, "that of the visit's conversation, and no other");
    assert!(old.granted(&privet).is_empty(), "the device learns what was withdrawn elsewhere");
}

/// A ledger that may be away.
#[derive(Debug, Default)]
struct Away {
    ledger: MemoryLedger,
    away: AtomicBool,
}

#[async_trait::async_trait]
impl Ledger for Away {
    async fn append(&self, entries: &[LedgerEntry]) -> privet::Result<()> {
        if self.away.load(Ordering::SeqCst) {
            return Err(Error::unavailable("ledger", "it is away"));
        }
        self.ledger.append(entries).await
    }

    async fn entries(&self) -> privet::Result<Vec<LedgerEntry>> {
        self.ledger.entries().await
    }
}

/// What ends by its age needs no ledger: an erasure that waits for it keeps nothing else from its end.
#[test]
fn what_cannot_be_erased_yet_keeps_nothing_else() {
    let mut storage = Storage::in_memory().unwrap();
    let ledger = Arc::new(Away::default());
    storage.ledger = ledger.clone();
    let (privet, clock) = installation_on(storage, |b| b);
    let visitor = || {
        let mut browser = Browser::default();
        browser.answer(&privet, &save(&["contacts"])).0.unwrap();
        say(&mut browser, &privet).unwrap();
        browser
    };
    let _of_long_ago = visitor();
    let day = Duration::from_secs(86_400);
    for class in [DataClass::Contacts, DataClass::Messages] {
        let rule = RetentionRule::new(class, day * 30).unwrap();
        block_on(privet.set_retention(&Tenant::default(), rule)).unwrap();
    }
    clock.advance(day * 40);
    let mut anna = visitor();
    ledger.away.store(true, Ordering::SeqCst);
    anna.withdraw(&privet, &[]).0.unwrap();
    let failed = block_on(privet.sweep(privet.now())).unwrap_err();
    assert!(failed.to_string().contains("away"), "{failed}");
    ledger.away.store(false, Ordering::SeqCst);
    let swept = block_on(privet.sweep(privet.now())).unwrap();
    assert_eq!((swept.removed.contacts, swept.removed.messages), (1, 1), "hers; the old one was gone");
    assert!(block_on(privet.sweep(privet.now())).unwrap().is_nothing());
}
