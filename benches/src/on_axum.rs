//! The page on axum.

use std::convert::Infallible;
use std::hint::black_box;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Request};
use axum::http::HeaderValue;
use axum::http::header::COOKIE;
use axum::response::Response;
use axum::routing::get;
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;
use tower::util::BoxCloneSyncService;

use crate::{Answers, Built, PEER, Surrounding, Visited, YES, catalogue, hand_written, text, visited};

type App = BoxCloneSyncService<Request, Response, Infallible>;

pub(crate) async fn build(surrounding: Surrounding) -> Built {
    match surrounding {
        Surrounding::Nothing => {
            let app = Router::new().route("/", get(|| async { YES }));
            built(BoxCloneSyncService::new(app), Some(catalogue::cookies(&"x".repeat(70))), YES)
        }
        Surrounding::HandWritten => {
            let (layer, cookie) = hand_written::layer();
            let app = Router::new()
                .route(
                    "/",
                    get(|consent: axum::Extension<hand_written::State>| async move {
                        text(consent.allows("analytics"))
                    }),
                )
                .layer(layer);
            built(BoxCloneSyncService::new(app), Some(catalogue::cookies(&cookie)), YES)
        }
        Surrounding::Privet { shows_addresses, action } => {
            with_privet(visited(shows_addresses, action).await)
        }
        Surrounding::Cookies => {
            let app = Router::new()
                .route(
                    "/",
                    get(|cookies: tower_cookies::Cookies| async move {
                        text(cookies.get("__Host-privet").is_some())
                    }),
                )
                .layer(tower_cookies::CookieManagerLayer::new());
            built(BoxCloneSyncService::new(app), Some(catalogue::cookies(&"x".repeat(70))), YES)
        }
        Surrounding::Sessions => with_sessions().await,
    }
}

fn request(cookies: Option<&HeaderValue>) -> Request {
    let mut request = Request::new(Body::empty());
    if let Some(cookies) = cookies {
        request.headers_mut().insert(COOKIE, cookies.clone());
    }
    request.extensions_mut().insert(ConnectInfo(PEER));
    request
}

fn built(app: App, cookies: Option<String>, expected: &'static str) -> Built {
    let cookies: Option<HeaderValue> = cookies.map(|line| line.parse().unwrap());
    let answers: Answers = Box::new(move |times| {
        let (app, cookies) = (app.clone(), cookies.clone());
        Box::pin(async move {
            let mut last = Bytes::new();
            for _ in 0..times {
                let response = app.clone().oneshot(request(cookies.as_ref())).await.unwrap();
                last = black_box(response.into_body().collect().await.unwrap().to_bytes());
            }
            last
        })
    });
    Built { answers, expected }
}

fn with_privet(Visited { privet, cookies, expected }: Visited) -> Built {
    let app = Router::new()
        .route("/", get(|consent: privet_axum::Consent| async move { text(consent.allows("analytics")) }));
    built(BoxCloneSyncService::new(privet_axum::protect(app, &privet)), cookies, expected)
}

/// tower-sessions with its store in memory.
async fn with_sessions() -> Built {
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
    let mut set = request(None);
    *set.uri_mut() = axum::http::Uri::from_static("/set");
    let set = app.clone().oneshot(set).await.unwrap();
    let line = set.headers()["set-cookie"].to_str().unwrap();
    let session = line.split(';').next().unwrap().to_owned();
    built(app, Some(catalogue::others().chain([session]).collect::<Vec<_>>().join("; ")), YES)
}
