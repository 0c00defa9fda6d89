//! What went wrong and what helps. Values stay out of it: PostgreSQL's details name them, its messages do not.

use std::fmt::Display;
use std::path::Path;

use privet::Error;

pub(crate) fn postgres(doing: impl Display, error: &sqlx::Error) -> Error {
    let what = match error {
        sqlx::Error::Database(e) => {
            format!("{} (SQLSTATE {})", e.message(), e.code().unwrap_or_default())
        }
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => {
            "it answered something that is no row of privet".to_owned()
        }
        other => other.to_string(),
    };
    Error::unavailable(
        "postgres",
        format!("{doing}: {what}; run it again when that is mended: it goes on where it stopped"),
    )
}

pub(crate) fn sqlite(path: &Path, error: &rusqlite::Error) -> Error {
    use rusqlite::ErrorCode::{CannotOpen, DatabaseBusy, DatabaseCorrupt, NotADatabase, ReadOnly};
    match error.sqlite_error_code() {
        Some(DatabaseCorrupt | NotADatabase) => Error::corrupt(
            "sqlite",
            format!("{}: {error}", path.display()),
            "restore the file from its backup, together with its key store",
        ),
        Some(DatabaseBusy) => Error::config(
            format!("{}: something else has the file in hand", path.display()),
            "stop whatever else works on this file, and run it again",
        ),
        Some(CannotOpen | ReadOnly) => Error::config(
            format!("{}: {error}", path.display()),
            "run it as the user that the app runs as: a file with a write-ahead log is read beside its log",
        ),
        _ => Error::unavailable("sqlite", format!("{}: {error}", path.display())),
    }
}

#[allow(clippy::needless_pass_by_value, reason = "it is what `map_err` hands over")]
pub(crate) fn file(path: &Path, error: std::io::Error) -> Error {
    Error::config(format!("{}: {error}", path.display()), "check the path, and who may read it")
}
