use std::collections::BTreeMap;

use async_trait::async_trait;
use privet::contact::{Contact, ContactId, ContactSummary};
use privet::store::{ConsentProof, ContactQuery, ContactStore, ContactTouch, Erasing, ErasureCause, Horizon};
use privet::{Result, Scope, Tenant, Timestamp};

use super::rows::{self, bytes, contact_columns, ms, read_contact};
use super::{
    Line, PostgresStore, check_fence, check_proof, contact_kind, list, listed, locks, mark_contacts,
    read_erasing, shown_contact,
};
use crate::db::{On, Twice, UnitResult, read, unit};

async fn open(on: &mut On<'_>, proof: &ConsentProof, contact: &Contact) -> UnitResult<Contact> {
    let scope = proof.scope();
    // Alone, since a line has one contact, and there is no row yet to lock.
    let record = check_proof(on, scope, proof, contact.created, Line::Alone).await?;
    // One with this id may be there, and be erased meanwhile.
    locks::contacts(on, &scope.tenant, &[(scope.site.as_str(), contact.id)]).await?;
    check_fence(on, &scope.tenant, contact.subject, contact.epoch).await?;
    let there = on
        .q(concat!(
            "SELECT ",
            contact_columns!(),
            " FROM privet.contacts WHERE tenant = $1 AND site = $2 AND consent_line = $3 AND consent_until > $4
               AND erasing IS NULL AND kept_on IS NULL ORDER BY frozen_until NULLS FIRST, id LIMIT 1"
        ))
        .bind(scope.tenant.as_str())
        .bind(scope.site.as_str())
        .bind(record.subject.as_bytes().as_slice())
        .bind(ms(contact.created))
        .fetch_optional(&mut *on.c)
        .await?;
    if let Some(row) = there {
        let there = read_contact(&row)?;
        let frozen = there.frozen_until.is_some();
        return if frozen { Err(privet::Error::NotFound { what: "contact" }.into()) } else { Ok(there) };
    }
    on.q("INSERT INTO privet.contacts
            (tenant, site, id, subject, epoch, country, created, last_seen, conversations, consent, consent_line, consent_until, material)
          VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, $9, $10, $11, $12) ON CONFLICT (tenant, site, id) DO NOTHING")
        .bind(scope.tenant.as_str())
        .bind(scope.site.as_str())
        .bind(contact.id.as_bytes().as_slice())
        .bind(contact.subject.as_bytes().as_slice())
        .bind(i64::from(contact.epoch.get()))
        .bind(contact.country.map(|code| code.to_string()))
        .bind(ms(contact.created))
        .bind(ms(contact.last_seen.max(contact.created)))
        .bind(record.id.as_bytes().as_slice())
        .bind(record.subject.as_bytes().as_slice())
        .bind(ms(record.until))
        .bind(record.fingerprint_of(proof.category()).unwrap_or_default().to_vec())
        .execute(&mut *on.c)
        .await?;
    let everything = Horizon::unlimited(contact.created);
    Ok(shown_contact(on, scope, contact.id, &everything).await?.ok_or(privet::Error::Fenced)?)
}

/// Touches of one tenant, each contact once. They are locked in the order of their keys, as everybody does.
async fn touch(on: &mut On<'_>, tenant: &Tenant, touches: &[&ContactTouch]) -> UnitResult<u64> {
    let moved = on
        .q("WITH due AS (
              SELECT c.site, c.id, t.at
              FROM unnest($2::text[], $3::bytea[], $4::bigint[], $5::bigint[], $6::bigint[]) AS t (site, id, epoch, at, gone_before)
              JOIN privet.contacts c ON c.tenant = $1 AND c.site = t.site AND c.id = t.id
              WHERE c.epoch = t.epoch AND c.erasing IS NULL AND c.frozen_until IS NULL
                AND c.last_seen < t.at AND c.last_seen >= t.gone_before AND c.consent_until > t.at
              ORDER BY c.site, c.id FOR UPDATE OF c
            )
            UPDATE privet.contacts c SET last_seen = due.at FROM due
            WHERE c.tenant = $1 AND c.site = due.site AND c.id = due.id AND c.last_seen < due.at AND c.erasing IS NULL")
        .bind(tenant.as_str())
        .bind(touches.iter().map(|t| t.scope.site.as_str()).collect::<Vec<_>>())
        .bind(touches.iter().map(|t| t.id.as_bytes().to_vec()).collect::<Vec<_>>())
        .bind(touches.iter().map(|t| i64::from(t.epoch.get())).collect::<Vec<_>>())
        .bind(touches.iter().map(|t| ms(t.at)).collect::<Vec<_>>())
        .bind(touches.iter().map(|t| ms(t.gone_before)).collect::<Vec<_>>())
        .execute(&mut *on.c)
        .await?;
    Ok(moved.rows_affected())
}

async fn freeze(
    on: &mut On<'_>,
    scope: &Scope,
    current: &[[u8; 3]],
    until: Timestamp,
    after: Option<ContactId>,
    max: u32,
) -> UnitResult<Option<ContactId>> {
    let last = on
        .q("WITH seen AS (
              SELECT id FROM privet.contacts WHERE tenant = $1 AND site = $2 AND id > $3 ORDER BY id LIMIT $4
            ), changed AS (
              UPDATE privet.contacts c SET frozen_until = CASE WHEN c.material = ANY($5) THEN NULL ELSE $6 END
              FROM seen WHERE c.tenant = $1 AND c.site = $2 AND c.id = seen.id
                AND c.kept_on IS NULL AND (c.material = ANY($5)) = (c.frozen_until IS NOT NULL)
            )
            SELECT id FROM seen ORDER BY id DESC LIMIT 1")
        .bind(scope.tenant.as_str())
        .bind(scope.site.as_str())
        .bind(after.map_or_else(Vec::new, |id| id.as_bytes().to_vec()))
        .bind(i64::from(max))
        .bind(current.iter().map(|material| material.to_vec()).collect::<Vec<_>>())
        .bind(ms(until))
        .fetch_optional(&mut *on.c)
        .await?;
    Ok(last.map(|row| bytes(&row, 0).map(ContactId::from_bytes)).transpose()?)
}

async fn lives(on: &mut On<'_>, scope: &Scope, id: ContactId) -> UnitResult<bool> {
    let found = on
        .q("SELECT 1 FROM privet.contacts WHERE tenant = $1 AND site = $2 AND id = $3 AND erasing IS NULL")
        .bind(scope.tenant.as_str())
        .bind(scope.site.as_str())
        .bind(id.as_bytes().as_slice())
        .fetch_optional(&mut *on.c)
        .await?;
    Ok(found.is_some())
}

async fn begin_erasure(
    on: &mut On<'_>,
    scope: &Scope,
    id: ContactId,
    cause: ErasureCause,
    fence_until: Timestamp,
) -> UnitResult<Option<Erasing>> {
    let marked = on
        .q(mark_contacts!("site = $4 AND id = $5"))
        .bind(scope.tenant.as_str())
        .bind(i16::from(cause.code()))
        .bind(ms(fence_until))
        .bind(scope.site.as_str())
        .bind(id.as_bytes().as_slice())
        .fetch_all(&mut *on.c)
        .await?;
    Ok(rows::all(&marked, |row| read_erasing(row, contact_kind))?.into_iter().next())
}

/// Touches in one statement at most: nobody waits long behind it.
const TOUCHES: usize = 1_000;

/// Touches by tenant, in batches that name each contact once: a statement changes a row once.
fn batches(touches: &[ContactTouch]) -> Vec<(&Tenant, Vec<&ContactTouch>)> {
    let mut rounds = BTreeMap::<(&Tenant, usize), Vec<&ContactTouch>>::new();
    let mut seen = BTreeMap::new();
    for touch in touches {
        let round = seen.entry((&touch.scope, touch.id)).or_insert(0_usize);
        rounds.entry((&touch.scope.tenant, *round)).or_default().push(touch);
        *round += 1;
    }
    let chunks = rounds.into_iter().flat_map(|((tenant, _), touches)| {
        touches.chunks(TOUCHES).map(|chunk| (tenant, chunk.to_vec())).collect::<Vec<_>>()
    });
    chunks.collect()
}

#[async_trait]
impl ContactStore for PostgresStore {
    async fn open_contact(&self, proof: &ConsentProof, contact: &Contact) -> Result<Contact> {
        unit!(self.db, proof.scope(), Twice::Harmless, on => open(on, proof, contact))
    }

    async fn touch_contacts(&self, touches: &[ContactTouch]) -> Result<u64> {
        let mut moved = 0;
        for (tenant, batch) in batches(touches) {
            moved += unit!(self.db, tenant, Twice::Harmless, on => touch(on, tenant, &batch))?;
        }
        Ok(moved)
    }

    async fn contact(&self, scope: &Scope, id: ContactId, horizon: &Horizon) -> Result<Option<Contact>> {
        read!(self.db, scope, on => shown_contact(on, scope, id, horizon))
    }

    async fn contact_lives(&self, scope: &Scope, id: ContactId) -> Result<bool> {
        read!(self.db, scope, on => lives(on, scope, id))
    }

    async fn contacts(
        &self,
        scope: &Scope,
        query: &ContactQuery,
        horizon: &Horizon,
    ) -> Result<Vec<ContactSummary>> {
        if query.filter.looks_for_somebody() {
            return read!(self.db, scope, on => list::page(on, scope, query, horizon));
        }
        listed!(self, scope, read, on => list::page(on, scope, query, horizon))
    }

    async fn freeze_contacts(
        &self,
        scope: &Scope,
        current: &[[u8; 3]],
        until: Timestamp,
        after: Option<ContactId>,
        max: u32,
    ) -> Result<Option<ContactId>> {
        unit!(self.db, scope, Twice::Harmless, on => freeze(on, scope, current, until, after, max))
    }

    async fn begin_contact_erasure(
        &self,
        scope: &Scope,
        id: ContactId,
        cause: ErasureCause,
        fence_until: Timestamp,
    ) -> Result<Option<Erasing>> {
        // The second time it would say that there is no such contact.
        unit!(self.db, scope, Twice::Never, on => begin_erasure(on, scope, id, cause, fence_until))
    }
}
