use axum_core::body::Body;
use axum_core::response::IntoResponse;
use http::Response;
use privet::Error;

use crate::future::plain;

/// Why an extractor gave nothing.
#[derive(Debug)]
#[non_exhaustive]
pub enum Rejection {
    /// No layer of privet is around this route: 500.
    MissingLayer,
    /// The visitor has not granted what the handler needs: 403.
    NotGranted,
    /// The request comes from another site: 403.
    CrossSite,
    /// The handler asks for something that cannot be: 500.
    Misuse(Error),
}

const MISSING: &str = "privet is not around this route. Serve `privet_axum::protect(app, &privet)`, or add `.layer(PrivetLayer::new(privet))` after the last route and the last layer.";

impl IntoResponse for Rejection {
    fn into_response(self) -> Response<Body> {
        match self {
            Self::MissingLayer => {
                tracing::error!("{MISSING}");
                plain(500, MISSING.to_owned())
            }
            Self::NotGranted => plain(403, "This needs a consent that was not given.".to_owned()),
            Self::CrossSite => plain(403, "This request did not come from this site.".to_owned()),
            Self::Misuse(error) => {
                tracing::error!("{error}");
                plain(500, error.to_string())
            }
        }
    }
}

impl From<Error> for Rejection {
    fn from(error: Error) -> Self {
        match error {
            Error::NotGranted { .. } => Self::NotGranted,
            error => Self::Misuse(error),
        }
    }
}
