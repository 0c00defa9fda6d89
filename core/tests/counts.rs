//! Daily counts: what was shown, and plainly refused, without anybody's name.
#![allow(clippy::unwrap_used, reason = "a test that meets something else has failed")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{Answered, Browser, installation, installation_on, save, start};
use futures_executor::block_on;
use privet::conformance::FaultyStore;
use privet::consent::{Answer, CountKind};
use privet::retention::{DataClass, RetentionRule};
use privet::store::MemoryStore;
use privet::{Day, Privet, Scope, Storage, Tenant};

fn counted(privet: &Privet) -> Vec<(i64, CountKind, u64)> {
    let (from, to) = (Day::from_number(0), Day::from_number(100_000));
    let counts = block_on(privet.consent_counts(&Scope::default(), from, to)).unwrap();
    let day = |day: Day| day.number() - start().day().number();
    counts.iter().map(|c| (day(c.day), c.kind, c.count)).collect()
}

fn show(privet: &Privet, browser: &mut Browser, kind: CountKind) {
    let (visit, _) = browser.open(privet);
    let notice = visit.notice(&visit.catalogue().languages()[0]).unwrap().clone();
    visit.notice_shown(&notice, kind);
    // A page may render the banner twice: it is one showing.
    visit.notice_shown(&notice, kind);
    browser.close(&visit, Answered::new(200));
}

/// REC-03: showings and plain refusals are counted without anybody's name, and whatever leaves a record is not.
#[test]
fn rec_03_showings_and_plain_refusals_are_counted() {
    let (privet, clock) = installation(|b| b);
    let mut anna = Browser::default();
    show(&privet, &mut anna, CountKind::BannerShown);
    show(&privet, &mut anna, CountKind::SettingsShown);
    anna.answer(&privet, &Answer::RejectAll).0.unwrap();
    show(&privet, &mut anna, CountKind::BannerShown);
    let mut ben = Browser::default();
    show(&privet, &mut ben, CountKind::BannerShown);
    ben.answer(&privet, &save(&["analytics"])).0.unwrap();
    ben.withdraw(&privet, &[]).0.unwrap();
    let first =
        [(0, CountKind::BannerShown, 2), (0, CountKind::SettingsShown, 1), (0, CountKind::Refusal, 1)];
    assert_eq!(counted(&privet), first);
    // The next day: a withdrawal of what was never asked is a refusal too, and so is an empty save.
    clock.advance(Duration::from_secs(86_400));
    Browser::default().withdraw(&privet, &[]).0.unwrap();
    Browser::default().answer(&privet, &save(&[])).0.unwrap();
    assert_eq!(counted(&privet), [&first[..], &[(1, CountKind::Refusal, 2)]].concat());
}

/// A count is of a notice: each language is one.
#[test]
fn counts_tell_the_notice() {
    let (privet, _) = installation(|b| b);
    for language in 0..2 {
        let (visit, _) = Browser::default().open(&privet);
        let notice = visit.notice(&visit.catalogue().languages()[language]).unwrap().clone();
        visit.notice_shown(&notice, CountKind::BannerShown);
    }
    let (from, to) = (start().day(), start().day());
    let counts = block_on(privet.consent_counts(&Scope::default(), from, to)).unwrap();
    assert_eq!(counts.len(), 2);
    assert_ne!(counts[0].notice, counts[1].notice);
    for count in counts {
        assert!(block_on(privet.notice(&count.scope, count.notice)).unwrap().is_some(), "it can be read");
    }
}

/// What the store does not take is kept, and written once.
#[test]
fn counts_wait_for_the_store() {
    let store = Arc::new(FaultyStore::new(MemoryStore::new()));
    let mut storage = Storage::in_memory().unwrap();
    storage.store = store.clone();
    let (privet, _) = installation_on(storage, |b| b);
    store.fail(true);
    let mut anna = Browser::default();
    show(&privet, &mut anna, CountKind::BannerShown);
    assert!(block_on(privet.flush_counts()).is_err());
    anna.answer(&privet, &Answer::RejectAll).0.unwrap();
    assert!(block_on(privet.flush_counts()).is_err());
    store.fail(false);
    // The end of the housekeeping writes them.
    block_on(privet.clone().run(std::future::ready(())));
    let expected = [(0, CountKind::BannerShown, 1), (0, CountKind::Refusal, 1)];
    let of_store = block_on(async {
        use privet::store::ConsentStore as _;
        store.consent_counts(&Scope::default(), start().day(), start().day()).await.unwrap()
    });
    assert_eq!(of_store.len(), 2);
    assert_eq!(counted(&privet), expected);
    block_on(privet.flush_counts()).unwrap();
    assert_eq!(counted(&privet), expected);
}

/// RET-01: counts have a period of their own, and are hidden before they are swept.
#[test]
fn ret_01_counts_end() {
    let (privet, clock) = installation(|b| b);
    Browser::default().answer(&privet, &Answer::RejectAll).0.unwrap();
    assert_eq!(counted(&privet).len(), 1);
    let short = RetentionRule::new(DataClass::ConsentCounts, Duration::from_secs(30 * 86_400)).unwrap();
    block_on(privet.set_retention(&Tenant::default(), short)).unwrap();
    clock.advance(Duration::from_secs(30 * 86_400));
    assert_eq!(counted(&privet).len(), 1, "in time");
    clock.advance(Duration::from_secs(86_400));
    assert_eq!(counted(&privet), []);
    let swept = block_on(privet.sweep(privet.now())).unwrap();
    assert_eq!(swept.expired[&DataClass::ConsentCounts], 1);
    assert!(swept.removed.is_nothing(), "nobody was erased");
    assert!(block_on(privet.sweep(privet.now())).unwrap().is_nothing());
}
