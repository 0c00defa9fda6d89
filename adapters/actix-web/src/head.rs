//! Heads of actix-web as privet reads and writes them.

use std::borrow::Cow;
use std::net::IpAddr;

use actix_web::cookie::{Cookie, ParseError};
use actix_web::dev::{ConnectionInfo, ServiceRequest};
use actix_web::http::StatusCode;
use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_TYPE, COOKIE, HOST, HeaderMap, HeaderName, HeaderValue, SET_COOKIE, VARY,
};
use actix_web::http::uri::Authority;
use actix_web::{HttpMessage as _, HttpRequest};
use privet::visit::{RequestHead, ResponseHead, ResponseHeader, Rewrite, host_without_port};

pub(crate) struct Head<'r>(pub(crate) &'r HttpRequest);

impl RequestHead for Head<'_> {
    fn peer(&self) -> Option<IpAddr> {
        self.0.peer_addr().map(|peer| peer.ip())
    }

    fn method(&self) -> &str {
        self.0.method().as_str()
    }

    fn path(&self) -> &str {
        self.0.uri().path()
    }

    fn host(&self) -> Option<&str> {
        let header = self.0.headers().get(HOST).and_then(|h| h.to_str().ok());
        header.or_else(|| self.0.uri().authority().map(Authority::as_str)).map(host_without_port)
    }

    fn headers<'a>(&'a self, each: &mut dyn FnMut(&'a str, &'a [u8])) {
        for (name, value) in self.0.headers() {
            each(name.as_str(), value.as_bytes());
        }
    }
}

/// Applies to a request what privet decided about it. False when something before us has read the cookies already, and
/// handlers would see what the gate closed.
pub(crate) fn rewrite(request: &mut ServiceRequest, rewrite: Rewrite) -> bool {
    for name in &rewrite.remove {
        request.headers_mut().remove(name.as_str());
    }
    let mut unread = true;
    if let Some(cookie) = rewrite.cookie {
        request.headers_mut().remove(COOKIE);
        // Its bytes were in a header before.
        if let Some(value) = cookie.and_then(|line| HeaderValue::from_bytes(&line).ok()) {
            request.headers_mut().insert(COOKIE, value);
        }
        unread = cookies_are_those_of_the_header(request.request());
    }
    if let Some(peer) = rewrite.peer {
        request.head_mut().peer_addr = Some(peer);
        request.extensions_mut().remove::<ConnectionInfo>();
    }
    unread
}

/// actix-web keeps what it once parsed, so what it keeps has to be what now stands in the header.
fn cookies_are_those_of_the_header(request: &HttpRequest) -> bool {
    let line = request.headers().get(COOKIE).and_then(|line| std::str::from_utf8(line.as_bytes()).ok());
    let parsed = |parse: fn(&str) -> Result<Cookie<'_>, ParseError>| -> Vec<(String, String)> {
        let pairs = line.unwrap_or_default().split(';').map(str::trim).filter(|pair| !pair.is_empty());
        pairs
            .filter_map(|pair| parse(pair).ok())
            .map(|c| (c.name().to_owned(), c.value().to_owned()))
            .collect()
    };
    let stand = |kept: &[Cookie<'static>], parsed: &[(String, String)]| {
        kept.len() == parsed.len()
            && kept.iter().zip(parsed).all(|(c, (name, value))| c.name() == name && c.value() == value)
    };
    let decoded =
        request.cookies().map_or(true, |kept| stand(&kept, &parsed(|pair| Cookie::parse_encoded(pair))));
    let raw = request.cookies_raw().map_or(true, |kept| stand(&kept, &parsed(|pair| Cookie::parse(pair))));
    decoded && raw
}

pub(crate) struct Answer<'r> {
    pub(crate) status: StatusCode,
    pub(crate) headers: &'r mut HeaderMap,
}

impl ResponseHead for Answer<'_> {
    fn status(&self) -> u16 {
        self.status.as_u16()
    }

    fn lines<'a>(&'a self, header: ResponseHeader, each: &mut dyn FnMut(&'a [u8])) {
        self.headers.get_all(name(header)).for_each(|line| each(line.as_bytes()));
    }

    fn remove(&mut self, header: ResponseHeader) {
        self.headers.remove(name(header));
    }

    fn append(&mut self, header: ResponseHeader, line: Cow<'static, [u8]>) {
        match HeaderValue::from_bytes(&line) {
            Ok(value) => self.headers.append(name(header), value),
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
        ResponseHeader::CacheControl => CACHE_CONTROL,
        ResponseHeader::CdnCacheControl => CDN_CACHE_CONTROL.clone(),
        ResponseHeader::ContentType => CONTENT_TYPE,
        ResponseHeader::SetCookie => SET_COOKIE,
        ResponseHeader::SurrogateControl => SURROGATE_CONTROL.clone(),
        ResponseHeader::Vary => VARY,
        other => HeaderName::from_static(other.name()),
    }
}
