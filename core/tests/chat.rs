//! Contacts, conversations, and what becomes of them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that meets something else has failed")]

mod common;

use std::net::IpAddr;
use std::time::Duration;

use common::{Answered, Browser, installation, save};
use futures_executor::block_on;
use privet::consent::Answer;
use privet::contact::{Channel, NewMessage, PageRequest, PageUrl, PageUrlPolicy, Posted};
use privet::ip::{CountryCode, CountryLookup};
use privet::retention::{DataClass, RetentionRule};
use privet::{Contacts, Error, Privet, Scope, Tenant};

const DAY: Duration = Duration::from_secs(86_400);

#[derive(Debug)]
struct Netherlands;
impl CountryLookup for Netherlands {
    fn lookup(&self, _: IpAddr) -> Option<CountryCode> {
        CountryCode::new("NL")
    }
}

fn message(text: &str) -> NewMessage {
    let page = PageUrl::minimise("https://garden.example/articles/roses?q=1", &PageUrlPolicy::default());
    NewMessage::new(Channel::AiSearch, text).unwrap().page(page)
}

fn post(browser: &mut Browser, privet: &Privet, text: &str) -> privet::Result<Posted> {
    let mut head = browser.head("/chat");
    head.peer = Some("8.8.8.8".parse().unwrap());
    let (visit, _) = privet.visit(&head).unwrap();
    let posted = block_on(visit.visitor().post("chat", message(text)));
    browser.close(&visit, Answered::new(200));
    posted
}

fn contacts(privet: &Privet) -> Vec<privet::contact::ContactSummary> {
    block_on(privet.contacts(&Scope::default(), &PageRequest::first(100))).unwrap().contacts
}

/// CTC-01, CON-06: without consent the chat works, and no contact comes of it.
#[test]
fn ctc_01_no_consent_no_contact_and_the_chat_works() {
    let (privet, clock) = installation(|b| b.countries(Netherlands));
    for refuse in [false, true] {
        let mut browser = Browser::default();
        if refuse {
            browser.answer(&privet, &Answer::RejectAll).0.unwrap();
        }
        for n in 0..10 {
            assert!(post(&mut browser, &privet, &format!("hello {n}")).unwrap().contact.is_none());
        }
        assert_eq!(browser.texts(&privet), (0..10).map(|n| format!("hello {n}")).collect::<Vec<_>>());
        assert!(!browser.cookies.contains_key("__Host-privet-contact"));
        assert!(browser.cookies.contains_key("__Host-privet-active"));
        assert!(contacts(&privet).is_empty());
        let (visit, _) = browser.open(&privet);
        assert!(
            block_on(visit.visitor().messages()).unwrap().iter().all(|m| m.page.is_none()),
            "no page without consent"
        );
        assert_eq!(block_on(visit.visitor().conversations()).unwrap().len(), 1);
    }
    // What was said before the grant is not put under the contact unasked.
    let mut browser = Browser::default();
    post(&mut browser, &privet, "before").unwrap();
    browser.answer(&privet, &save(&["contacts"])).0.unwrap();
    assert!(contacts(&privet).is_empty(), "a grant alone opens no contact");
    clock.advance(Duration::from_secs(1));
    let posted = post(&mut browser, &privet, "after").unwrap();
    let listed = contacts(&privet);
    assert_eq!(listed.len(), 1);
    assert_eq!((Some(listed[0].id), listed[0].conversations), (posted.contact, 1));
    assert_eq!(listed[0].country, CountryCode::new("NL"));
    assert_eq!(browser.texts(&privet), ["after"]);
    let (visit, _) = browser.open(&privet);
    let pages: Vec<_> = block_on(visit.visitor().messages())
        .unwrap()
        .into_iter()
        .map(|m| m.page.unwrap().as_str().to_owned())
        .collect();
    assert_eq!(pages, ["https://garden.example/articles/roses"]);
    // The visitor says so: now it is.
    let (visit, _) = browser.open(&privet);
    let granted = visit.granted::<Contacts>().unwrap();
    assert_eq!(block_on(visit.visitor().keep_conversations(&granted)).unwrap(), 1);
    assert_eq!(browser.texts(&privet), ["before", "after"]);
    assert_eq!(contacts(&privet)[0].conversations, 2);
    clock.advance(2 * DAY);
    block_on(privet.sweep(privet.now())).unwrap();
    assert_eq!(browser.texts(&privet), ["before", "after"], "it lives as the contact does");
}

/// CTC-08: many messages at once are one conversation of one contact.
#[test]
fn ctc_08_messages_at_once_are_one_conversation() {
    let (privet, _) = installation(|b| b);
    let mut browser = Browser::default();
    browser.answer(&privet, &Answer::AcceptAll).0.unwrap();
    post(&mut browser, &privet, "first").unwrap();
    std::thread::scope(|s| {
        for n in 0..8 {
            let (mut browser, privet) = (browser.clone(), privet.clone());
            s.spawn(move || {
                for m in 0..12 {
                    post(&mut browser, &privet, &format!("{n}-{m}")).unwrap();
                }
            });
        }
    });
    let listed = contacts(&privet);
    assert_eq!((listed.len(), listed[0].conversations), (1, 1));
    let (visit, _) = browser.open(&privet);
    let numbers: Vec<_> =
        block_on(visit.visitor().messages()).unwrap().into_iter().map(|m| m.number).collect();
    assert_eq!(numbers, (1..=97).collect::<Vec<_>>());
}

/// WDR-03: what was held on consent goes with it, and the browser is not recognised again.
#[test]
fn wdr_03_a_withdrawal_erases_the_contact() {
    let (privet, _) = installation(|b| b);
    let mut browser = Browser::default();
    browser.answer(&privet, &Answer::AcceptAll).0.unwrap();
    post(&mut browser, &privet, "hello").unwrap();
    let before = browser.clone();
    let (done, answered) = browser.withdraw(&privet, &["contacts"]);
    let done = done.unwrap();
    assert_eq!((done.removed.contacts, done.removed.conversations, done.removed.messages), (1, 1, 1));
    assert!(
        answered
            .cookies()
            .iter()
            .any(|l| l.starts_with("__Host-privet-contact=;") && l.contains("Max-Age=0"))
    );
    assert!(!browser.cookies.contains_key("__Host-privet-contact"));
    assert!(contacts(&privet).is_empty());
    assert_eq!(browser.granted(&privet), ["analytics", "marketing"]);
    // An old tab, or a restored browser profile, with the cookies of before.
    let mut old = before;
    let posted = post(&mut old, &privet, "from the past").unwrap();
    assert!(posted.contact.is_none(), "the store knows better than the cookie");
    assert!(contacts(&privet).is_empty());
    assert!(!old.cookies.contains_key("__Host-privet-contact"));
    assert_eq!(old.granted(&privet), ["analytics", "marketing"], "and the device is told");
    // WDR-07: the chat itself goes on.
    assert!(post(&mut browser, &privet, "still here").is_ok());
    assert!(contacts(&privet).is_empty());
}

/// CTC-09: a deleted contact does not come back with its old cookie; a new one needs a new consent.
#[test]
fn ctc_09_an_erased_contact_does_not_come_back() {
    let (privet, _) = installation(|b| b);
    let mut browser = Browser::default();
    browser.answer(&privet, &Answer::AcceptAll).0.unwrap();
    let id = post(&mut browser, &privet, "hello").unwrap().contact.unwrap();
    let removed = block_on(privet.erase_contact(&Scope::default(), id)).unwrap();
    assert_eq!((removed.contacts, removed.conversations, removed.messages), (1, 1, 1));
    assert!(matches!(block_on(privet.erase_contact(&Scope::default(), id)), Err(Error::NotFound { .. })));
    assert!(matches!(block_on(privet.contact(&Scope::default(), id)), Err(Error::NotFound { .. })));
    for _ in 0..3 {
        assert!(post(&mut browser, &privet, "again").unwrap().contact.is_none());
    }
    assert!(contacts(&privet).is_empty());
    assert!(!browser.open(&privet).0.consent().decided(), "the visitor is asked again");
    browser.answer(&privet, &Answer::AcceptAll).0.unwrap();
    let fresh = post(&mut browser, &privet, "new").unwrap().contact.unwrap();
    assert_ne!(fresh, id);
    assert_eq!(contacts(&privet).len(), 1);
}

/// P9: somebody else's id looks like one that is not there.
#[test]
fn a_foreign_id_is_a_missing_id() {
    let (privet, _) = installation(|b| b);
    let mut browser = Browser::default();
    browser.answer(&privet, &Answer::AcceptAll).0.unwrap();
    let id = post(&mut browser, &privet, "hello").unwrap().contact.unwrap();
    let elsewhere = Scope::new(Tenant::new("other").unwrap(), privet::Site::default());
    let foreign = block_on(privet.contact(&elsewhere, id)).unwrap_err().to_string();
    let missing =
        block_on(privet.contact(&Scope::default(), privet::contact::ContactId::generate().unwrap()))
            .unwrap_err()
            .to_string();
    assert_eq!(foreign, missing);
    assert!(block_on(privet.erase_contact(&elsewhere, id)).is_err());
    assert_eq!(contacts(&privet).len(), 1);
}

/// CTC-07: most recent activity first; a cursor is of one list only.
#[test]
fn ctc_07_contacts_by_most_recent_activity_page_by_page() {
    let (privet, clock) = installation(|b| b);
    let mut first = None;
    for _ in 0..7 {
        let mut browser = Browser::default();
        browser.answer(&privet, &Answer::AcceptAll).0.unwrap();
        let id = post(&mut browser, &privet, "hello").unwrap().contact.unwrap();
        first.get_or_insert((browser, id));
        clock.advance(Duration::from_secs(90));
    }
    let (mut browser, oldest) = first.unwrap();
    assert_eq!(contacts(&privet).last().unwrap().id, oldest);
    post(&mut browser, &privet, "back again").unwrap();
    assert_eq!(contacts(&privet)[0].id, oldest, "a message moves it to the top");
    let scope = Scope::default();
    let mut seen = Vec::new();
    let mut request = PageRequest::first(3);
    let cursor = loop {
        let page = block_on(privet.contacts(&scope, &request)).unwrap();
        seen.extend(page.contacts.iter().map(|c| c.id));
        match page.next {
            Some(next) if seen.len() < 6 => request = PageRequest::first(3).after(next),
            Some(next) => break next,
            None => panic!("three pages"),
        }
    };
    let last = block_on(privet.contacts(&scope, &PageRequest::first(3).after(cursor.clone()))).unwrap();
    assert_eq!((last.contacts.len(), last.next), (1, None));
    assert_eq!(seen.iter().collect::<std::collections::BTreeSet<_>>().len(), 6);
    let elsewhere = Scope::new(Tenant::new("other").unwrap(), privet::Site::default());
    for (scope, cursor) in
        [(&elsewhere, cursor.as_str()), (&scope, "x"), (&scope, ""), (&scope, &cursor[1..])]
    {
        let refused = block_on(privet.contacts(scope, &PageRequest::first(3).after(cursor)));
        assert!(matches!(refused, Err(Error::Invalid { .. })), "{cursor}");
    }
}

/// Page views of a contact become one small write, and never bring back who is gone.
#[test]
fn touches_are_coalesced_and_fenced() {
    let (privet, clock) = installation(|b| b);
    let mut browser = Browser::default();
    browser.answer(&privet, &Answer::AcceptAll).0.unwrap();
    let id = post(&mut browser, &privet, "hello").unwrap().contact.unwrap();
    let before = contacts(&privet)[0].last_seen;
    clock.advance(Duration::from_secs(600));
    for _ in 0..100 {
        let (visit, _) = browser.open(&privet);
        browser.close(&visit, Answered::new(200));
    }
    assert_eq!(contacts(&privet)[0].last_seen, before, "buffered");
    assert_eq!(block_on(privet.flush()).unwrap(), 1);
    assert_eq!(
        contacts(&privet)[0].last_seen,
        (before + Duration::from_secs(600)).floor_to(Duration::from_secs(60))
    );
    assert_eq!(block_on(privet.flush()).unwrap(), 0);
    let (visit, _) = browser.open(&privet);
    block_on(privet.erase_contact(&Scope::default(), id)).unwrap();
    browser.close(&visit, Answered::new(200));
    assert_eq!(block_on(privet.flush()).unwrap(), 0, "a view that was under way");
    assert!(contacts(&privet).is_empty());
}

/// RET-01, RET-02: defaults are finite; a tenant's own rule holds for what is there, and at once.
#[test]
fn ret_02_a_tenants_rule_holds_at_once_and_is_swept() {
    let (privet, clock) = installation(|b| b);
    let mut contact = Browser::default();
    contact.answer(&privet, &Answer::AcceptAll).0.unwrap();
    post(&mut contact, &privet, "under a contact").unwrap();
    let mut visit = Browser::default();
    post(&mut visit, &privet, "under a visit").unwrap();
    clock.advance(Duration::from_secs(86_399));
    assert_eq!(block_on(privet.sweep(privet.now())).unwrap().removed, Default::default());
    clock.advance(Duration::from_secs(2));
    let session = visit.clone();
    assert!(session.texts(&privet).is_empty(), "hidden the second it is over");
    let swept = block_on(privet.sweep(privet.now())).unwrap();
    assert_eq!((swept.removed.conversations, swept.removed.messages, swept.removed.contacts), (1, 1, 0));
    assert!(block_on(privet.sweep(privet.now())).unwrap().is_nothing());

    let tenant = Tenant::default();
    assert!(
        block_on(privet.retention(&tenant))
            .unwrap()
            .iter()
            .all(|r| r.period() <= Duration::from_secs(1095 * 86_400))
    );
    clock.advance(9 * DAY);
    assert_eq!(contact.texts(&privet).len(), 1);
    let week = RetentionRule::new(DataClass::Messages, 7 * DAY).unwrap();
    block_on(privet.set_retention(&tenant, week)).unwrap();
    assert!(contact.texts(&privet).is_empty());
    assert_eq!(contacts(&privet).len(), 1);
    assert_eq!(block_on(privet.sweep(privet.now())).unwrap().removed.messages, 1);
    // The consent lapses after 180 days: the contact is frozen, then erased; the proof stays for its own time.
    clock.advance(175 * DAY);
    assert!(contacts(&privet).is_empty());
    let swept = block_on(privet.sweep(privet.now())).unwrap();
    assert_eq!((swept.removed.contacts, swept.removed.records), (1, 0));
    clock.advance(Duration::from_secs(1_100 * 86_400));
    assert_eq!(block_on(privet.sweep(privet.now())).unwrap().removed.records, 1);
}

#[test]
fn support_is_kept_longer_than_a_question_to_the_search() {
    let (privet, clock) = installation(|b| b);
    let mut browser = Browser::default();
    let (visit, _) = browser.open(&privet);
    let asked = NewMessage::new(Channel::LiveSupport, "my order is late").unwrap();
    block_on(visit.visitor().post("chat", asked)).unwrap();
    browser.close(&visit, Answered::new(200));
    clock.advance(29 * DAY);
    assert!(block_on(privet.sweep(privet.now())).unwrap().is_nothing());
    clock.advance(2 * DAY);
    assert_eq!(block_on(privet.sweep(privet.now())).unwrap().removed.messages, 1);
}

#[test]
fn what_is_no_message_is_refused_and_nothing_is_lost() {
    assert!(matches!(NewMessage::new(Channel::AiSearch, "  \n"), Err(Error::Invalid { .. })));
    assert!(matches!(
        NewMessage::new(Channel::AiSearch, "x".repeat(16 * 1024 + 1)),
        Err(Error::Invalid { .. })
    ));
    let (privet, _) = installation(|b| b);
    let mut browser = Browser::default();
    for odd in ["\u{0}", "\u{202e}evil", "<script>", "=1+1", "🌿"] {
        post(&mut browser, &privet, odd).unwrap();
    }
    assert_eq!(browser.texts(&privet), ["\u{0}", "\u{202e}evil", "<script>", "=1+1", "🌿"]);
    let (visit, _) = browser.open(&privet);
    let unknown = block_on(visit.visitor().post("letters", message("x")));
    assert!(matches!(unknown, Err(Error::UnknownService { .. })));
}

/// IP-03, PRC-05: what leaves has a pseudonym instead of the address, and only what is registered.
#[test]
fn ip_03_what_leaves_is_what_is_registered() {
    let (privet, _) = installation(|b| b);
    let head = common::Head::get("/chat").peer("8.8.8.8");
    let (visit, _) = privet.visit(&head).unwrap();
    let posted = block_on(visit.visitor().post("chat", message("help"))).unwrap();
    let forward = || {
        visit
            .forward_to("desk")
            .unwrap()
            .field("text", "help")
            .field("name", "Anna")
            .field("pseudonym", "8.8.8.8")
            .headers([
                ("Accept-Language", &b"nl"[..]),
                ("cookie", b"a=b"),
                ("user-agent", b"x"),
                ("x-forwarded-for", b"8.8.8.8"),
            ])
    };
    let out = forward().within(&posted).unwrap();
    assert_eq!(out.left_out, ["name", "pseudonym", "cookie", "user-agent", "x-forwarded-for"]);
    assert_eq!(out.headers, [("accept-language".to_owned(), "nl".to_owned())]);
    let body = out.body.to_string();
    assert!(!body.contains("8.8.8.8") && !body.contains("Anna"), "{body}");
    let pseudonym = out.body["pseudonym"].as_str().unwrap().to_owned();
    assert!(pseudonym.starts_with("ph1.") && out.body["text"] == "help");
    assert_eq!(
        forward().within(&posted).unwrap().body["pseudonym"],
        pseudonym.as_str(),
        "stable in the conversation"
    );
    assert_ne!(forward().today().unwrap().body["pseudonym"], pseudonym.as_str());
    let other = privet.visit(&head).unwrap().0;
    let elsewhere = block_on(other.visitor().post("chat", message("other"))).unwrap();
    assert_ne!(
        other.forward_to("desk").unwrap().within(&elsewhere).unwrap().body["pseudonym"],
        pseudonym.as_str()
    );
    assert!(matches!(visit.forward_to("nobody"), Err(Error::UnknownRecipient { .. })));
}

/// GEO-04: the country is stored with a contact only; asking for it stores nothing.
#[test]
fn geo_04_the_country_is_kept_with_consent_only() {
    let (privet, _) = installation(|b| b.countries(Netherlands));
    let mut browser = Browser::default();
    let mut head = browser.head("/");
    head.peer = Some("8.8.8.8".parse().unwrap());
    let (visit, _) = privet.visit(&head).unwrap();
    assert_eq!(visit.country().to_string(), "NL");
    assert!(browser.close(&visit, Answered::new(200)).cookies().is_empty());
    assert_eq!(privet.visit(&head).unwrap().0.country().to_string(), "NL");
    let sealed = privet.visit(&head).unwrap().0;
    browser.close(&sealed, Answered::new(200));
    assert_eq!(sealed.country().to_string(), "unknown", "the address is gone");
}

/// GEO-02, P5: the address is used while the request lasts, and overwritten when its answer is sealed.
#[test]
fn geo_02_the_address_is_gone_when_the_head_is_sealed() {
    let (privet, _) = installation(|b| b.countries(Netherlands));
    let mut head = common::Head::get("/chat");
    head.peer = Some("8.8.8.8".parse().unwrap());
    let (visit, _) = privet.visit(&head).unwrap();
    let posted = block_on(visit.visitor().post("chat", message("hello"))).unwrap();
    let before = visit.forward_to("desk").unwrap().within(&posted).unwrap();
    assert!(before.body["pseudonym"].is_string());
    Browser::default().close(&visit, Answered::new(200));
    assert_eq!(visit.country().to_string(), "unknown");
    assert!(visit.forward_to("desk").unwrap().within(&posted).is_err());
    assert!(!format!("{visit:?} {posted:?} {before:?} {privet:?}").contains("8.8.8"));
}

/// WDR-06: two tabs withdraw different categories from one cookie: neither stands afterwards.
#[test]
fn wdr_06_withdrawals_from_two_tabs_add_up() {
    let (privet, _) = installation(|b| b);
    let mut one = Browser::default();
    one.answer(&privet, &Answer::AcceptAll).0.unwrap();
    post(&mut one, &privet, "hello").unwrap();
    let mut two = one.clone();
    one.withdraw(&privet, &["contacts"]).0.unwrap();
    two.withdraw(&privet, &["analytics"]).0.unwrap();
    assert_eq!(two.granted(&privet), ["marketing"]);
    assert!(post(&mut two, &privet, "again").unwrap().contact.is_none());
    assert!(contacts(&privet).is_empty());
}

/// P7: the consent cookie is lost and the contact's is not. The contact goes on with the new consent, and goes with it.
#[test]
fn a_contact_goes_with_the_consent_that_its_browser_withdraws() {
    for speaks in [true, false] {
        let (privet, _) = installation(|b| b);
        let mut browser = Browser::default();
        browser.answer(&privet, &Answer::AcceptAll).0.unwrap();
        let first = post(&mut browser, &privet, "hello").unwrap().contact;
        browser.cookies.remove("__Host-privet");
        browser.answer(&privet, &Answer::AcceptAll).0.unwrap();
        if speaks {
            assert_eq!(post(&mut browser, &privet, "it is me").unwrap().contact, first);
        }
        browser.withdraw(&privet, &[]).0.unwrap();
        assert!(contacts(&privet).is_empty(), "speaks: {speaks}");
    }
}

/// A choice that is renewed in time keeps its contact: the cookie ends with the new choice.
#[test]
fn a_renewed_choice_keeps_its_contact() {
    let (privet, clock) = installation(|b| b);
    let mut browser = Browser::default();
    browser.answer(&privet, &Answer::AcceptAll).0.unwrap();
    let first = post(&mut browser, &privet, "hello").unwrap().contact;
    clock.advance(150 * DAY);
    browser.answer(&privet, &Answer::AcceptAll).0.unwrap();
    clock.advance(100 * DAY);
    assert_eq!(post(&mut browser, &privet, "still me").unwrap().contact, first);
    assert_eq!(contacts(&privet).len(), 1);
}

/// Who has said much reads the latest of it.
#[test]
fn the_latest_messages_are_shown() {
    let (privet, _) = installation(|b| b);
    let mut browser = Browser::default();
    for n in 0..505 {
        post(&mut browser, &privet, &format!("{n}")).unwrap();
    }
    let shown = browser.texts(&privet);
    assert_eq!((shown.len(), shown.last().map(String::as_str)), (500, Some("504")));
}

/// A visit's id ends a day after its first gesture, however busy it is.
#[test]
fn a_visit_does_not_slide() {
    let (privet, clock) = installation(|b| b);
    let mut browser = Browser::default();
    post(&mut browser, &privet, "hello").unwrap();
    for _ in 0..3 {
        clock.advance(Duration::from_secs(7 * 3600));
        post(&mut browser, &privet, "still here").unwrap();
    }
    let before = browser.cookies["__Host-privet-active"].clone();
    clock.advance(Duration::from_secs(4 * 3600));
    assert!(!browser.open(&privet).0.is_active("chat"));
    post(&mut browser, &privet, "tomorrow").unwrap();
    assert_ne!(browser.cookies["__Host-privet-active"], before);
    assert_eq!(browser.texts(&privet), ["tomorrow"]);
}

/// An answer that was made from what is known about a visitor is for that visitor.
#[test]
fn what_is_known_of_a_visitor_is_not_for_caches_between() {
    let (privet, _) = installation(|b| b);
    let mut browser = Browser::default();
    post(&mut browser, &privet, "hello").unwrap();
    let cached = || {
        Answered::new(200)
            .header("cache-control", "public, max-age=600")
            .header("cdn-cache-control", "max-age=600")
    };
    let looks: [fn(&privet::Visit); 3] = [
        |v| assert_eq!(block_on(v.visitor().messages()).unwrap().len(), 1),
        |v| assert!(v.is_active("chat")),
        |v| assert_eq!(v.country().code(), None),
    ];
    for look in looks {
        let (visit, _) = browser.open(&privet);
        look(&visit);
        let answer = browser.close(&visit, cached());
        assert_eq!(answer.all("cache-control"), ["private, max-age=600"]);
        assert!(
            answer.all("vary").contains(&"Cookie".to_owned()) && answer.all("cdn-cache-control").is_empty()
        );
    }
    let (visit, _) = browser.open(&privet);
    assert_eq!(browser.close(&visit, cached()).all("cache-control"), ["public, max-age=600"]);
}
