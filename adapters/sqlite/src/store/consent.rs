use async_trait::async_trait;
use privet::catalogue::{CategoryCode, Language};
use privet::consent::{ConsentRecord, NoticeId, NoticeSnapshot, RecordId};
use privet::store::{AppendedRecord, ConsentProof, ConsentStore, NewRecord, SubjectDigest, joining_line};
use privet::{Result, Scope, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{SqliteStore, column, held, latest_of_line, mark_contacts, ms, record, write_decisions};
use crate::db::{Priority, UnitResult};

/// The month that an instant lies in, counted from 1970: a segment.
fn month(c: &Connection, at: Timestamp) -> UnitResult<i64> {
    let sql = "SELECT (CAST(strftime('%Y', ?1, 'unixepoch') AS INTEGER) - 1970) * 12 + CAST(strftime('%m', ?1, 'unixepoch') AS INTEGER) - 1";
    Ok(c.prepare_cached(sql)?.query_row([ms(at).div_euclid(1000)], |row| row.get(0))?)
}

fn insert(c: &Connection, r: &ConsentRecord) -> UnitResult<()> {
    let tenant = r.scope.tenant.as_str();
    // The order of appending counts, so a record that comes late does not go back to a segment that ended.
    let last: Option<(i64, i64)> = c
        .prepare_cached("SELECT segment, seq FROM consent_records WHERE tenant = ?1 ORDER BY segment DESC, seq DESC LIMIT 1")?
        .query_row([tenant], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let (last_segment, last_seq) = last.unwrap_or((i64::MIN, 0));
    let segment = month(c, r.at)?.max(last_segment);
    c.prepare_cached(
        "INSERT INTO consent_records
         (tenant, segment, seq, site, id, subject, act, at, until, notice, language, regime, method, gesture, gpc, decisions)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)",
    )?
    .execute(params![
        tenant,
        segment,
        last_seq + 1,
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
        write_decisions(&r.decisions),
    ])?;
    Ok(())
}

/// When the last record of a line lapses.
fn line_until(c: &Connection, scope: &Scope, line: SubjectDigest) -> UnitResult<Timestamp> {
    let sql = "SELECT max(until) FROM consent_records WHERE tenant = ?1 AND site = ?2 AND subject = ?3";
    let last = c
        .prepare_cached(sql)?
        .query_row(params![scope.tenant.as_str(), scope.site.as_str(), line.as_bytes()], |row| row.get(0))?;
    Ok(Timestamp::from_millis(last))
}

fn append(
    c: &Connection,
    new: &NewRecord,
    contacts: CategoryCode,
    fence_until: Timestamp,
) -> UnitResult<AppendedRecord> {
    let scope = new.record.scope.clone();
    if let Some(there) = record(c, &scope, new.record.id)? {
        return Ok(AppendedRecord::new(there, Vec::new()));
    }
    let followed = new.follows.map(|id| record(c, &scope, id)).transpose()?.flatten();
    let latest = followed.map(|f| latest_of_line(c, &scope, f.subject)).transpose()?.flatten();
    let line_until = latest.as_ref().map(|l| line_until(c, &scope, l.subject)).transpose()?;
    let r = match (joining_line(new.record.clone(), latest.as_ref(), line_until), latest) {
        (Some(record), _) => record,
        (None, Some(latest)) => return Ok(AppendedRecord::new(latest, Vec::new())),
        (None, None) => new.record.clone(),
    };
    insert(c, &r)?;
    let erasing = if r.grants(contacts, r.at) {
        c.prepare_cached(
            "UPDATE contacts SET consent = ?4, consent_until = ?5
             WHERE tenant = ?1 AND site = ?2 AND consent_line = ?3 AND erasing IS NULL",
        )?
        .execute(params![
            scope.tenant.as_str(),
            scope.site.as_str(),
            r.subject.as_bytes(),
            r.id.as_bytes(),
            ms(r.until)
        ])?;
        Vec::new()
    } else {
        let cause = r.act.erasure_cause();
        let values: [&dyn rusqlite::ToSql; 2] = [&scope.site.as_str(), &r.subject.as_bytes()];
        mark_contacts(c, &scope.tenant, "site = ?1 AND consent_line = ?2", &values, cause, fence_until)?
    };
    Ok(AppendedRecord::new(r, erasing))
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

    async fn append_record(
        &self,
        new: &NewRecord,
        contacts: CategoryCode,
        fence_until: Timestamp,
    ) -> Result<AppendedRecord> {
        let new = new.clone();
        self.db.write(Priority::Urgent, move |c| append(c, &new, contacts, fence_until)).await
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

    async fn holds(&self, proof: &ConsentProof, now: Timestamp) -> Result<bool> {
        let proof = proof.clone();
        self.db.read(move |c| Ok(held(c, &proof, now)?.is_some())).await
    }
}
