//! Showings and refusals, counted where visitors see them, on both frameworks.
#![allow(clippy::unwrap_used, reason = "a test that meets something else has failed")]

use privet::consent::CountKind;
use privet::{Day, FakeClock, Privet, Scope, Storage, Timestamp};
use privet_tests::lab;
use privet_tests::server::Framework;
use privet_tests::site::Client;
use privet_web::testing::Asked;
use rstest::rstest;

async fn counted(privet: &Privet) -> Vec<(CountKind, u64)> {
    let (from, to) = (Day::from_number(0), Day::from_number(100_000));
    let counts = privet.consent_counts(&Scope::default(), from, to).await.unwrap();
    counts.iter().map(|c| (c.kind, c.count)).collect()
}

/// REC-03: a page with the banner, the fragment and the settings count once each while the visitor is asked; afterwards,
/// and for who is not asked, nothing does. Nothing of the visitor is in a count.
#[rstest]
#[tokio::test]
async fn rec_03_what_is_shown_is_counted_once_per_response(
    #[values(Framework::Axum, Framework::ActixWeb)] framework: Framework,
) {
    let clock = FakeClock::at(Timestamp::from_millis(1_800_000_000_000));
    let privet = lab::installation(Storage::in_memory().unwrap(), clock).await;
    let mut anna = Client::new(lab::on(framework, &privet));
    let get = |path: &str| Asked::new("GET", path).header("accept", "text/html");
    for path in ["/seen", "/privacy/consent", "/privacy/cookies", "/nowhere", "/privacy/privet.js"] {
        anna.ask(get(path)).await;
    }
    assert_eq!(counted(&privet).await, []);
    for path in ["/", "/privacy/banner", "/privacy"] {
        assert_eq!(anna.ask(get(path)).await.status, 200);
    }
    let shown = [(CountKind::BannerShown, 2), (CountKind::SettingsShown, 1)];
    assert_eq!(counted(&privet).await, shown);
    // An opt-out country: nobody is asked.
    assert_eq!(anna.ask(get("/").header(lab::US.0, lab::US.1)).await.status, 200);
    assert_eq!(counted(&privet).await, shown);
    let notice = anna.token().await;
    let refusal = Asked::new("POST", "/privacy/consent")
        .header("sec-fetch-site", "same-origin")
        .header("content-type", "application/x-www-form-urlencoded")
        .header("accept", "text/html")
        .body(format!("action=reject_all&notice={notice}"));
    assert_eq!(anna.ask(refusal).await.status, 303);
    for path in ["/", "/privacy/banner", "/privacy"] {
        anna.ask(get(path)).await;
    }
    let refused = [&shown[..], &[(CountKind::Refusal, 1)]].concat();
    assert_eq!(counted(&privet).await, refused);
}
