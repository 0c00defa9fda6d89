//! The chat: questions to the site's own search, and messages to live support.

use actix_web::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, ContentType, HeaderName};
use actix_web::web::{Data, Form, Json, Redirect};
use actix_web::{Either, Error, HttpRequest, HttpResponse, Responder as _};
use chat_shop::{PERSONAL, Sent, Shop, is_json, is_page, problem};
use privet::Contacts;
use privet_actix_web::{Granted, Rejection, SameOrigin, Visitor};
use serde_json::json;

pub(crate) fn header_text(request: &HttpRequest, name: HeaderName) -> Option<&str> {
    request.headers().get(name).and_then(|value| value.to_str().ok())
}

pub(crate) fn bad_request(expected: &str) -> HttpResponse {
    HttpResponse::BadRequest().json(problem(400, expected))
}

/// `POST /chat/messages`
pub(crate) async fn send(
    shop: Data<Shop>,
    _: SameOrigin,
    visitor: Visitor,
    request: HttpRequest,
    sent: Result<Either<Json<Sent>, Form<Sent>>, Error>,
) -> Result<HttpResponse, Rejection> {
    let Ok(Either::Left(Json(sent)) | Either::Right(Form(sent))) = sent else {
        return Ok(bad_request(Sent::EXPECTED));
    };
    let messages = shop.answer(&visitor, &sent).await?;
    if [CONTENT_TYPE, ACCEPT].into_iter().any(|name| is_json(header_text(&request, name))) {
        return Ok(HttpResponse::Ok().json(json!({ "messages": messages })));
    }
    Ok(Redirect::to(sent.back()).see_other().respond_to(&request).map_into_boxed_body())
}

/// `GET /chat/messages`: what this visitor can read again.
pub(crate) async fn read(
    shop: Data<Shop>,
    visitor: Visitor,
    request: HttpRequest,
) -> Result<HttpResponse, Rejection> {
    let messages = visitor.messages().await?;
    let mut answer = HttpResponse::Ok();
    answer.insert_header((CACHE_CONTROL, PERSONAL));
    Ok(if is_page(header_text(&request, ACCEPT)) {
        answer.content_type(ContentType::html()).body(shop.messages(&messages)?)
    } else {
        answer.json(json!({ "messages": messages }))
    })
}

/// `POST /chat/keep`: the visitor says that what was written before the consent shall be kept with the contact.
pub(crate) async fn keep(
    _: SameOrigin,
    visitor: Visitor,
    granted: Granted<Contacts>,
) -> Result<Redirect, Rejection> {
    visitor.keep_conversations(&granted).await?;
    Ok(Redirect::to("/#chat").see_other())
}
