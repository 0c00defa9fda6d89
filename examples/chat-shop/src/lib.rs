//! What the chat examples share: a small shop site with a chat widget, its catalogue, pages, texts and settings,
//! without a web framework. `chat-axum` and `chat-actix` put the same routes in front of it.
//!
//! `privet.toml` is the catalogue; [`Shop`] has what the handlers do.

mod articles;
mod assets;
mod chat;
mod countries;
mod login;
mod operators;
mod pages;
mod readers;
mod serve;
mod settings;
mod support;
pub mod walk;

use std::sync::Arc;

use privet::ip::CountryLookup;
use privet::{Catalogue, Clock, Privet, Storage};

pub use articles::{Article, Articles};
pub use assets::{Asset, SCRIPT, STYLE};
pub use chat::Sent;
pub use countries::Countries;
pub use login::{Accounts, COOKIE, Credentials, LOGIN, LOGOUT, OperatorDesk, Told};
pub use operators::{ContactList, ListRequest, OperatorToken};
pub use pages::View;
pub use readers::Readers;
pub use serve::{Failure, PATIENCE, Stop, run};
pub use settings::{Settings, USAGE};
pub use support::SupportDesk;

/// The catalogue of this site.
pub const CATALOGUE: &str = include_str!("../privet.toml");

/// The service of the catalogue that the chat belongs to.
const CHAT: &str = "webwidget";

/// The longest body that a route of the shop takes, in bytes.
pub const BODY_LIMIT: usize = 64 * 1024;

/// For answers about one person: kept by nobody.
pub const PERSONAL: &str = "private, no-store";

/// What pages of the shop may load: themselves.
pub const CSP: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// What the handlers share.
#[derive(Clone, Debug)]
pub struct Shop {
    /// The installation.
    pub privet: Privet,
    articles: Arc<Articles>,
    readers: Arc<Readers>,
    operators: OperatorToken,
    desk: OperatorDesk,
    support: Option<SupportDesk>,
}

impl Shop {
    /// A shop whose contacts are for those who know the operators' token, and whose messages to live support are
    /// forwarded to a desk, if there is one.
    ///
    /// # Errors
    /// What SQLite says, which indexes the articles.
    pub fn open(
        privet: Privet,
        operators: OperatorToken,
        support: Option<SupportDesk>,
    ) -> rusqlite::Result<Self> {
        let articles = Arc::new(Articles::load()?);
        let desk = OperatorDesk::new(Accounts::default());
        Ok(Self { privet, articles, readers: Arc::default(), operators, desk, support })
    }

    /// With operators who may sign in and work in the portal; without any, it is closed.
    #[must_use]
    pub fn with_accounts(self, accounts: Accounts) -> Self {
        Self { desk: OperatorDesk::new(accounts), ..self }
    }

    /// A shop that keeps everything in memory, for tests.
    ///
    /// # Errors
    /// As [`installation`] and [`open`](Self::open).
    pub async fn in_memory() -> Result<Self, Failure> {
        let (storage, countries) = (Storage::in_memory()?, Countries::Embedded.lookup());
        let privet =
            installation(CATALOGUE, &Settings::default(), storage, countries, privet::SystemClock).await?;
        let (operators, _) = OperatorToken::generate()?;
        Ok(Self::open(privet, operators, None)?)
    }

    /// Whether an `Authorization` header is an operator's.
    #[must_use]
    pub fn admits(&self, authorization: Option<&[u8]>) -> bool {
        authorization.is_some_and(|sent| self.operators.admits(sent))
    }
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

/// What a program is told of a request that went wrong.
#[must_use]
pub fn problem(status: u16, title: &str) -> serde_json::Value {
    serde_json::json!({ "title": title, "status": status })
}

/// Whether a `Content-Type` or an `Accept` header speaks of JSON and not of pages.
#[must_use]
pub fn is_json(header: Option<&str>) -> bool {
    let header = header.unwrap_or_default().to_ascii_lowercase();
    header.contains("application/json") && !header.contains("text/html")
}

/// Whether an `Accept` header asks for a page.
#[must_use]
pub fn is_page(accept: Option<&str>) -> bool {
    accept.unwrap_or_default().to_ascii_lowercase().starts_with("text/html")
}
