//! The bundle for an inspector: the same for the same site, another one for another, and nothing secret in it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that meets something else has failed")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{CATALOGUE, Head};
use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER, HEXUPPER};
use futures_executor::block_on;
use privet::audit::{Audit, AuditBundle, Stage};
use privet::catalogue::StorageKind;
use privet::consent::Regimes;
use privet::legal::{Figure, LegalFigures};
use privet::retention::{DataClass, RetentionRule};
use privet::store::{MemoryKeyStore, MemoryLedger, MemoryStore};
use privet::{
    Builder, Catalogue, Enforcement, Error, FakeClock, KeyRing, Privet, Scope, Storage, Tenant, Timestamp,
};
use serde_json::Value;
use sha2::{Digest, Sha256};

const KEY: [u8; 32] = *b"an installation's key, 32 bytes.";

fn storage(key: [u8; 32]) -> Storage {
    let key = KeyRing::from_bytes(key).unwrap();
    Storage::new(
        Arc::new(MemoryStore::new()),
        Arc::new(MemoryKeyStore::new()),
        Arc::new(MemoryLedger::new()),
        key,
    )
}

fn installation(
    catalogue: &str,
    at: i64,
    storage: Storage,
    change: impl FnOnce(Builder) -> Builder,
) -> Privet {
    let catalogue = Catalogue::from_toml(catalogue).unwrap();
    let clock = FakeClock::at(Timestamp::from_millis(at));
    block_on(change(Privet::builder(catalogue).storage(storage).clock(clock)).build()).unwrap()
}

fn bundle_of(privet: &Privet) -> AuditBundle {
    block_on(privet.audit_bundle(&Scope::default())).unwrap()
}

fn same(builder: Builder) -> Builder {
    builder
}

fn json(bundle: &AuditBundle, file: &str) -> Value {
    serde_json::from_slice(bundle.file(file).unwrap()).unwrap()
}

/// REC-06: another key, another store, another year, a visitor in between: the same bytes.
#[test]
fn rec_06_the_same_site_gives_the_same_bytes() {
    let first = installation(CATALOGUE, 1_800_000_000_000, storage(KEY), same);
    let second = installation(CATALOGUE, 1_900_000_000_000, Storage::in_memory().unwrap(), same);
    let bundle = bundle_of(&first);
    let (visit, _) = second.visit(&Head::get("/")).unwrap();
    visit.activate("chat").unwrap();
    assert_eq!(bundle, bundle_of(&second));
    let names: Vec<_> = bundle.files().map(|(name, _)| name).collect();
    assert_eq!(
        names,
        [
            "SHA256SUMS",
            "catalogue.json",
            "configuration.json",
            "notices/de.json",
            "notices/en.json",
            "statement/de.json",
            "statement/en.json",
            "versions.json",
        ]
    );
    // On the disk it is what it is in memory, and its sums are right.
    let folder = tempfile::tempdir().unwrap();
    for name in ["a", "b"] {
        bundle.write_to(folder.path().join(name)).unwrap();
    }
    let sums = std::fs::read_to_string(folder.path().join("a/SHA256SUMS")).unwrap();
    assert_eq!(sums.lines().count(), names.len() - 1);
    for line in sums.lines() {
        let (sum, name) = line.split_once("  ").unwrap();
        let bytes = std::fs::read(folder.path().join("a").join(name)).unwrap();
        assert_eq!(HEXLOWER.encode(&Sha256::digest(&bytes)), sum, "{name}");
        assert_eq!(bytes, std::fs::read(folder.path().join("b").join(name)).unwrap());
    }
    assert!(matches!(bundle.write_to(folder.path().join("a")), Err(Error::Config { .. })));
}

/// Whatever is declared or set otherwise shows.
#[test]
fn rec_06_another_site_gives_another_bundle() {
    let bundle = |catalogue: &str, change: fn(Builder) -> Builder| {
        bundle_of(&installation(catalogue, 1_800_000_000_000, storage(KEY), change))
    };
    let before = bundle(CATALOGUE, same);
    let differs = |after: &AuditBundle| -> Vec<String> {
        let files = after.files().filter(|(name, bytes)| before.file(name) != Some(bytes));
        files.map(|(name, _)| name.to_owned()).filter(|name| name != "SHA256SUMS").collect()
    };
    let longer = CATALOGUE.replace("duration = \"30 days\"", "duration = \"31 days\"");
    let after = bundle(&longer, same);
    assert_eq!(
        differs(&after),
        [
            "catalogue.json",
            "notices/de.json",
            "notices/en.json",
            "statement/de.json",
            "statement/en.json",
            "versions.json"
        ]
    );
    assert_ne!(before.file("SHA256SUMS"), after.file("SHA256SUMS"));
    let changes: [fn(Builder) -> Builder; 6] = [
        |b| b.base_path("/mine"),
        |b| b.trusted_proxies("10.9.8.0/24".parse().unwrap()),
        |b| b.enforcement(Enforcement::Report),
        |b| b.show_addresses(),
        |b| b.public_origin("https://garden.example"),
        |b| {
            b.legal_figures(
                LegalFigures::default().with(Figure::FrozenLife, Duration::from_secs(86_400)).unwrap(),
            )
        },
    ];
    for change in changes {
        let after = bundle(CATALOGUE, change);
        assert_eq!(differs(&after), ["configuration.json"]);
        let said = std::str::from_utf8(after.file("configuration.json").unwrap()).unwrap();
        assert!(!said.contains("10.9.8"), "where the proxies are");
    }
    // An objection is kept for 400 days where one suffices, so the statement changes too.
    let after = bundle(CATALOGUE, |b| b.regimes(Regimes::by_country()));
    let changed = differs(&after);
    for file in ["configuration.json", "catalogue.json", "statement/en.json"] {
        assert!(changed.iter().any(|name| name == file), "{file}: {changed:?}");
    }
    let privet = installation(CATALOGUE, 1_800_000_000_000, storage(KEY), same);
    let rule = RetentionRule::new(DataClass::Messages, Duration::from_secs(30 * 86_400)).unwrap();
    block_on(privet.set_retention(&Tenant::default(), rule)).unwrap();
    let after = bundle_of(&privet);
    assert_eq!(differs(&after), ["configuration.json"]);
    assert_eq!(json(&after, "configuration.json")["retention_seconds"]["messages"], 30 * 86_400);
}

/// The key opens every cookie and every pseudonym; no form of it is in what an inspector gets.
#[test]
fn rec_06_no_secret_is_in_the_bundle() {
    let endpoint = "country = \"NL\"\n withdrawal_endpoint = \"https://desk.example/t0ken?key=t0ken\"";
    let told = CATALOGUE.replacen("country = \"NL\"", endpoint, 1);
    let bundle = bundle_of(&installation(&told, 1_800_000_000_000, storage(KEY), same));
    assert_eq!(
        json(&bundle, "catalogue.json")["recipients"][0]["withdrawal_endpoint"],
        "https://desk.example"
    );
    let fingerprint = *KeyRing::from_bytes(KEY).unwrap().fingerprint().as_bytes();
    for secret in [&KEY[..], &fingerprint, b"t0ken"] {
        let forms = [
            secret.to_vec(),
            HEXLOWER.encode(secret).into_bytes(),
            HEXUPPER.encode(secret).into_bytes(),
            BASE64.encode(secret).into_bytes(),
            BASE64URL_NOPAD.encode(secret).into_bytes(),
        ];
        for (name, bytes) in bundle.files() {
            for form in &forms {
                assert!(!bytes.windows(form.len()).any(|w| w == form), "{name}");
            }
        }
    }
    assert!(!format!("{bundle:?}").contains("Garden"));
}

/// The notice in it is the one that records name, and the catalogue has everything that is declared.
#[test]
fn rec_06_it_says_what_the_site_does() {
    let privet = installation(CATALOGUE, 1_800_000_000_000, storage(KEY), same);
    let bundle = bundle_of(&privet);
    let (visit, _) = privet.visit(&Head::get("/")).unwrap();
    for language in privet.catalogue(visit.scope()).unwrap().languages() {
        let notice = &visit.notice(language).unwrap().snapshot;
        let bytes = bundle.file(&format!("notices/{language}.json")).unwrap();
        assert_eq!(bytes, notice.body.as_bytes());
        assert_eq!(HEXLOWER.encode(&Sha256::digest(bytes)), notice.id.to_string());
    }
    let catalogue = json(&bundle, "catalogue.json");
    assert_eq!(catalogue["categories"][0]["purpose"]["de"], "Zählt Besuche.");
    let services = catalogue["services"].as_array().unwrap();
    let entries: Vec<_> = services.iter().flat_map(|s| s["entries"].as_array().unwrap()).collect();
    let named = |name: &str| entries.iter().find(|e| e["name"] == name).unwrap();
    assert_eq!(named("visits")["gate"]["consent"], 2);
    assert_eq!(named("visits")["lifetime"], "30 days");
    assert_eq!(named("sid")["gate"]["exempt"]["justification"], "Sign-in.");
    assert_eq!(named("__Host-privet")["lifetime"], "180 days");
    let configuration = json(&bundle, "configuration.json");
    assert_eq!(configuration["base_path"], "/privacy");
    assert_eq!(configuration["enforcement"], "enforce");
    assert_eq!(configuration["choice_life_seconds"], 180 * 86_400);
    assert!(configuration["legal_figures"].as_array().unwrap().iter().any(|row| row["id"] == "choice-life"));
    assert_eq!(json(&bundle, "versions.json")["privet"], env!("CARGO_PKG_VERSION"));

    let mut audit = Audit::new(privet.catalogue(&Scope::default()).unwrap());
    audit.seen(Stage::BeforeChoice, StorageKind::LocalStorage, "mine");
    let with = bundle.clone().with_report(&audit.report());
    assert_eq!(json(&with, "report.json")["seen"][0]["finding"], "undeclared");
    assert!(std::str::from_utf8(with.file("SHA256SUMS").unwrap()).unwrap().contains("  report.json\n"));
    let unknown = Scope::new(Tenant::new("other").unwrap(), Default::default());
    assert!(matches!(block_on(privet.audit_bundle(&unknown)), Err(Error::UnknownSite)));
}
