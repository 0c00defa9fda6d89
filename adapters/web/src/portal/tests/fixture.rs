//! An installation in memory with visitors that said something, and operators that look.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use privet::conformance::block_on;
use privet::consent::{Answer, Method, Provenance};
use privet::contact::{Channel, ContactId, ConversationId, NewMessage, PageUrl, PageUrlPolicy, Posted};
use privet::ip::{CountryCode, CountryLookup};
use privet::portal::{Operator, Role};
use privet::visit::{RequestHead, ResponseHead, ResponseHeader, Sealing};
use privet::{Catalogue, FakeClock, Privet, Scope, Site, SiteDecl, Tenant, Timestamp, Visit};
use serde_json::Value;

use crate::portal::{Guard, respond_portal};
use crate::reply::{Body, Reply};
use crate::request::Request;

pub(super) const ORIGIN: &str = "https://garden.example";

const CATALOGUE: &str = r#"
    languages = ["en", "de"]
    [controller]
    name = "Garden Shop"
    contact = "privacy@garden.example"
    [[category]]
    id = "contacts"
    purpose = { en = "Recognises you in the chat.", de = "Erkennt Sie im Chat wieder." }
    [[category]]
    id = "analytics"
    purpose = { en = "Counts visits.", de = "Zählt Besuche." }
    [[service]]
    id = "chat"
    provider = "Garden Shop"
    purpose = { en = "Answers questions.", de = "Beantwortet Fragen." }
    label = { en = "Chat", de = "Chat" }
    legal_basis = "contract"
    activated_by = ["open"]
    [[service.entry]]
    name = "chat_open"
    purpose = { en = "Keeps the chat open.", de = "Hält den Chat offen." }
    duration = "session"
    gesture = "open"
    gate = { activation = "chat" }
"#;

/// Countries by the last octet.
#[derive(Debug)]
struct ByOctet;

impl CountryLookup for ByOctet {
    fn lookup(&self, ip: IpAddr) -> Option<CountryCode> {
        let IpAddr::V4(ip) = ip else { return None };
        match ip.octets()[3] {
            1 => CountryCode::new("DE"),
            2 => CountryCode::new("FR"),
            _ => None,
        }
    }
}

#[derive(Default)]
struct Head {
    host: String,
    peer: Option<IpAddr>,
    cookies: Option<String>,
}

impl RequestHead for Head {
    fn peer(&self) -> Option<IpAddr> {
        self.peer
    }
    fn method(&self) -> &str {
        "GET"
    }
    fn path(&self) -> &str {
        "/"
    }
    fn host(&self) -> Option<&str> {
        Some(&self.host)
    }
    fn headers<'a>(&'a self, each: &mut dyn FnMut(&'a str, &'a [u8])) {
        if let Some(line) = &self.cookies {
            each("cookie", line.as_bytes());
        }
    }
}

#[derive(Default)]
struct Answered(Vec<String>);

impl ResponseHead for Answered {
    fn status(&self) -> u16 {
        200
    }
    fn lines<'a>(&'a self, header: ResponseHeader, each: &mut dyn FnMut(&'a [u8])) {
        if header == ResponseHeader::SetCookie {
            self.0.iter().for_each(|line| each(line.as_bytes()));
        }
    }
    fn remove(&mut self, header: ResponseHeader) {
        if header == ResponseHeader::SetCookie {
            self.0.clear();
        }
    }
    fn append(&mut self, header: ResponseHeader, line: Cow<'static, [u8]>) {
        if header == ResponseHeader::SetCookie {
            self.0.push(String::from_utf8(line.into_owned()).unwrap());
        }
    }
}

/// Somebody at a site, with the cookies that it gave them.
#[derive(Default)]
pub(super) struct Visitor {
    host: String,
    octet: u8,
    cookies: BTreeMap<String, String>,
}

impl Visitor {
    fn with<T>(&mut self, lab: &Lab, act: impl FnOnce(&Visit) -> T) -> T {
        let pairs: Vec<_> = self.cookies.iter().map(|(n, v)| format!("{n}={v}")).collect();
        let head = Head {
            host: self.host.clone(),
            peer: Some(IpAddr::from([9, 0, 0, self.octet])),
            cookies: (!pairs.is_empty()).then(|| pairs.join("; ")),
        };
        let visit = lab.privet.visit(&head).unwrap().0;
        let done = act(&visit);
        let mut answered = Answered::default();
        assert_eq!(visit.seal(&mut answered), Sealing::Sealed);
        for line in answered.0 {
            let (name, value) = line.split(';').next().unwrap().split_once('=').unwrap();
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
        done
    }

    /// Lets themselves be recognised.
    pub(super) fn consents(&mut self, lab: &Lab) {
        self.with(lab, |visit| {
            let notice = visit.notice(&visit.catalogue().languages()[0]).unwrap().clone();
            let token = visit.notice_token(&notice);
            let provenance = Provenance::new(Method::Form, true);
            let answer = Answer::Save(["contacts".to_owned()].into());
            block_on(lab.privet.decide(visit, &answer, &token, provenance)).unwrap();
        });
    }

    pub(super) fn says(&mut self, lab: &Lab, text: &str, page: &str) -> Posted {
        let page = PageUrl::minimise(page, &PageUrlPolicy::default());
        let message = NewMessage::new(Channel::LiveSupport, text).unwrap().page(page);
        self.with(lab, |visit| block_on(visit.visitor().post("chat", message)).unwrap())
    }
}

/// Who asks is what a header says.
struct ByHeader;

#[async_trait]
impl Guard for ByHeader {
    async fn operator(&self, _: &Visit, request: &Request) -> privet::Result<Option<Operator>> {
        let (tenant, role) = match request.header_value("x-who") {
            Some("viewer") => ("main", Role::Viewer),
            Some("agent") => ("main", Role::Agent),
            Some("officer") => ("main", Role::PrivacyOfficer),
            Some("foreign") => ("other", Role::PrivacyOfficer),
            Some("broken") => return Err(privet::Error::config("no sessions", "start them")),
            _ => return Ok(None),
        };
        Operator::new(Tenant::new(tenant)?, "ann", role).map(Some)
    }
    fn login(&self) -> Option<String> {
        Some("/sign-in".to_owned())
    }
    fn logout(&self) -> Option<String> {
        Some("/sign-out".to_owned())
    }
}

/// An answer, as tests look at it.
pub(super) struct Seen {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) text: String,
}

impl From<Reply> for Seen {
    fn from(reply: Reply) -> Self {
        // What comes in pieces has tests of its own.
        let Body::Full(body) = reply.body else {
            return Self { status: reply.status, headers: reply.headers, text: String::new() };
        };
        Self { status: reply.status, headers: reply.headers, text: String::from_utf8(body.to_vec()).unwrap() }
    }
}

impl Seen {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(n, _)| *n == name).map_or("", |(_, value)| value)
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("{}: {}", self.status, self.text))
    }
}

pub(super) struct Lab {
    pub(super) privet: Privet,
    pub(super) clock: FakeClock,
}

impl Lab {
    pub(super) fn new() -> Self {
        let clock = FakeClock::at(Timestamp::from_millis(1_800_000_000_000));
        let scope = |tenant, site| Scope::new(Tenant::new(tenant).unwrap(), Site::new(site).unwrap());
        let site = |tenant, site, tag| {
            SiteDecl::new(scope(tenant, site), Catalogue::from_toml(CATALOGUE).unwrap()).tag(tag)
        };
        let builder = Privet::builder(Catalogue::from_toml(CATALOGUE).unwrap())
            .public_origin(ORIGIN)
            .countries(ByOctet)
            .clock(clock.clone())
            .site(site("main", "second", "b"))
            .site(site("other", "theirs", "c"))
            .resolver(move |request| {
                Some(match request.host() {
                    Some("second.example") => scope("main", "second"),
                    Some("theirs.example") => scope("other", "theirs"),
                    _ => Scope::default(),
                })
            });
        Self { privet: block_on(builder.build()).unwrap(), clock }
    }

    pub(super) fn visitor(&self, octet: u8) -> Visitor {
        Visitor { host: "garden.example".to_owned(), octet, cookies: BTreeMap::new() }
    }

    /// A visitor who lets themselves be recognised and asks something.
    pub(super) fn contact(&self, octet: u8, text: &str) -> (ContactId, ConversationId) {
        let mut visitor = self.visitor(octet);
        visitor.consents(self);
        let posted = visitor.says(self, text, "https://garden.example/roses");
        (posted.contact.unwrap(), posted.conversation)
    }

    pub(super) fn days_pass(&self, days: u64) {
        self.clock.advance(Duration::from_secs(days * 86_400));
    }

    pub(super) fn sent(&self, request: &Request) -> Seen {
        let head = Head { host: "garden.example".to_owned(), ..Head::default() };
        let visit = self.privet.visit(&head).unwrap().0;
        let guard: Arc<dyn Guard> = Arc::new(ByHeader);
        block_on(respond_portal(&visit, &guard, request)).into()
    }

    pub(super) fn request(&self, method: &str, who: &str, path: &str) -> Request {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let mut request = Request::new(method, format!("/privacy/portal{path}"), query);
        if !who.is_empty() {
            request = request.headers([("x-who", who.as_bytes())]);
        }
        request
    }

    /// Looks at a page.
    pub(super) fn page(&self, who: &str, path: &str) -> Seen {
        self.sent(&self.request("GET", who, path))
    }

    /// Asks as a program does.
    pub(super) fn json(&self, who: &str, path: &str) -> Seen {
        let request = self.request("GET", who, path);
        self.sent(&request.headers([("accept", b"application/json".as_slice())]))
    }

    /// Sends a form of a page.
    pub(super) fn post(&self, who: &str, path: &str, form: &[(&str, &str)]) -> Seen {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        self.send_body(who, path, Some(body.as_bytes()), "same-origin", "text/html")
    }

    pub(super) fn post_json(&self, who: &str, path: &str, form: &[(&str, &str)]) -> Seen {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        self.send_body(who, path, Some(body.as_bytes()), "same-origin", "application/json")
    }

    pub(super) fn send_body(
        &self,
        who: &str,
        path: &str,
        body: Option<&[u8]>,
        from: &str,
        accept: &str,
    ) -> Seen {
        let request = self.request("POST", who, path).headers([
            ("content-type", b"application/x-www-form-urlencoded".as_slice()),
            ("sec-fetch-site", from.as_bytes()),
            ("accept", accept.as_bytes()),
        ]);
        self.sent(&request.body(body))
    }
}
