use async_trait::async_trait;
use privet::catalogue::{CategoryCode, Language, NewStatement, StatementVersion};
use privet::consent::{ConsentCount, ConsentRecord, NoticeId, NoticeSnapshot, RecordId};
use privet::store::{
    AppendedRecord, ChainLink, Chained, ConsentProof, ConsentStore, NEVER_LAPSES, NewRecord, SubjectDigest,
    joining_line, notifications_of,
};
use privet::{Day, Result, Scope, Tenant, Timestamp};
use sqlx::postgres::PgRow;

use super::locks::{self, Named};
use super::rows::{self, RowResult, bytes, column, ms, number, read_record, record_columns, text, time};
use super::{
    PostgresStore, chain, contact_kind, counts, held, latest_of_line, mark_contacts, outbox, read_erasing,
    record,
};
use crate::db::{On, Twice, UnitResult, Whose, read, read_moment, unit};

/// The latest record of the line that a record joins, locked, and when the last one of the line lapses.
async fn line_to_join(on: &mut On<'_>, new: &NewRecord) -> UnitResult<Option<(ConsentRecord, Timestamp)>> {
    let scope = &new.record.scope;
    let followed = match new.follows {
        Some(id) => record(on, scope, id).await?,
        None => None,
    };
    let Some(followed) = followed else {
        // It begins a line, or speaks on an account's.
        locks::alone(on, scope, Named::Line(new.record.subject)).await?;
        return Ok(None);
    };
    locks::alone(on, scope, Named::Line(followed.subject)).await?;
    // It may have been cut from its person before the lock was ours: then nobody finds the line any more.
    let still = match new.follows {
        Some(id) => record(on, scope, id).await?.is_some(),
        None => false,
    };
    let latest = if still { latest_of_line(on, scope, followed.subject).await? } else { None };
    let Some(latest) = latest else {
        locks::alone(on, scope, Named::Line(new.record.subject)).await?;
        return Ok(None);
    };
    let until = on
        .q("SELECT max(until) FROM privet.consent_records WHERE tenant = $1 AND site = $2 AND subject = $3")
        .bind(scope.tenant.as_str())
        .bind(scope.site.as_str())
        .bind(latest.subject.as_bytes().as_slice())
        .fetch_one(&mut *on.c)
        .await?;
    Ok(Some((latest, time(&until, 0)?)))
}

async fn append(
    on: &mut On<'_>,
    new: &NewRecord,
    contacts: CategoryCode,
    fence_until: Timestamp,
) -> UnitResult<AppendedRecord> {
    let scope = new.record.scope.clone();
    let joined = line_to_join(on, new).await?;
    // Asked once the line is locked, so that the same record twice at once is one.
    if let Some(there) = record(on, &scope, new.record.id).await? {
        return Ok(AppendedRecord::new(there, Vec::new()));
    }
    let (latest, line_until) = joined.map_or((None, None), |(latest, until)| (Some(latest), Some(until)));
    let before = latest.clone();
    let r = match (joining_line(new.record.clone(), latest.as_ref(), line_until), latest) {
        (Some(record), _) => record,
        (None, Some(latest)) => return Ok(AppendedRecord::new(latest, Vec::new())),
        (None, None) => new.record.clone(),
    };
    let erasing = change_contacts(on, new, &r, contacts, fence_until).await?;
    outbox::insert(on, &notifications_of(&new.notify, before.as_ref(), &r)).await?;
    chain::append(on, &r).await?;
    Ok(AppendedRecord::new(r, erasing))
}

/// What a record does to the contacts of its line.
async fn change_contacts(
    on: &mut On<'_>,
    new: &NewRecord,
    r: &ConsentRecord,
    contacts: CategoryCode,
    fence_until: Timestamp,
) -> UnitResult<Vec<privet::store::Erasing>> {
    let (tenant, site) = (r.scope.tenant.as_str(), r.scope.site.as_str());
    let line = r.subject.as_bytes().as_slice();
    if new.forgets {
        on.q("UPDATE privet.contacts SET identity = NULL, identity_text = NULL
              WHERE tenant = $1 AND site = $2 AND consent_line = $3 AND identity IS NOT NULL")
            .bind(tenant)
            .bind(site)
            .bind(line)
            .execute(&mut *on.c)
            .await?;
    }
    if r.grants(contacts, r.at) {
        on.q("UPDATE privet.contacts SET consent = $4, consent_until = $5, material = $6, frozen_until = NULL, kept_on = NULL
              WHERE tenant = $1 AND site = $2 AND consent_line = $3 AND erasing IS NULL")
            .bind(tenant)
            .bind(site)
            .bind(line)
            .bind(r.id.as_bytes().as_slice())
            .bind(ms(r.until))
            .bind(r.fingerprint_of(contacts).unwrap_or_default().to_vec())
            .execute(&mut *on.c)
            .await?;
        return Ok(Vec::new());
    }
    if let Some(basis) = new.keeps {
        on.q("UPDATE privet.contacts SET kept_on = $4, consent_until = $5, frozen_until = NULL
              WHERE tenant = $1 AND site = $2 AND consent_line = $3 AND erasing IS NULL")
            .bind(tenant)
            .bind(site)
            .bind(line)
            .bind(i16::from(basis.code()))
            .bind(ms(NEVER_LAPSES))
            .execute(&mut *on.c)
            .await?;
        return Ok(Vec::new());
    }
    let marked = on
        .q(mark_contacts!("site = $4 AND consent_line = $5 ORDER BY id"))
        .bind(tenant)
        .bind(i16::from(r.act.erasure_cause().code()))
        .bind(ms(fence_until))
        .bind(site)
        .bind(line)
        .fetch_all(&mut *on.c)
        .await?;
    Ok(rows::all(&marked, |row| read_erasing(row, contact_kind))?)
}

async fn line(on: &mut On<'_>, scope: &Scope, id: RecordId) -> UnitResult<Vec<ConsentRecord>> {
    let rows = on
        .q(concat!(
            "SELECT ",
            record_columns!(),
            " FROM privet.consent_records own JOIN privet.consent_records r
               ON r.tenant = own.tenant AND r.site = own.site AND r.subject = own.subject
             WHERE own.tenant = $1 AND own.site = $2 AND own.id = $3 ORDER BY r.segment, r.seq"
        ))
        .bind(scope.tenant.as_str())
        .bind(scope.site.as_str())
        .bind(id.as_bytes().as_slice())
        .fetch_all(&mut *on.c)
        .await?;
    Ok(rows::all(&rows, |row| read_record(scope, row))?)
}

async fn latest(on: &mut On<'_>, scope: &Scope, id: RecordId) -> UnitResult<Option<ConsentRecord>> {
    match record(on, scope, id).await? {
        Some(own) => latest_of_line(on, scope, own.subject).await,
        None => Ok(None),
    }
}

fn read_version(row: &PgRow) -> RowResult<StatementVersion> {
    Ok(StatementVersion::new(number(row, 0)?, time(row, 1)?, bytes(row, 2)?, text(row, 3)?))
}

async fn publish_statement(
    on: &mut On<'_>,
    scope: &Scope,
    statement: &NewStatement,
    at: Timestamp,
) -> UnitResult<StatementVersion> {
    loop {
        let latest = on
            .q("SELECT number, since, hash, body FROM privet.statements
                WHERE tenant = $1 AND site = $2 ORDER BY number DESC LIMIT 1")
            .bind(scope.tenant.as_str())
            .bind(scope.site.as_str())
            .fetch_optional(&mut *on.c)
            .await?;
        let latest = latest.map(|row| read_version(&row)).transpose()?;
        let next = match latest {
            Some(latest) if latest.hash == statement.hash => return Ok(latest),
            latest => latest.map_or(0, |l| l.number) + 1,
        };
        let inserted = on
            .q("INSERT INTO privet.statements (tenant, site, number, since, hash, body) VALUES ($1, $2, $3, $4, $5, $6)
                ON CONFLICT (tenant, site, number) DO NOTHING")
            .bind(scope.tenant.as_str())
            .bind(scope.site.as_str())
            .bind(i64::from(next))
            .bind(ms(at))
            .bind(statement.hash.as_slice())
            .bind(statement.body.as_bytes())
            .execute(&mut *on.c)
            .await?;
        if inserted.rows_affected() == 1 {
            return Ok(StatementVersion::new(next, at, statement.hash, statement.body.clone()));
        }
        // Another instance took the number, and is through by now: look at what it published.
    }
}

async fn statements(on: &mut On<'_>, scope: &Scope) -> UnitResult<Vec<StatementVersion>> {
    let rows = on
        .q("SELECT number, since, hash, body FROM privet.statements WHERE tenant = $1 AND site = $2 ORDER BY number")
        .bind(scope.tenant.as_str())
        .bind(scope.site.as_str())
        .fetch_all(&mut *on.c)
        .await?;
    Ok(rows::all(&rows, read_version)?)
}

async fn publish_notice(on: &mut On<'_>, scope: &Scope, notice: &NoticeSnapshot) -> UnitResult<()> {
    on.q("INSERT INTO privet.notices (tenant, site, id, language, body) VALUES ($1, $2, $3, $4, $5)
          ON CONFLICT (tenant, site, id) DO NOTHING")
        .bind(scope.tenant.as_str())
        .bind(scope.site.as_str())
        .bind(notice.id.as_bytes().as_slice())
        .bind(notice.language.as_str())
        .bind(notice.body.as_bytes())
        .execute(&mut *on.c)
        .await?;
    Ok(())
}

async fn notice(on: &mut On<'_>, scope: &Scope, id: NoticeId) -> UnitResult<Option<NoticeSnapshot>> {
    let found = on
        .q("SELECT language, body FROM privet.notices WHERE tenant = $1 AND site = $2 AND id = $3")
        .bind(scope.tenant.as_str())
        .bind(scope.site.as_str())
        .bind(id.as_bytes().as_slice())
        .fetch_optional(&mut *on.c)
        .await?;
    let read = |row: PgRow| {
        let language = column(&row, 0, "language", |tag: &str| Language::new(tag).ok())?;
        Ok::<_, sqlx::Error>(NoticeSnapshot::from_parts(id, language, text(&row, 1)?))
    };
    Ok(found.map(read).transpose()?)
}

#[async_trait]
impl ConsentStore for PostgresStore {
    async fn publish_notice(&self, scope: &Scope, notice: &NoticeSnapshot) -> Result<()> {
        unit!(self.db, scope, Twice::Harmless, on => publish_notice(on, scope, notice))
    }

    async fn notice(&self, scope: &Scope, id: NoticeId) -> Result<Option<NoticeSnapshot>> {
        read!(self.db, scope, on => notice(on, scope, id))
    }

    async fn publish_statement(
        &self,
        scope: &Scope,
        statement: &NewStatement,
        at: Timestamp,
    ) -> Result<StatementVersion> {
        unit!(self.db, scope, Twice::Harmless, on => publish_statement(on, scope, statement, at))
    }

    async fn statements(&self, scope: &Scope) -> Result<Vec<StatementVersion>> {
        read!(self.db, scope, on => statements(on, scope))
    }

    async fn append_record(
        &self,
        new: &NewRecord,
        contacts: CategoryCode,
        fence_until: Timestamp,
    ) -> Result<AppendedRecord> {
        unit!(self.db, &new.record.scope, Twice::Harmless, on => append(on, new, contacts, fence_until))
    }

    async fn record(&self, scope: &Scope, id: RecordId) -> Result<Option<ConsentRecord>> {
        read!(self.db, scope, on => record(on, scope, id))
    }

    async fn latest_record(&self, scope: &Scope, id: RecordId) -> Result<Option<ConsentRecord>> {
        read_moment!(self.db, scope, on => latest(on, scope, id))
    }

    async fn line_head(&self, scope: &Scope, line: SubjectDigest) -> Result<Option<ConsentRecord>> {
        read!(self.db, scope, on => latest_of_line(on, scope, line))
    }

    async fn line(&self, scope: &Scope, id: RecordId) -> Result<Vec<ConsentRecord>> {
        read!(self.db, scope, on => line(on, scope, id))
    }

    async fn holds(&self, proof: &ConsentProof, now: Timestamp) -> Result<bool> {
        let held = read!(self.db, proof.scope(), on => held(on, proof, now))?;
        Ok(held.is_some())
    }

    async fn chain(&self, tenant: &Tenant, after: Option<&ChainLink>, limit: u16) -> Result<Vec<Chained>> {
        read!(self.db, tenant, on => chain::links(on, tenant, after, limit))
    }

    async fn chain_heads(&self) -> Result<Vec<(Tenant, ChainLink)>> {
        let (mut heads, mut last) = (Vec::new(), String::new());
        while let Some(head) = read!(self.db, Whose::Installation, on => chain::next_head(on, &last))? {
            head.0.as_str().clone_into(&mut last);
            heads.push(head);
        }
        Ok(heads)
    }

    async fn unchained_records(&self, tenant: &Tenant) -> Result<u64> {
        read!(self.db, tenant, on => chain::unchained(on, tenant))
    }

    async fn add_consent_counts(&self, counts: &[ConsentCount]) -> Result<()> {
        // What may have been counted is not counted again: the app's own buffer decides.
        unit!(self.db, Whose::Installation, Twice::Never, on => counts::add(on, counts))
    }

    async fn consent_counts(&self, scope: &Scope, from: Day, to: Day) -> Result<Vec<ConsentCount>> {
        read!(self.db, scope, on => counts::read(on, scope, from, to))
    }
}
