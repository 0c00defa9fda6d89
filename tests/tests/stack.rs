//! privet in a stack of real middleware: sessions, sign-in, tracing, rate limits; inside and outside, before and after.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that meets something else has failed")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::header::{COOKIE, SET_COOKIE};
use axum::http::{HeaderValue, Request, Response, StatusCode};
use axum::response::{IntoResponse, Redirect};
use axum::routing::get;
use axum::{Extension, Router};
use axum_login::{AuthManagerLayerBuilder, AuthSession, AuthUser, AuthnBackend};
use http_body_util::BodyExt as _;
use privet::audit::How;
use privet::catalogue::{
    CategoryDecl, Controller, EntryDecl, GateDecl, LegalBasis, Preset, ServiceDecl, Trigger,
};
use privet::visit::ViolationKind;
use privet::{Analytics, Catalogue, Enforcement, Privet, Storage};
use privet_axum::testing::{Stage, walk};
use privet_axum::{Banner, Consent, Country, Granted, PrivetLayer, Protected, Visit, Visitor, protect};
use privet_tests::log::Log;
use tower::{Service, ServiceExt};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::set_header::SetResponseHeaderLayer;
use tower_http::trace::TraceLayer;
use tower_sessions::{MemoryStore, Session, SessionManagerLayer};

fn catalogue(preset: Option<Preset>) -> Catalogue {
    let base = Catalogue::builder(Controller::new("Shop", "privacy@shop.example"))
        .category(CategoryDecl::new("analytics").purpose("en", "Counts visits."))
        .service(
            ServiceDecl::new("counter", "Shop")
                .purpose("en", "Counts.")
                .legal_basis(LegalBasis::Consent)
                .entry(
                    EntryDecl::new("visits")
                        .purpose("en", "Counts.")
                        .duration("1 day")
                        .trigger(Trigger::Server)
                        .gate(GateDecl::consent("analytics")),
                ),
        );
    preset.into_iter().fold(base, privet::catalogue::CatalogueBuilder::preset).build().unwrap()
}

async fn installation(preset: Option<Preset>) -> Privet {
    Privet::builder(catalogue(preset)).storage(Storage::in_memory().unwrap()).build().await.unwrap()
}

fn request(path: &str, cookie: &str) -> Request<Body> {
    let mut request =
        Request::builder().uri(path).header("sec-fetch-site", "same-origin").body(Body::empty()).unwrap();
    if !cookie.is_empty() {
        request.headers_mut().insert(COOKIE, HeaderValue::from_str(cookie).unwrap());
    }
    request.extensions_mut().insert(ConnectInfo(SocketAddr::from(([203, 0, 113, 7], 4711))));
    request
}

async fn send<S, E>(app: &S, request: Request<Body>) -> Response<Body>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = E> + Clone,
    E: std::fmt::Debug,
{
    app.clone().oneshot(request).await.unwrap()
}

fn cookies(response: &Response<Body>) -> Vec<&str> {
    response.headers().get_all(SET_COOKIE).iter().map(|v| v.to_str().unwrap()).collect()
}

fn names(response: &Response<Body>) -> Vec<&str> {
    cookies(response).into_iter().map(|l| l.split('=').next().unwrap()).collect()
}

async fn text(response: Response<Body>) -> String {
    let bytes = http_body_util::BodyExt::collect(response.into_body()).await.unwrap().to_bytes();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The cookies that a visitor has after an answer to the notice.
async fn decided<S, E>(app: &S, action: &str) -> String
where
    S: Service<Request<Body>, Response = Response<Body>, Error = E> + Clone,
    E: std::fmt::Debug,
{
    let state: serde_json::Value =
        serde_json::from_str(&text(send(app, request("/privacy/consent", "")).await).await).unwrap();
    let form = format!("action={action}&notice={}", state["notice"].as_str().unwrap());
    let mut post = request("/privacy/consent", "");
    *post.method_mut() = http::Method::POST;
    post.headers_mut().insert("content-type", HeaderValue::from_static("application/x-www-form-urlencoded"));
    *post.body_mut() = Body::from(form);
    let response = send(app, post).await;
    assert_eq!(response.status(), 303);
    cookies(&response)[0].split(';').next().unwrap().to_owned()
}

// --- sessions -------------------------------------------------------------------------------------------------

async fn remember(session: Session) -> &'static str {
    session.insert("n", 1).await.unwrap();
    "remembered"
}

async fn recall(session: Session) -> String {
    format!("{:?}", session.get::<u32>("n").await.unwrap())
}

fn sessions() -> SessionManagerLayer<MemoryStore> {
    SessionManagerLayer::new(MemoryStore::default())
}

fn with_sessions(privet: &Privet) -> Router {
    Router::new()
        .route("/in", get(remember))
        .route("/out", get(recall))
        .merge(privet_axum::router(privet))
        .layer(sessions())
}

/// GATE-01: the cookie of a session that nobody declared does not leave, wherever the session layer stands.
#[tokio::test]
async fn gate_01_undeclared_session_cookies_do_not_leave() {
    let privet = installation(None).await;
    let outermost = protect(with_sessions(&privet), &privet);
    let inside =
        Router::new().route("/in", get(remember)).layer(sessions()).layer(PrivetLayer::new(privet.clone()));
    let around_service = protect(
        tower::ServiceBuilder::new().layer(sessions()).service(Router::new().route("/in", get(remember))),
        &privet,
    );
    assert_eq!(names(&send(&outermost, request("/in", "")).await), [] as [&str; 0]);
    assert_eq!(names(&send(&inside, request("/in", "")).await), [] as [&str; 0]);
    assert_eq!(names(&send(&around_service, request("/in", "")).await), [] as [&str; 0]);
    let tried = privet.violations();
    assert_eq!(
        (tried[0].cookie.as_str(), tried[0].kind, tried[0].count),
        ("id", ViolationKind::Undeclared, 3)
    );

    // What is added after the layer is outside: the documented limit, and why `protect` is the way.
    let outside =
        Router::new().route("/in", get(remember)).layer(PrivetLayer::new(privet.clone())).layer(sessions());
    assert_eq!(names(&send(&outside, request("/in", "")).await), ["id"]);
}

/// Declared by its preset, the session works: set once, recognised again.
#[tokio::test]
async fn a_declared_session_works_inside() {
    let privet = installation(Some(Preset::TowerSessions)).await;
    let app = protect(with_sessions(&privet), &privet);
    let first = send(&app, request("/in", "")).await;
    let line = cookies(&first)[0].to_owned();
    assert!(
        line.contains("HttpOnly") && line.contains("Secure") && line.contains("SameSite=Strict"),
        "{line}"
    );
    let cookie = line.split(';').next().unwrap();
    assert_eq!(text(send(&app, request("/out", cookie)).await).await, "Some(1)");
    assert!(privet.violations().is_empty());
}

// --- sign-in --------------------------------------------------------------------------------------------------

#[derive(Clone, Debug)]
struct User;

impl AuthUser for User {
    type Id = u32;
    fn id(&self) -> u32 {
        7
    }
    fn session_auth_hash(&self) -> &[u8] {
        b"hash"
    }
}

#[derive(Clone, Debug)]
struct Backend;

impl AuthnBackend for Backend {
    type User = User;
    type Credentials = ();
    type Error = std::convert::Infallible;

    async fn authenticate(&self, (): ()) -> Result<Option<User>, Self::Error> {
        Ok(Some(User))
    }
    async fn get_user(&self, _: &u32) -> Result<Option<User>, Self::Error> {
        Ok(Some(User))
    }
}

async fn sign_in(mut auth: AuthSession<Backend>) -> &'static str {
    auth.login(&User).await.unwrap();
    "signed in"
}

async fn who(auth: AuthSession<Backend>) -> String {
    format!("{:?}", auth.user.map(|u| u.id()))
}

fn with_sign_in(privet: &Privet) -> Router {
    let sessions =
        tower_sessions_of_login::SessionManagerLayer::new(tower_sessions_of_login::MemoryStore::default());
    let auth = AuthManagerLayerBuilder::new(Backend, sessions).build();
    Router::new()
        .route("/sign-in", get(sign_in))
        .route("/who", get(who))
        .merge(privet_axum::router(privet))
        .layer(auth)
}

#[tokio::test]
async fn axum_login_is_judged_as_any_other() {
    let undeclared = installation(None).await;
    let app = protect(with_sign_in(&undeclared), &undeclared);
    assert_eq!(names(&send(&app, request("/sign-in", "")).await), [] as [&str; 0]);
    assert_eq!(undeclared.violations()[0].cookie, "id");

    let declared = installation(Some(Preset::AxumLogin)).await;
    let app = protect(with_sign_in(&declared), &declared);
    let signed = send(&app, request("/sign-in", "")).await;
    let cookie = cookies(&signed)[0].split(';').next().unwrap().to_owned();
    assert_eq!(text(send(&app, request("/who", &cookie)).await).await, "Some(7)");
    // A refusal of everything else does not sign anybody out.
    let refused = decided(&app, "reject_all").await;
    assert_eq!(text(send(&app, request("/who", &format!("{cookie}; {refused}"))).await).await, "Some(7)");
    assert!(declared.violations().is_empty());
}

// --- every status -----------------------------------------------------------------------------------------------

const TRIED: [&str; 4] = [
    "undeclared=1; Path=/",
    "visits=1; HttpOnly; Path=/; Max-Age=60",
    "__Host-privet=forged; Path=/; Secure",
    "visits=1; HttpOnly; Path=/; Max-Age=99999999",
];

fn tries(status: StatusCode) -> Response<Body> {
    let mut response = status.into_response();
    for line in TRIED {
        response.headers_mut().append(SET_COOKIE, HeaderValue::from_static(line));
    }
    response
}

async fn panics() -> &'static str {
    panic!("a handler that panics")
}

/// An app that tries on every status, with cookies of a layer on top of those of the handlers.
fn trying(privet: &Privet) -> Router {
    Router::new()
        .route("/200", get(|| async { tries(StatusCode::OK) }))
        .route("/302", get(|| async { (Redirect::temporary("/x"), tries(StatusCode::FOUND)).1 }))
        .route("/304", get(|| async { tries(StatusCode::NOT_MODIFIED) }))
        .route("/500", get(|| async { tries(StatusCode::INTERNAL_SERVER_ERROR) }))
        .route("/error", get(|| async { Err::<(), _>(tries(StatusCode::BAD_GATEWAY)) }))
        .route("/panic", get(panics))
        .fallback(|| async { tries(StatusCode::NOT_FOUND) })
        .merge(privet_axum::router(privet))
        .layer(CatchPanicLayer::custom(|_: Box<dyn std::any::Any + Send>| {
            tries(StatusCode::INTERNAL_SERVER_ERROR)
        }))
        .layer(SetResponseHeaderLayer::appending(
            SET_COOKIE,
            HeaderValue::from_static("by_a_layer=1; Path=/"),
        ))
        .layer(TraceLayer::new_for_http())
}

/// P3, GATE-07: undeclared, not allowed, outliving: none leaves, on any status, from handlers, layers and panics.
#[tokio::test]
async fn gate_07_nothing_leaves_on_any_status_or_panic() {
    let privet = installation(None).await;
    let app = protect(trying(&privet), &privet);
    let granted = decided(&app, "accept_all").await;
    for (path, status) in [
        ("/200", 200),
        ("/302", 302),
        ("/304", 304),
        ("/500", 500),
        ("/error", 502),
        ("/panic", 500),
        ("/nowhere", 404),
    ] {
        let response = send(&app, request(path, "")).await;
        assert_eq!(response.status(), status, "{path}");
        assert_eq!(cookies(&response), [] as [&str; 0], "{path}");
        // With consent the declared one leaves, and lives as long as declared.
        let response = send(&app, request(path, &granted)).await;
        let left = cookies(&response);
        assert_eq!(left.len(), 2, "{path}: {left:?}");
        assert!(left.iter().all(|l| l.starts_with("visits=1;")), "{path}: {left:?}");
        assert!(left[0].contains("Max-Age=60") && left[1].contains("Max-Age=86400"), "{path}: {left:?}");
    }
    let kinds: BTreeMap<_, _> =
        privet.violations().into_iter().map(|v| ((v.cookie, v.kind), v.count)).collect();
    assert_eq!(kinds[&("by_a_layer".to_owned(), ViolationKind::Undeclared)], 14 + 2);
    assert!(kinds.contains_key(&("visits".to_owned(), ViolationKind::OutlivesDeclaration)));
    assert!(kinds.contains_key(&("__Host-privet".to_owned(), ViolationKind::Reserved)));
}

/// A panic that nobody catches ends the connection: nothing leaves at all.
#[tokio::test]
async fn a_panic_that_nobody_catches_answers_nothing() {
    let privet = installation(None).await;
    let app = protect(Router::new().route("/panic", get(panics)), &privet);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app.into_make_service()).await });
    let answer = privet_tests::client::Sending::get("/panic").try_to(addr).await;
    assert!(answer.is_err(), "{answer:?}");
}

/// A stream is sealed when its head leaves; what the handler held opens nothing while the body flows.
#[tokio::test]
async fn a_stream_is_sealed_with_its_head() {
    let privet = installation(None).await;
    let (tell, told) = tokio::sync::oneshot::channel::<privet::Granted<Analytics>>();
    let tell = Arc::new(std::sync::Mutex::new(Some(tell)));
    let app = Router::new()
        .route(
            "/stream",
            get(move |granted: Granted<Analytics>| async move {
                let kept = granted.0.clone();
                tell.lock().unwrap().take().unwrap().send(kept).unwrap();
                let mut response = Response::new(Body::from("data: 1\n\n"));
                response.headers_mut().insert("content-type", HeaderValue::from_static("text/event-stream"));
                response.headers_mut().append(SET_COOKIE, HeaderValue::from_static("undeclared=1"));
                response
            }),
        )
        .merge(privet_axum::router(&privet));
    let app = protect(app, &privet);
    let cookie = decided(&app, "accept_all").await;
    let response = send(&app, request("/stream", &cookie)).await;
    assert_eq!(cookies(&response), [] as [&str; 0]);
    let kept = told.await.unwrap();
    assert!(matches!(kept.set_cookie("visits", "1"), Err(privet::Error::HeadSent)));
    // What runs later keeps the record's id and asks again.
    let scope = privet::Scope::default();
    assert!(privet.still_granted(&scope, kept.record(), "analytics").await.unwrap());
}

// --- rate limits, addresses ---------------------------------------------------------------------------------------

/// Section 4, step 3: behind the layer nobody sees an address, and a rate limiter still tells visitors apart.
#[tokio::test]
async fn tower_governor_tells_visitors_apart_without_their_addresses() {
    use tower_governor::GovernorLayer;
    use tower_governor::governor::GovernorConfigBuilder;
    let privet = Privet::builder(catalogue(None))
        .trusted_proxies("10.0.0.0/8".parse().unwrap())
        .build()
        .await
        .unwrap();
    let limits = GovernorConfigBuilder::default().per_second(3600).burst_size(2).finish().unwrap();
    let seen = |ConnectInfo(peer): ConnectInfo<SocketAddr>, headers: http::HeaderMap| async move {
        format!("{peer} {headers:?}")
    };
    let app =
        protect(Router::new().route("/", get(seen)).layer(GovernorLayer::new(Arc::new(limits))), &privet);
    let from = |visitor: &str| {
        let mut r = request("/", "");
        r.extensions_mut().insert(ConnectInfo(SocketAddr::from(([10, 0, 0, 1], 4711))));
        for header in ["x-forwarded-for", "x-real-ip", "true-client-ip"] {
            r.headers_mut().insert(header, HeaderValue::from_str(visitor).unwrap());
        }
        r
    };
    for visitor in ["198.51.100.1", "198.51.100.2", "2001:db8::1"] {
        for _ in 0..2 {
            let response = send(&app, from(visitor)).await;
            assert_eq!(response.status(), 200);
            let seen = text(response).await;
            assert!(seen.starts_with("[fd") && seen.contains("]:0 "), "{seen}");
            assert!(
                !seen.contains(visitor) && !seen.contains("10.0.0.1") && !seen.contains("forwarded"),
                "{seen}"
            );
        }
        assert_eq!(send(&app, from(visitor)).await.status(), 429, "{visitor} has had enough");
    }
    assert_eq!(send(&app, from("198.51.100.3")).await.status(), 200, "another one has not");
}

/// IP-01: the tracing layer of tower-http, in full voice, says no address.
#[tokio::test]
async fn ip_01_traces_hold_no_address() {
    let log = Log::default();
    let _guard = log.listen(tracing::Level::TRACE);
    let privet = Privet::builder(catalogue(None))
        .trusted_proxies("203.0.113.0/24".parse().unwrap())
        .build()
        .await
        .unwrap();
    let trace = TraceLayer::new_for_http().make_span_with(|r: &Request<Body>| {
        let peer = r.extensions().get::<ConnectInfo<SocketAddr>>().map(|c| c.0);
        tracing::info_span!("request", headers = ?r.headers(), ?peer, extensions = ?r.extensions())
    });
    let handler = |visit: Visit, visitor: Visitor, country: Country, consent: Consent| async move {
        tracing::info!(?visit, ?visitor, ?country, ?consent, "a handler that logs all it has");
        tries(StatusCode::OK)
    };
    let app = protect(Router::new().route("/", get(handler)).layer(trace), &privet);
    let mut r = request("/", "visits=secret-value; __Host-privet=secret-value");
    r.headers_mut().insert("x-forwarded-for", HeaderValue::from_static("198.51.100.77"));
    send(&app, r).await;
    let said = log.said();
    assert!(said.contains("a handler that logs all it has"), "{said}");
    assert!(said.contains("declare it below the service"), "the cure is told: {said}");
    assert!(!said.contains("198.51.100.77") && !said.contains("203.0.113.7"), "{said}");
    assert!(!said.contains("visits=secret-value"), "{said}");
}

// --- extractors -------------------------------------------------------------------------------------------------

async fn takes_all(
    consent: Consent,
    _: Visitor,
    _: Country,
    _: Visit,
    _: Banner,
    maybe: Option<Granted<Analytics>>,
) -> String {
    format!("{} {}", consent.allows("analytics"), maybe.is_some())
}

/// A missing layer is a 500 that names the cure, also for what is optional.
#[tokio::test]
async fn a_missing_layer_is_said_aloud() {
    let privet = installation(None).await;
    let app = Router::new()
        .route("/consent", get(|_: Consent| async {}))
        .route("/optional", get(|_: Option<Granted<Analytics>>| async {}))
        .route("/banner", get(|_: Banner| async {}))
        .route("/origin", get(|_: privet_axum::SameOrigin| async {}))
        .merge(privet_axum::router(&privet));
    for path in ["/consent", "/optional", "/banner", "/origin", "/privacy"] {
        let response = send(&app, request(path, "")).await;
        assert_eq!(response.status(), 500, "{path}");
        assert!(text(response).await.contains("protect(app, &privet)"), "{path}");
    }
}

privet::category! { Letters = "letters" }

#[tokio::test]
async fn extractors_give_what_the_visitor_allows() {
    let privet = installation(None).await;
    let app = Router::new()
        .route("/all", get(takes_all))
        .route("/granted", get(|_: Granted<Analytics>| async { "counted" }))
        .route("/letters", get(|_: Option<Granted<Letters>>| async {}))
        .merge(privet_axum::router(&privet));
    let app = protect(app, &privet);
    assert_eq!(text(send(&app, request("/all", "")).await).await, "false false");
    assert_eq!(send(&app, request("/granted", "")).await.status(), 403);
    let letters = send(&app, request("/letters", "")).await;
    assert_eq!(letters.status(), 500);
    let problem: serde_json::Value = serde_json::from_str(&text(letters).await).unwrap();
    assert!(problem["title"].as_str().unwrap().contains("[[category]] id = \"letters\""), "{problem}");
    let granted = decided(&app, "accept_all").await;
    assert_eq!(text(send(&app, request("/all", &granted)).await).await, "true true");
    assert_eq!(text(send(&app, request("/granted", &granted)).await).await, "counted");
    let refused = decided(&app, "reject_all").await;
    assert_eq!(send(&app, request("/granted", &refused)).await.status(), 403);
}

/// What the visitor decides comes back to the page it was shown on, however the routers are nested.
#[tokio::test]
async fn the_banner_comes_back_to_its_page_below_nested_routers() {
    let privet = installation(None).await;
    let inner = Router::new().route("/roses", get(|banner: Banner| async move { banner.page("") }));
    let app = Router::new().nest("/shop", inner).merge(privet_axum::router(&privet));
    let page = text(send(&protect(app, &privet), request("/shop/roses?q=1", "")).await).await;
    assert!(page.contains("name=\"return_to\" value=\"/shop/roses?q=1\""), "{page}");
}

/// A layer below a nested router judges by the path that the browser asked for: what visits must not renew is set only where it
/// would have been sent.
#[tokio::test]
async fn jur_12_a_nested_layer_knows_the_whole_path() {
    const ENTRY: &str = r#"
        [controller]
        name = "Shop"
        contact = "mail"

        [[category]]
        id = "analytics"
        purpose = "Counts."

        [[service]]
        id = "own"
        provider = "Shop"
        purpose = "Counts."
        legal_basis = "legitimate-interests"

        [[service.entry]]
        name = "audience"
        purpose = "Counts."
        duration = "395 days"
        trigger = "server"
        path = "/shop"
        gate = { unless_objected = "analytics", exceptions = ["fr-audience-measurement"], attests = ["sole-purpose", "for-the-publisher-only", "anonymous-statistics", "no-cross-site", "no-matching", "not-shared", "address-cut"] }
    "#;
    let privet = Privet::builder(Catalogue::from_toml(ENTRY).unwrap())
        .countries(privet_tests::lab::Numbered)
        .regimes(privet::consent::Regimes::by_country())
        .build()
        .await
        .unwrap();
    let page = get(|| async { ([(SET_COOKIE, "audience=1; HttpOnly; Path=/shop; Max-Age=1000")], "") });
    let inner = Router::new().route("/page", page.clone()).route("/shop/page", page);
    let inner = inner.layer(PrivetLayer::new(privet));
    let app = Router::new().nest("/shop", inner.clone()).nest("/other", inner);
    let sets = async |path: &str| {
        let mut request = request(path, "");
        request.extensions_mut().insert(ConnectInfo(SocketAddr::from(([9, 0, 0, 3], 4711))));
        app.clone().oneshot(request).await.unwrap().headers().contains_key(SET_COOKIE)
    };
    assert!(sets("/shop/page").await);
    assert!(!sets("/other/shop/page").await);
}

/// The client goes away: what its request was given opens nothing any more, wherever it was put.
#[tokio::test]
async fn a_request_that_is_dropped_ends_its_visit() {
    let privet = installation(None).await;
    let kept = Arc::new(std::sync::Mutex::new(None));
    let keep = kept.clone();
    let handler = get(move |visit: Visit| async move {
        *keep.lock().unwrap() = Some(visit);
        std::future::pending::<()>().await;
    });
    let app = protect(Router::new().route("/", handler), &privet);
    {
        let mut waiting = std::pin::pin!(send(&app, request("/", "")));
        let polled =
            std::future::poll_fn(|cx| std::task::Poll::Ready(waiting.as_mut().poll(cx).is_pending()));
        assert!(polled.await);
        let visit = kept.lock().unwrap().clone().unwrap();
        assert!(matches!(visit.activate("nothing"), Err(privet::Error::UnknownService { .. })));
    }
    let visit = kept.lock().unwrap().clone().unwrap();
    assert!(matches!(visit.activate("nothing"), Err(privet::Error::HeadSent)));
    assert_eq!(visit.country(), privet::Country::Unknown, "nor is there an address");
}

// --- the walk that an app's tests take --------------------------------------------------------------------------

#[tokio::test]
async fn the_walk_finds_what_an_app_sets_against_its_catalogue() {
    let privet = installation(Some(Preset::TowerSessions)).await;
    let clean = walk(with_sessions(&privet), &privet).get("/in").get("/out").get("/nowhere").run().await;
    clean.assert_clean();
    assert_eq!(clean.requests, 12);
    assert!(clean.audit.is_clean(), "{}", clean.audit);

    for enforcement in [Enforcement::Enforce, Enforcement::Report, Enforcement::Deny] {
        let privet = Privet::builder(catalogue(None)).enforcement(enforcement).build().await.unwrap();
        let app = Router::new()
            .route(
                "/visits",
                get(|| async { ([(SET_COOKIE, "visits=1; HttpOnly; Path=/; Max-Age=60")], "") }),
            )
            .merge(privet_axum::router(&privet));
        let report = walk(app, &privet).get("/visits").run().await;
        let found: Vec<_> = report.found.iter().map(|f| (f.stage, f.kind, f.request.as_str())).collect();
        assert_eq!(
            found,
            [
                (Stage::BeforeChoice, ViolationKind::Refused, "GET /visits"),
                (Stage::AfterRefusal, ViolationKind::Refused, "GET /visits"),
                (Stage::AfterWithdrawal, ViolationKind::Refused, "GET /visits"),
            ],
            "{enforcement:?}"
        );
        // The same for an inspector, with what was set while it was allowed.
        let seen = report.audit.seen.iter().filter(|s| s.name == "visits" && s.how != How::Sent);
        let seen: Vec<_> = seen.map(|s| (s.stage, s.how, s.finding.is_some())).collect();
        let passes = enforcement == Enforcement::Report;
        let set = |stage| (stage, How::Set, true);
        let tried = |stage| (stage, How::Tried, true);
        let mut expected = vec![(Stage::AfterGrant, How::Set, false)];
        for stage in [Stage::BeforeChoice, Stage::AfterRefusal, Stage::AfterWithdrawal] {
            expected.extend(passes.then(|| set(stage)));
            expected.push(tried(stage));
        }
        expected.sort();
        assert_eq!(seen, expected, "{enforcement:?}\n{}", report.audit);
    }
}

/// `Deny`: a 500 that names the cookie, and carries none.
#[tokio::test]
async fn deny_answers_500_and_names_the_cookie() {
    let privet = Privet::builder(catalogue(None)).enforcement(Enforcement::Deny).build().await.unwrap();
    let app = protect(trying(&privet), &privet);
    let response = send(&app, request("/200", "")).await;
    assert_eq!((response.status(), cookies(&response).len()), (StatusCode::INTERNAL_SERVER_ERROR, 0));
    assert!(text(response).await.contains("`undeclared`"));
}

/// What privet gives out is Send and cheap to clone: handlers run on any thread.
#[test]
fn handlers_and_handle_are_send() {
    fn is<T: Send + Sync + Clone + 'static>() {}
    is::<Privet>();
    is::<privet::Visit>();
    is::<Granted<Analytics>>();
    is::<Consent>();
    is::<Protected<Router>>();
    is::<PrivetLayer>();
}

/// The name of a country is never a question to somebody else, and never asked unless taken.
#[tokio::test]
async fn a_country_is_looked_up_when_it_is_taken() {
    let privet =
        Privet::builder(catalogue(None)).countries(privet::ip::EmbeddedCountries).build().await.unwrap();
    let app = protect(
        Router::new().route("/", get(|c: Country| async move { c.to_string() })).layer(Extension(1)),
        &privet,
    );
    let mut r = request("/", "");
    r.extensions_mut().insert(ConnectInfo(SocketAddr::from(([8, 8, 8, 8], 1))));
    assert_eq!(text(send(&app, r).await).await, "US");
}

/// Around an app twice, the outer one would take the inner one's cookies for somebody else's.
#[tokio::test]
async fn protected_twice_it_names_the_cure() {
    let privet = Privet::builder(Catalogue::from_toml(chat_shop::CATALOGUE).unwrap()).build().await.unwrap();
    let app = privet_axum::router::<()>(&privet).layer(PrivetLayer::new(privet.clone()));
    let request = Request::builder().uri("/privacy").body(Body::empty()).unwrap();
    let response = protect(app, &privet).oneshot(request).await.unwrap();
    assert_eq!(response.status(), 500);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert!(String::from_utf8_lossy(&body).contains("Use `protect` or `PrivetLayer`, once."));
}
