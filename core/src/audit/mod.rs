//! What was seen, held against the catalogue: the report for an inspector who comes with a HAR file and a date.
//!
//! An [`Audit`] takes what a browser did, from a HAR file ([`Audit::har`]), from a test of the app
//! (`privet_axum::testing::walk`), or one key of storage at a time ([`Audit::seen`]), and gives an [`AuditReport`] of
//! every storage and every host, by [`Stage`], each with a [finding](AuditFinding) where the catalogue does not allow it.
//! Lists of essential cookies have to be kept true when the app changes (EDPB, report of the cookie banner taskforce,
//! 2023): let it run in CI, with `examples/audit`.
//!
//! [`Privet::audit_bundle`](crate::Privet::audit_bundle) writes down what the site says of itself: notices, catalogue,
//! configuration.
//!
//! ```
//! use privet::Catalogue;
//! use privet::audit::{Audit, AuditFinding, Stage};
//! use privet::catalogue::StorageKind;
//!
//! let catalogue = Catalogue::from_toml("[controller]\nname = \"Shop\"\ncontact = \"privacy@shop.example\"")?;
//! let har = r#"{"log": {"version": "1.2", "creator": {"name": "test", "version": "1"}, "entries": [{
//!     "startedDateTime": "2026-11-27T10:00:00.000Z", "time": 12,
//!     "request": {"method": "GET", "url": "https://shop.example/?q=roses", "headers": []},
//!     "response": {"status": 200, "headers": [{"name": "Set-Cookie", "value": "tracker=1; Path=/"}]}
//! }]}}"#;
//!
//! let mut audit = Audit::new(&catalogue);
//! audit.har(har.as_bytes())?;
//! audit.seen(Stage::BeforeChoice, StorageKind::LocalStorage, "seen-pages");
//! let report = audit.report();
//!
//! let found: Vec<_> = report.findings().map(|s| (s.name.as_str(), s.finding)).collect();
//! assert_eq!(found, [
//!     ("tracker", Some(AuditFinding::Undeclared)),
//!     ("seen-pages", Some(AuditFinding::Undeclared)),
//! ]);
//! assert!(report.to_string().contains("GET https://shop.example/"));
//! # Ok::<(), privet::Error>(())
//! ```
//!
//! # What it sees, and what it does not
//!
//! - The stage moves with the visitor's own decisions: a `POST` to privet's `consent` or `withdraw` that was answered with
//!   200 or 303 and set the consent cookie; a file in which it did not is refused. What was under way then belongs to the stage before; the answer itself to the stage after.
//! - Of a URL its origin and path are kept, of a cookie its name: never a value.
//! - Cookies that scripts write are seen when they are sent. Other storage is in no HAR file: hand it in with
//!   [`Audit::seen`].
//! - Browsers can leave cookies out of a HAR file. A file with a decision and no cookie is refused for it; one without
//!   either looks like a page that sets none, and [`AuditReport::cookies`] says so.

mod bundle;
mod decision;
mod har;
mod observe;
mod report;
mod visitor;

pub use bundle::AuditBundle;
pub use observe::Audit;
pub use report::{AuditFinding, AuditReport, How, Seen, Sighting};
pub use visitor::{AuditVisitor, Exchange};

use std::fmt;

use serde::{Deserialize, Serialize};

/// When something was seen: where in the life of a choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Stage {
    /// By a visitor who has not decided.
    BeforeChoice,
    /// By a visitor who refused everything.
    AfterRefusal,
    /// By a visitor who accepted something.
    AfterGrant,
    /// By a visitor who accepted, and took it back, all or in part.
    AfterWithdrawal,
}

impl Stage {
    /// Every stage, in the order of a visit.
    pub const ALL: &[Self] =
        &[Self::BeforeChoice, Self::AfterRefusal, Self::AfterGrant, Self::AfterWithdrawal];

    /// Its name, as a report has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BeforeChoice => "before-choice",
            Self::AfterRefusal => "after-refusal",
            Self::AfterGrant => "after-grant",
            Self::AfterWithdrawal => "after-withdrawal",
        }
    }

    /// The stage with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|s| s.as_str() == name)
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
