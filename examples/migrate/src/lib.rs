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
//! verified on the new side with the ledger that went over; and only then an app may start on PostgreSQL, and none on the files
//! any more, whichever supervisor tries; nor do the files go into a second place. Until then a start on the new side is refused.
//! `--verify` compares, and changes nothing.
//!
//! Keys and ledger go into the schema of the data, or each into another schema or database, as the app will look for them; it
//! is told in the end where each went:
//!
//! ```text
//! migrate --from ./chat-data --to postgres://shop:secret@db.internal/shop \
//!         --keys-url postgres://shop:secret@keys.internal/keys --ledger-schema privet_ledger
//! ```
//!
//! What an app erases on SQLite meanwhile goes from PostgreSQL with the next pass: whoever gives a move up drops what it made.
//! A chain of consent records that is damaged in SQLite already, as after a backup was restored, is told by the first call; it
//! goes over as it is with `--with-damage`.
//!
//! The places that a move began with are written down, and one that goes on with others is refused, since what it finds there
//! may be somebody else's. With `--row-security` the wall of `PostgresOptions::row_security` is raised before anything goes
//! over; the move then says for each row whose it is, as the app will.
//!
//! Tables that an older privet made are not touched: the app of today's version brings them up to date when it starts. Messages
//! of months before the move go to the default partition, since the store makes partitions for this month and those to
//! come.
//!
//! Keys go over as they are, wrapped with the installation's key; that key stays a file, and is the same one.

mod columns;
mod error;
mod place;
mod program;
mod progress;
mod rows;
mod source;
pub mod tables;
mod target;
mod walk;

use std::fmt;
use std::path::PathBuf;
use std::time::Instant;

use privet::consent::{Damage, verify_chain};
use privet::{Error, Result, Tenant, Timestamp};

pub use program::{USAGE, run};
pub use progress::Progress;
pub use walk::TableReport;

use place::Destination;
use source::Source;
use target::{Stage, Target};
use walk::{Act, Walk};

/// Passes at most in one call: an app that writes faster than they copy is not to keep it for ever.
const PASSES: usize = 10;
/// The schema that an app looks in, if nothing is said.
const SCHEMA: &str = "privet";

/// What to move, and where.
#[derive(Clone)]
pub struct Move {
    from: PathBuf,
    to: Destination,
    keys: Elsewhere,
    ledger: Elsewhere,
    batch: usize,
    with_damage: bool,
}

/// What is said about a part that may go elsewhere than the data.
#[derive(Clone, Default)]
struct Elsewhere {
    url: Option<String>,
    schema: Option<String>,
}

impl Elsewhere {
    fn than(&self, data: &Destination, part: &str) -> Result<Destination> {
        if self.url.is_some() && self.schema.is_none() && data.schema != SCHEMA {
            // The app is told of each place on its own.
            return Err(Error::config(
                format!(
                    "the data goes into schema `{}`, and no schema is named in the database for the {part}",
                    data.schema
                ),
                format!("name it with --{part}-schema; an app that is told nothing looks in `{SCHEMA}`"),
            ));
        }
        Ok(Destination {
            url: self.url.as_ref().unwrap_or(&data.url).clone(),
            schema: self.schema.as_ref().unwrap_or(&data.schema).clone(),
            walled: data.walled,
        })
    }
}

impl fmt::Debug for Move {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URLs have passwords.
        f.debug_struct("Move")
            .field("from", &self.from)
            .field("schema", &self.to.schema)
            .field("row_security", &self.to.walled)
            .finish_non_exhaustive()
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
    /// Tenants whose chain ends elsewhere than PostgreSQL keeps as its end.
    pub false_heads: Vec<String>,
}

impl Verified {
    /// Whether both sides are equal and each chain is whole.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.damage.is_empty() && self.is_equal()
    }

    /// Whether both sides are equal: what is wrong with a chain then is so in SQLite too.
    #[must_use]
    pub fn is_equal(&self) -> bool {
        self.false_heads.is_empty() && self.tables.iter().all(|table| table.equal)
    }

    fn what_is_wrong(&self) -> String {
        let tables = self.tables.iter().filter(|t| !t.equal);
        let differ =
            tables.map(|t| format!("`{}` differs ({} rows here, {} there)", t.table, t.rows, t.found));
        let heads = self.false_heads.iter();
        let heads = heads.map(|tenant| format!("`consent_heads` is not the last link of tenant `{tenant}`"));
        differ.chain(heads).chain(self.damage.iter().cloned()).collect::<Vec<_>>().join("; ")
    }
}

/// What [`Move::copy`] did and saw.
pub(crate) struct Copied {
    passes: Vec<(u64, u64)>,
    /// What is wrong with a chain in SQLite.
    damage: Vec<String>,
}

impl Move {
    /// From a folder to a database.
    #[must_use]
    pub fn new(from: impl Into<PathBuf>, to: impl Into<String>) -> Self {
        let to = Destination { url: to.into(), schema: SCHEMA.to_owned(), walled: false };
        let (keys, ledger) = (Elsewhere::default(), Elsewhere::default());
        Self { from: from.into(), to, keys, ledger, batch: 2000, with_damage: false }
    }

    /// Into this schema instead of `privet`.
    #[must_use]
    pub fn schema(mut self, name: impl Into<String>) -> Self {
        self.to.schema = name.into();
        self
    }

    /// The keys into this database instead of that of the data. Their schema has to be said as well where that of the data is
    /// not `privet`.
    #[must_use]
    pub fn keys_url(mut self, url: impl Into<String>) -> Self {
        self.keys.url = Some(url.into());
        self
    }

    /// The keys into this schema instead of that of the data.
    #[must_use]
    pub fn keys_schema(mut self, name: impl Into<String>) -> Self {
        self.keys.schema = Some(name.into());
        self
    }

    /// The ledger into this database instead of that of the data. Its schema has to be said as well where that of the data is
    /// not `privet`.
    #[must_use]
    pub fn ledger_url(mut self, url: impl Into<String>) -> Self {
        self.ledger.url = Some(url.into());
        self
    }

    /// The ledger into this schema instead of that of the data.
    #[must_use]
    pub fn ledger_schema(mut self, name: impl Into<String>) -> Self {
        self.ledger.schema = Some(name.into());
        self
    }

    /// Behind row-level security, which is raised if it does not stand yet. Say it each time, or never.
    #[must_use]
    pub fn row_security(mut self) -> Self {
        self.to.walled = true;
        self
    }

    /// So many rows at once.
    #[must_use]
    pub fn batch(mut self, rows: usize) -> Self {
        self.batch = rows.max(1);
        self
    }

    /// Also with a chain of consent records that is damaged in SQLite already.
    #[must_use]
    pub fn with_damage(mut self) -> Self {
        self.with_damage = true;
        self
    }

    /// Data, keys and ledger.
    fn places(&self) -> Result<[Destination; 3]> {
        Ok([self.to.clone(), self.keys.than(&self.to, "keys")?, self.ledger.than(&self.to, "ledger")?])
    }

    /// Where everything went, for whoever tells the app.
    fn told(&self) -> Result<String> {
        let [data, keys, ledger] = self.places()?.map(|place| place.told());
        Ok(format!("data:   {data}\nkeys:   {keys}\nledger: {ledger}\n"))
    }

    async fn open(&self, alone: bool, may_make: bool) -> Result<(Source, Target)> {
        let places = self.places()?;
        let source = Source::open(&self.from, alone)?;
        let target = Target::open(places.each_ref(), &source.known()?, may_make).await?;
        Ok((source, target))
    }

    fn walk<'a>(&self, source: &'a Source, target: &'a mut Target, progress: &'a Progress) -> Walk<'a> {
        Walk { source, target, batch: self.batch, progress, stayed: Instant::now() }
    }

    async fn start(&self, source: &Source, target: &mut Target) -> Result<()> {
        let known = source.known()?;
        match target.stage(&known).await? {
            Stage::Empty => target.begin(&known.key).await,
            Stage::Moving => Ok(()),
            Stage::Moved => Err(Error::config(
                format!("schema `{}` holds this installation already: the move was finished", self.to.schema),
                "start the app on it; nothing was changed, since what an app wrote there would be lost",
            )),
        }
    }

    /// Copies in passes, while the app serves, until a pass finds less than a batch to do. What each pass wrote and took out.
    ///
    /// # Errors
    /// What is wrong with either side, with the cure. What was copied until then stays.
    pub async fn copy(&self, progress: &Progress) -> Result<Vec<(u64, u64)>> {
        Ok(self.copy_and_look(progress).await?.passes)
    }

    pub(crate) async fn copy_and_look(&self, progress: &Progress) -> Result<Copied> {
        let (mut source, mut target) = self.open(false, true).await?;
        self.start(&source, &mut target).await?;
        let mut passes = Vec::new();
        while passes.len() < PASSES {
            source.read_ledger()?;
            let (what, begun) = (format!("pass {}", passes.len() + 1), Instant::now());
            let tables = self.walk(&source, &mut target, progress).all(&what, Act::Copy).await?;
            let (written, removed) = tables.iter().fold((0, 0), |(w, r), t| (w + t.written, r + t.removed));
            let seconds = begun.elapsed().as_secs();
            progress.say(&format!("{what}: {written} rows written, {removed} taken out, in {seconds} s"));
            passes.push((written, removed));
            if written + removed < source::as_u64(self.batch) {
                break;
            }
        }
        let (_, damage) = self.chains(&mut target, |tenant, what| source.has(tenant, what)).await?;
        Ok(Copied { passes, damage })
    }

    /// Makes the last pass with the files held, verifies, and hands over.
    ///
    /// # Errors
    /// As [`copy`](Self::copy); [`Error::Config`] when the app still runs; [`Error::Corrupt`] when both sides are not equal
    /// in the end, or a chain is not whole: then nothing is handed over.
    pub async fn finish(&self, progress: &Progress) -> Result<Verified> {
        let (source, mut target) = self.open(true, true).await?;
        progress.say("the files are held: nobody writes to them until this has ended");
        self.start(&source, &mut target).await?;
        let tables = self.walk(&source, &mut target, progress).all("last pass", Act::Settle).await?;
        target.derive().await?;
        let false_heads = target.false_heads().await?;
        let (links, damage) = self.chains(&mut target, |_, _| Ok(true)).await?;
        let verified = Verified { tables, links, damage, false_heads };
        if !verified.is_equal() {
            return Err(Error::corrupt(
                "postgres",
                format!("after the last pass {}", verified.what_is_wrong()),
                "nothing was handed over; see that nobody else writes to the schema, and run it again",
            ));
        }
        if !verified.is_whole() && !self.with_damage {
            return Err(Error::corrupt(
                "sqlite",
                format!("both sides are equal, and SQLite itself has this: {}", verified.what_is_wrong()),
                "nothing was handed over; find out what became of these records, as after a backup was restored, and run it with --with-damage to go on with them as they are",
            ));
        }
        // First no app starts on the old side any more, and then one may start on the new: never on both.
        let meta = source.meta()?;
        source.retire(&target.identity().await?, &self.to.told())?;
        if let Err(error) = target.end(&meta).await {
            return Err(match target.stage(&source.known()?).await {
                Ok(Stage::Moving) => {
                    source.take_back()?;
                    error
                }
                _ => Error::unavailable(
                    "postgres",
                    format!(
                        "{error}; whether it was handed over is not known, and no app starts on the files meanwhile: run --finish again"
                    ),
                ),
            });
        }
        source.close();
        Ok(verified)
    }

    /// Compares both sides, and changes nothing.
    ///
    /// # Errors
    /// What is wrong with either side. That they differ is no error, but in what is returned.
    pub async fn verify(&self, progress: &Progress) -> Result<Verified> {
        let (source, mut target) = self.open(false, false).await?;
        let stage = target.stage(&source.known()?).await?;
        if stage == Stage::Empty {
            return Err(target::nothing(&self.to.schema));
        }
        let tables = self.walk(&source, &mut target, progress).all("comparing", Act::Compare).await?;
        // Before the end they are not derived yet.
        let false_heads = if stage == Stage::Moved { target.false_heads().await? } else { Vec::default() };
        let (links, damage) = self.chains(&mut target, |_, _| Ok(true)).await?;
        Ok(Verified { tables, links, damage, false_heads })
    }

    /// Verifies each chain on the new side: how many links there are, and what damage there is, if it is one.
    async fn chains(
        &self,
        target: &mut Target,
        is_one: impl Fn(&Tenant, Damage) -> Result<bool>,
    ) -> Result<(u64, Vec<String>)> {
        let (mut links, mut damage) = (0, Vec::new());
        let tenants = match target.chains().await {
            // What the ledger says, which is the same for every tenant.
            Err(error @ Error::Corrupt { .. }) => return Ok((0, vec![error.to_string()])),
            other => other?,
        };
        for tenant in tenants {
            // A record that is gone is gone from both sides, as the tables say: that is the app's to judge, by its rules.
            let gone = Timestamp::from_millis(i64::MAX);
            let report = verify_chain(&target.store, &target.ledger, &tenant, gone).await?;
            links += report.records + report.severed + report.purged;
            if let Some((number, what)) = report.damage
                && is_one(&tenant, what)?
            {
                damage.push(format!("the chain of tenant `{tenant}` is not whole at {number}: {what}"));
            }
        }
        Ok((links, damage))
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
