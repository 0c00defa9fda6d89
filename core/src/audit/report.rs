//! What an audit says: every storage and host that was seen, in one order, with what is wrong about it.

use std::fmt;

use serde::Serialize;

use super::Stage;
use crate::catalogue::StorageKind;
use crate::consent::Regime;
use crate::visit::ViolationKind;

/// What was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Seen {
    /// An HTTP cookie.
    Cookie,
    /// A key of `localStorage`.
    LocalStorage,
    /// A key of `sessionStorage`.
    SessionStorage,
    /// A database of IndexedDB.
    IndexedDb,
    /// A host of somebody else, that the browser asked for something.
    Host,
}

impl Seen {
    /// Its name, as a report has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cookie => "cookie",
            Self::LocalStorage => "local-storage",
            Self::SessionStorage => "session-storage",
            Self::IndexedDb => "indexed-db",
            Self::Host => "host",
        }
    }
}

impl From<StorageKind> for Seen {
    fn from(kind: StorageKind) -> Self {
        match kind {
            StorageKind::Cookie => Self::Cookie,
            StorageKind::LocalStorage => Self::LocalStorage,
            StorageKind::SessionStorage => Self::SessionStorage,
            StorageKind::IndexedDb => Self::IndexedDb,
        }
    }
}

/// How it was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum How {
    /// An answer set it.
    Set,
    /// The app tried to set it; the gate took it out or cut it down.
    Tried,
    /// The browser sent it.
    Sent,
    /// It was there.
    Stored,
    /// The browser asked for something.
    Loaded,
}

impl How {
    /// Its name, as a report has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Set => "set",
            Self::Tried => "tried",
            Self::Sent => "sent",
            Self::Stored => "stored",
            Self::Loaded => "loaded",
        }
    }
}

/// What is wrong about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum AuditFinding {
    /// The catalogue does not declare it.
    Undeclared,
    /// It is declared, and its gate is closed at this stage: neither written nor read (ePrivacy Directive Art. 5(3)).
    Closed,
    /// It is to live longer than declared.
    Outlives,
    /// Its attributes are not those declared.
    Attributes,
    /// It was set anew, which extends a life that visits must not extend.
    Renewed,
    /// The app sets a cookie of privet's own.
    Reserved,
    /// Its line cannot be read.
    Unreadable,
    /// It was expired when its gate closed, and the browser still sends it: some variant was set with another path or
    /// domain than those declared (GDPR Art. 7(3)).
    StillSent,
}

impl AuditFinding {
    /// Its name, as a report has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Undeclared => "undeclared",
            Self::Closed => "closed",
            Self::Outlives => "outlives",
            Self::Attributes => "attributes",
            Self::Renewed => "renewed",
            Self::Reserved => "reserved",
            Self::Unreadable => "unreadable",
            Self::StillSent => "still-sent",
        }
    }

    /// What to do about it.
    #[must_use]
    pub const fn cure(self) -> &'static str {
        match self {
            Self::Undeclared => {
                "declare it: an item of storage as `[[service.entry]]`, a host in `external_hosts`; or take it out of the page"
            }
            Self::Closed => {
                "set, read or load it only when its gate is open; or declare the gate that the law has for it"
            }
            Self::Outlives => {
                "set it with the declared lifetime, or declare the longer one: visitors are then asked again"
            }
            Self::Attributes => "set it with the declared attributes, or declare the ones it has",
            Self::Renewed => "set it only when the request did not bring it, and would have",
            Self::Reserved => "name it otherwise: privet sets the cookies of this name itself",
            Self::Unreadable => "set it with a name and value as RFC 6265 has them",
            Self::StillSent => {
                "declare every path and domain that it is set with, so that a withdrawal expires each of them"
            }
        }
    }
}

impl From<ViolationKind> for AuditFinding {
    fn from(kind: ViolationKind) -> Self {
        match kind {
            ViolationKind::Undeclared => Self::Undeclared,
            ViolationKind::Refused => Self::Closed,
            ViolationKind::OutlivesDeclaration => Self::Outlives,
            ViolationKind::Attributes => Self::Attributes,
            ViolationKind::Renewed => Self::Renewed,
            ViolationKind::Reserved => Self::Reserved,
            ViolationKind::Unreadable => Self::Unreadable,
        }
    }
}

/// One thing that was seen at one stage in one way, however often.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Sighting {
    /// The stage.
    pub stage: Stage,
    /// What it is.
    pub what: Seen,
    /// Its name: of a cookie or key, or a host. Never a value.
    pub name: String,
    /// How it was seen.
    pub how: How,
    /// What is wrong about it.
    pub finding: Option<AuditFinding>,
    /// The service that declares it.
    pub service: Option<String>,
    /// How often.
    pub count: u64,
    /// The first request that it was seen in: method, origin and path.
    pub first: String,
}

/// Everything that was seen, in the order of stages and names: the same for the same input.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[must_use = "ask `is_clean`"]
#[non_exhaustive]
pub struct AuditReport {
    /// Version of this structure.
    pub format: u8,
    /// The catalogue it was held against: the hash over everything that a consent depends on, in hexadecimal.
    pub catalogue: String,
    /// The regime that visitors were taken to be under.
    pub regime: Regime,
    /// How many requests were looked at.
    pub requests: u64,
    /// How many times a cookie was set or sent. Nought is what a clean page has before the choice, and what a HAR file
    /// has that was exported without cookies.
    pub cookies: u64,
    /// Everything that was seen.
    pub seen: Vec<Sighting>,
}

impl AuditReport {
    /// Whether the catalogue allows everything that was seen.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.findings().next().is_none()
    }

    /// What it does not allow.
    pub fn findings(&self) -> impl Iterator<Item = &Sighting> {
        self.seen.iter().filter(|s| s.finding.is_some())
    }

    /// As JSON, for machines; the same bytes for the same input.
    #[must_use]
    pub fn to_json(&self) -> String {
        // A structure of strings and numbers always has a JSON form.
        let mut json = serde_json::to_string_pretty(self).unwrap_or_default();
        json.push('\n');
        json
    }
}

const HEAD: [&str; 8] = ["stage", "what", "name", "how", "count", "finding", "service", "first seen in"];

/// A table, the count of findings, and the cure of each kind.
impl fmt::Display for AuditReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows: Vec<[String; 8]> = self
            .seen
            .iter()
            .map(|s| {
                [
                    s.stage.as_str().to_owned(),
                    s.what.as_str().to_owned(),
                    shown(&s.name),
                    s.how.as_str().to_owned(),
                    s.count.to_string(),
                    s.finding.map_or("", AuditFinding::as_str).to_owned(),
                    s.service.clone().unwrap_or_default(),
                    shown(&s.first),
                ]
            })
            .collect();
        let mut widths = HEAD.map(str::len);
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let head = HEAD.map(str::to_owned);
        for row in std::iter::once(&head).chain(&rows) {
            let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
            writeln!(f, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
        }
        writeln!(
            f,
            "\n{} requests, {} cookies set or sent, {} findings",
            self.requests,
            self.cookies,
            self.findings().count()
        )?;
        if self.requests > 0 && self.cookies == 0 {
            writeln!(
                f,
                "no cookie was seen at all: if there are some, export the HAR file with its sensitive data"
            )?;
        }
        let mut kinds: Vec<_> = self.findings().filter_map(|s| s.finding).collect();
        kinds.sort_unstable();
        kinds.dedup();
        for kind in kinds {
            writeln!(f, "{}: {}", kind.as_str(), kind.cure())?;
        }
        Ok(())
    }
}

/// What a terminal may be given: names come from whoever set the cookie.
fn shown(text: &str) -> String {
    if text.is_empty() { "(none)".to_owned() } else { text.escape_default().to_string() }
}
