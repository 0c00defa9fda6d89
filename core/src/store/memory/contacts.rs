//! Contacts.

use std::ops::Bound;

use async_trait::async_trait;

use super::{GONE, MemoryStore, Row};
use crate::clock::Timestamp;
use crate::contact::{Contact, ContactId, ContactSummary};
use crate::error::{Error, Result};
use crate::scope::Scope;
use crate::store::portal::{ContactQuery, Direction};
use crate::store::traits::ContactStore;
use crate::store::types::{ConsentProof, ContactTouch, Erasing, ErasureCause, Horizon};

#[async_trait]
impl ContactStore for MemoryStore {
    async fn open_contact(&self, proof: &ConsentProof, contact: &Contact) -> Result<Contact> {
        let mut tables = self.locked();
        let scope = &proof.scope;
        tables.check(proof, scope, contact.created)?;
        if tables.is_fenced(&scope.tenant, contact.subject, contact.epoch) {
            return Err(Error::Fenced);
        }
        if let Some(there) = tables.live_of_line(scope, proof.record, contact.created) {
            return if there.frozen_until.is_none() { Ok(there) } else { Err(GONE) };
        }
        let record = tables.latest(scope, proof.record).cloned();
        let row = tables.contacts.entry((scope.clone(), contact.id)).or_insert_with(|| {
            let mut value = Contact { conversations: 0, ..contact.clone() };
            if let Some(record) = &record {
                value.stand_on(record, proof.category);
            }
            Row::new(value, None)
        });
        Ok(row.value.clone())
    }

    async fn touch_contacts(&self, touches: &[ContactTouch]) -> Result<u64> {
        let mut tables = self.locked();
        let mut moved = 0;
        for t in touches {
            let Some(row) = tables.contacts.get_mut(&(t.scope.clone(), t.id)) else { continue };
            let contact = &mut row.value;
            let there = row.erasing.is_none()
                && contact.frozen_until.is_none()
                && contact.last_seen >= t.gone_before
                && contact.consent_until > t.at;
            if there && contact.epoch == t.epoch && contact.last_seen < t.at {
                contact.last_seen = t.at;
                moved += 1;
            }
        }
        Ok(moved)
    }

    async fn contact(&self, scope: &Scope, id: ContactId, horizon: &Horizon) -> Result<Option<Contact>> {
        Ok(self.locked().shown_contact(scope, id, horizon).cloned())
    }

    async fn contact_lives(&self, scope: &Scope, id: ContactId) -> Result<bool> {
        let tables = self.locked();
        Ok(tables.contacts.get(&(scope.clone(), id)).is_some_and(|row| row.erasing.is_none()))
    }

    async fn contacts(
        &self,
        scope: &Scope,
        query: &ContactQuery,
        horizon: &Horizon,
    ) -> Result<Vec<ContactSummary>> {
        let tables = self.locked();
        let beyond = |c: &Contact| {
            query.after.is_none_or(|a| match query.direction {
                Direction::Older => (c.last_seen, c.id) < (a.last_seen, a.id),
                Direction::Newer => (c.last_seen, c.id) > (a.last_seen, a.id),
            })
        };
        let mut all: Vec<_> = tables
            .listed(scope, &query.filter, query.as_of, horizon)
            .filter(|c| beyond(c))
            .map(ContactSummary::from)
            .collect();
        all.sort_by_key(|c| std::cmp::Reverse((c.last_seen, c.id)));
        let limit = usize::from(query.limit);
        match query.direction {
            Direction::Older => all.truncate(limit),
            Direction::Newer => drop(all.drain(..all.len().saturating_sub(limit))),
        }
        Ok(all)
    }

    async fn freeze_contacts(
        &self,
        scope: &Scope,
        current: &[[u8; 3]],
        until: Timestamp,
        after: Option<ContactId>,
        max: u32,
    ) -> Result<Option<ContactId>> {
        let mut tables = self.locked();
        let after = after.map_or(Bound::Unbounded, Bound::Excluded);
        let from = match after {
            Bound::Excluded(id) => Bound::Excluded((scope.clone(), id)),
            _ => Bound::Included((scope.clone(), ContactId::from_bytes([0; 16]))),
        };
        let mut last = None;
        let rows = tables.contacts.range_mut((from, Bound::Unbounded)).take_while(|((s, _), _)| s == scope);
        for ((_, id), row) in rows.take(max as usize) {
            last = Some(*id);
            let contact = &mut row.value;
            if contact.kept_on.is_some() {
                continue;
            }
            contact.frozen_until = match contact.frozen_until {
                _ if current.contains(&contact.material) => None,
                frozen => frozen.or(Some(until)),
            };
        }
        Ok(last)
    }

    async fn begin_contact_erasure(
        &self,
        scope: &Scope,
        id: ContactId,
        cause: ErasureCause,
        fence_until: Timestamp,
    ) -> Result<Option<Erasing>> {
        Ok(self.locked().mark_contact(scope, id, cause, fence_until))
    }
}
