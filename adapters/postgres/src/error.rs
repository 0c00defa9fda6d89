//! From PostgreSQL's errors to privet's: what went wrong and what helps. PostgreSQL's details name values, so they are left
//! out; its messages name tables, columns and roles.

use std::fmt::Display;
use std::io::ErrorKind;

use privet::Error;
use sqlx::Error as Sql;

/// What a unit of work may end with.
#[derive(Debug)]
pub(crate) enum UnitError {
    /// The database failed before anything was committed.
    Sql(Sql),
    /// The commit failed, or its answer was lost.
    Commit(Sql),
    /// A "no" of the rules.
    Rule(Error),
}

impl From<Sql> for UnitError {
    fn from(e: Sql) -> Self {
        Self::Sql(e)
    }
}

impl From<Error> for UnitError {
    fn from(e: Error) -> Self {
        Self::Rule(e)
    }
}

/// Whether somebody held for long what was needed.
pub(crate) fn waited_in_vain(error: &Sql) -> bool {
    code(error) == "55P03"
}

impl UnitError {
    /// Whether the connection is one to go on with.
    pub(crate) fn leaves_the_connection(&self) -> bool {
        match self {
            Self::Sql(error) | Self::Commit(error) => Failure::of(error) != Failure::Lost,
            Self::Rule(_) => true,
        }
    }
}

/// What a failure says about doing it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Two transactions were in each other's way; this one did nothing.
    Collision,
    /// The connection is gone; what was not committed did not happen.
    Lost,
    /// The same again fails again.
    Lasting,
}

fn code(error: &Sql) -> String {
    error.as_database_error().and_then(sqlx::error::DatabaseError::code).map(String::from).unwrap_or_default()
}

impl Failure {
    pub(crate) fn of(error: &Sql) -> Self {
        match error {
            // What the protocol calls an unexpected answer leaves nothing to go on with either.
            Sql::Io(_) | Sql::Protocol(_) | Sql::WorkerCrashed | Sql::BeginFailed => Self::Lost,
            Sql::Database(_) => match code(error).as_str() {
                "40001" | "40P01" => Self::Collision,
                // The server is shutting down, starting or not the one that writes any more; the pooler lost its server; the
                // server waited too long for what comes next, or for the end of it.
                "25P03" | "25P04" | "57P01" | "57P02" | "57P03" | "57P05" | "25006" | "08000" | "08001"
                | "08003" | "08004" | "08006" | "08P01" => Self::Lost,
                _ => Self::Lasting,
            },
            _ => Self::Lasting,
        }
    }
}

/// What helps against a class of errors, by its SQLSTATE.
fn cure(code: &str) -> &'static str {
    match code {
        "28000" | "28P01" => {
            "check the user and the password in the database URL, its `sslmode`, and what pg_hba.conf allows"
        }
        "3D000" => "create the database, or correct its name in the URL",
        "42501" => {
            "grant the role what it lacks: USAGE on the schema, and SELECT, INSERT, UPDATE, DELETE on its tables"
        }
        "3F000" | "42P01" | "42703" => {
            "start once with a role that may create tables, so that the schema is brought up to date"
        }
        "53300" => "raise max_connections of the server, lower the pool's size, or put a pooler in front",
        "53100" | "53200" => "give the server more room",
        "55P03" => {
            "somebody holds a lock for long: look for an old transaction in pg_stat_activity, and end it"
        }
        "23514" => {
            "start once with a role that owns the tables: a partition was being made when its maker ended"
        }
        "40001" => {
            "where it was read from a standby, that had to go on: turn on hot_standby_feedback there, or raise max_standby_streaming_delay"
        }
        "25P04" => "raise transaction_timeout for this role, or leave it out",
        "25006" => "connect to the primary: this server only reads",
        "26000" | "42P05" => {
            "there is a pooler in between that changes servers between transactions: say so with `behind_pooler`"
        }
        _ => "look into the server's log",
    }
}

fn no_tls(store: &'static str, why: &impl Display) -> Error {
    Error::unavailable(
        store,
        format!(
            "no encrypted connection: {why}; name the file of the authority that signed the server's certificate as `sslrootcert` in the URL, and the host as the certificate does, and see that the server has `ssl = on`"
        ),
    )
}

/// An error of the database as it is told.
pub(crate) fn told(store: &'static str, error: &Sql) -> Error {
    match error {
        Sql::Database(e) => {
            let code = code(error);
            // A string, since the error itself carries the details.
            Error::unavailable(store, format!("{} (SQLSTATE {code}); {}", e.message(), cure(&code)))
        }
        // What the handshake found is an error of the stream.
        Sql::Io(e) if e.kind() == ErrorKind::InvalidData => no_tls(store, e),
        Sql::Io(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied) => {
            Error::unavailable(
                store,
                format!(
                    "the server is not reached: {e}; check that the URL names the folder of its socket, or the files of its certificates, and that this process may read them"
                ),
            )
        }
        Sql::Io(e) => Error::unavailable(
            store,
            format!(
                "the server is not reached: {e}; check the host and the port in the URL, and that it runs"
            ),
        ),
        Sql::Tls(e) => no_tls(store, e),
        Sql::PoolTimedOut => Error::unavailable(
            store,
            "no connection was free or could be made in time; check that the server runs and is reached, raise the pool's size, or look for what holds connections for long",
        ),
        Sql::PoolClosed => {
            Error::unavailable(store, "its pool was closed; keep it open for as long as privet runs")
        }
        Sql::ColumnDecode { index, source } => Error::corrupt(
            store,
            format!("column {index}: {source}"),
            "restore the database from its backup, together with its key store",
        ),
        Sql::Decode(source) => Error::corrupt(
            store,
            source.to_string(),
            "restore the database from its backup, together with its key store",
        ),
        other => Error::unavailable(store, other.to_string()),
    }
}

/// A commit without an answer.
pub(crate) fn unknown(store: &'static str, error: &Sql) -> Error {
    let why = told(store, error);
    Error::unavailable(
        store,
        format!(
            "the connection was lost while it committed, so it may have happened or not; look before you repeat it: {why}"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_did_nothing_is_repeated() {
        assert_eq!(Failure::of(&Sql::Io(ErrorKind::BrokenPipe.into())), Failure::Lost);
        assert_eq!(Failure::of(&Sql::PoolTimedOut), Failure::Lasting);
        assert_eq!(Failure::of(&Sql::RowNotFound), Failure::Lasting);
    }
}
