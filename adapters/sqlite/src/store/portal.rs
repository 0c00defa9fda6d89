//! What operators read and do.

use async_trait::async_trait;
use privet::contact::{
    ContactFilter, ContactId, Conversation, ConversationId, NoteId, Owner, Removed, Sealed,
};
use privet::portal::{AuditEvent, AuditId};
use privet::store::{
    Horizon, Identification, MAX_NOTES, MessageToStore, PortalStore, SiteFigures, Snapshot, StoredMessage,
    StoredNote,
};
use privet::{Day, Error, Result, Scope, Tenant, Timestamp};
use rusqlite::{Connection, params};

use super::conversations::{
    CONVERSATION, insert_message, message_by_id, owner_is_there, read_conversation, shown, stand_on,
};
use super::figures::{figures, number};
use super::list::count;
use super::snapshot::SiteSnapshot;
use super::{SqliteStore, audit, check_fence, check_proof, ms, shown_contact, time};
use crate::db::{Priority, UnitResult};

fn contents(c: &Connection, scope: &Scope, id: ContactId, horizon: &Horizon) -> UnitResult<Option<Removed>> {
    if shown_contact(c, scope, id, horizon)?.is_none() {
        return Ok(None);
    }
    let contacts = Owner::CONTACT;
    let counted = |what: &str| -> UnitResult<u64> {
        let sql = format!(
            "WITH ends AS (SELECT consent_line FROM contacts AS c WHERE tenant = ?1 AND site = ?2 AND id = ?3 AND kept_on IS NULL
                 AND EXISTS (SELECT 1 FROM consent_records AS r WHERE r.tenant = ?1 AND r.site = ?2 AND r.id = c.consent)),
             whose AS (SELECT ?3 AS id UNION SELECT id FROM contacts WHERE tenant = ?1 AND site = ?2 AND erasing IS NULL
                 AND consent_line = (SELECT consent_line FROM ends)),
             owned AS (SELECT o.id FROM conversations AS o WHERE o.tenant = ?1 AND o.site = ?2
                 AND o.owner_kind = {contacts} AND o.owner IN (SELECT id FROM whose) AND o.erasing IS NULL)
             SELECT count(*) FROM {what}"
        );
        let values = params![scope.tenant.as_str(), scope.site.as_str(), id.as_bytes()];
        Ok(c.prepare_cached(&sql)?.query_row(values, |row| number(row, 0))?)
    };
    let of = |table: &str, column: &str, list: &str| {
        format!("{table} WHERE tenant = ?1 AND site = ?2 AND {column} IN (SELECT id FROM {list})")
    };
    let messages = counted(&of("messages", "conversation", "owned"))?;
    let mut contents = Removed::new(counted("whose")?, counted("owned")?, messages, 0);
    contents.notes = counted(&of("notes", "contact", "whose"))?;
    Ok(Some(contents))
}

fn open_conversations(
    c: &Connection,
    scope: &Scope,
    limit: u16,
    horizon: &Horizon,
) -> UnitResult<Vec<Conversation>> {
    let sql = format!(
        "SELECT {CONVERSATION} FROM conversations
         WHERE tenant = ?1 AND site = ?2 AND live_support = 1 AND closed IS NULL AND erasing IS NULL
         ORDER BY last_message DESC, id DESC"
    );
    let mut statement = c.prepare_cached(&sql)?;
    let rows = statement.query_map(params![scope.tenant.as_str(), scope.site.as_str()], read_conversation)?;
    let mut open = Vec::new();
    for row in rows {
        let conversation = row?;
        if horizon.shows_conversation(&conversation) && owner_is_there(c, scope, conversation.owner, horizon)?
        {
            open.push(conversation);
            if open.len() >= limit.into() {
                break;
            }
        }
    }
    Ok(open)
}

fn answer(
    c: &Connection,
    scope: &Scope,
    message: &MessageToStore,
    horizon: &Horizon,
) -> UnitResult<StoredMessage> {
    let found = shown(c, scope, message.conversation, horizon)?;
    let found = found.ok_or(Error::NotFound { what: "conversation" })?;
    if found.closed.is_some() || message.owner.is_some_and(|owner| owner != found.owner) {
        return Err(Error::Conflict { what: "conversation" }.into());
    }
    if let Some(there) = message_by_id(c, scope, message)? {
        return Ok(there);
    }
    let number: u32 = c
        .prepare_cached(
            "UPDATE conversations SET messages = messages + 1, last_message = max(last_message, ?4), awaits_answer = 0
             WHERE tenant = ?1 AND site = ?2 AND id = ?3 RETURNING messages",
        )?
        .query_row(
            params![
                scope.tenant.as_str(),
                scope.site.as_str(),
                message.conversation.as_bytes(),
                ms(message.at)
            ],
            |row| row.get(0),
        )?;
    insert_message(c, scope, message, number)
}

fn erase_message(
    c: &Connection,
    scope: &Scope,
    conversation: ConversationId,
    number: u32,
) -> UnitResult<bool> {
    let values = params![scope.tenant.as_str(), scope.site.as_str(), conversation.as_bytes(), number];
    let kept = c
        .prepare_cached(
            "INSERT OR IGNORE INTO erased_messages (tenant, site, id, conversation, number)
             SELECT tenant, site, id, conversation, number FROM messages
             WHERE tenant = ?1 AND site = ?2 AND conversation = ?3 AND number = ?4
               AND EXISTS (SELECT 1 FROM conversations WHERE tenant = ?1 AND site = ?2 AND id = ?3 AND erasing IS NULL)",
        )?
        .execute(values)?;
    if kept > 0 {
        c.prepare_cached(
            "DELETE FROM messages WHERE tenant = ?1 AND site = ?2 AND conversation = ?3 AND number = ?4",
        )?
        .execute(values)?;
    }
    Ok(kept > 0)
}

fn identify(c: &Connection, identification: &Identification, horizon: &Horizon) -> UnitResult<()> {
    let Identification { contacts, identity, id, epoch, subject, known_as, at } = identification;
    let scope = contacts.scope();
    let record = check_proof(c, scope, contacts, *at)?;
    if check_proof(c, scope, identity, *at)?.subject != record.subject {
        return Err(identity.refused().into());
    }
    check_fence(c, &scope.tenant, *subject, *epoch)?;
    let there = shown_contact(c, scope, *id, horizon)?.filter(|found| found.epoch == *epoch);
    if there.ok_or(Error::NotFound { what: "contact" })?.blocked {
        return Err(Error::Blocked.into());
    }
    stand_on(c, scope, *id, &record, contacts.category())?;
    c.prepare_cached(
        "UPDATE contacts SET identity = ?4, identity_text = ?5 WHERE tenant = ?1 AND site = ?2 AND id = ?3",
    )?
    .execute(params![
        scope.tenant.as_str(),
        scope.site.as_str(),
        id.as_bytes(),
        known_as.digest.as_bytes(),
        known_as.sealed.as_bytes()
    ])?;
    Ok(())
}

fn add_note(c: &Connection, scope: &Scope, note: &StoredNote, horizon: &Horizon) -> UnitResult<()> {
    shown_contact(c, scope, note.contact, horizon)?.ok_or(Error::NotFound { what: "contact" })?;
    let (tenant, site, contact) = (scope.tenant.as_str(), scope.site.as_str(), note.contact.as_bytes());
    let there: (u32, bool) = c
        .prepare_cached(
            "SELECT count(*), count(*) FILTER (WHERE id = ?4) > 0 FROM notes WHERE tenant = ?1 AND site = ?2 AND contact = ?3",
        )?
        .query_row(params![tenant, site, contact, note.id.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))?;
    match there {
        (_, true) => Ok(()),
        (notes, _) if notes >= MAX_NOTES => Err(Error::Conflict { what: "the contact's notes" }.into()),
        _ => {
            c.prepare_cached(
                "INSERT INTO notes (tenant, site, contact, id, at, author, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute(params![
                tenant,
                site,
                contact,
                note.id.as_bytes(),
                ms(note.at),
                note.author,
                note.body.as_bytes()
            ])?;
            Ok(())
        }
    }
}

fn notes(
    c: &Connection,
    scope: &Scope,
    contact: ContactId,
    horizon: &Horizon,
) -> UnitResult<Vec<StoredNote>> {
    if shown_contact(c, scope, contact, horizon)?.is_none() {
        return Ok(Vec::new());
    }
    let mut statement = c.prepare_cached(
        "SELECT id, at, author, body FROM notes WHERE tenant = ?1 AND site = ?2 AND contact = ?3 ORDER BY at, id",
    )?;
    let values = params![scope.tenant.as_str(), scope.site.as_str(), contact.as_bytes()];
    let rows = statement.query_map(values, |row| {
        Ok(StoredNote {
            id: NoteId::from_bytes(row.get(0)?),
            contact,
            at: time(row, 1)?,
            author: row.get(2)?,
            body: Sealed::from_bytes(row.get(3)?),
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

#[async_trait]
impl PortalStore for SqliteStore {
    async fn count_contacts(
        &self,
        scope: &Scope,
        filter: &ContactFilter,
        as_of: Timestamp,
        cap: u32,
        horizon: &Horizon,
    ) -> Result<u32> {
        let (scope, filter, horizon) = (scope.clone(), filter.clone(), *horizon);
        self.db.read(move |c| count(c, &scope, &filter, as_of, cap, &horizon)).await
    }

    async fn contact_contents(
        &self,
        scope: &Scope,
        id: ContactId,
        horizon: &Horizon,
    ) -> Result<Option<Removed>> {
        let (scope, horizon) = (scope.clone(), *horizon);
        self.db.read(move |c| contents(c, &scope, id, &horizon)).await
    }

    async fn conversation(
        &self,
        scope: &Scope,
        id: ConversationId,
        horizon: &Horizon,
    ) -> Result<Option<Conversation>> {
        let (scope, horizon) = (scope.clone(), *horizon);
        self.db.read(move |c| shown(c, &scope, id, &horizon)).await
    }

    async fn open_conversations(
        &self,
        scope: &Scope,
        limit: u16,
        horizon: &Horizon,
    ) -> Result<Vec<Conversation>> {
        let (scope, horizon) = (scope.clone(), *horizon);
        self.db.read(move |c| open_conversations(c, &scope, limit, &horizon)).await
    }

    async fn answer(
        &self,
        scope: &Scope,
        message: &MessageToStore,
        horizon: &Horizon,
    ) -> Result<StoredMessage> {
        let (scope, message, horizon) = (scope.clone(), message.clone(), *horizon);
        self.db.write(Priority::Urgent, move |c| answer(c, &scope, &message, &horizon)).await
    }

    async fn erase_message(&self, scope: &Scope, conversation: ConversationId, number: u32) -> Result<bool> {
        let scope = scope.clone();
        let gone =
            self.db.write(Priority::Urgent, move |c| erase_message(c, &scope, conversation, number)).await?;
        if gone {
            // What was deleted still stands in the log until it is emptied.
            self.db.checkpoint().await?;
        }
        Ok(gone)
    }

    async fn set_blocked(
        &self,
        scope: &Scope,
        id: ContactId,
        blocked: bool,
        horizon: &Horizon,
    ) -> Result<bool> {
        let (scope, horizon) = (scope.clone(), *horizon);
        self.db
            .write(Priority::Urgent, move |c| {
                if shown_contact(c, &scope, id, &horizon)?.is_none() {
                    return Ok(false);
                }
                c.prepare_cached(
                    "UPDATE contacts SET blocked = ?4 WHERE tenant = ?1 AND site = ?2 AND id = ?3",
                )?
                .execute(params![
                    scope.tenant.as_str(),
                    scope.site.as_str(),
                    id.as_bytes(),
                    blocked
                ])?;
                Ok(true)
            })
            .await
    }

    async fn identify_contact(&self, identification: &Identification, horizon: &Horizon) -> Result<()> {
        let (identification, horizon) = (identification.clone(), *horizon);
        self.db.write(Priority::Urgent, move |c| identify(c, &identification, &horizon)).await
    }

    async fn add_note(&self, scope: &Scope, note: &StoredNote, horizon: &Horizon) -> Result<()> {
        let (scope, note, horizon) = (scope.clone(), note.clone(), *horizon);
        self.db.write(Priority::Urgent, move |c| add_note(c, &scope, &note, &horizon)).await
    }

    async fn notes(&self, scope: &Scope, contact: ContactId, horizon: &Horizon) -> Result<Vec<StoredNote>> {
        let (scope, horizon) = (scope.clone(), *horizon);
        self.db.read(move |c| notes(c, &scope, contact, &horizon)).await
    }

    async fn erase_note(&self, scope: &Scope, contact: ContactId, note: NoteId) -> Result<bool> {
        let scope = scope.clone();
        let gone = self
            .db
            .write(Priority::Urgent, move |c| {
                let gone = c
                    .prepare_cached(
                        "DELETE FROM notes WHERE tenant = ?1 AND site = ?2 AND contact = ?3 AND id = ?4",
                    )?
                    .execute(params![
                        scope.tenant.as_str(),
                        scope.site.as_str(),
                        contact.as_bytes(),
                        note.as_bytes()
                    ])?;
                Ok(gone > 0)
            })
            .await?;
        if gone {
            self.db.checkpoint().await?;
        }
        Ok(gone)
    }

    async fn figures(&self, scope: &Scope, from: Day, to: Day, horizon: &Horizon) -> Result<SiteFigures> {
        let (scope, horizon) = (scope.clone(), *horizon);
        self.db.read(move |c| figures(c, &scope, from, to, &horizon)).await
    }

    async fn snapshot(&self, scope: &Scope, horizon: &Horizon) -> Result<Box<dyn Snapshot>> {
        let db = self.db.snapshot().await?;
        Ok(Box::new(SiteSnapshot { db, scope: scope.clone(), horizon: *horizon }))
    }

    async fn append_audit(&self, event: &AuditEvent) -> Result<()> {
        let event = event.clone();
        self.db.write(Priority::Urgent, move |c| audit::append(c, &event)).await
    }

    async fn audit(
        &self,
        tenant: &Tenant,
        before: Option<(Timestamp, AuditId)>,
        limit: u16,
    ) -> Result<Vec<AuditEvent>> {
        let tenant = tenant.clone();
        self.db.read(move |c| audit::page(c, &tenant, before, limit)).await
    }
}
