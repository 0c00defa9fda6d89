//! A helper for an app's own tests: drives it and tells of every cookie that the catalogue does not allow.
//!
//! ```
//! # use actix_web::{App, web};
//! # use privet::{Catalogue, Privet};
//! use privet_actix_web::testing::walk;
//!
//! # #[actix_web::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let privet = Privet::builder(Catalogue::from_toml("[controller]\nname = \"Shop\"\ncontact = \"c\"\n[[category]]\nid = \"analytics\"\npurpose = \"Counting.\"")?).build().await?;
//! # let app = App::new().route("/", web::get().to(|| async { "hello" })).configure(privet_actix_web::configure(&privet));
//! walk(app, &privet).get("/").get("/nowhere").run().await.assert_clean();
//! # Ok(()) }
//! ```

use std::fmt;
use std::pin::Pin;
use std::rc::Rc;

use actix_web::body::{MessageBody, to_bytes};
use actix_web::dev::{Service as _, ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::http::Uri;
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::test::{TestRequest, init_service};
use actix_web::{App, Error, HttpResponse};
use privet::Privet;
use privet::visit::Refusal;
use privet_web::testing::{Answered, Asked, InProcess};
pub use privet_web::testing::{Found, Report, Stage, Walk};

use crate::middleware::PrivetMiddleware;

type Local<T> = Pin<Box<dyn Future<Output = T>>>;
type Ask = Box<dyn Fn(TestRequest) -> Local<Answered>>;

/// An app in process, inside privet; it starts with the first request.
pub struct AppInProcess(Kind);

enum Kind {
    Waiting(Local<Ask>),
    Started(Ask),
}

impl fmt::Debug for AppInProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppInProcess").finish_non_exhaustive()
    }
}

/// A walk through an app that is not yet inside privet, and has privet's routes (see
/// [`configure`](crate::configure())).
pub fn walk<T, B>(app: App<T>, privet: &Privet) -> Walk<AppInProcess>
where
    T: ServiceFactory<
            ServiceRequest,
            Config = (),
            Response = ServiceResponse<B>,
            Error = Error,
            InitError = (),
            Future: 'static,
            Service: 'static,
        > + 'static,
    B: MessageBody + 'static,
{
    Walk::new(in_process(app, privet), privet)
}

/// An app that is not yet inside privet, to be asked in process.
pub fn in_process<T, B>(app: App<T>, privet: &Privet) -> AppInProcess
where
    T: ServiceFactory<
            ServiceRequest,
            Config = (),
            Response = ServiceResponse<B>,
            Error = Error,
            InitError = (),
            Future: 'static,
            Service: 'static,
        > + 'static,
    B: MessageBody + 'static,
{
    let app = app.wrap(PrivetMiddleware::new(privet.clone()));
    let start = async move {
        let app = Rc::new(init_service(app).await);
        let ask = move |request: TestRequest| -> Local<Answered> {
            let app = app.clone();
            Box::pin(async move {
                match app.call(request.to_request()).await {
                    Ok(response) => answered(response.into_parts().1).await,
                    Err(error) => answered(error.error_response()).await,
                }
            })
        };
        Box::new(ask) as Ask
    };
    AppInProcess(Kind::Waiting(Box::pin(start)))
}

async fn answered<B: MessageBody>(response: HttpResponse<B>) -> Answered {
    let headers = response.headers().iter();
    let headers = headers
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    let status = response.status().as_u16();
    let refused = response.extensions().get::<Refusal>().is_some();
    let body = to_bytes(response.into_body()).await.map(Into::into).unwrap_or_default();
    Answered { status, headers, body, refused }
}

impl InProcess for AppInProcess {
    const ROUTES: &'static str = "add `.configure(privet_actix_web::configure(&privet))` to the `App`";

    async fn ask(&mut self, asked: Asked) -> Answered {
        let (Ok(method), Ok(_)) = (asked.method.parse(), asked.path.parse::<Uri>()) else {
            return Answered::default();
        };
        let mut request = TestRequest::with_uri(&asked.path).method(method).peer_addr(asked.peer);
        if !asked.body.is_empty() {
            request = request.set_payload(asked.body);
        }
        for (name, value) in asked.headers {
            let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) else {
                return Answered::default();
            };
            request = request.append_header((name, value));
        }
        if let Kind::Waiting(start) = &mut self.0 {
            self.0 = Kind::Started(start.await);
        }
        match &self.0 {
            Kind::Started(ask) => ask(request).await,
            Kind::Waiting(_) => Answered::default(),
        }
    }
}
