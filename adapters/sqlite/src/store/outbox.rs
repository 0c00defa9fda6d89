//! Notifications to recipients.

use async_trait::async_trait;
use privet::consent::Act;
use privet::store::{Attempted, Delivery, Notification, NotificationId, OutboxStore, SubjectDigest};
use privet::{Result, Tenant, Timestamp};
use rusqlite::{Connection, Row, params};

use super::{SqliteStore, column, ms, site_scope, time, unreadable};
use crate::db::{Priority, UnitResult};

const NOTIFICATION: &str =
    "tenant, site, id, recipient, act, categories, subject, at, attempts, problem, due, settled, delivered";

fn read(row: &Row<'_>) -> rusqlite::Result<Notification> {
    let tenant = column(row, 0, "tenant", |t: String| Tenant::new(t).ok())?;
    let at = |column| row.get::<_, Option<i64>>(column).map(|ms| ms.map(Timestamp::from_millis));
    let delivery =
        Delivery::from_parts(at(10)?, at(11)?, row.get(12)?).ok_or_else(|| unreadable(10, "due"))?;
    Ok(Notification::new(
        NotificationId::from_bytes(row.get(2)?),
        site_scope(&tenant, row.get(1)?)?,
        row.get(3)?,
        column(row, 4, "act", Act::from_code)?,
        row.get::<_, i64>(5)?.cast_unsigned(),
        SubjectDigest::from_bytes(row.get(6)?),
        time(row, 7)?,
        row.get(8)?,
        row.get(9)?,
        delivery,
    ))
}

/// In the transaction of the record that they tell of.
pub(super) fn insert(c: &Connection, notifications: &[Notification]) -> UnitResult<()> {
    let mut insert = c.prepare_cached(
        "INSERT INTO outbox (tenant, site, id, recipient, act, categories, subject, at, attempts, due, delivered)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 0, ?8, 0)",
    )?;
    for n in notifications {
        insert.execute(params![
            n.scope.tenant.as_str(),
            n.scope.site.as_str(),
            n.id.as_bytes(),
            n.recipient,
            n.act.code(),
            n.categories.cast_signed(),
            n.subject.as_bytes(),
            ms(n.at),
        ])?;
    }
    Ok(())
}

fn claim(c: &Connection, now: Timestamp, until: Timestamp, max: u32) -> UnitResult<Vec<Notification>> {
    let mut tenants =
        c.prepare_cached("SELECT min(tenant) FROM outbox WHERE tenant > ?1 AND due IS NOT NULL")?;
    let mut ids = c.prepare_cached(
        "SELECT due, id FROM outbox WHERE tenant = ?1 AND due <= ?2 AND (leased_until IS NULL OR leased_until <= ?2) ORDER BY due LIMIT ?3",
    )?;
    // The longest due of each tenant, and of those the longest due: no tenant waits behind another one's backlog.
    let (mut due, mut last) = (Vec::new(), String::new());
    while let Some(tenant) = tenants.query_row([&last], |row| row.get::<_, Option<String>>(0))? {
        let of_tenant = ids.query_map(params![tenant, ms(now), max], |row| {
            Ok((row.get::<_, i64>(0)?, tenant.clone(), row.get::<_, [u8; 16]>(1)?))
        })?;
        for one in of_tenant {
            due.push(one?);
        }
        due.sort_unstable();
        due.truncate(max as usize);
        last = tenant;
    }
    let mut lease = c.prepare_cached(&format!(
        "UPDATE outbox SET leased_until = ?3 WHERE tenant = ?1 AND id = ?2 RETURNING {NOTIFICATION}"
    ))?;
    let mut claimed = Vec::with_capacity(due.len());
    for (_, tenant, id) in due {
        claimed.push(lease.query_row(params![tenant, id, ms(until)], read)?);
    }
    Ok(claimed)
}

fn settle(c: &Connection, n: &Notification, outcome: Attempted, at: Timestamp) -> UnitResult<bool> {
    let (delivery, problem) = outcome.stands(at);
    let (due, settled, delivered) = delivery.parts();
    let changed = c
        .prepare_cached(
            "UPDATE outbox SET attempts = attempts + 1, leased_until = NULL, problem = ?5, due = ?6, settled = ?7, delivered = ?8
             WHERE tenant = ?1 AND id = ?2 AND site = ?3 AND attempts = ?4 AND due IS NOT NULL",
        )?
        .execute(params![
            n.scope.tenant.as_str(),
            n.id.as_bytes(),
            n.scope.site.as_str(),
            n.attempts,
            problem,
            due.map(ms),
            settled.map(ms),
            delivered,
        ])?;
    Ok(changed == 1)
}

/// What was settled before a horizon.
pub(super) fn purge(c: &Connection, tenant: &Tenant, before: Timestamp, max: u32) -> UnitResult<u32> {
    let gone = c
        .prepare_cached(
            "DELETE FROM outbox WHERE tenant = ?1 AND id IN (SELECT id FROM outbox WHERE tenant = ?1 AND settled < ?2 LIMIT ?3)",
        )?
        .execute(params![tenant.as_str(), ms(before), max])?;
    Ok(u32::try_from(gone).unwrap_or(u32::MAX))
}

#[async_trait]
impl OutboxStore for SqliteStore {
    async fn claim_notifications(
        &self,
        now: Timestamp,
        until: Timestamp,
        max: u32,
    ) -> Result<Vec<Notification>> {
        self.db.write(Priority::Housekeeping, move |c| claim(c, now, until, max)).await
    }

    async fn settle_notification(
        &self,
        claimed: &Notification,
        outcome: &Attempted,
        at: Timestamp,
    ) -> Result<bool> {
        let (claimed, outcome) = (claimed.clone(), outcome.clone());
        self.db.write(Priority::Urgent, move |c| settle(c, &claimed, outcome.clone(), at)).await
    }

    async fn notifications(
        &self,
        tenant: &Tenant,
        after: Option<(Timestamp, NotificationId)>,
        limit: u16,
    ) -> Result<Vec<Notification>> {
        let tenant = tenant.clone();
        self.db
            .read(move |c| {
                let (at, id) = after.map_or((i64::MAX, [0xff; 16]), |(at, id)| (ms(at), *id.as_bytes()));
                let sql = format!(
                    "SELECT {NOTIFICATION} FROM outbox WHERE tenant = ?1 AND (at, id) < (?2, ?3) ORDER BY at DESC, id DESC LIMIT ?4"
                );
                let mut statement = c.prepare_cached(&sql)?;
                let rows = statement.query_map(params![tenant.as_str(), at, id, limit], read)?;
                Ok(rows.collect::<rusqlite::Result<_>>()?)
            })
            .await
    }
}
