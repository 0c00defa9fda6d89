#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a panic is how a case fails")]

use super::fixture::{ANALYTICS, CONTACTS, Fixture, LIFE, at, digest, everything, scope, start};
use crate::consent::Act;
use crate::retention::DataClass;
use crate::store::{Attempted, Delivery, NewNotification, NewRecord, Notification, NotificationId, Store};

fn notify(n: u8, categories: u64) -> NewNotification {
    NewNotification {
        id: NotificationId::from_bytes([n; 16]),
        recipient: format!("r{n}"),
        categories,
        subject: digest(n),
    }
}

async fn withdraw(store: &dyn Store, f: Fixture<'_>, after: u64, notify: Vec<NewNotification>) {
    let (granted, _) = f.granted().await;
    let mut withdrawal = f.record(&[CONTACTS], at(after));
    withdrawal.act = Act::Withdrawal;
    let new = NewRecord::new(withdrawal, Some(granted.id)).notifying(notify);
    store.append_record(&new, CONTACTS, at(9_000)).await.unwrap();
}

/// Rule 17: notifications come with a record that takes something away that concerns their recipient, once.
pub async fn notifications_come_with_what_is_taken_away(store: &dyn Store) {
    let here = scope("t", "s");
    let f = Fixture::new(store, &here);
    let all = async || store.notifications(&here.tenant, None, 9).await.unwrap();
    let (granted, _) = f.granted().await;
    let concerned = || vec![notify(1, ANALYTICS.bit()), notify(2, CONTACTS.bit()), notify(3, u64::MAX)];
    // A grant tells nobody, and neither does what changes nothing.
    let again =
        NewRecord::new(f.record(&[CONTACTS, ANALYTICS], at(1)), Some(granted.id)).notifying(concerned());
    store.append_record(&again, CONTACTS, at(9_000)).await.unwrap();
    assert_eq!(all().await, []);
    let mut withdrawal = f.record(&[CONTACTS], at(2));
    withdrawal.act = Act::Withdrawal;
    let new = NewRecord::new(withdrawal, Some(again.record.id)).notifying(concerned());
    store.append_record(&new, CONTACTS, at(9_000)).await.unwrap();
    // The same record again is no record.
    store.append_record(&new, CONTACTS, at(9_000)).await.unwrap();
    let told = all().await;
    let seen: Vec<_> =
        told.iter().map(|n| (n.recipient.as_str(), n.categories, n.act, n.at, n.attempts)).collect();
    let analytics = ANALYTICS.bit();
    assert_eq!(
        seen,
        [("r3", analytics, Act::Withdrawal, at(2), 0), ("r1", analytics, Act::Withdrawal, at(2), 0)]
    );
    assert!(told.iter().all(|n| n.scope == here && n.delivery == Delivery::Waiting { due: at(2) }));
    assert_eq!(told[1].subject, digest(1));
    assert_eq!(store.notifications(&scope("u", "s").tenant, None, 9).await.unwrap(), []);
    let after = store.notifications(&here.tenant, Some((told[0].at, told[0].id)), 9).await.unwrap();
    assert_eq!(after, told[1..], "page by page");
    // A line's first record takes nothing away.
    let first = NewRecord::new(f.record(&[], at(3)), None).notifying(vec![notify(4, u64::MAX)]);
    store.append_record(&first, CONTACTS, at(9_000)).await.unwrap();
    assert_eq!(all().await.len(), 2);
    // A withdrawal after the grant has lapsed is told like any other.
    let (granted, _) = f.granted().await;
    let mut late = f.record(&[], granted.until);
    late.act = Act::Refusal;
    let new = NewRecord::new(late, Some(granted.id)).notifying(vec![notify(5, CONTACTS.bit())]);
    store.append_record(&new, CONTACTS, granted.until + LIFE).await.unwrap();
    assert_eq!(all().await[0].recipient, "r5");
}

/// Rule 17: one sender at a time, another one when the first does not come back, and what is settled stays so.
pub async fn notifications_are_sent_by_one_at_a_time(store: &dyn Store) {
    let here = scope("t", "s");
    let f = Fixture::new(store, &here);
    withdraw(store, f, 2, vec![notify(1, u64::MAX), notify(2, u64::MAX)]).await;
    assert_eq!(store.claim_notifications(at(1), at(50), 9).await.unwrap(), [], "not due");
    let one = store.claim_notifications(at(10), at(50), 1).await.unwrap();
    let other = store.claim_notifications(at(10), at(50), 9).await.unwrap();
    assert_eq!((one.len(), other.len()), (1, 1));
    assert_ne!(one[0].id, other[0].id);
    assert_eq!(store.claim_notifications(at(49), at(90), 9).await.unwrap(), []);
    assert!(store.settle_notification(&other[0], &Attempted::Delivered, at(11)).await.unwrap());
    // The first one did not come back: somebody else takes over, and what the first says later does not count.
    let again = store.claim_notifications(at(50), at(90), 9).await.unwrap();
    assert_eq!(again.iter().map(|n| n.id).collect::<Vec<_>>(), [one[0].id]);
    let later = Attempted::Again { due: at(100), problem: "answered 500".to_owned() };
    assert!(store.settle_notification(&again[0], &later, at(51)).await.unwrap());
    assert!(!store.settle_notification(&one[0], &Attempted::Delivered, at(52)).await.unwrap());
    assert_eq!(store.claim_notifications(at(99), at(200), 9).await.unwrap(), []);
    let third = store.claim_notifications(at(100), at(200), 9).await.unwrap();
    assert_eq!((third[0].attempts, third[0].problem.as_deref()), (1, Some("answered 500")));
    let given_up = Attempted::GivenUp { problem: "answered 410".to_owned() };
    assert!(store.settle_notification(&third[0], &given_up, at(101)).await.unwrap());
    assert_eq!(store.claim_notifications(at(9_000), at(9_999), 9).await.unwrap(), []);
    let state = |n: &Notification| (n.attempts, n.delivery.clone(), n.problem.clone());
    let all = store.notifications(&here.tenant, None, 9).await.unwrap();
    let find = |id| state(all.iter().find(|n| n.id == id).unwrap());
    assert_eq!(find(other[0].id), (1, Delivery::Delivered { at: at(11) }, None));
    assert_eq!(find(one[0].id), (2, Delivery::GivenUp { at: at(101) }, Some("answered 410".to_owned())));
}

/// Rule 17: what is due the longest goes first, whichever tenant's it is: nobody waits behind another one's backlog.
pub async fn notifications_are_sent_in_turn(store: &dyn Store) {
    let (busy, quiet) = (scope("a", "s"), scope("z", "s"));
    withdraw(store, Fixture::new(store, &busy), 3, (1..9).map(|n| notify(n, u64::MAX)).collect()).await;
    withdraw(store, Fixture::new(store, &quiet), 2, vec![notify(11, u64::MAX)]).await;
    withdraw(store, Fixture::new(store, &quiet), 4, vec![notify(12, u64::MAX)]).await;
    let first = store.claim_notifications(at(10), at(50), 2).await.unwrap();
    let tenants: Vec<_> = first.iter().map(|n| n.scope.tenant.as_str()).collect();
    assert_eq!(tenants, ["z", "a"]);
    // One that failed is due later than what has not been tried.
    let later = Attempted::Again { due: at(9), problem: "answered 500".to_owned() };
    assert!(store.settle_notification(&first[0], &later, at(8)).await.unwrap());
    let rest = store.claim_notifications(at(10), at(50), 9).await.unwrap();
    let ids: Vec<_> = rest.iter().map(|n| n.id.as_bytes()[0]).collect();
    assert_eq!(ids.len(), 9);
    assert_eq!(ids[7..], [12, 11]);
}

/// Rule 8: what is settled ends in time, what waits does not.
pub async fn notifications_end_when_they_are_settled(store: &dyn Store) {
    let (here, there) = (scope("t", "s"), scope("u", "s"));
    for (scope, from) in [(&here, 1), (&there, 11)] {
        let new = (from..from + 4).map(|n| notify(n, u64::MAX)).collect();
        withdraw(store, Fixture::new(store, scope), 2, new).await;
    }
    for claimed in store.claim_notifications(at(3), at(50), 99).await.unwrap() {
        let n = claimed.id.as_bytes()[0];
        if n % 10 < 4 {
            let outcome = if n % 2 == 0 {
                Attempted::Delivered
            } else {
                Attempted::GivenUp { problem: "answered 410".to_owned() }
            };
            assert!(store.settle_notification(&claimed, &outcome, at(u64::from(n))).await.unwrap());
        }
    }
    let horizon = everything(start()).with(DataClass::Notifications, at(3));
    let purge = async |max| {
        store.purge_step(&here.tenant, DataClass::Notifications, max, &horizon, at(0)).await.unwrap()
    };
    assert_eq!((purge(1).await, purge(9).await, purge(9).await), (1, 1, 0));
    let left = async |tenant| store.notifications(tenant, None, 9).await.unwrap().len();
    assert_eq!((left(&here.tenant).await, left(&there.tenant).await), (2, 4));
    assert!(store.tenants().await.unwrap().contains(&here.tenant));
}
