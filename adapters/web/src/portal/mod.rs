//! The operators' portal: pages and the same things as JSON, for whomever the app's guard lets in.

mod assets;
#[allow(dead_code, reason = "for the dispatch")]
mod events;
#[allow(dead_code, reason = "for the dispatch")]
mod export;
#[cfg(test)]
mod fixture;

use std::sync::Arc;

use async_trait::async_trait;
use privet::portal::Operator;
use privet::{Privet, Site, Visit};

use crate::reply::Reply;
use crate::request::{Method, Request};

/// The longest body that a route of the portal takes, in bytes.
pub const PORTAL_BODY_LIMIT: usize = 64 * 1024;

/// Says who is asking. It is called for every request to the portal, before anything else; without one there is no portal.
/// While new messages of a conversation are sent (`…/conversations/{id}/events`), it is called again every second with the
/// same request, after the head was sent: what ends a session is [`Privet::now`], and this is no sign of life.
///
/// ```
/// use async_trait::async_trait;
/// use privet::portal::{Operator, Role};
/// use privet::{Tenant, Visit};
/// use privet_web::{Guard, Request};
///
/// /// Lets in whoever comes through the company's proxy, which says who it is.
/// struct ByProxy;
///
/// #[async_trait]
/// impl Guard for ByProxy {
///     async fn operator(&self, _: &Visit, request: &Request) -> privet::Result<Option<Operator>> {
///         let name = request.header_value("x-operator");
///         name.map(|name| Operator::new(Tenant::default(), name, Role::Agent)).transpose()
///     }
/// }
/// ```
#[async_trait]
pub trait Guard: Send + Sync + 'static {
    /// The operator that asks; none for anybody else. An operator is of one tenant, and sees nothing of another.
    ///
    /// # Errors
    /// That it cannot be said now: the answer is 503.
    async fn operator(&self, visit: &Visit, request: &Request) -> privet::Result<Option<Operator>>;

    /// Where an operator logs in: a path of the app's, which the answer to a stranger links to.
    fn login(&self) -> Option<String> {
        None
    }

    /// Where an operator logs out: a path of the app's that takes a POST.
    fn logout(&self) -> Option<String> {
        None
    }
}

/// Where the portal is: its root, and the beginning of every path below it. For a framework's router.
#[must_use]
pub fn portal_paths(privet: &Privet) -> [String; 2] {
    let base = privet.base_path();
    [format!("{base}/portal"), format!("{base}/portal/")]
}

/// Answers a request to the portal.
pub async fn respond_portal(visit: &Visit, guard: &Arc<dyn Guard>, request: &Request) -> Reply {
    visit.banner_shown();
    let operator = match guard.operator(visit, request).await {
        Ok(Some(operator)) => operator,
        Ok(None) => return Reply::problem(401, "For operators only."),
        Err(error) => return Reply::of_error(&error),
    };
    let _ = (&operator, Method::Get, Site::default(), assets::STYLE);
    Reply::problem(404, "There is no such thing.")
}
