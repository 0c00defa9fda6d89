#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a panic is how a case fails")]

use super::fixture::{CONTACTS, Fixture, at, digest, everything, scope, start};
use crate::contact::{Author, Channel, ContactId, ConversationId, Owner, Removed, Sealed};
use crate::error::Error;
use crate::scope::Scope;
use crate::store::{
    Adoption, ConsentProof, ContactQuery, ErasureCause, MessageToStore, OwnerProof, Resealed, Store,
};

fn conversation(n: u8) -> ConversationId {
    ConversationId::from_bytes([n; 16])
}

/// Rule 9: numbers from 1, every field comes back, a message that arrives twice is one.
pub async fn messages_are_numbered_and_stored_once(store: &dyn Store) {
    let here = scope("a", "x");
    let f = Fixture::new(store, &here);
    let (contact, proof) = f.contact(1, start()).await;
    let owner = f.by_contact(&contact, &proof);
    let mut first = f.message(1, 1, at(1));
    first.page = Some(Sealed::from_bytes(vec![9, 9]));
    first.channel = Channel::LiveSupport;
    first.author = Author::Agent;
    let stored = f.say(&owner, &first).await.unwrap();
    assert_eq!((stored.number, stored.id, &stored.body), (1, first.id, &first.body));
    assert_eq!(f.say(&owner, &f.message(1, 2, at(2))).await.unwrap().number, 2);
    assert_eq!(f.say(&owner, &first).await.unwrap(), stored, "the same one again");
    assert_eq!(f.say(&owner, &f.message(1, 3, at(3))).await.unwrap().number, 3);
    let all = store.messages(&here, conversation(1), 0, 10, &everything(at(9))).await.unwrap();
    assert_eq!(all.iter().map(|m| m.number).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(all[0], stored);
    let after = store.messages(&here, conversation(1), 1, 1, &everything(at(9))).await.unwrap();
    assert_eq!(after.iter().map(|m| m.number).collect::<Vec<_>>(), [2]);
    let c = &store.conversations(&here, Owner::Contact(contact.id), 10, &everything(at(9))).await.unwrap()[0];
    assert_eq!(
        (c.opened, c.last_message, c.messages, c.live_support, c.closed),
        (at(1), at(3), 3, true, None)
    );
}

/// Rule 5: not with messages, not with activity, not with what is refused.
pub async fn the_counter_changes_with_conversations_only(store: &dyn Store) {
    let here = scope("a", "x");
    let f = Fixture::new(store, &here);
    let (contact, proof) = f.contact(1, start()).await;
    let owner = f.by_contact(&contact, &proof);
    for m in 0..100u8 {
        f.say(&owner, &f.message(1, m, at(m.into()))).await.unwrap();
    }
    assert_eq!(f.counter(contact.id, at(200)).await, Some(1));
    let tomorrow = at(2 * 86_400);
    f.say(&owner, &f.message(2, 200, tomorrow)).await.unwrap();
    assert_eq!(f.counter(contact.id, tomorrow).await, Some(2));
    assert!(store.begin_conversation_erasure(&here, conversation(1)).await.unwrap().is_some());
    assert_eq!(store.begin_conversation_erasure(&here, conversation(1)).await.unwrap(), None);
    assert_eq!(f.counter(contact.id, tomorrow).await, Some(1), "it goes with the conversation, at once");
    assert_eq!(f.conversation_count(Owner::Contact(contact.id), tomorrow).await, 1);
    let (removed, _) = f.erase_everything_marked(30).await;
    assert_eq!(removed, Removed::new(0, 1, 100, 0));
    assert_eq!(f.counter(contact.id, tomorrow).await, Some(1));
}

/// Two first messages at once are one conversation: the later one is told.
pub async fn one_conversation_runs_at_a_time(store: &dyn Store) {
    let here = scope("a", "x");
    let f = Fixture::new(store, &here);
    let (contact, proof) = f.contact(1, start()).await;
    for (owner, whose) in [
        (f.by_contact(&contact, &proof), Owner::Contact(contact.id)),
        (f.by_session(1, 1), Owner::Session(digest(1))),
    ] {
        let base = if matches!(whose, Owner::Contact(_)) { 10 } else { 20 };
        let running = async |now| {
            let since = now - std::time::Duration::from_secs(86_400);
            store.running_conversation(&here, whose, since, &everything(now)).await.unwrap().map(|c| c.id)
        };
        assert_eq!(running(at(0)).await, None);
        f.say(&owner, &f.message(base, base, at(1))).await.unwrap();
        let second = f.say(&owner, &f.message(base + 1, base + 1, at(2))).await;
        assert!(matches!(second, Err(Error::Conflict { .. })), "{second:?}");
        assert_eq!(running(at(3)).await, Some(conversation(base)));
        let later = at(86_400 + 10);
        assert_eq!(running(later).await, None, "after a silence a new one may begin");
        f.say(&owner, &f.message(base + 1, base + 1, later)).await.unwrap();
        assert_eq!(running(later).await, Some(conversation(base + 1)));
        assert_eq!(f.conversation_count(whose, later).await, 2);
    }
}

/// Nobody writes into somebody else's conversation, and nobody learns that there is one.
pub async fn conversations_belong_to_their_owner(store: &dyn Store) {
    let here = scope("a", "x");
    let f = Fixture::new(store, &here);
    let (one, one_proof) = f.contact(1, start()).await;
    let (two, two_proof) = f.contact(2, start()).await;
    f.say(&f.by_contact(&one, &one_proof), &f.message(1, 1, at(1))).await.unwrap();
    f.say(&f.by_session(1, 5), &f.message(5, 5, at(1))).await.unwrap();
    for (owner, into) in [
        (f.by_contact(&two, &two_proof), 1),
        (f.by_session(2, 1), 1),
        (f.by_contact(&two, &two_proof), 5),
        (f.by_session(2, 5), 5),
    ] {
        let refused = f.say(&owner, &f.message(into, 100, at(2))).await;
        assert!(matches!(refused, Err(Error::Conflict { .. })), "{refused:?}");
    }
    // On somebody else's proof, and on one's own for a contact that is not there.
    let mixed = OwnerProof::Contact {
        proof: one_proof,
        id: ContactId::from_bytes([9; 16]),
        epoch: two.epoch,
        subject: digest(9),
    };
    assert!(matches!(f.say(&mixed, &f.message(7, 7, at(2))).await, Err(Error::NotFound { .. })));
    assert_eq!(f.counter(one.id, at(3)).await, Some(1));
    assert_eq!(f.counter(two.id, at(3)).await, Some(0));
}

/// P7: a message that was on its way while its conversation was erased does not bring it back, neither before
/// nor after the rows are gone.
pub async fn a_late_message_does_not_bring_a_conversation_back(store: &dyn Store) {
    let here = scope("a", "x");
    let f = Fixture::new(store, &here);
    let (contact, proof) = f.contact(1, start()).await;
    for (owner, whose, n) in [
        (f.by_contact(&contact, &proof), Owner::Contact(contact.id), 10),
        (f.by_session(1, 20), Owner::Session(digest(1)), 20),
    ] {
        f.say(&owner, &f.message(n, n, at(1))).await.unwrap();
        let late = MessageToStore { opens: false, ..f.message(n, n + 1, at(2)) };
        let refused = async || matches!(f.say(&owner, &late).await, Err(Error::Conflict { .. }));
        store.begin_conversation_erasure(&here, conversation(n)).await.unwrap();
        assert!(refused().await, "while it is being erased");
        f.erase_everything_marked(100).await;
        assert!(refused().await, "when it is gone");
        assert_eq!(f.conversation_count(whose, at(3)).await, 0);
    }
    assert_eq!(f.counter(contact.id, at(3)).await, Some(0));
}

/// Without consent the chat works, and no contact comes of it.
pub async fn a_visit_needs_no_consent_and_leaves_no_contact(store: &dyn Store) {
    let here = scope("a", "x");
    let f = Fixture::new(store, &here);
    for m in 0..10u8 {
        f.say(&f.by_session(1, 1), &f.message(1, m, at(m.into()))).await.unwrap();
    }
    assert!(store.contacts(&here, &ContactQuery::first(10), &everything(at(20))).await.unwrap().is_empty());
    assert_eq!(f.conversation_count(Owner::Session(digest(1)), at(20)).await, 1);
    assert_eq!(f.conversation_count(Owner::Session(digest(2)), at(20)).await, 0);
    assert_eq!(store.messages(&here, conversation(1), 0, 100, &everything(at(20))).await.unwrap().len(), 10);
    assert!(store.begin_conversation_erasure(&here, conversation(1)).await.unwrap().is_some());
    let marked = store.erasing(None, 10).await.unwrap();
    assert_eq!(marked[0].subject, Some(digest(101)), "the key of a visit's conversation goes with it");
    assert_eq!(f.erase_everything_marked(100).await.0, Removed::new(0, 1, 10, 0));
}

fn resealed(number: u32) -> Resealed {
    let sealed = |with| Sealed::from_bytes(vec![with, u8::try_from(number).unwrap()]);
    Resealed { number, body: sealed(77), page: (number == 2).then(|| sealed(78)) }
}

fn adoption(proof: &ConsentProof, contact: u8, session: u8, texts: u32) -> Adoption {
    Adoption {
        proof: proof.clone(),
        contact: ContactId::from_bytes([contact; 16]),
        epoch: crate::contact::FenceEpoch::FIRST,
        subject: digest(contact),
        from: Owner::Session(digest(session)),
        conversation: conversation(1),
        texts: (1..=texts).map(resealed).collect(),
        at: at(10),
    }
}

/// A visit's conversation goes to a contact as a whole, on a proof, or not at all.
pub async fn conversations_are_adopted_on_a_proof_only(store: &dyn Store) {
    let here = scope("a", "x");
    let f = Fixture::new(store, &here);
    let (contact, proof) = f.contact(1, start()).await;
    for m in 1..=3u8 {
        f.say(&f.by_session(1, 1), &f.message(1, m, at(m.into()))).await.unwrap();
    }
    let adopt = async |a: &Adoption| store.adopt_conversation(a, &everything(at(10))).await;
    let unproved = f.proof(&f.record(&[CONTACTS], start()), CONTACTS);
    let error = adopt(&adoption(&unproved, 1, 1, 3)).await.unwrap_err();
    assert!(matches!(error, Error::NotGranted { .. }), "{error}");
    let error = adopt(&adoption(&proof, 1, 2, 3)).await.unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "another visit's: {error}");
    let error = adopt(&adoption(&proof, 9, 1, 3)).await.unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "no such contact: {error}");
    let error = adopt(&adoption(&proof, 1, 1, 2)).await.unwrap_err();
    assert!(matches!(error, Error::Conflict { .. }), "a message came in between: {error}");
    assert_eq!(f.counter(contact.id, at(10)).await, Some(0));
    adopt(&adoption(&proof, 1, 1, 3)).await.unwrap();
    assert_eq!(f.counter(contact.id, at(10)).await, Some(1));
    assert_eq!(f.conversation_count(Owner::Session(digest(1)), at(10)).await, 0);
    let messages = store.messages(&here, conversation(1), 0, 10, &everything(at(10))).await.unwrap();
    assert!(messages.iter().all(|m| m.body.as_bytes()[0] == 77), "every text is sealed anew");
    f.say(&f.by_contact(&contact, &proof), &f.message(1, 4, at(11))).await.unwrap();
    store.begin_contact_erasure(&here, contact.id, ErasureCause::Request, at(9_999)).await.unwrap();
    assert_eq!(f.erase_everything_marked(100).await.0, Removed::new(1, 1, 4, 0), "it goes with the contact");
}

/// A conversation goes from one contact to another as a whole, with its counters; a blocked one is given nothing.
pub async fn conversations_go_from_contact_to_contact(store: &dyn Store) {
    let here = scope("a", "x");
    let f = Fixture::new(store, &here);
    let (from, from_proof) = f.contact(1, start()).await;
    let (to, proof) = f.contact(2, start()).await;
    for m in 1..=2u8 {
        f.say(&f.by_contact(&from, &from_proof), &f.message(1, m, at(m.into()))).await.unwrap();
    }
    let moves = |from: Owner| Adoption { from, ..adoption(&proof, 2, 0, 2) };
    let adopt = async |a: &Adoption| store.adopt_conversation(a, &everything(at(10))).await;
    for stranger in
        [Owner::Contact(to.id), Owner::Contact(ContactId::from_bytes([9; 16])), Owner::Session(digest(1))]
    {
        assert!(matches!(adopt(&moves(stranger)).await, Err(Error::NotFound { .. })), "{stranger:?}");
    }
    store.set_blocked(&here, to.id, true, &everything(at(10))).await.unwrap();
    assert!(matches!(adopt(&moves(Owner::Contact(from.id))).await, Err(Error::Blocked)));
    store.set_blocked(&here, to.id, false, &everything(at(10))).await.unwrap();
    adopt(&moves(Owner::Contact(from.id))).await.unwrap();
    assert_eq!((f.counter(from.id, at(10)).await, f.counter(to.id, at(10)).await), (Some(0), Some(1)));
    let messages = store.messages(&here, conversation(1), 0, 10, &everything(at(10))).await.unwrap();
    let texts: Vec<_> = messages.iter().map(|m| (m.body.clone(), m.page.clone())).collect();
    assert_eq!(texts, [1, 2].map(|n| (resealed(n).body, resealed(n).page)));
    let again = adopt(&moves(Owner::Contact(from.id))).await;
    assert!(matches!(again, Err(Error::NotFound { .. })), "it is not theirs any more");
    store.begin_contact_erasure(&here, from.id, ErasureCause::Request, at(9_999)).await.unwrap();
    f.erase_everything_marked(9).await;
    assert_eq!(f.conversation_count(Owner::Contact(to.id), at(10)).await, 1);
}

/// After a close the next message begins another conversation.
pub async fn closed_conversations_do_not_run(store: &dyn Store) {
    let here = scope("a", "x");
    let f = Fixture::new(store, &here);
    let owner = f.by_session(1, 1);
    f.say(&owner, &f.message(1, 1, at(1))).await.unwrap();
    let close = async |scope: &Scope, n: u8, when| {
        store.close_conversation(scope, conversation(n), when, &everything(when)).await.unwrap()
    };
    assert!(!close(&scope("b", "x"), 1, at(2)).await);
    assert!(!close(&here, 9, at(2)).await);
    assert!(close(&here, 1, at(2)).await);
    assert!(close(&here, 1, at(5)).await);
    let all = store.conversations(&here, Owner::Session(digest(1)), 10, &everything(at(6))).await.unwrap();
    assert_eq!(all[0].closed, Some(at(2)), "the first close stands");
    let running = store
        .running_conversation(&here, Owner::Session(digest(1)), start(), &everything(at(6)))
        .await
        .unwrap();
    assert_eq!(running, None);
    f.say(&f.by_session(1, 2), &f.message(2, 2, at(7))).await.unwrap();
}
