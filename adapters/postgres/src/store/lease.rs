//! Work that one instance at a time does.

use async_trait::async_trait;
use privet::store::{Lease, LeaseStore, LeaseToken};
use privet::{Result, Timestamp};
use sqlx::Row as _;

use super::PostgresStore;
use super::rows::ms;
use crate::db::{On, Twice, UnitResult, Whose, unit};

async fn acquire(
    on: &mut On<'_>,
    name: &str,
    owner: &[u8; 16],
    now: Timestamp,
    until: Timestamp,
) -> UnitResult<Option<LeaseToken>> {
    let found = on
        .q("INSERT INTO privet.leases AS l (name, owner, until, token) VALUES ($1, $2, $4, 1)
            ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, until = excluded.until,
              token = l.token + CASE WHEN l.owner = excluded.owner AND l.until > $3 THEN 0 ELSE 1 END
            WHERE l.owner IS NULL OR l.owner = excluded.owner OR l.until <= $3 RETURNING token")
        .bind(name.to_owned())
        .bind(owner.to_vec())
        .bind(ms(now))
        .bind(ms(until))
        .fetch_optional(&mut *on.c)
        .await?;
    let token = found.map(|row| row.try_get::<i64, _>(0)).transpose()?;
    Ok(token.map(|token| LeaseToken::new(token.unsigned_abs())))
}

async fn release(on: &mut On<'_>, name: &str, token: LeaseToken) -> UnitResult<bool> {
    let given = on
        .q("UPDATE privet.leases SET owner = NULL WHERE name = $1 AND token = $2 AND owner IS NOT NULL")
        .bind(name.to_owned())
        .bind(token.get().cast_signed())
        .execute(&mut *on.c)
        .await?;
    Ok(given.rows_affected() == 1)
}

/// Rule 18. Until the transaction ends nobody else has it.
pub(crate) async fn check(on: &mut On<'_>, lease: Option<Lease>) -> UnitResult<()> {
    let Some(Lease { name, token }) = lease else { return Ok(()) };
    // Its holder has to renew it, and waits for this.
    on.script("SET LOCAL lock_timeout = '5s'").await?;
    let held = on
        .q("SELECT 1 FROM privet.leases WHERE name = $1 AND token = $2 AND owner IS NOT NULL FOR SHARE")
        .bind(name)
        .bind(token.get().cast_signed())
        .fetch_optional(&mut *on.c)
        .await?;
    if held.is_some() { Ok(()) } else { Err(Lease::lost().into()) }
}

#[async_trait]
impl LeaseStore for PostgresStore {
    async fn acquire_lease(
        &self,
        name: &str,
        owner: &[u8; 16],
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<LeaseToken>> {
        // The second time it is the owner's own, under the same token.
        unit!(self.db, Whose::Installation, Twice::Harmless, on => acquire(on, name, owner, now, until))
    }

    async fn release_lease(&self, name: &str, token: LeaseToken) -> Result<bool> {
        // The second time it would say that it was not held.
        unit!(self.db, Whose::Installation, Twice::Never, on => release(on, name, token))
    }
}
