//! A visit from head to head: what is read, what is hidden, what leaves.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that meets something else has failed")]

mod common;

use std::time::Duration;

use common::{Answered, Browser, Head, installation, save, start};
use futures_executor::block_on;
use privet::consent::Decision;
use privet::consent::{Answer, Decided};
use privet::ip::TrustedProxies;
use privet::visit::{Deny, Refusal, Sealing, ViolationKind};
use privet::{
    Analytics, Catalogue, Contacts, Enforcement, Error, FakeClock, Marketing, Privet, Scope, Site, SiteDecl,
    Tenant,
};

const UNKNOWN: [Decision; 3] = [Decision::Unknown; 3];

fn decisions(browser: &Browser, privet: &Privet) -> Vec<Decision> {
    browser.state(privet).into_iter().map(|(_, d)| d).collect()
}

/// CON-01: silence is no consent, and nothing is stored for it.
#[test]
fn con_01_a_new_visitor_has_decided_nothing_and_gets_nothing() {
    let (privet, _) = installation(|b| b);
    let mut browser = Browser::default();
    for _ in 0..3 {
        let (visit, rewrite) = browser.open(&privet);
        assert!(!visit.consent().decided());
        assert!(matches!(visit.granted::<Analytics>(), Err(Error::NotGranted { .. })));
        assert_eq!(rewrite.cookie, None);
        let answered = browser.close(&visit, Answered::new(200));
        assert_eq!(answered.cookies(), [] as [&str; 0]);
    }
    assert_eq!(decisions(&browser, &privet), UNKNOWN);
}

/// P1: what is foreign, tampered, repeated or stale counts as absent.
#[test]
fn what_cannot_be_trusted_is_unknown() {
    let (privet, clock) = installation(|b| b);
    let mut browser = Browser::default();
    browser.answer(&privet, &Answer::AcceptAll).0.unwrap();
    let good = browser.cookies["__Host-privet"].clone();
    assert_eq!(browser.granted(&privet), ["analytics", "marketing", "contacts"]);

    let (other, _) = installation(|b| b);
    assert_eq!(decisions(&browser, &other), UNKNOWN, "another installation's key");
    let read = |line: &str| {
        let (visit, _) = privet.visit(&Head::get("/").header("cookie", line)).unwrap();
        visit.consent().decisions().map(|(_, d)| d).collect::<Vec<_>>()
    };
    assert_eq!(read(&format!("__Host-privet={good}")), [Decision::Granted; 3]);
    assert_eq!(read(&format!("__Host-privet={good}; __Host-privet={good}")), UNKNOWN, "twice");
    assert_eq!(read(&format!("__Host-privet={good}; x=1; __Host-privet=")), UNKNOWN, "twice, once empty");
    assert_eq!(read(&format!("__Host-privet={}", &good[..good.len() - 1])), UNKNOWN);
    assert_eq!(read(&format!("__host-privet={good}")), UNKNOWN, "another cookie");
    let two_lines = Head::get("/")
        .header("cookie", format!("__Host-privet={good}"))
        .header("cookie", format!("__Host-privet={good}"));
    assert!(!privet.visit(&two_lines).unwrap().0.consent().decided());
    clock.advance(Duration::from_secs(181 * 86_400));
    assert_eq!(decisions(&browser, &privet), UNKNOWN, "after its life");
}

/// P4, WDR-02: handlers do not see what the gate closes; undeclared is refused as well.
#[test]
fn closed_cookies_are_not_seen() {
    let (privet, _) = installation(|b| b);
    let mut browser = Browser::default();
    let seen = |browser: &Browser, line: &str| {
        let mut with = browser.clone();
        for pair in line.split("; ") {
            let (n, v) = pair.split_once('=').unwrap();
            with.cookies.insert(n.to_owned(), v.to_owned());
        }
        let (_, rewrite) = with.open(&privet);
        rewrite.cookie.map(|c| c.map(|c| String::from_utf8(c).unwrap()))
    };
    assert_eq!(seen(&browser, "sid=1"), None, "nothing has to change");
    assert_eq!(seen(&browser, "sid=1; visits=2; who=3"), Some(Some("sid=1".into())));
    assert_eq!(seen(&browser, "visits=2"), Some(None));
    assert_eq!(seen(&browser, "chat_open=1; sid=1"), Some(Some("sid=1".into())), "not activated");
    browser.answer(&privet, &save(&["analytics"])).0.unwrap();
    let line = seen(&browser, "sid=1; visits=2; ad=3").unwrap().unwrap();
    assert!(line.contains("visits=2") && line.contains("sid=1") && !line.contains("ad="), "{line}");
    let (report, _) = installation(|b| b.enforcement(Enforcement::Report));
    let (_, rewrite) = report.visit(&Head::get("/").header("cookie", "visits=2")).unwrap();
    assert_eq!(rewrite.cookie, None, "only reports");
}

#[test]
fn bytes_that_are_no_text_pass_or_go_and_break_nothing() {
    let (privet, _) = installation(|b| b);
    let head =
        Head::get("/").header("cookie", b"sid=\xff\xfe; visits=\x80; \xf0\x28=1").header("x-odd", b"\xff");
    let (_, rewrite) = privet.visit(&head).unwrap();
    assert_eq!(rewrite.cookie, Some(Some(b"sid=\xff\xfe".to_vec())));
}

#[test]
fn too_many_cookies_are_refused_before_they_are_read() {
    let (privet, _) = installation(|b| b);
    let big = |n: usize| Head::get("/").header("cookie", format!("a={}", "x".repeat(n)));
    assert_eq!(privet.visit(&big(100_000)).unwrap_err(), Refusal::CookiesTooLarge);
    assert!(privet.visit(&big(8_000)).is_ok());
    let lines =
        (0..100).fold(Head::get("/"), |h, n| h.header("cookie", format!("a{n}={}", "x".repeat(1_000))));
    assert_eq!(privet.visit(&lines).unwrap_err(), Refusal::CookiesTooLarge);
    assert_eq!(Refusal::CookiesTooLarge.status(), 431);
}

/// GATE-01, GATE-07: on every status, whoever set it.
#[test]
fn gate_07_no_ungated_cookie_leaves_on_any_status() {
    let (privet, _) = installation(|b| b);
    let mut browser = Browser::default();
    for status in [200, 204, 302, 304, 404, 500, 101] {
        let (visit, _) = browser.open(&privet);
        let answered = Answered::new(status)
            .header("set-cookie", "undeclared=1")
            .header("set-cookie", "visits=1; HttpOnly; Path=/; Max-Age=5")
            .header("set-cookie", "chat_open=1; HttpOnly; Path=/")
            .header("set-cookie", "sid=1; HttpOnly; Secure; SameSite=Lax; Path=/")
            .header("set-cookie", "__Host-privet=forged; Secure; Path=/");
        let left = browser.close(&visit, answered);
        assert_eq!(left.cookies(), ["sid=1; HttpOnly; Secure; SameSite=Lax; Path=/"], "{status}");
    }
    let kinds: Vec<_> = privet.violations().into_iter().map(|v| (v.cookie, v.kind, v.count)).collect();
    assert_eq!(
        kinds,
        [
            ("__Host-privet".to_owned(), ViolationKind::Reserved, 7),
            ("chat_open".to_owned(), ViolationKind::Refused, 7),
            ("undeclared".to_owned(), ViolationKind::Undeclared, 7),
            ("visits".to_owned(), ViolationKind::Refused, 7),
        ]
    );
}

#[test]
fn report_lets_pass_and_deny_names_the_cookie() {
    let undeclared = || Answered::new(200).header("set-cookie", "undeclared=1");
    let (report, _) = installation(|b| b.enforcement(Enforcement::Report));
    let mut browser = Browser::default();
    let (visit, _) = browser.open(&report);
    assert_eq!(browser.close(&visit, undeclared()).cookies(), ["undeclared=1"]);
    assert_eq!(report.violations()[0].count, 1);
    let (deny, _) = installation(|b| b.enforcement(Enforcement::Deny));
    let (visit, _) = Browser::default().open(&deny);
    let sealed = visit.seal(&mut undeclared());
    let Sealing::Denied(Deny { cookie, kind, .. }) = sealed else { panic!("{sealed:?}") };
    assert_eq!((cookie.as_str(), kind), ("undeclared", ViolationKind::Undeclared));
}

/// GATE-06: the choice is kept without anything that tells one visitor from another.
#[test]
fn gate_06_refusals_of_a_day_are_the_same_bytes_and_leave_no_record() {
    let (privet, clock) = installation(|b| b);
    let mut values = std::collections::BTreeSet::new();
    for n in 0..50u64 {
        clock.set(start() + Duration::from_secs(n * 60));
        let mut browser = Browser::default();
        let answer = if n % 2 == 0 { Answer::RejectAll } else { save(&[]) };
        let (decided, _) = browser.answer(&privet, &answer);
        assert!(matches!(decided.unwrap(), Decided::Done(d) if !d.pending));
        assert_eq!(browser.cookies.len(), 1);
        assert!(browser.open(&privet).0.consent().record().is_none());
        values.insert(browser.cookies["__Host-privet"].clone());
    }
    assert_eq!(values.len(), 1);
}

#[test]
fn our_cookie_is_hardened_and_ends_with_the_choice() {
    let (privet, _) = installation(|b| b);
    let mut browser = Browser::default();
    let (_, answered) = browser.answer(&privet, &Answer::AcceptAll);
    let line = answered.cookies().into_iter().find(|l| l.starts_with("__Host-privet=")).unwrap();
    for part in ["HttpOnly", "Secure", "SameSite=Lax", "Path=/", "Max-Age="] {
        assert!(line.contains(part), "{line}");
    }
    assert!(!line.contains("Domain"));
    let age: u64 = line.split("Max-Age=").nth(1).unwrap().split(';').next().unwrap().parse().unwrap();
    assert!(age > 179 * 86_400 && age <= 180 * 86_400, "{age}");
    assert_eq!(answered.all("cache-control"), ["private"]);
    assert!(answered.all("vary").contains(&"Cookie".to_owned()));
}

/// CON-02: one decision per category; an id that nobody declared is an error, not a yes and not a no.
#[test]
fn con_02_categories_are_decided_one_by_one() {
    let (privet, _) = installation(|b| b);
    let mut browser = Browser::default();
    browser.answer(&privet, &save(&["analytics"])).0.unwrap();
    assert_eq!(browser.granted(&privet), ["analytics"]);
    let (visit, _) = browser.open(&privet);
    let granted = visit.granted::<Analytics>().unwrap();
    assert!(matches!(visit.granted::<Contacts>(), Err(Error::NotGranted { .. })));
    assert!(block_on(privet.still_granted(visit.scope(), granted.record(), "analytics")).unwrap());
    assert!(!block_on(privet.still_granted(visit.scope(), granted.record(), "contacts")).unwrap());
    privet::category! { Letters = "letters" }
    assert!(matches!(visit.granted::<Letters>(), Err(Error::UnknownCategory { .. })));
    assert!(!visit.consent().allows("letters"));
    let (decided, answered) = browser.answer(&privet, &save(&["letters"]));
    assert!(matches!(decided, Err(Error::UnknownCategory { .. })));
    assert!(answered.cookies().is_empty());
}

/// REC-01, REC-02: who, when, how, what was shown, what was decided; no address, no user agent.
#[test]
fn rec_01_a_grant_is_a_record_with_the_notice_that_was_shown() {
    let (privet, _) = installation(|b| b);
    let mut browser = Browser::default();
    browser.answer(&privet, &save(&["contacts"])).0.unwrap();
    let (visit, _) = browser.open(&privet);
    let id = visit.consent().record().unwrap();
    let record = block_on(privet.consent_record(visit.scope(), id)).unwrap().unwrap();
    assert_eq!(record.at, start());
    assert!(record.gesture && !record.gpc);
    let granted: Vec<_> = record.decisions.iter().map(|d| (d.category.get(), d.decision)).collect();
    assert_eq!(granted, [(2, Decision::Refused), (3, Decision::Refused), (4, Decision::Granted)]);
    let notice = block_on(privet.notice(visit.scope(), record.notice)).unwrap().unwrap();
    assert!(notice.is_whole());
    for shown in ["Garden Shop", "Recognises you in the chat.", "Accept all", "withdraw", "Reject all"] {
        assert!(notice.body.contains(shown), "{shown}");
    }
    assert!(!format!("{record:?}").contains("203.0.113.7"));
}

/// CON-07: an old tab's form records nothing.
#[test]
fn con_07_a_form_of_another_catalogue_or_site_or_time_records_nothing() {
    let (privet, clock) = installation(|b| b);
    let mut browser = Browser::default();
    let old = browser.token(&privet);
    clock.advance(Duration::from_secs(8 * 86_400));
    for token in [old.as_str(), "", "nonsense"] {
        let (decided, answered) = browser.answer_with(&privet, &Answer::AcceptAll, token);
        assert_eq!(decided.unwrap(), Decided::StaleNotice);
        assert!(answered.cookies().is_empty());
    }
    let storage = privet::Storage::in_memory().unwrap();
    let (before, _) = common::installation_on(storage.clone(), |b| b);
    let token = browser.token(&before);
    let changed = common::CATALOGUE.replace("duration = \"30 days\"", "duration = \"60 days\"");
    let changed = Catalogue::from_toml(&changed).unwrap();
    let clock = FakeClock::at(start());
    let after = block_on(Privet::builder(changed).storage(storage).clock(clock).build()).unwrap();
    assert_eq!(browser.answer_with(&after, &Answer::AcceptAll, &token).0.unwrap(), Decided::StaleNotice);
    assert!(browser.cookies.is_empty());
}

/// CON-07: only the categories that changed are asked again.
#[test]
fn con_07_a_category_that_changed_is_unknown_and_the_others_stand() {
    let storage = privet::Storage::in_memory().unwrap();
    let (before, _) = common::installation_on(storage.clone(), |b| b);
    let mut browser = Browser::default();
    browser.answer(&before, &Answer::AcceptAll).0.unwrap();
    let changed = common::CATALOGUE.replacen("name = \"ad\"", "name = \"ad2\"", 1);
    let changed = Catalogue::from_toml(&changed).unwrap();
    let clock = FakeClock::at(start());
    let after = block_on(Privet::builder(changed).storage(storage).clock(clock).build()).unwrap();
    assert_eq!(decisions(&browser, &after), [Decision::Granted, Decision::Unknown, Decision::Granted]);
    assert!(!browser.open(&after).0.consent().decided());
}

/// JUR-05, JUR-09: the signal caps what is sold or shared, also what was granted before; a later choice that names
/// it stands.
#[test]
fn jur_05_the_signal_caps_sale_and_is_outranked_by_a_specific_choice() {
    let (privet, _) = installation(|b| b);
    let mut browser = Browser::default();
    browser.answer(&privet, &Answer::AcceptAll).0.unwrap();
    browser.gpc = true;
    assert_eq!(browser.granted(&privet), ["analytics", "contacts"]);
    assert!(matches!(browser.open(&privet).0.granted::<Marketing>(), Err(Error::NotGranted { .. })));
    browser.answer(&privet, &Answer::AcceptAll).0.unwrap();
    assert_eq!(browser.granted(&privet), ["analytics", "contacts"], "all is not specific");
    browser.answer(&privet, &save(&["marketing"])).0.unwrap();
    assert_eq!(browser.granted(&privet), ["marketing"]);
    browser.withdraw(&privet, &["marketing"]).0.unwrap();
    assert_eq!(browser.granted(&privet), [] as [&str; 0]);
    for (values, gpc) in [
        (vec!["1"], true),
        (vec!["0"], false),
        (vec!["true"], false),
        (vec!["?1"], false),
        (vec!["01"], false),
        (vec![""], false),
        (vec!["1", "0"], true),
        (vec!["0", "1"], true),
        (vec!["1, 1"], false),
        (vec!["1;q=1"], false),
        (vec![], false),
    ] {
        let head = values.iter().fold(Head::get("/"), |h, v| h.header("sec-gpc", v));
        assert_eq!(privet.visit(&head).unwrap().0.gpc(), gpc, "{values:?}");
    }
}

/// WDR-02: each declared path and domain, and the host alone.
#[test]
fn wdr_02_a_withdrawal_expires_every_declared_variant() {
    let (privet, _) = installation(|b| b);
    let mut browser = Browser::default();
    browser.answer(&privet, &Answer::AcceptAll).0.unwrap();
    let (done, answered) = browser.withdraw(&privet, &["analytics"]);
    assert!(!done.unwrap().pending);
    let visits: Vec<_> = answered.cookies().into_iter().filter(|l| l.starts_with("visits=")).collect();
    assert_eq!(visits.len(), 4);
    for (path, domain) in
        [("Path=/", false), ("Path=/articles", false), ("Path=/", true), ("Path=/articles", true)]
    {
        let hit = visits.iter().filter(|l| {
            l.split("; ").any(|p| p == path)
                && l.contains("Domain=garden.example") == domain
                && l.contains("Max-Age=0")
        });
        assert_eq!(hit.count(), 1, "{path} {domain}: {visits:?}");
    }
    assert_eq!(browser.granted(&privet), ["marketing", "contacts"], "the others stand");
    // A browser that still sends it is told again.
    browser.cookies.insert("visits".into(), "1".into());
    let (visit, rewrite) = browser.open(&privet);
    assert!(!String::from_utf8(rewrite.cookie.unwrap().unwrap()).unwrap().contains("visits"));
    assert_eq!(browser.close(&visit, Answered::new(200)).cookies().len(), 4);
    let all = browser.withdraw(&privet, &[]).1;
    assert!(all.cookies().iter().any(|l| l.starts_with("ad=;")), "{:?}", all.cookies());
    assert_eq!(decisions(&browser, &privet), [Decision::Refused; 3]);
    assert!(browser.open(&privet).0.consent().record().is_none());
}

/// Whoever withdraws before being asked has refused.
#[test]
fn a_withdrawal_without_a_grant_is_a_refusal() {
    let (privet, _) = installation(|b| b);
    let mut browser = Browser::default();
    browser.withdraw(&privet, &["marketing"]).0.unwrap();
    assert_eq!(decisions(&browser, &privet), [Decision::Unknown, Decision::Refused, Decision::Unknown]);
    browser.withdraw(&privet, &[]).0.unwrap();
    assert_eq!(decisions(&browser, &privet), [Decision::Refused; 3]);
}

/// P5: after the head is sealed nothing that the visit gave out opens anything.
#[test]
fn what_a_visit_gave_out_is_worthless_after_the_seal() {
    let (privet, _) = installation(|b| b);
    let mut browser = Browser::default();
    browser.answer(&privet, &Answer::AcceptAll).0.unwrap();
    let (visit, _) = browser.open(&privet);
    let granted = visit.granted::<Analytics>().unwrap();
    assert!(granted.set_cookie("visits", "7").is_ok());
    let answered = browser.close(&visit, Answered::new(200));
    assert_eq!(
        answered.cookies(),
        ["visits=7; HttpOnly; SameSite=Lax; Secure; Path=/; Domain=garden.example; Max-Age=2592000"]
    );
    assert!(matches!(granted.set_cookie("visits", "8"), Err(Error::HeadSent)));
    assert!(matches!(granted.proof(), Err(Error::HeadSent)));
    assert!(matches!(visit.granted::<Analytics>(), Err(Error::HeadSent)));
    assert!(matches!(visit.activate("chat"), Err(Error::HeadSent)));
    assert!(matches!(visit.forward_to("desk").unwrap().today(), Err(Error::HeadSent)));
    let token = browser.token(&privet);
    let late = block_on(privet.decide(
        &visit,
        &Answer::RejectAll,
        &token,
        privet::consent::Provenance::new(privet::consent::Method::Form, true),
    ));
    assert!(matches!(late, Err(Error::HeadSent)), "{late:?}");
    let mut twice = Answered::new(200).header("set-cookie", "undeclared=1");
    assert_eq!(visit.seal(&mut twice), Sealing::Sealed);
}

/// P3, P5: a visit that is closed opens nothing, and a response that comes all the same is judged like any other.
#[test]
fn a_closed_visit_does_not_open_the_gate() {
    let (privet, _) = installation(|b| b);
    let mut browser = Browser::default();
    browser.answer(&privet, &Answer::AcceptAll).0.unwrap();
    let (visit, _) = browser.open(&privet);
    visit.close();
    assert!(matches!(visit.granted::<Analytics>(), Err(Error::HeadSent)));
    assert!(visit.country().code().is_none());
    let answer = Answered::new(200)
        .header("set-cookie", "undeclared=1")
        .header("set-cookie", "visits=1; Max-Age=60; Domain=garden.example");
    let cookies = browser.close(&visit, answer).cookies();
    assert!(matches!(&cookies[..], [one] if one.starts_with("visits=1;")), "{cookies:?}");
}

#[test]
fn cookies_are_set_under_their_own_category_only() {
    let (privet, _) = installation(|b| b);
    let mut browser = Browser::default();
    browser.answer(&privet, &Answer::AcceptAll).0.unwrap();
    let (visit, _) = browser.open(&privet);
    let analytics = visit.granted::<Analytics>().unwrap();
    for (name, value) in
        [("ad", "1"), ("sid", "1"), ("nothing", "1"), ("visits", "a;b"), ("visits", "ä"), ("visits", "a b")]
    {
        assert!(matches!(analytics.set_cookie(name, value), Err(Error::Invalid { .. })), "{name}={value}");
    }
}

/// Section 4, step 3: proxy headers go, the peer is replaced, whatever is trusted.
#[test]
fn addresses_are_hidden_behind_the_layer() {
    let (privet, _) =
        installation(|b| b.trusted_proxies("10.0.0.0/8".parse().unwrap()).address_header("X-Our-Edge"));
    let head = Head::get("/")
        .peer("10.0.0.1")
        .header("x-forwarded-for", "203.0.113.9")
        .header("x-real-ip", "203.0.113.9")
        .header("forwarded", "for=203.0.113.9")
        .header("x-our-edge", "203.0.113.9")
        .header("x-forwarded-proto", "https")
        .header("user-agent", "x");
    let (_, rewrite) = privet.visit(&head).unwrap();
    assert_eq!(rewrite.remove, ["x-forwarded-for", "x-real-ip", "forwarded", "x-our-edge"]);
    let peer = rewrite.peer.unwrap();
    assert!(peer.to_string().starts_with("[fd") && peer.port() == 0, "{peer}");
    let other =
        privet.visit(&Head::get("/").peer("10.0.0.1").header("x-forwarded-for", "203.0.113.10")).unwrap().1;
    assert_ne!(other.peer, Some(peer), "visitors are still told apart");
    let direct = privet.visit(&Head::get("/").peer("203.0.113.9")).unwrap().1;
    assert_eq!(direct.peer, Some(peer), "one visitor, however the request comes");
    let (open, _) = installation(privet::Builder::show_addresses);
    let (_, rewrite) = open.visit(&head).unwrap();
    assert!(rewrite.peer.is_none() && rewrite.remove.is_empty());
}

/// TEN-04: consent on one site is nothing on another, also on the same host.
#[test]
fn ten_04_sites_do_not_share_consent() {
    let scope = |site: &str| Scope::new(Tenant::default(), Site::new(site).unwrap());
    let (privet, _) = installation(|b| {
        let other = SiteDecl::new(scope("b"), common::catalogue()).tag("b");
        b.scope(scope("a")).site(other).resolver(move |request| match (request.host(), request.path()) {
            (Some("garden.example"), p) if p.starts_with("/b") => {
                Some(Scope::new(Tenant::default(), Site::new("b").unwrap()))
            }
            (Some("garden.example"), _) => Some(Scope::new(Tenant::default(), Site::new("a").unwrap())),
            (Some("empty.example"), _) => Some(Scope::new(Tenant::new("nobody").unwrap(), Site::default())),
            _ => None,
        })
    });
    let at = |host: Option<&str>, path: &str, cookie: &str| {
        let mut head = Head::get(path).header("cookie", cookie);
        head.host = host.map(str::to_owned);
        privet.visit(&head)
    };
    let (a, _) = at(Some("garden.example"), "/x", "").unwrap();
    assert_eq!(at(Some("Garden.Example."), "/x", "").unwrap().0.scope(), a.scope());
    let notice = a.notice(&a.catalogue().languages()[0]).unwrap().clone();
    let token = a.notice_token(&notice);
    let origin = privet::consent::Provenance::new(privet::consent::Method::Form, true);
    block_on(privet.decide(&a, &Answer::AcceptAll, &token, origin)).unwrap();
    let mut answered = Answered::new(200);
    assert_eq!(a.seal(&mut answered), Sealing::Sealed);
    let line = answered.cookies().remove(0);
    let value = line.split(['=', ';']).nth(1).unwrap().to_owned();
    let (again, _) = at(Some("garden.example"), "/x", &format!("__Host-privet={value}")).unwrap();
    assert!(again.consent().allows("analytics"));
    for name in ["__Host-privet", "__Host-privet.b"] {
        let (b, _) = at(Some("garden.example"), "/b/x", &format!("{name}={value}")).unwrap();
        assert!(!b.consent().allows("analytics"), "{name}");
        assert!(matches!(
            block_on(privet.decide(&b, &Answer::AcceptAll, &token, origin)),
            Ok(Decided::StaleNotice)
        ));
    }
    assert_eq!(at(Some("elsewhere.example"), "/", "").unwrap_err(), Refusal::UnknownSite);
    assert_eq!(at(Some("empty.example"), "/", "").unwrap_err(), Refusal::UnknownSite);
    assert_eq!(at(None, "/", "").unwrap_err(), Refusal::UnknownSite);
}

#[test]
fn development_cookies_are_for_local_visitors_only() {
    let (privet, _) = installation(privet::Builder::insecure_dev);
    assert_eq!(
        privet.visit(&Head::get("/").peer("203.0.113.7")).unwrap_err(),
        Refusal::PublicPeerInDevelopment
    );
    let mut head = Head::get("/");
    head.peer = None;
    assert_eq!(privet.visit(&head).unwrap_err(), Refusal::PublicPeerInDevelopment);
    for local in ["127.0.0.1", "192.168.1.5", "::1", "fd00::5", "::ffff:10.0.0.1"] {
        assert!(privet.visit(&Head::get("/").peer(local)).is_ok(), "{local}");
    }
}

#[test]
fn caches_are_told_only_where_an_answer_depends_on_the_visitor() {
    let (privet, _) = installation(|b| b);
    let seal = |read: bool, control: Option<&str>| {
        let (visit, _) = Browser::default().open(&privet);
        if read {
            let _ = visit.consent().decided();
        }
        let answered = Answered::new(200);
        let mut answered = control.into_iter().fold(answered, |a, c| a.header("cache-control", c));
        assert_eq!(visit.seal(&mut answered), Sealing::Sealed);
        (answered.all("vary"), answered.all("cache-control"))
    };
    assert_eq!(seal(false, Some("public, max-age=60")), (vec![], vec!["public, max-age=60".to_owned()]));
    assert_eq!(seal(true, None), (vec!["Cookie".into(), "Sec-GPC".into()], vec!["private".into()]));
    assert_eq!(seal(true, Some("public, s-maxage=9, max-age=60")).1, ["private, max-age=60"]);
    assert_eq!(seal(true, Some("no-store")).1, ["no-store"]);
}

#[test]
fn settings_that_cannot_work_are_refused_with_the_cure() {
    let fails = |change: &dyn Fn(privet::Builder) -> privet::Builder| {
        let error = block_on(change(Privet::builder(common::catalogue())).build()).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("; "), "{text}");
        error
    };
    fails(&|b| b.base_path("privacy"));
    fails(&|b| b.base_path("/privacy/"));
    fails(&|b| b.base_path("/"));
    fails(&|b| b.base_path("/a b"));
    fails(&|b| b.public_origin("shop.example"));
    fails(&|b| b.public_origin("https://shop.example/"));
    fails(&|b| b.public_origin("https://shop.example:443"));
    fails(&|b| b.choice_life(Duration::from_secs(60)));
    fails(&|b| b.choice_life(Duration::from_secs(401 * 86_400)));
    fails(&|b| b.last_seen_every(Duration::from_secs(100_000)));
    let site = |tenant: &str| {
        SiteDecl::new(Scope::new(Tenant::new(tenant).unwrap(), Site::default()), common::catalogue())
    };
    fails(&|b| b.site(site("x")));
    fails(&|b| b.site(site("x").tag("a-b")).resolver(|_| None));
    fails(&|b| b.site(site("x").public_origin("shop.example")).resolver(|_| None));
    fails(&|b| b.site(site("main")).resolver(|_| None));
    fails(&|b| b.shared_domain("localhost"));
    fails(&|b| b.shared_domain("127.0.0.1"));
    fails(&|b| b.shared_domain(".shop.example"));
    assert!(matches!(
        fails(&|b| b.pseudonymizer("nobody", privet::ip::Strategy::Drop)),
        Error::UnknownRecipient { .. }
    ));
    let _ = TrustedProxies::none();
}

/// P4: a contact's cookie is seen by nobody when contacts are refused, alone as well as among others, and is expired.
#[test]
fn a_refused_contact_cookie_is_hidden_and_expired() {
    let (privet, _) = installation(|b| b);
    for others in ["", "; sid=1", "; junk=1"] {
        let mut browser = Browser::default();
        browser.answer(&privet, &Answer::RejectAll).0.unwrap();
        let consent = browser.cookies["__Host-privet"].clone();
        let line = format!("__Host-privet={consent}; __Host-privet-contact=AAAA{others}");
        let (visit, rewrite) = privet.visit(&Head::get("/").header("cookie", line)).unwrap();
        let passed = String::from_utf8(rewrite.cookie.unwrap().unwrap()).unwrap();
        assert!(!passed.contains("privet-contact"), "{others}");
        let answered = browser.close(&visit, Answered::new(200));
        assert!(answered.cookies().iter().any(|c| c.starts_with("__Host-privet-contact=;")), "{others}");
    }
}

fn with_pattern(builder: privet::Builder) -> privet::Builder {
    drop(builder);
    let entry = "[[service.entry]]\nname = \"<id>.track\"\npurpose = { en = \"Counts.\", de = \"Zählt.\" }\nduration = \"30 days\"\ntrigger = \"server\"\ngate = { consent = \"analytics\" }\n";
    Privet::builder(Catalogue::from_toml(&format!("{}\n{entry}", common::CATALOGUE)).unwrap())
}

/// P4, WDR-02: cookies whose names are of a pattern go with the withdrawal that is answered.
#[test]
fn wdr_02_cookies_of_a_pattern_are_expired_by_the_withdrawal() {
    let (privet, _) = installation(with_pattern);
    let mut browser = Browser::default();
    browser.answer(&privet, &Answer::AcceptAll).0.unwrap();
    let (visit, _) = browser.open(&privet);
    visit.granted::<Analytics>().unwrap().set_cookie("abc.track", "1").unwrap();
    browser.close(&visit, Answered::new(200));
    assert!(browser.cookies.contains_key("abc.track"));
    browser.withdraw(&privet, &["analytics"]).0.unwrap();
    assert!(!browser.cookies.contains_key("abc.track"));
}

/// P6: what was granted opens nothing after a withdrawal in the same visit, whatever order a handler takes.
#[test]
fn a_grant_is_worthless_after_a_withdrawal_in_the_same_visit() {
    let (privet, _) = installation(with_pattern);
    let mut browser = Browser::default();
    browser.answer(&privet, &Answer::AcceptAll).0.unwrap();
    let (visit, _) = browser.open(&privet);
    let granted = visit.granted::<Analytics>().unwrap();
    granted.set_cookie("early.track", "1").unwrap();
    let language = visit.catalogue().languages()[0].clone();
    let provenance = privet::consent::Provenance::new(privet::consent::Method::Form, true);
    block_on(privet.withdraw(&visit, &Default::default(), &language, provenance)).unwrap();
    assert!(matches!(granted.set_cookie("late.track", "1"), Err(Error::NotGranted { .. })));
    assert!(matches!(granted.proof(), Err(Error::NotGranted { .. })));
    browser.close(&visit, Answered::new(200));
    assert!(browser.cookies.keys().all(|name| !name.ends_with(".track")), "{:?}", browser.cookies);
}

/// CON-07: queued work asks again, and a grant that was about something else is none.
#[test]
fn con_07_a_grant_about_something_else_is_none_for_queued_work() {
    let storage = privet::Storage::in_memory().unwrap();
    let (privet, _) = common::installation_on(storage.clone(), |b| b);
    let mut browser = Browser::default();
    browser.answer(&privet, &Answer::AcceptAll).0.unwrap();
    let record = browser.open(&privet).0.consent().record().unwrap();
    let asks =
        |privet: &Privet| block_on(privet.still_granted(&Scope::default(), record, "analytics")).unwrap();
    assert!(asks(&privet));
    let longer = common::CATALOGUE.replacen("duration = \"30 days\"", "duration = \"300 days\"", 1);
    let today = Privet::builder(Catalogue::from_toml(&longer).unwrap()).storage(storage);
    let today = block_on(today.clock(FakeClock::at(start())).build()).unwrap();
    assert!(!asks(&today));
}

/// GATE-06: a site that asks nothing has nothing to remember: no cookie that its statement would not name.
#[test]
fn gate_06_where_nothing_is_asked_nothing_is_remembered() {
    let toml = "[controller]\nname = \"Shop\"\ncontact = \"c\"";
    let privet = block_on(Privet::builder(Catalogue::from_toml(toml).unwrap()).build()).unwrap();
    let mut browser = Browser::default();
    for answer in [Answer::AcceptAll, Answer::RejectAll] {
        let (decided, answered) = browser.answer(&privet, &answer);
        assert!(matches!(decided, Ok(Decided::Done(_))));
        assert_eq!(answered.cookies(), [] as [&str; 0]);
    }
    let (withdrawn, answered) = browser.withdraw(&privet, &[]);
    assert!(!withdrawn.unwrap().pending);
    assert_eq!(answered.cookies(), [] as [&str; 0]);
}
