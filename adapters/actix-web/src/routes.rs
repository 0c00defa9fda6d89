use actix_web::web::{self, Payload, ServiceConfig};
use actix_web::{HttpMessage as _, HttpRequest, HttpResponse, ResponseError as _};
use privet::Privet;
use privet_web::{BODY_LIMIT, Method};

use crate::head::Opened;
use crate::reply::{Rejection, into_response};

/// privet's own routes below its base path: settings, banner, decisions, statement, script and stylesheet. For
/// [`App::configure`](actix_web::App::configure).
pub fn configure(privet: &Privet) -> impl FnOnce(&mut ServiceConfig) + use<> {
    let paths = privet_web::paths(privet);
    move |config| {
        for path in paths {
            config.route(&path, web::route().to(handle));
        }
    }
}

async fn handle(request: HttpRequest, payload: Payload) -> HttpResponse {
    let opened = request.extensions().get::<Opened>().cloned();
    let Some(opened) = opened else { return Rejection::missing().error_response() };
    let headers = request.headers().iter().map(|(n, v)| (n.as_str().to_owned(), v.as_bytes().to_vec()));
    let body = match payload.to_bytes_limited(BODY_LIMIT).await {
        Ok(Ok(bytes)) => Some(bytes.to_vec()),
        _ => None,
    };
    let asked = privet_web::Request::new(
        Method::named(request.method().as_str()),
        request.uri().path(),
        request.uri().query().unwrap_or_default(),
    )
    .headers(headers)
    .body(body);
    into_response(privet_web::respond(&opened.visit, &asked).await)
}
