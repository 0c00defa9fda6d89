#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a panic is how a case fails")]

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use super::fixture::{ANALYTICS, CONTACTS, Fixture, LIFE, at, digest, everything, scope, start};
use crate::catalogue::{Catalogue, Language, NewStatement};
use crate::consent::{Act, ConsentRecord, Method, NoticeId, NoticeSnapshot};
use crate::error::Error;
use crate::key::Fingerprint;
use crate::retention::DataClass;
use crate::store::{ChainLink, Chained, ErasingKind, KeptRecord, NewRecord, OpenInfo, Store};

/// Rule 11: one installation key, or the one before it during a rotation.
pub async fn another_key_is_refused(store: &dyn Store) {
    let info = |key: u8, previous: Option<u8>| OpenInfo {
        key: Fingerprint::from_bytes([key; 8]),
        previous_key: previous.map(|p| Fingerprint::from_bytes([p; 8])),
    };
    store.open(&info(1, None)).await.unwrap();
    store.open(&info(1, None)).await.unwrap();
    let refused = store.open(&info(2, None)).await;
    assert!(matches!(refused, Err(Error::Key { .. })), "{refused:?}");
    store.open(&info(2, Some(1))).await.unwrap();
    store.open(&info(2, None)).await.unwrap();
    assert!(store.open(&info(1, None)).await.is_err(), "after the rotation the old key is another key");
}

/// Rule 1 and 2: what was shown stays as it was shown.
pub async fn notices_are_kept_byte_by_byte_and_never_changed(store: &dyn Store) {
    let (here, elsewhere) = (scope("a", "x"), scope("b", "x"));
    let id = NoticeId::from_bytes([1; 32]);
    let notice = |body: &str| NoticeSnapshot::from_parts(id, Language::new("de").unwrap(), body.to_owned());
    let shown = notice("{\"title\":\"Ihre Privatsphäre\",\"x\":\"\u{0}\n\"}");
    store.publish_notice(&here, &shown).await.unwrap();
    store.publish_notice(&here, &notice("something else")).await.unwrap();
    assert_eq!(store.notice(&here, id).await.unwrap(), Some(shown));
    assert_eq!(store.notice(&elsewhere, id).await.unwrap(), None);
    assert_eq!(store.notice(&here, NoticeId::from_bytes([2; 32])).await.unwrap(), None);
}

/// Rule 2: what follows a record stands in its line; everything that was written can be read again.
pub async fn records_form_lines(store: &dyn Store) {
    let here = scope("a", "x");
    let f = Fixture::new(store, &here);
    let mut first = f.record(&[CONTACTS], start());
    first.gpc = true;
    first.gesture = false;
    let first = f.append(first, None).await;
    assert_eq!(store.record(&here, first.id).await.unwrap(), Some(first.clone()), "every field comes back");
    let other = f.append(f.record(&[ANALYTICS], at(1)), None).await;
    let second = f.append(f.record(&[CONTACTS, ANALYTICS], at(2)), Some(first.id)).await;
    assert_eq!(second.subject, first.subject);
    assert_ne!(other.subject, first.subject);
    let third = f.append(f.record(&[], at(3)), Some(first.id)).await;
    assert_eq!(third.subject, first.subject, "whatever record of the line it follows");
    for id in [first.id, second.id, third.id] {
        assert_eq!(store.latest_record(&here, id).await.unwrap().map(|r| r.id), Some(third.id));
    }
    assert_eq!(store.latest_record(&here, other.id).await.unwrap().map(|r| r.id), Some(other.id));
    let gone = f.record(&[CONTACTS], at(4));
    let alone = f.append(f.record(&[CONTACTS], at(4)), Some(gone.id)).await;
    assert_eq!(
        store.latest_record(&here, alone.id).await.unwrap().map(|r| r.id),
        Some(alone.id),
        "a record that is gone has no line"
    );
}

/// Rule 2: a withdrawal that is sent again, as after a lost answer, is one withdrawal.
pub async fn a_withdrawal_that_changes_nothing_is_not_written_again(store: &dyn Store) {
    let here = scope("a", "x");
    let f = Fixture::new(store, &here);
    let first = f.append(f.record(&[CONTACTS, ANALYTICS], start()), None).await;
    let withdrawal = f.append(f.record(&[], at(1)), Some(first.id)).await;
    let again = f.append(f.record(&[], at(2)), Some(first.id)).await;
    assert_eq!(again.id, withdrawal.id);
    let grant = f.append(f.record(&[CONTACTS], at(3)), Some(withdrawal.id)).await;
    let renewed = f.append(f.record(&[CONTACTS], at(4)), Some(grant.id)).await;
    assert_ne!(renewed.id, grant.id, "a grant is an act each time");
}

/// Rule 2: a record whose answer was lost can be appended again.
pub async fn a_record_is_appended_once(store: &dyn Store) {
    let here = scope("a", "x");
    let f = Fixture::new(store, &here);
    let record = f.record(&[CONTACTS], start());
    let first = f.append(record.clone(), None).await;
    let later = f.append(f.record(&[], at(1)), Some(first.id)).await;
    assert_eq!(f.append(record, None).await.id, first.id);
    assert_eq!(store.latest_record(&here, first.id).await.unwrap().map(|r| r.id), Some(later.id));
}

/// Whoever did not hear the answer asks again, and goes on with the erasure that it began.
pub async fn a_withdrawal_that_is_repeated_names_what_is_still_marked(store: &dyn Store) {
    let here = scope("a", "x");
    let f = Fixture::new(store, &here);
    let (contact, proof) = f.contact(1, start()).await;
    f.contact(2, start()).await;
    let withdrawal = NewRecord::new(f.record(&[], at(1)), Some(proof.record()));
    let first = store.append_record(&withdrawal, CONTACTS, at(9)).await.unwrap();
    assert_eq!(
        first.erasing.iter().map(|e| &e.kind).collect::<Vec<_>>(),
        [&ErasingKind::Contact(contact.id)]
    );
    let again = store.append_record(&withdrawal, CONTACTS, at(9)).await.unwrap();
    assert_eq!((again.record, again.erasing), (first.record.clone(), first.erasing));
    let grant = f.record(&[CONTACTS], start());
    assert_eq!(f.append_counting(ConsentRecord { id: proof.record(), ..grant }, None).await.1, 0);
    f.erase_everything_marked(100).await;
    let over = store.append_record(&withdrawal, CONTACTS, at(9)).await.unwrap();
    assert_eq!((over.record, over.erasing.len()), (first.record, 0));
}

/// Rule 3: the record and the latest of its line, the category and the time.
pub async fn proofs_are_checked_against_the_latest_record(store: &dyn Store) {
    let (here, elsewhere) = (scope("a", "x"), scope("b", "x"));
    let f = Fixture::new(store, &here);
    let only_contacts = f.append(f.record(&[CONTACTS], start()), None).await;
    let holds = async |record: &ConsentRecord, category, now| {
        store.holds(&f.proof(record, category), now).await.unwrap()
    };
    assert!(holds(&only_contacts, CONTACTS, at(1)).await);
    assert!(!holds(&only_contacts, ANALYTICS, at(1)).await, "another category");
    assert!(!holds(&only_contacts, CONTACTS, start() + LIFE).await, "lapsed");
    let abroad = Fixture::new(store, &elsewhere).proof(&only_contacts, CONTACTS);
    assert!(!store.holds(&abroad, at(1)).await.unwrap(), "another tenant");
    assert!(!holds(&f.record(&[CONTACTS], start()), CONTACTS, at(1)).await, "never appended");

    let both = f.append(f.record(&[CONTACTS, ANALYTICS], at(2)), Some(only_contacts.id)).await;
    assert!(holds(&only_contacts, CONTACTS, at(3)).await, "a request that was under way");
    assert!(
        !holds(&only_contacts, ANALYTICS, at(3)).await,
        "what a record did not grant it does not grant later"
    );
    let mut partly = f.record(&[ANALYTICS], at(4));
    partly.act = Act::Withdrawal;
    f.append(partly, Some(both.id)).await;
    assert!(!holds(&only_contacts, CONTACTS, at(5)).await);
    assert!(!holds(&both, CONTACTS, at(5)).await);
    assert!(holds(&both, ANALYTICS, at(5)).await);
}

/// A withdrawal erases what hung on it, and nothing else.
pub async fn a_withdrawal_marks_the_contacts_of_its_line_only(store: &dyn Store) {
    let here = scope("a", "x");
    let f = Fixture::new(store, &here);
    let (mine, my_proof) = f.contact(1, start()).await;
    let (other, _) = f.contact(2, start()).await;
    let renewed = f.append(f.record(&[CONTACTS, ANALYTICS], at(10)), Some(my_proof.record())).await;
    let moved = store.contact(&here, mine.id, &everything(at(11))).await.unwrap().unwrap();
    assert_eq!(
        (moved.consent, moved.consent_until),
        (renewed.id, at(10) + LIFE),
        "a contact stands on the latest grant"
    );
    let mut partly = f.record(&[ANALYTICS], at(20));
    partly.act = Act::Withdrawal;
    let (_, erasing) = f.append_counting(partly, Some(renewed.id)).await;
    assert_eq!(erasing, 1);
    let seen = async |id| store.contact(&here, id, &everything(at(21))).await.unwrap().is_some();
    assert!(!seen(mine.id).await);
    assert!(seen(other.id).await);
    let marked = store.erasing(Some(&here.tenant), 10).await.unwrap();
    assert_eq!(marked.len(), 1);
    assert_eq!(marked[0].subject, Some(mine.subject));
}

/// Rule 2: a withdrawal takes away and gives nothing. Two tabs that each withdraw another category from the same
/// cookie leave neither granted, in whatever order they come.
pub async fn withdrawals_give_nothing(store: &dyn Store) {
    let here = scope("a", "x");
    let f = Fixture::new(store, &here);
    let (granted, proof) = f.granted().await;
    let withdrawing = |left, now| ConsentRecord { act: Act::Withdrawal, ..f.record(&[left], now) };
    let first = f.append(withdrawing(ANALYTICS, at(1)), Some(granted.id)).await;
    assert!(first.grants(ANALYTICS, at(1)) && !first.grants(CONTACTS, at(1)));
    let second = f.append(withdrawing(CONTACTS, at(2)), Some(granted.id)).await;
    assert!(!second.grants(ANALYTICS, at(2)) && !second.grants(CONTACTS, at(2)), "{second:?}");
    assert!(!store.holds(&proof, at(3)).await.unwrap());
    // Nor does one that comes late from elsewhere undo a full one.
    f.append(f.record(&[], at(4)), Some(granted.id)).await;
    f.append(withdrawing(CONTACTS, at(5)), Some(granted.id)).await;
    assert!(!store.holds(&proof, at(6)).await.unwrap());
    // Without a line there is nothing to take away, and nothing is given.
    let alone = f.append(withdrawing(CONTACTS, at(7)), None).await;
    assert!(!alone.grants(CONTACTS, at(7)));
    // A grant is a grant.
    let again = f.append(f.record(&[CONTACTS], at(8)), Some(granted.id)).await;
    assert!(again.grants(CONTACTS, at(8)));
}

/// Rule 2: what was withdrawn does not come alive when old records are purged: a withdrawal stays for as long as
/// anything that it takes back.
pub async fn a_purge_wakes_no_withdrawn_grant(store: &dyn Store) {
    let here = scope("a", "x");
    let f = Fixture::new(store, &here);
    let (granted, proof) = f.granted().await;
    f.append(f.record(&[], at(10)), Some(granted.id)).await;
    let later = start() + LIFE / 2;
    let soon = everything(later).with(DataClass::ConsentRecords, later - Duration::from_secs(86_400));
    store.purge_step(&here.tenant, DataClass::ConsentRecords, 100, &soon, at(0)).await.unwrap();
    assert!(!store.holds(&proof, later).await.unwrap());
    let over = start() + LIFE + Duration::from_secs(1);
    let all = everything(over).with(DataClass::ConsentRecords, over);
    assert_eq!(store.purge_step(&here.tenant, DataClass::ConsentRecords, 100, &all, at(0)).await.unwrap(), 2);
}

/// Rule 2: a line is the history of one device, in order, and of nobody else.
pub async fn a_line_is_a_history(store: &dyn Store) {
    let here = scope("a", "x");
    let f = Fixture::new(store, &here);
    let (granted, _) = f.granted().await;
    f.granted().await;
    let less = f.append(f.record(&[ANALYTICS], at(1)), Some(granted.id)).await;
    let withdrawal = ConsentRecord { act: Act::Withdrawal, ..f.record(&[], at(2)) };
    let none = f.append(withdrawal, Some(granted.id)).await;
    for of in [granted.id, less.id, none.id] {
        assert_eq!(store.line(&here, of).await.unwrap(), [granted.clone(), less.clone(), none.clone()]);
        assert_eq!(store.line(&scope("a", "y"), of).await.unwrap(), []);
    }
}

/// Rule 12: links follow from each other, cover their records, count per tenant, and stay when a record is purged.
pub async fn records_are_chained(store: &dyn Store) {
    let (here, there) = (scope("a", "x"), scope("b", "x"));
    let (f, g) = (Fixture::new(store, &here), Fixture::new(store, &there));
    let (first, _) = f.granted().await;
    g.granted().await;
    let next_month = Duration::from_secs(40 * 86_400);
    let withdrawal = ConsentRecord { act: Act::Withdrawal, ..f.record(&[], start() + next_month) };
    f.append(withdrawal, Some(first.id)).await;
    // One that comes late does not go back to the month before.
    f.append(f.record(&[ANALYTICS], at(1)), None).await;
    let chain = store.chain(&here.tenant, None, 100).await.unwrap();
    let mut before: Option<ChainLink> = None;
    for (n, Chained { link, record }) in chain.iter().enumerate() {
        assert_eq!(link.seq, n as u64 + 1);
        assert!(before.is_none_or(|b| b.segment <= link.segment));
        assert_eq!(link.hash, link.hash_after(before.as_ref(), &here.tenant));
        let KeptRecord::Whole(record, salt) = record else { unreachable!("it is there: {record:?}") };
        assert_eq!((salt.digest(record), record.until), (link.digest, link.until));
        before = Some(*link);
    }
    assert_eq!(chain.len(), 3);
    assert_eq!(chain[1].link.segment - chain[0].link.segment, 1);
    assert_eq!(chain[2].link.segment, chain[1].link.segment);
    let rest = store.chain(&here.tenant, Some(&chain[0].link), 1).await.unwrap();
    assert_eq!(rest.iter().map(|c| c.link).collect::<Vec<_>>(), [chain[1].link]);
    let heads = store.chain_heads().await.unwrap();
    assert_eq!(
        heads.iter().map(|(t, l)| (t, l.seq)).collect::<Vec<_>>(),
        [(&here.tenant, 3), (&there.tenant, 1)]
    );

    let over = start() + LIFE + next_month + Duration::from_secs(1);
    let all = everything(over).with(DataClass::ConsentRecords, over);
    assert_eq!(store.purge_step(&here.tenant, DataClass::ConsentRecords, 100, &all, at(0)).await.unwrap(), 3);
    let left = store.chain(&here.tenant, None, 100).await.unwrap();
    assert_eq!(
        left.iter().map(|c| c.link).collect::<Vec<_>>(),
        chain.iter().map(|c| c.link).collect::<Vec<_>>()
    );
    assert!(left.iter().all(|c| matches!(c.record, KeptRecord::Gone)));
    assert_eq!(store.unchained_records(&here.tenant).await.unwrap(), 0);
}

/// Rule 2: a line is found by its digest, at its latest record, in its own scope only.
pub async fn a_line_is_found_by_its_digest(store: &dyn Store) {
    let (here, there) = (scope("t", "a"), scope("t", "b"));
    let f = Fixture::new(store, &here);
    let line = digest(9);
    assert_eq!(store.line_head(&here, line).await.unwrap(), None);
    let mut refusal = f.record(&[], at(1));
    (refusal.act, refusal.subject) = (Act::Refusal, line);
    let refusal = f.append(refusal, None).await;
    assert_eq!(store.line_head(&here, line).await.unwrap(), Some(refusal));
    // Another device of the same account knows of no record, and speaks on the same line.
    let mut grant = f.record(&[ANALYTICS], at(2));
    grant.subject = line;
    let grant = f.append(grant, None).await;
    assert_eq!(store.line_head(&here, line).await.unwrap(), Some(grant.clone()));
    assert!(store.holds(&f.proof(&grant, ANALYTICS), at(3)).await.unwrap());
    let objection = grant.refusing(ANALYTICS.bit(), Act::Objection, Method::Signal, at(4)).unwrap();
    let objection = f.append(objection, Some(grant.id)).await;
    assert_eq!(store.line_head(&here, line).await.unwrap(), Some(objection));
    assert!(!store.holds(&f.proof(&grant, ANALYTICS), at(5)).await.unwrap(), "objected");
    assert_eq!(store.line_head(&there, line).await.unwrap(), None);
    assert_eq!(store.line_head(&scope("u", "a"), line).await.unwrap(), None);
}

/// Rule 15: instances that start together with the same statement publish one version.
pub async fn statements_published_at_once_are_one(store: &dyn Store) {
    let toml = "[controller]\nname = \"One\"\ncontact = \"c\"";
    let statement = NewStatement::of(&Catalogue::from_toml(toml).unwrap());
    let here = scope("t", "a");
    let mut starting: Vec<_> =
        (1..=8).map(|n| Box::pin(store.publish_statement(&here, &statement, at(n)))).collect();
    let mut published = Vec::new();
    poll_fn(|context| {
        starting.retain_mut(|one| match one.as_mut().poll(context) {
            Poll::Ready(version) => {
                published.push(version.unwrap());
                false
            }
            Poll::Pending => true,
        });
        if starting.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    let kept = store.statements(&here).await.unwrap();
    assert_eq!(kept.len(), 1);
    assert!(published.len() == 8 && published.iter().all(|version| *version == kept[0]));
}

/// Rule 15: each statement is published once, under the next number, and stays as it is.
pub async fn statements_are_numbered_and_never_changed(store: &dyn Store) {
    let (here, there) = (scope("t", "a"), scope("t", "b"));
    let statement = |name: &str| {
        let toml = format!("[controller]\nname = \"{name}\"\ncontact = \"c\"");
        NewStatement::of(&Catalogue::from_toml(&toml).unwrap())
    };
    let (one, two) = (statement("One"), statement("Two"));
    assert_eq!(store.statements(&here).await.unwrap(), []);
    let first = store.publish_statement(&here, &one, at(1)).await.unwrap();
    assert_eq!((first.number, first.since, first.is_whole()), (1, at(1), true));
    let again = store.publish_statement(&here, &one, at(2)).await.unwrap();
    assert_eq!(again, first, "the same again is no version");
    let second = store.publish_statement(&here, &two, at(3)).await.unwrap();
    assert_eq!(second.number, 2);
    let third = store.publish_statement(&here, &one, at(4)).await.unwrap();
    assert_eq!((third.number, third.since), (3, at(4)), "back again is a version of its own");
    assert_eq!(store.publish_statement(&there, &two, at(5)).await.unwrap().number, 1);
    assert_eq!(store.statements(&here).await.unwrap(), [first, second, third]);
    assert_eq!(store.statements(&scope("u", "a")).await.unwrap(), []);
}
