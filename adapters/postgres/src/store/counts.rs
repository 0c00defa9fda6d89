//! Daily counts of showings and plain refusals.

use std::collections::BTreeMap;

use privet::consent::{ConsentCount, CountKind, NoticeId};
use privet::store::CountBatch;
use privet::{Day, Scope, Tenant};
use sqlx::Row as _;

use super::rows::{self, bytes, code, ms, number};
use crate::db::{On, UnitResult};

/// Rows in one statement.
const ROWS: usize = 1_000;

/// Adds them up here first, since a statement may not change a row twice; in the order of the keys, in which everybody locks.
/// The writer's fence comes before all of them, so that the same batch waits for itself, if its commit is still under way.
pub(super) async fn add(on: &mut On<'_>, batch: &CountBatch) -> UnitResult<()> {
    let is_new = on
        .q("INSERT INTO privet.fences AS f (tenant, subject, epoch, until) VALUES ($1, $2, $3, $4)
            ON CONFLICT (tenant, subject)
            DO UPDATE SET epoch = excluded.epoch, until = greatest(f.until, excluded.until)
            WHERE f.epoch < excluded.epoch")
        .bind(batch.tenant().as_str())
        .bind(batch.writer().to_vec())
        .bind(i64::from(batch.number()))
        .bind(ms(batch.until()))
        .execute(&mut *on.c)
        .await?;
    if is_new.rows_affected() == 0 {
        return Ok(());
    }
    let mut sums = BTreeMap::<_, i64>::new();
    for c in batch.counts() {
        let key = (c.scope.site.as_str(), c.day.number(), c.kind.code(), *c.notice.as_bytes());
        let sum = sums.entry(key).or_default();
        *sum = sum.saturating_add(i64::try_from(c.count).unwrap_or(i64::MAX));
    }
    let sums: Vec<_> = sums.into_iter().collect();
    for sums in sums.chunks(ROWS) {
        on.q("INSERT INTO privet.consent_counts AS c (tenant, site, day, kind, notice, count)
              SELECT $1, t.* FROM unnest($2::text[], $3::bigint[], $4::smallint[], $5::bytea[], $6::bigint[]) AS t
              ON CONFLICT (tenant, site, day, kind, notice)
              DO UPDATE SET count = least(c.count::numeric + excluded.count, 9223372036854775807)::bigint")
            .bind(batch.tenant().as_str())
            .bind(sums.iter().map(|((site, ..), _)| *site).collect::<Vec<_>>())
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
