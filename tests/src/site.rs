//! The chat example in process, on either framework, and a visitor of it.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use chat_shop::{OperatorToken, Settings, Shop, installation};
use privet::ip::EmbeddedCountries;
use privet::{Clock, Storage};
use privet_actix_web::testing::AppInProcess;
use privet_axum::Protected;
use privet_web::testing::{Answered, Asked, InProcess as _, Jar};

use crate::server::{Framework, OPERATOR};

const PEER: ([u8; 4], u16) = ([203, 0, 113, 7], 4711);

#[derive(Debug)]
pub enum Site {
    Axum(Protected<Router>),
    ActixWeb(AppInProcess),
}

impl Site {
    pub async fn open(framework: Framework, storage: Storage, clock: impl Clock + 'static) -> Self {
        let (settings, countries) = (Settings::default(), Arc::new(EmbeddedCountries));
        let privet = installation(chat_shop::CATALOGUE, &settings, storage, countries, clock).await.unwrap();
        let operators = OperatorToken::new(OPERATOR.to_owned());
        let shop = Shop::open(privet.clone(), operators, None).unwrap();
        match framework {
            Framework::Axum => Self::Axum(privet_axum::testing::in_process(chat_axum::app(shop), &privet)),
            Framework::ActixWeb => {
                Self::ActixWeb(privet_actix_web::testing::in_process(chat_actix::app(shop), &privet))
            }
        }
    }

    pub async fn ask(&mut self, asked: Asked) -> Answered {
        match self {
            Self::Axum(app) => app.ask(asked).await,
            Self::ActixWeb(app) => app.ask(asked).await,
        }
    }
}

/// A visitor with their cookies.
#[derive(Debug)]
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
