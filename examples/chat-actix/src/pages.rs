//! The pages of the shop.

use actix_web::cookie::Cookie;
use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ContentType};
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use chat_shop::{Asset, CSP, Shop, View};
use privet::Analytics;
use privet_actix_web::{Banner, Consent, Granted, Rejection, Visitor};

fn page(status: StatusCode, html: String) -> HttpResponse {
    HttpResponse::build(status)
        .insert_header((CONTENT_SECURITY_POLICY, CSP))
        .content_type(ContentType::html())
        .body(html)
}

/// `GET /`
pub(crate) async fn home(
    shop: Data<Shop>,
    visitor: Visitor,
    consent: Consent,
    banner: Banner,
) -> Result<HttpResponse, Rejection> {
    let view = View { visitor: &visitor, consent: &consent, banner: banner.as_str() };
    Ok(page(StatusCode::OK, shop.home(view).await?))
}

/// `GET /articles/{slug}`
pub(crate) async fn article(
    shop: Data<Shop>,
    slug: Path<String>,
    visitor: Visitor,
    consent: Consent,
    counting: Option<Granted<Analytics>>,
    request: HttpRequest,
    banner: Banner,
) -> Result<HttpResponse, Rejection> {
    let view = View { visitor: &visitor, consent: &consent, banner: banner.as_str() };
    // privet lets through what the visitor allows.
    let reader = request.cookie("reader");
    let reader = reader.as_ref().map(Cookie::value);
    match shop.article(&slug, view, counting.as_deref(), reader).await? {
        Some(html) => Ok(page(StatusCode::OK, html)),
        None => Ok(page(StatusCode::NOT_FOUND, shop.not_found(view).await?)),
    }
}

pub(crate) async fn not_found(
    shop: Data<Shop>,
    visitor: Visitor,
    consent: Consent,
    banner: Banner,
) -> Result<HttpResponse, Rejection> {
    let view = View { visitor: &visitor, consent: &consent, banner: banner.as_str() };
    Ok(page(StatusCode::NOT_FOUND, shop.not_found(view).await?))
}

/// `GET /shop.css`, `GET /chat.js`
pub(crate) async fn asset(asset: Asset) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, asset.content_type))
        .insert_header((CACHE_CONTROL, Asset::CACHE_CONTROL))
        .body(asset.content)
}
