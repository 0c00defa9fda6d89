//! Extractors: the types of `privet`, for handlers.

use std::convert::Infallible;
use std::fmt;
use std::ops::Deref;

use axum_core::extract::{FromRequestParts, OptionalFromRequestParts};
use axum_core::response::{IntoResponse, Response};
use http::header::ACCEPT_LANGUAGE;
use http::request::Parts;
use privet::{ConsentCategory, Error};

use crate::head::Opened;
use crate::rejection::Rejection;

fn opened(parts: &Parts) -> Result<&Opened, Rejection> {
    parts.extensions.get::<Opened>().ok_or(Rejection::MissingLayer)
}

fn visit(parts: &Parts) -> Result<&privet::Visit, Rejection> {
    opened(parts).map(|opened| &opened.visit)
}

macro_rules! extractor {
    ($(#[$doc:meta])* $name:ident($inner:ty) = |$visit:ident| $take:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $name(pub $inner);

        impl Deref for $name {
            type Target = $inner;
            fn deref(&self) -> &Self::Target {
                &self.0
            }
        }

        impl<S: Send + Sync> FromRequestParts<S> for $name {
            type Rejection = Rejection;

            async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Rejection> {
                let $visit = visit(parts)?;
                Ok(Self($take))
            }
        }
    };
}

extractor! {
    /// This request's privacy context.
    Visit(privet::Visit) = |visit| visit.clone()
}

extractor! {
    /// What the visitor decided. Taking it makes the response private to the visitor.
    Consent(privet::Consent) = |visit| visit.consent()
}

extractor! {
    /// Whom the site knows the visitor as.
    Visitor(privet::Visitor) = |visit| visit.visitor()
}

extractor! {
    /// The country that the visitor is likely in. It is looked up when it is taken, and kept nowhere.
    Country(privet::Country) = |visit| visit.country()
}

/// That the visitor grants a category. Without it the answer is 403; take `Option<Granted<C>>` for what also works
/// without. A category that the catalogue does not have is a 500 that names the cure, in both.
pub struct Granted<C>(pub privet::Granted<C>);

impl<C> Clone for Granted<C> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<C: ConsentCategory> fmt::Debug for Granted<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<C> Deref for Granted<C> {
    type Target = privet::Granted<C>;
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<S: Send + Sync, C: ConsentCategory> FromRequestParts<S> for Granted<C> {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Rejection> {
        Ok(Self(visit(parts)?.granted::<C>()?))
    }
}

impl<S: Send + Sync, C: ConsentCategory> OptionalFromRequestParts<S> for Granted<C> {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Rejection> {
        match visit(parts)?.granted::<C>() {
            Ok(granted) => Ok(Some(Self(granted))),
            Err(Error::NotGranted { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// The banner, for one line of a template: it displays as safe HTML. A decision made without script comes back to the
/// page it was shown on.
#[derive(Clone, Debug)]
pub struct Banner(pub privet_web::Banner);

impl Deref for Banner {
    type Target = privet_web::Banner;
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl fmt::Display for Banner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Banner {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Rejection> {
        let Opened { visit, page } = opened(parts)?;
        let accepted = parts.headers.get(ACCEPT_LANGUAGE).and_then(|h| h.to_str().ok());
        let page = page.as_ref().map_or("/", |p| p.as_str());
        Ok(Self(privet_web::Banner::render(visit, accepted, page)))
    }
}

impl IntoResponse for Banner {
    fn into_response(self) -> Response {
        let html = [("content-type", "text/html; charset=utf-8")];
        (html, self.0.as_str().to_owned()).into_response()
    }
}

/// That a request does not come from another site: for the app's own routes that change something. A browser always
/// tells; a client that is no browser, and tells nothing, carries nobody's cookies and passes.
///
/// privet's own routes are stricter: they take only what says that it comes from the site.
#[derive(Clone, Copy, Debug)]
pub struct SameOrigin;

impl<S: Send + Sync> FromRequestParts<S> for SameOrigin {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Rejection> {
        let origins = visit(parts)?.public_origins();
        let headers = parts.headers.iter().map(|(n, v)| (n.as_str(), v.as_bytes()));
        match privet_web::SameOrigin::judge(headers, origins) {
            privet_web::SameOrigin::No => Err(Rejection::CrossSite),
            _ => Ok(Self),
        }
    }
}

/// For handlers that put an extractor behind one that cannot fail.
impl From<Infallible> for Rejection {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}
