//! What a visitor wrote, readable only with the key of its subject.

use std::fmt;

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};

use crate::error::{Error, Result};
use crate::key::{Secret, random_bytes};
use crate::scope::Scope;
use crate::store::SubjectDigest;

const VERSION: u8 = 1;
const NONCE_LEN: usize = 24;

/// A text sealed with its subject's key: XChaCha20-Poly1305 with a random nonce, bound to tenant, site,
/// subject, conversation and field, so that it opens nowhere else. When the key is destroyed, so is the text,
/// in every copy of the database.
///
/// Layout: version 1 · nonce (24 bytes) · ciphertext and tag.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed(Vec<u8>);

impl Sealed {
    /// The bytes, as a store keeps them.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// A sealed text that a store kept.
    #[must_use]
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({} bytes)", self.0.len())
    }
}

/// Which text it is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Field {
    Body,
    Page,
    /// A note on a contact; the contact stands in the place of the conversation, also of an identity.
    Note,
    Identity,
}

/// The key of one subject.
#[derive(Clone, Debug)]
pub(crate) struct SubjectKey {
    key: Secret,
    subject: SubjectDigest,
}

impl SubjectKey {
    pub(crate) fn new(key: Secret, subject: SubjectDigest) -> Self {
        Self { key, subject }
    }

    pub(crate) fn subject(&self) -> SubjectDigest {
        self.subject
    }

    pub(crate) fn secret(&self) -> &Secret {
        &self.key
    }

    fn bound_to(&self, scope: &Scope, conversation: &[u8; 16], field: Field) -> Vec<u8> {
        let mut aad = Vec::with_capacity(128);
        for part in [
            scope.tenant.as_str().as_bytes(),
            scope.site.as_str().as_bytes(),
            self.subject.as_bytes(),
            conversation,
        ] {
            aad.extend(u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
            aad.extend(part);
        }
        aad.push(match field {
            Field::Body => 1,
            Field::Page => 2,
            Field::Note => 3,
            Field::Identity => 4,
        });
        aad
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(self.key.as_bytes().into())
    }

    pub(crate) fn seal(
        &self,
        scope: &Scope,
        conversation: &[u8; 16],
        field: Field,
        text: &str,
    ) -> Result<Sealed> {
        let nonce: [u8; NONCE_LEN] = random_bytes()?;
        let aad = self.bound_to(scope, conversation, field);
        let payload = Payload { msg: text.as_bytes(), aad: &aad };
        let sealed = self
            .cipher()
            .encrypt(&XNonce::from(nonce), payload)
            .map_err(|_| Error::invalid("the text is too long to be sealed", "bound its length before"))?;
        let mut bytes = Vec::with_capacity(1 + NONCE_LEN + sealed.len());
        bytes.push(VERSION);
        bytes.extend(nonce);
        bytes.extend(sealed);
        Ok(Sealed(bytes))
    }

    pub(crate) fn open(
        &self,
        scope: &Scope,
        conversation: &[u8; 16],
        field: Field,
        sealed: &Sealed,
    ) -> Result<String> {
        let corrupt = || {
            Error::corrupt(
                "sealed text",
                "a text does not open with the key of its subject",
                "restore database and key store from the same time",
            )
        };
        let (head, rest) = sealed.0.split_first_chunk::<1>().ok_or_else(corrupt)?;
        let (nonce, text) = rest.split_first_chunk::<NONCE_LEN>().ok_or_else(corrupt)?;
        if *head != [VERSION] {
            return Err(corrupt());
        }
        let aad = self.bound_to(scope, conversation, field);
        let text = self
            .cipher()
            .decrypt(&XNonce::from(*nonce), Payload { msg: text, aad: &aad })
            .map_err(|_| corrupt())?;
        String::from_utf8(text).map_err(|_| corrupt())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scope::{Site, Tenant};

    #[test]
    fn opens_in_its_own_place_only() {
        let subject = SubjectDigest::from_bytes([1; 16]);
        let key = SubjectKey::new(Secret::new([7; 32]), subject);
        let scope = Scope::default();
        let sealed = key.seal(&scope, &[2; 16], Field::Body, "hello").unwrap();
        assert!(!sealed.as_bytes().windows(5).any(|w| w == b"hello"));
        assert_eq!(key.open(&scope, &[2; 16], Field::Body, &sealed).unwrap(), "hello");
        let other_scope = Scope::new(Tenant::new("b").unwrap(), Site::default());
        let other_key = SubjectKey::new(Secret::new([8; 32]), subject);
        let other_subject = SubjectKey::new(Secret::new([7; 32]), SubjectDigest::from_bytes([9; 16]));
        assert!(key.open(&other_scope, &[2; 16], Field::Body, &sealed).is_err());
        assert!(key.open(&scope, &[3; 16], Field::Body, &sealed).is_err());
        assert!(key.open(&scope, &[2; 16], Field::Page, &sealed).is_err());
        assert!(other_key.open(&scope, &[2; 16], Field::Body, &sealed).is_err());
        assert!(other_subject.open(&scope, &[2; 16], Field::Body, &sealed).is_err());
        for len in 0..sealed.as_bytes().len() {
            let cut = Sealed::from_bytes(sealed.as_bytes()[..len].to_vec());
            assert!(key.open(&scope, &[2; 16], Field::Body, &cut).is_err());
        }
        let again = key.seal(&scope, &[2; 16], Field::Body, "hello").unwrap();
        assert_ne!(again, sealed, "two seals of one text differ");
    }
}
