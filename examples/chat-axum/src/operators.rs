//! The contact list, for operators only.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequestParts, Path, Query, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use chat_shop::{ListRequest, PERSONAL, Shop, is_json, problem};
use privet_axum::Rejection;

use crate::chat::{bad_request, header_text};

/// That an operator asks.
pub(crate) struct Operator;

impl FromRequestParts<Shop> for Operator {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, shop: &Shop) -> Result<Self, Response> {
        if shop.admits(parts.headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes)) {
            return Ok(Self);
        }
        let said = Json(problem(401, "For operators only."));
        Err((StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer")], said).into_response())
    }
}

/// `GET /contacts`
pub(crate) async fn contacts(
    _: Operator,
    State(shop): State<Shop>,
    asked: Result<Query<ListRequest>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Rejection> {
    let Ok(Query(asked)) = asked else { return Ok(bad_request(ListRequest::EXPECTED)) };
    let list = shop.contacts(asked).await?;
    let answer = if is_json(header_text(&headers, header::ACCEPT)) {
        Json(list).into_response()
    } else {
        Html(list.html()?).into_response()
    };
    Ok(([(header::CACHE_CONTROL, PERSONAL)], answer).into_response())
}

/// `DELETE /contacts/{id}`
pub(crate) async fn erase(
    _: Operator,
    State(shop): State<Shop>,
    Path(id): Path<String>,
) -> Result<Response, Rejection> {
    Ok(Json(shop.erase(&id).await?).into_response())
}
