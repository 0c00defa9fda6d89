#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a panic is how a case fails")]

use super::fixture::{at, everything, scope, start};
use crate::clock::Day;
use crate::consent::{ConsentCount, CountKind, NoticeId};
use crate::retention::DataClass;
use crate::scope::Scope;
use crate::store::{CountBatch, Store};

fn count(scope: &Scope, day: i64, kind: CountKind, notice: u8, count: u64) -> ConsentCount {
    let day = Day::from_number(start().day().number() + day);
    ConsentCount::new(scope.clone(), day, kind, NoticeId::from_bytes([notice; 32]), count)
}

/// The same as a batch of a writer, with this number.
fn batch(writer: u8, number: u32, counts: &[ConsentCount]) -> CountBatch {
    let tenant = counts[0].scope.tenant.clone();
    let mut batch = CountBatch::new(tenant, [writer; 16], number, at(5_000));
    for c in counts {
        batch.add(c.scope.site.clone(), c.day, c.kind, c.notice, c.count);
    }
    batch
}

fn days(from: i64, to: i64) -> (Day, Day) {
    let day = |n| Day::from_number(start().day().number() + n);
    (day(from), day(to))
}

/// Rule 1 and 14: counts add up, per site, day, kind and notice.
pub async fn counts_add_up(store: &dyn Store) {
    let scopes = [scope("a", "x"), scope("a", "y"), scope("b", "x")];
    let here = &scopes[0];
    for (writer, s) in (1..).zip(&scopes) {
        let first = [
            count(s, 0, CountKind::Refusal, 1, 1),
            count(s, 0, CountKind::BannerShown, 2, 5),
            count(s, 0, CountKind::BannerShown, 1, 7),
            count(s, 2, CountKind::BannerShown, 1, 1),
            // The same twice in one batch.
            count(s, 0, CountKind::Refusal, 1, 2),
        ];
        store.add_consent_counts(&batch(writer, 1, &first)).await.unwrap();
    }
    let nothing = CountBatch::new(here.tenant.clone(), [1; 16], 2, at(5_000));
    store.add_consent_counts(&nothing).await.unwrap();
    let many: Vec<_> = (0..2_500).map(|_| count(here, 1, CountKind::SettingsShown, 1, 1)).collect();
    store.add_consent_counts(&batch(1, 3, &many)).await.unwrap();
    store.add_consent_counts(&batch(1, 4, &[count(here, 0, CountKind::BannerShown, 1, 10)])).await.unwrap();

    let (from, to) = days(0, 1);
    let expected = [
        count(here, 0, CountKind::BannerShown, 1, 17),
        count(here, 0, CountKind::BannerShown, 2, 5),
        count(here, 0, CountKind::Refusal, 1, 3),
        count(here, 1, CountKind::SettingsShown, 1, 2_500),
    ];
    assert_eq!(store.consent_counts(here, from, to).await.unwrap(), expected);
    let (from, to) = days(2, 400);
    let later = store.consent_counts(&scopes[2], from, to).await.unwrap();
    assert_eq!(later, [count(&scopes[2], 2, CountKind::BannerShown, 1, 1)]);
    assert_eq!(store.consent_counts(&scope("c", "x"), from, to).await.unwrap(), []);
    let mut tenants = store.tenants().await.unwrap();
    tenants.sort();
    assert_eq!(tenants.iter().map(ToString::to_string).collect::<Vec<_>>(), ["a", "b"]);
}

/// Rule 14: what a writer brings again, since it did not hear what became of it, is counted once; a writer is one of a tenant's.
pub async fn counts_are_added_once(store: &dyn Store) {
    let (here, there) = (scope("a", "x"), scope("b", "x"));
    let one = |scope: &Scope, writer, number| {
        batch(
            writer,
            number,
            &[count(scope, 0, CountKind::Refusal, 1, 1), count(scope, 0, CountKind::BannerShown, 1, 2)],
        )
    };
    let counted = async |scope: &Scope| {
        let (from, to) = days(0, 0);
        let counts = store.consent_counts(scope, from, to).await.unwrap();
        counts.iter().map(|c| c.count).collect::<Vec<_>>()
    };
    for _ in 0..3 {
        store.add_consent_counts(&one(&here, 1, 1)).await.unwrap();
    }
    assert_eq!(counted(&here).await, [2, 1]);
    store.add_consent_counts(&one(&here, 1, 3)).await.unwrap();
    for late in 1..=3 {
        store.add_consent_counts(&one(&here, 1, late)).await.unwrap();
    }
    assert_eq!(counted(&here).await, [4, 2]);
    store.add_consent_counts(&one(&here, 2, 1)).await.unwrap();
    store.add_consent_counts(&one(&there, 1, 1)).await.unwrap();
    assert_eq!((counted(&here).await, counted(&there).await), (vec![6, 3], vec![2, 1]));
    // Remembered for as long as was said, and not for ever.
    assert_eq!(store.purge_fences(at(4_999)).await.unwrap(), 0);
    store.add_consent_counts(&one(&here, 1, 3)).await.unwrap();
    assert_eq!(counted(&here).await, [6, 3]);
    assert_eq!(store.purge_fences(at(5_000)).await.unwrap(), 3);
}

/// Rule 8 and 14: counts end by whole days, in bounded steps, of one tenant.
pub async fn counts_end(store: &dyn Store) {
    let (here, there) = (scope("a", "x"), scope("b", "x"));
    for s in [&here, &there] {
        let counts: Vec<_> = (0..5).map(|day| count(s, day, CountKind::Refusal, 1, 1)).collect();
        store.add_consent_counts(&batch(1, 1, &counts)).await.unwrap();
    }
    // In the middle of the third day: that one and what follows stay.
    let boundary = days(2, 2).0.start() + std::time::Duration::from_secs(40_000);
    let horizon = everything(at(0)).with(DataClass::ConsentCounts, boundary);
    let purge = async |max| {
        store.purge_step(&here.tenant, DataClass::ConsentCounts, max, &horizon, at(0)).await.unwrap()
    };
    assert_eq!(purge(1).await, 1);
    assert_eq!(purge(10).await, 1);
    assert_eq!(purge(10).await, 0);
    let (from, to) = days(0, 4);
    let left = |counts: Vec<ConsentCount>| counts.iter().map(|c| c.day).collect::<Vec<_>>();
    assert_eq!(left(store.consent_counts(&here, from, to).await.unwrap())[0], days(2, 2).0);
    assert_eq!(store.consent_counts(&here, from, to).await.unwrap().len(), 3);
    assert_eq!(store.consent_counts(&there, from, to).await.unwrap().len(), 5);
}
