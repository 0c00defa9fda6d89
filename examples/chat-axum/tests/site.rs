//! The site in process: every route as visitors with and without consent use it, and as operators do.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that meets something else has failed")]

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::ConnectInfo;
use axum::http::{Method, Request, Response, StatusCode, header};
use chat_axum::{Articles, CATALOGUE, OperatorToken, Settings, Shop, app, installation};
use privet::ip::{EmbeddedCountries, TrustedProxies};
use privet::{Privet, Storage, SystemClock};
use privet_axum::testing::Walk;
use privet_axum::{Protected, protect};
use serde_json::Value;
use tower::ServiceExt as _;

const OPERATOR: &str = "an operator's token";

async fn site() -> (Router, Privet) {
    let settings = Settings {
        addr: SocketAddr::from(([127, 0, 0, 1], 3000)),
        data: "unused".into(),
        country_db: None,
        trusted_proxies: TrustedProxies::none(),
        support_url: None,
        operator_token: None,
    };
    let storage = Storage::in_memory().unwrap();
    let countries = Arc::new(EmbeddedCountries);
    let privet = installation(CATALOGUE, &settings, storage, countries, SystemClock).await.unwrap();
    let shop = Shop {
        articles: Arc::new(Articles::load().unwrap()),
        readers: Arc::default(),
        support: None,
        operators: OperatorToken::new(OPERATOR.to_owned()),
        privet: privet.clone(),
    };
    (app(shop), privet)
}

struct Client {
    site: Protected<Router>,
    cookies: Vec<(String, String)>,
}

impl Client {
    async fn new() -> Self {
        let (app, privet) = site().await;
        Self { site: protect(app, &privet), cookies: Vec::new() }
    }

    async fn ask(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Response<Body> {
        let mut request = Request::builder().method(method).uri(path).header("sec-fetch-site", "same-origin");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let jar: Vec<_> = self.cookies.iter().map(|(n, v)| format!("{n}={v}")).collect();
        if !jar.is_empty() {
            request = request.header(header::COOKIE, jar.join("; "));
        }
        let peer = ConnectInfo(SocketAddr::from(([203, 0, 113, 7], 4711)));
        let request = request.extension(peer).body(Body::from(body.to_owned())).unwrap();
        let response = self.site.clone().oneshot(request).await.unwrap();
        for line in response.headers().get_all(header::SET_COOKIE) {
            let (name, rest) = line.to_str().unwrap().split_once('=').unwrap();
            self.cookies.retain(|(n, _)| n != name);
            if !rest.contains("Max-Age=0") {
                self.cookies.push((name.to_owned(), rest.split(';').next().unwrap().to_owned()));
            }
        }
        response
    }

    async fn get(&mut self, path: &str, accept: &str) -> (StatusCode, String) {
        let response = self.ask(Method::GET, path, &[("accept", accept)], "").await;
        (response.status(), text(response).await)
    }

    async fn say(&mut self, json: &str) -> (StatusCode, Value) {
        let response =
            self.ask(Method::POST, "/chat/messages", &[("content-type", "application/json")], json).await;
        let status = response.status();
        (status, serde_json::from_str(&text(response).await).unwrap_or_default())
    }

    async fn decide(&mut self, action: &str) {
        let state: Value = serde_json::from_str(&self.get("/privacy/consent", "*/*").await.1).unwrap();
        let form = format!("action={action}&notice={}", state["notice"].as_str().unwrap());
        let form_type = ("content-type", "application/x-www-form-urlencoded");
        let answer = self.ask(Method::POST, "/privacy/consent", &[form_type], &form).await;
        assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    }

    async fn contacts(&mut self) -> Vec<Value> {
        let token = format!("Bearer {OPERATOR}");
        let headers = [("authorization", token.as_str()), ("accept", "application/json")];
        let list = text(self.ask(Method::GET, "/contacts", &headers, "").await).await;
        serde_json::from_str::<Value>(&list).unwrap()["contacts"].as_array().unwrap().clone()
    }
}

async fn text(response: Response<Body>) -> String {
    String::from_utf8(to_bytes(response.into_body(), 1 << 20).await.unwrap().to_vec()).unwrap()
}

/// GATE-01: whatever a visitor did or did not decide, no route sets a cookie against the catalogue.
#[tokio::test]
async fn gate_01_no_route_sets_a_cookie_against_the_catalogue() {
    let (app, privet) = site().await;
    let report = Walk::new(app, &privet)
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

#[tokio::test]
async fn the_search_answers_from_the_articles() {
    let mut client = Client::new().await;
    let (status, answer) =
        client.say(r#"{"text":"When do I plant roses?","channel":"ai-search","page":"/"}"#).await;
    assert_eq!(status, StatusCode::OK);
    let messages = answer["messages"].as_array().unwrap();
    assert_eq!(messages.len(), 2);
    assert!(messages[1]["text"].as_str().unwrap().contains("/articles/roses"), "{answer}");
    let (_, nothing) = client.say(r#"{"text":"xyzzy","channel":"ai-search","page":"/"}"#).await;
    assert!(nothing["messages"][1]["text"].as_str().unwrap().contains("nothing"), "{nothing}");
    // What is a query to a search engine and not to us is text.
    for odd in ["\"", "AND OR NOT", "a*:b^", "NEAR(", "'; DROP TABLE articles; --"] {
        let sent = serde_json::json!({ "text": odd, "channel": "ai-search", "page": "/" }).to_string();
        assert_eq!(client.say(&sent).await.0, StatusCode::OK, "{odd}");
    }
}

#[tokio::test]
async fn bad_messages_are_refused_and_nothing_is_stored() {
    let mut client = Client::new().await;
    let long =
        serde_json::json!({ "text": "x".repeat(20_000), "channel": "ai-search", "page": "/" }).to_string();
    for bad in [
        "{",
        r#"{"text":"","channel":"ai-search","page":"/"}"#,
        r#"{"text":"x","channel":"telepathy","page":"/"}"#,
        &long,
    ] {
        assert_eq!(client.say(bad).await.0, StatusCode::BAD_REQUEST, "{bad:.60}");
    }
    let (_, read) = client.get("/chat/messages", "application/json").await;
    assert_eq!(read, r#"{"messages":[]}"#);
}

/// CTC-01: a contact for those who agreed, and for nobody else.
#[tokio::test]
async fn ctc_01_the_contact_list_holds_those_who_agreed() {
    let mut client = Client::new().await;
    client.decide("reject_all").await;
    client.say(r#"{"text":"roses","channel":"ai-search","page":"/"}"#).await;
    assert_eq!(client.contacts().await.len(), 0);
    client.decide("accept_all").await;
    client.say(r#"{"text":"roses","channel":"ai-search","page":"/articles/roses?mail=x"}"#).await;
    let contacts = client.contacts().await;
    assert_eq!(contacts.len(), 1);
    assert_eq!(contacts[0]["conversations"], 1);
    let keys: Vec<_> = contacts[0].as_object().unwrap().keys().cloned().collect();
    assert_eq!(keys, ["conversations", "country", "created", "id", "last_seen"]);

    let (status, _) = client.get("/contacts", "application/json").await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    for wrong in ["Bearer wrong", "Bearer ", "an operator's token", "Basic YTpi"] {
        let answer = client.ask(Method::GET, "/contacts", &[("authorization", wrong)], "").await;
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{wrong}");
    }

    let token = format!("Bearer {OPERATOR}");
    let operator = [("authorization", token.as_str()), ("accept", "text/html")];
    let page = client.ask(Method::GET, "/contacts", &operator, "").await;
    assert_eq!(page.headers()[header::CACHE_CONTROL], "private, no-store");
    assert!(text(page).await.contains(contacts[0]["id"].as_str().unwrap()));
    let path = format!("/contacts/{}", contacts[0]["id"].as_str().unwrap());
    assert_eq!(client.ask(Method::DELETE, &path, &[], "").await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(client.ask(Method::DELETE, &path, &operator, "").await.status(), StatusCode::OK);
    assert_eq!(client.ask(Method::DELETE, &path, &operator, "").await.status(), StatusCode::NOT_FOUND);
    assert_eq!(
        client.ask(Method::DELETE, "/contacts/x", &operator, "").await.status(),
        StatusCode::NOT_FOUND
    );
    assert_eq!(client.contacts().await.len(), 0);
}

/// Readers are counted who allow it, once each.
#[tokio::test]
async fn readers_are_counted_who_allow_it() {
    let mut client = Client::new().await;
    let readers = |page: &str| page.contains("<span id=\"readers\">1</span>");
    client.decide("reject_all").await;
    assert!(!readers(&client.get("/articles/roses", "text/html").await.1));
    client.decide("accept_all").await;
    for _ in 0..3 {
        assert!(readers(&client.get("/articles/roses", "text/html").await.1));
    }
    assert!(client.cookies.iter().any(|(name, _)| name == "reader"));
    client.decide("reject_all").await;
    assert!(client.cookies.iter().all(|(name, _)| name != "reader"));
}
