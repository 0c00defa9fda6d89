//! Erasures, children before parents, in bounded steps.

use privet::contact::{ContactId, ConversationId, Owner, Removed};
use privet::store::{EraseStep, Erasing, ErasingKind, ErasureCause, SubjectDigest};
use privet::{Scope, Tenant};
use sqlx::Row as _;

use super::chain::sever;
use super::locks::{self, Named};
use super::rows::{self, bytes, code};
use super::{contact_kind, read_erasing};
use crate::db::{On, UnitResult};

/// What is marked, of every tenant or of one.
pub(super) async fn marked(on: &mut On<'_>, tenant: Option<&Tenant>, max: u32) -> UnitResult<Vec<Erasing>> {
    let contacts = on
        .q("SELECT tenant, site, id, subject, erasing FROM privet.contacts
            WHERE erasing IS NOT NULL AND ($1::text IS NULL OR tenant = $1) LIMIT $2")
        .bind(tenant.map(Tenant::as_str))
        .bind(i64::from(max))
        .fetch_all(&mut *on.c)
        .await?;
    let mut all = rows::all(&contacts, |row| read_erasing(row, contact_kind))?;
    let left = i64::from(max).saturating_sub(i64::try_from(all.len()).unwrap_or(i64::MAX));
    if left > 0 {
        let conversations = on
            .q("SELECT tenant, site, id, subject, erasing FROM privet.conversations
                WHERE erasing IS NOT NULL AND ($1::text IS NULL OR tenant = $1) LIMIT $2")
            .bind(tenant.map(Tenant::as_str))
            .bind(left)
            .fetch_all(&mut *on.c)
            .await?;
        let kind = |id| ErasingKind::Conversation(ConversationId::from_bytes(id));
        all.extend(rows::all(&conversations, |row| read_erasing(row, kind))?);
    }
    Ok(all)
}

fn left_of(max: u32, removed: &Removed) -> u32 {
    max.saturating_sub(u32::try_from(removed.rows()).unwrap_or(u32::MAX))
}

/// Whatever fits into `max` rows of conversations, which are locked: their messages, and then themselves. Which of them are
/// gone.
async fn conversations(
    on: &mut On<'_>,
    scope: &Scope,
    ids: &[Vec<u8>],
    max: u32,
) -> UnitResult<(Removed, bool)> {
    if ids.is_empty() {
        return Ok((Removed::default(), true));
    }
    // A contact's conversations at once, their messages in turn, each with its last message. Each conversation is looked up by
    // itself: to have them in order a plan may go through all messages of the site instead.
    let messages = on
        .q("WITH d AS MATERIALIZED (
              SELECT o.id, m.number, m.at FROM unnest($3::bytea[]) AS o (id)
              CROSS JOIN LATERAL (SELECT number, at FROM privet.messages
                WHERE tenant = $1 AND site = $2 AND conversation = o.id ORDER BY number LIMIT $4) AS m
              LIMIT $4
            ), gone AS (
              DELETE FROM privet.messages m USING d
              WHERE m.tenant = $1 AND m.site = $2 AND m.conversation = d.id AND m.number = d.number AND m.at = d.at
              RETURNING 1)
            SELECT (SELECT count(*) FROM d), (SELECT count(*) FROM gone)")
        .bind(scope.tenant.as_str())
        .bind(scope.site.as_str())
        .bind(ids)
        .bind(i64::from(max))
        .fetch_one(&mut *on.c)
        .await?;
    let (seen, gone): (u32, u32) = (rows::number(&messages, 0)?, rows::number(&messages, 1)?);
    let mut removed = Removed::new(0, 0, gone.into(), 0);
    let left = left_of(max, &removed);
    // A sweep may have taken some of them meanwhile: then there may be others behind those that were seen.
    if seen >= max || gone < seen {
        return Ok((removed, false));
    }
    // All messages are gone, and the lock on the conversations keeps others out.
    let gone = on
        .q("WITH d AS (SELECT id FROM unnest($3::bytea[]) AS d (id) ORDER BY id LIMIT $4),
              e AS (DELETE FROM privet.erased_messages WHERE tenant = $1 AND site = $2 AND conversation IN (SELECT id FROM d))
            DELETE FROM privet.conversations c WHERE c.tenant = $1 AND c.site = $2 AND c.id IN (SELECT id FROM d)")
        .bind(scope.tenant.as_str())
        .bind(scope.site.as_str())
        .bind(ids)
        .bind(i64::from(left))
        .execute(&mut *on.c)
        .await?
        .rows_affected();
    removed.conversations = gone;
    Ok((removed, gone >= ids.len() as u64))
}

async fn contact(on: &mut On<'_>, scope: &Scope, id: ContactId, max: u32) -> UnitResult<(Removed, bool)> {
    let (tenant, site, key) = (scope.tenant.as_str(), scope.site.as_str(), id.as_bytes().as_slice());
    let marked = on
        .q("SELECT erasing, consent_line FROM privet.contacts
            WHERE tenant = $1 AND site = $2 AND id = $3 AND erasing IS NOT NULL FOR UPDATE")
        .bind(tenant)
        .bind(site)
        .bind(key)
        .fetch_optional(&mut *on.c)
        .await?;
    let Some(marked) = marked else { return Ok((Removed::default(), true)) };
    let cause = code(&marked, 0, "cause", ErasureCause::from_code)?;
    let line = SubjectDigest::from_bytes(bytes(&marked, 1)?);
    // More than there is room for are not looked at.
    let owned = on
        .q("SELECT id FROM privet.conversations WHERE tenant = $1 AND site = $2 AND owner_kind = $4 AND owner = $3
            ORDER BY id LIMIT $5 FOR UPDATE")
        .bind(tenant)
        .bind(site)
        .bind(key)
        .bind(i16::from(Owner::CONTACT))
        .bind(i64::from(max) + 1)
        .fetch_all(&mut *on.c)
        .await?;
    let owned: Vec<Vec<u8>> = rows::all(&owned, |row| row.try_get(0))?;
    let (mut removed, done) = conversations(on, scope, &owned, max).await?;
    let left = left_of(max, &removed);
    if !done || left == 0 {
        return Ok((removed, false));
    }
    if cause == ErasureCause::Request {
        let (cut, all) = sever(on, scope, line, left).await?;
        removed.severed += cut;
        if !all {
            return Ok((removed, false));
        }
    }
    let notes = on
        .q("WITH notes AS (DELETE FROM privet.notes WHERE tenant = $1 AND site = $2 AND contact = $3 RETURNING 1),
              contact AS (DELETE FROM privet.contacts WHERE tenant = $1 AND site = $2 AND id = $3)
            SELECT count(*) FROM notes")
        .bind(tenant)
        .bind(site)
        .bind(key)
        .fetch_one(&mut *on.c)
        .await?;
    let mut last = Removed::new(1, 0, 0, 0);
    last.notes = rows::number(&notes, 0)?;
    removed += last;
    Ok((removed, true))
}

async fn conversation(
    on: &mut On<'_>,
    scope: &Scope,
    id: ConversationId,
    max: u32,
) -> UnitResult<(Removed, bool)> {
    let marked = on
        .q("SELECT id FROM privet.conversations
            WHERE tenant = $1 AND site = $2 AND id = $3 AND erasing IS NOT NULL FOR UPDATE")
        .bind(scope.tenant.as_str())
        .bind(scope.site.as_str())
        .bind(id.as_bytes().as_slice())
        .fetch_all(&mut *on.c)
        .await?;
    let marked: Vec<Vec<u8>> = rows::all(&marked, |row| row.try_get(0))?;
    conversations(on, scope, &marked, max).await
}

/// Locks what a step of one tenant needs, each kind in its order: the lines that are cut, and then the contacts.
async fn lock_all(on: &mut On<'_>, erasing: &[Erasing]) -> UnitResult<()> {
    let mut contacts: Vec<_> = erasing
        .iter()
        .filter_map(|e| match e.kind {
            ErasingKind::Contact(id) => Some((&e.scope, id)),
            ErasingKind::Conversation(_) => None,
        })
        .collect();
    contacts.sort_unstable();
    contacts.dedup();
    let Some((first, _)) = contacts.first() else { return Ok(()) };
    let tenant = first.tenant.as_str();
    let sites: Vec<&str> = contacts.iter().map(|(scope, _)| scope.site.as_str()).collect();
    let ids: Vec<Vec<u8>> = contacts.iter().map(|(_, id)| id.as_bytes().to_vec()).collect();
    // A contact that is marked stays on its line.
    let lines = on
        .q("SELECT DISTINCT c.site, c.consent_line FROM unnest($2::text[], $3::bytea[]) AS e (site, id)
            JOIN privet.contacts c ON c.tenant = $1 AND c.site = e.site AND c.id = e.id
            WHERE c.erasing = $4")
        .bind(tenant)
        .bind(&sites)
        .bind(&ids)
        .bind(i16::from(ErasureCause::Request.code()))
        .fetch_all(&mut *on.c)
        .await?;
    let keys = rows::all(&lines, |row| {
        let line = Named::Line(SubjectDigest::from_bytes(bytes(row, 1)?));
        Ok(locks::key(&rows::site_scope(&first.tenant, row, 0)?, line))
    })?;
    locks::alone(on, keys).await?;
    let contacts: Vec<_> = contacts.iter().map(|(scope, id)| (scope.site.as_str(), *id)).collect();
    locks::contacts(on, &first.tenant, &contacts).await?;
    Ok(())
}

/// How many of the first are contacts that fit into `max` rows as they are, and need no record cut.
async fn how_many_fit(
    on: &mut On<'_>,
    sites: &[&str],
    ids: &[Vec<u8>],
    tenant: &str,
    max: u32,
) -> UnitResult<usize> {
    let rows = on
        .q("SELECT c.erasing,
              (SELECT count(*) FROM privet.conversations v
               WHERE v.tenant = $1 AND v.site = e.site AND v.owner_kind = 1 AND v.owner = e.id),
              (SELECT count(*) FROM privet.conversations v JOIN privet.messages m
                 ON m.tenant = v.tenant AND m.site = v.site AND m.conversation = v.id
               WHERE v.tenant = $1 AND v.site = e.site AND v.owner_kind = 1 AND v.owner = e.id)
            FROM unnest($2::text[], $3::bytea[]) WITH ORDINALITY AS e (site, id, n)
            LEFT JOIN privet.contacts c ON c.tenant = $1 AND c.site = e.site AND c.id = e.id AND c.erasing IS NOT NULL
            ORDER BY e.n")
        .bind(tenant)
        .bind(sites)
        .bind(ids)
        .fetch_all(&mut *on.c)
        .await?;
    let (mut fit, mut taken) = (0, 0_i64);
    for row in &rows {
        match row.try_get::<Option<i16>, _>(0)? {
            Some(cause) if cause == i16::from(ErasureCause::Request.code()) => break,
            Some(_) => taken += 1 + row.try_get::<i64, _>(1)? + row.try_get::<i64, _>(2)?,
            // It is gone.
            None => {}
        }
        if taken > i64::from(max) {
            break;
        }
        fit += 1;
    }
    Ok(fit)
}

/// Takes whole contacts away in one statement: those at the beginning that fit. The contacts are locked, and nobody writes to
/// what is theirs without that lock.
async fn whole_contacts(on: &mut On<'_>, erasing: &[Erasing], max: u32) -> UnitResult<EraseStep> {
    let contacts: Vec<_> = erasing
        .iter()
        .map_while(|e| match e.kind {
            ErasingKind::Contact(id) => Some((e.scope.site.as_str(), id.as_bytes().to_vec())),
            ErasingKind::Conversation(_) => None,
        })
        .collect();
    let (mut sites, mut ids): (Vec<_>, Vec<_>) = contacts.into_iter().unzip();
    let mut step = EraseStep::default();
    let Some(first) = erasing.first().filter(|_| ids.len() > 1) else { return Ok(step) };
    let tenant = first.scope.tenant.as_str();
    step.done = how_many_fit(on, &sites, &ids, tenant, max).await?;
    if step.done == 0 {
        return Ok(step);
    }
    sites.truncate(step.done);
    ids.truncate(step.done);
    let gone = on
        .q("WITH due AS MATERIALIZED (
              SELECT c.site, c.id FROM unnest($2::text[], $3::bytea[]) AS e (site, id)
              JOIN privet.contacts c ON c.tenant = $1 AND c.site = e.site AND c.id = e.id AND c.erasing IS NOT NULL
            ), owned AS MATERIALIZED (
              SELECT v.site, v.id FROM due
              JOIN privet.conversations v ON v.tenant = $1 AND v.site = due.site AND v.owner_kind = 1 AND v.owner = due.id
            ), messages AS (
              DELETE FROM privet.messages m USING owned
              WHERE m.tenant = $1 AND m.site = owned.site AND m.conversation = owned.id RETURNING 1
            ), erased AS (
              DELETE FROM privet.erased_messages e USING owned
              WHERE e.tenant = $1 AND e.site = owned.site AND e.conversation = owned.id
            ), conversations AS (
              DELETE FROM privet.conversations v USING owned
              WHERE v.tenant = $1 AND v.site = owned.site AND v.id = owned.id RETURNING 1
            ), notes AS (
              DELETE FROM privet.notes n USING due
              WHERE n.tenant = $1 AND n.site = due.site AND n.contact = due.id RETURNING 1
            ), contacts AS (
              DELETE FROM privet.contacts c USING due
              WHERE c.tenant = $1 AND c.site = due.site AND c.id = due.id RETURNING 1
            )
            SELECT (SELECT count(*) FROM contacts), (SELECT count(*) FROM conversations),
                   (SELECT count(*) FROM messages), (SELECT count(*) FROM notes)")
        .bind(tenant)
        .bind(&sites)
        .bind(&ids)
        .fetch_one(&mut *on.c)
        .await?;
    let number = |at| rows::number(&gone, at);
    step.removed = Removed::new(number(0)?, number(1)?, number(2)?, 0);
    step.removed.notes = number(3)?;
    Ok(step)
}

/// One step of erasures of one tenant: up to `max` rows.
pub(super) async fn step(on: &mut On<'_>, erasing: &[Erasing], max: u32) -> UnitResult<EraseStep> {
    lock_all(on, erasing).await?;
    let mut step = whole_contacts(on, erasing, max).await?;
    for each in &erasing[step.done..] {
        let left = left_of(max, &step.removed);
        if left == 0 {
            break;
        }
        let (removed, done) = match each.kind {
            ErasingKind::Contact(id) => contact(on, &each.scope, id, left).await?,
            ErasingKind::Conversation(id) => conversation(on, &each.scope, id, left).await?,
        };
        step.removed += removed;
        step.done += usize::from(done);
        if !done {
            break;
        }
    }
    Ok(step)
}
