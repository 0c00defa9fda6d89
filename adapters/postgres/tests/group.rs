//! Group commit: what comes at once shares a transaction, and nobody's trouble is somebody else's.
#![allow(clippy::unwrap_used, reason = "a test that meets something else has failed")]

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use privet::catalogue::{CategoryCode, Language};
use privet::consent::{Act, ConsentRecord, Decision, Method, NoticeId, RecordId, RecordedDecision, Regime};
use privet::contact::{Author, Channel, ConversationId, MessageId, Sealed};
use privet::store::{
    AppendedRecord, ConsentStore as _, ConversationStore as _, Horizon, MessageToStore, NewNotification,
    NewRecord, NotificationId, OwnerProof, StoredMessage, SubjectDigest,
};
use privet::{Error, Result, Scope, Tenant, Timestamp};
use privet_postgres::{PostgresOptions, PostgresStore};
use privet_test_postgres::{fresh_name, server};
use sqlx::{AssertSqlSafe, PgPool, Row as _};

const MANY: u8 = 200;
const ANALYTICS: CategoryCode = CategoryCode::new(2).unwrap();
const CONTACTS: CategoryCode = CategoryCode::new(4).unwrap();
const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

fn record(n: u8, act: Act) -> ConsentRecord {
    let mut id = [n; 16];
    id[0] = act.code();
    let decision = if act == Act::Grant { Decision::Granted } else { Decision::Refused };
    ConsentRecord {
        id: RecordId::from_bytes(id),
        scope: Scope::default(),
        subject: SubjectDigest::from_bytes(id),
        act,
        at: NOW,
        until: NOW + Duration::from_secs(86_400),
        notice: NoticeId::from_bytes([7; 32]),
        language: Language::new("en").unwrap(),
        regime: Regime::OptIn,
        method: Method::Form,
        gesture: true,
        gpc: false,
        decisions: vec![RecordedDecision::new(ANALYTICS, decision, [1; 3])],
    }
}

async fn append(store: &PostgresStore, new: &NewRecord) -> Result<AppendedRecord> {
    store.append_record(new, CONTACTS, NOW).await
}

async fn grant(store: &PostgresStore, n: u8) -> Result<AppendedRecord> {
    append(store, &NewRecord::new(record(n, Act::Grant), None)).await
}

/// The first message of a visit of its own.
async fn say(store: &PostgresStore, n: u8) -> Result<StoredMessage> {
    let (conversation, id) = (ConversationId::from_bytes([n; 16]), MessageId::from_bytes([n; 16]));
    let body = Sealed::from_bytes(vec![n]);
    let mut message = MessageToStore::new(conversation, id, NOW, Channel::AiSearch, Author::Visitor, body);
    message.opens = true;
    let digest = SubjectDigest::from_bytes([n; 16]);
    let owner = OwnerProof::Session { session: digest, subject: digest };
    store.record_message(&Scope::default(), &owner, &message, NOW, &Horizon::unlimited(NOW)).await
}

struct Database {
    pool: PgPool,
    name: String,
    url: String,
}

impl Database {
    async fn fresh() -> Option<Self> {
        let server = server()?;
        let name = fresh_name();
        Some(Self { pool: PgPool::connect(server.url()).await.unwrap(), url: server.named_url(&name), name })
    }

    fn options(&self) -> PostgresOptions {
        PostgresOptions::new(&self.url).unwrap().schema(&self.name)
    }

    async fn until_somebody_waits(&self) {
        let waits =
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name = $1";
        while sqlx::query(waits).bind(&self.name).fetch_one(&self.pool).await.unwrap().get::<i64, _>(0) == 0 {
            tokio::task::yield_now().await;
        }
    }

    async fn count(&self, sql: &str) -> i64 {
        let sql = sql.replace("privet.", &format!("\"{}\".", self.name));
        sqlx::query(AssertSqlSafe(sql)).fetch_one(&self.pool).await.unwrap().get(0)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_at_once_shares_transactions() {
    let Some(database) = Database::fresh().await else { return };
    let store = database.options().store().await.unwrap();
    let granted = join_all((0..MANY).map(|n| grant(&store, n))).await;
    for (n, granted) in (0..MANY).zip(granted) {
        assert_eq!(granted.unwrap().record, record(n, Act::Grant));
    }
    let said = join_all((0..MANY).map(|n| say(&store, n))).await;
    for (n, said) in (0..MANY).zip(said) {
        assert_eq!(said.unwrap().id, MessageId::from_bytes([n; 16]));
    }
    // The transaction that wrote a row stands in the row.
    for table in ["consent_records", "consent_links", "messages", "conversations"] {
        let rows = database.count(&format!("SELECT count(*) FROM privet.{table}")).await;
        let transactions =
            database.count(&format!("SELECT count(DISTINCT xmin::text) FROM privet.{table}")).await;
        assert_eq!(rows, i64::from(MANY), "{table}");
        assert!(
            transactions <= i64::from(MANY) / 10,
            "{rows} rows of {table} in {transactions} transactions"
        );
    }
    // In the order of the chain, which has no gap.
    let chain = store.chain(&Tenant::default(), None, 1_000).await.unwrap();
    let numbers: Vec<u64> = chain.iter().map(|c| c.link.seq).collect();
    assert_eq!(numbers, (1..=u64::from(MANY)).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn withdrawals_in_one_group_take_their_own_line_back() {
    let Some(database) = Database::fresh().await else { return };
    let store = database.options().store().await.unwrap();
    join_all((0..MANY).map(|n| grant(&store, n))).await;
    // Twice each at once, as when a visitor's click is sent again: the second one changes nothing.
    let withdrawals: Vec<_> = (0..MANY)
        .map(|n| NewRecord::new(record(n, Act::Withdrawal), Some(record(n, Act::Grant).id)))
        .flat_map(|new| [new.clone(), new])
        .collect();
    let answers = join_all(withdrawals.iter().map(|new| append(&store, new))).await;
    for (new, answer) in withdrawals.iter().zip(answers) {
        let answer = answer.unwrap().record;
        assert_eq!((answer.id, answer.act), (new.record.id, Act::Withdrawal));
        assert_eq!(answer.subject.as_bytes()[1], new.record.id.as_bytes()[1], "it joined its own line");
    }
    assert_eq!(database.count("SELECT count(*) FROM privet.consent_records").await, 2 * i64::from(MANY));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_database_refuses_fails_alone() {
    let Some(database) = Database::fresh().await else { return };
    let store = database.options().store().await.unwrap();
    join_all((0..MANY).map(|n| grant(&store, n)))
        .await
        .into_iter()
        .for_each(|granted| drop(granted.unwrap()));
    let withdrawals: Vec<_> = (0..MANY)
        .map(|n| {
            let mut new = NewRecord::new(record(n, Act::Withdrawal), Some(record(n, Act::Grant).id));
            new.notify.push(NewNotification {
                id: NotificationId::from_bytes([n; 16]),
                // PostgreSQL has no text with a zero byte in it.
                recipient: if n == 77 { "partner\0".into() } else { "partner".into() },
                categories: 1 << ANALYTICS.get(),
                subject: SubjectDigest::from_bytes([n; 16]),
            });
            new
        })
        .collect();
    let answers = join_all(withdrawals.iter().map(|new| append(&store, new))).await;
    let failed: Vec<_> = answers.iter().zip(0..MANY).filter(|(a, _)| a.is_err()).map(|(_, n)| n).collect();
    assert_eq!(failed, [77]);
    assert_eq!(database.count("SELECT count(*) FROM privet.outbox").await, i64::from(MANY) - 1);
    let latest = store.latest_record(&Scope::default(), record(77, Act::Grant).id).await.unwrap().unwrap();
    assert_eq!(latest.act, Act::Grant, "nothing of it was done");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_stands_on_what_is_held_for_long_waits_alone() {
    let Some(database) = Database::fresh().await else { return };
    let store = database.options().wait(Duration::from_millis(700)).store().await.unwrap();
    grant(&store, 0).await.unwrap();
    let withdrawal = NewRecord::new(record(0, Act::Withdrawal), Some(record(0, Act::Grant).id));
    // Somebody who looks on for long. What one visitor's records are locked by is not known here, so all of them are.
    let mut held = database.pool.begin().await.unwrap();
    let sql = format!("SELECT 1 FROM \"{}\".consent_heads FOR UPDATE", database.name);
    sqlx::query(AssertSqlSafe(sql)).execute(&mut *held).await.unwrap();
    let error = append(&store, &withdrawal).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");
    assert!(error.to_string().contains("pg_stat_activity"), "{error}");
    // Messages stand on none of it.
    say(&store, 1).await.unwrap();
    held.rollback().await.unwrap();
    assert_eq!(append(&store, &withdrawal).await.unwrap().record.act, Act::Withdrawal);

    // A conversation that somebody holds keeps its own messages waiting, and no others.
    let mut held = database.pool.begin().await.unwrap();
    let sql = format!("SELECT 1 FROM \"{}\".conversations FOR UPDATE", database.name);
    sqlx::query(AssertSqlSafe(sql)).execute(&mut *held).await.unwrap();
    let said = join_all((1..40).map(|n| say(&store, n))).await;
    let refused: Vec<_> = said.iter().zip(1..40).filter(|(said, _)| said.is_err()).map(|(_, n)| n).collect();
    assert_eq!(refused, [1]);
    held.rollback().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_goes_away_takes_nobody_along() {
    let Some(database) = Database::fresh().await else { return };
    let store = database.options().store().await.unwrap();
    let (going, staying): (Vec<_>, Vec<_>) = (0..MANY)
        .map(|n| {
            let store = store.clone();
            (n, tokio::spawn(async move { grant(&store, n).await }))
        })
        .partition(|(n, _)| n % 2 == 0);
    for (_, task) in going {
        task.abort();
        let _ = task.await;
    }
    for (_, task) in staying {
        task.await.unwrap().unwrap();
    }
    // Each of them once, and those that went away once or not at all.
    let chain = store.chain(&Tenant::default(), None, 1_000).await.unwrap();
    let links: BTreeSet<u64> = chain.iter().map(|c| c.link.seq).collect();
    assert_eq!((links.len(), links.last().copied()), (chain.len(), u64::try_from(chain.len()).ok()));
    assert!((usize::from(MANY / 2)..=usize::from(MANY)).contains(&chain.len()));
}

/// As in actix-web, where each worker has a runtime of its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_runtime_that_ends_leaves_no_one_waiting() {
    let Some(database) = Database::fresh().await else { return };
    let store = database.options().store().await.unwrap();
    // It leads, and is held up.
    let mut held = database.pool.begin().await.unwrap();
    let sql = format!("LOCK TABLE \"{}\".consent_records", database.name);
    sqlx::query(AssertSqlSafe(sql)).execute(&mut *held).await.unwrap();
    let ending = {
        let store = store.clone();
        std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
            runtime.spawn(async move { grant(&store, 0).await });
            runtime
        })
    };
    let ending = ending.join().unwrap();
    database.until_somebody_waits().await;
    let followers = (1..20).map(|n| {
        let store = store.clone();
        tokio::spawn(async move { grant(&store, n).await })
    });
    let followers: Vec<_> = followers.collect();
    tokio::task::yield_now().await;
    ending.shutdown_background();
    held.rollback().await.unwrap();
    for follower in followers {
        follower.await.unwrap().unwrap();
    }
}

/// What holds up one visitor holds up nobody else for long, also when that one came first.
#[tokio::test(flavor = "multi_thread")]
async fn who_comes_after_somebody_who_waits_does_not_wait_as_long() {
    let Some(database) = Database::fresh().await else { return };
    let store = database.options().wait(Duration::from_secs(20)).store().await.unwrap();
    say(&store, 1).await.unwrap();
    let mut held = database.pool.begin().await.unwrap();
    let sql = format!("SELECT 1 FROM \"{}\".conversations FOR UPDATE", database.name);
    sqlx::query(AssertSqlSafe(sql)).execute(&mut *held).await.unwrap();
    let waiting = tokio::spawn({
        let store = store.clone();
        async move { say(&store, 1).await }
    });
    database.until_somebody_waits().await;
    let others = join_all((2..20).map(|n| say(&store, n)));
    for said in tokio::time::timeout(Duration::from_secs(10), others).await.unwrap() {
        said.unwrap();
    }
    assert!(!waiting.is_finished(), "it has its own patience");
    held.rollback().await.unwrap();
    waiting.await.unwrap().unwrap();
}

/// A database that is not there is told of to everybody at once, however many wait.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_in_a_queue_for_a_database_that_is_gone() {
    let Some(cluster) = privet_test_postgres::Cluster::primary() else { return };
    let options = PostgresOptions::new(&cluster.url()).unwrap().wait(Duration::from_secs(1));
    let store = options.store().await.unwrap();
    cluster.silence();
    // Longer than one of them waits, and far less than one after the other.
    let all = join_all((0..MANY).map(|n| grant(&store, n)));
    let all = tokio::time::timeout(Duration::from_secs(60), all).await.unwrap();
    assert!(all.iter().all(|answer| matches!(answer, Err(Error::Unavailable { .. }))));
}

/// A visitor comes while the app ends.
#[tokio::test(flavor = "multi_thread")]
async fn a_runtime_that_has_ended_is_no_dead_end() {
    let Some(database) = Database::fresh().await else { return };
    let store = database.options().store().await.unwrap();
    let ended = {
        let store = store.clone();
        std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
            let handle = runtime.handle().clone();
            drop(runtime);
            let _in = handle.enter();
            let mut asked = std::pin::pin!(grant(&store, 0));
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            // Nobody leads there; it says so, and does not hang.
            for _ in 0..4 {
                if let std::task::Poll::Ready(answer) = asked.as_mut().poll(&mut context) {
                    return answer.is_err();
                }
            }
            false
        })
    };
    assert!(ended.join().unwrap());
    grant(&store, 1).await.unwrap();
}

/// What one tenant waits for takes few connections: everybody else has the others.
#[tokio::test(flavor = "multi_thread")]
async fn what_one_tenant_waits_for_is_nobody_elses() {
    let Some(database) = Database::fresh().await else { return };
    let store = database.options().connections(8).store().await.unwrap();
    grant(&store, 0).await.unwrap();
    let mut holding = database.pool.begin().await.unwrap();
    let hold = format!("SELECT 1 FROM \"{}\".consent_heads FOR UPDATE", database.name);
    sqlx::query(AssertSqlSafe(hold)).execute(&mut *holding).await.unwrap();
    let waiting: Vec<_> = (1..60)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move { grant(&store, n).await })
        })
        .collect();
    database.until_somebody_waits().await;
    // As many as go alone at once, which is a quarter, and the one that leads.
    let others = Scope::new(Tenant::new("others").unwrap(), Scope::default().site);
    for n in 100..140 {
        let mut record = record(n, Act::Grant);
        record.scope = others.clone();
        let new = NewRecord::new(record, None);
        let granted = append(&store, &new);
        tokio::time::timeout(Duration::from_secs(5), granted).await.unwrap().unwrap();
        let waits =
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name = $1";
        let waits = sqlx::query(waits).bind(&database.name).fetch_one(&database.pool).await.unwrap();
        assert!(waits.get::<i64, _>(0) <= 3);
    }
    holding.rollback().await.unwrap();
    for waiting in waiting {
        // Those that waited for too long were told so.
        if let Err(error) = waiting.await.unwrap() {
            assert!(matches!(error, Error::Unavailable { .. }), "{error}");
        }
    }
}
