//! What an erasure would take away, before it does; and the clean-up of contacts that nobody has seen for long.

use askama::Template;
use privet::contact::{CappedCount, ContactId, ConversationId, Removed};
use privet::portal::{Permission, Portal};
use privet::{Day, Error};
use serde::Serialize;

use super::ask::{Answer, Ask, Failure, Params};
use super::contacts::{CAP, capped};
use super::frame::{Frame, Nav};
use super::text;

/// So many contacts go in one step, so that no request takes long.
const STEP: u16 = 500;
/// What is offered first: not seen for a year.
const OFFERED_DAYS: i64 = 365;

/// What would go, by its kind. How many consent records are cut from the person is known when it has happened.
#[derive(Serialize)]
struct ToldGoes {
    contacts: u64,
    conversations: u64,
    messages: u64,
    notes: u64,
    records: u64,
}

impl From<&Removed> for ToldGoes {
    fn from(goes: &Removed) -> Self {
        Self {
            contacts: goes.contacts,
            conversations: goes.conversations,
            messages: goes.messages,
            notes: goes.notes,
            records: goes.records,
        }
    }
}

#[derive(Template)]
#[template(path = "portal/erase.html")]
struct ErasePage {
    frame: Frame,
    title: &'static str,
    /// What it is about.
    what: String,
    goes: Vec<(&'static str, String)>,
    severed: Option<String>,
    /// Whether consent records stay, cut from the person.
    proof_stays: bool,
    act: String,
    back: String,
}

/// What goes, without what there is none of.
fn counts(ask: &Ask<'_>, removed: &Removed) -> Vec<(&'static str, String)> {
    let w = ask.words;
    let all = [
        (w.contacts, removed.contacts),
        (w.conversations, removed.conversations),
        (w.messages, removed.messages),
        (w.notes, removed.notes),
        (w.records, removed.records),
    ];
    all.into_iter().filter(|(_, n)| *n > 0).map(|(label, n)| (label, text::number(w, n))).collect()
}

fn severed(ask: &Ask<'_>, removed: &Removed) -> Option<String> {
    (removed.severed > 0).then(|| text::number(ask.words, removed.severed))
}

/// What an erasure of a contact would take away.
pub(super) async fn contact(ask: &Ask<'_>, params: &Params<'_>) -> Answer {
    let portal = ask.portal(params.site())?;
    let id: ContactId = params.read("contact")?;
    let goes = portal.preview_erasure(id).await?;
    let back = format!("/{}/contacts/{id}", portal.scope().site);
    let act = format!("{back}/erase");
    let about = About { title: ask.words.erase_contact, what: id.to_string(), nav: Nav::Contacts };
    confirm(ask, &portal, about, &goes, &back, &act)
}

/// What an erasure of a conversation would take away.
pub(super) async fn conversation(ask: &Ask<'_>, params: &Params<'_>) -> Answer {
    let portal = ask.portal(params.site())?;
    let id: ConversationId = params.read("conversation")?;
    let goes = portal.preview_conversation_erasure(id).await?;
    let path = format!("/{}/conversations/{id}", portal.scope().site);
    let about = About { title: ask.words.erase_conversation, what: id.to_string(), nav: Nav::Conversations };
    confirm(ask, &portal, about, &goes, &path, &format!("{path}/erase"))
}

/// What an erasure of a message would take away: it.
pub(super) async fn message(ask: &Ask<'_>, params: &Params<'_>) -> Answer {
    let portal = ask.portal(params.site())?;
    let id: ConversationId = params.read("conversation")?;
    let number: u32 = params.read("number")?;
    if !ask.may(Permission::Erase) {
        // Refused, and written down.
        portal.preview_conversation_erasure(id).await?;
    }
    // What was written is shown, so the log has it as read.
    portal.conversation(id).await?;
    let (_, found) = portal.messages_after(id, number.saturating_sub(1)).await?;
    let message = found.first().filter(|m| m.number == number);
    let message = message.ok_or(Error::NotFound { what: "message" })?;
    let what = text::inert(&message.text);
    let path = format!("/{}/conversations/{id}", portal.scope().site);
    let act = format!("{path}/messages/{number}/erase");
    let about = About { title: ask.words.erase_message, what, nav: Nav::Conversations };
    confirm(ask, &portal, about, &Removed::new(0, 0, 1, 0), &path, &act)
}

/// What an erasure is about.
struct About {
    title: &'static str,
    what: String,
    nav: Nav,
}

fn confirm(ask: &Ask<'_>, portal: &Portal, about: About, goes: &Removed, back: &str, act: &str) -> Answer {
    if !ask.wants_html() {
        return Ok(ask.json(200, &ToldGoes::from(goes)));
    }
    Ok(ask.html(&ErasePage {
        frame: ask.frame(Some(portal), Some(about.nav)),
        title: about.title,
        what: about.what,
        goes: counts(ask, goes),
        severed: severed(ask, goes),
        proof_stays: goes.contacts > 0,
        act: ask.link(act, &[]),
        back: ask.link(back, &[]),
    }))
}

#[derive(Template)]
#[template(path = "portal/stale.html")]
struct StalePage {
    frame: Frame,
    here: String,
    before: String,
    latest: String,
    preview: Option<String>,
    removed: Option<Vec<(&'static str, String)>>,
    severed: Option<String>,
    more: bool,
}

#[derive(Serialize)]
struct ToldStale {
    before: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    removed: Option<Removed>,
    contacts: u32,
    more: bool,
}

/// The day that was named. One that is still to come names everybody, and is a mistake.
fn named(ask: &Ask<'_>, text: &str) -> Result<Day, Failure> {
    let day = text::read_day(text.trim()).ok_or(Failure::Told(400))?;
    if day > ask.visit.now().day() { Err(Failure::Told(400)) } else { Ok(day) }
}

fn stale_page(
    ask: &Ask<'_>,
    portal: &Portal,
    before: Day,
    left: Option<CappedCount>,
    removed: Option<&Removed>,
) -> StalePage {
    StalePage {
        frame: ask.frame(Some(portal), Some(Nav::CleanUp)),
        here: ask.link(&format!("/{}/stale", portal.scope().site), &[]),
        before: text::iso(before),
        latest: text::iso(ask.visit.now().day()),
        preview: left.map(|left| capped(ask.words, left)),
        removed: removed.map(|r| counts(ask, r)),
        severed: removed.and_then(|r| severed(ask, r)),
        more: left.is_some_and(|left| left.count > 0),
    }
}

/// Contacts that were not seen since the beginning of a day: how many.
pub(super) async fn preview_stale(ask: &Ask<'_>, params: &Params<'_>) -> Answer {
    let portal = ask.portal(params.site())?;
    if !ask.may(Permission::Erase) {
        // Refused, and written down, before anything else is said about the request.
        portal.preview_stale(ask.visit.now(), 1).await?;
    }
    let before = ask.query("before").map(|text| named(ask, &text)).transpose()?;
    let left = match before {
        Some(before) => Some(portal.preview_stale(before.start(), CAP).await?),
        None => None,
    };
    let offered = Day::from_number(ask.visit.now().day().number() - OFFERED_DAYS);
    if ask.wants_html() {
        return Ok(ask.html(&stale_page(ask, &portal, before.unwrap_or(offered), left, None)));
    }
    let (before, left) = before.zip(left).ok_or(Failure::Told(400))?;
    let told = ToldStale { before: text::iso(before), removed: None, contacts: left.count, more: left.more };
    Ok(ask.json(200, &told))
}

/// Takes the next of them away.
pub(super) async fn erase_stale(ask: &Ask<'_>, params: &Params<'_>) -> Answer {
    let form = ask.form()?;
    let portal = ask.portal(params.site())?;
    if !ask.may(Permission::Erase) {
        portal.preview_stale(ask.visit.now(), 1).await?;
    }
    let before = named(ask, form.get("before"))?;
    let removed = portal.erase_stale(before.start(), STEP).await?;
    let left = portal.preview_stale(before.start(), CAP).await?;
    if ask.wants_html() {
        return Ok(ask.html(&stale_page(ask, &portal, before, Some(left), Some(&removed))));
    }
    let told = ToldStale {
        before: text::iso(before),
        removed: Some(removed),
        contacts: left.count,
        more: left.more,
    };
    Ok(ask.json(200, &told))
}
