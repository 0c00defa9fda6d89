//! GATE-01: whatever a visitor did or did not decide, no route sets a cookie against the catalogue.
#![allow(clippy::unwrap_used, reason = "a test that meets something else has failed")]

use std::sync::Arc;

use chat_axum::app;
use chat_shop::{CATALOGUE, OperatorToken, Settings, Shop, installation};
use privet::ip::EmbeddedCountries;
use privet::{Storage, SystemClock};
use privet_axum::testing::walk;

#[tokio::test]
async fn gate_01_no_route_sets_a_cookie_against_the_catalogue() {
    let (storage, countries) = (Storage::in_memory().unwrap(), Arc::new(EmbeddedCountries));
    let privet =
        installation(CATALOGUE, &Settings::default(), storage, countries, SystemClock).await.unwrap();
    let shop = Shop::open(privet.clone(), OperatorToken::new("token".to_owned()), None).unwrap();
    let report = walk(app(shop), &privet)
        .get("/")
        .get("/articles/roses")
        .get("/articles/none")
        .get("/nowhere")
        .post_form("/chat/messages", "text=roses&channel=ai-search&page=/")
        .post_json("/chat/messages", r#"{"text":"help","channel":"live-support","page":"/"}"#)
        .post_json("/chat/messages", "{")
        .get("/chat/messages")
        .get("/contacts")
        .get("/shop.css")
        .get("/privacy")
        .get("/privacy/banner")
        .get("/privacy/cookies")
        .run()
        .await;
    assert_eq!(report.requests, 13 * 3);
    report.assert_clean();
}
