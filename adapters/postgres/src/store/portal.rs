//! What operators read and do.

use std::time::Duration;

use async_trait::async_trait;
use privet::contact::{ContactFilter, ContactId, Conversation, ConversationId, NoteId, Owner, Removed};
use privet::portal::{AuditEvent, AuditId};
use privet::store::{
    Horizon, Identification, MessageToStore, PortalStore, SiteFigures, Snapshot, StoredMessage, StoredNote,
};
use privet::{Day, Error, Result, Scope, Tenant, Timestamp};

use super::conversations::{self, advance, lock_with_owner};
use super::rows::{self, conversation_columns, ms, read_conversation};
use super::shown::{SHOWN, bind_shown};
use super::{
    Line, PostgresStore, audit, check_proof, figures, list, listed, messages, notes, shown_contact, snapshot,
    stand_on, writing_contact,
};
use crate::db::{On, Twice, UnitResult, now, read, read_moment, unit};

async fn contents(
    on: &mut On<'_>,
    scope: &Scope,
    id: ContactId,
    horizon: &Horizon,
) -> UnitResult<Option<Removed>> {
    if shown_contact(on, scope, id, horizon).await?.is_none() {
        return Ok(None);
    }
    // With what stands on a consent that ends with it.
    let row = on
        .q("WITH ends AS (SELECT consent_line FROM privet.contacts c WHERE tenant = $1 AND site = $2 AND id = $3 AND kept_on IS NULL
                AND EXISTS (SELECT 1 FROM privet.consent_records r WHERE r.tenant = $1 AND r.site = $2 AND r.id = c.consent)),
              whose AS (SELECT $3::bytea AS id UNION SELECT id FROM privet.contacts WHERE tenant = $1 AND site = $2
                AND erasing IS NULL AND consent_line = (SELECT consent_line FROM ends)),
              owned AS (SELECT id FROM privet.conversations WHERE tenant = $1 AND site = $2 AND owner_kind = $4
                AND owner IN (SELECT id FROM whose) AND erasing IS NULL)
            SELECT (SELECT count(*) FROM whose), (SELECT count(*) FROM owned),
              (SELECT count(*) FROM privet.messages WHERE tenant = $1 AND site = $2 AND conversation IN (SELECT id FROM owned)),
              (SELECT count(*) FROM privet.notes WHERE tenant = $1 AND site = $2 AND contact IN (SELECT id FROM whose))")
        .bind(scope.tenant.as_str())
        .bind(scope.site.as_str())
        .bind(id.as_bytes().as_slice())
        .bind(i16::from(Owner::CONTACT))
        .fetch_one(&mut *on.c)
        .await?;
    let count = |at| rows::number(&row, at);
    let mut contents = Removed::new(count(0)?, count(1)?, count(2)?, 0);
    contents.notes = count(3)?;
    Ok(Some(contents))
}

async fn open_conversations(
    on: &mut On<'_>,
    scope: &Scope,
    limit: u16,
    horizon: &Horizon,
) -> UnitResult<Vec<Conversation>> {
    let sql = format!(
        "SELECT {} FROM privet.conversations c
         WHERE c.tenant = $1 AND c.site = $2 AND c.live_support AND c.closed IS NULL AND {SHOWN}
         ORDER BY c.last_message DESC, c.id DESC LIMIT $8",
        conversation_columns!()
    );
    let query = bind_shown(on.q(sql), scope, horizon).bind(i64::from(limit));
    Ok(rows::all(&query.fetch_all(&mut *on.c).await?, read_conversation)?)
}

async fn answer(
    on: &mut On<'_>,
    scope: &Scope,
    message: &MessageToStore,
    horizon: &Horizon,
) -> UnitResult<StoredMessage> {
    let locked = lock_with_owner(on, scope, message.conversation).await?;
    let found = match locked {
        Some((found, false)) if horizon.shows_conversation(&found) => found,
        _ => return Err(Error::NotFound { what: "conversation" }.into()),
    };
    if let Owner::Contact(contact) = found.owner
        && shown_contact(on, scope, contact, horizon).await?.is_none()
    {
        return Err(Error::NotFound { what: "conversation" }.into());
    }
    if found.closed.is_some() || message.owner.is_some_and(|owner| owner != found.owner) {
        return Err(Error::Conflict { what: "conversation" }.into());
    }
    if let Some(there) = messages::by_id(on, scope, message).await? {
        return Ok(there);
    }
    let number = advance(on, scope, message, false, Some(false)).await?;
    messages::insert(on, scope, message, number).await
}

/// Its conversation is locked meanwhile, so that the id that is kept goes with that.
async fn erase_message(
    on: &mut On<'_>,
    scope: &Scope,
    conversation: ConversationId,
    number: u32,
) -> UnitResult<bool> {
    match lock_with_owner(on, scope, conversation).await? {
        Some((_, false)) => messages::erase(on, scope, conversation, number).await,
        _ => Ok(false),
    }
}

async fn set_blocked(
    on: &mut On<'_>,
    scope: &Scope,
    id: ContactId,
    blocked: bool,
    horizon: &Horizon,
) -> UnitResult<bool> {
    let set = on
        .q("UPDATE privet.contacts SET blocked = $4 WHERE tenant = $1 AND site = $2 AND id = $3
              AND erasing IS NULL AND frozen_until IS NULL AND last_seen >= $5 AND consent_until > $6")
        .bind(scope.tenant.as_str())
        .bind(scope.site.as_str())
        .bind(id.as_bytes().as_slice())
        .bind(blocked)
        .bind(ms(horizon.contacts))
        .bind(ms(horizon.now))
        .execute(&mut *on.c)
        .await?;
    Ok(set.rows_affected() > 0)
}

async fn identify(on: &mut On<'_>, identification: &Identification, horizon: &Horizon) -> UnitResult<()> {
    let Identification { contacts, identity, id, epoch, subject, known_as, at } = identification;
    let scope = contacts.scope();
    let record = check_proof(on, scope, contacts, *at, Line::Together).await?;
    if check_proof(on, scope, identity, *at, Line::Together).await?.subject != record.subject {
        return Err(identity.refused().into());
    }
    let line = writing_contact(on, scope, (*id, *epoch, *subject), horizon).await?;
    stand_on(on, scope, (*id, line), &record, contacts.category()).await?;
    on.q("UPDATE privet.contacts SET identity = $4, identity_text = $5 WHERE tenant = $1 AND site = $2 AND id = $3")
        .bind(scope.tenant.as_str())
        .bind(scope.site.as_str())
        .bind(id.as_bytes().as_slice())
        .bind(known_as.digest.as_bytes().as_slice())
        .bind(known_as.sealed.as_bytes())
        .execute(&mut *on.c)
        .await?;
    Ok(())
}

#[async_trait]
impl PortalStore for PostgresStore {
    async fn count_contacts(
        &self,
        scope: &Scope,
        filter: &ContactFilter,
        as_of: Timestamp,
        cap: u32,
        horizon: &Horizon,
    ) -> Result<u32> {
        if filter.looks_for_somebody() {
            return read!(self.db, scope, on => list::count(on, scope, filter, as_of, cap, horizon));
        }
        listed!(self, scope, read, on => list::count(on, scope, filter, as_of, cap, horizon))
    }

    async fn contact_contents(
        &self,
        scope: &Scope,
        id: ContactId,
        horizon: &Horizon,
    ) -> Result<Option<Removed>> {
        read_moment!(self.db, scope, on => contents(on, scope, id, horizon))
    }

    async fn conversation(
        &self,
        scope: &Scope,
        id: ConversationId,
        horizon: &Horizon,
    ) -> Result<Option<Conversation>> {
        read!(self.db, scope, on => conversations::shown(on, scope, id, horizon))
    }

    async fn open_conversations(
        &self,
        scope: &Scope,
        limit: u16,
        horizon: &Horizon,
    ) -> Result<Vec<Conversation>> {
        read!(self.db, scope, on => open_conversations(on, scope, limit, horizon))
    }

    async fn answer(
        &self,
        scope: &Scope,
        message: &MessageToStore,
        horizon: &Horizon,
    ) -> Result<StoredMessage> {
        unit!(self.db, scope, Twice::Harmless, on => answer(on, scope, message, horizon))
    }

    async fn erase_message(&self, scope: &Scope, conversation: ConversationId, number: u32) -> Result<bool> {
        unit!(self.db, scope, Twice::Never, on => erase_message(on, scope, conversation, number))
    }

    async fn set_blocked(
        &self,
        scope: &Scope,
        id: ContactId,
        blocked: bool,
        horizon: &Horizon,
    ) -> Result<bool> {
        unit!(self.db, scope, Twice::Harmless, on => set_blocked(on, scope, id, blocked, horizon))
    }

    async fn identify_contact(&self, identification: &Identification, horizon: &Horizon) -> Result<()> {
        unit!(self.db, identification.contacts.scope(), Twice::Harmless, on => identify(on, identification, horizon))
    }

    async fn add_note(&self, scope: &Scope, note: &StoredNote, horizon: &Horizon) -> Result<()> {
        unit!(self.db, scope, Twice::Harmless, on => notes::add(on, scope, note, horizon))
    }

    async fn notes(&self, scope: &Scope, contact: ContactId, horizon: &Horizon) -> Result<Vec<StoredNote>> {
        read!(self.db, scope, on => notes::of(on, scope, contact, horizon))
    }

    async fn erase_note(&self, scope: &Scope, contact: ContactId, note: NoteId) -> Result<bool> {
        unit!(self.db, scope, Twice::Never, on => notes::erase(on, scope, contact, note))
    }

    async fn lists_behind(&self) -> Result<Option<Duration>> {
        Ok(self.reading().await.map(|replica| replica.behind(now())))
    }

    async fn figures(&self, scope: &Scope, from: Day, to: Day, horizon: &Horizon) -> Result<SiteFigures> {
        let unhurried = &Self { db: self.db.unhurried(), ..self.clone() };
        listed!(unhurried, scope, read_moment, on => figures::of(on, scope, from, to, horizon))
    }

    async fn snapshot(&self, scope: &Scope, horizon: &Horizon) -> Result<Box<dyn Snapshot>> {
        if let Some(replica) = self.reading().await
            && replica.takes_exports(now())
        {
            let opened = snapshot::open(&replica.db, Some(replica), &self.moments, scope, horizon).await;
            if let Some(opened) = replica.settle(opened) {
                return opened;
            }
        }
        let mut opened = snapshot::open(&self.db, None, &self.moments, scope, horizon).await;
        if opened.as_ref().is_err_and(|error| !error.leaves_the_connection()) {
            // Nothing happened yet; what else lies idle was lost as well, most likely.
            self.db.withdraw_trust();
            opened = snapshot::open(&self.db, None, &self.moments, scope, horizon).await;
        }
        snapshot::opened(opened)
    }

    async fn append_audit(&self, event: &AuditEvent) -> Result<()> {
        unit!(self.db, &event.tenant, Twice::Harmless, on => audit::append(on, event))
    }

    async fn audit(
        &self,
        tenant: &Tenant,
        before: Option<(Timestamp, AuditId)>,
        limit: u16,
    ) -> Result<Vec<AuditEvent>> {
        listed!(self, tenant, read, on => audit::of(on, tenant, before, limit))
    }
}
