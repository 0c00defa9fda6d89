//! One contact: what is known of it, and what its operators may do about it.

use askama::Template;
use privet::Timestamp;
use privet::catalogue::{CategoryCode, LegalBasis};
use privet::consent::{Act, ConsentRecord, Decision, Method};
use privet::contact::{ContactId, ContactSummary, Conversation, PageUrl};
use privet::portal::{ContactDetails, Note, Permission, Portal};
use serde::Serialize;

use super::ask::{Answer, Ask, Params};
use super::contacts::country;
use super::frame::{Frame, Nav};
use super::text::{self, Shown, inert};

/// A page that somebody wrote from: a link only where it leads to the site itself, since what stands there comes from
/// outside.
pub(super) struct PageLink {
    pub(super) text: String,
    pub(super) href: Option<String>,
}

impl PageLink {
    pub(super) fn new(ask: &Ask<'_>, portal: &Portal, url: &str) -> Self {
        // The origins that are known are those of the site that the portal is reached under.
        let own = if portal.scope() == ask.visit.scope() { ask.visit.public_origins() } else { &[] };
        let of = |origin: &String| {
            let rest = url.strip_prefix(origin.as_str())?;
            (rest.is_empty() || rest.starts_with(['/', '?'])).then(|| url.to_owned())
        };
        let href = if url.starts_with('/') {
            own.first().map(|origin| format!("{origin}{url}"))
        } else {
            own.iter().find_map(of)
        };
        Self { text: inert(url), href }
    }
}

#[derive(Template)]
#[template(path = "portal/contact.html")]
struct ContactPage {
    frame: Frame,
    list: String,
    id: String,
    country: String,
    created: Shown,
    last_seen: Shown,
    conversations_count: String,
    blocked: bool,
    identity: Option<String>,
    consent_until: Shown,
    frozen_until: Option<Shown>,
    kept_on: Option<&'static str>,
    state: Vec<(String, &'static str)>,
    history: Vec<Recorded>,
    conversations: Vec<Talk>,
    reads: bool,
    notes: Vec<NoteRow>,
    annotates: bool,
    block: String,
    add_note: String,
    export: Option<String>,
    erase: Option<String>,
}

struct Recorded {
    act: &'static str,
    at: Shown,
    method: &'static str,
    decisions: Vec<(String, &'static str)>,
}

struct Talk {
    href: Option<String>,
    id: String,
    opened: Shown,
    closed: Option<Shown>,
    last_message: Shown,
    messages: String,
    waits: bool,
    pages: Vec<PageLink>,
}

struct NoteRow {
    at: Shown,
    author: String,
    text: String,
    erase: String,
}

#[derive(Serialize)]
struct Told<'a> {
    #[serde(flatten)]
    contact: ContactSummary,
    blocked: bool,
    identity: &'a Option<String>,
    consent_until: String,
    frozen_until: Option<String>,
    kept_on: Option<&'static str>,
    consent: Vec<ToldRecord>,
    conversation_list: Vec<ToldConversation>,
    notes: &'a [Note],
}

#[derive(Serialize)]
struct ToldRecord {
    act: &'static str,
    at: String,
    until: String,
    method: &'static str,
    decisions: Vec<ToldDecision>,
}

#[derive(Serialize)]
struct ToldDecision {
    category: String,
    decision: Decision,
}

#[derive(Serialize)]
pub(super) struct ToldConversation {
    id: String,
    opened: String,
    closed: Option<String>,
    last_message: String,
    messages: u32,
    live_support: bool,
    awaits_answer: bool,
    pages: Vec<String>,
}

impl ToldConversation {
    pub(super) fn new(c: &Conversation, pages: Vec<String>) -> Self {
        Self {
            id: c.id.to_string(),
            opened: c.opened.to_string(),
            closed: c.closed.map(|at| at.to_string()),
            last_message: c.last_message.to_string(),
            messages: c.messages,
            live_support: c.live_support,
            awaits_answer: c.awaits_answer,
            pages,
        }
    }
}

/// The categories of a record as the catalogue calls them; one that it has no more keeps its number.
fn named(portal: &Portal, ask: &Ask<'_>, record: &ConsentRecord, label: bool) -> Vec<(String, Decision)> {
    let catalogue = portal.privet().catalogue(portal.scope()).ok();
    let name = |code| {
        let category = catalogue.and_then(|c| c.categories().iter().find(|c| c.code == code).map(|k| (c, k)));
        match category {
            Some((catalogue, category)) if label => {
                catalogue.category_label(category.code, &ask.language(catalogue))
            }
            Some((_, category)) => category.id.clone(),
            None => format!("#{}", CategoryCode::get(code)),
        }
    };
    record.decisions.iter().map(|d| (name(d.category), d.decision)).collect()
}

/// An act as programs read it.
fn act_name(act: Act) -> &'static str {
    match act {
        Act::Grant => "grant",
        Act::Withdrawal => "withdrawal",
        Act::Revocation => "revocation",
        Act::Objection => "objection",
        Act::Refusal => "refusal",
        _ => "other",
    }
}

fn method_name(method: Method) -> &'static str {
    match method {
        Method::Form => "form",
        Method::Script => "script",
        Method::Server => "server",
        Method::Signal => "signal",
        _ => "other",
    }
}

fn told<'a>(
    ask: &Ask<'_>,
    portal: &Portal,
    details: &'a ContactDetails,
    pages: Vec<Vec<String>>,
) -> Told<'a> {
    let c = &details.contact;
    let record = |r: &ConsentRecord| ToldRecord {
        act: act_name(r.act),
        at: r.at.to_string(),
        until: r.until.to_string(),
        method: method_name(r.method),
        decisions: named(portal, ask, r, false)
            .into_iter()
            .map(|(category, decision)| ToldDecision { category, decision })
            .collect(),
    };
    let mut pages = pages.into_iter();
    let text = |at: Timestamp| at.to_string();
    Told {
        contact: c.into(),
        blocked: c.blocked,
        identity: &details.identity,
        consent_until: text(c.consent_until),
        frozen_until: c.frozen_until.map(text),
        kept_on: c.kept_on.map(LegalBasis::article),
        consent: details.history.iter().map(record).collect(),
        conversation_list: details
            .conversations
            .iter()
            .map(|c| ToldConversation::new(c, pages.next().unwrap_or_default()))
            .collect(),
        notes: &details.notes,
    }
}

/// One contact.
pub(super) async fn one(ask: &Ask<'_>, params: &Params<'_>) -> Answer {
    let portal = ask.portal(params.site())?;
    let id: ContactId = params.read("contact")?;
    let details = portal.contact(id).await?;
    let texts = |urls: &[PageUrl]| urls.iter().map(|url| url.as_str().to_owned()).collect();
    let pages = details.pages.iter().map(|(_, urls)| texts(urls)).collect();
    if !ask.wants_html() {
        return Ok(ask.json(200, &told(ask, &portal, &details, pages)));
    }
    Ok(ask.html(&shown(ask, &portal, &details, pages)))
}

fn shown(ask: &Ask<'_>, portal: &Portal, details: &ContactDetails, pages: Vec<Vec<String>>) -> ContactPage {
    let (words, site, c) = (ask.words, &portal.scope().site, &details.contact);
    let time = |at| text::time(words, at);
    let path = format!("/{site}/contacts/{}", c.id);
    let below = |rest: &str| ask.link(&format!("{path}/{rest}"), &[]);
    let reads = ask.may(Permission::ReadMessages);
    let decisions = |record: &ConsentRecord| -> Vec<_> {
        named(portal, ask, record, true).into_iter().map(|(n, d)| (n, words.decision(d))).collect()
    };
    let mut pages = pages.into_iter();
    ContactPage {
        frame: ask.frame(Some(portal), Some(Nav::Contacts)),
        list: ask.link(&format!("/{site}/contacts"), &[]),
        id: c.id.to_string(),
        country: country(ask, c.country),
        created: time(c.created),
        last_seen: time(c.last_seen),
        conversations_count: text::number(words, c.conversations.into()),
        blocked: c.blocked,
        identity: details.identity.as_deref().map(inert),
        consent_until: time(c.consent_until),
        frozen_until: c.frozen_until.map(time),
        kept_on: c.kept_on.map(|basis| words.basis(basis)),
        state: details.history.last().map(decisions).unwrap_or_default(),
        history: details
            .history
            .iter()
            .rev()
            .map(|r| Recorded {
                act: words.act(r.act),
                at: time(r.at),
                method: words.method(r.method),
                decisions: decisions(r),
            })
            .collect(),
        conversations: details
            .conversations
            .iter()
            .map(|talk| Talk {
                href: reads.then(|| ask.link(&format!("/{site}/conversations/{}", talk.id), &[])),
                id: talk.id.to_string(),
                opened: time(talk.opened),
                closed: talk.closed.map(time),
                last_message: time(talk.last_message),
                messages: text::number(words, talk.messages.into()),
                waits: talk.awaits_answer && talk.closed.is_none(),
                pages: pages
                    .next()
                    .unwrap_or_default()
                    .iter()
                    .map(|url| PageLink::new(ask, portal, url))
                    .collect(),
            })
            .collect(),
        reads,
        notes: details
            .notes
            .iter()
            .map(|note| NoteRow {
                at: time(note.at),
                author: inert(&note.author),
                text: inert(&note.text),
                erase: below(&format!("notes/{}/erase", note.id)),
            })
            .collect(),
        annotates: ask.may(Permission::Annotate),
        block: below(if c.blocked { "unblock" } else { "block" }),
        add_note: below("notes"),
        export: ask.may(Permission::Export).then(|| below("export")),
        erase: ask.may(Permission::Erase).then(|| below("erase")),
    }
}

/// Everything about one contact, to take along.
pub(super) async fn export(ask: &Ask<'_>, params: &Params<'_>) -> Answer {
    let portal = ask.portal(params.site())?;
    let whole = portal.export_contact(params.read("contact")?).await?;
    Ok(ask.json(200, &whole).header("content-disposition", "attachment; filename=\"contact.json\""))
}
