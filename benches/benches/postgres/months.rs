//! Months of messages that are over for everybody.

use std::time::{Duration, Instant};

use privet::Timestamp;
use privet::retention::DataClass;
use privet::store::{Horizon, RetentionStore as _};

use crate::Bench;
use crate::fill::megabytes;
use crate::purge::months;
use crate::turns::{part, script, settle, times, title};

/// So many months, each with a tenth of all messages: January 2020 is the first.
const MONTHS: [(&str, i64, i64); 5] = [
    ("2020_01", 1_577_836_800_000, 1_580_515_200_000),
    ("2020_02", 1_580_515_200_000, 1_583_020_800_000),
    ("2020_03", 1_583_020_800_000, 1_585_699_200_000),
    ("2020_04", 1_585_699_200_000, 1_588_291_200_000),
    ("2020_05", 1_588_291_200_000, 1_590_969_600_000),
];

fn fill(month: &(&str, i64, i64), size: i64) -> String {
    let (name, low, high) = month;
    format!(
        "INSERT INTO privet.messages_{name} (tenant, site, conversation, number, id, at, channel, author, body)
         SELECT 'main', 'main', substr(sha256(('{name}' || i / 5)::bytea), 1, 16), i % 5 + 1, substr(a, 1, 16),
                {low} + i * ({high} - {low}) / {size}, 1, 1, a || a
         FROM (SELECT i, sha256(('{name}m' || i)::bytea) AS a FROM generate_series(0::bigint, {size} - 1) AS i) AS n;
         CREATE TABLE hand.messages_{name} PARTITION OF hand.messages FOR VALUES FROM ({low}) TO ({high});
         INSERT INTO hand.messages_{name} SELECT * FROM privet.messages_{name}"
    )
}

pub(crate) async fn run(bench: &Bench) {
    let (store, pool) = (bench.store().await, bench.pool().await);
    let each = bench.size / 10;
    let until = Timestamp::from_millis(MONTHS[MONTHS.len() - 1].1);
    script(&pool, &months(Timestamp::from_millis(MONTHS[0].1), until)).await;
    script(
        &pool,
        "CREATE SCHEMA IF NOT EXISTS hand; CREATE TABLE hand.messages (LIKE privet.messages INCLUDING ALL) PARTITION BY RANGE (at)",
    )
    .await;
    for month in &MONTHS {
        script(&pool, &fill(month, each)).await;
        for schema in ["privet", "hand"] {
            script(&pool, &format!("VACUUM (ANALYZE) {schema}.messages_{}", month.0)).await;
        }
    }
    let size = megabytes(&pool, &format!("privet.messages_{}", MONTHS[0].0)).await;
    settle(&pool).await;
    let (mut ours, mut by_hand): (Vec<Duration>, Vec<Duration>) = (Vec::new(), Vec::new());
    let tenants = [bench.scope.tenant.clone()];
    for (name, _, high) in MONTHS {
        let over = Horizon::unlimited(bench.now).with(DataClass::Messages, Timestamp::from_millis(high));
        let from = Instant::now();
        let gone = store.drop_messages(&over, &tenants).await.unwrap();
        ours.push(from.elapsed());
        assert_eq!(i64::try_from(gone).unwrap(), each);
        let from = Instant::now();
        script(&pool, &format!("DROP TABLE hand.messages_{name}")).await;
        by_hand.push(from.elapsed());
    }
    title("a month of messages, as a whole", &format!("p50 of {}", MONTHS.len()));
    let half = (part(&mut ours, 0.5), part(&mut by_hand, 0.5));
    times(&format!("{each} messages, {size} MB, beside DROP TABLE"), half);
    script(&pool, "DROP TABLE hand.messages").await;
}
