//! A server that follows, for lists and exports, which may be a moment old. What decides reads the primary.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use privet::{Error, Result};
use sqlx::Row as _;

use crate::db::{Db, On, UnitResult, Whose, attempt, now, read};
use crate::error::{UnitError, told};

/// How far a server that is read from is behind. One that follows the primary no more has no such figure.
///
/// ```no_run
/// # async fn example() -> privet::Result<()> {
/// let options = privet_postgres::PostgresOptions::new("postgres://shop:secret@db.internal/shop")?;
/// let store = options.read_url("postgres://shop:secret@standby.internal/shop")?.store().await?;
/// if let Some(lag) = store.replica_lag().await? {
///     println!("lists are {:?} old, {} bytes behind", lag.behind, lag.bytes);
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReplicaLag {
    /// How much of the write-ahead log it has not replayed yet.
    pub bytes: u64,
    /// How old the last commit is that it has replayed; zero when it has replayed everything.
    pub behind: Duration,
}

/// What is not reached is left alone for so long.
const REST_MS: i64 = 5_000;
/// After an export that it ended, exports are read from the primary for so long.
const NO_EXPORTS_MS: i64 = 3_600_000;
/// How long a look at how far it is is waited for, and how long a list, which may go through a lot.
const GLANCE: Duration = Duration::from_secs(3);
pub(crate) const LIST: Duration = Duration::from_secs(20);
/// How far it is behind is looked at this often at least, while it is read from.
const LOOK_MS: i64 = 10_000;

#[derive(Debug, Default)]
struct State {
    rests_until: AtomicI64,
    /// Until when what was seen of it counts; and that it may be read from.
    seen_until: AtomicI64,
    fit: AtomicBool,
    /// Until when exports are read from the primary, since it ended one.
    no_exports_until: AtomicI64,
    /// When the last commit was that it had replayed by then.
    replayed: AtomicI64,
    /// Whether it was said that it is left alone, or behind.
    down: AtomicBool,
    late: AtomicBool,
}

#[derive(Clone, Debug)]
pub(crate) struct Replica {
    pub(crate) db: Db,
    bound: Duration,
    state: Arc<State>,
}

/// How far the primary has written, of which cluster, and on which timeline: each promotion begins another one.
struct Written {
    lsn: String,
    cluster: i64,
    timeline: i64,
    started: i64,
}

async fn written(on: &mut On<'_>) -> UnitResult<Written> {
    let row = on
        .q("SELECT lsn::text, ('x' || lpad(left(pg_walfile_name(lsn), 8), 16, '0'))::bit(64)::bigint,
                   (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint,
                   (SELECT system_identifier FROM pg_control_system())
            FROM pg_current_wal_lsn() AS lsn")
        .fetch_one(&mut *on.c)
        .await?;
    let (lsn, timeline, started, cluster) =
        (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?);
    Ok(Written { lsn, cluster, timeline, started })
}

async fn replayed(on: &mut On<'_>, written: &Written) -> UnitResult<ReplicaLag> {
    // One that has replayed nothing yet is as old as its start. The timeline is that of what it has written back, which is a
    // moment old after another one was promoted.
    let row = on
        .q("SELECT pg_is_in_recovery(), (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint = $2,
                   greatest((SELECT timeline_id FROM pg_control_checkpoint()),
                            (SELECT min_recovery_end_timeline FROM pg_control_recovery()))::bigint,
                   pg_wal_lsn_diff($1::text::pg_lsn, pg_last_wal_replay_lsn())::bigint,
                   greatest(0, extract(epoch FROM clock_timestamp()
                     - coalesce(pg_last_xact_replay_timestamp(), pg_postmaster_start_time())) * 1000)::bigint,
                   (SELECT system_identifier FROM pg_control_system())")
        .bind(written.lsn.clone())
        .bind(written.started)
        .fetch_one(&mut *on.c)
        .await?;
    let (follows, is_started, cluster): (bool, bool, i64) =
        (row.try_get(0)?, row.try_get(1)?, row.try_get(5)?);
    if !follows && is_started && cluster == written.cluster {
        // The primary itself.
        return Ok(ReplicaLag { bytes: 0, behind: Duration::ZERO });
    }
    if !follows || cluster != written.cluster || row.try_get::<i64, _>(2)? != written.timeline {
        return Err(astray().into());
    }
    // It may have replayed what the primary wrote since that was asked.
    let bytes = row.try_get::<Option<i64>, _>(3)?.unwrap_or(0).max(0).unsigned_abs();
    let behind = Duration::from_millis(row.try_get::<i64, _>(4)?.unsigned_abs());
    Ok(ReplicaLag { bytes, behind: if bytes == 0 { Duration::ZERO } else { behind } })
}

/// What it has may be as old as the day on which they parted.
fn astray() -> Error {
    Error::unavailable(
        "postgres",
        "the server of `read_url` does not follow the primary: it was promoted or detached, or follows another one; make it a standby of the primary again, or leave out `read_url`",
    )
}

impl Replica {
    pub(crate) fn new(db: Db, bound: Duration) -> Self {
        Self { db, bound, state: Arc::default() }
    }

    pub(crate) async fn lag(&self, primary: &Db) -> Result<ReplicaLag> {
        let written = read!(primary, Whose::Installation, on => written(on))?;
        self.look(&written).await.map_err(|error| match error {
            UnitError::Rule(error) => error,
            UnitError::Sql(error) | UnitError::Commit(error) => told(self.db.store, &error),
        })
    }

    /// Once: who waits for a list does not wait for this.
    async fn look(&self, written: &Written) -> UnitResult<ReplicaLag> {
        let db = &self.db;
        self.waited(GLANCE, async { attempt!(db, place(Whose::Installation), on => replayed(on, written)) })
            .await
    }

    /// One that fell silent is not waited for: the primary has it all.
    pub(crate) async fn waited<T>(
        &self,
        longest: Duration,
        looked: impl Future<Output = UnitResult<T>>,
    ) -> UnitResult<T> {
        let silent = |_| Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()).into());
        tokio::time::timeout(longest, looked).await.unwrap_or_else(silent)
    }

    /// Whether to read there. It is looked at on the way how far it is behind.
    pub(crate) async fn is_ready(&self, primary: &Db, now: i64) -> bool {
        let state = &self.state;
        if now < state.rests_until.load(Ordering::Relaxed) {
            return false;
        }
        let seen_until = state.seen_until.load(Ordering::Relaxed);
        if now < seen_until {
            return state.fit.load(Ordering::Relaxed);
        }
        match self.lag(primary).await {
            Ok(lag) => {
                self.say(lag);
                // From now on it may fall behind as fast as time goes.
                let room = self.bound.saturating_sub(lag.behind).as_millis();
                let fit = lag.behind <= self.bound;
                let counts = if fit { i64::try_from(room).unwrap_or(LOOK_MS).min(LOOK_MS) } else { REST_MS };
                state.fit.store(fit, Ordering::Relaxed);
                let behind = i64::try_from(lag.behind.as_millis()).unwrap_or(i64::MAX);
                state.replayed.store(now.saturating_sub(behind), Ordering::Relaxed);
                state.seen_until.store(now.saturating_add(counts), Ordering::Relaxed);
                fit
            }
            Err(error) => {
                self.rest(&error, now);
                false
            }
        }
    }

    /// How old what it has may be: since it was looked at it may have stood still.
    pub(crate) fn behind(&self, now: i64) -> Duration {
        let since = now.saturating_sub(self.state.replayed.load(Ordering::Relaxed));
        Duration::from_millis(since.max(0).unsigned_abs())
    }

    fn say(&self, lag: ReplicaLag) {
        let late = lag.behind > self.bound;
        let was = self.state.late.swap(late, Ordering::Relaxed);
        if late && !was {
            tracing::warn!(
                bytes = lag.bytes,
                behind_ms = lag.behind.as_millis(),
                "the standby for lists and exports is behind, and the primary is read instead; look into its replication, or leave out `read_url`"
            );
        } else if was && !late {
            tracing::info!("the standby that lists are read from has caught up");
        }
    }

    fn answered(&self) {
        if self.state.down.swap(false, Ordering::Relaxed) {
            tracing::info!("lists and exports are read from the standby again");
        }
    }

    /// It ended an export, since it has to go on, or went away in the middle: it may do so again.
    pub(crate) fn ended_export(&self, now: i64) {
        self.state.no_exports_until.store(now + NO_EXPORTS_MS, Ordering::Relaxed);
    }

    pub(crate) fn takes_exports(&self, now: i64) -> bool {
        now >= self.state.no_exports_until.load(Ordering::Relaxed)
    }

    fn rest(&self, why: &Error, now: i64) {
        // What lies idle was lost as well, most likely.
        self.db.withdraw_trust();
        self.state.rests_until.store(now + REST_MS, Ordering::Relaxed);
        self.state.seen_until.store(0, Ordering::Relaxed);
        if !self.state.down.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "the standby for lists and exports is of no use, and the primary is read instead: {why}"
            );
        }
    }

    /// What it answered, or nothing, if the primary is to be asked. A standby ends a look that is in the way of what it
    /// replays: the primary answers that one too.
    pub(crate) fn settle<T>(&self, looked: UnitResult<T>) -> Option<Result<T>> {
        match looked {
            Ok(value) => {
                self.answered();
                Some(Ok(value))
            }
            Err(UnitError::Rule(error)) => Some(Err(error)),
            Err(UnitError::Sql(error) | UnitError::Commit(error)) => {
                self.rest(&told(self.db.store, &error), now());
                None
            }
        }
    }
}
