#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a panic is how a case fails")]

use super::fixture::{ANALYTICS, CONTACTS, Fixture, LIFE, at, digest, everything, scope, start};
use crate::catalogue::LegalBasis;
use crate::clock::Timestamp;
use crate::consent::{Act, Method};
use crate::contact::{Contact, ContactId, ContactSummary, FenceEpoch, Owner, Removed};
use crate::error::Error;
use crate::ip::CountryCode;
use crate::retention::DataClass;
use crate::scope::Scope;
use crate::store::{ContactCursor, ContactQuery, ContactTouch, ErasingKind, ErasureCause, NewRecord, Store};

fn touch(scope: &Scope, contact: &Contact, to: Timestamp) -> ContactTouch {
    ContactTouch {
        scope: scope.clone(),
        id: contact.id,
        epoch: contact.epoch,
        at: to,
        gone_before: Timestamp::from_millis(i64::MIN),
    }
}

/// Rule 3 for contacts: no consent, no contact.
pub async fn contacts_open_on_a_proof_only(store: &dyn Store) {
    let here = scope("a", "x");
    let f = Fixture::new(store, &here);
    let without = f.append(f.record(&[ANALYTICS], start()), None).await;
    let with = f.append(f.record(&[CONTACTS], start()), None).await;
    let lapsed = f.new_contact(3, &f.proof(&with, CONTACTS), start() + LIFE);
    for (proof, contact) in [
        (f.proof(&without, CONTACTS), f.new_contact(1, &f.proof(&without, CONTACTS), at(1))),
        (
            f.proof(&f.record(&[CONTACTS], start()), CONTACTS),
            f.new_contact(2, &f.proof(&with, CONTACTS), at(1)),
        ),
        (f.proof(&with, CONTACTS), lapsed),
    ] {
        assert!(matches!(store.open_contact(&proof, &contact).await, Err(Error::NotGranted { .. })));
    }
    let withdrawn = f.append(f.record(&[], at(2)), Some(with.id)).await;
    let proof = f.proof(&with, CONTACTS);
    let late = store.open_contact(&proof, &f.new_contact(4, &proof, at(3))).await;
    assert!(matches!(late, Err(Error::NotGranted { .. })), "withdrawn by {withdrawn:?}");
    assert!(store.contacts(&here, &ContactQuery::first(10), &everything(at(4))).await.unwrap().is_empty());
}

/// A contact opens once, on its record, with what was known.
pub async fn contacts_open_once(store: &dyn Store) {
    let here = scope("a", "x");
    let f = Fixture::new(store, &here);
    let (record, proof) = f.granted().await;
    let mut contact = f.new_contact(1, &proof, at(5));
    contact.country = CountryCode::new("NL");
    contact.conversations = 99;
    let opened = store.open_contact(&proof, &contact).await.unwrap();
    assert_eq!((opened.conversations, opened.consent, opened.consent_until), (0, record.id, record.until));
    assert_eq!(opened.country, CountryCode::new("NL"));
    assert_eq!((opened.created, opened.last_seen), (at(5), at(5)));
    let mut again = f.new_contact(1, &proof, at(9));
    again.country = CountryCode::new("DE");
    assert_eq!(store.open_contact(&proof, &again).await.unwrap(), opened);
    assert_eq!(store.contact(&here, opened.id, &everything(at(9))).await.unwrap(), Some(opened));
}

/// Rule 4.
pub async fn last_seen_never_moves_back(store: &dyn Store) {
    let here = scope("a", "x");
    let f = Fixture::new(store, &here);
    let (contact, proof) = f.contact(1, at(100)).await;
    let seen =
        async || store.contact(&here, contact.id, &everything(at(900))).await.unwrap().unwrap().last_seen;
    for (to, moved, now) in
        [(at(50), 0, at(100)), (at(200), 1, at(200)), (at(150), 0, at(200)), (at(200), 0, at(200))]
    {
        assert_eq!(store.touch_contacts(&[touch(&here, &contact, to)]).await.unwrap(), moved);
        assert_eq!(seen().await, now);
    }
    f.say(&f.by_contact(&contact, &proof), &f.message(1, 1, at(160))).await.unwrap();
    assert_eq!(seen().await, at(200));
    f.say(&f.by_contact(&contact, &proof), &f.message(1, 2, at(300))).await.unwrap();
    assert_eq!(seen().await, at(300));
}

/// Rules 4, 6 and 7: activity of somebody who is erased, expired, lapsed, of another generation or scope.
pub async fn touches_reach_only_who_is_there(store: &dyn Store) {
    let (here, elsewhere) = (scope("a", "x"), scope("b", "x"));
    let f = Fixture::new(store, &here);
    let (contact, _) = f.contact(1, start()).await;
    let (erased, _) = f.contact(2, start()).await;
    assert!(
        store
            .begin_contact_erasure(&here, erased.id, ErasureCause::Request, at(9_999))
            .await
            .unwrap()
            .is_some()
    );
    let mut other_epoch = touch(&here, &contact, at(10));
    other_epoch.epoch = FenceEpoch::new(2);
    let mut expired = touch(&here, &contact, at(10));
    expired.gone_before = at(5);
    let mut stranger = contact.clone();
    stranger.id = ContactId::from_bytes([77; 16]);
    let none = [
        other_epoch,
        expired,
        touch(&elsewhere, &contact, at(10)),
        touch(&here, &erased, at(10)),
        touch(&here, &stranger, at(10)),
        touch(&here, &contact, start() + LIFE),
    ];
    assert_eq!(store.touch_contacts(&none).await.unwrap(), 0);
    assert_eq!(
        store.touch_contacts(&[none.as_slice(), &[touch(&here, &contact, at(10))]].concat()).await.unwrap(),
        1
    );
    assert_eq!(store.touch_contacts(&[]).await.unwrap(), 0);
}

/// Most recent first, ties by id, each once, whatever the size of the page.
pub async fn pages_are_complete_and_in_order(store: &dyn Store) {
    let (here, elsewhere) = (scope("a", "x"), scope("a", "y"));
    let f = Fixture::new(store, &here);
    for n in 0..25u8 {
        f.contact(n, at(u64::from(n / 5) * 60)).await;
        Fixture::new(store, &elsewhere).contact(n, at(1)).await;
    }
    for limit in [1, 4, 7, 25, 100] {
        let mut all: Vec<ContactSummary> = Vec::new();
        loop {
            let after = all.last().map(|c| ContactCursor { last_seen: c.last_seen, id: c.id });
            let page = store
                .contacts(&here, &ContactQuery::first(limit).after(after), &everything(at(600)))
                .await
                .unwrap();
            assert!(page.len() <= limit.into());
            if page.is_empty() {
                break;
            }
            all.extend(page);
        }
        assert_eq!(all.len(), 25, "pages of {limit}");
        assert!(all.is_sorted_by(|a, b| (a.last_seen, a.id) > (b.last_seen, b.id)), "pages of {limit}");
    }
}

/// Rules 6 and 8: against late writers, old cookies and buffered activity.
pub async fn erased_contacts_stay_erased(store: &dyn Store) {
    let here = scope("a", "x");
    let f = Fixture::new(store, &here);
    let (contact, proof) = f.contact(1, start()).await;
    let owner = f.by_contact(&contact, &proof);
    f.say(&owner, &f.message(1, 1, at(1))).await.unwrap();
    assert!(
        store
            .begin_contact_erasure(&here, contact.id, ErasureCause::Request, at(9_999))
            .await
            .unwrap()
            .is_some()
    );
    assert_eq!(
        store.begin_contact_erasure(&here, contact.id, ErasureCause::Request, at(9_999)).await.unwrap(),
        None,
        "it is marked already"
    );
    for round in ["marked", "gone"] {
        assert!(store.contact(&here, contact.id, &everything(at(3))).await.unwrap().is_none(), "{round}");
        assert!(
            store.contacts(&here, &ContactQuery::first(10), &everything(at(3))).await.unwrap().is_empty(),
            "{round}"
        );
        assert!(
            store
                .conversations(&here, Owner::Contact(contact.id), 10, &everything(at(3)))
                .await
                .unwrap()
                .is_empty()
        );
        let messages = store
            .messages(&here, f.message(1, 1, at(1)).conversation, 0, 10, &everything(at(3)))
            .await
            .unwrap();
        assert!(messages.is_empty(), "{round}");
        let reopened = store.open_contact(&proof, &f.new_contact(1, &proof, at(3))).await;
        assert!(matches!(reopened, Err(Error::Fenced)), "{round}: {reopened:?}");
        for message in [f.message(1, 2, at(3)), f.message(9, 3, at(3))] {
            let late = f.say(&owner, &message).await;
            assert!(matches!(late, Err(Error::Fenced)), "{round}: {late:?}");
        }
        assert_eq!(store.touch_contacts(&[touch(&here, &contact, at(4))]).await.unwrap(), 0, "{round}");
        if round == "marked" {
            let marked = store.erasing(None, 10).await.unwrap();
            assert_eq!(marked[0].cause, ErasureCause::Request);
            assert_eq!(f.erase_everything_marked(100).await.0, Removed::new(1, 1, 1, 0));
            let again = store.erase_step(&marked[..1], 100).await.unwrap();
            assert_eq!(again.done, 1);
            assert!(again.removed.is_nothing(), "erasing what is erased succeeds");
        }
    }
    assert_eq!(
        store.begin_contact_erasure(&here, contact.id, ErasureCause::Request, at(9_999)).await.unwrap(),
        None
    );
    let fresh = f.new_contact(5, &proof, at(6));
    assert_eq!(
        store.open_contact(&proof, &fresh).await.unwrap().id,
        fresh.id,
        "another contact can be opened"
    );
    assert_eq!(digest(5), fresh.subject);
}

/// Rule 8: no step takes more rows than it may, and the contact goes last.
pub async fn erasure_goes_in_bounded_steps(store: &dyn Store) {
    let here = scope("a", "x");
    let f = Fixture::new(store, &here);
    let (contact, proof) = f.contact(1, start()).await;
    let (other, other_proof) = f.contact(2, start()).await;
    for c in 0..3u8 {
        for m in 0..10u8 {
            let when = at(u64::from(c) * 2 * 86_400 + u64::from(m));
            f.say(&f.by_contact(&contact, &proof), &f.message(c, c * 10 + m, when)).await.unwrap();
        }
    }
    f.say(&f.by_contact(&other, &other_proof), &f.message(50, 50, at(1))).await.unwrap();
    store.begin_contact_erasure(&here, contact.id, ErasureCause::Request, at(9_999)).await.unwrap();
    let marked = store.erasing(Some(&here.tenant), 10).await.unwrap();
    let first = store.erase_step(&marked[..1], 4).await.unwrap();
    assert_eq!(first.done, 0);
    assert!(
        first.removed.messages + first.removed.conversations <= 4 && first.removed.contacts == 0,
        "{first:?}"
    );
    let (rest, steps) = f.erase_everything_marked(4).await;
    let mut all = first.removed;
    all += rest;
    assert_eq!(all, Removed::new(1, 3, 30, 0));
    assert!(steps >= 7, "{steps} steps of 4 rows");
    assert_eq!(f.counter(other.id, at(3)).await, Some(1), "the other one is as it was");
    assert_eq!(f.conversation_count(Owner::Contact(other.id), at(3)).await, 1);
    assert!(store.erasing(None, 10).await.unwrap().is_empty());
}

/// A device whose first messages come at once has one contact: a line of consent has one at a time.
pub async fn a_line_has_one_contact(store: &dyn Store) {
    let here = scope("a", "x");
    let f = Fixture::new(store, &here);
    let (_, proof) = f.granted().await;
    let first = store.open_contact(&proof, &f.new_contact(1, &proof, at(1))).await.unwrap();
    let second = store.open_contact(&proof, &f.new_contact(2, &proof, at(2))).await.unwrap();
    assert_eq!(second.id, first.id);
    store.begin_contact_erasure(&here, first.id, ErasureCause::Request, at(9_999)).await.unwrap();
    let third = store.open_contact(&proof, &f.new_contact(3, &proof, at(4))).await.unwrap();
    assert_eq!(third.id, ContactId::from_bytes([3; 16]), "one that is being erased is none");
}

/// Rule 2: a contact stands on the latest grant of its line, with whichever record of the line the visitor comes: what an older
/// one stood on may be cut from its person when somebody who was there before is erased.
pub async fn a_contact_stands_on_the_latest_of_its_line(store: &dyn Store) {
    let here = scope("a", "x");
    let f = Fixture::new(store, &here);
    let (_, old_proof) = f.contact(1, start()).await;
    let old = store.record(&here, old_proof.record()).await.unwrap().unwrap();
    let revocation = old.refusing(CONTACTS.bit(), Act::Revocation, Method::Server, at(1)).unwrap();
    f.append(revocation, Some(old.id)).await;
    let anew = f.append(f.record(&[CONTACTS], at(2)), Some(old.id)).await;
    // A request that was under way, with the cookie from before.
    let opened = store.open_contact(&old_proof, &f.new_contact(2, &old_proof, at(3))).await.unwrap();
    assert_eq!((opened.consent, opened.consent_until), (anew.id, anew.until));
    f.erase_everything_marked(100).await;
    assert_eq!(store.record(&here, old.id).await.unwrap(), None);
    let latest = store.latest_record(&here, opened.consent).await.unwrap();
    assert_eq!(latest.map(|r| r.id), Some(anew.id), "it can still be proved");
    // One of another line that speaks here stands on the same.
    let (other, _) = f.contact(3, start()).await;
    let renewed = f.append(f.record(&[CONTACTS, ANALYTICS], at(4)), Some(anew.id)).await;
    let proof = f.proof(&anew, CONTACTS);
    f.say(&f.by_contact(&other, &proof), &f.message(1, 1, at(5))).await.unwrap();
    let seen = store.contact(&here, other.id, &everything(at(6))).await.unwrap().unwrap();
    assert_eq!(seen.consent, renewed.id);
}

/// P7: a contact that speaks on a new line of consent goes with that line: its withdrawal erases it.
pub async fn a_contact_goes_with_the_line_it_speaks_on(store: &dyn Store) {
    let here = scope("a", "x");
    let f = Fixture::new(store, &here);
    let (contact, _) = f.contact(1, start()).await;
    let (anew, proof) = f.granted().await;
    f.say(&f.by_contact(&contact, &proof), &f.message(1, 1, at(1))).await.unwrap();
    let seen = store.contact(&here, contact.id, &everything(at(2))).await.unwrap().unwrap();
    assert_eq!((seen.consent, seen.consent_until), (anew.id, anew.until));
    let (_, erasing) = f.append_counting(f.record(&[], at(3)), Some(anew.id)).await;
    assert_eq!(erasing, 1);
}

/// Rule 13: what stands on a consent to something else is hidden and untouched, comes back with a consent to what is asked
/// today, and else ends in time.
pub async fn contacts_on_another_consent_are_frozen(store: &dyn Store) {
    let scope = scope("t", "s");
    let f = Fixture::new(store, &scope);
    let (stale, proof) = f.contact(1, at(10)).await;
    let (kept_fresh, _) = f.contact(2, at(10)).await;
    f.say(&f.by_contact(&stale, &proof), &f.message(1, 1, at(11))).await.unwrap();
    let material = CONTACTS.get();
    assert_eq!(kept_fresh.material, [material; 3]);
    let until = at(1_000);
    let all = async |current: &[[u8; 3]], until| {
        let mut after = None;
        while let Some(last) = store.freeze_contacts(&scope, current, until, after, 1).await.unwrap() {
            after = Some(last);
        }
    };
    let there = async |id| store.contact(&scope, id, &everything(at(20))).await.unwrap();
    all(&[[material; 3], [9; 3]], until).await;
    assert_eq!(
        store.contacts(&scope, &ContactQuery::first(9), &everything(at(20))).await.unwrap().len(),
        2,
        "covered"
    );
    all(&[[9; 3]], until).await;
    assert_eq!(store.contacts(&scope, &ContactQuery::first(9), &everything(at(20))).await.unwrap(), []);
    assert_eq!(there(stale.id).await, None);
    let touch = ContactTouch {
        scope: scope.clone(),
        id: stale.id,
        epoch: stale.epoch,
        at: at(30),
        gone_before: at(0),
    };
    assert_eq!(store.touch_contacts(&[touch]).await.unwrap(), 0);
    // Out of sight, and not gone: what it holds is read again some day.
    assert!(store.contact_lives(&scope, stale.id).await.unwrap());
    let another = Contact { id: ContactId::from_bytes([77; 16]), ..stale.clone() };
    let refused = store.open_contact(&proof, &another).await;
    assert!(matches!(refused, Err(Error::NotFound { .. })), "one contact to a line: {refused:?}");
    assert!(!store.contact_lives(&scope, another.id).await.unwrap());
    let owner = f.by_contact(&stale, &proof);
    let message = f.message(1, 77, at(31));
    let refused = store.record_message(&scope, &owner, &message, at(0), &everything(at(31))).await;
    assert!(matches!(refused, Err(Error::NotFound { .. } | Error::Conflict { .. })), "{refused:?}");
    // Frozen once, the time of its end stands.
    all(&[[9; 3]], at(5_000)).await;
    let gone = store.purge_step(&scope.tenant, DataClass::Contacts, 9, &everything(at(999)), at(9_000)).await;
    assert_eq!(gone.unwrap(), 0);
    // Its visitor agrees to what is asked today.
    let mut anew = f.record(&[CONTACTS], at(40));
    for d in &mut anew.decisions {
        d.fingerprint = [9; 3];
    }
    f.append(anew, Some(proof.record)).await;
    assert_eq!(there(stale.id).await.map(|c| (c.material, c.frozen_until)), Some(([9; 3], None)));
    all(&[[9; 3]], until).await;
    assert!(there(stale.id).await.is_some());
    // Thawed as it was, when the site asks for that again.
    assert_eq!(there(kept_fresh.id).await, None);
    all(&[[material; 3], [9; 3]], until).await;
    assert!(there(kept_fresh.id).await.is_some());
    all(&[[9; 3]], until).await;
    let due = store.purge_step(&scope.tenant, DataClass::Contacts, 9, &everything(until), at(9_000)).await;
    assert_eq!(due.unwrap(), 1);
    assert!(!store.contact_lives(&scope, kept_fresh.id).await.unwrap(), "marked");
    assert!(!store.contact_lives(&super::fixture::scope("t", "other"), stale.id).await.unwrap());
    assert_eq!(
        store.erasing(Some(&scope.tenant), 9).await.unwrap()[0].kind,
        ErasingKind::Contact(kept_fresh.id)
    );
}

/// A line that ends its consent on a site that keeps contacts on another basis: they stay, nothing is written to them, and
/// an erasure on request takes them all the same.
pub async fn contacts_may_be_kept_on_another_basis(store: &dyn Store) {
    let scope = scope("t", "s");
    let f = Fixture::new(store, &scope);
    let (contact, proof) = f.contact(1, at(10)).await;
    let mut withdrawal = f.record(&[], at(20));
    withdrawal.act = Act::Withdrawal;
    let new = NewRecord::new(withdrawal, Some(proof.record)).keeping(Some(LegalBasis::LegalObligation));
    let appended = store.append_record(&new, CONTACTS, at(9_000)).await.unwrap();
    assert_eq!(appended.erasing, []);
    let later = everything(at(10) + 2 * LIFE);
    let kept = store.contact(&scope, contact.id, &later).await.unwrap().unwrap();
    assert_eq!(kept.kept_on, Some(LegalBasis::LegalObligation));
    assert_eq!(store.contacts(&scope, &ContactQuery::first(9), &later).await.unwrap(), [(&kept).into()]);
    assert_eq!(store.freeze_contacts(&scope, &[[9; 3]], at(30), None, 9).await.unwrap(), Some(contact.id));
    assert!(store.contact(&scope, contact.id, &later).await.unwrap().is_some(), "it stands on no consent");
    let owner = f.by_contact(&contact, &proof);
    let refused =
        store.record_message(&scope, &owner, &f.message(1, 1, at(21)), at(0), &everything(at(21))).await;
    assert!(matches!(refused, Err(Error::NotGranted { .. })), "{refused:?}");
    let marked =
        store.begin_contact_erasure(&scope, contact.id, ErasureCause::Request, at(9_000)).await.unwrap();
    assert_eq!(marked.map(|e| e.kind), Some(ErasingKind::Contact(contact.id)));
    assert_eq!(store.contact(&scope, contact.id, &later).await.unwrap(), None);
}
