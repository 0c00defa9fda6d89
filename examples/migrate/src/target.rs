//! The installation in PostgreSQL, as it comes to be. Until it is whole, its `meta` names a key that nobody has, so that no app
//! starts on half of it, and tells which installation is on its way.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr as _;
use std::time::Duration;

use privet::{Error, Result, Tenant};
use privet_postgres::{PostgresLedger, PostgresOptions, PostgresStore};
use sqlx::postgres::{PgArguments, PgConnectOptions, PgConnection, PgRow};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Postgres, Row as _};

use crate::error::postgres;
use crate::rows::{Hash, Range, Row, Value, row_hash_sql};
use crate::tables::{KEYS, Kind, LEDGER, TABLES, Table};

/// In the place of the key's name while the move is under way.
const MOVING: &[u8; 8] = b"(moving)";
/// One move at a time into a schema.
const LOCK: i32 = 0x006d_6f76; // "mov"

/// A move that was killed holds the lock until the server notices: so many tenths of a second it is waited for.
const PATIENCE: u32 = 100;
/// Within this a server answers.
const REACHED: Duration = Duration::from_secs(10);

/// How far a target is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It has nothing yet.
    Empty,
    /// A move of this installation began.
    Moving,
    /// It is this installation's, and an app may serve from it.
    Moved,
}

pub(crate) struct Target {
    connection: PgConnection,
    schema: String,
    pub(crate) store: PostgresStore,
    pub(crate) ledger: PostgresLedger,
}

fn order_by((name, kind): &(&str, Kind)) -> String {
    if *kind == Kind::Word { format!("t.{name} COLLATE \"C\"") } else { format!("t.{name}") }
}

fn list<T>(items: impl IntoIterator<Item = T>, text: impl FnMut(T) -> String) -> String {
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

fn bind<'q>(query: Pg<'q>, value: &Value, kind: Kind) -> Pg<'q> {
    match kind {
        Kind::Text | Kind::Word => query.bind(text(value)),
        Kind::Body | Kind::Bytes => query.bind(bytes(value)),
        Kind::Int | Kind::Small | Kind::Bool => query.bind(int(value)),
    }
}

/// Binds one array per column.
fn bind_columns<'q, R: AsRef<[Value]>>(mut query: Pg<'q>, rows: &[R], columns: &[(&str, Kind)]) -> Pg<'q> {
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
fn unnested(columns: &[(&str, Kind)]) -> String {
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

fn read(row: &PgRow, columns: &[(&str, Kind)]) -> sqlx::Result<Vec<Value>> {
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
fn selected(columns: &[(&str, Kind)]) -> String {
    list(columns, |(name, kind)| match kind {
        Kind::Small | Kind::Int => format!("t.{name}::bigint"),
        Kind::Bool => format!("t.{name}::int::bigint"),
        _ => format!("t.{name}"),
    })
}

fn hash(row: &PgRow, at: usize) -> sqlx::Result<Option<Hash>> {
    Ok(row.try_get::<Option<Vec<u8>>, _>(at)?.and_then(|bytes| bytes.try_into().ok()))
}

impl Target {
    /// Connects, and makes the tables if they are not there.
    pub(crate) async fn open(url: &str, schema: &str) -> Result<Self> {
        let options = PostgresOptions::new(url)?.schema(schema).connections(2);
        // It was read before, so it is one.
        let own = PgConnectOptions::from_str(url)
            .map_err(|_| Error::config("the database URL cannot be read", "check it"))?;
        let unreached = |why: &dyn fmt::Display| {
            Error::unavailable(
                "postgres",
                format!(
                    "the server is not reached: {why}; check the host and the port in the URL, and that it runs"
                ),
            )
        };
        // A pool would take a server that is not there for one that starts, and wait for it.
        let connected = match tokio::time::timeout(REACHED, own.connect()).await {
            Err(_) => return Err(unreached(&"it does not answer")),
            Ok(Err(sqlx::Error::Io(e))) => return Err(unreached(&e)),
            Ok(connected) => connected,
        };
        // What else may be wrong, such as a password, is told here.
        let store = options.store().await?;
        options.key_store().await?;
        let ledger = options.ledger().await?;
        let mut connection = connected.map_err(|e| postgres("connecting", &e))?;
        for _ in 0..PATIENCE {
            let locked = sqlx::query("SELECT pg_try_advisory_lock($1, hashtext($2))")
                .bind(LOCK)
                .bind(schema)
                .fetch_one(&mut connection)
                .await
                .and_then(|row| row.try_get::<bool, _>(0));
            if locked.map_err(|e| postgres("locking the schema", &e))? {
                return Ok(Self { connection, schema: schema.to_owned(), store, ledger });
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Err(Error::config(
            format!("another move into schema `{schema}` is under way"),
            "wait until it has ended",
        ))
    }

    fn name(&self, table: &str) -> String {
        format!("\"{}\".{table}", self.schema)
    }

    async fn meta(&mut self, key: &str) -> Result<Option<Vec<u8>>> {
        let sql = format!("SELECT value FROM {} WHERE key = $1", self.name("meta"));
        let found = sqlx::query(AssertSqlSafe(sql)).bind(key).fetch_optional(&mut self.connection).await;
        let value = found.and_then(|row| row.map(|row| row.try_get(0)).transpose());
        value.map_err(|e| postgres("reading `meta`", &e))
    }

    /// How far it is, for the installation with this key.
    pub(crate) async fn stage(&mut self, fingerprint: &[u8]) -> Result<Stage> {
        let (key, from) = (self.meta("installation-key").await?, self.meta("moved-from").await?);
        match (key, from) {
            (Some(_), Some(from)) if from == fingerprint => Ok(Stage::Moving),
            (Some(_), Some(_)) => Err(Error::config(
                format!(
                    "schema `{}` is the target of a move of another installation, or of this one before its key was changed",
                    self.schema
                ),
                "name another schema with --schema, or drop this one and begin again",
            )),
            (Some(key), None) if key == fingerprint => Ok(Stage::Moved),
            (Some(_), None) => Err(Error::config(
                format!("schema `{}` already serves another installation", self.schema),
                "name another database, or another schema with --schema; nothing was changed",
            )),
            (None, _) => {
                for table in TABLES.iter().chain([&KEYS, &LEDGER]) {
                    let sql = format!("SELECT EXISTS (SELECT 1 FROM {})", self.name(table.name));
                    let row = sqlx::query(AssertSqlSafe(sql)).fetch_one(&mut self.connection).await;
                    let filled = row.and_then(|row| row.try_get::<bool, _>(0));
                    if filled.map_err(|e| postgres(format_args!("reading `{}`", table.name), &e))? {
                        return Err(Error::config(
                            format!(
                                "schema `{}` has rows in `{}` and does not say whose",
                                self.schema, table.name
                            ),
                            "name another schema with --schema, or empty this one if nobody needs it",
                        ));
                    }
                }
                Ok(Stage::Empty)
            }
        }
    }

    /// Writes down that a move into it began.
    pub(crate) async fn begin(&mut self, fingerprint: &[u8]) -> Result<()> {
        let sql = format!(
            "INSERT INTO {} (key, value) VALUES ('moved-from', $1), ('installation-key', $2)",
            self.name("meta")
        );
        let query = sqlx::query(AssertSqlSafe(sql)).bind(fingerprint).bind(MOVING.as_slice());
        let done = query.execute(&mut self.connection).await;
        done.map(drop).map_err(|e| postgres("writing `meta`", &e))
    }

    /// Writes down that it is whole: from now on it is the installation, and apps start on it.
    pub(crate) async fn end(&mut self, meta: &[(String, Vec<u8>)]) -> Result<()> {
        let name = self.name("meta");
        let done = async {
            let mut transaction = self.connection.begin().await?;
            sqlx::query(AssertSqlSafe(format!("DELETE FROM {name}"))).execute(&mut *transaction).await?;
            for (key, value) in meta {
                let sql = format!("INSERT INTO {name} (key, value) VALUES ($1, $2)");
                sqlx::query(AssertSqlSafe(sql)).bind(key).bind(value).execute(&mut *transaction).await?;
            }
            transaction.commit().await
        };
        done.await.map_err(|e: sqlx::Error| postgres("writing `meta`", &e))
    }

    /// The last link of each chain, which SQLite looks up and PostgreSQL keeps; and figures for the planner.
    pub(crate) async fn derive(&mut self) -> Result<()> {
        let (heads, links) = (self.name("consent_heads"), self.name("consent_links"));
        let fill = format!(
            "INSERT INTO {heads} (tenant, segment, seq, until, digest, hash)
             SELECT l.* FROM (SELECT DISTINCT tenant FROM {links}) AS all_tenants
             CROSS JOIN LATERAL (SELECT tenant, segment, seq, until, digest, hash FROM {links} AS one
               WHERE one.tenant = all_tenants.tenant ORDER BY segment DESC, seq DESC LIMIT 1) AS l"
        );
        let done = async {
            let mut transaction = self.connection.begin().await?;
            sqlx::query(AssertSqlSafe(format!("DELETE FROM {heads}"))).execute(&mut *transaction).await?;
            sqlx::query(AssertSqlSafe(fill)).execute(&mut *transaction).await?;
            transaction.commit().await?;
            for table in TABLES.iter().chain([&KEYS]) {
                let analyze = format!("ANALYZE \"{}\".{}", self.schema, table.name);
                sqlx::raw_sql(AssertSqlSafe(analyze)).execute(&mut self.connection).await?;
            }
            Ok(())
        };
        done.await.map_err(|e: sqlx::Error| postgres("writing `consent_heads`", &e))
    }

    /// The groups of a table.
    pub(crate) async fn groups(&mut self, table: &Table) -> Result<Vec<Vec<Value>>> {
        let columns = table.columns.get(..table.group).unwrap_or_default();
        if columns.is_empty() {
            return Ok(vec![Vec::new()]);
        }
        let sql = format!("SELECT DISTINCT {} FROM {} t", selected(columns), self.name(table.name));
        let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut self.connection).await;
        let groups = rows.and_then(|rows| rows.iter().map(|row| read(row, columns)).collect());
        groups.map_err(|e| postgres(format_args!("reading `{}`", table.name), &e))
    }

    /// A condition for a range, from `$1` on, and what it binds.
    fn within(table: &Table, range: &Range) -> (String, Vec<(Value, Kind)>) {
        let (group, order) = (table.columns.get(..table.group).unwrap_or_default(), table.order());
        let (mut conditions, mut values) = (vec!["true".to_owned()], Vec::new());
        for (value, (name, kind)) in range.group.iter().zip(group) {
            values.push((value.clone(), *kind));
            conditions.push(format!("t.{name} = ${}", values.len()));
        }
        for (sign, bound) in [(">", &range.after), ("<=", &range.to)] {
            let Some(bound) = bound else { continue };
            let first = values.len() + 1;
            values.extend(bound.iter().cloned().zip(order.iter().map(|(_, kind)| *kind)));
            let marks = list(first..=values.len(), |n| format!("${n}"));
            conditions.push(format!("({}) {sign} ({marks})", list(order, order_by)));
        }
        (conditions.join(" AND "), values)
    }

    /// How many rows a range has, and the hash over theirs.
    pub(crate) async fn hash(&mut self, table: &Table, range: &Range) -> Result<(u64, Option<Hash>)> {
        let (condition, values) = Self::within(table, range);
        let sql = format!(
            "SELECT count(*), sha256(string_agg(hash, ''::bytea ORDER BY n)) FROM
             (SELECT {} AS hash, row_number() OVER (ORDER BY {}) AS n FROM {} t WHERE {condition}) AS rows",
            row_hash_sql(table),
            list(table.order(), order_by),
            self.name(table.name)
        );
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for (value, kind) in &values {
            query = bind(query, value, *kind);
        }
        let row = query.fetch_one(&mut self.connection).await;
        let found = row.and_then(|row| Ok((row.try_get::<i64, _>(0)?, hash(&row, 1)?)));
        let (count, hash) = found.map_err(|e| postgres(format_args!("comparing `{}`", table.name), &e))?;
        Ok((u64::try_from(count).unwrap_or(0), hash))
    }

    /// The rows of a range: what names each, and its hash.
    pub(crate) async fn hashes(
        &mut self,
        table: &Table,
        range: &Range,
    ) -> Result<HashMap<Vec<Value>, Option<Hash>>> {
        let (condition, values) = Self::within(table, range);
        let names = table.names();
        let sql = format!(
            "SELECT {}, {} FROM {} t WHERE {condition}",
            selected(names),
            row_hash_sql(table),
            self.name(table.name)
        );
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for (value, kind) in &values {
            query = bind(query, value, *kind);
        }
        let rows = query.fetch_all(&mut self.connection).await;
        let found = rows.and_then(|rows| {
            rows.iter().map(|row| Ok((read(row, names)?, hash(row, names.len())?))).collect()
        });
        found.map_err(|e| postgres(format_args!("comparing `{}`", table.name), &e))
    }

    /// Takes out rows by what names them, and puts in others, all at once or not at all.
    pub(crate) async fn replace(
        &mut self,
        table: &Table,
        remove: &[Vec<Value>],
        insert: &[Row],
    ) -> Result<()> {
        let (name, keys) = (self.name(table.name), table.names());
        let delete = |by: &[(&str, Kind)], same: &[&str]| {
            let same: Vec<_> = same.iter().map(|column| format!("t.{column} = u.{column}")).collect();
            format!("DELETE FROM {name} t USING {} WHERE {}", unnested(by), same.join(" AND "))
        };
        let named: Vec<_> = keys.iter().map(|(key, _)| *key).collect();
        let (gone, others) = (delete(keys, &named), delete(table.columns, table.unique));
        let columns = list(table.columns, |(column, _)| (*column).to_owned());
        let values = list(table.columns, |(column, kind)| match kind {
            Kind::Bool => format!("u.{column} <> 0"),
            Kind::Small => format!("u.{column}::smallint"),
            _ => format!("u.{column}"),
        });
        let fill = format!("INSERT INTO {name} ({columns}) SELECT {values} FROM {}", unnested(table.columns));
        let done = async {
            let mut transaction = self.connection.begin().await?;
            if !remove.is_empty() {
                let query = bind_columns(sqlx::query(AssertSqlSafe(gone)), remove, keys);
                query.execute(&mut *transaction).await?;
            }
            // SQLite may have been put back to an older state since: what an id names now stood elsewhere, in a range whose turn
            // is still to come.
            if !insert.is_empty() && !table.unique.is_empty() {
                let query = bind_columns(sqlx::query(AssertSqlSafe(others)), insert, table.columns);
                query.execute(&mut *transaction).await?;
            }
            if !insert.is_empty() {
                let query = bind_columns(sqlx::query(AssertSqlSafe(fill)), insert, table.columns);
                query.execute(&mut *transaction).await?;
            }
            transaction.commit().await
        };
        done.await.map_err(|e: sqlx::Error| postgres(format_args!("writing `{}`", table.name), &e))
    }

    /// Whose chains there are.
    pub(crate) async fn chains(&mut self) -> Result<Vec<Tenant>> {
        let sql = format!("SELECT DISTINCT tenant FROM {} ORDER BY tenant", self.name("consent_links"));
        let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut self.connection).await;
        let read = rows.and_then(|rows| rows.iter().map(|row| row.try_get::<String, _>(0)).collect());
        let names: Vec<String> = read.map_err(|e| postgres("reading `consent_links`", &e))?;
        names.into_iter().map(Tenant::new).collect()
    }
}
