//! Versions of the statement and what they mean to visitors who decided before, on both frameworks.
#![allow(clippy::unwrap_used, reason = "a test that meets something else has failed")]

use std::time::Duration;

use privet::{Catalogue, FakeClock, Privet, Scope, Storage, Timestamp};
use privet_tests::lab;
use privet_tests::log::Log;
use privet_tests::server::{Framework, folder};
use privet_tests::site::Client;
use privet_web::testing::{Answered, Asked};
use rstest::rstest;

/// The first one, 2027-01-15.
const START: Timestamp = Timestamp::from_millis(1_800_000_000_000);

/// The laboratory without exceptions from consent, which could not be shared with anybody.
fn earlier() -> String {
    let (excepted, asked) =
        ("unless_objected = \"analytics\", exceptions = [\"uk-statistics\"]", "consent = \"analytics\"");
    assert!(lab::CATALOGUE.contains(excepted));
    lab::CATALOGUE.replace(excepted, asked)
}

/// The same with a recipient more, something that is kept longer, and a typo less.
fn later() -> String {
    [
        ("id = \"counter\"\n", "id = \"counter\"\n    recipients = [\"exchange\"]\n"),
        ("duration = \"30 days\"", "duration = \"60 days\""),
        ("en = \"Shows advertising.\"", "en = \"Shows advertisements.\""),
    ]
    .iter()
    .fold(earlier(), |toml, (from, to)| {
        assert!(toml.contains(from), "{from}");
        toml.replacen(from, to, 1)
    })
}

async fn built(toml: &str, storage: &Storage, clock: &FakeClock) -> Privet {
    let builder = Privet::builder(Catalogue::from_toml(toml).unwrap());
    builder.storage(storage.clone()).clock(clock.clone()).build().await.unwrap()
}

fn get(path: &str) -> Asked {
    Asked::new("GET", path).header("accept", "text/html")
}

fn header<'a>(answer: &'a Answered, name: &str) -> Option<&'a str> {
    answer.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
}

fn text(answer: &Answered) -> String {
    String::from_utf8(answer.body.to_vec()).unwrap()
}

async fn decide(visitor: &mut Client, action: &str) {
    let notice = visitor.token().await;
    let answer = Asked::new("POST", "/privacy/consent")
        .header("sec-fetch-site", "same-origin")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(format!("action={action}&notice={notice}"));
    assert_eq!(visitor.ask(answer).await.status, 303);
}

/// STM-05: the statement says which version it is and since when, and leads to all of them with their differences, in the
/// language of the page, before any choice, without cookies, and the same for everybody.
#[rstest]
#[tokio::test]
async fn stm_05_every_version_can_be_read(
    #[values(Framework::Axum, Framework::ActixWeb)] framework: Framework,
) {
    let (storage, clock) = (Storage::in_memory().unwrap(), FakeClock::at(START));
    built(&earlier(), &storage, &clock).await;
    clock.advance(Duration::from_secs(3 * 86_400));
    let mut anna = Client::new(lab::on(framework, &built(&later(), &storage, &clock).await));

    let statement = text(&anna.ask(get("/privacy/cookies")).await);
    let link = "<a href=\"/privacy/cookies/versions\">Version 2, <time datetime=\"2027-01-18\">2027-01-18</time></a>";
    assert!(statement.contains(link), "{statement}");
    let markdown = text(&anna.ask(Asked::new("GET", "/privacy/cookies.md")).await);
    assert!(markdown.contains("[Version 2, 2027-01-18](/privacy/cookies/versions)"), "{markdown}");

    let page = anna.ask(get("/privacy/cookies/versions")).await;
    assert_eq!((page.status, header(&page, "cache-control")), (200, Some("public, max-age=300")));
    assert_eq!((header(&page, "set-cookie"), header(&page, "vary")), (None, Some("Accept, Accept-Language")));
    let english = text(&page);
    for told in [
        "Visitors are asked again about: Statistics.",
        "<li>Statistics: new recipient: Exchange Inc (US)</li>",
        "<li>Statistics: kept longer: visits (cookie) (30 days → 60 days)</li>",
        "Changed: visits (Duration), Advertising (Purpose).",
        "<time datetime=\"2027-01-15\">",
        "The first version.",
    ] {
        assert!(english.contains(told), "{told}: {english}");
    }
    assert!(english.find("2027-01-18") < english.find("2027-01-15"), "the latest first");
    let german = text(&anna.ask(get("/privacy/cookies/versions").header("accept-language", "de")).await);
    assert!(german.contains("<li>Statistik: neuer Empfänger: Exchange Inc (US)</li>"), "{german}");
    assert!(german.contains("Geändert: visits (Dauer)."), "the typo was an English one: {german}");

    let json = anna.ask(Asked::new("GET", "/privacy/cookies/versions.json")).await;
    let by_accept =
        anna.ask(Asked::new("GET", "/privacy/cookies/versions").header("accept", "application/json")).await;
    assert_eq!(json.body, by_accept.body);
    let versions: serde_json::Value = serde_json::from_slice(&json.body).unwrap();
    assert_eq!(
        versions,
        serde_json::json!([
            {
                "version": 2, "date": "2027-01-18", "material": true,
                "changes": {
                    "added": [], "removed": [],
                    "changed": [{ "name": "visits", "fields": ["duration", "seconds"] }],
                    "recipients_added": [], "recipients_removed": [], "recipients_changed": [],
                    "groups_changed": [{ "name": "Advertising", "fields": ["purpose"] }],
                    "controller": [],
                    "material": [
                        { "category": "analytics", "kind": "new-recipient", "recipient": "exchange", "country": "US" },
                        {
                            "category": "analytics", "kind": "longer-duration", "entry": "visits (cookie)",
                            "from": 2_592_000, "to": 5_184_000
                        },
                    ],
                },
            },
            { "version": 1, "date": "2027-01-15", "material": false, "changes": null },
        ])
    );
}

/// CON-07, WP260 para 29: who decided before is told in the banner and in the settings what is new of the categories that
/// are asked again, and of no other; who never decided is told of nothing that is new.
#[rstest]
#[tokio::test]
async fn con_07_visitors_are_told_why_they_are_asked_again(
    #[values(Framework::Axum, Framework::ActixWeb)] framework: Framework,
    #[values("accept_all", "reject_all")] action: &str,
) {
    let (storage, clock) = (Storage::in_memory().unwrap(), FakeClock::at(START));
    let mut anna = Client::new(lab::on(framework, &built(&earlier(), &storage, &clock).await));
    decide(&mut anna, action).await;
    assert!(!text(&anna.ask(get("/")).await).contains("privet-notice"), "decided");

    let after = built(&later(), &storage, &clock).await;
    anna.site = lab::on(framework, &after);
    let why = "New since your decision, which is why we ask again:";
    let news = ["new recipient: Exchange Inc (US)", "kept longer: visits (cookie) (30 days → 60 days)"];
    for path in ["/", "/privacy/banner", "/privacy"] {
        let page = text(&anna.ask(get(path)).await);
        assert_eq!(page.matches(why).count(), 1, "{path}: {page}");
        for told in news {
            assert_eq!(page.matches(told).count(), 1, "{path} {told}: {page}");
        }
        let of_statistics =
            page.find("<strong>Statistics</strong>").or_else(|| page.find("<legend>Statistics"));
        let of_advertising =
            page.find("<strong>Advertising</strong>").or_else(|| page.find("<legend>Advertising"));
        assert!(of_statistics < page.find(why) && page.find(why) < of_advertising, "{path}: {page}");
    }
    let mut new = Client::new(lab::on(framework, &after));
    for path in ["/", "/privacy/banner", "/privacy"] {
        assert!(!text(&new.ask(get(path)).await).contains(why), "{path}");
    }
    decide(&mut anna, action).await;
    for path in ["/", "/privacy/banner", "/privacy"] {
        assert!(!text(&anna.ask(get(path)).await).contains(why), "{path}");
    }
}

/// CON-07: a start that publishes another version says whom it asks anew and why, once; what only a person can judge, it
/// asks.
#[tokio::test]
async fn con_07_the_log_says_who_is_asked_anew() {
    let (storage, clock) = (Storage::in_memory().unwrap(), FakeClock::at(START));
    let said = async |toml: &str| {
        let log = Log::default();
        let guard = log.listen(tracing::Level::INFO);
        built(toml, &storage, &clock).await;
        drop(guard);
        log.said()
    };
    let first = said(&earlier()).await;
    assert!(!first.contains("version"), "{first}");
    let second = said(&later()).await;
    for told in ["has a new recipient: exchange (US)", "keeps something longer: visits (cookie)", "version=2"]
    {
        assert!(second.contains(told), "{told}: {second}");
    }
    assert!(second.contains("the purpose of Advertising is told in other words"), "{second}");
    assert!(!said(&later()).await.contains("version"), "once");
    let renamed = later().replacen("name = \"Laboratory\"", "name = \"Laboratory Ltd\"", 1);
    let third = said(&renamed.replacen("name = \"Exchange Inc\"", "name = \"Exchange Corp\"", 1)).await;
    for told in [
        "asks nobody anew",
        "the controller has another name",
        "recipient Exchange Corp (US) has another name",
    ] {
        assert!(third.contains(told), "{told}: {third}");
    }
}

/// STM-05: two instances that start together on one file with a new catalogue publish one version of it.
#[tokio::test(flavor = "multi_thread")]
async fn stm_05_instances_that_start_together_publish_one_version() {
    let folder = folder();
    let clock = FakeClock::at(START);
    let first = privet_sqlite::open(folder.path()).await.unwrap();
    built(&earlier(), &first, &clock).await;
    clock.advance(Duration::from_secs(86_400));
    let second = privet_sqlite::open(folder.path()).await.unwrap();
    let toml = later();
    let (one, two) = tokio::join!(built(&toml, &first, &clock), built(&toml, &second, &clock));
    for privet in [one, two] {
        let versions = privet.statement_versions(&Scope::default()).unwrap();
        assert_eq!(versions.iter().map(|v| v.number).collect::<Vec<_>>(), [1, 2]);
    }
}
