//! Extractors: the types of `privet`, for handlers.

use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::body::BoxBody;
use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::{FromRequest, HttpMessage as _, HttpRequest, HttpResponse, Responder, ResponseError};
use privet::ConsentCategory;
use privet_web::{Extract, Incoming};

use crate::head::Head;
use crate::reply::{into_response, status_code};

pub(crate) const MISSING: &str = "privet is not around this route. Add `.wrap(PrivetMiddleware::new(privet))` to the `App`, as the last `wrap`.";

fn take<T: Extract>(request: &HttpRequest) -> Result<T, Rejection> {
    let extensions = request.extensions();
    let Some(visit) = extensions.get() else {
        return Err(privet_web::Rejection::missing(MISSING).into());
    };
    let page = request.uri().path_and_query().map_or("/", |p| p.as_str());
    Ok(T::extract(&Incoming { visit, head: &Head(request), page })?)
}

/// What an extractor of privet waits for. It takes nothing before it is polled: actix-web makes the futures of all
/// arguments first, and what stands after one that fails must leave no trace.
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Taking<T> {
    request: Option<HttpRequest>,
    takes: PhantomData<fn() -> T>,
}

impl<T: Extract> Future for Taking<T> {
    type Output = Result<T, Rejection>;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        match self.request.take() {
            Some(request) => Poll::Ready(take(&request)),
            None => Poll::Pending,
        }
    }
}

macro_rules! extractor {
    ($name:ident $(<$category:ident>)?) => {
        impl $(<$category: ConsentCategory>)? FromRequest for $name $(<$category>)? {
            type Error = Rejection;
            type Future = Taking<Self>;

            fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
                Taking { request: Some(request.clone()), takes: PhantomData }
            }
        }
    };
}

macro_rules! answer {
    (Rejection) => {
        impl ResponseError for Rejection {
            fn status_code(&self) -> StatusCode {
                status_code(self.0.status())
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
