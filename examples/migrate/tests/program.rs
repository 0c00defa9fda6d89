//! The program: killed and called again, watched, and called wrongly.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test that meets something else has failed"
)]

#[path = "../../../core/tests/common/mod.rs"]
mod common;
mod house;
#[path = "../../../adapters/postgres/tests/roles/mod.rs"]
mod roles;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use house::{Home, another_database, furnish, on_sqlite, ring, runtime, seen};
use privet_test_postgres::{PASSWORD, fresh_name, own_server, server};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};
use tokio::runtime::Runtime;

fn program(folder: &Path, to: &str, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_migrate"));
    command.arg("--from").arg(folder).args(["--to", to]).args(more).env_remove("PRIVET_DB");
    command.env_remove("PRIVET_DB_SCHEMA").env_remove("PRIVET_KEYS_DB").env_remove("PRIVET_LEDGER_DB");
    command
}

fn said(output: &Output) -> String {
    String::from_utf8([&output.stdout[..], &output.stderr].concat()).unwrap()
}

#[test]
fn killed_in_the_middle_it_goes_on() {
    let Some(server) = server() else { return };
    let rt = runtime();
    let _in = rt.enter();
    goes_on(&rt, server.url(), &Home::one(server.url()));
}

/// With keys in another database and the ledger in another schema, behind row-level security.
#[test]
fn killed_in_the_middle_it_goes_on_in_several_places() {
    let rt = runtime();
    let _in = rt.enter();
    let Some(url) = rt.block_on(roles::app_url()) else { return };
    let home = Home {
        keys: (another_database(&rt, &url), "secrets".to_owned()),
        ledger: (url.clone(), fresh_name()),
        walled: true,
        ..Home::one(&url)
    };
    goes_on(&rt, own_server().unwrap().url(), &home);
}

/// Killed for real, in the middle of the first pass and of the last one, it goes on and ends with both sides equal.
fn goes_on(rt: &Runtime, superuser: &str, home: &Home) {
    let (folder, words) = (tempfile::tempdir().unwrap(), home.words());
    let (to, schema) = &home.data;
    let privet = on_sqlite(folder.path());
    let visitors = furnish(&privet);
    let before = seen(&privet, &visitors);
    let early = program(folder.path(), to, &[&words[..], &["--finish"]].concat()).output().unwrap();
    assert_eq!(early.status.code(), Some(2));
    assert!(said(&early).contains("in use: the app still runs"), "{}", said(&early));
    drop(privet);
    // Enough of them to be in the middle of.
    const MANY: i64 = 20_000;
    let file = rusqlite::Connection::open(folder.path().join("privet.db")).unwrap();
    let events = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < ?1)
        INSERT INTO audit_events SELECT 'other', randomblob(16), 'shop', n, 'Olga', 1, NULL, 1 FROM n";
    file.execute(events, [MANY]).unwrap();
    drop(file);
    let mut connection = rt.block_on(PgConnection::connect(superuser)).unwrap();
    let mut copied = || {
        let count = format!("SELECT count(*) FROM \"{schema}\".audit_events");
        let row = rt.block_on(sqlx::query(AssertSqlSafe(count)).fetch_one(&mut connection));
        row.map_or(0, |row| row.get::<i64, _>(0))
    };

    for (more, until) in [(&["--batch", "20"][..], 1_000), (&["--batch", "20", "--finish"], 6_000)] {
        let mut child = program(folder.path(), to, &[&words[..], more].concat());
        let mut child = child.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let begun = Instant::now();
        while copied() < until {
            assert!(begun.elapsed() < Duration::from_secs(60) && child.try_wait().unwrap().is_none());
        }
        // SIGKILL.
        child.kill().unwrap();
        assert!(!child.wait().unwrap().success());
        let half = copied();
        assert!((until..MANY).contains(&half), "{half} of {MANY}");
    }
    let ended = program(folder.path(), to, &[&words[..], &["--finish"]].concat()).output().unwrap();
    let text = said(&ended);
    assert!(ended.status.success() && text.contains("Both sides are equal"), "{text}");
    assert!(text.contains("last pass: ") && text.contains("  audit_events: "), "plain lines: {text}");
    assert!(!text.contains("hedges") && !text.contains("\r"), "{text}");
    let mut verify = Command::new(env!("CARGO_BIN_EXE_migrate"));
    verify
        .arg("--from")
        .arg(folder.path())
        .arg("--verify")
        .args(words.iter().filter(|word| **word != home.keys.0 && **word != "--keys-url"))
        .args(["--keys-schema", &home.keys.1]);
    let verified = verify.env("PRIVET_DB", to).env("PRIVET_KEYS_DB", &home.keys.0).output().unwrap();
    assert!(verified.status.success(), "{}", said(&verified));
    rusqlite::Connection::open(folder.path().join("privet.db"))
        .unwrap()
        .execute("DELETE FROM notes", [])
        .unwrap();
    let differs = verify.output().unwrap();
    assert_eq!(differs.status.code(), Some(1));
    assert!(
        said(&differs).contains("They differ: `notes` differs (0 rows here, 1 there)."),
        "{}",
        said(&differs)
    );
    let privet = home.open(rt, ring(folder.path())).unwrap();
    assert_eq!(seen(&privet, &visitors), before);
}

/// What a terminal shows in the end of what was written to it.
fn screen(written: &str) -> Vec<String> {
    let (mut lines, mut row, mut column) = (vec![Vec::<char>::new()], 0, 0);
    let mut chars = written.chars();
    while let Some(c) = chars.next() {
        match c {
            '\r' => column = 0,
            '\n' => {
                row += 1;
                lines.resize(lines.len().max(row + 1), Vec::new());
            }
            '\u{1b}' => {
                assert_eq!(chars.next(), Some('['));
                let (mut count, mut end) = (String::new(), 'm');
                for c in chars.by_ref() {
                    if c.is_ascii_alphabetic() {
                        end = c;
                        break;
                    }
                    count.push(c);
                }
                match end {
                    'K' => lines[row].clear(),
                    'A' => row -= count.parse::<usize>().unwrap(),
                    // A colour.
                    'm' => {}
                    other => panic!("a terminal is told `{other}`"),
                }
            }
            c => {
                let line: &mut Vec<char> = &mut lines[row];
                line.resize(line.len().max(column + 1), ' ');
                line[column] = c;
                column += 1;
            }
        }
    }
    lines.into_iter().map(String::from_iter).collect()
}

/// On a terminal it tells in one line how far it is, and that line is gone in the end.
#[test]
fn a_terminal_sees_a_bar() {
    let Some(server) = server() else { return };
    if Command::new("script").arg("--version").output().is_err() {
        let missing = "`script` is not installed: run `apt-get install bsdutils`";
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{missing}");
        eprintln!("not run: {missing}");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    drop(on_sqlite(folder.path()));
    let file = rusqlite::Connection::open(folder.path().join("privet.db")).unwrap();
    let events = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 5000)
        INSERT INTO audit_events SELECT 'other', randomblob(16), 'shop', n, 'Olga', 1, NULL, 1 FROM n";
    file.execute_batch(events).unwrap();
    drop(file);
    let home = Home::one(server.url());
    let command = program(folder.path(), server.url(), &[&home.words()[..], &["--batch", "20"]].concat());
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(|word| format!("'{}'", word.to_str().unwrap())).collect();
    let mut script = Command::new("script");
    script.arg("-qec").arg(format!("stty cols 100 rows 24; exec {}", words.join(" "))).arg("/dev/null");
    script.env("TERM", "xterm").env("SHELL", "/bin/sh").stdin(Stdio::null());
    let output = script.output().unwrap();
    let written = said(&output);
    assert!(output.status.success(), "{written}");
    let percentages: BTreeSet<u32> = written
        .match_indices("% of 5,")
        .filter_map(|(at, _)| written[..at].rsplit([' ', ']']).next()?.parse().ok())
        .collect();
    let between = percentages.range(1..100).count();
    assert!(between > 1 && written.contains("rows, audit_events"), "{percentages:?}");
    let left = screen(&written);
    assert!(!left.iter().any(|line| line.contains('%') || line.contains("[=")), "{left:#?}");
    assert!(left.iter().any(|line| line.contains("rows written, 0 taken out")), "{left:#?}");
    assert!(left.iter().any(|line| line.contains("run it with --finish.")), "{left:#?}");
}

/// What cannot be done is told with what helps, and never with the password.
#[test]
fn bad_input_is_told_with_the_cure() {
    let (empty, good) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    drop(on_sqlite(good.path()));
    let refused = |folder: &Path, to: &str, more: &[&str], says: &str| {
        let output = program(folder, to, more).output().unwrap();
        let text = said(&output);
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains(says) && !text.contains(PASSWORD), "{text}");
        assert!(output.stdout.is_empty());
    };
    let nobody = format!("postgres://app:{PASSWORD}@127.0.0.1:1/app");
    refused(Path::new("/no/such/folder"), &nobody, &[], "there is no folder /no/such/folder");
    refused(empty.path(), &nobody, &[], "privet.db");
    refused(good.path(), &nobody, &[], "check the host and the port");
    refused(good.path(), &format!("mysql://app:{PASSWORD}@host/app"), &[], "the database URL cannot be read");
    refused(good.path(), &nobody, &["--batch", "none"], "--batch is no number of rows");
    refused(good.path(), &nobody, &["--finish", "--verify"], "does not go with the others");
    refused(good.path(), &nobody, &[&format!("postgres://x:{PASSWORD}@y/z")], "a value without an option");
    refused(good.path(), &nobody, &["--schema"], "--schema needs a value");
    refused(good.path(), &nobody, &["--keys-url"], "--keys-url needs a value");
    let missing = Command::new(env!("CARGO_BIN_EXE_migrate")).env_remove("PRIVET_DB").output().unwrap();
    assert!(said(&missing).contains("--from is missing"));

    let version = |change: &str| {
        rusqlite::Connection::open(good.path().join("privet.db")).unwrap().execute_batch(change).unwrap();
    };
    version("INSERT INTO _privet_migrations VALUES (99)");
    refused(good.path(), &nobody, &[], "a newer privet");
    version("DELETE FROM _privet_migrations WHERE version > 2");
    refused(good.path(), &nobody, &[], "start it once");
    version("DROP TABLE _privet_migrations");
    refused(good.path(), &nobody, &[], "is no file of privet's");
    version("CREATE TABLE _privet_migrations (version INTEGER); INSERT INTO _privet_migrations VALUES (4)");
    let other = tempfile::tempdir().unwrap();
    drop(on_sqlite(other.path()));
    std::fs::copy(other.path().join("privet.key"), good.path().join("privet.key")).unwrap();
    refused(good.path(), &nobody, &[], "is not the key");
    std::fs::remove_file(good.path().join("privet.key")).unwrap();
    std::fs::write(good.path().join("ledger.jsonl"), "{}\n").unwrap();
    refused(good.path(), &nobody, &[], "line 1 does not continue the chain");
    version("DELETE FROM meta");
    refused(good.path(), &nobody, &[], "never served");
    std::fs::write(good.path().join("privet.db"), "no database, and long enough for a look".repeat(100))
        .unwrap();
    refused(good.path(), &nobody, &[], "restore the file from its backup");

    let Some(tcp) = own_server().and_then(|server| server.tcp_url("postgres")) else { return };
    let good = tempfile::tempdir().unwrap();
    drop(on_sqlite(good.path()));
    refused(good.path(), &tcp, &["--schema", "No Name"], "name it plainly");
    let keys = ["--schema", &fresh_name(), "--keys-url", &nobody, "--keys-schema", "privet"];
    refused(good.path(), &tcp, &keys, "check the host and the port");
    let wrong = format!("mysql://app:{PASSWORD}@host/app");
    let ledger = ["--schema", &fresh_name(), "--ledger-url", &wrong, "--ledger-schema", "privet"];
    refused(good.path(), &tcp, &ledger, "the database URL cannot be read");
    let wrong = tcp.replace(PASSWORD, "wr0ng-Pa55");
    let output = program(good.path(), &wrong, &[]).output().unwrap();
    let text = said(&output);
    assert!(text.contains("check the user and the password") && !text.contains("wr0ng-Pa55"), "{text}");
}
