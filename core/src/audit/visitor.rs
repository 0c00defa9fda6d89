//! A visitor who is watched: what they asked for, and what they decided.

use std::collections::BTreeSet;
use std::fmt;

use super::Stage;
use super::decision::Decided;
use crate::catalogue::Catalogue;
use crate::clock::Timestamp;
use crate::consent::SeenDecisions;

/// A request with its answer, as a browser saw it. No value in it is kept.
#[derive(Clone)]
#[non_exhaustive]
pub struct Exchange {
    /// When the request was sent.
    pub sent: Timestamp,
    /// When the head of the answer came.
    pub answered: Timestamp,
    /// Its method.
    pub method: String,
    /// Its URL, whole.
    pub url: String,
    /// Whether it said `Sec-GPC: 1`.
    pub gpc: bool,
    /// Whether its `Sec-Fetch-Site` said that no other site had a part in it.
    pub same_site: bool,
    /// Its `Cookie` lines.
    pub cookies: Vec<Vec<u8>>,
    /// Its body with its content type; only looked at where it is a decision.
    pub body: Option<(String, Vec<u8>)>,
    /// The status of the answer; 0 when there was none.
    pub status: u16,
    /// The `Set-Cookie` lines of the answer.
    pub set_cookies: Vec<Vec<u8>>,
    /// Whether these are the lines as they came, and not what a file still has of them.
    pub(super) lines_whole: bool,
}

impl Exchange {
    /// A request that was sent and answered at an instant, without headers and body.
    #[must_use]
    pub fn new(method: impl Into<String>, url: impl Into<String>, at: Timestamp) -> Self {
        Self {
            sent: at,
            answered: at,
            method: method.into(),
            url: url.into(),
            gpc: false,
            same_site: false,
            cookies: Vec::new(),
            body: None,
            status: 0,
            set_cookies: Vec::new(),
            lines_whole: true,
        }
    }

    pub(super) fn is_https(&self) -> bool {
        self.url.get(..8).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https://"))
    }

    /// Whether the answer sets a cookie of this name and does not expire it, as privet writes its own.
    pub(super) fn sets(&self, name: &str) -> bool {
        self.set_cookies.iter().any(|line| {
            let value = line.strip_prefix(name.as_bytes()).and_then(|rest| rest.strip_prefix(b"="));
            value.is_some_and(|value| !value.is_empty() && !value.starts_with(b";"))
        })
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange")
            .field("method", &self.method)
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

/// One visitor in the eyes of an [`Audit`](super::Audit): what they decided and started so far.
#[derive(Clone, Debug)]
pub struct AuditVisitor {
    pub(super) stage: Stage,
    /// The stage was named, and decisions do not move it.
    pub(super) named: bool,
    pub(super) decisions: SeenDecisions,
    pub(super) started: Started,
    /// Cookies that an answer expired and none set again.
    pub(super) expired: BTreeSet<Vec<u8>>,
    /// Decisions whose answers come after what was looked at last.
    pub(super) coming: Vec<(Timestamp, Decided)>,
    /// The host of the first request, which is the site where none is named.
    pub(super) site: Option<String>,
    pub(super) decided: bool,
}

/// The services that the visitor started, by their place in the catalogue.
#[derive(Clone, Debug)]
pub(super) enum Started {
    These(BTreeSet<usize>),
    /// Something was started, and nobody can see what.
    Any,
}

impl AuditVisitor {
    /// At which stage they are.
    #[must_use]
    pub fn stage(&self) -> Stage {
        self.stage
    }

    pub(super) fn take(&mut self, decided: &Decided, catalogue: &Catalogue) {
        let all = catalogue.all_codes();
        let before = self.decisions.granted;
        let (granted, despite) = match decided {
            Decided::Chosen { granted, despite } => (*granted, *despite),
            Decided::Withdrawn(codes) => (before & !codes, self.decisions.despite & !codes),
        };
        let refused = match decided {
            Decided::Chosen { .. } => all & !granted,
            Decided::Withdrawn(codes) => self.decisions.refused | codes,
        };
        self.decisions = SeenDecisions { granted, refused, despite };
        self.stage = match decided {
            Decided::Withdrawn(_) => Stage::AfterWithdrawal,
            Decided::Chosen { .. } if before & !granted != 0 => Stage::AfterWithdrawal,
            Decided::Chosen { .. } if granted != 0 => Stage::AfterGrant,
            Decided::Chosen { .. } if self.stage == Stage::AfterWithdrawal => Stage::AfterWithdrawal,
            Decided::Chosen { .. } => Stage::AfterRefusal,
        };
        self.decided = true;
    }

    /// Takes the decisions that were answered by then.
    pub(super) fn come_to(&mut self, at: Timestamp, catalogue: &Catalogue) {
        let coming = std::mem::take(&mut self.coming);
        let (mut due, later): (Vec<_>, Vec<_>) = coming.into_iter().partition(|(when, _)| *when <= at);
        due.sort_by_key(|(when, _)| *when);
        for (_, decided) in due {
            self.take(&decided, catalogue);
        }
        self.coming = later;
    }

    pub(super) fn has_started(&self, service: usize) -> bool {
        match &self.started {
            Started::These(these) => these.contains(&service),
            Started::Any => true,
        }
    }

    /// Something was started: what, if a request to privet said it.
    pub(super) fn start(&mut self, service: Option<usize>) {
        match (&mut self.started, service) {
            (Started::These(these), Some(service)) => drop(these.insert(service)),
            (Started::These(these), None) if these.is_empty() => self.started = Started::Any,
            _ => {}
        }
    }
}
