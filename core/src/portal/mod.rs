//! What operators see and do: the contact list, one contact, conversations, figures, and the log of all that.
//!
//! Everything goes through [`Privet::portal`], which takes an [`Operator`]: whom the app's guard lets in, with one tenant
//! and one [`Role`]. Each call asks the role first, writes down what was asked ([`AuditEvent`]), and then does it: what
//! cannot be written down is not done. A thing of another tenant or site is not there.
//!
//! ```
//! use privet::portal::{Operator, Role};
//! use privet::contact::PageRequest;
//! use privet::{Catalogue, Privet, Site, Tenant};
//!
//! # privet::conformance::block_on(async {
//! # let catalogue = Catalogue::from_toml("[controller]\nname = \"Shop\"\ncontact = \"privacy@shop.example\"")?;
//! let privet = Privet::builder(catalogue).build().await?;
//! let ann = Operator::new(Tenant::default(), "ann", Role::Agent)?;
//! let portal = privet.portal(&ann, &Site::default())?;
//! let page = portal.contacts(&PageRequest::first(50)).await?;
//! assert!(page.contacts.is_empty() && page.next.is_none());
//! # Ok::<(), privet::Error>(()) }).unwrap();
//! ```

mod contacts;
mod event;
mod export;
mod figures;
mod operator;
mod support;

pub use contacts::{ContactDetails, Note};
pub use event::{AuditEvent, AuditId, Outcome, Verb};
pub use export::{Export, ExportedConversation, WholeContact};
pub use figures::{ConsentRate, CountryShare, DEFAULT_SMALLEST_GROUP, Figures, SpanCount};
pub use operator::{Operator, Permission, Role};
pub use support::OpenConversation;

use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;

use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::privet::Privet;
use crate::scope::{Scope, Site};
use crate::store::SubjectDigest;

/// One operator at one site; see the [module](self).
#[derive(Clone, Debug)]
pub struct Portal {
    privet: Privet,
    operator: Operator,
    scope: Scope,
}

/// A page of the log, the latest event first.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AuditPage {
    /// The events.
    pub events: Vec<AuditEvent>,
    /// Leads to the next page; none on the last one.
    pub next: Option<String>,
    /// How old the list is, about, where it was read from a copy of the database that follows: what was done in between is not
    /// in it yet. None where it is the present.
    pub behind: Option<Duration>,
}

impl Privet {
    /// The sites of an operator's tenant, by name.
    #[must_use]
    pub fn portal_sites(&self, operator: &Operator) -> Vec<Site> {
        self.scopes().filter(|s| s.tenant == *operator.tenant()).map(|s| s.site.clone()).collect()
    }

    /// An operator at one of their tenant's sites.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the tenant has no such site.
    pub fn portal(&self, operator: &Operator, site: &Site) -> Result<Portal> {
        let scope = Scope::new(operator.tenant().clone(), site.clone());
        match self.site(&scope) {
            Ok(_) => Ok(Portal { privet: self.clone(), operator: operator.clone(), scope }),
            Err(_) => Err(Error::NotFound { what: "site" }),
        }
    }
}

impl Portal {
    /// Tenant and site.
    #[must_use]
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Who is at work.
    #[must_use]
    pub fn operator(&self) -> &Operator {
        &self.operator
    }

    /// The installation.
    #[must_use]
    pub fn privet(&self) -> &Privet {
        &self.privet
    }

    /// Writes down what is asked for, and lets it be done by whoever may.
    async fn asks(
        &self,
        permission: Permission,
        verb: Verb,
        subject: Option<SubjectDigest>,
    ) -> Result<Timestamp> {
        let at = self.privet.now();
        let outcome = if self.operator.may(permission) { Outcome::Allowed } else { Outcome::Refused };
        let event = AuditEvent {
            id: AuditId::generate()?,
            tenant: self.scope.tenant.clone(),
            site: Some(self.scope.site.clone()),
            at,
            operator: self.operator.name().to_owned(),
            verb,
            subject,
            outcome,
        };
        self.privet.store().append_audit(&event).await?;
        match outcome {
            Outcome::Allowed => Ok(at),
            Outcome::Refused => Err(Error::NotAllowed { permission }),
        }
    }

    /// What operators of the tenant did, at all of its sites, the latest first.
    ///
    /// # Errors
    /// [`Error::NotAllowed`], [`Error::Invalid`] for a cursor that is none of this list, or what the store says.
    pub async fn audit_log(&self, after: Option<&str>, limit: u16) -> Result<AuditPage> {
        self.asks(Permission::ReadAudit, Verb::ReadAudit, None).await?;
        let limit = limit.clamp(1, 500);
        let before = after.map(|text| self.read_place(text)).transpose()?;
        let listing = self.privet.store().audit(&self.scope.tenant, before, limit + 1);
        let (mut events, behind) = self.privet.listed(listing).await?;
        let more = events.len() > limit.into();
        events.truncate(limit.into());
        let next = events.last().filter(|_| more).map(|e| self.write_place(e.at, e.id));
        Ok(AuditPage { events, next, behind })
    }

    fn write_place(&self, at: Timestamp, id: AuditId) -> String {
        let mut bytes = at.as_millis().to_be_bytes().to_vec();
        bytes.extend(id.as_bytes());
        bytes.extend(self.place_tag(&bytes));
        BASE64URL_NOPAD.encode(&bytes)
    }

    fn read_place(&self, text: &str) -> Result<(Timestamp, AuditId)> {
        let bad = || {
            Error::invalid(
                "the cursor is not one of this list",
                "begin with the first page, or pass `next` as it was given",
            )
        };
        let bytes: [u8; 40] =
            BASE64URL_NOPAD.decode(text.as_bytes()).ok().and_then(|b| b.try_into().ok()).ok_or_else(bad)?;
        let (body, tag) = bytes.split_at(24);
        if !self.privet.cursor_key().verify(&self.place_message(body), tag) {
            return Err(bad());
        }
        let (at, id) = body.split_at(8);
        let at = Timestamp::from_millis(i64::from_be_bytes(at.try_into().map_err(|_| bad())?));
        Ok((at, AuditId::from_bytes(id.try_into().map_err(|_| bad())?)))
    }

    fn place_tag(&self, body: &[u8]) -> [u8; 16] {
        self.privet.cursor_key().tag(&[&self.place_message(body)])
    }

    /// Another kind of message than a place in a contact list.
    fn place_message(&self, body: &[u8]) -> Vec<u8> {
        [b"audit\0".as_slice(), self.scope.tenant.as_str().as_bytes(), b"\0", body].concat()
    }
}
