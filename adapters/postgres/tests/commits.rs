//! Commits whose answer is lost. The server did what it was asked, and nobody heard of it: what would answer otherwise the second
//! time says so and is not done again, and what goes in groups is done again, which changes nothing. Each is seen done, once.
#![allow(clippy::unwrap_used, reason = "a test that meets something else has failed")]

#[path = "../../../core/tests/common/mod.rs"]
mod common;
mod swallowing;

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_executor::block_on;
use futures_util::future::join_all;
use privet::catalogue::{CategoryCode, Language};
use privet::consent::{Act, ConsentRecord, Decision, Method, NoticeId, RecordId, RecordedDecision, Regime};
use privet::contact::{
    Author, Channel, Contact, ContactId, Conversation, ConversationId, MessageId, Owner, Sealed,
};
use privet::portal::{Operator, Portal, Role};
use privet::retention::DataClass;
use privet::store::{
    Attempted, ConsentStore as _, ContactStore as _, ConversationStore as _, Delivery, ErasureCause, Horizon,
    MessageToStore, NewNotification, NewRecord, NotificationId, OutboxStore as _, OwnerProof,
    PortalStore as _, RetentionStore as _, StoredMessage, SubjectDigest,
};
use privet::{Contacts, Error, FakeClock, KeyRing, Privet, Scope, Site, Storage, Tenant, Timestamp};
use privet_postgres::{PostgresOptions, PostgresStore};
use privet_test_postgres::{fresh_name, own_server};
use sqlx::{AssertSqlSafe, PgPool, Row as _};
use tokio::runtime::Runtime;

use common::{Answered, Browser, installation_on, save, start};
use swallowing::swallowing;

const ANALYTICS: CategoryCode = CategoryCode::new(2).unwrap();
const CONTACTS: CategoryCode = CategoryCode::new(4).unwrap();
const SECOND: Duration = Duration::from_secs(1);
/// More than one group takes.
const MANY: u8 = 100;

/// An installation whose data is behind a way that loses answers, and whose keys and ledger are not.
struct Shop {
    rt: Runtime,
    pool: PgPool,
    schema: String,
    swallow: Arc<AtomicUsize>,
    store: PostgresStore,
    privet: Privet,
    clock: FakeClock,
    scope: Scope,
}

impl Shop {
    fn new() -> Option<Self> {
        let server = own_server()?;
        let ((_, port), direct) = (server.socket()?, server.tcp_url("postgres")?);
        let (rt, schema, swallow) = (
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap(),
            fresh_name(),
            Arc::new(AtomicUsize::new(0)),
        );
        let (pool, store, storage) = rt.block_on(async {
            let between = swallowing(port, swallow.clone()).await;
            let lossy = direct.replace(&format!(":{port}/"), &format!(":{between}/"));
            let at = |url: &str| PostgresOptions::new(url).unwrap().schema(&schema);
            let store = at(&lossy).store().await.unwrap();
            let storage = Storage::new(
                Arc::new(store.clone()),
                Arc::new(at(&direct).key_store().await.unwrap()),
                Arc::new(at(&direct).ledger().await.unwrap()),
                KeyRing::generate().unwrap(),
            );
            (PgPool::connect(&direct).await.unwrap(), store, storage)
        });
        let (privet, clock) = {
            let _in = rt.enter();
            installation_on(storage, |b| b)
        };
        Some(Self { rt, pool, schema, swallow, store, privet, clock, scope: Scope::default() })
    }

    fn sql(&self, sql: &str) -> i64 {
        let sql = AssertSqlSafe(sql.replace("privet.", &format!("\"{}\".", self.schema)));
        self.rt.block_on(sqlx::query(sql).fetch_one(&self.pool)).unwrap().get(0)
    }

    fn count(&self, table: &str) -> i64 {
        self.sql(&format!("SELECT count(*) FROM privet.{table}"))
    }

    /// Does something while the answer to its commit with this number is lost.
    fn losing<T>(&self, number: usize, work: impl FnOnce() -> T) -> T {
        self.swallow.store(number, Ordering::SeqCst);
        let done = work();
        assert_eq!(self.swallow.load(Ordering::SeqCst), 0, "an answer was lost");
        done
    }

    /// The same, for what does not know then whether it happened.
    fn unanswered<T: Debug>(&self, work: impl Future<Output = privet::Result<T>>) {
        let unknown = self.losing(1, || block_on(work)).unwrap_err();
        assert!(matches!(unknown, Error::Unavailable { .. }), "{unknown}");
        assert!(unknown.to_string().contains("may have happened or not"), "{unknown}");
    }

    fn everything(&self) -> Horizon {
        Horizon::unlimited(self.privet.now())
    }

    fn portal(&self) -> Portal {
        let operator = Operator::new(Tenant::default(), "Olga", Role::PrivacyOfficer).unwrap();
        self.privet.portal(&operator, &Site::default()).unwrap()
    }

    fn contact(&self, id: ContactId) -> Contact {
        block_on(self.store.contact(&self.scope, id, &self.everything())).unwrap().unwrap()
    }

    /// Of a contact, the latest first.
    fn conversations(&self, id: ContactId) -> Vec<Conversation> {
        let owner = Owner::Contact(id);
        block_on(self.store.conversations(&self.scope, owner, 9, &self.everything())).unwrap()
    }

    /// A visitor whose contact has two conversations, with two messages each.
    fn comes(&self) -> (Browser, ContactId) {
        let mut browser = Browser::default();
        browser.answer(&self.privet, &save(&["contacts"])).0.unwrap();
        for text in ["first", "second"] {
            browser.say(&self.privet, text);
            browser.say(&self.privet, "and more");
            let latest = self.conversations(browser_contact(&browser, &self.privet))[0].id;
            let at = self.privet.now();
            assert!(
                block_on(self.store.close_conversation(&self.scope, latest, at, &self.everything())).unwrap()
            );
            self.clock.advance(SECOND);
        }
        let id = browser_contact(&browser, &self.privet);
        assert_eq!((self.contact(id).conversations, self.conversations(id).len()), (2, 2));
        (browser, id)
    }
}

fn browser_contact(browser: &Browser, privet: &Privet) -> ContactId {
    let (visit, _) = browser.open(privet);
    visit.visitor().contact().unwrap()
}

#[test]
fn a_contact_is_erased_once() {
    let Some(shop) = Shop::new() else { return };
    let _in = shop.rt.enter();
    let (_, id) = shop.comes();
    let until = shop.privet.now() + SECOND * 1_000;
    let begin = || shop.store.begin_contact_erasure(&shop.scope, id, ErasureCause::Request, until);
    shop.unanswered(begin());
    assert!(!block_on(shop.store.contact_lives(&shop.scope, id)).unwrap());
    assert_eq!(block_on(begin()).unwrap(), None, "it is marked, and not again");
    assert_eq!(shop.count("fences"), 1);
    let marked = block_on(shop.store.erasing(None, 9)).unwrap();
    assert_eq!(marked.len(), 1);
    // Of four messages one in each step.
    let step = |rows| shop.store.erase_step(&marked, rows);
    for left in [3, 2] {
        shop.unanswered(step(1));
        assert_eq!((shop.count("messages"), shop.count("conversations")), (left, 2));
    }
    shop.unanswered(step(100));
    for table in ["contacts", "conversations", "messages"] {
        assert_eq!(shop.count(table), 0, "{table}");
    }
    let again = block_on(step(100)).unwrap();
    assert_eq!((again.done, again.removed.is_nothing()), (1, true), "{again:?}");
    assert_eq!(block_on(shop.store.erasing(None, 9)).unwrap(), []);
}

/// Whichever answer on the way is lost: who asked may not know whether it happened, and need not. A sweep ends what was begun.
#[test]
fn a_sweep_ends_an_erasure_that_nobody_heard_of() {
    let Some(shop) = Shop::new() else { return };
    let _in = shop.rt.enter();
    let (mut number, mut unheard) = (1, 0);
    let keys = |shop: &Shop| shop.sql("SELECT count(*) FROM privet.keys WHERE tenant <> ''");
    let mut left = None;
    loop {
        let (_, id) = shop.comes();
        shop.swallow.store(number, Ordering::SeqCst);
        let asked = block_on(shop.privet.erase_contact(&shop.scope, id));
        let all_heard = shop.swallow.swap(0, Ordering::SeqCst) > 0;
        if let Err(unknown) = asked {
            assert!(unknown.to_string().contains("may have happened or not"), "commit {number}: {unknown}");
            unheard += 1;
        }
        block_on(shop.privet.sweep(shop.privet.now())).unwrap();
        for table in ["contacts", "conversations", "messages"] {
            assert_eq!(shop.count(table), 0, "commit {number}: {table}");
        }
        // The installation's own, and none of a contact.
        assert_eq!(*left.get_or_insert(keys(&shop)), keys(&shop), "commit {number}");
        assert!(block_on(shop.privet.sweep(shop.privet.now())).unwrap().is_nothing());
        if all_heard {
            break;
        }
        number += 1;
    }
    assert!(unheard >= 2, "the mark and the erasure itself were among them: {unheard}");
}

#[test]
fn a_conversation_is_erased_once() {
    let Some(shop) = Shop::new() else { return };
    let _in = shop.rt.enter();
    let (_, id) = shop.comes();
    let conversation = shop.conversations(id)[0].id;
    let begin = || shop.store.begin_conversation_erasure(&shop.scope, conversation);
    shop.unanswered(begin());
    assert_eq!((shop.contact(id).conversations, shop.conversations(id).len()), (1, 1), "counted down once");
    assert_eq!(block_on(begin()).unwrap(), None);
    assert_eq!(shop.contact(id).conversations, 1);
    let marked = block_on(shop.store.erasing(None, 9)).unwrap();
    shop.unanswered(shop.store.erase_step(&marked, 100));
    assert_eq!((shop.count("conversations"), shop.count("messages")), (1, 2));
    assert!(block_on(shop.store.erase_step(&marked, 100)).unwrap().removed.is_nothing());
}

#[test]
fn a_message_and_a_note_are_taken_once() {
    let Some(shop) = Shop::new() else { return };
    let _in = shop.rt.enter();
    let (_, id) = shop.comes();
    let conversation = shop.conversations(id)[0].id;
    let message = || shop.store.erase_message(&shop.scope, conversation, 1);
    shop.unanswered(message());
    assert_eq!((shop.count("messages"), shop.count("erased_messages")), (3, 1));
    assert!(!block_on(message()).unwrap());
    let messages = block_on(shop.store.messages(&shop.scope, conversation, 0, 9, &shop.everything()));
    assert_eq!(messages.unwrap().iter().map(|m| m.number).collect::<Vec<_>>(), [2], "the other one stays");

    let [first, second] =
        ["polite", "in a hurry"].map(|text| block_on(shop.portal().add_note(id, text)).unwrap());
    let note = || shop.store.erase_note(&shop.scope, id, first.id);
    shop.unanswered(note());
    assert!(!block_on(note()).unwrap());
    let notes = block_on(shop.store.notes(&shop.scope, id, &shop.everything())).unwrap();
    assert_eq!(notes.iter().map(|n| n.id).collect::<Vec<_>>(), [second.id]);
}

/// What a visit said before there was a consent, and the visitor keeps.
#[test]
fn a_conversation_is_adopted_once() {
    let Some(shop) = Shop::new() else { return };
    let _in = shop.rt.enter();
    let (mut browser, id) = shop.comes();
    // As if there were none.
    let consent = browser.cookies.remove("__Host-privet").unwrap();
    browser.say(&shop.privet, "only looking");
    browser.cookies.insert("__Host-privet".to_owned(), consent);
    let visit = browser.open(&shop.privet).0;
    let keep = async || {
        let granted = visit.granted::<Contacts>()?;
        visit.visitor().keep_conversations(&granted).await
    };
    let of_visits = || shop.sql("SELECT count(*) FROM privet.conversations WHERE owner_kind = 2");
    assert_eq!((shop.contact(id).conversations, of_visits()), (2, 1));
    let keys = || shop.sql("SELECT count(*) FROM privet.keys WHERE kind = 2");
    assert_eq!(keys(), 2, "the visit's and the contact's");
    // It is looked what became of it: the visit's key would stay for ever.
    let given = shop.losing(1, || block_on(keep()).unwrap());
    assert_eq!((given, keys()), (1, 1));
    assert_eq!((shop.contact(id).conversations, of_visits()), (3, 0));
    assert_eq!(block_on(keep()).unwrap(), 0, "there is nothing left to keep");
    assert_eq!((shop.contact(id).conversations, shop.conversations(id).len()), (3, 3));
    browser.close(&visit, Answered::new(200));
    let mut texts = browser.texts(&shop.privet);
    texts.sort();
    assert_eq!(texts, ["and more", "and more", "first", "only looking", "second"], "under the contact's key");
}

fn record(n: u8, act: Act) -> ConsentRecord {
    let mut id = [n; 16];
    id[0] = act.code();
    let decision = if act == Act::Grant { Decision::Granted } else { Decision::Refused };
    ConsentRecord {
        id: RecordId::from_bytes(id),
        scope: Scope::default(),
        subject: SubjectDigest::from_bytes(id),
        act,
        at: start(),
        until: start() + SECOND * 86_400,
        notice: NoticeId::from_bytes([7; 32]),
        language: Language::new("en").unwrap(),
        regime: Regime::OptIn,
        method: Method::Form,
        gesture: true,
        gpc: false,
        decisions: vec![RecordedDecision::new(ANALYTICS, decision, [1; 3])],
    }
}

async fn append(store: &PostgresStore, new: &NewRecord) -> privet::Result<ConsentRecord> {
    store.append_record(new, CONTACTS, start()).await.map(|appended| appended.record)
}

async fn grant(store: &PostgresStore, n: u8) -> privet::Result<ConsentRecord> {
    append(store, &NewRecord::new(record(n, Act::Grant), None)).await
}

/// A grant of a visitor's, and its withdrawal, which tells two recipients.
fn withdrawal(n: u8) -> NewRecord {
    let tell = |recipient: u8| NewNotification {
        id: NotificationId::from_bytes([recipient; 16]),
        recipient: format!("r{recipient}"),
        categories: u64::MAX,
        subject: SubjectDigest::from_bytes([n; 16]),
    };
    let new = NewRecord::new(record(n, Act::Withdrawal), Some(record(n, Act::Grant).id));
    new.notifying(vec![tell(1), tell(2)])
}

#[test]
fn a_notification_is_claimed_and_settled_once() {
    let Some(shop) = Shop::new() else { return };
    let _in = shop.rt.enter();
    let at = |seconds: u32| start() + SECOND * seconds;
    block_on(grant(&shop.store, 1)).unwrap();
    block_on(append(&shop.store, &withdrawal(1))).unwrap();
    let claim = |now, until| shop.store.claim_notifications(at(now), at(until), 9);
    shop.unanswered(claim(10, 50));
    assert_eq!(block_on(claim(49, 90)).unwrap(), [], "they are somebody's, who does not know");
    let claimed = block_on(claim(50, 90)).unwrap();
    assert_eq!(claimed.iter().map(|n| n.attempts).collect::<Vec<_>>(), [0, 0], "nobody has tried them");

    let stands = || block_on(shop.store.notifications(&shop.scope.tenant, None, 9)).unwrap();
    let stands = |id| stands().into_iter().find(|n| n.id == id).map(|n| (n.attempts, n.delivery)).unwrap();
    let later = Attempted::Again { due: at(100), problem: "answered 500".to_owned() };
    for (n, outcome, then) in [
        (&claimed[0], later, Delivery::Waiting { due: at(100) }),
        (&claimed[1], Attempted::Delivered, Delivery::Delivered { at: at(60) }),
    ] {
        shop.unanswered(shop.store.settle_notification(n, &outcome, at(60)));
        assert_eq!(stands(n.id), (1, then.clone()));
        assert!(!block_on(shop.store.settle_notification(n, &outcome, at(61))).unwrap(), "it was said");
        assert_eq!(stands(n.id), (1, then), "and counted once");
    }
    let due: Vec<_> = block_on(claim(100, 200)).unwrap().iter().map(|n| n.id).collect();
    assert_eq!(due, [claimed[0].id]);
}

/// Alone, and with others in one transaction: the second one, since the first does not wait for company.
#[test]
fn records_are_appended_once() {
    let Some(shop) = Shop::new() else { return };
    let _in = shop.rt.enter();
    assert_eq!(shop.losing(1, || block_on(grant(&shop.store, 0))).unwrap(), record(0, Act::Grant));
    let all = shop.losing(2, || block_on(join_all((1..MANY).map(|n| grant(&shop.store, n)))));
    for (n, granted) in (1..MANY).zip(all) {
        assert_eq!(granted.unwrap(), record(n, Act::Grant));
    }
    for table in ["consent_records", "consent_links"] {
        assert_eq!(shop.count(table), i64::from(MANY), "{table}");
    }
    let withdrawn = shop.losing(1, || block_on(append(&shop.store, &withdrawal(7)))).unwrap();
    assert_eq!((withdrawn.act, withdrawn.id), (Act::Withdrawal, record(7, Act::Withdrawal).id));
    assert_eq!((shop.count("outbox"), shop.count("consent_records")), (2, i64::from(MANY) + 1));
    let chain = block_on(shop.store.chain(&shop.scope.tenant, None, 1_000)).unwrap();
    let numbers: Vec<u64> = chain.iter().map(|c| c.link.seq).collect();
    assert_eq!(numbers, (1..=u64::from(MANY) + 1).collect::<Vec<_>>(), "without a gap");
    assert_eq!(block_on(shop.privet.verify_consent(&shop.scope.tenant)).unwrap().damage, None);
}

/// From a visitor's click to the last row: the contact is marked with the record, whose answer is lost.
#[test]
fn a_withdrawal_takes_its_contact_along_once() {
    let Some(shop) = Shop::new() else { return };
    let _in = shop.rt.enter();
    let (mut browser, _) = shop.comes();
    let (keys, lines) = (shop.count("keys"), shop.count("ledger"));
    shop.losing(1, || browser.withdraw(&shop.privet, &[]).0).unwrap();
    for table in ["contacts", "conversations", "messages"] {
        assert_eq!(shop.count(table), 0, "{table}");
    }
    assert_eq!((shop.count("keys"), shop.count("ledger")), (keys - 1, lines + 1));
    let taken = format!("SELECT count(*) FROM privet.consent_records WHERE act = {}", Act::Withdrawal.code());
    assert_eq!((shop.sql(&taken), shop.count("consent_records"), shop.count("fences")), (1, 2, 1));
}

/// The first message of a visit of its own.
async fn say(store: &PostgresStore, n: u8) -> privet::Result<StoredMessage> {
    let (conversation, id) = (ConversationId::from_bytes([n; 16]), MessageId::from_bytes([n; 16]));
    let body = Sealed::from_bytes(vec![n]);
    let mut message =
        MessageToStore::new(conversation, id, start(), Channel::AiSearch, Author::Visitor, body);
    message.opens = true;
    let digest = SubjectDigest::from_bytes([n; 16]);
    let owner = OwnerProof::Session { session: digest, subject: digest };
    store.record_message(&Scope::default(), &owner, &message, start(), &Horizon::unlimited(start())).await
}

#[test]
fn messages_are_stored_once() {
    let Some(shop) = Shop::new() else { return };
    let _in = shop.rt.enter();
    assert_eq!(shop.losing(1, || block_on(say(&shop.store, 0))).unwrap().number, 1);
    let all = shop.losing(2, || block_on(join_all((1..MANY).map(|n| say(&shop.store, n)))));
    for (n, said) in (1..MANY).zip(all) {
        let said = said.unwrap();
        assert_eq!((said.id, said.number), (MessageId::from_bytes([n; 16]), 1));
    }
    for table in ["messages", "conversations"] {
        assert_eq!(shop.count(table), i64::from(MANY), "{table}");
    }
    assert_eq!(shop.sql("SELECT sum(messages)::bigint FROM privet.conversations"), i64::from(MANY));

    // One that opens a contact's conversation, and one that goes on with it.
    let (mut browser, id) = shop.comes();
    for number in 1..=2 {
        shop.losing(1, || browser.say(&shop.privet, "one more"));
        assert_eq!((shop.contact(id).conversations, shop.conversations(id)[0].messages), (3, number));
    }
    assert_eq!(shop.count("messages"), i64::from(MANY) + 4 + 2);
}

/// Whichever answer on the way is lost, a month goes, and what went with it is told at most once.
#[test]
fn a_month_is_dropped_once() {
    let Some(shop) = Shop::new() else { return };
    let _in = shop.rt.enter();
    let run = |sql: &str| {
        let sql = AssertSqlSafe(sql.replace("privet.", &format!("\"{}\".", shop.schema)));
        shop.rt.block_on(sqlx::raw_sql(sql).execute(&shop.pool)).unwrap();
    };
    let end = Timestamp::from_millis(2_000);
    let over = Horizon::unlimited(end).with(DataClass::Messages, end);
    let drop_it = || block_on(shop.store.drop_messages(&over, &[Tenant::default()])).unwrap();
    let mut lost = 0;
    loop {
        run("CREATE TABLE privet.messages_1970_01 PARTITION OF privet.messages FOR VALUES FROM (0) TO (2000);
             INSERT INTO privet.messages (tenant, site, conversation, number, id, at, channel, author, body)
             SELECT 'main', 'main', '\\x01', n, '\\x01', n, 1, 1, '\\x01' FROM generate_series(1, 5) AS n;
             INSERT INTO privet.messages (tenant, site, conversation, number, id, at, channel, author, body)
             SELECT 'main', 'main', '\\x01', n, '\\x01', n, 1, 1, '\\x01' FROM generate_series(2001, 2003) AS n");
        shop.swallow.store(lost + 1, Ordering::SeqCst);
        let told = drop_it();
        let all_heard = shop.swallow.swap(0, Ordering::SeqCst) > 0;
        let again = drop_it();
        assert_eq!(shop.sql("SELECT (to_regclass('privet.messages_1970_01') IS NULL)::int::bigint"), 1);
        assert!([(5, 0), (0, 5), (0, 0)].contains(&(told, again)), "commit {}: {told} {again}", lost + 1);
        assert_eq!(shop.count("messages"), 3, "what is not of the month");
        run("DELETE FROM privet.messages");
        if all_heard {
            assert_eq!(told, 5);
            break;
        }
        lost += 1;
    }
    assert!(lost >= 2, "the answer to the drop was one of them");
}
