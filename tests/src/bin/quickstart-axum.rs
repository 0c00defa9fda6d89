//! A shop that counts visits, of those who allow it.

use axum::{Router, response::Html, routing::get};
use privet::{Analytics, Catalogue, Privet};
use privet_axum::{Banner, Granted, Rejection, protect};

const CATALOGUE: &str = r#"
    [controller]
    name = "Shop"
    contact = "privacy@shop.example"

    [[category]]
    id = "analytics"
    purpose = "Counting visits, on this site only."

    [[service]]
    id = "visit-count"
    provider = "Shop"
    legal_basis = "consent"
    purpose = "Counts visits, on this server."

    [[service.entry]]
    name = "visited"
    purpose = "That this browser was counted already."
    duration = "30 days"
    trigger = "server"
    gate = { consent = "analytics" }
"#;

async fn home(allowed: Option<Granted<Analytics>>, banner: Banner) -> Result<Html<String>, Rejection> {
    if let Some(allowed) = allowed {
        allowed.set_cookie("visited", "yes")?;
    }
    Ok(Html(format!("<!doctype html><title>Shop</title><h1>Shop</h1>{banner}")))
}

async fn stop() {
    let _ = tokio::signal::ctrl_c().await;
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let privet = Privet::builder(Catalogue::from_toml(CATALOGUE)?)
        .storage(privet_sqlite::open("privet-data").await?)
        .build()
        .await?;
    let app = Router::new().route("/", get(home)).merge(privet_axum::router(&privet));

    let addr = std::env::var("ADDR").unwrap_or("127.0.0.1:3000".into());
    let listener = tokio::net::TcpListener::bind(addr).await?;
    // Writes activity, sweeps what has expired, changes the day's keys; ends after the last request.
    let (served, until_served) = tokio::sync::oneshot::channel::<()>();
    let housekeeping = tokio::spawn(privet.clone().run(async { drop(until_served.await) }));
    let service = protect(app, &privet).into_make_service();
    axum::serve(listener, service).with_graceful_shutdown(stop()).await?;
    drop(served);
    Ok(housekeeping.await?)
}
