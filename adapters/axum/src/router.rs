use std::sync::Arc;

use axum::Router;
use axum::routing::any;
use axum_core::extract::Request;
use axum_core::response::{IntoResponse as _, Response};
use http_body_util::{BodyExt as _, Collected, Limited};
use privet::Privet;
use privet_web::{BODY_LIMIT, Guard, PORTAL_BODY_LIMIT};

use crate::extract::{MISSING, Rejection};
use crate::head::Opened;
use crate::reply::into_response;

/// privet's own routes below its base path: settings, banner, decisions, statement, script and stylesheet. Merge it into
/// the app's router.
pub fn router<S: Clone + Send + Sync + 'static>(privet: &Privet) -> Router<S> {
    privet_web::paths(privet).iter().fold(Router::new(), |router, path| router.route(path, any(handle)))
}

/// The operators' portal below privet's base path, for whomever the guard lets in. Merge it into the app's router.
pub fn portal<S: Clone + Send + Sync + 'static>(privet: &Privet, guard: impl Guard) -> Router<S> {
    let guard: Arc<dyn Guard> = Arc::new(guard);
    let [root, below] = privet_web::portal_paths(privet);
    let handle = move |request: Request| {
        let guard = guard.clone();
        async move {
            match read(request, PORTAL_BODY_LIMIT).await {
                Ok((visit, request)) => {
                    into_response(privet_web::respond_portal(&visit, &guard, &request).await)
                }
                Err(missing) => missing,
            }
        }
    };
    Router::new()
        .route(&root, any(handle.clone()))
        .route(&below, any(handle.clone()))
        .route(&format!("{below}{{*rest}}"), any(handle))
}

async fn handle(request: Request) -> Response {
    match read(request, BODY_LIMIT).await {
        Ok((visit, request)) => into_response(privet_web::respond(&visit, &request).await),
        Err(missing) => missing,
    }
}

/// A request as privet's routes take it, with a body of at most `limit` bytes.
async fn read(request: Request, limit: usize) -> Result<(privet::Visit, privet_web::Request), Response> {
    let (parts, body) = request.into_parts();
    let Some(opened) = parts.extensions.get::<Opened>() else {
        return Err(Rejection(privet_web::Rejection::missing(MISSING)).into_response());
    };
    let body = Limited::new(body, limit).collect().await.ok().map(Collected::to_bytes);
    let request = privet_web::Request::new(
        parts.method.as_str(),
        parts.uri.path(),
        parts.uri.query().unwrap_or_default(),
    )
    .headers(parts.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())))
    .body(body.as_deref());
    Ok((opened.visit.clone(), request))
}
