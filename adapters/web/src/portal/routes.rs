//! The portal's routes: one table, from which requests are dispatched and the document for programs is made.

use privet::portal::Permission;

use super::ask::{Answer, Ask, Params};
use super::{acts, assets, contact, contacts, conversations, erasing, log, openapi, overview};
use crate::request::Method;

/// What a route is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Page {
    Sites,
    Style,
    Script,
    Document,
    Site,
    Contacts,
    Contact,
    ExportContact,
    AddNote,
    EraseNote,
    Block,
    Unblock,
    PreviewContact,
    EraseContact,
    PreviewStale,
    EraseStale,
    Conversations,
    Conversation,
    Events,
    Answer,
    Close,
    PreviewConversation,
    EraseConversation,
    PreviewMessage,
    EraseMessage,
    Overview,
    Export,
    Log,
}

/// One route.
pub(super) struct Route {
    pub(super) post: bool,
    /// Below the portal's root; a part in braces stands for anything.
    pub(super) path: &'static str,
    pub(super) page: Page,
    /// What it takes; none where the guard is enough.
    pub(super) needs: Option<Permission>,
    /// What it does, for people who program.
    pub(super) does: &'static str,
    /// What it reads of the query, or of the form.
    pub(super) takes: &'static [&'static str],
}

const fn get(
    path: &'static str,
    page: Page,
    needs: Option<Permission>,
    does: &'static str,
    takes: &'static [&'static str],
) -> Route {
    Route { post: false, path, page, needs, does, takes }
}

const fn post(
    path: &'static str,
    page: Page,
    needs: Permission,
    does: &'static str,
    takes: &'static [&'static str],
) -> Route {
    Route { post: true, path, page, needs: Some(needs), does, takes }
}

const SEE: Option<Permission> = Some(Permission::SeeContacts);
const READ: Option<Permission> = Some(Permission::ReadMessages);
const ERASE: Option<Permission> = Some(Permission::Erase);

/// What the list of contacts is asked.
const FILTERS: &[&str] = &[
    "country",
    "created_from",
    "created_to",
    "seen_from",
    "seen_to",
    "open",
    "q",
    "known_as",
    "cursor",
    "limit",
];

/// Every route. Fixed parts come before those in braces.
#[rustfmt::skip]
pub(super) const ROUTES: &[Route] = &[
    get("", Page::Sites, None, "The sites of the operator's tenant.", &[]),
    get("/", Page::Sites, None, "The same.", &[]),
    get("/portal.css", Page::Style, None, "The stylesheet.", &["v"]),
    get("/portal.js", Page::Script, None, "The script.", &["v"]),
    get("/openapi.json", Page::Document, None, "This document.", &[]),
    get("/{site}", Page::Site, None, "Leads to the contacts of a site.", &[]),
    get("/{site}/contacts", Page::Contacts, SEE, "Contacts, most recent activity first.", FILTERS),
    get("/{site}/contacts/{contact}", Page::Contact, SEE, "One contact.", &[]),
    get("/{site}/contacts/{contact}/export", Page::ExportContact, Some(Permission::Export), "Everything about one contact.", &[]),
    post("/{site}/contacts/{contact}/notes", Page::AddNote, Permission::Annotate, "Writes a note.", &["text"]),
    post("/{site}/contacts/{contact}/notes/{note}/erase", Page::EraseNote, Permission::Annotate, "Takes a note away.", &[]),
    post("/{site}/contacts/{contact}/block", Page::Block, Permission::Annotate, "Blocks a contact.", &[]),
    post("/{site}/contacts/{contact}/unblock", Page::Unblock, Permission::Annotate, "Unblocks a contact.", &[]),
    get("/{site}/contacts/{contact}/erase", Page::PreviewContact, ERASE, "What an erasure of the contact would take away.", &[]),
    post("/{site}/contacts/{contact}/erase", Page::EraseContact, Permission::Erase, "Erases a contact.", &[]),
    get("/{site}/stale", Page::PreviewStale, ERASE, "How many contacts were not seen since a day.", &["before"]),
    post("/{site}/stale", Page::EraseStale, Permission::Erase, "Erases up to 500 contacts that were not seen since a day.", &["before"]),
    get("/{site}/conversations", Page::Conversations, READ, "Open conversations, the latest first.", &[]),
    get("/{site}/conversations/{conversation}", Page::Conversation, READ, "One conversation: its latest messages, or those after a number.", &["after"]),
    get("/{site}/conversations/{conversation}/events", Page::Events, READ, "New messages as they come: Server-Sent Events.", &["after"]),
    post("/{site}/conversations/{conversation}/answer", Page::Answer, Permission::Answer, "Answers.", &["text"]),
    post("/{site}/conversations/{conversation}/close", Page::Close, Permission::Answer, "Closes a conversation.", &[]),
    get("/{site}/conversations/{conversation}/erase", Page::PreviewConversation, ERASE, "What an erasure of the conversation would take away.", &[]),
    post("/{site}/conversations/{conversation}/erase", Page::EraseConversation, Permission::Erase, "Erases a conversation.", &[]),
    get("/{site}/conversations/{conversation}/messages/{number}/erase", Page::PreviewMessage, ERASE, "What an erasure of the message would take away.", &[]),
    post("/{site}/conversations/{conversation}/messages/{number}/erase", Page::EraseMessage, Permission::Erase, "Erases a message.", &[]),
    get("/{site}/overview", Page::Overview, Some(Permission::SeeFigures), "Figures from a day to a day, without groups that are too small.", &["from", "to"]),
    get("/{site}/export", Page::Export, Some(Permission::Export), "All contacts or conversations, as CSV or JSON Lines, with a manifest at the end.", &["what", "format"]),
    get("/{site}/log", Page::Log, Some(Permission::ReadAudit), "What operators saw and did, the latest first.", &["after"]),
];

impl Route {
    /// What its braces stand for in a path; none if the path is another route's.
    fn params<'p>(&self, path: &'p str) -> Option<Params<'p>> {
        let (mut params, mut parts) = (Vec::new(), path.split('/'));
        for wanted in self.path.split('/') {
            let part = parts.next()?;
            match wanted.strip_prefix('{').and_then(|w| w.strip_suffix('}')) {
                Some(name) if !part.is_empty() => params.push((name, part)),
                None if wanted == part => {}
                _ => return None,
            }
        }
        parts.next().is_none().then_some(Params(params))
    }
}

/// What a path and a method lead to.
pub(super) enum Found<'p> {
    Route(&'static Route, Params<'p>),
    /// The path is there for other methods: these.
    OtherMethod(&'static str),
    Nothing,
}

pub(super) fn find(method: Method, path: &str) -> Found<'_> {
    let (mut read, mut written) = (false, false);
    // The first route that fits says what is behind a path.
    let Some(first) = ROUTES.iter().find(|route| route.params(path).is_some()) else { return Found::Nothing };
    for route in ROUTES.iter().filter(|route| route.path == first.path) {
        let wanted = match method {
            Method::Get | Method::Head => !route.post,
            Method::Post => route.post,
            Method::Other => false,
        };
        if let (true, Some(params)) = (wanted, route.params(path)) {
            return Found::Route(route, params);
        }
        (read, written) = (read || !route.post, written || route.post);
    }
    Found::OtherMethod(match (read, written) {
        (true, true) => "GET, HEAD, POST",
        (true, false) => "GET, HEAD",
        _ => "POST",
    })
}

pub(super) async fn answer(ask: &Ask<'_>, page: Page, params: &Params<'_>) -> Answer {
    match page {
        Page::Sites => contacts::sites(ask),
        Page::Style => Ok(assets::style(ask.request)),
        Page::Script => Ok(assets::script(ask.request)),
        Page::Document => Ok(ask.json(200, &openapi::document(&ask.root))),
        Page::Site => contacts::site(ask, params),
        Page::Contacts => contacts::list(ask, params).await,
        Page::Contact => contact::one(ask, params).await,
        Page::ExportContact => contact::export(ask, params).await,
        Page::AddNote => acts::add_note(ask, params).await,
        Page::EraseNote => acts::erase_note(ask, params).await,
        Page::Block => acts::set_blocked(ask, params, true).await,
        Page::Unblock => acts::set_blocked(ask, params, false).await,
        Page::PreviewContact => erasing::contact(ask, params).await,
        Page::EraseContact => acts::erase_contact(ask, params).await,
        Page::PreviewStale => erasing::preview_stale(ask, params).await,
        Page::EraseStale => erasing::erase_stale(ask, params).await,
        Page::Conversations => conversations::open(ask, params).await,
        Page::Conversation => conversations::one(ask, params).await,
        Page::Answer => acts::answer(ask, params).await,
        Page::Close => acts::close(ask, params).await,
        Page::PreviewConversation => erasing::conversation(ask, params).await,
        Page::EraseConversation => acts::erase_conversation(ask, params).await,
        Page::PreviewMessage => erasing::message(ask, params).await,
        Page::EraseMessage => acts::erase_message(ask, params).await,
        Page::Overview => overview::overview(ask, params).await,
        Page::Events => conversations::events(ask, params).await,
        Page::Export => {
            let (guard, visit, request) = (ask.guard.clone(), ask.visit.clone(), ask.request.clone());
            let door = super::export::Door { guard, visit, request };
            Ok(super::export::export(ask.portal(params.site())?, ask.request, Some(door)).await?)
        }
        Page::Log => log::log(ask, params).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_found_by_its_own_path() {
        for route in ROUTES {
            let path = route.path.replace(['{', '}'], "x");
            let method = if route.post { Method::Post } else { Method::Get };
            match find(method, &path) {
                Found::Route(found, _) => assert_eq!(found.page, route.page, "{path}"),
                _ => panic!("{path} leads nowhere"),
            }
            assert!(matches!(find(Method::Other, &path), Found::OtherMethod(_)));
        }
        for path in
            ["/main/", "//contacts", "/main//contacts", "/main/contacts/", "/main/contacts/1/nothing", "x"]
        {
            assert!(matches!(find(Method::Get, path), Found::Nothing), "{path}");
        }
    }
}
