//! Telling recipients of what a visitor took back (GDPR Art. 7(3), 19): from the store's outbox, until they have it.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use data_encoding::BASE64;
use futures_util::future::join_all;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::json;
use sha2::Sha256;

use super::{Privet, SiteState};
use crate::consent::{ConsentRecord, RecordId};
use crate::error::{Error, Result};
use crate::scope::{Scope, Tenant};
use crate::store::{Attempted, NewNotification, Notification, NotificationId};

/// So many are sent at once.
const AT_ONCE: u32 = 8;
/// Whoever claims a notification has so long to send it, before somebody else may.
const LEASE: Duration = Duration::from_secs(120);
/// After each failed try it is waited for so long, then daily.
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
    /// to the recipient, and to nobody else. It changes with the installation's key.
    ///
    /// # Errors
    /// [`Error::UnknownSite`] or [`Error::UnknownRecipient`].
    pub fn recipient_secret(&self, scope: &Scope, recipient: &str) -> Result<String> {
        self.catalogue(scope)?.recipient(recipient)?;
        let secret = self.keys().recipient_secret(&scope.tenant, recipient);
        Ok(format!("whsec_{}", BASE64.encode(secret.as_bytes())))
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
    /// [`recipient_channel`](crate::Builder::recipient_channel) is set.
    ///
    /// # Errors
    /// What the store says. What was not settled is sent again.
    pub async fn deliver_notifications(&self) -> Result<DeliveryReport> {
        let mut report = DeliveryReport::default();
        let Some(channel) = &self.0.channel else { return Ok(report) };
        loop {
            let now = self.now();
            let claimed = self.store().claim_notifications(now, now + LEASE, AT_ONCE).await?;
            let last = claimed.len() < AT_ONCE as usize;
            let tries = claimed.iter().map(|n| self.try_to_deliver(channel.as_ref(), n));
            for (notification, outcome) in claimed.iter().zip(join_all(tries).await) {
                self.store().settle_notification(notification, &outcome, self.now()).await?;
                match outcome {
                    Attempted::Delivered => report.delivered += 1,
                    Attempted::Again { .. } => report.again += 1,
                    Attempted::GivenUp { .. } => report.given_up += 1,
                }
            }
            if last {
                return Ok(report);
            }
        }
    }

    async fn try_to_deliver(&self, channel: &dyn RecipientChannel, notification: &Notification) -> Attempted {
        let (recipient, attempt) = (&notification.recipient, notification.attempts + 1);
        let problem = match self.delivery_request(notification) {
            Ok(request) => match channel.deliver(&request).await {
                Ok(()) => {
                    tracing::info!(recipient, attempt, "a recipient was told of a withdrawal");
                    return Attempted::Delivered;
                }
                Err(problem) => problem,
            },
            Err(error) => DeliveryProblem::NotAllowed(error.to_string()),
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
        let pause = PAUSES[(notification.attempts as usize).min(PAUSES.len() - 1)];
        Attempted::Again { due: now + pause, problem }
    }

    fn delivery_request(&self, n: &Notification) -> Result<DeliveryRequest> {
        let catalogue = self.catalogue(&n.scope)?;
        let endpoint = catalogue.recipient(&n.recipient)?.withdrawal_endpoint.clone();
        let endpoint = endpoint.ok_or_else(|| Error::UnknownRecipient { recipient: n.recipient.clone() })?;
        let categories = catalogue.categories().iter().filter(|c| n.concerns(c.code)).map(|c| &c.id);
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
        let secret = self.keys().recipient_secret(&n.scope.tenant, &n.recipient);
        // An HMAC key of 32 bytes is always taken (RFC 2104).
        let signature = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).map(|mut mac| {
            mac.update(format!("{id}.{sent}.{body}").as_bytes());
            BASE64.encode(&mac.finalize().into_bytes())
        });
        let headers = vec![
            ("content-type", "application/json".to_owned()),
            ("webhook-id", id),
            ("webhook-timestamp", sent),
            ("webhook-signature", format!("v1,{}", signature.unwrap_or_default())),
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
