//! Daily counts of showings and plain refusals.

use std::collections::BTreeMap;

use privet::consent::{ConsentCount, CountKind, NoticeId};
use privet::{Day, Scope, Tenant};
use sqlx::Row as _;

use super::rows::{self, bytes, code, number};
use crate::db::{On, UnitResult};

/// Rows in one statement.
const ROWS: usize = 1_000;

/// Adds them up here first, since a statement may not change a row twice; in the order of the keys, in which everybody locks.
pub(super) async fn add(on: &mut On<'_>, counts: &[ConsentCount]) -> UnitResult<()> {
    let mut sums = BTreeMap::<_, i64>::new();
    for c in counts {
        let sum = sums.entry((&c.scope, c.day.number(), c.kind.code(), *c.notice.as_bytes())).or_default();
        *sum = sum.saturating_add(i64::try_from(c.count).unwrap_or(i64::MAX));
    }
    let sums: Vec<_> = sums.into_iter().collect();
    let of_tenants = sums.chunk_by(|((a, ..), _), ((b, ..), _)| a.tenant == b.tenant);
    for sums in of_tenants.flat_map(|of_tenant| of_tenant.chunks(ROWS)) {
        if let Some(((scope, ..), _)) = sums.first() {
            on.speak_for((*scope).into()).await?;
        }
        on.q("INSERT INTO privet.consent_counts AS c (tenant, site, day, kind, notice, count)
              SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::smallint[], $5::bytea[], $6::bigint[])
              ON CONFLICT (tenant, site, day, kind, notice)
              DO UPDATE SET count = least(c.count::numeric + excluded.count, 9223372036854775807)::bigint")
            .bind(sums.iter().map(|((s, ..), _)| s.tenant.as_str()).collect::<Vec<_>>())
            .bind(sums.iter().map(|((s, ..), _)| s.site.as_str()).collect::<Vec<_>>())
            .bind(sums.iter().map(|((_, day, ..), _)| *day).collect::<Vec<_>>())
            .bind(sums.iter().map(|((_, _, kind, _), _)| i16::from(*kind)).collect::<Vec<_>>())
            .bind(sums.iter().map(|((.., notice), _)| notice.to_vec()).collect::<Vec<_>>())
            .bind(sums.iter().map(|(_, count)| *count).collect::<Vec<_>>())
            .execute(&mut *on.c)
            .await?;
    }
    Ok(())
}

pub(super) async fn read(
    on: &mut On<'_>,
    scope: &Scope,
    from: Day,
    to: Day,
) -> UnitResult<Vec<ConsentCount>> {
    let rows = on
        .q("SELECT day, kind, notice, count FROM privet.consent_counts
            WHERE tenant = $1 AND site = $2 AND day BETWEEN $3 AND $4 ORDER BY day, kind, notice")
        .bind(scope.tenant.as_str())
        .bind(scope.site.as_str())
        .bind(from.number())
        .bind(to.number())
        .fetch_all(&mut *on.c)
        .await?;
    Ok(rows::all(&rows, |row| {
        let kind = code(row, 1, "kind", CountKind::from_code)?;
        let (day, notice) = (Day::from_number(row.try_get(0)?), NoticeId::from_bytes(bytes(row, 2)?));
        Ok(ConsentCount::new(scope.clone(), day, kind, notice, number(row, 3)?))
    })?)
}

/// Up to `max` counts of days before one.
pub(super) async fn purge(on: &mut On<'_>, tenant: &Tenant, before: Day, max: u32) -> UnitResult<u32> {
    let gone = on
        .q("WITH d AS MATERIALIZED (
              SELECT site, day, kind, notice FROM privet.consent_counts WHERE tenant = $1 AND day < $2
              ORDER BY day, site, kind, notice LIMIT $3 FOR UPDATE)
            DELETE FROM privet.consent_counts c USING d
            WHERE c.tenant = $1 AND c.site = d.site AND c.day = d.day AND c.kind = d.kind AND c.notice = d.notice")
        .bind(tenant.as_str())
        .bind(before.number())
        .bind(i64::from(max))
        .execute(&mut *on.c)
        .await?;
    Ok(u32::try_from(gone.rows_affected()).unwrap_or(u32::MAX))
}
