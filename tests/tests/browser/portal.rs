//! An operator's morning: sign in, look through the list, answer somebody who waits, take data out, erase.

use std::path::Path;

use fantoccini::Locator;
use privet_tests::browser::Browser;
use privet_tests::server::{Framework, Starting, folder};
use rstest::rstest;
use rusqlite::{Connection, params};
use serde_json::json;

use super::{PROGRAM, url};

/// Argon2id of `hedges and roses`.
const OFFICER: &str = "ann:privacy-officer::$argon2id$v=19$m=19456,t=2,p=1$uvR6cErCZqGGDHTKPZcF5g$ONl5hrCIznQZ/xhxeD9D74H1uBL1Bk8L/waBNOMVWdg";

/// So many contacts that were there before, of whom one in twenty is of the Netherlands.
/// `PRIVET_TEST_CONTACTS=1000000` is the long form.
fn contacts() -> i64 {
    std::env::var("PRIVET_TEST_CONTACTS").ok().and_then(|n| n.parse().ok()).unwrap_or(20_000)
}

fn fill(data: &Path, contacts: i64) {
    let now = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap();
    let step = 3_000_000_000 / contacts;
    let db = Connection::open(data.join("privet.db")).unwrap();
    db.busy_timeout(std::time::Duration::from_secs(30)).unwrap();
    db.execute(
        "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?1)
         INSERT INTO contacts (tenant, site, id, subject, epoch, country, created, last_seen, conversations, consent, consent_line, consent_until, material)
         SELECT 'main', 'main', randomblob(16), randomblob(16), 1, CASE WHEN i % 20 = 1 THEN 'NL' ELSE 'DE' END,
                ?2 - i * ?3 - 90000000, ?2 - i * ?3 - 60000, 0, randomblob(16), randomblob(16), ?2 + 10000000000,
                (SELECT material FROM contacts LIMIT 1)
         FROM n",
        params![contacts, now, step],
    )
    .unwrap();
}

/// Keeps what the page looks like, where somebody asks for it.
async fn picture(browser: &Browser, name: &str) {
    if let Some(folder) = std::env::var_os("PRIVET_TEST_SCREENSHOTS") {
        let png = browser.page.screenshot().await.unwrap();
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(Path::new(&folder).join(format!("{name}.png")), png).unwrap();
    }
}

async fn rows(browser: &Browser) -> Vec<String> {
    let all = browser.page.find_all(Locator::Css("tbody tr")).await.unwrap();
    let mut rows = Vec::new();
    for row in all {
        rows.push(row.text().await.unwrap());
    }
    rows
}

async fn goes(browser: &Browser, css: &str, what: &str, to: &str) {
    browser.click(css).await;
    browser.until(what, async |b| b.page.current_url().await.is_ok_and(|u| u.as_str().contains(to))).await;
}

/// CTC-07, SEC-05: the whole morning, on both frameworks.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn ctc_07_an_operators_morning(#[values(Framework::Axum, Framework::ActixWeb)] framework: Framework) {
    let data = folder();
    let server =
        Starting::new(PROGRAM, data.path()).on(framework).env("PRIVET_OPERATORS", OFFICER).running().await;
    let contacts = contacts();
    let name = framework.name();

    // Somebody agrees to be recognised, and asks a person.
    let visitor = Browser::start(true).await;
    visitor.page.goto(&url(&server, "/articles/roses")).await.unwrap();
    visitor.click("#privet-notice button[value=accept_all]").await;
    visitor.until("the banner is gone", async |b| !b.has("#privet-notice").await).await;
    visitor.click("#chat summary").await;
    visitor.click("#chat input[value=live-support]").await;
    visitor.find("#chat-text").await.send_keys("Is <b>this</b> rose \u{202e}hardy?").await.unwrap();
    visitor.click(".chat-form button").await;
    visitor.until("the question is there", async |b| b.text().await.contains("hardy?")).await;

    // Beside many who were there before, and agreed to the same.
    fill(data.path(), contacts);

    // A stranger is told where to sign in, and nothing else.
    let operator = Browser::start(true).await;
    operator.page.goto(&url(&server, "/privacy/portal/main/contacts")).await.unwrap();
    assert!(!operator.text().await.contains("Netherlands"));
    goes(&operator, "main a[href*='login']", "the login", "/login").await;
    operator.assert_accessible("the login").await;
    operator.find("#name").await.send_keys("ann").await.unwrap();
    operator.find("#password").await.send_keys("hedges and roses").await.unwrap();
    goes(&operator, "form.login button", "the portal", "/privacy/portal").await;
    operator.page.goto(&url(&server, "/privacy/portal/main/contacts")).await.unwrap();
    let first = rows(&operator).await;
    assert_eq!(first.len(), 50);
    assert!(operator.text().await.contains("10,000+"), "counted so far and no further");
    picture(&operator, &format!("{name}-contacts")).await;
    operator.assert_accessible("the list").await;
    operator.in_zone("Asia/Tokyo").await;
    operator.page.refresh().await.unwrap();
    let zones = operator
        .eval("const t = document.querySelector('tbody time'); return [t.textContent === t.title, t.title.includes('UTC')]")
        .await;
    assert_eq!(zones, json!([false, true]), "in the operator's own zone, and in UTC on a closer look");
    operator.in_zone("UTC").await;

    // By country, and page by page, there and back.
    operator.page.goto(&url(&server, "/privacy/portal/main/contacts?country=NL")).await.unwrap();
    let (mut seen, mut pages) = (rows(&operator).await, 1);
    assert!(seen.iter().all(|row| row.contains("Netherlands")), "{seen:?}");
    while pages < 4 {
        goes(&operator, "a[rel=next]", "the next page", "cursor=").await;
        let before = seen.len();
        operator
            .until("it is another page", async |b| {
                rows(b).await.first().is_some_and(|row| !seen.contains(row))
            })
            .await;
        seen.extend(rows(&operator).await);
        assert_eq!(seen.len(), before + 50);
        pages += 1;
    }
    let mut once = seen.clone();
    once.sort();
    once.dedup();
    assert_eq!(once.len(), seen.len(), "nobody twice");
    operator.click("a[rel=prev]").await;
    operator.until("the page before", async |b| rows(b).await == seen[100..150]).await;

    // The one who waits: their words are text, whatever they are made of.
    operator.page.goto(&url(&server, "/privacy/portal/main/conversations")).await.unwrap();
    picture(&operator, &format!("{name}-open")).await;
    operator.assert_accessible("open").await;
    goes(&operator, "tbody tr a", "the conversation", "/conversations/").await;
    let shown = operator.find("#messages .text").await.text().await.unwrap();
    assert_eq!(shown, "Is <b>this</b> rose \u{fffd}hardy?");
    assert!(!operator.has("#messages b").await);
    operator.until("it listens", async |b| b.has("#messages[data-live=on]").await).await;
    operator.find("#text").await.send_keys("Yes, to −20 °C.").await.unwrap();
    operator.click("form[action$='/answer'] button").await;
    visitor.until("the answer comes without a reload", async |b| b.text().await.contains("−20 °C")).await;
    operator.until("it listens again", async |b| b.has("#messages[data-live=on]").await).await;
    visitor.find("#chat-text").await.send_keys("Thank you!").await.unwrap();
    visitor.click(".chat-form button").await;
    operator.until("and so does what they say", async |b| b.text().await.contains("Thank you!")).await;
    picture(&operator, &format!("{name}-conversation")).await;
    operator.assert_accessible("conversation").await;

    // Data leaves whole.
    let exported = operator
        .page
        .execute_async(
            "const [done] = arguments;
             fetch('/privacy/portal/main/export?what=contacts&format=jsonl').then((r) => r.text()).then((t) => {
               const lines = t.trimEnd().split('\\n');
               done([lines.length, JSON.parse(lines.at(-1)).manifest.contacts]);
             })",
            vec![],
        )
        .await
        .unwrap();
    assert_eq!(exported, json!([contacts + 2, contacts + 1]));

    let conversation = operator.page.current_url().await.unwrap();
    operator.page.goto(&url(&server, "/privacy/portal/main/contacts")).await.unwrap();
    operator.click("a[data-export][href*='format=jsonl']").await;
    operator.until("it is whole", async |b| b.has("[role=status][data-whole=yes]").await).await;
    assert!(operator.find("[role=status]").await.text().await.unwrap().contains("MB"));
    operator.until("nothing is left to cancel", async |b| !b.has("a[data-export] ~ button").await).await;
    operator.page.goto(conversation.as_str()).await.unwrap();

    // The contact goes, with everything, from every page.
    let of_contact = operator.find("dl a[href*='/contacts/']").await.attr("href").await.unwrap().unwrap();
    operator.page.goto(&url(&server, &of_contact)).await.unwrap();
    let told = operator.text().await;
    assert!(told.contains("Conversations") && told.contains("/articles/roses"), "{told}");
    picture(&operator, &format!("{name}-contact")).await;
    operator.assert_accessible("contact").await;
    goes(&operator, "a.danger[href$='/erase']", "the preview", "/erase").await;
    picture(&operator, &format!("{name}-preview")).await;
    operator.assert_accessible("preview").await;
    operator.click("main form button").await;
    operator
        .until("the list", async |b| {
            b.page.current_url().await.is_ok_and(|u| u.path().ends_with("/contacts"))
        })
        .await;
    operator.page.goto(&url(&server, &of_contact)).await.unwrap();
    assert!(!operator.text().await.contains("/articles/roses"));
    operator.page.goto(&url(&server, "/privacy/portal/main/conversations")).await.unwrap();
    assert!(rows(&operator).await.is_empty());
    visitor.page.refresh().await.unwrap();
    visitor.find("#chat").await;
    assert!(!visitor.page.source().await.unwrap().contains("hardy"));
    for page in ["overview", "log"] {
        operator.page.goto(&url(&server, &format!("/privacy/portal/main/{page}"))).await.unwrap();
        operator.find("h1").await;
        picture(&operator, &format!("{name}-{page}")).await;
        operator.assert_accessible(page).await;
    }
    assert!(operator.text().await.contains("ann"));
    visitor.end().await;
    operator.end().await;
}
