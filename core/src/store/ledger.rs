//! What was erased, kept where the store is not: so that a restored backup can be made to forget again.
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
use sha2::{Digest, Sha256};

use super::types::{ErasureCause, SubjectDigest};
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::scope::Scope;

/// That a subject is erased.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LedgerEntry {
    /// Tenant and site.
    pub scope: Scope,
    /// Whose data.
    pub subject: SubjectDigest,
    /// Why.
    pub cause: ErasureCause,
    /// When.
    pub at: Timestamp,
}

impl LedgerEntry {
    /// An entry.
    #[must_use]
    pub fn new(scope: Scope, subject: SubjectDigest, cause: ErasureCause, at: Timestamp) -> Self {
        Self { scope, subject, cause, at }
    }
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

/// A line of the file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    seq: u64,
    at: i64,
    scope: Scope,
    verb: String,
    cause: ErasureCause,
    subject: String,
    hash: String,
}

impl Line {
    fn hash(&self, before: &str) -> String {
        let mut h = Sha256::new();
        let cause = [self.cause.code()];
        let fields: [&[u8]; 8] = [
            before.as_bytes(),
            &self.seq.to_be_bytes(),
            &self.at.to_be_bytes(),
            self.scope.tenant.as_str().as_bytes(),
            self.scope.site.as_str().as_bytes(),
            self.verb.as_bytes(),
            &cause,
            self.subject.as_bytes(),
        ];
        for field in fields {
            h.update(u32::try_from(field.len()).unwrap_or(u32::MAX).to_be_bytes());
            h.update(field);
        }
        HEXLOWER.encode(&h.finalize())
    }
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
    seq: u64,
    hash: String,
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
            let seq = self.tail.seq + 1;
            let read: Line = serde_json::from_str(line).map_err(|_| self.corrupt(seq))?;
            let subject = HEXLOWER.decode(read.subject.as_bytes()).ok().and_then(|b| b.try_into().ok());
            let (Some(subject), true) = (subject, read.seq == seq && read.hash == read.hash(&self.tail.hash))
            else {
                return Err(self.corrupt(seq));
            };
            self.tail.seq = seq;
            self.tail.hash.clone_from(&read.hash);
            let at = Timestamp::from_millis(read.at);
            entries.push(LedgerEntry::new(read.scope, SubjectDigest::from_bytes(subject), read.cause, at));
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
            let mut line = Line {
                seq: tail.seq + 1,
                at: entry.at.as_millis(),
                scope: entry.scope.clone(),
                verb: "erase".to_owned(),
                cause: entry.cause,
                subject: entry.subject.encode(),
                hash: String::new(),
            };
            line.hash = line.hash(&tail.hash);
            tail.seq = line.seq;
            tail.hash.clone_from(&line.hash);
            text.push_str(&serde_json::to_string(&line).map_err(|e| Error::unavailable(NAME, e))?);
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
        LedgerEntry::new(
            Scope::default(),
            SubjectDigest::from_bytes([n; 16]),
            ErasureCause::Withdrawal,
            Timestamp::from_millis(n.into()),
        )
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
