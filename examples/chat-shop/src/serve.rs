//! From settings to a running site, and to its clean end.

use std::io::Write as _;
use std::net::TcpListener;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use privet::{Clock, Error, KeyRing, Storage};
use privet_postgres::PostgresOptions;
use tokio::sync::watch;

use crate::{Accounts, Countries, OperatorToken, Settings, Shop, SupportDesk, USAGE, installation};

/// What keeps the site from running.
pub type Failure = Box<dyn std::error::Error>;

/// How long open connections may take to end after Ctrl-C.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// Comes when the site shall take no further connection.
pub type Stop = Pin<Box<dyn Future<Output = ()> + Send + Sync>>;

/// Runs the site until Ctrl-C: `serve` serves it on a listener, by the framework of its choice, until it shall stop.
/// Outside of tests it runs with its [`CATALOGUE`](crate::CATALOGUE) and by the [`SystemClock`](privet::SystemClock).
/// Says on standard output where it is and, if the operators' token and password were drawn, what they are. With `--help` it
/// says what can be set instead, and ends.
pub async fn run(
    catalogue: &str,
    clock: impl Clock + 'static,
    serve: impl AsyncFnOnce(TcpListener, Shop, Stop) -> Result<(), Failure>,
) -> ExitCode {
    if std::env::args().skip(1).any(|arg| arg == "--help" || arg == "-h") {
        // Whoever asked may have gone.
        let _ = writeln!(std::io::stdout(), "{USAGE}");
        return ExitCode::SUCCESS;
    }
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_max_level(tracing::Level::INFO).init();
    match open_and_serve(catalogue, clock, serve).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

#[allow(clippy::print_stdout, reason = "where it is and how to get in is what the program says")]
async fn open_and_serve(
    catalogue: &str,
    clock: impl Clock + 'static,
    serve: impl AsyncFnOnce(TcpListener, Shop, Stop) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut settings = Settings::from_env()?;
    let listener = TcpListener::bind(settings.addr).map_err(|e| {
        format!("{} cannot be listened on: {e}; set PRIVET_ADDR to another address", settings.addr)
    })?;
    listener.set_nonblocking(true)?;
    settings.addr = listener.local_addr()?;

    let countries = Countries::open(&settings)?;
    let storage = open_storage(&settings).await?;
    let privet = installation(catalogue, &settings, storage, countries.lookup(), clock).await?;
    let operators = match settings.operator_token.clone() {
        Some(token) => token,
        None => {
            let (operators, token) = OperatorToken::generate()?;
            println!("operator token: {token}");
            operators
        }
    };
    let accounts = match settings.operators.clone() {
        Some(accounts) => accounts,
        None => {
            let (accounts, password) = Accounts::generate()?;
            println!("sign in at /login as operator with the password: {password}");
            accounts
        }
    };
    let desk = settings.support_url.clone().map(SupportDesk::new);
    let shop = Shop::open(privet.clone(), operators, desk)?.with_accounts(accounts);

    let (stop, stopped) = watch::channel(false);
    let until = |mut stopped: watch::Receiver<bool>| async move {
        let _ = stopped.wait_for(|stop| *stop).await;
    };
    tokio::spawn(reload_on_hangup(countries));
    tokio::spawn(async move {
        interrupted().await;
        let _ = stop.send(true);
    });

    println!("listening on http://{}", settings.addr);
    let serving = serve(listener, shop, Box::pin(until(stopped.clone())));
    let patience = async {
        until(stopped).await;
        tokio::time::sleep(PATIENCE).await;
    };
    let serving = async {
        tokio::select! {
            served = serving => served,
            () = patience => {
                tracing::warn!("some connections did not end in time");
                Ok(())
            }
        }
    };
    // Once for the whole process, however many threads serve. It ends after the last request, whose activity and
    // withdrawals are then written.
    privet.run_while(serving).await?;
    println!("stopped");
    Ok(())
}

/// The files in the folder, or the databases that are named, under the key in the folder.
async fn open_storage(settings: &Settings) -> privet::Result<Storage> {
    let Some(database) = &settings.database else {
        return privet_sqlite::open(&settings.data).await;
    };
    let folder = &settings.data;
    std::fs::create_dir_all(folder).map_err(|e| {
        Error::config(
            format!("the folder {} cannot be created: {e}", folder.display()),
            "set PRIVET_DATA to one that can, for the installation's key",
        )
    })?;
    let ring = KeyRing::from_file_or_create(folder.join("privet.key"))?;
    // Keys and ledger are asked seldom.
    let few =
        |elsewhere: &Option<PostgresOptions>| elsewhere.as_ref().unwrap_or(database).clone().connections(4);
    let store = database.store().await?;
    let keys = few(&settings.keys).key_store().await?;
    let ledger = few(&settings.ledger).ledger().await?;
    Ok(Storage::new(Arc::new(store), Arc::new(keys), Arc::new(ledger), ring))
}

/// Ctrl-C, or the signal that service managers send.
async fn interrupted() {
    #[cfg(unix)]
    {
        let terminated = async {
            match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
                Ok(mut signal) => drop(signal.recv().await),
                Err(_) => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            () = terminated => {}
        }
    }
    #[cfg(not(unix))]
    let _ = tokio::signal::ctrl_c().await;
}

/// `kill -HUP` reads the country file again.
async fn reload_on_hangup(countries: Countries) {
    #[cfg(unix)]
    if let Ok(mut hangup) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()) {
        while hangup.recv().await.is_some() {
            countries.reload();
        }
    }
    #[cfg(not(unix))]
    drop(countries);
}

#[cfg(test)]
mod tests {
    use privet_test_postgres::{fresh_name, own_server};
    use sqlx::{AssertSqlSafe, PgPool, Row as _};

    use super::*;

    /// In which of the databases a table is, each with its schema.
    async fn places(table: &str, all: &[(&PgPool, &str)]) -> Vec<bool> {
        let mut found = Vec::new();
        for (pool, schema) in all {
            let sql = "SELECT to_regclass($1) IS NOT NULL";
            let row = sqlx::query(sql).bind(format!("\"{schema}\".{table}")).fetch_one(*pool).await.unwrap();
            found.push(row.get(0));
        }
        found
    }

    /// Keys and ledger are where the settings say, which is where `migrate` puts them, or else with the data.
    #[tokio::test]
    async fn keys_and_ledger_are_where_they_are_named() {
        let Some(server) = own_server() else { return };
        let owner = PgPool::connect(server.url()).await.unwrap();
        let (schema, folder) = (fresh_name(), tempfile::tempdir().unwrap());
        let mut urls = Vec::new();
        let mut pools = Vec::new();
        for _ in 0..2 {
            let name = fresh_name();
            let sql = format!("CREATE DATABASE \"{name}\"");
            sqlx::raw_sql(AssertSqlSafe(sql)).execute(&owner).await.unwrap();
            let url = server.url().replace("/postgres?", &format!("/{name}?"));
            pools.push(PgPool::connect(&url).await.unwrap());
            urls.push(Some(PostgresOptions::new(&url).unwrap()));
        }
        let data = PostgresOptions::new(server.url()).unwrap().schema(&schema);
        let mut settings =
            Settings { data: folder.path().to_owned(), database: Some(data), ..Settings::default() };
        (settings.ledger, settings.keys) = (urls.pop().unwrap(), urls.pop().unwrap());
        drop(open_storage(&settings).await.unwrap());
        let all = [(&owner, schema.as_str()), (&pools[0], "privet"), (&pools[1], "privet")];
        assert_eq!(places("contacts", &all).await, [true, false, false]);
        assert_eq!(places("keys", &all).await, [false, true, false]);
        assert_eq!(places("ledger", &all).await, [false, false, true]);

        (settings.ledger, settings.keys) = (None, None);
        drop(open_storage(&settings).await.unwrap());
        assert_eq!(places("keys", &all).await, [true, true, false]);
        assert_eq!(places("ledger", &all).await, [true, false, true]);
    }
}
