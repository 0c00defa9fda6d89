use std::cell::RefCell;
use std::fmt;
use std::future::{Ready, ready};
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready as poll_ready};

use actix_web::body::{BoxBody, EitherBody, MessageBody};
use actix_web::dev::{Service, ServiceRequest, ServiceResponse, Transform};
use actix_web::http::header::{ETAG, HeaderMap, LAST_MODIFIED, LOCATION, SET_COOKIE};
use actix_web::{Error, HttpMessage as _, HttpResponse};
use pin_project_lite::pin_project;
use privet::visit::{CloseOnDrop, Sealing};
use privet::{Privet, Visit};
use privet_web::Reply;

use crate::head::{Answer, Head, rewrite};
use crate::reply::into_response;

/// privet around an app. Wrap it **last**, so that it is the outermost: what is wrapped after it is outside.
#[derive(Clone, Debug)]
pub struct PrivetMiddleware {
    privet: Privet,
}

impl PrivetMiddleware {
    /// The middleware of an installation.
    #[must_use]
    pub fn new(privet: Privet) -> Self {
        Self { privet }
    }
}

impl<S, B> Transform<S, ServiceRequest> for PrivetMiddleware
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
    S::Future: 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = Error;
    type Transform = PrivetService<S>;
    type InitError = ();
    type Future = Ready<Result<Self::Transform, ()>>;

    fn new_transform(&self, app: S) -> Self::Future {
        ready(Ok(PrivetService { app, privet: self.privet.clone() }))
    }
}

/// What [`PrivetMiddleware`] makes of an app.
pub struct PrivetService<S> {
    app: S,
    privet: Privet,
}

impl<S> fmt::Debug for PrivetService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrivetService").field("privet", &self.privet).finish_non_exhaustive()
    }
}

const TWICE: &str = "privet is around this route twice, and the outer one would take the cookies of the inner one out. Wrap `PrivetMiddleware` once, as the last `wrap` of the `App`.";
const READ_BEFORE: &str = "something outside of privet has read the cookies of this request already, so that handlers would see what the visitor refused. Wrap `PrivetMiddleware` last, after every other `wrap`.";

impl<S, B> Service<ServiceRequest> for PrivetService<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = Error;
    type Future = ResponseFuture<S::Future, B>;

    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.app.poll_ready(cx)
    }

    fn call(&self, mut request: ServiceRequest) -> Self::Future {
        if request.extensions().contains::<Visit>() {
            tracing::error!("{TWICE}");
            return ResponseFuture::ready(request, into_response(Reply::plain(500, TWICE)));
        }
        let opened = self.privet.visit(&Head(request.request()));
        match opened {
            Ok((visit, change)) => {
                if !rewrite(&mut request, change) {
                    tracing::error!("{READ_BEFORE}");
                    visit.close();
                    return ResponseFuture::ready(request, into_response(Reply::plain(500, READ_BEFORE)));
                }
                request.extensions_mut().insert(visit.clone());
                ResponseFuture::new(self.app.call(request), visit)
            }
            Err(refusal) => {
                let mut response = into_response(Reply::plain(refusal.status(), refusal.message()));
                response.extensions_mut().insert(refusal);
                ResponseFuture::ready(request, response)
            }
        }
    }
}

pin_project! {
    /// The answer of an app inside privet, sealed when it comes.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F, B> {
        #[pin]
        kind: Kind<F>,
        body: PhantomData<B>,
    }
}

pin_project! {
    #[project = KindProjected]
    enum Kind<F> {
        App { #[pin] future: F, visit: CloseOnDrop },
        Ready { response: Option<ServiceResponse<BoxBody>> },
    }
}

impl<F, B> fmt::Debug for ResponseFuture<F, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

impl<F, B> ResponseFuture<F, B> {
    fn new(future: F, visit: Visit) -> Self {
        Self { kind: Kind::App { future, visit: CloseOnDrop(visit) }, body: PhantomData }
    }

    fn ready(request: ServiceRequest, response: HttpResponse) -> Self {
        Self { kind: Kind::Ready { response: Some(request.into_response(response)) }, body: PhantomData }
    }
}

impl<F, B> Future for ResponseFuture<F, B>
where
    F: Future<Output = Result<ServiceResponse<B>, Error>>,
    B: MessageBody + 'static,
{
    type Output = Result<ServiceResponse<EitherBody<B>>, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().kind.project() {
            KindProjected::App { future, visit } => Poll::Ready(match poll_ready!(future.poll(cx)) {
                Ok(response) => Ok(sealed(response, &visit.0)),
                Err(error) => Err(sealed_error(error, &visit.0)),
            }),
            KindProjected::Ready { response } => match response.take() {
                Some(response) => Poll::Ready(Ok(response.map_into_right_body())),
                None => Poll::Pending,
            },
        }
    }
}

fn sealed<B>(mut response: ServiceResponse<B>, visit: &Visit) -> ServiceResponse<EitherBody<B>> {
    if let Some(cure) = visit.insisted() {
        let said = seal(instead(response.response().headers(), &cure), visit);
        return response.into_response(said).map_into_right_body();
    }
    let head = &mut Answer { status: response.status(), headers: response.headers_mut() };
    match visit.seal(head) {
        Sealing::Denied(deny) => {
            response.into_response(into_response(Reply::plain(500, deny.to_string()))).map_into_right_body()
        }
        Sealing::Sealed => response.map_into_left_body(),
    }
}

fn seal(mut response: HttpResponse, visit: &Visit) -> HttpResponse {
    let head = &mut Answer { status: response.status(), headers: response.headers_mut() };
    match visit.seal(head) {
        Sealing::Sealed => response,
        Sealing::Denied(deny) => into_response(Reply::plain(500, deny.to_string())),
    }
}

/// The cure of a mistake instead of an answer, whose headers stay but for those that describe its body.
fn instead(headers: &HeaderMap, cure: &str) -> HttpResponse {
    let mut response = into_response(Reply::insisted(cure));
    for (name, value) in headers {
        let of_the_body =
            name.as_str().starts_with("content-") || [ETAG, LAST_MODIFIED, LOCATION].contains(name);
        if !of_the_body && !response.headers().contains_key(name) || *name == SET_COOKIE {
            response.headers_mut().append(name.clone(), value.clone());
        }
    }
    response
}

/// An error becomes a response further out, and may be asked for it more than once; some give it away the first time.
/// So it is made and judged now: the first who asks gets it, and whoever asks later its status and headers.
fn sealed_error(mut error: Error, visit: &Visit) -> Error {
    let response = match visit.insisted() {
        Some(cure) => instead(&HeaderMap::new(), &cure),
        None => error.error_response(),
    };
    let response = seal(response, visit);
    let (status, headers) = (response.status(), response.headers().clone());
    let first = RefCell::new(Some(response));
    error.add_response_mapper(move |_| {
        first.borrow_mut().take().unwrap_or_else(|| {
            let mut again = HttpResponse::new(status);
            *again.headers_mut() = headers.clone();
            again
        })
    });
    error
}
