//! The proof of consent in a real file: what was tampered with is found at its record.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that meets something else has failed")]

use std::path::Path;
use std::time::{Duration, Instant};

use privet::catalogue::{CategoryCode, Language};
use privet::consent::{
    Act, ChainReport, ConsentRecord, Damage, Decision, Method, NoticeId, RecordId, RecordedDecision, Regime,
};
use privet::contact::ContactFilter;
use privet::portal::{Operator, Role};
use privet::store::{ConsentStore as _, NewRecord, SubjectDigest};
use privet::{Catalogue, FakeClock, Privet, Scope, Site, Storage, Tenant, Timestamp};
use privet_tests::server::folder;
use rusqlite::Connection;
use tempfile::TempDir;
use tokio::task::JoinSet;

const START: Timestamp = Timestamp::from_millis(1_800_000_000_000);
const LIFE: i64 = 180 * 86_400_000;

fn record(n: u32) -> ConsentRecord {
    let mut name = [0; 16];
    name[..4].copy_from_slice(&n.to_be_bytes());
    let analytics = CategoryCode::built_in("analytics").unwrap();
    let at = START.as_millis() + i64::from(n);
    ConsentRecord {
        id: RecordId::from_bytes(name),
        scope: Scope::default(),
        subject: SubjectDigest::from_bytes(name),
        act: Act::Grant,
        at: Timestamp::from_millis(at),
        until: Timestamp::from_millis(at + LIFE),
        notice: NoticeId::NONE,
        language: Language::new("en").unwrap(),
        regime: Regime::default(),
        method: Method::Form,
        gesture: true,
        gpc: false,
        decisions: vec![RecordedDecision::new(analytics, Decision::Granted, [1, 2, 3])],
    }
}

async fn append(storage: &Storage, records: std::ops::Range<u32>) {
    let mut writing = JoinSet::new();
    for n in records {
        let store = storage.store.clone();
        let until = Timestamp::from_millis(START.as_millis() + 2 * LIFE);
        let contacts = CategoryCode::built_in("contacts").unwrap();
        writing.spawn(async move {
            store.append_record(&NewRecord::new(record(n), None), contacts, until).await.unwrap();
        });
        // As many at once as share a commit.
        if writing.len() >= 2_000 {
            while writing.join_next().await.is_some() {}
        }
    }
    while let Some(written) = writing.join_next().await {
        written.unwrap();
    }
}

async fn open(data: &Path) -> (Privet, Storage, FakeClock) {
    let storage = privet_sqlite::open(data).await.unwrap();
    let clock = FakeClock::at(START);
    let catalogue = Catalogue::from_toml(chat_shop::CATALOGUE).unwrap();
    let privet =
        Privet::builder(catalogue).storage(storage.clone()).clock(clock.clone()).build().await.unwrap();
    // Digests are made with a key of the tenant's, which is there before the first record is.
    let officer = Operator::new(Tenant::default(), "Olga", Role::PrivacyOfficer).unwrap();
    let portal = privet.portal(&officer, &Site::default()).unwrap();
    portal.known_as(ContactFilter::default(), "nobody").await.unwrap();
    (privet, storage, clock)
}

async fn verify(data: &Path) -> ChainReport {
    open(data).await.0.verify_consent(&Tenant::default()).await.unwrap()
}

/// A copy of the files, for their owner only, as the store wants them.
fn copied(data: &Path) -> TempDir {
    use std::os::unix::fs::PermissionsExt as _;
    let copy = folder();
    for (path, bytes) in privet_tests::server::files(data) {
        let path = copy.path().join(path.file_name().unwrap());
        std::fs::write(&path, bytes).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    copy
}

/// Changes the tables behind the store's back, looks, and leaves everything as it was.
async fn tampered(data: &Path, sql: &str) -> Option<(u64, Damage)> {
    let copy = copied(data);
    let db = Connection::open(copy.path().join("privet.db")).unwrap();
    assert!(db.execute(sql, []).unwrap() > 0, "{sql}");
    drop(db);
    verify(copy.path()).await.damage
}

/// Turns one bit of one byte of the closed database file: in the row of a record, where its line stands.
async fn flipped(data: &Path, n: u32) -> (u64, Option<(u64, Damage)>) {
    let copy = copied(data);
    let file = copy.path().join("privet.db");
    let name = record(n).id;
    let db = Connection::open(&file).unwrap();
    db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    let seq: i64 = db
        .query_row("SELECT seq FROM consent_records WHERE id = ?1", [name.as_bytes()], |row| row.get(0))
        .unwrap();
    db.close().unwrap();
    let mut bytes = std::fs::read(&file).unwrap();
    // The id and the line of these records are the same bytes, side by side in the row and nowhere else.
    let row = [*name.as_bytes(), *name.as_bytes()].concat();
    let found: Vec<_> = places(&bytes, &row);
    assert_eq!(found.len(), 1, "the row stands once in the file");
    bytes[found[0] + 16 + 9] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    (seq.try_into().unwrap(), verify(copy.path()).await.damage)
}

/// Where a needle begins.
fn places(bytes: &[u8], needle: &[u8]) -> Vec<usize> {
    let first = |at: &usize| bytes[*at..].starts_with(needle);
    (0..bytes.len() - needle.len()).filter(first).collect()
}

/// A folder with so many anchored records, found whole.
async fn anchored(count: u32) -> TempDir {
    let data = folder();
    let (privet, storage, _) = open(data.path()).await;
    append(&storage, 0..count).await;
    assert_eq!(privet.anchor_consent().await.unwrap(), 1);
    assert_eq!(privet.anchor_consent().await.unwrap(), 0, "nothing went on");
    let whole = privet.verify_consent(&Tenant::default()).await.unwrap();
    let told = (whole.records, whole.purged, whole.anchored, whole.damage);
    assert_eq!(told, (count.into(), 0, count.into(), None));
    data
}

/// REC-04: one changed byte of the file among 100,000 records of a tenant, and the last record gone. Looking through all
/// of them takes seconds.
#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::print_stdout, reason = "how long it takes is what one wants to see")]
async fn rec_04_one_byte_among_many_records_is_found() {
    let data = anchored(100_000).await;
    for n in [70_000, 99_999] {
        let (seq, damage) = flipped(data.path(), n).await;
        assert_eq!(damage, Some((seq, Damage::RecordChanged)), "record {n}");
    }
    let last = "DELETE FROM consent_records WHERE seq = 100000";
    assert_eq!(tampered(data.path(), last).await, Some((100_000, Damage::RecordMissing)));
    let last = "DELETE FROM consent_links WHERE seq = 100000";
    let from = Instant::now();
    assert_eq!(tampered(data.path(), last).await, Some((100_000, Damage::TailCut)));
    let took = from.elapsed();
    println!("100,000 records: copied and verified in {took:?}, without optimisation");
    assert!(took < Duration::from_secs(60), "{took:?}");
}

/// REC-04: each way of tampering is found, at its record.
#[tokio::test(flavor = "multi_thread")]
async fn rec_04_what_was_tampered_with_is_found_at_its_record() {
    let data = anchored(1_500).await;
    let changed = Some((700, Damage::RecordChanged));
    for (sql, damage) in [
        // A byte of each kind of thing.
        ("UPDATE consent_records SET decisions = x'0201010203' WHERE seq = 700", changed),
        ("UPDATE consent_records SET decisions = x'02' WHERE seq = 700", changed),
        ("UPDATE consent_records SET at = at + 1 WHERE seq = 700", changed),
        ("UPDATE consent_records SET until = until + 1 WHERE seq = 700", changed),
        ("UPDATE consent_records SET gesture = 0 WHERE seq = 700", changed),
        ("UPDATE consent_records SET language = 'de' WHERE seq = 700", changed),
        ("UPDATE consent_records SET subject = zeroblob(16) WHERE seq = 700", changed),
        ("UPDATE consent_records SET site = 'other' WHERE seq = 700", changed),
        ("UPDATE consent_records SET salt = zeroblob(16) WHERE seq = 700", changed),
        ("UPDATE consent_records SET act = 99 WHERE seq = 700", changed),
        ("UPDATE consent_links SET digest = zeroblob(32) WHERE seq = 700", Some((700, Damage::LinkChanged))),
        ("UPDATE consent_links SET until = 0 WHERE seq = 700", Some((700, Damage::LinkChanged))),
        ("DELETE FROM consent_records WHERE seq = 700", Some((700, Damage::RecordMissing))),
        ("DELETE FROM consent_links WHERE seq = 700", Some((700, Damage::LinkMissing))),
        // The last one, with and without its link.
        ("DELETE FROM consent_records WHERE seq = 1500", Some((1_500, Damage::RecordMissing))),
        ("DELETE FROM consent_links WHERE seq = 1500", Some((1_500, Damage::TailCut))),
        ("DELETE FROM consent_links WHERE seq > 1400", Some((1_401, Damage::TailCut))),
        // One that nobody gave.
        (
            "INSERT INTO consent_records SELECT tenant, segment, seq + 1, site, randomblob(16), subject, act, at, until, notice, language, regime, method, gesture, gpc, decisions, salt, commitment FROM consent_records WHERE seq = 1500",
            Some((1_501, Damage::Unchained)),
        ),
    ] {
        assert_eq!(tampered(data.path(), sql).await, damage, "{sql}");
    }
}

/// REC-05: what is purged when its time is over leaves its link; the chain is whole, and goes on.
#[tokio::test(flavor = "multi_thread")]
async fn rec_05_a_purge_leaves_the_chain_whole() {
    let data = folder();
    let (privet, storage, clock) = open(data.path()).await;
    append(&storage, 0..50).await;
    privet.anchor_consent().await.unwrap();
    // Six months of the choice and three years of proof.
    clock.set(Timestamp::from_millis(START.as_millis() + LIFE + 1_096 * 86_400_000));
    assert_eq!(privet.sweep(clock_now(&clock)).await.unwrap().removed.records, 50);
    append(&storage, 50..60).await;
    let report = privet.verify_consent(&Tenant::default()).await.unwrap();
    assert_eq!((report.records, report.purged, report.damage), (10, 50, None));
}

fn clock_now(clock: &FakeClock) -> Timestamp {
    privet::Clock::now(clock)
}

/// REC-03, REC-04: a month for an inspector: whole, in order, verifiable, and with nothing that names a person.
#[tokio::test(flavor = "multi_thread")]
async fn rec_03_an_export_names_nobody() {
    let data = folder();
    let (privet, storage, _) = open(data.path()).await;
    append(&storage, 0..3).await;
    let mut out = Vec::new();
    assert_eq!(privet.export_consent(&Tenant::default(), None, &mut out).await.unwrap(), 3);
    let text = String::from_utf8(out).unwrap();
    let lines: Vec<serde_json::Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(lines.iter().map(|l| l["seq"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(lines[0]["record"]["act"], "grant");
    assert_eq!(lines[0]["record"]["decisions"][0]["decision"], "granted");
    let record = record(1);
    for hidden in [record.id.encode(), record.subject.encode()] {
        assert!(!text.contains(&hidden), "{hidden}: {text}");
    }
    let segment = lines[0]["segment"].as_i64().unwrap();
    let mut none = Vec::new();
    assert_eq!(privet.export_consent(&Tenant::default(), Some(segment - 1), &mut none).await.unwrap(), 0);
}

/// REC-06: the bundle for an inspector is the same from a file and from memory, under another key each.
#[tokio::test]
async fn rec_06_the_bundle_is_the_same_from_every_store() {
    let data = folder();
    let file = privet_sqlite::open(data.path()).await.unwrap();
    let mut bundles = Vec::new();
    for storage in [file, Storage::in_memory().unwrap()] {
        let catalogue = Catalogue::from_toml(chat_shop::CATALOGUE).unwrap();
        let privet = Privet::builder(catalogue).storage(storage).build().await.unwrap();
        bundles.push(privet.audit_bundle(&Scope::default()).await.unwrap());
    }
    assert_eq!(bundles[0], bundles[1]);
    assert!(bundles[0].file("notices/de.json").is_some());
}
