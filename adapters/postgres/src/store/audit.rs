//! What operators did.

use privet::portal::{AuditEvent, AuditId, Outcome, Verb};
use privet::{Site, Tenant, Timestamp};
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::rows::{self, RowResult, bytes, code, column, digest_if_any, ms, time};
use crate::db::{On, UnitResult};

fn read_event(tenant: &Tenant, row: &PgRow) -> RowResult<AuditEvent> {
    let site = match row.try_get::<Option<&str>, _>(1)? {
        Some(_) => Some(column(row, 1, "site", |site: &str| Site::new(site).ok())?),
        None => None,
    };
    Ok(AuditEvent::new(
        AuditId::from_bytes(bytes(row, 0)?),
        tenant.clone(),
        site,
        time(row, 2)?,
        row.try_get(3)?,
        code(row, 4, "verb", Verb::from_code)?,
        digest_if_any(row, 5)?,
        code(row, 6, "outcome", Outcome::from_code)?,
    ))
}

pub(super) async fn append(on: &mut On<'_>, event: &AuditEvent) -> UnitResult<()> {
    on.q("INSERT INTO privet.audit_events (tenant, id, site, at, operator, verb, subject, outcome)
          VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (tenant, id) DO NOTHING")
        .bind(event.tenant.as_str())
        .bind(event.id.as_bytes().as_slice())
        .bind(event.site.as_ref().map(Site::as_str))
        .bind(ms(event.at))
        .bind(event.operator.as_str())
        .bind(i16::from(event.verb.code()))
        .bind(event.subject.map(|s| s.as_bytes().to_vec()))
        .bind(i16::from(event.outcome.code()))
        .execute(&mut *on.c)
        .await?;
    Ok(())
}

pub(super) async fn of(
    on: &mut On<'_>,
    tenant: &Tenant,
    before: Option<(Timestamp, AuditId)>,
    limit: u16,
) -> UnitResult<Vec<AuditEvent>> {
    // A place before every event, where the first page begins.
    let (at, id) = before.map_or((i64::MAX, [0xff; 16]), |(at, id)| (ms(at), *id.as_bytes()));
    let rows = on
        .q("SELECT id, site, at, operator, verb, subject, outcome FROM privet.audit_events
            WHERE tenant = $1 AND (at, id) < ($2, $3) ORDER BY at DESC, id DESC LIMIT $4")
        .bind(tenant.as_str())
        .bind(at)
        .bind(id.to_vec())
        .bind(i64::from(limit))
        .fetch_all(&mut *on.c)
        .await?;
    Ok(rows::all(&rows, |row| read_event(tenant, row))?)
}

pub(super) async fn purge(on: &mut On<'_>, tenant: &Tenant, before: Timestamp, max: u32) -> UnitResult<u32> {
    let gone = on
        .q("WITH d AS MATERIALIZED (
              SELECT id FROM privet.audit_events WHERE tenant = $1 AND at < $2 ORDER BY at, id LIMIT $3 FOR UPDATE)
            DELETE FROM privet.audit_events e USING d
            WHERE e.tenant = $1 AND e.id = d.id")
        .bind(tenant.as_str())
        .bind(ms(before))
        .bind(i64::from(max))
        .execute(&mut *on.c)
        .await?;
    Ok(u32::try_from(gone.rows_affected()).unwrap_or(u32::MAX))
}
