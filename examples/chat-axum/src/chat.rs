//! The chat: questions to the site's own search, and messages to live support.

use axum::Json;
use axum::extract::{FromRequest, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use privet::contact::{Author, Channel, Message, NewMessage, PageUrl, PageUrlPolicy};
use privet::{Contacts, Error};
use privet_axum::{Granted, Rejection, SameOrigin, Visitor};
use serde::Deserialize;
use serde_json::json;

use crate::{CHAT, Shop, pages};

/// For answers about one person: kept by nobody.
pub(crate) const PERSONAL: [(header::HeaderName, &str); 1] = [(header::CACHE_CONTROL, "private, no-store")];

/// What a visitor sends, as a form or as JSON.
#[derive(Debug, Deserialize)]
pub(crate) struct Sent {
    text: String,
    channel: Channel,
    #[serde(default)]
    page: String,
}

pub(crate) struct FormOrJson(Sent);

impl<S: Send + Sync> FromRequest<S> for FormOrJson {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        if is_json(request.headers()) {
            let Json(sent) = Json::from_request(request, state)
                .await
                .map_err(|_| bad_request("send {\"text\",\"channel\",\"page\"}"))?;
            Ok(Self(sent))
        } else {
            let axum::Form(sent) = axum::Form::from_request(request, state)
                .await
                .map_err(|_| bad_request("send text, channel and page"))?;
            Ok(Self(sent))
        }
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|h| h.to_str().ok()).unwrap_or_default();
    content_type.trim_start().to_ascii_lowercase().starts_with("application/json")
}

fn wants_json(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|h| h.to_str().ok()).unwrap_or_default();
    accept.contains("application/json") && !accept.contains("text/html")
}

fn bad_request(title: &str) -> Response {
    (StatusCode::BAD_REQUEST, Json(json!({ "title": title, "status": 400 }))).into_response()
}

/// `POST /chat/messages`
pub(crate) async fn send(
    State(shop): State<Shop>,
    _: SameOrigin,
    visitor: Visitor,
    headers: HeaderMap,
    FormOrJson(sent): FormOrJson,
) -> Result<Response, Rejection> {
    let json = is_json(&headers) || wants_json(&headers);
    let messages = answer(&shop, &visitor, &sent).await?;
    if json {
        return Ok(Json(json!({ "messages": messages })).into_response());
    }
    let back = PageUrl::minimise(&sent.page, &PageUrlPolicy::default());
    let back = back.as_ref().map(PageUrl::as_str).filter(|p| p.starts_with('/')).unwrap_or("/");
    Ok(Redirect::to(&format!("{back}#chat")).into_response())
}

async fn answer(shop: &Shop, visitor: &Visitor, sent: &Sent) -> privet::Result<Vec<Message>> {
    let page = PageUrl::minimise(&sent.page, &PageUrlPolicy::default());
    let asked = NewMessage::new(sent.channel, sent.text.as_str())?.page(page);
    let posted = visitor.post(CHAT, asked).await?;
    let reply = if sent.channel == Channel::LiveSupport {
        if let Some(desk) = &shop.support {
            desk.forward(visitor.visit(), &posted, "live-support", &sent.text).await;
        }
        "Thank you. A colleague will answer here as soon as possible.".to_owned()
    } else {
        let found = shop.articles.search(&sent.text).map_err(|e| Error::unavailable("search", e))?;
        match found.as_slice() {
            [] => "I found nothing about that in our articles. Live support may know more.".to_owned(),
            found => found
                .iter()
                .map(|a| format!("{}: {} /articles/{}", a.title, a.summary, a.slug))
                .collect::<Vec<_>>()
                .join("\n"),
        }
    };
    let reply = NewMessage::new(sent.channel, reply)?.author(Author::Assistant);
    let replied = visitor.post(CHAT, reply).await?;
    let messages = visitor.messages().await?;
    Ok(messages.into_iter().filter(|m| m.id == posted.message || m.id == replied.message).collect())
}

/// `GET /chat/messages`: what this visitor can read again.
pub(crate) async fn read(visitor: Visitor, headers: HeaderMap) -> Result<Response, Rejection> {
    let messages = visitor.messages().await?;
    let html = headers.get(header::ACCEPT).is_some_and(|a| a.as_bytes().starts_with(b"text/html"));
    let answer = if html {
        Html(pages::messages(&messages)).into_response()
    } else {
        Json(json!({ "messages": messages })).into_response()
    };
    Ok((PERSONAL, answer).into_response())
}

/// `POST /chat/keep`: the visitor says that what was written before the consent shall be kept with the contact.
pub(crate) async fn keep(
    _: SameOrigin,
    visitor: Visitor,
    granted: Granted<Contacts>,
) -> Result<Redirect, Rejection> {
    visitor.keep_conversations(&granted).await?;
    Ok(Redirect::to("/#chat"))
}
