//! privet's own pages and fragments over the catalogue of the chat example: forms, headers, languages, sizes.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that meets something else has failed")]

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use privet::{Catalogue, Privet};
use privet_axum::{Protected, protect};
use serde_json::Value;
use tower::ServiceExt as _;

struct Site(Protected<Router>);

struct Answer {
    status: StatusCode,
    headers: BTreeMap<String, String>,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

impl Site {
    async fn new() -> Self {
        let catalogue = Catalogue::from_toml(chat_shop::CATALOGUE).unwrap();
        let privet = Privet::builder(catalogue).build().await.unwrap();
        Self(protect(privet_axum::router(&privet), &privet))
    }

    async fn ask(&self, method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let peer = ConnectInfo(SocketAddr::from(([203, 0, 113, 7], 4711)));
        let request = request.extension(peer).body(Body::from(body.to_owned())).unwrap();
        let response: Response<Body> = self.0.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let headers = parts.headers.iter().map(|(n, v)| (n.to_string(), v.to_str().unwrap().to_owned()));
        let headers = headers.collect();
        let body = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        Answer { status: parts.status, headers, body }
    }

    async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.ask(Method::GET, path, headers, "").await
    }

    /// The consent cookie that an answer leaves.
    async fn decided(&self, action: &str) -> String {
        let notice = self.get("/privacy/consent", &[]).await.json()["notice"].as_str().unwrap().to_owned();
        let headers =
            [("content-type", "application/x-www-form-urlencoded"), ("sec-fetch-site", "same-origin")];
        let form = format!("action={action}&notice={notice}");
        let answer = self.ask(Method::POST, "/privacy/consent", &headers, &form).await;
        answer.header("set-cookie").split(';').next().unwrap().to_owned()
    }
}

const PEOPLE: (&str, &str) = ("accept", "text/html,application/xhtml+xml,*/*;q=0.8");

/// STM-01: the statement names every entry with its exact duration, in all three forms.
#[tokio::test]
async fn stm_01_the_statement_has_every_entry_in_three_forms() {
    let site = Site::new().await;
    let expected = [
        ("<integrationId>.appUserId", Some(86_400)),
        ("<integrationId>.clientId", None),
        ("<integrationId>.sessionToken", None),
        ("widget_auto_opened", None),
        ("widget_loaded", None),
        ("widget_closed_by_customer", None),
        ("widget_opened_by_customer", None),
        ("widget_customer_clicked_header", None),
        ("widget_eyecatcher_closed", None),
        ("widget_uuid", Some(86_400)),
        ("widget_show_first_message", None),
    ];
    let json = site.get("/privacy/cookies.json", &[]).await;
    let statement = json.json();
    let items: Vec<_> =
        statement["groups"].as_array().unwrap().iter().flat_map(|g| g["items"].as_array().unwrap()).collect();
    let mut widget: Vec<_> = items
        .iter()
        .filter(|i| i["service"] == "webwidget")
        .map(|i| (i["name"].as_str().unwrap(), i["seconds"].as_u64()))
        .collect();
    widget.sort_unstable();
    let mut sorted = expected.to_vec();
    sorted.sort_unstable();
    assert_eq!(widget, sorted);
    for own in ["__Host-privet", "__Host-privet-active", "__Host-privet-contact", "reader"] {
        assert!(items.iter().any(|i| i["name"] == own), "{own}");
    }

    let html = site.get("/privacy/cookies", &[PEOPLE]).await;
    let markdown = site.get("/privacy/cookies.md", &[]).await;
    for (name, _) in expected {
        let shown = name.replace('<', "&#60;").replace('>', "&#62;");
        assert!(html.body.contains(&shown), "{name}");
        let written = name.replace('<', "\\<").replace('>', "\\>").replace('_', "\\_");
        assert!(markdown.body.contains(&written), "{name}");
    }
    for text in [&html.body, &markdown.body] {
        assert!(text.contains("24 hours") || text.contains("1 day"));
    }
}

/// The statement is the same for everybody: caches may keep it, whatever cookies came.
#[tokio::test]
async fn the_statement_is_public_and_negotiated() {
    let site = Site::new().await;
    let cookie = site.decided("accept_all").await;
    for (path, accept, content_type) in [
        ("/privacy/cookies", "text/html", "text/html; charset=utf-8"),
        ("/privacy/cookies", "text/markdown", "text/markdown; charset=utf-8"),
        ("/privacy/cookies", "application/json", "application/json"),
        ("/privacy/cookies", "image/png", "text/html; charset=utf-8"),
        ("/privacy/cookies.md", "text/html", "text/markdown; charset=utf-8"),
        ("/privacy/cookies.json", "text/html", "application/json"),
    ] {
        let page = site.get(path, &[("accept", accept), ("cookie", &cookie)]).await;
        assert_eq!(
            (page.status, page.header("content-type")),
            (StatusCode::OK, content_type),
            "{path} {accept}"
        );
        assert_eq!(page.header("cache-control"), "public, max-age=300", "{path}");
        assert_eq!(page.header("vary"), "Accept, Accept-Language");
    }
}

#[tokio::test]
async fn pages_speak_the_visitors_language() {
    let site = Site::new().await;
    for path in ["/privacy", "/privacy/banner", "/privacy/cookies"] {
        let german = site.get(path, &[PEOPLE, ("accept-language", "de-AT, en;q=0.5")]).await;
        assert_eq!(german.header("content-language"), "de", "{path}");
        assert!(german.body.contains("lang=\"de\""), "{path}");
        // A language that the catalogue does not have: its first one, whole, not mixed.
        let other = site.get(path, &[PEOPLE, ("accept-language", "fi")]).await;
        assert_eq!(other.header("content-language"), "en", "{path}");
    }
}

/// The fragment is empty for those who decided, and kept by nobody.
#[tokio::test]
async fn the_banner_fragment_is_for_those_who_have_not_decided() {
    let site = Site::new().await;
    let shown = site.get("/privacy/banner?return_to=/articles/roses", &[]).await;
    assert!(shown.body.contains("value=\"reject_all\"") && shown.body.contains("value=\"accept_all\""));
    assert!(shown.body.contains("name=\"return_to\" value=\"/articles/roses\""));
    assert!(!shown.body.contains("<script"), "works without script");
    for action in ["reject_all", "accept_all"] {
        let cookie = site.decided(action).await;
        let gone = site.get("/privacy/banner", &[("cookie", &cookie)]).await;
        assert_eq!((gone.status, gone.body.trim()), (StatusCode::OK, ""), "{action}");
        assert_eq!(gone.header("cache-control"), "private, no-store");
    }
    let elsewhere = site.get("/privacy/banner?return_to=//evil.example/", &[]).await;
    assert!(!elsewhere.body.contains("evil.example"));
}

/// What is personal is kept by nobody and framed by nobody.
#[tokio::test]
async fn personal_pages_are_private_and_not_framed() {
    let site = Site::new().await;
    for path in ["/privacy", "/privacy/banner"] {
        let page = site.get(path, &[PEOPLE]).await;
        assert_eq!(page.header("cache-control"), "private, no-store", "{path}");
    }
    for path in ["/privacy", "/privacy/cookies"] {
        let page = site.get(path, &[PEOPLE]).await;
        assert!(page.header("content-security-policy").contains("frame-ancestors 'none'"), "{path}");
        assert!(page.header("content-security-policy").contains("default-src 'none'"), "{path}");
        assert_eq!(
            (page.header("x-frame-options"), page.header("x-content-type-options")),
            ("DENY", "nosniff")
        );
        // Nothing in the page that this policy would have to allow.
        assert!(
            !page.body.contains("<script>")
                && !page.body.contains(" style=")
                && !page.body.contains("onclick")
        );
        assert!(!page.body.contains("http://") && !page.body.contains("https://"), "{path}");
    }
    assert_eq!(site.get("/privacy/consent", &[]).await.header("cache-control"), "private, no-store");
}

/// Before somebody withdraws the page says that the contact will be erased.
#[tokio::test]
async fn the_settings_say_beforehand_what_a_withdrawal_erases() {
    let site = Site::new().await;
    let cookie = site.decided("accept_all").await;
    let page = site.get("/privacy", &[PEOPLE, ("cookie", &cookie)]).await.body;
    let withdraw = page.split("action=\"/privacy/withdraw\"").nth(1).unwrap();
    let before_the_button = withdraw.split("<button").next().unwrap();
    assert!(before_the_button.contains("erased"), "{before_the_button}");
    let refused = site.decided("reject_all").await;
    let page = site.get("/privacy", &[PEOPLE, ("cookie", &refused)]).await.body;
    assert!(!page.contains("action=\"/privacy/withdraw\""), "nothing to withdraw");
}

/// Programs get a problem (RFC 9457), people a page; neither learns anything of the inside.
#[tokio::test]
async fn errors_are_opaque() {
    let site = Site::new().await;
    let same = ("sec-fetch-site", "same-origin");
    let json = ("content-type", "application/json");
    let form = ("content-type", "application/x-www-form-urlencoded");
    for (path, headers, body, status) in [
        ("/privacy/consent", vec![json, same], "{", 400),
        ("/privacy/consent", vec![json, same], r#"{"action":"accept_all","notice":"x","more":1}"#, 400),
        ("/privacy/consent", vec![json, same], r#"{"action":"accept","notice":"x"}"#, 400),
        ("/privacy/consent", vec![form, same], "", 400),
        ("/privacy/consent", vec![("content-type", "text/plain"), same], "x", 415),
        ("/privacy/consent", vec![json], r#"{"action":"accept_all"}"#, 403),
        ("/privacy/consent", vec![json, ("sec-fetch-site", "cross-site")], r#"{"action":"accept_all"}"#, 403),
        ("/privacy/consent", vec![json, same], r#"{"action":"reject_all","notice":"forged"}"#, 409),
        ("/privacy/withdraw", vec![json, same], r#"{"category":["nothing"]}"#, 400),
        ("/privacy/activate", vec![json, same], r#"{"service":"nothing"}"#, 400),
        ("/privacy/cookies", vec![same], "", 405),
    ] {
        let answer = site.ask(Method::POST, path, &headers, body).await;
        assert_eq!(answer.status.as_u16(), status, "{path} {body}: {}", answer.body);
        assert!(!answer.headers.contains_key("set-cookie"), "{path} {body}");
        assert_eq!(answer.header("cache-control"), "private, no-store", "{path} {body}");
        if status != 409 && headers.contains(&json) {
            assert_eq!(answer.header("content-type"), "application/problem+json", "{path} {body}");
            let problem = answer.json();
            let keys: Vec<_> = problem.as_object().unwrap().keys().map(String::as_str).collect();
            assert_eq!(
                (keys, problem["status"].as_u64()),
                (vec!["status", "title", "type"], Some(status.into()))
            );
        }
    }
    let page = site.ask(Method::POST, "/privacy/consent", &[form, same, PEOPLE], "action=x").await;
    assert_eq!((page.status.as_u16(), page.header("content-type")), (400, "text/html; charset=utf-8"));
    let large = "x".repeat(70_000);
    let answer = site.ask(Method::POST, "/privacy/consent", &[form, same], &large).await;
    assert_eq!(answer.status.as_u16(), 413);
}

/// An API gets its JSON, with the same meaning as a form.
#[tokio::test]
async fn a_decision_by_json() {
    let site = Site::new().await;
    let state = site.get("/privacy/consent", &[]).await.json();
    assert_eq!(
        (&state["decided"], &state["regime"], &state["gpc"]),
        (&false.into(), &"opt-in".into(), &false.into())
    );
    assert_eq!(state["categories"]["analytics"], "unknown");
    let sent = serde_json::json!({ "action": "save", "category": ["analytics"], "notice": state["notice"] });
    let headers = [("content-type", "application/json"), ("sec-fetch-site", "same-origin")];
    let answer = site.ask(Method::POST, "/privacy/consent", &headers, &sent.to_string()).await;
    assert_eq!(answer.status, StatusCode::OK);
    let state = answer.json();
    assert_eq!((&state["decided"], &state["categories"]["analytics"]), (&true.into(), &"granted".into()));
    assert_eq!(state["categories"]["contacts"], "refused");
    let cookie = answer.header("set-cookie").split(';').next().unwrap();
    assert_eq!(
        site.get("/privacy/consent", &[("cookie", cookie)]).await.json()["categories"],
        state["categories"]
    );
}

fn gzipped(content: &str) -> usize {
    let mut gzip =
        Command::new("gzip").arg("-9c").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    gzip.stdin.take().unwrap().write_all(content.as_bytes()).unwrap();
    gzip.wait_with_output().unwrap().stdout.len()
}

/// Script and style: immutable under their hash, at most 4 KB, and they start no request of their own.
#[tokio::test]
async fn assets_are_small_and_immutable() {
    let site = Site::new().await;
    let page = site.get("/privacy", &[PEOPLE]).await.body;
    for (name, content_type) in [("privet.js", "text/javascript"), ("privet.css", "text/css")] {
        let from = page.find(&format!("/privacy/{name}?v=")).unwrap();
        let path: String = page[from..].chars().take_while(|c| *c != '"').collect();
        let hashed = site.get(&path, &[]).await;
        assert_eq!(hashed.header("cache-control"), "public, max-age=31536000, immutable", "{path}");
        assert!(hashed.header("content-type").starts_with(content_type));
        let plain = site.get(&format!("/privacy/{name}"), &[]).await;
        assert_eq!((plain.header("cache-control"), &plain.body), ("public, no-cache", &hashed.body));
        let etag = plain.header("etag").to_owned();
        let again = site.get(&format!("/privacy/{name}"), &[("if-none-match", &etag)]).await;
        assert_eq!((again.status, again.body.as_str()), (StatusCode::NOT_MODIFIED, ""));
        assert!(gzipped(&hashed.body) <= 4 * 1024, "{name}: {} bytes", gzipped(&hashed.body));
        assert!(!hashed.body.contains("http://") && !hashed.body.contains("https://"));
    }
}

#[tokio::test]
async fn head_and_unknown_methods() {
    let site = Site::new().await;
    let head = site.ask(Method::HEAD, "/privacy", &[PEOPLE], "").await;
    assert_eq!((head.status, head.body.as_str()), (StatusCode::OK, ""));
    let answer = site.ask(Method::DELETE, "/privacy/consent", &[], "").await;
    assert_eq!((answer.status.as_u16(), answer.header("allow")), (405, "GET, HEAD, POST"));
    assert_eq!(site.get("/privacy/withdraw", &[]).await.header("allow"), "POST");
}

/// REC-01: the visitor's copy: who asked, what for, what was shown, when, where each category stands; nothing of it for
/// anybody else, and nothing for a visitor who holds nothing.
#[tokio::test]
async fn rec_01_the_receipt_says_what_is_recorded() {
    let site = Site::new().await;
    assert_eq!(site.get("/privacy/receipt", &[]).await.status, StatusCode::NOT_FOUND);
    let refused = site.decided("reject_all").await;
    assert_eq!(site.get("/privacy/receipt", &[("cookie", &refused)]).await.status, StatusCode::NOT_FOUND);

    let granted = site.decided("accept_all").await;
    let answer = site.get("/privacy/receipt", &[("cookie", &granted)]).await;
    assert_eq!((answer.status, answer.header("content-type")), (StatusCode::OK, "application/ld+json"));
    assert_eq!(answer.header("cache-control"), "private, no-store");
    let receipt = answer.json();
    let [record] = &receipt["dpv:hasRecordOfActivity"].as_array().unwrap()[..] else { panic!("{receipt}") };
    // The fields that ISO/IEC TS 27560 demands, by the names that the DPV gives them.
    for field in [
        "dct:conformsTo",
        "dct:identifier",
        "dpv:hasDataSubject",
        "dpv:hasNotice",
        "dpv:hasDataController",
        "dpv:hasJurisdiction",
        "dpv:hasConsentControl",
        "dpv:hasProcess",
    ] {
        assert!(!record[field].is_null(), "{field}: {record}");
    }
    assert_eq!(record["dpv:hasDataController"]["dpv:hasContact"], "privacy@hedge.example");
    let processes = record["dpv:hasProcess"].as_array().unwrap();
    let ids: Vec<_> = processes.iter().map(|p| p["dct:identifier"].as_str().unwrap()).collect();
    assert_eq!(ids, ["functional", "analytics", "contacts"]);
    for process in processes {
        for field in [
            "dpv:hasPurpose",
            "dpv:hasPersonalData",
            "dpv:hasStorageCondition",
            "dpv:hasRecipient",
            "dpv:hasLegalBasis",
            "dpv:hasConsentStatus",
        ] {
            assert!(!process[field].is_null(), "{field}: {process}");
        }
        assert_eq!(process["dpv:hasConsentStatus"]["@id"], "dpv:ConsentGiven");
    }
    // The notice that it names is there, byte by byte, and says what was agreed to.
    assert!(processes[1]["dpv:hasPurpose"][0]["dct:description"].as_str().unwrap().contains("Counting"));
    let address = ["203.0.113.7", "user-agent", "4711"];
    assert!(address.iter().all(|a| !answer.body.contains(a)), "{}", answer.body);

    let settings = site.get("/privacy", &[PEOPLE, ("cookie", &granted)]).await;
    assert!(settings.body.contains("href=\"/privacy/receipt\""));
    let settings = site.get("/privacy", &[PEOPLE, ("cookie", &refused)]).await;
    assert!(!settings.body.contains("/privacy/receipt"));
}
