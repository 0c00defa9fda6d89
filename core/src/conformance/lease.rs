#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a panic is how a case fails")]

use futures_util::future::join_all;

use super::fixture::{Fixture, at, digest, everything, scope, start};
use crate::contact::Owner;
use crate::retention::DataClass;
use crate::store::{Lease, LeaseToken, Store};

const NAME: &str = "work";

/// Rule 18: one at a time has a lease, also when all ask at once; its owner has it longer under the same token.
pub async fn a_lease_has_one_holder(store: &dyn Store) {
    let owners: Vec<_> = (1..=8_u8).map(|n| [n; 16]).collect();
    let asking = owners.iter().map(|owner| store.acquire_lease(NAME, owner, start(), at(60)));
    let got: Vec<_> = join_all(asking).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(got.iter().flatten().count(), 1, "{got:?}");
    let holder = got.iter().position(Option::is_some).unwrap();
    let again = store.acquire_lease(NAME, &owners[holder], at(30), at(90)).await.unwrap();
    assert_eq!(again, got[holder], "it is the same lease");
    let other = owners[(holder + 1) % owners.len()];
    assert_eq!(store.acquire_lease(NAME, &other, at(60), at(120)).await.unwrap(), None, "it was renewed");
    let elsewhere = store.acquire_lease("other work", &other, at(60), at(120)).await.unwrap();
    assert!(elsewhere.is_some(), "one lease says nothing about another");
}

/// Rule 18: a lease that lapsed, or was given back, is somebody else's under a higher token, and its former holder cannot
/// give it away.
pub async fn a_lease_is_taken_over_when_it_lapses(store: &dyn Store) {
    let (a, b, c) = ([1; 16], [2; 16], [3; 16]);
    let first = store.acquire_lease(NAME, &a, start(), at(60)).await.unwrap().unwrap();
    assert_eq!(store.acquire_lease(NAME, &b, at(59), at(120)).await.unwrap(), None);
    let second = store.acquire_lease(NAME, &b, at(60), at(120)).await.unwrap().unwrap();
    assert!(second > first);
    assert_eq!(store.acquire_lease(NAME, &a, at(61), at(130)).await.unwrap(), None);
    assert!(!store.release_lease(NAME, first).await.unwrap(), "it is not the former holder's to give");
    assert!(!store.release_lease("other work", second).await.unwrap());
    assert!(store.release_lease(NAME, second).await.unwrap());
    assert!(!store.release_lease(NAME, second).await.unwrap(), "it is free already");
    let third = store.acquire_lease(NAME, &c, at(62), at(130)).await.unwrap().unwrap();
    assert!(third > second);
    let own = store.acquire_lease(NAME, &c, at(131), at(200)).await.unwrap().unwrap();
    assert!(own > third, "its own that lapsed is a new one: somebody may have had it in between");
}

/// Rule 18: whoever was stopped for a while, and goes on with what it knew before, purges nothing when the lease is another's,
/// or nobody's, by then.
pub async fn what_is_done_under_a_lease_is_done_while_it_is_held(store: &dyn Store) {
    let here = scope("a", "x");
    let f = Fixture::new(store, &here);
    f.say(&f.by_session(1, 2), &f.message(2, 50, at(1))).await.unwrap();
    let past = everything(at(100)).with(DataClass::SessionConversations, at(50));
    let purge = async |token: LeaseToken| {
        let horizon = past.under(Some(Lease { name: NAME, token }));
        store.purge_step(&here.tenant, DataClass::SessionConversations, 10, &horizon, at(9_999)).await
    };
    let is_there = async || {
        let found = store.conversations(&here, Owner::Session(digest(1)), 10, &everything(at(100))).await;
        found.unwrap().len() == 1
    };
    let (a, b) = ([1; 16], [2; 16]);
    let first = store.acquire_lease(NAME, &a, start(), at(60)).await.unwrap().unwrap();
    let second = store.acquire_lease(NAME, &b, at(60), at(120)).await.unwrap().unwrap();
    let refused = purge(first).await;
    assert!(refused.as_ref().is_err_and(Lease::is_lost), "{refused:?}");
    store.release_lease(NAME, second).await.unwrap();
    let refused = purge(second).await;
    assert!(refused.as_ref().is_err_and(Lease::is_lost), "{refused:?}");
    assert!(is_there().await);
    let third = store.acquire_lease(NAME, &a, at(121), at(180)).await.unwrap().unwrap();
    assert_eq!(purge(third).await.unwrap(), 1);
    assert!(!is_there().await);
}
