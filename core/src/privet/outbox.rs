//! Telling recipients of what a visitor took back (GDPR Art. 7(3), 19): from the store's outbox, until they have it.

use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use async_trait::async_trait;
use data_encoding::BASE64;
use futures_timer::Delay;
use futures_util::future::{Either, join_all, select};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::json;
use sha2::Sha256;

use super::{Privet, SiteState};
use crate::catalogue::CategoryCode;
use crate::consent::{ConsentRecord, RecordId};
use crate::error::{Error, Result};
use crate::scope::{Scope, Tenant};
use crate::store::{Attempted, NewNotification, Notification, NotificationId};

/// So many are sent at once.
const AT_ONCE: usize = 8;
/// So many are claimed at once, and sent one [`AT_ONCE`] after the other.
const CLAIMED: u32 = 64;
/// A channel has so long for one, whatever it does.
const PATIENCE: Duration = Duration::from_secs(30);
/// Whoever claims notifications has so long to send them, before somebody else may. What could not be sent in it any more if it took
/// all of [`PATIENCE`] is left.
const LEASE: Duration = Duration::from_secs(45);
/// After each failed try it is waited for so long, or up to a quarter less; then daily.
const PAUSES: [Duration; 6] = [
    Duration::from_secs(60),
    Duration::from_secs(5 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(2 * 3_600),
    Duration::from_secs(8 * 3_600),
    Duration::from_secs(24 * 3_600),
];
/// Then nobody tries any more, and the operator sees it: a month, as GDPR Art. 12(3) gives for acting on a request.
const TRIED_FOR: Duration = Duration::from_secs(30 * 86_400);

/// Why a recipient has not got a notification: a class, and nothing of its content.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeliveryProblem {
    /// The endpoint may not be reached from here: its address is not public, or its URL is not what the catalogue takes.
    NotAllowed(String),
    /// The recipient cannot be reached.
    Unreachable(String),
    /// The recipient answered with something else than success. A redirect is something else.
    Status(u16),
}

impl fmt::Display for DeliveryProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAllowed(why) => write!(f, "not allowed: {why}"),
            Self::Unreachable(why) => write!(f, "unreachable: {why}"),
            Self::Status(status) => write!(f, "answered {status}"),
        }
    }
}

impl DeliveryProblem {
    /// Whether the next notification would meet it too: it is not about what this one says.
    fn is_of_the_recipient(&self) -> bool {
        match self {
            Self::NotAllowed(_) | Self::Unreachable(_) => true,
            Self::Status(status) => *status >= 500 || *status == 429,
        }
    }
}

/// A notification as it is sent, in the form of the Standard Webhooks specification, version 1: the headers `webhook-id`,
/// `webhook-timestamp` and `webhook-signature`.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeliveryRequest {
    /// Where to.
    pub endpoint: String,
    /// JSON.
    pub body: String,
    /// Header names, in lower case, and values.
    pub headers: Vec<(&'static str, String)>,
}

impl DeliveryRequest {
    /// A request as a channel sends it.
    #[must_use]
    pub fn new(
        endpoint: impl Into<String>,
        body: impl Into<String>,
        headers: Vec<(&'static str, String)>,
    ) -> Self {
        Self { endpoint: endpoint.into(), body: body.into(), headers }
    }
}

impl fmt::Debug for DeliveryRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeliveryRequest").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

/// How notifications reach recipients. `privet-web` has one for https, with the feature `webhooks`.
///
/// It must not become a way into the operator's own network: only the endpoint, only at a public address, and no
/// redirect is followed.
#[async_trait]
pub trait RecipientChannel: fmt::Debug + Send + Sync {
    /// Sends it; success is the recipient's own word.
    async fn deliver(&self, request: &DeliveryRequest) -> Result<(), DeliveryProblem>;
}

/// What became of the notifications that were due.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeliveryReport {
    /// Delivered.
    pub delivered: u64,
    /// To be tried again.
    pub again: u64,
    /// Not tried, because the same recipient did not answer to another one a moment before, or others took too long.
    pub left: u64,
    /// Given up on.
    pub given_up: u64,
}

impl SiteState {
    /// Whom it concerns when categories are taken back: recipients with an endpoint, with the categories that their
    /// services are of.
    fn notified(&self) -> impl Iterator<Item = (&str, u64)> {
        let recipients = self.catalogue.recipients().iter().filter(|r| r.withdrawal_endpoint.is_some());
        recipients.filter_map(|r| {
            let services = self.catalogue.services().iter().filter(|s| s.recipients.contains(&r.id));
            let gates = services.flat_map(|s| s.gate.iter().chain(s.entries.iter().map(|e| &e.gate)));
            let codes = gates.filter_map(crate::catalogue::Gate::category).fold(0, |all, c| all | c.bit());
            (codes != 0).then_some((r.id.as_str(), codes))
        })
    }

    pub(super) fn notifies(&self) -> bool {
        self.notified().next().is_some()
    }
}

impl Privet {
    /// What a record tells to whom if it takes something away: nothing, where no recipient has an endpoint.
    pub(crate) async fn notifications_for(
        &self,
        site: &SiteState,
        record: &ConsentRecord,
        follows: Option<RecordId>,
    ) -> Result<Vec<NewNotification>> {
        let (Some(follows), true) = (follows, site.notifies()) else { return Ok(Vec::new()) };
        let Some(before) = self.store().record(&record.scope, follows).await? else { return Ok(Vec::new()) };
        let mut all = Vec::new();
        for (recipient, categories) in site.notified() {
            all.push(NewNotification {
                id: NotificationId::generate()?,
                recipient: recipient.to_owned(),
                categories,
                subject: self
                    .keys()
                    .recipient_digest(&record.scope.tenant, recipient, before.subject)
                    .await?,
            });
        }
        Ok(all)
    }

    /// What a recipient knows a visitor's consent by: a name made for this recipient alone, which a notification of the
    /// withdrawal has too. Give it to the recipient with what is forwarded on this consent. None when there is no such
    /// record.
    ///
    /// # Errors
    /// [`Error::UnknownSite`], [`Error::UnknownRecipient`], or what the store says.
    pub async fn recipient_subject(
        &self,
        scope: &Scope,
        record: RecordId,
        recipient: &str,
    ) -> Result<Option<String>> {
        self.catalogue(scope)?.recipient(recipient)?;
        let Some(found) = self.store().record(scope, record).await? else { return Ok(None) };
        let subject = self.keys().recipient_digest(&scope.tenant, recipient, found.subject).await?;
        Ok(Some(subject.encode()))
    }

    /// The secret that a recipient verifies notifications with, in the form of the Standard Webhooks specification. Give it
    /// to the recipient, and to nobody else. It changes with the installation's key: as long as that ring has a previous
    /// key, notifications carry a signature by each of both, so that the recipient can change over.
    ///
    /// # Errors
    /// [`Error::UnknownSite`] or [`Error::UnknownRecipient`].
    pub fn recipient_secret(&self, scope: &Scope, recipient: &str) -> Result<String> {
        self.catalogue(scope)?.recipient(recipient)?;
        let secrets = self.keys().recipient_secrets(&scope.tenant, recipient);
        Ok(format!("whsec_{}", BASE64.encode(secrets.current.as_bytes())))
    }

    /// Notifications of a tenant, the latest act first, after one that was given: for whoever may see them.
    ///
    /// # Errors
    /// What the store says.
    pub async fn notifications(
        &self,
        tenant: &Tenant,
        after: Option<&Notification>,
        limit: u16,
    ) -> Result<Vec<Notification>> {
        self.store().notifications(tenant, after.map(|n| (n.at, n.id)), limit).await
    }

    /// Sends the notifications that are due; [`run`](Self::run) does it every few seconds, where a
    /// [`recipient_channel`](crate::Builder::recipient_channel) is set. Each is sent by one process at a time, and again
    /// only if the recipient has not acknowledged it, or the process ended before that was written down; then it has the
    /// same `webhook-id`.
    ///
    /// Without a channel nobody is told. What nobody was told for a month is then given up on, so that it is seen, and
    /// ends.
    ///
    /// # Errors
    /// What the store says. What was not settled is sent again.
    pub async fn deliver_notifications(&self) -> Result<DeliveryReport> {
        let mut report = DeliveryReport::default();
        // A recipient that is down is not tried for each of its notifications, so that the others' do not wait for it.
        // What is left of its own is due again when the lease ends.
        let mut down: BTreeSet<(Tenant, String)> = BTreeSet::new();
        let began = self.now();
        loop {
            let now = self.now();
            let due = if self.0.channel.is_some() { now } else { now - TRIED_FOR };
            let mut claimed = self.store().claim_notifications(due, now + LEASE, CLAIMED).await?;
            let last = claimed.len() < CLAIMED as usize;
            while !claimed.is_empty() {
                let before = claimed.len();
                let in_time = self.now() + PATIENCE < now + LEASE;
                claimed.retain(|n| in_time && !down.contains(&whose(n)));
                report.left += (before - claimed.len()) as u64;
                let sending: Vec<_> = claimed.drain(..claimed.len().min(AT_ONCE)).collect();
                let tried = join_all(sending.iter().map(|n| self.try_and_settle(n))).await;
                // Each is settled that can be, before an error is told.
                for (notification, tried) in sending.iter().zip(tried) {
                    let Some((outcome, is_down)) = tried? else { continue };
                    if is_down {
                        down.insert(whose(notification));
                    }
                    match outcome {
                        Attempted::Delivered => report.delivered += 1,
                        Attempted::Again { .. } => report.again += 1,
                        Attempted::GivenUp { .. } => report.given_up += 1,
                    }
                }
            }
            // What was left first is due again by then, and would be met again.
            if last || self.now().since(began) >= LEASE {
                return Ok(report);
            }
        }
    }

    /// What became of it, and whether its recipient is down; nothing, if somebody else has settled it meanwhile.
    async fn try_and_settle(&self, notification: &Notification) -> Result<Option<(Attempted, bool)>> {
        let told = match (&self.0.channel, self.delivery_request(notification)) {
            (None, _) => Err(DeliveryProblem::NotAllowed("there is no `recipient_channel`".to_owned())),
            (Some(_), Err(error)) => Err(DeliveryProblem::NotAllowed(error.to_string())),
            (Some(channel), Ok(request)) => in_time(channel.deliver(&request), PATIENCE).await,
        };
        let is_down =
            self.0.channel.is_some() && told.as_ref().err().is_some_and(DeliveryProblem::is_of_the_recipient);
        let outcome = self.outcome(notification, told);
        let settled = self.store().settle_notification(notification, &outcome, self.now()).await?;
        Ok(settled.then_some((outcome, is_down)))
    }

    fn outcome(&self, notification: &Notification, told: Result<(), DeliveryProblem>) -> Attempted {
        let (recipient, attempt) = (&notification.recipient, notification.attempts + 1);
        let Err(problem) = told else {
            tracing::info!(recipient, attempt, "a recipient was told of a withdrawal");
            return Attempted::Delivered;
        };
        let now = self.now();
        let gone = problem == DeliveryProblem::Status(410);
        let problem = problem.to_string();
        if gone || now.since(notification.at) >= TRIED_FOR {
            tracing::error!(
                recipient,
                attempt,
                problem,
                "a recipient could not be told of a withdrawal, and nobody tries any more; tell it yourself"
            );
            return Attempted::GivenUp { problem };
        }
        tracing::warn!(recipient, attempt, problem, "a recipient could not be told of a withdrawal yet");
        Attempted::Again { due: now + pause(notification), problem }
    }

    fn delivery_request(&self, n: &Notification) -> Result<DeliveryRequest> {
        let catalogue = self.catalogue(&n.scope)?;
        let endpoint = catalogue.recipient(&n.recipient)?.withdrawal_endpoint.clone();
        let endpoint = endpoint.ok_or_else(|| Error::UnknownRecipient { recipient: n.recipient.clone() })?;
        // One that is not in the catalogue any more has no name there; its code is never another one's.
        let codes = (1..=64).filter_map(CategoryCode::new).filter(|code| n.concerns(*code));
        let categories = codes.map(|code| {
            catalogue.category_by_code(code).map_or_else(|| code.get().to_string(), |c| c.id.clone())
        });
        let id = format!("msg_{}", n.id);
        let body = json!({
            "type": "consent.withdrawn",
            "timestamp": n.at.to_string(),
            "data": {
                "act": n.act,
                "site": n.scope.site.as_str(),
                "subject": n.subject.encode(),
                "categories": categories.collect::<Vec<_>>(),
            },
        })
        .to_string();
        let sent = (self.now().as_millis() / 1_000).to_string();
        // While the installation's key changes, each of both secrets verifies it.
        let secrets = self.keys().recipient_secrets(&n.scope.tenant, &n.recipient);
        let signed =
            [Some(&secrets.current), secrets.previous.as_ref()].into_iter().flatten().filter_map(|secret| {
                // An HMAC key of 32 bytes is always taken (RFC 2104).
                let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).ok()?;
                mac.update(format!("{id}.{sent}.{body}").as_bytes());
                Some(format!("v1,{}", BASE64.encode(&mac.finalize().into_bytes())))
            });
        let signatures = signed.collect::<Vec<_>>().join(" ");
        let headers = vec![
            ("content-type", "application/json".to_owned()),
            ("webhook-id", id),
            ("webhook-timestamp", sent),
            ("webhook-signature", signatures),
        ];
        Ok(DeliveryRequest::new(endpoint, body, headers))
    }

    /// Does a piece of work that was queued while a category was granted, if the record still grants it now; else nothing,
    /// and `None`. The gate is asked when the work runs, and when the store cannot answer, the work does not run.
    ///
    /// # Errors
    /// As [`still_granted`](Self::still_granted).
    pub async fn if_granted<T>(
        &self,
        scope: &Scope,
        record: RecordId,
        category: &str,
        work: impl AsyncFnOnce() -> T,
    ) -> Result<Option<T>> {
        if self.still_granted(scope, record, category).await? { Ok(Some(work().await)) } else { Ok(None) }
    }
}

fn whose(n: &Notification) -> (Tenant, String) {
    (n.scope.tenant.clone(), n.recipient.clone())
}

/// What failed together is not tried again together: the pause is up to a quarter shorter, by the notification's own name.
fn pause(n: &Notification) -> Duration {
    let tried = n.attempts as usize;
    let pause = PAUSES[tried.min(PAUSES.len() - 1)];
    pause - pause * u32::from(n.id.as_bytes()[tried % 16]) / 1_024
}

/// A channel that never comes back is one that does not reach the recipient.
async fn in_time(
    deliver: impl Future<Output = Result<(), DeliveryProblem>>,
    patience: Duration,
) -> Result<(), DeliveryProblem> {
    match select(pin!(deliver), Delay::new(patience)).await {
        Either::Left((told, _)) => told,
        Either::Right(_) => Err(DeliveryProblem::Unreachable("it did not answer in time".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use futures_executor::block_on;

    use super::*;

    #[test]
    fn nobody_waits_for_a_channel_that_hangs() {
        let told = block_on(in_time(std::future::pending(), Duration::ZERO));
        assert!(matches!(told, Err(DeliveryProblem::Unreachable(_))));
        assert_eq!(block_on(in_time(async { Ok(()) }, Duration::ZERO)), Ok(()), "an answer in time counts");
    }

    #[test]
    fn a_lease_outlasts_what_is_sent_under_it() {
        assert!(PATIENCE + Duration::from_secs(10) < LEASE);
    }
}
