//! Recipients are told of what a visitor took back: once they can be reached, and only what concerns them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that meets something else has failed")]

mod common;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use common::{Browser, save, start};
use data_encoding::BASE64;
use futures_executor::block_on;
use hmac::{Hmac, KeyInit as _, Mac as _};
use privet::catalogue::{CatalogueBuilder, Rule};
use privet::conformance::FaultyStore;
use privet::consent::{Answer, DeliveryProblem, DeliveryReport, DeliveryRequest, RecipientChannel};
use privet::store::{Delivery, MemoryStore, Notification, Storage};
use privet::{Catalogue, Error, FakeClock, KeyRing, Privet, Scope, Tenant};
use serde_json::Value;

const DAY: Duration = Duration::from_secs(86_400);

/// A recipient that answers as it is told, and then well.
#[derive(Clone, Debug, Default)]
struct Partner {
    got: Arc<Mutex<Vec<DeliveryRequest>>>,
    fails: Arc<Mutex<VecDeque<DeliveryProblem>>>,
    /// The recipient that does not answer.
    down: Arc<Mutex<Option<String>>>,
    /// The store that goes down when something is sent.
    breaks: Arc<Mutex<Option<Arc<FaultyStore<MemoryStore>>>>>,
    /// Told of the first that is sent.
    heard: Arc<Mutex<Option<futures_channel::oneshot::Sender<()>>>>,
}

#[async_trait]
impl RecipientChannel for Partner {
    async fn deliver(&self, request: &DeliveryRequest) -> Result<(), DeliveryProblem> {
        self.got.lock().unwrap().push(request.clone());
        if let Some(store) = self.breaks.lock().unwrap().take() {
            store.fail(true);
        }
        if let Some(heard) = self.heard.lock().unwrap().take() {
            heard.send(()).unwrap();
        }
        if self.down.lock().unwrap().as_ref().is_some_and(|down| request.endpoint.contains(down.as_str())) {
            return Err(DeliveryProblem::Unreachable("down".to_owned()));
        }
        self.fails.lock().unwrap().pop_front().map_or(Ok(()), Err)
    }
}

impl Partner {
    fn failing(problems: impl IntoIterator<Item = DeliveryProblem>) -> Self {
        let partner = Self::default();
        partner.fails.lock().unwrap().extend(problems);
        partner
    }

    fn bodies(&self) -> Vec<Value> {
        self.got.lock().unwrap().iter().map(|r| serde_json::from_str(&r.body).unwrap()).collect()
    }
}

fn toml() -> String {
    let recipient = r#"
    [[recipient]]
    id = "exchange"
    name = "Exchange Inc"
    country = "US"
    purpose = { en = "Sells places.", de = "Verkauft Plätze." }
    fields = ["place", "consent_subject"]
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
    format!("{}{recipient}", common::CATALOGUE)
}

fn built(storage: Storage, partner: &Partner) -> (Privet, FakeClock) {
    built_from(&toml(), storage, partner)
}

fn built_from(toml: &str, storage: Storage, partner: &Partner) -> (Privet, FakeClock) {
    let clock = FakeClock::at(start());
    let builder = Privet::builder(Catalogue::from_toml(toml).unwrap())
        .storage(storage)
        .clock(clock.clone())
        .recipient_channel(partner.clone());
    (block_on(builder.build()).unwrap(), clock)
}

fn header(sent: &DeliveryRequest, name: &str) -> String {
    sent.headers.iter().find(|(n, _)| *n == name).unwrap().1.clone()
}

/// As a recipient computes it.
fn signed(sent: &DeliveryRequest, secret: &str) -> String {
    let key = BASE64.decode(secret.strip_prefix("whsec_").unwrap().as_bytes()).unwrap();
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&key).unwrap();
    let (id, at) = (header(sent, "webhook-id"), header(sent, "webhook-timestamp"));
    mac.update(format!("{id}.{at}.{}", sent.body).as_bytes());
    format!("v1,{}", BASE64.encode(&mac.finalize().into_bytes()))
}

fn outbox(privet: &Privet) -> Vec<Notification> {
    block_on(privet.notifications(&Tenant::default(), None, 50)).unwrap()
}

/// WDR-04: two failures, then it is delivered, with the tries to be seen; the message is signed, names the visitor by the
/// recipient's own name for them, and is the same each time.
#[test]
fn wdr_04_told_until_it_is_heard() {
    let partner =
        Partner::failing([DeliveryProblem::Unreachable("no route".to_owned()), DeliveryProblem::Status(500)]);
    let (privet, clock) = built(Storage::in_memory().unwrap(), &partner);
    let mut browser = Browser::default();
    browser.answer(&privet, &Answer::AcceptAll).0.unwrap();
    let record = browser.open(&privet).0.consent().record().unwrap();
    let scope = Scope::default();
    let subject = block_on(privet.recipient_subject(&scope, record, "exchange")).unwrap().unwrap();
    assert_eq!(outbox(&privet), [], "a grant tells nobody");
    browser.withdraw(&privet, &["analytics"]).0.unwrap();
    assert_eq!(outbox(&privet), [], "it is not the recipient's concern");
    browser.withdraw(&privet, &["marketing"]).0.unwrap();
    let state = |privet: &Privet| {
        let [n] = outbox(privet).try_into().unwrap();
        (n.attempts, n.delivery, n.problem)
    };
    assert_eq!(state(&privet), (0, Delivery::Waiting { due: start() }, None));
    let report = |privet: &Privet| {
        let r = block_on(privet.deliver_notifications()).unwrap();
        (r.delivered, r.again, r.given_up)
    };
    assert_eq!(report(&privet), (0, 1, 0));
    assert_eq!(report(&privet), (0, 0, 0), "not before its time");
    let (attempts, Delivery::Waiting { due }, problem) = state(&privet) else { panic!("it waits") };
    assert_eq!((attempts, problem.as_deref()), (1, Some("unreachable: no route")));
    let pause = due.since(start());
    assert!((Duration::from_secs(45)..=Duration::from_secs(60)).contains(&pause), "{pause:?}");
    clock.advance(pause - Duration::from_millis(1));
    assert_eq!(report(&privet), (0, 0, 0), "not a moment before");
    clock.advance(Duration::from_millis(1));
    assert_eq!(report(&privet), (0, 1, 0));
    assert_eq!(state(&privet).2.as_deref(), Some("answered 500"));
    clock.advance(Duration::from_secs(300));
    assert_eq!(report(&privet), (1, 0, 0));
    assert_eq!(state(&privet), (3, Delivery::Delivered { at: privet.now() }, None));
    clock.advance(DAY);
    assert_eq!(report(&privet), (0, 0, 0), "once is enough");
    let bodies = partner.bodies();
    assert_eq!(bodies.len(), 3);
    assert!(bodies.iter().all(|b| *b == bodies[0]));
    assert_eq!(bodies[0]["type"], "consent.withdrawn");
    assert_eq!(bodies[0]["data"]["subject"], subject);
    assert_eq!(bodies[0]["data"]["categories"], serde_json::json!(["marketing"]));
    let text = bodies[0].to_string();
    assert!(!text.contains(&record.encode()));
    let sent = partner.got.lock().unwrap()[2].clone();
    assert_eq!(sent.endpoint, "https://exchange.example/privacy/withdrawals");
    let secret = privet.recipient_secret(&scope, "exchange").unwrap();
    assert_eq!(header(&sent, "webhook-signature"), signed(&sent, &secret));
    let ids: std::collections::BTreeSet<_> =
        partner.got.lock().unwrap().iter().map(|r| r.headers[1].1.clone()).collect();
    assert_eq!(ids.len(), 1, "the recipient can tell that it is the same");
}

/// WDR-04: after a month of tries, or when the endpoint is gone, it is given up on, and stands there for the operator.
#[test]
fn wdr_04_what_is_given_up_on_is_seen() {
    let partner = Partner::failing(vec![DeliveryProblem::Status(503); 60]);
    let (privet, clock) = built(Storage::in_memory().unwrap(), &partner);
    let mut browser = Browser::default();
    browser.answer(&privet, &Answer::AcceptAll).0.unwrap();
    browser.withdraw(&privet, &[]).0.unwrap();
    for _ in 0..40 {
        block_on(privet.deliver_notifications()).unwrap();
        clock.advance(DAY);
    }
    let [n] = outbox(&privet).try_into().unwrap();
    assert!(matches!(n.delivery, Delivery::GivenUp { .. }), "{n:?}");
    let tries = partner.bodies().len();
    assert!((25..=40).contains(&tries), "{tries}");
    block_on(privet.deliver_notifications()).unwrap();
    assert_eq!(partner.bodies().len(), tries);
    // It ends by its own rule, and not before.
    clock.advance(60 * DAY);
    block_on(privet.sweep(privet.now())).unwrap();
    assert_eq!(outbox(&privet).len(), 1);
    clock.advance(40 * DAY);
    block_on(privet.sweep(privet.now())).unwrap();
    assert_eq!(outbox(&privet), []);

    let gone = Partner::failing([DeliveryProblem::Status(410)]);
    let (privet, _) = built(Storage::in_memory().unwrap(), &gone);
    browser = Browser::default();
    browser.answer(&privet, &Answer::AcceptAll).0.unwrap();
    browser.withdraw(&privet, &[]).0.unwrap();
    assert_eq!(block_on(privet.deliver_notifications()).unwrap().given_up, 1);
}

/// WDR-04: a choice without a category tells as a withdrawal does, and so does the browser's signal on a contact.
#[test]
fn wdr_04_every_end_tells() {
    let partner = Partner::default();
    let (privet, _) = built(Storage::in_memory().unwrap(), &partner);
    let mut browser = Browser::default();
    browser.answer(&privet, &Answer::AcceptAll).0.unwrap();
    browser.answer(&privet, &save(&["analytics"])).0.unwrap();
    block_on(privet.deliver_notifications()).unwrap();
    assert_eq!(partner.bodies().len(), 1, "a choice without it");
    let mut signals = Browser::default();
    signals.answer(&privet, &Answer::AcceptAll).0.unwrap();
    let (visit, _) = signals.open(&privet);
    let message = privet::contact::NewMessage::new(privet::contact::Channel::AiSearch, "Hello").unwrap();
    block_on(visit.visitor().post("chat", message)).unwrap();
    signals.close(&visit, common::Answered::new(200));
    signals.gpc = true;
    let (visit, _) = signals.open(&privet);
    signals.close(&visit, common::Answered::new(200));
    block_on(privet.record_objections()).unwrap();
    block_on(privet.deliver_notifications()).unwrap();
    assert_eq!(partner.bodies().len(), 2);
    assert_eq!(partner.bodies()[1]["data"]["act"], "objection");
}

/// WDR-04: an operator who erases a contact takes back the consent to contacts: who got it on that is told.
#[test]
fn wdr_04_an_operators_erasure_tells() {
    let partner = Partner::default();
    let toml = toml().replace(
        r#"gate = { consent = "marketing" }
    "#,
        r#"gate = { consent = "contacts" }
    "#,
    );
    let (privet, _) = built_from(&toml, Storage::in_memory().unwrap(), &partner);
    let mut browser = Browser::default();
    browser.answer(&privet, &Answer::AcceptAll).0.unwrap();
    let (visit, _) = browser.open(&privet);
    let record = visit.consent().record().unwrap();
    let scope = Scope::default();
    let subject = block_on(privet.recipient_subject(&scope, record, "exchange")).unwrap().unwrap();
    let message = privet::contact::NewMessage::new(privet::contact::Channel::AiSearch, "Hello").unwrap();
    block_on(visit.visitor().post("chat", message)).unwrap();
    let contacts = block_on(privet.contacts(&scope, &privet::contact::PageRequest::first(9))).unwrap();
    block_on(privet.erase_contact(&scope, contacts.contacts[0].id)).unwrap();
    block_on(privet.deliver_notifications()).unwrap();
    let [told] = partner.bodies().try_into().unwrap();
    assert_eq!(told["data"]["act"], "revocation");
    assert_eq!(told["data"]["categories"], serde_json::json!(["contacts"]));
    assert_eq!(
        told["data"]["subject"], subject,
        "by the name it had before the person was cut from the record"
    );
}

/// WDR-04: what leaves on a consent has the name that its withdrawal has, for this recipient and for no other, and nothing
/// leaves with it after the withdrawal.
#[test]
fn wdr_04_what_leaves_can_be_found_again() {
    let partner = Partner::default();
    let (privet, _) = built(Storage::in_memory().unwrap(), &partner);
    let mut browser = Browser::default();
    browser.answer(&privet, &Answer::AcceptAll).0.unwrap();
    let (visit, _) = browser.open(&privet);
    let granted = visit.granted::<privet::Marketing>().unwrap();
    let forward = |to: &str| {
        let leaving = visit.forward_to(to).unwrap().field("place", "top").field("consent_subject", "Anna");
        block_on(leaving.on(&granted)).map(|leaving| leaving.today().unwrap())
    };
    let out = forward("exchange").unwrap();
    let subject = out.body["consent_subject"].as_str().unwrap().to_owned();
    assert_eq!(out.left_out, ["consent_subject"], "what the app says it is, is left out");
    assert!(!out.body.to_string().contains(&granted.record().encode()));
    let desk = forward("desk").unwrap();
    assert!(desk.body.get("consent_subject").is_none(), "it is not registered for it");
    let of_desk = block_on(privet.recipient_subject(visit.scope(), granted.record(), "desk")).unwrap();
    assert_ne!(of_desk.unwrap(), subject, "two recipients cannot put theirs together");
    // In another tab, while this request is under way.
    browser.clone().withdraw(&privet, &["marketing"]).0.unwrap();
    assert!(matches!(forward("exchange"), Err(Error::NotGranted { .. })));
    block_on(privet.deliver_notifications()).unwrap();
    assert_eq!(partner.bodies()[0]["data"]["subject"], subject);
}

/// WDR-04: a recipient that is down is tried now and then, not for each that it has to know, and what others have to know
/// does not wait for it.
#[test]
fn wdr_04_nobody_waits_for_a_recipient_that_is_down() {
    let partner = Partner::default();
    *partner.down.lock().unwrap() = Some("exchange".to_owned());
    let other = toml().replace("recipients = [\"exchange\"]", "recipients = [\"exchange\", \"network\"]")
        + r#"
    [[recipient]]
    id = "network"
    name = "Network Inc"
    country = "US"
    purpose = { en = "Buys places.", de = "Kauft Plätze." }
    withdrawal_endpoint = "https://network.example/withdrawals"
    "#;
    let (privet, clock) = built_from(&other, Storage::in_memory().unwrap(), &partner);
    for _ in 0..100 {
        let mut browser = Browser::default();
        browser.answer(&privet, &Answer::AcceptAll).0.unwrap();
        browser.withdraw(&privet, &["marketing"]).0.unwrap();
    }
    let report = block_on(privet.deliver_notifications()).unwrap();
    assert_eq!((report.delivered, report.again + report.left), (100, 100));
    assert!((1..=8).contains(&report.again), "{report:?}");
    assert!(outbox(&privet).iter().all(|n| n.recipient == "network" || n.attempts <= 1));
    // It is back: everything arrives, once.
    *partner.down.lock().unwrap() = None;
    clock.advance(Duration::from_secs(600));
    assert_eq!(block_on(privet.deliver_notifications()).unwrap().delivered, 100);
    clock.advance(DAY);
    assert_eq!(block_on(privet.deliver_notifications()).unwrap(), DeliveryReport::default());
}

/// WDR-04: what was sent and could not be written down as sent is sent again under the same name, when its lease is over.
#[test]
fn wdr_04_what_was_not_written_down_is_sent_again_under_its_name() {
    let partner = Partner::default();
    let faulty = Arc::new(FaultyStore::new(MemoryStore::new()));
    let mut storage = Storage::in_memory().unwrap();
    storage.store = faulty.clone();
    let (privet, clock) = built(storage, &partner);
    let mut browser = Browser::default();
    browser.answer(&privet, &Answer::AcceptAll).0.unwrap();
    browser.withdraw(&privet, &[]).0.unwrap();
    *partner.breaks.lock().unwrap() = Some(faulty.clone());
    assert!(block_on(privet.deliver_notifications()).is_err());
    faulty.fail(false);
    assert_eq!(
        block_on(privet.deliver_notifications()).unwrap(),
        DeliveryReport::default(),
        "its lease runs"
    );
    clock.advance(Duration::from_secs(300));
    assert_eq!(block_on(privet.deliver_notifications()).unwrap().delivered, 1);
    let sent = partner.got.lock().unwrap();
    let id = |r: &DeliveryRequest| r.headers.iter().find(|(n, _)| *n == "webhook-id").unwrap().1.clone();
    assert_eq!((sent.len(), id(&sent[0])), (2, id(&sent[1])));
}

/// WDR-04: while the installation's key changes, the recipient verifies with the secret that it has, and with the next one.
#[test]
fn wdr_04_a_change_of_keys_breaks_no_signature() {
    let partner = Partner::default();
    let mut storage = Storage::in_memory().unwrap();
    let (before, _) = built(storage.clone(), &partner);
    let scope = Scope::default();
    let old = before.recipient_secret(&scope, "exchange").unwrap();
    let mut browser = Browser::default();
    browser.answer(&before, &Answer::AcceptAll).0.unwrap();
    let record = browser.open(&before).0.consent().record().unwrap();
    let subject = block_on(before.recipient_subject(&scope, record, "exchange")).unwrap().unwrap();
    browser.withdraw(&before, &["marketing"]).0.unwrap();
    storage.key_ring = KeyRing::generate().unwrap().with_previous(&storage.key_ring);
    let (after, _) = built(storage, &partner);
    let new = after.recipient_secret(&scope, "exchange").unwrap();
    assert_ne!(old, new);
    assert_eq!(block_on(after.deliver_notifications()).unwrap().delivered, 1);
    assert_eq!(partner.bodies()[0]["data"]["subject"], subject, "the name outlives the key");
    let sent = partner.got.lock().unwrap()[0].clone();
    assert_eq!(
        header(&sent, "webhook-signature"),
        format!("{} {}", signed(&sent, &new), signed(&sent, &old))
    );
}

/// WDR-04: where nothing can tell them, it waits to be seen, and is given up on in the end, so that it ends.
#[test]
fn wdr_04_without_a_channel_it_is_seen_and_ends() {
    let clock = FakeClock::at(start());
    let builder = Privet::builder(Catalogue::from_toml(&toml()).unwrap()).clock(clock.clone());
    let privet = block_on(builder.build()).unwrap();
    for _ in 0..20 {
        let mut browser = Browser::default();
        browser.answer(&privet, &Answer::AcceptAll).0.unwrap();
        browser.withdraw(&privet, &[]).0.unwrap();
    }
    clock.advance(29 * DAY);
    assert_eq!(block_on(privet.deliver_notifications()).unwrap(), DeliveryReport::default());
    assert!(outbox(&privet).iter().all(|n| matches!(n.delivery, Delivery::Waiting { .. })));
    clock.advance(DAY);
    assert_eq!(block_on(privet.deliver_notifications()).unwrap().given_up, 20);
    assert!(
        outbox(&privet).iter().all(|n| n.problem.as_deref().is_some_and(|p| p.contains("recipient_channel")))
    );
    clock.advance(91 * DAY);
    block_on(privet.sweep(privet.now())).unwrap();
    assert_eq!(outbox(&privet), []);
}

/// WDR-04: `run` tells them, beside everything else.
#[test]
fn wdr_04_housekeeping_tells() {
    let partner = Partner::default();
    let (privet, _) = built(Storage::in_memory().unwrap(), &partner);
    let mut browser = Browser::default();
    browser.answer(&privet, &Answer::AcceptAll).0.unwrap();
    browser.withdraw(&privet, &[]).0.unwrap();
    let (asked, heard) = futures_channel::oneshot::channel();
    *partner.heard.lock().unwrap() = Some(asked);
    block_on(privet.clone().run(async { heard.await.unwrap() }));
    assert!(matches!(outbox(&privet)[0].delivery, Delivery::Delivered { .. }));
}

/// WDR-04: a store that was down records the withdrawal later, and the recipient is told then, once.
#[test]
fn wdr_04_told_after_an_outage() {
    let partner = Partner::default();
    let faulty = Arc::new(FaultyStore::new(MemoryStore::new()));
    let mut storage = Storage::in_memory().unwrap();
    storage.store = faulty.clone();
    let (privet, _) = built(storage, &partner);
    let mut browser = Browser::default();
    browser.answer(&privet, &Answer::AcceptAll).0.unwrap();
    faulty.fail(true);
    assert!(browser.withdraw(&privet, &[]).0.unwrap().pending);
    assert!(block_on(privet.deliver_notifications()).is_err());
    faulty.fail(false);
    block_on(privet.record_pending()).unwrap();
    block_on(privet.record_pending()).unwrap();
    block_on(privet.deliver_notifications()).unwrap();
    block_on(privet.deliver_notifications()).unwrap();
    assert_eq!(partner.bodies().len(), 1);
}

/// WDR-06: work that was queued while it was granted is not done after the withdrawal, and not while nobody can say.
#[test]
fn wdr_06_queued_work_asks_when_it_runs() {
    let faulty = Arc::new(FaultyStore::new(MemoryStore::new()));
    let mut storage = Storage::in_memory().unwrap();
    storage.store = faulty.clone();
    let (privet, clock) = built(storage, &Partner::default());
    let mut browser = Browser::default();
    browser.answer(&privet, &Answer::AcceptAll).0.unwrap();
    let record = browser.open(&privet).0.granted::<privet::Analytics>().unwrap().record();
    let scope = Scope::default();
    let job = || block_on(privet.if_granted(&scope, record, "analytics", async || "counted"));
    assert_eq!(job().unwrap(), Some("counted"));
    faulty.fail(true);
    assert!(job().is_err());
    faulty.fail(false);
    browser.withdraw(&privet, &["marketing"]).0.unwrap();
    assert_eq!(job().unwrap(), Some("counted"), "that was something else");
    browser.withdraw(&privet, &["analytics"]).0.unwrap();
    assert_eq!(job().unwrap(), None);
    browser.answer(&privet, &Answer::AcceptAll).0.unwrap();
    let renewed = browser.open(&privet).0.granted::<privet::Analytics>().unwrap().record();
    clock.advance(181 * DAY);
    assert_eq!(
        block_on(privet.if_granted(&scope, renewed, "analytics", async || ())).unwrap(),
        None,
        "lapsed"
    );
}

/// Only an `https` endpoint on the Internet is one.
#[test]
fn an_endpoint_is_public() {
    let bad = |endpoint: &str| {
        let toml = toml().replace("https://exchange.example/privacy/withdrawals", endpoint);
        let found = CatalogueBuilder::from_toml(&toml).unwrap().lint();
        found.iter().any(|f| f.rule == Rule::BadEndpoint)
    };
    for endpoint in [
        "http://exchange.example/",
        "https://user@exchange.example/",
        "https://exchange.example/#x",
        "https://localhost/",
        "https://exchange/",
        "https://db.internal/",
        "https://printer.local/",
        "https://127.0.0.1/",
        "https://10.1.2.3/",
        "https://169.254.169.254/latest/meta-data",
        "https://[::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://[fd00::1]/",
        "ftp://exchange.example/",
        "exchange.example",
        "",
        "https://exchange.localhost/",
    ] {
        assert!(bad(endpoint), "{endpoint}");
    }
    for endpoint in ["https://exchange.example/a?b=c", "https://exchange.example:8443/", "https://9.9.9.9/x"]
    {
        assert!(!bad(endpoint), "{endpoint}");
    }
}
