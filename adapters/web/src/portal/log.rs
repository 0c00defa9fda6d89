//! What operators saw and did.

use askama::Template;
use data_encoding::HEXLOWER;
use privet::portal::{AuditEvent, Outcome, Verb};
use serde::Serialize;

use super::ask::{Answer, Ask, Params};
use super::frame::{Frame, Nav};
use super::text::{self, Shown, inert};

/// So many events are on a page.
const EVENTS: u16 = 100;

#[derive(Template)]
#[template(path = "portal/log.html")]
struct LogPage {
    frame: Frame,
    rows: Vec<Row>,
    next: Option<String>,
    behind: Option<String>,
}

struct Row {
    at: Shown,
    operator: String,
    verb: &'static str,
    site: String,
    about: String,
    refused: bool,
    outcome: &'static str,
}

#[derive(Serialize)]
struct Told {
    at: String,
    operator: String,
    verb: Verb,
    site: Option<String>,
    subject: Option<String>,
    outcome: Outcome,
}

#[derive(Serialize)]
struct ToldPage {
    events: Vec<Told>,
    next: Option<String>,
    behind_ms: Option<u64>,
}

/// So much of a digest as tells one from another.
fn about(event: &AuditEvent) -> Option<String> {
    let subject = event.subject.as_ref()?;
    subject.as_bytes().get(..6).map(|bytes| HEXLOWER.encode(bytes))
}

pub(super) async fn log(ask: &Ask<'_>, params: &Params<'_>) -> Answer {
    let portal = ask.portal(params.site())?;
    let page = portal.audit_log(ask.query("after").as_deref(), EVENTS).await?;
    if !ask.wants_html() {
        let told = |e: &AuditEvent| Told {
            at: e.at.to_string(),
            operator: e.operator.clone(),
            verb: e.verb,
            site: e.site.as_ref().map(ToString::to_string),
            subject: about(e),
            outcome: e.outcome,
        };
        let behind_ms = page.behind.map(text::milliseconds);
        let events = page.events.iter().map(told).collect();
        return Ok(ask.json(200, &ToldPage { events, next: page.next, behind_ms }));
    }
    let row = |e: &AuditEvent| Row {
        at: text::time(ask.words, e.at),
        operator: inert(&e.operator),
        verb: ask.words.verb(e.verb),
        site: e.site.as_ref().map(ToString::to_string).unwrap_or_default(),
        about: about(e).unwrap_or_default(),
        refused: e.outcome == Outcome::Refused,
        outcome: ask.words.outcome(e.outcome),
    };
    let path = format!("/{}/log", portal.scope().site);
    Ok(ask.html(&LogPage {
        frame: ask.frame(Some(&portal), Some(Nav::Log)),
        rows: page.events.iter().map(row).collect(),
        next: page.next.as_deref().map(|next| ask.link(&path, &[("after", next)])),
        behind: page.behind.map(|behind| text::seconds(ask.words, behind)),
    }))
}
