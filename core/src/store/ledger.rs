//! What was erased, kept where the store is not: so that a restored backup can be made to forget again. And how far
//! each chain of consent records went: so that a tail that is cut off shows.
//!
//! An entry names its subject by a keyed digest only, and each entry's hash covers the one before, so that a
//! line that is changed or taken out shows.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use data_encoding::HEXLOWER;
use futures_channel::oneshot;
use serde::{Deserialize, Serialize};

use super::chain::{ChainLink, Hash};
use super::types::{ErasureCause, SubjectDigest};
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::scope::{Scope, Tenant};

/// What is kept in another fault domain than the store.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LedgerEntry {
    /// That something is erased: a contact with all that hung on it, a conversation, a single message, or a note.
    Erased {
        /// Tenant and site.
        scope: Scope,
        /// Keyed digest of its id. Who replays the ledger holds the digests of what is there against it.
        subject: SubjectDigest,
        /// Why.
        cause: ErasureCause,
        /// When.
        at: Timestamp,
    },
    /// How far a tenant's chain of consent records went.
    Head {
        /// Whose chain.
        tenant: Tenant,
        /// Its last link.
        link: ChainLink,
        /// When.
        at: Timestamp,
    },
}

/// An append-only list in another fault domain than the store.
#[async_trait]
pub trait Ledger: fmt::Debug + Send + Sync {
    /// Appends all of them or none, durably, before anything is destroyed.
    async fn append(&self, entries: &[LedgerEntry]) -> Result<()>;

    /// Every entry, in order, with its chain checked.
    ///
    /// # Errors
    /// [`Error::Corrupt`] that names the first line that does not fit.
    async fn entries(&self) -> Result<Vec<LedgerEntry>>;
}

/// A ledger in memory: for tests and for trying out.
#[derive(Debug, Default)]
pub struct MemoryLedger(Mutex<Vec<LedgerEntry>>);

impl MemoryLedger {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

#[async_trait]
impl Ledger for MemoryLedger {
    async fn append(&self, entries: &[LedgerEntry]) -> Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(entries);
        Ok(())
    }

    async fn entries(&self) -> Result<Vec<LedgerEntry>> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

const NAME: &str = "ledger file";

/// A line, as it is written.
#[derive(Serialize, Deserialize)]
struct Line {
    seq: u64,
    at: i64,
    #[serde(flatten)]
    what: What,
    hash: String,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "lowercase")]
enum What {
    Erase { scope: Scope, cause: ErasureCause, subject: String },
    Head { tenant: Tenant, segment: i64, number: u64, until: i64, digest: String, link: String },
}

/// Where the chain of a ledger stands: what makes the line of each entry, and finds a line that does not continue it. What
/// every ledger has in common, wherever it keeps its lines.
///
/// ```
/// use privet::store::{LedgerChain, LedgerEntry};
/// # use privet::store::{ErasureCause, SubjectDigest};
/// # let subject = SubjectDigest::from_bytes([1; 16]);
/// # let at = privet::Timestamp::from_millis(0);
///
/// let entry = LedgerEntry::Erased { scope: Default::default(), subject, cause: ErasureCause::Request, at };
/// let line = LedgerChain::default().append(&entry)?;
/// assert_eq!(LedgerChain::default().read(&line), Some(entry));
/// assert_eq!(LedgerChain::default().read(&line.replace("request", "withdrawal")), None);
/// # Ok::<(), privet::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LedgerChain {
    seq: u64,
    hash: String,
}

impl LedgerChain {
    /// The number of the last line, from 1; nought before the first.
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// Where the chain stands after a line that is taken as it is: whoever reads all of them finds out whether it is true.
    /// None when it is no line.
    #[must_use]
    pub fn after(line: &str) -> Option<Self> {
        let line: Line = serde_json::from_str(line).ok()?;
        Some(Self { seq: line.seq, hash: line.hash })
    }

    /// The next line, for this entry.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it cannot be written as text, which no entry is known for.
    pub fn append(&mut self, entry: &LedgerEntry) -> Result<String> {
        let (at, what) = match entry {
            LedgerEntry::Erased { scope, subject, cause, at } => {
                (at, What::Erase { scope: scope.clone(), cause: *cause, subject: subject.encode() })
            }
            LedgerEntry::Head { tenant, link, at } => (
                at,
                What::Head {
                    tenant: tenant.clone(),
                    segment: link.segment,
                    number: link.seq,
                    until: link.until.as_millis(),
                    digest: HEXLOWER.encode(&link.digest),
                    link: HEXLOWER.encode(&link.hash),
                },
            ),
        };
        let mut line = Line { seq: self.seq + 1, at: at.as_millis(), what, hash: String::new() };
        line.hash = line.hash(&self.hash);
        let text = serde_json::to_string(&line).map_err(|e| Error::unavailable(NAME, e))?;
        (self.seq, self.hash) = (line.seq, line.hash);
        Ok(text)
    }

    /// The entry of the next line, if the line continues the chain and is nothing more than it.
    pub fn read(&mut self, text: &str) -> Option<LedgerEntry> {
        let line: Line = serde_json::from_str(text).ok()?;
        let whole = serde_json::to_string(&line).ok()? == text;
        if !whole || line.seq != self.seq + 1 || line.hash != line.hash(&self.hash) {
            return None;
        }
        let at = Timestamp::from_millis(line.at);
        let entry = match &line.what {
            What::Erase { scope, cause, subject } => LedgerEntry::Erased {
                scope: scope.clone(),
                subject: SubjectDigest::from_bytes(hex(subject)?),
                cause: *cause,
                at,
            },
            What::Head { tenant, segment, number, until, digest, link } => LedgerEntry::Head {
                tenant: tenant.clone(),
                link: ChainLink {
                    segment: *segment,
                    seq: *number,
                    until: Timestamp::from_millis(*until),
                    digest: hex(digest)?,
                    hash: hex(link)?,
                },
                at,
            },
        };
        (self.seq, self.hash) = (line.seq, line.hash);
        Some(entry)
    }
}

impl Line {
    fn hash(&self, before: &str) -> String {
        let hash = Hash::new("privet ledger 1")
            .field(before.as_bytes())
            .field(&self.seq.to_be_bytes())
            .field(&self.at.to_be_bytes());
        let hash = match &self.what {
            What::Erase { scope, cause, subject } => hash
                .field(b"erase")
                .field(scope.tenant.as_str().as_bytes())
                .field(scope.site.as_str().as_bytes())
                .field(&[cause.code()])
                .field(subject.as_bytes()),
            What::Head { tenant, segment, number, until, digest, link } => hash
                .field(b"head")
                .field(tenant.as_str().as_bytes())
                .field(&segment.to_be_bytes())
                .field(&number.to_be_bytes())
                .field(&until.to_be_bytes())
                .field(digest.as_bytes())
                .field(link.as_bytes()),
        };
        HEXLOWER.encode(&hash.done())
    }
}

fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok()
}

enum Request {
    Append(Vec<LedgerEntry>, oneshot::Sender<Result<()>>),
    Read(oneshot::Sender<Result<Vec<LedgerEntry>>>),
}

/// A ledger in a file of JSON lines, each written through to the disk before it counts. Two processes may share
/// it.
///
/// Keep the file, and its backups, elsewhere than those of the database.
pub struct FileLedger {
    path: PathBuf,
    thread: Mutex<Sender<Request>>,
}

impl fmt::Debug for FileLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileLedger").field("path", &self.path).finish_non_exhaustive()
    }
}

impl FileLedger {
    /// Opens a file or creates it, readable by its owner only.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it cannot be opened, [`Error::Corrupt`] when its chain is broken.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&path).map_err(|e| named(&path, e))?;
        let mut ledger = LedgerFile { path: path.clone(), file, tail: Tail::default() };
        ledger.with_lock(LedgerFile::catch_up)?;
        let (thread, requests) = channel();
        std::thread::Builder::new()
            .name("privet-ledger".to_owned())
            .spawn(move || ledger.serve(&requests))
            .map_err(|e| Error::unavailable(NAME, e))?;
        Ok(Self { path, thread: Mutex::new(thread) })
    }

    async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<Result<T>>) -> Request) -> Result<T> {
        let (answer, answered) = oneshot::channel();
        let sent = self.thread.lock().unwrap_or_else(PoisonError::into_inner).send(request(answer));
        sent.map_err(|_| Error::unavailable(NAME, "its thread is gone"))?;
        answered.await.map_err(|_| Error::unavailable(NAME, "its thread is gone"))?
    }
}

#[async_trait]
impl Ledger for FileLedger {
    async fn append(&self, entries: &[LedgerEntry]) -> Result<()> {
        self.ask(|answer| Request::Append(entries.to_vec(), answer)).await
    }

    async fn entries(&self) -> Result<Vec<LedgerEntry>> {
        self.ask(Request::Read).await
    }
}

#[allow(clippy::needless_pass_by_value, reason = "it is what `map_err` hands over")]
fn named(path: &Path, e: std::io::Error) -> Error {
    Error::unavailable(NAME, std::io::Error::new(e.kind(), format!("{}: {e}", path.display())))
}

/// Where the chain stands.
#[derive(Clone, Default)]
struct Tail {
    /// Bytes that were read and found whole.
    len: u64,
    chain: LedgerChain,
}

struct LedgerFile {
    path: PathBuf,
    file: File,
    tail: Tail,
}

impl LedgerFile {
    fn serve(mut self, requests: &Receiver<Request>) {
        while let Ok(first) = requests.recv() {
            // Whoever waits by now shares one write-through.
            let mut appends = Vec::new();
            for request in std::iter::once(first).chain(requests.try_iter()) {
                match request {
                    Request::Append(entries, answer) => appends.push((entries, answer)),
                    Request::Read(answer) => {
                        let _ = answer.send(self.with_lock(LedgerFile::read_all));
                    }
                }
            }
            if appends.is_empty() {
                continue;
            }
            let entries: Vec<_> = appends.iter().flat_map(|(entries, _)| entries).collect();
            let written = self.with_lock(|ledger| ledger.append(&entries));
            for (_, answer) in appends {
                let _ = answer.send(match &written {
                    Ok(()) => Ok(()),
                    Err(e) => Err(Error::unavailable(NAME, e.to_string())),
                });
            }
        }
    }

    /// The lock keeps another process out; it ends with the process that holds it.
    fn with_lock<T>(&mut self, f: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.file.lock().map_err(|e| named(&self.path, e))?;
        let result = f(self);
        let _ = self.file.unlock();
        result
    }

    fn corrupt(&self, line: u64) -> Error {
        Error::corrupt(
            NAME,
            format!("{}: line {line} does not continue the chain", self.path.display()),
            "put the file back as it was from its backup; do not edit it",
        )
    }

    /// Reads what another process appended since, and cuts off a line that a crash left half-written.
    fn catch_up(&mut self) -> Result<Vec<LedgerEntry>> {
        let io = |e| named(&self.path, e);
        let mut file = &self.file;
        let mut text = String::new();
        file.seek(SeekFrom::Start(self.tail.len)).map_err(io)?;
        file.read_to_string(&mut text).map_err(io)?;
        let mut entries = Vec::new();
        let whole = text.rfind('\n').map_or(0, |n| n + 1);
        for line in text[..whole].lines() {
            let Some(entry) = self.tail.chain.read(line) else {
                return Err(self.corrupt(self.tail.chain.seq() + 1));
            };
            entries.push(entry);
        }
        self.tail.len += u64::try_from(whole).unwrap_or(0);
        if whole < text.len() {
            tracing::warn!(
                "the ledger file ended in the middle of a line, which was never acknowledged; it was cut off"
            );
            self.file.set_len(self.tail.len).map_err(io)?;
        }
        Ok(entries)
    }

    fn read_all(&mut self) -> Result<Vec<LedgerEntry>> {
        self.tail = Tail::default();
        self.catch_up()
    }

    fn append(&mut self, entries: &[&LedgerEntry]) -> Result<()> {
        self.catch_up()?;
        let mut tail = self.tail.clone();
        let mut text = String::new();
        for entry in entries {
            text.push_str(&tail.chain.append(entry)?);
            text.push('\n');
        }
        tail.len += u64::try_from(text.len()).unwrap_or(0);
        let written = self.file.write_all(text.as_bytes()).and_then(|()| self.file.sync_all());
        if let Err(e) = written {
            // Half a line must not stand before the next one.
            let _ = self.file.set_len(self.tail.len);
            return Err(named(&self.path, e));
        }
        self.tail = tail;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use futures_executor::block_on;

    use super::*;

    fn entry(n: u8) -> LedgerEntry {
        let at = Timestamp::from_millis(n.into());
        if n == 3 {
            let link = ChainLink { segment: 674, seq: 9, until: at, digest: [1; 32], hash: [2; 32] };
            return LedgerEntry::Head { tenant: Tenant::default(), link, at };
        }
        let subject = SubjectDigest::from_bytes([n; 16]);
        LedgerEntry::Erased { scope: Scope::default(), subject, cause: ErasureCause::Withdrawal, at }
    }

    #[test]
    fn entries_come_back_after_reopening() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger.jsonl");
        block_on(async {
            let ledger = FileLedger::open(&path).unwrap();
            ledger.append(&[entry(1)]).await.unwrap();
            ledger.append(&[entry(2)]).await.unwrap();
            let other_process = FileLedger::open(&path).unwrap();
            other_process.append(&[entry(3)]).await.unwrap();
            ledger.append(&[entry(4)]).await.unwrap();
            let all: Vec<_> = (1..=4).map(entry).collect();
            assert_eq!(ledger.entries().await.unwrap(), all);
            assert_eq!(FileLedger::open(&path).unwrap().entries().await.unwrap(), all);
        });
    }

    #[test]
    fn a_changed_or_missing_line_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger.jsonl");
        block_on(async {
            let ledger = FileLedger::open(&path).unwrap();
            for n in 1..=3 {
                ledger.append(&[entry(n)]).await.unwrap();
            }
        });
        let text = std::fs::read_to_string(&path).unwrap();
        let without_second: String =
            text.lines().enumerate().filter(|(n, _)| *n != 1).map(|(_, l)| format!("{l}\n")).collect();
        for broken in [
            text.replacen("\"at\":2", "\"at\":9", 1),
            without_second,
            text.replacen("withdrawal", "request", 1),
            text.replacen("\"number\":9", "\"number\":8", 1),
            text.replacen("{\"seq\":1", "{\"more\":1,\"seq\":1", 1),
        ] {
            std::fs::write(&path, broken).unwrap();
            let error = FileLedger::open(&path).unwrap_err().to_string();
            assert!(error.contains("does not continue the chain"), "{error}");
        }
    }

    #[test]
    fn half_a_line_is_cut_off() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger.jsonl");
        block_on(async {
            FileLedger::open(&path).unwrap().append(&[entry(1)]).await.unwrap();
            let whole = std::fs::read(&path).unwrap();
            let torn = [&whole[..], &whole[..20]].concat();
            std::fs::write(&path, torn).unwrap();
            let ledger = FileLedger::open(&path).unwrap();
            ledger.append(&[entry(2)]).await.unwrap();
            assert_eq!(ledger.entries().await.unwrap(), [entry(1), entry(2)]);
        });
    }
}
