use axum::Router;
use axum::routing::any;
use axum_core::extract::Request;
use axum_core::response::{IntoResponse as _, Response};
use http_body_util::{BodyExt as _, Collected, Limited};
use privet::Privet;
use privet_web::BODY_LIMIT;

use crate::extract::{MISSING, Rejection};
use crate::head::Opened;
use crate::reply::into_response;

/// privet's own routes below its base path: settings, banner, decisions, statement, script and stylesheet. Merge it into
/// the app's router.
pub fn router<S: Clone + Send + Sync + 'static>(privet: &Privet) -> Router<S> {
    privet_web::paths(privet).iter().fold(Router::new(), |router, path| router.route(path, any(handle)))
}

async fn handle(request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Some(opened) = parts.extensions.get::<Opened>() else {
        return Rejection(privet_web::Rejection::missing(MISSING)).into_response();
    };
    let body = Limited::new(body, BODY_LIMIT).collect().await.ok().map(Collected::to_bytes);
    let request = privet_web::Request::new(
        parts.method.as_str(),
        parts.uri.path(),
        parts.uri.query().unwrap_or_default(),
    )
    .headers(parts.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())))
    .body(body.as_deref());
    into_response(privet_web::respond(&opened.visit, &request).await)
}
