//! Keys in a SQLite file of their own.

use std::path::PathBuf;

use async_trait::async_trait;
use privet::store::{KeyName, KeyStore};
use privet::{Day, Result};
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::db::{Db, Priority, UnitResult};
use crate::schema;

/// Wrapped keys in a SQLite file. What is destroyed is overwritten in the file, and the log before it is emptied.
///
/// Keep it elsewhere than the database where you can, and its backups for a shorter time: a backup with a key in it
/// undoes the erasure of what the key sealed.
#[derive(Debug)]
pub struct SqliteKeyStore {
    db: Db,
}

impl SqliteKeyStore {
    /// Opens a file or creates it.
    ///
    /// # Errors
    /// [`Error::Unavailable`](privet::Error::Unavailable) when it cannot be opened,
    /// [`Error::Corrupt`](privet::Error::Corrupt) when it is no such file.
    pub async fn connect(path: impl Into<PathBuf>) -> Result<Self> {
        Ok(Self { db: Db::open(path.into(), "sqlite-keys", schema::KEYS).await? })
    }
}

fn select(c: &Connection, name: &KeyName) -> UnitResult<Option<Vec<u8>>> {
    let (kind, tenant, id) = name.parts();
    let mut statement =
        c.prepare_cached("SELECT wrapped FROM keys WHERE kind = ?1 AND tenant = ?2 AND id = ?3")?;
    Ok(statement.query_row(params![kind, tenant, id], |row| row.get(0)).optional()?)
}

#[async_trait]
impl KeyStore for SqliteKeyStore {
    async fn get(&self, name: &KeyName) -> Result<Option<Vec<u8>>> {
        let name = name.clone();
        self.db.read(move |c| select(c, &name)).await
    }

    async fn insert(&self, name: &KeyName, wrapped: &[u8]) -> Result<Vec<u8>> {
        let (name, wrapped) = (name.clone(), wrapped.to_vec());
        self.db
            .write(Priority::Urgent, move |c| {
                let (kind, tenant, id) = name.parts();
                c.prepare_cached(
                    "INSERT OR IGNORE INTO keys (kind, tenant, id, wrapped) VALUES (?1, ?2, ?3, ?4)",
                )?
                .execute(params![kind, tenant, id, wrapped])?;
                Ok(select(c, &name)?.unwrap_or(wrapped))
            })
            .await
    }

    async fn destroy(&self, names: &[KeyName]) -> Result<()> {
        let names = names.to_vec();
        self.db
            .write(Priority::Urgent, move |c| {
                let mut statement =
                    c.prepare_cached("DELETE FROM keys WHERE kind = ?1 AND tenant = ?2 AND id = ?3")?;
                for name in &names {
                    let (kind, tenant, id) = name.parts();
                    statement.execute(params![kind, tenant, id])?;
                }
                Ok(())
            })
            .await?;
        self.db.checkpoint().await
    }

    async fn destroy_epochs_before(&self, day: Day) -> Result<()> {
        let (kind, _, from) = KeyName::Epoch(day).parts();
        let gone = self
            .db
            .write(Priority::Urgent, move |c| {
                Ok(c.execute("DELETE FROM keys WHERE kind = ?1 AND id < ?2", params![kind, from])?)
            })
            .await?;
        if gone > 0 { self.db.checkpoint().await } else { Ok(()) }
    }
}
