//! The main job in a real Chromium, with and without script.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that meets something else has failed")]

use privet_tests::browser::Browser;
use privet_tests::server::{Framework, Server, Starting, folder};
use rstest::rstest;
use serde_json::json;
use tempfile::TempDir;

#[path = "browser/portal.rs"]
mod portal;

const PROGRAM: &str = env!("CARGO_BIN_EXE_chat-under-test");

async fn shop(framework: Framework, proxies: &str) -> (Server, TempDir) {
    let data = folder();
    let starting = Starting::new(PROGRAM, data.path()).on(framework).env("PRIVET_TRUSTED_PROXIES", proxies);
    (starting.running().await, data)
}

fn url(server: &Server, path: &str) -> String {
    format!("http://{}{path}", server.addr)
}

/// GATE-01, STM-06: before any choice nothing is stored, and nothing is loaded from elsewhere.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn gate_01_a_first_visit_stores_nothing_and_asks_nobody_else(
    #[values(Framework::Axum, Framework::ActixWeb)] framework: Framework,
) {
    let (server, _data) = shop(framework, "").await;
    let browser = Browser::start(true).await;
    for path in ["/", "/articles/roses", "/nowhere", "/privacy", "/privacy/cookies"] {
        browser.page.goto(&url(&server, path)).await.unwrap();
        assert_eq!(browser.cookie_names().await, [] as [&str; 0], "{path}");
        let stored =
            browser.eval("return [localStorage.length, sessionStorage.length, document.cookie]").await;
        assert_eq!(stored, json!([0, 0, ""]), "{path}");
        let databases = browser
            .page
            .execute_async(
                "const [done] = arguments; indexedDB.databases().then((d) => done(d.length))",
                vec![],
            )
            .await;
        assert_eq!(databases.unwrap(), json!(0), "{path}");
        let elsewhere = browser
            .eval("return performance.getEntriesByType('resource').map((r) => new URL(r.name).origin).filter((o) => o !== location.origin)")
            .await;
        assert_eq!(elsewhere, json!([]), "{path}");
        let links = browser
            .eval("return [...document.querySelectorAll('[src],[href],[action]')].map((e) => new URL(e.src || e.href || e.action, location).origin).filter((o) => o !== location.origin)")
            .await;
        assert_eq!(links, json!([]), "{path}");
    }
    // Waiting and scrolling are no answer.
    browser.page.goto(&url(&server, "/")).await.unwrap();
    browser.eval("window.scrollTo(0, document.body.scrollHeight)").await;
    assert!(browser.has("#privet-notice").await);
    assert_eq!(browser.cookie_names().await, [] as [&str; 0]);
    browser.end().await;
    assert!(server.contacts().await.is_empty());
}

/// CON-04: refusing is offered beside accepting, as a control of the same kind and looks.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn con_04_both_buttons_are_equal(#[values(Framework::Axum, Framework::ActixWeb)] framework: Framework) {
    let (server, _data) = shop(framework, "").await;
    let browser = Browser::start(true).await;
    browser.page.goto(&url(&server, "/")).await.unwrap();
    browser.find("#privet-notice").await;
    let looks = browser
        .eval(
            "return [...document.querySelectorAll('#privet-notice button')].map((b) => {
                const s = getComputedStyle(b), r = b.getBoundingClientRect();
                return [b.value, b.tagName, b.className, s.color, s.backgroundColor, s.fontSize, s.fontWeight, s.border, Math.round(r.width), Math.round(r.height), r.top]
             })",
        )
        .await;
    let looks = looks.as_array().unwrap();
    assert_eq!(looks.len(), 2);
    assert_eq!((&looks[0][0], &looks[1][0]), (&json!("reject_all"), &json!("accept_all")));
    assert_eq!(looks[0].as_array().unwrap()[1..], looks[1].as_array().unwrap()[1..]);
    assert!(looks[0][9].as_i64().unwrap() >= 44, "large enough for a finger");
    browser.end().await;
}

/// The whole job: reject, chat, accept, chat, withdraw.
async fn the_main_job(framework: Framework, with_script: bool) {
    // Chromium adds the header as a proxy would; the server trusts this machine.
    let (server, _data) = shop(framework, "127.0.0.1/32").await;
    let browser = Browser::start(with_script).await;
    browser.headers(json!({ "X-Forwarded-For": "8.8.8.8" })).await;
    browser.page.goto(&url(&server, "/articles/roses")).await.unwrap();

    // Reject, reload: no banner, no contact, no identifier.
    browser.click("#privet-notice button[value=reject_all]").await;
    browser.until("the banner is gone", async |b| !b.has("#privet-notice").await).await;
    assert!(browser.page.current_url().await.unwrap().path() == "/articles/roses");
    browser.page.refresh().await.unwrap();
    browser.find("#chat").await;
    assert!(!browser.has("#privet-notice").await);
    let refused = browser.cookies().await;
    assert_eq!(refused.iter().map(|(n, _)| n.as_str()).collect::<Vec<_>>(), ["__Host-privet"]);

    // The chat works all the same.
    browser.click("#chat summary").await;
    browser.find("#chat-text").await.send_keys("When do I cut my hedge?").await.unwrap();
    browser.click(".chat-form button").await;
    browser.until("the answer is there", async |b| b.text().await.contains("/articles/cutting")).await;
    assert!(server.contacts().await.is_empty());
    let names = browser.cookie_names().await;
    assert!(
        names.contains(&"__Host-privet-active".to_owned())
            && !names.contains(&"__Host-privet-contact".to_owned()),
        "{names:?}"
    );

    // Another visitor, as far as the server can tell, who refused on the same day.
    let other = Browser::start(with_script).await;
    other.page.goto(&url(&server, "/")).await.unwrap();
    other.click("#privet-notice button[value=reject_all]").await;
    other.until("the banner is gone", async |b| !b.has("#privet-notice").await).await;
    assert_eq!(other.cookies().await, refused, "two refusals of a day are the same bytes");
    other.end().await;

    // Accept on the settings page, which says beforehand what a withdrawal does.
    browser.page.goto(&url(&server, "/privacy?return_to=/articles/cutting")).await.unwrap();
    let told = browser.text().await;
    assert!(
        told.contains(
            "If you withdraw your consent to contacts, your contact and its conversations are erased."
        ),
        "{told}"
    );
    assert!(!browser.has("input[name=category]:checked").await, "nothing is ticked that was refused");
    browser.click("button[value=accept_all]").await;
    if with_script {
        browser.until("the page shows it", async |b| b.has("input[name=category]:checked").await).await;
    } else {
        browser
            .until("it comes back", async |b| {
                b.page.current_url().await.unwrap().path() == "/articles/cutting"
            })
            .await;
    }
    assert!(server.contacts().await.is_empty(), "a consent alone opens no contact");

    // Chat: one contact, with the country of the address that the proxy tells.
    browser.page.goto(&url(&server, "/articles/cutting")).await.unwrap();
    if !browser.has("#chat[open]").await {
        browser.click("#chat summary").await;
    }
    browser.find("#chat-text").await.send_keys("And who answers orders?").await.unwrap();
    browser.click("input[value=live-support]").await;
    browser.click(".chat-form button:not([form])").await;
    browser.until("the answer is there", async |b| b.text().await.contains("A colleague will answer")).await;
    let contacts = server.contacts().await;
    assert_eq!(contacts.len(), 1, "{contacts:?}");
    assert_eq!((&contacts[0]["country"], &contacts[0]["conversations"]), (&json!("US"), &json!(1)));

    // Withdraw: one click; every cookie gone but the refusal, the contact gone, and it stays so.
    browser.page.goto(&url(&server, "/privacy")).await.unwrap();
    browser.click("form[action='/privacy/withdraw'] button").await;
    browser
        .until("the withdrawal is offered no more", async |b| {
            !b.has("form[action='/privacy/withdraw']").await
        })
        .await;
    let left: Vec<_> =
        browser.cookie_names().await.into_iter().filter(|n| n != "__Host-privet-active").collect();
    let left: Vec<_> =
        left.iter().map(String::as_str).filter(|n| *n != "widget_opened_by_customer").collect();
    assert_eq!(left, ["__Host-privet"]);
    assert!(browser.cookies().await.contains(&refused[0]), "a withdrawal leaves the same bytes as a refusal");
    assert!(server.contacts().await.is_empty());
    for path in ["/", "/articles/roses", "/articles/pests"] {
        browser.page.goto(&url(&server, path)).await.unwrap();
        assert!(!browser.has("#privet-notice").await);
    }
    if !browser.has("#chat[open]").await {
        browser.click("#chat summary").await;
    }
    browser.find("#chat-text").await.send_keys("Are you still there?").await.unwrap();
    browser.click(".chat-form button").await;
    browser.until("the chat goes on", async |b| b.text().await.contains("Are you still there?")).await;
    assert!(server.contacts().await.is_empty());
    assert!(!browser.cookie_names().await.contains(&"__Host-privet-contact".to_owned()));
    browser.end().await;
    let ended = server.stop().await;
    assert!(ended.status.success());
    assert!(!ended.said().contains("WARN"), "{}", ended.said());
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn the_main_job_with_script(#[values(Framework::Axum, Framework::ActixWeb)] framework: Framework) {
    the_main_job(framework, true).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn the_main_job_without_script(#[values(Framework::Axum, Framework::ActixWeb)] framework: Framework) {
    the_main_job(framework, false).await;
}

/// IP-06: what a peer says who is not trusted does not count.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn ip_06_no_country_from_a_peer_that_is_not_trusted(
    #[values(Framework::Axum, Framework::ActixWeb)] framework: Framework,
) {
    let (server, _data) = shop(framework, "").await;
    let browser = Browser::start(true).await;
    browser.headers(json!({ "X-Forwarded-For": "8.8.8.8" })).await;
    browser.page.goto(&url(&server, "/")).await.unwrap();
    browser.click("#privet-notice button[value=accept_all]").await;
    browser.until("the banner is gone", async |b| !b.has("#privet-notice").await).await;
    browser.click("#chat summary").await;
    browser.find("#chat-text").await.send_keys("hello").await.unwrap();
    browser.click(".chat-form button").await;
    browser.until("there is an answer", async |b| b.has(".theirs").await).await;
    let contacts = server.contacts().await;
    assert_eq!((contacts.len(), &contacts[0]["country"]), (1, &json!(null)));
    browser.end().await;
}

/// CON-07: the tab was open while the site began to do something else: nothing is recorded, the new notice is shown.
async fn an_old_tab(framework: Framework, with_script: bool) {
    let data = folder();
    let server = Starting::new(PROGRAM, data.path()).on(framework).running().await;
    let addr = server.addr;
    let browser = Browser::start(with_script).await;
    browser.page.goto(&url(&server, "/")).await.unwrap();
    browser.find("#privet-notice").await;
    assert!(server.stop().await.status.success());
    let changed = data.path().join("changed.toml");
    let text = chat_shop::CATALOGUE
        .replace("recipients = [\"support-desk\"]", "recipients = [\"support-desk\"]\nexternal_hosts = [\"cdn.example\"]\ngate = { consent = \"functional\" }");
    assert_ne!(text, chat_shop::CATALOGUE);
    std::fs::write(&changed, text).unwrap();
    let again = Starting::new(PROGRAM, data.path())
        .on(framework)
        .env("PRIVET_TEST_CATALOGUE", &changed)
        .env("PRIVET_ADDR", addr.to_string());
    let server = again.running().await;
    browser.click("#privet-notice button[value=accept_all]").await;
    if with_script {
        // The script takes the visitor to the settings, which show the notice of today.
        browser
            .until("the settings are there", async |b| {
                b.page.current_url().await.unwrap().path() == "/privacy"
            })
            .await;
    } else {
        browser
            .until("the new notice is there", async |b| b.text().await.contains("The notice has changed"))
            .await;
    }
    assert!(browser.text().await.contains("cdn.example") || browser.has("details").await);
    assert_eq!(browser.cookie_names().await, [] as [&str; 0], "nothing is recorded");
    browser.click("button[value=accept_all]").await;
    browser.until("now it is", async |b| b.cookie_names().await.contains(&"__Host-privet".to_owned())).await;
    browser.end().await;
    assert!(server.stop().await.status.success());
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn con_07_an_old_tab_records_nothing_with_script(
    #[values(Framework::Axum, Framework::ActixWeb)] framework: Framework,
) {
    an_old_tab(framework, true).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn con_07_an_old_tab_records_nothing_without_script(
    #[values(Framework::Axum, Framework::ActixWeb)] framework: Framework,
) {
    an_old_tab(framework, false).await;
}

/// GATE-03: loading is no gesture; the visitor's own click is.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn gate_03_only_the_visitors_own_click_starts_the_chat(
    #[values(Framework::Axum, Framework::ActixWeb)] framework: Framework,
) {
    let (server, _data) = shop(framework, "").await;
    let browser = Browser::start(true).await;
    browser.page.goto(&url(&server, "/")).await.unwrap();
    browser.find("#chat").await;
    // What a script does by itself is refused.
    browser.eval("document.querySelector('#chat summary').click()").await;
    let refused = browser
        .page
        .execute_async("const [done] = arguments; privet.activate('webwidget', new Event('click')).then(() => done('started'), (e) => done(e.message))", vec![])
        .await
        .unwrap();
    assert!(refused.as_str().unwrap().contains("own gesture"), "{refused}");
    assert_eq!(browser.cookie_names().await, [] as [&str; 0]);
    browser.page.refresh().await.unwrap();
    browser.click("#chat summary").await;
    browser.until("the chat is started", async |b| b.cookie_names().await.len() == 2).await;
    assert_eq!(browser.cookie_names().await, ["__Host-privet-active", "widget_opened_by_customer"]);
    assert!(server.contacts().await.is_empty());
    browser.end().await;
}

/// The script: what waits for a category runs when it is granted, and what was stored under it goes when it is not.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn the_script_holds_back_and_clears(
    #[values(Framework::Axum, Framework::ActixWeb)] framework: Framework,
) {
    let data = folder();
    let catalogue = data.path().join("catalogue.toml");
    let more = format!(
        "{}\n[[service.entry]]\nname = \"reader.<page>\"\nstorage = \"local-storage\"\nduration = \"30 days\"\ntrigger = \"load\"\ngate = {{ consent = \"analytics\" }}\n[service.entry.purpose]\nen = \"x\"\nde = \"x\"\n",
        chat_shop::CATALOGUE
    );
    std::fs::write(&catalogue, more).unwrap();
    let server = Starting::new(PROGRAM, data.path())
        .on(framework)
        .env("PRIVET_TEST_CATALOGUE", &catalogue)
        .running()
        .await;
    let browser = Browser::start(true).await;
    browser.page.goto(&url(&server, "/")).await.unwrap();
    browser.find("#privet-notice").await;
    let hold = "const s = document.createElement('script'); s.type = 'text/plain'; s.dataset.privetCategory = 'analytics'; s.setAttribute('src', '/chat.js?held'); document.body.append(s); window.dataLayer = [];";
    browser.eval(hold).await;
    assert_eq!(browser.eval("return privet.storage.set('reader.a', '1')").await, json!(false));
    assert_eq!(browser.eval("return privet.storage.set('undeclared', '1')").await, json!(false));
    assert_eq!(browser.eval("return localStorage.length").await, json!(0));
    browser.eval("window.changes = []; privet.on('change', (c) => window.changes.push(c))").await;
    browser.click("#privet-notice button[value=accept_all]").await;
    browser
        .until("the script is released", async |b| {
            b.eval("return [...document.scripts].some((s) => s.src.endsWith('?held') && s.type === '')").await
                == json!(true)
        })
        .await;
    assert_eq!(browser.eval("return window.changes[0].analytics").await, json!("granted"));
    let told = browser.eval("return window.dataLayer.map((e) => [e[0], e[1], e[2].analytics_storage])").await;
    assert_eq!(told, json!([["consent", "update", "granted"]]));
    assert_eq!(browser.eval("return privet.storage.set('reader.a', '1')").await, json!(true));
    assert_eq!(browser.eval("return privet.storage.get('reader.a')").await, json!("1"));
    // A consent platform of somebody else takes it back.
    browser.eval("window.old = true; privet.update({ analytics: false }, { source: 'cmp' })").await;
    browser
        .until("the page begins anew", async |b| {
            b.eval("return window.old === undefined && !!window.privet").await == json!(true)
        })
        .await;
    assert_eq!(
        browser.eval("return localStorage.length").await,
        json!(0),
        "what was stored under it is gone"
    );
    assert_eq!(
        browser.eval("return [privet.granted('analytics'), privet.granted('contacts')]").await,
        json!([false, true])
    );
    browser.end().await;
}

/// JUR-06, JUR-04: in a browser under opt-out and under the rules of the United Kingdom: who is asked, what runs and what may
/// be stored before a choice, that the signal is honoured and says so, and that an objection takes away what stood on it.
#[tokio::test(flavor = "multi_thread")]
async fn jur_06_regimes_and_the_signal_in_a_browser() {
    let addr = privet_tests::lab::listening().await;
    let home = format!("http://{addr}/");
    let browser = Browser::start(true).await;
    let visit = async |headers: serde_json::Value| {
        browser.headers(headers).await;
        browser.page.goto(&home).await.unwrap();
        browser
            .until("the script is there", async |b| b.eval("return !!window.privet").await == json!(true))
            .await;
    };
    let allowed =
        async || browser.eval("return ['analytics', 'marketing', 'contacts'].map(privet.granted)").await;
    let store = async || browser.eval("return privet.storage.set('stat.seen', '1')").await;

    visit(json!({ "X-Forwarded-For": "9.0.0.1" })).await;
    assert!(browser.has("#privet-notice").await, "Germany is asked");
    assert_eq!(allowed().await, json!([false, false, false]));
    assert_eq!(store().await, json!(false));

    visit(json!({ "X-Forwarded-For": "9.0.0.4" })).await;
    assert!(!browser.has("#privet-notice").await, "the United States are not");
    assert!(browser.text().await.contains("Your Privacy Choices"));
    assert_eq!(allowed().await, json!([true, true, false]));
    visit(json!({ "X-Forwarded-For": "9.0.0.4", "Sec-GPC": "1" })).await;
    assert_eq!(allowed().await, json!([true, false, false]));
    assert!(browser.text().await.contains("Opt-out request honoured"));
    assert_eq!(browser.cookie_names().await, [] as [&str; 0], "nothing of it is stored");

    visit(json!({ "X-Forwarded-For": "9.0.0.2" })).await;
    assert!(browser.has("#privet-notice").await, "the United Kingdom is asked");
    assert!(!browser.text().await.contains("honoured"));
    assert_eq!(allowed().await, json!([false, false, false]));
    assert_eq!(store().await, json!(true), "statistics until the objection");
    browser.click("#privet-notice button[value=reject_all]").await;
    browser
        .until("what stood on the exception is gone", async |b| {
            b.eval("return localStorage.length").await == json!(0)
        })
        .await;
    assert_eq!(store().await, json!(false));
    assert_eq!(browser.cookie_names().await, ["__Host-privet"]);
    browser.end().await;
}
