//! Keys for many instances.

use std::collections::BTreeMap;

use async_trait::async_trait;
use privet::store::{KeyName, KeyStore};
use privet::{Day, Error, Result};
use sqlx::Row as _;
use sqlx::postgres::PgPool;

use crate::db::{Db, On, Twice, UnitResult, Whose, read, unit};
use crate::{PostgresOptions, part, schema};

pub(crate) const NAME: &str = "postgres-keys";

/// Wrapped keys in a PostgreSQL database, shared by every instance: the day's key of pseudonyms is one for all.
///
/// Keep it in another database than the data where you can, best on another server, and its backups for a shorter time: a
/// backup with a key in it undoes the erasure of what the key sealed. A key that is destroyed is deleted; PostgreSQL
/// overwrites its bytes when it needs the room, and its write-ahead log goes as the server recycles it. What stands there is
/// wrapped with the installation's key, which is in no database.
#[derive(Clone, Debug)]
pub struct PostgresKeyStore {
    db: Db,
}

impl PostgresKeyStore {
    pub(crate) async fn on(db: Db) -> Result<Self> {
        schema::migrate(&db, part::KEYS).await?;
        Ok(Self { db })
    }

    /// On a pool that the app has already, in the schema `privet`, whose tables are brought up to date; for another schema and
    /// all else, see [`PostgresOptions::from_pool`].
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the database is not reached, [`Error::Config`] when the table is not there and the role may
    /// not make it.
    pub async fn from_pool(pool: PgPool) -> Result<Self> {
        PostgresOptions::from_pool(pool).key_store().await
    }
}

async fn select(on: &mut On<'_>, name: &KeyName) -> UnitResult<Option<Vec<u8>>> {
    let (kind, tenant, id) = name.parts();
    let found = on
        .q("SELECT wrapped FROM privet.keys WHERE tenant = $1 AND kind = $2 AND id = $3")
        .bind(tenant)
        .bind(i16::from(kind))
        .bind(id)
        .fetch_optional(&mut *on.c)
        .await?;
    Ok(found.map(|row| row.try_get(0)).transpose()?)
}

/// The key that stands: this one, or the one that was there.
async fn insert(on: &mut On<'_>, name: &KeyName, wrapped: &[u8]) -> UnitResult<Vec<u8>> {
    let (kind, tenant, id) = name.parts();
    // Each time round somebody else destroyed the key that was in the way.
    for _ in 0..10 {
        let inserted = on
            .q("INSERT INTO privet.keys (tenant, kind, id, wrapped) VALUES ($1, $2, $3, $4) ON CONFLICT (tenant, kind, id) DO NOTHING")
            .bind(tenant)
            .bind(i16::from(kind))
            .bind(id.as_slice())
            .bind(wrapped)
            .execute(&mut *on.c)
            .await?;
        if inserted.rows_affected() == 1 {
            return Ok(wrapped.to_vec());
        }
        if let Some(standing) = select(on, name).await? {
            return Ok(standing);
        }
    }
    Err(Error::Conflict { what: "the key" }.into())
}

/// Those of one tenant, in the order of the keys, so that two who destroy at once do not wait for each other.
async fn destroy(on: &mut On<'_>, tenant: &str, keys: &[(i16, Vec<u8>)]) -> UnitResult<()> {
    on.q("WITH due AS (
            SELECT k.kind, k.id FROM unnest($2::smallint[], $3::bytea[]) AS d (kind, id)
            JOIN privet.keys k ON k.tenant = $1 AND k.kind = d.kind AND k.id = d.id
            ORDER BY k.kind, k.id FOR UPDATE OF k
          )
          DELETE FROM privet.keys k USING due WHERE k.tenant = $1 AND k.kind = due.kind AND k.id = due.id")
        .bind(tenant.to_owned())
        .bind(keys.iter().map(|(kind, _)| *kind).collect::<Vec<_>>())
        .bind(keys.iter().map(|(_, id)| id.clone()).collect::<Vec<_>>())
        .execute(&mut *on.c)
        .await?;
    Ok(())
}

async fn destroy_before(on: &mut On<'_>, day: Day) -> UnitResult<()> {
    let name = KeyName::Epoch(day);
    let (kind, tenant, from) = name.parts();
    on.q("DELETE FROM privet.keys WHERE tenant = $1 AND kind = $2 AND id < $3")
        .bind(tenant)
        .bind(i16::from(kind))
        .bind(from)
        .execute(&mut *on.c)
        .await?;
    Ok(())
}

#[async_trait]
impl KeyStore for PostgresKeyStore {
    async fn get(&self, name: &KeyName) -> Result<Option<Vec<u8>>> {
        read!(self.db, name.parts().1, on => select(on, name))
    }

    async fn insert(&self, name: &KeyName, wrapped: &[u8]) -> Result<Vec<u8>> {
        unit!(self.db, name.parts().1, Twice::Harmless, on => insert(on, name, wrapped))
    }

    async fn destroy(&self, names: &[KeyName]) -> Result<()> {
        let mut of_tenants = BTreeMap::<&str, Vec<(i16, Vec<u8>)>>::new();
        for (kind, tenant, id) in names.iter().map(KeyName::parts) {
            of_tenants.entry(tenant).or_default().push((i16::from(kind), id));
        }
        // One transaction per tenant.
        for (tenant, keys) in of_tenants {
            unit!(self.db, tenant, Twice::Harmless, on => destroy(on, tenant, &keys))?;
        }
        Ok(())
    }

    async fn destroy_epochs_before(&self, day: Day) -> Result<()> {
        unit!(self.db, Whose::Installation, Twice::Harmless, on => destroy_before(on, day))
    }
}
