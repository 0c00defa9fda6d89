//! An installation with something of everything in it, and the PostgreSQL that it goes to.
#![allow(clippy::unwrap_used, clippy::panic, dead_code, unreachable_pub, reason = "helpers of tests")]

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use futures_executor::block_on;
use migrate::Move;
use privet::consent::{Answer, DeliveryProblem, DeliveryRequest, RecipientChannel};
use privet::contact::{Channel, ContactId, ConversationId, NewMessage, PageRequest};
use privet::portal::{Operator, Portal, Role};
use privet::retention::{DataClass, RetentionRule};
use privet::{Catalogue, FakeClock, KeyRing, Privet, Scope, Site, Storage, Tenant};
use privet_postgres::PostgresOptions;
use privet_test_postgres::{fresh_name, own_server};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio::runtime::Runtime;

use crate::common::{Answered, Browser, CATALOGUE, save, start};
use crate::roles;

const ADS: &str = r#"
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

/// A recipient that is never there.
#[derive(Debug)]
struct Deaf;

#[async_trait]
impl RecipientChannel for Deaf {
    async fn deliver(&self, _: &DeliveryRequest) -> Result<(), DeliveryProblem> {
        Err(DeliveryProblem::Unreachable("nobody answers".to_owned()))
    }
}

pub fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// The app on a storage.
pub fn app(storage: Storage) -> privet::Result<Privet> {
    let builder = Privet::builder(Catalogue::from_toml(&format!("{CATALOGUE}{ADS}")).unwrap())
        .storage(storage)
        .clock(FakeClock::at(start()))
        // All of them come from one address.
        .grants_per_address(10_000, 1_000)
        .recipient_channel(Deaf);
    block_on(builder.build())
}

pub fn on_sqlite(folder: &Path) -> Privet {
    app(block_on(privet_sqlite::open(folder)).unwrap()).unwrap()
}

pub fn ring(folder: &Path) -> KeyRing {
    KeyRing::from_file(folder.join("privet.key")).unwrap()
}

/// Where the parts of an installation are in PostgreSQL: the URL and the schema of each.
#[derive(Clone)]
pub struct Home {
    pub data: (String, String),
    pub keys: (String, String),
    pub ledger: (String, String),
    pub walled: bool,
}

impl Home {
    /// All of it in one schema.
    pub fn one(url: &str) -> Self {
        let place = (url.to_owned(), fresh_name());
        Self { data: place.clone(), keys: place.clone(), ledger: place, walled: false }
    }

    /// The move into it.
    pub fn job(&self, folder: &Path) -> Move {
        let job = Move::new(folder, &self.data.0)
            .schema(&self.data.1)
            .keys_url(&self.keys.0)
            .keys_schema(&self.keys.1);
        let job = job.ledger_url(&self.ledger.0).ledger_schema(&self.ledger.1);
        if self.walled { job.row_security() } else { job }
    }

    /// What tells the program of it, beside the URL of the data.
    pub fn words(&self) -> Vec<&str> {
        let mut words = vec!["--schema", &self.data.1];
        for (name, schema, (url, of)) in
            [("--keys-url", "--keys-schema", &self.keys), ("--ledger-url", "--ledger-schema", &self.ledger)]
        {
            if *url != self.data.0 {
                words.extend([name, url]);
            }
            if *of != self.data.1 {
                words.extend([schema, of]);
            }
        }
        words.extend(self.walled.then_some("--row-security"));
        words
    }

    /// The app on it; the runtime has to be entered.
    pub fn open(&self, rt: &Runtime, ring: KeyRing) -> privet::Result<Privet> {
        let at = |(url, schema): &(String, String)| -> privet::Result<PostgresOptions> {
            let options = PostgresOptions::new(url)?.schema(schema).connections(4);
            Ok(if self.walled { options.row_security() } else { options })
        };
        let store = rt.block_on(at(&self.data)?.store())?;
        let keys = rt.block_on(at(&self.keys)?.key_store())?;
        let ledger = rt.block_on(at(&self.ledger)?.ledger())?;
        app(Storage::new(Arc::new(store), Arc::new(keys), Arc::new(ledger), ring))
    }
}

/// The URL of a database that nobody else has, for the role of another URL.
pub fn another_database(rt: &Runtime, url: &str) -> String {
    let name = fresh_name();
    // The role that makes its own schemas is of the tests' own server, where somebody else makes its databases.
    let (maker, owner) = if url.contains(roles::APP) {
        (own_server().unwrap().url(), format!("OWNER {}", roles::APP))
    } else {
        (url, String::new())
    };
    rt.block_on(async {
        let mut connection = PgConnection::connect(maker).await.unwrap();
        let sql = format!("CREATE DATABASE \"{name}\" {owner}");
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
    });
    let (before, more) = url.split_once('?').unwrap_or((url, ""));
    format!("{}/{name}?{more}", before.rsplit_once('/').unwrap().0)
}

/// The app on PostgreSQL; the runtime has to be entered.
pub fn on_postgres(rt: &Runtime, url: &str, schema: &str, ring: KeyRing) -> privet::Result<Privet> {
    let options = PostgresOptions::new(url)?.schema(schema).connections(4);
    app(rt.block_on(options.storage(ring))?)
}

pub fn officer(privet: &Privet) -> Portal {
    let operator = Operator::new(Tenant::default(), "Olga", Role::PrivacyOfficer).unwrap();
    privet.portal(&operator, &Site::default()).unwrap()
}

/// A visitor with consent to contacts who asks a person something.
pub fn asks(privet: &Privet, text: &str) -> (Browser, ContactId, ConversationId) {
    let mut browser = Browser::default();
    browser.answer(privet, &save(&["contacts"])).0.unwrap();
    let (visit, _) = browser.open(privet);
    let message = NewMessage::new(Channel::LiveSupport, text).unwrap();
    let posted = block_on(visit.visitor().post("chat", message)).unwrap();
    browser.close(&visit, Answered::new(200));
    (browser, posted.contact.unwrap(), posted.conversation)
}

/// Who is left of a whole house.
pub struct Visitors {
    pub anna: Browser,
    pub anna_id: ContactId,
    pub anna_chat: ConversationId,
    pub erased: Browser,
    pub erased_id: ContactId,
}

/// Something of everything that privet keeps.
pub fn furnish(privet: &Privet) -> Visitors {
    let scope = Scope::default();
    let olga = officer(privet);
    let (mut anna, anna_id, anna_chat) = asks(privet, "where are the hedges?");
    anna.say(privet, "and the \u{1f33f}?");
    block_on(olga.answer(anna_chat, "in aisle three")).unwrap();
    block_on(olga.add_note(anna_id, "polite")).unwrap();
    block_on(olga.erase_message(anna_chat, 1)).unwrap();
    let (_, blocked, _) = asks(privet, "buy my pills");
    block_on(olga.set_blocked(blocked, true)).unwrap();
    for n in 0..20 {
        asks(privet, &format!("question {n}"));
    }
    // A visit without consent.
    Browser::default().say(privet, "only looking");
    let mut ben = Browser::default();
    ben.answer(privet, &Answer::AcceptAll).0.unwrap();
    ben.withdraw(privet, &["marketing"]).0.unwrap();
    Browser::default().answer(privet, &Answer::RejectAll).0.unwrap();
    block_on(privet.flush_counts()).unwrap();
    let (erased, erased_id, _) = asks(privet, "forget me");
    block_on(olga.erase_contact(erased_id)).unwrap();
    let rule = RetentionRule::new(DataClass::Messages, std::time::Duration::from_secs(90 * 86_400)).unwrap();
    block_on(privet.set_retention(&scope.tenant, rule)).unwrap();
    block_on(privet.deliver_notifications()).unwrap();
    block_on(privet.flush()).unwrap();
    block_on(privet.anchor_consent()).unwrap();
    Visitors { anna, anna_id, anna_chat, erased, erased_id }
}

/// What an operator and an inspector see.
pub fn seen(privet: &Privet, visitors: &Visitors) -> String {
    let (scope, olga) = (Scope::default(), officer(privet));
    let mut chain = Vec::new();
    block_on(privet.export_consent(&scope.tenant, None, &mut chain)).unwrap();
    let report = block_on(privet.verify_consent(&scope.tenant)).unwrap();
    assert_eq!(report.damage, None);
    assert!(report.records > 20 && report.severed > 0 && report.anchored > 20, "{report:?}");
    format!(
        "{:?}\n{:?}\n{:?}\n{:?}\n{:?}\n{}\n{:?}\n{:?}\n{:?}",
        block_on(privet.contacts(&scope, &PageRequest::first(100))).unwrap().contacts,
        block_on(olga.contact(visitors.anna_id)).unwrap(),
        block_on(olga.conversation(visitors.anna_chat)).unwrap(),
        visitors.anna.texts(privet),
        report,
        String::from_utf8(chain).unwrap(),
        block_on(privet.notifications(&scope.tenant, None, 50)).unwrap(),
        block_on(privet.retention(&scope.tenant)).unwrap(),
        block_on(privet.consent_counts(&scope, start().day(), start().day())).unwrap(),
    )
}
