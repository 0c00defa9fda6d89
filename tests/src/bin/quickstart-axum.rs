//! A shop that counts visits, of those who allow it.

use axum::{Router, routing::get};
use privet::{Analytics, Catalogue, Privet};
use privet_axum::{Banner, Granted, Page, Rejection, protect, router};

async fn home(allowed: Option<Granted<Analytics>>, banner: Banner) -> Result<Page, Rejection> {
    if let Some(allowed) = allowed {
        allowed.set_cookie("visited", "yes")?;
    }
    Ok(banner.page("<!doctype html><title>Shop</title><h1>Shop</h1>"))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt::init(); // names each cookie that is not declared, with its cure
    let storage = privet_sqlite::open("privet-data").await?;
    let privet = Privet::builder(Catalogue::from_file("privet.toml")?).storage(storage).build().await?;
    let app = Router::new().route("/", get(home)).merge(router(&privet));

    let addr = std::env::var("ADDR").unwrap_or("127.0.0.1:3000".into());
    let listener = tokio::net::TcpListener::bind(addr).await?;
    let serving = axum::serve(listener, protect(app, &privet).into_make_service())
        .with_graceful_shutdown(async { drop(tokio::signal::ctrl_c().await) });
    Ok(privet.run_while(serving).await?)
}
