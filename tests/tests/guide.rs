//! The adapter of the guide, as hyper serves it: what an app on plain `tower` gets from it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that meets something else has failed")]

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, SET_COOKIE};
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use privet::{Catalogue, Privet};
use privet_tests::client::{Sending, Visitor};
use privet_tests::tower_adapter::{Around, Peer, around, take};
use tokio::net::TcpListener;
use tower_service::Service;

async fn page(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let consent: privet::Consent = take(&request).unwrap();
    let banner: privet_web::Banner = take(&request).unwrap();
    let html = format!(
        "<p>{} {:?} {:?}</p>{banner}",
        consent.allows("analytics"),
        request.extensions().get::<Peer>().unwrap().0,
        request.headers()
    );
    let response = Response::builder()
        .header(CONTENT_TYPE, "text/html; charset=utf-8")
        .header(SET_COOKIE, "reader=roses; Max-Age=2592000")
        .header(SET_COOKIE, "undeclared=1");
    Ok(response.body(Full::new(html.into())).unwrap())
}

async fn serve<S, R>(listener: TcpListener, site: Around<S>)
where
    S: Service<Request<Incoming>, Response = Response<R>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
    R: http_body::Body<Data = Bytes, Error = Infallible> + Send + 'static,
{
    while let Ok((stream, peer)) = listener.accept().await {
        let site = site.clone();
        let answer = hyper::service::service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(Peer(peer));
            site.clone().call(request)
        });
        tokio::spawn(
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer),
        );
    }
}

async fn site() -> SocketAddr {
    let privet = Privet::builder(Catalogue::from_toml(chat_shop::CATALOGUE).unwrap()).build().await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(serve(listener, around(tower::service_fn(page), &privet)));
    addr
}

/// GATE-01, P3 to P5: by way of the guide's adapter too nothing leaves that the visitor has not allowed, and the app sees
/// neither an address nor a cookie that is closed.
#[tokio::test]
async fn gate_01_the_guides_adapter_keeps_the_gate() {
    let addr = site().await;
    let first = Sending::get("/")
        .header("x-forwarded-for", "198.51.100.77")
        .header("cookie", "reader=roses; theme=dark")
        .to(addr)
        .await;
    assert_eq!((first.status, first.cookies().len()), (200, 0));
    let seen = first.text();
    assert!(seen.contains("<p>false [fd") && seen.contains("accept_all"), "{seen}");
    for hidden in ["127.0.0.1:", "198.51.100.77", "reader=", "theme="] {
        assert!(!seen.contains(hidden), "{hidden}: {seen}");
    }

    let mut agrees = Visitor::new(addr);
    assert_eq!(agrees.decide("accept_all", &[]).await.status, 303);
    let page = agrees.get("/").await;
    let [cookie] = page.cookies()[..] else { panic!("one cookie: {:?}", page.cookies()) };
    assert!(cookie.starts_with("reader=roses;") && cookie.contains("Secure"), "{cookie}");
    assert!(page.text().contains("<p>true"));
}

/// Without privet around it nothing is taken, and the cure is named.
#[test]
fn a_service_that_is_not_inside_is_told_so() {
    let request = Request::new(());
    let rejection = take::<privet::Consent, _>(&request).unwrap_err();
    assert!(rejection.to_string().contains("serve `around(app, &privet)`"));
    assert_eq!(rejection.reply().status, 500);
}
