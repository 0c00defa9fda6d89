use async_trait::async_trait;
use privet::contact::{Contact, ContactId, ContactSummary};
use privet::store::{ConsentProof, ContactQuery, ContactStore, ContactTouch, Erasing, ErasureCause, Horizon};
use privet::{Result, Scope, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::list::page;
use super::{CONTACT, SqliteStore, check_fence, check_proof, mark_contacts, ms, read_contact, shown_contact};
use crate::db::{Priority, UnitResult};

fn open(c: &Connection, proof: &ConsentProof, contact: &Contact) -> UnitResult<Contact> {
    let scope = proof.scope();
    let record = check_proof(c, scope, proof, contact.created)?;
    check_fence(c, &scope.tenant, contact.subject, contact.epoch)?;
    let sql = format!(
        "SELECT {CONTACT} FROM contacts
         WHERE tenant = ?1 AND site = ?2 AND consent_line = ?3 AND consent_until > ?4
           AND erasing IS NULL AND kept_on IS NULL ORDER BY frozen_until IS NOT NULL LIMIT 1"
    );
    let line =
        params![scope.tenant.as_str(), scope.site.as_str(), record.subject.as_bytes(), ms(contact.created)];
    if let Some(there) = c.prepare_cached(&sql)?.query_row(line, read_contact).optional()? {
        let frozen = there.frozen_until.is_some();
        return if frozen { Err(privet::Error::NotFound { what: "contact" }.into()) } else { Ok(there) };
    }
    c.prepare_cached(
        "INSERT OR IGNORE INTO contacts
         (tenant, site, id, subject, epoch, country, created, last_seen, conversations, consent, consent_line, consent_until, material)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 0, ?9, ?10, ?11, ?12)",
    )?
    .execute(params![
        scope.tenant.as_str(),
        scope.site.as_str(),
        contact.id.as_bytes(),
        contact.subject.as_bytes(),
        contact.epoch.get(),
        contact.country.map(|code| code.to_string()),
        ms(contact.created),
        ms(contact.last_seen.max(contact.created)),
        record.id.as_bytes(),
        record.subject.as_bytes(),
        ms(record.until),
        record.fingerprint_of(proof.category()).unwrap_or_default(),
    ])?;
    let everything = Horizon::unlimited(contact.created);
    Ok(shown_contact(c, scope, contact.id, &everything)?.ok_or(privet::Error::Fenced)?)
}

fn touch(c: &Connection, touches: &[ContactTouch]) -> UnitResult<u64> {
    let mut statement = c.prepare_cached(
        "UPDATE contacts SET last_seen = ?5
         WHERE tenant = ?1 AND site = ?2 AND id = ?3 AND epoch = ?4 AND erasing IS NULL AND frozen_until IS NULL
           AND last_seen < ?5 AND last_seen >= ?6 AND consent_until > ?5",
    )?;
    let mut moved = 0;
    for t in touches {
        let changed = statement.execute(params![
            t.scope.tenant.as_str(),
            t.scope.site.as_str(),
            t.id.as_bytes(),
            t.epoch.get(),
            ms(t.at),
            ms(t.gone_before),
        ])?;
        moved += changed as u64;
    }
    Ok(moved)
}

fn freeze(
    c: &Connection,
    scope: &Scope,
    current: &[[u8; 3]],
    until: Timestamp,
    after: Option<ContactId>,
    max: u32,
) -> UnitResult<Option<ContactId>> {
    let (tenant, site) = (scope.tenant.as_str(), scope.site.as_str());
    let from = after.map_or([0; 16], |id| *id.as_bytes());
    let seen: Vec<([u8; 16], [u8; 3], bool, bool)> = c
        .prepare_cached(
            "SELECT id, material, frozen_until IS NOT NULL, kept_on IS NOT NULL FROM contacts
             WHERE tenant = ?1 AND site = ?2 AND id > ?3 ORDER BY id LIMIT ?4",
        )?
        .query_map(params![tenant, site, from, max], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })?
        .collect::<rusqlite::Result<_>>()?;
    let mut set = c.prepare_cached(
        "UPDATE contacts SET frozen_until = ?4 WHERE tenant = ?1 AND site = ?2 AND id = ?3",
    )?;
    for (id, material, frozen, kept) in &seen {
        let fits = current.contains(material);
        if !kept && fits == *frozen {
            set.execute(params![tenant, site, id, (!fits).then_some(ms(until))])?;
        }
    }
    Ok(seen.last().map(|(id, ..)| ContactId::from_bytes(*id)))
}

/// Touches in one transaction at most: nobody waits long behind it.
const TOUCHES: usize = 500;

#[async_trait]
impl ContactStore for SqliteStore {
    async fn open_contact(&self, proof: &ConsentProof, contact: &Contact) -> Result<Contact> {
        let (proof, contact) = (proof.clone(), contact.clone());
        self.db.write(Priority::Urgent, move |c| open(c, &proof, &contact)).await
    }

    async fn touch_contacts(&self, touches: &[ContactTouch]) -> Result<u64> {
        let mut moved = 0;
        for chunk in touches.chunks(TOUCHES) {
            let chunk = chunk.to_vec();
            moved += self.db.write(Priority::Housekeeping, move |c| touch(c, &chunk)).await?;
        }
        Ok(moved)
    }

    async fn contact(&self, scope: &Scope, id: ContactId, horizon: &Horizon) -> Result<Option<Contact>> {
        let (scope, horizon) = (scope.clone(), *horizon);
        self.db.read(move |c| shown_contact(c, &scope, id, &horizon)).await
    }

    async fn contact_lives(&self, scope: &Scope, id: ContactId) -> Result<bool> {
        let scope = scope.clone();
        self.db
            .read(move |c| {
                let sql =
                    "SELECT 1 FROM contacts WHERE tenant = ?1 AND site = ?2 AND id = ?3 AND erasing IS NULL";
                let key = params![scope.tenant.as_str(), scope.site.as_str(), id.as_bytes()];
                Ok(c.prepare_cached(sql)?.exists(key)?)
            })
            .await
    }

    async fn contacts(
        &self,
        scope: &Scope,
        query: &ContactQuery,
        horizon: &Horizon,
    ) -> Result<Vec<ContactSummary>> {
        let (scope, query, horizon) = (scope.clone(), query.clone(), *horizon);
        self.db.read(move |c| page(c, &scope, &query, &horizon)).await
    }

    async fn freeze_contacts(
        &self,
        scope: &Scope,
        current: &[[u8; 3]],
        until: Timestamp,
        after: Option<ContactId>,
        max: u32,
    ) -> Result<Option<ContactId>> {
        let (scope, current) = (scope.clone(), current.to_vec());
        self.db.write(Priority::Housekeeping, move |c| freeze(c, &scope, &current, until, after, max)).await
    }

    async fn begin_contact_erasure(
        &self,
        scope: &Scope,
        id: ContactId,
        cause: ErasureCause,
        fence_until: Timestamp,
    ) -> Result<Option<Erasing>> {
        let scope = scope.clone();
        self.db
            .write(Priority::Urgent, move |c| {
                let values: [&dyn rusqlite::ToSql; 2] = [&scope.site.as_str(), id.as_bytes()];
                let marked =
                    mark_contacts(c, &scope.tenant, "site = ?1 AND id = ?2", &values, cause, fence_until)?;
                Ok(marked.into_iter().next())
            })
            .await
    }
}
