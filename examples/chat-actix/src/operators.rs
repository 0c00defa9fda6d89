//! The contact list, for operators only.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::error::InternalError;
use actix_web::http::header::{
    ACCEPT, AUTHORIZATION, CACHE_CONTROL, ContentType, HeaderValue, WWW_AUTHENTICATE,
};
use actix_web::web::{Data, Path, Query};
use actix_web::{Error, FromRequest, HttpRequest, HttpResponse};
use chat_shop::{ListRequest, PERSONAL, Shop, is_json, problem};
use privet_actix_web::Rejection;

use crate::chat::{bad_request, header_text};

/// That an operator asks.
pub(crate) struct Operator;

impl FromRequest for Operator {
    type Error = Error;
    type Future = Ready<Result<Self, Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let sent = request.headers().get(AUTHORIZATION).map(HeaderValue::as_bytes);
        if request.app_data::<Data<Shop>>().is_some_and(|shop| shop.admits(sent)) {
            return ready(Ok(Self));
        }
        let said = "For operators only.";
        let answer =
            HttpResponse::Unauthorized().insert_header((WWW_AUTHENTICATE, "Bearer")).json(problem(401, said));
        ready(Err(InternalError::from_response(said, answer).into()))
    }
}

/// `GET /contacts`
pub(crate) async fn contacts(
    _: Operator,
    shop: Data<Shop>,
    asked: Result<Query<ListRequest>, Error>,
    request: HttpRequest,
) -> Result<HttpResponse, Rejection> {
    let Ok(Query(asked)) = asked else { return Ok(bad_request(ListRequest::EXPECTED)) };
    let list = shop.contacts(asked).await?;
    let mut answer = HttpResponse::Ok();
    answer.insert_header((CACHE_CONTROL, PERSONAL));
    Ok(if is_json(header_text(&request, ACCEPT)) {
        answer.json(list)
    } else {
        answer.content_type(ContentType::html()).body(list.html()?)
    })
}

/// `DELETE /contacts/{id}`
pub(crate) async fn erase(
    _: Operator,
    shop: Data<Shop>,
    id: Path<String>,
) -> Result<HttpResponse, Rejection> {
    Ok(HttpResponse::Ok().json(shop.erase(&id).await?))
}
