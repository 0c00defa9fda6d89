use std::fmt;
use std::net::SocketAddr;
use std::task::{Context, Poll};

use axum::ServiceExt as _;
use axum::extract::connect_info::IntoMakeServiceWithConnectInfo;
use axum_core::body::Body;
use http::{Request, Response};
use privet::Privet;
use tower_service::Service;

use crate::future::ResponseFuture;
use crate::head::{Head, Opened, rewrite};

/// Wraps an app, with every layer it has, so that each request and each response passes privet.
///
/// Serve [`Protected::into_make_service`]: it carries the peer's address, which privet reads and then hides.
pub fn protect<S>(app: S, privet: &Privet) -> Protected<S> {
    Protected { app, privet: privet.clone() }
}

/// An app inside privet: what [`protect`] and [`PrivetLayer`](crate::PrivetLayer) make.
#[derive(Clone)]
pub struct Protected<S> {
    app: S,
    privet: Privet,
}

impl<S> fmt::Debug for Protected<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Protected").field("privet", &self.privet).finish_non_exhaustive()
    }
}

impl<S> Protected<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone,
{
    /// What `axum::serve` takes, with the peer's address for privet to hide.
    #[must_use]
    pub fn into_make_service(self) -> IntoMakeServiceWithConnectInfo<Self, SocketAddr> {
        self.into_make_service_with_connect_info::<SocketAddr>()
    }
}

impl<S, B> Service<Request<B>> for Protected<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.app.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        if request.extensions().get::<Opened>().is_some() {
            return ResponseFuture::twice();
        }
        match self.privet.visit(&Head::of_request(&request)) {
            Ok((visit, change)) => {
                rewrite(&mut request, change);
                let page = request.uri().path_and_query().cloned();
                let opened = Opened { visit: visit.clone(), page };
                request.extensions_mut().insert(opened);
                ResponseFuture::new(self.app.call(request), visit)
            }
            Err(refusal) => ResponseFuture::refused(refusal),
        }
    }
}
