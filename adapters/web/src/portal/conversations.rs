//! Conversations: which are open, and one with its messages.

use askama::Template;
use privet::contact::{ConversationId, Message, Owner};
use privet::portal::{Permission, Portal};
use serde::Serialize;

use super::ask::{Answer, Ask, Params};
use super::contact::{PageLink, ToldConversation};
use super::frame::{Frame, Nav};
use super::text::{self, Shown, inert};

/// So many messages are on a page, as the domain gives them.
const SHOWN: u32 = 500;
/// So much of a last message is shown in the list.
const PREVIEW: usize = 120;

#[derive(Template)]
#[template(path = "portal/conversations.html")]
struct OpenPage {
    frame: Frame,
    rows: Vec<Row>,
}

struct Row {
    href: String,
    opened: Shown,
    last_message: Shown,
    waits: bool,
    text: Option<String>,
    messages: String,
}

#[derive(Serialize)]
struct ToldOpen {
    #[serde(flatten)]
    conversation: ToldConversation,
    contact: Option<String>,
    last: Option<Message>,
}

fn contact_of(owner: Owner) -> Option<String> {
    match owner {
        Owner::Contact(id) => Some(id.to_string()),
        Owner::Session(_) => None,
    }
}

fn preview(message: &Message) -> String {
    let mut text: String = inert(&message.text).chars().take(PREVIEW).collect();
    if message.text.chars().nth(PREVIEW).is_some() {
        text.push('…');
    }
    text.replace('\n', " ")
}

/// Those in which a person was asked and that are not closed, the latest first.
pub(super) async fn open(ask: &Ask<'_>, params: &Params<'_>) -> Answer {
    let portal = ask.portal(params.site())?;
    let open = portal.open_conversations().await?;
    if !ask.wants_html() {
        let told = |o: privet::portal::OpenConversation| ToldOpen {
            conversation: ToldConversation::new(&o.conversation, Vec::new()),
            contact: contact_of(o.conversation.owner),
            last: o.last,
        };
        let told: Vec<_> = open.into_iter().map(told).collect();
        return Ok(ask.json(200, &serde_json::json!({ "conversations": told })));
    }
    let site = &portal.scope().site;
    let row = |o: &privet::portal::OpenConversation| Row {
        href: ask.link(&format!("/{site}/conversations/{}", o.conversation.id), &[]),
        opened: text::time(ask.words, o.conversation.opened),
        last_message: text::time(ask.words, o.conversation.last_message),
        waits: o.conversation.awaits_answer,
        text: o.last.as_ref().map(preview),
        messages: text::number(ask.words, o.conversation.messages.into()),
    };
    Ok(ask.html(&OpenPage {
        frame: ask.frame(Some(&portal), Some(Nav::Conversations)),
        rows: open.iter().map(row).collect(),
    }))
}

#[derive(Template)]
#[template(path = "portal/conversation.html")]
struct ConversationPage {
    frame: Frame,
    id: String,
    contact: Option<(String, String)>,
    opened: Shown,
    closed: Option<Shown>,
    waits: bool,
    live_support: bool,
    messages: Vec<Written>,
    earlier: Option<String>,
    later: Option<String>,
    events: Option<String>,
    answers: bool,
    answer: String,
    close: String,
    erase: Option<String>,
}

struct Written {
    number: u32,
    ours: bool,
    author: &'static str,
    channel: &'static str,
    at: Shown,
    text: String,
    page: Option<PageLink>,
    erase: Option<String>,
}

impl Written {
    fn new(ask: &Ask<'_>, portal: &Portal, path: &str, message: &Message) -> Self {
        let erase = || ask.link(&format!("{path}/messages/{}/erase", message.number), &[]);
        Self {
            number: message.number,
            ours: message.author != privet::contact::Author::Visitor,
            author: ask.words.author(message.author),
            channel: ask.words.channel(message.channel),
            at: text::time(ask.words, message.at),
            text: inert(&message.text),
            page: message.page.as_ref().map(|page| PageLink::new(ask, portal, page.as_str())),
            erase: ask.may(Permission::Erase).then(erase),
        }
    }
}

#[derive(Serialize)]
struct ToldOne {
    #[serde(flatten)]
    conversation: ToldConversation,
    contact: Option<String>,
    message_list: Vec<Message>,
}

/// One conversation: its latest messages, or those after a number.
pub(super) async fn one(ask: &Ask<'_>, params: &Params<'_>) -> Answer {
    let portal = ask.portal(params.site())?;
    let id: ConversationId = params.read("conversation")?;
    let after = ask.query("after").map(|n| n.parse::<u32>().map_err(|_| super::ask::Failure::Told(400)));
    let after = after.transpose()?;
    // Opening is what the log has, whichever part is read.
    let (conversation, latest) = portal.conversation(id).await?;
    let messages = match after {
        Some(after) => portal.messages_after(id, after).await?.1,
        None => latest,
    };
    if !ask.wants_html() {
        let told = ToldOne {
            conversation: ToldConversation::new(&conversation, Vec::new()),
            contact: contact_of(conversation.owner),
            message_list: messages,
        };
        return Ok(ask.json(200, &told));
    }
    let site = &portal.scope().site;
    let path = format!("/{site}/conversations/{id}");
    let below = |rest: &str| ask.link(&format!("{path}/{rest}"), &[]);
    let first = messages.first().map_or(1, |m| m.number);
    let from = first.saturating_sub(SHOWN + 1).to_string();
    let closed = conversation.closed.is_some();
    Ok(ask.html(&ConversationPage {
        frame: ask.frame(Some(&portal), Some(Nav::Conversations)),
        contact: contact_of(conversation.owner)
            .map(|id| (ask.link(&format!("/{site}/contacts/{id}"), &[]), id)),
        id: id.to_string(),
        opened: text::time(ask.words, conversation.opened),
        closed: conversation.closed.map(|at| text::time(ask.words, at)),
        waits: conversation.awaits_answer && !closed,
        live_support: conversation.live_support,
        messages: messages.iter().map(|m| Written::new(ask, &portal, &path, m)).collect(),
        earlier: (first > 1).then(|| ask.link(&path, &[("after", &from)])),
        later: after.map(|_| ask.link(&path, &[])),
        events: (!closed && after.is_none()).then(|| {
            let last = messages.last().map_or(0, |m| m.number).to_string();
            ask.link(&format!("{path}/events"), &[("after", &last)])
        }),
        answers: !closed && ask.may(Permission::Answer),
        answer: below("answer"),
        close: below("close"),
        erase: ask.may(Permission::Erase).then(|| below("erase")),
    }))
}

/// New messages as they come.
pub(super) async fn events(ask: &Ask<'_>, params: &Params<'_>) -> Answer {
    let portal = ask.portal(params.site())?;
    let id = params.read("conversation")?;
    Ok(super::events::events(ask.guard, ask.visit, ask.request, portal, id).await?)
}
