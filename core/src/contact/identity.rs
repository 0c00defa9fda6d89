//! What the app knows a contact as: said by the app, with a signature, and never by the visitor's word.

use std::time::Duration;

use data_encoding::{BASE64, HEXLOWER};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::id::ContactId;
use super::seal::Field;
use super::visitor::Visitor;
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::key::Secret;
use crate::privet::Privet;
use crate::scope::Scope;
use crate::store::{ContactIdentity, Identification};
use crate::visit::{Contacts, Granted, Identity};

/// The longest identity, in bytes.
const MAX_IDENTITY: usize = 256;
/// How long a signature can be used.
const LIFE: Duration = Duration::from_secs(3_600);
/// How far the clocks of two machines may be apart.
const SKEW: Duration = Duration::from_secs(300);

fn message(issued: u64, identity: &str) -> String {
    format!("{issued}.{identity}")
}

fn mac_of(secret: &Secret, issued: u64, identity: &str) -> Option<Hmac<Sha256>> {
    // An HMAC key of 32 bytes is always taken (RFC 2104).
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).ok()?;
    mac.update(message(issued, identity).as_bytes());
    Some(mac)
}

impl Privet {
    /// The secret with which the app signs who is signed in, in base64: of one site, the same in every process. It stays on
    /// the app's server.
    ///
    /// # Errors
    /// [`Error::UnknownSite`].
    pub fn identity_secret(&self, scope: &Scope) -> Result<String> {
        self.site(scope)?;
        Ok(BASE64.encode(self.keys().identity_secrets(scope).current.as_bytes()))
    }

    /// What the app's server hands to the page of somebody who is signed in, so that the page can pass it on:
    /// `v1.` the second in which it was made `.` and HMAC-SHA256 over that second, a dot and the identity, in hexadecimal
    /// digits, with the bytes of [`identity_secret`](Self::identity_secret) as the key. It can be used for an hour.
    ///
    /// # Errors
    /// [`Error::UnknownSite`].
    pub fn sign_identity(&self, scope: &Scope, identity: &str) -> Result<String> {
        self.site(scope)?;
        let issued = seconds(self.now());
        let secret = self.keys().identity_secrets(scope).current;
        let tag = mac_of(&secret, issued, identity).map(|mac| mac.finalize().into_bytes());
        Ok(format!("v1.{issued}.{}", tag.map(|tag| HEXLOWER.encode(&tag)).unwrap_or_default()))
    }

    /// Whether a signature is the app's, of this identity, and of the last hour.
    fn is_signed(&self, scope: &Scope, identity: &str, signature: &str) -> bool {
        let Some((issued, tag)) = signature.strip_prefix("v1.").and_then(|rest| rest.split_once('.')) else {
            return false;
        };
        let (Ok(issued), Ok(tag)) = (issued.parse::<u64>(), HEXLOWER.decode(tag.as_bytes())) else {
            return false;
        };
        let now = seconds(self.now());
        let fresh =
            issued <= now.saturating_add(SKEW.as_secs()) && now <= issued.saturating_add(LIFE.as_secs());
        let secrets = self.keys().identity_secrets(scope);
        let keys = std::iter::once(&secrets.current).chain(&secrets.previous);
        // In constant time, with either key.
        let signed = keys.fold(false, |signed, secret| {
            signed | mac_of(secret, issued, identity).is_some_and(|mac| mac.verify_slice(&tag).is_ok())
        });
        fresh && signed
    }
}

fn seconds(at: Timestamp) -> u64 {
    u64::try_from(at.as_millis() / 1_000).unwrap_or(0)
}

impl Visitor {
    /// Keeps with the visitor's contact what the app knows them as: a customer's number, an address. Operators can then look
    /// for it. It needs the visitor's consent to that, as the category `identity`, beside the one to contacts (GDPR Art.
    /// 5(1)(b)), and the app's signature ([`Privet::sign_identity`]): what a page says is not believed. It is sealed with
    /// the contact's key, and goes with the contact, or when either consent is withdrawn.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a signature that is not the app's or too old, and for an identity that is empty, longer than
    /// 256 bytes or holds control characters; [`Error::NotGranted`]; [`Error::NotFound`] for a contact that is frozen; or
    /// what the store says.
    pub async fn identify(
        &self,
        contacts: &Granted<Contacts>,
        granted: &Granted<Identity>,
        identity: &str,
        signature: &str,
    ) -> Result<ContactId> {
        let visit = self.visit();
        let (privet, scope) = (visit.privet(), visit.scope());
        if identity.trim().is_empty()
            || identity.len() > MAX_IDENTITY
            || identity.chars().any(char::is_control)
        {
            return Err(Error::invalid("this is no identity", "give 1 to 256 bytes of printable text"));
        }
        if !privet.is_signed(scope, identity, signature) {
            return Err(Error::invalid(
                "the signature of the identity is not the app's, or is too old",
                "let the app's server make a fresh one with `Privet::sign_identity` or the secret of `Privet::identity_secret`",
            ));
        }
        self.check_grant(contacts).await?;
        let (id, epoch) = self.contact_for(contacts).await?;
        let subject = privet.keys().contact_digest(&scope.tenant, id).await?;
        let key = privet.keys().subject_key(&scope.tenant, subject).await?;
        let identification = Identification {
            contacts: contacts.proof()?,
            identity: granted.proof()?,
            id,
            epoch,
            subject,
            known_as: ContactIdentity {
                digest: privet.keys().identity_digest(scope, identity).await?,
                sealed: key.seal(scope, id.as_bytes(), Field::Identity, identity)?,
            },
            at: visit.now(),
        };
        let horizon = privet.horizon(&scope.tenant, visit.now()).await?;
        match privet.store().identify_contact(&identification, &horizon).await {
            Ok(()) => Ok(id),
            Err(error @ (Error::Fenced | Error::NotFound { .. })) => {
                // Erased in between: no key may stay behind.
                if privet.ends_key_of_gone(scope, id, subject).await? {
                    visit.expire_contact();
                }
                Err(error)
            }
            Err(error) => Err(error),
        }
    }
}
