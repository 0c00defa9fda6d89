use std::collections::BTreeMap;

use async_trait::async_trait;
use privet::consent::{Act, RecordedDecision};
use privet::contact::{
    Contact, ContactFilter, ContactId, Conversation, ConversationId, NoteId, Owner, Removed, Sealed, TimeSpan,
};
use privet::ip::CountryCode;
use privet::portal::{AuditEvent, AuditId, Outcome, Verb};
use privet::store::{
    ContactQuery, DayCount, DecisionsByDay, Direction, Horizon, Identification, MAX_NOTES, MessageToStore,
    PortalStore, SiteFigures, Snapshot, StoredMessage, StoredNote, SubjectDigest, sorted_figures,
};
use privet::{Day, Error, Result, Scope, Site, Tenant, Timestamp};
use rusqlite::types::Value;
use rusqlite::{Connection, Row, params, params_from_iter};

use super::conversations::{
    CONVERSATION, insert_message, message_by_id, messages_of, owner_is_there, read_conversation, shown,
    stand_on,
};
use super::{CONTACT, SqliteStore, check_fence, check_proof, column, ms, read_contact, shown_contact, time};
use crate::db::{DbSnapshot, Priority, UnitResult};

/// Conditions with their values.
struct Conditions {
    sql: String,
    values: Vec<Value>,
}

/// From so many digits on an id's beginning leaves so few contacts that they are sorted, not looked for in the list.
const FEW_BY_ID: u8 = 4;

impl Conditions {
    /// Those that a filter puts to contacts that are shown.
    fn of(scope: &Scope, filter: &ContactFilter, as_of: Timestamp, horizon: &Horizon) -> Self {
        let mut all = Self {
            sql: "tenant = ?1 AND site = ?2 AND erasing IS NULL AND frozen_until IS NULL".to_owned(),
            values: vec![scope.tenant.as_str().to_owned().into(), scope.site.as_str().to_owned().into()],
        };
        let few = filter.id.is_some_and(|p| p.digits() >= FEW_BY_ID);
        // A plus keeps SQLite from choosing an index by the column.
        let (seen, id) = if few { ("+last_seen", "id") } else { ("last_seen", "+id") };
        all.add(&format!("{seen} >= ?"), ms(horizon.contacts));
        all.add("+consent_until > ?", ms(horizon.now));
        if as_of != Timestamp::from_millis(i64::MAX) {
            all.add(&format!("{seen} <= ?"), ms(as_of));
        }
        if let Some(country) = filter.country {
            all.add("country = ?", country.to_string());
        }
        all.span("created", filter.created);
        all.span(seen, filter.last_seen);
        if let Some(prefix) = &filter.id {
            let (low, high) = prefix.bounds();
            all.add(&format!("{id} >= ?"), low.as_bytes().to_vec());
            all.add(&format!("{id} <= ?"), high.as_bytes().to_vec());
        }
        if let Some(identity) = &filter.identity {
            all.add("identity = ?", identity.as_bytes().to_vec());
        }
        if filter.open_conversation {
            let contacts = Owner::CONTACT;
            let open = format!(
                "EXISTS (SELECT 1 FROM conversations AS c WHERE c.tenant = contacts.tenant AND c.site = contacts.site
                 AND c.owner_kind = {contacts} AND c.owner = contacts.id AND c.closed IS NULL AND c.erasing IS NULL
                 AND c.last_message >= ?)"
            );
            all.add(&open, ms(horizon.conversations));
        }
        all
    }

    fn span(&mut self, column: &str, span: TimeSpan) {
        if let Some(from) = span.from {
            self.add(&format!("{column} >= ?"), ms(from));
        }
        if let Some(before) = span.before {
            self.add(&format!("{column} < ?"), ms(before));
        }
    }

    /// One more, whose value stands for its `?`.
    fn add(&mut self, condition: &str, value: impl Into<Value>) {
        self.values.push(value.into());
        let place = format!("?{}", self.values.len());
        self.sql.push_str(" AND ");
        self.sql.push_str(&condition.replace('?', &place));
    }
}

pub(super) fn page(
    c: &Connection,
    scope: &Scope,
    query: &ContactQuery,
    horizon: &Horizon,
) -> UnitResult<Vec<Contact>> {
    let mut conditions = Conditions::of(scope, &query.filter, query.as_of, horizon);
    let (than, order) = match query.direction {
        Direction::Older => ("<", "DESC"),
        Direction::Newer => (">", "ASC"),
    };
    let seen =
        if query.filter.id.is_some_and(|p| p.digits() >= FEW_BY_ID) { "+last_seen" } else { "last_seen" };
    if let Some(after) = query.after {
        conditions.values.push(ms(after.last_seen).into());
        conditions.values.push(after.id.as_bytes().to_vec().into());
        let n = conditions.values.len();
        conditions.sql.push_str(&format!(" AND ({seen}, id) {than} (?{}, ?{n})", n - 1));
    }
    let sql = format!(
        "SELECT {CONTACT} FROM contacts WHERE {} ORDER BY {seen} {order}, id {order} LIMIT {}",
        conditions.sql, query.limit
    );
    let mut statement = c.prepare_cached(&sql)?;
    let rows = statement.query_map(params_from_iter(conditions.values), read_contact)?;
    let mut contacts: Vec<_> = rows.collect::<rusqlite::Result<_>>()?;
    if query.direction == Direction::Newer {
        contacts.reverse();
    }
    Ok(contacts)
}

fn count(
    c: &Connection,
    scope: &Scope,
    filter: &ContactFilter,
    as_of: Timestamp,
    cap: u32,
    horizon: &Horizon,
) -> UnitResult<u32> {
    let conditions = Conditions::of(scope, filter, as_of, horizon);
    let sql = format!("SELECT count(*) FROM (SELECT 1 FROM contacts WHERE {} LIMIT {cap})", conditions.sql);
    Ok(c.prepare_cached(&sql)?.query_row(params_from_iter(conditions.values), |row| row.get(0))?)
}

fn contents(c: &Connection, scope: &Scope, id: ContactId, horizon: &Horizon) -> UnitResult<Option<Removed>> {
    if shown_contact(c, scope, id, horizon)?.is_none() {
        return Ok(None);
    }
    let counted = |sql: &str| -> UnitResult<u64> {
        let values = params![scope.tenant.as_str(), scope.site.as_str(), id.as_bytes()];
        Ok(c.prepare_cached(sql)?.query_row(values, |row| number(row, 0))?)
    };
    let owned = format!("owner_kind = {} AND owner = ?3 AND erasing IS NULL", Owner::CONTACT);
    let conversations =
        counted(&format!("SELECT count(*) FROM conversations WHERE tenant = ?1 AND site = ?2 AND {owned}"))?;
    let messages = counted(&format!(
        "SELECT count(*) FROM conversations AS o JOIN messages AS m
         ON m.tenant = o.tenant AND m.site = o.site AND m.conversation = o.id
         WHERE o.tenant = ?1 AND o.site = ?2 AND {owned}"
    ))?;
    let mut contents = Removed::new(1, conversations, messages, 0);
    contents.notes = counted("SELECT count(*) FROM notes WHERE tenant = ?1 AND site = ?2 AND contact = ?3")?;
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

/// A count.
fn number(row: &Row<'_>, at: usize) -> rusqlite::Result<u64> {
    column(row, at, "count", |n: i64| u64::try_from(n).ok())
}

const DAY_MS: i64 = 86_400_000;

/// How many rows there are per day of a column, of those that a condition over the table keeps.
fn by_day(
    c: &Connection,
    sql: &str,
    scope: &Scope,
    (from, before): (i64, i64),
    rest: &[i64],
) -> UnitResult<Vec<DayCount>> {
    let mut values: Vec<Value> = vec![
        scope.tenant.as_str().to_owned().into(),
        scope.site.as_str().to_owned().into(),
        from.into(),
        before.into(),
    ];
    values.extend(rest.iter().copied().map(Value::from));
    let mut statement = c.prepare_cached(sql)?;
    let rows = statement.query_map(params_from_iter(values), |row| {
        Ok(DayCount { day: Day::from_number(row.get(0)?), count: number(row, 1)? })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn figures(c: &Connection, scope: &Scope, from: Day, to: Day, horizon: &Horizon) -> UnitResult<SiteFigures> {
    let (tenant, site) = (scope.tenant.as_str(), scope.site.as_str());
    let span = (ms(from.start()), ms(to.start()) + DAY_MS);
    let is_shown = "erasing IS NULL AND frozen_until IS NULL AND last_seen >= ?5 AND consent_until > ?6";
    let countries = c
        .prepare_cached(
            "SELECT country, count(*) FROM contacts WHERE tenant = ?1 AND site = ?2
             AND erasing IS NULL AND frozen_until IS NULL AND last_seen >= ?3 AND consent_until > ?4 GROUP BY country",
        )?
        .query_map(params![tenant, site, ms(horizon.contacts), ms(horizon.now)], |row| {
            Ok((row.get::<_, Option<String>>(0)?.and_then(|code| CountryCode::new(&code)), number(row, 1)?))
        })?
        .collect::<rusqlite::Result<_>>()?;
    let contacts = by_day(
        c,
        &format!(
            "SELECT created / {DAY_MS}, count(*) FROM contacts
             WHERE tenant = ?1 AND site = ?2 AND created >= ?3 AND created < ?4 AND {is_shown} GROUP BY 1"
        ),
        scope,
        span,
        &[ms(horizon.contacts), ms(horizon.now)],
    )?;
    let mut conversations = BTreeMap::<Day, u64>::new();
    let mut opened = c.prepare_cached(&format!(
        "SELECT {CONVERSATION} FROM conversations
         WHERE tenant = ?1 AND site = ?2 AND opened >= ?3 AND opened < ?4 AND erasing IS NULL"
    ))?;
    for row in opened.query_map(params![tenant, site, span.0, span.1], read_conversation)? {
        let conversation = row?;
        if horizon.shows_conversation(&conversation) && owner_is_there(c, scope, conversation.owner, horizon)?
        {
            *conversations.entry(conversation.opened.day()).or_default() += 1;
        }
    }
    let mut decisions = DecisionsByDay::default();
    let mut records = c.prepare_cached(
        "SELECT act, at, decisions FROM consent_records WHERE tenant = ?1 AND site = ?2 AND at >= ?3 AND at < ?4",
    )?;
    let rows = records.query_map(params![tenant, site, span.0, span.1], |row| {
        let decided = column(row, 2, "decisions", |bytes: Vec<u8>| RecordedDecision::all_from_bytes(&bytes))?;
        Ok((column(row, 0, "act", Act::from_code)?, time(row, 1)?, decided))
    })?;
    for row in rows {
        let (act, at, decided) = row?;
        decisions.count(act, at, &decided);
    }
    let conversations = conversations.into_iter().map(|(day, count)| DayCount { day, count }).collect();
    Ok(sorted_figures(SiteFigures { countries, contacts, conversations, decisions: decisions.finish() }))
}

const EVENT: &str = "id, site, at, operator, verb, subject, outcome";

fn read_event(tenant: &Tenant, row: &Row<'_>) -> rusqlite::Result<AuditEvent> {
    let site = match row.get::<_, Option<String>>(1)? {
        Some(_) => Some(column(row, 1, "site", |site: String| Site::new(site).ok())?),
        None => None,
    };
    Ok(AuditEvent::new(
        AuditId::from_bytes(row.get(0)?),
        tenant.clone(),
        site,
        time(row, 2)?,
        row.get(3)?,
        column(row, 4, "verb", Verb::from_code)?,
        row.get::<_, Option<[u8; 16]>>(5)?.map(SubjectDigest::from_bytes),
        column(row, 6, "outcome", Outcome::from_code)?,
    ))
}

fn append_audit(c: &Connection, event: &AuditEvent) -> UnitResult<()> {
    c.prepare_cached(
        "INSERT OR IGNORE INTO audit_events (tenant, id, site, at, operator, verb, subject, outcome)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?
    .execute(params![
        event.tenant.as_str(),
        event.id.as_bytes(),
        event.site.as_ref().map(Site::as_str),
        ms(event.at),
        event.operator,
        event.verb.code(),
        event.subject.as_ref().map(SubjectDigest::as_bytes),
        event.outcome.code(),
    ])?;
    Ok(())
}

fn audit(
    c: &Connection,
    tenant: &Tenant,
    before: Option<(Timestamp, AuditId)>,
    limit: u16,
) -> UnitResult<Vec<AuditEvent>> {
    // A place before every event, where the first page begins.
    let (at, id) = before.map_or((i64::MAX, [0xff; 16]), |(at, id)| (ms(at), *id.as_bytes()));
    let sql = format!(
        "SELECT {EVENT} FROM audit_events WHERE tenant = ?1 AND (at, id) < (?2, ?3) ORDER BY at DESC, id DESC LIMIT ?4"
    );
    let mut statement = c.prepare_cached(&sql)?;
    let rows = statement.query_map(params![tenant.as_str(), at, id, limit], |row| read_event(tenant, row))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn purge_audit(c: &Connection, tenant: &Tenant, before: Timestamp, max: u32) -> UnitResult<u32> {
    let due: Vec<[u8; 16]> = c
        .prepare_cached("SELECT id FROM audit_events WHERE tenant = ?1 AND at < ?2 ORDER BY at LIMIT ?3")?
        .query_map(params![tenant.as_str(), ms(before), max], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let mut delete = c.prepare_cached("DELETE FROM audit_events WHERE tenant = ?1 AND id = ?2")?;
    for id in &due {
        delete.execute(params![tenant.as_str(), id])?;
    }
    Ok(u32::try_from(due.len()).unwrap_or(u32::MAX))
}

/// One moment of a site.
#[derive(Debug)]
struct SiteSnapshot {
    db: DbSnapshot,
    scope: Scope,
    horizon: Horizon,
}

#[async_trait]
impl Snapshot for SiteSnapshot {
    async fn contacts(&mut self, after: Option<ContactId>, limit: u16) -> Result<Vec<Contact>> {
        let (scope, horizon) = (self.scope.clone(), self.horizon);
        let from = after.map_or_else(|| vec![0_u8; 0], |id| id.as_bytes().to_vec());
        self.db
            .read(move |c| {
                let sql = format!(
                    "SELECT {CONTACT} FROM contacts WHERE tenant = ?1 AND site = ?2 AND id > ?3
                     AND +last_seen >= ?4 AND +consent_until > ?5 AND +erasing IS NULL AND +frozen_until IS NULL
                     ORDER BY id LIMIT ?6"
                );
                let mut statement = c.prepare_cached(&sql)?;
                let rows = statement.query_map(
                    params![
                        scope.tenant.as_str(),
                        scope.site.as_str(),
                        from,
                        ms(horizon.contacts),
                        ms(horizon.now),
                        limit
                    ],
                    read_contact,
                )?;
                Ok(rows.collect::<rusqlite::Result<_>>()?)
            })
            .await
    }

    async fn conversations(
        &mut self,
        after: Option<ConversationId>,
        limit: u16,
    ) -> Result<Vec<Conversation>> {
        let (scope, horizon) = (self.scope.clone(), self.horizon);
        let from = after.map_or_else(|| vec![0_u8; 0], |id| id.as_bytes().to_vec());
        self.db
            .read(move |c| {
                let sql = format!(
                    "SELECT {CONVERSATION} FROM conversations
                     WHERE tenant = ?1 AND site = ?2 AND id > ?3 AND +erasing IS NULL ORDER BY id"
                );
                let mut statement = c.prepare_cached(&sql)?;
                let rows = statement.query_map(
                    params![scope.tenant.as_str(), scope.site.as_str(), from],
                    read_conversation,
                )?;
                let mut all = Vec::new();
                for row in rows {
                    let conversation = row?;
                    if horizon.shows_conversation(&conversation)
                        && owner_is_there(c, &scope, conversation.owner, &horizon)?
                    {
                        all.push(conversation);
                        if all.len() >= limit.into() {
                            break;
                        }
                    }
                }
                Ok(all)
            })
            .await
    }

    async fn messages(
        &mut self,
        conversation: ConversationId,
        after: u32,
        limit: u16,
    ) -> Result<Vec<StoredMessage>> {
        let (scope, horizon) = (self.scope.clone(), self.horizon);
        self.db.read(move |c| messages_of(c, &scope, conversation, after, limit, &horizon)).await
    }
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
        let gone = self
            .db
            .write(Priority::Urgent, move |c| {
                let gone = c
                    .prepare_cached(
                        "DELETE FROM messages WHERE tenant = ?1 AND site = ?2 AND conversation = ?3 AND number = ?4
                         AND EXISTS (SELECT 1 FROM conversations WHERE tenant = ?1 AND site = ?2 AND id = ?3 AND erasing IS NULL)",
                    )?
                    .execute(params![
                        scope.tenant.as_str(),
                        scope.site.as_str(),
                        conversation.as_bytes(),
                        number
                    ])?;
                Ok(gone > 0)
            })
            .await?;
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
        self.db.write(Priority::Urgent, move |c| append_audit(c, &event)).await
    }

    async fn audit(
        &self,
        tenant: &Tenant,
        before: Option<(Timestamp, AuditId)>,
        limit: u16,
    ) -> Result<Vec<AuditEvent>> {
        let tenant = tenant.clone();
        self.db.read(move |c| audit(c, &tenant, before, limit)).await
    }
}
