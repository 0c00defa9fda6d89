use privet::conformance::block_on;
use privet::contact::PageRequest;
use privet::portal::Role;

use super::super::fixture::{Garden, Visitor, next, rest};
use super::*;
use crate::reply::Body;

fn asked(garden: &Garden, query: &str) -> Reply {
    let request = Request::new("GET", "/privacy/portal/main/export", query);
    block_on(export(garden.portal(Role::PrivacyOfficer), &request, None)).unwrap()
}

/// The body before the manifest, and the manifest's record.
fn split(body: &str) -> (&str, &str) {
    let start = body.trim_end_matches('\n').rfind('\n').map_or(0, |at| at + 1);
    body.split_at(start)
}

fn sha256(text: &str) -> String {
    HEXLOWER.encode(&Sha256::digest(text.as_bytes()))
}

fn manifest(line: &str) -> serde_json::Value {
    serde_json::from_str::<serde_json::Value>(line).unwrap()["manifest"].clone()
}

fn records(text: &str) -> Vec<csv::StringRecord> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_bytes());
    reader.records().map(Result::unwrap).collect()
}

#[test]
fn the_manifest_counts_and_hashes_what_came_before_it() {
    let garden = Garden::new();
    for n in 0..3 {
        let mut visitor = Visitor::known(&garden);
        visitor.say(&garden, &format!("hello {n}"));
        visitor.say(&garden, "a line\nand \"another\", with a comma");
    }
    Visitor::default().say(&garden, "nobody known");

    let (body, cut) = rest(&mut asked(&garden, "what=contacts&format=jsonl"));
    let (before, last) = split(&body);
    let told = manifest(last);
    assert!(!cut);
    assert_eq!((before.lines().count(), told["contacts"].as_u64()), (3, Some(3)));
    assert_eq!(told["sha256"].as_str().unwrap(), sha256(before));
    assert_eq!((told["what"].as_str(), told["site"].as_str()), (Some("contacts"), Some("main")));
    assert!(told.get("messages").is_none());

    let (body, _) = rest(&mut asked(&garden, "what=conversations&format=jsonl"));
    let (before, last) = split(&body);
    let told = manifest(last);
    assert_eq!((told["conversations"].as_u64(), told["messages"].as_u64()), (Some(4), Some(7)));
    assert_eq!(told["sha256"].as_str().unwrap(), sha256(before));
    let first: serde_json::Value = serde_json::from_str(before.lines().next().unwrap()).unwrap();
    assert_eq!(first["messages"][0]["channel"], "live-support");

    let (body, _) = rest(&mut asked(&garden, "what=contacts"));
    let (before, _) = split(&body);
    let rows = records(&body);
    assert_eq!(rows[0].iter().collect::<Vec<_>>(), CONTACT_COLUMNS);
    assert_eq!(rows.len(), 1 + 3 + 1);
    assert_eq!((&rows[4][0], &rows[4][1]), ("#manifest", "contacts=3"));
    assert_eq!(rows[4][3], format!("sha256={}", sha256(before)));

    let (body, _) = rest(&mut asked(&garden, "what=conversations&format=csv"));
    let rows = records(&body);
    assert_eq!(rows[0].iter().collect::<Vec<_>>(), MESSAGE_COLUMNS);
    assert_eq!(rows.len(), 1 + 7 + 1);
    assert_eq!((&rows[8][1], &rows[8][2]), ("conversations=4", "messages=7"));
    assert_eq!(rows[8][4], format!("sha256={}", sha256(split(&body).0)));
    assert_eq!(rows.iter().filter(|r| &r[8] == "a line\nand \"another\", with a comma").count(), 3);
    assert!(rows[1..8].iter().all(|r| &r[6] == "live-support" && &r[7] == "visitor"));
    assert_eq!(rows[1..8].iter().filter(|r| r[1].is_empty()).count(), 1);
}

#[test]
fn the_answer_is_a_file_that_nobody_keeps() {
    let garden = Garden::new();
    let reply = asked(&garden, "what=conversations");
    let header =
        |name| reply.headers.iter().filter(|(n, _)| *n == name).map(|(_, v)| v.as_str()).collect::<Vec<_>>();
    assert_eq!(header("content-disposition"), ["attachment; filename=\"conversations.csv\""]);
    assert_eq!(header("cache-control"), ["private, no-store"]);
    assert_eq!(header("content-type"), ["text/csv; charset=utf-8; header=present"]);
    assert!(matches!(reply.body, Body::Stream(_)));
}

#[test]
fn what_happens_meanwhile_changes_nothing() {
    let garden = Garden::new();
    // More than one read of the snapshot.
    for _ in 0..1_100 {
        Visitor::known(&garden).say(&garden, "hello");
    }
    let (whole, _) = rest(&mut asked(&garden, "what=contacts&format=jsonl"));
    let mut reply = asked(&garden, "what=contacts&format=jsonl");
    let first = String::from_utf8(next(&mut reply).unwrap().unwrap().to_vec()).unwrap();
    assert!(first.lines().count() < 1_100, "it comes in pieces");
    let (scope, page) = (privet::Scope::default(), PageRequest::first(100));
    for contact in block_on(garden.privet.contacts(&scope, &page)).unwrap().contacts {
        block_on(garden.privet.erase_contact(&scope, contact.id)).unwrap();
    }
    for _ in 0..5 {
        Visitor::known(&garden).say(&garden, "new");
    }
    let (second, cut) = rest(&mut reply);
    assert!(!cut);
    assert_eq!(format!("{first}{second}"), whole);
    let (now, _) = rest(&mut asked(&garden, "what=contacts&format=jsonl"));
    assert_eq!(manifest(split(&now).1)["contacts"], 1_005);
}

#[test]
fn a_long_conversation_comes_whole_and_in_order() {
    let garden = Garden::new();
    let mut visitor = Visitor::known(&garden);
    for n in 0..1001 {
        visitor.say(&garden, &n.to_string());
    }
    let (body, _) = rest(&mut asked(&garden, "what=conversations"));
    let rows = records(&body);
    let texts: Vec<_> = rows[1..rows.len() - 1].iter().map(|r| r[8].to_owned()).collect();
    assert_eq!(texts, (0..1001).map(|n: u32| n.to_string()).collect::<Vec<_>>());
    assert_eq!(&rows[rows.len() - 1][1], "conversations=1");
}

#[test]
fn formulas_are_text() {
    let garden = Garden::new();
    let mut visitor = Visitor::known(&garden);
    let formulas =
        ["=1+1", "+1", "-1", "@SUM(A1)", "\t1", "\r1", "\n1", "=HYPERLINK(\"https://evil.example\")"];
    for formula in formulas {
        visitor.say(&garden, formula);
    }
    let (body, _) = rest(&mut asked(&garden, "what=conversations"));
    let rows = records(&body);
    let texts: Vec<_> = rows[1..rows.len() - 1].iter().map(|r| r[8].to_owned()).collect();
    assert_eq!(texts, formulas.map(|f| format!("'{f}")));
    let (body, _) = rest(&mut asked(&garden, "what=conversations&format=jsonl"));
    let first: serde_json::Value = serde_json::from_str(body.lines().next().unwrap()).unwrap();
    assert_eq!(first["messages"][0]["text"], "=1+1", "JSON is no table");
}

#[test]
fn what_cannot_be_read_cuts_the_body() {
    let garden = Garden::new();
    Visitor::known(&garden).say(&garden, "hello");
    let mut reply = asked(&garden, "what=conversations");
    garden.keys.fail();
    let (body, cut) = rest(&mut reply);
    assert!(cut && !body.contains("#manifest"), "{body}");
    assert!(next(&mut reply).is_none(), "nothing after it");
}

#[test]
fn who_goes_away_ends_it() {
    let garden = Garden::new();
    Visitor::known(&garden).say(&garden, "hello");
    let store = Arc::downgrade(&garden.store);
    let reply = asked(&garden, "what=conversations");
    drop(garden);
    assert!(store.upgrade().is_some(), "the export reads on");
    drop(reply);
    assert!(store.upgrade().is_none(), "nothing of it is held");
}

#[test]
fn who_may_not_and_what_is_not_there() {
    let garden = Garden::new();
    let ask = |role, query: &str| {
        block_on(export(
            garden.portal(role),
            &Request::new("GET", "/privacy/portal/main/export", query),
            None,
        ))
    };
    assert!(matches!(ask(Role::Agent, "what=contacts"), Err(Error::NotAllowed { .. })));
    for query in ["what=", "what=everything", "what=contacts&format=xlsx"] {
        assert!(matches!(ask(Role::PrivacyOfficer, query), Err(Error::Invalid { .. })), "{query}");
    }
    let foreign = Request::new("GET", "/privacy/portal/main/export", "what=contacts")
        .headers([("sec-fetch-site", b"cross-site".as_slice())]);
    assert_eq!(block_on(export(garden.portal(Role::PrivacyOfficer), &foreign, None)).unwrap().status, 403);
}

/// What is leaving stops when whoever asked for it may not any more.
#[test]
fn an_export_ends_with_its_session() {
    struct Leaving(std::sync::atomic::AtomicUsize);
    #[async_trait::async_trait]
    impl Guard for Leaving {
        async fn operator(&self, _: &Visit, _: &Request) -> Result<Option<Operator>> {
            let left = self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed) > 0;
            let role = if left { Role::Agent } else { Role::PrivacyOfficer };
            Operator::new(privet::Tenant::default(), "ann", role).map(Some)
        }
    }
    let garden = Garden::new();
    let mut visitor = Visitor::known(&garden);
    for n in 0..200 {
        visitor.say(&garden, &format!("{n} {}", "long ".repeat(400)));
    }
    let request = Request::new("GET", "/privacy/portal/main/export", "what=conversations");
    let guard: Arc<dyn Guard> = Arc::new(Leaving(std::sync::atomic::AtomicUsize::new(0)));
    let visit = visitor.open(&garden.privet);
    let operator = block_on(guard.operator(&visit, &request)).unwrap().unwrap();
    let portal = garden.privet.portal(&operator, &privet::Site::default()).unwrap();
    let door = Door { guard, visit, request: request.clone() };
    let mut reply = block_on(export(portal, &request, Some(door))).unwrap();
    let (body, cut) = rest(&mut reply);
    assert!(cut && !body.contains("#manifest"), "{} bytes", body.len());
}

/// A message that is damaged keeps nobody from the others, and the manifest says that it is missing.
#[test]
fn what_nobody_can_open_is_counted() {
    use privet::contact::{MessageId, Sealed};
    use privet::store::{Horizon, MessageToStore, PortalStore as _};

    let garden = Garden::new();
    Visitor::known(&garden).say(&garden, "hello");
    let portal = garden.portal(Role::PrivacyOfficer);
    let open = block_on(portal.open_conversations()).unwrap();
    let (conversation, now) = (open[0].conversation.id, garden.privet.now());
    let damaged = Sealed::from_bytes(vec![7; 64]);
    let id = MessageId::from_bytes([1; 16]);
    let message = MessageToStore::new(conversation, id, now, Channel::LiveSupport, Author::Agent, damaged);
    block_on(garden.store.answer(portal.scope(), &message, &Horizon::unlimited(now))).unwrap();
    let (body, cut) = rest(&mut asked(&garden, "what=conversations&format=jsonl"));
    let (before, last) = split(&body);
    assert!(!cut && before.contains("hello") && before.contains("\"unreadable\":1"), "{before}");
    assert_eq!(
        (manifest(last)["messages"].as_u64(), manifest(last)["unreadable"].as_u64()),
        (Some(1), Some(1))
    );
    let (body, _) = rest(&mut asked(&garden, "what=conversations&format=csv"));
    assert_eq!(&records(&body).last().unwrap()[5], "unreadable=1");
}
