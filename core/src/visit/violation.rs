//! Cookies that the app tried to set and the catalogue does not allow.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

/// What happens to a cookie that the catalogue does not allow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Enforcement {
    /// It is taken out or cut down to what is declared; counted, and reported once per name.
    #[default]
    Enforce,
    /// It passes; counted, and reported once per name. For the time of a migration.
    Report,
    /// The answer is a 500 that names the cookie. For tests and staging.
    Deny,
}

/// What was wrong with a cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ViolationKind {
    /// The catalogue does not declare it.
    Undeclared,
    /// It is declared, and its gate is closed for this visitor.
    Refused,
    /// It is to live longer than declared.
    OutlivesDeclaration,
    /// Its attributes are not those declared: domain, path, SameSite, HttpOnly, Partitioned.
    Attributes,
    /// The browser has it, or may have it for all that the request shows, and setting it anew would extend a life that
    /// visits must not extend.
    Renewed,
    /// It has a name of privet's own cookies.
    Reserved,
    /// Its line cannot be read.
    Unreadable,
}

impl ViolationKind {
    fn takes_out(self) -> bool {
        matches!(self, Self::Undeclared | Self::Refused | Self::Renewed | Self::Reserved | Self::Unreadable)
    }

    fn cure(self, name: &str) -> String {
        let entry = |gate: &str| {
            format!(
                "\n\n[[service.entry]]\nname = \"{name}\"\npurpose = \"…\"\nduration = \"session\"\ntrigger = \"server\"\ngate = {gate}\n"
            )
        };
        match self {
            Self::Undeclared => {
                format!("declare it below the service that sets it:{}", entry("{ consent = \"…\" }"))
            }
            Self::Refused => {
                "set it only for visitors who granted its category (take `Granted<…>` in the handler), or, if the page cannot work without it, declare it with `gate = { exempt = \"…\", justification = \"…\" }`".to_owned()
            }
            Self::OutlivesDeclaration => "set it with the declared lifetime, or declare the longer one: visitors are then asked again".to_owned(),
            Self::Attributes => "set it with the declared attributes, or declare the ones it has".to_owned(),
            Self::Renewed => "set it only when the request did not bring it, and would have: below each of its declared paths, and not after a form of another site. What needs no consent as a measurement of the audience ends 13 months after it was first set".to_owned(),
            Self::Reserved => "name it otherwise: privet sets the cookies of this name itself".to_owned(),
            Self::Unreadable => "set it with a name and value as RFC 6265 has them".to_owned(),
        }
    }
}

/// A cookie that the app tried to set against the catalogue: never its value.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Violation {
    /// Its name.
    pub cookie: String,
    /// What was wrong.
    pub kind: ViolationKind,
    /// How often it was tried since the start.
    pub count: u64,
}

/// Names that are remembered; the app sets them, so there are few, unless it makes them up.
const MAX_NAMES: usize = 1024;

#[derive(Debug, Default)]
pub(crate) struct Violations(Mutex<BTreeMap<(String, ViolationKind), u64>>);

impl Violations {
    /// Counts; the first time of a name it is reported with its cure.
    pub(crate) fn note(&self, name: &str, kind: ViolationKind, enforcement: Enforcement) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = seen.get_mut(&(name.to_owned(), kind)) {
            *count += 1;
            return;
        }
        if seen.len() >= MAX_NAMES {
            return;
        }
        seen.insert((name.to_owned(), kind), 1);
        drop(seen);
        let shown = name.escape_default();
        let done = match (enforcement, kind.takes_out()) {
            (Enforcement::Report, _) => "passed, since the gate only reports",
            (Enforcement::Deny, _) => "answered with 500",
            (Enforcement::Enforce, true) => "taken out",
            (Enforcement::Enforce, false) => "cut down to what is declared",
        };
        tracing::warn!(cookie = %shown, kind = ?kind, "the app set a cookie against the catalogue; it was {done}; {}", kind.cure(&shown.to_string()));
    }

    pub(crate) fn all(&self) -> Vec<Violation> {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.iter()
            .map(|((cookie, kind), count)| Violation { cookie: cookie.clone(), kind: *kind, count: *count })
            .collect()
    }
}
