//! privet in an actix-web app with real middleware: sessions, nested scopes, errors, and mistakes in the order.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that meets something else has failed")]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix_identity::{Identity, IdentityMiddleware};
use actix_session::storage::CookieSessionStore;
use actix_session::{Session, SessionMiddleware};
use actix_web::body::{BoxBody, MessageBody, to_bytes};
use actix_web::cookie::{Cookie, Key};
use actix_web::dev::{Service, ServiceRequest, ServiceResponse};
use actix_web::error::InternalError;
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, COOKIE, LOCATION, SET_COOKIE};
use actix_web::middleware::{DefaultHeaders, Next, from_fn};
use actix_web::test::{TestRequest, call_service, init_service};
use actix_web::{App, Error, HttpMessage as _, HttpRequest, HttpResponse, HttpServer, ResponseError, web};
use futures_util::FutureExt as _;
use privet::catalogue::{
    CategoryDecl, Controller, EntryDecl, GateDecl, LegalBasis, Preset, ServiceDecl, Trigger,
};
use privet::{Analytics, Catalogue, Enforcement, Privet};
use privet_actix_web::testing::{Stage, walk};
use privet_actix_web::{
    Banner, Consent, Country, Granted, PrivetMiddleware, Rejection, SameOrigin, Visit, Visitor, configure,
};

privet::category! {
    /// Not in the catalogue.
    Letters = "letters"
}

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
    Privet::builder(catalogue(preset)).build().await.unwrap()
}

fn request(path: &str, cookie: &str) -> TestRequest {
    let request = TestRequest::with_uri(path)
        .peer_addr(SocketAddr::from(([203, 0, 113, 7], 4711)))
        .insert_header(("sec-fetch-site", "same-origin"));
    if cookie.is_empty() { request } else { request.insert_header((COOKIE, cookie)) }
}

fn names<B>(response: &ServiceResponse<B>) -> Vec<String> {
    let lines = response.headers().get_all(SET_COOKIE).map(|v| v.to_str().unwrap().to_owned());
    lines.map(|l| l.split('=').next().unwrap().to_owned()).collect()
}

async fn text<B: MessageBody>(response: ServiceResponse<B>) -> String {
    let bytes = to_bytes(response.into_body()).await.map_err(|_| ()).unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The consent cookie that an answer to the notice leaves.
async fn decided<S, B>(app: &S, action: &str) -> String
where
    S: Service<actix_http::Request, Response = ServiceResponse<B>, Error = Error>,
    B: MessageBody,
{
    let state = text(call_service(app, request("/privacy/consent", "").to_request()).await).await;
    let state: serde_json::Value = serde_json::from_str(&state).unwrap();
    let post = request("/privacy/consent", "")
        .method(actix_web::http::Method::POST)
        .insert_header((CONTENT_TYPE, "application/x-www-form-urlencoded"))
        .set_payload(format!("action={action}&notice={}", state["notice"].as_str().unwrap()));
    let response = call_service(app, post.to_request()).await;
    assert_eq!(response.status(), StatusCode::SEE_OTHER);
    let line = response.headers().get(SET_COOKIE).unwrap().to_str().unwrap();
    line.split(';').next().unwrap().to_owned()
}

fn tries(mut response: HttpResponse) -> HttpResponse {
    for cookie in ["undeclared=1", "visits=1; Max-Age=99999999"] {
        response.add_cookie(&Cookie::parse(cookie).unwrap()).unwrap();
    }
    response
}

#[derive(Debug)]
struct Refused(u16);

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("refused")
    }
}

impl ResponseError for Refused {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.0).unwrap()
    }

    fn error_response(&self) -> HttpResponse {
        tries(HttpResponse::build(self.status_code()).body("refused"))
    }
}

/// P3, GATE-07: nothing against the catalogue leaves, on any status, from nested scopes, errors of handlers and errors
/// of middleware alike.
#[actix_web::test]
async fn gate_07_nothing_leaves_on_any_status_or_error() {
    let privet = installation(None).await;
    let app = App::new()
        .route("/ok", web::get().to(|| async { tries(HttpResponse::Ok().body("x")) }))
        .route("/moved", web::get().to(|| async { tries(HttpResponse::Found().finish()) }))
        .route("/err", web::get().to(|| async { Err::<HttpResponse, _>(Refused(500)) }))
        .service(web::scope("/a").service(
            web::scope("/b").route("/c", web::get().to(|| async { Err::<HttpResponse, _>(Refused(404)) })),
        ))
        .configure(configure(&privet))
        // A middleware that ends a request with an error of its own.
        .wrap_fn(|request, app| {
            let fails = request.path() == "/middleware";
            let answer = app.call(request);
            async move { if fails { Err(Refused(418).into()) } else { answer.await } }
        })
        .wrap(PrivetMiddleware::new(privet.clone()));
    let app = init_service(app).await;
    for (path, status) in
        [("/ok", 200), ("/moved", 302), ("/err", 500), ("/a/b/c", 404), ("/middleware", 418)]
    {
        let (status_seen, names_seen) = match app.call(request(path, "").to_request()).await {
            Ok(response) => (response.status().as_u16(), names(&response)),
            Err(error) => {
                // What actix-web makes of it further out, also if it asks twice.
                let _ = error.error_response();
                let response = error.error_response();
                let lines = response.headers().get_all(SET_COOKIE).count();
                assert_eq!(lines, 0, "{path}");
                (response.status().as_u16(), Vec::new())
            }
        };
        assert_eq!((status_seen, names_seen), (status, Vec::<String>::new()), "{path}");
    }
    let granted = decided(&app, "accept_all").await;
    let response = call_service(&app, request("/ok", &granted).to_request()).await;
    let line = response.headers().get(SET_COOKIE).unwrap().to_str().unwrap();
    assert!(line.starts_with("visits=1;") && line.contains("Max-Age=86400"), "{line}");
}

/// The cookie of actix-session is judged like any other: undeclared it does not leave, declared by its preset it works.
#[actix_web::test]
async fn gate_01_sessions_are_judged() {
    for (preset, leaves) in [(None, false), (Some(Preset::ActixSession), true)] {
        let privet = installation(preset).await;
        let remember = |session: Session| async move {
            session.insert("n", 1).unwrap();
            "remembered"
        };
        let recall = |session: Session| async move { format!("{:?}", session.get::<u32>("n").unwrap()) };
        let app = App::new()
            .route("/remember", web::get().to(remember))
            .route("/recall", web::get().to(recall))
            .wrap(SessionMiddleware::new(CookieSessionStore::default(), Key::from(&[7; 64])))
            .wrap(PrivetMiddleware::new(privet.clone()));
        let app = init_service(app).await;
        let response = call_service(&app, request("/remember", "").to_request()).await;
        assert_eq!(names(&response).len(), usize::from(leaves));
        if let Some(line) = response.headers().get(SET_COOKIE) {
            let cookie = line.to_str().unwrap().split(';').next().unwrap().to_owned();
            let recalled = call_service(&app, request("/recall", &cookie).to_request()).await;
            assert_eq!(text(recalled).await, "Some(1)");
        }
    }
}

/// So is the sign-in of actix-identity, which lives in the session's cookie.
#[actix_web::test]
async fn gate_01_identities_are_judged() {
    for (preset, leaves) in [(None, false), (Some(Preset::ActixIdentity), true)] {
        let privet = installation(preset).await;
        let sign_in = |request: HttpRequest| async move {
            Identity::login(&request.extensions(), "anna".to_owned()).unwrap();
            "signed in"
        };
        let who =
            |identity: Option<Identity>| async move { identity.map(|i| i.id().unwrap()).unwrap_or_default() };
        let app = App::new()
            .route("/sign-in", web::get().to(sign_in))
            .route("/who", web::get().to(who))
            .wrap(IdentityMiddleware::default())
            .wrap(SessionMiddleware::new(CookieSessionStore::default(), Key::from(&[7; 64])))
            .wrap(PrivetMiddleware::new(privet.clone()));
        let app = init_service(app).await;
        let response = call_service(&app, request("/sign-in", "").to_request()).await;
        assert_eq!(names(&response).len(), usize::from(leaves));
        if let Some(line) = response.headers().get(SET_COOKIE) {
            let cookie = line.to_str().unwrap().split(';').next().unwrap().to_owned();
            assert_eq!(text(call_service(&app, request("/who", &cookie).to_request()).await).await, "anna");
        }
    }
}

async fn takes_all(
    visit: Visit,
    consent: Consent,
    visitor: Visitor,
    country: Country,
    granted: Option<Granted<Analytics>>,
    banner: Banner,
    _: SameOrigin,
) -> String {
    let _ = (visit.gpc(), visitor.contact(), country.code(), banner.as_str());
    format!("{} {}", consent.allows("analytics"), granted.is_some())
}

#[actix_web::test]
async fn extractors_give_what_the_visitor_allows() {
    let privet = installation(None).await;
    let app = App::new()
        .route("/all", web::get().to(takes_all))
        .route("/granted", web::get().to(|_: Granted<Analytics>| async { "counted" }))
        .route("/letters", web::get().to(|_: Option<Granted<Letters>>| async { "nothing said" }))
        .configure(configure(&privet))
        .wrap(PrivetMiddleware::new(privet.clone()));
    let app = init_service(app).await;
    let ask = async |path: &str, cookie: &str| {
        let response = call_service(&app, request(path, cookie).to_request()).await;
        (response.status().as_u16(), text(response).await)
    };
    assert_eq!(ask("/all", "").await, (200, "false false".to_owned()));
    assert_eq!(ask("/granted", "").await.0, 403);
    let (status, said) = ask("/letters", "").await;
    let problem: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(status, 500);
    assert!(problem["title"].as_str().unwrap().contains("[[category]] id = \"letters\""), "{problem}");
    let granted = decided(&app, "accept_all").await;
    assert_eq!(ask("/all", &granted).await.1, "true true");
    assert_eq!(ask("/granted", &granted).await.1, "counted");
}

/// Without the middleware every extractor answers 500 with the cure.
#[actix_web::test]
async fn a_missing_middleware_is_said_aloud() {
    let privet = installation(None).await;
    let app =
        App::new().route("/all", web::get().to(|_: Consent| async { "never" })).configure(configure(&privet));
    let app = init_service(app).await;
    for path in ["/all", "/privacy"] {
        let response = call_service(&app, request(path, "").to_request()).await;
        assert_eq!(response.status(), 500);
        assert!(text(response).await.contains("PrivetMiddleware::new(privet)"), "{path}");
    }
}

/// P4: handlers do not see what the visitor refused; where something outside has read it before, the answer is a 500
/// that names the cure.
#[actix_web::test]
async fn refused_cookies_are_not_seen_in_any_order() {
    let privet = installation(None).await;
    let sees = |request: HttpRequest| async move {
        let cookies = request.cookies().unwrap().iter().map(|c| c.name().to_owned()).collect::<Vec<_>>();
        let header = request.headers().get(COOKIE).map(|h| h.to_str().unwrap().to_owned());
        format!("{cookies:?} {}", header.unwrap_or_default())
    };
    let right = App::new().route("/", web::get().to(sees)).wrap(PrivetMiddleware::new(privet.clone()));
    let right = init_service(right).await;
    let seen = text(call_service(&right, request("/", "visits=1; a%20b=2").to_request()).await).await;
    assert_eq!(seen, "[] ");

    let wrong = App::new()
        .route("/", web::get().to(sees))
        .wrap(PrivetMiddleware::new(privet.clone()))
        .wrap_fn(|request, app| {
            let _ = request.cookie("theme");
            app.call(request)
        });
    let wrong = init_service(wrong).await;
    let answer = call_service(&wrong, request("/", "visits=1").to_request()).await;
    assert_eq!(answer.status(), 500);
    assert!(text(answer).await.contains("Wrap `PrivetMiddleware` last"));
    let collides = call_service(&wrong, request("/", "visi%74s=2; visits=1; a=1").to_request()).await;
    assert_eq!(collides.status(), 500, "a name that decodes to another's");
    let harmless = call_service(&wrong, request("/", "").to_request()).await;
    assert_eq!(harmless.status(), 200);
}

/// P5: behind the middleware nobody sees an address, and visitors are told apart all the same.
#[actix_web::test]
async fn addresses_are_hidden() {
    let privet = Privet::builder(catalogue(None))
        .trusted_proxies("203.0.113.0/24".parse().unwrap())
        .build()
        .await
        .unwrap();
    let sees = |request: HttpRequest| async move {
        let info = request.connection_info().clone();
        format!(
            "{:?} {:?} {:?} {:?}",
            request.peer_addr(),
            info.realip_remote_addr(),
            info.peer_addr(),
            request.headers()
        )
    };
    let app = App::new()
        .route("/", web::get().to(sees))
        .wrap(PrivetMiddleware::new(privet.clone()))
        // Something outside that has asked before us.
        .wrap_fn(|request, app| {
            let _ = request.connection_info().realip_remote_addr().map(str::len);
            app.call(request)
        });
    let app = init_service(app).await;
    let mut peers = Vec::new();
    for client in ["198.51.100.77", "198.51.100.78"] {
        let asked = request("/", "").insert_header(("x-forwarded-for", client));
        let seen = text(call_service(&app, asked.to_request()).await).await;
        assert!(!seen.contains(client) && !seen.contains("203.0.113.7"), "{seen}");
        assert!(seen.contains("[fd"), "{seen}");
        peers.push(seen);
    }
    assert_ne!(peers[0], peers[1]);
}

/// `Deny`: a 500 that names the cookie, on answers and on errors, however often actix-web asks.
#[actix_web::test]
async fn deny_answers_500_and_names_the_cookie() {
    let privet = Privet::builder(catalogue(None)).enforcement(Enforcement::Deny).build().await.unwrap();
    let app = App::new()
        .route("/ok", web::get().to(|| async { tries(HttpResponse::Ok().body("x")) }))
        .route("/err", web::get().to(|| async { Err::<HttpResponse, _>(Refused(404)) }))
        .wrap(PrivetMiddleware::new(privet.clone()));
    let app = init_service(app).await;
    for path in ["/ok", "/err"] {
        let response = call_service(&app, request(path, "").to_request()).await;
        assert_eq!((response.status().as_u16(), names(&response).len()), (500, 0), "{path}");
        assert!(text(response).await.contains("undeclared"), "{path}");
    }
}

/// P3: a panic that a middleware inside makes an answer of is judged like any answer.
#[actix_web::test]
async fn gate_07_an_answer_to_a_panic_is_judged() {
    let privet = installation(None).await;
    let app = App::new()
        .route("/", web::get().to(|| async { panic!("in a handler") as HttpResponse }))
        .wrap_fn(|request, app| {
            let answer = AssertUnwindSafe(app.call(request)).catch_unwind();
            async move { answer.await.unwrap_or_else(|_| Err(Refused(500).into())) }
        })
        .wrap(PrivetMiddleware::new(privet.clone()));
    let app = init_service(app).await;
    let error = app.call(request("/", "").to_request()).await.unwrap_err();
    let response = error.error_response();
    assert_eq!((response.status().as_u16(), response.headers().get_all(SET_COOKIE).count()), (500, 0));
    assert_eq!(privet.violations().len(), 2, "they were tried");
}

fn exchange(addr: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// On a real server: what nobody catches ends without an answer, so nothing leaves, and the visit is over. Several
/// workers share one installation.
#[actix_web::test]
async fn a_panic_that_nobody_catches_sends_nothing() {
    let privet = installation(None).await;
    let left: Arc<Mutex<Vec<privet::Visit>>> = Arc::default();
    let (kept, handle) = (left.clone(), privet.clone());
    let server = HttpServer::new(move || {
        let kept = kept.clone();
        let panics = move |visit: Visit| {
            kept.lock().unwrap().push(visit.0.clone());
            async { panic!("in a handler") as HttpResponse }
        };
        App::new()
            .route("/panics", web::get().to(panics))
            .configure(configure(&handle))
            .wrap(PrivetMiddleware::new(handle.clone()))
    })
    .workers(2)
    .disable_signals()
    .bind("127.0.0.1:0")
    .unwrap();
    let addr = server.addrs()[0];
    let server = server.run();
    let handle = server.handle();
    let serving = actix_web::rt::spawn(server);
    let ask = async |request: String| {
        actix_web::rt::task::spawn_blocking(move || exchange(addr, &request)).await.unwrap()
    };
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    assert_eq!(ask(get("/panics")).await, "");
    let visit = left.lock().unwrap().pop().unwrap();
    assert!(matches!(visit.activate("counter"), Err(privet::Error::HeadSent)), "the visit is over");

    // A notice of one worker is known to the other.
    for _ in 0..8 {
        let state = ask(get("/privacy/consent")).await;
        let state: serde_json::Value = serde_json::from_str(state.split("\r\n\r\n").nth(1).unwrap()).unwrap();
        let form = format!("action=accept_all&notice={}", state["notice"].as_str().unwrap());
        let answer = ask(format!(
            "POST /privacy/consent HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nsec-fetch-site: same-origin\r\n\
             content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{form}",
            form.len()
        ));
        let answer = answer.await;
        assert!(answer.starts_with("HTTP/1.1 303"), "{answer}");
    }
    handle.stop(true).await;
    serving.await.unwrap().unwrap();
}

/// What a walk through an app finds, whichever middleware set it.
#[actix_web::test]
async fn a_walk_finds_what_the_catalogue_does_not_allow() {
    let privet = installation(None).await;
    let remember = |session: Session| async move {
        session.insert("n", 1).unwrap();
        "remembered"
    };
    let app = || {
        App::new()
            .route("/clean", web::get().to(|| async { "clean" }))
            .route("/remember", web::get().to(remember))
            .route("/visits", web::get().to(|| async { tries(HttpResponse::Ok().finish()) }))
            .wrap(SessionMiddleware::new(CookieSessionStore::default(), Key::from(&[7; 64])))
    };
    let routes = || app().configure(configure(&privet));
    walk(routes(), &privet).get("/clean").get("/nowhere").run().await.assert_clean();
    let report = walk(routes(), &privet).get("/remember").get("/visits").run().await;
    assert_eq!(report.problems, Vec::<String>::new());
    let found = |stage: Stage, request: &str| -> Vec<String> {
        let of = report.found.iter().filter(|f| f.stage == stage && f.request == request);
        of.map(|f| format!("{} {:?}", f.cookie, f.kind)).collect()
    };
    assert_eq!(found(Stage::BeforeChoice, "GET /remember"), ["id Undeclared"]);
    assert_eq!(found(Stage::AfterRefusal, "GET /visits"), ["undeclared Undeclared", "visits Refused"]);
    assert_eq!(
        found(Stage::AfterGrant, "GET /visits"),
        ["undeclared Undeclared", "visits OutlivesDeclaration"]
    );

    let without = walk(app(), &privet).get("/clean").get("no path").run().await;
    assert!(without.problems.iter().any(|p| p.contains(".configure(privet_actix_web::configure(&privet))")));
    assert!(without.problems.iter().any(|p| p.contains("cannot be asked for")), "{:?}", without.problems);
}

/// An error whose answer is given away once, such as a guard's redirect to the sign-in, reaches the client as it is.
#[actix_web::test]
async fn an_errors_answer_is_not_lost() {
    let privet = installation(None).await;
    let guard = |_: ServiceRequest, _: Next<BoxBody>| async {
        let answer = HttpResponse::SeeOther().insert_header((LOCATION, "/login")).body("go");
        Err::<ServiceResponse, _>(InternalError::from_response("sign in first", tries(answer)).into())
    };
    let app = App::new().wrap(from_fn(guard)).wrap(PrivetMiddleware::new(privet.clone()));
    let app = init_service(app).await;
    let error = app.call(request("/", "").to_request()).await.unwrap_err();
    let response = error.error_response();
    assert_eq!(response.status(), StatusCode::SEE_OTHER);
    assert_eq!(response.headers().get(LOCATION).unwrap(), "/login");
    assert_eq!(response.headers().get_all(SET_COOKIE).count(), 0);
    assert_eq!(to_bytes(response.into_body()).await.unwrap(), "go");
    let again = error.error_response();
    assert_eq!((again.status(), again.headers().get_all(SET_COOKIE).count()), (StatusCode::SEE_OTHER, 0));
}

/// What an app makes of a rejection is its own, and so are the headers that others add; only a category that is not
/// declared is a mistake that has to be said, on answers and on errors.
#[actix_web::test]
async fn an_app_may_handle_what_an_extractor_refuses() {
    let privet = installation(None).await;
    let handled = |origin: Result<SameOrigin, Rejection>| async move {
        if origin.is_ok() { "same" } else { "handled it myself" }
    };
    let guard = |granted: Option<Granted<Letters>>, _: ServiceRequest, _: Next<BoxBody>| async move {
        let _ = granted;
        Err::<ServiceResponse, _>(actix_web::error::ErrorPaymentRequired("pay"))
    };
    let app = App::new()
        .route("/origin", web::get().to(handled))
        .route(
            "/letters",
            web::get().to(|_: Option<Granted<Letters>>| async { tries(HttpResponse::Ok().finish()) }),
        )
        .service(web::scope("/guarded").wrap(from_fn(guard)).route("", web::get().to(|| async { "in" })))
        .wrap(DefaultHeaders::new().add(("strict-transport-security", "max-age=1")))
        .wrap(PrivetMiddleware::new(privet.clone()));
    let app = init_service(app).await;
    let cross = request("/origin", "").insert_header(("sec-fetch-site", "cross-site"));
    assert_eq!(text(call_service(&app, cross.to_request()).await).await, "handled it myself");
    let response = call_service(&app, request("/letters", "").to_request()).await;
    assert_eq!((response.status().as_u16(), names(&response)), (500, Vec::<String>::new()));
    assert!(response.headers().contains_key("strict-transport-security"));
    assert!(text(response).await.contains("letters"));
    let status = match app.call(request("/guarded", "").to_request()).await {
        Ok(response) => response.status(),
        Err(error) => error.error_response().status(),
    };
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
}

/// Wrapped twice, the outer one would take the inner one's cookies for somebody else's.
#[actix_web::test]
async fn wrapped_twice_it_names_the_cure() {
    let privet = installation(None).await;
    let app = App::new()
        .configure(configure(&privet))
        .wrap(PrivetMiddleware::new(privet.clone()))
        .wrap(PrivetMiddleware::new(privet.clone()));
    let app = init_service(app).await;
    let response = call_service(&app, request("/privacy", "").to_request()).await;
    assert_eq!(response.status(), 500);
    assert!(text(response).await.contains("Wrap `PrivetMiddleware` once"));
}

#[test]
fn the_handle_and_what_handlers_take_are_send() {
    fn is<T: Send + Sync + Clone + 'static>() {}
    is::<Privet>();
    is::<PrivetMiddleware>();
    is::<Visit>();
    is::<Consent>();
    is::<Granted<Analytics>>();
    is::<Visitor>();
    is::<Country>();
}
