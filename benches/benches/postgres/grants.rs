//! Acts that are on the disk before they are acknowledged, of many at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use privet::catalogue::{CategoryCode, Language};
use privet::consent::{
    Act, Answer, ConsentRecord, Decision, Method, NoticeId, Provenance, RecordId, RecordedDecision, Regime,
};
use privet::contact::{Author, Channel, Contact, ContactId, ConversationId, FenceEpoch, MessageId, Sealed};
use privet::store::{
    ConsentStore as _, ContactStore as _, ConversationStore as _, Horizon, MessageToStore, NewRecord,
    OwnerProof, SubjectDigest,
};
use privet::visit::RequestHead;
use privet::{Contacts, Privet, Scope, Site, Tenant, Timestamp};
use privet_postgres::PostgresStore;
use sqlx::postgres::PgPool;

use crate::turns::{Done, rates, script, settle, title};
use crate::{Bench, TASKS};

const CONTACTS: CategoryCode = CategoryCode::new(4).unwrap();

/// How long each side works in its turn, and how often.
const TURN: Duration = Duration::from_secs(3);
const ROUNDS: usize = 3;

/// The smallest that could stand for a record or a message: one row in one table with one index.
const BY_HAND: &str = "
    CREATE SCHEMA IF NOT EXISTS hand;
    CREATE TABLE hand.grants (tenant TEXT NOT NULL, site TEXT NOT NULL, id BYTEA NOT NULL, subject BYTEA NOT NULL, act SMALLINT NOT NULL,
        at BIGINT NOT NULL, until BIGINT NOT NULL, notice BYTEA NOT NULL, language TEXT NOT NULL, decisions BYTEA NOT NULL,
        PRIMARY KEY (tenant, id));
    CREATE TABLE hand.said (tenant TEXT NOT NULL, conversation BYTEA NOT NULL, number BIGINT NOT NULL, id BYTEA NOT NULL,
        at BIGINT NOT NULL, body BYTEA NOT NULL, PRIMARY KEY (tenant, conversation, number))";

/// A number that nobody else has, as an id.
fn fresh() -> [u8; 16] {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    let mut id = [0; 16];
    // Spread over the indexes as what is drawn would be.
    id[..8].copy_from_slice(&n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    id[8..].copy_from_slice(&n.to_be_bytes());
    id
}

/// So many tasks, each of which does one thing after the other for a while. How much they did.
async fn together<F, W>(done: &mut Done, tasks: usize, rows: u64, work: W)
where
    F: Future<Output = ()> + Send,
    W: Fn(usize) -> F + Send + Sync + 'static,
{
    let work = Arc::new(work);
    let from = Instant::now();
    let running: Vec<_> = (0..tasks)
        .map(|task| {
            let work = work.clone();
            tokio::spawn(async move {
                let mut count = 0;
                while from.elapsed() < TURN {
                    work(task).await;
                    count += rows;
                }
                count
            })
        })
        .collect();
    let mut all = 0;
    for task in running {
        all += task.await.unwrap();
    }
    done.add(all, from.elapsed());
}

async fn grant(store: PostgresStore, scope: Scope, now: Timestamp) {
    let id = fresh();
    let record = ConsentRecord {
        id: RecordId::from_bytes(id),
        scope,
        subject: SubjectDigest::from_bytes(id),
        act: Act::Grant,
        at: now,
        until: now + Duration::from_secs(180 * 86_400),
        notice: NoticeId::from_bytes([7; 32]),
        language: Language::new("en").unwrap(),
        regime: Regime::OptIn,
        method: Method::Form,
        gesture: true,
        gpc: false,
        decisions: vec![RecordedDecision::new(CONTACTS, Decision::Granted, [4; 3])],
    };
    store.append_record(&NewRecord::new(record, None), CONTACTS, now).await.unwrap();
}

async fn grant_by_hand(pool: PgPool, now: Timestamp) {
    let id = fresh();
    sqlx::query("INSERT INTO hand.grants VALUES ('main', 'main', $1, $1, 1, $2, $3, $4, 'en', $5)")
        .bind(id.as_slice())
        .bind(now.as_millis())
        .bind(now.as_millis())
        .bind([7_u8; 32].as_slice())
        .bind([4_u8; 5].as_slice())
        .execute(&pool)
        .await
        .unwrap();
}

/// So many in one statement.
async fn grants_by_hand(pool: PgPool, now: Timestamp) {
    let ids: Vec<_> = (0..TASKS).map(|_| fresh().to_vec()).collect();
    sqlx::query("INSERT INTO hand.grants SELECT 'main', 'main', id, id, 1, $2, $3, $4, 'en', $5 FROM unnest($1::bytea[]) AS t (id)")
        .bind(ids)
        .bind(now.as_millis())
        .bind(now.as_millis())
        .bind([7_u8; 32].as_slice())
        .bind([4_u8; 5].as_slice())
        .execute(&pool)
        .await
        .unwrap();
}

/// A request without anything.
struct Head;

impl RequestHead for Head {
    fn peer(&self) -> Option<std::net::IpAddr> {
        None
    }

    fn method(&self) -> &'static str {
        "POST"
    }

    fn path(&self) -> &'static str {
        "/"
    }

    fn host(&self) -> Option<&str> {
        None
    }

    fn headers<'a>(&'a self, _: &mut dyn FnMut(&'a str, &'a [u8])) {}
}

/// A contact that may write, and its conversation.
struct Speaker {
    proof: OwnerProof,
    conversation: ConversationId,
}

/// So many visitors who agreed.
async fn speakers(privet: &Privet, now: Timestamp, store: &PostgresStore) -> Vec<Speaker> {
    let mut all = Vec::new();
    for _ in 0..TASKS {
        let visit = privet.visit(&Head).unwrap().0;
        let language = visit.catalogue().languages()[0].clone();
        let token = visit.notice_token(visit.notice(&language).unwrap());
        privet.decide(&visit, &Answer::AcceptAll, &token, Provenance::new(Method::Form, true)).await.unwrap();
        let granted = visit.granted::<Contacts>().unwrap();
        let proof = granted.proof().unwrap();
        let (id, subject, at) =
            (ContactId::from_bytes(fresh()), SubjectDigest::from_bytes(fresh()), visit.now());
        let contact = Contact::opened(id, FenceEpoch::FIRST, subject, at, proof.record(), at);
        let contact = store.open_contact(&proof, &contact).await.unwrap();
        let speaker = Speaker {
            proof: OwnerProof::Contact { proof, id: contact.id, epoch: contact.epoch, subject },
            conversation: ConversationId::from_bytes(fresh()),
        };
        say(store, now, &speaker, true).await;
        all.push(speaker);
    }
    all
}

async fn say(store: &PostgresStore, now: Timestamp, speaker: &Speaker, opens: bool) {
    let mut message = MessageToStore::new(
        speaker.conversation,
        MessageId::from_bytes(fresh()),
        now,
        Channel::AiSearch,
        Author::Visitor,
        Sealed::from_bytes(vec![0; 64]),
    );
    message.opens = opens;
    let horizon = Horizon::unlimited(now);
    store.record_message(&Scope::default(), &speaker.proof, &message, now, &horizon).await.unwrap();
}

async fn say_by_hand(pool: PgPool, now: Timestamp, task: usize) {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    sqlx::query("INSERT INTO hand.said VALUES ('main', $1, $2, $3, $4, $5)")
        .bind([u8::try_from(task).unwrap(); 16].as_slice())
        .bind(i64::try_from(number).unwrap())
        .bind(fresh().as_slice())
        .bind(now.as_millis())
        .bind([0_u8; 64].as_slice())
        .execute(&pool)
        .await
        .unwrap();
}

pub(crate) async fn run(bench: &Bench) {
    let (store, pool, now) = (bench.store().await, bench.pool().await, bench.now);
    script(&pool, BY_HAND).await;
    let speakers = Arc::new(speakers(&bench.privet(store.clone()).await, now, &store).await);
    settle(&pool).await;
    let scopes: Arc<Vec<_>> = Arc::new(
        (0..TASKS).map(|n| Scope::new(Tenant::new(format!("t{n}")).unwrap(), Site::default())).collect(),
    );
    let [mut one_tenant, mut tenants, mut hand, mut hand_set, mut said, mut hand_said] = [Done::default(); 6];
    let mut before = 0;
    for round in 0..=ROUNDS {
        let s = store.clone();
        together(&mut one_tenant, TASKS, 1, move |_| grant(s.clone(), Scope::default(), now)).await;
        let p = pool.clone();
        together(&mut hand, TASKS, 1, move |_| grant_by_hand(p.clone(), now)).await;
        let (s, of) = (store.clone(), scopes.clone());
        together(&mut tenants, TASKS, 1, move |task| grant(s.clone(), of[task].clone(), now)).await;
        let (p, set) = (pool.clone(), u64::try_from(TASKS).unwrap());
        together(&mut hand_set, 1, set, move |_| grants_by_hand(p.clone(), now)).await;
        let (s, of) = (store.clone(), speakers.clone());
        let says = move |task: usize| {
            let (s, of) = (s.clone(), of.clone());
            async move { say(&s, now, &of[task], false).await }
        };
        together(&mut said, TASKS, 1, says).await;
        let p = pool.clone();
        together(&mut hand_said, TASKS, 1, move |task| say_by_hand(p.clone(), now, task)).await;
        if round == 0 {
            // Plans that were made while the tables were empty are kept until the server has figures, which its autovacuum
            // sees to within a minute or two: what is measured is what comes after.
            before = one_tenant.rows + tenants.rows;
            [one_tenant, tenants, hand, hand_set, said, hand_said] = [Done::default(); 6];
            script(&pool, "ANALYZE").await;
            settle(&pool).await;
        }
    }
    let count = "SELECT count(*) FROM privet.consent_records";
    let kept: i64 = sqlx::query_scalar(count).fetch_one(&pool).await.unwrap();
    let done = before + one_tenant.rows + tenants.rows;
    assert_eq!(u64::try_from(kept).unwrap(), done + u64::try_from(TASKS).unwrap());
    title(&format!("durable, {TASKS} at once"), "acts/s");
    rates("grants of one tenant, beside INSERT", one_tenant, hand);
    rates(&format!("grants of {TASKS} tenants, beside INSERT"), tenants, hand);
    rates(&format!("grants of one tenant, beside {TASKS} in an INSERT"), one_tenant, hand_set);
    rates(&format!("messages of {TASKS} contacts, beside INSERT"), said, hand_said);
}
