//! From SQLite's errors to privet's. SQLite names tables and columns, never values.

use std::path::Path;

use privet::Error;
use rusqlite::ErrorCode;

/// What a unit of work may end with: an error of the database, or a "no" of the rules.
#[derive(Debug)]
pub(crate) enum UnitError {
    Sqlite(rusqlite::Error),
    Rule(Error),
}

impl From<rusqlite::Error> for UnitError {
    fn from(e: rusqlite::Error) -> Self {
        Self::Sqlite(e)
    }
}

impl From<Error> for UnitError {
    fn from(e: Error) -> Self {
        Self::Rule(e)
    }
}

impl UnitError {
    pub(crate) fn into_error(self, store: &'static str) -> Error {
        match self {
            Self::Rule(error) => error,
            Self::Sqlite(error) => sqlite(store, error),
        }
    }
}

pub(crate) fn sqlite(store: &'static str, error: rusqlite::Error) -> Error {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Error::corrupt(
            store,
            error.to_string(),
            "restore the file from its backup, together with its key store",
        ),
        _ => Error::unavailable(store, error),
    }
}

/// An error at opening, with the path and what to look at.
pub(crate) fn opening(store: &'static str, path: &Path, error: rusqlite::Error) -> Error {
    match sqlite(store, error) {
        Error::Corrupt { what, cure, .. } => {
            Error::corrupt(store, format!("{}: {what}", path.display()), cure)
        }
        other => {
            let what = format!(
                "{}: {other}; check that its folder exists, that this user may write there, and that the disk has room",
                path.display()
            );
            Error::unavailable(store, what)
        }
    }
}
