use std::fmt;

use privet::Error;

use crate::reply::Reply;

/// Why an extractor gave nothing, or what a handler ended with.
#[derive(Debug)]
#[non_exhaustive]
pub enum Rejection {
    /// Nothing of privet is around this route: a 500 that names the cure, which is this.
    Missing(&'static str),
    /// The request comes from another site: 403.
    CrossSite,
    /// Something else; see [`Reply::of_error`].
    Failed(Error),
}

impl Rejection {
    /// That nothing of privet is around a route. The log gets the cure too, for frameworks that make a `None` of it.
    #[must_use]
    pub fn missing(cure: &'static str) -> Self {
        tracing::error!("{cure}");
        Self::Missing(cure)
    }

    /// The status code of the answer.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::Missing(_) => 500,
            Self::CrossSite => 403,
            Self::Failed(error) => Reply::told(error).0,
        }
    }

    /// The answer: to the visitor nothing of the inside, to the developer the cure of a mistake in the app's own code.
    #[must_use]
    pub fn reply(&self) -> Reply {
        match self {
            Self::Missing(cure) => Reply::plain(500, *cure),
            Self::CrossSite => Reply::plain(403, "This request did not come from this site."),
            Self::Failed(error) => Reply::of_error(error),
        }
    }

    /// Whether the visitor merely does not allow it, for `Option<Granted<C>>`: everything else is no `None`.
    #[must_use]
    pub const fn is_not_granted(&self) -> bool {
        matches!(self, Self::Failed(Error::NotGranted { .. }))
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(cure) => f.write_str(cure),
            Self::CrossSite => f.write_str("this request did not come from this site"),
            Self::Failed(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Rejection {}

impl From<Error> for Rejection {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}
