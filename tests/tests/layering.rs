//! Arrows point one way: frameworks to `web`, `web` and stores to the core, the core to nothing of either.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that meets something else has failed")]

use std::collections::BTreeSet;
use std::process::Command;

/// What a package is built with, by name, without what only its tests need.
fn tree(package: &str, features: &[&str]) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--offline",
            "--edges",
            "normal",
            "--prefix",
            "none",
            "--format",
            "{p}",
            "--package",
            package,
        ])
        .args(features)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let names: BTreeSet<_> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .filter_map(|l| l.split(' ').next())
        .map(str::to_owned)
        .collect();
    assert!(names.contains(package), "{names:?}");
    names
}

fn reaches(package: &str, features: &[&str], forbidden: &[&str]) -> Vec<String> {
    tree(package, features).into_iter().filter(|n| forbidden.contains(&n.as_str())).collect()
}

const FRAMEWORKS: &[&str] =
    &["axum", "axum-core", "actix-web", "actix-http", "tower", "tower-http", "hyper", "http", "warp", "poem"];
const RUNTIMES: &[&str] = &["tokio", "async-std", "smol", "actix-rt", "async-io"];
const DATABASES: &[&str] =
    &["rusqlite", "libsqlite3-sys", "sqlx", "sqlx-core", "tokio-postgres", "diesel", "redis"];
const HTML: &[&str] = &["askama", "maud", "minijinja", "handlebars", "tera"];
const NETWORK: &[&str] = &["reqwest", "ureq", "hyper-util", "curl", "rustls", "native-tls", "socket2", "mio"];

#[test]
fn the_core_knows_no_framework_database_runtime_or_html() {
    let forbidden = [
        FRAMEWORKS,
        RUNTIMES,
        DATABASES,
        HTML,
        &["privet-web", "privet-axum", "privet-actix-web", "privet-sqlite"],
    ]
    .concat();
    for features in [&["--no-default-features"][..], &[], &["--all-features"]] {
        assert_eq!(reaches("privet", features, &forbidden), [] as [&str; 0], "{features:?}");
    }
}

/// GEO-03: what looks countries up, and all the rest of the core, has nothing to reach the network with.
#[test]
fn geo_03_the_core_has_nothing_to_reach_the_network_with() {
    for features in [&["--no-default-features"][..], &[], &["--all-features"]] {
        assert_eq!(reaches("privet", features, NETWORK), [] as [&str; 0], "{features:?}");
    }
    assert_eq!(
        reaches("privet-axum", &[], &["reqwest", "ureq", "curl", "rustls", "native-tls"]),
        [] as [&str; 0]
    );
    assert_eq!(reaches("privet-sqlite", &[], NETWORK), [] as [&str; 0]);
}

#[test]
fn web_knows_no_framework_and_no_http_crate() {
    let forbidden =
        [FRAMEWORKS, RUNTIMES, DATABASES, &["privet-axum", "privet-actix-web", "privet-sqlite"]].concat();
    assert_eq!(reaches("privet-web", &[], &forbidden), [] as [&str; 0]);
}

#[test]
fn a_store_does_not_know_the_web_nor_a_runtime() {
    let forbidden = [FRAMEWORKS, RUNTIMES, HTML, &["privet-web", "privet-axum"]].concat();
    assert_eq!(reaches("privet-sqlite", &[], &forbidden), [] as [&str; 0]);
}

#[test]
fn an_adapter_knows_its_own_framework_only() {
    let others = ["actix-web", "actix-http", "warp", "poem", "rusqlite", "libsqlite3-sys", "privet-sqlite"];
    assert_eq!(reaches("privet-axum", &[], &others), [] as [&str; 0]);
    let others = [
        "axum",
        "axum-core",
        "hyper",
        "tower-http",
        "warp",
        "poem",
        "rusqlite",
        "privet-sqlite",
        "privet-axum",
    ];
    assert_eq!(reaches("privet-actix-web", &[], &others), [] as [&str; 0]);
}

/// Derive macros of others break on a package of this name.
#[test]
fn no_package_is_called_core() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--offline", "--no-deps", "--format-version", "1"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .unwrap();
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let names: Vec<_> = packages.iter().map(|p| p["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"privet") && !names.contains(&"core"), "{names:?}");
    let versions: BTreeSet<_> = packages.iter().map(|p| p["version"].as_str().unwrap()).collect();
    assert_eq!(versions.len(), 1, "one version for all: {versions:?}");
}
