use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum_core::body::Body;
use http::Response;
use pin_project_lite::pin_project;
use privet::Visit;
use privet::visit::{CloseOnDrop, Refusal, Sealing};
use privet_web::Reply;

use crate::head::Answer;
use crate::reply::into_response;

const TWICE: &str = "privet is around this route twice, and the outer one would take the cookies of the inner one out. Use `protect` or `PrivetLayer`, once.";

pin_project! {
    /// The answer of an app inside privet, sealed when it comes.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F> {
        #[pin]
        kind: Kind<F>,
    }
}

pin_project! {
    #[project = KindProjected]
    enum Kind<F> {
        App { #[pin] future: F, visit: CloseOnDrop },
        Refused { refusal: Refusal },
        Twice,
    }
}

impl<F> fmt::Debug for ResponseFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

impl<F> ResponseFuture<F> {
    pub(crate) fn new(future: F, visit: Visit) -> Self {
        Self { kind: Kind::App { future, visit: CloseOnDrop(visit) } }
    }

    pub(crate) fn twice() -> Self {
        tracing::error!("{TWICE}");
        Self { kind: Kind::Twice }
    }

    pub(crate) fn refused(refusal: Refusal) -> Self {
        Self { kind: Kind::Refused { refusal } }
    }
}

impl<F, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<Body>, E>>,
{
    type Output = Result<Response<Body>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().kind.project() {
            KindProjected::App { future, visit } => {
                let mut response = ready!(future.poll(cx))?;
                if let Sealing::Denied(deny) = visit.0.seal(&mut Answer(&mut response)) {
                    response = into_response(Reply::plain(500, deny.to_string()));
                }
                Poll::Ready(Ok(response))
            }
            KindProjected::Twice => Poll::Ready(Ok(into_response(Reply::plain(500, TWICE)))),
            KindProjected::Refused { refusal } => {
                let mut response = into_response(Reply::plain(refusal.status(), refusal.message()));
                response.extensions_mut().insert(*refusal);
                Poll::Ready(Ok(response))
            }
        }
    }
}
