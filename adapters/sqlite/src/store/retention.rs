use std::time::Duration;

use async_trait::async_trait;
use privet::contact::{ContactId, ConversationId, Owner, Removed};
use privet::retention::{DataClass, RetentionRule};
use privet::store::{EraseStep, Erasing, ErasingKind, ErasureCause, Horizon, RetentionStore, SubjectDigest};
use privet::{Result, Scope, Site, Tenant, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, Row, ToSql, params};

use super::consent::sever;
use super::conversations::mark;
use super::{SqliteStore, audit, column, counts, lease, mark_contacts, ms, outbox, site_scope};
use crate::db::{Priority, UnitResult};

/// The distinct values of a leading column, one index look-up each instead of a scan.
fn tenants(c: &Connection) -> UnitResult<Vec<Tenant>> {
    let mut all = Vec::new();
    for table in ["contacts", "conversations", "consent_records", "consent_counts", "outbox", "audit_events"]
    {
        let mut statement =
            c.prepare_cached(&format!("SELECT min(tenant) FROM {table} WHERE tenant > ?1"))?;
        let mut last = String::new();
        while let Some(next) = statement.query_row([&last], |row| row.get::<_, Option<String>>(0))? {
            all.extend(Tenant::new(&next));
            last = next;
        }
    }
    all.sort();
    all.dedup();
    Ok(all)
}

fn sites(c: &Connection, tenant: &Tenant) -> UnitResult<Vec<Site>> {
    let mut statement = c.prepare_cached("SELECT min(site) FROM contacts WHERE tenant = ?1 AND site > ?2")?;
    let (mut all, mut last) = (Vec::new(), String::new());
    while let Some(next) =
        statement.query_row(params![tenant.as_str(), last], |row| row.get::<_, Option<String>>(0))?
    {
        all.extend(Site::new(&next));
        last = next;
    }
    Ok(all)
}

fn purge_contacts(
    c: &Connection,
    tenant: &Tenant,
    max: u32,
    horizon: &Horizon,
    fence_until: Timestamp,
) -> UnitResult<u32> {
    let cause = ErasureCause::Retention;
    let (seen, now) = (ms(horizon.contacts), ms(horizon.now));
    let mut taken = 0;
    for site in sites(c, tenant)? {
        let left = max - taken;
        let values: [&dyn ToSql; 4] = [&site.as_str(), &seen, &left, &tenant.as_str()];
        let due = "site = ?1 AND id IN (SELECT id FROM contacts WHERE tenant = ?4 AND site = ?1 AND last_seen < ?2 AND erasing IS NULL ORDER BY last_seen LIMIT ?3)";
        taken +=
            u32::try_from(mark_contacts(c, tenant, due, &values, cause, fence_until)?.len()).unwrap_or(0);
        let left = max - taken;
        let values: [&dyn ToSql; 4] = [&site.as_str(), &now, &left, &tenant.as_str()];
        let due = "site = ?1 AND id IN (SELECT id FROM contacts WHERE tenant = ?4 AND site = ?1 AND consent_until <= ?2 AND erasing IS NULL LIMIT ?3)";
        taken +=
            u32::try_from(mark_contacts(c, tenant, due, &values, cause, fence_until)?.len()).unwrap_or(0);
        let left = max - taken;
        let values: [&dyn ToSql; 4] = [&site.as_str(), &now, &left, &tenant.as_str()];
        let due = "site = ?1 AND id IN (SELECT id FROM contacts WHERE tenant = ?4 AND site = ?1 AND frozen_until <= ?2 AND erasing IS NULL LIMIT ?3)";
        taken +=
            u32::try_from(mark_contacts(c, tenant, due, &values, cause, fence_until)?.len()).unwrap_or(0);
        if taken >= max {
            break;
        }
    }
    Ok(taken)
}

fn purge_conversations(
    c: &Connection,
    tenant: &Tenant,
    class: DataClass,
    max: u32,
    horizon: &Horizon,
) -> UnitResult<u32> {
    let (kind, live, age, boundary) = match class {
        DataClass::SessionConversations => (Owner::SESSION, "0", "last_message", horizon.sessions),
        DataClass::SupportConversations => {
            (Owner::SESSION, "1", "coalesce(closed, last_message)", horizon.support)
        }
        // A contact's counts from its last message, whoever was asked.
        _ => (Owner::CONTACT, "0, 1", "last_message", horizon.conversations),
    };
    let sql = format!(
        "SELECT site, id FROM conversations
         WHERE tenant = ?1 AND owner_kind = ?2 AND live_support IN ({live}) AND {age} < ?3 AND erasing IS NULL LIMIT ?4"
    );
    let due: Vec<(String, [u8; 16])> = c
        .prepare_cached(&sql)?
        .query_map(params![tenant.as_str(), kind, ms(boundary), max], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let mut taken = 0;
    for (site, id) in due {
        let scope = site_scope(tenant, site)?;
        taken +=
            u32::from(mark(c, &scope, ConversationId::from_bytes(id), ErasureCause::Retention)?.is_some());
    }
    Ok(taken)
}

fn purge_messages(c: &Connection, tenant: &Tenant, max: u32, horizon: &Horizon) -> UnitResult<u32> {
    let due: Vec<(String, [u8; 16], u32)> = c
        .prepare_cached("SELECT site, conversation, number FROM messages WHERE tenant = ?1 AND at < ?2 ORDER BY at LIMIT ?3")?
        .query_map(params![tenant.as_str(), ms(horizon.messages), max], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let mut delete = c.prepare_cached(
        "DELETE FROM messages WHERE tenant = ?1 AND site = ?2 AND conversation = ?3 AND number = ?4",
    )?;
    for (site, conversation, number) in &due {
        delete.execute(params![tenant.as_str(), site, conversation, number])?;
    }
    Ok(u32::try_from(due.len()).unwrap_or(u32::MAX))
}

fn purge_records(c: &Connection, tenant: &Tenant, max: u32, horizon: &Horizon) -> UnitResult<u32> {
    let due: Vec<(i64, i64)> = c
        .prepare_cached("SELECT segment, seq FROM consent_records WHERE tenant = ?1 AND until < ?2 ORDER BY until LIMIT ?3")?
        .query_map(params![tenant.as_str(), ms(horizon.records), max], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let mut delete =
        c.prepare_cached("DELETE FROM consent_records WHERE tenant = ?1 AND segment = ?2 AND seq = ?3")?;
    for (segment, seq) in &due {
        delete.execute(params![tenant.as_str(), segment, seq])?;
    }
    Ok(u32::try_from(due.len()).unwrap_or(u32::MAX))
}

pub(super) type KindOf = fn([u8; 16]) -> ErasingKind;

pub(super) fn read_erasing(row: &Row<'_>, kind: KindOf) -> rusqlite::Result<Erasing> {
    let tenant = column(row, 0, "tenant", |t: String| Tenant::new(t).ok())?;
    let scope = site_scope(&tenant, row.get(1)?)?;
    let subject = row.get::<_, Option<[u8; 16]>>(3)?.map(SubjectDigest::from_bytes);
    Ok(Erasing::new(scope, kind(row.get(2)?), subject, column(row, 4, "cause", ErasureCause::from_code)?))
}

fn erasing(c: &Connection, tenant: Option<&Tenant>, max: u32) -> UnitResult<Vec<Erasing>> {
    let mut all = Vec::new();
    let kinds: [(&str, KindOf); 2] = [
        ("contacts", |id| ErasingKind::Contact(ContactId::from_bytes(id))),
        ("conversations", |id| ErasingKind::Conversation(ConversationId::from_bytes(id))),
    ];
    for (table, kind) in kinds {
        let sql = format!(
            "SELECT tenant, site, id, subject, erasing FROM {table}
             WHERE erasing IS NOT NULL AND (?1 IS NULL OR tenant = ?1) LIMIT ?2"
        );
        let mut statement = c.prepare_cached(&sql)?;
        let left = max.saturating_sub(u32::try_from(all.len()).unwrap_or(u32::MAX));
        let rows =
            statement.query_map(params![tenant.map(Tenant::as_str), left], |row| read_erasing(row, kind))?;
        all.extend(rows.collect::<rusqlite::Result<Vec<_>>>()?);
    }
    Ok(all)
}

/// Whatever fits into `max` rows of one conversation: its messages, and then itself.
fn erase_conversation(c: &Connection, scope: &Scope, id: &[u8; 16], max: u32) -> UnitResult<(Removed, bool)> {
    let (tenant, site) = (scope.tenant.as_str(), scope.site.as_str());
    let messages = c
        .prepare_cached(
            "DELETE FROM messages WHERE tenant = ?1 AND site = ?2 AND conversation = ?3 AND number IN
             (SELECT number FROM messages WHERE tenant = ?1 AND site = ?2 AND conversation = ?3 ORDER BY number LIMIT ?4)",
        )?
        .execute(params![tenant, site, id, max])?;
    if messages >= max as usize {
        return Ok((Removed::new(0, 0, messages as u64, 0), false));
    }
    c.prepare_cached("DELETE FROM erased_messages WHERE tenant = ?1 AND site = ?2 AND conversation = ?3")?
        .execute(params![tenant, site, id])?;
    let gone = c
        .prepare_cached("DELETE FROM conversations WHERE tenant = ?1 AND site = ?2 AND id = ?3")?
        .execute(params![tenant, site, id])?;
    Ok((Removed::new(0, gone as u64, messages as u64, 0), true))
}

fn is_marked(c: &Connection, scope: &Scope, id: &[u8; 16]) -> UnitResult<bool> {
    let sql =
        "SELECT 1 FROM conversations WHERE tenant = ?1 AND site = ?2 AND id = ?3 AND erasing IS NOT NULL";
    Ok(c.prepare_cached(sql)?.exists(params![scope.tenant.as_str(), scope.site.as_str(), id])?)
}

fn erase_contact(c: &Connection, scope: &Scope, id: ContactId, max: u32) -> UnitResult<(Removed, bool)> {
    let (tenant, site) = (scope.tenant.as_str(), scope.site.as_str());
    let marked: Option<(ErasureCause, [u8; 16])> = c
        .prepare_cached(
            "SELECT erasing, consent_line FROM contacts
             WHERE tenant = ?1 AND site = ?2 AND id = ?3 AND erasing IS NOT NULL",
        )?
        .query_row(params![tenant, site, id.as_bytes()], |row| {
            Ok((column(row, 0, "cause", ErasureCause::from_code)?, row.get(1)?))
        })
        .optional()?;
    let Some((cause, line)) = marked else { return Ok((Removed::default(), true)) };
    let (mut removed, mut left) = (Removed::default(), max);
    loop {
        let next: Option<[u8; 16]> = c
            .prepare_cached("SELECT id FROM conversations WHERE tenant = ?1 AND site = ?2 AND owner_kind = ?3 AND owner = ?4 LIMIT 1")?
            .query_row(params![tenant, site, Owner::CONTACT, id.as_bytes()], |row| row.get(0))
            .optional()?;
        let Some(conversation) = next else { break };
        let (gone, done) = erase_conversation(c, scope, &conversation, left)?;
        removed += gone;
        left = left.saturating_sub(u32::try_from(gone.rows()).unwrap_or(u32::MAX));
        if !done || left == 0 {
            return Ok((removed, false));
        }
    }
    if cause == ErasureCause::Request {
        let (cut, all) = sever(c, scope, SubjectDigest::from_bytes(line), left)?;
        removed.severed += cut;
        if !all {
            return Ok((removed, false));
        }
    }
    let notes = c
        .prepare_cached("DELETE FROM notes WHERE tenant = ?1 AND site = ?2 AND contact = ?3")?
        .execute(params![tenant, site, id.as_bytes()])?;
    c.prepare_cached("DELETE FROM contacts WHERE tenant = ?1 AND site = ?2 AND id = ?3")?
        .execute(params![tenant, site, id.as_bytes()])?;
    let mut last = Removed::new(1, 0, 0, 0);
    last.notes = notes as u64;
    removed += last;
    Ok((removed, true))
}

#[async_trait]
impl RetentionStore for SqliteStore {
    async fn tenants(&self) -> Result<Vec<Tenant>> {
        self.db.read(tenants).await
    }

    async fn rules(&self, tenant: &Tenant) -> Result<Vec<RetentionRule>> {
        let tenant = tenant.clone();
        self.db
            .read(move |c| {
                let mut statement =
                    c.prepare_cached("SELECT class, period_ms FROM retention_rules WHERE tenant = ?1")?;
                let rows = statement.query_map([tenant.as_str()], |row| {
                    let class = column(row, 0, "class", |name: String| DataClass::named(&name))?;
                    let period = column(row, 1, "period", |ms: i64| {
                        u64::try_from(ms).ok().map(Duration::from_millis)
                    })?;
                    column(row, 1, "period", |_: i64| RetentionRule::new(class, period).ok())
                })?;
                Ok(rows.collect::<rusqlite::Result<_>>()?)
            })
            .await
    }

    async fn set_rule(&self, tenant: &Tenant, rule: &RetentionRule) -> Result<()> {
        let (tenant, rule) = (tenant.clone(), *rule);
        self.db
            .write(Priority::Urgent, move |c| {
                let period = i64::try_from(rule.period().as_millis()).unwrap_or(i64::MAX);
                c.prepare_cached(
                    "INSERT INTO retention_rules (tenant, class, period_ms) VALUES (?1, ?2, ?3)
                     ON CONFLICT (tenant, class) DO UPDATE SET period_ms = excluded.period_ms",
                )?
                .execute(params![tenant.as_str(), rule.class().as_str(), period])?;
                Ok(())
            })
            .await
    }

    async fn purge_step(
        &self,
        tenant: &Tenant,
        class: DataClass,
        max: u32,
        horizon: &Horizon,
        fence_until: Timestamp,
    ) -> Result<u32> {
        let (tenant, horizon) = (tenant.clone(), *horizon);
        self.db
            .write(Priority::Housekeeping, move |c| {
                lease::check(c, horizon.lease)?;
                match class {
                    DataClass::Contacts => purge_contacts(c, &tenant, max, &horizon, fence_until),
                    DataClass::Messages => purge_messages(c, &tenant, max, &horizon),
                    DataClass::ConsentRecords => purge_records(c, &tenant, max, &horizon),
                    DataClass::Notifications => outbox::purge(c, &tenant, horizon.notifications, max),
                    DataClass::AuditEvents => audit::purge(c, &tenant, horizon.audit, max),
                    DataClass::ConsentCounts => counts::purge(c, &tenant, horizon.counts.day(), max),
                    class => purge_conversations(c, &tenant, class, max, &horizon),
                }
            })
            .await
    }

    async fn erasing(&self, tenant: Option<&Tenant>, max: u32) -> Result<Vec<Erasing>> {
        let tenant = tenant.cloned();
        self.db.read(move |c| erasing(c, tenant.as_ref(), max)).await
    }

    async fn erase_step(&self, erasing: &[Erasing], max: u32) -> Result<EraseStep> {
        // A step takes away `max` rows at most, and each erasure is a row at least.
        let erasing: Vec<_> = erasing.iter().take(max as usize).cloned().collect();
        let all = erasing.len();
        let priority = if erasing.iter().all(|e| e.cause == ErasureCause::Retention) {
            Priority::Housekeeping
        } else {
            Priority::Urgent
        };
        let step = self
            .db
            .write(priority, move |c| {
                EraseStep::walk(&erasing, max, |each, max| {
                    let scope = &each.scope;
                    match each.kind {
                        ErasingKind::Contact(id) => erase_contact(c, scope, id, max),
                        ErasingKind::Conversation(id) if is_marked(c, scope, id.as_bytes())? => {
                            erase_conversation(c, scope, id.as_bytes(), max)
                        }
                        ErasingKind::Conversation(_) => Ok((Removed::default(), true)),
                    }
                })
            })
            .await?;
        if step.done == all && !step.removed.is_nothing() {
            // What was deleted still stands in the log until it is emptied.
            self.db.checkpoint().await?;
        }
        Ok(step)
    }

    async fn purge_fences(&self, now: Timestamp) -> Result<u64> {
        self.db
            .write(Priority::Housekeeping, move |c| {
                Ok(c.prepare_cached("DELETE FROM fences WHERE until <= ?1")?.execute([ms(now)])? as u64)
            })
            .await
    }
}
