use axum::Router;
use axum::routing::any;
use axum_core::extract::Request;
use axum_core::response::{IntoResponse as _, Response};
use http_body_util::{BodyExt as _, Limited};
use privet::Privet;
use privet_web::{BODY_LIMIT, Method};

use crate::head::Opened;
use crate::rejection::Rejection;
use crate::reply::into_response;

/// privet's own routes below its base path: settings, banner, decisions, statement, script and stylesheet. Merge it into
/// the app's router.
pub fn router<S: Clone + Send + Sync + 'static>(privet: &Privet) -> Router<S> {
    privet_web::paths(privet).iter().fold(Router::new(), |router, path| router.route(path, any(handle)))
}

async fn handle(request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Some(opened) = parts.extensions.get::<Opened>() else {
        return Rejection::MissingLayer.into_response();
    };
    let headers = parts.headers.iter().map(|(n, v)| (n.as_str().to_owned(), v.as_bytes().to_vec()));
    let body = Limited::new(body, BODY_LIMIT).collect().await.ok().map(|b| b.to_bytes().to_vec());
    let request = privet_web::Request::new(
        Method::named(parts.method.as_str()),
        parts.uri.path(),
        parts.uri.query().unwrap_or_default(),
    )
    .headers(headers)
    .body(body);
    into_response(privet_web::respond(&opened.visit, &request).await)
}
