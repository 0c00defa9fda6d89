//! Operators in a real Chromium.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that meets something else has failed")]

use privet_tests::browser::Browser;
use privet_tests::server::{Framework, Starting, folder};
use rstest::rstest;
use serde_json::json;

const PROGRAM: &str = env!("CARGO_BIN_EXE_chat-under-test");
/// `hedgehog`, hashed as cheaply as can be.
const ANN: &str = "ann:agent::$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$589z4MdEqW7xgGf8u7vIrAKlBYGcxInOzw1j81PesBQ";

/// What the portal answers to this browser.
async fn portal(browser: &Browser) -> serde_json::Value {
    let ask = "const [done] = arguments; fetch('/privacy/portal').then((r) => done(r.status))";
    browser.page.execute_async(ask, Vec::new()).await.unwrap()
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn an_operator_signs_in_by_the_form_and_out_again(
    #[values(Framework::Axum, Framework::ActixWeb)] framework: Framework,
) {
    let data = folder();
    let starting = Starting::new(PROGRAM, data.path()).on(framework).env("PRIVET_OPERATORS", ANN);
    let server = starting.running().await;
    let url = |path: &str| format!("http://{}{path}", server.addr);
    let browser = Browser::start(true).await;
    browser.page.goto(&url("/login")).await.unwrap();
    assert_eq!(portal(&browser).await, json!(401));

    for password in ["badger", "hedgehog"] {
        browser.find("#name").await.send_keys("ann").await.unwrap();
        browser.find("#password").await.send_keys(password).await.unwrap();
        browser.click("form.login button").await;
        let wrong = password == "badger";
        browser
            .until("the form is answered", async |b| {
                let here = b.page.current_url().await.unwrap();
                if wrong { b.has("[role=alert]").await } else { here.path().starts_with("/privacy/portal/") }
            })
            .await;
        assert_eq!(browser.cookie_names().await.contains(&"__Host-operator".to_owned()), !wrong);
    }
    assert_ne!(portal(&browser).await, json!(401));
    assert_eq!(browser.eval("return document.cookie").await, json!(""), "no script reads it");

    browser.page.goto(&url("/login")).await.unwrap();
    let leave = "const f = document.querySelector('form.login'); f.action = '/logout'; HTMLFormElement.prototype.submit.call(f)";
    browser.eval(leave).await;
    browser.until("it is gone", async |b| b.cookie_names().await.is_empty()).await;
    browser.until("the portal is closed", async |b| b.has("form.login").await).await;
    assert_eq!(portal(&browser).await, json!(401));
    browser.end().await;
}
