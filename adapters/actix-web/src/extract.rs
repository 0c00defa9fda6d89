use std::fmt;
use std::future::{Ready, ready};
use std::ops::Deref;

use actix_web::dev::Payload;
use actix_web::http::header::ACCEPT_LANGUAGE;
use actix_web::{FromRequest, HttpMessage as _, HttpRequest};
use privet::{ConsentCategory, Error};

use crate::head::Opened;
use crate::reply::Rejection;

fn opened(request: &HttpRequest) -> Result<Opened, Rejection> {
    request.extensions().get::<Opened>().cloned().ok_or_else(Rejection::missing)
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

        impl FromRequest for $name {
            type Error = Rejection;
            type Future = Ready<Result<Self, Rejection>>;

            fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
                ready(opened(request).map(|opened| {
                    let $visit = opened.visit;
                    Self($take)
                }))
            }
        }
    };
}

extractor! {
    /// This request's privacy context.
    Visit(privet::Visit) = |visit| visit
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

impl<C: ConsentCategory> FromRequest for Granted<C> {
    type Error = Rejection;
    type Future = Ready<Result<Self, Rejection>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let opened = match opened(request) {
            Ok(opened) => opened,
            Err(rejection) => return ready(Err(rejection)),
        };
        ready(match opened.visit.granted::<C>() {
            Ok(granted) => Ok(Self(granted)),
            Err(error @ Error::NotGranted { .. }) => Err(error.into()),
            Err(error) => {
                // `Option<Granted<C>>` would make a `None` of it.
                let told = opened.visit.granted::<C>().err();
                *opened.failed.borrow_mut() = told;
                Err(error.into())
            }
        })
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

impl FromRequest for Banner {
    type Error = Rejection;
    type Future = Ready<Result<Self, Rejection>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(opened(request).map(|opened| {
            let accepted = request.headers().get(ACCEPT_LANGUAGE).and_then(|h| h.to_str().ok());
            let page = request.uri().path_and_query().map_or("/", |p| p.as_str());
            Self(privet_web::Banner::render(&opened.visit, accepted, page))
        }))
    }
}

/// That a request does not come from another site: for the app's own routes that change something. A browser always
/// tells; a client that is no browser, and tells nothing, carries nobody's cookies and passes.
///
/// privet's own routes are stricter: they take only what says that it comes from the site.
#[derive(Clone, Copy, Debug)]
pub struct SameOrigin;

impl FromRequest for SameOrigin {
    type Error = Rejection;
    type Future = Ready<Result<Self, Rejection>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let headers = request.headers().iter().map(|(n, v)| (n.as_str(), v.as_bytes()));
        ready(opened(request).and_then(|opened| {
            match privet_web::SameOrigin::judge(headers, opened.visit.public_origins()) {
                privet_web::SameOrigin::No => Err(Rejection::CrossSite),
                _ => Ok(Self),
            }
        }))
    }
}
