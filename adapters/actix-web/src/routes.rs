use actix_web::web::{self, Payload, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use privet::Privet;
use privet_web::BODY_LIMIT;

use crate::extract::Visit;
use crate::reply::into_response;

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

async fn handle(request: HttpRequest, visit: Visit, payload: Payload) -> HttpResponse {
    let body = payload.to_bytes_limited(BODY_LIMIT).await.ok().and_then(Result::ok);
    let asked =
        privet_web::Request::new(request.method().as_str(), request.uri().path(), request.query_string())
            .headers(request.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes())))
            .body(body.as_deref());
    into_response(privet_web::respond(&visit, &asked).await)
}
