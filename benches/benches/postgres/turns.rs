//! Both sides in turns.

use std::time::{Duration, Instant};

use sqlx::PgPool;
use sqlx::{AssertSqlSafe, Executor as _};

pub(crate) const RUNS: usize = 301;
const WARM: usize = 20;

/// How long each of both takes, half of all times at most: each in turn, and each with the number of its run.
pub(crate) async fn p50(
    mut ours: impl AsyncFnMut(usize),
    mut by_hand: impl AsyncFnMut(usize),
) -> (Duration, Duration) {
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for run in 0..WARM + RUNS {
        let from = Instant::now();
        ours(run % RUNS).await;
        let between = Instant::now();
        by_hand(run % RUNS).await;
        if run >= WARM {
            first.push(between - from);
            second.push(between.elapsed());
        }
    }
    (part(&mut first, 0.5), part(&mut second, 0.5))
}

/// What so large a part of all times is at most.
pub(crate) fn part(times: &mut [Duration], part: f64) -> Duration {
    times.sort_unstable();
    let at = ((times.len() as f64 * part) as usize).min(times.len().saturating_sub(1));
    times.get(at).copied().unwrap_or_default()
}

/// How much was done in how long.
#[derive(Clone, Copy, Default)]
pub(crate) struct Done {
    pub(crate) rows: u64,
    pub(crate) took: Duration,
}

impl Done {
    pub(crate) fn add(&mut self, rows: u64, took: Duration) {
        self.rows += rows;
        self.took += took;
    }

    pub(crate) fn per_second(self) -> f64 {
        self.rows as f64 / self.took.as_secs_f64()
    }
}

pub(crate) fn title(what: &str, unit: &str) {
    println!("\n{what:<44} {:>13} {:>13}  {unit}", "privet", "by hand");
}

/// Latencies: how many times as long ours takes.
pub(crate) fn times(what: &str, (ours, by_hand): (Duration, Duration)) {
    let micros = |d: Duration| d.as_secs_f64() * 1e6;
    println!(
        "{what:<44} {:>10.1} µs {:>10.1} µs {:>6.2} x",
        micros(ours),
        micros(by_hand),
        ours.as_secs_f64() / by_hand.as_secs_f64()
    );
}

/// Rates: which part of the rate by hand ours reaches.
pub(crate) fn rates(what: &str, ours: Done, by_hand: Done) {
    let (ours, by_hand) = (ours.per_second(), by_hand.per_second());
    println!("{what:<44} {ours:>11.0}/s {by_hand:>11.0}/s {:>6.2} x", ours / by_hand);
}

/// Several statements without values.
pub(crate) async fn script(pool: &PgPool, sql: &str) {
    pool.execute(sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))).await.unwrap();
}

/// Everything on the disk, so that nobody pays for what came before.
pub(crate) async fn settle(pool: &PgPool) {
    script(pool, "CHECKPOINT").await;
}
