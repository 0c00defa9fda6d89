//! Connections of a pool, and an end to what the pool itself would wait for without one: that somebody answers who is not there.

use std::cell::Cell;
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::time::Duration;

use sqlx::pool::{PoolConnection, PoolConnectionMetadata};
use sqlx::{Connection as _, PgConnection, Postgres};
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::Db;

/// A connection that nobody used for so long is tried first, for this long.
const FORGOTTEN: Duration = Duration::from_secs(60);
const ANSWERS: Duration = Duration::from_secs(2);

/// How old a connection is, and for how long it lay idle.
#[derive(Clone, Copy, Default)]
struct About {
    age: Duration,
    idle: Duration,
}

tokio::task_local! {
    /// Of the one that the pool is about to give to this task.
    static ABOUT: Cell<About>;
}

type Told<'c> = Pin<Box<dyn Future<Output = Result<bool, sqlx::Error>> + Send + 'c>>;

/// For the pool to call before it gives a connection away. It is not judged here, since the pool closes what is refused before it
/// goes on, and closing an encrypted connection waits for the other end.
#[allow(clippy::needless_pass_by_value, reason = "the pool gives it away")]
pub(super) fn tell(_: &mut PgConnection, about: PoolConnectionMetadata) -> Told<'_> {
    // Another task than one of ours asks when a pool is closed.
    let _ = ABOUT.try_with(|told| told.set(About { age: about.age, idle: about.idle_for }));
    Box::pin(std::future::ready(Ok(true)))
}

impl Db {
    /// A connection that is to be relied on, as far as that can be told. A unit that meets a dead one is repeated on another one,
    /// which costs nothing while all live; only what lay idle for long is tried: something on the way may have forgotten it, which
    /// tells nobody.
    pub(crate) async fn acquire(&self) -> Result<PoolConnection<Postgres>, sqlx::Error> {
        loop {
            let acquiring =
                async { Ok::<_, sqlx::Error>((self.pool.acquire().await?, ABOUT.with(Cell::get))) };
            let (connection, about) = ABOUT.scope(Cell::default(), acquiring).await?;
            if !self.trusts(about.age) {
                close(connection);
            } else if about.idle < FORGOTTEN {
                return Ok(connection);
            } else if let Some(connection) = answering(connection).await {
                return Ok(connection);
            } else {
                // The others lie there for as long, or will be met after it.
                self.withdraw_trust();
            }
        }
    }
}

/// A connection, if it is answered on. Whoever asks may go away meanwhile: in a task of its own, so that its place is not kept by
/// a pool that waits for the answer.
async fn answering(mut connection: PoolConnection<Postgres>) -> Option<PoolConnection<Postgres>> {
    let trying = tokio::spawn(async move {
        if timeout(ANSWERS, connection.ping()).await.is_ok_and(|ping| ping.is_ok()) {
            return Some(connection);
        }
        close(connection);
        None
    });
    trying.await.ok().flatten()
}

/// Its place is somebody else's at once.
fn close(connection: PoolConnection<Postgres>) {
    drop(tokio::spawn(timeout(ANSWERS, connection.detach().close())));
}

/// A connection that goes back to its pool when what it was for is settled. One that is dropped before, since the visitor went
/// away, or whoever waited gave up, is not used again: it may have a transaction open, for whoever comes next, who may be the app
/// itself; and perhaps there is nobody at its other end.
pub(crate) struct Pooled {
    connection: PoolConnection<Postgres>,
    settled: bool,
}

impl Pooled {
    pub(super) fn new(connection: PoolConnection<Postgres>) -> Self {
        Self { connection, settled: false }
    }

    pub(super) fn settled(&mut self, settled: bool) {
        self.settled = settled;
    }
}

impl Deref for Pooled {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.connection
    }
}

impl DerefMut for Pooled {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        match Handle::try_current() {
            // The pool tries it before it takes it back, and would keep its place for as long as that takes.
            Ok(runtime) if self.settled => {
                drop(runtime.spawn(timeout(ANSWERS, self.connection.return_to_pool())));
            }
            _ => self.connection.close_on_drop(),
        }
    }
}
