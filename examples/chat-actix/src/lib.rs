//! A small shop site with a chat widget, inside privet, on actix-web.
//!
//! Run with `cargo run -p chat-actix`, then open the address it prints. Nothing has to be set; see
//! [`chat_shop::Settings`] for what can be.
//!
//! What to look at: [`app`] has the routes, [`serve`] wraps and serves them; what does not concern actix-web is in
//! `examples/chat-shop`, with the catalogue.

mod chat;
mod login;
mod operators;
mod pages;

use std::sync::Arc;

use actix_web::dev::{ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::web::resource;
use actix_web::{App, Error, HttpServer, Route, guard, web};
use chat_shop::{BODY_LIMIT, Failure, LOGIN, LOGOUT, PATIENCE, Shop, Stop};
use privet_actix_web::{PrivetMiddleware, configure, portal};

/// The routes of the site, before they are wrapped.
pub fn app(
    shop: Shop,
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse,
        Error = Error,
        InitError = (),
        Future: 'static,
        Service: 'static,
    > + 'static,
> {
    let privet_routes = configure(&shop.privet);
    // The shop is one for all workers, and so are its sessions.
    let portal = portal(&shop.privet, Arc::new(shop.desk()));
    App::new()
        .app_data(web::Data::new(shop))
        .app_data(web::JsonConfig::default().limit(BODY_LIMIT))
        .app_data(web::FormConfig::default().limit(BODY_LIMIT))
        .service(resource("/").route(read().to(pages::home)))
        .service(resource("/articles/{slug}").route(read().to(pages::article)))
        .service(resource("/chat/messages").route(read().to(chat::read)).route(web::post().to(chat::send)))
        .service(resource("/chat/keep").route(web::post().to(chat::keep)))
        .service(resource(LOGIN).route(read().to(login::page)).route(web::post().to(login::log_in)))
        .service(resource(LOGOUT).route(web::post().to(login::log_out)))
        .service(resource("/contacts").route(read().to(operators::contacts)))
        .service(resource("/contacts/{id}").route(web::delete().to(operators::erase)))
        .service(resource("/shop.css").route(read().to(|| pages::asset(chat_shop::STYLE))))
        .service(resource("/chat.js").route(read().to(|| pages::asset(chat_shop::SCRIPT))))
        .default_service(web::to(pages::not_found))
        .configure(privet_routes)
        .configure(portal)
}

/// `GET`, and `HEAD`, which actix-web does not route by itself.
fn read() -> Route {
    web::route().guard(guard::Any(guard::Get()).or(guard::Head()))
}

/// Serves the site until it shall stop.
///
/// # Errors
/// What the listener says.
pub async fn serve(listener: std::net::TcpListener, shop: Shop, stop: Stop) -> Result<(), Failure> {
    // The factory runs once per worker; the shop with its installation is one for all.
    let server = HttpServer::new(move || {
        let privet = PrivetMiddleware::new(shop.privet.clone());
        app(shop.clone()).wrap(privet)
    })
    .shutdown_signal(stop)
    .shutdown_timeout(PATIENCE.as_secs())
    .listen(listener)?;
    server.run().await?;
    Ok(())
}
