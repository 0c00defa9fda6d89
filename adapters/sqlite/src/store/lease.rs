//! Work that one process at a time does.

use async_trait::async_trait;
use privet::store::{Lease, LeaseStore, LeaseToken};
use privet::{Result, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{SqliteStore, ms};
use crate::db::{Priority, UnitResult};

/// Rule 18.
pub(super) fn check(c: &Connection, lease: Option<Lease>) -> UnitResult<()> {
    let Some(Lease { name, token }) = lease else { return Ok(()) };
    let sql = "SELECT 1 FROM leases WHERE name = ?1 AND token = ?2 AND owner IS NOT NULL";
    let held = c.prepare_cached(sql)?.exists(params![name, token.get().cast_signed()])?;
    if held { Ok(()) } else { Err(Lease::lost().into()) }
}

#[async_trait]
impl LeaseStore for SqliteStore {
    async fn acquire_lease(
        &self,
        name: &str,
        owner: &[u8; 16],
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<LeaseToken>> {
        let (name, owner) = (name.to_owned(), *owner);
        self.db
            .write(Priority::Housekeeping, move |c| {
                let token = c
                    .prepare_cached(
                        "INSERT INTO leases (name, owner, until, token) VALUES (?1, ?2, ?4, 1)
                         ON CONFLICT (name) DO UPDATE SET owner = ?2, until = ?4,
                           token = token + CASE WHEN owner IS ?2 AND until > ?3 THEN 0 ELSE 1 END
                         WHERE owner IS NULL OR owner = ?2 OR until <= ?3 RETURNING token",
                    )?
                    .query_row(params![name, owner, ms(now), ms(until)], |row| row.get::<_, i64>(0))
                    .optional()?;
                Ok(token.map(|token| LeaseToken::new(token.unsigned_abs())))
            })
            .await
    }

    async fn release_lease(&self, name: &str, token: LeaseToken) -> Result<bool> {
        let (name, token) = (name.to_owned(), token.get().cast_signed());
        self.db
            .write(Priority::Housekeeping, move |c| {
                let sql =
                    "UPDATE leases SET owner = NULL WHERE name = ?1 AND token = ?2 AND owner IS NOT NULL";
                Ok(c.prepare_cached(sql)?.execute(params![name, token])? == 1)
            })
            .await
    }
}
