//! Notifications to recipients.

use async_trait::async_trait;

use super::MemoryStore;
use crate::clock::Timestamp;
use crate::error::Result;
use crate::scope::Tenant;
use crate::store::outbox::{Attempted, Delivery, Notification, NotificationId};
use crate::store::traits::OutboxStore;

/// A notification, and until when somebody is sending it.
#[derive(Clone, Debug)]
pub(super) struct Posted {
    pub(super) notification: Notification,
    pub(super) leased_until: Option<Timestamp>,
}

#[async_trait]
impl OutboxStore for MemoryStore {
    async fn claim_notifications(
        &self,
        now: Timestamp,
        until: Timestamp,
        max: u32,
    ) -> Result<Vec<Notification>> {
        let mut tables = self.locked();
        let free = |p: &&mut Posted| p.leased_until.is_none_or(|until| until <= now);
        let mut claimed: Vec<_> = tables
            .outbox
            .iter_mut()
            .filter(free)
            .filter_map(|p| match p.notification.delivery {
                Delivery::Waiting { due } if due <= now => Some((due, p)),
                _ => None,
            })
            .collect();
        claimed.sort_by_key(|(due, _)| *due);
        claimed.truncate(max as usize);
        Ok(claimed
            .into_iter()
            .map(|(_, p)| {
                p.leased_until = Some(until);
                p.notification.clone()
            })
            .collect())
    }

    async fn settle_notification(
        &self,
        claimed: &Notification,
        outcome: &Attempted,
        at: Timestamp,
    ) -> Result<bool> {
        let mut tables = self.locked();
        let found = tables.outbox.iter_mut().find(|p| {
            p.notification.id == claimed.id
                && p.notification.scope == claimed.scope
                && p.notification.attempts == claimed.attempts
        });
        let Some(posted) = found.filter(|p| matches!(p.notification.delivery, Delivery::Waiting { .. }))
        else {
            return Ok(false);
        };
        let (delivery, problem) = outcome.clone().stands(at);
        posted.notification.attempts += 1;
        posted.notification.delivery = delivery;
        posted.notification.problem = problem;
        posted.leased_until = None;
        Ok(true)
    }

    async fn notifications(
        &self,
        tenant: &Tenant,
        after: Option<(Timestamp, NotificationId)>,
        limit: u16,
    ) -> Result<Vec<Notification>> {
        let tables = self.locked();
        let of_tenant = tables.outbox.iter().map(|p| &p.notification).filter(|n| n.scope.tenant == *tenant);
        let mut all: Vec<_> =
            of_tenant.filter(|n| after.is_none_or(|after| (n.at, n.id) < after)).cloned().collect();
        all.sort_by_key(|n| std::cmp::Reverse((n.at, n.id)));
        all.truncate(limit.into());
        Ok(all)
    }
}
