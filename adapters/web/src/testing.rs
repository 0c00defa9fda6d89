//! Looks an app through for cookies that its catalogue does not allow: for the app's own tests. An adapter's
//! `testing::walk` begins one.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use privet::Privet;
use privet::audit::{Audit, AuditReport, AuditVisitor, Exchange};
use privet::visit::{RequestHead, Violation, ViolationKind, host_without_port};

pub use privet::audit::Stage;

/// An app in process, with privet around it.
pub trait InProcess {
    /// How privet's routes are added to an app of this framework, for those who forgot.
    const ROUTES: &'static str;

    /// Answers a request.
    fn ask(&mut self, request: Asked) -> impl Future<Output = Answered>;
}

/// A request of a test.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Asked {
    /// Its method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// The headers, named in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// Who asks; 127.0.0.1 if nothing else is set.
    pub peer: SocketAddr,
}

impl Asked {
    /// A request without headers and body.
    #[must_use]
    pub fn new(method: impl Into<String>, path: impl Into<String>) -> Self {
        Self {
            method: method.into(),
            path: path.into(),
            headers: Vec::new(),
            body: Vec::new(),
            peer: SocketAddr::from(([127, 0, 0, 1], 40_000)),
        }
    }

    /// With one more header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// With a body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// From another peer.
    #[must_use]
    pub fn peer(mut self, peer: SocketAddr) -> Self {
        self.peer = peer;
        self
    }
}

/// An answer of the app.
#[derive(Clone, Debug, Default)]
pub struct Answered {
    /// The status code; 0 when the request could not be made.
    pub status: u16,
    /// The headers, named in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// That privet did not serve the request at all.
    pub refused: bool,
}

impl Answered {
    /// Every line of a header.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.headers.iter().filter(move |(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

/// The cookies of a visitor, as a browser without paths and times keeps them.
#[derive(Clone, Debug, Default)]
pub struct Jar(BTreeMap<String, String>);

impl Jar {
    /// Takes what an answer sets, and drops what it expires.
    pub fn take(&mut self, answer: &Answered) {
        for line in answer.all("set-cookie") {
            let (pair, attributes) = line.split_once(';').unwrap_or((line, ""));
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if attributes.contains("Max-Age=0") {
                self.0.remove(name);
            } else {
                self.0.insert(name.to_owned(), value.to_owned());
            }
        }
    }

    /// The `Cookie` header; none while there is no cookie.
    #[must_use]
    pub fn line(&self) -> Option<String> {
        let pairs: Vec<_> = self.0.iter().map(|(name, value)| format!("{name}={value}")).collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }

    /// The names of the cookies, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

/// A cookie that the catalogue does not allow: which, why, where and when it was tried.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Found {
    /// The cookie's name.
    pub cookie: String,
    /// What was wrong.
    pub kind: ViolationKind,
    /// The request after which it was found.
    pub request: String,
    /// The stage of the walk.
    pub stage: Stage,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {:?}: cookie `{}` is {:?}",
            self.request,
            self.stage,
            self.cookie.escape_default(),
            self.kind
        )
    }
}

/// What a walk found.
#[derive(Clone, Debug)]
#[must_use = "ask `found`, or `assert_clean`"]
#[non_exhaustive]
pub struct Report {
    /// Every cookie that the catalogue does not allow.
    pub found: Vec<Found>,
    /// What kept the walk from finding anything: a path that cannot be asked for, a decision that was not taken, a
    /// request that was refused or ended with an error of the server.
    pub problems: Vec<String>,
    /// How many requests were made.
    pub requests: usize,
    /// Every cookie that was set, tried or sent, by stage, for an inspector or CI.
    pub audit: AuditReport,
}

impl Report {
    /// Fails the test when something was found, or could not be looked for, and says what.
    ///
    /// # Panics
    /// When something was found or could not be looked for: that is its purpose.
    #[allow(clippy::panic, reason = "an assertion for tests")]
    #[track_caller]
    pub fn assert_clean(&self) {
        if !self.problems.is_empty() {
            let list: String = self.problems.iter().map(|p| format!("\n  {p}")).collect();
            panic!("the walk could not see everything:{list}");
        }
        if !self.found.is_empty() {
            let list: String = self.found.iter().map(|f| format!("\n  {f}")).collect();
            panic!(
                "the app sets cookies that its catalogue does not allow:{list}\nthe log names the cure of each"
            );
        }
        if !self.audit.is_clean() {
            panic!("the app has cookies that its catalogue does not allow:\n{}", self.audit);
        }
    }
}

/// Content type and content.
type Sent = (&'static str, String);

const FORM: &str = "application/x-www-form-urlencoded";

/// A walk through an app: each request as a new visitor, as one who refused, as one who accepted everything, and as that
/// one again after they withdrew.
///
/// The app has to have privet's routes, and the `Privet` is the one it was built with. It finds cookies under every
/// [`Enforcement`](privet::Enforcement).
#[derive(Debug)]
#[must_use = "a walk does nothing until `run`"]
pub struct Walk<A> {
    app: A,
    privet: Privet,
    host: String,
    requests: Vec<(&'static str, String, Option<Sent>)>,
    problems: Vec<String>,
}

impl<A: InProcess> Walk<A> {
    /// A walk through an app that is inside privet.
    pub fn new(app: A, privet: &Privet) -> Self {
        Self {
            app,
            privet: privet.clone(),
            host: "localhost".to_owned(),
            requests: Vec::new(),
            problems: Vec::new(),
        }
    }

    /// The host that is asked for, where it decides which site it is; `localhost` otherwise.
    pub fn host(mut self, host: impl Into<String>) -> Self {
        self.host = host.into();
        self
    }

    /// A page.
    pub fn get(mut self, path: impl Into<String>) -> Self {
        self.requests.push(("GET", path.into(), None));
        self
    }

    /// A form, as `name=value&name=value`.
    pub fn post_form(mut self, path: impl Into<String>, form: impl Into<String>) -> Self {
        self.requests.push(("POST", path.into(), Some((FORM, form.into()))));
        self
    }

    /// A body of JSON.
    pub fn post_json(mut self, path: impl Into<String>, json: impl Into<String>) -> Self {
        self.requests.push(("POST", path.into(), Some(("application/json", json.into()))));
        self
    }

    /// Walks.
    pub async fn run(mut self) -> Report {
        let audit = match self.audit() {
            Ok(audit) => audit,
            Err(error) => {
                self.problems.push(error.to_string());
                return Report {
                    found: Vec::new(),
                    problems: self.problems,
                    requests: 0,
                    audit: AuditReport::default(),
                };
            }
        };
        let mut watch = Watch { jar: Jar::default(), visitor: audit.visitor(), audit };
        let (mut found, mut made) = (Vec::new(), 0);
        let requests = std::mem::take(&mut self.requests);
        for stage in [Stage::BeforeChoice, Stage::AfterRefusal, Stage::AfterGrant, Stage::AfterWithdrawal] {
            if stage != Stage::AfterWithdrawal {
                watch.jar = Jar::default();
                watch.visitor = watch.audit.visitor();
            }
            match stage {
                Stage::AfterRefusal => self.decide(&mut watch, "reject_all").await,
                Stage::AfterGrant => self.decide(&mut watch, "accept_all").await,
                Stage::AfterWithdrawal => self.withdraw(&mut watch).await,
                _ => {}
            }
            for (method, path, body) in &requests {
                let before = self.privet.violations();
                self.send(&mut watch, method, path, body.as_ref()).await;
                made += 1;
                for violation in newer(&before, &self.privet.violations()) {
                    let Violation { cookie, kind, .. } = violation;
                    let place = path.split(['?', ';']).next().unwrap_or_default();
                    watch.audit.tried(stage, &cookie, kind, &format!("{method} http://{}{place}", self.host));
                    found.push(Found { cookie, kind, request: format!("{method} {path}"), stage });
                }
            }
        }
        Report { found, problems: self.problems, requests: made, audit: watch.audit.report() }
    }

    /// An audit of the site that the host stands for.
    fn audit(&self) -> privet::Result<Audit> {
        let of_host = self.privet.visit(&Host(&self.host)).ok().map(|(visit, _)| visit.scope().clone());
        let scope = of_host.or_else(|| self.privet.scopes().next().cloned()).unwrap_or_default();
        self.privet.audit(&scope)?.site(format!("http://{}", self.host))
    }

    async fn decide(&mut self, watch: &mut Watch, action: &str) {
        let path = format!("{}/consent", self.privet.base_path());
        let state = self.state(watch, &path).await;
        let token = state["notice"].as_str().unwrap_or_default();
        let form = (FORM, format!("action={action}&notice={token}"));
        self.send(watch, "POST", &path, Some(&form)).await;
        if self.state(watch, &path).await["decided"] != true {
            self.problems.push(format!("`{action}` was not taken at {path}; {}", A::ROUTES));
        }
    }

    async fn withdraw(&mut self, watch: &mut Watch) {
        let path = format!("{}/withdraw", self.privet.base_path());
        let answer = self.send(watch, "POST", &path, Some(&(FORM, String::new()))).await;
        if answer.status != 303 {
            self.problems.push(format!("a withdrawal was not taken at {path}; {}", A::ROUTES));
        }
    }

    async fn state(&mut self, watch: &mut Watch, path: &str) -> serde_json::Value {
        let state = self.send(watch, "GET", path, None).await;
        serde_json::from_slice(&state.body).unwrap_or_default()
    }

    async fn send(
        &mut self,
        watch: &mut Watch,
        method: &'static str,
        path: &str,
        body: Option<&Sent>,
    ) -> Answered {
        let mut asked = Asked::new(method, path)
            .header("host", &self.host)
            .header("sec-fetch-site", "same-origin")
            .header("accept", "text/html,*/*;q=0.8");
        if let Some((content_type, body)) = body {
            asked = asked.header("content-type", *content_type).body(body.as_str());
        }
        let mut seen = Exchange::new(method, format!("http://{}{path}", self.host), self.privet.now());
        seen.body = body.map(|(content_type, body)| ((*content_type).to_owned(), body.as_bytes().to_vec()));
        if let Some(line) = watch.jar.line() {
            seen.cookies.push(line.as_bytes().to_vec());
            asked = asked.header("cookie", line);
        }
        let answer = self.app.ask(asked).await;
        match answer.status {
            0 => self.problems.push(format!(
                "`{}` on `{}` cannot be asked for",
                path.escape_default(),
                self.host.escape_default()
            )),
            status if status >= 500 || answer.refused => {
                self.problems.push(format!("{method} {path} on {} was answered with {status}", self.host));
            }
            _ => {}
        }
        watch.jar.take(&answer);
        seen.status = answer.status;
        seen.set_cookies = answer.all("set-cookie").map(|line| line.as_bytes().to_vec()).collect();
        if path.starts_with('/')
            && let Err(error) = watch.audit.observe(&mut watch.visitor, &seen)
        {
            self.problems.push(error.to_string());
        }
        answer
    }
}

/// A visitor and what is seen of them.
struct Watch {
    jar: Jar,
    visitor: AuditVisitor,
    audit: Audit,
}

/// A request that says nothing but where it goes.
struct Host<'a>(&'a str);

impl RequestHead for Host<'_> {
    fn peer(&self) -> Option<IpAddr> {
        Some(IpAddr::from([127, 0, 0, 1]))
    }
    fn method(&self) -> &str {
        "GET"
    }
    fn path(&self) -> &str {
        "/"
    }
    fn host(&self) -> Option<&str> {
        Some(host_without_port(self.0))
    }
    fn headers<'a>(&'a self, _: &mut dyn FnMut(&'a str, &'a [u8])) {}
}

fn newer(before: &[Violation], after: &[Violation]) -> impl Iterator<Item = Violation> {
    let count = |v: &Violation| {
        before.iter().find(|b| b.cookie == v.cookie && b.kind == v.kind).map_or(0, |b| b.count)
    };
    after.iter().filter(move |v| v.count > count(v)).cloned()
}
