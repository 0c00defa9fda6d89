//! What handlers take, once for all frameworks.

use privet::visit::RequestHead;
use privet::{Consent, ConsentCategory, Country, Granted, Visit, Visitor};

use crate::banner::Banner;
use crate::origin::SameOrigin;
use crate::rejection::Rejection;

/// A request as an extractor sees it.
#[derive(Clone, Copy)]
pub struct Incoming<'r> {
    /// The visit that was opened when the request came.
    pub visit: &'r Visit,
    /// The head, as handlers see it.
    pub head: &'r dyn RequestHead,
    /// Path and query as the client asked for them, also where a nested router sees only the rest of it.
    pub page: &'r str,
}

impl std::fmt::Debug for Incoming<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Incoming").field("visit", self.visit).finish_non_exhaustive()
    }
}

impl Incoming<'_> {
    /// A header that stands once and is text, by its name in lower case.
    fn header(&self, name: &str) -> Option<&str> {
        let mut found = None;
        let mut lines = 0;
        self.head.headers(&mut |n, value| {
            if n == name {
                lines += 1;
                found = std::str::from_utf8(value).ok();
            }
        });
        found.filter(|_| lines == 1)
    }
}

/// What can be taken from a request that privet has seen. [`extractors!`](crate::extractors) gives an adapter a type of
/// its own for each.
pub trait Extract: Sized {
    /// Takes it.
    ///
    /// # Errors
    /// Why it is not to be had, with the answer that is due.
    fn extract(from: &Incoming<'_>) -> Result<Self, Rejection>;
}

impl Extract for Visit {
    fn extract(from: &Incoming<'_>) -> Result<Self, Rejection> {
        Ok(from.visit.clone())
    }
}

impl Extract for Consent {
    fn extract(from: &Incoming<'_>) -> Result<Self, Rejection> {
        Ok(from.visit.consent())
    }
}

impl Extract for Visitor {
    fn extract(from: &Incoming<'_>) -> Result<Self, Rejection> {
        Ok(from.visit.visitor())
    }
}

impl Extract for Country {
    fn extract(from: &Incoming<'_>) -> Result<Self, Rejection> {
        Ok(from.visit.country())
    }
}

impl<C: ConsentCategory> Extract for Granted<C> {
    fn extract(from: &Incoming<'_>) -> Result<Self, Rejection> {
        from.visit.granted().map_err(|error| {
            if error.is_misuse() {
                from.visit.insist(error.to_string());
            }
            error.into()
        })
    }
}

impl Extract for Banner {
    fn extract(from: &Incoming<'_>) -> Result<Self, Rejection> {
        Ok(Self::render(from.visit, from.header("accept-language"), from.page))
    }
}

impl Extract for SameOrigin {
    fn extract(from: &Incoming<'_>) -> Result<Self, Rejection> {
        let mut headers = Vec::new();
        from.head.headers(&mut |name, value| headers.push((name, value)));
        match Self::judge(headers, from.visit.public_origins()) {
            Self::No => Err(Rejection::CrossSite),
            origin => Ok(origin),
        }
    }
}

/// The types that an adapter has to own, since its framework's traits may be implemented for its own types only: the
/// extractors, each of which stands for the type of the same name in `privet` and derefs to it, the [`Rejection`], and
/// a `Page` to answer with.
///
/// It is given two macros of the adapter's. `$extractor!` is called with each extractor, and implements the framework's
/// trait by [`Extract`]; `$answer!` is called with `Rejection` and `Page`, and implements the framework's trait for
/// answers by their `reply(&self)`.
///
/// ```
/// use privet::ConsentCategory;
/// use privet_web::{Extract, Incoming, Reply};
///
/// // What some framework has.
/// trait FromRequest: Sized {
///     fn from_request(request: &Incoming<'_>) -> Result<Self, Rejection>;
/// }
/// trait IntoAnswer {
///     fn into_answer(self) -> Reply;
/// }
///
/// macro_rules! extractor {
///     ($name:ident $(<$category:ident>)?) => {
///         impl $(<$category: ConsentCategory>)? FromRequest for $name $(<$category>)? {
///             fn from_request(request: &Incoming<'_>) -> Result<Self, Rejection> {
///                 Ok(Self::extract(request)?)
///             }
///         }
///     };
/// }
///
/// macro_rules! answer {
///     ($name:ident) => {
///         impl IntoAnswer for $name {
///             fn into_answer(self) -> Reply {
///                 self.reply()
///             }
///         }
///     };
/// }
///
/// privet_web::extractors!(extractor, answer);
///
/// assert_eq!(Rejection(privet_web::Rejection::CrossSite).into_answer().status, 403);
/// ```
#[macro_export]
macro_rules! extractors {
    ($extractor:ident, $answer:ident) => {
        $crate::extractors! {
            @each $extractor
            /// This request's privacy context.
            Visit($crate::privet::Visit)
            /// What the visitor decided. Taking it makes the response private to the visitor.
            Consent($crate::privet::Consent)
            /// Whom the site knows the visitor as.
            Visitor($crate::privet::Visitor)
            /// The country that the visitor is likely in. It is looked up when it is taken, and kept nowhere.
            Country($crate::privet::Country)
            /// The banner, for one line of a template: it displays as safe HTML. A decision made without script comes
            /// back to the page it was shown on.
            Banner($crate::Banner)
            /// That a request does not come from another site: for the app's own routes that change something. A
            /// browser always tells; a client that is no browser, and tells nothing, carries nobody's cookies and
            /// passes.
            ///
            /// privet's own routes are stricter: they take only what says that it comes from the site.
            SameOrigin($crate::SameOrigin)
        }

        impl ::std::fmt::Display for Banner {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                ::std::fmt::Display::fmt(&self.0, f)
            }
        }

        impl Banner {
            /// A page with the banner below it, for apps without templates.
            #[must_use]
            pub fn page(&self, html: &str) -> Page {
                Page(::std::format!("{html}{self}"))
            }
        }

        /// That the visitor grants a category. Without it the answer is 403; take `Option<Granted<C>>` for what also
        /// works without. A category that the catalogue does not have is a 500 that names the cure, in both.
        pub struct Granted<C>(pub $crate::privet::Granted<C>);

        impl<C> ::std::clone::Clone for Granted<C> {
            fn clone(&self) -> Self {
                Self(self.0.clone())
            }
        }

        impl<C: $crate::privet::ConsentCategory> ::std::fmt::Debug for Granted<C> {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                self.0.fmt(f)
            }
        }

        impl<C> ::std::ops::Deref for Granted<C> {
            type Target = $crate::privet::Granted<C>;
            fn deref(&self) -> &Self::Target {
                &self.0
            }
        }

        impl<C: $crate::privet::ConsentCategory> $crate::Extract for Granted<C> {
            fn extract(from: &$crate::Incoming<'_>) -> ::std::result::Result<Self, $crate::Rejection> {
                $crate::Extract::extract(from).map(Self)
            }
        }

        $extractor!(Granted<C>);

        /// Why an extractor gave nothing, and what a handler may end with: it turns every [`privet::Error`] into an
        /// answer that tells the visitor nothing of the inside.
        #[derive(Debug)]
        pub struct Rejection(pub $crate::Rejection);

        impl Rejection {
            fn reply(&self) -> $crate::Reply {
                self.0.reply()
            }
        }

        impl ::std::fmt::Display for Rejection {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                self.0.fmt(f)
            }
        }

        impl ::std::error::Error for Rejection {}

        impl ::std::convert::From<$crate::Rejection> for Rejection {
            fn from(rejection: $crate::Rejection) -> Self {
                Self(rejection)
            }
        }

        impl ::std::convert::From<$crate::privet::Error> for Rejection {
            fn from(error: $crate::privet::Error) -> Self {
                Self(error.into())
            }
        }

        /// A page of HTML, as an answer; see [`Banner::page`].
        #[derive(Clone, Debug)]
        pub struct Page(pub ::std::string::String);

        impl Page {
            fn reply(&self) -> $crate::Reply {
                $crate::Reply::page(self.0.clone())
            }
        }

        $answer!(Rejection);
        $answer!(Page);
    };
    (@each $extractor:ident $($(#[$doc:meta])* $name:ident($inner:ty))*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $name(pub $inner);

        impl ::std::ops::Deref for $name {
            type Target = $inner;
            fn deref(&self) -> &Self::Target {
                &self.0
            }
        }

        impl $crate::Extract for $name {
            fn extract(from: &$crate::Incoming<'_>) -> ::std::result::Result<Self, $crate::Rejection> {
                $crate::Extract::extract(from).map(Self)
            }
        }

        $extractor!($name);
    )*};
}
