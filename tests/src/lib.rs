//! Helpers of the tests that span crates: a server process, a client that sends what it is told, a browser, and a
//! country file made here.
#![allow(
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "helpers of tests: what goes wrong fails the test"
)]

pub mod browser;
pub mod client;
pub mod database;
pub mod lab;
pub mod law;
pub mod log;
pub mod mmdb;
pub mod proxy;
pub mod server;
pub mod site;
/// The adapter of the guide, as it stands there.
#[path = "../../adapters/web/guide/tower.rs"]
pub mod tower_adapter;

use std::time::{Duration, Instant};

/// Waits for a condition, looking again and again; fails the test when it does not come.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let from = Instant::now();
    while !holds().await {
        assert!(from.elapsed() < Duration::from_secs(30), "in vain waited until {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The README's Rust is run as it stands.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;
