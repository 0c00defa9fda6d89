//! The chain over a tenant's records.

use privet::Tenant;
use privet::consent::{ConsentRecord, RecordId, RecordedDecision};
use privet::store::{ChainLink, Chained, KeptRecord, Salt, Severed, SubjectDigest};
use privet::{Scope, consent::Act};
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::rows::{self, RowResult, bytes, ms, number, read_record, record_columns, site_scope, time};
use crate::db::{On, UnitResult};

/// A link whose columns begin at one.
fn read_link(row: &PgRow, from: usize) -> RowResult<ChainLink> {
    Ok(ChainLink {
        segment: row.try_get(from)?,
        seq: number(row, from + 1)?,
        until: time(row, from + 2)?,
        digest: bytes(row, from + 3)?,
        hash: bytes(row, from + 4)?,
    })
}

fn seq_of(link: &ChainLink) -> i64 {
    i64::try_from(link.seq).unwrap_or(i64::MAX)
}

/// The last link of a tenant's chain, locked: nobody else appends until the transaction ends.
async fn lock_head(on: &mut On<'_>, tenant: &Tenant) -> UnitResult<Option<ChainLink>> {
    const HEAD: &str =
        "SELECT segment, seq, until, digest, hash FROM privet.consent_heads WHERE tenant = $1 FOR UPDATE";
    let mut found = on.q(HEAD).bind(tenant.as_str()).fetch_optional(&mut *on.c).await?;
    if found.is_none() {
        // A row to lock, before there is a link.
        on.q("INSERT INTO privet.consent_heads (tenant) VALUES ($1) ON CONFLICT (tenant) DO NOTHING")
            .bind(tenant.as_str())
            .execute(&mut *on.c)
            .await?;
        found = on.q(HEAD).bind(tenant.as_str()).fetch_optional(&mut *on.c).await?;
    }
    match found {
        Some(row) if row.try_get::<Option<i64>, _>(0)?.is_some() => Ok(Some(read_link(&row, 0)?)),
        _ => Ok(None),
    }
}

/// Appends records of one tenant with their links. The last thing that a unit does, since it holds up every other append of
/// the tenant.
pub(super) async fn append(on: &mut On<'_>, tenant: &Tenant, records: &[&ConsentRecord]) -> UnitResult<()> {
    if records.is_empty() {
        return Ok(());
    }
    let mut head = lock_head(on, tenant).await?;
    let mut chained = Vec::with_capacity(records.len());
    for record in records {
        let (link, salt) = ChainLink::after(head.as_ref(), record)?;
        chained.push((*record, link, salt));
        head = Some(link);
    }
    fn each<'r, T>(
        chained: &'r [(&'r ConsentRecord, ChainLink, Salt)],
        of: impl Fn(&'r ConsentRecord, &'r ChainLink) -> T,
    ) -> Vec<T> {
        chained.iter().map(|(r, link, _)| of(r, link)).collect()
    }
    // Citus copies what a statement returns nothing of, and row-level security refuses copies.
    on.q("WITH new AS MATERIALIZED (
            SELECT * FROM unnest($2::bigint[], $3::bigint[], $4::text[], $5::bytea[], $6::bytea[], $7::smallint[], $8::bigint[],
                $9::bigint[], $10::bytea[], $11::text[], $12::smallint[], $13::smallint[], $14::boolean[], $15::boolean[],
                $16::bytea[], $17::bytea[], $18::bytea[], $19::bytea[])
              AS n (segment, seq, site, id, subject, act, at, until, notice, language, regime, method, gesture, gpc, decisions,
                salt, digest, hash)
          ), links AS (
            INSERT INTO privet.consent_links (tenant, segment, seq, until, digest, hash)
            SELECT $1, segment, seq, until, digest, hash FROM new RETURNING 1
          ), head AS (
            UPDATE privet.consent_heads h SET segment = n.segment, seq = n.seq, until = n.until, digest = n.digest, hash = n.hash
            FROM (SELECT * FROM new ORDER BY seq DESC LIMIT 1) n WHERE h.tenant = $1
          )
          INSERT INTO privet.consent_records
            (tenant, segment, seq, site, id, subject, act, at, until, notice, language, regime, method, gesture, gpc, decisions, salt)
          SELECT $1, segment, seq, site, id, subject, act, at, until, notice, language, regime, method, gesture, gpc, decisions, salt
          FROM new RETURNING 1")
        .bind(tenant.as_str())
        .bind(each(&chained, |_, link| link.segment))
        .bind(each(&chained, |_, link| seq_of(link)))
        .bind(each(&chained, |r, _| r.scope.site.as_str()))
        .bind(each(&chained, |r, _| r.id.as_bytes().to_vec()))
        .bind(each(&chained, |r, _| r.subject.as_bytes().to_vec()))
        .bind(each(&chained, |r, _| i16::from(r.act.code())))
        .bind(each(&chained, |r, _| ms(r.at)))
        .bind(each(&chained, |r, _| ms(r.until)))
        .bind(each(&chained, |r, _| r.notice.as_bytes().to_vec()))
        .bind(each(&chained, |r, _| r.language.as_str()))
        .bind(each(&chained, |r, _| i16::from(r.regime.rules().code)))
        .bind(each(&chained, |r, _| i16::from(r.method.code())))
        .bind(each(&chained, |r, _| r.gesture))
        .bind(each(&chained, |r, _| r.gpc))
        .bind(each(&chained, |r, _| RecordedDecision::all_to_bytes(&r.decisions)))
        .bind(chained.iter().map(|(_, _, salt)| salt.as_bytes().to_vec()).collect::<Vec<_>>())
        .bind(each(&chained, |_, link| link.digest.to_vec()))
        .bind(each(&chained, |_, link| link.hash.to_vec()))
        .execute(&mut *on.c)
        .await?;
    Ok(())
}

/// Links after one, each with its record; what a record has is null when it is purged.
pub(super) async fn links(
    on: &mut On<'_>,
    tenant: &Tenant,
    after: Option<&ChainLink>,
    limit: u16,
) -> UnitResult<Vec<Chained>> {
    let (segment, seq) = after.map_or((i64::MIN, 0), |l| (l.segment, seq_of(l)));
    let rows = on
        .q(concat!(
            "SELECT ",
            record_columns!(),
            ", r.site, r.salt, r.commitment, l.segment, l.seq, l.until, l.digest, l.hash
             FROM privet.consent_links l LEFT JOIN privet.consent_records r
               ON r.tenant = l.tenant AND r.segment = l.segment AND r.seq = l.seq
             WHERE l.tenant = $1 AND (l.segment, l.seq) > ($2, $3) ORDER BY l.segment, l.seq LIMIT $4"
        ))
        .bind(tenant.as_str())
        .bind(segment)
        .bind(seq)
        .bind(i64::from(limit))
        .fetch_all(&mut *on.c)
        .await?;
    let whole = |row: &PgRow| -> RowResult<KeptRecord> {
        let record = Box::new(read_record(&site_scope(tenant, row, 12)?, row)?);
        Ok(match row.try_get::<Option<&[u8]>, _>(14)? {
            Some(_) => KeptRecord::Severed(record, bytes(row, 14)?),
            None => KeptRecord::Whole(record, Salt::from_bytes(bytes(row, 13)?)),
        })
    };
    Ok(rows::all(&rows, |row| {
        let record = match row.try_get::<Option<&[u8]>, _>(0) {
            Ok(None) => KeptRecord::Gone,
            _ => whole(row).unwrap_or(KeptRecord::Unreadable),
        };
        Ok(Chained::new(read_link(row, 15)?, record))
    })?)
}

/// The tenant after another one that has a chain, and its last link.
pub(super) async fn next_head(on: &mut On<'_>, after: &str) -> UnitResult<Option<(Tenant, ChainLink)>> {
    let found = on
        .q("SELECT tenant, segment, seq, until, digest, hash FROM privet.consent_heads
            WHERE tenant > $1 AND segment IS NOT NULL ORDER BY tenant LIMIT 1")
        .bind(after)
        .fetch_optional(&mut *on.c)
        .await?;
    let read = |row: PgRow| Ok::<_, sqlx::Error>((rows::tenant(&row, 0)?, read_link(&row, 1)?));
    Ok(found.map(read).transpose()?)
}

pub(super) async fn unchained(on: &mut On<'_>, tenant: &Tenant) -> UnitResult<u64> {
    let row = on
        .q("SELECT count(*) FROM privet.consent_records r WHERE tenant = $1 AND NOT EXISTS
            (SELECT 1 FROM privet.consent_links l WHERE l.tenant = r.tenant AND l.segment = r.segment AND l.seq = r.seq)")
        .bind(tenant.as_str())
        .fetch_one(&mut *on.c)
        .await?;
    Ok(number(&row, 0)?)
}

/// Cuts up to `max` records of a contact's line from their person, oldest first: all that ended with the consent. How
/// many it cut, and whether that was all. The line is locked.
pub(super) async fn sever(
    on: &mut On<'_>,
    scope: &Scope,
    line: SubjectDigest,
    max: u32,
) -> UnitResult<(u64, bool)> {
    let due = on
        .q("SELECT segment, seq, id, salt FROM privet.consent_records
            WHERE tenant = $1 AND site = $2 AND subject = $3 AND seq <=
              (SELECT max(seq) FROM privet.consent_records
               WHERE tenant = $1 AND site = $2 AND subject = $3 AND act <> $4 AND act <> $5)
            ORDER BY seq LIMIT $6")
        .bind(scope.tenant.as_str())
        .bind(scope.site.as_str())
        .bind(line.as_bytes().as_slice())
        .bind(i16::from(Act::Grant.code()))
        .bind(i16::from(Act::Refusal.code()))
        .bind(i64::from(max) + 1)
        .fetch_all(&mut *on.c)
        .await?;
    let (mut segments, mut seqs) = (Vec::new(), Vec::new());
    let (mut ids, mut subjects, mut commitments) = (Vec::new(), Vec::new(), Vec::new());
    for row in due.iter().take(max as usize) {
        let new = Severed::of(RecordId::from_bytes(bytes(row, 2)?), line, Salt::from_bytes(bytes(row, 3)?))?;
        segments.push(row.try_get::<i64, _>(0)?);
        seqs.push(row.try_get::<i64, _>(1)?);
        ids.push(new.id.as_bytes().to_vec());
        subjects.push(new.subject.as_bytes().to_vec());
        commitments.push(new.commitment.to_vec());
    }
    let all = due.len() <= max as usize;
    if seqs.is_empty() {
        return Ok((0, all));
    }
    let cut = on
        .q("UPDATE privet.consent_records r SET id = n.id, subject = n.subject, salt = decode(repeat('00', 16), 'hex'), commitment = n.commitment
            FROM unnest($2::bigint[], $3::bigint[], $4::bytea[], $5::bytea[], $6::bytea[]) AS n (segment, seq, id, subject, commitment)
            WHERE r.tenant = $1 AND r.segment = n.segment AND r.seq = n.seq")
        .bind(scope.tenant.as_str())
        .bind(segments)
        .bind(seqs)
        .bind(ids)
        .bind(subjects)
        .bind(commitments)
        .execute(&mut *on.c)
        .await?;
    Ok((cut.rows_affected(), all))
}
