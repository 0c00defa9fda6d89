//! What consent can be shown by: the visitor's receipt, and a chain of records that is whole.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{self, Write};
use std::sync::PoisonError;

use data_encoding::HEXLOWER;
use serde_json::json;

use super::Privet;
use crate::clock::Timestamp;
use crate::consent::{ConsentRecord, Receipt, standpoints};
use crate::error::{Error, Result};
use crate::scope::Tenant;
use crate::store::{ChainLink, Chained, KeptRecord, Ledger, LedgerEntry, Store, record_digest};
use crate::visit::Visit;

/// Links that are read at once.
const PAGE: u16 = 1_000;

/// What is wrong with a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Damage {
    /// The record is not what was appended.
    RecordChanged,
    /// The record is gone before its time.
    RecordMissing,
    /// The link does not follow from the one before.
    LinkChanged,
    /// The link is gone, while later ones are there.
    LinkMissing,
    /// The link is whole, and not the one that the ledger knows: the chain was written anew.
    Rewritten,
    /// The ledger knows of later links: the end of the chain was cut off.
    TailCut,
    /// Records stand beside the chain.
    Unchained,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RecordChanged => "the record is not what was appended",
            Self::RecordMissing => "the record is gone before its time",
            Self::LinkChanged => "the link does not follow from the one before",
            Self::LinkMissing => "the link is gone",
            Self::Rewritten => "the link is not the one that the ledger knows",
            Self::TailCut => "the chain was longer: its end was cut off",
            Self::Unchained => "there are records beside the chain",
        })
    }
}

/// What [`Privet::verify_consent`] found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use = "a chain that is not whole is in `damage`"]
#[non_exhaustive]
pub struct ChainReport {
    /// Records that are there and whole.
    pub records: u64,
    /// Records that are there and whole, and whose person was cut from them when they were erased. Who can write into
    /// the database could cut one as well: what was erased on request is in the ledger.
    pub severed: u64,
    /// Records that were purged when their time was over.
    pub purged: u64,
    /// The last link.
    pub head: Option<ChainLink>,
    /// The number of the last link that the ledger knows: what comes after it could be cut off unseen.
    pub anchored: u64,
    /// The first place that is not whole: the number of its link, and what is wrong there.
    pub damage: Option<(u64, Damage)>,
}

impl Privet {
    /// The visitor's copy of what is recorded of them; none while nothing is granted, since a device that refused
    /// everything holds nothing that it could be found by.
    ///
    /// # Errors
    /// What the store says.
    pub async fn receipt(&self, visit: &Visit) -> Result<Option<Receipt>> {
        let Some(id) = visit.consent().record() else { return Ok(None) };
        let line = self.store().line(visit.scope(), id).await?;
        let Some(record) = line.last().cloned() else { return Ok(None) };
        let notice = self.store().notice(visit.scope(), record.notice).await?;
        let made = self.now();
        let standpoints = standpoints(&line, |code, kept| visit.site().stands_for_code(code, kept), made);
        Ok(Some(Receipt { record, notice, standpoints, made }))
    }

    /// Looks through a tenant's chain of consent records, and finds the first that was changed, added or taken out; with
    /// the ledger also a chain that was written anew or whose end was cut off.
    ///
    /// It reads every record once, a thousand at a time.
    ///
    /// # Errors
    /// What the store or the ledger says.
    pub async fn verify_consent(&self, tenant: &Tenant) -> Result<ChainReport> {
        let purged_before = self.horizon(tenant, self.now()).await?.records;
        verify_chain(self.store(), self.ledger(), tenant, purged_before).await
    }

    /// Writes into the ledger how far each tenant's chain of consent records goes, where it went on since the last time;
    /// [`run`](Self::run) does it every minute. How many it wrote.
    ///
    /// # Errors
    /// What the store or the ledger says.
    pub async fn anchor_consent(&self) -> Result<usize> {
        let at = self.now();
        let heads = self.store().chain_heads().await?;
        let moved: Vec<_> = {
            let anchored = self.anchored().lock().unwrap_or_else(PoisonError::into_inner);
            heads.into_iter().filter(|(tenant, link)| anchored.get(tenant) != Some(&link.seq)).collect()
        };
        if moved.is_empty() {
            return Ok(0);
        }
        let entries: Vec<_> = moved
            .iter()
            .map(|(tenant, link)| LedgerEntry::Head { tenant: tenant.clone(), link: *link, at })
            .collect();
        self.ledger().append(&entries).await?;
        let mut anchored = self.anchored().lock().unwrap_or_else(PoisonError::into_inner);
        anchored.extend(moved.iter().map(|(tenant, link)| (tenant.clone(), link.seq)));
        Ok(moved.len())
    }

    /// Writes a tenant's chain as JSON Lines, a link each, with its record as long as that is there: what an inspector
    /// gets. The person of a record stands in it as a commitment, which names nobody; the hashes are those of
    /// [`Salt::digest`](crate::store::Salt::digest) and [`ChainLink::hash_after`]. `segment` chooses one month, counted
    /// from January 1970. How many links it wrote.
    ///
    /// # Errors
    /// What the store says, or what `out` says, as [`Error::Unavailable`].
    pub async fn export_consent(
        &self,
        tenant: &Tenant,
        segment: Option<i64>,
        out: &mut (dyn Write + Send),
    ) -> Result<u64> {
        let (mut last, mut written) = (None, 0);
        loop {
            let page = self.store().chain(tenant, last.as_ref(), PAGE).await?;
            for chained in page.iter().filter(|c| segment.is_none_or(|s| s == c.link.segment)) {
                write_line(out, chained).map_err(|e| Error::unavailable("export", e))?;
                written += 1;
            }
            match page.last() {
                Some(chained) if page.len() == usize::from(PAGE) => last = Some(chained.link),
                _ => return Ok(written),
            }
        }
    }
}

/// As [`Privet::verify_consent`], of a store and a ledger that nobody serves from. A record whose decisions lapsed before
/// `purged_before` may be gone.
///
/// # Errors
/// What the store or the ledger says.
pub async fn verify_chain(
    store: &dyn Store,
    ledger: &dyn Ledger,
    tenant: &Tenant,
    purged_before: Timestamp,
) -> Result<ChainReport> {
    let mut anchors: BTreeMap<u64, ChainLink> = BTreeMap::new();
    let mut anchored_twice = BTreeSet::new();
    for entry in ledger.entries().await? {
        let LedgerEntry::Head { tenant: of, link, .. } = entry else { continue };
        if of == *tenant && *anchors.entry(link.seq).or_insert(link) != link {
            anchored_twice.insert(link.seq);
        }
    }
    let anchored = anchors.last_key_value().map_or(0, |(seq, _)| *seq);
    let mut report = ChainReport { anchored, ..ChainReport::default() };
    loop {
        let page = store.chain(tenant, report.head.as_ref(), PAGE).await?;
        let last = page.len() < usize::from(PAGE);
        for Chained { link, record } in page {
            let before = report.head.replace(link);
            let expected = before.map_or(0, |b| b.seq) + 1;
            let wrong = if link.seq != expected {
                Some(Damage::LinkMissing)
            } else if link.hash != link.hash_after(before.as_ref(), tenant) {
                Some(Damage::LinkChanged)
            } else if anchored_twice.contains(&link.seq)
                || anchors.get(&link.seq).is_some_and(|anchor| *anchor != link)
            {
                Some(Damage::Rewritten)
            } else {
                match record {
                    KeptRecord::Whole(record, salt)
                        if salt.digest(&record) == link.digest && record.until == link.until =>
                    {
                        report.records += 1;
                        None
                    }
                    KeptRecord::Severed(record, commitment)
                        if record_digest(&record, &commitment) == link.digest
                            && record.until == link.until =>
                    {
                        report.severed += 1;
                        None
                    }
                    KeptRecord::Whole(..) | KeptRecord::Severed(..) | KeptRecord::Unreadable => {
                        Some(Damage::RecordChanged)
                    }
                    KeptRecord::Gone if link.until < purged_before => {
                        report.purged += 1;
                        None
                    }
                    KeptRecord::Gone => Some(Damage::RecordMissing),
                }
            };
            if let Some(damage) = wrong {
                report.damage = Some((expected, damage));
                return Ok(report);
            }
        }
        if last {
            break;
        }
    }
    let end = report.head.map_or(0, |head| head.seq);
    if end < anchored {
        report.damage = Some((end + 1, Damage::TailCut));
    } else if store.unchained_records(tenant).await? > 0 {
        report.damage = Some((end + 1, Damage::Unchained));
    }
    Ok(report)
}

fn write_line(out: &mut (dyn Write + Send), Chained { link, record }: &Chained) -> io::Result<()> {
    let written = |r: &ConsentRecord, commitment: &[u8; 32]| {
        json!({
            "site": r.scope.site.as_str(),
            "commitment": HEXLOWER.encode(commitment),
            "act": r.act,
            "at": r.at.to_string(),
            "notice": r.notice.to_string(),
            "language": r.language.as_str(),
            "regime": r.regime,
            "method": r.method,
            "gesture": r.gesture,
            "gpc": r.gpc,
            "decisions": r.decisions,
        })
    };
    let record = match record {
        KeptRecord::Whole(r, salt) => written(r, &salt.commitment(r.id, r.subject)),
        KeptRecord::Severed(r, commitment) => written(r, commitment),
        KeptRecord::Gone => json!(null),
        KeptRecord::Unreadable => json!("unreadable"),
    };
    let line = json!({
        "segment": link.segment,
        "seq": link.seq,
        "until": link.until.to_string(),
        "digest": HEXLOWER.encode(&link.digest),
        "hash": HEXLOWER.encode(&link.hash),
        "record": record,
    });
    serde_json::to_writer(&mut *out, &line)?;
    out.write_all(b"\n")
}
