//! Helpers of the tests that span crates: a server process, a client that sends what it is told, a browser, and a
//! country file made here.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "helpers of tests: what goes wrong fails the test"
)]

pub mod browser;
pub mod client;
pub mod law;
pub mod mmdb;
pub mod server;

/// The README's Rust is run as it stands.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;
