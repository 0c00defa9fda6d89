//! The embedded store of privet: consent records, contacts, conversations and keys in SQLite files, with nothing
//! to install.
//!
//! ```
//! # let dir = tempfile::tempdir().unwrap();
//! # let folder = dir.path();
//! # privet::conformance::block_on(async {
//! use privet::{Catalogue, Privet};
//!
//! let catalogue = Catalogue::from_toml("[controller]\nname = \"Shop\"\ncontact = \"privacy@shop.example\"")?;
//! let privet = Privet::builder(catalogue).storage(privet_sqlite::open(folder).await?).build().await?;
//! # drop(privet);
//! # Ok::<(), privet::Error>(()) }).unwrap();
//! ```
//!
//! [`open`] puts four files into one folder: `privet.db` (the database), `keys.db` (the subjects' keys), `ledger.jsonl`
//! (what was erased) and `privet.key` (the installation's secret). That is right for one machine. Where an erasure
//! has to outlive a restored backup, put [`SqliteKeyStore`] and [`FileLedger`] elsewhere
//! than [`SqliteStore`], and back them up on their own.
//!
//! # How it keeps its promises
//!
//! One thread writes, through one connection; whoever waits while a commit is under way shares the next one, so
//! that many requests cost one write-through to the disk (`synchronous=FULL`). What somebody waits for goes before
//! housekeeping. Readers have connections of their own (WAL). Deleted content is overwritten (`secure_delete`).
//! Nothing here needs an async runtime: the futures are woken by those threads.

mod db;
mod error;
mod keys;
mod schema;
mod store;

pub use keys::SqliteKeyStore;
pub use store::SqliteStore;

use std::path::Path;
use std::sync::Arc;

use privet::store::FileLedger;
use privet::{Error, KeyRing, Result, Storage};

/// Everything in one folder, which is created if it is not there: database, keys, ledger, and the installation's
/// key, readable by its owner only.
///
/// # Errors
/// [`Error::Unavailable`] when the folder or a file cannot be created or written, [`Error::Key`] for a key file that is
/// none, [`Error::Corrupt`] for a damaged file.
pub async fn open(folder: impl AsRef<Path>) -> Result<Storage> {
    let folder = folder.as_ref();
    create_folder(folder)?;
    let store = SqliteStore::connect(folder.join("privet.db")).await?;
    let keys = SqliteKeyStore::connect(folder.join("keys.db")).await?;
    let ledger = FileLedger::open(folder.join("ledger.jsonl"))?;
    let ring = KeyRing::from_file_or_create(folder.join("privet.key"))?;
    Ok(Storage::new(Arc::new(store), Arc::new(keys), Arc::new(ledger), ring))
}

fn create_folder(folder: &Path) -> Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).map_err(|e| {
        let what = format!(
            "folder {} cannot be created: {e}; check the path and who may write there",
            folder.display()
        );
        Error::unavailable(store::NAME, std::io::Error::new(e.kind(), what))
    })
}
