//! The routes that change something.

use std::collections::BTreeSet;
use std::sync::Once;

use privet::consent::{Answer, Decided, Method, Provenance, Withdrawn};
use privet::{Error, Visit};
use serde::Deserialize;

use super::{failed, not_found, notice, return_to, settings, wants_html};
use crate::origin::SameOrigin;
use crate::reply::Reply;
use crate::request::Request;
use crate::state::state_json;

/// What a form or a script sends.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sent {
    #[serde(default)]
    action: String,
    #[serde(default, alias = "category")]
    categories: BTreeSet<String>,
    #[serde(default)]
    notice: String,
    #[serde(default)]
    return_to: Option<String>,
    #[serde(default)]
    service: String,
    /// Which program of the page asks, such as a CMP: taken as said, and told in no record.
    #[serde(default)]
    #[allow(dead_code, reason = "accepted, so that scripts may send it")]
    source: Option<String>,
}

impl Sent {
    fn read(visit: &Visit, request: &Request) -> Result<(Self, Method), Reply> {
        if request.same_origin(visit.public_origins()) != SameOrigin::Yes {
            static TOLD: Once = Once::new();
            if request.header("sec-fetch-site").is_none() {
                TOLD.call_once(|| tracing::warn!(
                    "a decision was refused, since its request does not say that it came from this site; if visitors reach the app under another origin than its `public_origin`s, add that one; this is said once"
                ));
            }
            return Err(failed(visit, request, 403, |w| (w.forbidden, "")));
        }
        let bad = || failed(visit, request, 400, |w| (w.bad_request, ""));
        let Some(body) = request.bounded_body() else {
            return Err(failed(visit, request, 413, |w| (w.bad_request, "")));
        };
        let content_type = request
            .header("content-type")
            .unwrap_or("")
            .split(';')
            .next()
            .unwrap_or("")
            .trim()
            .to_ascii_lowercase();
        match content_type.as_str() {
            "application/json" => {
                serde_json::from_slice(body).map(|s| (s, Method::Script)).map_err(|_| bad())
            }
            "application/x-www-form-urlencoded" | "" => {
                Self::from_form(body).map(|s| (s, Method::Form)).ok_or_else(bad)
            }
            _ => Err(failed(visit, request, 415, |w| (w.bad_request, ""))),
        }
    }

    fn from_form(body: &[u8]) -> Option<Self> {
        // A browser sends text; what decodes to something else was sent by something else.
        std::str::from_utf8(body).ok()?;
        let mut sent = Self::default();
        for (name, value) in form_urlencoded::parse(body) {
            let value = value.into_owned();
            match name.as_ref() {
                "action" => sent.action = value,
                "category" => drop(sent.categories.insert(value)),
                "notice" => sent.notice = value,
                "return_to" => sent.return_to = Some(value),
                "service" => sent.service = value,
                _ => {}
            }
        }
        Some(sent)
    }
}

fn provenance(request: &Request, method: Method) -> Provenance {
    Provenance::new(method, request.header("sec-fetch-user") == Some("?1"))
}

/// A failure of ours is told to the log; to the visitor, that it did not work.
fn trouble(visit: &Visit, request: &Request, error: &Error) -> Reply {
    match error {
        Error::UnknownCategory { .. } | Error::UnknownService { .. } | Error::Invalid { .. } => {
            failed(visit, request, 400, |w| (w.bad_request, ""))
        }
        Error::Conflict { .. } => failed(visit, request, 409, |w| (w.unavailable_title, "")),
        Error::TooManyGrants { retry_after } => {
            failed(visit, request, 429, |w| (w.too_many_title, w.too_many_text))
                .header("retry-after", retry_after.as_secs().to_string())
        }
        error => {
            tracing::error!("a decision was not taken: {error}");
            failed(visit, request, 503, |w| (w.unavailable_title, w.unavailable_text))
                .header("retry-after", "60")
        }
    }
}

fn done(visit: &Visit, request: &Request, sent: &Sent, with: Withdrawn) -> Reply {
    if wants_html(request) {
        let base = visit.privet().base_path();
        // What is not recorded yet has to be said, and the settings page says it.
        let to = if with.pending { base.to_owned() } else { return_to(request, sent.return_to.as_deref()) };
        return Reply::see_other(&to);
    }
    match notice(visit, request) {
        Some(notice) => Reply::json(200, &state_json(visit, notice, false)).personal(),
        None => not_found(visit, request),
    }
}

pub(super) async fn consent(visit: &Visit, request: &Request) -> Reply {
    let (sent, method) = match Sent::read(visit, request) {
        Ok(sent) => sent,
        Err(reply) => return reply,
    };
    let answer = match sent.action.as_str() {
        "accept_all" => Answer::AcceptAll,
        "reject_all" => Answer::RejectAll,
        "save" => Answer::Save(sent.categories.clone()),
        _ => return failed(visit, request, 400, |w| (w.bad_request, "")),
    };
    match visit.privet().decide(visit, &answer, &sent.notice, provenance(request, method)).await {
        Ok(Decided::Done(with)) => done(visit, request, &sent, with),
        Ok(_) => stale(visit, request),
        Err(error) => trouble(visit, request, &error),
    }
}

/// Nothing was recorded; the notice of today comes with the answer.
fn stale(visit: &Visit, request: &Request) -> Reply {
    if wants_html(request) {
        return settings(visit, request, 409, true);
    }
    match notice(visit, request) {
        Some(notice) => Reply::json(409, &state_json(visit, notice, false)).personal(),
        None => not_found(visit, request),
    }
}

pub(super) async fn withdraw(visit: &Visit, request: &Request) -> Reply {
    let (sent, method) = match Sent::read(visit, request) {
        Ok(sent) => sent,
        Err(reply) => return reply,
    };
    let language = request.language(visit);
    let withdrawn =
        visit.privet().withdraw(visit, &sent.categories, &language, provenance(request, method)).await;
    match withdrawn {
        Ok(with) => done(visit, request, &sent, with),
        Err(error) => trouble(visit, request, &error),
    }
}

pub(super) fn activate(visit: &Visit, request: &Request) -> Reply {
    let (sent, _) = match Sent::read(visit, request) {
        Ok(sent) => sent,
        Err(reply) => return reply,
    };
    match visit.activate(&sent.service) {
        Ok(()) => done(visit, request, &sent, Withdrawn::default()),
        Err(error) => trouble(visit, request, &error),
    }
}
