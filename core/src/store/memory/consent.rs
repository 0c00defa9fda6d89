//! Notices and consent records.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::outbox::Posted;
use super::{MemoryStore, Tables};
use crate::catalogue::{CategoryCode, NewStatement, StatementVersion};
use crate::clock::{Day, Timestamp};
use crate::consent::{ConsentCount, ConsentRecord, NoticeId, NoticeSnapshot, RecordId};
use crate::contact::FenceEpoch;
use crate::error::Result;
use crate::scope::{Scope, Tenant};
use crate::store::chain::{ChainLink, Chained, KeptRecord};
use crate::store::counts::CountBatch;
use crate::store::outbox::notifications_of;
use crate::store::traits::ConsentStore;
use crate::store::types::{
    AppendedRecord, ConsentProof, NEVER_LAPSES, NewRecord, SubjectDigest, joining_line,
};

#[async_trait]
impl ConsentStore for MemoryStore {
    async fn publish_notice(&self, scope: &Scope, notice: &NoticeSnapshot) -> Result<()> {
        self.locked().notices.entry((scope.clone(), notice.id)).or_insert_with(|| notice.clone());
        Ok(())
    }

    async fn notice(&self, scope: &Scope, id: NoticeId) -> Result<Option<NoticeSnapshot>> {
        Ok(self.locked().notices.get(&(scope.clone(), id)).cloned())
    }

    async fn publish_statement(
        &self,
        scope: &Scope,
        statement: &NewStatement,
        at: Timestamp,
    ) -> Result<StatementVersion> {
        let mut tables = self.locked();
        let versions = tables.statements.entry(scope.clone()).or_default();
        if let Some(latest) = versions.last().filter(|v| v.hash == statement.hash) {
            return Ok(latest.clone());
        }
        let number = u32::try_from(versions.len()).unwrap_or(u32::MAX) + 1;
        let version = StatementVersion::new(number, at, statement.hash, statement.body.clone());
        versions.push(version.clone());
        Ok(version)
    }

    async fn statements(&self, scope: &Scope) -> Result<Vec<StatementVersion>> {
        Ok(self.locked().statements.get(scope).cloned().unwrap_or_default())
    }

    async fn append_record(
        &self,
        new: &NewRecord,
        contacts: CategoryCode,
        fence_until: Timestamp,
    ) -> Result<AppendedRecord> {
        let mut tables = self.locked();
        let scope = &new.record.scope;
        if let Some(there) = tables.record(scope, new.record.id).cloned() {
            let marked =
                if there.grants(contacts, there.at) { Vec::new() } else { tables.marked_of_line(&there) };
            return Ok(AppendedRecord::new(there, marked));
        }
        let latest = new.follows.and_then(|id| tables.latest(scope, id)).cloned();
        let of_line =
            tables.records.iter().filter(|r| latest.as_ref().is_some_and(|l| l.subject == r.subject));
        let line_until = of_line.map(|r| r.until).max();
        let latest_before = latest.clone();
        let record = match (joining_line(new.record.clone(), latest.as_ref(), line_until), latest) {
            (Some(record), _) => record,
            (None, Some(latest)) => return Ok(AppendedRecord::new(latest, Vec::new())),
            (None, None) => new.record.clone(),
        };
        let of_line: Vec<_> = tables
            .contacts
            .iter()
            .filter(|((s, _), row)| s == scope && row.erasing.is_none())
            .filter(|(_, row)| {
                tables.record(scope, row.value.consent).is_some_and(|r| r.subject == record.subject)
            })
            .map(|((_, id), _)| *id)
            .collect();
        let mut erasing = Vec::new();
        if new.forgets {
            for id in &of_line {
                if let Some(row) = tables.contacts.get_mut(&(scope.clone(), *id)) {
                    row.value.identity = None;
                }
            }
        }
        for id in of_line {
            if record.grants(contacts, record.at) {
                if let Some(row) = tables.contacts.get_mut(&(scope.clone(), id)) {
                    row.value.stand_on(&record, contacts);
                }
            } else if let Some(basis) = new.keeps {
                if let Some(row) = tables.contacts.get_mut(&(scope.clone(), id)) {
                    row.value.kept_on = Some(basis);
                    row.value.consent_until = NEVER_LAPSES;
                    row.value.frozen_until = None;
                }
            } else {
                let cause = record.act.erasure_cause();
                erasing.extend(tables.mark_contact(scope, id, cause, fence_until));
            }
        }
        let notify = notifications_of(&new.notify, latest_before.as_ref(), &record);
        tables
            .outbox
            .extend(notify.into_iter().map(|notification| Posted { notification, leased_until: None }));
        let tenant = &record.scope.tenant;
        let (link, salt) = ChainLink::after(tables.last_link(tenant), &record)?;
        tables.links.insert((tenant.clone(), link.seq), (link, record.id));
        tables.salts.insert((tenant.clone(), record.id), salt);
        tables.records.push(record.clone());
        Ok(AppendedRecord::new(record, erasing))
    }

    async fn record(&self, scope: &Scope, id: RecordId) -> Result<Option<ConsentRecord>> {
        Ok(self.locked().record(scope, id).cloned())
    }

    async fn latest_record(&self, scope: &Scope, id: RecordId) -> Result<Option<ConsentRecord>> {
        Ok(self.locked().latest(scope, id).cloned())
    }

    async fn line_head(&self, scope: &Scope, line: SubjectDigest) -> Result<Option<ConsentRecord>> {
        let tables = self.locked();
        Ok(tables.records.iter().rfind(|r| r.scope == *scope && r.subject == line).cloned())
    }

    async fn line(&self, scope: &Scope, id: RecordId) -> Result<Vec<ConsentRecord>> {
        let tables = self.locked();
        let Some(line) = tables.record(scope, id).map(|r| r.subject) else { return Ok(Vec::new()) };
        let of_line = tables.records.iter().filter(|r| r.scope == *scope && r.subject == line);
        Ok(of_line.cloned().collect())
    }

    async fn holds(&self, proof: &ConsentProof, now: Timestamp) -> Result<bool> {
        Ok(self.locked().holds(proof, now))
    }

    async fn chain(&self, tenant: &Tenant, after: Option<&ChainLink>, limit: u16) -> Result<Vec<Chained>> {
        let tables = self.locked();
        let from = (tenant.clone(), after.map_or(0, |link| link.seq + 1));
        let links = tables.links.range(from..).take_while(|((t, _), _)| t == tenant);
        let chained = links.take(limit.into()).map(|(_, (link, id))| {
            let salt = tables.salts.get(&(tenant.clone(), *id)).copied();
            let record = tables.records.iter().find(|r| r.scope.tenant == *tenant && r.id == *id);
            let severed = tables.severed.get(&(tenant.clone(), *id)).copied();
            let kept = match (record.cloned().map(Box::new), salt, severed) {
                (Some(record), Some(salt), _) => KeptRecord::Whole(record, salt),
                (Some(record), None, Some(commitment)) => KeptRecord::Severed(record, commitment),
                _ => KeptRecord::Gone,
            };
            Chained::new(*link, kept)
        });
        Ok(chained.collect())
    }

    async fn chain_heads(&self) -> Result<Vec<(Tenant, ChainLink)>> {
        let tables = self.locked();
        let heads: BTreeMap<_, _> =
            tables.links.iter().map(|((t, _), (link, _))| (t.clone(), *link)).collect();
        Ok(heads.into_iter().collect())
    }

    async fn unchained_records(&self, _: &Tenant) -> Result<u64> {
        Ok(0)
    }

    async fn add_consent_counts(&self, batch: &CountBatch) -> Result<()> {
        let mut tables = self.locked();
        let (writer, number) = (SubjectDigest::from_bytes(*batch.writer()), FenceEpoch::new(batch.number()));
        if tables.is_fenced(batch.tenant(), writer, number) {
            return Ok(());
        }
        tables.fences.insert((batch.tenant().clone(), writer), (number, batch.until()));
        for c in batch.counts() {
            let counted = tables.counts.entry((c.scope.clone(), c.day, c.kind, c.notice)).or_default();
            *counted = counted.saturating_add(c.count);
        }
        Ok(())
    }

    async fn consent_counts(&self, scope: &Scope, from: Day, to: Day) -> Result<Vec<ConsentCount>> {
        let tables = self.locked();
        let of_site =
            tables.counts.iter().filter(|((s, day, ..), _)| s == scope && (from..=to).contains(day));
        Ok(of_site
            .map(|((s, day, kind, id), n)| ConsentCount::new(s.clone(), *day, *kind, *id, *n))
            .collect())
    }
}

impl Tables {
    fn last_link(&self, tenant: &Tenant) -> Option<&ChainLink> {
        let all = self.links.range((tenant.clone(), 0)..=(tenant.clone(), u64::MAX));
        all.map(|(_, (link, _))| link).next_back()
    }
}
