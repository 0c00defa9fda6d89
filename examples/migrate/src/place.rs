//! A schema in PostgreSQL that a part of the installation goes to: the data, the keys or the ledger.

use std::fmt;
use std::str::FromStr as _;
use std::time::Duration;

use privet::{Error, Result};
use privet_postgres::PostgresOptions;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _};

use crate::error::postgres;
use crate::rows::Value;

/// One move at a time into a place.
const LOCK: i32 = 0x006d_6f76; // "mov"
/// A move that was killed holds the lock until the server notices: so many tenths of a second it is waited for.
const PATIENCE: u32 = 100;
/// Within this a server answers.
const REACHED: Duration = Duration::from_secs(10);

/// Where a part goes, as it was asked for.
#[derive(Clone)]
pub(crate) struct Destination {
    /// It has a password.
    pub(crate) url: String,
    pub(crate) schema: String,
    /// Whether row-level security is to stand there.
    pub(crate) walled: bool,
}

impl Destination {
    pub(crate) fn options(&self) -> Result<PostgresOptions> {
        let options = PostgresOptions::new(&self.url)?.schema(&self.schema).connections(2);
        Ok(if self.walled { options.row_security() } else { options })
    }

    /// Where this is, without who enters it and with what.
    pub(crate) fn told(&self) -> String {
        let schema = &self.schema;
        let Ok(options) = PgConnectOptions::from_str(&self.url) else { return format!("schema `{schema}`") };
        let database =
            options.get_database().map_or("default database".to_owned(), |name| format!("database `{name}`"));
        match options.get_socket() {
            Some(socket) => format!("schema `{schema}`, {database}, at {}", socket.display()),
            None => {
                format!("schema `{schema}`, {database}, at {}:{}", options.get_host(), options.get_port())
            }
        }
    }
}

/// Which table this is among all tables of all servers; none when it is not there.
pub(crate) async fn identity(
    connection: &mut PgConnection,
    schema: &str,
    table: &str,
) -> Result<Option<Vec<u8>>> {
    let sql = "SELECT format('%s/%s/%s', (SELECT system_identifier FROM pg_control_system()),
                 (SELECT oid FROM pg_database WHERE datname = current_database()), t.oid)
               FROM (SELECT to_regclass($1)::oid) AS t (oid) WHERE t.oid IS NOT NULL";
    let row = sqlx::query(sql).bind(format!("\"{schema}\".{table}")).fetch_optional(connection).await;
    let text = row.and_then(|row| row.map(|row| row.try_get::<String, _>(0)).transpose());
    let identity = text.map(|text| text.map(String::into_bytes));
    identity.map_err(|e| postgres(format_args!("looking for `{table}`"), &e))
}

pub(crate) struct Place {
    pub(crate) connection: PgConnection,
    pub(crate) schema: String,
    walled: bool,
    /// Whose rows the connection sees, behind the wall.
    spoken_for: Option<String>,
}

fn unreached(why: &dyn fmt::Display) -> Error {
    Error::unavailable(
        "postgres",
        format!("the server is not reached: {why}; check the host and the port in the URL, and that it runs"),
    )
}

impl Place {
    /// Connects; what is wrong beyond the way there is told by [`PostgresOptions`], which says what helps.
    pub(crate) async fn reach(to: &Destination) -> Result<sqlx::Result<PgConnection>> {
        to.options()?;
        // It was read before, so it is one.
        let own = PgConnectOptions::from_str(&to.url)
            .map_err(|_| Error::config("the database URL cannot be read", "check it"))?;
        // A pool would take a server that is not there for one that starts, and wait for it.
        match tokio::time::timeout(REACHED, own.connect()).await {
            Err(_) => Err(unreached(&"it does not answer")),
            Ok(Err(sqlx::Error::Io(e))) if e.kind() == std::io::ErrorKind::ConnectionRefused => {
                Err(unreached(&e))
            }
            Ok(connected) => Ok(connected),
        }
    }

    /// With a table of this part, which is there by now; nobody else moves into it until this ends.
    pub(crate) async fn hold(
        connected: sqlx::Result<PgConnection>,
        to: &Destination,
        part: &str,
    ) -> Result<Self> {
        let mut connection = connected.map_err(|e| postgres("connecting", &e))?;
        for _ in 0..PATIENCE {
            let locked = sqlx::query("SELECT pg_try_advisory_lock($1, hashtext($2))")
                .bind(LOCK)
                .bind(format!("{part} {}", to.schema))
                .fetch_one(&mut connection)
                .await
                .and_then(|row| row.try_get::<bool, _>(0));
            if locked.map_err(|e| postgres("locking the schema", &e))? {
                return Ok(Self {
                    connection,
                    schema: to.schema.clone(),
                    walled: to.walled,
                    spoken_for: None,
                });
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Err(Error::config(
            format!("another move into schema `{}` is under way", to.schema),
            "wait until it has ended",
        ))
    }

    /// Whether nothing would be seen in a table for want of a name.
    pub(crate) async fn is_blind(connection: &mut PgConnection, table: &str) -> Result<bool> {
        let asked = sqlx::query("SELECT coalesce(row_security_active(to_regclass($1)), FALSE)").bind(table);
        let found = asked.fetch_one(connection).await.and_then(|row| row.try_get(0));
        found.map_err(|e| postgres("looking for row-level security", &e))
    }

    pub(crate) fn name(&self, table: &str) -> String {
        format!("\"{}\".{table}", self.schema)
    }

    pub(crate) async fn identity(&mut self, table: &str) -> Result<Vec<u8>> {
        Ok(identity(&mut self.connection, &self.schema, table).await?.unwrap_or_default())
    }

    /// Keeps the connection from looking idle to whatever is on the way, while the work is in another place.
    pub(crate) async fn stay(&mut self) -> Result<()> {
        self.connection.ping().await.map_err(|e| postgres("staying connected", &e))
    }

    /// From here on the connection sees and changes rows of this tenant; of all of them it only sees, as `*`.
    pub(crate) async fn speak_for(&mut self, tenant: &str) -> Result<()> {
        // The installation's own keys are of no tenant.
        let tenant = if tenant.is_empty() { "*" } else { tenant };
        if !self.walled || self.spoken_for.as_deref() == Some(tenant) {
            return Ok(());
        }
        let set = sqlx::query("SELECT set_config('privet_unit.tenant', $1, FALSE)").bind(tenant);
        set.execute(&mut self.connection).await.map_err(|e| postgres("naming a tenant", &e))?;
        self.spoken_for = Some(tenant.to_owned());
        Ok(())
    }

    /// The same, for a group of rows.
    pub(crate) async fn speak_for_group(
        &mut self,
        group: &[Value],
        columns: &[(&str, crate::tables::Kind)],
    ) -> Result<()> {
        let tenant = columns.iter().zip(group).find(|((name, _), _)| *name == "tenant");
        match tenant {
            Some((_, Value::Bytes(tenant))) => {
                let tenant = String::from_utf8_lossy(tenant).into_owned();
                self.speak_for(&tenant).await
            }
            _ => Ok(()),
        }
    }

    /// The rows of a statement that is about all tenants. There is no name that all keys show themselves to: their owner looks
    /// past the wall for the length of a transaction, which changes nothing in the end.
    pub(crate) async fn look(&mut self, table: &str, sql: String) -> Result<Vec<sqlx::postgres::PgRow>> {
        self.speak_for("*").await?;
        let past = format!("ALTER TABLE {} NO FORCE ROW LEVEL SECURITY", self.name(table));
        let hidden = self.walled && table == "keys";
        let done = async {
            let mut transaction = self.connection.begin().await?;
            if hidden {
                sqlx::raw_sql("SET LOCAL lock_timeout = '5s'").execute(&mut *transaction).await?;
                sqlx::raw_sql(AssertSqlSafe(past)).execute(&mut *transaction).await?;
            }
            let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut *transaction).await?;
            transaction.rollback().await?;
            Ok(rows)
        };
        done.await.map_err(|e: sqlx::Error| postgres(format_args!("reading `{table}`"), &e))
    }
}
