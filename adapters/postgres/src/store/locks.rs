//! What is locked, and in which order, so that nobody waits for somebody who waits for them:
//!
//! 1. lines of consent and visits, by their numbers: an advisory lock of the transaction, since there may be no row yet;
//! 2. contacts, by site and id;
//! 3. conversations, by site and id;
//! 4. fences, notifications and the rest;
//! 5. the head of a tenant's chain.
//!
//! Each statement after a lock sees what was committed by whoever had it before (READ COMMITTED). Where two meet in another
//! order all the same, PostgreSQL ends one of them, which did nothing and runs again.

use privet::contact::ContactId;
use privet::store::SubjectDigest;
use privet::{Scope, Tenant};

use crate::db::{On, UnitResult};

/// What there is no row for.
#[derive(Clone, Copy)]
pub(super) enum Named {
    Line(SubjectDigest),
    Visit(SubjectDigest),
}

/// FNV-1a: two names with one number wait for each other, and nothing worse.
pub(super) fn key(scope: &Scope, named: Named) -> i64 {
    let (kind, digest) = match named {
        Named::Line(line) => (b"line", line),
        Named::Visit(session) => (b"sess", session),
    };
    let parts: [&[u8]; 6] = [
        kind,
        scope.tenant.as_str().as_bytes(),
        b"/",
        scope.site.as_str().as_bytes(),
        b"/",
        digest.as_bytes(),
    ];
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in parts.into_iter().flatten() {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash.cast_signed()
}

async fn lock(on: &mut On<'_>, sql: &'static str, mut keys: Vec<i64>) -> UnitResult<()> {
    keys.sort_unstable();
    keys.dedup();
    if !keys.is_empty() {
        on.q(sql).bind(keys).execute(&mut *on.c).await?;
    }
    Ok(())
}

/// Keeps everybody else out of lines or visits until the transaction ends.
pub(super) async fn alone(on: &mut On<'_>, keys: Vec<i64>) -> UnitResult<()> {
    lock(on, "SELECT pg_advisory_xact_lock(k) FROM unnest($1::bigint[]) AS k", keys).await
}

/// Keeps whoever changes lines out of them until the transaction ends.
pub(super) async fn together(on: &mut On<'_>, keys: Vec<i64>) -> UnitResult<()> {
    lock(on, "SELECT pg_advisory_xact_lock_shared(k) FROM unnest($1::bigint[]) AS k", keys).await
}

/// Locks contacts of a tenant, in the order of their sites and ids.
pub(super) async fn contacts(
    on: &mut On<'_>,
    tenant: &Tenant,
    contacts: &[(&str, ContactId)],
) -> UnitResult<()> {
    on.q("SELECT 1 FROM unnest($2::text[], $3::bytea[]) AS e (site, id)
          JOIN privet.contacts c ON c.tenant = $1 AND c.site = e.site AND c.id = e.id
          ORDER BY c.site, c.id FOR UPDATE OF c")
        .bind(tenant.as_str())
        .bind(contacts.iter().map(|(site, _)| *site).collect::<Vec<_>>())
        .bind(contacts.iter().map(|(_, id)| id.as_bytes().to_vec()).collect::<Vec<_>>())
        .execute(&mut *on.c)
        .await?;
    Ok(())
}
