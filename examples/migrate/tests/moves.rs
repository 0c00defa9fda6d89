//! From SQLite to PostgreSQL, with everything that an installation has.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that meets something else has failed")]

#[path = "../../../core/tests/common/mod.rs"]
mod common;
mod house;
#[path = "../../../adapters/postgres/tests/roles/mod.rs"]
mod roles;

use std::sync::atomic::{AtomicBool, Ordering};

use futures_executor::block_on;
use house::{
    Home, another_database, app, asks, furnish, officer, on_postgres, on_sqlite, ring, runtime, seen,
};
use migrate::{Move, Progress, tables};
use privet::contact::PageRequest;
use privet::{Error, KeyRing, Scope, Tenant};
use privet_postgres::PostgresOptions;
use privet_test_postgres::{PASSWORD, fresh_name, own_server, server};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};
use tokio::runtime::Runtime;

fn sql(rt: &Runtime, url: &str, text: String) -> u64 {
    rt.block_on(async {
        let mut connection = PgConnection::connect(url).await.unwrap();
        sqlx::query(AssertSqlSafe(text)).execute(&mut connection).await.unwrap().rows_affected()
    })
}

/// Everything goes over and reads as before, under the same key; on half of it no app starts.
fn everything_goes_over(rt: &Runtime, home: &Home) {
    let folder = tempfile::tempdir().unwrap();
    let privet = on_sqlite(folder.path());
    let visitors = furnish(&privet);
    let before = seen(&privet, &visitors);
    let job = home.job(folder.path()).batch(7);
    let silent = Progress::silent();

    let passes = rt.block_on(job.copy(&silent)).unwrap();
    assert!(passes[0].0 > 100 && passes.last() == Some(&(0, 0)), "{passes:?}");
    let early = home.open(rt, ring(folder.path()));
    let early = early.unwrap_err().to_string();
    assert!(early.contains("being moved into this store"), "no app starts on half of it: {early}");
    let running = rt.block_on(job.finish(&silent)).unwrap_err().to_string();
    assert!(running.contains("the app still runs"), "{running}");
    drop(privet);

    let verified = rt.block_on(job.finish(&silent)).unwrap();
    assert!(verified.is_whole() && verified.links > 20);
    for table in &verified.tables {
        assert!(table.rows > 0 && table.rows == table.found, "{} is not tested", table.table);
    }
    let again = rt.block_on(job.finish(&silent)).unwrap_err().to_string();
    assert!(again.contains("the move was finished"), "{again}");
    // As when a supervisor starts the old unit again.
    let old = app(block_on(privet_sqlite::open(folder.path())).unwrap()).unwrap_err().to_string();
    assert!(old.contains("moved to another store"), "{old}");
    let whole = rt.block_on(job.verify(&silent)).unwrap();
    assert!(whole.is_whole());
    let shown = format!("{job:?} {verified:?} {whole}");
    assert!(!shown.contains("hedges") && !shown.contains(&visitors.anna_id.to_string()));
    assert!(!shown.contains("postgres://") && !shown.contains(PASSWORD), "{shown}");

    let stranger = home.open(rt, KeyRing::generate().unwrap());
    assert!(matches!(stranger, Err(Error::Key { .. })), "with another key no app starts");
    let privet = home.open(rt, ring(folder.path())).unwrap();
    assert_eq!(seen(&privet, &visitors), before);
    // It goes on from here, and what was erased stays so.
    let mut erased = visitors.erased;
    erased.say(&privet, "hello again");
    assert!(matches!(
        block_on(privet.contact(&Scope::default(), visitors.erased_id)),
        Err(Error::NotFound { .. })
    ));
    asks(&privet, "a new one");
    let report = block_on(privet.verify_consent(&Tenant::default())).unwrap();
    assert_eq!(report.damage, None);
}

#[test]
fn everything_is_there_afterwards() {
    let Some(server) = server() else { return };
    let rt = runtime();
    let _in = rt.enter();
    everything_goes_over(&rt, &Home::one(server.url()));
}

/// Keys and ledger go where the app will look for them: each has its table, and the data has neither.
#[test]
fn keys_and_ledger_go_elsewhere() {
    let Some(server) = server() else { return };
    let rt = runtime();
    let _in = rt.enter();
    let url = another_database(&rt, server.url());
    let place = |url: &str, schema: &str| (url.to_owned(), schema.to_owned());
    let home = Home {
        data: place(&url, "data"),
        keys: place(&url, "secrets"),
        ledger: place(&url, "book"),
        walled: false,
    };
    everything_goes_over(&rt, &home);
    let tables = |url: &str, schema: &str| {
        sql(&rt, url, format!("SELECT 1 FROM pg_tables WHERE schemaname = '{schema}'"))
    };
    assert_eq!(
        (tables(&url, "secrets"), tables(&url, "book")),
        (2, 2),
        "each has its table, and its version"
    );
    let of_data = "SELECT 1 FROM pg_tables WHERE schemaname = 'data' AND tablename IN ('keys', 'ledger')";
    assert_eq!(sql(&rt, &url, of_data.to_owned()), 0);

    let (keys, ledger) = (another_database(&rt, server.url()), another_database(&rt, server.url()));
    let home = Home {
        data: place(&url, "other_data"),
        keys: place(&keys, "privet"),
        ledger: place(&ledger, "privet"),
        walled: false,
    };
    everything_goes_over(&rt, &home);
    assert_eq!((tables(&keys, "privet"), tables(&ledger, "privet"), tables(&url, "privet")), (2, 2, 0));
}

/// Behind row-level security, as the role that owns the tables and sees nothing without a tenant's name.
#[test]
fn it_moves_behind_row_level_security() {
    let rt = runtime();
    let _in = rt.enter();
    let Some(url) = rt.block_on(roles::app_url()) else { return };
    let one = Home { walled: true, ..Home::one(&url) };
    everything_goes_over(&rt, &one);
    for table in ["contacts", "consent_heads", "messages", "keys"] {
        let name = format!("\"{}\".{table}", one.data.1);
        assert_eq!(sql(&rt, &url, format!("SELECT 1 FROM {name}")), 0, "{table}: the wall stands");
        let there = sql(&rt, own_server().unwrap().url(), format!("SELECT 1 FROM {name}"));
        assert!(there > 0, "{table}: and there is something behind it");
    }
    // The wall may have been there before.
    let apart = another_database(&rt, &url);
    let home = Home { keys: (apart.clone(), "secrets".to_owned()), walled: true, ..Home::one(&url) };
    let options = PostgresOptions::new(&url).unwrap().schema(&home.data.1).row_security();
    rt.block_on(options.store()).unwrap();
    everything_goes_over(&rt, &home);

    let folder = tempfile::tempdir().unwrap();
    furnish(&on_sqlite(folder.path()));
    let silent = Progress::silent();
    let blind = Move::new(folder.path(), &url).schema(&home.data.1);
    let refused = rt.block_on(blind.verify(&silent)).unwrap_err().to_string();
    assert!(refused.contains("--row-security"), "{refused}");
    let passes = Home { walled: true, ..Home::one(own_server().unwrap().url()) }.job(folder.path());
    let refused = rt.block_on(passes.copy(&silent)).unwrap_err().to_string();
    assert!(refused.contains("no superuser"), "{refused}");
}

/// What is gone from SQLite goes from behind the wall, also what belongs to a tenant that is not there any more.
#[test]
fn what_is_gone_goes_from_behind_the_wall() {
    let rt = runtime();
    let _in = rt.enter();
    let Some(url) = rt.block_on(roles::app_url()) else { return };
    let (home, folder) = (Home { walled: true, ..Home::one(&url) }, tempfile::tempdir().unwrap());
    let privet = on_sqlite(folder.path());
    let visitors = furnish(&privet);
    let (job, silent) = (home.job(folder.path()).batch(7), Progress::silent());
    rt.block_on(job.copy(&silent)).unwrap();
    let schema = &home.data.1;
    let superuser = own_server().unwrap().url();
    for ghost in [
        format!(
            "INSERT INTO \"{schema}\".keys (tenant, kind, id, wrapped) VALUES ('ghost', 1, '\\x01', '\\x01')"
        ),
        format!("INSERT INTO \"{schema}\".fences VALUES ('ghost', '\\x01', 1, 1)"),
        format!("INSERT INTO \"{schema}\".consent_heads (tenant) VALUES ('ghost')"),
    ] {
        assert_eq!(sql(&rt, superuser, ghost), 1);
    }
    let count = |table: &str| sql(&rt, superuser, format!("SELECT 1 FROM \"{schema}\".{table}"));
    let keys = count("keys");
    block_on(officer(&privet).erase_contact(visitors.anna_id)).unwrap();
    drop(privet);
    let differs = rt.block_on(job.verify(&silent)).unwrap();
    for table in ["keys", "fences", "contacts"] {
        assert!(differs.tables.iter().any(|t| t.table == table && !t.equal), "{table}");
    }
    assert!(rt.block_on(job.finish(&silent)).unwrap().is_whole());
    assert_eq!(count("keys"), keys - 2, "the ghost's and Anna's");
    for table in ["keys", "fences", "consent_heads"] {
        let left = format!("SELECT 1 FROM \"{schema}\".{table} WHERE tenant = 'ghost'");
        assert_eq!(sql(&rt, superuser, left), 0, "{table}");
    }
}

/// A move that goes on with other places than it began with would take out what is somebody else's.
#[test]
fn another_place_for_the_keys_is_refused_and_left_alone() {
    let Some(server) = server() else { return };
    let rt = runtime();
    let _in = rt.enter();
    let theirs = Home::one(server.url());
    furnish(&theirs.open(&rt, KeyRing::generate().unwrap()).unwrap());
    let folder = tempfile::tempdir().unwrap();
    furnish(&on_sqlite(folder.path()));
    let silent = Progress::silent();
    let count = |table: &str| sql(&rt, server.url(), format!("SELECT 1 FROM \"{}\".{table}", theirs.data.1));
    let (keys, lines) = (count("keys"), count("ledger"));
    assert!(keys > 0 && lines > 0);

    let mine = Home { keys: (server.url().to_owned(), fresh_name()), ..Home::one(server.url()) };
    let at_first = Home { keys: theirs.keys.clone(), ..mine.clone() };
    let refused = rt.block_on(at_first.job(folder.path()).copy(&silent)).unwrap_err().to_string();
    assert!(refused.contains("has rows in `keys` and does not say whose"), "{refused}");
    rt.block_on(mine.job(folder.path()).copy(&silent)).unwrap();
    for later in [at_first, Home { ledger: theirs.ledger.clone(), ..mine.clone() }] {
        let job = later.job(folder.path());
        for done in [rt.block_on(job.copy(&silent)).map(drop), rt.block_on(job.finish(&silent)).map(drop)] {
            let refused = done.unwrap_err().to_string();
            assert!(refused.contains("went elsewhere when the move"), "{refused}");
        }
    }
    assert_eq!((count("keys"), count("ledger")), (keys, lines));
    assert!(rt.block_on(mine.job(folder.path()).finish(&silent)).unwrap().is_whole());
}

/// Visitors come, write, withdraw and are erased while it copies; what they left in the end is on the other side, and what was
/// erased is not.
#[test]
fn the_app_serves_meanwhile() {
    let Some(server) = server() else { return };
    let (rt, schema, folder) = (runtime(), fresh_name(), tempfile::tempdir().unwrap());
    let _in = rt.enter();
    let privet = on_sqlite(folder.path());
    let mut visitors = furnish(&privet);
    let job = Move::new(folder.path(), server.url()).schema(&schema).batch(5);
    let silent = Progress::silent();
    rt.block_on(job.copy(&silent)).unwrap();

    let (stop, privet_there) = (AtomicBool::new(false), privet.clone());
    let (written, gone) = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let (mut written, mut gone) = (0, Vec::new());
            while !stop.load(Ordering::Relaxed) || written < 10 {
                let (mut one, id, _) = asks(&privet_there, &format!("meanwhile {written}"));
                one.say(&privet_there, "and more");
                match written % 3 {
                    0 => {
                        block_on(officer(&privet_there).erase_contact(id)).unwrap();
                        gone.push(id);
                    }
                    1 => drop(one.withdraw(&privet_there, &[]).0.unwrap()),
                    _ => {}
                }
                written += 1;
            }
            (written, gone)
        });
        for _ in 0..3 {
            rt.block_on(job.copy(&silent)).unwrap();
        }
        stop.store(true, Ordering::Relaxed);
        writer.join().unwrap()
    });
    assert!(written >= 10);
    // One who was copied long ago.
    block_on(officer(&privet).erase_contact(visitors.anna_id)).unwrap();
    block_on(privet.flush()).unwrap();
    let before = block_on(privet.contacts(&Scope::default(), &PageRequest::first(100))).unwrap().contacts;
    drop((privet, privet_there));

    assert!(rt.block_on(job.finish(&silent)).unwrap().is_whole());
    let privet = on_postgres(&rt, server.url(), &schema, ring(folder.path())).unwrap();
    let after = block_on(privet.contacts(&Scope::default(), &PageRequest::first(100))).unwrap().contacts;
    assert_eq!(format!("{after:?}"), format!("{before:?}"));
    for id in gone.into_iter().chain([visitors.anna_id, visitors.erased_id]) {
        assert!(block_on(privet.contact(&Scope::default(), id)).is_err());
    }
    visitors.anna.say(&privet, "am I there?");
    assert!(block_on(privet.contact(&Scope::default(), visitors.anna_id)).is_err());
    assert_eq!(block_on(privet.verify_consent(&Tenant::default())).unwrap().damage, None);
}

/// One byte in any table is found by the comparison, one in a consent record by its chain as well; while the move is under way the
/// next pass mends it.
#[test]
fn a_flipped_byte_is_found() {
    let Some(server) = server() else { return };
    let (rt, schema, folder) = (runtime(), fresh_name(), tempfile::tempdir().unwrap());
    let _in = rt.enter();
    furnish(&on_sqlite(folder.path()));
    let job = Move::new(folder.path(), server.url()).schema(&schema).batch(10);
    let silent = Progress::silent();
    rt.block_on(job.copy(&silent)).unwrap();
    let flip = |table: &tables::Table| {
        let (column, kind) = table.columns.last().copied().unwrap();
        use tables::Kind::{Body, Bool, Bytes, Int, Small, Text, Word};
        let other = match kind {
            Text | Word => format!("{column} || 'x'"),
            Body | Bytes => format!("coalesce(set_byte({column}, 0, get_byte({column}, 0) # 1), '\\x00')"),
            Int | Small => format!("coalesce({column}, 0) + 1"),
            Bool => format!("NOT {column}"),
        };
        let name = format!("\"{schema}\".{}", table.name);
        sql(
            &rt,
            server.url(),
            format!("UPDATE {name} SET {column} = {other} WHERE ctid = (SELECT min(ctid) FROM {name})"),
        )
    };
    for table in tables::TABLES.iter().chain([&tables::KEYS, &tables::LEDGER]) {
        assert_eq!(flip(table), 1, "{}", table.name);
        let found = rt.block_on(job.verify(&silent)).unwrap();
        let differ: Vec<_> = found.tables.iter().filter(|t| !t.equal).map(|t| t.table).collect();
        assert_eq!(differ, [table.name]);
        let chained = ["consent_links", "consent_records", "ledger"].contains(&table.name);
        assert_eq!(found.damage.is_empty(), !chained, "{:?}", found.damage);
        let passes = rt.block_on(job.copy(&silent)).unwrap();
        assert_eq!(passes[0], (1, 1), "{}", table.name);
        assert!(rt.block_on(job.verify(&silent)).unwrap().is_whole());
    }
    assert!(rt.block_on(job.finish(&silent)).unwrap().is_whole());
}

/// A target that is somebody else's stays as it is.
#[test]
fn a_foreign_target_is_refused() {
    let Some(server) = server() else { return };
    let rt = runtime();
    let _in = rt.enter();
    let (mine, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for folder in [&mine, &other] {
        asks(&on_sqlite(folder.path()), "hello");
    }
    let silent = Progress::silent();
    let refused = |schema: &str, says: &str| {
        let job = Move::new(mine.path(), server.url()).schema(schema);
        for error in [
            rt.block_on(job.copy(&silent)).err(),
            rt.block_on(job.finish(&silent)).err(),
            rt.block_on(job.verify(&silent)).err(),
        ] {
            let error = error.unwrap().to_string();
            assert!(error.contains(says), "{error}");
        }
    };

    let served = fresh_name();
    let privet = on_postgres(&rt, server.url(), &served, KeyRing::generate().unwrap()).unwrap();
    asks(&privet, "I am somebody else's");
    refused(&served, "already serves another installation");
    assert_eq!(
        block_on(privet.contacts(&Scope::default(), &PageRequest::first(9))).unwrap().contacts.len(),
        1
    );

    let moving = fresh_name();
    rt.block_on(Move::new(other.path(), server.url()).schema(&moving).copy(&silent)).unwrap();
    refused(&moving, "a move of another installation");

    let unknown = fresh_name();
    let options = PostgresOptions::new(server.url()).unwrap().schema(&unknown);
    rt.block_on(options.store()).unwrap();
    sql(&rt, server.url(), format!("INSERT INTO \"{unknown}\".fences VALUES ('main', '\\x01', 1, 1)"));
    refused(&unknown, "does not say whose");

    // One that serves with the very key of this installation may have more than SQLite has.
    let serving = fresh_name();
    let options = PostgresOptions::new(server.url()).unwrap().schema(&serving);
    app(rt.block_on(options.storage(ring(mine.path()))).unwrap()).unwrap();
    let job = Move::new(mine.path(), server.url()).schema(&serving);
    let error = rt.block_on(job.copy(&silent)).unwrap_err().to_string();
    assert!(error.contains("holds nothing of the move"), "{error}");
}

/// A look at a place where nothing is makes nothing there, and a place that is refused is not brought up to date either.
#[test]
fn a_look_changes_nothing() {
    let Some(server) = server() else { return };
    let (rt, folder) = (runtime(), tempfile::tempdir().unwrap());
    let _in = rt.enter();
    asks(&on_sqlite(folder.path()), "hello");
    let (empty, old, silent) = (fresh_name(), fresh_name(), Progress::silent());
    let look = Move::new(folder.path(), server.url()).schema(&empty);
    let error = rt.block_on(look.verify(&silent)).unwrap_err().to_string();
    assert!(error.contains("has nothing yet"), "{error}");
    assert_eq!(sql(&rt, server.url(), format!("SELECT 1 FROM pg_namespace WHERE nspname = '{empty}'")), 0);
    let text = format!(
        "CREATE SCHEMA \"{old}\"; CREATE TABLE \"{old}\".meta (key TEXT PRIMARY KEY, value BYTEA);
         INSERT INTO \"{old}\".meta VALUES ('installation-key', '\\x01')"
    );
    rt.block_on(async {
        let mut connection = PgConnection::connect(server.url()).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut connection).await.unwrap();
    });
    let job = Move::new(folder.path(), server.url()).schema(&old);
    let error = rt.block_on(job.copy(&silent)).unwrap_err().to_string();
    assert!(error.contains("already serves another installation"), "{error}");
    assert_eq!(sql(&rt, server.url(), format!("SELECT 1 FROM pg_tables WHERE schemaname = '{old}'")), 1);
}

/// What fails at the very end leaves the old side serving; and what was cut off there goes on, with nobody on either side.
#[test]
fn never_do_both_sides_serve() {
    let Some(server) = server() else { return };
    let (rt, schema, folder) = (runtime(), fresh_name(), tempfile::tempdir().unwrap());
    let _in = rt.enter();
    asks(&on_sqlite(folder.path()), "hello");
    let (job, silent) = (Move::new(folder.path(), server.url()).schema(&schema), Progress::silent());
    rt.block_on(job.copy(&silent)).unwrap();
    let (constraint, name) =
        ("CHECK (key <> 'installation-key' OR value = '(moving)')", format!("\"{schema}\".meta"));
    sql(&rt, server.url(), format!("ALTER TABLE {name} ADD CONSTRAINT stays {constraint}"));
    assert!(rt.block_on(job.finish(&silent)).is_err());
    asks(&on_sqlite(folder.path()), "the old side serves on");
    assert!(on_postgres(&rt, server.url(), &schema, ring(folder.path())).is_err());
    sql(&rt, server.url(), format!("ALTER TABLE {name} DROP CONSTRAINT stays"));

    // As if it had been killed between the two.
    let file = rusqlite::Connection::open(folder.path().join("privet.db")).unwrap();
    let identity = rt.block_on(async {
        let mut connection = PgConnection::connect(server.url()).await.unwrap();
        let sql = "SELECT format('%s/%s/%s', (SELECT system_identifier FROM pg_control_system()),
            (SELECT oid FROM pg_database WHERE datname = current_database()), to_regclass($1)::oid)";
        let row = sqlx::query(sql).bind(&name).fetch_one(&mut connection).await.unwrap();
        row.get::<String, _>(0)
    });
    file.execute_batch(&format!(
        "INSERT INTO meta SELECT 'key-before-the-move', value FROM meta WHERE key = 'installation-key';
         INSERT INTO meta VALUES ('moved-to', CAST('{identity}' AS BLOB));
         UPDATE meta SET value = CAST('(moved!)' AS BLOB) WHERE key = 'installation-key';",
    ))
    .unwrap();
    drop(file);
    assert!(app(block_on(privet_sqlite::open(folder.path())).unwrap()).is_err());
    assert!(on_postgres(&rt, server.url(), &schema, ring(folder.path())).is_err());
    assert!(rt.block_on(job.finish(&silent)).unwrap().is_whole());
    let privet = on_postgres(&rt, server.url(), &schema, ring(folder.path())).unwrap();
    let contacts = || block_on(privet.contacts(&Scope::default(), &PageRequest::first(9))).unwrap().contacts;
    assert_eq!(contacts().len(), 2);
    assert!(rt.block_on(job.verify(&silent)).unwrap().is_whole());
    // Nor does a look shut out the app that serves.
    let error = rt.block_on(job.clone().row_security().verify(&silent)).unwrap_err().to_string();
    assert!(error.contains("serves without row-level security"), "{error}");
    assert_eq!(contacts().len(), 2);
    let elsewhere = fresh_name();
    let error = rt.block_on(job.keys_schema(&elsewhere).verify(&silent)).unwrap_err().to_string();
    assert!(error.contains("has nothing yet"), "{error}");
    assert_eq!(
        sql(&rt, server.url(), format!("SELECT 1 FROM pg_namespace WHERE nspname = '{elsewhere}'")),
        0
    );
}

/// SQLite was put back from a backup between two passes, and an id that stood elsewhere comes again.
#[test]
fn an_id_may_stand_elsewhere_than_before() {
    let Some(server) = server() else { return };
    let (rt, schema, folder) = (runtime(), fresh_name(), tempfile::tempdir().unwrap());
    let _in = rt.enter();
    furnish(&on_sqlite(folder.path()));
    let job = Move::new(folder.path(), server.url()).schema(&schema).batch(5);
    let silent = Progress::silent();
    rt.block_on(job.copy(&silent)).unwrap();
    let file = rusqlite::Connection::open(folder.path().join("privet.db")).unwrap();
    file.execute_batch(
        "CREATE TEMP TABLE old AS SELECT seq, id FROM consent_records WHERE seq IN (1, 20);
         UPDATE consent_records SET id = randomblob(16) WHERE seq IN (1, 20);
         UPDATE consent_records SET id = (SELECT id FROM old WHERE seq = CASE consent_records.seq WHEN 1 THEN 20 ELSE 1 END) WHERE seq IN (1, 20);",
    )
    .unwrap();
    drop(file);
    rt.block_on(job.copy(&silent)).unwrap();
    let found = rt.block_on(job.verify(&silent)).unwrap();
    assert!(found.tables.iter().all(|table| table.equal));
    // That such a chain is not whole is found on the new side as well, and it is not handed over.
    assert!(found.damage[0].contains("not whole at 1"), "{:?}", found.damage);
    assert!(rt.block_on(job.finish(&silent)).unwrap_err().to_string().contains("nothing was handed over"));
}
