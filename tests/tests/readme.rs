//! The quickstarts of the README are programs: the same text, started, visited, refused, agreed to.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that meets something else has failed")]

use std::net::TcpListener;

use privet_tests::client::{Sending, Visitor};
use privet_tests::server::{files, folder};
use privet_tests::until;
use rstest::rstest;
use tokio::process::Command;

const README: &str = include_str!("../../README.md");
const QUICKSTARTS: [&str; 2] =
    [include_str!("../src/bin/quickstart-axum.rs"), include_str!("../src/bin/quickstart-actix-web.rs")];

fn blocks(language: &str) -> Vec<&'static str> {
    let fence = format!("```{language}\n");
    let blocks = README.split(fence.as_str()).skip(1);
    blocks.map(|rest| rest.split("```").next().unwrap()).collect()
}

#[test]
fn the_readme_shows_the_programs_that_are_tested() {
    let programs: Vec<_> = blocks("rust,no_run").into_iter().filter(|b| b.contains("fn main()")).collect();
    assert_eq!(programs, QUICKSTARTS);
}

/// Both frameworks: about twenty lines, and the same handlers.
#[test]
fn the_quickstarts_are_short_and_their_handlers_the_same_text() {
    let [axum, actix] = QUICKSTARTS.map(|text| {
        let handlers = text.split("\n\n").filter(|part| part.starts_with("async fn"));
        handlers.collect::<Vec<_>>()
    });
    assert_eq!(axum, actix);
    assert_eq!(axum.len(), 1);
    for text in QUICKSTARTS {
        let lines = text.lines().filter(|line| !line.trim().is_empty()).count();
        assert!(lines <= 25, "{lines} lines");
    }
}

#[rstest]
#[case(env!("CARGO_BIN_EXE_quickstart-axum"))]
#[case(env!("CARGO_BIN_EXE_quickstart-actix-web"))]
#[tokio::test]
async fn the_quickstarts_keep_their_word(#[case] program: &str) {
    let data = folder();
    let [catalogue] = blocks("toml")[..] else { panic!("one catalogue") };
    std::fs::write(data.path().join("privet.toml"), catalogue).unwrap();
    let addr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut quickstart = Command::new(program)
        .current_dir(data.path())
        .env("ADDR", addr.to_string())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    until("it listens", async || Sending::get("/").try_to(addr).await.is_ok()).await;

    let first = Sending::get("/").to(addr).await;
    assert_eq!((first.status, first.cookies().len()), (200, 0));
    assert!(first.text().contains("reject_all") && first.text().contains("accept_all"));

    let mut refuses = Visitor::new(addr);
    assert_eq!(refuses.decide("reject_all", &[]).await.status, 303);
    let page = refuses.get("/").await;
    assert!(page.cookies().is_empty() && !page.text().contains("accept_all"));

    let mut agrees = Visitor::new(addr);
    assert_eq!(agrees.decide("accept_all", &[]).await.status, 303);
    let page = agrees.get("/").await;
    let [cookie] = page.cookies()[..] else { panic!("one cookie: {:?}", page.cookies()) };
    assert!(cookie.starts_with("visited=yes;") && cookie.contains("Max-Age=2592000"), "{cookie}");
    assert!(agrees.get("/privacy/cookies").await.text().contains("visited"));

    let pid = quickstart.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().await.unwrap().success());
    assert!(quickstart.wait().await.unwrap().success());
    assert!(!files(&data.path().join("privet-data")).is_empty());
}
