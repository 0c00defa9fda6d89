//! Consent records of one tenant, appended together: a few statements and one write-through, however many come at once.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use privet::catalogue::CategoryCode;
use privet::consent::{ConsentRecord, RecordId};
use privet::contact::ContactId;
use privet::store::{
    AppendedRecord, Erasing, ErasingKind, NEVER_LAPSES, NewRecord, SubjectDigest, joining_line,
    notifications_of,
};
use privet::{Site, Tenant, Timestamp};
use sqlx::Row as _;

use super::locks::{self, Named};
use super::rows::{self, bytes, ms, read_record, record_columns, site_scope, time};
use super::{chain, contact_kind, mark_contacts, outbox, read_erasing};
use crate::db::{On, UnitResult};
use crate::group::{Became, Unit};

/// A record on its way into its tenant's chain.
pub(super) struct AppendRecord {
    pub(super) new: NewRecord,
    pub(super) contacts: CategoryCode,
    pub(super) fence_until: Timestamp,
}

impl AppendRecord {
    fn site(&self) -> &Site {
        &self.new.record.scope.site
    }

    fn id(&self) -> (Site, RecordId) {
        (self.site().clone(), self.new.record.id)
    }

    fn follows(&self) -> Option<(Site, RecordId)> {
        Some((self.site().clone(), self.new.follows?))
    }
}

fn sites<T>(of: &[(Site, T)]) -> Vec<&str> {
    of.iter().map(|(site, _)| site.as_str()).collect()
}

fn ids(of: &[(Site, RecordId)]) -> Vec<Vec<u8>> {
    of.iter().map(|(_, id)| id.as_bytes().to_vec()).collect()
}

/// Records by their ids.
pub(super) async fn records(
    on: &mut On<'_>,
    tenant: &Tenant,
    wanted: &[(Site, RecordId)],
) -> UnitResult<HashMap<(Site, RecordId), ConsentRecord>> {
    if wanted.is_empty() {
        return Ok(HashMap::new());
    }
    let found = on
        .q(concat!(
            "SELECT ",
            record_columns!(),
            ", r.site FROM unnest($2::text[], $3::bytea[]) AS w (site, id)
             JOIN privet.consent_records r ON r.tenant = $1 AND r.site = w.site AND r.id = w.id"
        ))
        .bind(tenant.as_str())
        .bind(sites(wanted))
        .bind(ids(wanted))
        .fetch_all(&mut *on.c)
        .await?;
    let found = rows::all(&found, |row| read_record(&site_scope(tenant, row, 12)?, row))?;
    Ok(found.into_iter().map(|r| ((r.scope.site.clone(), r.id), r)).collect())
}

/// The latest record of the line that each of these stands in, and when the last one of the line lapses.
pub(super) async fn latest_of_lines(
    on: &mut On<'_>,
    tenant: &Tenant,
    of: &[(Site, RecordId)],
) -> UnitResult<HashMap<(Site, RecordId), (ConsentRecord, Timestamp)>> {
    if of.is_empty() {
        return Ok(HashMap::new());
    }
    let found = on
        .q(concat!(
            "SELECT ",
            record_columns!(),
            ", r.site, own.id,
               (SELECT max(m.until) FROM privet.consent_records m
                WHERE m.tenant = $1 AND m.site = own.site AND m.subject = own.subject)
             FROM unnest($2::text[], $3::bytea[]) AS w (site, id)
             JOIN privet.consent_records own ON own.tenant = $1 AND own.site = w.site AND own.id = w.id
             CROSS JOIN LATERAL (SELECT * FROM privet.consent_records l
               WHERE l.tenant = $1 AND l.site = own.site AND l.subject = own.subject ORDER BY l.seq DESC LIMIT 1) r"
        ))
        .bind(tenant.as_str())
        .bind(sites(of))
        .bind(ids(of))
        .fetch_all(&mut *on.c)
        .await?;
    let found = rows::all(&found, |row| {
        let scope = site_scope(tenant, row, 12)?;
        let own = (scope.site.clone(), RecordId::from_bytes(bytes(row, 13)?));
        Ok((own, (read_record(&scope, row)?, time(row, 14)?)))
    })?;
    Ok(found.into_iter().collect())
}

/// Those of the units that change no line that another one before them stands on, and the numbers of these lines.
fn apart<'u>(
    units: &'u [Arc<AppendRecord>],
    followed: &HashMap<(Site, RecordId), ConsentRecord>,
) -> (Vec<(usize, &'u AppendRecord)>, Vec<i64>) {
    let (mut apart, mut keys) = (Vec::new(), Vec::new());
    let (mut lines, mut records) = (HashSet::new(), HashSet::new());
    for (i, unit) in units.iter().enumerate() {
        // What it follows may be gone by the time that the line is ours: then it begins its own.
        let mut own = vec![unit.new.record.subject];
        own.extend(unit.follows().and_then(|id| followed.get(&id)).map(|r| r.subject));
        if own.iter().any(|line| lines.contains(&(unit.site(), *line))) || records.contains(&unit.id()) {
            continue;
        }
        records.insert(unit.id());
        for line in own {
            lines.insert((unit.site(), line));
            keys.push(locks::key(&unit.new.record.scope, Named::Line(line)));
        }
        apart.push((i, &**unit));
    }
    (apart, keys)
}

/// A record as it is appended, and what there was of its line before.
struct Appending<'u> {
    unit: &'u AppendRecord,
    /// Its place among the units.
    place: usize,
    record: ConsentRecord,
    before: Option<ConsentRecord>,
}

impl Appending<'_> {
    fn line(&self) -> (&str, SubjectDigest) {
        (self.record.scope.site.as_str(), self.record.subject)
    }
}

/// The contacts of lines, locked, with the line of each.
async fn lock_contacts(
    on: &mut On<'_>,
    tenant: &Tenant,
    appending: &[Appending<'_>],
) -> UnitResult<HashMap<(String, ContactId), SubjectDigest>> {
    let locked = on
        .q("SELECT c.site, c.id, c.consent_line FROM unnest($2::text[], $3::bytea[]) AS l (site, line)
            JOIN privet.contacts c ON c.tenant = $1 AND c.site = l.site AND c.consent_line = l.line
            ORDER BY c.site, c.id FOR UPDATE OF c")
        .bind(tenant.as_str())
        .bind(appending.iter().map(|a| a.line().0).collect::<Vec<_>>())
        .bind(appending.iter().map(|a| a.line().1.as_bytes().to_vec()).collect::<Vec<_>>())
        .fetch_all(&mut *on.c)
        .await?;
    let locked = rows::all(&locked, |row| {
        let contact = (row.try_get(0)?, ContactId::from_bytes(bytes(row, 1)?));
        Ok((contact, SubjectDigest::from_bytes(bytes(row, 2)?)))
    })?;
    Ok(locked.into_iter().collect())
}

/// What records do to the contacts of their lines: what was marked, by the place of the record.
async fn change_contacts(
    on: &mut On<'_>,
    tenant: &Tenant,
    appending: &[Appending<'_>],
) -> UnitResult<HashMap<usize, Vec<Erasing>>> {
    let locked = lock_contacts(on, tenant, appending).await?;
    let there: HashSet<_> = locked.iter().map(|((site, _), line)| (site.as_str(), *line)).collect();
    // Most records have no contact yet.
    let appending: Vec<_> = appending.iter().filter(|a| there.contains(&a.line())).collect();
    forget(on, tenant, appending.iter().filter(|a| a.unit.new.forgets).copied()).await?;
    let (granting, ending): (Vec<_>, Vec<_>) =
        appending.into_iter().partition(|a| a.record.grants(a.unit.contacts, a.record.at));
    renew(on, tenant, &granting).await?;
    let (keeping, ending): (Vec<_>, Vec<_>) = ending.into_iter().partition(|a| a.unit.new.keeps.is_some());
    keep(on, tenant, &keeping).await?;
    mark(on, tenant, &ending, &locked).await
}

fn lines_of<'a>(appending: impl Iterator<Item = &'a Appending<'a>>) -> (Vec<&'a str>, Vec<Vec<u8>>) {
    appending.map(|a| (a.line().0, a.record.subject.as_bytes().to_vec())).unzip()
}

async fn forget<'a>(
    on: &mut On<'_>,
    tenant: &Tenant,
    appending: impl Iterator<Item = &'a Appending<'a>>,
) -> UnitResult<()> {
    let (sites, lines) = lines_of(appending);
    if lines.is_empty() {
        return Ok(());
    }
    on.q("UPDATE privet.contacts c SET identity = NULL, identity_text = NULL
          FROM unnest($2::text[], $3::bytea[]) AS l (site, line)
          WHERE c.tenant = $1 AND c.site = l.site AND c.consent_line = l.line AND c.identity IS NOT NULL")
        .bind(tenant.as_str())
        .bind(sites)
        .bind(lines)
        .execute(&mut *on.c)
        .await?;
    Ok(())
}

async fn renew(on: &mut On<'_>, tenant: &Tenant, granting: &[&Appending<'_>]) -> UnitResult<()> {
    if granting.is_empty() {
        return Ok(());
    }
    let (sites, lines) = lines_of(granting.iter().copied());
    on.q("UPDATE privet.contacts c SET consent = l.consent, consent_until = l.until, material = l.material,
            frozen_until = NULL, kept_on = NULL
          FROM unnest($2::text[], $3::bytea[], $4::bytea[], $5::bigint[], $6::bytea[]) AS l (site, line, consent, until, material)
          WHERE c.tenant = $1 AND c.site = l.site AND c.consent_line = l.line AND c.erasing IS NULL")
        .bind(tenant.as_str())
        .bind(sites)
        .bind(lines)
        .bind(granting.iter().map(|a| a.record.id.as_bytes().to_vec()).collect::<Vec<_>>())
        .bind(granting.iter().map(|a| ms(a.record.until)).collect::<Vec<_>>())
        .bind(
            granting
                .iter()
                .map(|a| a.record.fingerprint_of(a.unit.contacts).unwrap_or_default().to_vec())
                .collect::<Vec<_>>(),
        )
        .execute(&mut *on.c)
        .await?;
    Ok(())
}

async fn keep(on: &mut On<'_>, tenant: &Tenant, keeping: &[&Appending<'_>]) -> UnitResult<()> {
    if keeping.is_empty() {
        return Ok(());
    }
    let (sites, lines) = lines_of(keeping.iter().copied());
    on.q("UPDATE privet.contacts c SET kept_on = l.basis, consent_until = $5, frozen_until = NULL
          FROM unnest($2::text[], $3::bytea[], $4::smallint[]) AS l (site, line, basis)
          WHERE c.tenant = $1 AND c.site = l.site AND c.consent_line = l.line AND c.erasing IS NULL")
        .bind(tenant.as_str())
        .bind(sites)
        .bind(lines)
        .bind(
            keeping.iter().map(|a| a.unit.new.keeps.map(|basis| i16::from(basis.code()))).collect::<Vec<_>>(),
        )
        .bind(ms(NEVER_LAPSES))
        .execute(&mut *on.c)
        .await?;
    Ok(())
}

/// A statement for each site, cause and end of the fence, of which there are few.
async fn mark(
    on: &mut On<'_>,
    tenant: &Tenant,
    ending: &[&Appending<'_>],
    locked: &HashMap<(String, ContactId), SubjectDigest>,
) -> UnitResult<HashMap<usize, Vec<Erasing>>> {
    let kind = |a: &Appending<'_>| (a.record.act.erasure_cause().code(), a.unit.fence_until);
    let mut alike = BTreeMap::<_, Vec<_>>::new();
    for a in ending {
        let (site, line) = a.line();
        alike.entry((site, kind(a))).or_default().push(line.as_bytes().to_vec());
    }
    let places: HashMap<_, _> = ending.iter().map(|a| (a.line(), a.place)).collect();
    let mut erasing = HashMap::<_, Vec<_>>::new();
    for ((site, (cause, fence_until)), lines) in alike {
        // Site by site, since Citus takes no set of pairs in a statement that changes what it finds.
        let marked = on
            .q(mark_contacts!("site = $4 AND consent_line = ANY($5) ORDER BY id"))
            .bind(tenant.as_str())
            .bind(i16::from(cause))
            .bind(ms(fence_until))
            .bind(site)
            .bind(lines)
            .fetch_all(&mut *on.c)
            .await?;
        for marked in rows::all(&marked, |row| read_erasing(row, contact_kind))? {
            let ErasingKind::Contact(id) = marked.kind else { continue };
            let site = marked.scope.site.as_str();
            let place = locked.get(&(site.to_owned(), id)).and_then(|line| places.get(&(site, *line)));
            if let Some(place) = place {
                erasing.entry(*place).or_default().push(marked);
            }
        }
    }
    erasing.values_mut().for_each(|marked| marked.sort_by_key(by_contact));
    Ok(erasing)
}

/// What is marked among the contacts of a record's line.
async fn marked_of_line(on: &mut On<'_>, record: &ConsentRecord) -> UnitResult<Vec<Erasing>> {
    let marked = on
        .q("SELECT tenant, site, id, subject, erasing FROM privet.contacts
            WHERE tenant = $1 AND site = $2 AND consent_line = $3 AND erasing IS NOT NULL ORDER BY id")
        .bind(record.scope.tenant.as_str())
        .bind(record.scope.site.as_str())
        .bind(record.subject.as_bytes().as_slice())
        .fetch_all(&mut *on.c)
        .await?;
    Ok(rows::all(&marked, |row| read_erasing(row, contact_kind))?)
}

fn by_contact(erasing: &Erasing) -> Option<ContactId> {
    match erasing.kind {
        ErasingKind::Contact(id) => Some(id),
        ErasingKind::Conversation(_) => None,
    }
}

impl Unit for AppendRecord {
    type Answer = AppendedRecord;

    fn tenant(&self) -> &Tenant {
        &self.new.record.scope.tenant
    }

    async fn together(on: &mut On<'_>, units: &[Arc<Self>]) -> UnitResult<Vec<Became<AppendedRecord>>> {
        let mut became: Vec<_> = units.iter().map(|_| Became::Later).collect();
        let Some(tenant) = units.first().map(|unit| unit.tenant()) else { return Ok(became) };
        let followed: Vec<_> = units.iter().filter_map(|unit| unit.follows()).collect();
        let followed = records(on, tenant, &followed).await?;
        let (apart, keys) = apart(units, &followed);
        locks::alone(on, keys).await?;
        // Asked once the lines are locked, so that the same record twice at once is one, and what was cut from its person
        // before is found no more.
        let own: Vec<_> = apart.iter().map(|(_, unit)| unit.id()).collect();
        let there = records(on, tenant, &own).await?;
        let follows: Vec<_> = apart.iter().filter_map(|(_, unit)| unit.follows()).collect();
        let latest = latest_of_lines(on, tenant, &follows).await?;
        let mut appending = Vec::new();
        for (place, unit) in apart {
            if let Some(there) = there.get(&unit.id()) {
                let grants = there.grants(unit.contacts, there.at);
                let marked = if grants { Vec::new() } else { marked_of_line(on, there).await? };
                became[place] = Became::Done(Ok(AppendedRecord::new(there.clone(), marked)));
                continue;
            }
            let joined = unit.follows().and_then(|id| latest.get(&id).cloned());
            let (before, line_until) =
                joined.map_or((None, None), |(latest, until)| (Some(latest), Some(until)));
            match (joining_line(unit.new.record.clone(), before.as_ref(), line_until), before) {
                (Some(record), before) => appending.push(Appending { unit, place, record, before }),
                (None, Some(latest)) => {
                    became[place] = Became::Done(Ok(AppendedRecord::new(latest, Vec::new())));
                }
                (None, None) => {
                    let record = unit.new.record.clone();
                    appending.push(Appending { unit, place, record, before: None });
                }
            }
        }
        if appending.is_empty() {
            return Ok(became);
        }
        let mut erasing = change_contacts(on, tenant, &appending).await?;
        let notifications: Vec<_> = appending
            .iter()
            .flat_map(|a| notifications_of(&a.unit.new.notify, a.before.as_ref(), &a.record))
            .collect();
        outbox::insert(on, &notifications).await?;
        let appended: Vec<_> = appending.iter().map(|a| &a.record).collect();
        chain::append(on, tenant, &appended).await?;
        for Appending { place, record, .. } in appending {
            let erasing = erasing.remove(&place).unwrap_or_default();
            became[place] = Became::Done(Ok(AppendedRecord::new(record, erasing)));
        }
        Ok(became)
    }
}
