//! An answer as an adapter takes it.

use std::pin::Pin;
use std::{fmt, io};

use bytes::Bytes;
use futures_core::Stream;
use privet::Error;
use serde::Serialize;

/// A body that comes in pieces. An error ends it, so that the client sees that something is missing.
pub type BodyStream = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;

/// The body of a [`Reply`].
#[non_exhaustive]
pub enum Body {
    /// All of it.
    Full(Bytes),
    /// In pieces.
    Stream(BodyStream),
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(bytes) => write!(f, "Full({} bytes)", bytes.len()),
            Self::Stream(_) => f.write_str("Stream(..)"),
        }
    }
}

/// An answer: status, headers named in lower case, body.
#[derive(Debug)]
#[non_exhaustive]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Body,
}

/// What a page of ours may load: itself, and nothing of others.
const CSP: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

impl Reply {
    pub(crate) fn new(status: u16, content_type: &str, body: impl Into<Bytes>) -> Self {
        let headers =
            vec![("content-type", content_type.to_owned()), ("x-content-type-options", "nosniff".to_owned())];
        Self { status, headers, body: Body::Full(body.into()) }
    }

    /// A sentence, for what is no page and no program's business: kept by nobody.
    #[must_use]
    pub fn plain(status: u16, text: impl Into<Bytes>) -> Self {
        let headers = vec![
            ("content-type", "text/plain; charset=utf-8".to_owned()),
            ("cache-control", "no-store".to_owned()),
        ];
        Self { status, headers, body: Body::Full(text.into()) }
    }

    /// A page of the app's.
    #[must_use]
    pub fn page(html: impl Into<Bytes>) -> Self {
        let headers = vec![("content-type", "text/html; charset=utf-8".to_owned())];
        Self { status: 200, headers, body: Body::Full(html.into()) }
    }

    /// One whose body comes in pieces.
    pub(crate) fn stream(content_type: &str, body: BodyStream) -> Self {
        Self { body: Body::Stream(body), ..Self::new(200, content_type, Bytes::new()) }
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// A page of ours: not framed, and loading nothing of others.
    pub(crate) fn html(status: u16, body: String) -> Self {
        Self::new(status, "text/html; charset=utf-8", body)
            .header("content-security-policy", CSP)
            .header("x-frame-options", "DENY")
            .header("referrer-policy", "same-origin")
    }

    pub(crate) fn json(status: u16, body: &impl Serialize) -> Self {
        let body = serde_json::to_vec(body).unwrap_or_default();
        Self::new(status, "application/json", body)
    }

    pub(crate) fn content_type(mut self, content_type: &str) -> Self {
        for (_, value) in self.headers.iter_mut().filter(|(name, _)| *name == "content-type") {
            content_type.clone_into(value);
        }
        self
    }

    /// Only for this visitor, and kept by nobody.
    pub(crate) fn personal(self) -> Self {
        self.header("cache-control", "private, no-store")
    }

    pub(crate) fn see_other(location: &str) -> Self {
        Self { status: 303, headers: vec![("location", location.to_owned())], body: Body::Full(Bytes::new()) }
            .personal()
    }

    /// RFC 9110, section 15.4.5.
    pub(crate) fn not_modified() -> Self {
        Self { status: 304, headers: Vec::new(), body: Body::Full(Bytes::new()) }
    }

    /// RFC 9457, with nothing of the inside.
    pub(crate) fn problem(status: u16, title: &str) -> Self {
        let body = serde_json::json!({ "type": "about:blank", "title": title, "status": status });
        Self::new(status, "application/problem+json", body.to_string()).personal()
    }

    pub(crate) fn told(error: &Error) -> (u16, &'static str) {
        match error {
            Error::NotGranted { .. } => (403, "This needs a consent that was not given."),
            Error::Invalid { .. } => (400, "This could not be understood."),
            Error::NotFound { .. } => (404, "There is no such thing."),
            Error::Conflict { .. } => (409, "This was changed meanwhile."),
            Error::TooManyGrants { .. } => (429, "This came too often. It was not taken."),
            Error::Blocked => (403, "You cannot write here at the moment."),
            Error::NotAllowed { .. } => (403, "Your role does not allow this."),
            Error::Fenced => (410, "This was erased."),
            Error::Unavailable { .. } => (503, "This is not possible at the moment."),
            _ => (500, "Something went wrong."),
        }
    }

    /// What [`Visit::insisted`](privet::Visit::insisted) says, as an answer.
    #[must_use]
    pub fn insisted(cure: &str) -> Self {
        Self::problem(500, cure)
    }

    /// What a visitor is told of an error, whatever handler it ended: a status and a sentence, nothing of the
    /// inside. The cause goes to the log. A mistake in the app's own code, which its developer meets first, is
    /// a 500 that names the cure.
    #[must_use]
    pub fn of_error(error: &Error) -> Self {
        let (status, title) = Self::told(error);
        if error.is_misuse() {
            tracing::error!("{error}");
            return Self::problem(status, &error.to_string());
        }
        if status >= 500 {
            tracing::error!("{error}");
        }
        let reply = Self::problem(status, title);
        match error {
            Error::TooManyGrants { retry_after } => {
                reply.header("retry-after", retry_after.as_secs().to_string())
            }
            _ if status == 503 => reply.header("retry-after", "60"),
            _ => reply,
        }
    }
}
