//! A small site on either framework for what the chat example does not have: visitors from several countries, what is sold,
//! exceptions from consent, and people who sign in.

use std::net::IpAddr;

use async_trait::async_trait;
use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::AppendHeaders;
use axum::routing::{get, post};
use axum::{Router, response::IntoResponse};
use privet::consent::Regimes;
use privet::contact::{Channel, NewMessage};
use privet::ip::{CountryCode, CountryLookup};
use privet::portal::{Operator, Role};
use privet::{Catalogue, Clock, Privet, Storage, Tenant};
use privet_web::{Guard, Request};

use crate::server::Framework;
use crate::site::Site;

pub const CATALOGUE: &str = r#"
    languages = ["en", "de"]

    [controller]
    name = "Laboratory"
    contact = "privacy@lab.example"

    [[category]]
    id = "analytics"
    purpose = { en = "Counts visits.", de = "Zählt Besuche." }

    [[category]]
    id = "marketing"
    purpose = { en = "Shows advertising.", de = "Zeigt Werbung." }
    sale_or_share = true

    [[category]]
    id = "contacts"
    purpose = { en = "Recognises you.", de = "Erkennt Sie wieder." }

    [[recipient]]
    id = "exchange"
    name = "Exchange Inc"
    country = "US"
    purpose = { en = "Sells places.", de = "Verkauft Plätze." }

    [[service]]
    id = "counter"
    provider = "Laboratory"
    purpose = { en = "Counts.", de = "Zählt." }
    legal_basis = "consent"

    [[service.entry]]
    name = "visits"
    purpose = { en = "Counts.", de = "Zählt." }
    duration = "30 days"
    trigger = "server"
    gate = { consent = "analytics" }

    [[service.entry]]
    name = "stat"
    purpose = { en = "Counts, in the United Kingdom.", de = "Zählt, im Vereinigten Königreich." }
    duration = "30 days"
    trigger = "server"
    gate = { unless_objected = "analytics", exceptions = ["uk-statistics"] }

    [[service.entry]]
    name = "stat.seen"
    storage = "local-storage"
    purpose = { en = "What was counted.", de = "Was gezählt wurde." }
    duration = "30 days"
    trigger = "load"
    gate = { unless_objected = "analytics", exceptions = ["uk-statistics"] }

    [[service]]
    id = "ads"
    provider = "Exchange Inc"
    purpose = { en = "Advertising.", de = "Werbung." }
    legal_basis = "consent"
    recipients = ["exchange"]
    external_hosts = ["https://ads.exchange.example"]
    gate = { consent = "marketing" }

    [[service.entry]]
    name = "ad"
    purpose = { en = "Chooses advertising.", de = "Wählt Werbung." }
    duration = "30 days"
    trigger = "server"
    gate = { consent = "marketing" }

    [[service.entry]]
    name = "sid"
    purpose = { en = "Session.", de = "Sitzung." }
    duration = "session"
    trigger = "server"
    gate = { exempt = "auth", justification = "Sign-in." }
"#;

/// Countries by the last number of an address.
#[derive(Debug)]
pub struct Numbered;

impl CountryLookup for Numbered {
    fn lookup(&self, ip: IpAddr) -> Option<CountryCode> {
        let IpAddr::V4(ip) = ip else { return None };
        let codes = ["DE", "GB", "FR", "US"];
        codes.get(usize::from(ip.octets()[3]).checked_sub(1)?).and_then(|code| CountryCode::new(code))
    }
}

/// The request header that says where a visitor comes from.
pub const FROM: &str = "x-forwarded-for";
pub const DE: (&str, &str) = (FROM, "9.0.0.1");
pub const GB: (&str, &str) = (FROM, "9.0.0.2");
pub const FR: (&str, &str) = (FROM, "9.0.0.3");
pub const US: (&str, &str) = (FROM, "9.0.0.4");

pub async fn installation(storage: Storage, clock: impl Clock + 'static) -> Privet {
    Privet::builder(Catalogue::from_toml(CATALOGUE).unwrap())
        .storage(storage)
        .clock(clock)
        .countries(Numbered)
        .trusted_proxies("203.0.113.7/32, 127.0.0.0/8".parse().unwrap())
        .regimes(Regimes::by_country().established_in("US".parse().unwrap()))
        .promises_gpc("2026-11-27")
        .account_consent()
        .build()
        .await
        .unwrap()
}

/// Lets in whoever the header says: `role@tenant`. For tests: a header is nobody's word.
#[derive(Debug)]
pub struct ByHeader;

#[async_trait]
impl Guard for ByHeader {
    async fn operator(&self, _: &privet::Visit, request: &Request) -> privet::Result<Option<Operator>> {
        let Some((role, tenant)) = request.header_value(OPERATOR).and_then(|who| who.split_once('@')) else {
            return Ok(None);
        };
        let role = Role::named(role).expect("a role");
        Operator::new(Tenant::new(tenant)?, "somebody", role).map(Some)
    }
}

/// The request header that says which operator asks.
pub const OPERATOR: &str = "x-operator";

/// Asks a person something, as the visitor.
async fn asks(visit: &privet::Visit) -> privet::Result<()> {
    let message = NewMessage::new(Channel::LiveSupport, "Is it open?")?;
    visit.visitor().post("counter", message).await.map(drop)
}

/// What the handler of `/cookies` sets.
pub const COOKIES: [&str; 5] = [
    "sid=1; Path=/; Secure; HttpOnly; SameSite=Lax",
    "visits=1; Path=/; Max-Age=1000; Secure; HttpOnly; SameSite=Lax",
    "stat=1; Path=/; Max-Age=1000; Secure; HttpOnly; SameSite=Lax",
    "ad=1; Path=/; Max-Age=1000; Secure; HttpOnly; SameSite=Lax",
    "undeclared=1; Path=/",
];

const PAGE: &str = "<!doctype html><html lang=\"en\"><title>Lab</title><body><h1>Lab</h1></body></html>";

pub async fn open(framework: Framework, storage: Storage, clock: impl Clock + 'static) -> Site {
    on(framework, &installation(storage, clock).await)
}

/// The laboratory's pages around an installation of the test's own.
pub fn on(framework: Framework, privet: &Privet) -> Site {
    match framework {
        Framework::Axum => Site::Axum(privet_axum::testing::in_process(on_axum(privet), privet)),
        Framework::ActixWeb => {
            Site::ActixWeb(privet_actix_web::testing::in_process(on_actix_web(privet), privet))
        }
    }
}

/// The laboratory at an address of this machine, for a browser; it says country and signal by its headers.
pub async fn listening() -> std::net::SocketAddr {
    let privet = installation(Storage::in_memory().unwrap(), privet::SystemClock).await;
    let service = privet_axum::protect(on_axum(&privet), &privet).into_make_service();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, service).await });
    addr
}

fn on_axum(privet: &Privet) -> Router {
    use privet_axum::{Banner, Consent, Page, Rejection};
    async fn page(banner: Banner) -> Page {
        banner.page(PAGE)
    }
    async fn cookies() -> impl IntoResponse {
        (AppendHeaders(COOKIES.map(|line| (header::SET_COOKIE, line))), "set")
    }
    async fn seen(headers: HeaderMap) -> String {
        headers.get(header::COOKIE).map_or_else(String::new, |c| c.to_str().unwrap().to_owned())
    }
    async fn sign_in(consent: Consent, Path(who): Path<String>) -> Result<StatusCode, Rejection> {
        consent.visit().privet().sign_in(consent.visit(), &who).await?;
        Ok(StatusCode::NO_CONTENT)
    }
    async fn sign_out(consent: Consent) -> Result<StatusCode, Rejection> {
        consent.visit().privet().sign_out(consent.visit()).await?;
        Ok(StatusCode::NO_CONTENT)
    }
    async fn say(visit: privet_axum::Visit) -> Result<StatusCode, Rejection> {
        asks(&visit).await?;
        Ok(StatusCode::NO_CONTENT)
    }
    Router::new()
        .route("/say", post(say))
        .merge(privet_axum::portal(privet, ByHeader))
        .route("/", get(page))
        .route("/cookies", get(cookies))
        .route("/seen", get(seen))
        .route("/sign-in/{who}", post(sign_in))
        .route("/sign-out", post(sign_out))
        .merge(privet_axum::router(privet))
}

fn on_actix_web(
    privet: &Privet,
) -> actix_web::App<
    impl actix_web::dev::ServiceFactory<
        actix_web::dev::ServiceRequest,
        Config = (),
        Response = actix_web::dev::ServiceResponse<impl actix_web::body::MessageBody + 'static + use<>>,
        Error = actix_web::Error,
        InitError = (),
    > + use<>,
> {
    use actix_web::{App, HttpRequest, HttpResponse, web};
    use privet_actix_web::{Banner, Consent, Page, Rejection};
    async fn page(banner: Banner) -> Page {
        banner.page(PAGE)
    }
    async fn cookies() -> HttpResponse {
        let mut response = HttpResponse::Ok();
        for line in COOKIES {
            response.append_header(("set-cookie", line));
        }
        response.content_type("text/plain; charset=utf-8").body("set")
    }
    async fn seen(request: HttpRequest) -> String {
        let line = request.headers().get("cookie");
        line.map_or_else(String::new, |c| c.to_str().unwrap().to_owned())
    }
    async fn sign_in(consent: Consent, who: web::Path<String>) -> Result<HttpResponse, Rejection> {
        consent.visit().privet().sign_in(consent.visit(), &who).await?;
        Ok(HttpResponse::NoContent().finish())
    }
    async fn sign_out(consent: Consent) -> Result<HttpResponse, Rejection> {
        consent.visit().privet().sign_out(consent.visit()).await?;
        Ok(HttpResponse::NoContent().finish())
    }
    async fn say(visit: privet_actix_web::Visit) -> Result<HttpResponse, Rejection> {
        asks(&visit).await?;
        Ok(HttpResponse::NoContent().finish())
    }
    App::new()
        .route("/say", web::post().to(say))
        .configure(privet_actix_web::portal(privet, std::sync::Arc::new(ByHeader)))
        .route("/", web::get().to(page))
        .route("/cookies", web::get().to(cookies))
        .route("/seen", web::get().to(seen))
        .route("/sign-in/{who}", web::post().to(sign_in))
        .route("/sign-out", web::post().to(sign_out))
        .configure(privet_actix_web::configure(privet))
}
