//! A helper for an app's own tests: drives its router and tells of every cookie that the catalogue does not allow.
//!
//! ```
//! # use axum::{Router, routing::get};
//! # use privet::{Catalogue, Privet};
//! use privet_axum::testing::Walk;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let privet = Privet::builder(Catalogue::from_toml("[controller]\nname = \"Shop\"\ncontact = \"c\"\n[[category]]\nid = \"analytics\"\npurpose = \"Counting.\"")?).build().await?;
//! # let app: Router = Router::new().route("/", get(|| async { "hello" })).merge(privet_axum::router(&privet));
//! Walk::new(app, &privet).get("/").get("/nowhere").run().await.assert_clean();
//! # Ok(()) }
//! ```

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;

use axum::extract::ConnectInfo;
use axum_core::body::Body;
use http::header::{ACCEPT, CONTENT_TYPE, COOKIE, SET_COOKIE};
use http::{Method, Request, Response};
use http_body_util::BodyExt as _;
use privet::Privet;
use privet::visit::{Refusal, Violation, ViolationKind};
use tower_service::Service;

use crate::service::{Protected, protect};

/// When a cookie was tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Stage {
    /// By a visitor who has not decided.
    BeforeChoice,
    /// By a visitor who refused everything.
    AfterRefusal,
    /// By a visitor who accepted everything.
    AfterGrant,
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
#[derive(Clone, Debug, Default)]
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
    }
}

/// Content type and content.
type Sent = (&'static str, String);

/// A walk through an app: each request as a new visitor, as one who refused, and as one who accepted everything.
///
/// The app has to have privet's routes (see [`router`](crate::router)), and the `Privet` is the one it was built with.
/// It finds cookies under every [`Enforcement`](privet::Enforcement).
#[derive(Debug)]
pub struct Walk<S> {
    app: Protected<S>,
    privet: Privet,
    host: String,
    requests: Vec<(Method, String, Option<Sent>)>,
    problems: Vec<String>,
}

impl<S, E> Walk<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = E> + Clone,
    E: Into<Infallible>,
{
    /// A walk through an app that is not yet inside privet.
    pub fn new(app: S, privet: &Privet) -> Self {
        Self {
            app: protect(app, privet),
            privet: privet.clone(),
            host: "localhost".to_owned(),
            requests: Vec::new(),
            problems: Vec::new(),
        }
    }

    /// The host that is asked for, where it decides which site it is; `localhost` otherwise.
    #[must_use]
    pub fn host(mut self, host: impl Into<String>) -> Self {
        self.host = host.into();
        self
    }

    /// A page.
    #[must_use]
    pub fn get(mut self, path: impl Into<String>) -> Self {
        self.requests.push((Method::GET, path.into(), None));
        self
    }

    /// A form, as `name=value&name=value`.
    #[must_use]
    pub fn post_form(mut self, path: impl Into<String>, form: impl Into<String>) -> Self {
        self.requests.push((
            Method::POST,
            path.into(),
            Some(("application/x-www-form-urlencoded", form.into())),
        ));
        self
    }

    /// A body of JSON.
    #[must_use]
    pub fn post_json(mut self, path: impl Into<String>, json: impl Into<String>) -> Self {
        self.requests.push((Method::POST, path.into(), Some(("application/json", json.into()))));
        self
    }

    /// Walks.
    pub async fn run(mut self) -> Report {
        let mut report = Report::default();
        let stages = [
            (Stage::BeforeChoice, None),
            (Stage::AfterRefusal, Some("reject_all")),
            (Stage::AfterGrant, Some("accept_all")),
        ];
        let requests = std::mem::take(&mut self.requests);
        for (stage, action) in stages {
            let mut jar = BTreeMap::new();
            if let Some(action) = action {
                self.decide(&mut jar, action).await;
            }
            for (method, path, body) in &requests {
                let before = self.privet.violations();
                self.send(&mut jar, method, path, body.as_ref()).await;
                report.requests += 1;
                let request = format!("{method} {path}");
                report.found.extend(newer(&before, &self.privet.violations()).map(|v| Found {
                    cookie: v.cookie,
                    kind: v.kind,
                    request: request.clone(),
                    stage,
                }));
            }
        }
        report.problems = self.problems;
        report
    }

    async fn decide(&mut self, jar: &mut BTreeMap<String, String>, action: &str) {
        let path = format!("{}/consent", self.privet.base_path());
        let state = self.state(jar, &path).await;
        let token = state["notice"].as_str().unwrap_or_default();
        let form = ("application/x-www-form-urlencoded", format!("action={action}&notice={token}"));
        self.send(jar, &Method::POST, &path, Some(&form)).await;
        if self.state(jar, &path).await["decided"] != true {
            self.problems.push(format!(
                "`{action}` was not taken at {path}; merge `privet_axum::router(&privet)` into the app"
            ));
        }
    }

    async fn state(&mut self, jar: &mut BTreeMap<String, String>, path: &str) -> serde_json::Value {
        let state = self.send(jar, &Method::GET, path, None).await;
        let body =
            state.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        serde_json::from_slice(&body).unwrap_or_default()
    }

    async fn send(
        &mut self,
        jar: &mut BTreeMap<String, String>,
        method: &Method,
        path: &str,
        body: Option<&Sent>,
    ) -> Response<Body> {
        let mut request = Request::new(Body::from(body.map(|(_, b)| b.clone()).unwrap_or_default()));
        *request.method_mut() = method.clone();
        match path.parse() {
            Ok(uri) => *request.uri_mut() = uri,
            Err(_) => self.problems.push(format!("`{}` is no path", path.escape_default())),
        }
        let headers = request.headers_mut();
        match self.host.parse() {
            Ok(host) => drop(headers.insert(http::header::HOST, host)),
            Err(_) => self.problems.push(format!("`{}` is no host", self.host.escape_default())),
        }
        headers.insert("sec-fetch-site", http::HeaderValue::from_static("same-origin"));
        headers.insert(ACCEPT, http::HeaderValue::from_static("text/html,*/*;q=0.8"));
        if let Some((content_type, _)) = body {
            headers.insert(CONTENT_TYPE, http::HeaderValue::from_static(content_type));
        }
        let cookies: Vec<_> = jar.iter().map(|(n, v)| format!("{n}={v}")).collect();
        if let Ok(line) = cookies.join("; ").parse()
            && !cookies.is_empty()
        {
            headers.insert(COOKIE, line);
        }
        request.extensions_mut().insert(ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 40_000))));
        let response = match std::future::poll_fn(|cx| self.app.poll_ready(cx)).await {
            Ok(()) => self.app.call(request).await,
            Err(error) => Err(error),
        };
        let response = match response {
            Ok(response) => response,
            Err(error) => match error.into() {},
        };
        let status = response.status();
        if status.is_server_error() || response.extensions().get::<Refusal>().is_some() {
            self.problems.push(format!("{method} {path} on {} was answered with {status}", self.host));
        }
        for line in response.headers().get_all(SET_COOKIE) {
            let line = line.to_str().unwrap_or_default();
            let (pair, attributes) = line.split_once(';').unwrap_or((line, ""));
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if attributes.contains("Max-Age=0") {
                jar.remove(name);
            } else {
                jar.insert(name.to_owned(), value.to_owned());
            }
        }
        response
    }
}

fn newer(before: &[Violation], after: &[Violation]) -> impl Iterator<Item = Violation> {
    let count = |v: &Violation| {
        before.iter().find(|b| b.cookie == v.cookie && b.kind == v.kind).map_or(0, |b| b.count)
    };
    after.iter().filter(move |v| v.count > count(v)).cloned()
}
