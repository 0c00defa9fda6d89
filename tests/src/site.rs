//! The chat example in process, on either framework, and a visitor of it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use axum::Router;
use bytes::Bytes;
use chat_shop::{OperatorToken, Settings, Shop, installation};
use http::{Request, Response};
use http_body::Body;
use http_body_util::{BodyExt as _, Empty, Full};
use privet::ip::EmbeddedCountries;
use privet::{Clock, Privet, Storage};
use privet_actix_web::testing::AppInProcess;
use privet_axum::Protected;
use privet_web::testing::{Answered, Asked, InProcess, Jar};
use tower_service::Service;

use crate::server::{Framework, OPERATOR};
use crate::tower_adapter::{Around, Peer, around};

const PEER: ([u8; 4], u16) = ([203, 0, 113, 7], 4711);

type Ask = Box<dyn Fn(Asked) -> Pin<Box<dyn Future<Output = Answered>>>>;

pub enum Site {
    Axum(Protected<Router>),
    ActixWeb(AppInProcess),
    /// privet's routes alone, in the adapter of the guide.
    Guide(Ask),
}

async fn open(storage: Storage, clock: impl Clock + 'static) -> Privet {
    let (settings, countries) = (Settings::default(), Arc::new(EmbeddedCountries));
    installation(chat_shop::CATALOGUE, &settings, storage, countries, clock).await.unwrap()
}

impl Site {
    pub async fn open(framework: Framework, storage: Storage, clock: impl Clock + 'static) -> Self {
        let privet = open(storage, clock).await;
        let operators = OperatorToken::new(OPERATOR.to_owned());
        let shop = Shop::open(privet.clone(), operators, None).unwrap();
        match framework {
            Framework::Axum => Self::Axum(privet_axum::testing::in_process(chat_axum::app(shop), &privet)),
            Framework::ActixWeb => {
                Self::ActixWeb(privet_actix_web::testing::in_process(chat_actix::app(shop), &privet))
            }
        }
    }

    pub async fn in_the_guide(storage: Storage, clock: impl Clock + 'static) -> Self {
        let nothing = |_: Request<Full<Bytes>>| async {
            Ok::<_, Infallible>(Response::builder().status(404).body(Empty::<Bytes>::new()).unwrap())
        };
        let site = around(tower::service_fn(nothing), &open(storage, clock).await);
        Self::Guide(Box::new(move |asked| {
            let mut site = site.clone();
            Box::pin(async move { site.ask(asked).await })
        }))
    }

    pub async fn ask(&mut self, asked: Asked) -> Answered {
        match self {
            Self::Axum(app) => app.ask(asked).await,
            Self::ActixWeb(app) => app.ask(asked).await,
            Self::Guide(ask) => ask(asked).await,
        }
    }
}

impl<S, R> InProcess for Around<S>
where
    S: Service<Request<Full<Bytes>>, Response = Response<R>, Error = Infallible>,
    S::Future: Send + 'static,
    R: Body<Data = Bytes, Error = Infallible> + Send + 'static,
{
    const ROUTES: &'static str = "they are inside already";

    async fn ask(&mut self, asked: Asked) -> Answered {
        let mut request =
            Request::builder().method(asked.method.as_str()).uri(asked.path).extension(Peer(asked.peer));
        for (name, value) in asked.headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(asked.body.into())).unwrap();
        let (head, body) = self.call(request).await.unwrap().into_parts();
        Answered {
            status: head.status.as_u16(),
            headers: head
                .headers
                .iter()
                .map(|(name, value)| {
                    (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
                })
                .collect(),
            body: body.collect().await.unwrap().to_bytes().into(),
            refused: false,
        }
    }
}

/// A visitor with their cookies.
pub struct Client {
    pub site: Site,
    pub jar: Jar,
}

impl Client {
    pub fn new(site: Site) -> Self {
        Self { site, jar: Jar::default() }
    }

    pub async fn ask(&mut self, asked: Asked) -> Answered {
        let mut asked = asked.peer(SocketAddr::from(PEER));
        // What the request brings by itself comes after what the browser holds.
        let own: Vec<_> =
            asked.headers.extract_if(.., |(name, _)| name == "cookie").map(|(_, v)| v).collect();
        let cookies: Vec<_> = self.jar.line().into_iter().chain(own).collect();
        if !cookies.is_empty() {
            asked = asked.header("cookie", cookies.join("; "));
        }
        let answer = self.site.ask(asked).await;
        self.jar.take(&answer);
        answer
    }

    /// The token that a form of the notice would have now.
    pub async fn token(&mut self) -> String {
        let state = self.ask(Asked::new("GET", "/privacy/consent")).await;
        let state: serde_json::Value = serde_json::from_slice(&state.body).unwrap();
        state["notice"].as_str().unwrap().to_owned()
    }
}
