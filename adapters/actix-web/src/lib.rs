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
//! let server = HttpServer::new(move || {
//!     App::new()
//!         .route("/", web::get().to(home))
//!         .configure(configure(&privet))
//!         .wrap(PrivetMiddleware::new(privet.clone()))
//! })
//! .bind("127.0.0.1:0")?;
//! # drop(async move {
//! server.run().await
//! # });
//! # Ok(()) }
//! ```
//!
//! # Where to mount it
//!
//! [`PrivetMiddleware`] is wrapped **last**, which makes it the outermost: what is wrapped after it is outside, sees
//! addresses and sets cookies that nobody judges. `Privet::run` is spawned once, before `HttpServer::new`, not in its
//! factory, which runs per worker.
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
//! | [`Visit`] | all of it |
//!
//! Each stands for the type of the same name in `privet` and derefs to it.
//!
//! # Limits
//!
//! actix-web turns any failure of `Option<Granted<C>>` into `None`. A category that is not declared is answered with 500
//! and the cure all the same, by the middleware; without the middleware there is nobody to answer, so it is only said
//! in the log. What a listener puts into `conn_data` is not hidden. When a handler panics, actix-web closes the
//! connection without an answer, so nothing leaves.

mod extract;
mod head;
mod middleware;
mod reply;
mod routes;
pub mod testing;

pub use extract::{Banner, Consent, Country, Granted, Page, Rejection, SameOrigin, Visit, Visitor};
pub use middleware::{PrivetMiddleware, PrivetService, ResponseFuture};
pub use routes::configure;
