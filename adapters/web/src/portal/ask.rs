//! One operator's request, and how it is answered.

use std::str::FromStr;
use std::sync::Arc;

use askama::Template;
use privet::catalogue::Language;
use privet::portal::{Operator, Permission, Portal};
use privet::{Catalogue, Error, Privet, Site, Visit};
use serde::Serialize;

use super::frame::{Frame, Nav};
use super::words::{self, PortalWords};
use super::{Guard, assets};
use crate::language;
use crate::origin::SameOrigin;
use crate::page::rendered;
use crate::reply::Reply;
use crate::request::{Request, local_path};
use crate::routes::wants_html;

/// A request of somebody whom the guard let in.
pub(super) struct Ask<'a> {
    pub(super) visit: &'a Visit,
    pub(super) guard: &'a Arc<dyn Guard>,
    pub(super) request: &'a Request,
    pub(super) operator: &'a Operator,
    pub(super) words: &'static PortalWords,
    /// Whether the language was asked for by the address: links then keep it.
    keeps_lang: bool,
    /// Where the portal is.
    pub(super) root: String,
}

/// Why there is no answer of the route's own.
#[derive(Debug)]
pub(super) enum Failure {
    /// What the domain says.
    Of(Error),
    /// What is wrong with the request.
    Told(u16),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Of(error)
    }
}

/// What a route answers.
pub(super) type Answer = Result<Reply, Failure>;

#[derive(Template)]
#[template(path = "portal/said.html")]
struct SaidPage {
    frame: Frame,
    title: &'static str,
    text: &'static str,
}

#[derive(Template)]
#[template(path = "portal/stranger.html")]
struct StrangerPage<'a> {
    lang: &'a str,
    style: String,
    words: &'a PortalWords,
    title: &'a str,
    text: &'a str,
    login: Option<&'a str>,
}

/// Where the portal of an installation is.
pub(super) fn root(privet: &Privet) -> String {
    format!("{}/portal", privet.base_path())
}

fn words_for(request: &Request) -> &'static PortalWords {
    words::choose(request.query_value("lang").as_deref(), request.header("accept-language"))
}

/// The answer to somebody whom the guard did not let in, the same on every path: a stranger learns nothing of what is
/// there.
pub(super) fn stranger(visit: &Visit, guard: &dyn Guard, request: &Request, status: u16) -> Reply {
    let words = words_for(request);
    let [title, text] = if status == 401 { words.stranger } else { words.unavailable };
    let reply = if wants_html(request) {
        let login = guard.login().filter(|_| status == 401);
        let page = StrangerPage {
            lang: words.lang,
            style: crate::assets::style_path(visit.privet().base_path()),
            words,
            title,
            text,
            login: login.as_deref().and_then(local_path),
        };
        Reply::html(status, rendered(&page)).header("content-language", words.lang).personal()
    } else {
        Reply::problem(
            status,
            words::named("en")
                .map_or(title, |w| if status == 401 { w.stranger[0] } else { w.unavailable[0] }),
        )
    };
    if status == 503 { reply.header("retry-after", "60") } else { reply }
}

impl<'a> Ask<'a> {
    pub(super) fn new(
        visit: &'a Visit,
        guard: &'a Arc<dyn Guard>,
        request: &'a Request,
        operator: &'a Operator,
    ) -> Self {
        let keeps_lang = request.query_value("lang").is_some_and(|tag| words::named(&tag).is_some());
        Self {
            visit,
            guard,
            request,
            operator,
            words: words_for(request),
            keeps_lang,
            root: root(visit.privet()),
        }
    }

    pub(super) fn privet(&self) -> &'a Privet {
        self.visit.privet()
    }

    pub(super) fn may(&self, permission: Permission) -> bool {
        self.operator.may(permission)
    }

    /// The language for what a catalogue says: the reader's, if the catalogue has it.
    pub(super) fn language(&self, catalogue: &Catalogue) -> Language {
        language::choose(catalogue, Some(self.words.lang), None)
    }

    pub(super) fn wants_html(&self) -> bool {
        wants_html(self.request)
    }

    /// A site of the operator's tenant; any other one is not there.
    pub(super) fn portal(&self, site: &str) -> Result<Portal, Failure> {
        let site = Site::new(site).map_err(|_| Error::NotFound { what: "site" })?;
        Ok(self.privet().portal(self.operator, &site)?)
    }

    /// The language that the address asks for.
    pub(super) fn asked_lang(&self) -> Option<&'static str> {
        self.keeps_lang.then_some(self.words.lang)
    }

    /// An address within the portal.
    pub(super) fn link(&self, path: &str, params: &[(&str, &str)]) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(params);
        query.extend_pairs(self.asked_lang().map(|lang| ("lang", lang)));
        let query = query.finish();
        if query.is_empty() { format!("{}{path}", self.root) } else { format!("{}{path}?{query}", self.root) }
    }

    pub(super) fn frame(&self, portal: Option<&Portal>, current: Option<Nav>) -> Frame {
        Frame::new(self, portal, current)
    }

    pub(super) fn script(&self) -> String {
        assets::script_path(&self.root)
    }

    pub(super) fn style(&self) -> String {
        assets::style_path(&self.root)
    }

    /// A value of the query; none when it is empty, as a form sends what was left out.
    pub(super) fn query(&self, name: &str) -> Option<String> {
        self.request.query_value(name).filter(|value| !value.trim().is_empty())
    }

    pub(super) fn html(&self, page: &impl Template) -> Reply {
        self.html_with(200, page)
    }

    fn html_with(&self, status: u16, page: &impl Template) -> Reply {
        Reply::html(status, rendered(page)).header("content-language", self.words.lang).personal()
    }

    #[allow(clippy::unused_self, reason = "beside `html`")]
    pub(super) fn json(&self, status: u16, body: &impl Serialize) -> Reply {
        Reply::json(status, body).personal()
    }

    /// After something was done: a page for people, what was done for programs.
    pub(super) fn done(&self, to: &str, status: u16, body: &impl Serialize) -> Reply {
        if self.wants_html() { Reply::see_other(to) } else { self.json(status, body) }
    }

    pub(super) fn not_found(&self) -> Reply {
        self.failed(&Failure::Of(Error::NotFound { what: "page" }))
    }

    pub(super) fn failed(&self, failure: &Failure) -> Reply {
        let w = self.words;
        let (status, [title, text]) = match failure {
            Failure::Told(status @ 413) => (*status, w.too_long),
            Failure::Told(status @ 403) => (*status, w.foreign),
            Failure::Told(status) => (*status, w.invalid),
            Failure::Of(Error::NotFound { .. }) => (404, w.not_found),
            Failure::Of(Error::NotAllowed { .. }) => (403, w.not_allowed),
            Failure::Of(Error::Invalid { .. }) => (400, w.invalid),
            Failure::Of(Error::Conflict { .. } | Error::Fenced) => (409, w.conflict),
            Failure::Of(Error::Unavailable { .. }) => (503, w.unavailable),
            Failure::Of(_) => (500, w.failed),
        };
        if let (500.., Failure::Of(error)) = (status, failure) {
            tracing::error!("{error}");
        }
        let reply = if self.wants_html() {
            self.html_with(status, &SaidPage { frame: self.frame(None, None), title, text })
        } else {
            let title = match failure {
                Failure::Of(error) => Reply::told(error).1,
                Failure::Told(403) => "This request did not come from this site.",
                Failure::Told(413) => "This is too long.",
                Failure::Told(405) => "Method not allowed",
                Failure::Told(_) => "This could not be understood.",
            };
            Reply::problem(status, title)
        };
        if status == 503 { reply.header("retry-after", "60") } else { reply }
    }

    /// What a state-changing request brought, once it is sure that it came from here.
    pub(super) fn form(&self) -> Result<Form, Failure> {
        if self.request.same_origin(self.visit.public_origins()) != SameOrigin::Yes {
            return Err(Failure::Told(403));
        }
        let body = self.request.bounded_body().ok_or(Failure::Told(413))?;
        let kind = self.request.header("content-type").unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match kind.as_str() {
            "application/x-www-form-urlencoded" | "" => Form::of_pairs(body).ok_or(Failure::Told(400)),
            "application/json" => serde_json::from_slice(body).map(Form).map_err(|_| Failure::Told(400)),
            _ => Err(Failure::Told(415)),
        }
    }
}

/// The values of a form, each name once.
pub(super) struct Form(std::collections::BTreeMap<String, String>);

impl Form {
    fn of_pairs(body: &[u8]) -> Option<Self> {
        // A browser sends text; what decodes to something else was sent by something else.
        std::str::from_utf8(body).ok()?;
        Some(Self(form_urlencoded::parse(body).into_owned().collect()))
    }

    /// A value; a missing one is empty.
    pub(super) fn get(&self, name: &str) -> &str {
        self.0.get(name).map(String::as_str).unwrap_or_default()
    }
}

/// The parts of a path that a route names: a site, ids.
pub(super) struct Params<'p>(pub(super) Vec<(&'static str, &'p str)>);

impl Params<'_> {
    pub(super) fn text(&self, name: &str) -> &str {
        self.0.iter().find(|(n, _)| *n == name).map_or("", |(_, value)| value)
    }

    pub(super) fn site(&self) -> &str {
        self.text("site")
    }

    /// An id, or a number. What is none is not there.
    pub(super) fn read<T: FromStr>(&self, name: &str) -> Result<T, Failure> {
        self.text(name).parse().map_err(|_| Failure::Of(Error::NotFound { what: "page" }))
    }
}
