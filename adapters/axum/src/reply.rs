//! Answers of privet's own as responses of axum.

use axum_core::body::Body;
use axum_core::response::Response;
use http::{HeaderName, HeaderValue, StatusCode};
use privet_web::Reply;

pub(crate) fn into_response(reply: Reply) -> Response {
    let body = match reply.body {
        privet_web::Body::Full(body) => Body::from(body),
        privet_web::Body::Stream(pieces) => Body::from_stream(pieces),
        _ => return into_response(Reply::plain(500, "Something went wrong.")),
    };
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in reply.headers {
        if let Ok(value) = HeaderValue::try_from(value) {
            response.headers_mut().append(HeaderName::from_static(name), value);
        }
    }
    response
}
