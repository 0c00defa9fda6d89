use std::time::Duration;

use async_trait::async_trait;
use privet::retention::{DataClass, RetentionRule};
use privet::store::{EraseStep, Erasing, ErasureCause, Horizon, RetentionStore};
use privet::{Result, Tenant, Timestamp};
use sqlx::Row as _;

use super::rows::{self, column, ms};
use super::{PostgresStore, audit, counts, erase, lease, mark_contacts, outbox};
use crate::db::{Db, On, Twice, UnitResult, Whose, read, read_moment, unit};
use crate::partitions;

const TENANTS: [&str; 6] = [
    "SELECT min(tenant) FROM privet.contacts WHERE tenant > $1",
    "SELECT min(tenant) FROM privet.conversations WHERE tenant > $1",
    "SELECT min(tenant) FROM privet.consent_records WHERE tenant > $1",
    "SELECT min(tenant) FROM privet.consent_counts WHERE tenant > $1",
    "SELECT min(tenant) FROM privet.outbox WHERE tenant > $1",
    "SELECT min(tenant) FROM privet.audit_events WHERE tenant > $1",
];
const FENCED: &str = "SELECT min(tenant) FROM privet.fences WHERE tenant > $1";

/// The tenant after another one: the distinct values of a leading column, one look-up each instead of a scan.
async fn next_tenant(on: &mut On<'_>, sql: &'static str, after: &str) -> UnitResult<Option<String>> {
    let row = on.q(sql).bind(after).fetch_one(&mut *on.c).await?;
    Ok(row.try_get(0)?)
}

async fn tenants_of(db: &Db, sql: &'static str) -> Result<Vec<Tenant>> {
    let (mut all, mut last) = (Vec::new(), String::new());
    while let Some(next) = read!(db, Whose::Installation, on => next_tenant(on, sql, &last))? {
        all.extend(Tenant::new(&next));
        last = next;
    }
    Ok(all)
}

async fn sites(on: &mut On<'_>, tenant: &Tenant) -> UnitResult<Vec<String>> {
    let (mut all, mut last) = (Vec::new(), String::new());
    loop {
        let row = on
            .q("SELECT min(site) FROM privet.contacts WHERE tenant = $1 AND site > $2")
            .bind(tenant.as_str())
            .bind(last.as_str())
            .fetch_one(&mut *on.c)
            .await?;
        let Some(next) = row.try_get::<Option<String>, _>(0)? else { return Ok(all) };
        all.push(next.clone());
        last = next;
    }
}

/// Who was not seen for long, whose consent has lapsed, and who was frozen for long enough.
const DUE: [(&str, Boundary); 3] = [
    (mark_contacts!("site = $4 AND last_seen < $5 ORDER BY last_seen, id LIMIT $6"), |h| h.contacts),
    (mark_contacts!("site = $4 AND consent_until <= $5 ORDER BY consent_until, id LIMIT $6"), |h| h.now),
    (mark_contacts!("site = $4 AND frozen_until <= $5 ORDER BY frozen_until, id LIMIT $6"), |h| h.now),
];
type Boundary = fn(&Horizon) -> Timestamp;

async fn purge_contacts(
    on: &mut On<'_>,
    tenant: &Tenant,
    max: u32,
    horizon: &Horizon,
    fence_until: Timestamp,
) -> UnitResult<u32> {
    let mut taken = 0;
    for site in sites(on, tenant).await? {
        for (sql, boundary) in DUE {
            if taken >= max {
                return Ok(taken);
            }
            let marked = on
                .q(sql)
                .bind(tenant.as_str())
                .bind(i16::from(ErasureCause::Retention.code()))
                .bind(ms(fence_until))
                .bind(site.as_str())
                .bind(ms(boundary(horizon)))
                .bind(i64::from(max - taken))
                .fetch_all(&mut *on.c)
                .await?;
            taken += u32::try_from(marked.len()).unwrap_or(u32::MAX);
        }
    }
    Ok(taken)
}

/// Conversations whose time is over, to be looked for and, from `$4` on, to be hidden. Begins with the tenant as `$1` and the
/// boundary as `$2`; the condition is written out for each class, so that an index has it.
macro_rules! over {
    ($condition:literal) => {
        (
            concat!(
                "SELECT c.site, c.id, c.owner FROM privet.conversations c WHERE c.tenant = $1 AND c.erasing IS NULL AND ",
                $condition,
                " LIMIT $3"
            ),
            concat!(
                "WITH due AS (
                   SELECT c.site, c.id FROM unnest($4::text[], $5::bytea[], $6::bytea[]) AS d (site, id, owner)
                   JOIN privet.conversations c ON c.tenant = $1 AND c.site = d.site AND c.id = d.id AND c.owner = d.owner
                   WHERE c.erasing IS NULL AND ",
                $condition,
                " ORDER BY c.site, c.id FOR UPDATE OF c
                 ), marked AS (
                   UPDATE privet.conversations c SET erasing = $3 FROM due
                   WHERE c.tenant = $1 AND c.site = due.site AND c.id = due.id
                   RETURNING c.site, c.owner_kind, c.owner
                 ), counted AS (
                   UPDATE privet.contacts o SET conversations = greatest(0, o.conversations - m.count)
                   FROM (SELECT site, owner, count(*) FROM marked WHERE owner_kind = 1 GROUP BY site, owner) AS m
                   WHERE o.tenant = $1 AND o.site = m.site AND o.id = m.owner
                 )
                 SELECT count(*) FROM marked"
            ),
        )
    };
}
type Over = (&'static str, &'static str);

const OF_SESSIONS: Over = over!("c.owner_kind = 2 AND c.live_support = FALSE AND c.last_message < $2");
/// It is closed after its last message.
const OF_SUPPORT: Over = over!(
    "c.owner_kind = 2 AND c.live_support = TRUE AND c.last_message < $2 AND coalesce(c.closed, c.last_message) < $2"
);
/// A contact's counts from its last message, whoever was asked.
const OF_CONTACTS: Over = over!("c.owner_kind = 1 AND c.live_support = ANY('{f,t}') AND c.last_message < $2");

/// Hides conversations whose time is over, and takes them off their contacts' counters. The contacts are locked first, and
/// what has changed until then is not taken.
async fn purge_conversations(
    on: &mut On<'_>,
    tenant: &Tenant,
    class: DataClass,
    max: u32,
    horizon: &Horizon,
) -> UnitResult<u32> {
    let ((look, take), boundary) = match class {
        DataClass::SessionConversations => (OF_SESSIONS, horizon.sessions),
        DataClass::SupportConversations => (OF_SUPPORT, horizon.support),
        _ => (OF_CONTACTS, horizon.conversations),
    };
    let due = on
        .q(look)
        .bind(tenant.as_str())
        .bind(ms(boundary))
        .bind(i64::from(max))
        .fetch_all(&mut *on.c)
        .await?;
    if due.is_empty() {
        return Ok(0);
    }
    let sites: Vec<String> = rows::all(&due, |row| row.try_get(0))?;
    let ids: Vec<Vec<u8>> = rows::all(&due, |row| row.try_get(1))?;
    let owners: Vec<Vec<u8>> = rows::all(&due, |row| row.try_get(2))?;
    if class == DataClass::Conversations {
        on.q("SELECT 1 FROM unnest($2::text[], $3::bytea[]) AS o (site, id)
              JOIN privet.contacts c ON c.tenant = $1 AND c.site = o.site AND c.id = o.id
              ORDER BY c.site, c.id FOR UPDATE OF c")
            .bind(tenant.as_str())
            .bind(&sites)
            .bind(&owners)
            .execute(&mut *on.c)
            .await?;
    }
    let taken = on
        .q(take)
        .bind(tenant.as_str())
        .bind(ms(boundary))
        .bind(i16::from(ErasureCause::Retention.code()))
        .bind(&sites)
        .bind(&ids)
        .bind(&owners)
        .fetch_one(&mut *on.c)
        .await?;
    Ok(rows::number(&taken, 0)?)
}

/// By their places, which a join by key would look for in every month. A place is of a month: what is at the same one in
/// another month goes only if it is between the oldest and the newest that are taken, and so due as well.
async fn purge_messages(on: &mut On<'_>, tenant: &Tenant, max: u32, horizon: &Horizon) -> UnitResult<u32> {
    let gone = on
        .q("WITH d AS MATERIALIZED (
              SELECT min(at) AS oldest, max(at) AS newest, array_agg(place) AS places FROM (
                SELECT ctid AS place, at FROM privet.messages WHERE tenant = $1 AND at < $2 ORDER BY at LIMIT $3) AS due)
            DELETE FROM privet.messages WHERE tenant = $1 AND at < $2
              AND at BETWEEN (SELECT oldest FROM d) AND (SELECT newest FROM d) AND ctid = ANY((SELECT places FROM d)::tid[])")
        .bind(tenant.as_str())
        .bind(ms(horizon.messages))
        .bind(i64::from(max))
        .execute(&mut *on.c)
        .await?;
    Ok(u32::try_from(gone.rows_affected()).unwrap_or(u32::MAX))
}

async fn purge_records(on: &mut On<'_>, tenant: &Tenant, max: u32, horizon: &Horizon) -> UnitResult<u32> {
    let gone = on
        .q("DELETE FROM privet.consent_records WHERE tenant = $1 AND until < $2 AND ctid = ANY(ARRAY(
              SELECT ctid FROM privet.consent_records WHERE tenant = $1 AND until < $2 ORDER BY until, seq LIMIT $3))")
        .bind(tenant.as_str())
        .bind(ms(horizon.records))
        .bind(i64::from(max))
        .execute(&mut *on.c)
        .await?;
    Ok(u32::try_from(gone.rows_affected()).unwrap_or(u32::MAX))
}

async fn purge(
    on: &mut On<'_>,
    tenant: &Tenant,
    class: DataClass,
    max: u32,
    horizon: &Horizon,
    fence_until: Timestamp,
) -> UnitResult<u32> {
    lease::check(on, horizon.lease).await?;
    match class {
        DataClass::Contacts => purge_contacts(on, tenant, max, horizon, fence_until).await,
        DataClass::Messages => purge_messages(on, tenant, max, horizon).await,
        DataClass::ConsentRecords => purge_records(on, tenant, max, horizon).await,
        DataClass::Notifications => outbox::purge(on, tenant, horizon.notifications, max).await,
        DataClass::AuditEvents => audit::purge(on, tenant, horizon.audit, max).await,
        DataClass::ConsentCounts => counts::purge(on, tenant, horizon.counts.day(), max).await,
        class => purge_conversations(on, tenant, class, max, horizon).await,
    }
}

async fn rules(on: &mut On<'_>, tenant: &Tenant) -> UnitResult<Vec<RetentionRule>> {
    let rows = on
        .q("SELECT class, period_ms FROM privet.retention_rules WHERE tenant = $1")
        .bind(tenant.as_str())
        .fetch_all(&mut *on.c)
        .await?;
    Ok(rows::all(&rows, |row| {
        let class = column(row, 0, "class", |name: &str| DataClass::named(name))?;
        column(row, 1, "period", |ms: i64| {
            RetentionRule::new(class, Duration::from_millis(u64::try_from(ms).ok()?)).ok()
        })
    })?)
}

async fn set_rule(on: &mut On<'_>, tenant: &Tenant, rule: &RetentionRule) -> UnitResult<()> {
    on.q("INSERT INTO privet.retention_rules (tenant, class, period_ms) VALUES ($1, $2, $3)
          ON CONFLICT (tenant, class) DO UPDATE SET period_ms = excluded.period_ms")
        .bind(tenant.as_str())
        .bind(rule.class().as_str())
        .bind(i64::try_from(rule.period().as_millis()).unwrap_or(i64::MAX))
        .execute(&mut *on.c)
        .await?;
    Ok(())
}

/// Fences in one statement at most: after a mass erasure all of them end together.
const FENCES: i64 = 10_000;

async fn purge_fences(on: &mut On<'_>, tenant: &Tenant, now: Timestamp) -> UnitResult<u64> {
    let gone = on
        .q("WITH d AS MATERIALIZED (
              SELECT subject FROM privet.fences WHERE tenant = $1 AND until <= $2 ORDER BY until LIMIT $3 FOR UPDATE SKIP LOCKED)
            DELETE FROM privet.fences f USING d WHERE f.tenant = $1 AND f.subject = d.subject")
        .bind(tenant.as_str())
        .bind(ms(now))
        .bind(FENCES)
        .execute(&mut *on.c)
        .await?;
    Ok(gone.rows_affected())
}

#[async_trait]
impl RetentionStore for PostgresStore {
    async fn tenants(&self) -> Result<Vec<Tenant>> {
        let mut all = Vec::new();
        for sql in TENANTS {
            all.extend(tenants_of(&self.db, sql).await?);
        }
        all.sort();
        all.dedup();
        Ok(all)
    }

    async fn rules(&self, tenant: &Tenant) -> Result<Vec<RetentionRule>> {
        read!(self.db, tenant, on => rules(on, tenant))
    }

    async fn set_rule(&self, tenant: &Tenant, rule: &RetentionRule) -> Result<()> {
        unit!(self.db, tenant, Twice::Harmless, on => set_rule(on, tenant, rule))
    }

    async fn purge_step(
        &self,
        tenant: &Tenant,
        class: DataClass,
        max: u32,
        horizon: &Horizon,
        fence_until: Timestamp,
    ) -> Result<u32> {
        if class == DataClass::Messages {
            // Sweeps come by often enough to be ahead of the month.
            self.make_months().await?;
        }
        // What is taken twice is what is due.
        unit!(self.db, tenant, Twice::Harmless, on => purge(on, tenant, class, max, horizon, fence_until))
    }

    async fn drop_messages(&self, horizon: &Horizon, tenants: &[Tenant]) -> Result<u64> {
        partitions::drop_months(&self.db, horizon, tenants).await
    }

    async fn erasing(&self, tenant: Option<&Tenant>, max: u32) -> Result<Vec<Erasing>> {
        read_moment!(self.db, tenant.map_or(Whose::Installation, Whose::from), on => erase::marked(on, tenant, max))
    }

    async fn erase_step(&self, erasing: &[Erasing], max: u32) -> Result<EraseStep> {
        // A step takes away `max` rows at most, and each erasure is a row at least.
        let erasing = &erasing[..erasing.len().min(max as usize)];
        let mut step = EraseStep::default();
        // One transaction per tenant.
        for of_tenant in erasing.chunk_by(|a, b| a.scope.tenant == b.scope.tenant) {
            let left = max.saturating_sub(u32::try_from(step.removed.rows()).unwrap_or(u32::MAX));
            let taken = match unit!(self.db, of_tenant.first().map_or(Whose::Installation, |e| Whose::from(&e.scope)), Twice::Never, on => erase::step(on, of_tenant, left))
            {
                Ok(taken) => taken,
                // What was taken before is told; the next step meets the error again.
                Err(_) if step.done > 0 => break,
                Err(error) => return Err(error),
            };
            step.removed += taken.removed;
            step.done += taken.done;
            let used_up = step.removed.rows() >= u64::from(max);
            if taken.done < of_tenant.len() || used_up {
                break;
            }
        }
        Ok(step)
    }

    async fn purge_fences(&self, now: Timestamp) -> Result<u64> {
        let mut gone = 0;
        for tenant in tenants_of(&self.db, FENCED).await? {
            loop {
                let step = unit!(self.db, &tenant, Twice::Harmless, on => purge_fences(on, &tenant, now))?;
                gone += step;
                if step < FENCES.unsigned_abs() {
                    break;
                }
            }
        }
        Ok(gone)
    }
}
