//! A site with visitors and operators, for the tests of this room.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use privet::conformance::{FaultyStore, block_on};
use privet::consent::{Answer, Method, Provenance};
use privet::contact::{Channel, ConversationId, NewMessage, PageUrl, PageUrlPolicy};
use privet::portal::{Operator, Portal, Role};
use privet::store::{KeyName, KeyStore, MemoryKeyStore, MemoryStore};
use privet::visit::{RequestHead, ResponseHead, ResponseHeader};
use privet::{Catalogue, Day, FakeClock, Privet, Site, Storage, Tenant, Timestamp, Visit};

use crate::reply::{Body, Reply};

const CATALOGUE: &str = r#"
    [controller]
    name = "Garden Shop"
    contact = "privacy@garden.example"

    [[category]]
    id = "contacts"
    purpose = "Recognises you in the chat."

    [[service]]
    id = "chat"
    provider = "Garden Shop"
    purpose = "Answers questions."
    label = "Chat"
    legal_basis = "contract"
    activated_by = ["open"]

    [[service.entry]]
    name = "chat_open"
    purpose = "Keeps the chat open."
    duration = "session"
    gesture = "open"
    gate = { activation = "chat" }
"#;

pub(super) struct Garden {
    pub(super) privet: Privet,
    pub(super) store: Arc<FaultyStore<MemoryStore>>,
    pub(super) keys: Arc<Keys>,
}

/// Keys that cannot be had when they are told so.
#[derive(Debug, Default)]
pub(super) struct Keys {
    keys: MemoryKeyStore,
    fail: AtomicBool,
}

impl Keys {
    pub(super) fn fail(&self) {
        self.fail.store(true, Ordering::SeqCst);
    }
}

#[async_trait]
impl KeyStore for Keys {
    async fn get(&self, name: &KeyName) -> privet::Result<Option<Vec<u8>>> {
        if self.fail.load(Ordering::SeqCst) {
            return Err(privet::Error::unavailable("keys", "they were told to fail"));
        }
        self.keys.get(name).await
    }
    async fn insert(&self, name: &KeyName, wrapped: &[u8]) -> privet::Result<Vec<u8>> {
        self.keys.insert(name, wrapped).await
    }
    async fn destroy(&self, names: &[KeyName]) -> privet::Result<()> {
        self.keys.destroy(names).await
    }
    async fn destroy_epochs_before(&self, day: Day) -> privet::Result<()> {
        self.keys.destroy_epochs_before(day).await
    }
}

impl Garden {
    pub(super) fn new() -> Self {
        let store = Arc::new(FaultyStore::new(MemoryStore::new()));
        let mut storage = Storage::in_memory().unwrap();
        let keys = Arc::new(Keys::default());
        storage.store = store.clone();
        storage.keys = keys.clone();
        let clock = FakeClock::at(Timestamp::from_millis(1_800_000_000_000));
        let builder = Privet::builder(Catalogue::from_toml(CATALOGUE).unwrap())
            .storage(storage)
            .clock(clock)
            .grants_per_address(u32::MAX, u32::MAX);
        Self { privet: block_on(builder.build()).unwrap(), store, keys }
    }

    pub(super) fn portal(&self, role: Role) -> Portal {
        let operator = Operator::new(Tenant::default(), "ann", role).unwrap();
        self.privet.portal(&operator, &Site::default()).unwrap()
    }
}

/// A browser with cookies.
#[derive(Default)]
pub(super) struct Visitor(BTreeMap<String, String>);

impl Visitor {
    /// Somebody who granted contacts.
    pub(super) fn known(garden: &Garden) -> Self {
        let mut visitor = Self::default();
        let visit = visitor.open(&garden.privet);
        let notice = visit.notice(&visit.catalogue().languages()[0]).unwrap().clone();
        let token = visit.notice_token(&notice);
        let how = Provenance::new(Method::Form, true);
        block_on(garden.privet.decide(&visit, &Answer::AcceptAll, &token, how)).unwrap();
        visitor.close(&visit);
        visitor
    }

    pub(super) fn open(&self, privet: &Privet) -> Visit {
        let line = self.0.iter().map(|(n, v)| format!("{n}={v}")).collect::<Vec<_>>().join("; ");
        privet.visit(&Head(line)).unwrap().0
    }

    fn close(&mut self, visit: &Visit) {
        let mut head = Lines::default();
        let _ = visit.seal(&mut head);
        for (_, value) in head.0.into_iter().filter(|(n, _)| *n == ResponseHeader::SetCookie.name()) {
            let (pair, rest) = value.split_once(';').unwrap();
            let (cookie, value) = pair.split_once('=').unwrap();
            if !rest.contains("Max-Age=0") {
                self.0.insert(cookie.to_owned(), value.to_owned());
            }
        }
    }

    pub(super) fn say(&mut self, garden: &Garden, text: &str) -> ConversationId {
        let visit = self.open(&garden.privet);
        let page = PageUrl::minimise("https://garden.example/roses", &PageUrlPolicy::default());
        let message = NewMessage::new(Channel::LiveSupport, text).unwrap().page(page);
        let posted = block_on(visit.visitor().post("chat", message)).unwrap();
        self.close(&visit);
        posted.conversation
    }
}

struct Head(String);

impl RequestHead for Head {
    fn peer(&self) -> Option<IpAddr> {
        Some(IpAddr::from([203, 0, 113, 7]))
    }
    fn method(&self) -> &'static str {
        "GET"
    }
    fn path(&self) -> &'static str {
        "/"
    }
    fn host(&self) -> Option<&str> {
        None
    }
    fn headers<'a>(&'a self, each: &mut dyn FnMut(&'a str, &'a [u8])) {
        if !self.0.is_empty() {
            each("cookie", self.0.as_bytes());
        }
    }
}

#[derive(Default)]
struct Lines(Vec<(&'static str, String)>);

impl ResponseHead for Lines {
    fn status(&self) -> u16 {
        200
    }
    fn lines<'a>(&'a self, header: ResponseHeader, each: &mut dyn FnMut(&'a [u8])) {
        self.0.iter().filter(|(n, _)| *n == header.name()).for_each(|(_, v)| each(v.as_bytes()));
    }
    fn remove(&mut self, header: ResponseHeader) {
        self.0.retain(|(n, _)| *n != header.name());
    }
    fn append(&mut self, header: ResponseHeader, line: std::borrow::Cow<'static, [u8]>) {
        self.0.push((header.name(), String::from_utf8(line.into_owned()).unwrap()));
    }
}

/// The next piece of a body that comes in pieces.
pub(super) fn next(reply: &mut Reply) -> Option<std::io::Result<Bytes>> {
    let Body::Stream(pieces) = &mut reply.body else { panic!("not streamed") };
    block_on(pieces.next())
}

/// All that is still to come, and whether it was cut.
pub(super) fn rest(reply: &mut Reply) -> (String, bool) {
    let mut all = Vec::new();
    loop {
        match next(reply) {
            Some(Ok(piece)) => all.extend(piece),
            Some(Err(_)) => return (String::from_utf8(all).unwrap(), true),
            None => return (String::from_utf8(all).unwrap(), false),
        }
    }
}
