//! All contacts as JSON Lines.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use futures_util::TryStreamExt as _;
use privet::contact::{ContactId, ContactSummary};
use privet::ip::CountryCode;
use privet::portal::{Operator, Portal, Role};
use privet::store::{MemoryKeyStore, MemoryLedger};
use privet::{Catalogue, KeyRing, Privet, Site, Storage, Tenant, Timestamp};
use sqlx::Row as _;
use sqlx::postgres::PgPool;

use crate::Bench;
use crate::turns::{Done, rates, settle, title};

const CATALOGUE: &str = "[controller]\nname = \"Shop\"\ncontact = \"privacy@shop.example\"";
const ROUNDS: usize = 3;

/// The highest resident memory since it was last reset, in MiB.
fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|l| l.starts_with("VmHWM")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) / 1024
}

fn reset_peak() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// Rows, and the bytes of their lines.
type Written = (u64, usize);

async fn ours(portal: &Portal) -> Written {
    let mut export = portal.export_contacts().await.unwrap();
    let (mut rows, mut bytes) = (0, 0);
    loop {
        let page = export.next_contacts().await.unwrap();
        if page.is_empty() {
            return (rows, bytes);
        }
        for contact in page {
            rows += 1;
            bytes += black_box(serde_json::to_vec(&contact).unwrap()).len() + 1;
        }
    }
}

async fn by_hand(pool: &PgPool, order: &str, now: Timestamp) -> Written {
    let (mut rows, mut bytes) = (0, 0);
    let sql = format!(
        "SELECT id, country, created, last_seen, conversations FROM hand.contacts
         WHERE tenant = 'main' AND site = 'main' AND erasing IS NULL AND frozen_until IS NULL AND consent_until > $1 {order}"
    );
    let mut stream = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(now.as_millis()).fetch(pool);
    while let Some(row) = stream.try_next().await.unwrap() {
        let at = |n| Timestamp::from_millis(row.get(n));
        let contact = ContactSummary {
            id: ContactId::from_bytes(row.get::<&[u8], _>(0).try_into().unwrap()),
            country: row.get::<Option<&str>, _>(1).and_then(CountryCode::new),
            created: at(2),
            last_seen: at(3),
            conversations: u32::try_from(row.get::<i64, _>(4)).unwrap(),
        };
        rows += 1;
        bytes += black_box(serde_json::to_vec(&contact).unwrap()).len() + 1;
    }
    (rows, bytes)
}

/// Adds what was written, and gives how much memory it took beyond what there was.
async fn measure(done: &mut Done, writes: impl Future<Output = Written>, bench: &Bench) -> u64 {
    reset_peak();
    let (before, from) = (peak_mib(), Instant::now());
    let (rows, bytes) = writes.await;
    done.add(rows, from.elapsed());
    assert_eq!(i64::try_from(rows).unwrap(), bench.size);
    assert!(bytes > 100 * usize::try_from(rows).unwrap());
    peak_mib().saturating_sub(before)
}

pub(crate) async fn run(bench: &Bench) {
    let (store, pool) = (bench.store().await, bench.pool().await);
    let storage = Storage::new(
        Arc::new(store),
        Arc::new(MemoryKeyStore::new()),
        Arc::new(MemoryLedger::new()),
        KeyRing::generate().unwrap(),
    );
    let catalogue = Catalogue::from_toml(CATALOGUE).unwrap();
    let privet = Privet::builder(catalogue).storage(storage).build().await.unwrap();
    let officer = Operator::new(Tenant::default(), "bench", Role::PrivacyOfficer).unwrap();
    let portal = privet.portal(&officer, &Site::default()).unwrap();
    settle(&pool).await;
    let [mut all, mut in_order, mut unordered] = [Done::default(); 3];
    let mut memory = [0; 2];
    for _ in 0..ROUNDS {
        memory[0] = memory[0].max(measure(&mut all, ours(&portal), bench).await);
        let stream = by_hand(&pool, "ORDER BY id", bench.now);
        memory[1] = memory[1].max(measure(&mut in_order, stream, bench).await);
        measure(&mut unordered, by_hand(&pool, "", bench.now), bench).await;
    }
    title("export as JSON Lines", "rows/s, at least 1,000,000");
    rates("beside a stream in the order of ids", all, in_order);
    rates("beside a stream in any order", all, unordered);
    println!("memory beyond what there was: {} MiB, by hand {} MiB", memory[0], memory[1]);
}
