//! Heads of `http` as privet reads and writes them.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::net::{IpAddr, SocketAddr};

use axum::body::Bytes;
use axum::extract::{ConnectInfo, NestedPath};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, COOKIE, HOST, SET_COOKIE, VARY};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery};
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri};
use privet::visit::{RequestHead, ResponseHead, ResponseHeader, Rewrite, host_without_port};

/// What the layer leaves in a request for the extractors.
#[derive(Clone, Debug)]
pub(crate) struct Opened {
    pub(crate) visit: privet::Visit,
    /// As the client asked: a nested router sees only the rest of it.
    pub(crate) page: Option<PathAndQuery>,
}

pub(crate) struct Head<'r> {
    method: &'r Method,
    headers: &'r HeaderMap,
    uri: &'r Uri,
    extensions: &'r Extensions,
    /// The whole path, below a router that is nested; made when it is asked for.
    nested: OnceCell<Option<String>>,
}

impl<'r> Head<'r> {
    pub(crate) fn of_request<B>(request: &'r Request<B>) -> Self {
        Self {
            method: request.method(),
            headers: request.headers(),
            uri: request.uri(),
            extensions: request.extensions(),
            nested: OnceCell::new(),
        }
    }

    pub(crate) fn of(parts: &'r Parts) -> Self {
        Self {
            method: &parts.method,
            headers: &parts.headers,
            uri: &parts.uri,
            extensions: &parts.extensions,
            nested: OnceCell::new(),
        }
    }
}

impl RequestHead for Head<'_> {
    fn peer(&self) -> Option<IpAddr> {
        self.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip())
    }

    fn method(&self) -> &str {
        self.method.as_str()
    }

    /// As the client asked: a nested router sees only the rest of it.
    fn path(&self) -> &str {
        let below = || {
            let prefix = self.extensions.get::<NestedPath>()?.as_str();
            Some([prefix.trim_end_matches('/'), self.uri.path()].concat())
        };
        self.nested.get_or_init(below).as_deref().unwrap_or_else(|| self.uri.path())
    }

    fn host(&self) -> Option<&str> {
        let header = self.headers.get(HOST).and_then(|h| h.to_str().ok());
        header.or_else(|| self.uri.authority().map(Authority::as_str)).map(host_without_port)
    }

    fn headers<'a>(&'a self, each: &mut dyn FnMut(&'a str, &'a [u8])) {
        for (name, value) in self.headers {
            each(name.as_str(), value.as_bytes());
        }
    }
}

/// Applies to a request what privet decided about it.
pub(crate) fn rewrite<B>(request: &mut Request<B>, rewrite: Rewrite) {
    for name in &rewrite.remove {
        request.headers_mut().remove(name.as_str());
    }
    if let Some(cookie) = rewrite.cookie {
        request.headers_mut().remove(COOKIE);
        // Its bytes were in a header before.
        if let Some(value) = cookie.and_then(|line| HeaderValue::from_bytes(&line).ok()) {
            request.headers_mut().insert(COOKIE, value);
        }
    }
    if let Some(peer) = rewrite.peer {
        request.extensions_mut().insert(ConnectInfo(peer));
    }
}

pub(crate) struct Answer<'r, B>(pub(crate) &'r mut Response<B>);

impl<B> ResponseHead for Answer<'_, B> {
    fn status(&self) -> u16 {
        self.0.status().as_u16()
    }

    fn lines<'a>(&'a self, header: ResponseHeader, each: &mut dyn FnMut(&'a [u8])) {
        self.0.headers().get_all(name(header)).iter().for_each(|line| each(line.as_bytes()));
    }

    fn remove(&mut self, header: ResponseHeader) {
        self.0.headers_mut().remove(name(header));
    }

    fn append(&mut self, header: ResponseHeader, line: Cow<'static, [u8]>) {
        let line = match line {
            Cow::Borrowed(line) => Bytes::from_static(line),
            Cow::Owned(line) => Bytes::from(line),
        };
        match HeaderValue::from_maybe_shared(line) {
            Ok(value) => {
                self.0.headers_mut().append(name(header), value);
            }
            Err(_) => {
                tracing::error!(header = header.name(), "a line could not be written and did not leave");
            }
        }
    }
}

static CDN_CACHE_CONTROL: HeaderName = HeaderName::from_static("cdn-cache-control");
static SURROGATE_CONTROL: HeaderName = HeaderName::from_static("surrogate-control");

fn name(header: ResponseHeader) -> HeaderName {
    match header {
        ResponseHeader::CdnCacheControl => CDN_CACHE_CONTROL.clone(),
        ResponseHeader::SurrogateControl => SURROGATE_CONTROL.clone(),
        ResponseHeader::CacheControl => CACHE_CONTROL,
        ResponseHeader::ContentType => CONTENT_TYPE,
        ResponseHeader::SetCookie => SET_COOKIE,
        ResponseHeader::Vary => VARY,
        other => HeaderName::from_static(other.name()),
    }
}
