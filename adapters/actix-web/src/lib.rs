//! privet for actix-web: one middleware around the app, extractors, and the routes for consent.
//!
//! ```
//! use actix_web::{App, HttpResponse, HttpServer, Responder, web};
//! use privet::{Catalogue, Privet};
//! use privet_actix_web::{Banner, Consent, PrivetMiddleware, configure};
//!
//! async fn home(consent: Consent, banner: Banner) -> impl Responder {
//!     HttpResponse::Ok()
//!         .content_type("text/html; charset=utf-8")
//!         .body(format!("<p>statistics: {}</p>{banner}", consent.allows("analytics")))
//! }
//!
//! # #[actix_web::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let privet = Privet::builder(Catalogue::from_toml(
//!     "[controller]\nname = \"Shop\"\ncontact = \"privacy@shop.example\"\n\
//!      [[category]]\nid = \"analytics\"\npurpose = \"Counting visits.\"",
//! )?)
//! .build()
//! .await?;
//! let handle = privet.clone();
//! let server = HttpServer::new(move || {
//!     App::new()
//!         .route("/", web::get().to(home))
//!         .configure(configure(&handle))
//!         .wrap(PrivetMiddleware::new(handle.clone()))
//! })
//! .bind("127.0.0.1:0")?;
//! # drop(async move {
//! privet.run_while(server.run()).await
//! # });
//! # Ok(()) }
//! ```
//!
//! # Where to mount it
//!
//! [`PrivetMiddleware`] is wrapped **last**, which makes it the outermost: what is wrapped after it is outside, sees
//! addresses and sets cookies that nobody judges. If something outside has read the cookies before, so that handlers would
//! find what is refused in actix-web's cache, the answer is a 500 that names the cure.
//!
//! The `Privet` is built once, before `HttpServer::new`; its factory runs per worker and clones the handle.
//! `privet.run_while(server)` serves and keeps house beside it, once for all workers.
//!
//! # What a handler takes
//!
//! | extractor | what |
//! |---|---|
//! | [`Consent`] | what the visitor decided |
//! | [`Granted<C>`] | the key to what needs a category; 403 without it |
//! | `Option<Granted<C>>` | the same, or nothing |
//! | [`Visitor`] | whom the site knows the visitor as |
//! | [`Country`] | the country the visitor is likely in |
//! | [`Banner`] | the banner, for one line of a template |
//! | [`SameOrigin`] | that the request comes from the site, for the app's own routes that change something |
//! | [`Visit`] | all of it |
//!
//! Each stands for the type of the same name in `privet` and derefs to it.
//!
//! # What a handler ends with
//!
//! [`Rejection`] makes an answer of every [`privet::Error`] that tells a visitor nothing of the inside; `?` makes one:
//!
//! ```
//! use privet::Analytics;
//! use privet_actix_web::{Granted, Rejection};
//!
//! async fn count(granted: Granted<Analytics>) -> Result<&'static str, Rejection> {
//!     granted.set_cookie("visits", "1")?;
//!     Ok("counted")
//! }
//! ```
//!
//! [`Page`] is what `banner.page(html)` gives, for apps without templates; [`testing::walk`] is for an app's own tests.
//!
//! # Limits
//!
//! actix-web turns any failure of `Option<Granted<C>>` into `None`. A category that is not declared is answered with 500
//! and the cure all the same, by the middleware, after the handler has run with the `None`; without the middleware there
//! is nobody to answer, so it is said in the log, each time.
//!
//! A middleware outside that keeps a clone of the `HttpRequest` makes actix-web panic as soon as anything changes the
//! request, privet too: let it keep what it needs of the request instead.
//!
//! When a handler panics and nothing catches it, actix-web closes the connection without an answer, so nothing leaves.
//!
//! `web::Data`, `conn_data` and what a middleware outside puts into a request's extensions are the app's: an address in
//! them is not hidden.

mod extract;
mod head;
mod middleware;
mod reply;
mod routes;
pub mod testing;

pub use extract::{Banner, Consent, Country, Granted, Page, Rejection, SameOrigin, Taking, Visit, Visitor};
pub use middleware::{PrivetMiddleware, PrivetService, ResponseFuture};
pub use routes::{configure, portal};
