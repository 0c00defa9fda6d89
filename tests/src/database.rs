//! Where an installation under test keeps everything: in files, or in a PostgreSQL, with or without a pooler in front.

use std::path::Path;
use std::sync::Arc;

use privet::{KeyRing, Storage};
use privet_postgres::PostgresOptions;
use privet_test_postgres::Pooler;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, PgPool};

use crate::server::Starting;

/// What is below the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    Files,
    Postgres,
    /// Through a PgBouncer in transaction mode: data, keys and ledger.
    Pooled,
}

/// Connections that the pooler has to the server: fewer than an instance has to the pooler, so that they change.
const SERVERS: u32 = 4;

/// A place of a test's own.
#[derive(Clone, Debug)]
pub enum Database {
    Files,
    Postgres { url: String, schema: String },
    Pooled { pooler: Arc<Pooler>, schema: String },
}

impl Database {
    /// One that nothing is in yet. None where it takes a PostgreSQL or a PgBouncer and there is none, after saying so; in CI that
    /// is a failure.
    pub fn fresh(backend: Backend) -> Option<Self> {
        let schema = privet_test_postgres::fresh_name();
        match backend {
            Backend::Files => Some(Self::Files),
            Backend::Postgres => {
                let server = privet_test_postgres::server()?;
                Some(Self::Postgres { url: server.url().to_owned(), schema })
            }
            Backend::Pooled => {
                let pooler = privet_test_postgres::pooler(SERVERS)?;
                Some(Self::Pooled { pooler: Arc::new(pooler), schema })
            }
        }
    }

    /// Another one that nothing is in yet, on the same server.
    ///
    /// # Panics
    /// For files.
    pub fn another(&self) -> Self {
        let schema = privet_test_postgres::fresh_name();
        match self {
            Self::Files => panic!("files are where their folder is"),
            Self::Postgres { url, .. } => Self::Postgres { url: url.clone(), schema },
            Self::Pooled { pooler, .. } => Self::Pooled { pooler: pooler.clone(), schema },
        }
    }

    /// The test's own connections to the tables.
    ///
    /// # Panics
    /// For files.
    pub fn pool(&self) -> PgPool {
        let options = |url: &str| url.parse::<PgConnectOptions>().expect("a URL");
        PgPool::connect_lazy_with(match self {
            Self::Files => panic!("files have none"),
            Self::Postgres { url, .. } => options(url),
            // It knows neither what another client prepared nor this setting.
            Self::Pooled { pooler, .. } => {
                options(&pooler.url()).statement_cache_capacity(0).extra_float_digits(None)
            }
        })
    }

    /// Takes everything out of the tables: cheaper than another place, for many short stories one after the other.
    ///
    /// # Panics
    /// For files.
    pub async fn empty(&self, pool: &PgPool) {
        let (Self::Postgres { schema, .. } | Self::Pooled { schema, .. }) = self else {
            panic!("files have none")
        };
        let sql = format!(
            "DO $$ DECLARE name text; BEGIN
               FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = '{schema}' AND tablename <> '_privet_migrations'
               LOOP EXECUTE format('DELETE FROM %I.%I', '{schema}', name); END LOOP;
             END $$"
        );
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(pool).await.expect("its tables are the test's");
    }

    /// A process that keeps everything here.
    pub fn below(&self, starting: Starting) -> Starting {
        match self {
            Self::Files => starting,
            Self::Postgres { url, schema } => starting.env("PRIVET_DB", url).env("PRIVET_DB_SCHEMA", schema),
            Self::Pooled { pooler, schema } => starting
                .env("PRIVET_DB", pooler.url())
                .env("PRIVET_DB_SCHEMA", schema)
                .env("PRIVET_DB_POOLER", "yes"),
        }
    }

    /// The same, seen by the test. `data` is the folder with the key.
    pub async fn storage(&self, data: &Path) -> Storage {
        match self {
            Self::Files => privet_sqlite::open(data).await.expect("the files are there"),
            Self::Postgres { .. } | Self::Pooled { .. } => {
                let ring = KeyRing::from_file_or_create(data.join("privet.key"));
                self.under(ring.expect("the key is there")).await
            }
        }
    }

    /// A storage under a key that is given, which files bring with them.
    ///
    /// # Panics
    /// For files.
    pub async fn under(&self, ring: KeyRing) -> Storage {
        let options = match self {
            Self::Files => panic!("files have a key of their own"),
            Self::Postgres { url, schema } => PostgresOptions::new(url).expect("a URL").schema(schema),
            Self::Pooled { pooler, schema } => {
                PostgresOptions::new(&pooler.url()).expect("a URL").schema(schema).behind_pooler()
            }
        };
        options.storage(ring).await.expect("the database is there")
    }
}
