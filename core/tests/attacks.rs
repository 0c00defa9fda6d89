//! What somebody tries, or runs into, who shares a browser, comes back late, or meets a store that is down.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]
mod common;

use async_trait::async_trait;
use common::{Answered, Browser, save, start};
use futures_executor::block_on;
use privet::conformance::FaultyStore;
use privet::consent::{
    Answer, Decided, DeliveryProblem, DeliveryRequest, Method, Provenance, RecipientChannel, Regimes,
};
use privet::contact::{Channel, NewMessage, PageRequest};
use privet::ip::{CountryCode, CountryLookup};
use privet::store::{MemoryStore, Storage};
use privet::{Catalogue, Contacts, FakeClock, Marketing, Privet, Scope, Tenant};
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[derive(Debug)]
struct File;
impl CountryLookup for File {
    fn lookup(&self, ip: IpAddr) -> Option<CountryCode> {
        CountryCode::new(match ip.to_string().as_str() {
            "9.0.0.1" => "DE",
            "9.0.0.2" => "GB",
            "9.0.0.3" => "FR",
            "9.0.0.4" => "US",
            _ => return None,
        })
    }
}

fn built(toml: &str, storage: Storage) -> (Privet, FakeClock) {
    let clock = FakeClock::at(start());
    let b = Privet::builder(Catalogue::from_toml(toml).unwrap())
        .storage(storage)
        .clock(clock.clone())
        .countries(File)
        .regimes(Regimes::by_country().established_in(CountryCode::new("US").unwrap()))
        .account_consent();
    (block_on(b.build()).unwrap(), clock)
}

fn plain() -> (Privet, FakeClock) {
    built(common::CATALOGUE, Storage::in_memory().unwrap())
}

fn sign_in(privet: &Privet, browser: &mut Browser, account: &str) {
    let (visit, _) = browser.open(privet);
    block_on(privet.sign_in(&visit, account)).unwrap();
    browser.close(&visit, Answered::new(303));
}

fn sign_out(privet: &Privet, browser: &mut Browser) {
    let (visit, _) = browser.open(privet);
    block_on(privet.sign_out(&visit)).unwrap();
    browser.close(&visit, Answered::new(303));
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
    sign_in(&privet, &mut b, "ann");
    b.answer(&privet, &save(&["analytics"])).0.unwrap();
    store.fail(true);
    assert!(b.withdraw(&privet, &[]).0.unwrap().pending);
    store.fail(false);
    (privet, storage, store, b)
}

fn say(browser: &mut Browser, privet: &Privet, text: &str) {
    let (visit, _) = browser.open(privet);
    block_on(visit.visitor().post("chat", NewMessage::new(Channel::AiSearch, text).unwrap())).unwrap();
    browser.close(&visit, Answered::new(200));
}

fn texts(browser: &Browser, privet: &Privet) -> Vec<String> {
    let (visit, _) = browser.open(privet);
    block_on(visit.visitor().messages()).unwrap().into_iter().map(|m| m.text).collect()
}

#[test]
fn an_account_does_not_read_what_another_said() {
    let (privet, _) = plain();
    let mut other = Browser::default();
    sign_in(&privet, &mut other, "bob");
    other.answer(&privet, &save(&["contacts"])).0.unwrap();

    let mut b = Browser::default();
    sign_in(&privet, &mut b, "ann");
    b.answer(&privet, &save(&["contacts"])).0.unwrap();
    say(&mut b, &privet, "ann's secret");
    sign_in(&privet, &mut b, "bob");
    let t = texts(&b, &privet);
    let data = serde_json::to_string(&block_on(b.open(&privet).0.visitor().data()).unwrap()).unwrap();
    assert!(t.is_empty() && !data.contains("ann's secret"), "bob reads {t:?}");
}

#[test]
fn after_a_restart_of_the_browser_neither() {
    let (privet, _) = plain();
    let mut b = Browser::default();
    sign_in(&privet, &mut b, "ann");
    b.answer(&privet, &save(&["contacts"])).0.unwrap();
    say(&mut b, &privet, "ann's secret");
    restart(&mut b);
    sign_in(&privet, &mut b, "bob");
    b.answer(&privet, &save(&["contacts"])).0.unwrap();
    let t = texts(&b, &privet);
    assert!(t.is_empty(), "bob reads {t:?}");
}

#[test]
fn signing_in_again_does_not_undo_a_withdrawal_that_waits() {
    let (privet, _, _, mut b) = withdrawn_meanwhile();
    sign_in(&privet, &mut b, "ann"); // session resumed, before the tick of run()
    assert_eq!(b.granted(&privet), [] as [&str; 0], "undone by sign_in");
}

#[test]
fn the_signal_ends_a_sale_whatever_was_withdrawn_meanwhile() {
    let (privet, _) = plain();
    let mut b = Browser::default();
    sign_in(&privet, &mut b, "ann");
    b.answer(&privet, &save(&["analytics", "marketing"])).0.unwrap();
    b.gpc = true; // switched on mid-session
    assert_eq!(b.granted(&privet), ["analytics"]);
    b.withdraw(&privet, &["analytics"]).0.unwrap();
    sign_in(&privet, &mut b, "ann"); // signs in with the signal
    let mut silent = Browser::default();
    sign_in(&privet, &mut silent, "ann");
    assert_eq!(silent.granted(&privet), [] as [&str; 0], "sale survives the signal");
}

#[test]
fn what_was_granted_despite_the_signal_outlives_another_withdrawal() {
    let (privet, _) = plain();
    let mut b = Browser { gpc: true, ..Browser::default() };
    b.answer(&privet, &save(&["analytics", "marketing", "contacts"])).0.unwrap();
    b.withdraw(&privet, &["analytics"]).0.unwrap();
    say(&mut b, &privet, "x");
    let _ = texts(&b, &privet);
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
    sign_in(&privet, &mut b, "ann");
    b.answer(&privet, &save(&["contacts"])).0.unwrap(); // refuses marketing
    say(&mut b, &privet, "x");
    sign_in(&privet, &mut desk, "ann");
    assert_eq!(desk.granted(&privet), ["contacts"]);
    sign_out(&privet, &mut desk);
    let c = block_on(privet.contacts(&Scope::default(), &PageRequest::first(10))).unwrap().contacts;
    block_on(privet.erase_contact(&Scope::default(), c[0].id)).unwrap();
    sign_in(&privet, &mut desk, "ann");
    assert!(
        !desk.granted(&privet).contains(&"marketing".to_owned()),
        "marketing was refused for the account: {:?}",
        desk.granted(&privet)
    );
}

/// 5: stale account cookie refuses: recipient is not told
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
    sign_in(&privet, &mut a, "ann");
    sign_in(&privet, &mut b, "ann"); // b's cookie: nothing decided
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
const EX: &str = r#"
    [[service]]
    id = "own"
    provider = "Garden Shop"
    purpose = { en = "Counts and adapts.", de = "Zählt und passt an." }
    label = { en = "Own", de = "Eigenes" }
    legal_basis = "legitimate-interests"
    [[service.entry]]
    name = "stat"
    purpose = { en = "Counts.", de = "Zählt." }
    duration = "30 days"
    trigger = "server"
    gate = { unless_objected = "analytics", exceptions = ["uk-statistics"] }
    [[service.entry]]
    name = "audience"
    purpose = { en = "Counts.", de = "Zählt." }
    duration = "395 days"
    trigger = "server"
    path = ["/a", "/"]
    gate = { unless_objected = "analytics", exceptions = ["fr-audience-measurement"], attests = ["sole-purpose", "for-the-publisher-only", "anonymous-statistics", "no-cross-site", "no-matching", "not-shared", "address-cut"] }
"#;

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
    sign_in(&privet, &mut b, "ann");
    b.answer(&privet, &save(&["contacts"])).0.unwrap();
    let acc = b.open(&privet).0.consent().record().unwrap();
    let got = b.open(&privet).0.granted::<Contacts>().unwrap().record();
    assert_eq!(got, acc, "stands on a stale record of the device");
}

#[test]
fn the_signal_in_mid_session_reaches_the_account() {
    let (privet, _) = plain();
    let mut b = Browser::default();
    sign_in(&privet, &mut b, "ann");
    b.answer(&privet, &save(&["marketing", "contacts"])).0.unwrap();
    say(&mut b, &privet, "x");
    b.gpc = true;
    let (v, _) = b.open(&privet);
    b.close(&v, Answered::new(200));
    block_on(privet.record_objections()).unwrap();
    let mut silent = Browser::default();
    sign_in(&privet, &mut silent, "ann");
    assert_eq!(silent.granted(&privet), ["contacts"], "the account is still sold");
}

#[test]
fn nobody_writes_into_or_erases_the_contact_of_another() {
    let (privet, _) = plain();
    let mut b = Browser::default();
    sign_in(&privet, &mut b, "ann");
    b.answer(&privet, &save(&["contacts"])).0.unwrap();
    say(&mut b, &privet, "ann's secret");
    let n = || block_on(privet.contacts(&Scope::default(), &PageRequest::first(10))).unwrap().contacts;
    let anns = n()[0].id;
    restart(&mut b);
    sign_in(&privet, &mut b, "bob");
    b.answer(&privet, &save(&["contacts"])).0.unwrap();
    say(&mut b, &privet, "bob's");
    assert_eq!(texts(&b, &privet), ["bob's"]);
    b.withdraw(&privet, &[]).0.unwrap();
    assert!(n().iter().any(|c| c.id == anns), "bob erased ann's contact");
}

#[test]
fn nor_does_it_once_the_withdrawal_is_recorded() {
    let (privet, _, _, mut b) = withdrawn_meanwhile();
    sign_in(&privet, &mut b, "ann");
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
    sign_in(&privet, &mut b, "ann");
    b.answer(&privet, &save(&["contacts"])).0.unwrap();
    say(&mut b, &privet, "hello");
    assert_eq!(texts(&b, &privet), ["hello"]);
    let _ = block_on(privet.sweep(start())).unwrap();
    assert_eq!(texts(&b, &privet), ["hello"], "agreed anew, and frozen");
}

#[test]
fn a_refusal_pressed_again_is_one_record() {
    let (privet, _) = plain();
    let mut b = Browser::default();
    sign_in(&privet, &mut b, "ann");
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
    say(&mut b, &privet, "said in the session");
    b.answer(&privet, &save(&["contacts"])).0.unwrap();
    say(&mut b, &privet, "said as contact");
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
    sign_in(&privet, &mut b, "ann");
    clock.advance(Duration::from_secs(190 * 86_400));
    let mut silent = Browser::default();
    sign_in(&privet, &mut silent, "ann");
    assert!(!allows(&privet, &silent, "9.0.0.4", "marketing"), "the account is sold again");
}

#[test]
fn a_withdrawal_erases_what_the_account_said_wherever_it_said_it() {
    let (privet, _) = plain();
    let mut b = Browser::default();
    sign_in(&privet, &mut b, "ann");
    b.answer(&privet, &save(&["contacts"])).0.unwrap();
    say(&mut b, &privet, "ann's secret");
    let mut anns_phone = Browser::default();
    restart(&mut b);
    sign_in(&privet, &mut b, "bob");
    b.answer(&privet, &save(&["contacts"])).0.unwrap();
    say(&mut b, &privet, "bob's");
    sign_in(&privet, &mut anns_phone, "ann");
    anns_phone.withdraw(&privet, &[]).0.unwrap();
    let t = texts(&b, &privet);
    assert!(!t.contains(&"ann's secret".to_owned()), "ann withdrew, and bob still reads {t:?}");
}

#[test]
fn a_shorter_choice_life_signs_nobody_out() {
    let storage = Storage::in_memory().unwrap();
    let (privet, _) = built(common::CATALOGUE, storage.clone());
    let mut b = Browser::default();
    sign_in(&privet, &mut b, "ann");
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
    sign_in(&privet, &mut desk, "ann");
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
    sign_in(&privet, &mut p, "ann");
    p.answer(&privet, &save(&["analytics"])).0.unwrap();
    let next = common::CATALOGUE.replace("id = \"marketing\"", "id = \"marketing\"\n    purpose_version = 3");
    let (privet, _) = built(&next, storage);
    let mut b = Browser::default();
    b.answer(&privet, &save(&["marketing"])).0.unwrap();
    sign_in(&privet, &mut b, "ann");
    b.answer(&privet, &save(&["marketing"])).0.unwrap();
    assert_eq!(b.granted(&privet), ["marketing"], "the answer was to grant marketing");
}

#[test]
fn a_refusal_counts_from_whatever_form() {
    let (privet, _) = built(&format!("{}{EX}", common::CATALOGUE), Storage::in_memory().unwrap());
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
    sign_out(&privet, &mut b);
    let mut elsewhere = Browser::default();
    sign_in(&privet, &mut elsewhere, "ann");
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
            sign_in(&privet, &mut b, &account);
            b.answer(&privet, &save(choice)).0.unwrap();
            clock.advance(Duration::from_secs(190 * 86_400));
            let mut later = Browser::default();
            sign_in(&privet, &mut later, &account);
            assert!(later.open(&privet).0.signed_in(), "{account}");
            assert_eq!(later.granted(&privet), [] as [&str; 0]);
            later.answer(&privet, &save(&["analytics"])).0.unwrap();
            let mut elsewhere = Browser::default();
            sign_in(&privet, &mut elsewhere, &account);
            assert_eq!(elsewhere.granted(&privet), ["analytics"]);
        }
    }
}
