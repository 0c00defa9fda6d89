//! Daily counts of showings and plain refusals.

use privet::consent::{ConsentCount, CountKind, NoticeId};
use privet::store::CountBatch;
use privet::{Day, Scope, Tenant};
use rusqlite::{Connection, ToSql, params, params_from_iter};

use super::{column, ms};
use crate::db::UnitResult;

/// Rows in one statement: far from SQLite's limit of 32,766 values.
const ROWS: usize = 1_000;

pub(super) fn add(c: &Connection, batch: &CountBatch) -> UnitResult<()> {
    let is_new = c
        .prepare_cached(
            "INSERT INTO fences (tenant, subject, epoch, until) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (tenant, subject) DO UPDATE SET epoch = excluded.epoch, until = max(until, excluded.until)
             WHERE epoch < excluded.epoch",
        )?
        .execute(params![batch.tenant().as_str(), batch.writer(), batch.number(), ms(batch.until())])?;
    if is_new == 0 {
        return Ok(());
    }
    for counts in batch.counts().chunks(ROWS) {
        let rows = vec!["(?, ?, ?, ?, ?, ?)"; counts.len()].join(", ");
        let sql = format!(
            "INSERT INTO consent_counts (tenant, site, day, kind, notice, count) VALUES {rows}
             ON CONFLICT DO UPDATE SET count = count + excluded.count"
        );
        let values = counts.iter().flat_map(|n| {
            let values: [Box<dyn ToSql>; 6] = [
                Box::new(n.scope.tenant.as_str()),
                Box::new(n.scope.site.as_str()),
                Box::new(n.day.number()),
                Box::new(n.kind.code()),
                Box::new(n.notice.as_bytes()),
                Box::new(i64::try_from(n.count).unwrap_or(i64::MAX)),
            ];
            values
        });
        c.prepare_cached(&sql)?.execute(params_from_iter(values))?;
    }
    Ok(())
}

pub(super) fn read(c: &Connection, scope: &Scope, from: Day, to: Day) -> UnitResult<Vec<ConsentCount>> {
    let mut statement = c.prepare_cached(
        "SELECT day, kind, notice, count FROM consent_counts
         WHERE tenant = ?1 AND site = ?2 AND day BETWEEN ?3 AND ?4 ORDER BY day, kind, notice",
    )?;
    let site = params![scope.tenant.as_str(), scope.site.as_str(), from.number(), to.number()];
    let rows = statement.query_map(site, |row| {
        let kind = column(row, 1, "kind", CountKind::from_code)?;
        let count = column(row, 3, "count", |n: i64| u64::try_from(n).ok())?;
        let (day, notice) = (Day::from_number(row.get(0)?), NoticeId::from_bytes(row.get(2)?));
        Ok(ConsentCount::new(scope.clone(), day, kind, notice, count))
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Up to `max` counts of days before one.
pub(super) fn purge(c: &Connection, tenant: &Tenant, before: Day, max: u32) -> UnitResult<u32> {
    let due: Vec<(String, i64, u8, [u8; 32])> = c
        .prepare_cached(
            "SELECT site, day, kind, notice FROM consent_counts WHERE tenant = ?1 AND day < ?2 LIMIT ?3",
        )?
        .query_map(params![tenant.as_str(), before.number(), max], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })?
        .collect::<rusqlite::Result<_>>()?;
    let mut delete = c.prepare_cached(
        "DELETE FROM consent_counts WHERE tenant = ?1 AND site = ?2 AND day = ?3 AND kind = ?4 AND notice = ?5",
    )?;
    for (site, day, kind, notice) in &due {
        delete.execute(params![tenant.as_str(), site, day, kind, notice])?;
    }
    Ok(u32::try_from(due.len()).unwrap_or(u32::MAX))
}
