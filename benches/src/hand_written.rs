//! The smallest layer that does the same job: walk the `Cookie` header, base64, HMAC-SHA256 with a prepared key, decode,
//! put the state where a handler finds it.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::extract::Request;
use axum::http::header::COOKIE;
use axum::response::Response;
use data_encoding::BASE64URL_NOPAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use tower::{Layer, Service};

const CATEGORIES: [&str; 4] = ["functional", "analytics", "marketing", "contacts"];
const TAG: usize = 16;

/// What the visitor decided.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct State {
    granted: [bool; 4],
}

impl State {
    pub(crate) fn allows(self, category: &str) -> bool {
        CATEGORIES.iter().position(|c| *c == category).is_some_and(|at| self.granted[at])
    }
}

#[derive(Clone)]
pub(crate) struct HandWritten(Arc<Hmac<Sha256>>);

/// The layer, and a cookie in which everything is granted.
pub(crate) fn layer() -> (HandWritten, String) {
    let key = Hmac::<Sha256>::new_from_slice(b"0123456789abcdef0123456789ABCDEF").unwrap();
    // As long as privet's with a record and four categories.
    let mut bytes = vec![1; 4 + 16 + 4 * CATEGORIES.len()];
    let tag = key.clone().chain_update(&bytes).finalize().into_bytes();
    bytes.extend(&tag[..TAG]);
    (HandWritten(Arc::new(key)), BASE64URL_NOPAD.encode(&bytes))
}

fn read(key: &Hmac<Sha256>, line: &[u8]) -> Option<State> {
    let value =
        line.split(|b| *b == b';').find_map(|pair| pair.trim_ascii().strip_prefix(b"__Host-privet="))?;
    let mut buffer = [0; 128];
    let len = BASE64URL_NOPAD.decode_len(value.len()).ok().filter(|n| (TAG..=buffer.len()).contains(n))?;
    BASE64URL_NOPAD.decode_mut(value, &mut buffer[..len]).ok()?;
    let (body, tag) = buffer[..len].split_at(len - TAG);
    key.clone().chain_update(body).verify_truncated_left(tag).ok()?;
    let mut state = State::default();
    for (granted, choice) in state.granted.iter_mut().zip(body.get(20..)?.chunks(4)) {
        *granted = choice[0] & 1 == 1;
    }
    Some(state)
}

impl<S> Layer<S> for HandWritten {
    type Service = HandWrittenService<S>;
    fn layer(&self, inner: S) -> Self::Service {
        HandWrittenService { inner, key: self.0.clone() }
    }
}

#[derive(Clone)]
pub(crate) struct HandWrittenService<S> {
    inner: S,
    key: Arc<Hmac<Sha256>>,
}

impl<S> Service<Request> for HandWrittenService<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let state = request.headers().get(COOKIE).and_then(|line| read(&self.key, line.as_bytes()));
        request.extensions_mut().insert(state.unwrap_or_default());
        self.inner.call(request)
    }
}
