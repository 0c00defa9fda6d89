//! privet for axum: one layer around the router, extractors, and the routes for consent.
//!
//! ```
//! use axum::{Router, response::Html, routing::get};
//! use privet::{Catalogue, Privet};
//! use privet_axum::{Banner, Consent, protect};
//!
//! async fn home(consent: Consent, banner: Banner) -> Html<String> {
//!     Html(format!("<p>statistics: {}</p>{banner}", consent.allows("analytics")))
//! }
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let privet = Privet::builder(Catalogue::from_toml(
//!     "[controller]\nname = \"Shop\"\ncontact = \"privacy@shop.example\"\n\
//!      [[category]]\nid = \"analytics\"\npurpose = \"Counting visits.\"",
//! )?)
//! .build()
//! .await?;
//! let app = Router::new().route("/", get(home)).merge(privet_axum::router(&privet));
//! let service = protect(app, &privet).into_make_service();
//! # let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! # drop(async move {
//! privet.run_while(axum::serve(listener, service)).await
//! # });
//! # Ok(()) }
//! ```
//!
//! # Where to mount it
//!
//! [`protect`] wraps the whole router, with every layer it has, into a service: every cookie of every middleware is
//! judged, and no middleware sees an address. It is the way to mount privet.
//!
//! [`PrivetLayer`] is for those who cannot wrap: what is added to the router after `.layer(PrivetLayer::new(..))`,
//! routes and middleware alike, is outside and escapes it.
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
//! Each stands for the type of the same name in `privet` and derefs to it. Without the layer each answers 500 and names
//! the cure.
//!
//! # What a handler ends with
//!
//! [`Rejection`] makes an answer of every [`privet::Error`] that tells a visitor nothing of the inside; `?` makes one:
//!
//! ```
//! use privet::Analytics;
//! use privet_axum::{Granted, Rejection};
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
//! An address that a listener of one's own puts into another request extension than axum's
//! [`ConnectInfo<SocketAddr>`](axum::extract::ConnectInfo) is not hidden. When a handler panics and nothing catches it,
//! hyper closes the connection without an answer, so nothing leaves.

mod extract;
mod future;
mod head;
mod layer;
mod reply;
mod router;
mod service;
pub mod testing;

pub use extract::{Banner, Consent, Country, Granted, Page, Rejection, SameOrigin, Visit, Visitor};
pub use future::ResponseFuture;
pub use layer::PrivetLayer;
pub use router::{portal, router};
pub use service::{Protected, protect};
