//! The site in process, on both frameworks: every route as visitors with and without consent use it, and as operators
//! do.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that meets something else has failed")]

use privet::{Storage, SystemClock};
use privet_tests::server::{Framework, OPERATOR};
use privet_tests::site::{Client, Site};
use privet_web::testing::{Answered, Asked};
use rstest::rstest;
use serde_json::Value;

async fn client(framework: Framework) -> Client {
    Client::new(Site::open(framework, Storage::in_memory().unwrap(), SystemClock).await)
}

fn text(answer: &Answered) -> String {
    String::from_utf8(answer.body.clone()).unwrap()
}

async fn get(client: &mut Client, path: &str, accept: &str) -> (u16, String) {
    let answer = client.ask(Asked::new("GET", path).header("accept", accept)).await;
    (answer.status, text(&answer))
}

async fn post(client: &mut Client, path: &str, content_type: &str, body: &str) -> Answered {
    let asked = Asked::new("POST", path)
        .header("sec-fetch-site", "same-origin")
        .header("content-type", content_type)
        .body(body);
    client.ask(asked).await
}

async fn say(client: &mut Client, json: &str) -> (u16, Value) {
    let answer = post(client, "/chat/messages", "application/json", json).await;
    (answer.status, serde_json::from_slice(&answer.body).unwrap_or_default())
}

async fn decide(client: &mut Client, action: &str) {
    let form = format!("action={action}&notice={}", client.token().await);
    let answer = post(client, "/privacy/consent", "application/x-www-form-urlencoded", &form).await;
    assert_eq!(answer.status, 303);
}

async fn as_operator(client: &mut Client, method: &str, path: &str, token: &str, accept: &str) -> Answered {
    client.ask(Asked::new(method, path).header("authorization", token).header("accept", accept)).await
}

async fn contacts(client: &mut Client) -> Vec<Value> {
    let list = as_operator(client, "GET", "/contacts", &operator(), "application/json").await;
    serde_json::from_slice::<Value>(&list.body).unwrap()["contacts"].as_array().unwrap().clone()
}

fn operator() -> String {
    format!("Bearer {OPERATOR}")
}

#[rstest]
#[tokio::test]
async fn the_search_answers_from_the_articles(
    #[values(Framework::Axum, Framework::ActixWeb)] framework: Framework,
) {
    let mut client = client(framework).await;
    let client = &mut client;
    let (status, answer) =
        say(client, r#"{"text":"When do I plant roses?","channel":"ai-search","page":"/"}"#).await;
    assert_eq!(status, 200);
    let messages = answer["messages"].as_array().unwrap();
    assert_eq!(messages.len(), 2);
    assert!(messages[1]["text"].as_str().unwrap().contains("/articles/roses"), "{answer}");
    let (_, nothing) = say(client, r#"{"text":"xyzzy","channel":"ai-search","page":"/"}"#).await;
    assert!(nothing["messages"][1]["text"].as_str().unwrap().contains("nothing"), "{nothing}");
    // What is a query to a search engine and not to us is text.
    for odd in ["\"", "AND OR NOT", "a*:b^", "NEAR(", "'; DROP TABLE articles; --"] {
        let sent = serde_json::json!({ "text": odd, "channel": "ai-search", "page": "/" }).to_string();
        assert_eq!(say(client, &sent).await.0, 200, "{odd}");
    }
}

#[rstest]
#[tokio::test]
async fn bad_messages_are_refused_and_nothing_is_stored(
    #[values(Framework::Axum, Framework::ActixWeb)] framework: Framework,
) {
    let mut client = client(framework).await;
    let client = &mut client;
    let long =
        serde_json::json!({ "text": "x".repeat(20_000), "channel": "ai-search", "page": "/" }).to_string();
    for bad in [
        "{",
        r#"{"text":"","channel":"ai-search","page":"/"}"#,
        r#"{"text":"x","channel":"telepathy","page":"/"}"#,
        &long,
    ] {
        assert_eq!(say(client, bad).await.0, 400, "{bad:.60}");
    }
    let (_, read) = get(client, "/chat/messages", "application/json").await;
    assert_eq!(read, r#"{"messages":[]}"#);
}

/// CTC-01: a contact for those who agreed, and for nobody else.
#[rstest]
#[tokio::test]
async fn ctc_01_the_contact_list_holds_those_who_agreed(
    #[values(Framework::Axum, Framework::ActixWeb)] framework: Framework,
) {
    let mut client = client(framework).await;
    let client = &mut client;
    decide(client, "reject_all").await;
    say(client, r#"{"text":"roses","channel":"ai-search","page":"/"}"#).await;
    assert_eq!(contacts(client).await.len(), 0);
    decide(client, "accept_all").await;
    say(client, r#"{"text":"roses","channel":"ai-search","page":"/articles/roses?mail=x"}"#).await;
    let there = contacts(client).await;
    assert_eq!(there.len(), 1);
    assert_eq!(there[0]["conversations"], 1);
    let keys: Vec<_> = there[0].as_object().unwrap().keys().cloned().collect();
    assert_eq!(keys, ["conversations", "country", "created", "id", "last_seen"]);

    let (status, _) = get(client, "/contacts", "application/json").await;
    assert_eq!(status, 401);
    for wrong in ["Bearer wrong", "Bearer ", OPERATOR, "Basic YTpi"] {
        let answer = as_operator(client, "GET", "/contacts", wrong, "application/json").await;
        assert_eq!(answer.status, 401, "{wrong}");
        assert_eq!(answer.all("www-authenticate").collect::<Vec<_>>(), ["Bearer"]);
    }

    let page = as_operator(client, "GET", "/contacts", &operator(), "text/html").await;
    assert_eq!(page.all("cache-control").collect::<Vec<_>>(), ["private, no-store"]);
    let id = there[0]["id"].as_str().unwrap();
    assert!(text(&page).contains(id));
    let path = format!("/contacts/{id}");
    for (path, token, status) in [
        (path.as_str(), "", 401),
        (&path, &operator(), 200),
        (&path, &operator(), 404),
        ("/contacts/x", &operator(), 404),
    ] {
        assert_eq!(as_operator(client, "DELETE", path, token, "*/*").await.status, status, "{path}");
    }
    assert_eq!(contacts(client).await.len(), 0);
}

/// Readers are counted who allow it, once each.
#[rstest]
#[tokio::test]
async fn readers_are_counted_who_allow_it(
    #[values(Framework::Axum, Framework::ActixWeb)] framework: Framework,
) {
    let mut client = client(framework).await;
    let client = &mut client;
    let readers = |page: &str| page.contains("<span id=\"readers\">1</span>");
    decide(client, "reject_all").await;
    assert!(!readers(&get(client, "/articles/roses", "text/html").await.1));
    decide(client, "accept_all").await;
    for _ in 0..3 {
        assert!(readers(&get(client, "/articles/roses", "text/html").await.1));
    }
    assert!(client.jar.names().any(|name| name == "reader"));
    decide(client, "reject_all").await;
    assert!(client.jar.names().all(|name| name != "reader"));
}
