//! What reaches a handler, and which site a request belongs to: by every adapter the same.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;

use axum::extract::ConnectInfo;
use bytes::Bytes;
use http_body_util::Full;
use privet::{Catalogue, Privet, Scope, Site, SiteDecl, Tenant};
use privet_tests::tower_adapter::{Peer, around};
use privet_web::testing::{Answered, Asked, InProcess};

const CLIENT: &str = "198.51.100.77";
const PROXY: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 7)), 4711);

fn told<'h>(peer: Option<SocketAddr>, headers: impl Iterator<Item = (&'h str, &'h [u8])>) -> String {
    let headers: BTreeMap<_, _> =
        headers.map(|(n, v)| (n, String::from_utf8_lossy(v).into_owned())).collect();
    format!("{peer:?} {headers:?}")
}

async fn by_axum(request: axum::extract::Request) -> String {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| *peer);
    told(peer, request.headers().iter().map(|(n, v)| (n.as_str(), v.as_bytes())))
}

async fn by_actix_web(request: actix_web::HttpRequest) -> String {
    let told = told(request.peer_addr(), request.headers().iter().map(|(n, v)| (n.as_str(), v.as_bytes())));
    let info = request.connection_info().clone();
    let peer = request.peer_addr().map(|peer| peer.ip().to_string());
    assert_eq!((info.peer_addr(), info.realip_remote_addr()), (peer.as_deref(), peer.as_deref()));
    let line = request.headers().get("cookie").map_or("", |line| line.to_str().unwrap());
    let cookies: Vec<_> = request.cookies().unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(cookies.join("; "), line);
    told
}

async fn by_the_guide(
    request: http::Request<Full<Bytes>>,
) -> Result<http::Response<Full<Bytes>>, Infallible> {
    let peer = request.extensions().get::<Peer>().map(|Peer(peer)| *peer);
    let told = told(peer, request.headers().iter().map(|(n, v)| (n.as_str(), v.as_bytes())));
    Ok(http::Response::new(Full::new(told.into())))
}

async fn ask_all(privet: &Privet, asked: &Asked) -> [Answered; 3] {
    let axum = axum::Router::new().route("/", axum::routing::get(by_axum)).merge(privet_axum::router(privet));
    let actix = actix_web::App::new()
        .route("/", actix_web::web::get().to(by_actix_web))
        .configure(privet_actix_web::configure(privet));
    [
        privet_axum::testing::in_process(axum, privet).ask(asked.clone()).await,
        privet_actix_web::testing::in_process(actix, privet).ask(asked.clone()).await,
        around(tower::service_fn(by_the_guide), privet).ask(asked.clone()).await,
    ]
}

fn text(answer: &Answered) -> String {
    String::from_utf8(answer.body.clone()).unwrap()
}

/// P4, P5: the same peer stands for the client, the same headers are left, and of the cookies those that are open.
#[tokio::test]
async fn ip_05_handlers_see_the_same_and_no_address() {
    let privet = Privet::builder(Catalogue::from_toml(chat_shop::CATALOGUE).unwrap())
        .trusted_proxies("203.0.113.0/24".parse().unwrap())
        .build()
        .await
        .unwrap();
    let plain = Asked::new("GET", "/").header("host", "shop.example").peer(PROXY);
    let full = plain
        .clone()
        .header("x-forwarded-for", CLIENT)
        .header("forwarded", format!("for={CLIENT};proto=https"))
        .header("x-real-ip", CLIENT)
        .header("user-agent", "test")
        .header("cookie", "reader=roses; theme=dark");
    for asked in [&plain, &full] {
        let [axum, actix, guide] = ask_all(&privet, asked).await.map(|answer| text(&answer));
        assert_eq!(axum, actix);
        assert_eq!(axum, guide);
        assert!(axum.contains("[fd") && axum.contains("shop.example"), "{axum}");
        for hidden in [CLIENT, "203.0.113.7", "reader", "theme", "forwarded", "x-real-ip"] {
            assert!(!axum.contains(hidden), "{hidden}: {axum}");
        }
    }
    let [with, ..] = ask_all(&privet, &full).await.map(|answer| text(&answer));
    let [without, ..] = ask_all(&privet, &plain).await.map(|answer| text(&answer));
    let peer = |told: &str| told.split(')').next().unwrap().to_owned();
    assert_ne!(
        peer(&with),
        peer(&without),
        "the client stands behind the proxy, and is another peer than it"
    );
    assert!(with.contains("user-agent"));
}

/// TEN-02: the host decides the site, by every adapter.
#[tokio::test]
async fn ten_02_the_host_decides_the_site() {
    let catalogue = |name: &str| {
        Catalogue::from_toml(&format!("[controller]\nname = \"{name}\"\ncontact = \"privacy@shop.example\""))
            .unwrap()
    };
    let scope = |site: &str| Scope::new(Tenant::default(), Site::new(site).unwrap());
    let privet = Privet::builder(catalogue("Garden"))
        .scope(scope("garden"))
        .site(SiteDecl::new(scope("kitchen"), catalogue("Kitchen")).tag("k"))
        .resolver(move |request| match request.host() {
            Some("garden.example") => Some(scope("garden")),
            Some("kitchen.example") => Some(scope("kitchen")),
            _ => None,
        })
        .build()
        .await
        .unwrap();
    let statement = |host: &str| Asked::new("GET", "/privacy/cookies.json").header("host", host);
    for (host, controller) in [("garden.example", "Garden"), ("kitchen.example:8443", "Kitchen")] {
        for answer in ask_all(&privet, &statement(host)).await {
            assert_eq!(answer.status, 200, "{host}");
            assert!(text(&answer).contains(controller), "{host}: {}", text(&answer));
        }
    }
    for asked in [statement("elsewhere.example"), Asked::new("GET", "/privacy/cookies.json")] {
        let answers = ask_all(&privet, &asked).await;
        assert!(answers.iter().all(|a| a.status == 404 && text(a) == "Not found."), "{answers:?}");
    }
}
