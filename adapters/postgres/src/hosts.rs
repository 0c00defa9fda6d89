//! Several servers, one of which takes writes: which one it is, is asked again whenever a connection is lost.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::{Either, select};
use sqlx::postgres::{PgConnectOptions, PgPool};
use sqlx::{Connection as _, PgConnection, Row as _};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use crate::db::Trust;
use crate::error::told;

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
    /// Since when it is the one that it is.
    changed: Trust,
}

struct Asked {
    /// None before the first answer.
    current: Option<usize>,
    last: Option<Instant>,
    /// Of which cluster the first one was that was used, and the newest timeline that was: an old primary that lives on is not
    /// gone back to, also while the one after it does not answer.
    cluster: Option<i64>,
    newest: i64,
}

impl fmt::Debug for Hosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hosts").field("servers", &self.all.len()).finish_non_exhaustive()
    }
}

/// What a server says of itself.
#[derive(Clone, Copy)]
struct Says {
    /// Which cluster it is of: a standby has that of its primary.
    cluster: i64,
    /// The timeline that it writes, if it does: the newest one is that of who was promoted last.
    timeline: Option<i64>,
}

async fn ask(options: PgConnectOptions) -> Result<Says, sqlx::Error> {
    let asked = async {
        let mut connection = PgConnection::connect_with(&options).await?;
        // In one message: a pooler may go on with another server after it.
        let row = sqlx::raw_sql(
            "SELECT (SELECT system_identifier FROM pg_control_system()), CASE WHEN pg_is_in_recovery() THEN NULL
               ELSE ('x' || lpad(left(pg_walfile_name(pg_current_wal_lsn()), 8), 16, '0'))::bit(64)::bigint END",
        )
        .fetch_one(&mut connection)
        .await?;
        let says = Says { cluster: row.try_get(0)?, timeline: row.try_get(1)? };
        let _ = connection.close().await;
        Ok(says)
    };
    let silent = |_| Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()));
    tokio::time::timeout(ANSWER, asked).await.unwrap_or_else(silent)
}

impl Hosts {
    pub(crate) fn new(all: Vec<PgConnectOptions>) -> Self {
        Self {
            all: all.into(),
            asking: Arc::new(Mutex::new(Asked { current: None, last: None, cluster: None, newest: 0 })),
            changed: Trust::default(),
        }
    }

    /// Which connections are to the server that is written to.
    pub(crate) fn changed(&self) -> &Trust {
        &self.changed
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
                Either::Right(_) if self.changed.withdrawn_after(began) => return None,
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
            answers.spawn(async move { (n, ask(options).await) });
        }
        let mut said: Vec<(usize, Says)> = Vec::new();
        while let Some(answer) = answers.join_next().await {
            match answer {
                Ok((n, Ok(says))) => said.push((n, says)),
                // Whoever is to take over one day is looked at while nothing depends on it.
                Ok((n, Err(error))) if asked.last.is_none() => tracing::warn!(
                    server = n + 1,
                    "one of the servers does not say whether it takes writes: {}",
                    told("postgres", &error)
                ),
                _ => {}
            }
        }
        // They are of one cluster, which is that of the first URL; until that one has answered, of the first that did.
        said.sort_by_key(|(n, _)| *n);
        let cluster = asked.cluster.or(said.first().map(|(_, says)| says.cluster));
        let known = asked.cluster.is_some();
        if asked.cluster.is_none() && said.first().is_some_and(|(n, _)| *n == 0) {
            asked.cluster = cluster;
        }
        let first = asked.last.replace(Instant::now()).is_none();
        let mut best: Option<(i64, bool, usize)> = None;
        for (n, says) in said {
            if Some(says.cluster) != cluster {
                if first || !known {
                    tracing::error!(
                        server = n + 1,
                        "one of the servers is of another database cluster, and will not be used; correct its URL"
                    );
                }
                continue;
            }
            let Some(timeline) = says.timeline.filter(|timeline| *timeline >= asked.newest) else { continue };
            best = best.max(Some((timeline, asked.current == Some(n), n)));
        }
        let Some((timeline, _, n)) = best else { return false };
        asked.newest = timeline;
        if asked.current == Some(n) {
            return false;
        }
        let Some(options) = self.all.get(n) else { return false };
        pool.set_connect_options(options.clone());
        self.changed.withdraw();
        if asked.current.replace(n).is_some() {
            tracing::warn!(
                server = n + 1,
                "another one of the servers takes writes now; going on with that one"
            );
        }
        true
    }
}
