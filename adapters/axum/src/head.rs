//! Heads of `http` as privet reads and writes them.

use std::net::{IpAddr, SocketAddr};

use axum::extract::ConnectInfo;
use http::header::{COOKIE, HOST, SET_COOKIE};
use http::{HeaderName, HeaderValue, Request, Response};
use privet::visit::{RequestHead, ResponseHead, Rewrite, host_without_port};

pub(crate) struct Head<'r, B>(pub(crate) &'r Request<B>);

impl<B> RequestHead for Head<'_, B> {
    fn peer(&self) -> Option<IpAddr> {
        self.0.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip())
    }

    fn path(&self) -> &str {
        self.0.uri().path()
    }

    fn host(&self) -> Option<&str> {
        let header = self.0.headers().get(HOST).and_then(|h| h.to_str().ok());
        header.or_else(|| self.0.uri().authority().map(http::uri::Authority::as_str)).map(host_without_port)
    }

    fn headers<'a>(&'a self, each: &mut dyn FnMut(&'a str, &'a [u8])) {
        for (name, value) in self.0.headers() {
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

    fn header(&self, name: &str) -> Option<&[u8]> {
        self.0.headers().get(name).map(HeaderValue::as_bytes)
    }

    fn set_cookies<'a>(&'a self, each: &mut dyn FnMut(&'a [u8])) {
        self.0.headers().get_all(SET_COOKIE).iter().for_each(|line| each(line.as_bytes()));
    }

    fn replace_set_cookies(&mut self, lines: Vec<Vec<u8>>) {
        let headers = self.0.headers_mut();
        headers.remove(SET_COOKIE);
        for line in lines {
            match HeaderValue::from_bytes(&line) {
                Ok(value) => {
                    headers.append(SET_COOKIE, value);
                }
                Err(_) => tracing::error!("a Set-Cookie line could not be written and did not leave"),
            }
        }
    }

    fn set_header(&mut self, name: &'static str, value: &str) {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.0.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }

    fn append_header(&mut self, name: &'static str, value: &str) {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.0.headers_mut().append(HeaderName::from_static(name), value);
        }
    }
}
