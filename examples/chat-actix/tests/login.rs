//! Operators sign in and out.
#![allow(clippy::unwrap_used, reason = "a test that meets something else has failed")]

#[path = "../../chat-shop/scenarios/login.rs"]
mod scenarios;

use chat_actix::app;
use privet_actix_web::testing::in_process;
use privet_web::testing::InProcess;
use scenarios::Office;

async fn office() -> Office<impl InProcess> {
    let (shop, clock, password) = scenarios::shop().await;
    let privet = shop.privet.clone();
    Office::new(in_process(app(shop), &privet), clock, password)
}

#[actix_web::test]
async fn only_the_right_password_opens_the_portal() {
    scenarios::passwords(office().await).await;
}

#[actix_web::test]
async fn a_session_ends_when_nobody_works_and_after_twelve_hours() {
    scenarios::expiry(office().await).await;
}

#[actix_web::test]
async fn signing_out_ends_the_session_and_not_just_the_cookie() {
    scenarios::logout(office().await).await;
}

#[actix_web::test]
async fn guessing_is_slowed_down_and_the_owner_is_not_locked_out() {
    scenarios::throttle(office().await).await;
}

#[actix_web::test]
async fn no_other_site_signs_anybody_in_or_out() {
    scenarios::other_sites(office().await).await;
}
