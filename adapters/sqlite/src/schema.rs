//! Own migrations in a table of their own, so that an app may keep its tables in the same file.

use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior};

pub(crate) const STORE: &[&str] = &[
    include_str!("../migrations/0001_init.sql"),
    include_str!("../migrations/0002_portal.sql"),
    include_str!("../migrations/0003_summaries.sql"),
    include_str!("../migrations/0004_leases.sql"),
];
pub(crate) const KEYS: &[&str] = &[include_str!("../migrations/keys_0001_init.sql")];

/// Brings the file up to date, one migration per transaction. Two processes may start at once.
pub(crate) fn migrate(connection: &Connection, migrations: &[&str]) -> rusqlite::Result<()> {
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS _privet_migrations (version INTEGER NOT NULL PRIMARY KEY) WITHOUT ROWID",
    )?;
    for (version, sql) in (1i64..).zip(migrations) {
        let transaction = rusqlite::Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
        let done = transaction
            .query_row("SELECT 1 FROM _privet_migrations WHERE version = ?1", [version], |_| Ok(()))
            .optional()?;
        if done.is_none() {
            transaction.execute_batch(sql)?;
            transaction.execute("INSERT INTO _privet_migrations (version) VALUES (?1)", [version])?;
        }
        transaction.commit()?;
    }
    Ok(())
}
