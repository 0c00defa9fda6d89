//! The installation in PostgreSQL, as it comes to be. Until it is whole, its `meta` names a key that nobody has, so that no app
//! starts on half of it, and tells which installation is on its way, and where its keys and its ledger go.

use std::collections::BTreeSet;

use privet::key::Fingerprint;
use privet::store::{Ledger as _, LedgerEntry};
use privet::{Error, Result, Tenant};
use privet_postgres::{PostgresLedger, PostgresOptions, PostgresStore};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};

use crate::columns::{bind, bind_columns, hash, list, order_by, read, selected, unnested};
use crate::error::postgres;
use crate::place::{Destination, Place, identity};
use crate::rows::{Hash, Range, Row, Value, row_hash_sql};
use crate::source::{Known, as_u64};
use crate::tables::{KEYS, Kind, LEDGER, TABLES, Table};

/// How far a target is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It has nothing yet.
    Empty,
    /// A move of this installation began.
    Moving,
    /// The move of this installation into it was finished, and an app may serve from it.
    Moved,
}

/// What the names in `meta` are, beside that of the installation's key.
const KEY: &str = "installation-key";
/// While a move is under way: the key of the installation that comes, and which places keys and ledger go to.
const FROM: &str = "moved-from";
const WITH_KEYS: &str = "moved-keys";
const WITH_LEDGER: &str = "moved-ledger";
/// Since it was finished: what tells a target from a schema that an app was just started on.
const DONE: &str = "moved-in";

/// What `meta` says.
#[derive(Default)]
struct Facts {
    key: Option<Vec<u8>>,
    from: Option<Vec<u8>>,
    keys: Option<Vec<u8>>,
    ledger: Option<Vec<u8>>,
    is_done: bool,
}

impl Facts {
    async fn read(connection: &mut PgConnection, schema: &str) -> Result<Self> {
        let sql = format!("SELECT key, value FROM \"{schema}\".meta");
        let failed = |e: sqlx::Error| postgres("reading `meta`", &e);
        let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(connection).await.map_err(failed)?;
        let mut facts = Self::default();
        for row in &rows {
            let value = row.try_get::<Option<Vec<u8>>, _>(1).map_err(failed)?;
            match row.try_get::<&str, _>(0).map_err(failed)? {
                KEY => facts.key = value,
                FROM => facts.from = value,
                WITH_KEYS => facts.keys = value,
                WITH_LEDGER => facts.ledger = value,
                DONE => facts.is_done = true,
                _ => {}
            }
        }
        Ok(facts)
    }

    /// How far a schema is, for an installation; none when it says nothing.
    fn stage(&self, schema: &str, known: &Known) -> Result<Option<Stage>> {
        match (&self.key, &self.from) {
            (None, _) => Ok(None),
            (Some(_), Some(from)) if *from == known.key => Ok(Some(Stage::Moving)),
            (Some(_), Some(_)) => Err(strange_move(schema)),
            (Some(key), None) if *key != known.key => Err(strange(schema)),
            (Some(_), None) if self.is_done || known.retired.is_some() => Ok(Some(Stage::Moved)),
            (Some(_), None) => Err(Error::config(
                format!(
                    "an app was started on schema `{schema}` with the key of this installation before anything was moved: the schema holds nothing of the move"
                ),
                "stop that app; if nothing in the schema is needed, drop it, with the keys and the ledger of that app, and begin; nothing was changed",
            )),
        }
    }
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

async fn is_walled(connection: &mut PgConnection, schema: &str, table: &str) -> Result<bool> {
    let sql = "SELECT coalesce((SELECT relrowsecurity FROM pg_class WHERE oid = to_regclass($1)), FALSE)";
    let asked = sqlx::query(sql).bind(format!("\"{schema}\".{table}")).fetch_one(connection).await;
    asked.and_then(|row| row.try_get(0)).map_err(|e| postgres("looking for row-level security", &e))
}

/// Who serves somewhere would see nothing behind a wall that they do not know of.
fn shut_out(schema: &str) -> Error {
    Error::config(
        format!("schema `{schema}` serves without row-level security"),
        "run it without --row-security; the apps raise it themselves, with `row_security()` in all of them",
    )
}

/// Before anything is made there: whether it is for this installation, and there at all. Which keys a move that is under way
/// goes on with.
async fn look_first(
    connection: &mut PgConnection,
    to: &Destination,
    known: &Known,
    may_make: bool,
) -> Result<Option<Vec<u8>>> {
    let schema = &to.schema;
    let there = is_there(connection, schema, "meta").await?;
    if !there && !may_make {
        return Err(nothing(schema));
    }
    let facts = if there { Facts::read(connection, schema).await? } else { Facts::default() };
    let stage = facts.stage(schema, known)?;
    if let Some(retired) = &known.retired
        && may_make
        && !facts.is_done
        && (retired.to.is_none() || identity(connection, schema, "meta").await? != retired.to)
    {
        return Err(Error::config(
            format!("this installation was moved already, to {}, and is served from there", retired.place),
            "start the app there; what was erased there since would be back in a second place. Nothing was changed",
        ));
    }
    if stage == Some(Stage::Moved) && to.walled && !is_walled(connection, schema, "contacts").await? {
        return Err(shut_out(schema));
    }
    Ok(if stage == Some(Stage::Moving) { facts.keys } else { None })
}

/// Before a wall is raised before keys: whether they are those of this move, or nobody's.
async fn look_at_keys(connection: &mut PgConnection, to: &Destination, ours: Option<Vec<u8>>) -> Result<()> {
    let schema = &to.schema;
    let found = identity(connection, schema, "keys").await?;
    if found.is_none() || found == ours || is_walled(connection, schema, "keys").await? {
        return Ok(());
    }
    let sql = format!("SELECT EXISTS (SELECT 1 FROM \"{schema}\".keys)");
    let asked = sqlx::query(AssertSqlSafe(sql)).fetch_one(connection).await;
    match asked.and_then(|row| row.try_get(0)).map_err(|e| postgres("reading `keys`", &e))? {
        true => Err(Error::config(
            format!("schema `{schema}` has keys that are not of this move, and no row-level security"),
            "name another place for the keys: whoever serves from these would not see them behind it. Nothing was changed",
        )),
        false => Ok(()),
    }
}

pub(crate) fn nothing(schema: &str) -> Error {
    Error::config(format!("schema `{schema}` has nothing yet"), "run it without --verify first")
}

impl Target {
    /// Connects, and makes the tables if they are not there, unless nothing is to be made, or they are somebody else's.
    pub(crate) async fn open(
        [data, keys, book]: [&Destination; 3],
        known: &Known,
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
        let ours = match &mut of_data {
            Ok(connection) => look_first(connection, data, known, may_make).await?,
            Err(_) => None,
        };
        if let (Ok(connection), true) = (&mut of_keys, may_make && keys.walled) {
            look_at_keys(connection, keys, ours).await?;
        }
        for (connected, place, table) in [(&mut of_keys, keys, "keys"), (&mut of_book, book, "ledger")] {
            if let (Ok(connection), false) = (connected, may_make)
                && !is_there(connection, &place.schema, table).await?
            {
                return Err(nothing(&place.schema));
            }
        }
        // What else may be wrong, such as a password, is told here.
        let options = |to: &Destination| -> Result<PostgresOptions> {
            Ok(if may_make { to.options()? } else { to.options()?.as_it_is() })
        };
        let store = options(data)?.store().await?;
        options(keys)?.key_store().await?;
        let ledger = options(book)?.ledger().await?;
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

    /// Where the keys and the ledger of this move are.
    async fn elsewhere(&mut self) -> Result<[Vec<u8>; 2]> {
        Ok([self.keys.identity("keys").await?, self.book.identity("ledger").await?])
    }

    /// Which target this is among all of them.
    pub(crate) async fn identity(&mut self) -> Result<Vec<u8>> {
        self.data.identity("meta").await
    }

    /// Keeps all connections, of which one has to do at a time.
    pub(crate) async fn stay(&mut self) -> Result<()> {
        self.data.stay().await?;
        self.keys.stay().await?;
        self.book.stay().await
    }

    /// How far it is, for this installation.
    pub(crate) async fn stage(&mut self, known: &Known) -> Result<Stage> {
        let facts = Facts::read(&mut self.data.connection, &self.data.schema).await?;
        match facts.stage(&self.data.schema, known)? {
            Some(Stage::Moving) => {
                let [keys, book] = self.elsewhere().await?;
                // What stands there is perhaps somebody else's, and would be taken out as too much.
                if facts.keys != Some(keys) || facts.ledger != Some(book) {
                    return Err(Error::config(
                        format!(
                            "keys or ledger went elsewhere when the move into schema `{}` began",
                            self.data.schema
                        ),
                        "name the same places for them as then, or drop the schema and begin again",
                    ));
                }
                Ok(Stage::Moving)
            }
            Some(stage) => Ok(stage),
            None => {
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
            (FROM, fingerprint.to_vec()),
            (KEY, Fingerprint::MOVING.as_bytes().to_vec()),
            (WITH_KEYS, keys),
            (WITH_LEDGER, book),
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
            let meta = meta.iter().map(|(key, value)| (key.as_str(), value.as_slice()));
            for (key, value) in meta.chain([(DONE, &b""[..])]) {
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

    /// Tenants whose last link is not what PostgreSQL keeps as such; of one moment, since an app may serve by now.
    pub(crate) async fn false_heads(&mut self) -> Result<Vec<String>> {
        let (heads, links) = (self.data.name("consent_heads"), self.data.name("consent_links"));
        let sql = format!(
            "SELECT coalesce(h.tenant, l.tenant) FROM {heads} h
             FULL JOIN (SELECT DISTINCT ON (tenant) * FROM {links} ORDER BY tenant DESC, segment DESC, seq DESC) l
               ON l.tenant = h.tenant
             WHERE (h.segment, h.seq, h.until, h.digest, h.hash) IS DISTINCT FROM (l.segment, l.seq, l.until, l.digest, l.hash)
             ORDER BY 1"
        );
        let rows = self.data.look("consent_heads", sql).await?;
        let read = rows.iter().map(|row| row.try_get(0)).collect::<sqlx::Result<_>>();
        read.map_err(|e| postgres("reading `consent_heads`", &e))
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

    /// How many rows a range has, and the hash over theirs, if there are no more than expected.
    pub(crate) async fn hash(
        &mut self,
        table: &Table,
        range: &Range,
        expected: usize,
    ) -> Result<(u64, Option<Hash>)> {
        let (condition, values) = Self::within(table, range);
        let place = self.place(table);
        place.speak_for_group(&range.group, table.names()).await?;
        let (name, order) = (place.name(table.name), list(table.order(), order_by));
        // More rows than expected differ in any case, and may be more than one value has room for.
        let sql = format!(
            "SELECT count(*), sha256(string_agg(hash, ''::bytea ORDER BY n)) FROM
             (SELECT {} AS hash, row_number() OVER (ORDER BY {order}) AS n FROM {name} t WHERE {condition}
              ORDER BY {order} LIMIT {}) AS rows",
            row_hash_sql(table),
            expected.saturating_add(1)
        );
        let all = format!("SELECT count(*), NULL::bytea FROM {name} t WHERE {condition}");
        let mut found = (0, None);
        for sql in [sql, all] {
            let mut query = sqlx::query(AssertSqlSafe(sql));
            for (value, kind) in &values {
                query = bind(query, value, *kind);
            }
            let row = query.fetch_one(&mut place.connection).await;
            let looked = row.and_then(|row| Ok((row.try_get::<i64, _>(0)?, hash(&row, 1)?)));
            let (count, hash) =
                looked.map_err(|e| postgres(format_args!("comparing `{}`", table.name), &e))?;
            found = (count.unsigned_abs(), hash);
            if found.0 <= as_u64(expected) {
                break;
            }
        }
        Ok(found)
    }

    /// The first rows of a range, in their order: what names each, and its hash.
    pub(crate) async fn hashes(
        &mut self,
        table: &Table,
        range: &Range,
        limit: usize,
    ) -> Result<Vec<(Vec<Value>, Option<Hash>)>> {
        let (condition, values) = Self::within(table, range);
        let names = table.names();
        let place = self.place(table);
        place.speak_for_group(&range.group, names).await?;
        let sql = format!(
            "SELECT {}, {} FROM {} t WHERE {condition} ORDER BY {} LIMIT {limit}",
            selected(names),
            row_hash_sql(table),
            place.name(table.name),
            list(table.order(), order_by)
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

    /// Whose chains there are, or have to be: who has links, or records, or is known to the ledger.
    pub(crate) async fn chains(&mut self) -> Result<BTreeSet<Tenant>> {
        let mut tenants = BTreeSet::new();
        for table in ["consent_links", "consent_records"] {
            for tenant in self.tenants(table).await? {
                tenants.insert(Tenant::new(tenant)?);
            }
        }
        let entries = self.ledger.entries().await?.into_iter();
        tenants.extend(entries.filter_map(|entry| match entry {
            LedgerEntry::Head { tenant, .. } => Some(tenant),
            _ => None,
        }));
        Ok(tenants)
    }
}
