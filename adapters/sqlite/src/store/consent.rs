use async_trait::async_trait;
use privet::catalogue::{CategoryCode, Language, NewStatement, StatementVersion};
use privet::consent::{
    Act, ConsentCount, ConsentRecord, NoticeId, NoticeSnapshot, RecordId, RecordedDecision,
};
use privet::contact::ContactId;
use privet::store::{
    AppendedRecord, ChainLink, Chained, ConsentProof, ConsentStore, CountBatch, Erasing, ErasingKind,
    KeptRecord, NEVER_LAPSES, NewRecord, Salt, Severed, SubjectDigest, joining_line, notifications_of,
};
use privet::{Day, Result, Scope, Tenant, Timestamp};
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::outbox;
use super::retention::read_erasing;
use super::{
    RECORD, SqliteStore, column, counts, held, latest_of_line, mark_contacts, ms, read_record, record,
    site_scope, time,
};
use crate::db::{Priority, UnitResult};

const LINK: &str = "l.segment, l.seq, l.until, l.digest, l.hash";

/// A link whose columns begin at one.
fn read_link(row: &Row<'_>, from: usize) -> rusqlite::Result<ChainLink> {
    Ok(ChainLink {
        segment: row.get(from)?,
        seq: column(row, from + 1, "seq", |seq: i64| u64::try_from(seq).ok())?,
        until: time(row, from + 2)?,
        digest: row.get(from + 3)?,
        hash: row.get(from + 4)?,
    })
}

fn last_link(c: &Connection, tenant: &str) -> UnitResult<Option<ChainLink>> {
    let sql = format!(
        "SELECT {LINK} FROM consent_links l WHERE tenant = ?1 ORDER BY segment DESC, seq DESC LIMIT 1"
    );
    Ok(c.prepare_cached(&sql)?.query_row([tenant], |row| read_link(row, 0)).optional()?)
}

fn insert(c: &Connection, r: &ConsentRecord) -> UnitResult<()> {
    let tenant = r.scope.tenant.as_str();
    let (link, salt) = ChainLink::after(last_link(c, tenant)?.as_ref(), r)?;
    let seq = i64::try_from(link.seq).unwrap_or(i64::MAX);
    c.prepare_cached(
        "INSERT INTO consent_links (tenant, segment, seq, until, digest, hash) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute(params![tenant, link.segment, seq, ms(link.until), link.digest, link.hash])?;
    c.prepare_cached(
        "INSERT INTO consent_records
         (tenant, segment, seq, site, id, subject, act, at, until, notice, language, regime, method, gesture, gpc, decisions, salt)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)",
    )?
    .execute(params![
        tenant,
        link.segment,
        seq,
        r.scope.site.as_str(),
        r.id.as_bytes(),
        r.subject.as_bytes(),
        r.act.code(),
        ms(r.at),
        ms(r.until),
        r.notice.as_bytes(),
        r.language.as_str(),
        r.regime.rules().code,
        r.method.code(),
        r.gesture,
        r.gpc,
        RecordedDecision::all_to_bytes(&r.decisions),
        salt.as_bytes(),
    ])?;
    Ok(())
}

/// What a record has is null when it is purged.
fn chain(c: &Connection, tenant: &Tenant, after: Option<&ChainLink>, limit: u16) -> UnitResult<Vec<Chained>> {
    let sql = format!(
        "SELECT {RECORD}, site, salt, commitment, {LINK}
         FROM consent_links l LEFT JOIN consent_records r USING (tenant, segment, seq)
         WHERE tenant = ?1 AND (segment, seq) > (?2, ?3) ORDER BY segment, seq LIMIT ?4"
    )
    .replace("until, notice", "r.until, notice");
    let (segment, seq) =
        after.map_or((i64::MIN, 0), |l| (l.segment, i64::try_from(l.seq).unwrap_or(i64::MAX)));
    let mut statement = c.prepare_cached(&sql)?;
    let rows = statement.query_map(params![tenant.as_str(), segment, seq, limit], |row| {
        let whole = || -> rusqlite::Result<KeptRecord> {
            let record = read_record(&site_scope(tenant, row.get(12)?)?, row)?;
            Ok(match row.get(14)? {
                Some(commitment) => KeptRecord::Severed(Box::new(record), commitment),
                None => KeptRecord::Whole(Box::new(record), Salt::from_bytes(row.get(13)?)),
            })
        };
        let record = match row.get_ref(0)?.data_type() {
            Type::Null => KeptRecord::Gone,
            _ => whole().unwrap_or(KeptRecord::Unreadable),
        };
        Ok(Chained::new(read_link(row, 15)?, record))
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Cuts up to `max` records of a contact's line from their person, oldest first: all that ended with the consent. How
/// many it cut, and whether that was all.
pub(super) fn sever(c: &Connection, scope: &Scope, line: SubjectDigest, max: u32) -> UnitResult<(u64, bool)> {
    let (tenant, site) = (scope.tenant.as_str(), scope.site.as_str());
    let due: Vec<(i64, i64, [u8; 16], [u8; 16])> = c
        .prepare_cached(
            "SELECT segment, seq, id, salt FROM consent_records
             WHERE tenant = ?1 AND site = ?2 AND subject = ?3 AND seq <=
               (SELECT max(seq) FROM consent_records WHERE tenant = ?1 AND site = ?2 AND subject = ?3 AND act <> ?4 AND act <> ?6)
             ORDER BY seq LIMIT ?5",
        )?
        .query_map(
            params![tenant, site, line.as_bytes(), Act::Grant.code(), i64::from(max) + 1, Act::Refusal.code()],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)),
        )?
        .collect::<rusqlite::Result<_>>()?;
    let mut cut = c.prepare_cached(
        "UPDATE consent_records SET id = ?4, subject = ?5, salt = zeroblob(16), commitment = ?6
         WHERE tenant = ?1 AND segment = ?2 AND seq = ?3",
    )?;
    let mut severed = 0;
    for (segment, seq, id, salt) in due.iter().take(max as usize) {
        let new = Severed::of(RecordId::from_bytes(*id), line, Salt::from_bytes(*salt))?;
        severed += cut.execute(params![
            tenant,
            segment,
            seq,
            new.id.as_bytes(),
            new.subject.as_bytes(),
            new.commitment
        ])? as u64;
    }
    Ok((severed, due.len() <= max as usize))
}

/// When the last record of a line lapses.
fn line_until(c: &Connection, scope: &Scope, line: SubjectDigest) -> UnitResult<Timestamp> {
    let sql = "SELECT max(until) FROM consent_records WHERE tenant = ?1 AND site = ?2 AND subject = ?3";
    let last = c
        .prepare_cached(sql)?
        .query_row(params![scope.tenant.as_str(), scope.site.as_str(), line.as_bytes()], |row| row.get(0))?;
    Ok(Timestamp::from_millis(last))
}

/// What was appended, and whether an identity was forgotten with it.
fn append(
    c: &Connection,
    new: &NewRecord,
    contacts: CategoryCode,
    fence_until: Timestamp,
) -> UnitResult<(AppendedRecord, bool)> {
    let scope = new.record.scope.clone();
    if let Some(there) = record(c, &scope, new.record.id)? {
        let marked = if there.grants(contacts, there.at) { Vec::new() } else { marked_of_line(c, &there)? };
        return Ok((AppendedRecord::new(there, marked), false));
    }
    let followed = new.follows.map(|id| record(c, &scope, id)).transpose()?.flatten();
    let latest = followed.map(|f| latest_of_line(c, &scope, f.subject)).transpose()?.flatten();
    let line_until = latest.as_ref().map(|l| line_until(c, &scope, l.subject)).transpose()?;
    let before = latest.clone();
    let r = match (joining_line(new.record.clone(), latest.as_ref(), line_until), latest) {
        (Some(record), _) => record,
        (None, Some(latest)) => return Ok((AppendedRecord::new(latest, Vec::new()), false)),
        (None, None) => new.record.clone(),
    };
    insert(c, &r)?;
    outbox::insert(c, &notifications_of(&new.notify, before.as_ref(), &r))?;
    let mut forgotten = 0;
    if new.forgets {
        forgotten = c
            .prepare_cached(
                "UPDATE contacts SET identity = NULL, identity_text = NULL
             WHERE tenant = ?1 AND site = ?2 AND consent_line = ?3 AND identity IS NOT NULL",
            )?
            .execute(params![scope.tenant.as_str(), scope.site.as_str(), r.subject.as_bytes()])?;
    }
    let erasing = if r.grants(contacts, r.at) {
        c.prepare_cached(
            "UPDATE contacts SET consent = ?4, consent_until = ?5, material = ?6, frozen_until = NULL, kept_on = NULL
             WHERE tenant = ?1 AND site = ?2 AND consent_line = ?3 AND erasing IS NULL",
        )?
        .execute(params![
            scope.tenant.as_str(),
            scope.site.as_str(),
            r.subject.as_bytes(),
            r.id.as_bytes(),
            ms(r.until),
            r.fingerprint_of(contacts).unwrap_or_default(),
        ])?;
        Vec::new()
    } else if let Some(basis) = new.keeps {
        c.prepare_cached(
            "UPDATE contacts SET kept_on = ?4, consent_until = ?5, frozen_until = NULL
             WHERE tenant = ?1 AND site = ?2 AND consent_line = ?3 AND erasing IS NULL",
        )?
        .execute(params![
            scope.tenant.as_str(),
            scope.site.as_str(),
            r.subject.as_bytes(),
            basis.code(),
            ms(NEVER_LAPSES),
        ])?;
        Vec::new()
    } else {
        let cause = r.act.erasure_cause();
        let values: [&dyn rusqlite::ToSql; 2] = [&scope.site.as_str(), &r.subject.as_bytes()];
        mark_contacts(c, &scope.tenant, "site = ?1 AND consent_line = ?2", &values, cause, fence_until)?
    };
    Ok((AppendedRecord::new(r, erasing), forgotten > 0))
}

/// What is marked among the contacts of a record's line.
fn marked_of_line(c: &Connection, record: &ConsentRecord) -> UnitResult<Vec<Erasing>> {
    let mut statement = c.prepare_cached(
        "SELECT tenant, site, id, subject, erasing FROM contacts
         WHERE tenant = ?1 AND site = ?2 AND consent_line = ?3 AND erasing IS NOT NULL ORDER BY id",
    )?;
    let (tenant, site) = (record.scope.tenant.as_str(), record.scope.site.as_str());
    let contact = |id| ErasingKind::Contact(ContactId::from_bytes(id));
    let marked = statement
        .query_map(params![tenant, site, record.subject.as_bytes()], |row| read_erasing(row, contact))?;
    Ok(marked.collect::<rusqlite::Result<_>>()?)
}

const VERSION: &str = "number, since, hash, body";

fn read_version(row: &Row<'_>) -> rusqlite::Result<StatementVersion> {
    Ok(StatementVersion::new(row.get(0)?, time(row, 1)?, row.get(2)?, row.get(3)?))
}

fn publish_statement(
    c: &Connection,
    scope: &Scope,
    statement: &NewStatement,
    at: Timestamp,
) -> UnitResult<StatementVersion> {
    let (tenant, site) = (scope.tenant.as_str(), scope.site.as_str());
    let sql = format!(
        "SELECT {VERSION} FROM statements WHERE tenant = ?1 AND site = ?2 ORDER BY number DESC LIMIT 1"
    );
    let latest = c.prepare_cached(&sql)?.query_row([tenant, site], read_version).optional()?;
    let number = match latest {
        Some(latest) if latest.hash == statement.hash => return Ok(latest),
        latest => latest.map_or(0, |l| l.number) + 1,
    };
    c.prepare_cached(
        "INSERT INTO statements (tenant, site, number, since, hash, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute(params![tenant, site, number, ms(at), statement.hash, statement.body])?;
    Ok(StatementVersion::new(number, at, statement.hash, statement.body.clone()))
}

#[async_trait]
impl ConsentStore for SqliteStore {
    async fn publish_notice(&self, scope: &Scope, notice: &NoticeSnapshot) -> Result<()> {
        let (scope, notice) = (scope.clone(), notice.clone());
        self.db
            .write(Priority::Urgent, move |c| {
                c.prepare_cached("INSERT OR IGNORE INTO notices (tenant, site, id, language, body) VALUES (?1, ?2, ?3, ?4, ?5)")?
                    .execute(params![
                        scope.tenant.as_str(),
                        scope.site.as_str(),
                        notice.id.as_bytes(),
                        notice.language.as_str(),
                        notice.body,
                    ])?;
                Ok(())
            })
            .await
    }

    async fn notice(&self, scope: &Scope, id: NoticeId) -> Result<Option<NoticeSnapshot>> {
        let scope = scope.clone();
        self.db
            .read(move |c| {
                let found = c
                    .prepare_cached(
                        "SELECT language, body FROM notices WHERE tenant = ?1 AND site = ?2 AND id = ?3",
                    )?
                    .query_row(params![scope.tenant.as_str(), scope.site.as_str(), id.as_bytes()], |row| {
                        let language = column(row, 0, "language", |tag: String| Language::new(tag).ok())?;
                        Ok(NoticeSnapshot::from_parts(id, language, row.get(1)?))
                    })
                    .optional()?;
                Ok(found)
            })
            .await
    }

    async fn publish_statement(
        &self,
        scope: &Scope,
        statement: &NewStatement,
        at: Timestamp,
    ) -> Result<StatementVersion> {
        let (scope, statement) = (scope.clone(), statement.clone());
        self.db.write(Priority::Urgent, move |c| publish_statement(c, &scope, &statement, at)).await
    }

    async fn statements(&self, scope: &Scope) -> Result<Vec<StatementVersion>> {
        let scope = scope.clone();
        self.db
            .read(move |c| {
                let sql = format!(
                    "SELECT {VERSION} FROM statements WHERE tenant = ?1 AND site = ?2 ORDER BY number"
                );
                let mut statement = c.prepare_cached(&sql)?;
                let all = statement.query_map([scope.tenant.as_str(), scope.site.as_str()], read_version)?;
                Ok(all.collect::<rusqlite::Result<_>>()?)
            })
            .await
    }

    async fn append_record(
        &self,
        new: &NewRecord,
        contacts: CategoryCode,
        fence_until: Timestamp,
    ) -> Result<AppendedRecord> {
        let new = new.clone();
        let (appended, forgot) =
            self.db.write(Priority::Urgent, move |c| append(c, &new, contacts, fence_until)).await?;
        if forgot {
            // What was forgotten still stands in the log until it is emptied.
            self.db.checkpoint_soon();
        }
        Ok(appended)
    }

    async fn record(&self, scope: &Scope, id: RecordId) -> Result<Option<ConsentRecord>> {
        let scope = scope.clone();
        self.db.read(move |c| record(c, &scope, id)).await
    }

    async fn latest_record(&self, scope: &Scope, id: RecordId) -> Result<Option<ConsentRecord>> {
        let scope = scope.clone();
        self.db
            .read(move |c| match record(c, &scope, id)? {
                Some(own) => latest_of_line(c, &scope, own.subject),
                None => Ok(None),
            })
            .await
    }

    async fn line_head(&self, scope: &Scope, line: SubjectDigest) -> Result<Option<ConsentRecord>> {
        let scope = scope.clone();
        self.db.read(move |c| latest_of_line(c, &scope, line)).await
    }

    async fn line(&self, scope: &Scope, id: RecordId) -> Result<Vec<ConsentRecord>> {
        let scope = scope.clone();
        self.db
            .read(move |c| {
                let Some(own) = record(c, &scope, id)? else { return Ok(Vec::new()) };
                let sql = format!(
                    "SELECT {RECORD} FROM consent_records
                     WHERE tenant = ?1 AND site = ?2 AND subject = ?3 ORDER BY segment, seq"
                );
                let mut statement = c.prepare_cached(&sql)?;
                let of_line = statement.query_map(
                    params![scope.tenant.as_str(), scope.site.as_str(), own.subject.as_bytes()],
                    |row| read_record(&scope, row),
                )?;
                Ok(of_line.collect::<rusqlite::Result<_>>()?)
            })
            .await
    }

    async fn holds(&self, proof: &ConsentProof, now: Timestamp) -> Result<bool> {
        let proof = proof.clone();
        self.db.read(move |c| Ok(held(c, &proof, now)?.is_some())).await
    }

    async fn chain(&self, tenant: &Tenant, after: Option<&ChainLink>, limit: u16) -> Result<Vec<Chained>> {
        let (tenant, after) = (tenant.clone(), after.copied());
        self.db.read(move |c| chain(c, &tenant, after.as_ref(), limit)).await
    }

    async fn chain_heads(&self) -> Result<Vec<(Tenant, ChainLink)>> {
        self.db
            .read(|c| {
                let mut next = c.prepare_cached("SELECT min(tenant) FROM consent_links WHERE tenant > ?1")?;
                let (mut heads, mut last) = (Vec::new(), String::new());
                while let Some(tenant) = next.query_row([&last], |row| row.get::<_, Option<String>>(0))? {
                    heads.extend(Tenant::new(&tenant).ok().zip(last_link(c, &tenant)?));
                    last = tenant;
                }
                Ok(heads)
            })
            .await
    }

    async fn unchained_records(&self, tenant: &Tenant) -> Result<u64> {
        let tenant = tenant.clone();
        self.db
            .read(move |c| {
                let sql = "SELECT count(*) FROM consent_records r WHERE tenant = ?1 AND NOT EXISTS
                           (SELECT 1 FROM consent_links l WHERE l.tenant = r.tenant AND l.segment = r.segment AND l.seq = r.seq)";
                let count: i64 = c.prepare_cached(sql)?.query_row([tenant.as_str()], |row| row.get(0))?;
                Ok(u64::try_from(count).unwrap_or(0))
            })
            .await
    }

    async fn add_consent_counts(&self, batch: &CountBatch) -> Result<()> {
        let batch = batch.clone();
        self.db.write(Priority::Housekeeping, move |c| counts::add(c, &batch)).await
    }

    async fn consent_counts(&self, scope: &Scope, from: Day, to: Day) -> Result<Vec<ConsentCount>> {
        let scope = scope.clone();
        self.db.read(move |c| counts::read(c, &scope, from, to)).await
    }
}
