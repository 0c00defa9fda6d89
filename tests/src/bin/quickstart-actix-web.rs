//! A shop that counts visits, of those who allow it.

use actix_web::{App, HttpServer, web};
use privet::{Analytics, Catalogue, Privet};
use privet_actix_web::{Banner, Granted, Page, PrivetMiddleware, Rejection, configure};

async fn home(allowed: Option<Granted<Analytics>>, banner: Banner) -> Result<Page, Rejection> {
    if let Some(allowed) = allowed {
        allowed.set_cookie("visited", "yes")?;
    }
    Ok(banner.page("<!doctype html><title>Shop</title><h1>Shop</h1>"))
}

#[actix_web::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt::init(); // names each cookie that is not declared, with its cure
    let storage = privet_sqlite::open("privet-data").await?;
    let privet = Privet::builder(Catalogue::from_file("privet.toml")?).storage(storage).build().await?;
    let around = PrivetMiddleware::new(privet.clone());
    let routes = privet.clone();
    let app = move || {
        let home = web::resource("/").get(home);
        App::new().service(home).configure(configure(&routes)).wrap(around.clone())
    };

    let addr = std::env::var("ADDR").unwrap_or("127.0.0.1:3000".into());
    Ok(privet.run_while(HttpServer::new(app).bind(addr)?.run()).await?)
}
