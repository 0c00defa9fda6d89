//! What stands around every page: who is at work, where to go, in which language.

use privet::portal::{Permission, Portal};

use super::ask::Ask;
use super::words::{LANGUAGES, PortalWords};
use crate::request::{Method, local_path};

/// A page that the navigation leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nav {
    Contacts,
    Conversations,
    Overview,
    CleanUp,
    Log,
}

pub(super) struct Link {
    pub(super) href: String,
    pub(super) label: &'static str,
    pub(super) current: bool,
}

pub(super) struct LanguageLink {
    pub(super) href: String,
    pub(super) words: &'static PortalWords,
    pub(super) current: bool,
}

pub(super) struct Frame {
    pub(super) words: &'static PortalWords,
    pub(super) style: String,
    pub(super) script: String,
    pub(super) home: String,
    /// The language that the address asks for.
    pub(super) asked_lang: Option<&'static str>,
    pub(super) site: Option<String>,
    pub(super) operator: String,
    pub(super) role: &'static str,
    pub(super) logout: Option<String>,
    pub(super) nav: Vec<Link>,
    pub(super) languages: Vec<LanguageLink>,
}

impl Frame {
    pub(super) fn new(ask: &Ask<'_>, portal: Option<&Portal>, current: Option<Nav>) -> Self {
        let words = ask.words;
        Self {
            words,
            style: ask.style(),
            script: ask.script(),
            home: ask.link("", &[]),
            asked_lang: ask.asked_lang(),
            site: portal.map(|p| p.scope().site.to_string()),
            operator: super::text::inert(ask.operator.name()),
            role: words.role(ask.operator.role()),
            logout: ask.guard.logout().as_deref().and_then(local_path).map(str::to_owned),
            nav: portal.map(|p| nav(ask, p, current)).unwrap_or_default(),
            languages: languages(ask),
        }
    }
}

fn nav(ask: &Ask<'_>, portal: &Portal, current: Option<Nav>) -> Vec<Link> {
    let (words, site) = (ask.words, &portal.scope().site);
    let all = [
        (Nav::Contacts, Permission::SeeContacts, "contacts", words.contacts),
        (Nav::Conversations, Permission::ReadMessages, "conversations", words.open_conversations),
        (Nav::Overview, Permission::SeeFigures, "overview", words.overview),
        (Nav::CleanUp, Permission::Erase, "stale", words.clean_up),
        (Nav::Log, Permission::ReadAudit, "log", words.log),
    ];
    all.into_iter()
        .filter(|(_, permission, ..)| ask.may(*permission))
        .map(|(nav, _, path, label)| Link {
            href: ask.link(&format!("/{site}/{path}"), &[]),
            label,
            current: current == Some(nav),
        })
        .collect()
}

/// The same page in every language; after something was sent, the beginning of the portal.
fn languages(ask: &Ask<'_>) -> Vec<LanguageLink> {
    let seen = matches!(ask.request.method, Method::Get | Method::Head);
    let link = |words: &'static PortalWords| {
        let mut query = form_urlencoded::Serializer::new(String::new());
        if seen {
            query.extend_pairs(ask.request.query_pairs().filter(|(name, _)| name != "lang"));
        }
        query.append_pair("lang", words.lang);
        let path = if seen { ask.request.path.as_str() } else { ask.root.as_str() };
        LanguageLink {
            href: format!("{path}?{}", query.finish()),
            words,
            current: words.lang == ask.words.lang,
        }
    };
    LANGUAGES.into_iter().map(link).collect()
}
