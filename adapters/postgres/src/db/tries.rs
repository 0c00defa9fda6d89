//! Units of work that are repeated where that is safe.

use std::time::{Duration, Instant};

use privet::Result;

use super::{Db, UnitResult};
use crate::error::{Failure, UnitError, told, unknown};

/// How often a collision is tried again: each time somebody else got through.
const COLLISIONS: u32 = 20;
/// For how long a lost connection is tried again where there is one server.
const LOSSES: Duration = Duration::from_secs(5);
const SHORTEST: Duration = Duration::from_millis(2);
const LONGEST: Duration = Duration::from_millis(250);

/// Whether a unit may run a second time when nobody knows whether it was committed the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Twice {
    /// It goes by an id, or says how things are to be.
    Harmless,
    /// Its second answer would be another one.
    Never,
}

/// How often a unit has been tried, and whether it is tried again.
pub(crate) struct Tries<'d> {
    db: &'d Db,
    twice: Twice,
    collisions: u32,
    losses: u32,
    /// When the first connection was lost, of which it may have taken a while to become known.
    lost: Option<Instant>,
    /// A commit had no answer: it may stand, whatever came after it.
    unsure: bool,
}

impl<'d> Tries<'d> {
    pub(super) fn of(db: &'d Db, twice: Twice) -> Self {
        Self { db, twice, collisions: 0, losses: 0, lost: None, unsure: false }
    }

    /// What the unit ended with, or nothing, after a pause, if it is to run again.
    pub(crate) async fn settle<T>(&mut self, done: UnitResult<T>) -> Option<Result<T>> {
        let (error, committing) = match done {
            Ok(value) => return Some(Ok(value)),
            Err(UnitError::Rule(error)) => return Some(Err(error)),
            Err(UnitError::Sql(error)) => (error, false),
            Err(UnitError::Commit(error)) => (error, true),
        };
        let failure = Failure::of(&error);
        self.unsure |= committing && failure == Failure::Lost;
        if self.unsure && self.twice == Twice::Never {
            return Some(Err(unknown(self.db.store, &error)));
        }
        let (over, attempts) = match failure {
            Failure::Collision => {
                self.collisions += 1;
                (self.collisions > COLLISIONS, self.collisions)
            }
            Failure::Lost => {
                self.losses += 1;
                // What else lies idle was lost with it, most likely, and would be met one by one.
                self.db.trust.withdraw();
                let longest = match &self.db.hosts {
                    // A standby takes its time to be promoted.
                    Some(hosts) => {
                        hosts.choose(&self.db.pool).await;
                        self.db.wait
                    }
                    None => LOSSES.min(self.db.wait),
                };
                let lost = *self.lost.get_or_insert_with(Instant::now);
                (lost.elapsed() > longest, self.losses.min(8))
            }
            Failure::Lasting => (true, 0),
        };
        if over {
            let told = if self.unsure { unknown } else { told };
            return Some(Err(told(self.db.store, &error)));
        }
        tracing::debug!("a unit of work is repeated: {failure:?}");
        let pause = (SHORTEST * 2_u32.saturating_pow(attempts)).min(LONGEST);
        tokio::time::sleep(pause.mul_f64(0.5 + part_of_one() / 2.0)).await;
        None
    }
}

/// Enough to keep two who met from meeting again.
fn part_of_one() -> f64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    f64::from(now.map_or(0, |d| d.subsec_nanos()) % 1000) / 1000.0
}

/// Opens a transaction or a place, works there, and ends it: once.
macro_rules! attempt {
    ($db:expr, $open:ident($whose:expr), $on:ident => $work:expr) => {
        match $db.$open($crate::db::Whose::from($whose)).await {
            Ok(mut opened) => {
                let worked = {
                    let $on = &mut $crate::db::On { c: &mut opened, sql: &$db.sql };
                    $db.watched($work).await
                };
                $db.end(opened, worked).await
            }
            Err(error) => Err(error),
        }
    };
}

/// The same, and again where that is safe.
macro_rules! again {
    ($db:expr, $twice:expr, $open:ident($whose:expr), $on:ident => $work:expr) => {{
        let db: &$crate::db::Db = &$db;
        let mut tries = db.tries($twice);
        loop {
            let done = $crate::db::attempt!(db, $open($whose), $on => $work);
            if let Some(result) = tries.settle(done).await {
                break result;
            }
        }
    }};
}

/// Runs a unit of work in a transaction that is durable when it is through.
macro_rules! unit {
    ($db:expr, $whose:expr, $twice:expr, $on:ident => $work:expr) => {
        $crate::db::again!($db, $twice, begin($whose), $on => $work)
    };
}

/// Runs one statement that reads.
macro_rules! read {
    ($db:expr, $whose:expr, $on:ident => $work:expr) => {
        $crate::db::again!($db, $crate::db::Twice::Harmless, place($whose), $on => $work)
    };
}

/// Runs several statements that read, all at one moment.
macro_rules! read_moment {
    ($db:expr, $whose:expr, $on:ident => $work:expr) => {
        $crate::db::again!($db, $crate::db::Twice::Harmless, moment($whose), $on => $work)
    };
}

pub(crate) use {again, attempt, read, read_moment, unit};
