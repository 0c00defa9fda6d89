//! Several instances over one PostgreSQL: a visitor may come to any of them, and any of them may die.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that meets something else has failed"
)]

mod judged;
mod killed;
mod lease;
mod people;
mod promoted;
mod recipe;

use std::collections::BTreeSet;
use std::path::Path;

use privet::contact::PageRequest;
use privet::{Catalogue, Privet, Scope, Storage};
use privet_tests::client::{Sending, Visitor};
use privet_tests::database::{Backend, Database};
use privet_tests::server::{Framework, Server, Starting, folder};
use rstest::rstest;

const PROGRAM: &str = env!("CARGO_BIN_EXE_chat-under-test");

/// One of several, that is yet to be started: every other one is of the other framework.
fn starting(database: &Database, data: &Path, n: usize) -> Starting {
    let framework = if n.is_multiple_of(2) { Framework::Axum } else { Framework::ActixWeb };
    database.below(Starting::new(PROGRAM, data).on(framework))
}

async fn instance(database: &Database, data: &Path, n: usize) -> Server {
    starting(database, data, n).running().await
}

/// The installation, as the test has it.
async fn installation(storage: Storage) -> Privet {
    let catalogue = Catalogue::from_toml(chat_shop::CATALOGUE).unwrap();
    Privet::builder(catalogue).storage(storage).build().await.unwrap()
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
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_visitor_may_come_to_any_instance(#[values(Backend::Postgres, Backend::Pooled)] backend: Backend) {
    let Some(database) = Database::fresh(backend) else { return };
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
    let privet = installation(database.storage(data.path()).await).await;
    assert_eq!(all_contacts(&privet).await, 1, "one contact, with one conversation");
    assert_eq!(visitor.withdraw().await.status, 303);
    visitor.addr = two.addr;
    assert_eq!(texts(&mut visitor).await, BTreeSet::new());
    assert_eq!(all_contacts(&privet).await, 0);
}
