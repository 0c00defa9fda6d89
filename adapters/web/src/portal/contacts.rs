//! The list of contacts, and the sites that have one.

use askama::Template;
use privet::Day;
use privet::contact::{
    CappedCount, ContactFilter, ContactPage, ContactSummary, IdPrefix, PageRequest, TimeSpan,
};
use privet::ip::CountryCode;
use privet::portal::{Permission, Portal};
use serde::Serialize;
use serde_json::json;

use super::ask::{Answer, Ask, Failure, Params};
use super::countries;
use super::frame::{Frame, Nav};
use super::text::{self, Shown};
use super::words::PortalWords;
use crate::reply::Reply;

/// So many are counted.
pub(super) const CAP: u32 = 10_000;
/// So many are on a page if nothing is asked for.
const LIMIT: u16 = 50;

#[derive(Template)]
#[template(path = "portal/sites.html")]
struct SitesPage {
    frame: Frame,
    sites: Vec<(String, String)>,
}

/// One site: its contacts. Several: which they are.
pub(super) fn sites(ask: &Ask<'_>) -> Answer {
    let sites = ask.privet().portal_sites(ask.operator);
    if !ask.wants_html() {
        return Ok(ask.json(200, &json!({ "sites": sites })));
    }
    if let [only] = sites.as_slice() {
        return Ok(Reply::see_other(&ask.link(&format!("/{only}/contacts"), &[])));
    }
    let link = |site: &privet::Site| (ask.link(&format!("/{site}/contacts"), &[]), site.to_string());
    Ok(ask.html(&SitesPage { frame: ask.frame(None, None), sites: sites.iter().map(link).collect() }))
}

/// A site by its name alone: its contacts.
pub(super) fn site(ask: &Ask<'_>, params: &Params<'_>) -> Answer {
    let portal = ask.portal(params.site())?;
    Ok(Reply::see_other(&ask.link(&format!("/{}/contacts", portal.scope().site), &[])))
}

/// What was asked for, as it is shown again.
#[derive(Default)]
struct Asked {
    country: String,
    created_from: String,
    created_to: String,
    seen_from: String,
    seen_to: String,
    open: bool,
    q: String,
    known_as: String,
    limit: Option<u16>,
}

fn day(text: &str) -> Result<Option<Day>, Failure> {
    if text.is_empty() { Ok(None) } else { text::read_day(text).map(Some).ok_or(Failure::Told(400)) }
}

/// From a day to a day, both included.
fn span(from: &str, to: &str) -> Result<TimeSpan, Failure> {
    let next = |day: Day| Day::from_number(day.number() + 1).start();
    Ok(TimeSpan { from: day(from)?.map(Day::start), before: day(to)?.map(next) })
}

impl Asked {
    fn read(ask: &Ask<'_>) -> Result<Self, Failure> {
        let value = |name| ask.query(name).map(|v| v.trim().to_owned()).unwrap_or_default();
        let limit =
            ask.query("limit").map(|n| n.parse::<u16>().map_err(|_| Failure::Told(400))).transpose()?;
        Ok(Self {
            country: value("country").to_ascii_uppercase(),
            created_from: value("created_from"),
            created_to: value("created_to"),
            seen_from: value("seen_from"),
            seen_to: value("seen_to"),
            open: value("open") == "1",
            q: value("q"),
            known_as: value("known_as"),
            limit,
        })
    }

    async fn filter(&self, portal: &Portal) -> Result<ContactFilter, Failure> {
        let mut filter = ContactFilter::default()
            .created(span(&self.created_from, &self.created_to)?)
            .last_seen(span(&self.seen_from, &self.seen_to)?);
        if !self.country.is_empty() {
            filter = filter.country(CountryCode::new(&self.country).ok_or(Failure::Told(400))?);
        }
        if self.open {
            filter = filter.with_open_conversation();
        }
        let mut identity = self.known_as.as_str();
        if !self.q.is_empty() {
            match self.q.parse::<IdPrefix>() {
                Ok(prefix) => filter = filter.id(prefix),
                Err(_) => identity = &self.q,
            }
        }
        if identity.is_empty() {
            return Ok(filter);
        }
        Ok(portal.known_as(filter, identity).await?)
    }

    /// The same question again, with another place in its answer.
    fn again(&self, ask: &Ask<'_>, portal: &Portal, cursor: Option<&str>) -> Option<String> {
        let limit = self.limit.map(|n| n.to_string()).unwrap_or_default();
        let params = [
            ("country", self.country.as_str()),
            ("created_from", &self.created_from),
            ("created_to", &self.created_to),
            ("seen_from", &self.seen_from),
            ("seen_to", &self.seen_to),
            ("open", if self.open { "1" } else { "" }),
            ("q", &self.q),
            ("known_as", &self.known_as),
            ("limit", &limit),
            ("cursor", cursor?),
        ];
        let given: Vec<_> = params.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        Some(ask.link(&format!("/{}/contacts", portal.scope().site), &given))
    }
}

#[derive(Template)]
#[template(path = "portal/contacts.html")]
struct ContactsPage {
    frame: Frame,
    here: String,
    asked: Asked,
    may_identify: bool,
    countries: Vec<(&'static str, &'static str)>,
    rows: Vec<Row>,
    total: String,
    as_of: Shown,
    /// Seconds, where it is a copy's.
    behind: Option<String>,
    next: Option<String>,
    previous: Option<String>,
    /// Where all of them are exported, and as what.
    exports: Vec<(String, String)>,
}

struct Row {
    href: String,
    id: String,
    country: String,
    created: Shown,
    last_seen: Shown,
    conversations: String,
}

/// The name of a country with its code.
pub(super) fn country(ask: &Ask<'_>, code: Option<CountryCode>) -> String {
    let Some(code) = code else { return ask.words.unknown.to_owned() };
    let name = countries::name(ask.words, code.as_str());
    if name == code.as_str() { name.to_owned() } else { format!("{name} ({code})") }
}

impl Row {
    fn new(ask: &Ask<'_>, portal: &Portal, contact: &ContactSummary) -> Self {
        let id = contact.id.to_string();
        Self {
            href: ask.link(&format!("/{}/contacts/{id}", portal.scope().site), &[]),
            id,
            country: country(ask, contact.country),
            created: text::time(ask.words, contact.created),
            last_seen: text::time(ask.words, contact.last_seen),
            conversations: text::number(ask.words, contact.conversations.into()),
        }
    }
}

#[derive(Serialize)]
struct Listed {
    contacts: Vec<ContactSummary>,
    next: Option<String>,
    previous: Option<String>,
    as_of: String,
    behind_ms: Option<u64>,
    total: Total,
}

#[derive(Serialize)]
struct Total {
    count: u32,
    more: bool,
}

/// The list.
pub(super) async fn list(ask: &Ask<'_>, params: &Params<'_>) -> Answer {
    let portal = ask.portal(params.site())?;
    let asked = Asked::read(ask)?;
    let filter = asked.filter(&portal).await?;
    let mut request = PageRequest::first(asked.limit.unwrap_or(LIMIT)).only(filter.clone());
    if let Some(cursor) = ask.query("cursor") {
        request = request.after(cursor);
    }
    let page = portal.contacts(&request).await?;
    let total = portal.count_contacts(&filter, page.as_of, CAP).await?;
    let ContactPage { contacts, next, previous, as_of, behind, .. } = page;
    if !ask.wants_html() {
        let total = Total { count: total.count, more: total.more };
        let as_of = as_of.to_string();
        let behind_ms = behind.map(text::milliseconds);
        return Ok(ask.json(200, &Listed { contacts, next, previous, as_of, behind_ms, total }));
    }
    Ok(ask.html(&ContactsPage {
        frame: ask.frame(Some(&portal), Some(Nav::Contacts)),
        here: ask.link(&format!("/{}/contacts", portal.scope().site), &[]),
        may_identify: ask.may(Permission::ReadMessages),
        countries: countries::all(ask.words),
        rows: contacts.iter().map(|c| Row::new(ask, &portal, c)).collect(),
        total: capped(ask.words, total),
        as_of: text::time(ask.words, as_of),
        behind: behind.map(|behind| text::seconds(ask.words, behind)),
        next: asked.again(ask, &portal, next.as_deref()),
        previous: asked.again(ask, &portal, previous.as_deref()),
        exports: exports(ask, &portal),
        asked,
    }))
}

/// A number that was not counted further, as such.
pub(super) fn capped(words: &PortalWords, total: CappedCount) -> String {
    let plus = if total.more { "+" } else { "" };
    format!("{}{plus}", text::number(words, total.count.into()))
}

/// What can be exported from here, by whoever may.
fn exports(ask: &Ask<'_>, portal: &Portal) -> Vec<(String, String)> {
    if !ask.may(Permission::Export) {
        return Vec::new();
    }
    let path = format!("/{}/export", portal.scope().site);
    let whats = [("contacts", ask.words.contacts), ("conversations", ask.words.conversations)];
    let formats = [("csv", "CSV"), ("jsonl", "JSON Lines")];
    let link = |(what, label): (&'static str, &str)| {
        let label = label.to_owned();
        formats.map(|(format, name)| {
            (ask.link(&path, &[("what", what), ("format", format)]), format!("{label}, {name}"))
        })
    };
    whats.into_iter().flat_map(link).collect()
}
