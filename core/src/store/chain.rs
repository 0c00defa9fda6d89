//! The chain of a tenant's consent records: what shows that none was changed, added or taken out (GDPR Art. 5(2), 7(1)).
//!
//! Each record has a link, whose hash covers the link before. It covers the record by a digest in which the person
//! stands as a salted commitment only: so a record can be purged, or cut from its person, and the chain stays whole.

use std::fmt;

use sha2::{Digest, Sha256};

use super::types::SubjectDigest;
use crate::clock::Timestamp;
use crate::consent::{ConsentRecord, RecordId};
use crate::error::Result;
use crate::key::random_bytes;
use crate::scope::Tenant;

/// What a hash is made over: each field with its length, so that no two sequences of fields are the same bytes.
pub(super) struct Hash(Sha256);

impl Hash {
    pub(super) fn new(what: &str) -> Self {
        Self(Sha256::new()).field(what.as_bytes())
    }

    pub(super) fn field(mut self, bytes: &[u8]) -> Self {
        self.0.update(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
        self.0.update(bytes);
        self
    }

    pub(super) fn done(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

/// What hides a person in the chain: without it nobody can tell whether a record was theirs. `Debug` does not show it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Salt([u8; 16]);

impl Salt {
    /// The bytes, as a store keeps them with the record, and loses them with it.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// A salt that a store kept.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// What stands for the person of a record in its digest.
    #[must_use]
    pub fn commitment(self, id: RecordId, subject: SubjectDigest) -> [u8; 32] {
        Hash::new("privet consent subject 1")
            .field(&self.0)
            .field(id.as_bytes())
            .field(subject.as_bytes())
            .done()
    }

    /// The digest of a record under this salt.
    #[must_use]
    pub fn digest(self, record: &ConsentRecord) -> [u8; 32] {
        record_digest(record, &self.commitment(record.id, record.subject))
    }
}

/// The digest of a record whose person stands in it as this commitment; what the record itself says of them is not read.
#[must_use]
pub fn record_digest(record: &ConsentRecord, commitment: &[u8; 32]) -> [u8; 32] {
    let mut decisions = Vec::with_capacity(record.decisions.len() * 5);
    record.decisions.iter().for_each(|d| decisions.extend(d.to_bytes()));
    Hash::new("privet consent record 1")
        .field(record.scope.tenant.as_str().as_bytes())
        .field(record.scope.site.as_str().as_bytes())
        .field(commitment)
        .field(&[record.act.code(), record.method.code(), record.regime.rules().code])
        .field(&[u8::from(record.gesture), u8::from(record.gpc)])
        .field(&record.at.as_millis().to_be_bytes())
        .field(&record.until.as_millis().to_be_bytes())
        .field(record.notice.as_bytes())
        .field(record.language.as_str().as_bytes())
        .field(&decisions)
        .done()
}

/// What stands in the place of a person whom a record was cut from: names that are nobody's, and the commitment, which
/// keeps the link true. Once the salt is gone nobody can tell any more whose it was, with the person's own id at hand
/// neither.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Severed {
    /// In the place of the record's id.
    pub id: RecordId,
    /// In the place of the line.
    pub subject: SubjectDigest,
    /// In the place of the salt.
    pub commitment: [u8; 32],
}

impl Severed {
    /// What to keep of a record's id, line and salt when the person is erased.
    ///
    /// # Errors
    /// [`Error::Key`](crate::Error::Key) when the operating system gives no randomness.
    pub fn of(id: RecordId, subject: SubjectDigest, salt: Salt) -> Result<Self> {
        Ok(Self {
            id: RecordId::generate()?,
            subject: SubjectDigest::from_bytes(random_bytes()?),
            commitment: salt.commitment(id, subject),
        })
    }
}

impl fmt::Debug for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Salt(..)")
    }
}

/// A link of a tenant's chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainLink {
    /// The month it was appended in, counted from January 1970, UTC; never before the month of the link before.
    pub segment: i64,
    /// Its number in the tenant's chain, from 1, through all segments.
    pub seq: u64,
    /// When the decisions of its record lapse: after that, and the period of retention, the record may be gone.
    pub until: Timestamp,
    /// The digest of its record.
    pub digest: [u8; 32],
    /// The hash over all of it and over the link before.
    pub hash: [u8; 32],
}

impl ChainLink {
    /// The link of a record that is appended after another one, or begins the chain, with the salt to be kept beside
    /// the record.
    ///
    /// # Errors
    /// [`Error::Key`](crate::Error::Key) when the operating system gives no randomness.
    pub fn after(before: Option<&Self>, record: &ConsentRecord) -> Result<(Self, Salt)> {
        let salt = Salt(random_bytes()?);
        let mut link = Self {
            // The order of appending counts, so a record that comes late does not go back to a segment that ended.
            segment: record.at.month().max(before.map_or(i64::MIN, |b| b.segment)),
            seq: before.map_or(0, |b| b.seq) + 1,
            until: record.until,
            digest: salt.digest(record),
            hash: [0; 32],
        };
        link.hash = link.hash_after(before, &record.scope.tenant);
        Ok((link, salt))
    }

    /// The hash that it has to have after another one.
    #[must_use]
    pub fn hash_after(&self, before: Option<&Self>, tenant: &Tenant) -> [u8; 32] {
        Hash::new("privet consent chain 1")
            .field(&before.map_or([0; 32], |b| b.hash))
            .field(tenant.as_str().as_bytes())
            .field(&self.segment.to_be_bytes())
            .field(&self.seq.to_be_bytes())
            .field(&self.until.as_millis().to_be_bytes())
            .field(&self.digest)
            .done()
    }
}

/// What is left of a record.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum KeptRecord {
    /// The record, and what hides its person in the digest.
    Whole(Box<ConsentRecord>, Salt),
    /// The record, cut from its person: their id and line are nobody's, and this is the commitment to what they were.
    Severed(Box<ConsentRecord>, [u8; 32]),
    /// Nothing: it was purged, or taken out.
    Gone,
    /// Something that is no record any more.
    Unreadable,
}

/// A link with what is left of its record.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Chained {
    /// The link.
    pub link: ChainLink,
    /// The record.
    pub record: KeptRecord,
}

impl Chained {
    /// What a store answers.
    #[must_use]
    pub fn new(link: ChainLink, record: KeptRecord) -> Self {
        Self { link, record }
    }
}
