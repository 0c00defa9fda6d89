//! The installation in PostgreSQL, as it comes to be. Until it is whole, its `meta` names a key that nobody has, so that no app
//! starts on half of it, and tells which installation is on its way, and where its keys and its ledger go.

use std::collections::HashMap;

use privet::key::Fingerprint;
use privet::{Error, Result, Tenant};
use privet_postgres::{PostgresLedger, PostgresStore};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};

use crate::columns::{bind, bind_columns, hash, list, order_by, read, selected, unnested};
use crate::error::postgres;
use crate::place::{Destination, Place};
use crate::rows::{Hash, Range, Row, Value, row_hash_sql};
use crate::tables::{KEYS, Kind, LEDGER, TABLES, Table};

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
    data: Place,
    keys: Place,
    book: Place,
    pub(crate) store: PostgresStore,
    pub(crate) ledger: PostgresLedger,
}

fn strange(schema: &str) -> Error {
    Error::config(
        format!("schema `{schema}` already serves another installation"),
        "name another database, or another schema with --schema; nothing was changed",
    )
}

fn strange_move(schema: &str) -> Error {
    Error::config(
        format!(
            "schema `{schema}` is the target of a move of another installation, or of this one before its key was changed"
        ),
        "name another schema with --schema, or drop this one and begin again",
    )
}

async fn is_there(connection: &mut PgConnection, schema: &str, table: &str) -> Result<bool> {
    let asked = sqlx::query("SELECT to_regclass($1) IS NOT NULL").bind(format!("\"{schema}\".{table}"));
    let found = asked.fetch_one(connection).await.and_then(|row| row.try_get(0));
    found.map_err(|e| postgres(format_args!("looking for `{table}`"), &e))
}

/// Before anything is made there: whether it is for this installation, and there at all.
async fn look_first(
    connection: &mut PgConnection,
    to: &Destination,
    fingerprint: &[u8],
    may_make: bool,
) -> Result<()> {
    let schema = &to.schema;
    if !is_there(connection, schema, "meta").await? {
        return if may_make { Ok(()) } else { Err(nothing(schema)) };
    }
    let sql = format!(
        "SELECT (SELECT value FROM \"{schema}\".meta WHERE key = 'installation-key'),
                (SELECT value FROM \"{schema}\".meta WHERE key = 'moved-from'),
                coalesce((SELECT relrowsecurity FROM pg_class WHERE oid = to_regclass('\"{schema}\".contacts')), FALSE)"
    );
    let failed = |e: sqlx::Error| postgres("reading `meta`", &e);
    let row = sqlx::query(AssertSqlSafe(sql)).fetch_one(connection).await.map_err(failed)?;
    let value = |at: usize| row.try_get::<Option<Vec<u8>>, _>(at).map_err(failed);
    let stands: bool = row.try_get(2).map_err(failed)?;
    match (value(0)?, value(1)?) {
        (Some(_), Some(from)) if from != fingerprint => Err(strange_move(schema)),
        (Some(key), None) if key != fingerprint => Err(strange(schema)),
        // The apps that serve would see nothing behind a wall that they do not know of.
        (Some(_), None) if to.walled && !stands => Err(Error::config(
            format!("schema `{schema}` serves without row-level security"),
            "run it without --row-security; the apps raise it themselves, with `row_security()` in all of them",
        )),
        _ => Ok(()),
    }
}

pub(crate) fn nothing(schema: &str) -> Error {
    Error::config(format!("schema `{schema}` has nothing yet"), "run it without --verify first")
}

impl Target {
    /// Connects, and makes the tables if they are not there, unless nothing is to be made, or they are somebody else's.
    pub(crate) async fn open(
        [data, keys, book]: [&Destination; 3],
        fingerprint: &[u8],
        may_make: bool,
    ) -> Result<Self> {
        let (mut of_data, mut of_keys, mut of_book) =
            (Place::reach(data).await?, Place::reach(keys).await?, Place::reach(book).await?);
        if let (Ok(connection), false) = (&mut of_data, data.walled) {
            let contacts = format!("\"{}\".contacts", data.schema);
            if Place::is_blind(connection, &contacts).await? {
                return Err(Error::config(
                    format!("schema `{}` has row-level security, and nothing is seen behind it", data.schema),
                    "run it with --row-security, each time",
                ));
            }
        }
        if let Ok(connection) = &mut of_data {
            look_first(connection, data, fingerprint, may_make).await?;
        }
        for (connected, place, table) in [(&mut of_keys, keys, "keys"), (&mut of_book, book, "ledger")] {
            if let (Ok(connection), false) = (connected, may_make)
                && !is_there(connection, &place.schema, table).await?
            {
                return Err(nothing(&place.schema));
            }
        }
        // What else may be wrong, such as a password, is told here.
        let store = data.options()?.store().await?;
        keys.options()?.key_store().await?;
        let ledger = book.options()?.ledger().await?;
        let data = Place::hold(of_data, data, "data").await?;
        let keys = Place::hold(of_keys, keys, "keys").await?;
        let book = Place::hold(of_book, book, "ledger").await?;
        Ok(Self { data, keys, book, store, ledger })
    }

    fn place(&mut self, table: &Table) -> &mut Place {
        match table.name {
            "keys" => &mut self.keys,
            "ledger" => &mut self.book,
            _ => &mut self.data,
        }
    }

    async fn meta(&mut self, key: &str) -> Result<Option<Vec<u8>>> {
        let sql = format!("SELECT value FROM {} WHERE key = $1", self.data.name("meta"));
        let found = sqlx::query(AssertSqlSafe(sql)).bind(key).fetch_optional(&mut self.data.connection).await;
        let value = found.and_then(|row| row.map(|row| row.try_get(0)).transpose());
        value.map_err(|e| postgres("reading `meta`", &e))
    }

    /// What says where the keys and the ledger of this move are.
    async fn elsewhere(&mut self) -> Result<[(&'static str, Vec<u8>); 2]> {
        let (keys, book) = (self.keys.identity("keys").await?, self.book.identity("ledger").await?);
        Ok([("moved-keys", keys), ("moved-ledger", book)])
    }

    /// How far it is, for the installation with this key.
    pub(crate) async fn stage(&mut self, fingerprint: &[u8]) -> Result<Stage> {
        let (key, from) = (self.meta("installation-key").await?, self.meta("moved-from").await?);
        match (key, from) {
            (Some(_), Some(from)) if from == fingerprint => {
                for (name, identity) in self.elsewhere().await? {
                    // What stands there is perhaps somebody else's, and would be taken out as too much.
                    if self.meta(name).await?.as_ref() != Some(&identity) {
                        return Err(Error::config(
                            format!(
                                "keys or ledger went elsewhere when the move into schema `{}` began",
                                self.data.schema
                            ),
                            "name the same places for them as then, or drop the schema and begin again",
                        ));
                    }
                }
                Ok(Stage::Moving)
            }
            (Some(_), Some(_)) => Err(strange_move(&self.data.schema)),
            (Some(key), None) if key == fingerprint => Ok(Stage::Moved),
            (Some(_), None) => Err(strange(&self.data.schema)),
            (None, _) => {
                for table in TABLES.iter().chain([&KEYS, &LEDGER]) {
                    let place = self.place(table);
                    let sql = format!("SELECT 1 FROM {} LIMIT 1", place.name(table.name));
                    if !place.look(table.name, sql).await?.is_empty() {
                        return Err(Error::config(
                            format!(
                                "schema `{}` has rows in `{}` and does not say whose",
                                place.schema, table.name
                            ),
                            "name another schema for it, or empty this one if nobody needs it",
                        ));
                    }
                }
                Ok(Stage::Empty)
            }
        }
    }

    /// Writes down that a move into it began, and where keys and ledger go.
    pub(crate) async fn begin(&mut self, fingerprint: &[u8]) -> Result<()> {
        let [keys, book] = self.elsewhere().await?;
        let facts = [
            ("moved-from", fingerprint.to_vec()),
            ("installation-key", Fingerprint::MOVING.as_bytes().to_vec()),
            keys,
            book,
        ];
        let sql = format!(
            "INSERT INTO {} (key, value) SELECT * FROM unnest($1::text[], $2::bytea[])",
            self.data.name("meta")
        );
        let (names, values): (Vec<_>, Vec<_>) = facts.into_iter().unzip();
        let query = sqlx::query(AssertSqlSafe(sql)).bind(names).bind(values);
        let done = query.execute(&mut self.data.connection).await;
        done.map(drop).map_err(|e| postgres("writing `meta`", &e))
    }

    /// Writes down that it is whole: from now on it is the installation, and apps start on it.
    pub(crate) async fn end(&mut self, meta: &[(String, Vec<u8>)]) -> Result<()> {
        let name = self.data.name("meta");
        let done = async {
            let mut transaction = self.data.connection.begin().await?;
            sqlx::query(AssertSqlSafe(format!("DELETE FROM {name}"))).execute(&mut *transaction).await?;
            for (key, value) in meta {
                let sql = format!("INSERT INTO {name} (key, value) VALUES ($1, $2)");
                sqlx::query(AssertSqlSafe(sql)).bind(key).bind(value).execute(&mut *transaction).await?;
            }
            transaction.commit().await
        };
        done.await.map_err(|e: sqlx::Error| postgres("writing `meta`", &e))
    }

    /// Tenants that a table has.
    async fn tenants(&mut self, table: &str) -> Result<Vec<String>> {
        let sql = format!("SELECT DISTINCT tenant FROM {} ORDER BY tenant", self.data.name(table));
        let rows = self.data.look(table, sql).await?;
        let read = rows.iter().map(|row| row.try_get(0)).collect::<sqlx::Result<_>>();
        read.map_err(|e| postgres(format_args!("reading `{table}`"), &e))
    }

    /// The last link of each chain, which SQLite looks up and PostgreSQL keeps; and figures for the planner.
    pub(crate) async fn derive(&mut self) -> Result<()> {
        let (heads, links) = (self.data.name("consent_heads"), self.data.name("consent_links"));
        let fill = format!(
            "INSERT INTO {heads} (tenant, segment, seq, until, digest, hash)
             SELECT tenant, segment, seq, until, digest, hash FROM {links}
             WHERE tenant = $1 ORDER BY segment DESC, seq DESC LIMIT 1"
        );
        let empty = format!("DELETE FROM {heads} WHERE tenant = $1");
        let mut tenants = self.tenants("consent_links").await?;
        tenants.extend(self.tenants("consent_heads").await?);
        tenants.sort();
        tenants.dedup();
        for tenant in &tenants {
            self.data.speak_for(tenant).await?;
            let done = async {
                let mut transaction = self.data.connection.begin().await?;
                for sql in [&empty, &fill] {
                    let query = sqlx::query(AssertSqlSafe(sql.clone())).bind(tenant);
                    query.execute(&mut *transaction).await?;
                }
                transaction.commit().await
            };
            done.await.map_err(|e: sqlx::Error| postgres("writing `consent_heads`", &e))?;
        }
        for table in TABLES.iter().chain([&KEYS]) {
            let place = self.place(table);
            let analyze = format!("ANALYZE {}", place.name(table.name));
            let done = sqlx::raw_sql(AssertSqlSafe(analyze)).execute(&mut place.connection).await;
            done.map_err(|e| postgres(format_args!("analyzing `{}`", table.name), &e))?;
        }
        Ok(())
    }

    /// The groups of a table.
    pub(crate) async fn groups(&mut self, table: &Table) -> Result<Vec<Vec<Value>>> {
        let columns = table.columns.get(..table.group).unwrap_or_default();
        if columns.is_empty() {
            return Ok(vec![Vec::new()]);
        }
        let place = self.place(table);
        let name = place.name(table.name);
        let sql = if table.name == "keys" {
            // From one group to the next, since nobody else reads a key meanwhile.
            format!(
                "WITH RECURSIVE t AS (
                   (SELECT tenant, kind FROM {name} ORDER BY tenant, kind LIMIT 1)
                   UNION ALL SELECT n.* FROM t CROSS JOIN LATERAL (SELECT k.tenant, k.kind FROM {name} k
                     WHERE (k.tenant, k.kind) > (t.tenant, t.kind) ORDER BY k.tenant, k.kind LIMIT 1) AS n)
                 SELECT {} FROM t",
                selected(columns)
            )
        } else {
            format!("SELECT DISTINCT {} FROM {name} t", selected(columns))
        };
        let rows = place.look(table.name, sql).await?;
        let groups = rows.iter().map(|row| read(row, columns)).collect::<sqlx::Result<_>>();
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
        let place = self.place(table);
        place.speak_for_group(&range.group, table.names()).await?;
        let sql = format!(
            "SELECT count(*), sha256(string_agg(hash, ''::bytea ORDER BY n)) FROM
             (SELECT {} AS hash, row_number() OVER (ORDER BY {}) AS n FROM {} t WHERE {condition}) AS rows",
            row_hash_sql(table),
            list(table.order(), order_by),
            place.name(table.name)
        );
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for (value, kind) in &values {
            query = bind(query, value, *kind);
        }
        let row = query.fetch_one(&mut place.connection).await;
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
        let place = self.place(table);
        place.speak_for_group(&range.group, names).await?;
        let sql = format!(
            "SELECT {}, {} FROM {} t WHERE {condition}",
            selected(names),
            row_hash_sql(table),
            place.name(table.name)
        );
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for (value, kind) in &values {
            query = bind(query, value, *kind);
        }
        let rows = query.fetch_all(&mut place.connection).await;
        let found = rows.and_then(|rows| {
            rows.iter().map(|row| Ok((read(row, names)?, hash(row, names.len())?))).collect()
        });
        found.map_err(|e| postgres(format_args!("comparing `{}`", table.name), &e))
    }

    /// Takes out rows of a group by what names them, and puts in others, all at once or not at all.
    pub(crate) async fn replace(
        &mut self,
        table: &Table,
        group: &[Value],
        remove: &[Vec<Value>],
        insert: &[Row],
    ) -> Result<()> {
        let place = self.place(table);
        place.speak_for_group(group, table.names()).await?;
        let (name, keys) = (place.name(table.name), table.names());
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
            let mut transaction = place.connection.begin().await?;
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
        self.tenants("consent_links").await?.into_iter().map(Tenant::new).collect()
    }
}
