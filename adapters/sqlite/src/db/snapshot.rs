//! One moment of the file, read from for longer than one unit.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_channel::oneshot;
use privet::{Error, Result};
use rusqlite::Connection;

use super::{Db, Shared, UnitResult, connect_reader};

/// A moment from which nobody read for so long is let go when it is in the way of a checkpoint.
const IDLE: Duration = Duration::from_secs(60);

/// A connection that sees one moment, while nobody reads from it.
pub(super) struct Held {
    connection: Option<Connection>,
    since: Instant,
}

fn held(held: &Mutex<Held>) -> MutexGuard<'_, Held> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lets go of moments that somebody opened and does not read from any more; whether there was one.
pub(super) fn close_idle(shared: &Shared) -> bool {
    let mut closed = false;
    shared.queues().snapshots.retain(|snapshot| {
        let Some(snapshot) = snapshot.upgrade() else { return false };
        let mut held = held(&snapshot);
        let is_idle = held.connection.is_some() && held.since.elapsed() >= IDLE;
        if is_idle {
            held.connection = None;
            closed = true;
        }
        !is_idle
    });
    if closed {
        tracing::warn!("an export that nobody read on was in the way of a checkpoint, and was ended");
    }
    closed
}

impl Db {
    /// Opens one moment of the file to read from for longer than one unit, on a connection of its own.
    pub(crate) async fn snapshot(&self) -> Result<DbSnapshot> {
        let path = self.path.clone();
        let connection = self
            .read(move |_| {
                let connection = connect_reader(&path)?;
                connection.execute_batch("BEGIN")?;
                // The moment is that of the first look.
                connection.query_row("SELECT count(*) FROM meta", [], |_| Ok(()))?;
                Ok(connection)
            })
            .await?;
        let held = Arc::new(Mutex::new(Held { connection: Some(connection), since: Instant::now() }));
        self.shared.queues().snapshots.push(Arc::downgrade(&held));
        Ok(DbSnapshot { shared: self.shared.clone(), store: self.store, held })
    }
}

/// A connection that sees one moment.
pub(crate) struct DbSnapshot {
    shared: Arc<Shared>,
    store: &'static str,
    held: Arc<Mutex<Held>>,
}

impl fmt::Debug for DbSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DbSnapshot").finish_non_exhaustive()
    }
}

impl Drop for DbSnapshot {
    fn drop(&mut self) {
        let own = Arc::as_ptr(&self.held);
        self.shared.queues().snapshots.retain(|snapshot| snapshot.as_ptr() != own);
    }
}

impl DbSnapshot {
    /// Reads of this moment, on a reading thread.
    pub(crate) async fn read<T, F>(&mut self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> UnitResult<T> + Send + 'static,
    {
        let store = self.store;
        let gone = || {
            Error::unavailable(
                store,
                "the moment that was read from is closed: nobody read on for a minute, a read broke off, or the store was closed; begin anew",
            )
        };
        let connection = held(&self.held).connection.take().ok_or_else(gone)?;
        let (reply, replied) = oneshot::channel();
        {
            let mut queues = self.shared.queues();
            if queues.closed {
                return Err(gone());
            }
            queues.reads.push_back(Box::new(move |_| {
                let read = work(&connection).map_err(|e| e.into_error(store));
                let _ = reply.send((connection, read));
            }));
        }
        self.shared.read.notify_one();
        let (connection, read) = replied.await.map_err(|_| Error::unavailable(store, "a read panicked"))?;
        *held(&self.held) = Held { connection: Some(connection), since: Instant::now() };
        read
    }
}

#[cfg(test)]
mod tests {
    use super::super::Priority;
    use super::*;

    fn log_is_empty(folder: &std::path::Path) -> bool {
        std::fs::metadata(folder.join("test.db-wal")).unwrap().len() == 0
    }

    /// Somebody who opens an export and walks away does not let the log grow for as long as they like.
    #[test]
    fn an_idle_moment_is_let_go_when_it_is_in_the_way() {
        let folder = tempfile::tempdir().unwrap();
        privet::conformance::block_on(async {
            let tables = &["CREATE TABLE meta (n INTEGER)"];
            let db = Db::open(folder.path().join("test.db"), "test", tables).await.unwrap();
            let insert = async || {
                let insert = |c: &Connection| Ok(c.execute("INSERT INTO meta VALUES (1)", [])?);
                db.write(Priority::Urgent, insert).await.unwrap();
            };
            let count = |c: &Connection| {
                Ok(c.query_row("SELECT count(*) FROM meta", [], |row| row.get::<_, i64>(0))?)
            };
            let mut snapshot = db.snapshot().await.unwrap();
            insert().await;
            db.checkpoint().await.unwrap();
            assert_eq!(snapshot.read(count).await.unwrap(), 0, "who reads on is not disturbed");
            assert!(!log_is_empty(folder.path()));
            held(&snapshot.held).since = Instant::now().checked_sub(IDLE).unwrap();
            // Nobody asks for a checkpoint; whoever writes is enough.
            let until = Instant::now() + 10 * super::super::AGAIN;
            while held(&snapshot.held).connection.is_some() {
                assert!(Instant::now() < until, "it is not let go");
                insert().await;
            }
            db.checkpoint().await.unwrap();
            assert!(log_is_empty(folder.path()));
            let error = snapshot.read(count).await.unwrap_err();
            assert!(error.to_string().contains("begin anew"), "{error}");
        });
    }
}
