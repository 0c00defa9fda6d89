use std::sync::Mutex;

use async_trait::async_trait;
use privet::conformance::block_on;
use privet::portal::{Operator, Role};
use privet::{Scope, Tenant};

use super::super::fixture::{Garden, Visitor, next, rest};
use super::*;

const FAST: Pace =
    Pace { step: Duration::from_millis(1), quiet: Duration::from_secs(60), longest: Duration::from_secs(60) };

/// Lets in whomever it is told to.
struct Door(Mutex<Option<Operator>>);

impl Door {
    fn open(role: Role) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Some(operator("ann", role)))))
    }
    fn lets(&self, operator: Option<Operator>) {
        *self.0.lock().unwrap() = operator;
    }
}

fn operator(name: &str, role: Role) -> Operator {
    Operator::new(Tenant::default(), name, role).unwrap()
}

#[async_trait]
impl Guard for Door {
    async fn operator(&self, _: &Visit, _: &Request) -> Result<Option<Operator>> {
        Ok(self.0.lock().unwrap().clone())
    }
}

fn request(query: &str) -> Request {
    Request::new("GET", "/privacy/portal/main/conversations/x/events", query)
}

fn open(
    garden: &Garden,
    door: &Arc<Door>,
    id: ConversationId,
    request: &Request,
    pace: Pace,
) -> Result<Reply> {
    let guard: Arc<dyn Guard> = door.clone();
    let visit = Visitor::default().open(&garden.privet);
    let role = door.0.lock().unwrap().as_ref().unwrap().role();
    block_on(follow(&guard, &visit, request, garden.portal(role), id, pace))
}

fn text(reply: &mut Reply) -> String {
    String::from_utf8(next(reply).unwrap().unwrap().to_vec()).unwrap()
}

#[test]
fn new_messages_come_as_data_and_closing_ends_it() {
    let garden = Garden::new();
    let mut visitor = Visitor::known(&garden);
    let id = visitor.say(&garden, "first");
    let door = Door::open(Role::Agent);
    let mut reply = open(&garden, &door, id, &request("after=1"), FAST).unwrap();
    assert!(reply.headers.contains(&("content-type", "text/event-stream".to_owned())));
    assert!(reply.headers.contains(&("cache-control", "private, no-store".to_owned())));
    assert_eq!(text(&mut reply), "retry: 3000\n\n");
    visitor.say(&garden, "<b>two</b>\n\nevent: closed\ndata: x");
    let news = text(&mut reply);
    assert_eq!(news.matches("\n\n").count(), 1, "one event: {news}");
    let data = news.strip_prefix("id: 2\ndata: ").unwrap();
    let data: serde_json::Value = serde_json::from_str(data).unwrap();
    assert_eq!((&data["number"], &data["author"]), (&2.into(), &"visitor".into()));
    assert_eq!(data["text"], "<b>two</b>\n\nevent: closed\ndata: x");
    let portal = garden.portal(Role::Agent);
    block_on(portal.answer(id, "an answer")).unwrap();
    assert!(text(&mut reply).contains("\"author\":\"agent\""));
    block_on(portal.close_conversation(id)).unwrap();
    assert_eq!(rest(&mut reply), ("event: closed\ndata: {}\n\n".to_owned(), false));
    assert_eq!(open(&garden, &door, id, &request("after=3"), FAST).unwrap().status, 204);
    // What was missed still comes.
    let mut late = open(&garden, &door, id, &request("after=2"), FAST).unwrap();
    assert!(rest(&mut late).0.contains("an answer"));
}

#[test]
fn a_browser_that_comes_again_goes_on_where_it_was() {
    let garden = Garden::new();
    let mut visitor = Visitor::known(&garden);
    visitor.say(&garden, "one");
    let id = visitor.say(&garden, "two");
    let door = Door::open(Role::Agent);
    let again = request("after=0").headers([("last-event-id", b"1".as_slice())]);
    let mut reply = open(&garden, &door, id, &again, FAST).unwrap();
    text(&mut reply);
    assert!(text(&mut reply).starts_with("id: 2\n"));
    assert!(matches!(open(&garden, &door, id, &request("after=x"), FAST), Err(Error::Invalid { .. })));
}

#[test]
fn it_ends_with_the_session_the_role_and_the_conversation() {
    let garden = Garden::new();
    let erase = |id| {
        block_on(garden.privet.erase_conversation(&Scope::default(), id)).unwrap();
    };
    type End<'a> = &'a dyn Fn(&Door, ConversationId);
    let ends: [End<'_>; 4] = [
        &|door, _| door.lets(None),
        &|door, _| door.lets(Some(operator("bob", Role::Agent))),
        &|door, _| door.lets(Some(operator("ann", Role::Viewer))),
        &|_, id| erase(id),
    ];
    for end in ends {
        let mut visitor = Visitor::known(&garden);
        let id = visitor.say(&garden, "one");
        let door = Door::open(Role::Agent);
        let mut reply = open(&garden, &door, id, &request("after=0"), FAST).unwrap();
        text(&mut reply);
        assert!(text(&mut reply).contains("one"));
        end(&door, id);
        assert_eq!(rest(&mut reply), (String::new(), false));
    }
    let id = Visitor::known(&garden).say(&garden, "one");
    let viewer = Door::open(Role::Viewer);
    assert!(matches!(open(&garden, &viewer, id, &request("after=0"), FAST), Err(Error::NotAllowed { .. })));
    erase(id);
    let agent = Door::open(Role::Agent);
    assert!(matches!(open(&garden, &agent, id, &request("after=0"), FAST), Err(Error::NotFound { .. })));
}

#[test]
fn it_says_that_it_lives_and_ends_in_time() {
    let garden = Garden::new();
    let id = Visitor::known(&garden).say(&garden, "one");
    let door = Door::open(Role::Agent);
    let quiet = Pace { quiet: Duration::ZERO, ..FAST };
    let mut reply = open(&garden, &door, id, &request("after=1"), quiet).unwrap();
    text(&mut reply);
    assert_eq!((text(&mut reply), text(&mut reply)), (":\n\n".to_owned(), ":\n\n".to_owned()));
    let short = Pace { longest: Duration::from_millis(20), ..FAST };
    let mut reply = open(&garden, &door, id, &request("after=1"), short).unwrap();
    assert_eq!(rest(&mut reply), ("retry: 3000\n\n".to_owned(), false));
    let mut reply = open(&garden, &door, id, &request("after=0"), FAST).unwrap();
    text(&mut reply);
    garden.store.fail(true);
    assert_eq!(rest(&mut reply), (String::new(), false), "the browser asks again");
}

/// Each opening may read everything, so each is written down.
#[test]
fn opening_it_is_logged_as_reading() {
    let garden = Garden::new();
    let id = Visitor::known(&garden).say(&garden, "one");
    let door = Door::open(Role::Agent);
    open(&garden, &door, id, &request("after=0"), FAST).unwrap();
    let log = block_on(garden.portal(Role::PrivacyOfficer).audit_log(None, 10)).unwrap();
    assert!(log.events.iter().any(|e| e.verb == privet::portal::Verb::ReadConversation));
}
