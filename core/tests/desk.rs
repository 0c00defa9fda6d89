//! Operators and visitors at once, and operators who meet what changed meanwhile: whom a contact is known as, who is blocked,
//! what is answered while it changes hands, and whom a clean-up takes.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that meets something else has failed")]

mod common;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use common::{Answered, Browser, CATALOGUE, save, start};
use privet::conformance::{FaultyStore, block_on};
use privet::consent::Answer;
use privet::contact::{Channel, ContactId, ConversationId, NewMessage};
use privet::portal::{Operator, Portal, Role};
use privet::store::{KeyName, KeyStore, MemoryKeyStore, MemoryStore, Storage};
use privet::{Catalogue, Day, Error, FakeClock, Privet, Scope, Site, Tenant};

const IDENTITY: &str = r#"
    [[category]]
    id = "identity"
    code = 41
    label = { en = "Your account", de = "Ihr Konto" }
    purpose = { en = "Shows our staff which customer you are.", de = "Zeigt." }
    [[service]]
    id = "customers"
    provider = "Garden Shop"
    purpose = { en = "Knows customers.", de = "Kennt Kunden." }
    label = { en = "Customers", de = "Kunden" }
    legal_basis = "consent"
    gate = { consent = "identity" }
"#;

type Hook = Box<dyn FnOnce() + Send>;
#[derive(Default)]
struct Keys {
    keys: MemoryKeyStore,
    held: Mutex<BTreeSet<KeyName>>,
    hook: Mutex<Option<(u32, Hook)>>,
    fails: std::sync::atomic::AtomicBool,
}
impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys")
    }
}
#[async_trait]
impl KeyStore for Keys {
    async fn get(&self, name: &KeyName) -> privet::Result<Option<Vec<u8>>> {
        let got = self.keys.get(name).await;
        if matches!(name, KeyName::Subject(..)) {
            let hook = self.hook.lock().unwrap().take();
            match hook {
                Some((0, hook)) => hook(),
                Some((n, hook)) => *self.hook.lock().unwrap() = Some((n - 1, hook)),
                None => {}
            }
        }
        got
    }
    async fn insert(&self, name: &KeyName, wrapped: &[u8]) -> privet::Result<Vec<u8>> {
        self.held.lock().unwrap().insert(name.clone());
        self.keys.insert(name, wrapped).await
    }
    async fn destroy(&self, names: &[KeyName]) -> privet::Result<()> {
        if self.fails.load(std::sync::atomic::Ordering::SeqCst) {
            return Err(Error::unavailable("keys", "told"));
        }
        for n in names {
            self.held.lock().unwrap().remove(n);
        }
        self.keys.destroy(names).await
    }
    async fn destroy_epochs_before(&self, day: Day) -> privet::Result<()> {
        self.keys.destroy_epochs_before(day).await
    }
}
impl Keys {
    fn subjects(&self) -> usize {
        self.held.lock().unwrap().iter().filter(|n| matches!(n, KeyName::Subject(..))).count()
    }
}

struct Lab {
    privet: Privet,
    clock: FakeClock,
    keys: Arc<Keys>,
    store: Arc<FaultyStore<MemoryStore>>,
}
fn lab() -> Lab {
    let clock = FakeClock::at(start());
    let keys = Arc::new(Keys::default());
    let store = Arc::new(FaultyStore::new(MemoryStore::new()));
    let mut storage = Storage::in_memory().unwrap();
    storage.keys = keys.clone();
    storage.store = store.clone();
    let catalogue = Catalogue::from_toml(&format!("{CATALOGUE}{IDENTITY}")).unwrap();
    let builder = Privet::builder(catalogue).storage(storage).clock(clock.clone()).account_consent();
    Lab { privet: block_on(builder.build()).unwrap(), clock, keys, store }
}
fn officer(p: &Privet) -> Portal {
    let o = Operator::new(Tenant::default(), "o", Role::PrivacyOfficer).unwrap();
    p.portal(&o, &Site::default()).unwrap()
}
fn post(b: &mut Browser, p: &Privet, text: &str) -> privet::Result<(Option<ContactId>, ConversationId)> {
    let (visit, _) = b.open(p);
    let posted = block_on(visit.visitor().post("chat", NewMessage::new(Channel::LiveSupport, text).unwrap()));
    b.close(&visit, Answered::new(200));
    posted.map(|p| (p.contact, p.conversation))
}
fn identify(b: &mut Browser, p: &Privet, who: &str) -> privet::Result<ContactId> {
    let (visit, _) = b.open(p);
    let c = visit.granted::<privet::Contacts>()?;
    let i = visit.granted::<privet::Identity>()?;
    let sign = p.sign_identity(&Scope::default(), who).unwrap();
    let done = block_on(visit.visitor().identify(&c, &i, who, &sign));
    b.close(&visit, Answered::new(200));
    done
}
fn keep(b: &mut Browser, p: &Privet) -> privet::Result<u32> {
    let (visit, _) = b.open(p);
    let c = visit.granted::<privet::Contacts>()?;
    let kept = block_on(visit.visitor().keep_conversations(&c));
    b.close(&visit, Answered::new(200));
    kept
}

/// Whoever is signed in and withdraws the consent to be known is nobody to operators from then on.
#[test]
fn identity_withdrawn_while_signed_in_is_forgotten() {
    let l = lab();
    let p = &l.privet;
    let mut a = Browser::default();
    a.sign_in(p, "ann");
    a.answer(p, &save(&["contacts", "identity"])).0.unwrap();
    let mut b = Browser::default();
    b.answer(p, &save(&["contacts", "identity"])).0.unwrap();
    b.sign_in(p, "ann");
    let id = identify(&mut b, p, "customer 7").unwrap();
    b.withdraw(p, &["identity"]).0.unwrap();
    assert!(!b.granted(p).contains(&"identity".to_owned()));
    assert_eq!(block_on(officer(p).contact(id)).unwrap().identity, None);
}
/// A device that lost its consent cookie decides anew, without being known: the contact speaks on the new line.
#[test]
fn identity_on_a_line_that_refuses_it() {
    let l = lab();
    let p = &l.privet;
    let mut b = Browser::default();
    b.answer(p, &save(&["contacts", "identity"])).0.unwrap();
    let id = identify(&mut b, p, "customer 7").unwrap();
    b.cookies.remove("__Host-privet");
    b.answer(p, &save(&["contacts"])).0.unwrap();
    let (c, _) = post(&mut b, p, "x").unwrap();
    assert_eq!(c, Some(id), "the same contact");
    assert_eq!(block_on(officer(p).contact(id)).unwrap().identity, None);
}

/// A blocked contact cannot make itself known.
#[test]
fn a_blocked_contact_is_not_identified() {
    let l = lab();
    let p = &l.privet;
    let mut b = Browser::default();
    b.answer(p, &save(&["contacts", "identity"])).0.unwrap();
    let (c, _) = post(&mut b, p, "x").unwrap();
    block_on(officer(p).set_blocked(c.unwrap(), true)).unwrap();
    let r = identify(&mut b, p, "customer 7");
    assert!(matches!(r, Err(Error::Blocked)), "{r:?}");
}
#[test]
fn a_blocked_contact_adopts_nothing() {
    let l = lab();
    let p = &l.privet;
    let mut b = Browser::default();
    b.answer(p, &save(&["contacts"])).0.unwrap();
    let (c, _) = post(&mut b, p, "x").unwrap();
    block_on(officer(p).set_blocked(c.unwrap(), true)).unwrap();
    let consent = b.cookies.remove("__Host-privet").unwrap();
    let (none, _) = post(&mut b, p, "spam").unwrap();
    assert_eq!(none, None);
    b.cookies.insert("__Host-privet".into(), consent);
    let r = keep(&mut b, p);
    assert!(matches!(r, Err(Error::Blocked)), "{r:?} {:?}", b.texts(p));
}
#[test]
fn identifying_an_erased_contact_leaves_no_key() {
    let l = lab();
    let p = &l.privet;
    let mut b = Browser::default();
    b.answer(p, &save(&["contacts", "identity"])).0.unwrap();
    let (c, _) = post(&mut b, p, "x").unwrap();
    assert_eq!(l.keys.subjects(), 1);
    block_on(officer(p).erase_contact(c.unwrap())).unwrap();
    assert_eq!(l.keys.subjects(), 0);
    let r = identify(&mut b, p, "customer 7");
    assert!(r.is_err(), "{r:?}");
    assert_eq!(l.keys.subjects(), 0, "{r:?}");
}
#[test]
fn an_answer_during_an_adoption_can_be_read() {
    let l = lab();
    let p = l.privet.clone();
    let mut b = Browser::default();
    let (none, conversation) = post(&mut b, &p, "hello").unwrap();
    assert_eq!(none, None);
    b.answer(&p, &save(&["contacts"])).0.unwrap();
    let (q, mut b2) = (p.clone(), b.clone());
    let out = Arc::new(Mutex::new(None));
    let o = out.clone();
    *l.keys.hook.lock().unwrap() = Some((
        0,
        Box::new(move || {
            let kept = std::thread::spawn(move || {
                let k = keep(&mut b2, &q);
                (k, b2)
            })
            .join()
            .unwrap();
            *o.lock().unwrap() = Some(kept);
        }),
    ));
    assert!(block_on(officer(&p).answer(conversation, "an answer")).is_ok());
    let (_, b2) = out.lock().unwrap().take().unwrap();
    let (visit, _) = b2.open(&p);
    let read = block_on(visit.visitor().messages());
    let data = block_on(visit.visitor().data()).map(drop);
    let page = block_on(officer(&p).conversation(conversation)).map(drop);
    let open = block_on(officer(&p).open_conversations()).map(drop);
    assert!(
        read.is_ok() && data.is_ok() && page.is_ok() && open.is_ok(),
        "read {read:?}\n data {data:?}\n page {page:?}\n open {open:?}"
    );
}
#[test]
fn a_clean_up_takes_nobody_who_is_there() {
    let l = lab();
    let p = &l.privet;
    let mut b = Browser::default();
    b.answer(p, &save(&["contacts"])).0.unwrap();
    post(&mut b, p, "x").unwrap();
    l.clock.advance(Duration::from_secs(400 * 86_400 / 4));
    let (visit, _) = b.open(p);
    assert!(visit.visitor().contact().is_some());
    b.close(&visit, Answered::new(200));
    let since = p.now().day().start();
    let gone = block_on(officer(p).erase_stale(since, 100)).unwrap();
    assert_eq!(gone.contacts, 0, "seen this minute");
}
#[test]
fn two_withdrawals_of_an_account_wait() {
    let l = lab();
    let p = &l.privet;
    let mut a = Browser::default();
    a.sign_in(p, "ann");
    a.answer(p, &Answer::AcceptAll).0.unwrap();
    let mut b = Browser::default();
    b.sign_in(p, "ann");
    b.answer(p, &save(&["analytics", "contacts", "identity"])).0.unwrap();
    l.store.fail(true);
    assert!(a.withdraw(p, &["contacts"]).0.unwrap().pending);
    assert!(b.withdraw(p, &["analytics"]).0.unwrap().pending);
    l.store.fail(false);
    let mut c = Browser::default();
    c.sign_in(p, "ann");
    assert!(!c.granted(p).contains(&"contacts".to_owned()));
    assert!(!c.granted(p).contains(&"analytics".to_owned()));
}
#[test]
fn two_withdrawals_of_an_account_wait_and_the_store_is_down() {
    let l = lab();
    let p = &l.privet;
    let mut a = Browser::default();
    a.sign_in(p, "ann");
    a.answer(p, &Answer::AcceptAll).0.unwrap();
    let mut b = Browser::default();
    b.sign_in(p, "ann");
    b.answer(p, &save(&["analytics", "contacts", "identity"])).0.unwrap();
    l.store.fail(true);
    assert!(a.withdraw(p, &["contacts"]).0.unwrap().pending);
    assert!(b.withdraw(p, &["analytics"]).0.unwrap().pending);
    let mut c = Browser::default();
    c.sign_in(p, "ann");
    assert!(!c.granted(p).contains(&"contacts".to_owned()));
}
#[test]
fn identity_of_a_contact_that_is_kept_otherwise() {
    let clock = FakeClock::at(start());
    let toml = format!("{CATALOGUE}{IDENTITY}").replace(
        r#"purpose = { en = "Recognises you in the chat.", de = "Erkennt Sie im Chat wieder." }"#,
        r#"purpose = { en = "Recognises you in the chat.", de = "Erkennt Sie im Chat wieder." }

        [category.on_withdrawal]
        keep = "legal-obligation"
        reason = { en = "We keep it.", de = "Wir behalten es." }"#,
    );
    let catalogue = Catalogue::from_toml(&toml).unwrap();
    let p = block_on(Privet::builder(catalogue).storage(Storage::in_memory().unwrap()).clock(clock).build())
        .unwrap();
    let mut b = Browser::default();
    b.answer(&p, &save(&["contacts", "identity"])).0.unwrap();
    let id = identify(&mut b, &p, "customer 7").unwrap();
    b.withdraw(&p, &["contacts"]).0.unwrap();
    let c = block_on(officer(&p).contact(id)).unwrap();
    assert_eq!(c.identity, None);
}

fn on(storage: &Storage, toml: &str) -> Privet {
    let b = Privet::builder(Catalogue::from_toml(toml).unwrap())
        .storage(storage.clone())
        .clock(FakeClock::at(start()));
    block_on(b.account_consent().build()).unwrap()
}
#[test]
fn an_identity_and_its_contact_stand_on_one_line() {
    let storage = Storage::in_memory().unwrap();
    let mut b = Browser::default();
    let old = on(&storage, CATALOGUE);
    b.answer(&old, &save(&["contacts"])).0.unwrap();
    let p = on(&storage, &format!("{CATALOGUE}{IDENTITY}"));
    let mut a = Browser::default();
    a.sign_in(&p, "ann");
    a.answer(&p, &save(&["contacts", "identity"])).0.unwrap();
    b.sign_in(&p, "ann");
    // The contact is the device's, and the consent to be known the account's: a withdrawal of one would not reach the other.
    let refused = identify(&mut b, &p, "customer 7");
    assert!(matches!(refused, Err(Error::NotGranted { .. })), "{refused:?}");
}
#[test]
fn identity_of_a_purpose_that_changed() {
    let storage = Storage::in_memory().unwrap();
    let mut b = Browser::default();
    let old = on(&storage, &format!("{CATALOGUE}{IDENTITY}"));
    b.answer(&old, &save(&["contacts", "identity"])).0.unwrap();
    let id = identify(&mut b, &old, "customer 7").unwrap();
    let p = on(
        &storage,
        &format!("{CATALOGUE}{IDENTITY}").replace(
            "id = \"customers\"\n    provider = \"Garden Shop\"",
            "id = \"customers\"\n    provider = \"Data Broker\"",
        ),
    );
    block_on(p.sweep(p.now())).unwrap();
    assert_eq!(block_on(officer(&p).contact(id)).map(|c| c.identity).ok().flatten(), None);
}
#[test]
fn refusals_of_an_account_survive_an_erasure_that_is_cut() {
    let l = lab();
    let p = &l.privet;
    let mut a = Browser::default();
    a.sign_in(p, "ann");
    a.answer(p, &save(&["contacts"])).0.unwrap();
    let (c, _) = post(&mut a, p, "x").unwrap();
    let refused = |p: &Privet| {
        let mut c = Browser::default();
        c.sign_in(p, "ann");
        c.state(p).into_iter().filter(|s| s.1 == privet::consent::Decision::Refused).count()
    };
    l.keys.fails.store(true, std::sync::atomic::Ordering::SeqCst);
    assert!(block_on(officer(p).erase_contact(c.unwrap())).is_err());
    l.keys.fails.store(false, std::sync::atomic::Ordering::SeqCst);
    block_on(p.sweep(p.now())).unwrap();
    let after = refused(p);
    // The same as when nothing is cut.
    let l2 = lab();
    let p2 = &l2.privet;
    let mut a = Browser::default();
    a.sign_in(p2, "ann");
    a.answer(p2, &save(&["contacts"])).0.unwrap();
    let (c, _) = post(&mut a, p2, "x").unwrap();
    block_on(officer(p2).erase_contact(c.unwrap())).unwrap();
    assert_eq!(after, refused(p2));
}
#[test]
fn a_clean_up_takes_no_active_contact_of_the_same_line() {
    let l = lab();
    let p = &l.privet;
    let mut b = Browser::default();
    b.answer(p, &save(&["contacts"])).0.unwrap();
    let (c1, _) = post(&mut b, p, "one").unwrap();
    b.cookies.remove("__Host-privet");
    let old = b.cookies.remove("__Host-privet-contact").unwrap();
    b.answer(p, &save(&["contacts"])).0.unwrap();
    post(&mut b, p, "two").unwrap();
    b.cookies.insert("__Host-privet-contact".into(), old);
    l.clock.advance(Duration::from_secs(30 * 86_400));
    let (c3, _) = post(&mut b, p, "three").unwrap();
    assert_eq!(c1, c3);
    let since = p.now() - Duration::from_secs(86_400);
    let preview = block_on(officer(p).preview_stale(since, 10)).unwrap();
    let gone = block_on(officer(p).erase_stale(since, 10)).unwrap();
    assert_eq!(u64::from(preview.count), gone.contacts);
}
