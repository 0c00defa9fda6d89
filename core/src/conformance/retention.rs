#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a panic is how a case fails")]

use std::time::Duration;

use super::fixture::{CONTACTS, Fixture, LIFE, at, digest, everything, scope, start};
use crate::contact::{Channel, ContactId, ConversationId, Owner, Removed};
use crate::error::Error;
use crate::retention::{DataClass, RetentionRule};
use crate::store::{ContactQuery, ErasureCause, Horizon, Store};

/// Rule 1, for every unit that reads or marks: the same ids in two tenants and in two sites of one.
pub async fn nothing_crosses_tenants_or_sites(store: &dyn Store) {
    let scopes = [scope("a", "x"), scope("a", "y"), scope("b", "x")];
    for (n, here) in (1u8..).zip(&scopes) {
        let f = Fixture::new(store, here);
        let (contact, proof) = f.contact(1, at(n.into())).await;
        for m in 0..n {
            f.say(&f.by_contact(&contact, &proof), &f.message(1, m, at(10 + u64::from(m)))).await.unwrap();
        }
        f.say(&f.by_session(1, 2), &f.message(2, 50, at(10 + u64::from(n)))).await.unwrap();
    }
    let id = ContactId::from_bytes([1; 16]);
    for (n, here) in (1u32..).zip(&scopes) {
        let all = everything(at(100));
        let contacts = store.contacts(here, &ContactQuery::first(10), &all).await.unwrap();
        assert_eq!(contacts.iter().map(|c| c.created).collect::<Vec<_>>(), [at(n.into())]);
        let conversations = store.conversations(here, Owner::Contact(id), 10, &all).await.unwrap();
        assert_eq!(conversations.iter().map(|c| c.messages).collect::<Vec<_>>(), [n]);
        let messages = store.messages(here, ConversationId::from_bytes([1; 16]), 0, 10, &all).await.unwrap();
        assert_eq!(messages.len(), n as usize);
        let of_visit =
            store.running_conversation(here, Owner::Session(digest(1)), start(), &all).await.unwrap();
        assert_eq!(of_visit.unwrap().last_message, at(10 + u64::from(n)));
    }
    let nowhere = scope("c", "x");
    assert!(store.contact(&nowhere, id, &everything(at(100))).await.unwrap().is_none());
    assert_eq!(
        store.begin_contact_erasure(&nowhere, id, ErasureCause::Request, at(9_999)).await.unwrap(),
        None
    );
    assert_eq!(
        store.begin_conversation_erasure(&nowhere, ConversationId::from_bytes([1; 16])).await.unwrap(),
        None
    );
    // A proof of one tenant in the scope of another.
    let (first, second) = (Fixture::new(store, &scopes[0]), Fixture::new(store, &scopes[2]));
    let (contact, proof) = first.contact(7, at(1)).await;
    let abroad = second.say(&first.by_contact(&contact, &proof), &second.message(9, 99, at(20))).await;
    assert!(matches!(abroad, Err(Error::NotGranted { .. })), "{abroad:?}");
    // Erasing in one leaves the others.
    assert!(
        store
            .begin_contact_erasure(&scopes[0], id, ErasureCause::Request, at(9_999))
            .await
            .unwrap()
            .is_some()
    );
    assert_eq!(store.erasing(Some(&scopes[2].tenant), 10).await.unwrap(), []);
    first.erase_everything_marked(100).await;
    for here in &scopes[1..] {
        assert!(store.contact(here, id, &everything(at(100))).await.unwrap().is_some());
    }
    let mut tenants = store.tenants().await.unwrap();
    tenants.sort();
    assert_eq!(tenants.iter().map(ToString::to_string).collect::<Vec<_>>(), ["a", "b"]);
}

/// Rule 7: from the boundary on, without any purge.
pub async fn what_has_expired_is_not_read(store: &dyn Store) {
    let here = scope("a", "x");
    let f = Fixture::new(store, &here);
    let (contact, proof) = f.contact(1, at(100)).await;
    f.say(&f.by_contact(&contact, &proof), &f.message(1, 1, at(100))).await.unwrap();
    f.say(&f.by_session(1, 2), &f.message(2, 2, at(100))).await.unwrap();
    let mut asked = f.message(3, 3, at(100));
    asked.channel = Channel::LiveSupport;
    f.say(&f.by_session(2, 3), &asked).await.unwrap();

    let now = at(500);
    let seen = async |horizon: Horizon| {
        let conversations =
            async |owner| store.conversations(&here, owner, 10, &horizon).await.unwrap().len();
        let messages = async |n| {
            store.messages(&here, ConversationId::from_bytes([n; 16]), 0, 10, &horizon).await.unwrap().len()
        };
        (
            store.contact(&here, contact.id, &horizon).await.unwrap().is_some(),
            store.contacts(&here, &ContactQuery::first(10), &horizon).await.unwrap().len(),
            conversations(Owner::Contact(contact.id)).await,
            messages(1).await,
            conversations(Owner::Session(digest(1))).await,
            conversations(Owner::Session(digest(2))).await,
        )
    };
    let all = (true, 1, 1, 1, 1, 1);
    assert_eq!(seen(everything(now)).await, all);
    for class in DataClass::ALL.iter().copied() {
        assert_eq!(
            seen(everything(now).with(class, at(100))).await,
            all,
            "{class:?}: the boundary itself is in time"
        );
    }
    let past = async |class| seen(everything(now).with(class, at(101))).await;
    assert_eq!(past(DataClass::Contacts).await, (false, 0, 0, 0, 1, 1));
    assert_eq!(past(DataClass::Conversations).await, (true, 1, 0, 0, 1, 1));
    assert_eq!(past(DataClass::Messages).await, (true, 1, 1, 0, 1, 1));
    assert_eq!(
        past(DataClass::SessionConversations).await,
        (true, 1, 1, 1, 0, 1),
        "a person was asked in the other"
    );
    assert_eq!(past(DataClass::SupportConversations).await, (true, 1, 1, 1, 1, 0));
    let lapsed = everything(at(100) + LIFE);
    assert_eq!(seen(lapsed).await, (false, 0, 0, 0, 1, 1), "the consent lapsed");

    // What is hidden is not written to, either.
    let hidden = everything(now).with(DataClass::Contacts, at(101));
    let late = store
        .record_message(&here, &f.by_contact(&contact, &proof), &f.message(1, 9, now), start(), &hidden)
        .await;
    assert!(matches!(late, Err(Error::NotFound { .. })), "{late:?}");
    // After a close, a conversation in which a person was asked counts from the close.
    assert!(
        store
            .close_conversation(&here, ConversationId::from_bytes([3; 16]), at(300), &everything(now))
            .await
            .unwrap()
    );
    assert_eq!(past(DataClass::SupportConversations).await.5, 1);
}

/// Rule 8: no step takes more than it may; children go; what is in time stays.
pub async fn purges_are_bounded_and_complete(store: &dyn Store) {
    let (here, elsewhere) = (scope("a", "x"), scope("b", "x"));
    for s in [&here, &elsewhere] {
        let f = Fixture::new(store, s);
        for n in 0..10u8 {
            let when = at(u64::from(n));
            let (contact, proof) = f.contact(n, when).await;
            f.say(&f.by_contact(&contact, &proof), &f.message(n, n, when)).await.unwrap();
            f.say(&f.by_session(100 + n, 100 + n), &f.message(100 + n, 100 + n, when)).await.unwrap();
        }
    }
    let f = Fixture::new(store, &here);
    let horizon = |class| everything(at(1_000)).with(class, at(5));
    let purge = async |class, max| {
        store.purge_step(&here.tenant, class, max, &horizon(class), at(9_999)).await.unwrap()
    };

    assert_eq!(purge(DataClass::Messages, 3).await, 3);
    assert_eq!(purge(DataClass::Messages, 100).await, 7, "five under contacts and five under visits, in all");
    assert_eq!(purge(DataClass::Messages, 100).await, 0);

    assert_eq!(purge(DataClass::SessionConversations, 2).await, 2);
    assert_eq!(purge(DataClass::SessionConversations, 100).await, 3);
    assert_eq!(purge(DataClass::SupportConversations, 100).await, 0);
    let marked = store.erasing(Some(&here.tenant), 100).await.unwrap();
    assert!(marked.iter().all(|e| e.cause == ErasureCause::Retention && e.subject.is_some()));
    assert_eq!(f.erase_everything_marked(100).await.0, Removed::new(0, 5, 0, 0));

    assert_eq!(purge(DataClass::Conversations, 2).await, 2);
    assert_eq!(f.counter(ContactId::from_bytes([0; 16]), at(10)).await, Some(0), "the counter follows");
    f.erase_everything_marked(100).await;

    assert_eq!(purge(DataClass::Contacts, 4).await, 4);
    assert_eq!(purge(DataClass::Contacts, 100).await, 1);
    assert_eq!(
        f.erase_everything_marked(2).await.0,
        Removed::new(5, 3, 0, 0),
        "with the conversations they still had"
    );
    assert_eq!(store.contacts(&here, &ContactQuery::first(100), &everything(at(10))).await.unwrap().len(), 5);

    let lapsed = everything(at(1_000) + LIFE).with(DataClass::ConsentRecords, at(5) + LIFE);
    let records =
        store.purge_step(&here.tenant, DataClass::ConsentRecords, 2, &lapsed, at(9_999)).await.unwrap();
    assert_eq!(records, 2);
    assert_eq!(
        store.purge_step(&here.tenant, DataClass::ConsentRecords, 100, &lapsed, at(9_999)).await.unwrap(),
        3
    );

    let other = store.contacts(&elsewhere, &ContactQuery::first(100), &everything(at(10))).await.unwrap();
    assert_eq!(other.len(), 10, "another tenant's are as they were");
    assert!(other.iter().all(|c| c.conversations == 1));
    // A contact whose consent lapsed goes as well, although it was seen in time.
    let lapsed = everything(start() + LIFE);
    let due = store
        .purge_step(&elsewhere.tenant, DataClass::Contacts, 100, &lapsed, start() + LIFE + LIFE)
        .await
        .unwrap();
    assert_eq!(due, 1, "the one of the first second");
}

/// Rules are kept per tenant and class; the last one set stands.
pub async fn rules_are_the_tenants_own(store: &dyn Store) {
    let (a, b) = (scope("a", "x").tenant, scope("b", "x").tenant);
    let rule = |class, days: u64| RetentionRule::new(class, Duration::from_secs(days * 86_400)).unwrap();
    assert_eq!(store.rules(&a).await.unwrap(), []);
    store.set_rule(&a, &rule(DataClass::Messages, 30)).await.unwrap();
    store.set_rule(&a, &rule(DataClass::Messages, 60)).await.unwrap();
    store.set_rule(&a, &rule(DataClass::Contacts, 90)).await.unwrap();
    let mut rules = store.rules(&a).await.unwrap();
    rules.sort_by_key(RetentionRule::class);
    assert_eq!(rules, [rule(DataClass::Contacts, 90), rule(DataClass::Messages, 60)]);
    assert_eq!(store.rules(&b).await.unwrap(), []);
}

/// A fence is kept as long as somebody could write, and not for ever.
pub async fn fences_end(store: &dyn Store) {
    let here = scope("a", "x");
    let f = Fixture::new(store, &here);
    let (contact, _) = f.contact(1, start()).await;
    store.begin_contact_erasure(&here, contact.id, ErasureCause::Request, at(1_000)).await.unwrap();
    f.erase_everything_marked(10).await;
    assert_eq!(store.purge_fences(at(999)).await.unwrap(), 0);
    assert_eq!(store.purge_fences(at(1_000)).await.unwrap(), 1);
    let record = f.append(f.record(&[CONTACTS], start()), None).await;
    let proof = f.proof(&record, CONTACTS);
    assert!(store.open_contact(&proof, &f.new_contact(1, &proof, at(2))).await.is_ok());
}

/// The ids of messages that were taken out one by one go with the contact whose they were.
pub async fn what_was_erased_alone_goes_with_its_contact(store: &dyn Store) {
    let here = scope("a", "x");
    let f = Fixture::new(store, &here);
    let mut erasing = Vec::new();
    for n in 1..=2u8 {
        let (contact, proof) = f.contact(n, start()).await;
        let owner = f.by_contact(&contact, &proof);
        let said = f.say(&owner, &f.message(n, n, at(0))).await.unwrap();
        assert!(store.erase_message(&here, said.conversation, said.number).await.unwrap());
        let again = f.say(&owner, &f.message(n, n, at(1))).await.unwrap();
        assert_eq!(again.number, said.number, "it does not come back");
        let cause = ErasureCause::Withdrawal;
        erasing.extend(store.begin_contact_erasure(&here, contact.id, cause, at(9_999)).await.unwrap());
    }
    assert_eq!(store.erase_step(&erasing, 100).await.unwrap().done, 2);
    // The ids are nobody's any more.
    for n in 1..=2u8 {
        let (contact, proof) = f.contact(10 + n, start()).await;
        let said = f.say(&f.by_contact(&contact, &proof), &f.message(10 + n, n, at(2))).await.unwrap();
        assert_eq!(said.conversation, f.message(10 + n, n, at(2)).conversation);
    }
}

/// Erasures share a step: it is bounded over all of them, and says how many are over, whyever they are erased.
pub async fn erasures_share_a_step(store: &dyn Store) {
    for (tenant, cause) in
        [("a", ErasureCause::Request), ("b", ErasureCause::Retention), ("c", ErasureCause::Withdrawal)]
    {
        let here = scope(tenant, "x");
        let f = Fixture::new(store, &here);
        let mut erasing = Vec::new();
        for n in 1..=4u8 {
            let (contact, proof) = f.contact(n, start()).await;
            for m in 0..4u8 {
                f.say(&f.by_contact(&contact, &proof), &f.message(n, m, at(m.into()))).await.unwrap();
            }
            if n < 4 {
                let marked = store.begin_contact_erasure(&here, contact.id, cause, at(9_999)).await.unwrap();
                erasing.extend(marked);
            }
        }
        assert_eq!(erasing.len(), 3);
        // Each is four messages, a conversation and itself: six rows.
        let first = store.erase_step(&erasing, 8).await.unwrap();
        assert_eq!((first.done, first.removed), (1, Removed::new(1, 1, 6, 0)));
        let second = store.erase_step(&erasing[1..], 100).await.unwrap();
        assert_eq!((second.done, second.removed), (2, Removed::new(2, 2, 6, 0)));
        assert!(store.erasing(None, 10).await.unwrap().is_empty());
        assert_eq!(store.erase_step(&erasing, 100).await.unwrap().done, 3, "again");
        let other = ContactId::from_bytes([4; 16]);
        assert_eq!(
            f.conversation_count(Owner::Contact(other), at(9)).await,
            1,
            "who was not marked is there"
        );
        assert_eq!(f.counter(other, at(9)).await, Some(1));
    }
}
