//! Nothing is left behind because nobody told the move of it: what both schemas have is what it knows.
#![allow(clippy::unwrap_used, reason = "a test that meets something else has failed")]

use std::collections::{BTreeMap, BTreeSet};

use futures_executor::block_on;
use migrate::tables::{KEYS, Kind, LEDGER, TABLES, Table};
use privet::KeyRing;
use privet_postgres::PostgresOptions;
use privet_test_postgres::{fresh_name, server};
use sqlx::{Connection as _, PgConnection, Row as _};

type Columns = BTreeMap<String, BTreeSet<String>>;

fn known<'a>(tables: impl IntoIterator<Item = &'a Table>, kind: fn(Kind) -> &'static str) -> Columns {
    let column = |(name, of): &(&str, Kind)| format!("{name} {}", kind(*of));
    tables.into_iter().map(|t| (t.name.to_owned(), t.columns.iter().map(column).collect())).collect()
}

fn columns(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// Columns with their types, and the primary key of each table.
fn of_sqlite(file: &std::path::Path) -> (Columns, BTreeMap<String, Vec<String>>) {
    let connection = rusqlite::Connection::open(file).unwrap();
    let mut statement = connection
        .prepare("SELECT t.name, c.name, c.type, c.pk FROM pragma_table_list t JOIN pragma_table_info(t.name) c WHERE t.schema = 'main' AND t.name NOT LIKE 'sqlite_%' ORDER BY t.name, c.pk")
        .unwrap();
    let mut rows = statement.query([]).unwrap();
    let (mut all, mut keys) = (Columns::new(), BTreeMap::<_, Vec<_>>::new());
    while let Some(row) = rows.next().unwrap() {
        let (table, column): (String, String) = (row.get(0).unwrap(), row.get(1).unwrap());
        let kind: String = row.get(2).unwrap();
        all.entry(table.clone()).or_default().insert(format!("{column} {kind}"));
        if row.get::<_, i64>(3).unwrap() > 0 {
            keys.entry(table).or_default().push(column);
        }
    }
    (all, keys)
}

#[test]
fn the_move_knows_every_table_and_column_of_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    block_on(privet_sqlite::open(folder.path())).unwrap();
    let kind = |kind: Kind| match kind {
        Kind::Text | Kind::Word | Kind::Body => "TEXT",
        Kind::Bytes => "BLOB",
        Kind::Int | Kind::Small | Kind::Bool => "INTEGER",
    };
    for (file, tables) in [("privet.db", TABLES), ("keys.db", &[KEYS])] {
        let (found, keys) = of_sqlite(&folder.path().join(file));
        let mut expected = known(tables, kind);
        expected.insert("_privet_migrations".to_owned(), columns(&["version INTEGER"]));
        if file == "privet.db" {
            expected.insert("meta".to_owned(), columns(&["key TEXT", "value BLOB"]));
            // Who works at the moment, which is nobody of the other side.
            let leases = ["name TEXT", "owner BLOB", "until INTEGER", "token INTEGER"];
            expected.insert("leases".to_owned(), columns(&leases));
        }
        assert_eq!(found, expected, "{file}");
        for table in tables {
            let names: Vec<_> = table.names().iter().map(|(name, _)| (*name).to_owned()).collect();
            assert_eq!(keys[table.name], names, "{}: what names a row", table.name);
        }
    }
}

#[test]
fn the_move_knows_every_table_and_column_of_postgresql() {
    let Some(server) = server() else { return };
    let rt = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let schema = fresh_name();
    let mut found = Columns::new();
    rt.block_on(async {
        let options = PostgresOptions::new(server.url()).unwrap().schema(&schema).connections(2);
        options.storage(KeyRing::generate().unwrap()).await.unwrap();
        let mut connection = PgConnection::connect(server.url()).await.unwrap();
        let rows = sqlx::query(
            "SELECT c.relname::text, a.attname::text, format_type(a.atttypid, NULL), co.collname::text
             FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
             LEFT JOIN pg_collation co ON co.oid = a.attcollation
             WHERE c.relnamespace = to_regnamespace($1) AND c.relkind IN ('r', 'p') AND NOT c.relispartition",
        )
        .bind(&schema)
        .fetch_all(&mut connection)
        .await
        .unwrap();
        for row in rows {
            let (table, column): (String, String) = (row.get(0), row.get(1));
            let (kind, collation): (String, Option<String>) = (row.get(2), row.get(3));
            // Only where rows are ordered by it does it matter how a text is ordered.
            let key = TABLES
                .iter()
                .chain([&KEYS])
                .filter(|t| t.name == table)
                .any(|t| t.names().iter().any(|c| c.0 == column));
            let order =
                if key && kind == "text" && collation.as_deref() != Some("C") { "word" } else { &kind };
            found.entry(table).or_default().insert(format!("{column} {order}"));
        }
    });
    let mut expected = known(TABLES.iter().chain([&KEYS, &LEDGER]), |kind| match kind {
        Kind::Text => "text",
        Kind::Word => "word",
        Kind::Body | Kind::Bytes => "bytea",
        Kind::Int => "bigint",
        Kind::Small => "smallint",
        Kind::Bool => "boolean",
    });
    // Whose it is, what follows from `consent_links`, and what is this side's own.
    expected.insert("meta".to_owned(), columns(&["key text", "value bytea"]));
    let head = ["tenant text", "segment bigint", "seq bigint", "until bigint", "digest bytea", "hash bytea"];
    expected.insert("consent_heads".to_owned(), columns(&head));
    let leases = ["name text", "owner bytea", "until bigint", "token bigint"];
    expected.insert("leases".to_owned(), columns(&leases));
    expected.insert("_privet_migrations".to_owned(), columns(&["part text", "version bigint"]));
    assert_eq!(found, expected);
}
