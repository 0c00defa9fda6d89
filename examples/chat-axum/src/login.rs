//! Operators sign in and out.

use std::net::SocketAddr;

use axum::Form;
use axum::extract::rejection::FormRejection;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use chat_shop::{COOKIE, Credentials, Shop, Told};
use privet_axum::{Rejection, SameOrigin, Visit};

use crate::chat::bad_request;
use crate::pages::cookie;

fn response(told: Told) -> Response {
    let status = StatusCode::from_u16(told.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, told.body).into_response();
    for (name, value) in told.headers {
        if let Ok(value) = HeaderValue::try_from(value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// `GET /login`
pub(crate) async fn page(State(shop): State<Shop>, visit: Visit) -> Result<Response, Rejection> {
    Ok(response(shop.login(&visit)?))
}

/// `POST /login`. The address is the one that privet shows, which tells visitors apart and names none.
pub(crate) async fn log_in(
    State(shop): State<Shop>,
    _: SameOrigin,
    visit: Visit,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    sent: Result<Form<Credentials>, FormRejection>,
) -> Result<Response, Rejection> {
    let Ok(Form(sent)) = sent else { return Ok(bad_request(Credentials::EXPECTED)) };
    Ok(response(shop.log_in(&visit, sent, from.ip(), cookie(&headers, COOKIE)).await?))
}

/// `POST /logout`
pub(crate) async fn log_out(State(shop): State<Shop>, _: SameOrigin, headers: HeaderMap) -> Response {
    response(shop.log_out(cookie(&headers, COOKIE)))
}
