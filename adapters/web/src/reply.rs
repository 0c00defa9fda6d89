//! An answer as an adapter takes it.

use bytes::Bytes;
use serde::Serialize;

/// The body of a [`Reply`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Body {
    /// All of it.
    Full(Bytes),
}

/// An answer: status, headers named in lower case, body.
#[derive(Clone, Debug)]
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

    /// Only for this visitor, and kept by nobody.
    pub(crate) fn personal(self) -> Self {
        self.header("cache-control", "private, no-store")
    }

    pub(crate) fn see_other(location: &str) -> Self {
        Self { status: 303, headers: vec![("location", location.to_owned())], body: Body::Full(Bytes::new()) }
            .personal()
    }

    /// RFC 9457, with nothing of the inside.
    pub(crate) fn problem(status: u16, title: &str) -> Self {
        let body = serde_json::json!({ "type": "about:blank", "title": title, "status": status });
        Self::new(status, "application/problem+json", body.to_string()).personal()
    }
}
