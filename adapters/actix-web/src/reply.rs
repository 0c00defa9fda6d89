//! Answers of privet's own as responses of actix-web.

use actix_web::HttpResponse;
use actix_web::body::{BodyStream, BoxBody};
use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderName, HeaderValue};
use privet_web::Reply;

pub(crate) fn status_code(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

pub(crate) fn into_response(reply: Reply) -> HttpResponse {
    let status = status_code(reply.status);
    let body = match reply.body {
        privet_web::Body::Full(body) => BoxBody::new(body),
        privet_web::Body::Stream(pieces) => BoxBody::new(BodyStream::new(pieces)),
        _ => return into_response(Reply::plain(500, "Something went wrong.")),
    };
    let mut response = HttpResponse::with_body(status, body);
    for (name, value) in reply.headers {
        if let Ok(value) = HeaderValue::try_from(value) {
            response.headers_mut().append(HeaderName::from_static(name), value);
        }
    }
    response
}
