//! The units of work in SQL.

mod audit;
mod consent;
mod contacts;
mod conversations;
mod counts;
mod figures;
mod lease;
mod list;
mod outbox;
mod portal;
mod retention;
mod snapshot;

use std::path::PathBuf;

use async_trait::async_trait;
use privet::catalogue::{Language, LegalBasis};
use privet::consent::{Act, ConsentRecord, Method, NoticeId, RecordId, RecordedDecision, Regime};
use privet::contact::{Contact, ContactId, FenceEpoch, Sealed};
use privet::ip::CountryCode;
use privet::key::Fingerprint;
use privet::store::{
    ConsentProof, ContactIdentity, Erasing, ErasingKind, ErasureCause, Horizon, OpenInfo, Store,
    SubjectDigest,
};
use privet::{Error, Result, Scope, Site, Tenant, Timestamp};
use rusqlite::types::{FromSql, Type};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::db::{Db, Priority, UnitResult};
use crate::schema;

pub(crate) const NAME: &str = "sqlite";

/// Everything but keys and ledger in one SQLite file.
#[derive(Debug)]
pub struct SqliteStore {
    db: Db,
}

impl SqliteStore {
    /// Opens a file or creates it, and brings its tables up to date.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it cannot be opened, with the path and what to look at; [`Error::Corrupt`] when it is
    /// no database.
    pub async fn connect(path: impl Into<PathBuf>) -> Result<Self> {
        Ok(Self { db: Db::open(path.into(), NAME, schema::STORE).await? })
    }

    /// Copies the write-ahead log into the file and empties it, so that nothing that was deleted stands in it.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the writing thread is gone.
    pub async fn checkpoint(&self) -> Result<()> {
        self.db.checkpoint().await
    }
}

#[async_trait]
impl Store for SqliteStore {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn open(&self, info: &OpenInfo) -> Result<()> {
        let info = *info;
        self.db
            .write(Priority::Urgent, move |c| {
                let kept: Option<Vec<u8>> =
                    c.query_row("SELECT value FROM meta WHERE key = 'installation-key'", [], |row| row.get(0)).optional()?;
                let kept = kept.and_then(|bytes| bytes.try_into().ok()).map(Fingerprint::from_bytes);
                let keep = info.check(kept)?;
                c.execute(
                    "INSERT INTO meta (key, value) VALUES ('installation-key', ?1) ON CONFLICT (key) DO UPDATE SET value = ?1",
                    params![keep.as_bytes()],
                )?;
                Ok(())
            })
            .await
    }
}

/// A value that a column holds and that is none of ours.
fn unreadable(column: usize, what: &'static str) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Null, what.into())
}

/// A column through a conversion that can fail.
fn column<S: FromSql, T>(
    row: &Row<'_>,
    at: usize,
    what: &'static str,
    read: impl FnOnce(S) -> Option<T>,
) -> rusqlite::Result<T> {
    read(row.get(at)?).ok_or_else(|| unreadable(at, what))
}

fn time(row: &Row<'_>, at: usize) -> rusqlite::Result<Timestamp> {
    row.get(at).map(Timestamp::from_millis)
}

fn ms(t: Timestamp) -> i64 {
    t.as_millis()
}

fn site_scope(tenant: &Tenant, site: String) -> rusqlite::Result<Scope> {
    Site::new(site).map(|site| Scope::new(tenant.clone(), site)).map_err(|_| unreadable(0, "site"))
}

const RECORD: &str = "id, subject, act, at, until, notice, language, regime, method, gesture, gpc, decisions";

fn read_record(scope: &Scope, row: &Row<'_>) -> rusqlite::Result<ConsentRecord> {
    Ok(ConsentRecord {
        scope: scope.clone(),
        id: RecordId::from_bytes(row.get(0)?),
        subject: SubjectDigest::from_bytes(row.get(1)?),
        act: column(row, 2, "act", Act::from_code)?,
        at: time(row, 3)?,
        until: time(row, 4)?,
        notice: NoticeId::from_bytes(row.get(5)?),
        language: column(row, 6, "language", |tag: String| Language::new(tag).ok())?,
        regime: column(row, 7, "regime", Regime::from_code)?,
        method: column(row, 8, "method", Method::from_code)?,
        gesture: row.get(9)?,
        gpc: row.get(10)?,
        decisions: column(row, 11, "decisions", |bytes: Vec<u8>| RecordedDecision::all_from_bytes(&bytes))?,
    })
}

fn record(c: &Connection, scope: &Scope, id: RecordId) -> UnitResult<Option<ConsentRecord>> {
    let sql = const_format_record("WHERE tenant = ?1 AND site = ?2 AND id = ?3");
    let found = c
        .prepare_cached(&sql)?
        .query_row(params![scope.tenant.as_str(), scope.site.as_str(), id.as_bytes()], |row| {
            read_record(scope, row)
        })
        .optional()?;
    Ok(found)
}

/// The latest record of a line.
fn latest_of_line(c: &Connection, scope: &Scope, line: SubjectDigest) -> UnitResult<Option<ConsentRecord>> {
    let sql =
        const_format_record("WHERE tenant = ?1 AND site = ?2 AND subject = ?3 ORDER BY seq DESC LIMIT 1");
    let found = c
        .prepare_cached(&sql)?
        .query_row(params![scope.tenant.as_str(), scope.site.as_str(), line.as_bytes()], |row| {
            read_record(scope, row)
        })
        .optional()?;
    Ok(found)
}

fn const_format_record(condition: &str) -> String {
    format!("SELECT {RECORD} FROM consent_records {condition}")
}

/// The latest record of a proof's line, if the proof holds: rule 3. What stands on the proof stands on that record.
fn held(c: &Connection, proof: &ConsentProof, now: Timestamp) -> UnitResult<Option<ConsentRecord>> {
    let grants = |r: &ConsentRecord| r.grants(proof.category(), now);
    let Some(own) = record(c, proof.scope(), proof.record())?.filter(grants) else { return Ok(None) };
    Ok(latest_of_line(c, proof.scope(), own.subject)?.filter(grants))
}

fn check_proof(
    c: &Connection,
    scope: &Scope,
    proof: &ConsentProof,
    now: Timestamp,
) -> UnitResult<ConsentRecord> {
    if proof.scope() != scope {
        return Err(proof.refused().into());
    }
    Ok(held(c, proof, now)?.ok_or_else(|| proof.refused())?)
}

/// Rule 6.
fn check_fence(c: &Connection, tenant: &Tenant, subject: SubjectDigest, epoch: FenceEpoch) -> UnitResult<()> {
    let fenced = c
        .prepare_cached("SELECT 1 FROM fences WHERE tenant = ?1 AND subject = ?2 AND epoch >= ?3")?
        .exists(params![tenant.as_str(), subject.as_bytes(), epoch.get()])?;
    if fenced { Err(Error::Fenced.into()) } else { Ok(()) }
}

const CONTACT: &str = "id, epoch, subject, country, created, last_seen, conversations, consent, consent_until, material, frozen_until, kept_on, blocked, identity, identity_text";

fn read_contact(row: &Row<'_>) -> rusqlite::Result<Contact> {
    Ok(Contact {
        id: ContactId::from_bytes(row.get(0)?),
        epoch: FenceEpoch::new(row.get(1)?),
        subject: SubjectDigest::from_bytes(row.get(2)?),
        country: row.get::<_, Option<String>>(3)?.and_then(|code| CountryCode::new(&code)),
        created: time(row, 4)?,
        last_seen: time(row, 5)?,
        conversations: row.get(6)?,
        consent: RecordId::from_bytes(row.get(7)?),
        consent_until: time(row, 8)?,
        material: row.get(9)?,
        frozen_until: row.get::<_, Option<i64>>(10)?.map(Timestamp::from_millis),
        kept_on: row
            .get::<_, Option<u8>>(11)?
            .map(|code| LegalBasis::from_code(code).ok_or_else(|| unreadable(11, "kept_on")))
            .transpose()?,
        blocked: row.get(12)?,
        identity: match (row.get::<_, Option<[u8; 16]>>(13)?, row.get(14)?) {
            (Some(digest), Some(sealed)) => Some(ContactIdentity {
                digest: SubjectDigest::from_bytes(digest),
                sealed: Sealed::from_bytes(sealed),
            }),
            _ => None,
        },
    })
}

/// A contact that is there: not marked and within the horizon.
fn shown_contact(
    c: &Connection,
    scope: &Scope,
    id: ContactId,
    horizon: &Horizon,
) -> UnitResult<Option<Contact>> {
    let sql = format!(
        "SELECT {CONTACT} FROM contacts WHERE tenant = ?1 AND site = ?2 AND id = ?3 AND erasing IS NULL"
    );
    let found = c
        .prepare_cached(&sql)?
        .query_row(params![scope.tenant.as_str(), scope.site.as_str(), id.as_bytes()], read_contact)
        .optional()?;
    Ok(found.filter(|contact| horizon.shows_contact(contact)))
}

/// Hides and fences contacts that a condition over `contacts` names.
fn mark_contacts(
    c: &Connection,
    tenant: &Tenant,
    condition: &str,
    values: &[&dyn rusqlite::ToSql],
    cause: ErasureCause,
    until: Timestamp,
) -> UnitResult<Vec<Erasing>> {
    let mut all: Vec<&dyn rusqlite::ToSql> = values.to_vec();
    let (tenant_text, until_ms) = (tenant.as_str(), ms(until));
    all.push(&tenant_text);
    all.push(&until_ms);
    let (t, u) = (values.len() + 1, values.len() + 2);
    c.prepare_cached(&format!(
        "INSERT INTO fences (tenant, subject, epoch, until)
         SELECT tenant, subject, epoch, ?{u} FROM contacts WHERE tenant = ?{t} AND erasing IS NULL AND ({condition})
         ON CONFLICT (tenant, subject) DO UPDATE SET epoch = max(epoch, excluded.epoch), until = max(until, excluded.until)"
    ))?
    .execute(all.as_slice())?;
    let code = cause.code();
    all.pop();
    all.push(&code);
    let sql = format!(
        "UPDATE contacts SET erasing = ?{u} WHERE tenant = ?{t} AND erasing IS NULL AND ({condition})
         RETURNING site, id, subject"
    );
    let mut statement = c.prepare_cached(&sql)?;
    let marked = statement.query_map(all.as_slice(), |row| {
        let kind = ErasingKind::Contact(ContactId::from_bytes(row.get(1)?));
        let subject = SubjectDigest::from_bytes(row.get(2)?);
        Ok(Erasing::new(site_scope(tenant, row.get(0)?)?, kind, Some(subject), cause))
    })?;
    Ok(marked.collect::<rusqlite::Result<_>>()?)
}
