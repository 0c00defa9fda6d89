//! The contact list, for operators only.

use std::fmt;

use askama::Template;
use data_encoding::BASE64URL_NOPAD;
use privet::contact::{ContactId, ContactSummary, PageRequest};
use privet::portal::{Operator, Portal, Role};
use privet::{Site, Tenant};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;

use crate::Shop;
use crate::pages::rendered;

/// What an operator has to send as `Authorization: Bearer …`.
#[derive(Clone)]
pub struct OperatorToken(String);

impl fmt::Debug for OperatorToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OperatorToken(..)")
    }
}

impl OperatorToken {
    /// A token that somebody chose.
    #[must_use]
    pub fn new(token: String) -> Self {
        Self(token)
    }

    /// A fresh one, and its text, to be shown once.
    ///
    /// # Errors
    /// When the operating system gives no randomness.
    pub fn generate() -> Result<(Self, String), getrandom::Error> {
        let mut bytes = [0; 24];
        getrandom::fill(&mut bytes)?;
        let text = BASE64URL_NOPAD.encode(&bytes);
        Ok((Self(text.clone()), text))
    }

    pub(crate) fn admits(&self, authorization: &[u8]) -> bool {
        let token = authorization.strip_prefix(b"Bearer ");
        token.is_some_and(|t| bool::from(t.ct_eq(self.0.as_bytes())))
    }
}

/// `GET /contacts`: the query.
#[derive(Debug, Default, Deserialize)]
pub struct ListRequest {
    after: Option<String>,
    limit: Option<u16>,
}

impl ListRequest {
    /// What to send instead, for who sends something else.
    pub const EXPECTED: &'static str = "send limit as a number, and after as the list gave it";
}

/// A page of the contact list: as JSON by its fields, or as HTML.
#[derive(Debug, Serialize, Template)]
#[template(path = "contacts.html")]
pub struct ContactList {
    contacts: Vec<ContactSummary>,
    next: Option<String>,
}

impl ContactList {
    /// The list as a page.
    ///
    /// # Errors
    /// None that is known.
    pub fn html(&self) -> privet::Result<String> {
        rendered(self)
    }
}

impl Shop {
    /// What programs with the token do is written down like what people do in the portal.
    fn portal(&self) -> privet::Result<Portal> {
        let operator = Operator::new(Tenant::default(), "a program with the token", Role::PrivacyOfficer)?;
        self.privet.portal(&operator, &Site::default())
    }

    /// `GET /contacts`
    ///
    /// # Errors
    /// A cursor of somewhere else, or what the store says.
    pub async fn contacts(&self, asked: ListRequest) -> privet::Result<ContactList> {
        let mut request = PageRequest::first(asked.limit.unwrap_or(50));
        if let Some(after) = asked.after {
            request = request.after(after);
        }
        let page = self.portal()?.contacts(&request).await?;
        Ok(ContactList { contacts: page.contacts, next: page.next })
    }

    /// `DELETE /contacts/{id}`: what was removed.
    ///
    /// # Errors
    /// An id of nobody, or what the store says.
    pub async fn erase(&self, id: &str) -> privet::Result<serde_json::Value> {
        let removed = self.portal()?.erase_contact(id.parse::<ContactId>()?).await?;
        Ok(serde_json::json!({ "removed": removed }))
    }
}
