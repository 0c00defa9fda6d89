//! The visitor's own decisions, as their requests to privet's routes say them.

use std::collections::BTreeSet;

use serde::Deserialize;
use url::form_urlencoded;

use super::observe::Audit;
use super::visitor::Exchange;
use crate::error::{Error, Result};

/// What a decision came to, as bit masks of categories.
#[derive(Clone, Debug)]
pub(super) enum Decided {
    /// A choice about everything; what is not granted is refused.
    Chosen {
        granted: u64,
        /// Granted while the browser sent Global Privacy Control.
        despite: u64,
    },
    /// These are taken back.
    Withdrawn(u64),
}

/// What the forms and scripts of privet send, as far as it counts here.
#[derive(Debug, Default, Deserialize)]
struct Said {
    #[serde(default)]
    action: String,
    #[serde(default, alias = "category")]
    categories: BTreeSet<String>,
    #[serde(default)]
    service: String,
}

impl Said {
    fn read(exchange: &Exchange) -> Option<Self> {
        let (content_type, body) = exchange.body.as_ref()?;
        if content_type.trim_start().to_ascii_lowercase().starts_with("application/json") {
            return serde_json::from_slice(body).ok();
        }
        let mut said = Self::default();
        for (name, value) in form_urlencoded::parse(body) {
            match name.as_ref() {
                "action" => said.action = value.into_owned(),
                "category" => drop(said.categories.insert(value.into_owned())),
                "service" => said.service = value.into_owned(),
                _ => {}
            }
        }
        Some(said)
    }
}

/// Whether it was answered as privet answers what it takes: a page with 303, a script with 200. Others redirect too, such
/// as to a sign-in, so that the cookie has to have come as well.
fn was_answered(exchange: &Exchange) -> bool {
    exchange.method == "POST" && matches!(exchange.status, 200 | 303)
}

fn route<'p>(audit: &Audit, path: &'p str) -> Option<&'p str> {
    path.strip_prefix(audit.base())
}

/// The decision that an exchange was; none, if it was something else or was not taken.
pub(super) fn decision(audit: &Audit, exchange: &Exchange, path: &str) -> Result<Option<Decided>> {
    let route = match route(audit, path) {
        Some(route @ ("/consent" | "/withdraw")) if was_answered(exchange) => route,
        _ => return Ok(None),
    };
    let cookie = &audit.names().consent;
    // Where nothing is asked, no cookie remembers it, and nothing opens.
    if audit.catalogue().all_codes() != 0 && !exchange.sets(cookie) {
        return Err(Error::invalid(
            format!(
                "POST {path} was answered like a decision, and set no `{cookie}`: something else answered it, or the file was exported without cookies"
            ),
            "export it with sensitive data (Chromium: the settings of the developer tools, under Network), or name the stage of the whole file",
        ));
    }
    let unreadable = || {
        Error::invalid(
            format!("POST {path} took a decision, and the file does not say which"),
            "export it with the bodies of requests in the file itself (Playwright: `content: \"embed\"`), or name the stage of the whole file",
        )
    };
    let said = match Said::read(exchange) {
        Some(said) => said,
        // Without anything said everything is withdrawn, and a browser then sends no body.
        None if route == "/withdraw" && exchange.body.is_none() => Said::default(),
        None => return Err(unreadable()),
    };
    let catalogue = audit.catalogue();
    let named = said.categories.iter().filter_map(|id| catalogue.category(id));
    let codes = named.fold(0, |all, c| all | c.code.bit());
    if route == "/withdraw" {
        let everything = said.categories.is_empty();
        return Ok(Some(Decided::Withdrawn(if everything { catalogue.all_codes() } else { codes })));
    }
    let signalled = if exchange.gpc { catalogue.sales() } else { 0 };
    let (granted, despite) = match said.action.as_str() {
        "accept_all" => (catalogue.all_codes() & !signalled, 0),
        "reject_all" => (0, 0),
        "save" => (codes, codes & signalled),
        _ => return Err(unreadable()),
    };
    Ok(Some(Decided::Chosen { granted, despite }))
}

/// The service that a request started, by its id.
pub(super) fn activation(audit: &Audit, exchange: &Exchange, path: &str) -> Option<String> {
    let asked = route(audit, path) == Some("/activate") && was_answered(exchange);
    let taken = asked && exchange.sets(&audit.names().active);
    taken.then(|| Said::read(exchange)).flatten().map(|said| said.service)
}
