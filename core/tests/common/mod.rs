//! A browser and a server small enough to see through: request heads, response heads, and a cookie jar.
#![allow(clippy::unwrap_used, clippy::panic, dead_code, unreachable_pub, reason = "helpers of tests")]

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use futures_executor::block_on;
use privet::Builder;
use privet::consent::{Answer, Decided, Method, Provenance, Regimes};
use privet::contact::{Channel, NewMessage};
use privet::ip::{CountryCode, CountryLookup};
use privet::store::Storage;
use privet::visit::{RequestHead, ResponseHead, ResponseHeader, Rewrite, Sealing};
use privet::{Catalogue, FakeClock, Privet, Timestamp, Visit};

pub const CATALOGUE: &str = r#"
    languages = ["en", "de"]

    [controller]
    name = "Garden Shop"
    contact = "privacy@garden.example"

    [[category]]
    id = "analytics"
    purpose = { en = "Counts visits.", de = "Zählt Besuche." }

    [[category]]
    id = "marketing"
    purpose = { en = "Shows advertising.", de = "Zeigt Werbung." }
    sale_or_share = true

    [[category]]
    id = "contacts"
    purpose = { en = "Recognises you in the chat.", de = "Erkennt Sie im Chat wieder." }

    [[recipient]]
    id = "desk"
    name = "Support Desk"
    country = "NL"
    purpose = { en = "Answers.", de = "Antwortet." }
    fields = ["text", "pseudonym"]
    headers = ["accept-language"]
    address = "keyed-hash"

    [[service]]
    id = "chat"
    provider = "Garden Shop"
    purpose = { en = "Answers questions.", de = "Beantwortet Fragen." }
    label = { en = "Chat", de = "Chat" }
    legal_basis = "contract"
    activated_by = ["open"]
    recipients = ["desk"]

    [[service.entry]]
    name = "chat_open"
    purpose = { en = "Keeps the chat open.", de = "Hält den Chat offen." }
    duration = "session"
    gesture = "open"
    gate = { activation = "chat" }

    [[service]]
    id = "counter"
    provider = "Garden Shop"
    purpose = { en = "Counts.", de = "Zählt." }
    label = { en = "Counter", de = "Zähler" }
    legal_basis = "consent"

    [[service.entry]]
    name = "visits"
    purpose = { en = "Counts.", de = "Zählt." }
    duration = "30 days"
    trigger = "server"
    path = ["/", "/articles"]
    domain = "garden.example"
    gate = { consent = "analytics" }

    [[service.entry]]
    name = "ad"
    purpose = { en = "Chooses advertising.", de = "Wählt Werbung." }
    duration = "30 days"
    trigger = "server"
    gate = { consent = "marketing" }

    [[service.entry]]
    name = "sid"
    purpose = { en = "Session.", de = "Sitzung." }
    duration = "session"
    trigger = "server"
    gate = { exempt = "auth", justification = "Sign-in." }
"#;

/// Being known by the app's word.
pub const IDENTITY: &str = r#"
    [[category]]
    id = "identity"
    code = 41
    label = { en = "Your account", de = "Ihr Konto" }
    purpose = { en = "Shows our staff which customer you are.", de = "Zeigt unseren Leuten, welcher Kunde Sie sind." }

    [[service]]
    id = "customers"
    provider = "Garden Shop"
    purpose = { en = "Knows customers.", de = "Kennt Kunden." }
    label = { en = "Customers", de = "Kunden" }
    legal_basis = "consent"
    gate = { consent = "identity" }
"#;

pub fn catalogue() -> Catalogue {
    Catalogue::from_toml(CATALOGUE).unwrap()
}

pub fn start() -> Timestamp {
    Timestamp::from_millis(1_800_000_000_000)
}

/// An installation with a clock that stands still.
pub fn installation(change: impl FnOnce(Builder) -> Builder) -> (Privet, FakeClock) {
    installation_on(Storage::in_memory().unwrap(), change)
}

pub fn installation_on(storage: Storage, change: impl FnOnce(Builder) -> Builder) -> (Privet, FakeClock) {
    let clock = FakeClock::at(start());
    let builder = change(Privet::builder(catalogue()).storage(storage).clock(clock.clone()));
    (block_on(builder.build()).unwrap(), clock)
}

#[derive(Clone, Debug, Default)]
pub struct Head {
    pub peer: Option<IpAddr>,
    pub method: &'static str,
    pub path: String,
    pub host: Option<String>,
    pub lines: Vec<(String, Vec<u8>)>,
}

impl Head {
    pub fn get(path: &str) -> Self {
        Self {
            peer: Some("203.0.113.7".parse().unwrap()),
            method: "GET",
            path: path.to_owned(),
            host: None,
            lines: Vec::new(),
        }
    }

    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.lines.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    pub fn peer(mut self, peer: &str) -> Self {
        self.peer = Some(peer.parse().unwrap());
        self
    }
}

impl RequestHead for Head {
    fn peer(&self) -> Option<IpAddr> {
        self.peer
    }
    fn method(&self) -> &str {
        self.method
    }
    fn path(&self) -> &str {
        &self.path
    }
    fn host(&self) -> Option<&str> {
        self.host.as_deref()
    }
    fn headers<'a>(&'a self, each: &mut dyn FnMut(&'a str, &'a [u8])) {
        for (name, value) in &self.lines {
            each(name, value);
        }
    }
}

#[derive(Clone, Debug, Default)]
pub struct Answered {
    pub status: u16,
    pub lines: Vec<(String, Vec<u8>)>,
}

impl Answered {
    pub fn new(status: u16) -> Self {
        Self { status, lines: Vec::new() }
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.lines.push((name.to_owned(), value.as_bytes().to_vec()));
        self
    }

    pub fn all(&self, name: &str) -> Vec<String> {
        self.lines
            .iter()
            .filter(|(n, _)| n == name)
            .map(|(_, v)| String::from_utf8(v.clone()).unwrap())
            .collect()
    }

    pub fn cookies(&self) -> Vec<String> {
        self.all("set-cookie")
    }
}

impl ResponseHead for Answered {
    fn status(&self) -> u16 {
        self.status
    }
    fn lines<'a>(&'a self, header: ResponseHeader, each: &mut dyn FnMut(&'a [u8])) {
        self.lines.iter().filter(|(n, _)| n == header.name()).for_each(|(_, v)| each(v));
    }
    fn remove(&mut self, header: ResponseHeader) {
        self.lines.retain(|(n, _)| n != header.name());
    }
    fn append(&mut self, header: ResponseHeader, line: Cow<'static, [u8]>) {
        self.lines.push((header.name().to_owned(), line.into_owned()));
    }
}

/// A browser with cookies, and nothing else.
#[derive(Clone, Debug, Default)]
pub struct Browser {
    pub cookies: BTreeMap<String, String>,
    pub gpc: bool,
}

impl Browser {
    pub fn head(&self, path: &str) -> Head {
        let mut head = Head::get(path);
        if !self.cookies.is_empty() {
            let line: Vec<_> = self.cookies.iter().map(|(n, v)| format!("{n}={v}")).collect();
            head = head.header("cookie", line.join("; "));
        }
        if self.gpc { head.header("sec-gpc", "1") } else { head }
    }

    pub fn open(&self, privet: &Privet) -> (Visit, Rewrite) {
        privet.visit(&self.head("/")).unwrap()
    }

    /// Seals, and takes the cookies as a browser would.
    pub fn close(&mut self, visit: &Visit, answered: Answered) -> Answered {
        let mut answered = answered;
        assert_eq!(visit.seal(&mut answered), Sealing::Sealed);
        for line in answered.cookies() {
            let cookie = cookie::Cookie::parse(line.as_str()).unwrap();
            if cookie.max_age().is_some_and(|a| !a.is_positive()) {
                self.cookies.remove(cookie.name());
            } else {
                self.cookies.insert(cookie.name().to_owned(), cookie.value().to_owned());
            }
        }
        answered
    }

    pub fn token(&self, privet: &Privet) -> String {
        let visit = self.open(privet).0;
        let notice = visit.notice(&visit.catalogue().languages()[0]).unwrap().clone();
        visit.notice_token(&notice)
    }

    pub fn answer(&mut self, privet: &Privet, answer: &Answer) -> (privet::Result<Decided>, Answered) {
        let token = self.token(privet);
        self.answer_with(privet, answer, &token)
    }

    pub fn answer_with(
        &mut self,
        privet: &Privet,
        answer: &Answer,
        token: &str,
    ) -> (privet::Result<Decided>, Answered) {
        let (visit, _) = self.open(privet);
        let decided = block_on(privet.decide(&visit, answer, token, Provenance::new(Method::Form, true)));
        let answered = self.close(&visit, Answered::new(303));
        (decided, answered)
    }

    pub fn withdraw(
        &mut self,
        privet: &Privet,
        categories: &[&str],
    ) -> (privet::Result<privet::consent::Withdrawn>, Answered) {
        let (visit, _) = self.open(privet);
        let named: BTreeSet<_> = categories.iter().map(|c| (*c).to_owned()).collect();
        let language = visit.catalogue().languages()[0].clone();
        let done = block_on(privet.withdraw(&visit, &named, &language, Provenance::new(Method::Form, true)));
        let answered = self.close(&visit, Answered::new(303));
        (done, answered)
    }

    pub fn sign_in(&mut self, privet: &Privet, account: &str) {
        let (visit, _) = self.open(privet);
        block_on(privet.sign_in(&visit, account)).unwrap();
        self.close(&visit, Answered::new(303));
    }

    pub fn sign_out(&mut self, privet: &Privet) {
        let (visit, _) = self.open(privet);
        block_on(privet.sign_out(&visit)).unwrap();
        self.close(&visit, Answered::new(303));
    }

    /// Says something in the chat.
    pub fn say(&mut self, privet: &Privet, text: &str) {
        let (visit, _) = self.open(privet);
        let message = NewMessage::new(Channel::AiSearch, text).unwrap();
        block_on(visit.visitor().post("chat", message)).unwrap();
        self.close(&visit, Answered::new(200));
    }

    /// What they can read of what was said.
    pub fn texts(&self, privet: &Privet) -> Vec<String> {
        let (visit, _) = self.open(privet);
        block_on(visit.visitor().messages()).unwrap().into_iter().map(|m| m.text).collect()
    }

    pub fn state(&self, privet: &Privet) -> Vec<(String, privet::consent::Decision)> {
        let consent = self.open(privet).0.consent();
        consent.decisions().map(|(c, d)| (c.id.clone(), d)).collect()
    }

    pub fn granted(&self, privet: &Privet) -> Vec<String> {
        let granted = |d: &(String, privet::consent::Decision)| d.1 == privet::consent::Decision::Granted;
        self.state(privet).into_iter().filter(granted).map(|(c, _)| c).collect()
    }
}

pub fn save(categories: &[&str]) -> Answer {
    Answer::Save(categories.iter().map(|c| (*c).to_owned()).collect())
}

/// Addresses of a documentation range would be asked for in no file; so the tests have a file of their own.
#[derive(Debug)]
pub struct CountryFile;

impl CountryLookup for CountryFile {
    fn lookup(&self, ip: IpAddr) -> Option<CountryCode> {
        CountryCode::new(match ip.to_string().as_str() {
            "9.0.0.1" => "DE",
            "9.0.0.2" => "GB",
            "9.0.0.3" => "FR",
            "9.0.0.4" => "US",
            // A Tor exit, in files that say so: no country.
            "9.0.0.5" => "T1",
            "9.0.0.6" => "GP",
            _ => return None,
        })
    }
}

pub const DE: &str = "9.0.0.1";
pub const GB: &str = "9.0.0.2";
pub const FR: &str = "9.0.0.3";
pub const US: &str = "9.0.0.4";
pub const TOR: &str = "9.0.0.5";
pub const GUADELOUPE: &str = "9.0.0.6";
pub const NOWHERE: &str = "9.0.0.9";

/// Storage that some regimes except from consent.
pub const EXCEPTIONS: &str = r#"
    [[service]]
    id = "own"
    provider = "Garden Shop"
    purpose = { en = "Counts and adapts.", de = "Zählt und passt an." }
    label = { en = "Own", de = "Eigenes" }
    legal_basis = "legitimate-interests"

    [[service.entry]]
    name = "stat"
    purpose = { en = "Counts.", de = "Zählt." }
    duration = "30 days"
    trigger = "server"
    gate = { unless_objected = "analytics", exceptions = ["uk-statistics"] }

    [[service.entry]]
    name = "look"
    purpose = { en = "Adapts.", de = "Passt an." }
    duration = "30 days"
    trigger = "server"
    gate = { unless_objected = "analytics", exceptions = ["uk-appearance"] }

    [[service.entry]]
    name = "audience"
    purpose = { en = "Counts.", de = "Zählt." }
    duration = "395 days"
    trigger = "server"
    gate = { unless_objected = "analytics", exceptions = ["fr-audience-measurement"], attests = ["sole-purpose", "for-the-publisher-only", "anonymous-statistics", "no-cross-site", "no-matching", "not-shared", "address-cut"] }
"#;

pub fn with_exceptions() -> String {
    format!("{CATALOGUE}{EXCEPTIONS}")
}

/// An installation whose visitors come from several countries, and may sign in.
pub fn regional(toml: &str, regimes: Regimes, storage: Storage) -> (Privet, FakeClock) {
    let clock = FakeClock::at(start());
    let builder = Privet::builder(Catalogue::from_toml(toml).unwrap())
        .storage(storage)
        .clock(clock.clone())
        .countries(CountryFile)
        .regimes(regimes)
        .account_consent();
    (block_on(builder.build()).unwrap(), clock)
}
