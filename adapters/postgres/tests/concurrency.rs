//! Units of work at once, through more connections than the suite has, and what is left in the tables.
#![allow(clippy::unwrap_used, reason = "a test that meets something else has failed")]

use std::time::Duration;

use privet::conformance::units_at_once_are_one_after_the_other;
use privet::contact::{Author, Channel, ConversationId, MessageId, Sealed};
use privet::retention::DataClass;
use privet::store::{
    ConversationStore as _, Horizon, MessageToStore, OwnerProof, RetentionStore as _, SubjectDigest,
};
use privet::{Scope, Timestamp};
use privet_postgres::PostgresOptions;
use privet_test_postgres::{ORPHANS, fresh_name, server};
use sqlx::{AssertSqlSafe, PgPool, Row as _};

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_over_when_units_meet() {
    let Some(server) = server() else { return };
    let pool = PgPool::connect(server.url()).await.unwrap();
    for _ in 0..3 {
        let schema = fresh_name();
        let options = PostgresOptions::new(server.url()).unwrap().schema(&schema).connections(48);
        let store = options.store().await.unwrap();
        units_at_once_are_one_after_the_other(&store).await;
        for sql in ORPHANS {
            let sql = sql.replace("privet.", &format!("\"{schema}\"."));
            let count: i64 = sqlx::query(AssertSqlSafe(sql.clone())).fetch_one(&pool).await.unwrap().get(0);
            assert_eq!(count, 0, "{sql}");
        }
    }
}

/// A sweep takes a conversation's first messages away while an erasure that has seen them waits: what is behind them goes, too,
/// before the conversation does.
#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_that_meets_a_sweep_leaves_no_message_behind() {
    const MESSAGES: u8 = 15;
    let Some(server) = server() else { return };
    let (schema, scope) = (fresh_name(), Scope::default());
    let named = PostgresOptions::new(&server.named_url(&schema)).unwrap().schema(&schema);
    let store = named.store().await.unwrap();
    let pool = PgPool::connect(server.url()).await.unwrap();
    let sql = |sql: &str| AssertSqlSafe(sql.replace("privet.", &format!("\"{schema}\".")));
    let at = |n: u8| Timestamp::from_millis(n.into());
    let end = at(200);
    let (conversation, digest) = (ConversationId::from_bytes([1; 16]), SubjectDigest::from_bytes([1; 16]));
    for n in 1..=MESSAGES {
        let body = Sealed::from_bytes(vec![n]);
        let id = MessageId::from_bytes([n; 16]);
        let mut message =
            MessageToStore::new(conversation, id, at(n), Channel::AiSearch, Author::Visitor, body);
        message.opens = n == 1;
        let owner = OwnerProof::Session { session: digest, subject: digest };
        store.record_message(&scope, &owner, &message, at(0), &Horizon::unlimited(at(n))).await.unwrap();
    }
    // Its time is over: it is hidden, and marked.
    let over = Horizon::unlimited(end).with(DataClass::SessionConversations, end);
    let tenant = &scope.tenant;
    let marked = store.purge_step(tenant, DataClass::SessionConversations, 9, &over, end).await.unwrap();
    assert_eq!(marked, 1);
    let erasing = store.erasing(None, 9).await.unwrap();

    let mut sweep = pool.begin().await.unwrap();
    let first = sql("DELETE FROM privet.messages WHERE number <= 3");
    assert_eq!(sqlx::query(first).execute(&mut *sweep).await.unwrap().rows_affected(), 3);
    let meeting = {
        let (store, erasing) = (store.clone(), erasing.clone());
        tokio::spawn(async move { store.erase_step(&erasing, 10).await })
    };
    let waits =
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name = $1";
    let waiting = async {
        while sqlx::query(waits).bind(&schema).fetch_one(&pool).await.unwrap().get::<i64, _>(0) == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waiting).await.unwrap();
    sweep.commit().await.unwrap();
    let step = meeting.await.unwrap().unwrap();
    assert_eq!((step.removed.messages, step.removed.conversations, step.done), (7, 0, 0));
    let step = store.erase_step(&erasing, 10).await.unwrap();
    assert_eq!((step.removed.messages, step.removed.conversations, step.done), (5, 1, 1));
    let left = sql("SELECT count(*) FROM privet.messages");
    assert_eq!(sqlx::query(left).fetch_one(&pool).await.unwrap().get::<i64, _>(0), 0);
}
