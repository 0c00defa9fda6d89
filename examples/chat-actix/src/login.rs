//! Operators sign in and out.

use actix_web::cookie::Cookie;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Form};
use actix_web::{Error, HttpRequest, HttpResponse};
use chat_shop::{COOKIE, Credentials, Shop, Told};
use privet_actix_web::{Rejection, SameOrigin, Visit};

use crate::chat::bad_request;

fn response(told: Told) -> HttpResponse {
    let status = StatusCode::from_u16(told.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = HttpResponse::build(status);
    for header in told.headers {
        response.insert_header(header);
    }
    response.body(told.body)
}

fn session(request: &HttpRequest) -> Option<Cookie<'static>> {
    request.cookie(COOKIE)
}

/// `GET /login`
pub(crate) async fn page(shop: Data<Shop>, visit: Visit) -> Result<HttpResponse, Rejection> {
    Ok(response(shop.login(&visit)?))
}

/// `POST /login`. The address is the one that privet shows, which tells visitors apart and names none.
pub(crate) async fn log_in(
    shop: Data<Shop>,
    _: SameOrigin,
    visit: Visit,
    request: HttpRequest,
    sent: Result<Form<Credentials>, Error>,
) -> Result<HttpResponse, Rejection> {
    let (Ok(Form(sent)), Some(from)) = (sent, request.peer_addr()) else {
        return Ok(bad_request(Credentials::EXPECTED));
    };
    let old = session(&request);
    Ok(response(shop.log_in(&visit, sent, from.ip(), old.as_ref().map(Cookie::value)).await?))
}

/// `POST /logout`
pub(crate) async fn log_out(shop: Data<Shop>, _: SameOrigin, request: HttpRequest) -> HttpResponse {
    response(shop.log_out(session(&request).as_ref().map(Cookie::value)))
}
