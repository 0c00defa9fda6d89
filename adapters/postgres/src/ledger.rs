//! A ledger for many instances.

use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use privet::store::{Ledger, LedgerChain, LedgerEntry};
use privet::{Error, Result, Tenant};
use sqlx::Row as _;
use sqlx::postgres::PgPool;

use crate::db::{Db, On, UnitResult, Whose, read};
use crate::group::{Became, GroupCommit, Lonely, Unit};
use crate::{PostgresOptions, part, schema};

pub(crate) const NAME: &str = "postgres-ledger";

/// One at a time appends, to whichever ledger: nobody has to lock a table, which takes more rights than to write to it.
const LOCK: i64 = 0x6c65_6467_6572; // "ledger"

/// A ledger in a PostgreSQL database, shared by every instance: lines that are appended and never changed, each with a hash
/// over the one before.
///
/// It tells what a restored backup has to forget, so keep it where the data is not: on another server, with backups of its
/// own. Grant the role that runs USAGE on the schema, SELECT on `_privet_migrations`, SELECT and INSERT on `ledger`, and nothing
/// else.
#[derive(Clone, Debug)]
pub struct PostgresLedger {
    db: Db,
    /// Whoever comes while others append shares their write-through.
    appends: GroupCommit<Append>,
}

impl PostgresLedger {
    pub(crate) async fn on(db: Db) -> Result<Self> {
        schema::migrate(&db, part::LEDGER).await?;
        let appends = GroupCommit::on(&db, &Lonely::on(&db));
        Ok(Self { db, appends })
    }

    /// On a pool that the app has already, in the schema `privet`, whose tables are brought up to date; for another schema and
    /// all else, see [`PostgresOptions::from_pool`].
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the database is not reached, [`Error::Config`] when the table is not there and the role may
    /// not make it.
    pub async fn from_pool(pool: PgPool) -> Result<Self> {
        PostgresOptions::from_pool(pool).ledger().await
    }
}

fn corrupt(line: u64) -> Error {
    Error::corrupt(
        NAME,
        format!("line {line} does not continue the chain"),
        "restore the ledger from its backup; do not change its lines",
    )
}

fn seq(chain: &LedgerChain) -> i64 {
    i64::try_from(chain.seq()).unwrap_or(i64::MAX)
}

/// Entries to append, and where the chain stood when they were tried for the first time.
struct Append {
    entries: Vec<LedgerEntry>,
    tried: Mutex<Option<LedgerChain>>,
}

impl Append {
    /// Whether they stand among those that came since then: a commit without an answer may have written them.
    fn is_among(&self, since: &[LedgerEntry]) -> bool {
        since.windows(self.entries.len()).any(|there| there == self.entries)
    }

    fn tried(&self) -> MutexGuard<'_, Option<LedgerChain>> {
        self.tried.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Unit for Append {
    type Answer = ();

    /// A ledger is one chain, whoever appends.
    fn tenant(&self) -> &Tenant {
        static ALL: LazyLock<Tenant> = LazyLock::new(Tenant::default);
        &ALL
    }

    async fn together(on: &mut On<'_>, units: &[Arc<Self>]) -> UnitResult<Vec<Became<()>>> {
        on.q("SELECT pg_advisory_xact_lock($1)").bind(LOCK).execute(&mut *on.c).await?;
        let last = on
            .q("SELECT line FROM privet.ledger ORDER BY seq DESC LIMIT 1")
            .fetch_optional(&mut *on.c)
            .await?;
        let mut chain = match last {
            Some(row) => LedgerChain::after(row.try_get(0)?).ok_or_else(|| corrupt(0))?,
            None => LedgerChain::default(),
        };
        let (began, mut numbers, mut lines) = (chain.clone(), Vec::new(), Vec::new());
        for unit in units {
            let tried = unit.tried().get_or_insert_with(|| began.clone()).clone();
            if tried.seq() < began.seq() && unit.is_among(&since(on, tried).await?) {
                continue;
            }
            for entry in &unit.entries {
                lines.push(chain.append(entry)?);
                numbers.push(seq(&chain));
            }
        }
        on.q("INSERT INTO privet.ledger (seq, line) SELECT * FROM unnest($1::bigint[], $2::text[])")
            .bind(numbers)
            .bind(lines)
            .execute(&mut *on.c)
            .await?;
        Ok(units.iter().map(|_| Became::Done(Ok(()))).collect())
    }
}

/// Lines in one look.
const PAGE: i64 = 10_000;

/// The next lines.
async fn page(on: &mut On<'_>, after: &LedgerChain) -> UnitResult<Vec<String>> {
    let rows = on
        .q("SELECT line FROM privet.ledger WHERE seq > $1 ORDER BY seq LIMIT $2")
        .bind(seq(after))
        .bind(PAGE)
        .fetch_all(&mut *on.c)
        .await?;
    Ok(rows.iter().map(|row| row.try_get(0)).collect::<std::result::Result<_, _>>()?)
}

/// What was appended since somebody tried. Nothing where it does not continue what they saw, which a server lost when another one
/// took its place: then theirs is lost, too.
async fn since(on: &mut On<'_>, mut chain: LedgerChain) -> UnitResult<Vec<LedgerEntry>> {
    let mut all = Vec::new();
    loop {
        let lines = page(on, &chain).await?;
        for line in &lines {
            let Some(entry) = chain.read(line) else { return Ok(all) };
            all.push(entry);
        }
        if lines.is_empty() {
            return Ok(all);
        }
    }
}

#[async_trait]
impl Ledger for PostgresLedger {
    async fn append(&self, entries: &[LedgerEntry]) -> Result<()> {
        if entries.is_empty() {
            return Ok(());
        }
        self.appends.run(Append { entries: entries.to_vec(), tried: Mutex::default() }).await
    }

    async fn entries(&self) -> Result<Vec<LedgerEntry>> {
        // Page by page: nothing that was read changes, and each has its time.
        let (mut chain, mut all) = (LedgerChain::default(), Vec::new());
        loop {
            let lines = read!(self.db, Whose::Installation, on => page(on, &chain))?;
            for line in &lines {
                all.push(chain.read(line).ok_or_else(|| corrupt(chain.seq() + 1))?);
            }
            if lines.is_empty() {
                return Ok(all);
            }
        }
    }
}
