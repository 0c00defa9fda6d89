//! What operators did.

use privet::portal::{AuditEvent, AuditId, Outcome, Verb};
use privet::store::SubjectDigest;
use privet::{Site, Tenant, Timestamp};
use rusqlite::{Connection, Row, params};

use super::{column, ms, time};
use crate::db::UnitResult;

const EVENT: &str = "id, site, at, operator, verb, subject, outcome";

fn read_event(tenant: &Tenant, row: &Row<'_>) -> rusqlite::Result<AuditEvent> {
    let site = match row.get::<_, Option<String>>(1)? {
        Some(_) => Some(column(row, 1, "site", |site: String| Site::new(site).ok())?),
        None => None,
    };
    Ok(AuditEvent::new(
        AuditId::from_bytes(row.get(0)?),
        tenant.clone(),
        site,
        time(row, 2)?,
        row.get(3)?,
        column(row, 4, "verb", Verb::from_code)?,
        row.get::<_, Option<[u8; 16]>>(5)?.map(SubjectDigest::from_bytes),
        column(row, 6, "outcome", Outcome::from_code)?,
    ))
}

pub(super) fn append(c: &Connection, event: &AuditEvent) -> UnitResult<()> {
    c.prepare_cached(
        "INSERT OR IGNORE INTO audit_events (tenant, id, site, at, operator, verb, subject, outcome)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?
    .execute(params![
        event.tenant.as_str(),
        event.id.as_bytes(),
        event.site.as_ref().map(Site::as_str),
        ms(event.at),
        event.operator,
        event.verb.code(),
        event.subject.as_ref().map(SubjectDigest::as_bytes),
        event.outcome.code(),
    ])?;
    Ok(())
}

pub(super) fn page(
    c: &Connection,
    tenant: &Tenant,
    before: Option<(Timestamp, AuditId)>,
    limit: u16,
) -> UnitResult<Vec<AuditEvent>> {
    // A place before every event, where the first page begins.
    let (at, id) = before.map_or((i64::MAX, [0xff; 16]), |(at, id)| (ms(at), *id.as_bytes()));
    let sql = format!(
        "SELECT {EVENT} FROM audit_events WHERE tenant = ?1 AND (at, id) < (?2, ?3) ORDER BY at DESC, id DESC LIMIT ?4"
    );
    let mut statement = c.prepare_cached(&sql)?;
    let rows = statement.query_map(params![tenant.as_str(), at, id, limit], |row| read_event(tenant, row))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn purge(c: &Connection, tenant: &Tenant, before: Timestamp, max: u32) -> UnitResult<u32> {
    let due: Vec<[u8; 16]> = c
        .prepare_cached("SELECT id FROM audit_events WHERE tenant = ?1 AND at < ?2 ORDER BY at LIMIT ?3")?
        .query_map(params![tenant.as_str(), ms(before), max], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let mut delete = c.prepare_cached("DELETE FROM audit_events WHERE tenant = ?1 AND id = ?2")?;
    for id in &due {
        delete.execute(params![tenant.as_str(), id])?;
    }
    Ok(u32::try_from(due.len()).unwrap_or(u32::MAX))
}
