//! A flood of grants, as visitors of both frameworks meet it.
#![allow(clippy::unwrap_used, reason = "a test that meets something else has failed")]

use privet::{Catalogue, FakeClock, Privet, Timestamp};
use privet_tests::lab;
use privet_tests::server::Framework;
use privet_tests::site::Client;
use privet_web::testing::{Answered, Asked};

const PEOPLE: &str = "text/html,*/*;q=0.8";

fn form(body: String, language: &str) -> Asked {
    Asked::new("POST", "/privacy/consent")
        .header("sec-fetch-site", "same-origin")
        .header("content-type", "application/x-www-form-urlencoded")
        .header("accept-language", language)
        .body(body)
}

/// What each framework answers to grants beyond the bound: for people in six languages, for programs, and what stands.
async fn answers(framework: Framework) -> Vec<Answered> {
    let text = lab::CATALOGUE.replace(
        "languages = [\"en\", \"de\"]",
        "languages = [\"en\", \"de\", \"fr\", \"nl\", \"es\", \"it\"]",
    );
    let privet = Privet::builder(Catalogue::from_toml(&text).unwrap())
        .clock(FakeClock::at(Timestamp::from_millis(1_800_000_000_000)))
        .grants_per_address(1, 1)
        .build()
        .await
        .unwrap();
    let mut first = Client::new(lab::on(framework, &privet));
    let notice = first.token().await;
    let grant = format!("action=accept_all&notice={notice}");
    assert_eq!(first.ask(form(grant.clone(), "en").header("accept", PEOPLE)).await.status, 303);

    let mut second = Client::new(lab::on(framework, &privet));
    let mut answers = Vec::new();
    for language in ["en", "de", "fr", "nl", "es", "it"] {
        answers.push(second.ask(form(grant.clone(), language).header("accept", PEOPLE)).await);
    }
    answers.push(second.ask(form(grant.clone(), "en").header("accept", "application/json")).await);
    for answer in &answers {
        assert_eq!((answer.status, answer.all("retry-after").next()), (429, Some("1")));
        assert!(answer.all("set-cookie").next().is_none(), "nothing is acknowledged");
        assert_eq!(answer.all("cache-control").next(), Some("private, no-store"));
    }
    let report = privet.verify_consent(&privet::Tenant::default()).await.unwrap();
    assert_eq!((report.records, report.damage), (1, None));
    // The same visitor may refuse, and the first one withdraw.
    let refusal = form(format!("action=reject_all&notice={notice}"), "en").header("accept", PEOPLE);
    assert_eq!(second.ask(refusal.clone()).await.status, 303);
    assert_eq!(first.ask(refusal).await.status, 303);
    let report = privet.verify_consent(&privet::Tenant::default()).await.unwrap();
    assert_eq!((report.records, report.damage), (2, None));
    answers
}

#[tokio::test]
async fn a_grant_of_too_many_is_told_alike_in_every_language() {
    let axum = answers(Framework::Axum).await;
    let actix = answers(Framework::ActixWeb).await;
    let bodies = |all: &[Answered]| -> Vec<String> {
        all.iter().map(|a| String::from_utf8_lossy(&a.body).into_owned()).collect()
    };
    assert_eq!(bodies(&axum), bodies(&actix));
    let headers = |all: &[Answered]| -> Vec<Vec<(String, String)>> {
        let of = |a: &Answered| {
            let mut of: Vec<_> = a.headers.iter().filter(|(n, _)| n != "content-length").cloned().collect();
            of.sort();
            of
        };
        all.iter().map(of).collect()
    };
    assert_eq!(headers(&axum), headers(&actix));
    let told = [
        "was not taken",
        "nicht angenommen",
        "pas été pris",
        "niet is verwerkt",
        "no se ha tomado",
        "non è stato preso",
    ];
    for (page, words) in bodies(&axum).iter().zip(told) {
        assert!(page.contains(words), "{words}: {page}");
    }
    let problem: serde_json::Value = serde_json::from_slice(&axum[6].body).unwrap();
    assert_eq!((&problem["status"], &problem["title"]), (&429.into(), &"Too many at once".into()));
}
