//! The contact list, for operators only.

use std::fmt;

use askama::Template;
use axum::Json;
use axum::extract::{FromRequestParts, Path, Query, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use data_encoding::BASE64URL_NOPAD;
use privet::Scope;
use privet::contact::{Contact, ContactId, PageRequest};
use privet_axum::Rejection;
use serde::{Deserialize, Serialize};
use serde_json::json;
use subtle::ConstantTimeEq as _;

use crate::Shop;
use crate::chat::PERSONAL;

/// What an operator has to send as `Authorization: Bearer …`.
#[derive(Clone)]
pub struct OperatorToken(String);

impl fmt::Debug for OperatorToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OperatorToken(..)")
    }
}

impl OperatorToken {
    /// A token that somebody chose.
    #[must_use]
    pub fn new(token: String) -> Self {
        Self(token)
    }

    /// A fresh one, and its text, to be shown once.
    ///
    /// # Errors
    /// When the operating system gives no randomness.
    pub fn generate() -> Result<(Self, String), getrandom::Error> {
        let mut bytes = [0; 24];
        getrandom::fill(&mut bytes)?;
        let text = BASE64URL_NOPAD.encode(&bytes);
        Ok((Self(text.clone()), text))
    }

    fn admits(&self, headers: &HeaderMap) -> bool {
        let sent = headers.get(header::AUTHORIZATION).map(axum::http::HeaderValue::as_bytes);
        let token = sent.and_then(|s| s.strip_prefix(b"Bearer "));
        token.is_some_and(|t| bool::from(t.ct_eq(self.0.as_bytes())))
    }
}

/// That an operator asks.
pub(crate) struct Operator;

impl FromRequestParts<Shop> for Operator {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, shop: &Shop) -> Result<Self, Response> {
        if shop.operators.admits(&parts.headers) {
            return Ok(Self);
        }
        let said = Json(json!({ "title": "For operators only.", "status": 401 }));
        Err((StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer")], said).into_response())
    }
}

/// A contact as the list shows it, in this order.
#[derive(Serialize)]
struct Row {
    id: String,
    country: Option<String>,
    created: String,
    last_seen: String,
    conversations: u32,
}

impl From<&Contact> for Row {
    fn from(c: &Contact) -> Self {
        Self {
            id: c.id.to_string(),
            country: c.country.map(|code| code.to_string()),
            created: c.created.to_string(),
            last_seen: c.last_seen.to_string(),
            conversations: c.conversations,
        }
    }
}

#[derive(Template)]
#[template(path = "contacts.html")]
struct ContactsPage {
    contacts: Vec<Row>,
    next: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct Asked {
    after: Option<String>,
    limit: Option<u16>,
}

/// `GET /contacts`
pub(crate) async fn contacts(
    _: Operator,
    State(shop): State<Shop>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Result<Response, Rejection> {
    let mut request = PageRequest::first(asked.limit.unwrap_or(50));
    if let Some(after) = asked.after {
        request = request.after(after);
    }
    let page = shop.privet.contacts(&Scope::default(), &request).await?;
    let contacts: Vec<_> = page.contacts.iter().map(Row::from).collect();
    let accept = headers.get(header::ACCEPT).and_then(|h| h.to_str().ok()).unwrap_or_default();
    let answer = if accept.contains("application/json") {
        Json(json!({ "contacts": contacts, "next": page.next })).into_response()
    } else {
        match (ContactsPage { contacts, next: page.next }).render() {
            Ok(html) => Html(html).into_response(),
            Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        }
    };
    Ok((PERSONAL, answer).into_response())
}

/// `DELETE /contacts/{id}`
pub(crate) async fn erase(
    _: Operator,
    State(shop): State<Shop>,
    Path(id): Path<String>,
) -> Result<Response, Rejection> {
    let removed = shop.privet.erase_contact(&Scope::default(), id.parse::<ContactId>()?).await?;
    Ok(Json(json!({ "removed": removed })).into_response())
}
