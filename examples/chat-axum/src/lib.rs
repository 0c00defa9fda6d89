//! A small shop site with a chat widget, inside privet.
//!
//! Run with `cargo run -p chat-axum`, then open the address it prints. Nothing has to be set; see [`Settings`] for what
//! can be.
//!
//! What to look at: `privet.toml` is the catalogue; [`app`] is the router; `serve.rs` protects and serves it.

mod articles;
mod chat;
mod operators;
mod pages;
mod serve;
mod settings;
mod support;

use std::sync::Arc;

use axum::Router;
use axum::routing::{delete, get};
use privet::ip::{CountryLookup, EmbeddedCountries, MaxmindCountries};
use privet::{Catalogue, Clock, Privet, Storage};
use tower_http::catch_panic::CatchPanicLayer;

pub use articles::{Article, Articles};
pub use operators::OperatorToken;
pub use pages::Readers;
pub use serve::run;
pub use settings::Settings;
pub use support::SupportDesk;

/// The catalogue of this site.
pub const CATALOGUE: &str = include_str!("../privet.toml");

/// The service of the catalogue that the chat belongs to.
pub(crate) const CHAT: &str = "webwidget";

/// What the handlers share.
#[derive(Clone, Debug)]
pub struct Shop {
    /// The site's articles, and the search over them.
    pub articles: Arc<Articles>,
    /// How often each article was read by visitors who allow counting.
    pub readers: Arc<Readers>,
    /// Where messages to live support are forwarded.
    pub support: Option<SupportDesk>,
    /// What an operator has to know to see the contacts.
    pub operators: OperatorToken,
    /// The installation.
    pub privet: Privet,
}

/// The router of the site, before it is protected.
pub fn app(shop: Shop) -> Router {
    let privet_routes = privet_axum::router(&shop.privet);
    Router::new()
        .route("/", get(pages::home))
        .route("/articles/{slug}", get(pages::article))
        .route("/chat/messages", get(chat::read).post(chat::send))
        .route("/chat/keep", axum::routing::post(chat::keep))
        .route("/contacts", get(operators::contacts))
        .route("/contacts/{id}", delete(operators::erase))
        .route("/shop.css", get(pages::style))
        .route("/chat.js", get(pages::script))
        .fallback(pages::not_found)
        .with_state(shop)
        .merge(privet_routes)
        .layer(CatchPanicLayer::new())
}

/// An installation as the settings say.
///
/// # Errors
/// A catalogue that cannot be true, or what the storage says.
pub async fn installation(
    catalogue: &str,
    settings: &Settings,
    storage: Storage,
    countries: Arc<dyn CountryLookup>,
    clock: impl Clock + 'static,
) -> privet::Result<Privet> {
    let builder = Privet::builder(Catalogue::from_toml(catalogue)?)
        .storage(storage)
        .clock(clock)
        .shared_countries(countries)
        .trusted_proxies(settings.trusted_proxies.clone());
    settings.public_origins().into_iter().fold(builder, privet::Builder::public_origin).build().await
}

/// The data that countries are looked up in.
#[derive(Clone, Debug)]
pub enum Countries {
    /// In the binary.
    Embedded,
    /// In a file, which can be reloaded.
    File(Arc<MaxmindCountries>),
}

impl Countries {
    /// A country file if the settings name one, else the data in the binary.
    ///
    /// # Errors
    /// A country file that cannot be used.
    pub fn open(settings: &Settings) -> privet::Result<Self> {
        Ok(match &settings.country_db {
            Some(path) => Self::File(Arc::new(MaxmindCountries::open(path)?)),
            None => Self::Embedded,
        })
    }

    /// As the installation takes it.
    #[must_use]
    pub fn lookup(&self) -> Arc<dyn CountryLookup> {
        match self {
            Self::Embedded => Arc::new(EmbeddedCountries),
            Self::File(file) => file.clone(),
        }
    }

    /// Reads the file again; when the new one is bad, the old one goes on serving.
    pub fn reload(&self) {
        let Self::File(file) = self else { return };
        match file.reload() {
            Ok(_) => tracing::info!(built = %file.built(), "the country file was reloaded"),
            Err(error) => {
                tracing::error!("the country file was not reloaded, the one before serves on: {error}");
            }
        }
    }
}
