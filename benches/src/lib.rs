//! What stands on the path of a request, case by case: the same page, the same request of a decided visitor with ten
//! cookies, and around the page either nothing, the smallest layer that does privet's job, privet, or a peer.
//!
//! `cargo bench -p privet-benches --bench request_path` measures time, `--bench instructions` counts instructions.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a bench that cannot start has to say so"
)]

mod catalogue;
mod hand_written;

use std::net::SocketAddr;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::response::Response;
use axum::routing::get;
use http_body_util::BodyExt as _;
use privet::Privet;
use tower::ServiceExt as _;
use tower::util::BoxCloneSyncService;

/// What stands around the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    /// Nothing.
    Bare,
    /// The smallest layer that reads an authenticated consent cookie.
    HandWritten,
    /// privet, with addresses left where they are.
    PrivetShowingAddresses,
    /// privet as it is.
    Privet,
    /// privet as it is, for a visitor who refused while a browser still sends what is not allowed any more.
    PrivetHidingCookies,
    /// privet as it is, for a visitor who has not decided and brings no cookie.
    PrivetUndecided,
    /// tower-cookies, one cookie read.
    TowerCookies,
    /// tower-sessions with its store in memory, one value read.
    TowerSessions,
}

impl Case {
    /// All of them, in the order of the tables.
    pub const ALL: [Self; 8] = [
        Self::Bare,
        Self::HandWritten,
        Self::PrivetShowingAddresses,
        Self::Privet,
        Self::PrivetHidingCookies,
        Self::PrivetUndecided,
        Self::TowerCookies,
        Self::TowerSessions,
    ];

    /// As the tables name it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare axum",
            Self::HandWritten => "hand-written layer",
            Self::PrivetShowingAddresses => "privet, addresses not hidden",
            Self::Privet => "privet",
            Self::PrivetHidingCookies => "privet, closed cookies sent",
            Self::PrivetUndecided => "privet, first visit",
            Self::TowerCookies => "tower-cookies, read",
            Self::TowerSessions => "tower-sessions in memory, read",
        }
    }

    /// The instructions per request that the case may cost, where there is a limit.
    #[must_use]
    pub const fn budget(self) -> Option<u64> {
        match self {
            Self::PrivetShowingAddresses => Some(22_000),
            Self::Privet => Some(30_000),
            _ => None,
        }
    }

    /// Finds a case by its name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|c| c.name() == name)
    }
}

/// An app that answers, and the request it is asked.
#[derive(Debug)]
pub struct Bench {
    runtime: tokio::runtime::Runtime,
    app: BoxCloneSyncService<Request, Response, std::convert::Infallible>,
    cookies: Option<axum::http::HeaderValue>,
}

const PEER: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 7)), 40_000);

impl Bench {
    /// Builds the case, and checks that the page learns what it shall learn from the request.
    #[must_use]
    pub fn new(case: Case) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (app, cookies, expected) = runtime.block_on(build(case));
        let bench = Self { runtime, app, cookies: cookies.map(|c| c.parse().unwrap()) };
        let seen = bench.once();
        assert_eq!(seen, expected, "{}", case.name());
        bench
    }

    fn request(&self) -> Request {
        let mut request = Request::new(Body::empty());
        if let Some(cookies) = &self.cookies {
            request.headers_mut().insert(axum::http::header::COOKIE, cookies.clone());
        }
        request.extensions_mut().insert(ConnectInfo(PEER));
        request
    }

    async fn answer(&self) -> axum::body::Bytes {
        let response = self.app.clone().oneshot(self.request()).await.unwrap();
        response.into_body().collect().await.unwrap().to_bytes()
    }

    fn once(&self) -> axum::body::Bytes {
        self.runtime.block_on(self.answer())
    }

    /// Asks so many times.
    pub fn run(&self, requests: u64) {
        self.runtime.block_on(async {
            for _ in 0..requests {
                std::hint::black_box(self.answer().await);
            }
        });
    }
}

type App = BoxCloneSyncService<Request, Response, std::convert::Infallible>;

const YES: &str = "granted";
const NO: &str = "not granted";

const fn text(granted: bool) -> &'static str {
    if granted { YES } else { NO }
}

async fn build(case: Case) -> (App, Option<String>, &'static str) {
    match case {
        Case::Bare => {
            let app = Router::new().route("/", get(|| async { YES }));
            (BoxCloneSyncService::new(app), Some(catalogue::cookies("x".repeat(70).as_str())), YES)
        }
        Case::HandWritten => {
            let (layer, cookie) = hand_written::layer();
            let app = Router::new()
                .route(
                    "/",
                    get(|consent: axum::Extension<hand_written::State>| async move {
                        text(consent.allows("analytics"))
                    }),
                )
                .layer(layer);
            (BoxCloneSyncService::new(app), Some(catalogue::cookies(&cookie)), YES)
        }
        Case::PrivetShowingAddresses => {
            with_privet(catalogue::privet(true).await, Some("accept_all"), YES).await
        }
        Case::Privet => with_privet(catalogue::privet(false).await, Some("accept_all"), YES).await,
        Case::PrivetHidingCookies => {
            with_privet(catalogue::privet(false).await, Some("reject_all"), NO).await
        }
        Case::PrivetUndecided => with_privet(catalogue::privet(false).await, None, NO).await,
        Case::TowerCookies => {
            let app = Router::new()
                .route(
                    "/",
                    get(|cookies: tower_cookies::Cookies| async move {
                        text(cookies.get("__Host-privet").is_some())
                    }),
                )
                .layer(tower_cookies::CookieManagerLayer::new());
            (BoxCloneSyncService::new(app), Some(catalogue::cookies("x".repeat(70).as_str())), YES)
        }
        Case::TowerSessions => tower_sessions_case().await,
    }
}

async fn with_privet(
    privet: Privet,
    action: Option<&str>,
    expected: &'static str,
) -> (App, Option<String>, &'static str) {
    let app = Router::new()
        .route("/", get(|consent: privet_axum::Consent| async move { text(consent.allows("analytics")) }))
        .merge(privet_axum::router(&privet));
    let app = BoxCloneSyncService::new(privet_axum::protect(app, &privet));
    let cookies = match action {
        Some(action) => Some(catalogue::cookies(&decide(&app, action).await)),
        None => None,
    };
    (app, cookies, expected)
}

/// The value of the cookie that a choice leaves on the device.
async fn decide(app: &App, action: &str) -> String {
    let ask = |method: &str, body: String| {
        let request = Request::builder()
            .method(method)
            .uri("/privacy/consent")
            .header("sec-fetch-site", "same-origin")
            .header("content-type", "application/x-www-form-urlencoded")
            .extension(ConnectInfo(PEER))
            .body(Body::from(body))
            .unwrap();
        app.clone().oneshot(request)
    };
    let state = ask("GET", String::new()).await.unwrap().into_body().collect().await.unwrap().to_bytes();
    let state: serde_json::Value = serde_json::from_slice(&state).unwrap();
    let answer =
        ask("POST", format!("action={action}&notice={}", state["notice"].as_str().unwrap())).await.unwrap();
    let line = answer.headers()["set-cookie"].to_str().unwrap();
    line.strip_prefix("__Host-privet=").unwrap().split(';').next().unwrap().to_owned()
}

async fn tower_sessions_case() -> (App, Option<String>, &'static str) {
    use tower_sessions::{MemoryStore, Session, SessionManagerLayer};

    let app = Router::new()
        .route(
            "/",
            get(|session: Session| async move {
                text(session.get::<bool>("analytics").await.unwrap().unwrap_or(false))
            }),
        )
        .route(
            "/set",
            get(|session: Session| async move { session.insert("analytics", true).await.unwrap() }),
        )
        .layer(SessionManagerLayer::new(MemoryStore::default()));
    let app = BoxCloneSyncService::new(app);
    let set = app.clone().oneshot(Request::builder().uri("/set").body(Body::empty()).unwrap()).await.unwrap();
    let line = set.headers()["set-cookie"].to_str().unwrap();
    let session = line.split(';').next().unwrap().to_owned();
    let cookies = catalogue::others().chain([session]).collect::<Vec<_>>().join("; ");
    (app, Some(cookies), YES)
}
