//! What a move does not do: go twice, go behind somebody's back, or hand over without a word what is damaged.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that meets something else has failed")]

#[path = "../../../core/tests/common/mod.rs"]
mod common;
mod house;
#[path = "../../../adapters/postgres/tests/roles/mod.rs"]
mod roles;

use std::path::Path;
use std::process::{Command, Output};

use futures_executor::block_on;
use house::{Home, app, asks, furnish, on_postgres, on_sqlite, ring, runtime};
use migrate::{Move, Progress};
use privet::consent::Damage;
use privet::store::LedgerEntry;
use privet::{KeyRing, Tenant, Timestamp};
use privet_postgres::PostgresOptions;
use privet_test_postgres::{PASSWORD, fresh_name, own_server};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio::runtime::Runtime;

/// Statements; how many rows the last of them changed or gave.
fn sql(rt: &Runtime, url: &str, text: String) -> u64 {
    rt.block_on(async {
        let mut connection = PgConnection::connect(url).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut connection).await.unwrap().rows_affected()
    })
}

fn is_there(rt: &Runtime, url: &str, schema: &str) -> bool {
    sql(rt, url, format!("SELECT 1 FROM pg_namespace WHERE nspname = '{schema}'")) > 0
}

fn program(folder: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_migrate"));
    command.arg("--from").arg(folder).args(more);
    for name in ["PRIVET_DB", "PRIVET_DB_SCHEMA", "PRIVET_KEYS_DB", "PRIVET_LEDGER_DB"] {
        command.env_remove(name);
    }
    command
}

fn said(output: &Output) -> String {
    String::from_utf8([&output.stdout[..], &output.stderr].concat()).unwrap()
}

/// P7: whoever is erased on the side that serves would be back in a second target.
#[test]
fn what_moved_goes_nowhere_else() {
    let Some(server) = own_server() else { return };
    let (rt, folder) = (runtime(), tempfile::tempdir().unwrap());
    let _in = rt.enter();
    asks(&on_sqlite(folder.path()), "hello");
    let (silent, [one, two, three]) = (Progress::silent(), [(); 3].map(|()| fresh_name()));
    let job = |schema: &str| Move::new(folder.path(), server.url()).schema(schema);
    // Two moves begin, which is nobody's harm.
    rt.block_on(job(&one).copy(&silent)).unwrap();
    rt.block_on(job(&two).copy(&silent)).unwrap();
    assert!(rt.block_on(job(&one).finish(&silent)).unwrap().is_whole());
    for other in [&two, &three] {
        let refused = [
            rt.block_on(job(other).copy(&silent)).unwrap_err(),
            rt.block_on(job(other).finish(&silent)).unwrap_err(),
        ];
        for error in refused.map(|e| e.to_string()) {
            assert!(error.contains(&format!("was moved already, to schema `{one}`")), "{error}");
            assert!(!error.contains("postgres://"), "{error}");
        }
        assert!(on_postgres(&rt, server.url(), &two, ring(folder.path())).is_err());
    }
    assert!(!is_there(&rt, server.url(), &three), "nothing is made there either");
    // Nor is a place that an app was started on taken for the one that it moved to.
    on_postgres(&rt, server.url(), &three, ring(folder.path())).unwrap();
    let started = rt.block_on(job(&three).finish(&silent)).unwrap_err().to_string();
    assert!(started.contains(&format!("was moved already, to schema `{one}`")), "{started}");
    let again = rt.block_on(job(&one).finish(&silent)).unwrap_err().to_string();
    assert!(again.contains("the move was finished"), "{again}");
    assert!(rt.block_on(job(&one).verify(&silent)).unwrap().is_whole());
    // Files of which it is not known where they moved to go nowhere.
    let file = rusqlite::Connection::open(folder.path().join("privet.db")).unwrap();
    assert_eq!(file.execute("DELETE FROM meta WHERE key LIKE 'moved-to%'", []).unwrap(), 2);
    drop(file);
    let unknown = rt.block_on(job(&two).finish(&silent)).unwrap_err().to_string();
    assert!(unknown.contains("was moved already, to another place"), "{unknown}");
}

/// Files from before the end, as from a backup, do not go over what was written on the new side since.
#[test]
fn a_finished_move_is_known_by_its_target() {
    let Some(server) = own_server() else { return };
    let (rt, schema, folder) = (runtime(), fresh_name(), tempfile::tempdir().unwrap());
    let _in = rt.enter();
    asks(&on_sqlite(folder.path()), "hello");
    let backup = tempfile::tempdir().unwrap();
    for name in ["privet.db", "keys.db", "ledger.jsonl", "privet.key"] {
        std::fs::copy(folder.path().join(name), backup.path().join(name)).unwrap();
    }
    let silent = Progress::silent();
    rt.block_on(Move::new(folder.path(), server.url()).schema(&schema).finish(&silent)).unwrap();
    let again = Move::new(backup.path(), server.url()).schema(&schema);
    let error = rt.block_on(again.copy(&silent)).unwrap_err().to_string();
    assert!(error.contains("the move was finished"), "{error}");
}

#[test]
fn an_app_that_was_there_first_is_no_finished_move() {
    let Some(server) = own_server() else { return };
    let (rt, schema, folder) = (runtime(), fresh_name(), tempfile::tempdir().unwrap());
    let _in = rt.enter();
    asks(&on_sqlite(folder.path()), "hello");
    drop(on_postgres(&rt, server.url(), &schema, ring(folder.path())).unwrap());
    let (job, silent) = (Move::new(folder.path(), server.url()).schema(&schema), Progress::silent());
    for error in [
        rt.block_on(job.copy(&silent)).unwrap_err(),
        rt.block_on(job.finish(&silent)).unwrap_err(),
        rt.block_on(job.verify(&silent)).unwrap_err(),
    ] {
        let error = error.to_string();
        assert!(error.contains("holds nothing of the move") && error.contains("drop it"), "{error}");
    }
    // The cure.
    sql(&rt, server.url(), format!("DROP SCHEMA \"{schema}\" CASCADE"));
    assert!(rt.block_on(job.finish(&silent)).unwrap().is_whole());
}

/// The app is told where everything is, by a tool that is told the same way.
#[test]
fn it_says_where_everything_went() {
    let Some(server) = own_server() else { return };
    let Some(url) = server.tcp_url("postgres") else { return };
    let (rt, folder, [schema, keys]) =
        (runtime(), tempfile::tempdir().unwrap(), [(); 2].map(|()| fresh_name()));
    let _in = rt.enter();
    drop(on_sqlite(folder.path()));
    let more = ["--to", &url, "--keys-schema", &keys];
    let host = url.rsplit_once('@').unwrap().1.split('/').next().unwrap();
    for end in [&[][..], &["--finish"]] {
        let output =
            program(folder.path(), &[&more[..], end].concat()).env("PRIVET_DB_SCHEMA", &schema).output();
        let text = said(&output.unwrap());
        for (part, schema) in [("data:  ", &schema), ("keys:  ", &keys), ("ledger:", &schema)] {
            let line = format!("{part} schema `{schema}`, database `postgres`, at {host}\n");
            assert!(text.contains(&line), "{line}{text}");
        }
        assert!(!text.contains(PASSWORD) && !text.contains("postgres://"), "{text}");
    }
    on_postgres(&rt, server.url(), &schema, ring(folder.path())).unwrap();

    // An app that is told of a database for its keys, and of nothing else, looks in the schema of that name.
    for part in ["keys", "ledger"] {
        let more = ["--to", &url, "--schema", &schema, &format!("--{part}-url"), &url];
        let output = program(folder.path(), &more).output().unwrap();
        let text = said(&output);
        assert!(text.contains(&format!("name it with --{part}-schema")), "{text}");
        assert!(output.status.code() == Some(2) && !text.contains(PASSWORD), "{text}");
    }
}

#[test]
fn it_says_how_it_is_called() {
    let output = program(Path::new("nowhere"), &["--help"]).output().unwrap();
    assert!(output.status.success());
    assert!(String::from_utf8(output.stdout).unwrap().contains("exit code: 0 done"));
}

#[test]
fn passwords_in_the_wrong_place_stay_there() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("postgres://app:{PASSWORD}@127.0.0.1:1/app");
    let from = url.as_str();
    let rest = ["--to", "./chat-data"];
    for (from, more) in [
        (from, &rest[..]),
        (".", &["--to", from, "--batch", from]),
        (".", &["--to", from, "--schema", from, "--verify"]),
        (".", &["--to", from, "--keys-schema", from]),
        (".", &["--to", from, "--ledger-schema", from]),
    ] {
        let from = if from == "." { folder.path() } else { Path::new(from) };
        let output = program(from, more).output().unwrap();
        let text = said(&output);
        assert_eq!(output.status.code(), Some(2));
        assert!(!text.contains(PASSWORD), "{text}");
        assert!(
            text.contains("is a URL, in the wrong place") || text.contains("no number of rows"),
            "{text}"
        );
    }
}

/// Who serves from keys, in whatever schema, does not lose sight of them.
#[test]
fn no_wall_is_raised_before_the_keys_of_others() {
    let rt = runtime();
    let _in = rt.enter();
    let Some(url) = rt.block_on(roles::app_url()) else { return };
    let theirs = Home::one(&url);
    let privet = theirs.open(&rt, KeyRing::generate().unwrap()).unwrap();
    let (mut visitor, ..) = asks(&privet, "I am somebody else's");
    let folder = tempfile::tempdir().unwrap();
    asks(&on_sqlite(folder.path()), "hello");
    let mine = Home { walled: true, keys: theirs.keys.clone(), ..Home::one(&url) };
    let silent = Progress::silent();
    for error in [
        rt.block_on(mine.job(folder.path()).copy(&silent)).unwrap_err(),
        rt.block_on(mine.job(folder.path()).finish(&silent)).unwrap_err(),
    ] {
        let error = error.to_string();
        assert!(error.contains("has keys that are not of this move"), "{error}");
    }
    assert!(!is_there(&rt, &url, &mine.data.1), "nothing is made elsewhere");
    visitor.say(&privet, "and I am still here");
    assert_eq!(visitor.texts(&privet).len(), 2);
    // A move that began without the wall may go on with it.
    let later = Home { walled: true, ..Home::one(&url) };
    rt.block_on(Home { walled: false, ..later.clone() }.job(folder.path()).copy(&silent)).unwrap();
    assert!(rt.block_on(later.job(folder.path()).finish(&silent)).unwrap().is_whole());
}

/// A comparison makes no months, brings nothing up to date and raises no wall.
#[test]
fn a_comparison_changes_nothing() {
    let Some(server) = own_server() else { return };
    let (rt, schema, folder) = (runtime(), fresh_name(), tempfile::tempdir().unwrap());
    let _in = rt.enter();
    asks(&on_sqlite(folder.path()), "hello");
    let (job, silent) = (Move::new(folder.path(), server.url()).schema(&schema), Progress::silent());
    rt.block_on(job.copy(&silent)).unwrap();
    let months = format!(
        "SELECT 1 FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
         WHERE i.inhparent = to_regclass('\"{schema}\".messages') AND c.relname <> 'messages_default'"
    );
    let drop_all = format!(
        "DO $$ DECLARE month regclass; BEGIN
           FOR month IN SELECT c.oid::regclass FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
             WHERE i.inhparent = to_regclass('\"{schema}\".messages') AND c.relname <> 'messages_default'
           LOOP EXECUTE 'DROP TABLE ' || month; END LOOP; END $$"
    );
    sql(&rt, server.url(), drop_all);
    rt.block_on(job.verify(&silent)).unwrap();
    assert_eq!(sql(&rt, server.url(), months), 0);
    let older = format!(
        "DROP TABLE \"{schema}\".leases; DELETE FROM \"{schema}\"._privet_migrations WHERE version = 2"
    );
    sql(&rt, server.url(), older);
    let error = rt.block_on(job.verify(&silent)).unwrap_err().to_string();
    assert!(error.contains("not up to date"), "{error}");
    assert_eq!(
        sql(
            &rt,
            server.url(),
            format!("SELECT 1 FROM pg_tables WHERE schemaname = '{schema}' AND tablename = 'leases'")
        ),
        0
    );
}

/// Damage that SQLite has is told by the first call, stops the last one with what helps, and goes over as it is if that is said.
#[test]
fn damage_of_sqlite_itself_is_told_early_and_goes_over_on_request() {
    let Some(server) = own_server() else { return };
    let (rt, schema, folder) = (runtime(), fresh_name(), tempfile::tempdir().unwrap());
    let _in = rt.enter();
    furnish(&on_sqlite(folder.path()));
    // A chain that the ledger alone knows of, and records that no chain knows of.
    let storage = block_on(privet_sqlite::open(folder.path())).unwrap();
    let (_, link) = block_on(storage.store.chain_heads()).unwrap()[0].clone();
    let head =
        LedgerEntry::Head { tenant: Tenant::new("cut-off").unwrap(), link, at: Timestamp::from_millis(1) };
    block_on(storage.ledger.append(&[head])).unwrap();
    drop(storage);
    let file = rusqlite::Connection::open(folder.path().join("privet.db")).unwrap();
    file.execute_batch(
        "CREATE TEMP TABLE beside AS SELECT * FROM consent_records LIMIT 1; UPDATE beside SET tenant = 'beside';
         INSERT INTO consent_records SELECT * FROM beside",
    )
    .unwrap();
    drop(file);
    let tells = |text: &str| {
        let cut = format!("the chain of tenant `cut-off` is not whole at 1: {}", Damage::TailCut);
        let beside = format!("the chain of tenant `beside` is not whole at 1: {}", Damage::Unchained);
        assert!(text.contains(&cut) && text.contains(&beside), "{text}");
    };

    let more = ["--to", server.url(), "--schema", &schema];
    let copied = program(folder.path(), &more).output().unwrap();
    assert!(copied.status.success());
    let text = said(&copied);
    tells(&text);
    assert!(text.contains("SQLite itself has this") && text.contains("--with-damage"), "{text}");
    let refused = program(folder.path(), &[&more[..], &["--finish"]].concat()).output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
    let text = said(&refused);
    tells(&text);
    assert!(text.contains("nothing was handed over") && text.contains("--with-damage"), "{text}");
    assert!(!text.contains("nobody else writes"), "{text}");
    drop(on_sqlite(folder.path()));
    let done =
        program(folder.path(), &[&more[..], &["--finish", "--with-damage"]].concat()).output().unwrap();
    assert!(done.status.success(), "{}", said(&done));
    tells(&said(&done));
    let compared = program(folder.path(), &[&more[..], &["--verify"]].concat()).output().unwrap();
    assert_eq!(compared.status.code(), Some(1));
    assert!(
        said(&compared).contains("Both sides are equal, and SQLite itself has this"),
        "{}",
        said(&compared)
    );
    on_postgres(&rt, server.url(), &schema, ring(folder.path())).unwrap();
}

/// What PostgreSQL keeps as the end of each chain is compared as well: the next record is appended to that.
#[test]
fn a_false_end_of_a_chain_is_found() {
    let Some(server) = own_server() else { return };
    let (rt, schema, folder) = (runtime(), fresh_name(), tempfile::tempdir().unwrap());
    let _in = rt.enter();
    asks(&on_sqlite(folder.path()), "hello");
    let (job, silent) = (Move::new(folder.path(), server.url()).schema(&schema), Progress::silent());
    // Somebody else writes: the end that is derived is another one.
    rt.block_on(job.copy(&silent)).unwrap();
    let trigger = format!(
        "CREATE FUNCTION \"{schema}\".other() RETURNS trigger LANGUAGE plpgsql AS
           $$ BEGIN NEW.hash := sha256(NEW.hash); RETURN NEW; END $$;
         CREATE TRIGGER other BEFORE INSERT ON \"{schema}\".consent_heads
           FOR EACH ROW EXECUTE FUNCTION \"{schema}\".other()"
    );
    sql(&rt, server.url(), trigger);
    let error = rt.block_on(job.clone().with_damage().finish(&silent)).unwrap_err().to_string();
    assert!(error.contains("`consent_heads` is not the last link of tenant `main`"), "{error}");
    assert!(error.contains("nobody else writes"), "{error}");
    sql(&rt, server.url(), format!("DROP TRIGGER other ON \"{schema}\".consent_heads"));
    assert!(rt.block_on(job.finish(&silent)).unwrap().is_whole());
    assert!(rt.block_on(job.verify(&silent)).unwrap().is_whole());
    sql(&rt, server.url(), format!("UPDATE \"{schema}\".consent_heads SET seq = seq - 1"));
    let found = rt.block_on(job.verify(&silent)).unwrap();
    assert!(!found.is_whole() && !found.is_equal());
    assert_eq!(found.false_heads, ["main"]);
}

/// Far more on the other side than on this one goes part by part.
#[test]
fn a_multitude_that_is_too_much_goes() {
    let Some(server) = own_server() else { return };
    let (rt, schema, folder) = (runtime(), fresh_name(), tempfile::tempdir().unwrap());
    let _in = rt.enter();
    furnish(&on_sqlite(folder.path()));
    let job = Move::new(folder.path(), server.url()).schema(&schema).batch(7);
    let silent = Progress::silent();
    rt.block_on(job.copy(&silent)).unwrap();
    for tenant in ["main", "ghost"] {
        let many = format!(
            "INSERT INTO \"{schema}\".audit_events SELECT '{tenant}', decode(md5(n::text), 'hex'), 'shop', n, 'Olga', 1, NULL, 1
             FROM generate_series(1, 500) AS n"
        );
        assert_eq!(sql(&rt, server.url(), many), 500);
    }
    let found = rt.block_on(job.verify(&silent)).unwrap();
    let events = found.tables.iter().find(|t| t.table == "audit_events").unwrap();
    assert_eq!(events.found, events.rows + 1000);
    let passes = rt.block_on(job.copy(&silent)).unwrap();
    assert_eq!(passes, [(0, 1000), (0, 0)]);
    assert!(rt.block_on(job.verify(&silent)).unwrap().is_whole());
    let options = PostgresOptions::new(server.url()).unwrap().schema(&schema);
    assert!(app(rt.block_on(options.storage(ring(folder.path()))).unwrap()).is_err(), "it is still moving");
}
