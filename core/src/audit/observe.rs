//! What was seen of visitors, judged.

use std::collections::{BTreeMap, BTreeSet};

use data_encoding::HEXLOWER;
use url::Url;

use super::decision::{activation, decision};
use super::report::{AuditFinding, AuditReport, How, Seen, Sighting};
use super::visitor::{AuditVisitor, Exchange, Started};
use super::{Stage, har};
use crate::catalogue::{Catalogue, EntryGate, EntryId, OwnNames, Service, StorageKind};
use crate::consent::{Regime, SeenDecisions, Standing};
use crate::error::{Error, Result};
use crate::privet::Privet;
use crate::scope::Scope;
use crate::visit::ViolationKind;
use crate::visit::cookies::pairs;
use crate::visit::judge::{Judge, SentBy};

/// Stage, kind, name, way, finding: what one line of the report is about.
type Line = (Stage, Seen, String, How, Option<AuditFinding>);

/// Holds what was seen against a catalogue: see the [module](super).
#[derive(Clone, Debug)]
pub struct Audit {
    catalogue: Catalogue,
    names: OwnNames,
    base_path: String,
    sites: Vec<String>,
    regime: Regime,
    started: BTreeSet<usize>,
    requests: u64,
    cookies: u64,
    /// Service, count, first request.
    lines: BTreeMap<Line, (Option<String>, u64, String)>,
}

impl Privet {
    /// An audit of a site as it is set up here: its catalogue with the names of privet's own cookies, the base path,
    /// and its public origins.
    ///
    /// # Errors
    /// [`Error::UnknownSite`].
    pub fn audit(&self, scope: &Scope) -> Result<Audit> {
        let site = self.site(scope)?;
        let audit = Audit {
            names: site.names.clone(),
            base_path: self.base_path().to_owned(),
            ..Audit::new(&site.catalogue)
        };
        site.public_origins.iter().try_fold(audit, Audit::site)
    }
}

impl Audit {
    /// An audit of a site with this catalogue, with privet's routes at `/privacy`. [`Privet::audit`] knows more of a
    /// site that is set up otherwise.
    #[must_use]
    pub fn new(catalogue: &Catalogue) -> Self {
        Self {
            catalogue: catalogue.clone(),
            names: OwnNames::default(),
            base_path: "/privacy".to_owned(),
            sites: Vec::new(),
            regime: Regime::OptIn,
            started: BTreeSet::new(),
            requests: 0,
            cookies: 0,
            lines: BTreeMap::new(),
        }
    }

    /// Where privet's routes are.
    #[must_use]
    pub fn base_path(mut self, path: impl Into<String>) -> Self {
        self.base_path = path.into();
        self
    }

    /// An origin of the site, such as `https://shop.example`: every other host is somebody else's. The host of the first
    /// request of a file, if nothing is said.
    ///
    /// # Errors
    /// [`Error::Config`] when it is no origin.
    pub fn site(mut self, origin: impl AsRef<str>) -> Result<Self> {
        let origin = origin.as_ref();
        let url = Url::parse(origin).ok().filter(is_web);
        let host = url.as_ref().and_then(Url::host_str).ok_or_else(|| {
            Error::config(
                format!("site `{}` is no origin", origin.escape_default()),
                "write scheme and host, such as `https://shop.example`",
            )
        })?;
        self.sites.push(host.to_owned());
        Ok(self)
    }

    /// The regime that the visitors are under; [`Regime::OptIn`], if nothing is said.
    #[must_use]
    pub fn regime(mut self, regime: Regime) -> Self {
        self.regime = regime;
        self
    }

    /// A service that every visitor has started already, by their own gesture.
    ///
    /// # Errors
    /// [`Error::UnknownService`].
    pub fn started(mut self, service: &str) -> Result<Self> {
        let place = self.place_of(service);
        let unknown = || Error::UnknownService { service: service.to_owned() };
        self.started.insert(place.ok_or_else(unknown)?);
        Ok(self)
    }

    fn place_of(&self, service: &str) -> Option<usize> {
        self.catalogue.services().iter().position(|s| s.id == service)
    }

    /// A visitor who has not decided; their decisions move them.
    #[must_use]
    pub fn visitor(&self) -> AuditVisitor {
        AuditVisitor { named: false, ..self.visitor_at(Stage::BeforeChoice) }
    }

    /// A visitor who stays at one stage.
    #[must_use]
    pub fn visitor_at(&self, stage: Stage) -> AuditVisitor {
        let all = self.catalogue.all_codes();
        let (granted, refused) = match stage {
            Stage::BeforeChoice => (0, 0),
            Stage::AfterRefusal | Stage::AfterWithdrawal => (0, all),
            Stage::AfterGrant => (all, 0),
        };
        AuditVisitor {
            stage,
            named: true,
            decisions: SeenDecisions { granted, refused, despite: granted },
            started: Started::These(self.started.clone()),
            expired: BTreeSet::new(),
            coming: Vec::new(),
            site: None,
            decided: false,
        }
    }

    /// Reads a HAR file (HAR 1.2, as browsers export it) of one visitor who begins without a choice; the stage moves with
    /// their decisions.
    ///
    /// # Errors
    /// [`Error::Invalid`]: it is no JSON, no HAR, holds no request, was exported without what has to be seen, or begins
    /// after a choice, so that nobody knows which.
    pub fn har(&mut self, har: &[u8]) -> Result<()> {
        let visitor = self.visitor();
        self.har_of(visitor, har)
    }

    /// Reads a HAR file that was made at one stage.
    ///
    /// # Errors
    /// [`Error::Invalid`]: it is no JSON, no HAR, or holds no request.
    pub fn har_at(&mut self, stage: Stage, har: &[u8]) -> Result<()> {
        let visitor = self.visitor_at(stage);
        self.har_of(visitor, har)
    }

    fn har_of(&mut self, mut visitor: AuditVisitor, har: &[u8]) -> Result<()> {
        let exchanges = har::read(har)?;
        // What cannot be judged to its end is not judged in part.
        let mut with = self.clone();
        for exchange in &exchanges {
            with.observe(&mut visitor, exchange)?;
        }
        if with.requests == self.requests {
            return Err(har::empty());
        }
        *self = with;
        Ok(())
    }

    /// Looks at a request with its answer, in the order in which they were sent.
    ///
    /// # Errors
    /// [`Error::Invalid`] when nobody can know at which stage the visitor is.
    pub fn observe(&mut self, visitor: &mut AuditVisitor, exchange: &Exchange) -> Result<()> {
        let Some(url) = Url::parse(&exchange.url).ok().filter(is_web) else { return Ok(()) };
        let Some(host) = url.host_str() else { return Ok(()) };
        self.requests += 1;
        visitor.come_to(exchange.sent, &self.catalogue);
        let place = place(&exchange.method, &url);
        let own = if self.sites.is_empty() {
            visitor.site.get_or_insert_with(|| host.to_owned()) == host
        } else {
            self.sites.iter().any(|site| site == host)
        };
        let standing = self.standing(visitor, exchange);
        let mut brought = BTreeSet::new();
        if own {
            brought = self.sent(visitor, standing, exchange, &place)?;
        } else {
            self.loaded(visitor, standing, host, &place);
            self.sent_elsewhere(visitor, standing, exchange, &place);
        }
        let decided = if own && !visitor.named { decision(self, exchange, url.path())? } else { None };
        if own && let Some(service) = activation(self, exchange, url.path()) {
            visitor.start(self.place_of(&service));
        }
        match decided {
            Some(decided) => {
                // The answer is the first that knows of the decision.
                let mut after = visitor.clone();
                after.take(&decided, &self.catalogue);
                self.answered(&mut after, exchange, own, &brought, &place)?;
                visitor.coming.push((exchange.answered, decided));
                visitor.expired = after.expired;
                visitor.started = after.started;
                visitor.decided = true;
            }
            None => self.answered(visitor, exchange, own, &brought, &place)?,
        }
        Ok(())
    }

    fn standing(&self, visitor: &AuditVisitor, exchange: &Exchange) -> Standing {
        Standing::seen(&visitor.decisions, self.regime, exchange.gpc, &self.catalogue)
    }

    /// The cookies that a request to the site brought.
    fn sent(
        &mut self,
        visitor: &mut AuditVisitor,
        standing: Standing,
        exchange: &Exchange,
        place: &str,
    ) -> Result<BTreeSet<EntryId>> {
        let mut brought = BTreeSet::new();
        let all = || exchange.cookies.iter().flat_map(|line| pairs(line));
        if all().any(|pair| pair.name == self.names.active.as_bytes()) {
            visitor.start(None);
        }
        for pair in all() {
            self.cookies += 1;
            if pair.name == self.names.consent.as_bytes() && !visitor.named && !visitor.decided {
                return Err(unknown_stage(&format!(
                    "{place} brought a choice that was made before the file begins"
                )));
            }
            let id = self.catalogue.find_cookie(pair.name);
            let finding = match id {
                None if self.names.is_own(pair.name) => None,
                None => Some(AuditFinding::Undeclared),
                Some(id) if self.is_open(self.catalogue.entry_gate(id), visitor, standing) => None,
                Some(_) if visitor.expired.contains(pair.name) => Some(AuditFinding::StillSent),
                Some(_) => Some(AuditFinding::Closed),
            };
            brought.extend(id);
            let service = id.map(|id| self.catalogue.service_of(id).id.clone());
            self.note(visitor.stage, Seen::Cookie, &name(pair.name), How::Sent, finding, service, place);
        }
        Ok(brought)
    }

    /// The cookies that somebody else read: none of them is the site's.
    fn sent_elsewhere(
        &mut self,
        visitor: &AuditVisitor,
        standing: Standing,
        exchange: &Exchange,
        place: &str,
    ) {
        for pair in exchange.cookies.iter().flat_map(|line| pairs(line)) {
            self.cookies += 1;
            let id = self.catalogue.find_cookie(pair.name);
            let finding = match id.map(|id| self.catalogue.entry_gate(id)) {
                None => Some(AuditFinding::Undeclared),
                Some(gate) => (!self.is_open(gate, visitor, standing)).then_some(AuditFinding::Closed),
            };
            let service = id.map(|id| self.catalogue.service_of(id).id.clone());
            self.note(visitor.stage, Seen::Cookie, &name(pair.name), How::Sent, finding, service, place);
        }
    }

    fn loaded(&mut self, visitor: &AuditVisitor, standing: Standing, host: &str, place: &str) {
        let services = self.catalogue.services();
        let declares = |s: &&Service| s.external_hosts.iter().any(|pattern| matches_host(pattern, host));
        let is_open = |s: &&Service| {
            let gate = s.gate.as_ref().map(|gate| EntryGate::of(gate, services));
            gate.is_some_and(|gate| self.is_open(gate, visitor, standing))
        };
        let declared: Vec<_> = services.iter().filter(declares).collect();
        let service = declared.iter().copied().find(is_open);
        let finding = match (declared.first(), service) {
            (None, _) => Some(AuditFinding::Undeclared),
            (Some(_), None) => Some(AuditFinding::Closed),
            (Some(_), Some(_)) => None,
        };
        let service = service.or(declared.first().copied()).map(|s| s.id.clone());
        self.note(visitor.stage, Seen::Host, host, How::Loaded, finding, service, place);
    }

    /// The cookies that an answer sets.
    fn answered(
        &mut self,
        visitor: &mut AuditVisitor,
        exchange: &Exchange,
        own: bool,
        brought: &BTreeSet<EntryId>,
        place: &str,
    ) -> Result<()> {
        if own && exchange.sets(&self.names.active) {
            visitor.start(None);
        }
        if own && !visitor.named && !visitor.decided && exchange.sets(&self.names.consent) {
            return Err(unknown_stage(&format!(
                "{place} took a decision and is no route of privet below `{}`",
                self.base_path
            )));
        }
        let standing = self.standing(visitor, exchange);
        let path = Url::parse(&exchange.url).map(|url| url.path().to_owned()).unwrap_or_default();
        let sent = SentBy::new(&exchange.method, &path, exchange.same_site);
        let mut verdicts = Vec::new();
        {
            let judge = Judge {
                catalogue: &self.catalogue,
                // What privet itself sets is declared; what the app sets in its name never passes the gate.
                is_own: &|_| false,
                is_open: &|gate| self.is_open(gate, visitor, standing),
                renews: &|id| {
                    let entry = self.catalogue.entry(id);
                    let granted = entry.gate.category().is_some_and(|c| standing.opens(c.bit()));
                    !granted && !entry.may_be_renewed() && (brought.contains(&id) || !sent.would_bring(entry))
                },
                now: exchange.answered,
                secure: true,
            };
            verdicts.extend(exchange.set_cookies.iter().map(|line| judge.judge(line)));
        }
        for verdict in verdicts {
            let bytes = verdict.name.as_bytes();
            self.cookies += 1;
            if verdict.deletes {
                if own {
                    visitor.expired.insert(bytes.to_vec());
                }
                continue;
            }
            // What the gate adds to every line is missing: the line left beside it.
            let bare = own && exchange.lines_whole && verdict.completed && exchange.is_https();
            let finding = match verdict.kind {
                None if bare => Some(AuditFinding::Attributes),
                Some(ViolationKind::Undeclared) if own && self.names.is_own(bytes) => None,
                // A host of somebody else sets its cookies for itself.
                Some(ViolationKind::Attributes) if !own => None,
                kind => kind.map(AuditFinding::from),
            };
            if own {
                visitor.expired.remove(bytes);
            }
            let id = self.catalogue.find_cookie(bytes);
            let service = id.map(|id| self.catalogue.service_of(id).id.clone());
            self.note(visitor.stage, Seen::Cookie, &verdict.name, How::Set, finding, service, place);
        }
        Ok(())
    }

    /// One item of storage that was found on the device at a stage: for what no HAR file has.
    pub fn seen(&mut self, stage: Stage, kind: StorageKind, key: &str) {
        let visitor = self.visitor_at(stage);
        let standing = Standing::seen(&visitor.decisions, self.regime, false, &self.catalogue);
        let services = self.catalogue.services();
        let entry = services
            .iter()
            .flat_map(|s| s.entries.iter().map(move |e| (s, e)))
            .find(|(_, e)| e.storage == kind && e.name.matches(key));
        let finding = match entry {
            None if kind == StorageKind::Cookie && self.names.is_own(key.as_bytes()) => None,
            None => Some(AuditFinding::Undeclared),
            Some((_, entry)) => {
                let open = self.is_open(EntryGate::of(&entry.gate, services), &visitor, standing);
                (!open).then_some(AuditFinding::Closed)
            }
        };
        let service = entry.map(|(s, _)| s.id.clone());
        self.note(stage, kind.into(), key, How::Stored, finding, service, "");
    }

    /// A cookie that the app tried to set at a stage, and that the gate did not let pass as it was.
    pub fn tried(&mut self, stage: Stage, cookie: &str, kind: ViolationKind, request: &str) {
        let id = self.catalogue.find_cookie(cookie.as_bytes());
        let service = id.map(|id| self.catalogue.service_of(id).id.clone());
        self.note(stage, Seen::Cookie, cookie, How::Tried, Some(kind.into()), service, request);
    }

    fn is_open(&self, gate: EntryGate, visitor: &AuditVisitor, standing: Standing) -> bool {
        gate.opens(standing, |service| visitor.has_started(service))
    }

    #[allow(clippy::too_many_arguments, reason = "a line of the report has so many columns")]
    fn note(
        &mut self,
        stage: Stage,
        what: Seen,
        name: &str,
        how: How,
        finding: Option<AuditFinding>,
        service: Option<String>,
        place: &str,
    ) {
        let line = (stage, what, name.to_owned(), how, finding);
        let (_, count, _) = self.lines.entry(line).or_insert_with(|| (service, 0, place.to_owned()));
        *count += 1;
    }

    /// The catalogue it is held against.
    #[must_use]
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    pub(super) fn names(&self) -> &OwnNames {
        &self.names
    }

    pub(super) fn base(&self) -> &str {
        &self.base_path
    }

    /// Everything that was seen so far.
    pub fn report(&self) -> AuditReport {
        let seen =
            self.lines.iter().map(|((stage, what, name, how, finding), (service, count, first))| Sighting {
                stage: *stage,
                what: *what,
                name: name.clone(),
                how: *how,
                finding: *finding,
                service: service.clone(),
                count: *count,
                first: first.clone(),
            });
        AuditReport {
            format: 1,
            catalogue: HEXLOWER.encode(self.catalogue.material()),
            regime: self.regime,
            requests: self.requests,
            cookies: self.cookies,
            seen: seen.collect(),
        }
    }
}

fn unknown_stage(what: &str) -> Error {
    Error::invalid(
        format!("{what}: nobody can tell at which stage its visitor is"),
        "record the visit from its first request on, in a new profile; say where privet's routes are, if they are not at `/privacy`; or name the stage of the whole file",
    )
}

fn is_web(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https" | "ws" | "wss")
}

/// Method, origin and path: no query, and no parameters in the path, which some servers keep sessions in.
fn place(method: &str, url: &Url) -> String {
    let path = url.path().split(';').next().unwrap_or("/");
    format!("{method} {}{path}", url.origin().ascii_serialization())
}

fn name(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// `external_hosts` are sources of a Content-Security-Policy: a host, perhaps with a scheme before it, a port behind it,
/// or `*.` for every host below.
fn matches_host(pattern: &str, host: &str) -> bool {
    let pattern = pattern.split_once("://").map_or(pattern, |(_, rest)| rest);
    let pattern = pattern.split(['/', ':']).next().unwrap_or("").to_ascii_lowercase();
    match pattern.strip_prefix("*.") {
        Some(parent) => {
            host.strip_suffix(parent).is_some_and(|below| below.ends_with('.') && below.len() > 1)
        }
        None => pattern == host,
    }
}
