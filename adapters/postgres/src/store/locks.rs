//! What is locked, and in which order, so that nobody waits for somebody who waits for them:
//!
//! 1. a line of consent, or a visit: an advisory lock of the transaction, since there may be no row yet;
//! 2. contacts, by site and id;
//! 3. conversations;
//! 4. fences, notifications and the rest;
//! 5. the head of a tenant's chain.
//!
//! Each statement after a lock sees what was committed by whoever had it before (READ COMMITTED). Where two meet in another
//! order all the same, PostgreSQL ends one of them, which did nothing and runs again.

use privet::Scope;
use privet::contact::ContactId;
use privet::store::SubjectDigest;

use crate::db::{On, UnitResult};

/// What there is no row for.
#[derive(Clone, Copy)]
pub(super) enum Named {
    Line(SubjectDigest),
    Visit(SubjectDigest),
}

/// FNV-1a: two names with one number wait for each other, and nothing worse.
fn key(scope: &Scope, named: Named) -> i64 {
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

/// Keeps everybody else out of a line or a visit until the transaction ends.
pub(super) async fn alone(on: &mut On<'_>, scope: &Scope, named: Named) -> UnitResult<()> {
    let query = on.q("SELECT pg_advisory_xact_lock($1)").bind(key(scope, named));
    query.execute(&mut *on.c).await?;
    Ok(())
}

/// Keeps whoever changes a line out of it until the transaction ends.
pub(super) async fn together(on: &mut On<'_>, scope: &Scope, named: Named) -> UnitResult<()> {
    let query = on.q("SELECT pg_advisory_xact_lock_shared($1)").bind(key(scope, named));
    query.execute(&mut *on.c).await?;
    Ok(())
}

/// Locks contacts of a site, in the order of their ids.
pub(super) async fn contacts(on: &mut On<'_>, scope: &Scope, ids: &[ContactId]) -> UnitResult<()> {
    let ids: Vec<&[u8]> = ids.iter().map(|id| id.as_bytes().as_slice()).collect();
    on.q("SELECT 1 FROM privet.contacts WHERE tenant = $1 AND site = $2 AND id = ANY($3) ORDER BY id FOR UPDATE")
        .bind(scope.tenant.as_str())
        .bind(scope.site.as_str())
        .bind(ids)
        .execute(&mut *on.c)
        .await?;
    Ok(())
}
