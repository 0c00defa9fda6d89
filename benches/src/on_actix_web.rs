//! The page on actix-web.

use std::hint::black_box;
use std::rc::Rc;

use actix_http::Request;
use actix_session::storage::CookieSessionStore;
use actix_session::{Session, SessionMiddleware};
use actix_web::body::{MessageBody, to_bytes};
use actix_web::cookie::Key;
use actix_web::dev::{Service, ServiceResponse};
use actix_web::http::header::{COOKIE, HeaderValue, SET_COOKIE};
use actix_web::test::init_service;
use actix_web::web::Bytes;
use actix_web::{App, Error, HttpRequest, web};

use crate::{Answers, Built, PEER, Surrounding, Visited, YES, catalogue, text, visited};

pub(crate) async fn build(surrounding: Surrounding) -> Built {
    match surrounding {
        Surrounding::Nothing => {
            let app = init_service(App::new().route("/", web::get().to(|| async { YES }))).await;
            built(app, Some(catalogue::cookies(&"x".repeat(70))), YES)
        }
        Surrounding::HandWritten => panic!("the hand-written layer is for axum"),
        Surrounding::Privet { shows_addresses, action } => {
            with_privet(visited(shows_addresses, action).await).await
        }
        Surrounding::Cookies => {
            let read = |request: HttpRequest| async move { text(request.cookie("__Host-privet").is_some()) };
            let app = init_service(App::new().route("/", web::get().to(read))).await;
            built(app, Some(catalogue::cookies(&"x".repeat(70))), YES)
        }
        Surrounding::Sessions => with_sessions().await,
    }
}

fn built<S, B>(app: S, cookies: Option<String>, expected: &'static str) -> Built
where
    S: Service<Request, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: MessageBody + 'static,
{
    let cookies: Option<HeaderValue> = cookies.map(|line| line.parse().unwrap());
    let app = Rc::new(app);
    let answers: Answers = Box::new(move |times| {
        let (app, cookies) = (app.clone(), cookies.clone());
        Box::pin(async move {
            let mut last = Bytes::new();
            for _ in 0..times {
                let mut request = Request::new();
                request.head_mut().peer_addr = Some(PEER);
                if let Some(cookies) = &cookies {
                    request.head_mut().headers_mut().insert(COOKIE, cookies.clone());
                }
                let response = app.call(request).await.unwrap_or_else(|e| panic!("{e}"));
                last = black_box(to_bytes(response.into_body()).await.unwrap_or_default());
            }
            last
        })
    });
    Built { answers, expected }
}

async fn with_privet(Visited { privet, cookies, expected }: Visited) -> Built {
    let page = |consent: privet_actix_web::Consent| async move { text(consent.allows("analytics")) };
    let app = App::new()
        .route("/", web::get().to(page))
        .wrap(privet_actix_web::PrivetMiddleware::new(privet.clone()));
    built(init_service(app).await, cookies, expected)
}

/// actix-session, whose cookie is encrypted and holds the session.
async fn with_sessions() -> Built {
    let read =
        |session: Session| async move { text(session.get::<bool>("analytics").unwrap().unwrap_or(false)) };
    let set = |session: Session| async move {
        session.insert("analytics", true).unwrap();
        YES
    };
    let app = App::new()
        .route("/", web::get().to(read))
        .route("/set", web::get().to(set))
        .wrap(SessionMiddleware::new(CookieSessionStore::default(), Key::from(&[7; 64])));
    let app = init_service(app).await;
    let mut request = Request::new();
    request.head_mut().uri = actix_web::http::Uri::from_static("/set");
    let set = app.call(request).await.unwrap_or_else(|e| panic!("{e}"));
    let line = set.headers().get(SET_COOKIE).unwrap().to_str().unwrap();
    let session = line.split(';').next().unwrap().to_owned();
    built(app, Some(catalogue::others().chain([session]).collect::<Vec<_>>().join("; ")), YES)
}
