use async_trait::async_trait;
use privet::catalogue::{CategoryCode, Language, NewStatement, StatementVersion};
use privet::consent::{ConsentCount, ConsentRecord, NoticeId, NoticeSnapshot, RecordId};
use privet::store::{
    AppendedRecord, ChainLink, Chained, ConsentProof, ConsentStore, CountBatch, NewRecord, SubjectDigest,
};
use privet::{Day, Result, Scope, Tenant, Timestamp};
use sqlx::postgres::PgRow;

use super::append_records::AppendRecord;
use super::rows::{self, RowResult, bytes, column, ms, number, read_record, record_columns, text, time};
use super::{PostgresStore, chain, counts, held, latest_of_line, record};
use crate::db::{On, Twice, UnitResult, Whose, read, read_moment, unit};

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
        self.records.run(AppendRecord { new: new.clone(), contacts, fence_until }).await
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
        read!(self.db.unhurried(), tenant, on => chain::unchained(on, tenant))
    }

    async fn add_consent_counts(&self, batch: &CountBatch) -> Result<()> {
        unit!(self.db, batch.tenant(), Twice::Harmless, on => counts::add(on, batch))
    }

    async fn consent_counts(&self, scope: &Scope, from: Day, to: Day) -> Result<Vec<ConsentCount>> {
        read!(self.db, scope, on => counts::read(on, scope, from, to))
    }
}
