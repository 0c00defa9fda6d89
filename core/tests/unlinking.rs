//! A person who is erased on request is cut from the proof; the proof stays whole.
#![allow(clippy::unwrap_used, reason = "a test that meets something else has failed")]

mod common;

use common::{Browser, installation, save};
use futures_executor::block_on;
use privet::consent::{Answer, RecordId};
use privet::contact::PageRequest;
use privet::{Privet, Scope, Tenant};
use serde_json::Value;

fn record(browser: &Browser, privet: &Privet) -> Option<RecordId> {
    browser.open(privet).0.consent().record()
}

fn exported(privet: &Privet) -> Vec<Value> {
    let mut out = Vec::new();
    block_on(privet.export_consent(&Tenant::default(), None, &mut out)).unwrap();
    String::from_utf8(out).unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

fn erase_the_contact(privet: &Privet) -> privet::contact::Removed {
    let scope = Scope::default();
    let listed = block_on(privet.contacts(&scope, &PageRequest::first(10))).unwrap().contacts;
    assert_eq!(listed.len(), 1);
    block_on(privet.erase_contact(&scope, listed[0].id)).unwrap()
}

/// REC-05, REC-07: after an erasure on request nothing that the browser holds leads to a record, and an inspector sees
/// the same chain as before.
#[test]
fn rec_05_an_erasure_cuts_the_person_from_the_proof() {
    let (privet, _) = installation(|b| b);
    let scope = Scope::default();
    let mut anna = Browser::default();
    anna.answer(&privet, &Answer::AcceptAll).0.unwrap();
    anna.say(&privet, "hello");
    let mut ben = Browser::default();
    ben.answer(&privet, &save(&["analytics"])).0.unwrap();
    block_on(privet.anchor_consent()).unwrap();
    let id = record(&anna, &privet).unwrap();
    assert!(block_on(privet.still_granted(&scope, id, "analytics")).unwrap());
    let before = exported(&privet);

    let removed = erase_the_contact(&privet);
    assert_eq!((removed.contacts, removed.severed), (1, 2), "the grant and its revocation");
    let after = exported(&privet);
    assert_eq!(after[..2], before[..], "what was exported is what is exported");
    assert_eq!(after[2]["record"]["act"], "revocation");
    assert_eq!(after[2]["record"]["commitment"].as_str().unwrap().len(), 64);
    let report = block_on(privet.verify_consent(&Tenant::default())).unwrap();
    assert_eq!((report.records, report.severed, report.purged, report.damage), (1, 2, 0, None));
    assert_eq!(report.anchored, 2, "the head that was anchored before still fits");

    // The device still brings its cookie.
    assert_eq!(record(&anna, &privet), Some(id));
    let (visit, _) = anna.open(&privet);
    assert!(block_on(privet.receipt(&visit)).unwrap().is_none());
    assert!(block_on(visit.visitor().data()).unwrap().consent.is_empty());
    assert!(block_on(privet.consent_record(&scope, id)).unwrap().is_none());
    for category in ["analytics", "marketing", "contacts"] {
        assert!(!block_on(privet.still_granted(&scope, id, category)).unwrap(), "{category}");
    }
    anna.say(&privet, "hello");
    assert_eq!(block_on(privet.contacts(&scope, &PageRequest::first(10))).unwrap().contacts.len(), 0);

    // What the device decides from now on is a line of its own.
    anna.answer(&privet, &Answer::AcceptAll).0.unwrap();
    let (visit, _) = anna.open(&privet);
    let receipt = block_on(privet.receipt(&visit)).unwrap().unwrap();
    assert_ne!(receipt.record.id, id);
    assert_eq!(block_on(visit.visitor().data()).unwrap().consent.len(), 1);
    assert!(block_on(privet.receipt(&ben.open(&privet).0)).unwrap().is_some(), "nobody else is touched");
}

/// REC-05: the visitor's own withdrawal leaves the proof with its person, for as long as proof is kept.
#[test]
fn rec_05_a_withdrawal_keeps_the_proof() {
    let (privet, _) = installation(|b| b);
    let mut anna = Browser::default();
    anna.answer(&privet, &save(&["analytics", "contacts"])).0.unwrap();
    anna.say(&privet, "hello");
    let withdrawn = anna.withdraw(&privet, &["contacts"]).0.unwrap();
    assert_eq!((withdrawn.removed.contacts, withdrawn.removed.severed), (1, 0));
    let (visit, _) = anna.open(&privet);
    assert_eq!(block_on(visit.visitor().data()).unwrap().consent.len(), 2);
    let report = block_on(privet.verify_consent(&Tenant::default())).unwrap();
    assert_eq!((report.records, report.severed), (2, 0));
}

/// A withdrawal after the erasure is recorded all the same, and holds.
#[test]
fn wdr_06_a_withdrawal_after_an_erasure_is_recorded() {
    let (privet, _) = installation(|b| b);
    let mut anna = Browser::default();
    anna.answer(&privet, &save(&["analytics", "contacts"])).0.unwrap();
    anna.say(&privet, "hello");
    erase_the_contact(&privet);
    anna.withdraw(&privet, &[]).0.unwrap();
    assert!(anna.granted(&privet).is_empty());
    let report = block_on(privet.verify_consent(&Tenant::default())).unwrap();
    assert_eq!((report.records, report.severed, report.damage), (1, 2, None));
}
