//! Arrows point one way: frameworks to `web`, `web` and stores to the core, the core to nothing of either.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that meets something else has failed")]

use std::collections::{BTreeMap, BTreeSet};
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
        &["privet-web", "privet-axum", "privet-actix-web", "privet-sqlite", "privet-postgres"],
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
    let forbidden = [
        FRAMEWORKS,
        RUNTIMES,
        DATABASES,
        &["privet-axum", "privet-actix-web", "privet-sqlite", "privet-postgres"],
    ]
    .concat();
    assert_eq!(reaches("privet-web", &[], &forbidden), [] as [&str; 0]);
}

#[test]
fn a_store_does_not_know_the_web_nor_a_runtime() {
    let forbidden = [FRAMEWORKS, RUNTIMES, HTML, &["privet-web", "privet-axum"]].concat();
    assert_eq!(reaches("privet-sqlite", &[], &forbidden), [] as [&str; 0]);
    // The driver of PostgreSQL needs tokio; it brings no second database, and nothing that decides how an app writes time.
    let forbidden = [
        FRAMEWORKS,
        HTML,
        &["privet-web", "privet-axum", "privet-sqlite", "rusqlite", "sqlx-macros", "chrono"],
    ]
    .concat();
    assert_eq!(reaches("privet-postgres", &[], &forbidden), [] as [&str; 0]);
}

#[test]
fn an_adapter_knows_its_own_framework_only() {
    let stores = ["rusqlite", "libsqlite3-sys", "privet-sqlite"];
    let of_axum = ["axum", "axum-core", "hyper", "tower", "tower-http", "privet-axum"];
    let of_actix = ["actix-web", "actix-http", "actix-router", "actix-server", "privet-actix-web"];
    let others = ["warp", "poem", "salvo", "rocket"];
    let reached = |package, forbidden: &[&[&str]]| reaches(package, &[], &forbidden.concat());
    assert_eq!(reached("privet-axum", &[&stores, &of_actix, &others]), [] as [&str; 0]);
    assert_eq!(reached("privet-actix-web", &[&stores, &of_axum, &others]), [] as [&str; 0]);
    assert_ne!(reached("privet-axum", &[&["axum"]]), [] as [&str; 0]);
    assert_ne!(reached("privet-actix-web", &[&["actix-web"]]), [] as [&str; 0]);
}

/// Every crate with its version, that is reached from a package of the workspace by what it is built with, without going
/// through one of the crates named.
fn reached_around(metadata: &serde_json::Value, from: &str, around: &[&str]) -> BTreeSet<(String, String)> {
    let nodes: BTreeMap<_, _> =
        list(&metadata["resolve"]["nodes"]).iter().map(|node| (text(&node["id"]), node)).collect();
    let packages: BTreeMap<_, _> = list(&metadata["packages"])
        .iter()
        .map(|package| (text(&package["id"]), (text(&package["name"]), text(&package["version"]))))
        .collect();
    let (start, _) = packages.iter().find(|(_, (name, _))| *name == from).unwrap();
    let (mut open, mut seen) = (vec![*start], BTreeSet::from([*start]));
    while let Some(id) = open.pop() {
        for dep in list(&nodes[id]["deps"]) {
            let built_with = list(&dep["dep_kinds"]).iter().any(|kind| kind["kind"].is_null());
            let dep = text(&dep["pkg"]);
            if built_with && !around.contains(&packages[dep].0) && seen.insert(dep) {
                open.push(dep);
            }
        }
    }
    seen.into_iter()
        .map(|id| packages[id])
        .map(|(name, version)| (name.to_owned(), version.to_owned()))
        .collect()
}

fn list(value: &serde_json::Value) -> &Vec<serde_json::Value> {
    value.as_array().unwrap()
}

fn text(value: &serde_json::Value) -> &str {
    value.as_str().unwrap()
}

/// actix-web 4 is built on http 0.2 and cookie 0.16: they are nowhere else, so that nothing of ours can mix them up with
/// http 1 and cookie 0.18.
#[test]
fn the_old_http_and_cookie_are_below_actix_web_only() {
    // Of this platform alone: what others need was never downloaded.
    let metadata = metadata(&["--filter-platform", &host()]);
    let old = |from: &str, around: &[&str]| {
        let reached = reached_around(&metadata, from, around).into_iter();
        let old = reached.filter(|(name, version)| {
            (name == "http" && version.starts_with("0."))
                || (name == "cookie" && !version.starts_with("0.18."))
        });
        old.map(|(name, version)| format!("{name} {version}")).collect::<Vec<_>>()
    };
    let members: BTreeSet<_> = list(&metadata["workspace_members"]).iter().map(text).collect();
    let packages = list(&metadata["packages"]).iter().filter(|p| members.contains(text(&p["id"])));
    for package in packages.map(|package| text(&package["name"])) {
        let around = match package {
            // The driver of the browser brings them into the tests, the bare requests of the benches into these.
            "privet-tests" => &["actix-web", "fantoccini"][..],
            "privet-benches" => &["actix-web", "actix-http", "actix-session"],
            _ => &["actix-web"],
        };
        assert_eq!(old(package, around), [] as [&str; 0], "{package}");
    }
    let below: Vec<_> = old("privet-actix-web", &[]);
    assert!(
        below.iter().any(|c| c.starts_with("http 0.2")) && below.iter().any(|c| c.starts_with("cookie 0.16")),
        "{below:?}"
    );
}

fn host() -> String {
    let output = Command::new("rustc").arg("-vV").output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    told.lines().find_map(|line| line.strip_prefix("host: ")).unwrap().to_owned()
}

fn metadata(arguments: &[&str]) -> serde_json::Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--offline", "--format-version", "1"])
        .args(arguments)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Derive macros of others break on a package of this name.
#[test]
fn no_package_is_called_core() {
    let metadata = metadata(&["--no-deps"]);
    let packages = metadata["packages"].as_array().unwrap();
    let names: Vec<_> = packages.iter().map(|p| p["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"privet") && !names.contains(&"core"), "{names:?}");
    let versions: BTreeSet<_> = packages.iter().map(|p| p["version"].as_str().unwrap()).collect();
    assert_eq!(versions.len(), 1, "one version for all: {versions:?}");
}
