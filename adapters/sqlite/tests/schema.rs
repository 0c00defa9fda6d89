//! What the files have a place for, column by column.
#![allow(clippy::unwrap_used, reason = "a test that meets something else has failed")]

use privet::conformance::block_on;
use privet::store::{KeyName, KeyStore as _, SubjectDigest};
use privet::{Day, Tenant};
use privet_sqlite::SqliteKeyStore;
use rusqlite::Connection;

fn columns(db: &Connection) -> Vec<(String, Vec<String>)> {
    let list = |sql: &str| -> Vec<String> {
        db.prepare(sql).unwrap().query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    let tables = list(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name",
    );
    let of = |table: &String| list(&format!("SELECT name FROM pragma_table_info('{table}')"));
    tables.iter().map(|t| (t.clone(), of(t))).collect()
}

/// CTC-02, IP-07, REC-03: a contact has five things and what they stand on, whether it is blocked, and what the app says that
/// it is; nothing has a place for an address or a user agent.
#[test]
fn ip_07_there_is_no_place_for_an_address() {
    let folder = tempfile::tempdir().unwrap();
    block_on(privet_sqlite::open(folder.path())).unwrap();
    let db = Connection::open(folder.path().join("privet.db")).unwrap();
    let expected = [
        ("_privet_migrations", "version"),
        ("audit_events", "tenant id site at operator verb subject outcome"),
        ("consent_counts", "tenant site day kind notice count"),
        ("consent_links", "tenant segment seq until digest hash"),
        (
            "consent_records",
            "tenant segment seq site id subject act at until notice language regime method gesture gpc decisions salt commitment",
        ),
        (
            "contacts",
            "tenant site id subject epoch country created last_seen conversations consent consent_line consent_until material frozen_until kept_on erasing blocked identity identity_text",
        ),
        (
            "conversations",
            "tenant site id owner_kind owner subject opened closed last_message messages live_support erasing awaits_answer",
        ),
        ("erased_messages", "tenant site id conversation number"),
        ("fences", "tenant subject epoch until"),
        ("leases", "name owner until token"),
        ("messages", "tenant site conversation number id at channel author body page"),
        ("meta", "key value"),
        ("notes", "tenant site contact id at author body"),
        ("notices", "tenant site id language body"),
        (
            "outbox",
            "tenant site id recipient act categories subject at attempts problem due leased_until settled delivered",
        ),
        ("retention_rules", "tenant class period_ms"),
        ("statements", "tenant site number since hash body"),
    ];
    let expected: Vec<_> = expected
        .iter()
        .map(|(t, c)| ((*t).to_owned(), c.split(' ').map(str::to_owned).collect::<Vec<_>>()))
        .collect();
    assert_eq!(columns(&db), expected);
}

/// CTC-02: of a contact there is a place for its id, country, created, last seen and conversations, for what they stand on, and
/// for what operators and the app say of it; for nothing of the visitor's own making.
#[test]
fn ctc_02_a_contact_is_five_things_and_what_they_stand_on() {
    let folder = tempfile::tempdir().unwrap();
    block_on(privet_sqlite::open(folder.path())).unwrap();
    let db = Connection::open(folder.path().join("privet.db")).unwrap();
    let all = columns(&db);
    let contacts: Vec<_> = all.into_iter().find(|(table, _)| table == "contacts").unwrap().1;
    let shown = ["id", "country", "created", "last_seen", "conversations"];
    let stands_on = [
        "subject",
        "epoch",
        "consent",
        "consent_line",
        "consent_until",
        "material",
        "frozen_until",
        "kept_on",
        "erasing",
    ];
    let said = ["blocked", "identity", "identity_text"];
    let known = |c: &String| {
        ["tenant", "site"].contains(&c.as_str())
            || shown.iter().chain(&stands_on).chain(&said).any(|k| k == c)
    };
    assert!(contacts.iter().all(known) && contacts.len() == 2 + shown.len() + stands_on.len() + said.len());
}

/// TEN-01: the tenant leads every primary key and every index.
#[test]
fn ten_01_the_tenant_leads_every_key() {
    let folder = tempfile::tempdir().unwrap();
    block_on(privet_sqlite::open(folder.path())).unwrap();
    let db = Connection::open(folder.path().join("privet.db")).unwrap();
    let sql = "SELECT m.name, i.name, (SELECT name FROM pragma_index_info(i.name) WHERE seqno = 0)
               FROM sqlite_schema m, pragma_index_list(m.name) i WHERE m.type = 'table'";
    let mut statement = db.prepare(sql).unwrap();
    let leads = statement.query_map([], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?))).unwrap();
    let leads: Vec<(String, String, String)> = leads.map(Result::unwrap).collect();
    assert!(leads.len() > 15, "{leads:?}");
    for (table, index, first) in leads {
        // The installation's own facts and leases, and the one job that is the installation's: forgetting old fences.
        let of_installation =
            matches!(table.as_str(), "leases" | "meta" | "_privet_migrations") || index == "fences_until";
        assert!(first == "tenant" || of_installation, "{table}: {index} begins with {first}");
    }
}

/// What every key store has to do.
#[test]
fn keys_are_kept_once_and_destroyed_for_good() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.db");
    let names = [
        KeyName::Pepper(Tenant::new("a").unwrap()),
        KeyName::Pepper(Tenant::new("b").unwrap()),
        KeyName::Subject(Tenant::new("a").unwrap(), SubjectDigest::from_bytes([1; 16])),
        KeyName::Subject(Tenant::new("b").unwrap(), SubjectDigest::from_bytes([1; 16])),
        KeyName::Epoch(Day::from_number(20_000)),
        KeyName::Epoch(Day::from_number(20_001)),
    ];
    let wrapped = |n: usize| vec![u8::try_from(n).unwrap() + 0xa0; 72];
    block_on(async {
        let store = SqliteKeyStore::connect(&path).await.unwrap();
        for (n, name) in names.iter().enumerate() {
            assert_eq!(store.get(name).await.unwrap(), None);
            assert_eq!(store.insert(name, &wrapped(n)).await.unwrap(), wrapped(n));
            assert_eq!(store.insert(name, &[0; 72]).await.unwrap(), wrapped(n), "the first one stands");
        }
        store.destroy(&names[2..3]).await.unwrap();
        store.destroy(&names[2..3]).await.unwrap();
        store.destroy_epochs_before(Day::from_number(20_001)).await.unwrap();
    });
    block_on(async {
        let store = SqliteKeyStore::connect(&path).await.unwrap();
        for (n, name) in names.iter().enumerate() {
            let gone = n == 2 || n == 4;
            assert_eq!(store.get(name).await.unwrap(), (!gone).then(|| wrapped(n)), "{name:?}");
        }
    });
    // ERA-02: not a byte of a destroyed key is left in any file.
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        for n in [2, 4] {
            assert!(!bytes.windows(16).any(|w| w == &wrapped(n)[..16]), "key {n}");
        }
    }
}
