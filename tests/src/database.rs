//! Where an installation under test keeps everything: in files, or in a PostgreSQL.

use std::path::Path;

use privet::{KeyRing, Storage};
use privet_postgres::PostgresOptions;

use crate::server::Starting;

/// What is below the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    Files,
    Postgres,
}

/// A place of a test's own.
#[derive(Clone, Debug)]
pub enum Database {
    Files,
    Postgres { url: String, schema: String },
}

impl Database {
    /// One that nothing is in yet. None where it takes a PostgreSQL and there is none, after saying so; in CI that is a failure.
    pub fn fresh(backend: Backend) -> Option<Self> {
        match backend {
            Backend::Files => Some(Self::Files),
            Backend::Postgres => {
                let server = privet_test_postgres::server()?;
                let schema = privet_test_postgres::fresh_name();
                Some(Self::Postgres { url: server.url().to_owned(), schema })
            }
        }
    }

    /// A process that keeps everything here.
    pub fn below(&self, starting: Starting) -> Starting {
        match self {
            Self::Files => starting,
            Self::Postgres { url, schema } => starting.env("PRIVET_DB", url).env("PRIVET_DB_SCHEMA", schema),
        }
    }

    /// The same, seen by the test. `data` is the folder with the key.
    pub async fn storage(&self, data: &Path) -> Storage {
        match self {
            Self::Files => privet_sqlite::open(data).await.expect("the files are there"),
            Self::Postgres { .. } => {
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
        let Self::Postgres { url, schema } = self else { panic!("files have a key of their own") };
        let options = PostgresOptions::new(url).expect("a URL").schema(schema);
        options.storage(ring).await.expect("the database is there")
    }
}
