//! The quickstart of the README is a program: the same text, started, visited, refused, agreed to.
#![allow(missing_docs, reason = "a test")]

use std::net::TcpListener;

use privet_tests::client::{Sending, Visitor};
use privet_tests::server::{files, folder};
use privet_tests::until;
use tokio::process::Command;

const README: &str = include_str!("../../README.md");
const QUICKSTART: &str = include_str!("../src/bin/quickstart-axum.rs");

#[test]
fn the_readme_shows_the_program_that_is_tested() {
    let shown = README.split("```rust,no_run\n").nth(1).and_then(|rest| rest.split("```").next());
    assert_eq!(shown, Some(QUICKSTART));
}

#[tokio::test]
async fn the_quickstart_keeps_its_word() {
    let data = folder();
    let addr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut quickstart = Command::new(env!("CARGO_BIN_EXE_quickstart-axum"))
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
