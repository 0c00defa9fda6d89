//! From settings to a running site, and to its clean end.

use std::net::TcpListener;
use std::pin::Pin;
use std::process::ExitCode;
use std::time::Duration;

use privet::{Clock, Error, KeyRing, Storage};
use tokio::sync::watch;

use crate::{Accounts, Countries, OperatorToken, Settings, Shop, SupportDesk, installation};

/// What keeps the site from running.
pub type Failure = Box<dyn std::error::Error>;

/// How long open connections may take to end after Ctrl-C.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// Comes when the site shall take no further connection.
pub type Stop = Pin<Box<dyn Future<Output = ()> + Send + Sync>>;

/// Runs the site until Ctrl-C: `serve` serves it on a listener, by the framework of its choice, until it shall stop.
/// Outside of tests it runs with its [`CATALOGUE`](crate::CATALOGUE) and by the [`SystemClock`](privet::SystemClock).
/// Says on standard output where it is and, if the operators' token and password were drawn, what they are.
pub async fn run(
    catalogue: &str,
    clock: impl Clock + 'static,
    serve: impl AsyncFnOnce(TcpListener, Shop, Stop) -> Result<(), Failure>,
) -> ExitCode {
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

/// The files in the folder, or the PostgreSQL that is named, under the key in the folder.
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
    database.storage(KeyRing::from_file_or_create(folder.join("privet.key"))?).await
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
