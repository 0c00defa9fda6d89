//! A small shop site with a chat widget, inside privet, on axum.
//!
//! Run with `cargo run -p chat-axum`, then open the address it prints. Nothing has to be set; see
//! [`chat_shop::Settings`] for what can be.
//!
//! What to look at: [`app`] is the router, [`serve`] protects and serves it; what does not concern axum is in
//! `examples/chat-shop`, with the catalogue.

mod chat;
mod login;
mod operators;
mod pages;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{delete, get, post};
use chat_shop::{BODY_LIMIT, Failure, LOGIN, LOGOUT, Shop, Stop};
use privet_axum::protect;
use tower_http::catch_panic::CatchPanicLayer;

/// The router of the site, before it is protected.
pub fn app(shop: Shop) -> Router {
    let privet_routes = privet_axum::router(&shop.privet);
    let portal = privet_axum::portal(&shop.privet, shop.desk());
    Router::new()
        .route("/", get(pages::home))
        .route("/articles/{slug}", get(pages::article))
        .route("/chat/messages", get(chat::read).post(chat::send))
        .route("/chat/keep", post(chat::keep))
        .route(LOGIN, get(login::page).post(login::log_in))
        .route(LOGOUT, post(login::log_out))
        .route("/contacts", get(operators::contacts))
        .route("/contacts/{id}", delete(operators::erase))
        .route("/shop.css", get(|| pages::asset(chat_shop::STYLE)))
        .route("/chat.js", get(|| pages::asset(chat_shop::SCRIPT)))
        .fallback(pages::not_found)
        .with_state(shop)
        .merge(privet_routes)
        .merge(portal)
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(CatchPanicLayer::new())
}

/// Serves the site until it shall stop.
///
/// # Errors
/// What the listener says.
pub async fn serve(listener: std::net::TcpListener, shop: Shop, stop: Stop) -> Result<(), Failure> {
    let privet = shop.privet.clone();
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let service = protect(app(shop), &privet).into_make_service();
    axum::serve(listener, service).with_graceful_shutdown(stop).await?;
    Ok(())
}
