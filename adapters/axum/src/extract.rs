//! Extractors: the types of `privet`, for handlers.

use axum_core::extract::{FromRequestParts, OptionalFromRequestParts};
use axum_core::response::{IntoResponse, Response};
use http::request::Parts;
use privet::ConsentCategory;
use privet_web::{Extract, Incoming};

use crate::head::{Head, Opened};
use crate::reply::into_response;

pub(crate) const MISSING: &str = "privet is not around this route. Serve `privet_axum::protect(app, &privet)`, or add `.layer(PrivetLayer::new(privet))` after the last route and the last layer.";

fn take<T: Extract>(parts: &Parts) -> Result<T, privet_web::Rejection> {
    let Some(Opened { visit, page }) = parts.extensions.get() else {
        return Err(privet_web::Rejection::missing(MISSING));
    };
    let page = page.as_ref().map_or("/", |p| p.as_str());
    T::extract(&Incoming { visit, head: &Head::of(parts), page })
}

macro_rules! extractor {
    ($name:ident $(<$category:ident>)?) => {
        impl<S: Send + Sync $(, $category: ConsentCategory)?> FromRequestParts<S> for $name $(<$category>)? {
            type Rejection = Rejection;

            async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Rejection> {
                Ok(take(parts)?)
            }
        }
    };
}

macro_rules! answer {
    ($name:ident) => {
        impl IntoResponse for $name {
            fn into_response(self) -> Response {
                into_response(self.reply())
            }
        }
    };
}

privet_web::extractors!(extractor, answer);

impl<S: Send + Sync, C: ConsentCategory> OptionalFromRequestParts<S> for Granted<C> {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Rejection> {
        match take(parts) {
            Ok(granted) => Ok(Some(granted)),
            Err(rejection) if rejection.is_not_granted() => Ok(None),
            Err(rejection) => Err(rejection.into()),
        }
    }
}
