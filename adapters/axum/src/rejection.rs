use axum_core::body::Body;
use axum_core::response::IntoResponse;
use http::Response;
use privet::Error;
use privet_web::Reply;

use crate::reply::{into_response, plain};

/// Why an extractor gave nothing, and what a handler may end with: it turns every [`privet::Error`] into an answer
/// that tells the visitor nothing of the inside.
///
/// ```
/// use privet::Analytics;
/// use privet_axum::{Granted, Rejection};
///
/// async fn count(granted: Granted<Analytics>) -> Result<&'static str, Rejection> {
///     granted.set_cookie("visits", "1")?;
///     Ok("counted")
/// }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum Rejection {
    /// No layer of privet is around this route: a 500 that names the cure.
    MissingLayer,
    /// The request comes from another site: 403.
    CrossSite,
    /// Something else; see [`Reply::of_error`](privet_web::Reply::of_error).
    Failed(Error),
}

const MISSING: &str = "privet is not around this route. Serve `privet_axum::protect(app, &privet)`, or add `.layer(PrivetLayer::new(privet))` after the last route and the last layer.";

impl IntoResponse for Rejection {
    fn into_response(self) -> Response<Body> {
        match self {
            Self::MissingLayer => {
                tracing::error!("{MISSING}");
                plain(500, MISSING.to_owned())
            }
            Self::CrossSite => plain(403, "This request did not come from this site.".to_owned()),
            Self::Failed(error) => into_response(Reply::of_error(&error)),
        }
    }
}

impl From<Error> for Rejection {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}
