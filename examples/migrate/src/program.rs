//! The arguments, and what is said in the end.

use std::fmt::Write as _;

use privet::{Error, Result};

use crate::{Elsewhere, Move, Progress};

/// How it is called.
pub const USAGE: &str = "\
cargo run -p migrate -- --from FOLDER --to URL [options]

  --from FOLDER    the folder of the SQLite installation: privet.db, keys.db, ledger.jsonl; the folder itself, never a copy,
                   since an app could go on with the folder then
  --to URL         the PostgreSQL database, as postgres://user:password@host:5432/database; directly, not through a pooler.
                   PRIVET_DB, if nothing is said, which keeps the password out of the list of processes
  --schema NAME    the schema there; PRIVET_DB_SCHEMA, or else privet, if nothing is said
  --keys-url URL, --keys-schema NAME
                   where the keys go; PRIVET_KEYS_DB, or else with the data, if nothing is said
  --ledger-url URL, --ledger-schema NAME
                   where the ledger goes; PRIVET_LEDGER_DB, or else with the data, if nothing is said
                   In a database of their own say their schema too, if that of the data is not privet. The chat examples
                   take PRIVET_KEYS_DB and PRIVET_LEDGER_DB, look in the schema privet there, and go without row-level
                   security: another schema and that are for apps that give their own `PostgresOptions` to `Storage::new`
  --row-security   behind row-level security, for apps that have `row_security()` on; as the role that owns the tables, which
                   is no superuser
  --batch ROWS     so many rows at once; 2000, if nothing is said
  --finish         makes the last pass and hands over; stop the app first
  --with-damage    hands over also when SQLite itself has a damaged chain of consent records, which stays as it is
  --verify         compares both sides, and changes nothing

Run it as the user that the app runs as, which owns the files, and with the role in PostgreSQL that the app will have: what it
makes there belongs to that role. The app is down from when you stop it for --finish until it starts on PostgreSQL: about as
long as the last pass of a copy took, which reads and compares everything, so copy again shortly before.
Until you stop it for --finish the app serves from SQLite, and erasures reach PostgreSQL only with the next pass: whoever gives up
drops what was made there, since erased people stay in it. After it nothing brings the app back to the files.
privet.key stays a file: move it out of the folder before you delete that, to where the app looks (for the chat examples the
folder that PRIVET_DATA names).

exit code: 0 done, 1 the sides differ or a chain is damaged (--verify), 2 it did not work";

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Task {
    Copy,
    Finish,
    Verify,
}

fn read(
    args: impl IntoIterator<Item = String>,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<(Move, Task)> {
    let bad = |what: String| Error::config(what, format!("call it as\n\n{USAGE}"));
    // As the app reads them.
    let variable = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
    let (mut from, mut to, mut batch, mut task) = (None, variable("PRIVET_DB"), None, Task::Copy);
    let mut schema = variable("PRIVET_DB_SCHEMA");
    let mut keys = Elsewhere { url: variable("PRIVET_KEYS_DB"), schema: None };
    let mut ledger = Elsewhere { url: variable("PRIVET_LEDGER_DB"), schema: None };
    let (mut walled, mut with_damage) = (false, false);
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or_else(|| bad(format!("{arg} needs a value")));
        match arg.as_str() {
            "--from" => from = Some(value()?),
            "--to" => to = Some(value()?),
            "--schema" => schema = Some(value()?),
            "--keys-url" => keys.url = Some(value()?),
            "--keys-schema" => keys.schema = Some(value()?),
            "--ledger-url" => ledger.url = Some(value()?),
            "--ledger-schema" => ledger.schema = Some(value()?),
            "--row-security" => walled = true,
            "--with-damage" => with_damage = true,
            "--batch" => {
                let rows = value()?.parse::<usize>().ok().filter(|n| (1..=100_000).contains(n));
                batch = Some(
                    rows.ok_or_else(|| bad("--batch is no number of rows from 1 to 100000".to_owned()))?,
                );
            }
            "--finish" if task == Task::Copy => task = Task::Finish,
            "--verify" if task == Task::Copy => task = Task::Verify,
            // It may be a URL with a password, in the wrong place.
            _ if !arg.starts_with('-') => return Err(bad("there is a value without an option".to_owned())),
            _ => {
                let name = arg.split('=').next().unwrap_or_default();
                return Err(bad(format!("{name} is no option, or does not go with the others")));
            }
        }
    }
    // It may have a password, and is not repeated.
    let names = [
        ("--from", &from),
        ("the schema of the data", &schema),
        ("--keys-schema", &keys.schema),
        ("--ledger-schema", &ledger.schema),
    ];
    if let Some((name, _)) = names.iter().find(|(_, value)| value.as_ref().is_some_and(|v| v.contains("://")))
    {
        return Err(bad(format!("{name} is a URL, in the wrong place")));
    }
    let from = from.ok_or_else(|| bad("--from is missing".to_owned()))?;
    let to = to.ok_or_else(|| bad("--to is missing, and PRIVET_DB is not set".to_owned()))?;
    let mut job = Move::new(from, to).batch(batch.unwrap_or(2000));
    if let Some(schema) = schema {
        job = job.schema(schema);
    }
    (job.keys, job.ledger, job.to.walled, job.with_damage) = (keys, ledger, walled, with_damage);
    Ok((job, task))
}

/// Does what the arguments say. The report, and whether both sides are equal as far as that was asked; `variable` gives what
/// the arguments do not say.
///
/// # Errors
/// What is wrong with the arguments or with either side, with the cure, and without the URL.
pub async fn run(
    args: impl IntoIterator<Item = String>,
    variable: impl Fn(&str) -> Option<String>,
    progress: &Progress,
) -> Result<(String, bool)> {
    let args: Vec<String> = args.into_iter().collect();
    if args.iter().any(|arg| arg == "--help" || arg == "-h") {
        return Ok((format!("{USAGE}\n"), true));
    }
    let (job, task) = read(args, variable)?;
    match task {
        Task::Copy => {
            let copied = job.copy_and_look(progress).await?;
            let written: u64 = copied.passes.iter().map(|(written, _)| written).sum();
            let mut text =
                format!("{} passes, {written} rows written:\n{}", copied.passes.len(), job.told()?);
            if !copied.damage.is_empty() {
                let damage = copied.damage.join("; ");
                let _ = writeln!(
                    text,
                    "SQLite itself has this: {damage}. Find out what became of these records, as after a backup was restored; \
                     --finish goes on with them as they are only with --with-damage."
                );
            }
            text.push_str(
                "What was changed since is still to come: stop the app, and run it with --finish. Or give up, and drop what was made \
                 there: who is erased from now on stays in it.\n",
            );
            Ok((text, true))
        }
        Task::Finish => {
            let verified = job.finish(progress).await?;
            let damage = match verified.what_is_wrong() {
                wrong if wrong.is_empty() => wrong,
                wrong => format!(" What SQLite itself had went over as it was: {wrong}."),
            };
            let text = format!(
                "{verified}\n{}Both sides are equal.{damage} Start the app on PostgreSQL, where it has to look for each of these, with the \
                 same key file (privet.key), and not on SQLite any more. Delete the SQLite files once you are sure, and their backups: \
                 erasures do not reach them from now on. Move privet.key out before you delete their folder.\n",
                job.told()?
            );
            Ok((text, true))
        }
        Task::Verify => {
            let verified = job.verify(progress).await?;
            let whole = verified.is_whole();
            let end = match verified.what_is_wrong() {
                _ if whole => "Both sides are equal.".to_owned(),
                wrong if verified.is_equal() => {
                    format!("Both sides are equal, and SQLite itself has this: {wrong}.")
                }
                wrong => format!("They differ: {wrong}."),
            };
            Ok((format!("{verified}\n{end}\n"), whole))
        }
    }
}
