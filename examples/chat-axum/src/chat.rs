//! The chat: questions to the site's own search, and messages to live support.

use axum::Json;
use axum::extract::{FromRequest, Request, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use chat_shop::{PERSONAL, Sent, Shop, is_json, is_page, problem};
use privet::Contacts;
use privet_axum::{Granted, Rejection, SameOrigin, Visitor};
use serde_json::json;

pub(crate) fn header_text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

pub(crate) fn bad_request(expected: &str) -> Response {
    (StatusCode::BAD_REQUEST, Json(problem(400, expected))).into_response()
}

/// What a visitor sends, as a form or as JSON.
pub(crate) struct FormOrJson(Sent);

impl<S: Send + Sync> FromRequest<S> for FormOrJson {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let sent = if is_json(header_text(request.headers(), header::CONTENT_TYPE)) {
            Json::from_request(request, state).await.ok().map(|Json(sent)| sent)
        } else {
            axum::Form::from_request(request, state).await.ok().map(|axum::Form(sent)| sent)
        };
        sent.map(Self).ok_or_else(|| bad_request(Sent::EXPECTED))
    }
}

/// `POST /chat/messages`
pub(crate) async fn send(
    State(shop): State<Shop>,
    _: SameOrigin,
    visitor: Visitor,
    headers: HeaderMap,
    FormOrJson(sent): FormOrJson,
) -> Result<Response, Rejection> {
    let messages = shop.answer(&visitor, &sent).await?;
    if [header::CONTENT_TYPE, header::ACCEPT].into_iter().any(|name| is_json(header_text(&headers, name))) {
        return Ok(Json(json!({ "messages": messages })).into_response());
    }
    Ok(Redirect::to(&sent.back()).into_response())
}

/// `GET /chat/messages`: what this visitor can read again.
pub(crate) async fn read(
    State(shop): State<Shop>,
    visitor: Visitor,
    headers: HeaderMap,
) -> Result<Response, Rejection> {
    let messages = visitor.messages().await?;
    let answer = if is_page(header_text(&headers, header::ACCEPT)) {
        Html(shop.messages(&messages)?).into_response()
    } else {
        Json(json!({ "messages": messages })).into_response()
    };
    Ok(([(header::CACHE_CONTROL, PERSONAL)], answer).into_response())
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
