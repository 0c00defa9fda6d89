//! The installation in SQLite: read beside the app that serves, or held so that nobody else has it.

use std::fs::{File, TryLockError};
use std::io::{Read as _, Seek as _};
use std::path::{Path, PathBuf};

use privet::consent::Damage;
use privet::key::Fingerprint;
use privet::store::{LedgerChain, LedgerEntry};
use privet::{Error, KeyRing, Result, Tenant};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, params_from_iter};

use crate::error::{file, sqlite};
use crate::rows::{Range, Row, Value};
use crate::tables::{Kind, Table};

/// The migrations of the database that this program knows, and those of the keys.
const STORE_VERSION: i64 = 4;
const KEYS_VERSION: i64 = 1;

/// The name of the installation's key in `meta`; and of what is written down when it moves out: the key until then, and which
/// place it moved to, as that is known and as it is called.
const KEY: &str = "installation-key";
const BEFORE: &str = "key-before-the-move";
const TO: &str = "moved-to";
const PLACE: &str = "moved-to-place";

/// What is known of the installation before anything is moved.
pub(crate) struct Known {
    /// The name of its key, also when it has moved out.
    pub(crate) key: Vec<u8>,
    /// Whether it has moved out.
    pub(crate) retired: Option<Retired>,
}

/// Where it moved to.
pub(crate) struct Retired {
    /// The identity of the target's `meta`.
    pub(crate) to: Option<Vec<u8>>,
    /// What a person calls that.
    pub(crate) place: String,
}

/// A file of SQLite.
struct Db {
    path: PathBuf,
    connection: Connection,
}

impl Db {
    fn open(path: PathBuf, version: i64, alone: bool) -> Result<Self> {
        let flags = if alone { OpenFlags::SQLITE_OPEN_READ_WRITE } else { OpenFlags::SQLITE_OPEN_READ_ONLY };
        let opened = Connection::open_with_flags(&path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX);
        let db = Self { connection: opened.map_err(|e| sqlite(&path, &e))?, path };
        if alone {
            db.hold()?;
        } else {
            db.said(db.connection.busy_timeout(std::time::Duration::from_secs(5)))?;
        }
        let found = db
            .connection
            .query_row("SELECT max(version) FROM _privet_migrations", [], |row| row.get::<_, Option<i64>>(0));
        let found = match found {
            // No such table.
            Err(e) if e.sqlite_error_code() == Some(rusqlite::ErrorCode::Unknown) => None,
            other => db.said(other)?,
        };
        match found {
            Some(found) if found == version => Ok(db),
            Some(found) if found > version => Err(Error::config(
                format!("{} was written by a newer privet than this program knows", db.path.display()),
                "build this program from the version of privet that the app has",
            )),
            Some(_) => Err(Error::config(
                format!(
                    "{} was written by an older privet, and its tables are not up to date",
                    db.path.display()
                ),
                "update the app to the version of privet that this program has and start it once, which brings them up to date",
            )),
            None => Err(Error::config(
                format!("{} is no file of privet's SQLite store", db.path.display()),
                "name the folder that the app gives to `privet_sqlite::open`",
            )),
        }
    }

    fn said<T>(&self, done: rusqlite::Result<T>) -> Result<T> {
        done.map_err(|e| sqlite(&self.path, &e))
    }

    /// Takes the file for this process alone: in this mode SQLite gives the lock only when nobody else has the file open, so
    /// an app that still runs shows, and none can start meanwhile.
    fn hold(&self) -> Result<()> {
        let held = self
            .connection
            .query_row("PRAGMA locking_mode = EXCLUSIVE", [], |_| Ok(()))
            .and_then(|()| self.connection.execute_batch("BEGIN IMMEDIATE"));
        match held {
            Err(e) if e.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy) => Err(Error::config(
                format!("{} is in use: the app still runs", self.path.display()),
                "stop the app and whatever else opens this file, and run it again",
            )),
            other => self.said(other),
        }
    }
}

/// The installation.
pub(crate) struct Source {
    store: Db,
    keys: Db,
    ledger: PathBuf,
    /// Locked while nobody else may append.
    held: Option<File>,
    lines: Vec<String>,
}

impl Source {
    /// Opens what is in a folder, for reading only; or `alone`, with nobody else beside it.
    pub(crate) fn open(folder: &Path, alone: bool) -> Result<Self> {
        if !folder.is_dir() {
            return Err(Error::config(
                format!("there is no folder {}", folder.display()),
                "name the folder that the app gives to `privet_sqlite::open`",
            ));
        }
        let paths = ["privet.db", "keys.db", "ledger.jsonl"].map(|name| folder.join(name));
        if let Some(missing) = paths.iter().find(|path| !path.is_file()) {
            return Err(Error::config(
                format!("there is no {}", missing.display()),
                "name the folder that the app gives to `privet_sqlite::open`; where keys or ledger are kept elsewhere, put links to them into it",
            ));
        }
        let [store, keys, ledger] = paths;
        let mut held = None;
        if alone {
            let opened = File::open(&ledger).map_err(|e| file(&ledger, e))?;
            match opened.try_lock() {
                Ok(()) => held = Some(opened),
                Err(TryLockError::WouldBlock) => {
                    return Err(Error::config(
                        format!("{} is in use: the app still runs", ledger.display()),
                        "stop the app, and run it again",
                    ));
                }
                Err(TryLockError::Error(e)) => return Err(file(&ledger, e)),
            }
        }
        let store = Db::open(store, STORE_VERSION, alone)?;
        let keys = Db::open(keys, KEYS_VERSION, alone)?;
        let mut source = Self { store, keys, ledger, held, lines: Vec::new() };
        source.check_key(folder)?;
        source.read_ledger()?;
        Ok(source)
    }

    /// A key file beside the database has to be the one that the database was made with.
    fn check_key(&self, folder: &Path) -> Result<()> {
        let (path, kept) = (folder.join("privet.key"), self.fingerprint()?);
        if !path.is_file() {
            return Ok(());
        }
        let ring = KeyRing::from_file(&path)?;
        let known = [Some(ring.fingerprint()), ring.previous_fingerprint()];
        if known.iter().flatten().any(|print| print.as_bytes().as_slice() == kept) {
            return Ok(());
        }
        Err(Error::config(
            format!("{} is not the key that this installation was made with", path.display()),
            "put the installation's own key file back: nothing is read without it, on the new side neither",
        ))
    }

    fn kept(&self, key: &str) -> Result<Option<Vec<u8>>> {
        let sql = "SELECT value FROM meta WHERE key = ?1";
        let found = self.store.connection.query_row(sql, [key], |row| row.get(0));
        self.store.said(found.optional())
    }

    pub(crate) fn known(&self) -> Result<Known> {
        let moved = self.kept(KEY)?.is_some_and(|key| key == Fingerprint::MOVED.as_bytes());
        let place = self.kept(PLACE)?.map(|place| String::from_utf8_lossy(&place).into_owned());
        let retired =
            Retired { to: self.kept(TO)?, place: place.unwrap_or_else(|| "another place".to_owned()) };
        Ok(Known { key: self.fingerprint()?, retired: moved.then_some(retired) })
    }

    fn fingerprint(&self) -> Result<Vec<u8>> {
        let found = match self.kept(KEY)? {
            Some(key) if key == Fingerprint::MOVED.as_bytes() => self.kept(BEFORE)?,
            found => found,
        };
        found.ok_or_else(|| {
            Error::config(
                format!(
                    "{} was never served by an app, so there is nothing to move",
                    self.store.path.display()
                ),
                "name the folder of the installation that serves",
            )
        })
    }

    /// What `meta` holds, and held before it moved out.
    pub(crate) fn meta(&self) -> Result<Vec<(String, Vec<u8>)>> {
        let read = || {
            let mut statement = self.store.connection.prepare("SELECT key, value FROM meta ORDER BY key")?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect()
        };
        let mut meta: Vec<(String, Vec<u8>)> = self.store.said(read())?;
        meta.retain(|(key, _)| ![BEFORE, TO, PLACE].contains(&key.as_str()));
        let key = self.fingerprint()?;
        meta.iter_mut().filter(|(name, _)| name == KEY).for_each(|(_, value)| value.clone_from(&key));
        Ok(meta)
    }

    /// From here on no app starts on these files, which are held, and they go into no other place.
    pub(crate) fn retire(&self, to: &[u8], place: &str) -> Result<()> {
        let key = self.fingerprint()?;
        let facts = [(BEFORE, key.as_slice()), (TO, to), (PLACE, place.as_bytes())];
        self.write_key(Fingerprint::MOVED.as_bytes(), &facts)
    }

    /// The app may start on them again.
    pub(crate) fn take_back(&self) -> Result<()> {
        let key = self.fingerprint()?;
        self.write_key(&key, &[])
    }

    fn write_key(&self, key: &[u8], facts: &[(&str, &[u8])]) -> Result<()> {
        let c = &self.store.connection;
        let written = || {
            c.execute("UPDATE meta SET value = ?2 WHERE key = ?1", (KEY, key))?;
            c.execute("DELETE FROM meta WHERE key IN (?1, ?2, ?3)", [BEFORE, TO, PLACE])?;
            for fact in facts {
                c.execute("INSERT INTO meta (key, value) VALUES (?1, ?2)", *fact)?;
            }
            // On the disk; and the file is held on.
            c.execute_batch("COMMIT; BEGIN IMMEDIATE")
        };
        self.store.said(written())
    }

    /// Reads the ledger's lines anew, and checks that each continues the one before.
    pub(crate) fn read_ledger(&mut self) -> Result<()> {
        let io = |e| file(&self.ledger, e);
        let mut text = String::new();
        if let Some(mut held) = self.held.as_ref() {
            held.rewind().map_err(io)?;
            held.read_to_string(&mut text).map_err(io)?;
        } else {
            // Beside others that read, and not in the middle of an append.
            let mut shared = File::open(&self.ledger).map_err(io)?;
            shared.lock_shared().map_err(io)?;
            shared.read_to_string(&mut text).map_err(io)?;
        }
        // What follows the last line break was never acknowledged.
        let whole = text.rfind('\n').map_or(0, |at| at + 1);
        let mut chain = LedgerChain::default();
        self.lines = text.get(..whole).unwrap_or_default().lines().map(str::to_owned).collect();
        for line in &self.lines {
            if chain.read(line).is_none() {
                return Err(Error::corrupt(
                    "ledger file",
                    format!(
                        "{}: line {} does not continue the chain",
                        self.ledger.display(),
                        chain.seq() + 1
                    ),
                    "put the file back as it was from its backup; do not edit it",
                ));
            }
        }
        Ok(())
    }

    /// Whether a damage that was found in a copy is one of what was copied. Links are copied before records, and these before
    /// the ledger: of a whole chain that went on meanwhile the copy has what stands beside it, or what comes after its end.
    pub(crate) fn has(&self, tenant: &Tenant, what: Damage) -> Result<bool> {
        let ask = |sql: &str| {
            let row = self.store.connection.query_row(sql, [tenant.as_str()], |row| row.get::<_, i64>(0));
            self.store.said(row)
        };
        match what {
            Damage::Unchained => {
                let beside = "SELECT EXISTS (SELECT 1 FROM consent_records r WHERE tenant = ?1 AND NOT EXISTS (
                    SELECT 1 FROM consent_links l WHERE l.tenant = ?1 AND l.segment = r.segment AND l.seq = r.seq))";
                Ok(ask(beside)? > 0)
            }
            Damage::TailCut => {
                let end = ask("SELECT coalesce(max(seq), 0) FROM consent_links WHERE tenant = ?1")?;
                let mut chain = LedgerChain::default();
                let known = self.lines.iter().filter_map(|line| match chain.read(line) {
                    Some(LedgerEntry::Head { tenant: of, link, .. }) if of == *tenant => Some(link.seq),
                    _ => None,
                });
                Ok(known.max().is_some_and(|known| known > end.unsigned_abs()))
            }
            _ => Ok(true),
        }
    }

    fn db(&self, table: &Table) -> Option<&Db> {
        match table.name {
            "ledger" => None,
            "keys" => Some(&self.keys),
            _ => Some(&self.store),
        }
    }

    /// How many rows a table has.
    pub(crate) fn count(&self, table: &Table) -> Result<u64> {
        let Some(db) = self.db(table) else { return Ok(as_u64(self.lines.len())) };
        let sql = format!("SELECT count(*) FROM {}", table.name);
        let count = db.said(db.connection.query_row(&sql, [], |row| row.get::<_, i64>(0)))?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    /// The groups of a table, in their order.
    pub(crate) fn groups(&self, table: &Table) -> Result<Vec<Vec<Value>>> {
        let Some(db) = self.db(table) else { return Ok(vec![Vec::new()]) };
        let columns = table.columns.get(..table.group).unwrap_or_default();
        let names: Vec<_> = columns.iter().map(|(name, _)| *name).collect();
        let names = names.join(", ");
        let sql = format!("SELECT DISTINCT {names} FROM {} ORDER BY {names}", table.name);
        db.said(read(&db.connection, &sql, &[], columns))
    }

    /// Rows of a group after one of them, in their order, all of one moment.
    pub(crate) fn rows(&self, table: &Table, range: &Range, limit: usize) -> Result<Vec<Row>> {
        let Some(db) = self.db(table) else { return Ok(self.ledger_rows(range, limit)) };
        let names =
            |columns: &[(&'static str, Kind)]| columns.iter().map(|(name, _)| *name).collect::<Vec<_>>();
        let (group, order) = (table.columns.get(..table.group).unwrap_or_default(), table.order());
        let mut condition: Vec<_> = names(group).iter().map(|name| format!("{name} = ?")).collect();
        let mut values: Vec<_> = range.group.iter().zip(group).collect();
        if let Some(after) = &range.after {
            condition.push(format!(
                "({}) > ({})",
                names(order).join(", "),
                vec!["?"; order.len()].join(", ")
            ));
            values.extend(after.iter().zip(order));
        }
        let sql = format!(
            "SELECT {} FROM {} WHERE {} ORDER BY {} LIMIT {limit}",
            names(table.columns).join(", "),
            table.name,
            condition.join(" AND "),
            names(order).join(", ")
        );
        let values: Vec<_> = values.into_iter().map(|(value, (_, kind))| (value.clone(), *kind)).collect();
        db.said(read(&db.connection, &sql, &values, table.columns))
    }

    fn ledger_rows(&self, range: &Range, limit: usize) -> Vec<Row> {
        let after = match range.after.as_deref() {
            Some([Value::Int(n)]) => usize::try_from(*n).unwrap_or(0),
            _ => 0,
        };
        let row = |(at, line): (usize, &String)| {
            let number = i64::try_from(at + 1).unwrap_or(i64::MAX);
            vec![Value::Int(number), Value::Bytes(line.clone().into_bytes())]
        };
        self.lines.iter().enumerate().skip(after).take(limit).map(row).collect()
    }

    /// Lets go of the files.
    pub(crate) fn close(self) {
        // The lock of the ledger goes with its file, the transactions with their connections.
        drop(self);
    }
}

pub(crate) fn as_u64(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

/// As SQLite compares it: a text is no blob.
fn bind((value, kind): &(Value, Kind)) -> rusqlite::types::Value {
    use rusqlite::types::Value as Sql;
    match (value, kind) {
        (Value::Null, _) => Sql::Null,
        (Value::Int(n), _) => Sql::Integer(*n),
        (Value::Bytes(bytes), Kind::Text | Kind::Word | Kind::Body) => {
            Sql::Text(String::from_utf8_lossy(bytes).into_owned())
        }
        (Value::Bytes(bytes), _) => Sql::Blob(bytes.clone()),
    }
}

fn read(
    connection: &Connection,
    sql: &str,
    values: &[(Value, Kind)],
    columns: &[(&str, Kind)],
) -> rusqlite::Result<Vec<Row>> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params_from_iter(values.iter().map(bind)))?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        let value = |at: usize| {
            Ok(match row.get_ref(at)? {
                ValueRef::Null => Value::Null,
                ValueRef::Integer(n) => Value::Int(n),
                ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Value::Bytes(bytes.to_vec()),
                // No column of privet has fractions.
                ValueRef::Real(_) => {
                    return Err(rusqlite::Error::InvalidColumnType(
                        at,
                        columns.get(at).map_or("", |c| c.0).to_owned(),
                        rusqlite::types::Type::Real,
                    ));
                }
            })
        };
        all.push((0..columns.len()).map(value).collect::<rusqlite::Result<_>>()?);
    }
    Ok(all)
}
