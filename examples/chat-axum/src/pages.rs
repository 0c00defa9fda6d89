//! The pages of the shop.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use chat_shop::{Asset, CSP, Shop, View};
use privet::Analytics;
use privet_axum::{Banner, Consent, Granted, Rejection, Visitor};

fn page(status: StatusCode, html: String) -> Response {
    (status, [(header::CONTENT_SECURITY_POLICY, CSP)], Html(html)).into_response()
}

/// `GET /`
pub(crate) async fn home(
    State(shop): State<Shop>,
    visitor: Visitor,
    consent: Consent,
    banner: Banner,
) -> Result<Response, Rejection> {
    let view = View { visitor: &visitor, consent: &consent, banner: banner.as_str() };
    Ok(page(StatusCode::OK, shop.home(view).await?))
}

/// `GET /articles/{slug}`
pub(crate) async fn article(
    State(shop): State<Shop>,
    Path(slug): Path<String>,
    visitor: Visitor,
    consent: Consent,
    counting: Option<Granted<Analytics>>,
    headers: HeaderMap,
    banner: Banner,
) -> Result<Response, Rejection> {
    let view = View { visitor: &visitor, consent: &consent, banner: banner.as_str() };
    match shop.article(&slug, view, counting.as_deref(), cookie(&headers, "reader")).await? {
        Some(html) => Ok(page(StatusCode::OK, html)),
        None => Ok(page(StatusCode::NOT_FOUND, shop.not_found(view).await?)),
    }
}

/// A cookie; privet lets through what the visitor allows.
pub(crate) fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let line = headers.get(header::COOKIE)?.to_str().ok()?;
    line.split(';').find_map(|pair| pair.trim().strip_prefix(name)?.strip_prefix('='))
}

pub(crate) async fn not_found(
    State(shop): State<Shop>,
    visitor: Visitor,
    consent: Consent,
    banner: Banner,
) -> Result<Response, Rejection> {
    let view = View { visitor: &visitor, consent: &consent, banner: banner.as_str() };
    Ok(page(StatusCode::NOT_FOUND, shop.not_found(view).await?))
}

/// `GET /shop.css`, `GET /chat.js`
pub(crate) async fn asset(asset: Asset) -> Response {
    let headers = [(header::CONTENT_TYPE, asset.content_type), (header::CACHE_CONTROL, Asset::CACHE_CONTROL)];
    (headers, asset.content).into_response()
}
