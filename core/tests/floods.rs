//! A flood of grants is bounded, and keeps nobody from anything else.
#![allow(clippy::unwrap_used, reason = "a test that meets something else has failed")]

mod common;

use std::time::Duration;

use common::{Answered, Browser, Head, catalogue, installation, save};
use futures_executor::block_on;
use privet::consent::{Answer, Decided, Method, Provenance};
use privet::{Error, Privet, Tenant};

fn records(privet: &Privet) -> u64 {
    let report = block_on(privet.verify_consent(&Tenant::default())).unwrap();
    assert_eq!(report.damage, None);
    report.records
}

fn head(browser: &Browser, peer: Option<&str>) -> Head {
    match peer {
        Some(peer) => browser.head("/").peer(peer),
        None => Head { peer: None, ..browser.head("/") },
    }
}

/// One answer from an address.
fn answer(
    privet: &Privet,
    browser: &mut Browser,
    peer: Option<&str>,
    answer: &Answer,
) -> privet::Result<Decided> {
    let token = browser.token(privet);
    let (visit, _) = privet.visit(&head(browser, peer)).unwrap();
    let decided = block_on(privet.decide(&visit, answer, &token, Provenance::new(Method::Form, true)));
    browser.close(&visit, Answered::new(303));
    decided
}

fn is_one_of_too_many(decided: &privet::Result<Decided>) -> bool {
    matches!(decided, Err(Error::TooManyGrants { retry_after }) if *retry_after == Duration::from_secs(1))
}

const FLOOD: Option<&str> = Some("198.51.100.7");

/// One address may send so many grants; others, refusals and withdrawals are as before, and nothing that was
/// acknowledged is lost.
#[test]
fn a_flood_of_grants_is_bounded_and_nothing_else_is() {
    let (privet, clock) = installation(|b| b.grants_per_address(5, 2));
    let mut taken = Vec::new();
    for n in 0..40 {
        let mut browser = Browser::default();
        let decided = answer(&privet, &mut browser, FLOOD, &Answer::AcceptAll);
        if n < 5 {
            decided.unwrap();
            taken.push(browser);
        } else {
            assert!(is_one_of_too_many(&decided), "{decided:?}");
            assert!(browser.cookies.is_empty(), "nothing is acknowledged");
        }
    }
    assert_eq!(records(&privet), 5);
    answer(&privet, &mut Browser::default(), Some("198.51.100.8"), &Answer::AcceptAll).unwrap();
    // From the flooding address: a refusal, a withdrawal by the form, and one by its own route.
    answer(&privet, &mut Browser::default(), FLOOD, &Answer::RejectAll).unwrap();
    answer(&privet, &mut taken[0], FLOOD, &Answer::RejectAll).unwrap();
    answer(&privet, &mut taken[1], FLOOD, &save(&["analytics"])).unwrap();
    let (visit, _) = privet.visit(&head(&taken[2], FLOOD)).unwrap();
    let language = visit.catalogue().languages()[0].clone();
    let none = std::collections::BTreeSet::new();
    block_on(privet.withdraw(&visit, &none, &language, Provenance::new(Method::Form, true))).unwrap();
    assert_eq!(records(&privet), 9);
    // It fills again.
    clock.advance(Duration::from_secs(1));
    for n in 0..3 {
        let decided = answer(&privet, &mut Browser::default(), FLOOD, &Answer::AcceptAll);
        assert_eq!(decided.is_ok(), n < 2, "{n}: {decided:?}");
    }
    for browser in &taken[3..] {
        assert_eq!(browser.granted(&privet).len(), 3, "what was granted before stands");
    }
}

/// What an answer takes away holds, also when what it would add is one of too many.
#[test]
fn wdr_01_a_withdrawal_in_a_grant_of_a_flood_holds() {
    let (privet, _) = installation(|b| b.grants_per_address(1, 1));
    let mut anna = Browser::default();
    answer(&privet, &mut anna, FLOOD, &save(&["analytics", "contacts"])).unwrap();
    let moved = answer(&privet, &mut anna, FLOOD, &save(&["analytics", "marketing"]));
    assert!(is_one_of_too_many(&moved));
    assert_eq!(anna.granted(&privet), ["analytics"]);
    block_on(privet.record_pending()).unwrap();
    assert_eq!(records(&privet), 2, "the withdrawal is recorded");
}

/// IPv6 counts by /64; whoever's address is unknown shares one bucket.
#[test]
fn addresses_count_as_subscribers() {
    let (privet, _) = installation(|b| b.grants_per_address(1, 1));
    let takes = |peer| answer(&privet, &mut Browser::default(), peer, &Answer::AcceptAll).is_ok();
    for (peer, taken) in [
        (Some("2001:db8::1"), true),
        (Some("2001:db8::2"), false),
        (Some("2001:db8:0:1::1"), true),
        (Some("::ffff:203.0.113.9"), true),
        (Some("203.0.113.9"), false),
        (None, true),
        (None, false),
    ] {
        assert_eq!(takes(peer), taken, "{peer:?}");
    }
}

/// A button pressed twice is one act: the same day, the same notice, the same decisions.
#[test]
fn a_grant_that_is_sent_again_is_one_row() {
    let (privet, clock) = installation(|b| b.grants_per_address(6, 1));
    let mut anna = Browser::default();
    for _ in 0..20 {
        answer(&privet, &mut anna, FLOOD, &Answer::AcceptAll).unwrap();
    }
    assert_eq!(records(&privet), 1);
    let cookie = anna.cookies["__Host-privet"].clone();
    answer(&privet, &mut anna, FLOOD, &Answer::AcceptAll).unwrap();
    assert_eq!(anna.cookies["__Host-privet"], cookie);
    let mut rows = 1;
    let mut adds = |browser: &mut Browser, to: &Answer| {
        answer(&privet, browser, FLOOD, to).unwrap();
        rows += 1;
        assert_eq!(records(&privet), rows);
    };
    adds(&mut anna, &save(&["analytics"]));
    adds(&mut anna, &Answer::AcceptAll);
    // The signal makes it another act, and so does the next day, and a withdrawal in between.
    anna.gpc = true;
    adds(&mut anna, &save(&["analytics", "marketing", "contacts"]));
    anna.gpc = false;
    clock.advance(Duration::from_secs(86_400));
    adds(&mut anna, &Answer::AcceptAll);
    let mut copy = anna.clone();
    adds(&mut anna, &Answer::RejectAll);
    adds(&mut copy, &Answer::AcceptAll);
}

/// A bound at nought would refuse everybody.
#[test]
fn a_bound_at_nought_is_refused() {
    for (burst, per_second) in [(0, 1), (1, 0)] {
        let built = block_on(Privet::builder(catalogue()).grants_per_address(burst, per_second).build());
        assert!(matches!(built, Err(Error::Config { .. })));
    }
}
