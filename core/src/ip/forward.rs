use std::fmt;

use serde_json::{Map, Value};

use super::pseudonym::{Pseudonym, PseudonymScope, Pseudonymizer};
use crate::catalogue::Recipient;
use crate::contact::Posted;
use crate::error::{Error, Result};
use crate::visit::{ConsentCategory, Granted, Visit};

/// The field that a pseudonym stands in, if the recipient may have one.
const PSEUDONYM_FIELD: &str = "pseudonym";

/// The field that the recipient's own name for a consent stands in, if it may have one.
const CONSENT_FIELD: &str = "consent_subject";

/// What leaves for a recipient is made here: only a recipient that the catalogue names, only the fields it is
/// registered for, a pseudonym instead of the address, nothing of the visitor's headers unless listed.
///
/// Sending it is the app's; it sends [`Outbound`] and nothing else.
pub struct Forwarder<'a> {
    visit: &'a Visit,
    recipient: Recipient,
    fields: Map<String, Value>,
    headers: Vec<(String, String)>,
    left_out: Vec<String>,
}

/// What may leave.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outbound {
    /// The recipient's id.
    pub recipient: String,
    /// The body: the fields it may get.
    pub body: Value,
    /// The headers it may get, beside those that the transport needs.
    pub headers: Vec<(String, String)>,
    /// Names of fields and headers that it may not get.
    pub left_out: Vec<String>,
}

impl fmt::Debug for Outbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbound")
            .field("recipient", &self.recipient)
            .field("left_out", &self.left_out)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Forwarder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Forwarder").field("recipient", &self.recipient.id).finish_non_exhaustive()
    }
}

impl Visit {
    /// Begins something that is to leave for a recipient.
    ///
    /// # Errors
    /// [`Error::UnknownRecipient`] when the catalogue does not name it.
    pub fn forward_to(&self, recipient: &str) -> Result<Forwarder<'_>> {
        let recipient = self.catalogue().recipient(recipient)?.clone();
        Ok(Forwarder {
            visit: self,
            recipient,
            fields: Map::new(),
            headers: Vec::new(),
            left_out: Vec::new(),
        })
    }
}

impl Forwarder<'_> {
    /// A field; left out unless the recipient is registered for it (GDPR Art. 5(1)(c), 25(2)).
    #[must_use]
    pub fn field(mut self, name: &str, value: impl Into<Value>) -> Self {
        if self.recipient.fields.iter().any(|f| f == name)
            && ![PSEUDONYM_FIELD, CONSENT_FIELD].contains(&name)
        {
            self.fields.insert(name.to_owned(), value.into());
        } else {
            self.left_out.push(name.to_owned());
        }
        self
    }

    /// The consent that it leaves on: in the field `consent_subject`, if the recipient is registered for it, stands what the
    /// recipient knows this consent by, as [`Privet::recipient_subject`](crate::Privet::recipient_subject) has it. When
    /// the visitor takes the consent back, the recipient is told so under the same name, and finds what it was given.
    ///
    /// # Errors
    /// [`Error::NotGranted`] when the store does not have it any more, or it is another site's, [`Error::HeadSent`], or
    /// what the store says.
    pub async fn on<C: ConsentCategory>(mut self, granted: &Granted<C>) -> Result<Self> {
        granted.proof()?;
        let (scope, privet) = (self.visit.scope(), self.visit.privet());
        if granted.scope() != scope || !privet.still_granted(scope, granted.record(), C::ID).await? {
            return Err(Error::not_granted(C::ID));
        }
        if self.recipient.fields.iter().any(|f| f == CONSENT_FIELD) {
            let subject = privet.recipient_subject(scope, granted.record(), &self.recipient.id).await?;
            let subject = subject.ok_or_else(|| Error::not_granted(C::ID))?;
            self.fields.insert(CONSENT_FIELD.to_owned(), Value::String(subject));
        } else {
            self.left_out.push(CONSENT_FIELD.to_owned());
        }
        Ok(self)
    }

    /// The headers of the visitor's request; all are left out but those that are listed.
    #[must_use]
    pub fn headers<'h>(mut self, headers: impl IntoIterator<Item = (&'h str, &'h [u8])>) -> Self {
        for (name, value) in headers {
            let name = name.to_ascii_lowercase();
            match std::str::from_utf8(value) {
                Ok(value) if self.recipient.headers.contains(&name) => {
                    self.headers.push((name, value.to_owned()));
                }
                _ => self.left_out.push(name),
            }
        }
        self
    }

    /// What leaves, with a pseudonym that holds within the conversation: its key goes when the conversation
    /// goes.
    ///
    /// # Errors
    /// [`Error::HeadSent`] when the address is gone already.
    pub fn within(self, posted: &Posted) -> Result<Outbound> {
        let within = *posted.conversation.as_bytes();
        self.finish(&within, &posted.pseudonym_key)
    }

    /// What leaves, with a pseudonym that holds today: its key is destroyed after midnight, UTC.
    ///
    /// # Errors
    /// [`Error::HeadSent`] when the address is gone already.
    pub fn today(self) -> Result<Outbound> {
        let day = self.visit.now().day();
        let key = self.visit.privet().epoch_keys().with(day, |key| key.pseudonym.clone());
        match key {
            Some(key) => self.finish(&day.number().to_be_bytes(), &key),
            None => self.without_pseudonym(),
        }
    }

    fn without_pseudonym(self) -> Result<Outbound> {
        self.visit.still_open()?;
        Ok(self.outbound(None))
    }

    fn finish(self, within: &[u8], key: &crate::key::Mac) -> Result<Outbound> {
        self.visit.still_open()?;
        let scope = PseudonymScope::new(&self.visit.scope().tenant, &self.recipient.id, within, key);
        let own = self.visit.privet().pseudonymizer(&self.recipient.id);
        let pseudonymizer: &dyn Pseudonymizer = own.map_or(&self.recipient.address, |p| p.as_ref());
        let wants = self.recipient.fields.iter().any(|f| f == PSEUDONYM_FIELD);
        let pseudonym = wants
            .then(|| self.visit.with_client(|client| pseudonymizer.pseudonymize(client, &scope)))
            .flatten();
        Ok(self.outbound(pseudonym))
    }

    fn outbound(mut self, pseudonym: Option<Pseudonym>) -> Outbound {
        if let Some(pseudonym) = pseudonym {
            self.fields.insert(PSEUDONYM_FIELD.to_owned(), Value::String(pseudonym.as_str().to_owned()));
        }
        if !self.left_out.is_empty() {
            tracing::debug!(recipient = %self.recipient.id, left_out = ?self.left_out, "not all was forwarded");
        }
        Outbound {
            recipient: self.recipient.id,
            body: Value::Object(self.fields),
            headers: self.headers,
            left_out: self.left_out,
        }
    }
}
