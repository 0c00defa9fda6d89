//! What has tables: store, keys and ledger, each perhaps in a schema or a database of its own; and how whoever changes a schema
//! is alone with it.

use crate::db::{On, UnitResult};

/// One of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    pub(crate) name: &'static str,
    /// Those that have a tenant.
    pub(crate) tables: &'static [&'static str],
    pub(crate) migrations: &'static [&'static str],
}

const TABLES: [&str; 15] = [
    "notices",
    "statements",
    "consent_records",
    "consent_links",
    "consent_heads",
    "consent_counts",
    "contacts",
    "conversations",
    "messages",
    "erased_messages",
    "fences",
    "outbox",
    "retention_rules",
    "notes",
    "audit_events",
];
pub(crate) const STORE: Part = Part {
    name: "store",
    tables: &TABLES,
    migrations: &[include_str!("../migrations/0001_init.sql"), include_str!("../migrations/0002_leases.sql")],
};
pub(crate) const KEYS: Part =
    Part { name: "keys", tables: &["keys"], migrations: &[include_str!("../migrations/keys_0001_init.sql")] };
pub(crate) const LEDGER: Part =
    Part { name: "ledger", tables: &[], migrations: &[include_str!("../migrations/ledger_0001_init.sql")] };

/// One lock for everybody who changes a schema of privet, of whichever name.
const LOCK: i64 = 0x7072_6976_6574; // "privet"
/// A change waits so long for whoever uses a table, so that nobody waits long behind it.
const PATIENCE: &str = "SET LOCAL lock_timeout = '5s'";

/// Waits for everybody who changes a schema, however long it takes them, and is in the way of nobody else for long.
pub(crate) async fn alone(on: &mut On<'_>) -> UnitResult<()> {
    on.script("SET LOCAL lock_timeout = 0").await?;
    on.q("SELECT pg_advisory_xact_lock($1)").bind(LOCK).execute(&mut *on.c).await?;
    Ok(on.script(PATIENCE).await?)
}
