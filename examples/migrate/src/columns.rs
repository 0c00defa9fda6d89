//! Columns in PostgreSQL: as text of statements, as what is bound, and as what is read.

use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{Postgres, Row as _};

use crate::rows::{Hash, Value};
use crate::tables::Kind;

pub(crate) fn order_by((name, kind): &(&str, Kind)) -> String {
    if *kind == Kind::Word { format!("t.{name} COLLATE \"C\"") } else { format!("t.{name}") }
}

pub(crate) fn list<T>(items: impl IntoIterator<Item = T>, text: impl FnMut(T) -> String) -> String {
    items.into_iter().map(text).collect::<Vec<_>>().join(", ")
}

type Pg<'q> = Query<'q, Postgres, PgArguments>;

fn text(value: &Value) -> Option<String> {
    match value {
        Value::Bytes(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        _ => None,
    }
}

fn bytes(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::Bytes(bytes) => Some(bytes.clone()),
        _ => None,
    }
}

fn int(value: &Value) -> Option<i64> {
    match value {
        Value::Int(n) => Some(*n),
        _ => None,
    }
}

pub(crate) fn bind<'q>(query: Pg<'q>, value: &Value, kind: Kind) -> Pg<'q> {
    match kind {
        Kind::Text | Kind::Word => query.bind(text(value)),
        Kind::Body | Kind::Bytes => query.bind(bytes(value)),
        Kind::Int | Kind::Small | Kind::Bool => query.bind(int(value)),
    }
}

/// Binds one array per column.
pub(crate) fn bind_columns<'q, R: AsRef<[Value]>>(
    mut query: Pg<'q>,
    rows: &[R],
    columns: &[(&str, Kind)],
) -> Pg<'q> {
    for (at, (_, kind)) in columns.iter().enumerate() {
        let values = rows.iter().map(|row| row.as_ref().get(at).unwrap_or(&Value::Null));
        query = match kind {
            Kind::Text | Kind::Word => query.bind(values.map(text).collect::<Vec<_>>()),
            Kind::Body | Kind::Bytes => query.bind(values.map(bytes).collect::<Vec<_>>()),
            Kind::Int | Kind::Small | Kind::Bool => query.bind(values.map(int).collect::<Vec<_>>()),
        };
    }
    query
}

/// `unnest` of one array per column, numbered from one on, as a table `u`.
pub(crate) fn unnested(columns: &[(&str, Kind)]) -> String {
    let array = |(at, (_, kind)): (usize, &(&str, Kind))| {
        let of = match kind {
            Kind::Text | Kind::Word => "text",
            Kind::Body | Kind::Bytes => "bytea",
            Kind::Int | Kind::Small | Kind::Bool => "bigint",
        };
        format!("${}::{of}[]", at + 1)
    };
    let names = list(columns, |(name, _)| (*name).to_owned());
    format!("unnest({}) AS u ({names})", list(columns.iter().enumerate(), array))
}

pub(crate) fn read(row: &PgRow, columns: &[(&str, Kind)]) -> sqlx::Result<Vec<Value>> {
    let value = |(at, (_, kind)): (usize, &(&str, Kind))| {
        Ok(match kind {
            Kind::Text | Kind::Word => {
                row.try_get::<Option<String>, _>(at)?.map_or(Value::Null, |s| Value::Bytes(s.into_bytes()))
            }
            Kind::Body | Kind::Bytes => {
                row.try_get::<Option<Vec<u8>>, _>(at)?.map_or(Value::Null, Value::Bytes)
            }
            Kind::Int | Kind::Small | Kind::Bool => {
                row.try_get::<Option<i64>, _>(at)?.map_or(Value::Null, Value::Int)
            }
        })
    };
    columns.iter().enumerate().map(value).collect()
}

/// The columns as [`read`] reads them.
pub(crate) fn selected(columns: &[(&str, Kind)]) -> String {
    list(columns, |(name, kind)| match kind {
        Kind::Small | Kind::Int => format!("t.{name}::bigint"),
        Kind::Bool => format!("t.{name}::int::bigint"),
        _ => format!("t.{name}"),
    })
}

pub(crate) fn hash(row: &PgRow, at: usize) -> sqlx::Result<Option<Hash>> {
    Ok(row.try_get::<Option<Vec<u8>>, _>(at)?.and_then(|bytes| bytes.try_into().ok()))
}
