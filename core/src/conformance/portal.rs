#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a panic is how a case fails")]

use std::collections::{BTreeMap, BTreeSet};

use super::fixture::{ANALYTICS, CONTACTS, Dice, Fixture, LIFE, at, digest, everything, scope, start};
use crate::catalogue::{CategoryCode, LegalBasis};
use crate::clock::Timestamp;
use crate::consent::Act;
use crate::contact::{
    Author, Channel, Contact, ContactFilter, ContactId, ContactSummary, ConversationId, MessageId, NoteId,
    Owner, Removed, Sealed, TimeSpan,
};
use crate::error::Error;
use crate::ip::CountryCode;
use crate::portal::{AuditEvent, AuditId, Outcome, Verb};
use crate::retention::DataClass;
use crate::scope::{Scope, Site, Tenant};
use crate::store::{
    ConsentProof, ContactCursor, ContactIdentity, ContactQuery, DayCount, Direction, ErasureCause,
    Identification, MAX_NOTES, MessageToStore, NewRecord, Store, StoredNote,
};

fn country(code: &str) -> CountryCode {
    CountryCode::new(code).unwrap()
}

fn conversation(n: u8) -> ConversationId {
    ConversationId::from_bytes([n; 16])
}

fn place(c: &ContactSummary) -> ContactCursor {
    ContactCursor { last_seen: c.last_seen, id: c.id }
}

fn answer(into: u8, id: u8, when: Timestamp) -> MessageToStore {
    MessageToStore::new(
        conversation(into),
        MessageId::from_bytes([id; 16]),
        when,
        Channel::LiveSupport,
        Author::Agent,
        Sealed::from_bytes(vec![into, id]),
    )
}

/// Forty contacts of three countries, some with an open conversation, over four days.
async fn many(store: &dyn Store, here: &Scope) -> Vec<Contact> {
    let f = Fixture::new(store, here);
    let mut all = Vec::new();
    for n in 0..40u8 {
        let opened = at(u64::from(n / 10) * 86_400 + u64::from(n % 4));
        let record = f.append(f.record(&[CONTACTS], opened), None).await;
        let proof = f.proof(&record, CONTACTS);
        let mut contact = f.new_contact(n.wrapping_mul(37), &proof, opened);
        contact.country = [Some(country("DE")), Some(country("NL")), None][usize::from(n % 3)];
        let contact = store.open_contact(&proof, &contact).await.unwrap();
        if n % 5 == 0 {
            f.say(&f.by_contact(&contact, &proof), &f.message(n, n, opened)).await.unwrap();
        }
        if n % 10 == 0 {
            assert!(
                store.close_conversation(here, conversation(n), at(1), &everything(opened)).await.unwrap()
            );
        }
        all.push(store.contact(here, contact.id, &everything(opened)).await.unwrap().unwrap());
    }
    all.sort_by_key(|c| std::cmp::Reverse((c.last_seen, c.id)));
    all
}

/// Pages go both ways, complete and in order, under every filter and as of every instant.
pub async fn pages_go_both_ways_under_every_filter(store: &dyn Store) {
    let here = scope("a", "x");
    let all = many(store, &here).await;
    many(store, &scope("a", "y")).await;
    let now = at(9 * 86_400);
    let open = |c: &Contact| {
        (0..40u8).any(|n| n.wrapping_mul(37) == c.id.as_bytes()[0] && n % 5 == 0 && n % 10 != 0)
    };
    let none = ContactFilter::default;
    let span =
        |from: Option<u64>, before: Option<u64>| TimeSpan { from: from.map(at), before: before.map(at) };
    let mut filters = vec![
        none(),
        none().country(country("DE")),
        none().country(country("FR")),
        none().with_open_conversation(),
        none().created(span(Some(86_400), None)),
        none().created(span(Some(1), Some(2 * 86_400 + 2))),
        none().last_seen(span(None, Some(86_400))),
        none().country(country("NL")).last_seen(span(Some(2), None)).with_open_conversation(),
    ];
    for prefix in ["0", "4a", "25", "4a4a4a4a", "25252525-2525", "ffffffff"] {
        filters.push(none().id(prefix.parse().unwrap()));
        filters.push(none().id(prefix.parse().unwrap()).country(country("DE")));
    }
    for as_of in [now, at(86_400 + 2), start()] {
        for filter in &filters {
            let expected: Vec<_> = all
                .iter()
                .filter(|c| c.last_seen <= as_of && filter.fits(c, open(c)))
                .map(ContactSummary::from)
                .collect();
            let query = |limit| ContactQuery::first(limit).only(filter.clone()).as_of(as_of);
            let (mut down, mut up) = (Vec::new(), Vec::<ContactSummary>::new());
            loop {
                let next = query(3).after(down.last().map(place));
                let page = store.contacts(&here, &next, &everything(now)).await.unwrap();
                if page.is_empty() {
                    break;
                }
                down.extend(page);
            }
            assert_eq!(down, expected, "{filter:?} as of {as_of}");
            let below =
                ContactCursor { last_seen: Timestamp::from_millis(0), id: ContactId::from_bytes([0; 16]) };
            loop {
                let before = query(3).after(Some(up.first().map_or(below, place))).towards(Direction::Newer);
                let page = store.contacts(&here, &before, &everything(now)).await.unwrap();
                if page.is_empty() {
                    break;
                }
                up.splice(0..0, page);
            }
            assert_eq!(up, expected, "{filter:?} as of {as_of}, backwards");
            for cap in [0, 1, 5, 100] {
                let count = store.count_contacts(&here, filter, as_of, cap, &everything(now)).await.unwrap();
                assert_eq!(count as usize, expected.len().min(cap as usize), "{filter:?}");
            }
        }
    }
}

/// What is shown beforehand is what an erasure then takes.
pub async fn contents_are_what_an_erasure_takes(store: &dyn Store) {
    let here = scope("a", "x");
    let f = Fixture::new(store, &here);
    let (contact, proof) = f.contact(1, start()).await;
    let owner = f.by_contact(&contact, &proof);
    for (conversation, message, when) in [(1, 1, 1), (1, 2, 2), (2, 3, 2 * 86_400), (3, 4, 4 * 86_400)] {
        f.say(&owner, &f.message(conversation, message, at(when))).await.unwrap();
    }
    let now = at(5 * 86_400);
    for n in 0..2 {
        store.add_note(&here, &note(&contact, n), &everything(now)).await.unwrap();
    }
    assert!(store.begin_conversation_erasure(&here, conversation(3)).await.unwrap().is_some());
    f.erase_everything_marked(9).await;
    let contents = store.contact_contents(&here, contact.id, &everything(now)).await.unwrap().unwrap();
    assert_eq!(contents, Removed { notes: 2, ..Removed::new(1, 2, 3, 0) });
    // One that goes over to the line is taken with it.
    let (other, _) = f.contact(2, start()).await;
    f.say(&f.by_contact(&other, &proof), &f.message(4, 5, now)).await.unwrap();
    store.add_note(&here, &note(&other, 9), &everything(now)).await.unwrap();
    let contents = store.contact_contents(&here, contact.id, &everything(now)).await.unwrap().unwrap();
    assert_eq!(contents, Removed { notes: 3, ..Removed::new(2, 3, 4, 0) });
    let elsewhere = scope("b", "x");
    assert_eq!(store.contact_contents(&elsewhere, contact.id, &everything(now)).await.unwrap(), None);
    let (_, marked) = f.append_counting(f.record(&[], now), Some(contact.consent)).await;
    assert_eq!(marked, 2);
    assert_eq!(store.contact_contents(&here, contact.id, &everything(now)).await.unwrap(), None, "hidden");
    assert_eq!(f.erase_everything_marked(2).await.0, contents);
    // What is kept on another basis goes one by one.
    let kept = scope("c", "x");
    let f = Fixture::new(store, &kept);
    let (contact, proof) = f.contact(1, start()).await;
    let (other, _) = f.contact(2, start()).await;
    f.say(&f.by_contact(&other, &proof), &f.message(1, 1, at(1))).await.unwrap();
    let withdrawal = NewRecord::new(f.record(&[], at(2)), Some(proof.record));
    let withdrawal = withdrawal.keeping(Some(LegalBasis::LegalObligation));
    assert_eq!(store.append_record(&withdrawal, CONTACTS, at(9_999)).await.unwrap().erasing, []);
    let contents = store.contact_contents(&kept, contact.id, &everything(at(3))).await.unwrap();
    assert_eq!(contents, Some(Removed::new(1, 0, 0, 0)));
}

/// An answer changes neither the contact's activity nor its counter, and reaches nobody who is closed, erased or elsewhere.
pub async fn answers_reach_open_conversations_only(store: &dyn Store) {
    let here = scope("a", "x");
    let f = Fixture::new(store, &here);
    let (contact, proof) = f.contact(1, start()).await;
    let mut asked = f.message(1, 1, at(1));
    asked.channel = Channel::LiveSupport;
    f.say(&f.by_contact(&contact, &proof), &asked).await.unwrap();
    f.say(&f.by_session(1, 2), &MessageToStore { channel: Channel::LiveSupport, ..f.message(2, 2, at(2)) })
        .await
        .unwrap();
    f.say(&f.by_session(2, 3), &f.message(3, 3, at(3))).await.unwrap();
    let thanks = MessageToStore { author: Author::Assistant, ..f.message(1, 4, at(1)) };
    f.say(&f.by_contact(&contact, &proof), &thanks).await.unwrap();
    let all = everything(at(100));
    let open = async || {
        let open = store.open_conversations(&here, 9, &all).await.unwrap();
        open.into_iter().map(|c| (c.id, c.awaits_answer)).collect::<Vec<_>>()
    };
    assert_eq!(open().await, [(conversation(2), true), (conversation(1), true)], "where a person was asked");
    let stored = store.answer(&here, &answer(1, 9, at(50)), &all).await.unwrap();
    assert_eq!((stored.number, stored.author, stored.at), (3, Author::Agent, at(50)));
    assert_eq!(store.answer(&here, &answer(1, 9, at(50)), &all).await.unwrap(), stored, "the same one again");
    assert_eq!(open().await, [(conversation(1), false), (conversation(2), true)]);
    let after = store.contact(&here, contact.id, &all).await.unwrap().unwrap();
    assert_eq!((after.last_seen, after.conversations), (at(1), 1));
    store.answer(&here, &answer(2, 8, at(51)), &all).await.unwrap();
    let found = store.conversation(&here, conversation(2), &all).await.unwrap().unwrap();
    assert_eq!((found.messages, found.last_message, found.awaits_answer), (2, at(51), false));

    let refused = async |scope: &Scope, into| store.answer(scope, &answer(into, 77, at(60)), &all).await;
    assert!(matches!(refused(&scope("b", "x"), 1).await, Err(Error::NotFound { .. })));
    assert!(matches!(refused(&scope("a", "y"), 1).await, Err(Error::NotFound { .. })));
    assert!(matches!(refused(&here, 99).await, Err(Error::NotFound { .. })));
    assert!(store.close_conversation(&here, conversation(2), at(61), &all).await.unwrap());
    assert!(matches!(refused(&here, 2).await, Err(Error::Conflict { .. })));
    store.begin_contact_erasure(&here, contact.id, ErasureCause::Request, at(9_999)).await.unwrap();
    assert!(matches!(refused(&here, 1).await, Err(Error::NotFound { .. })));
    assert_eq!(open().await, []);
    assert_eq!(store.conversation(&here, conversation(1), &all).await.unwrap(), None);
}

/// A blocked contact is shown, and nothing that it writes is taken, until it is unblocked.
pub async fn a_blocked_contact_writes_nothing(store: &dyn Store) {
    let here = scope("a", "x");
    let f = Fixture::new(store, &here);
    let (contact, proof) = f.contact(1, start()).await;
    let owner = f.by_contact(&contact, &proof);
    f.say(&owner, &f.message(1, 1, at(1))).await.unwrap();
    let block = async |scope: &Scope, blocked| {
        store.set_blocked(scope, contact.id, blocked, &everything(at(9))).await.unwrap()
    };
    assert!(!block(&scope("a", "y"), true).await);
    assert!(block(&here, true).await);
    let now = everything(at(9));
    assert!(store.contact(&here, contact.id, &now).await.unwrap().unwrap().blocked);
    for message in [f.message(1, 2, at(2)), f.message(2, 3, at(3 * 86_400))] {
        let refused = f.say(&owner, &message).await;
        assert!(matches!(refused, Err(Error::Blocked)), "{refused:?}");
    }
    assert_eq!(f.counter(contact.id, at(9)).await, Some(1));
    assert!(block(&here, false).await);
    f.say(&owner, &f.message(1, 2, at(2))).await.unwrap();
}

fn note(contact: &Contact, n: u8) -> StoredNote {
    StoredNote {
        id: NoteId::from_bytes([n; 16]),
        contact: contact.id,
        at: at(u64::from(n) + 1),
        author: "ann".to_owned(),
        body: Sealed::from_bytes(vec![n]),
    }
}

/// Notes are of one contact, as many as it can have, and go with it.
pub async fn notes_go_with_their_contact(store: &dyn Store) {
    let (here, elsewhere) = (scope("a", "x"), scope("b", "x"));
    let f = Fixture::new(store, &here);
    let (contact, _) = f.contact(1, start()).await;
    let (other, _) = Fixture::new(store, &elsewhere).contact(1, start()).await;
    let all = everything(at(9));
    let add = async |n| store.add_note(&here, &note(&contact, n), &all).await;
    let notes = async || store.notes(&here, contact.id, &all).await.unwrap();
    add(2).await.unwrap();
    add(1).await.unwrap();
    add(1).await.unwrap();
    assert_eq!(notes().await, [note(&contact, 1), note(&contact, 2)], "the oldest first, each once");
    assert_eq!(store.notes(&elsewhere, other.id, &all).await.unwrap(), []);
    assert!(!store.erase_note(&elsewhere, other.id, note(&contact, 1).id).await.unwrap());
    assert!(store.erase_note(&here, contact.id, note(&contact, 1).id).await.unwrap());
    assert!(!store.erase_note(&here, contact.id, note(&contact, 1).id).await.unwrap());
    for n in 3..u8::try_from(MAX_NOTES).unwrap() + 2 {
        add(n).await.unwrap();
    }
    assert!(matches!(add(250).await, Err(Error::Conflict { .. })));
    store.begin_contact_erasure(&here, contact.id, ErasureCause::Request, at(9_999)).await.unwrap();
    assert_eq!(notes().await, []);
    assert!(matches!(add(251).await, Err(Error::NotFound { .. })));
    assert_eq!(f.erase_everything_marked(9).await.0.notes, u64::from(MAX_NOTES));
}

/// A contact is known on both consents only, found by it, and nobody any more when a record of its line forgets it.
pub async fn a_contact_is_known_on_two_proofs(store: &dyn Store) {
    let here = scope("a", "x");
    let f = Fixture::new(store, &here);
    let (record, proof) = f.granted().await;
    let contact = store.open_contact(&proof, &f.new_contact(1, &proof, start())).await.unwrap();
    let (other, _) = f.contact(2, start()).await;
    let known = |n| ContactIdentity { digest: digest(n), sealed: Sealed::from_bytes(vec![n]) };
    let identification = |identity: ConsentProof, id: &Contact| Identification {
        contacts: proof.clone(),
        identity,
        id: id.id,
        epoch: id.epoch,
        subject: id.subject,
        known_as: known(9),
        at: at(1),
    };
    let all = everything(at(9));
    let identity = async || store.contact(&here, contact.id, &all).await.unwrap().unwrap().identity;
    let strange = f.proof(&record, CategoryCode::new(50).unwrap());
    let refused = store.identify_contact(&identification(strange, &contact), &all).await;
    assert!(matches!(refused, Err(Error::NotGranted { .. })), "{refused:?}");
    let abroad = ConsentProof { scope: scope("b", "x"), ..f.proof(&record, ANALYTICS) };
    assert!(store.identify_contact(&identification(abroad, &contact), &all).await.is_err());
    let (_, others) = f.contact(3, start()).await;
    let mixed = identification(ConsentProof { category: CONTACTS, ..others }, &contact);
    let refused = store.identify_contact(&mixed, &all).await;
    assert!(matches!(refused, Err(Error::NotGranted { .. })), "of another line: {refused:?}");
    assert_eq!(identity().await, None);
    let good = identification(f.proof(&record, ANALYTICS), &contact);
    store.identify_contact(&good, &all).await.unwrap();
    assert_eq!(identity().await, Some(known(9)));
    let found = async |n| {
        let filter = ContactFilter { identity: Some(digest(n)), ..ContactFilter::default() };
        store.contacts(&here, &ContactQuery::first(9).only(filter), &all).await.unwrap().len()
    };
    assert_eq!((found(9).await, found(1).await), (1, 0));
    let narrower = f.record(&[CONTACTS], at(2));
    let new = NewRecord::new(narrower, Some(record.id)).forgetting(true);
    store.append_record(&new, CONTACTS, at(9_000)).await.unwrap();
    assert_eq!((identity().await, found(9).await), (None, 0));
    let refused = store.identify_contact(&good, &all).await;
    assert!(matches!(refused, Err(Error::NotGranted { .. })), "{refused:?}");
    assert!(store.contact(&here, other.id, &all).await.unwrap().is_some());
}

/// One message goes and leaves a gap: its number is not given again.
pub async fn a_message_is_taken_alone(store: &dyn Store) {
    let here = scope("a", "x");
    let f = Fixture::new(store, &here);
    let owner = f.by_session(1, 1);
    for n in 1..=3 {
        f.say(&owner, &f.message(1, n, at(n.into()))).await.unwrap();
    }
    assert!(!store.erase_message(&scope("b", "x"), conversation(1), 2).await.unwrap());
    assert!(store.erase_message(&here, conversation(1), 2).await.unwrap());
    assert!(!store.erase_message(&here, conversation(1), 2).await.unwrap());
    assert!(!store.erase_message(&here, conversation(9), 1).await.unwrap());
    assert_eq!(f.say(&owner, &f.message(1, 4, at(4))).await.unwrap().number, 4);
    assert_eq!(
        f.say(&owner, &f.message(1, 2, at(5))).await.unwrap().number,
        2,
        "sent again by who missed the answer"
    );
    let answers = MessageToStore { channel: Channel::LiveSupport, ..f.message(1, 2, at(5)) };
    assert_eq!(store.answer(&here, &answers, &everything(at(9))).await.unwrap().number, 2);
    let left = store.messages(&here, conversation(1), 0, 9, &everything(at(9))).await.unwrap();
    assert_eq!(left.iter().map(|m| m.number).collect::<Vec<_>>(), [1, 3, 4], "and it does not come back");
    assert!(store.close_conversation(&here, conversation(1), at(6), &everything(at(6))).await.unwrap());
    let elsewhere = f.say(&owner, &f.message(2, 2, at(7))).await.unwrap();
    assert_eq!(
        (elsewhere.conversation, elsewhere.number),
        (conversation(1), 2),
        "nor into another conversation"
    );
    assert_eq!(store.conversation(&here, conversation(2), &everything(at(9))).await.unwrap(), None);
    store.begin_conversation_erasure(&here, conversation(1)).await.unwrap();
    f.erase_everything_marked(9).await;
    assert_eq!(f.say(&owner, &f.message(3, 2, at(8))).await.unwrap().number, 1, "nothing is left of either");
}

/// Figures are about what is shown, of one site and the days asked for.
pub async fn figures_count_what_is_shown(store: &dyn Store) {
    let here = scope("a", "x");
    let all = many(store, &here).await;
    many(store, &scope("a", "y")).await;
    let f = Fixture::new(store, &here);
    let mut refusal = f.record(&[ANALYTICS], at(86_400));
    refusal.act = Act::Grant;
    f.append(refusal, None).await;
    let erased = all.iter().find(|c| c.country == Some(country("DE")) && c.conversations == 0).unwrap();
    store.begin_contact_erasure(&here, erased.id, ErasureCause::Request, at(9_999)).await.unwrap();
    let now = at(9 * 86_400);
    let (from, to) = (start().day(), at(86_400).day());
    let figures = store.figures(&here, from, to, &everything(now)).await.unwrap();
    assert_eq!(figures.countries, [(None, 13), (Some(country("DE")), 13), (Some(country("NL")), 13)]);
    let opened = |day| {
        u64::try_from(all.iter().filter(|c| c.created.day() == day && c.id != erased.id).count()).unwrap()
    };
    assert_eq!(figures.contacts, [from, to].map(|day| DayCount { day, count: opened(day) }));
    assert_eq!(figures.conversations, [from, to].map(|day| DayCount { day, count: 2 }));
    let decided: Vec<_> =
        figures.decisions.iter().map(|d| (d.day, d.category, d.granted, d.refused)).collect();
    assert_eq!(
        decided,
        [(from, ANALYTICS, 0, 10), (from, CONTACTS, 10, 0), (to, ANALYTICS, 1, 10), (to, CONTACTS, 10, 1)]
    );
    let later = store.figures(&here, to, to, &everything(start() + LIFE + LIFE)).await.unwrap();
    assert_eq!((later.countries.len(), later.contacts.len()), (0, 0), "what has lapsed is not shown");
}

/// What is written after a snapshot was opened is not in it, and what is erased still is.
pub async fn a_snapshot_is_of_one_moment(store: &dyn Store) {
    let here = scope("a", "x");
    let f = Fixture::new(store, &here);
    for n in 1..=5 {
        let (contact, proof) = f.contact(n, start()).await;
        f.say(&f.by_contact(&contact, &proof), &f.message(n, n, at(1))).await.unwrap();
    }
    f.say(&f.by_session(9, 9), &f.message(9, 9, at(1))).await.unwrap();
    Fixture::new(store, &scope("b", "x")).contact(7, start()).await;
    let mut snapshot = store.snapshot(&here, &everything(at(2))).await.unwrap();
    let first = snapshot.contacts(None, 2).await.unwrap();
    let erased = ContactId::from_bytes([4; 16]);
    store.begin_contact_erasure(&here, erased, ErasureCause::Request, at(9_999)).await.unwrap();
    f.erase_everything_marked(9).await;
    let (late, late_proof) = f.contact(6, at(2)).await;
    f.say(&f.by_contact(&late, &late_proof), &f.message(6, 6, at(2))).await.unwrap();
    f.say(&f.by_session(9, 9), &f.message(9, 10, at(2))).await.unwrap();
    let rest = snapshot.contacts(Some(first[1].id), 9).await.unwrap();
    let mut ids: Vec<_> = first.iter().chain(&rest).map(|c| c.id.as_bytes()[0]).collect();
    ids.sort_unstable();
    assert_eq!(ids, [1, 2, 3, 4, 5]);
    assert!(snapshot.contacts(rest.last().map(|c| c.id), 9).await.unwrap().is_empty());
    assert_eq!(snapshot.contacts(None, 3).await.unwrap().len(), 3);
    let mut conversations = snapshot.conversations(None, 4).await.unwrap();
    conversations.extend(snapshot.conversations(Some(conversations[3].id), 9).await.unwrap());
    let ids: Vec<_> = conversations.iter().map(|c| c.id.as_bytes()[0]).collect();
    assert_eq!(ids, [1, 2, 3, 4, 5, 9]);
    assert_eq!(conversations[3].owner, Owner::Contact(erased));
    for (conversation, messages) in [(4, 1), (9, 1), (6, 0)] {
        let found = snapshot.messages(ConversationId::from_bytes([conversation; 16]), 0, 9).await.unwrap();
        assert_eq!(found.len(), messages, "{conversation}");
    }
}

fn event(tenant: &str, n: u8, when: Timestamp) -> AuditEvent {
    AuditEvent::new(
        AuditId::from_bytes([n; 16]),
        Tenant::new(tenant).unwrap(),
        n.is_multiple_of(2).then(Site::default),
        when,
        "ann".to_owned(),
        Verb::SeeContact,
        n.is_multiple_of(3).then(|| digest(n)),
        if n.is_multiple_of(4) { Outcome::Refused } else { Outcome::Allowed },
    )
}

/// The log is a tenant's own, in order, each event once, and ends.
pub async fn the_log_is_the_tenants_own(store: &dyn Store) {
    for n in 1..=9 {
        for tenant in ["a", "b"] {
            let event = event(tenant, n, at(u64::from(n / 2)));
            store.append_audit(&event).await.unwrap();
            store.append_audit(&event).await.unwrap();
        }
    }
    let tenant = Tenant::new("a").unwrap();
    let mut all: Vec<AuditEvent> = Vec::new();
    loop {
        let before = all.last().map(|e| (e.at, e.id));
        let page = store.audit(&tenant, before, 4).await.unwrap();
        if page.is_empty() {
            break;
        }
        all.extend(page);
    }
    let expected: Vec<_> = (1..=9).rev().map(|n| event("a", n, at(u64::from(n / 2)))).collect();
    assert_eq!(all, expected);
    assert_eq!(store.audit(&Tenant::new("c").unwrap(), None, 9).await.unwrap(), []);
    let horizon = everything(at(9)).with(DataClass::AuditEvents, at(3));
    let purge = async |max| {
        store.purge_step(&tenant, DataClass::AuditEvents, max, &horizon, at(9_999)).await.unwrap()
    };
    assert_eq!((purge(2).await, purge(9).await, purge(9).await), (2, 3, 0));
    assert_eq!(store.audit(&tenant, None, 99).await.unwrap(), expected[..4]);
    assert_eq!(store.audit(&Tenant::new("b").unwrap(), None, 99).await.unwrap().len(), 9);
    assert!(store.tenants().await.unwrap().contains(&tenant), "a log alone is reason enough to sweep");
}

/// Rule 1, at random: many tenants and sites with the same ids, and every unit in any order. Each scope sees what a store of
/// its own would.
pub async fn nothing_crosses_at_random(store: &dyn Store) {
    let scopes: Vec<_> =
        ["a", "ab", "b"].iter().flat_map(|tenant| ["x", "y"].map(|site| scope(tenant, site))).collect();
    let mut dice = Dice::new(0x9e37_79b9_7f4a_7c15);
    // Per scope: which contacts there are, with their messages, notes, and whether they are blocked.
    let mut model: Vec<BTreeMap<u8, (u32, u32, bool)>> = vec![BTreeMap::new(); scopes.len()];
    let (mut proofs, mut fenced) = (BTreeMap::new(), BTreeSet::new());
    let mut now = 1;
    for step in 0..600_u32 {
        now += 1;
        let n = usize::try_from(dice.roll(scopes.len() as u64)).unwrap();
        let (here, f) = (&scopes[n], Fixture::new(store, &scopes[n]));
        let id = u8::try_from(dice.roll(5)).unwrap() + 1;
        let contact = ContactId::from_bytes([id; 16]);
        let known = model[n].get(&id).copied();
        let is_fenced = fenced.contains(&(n / 2, id));
        match (dice.roll(8), known) {
            // A fence is of the tenant: the fixture's digests are the same on both of its sites.
            (0..=2, None) if !proofs.contains_key(&(n, id)) && !is_fenced => {
                let (opened, proof) = f.contact(id, at(now)).await;
                proofs.insert((n, id), (opened, proof));
                model[n].insert(id, (0, 0, false));
            }
            (0..=2, Some((messages, notes, blocked))) => {
                let (opened, proof) = &proofs[&(n, id)];
                let message = MessageToStore {
                    id: MessageId::from_bytes(*uuid::Uuid::from_u128(step.into()).as_bytes()),
                    ..f.message(id, 0, at(now))
                };
                let said = f.say(&f.by_contact(opened, proof), &message).await;
                let taken = !blocked && !is_fenced;
                assert_eq!(said.is_ok(), taken, "{said:?}");
                model[n].insert(id, (messages + u32::from(taken), notes, blocked));
            }
            (3, _) => {
                let Some((opened, _)) = proofs.get(&(n, id)) else { continue };
                let mut written = note(opened, 0);
                written.id = NoteId::from_bytes(*uuid::Uuid::from_u128(step.into()).as_bytes());
                let added = store.add_note(here, &written, &everything(at(now))).await;
                assert_eq!(added.is_ok(), known.is_some());
                if let Some((messages, notes, blocked)) = known {
                    model[n].insert(id, (messages, notes + 1, blocked));
                }
            }
            (4, _) => {
                let blocked = dice.roll(2) == 0;
                let done = store.set_blocked(here, contact, blocked, &everything(at(now))).await.unwrap();
                assert_eq!(done, known.is_some());
                if let Some((messages, notes, _)) = known {
                    model[n].insert(id, (messages, notes, blocked));
                }
            }
            (5, _) => {
                let until = at(400 * 86_400);
                let marked = store
                    .begin_contact_erasure(here, contact, ErasureCause::Withdrawal, until)
                    .await
                    .unwrap();
                assert_eq!(marked.is_some(), known.is_some());
                if model[n].remove(&id).is_some() {
                    fenced.insert((n / 2, id));
                }
                if dice.roll(2) == 0 {
                    f.erase_everything_marked(3).await;
                }
            }
            (6, _) => {
                let answered = store
                    .answer(
                        here,
                        &MessageToStore {
                            id: MessageId::from_bytes(*uuid::Uuid::from_u128(step.into()).as_bytes()),
                            ..answer(id, 0, at(now))
                        },
                        &everything(at(now)),
                    )
                    .await;
                assert_eq!(
                    answered.is_ok(),
                    known.is_some_and(|(messages, ..)| messages > 0),
                    "{answered:?}"
                );
                if let (Ok(_), Some((messages, notes, blocked))) = (answered, known) {
                    model[n].insert(id, (messages + 1, notes, blocked));
                }
            }
            _ => {}
        }
        if step % 20 != 19 {
            continue;
        }
        for (scope, expected) in scopes.iter().zip(&model) {
            let all = everything(at(now));
            let listed = store.contacts(scope, &ContactQuery::first(9), &all).await.unwrap();
            let mut ids: Vec<_> = listed.iter().map(|c| c.id.as_bytes()[0]).collect();
            ids.sort_unstable();
            assert_eq!(ids, expected.keys().copied().collect::<Vec<_>>(), "{scope} at step {step}");
            let mut snapshot = store.snapshot(scope, &all).await.unwrap();
            assert_eq!(snapshot.contacts(None, 9).await.unwrap().len(), expected.len());
            for (id, (messages, notes, blocked)) in expected {
                let contact = ContactId::from_bytes([*id; 16]);
                let contents = store.contact_contents(scope, contact, &all).await.unwrap().unwrap();
                let counts = (contents.messages, contents.notes);
                assert_eq!(counts, (u64::from(*messages), u64::from(*notes)), "{scope} {id} at step {step}");
                let shown = store.contact(scope, contact, &all).await.unwrap().unwrap();
                assert_eq!((shown.blocked, shown.conversations), (*blocked, u32::from(*messages > 0)));
            }
        }
    }
}
