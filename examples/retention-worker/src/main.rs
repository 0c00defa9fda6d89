//! Sweeps once and ends, for cron: `PRIVET_DATA=./chat-data cargo run -p retention-worker`.
//!
//! An app that runs `privet.run(shutdown)` sweeps by itself. This is for those who would rather see it in their crontab,
//! or whose app does not run all the time. It may run beside the app: both write to the same files, in small steps. Build
//! it with the catalogue and the settings of the app: what it says of the site is published as the site's statement.

use std::env;
use std::path::Path;
use std::process::ExitCode;

use privet::retention::SweepReport;
use privet::{Catalogue, Error, Privet};

/// Sweeps the data in a folder, which has to be there: a worker that makes one would sweep nothing for ever.
async fn app(folder: &Path) -> privet::Result<SweepReport> {
    if !folder.join("privet.db").is_file() {
        return Err(Error::config(
            format!("there is no privet.db in {}", folder.display()),
            "set PRIVET_DATA to the folder that the app writes to",
        ));
    }
    let privet = Privet::builder(Catalogue::from_toml(chat_shop::CATALOGUE)?)
        .storage(privet_sqlite::open(folder).await?)
        .build()
        .await?;
    privet.sweep(privet.now()).await
}

#[tokio::main(flavor = "current_thread")]
#[allow(clippy::print_stdout, reason = "the report is what the program says")]
async fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_max_level(tracing::Level::WARN).init();
    let folder = env::var("PRIVET_DATA").unwrap_or_else(|_| "./chat-data".to_owned());
    match app(Path::new(&folder)).await {
        Ok(report) => {
            let removed = report.removed;
            println!(
                "swept: {} contacts, {} conversations, {} messages, {} consent records, {} fences",
                removed.contacts, removed.conversations, removed.messages, removed.records, report.fences
            );
            ExitCode::SUCCESS
        }
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn sweeps_what_is_there_and_refuses_what_is_not() {
        let folder = tempfile::tempdir().unwrap();
        assert!(app(folder.path()).await.unwrap_err().to_string().contains("PRIVET_DATA"));
        privet_sqlite::open(folder.path()).await.unwrap();
        assert!(app(folder.path()).await.unwrap().is_nothing());
    }
}
