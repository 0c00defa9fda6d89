//! Notifications to recipients.

use async_trait::async_trait;
use privet::consent::Act;
use privet::store::{Attempted, Delivery, Notification, NotificationId, OutboxStore, SubjectDigest};
use privet::{Result, Tenant, Timestamp};
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::PostgresStore;
use super::rows::{
    self, RowResult, bytes, code, ms, number, site_scope, tenant, time, time_if_any, unreadable,
};
use crate::db::{On, Twice, UnitResult, Whose, read, unit};

macro_rules! notification_columns {
    () => {
        "o.tenant, o.site, o.id, o.recipient, o.act, o.categories, o.subject, o.at, o.attempts, o.problem, o.due, o.settled, o.delivered"
    };
}

fn read_notification(row: &PgRow) -> RowResult<Notification> {
    let delivery = Delivery::from_parts(time_if_any(row, 10)?, time_if_any(row, 11)?, row.try_get(12)?);
    Ok(Notification::new(
        NotificationId::from_bytes(bytes(row, 2)?),
        site_scope(&tenant(row, 0)?, row, 1)?,
        row.try_get(3)?,
        code(row, 4, "act", Act::from_code)?,
        row.try_get::<i64, _>(5)?.cast_unsigned(),
        SubjectDigest::from_bytes(bytes(row, 6)?),
        time(row, 7)?,
        number(row, 8)?,
        row.try_get(9)?,
        delivery.ok_or_else(|| unreadable("due"))?,
    ))
}

/// In the transaction of the records that they tell of, which are of one tenant.
pub(super) async fn insert(on: &mut On<'_>, notifications: &[Notification]) -> UnitResult<()> {
    let Some(first) = notifications.first() else { return Ok(()) };
    // Citus copies what a statement returns nothing of, and row-level security refuses copies.
    on.q("INSERT INTO privet.outbox (tenant, site, id, recipient, act, categories, subject, at, attempts, due, delivered)
          SELECT $1, n.site, n.id, n.recipient, n.act, n.categories, n.subject, n.at, 0, n.at, FALSE
          FROM unnest($2::text[], $3::bytea[], $4::text[], $5::smallint[], $6::bigint[], $7::bytea[], $8::bigint[])
            AS n (site, id, recipient, act, categories, subject, at) RETURNING 1")
        .bind(first.scope.tenant.as_str())
        .bind(notifications.iter().map(|n| n.scope.site.as_str()).collect::<Vec<_>>())
        .bind(notifications.iter().map(|n| n.id.as_bytes().to_vec()).collect::<Vec<_>>())
        .bind(notifications.iter().map(|n| n.recipient.as_str()).collect::<Vec<_>>())
        .bind(notifications.iter().map(|n| i16::from(n.act.code())).collect::<Vec<_>>())
        .bind(notifications.iter().map(|n| n.categories.cast_signed()).collect::<Vec<_>>())
        .bind(notifications.iter().map(|n| n.subject.as_bytes().to_vec()).collect::<Vec<_>>())
        .bind(notifications.iter().map(|n| ms(n.at)).collect::<Vec<_>>())
        .execute(&mut *on.c)
        .await?;
    Ok(())
}

/// The tenant after another one that has something to send.
async fn next_tenant(on: &mut On<'_>, after: &str) -> UnitResult<Option<String>> {
    let row = on
        .q("SELECT min(tenant) FROM privet.outbox WHERE tenant > $1 AND due IS NOT NULL")
        .bind(after)
        .fetch_one(&mut *on.c)
        .await?;
    Ok(row.try_get(0)?)
}

/// When the longest due of a tenant are due, of those that nobody is sending.
async fn dues(on: &mut On<'_>, tenant: &str, now: Timestamp, max: u32) -> UnitResult<Vec<i64>> {
    let rows = on
        .q("SELECT due FROM privet.outbox WHERE tenant = $1 AND due <= $2 AND (leased_until IS NULL OR leased_until <= $2)
            ORDER BY due LIMIT $3")
        .bind(tenant)
        .bind(ms(now))
        .bind(i64::from(max))
        .fetch_all(&mut *on.c)
        .await?;
    Ok(rows::all(&rows, |row| row.try_get(0))?)
}

/// Takes the longest due of a tenant that nobody else takes at this moment.
async fn lease(
    on: &mut On<'_>,
    tenant: &str,
    now: Timestamp,
    until: Timestamp,
    max: i64,
) -> UnitResult<Vec<Notification>> {
    let rows = on
        .q(concat!(
            "WITH free AS MATERIALIZED (
               SELECT id FROM privet.outbox
               WHERE tenant = $1 AND due <= $2 AND (leased_until IS NULL OR leased_until <= $2)
               ORDER BY due LIMIT $4 FOR UPDATE SKIP LOCKED)
             UPDATE privet.outbox o SET leased_until = $3 FROM free WHERE o.tenant = $1 AND o.id = free.id RETURNING ",
            notification_columns!()
        ))
        .bind(tenant)
        .bind(ms(now))
        .bind(ms(until))
        .bind(max)
        .fetch_all(&mut *on.c)
        .await?;
    Ok(rows::all(&rows, read_notification)?)
}

async fn settle(on: &mut On<'_>, n: &Notification, outcome: &Attempted, at: Timestamp) -> UnitResult<bool> {
    let (delivery, problem) = outcome.clone().stands(at);
    let (due, settled, delivered) = delivery.parts();
    let changed = on
        .q("UPDATE privet.outbox SET attempts = attempts + 1, leased_until = NULL, problem = $5, due = $6, settled = $7, delivered = $8
            WHERE tenant = $1 AND id = $2 AND site = $3 AND attempts = $4 AND due IS NOT NULL")
        .bind(n.scope.tenant.as_str())
        .bind(n.id.as_bytes().as_slice())
        .bind(n.scope.site.as_str())
        .bind(i64::from(n.attempts))
        .bind(problem)
        .bind(due.map(ms))
        .bind(settled.map(ms))
        .bind(delivered)
        .execute(&mut *on.c)
        .await?;
    Ok(changed.rows_affected() == 1)
}

async fn list(
    on: &mut On<'_>,
    tenant: &Tenant,
    after: Option<(Timestamp, NotificationId)>,
    limit: u16,
) -> UnitResult<Vec<Notification>> {
    // A place before every one, where the first page begins.
    let (at, id) = after.map_or((i64::MAX, [0xff; 16]), |(at, id)| (ms(at), *id.as_bytes()));
    let rows = on
        .q(concat!(
            "SELECT ",
            notification_columns!(),
            " FROM privet.outbox o WHERE tenant = $1 AND (at, id) < ($2, $3) ORDER BY at DESC, id DESC LIMIT $4"
        ))
        .bind(tenant.as_str())
        .bind(at)
        .bind(id.to_vec())
        .bind(i64::from(limit))
        .fetch_all(&mut *on.c)
        .await?;
    Ok(rows::all(&rows, read_notification)?)
}

/// What was settled before a horizon.
pub(super) async fn purge(on: &mut On<'_>, tenant: &Tenant, before: Timestamp, max: u32) -> UnitResult<u32> {
    let gone = on
        .q("WITH d AS MATERIALIZED (
              SELECT id FROM privet.outbox WHERE tenant = $1 AND settled < $2 ORDER BY settled, id LIMIT $3 FOR UPDATE)
            DELETE FROM privet.outbox o USING d
            WHERE o.tenant = $1 AND o.id = d.id")
        .bind(tenant.as_str())
        .bind(ms(before))
        .bind(i64::from(max))
        .execute(&mut *on.c)
        .await?;
    Ok(u32::try_from(gone.rows_affected()).unwrap_or(u32::MAX))
}

#[async_trait]
impl OutboxStore for PostgresStore {
    async fn claim_notifications(
        &self,
        now: Timestamp,
        until: Timestamp,
        max: u32,
    ) -> Result<Vec<Notification>> {
        // The longest due of each tenant, and of those the longest due: no tenant waits behind another one's backlog.
        let (mut due, mut last) = (Vec::new(), String::new());
        while let Some(tenant) = read!(self.db, Whose::Installation, on => next_tenant(on, &last))? {
            let of_tenant = read!(self.db, tenant.as_str(), on => dues(on, &tenant, now, max))?;
            due.extend(of_tenant.into_iter().map(|at| (at, tenant.clone())));
            due.sort_unstable();
            due.truncate(max as usize);
            last = tenant;
        }
        let mut shares = std::collections::BTreeMap::<String, i64>::new();
        due.into_iter().for_each(|(_, tenant)| *shares.entry(tenant).or_default() += 1);
        // One transaction per tenant. What another instance takes at this moment is passed over.
        let mut claimed = Vec::new();
        for (tenant, share) in shares {
            match unit!(self.db, tenant.as_str(), Twice::Never, on => lease(on, &tenant, now, until, share)) {
                Ok(leased) => claimed.extend(leased),
                // What was leased before is to be sent.
                Err(error) if claimed.is_empty() => return Err(error),
                Err(error) => tracing::warn!("not every notification that is due was claimed: {error}"),
            }
        }
        claimed.sort_by_key(|n| (n.delivery.parts().0, n.scope.tenant.clone(), n.id));
        Ok(claimed)
    }

    async fn settle_notification(
        &self,
        claimed: &Notification,
        outcome: &Attempted,
        at: Timestamp,
    ) -> Result<bool> {
        unit!(self.db, &claimed.scope, Twice::Never, on => settle(on, claimed, outcome, at))
    }

    async fn notifications(
        &self,
        tenant: &Tenant,
        after: Option<(Timestamp, NotificationId)>,
        limit: u16,
    ) -> Result<Vec<Notification>> {
        read!(self.db, tenant, on => list(on, tenant, after, limit))
    }
}
