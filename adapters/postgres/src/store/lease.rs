//! Work that one instance at a time does.

use async_trait::async_trait;
use privet::store::{Lease, LeaseStore, LeaseToken};
use privet::{Result, Timestamp};
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::PostgresStore;
use super::rows::ms;
use crate::db::{On, Twice, UnitResult, Whose, unit};

/// Nobody waits here for what somebody does under a lease: the holder's own renewal goes beside its lock on the row ([`check`]),
/// and whoever else asks passes a locked row over, as one that is not free yet.
async fn acquire(
    on: &mut On<'_>,
    name: &str,
    owner: &[u8; 16],
    now: Timestamp,
    until: Timestamp,
) -> UnitResult<Option<LeaseToken>> {
    const RENEW: &str =
        "UPDATE privet.leases SET until = $4 WHERE name = $1 AND owner = $2 AND until > $3 RETURNING token";
    const FREE: &str = "SELECT token FROM privet.leases WHERE name = $1 AND (owner IS NULL OR until <= $2) FOR UPDATE SKIP LOCKED";
    const TAKE: &str =
        "UPDATE privet.leases SET owner = $2, until = $3, token = token + 1 WHERE name = $1 RETURNING token";
    const BEGIN: &str = "INSERT INTO privet.leases (name, owner, until, token) VALUES ($1, $2, $3, 1)
                         ON CONFLICT (name) DO NOTHING RETURNING token";
    let token =
        |row: &PgRow| row.try_get::<i64, _>(0).map(|token| Some(LeaseToken::new(token.unsigned_abs())));
    let renewing = on.q(RENEW).bind(name).bind(owner.to_vec()).bind(ms(now)).bind(ms(until));
    if let Some(renewed) = renewing.fetch_optional(&mut *on.c).await? {
        return Ok(token(&renewed)?);
    }
    let free = on.q(FREE).bind(name).bind(ms(now)).fetch_optional(&mut *on.c).await?;
    let take = if free.is_some() { TAKE } else { BEGIN };
    let taking = on.q(take).bind(name).bind(owner.to_vec()).bind(ms(until));
    match taking.fetch_optional(&mut *on.c).await? {
        Some(taken) => Ok(token(&taken)?),
        None => Ok(None),
    }
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

/// Rule 18. Until the transaction ends nobody else has it; its holder may renew it.
pub(crate) async fn check(on: &mut On<'_>, lease: Option<Lease>) -> UnitResult<()> {
    let Some(Lease { name, token }) = lease else { return Ok(()) };
    let held = on
        .q("SELECT 1 FROM privet.leases WHERE name = $1 AND token = $2 AND owner IS NOT NULL FOR KEY SHARE")
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
