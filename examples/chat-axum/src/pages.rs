//! The pages of the shop.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use askama::Template;
use axum::extract::{Path, State};
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use privet::contact::{Author, Message};
use privet::{Analytics, catalogue::category_id};
use privet_axum::{Banner, Consent, Granted, Rejection, Visitor};

use crate::articles::Article;
use crate::{CHAT, Shop};

/// Readers per article: a number, and nothing about who they were.
#[derive(Debug, Default)]
pub struct Readers(Mutex<BTreeMap<String, u64>>);

impl Readers {
    fn count(&self, slug: &str) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(slug).copied().unwrap_or(0)
    }

    /// Counts a visitor who allows it, once a month per article.
    fn note(&self, slug: &str, seen: Option<&str>, granted: &Granted<Analytics>) {
        let mut counted: Vec<_> = seen.unwrap_or_default().split('.').filter(|s| !s.is_empty()).collect();
        if counted.contains(&slug) {
            return;
        }
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(slug.to_owned()).or_default() += 1;
        counted.push(slug);
        if let Err(error) = granted.set_cookie("reader", &counted.join(".")) {
            tracing::error!("{error}");
        }
    }
}

/// What every page has around its own part.
struct Frame {
    chat: String,
    banner: String,
}

#[derive(Template)]
#[template(path = "home.html")]
struct HomePage<'a> {
    frame: Frame,
    articles: &'a [Article],
}

#[derive(Template)]
#[template(path = "article.html")]
struct ArticlePage<'a> {
    frame: Frame,
    article: &'a Article,
    readers: u64,
}

#[derive(Template)]
#[template(path = "not_found.html")]
struct NotFoundPage {
    frame: Frame,
}

#[derive(Template)]
#[template(path = "chat.html")]
struct ChatWidget<'a> {
    page: &'a str,
    open: bool,
    can_keep: bool,
    messages: String,
}

#[derive(Template)]
#[template(path = "messages.html")]
struct Messages<'a> {
    messages: &'a [Message],
}

fn is_visitors(message: &Message) -> bool {
    message.author == Author::Visitor
}

pub(crate) fn messages(messages: &[Message]) -> String {
    (Messages { messages }).render().unwrap_or_default()
}

/// What pages of the shop may load: themselves.
const CSP: (HeaderName, &str) = (
    header::CONTENT_SECURITY_POLICY,
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
);

fn page(status: StatusCode, html: askama::Result<String>) -> Response {
    match html {
        Ok(html) => (status, [CSP], Html(html)).into_response(),
        Err(error) => {
            tracing::error!("a page could not be rendered: {error}");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

async fn frame(visitor: &Visitor, consent: &Consent, banner: &Banner, page: &str) -> privet::Result<Frame> {
    let said = visitor.messages().await?;
    let chat = ChatWidget {
        page,
        open: !said.is_empty(),
        // What was written under this visit can be kept once contacts are granted, if the visitor says so.
        can_keep: consent.allows(category_id::CONTACTS)
            && visitor.contact().is_none()
            && visitor.visit().is_active(CHAT),
        messages: messages(&said),
    };
    Ok(Frame { chat: chat.render().unwrap_or_default(), banner: banner.to_string() })
}

/// `GET /`
pub(crate) async fn home(
    State(shop): State<Shop>,
    visitor: Visitor,
    consent: Consent,
    banner: Banner,
) -> Result<Response, Rejection> {
    let frame = frame(&visitor, &consent, &banner, "/").await?;
    Ok(page(StatusCode::OK, HomePage { frame, articles: shop.articles.all() }.render()))
}

/// `GET /articles/{slug}`
pub(crate) async fn article(
    State(shop): State<Shop>,
    Path(slug): Path<String>,
    visitor: Visitor,
    consent: Consent,
    counting: Option<Granted<Analytics>>,
    headers: axum::http::HeaderMap,
    banner: Banner,
) -> Result<Response, Rejection> {
    let Some(article) = shop.articles.get(&slug) else { return not_found(visitor, consent, banner).await };
    if let Some(granted) = counting {
        shop.readers.note(article.slug, reader_cookie(&headers), &granted);
    }
    let path = format!("/articles/{}", article.slug);
    let frame = frame(&visitor, &consent, &banner, &path).await?;
    let readers = shop.readers.count(article.slug);
    Ok(page(StatusCode::OK, ArticlePage { frame, article, readers }.render()))
}

/// privet lets this through only for visitors who granted statistics.
fn reader_cookie(headers: &axum::http::HeaderMap) -> Option<&str> {
    let line = headers.get(header::COOKIE)?.to_str().ok()?;
    line.split(';').find_map(|pair| pair.trim().strip_prefix("reader="))
}

pub(crate) async fn not_found(
    visitor: Visitor,
    consent: Consent,
    banner: Banner,
) -> Result<Response, Rejection> {
    let frame = frame(&visitor, &consent, &banner, "/").await?;
    Ok(page(StatusCode::NOT_FOUND, NotFoundPage { frame }.render()))
}

fn asset(content_type: &'static str, content: &'static str) -> Response {
    ([(header::CONTENT_TYPE, content_type), (header::CACHE_CONTROL, "public, max-age=300")], content)
        .into_response()
}

/// `GET /shop.css`
pub(crate) async fn style() -> Response {
    asset("text/css; charset=utf-8", include_str!("../assets/shop.css"))
}

/// `GET /chat.js`
pub(crate) async fn script() -> Response {
    asset("text/javascript; charset=utf-8", include_str!("../assets/chat.js"))
}
