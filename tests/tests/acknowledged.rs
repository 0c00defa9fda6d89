//! Decisions under SIGKILL: what was acknowledged is in the chain, and the chain is whole.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that meets something else has failed")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use privet::consent::{Act, RecordId};
use privet::store::ConsentStore as _;
use privet::{Catalogue, Privet, Scope, Tenant};
use privet_tests::client::{Sending, Visitor};
use privet_tests::database::{Backend, Database};
use privet_tests::server::{Framework, Starting, folder};
use privet_tests::until;
use rstest::rstest;

const PROGRAM: &str = env!("CARGO_BIN_EXE_chat-under-test");
/// The last one's number; they count from nought.
const VISITORS: u8 = u8::MAX;
const ROUNDS: usize = 3;

/// What a visitor was told is done: the record of each grant, as the cookie has it, and whether its withdrawal was
/// acknowledged too.
type Acknowledged = Vec<(RecordId, bool)>;

/// Grants and withdraws in turn until the server is gone in the middle of it.
async fn decide(visitor: &mut Visitor, token: &str, acts: &AtomicUsize) -> Acknowledged {
    let mut acknowledged = Acknowledged::default();
    loop {
        let grant = Sending::form("/privacy/consent", format!("action=accept_all&notice={token}"));
        match visitor.try_send(grant).await {
            Ok(answer) if answer.status == 303 => {
                acknowledged.push((visitor.record().expect("a grant has a record"), false));
            }
            Ok(answer) => assert_ne!(answer.status, 429, "each comes from an address of its own"),
            Err(_) => return acknowledged,
        }
        acts.fetch_add(1, Ordering::Relaxed);
        match visitor.try_send(Sending::form("/privacy/withdraw", "")).await {
            Ok(answer) if answer.status == 303 => {
                assert_eq!(visitor.record(), None);
                if let Some((_, withdrawn)) = acknowledged.last_mut() {
                    *withdrawn = true;
                }
            }
            Ok(_) => {}
            Err(_) => return acknowledged,
        }
        acts.fetch_add(1, Ordering::Relaxed);
    }
}

async fn look(database: &Database, data: &Path, all: &[Acknowledged]) -> u64 {
    let storage = database.storage(data).await;
    let catalogue = Catalogue::from_toml(chat_shop::CATALOGUE).unwrap();
    let privet = Privet::builder(catalogue).storage(storage.clone()).build().await.unwrap();
    let report = privet.verify_consent(&Tenant::default()).await.unwrap();
    assert_eq!(report.damage, None, "{report:?}");
    let scope = Scope::default();
    for (id, withdrawn) in all.iter().flatten() {
        let record = storage.store.record(&scope, *id).await.unwrap();
        assert_eq!(record.expect("it was acknowledged").act, Act::Grant);
        let latest = storage.store.latest_record(&scope, *id).await.unwrap().unwrap();
        assert!(!withdrawn || latest.act == Act::Withdrawal, "an acknowledged withdrawal is gone");
    }
    let acknowledged = all.iter().flatten().map(|(_, withdrawn)| 1 + u64::from(*withdrawn));
    assert!(report.records >= acknowledged.sum(), "{report:?}");
    report.records
}

/// REC-04, P8: hundreds of visitors decide at once, over HTTP; the server is killed in the middle, again and again. Every
/// grant and every withdrawal that was acknowledged is in the chain, and the chain is whole, with what the ledger knows.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn rec_04_every_acknowledged_decision_is_in_the_chain_after_sigkill(
    #[values(Framework::Axum, Framework::ActixWeb)] framework: Framework,
    #[values(Backend::Files, Backend::Postgres)] backend: Backend,
) {
    let Some(database) = Database::fresh(backend) else { return };
    let data = folder();
    let mut all: Vec<Acknowledged> = Vec::new();
    let mut records = 0;
    for round in 0..ROUNDS {
        let server = database.below(Starting::new(PROGRAM, data.path()).on(framework)).running().await;
        let addr = server.addr;
        let token: Arc<str> = Visitor::new(addr).token().await.into();
        let acts = Arc::new(AtomicUsize::new(0));
        let deciding: Vec<_> = (0..=VISITORS)
            .map(|n| {
                let (token, acts) = (token.clone(), acts.clone());
                let mut visitor = Visitor { from: [127, 0, 1, n], ..Visitor::new(addr) };
                tokio::spawn(async move { decide(&mut visitor, &token, &acts).await })
            })
            .collect();
        // Everybody is at it; each round a little later than the one before.
        let enough = 300 + 150 * round;
        until("there is load", async || acts.load(Ordering::Relaxed) >= enough).await;
        server.kill().await;
        for visitor in deciding {
            all.push(visitor.await.unwrap());
        }
        let now = look(&database, data.path(), &all).await;
        assert!(now > records, "the chain goes on");
        records = now;
    }
}
