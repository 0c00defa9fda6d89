//! What somebody tries, or runs into, who shares a browser, comes back late, or meets a store that is down.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]
mod common;

use async_trait::async_trait;
use common::{Answered, Browser, DE, FR, GB, regional, save, start, with_exceptions};
use futures_executor::block_on;
use privet::conformance::FaultyStore;
use privet::consent::{
    Answer, Decided, DeliveryProblem, DeliveryRequest, Method, Provenance, RecipientChannel, Regimes,
};
use privet::contact::PageRequest;
use privet::store::{MemoryStore, Storage};
use privet::{Catalogue, Clock as _, Contacts, FakeClock, Marketing, Privet, Scope, Tenant};
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn built(toml: &str, storage: Storage) -> (Privet, FakeClock) {
    regional(toml, Regimes::by_country().established_in("US".parse().unwrap()), storage)
}

fn plain() -> (Privet, FakeClock) {
    built(common::CATALOGUE, Storage::in_memory().unwrap())
}

/// The browser is closed and opened: cookies of its session are gone.
fn restart(browser: &mut Browser) {
    browser.cookies.remove("__Host-privet-account");
    browser.cookies.remove("__Host-privet-active");
}

/// Ann grants analytics, and withdraws it while the store is down; afterwards it is up again.
fn withdrawn_meanwhile() -> (Privet, Storage, Arc<FaultyStore<MemoryStore>>, Browser) {
    let store = Arc::new(FaultyStore::new(MemoryStore::new()));
    let mut storage = Storage::in_memory().unwrap();
    storage.store = store.clone();
    let (privet, _) = built(common::CATALOGUE, storage.clone());
    let mut b = Browser::default();
    b.sign_in(&privet, "ann");
    b.answer(&privet, &save(&["analytics"])).0.unwrap();
    store.fail(true);
    assert!(b.withdraw(&privet, &[]).0.unwrap().pending);
    store.fail(false);
    (privet, storage, store, b)
}

#[test]
fn an_account_does_not_read_what_another_said() {
    let (privet, _) = plain();
    let mut other = Browser::default();
    other.sign_in(&privet, "bob");
    other.answer(&privet, &save(&["contacts"])).0.unwrap();

    let mut b = Browser::default();
    b.sign_in(&privet, "ann");
    b.answer(&privet, &save(&["contacts"])).0.unwrap();
    b.say(&privet, "ann's secret");
    b.sign_in(&privet, "bob");
    let t = b.texts(&privet);
    let data = serde_json::to_string(&block_on(b.open(&privet).0.visitor().data()).unwrap()).unwrap();
    assert!(t.is_empty() && !data.contains("ann's secret"), "bob reads {t:?}");
}

#[test]
fn after_a_restart_of_the_browser_neither() {
    let (privet, _) = plain();
    let mut b = Browser::default();
    b.sign_in(&privet, "ann");
    b.answer(&privet, &save(&["contacts"])).0.unwrap();
    b.say(&privet, "ann's secret");
    restart(&mut b);
    b.sign_in(&privet, "bob");
    b.answer(&privet, &save(&["contacts"])).0.unwrap();
    let t = b.texts(&privet);
    assert!(t.is_empty(), "bob reads {t:?}");
}

#[test]
fn signing_in_again_does_not_undo_a_withdrawal_that_waits() {
    let (privet, _, _, mut b) = withdrawn_meanwhile();
    b.sign_in(&privet, "ann"); // session resumed, before the tick of run()
    assert_eq!(b.granted(&privet), [] as [&str; 0], "undone by sign_in");
}

#[test]
fn the_signal_ends_a_sale_whatever_was_withdrawn_meanwhile() {
    let (privet, _) = plain();
    let mut b = Browser::default();
    b.sign_in(&privet, "ann");
    b.answer(&privet, &save(&["analytics", "marketing"])).0.unwrap();
    b.gpc = true; // switched on mid-session
    assert_eq!(b.granted(&privet), ["analytics"]);
    b.withdraw(&privet, &["analytics"]).0.unwrap();
    b.sign_in(&privet, "ann"); // signs in with the signal
    let mut silent = Browser::default();
    silent.sign_in(&privet, "ann");
    assert_eq!(silent.granted(&privet), [] as [&str; 0], "sale survives the signal");
}

#[test]
fn what_was_granted_despite_the_signal_outlives_another_withdrawal() {
    let (privet, _) = plain();
    let mut b = Browser { gpc: true, ..Browser::default() };
    b.answer(&privet, &save(&["analytics", "marketing", "contacts"])).0.unwrap();
    b.withdraw(&privet, &["analytics"]).0.unwrap();
    b.say(&privet, "x");
    let _ = b.texts(&privet);
    let (v, _) = b.open(&privet);
    b.close(&v, Answered::new(200));
    block_on(privet.record_objections()).unwrap();
    let rec = b.open(&privet).0.granted::<Marketing>().unwrap().record();
    assert!(block_on(privet.still_granted(&Scope::default(), rec, "marketing")).unwrap());
}

#[test]
fn erasing_a_contact_keeps_what_its_account_refused() {
    let (privet, _) = plain();
    let mut desk = Browser::default();
    desk.answer(&privet, &save(&["marketing", "contacts"])).0.unwrap();
    let mut b = Browser::default();
    b.sign_in(&privet, "ann");
    b.answer(&privet, &save(&["contacts"])).0.unwrap(); // refuses marketing
    b.say(&privet, "x");
    desk.sign_in(&privet, "ann");
    assert_eq!(desk.granted(&privet), ["contacts"]);
    desk.sign_out(&privet);
    let c = block_on(privet.contacts(&Scope::default(), &PageRequest::first(10))).unwrap().contacts;
    block_on(privet.erase_contact(&Scope::default(), c[0].id)).unwrap();
    desk.sign_in(&privet, "ann");
    assert!(
        !desk.granted(&privet).contains(&"marketing".to_owned()),
        "marketing was refused for the account: {:?}",
        desk.granted(&privet)
    );
}

/// A recipient that keeps what it is told.
#[derive(Clone, Debug, Default)]
struct Partner(Arc<Mutex<Vec<String>>>);
#[async_trait]
impl RecipientChannel for Partner {
    async fn deliver(&self, r: &DeliveryRequest) -> Result<(), DeliveryProblem> {
        self.0.lock().unwrap().push(r.body.clone());
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

#[test]
fn an_older_session_that_refuses_is_told_to_recipients() {
    let p = Partner::default();
    let clock = FakeClock::at(start());
    let toml = format!("{}{ADS}", common::CATALOGUE);
    let privet = block_on(
        Privet::builder(Catalogue::from_toml(&toml).unwrap())
            .clock(clock.clone())
            .account_consent()
            .storage(Storage::in_memory().unwrap())
            .recipient_channel(p.clone())
            .build(),
    )
    .unwrap();
    let (mut a, mut b) = (Browser::default(), Browser::default());
    a.sign_in(&privet, "ann");
    b.sign_in(&privet, "ann"); // b's cookie: nothing decided
    a.answer(&privet, &save(&["marketing"])).0.unwrap();
    b.answer(&privet, &Answer::RejectAll).0.unwrap();
    block_on(privet.deliver_notifications()).unwrap();
    assert_eq!(p.0.lock().unwrap().len(), 1, "the recipient was not told");
}

#[test]
fn no_store_goes_for_caches_in_between() {
    let (privet, _) = plain();
    let (v, _) = Browser::default().open(&privet);
    let _ = v.consent().allows("analytics");
    let mut a = Answered::new(200)
        .header("cache-control", "no-store")
        .header("cdn-cache-control", "public, max-age=600")
        .header("surrogate-control", "max-age=600");
    let _ = v.seal(&mut a);
    assert!(a.all("cdn-cache-control").is_empty() && a.all("surrogate-control").is_empty(), "{a:?}");
}

/// What rests on exceptions of two countries.
fn set(privet: &Privet, b: &Browser, ip: &str, path: &str, line: &str) -> Vec<String> {
    let mut h = b.head(path);
    h.peer = Some(ip.parse().unwrap());
    let (v, _) = privet.visit(&h).unwrap();
    let mut a = Answered::new(200).header("set-cookie", line);
    let _ = v.seal(&mut a);
    a.cookies()
}

#[test]
fn an_older_grant_of_the_device_is_not_taken_for_the_accounts() {
    let storage = Storage::in_memory().unwrap();
    let (privet, _) = built(common::CATALOGUE, storage.clone());
    let mut b = Browser::default();
    b.answer(&privet, &save(&["contacts"])).0.unwrap();
    let changed =
        common::CATALOGUE.replace("id = \"contacts\"", "id = \"contacts\"\n    purpose_version = 2");
    let (privet, _) = built(&changed, storage);
    b.sign_in(&privet, "ann");
    b.answer(&privet, &save(&["contacts"])).0.unwrap();
    let acc = b.open(&privet).0.consent().record().unwrap();
    let got = b.open(&privet).0.granted::<Contacts>().unwrap().record();
    assert_eq!(got, acc, "stands on a stale record of the device");
}

#[test]
fn the_signal_in_mid_session_reaches_the_account() {
    let (privet, _) = plain();
    let mut b = Browser::default();
    b.sign_in(&privet, "ann");
    b.answer(&privet, &save(&["marketing", "contacts"])).0.unwrap();
    b.say(&privet, "x");
    b.gpc = true;
    let (v, _) = b.open(&privet);
    b.close(&v, Answered::new(200));
    block_on(privet.record_objections()).unwrap();
    let mut silent = Browser::default();
    silent.sign_in(&privet, "ann");
    assert_eq!(silent.granted(&privet), ["contacts"], "the account is still sold");
}

#[test]
fn nobody_writes_into_or_erases_the_contact_of_another() {
    let (privet, _) = plain();
    let mut b = Browser::default();
    b.sign_in(&privet, "ann");
    b.answer(&privet, &save(&["contacts"])).0.unwrap();
    b.say(&privet, "ann's secret");
    let n = || block_on(privet.contacts(&Scope::default(), &PageRequest::first(10))).unwrap().contacts;
    let anns = n()[0].id;
    restart(&mut b);
    b.sign_in(&privet, "bob");
    b.answer(&privet, &save(&["contacts"])).0.unwrap();
    b.say(&privet, "bob's");
    assert_eq!(b.texts(&privet), ["bob's"]);
    b.withdraw(&privet, &[]).0.unwrap();
    assert!(n().iter().any(|c| c.id == anns), "bob erased ann's contact");
}

#[test]
fn nor_does_it_once_the_withdrawal_is_recorded() {
    let (privet, _, _, mut b) = withdrawn_meanwhile();
    b.sign_in(&privet, "ann");
    block_on(privet.record_pending()).unwrap();
    assert_eq!(b.granted(&privet), [] as [&str; 0], "the cookie grants for as long as the session lasts");
}

#[test]
fn a_contact_agreed_to_anew_is_not_frozen() {
    let storage = Storage::in_memory().unwrap();
    let (privet, _) = built(common::CATALOGUE, storage.clone());
    let mut b = Browser::default();
    b.answer(&privet, &save(&["contacts"])).0.unwrap();
    drop(privet);
    let changed =
        common::CATALOGUE.replace("id = \"contacts\"", "id = \"contacts\"\n    purpose_version = 2");
    let (privet, _) = built(&changed, storage);
    b.sign_in(&privet, "ann");
    b.answer(&privet, &save(&["contacts"])).0.unwrap();
    b.say(&privet, "hello");
    assert_eq!(b.texts(&privet), ["hello"]);
    let _ = block_on(privet.sweep(start())).unwrap();
    assert_eq!(b.texts(&privet), ["hello"], "agreed anew, and frozen");
}

#[test]
fn a_refusal_pressed_again_is_one_record() {
    let (privet, _) = plain();
    let mut b = Browser::default();
    b.sign_in(&privet, "ann");
    for _ in 0..200 {
        b.answer(&privet, &Answer::RejectAll).0.unwrap();
    }
    let n = block_on(privet.verify_consent(&Tenant::default())).unwrap().records;
    assert!(n <= 1, "{n} records of one refusal pressed again");
}

#[test]
fn what_the_session_said_is_told_beside_the_contact() {
    let (privet, _) = plain();
    let mut b = Browser::default();
    b.say(&privet, "said in the session");
    b.answer(&privet, &save(&["contacts"])).0.unwrap();
    b.say(&privet, "said as contact");
    let d = serde_json::to_string(&block_on(b.open(&privet).0.visitor().data()).unwrap()).unwrap();
    assert!(d.contains("said as contact"));
    assert!(d.contains("said in the session"), "held, and not told");
}

fn allows(privet: &Privet, b: &Browser, ip: &str, c: &str) -> bool {
    let mut h = b.head("/");
    h.peer = Some(ip.parse().unwrap());
    let (v, _) = privet.visit(&h).unwrap();
    v.consent().allows(c)
}

fn answer_from(privet: &Privet, b: &mut Browser, ip: &str, ans: &Answer) {
    let mut h = b.head("/");
    h.peer = Some(ip.parse().unwrap());
    let (v, _) = privet.visit(&h).unwrap();
    let n = v.notice(&v.catalogue().languages()[0]).unwrap().clone();
    let t = v.notice_token(&n);
    block_on(privet.decide(&v, ans, &t, Provenance::new(Method::Form, true))).unwrap();
    b.close(&v, Answered::new(303));
}

#[test]
fn an_objection_outlives_the_choice_life() {
    let (privet, clock) = plain();
    let mut b = Browser::default();
    assert!(allows(&privet, &b, "9.0.0.4", "marketing"));
    answer_from(&privet, &mut b, "9.0.0.4", &Answer::RejectAll);
    assert!(!allows(&privet, &b, "9.0.0.4", "marketing"));
    clock.advance(Duration::from_secs(190 * 86_400));
    assert!(!allows(&privet, &b, "9.0.0.4", "marketing"), "sold again after six months, without a word");
}

#[test]
fn the_accounts_objection_outlives_it_too() {
    let (privet, clock) = plain();
    let mut b = Browser { gpc: true, ..Browser::default() };
    b.sign_in(&privet, "ann");
    clock.advance(Duration::from_secs(190 * 86_400));
    let mut silent = Browser::default();
    silent.sign_in(&privet, "ann");
    assert!(!allows(&privet, &silent, "9.0.0.4", "marketing"), "the account is sold again");
}

#[test]
fn a_withdrawal_erases_what_the_account_said_wherever_it_said_it() {
    let (privet, _) = plain();
    let mut b = Browser::default();
    b.sign_in(&privet, "ann");
    b.answer(&privet, &save(&["contacts"])).0.unwrap();
    b.say(&privet, "ann's secret");
    let mut anns_phone = Browser::default();
    restart(&mut b);
    b.sign_in(&privet, "bob");
    b.answer(&privet, &save(&["contacts"])).0.unwrap();
    b.say(&privet, "bob's");
    anns_phone.sign_in(&privet, "ann");
    anns_phone.withdraw(&privet, &[]).0.unwrap();
    let t = b.texts(&privet);
    assert!(!t.contains(&"ann's secret".to_owned()), "ann withdrew, and bob still reads {t:?}");
}

#[test]
fn a_shorter_choice_life_signs_nobody_out() {
    let storage = Storage::in_memory().unwrap();
    let (privet, _) = built(common::CATALOGUE, storage.clone());
    let mut b = Browser::default();
    b.sign_in(&privet, "ann");
    b.answer(&privet, &save(&["analytics"])).0.unwrap(); // refuses marketing
    drop(privet);
    let clock = FakeClock::at(start());
    let privet = block_on(
        Privet::builder(common::catalogue())
            .storage(storage)
            .clock(clock.clone())
            .account_consent()
            .choice_life(Duration::from_secs(90 * 86_400))
            .build(),
    )
    .unwrap();
    let mut desk = Browser::default();
    desk.answer(&privet, &save(&["marketing"])).0.unwrap();
    desk.sign_in(&privet, "ann");
    let (v, _) = desk.open(&privet);
    assert!(
        v.signed_in() && !desk.granted(&privet).contains(&"marketing".to_owned()),
        "ann refused marketing"
    );
}

#[test]
fn a_grant_for_the_account_is_taken_as_one() {
    let storage = Storage::in_memory().unwrap();
    let older =
        common::CATALOGUE.replace("id = \"marketing\"", "id = \"marketing\"\n    purpose_version = 2");
    let (privet, _) = built(&older, storage.clone());
    let mut p = Browser::default();
    p.sign_in(&privet, "ann");
    p.answer(&privet, &save(&["analytics"])).0.unwrap();
    let next = common::CATALOGUE.replace("id = \"marketing\"", "id = \"marketing\"\n    purpose_version = 3");
    let (privet, _) = built(&next, storage);
    let mut b = Browser::default();
    b.answer(&privet, &save(&["marketing"])).0.unwrap();
    b.sign_in(&privet, "ann");
    b.answer(&privet, &save(&["marketing"])).0.unwrap();
    assert_eq!(b.granted(&privet), ["marketing"], "the answer was to grant marketing");
}

#[test]
fn a_refusal_counts_from_whatever_form() {
    let (privet, _) = built(&with_exceptions(), Storage::in_memory().unwrap());
    let mut b = Browser::default();
    let mut h = b.head("/");
    h.peer = Some("9.0.0.4".parse().unwrap());
    let v = privet.visit(&h).unwrap().0;
    let n = v.notice(&v.catalogue().languages()[0]).unwrap().clone();
    let t = v.notice_token(&n);
    let mut h = b.head("/");
    h.peer = Some("9.0.0.2".parse().unwrap());
    let v = privet.visit(&h).unwrap().0;
    let d = block_on(privet.decide(&v, &Answer::RejectAll, &t, Provenance::new(Method::Form, true))).unwrap();
    b.close(&v, Answered::new(303));
    assert!(
        !matches!(d, Decided::StaleNotice),
        "the objection does not hold: stat {:?}",
        !set(&privet, &b, "9.0.0.2", "/", "stat=1; HttpOnly; Path=/").is_empty()
    );
}

#[test]
fn a_chain_written_anew_stays_found_after_a_restart() {
    let storage = Storage::in_memory().unwrap();
    let (privet, _) = built(common::CATALOGUE, storage.clone());
    Browser::default().answer(&privet, &Answer::AcceptAll).0.unwrap();
    block_on(privet.anchor_consent()).unwrap();
    drop(privet);
    // Somebody writes the chain anew: the same ledger beside another chain of the same length.
    let mut forged = storage.clone();
    forged.store = Arc::new(MemoryStore::new());
    let (privet, _) = built(common::CATALOGUE, forged);
    Browser::default().answer(&privet, &save(&["analytics"])).0.unwrap();
    let before = block_on(privet.verify_consent(&Tenant::default())).unwrap().damage;
    block_on(privet.anchor_consent()).unwrap(); // what run() does in its first second
    let after = block_on(privet.verify_consent(&Tenant::default())).unwrap().damage;
    assert!(before.is_some() && after.is_some(), "hidden: before {before:?} after {after:?}");
}

/// Signing out would take the cookie with it that a withdrawal waits in: first it is recorded.
#[test]
fn signing_out_loses_no_withdrawal_that_waits() {
    let (privet, storage, store, mut b) = withdrawn_meanwhile();
    store.fail(true);
    let (visit, _) = b.open(&privet);
    assert!(block_on(privet.sign_out(&visit)).is_err());
    b.close(&visit, Answered::new(503));
    assert!(b.open(&privet).0.signed_in(), "the cookie that it waits in is kept");
    store.fail(false);
    // The process dies, and another one meets the cookie.
    drop(privet);
    let (privet, _) = built(common::CATALOGUE, storage);
    b.sign_out(&privet);
    let mut elsewhere = Browser::default();
    elsewhere.sign_in(&privet, "ann");
    assert_eq!(elsewhere.granted(&privet), [] as [&str; 0]);
}

/// Whoever comes back after the time of their choice is signed in all the same, and is asked.
#[test]
fn an_account_whose_choice_has_lapsed_can_sign_in() {
    let clock = FakeClock::at(start());
    let opt_in = Privet::builder(common::catalogue()).clock(clock.clone()).account_consent();
    let opt_in = block_on(opt_in.storage(Storage::in_memory().unwrap()).build()).unwrap();
    for (privet, clock) in [plain(), (opt_in, clock)] {
        for choice in [&["analytics"][..], &["analytics", "marketing", "contacts"], &[]] {
            let mut b = Browser::default();
            let account = format!("ann with {choice:?}");
            b.sign_in(&privet, &account);
            b.answer(&privet, &save(choice)).0.unwrap();
            clock.advance(Duration::from_secs(190 * 86_400));
            let mut later = Browser::default();
            later.sign_in(&privet, &account);
            assert!(later.open(&privet).0.signed_in(), "{account}");
            assert_eq!(later.granted(&privet), [] as [&str; 0]);
            later.answer(&privet, &save(&["analytics"])).0.unwrap();
            let mut elsewhere = Browser::default();
            elsewhere.sign_in(&privet, &account);
            assert_eq!(elsewhere.granted(&privet), ["analytics"]);
        }
    }
}

/// JUR-12: "13 months, not sliding" also where the request does not show whether the browser has the cookie: another path,
/// a form of another site, a cookie that the app keeps stricter than it is declared.
#[test]
fn what_may_not_be_renewed_is_not_renewed_behind_the_requests_back() {
    const LINE: &str = "audience=1; Max-Age=34000000; HttpOnly; Secure; SameSite=Lax; Path=";
    let paths = |paths: &str| {
        let toml = with_exceptions().replace("\"395 days\"", &format!("\"395 days\"\n    path = {paths}"));
        built(&toml, Storage::in_memory().unwrap()).0
    };
    let sets = |privet: &Privet, head: common::Head, line: &str| {
        let visit = privet.visit(&head.peer(FR)).unwrap().0;
        let mut answered = Answered::new(200).header("set-cookie", line);
        let _ = visit.seal(&mut answered);
        answered.cookies()
    };
    let at = |path: &str, method: &'static str| common::Head { method, ..common::Head::get(path) };
    let (both, below) = (paths("[\"/a\", \"/\"]"), paths("\"/a\""));
    for (privet, path, passes) in [
        (&both, "/a", true),
        (&both, "/a/b", true),
        (&both, "/", false),
        (&both, "/ab", false),
        (&below, "/", false),
    ] {
        let set = sets(privet, at(path, "GET"), &format!("{LINE}/a"));
        assert_eq!(!set.is_empty(), passes, "{path}: {set:?}");
    }
    let brought = at("/a", "GET").header("cookie", "audience=1");
    assert_eq!(sets(&both, brought, &format!("{LINE}/")), [] as [&str; 0]);

    let (site, line) = (paths("\"/\""), format!("{LINE}/"));
    let whole = [line.clone()];
    let posted = |from: &str| at("/paid", "POST").header("sec-fetch-site", from);
    assert_eq!(sets(&site, at("/", "GET").header("sec-fetch-site", "cross-site"), &line), whole);
    assert_eq!(sets(&site, posted("same-origin"), &line), whole);
    assert_eq!(sets(&site, posted("cross-site"), &line), [] as [&str; 0], "Lax cookies do not come with it");
    assert_eq!(sets(&site, at("/paid", "POST"), &line), [] as [&str; 0], "nobody says whence");
    let strict = sets(&site, at("/", "GET"), &line.replace("Lax", "Strict"));
    assert!(
        strict.iter().all(|l| l.contains("SameSite=Lax")) && !strict.is_empty(),
        "as declared: {strict:?}"
    );
    // Consent needs no exception, and may be renewed.
    let mut granted = Browser::default();
    granted.answer(&site, &save(&["analytics"])).0.unwrap();
    assert_eq!(set(&site, &granted, FR, "/", &line), [line]);
}

/// Whoever is signed in and withdraws takes back what the visit stood on: where the account had said nothing, the grant of
/// the device, with the work that is queued on it. What the account had said itself leaves the device's grant alone.
#[test]
fn a_withdrawal_below_an_account_reaches_what_is_queued_on_the_device() {
    let scope = Scope::default();
    let (privet, _) = plain();
    let still = |record, category: &str| block_on(privet.still_granted(&scope, record, category)).unwrap();
    let mut b = Browser::default();
    b.answer(&privet, &save(&["marketing", "analytics", "contacts"])).0.unwrap();
    b.say(&privet, "said on the device");
    b.sign_in(&privet, "ann");
    let queued = b.open(&privet).0.granted::<Marketing>().unwrap().record();
    b.withdraw(&privet, &["marketing"]).0.unwrap();
    assert!(!still(queued, "marketing"), "honoured by what was queued");
    assert!(still(queued, "analytics"), "nothing else is");
    assert_eq!(b.granted(&privet), ["analytics", "contacts"], "to take something back answers nothing else");
    b.sign_out(&privet);
    assert_eq!(b.granted(&privet), ["analytics", "contacts"]);
    assert_eq!(b.texts(&privet), ["said on the device"]);

    // All of it, contacts too: the contact is erased, and its cookie goes.
    b.sign_in(&privet, "carl");
    let done = b.withdraw(&privet, &[]).0.unwrap();
    assert_eq!((done.pending, done.removed.contacts), (false, 1));
    assert!(!b.cookies.contains_key("__Host-privet-contact"));
    b.sign_out(&privet);
    assert_eq!(b.granted(&privet), [] as [&str; 0]);

    // The account grants it itself: its own grant is taken back, and the device's is as it was.
    let mut b = Browser::default();
    b.answer(&privet, &save(&["marketing"])).0.unwrap();
    let (of_device, own) =
        (b.open(&privet).0.consent().record().unwrap(), b.cookies["__Host-privet"].clone());
    b.sign_in(&privet, "dora");
    b.answer(&privet, &save(&["marketing"])).0.unwrap();
    let of_account = b.open(&privet).0.granted::<Marketing>().unwrap().record();
    assert_ne!(of_device, of_account);
    b.withdraw(&privet, &[]).0.unwrap();
    assert!(!still(of_account, "marketing") && still(of_device, "marketing"));
    // And what it refuses is not taken back a second time.
    b.withdraw(&privet, &[]).0.unwrap();
    b.sign_out(&privet);
    assert_eq!(b.cookies["__Host-privet"], own);
    assert_eq!(block_on(privet.verify_consent(&Tenant::default())).unwrap().damage, None);
}

/// The same while the store is down: both wait on the device, through a restart of the server, and both are recorded.
#[test]
fn a_withdrawal_below_an_account_waits_for_the_store() {
    let store = Arc::new(FaultyStore::new(MemoryStore::new()));
    let mut storage = Storage::in_memory().unwrap();
    storage.store = store.clone();
    let (privet, _) = built(common::CATALOGUE, storage.clone());
    let mut b = Browser::default();
    b.answer(&privet, &save(&["marketing", "analytics"])).0.unwrap();
    b.sign_in(&privet, "ann");
    let queued = b.open(&privet).0.granted::<Marketing>().unwrap().record();
    store.fail(true);
    assert!(b.withdraw(&privet, &["marketing"]).0.unwrap().pending);
    assert!(b.open(&privet).0.consent().pending());
    drop(privet);
    store.fail(false);
    let (privet, _) = built(common::CATALOGUE, storage);
    let seen = b.open(&privet).0;
    assert_eq!(privet.pending_withdrawals(), 2, "the device's and the account's");
    block_on(privet.record_pending()).unwrap();
    assert!(!block_on(privet.still_granted(seen.scope(), queued, "marketing")).unwrap());
    assert!(block_on(privet.still_granted(seen.scope(), queued, "analytics")).unwrap());
    let (visit, _) = b.open(&privet);
    assert!(!visit.consent().pending());
    b.close(&visit, Answered::new(200));
    b.sign_out(&privet);
    assert_eq!(b.granted(&privet), ["analytics"]);
}

/// An objection is one whoever made it: the device before somebody signed in, or the account long ago.
#[test]
fn an_objection_of_device_or_account_closes_what_needs_none() {
    const STAT: &str = "stat=1; HttpOnly; Path=/";
    let (privet, clock) = built(&with_exceptions(), Storage::in_memory().unwrap());
    let mut account = Browser::default();
    account.sign_in(&privet, "ann");
    account.answer(&privet, &Answer::RejectAll).0.unwrap();
    let mut device = Browser::default();
    device.answer(&privet, &Answer::RejectAll).0.unwrap();
    let mut open = Browser::default();
    assert!(!set(&privet, &open, GB, "/", STAT).is_empty());
    assert!(set(&privet, &open, DE, "/", STAT).is_empty());
    clock.advance(Duration::from_secs(190 * 86_400));
    device.sign_in(&privet, "bob");
    assert!(set(&privet, &device, GB, "/", STAT).is_empty(), "of the device, below an account");
    open.sign_in(&privet, "ann");
    assert!(set(&privet, &open, GB, "/", STAT).is_empty(), "of the account");
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

/// What an account refuses when it is asked again, after its choice has lapsed or about a category that is new, holds on its
/// other devices, and is one row however often it is said.
#[test]
fn an_account_refuses_when_it_is_asked_again() {
    let storage = Storage::in_memory().unwrap();
    let (privet, clock) = built(common::CATALOGUE, storage.clone());
    let asked = |privet: &Privet| {
        let mut elsewhere = Browser::default();
        elsewhere.sign_in(privet, "ann");
        !elsewhere.open(privet).0.consent().decided()
    };
    let rows = |privet: &Privet| block_on(privet.verify_consent(&Tenant::default())).unwrap().records;
    let mut b = Browser::default();
    b.sign_in(&privet, "ann");
    b.answer(&privet, &save(&["analytics"])).0.unwrap();
    assert!(!asked(&privet));
    for refused in 2..4 {
        clock.advance(Duration::from_secs(190 * 86_400));
        assert!(asked(&privet), "its time is over");
        let mut b = Browser::default();
        b.sign_in(&privet, "ann");
        for _ in 0..3 {
            b.answer(&privet, &Answer::RejectAll).0.unwrap();
            assert_eq!((asked(&privet), rows(&privet)), (false, refused));
        }
    }
    let more = common::CATALOGUE.replace("[[recipient]]", FILMS_CATEGORY) + FILMS;
    let clock_now = clock.now();
    drop(privet);
    let (privet, clock) = built(&more, storage);
    clock.set(clock_now);
    assert!(asked(&privet), "about films");
    let mut b = Browser::default();
    b.sign_in(&privet, "ann");
    b.answer(&privet, &Answer::RejectAll).0.unwrap();
    assert_eq!((asked(&privet), rows(&privet)), (false, 4));
}

/// A sale that was named in spite of the signal stands, also where an older copy of the cookie comes with the signal.
#[test]
fn a_named_grant_is_not_objected_to_by_an_older_cookie() {
    let (privet, _) = plain();
    let mut b = Browser::default();
    b.answer(&privet, &Answer::AcceptAll).0.unwrap();
    b.say(&privet, "x");
    let mut older = Browser { gpc: true, ..b.clone() };
    b.gpc = true;
    b.answer(&privet, &save(&["marketing", "contacts"])).0.unwrap();
    let record = b.open(&privet).0.granted::<Marketing>().unwrap().record();
    let (visit, _) = older.open(&privet);
    older.close(&visit, Answered::new(200));
    block_on(privet.record_objections()).unwrap();
    assert!(block_on(privet.still_granted(&Scope::default(), record, "marketing")).unwrap());
}

/// Whoever signs in on a device with a contact of its own, and has refused contacts for themselves, neither sees it nor takes
/// it away: it is back when they sign out.
#[test]
fn a_contact_of_the_device_survives_somebody_who_signs_in() {
    let (privet, _) = plain();
    let mut ann = Browser::default();
    ann.sign_in(&privet, "ann");
    ann.answer(&privet, &Answer::RejectAll).0.unwrap();
    let mut b = Browser::default();
    b.answer(&privet, &save(&["contacts"])).0.unwrap();
    b.say(&privet, "said on the device");
    let of_device = b.open(&privet).0.granted::<Contacts>().unwrap().record();
    b.sign_in(&privet, "ann");
    for _ in 0..2 {
        assert_eq!(b.texts(&privet), [] as [&str; 0]);
        let (visit, _) = b.open(&privet);
        b.close(&visit, Answered::new(200));
    }
    b.sign_out(&privet);
    assert_eq!(b.texts(&privet), ["said on the device"]);
    // Where both grant it, it still stands on the device's own grant.
    b.sign_in(&privet, "eva");
    b.answer(&privet, &save(&["contacts"])).0.unwrap();
    assert_eq!(b.open(&privet).0.granted::<Contacts>().unwrap().record(), of_device);
    assert_eq!(b.texts(&privet), ["said on the device"]);
}

/// What a person withdraws in between does not make the rest of their choice last longer, and what is over is over in the
/// very visit in which they sign in.
#[test]
fn the_time_of_an_accounts_choice_runs_from_its_grant() {
    let day = |n: u64| Duration::from_secs(n * 86_400);
    let (privet, clock) = plain();
    let mut b = Browser::default();
    b.sign_in(&privet, "ann");
    b.answer(&privet, &save(&["analytics", "marketing"])).0.unwrap();
    clock.advance(day(100));
    b.withdraw(&privet, &["marketing"]).0.unwrap();
    let signed_in = |account: &str| {
        let visit = Browser::default().open(&privet).0;
        block_on(privet.sign_in(&visit, account)).unwrap();
        (visit.consent().allows("analytics"), visit.consent().decided())
    };
    assert_eq!(signed_in("ann"), (true, true));
    clock.advance(day(85));
    assert_eq!(signed_in("ann"), (false, false));
    let mut other = Browser::default();
    other.sign_in(&privet, "bob");
    other.answer(&privet, &Answer::RejectAll).0.unwrap();
    assert_eq!(signed_in("bob"), (false, true));
    clock.advance(day(190));
    assert_eq!(signed_in("bob"), (false, false));
}
