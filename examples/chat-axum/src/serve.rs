//! From settings to a running site, and to its clean end.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use privet::Clock;
use privet_axum::protect;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};

use crate::{Articles, Countries, OperatorToken, Settings, Shop, SupportDesk, app, installation};

type Failure = Box<dyn std::error::Error>;

/// How long open connections may take to end after Ctrl-C.
const PATIENCE: Duration = Duration::from_secs(5);

/// Serves the site until Ctrl-C, with its [`CATALOGUE`](crate::CATALOGUE) and by the
/// [`SystemClock`](privet::SystemClock), outside of tests. Says on standard output where it is and, if the operators' token was drawn, what it is.
pub async fn run(catalogue: &str, clock: impl Clock + 'static) -> ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_max_level(tracing::Level::INFO).init();
    match serve(catalogue, clock).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

#[allow(clippy::print_stdout, reason = "where it is and how to get in is what the program says")]
async fn serve(catalogue: &str, clock: impl Clock + 'static) -> Result<(), Failure> {
    let mut settings = Settings::from_env()?;
    let listener = TcpListener::bind(settings.addr).await.map_err(|e| {
        format!("{} cannot be listened on: {e}; set PRIVET_ADDR to another address", settings.addr)
    })?;
    settings.addr = listener.local_addr()?;

    let countries = Countries::open(&settings)?;
    let storage = privet_sqlite::open(&settings.data).await?;
    let privet = installation(catalogue, &settings, storage, countries.lookup(), clock).await?;
    let operators = match settings.operator_token.clone() {
        Some(token) => OperatorToken::new(token),
        None => {
            let (operators, token) = OperatorToken::generate()?;
            println!("operator token: {token}");
            operators
        }
    };
    let shop = Shop {
        articles: Arc::new(Articles::load()?),
        readers: Arc::default(),
        support: settings.support_url.clone().map(SupportDesk::new),
        operators,
        privet: privet.clone(),
    };

    let (stop, stopped) = watch::channel(false);
    let until = |mut stopped: watch::Receiver<bool>| async move {
        let _ = stopped.wait_for(|stop| *stop).await;
    };
    // Ends after the last request, whose activity and withdrawals are then written.
    let (served, until_served) = oneshot::channel::<()>();
    let housekeeping = tokio::spawn(privet.clone().run(async { drop(until_served.await) }));
    tokio::spawn(reload_on_hangup(countries));
    tokio::spawn(async move {
        interrupted().await;
        let _ = stop.send(true);
    });

    println!("listening on http://{}", settings.addr);
    let serving = axum::serve(listener, protect(app(shop), &privet).into_make_service())
        .with_graceful_shutdown(until(stopped.clone()));
    let patience = async {
        until(stopped).await;
        tokio::time::sleep(PATIENCE).await;
    };
    tokio::select! {
        served = serving => served?,
        () = patience => tracing::warn!("some connections did not end in time"),
    }
    drop(served);
    housekeeping.await?;
    println!("stopped");
    Ok(())
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
