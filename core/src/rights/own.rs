use std::collections::BTreeMap;
use std::fmt;

use data_encoding::HEXLOWER;
use serde::{Serialize, Serializer};

use crate::clock::{Timestamp, as_rfc3339};
use crate::consent::{Act, ConsentRecord, Decision, Method, RecordId};
use crate::contact::{Message, Visitor};
use crate::error::Result;
use crate::visit::Visit;

fn as_rfc3339_or_none<S: Serializer>(at: &Option<Timestamp>, s: S) -> std::result::Result<S::Ok, S::Error> {
    match at {
        Some(at) => as_rfc3339(at, s),
        None => s.serialize_none(),
    }
}

/// Everything that is held about one visitor, for them (GDPR Art. 15(3), 20(1)). Empty lists say that nothing is held.
#[derive(Clone, Serialize)]
#[non_exhaustive]
pub struct OwnData {
    /// Version of this structure.
    pub format: u8,
    /// When it was put together.
    #[serde(serialize_with = "as_rfc3339")]
    pub made: Timestamp,
    /// Who answers for the site.
    pub controller: String,
    /// How to reach them.
    pub controller_contact: String,
    /// What holds now, by category.
    pub decisions: BTreeMap<String, Decision>,
    /// The contact that the browser is recognised as.
    pub contact: Option<OwnContact>,
    /// The conversations of the contact, or else of this visit, the oldest first.
    pub conversations: Vec<OwnConversation>,
    /// What is recorded of the visitor's consent, the oldest first.
    pub consent: Vec<OwnRecord>,
}

/// A note of an operator; who wrote it is not said (GDPR Art. 15(4)).
#[derive(Clone, Serialize)]
#[non_exhaustive]
pub struct OwnNote {
    /// When it was written.
    #[serde(serialize_with = "as_rfc3339")]
    pub at: Timestamp,
    /// What was written.
    pub text: String,
}

/// Without the text.
impl fmt::Debug for OwnNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnNote").field("at", &self.at).finish_non_exhaustive()
    }
}

/// A contact, as its visitor sees it.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct OwnContact {
    /// Its id.
    pub id: String,
    /// The country it was opened from, by an estimate from the address; the address was not kept.
    pub country: Option<String>,
    /// When it was opened.
    #[serde(serialize_with = "as_rfc3339")]
    pub created: Timestamp,
    /// Most recent activity.
    #[serde(serialize_with = "as_rfc3339")]
    pub last_seen: Timestamp,
    /// How many conversations it has.
    pub conversations: u32,
    /// When the consent it stands on lapses.
    #[serde(serialize_with = "as_rfc3339")]
    pub consent_until: Timestamp,
    /// What the site knows it as.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// What operators noted about it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<OwnNote>,
}

/// A conversation with its messages.
#[derive(Clone, Serialize)]
#[non_exhaustive]
pub struct OwnConversation {
    /// Its id.
    pub id: String,
    /// When it began.
    #[serde(serialize_with = "as_rfc3339")]
    pub opened: Timestamp,
    /// When it was closed.
    #[serde(serialize_with = "as_rfc3339_or_none")]
    pub closed: Option<Timestamp>,
    /// What was said, by role: who of the staff answered is not the visitor's to know (GDPR Art. 15(4)).
    pub messages: Vec<Message>,
}

/// An act of consent, as it is recorded.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct OwnRecord {
    /// The record's id, as hexadecimal digits.
    pub id: String,
    /// What was done.
    pub act: Act,
    /// How.
    pub method: Method,
    /// When.
    #[serde(serialize_with = "as_rfc3339")]
    pub at: Timestamp,
    /// When it lapses.
    #[serde(serialize_with = "as_rfc3339")]
    pub until: Timestamp,
    /// The notice that was shown, by its hash.
    pub notice: String,
    /// In which language.
    pub language: String,
    /// Under which rule set.
    pub regime: &'static str,
    /// Whether the browser sent Global Privacy Control.
    pub gpc: bool,
    /// What was decided.
    pub decisions: Vec<OwnDecision>,
}

/// One decision of a record.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct OwnDecision {
    /// The category's id; its number, when the site does not have it any more.
    pub category: String,
    /// What was decided.
    pub decision: Decision,
}

impl OwnData {
    /// Whether nothing is held.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.contact.is_none() && self.conversations.is_empty() && self.consent.is_empty()
    }
}

/// Without what was said.
impl fmt::Debug for OwnConversation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnConversation").field("messages", &self.messages.len()).finish_non_exhaustive()
    }
}

/// Without what is held.
impl fmt::Debug for OwnData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnData")
            .field("contact", &self.contact.is_some())
            .field("conversations", &self.conversations.len())
            .field("consent", &self.consent.len())
            .finish_non_exhaustive()
    }
}

impl Visitor {
    /// Everything that is held about the visitor: who they are is shown by what their browser holds.
    ///
    /// # Errors
    /// What the store says.
    pub async fn data(&self) -> Result<OwnData> {
        let visit = self.visit();
        let controller = visit.catalogue().controller();
        let contact = match self.contact() {
            Some(id) => match visit.privet().contact(visit.scope(), id).await {
                Ok(contact) => Some(OwnContact {
                    id: id.to_string(),
                    country: contact.country.map(|c| c.to_string()),
                    created: contact.created,
                    last_seen: contact.last_seen,
                    conversations: contact.conversations,
                    consent_until: contact.consent_until,
                    identity: visit.privet().identity_of(visit.scope(), &contact).await?,
                    notes: visit
                        .privet()
                        .notes_on(visit.scope(), &contact)
                        .await?
                        .into_iter()
                        .map(|note| OwnNote { at: note.at, text: note.text })
                        .collect(),
                }),
                Err(crate::Error::NotFound { .. }) => None,
                Err(error) => return Err(error),
            },
            None => None,
        };
        let conversations = self
            .whole_conversations()
            .await?
            .into_iter()
            .map(|(c, messages)| OwnConversation {
                id: c.id.to_string(),
                opened: c.opened,
                closed: c.closed,
                messages,
            })
            .collect();
        Ok(OwnData {
            format: 1,
            made: visit.now(),
            controller: controller.name.clone(),
            controller_contact: controller.contact.clone(),
            decisions: visit.consent().decisions().map(|(c, d)| (c.id.clone(), d)).collect(),
            contact,
            conversations,
            consent: history(visit).await?,
        })
    }
}

/// The lines that the visitor stands in: the account's, and the device's own.
async fn history(visit: &Visit) -> Result<Vec<OwnRecord>> {
    let mut ids: Vec<RecordId> = visit.account().and_then(|a| a.state.record).into_iter().collect();
    ids.extend(visit.device_state().and_then(|s| s.record));
    let mut records: Vec<ConsentRecord> = Vec::new();
    if let Some(account) = visit.account()
        && let Some(head) = visit.privet().store().line_head(visit.scope(), account.line).await?
    {
        ids.push(head.id);
    }
    for id in ids {
        if !records.iter().any(|r| r.id == id) {
            records.extend(visit.privet().store().line(visit.scope(), id).await?);
        }
    }
    records.sort_by_key(|r| r.at);
    let category = |code| {
        let known = visit.catalogue().categories().iter().find(|c| c.code == code);
        known.map_or_else(|| code.get().to_string(), |c| c.id.clone())
    };
    Ok(records
        .into_iter()
        .map(|r| OwnRecord {
            // Digits and letters only: no spreadsheet takes it for a formula.
            id: HEXLOWER.encode(r.id.as_bytes()),
            act: r.act,
            method: r.method,
            at: r.at,
            until: r.until,
            notice: r.notice.to_string(),
            language: r.language.to_string(),
            regime: r.regime.rules().id,
            gpc: r.gpc,
            decisions: r
                .decisions
                .iter()
                .map(|d| OwnDecision { category: category(d.category), decision: d.decision })
                .collect(),
        })
        .collect())
}
