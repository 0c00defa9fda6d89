use std::sync::Arc;

use actix_web::web::{self, Payload, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use privet::Privet;
use privet_web::{BODY_LIMIT, Guard, PORTAL_BODY_LIMIT};

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

/// The operators' portal below privet's base path, for whomever the guard lets in. For
/// [`App::configure`](actix_web::App::configure). An `App` is built once per worker: give each the same guard, in an `Arc`.
pub fn portal(privet: &Privet, guard: Arc<dyn Guard>) -> impl FnOnce(&mut ServiceConfig) + use<> {
    let [root, below] = privet_web::portal_paths(privet);
    move |config| {
        let handle = move |request: HttpRequest, visit: Visit, payload: Payload| {
            let guard = guard.clone();
            async move {
                let asked = read(&request, payload, PORTAL_BODY_LIMIT).await;
                into_response(privet_web::respond_portal(&visit, &guard, &asked).await)
            }
        };
        config.route(&root, web::route().to(handle.clone()));
        config.route(&format!("{below}{{rest:.*}}"), web::route().to(handle));
    }
}

async fn handle(request: HttpRequest, visit: Visit, payload: Payload) -> HttpResponse {
    let asked = read(&request, payload, BODY_LIMIT).await;
    into_response(privet_web::respond(&visit, &asked).await)
}

/// A request as privet's routes take it, with a body of at most `limit` bytes.
async fn read(request: &HttpRequest, payload: Payload, limit: usize) -> privet_web::Request {
    let body = payload.to_bytes_limited(limit).await.ok().and_then(Result::ok);
    privet_web::Request::new(request.method().as_str(), request.uri().path(), request.query_string())
        .headers(request.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes())))
        .body(body.as_deref())
}
