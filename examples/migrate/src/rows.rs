//! Rows, and the hashes that both sides compute of them: SHA-256 over the columns, each with its length before it. PostgreSQL
//! computes its own, so that what is equal does not cross the network.

use std::fmt;

use sha2::{Digest as _, Sha256};

use crate::tables::{Kind, Table};

/// What a column holds. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) enum Value {
    Null,
    Int(i64),
    /// Bytes, or a text's.
    Bytes(Vec<u8>),
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Value(..)")
    }
}

pub(crate) type Row = Vec<Value>;
pub(crate) type Hash = [u8; 32];

/// The hash of a row.
pub(crate) fn row_hash(row: &[Value]) -> Hash {
    let mut hash = Sha256::new();
    for value in row {
        match value {
            Value::Null => hash.update((-1_i32).to_be_bytes()),
            Value::Int(n) => {
                hash.update(8_i32.to_be_bytes());
                hash.update(n.to_be_bytes());
            }
            Value::Bytes(bytes) => {
                hash.update(i32::try_from(bytes.len()).unwrap_or(i32::MAX).to_be_bytes());
                hash.update(bytes);
            }
        }
    }
    hash.finalize().into()
}

/// The same in PostgreSQL.
pub(crate) fn row_hash_sql(table: &Table) -> String {
    let columns: Vec<String> = table
        .columns
        .iter()
        .map(|(name, kind)| {
            let bytes = match kind {
                Kind::Text | Kind::Word => format!("convert_to(t.{name}, 'UTF8')"),
                Kind::Body | Kind::Bytes => format!("t.{name}"),
                Kind::Int | Kind::Small => format!("int8send(t.{name}::bigint)"),
                Kind::Bool => format!("int8send(t.{name}::int::bigint)"),
            };
            format!("coalesce(int4send(octet_length({bytes})) || {bytes}, int4send(-1))")
        })
        .collect();
    format!("sha256({})", columns.join(" || "))
}

/// The hash of rows in their order, from the hash of each.
pub(crate) fn hash_of<'a>(rows: impl IntoIterator<Item = &'a Hash>) -> Hash {
    let mut hash = Sha256::new();
    for row in rows {
        hash.update(row);
    }
    hash.finalize().into()
}

/// A part of a group: what comes after a row, up to another one, each named by the columns of the order.
#[derive(Clone, Debug)]
pub(crate) struct Range {
    pub(crate) group: Vec<Value>,
    pub(crate) after: Option<Vec<Value>>,
    pub(crate) to: Option<Vec<Value>>,
}
