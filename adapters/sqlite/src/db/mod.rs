//! One database file: a thread that writes, threads that read, and futures that they wake.

mod snapshot;

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use futures_channel::oneshot;
use privet::{Error, Result};
use rusqlite::Connection;
use rusqlite::config::DbConfig;

use crate::error::{UnitError, opening};

/// Units that share one commit at most: enough for any burst, few enough that the first does not wait long.
const MAX_GROUP: usize = 256;
/// So many threads read.
const READERS: usize = 2;
/// How long to wait for another process that holds the file.
const BUSY: Duration = Duration::from_secs(5);
/// How long a checkpoint waits for readers.
const BUSY_CHECKPOINT: Duration = Duration::from_millis(200);
/// When a checkpoint that a reader was in the way of is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// Older versions of SQLite have known defects in WAL mode that were mended since.
const OLDEST_GOOD: i32 = 3_040_000;

pub(crate) type UnitResult<T> = std::result::Result<T, UnitError>;

/// Who goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Priority {
    /// Somebody waits for it.
    Urgent,
    /// Purges and erasures in steps.
    Housekeeping,
}

/// A unit of work on its way through the writing thread: it runs in a savepoint, and is told afterwards whether the
/// commit it shared went through.
trait Unit: Send {
    fn run(&mut self, connection: &Connection) -> bool;
    fn settle(self: Box<Self>, committed: std::result::Result<(), &str>);
}

struct UnitOf<F, T> {
    work: Option<F>,
    result: Option<UnitResult<T>>,
    reply: oneshot::Sender<Result<T>>,
    store: &'static str,
}

impl<F, T> Unit for UnitOf<F, T>
where
    F: FnOnce(&Connection) -> UnitResult<T> + Send,
    T: Send,
{
    fn run(&mut self, connection: &Connection) -> bool {
        // What panics is rolled back like what fails: the thread has to go on for everybody else.
        let work = self.work.take();
        self.result = catch_unwind(AssertUnwindSafe(|| work.map(|work| work(connection)))).unwrap_or(None);
        matches!(self.result, Some(Ok(_)))
    }

    fn settle(self: Box<Self>, committed: std::result::Result<(), &str>) {
        let result = match (self.result, committed) {
            (Some(Err(error)), _) => Err(error.into_error(self.store)),
            (Some(Ok(value)), Ok(())) => Ok(value),
            (_, Err(why)) => Err(Error::unavailable(self.store, why.to_owned())),
            (None, Ok(())) => {
                Err(Error::unavailable(self.store, "the unit of work panicked; nothing of it is stored"))
            }
        };
        // Whoever does not wait any more does not want to know.
        let _ = self.reply.send(result);
    }
}

pub(crate) use snapshot::DbSnapshot;
use snapshot::Held;

type ReadJob = Box<dyn FnOnce(&Connection) + Send>;

#[derive(Default)]
struct Queues {
    urgent: VecDeque<Box<dyn Unit>>,
    housekeeping: VecDeque<Box<dyn Unit>>,
    reads: VecDeque<ReadJob>,
    checkpoints: Vec<oneshot::Sender<()>>,
    /// A reader was in the way of the last one.
    owed: bool,
    /// Connections that each see one moment, and keep the log from being emptied as long as they do.
    snapshots: Vec<Weak<Mutex<Held>>>,
    closed: bool,
}

#[derive(Default)]
struct Shared {
    queues: Mutex<Queues>,
    write: Condvar,
    read: Condvar,
}

impl Shared {
    fn queues(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One database file. Dropping it ends its threads after the work that is queued.
pub(crate) struct Db {
    path: PathBuf,
    store: &'static str,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl fmt::Debug for Db {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Db").field("path", &self.path).finish_non_exhaustive()
    }
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(64);
    connection.pragma_update(None, "foreign_keys", true)?;
    // A plan does not depend on what is bound: else a statement with a range is prepared anew each time it runs.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(connection)
}

fn connect_writer(path: &Path, migrations: &[&str]) -> rusqlite::Result<Connection> {
    // Where this fails, SQLite fails as well, and says more.
    let _ = create_private(path);
    let connection = connect(path)?;
    // WAL keeps readers beside the writer; in memory there is no such mode, and none is needed.
    connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    // Answers the mode it is in.
    connection.query_row("PRAGMA secure_delete = ON", [], |_| Ok(()))?;
    crate::schema::migrate(&connection, migrations)?;
    Ok(connection)
}

fn connect_reader(path: &Path) -> rusqlite::Result<Connection> {
    let connection = connect(path)?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

/// Creates the file for its owner only; SQLite gives its log the same mode.
fn create_private(path: &Path) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

impl Db {
    pub(crate) async fn open(
        path: PathBuf,
        store: &'static str,
        migrations: &'static [&'static str],
    ) -> Result<Self> {
        let version = rusqlite::version_number();
        if version < OLDEST_GOOD {
            tracing::warn!(
                "SQLite {} is old; link a newer one, or let `rusqlite` bundle it",
                rusqlite::version()
            );
        }
        let shared = Arc::new(Shared::default());
        let mut threads = Vec::new();
        let spawn = |name: String, body: Box<dyn FnOnce() + Send>| {
            std::thread::Builder::new().name(name).spawn(body).map_err(|e| Error::unavailable(store, e))
        };
        let (opened, is_open) = oneshot::channel();
        let (file, queues) = (path.clone(), shared.clone());
        threads.push(spawn(
            format!("privet-{store}-writer"),
            Box::new(move || match connect_writer(&file, migrations) {
                Ok(connection) => {
                    let _ = opened.send(Ok(()));
                    write_loop(&connection, &queues);
                }
                Err(error) => {
                    let _ = opened.send(Err(opening(store, &file, error)));
                }
            }),
        )?);
        is_open.await.map_err(|_| Error::unavailable(store, "its writing thread is gone"))??;
        for n in 0..READERS {
            let connection = connect_reader(&path).map_err(|e| opening(store, &path, e))?;
            let queues = shared.clone();
            threads.push(spawn(
                format!("privet-{store}-reader-{n}"),
                Box::new(move || read_loop(&connection, &queues)),
            )?);
        }
        Ok(Self { path, store, shared, threads })
    }

    /// Runs a unit of work in a transaction, durable when the future is ready.
    pub(crate) async fn write<T, F>(&self, priority: Priority, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> UnitResult<T> + Send + 'static,
    {
        let (reply, replied) = oneshot::channel();
        let unit = Box::new(UnitOf { work: Some(work), result: None, reply, store: self.store });
        {
            let mut queues = self.shared.queues();
            match priority {
                Priority::Urgent => queues.urgent.push_back(unit),
                Priority::Housekeeping => queues.housekeeping.push_back(unit),
            }
        }
        self.shared.write.notify_one();
        replied.await.map_err(|_| Error::unavailable(self.store, "its writing thread is gone"))?
    }

    /// Copies the log into the file and empties it, so that nothing older than the last commit stands in it. A
    /// reader that takes long may be in the way; then the next checkpoint does it.
    pub(crate) async fn checkpoint(&self) -> Result<()> {
        let (reply, replied) = oneshot::channel();
        self.shared.queues().checkpoints.push(reply);
        self.shared.write.notify_one();
        replied.await.map_err(|_| Error::unavailable(self.store, "its writing thread is gone"))
    }

    /// As [`checkpoint`](Self::checkpoint), for whom nobody waits.
    pub(crate) fn checkpoint_soon(&self) {
        let (reply, _) = oneshot::channel();
        self.shared.queues().checkpoints.push(reply);
        self.shared.write.notify_one();
    }

    /// Reads in one snapshot.
    pub(crate) async fn read<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> UnitResult<T> + Send + 'static,
    {
        let (reply, replied) = oneshot::channel();
        let store = self.store;
        self.shared.queues().reads.push_back(Box::new(move |connection| {
            let _ = reply.send(in_snapshot(connection, work).map_err(|e| e.into_error(store)));
        }));
        self.shared.read.notify_one();
        replied.await.map_err(|_| Error::unavailable(store, "a read panicked"))?
    }
}

impl Drop for Db {
    fn drop(&mut self) {
        self.shared.queues().closed = true;
        self.shared.write.notify_all();
        self.shared.read.notify_all();
        for thread in self.threads.drain(..) {
            // The last clone may be dropped by one of these threads, which cannot wait for itself.
            if thread.thread().id() != std::thread::current().id() {
                let _ = thread.join();
            }
        }
    }
}

fn in_snapshot<T>(connection: &Connection, work: impl FnOnce(&Connection) -> UnitResult<T>) -> UnitResult<T> {
    if !connection.is_autocommit() {
        // A read before this one did not get to its end.
        connection.execute_batch("ROLLBACK")?;
    }
    connection.prepare_cached("BEGIN")?.execute([])?;
    let result = work(connection);
    connection.prepare_cached("COMMIT")?.execute([])?;
    result
}

fn read_loop(connection: &Connection, shared: &Shared) {
    loop {
        let job = {
            let mut queues = shared.queues();
            loop {
                if let Some(job) = queues.reads.pop_front() {
                    break job;
                }
                if queues.closed {
                    return;
                }
                queues = shared.read.wait(queues).unwrap_or_else(PoisonError::into_inner);
            }
        };
        // Its sender goes with it, which tells whoever waits.
        let _ = catch_unwind(AssertUnwindSafe(|| job(connection)));
    }
}

enum Work {
    Group(Vec<Box<dyn Unit>>),
    Checkpoint(Vec<oneshot::Sender<()>>),
}

/// What goes into the next commit: everything that somebody waits for, or else a checkpoint, or else one step of
/// housekeeping. A checkpoint that a reader is or may be in the way of is tried now and then, however much there is to do.
fn next_work(shared: &Shared, tried: Instant) -> Option<Work> {
    let mut queues = shared.queues();
    loop {
        if (queues.owed || !queues.snapshots.is_empty()) && tried.elapsed() >= AGAIN {
            return Some(Work::Checkpoint(std::mem::take(&mut queues.checkpoints)));
        }
        if !queues.urgent.is_empty() {
            let n = queues.urgent.len().min(MAX_GROUP);
            return Some(Work::Group(queues.urgent.drain(..n).collect()));
        }
        if !queues.checkpoints.is_empty() {
            return Some(Work::Checkpoint(std::mem::take(&mut queues.checkpoints)));
        }
        if let Some(unit) = queues.housekeeping.pop_front() {
            return Some(Work::Group(vec![unit]));
        }
        if queues.closed {
            return None;
        }
        if queues.owed {
            let (again, waited) =
                shared.write.wait_timeout(queues, AGAIN).unwrap_or_else(PoisonError::into_inner);
            queues = again;
            if waited.timed_out() {
                return Some(Work::Checkpoint(Vec::new()));
            }
        } else {
            queues = shared.write.wait(queues).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

fn write_loop(connection: &Connection, shared: &Shared) {
    let mut tried = Instant::now();
    while let Some(work) = next_work(shared, tried) {
        let mut group = match work {
            Work::Group(group) => group,
            Work::Checkpoint(waiting) => {
                tried = Instant::now();
                // While a reader is known to be in the way, or nobody waits, nobody's commit waits for it.
                let now = waiting.is_empty() || shared.queues().owed;
                let wait = if now { Duration::ZERO } else { BUSY_CHECKPOINT };
                let emptied = checkpoint(connection, wait)
                    || (snapshot::close_idle(shared) && checkpoint(connection, Duration::ZERO));
                shared.queues().owed = !emptied;
                for reply in waiting {
                    let _ = reply.send(());
                }
                continue;
            }
        };
        let committed = commit_group(connection, &mut group).map_err(|e| e.to_string());
        if let Err(error) = &committed {
            tracing::error!(
                "a commit of {} units failed; none of them is acknowledged: {error}",
                group.len()
            );
        }
        for unit in group {
            unit.settle(committed.as_ref().copied().map_err(String::as_str));
        }
    }
    checkpoint(connection, BUSY_CHECKPOINT);
}

/// Whether it emptied the log.
fn checkpoint(connection: &Connection, wait: Duration) -> bool {
    // Not for long: somebody's commit may be next.
    let emptied = connection.busy_timeout(wait).and_then(|()| {
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, bool>(0))
    });
    match &emptied {
        Ok(false) => {}
        Ok(true) => tracing::debug!("a reader was in the way of a checkpoint; the next one takes it up"),
        Err(error) => tracing::warn!("a checkpoint failed; the next one takes it up: {error}"),
    }
    let _ = connection.busy_timeout(BUSY);
    matches!(emptied, Ok(false))
}

fn commit_group(connection: &Connection, group: &mut [Box<dyn Unit>]) -> rusqlite::Result<()> {
    connection.execute_batch("BEGIN IMMEDIATE")?;
    let ran = group.iter_mut().try_for_each(|unit| {
        connection.execute_batch("SAVEPOINT unit")?;
        if !unit.run(connection) {
            connection.execute_batch("ROLLBACK TO unit")?;
        }
        connection.execute_batch("RELEASE unit")
    });
    let committed = ran.and_then(|()| connection.execute_batch("COMMIT"));
    if let Err(e) = committed {
        // A full disk may have ended the transaction already.
        if !connection.is_autocommit() {
            let _ = connection.execute_batch("ROLLBACK");
        }
        return Err(e);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_in_a_unit_is_its_own() {
        let folder = tempfile::tempdir().unwrap();
        privet::conformance::block_on(async {
            let db = Db::open(folder.path().join("test.db"), "test", &["CREATE TABLE t (n INTEGER)"])
                .await
                .unwrap();
            let insert = |n: i64| move |c: &Connection| Ok(c.execute("INSERT INTO t VALUES (?1)", [n])?);
            let count = async || {
                db.read(|c| Ok(c.query_row("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0))?)).await
            };
            for _ in 0..2 * READERS {
                let broken = db.write(Priority::Urgent, move |c| -> UnitResult<()> {
                    insert(1)(c)?;
                    panic!("as a defect would")
                });
                assert!(matches!(broken.await, Err(Error::Unavailable { .. })));
                assert!(db.read(|_| -> UnitResult<()> { panic!("as a defect would") }).await.is_err());
            }
            assert_eq!(count().await.unwrap(), 0, "nothing of it is stored");
            db.write(Priority::Urgent, insert(2)).await.unwrap();
            assert_eq!(count().await.unwrap(), 1, "and everybody else goes on");
        });
    }

    /// What is acknowledged has to be on the disk: nothing less than `synchronous = FULL` (2).
    #[test]
    fn commits_are_written_through() {
        let folder = tempfile::tempdir().unwrap();
        let writer = connect_writer(&folder.path().join("test.db"), &[]).unwrap();
        let pragma =
            |name: &str| writer.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!((pragma("synchronous"), pragma("secure_delete")), (2, 1));
    }
}
