//! The contact list in SQLite, beside SQL by hand on a database of its own, which has the same contacts and nothing else: pages
//! at every depth, by country, by the beginning of an id, and the export of all of them with its memory.
//!
//! By hand is measured twice: on the thread that asks, which an async app cannot afford, and on a blocking thread, where such
//! an app has to put it. What the change of threads costs depends on whether both share a core: run it also under
//! `taskset -c 0`.
//!
//! `PRIVET_BENCH_CONTACTS` says how many contacts there are: 1,000,000 if nothing does. `PRIVET_BENCH_EXPORT=1` measures the
//! export alone, whose contacts are there in a fraction of the time: with ids in order, and without the indexes of lists.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    missing_docs,
    reason = "a bench prints, and ends where it cannot go on"
)]

use std::hint::black_box;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use privet::contact::{ContactFilter, ContactId, ContactSummary, PageRequest};
use privet::ip::CountryCode;
use privet::portal::{Operator, Role};
use privet::{Catalogue, Privet, Scope, Site, Tenant, Timestamp};
use rusqlite::types::Value;
use rusqlite::{Connection, params, params_from_iter};

const CATALOGUE: &str = "[controller]\nname = \"Shop\"\ncontact = \"privacy@shop.example\"";
const PAGE: u16 = 50;
const RUNS: usize = 301;

const FILL: &str = "
    WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?1)
    INSERT INTO contacts (tenant, site, id, subject, epoch, country, created, last_seen, conversations, consent, consent_line, consent_until, material)
    SELECT 'main', 'main', randomblob(16), randomblob(16), 1,
           CASE i % 20 WHEN 0 THEN NULL WHEN 1 THEN 'NL' WHEN 2 THEN 'FR' ELSE 'DE' END,
           ?2 - (i * 40503 % ?1) * 3000 - 86400000, ?2 - (i * 40503 % ?1) * 3000, i % 7, randomblob(16), randomblob(16),
           ?2 + 15552000000, x'000000'
    FROM n";

const WITHOUT_LISTS: &str = "
    DROP INDEX contacts_recent; DROP INDEX contacts_country; DROP INDEX contacts_line; DROP INDEX contacts_until;
    DROP INDEX contacts_created; DROP INDEX contacts_identity; DROP INDEX contacts_frozen; DROP INDEX contacts_erasing;
    PRAGMA cache_size = -200000; PRAGMA synchronous = OFF";

/// What somebody would write who needs this list alone: its columns, what hides a contact, and an index per order that has
/// all of them.
const BY_HAND: &str = "
    CREATE TABLE contacts (
        tenant TEXT NOT NULL, site TEXT NOT NULL, id BLOB NOT NULL, country TEXT, created INTEGER NOT NULL,
        last_seen INTEGER NOT NULL, conversations INTEGER NOT NULL, consent_until INTEGER NOT NULL, erasing INTEGER,
        frozen_until INTEGER, PRIMARY KEY (tenant, site, id)) WITHOUT ROWID;
    ATTACH ?1 AS filled;
    INSERT INTO contacts SELECT tenant, site, id, country, created, last_seen, conversations, consent_until, erasing, frozen_until
        FROM filled.contacts;
    CREATE INDEX recent ON contacts
        (tenant, site, last_seen DESC, id DESC, consent_until, erasing, frozen_until, country, created, conversations);
    CREATE INDEX by_country ON contacts
        (tenant, site, country, last_seen DESC, id DESC, consent_until, erasing, frozen_until, created, conversations);";

const COLUMNS: &str = "id, country, created, last_seen, conversations";

fn p50(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn timed<T>(mut work: impl FnMut() -> T) -> Duration {
    let once = |work: &mut dyn FnMut() -> T| {
        let from = Instant::now();
        black_box(work());
        from.elapsed()
    };
    (0..20).for_each(|_| {
        let _ = once(&mut work);
    });
    p50((0..RUNS).map(|_| once(&mut work)).collect())
}

/// The highest resident memory since it was last reset, in MiB.
fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|l| l.starts_with("VmHWM")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) / 1024
}

fn reset_peak() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

type Row = (Vec<u8>, Option<String>, i64, i64, u32);

fn rows(c: &Connection, sql: &str, values: &[Value]) -> Vec<Row> {
    let mut statement = c.prepare_cached(sql).unwrap();
    let rows = statement
        .query_map(params_from_iter(values), |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?, r.get(4)?)));
    rows.unwrap().map(Result::unwrap).collect()
}

/// By hand, on this thread and on a blocking one.
struct ByHand<'r> {
    runtime: &'r tokio::runtime::Runtime,
    here: Connection,
    there: Arc<Mutex<Connection>>,
}

impl ByHand<'_> {
    fn timed(&self, sql: &str, values: &[Value]) -> (Duration, Duration) {
        let here = timed(|| rows(&self.here, sql, values));
        let there = timed(|| {
            let (connection, sql, values) = (self.there.clone(), sql.to_owned(), values.to_vec());
            let work = move || rows(&connection.lock().unwrap(), &sql, &values);
            self.runtime.block_on(async { tokio::task::spawn_blocking(work).await.unwrap() })
        });
        (here, there)
    }
}

fn show(what: &str, ours: Duration, (here, there): (Duration, Duration)) {
    let ratio = |hand: Duration| ours.as_secs_f64() / hand.as_secs_f64();
    println!(
        "{what:<36} {:>9.1} µs {:>9.1} µs {:>6.2} x {:>9.1} µs {:>6.2} x",
        micros(ours),
        micros(here),
        ratio(here),
        micros(there),
        ratio(there)
    );
}

fn micros(d: Duration) -> f64 {
    d.as_secs_f64() * 1e6
}

fn main() {
    let contacts: i64 =
        std::env::var("PRIVET_BENCH_CONTACTS").ok().and_then(|n| n.parse().ok()).unwrap_or(1_000_000);
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let storage = runtime.block_on(privet_sqlite::open(folder.path())).unwrap();
    let store = storage.store.clone();
    let privet = runtime
        .block_on(Privet::builder(Catalogue::from_toml(CATALOGUE).unwrap()).storage(storage).build())
        .unwrap();
    let hand = Connection::open(folder.path().join("privet.db")).unwrap();
    if std::env::var_os("PRIVET_BENCH_EXPORT").is_some() {
        hand.execute_batch(WITHOUT_LISTS).unwrap();
        let in_order = FILL.replacen("randomblob(16)", "unhex(printf('%032x', i))", 1);
        hand.execute(&in_order, params![contacts, privet.now().as_millis()]).unwrap();
        export(&runtime, &privet, contacts);
        return;
    }
    let now = privet.now().as_millis();
    let from = Instant::now();
    // Filling is not what is measured: with room for the indexes it takes a tenth of the time.
    hand.execute_batch("PRAGMA cache_size = -2000000; PRAGMA synchronous = OFF").unwrap();
    hand.execute(FILL, params![contacts, now]).unwrap();
    println!(
        "{contacts} contacts in {:.1} s; p50 of {RUNS} runs, pages of {PAGE}\n",
        from.elapsed().as_secs_f64()
    );
    println!("{:<36} {:>12} {:>12} {:>21}", "", "privet", "by hand", "on a thread");
    drop(hand);
    let connect = || Connection::open(folder.path().join("hand.db")).unwrap();
    let hand = connect();
    hand.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(())).unwrap();
    let filled = folder.path().join("privet.db").display().to_string();
    hand.execute_batch(&BY_HAND.replace("?1", &format!("'{filled}'"))).unwrap();
    hand.execute_batch("DETACH filled; PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    let by_hand = ByHand { runtime: &runtime, here: connect(), there: Arc::new(Mutex::new(connect())) };

    let scope = Scope::default();
    let list = "tenant = 'main' AND site = 'main' AND erasing IS NULL AND frozen_until IS NULL AND consent_until > ?3 AND (last_seen, id) < (?1, ?2)";
    let order = format!("ORDER BY last_seen DESC, id DESC LIMIT {}", PAGE + 1);
    for (depth, name) in
        [(0, "first page"), (contacts / 2, "half way down"), (contacts - 60, "the last page")]
    {
        let (seen, id) = place(&hand, depth);
        let cursor = privet::store::ContactCursor {
            last_seen: Timestamp::from_millis(seen),
            id: ContactId::from_bytes(id.as_slice().try_into().unwrap()),
        };
        for (country, name) in [(None, name.to_owned()), (Some("NL"), format!("{name}, by country"))] {
            let filter = country.map_or_else(ContactFilter::default, |c| {
                ContactFilter::default().country(c.parse().unwrap())
            });
            let query = privet::store::ContactQuery::first(PAGE + 1).only(filter).after(Some(cursor));
            let horizon = privet::store::Horizon::unlimited(privet.now());
            let ours = timed(|| runtime.block_on(store.contacts(&scope, &query, &horizon)).unwrap());
            let by = country.map(|c| format!("AND country = '{c}'")).unwrap_or_default();
            let sql = format!("SELECT {COLUMNS} FROM contacts WHERE {list} {by} {order}");
            let theirs = by_hand.timed(&sql, &[seen.into(), id.clone().into(), now.into()]);
            show(&name, ours, theirs);
        }
    }
    let prefix = "4a4a4";
    let search = PageRequest::first(PAGE).only(ContactFilter::default().id(prefix.parse().unwrap()));
    let ours = timed(|| runtime.block_on(privet.contacts(&scope, &search)).unwrap());
    let (low, high) = prefix.parse::<privet::contact::IdPrefix>().unwrap().bounds();
    let sql = format!(
        "SELECT {COLUMNS} FROM contacts WHERE tenant = 'main' AND site = 'main' AND id BETWEEN ?1 AND ?2
         AND erasing IS NULL ORDER BY last_seen DESC, id DESC LIMIT {}",
        PAGE + 1
    );
    let theirs = by_hand.timed(&sql, &[low.as_bytes().to_vec().into(), high.as_bytes().to_vec().into()]);
    show("search by five digits of an id", ours, theirs);
    let count = runtime.block_on(async {
        let from = Instant::now();
        let counted =
            privet.count_contacts(&scope, &ContactFilter::default(), privet.now(), 10_000).await.unwrap();
        (counted, from.elapsed())
    });
    println!(
        "{:<36} {:>9.1} µs   ({}{})",
        "count, capped",
        micros(count.1),
        count.0.count,
        if count.0.more { "+" } else { "" }
    );

    let ours = export(&runtime, &privet, contacts);
    export_by_hand(&hand, contacts, ours);
}

/// A place so deep in the list.
fn place(hand: &Connection, depth: i64) -> (i64, Vec<u8>) {
    let sql = "SELECT last_seen, id FROM contacts WHERE tenant = 'main' AND site = 'main'
               ORDER BY last_seen DESC, id DESC LIMIT 1 OFFSET ?1";
    hand.query_row(sql, [depth], |r| Ok((r.get(0)?, r.get(1)?))).unwrap()
}

fn export(runtime: &tokio::runtime::Runtime, privet: &Privet, contacts: i64) -> f64 {
    let officer = Operator::new(Tenant::default(), "bench", Role::PrivacyOfficer).unwrap();
    let portal = privet.portal(&officer, &Site::default()).unwrap();
    reset_peak();
    let before = peak_mib();
    let from = Instant::now();
    let (rows, bytes) = runtime.block_on(async {
        let mut export = portal.export_contacts().await.unwrap();
        let (mut rows, mut bytes) = (0_u64, 0_usize);
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
    });
    let ours = from.elapsed();
    let peak = peak_mib();
    assert_eq!(i64::try_from(rows).unwrap(), contacts);
    let per_second = contacts as f64 / ours.as_secs_f64();
    println!(
        "\nexport of {contacts} contacts as JSON Lines: {per_second:.0} rows/s ({} MB)\nmemory: {before} MiB before, {peak} MiB at most",
        bytes / 1_000_000
    );
    per_second
}

fn export_by_hand(hand: &Connection, contacts: i64, ours: f64) {
    let from = Instant::now();
    let mut written = 0;
    let sql = format!(
        "SELECT {COLUMNS} FROM contacts WHERE tenant = 'main' AND site = 'main' AND erasing IS NULL AND frozen_until IS NULL ORDER BY id"
    );
    let mut statement = hand.prepare(&sql).unwrap();
    let mut cursor = statement.query([]).unwrap();
    while let Some(r) = cursor.next().unwrap() {
        let at = |n| Timestamp::from_millis(r.get(n).unwrap());
        let row = ContactSummary {
            id: ContactId::from_bytes(r.get(0).unwrap()),
            country: r.get_ref(1).unwrap().as_str_or_null().unwrap().and_then(CountryCode::new),
            created: at(2),
            last_seen: at(3),
            conversations: r.get(4).unwrap(),
        };
        written += black_box(serde_json::to_vec(&row).unwrap()).len() + 1;
    }
    let theirs = from.elapsed();
    let per_second = contacts as f64 / theirs.as_secs_f64();
    println!("by hand: {per_second:.0} rows/s ({} MB); {:.2} x", written / 1_000_000, ours / per_second);
}
