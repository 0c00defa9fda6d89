//! Operators' notes on a contact. They go with it, so whoever writes one locks it.

use privet::contact::{ContactId, NoteId, Sealed};
use privet::store::{Horizon, MAX_NOTES, StoredNote};
use privet::{Error, Scope};
use sqlx::Row as _;

use super::rows::{self, bytes, ms, time};
use super::{locks, shown_contact};
use crate::db::{On, UnitResult};

pub(super) async fn add(
    on: &mut On<'_>,
    scope: &Scope,
    note: &StoredNote,
    horizon: &Horizon,
) -> UnitResult<()> {
    locks::contacts(on, &scope.tenant, &[(scope.site.as_str(), note.contact)]).await?;
    shown_contact(on, scope, note.contact, horizon).await?.ok_or(Error::NotFound { what: "contact" })?;
    let there = on
        .q("SELECT count(*), coalesce(bool_or(id = $4), FALSE) FROM privet.notes WHERE tenant = $1 AND site = $2 AND contact = $3")
        .bind(scope.tenant.as_str())
        .bind(scope.site.as_str())
        .bind(note.contact.as_bytes().as_slice())
        .bind(note.id.as_bytes().as_slice())
        .fetch_one(&mut *on.c)
        .await?;
    if there.try_get(1)? {
        return Ok(());
    }
    if there.try_get::<i64, _>(0)? >= i64::from(MAX_NOTES) {
        return Err(Error::Conflict { what: "the contact's notes" }.into());
    }
    on.q("INSERT INTO privet.notes (tenant, site, contact, id, at, author, body) VALUES ($1, $2, $3, $4, $5, $6, $7)")
        .bind(scope.tenant.as_str())
        .bind(scope.site.as_str())
        .bind(note.contact.as_bytes().as_slice())
        .bind(note.id.as_bytes().as_slice())
        .bind(ms(note.at))
        .bind(note.author.as_str())
        .bind(note.body.as_bytes())
        .execute(&mut *on.c)
        .await?;
    Ok(())
}

pub(super) async fn of(
    on: &mut On<'_>,
    scope: &Scope,
    contact: ContactId,
    horizon: &Horizon,
) -> UnitResult<Vec<StoredNote>> {
    let rows = on
        .q("SELECT n.id, n.at, n.author, n.body FROM privet.notes n
            JOIN privet.contacts o ON o.tenant = n.tenant AND o.site = n.site AND o.id = n.contact
            WHERE n.tenant = $1 AND n.site = $2 AND n.contact = $3
              AND o.erasing IS NULL AND o.frozen_until IS NULL AND o.last_seen >= $4 AND o.consent_until > $5
            ORDER BY n.at, n.id")
        .bind(scope.tenant.as_str())
        .bind(scope.site.as_str())
        .bind(contact.as_bytes().as_slice())
        .bind(ms(horizon.contacts))
        .bind(ms(horizon.now))
        .fetch_all(&mut *on.c)
        .await?;
    Ok(rows::all(&rows, |row| {
        Ok(StoredNote {
            id: NoteId::from_bytes(bytes(row, 0)?),
            contact,
            at: time(row, 1)?,
            author: row.try_get(2)?,
            body: Sealed::from_bytes(row.try_get(3)?),
        })
    })?)
}

pub(super) async fn erase(
    on: &mut On<'_>,
    scope: &Scope,
    contact: ContactId,
    note: NoteId,
) -> UnitResult<bool> {
    let gone = on
        .q("DELETE FROM privet.notes WHERE tenant = $1 AND site = $2 AND contact = $3 AND id = $4")
        .bind(scope.tenant.as_str())
        .bind(scope.site.as_str())
        .bind(contact.as_bytes().as_slice())
        .bind(note.as_bytes().as_slice())
        .execute(&mut *on.c)
        .await?;
    Ok(gone.rows_affected() > 0)
}
