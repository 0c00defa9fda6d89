//! The arguments, and what is said in the end.

use privet::{Error, Result};

use crate::{Elsewhere, Move, Progress};

/// How it is called.
pub const USAGE: &str = "\
migrate --from FOLDER --to URL [options]

  --from FOLDER    the folder of the SQLite installation: privet.db, keys.db, ledger.jsonl
  --to URL         the PostgreSQL database, as postgres://user:password@host:5432/database; directly, not through a pooler.
                   PRIVET_DB, if nothing is said, which keeps the password out of the list of processes
  --schema NAME    the schema there; privet, if nothing is said
  --keys-url URL, --keys-schema NAME
                   where the keys go; PRIVET_KEYS_DB, or else with the data, if nothing is said
  --ledger-url URL, --ledger-schema NAME
                   where the ledger goes; PRIVET_LEDGER_DB, or else with the data, if nothing is said
  --row-security   behind row-level security, for apps that have `row_security()` on; as the role that owns the tables, which
                   is no superuser
  --batch ROWS     so many rows at once; 2000, if nothing is said
  --finish         makes the last pass and hands over; stop the app first
  --verify         compares both sides, and changes nothing

exit code: 0 done, 1 the sides differ (--verify), 2 it did not work";

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
    let (mut from, mut to, mut schema, mut batch, mut task) =
        (None, variable("PRIVET_DB"), None, None, Task::Copy);
    let mut keys = Elsewhere { url: variable("PRIVET_KEYS_DB"), schema: None };
    let mut ledger = Elsewhere { url: variable("PRIVET_LEDGER_DB"), schema: None };
    let mut walled = false;
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
            "--batch" => {
                let text = value()?;
                let rows = text.parse::<usize>().ok().filter(|n| (1..=100_000).contains(n));
                batch =
                    Some(rows.ok_or_else(|| bad(format!("`{text}` is no number of rows from 1 to 100000")))?);
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
    let from = from.ok_or_else(|| bad("--from is missing".to_owned()))?;
    let to = to.ok_or_else(|| bad("--to is missing, and PRIVET_DB is not set".to_owned()))?;
    let mut job = Move::new(from, to).batch(batch.unwrap_or(2000));
    if let Some(schema) = schema {
        job = job.schema(schema);
    }
    (job.keys, job.ledger, job.to.walled) = (keys, ledger, walled);
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
    let (job, task) = read(args, variable)?;
    match task {
        Task::Copy => {
            let passes = job.copy(progress).await?;
            let written: u64 = passes.iter().map(|(written, _)| written).sum();
            let text = format!(
                "{} passes, {written} rows written. What was changed since is still to come: stop the app, and run it with --finish.\n",
                passes.len()
            );
            Ok((text, true))
        }
        Task::Finish => {
            let verified = job.finish(progress).await?;
            let text = format!(
                "{verified}\nBoth sides are equal. Start the app on PostgreSQL, with the same key file (privet.key), and not on SQLite any \
                 more. Delete the SQLite files once you are sure, and their backups: erasures do not reach them from now on.\n"
            );
            Ok((text, true))
        }
        Task::Verify => {
            let verified = job.verify(progress).await?;
            let whole = verified.is_whole();
            let end = if whole {
                "Both sides are equal.".to_owned()
            } else {
                format!("They differ: {}.", verified.what_is_wrong())
            };
            Ok((format!("{verified}\n{end}\n"), whole))
        }
    }
}
