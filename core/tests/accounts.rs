//! People who sign in on devices that decided before: what is taken back is taken back everywhere it stood, once, and nothing
//! else is; also while the store is down, and after a restart.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that meets something else has failed")]

mod common;
use async_trait::async_trait;
use common::{Answered, Browser, regional, save, start};
use futures_executor::block_on;
use privet::conformance::FaultyStore;
use privet::consent::{
    Answer, DeliveryProblem, DeliveryRequest, Method, Provenance, RecipientChannel, Regimes,
};
use privet::contact::PageRequest;
use privet::retention::{DataClass, RetentionRule};
use privet::store::{MemoryStore, Storage};
use privet::{Analytics, Catalogue, FakeClock, Marketing, Privet, Scope, Tenant};
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn built(toml: &str, storage: Storage) -> (Privet, FakeClock) {
    regional(toml, Regimes::by_country().established_in("US".parse().unwrap()), storage)
}
fn plain() -> (Privet, FakeClock) {
    built(common::CATALOGUE, Storage::in_memory().unwrap())
}
fn rows(privet: &Privet) -> u64 {
    block_on(privet.verify_consent(&Tenant::default())).unwrap().records
}
fn contacts(privet: &Privet) -> usize {
    block_on(privet.contacts(&Scope::default(), &PageRequest::first(10))).unwrap().contacts.len()
}
fn faulty() -> (Storage, Arc<FaultyStore<MemoryStore>>) {
    let store = Arc::new(FaultyStore::new(MemoryStore::new()));
    let mut storage = Storage::in_memory().unwrap();
    storage.store = store.clone();
    (storage, store)
}

/// A contact on another line than the device's cookie (cookie lost in between): erased when nobody is signed in.
fn other_line(sign: bool) -> usize {
    let (privet, _) = plain();
    let mut b = Browser::default();
    b.answer(&privet, &save(&["contacts"])).0.unwrap();
    b.say(&privet, "secret");
    b.cookies.remove("__Host-privet");
    b.answer(&privet, &save(&["contacts"])).0.unwrap();
    assert_eq!(b.texts(&privet), ["secret"]);
    if sign {
        b.sign_in(&privet, "ann");
        assert_eq!(b.texts(&privet), ["secret"]);
    }
    b.withdraw(&privet, &[]).0.unwrap();
    assert!(!b.cookies.contains_key("__Host-privet-contact"));
    contacts(&privet)
}
#[test]
fn a_contact_on_another_line_goes_with_the_device() {
    assert_eq!(other_line(false), 0);
}
#[test]
fn a_contact_on_another_line_goes_with_the_device_below_an_account() {
    assert_eq!(other_line(true), 0);
}

/// A stale session withdraws one category: the refusals of the account are lost.
#[test]
fn a_refusal_says_nothing_about_what_it_does_not_name() {
    let (privet, _) = plain();
    let (mut a, mut b) = (Browser::default(), Browser::default());
    a.sign_in(&privet, "ann");
    b.sign_in(&privet, "ann");
    a.answer(&privet, &Answer::RejectAll).0.unwrap();
    b.withdraw(&privet, &["marketing"]).0.unwrap();
    let mut desk = Browser::default();
    desk.answer(&privet, &save(&["analytics"])).0.unwrap();
    desk.sign_in(&privet, "ann");
    assert_eq!(desk.granted(&privet), [] as [&str; 0], "the account refused analytics");
}
#[test]
fn stale_sessions_in_turn_make_no_rows_without_end() {
    let (privet, _) = plain();
    let (mut a, mut b) = (Browser::default(), Browser::default());
    a.sign_in(&privet, "ann");
    b.sign_in(&privet, "ann");
    for _ in 0..50 {
        a.clone().withdraw(&privet, &["marketing"]).0.unwrap();
        b.clone().withdraw(&privet, &["analytics"]).0.unwrap();
    }
    assert!(rows(&privet) <= 2, "{}", rows(&privet));
}

const FILMS_CATEGORY: &str = r#"[[category]]
    id = "films"
    code = 40
    label = { en = "Films", de = "Filme" }
    purpose = { en = "Shows films.", de = "Zeigt Filme." }

    [[recipient]]"#;
const FILMS: &str = r#"
    [[service]]
    id = "player"
    provider = "Films Ltd"
    purpose = { en = "Shows films.", de = "Zeigt Filme." }
    label = { en = "Player", de = "Player" }
    legal_basis = "consent"
    external_hosts = ["https://films.example"]
    gate = { consent = "films" }
"#;
fn films() -> String {
    common::CATALOGUE.replace("[[recipient]]", FILMS_CATEGORY) + FILMS
}

/// An account that grants something and says nothing about a new category takes that back.
#[test]
fn what_is_taken_back_beside_a_grant_is_recorded_for_the_account() {
    let storage = Storage::in_memory().unwrap();
    let (privet, _) = built(common::CATALOGUE, storage.clone());
    let mut a = Browser::default();
    a.sign_in(&privet, "ann");
    a.answer(&privet, &save(&["analytics"])).0.unwrap();
    drop(privet);
    let (privet, _) = built(&films(), storage);
    let mut d = Browser::default();
    d.answer(&privet, &save(&["films"])).0.unwrap();
    d.sign_in(&privet, "ann");
    assert!(d.granted(&privet).contains(&"films".to_owned()), "{:?}", d.granted(&privet));
    d.withdraw(&privet, &["films"]).0.unwrap();
    let mut e = Browser::default();
    e.answer(&privet, &save(&["films"])).0.unwrap();
    e.sign_in(&privet, "ann");
    assert!(!e.granted(&privet).contains(&"films".to_owned()), "not recorded for the account");
}

#[derive(Clone, Debug, Default)]
struct Partner(Arc<Mutex<Vec<String>>>);
#[async_trait]
impl RecipientChannel for Partner {
    async fn deliver(&self, r: &DeliveryRequest) -> Result<(), DeliveryProblem> {
        self.0.lock().unwrap().push(format!("{r:?}"));
        Ok(())
    }
}
const ADS: &str = r#"
    [[recipient]]
    id = "exchange"
    name = "Exchange Inc"
    country = "US"
    purpose = { en = "Sells places.", de = "Verkauft Plätze." }
    withdrawal_endpoint = "https://exchange.example/privacy/withdrawals"

    [[service]]
    id = "ads"
    provider = "Exchange Inc"
    purpose = { en = "Ads.", de = "Werbung." }
    label = { en = "Ads", de = "Werbung" }
    legal_basis = "consent"
    recipients = ["exchange"]
    gate = { consent = "marketing" }
"#;
fn partnered(storage: Storage) -> (Privet, FakeClock, Partner) {
    let p = Partner::default();
    let clock = FakeClock::at(start());
    let toml = format!("{}{ADS}", common::CATALOGUE);
    let privet = block_on(
        Privet::builder(Catalogue::from_toml(&toml).unwrap())
            .clock(clock.clone())
            .account_consent()
            .storage(storage)
            .recipient_channel(p.clone())
            .build(),
    )
    .unwrap();
    (privet, clock, p)
}
fn told(privet: &Privet, p: &Partner) -> usize {
    block_on(privet.deliver_notifications()).unwrap();
    p.0.lock().unwrap().len()
}

/// Withdrawal by a stale session while the store is down: recipients are told once it is back.
#[test]
fn a_stale_session_tells_recipients_when_the_store_is_back() {
    let (storage, store) = faulty();
    let (privet, _, p) = partnered(storage);
    let (mut a, mut b) = (Browser::default(), Browser::default());
    a.sign_in(&privet, "ann");
    b.sign_in(&privet, "ann");
    a.answer(&privet, &save(&["marketing"])).0.unwrap();
    let record = a.open(&privet).0.granted::<Marketing>().unwrap().record();
    store.fail(true);
    assert!(b.answer(&privet, &Answer::RejectAll).0.is_ok());
    store.fail(false);
    block_on(privet.record_pending()).unwrap();
    assert!(!block_on(privet.still_granted(&Scope::default(), record, "marketing")).unwrap());
    assert_eq!(told(&privet, &p), 1);
}
/// The lapsed account refuses while the store is down.
#[test]
fn a_refusal_after_a_lapse_waits_and_tells() {
    let (storage, store) = faulty();
    let (privet, clock, p) = partnered(storage);
    let mut a = Browser::default();
    a.sign_in(&privet, "ann");
    a.answer(&privet, &save(&["marketing"])).0.unwrap();
    clock.advance(Duration::from_secs(190 * 86_400));
    let mut b = Browser::default();
    b.sign_in(&privet, "ann");
    store.fail(true);
    assert!(b.answer(&privet, &Answer::RejectAll).0.is_ok());
    store.fail(false);
    block_on(privet.record_pending()).unwrap();
    let mut c = Browser::default();
    c.sign_in(&privet, "ann");
    assert!(c.open(&privet).0.consent().decided(), "asked again");
    assert_eq!(told(&privet, &p), 1, "told");
}
#[test]
fn a_refusal_that_waits_forgets_nothing() {
    let (storage, store) = faulty();
    let (privet, _, _) = partnered(storage);
    let (mut a, mut b) = (Browser::default(), Browser::default());
    b.sign_in(&privet, "ann");
    a.sign_in(&privet, "ann");
    a.answer(&privet, &Answer::RejectAll).0.unwrap();
    store.fail(true);
    assert!(b.withdraw(&privet, &["marketing"]).0.unwrap().pending);
    store.fail(false);
    block_on(privet.record_pending()).unwrap();
    let mut desk = Browser::default();
    desk.answer(&privet, &save(&["analytics"])).0.unwrap();
    desk.sign_in(&privet, "ann");
    assert_eq!(desk.granted(&privet), [] as [&str; 0], "the account refused analytics");
}

/// Another sale ended on the device's line meanwhile: the cookie must not go on granting it.
fn lost(sign: bool) -> Vec<String> {
    let (privet, _) = plain();
    let mut b = Browser::default();
    b.answer(&privet, &Answer::AcceptAll).0.unwrap();
    b.say(&privet, "x");
    b.gpc = true;
    let (v, _) = b.open(&privet);
    b.close(&v, Answered::new(200));
    block_on(privet.record_objections()).unwrap();
    b.gpc = false;
    if sign {
        b.sign_in(&privet, "ann");
    }
    b.withdraw(&privet, &["analytics"]).0.unwrap();
    if sign {
        b.sign_out(&privet);
    }
    b.granted(&privet)
}
#[test]
fn a_device_keeps_no_grant_that_its_line_lost() {
    assert_eq!(lost(false), ["contacts"]);
}
#[test]
fn nor_does_it_below_an_account() {
    assert_eq!(lost(true), ["contacts"]);
}

/// Signed in as another one before a pending withdrawal is recorded; then a crash.
fn over(other: bool) -> bool {
    let (storage, store) = faulty();
    let (privet, _) = built(common::CATALOGUE, storage.clone());
    let mut b = Browser::default();
    b.sign_in(&privet, "ann");
    b.answer(&privet, &save(&["analytics"])).0.unwrap();
    let r = b.open(&privet).0.granted::<Analytics>().unwrap().record();
    store.fail(true);
    assert!(b.withdraw(&privet, &[]).0.unwrap().pending);
    store.fail(false);
    drop(privet);
    let (privet, _) = built(common::CATALOGUE, storage.clone());
    if other {
        b.sign_in(&privet, "bob");
    } else {
        b.sign_in(&privet, "ann");
    }
    drop(privet);
    let (privet, _) = built(common::CATALOGUE, storage);
    let _ = b.open(&privet);
    block_on(privet.record_pending()).unwrap();
    block_on(privet.still_granted(&Scope::default(), r, "analytics")).unwrap()
}
#[test]
fn somebody_else_who_signs_in_loses_no_withdrawal() {
    assert!(!over(true));
}
#[test]
fn the_same_person_who_signs_in_loses_none() {
    assert!(!over(false));
}

/// A contact that time took, replaced by a new one while somebody is signed in.
fn renewed(sign: bool, swept: bool) -> Vec<String> {
    let clock = FakeClock::at(start());
    let short = RetentionRule::new(DataClass::Contacts, Duration::from_secs(86_400)).unwrap();
    let privet = block_on(
        Privet::builder(common::catalogue())
            .clock(clock.clone())
            .account_consent()
            .storage(Storage::in_memory().unwrap())
            .build(),
    )
    .unwrap();
    block_on(privet.set_retention(&Tenant::default(), short)).unwrap();
    let mut b = Browser::default();
    b.answer(&privet, &save(&["contacts"])).0.unwrap();
    b.say(&privet, "old");
    clock.advance(Duration::from_secs(5 * 86_400));
    if swept {
        block_on(privet.sweep(privet.now())).unwrap();
    }
    if sign {
        b.sign_in(&privet, "ann");
    }
    b.say(&privet, "new");
    b.say(&privet, "newer");
    b.texts(&privet)
}
#[test]
fn a_contact_that_time_took_is_followed_by_another() {
    for swept in [true, false] {
        assert_eq!(renewed(false, swept), ["new", "newer"]);
    }
}
#[test]
fn also_below_an_account() {
    for swept in [true, false] {
        assert_eq!(renewed(true, swept), ["new", "newer"]);
    }
}

#[test]
fn an_account_tells_once_after_a_lapse() {
    let (privet, clock, p) = partnered(Storage::in_memory().unwrap());
    let mut a = Browser::default();
    a.sign_in(&privet, "ann");
    a.answer(&privet, &save(&["marketing"])).0.unwrap();
    clock.advance(Duration::from_secs(190 * 86_400));
    for _ in 0..3 {
        let mut b = Browser::default();
        b.sign_in(&privet, "ann");
        b.answer(&privet, &Answer::RejectAll).0.unwrap();
        b.withdraw(&privet, &[]).0.unwrap();
        assert_eq!(told(&privet, &p), 1);
        clock.advance(Duration::from_secs(86_400));
    }
}
#[test]
fn what_was_told_is_not_told_again_after_a_lapse() {
    let (privet, clock, p) = partnered(Storage::in_memory().unwrap());
    let mut a = Browser::default();
    a.sign_in(&privet, "ann");
    a.answer(&privet, &save(&["marketing", "analytics"])).0.unwrap();
    a.withdraw(&privet, &["analytics"]).0.unwrap();
    a.withdraw(&privet, &["marketing"]).0.unwrap();
    clock.advance(Duration::from_secs(190 * 86_400));
    let mut b = Browser { gpc: true, ..Browser::default() };
    b.sign_in(&privet, "ann");
    b.answer(&privet, &Answer::RejectAll).0.unwrap();
    assert_eq!(told(&privet, &p), 1);
}

/// Signs in again after an older pending of the device; grants below while the device's own withdrawal waits.
#[test]
fn a_devices_withdrawal_waits_below_an_account() {
    let (storage, store) = faulty();
    let (privet, _) = built(common::CATALOGUE, storage.clone());
    let mut b = Browser::default();
    b.answer(&privet, &save(&["analytics", "marketing"])).0.unwrap();
    let r = b.open(&privet).0.granted::<Marketing>().unwrap().record();
    store.fail(true);
    assert!(b.withdraw(&privet, &["marketing"]).0.unwrap().pending);
    store.fail(false);
    drop(privet);
    let (privet, _) = built(common::CATALOGUE, storage.clone());
    b.sign_in(&privet, "ann");
    b.answer(&privet, &save(&["marketing"])).0.unwrap();
    assert_eq!(b.granted(&privet), ["marketing"]);
    b.sign_out(&privet);
    drop(privet);
    let (privet, _) = built(common::CATALOGUE, storage);
    assert!(b.open(&privet).0.consent().pending());
    block_on(privet.record_pending()).unwrap();
    assert!(!block_on(privet.still_granted(&Scope::default(), r, "marketing")).unwrap());
    let (v, _) = b.open(&privet);
    b.close(&v, Answered::new(200));
    assert_eq!(b.granted(&privet), ["analytics"]);
}
/// Store fails between the account's record and the device's; withdraw again; nothing twice.
#[test]
fn withdrawals_below_an_account_wait_together() {
    let (storage, store) = faulty();
    let (privet, _) = built(common::CATALOGUE, storage.clone());
    let mut b = Browser::default();
    b.answer(&privet, &Answer::AcceptAll).0.unwrap();
    b.say(&privet, "x");
    b.sign_in(&privet, "ann");
    store.fail(true);
    for c in ["marketing", "contacts", "analytics"] {
        assert!(b.withdraw(&privet, &[c]).0.unwrap().pending);
    }
    store.fail(false);
    block_on(privet.record_pending()).unwrap();
    assert_eq!(contacts(&privet), 0);
    let (v, _) = b.open(&privet);
    b.close(&v, Answered::new(200));
    assert!(!b.open(&privet).0.consent().pending());
    b.sign_out(&privet);
    assert_eq!(b.granted(&privet), [] as [&str; 0]);
    assert!(b.open(&privet).0.consent().decided());
    assert_eq!(rows(&privet), 3);
}
/// Decided in the session by a partial withdrawal: the other category, which nobody withdrew.
#[test]
fn to_take_back_one_category_leaves_the_rest() {
    let (privet, _) = plain();
    let mut b = Browser::default();
    b.answer(&privet, &save(&["analytics", "marketing"])).0.unwrap();
    b.sign_in(&privet, "ann");
    assert_eq!(b.granted(&privet), ["analytics", "marketing"]);
    b.withdraw(&privet, &["marketing"]).0.unwrap();
    assert_eq!(b.granted(&privet), ["analytics"]);
}
/// The form of somebody signed in, with the store down, leaves the device's contact.
#[test]
fn a_form_leaves_the_device_alone_also_when_the_store_is_down() {
    let (storage, store) = faulty();
    let (privet, _) = built(common::CATALOGUE, storage.clone());
    let mut b = Browser::default();
    b.answer(&privet, &save(&["contacts"])).0.unwrap();
    b.say(&privet, "dev");
    let own = b.cookies["__Host-privet"].clone();
    b.sign_in(&privet, "ann");
    store.fail(true);
    b.answer(&privet, &Answer::RejectAll).0.unwrap();
    store.fail(false);
    assert_eq!(b.texts(&privet), [] as [&str; 0]);
    block_on(privet.record_pending()).unwrap();
    let (v, _) = b.open(&privet);
    b.close(&v, Answered::new(200));
    b.sign_out(&privet);
    assert_eq!(b.cookies["__Host-privet"], own);
    assert_eq!(b.texts(&privet), ["dev"]);
}
/// Withdrawn contacts of the device below; then the account grants contacts and speaks: nobody else reads it.
#[test]
fn a_contact_after_a_withdrawal_is_its_accounts() {
    let (privet, _) = plain();
    let mut b = Browser::default();
    b.answer(&privet, &save(&["contacts"])).0.unwrap();
    b.say(&privet, "dev");
    b.sign_in(&privet, "ann");
    b.withdraw(&privet, &["contacts"]).0.unwrap();
    assert_eq!(contacts(&privet), 0);
    b.answer(&privet, &save(&["contacts"])).0.unwrap();
    b.say(&privet, "ann's");
    assert_eq!(b.texts(&privet), ["ann's"]);
    b.sign_out(&privet);
    assert_eq!(b.texts(&privet), [] as [&str; 0]);
    b.answer(&privet, &save(&["contacts"])).0.unwrap();
    assert_eq!(b.texts(&privet), [] as [&str; 0]);
    b.sign_in(&privet, "bob");
    assert_eq!(b.texts(&privet), [] as [&str; 0]);
    b.withdraw(&privet, &[]).0.unwrap();
    assert_eq!(contacts(&privet), 1, "ann's contact stays");
}
/// Withdraw with the account granting contacts and the device too, by a form session in between.
#[test]
fn what_a_form_refused_is_not_taken_back_on_the_device() {
    let (privet, _) = plain();
    let mut b = Browser::default();
    b.answer(&privet, &save(&["contacts", "analytics"])).0.unwrap();
    b.say(&privet, "dev");
    let r = b.open(&privet).0.consent().record().unwrap();
    b.sign_in(&privet, "ann");
    b.answer(&privet, &save(&["marketing"])).0.unwrap();
    b.withdraw(&privet, &[]).0.unwrap();
    assert_eq!(contacts(&privet), 1);
    assert!(block_on(privet.still_granted(&Scope::default(), r, "analytics")).unwrap());
    b.sign_out(&privet);
    assert_eq!(b.granted(&privet), ["analytics", "contacts"]);
    assert_eq!(b.texts(&privet), ["dev"]);
}
/// A withdrawal while the account's cookie is stale and grants what the line does not.
#[test]
fn in_one_visit() {
    let (privet, _) = plain();
    let mut b = Browser::default();
    b.answer(&privet, &Answer::AcceptAll).0.unwrap();
    b.say(&privet, "dev");
    let (v, _) = b.open(&privet);
    block_on(privet.sign_in(&v, "ann")).unwrap();
    let l = v.catalogue().languages()[0].clone();
    block_on(privet.withdraw(&v, &Default::default(), &l, Provenance::new(Method::Form, true))).unwrap();
    block_on(privet.sign_out(&v)).unwrap();
    b.close(&v, Answered::new(303));
    assert_eq!(contacts(&privet), 0);
    assert_eq!(b.granted(&privet), [] as [&str; 0]);
    assert!(!b.cookies.contains_key("__Host-privet-contact"));
}

/// After the partial withdrawal and another sign-in: silently granted again.
#[test]
fn what_was_left_stays_after_the_next_sign_in() {
    let (privet, _) = plain();
    let mut b = Browser::default();
    b.answer(&privet, &save(&["analytics", "marketing"])).0.unwrap();
    b.sign_in(&privet, "ann");
    b.withdraw(&privet, &["marketing"]).0.unwrap();
    let first = b.granted(&privet);
    b.sign_in(&privet, "ann");
    assert_eq!(first, b.granted(&privet));
}
/// The account's pending withdrawal by record id known only to this process, signed in on two devices.
#[test]
fn two_devices_of_an_account_wait_without_losing_either() {
    let (storage, store) = faulty();
    let (privet, _) = built(common::CATALOGUE, storage.clone());
    let (mut a, mut b) = (Browser::default(), Browser::default());
    a.sign_in(&privet, "ann");
    a.answer(&privet, &save(&["analytics", "marketing"])).0.unwrap();
    b.sign_in(&privet, "ann");
    store.fail(true);
    a.withdraw(&privet, &["analytics"]).0.unwrap();
    b.withdraw(&privet, &["marketing"]).0.unwrap();
    store.fail(false);
    block_on(privet.record_pending()).unwrap();
    for x in [&mut a, &mut b] {
        let (v, _) = x.open(&privet);
        x.close(&v, Answered::new(200));
    }
    let mut c = Browser::default();
    c.sign_in(&privet, "ann");
    assert_eq!(c.granted(&privet), [] as [&str; 0]);
}
/// The same through restarts: what one device's withdrawal settles, another's does not.
#[test]
fn what_one_device_settles_is_not_anothers() {
    let (storage, store) = faulty();
    let (privet, _) = built(common::CATALOGUE, storage.clone());
    let (mut a, mut b) = (Browser::default(), Browser::default());
    a.sign_in(&privet, "ann");
    a.answer(&privet, &save(&["analytics", "marketing"])).0.unwrap();
    b.sign_in(&privet, "ann");
    store.fail(true);
    a.withdraw(&privet, &["analytics"]).0.unwrap();
    b.withdraw(&privet, &["marketing"]).0.unwrap();
    store.fail(false);
    drop(privet);
    let (privet, _) = built(common::CATALOGUE, storage.clone());
    for x in [&mut b, &mut a] {
        let (v, _) = x.open(&privet);
        x.close(&v, Answered::new(200));
        block_on(privet.record_pending()).unwrap();
        let (v, _) = x.open(&privet);
        x.close(&v, Answered::new(200));
    }
    let mut c = Browser::default();
    c.sign_in(&privet, "ann");
    assert_eq!(c.granted(&privet), [] as [&str; 0]);
}

/// What a browser's own contact holds goes to the account of whoever is signed in, if they say so: then it is theirs on every
/// device, while they are signed in, and nobody's otherwise. The account has to grant contacts itself.
#[test]
fn a_contact_of_the_device_is_moved_to_the_account() {
    let (privet, _) = plain();
    let moves = |browser: &mut Browser| {
        let (visit, _) = browser.open(&privet);
        let done = block_on(visit.visitor().move_to_account(Provenance::new(Method::Form, true)));
        browser.close(&visit, Answered::new(303));
        done
    };
    let (mut phone, mut desk) = (Browser::default(), Browser::default());
    desk.answer(&privet, &save(&["contacts", "analytics"])).0.unwrap();
    desk.say(&privet, "said on the desk");
    assert!(matches!(moves(&mut desk), Err(privet::Error::NotGranted { .. })), "nobody is signed in");
    desk.sign_in(&privet, "ann");
    assert!(matches!(moves(&mut desk), Err(privet::Error::NotGranted { .. })), "the account says nothing");
    phone.sign_in(&privet, "ann");
    phone.answer(&privet, &save(&["contacts"])).0.unwrap();
    phone.say(&privet, "said on the phone");
    assert_eq!(contacts(&privet), 2);

    desk.sign_in(&privet, "ann");
    assert_eq!(desk.texts(&privet), ["said on the desk"]);
    assert_eq!(moves(&mut desk).unwrap(), 1);
    let mut both = desk.texts(&privet);
    both.sort();
    assert_eq!(both, ["said on the desk", "said on the phone"]);
    assert_eq!(contacts(&privet), 1);
    let listed = block_on(privet.contacts(&Scope::default(), &PageRequest::first(9))).unwrap().contacts;
    assert_eq!(listed[0].conversations, 2);
    assert!(matches!(moves(&mut desk), Err(privet::Error::NotFound { .. })), "there is none any more");
    let mut of_phone = phone.texts(&privet);
    of_phone.sort();
    assert_eq!(of_phone, both);

    desk.sign_out(&privet);
    assert_eq!(desk.texts(&privet), [] as [&str; 0]);
    assert_eq!(desk.granted(&privet), ["analytics"], "the rest of the device's choice is as it was");
    desk.sign_in(&privet, "bob");
    assert_eq!(desk.texts(&privet), [] as [&str; 0]);
    desk.sign_in(&privet, "ann");
    desk.say(&privet, "again");
    assert_eq!(desk.texts(&privet).len(), 3, "the device says nothing against it");
    phone.withdraw(&privet, &[]).0.unwrap();
    assert_eq!(contacts(&privet), 0, "one consent, and one withdrawal");
    assert_eq!(block_on(privet.verify_consent(&Tenant::default())).unwrap().damage, None);
}

/// Somebody who is blocked cannot go around it by another contact.
#[test]
fn a_blocked_contact_is_not_moved() {
    let (privet, _) = plain();
    let mut desk = Browser::default();
    desk.answer(&privet, &save(&["contacts"])).0.unwrap();
    desk.say(&privet, "rude");
    let id = block_on(privet.contacts(&Scope::default(), &PageRequest::first(9))).unwrap().contacts[0].id;
    let agent = privet::portal::Operator::new(Tenant::default(), "ann", privet::portal::Role::Agent).unwrap();
    let portal = privet.portal(&agent, &privet::Site::default()).unwrap();
    block_on(portal.set_blocked(id, true)).unwrap();
    let mut phone = Browser::default();
    phone.sign_in(&privet, "carl");
    phone.answer(&privet, &save(&["contacts"])).0.unwrap();
    desk.sign_in(&privet, "carl");
    let (visit, _) = desk.open(&privet);
    let moved = block_on(visit.visitor().move_to_account(Provenance::new(Method::Form, true)));
    assert!(matches!(moved, Err(privet::Error::Blocked)), "{moved:?}");
}
