//! Answers of privet's own as responses of actix-web.

use std::fmt;

use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use actix_web::{HttpResponse, ResponseError};
use privet::Error;
use privet_web::Reply;

pub(crate) fn plain(status: u16, text: String) -> HttpResponse {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    HttpResponse::build(status)
        .insert_header((CONTENT_TYPE, "text/plain; charset=utf-8"))
        .insert_header((CACHE_CONTROL, "no-store"))
        .body(text)
}

pub(crate) fn into_response(reply: Reply) -> HttpResponse {
    let privet_web::Body::Full(body) = reply.body else {
        return plain(500, "Something went wrong.".to_owned());
    };
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = HttpResponse::with_body(status, actix_web::body::BoxBody::new(body));
    for (name, value) in reply.headers {
        if let Ok(value) = HeaderValue::try_from(value) {
            response.headers_mut().append(HeaderName::from_static(name), value);
        }
    }
    response
}

/// Why an extractor gave nothing, and what a handler may end with: it turns every [`privet::Error`] into an answer
/// that tells the visitor nothing of the inside.
///
/// ```
/// use privet::Analytics;
/// use privet_actix_web::{Granted, Rejection};
///
/// async fn count(granted: Granted<Analytics>) -> Result<&'static str, Rejection> {
///     granted.set_cookie("visits", "1")?;
///     Ok("counted")
/// }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum Rejection {
    /// No middleware of privet is around this route: a 500 that names the cure.
    MissingMiddleware,
    /// The request comes from another site: 403.
    CrossSite,
    /// Something else; see [`Reply::of_error`](privet_web::Reply::of_error).
    Failed(Error),
}

const MISSING: &str = "privet is not around this route. Add `.wrap(PrivetMiddleware::new(privet))` to the `App`, as the last `wrap`.";

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MissingMiddleware => f.write_str(MISSING),
            Self::CrossSite => f.write_str("this request did not come from this site"),
            Self::Failed(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Rejection {}

impl ResponseError for Rejection {
    fn status_code(&self) -> StatusCode {
        self.error_response().status()
    }

    fn error_response(&self) -> HttpResponse {
        match self {
            Self::MissingMiddleware => plain(500, MISSING.to_owned()),
            Self::CrossSite => plain(403, "This request did not come from this site.".to_owned()),
            Self::Failed(error) => into_response(Reply::of_error(error)),
        }
    }
}

impl From<Error> for Rejection {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl Rejection {
    pub(crate) fn missing() -> Self {
        tracing::error!("{MISSING}");
        Self::MissingMiddleware
    }
}
