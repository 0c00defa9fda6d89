//! A walk through the whole site.
#![allow(clippy::unwrap_used, reason = "a test that meets something else has failed")]

use chat_actix::app;
use chat_shop::Shop;
use chat_shop::walk::{MESSAGES, PAGES, QUESTION};
use privet_actix_web::testing::walk;

/// GATE-01: whatever a visitor did or did not decide, no route sets a cookie against the catalogue.
#[actix_web::test]
async fn gate_01_no_route_sets_a_cookie_against_the_catalogue() {
    let shop = Shop::in_memory().await.unwrap();
    let privet = shop.privet.clone();
    let walk = walk(app(shop), &privet).post_form("/chat/messages", QUESTION);
    let walk = MESSAGES.iter().fold(walk, |walk, json| walk.post_json("/chat/messages", *json));
    let report = PAGES.iter().fold(walk, |walk, page| walk.get(*page)).run().await;
    assert_eq!(report.requests, 15 * 4);
    report.assert_clean();
}
