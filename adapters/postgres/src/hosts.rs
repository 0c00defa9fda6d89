//! Several servers, one of which takes writes: which one it is, is asked again whenever a connection is lost.

use std::fmt;
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use futures_util::future::{Either, select};
use sqlx::postgres::{PgConnectOptions, PgPool};
use sqlx::{Connection as _, PgConnection, Row as _};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

/// A server that says nothing for so long is passed over this time.
const ANSWER: Duration = Duration::from_secs(2);
/// Nobody asks more often than this.
const REST: Duration = Duration::from_millis(200);
/// Who waits for a connection asks this often whether another server writes by now.
pub(crate) const PATIENCE: Duration = Duration::from_millis(500);
/// And who waits for an answer within a unit, which may take its time.
pub(crate) const SILENCE: Duration = Duration::from_secs(2);

/// The servers of one database.
#[derive(Clone)]
pub(crate) struct Hosts {
    all: Arc<[PgConnectOptions]>,
    asking: Arc<Mutex<Asked>>,
    /// Connections that are older are to another server.
    since: Arc<RwLock<Instant>>,
}

struct Asked {
    /// None before the first answer.
    current: Option<usize>,
    last: Option<Instant>,
}

impl fmt::Debug for Hosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hosts").field("servers", &self.all.len()).finish_non_exhaustive()
    }
}

/// The timeline that a server writes, if it does: the newest one is that of who was promoted last.
async fn writes(options: PgConnectOptions) -> Option<i64> {
    let asked = async {
        let mut connection = PgConnection::connect_with(&options).await?;
        let row = sqlx::query(
            "SELECT CASE WHEN pg_is_in_recovery() THEN NULL
               ELSE ('x' || lpad(left(pg_walfile_name(pg_current_wal_lsn()), 8), 16, '0'))::bit(64)::bigint END",
        )
        .persistent(false)
        .fetch_one(&mut connection)
        .await?;
        let timeline = row.try_get(0)?;
        let _ = connection.close().await;
        Ok::<_, sqlx::Error>(timeline)
    };
    tokio::time::timeout(ANSWER, asked).await.ok()?.ok()?
}

impl Hosts {
    pub(crate) fn new(all: Vec<PgConnectOptions>) -> Self {
        Self {
            all: all.into(),
            asking: Arc::new(Mutex::new(Asked { current: None, last: None })),
            since: Arc::new(RwLock::new(Instant::now())),
        }
    }

    /// Whether a connection of this age is to the server that is written to.
    pub(crate) fn keeps(&self, age: Duration) -> bool {
        // Nobody panics while holding it.
        self.since.read().is_ok_and(|since| age <= since.elapsed())
    }

    /// Connections that are there by now are not used again: one of them met a server that only reads.
    pub(crate) fn distrust(&self) {
        if let Ok(mut since) = self.since.write() {
            *since = Instant::now();
        }
    }

    /// Waits for something that a server answers, and asks every now and then whether another one takes writes instead: then
    /// there is nothing more to wait for.
    pub(crate) async fn watched<T>(
        &self,
        pool: &PgPool,
        every: Duration,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        let began = Instant::now();
        let mut work = std::pin::pin!(work);
        loop {
            let asking = async {
                tokio::time::sleep(every).await;
                self.choose(pool).await;
            };
            // It goes on while the servers are asked, which takes its time where one of them is off.
            match select(work.as_mut(), std::pin::pin!(asking)).await {
                Either::Left((done, _)) => return Some(done),
                Either::Right(_) if self.since.read().is_ok_and(|since| *since > began) => return None,
                Either::Right(_) => {}
            }
        }
    }

    /// Asks every server, and turns the pool to the one that takes writes. Whether that is another one than before.
    pub(crate) async fn choose(&self, pool: &PgPool) -> bool {
        let mut asked = self.asking.lock().await;
        if asked.last.is_some_and(|last| last.elapsed() < REST) {
            return false;
        }
        let mut answers = JoinSet::new();
        for (n, options) in self.all.iter().cloned().enumerate() {
            answers.spawn(async move { (n, writes(options).await) });
        }
        let mut best: Option<(i64, bool, usize)> = None;
        while let Some(answer) = answers.join_next().await {
            let Ok((n, Some(timeline))) = answer else { continue };
            // A server that was cut off may think that it still writes: the one that was promoted after it counts.
            best = best.max(Some((timeline, asked.current == Some(n), n)));
        }
        asked.last = Some(Instant::now());
        let Some((_, _, n)) = best else { return false };
        if asked.current == Some(n) {
            return false;
        }
        let Some(options) = self.all.get(n) else { return false };
        pool.set_connect_options(options.clone());
        self.distrust();
        if asked.current.replace(n).is_some() {
            tracing::warn!(
                server = n + 1,
                "another one of the servers takes writes now; going on with that one"
            );
        }
        true
    }
}
