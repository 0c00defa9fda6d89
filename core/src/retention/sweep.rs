use std::collections::BTreeMap;
use std::time::Duration;

use futures_timer::Delay;

use super::rule::DataClass;
use crate::catalogue::category_id;
use crate::clock::Timestamp;
use crate::contact::Removed;
use crate::error::Result;
use crate::legal::Figure;
use crate::privet::Privet;
use crate::scope::Tenant;
use crate::store::{Horizon, Lease};

/// Things in one step of a sweep.
const STEP: u32 = 500;
/// A breath for those who wait, between two steps.
const PAUSE: Duration = Duration::from_millis(5);

/// What a sweep did: counts only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SweepReport {
    /// How many things of each class had passed their period.
    pub expired: BTreeMap<DataClass, u64>,
    /// What was erased: what expired with all that hung on it, and what an interrupted erasure had left.
    pub removed: Removed,
    /// Fences whose time was over.
    pub fences: u64,
}

impl SweepReport {
    /// Whether there was nothing to do.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.expired.values().all(|n| *n == 0) && self.removed.is_nothing() && self.fences == 0
    }
}

impl Privet {
    /// Takes away what has passed its period at `now`, and ends erasures that were interrupted: children before
    /// parents, in small steps with pauses. Run by [`run`](Self::run), or by a job of one's own.
    ///
    /// # Errors
    /// What the store said about the last thing that it did not do, after everything else was done. The next
    /// sweep goes on.
    pub async fn sweep(&self, now: Timestamp) -> Result<SweepReport> {
        let mut report = SweepReport::default();
        // Whoever keeps house does all of it under the lease that they have now: what they know of the rules is of now, too.
        let lease = self.lease();
        self.forget_rules();
        // Somebody who was here in time must not be gone for what is only buffered.
        self.flush().await?;
        if let Err(error) = self.freeze_contacts(now).await {
            tracing::error!("contacts on a consent to something else could not be frozen: {error}");
        }
        let mut failed = self.erase_marked(None).await.map(|removed| report.removed += removed);
        let tenants = self.store().tenants().await?;
        if let Err(error) = self.drop_messages(&tenants, now, lease, &mut report).await {
            if Lease::is_lost(&error) {
                return Err(error);
            }
            tracing::error!("messages that are over for everybody could not be taken at once: {error}");
            failed = Err(error);
        }
        for tenant in tenants {
            let horizon = match self.horizon(&tenant, now).await {
                Ok(horizon) => horizon.under(lease),
                Err(error) => {
                    tracing::error!(%tenant, "a tenant's rules could not be read, and nothing of it is swept: {error}");
                    failed = Err(error);
                    continue;
                }
            };
            for class in DataClass::ALL {
                // What cannot be ended now keeps nothing else from its end.
                if let Err(error) = self.sweep_class(&tenant, *class, &horizon, &mut report).await {
                    if Lease::is_lost(&error) {
                        return Err(error);
                    }
                    tracing::error!(%tenant, class = class.as_str(), "a class of a tenant's data could not be swept: {error}");
                    failed = Err(error);
                }
            }
        }
        report.fences = self.store().purge_fences(now).await?;
        if !report.is_nothing() {
            tracing::info!(?report, "swept");
        }
        failed.map(|()| report)
    }

    /// Freezes the contacts of each site whose visitors agreed to something else than is asked today.
    pub(crate) async fn freeze_contacts(&self, now: Timestamp) -> Result<()> {
        let until = now + self.legal_figures().get(Figure::FrozenLife);
        for scope in self.scopes() {
            let site = self.site(scope)?;
            let Some(contacts) = site.catalogue.category(category_id::CONTACTS) else { continue };
            // While versions of the app change places, only the one that published last freezes and thaws.
            let Some(current) = site.fingerprints(self.store(), contacts).await? else { continue };
            let mut after = None;
            while let Some(last) = self.store().freeze_contacts(scope, &current, until, after, STEP).await? {
                after = Some(last);
                Delay::new(PAUSE).await;
            }
        }
        Ok(())
    }

    /// What is over for every tenant goes at once, where the store can do that.
    async fn drop_messages(
        &self,
        tenants: &[Tenant],
        now: Timestamp,
        lease: Option<Lease>,
        report: &mut SweepReport,
    ) -> Result<()> {
        let mut before: Option<Timestamp> = None;
        for tenant in tenants {
            let horizon = self.horizon(tenant, now).await?.messages;
            before = Some(before.map_or(horizon, |earliest| earliest.min(horizon)));
        }
        let Some(before) = before else { return Ok(()) };
        let horizon = Horizon::unlimited(now).with(DataClass::Messages, before).under(lease);
        let gone = self.store().drop_messages(&horizon, tenants).await?;
        if gone > 0 {
            *report.expired.entry(DataClass::Messages).or_default() += gone;
            report.removed.messages += gone;
        }
        Ok(())
    }

    async fn sweep_class(
        &self,
        tenant: &Tenant,
        class: DataClass,
        horizon: &Horizon,
        report: &mut SweepReport,
    ) -> Result<()> {
        let mut failed = Ok(());
        loop {
            let until = Self::fence_until(horizon.now);
            let taken = self.store().purge_step(tenant, class, STEP, horizon, until).await?;
            *report.expired.entry(class).or_default() += u64::from(taken);
            match class {
                DataClass::Messages => report.removed.messages += u64::from(taken),
                DataClass::ConsentCounts | DataClass::Notifications | DataClass::AuditEvents => {}
                DataClass::ConsentRecords => report.removed.records += u64::from(taken),
                _ => failed = self.erase_marked(Some(tenant)).await.map(|removed| report.removed += removed),
            }
            if taken < STEP {
                return failed;
            }
            Delay::new(PAUSE).await;
        }
    }
}
