use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{COOKIE, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body::Body;
use http_body_util::{BodyExt as _, Collected, Either, Full, Limited};
use privet::visit::{
    CloseOnDrop, RequestHead, ResponseHead, ResponseHeader, Rewrite, Sealing, host_without_port,
};
use privet::{Privet, Visit};
use privet_web::{BODY_LIMIT, Extract, Incoming, Rejection, Reply};
use tower_service::Service;

// 1. What privet reads of a request.

/// Whom a request comes from: the server puts it into the request's extensions.
#[derive(Clone, Copy)]
pub struct Peer(pub SocketAddr);

struct Head<'r> {
    method: &'r Method,
    headers: &'r HeaderMap,
    uri: &'r Uri,
    peer: Option<Peer>,
}

impl<'r> Head<'r> {
    fn of<B>(request: &'r Request<B>) -> Self {
        let peer = request.extensions().get().copied();
        Self { method: request.method(), headers: request.headers(), uri: request.uri(), peer }
    }
}

impl RequestHead for Head<'_> {
    fn peer(&self) -> Option<IpAddr> {
        self.peer.map(|Peer(peer)| peer.ip())
    }

    fn method(&self) -> &str {
        self.method.as_str()
    }

    fn path(&self) -> &str {
        self.uri.path()
    }

    fn host(&self) -> Option<&str> {
        let header = self.headers.get(HOST).and_then(|host| host.to_str().ok());
        header.or_else(|| self.uri.host()).map(host_without_port)
    }

    fn headers<'a>(&'a self, each: &mut dyn FnMut(&'a str, &'a [u8])) {
        for (name, value) in self.headers {
            each(name.as_str(), value.as_bytes());
        }
    }
}

// 2. What becomes of the request before the app sees it.

fn rewrite<B>(request: &mut Request<B>, rewrite: Rewrite) {
    for name in &rewrite.remove {
        request.headers_mut().remove(name.as_str());
    }
    if let Some(cookie) = rewrite.cookie {
        request.headers_mut().remove(COOKIE);
        if let Some(value) = cookie.and_then(|line| HeaderValue::from_bytes(&line).ok()) {
            request.headers_mut().insert(COOKIE, value);
        }
    }
    if let Some(peer) = rewrite.peer {
        request.extensions_mut().insert(Peer(peer));
    }
}

// 3. What privet reads and writes of a response.

struct Answer<'r> {
    status: StatusCode,
    headers: &'r mut HeaderMap,
}

fn name(header: ResponseHeader) -> HeaderName {
    HeaderName::from_static(header.name())
}

impl ResponseHead for Answer<'_> {
    fn status(&self) -> u16 {
        self.status.as_u16()
    }

    fn lines<'a>(&'a self, header: ResponseHeader, each: &mut dyn FnMut(&'a [u8])) {
        self.headers.get_all(name(header)).iter().for_each(|line| each(line.as_bytes()));
    }

    fn remove(&mut self, header: ResponseHeader) {
        self.headers.remove(name(header));
    }

    fn append(&mut self, header: ResponseHeader, line: Cow<'static, [u8]>) {
        // What cannot be a header line does not leave.
        if let Ok(value) = HeaderValue::from_bytes(&line) {
            self.headers.append(name(header), value);
        }
    }
}

fn into_response<R>(reply: Reply) -> Response<Either<R, Full<Bytes>>> {
    let privet_web::Body::Full(body) = reply.body else {
        return into_response(Reply::plain(500, "Something went wrong."));
    };
    let mut response = Response::new(Either::Right(Full::new(body)));
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in reply.headers {
        if let Ok(value) = HeaderValue::try_from(value) {
            response.headers_mut().append(HeaderName::from_static(name), value);
        }
    }
    response
}

// 4. Around the app.

/// A service inside privet; it answers privet's own routes by itself.
#[derive(Clone)]
pub struct Around<S> {
    app: S,
    privet: Privet,
    paths: Arc<[String]>,
}

/// Puts privet around a service.
pub fn around<S>(app: S, privet: &Privet) -> Around<S> {
    Around { app, privet: privet.clone(), paths: privet_web::paths(privet).into() }
}

impl<S, B, R> Service<Request<B>> for Around<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    R: Send + 'static,
{
    type Response = Response<Either<R, Full<Bytes>>>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.app.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let visit = match self.privet.visit(&Head::of(&request)) {
            Ok((visit, change)) => {
                rewrite(&mut request, change);
                visit
            }
            Err(refusal) => {
                let refused = into_response(Reply::plain(refusal.status(), refusal.message()));
                return Box::pin(async move { Ok(refused) });
            }
        };
        // A client that goes away drops the future: what was held of its address goes with it.
        let visit = CloseOnDrop(visit);
        if self.paths.iter().any(|own| own == request.uri().path()) {
            return Box::pin(async move {
                let reply = respond(&visit.0, request).await;
                Ok(seal(&visit.0, into_response(reply)))
            });
        }
        request.extensions_mut().insert(visit.0.clone());
        let answer = self.app.call(request);
        Box::pin(async move { Ok(seal(&visit.0, answer.await?.map(Either::Left))) })
    }
}

fn seal<R>(
    visit: &Visit,
    mut response: Response<Either<R, Full<Bytes>>>,
) -> Response<Either<R, Full<Bytes>>> {
    let status = response.status();
    match visit.seal(&mut Answer { status, headers: response.headers_mut() }) {
        Sealing::Sealed => response,
        Sealing::Denied(deny) => into_response(Reply::plain(500, deny.to_string())),
    }
}

// 5. privet's own routes.

async fn respond<B>(visit: &Visit, request: Request<B>) -> Reply
where
    B: Body,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (head, body) = request.into_parts();
    let body = Limited::new(body, BODY_LIMIT).collect().await.ok().map(Collected::to_bytes);
    let headers = head.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    let request =
        privet_web::Request::new(head.method.as_str(), head.uri.path(), head.uri.query().unwrap_or_default());
    privet_web::respond(visit, &request.headers(headers).body(body.as_deref())).await
}

// 6. What handlers take.

/// Takes a `Consent`, a `Visitor`, a `Granted<C>`, a `Banner` … from a request.
pub fn take<T: Extract, B>(request: &Request<B>) -> Result<T, Rejection> {
    let Some(visit) = request.extensions().get() else {
        return Err(Rejection::missing("privet is not around this service: serve `around(app, &privet)`"));
    };
    let page = request.uri().path_and_query().map_or("/", |page| page.as_str());
    T::extract(&Incoming { visit, head: &Head::of(request), page })
}
