//! Messages that are past their time, while somebody writes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use privet::Timestamp;
use privet::contact::{Author, Channel, ConversationId, MessageId, Sealed};
use privet::retention::DataClass;
use privet::store::{
    ConversationStore as _, Horizon, MessageToStore, OwnerProof, RetentionStore as _, SubjectDigest,
};
use privet_postgres::PostgresStore;
use sqlx::postgres::PgPool;

use crate::Bench;
use crate::fill::megabytes;
use crate::turns::{Done, part, rates, script, settle, title};

/// So many go at once.
const STEP: u32 = 10_000;
/// A tenth goes, in so many parts in turns: what the server writes out meanwhile is now beside the one, now beside the other.
const PARTS: i64 = 10;
/// Between two that are written.
const EVERY: Duration = Duration::from_millis(5);
const DAY: i64 = 86_400_000;

/// The messages of 300 days, as they came, five to a conversation.
const MESSAGES: &str = "
    INSERT INTO privet.messages (tenant, site, conversation, number, id, at, channel, author, body)
    SELECT 'main', 'main', substr(sha256(('v' || i / 5)::bytea), 1, 16), i % 5 + 1, substr(a, 1, 16),
           {now} - ({size} - i) * (300 * 86400000::bigint) / {size}, 1, 1, a || a
    FROM (SELECT i, sha256(('m' || i)::bytea) AS a FROM generate_series(0::bigint, {size} - 1) AS i) AS n";

/// As somebody writes it: one table, with the same messages and an index for their age.
const BY_HAND: &str = "
    CREATE SCHEMA IF NOT EXISTS hand;
    CREATE TABLE hand.messages (
        tenant TEXT COLLATE \"C\" NOT NULL, site TEXT COLLATE \"C\" NOT NULL, conversation BYTEA NOT NULL, number BIGINT NOT NULL,
        id BYTEA NOT NULL, at BIGINT NOT NULL, channel SMALLINT NOT NULL, author SMALLINT NOT NULL, body BYTEA NOT NULL, page BYTEA);
    INSERT INTO hand.messages SELECT * FROM privet.messages ORDER BY at;
    ALTER TABLE hand.messages ADD PRIMARY KEY (tenant, site, conversation, number);
    CREATE INDEX messages_age ON hand.messages (tenant, at)";

const DELETE: &str = "
    DELETE FROM hand.messages WHERE ctid = ANY(ARRAY(
      SELECT ctid FROM hand.messages WHERE tenant = $1 AND at < $2 ORDER BY at LIMIT $3))";

/// The partitions that would have been made month by month, from then until now.
pub(crate) fn months(from: Timestamp, until: Timestamp) -> String {
    format!(
        "DO $$ DECLARE month timestamp; BEGIN
           FOR month IN SELECT generate_series(date_trunc('month', to_timestamp({} / 1000.0) AT TIME ZONE 'UTC'),
                                               to_timestamp({} / 1000.0) AT TIME ZONE 'UTC', interval '1 month') LOOP
             EXECUTE format('CREATE TABLE IF NOT EXISTS privet.messages_%s PARTITION OF privet.messages FOR VALUES FROM (%s) TO (%s)',
               to_char(month, 'YYYY_MM'), (extract(epoch FROM month) * 1000)::bigint,
               (extract(epoch FROM month + interval '1 month') * 1000)::bigint);
           END LOOP;
         END $$",
        from.as_millis(),
        until.as_millis()
    )
}

async fn fill(bench: &Bench, pool: &PgPool) {
    let now = bench.now.as_millis();
    script(pool, &months(Timestamp::from_millis(now - 300 * DAY), bench.now)).await;
    let fill = MESSAGES.replace("{now}", &now.to_string()).replace("{size}", &bench.size.to_string());
    script(pool, &format!("BEGIN; {fill}; COMMIT; BEGIN; {BY_HAND}; COMMIT")).await;
    for table in ["privet.messages", "hand.messages"] {
        script(pool, &format!("VACUUM (ANALYZE) {table}")).await;
    }
    settle(pool).await;
}

fn digest(n: u8) -> SubjectDigest {
    SubjectDigest::from_bytes([n; 16])
}

/// Whoever writes meanwhile, whichever side purges: a visit that speaks in a conversation of its own.
async fn say(store: &PostgresStore, bench: &Bench, n: u32) {
    let mut id = [1; 16];
    id[..4].copy_from_slice(&n.to_be_bytes());
    let mut message = MessageToStore::new(
        ConversationId::from_bytes([1; 16]),
        MessageId::from_bytes(id),
        bench.now,
        Channel::AiSearch,
        Author::Visitor,
        Sealed::from_bytes(vec![0; 64]),
    );
    message.opens = n == 0;
    let owner = OwnerProof::Session { session: digest(1), subject: digest(2) };
    let horizon = Horizon::unlimited(bench.now);
    store.record_message(&bench.scope, &owner, &message, bench.now, &horizon).await.unwrap();
}

/// Writes while something else runs. How long each took from when it was due.
async fn meanwhile<T>(
    mut write: impl AsyncFnMut() + Send,
    times: &mut Vec<Duration>,
    work: impl Future<Output = T>,
) -> T {
    let over = Arc::new(AtomicBool::new(false));
    let writing = async {
        let mut due = Instant::now();
        while !over.load(Ordering::Relaxed) {
            tokio::time::sleep_until(due.into()).await;
            write().await;
            times.push(due.elapsed());
            due += EVERY;
        }
    };
    let working = async {
        let done = work.await;
        over.store(true, Ordering::Relaxed);
        done
    };
    let (done, ()) = futures_util::future::join(working, writing).await;
    done
}

fn writer(what: &str, times: &mut [Duration]) {
    let [half, most, all] = [0.5, 0.99, 1.0].map(|p| part(times, p).as_secs_f64() * 1e3);
    println!("{what:<44} p50 {half:.2} ms, p99 {most:.2} ms, at most {all:.2} ms ({} writes)", times.len());
}

pub(crate) async fn run(bench: &Bench) {
    let (store, pool) = (bench.store().await, bench.pool().await);
    fill(bench, &pool).await;
    let sizes = (megabytes(&pool, "hand.messages").await, bench.size);
    title(&format!("purge of a tenth of {} messages beside 200 writes/s", sizes.1), "rows/s, at least 0.80");
    let mut count = 0;
    let [mut quiet, mut beside, mut beside_by_hand] = [const { Vec::new() }; 3];
    let write = async |count: &mut u32| {
        say(&store, bench, *count).await;
        *count += 1;
    };
    let pause = tokio::time::sleep(Duration::from_secs(3));
    meanwhile(async || write(&mut count).await, &mut quiet, pause).await;
    let [mut purged, mut deleted] = [Done::default(); 2];
    for turn in 1..=PARTS {
        let before = Timestamp::from_millis(bench.now.as_millis() - 300 * DAY + turn * 30 * DAY / PARTS);
        let horizon = Horizon::unlimited(bench.now).with(DataClass::Messages, before);
        let purging = async {
            let tenant = &bench.scope.tenant;
            let from = Instant::now();
            loop {
                let gone =
                    store.purge_step(tenant, DataClass::Messages, STEP, &horizon, bench.now).await.unwrap();
                purged.rows += u64::from(gone);
                if gone < STEP {
                    break;
                }
            }
            purged.took += from.elapsed();
        };
        let deleting = async {
            let from = Instant::now();
            loop {
                let delete = sqlx::query(DELETE).bind("main").bind(before.as_millis());
                let gone = delete.bind(i64::from(STEP)).execute(&pool).await.unwrap().rows_affected();
                deleted.rows += gone;
                if gone < u64::from(STEP) {
                    break;
                }
            }
            deleted.took += from.elapsed();
        };
        // Each is first as often as the other.
        if turn % 2 == 1 {
            meanwhile(async || write(&mut count).await, &mut beside, purging).await;
            meanwhile(async || write(&mut count).await, &mut beside_by_hand, deleting).await;
        } else {
            meanwhile(async || write(&mut count).await, &mut beside_by_hand, deleting).await;
            meanwhile(async || write(&mut count).await, &mut beside, purging).await;
        }
    }
    assert_eq!(purged.rows, deleted.rows);
    rates(&format!("{STEP} at once, {} of {} MB", purged.rows, sizes.0), purged, deleted);
    writer("the writer alone", &mut quiet);
    writer("the writer beside privet's purge", &mut beside);
    writer("the writer beside the purge by hand", &mut beside_by_hand);
    script(&pool, "DROP TABLE hand.messages; TRUNCATE privet.messages, privet.conversations").await;
}
