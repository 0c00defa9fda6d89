//! What is shown before a decision, and its exact copy for later (GDPR Art. 7(1); EDPB 05/2020, para 108).

use std::fmt;

use data_encoding::HEXLOWER;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::words::NoticeWords;
use crate::catalogue::{Catalogue, Category, CategoryCode, Controller, Gate, Language, Service, category_id};

/// The name of a [`NoticeSnapshot`]: the SHA-256 of its bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NoticeId([u8; 32]);

impl NoticeId {
    /// Stands where nothing was shown, as for a revocation by the operator.
    pub const NONE: Self = Self([0; 32]);

    /// The bytes, as a store keeps them.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// An id that a store kept.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for NoticeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for NoticeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NoticeId({self})")
    }
}

/// The notice in one language: pages are made from this and from nothing else, so that what is shown is what
/// is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Notice {
    /// Version of this structure.
    pub format: u8,
    /// The language of its texts.
    pub language: Language,
    /// Who asks.
    pub controller: Controller,
    /// The words around the categories.
    pub words: NoticeWords,
    /// What is asked.
    pub categories: Vec<NoticeCategory>,
}

/// A category as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct NoticeCategory {
    /// Its id.
    pub id: String,
    /// Its stable number.
    pub code: CategoryCode,
    /// Its name.
    pub label: String,
    /// What the visitor agrees to.
    pub purpose: String,
    /// What happens on withdrawal beyond the end of storage, told before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_withdrawal: Option<String>,
    /// The services it opens.
    pub services: Vec<NoticeService>,
}

/// A service as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct NoticeService {
    /// Its name.
    pub label: String,
    /// Who provides it.
    pub provider: String,
    /// What it is for.
    pub purpose: String,
    /// Whom its data goes to.
    pub recipients: Vec<NoticeRecipient>,
    /// Hosts that the browser loads something from.
    pub external_hosts: Vec<String>,
    /// What it stores under this category.
    pub entries: Vec<NoticeEntry>,
}

/// A recipient as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct NoticeRecipient {
    /// Its name.
    pub name: String,
    /// ISO 3166-1 code of its country.
    pub country: String,
}

/// An entry as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct NoticeEntry {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub purpose: String,
    /// How long it lives, in seconds; none for a session.
    pub seconds: Option<u64>,
    /// Third parties that can read it.
    pub third_party_access: Vec<String>,
}

/// Exactly what was shown, immutable, named by its own hash.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NoticeSnapshot {
    /// The SHA-256 of `body`.
    pub id: NoticeId,
    /// The language of its texts.
    pub language: Language,
    /// The [`Notice`] as JSON; byte-identical for an identical notice.
    pub body: String,
}

impl Notice {
    pub(crate) fn of(catalogue: &Catalogue, language: &Language) -> Option<Self> {
        let words = catalogue.words(language)?.clone();
        let categories = catalogue
            .categories()
            .iter()
            .map(|c| NoticeCategory {
                id: c.id.clone(),
                code: c.code,
                label: catalogue.category_label(c.code, language),
                purpose: c.purpose.get(language).to_owned(),
                on_withdrawal: (c.id == category_id::CONTACTS).then(|| match &c.kept_on_withdrawal {
                    Some((basis, reason)) => format!("{} ({})", reason.get(language), basis.article()),
                    None => words.contact_erased.clone(),
                }),
                services: catalogue
                    .services()
                    .iter()
                    .filter_map(|s| service(catalogue, s, c, language))
                    .collect(),
            })
            .collect();
        Some(Self {
            format: 1,
            language: language.clone(),
            controller: catalogue.controller().clone(),
            words,
            categories,
        })
    }

    pub(crate) fn snapshot(&self) -> NoticeSnapshot {
        // A structure of strings and numbers always has a JSON form.
        let body = serde_json::to_string(self).unwrap_or_default();
        NoticeSnapshot {
            id: NoticeId(Sha256::digest(body.as_bytes()).into()),
            language: self.language.clone(),
            body,
        }
    }
}

impl NoticeSnapshot {
    /// Whether the body is the one that the id names.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.id.0 == <[u8; 32]>::from(Sha256::digest(self.body.as_bytes()))
    }

    /// A snapshot that a store kept.
    #[must_use]
    pub fn from_parts(id: NoticeId, language: Language, body: String) -> Self {
        Self { id, language, body }
    }
}

fn service(
    catalogue: &Catalogue,
    service: &Service,
    category: &Category,
    language: &Language,
) -> Option<NoticeService> {
    let entries: Vec<_> = service
        .entries
        .iter()
        .filter(|e| e.gate.category() == Some(category.code))
        .map(|e| NoticeEntry {
            name: e.name.to_string(),
            purpose: e.purpose.get(language).to_owned(),
            seconds: e.lifetime.exactly().map(|d| d.as_secs()),
            third_party_access: e.third_party_access.clone(),
        })
        .collect();
    let itself = service.gate.as_ref().and_then(Gate::category) == Some(category.code);
    (itself || !entries.is_empty()).then(|| NoticeService {
        label: service.label.get(language).to_owned(),
        provider: service.provider.clone(),
        purpose: service.purpose.get(language).to_owned(),
        recipients: service
            .recipients
            .iter()
            .filter_map(|id| catalogue.recipient(id).ok())
            .map(|r| NoticeRecipient { name: r.name.clone(), country: r.country.clone() })
            .collect(),
        external_hosts: service.external_hosts.clone(),
        entries,
    })
}
