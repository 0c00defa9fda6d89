//! The public suite, on a file of its own per case.
#![allow(clippy::unwrap_used, reason = "a test that meets something else has failed")]

async fn fresh() -> (privet_sqlite::SqliteStore, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    (privet_sqlite::SqliteStore::connect(folder.path().join("privet.db")).await.unwrap(), folder)
}

privet::store_tests!(fresh);
