//! Several instances over one PostgreSQL: a visitor may come to any of them, and any of them may die.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that meets something else has failed"
)]

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, RwLock};

use privet::consent::RecordId;
use privet::contact::{ContactId, Owner, PageRequest};
use privet::store::{ConsentStore as _, ContactQuery, ContactStore as _, ConversationStore as _, Horizon};
use privet::{Catalogue, Privet, Scope, Tenant};
use privet_test_postgres::Cluster;
use privet_tests::client::{Sending, Visitor};
use privet_tests::database::{Backend, Database};
use privet_tests::server::{Framework, Server, Starting, folder};
use privet_tests::until;

const PROGRAM: &str = env!("CARGO_BIN_EXE_chat-under-test");

async fn instance(database: &Database, data: &Path, n: usize) -> Server {
    let framework = if n.is_multiple_of(2) { Framework::Axum } else { Framework::ActixWeb };
    database.below(Starting::new(PROGRAM, data).on(framework)).running().await
}

/// What `GET /privacy/me` shows: the texts that the visitor sent.
async fn texts(visitor: &mut Visitor) -> BTreeSet<String> {
    let me = visitor.get("/privacy/me").await.json();
    let conversations = me["conversations"].as_array().cloned().unwrap_or_default();
    let messages = conversations.iter().flat_map(|c| c["messages"].as_array().cloned().unwrap_or_default());
    messages.filter(|m| m["author"] == "visitor").map(|m| m["text"].as_str().unwrap().to_owned()).collect()
}

async fn all_contacts(privet: &Privet) -> usize {
    privet.contacts(&Scope::default(), &PageRequest::first(500)).await.unwrap().contacts.len()
}

/// Each request to another instance, of another framework: the same site.
#[tokio::test(flavor = "multi_thread")]
async fn a_visitor_may_come_to_any_instance() {
    let Some(database) = Database::fresh(Backend::Postgres) else { return };
    let data = folder();
    let (one, two) = (instance(&database, data.path(), 0).await, instance(&database, data.path(), 1).await);
    let mut visitor = Visitor::new(one.addr);
    let token = visitor.token().await;
    visitor.addr = two.addr;
    let accept = Sending::form("/privacy/consent", format!("action=accept_all&notice={token}"));
    assert_eq!(visitor.send(accept).await.status, 303, "the notice of one is known to the other");
    visitor.addr = one.addr;
    assert_eq!(visitor.say("from the first", "ai-search").await.status, 200);
    visitor.addr = two.addr;
    assert_eq!(visitor.say("from the second", "ai-search").await.status, 200);
    let both = BTreeSet::from(["from the first".to_owned(), "from the second".to_owned()]);
    assert_eq!(texts(&mut visitor).await, both);
    visitor.addr = one.addr;
    assert_eq!(texts(&mut visitor).await, both);
    let storage = database.storage(data.path()).await;
    let catalogue = Catalogue::from_toml(chat_shop::CATALOGUE).unwrap();
    let privet = Privet::builder(catalogue).storage(storage).build().await.unwrap();
    assert_eq!(all_contacts(&privet).await, 1, "one contact, with one conversation");
    assert_eq!(visitor.withdraw().await.status, 303);
    visitor.addr = two.addr;
    assert_eq!(texts(&mut visitor).await, BTreeSet::new());
    assert_eq!(all_contacts(&privet).await, 0);
}

const INSTANCES: usize = 4;
const VISITORS: usize = 24;
/// Messages of one of them.
const MOST: usize = 200;

/// So many times an instance is killed: `PRIVET_TEST_KILLS=200` is the long form.
fn kills() -> usize {
    std::env::var("PRIVET_TEST_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(6)
}

/// Where the instances are now.
type Places = Arc<[RwLock<SocketAddr>; INSTANCES]>;

/// What a visitor was told is done.
#[derive(Debug, Default)]
struct Told {
    sent: BTreeSet<String>,
    /// Withdrawn, and nothing said since.
    withdrawn: bool,
    acts: usize,
    /// What ended with each withdrawal, and with each erasure.
    withdrawals: Vec<Held>,
    erasures: Vec<Held>,
}

/// The contact that somebody was recognised as, and the record it stood on.
#[derive(Clone, Copy, Debug)]
struct Held {
    contact: ContactId,
    record: RecordId,
}

/// What is held of the visitor now; none while nobody answers, and of somebody who has said nothing yet.
async fn held(visitor: &mut Visitor) -> Option<Held> {
    let me = visitor.try_send(Sending::get("/privacy/me")).await.ok().filter(|me| me.status == 200)?.json();
    let contact = me["contact"]["id"].as_str()?.parse().unwrap();
    let id = me["consent"].as_array()?.last()?["id"].as_str()?.to_owned();
    let bytes: Vec<_> =
        (0..id.len()).step_by(2).map(|at| u8::from_str_radix(&id[at..at + 2], 16).unwrap()).collect();
    Some(Held { contact, record: RecordId::from_bytes(bytes.try_into().unwrap()) })
}

/// Agrees, writes, and, if they are of those who do, withdraws or asks an operator for erasure, at whichever instance is next,
/// until it is enough.
async fn live(
    n: usize,
    desk: Privet,
    places: Places,
    enough: Arc<AtomicBool>,
    acts: Arc<AtomicUsize>,
) -> (Visitor, Told) {
    let (changes_mind, asks_for_erasure) = (n.is_multiple_of(3), n % 3 == 1);
    let place = |round: usize| *places[(n + round) % INSTANCES].read().unwrap();
    let ip = [127, 0, 2, u8::try_from(n).unwrap()];
    let mut visitor = Visitor { from: ip, ..Visitor::new(place(0)) };
    let (mut told, mut round, mut granted) = (Told::default(), 0, false);
    while !enough.load(Ordering::Relaxed) {
        round += 1;
        visitor.addr = place(round);
        if !granted {
            let Ok(state) = visitor.try_send(Sending::get("/privacy/consent")).await else { continue };
            if state.status != 200 {
                continue;
            }
            let token = state.json()["notice"].as_str().unwrap().to_owned();
            let form = format!("action=accept_all&notice={token}");
            let done = visitor.try_send(Sending::form("/privacy/consent", form)).await;
            granted = done.is_ok_and(|answer| answer.status == 303);
            told.acts += usize::from(granted);
        } else if asks_for_erasure && round.is_multiple_of(5) {
            let Some(held) = held(&mut visitor).await else { continue };
            told.sent.clear();
            if desk.erase_contact(&Scope::default(), held.contact).await.is_ok() {
                told.erasures.push(held);
                told.acts += 1;
            }
        } else if changes_mind && round.is_multiple_of(5) {
            let held = held(&mut visitor).await;
            let done = visitor.try_send(Sending::form("/privacy/withdraw", "")).await;
            // Without an answer it may have happened or not: nothing said before can be counted on.
            told.sent.clear();
            told.withdrawn = done.is_ok_and(|answer| answer.status == 303);
            granted &= !told.withdrawn;
            told.withdrawals.extend(held.filter(|_| told.withdrawn));
            told.acts += usize::from(told.withdrawn);
        } else if told.sent.len() >= MOST {
            // As many as a visitor is shown: the others would not be looked at.
            let _ = visitor.try_send(Sending::get("/privacy/consent")).await;
        } else {
            let text = format!("{n}-{round}");
            let body = serde_json::json!({ "text": text, "channel": "ai-search" });
            let done = visitor.try_send(Sending::json("/chat/messages", &body)).await;
            if done.is_ok_and(|answer| answer.status == 200) {
                // What a withdrawal without an answer ended goes on in a chat of the visit.
                granted = visitor.cookies.contains_key("__Host-privet-contact");
                told.acts += 1;
                if granted {
                    told.sent.insert(text);
                    told.withdrawn = false;
                }
            }
        }
        acts.fetch_add(1, Ordering::Relaxed);
    }
    (visitor, told)
}

/// P7, P8: four instances and mixed traffic; one of them is killed again and again, and the database as well in between.
/// Whatever was acknowledged is there, what was withdrawn or erased is not, no counter is off, and the chain is whole.
#[tokio::test(flavor = "multi_thread")]
async fn every_acknowledged_act_outlives_instances_and_the_database() {
    let Some(cluster) = Cluster::primary() else { return };
    let database = Database::Postgres { url: cluster.url(), schema: "privet".to_owned() };
    let data = folder();
    let mut servers = Vec::new();
    for n in 0..INSTANCES {
        servers.push(instance(&database, data.path(), n).await);
    }
    let places: Vec<_> = servers.iter().map(|server| RwLock::new(server.addr)).collect();
    let places: Places = Arc::new(places.try_into().unwrap());
    let (enough, acts) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    // Where operators sit; it outlives the instances, and the database does not outlive it.
    let storage = database.storage(data.path()).await;
    let catalogue = Catalogue::from_toml(chat_shop::CATALOGUE).unwrap();
    let contacts = catalogue.category("contacts").unwrap().code;
    let privet = Privet::builder(catalogue).storage(storage.clone()).build().await.unwrap();
    let visitor = |n| tokio::spawn(live(n, privet.clone(), places.clone(), enough.clone(), acts.clone()));
    let living: Vec<_> = (0..VISITORS).map(visitor).collect();
    for kill in 0..kills() {
        let before = acts.load(Ordering::Relaxed);
        until("there is load", async || acts.load(Ordering::Relaxed) >= before + 150).await;
        if kill % 3 == 2 {
            cluster.kill();
            cluster.start_again();
        }
        let which = kill % INSTANCES;
        let old = std::mem::replace(&mut servers[which], instance(&database, data.path(), which).await);
        old.kill().await;
        *places[which].write().unwrap() = servers[which].addr;
    }
    enough.store(true, Ordering::Relaxed);
    let mut visitors = Vec::new();
    for visitor in living {
        visitors.push(visitor.await.unwrap());
    }
    let all: usize = visitors.iter().map(|(_, told)| told.acts).sum();
    assert!(all > 100, "{all} acknowledged acts are few");

    privet.sweep(privet.now()).await.unwrap();
    let report = privet.verify_consent(&Tenant::default()).await.unwrap();
    assert_eq!(report.damage, None, "{report:?}");
    let (mut withdrawals, mut erasures) = (Vec::new(), Vec::new());
    for (mut visitor, told) in visitors {
        visitor.addr = servers[0].addr;
        let there = texts(&mut visitor).await;
        assert!(there.is_superset(&told.sent), "acknowledged and gone: {:?}", told.sent.difference(&there));
        // A chat of the visit is what remains of it, at most.
        let recognised = visitor.cookies.contains_key("__Host-privet-contact");
        assert!(!told.withdrawn || !recognised, "withdrawn and recognised");
        withdrawals.extend(told.withdrawals);
        erasures.extend(told.erasures);
    }
    let (scope, horizon) = (Scope::default(), Horizon::unlimited(privet.now()));
    assert!(withdrawals.len() > 10 && erasures.len() > 10, "{} and {}", withdrawals.len(), erasures.len());
    for Held { contact, record } in withdrawals {
        // One that the store could not take at once came with the visitor's next request, and is taken soon after that.
        until("what was withdrawn is gone", async || {
            let latest = storage.store.latest_record(&scope, record).await.unwrap().unwrap();
            !latest.grants(contacts, privet.now())
                && !storage.store.contact_lives(&scope, contact).await.unwrap()
        })
        .await;
    }
    for Held { contact, record } in erasures {
        assert!(!storage.store.contact_lives(&scope, contact).await.unwrap(), "erased and there");
        assert_eq!(storage.store.record(&scope, record).await.unwrap(), None, "its person is cut from it");
    }
    let listed = storage.store.contacts(&scope, &ContactQuery::first(500), &horizon).await.unwrap();
    assert!(!listed.is_empty());
    for contact in listed {
        let id: ContactId = contact.id;
        let owned = storage.store.conversations(&scope, Owner::Contact(id), 500, &horizon).await.unwrap();
        assert_eq!(owned.len(), contact.conversations as usize, "the counter is a recount");
    }
}
