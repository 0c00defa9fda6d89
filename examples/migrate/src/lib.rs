//! Moves an installation from SQLite to PostgreSQL, while its app serves from SQLite.
//!
//! ```text
//! migrate --from ./chat-data --to postgres://shop:secret@db.internal/shop            # as often as you like
//! migrate --from ./chat-data --to postgres://shop:secret@db.internal/shop --finish   # with the app stopped
//! ```
//!
//! The first call copies everything, in passes, until little is left to copy; it reads beside the app and writes nothing to
//! its files. A later call, after it was killed as well, copies what differs: both sides compute hashes over their rows, a
//! range at a time, and what is gone from SQLite goes from PostgreSQL. With `--finish` nobody else may have the files: a last
//! pass makes both sides equal, by counts and hashes, and compares what it wrote once more; each chain of consent records is
//! verified on the new side with the ledger that went over; and only then an app may start on PostgreSQL. Until then a start
//! is refused, as with a key that is not the installation's. `--verify` compares, and changes nothing.
//!
//! Tables that an older privet made are not touched: the app of today's version brings them up to date when it starts. Keys,
//! ledger and data go into one schema. Messages of months before the move go to the default partition, since the store
//! makes partitions for this month and those to come.
//!
//! Keys go over as they are, wrapped with the installation's key; that key stays a file, and is the same one.

mod error;
mod progress;
mod rows;
mod source;
pub mod tables;
mod target;
mod walk;

use std::fmt;
use std::path::PathBuf;

use privet::consent::verify_chain;
use privet::{Error, Result, Timestamp};

pub use progress::Progress;
pub use walk::TableReport;

use source::Source;
use target::{Stage, Target};
use walk::{Act, Walk};

/// How it is called.
pub const USAGE: &str = "\
migrate --from FOLDER --to URL [options]

  --from FOLDER    the folder of the SQLite installation: privet.db, keys.db, ledger.jsonl
  --to URL         the PostgreSQL database, as postgres://user:password@host:5432/database; directly, not through a pooler.
                   PRIVET_DB, if nothing is said, which keeps the password out of the list of processes
  --schema NAME    the schema there; privet, if nothing is said
  --batch ROWS     so many rows at once; 2000, if nothing is said
  --finish         makes the last pass and hands over; stop the app first
  --verify         compares both sides, and changes nothing

exit code: 0 done, 1 the sides differ (--verify), 2 it did not work";

/// Passes at most in one call: an app that writes faster than they copy is not to keep it for ever.
const PASSES: usize = 10;

/// What to move, and where.
#[derive(Clone)]
pub struct Move {
    from: PathBuf,
    to: String,
    schema: String,
    batch: usize,
}

impl fmt::Debug for Move {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL has a password.
        f.debug_struct("Move").field("from", &self.from).field("schema", &self.schema).finish_non_exhaustive()
    }
}

/// What the last look at both sides found.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Verified {
    /// Table by table.
    pub tables: Vec<TableReport>,
    /// Links of the chains of consent records, each verified with its record.
    pub links: u64,
    /// What is wrong with a chain.
    pub damage: Vec<String>,
}

impl Verified {
    /// Whether both sides are equal and each chain is whole.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.damage.is_empty() && self.tables.iter().all(|table| table.equal)
    }

    fn what_is_wrong(&self) -> String {
        let tables = self.tables.iter().filter(|t| !t.equal);
        let differ =
            tables.map(|t| format!("`{}` differs ({} rows here, {} there)", t.table, t.rows, t.found));
        differ.chain(self.damage.iter().cloned()).collect::<Vec<_>>().join("; ")
    }
}

impl Move {
    /// From a folder to a database.
    #[must_use]
    pub fn new(from: impl Into<PathBuf>, to: impl Into<String>) -> Self {
        Self { from: from.into(), to: to.into(), schema: "privet".to_owned(), batch: 2000 }
    }

    /// Into this schema instead of `privet`.
    #[must_use]
    pub fn schema(mut self, name: impl Into<String>) -> Self {
        self.schema = name.into();
        self
    }

    /// So many rows at once.
    #[must_use]
    pub fn batch(mut self, rows: usize) -> Self {
        self.batch = rows.max(1);
        self
    }

    async fn open(&self, alone: bool) -> Result<(Source, Target)> {
        let source = Source::open(&self.from, alone)?;
        Ok((source, Target::open(&self.to, &self.schema).await?))
    }

    fn walk<'a>(&self, source: &'a Source, target: &'a mut Target, progress: &'a Progress) -> Walk<'a> {
        Walk { source, target, batch: self.batch, progress }
    }

    async fn start(&self, source: &Source, target: &mut Target) -> Result<()> {
        let fingerprint = source.fingerprint()?;
        match target.stage(&fingerprint).await? {
            Stage::Empty => target.begin(&fingerprint).await,
            Stage::Moving => Ok(()),
            Stage::Moved => Err(Error::config(
                format!("schema `{}` holds this installation already: the move was finished", self.schema),
                "start the app on it; nothing was changed, since what an app wrote there would be lost",
            )),
        }
    }

    /// Copies in passes, while the app serves, until a pass finds less than a batch to do. What each pass wrote and took out.
    ///
    /// # Errors
    /// What is wrong with either side, with the cure. What was copied until then stays.
    pub async fn copy(&self, progress: &Progress) -> Result<Vec<(u64, u64)>> {
        let (mut source, mut target) = self.open(false).await?;
        self.start(&source, &mut target).await?;
        let mut passes = Vec::new();
        while passes.len() < PASSES {
            source.read_ledger()?;
            let what = format!("pass {}", passes.len() + 1);
            let tables = self.walk(&source, &mut target, progress).all(&what, Act::Copy).await?;
            let (written, removed) = tables.iter().fold((0, 0), |(w, r), t| (w + t.written, r + t.removed));
            progress.say(&format!("{what}: {written} rows written, {removed} taken out"));
            passes.push((written, removed));
            if written + removed < source::as_u64(self.batch) {
                break;
            }
        }
        Ok(passes)
    }

    /// Makes the last pass with the files held, verifies, and hands over.
    ///
    /// # Errors
    /// As [`copy`](Self::copy); [`Error::Config`] when the app still runs; [`Error::Corrupt`] when both sides are not equal
    /// in the end, or a chain is not whole: then nothing is handed over.
    pub async fn finish(&self, progress: &Progress) -> Result<Verified> {
        let (source, mut target) = self.open(true).await?;
        progress.say("the files are held: nobody writes to them until this has ended");
        self.start(&source, &mut target).await?;
        let tables = self.walk(&source, &mut target, progress).all("last pass", Act::Settle).await?;
        target.derive().await?;
        let verified = self.chains(&mut target, tables).await?;
        if !verified.is_whole() {
            return Err(Error::corrupt(
                "postgres",
                format!("after the last pass {}", verified.what_is_wrong()),
                "nothing was handed over; see that nobody else writes to the schema, and run it again",
            ));
        }
        target.end(&source.meta()?).await?;
        source.close();
        Ok(verified)
    }

    /// Compares both sides, and changes nothing.
    ///
    /// # Errors
    /// What is wrong with either side. That they differ is no error, but in what is returned.
    pub async fn verify(&self, progress: &Progress) -> Result<Verified> {
        let (source, mut target) = self.open(false).await?;
        if target.stage(&source.fingerprint()?).await? == Stage::Empty {
            return Err(Error::config(
                format!("schema `{}` has nothing yet", self.schema),
                "run it without --verify first",
            ));
        }
        let tables = self.walk(&source, &mut target, progress).all("comparing", Act::Compare).await?;
        self.chains(&mut target, tables).await
    }

    /// Verifies each chain on the new side.
    async fn chains(&self, target: &mut Target, tables: Vec<TableReport>) -> Result<Verified> {
        let (mut links, mut damage) = (0, Vec::new());
        for tenant in target.chains().await? {
            // A record that is gone is gone from both sides, as the tables say: that is the app's to judge, by its rules.
            let gone = Timestamp::from_millis(i64::MAX);
            let report = match verify_chain(&target.store, &target.ledger, &tenant, gone).await {
                Err(error @ Error::Corrupt { .. }) => {
                    // What the ledger says, which is the same for every tenant.
                    damage.push(error.to_string());
                    break;
                }
                other => other?,
            };
            links += report.records + report.severed + report.purged;
            if let Some((number, what)) = report.damage {
                damage.push(format!(
                    "the chain of tenant `{}` is not whole at {number}: {what}",
                    tenant.as_str()
                ));
            }
        }
        Ok(Verified { tables, links, damage })
    }
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Task {
    Copy,
    Finish,
    Verify,
}

fn read(args: impl IntoIterator<Item = String>, db: Option<String>) -> Result<(Move, Task)> {
    let bad = |what: String| Error::config(what, format!("call it as\n\n{USAGE}"));
    let (mut from, mut to, mut schema, mut batch, mut task) = (None, db, None, None, Task::Copy);
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or_else(|| bad(format!("{arg} needs a value")));
        match arg.as_str() {
            "--from" => from = Some(value()?),
            "--to" => to = Some(value()?),
            "--schema" => schema = Some(value()?),
            "--batch" => {
                let text = value()?;
                let rows = text.parse::<usize>().ok().filter(|n| (1..=100_000).contains(n));
                batch =
                    Some(rows.ok_or_else(|| bad(format!("`{text}` is no number of rows from 1 to 100000")))?);
            }
            "--finish" if task == Task::Copy => task = Task::Finish,
            "--verify" if task == Task::Copy => task = Task::Verify,
            // It may be a URL with a password, in the wrong place.
            _ if !arg.starts_with('-') => return Err(bad("there is a value without an option".to_owned())),
            _ => {
                let name = arg.split('=').next().unwrap_or_default();
                return Err(bad(format!("{name} is no option, or does not go with the others")));
            }
        }
    }
    let from = from.ok_or_else(|| bad("--from is missing".to_owned()))?;
    let to = to.ok_or_else(|| bad("--to is missing, and PRIVET_DB is not set".to_owned()))?;
    let mut job = Move::new(from, to).batch(batch.unwrap_or(2000));
    if let Some(schema) = schema {
        job = job.schema(schema);
    }
    Ok((job, task))
}

/// Does what the arguments say. The report, and whether both sides are equal as far as that was asked; `db` is the URL if
/// the arguments have none.
///
/// # Errors
/// What is wrong with the arguments or with either side, with the cure, and without the URL.
pub async fn run(
    args: impl IntoIterator<Item = String>,
    db: Option<String>,
    progress: &Progress,
) -> Result<(String, bool)> {
    let (job, task) = read(args, db)?;
    match task {
        Task::Copy => {
            let passes = job.copy(progress).await?;
            let written: u64 = passes.iter().map(|(written, _)| written).sum();
            let text = format!(
                "{} passes, {written} rows written. What was changed since is still to come: stop the app, and run it with --finish.\n",
                passes.len()
            );
            Ok((text, true))
        }
        Task::Finish => {
            let verified = job.finish(progress).await?;
            let text = format!(
                "{verified}\nBoth sides are equal. Start the app on PostgreSQL, with the same key file (privet.key), and not on SQLite any \
                 more. Delete the SQLite files once you are sure, and their backups: erasures do not reach them from now on.\n"
            );
            Ok((text, true))
        }
        Task::Verify => {
            let verified = job.verify(progress).await?;
            let whole = verified.is_whole();
            let end = if whole {
                "Both sides are equal.".to_owned()
            } else {
                format!("They differ: {}.", verified.what_is_wrong())
            };
            Ok((format!("{verified}\n{end}\n"), whole))
        }
    }
}

impl fmt::Display for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<16} {:>12} {:>12}  hash", "table", "SQLite", "PostgreSQL")?;
        for t in &self.tables {
            write!(f, "{:<16} {:>12} {:>12}  ", t.table, t.rows, t.found)?;
            for byte in t.hash.iter().take(8) {
                write!(f, "{byte:02x}")?;
            }
            writeln!(f, "{}", if t.equal { "" } else { "  DIFFERS" })?;
        }
        write!(f, "{} links of consent records verified on the new side", self.links)
    }
}
