//! The operators' portal: pages and the same things as JSON, for whomever the app's guard lets in.

mod acts;
mod ask;
mod assets;
mod chart;
mod contact;
mod contacts;
mod conversations;
mod countries;
mod erasing;
mod events;
mod export;
#[cfg(test)]
mod fixture;
mod frame;
mod log;
mod openapi;
mod overview;
mod routes;
#[cfg(test)]
mod tests;
mod text;
mod words;

use std::sync::Arc;

use async_trait::async_trait;
use privet::portal::Operator;
use privet::{Privet, Visit};

use crate::reply::Reply;
use crate::request::Request;
use ask::{Ask, Failure};
use routes::Found;

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

#[async_trait]
impl<G: Guard + ?Sized> Guard for Arc<G> {
    async fn operator(&self, visit: &Visit, request: &Request) -> privet::Result<Option<Operator>> {
        (**self).operator(visit, request).await
    }

    fn login(&self) -> Option<String> {
        (**self).login()
    }

    fn logout(&self) -> Option<String> {
        (**self).logout()
    }
}

/// Where the portal is: its root, and the beginning of every path below it. For a framework's router.
#[must_use]
pub fn portal_paths(privet: &Privet) -> [String; 2] {
    let root = ask::root(privet);
    let below = format!("{root}/");
    [root, below]
}

/// Answers a request to the portal. A stranger gets the same answer to whatever they ask for.
pub async fn respond_portal(visit: &Visit, guard: &Arc<dyn Guard>, request: &Request) -> Reply {
    visit.banner_shown();
    let operator = match guard.operator(visit, request).await {
        Ok(Some(operator)) => operator,
        Ok(None) => return ask::stranger(visit, &**guard, request, 401),
        Err(error) => {
            tracing::error!("the guard of the portal could not say who is asking: {error}");
            return ask::stranger(visit, &**guard, request, 503);
        }
    };
    let ask = Ask::new(visit, guard, request, &operator);
    let Some(path) = request.path.strip_prefix(ask.root.as_str()) else { return ask.not_found() };
    match routes::find(request.method, path) {
        Found::Route(route, params) => match routes::answer(&ask, route.page, &params).await {
            Ok(reply) => reply,
            Err(failure) => ask.failed(&failure),
        },
        Found::OtherMethod(allowed) => ask.failed(&Failure::Told(405)).header("allow", allowed),
        Found::Nothing => ask.not_found(),
    }
}
