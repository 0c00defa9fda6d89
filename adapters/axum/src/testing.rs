//! A helper for an app's own tests: drives its router and tells of every cookie that the catalogue does not allow.
//!
//! ```
//! # use axum::{Router, routing::get};
//! # use privet::{Catalogue, Privet};
//! use privet_axum::testing::walk;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let privet = Privet::builder(Catalogue::from_toml("[controller]\nname = \"Shop\"\ncontact = \"c\"\n[[category]]\nid = \"analytics\"\npurpose = \"Counting.\"")?).build().await?;
//! # let app: Router = Router::new().route("/", get(|| async { "hello" })).merge(privet_axum::router(&privet));
//! walk(app, &privet).get("/").get("/nowhere").run().await.assert_clean();
//! # Ok(()) }
//! ```

use std::convert::Infallible;

use axum::extract::ConnectInfo;
use axum_core::body::Body;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Collected};
use privet::Privet;
use privet::visit::Refusal;
use privet_web::testing::{Answered, Asked, InProcess};
pub use privet_web::testing::{Found, Report, Stage, Walk};
use tower_service::Service;

use crate::service::{Protected, protect};

/// An app that is not yet inside privet, to be asked in process.
pub fn in_process<S>(app: S, privet: &Privet) -> Protected<S> {
    protect(app, privet)
}

/// A walk through an app that is not yet inside privet, and has privet's [`router`](crate::router()).
pub fn walk<S>(app: S, privet: &Privet) -> Walk<Protected<S>>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Error: Into<Infallible>,
{
    Walk::new(in_process(app, privet), privet)
}

impl<S> InProcess for Protected<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Error: Into<Infallible>,
{
    const ROUTES: &'static str = "merge `privet_axum::router(&privet)` into the app";

    async fn ask(&mut self, asked: Asked) -> Answered {
        let mut request = Request::builder()
            .method(asked.method.as_str())
            .uri(asked.path)
            .extension(ConnectInfo(asked.peer));
        for (name, value) in asked.headers {
            request = request.header(name, value);
        }
        let Ok(request) = request.body(Body::from(asked.body)) else { return Answered::default() };
        let response = match std::future::poll_fn(|cx| self.poll_ready(cx)).await {
            Ok(()) => self.call(request).await,
            Err(error) => Err(error),
        };
        let (head, body) = match response {
            Ok(response) => response.into_parts(),
            Err(error) => match error.into() {},
        };
        let headers = head.headers.iter();
        Answered {
            status: head.status.as_u16(),
            headers: headers
                .map(|(name, value)| {
                    (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
                })
                .collect(),
            body: body.collect().await.map(Collected::to_bytes).unwrap_or_default().into(),
            refused: head.extensions.get::<Refusal>().is_some(),
        }
    }
}
