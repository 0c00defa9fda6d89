//! What the proof of consent says, for how long, and what it never says.
#![allow(clippy::unwrap_used, reason = "a test that meets something else has failed")]

mod common;

use std::net::IpAddr;
use std::time::Duration;

use common::{Answered, Browser, CATALOGUE, installation, save, start};
use futures_executor::block_on;
use privet::consent::{Answer, Method, NoticeId, Provenance};
use privet::retention::{DataClass, RetentionRule};
use privet::{Catalogue, Day, FakeClock, Privet, Scope, Storage, Tenant, Timestamp};
use proptest::prelude::*;
use serde_json::Value;

fn exported(privet: &Privet) -> Vec<Value> {
    let mut out = Vec::new();
    block_on(privet.export_consent(&Tenant::default(), None, &mut out)).unwrap();
    String::from_utf8(out).unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

fn notice_of(line: &Value) -> NoticeId {
    let hex = line["record"]["notice"].as_str().unwrap();
    let byte = |n: usize| u8::from_str_radix(&hex[2 * n..2 * n + 2], 16).unwrap();
    NoticeId::from_bytes(std::array::from_fn(byte))
}

/// REC-01: an exported grant says who (a commitment), when, how, what was shown and what was decided, per purpose; the
/// notice that it names can be read by its hash.
#[test]
fn rec_01_an_exported_grant_says_everything() {
    let (privet, _) = installation(|b| b);
    Browser::default().answer(&privet, &save(&["analytics"])).0.unwrap();
    let lines = exported(&privet);
    let record = &lines[0]["record"];
    for (field, value) in [
        ("act", "grant"),
        ("at", "2027-01-15T08:00:00Z"),
        ("site", "main"),
        ("language", "en"),
        ("regime", "opt-in"),
        ("method", "form"),
    ] {
        assert_eq!(record[field], value, "{field}");
    }
    assert_eq!((&record["gesture"], &record["gpc"]), (&true.into(), &false.into()));
    assert_eq!(record["commitment"].as_str().unwrap().len(), 64);
    let decisions: Vec<_> = record["decisions"].as_array().unwrap().iter().map(|d| &d["decision"]).collect();
    assert_eq!(decisions, ["granted", "refused", "refused"]);
    let notice = block_on(privet.notice(&Scope::default(), notice_of(&lines[0]))).unwrap().unwrap();
    assert!(notice.is_whole() && notice.body.contains("Counts visits."));
}

/// REC-02: what was shown then is what is shown of it now, byte by byte, whatever the site asks today.
#[test]
fn rec_02_an_old_record_gives_the_text_of_its_time() {
    let storage = Storage::in_memory().unwrap();
    let build = |toml: &str, days: u64| {
        let clock = FakeClock::at(start() + Duration::from_secs(days * 86_400));
        let catalogue = Catalogue::from_toml(toml).unwrap();
        block_on(Privet::builder(catalogue).storage(storage.clone()).clock(clock).build()).unwrap()
    };
    let first = build(CATALOGUE, 0);
    let mut anna = Browser::default();
    anna.answer(&first, &Answer::AcceptAll).0.unwrap();
    let shown = {
        let visit = anna.open(&first).0;
        visit.notice(&visit.catalogue().languages()[0]).unwrap().snapshot.clone()
    };
    drop(first);
    let second = build(&CATALOGUE.replace("Counts visits.", "Counts visits and what is bought."), 30);
    Browser::default().answer(&second, &Answer::AcceptAll).0.unwrap();
    let lines = exported(&second);
    let text = |line: &Value| {
        let notice = block_on(second.notice(&Scope::default(), notice_of(line))).unwrap().unwrap();
        assert!(notice.is_whole());
        notice.body
    };
    assert_eq!(text(&lines[0]).into_bytes(), shown.body.into_bytes());
    assert!(text(&lines[0]).contains("Counts visits.") && !text(&lines[0]).contains("what is bought"));
    assert!(text(&lines[1]).contains("Counts visits and what is bought."));
}

/// REC-05: proof of a consent that was withdrawn is there while its period runs, and gone when it is over; it runs from
/// when the last decision that it shows would have lapsed.
#[test]
fn rec_05_proof_ends_when_its_period_is_over() {
    let (privet, clock) = installation(|b| b);
    let month = RetentionRule::new(DataClass::ConsentRecords, Duration::from_secs(30 * 86_400)).unwrap();
    block_on(privet.set_retention(&Tenant::default(), month)).unwrap();
    let mut anna = Browser::default();
    anna.answer(&privet, &Answer::AcceptAll).0.unwrap();
    let until = block_on(async {
        let visit = anna.open(&privet).0;
        privet.receipt(&visit).await.unwrap().unwrap().record.until
    });
    clock.advance(Duration::from_secs(10 * 86_400));
    anna.withdraw(&privet, &[]).0.unwrap();
    let left = |at: Timestamp| {
        clock.set(at);
        block_on(privet.sweep(at)).unwrap();
        let report = block_on(privet.verify_consent(&Tenant::default())).unwrap();
        assert_eq!(report.damage, None);
        (report.records, report.purged)
    };
    let ends = until + Duration::from_secs(30 * 86_400);
    assert_eq!(left(ends), (2, 0));
    assert_eq!(left(ends + Duration::from_millis(1)), (0, 2));
    assert!(exported(&privet).iter().all(|line| line["record"].is_null()));
}

/// The pieces of a text that could be an address.
fn holds_an_address(text: &str) -> Option<String> {
    let pieces = text.split(|c: char| !(c.is_ascii_hexdigit() || matches!(c, '.' | ':')));
    let found = pieces.map(|p| p.trim_matches('.')).find(|p| p.parse::<IpAddr>().is_ok());
    found.map(str::to_owned)
}

fn addresses() -> impl Strategy<Value = IpAddr> {
    prop_oneof![any::<[u8; 4]>().prop_map(IpAddr::from), any::<[u8; 16]>().prop_map(IpAddr::from)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// REC-03: whoever asks, from wherever, with whatever headers: no field of a record, of a line of the export or of a
    /// count is an address, and none holds what the browser says of itself.
    #[test]
    fn rec_03_no_field_is_an_address_or_a_user_agent(
        peer in addresses(),
        forwarded in addresses(),
        agent in "[A-Za-z]{6,12}/[0-9]{1,3}\\.[0-9]{1,3} \\([A-Z][a-z]{3,9}; [a-z0-9]{4,9}\\)",
        language in prop_oneof![Just("de"), Just("en, de;q=0.5"), Just("*")],
        answers in prop::collection::vec(0..4usize, 1..5),
        gpc in any::<bool>(),
    ) {
        let (privet, _) = installation(|b| b.trusted_proxies("::/0".parse().unwrap()));
        let mut browser = Browser { gpc, ..Browser::default() };
        let mut records = Vec::new();
        for answer in answers {
            let answer = [Answer::AcceptAll, Answer::RejectAll, save(&["marketing"]), save(&["contacts"])][answer].clone();
            let token = browser.token(&privet);
            let head = browser
                .head("/privacy/consent")
                .peer(&peer.to_string())
                .header("user-agent", &agent)
                .header("accept-language", language)
                .header("x-forwarded-for", forwarded.to_string())
                .header("x-real-ip", forwarded.to_string());
            let (visit, _) = privet.visit(&head).unwrap();
            let notice = visit.notice(&visit.catalogue().languages()[1]).unwrap().clone();
            visit.notice_shown(&notice, privet::consent::CountKind::BannerShown);
            block_on(privet.decide(&visit, &answer, &token, Provenance::new(Method::Script, false))).unwrap();
            if let Some(id) = visit.consent().record() {
                records.push(block_on(privet.consent_record(visit.scope(), id)).unwrap().unwrap());
            }
            browser.close(&visit, Answered::new(303));
        }
        let (from, to) = (Day::from_number(0), Day::from_number(100_000));
        let counts = block_on(privet.consent_counts(&Scope::default(), from, to)).unwrap();
        let lines = exported(&privet);
        prop_assert!(!counts.is_empty());
        let texts = counts.iter().map(|c| format!("{c:?}")).chain(lines.iter().map(Value::to_string));
        let texts = texts.chain(records.iter().map(|r| format!("{r:?} {}", r.id.encode())));
        let octets: Vec<Vec<u8>> = [peer, forwarded].iter().map(|ip| match ip {
            IpAddr::V4(ip) => ip.to_ipv6_mapped().octets().to_vec(),
            IpAddr::V6(ip) => ip.octets().to_vec(),
        }).collect();
        for text in texts {
            prop_assert_eq!(holds_an_address(&text), None, "{}", text);
            prop_assert!(!text.contains(&agent) && !text.contains(agent.split('/').next().unwrap()), "{}", text);
        }
        for record in &records {
            for bytes in [record.id.as_bytes(), record.subject.as_bytes()] {
                prop_assert!(octets.iter().all(|ip| ip != bytes));
            }
        }
    }
}

/// The test above would find one.
#[test]
fn an_address_would_be_found() {
    for (text, found) in [
        ("{\"at\":\"2027-01-15T08:00:00Z\"}", None),
        ("ConsentCount { day: Day(20833) }", None),
        ("{\"ip\":\"203.0.113.7\"}", Some("203.0.113.7")),
        ("peer=2001:db8::1, ", Some("2001:db8::1")),
        ("seen 10.0.0.1.", Some("10.0.0.1")),
    ] {
        assert_eq!(holds_an_address(text).as_deref(), found, "{text}");
    }
}
