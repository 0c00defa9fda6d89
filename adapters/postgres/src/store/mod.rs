//! The units of work in SQL.

mod append_records;
mod audit;
mod chain;
mod consent;
mod contacts;
mod conversations;
mod counts;
mod erase;
mod figures;
pub(crate) mod lease;
mod list;
mod locks;
mod messages;
mod moments;
mod notes;
mod outbox;
mod portal;
mod record_messages;
mod retention;
mod rows;
mod shown;
mod snapshot;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use async_trait::async_trait;
use privet::catalogue::CategoryCode;
use privet::consent::{ConsentRecord, RecordId};
use privet::contact::{Contact, ContactId, FenceEpoch};
use privet::key::Fingerprint;
use privet::store::{ConsentProof, Erasing, ErasingKind, Horizon, OpenInfo, Store, SubjectDigest};
use privet::{Error, Result, Scope, Tenant, Timestamp};
use sqlx::Row as _;
use sqlx::postgres::PgPool;

use self::append_records::AppendRecord;
use self::locks::Named;
use self::moments::Moments;
use self::record_messages::RecordMessage;
use self::rows::{
    bytes, code, contact_columns, digest_if_any, ms, read_contact, read_record, record_columns, site_scope,
    tenant,
};
use crate::db::{Db, On, Twice, UnitResult, Whose, now, read, unit};
use crate::group::{GroupCommit, Lonely};
use crate::replica::{Replica, ReplicaLag};
use crate::{PostgresOptions, part, partitions, schema};

pub(crate) const NAME: &str = "postgres";

/// Everything but keys and ledger in a PostgreSQL database, for any number of instances.
///
/// It is cheap to clone: clones share a pool.
#[derive(Clone, Debug)]
pub struct PostgresStore {
    db: Db,
    /// Where lists are read from.
    replica: Option<Replica>,
    /// What is being exported.
    moments: Moments,
    records: GroupCommit<AppendRecord>,
    messages: GroupCommit<RecordMessage>,
    /// When it was last looked whether the months to come have their partitions.
    months: Arc<AtomicI64>,
}

impl PostgresStore {
    pub(crate) async fn on(db: Db, replica: Option<Replica>) -> Result<Self> {
        schema::migrate(&db, part::STORE).await?;
        let lonely = Lonely::on(&db);
        let (records, messages) = (GroupCommit::on(&db, &lonely), GroupCommit::on(&db, &lonely));
        let months = Arc::new(AtomicI64::new(i64::MIN));
        let store = Self { db, replica, moments: Moments::default(), records, messages, months };
        store.make_months().await?;
        let kept = read!(store.db, Whose::Installation, on => durability(on))?;
        if kept.iter().any(|setting| setting == "off") {
            tracing::warn!(
                "the server says that something is stored before it is on the disk (`fsync` and `synchronous_commit` are {}): \
                 a crash loses what was acknowledged; turn both on",
                kept.join(" and ")
            );
        }
        Ok(store)
    }

    /// Looks once an hour, which is ahead enough of months, and sooner after a failure.
    async fn make_months(&self) -> Result<()> {
        const HOUR: i64 = 3_600_000;
        const SOON: i64 = 600_000;
        if self.db.as_it_is {
            return Ok(());
        }
        let (now, last) = (now(), self.months.load(Ordering::Relaxed));
        if now.saturating_sub(last) < HOUR {
            return Ok(());
        }
        self.months.store(now, Ordering::Relaxed);
        if !partitions::make_months(&self.db, now).await? {
            self.months.store(now - HOUR + SOON, Ordering::Relaxed);
        }
        Ok(())
    }

    /// The standby, if there is one and it is not left alone for a while.
    pub(crate) async fn reading(&self) -> Option<&Replica> {
        let replica = self.replica.as_ref()?;
        replica.is_ready(&self.db, now()).await.then_some(replica)
    }

    /// How far the standby of [`read_url`](crate::PostgresOptions::read_url) is behind; none without one.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when one of the two servers does not answer, or the standby does not follow the primary.
    pub async fn replica_lag(&self) -> Result<Option<ReplicaLag>> {
        match &self.replica {
            Some(replica) => replica.lag(&self.db).await.map(Some),
            None => Ok(None),
        }
    }

    /// On a pool that the app has already, in the schema `privet`, whose tables are brought up to date.
    ///
    /// The pool's connections have to meet the same server for as long as each is open. For another schema, row-level
    /// security, or a pooler that changes servers between transactions, see [`PostgresOptions::from_pool`].
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let pool = sqlx::PgPool::connect("postgres://app@localhost/app").await?;
    /// let store = privet_postgres::PostgresStore::from_pool(pool).await?;
    /// # drop(store);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the database is not reached, [`Error::Config`] when the tables are not up to date and the
    /// role may not make them.
    pub async fn from_pool(pool: PgPool) -> Result<Self> {
        PostgresOptions::from_pool(pool).store().await
    }
}

/// What keeps an acknowledged commit through a crash of the server.
async fn durability(on: &mut On<'_>) -> UnitResult<[String; 2]> {
    let row = on
        .q("SELECT current_setting('fsync'), current_setting('synchronous_commit')")
        .fetch_one(&mut *on.c)
        .await?;
    Ok([row.try_get(0)?, row.try_get(1)?])
}

async fn open(on: &mut On<'_>, info: &OpenInfo) -> UnitResult<()> {
    on.q("INSERT INTO privet.meta (key, value) VALUES ('installation-key', $1) ON CONFLICT (key) DO NOTHING")
        .bind(info.key.as_bytes().to_vec())
        .execute(&mut *on.c)
        .await?;
    let kept = on
        .q("SELECT value FROM privet.meta WHERE key = 'installation-key' FOR UPDATE")
        .fetch_one(&mut *on.c)
        .await?;
    let kept = kept.try_get::<Vec<u8>, _>(0)?.try_into().ok().map(Fingerprint::from_bytes);
    let keep = info.check(kept)?;
    if kept != Some(keep) {
        on.q("UPDATE privet.meta SET value = $1 WHERE key = 'installation-key'")
            .bind(keep.as_bytes().to_vec())
            .execute(&mut *on.c)
            .await?;
    }
    Ok(())
}

#[async_trait]
impl Store for PostgresStore {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn open(&self, info: &OpenInfo) -> Result<()> {
        unit!(self.db, Whose::Installation, Twice::Harmless, on => open(on, info))
    }
}

async fn record(on: &mut On<'_>, scope: &Scope, id: RecordId) -> UnitResult<Option<ConsentRecord>> {
    let found = on
        .q(concat!(
            "SELECT ",
            record_columns!(),
            " FROM privet.consent_records r WHERE tenant = $1 AND site = $2 AND id = $3"
        ))
        .bind(scope.tenant.as_str())
        .bind(scope.site.as_str())
        .bind(id.as_bytes().as_slice())
        .fetch_optional(&mut *on.c)
        .await?;
    Ok(found.map(|row| read_record(scope, &row)).transpose()?)
}

/// The latest record of a line.
async fn latest_of_line(
    on: &mut On<'_>,
    scope: &Scope,
    line: SubjectDigest,
) -> UnitResult<Option<ConsentRecord>> {
    let found = on
        .q(concat!(
            "SELECT ",
            record_columns!(),
            " FROM privet.consent_records r WHERE tenant = $1 AND site = $2 AND subject = $3 ORDER BY seq DESC LIMIT 1"
        ))
        .bind(scope.tenant.as_str())
        .bind(scope.site.as_str())
        .bind(line.as_bytes().as_slice())
        .fetch_optional(&mut *on.c)
        .await?;
    Ok(found.map(|row| read_record(scope, &row)).transpose()?)
}

/// The latest record of a proof's line, if the proof holds: rule 3. What stands on the proof stands on that record.
async fn held(on: &mut On<'_>, proof: &ConsentProof, now: Timestamp) -> UnitResult<Option<ConsentRecord>> {
    let scope = proof.scope();
    let rows = on
        .q(concat!(
            "SELECT ",
            record_columns!(),
            " FROM privet.consent_records own JOIN privet.consent_records r
               ON r.tenant = own.tenant AND r.site = own.site AND r.subject = own.subject
              AND (r.id = own.id OR r.seq = (SELECT max(l.seq) FROM privet.consent_records l
                   WHERE l.tenant = $1 AND l.site = $2 AND l.subject = own.subject))
             WHERE own.tenant = $1 AND own.site = $2 AND own.id = $3 ORDER BY r.seq"
        ))
        .bind(scope.tenant.as_str())
        .bind(scope.site.as_str())
        .bind(proof.record().as_bytes().as_slice())
        .fetch_all(&mut *on.c)
        .await?;
    // The record itself, and the latest of its line, which may be the same one.
    let mut found = rows::all(&rows, |row| read_record(scope, row))?;
    Ok(found.iter().all(|r| r.grants(proof.category(), now)).then(|| found.pop()).flatten())
}

/// How a unit holds the line of its proof.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Line {
    /// Nobody appends to it meanwhile.
    Together,
    /// Nobody else acts on it meanwhile.
    Alone,
}

/// Rule 3, with a lock on the line: until the transaction ends nobody takes the consent back.
async fn check_proof(
    on: &mut On<'_>,
    scope: &Scope,
    proof: &ConsentProof,
    now: Timestamp,
    how: Line,
) -> UnitResult<ConsentRecord> {
    if proof.scope() != scope {
        return Err(proof.refused().into());
    }
    let line = record(on, scope, proof.record()).await?.ok_or_else(|| proof.refused())?.subject;
    match how {
        Line::Together => locks::together(on, vec![locks::key(scope, Named::Line(line))]).await?,
        Line::Alone => locks::alone(on, vec![locks::key(scope, Named::Line(line))]).await?,
    }
    Ok(held(on, proof, now).await?.ok_or_else(|| proof.refused())?)
}

/// Rule 6. Whoever erases locks the contact, so that is done before.
async fn check_fence(
    on: &mut On<'_>,
    tenant: &Tenant,
    subject: SubjectDigest,
    epoch: FenceEpoch,
) -> UnitResult<()> {
    let fenced = on
        .q("SELECT 1 FROM privet.fences WHERE tenant = $1 AND subject = $2 AND epoch >= $3")
        .bind(tenant.as_str())
        .bind(subject.as_bytes().as_slice())
        .bind(i64::from(epoch.get()))
        .fetch_optional(&mut *on.c)
        .await?;
    if fenced.is_some() { Err(Error::Fenced.into()) } else { Ok(()) }
}

/// A contact that is there: not marked and within the horizon.
async fn shown_contact(
    on: &mut On<'_>,
    scope: &Scope,
    id: ContactId,
    horizon: &Horizon,
) -> UnitResult<Option<Contact>> {
    let found = on
        .q(concat!(
            "SELECT ",
            contact_columns!(),
            " FROM privet.contacts WHERE tenant = $1 AND site = $2 AND id = $3 AND erasing IS NULL"
        ))
        .bind(scope.tenant.as_str())
        .bind(scope.site.as_str())
        .bind(id.as_bytes().as_slice())
        .fetch_optional(&mut *on.c)
        .await?;
    let found = found.map(|row| read_contact(&row)).transpose()?;
    Ok(found.filter(|contact| horizon.shows_contact(contact)))
}

/// A contact that writes on its own: locked, not fenced, there, and not blocked. And the line of consent that it is on.
async fn writing_contact(
    on: &mut On<'_>,
    scope: &Scope,
    (id, epoch, subject): (ContactId, FenceEpoch, SubjectDigest),
    horizon: &Horizon,
) -> UnitResult<SubjectDigest> {
    let found = on
        .q(concat!(
            "SELECT ",
            contact_columns!(),
            ", erasing IS NULL, consent_line FROM privet.contacts WHERE tenant = $1 AND site = $2 AND id = $3 FOR UPDATE"
        ))
        .bind(scope.tenant.as_str())
        .bind(scope.site.as_str())
        .bind(id.as_bytes().as_slice())
        .fetch_optional(&mut *on.c)
        .await?;
    check_fence(on, &scope.tenant, subject, epoch).await?;
    let row = found.ok_or(Error::NotFound { what: "contact" })?;
    let contact = read_contact(&row)?;
    if !row.try_get::<bool, _>(15)? || !horizon.shows_contact(&contact) || contact.epoch != epoch {
        return Err(Error::NotFound { what: "contact" }.into());
    }
    if contact.blocked { Err(Error::Blocked.into()) } else { Ok(SubjectDigest::from_bytes(bytes(&row, 16)?)) }
}

/// A contact that speaks on another line of consent than before goes over to it: a withdrawal of that line has to
/// erase it. The contact is locked.
async fn stand_on(
    on: &mut On<'_>,
    scope: &Scope,
    (contact, line): (ContactId, SubjectDigest),
    record: &ConsentRecord,
    contacts: CategoryCode,
) -> UnitResult<()> {
    if line == record.subject {
        return Ok(());
    }
    on.q("UPDATE privet.contacts SET consent = $4, consent_line = $5, consent_until = $6, material = $7,
            frozen_until = NULL, kept_on = NULL, identity = NULL, identity_text = NULL
          WHERE tenant = $1 AND site = $2 AND id = $3")
        .bind(scope.tenant.as_str())
        .bind(scope.site.as_str())
        .bind(contact.as_bytes().as_slice())
        .bind(record.id.as_bytes().as_slice())
        .bind(record.subject.as_bytes().as_slice())
        .bind(ms(record.until))
        .bind(record.fingerprint_of(contacts).unwrap_or_default().to_vec())
        .execute(&mut *on.c)
        .await?;
    Ok(())
}

/// Hides and fences contacts. Begins with the tenant as `$1`, the cause as `$2` and the end of the fence as `$3`; what follows
/// is a condition over `contacts`, and perhaps an order and a limit.
macro_rules! mark_contacts {
    ($condition:literal) => {
        concat!(
            "WITH due AS (
               SELECT site, id FROM privet.contacts WHERE tenant = $1 AND erasing IS NULL AND ",
            $condition,
            " FOR UPDATE
             ), marked AS (
               UPDATE privet.contacts c SET erasing = $2 FROM due
               WHERE c.tenant = $1 AND c.site = due.site AND c.id = due.id AND c.erasing IS NULL
               RETURNING c.site, c.id, c.subject, c.epoch
             ), fenced AS (
               INSERT INTO privet.fences AS f (tenant, subject, epoch, until)
               SELECT $1, subject, max(epoch), $3 FROM marked GROUP BY subject ORDER BY subject
               ON CONFLICT (tenant, subject)
               DO UPDATE SET epoch = greatest(f.epoch, excluded.epoch), until = greatest(f.until, excluded.until)
             )
             SELECT $1, site, id, subject, $2 FROM marked"
        )
    };
}
use mark_contacts;

/// From a row of tenant, site, id, subject and cause.
fn read_erasing(row: &sqlx::postgres::PgRow, kind: fn([u8; 16]) -> ErasingKind) -> rows::RowResult<Erasing> {
    let scope = site_scope(&tenant(row, 0)?, row, 1)?;
    let cause = code(row, 4, "cause", privet::store::ErasureCause::from_code)?;
    Ok(Erasing::new(scope, kind(bytes(row, 2)?), digest_if_any(row, 3)?, cause))
}

fn contact_kind(id: [u8; 16]) -> ErasingKind {
    ErasingKind::Contact(ContactId::from_bytes(id))
}

/// Reads a list: at the standby, if there is one that answers, and else with the macro that is named, at the primary.
macro_rules! listed {
    ($store:expr, $whose:expr, $primary:ident, $on:ident => $work:expr) => {{
        let store: &PostgresStore = $store;
        let mut listed = None;
        if let Some(replica) = store.reading().await {
            let db = &replica.db;
            let looked = async { $crate::db::attempt!(db, moment($whose), $on => $work) };
            let looked = replica.waited($crate::replica::LIST, looked).await;
            listed = replica.settle(looked);
        }
        match listed {
            Some(listed) => listed,
            None => $primary!(store.db, $whose, $on => $work),
        }
    }};
}
use listed;
