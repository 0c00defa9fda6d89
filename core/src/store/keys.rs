//! Keys that live apart from the data: one per subject, one per day, one pepper per tenant.
//!
//! A [`KeyStore`] keeps them wrapped with the installation's secret, so that neither the store nor the key
//! store alone reads anything. To erase is to destroy the key first and the rows after.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

use super::traits::Store;
use super::types::SubjectDigest;
use crate::clock::Day;
use crate::contact::{ContactId, ConversationId, MessageId, NoteId, SessionId, SubjectKey};
use crate::error::{Error, Result};
use crate::key::{Derived, KeyRing, Mac, Secret, random_bytes};
use crate::scope::{Scope, Tenant};

/// Which key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum KeyName {
    /// The pepper of a tenant's digests. Destroying it unlinks every digest from whom it stood for; an app that still has the
    /// tenant, with records of it, does not start without.
    Pepper(Tenant),
    /// The key that a subject's texts are sealed with.
    Subject(Tenant, SubjectDigest),
    /// The key of a day's pseudonyms.
    Epoch(Day),
}

impl KeyName {
    /// Kind, tenant and id: what a key store keeps the key under. The tenant is empty for keys of the
    /// installation.
    #[must_use]
    pub fn parts(&self) -> (u8, &str, Vec<u8>) {
        match self {
            Self::Pepper(tenant) => (1, tenant.as_str(), Vec::new()),
            Self::Subject(tenant, subject) => (2, tenant.as_str(), subject.as_bytes().to_vec()),
            Self::Epoch(day) => (3, "", day.number().to_be_bytes().to_vec()),
        }
    }
}

/// Keeps wrapped keys, apart from the database: another file, another server, another backup plan. What is
/// destroyed here must be gone from the medium.
#[async_trait]
pub trait KeyStore: fmt::Debug + Send + Sync {
    /// The wrapped key of this name.
    async fn get(&self, name: &KeyName) -> Result<Option<Vec<u8>>>;

    /// Keeps a wrapped key, durably, unless there is one; gives the one that stands.
    async fn insert(&self, name: &KeyName, wrapped: &[u8]) -> Result<Vec<u8>>;

    /// Destroys keys, durably. One that is not there is destroyed already.
    async fn destroy(&self, names: &[KeyName]) -> Result<()>;

    /// Destroys the keys of all days before this one.
    async fn destroy_epochs_before(&self, day: Day) -> Result<()>;
}

/// Keys in memory: for tests and for trying out.
#[derive(Debug, Default)]
pub struct MemoryKeyStore {
    keys: Mutex<BTreeMap<KeyName, Zeroizing<Vec<u8>>>>,
}

impl MemoryKeyStore {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn locked<T>(&self, f: impl FnOnce(&mut BTreeMap<KeyName, Zeroizing<Vec<u8>>>) -> T) -> T {
        f(&mut self.keys.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl KeyStore for MemoryKeyStore {
    async fn get(&self, name: &KeyName) -> Result<Option<Vec<u8>>> {
        Ok(self.locked(|keys| keys.get(name).map(|k| k.to_vec())))
    }

    async fn insert(&self, name: &KeyName, wrapped: &[u8]) -> Result<Vec<u8>> {
        Ok(self.locked(|keys| {
            keys.entry(name.clone()).or_insert_with(|| Zeroizing::new(wrapped.to_vec())).to_vec()
        }))
    }

    async fn destroy(&self, names: &[KeyName]) -> Result<()> {
        self.locked(|keys| names.iter().for_each(|name| drop(keys.remove(name))));
        Ok(())
    }

    async fn destroy_epochs_before(&self, day: Day) -> Result<()> {
        self.locked(|keys| keys.retain(|name, _| !matches!(name, KeyName::Epoch(d) if *d < day)));
        Ok(())
    }
}

/// The key store as the rest of privet uses it: wraps and unwraps, so that no key store has to.
pub(crate) struct Keys {
    store: Arc<dyn KeyStore>,
    wrapping: Derived,
    /// Peppers do not change while the process runs.
    peppers: Mutex<BTreeMap<Tenant, Mac>>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("store", &self.store).finish_non_exhaustive()
    }
}

const NONCE_LEN: usize = 24;

fn associated(name: &KeyName) -> Vec<u8> {
    let (kind, tenant, id) = name.parts();
    let mut aad = vec![1, kind];
    aad.extend(u32::try_from(tenant.len()).unwrap_or(u32::MAX).to_be_bytes());
    aad.extend(tenant.as_bytes());
    aad.extend(id);
    aad
}

impl Keys {
    pub(crate) fn new(store: Arc<dyn KeyStore>, ring: &KeyRing) -> Self {
        Self { store, wrapping: ring.derive("key-wrapping", &[]), peppers: Mutex::default() }
    }

    fn wrap(&self, name: &KeyName, key: &Secret) -> Result<Vec<u8>> {
        let nonce: [u8; NONCE_LEN] = random_bytes()?;
        let cipher = XChaCha20Poly1305::new(self.wrapping.current.as_bytes().into());
        let payload = Payload { msg: key.as_bytes(), aad: &associated(name) };
        let wrapped = cipher.encrypt(&XNonce::from(nonce), payload).unwrap_or_default();
        Ok([&nonce[..], &wrapped].concat())
    }

    fn unwrap(&self, name: &KeyName, wrapped: &[u8]) -> Result<Secret> {
        let open = |secret: &Secret| {
            let (nonce, text) = wrapped.split_first_chunk::<NONCE_LEN>()?;
            let cipher = XChaCha20Poly1305::new(secret.as_bytes().into());
            let payload = Payload { msg: text, aad: &associated(name) };
            let key = Zeroizing::new(cipher.decrypt(&XNonce::from(*nonce), payload).ok()?);
            key.as_slice().try_into().ok().map(Secret::new)
        };
        [Some(&self.wrapping.current), self.wrapping.previous.as_ref()]
            .into_iter()
            .flatten()
            .find_map(open)
            .ok_or_else(|| {
                Error::corrupt(
                    "keys",
                    "a key does not open with the installation key",
                    "start with a key file and a key store that belong together",
                )
            })
    }

    async fn existing(&self, name: &KeyName) -> Result<Option<Secret>> {
        self.store.get(name).await?.map(|wrapped| self.unwrap(name, &wrapped)).transpose()
    }

    async fn get_or_create(&self, name: &KeyName) -> Result<Secret> {
        if let Some(key) = self.existing(name).await? {
            return Ok(key);
        }
        let wrapped = self.wrap(name, &Secret::new(random_bytes()?))?;
        let standing = self.store.insert(name, &wrapped).await?;
        self.unwrap(name, &standing)
    }

    /// Refuses a key store that is not the one beside which a store's records were made. A tenant's pepper is kept before its
    /// first record is, by whichever instance: records without one mean that the key store is another, or was lost. A pepper
    /// that is drawn anew knows nobody who was erased, whose old cookies would write them again.
    pub(crate) async fn check(&self, store: &dyn Store, tenant: &Tenant) -> Result<()> {
        let name = KeyName::Pepper(tenant.clone());
        if self.existing(&name).await?.is_some() || store.chain(tenant, None, 1).await?.is_empty() {
            return Ok(());
        }
        // Another instance may have drawn it, and recorded something, between the two looks.
        if self.existing(&name).await?.is_some() {
            return Ok(());
        }
        Err(Error::Key {
            what: format!(
                "the store has consent records of tenant `{tenant}`, and the key store has not the keys that they were made with"
            ),
            cure: "start with the key store that belongs to this store, or restore it from its backup; where it is lost for good, begin with an empty store: under new keys nothing sealed can be read, and whoever was erased could be written again".to_owned(),
            source: None,
        })
    }

    async fn digest(&self, tenant: &Tenant, kind: &str, id: &[u8]) -> Result<SubjectDigest> {
        let digest = |pepper: &Mac| SubjectDigest::from_bytes(pepper.tag(&[kind.as_bytes(), &[0], id]));
        if let Some(pepper) = self.peppers.lock().unwrap_or_else(PoisonError::into_inner).get(tenant) {
            return Ok(digest(pepper));
        }
        let pepper = Mac::from_key(&self.get_or_create(&KeyName::Pepper(tenant.clone())).await?);
        let digest = digest(&pepper);
        self.peppers.lock().unwrap_or_else(PoisonError::into_inner).insert(tenant.clone(), pepper);
        Ok(digest)
    }

    pub(crate) async fn contact_digest(&self, tenant: &Tenant, id: ContactId) -> Result<SubjectDigest> {
        self.digest(tenant, "contact", id.as_bytes()).await
    }

    pub(crate) async fn session_digest(&self, tenant: &Tenant, id: SessionId) -> Result<SubjectDigest> {
        self.digest(tenant, "session", id.as_bytes()).await
    }

    /// The subject of a visit's conversation is the conversation.
    pub(crate) async fn conversation_digest(
        &self,
        tenant: &Tenant,
        id: ConversationId,
    ) -> Result<SubjectDigest> {
        self.digest(tenant, "conversation", id.as_bytes()).await
    }

    /// A single message. Not by its number: a restored backup may give that to another one.
    pub(crate) async fn message_digest(&self, tenant: &Tenant, id: MessageId) -> Result<SubjectDigest> {
        self.digest(tenant, "message", id.as_bytes()).await
    }

    pub(crate) async fn note_digest(&self, tenant: &Tenant, id: NoteId) -> Result<SubjectDigest> {
        self.digest(tenant, "note", id.as_bytes()).await
    }

    /// A line of consent, by the name that one recipient has for it.
    pub(crate) async fn recipient_digest(
        &self,
        tenant: &Tenant,
        recipient: &str,
        line: SubjectDigest,
    ) -> Result<SubjectDigest> {
        self.digest(tenant, &format!("recipient/{recipient}"), line.as_bytes()).await
    }

    /// What a recipient verifies notifications with.
    pub(crate) fn recipient_secrets(&self, tenant: &Tenant, recipient: &str) -> Derived {
        let derive = |s: &Secret| s.derive("recipient", &[tenant.as_str().as_bytes(), recipient.as_bytes()]);
        Derived {
            current: derive(&self.wrapping.current),
            previous: self.wrapping.previous.as_ref().map(derive),
        }
    }

    /// The line of consent of an account, by the name that the app has for it.
    pub(crate) async fn account_digest(&self, scope: &Scope, account: &str) -> Result<SubjectDigest> {
        let name = [scope.site.as_str(), account].join("\0");
        self.digest(&scope.tenant, "account", name.as_bytes()).await
    }

    /// What the app of a site signs identities with.
    pub(crate) fn identity_secrets(&self, scope: &Scope) -> Derived {
        let parts = [scope.tenant.as_str().as_bytes(), scope.site.as_str().as_bytes()];
        let derive = |s: &Secret| s.derive("identity", &parts);
        Derived {
            current: derive(&self.wrapping.current),
            previous: self.wrapping.previous.as_ref().map(derive),
        }
    }

    /// What the app knows a contact as, so that it is found.
    pub(crate) async fn identity_digest(&self, scope: &Scope, identity: &str) -> Result<SubjectDigest> {
        let name = [scope.site.as_str(), identity].join("\0");
        self.digest(&scope.tenant, "identity", name.as_bytes()).await
    }

    pub(crate) async fn line_digest(
        &self,
        tenant: &Tenant,
        first_record: &[u8; 16],
    ) -> Result<SubjectDigest> {
        self.digest(tenant, "consent", first_record).await
    }

    pub(crate) async fn subject_key(&self, tenant: &Tenant, subject: SubjectDigest) -> Result<SubjectKey> {
        let name = KeyName::Subject(tenant.clone(), subject);
        Ok(SubjectKey::new(self.get_or_create(&name).await?, subject))
    }

    /// The key of a subject that has one: reading never makes a key.
    pub(crate) async fn existing_subject_key(
        &self,
        tenant: &Tenant,
        subject: SubjectDigest,
    ) -> Result<Option<SubjectKey>> {
        let name = KeyName::Subject(tenant.clone(), subject);
        Ok(self.existing(&name).await?.map(|key| SubjectKey::new(key, subject)))
    }

    pub(crate) async fn destroy_subject_key(&self, tenant: &Tenant, subject: SubjectDigest) -> Result<()> {
        self.destroy_subject_keys([(tenant, subject)]).await
    }

    pub(crate) async fn destroy_subject_keys<'a>(
        &self,
        subjects: impl IntoIterator<Item = (&'a Tenant, SubjectDigest)>,
    ) -> Result<()> {
        let names: Vec<_> = subjects.into_iter().map(|(t, s)| KeyName::Subject(t.clone(), s)).collect();
        if names.is_empty() { Ok(()) } else { self.store.destroy(&names).await }
    }

    pub(crate) async fn epoch_key(&self, day: Day) -> Result<Secret> {
        self.get_or_create(&KeyName::Epoch(day)).await
    }

    pub(crate) async fn destroy_epochs_before(&self, day: Day) -> Result<()> {
        self.store.destroy_epochs_before(day).await
    }
}

#[cfg(test)]
mod tests {
    use futures_executor::block_on;

    use super::*;

    fn ring(byte: u8) -> KeyRing {
        let mut bytes = [byte; 32];
        bytes[0] = 99;
        KeyRing::from_bytes(bytes).unwrap()
    }

    #[test]
    fn keys_are_kept_wrapped_and_survive_a_rotation() {
        block_on(async {
            let store = Arc::new(MemoryKeyStore::new());
            let tenant = Tenant::default();
            let subject = SubjectDigest::from_bytes([3; 16]);
            let old = Keys::new(store.clone(), &ring(1));
            let key = old.subject_key(&tenant, subject).await.unwrap();
            let kept = store.get(&KeyName::Subject(tenant.clone(), subject)).await.unwrap().unwrap();
            assert!(!kept.windows(32).any(|w| w == key.secret().as_bytes()));
            let rotated = Keys::new(store.clone(), &ring(2).with_previous(&ring(1)));
            let again = rotated.subject_key(&tenant, subject).await.unwrap();
            assert_eq!(again.secret().as_bytes(), key.secret().as_bytes());
            assert_eq!(
                old.contact_digest(&tenant, ContactId::from_bytes([1; 16])).await.unwrap(),
                rotated.contact_digest(&tenant, ContactId::from_bytes([1; 16])).await.unwrap(),
                "digests outlive a rotation"
            );
            let foreign = Keys::new(store, &ring(3));
            assert!(matches!(foreign.subject_key(&tenant, subject).await, Err(Error::Corrupt { .. })));
        });
    }

    #[test]
    fn a_destroyed_key_does_not_come_back() {
        block_on(async {
            let keys = Keys::new(Arc::new(MemoryKeyStore::new()), &ring(1));
            let (tenant, subject) = (Tenant::default(), SubjectDigest::from_bytes([3; 16]));
            let first = keys.subject_key(&tenant, subject).await.unwrap();
            keys.destroy_subject_key(&tenant, subject).await.unwrap();
            keys.destroy_subject_key(&tenant, subject).await.unwrap();
            assert!(keys.existing_subject_key(&tenant, subject).await.unwrap().is_none());
            assert_ne!(
                keys.subject_key(&tenant, subject).await.unwrap().secret().as_bytes(),
                first.secret().as_bytes()
            );
        });
    }

    #[test]
    fn digests_are_of_the_tenant_and_the_kind() {
        block_on(async {
            let keys = Keys::new(Arc::new(MemoryKeyStore::new()), &ring(1));
            let (a, b) = (Tenant::new("a").unwrap(), Tenant::new("b").unwrap());
            let id = [1; 16];
            let digests = [
                keys.contact_digest(&a, ContactId::from_bytes(id)).await.unwrap(),
                keys.contact_digest(&b, ContactId::from_bytes(id)).await.unwrap(),
                keys.session_digest(&a, SessionId::from_bytes(id)).await.unwrap(),
                keys.conversation_digest(&a, ConversationId::from_bytes(id)).await.unwrap(),
            ];
            let distinct: std::collections::BTreeSet<_> = digests.iter().collect();
            assert_eq!(distinct.len(), 4);
        });
    }

    #[test]
    fn old_days_go() {
        block_on(async {
            let keys = Keys::new(Arc::new(MemoryKeyStore::new()), &ring(1));
            let one = keys.epoch_key(Day::from_number(1)).await.unwrap();
            let two = keys.epoch_key(Day::from_number(2)).await.unwrap();
            keys.destroy_epochs_before(Day::from_number(2)).await.unwrap();
            assert_eq!(keys.epoch_key(Day::from_number(2)).await.unwrap().as_bytes(), two.as_bytes());
            assert_ne!(keys.epoch_key(Day::from_number(1)).await.unwrap().as_bytes(), one.as_bytes());
        });
    }
}
