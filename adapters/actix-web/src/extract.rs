//! Extractors: the types of `privet`, for handlers.

use std::future::{Ready, ready};

use actix_web::body::BoxBody;
use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::{FromRequest, HttpMessage as _, HttpRequest, HttpResponse, Responder, ResponseError};
use privet::ConsentCategory;
use privet_web::{Extract, Incoming, Reply};

use crate::head::Head;
use crate::reply::{into_response, status_code};

pub(crate) const MISSING: &str = "privet is not around this route. Add `.wrap(PrivetMiddleware::new(privet))` to the `App`, as the last `wrap`.";

/// An answer that must not end as the `None` that actix-web makes of a failed extractor: the middleware gives it.
pub(crate) struct Insisted(pub(crate) Reply);

fn take<T: Extract>(request: &HttpRequest) -> Result<T, Rejection> {
    let taken = match request.extensions().get() {
        Some(visit) => {
            let page = request.uri().path_and_query().map_or("/", |p| p.as_str());
            T::extract(&Incoming { visit, head: &Head(request), page })
        }
        None => Err(privet_web::Rejection::missing(MISSING)),
    };
    taken.map_err(|rejection| {
        if !rejection.is_not_granted() {
            request.extensions_mut().insert(Insisted(rejection.reply()));
        }
        Rejection(rejection)
    })
}

macro_rules! extractor {
    ($name:ident $(<$category:ident>)?) => {
        impl $(<$category: ConsentCategory>)? FromRequest for $name $(<$category>)? {
            type Error = Rejection;
            type Future = Ready<Result<Self, Rejection>>;

            fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
                ready(take(request))
            }
        }
    };
}

macro_rules! answer {
    (Rejection) => {
        impl ResponseError for Rejection {
            fn status_code(&self) -> StatusCode {
                status_code(&self.reply())
            }

            fn error_response(&self) -> HttpResponse {
                into_response(self.reply())
            }
        }
    };
    ($name:ident) => {
        impl Responder for $name {
            type Body = BoxBody;

            fn respond_to(self, _: &HttpRequest) -> HttpResponse {
                into_response(self.reply())
            }
        }
    };
}

privet_web::extractors!(extractor, answer);
