//! Rules, what has expired, and its removal in steps.

use async_trait::async_trait;

use super::MemoryStore;
use super::outbox::Posted;
use crate::clock::{Day, Timestamp};
use crate::consent::{ConsentRecord, CountKind, NoticeId};
use crate::contact::{Conversation, Owner};
use crate::error::Result;
use crate::retention::{DataClass, RetentionRule};
use crate::scope::{Scope, Tenant};
use crate::store::outbox::Delivery;
use crate::store::traits::RetentionStore;
use crate::store::types::{EraseStep, Erasing, ErasingKind, ErasureCause, Horizon};

#[async_trait]
impl RetentionStore for MemoryStore {
    async fn tenants(&self) -> Result<Vec<Tenant>> {
        let tables = self.locked();
        let mut all: Vec<_> = tables
            .contacts
            .keys()
            .map(|(s, _)| &s.tenant)
            .chain(tables.conversations.keys().map(|(s, _)| &s.tenant))
            .chain(tables.records.iter().map(|r| &r.scope.tenant))
            .chain(tables.counts.keys().map(|(s, ..)| &s.tenant))
            .chain(tables.outbox.iter().map(|p| &p.notification.scope.tenant))
            .chain(tables.audit.iter().map(|e| &e.tenant))
            .cloned()
            .collect();
        all.sort();
        all.dedup();
        Ok(all)
    }

    async fn rules(&self, tenant: &Tenant) -> Result<Vec<RetentionRule>> {
        Ok(self.locked().rules.iter().filter(|((t, _), _)| t == tenant).map(|(_, r)| *r).collect())
    }

    async fn set_rule(&self, tenant: &Tenant, rule: &RetentionRule) -> Result<()> {
        self.locked().rules.insert((tenant.clone(), rule.class()), *rule);
        Ok(())
    }

    async fn purge_step(
        &self,
        tenant: &Tenant,
        class: DataClass,
        max: u32,
        horizon: &Horizon,
        fence_until: Timestamp,
    ) -> Result<u32> {
        let mut tables = self.locked();
        tables.check_lease(horizon.lease)?;
        let max = max as usize;
        let taken = match class {
            DataClass::Contacts => {
                let due: Vec<_> = tables
                    .contacts
                    .iter()
                    .filter(|((s, _), row)| {
                        s.tenant == *tenant && row.erasing.is_none() && horizon.ends_contact(&row.value)
                    })
                    .map(|(k, _)| k.clone())
                    .take(max)
                    .collect();
                for (scope, id) in &due {
                    tables.mark_contact(scope, *id, ErasureCause::Retention, fence_until);
                }
                due.len()
            }
            DataClass::Conversations | DataClass::SessionConversations | DataClass::SupportConversations => {
                let due: Vec<_> = tables
                    .conversations
                    .iter()
                    .filter(|((s, _), row)| {
                        s.tenant == *tenant && row.erasing.is_none() && class_of(&row.value) == class
                    })
                    .filter(|(_, row)| !horizon.shows_conversation(&row.value))
                    .map(|(k, _)| k.clone())
                    .take(max)
                    .collect();
                for (scope, id) in &due {
                    tables.mark_conversation(scope, *id, ErasureCause::Retention);
                }
                due.len()
            }
            DataClass::Messages => {
                let due: Vec<_> = tables
                    .messages
                    .iter()
                    .filter(|((s, _, _), m)| s.tenant == *tenant && m.at < horizon.messages)
                    .map(|(k, _)| k.clone())
                    .take(max)
                    .collect();
                due.iter().for_each(|k| drop(tables.messages.remove(k)));
                due.len()
            }
            DataClass::ConsentRecords => {
                let due = |r: &ConsentRecord| r.scope.tenant == *tenant && r.until < horizon.records;
                let due: Vec<_> = tables.records.iter().filter(|r| due(r)).map(|r| r.id).take(max).collect();
                tables.records.retain(|r| r.scope.tenant != *tenant || !due.contains(&r.id));
                for id in &due {
                    tables.salts.remove(&(tenant.clone(), *id));
                    tables.severed.remove(&(tenant.clone(), *id));
                }
                due.len()
            }
            DataClass::Notifications => {
                let ends = |p: &Posted| {
                    p.notification.scope.tenant == *tenant
                        && match p.notification.delivery {
                            Delivery::Waiting { .. } => false,
                            Delivery::Delivered { at } | Delivery::GivenUp { at } => {
                                at < horizon.notifications
                            }
                        }
                };
                let mut taken = 0;
                tables.outbox.retain(|p| {
                    let goes = taken < max && ends(p);
                    taken += usize::from(goes);
                    !goes
                });
                taken
            }
            DataClass::AuditEvents => {
                let mut taken = 0;
                tables.audit.retain(|e| {
                    let goes = taken < max && e.tenant == *tenant && e.at < horizon.audit;
                    taken += usize::from(goes);
                    !goes
                });
                taken
            }
            DataClass::ConsentCounts => {
                let due = |(s, day, ..): &(Scope, Day, CountKind, NoticeId)| {
                    s.tenant == *tenant && *day < horizon.counts.day()
                };
                let due: Vec<_> = tables.counts.keys().filter(|k| due(k)).take(max).cloned().collect();
                tables.counts.retain(|k, _| !due.contains(k));
                due.len()
            }
        };
        Ok(u32::try_from(taken).unwrap_or(u32::MAX))
    }

    async fn erasing(&self, tenant: Option<&Tenant>, max: u32) -> Result<Vec<Erasing>> {
        let tables = self.locked();
        let mine = |s: &Scope| tenant.is_none_or(|t| *t == s.tenant);
        let contacts = tables.contacts.iter().filter_map(|((scope, id), row)| {
            Some(Erasing::new(
                scope.clone(),
                ErasingKind::Contact(*id),
                Some(row.value.subject),
                row.erasing?,
            ))
        });
        let conversations = tables.conversations.iter().filter_map(|((scope, id), row)| {
            Some(Erasing::new(scope.clone(), ErasingKind::Conversation(*id), row.subject, row.erasing?))
        });
        Ok(contacts.chain(conversations).filter(|e| mine(&e.scope)).take(max as usize).collect())
    }

    async fn erase_step(&self, erasing: &[Erasing], max: u32) -> Result<EraseStep> {
        let mut tables = self.locked();
        EraseStep::walk(erasing, max, |each, max| tables.remove(each, max))
    }

    async fn purge_fences(&self, now: Timestamp) -> Result<u64> {
        let mut tables = self.locked();
        let before = tables.fences.len();
        tables.fences.retain(|_, (_, until)| *until > now);
        Ok((before - tables.fences.len()) as u64)
    }
}

fn class_of(conversation: &Conversation) -> DataClass {
    match conversation.owner {
        Owner::Contact(_) => DataClass::Conversations,
        Owner::Session(_) if conversation.live_support => DataClass::SupportConversations,
        Owner::Session(_) => DataClass::SessionConversations,
    }
}
