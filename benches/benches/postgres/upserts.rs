//! Activity of contacts, a thousand at once.

use std::time::{Duration, Instant};

use privet::Timestamp;
use privet::contact::{ContactId, FenceEpoch};
use privet::store::{ContactStore as _, ContactTouch};
use sha2::{Digest as _, Sha256};

use crate::Bench;
use crate::turns::{Done, rates, settle, title};

const BATCH: i64 = 1_000;
const BATCHES: i64 = 60;
const TOUCHED: u64 = (BATCH * BATCHES).unsigned_abs();

const BY_HAND: &str = "
    UPDATE hand.contacts c SET last_seen = t.at FROM unnest($3::bytea[], $4::bigint[]) AS t (id, at)
    WHERE c.tenant = $1 AND c.site = $2 AND c.id = t.id AND c.last_seen < t.at";

/// The same where all is kept that the store keeps, with its indexes.
const ON_THE_SAME_TABLE: &str = "
    UPDATE privet.contacts c SET last_seen = t.at FROM unnest($3::bytea[], $4::bigint[]) AS t (id, at)
    WHERE c.tenant = $1 AND c.site = $2 AND c.id = t.id AND c.last_seen < t.at";

/// The same, for whoever does not know whether they are there.
const OR_INSERT: &str = "
    INSERT INTO hand.contacts (tenant, site, id, created, last_seen, conversations, consent_until)
    SELECT $1, $2, t.id, t.at, t.at, 0, 0 FROM unnest($3::bytea[], $4::bigint[]) AS t (id, at)
    ON CONFLICT (tenant, site, id) DO UPDATE SET last_seen = excluded.last_seen WHERE contacts.last_seen < excluded.last_seen";

/// As the table was filled.
fn id(i: i64) -> [u8; 16] {
    let digest = Sha256::digest(format!("a{i}"));
    std::array::from_fn(|at| digest[at])
}

pub(crate) async fn run(bench: &Bench) {
    let (store, pool) = (bench.store().await, bench.pool().await);
    settle(&pool).await;
    title(&format!("activity of contacts, {BATCH} at once"), "rows/s, at least 0.80");
    for (round, (what, sql)) in (0..).zip([
        ("beside UPDATE .. FROM unnest", BY_HAND),
        ("beside INSERT .. ON CONFLICT", OR_INSERT),
        ("beside UPDATE on the store's own table", ON_THE_SAME_TABLE),
    ]) {
        let (mut ours, mut by_hand) = (Done::default(), Done::default());
        let mut dice = 1_u64;
        for batch in 0..BATCHES {
            // All over the table, none twice in a batch, and in no order.
            let step = bench.size / BATCH;
            let mut pick = || {
                let some = (0..BATCH).map(|n| {
                    dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    id(n * step + i64::try_from(dice >> 33).unwrap() % step)
                });
                some.collect::<Vec<_>>()
            };
            let some = pick();
            let at = Timestamp::from_millis(bench.now.as_millis() + (round * BATCHES + batch + 1) * 60_000);
            let touches: Vec<_> = some
                .iter()
                .map(|id| ContactTouch {
                    scope: bench.scope.clone(),
                    id: ContactId::from_bytes(*id),
                    epoch: FenceEpoch::FIRST,
                    at,
                    gone_before: Timestamp::from_millis(0),
                })
                .collect();
            let from = Instant::now();
            ours.add(store.touch_contacts(&touches).await.unwrap(), from.elapsed());
            // What was just written is newer.
            let some = if sql == ON_THE_SAME_TABLE { pick() } else { some };
            let later = at + Duration::from_secs(30);
            let from = Instant::now();
            let done = sqlx::query(sql)
                .bind("main")
                .bind("main")
                .bind(some.iter().map(|id| id.to_vec()).collect::<Vec<_>>())
                .bind(vec![later.as_millis(); some.len()])
                .execute(&pool)
                .await
                .unwrap();
            by_hand.add(done.rows_affected(), from.elapsed());
        }
        assert_eq!((ours.rows, by_hand.rows), (TOUCHED, TOUCHED));
        rates(what, ours, by_hand);
    }
}
