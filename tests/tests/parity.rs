//! One table of scenarios through axum and actix-web: the same status, headers and bytes.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that meets something else has failed")]

use std::collections::BTreeMap;
use std::net::SocketAddr;

use actix_web::test::{TestRequest, init_service};
use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Request;
use http_body_util::BodyExt as _;
use privet::{Catalogue, Privet};
use tower::ServiceExt as _;

const PEER: ([u8; 4], u16) = ([203, 0, 113, 7], 4711);

/// A request of a scenario. `{notice}` in its body is a token of the form that the browser would have.
#[derive(Clone, Copy)]
struct Step {
    method: &'static str,
    path: &'static str,
    headers: &'static [(&'static str, &'static str)],
    body: &'static str,
}

const fn get(path: &'static str) -> Step {
    Step { method: "GET", path, headers: &[], body: "" }
}

impl Step {
    const fn with(mut self, headers: &'static [(&'static str, &'static str)]) -> Self {
        self.headers = headers;
        self
    }

    const fn by(mut self, method: &'static str) -> Self {
        self.method = method;
        self
    }
}

const fn post(
    path: &'static str,
    headers: &'static [(&'static str, &'static str)],
    body: &'static str,
) -> Step {
    Step { method: "POST", path, headers, body }
}

const SAME: (&str, &str) = ("sec-fetch-site", "same-origin");
const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
const JSON: (&str, &str) = ("content-type", "application/json");
const PEOPLE: (&str, &str) = ("accept", "text/html,*/*;q=0.8");

const ACCEPT: Step = post("/privacy/consent", &[SAME, FORM, PEOPLE], "action=accept_all&notice={notice}");
const REJECT: Step = post("/privacy/consent", &[SAME, FORM, PEOPLE], "action=reject_all&notice={notice}");

/// Every route of privet with good and bad input.
const SCENARIOS: &[(&str, &[Step])] = &[
    ("settings", &[get("/privacy").with(&[PEOPLE])]),
    ("settings in German", &[get("/privacy").with(&[PEOPLE, ("accept-language", "de")])]),
    ("settings after accepting", &[ACCEPT, get("/privacy")]),
    ("settings after refusing", &[REJECT, get("/privacy")]),
    ("settings with where to go back", &[get("/privacy?return_to=/articles/roses")]),
    ("settings with where not to go back", &[get("/privacy?return_to=//evil.example/")]),
    ("settings with an empty query", &[get("/privacy?")]),
    ("settings by POST", &[post("/privacy", &[SAME, FORM], "")]),
    ("settings by DELETE", &[get("/privacy").by("DELETE")]),
    ("banner", &[get("/privacy/banner")]),
    ("banner in French, which is not there", &[get("/privacy/banner").with(&[("accept-language", "fr")])]),
    ("banner after accepting", &[ACCEPT, get("/privacy/banner")]),
    ("banner after refusing", &[REJECT, get("/privacy/banner")]),
    ("state", &[get("/privacy/consent")]),
    ("state with GPC", &[get("/privacy/consent").with(&[("sec-gpc", "1")])]),
    ("state with something that is not GPC", &[get("/privacy/consent").with(&[("sec-gpc", "true")])]),
    ("state after accepting", &[ACCEPT, get("/privacy/consent")]),
    ("state after refusing", &[REJECT, get("/privacy/consent")]),
    (
        "accept, with where to go back",
        &[post(
            "/privacy/consent",
            &[SAME, FORM, PEOPLE],
            "action=accept_all&return_to=/articles/roses&notice={notice}",
        )],
    ),
    (
        "accept, with where not to go back",
        &[post(
            "/privacy/consent",
            &[SAME, FORM, PEOPLE],
            "action=accept_all&return_to=https://evil.example&notice={notice}",
        )],
    ),
    (
        "save one",
        &[
            post("/privacy/consent", &[SAME, FORM, PEOPLE], "action=save&category=analytics&notice={notice}"),
            get("/privacy/consent"),
        ],
    ),
    (
        "save none is a refusal",
        &[
            post("/privacy/consent", &[SAME, FORM, PEOPLE], "action=save&notice={notice}"),
            get("/privacy/consent"),
        ],
    ),
    (
        "save one by JSON",
        &[post(
            "/privacy/consent",
            &[SAME, JSON],
            r#"{"action":"save","category":["analytics"],"notice":"{notice}"}"#,
        )],
    ),
    (
        "save one that is not there",
        &[post("/privacy/consent", &[SAME, FORM, PEOPLE], "action=save&category=nothing&notice={notice}")],
    ),
    ("accept, reject, accept", &[ACCEPT, REJECT, ACCEPT, get("/privacy")]),
    ("a forged notice", &[post("/privacy/consent", &[SAME, FORM, PEOPLE], "action=accept_all&notice=AAAA")]),
    (
        "a forged notice by JSON",
        &[post("/privacy/consent", &[SAME, JSON], r#"{"action":"accept_all","notice":"AAAA"}"#)],
    ),
    ("no notice", &[post("/privacy/consent", &[SAME, FORM, PEOPLE], "action=accept_all")]),
    ("no action", &[post("/privacy/consent", &[SAME, FORM, PEOPLE], "notice={notice}")]),
    ("another action", &[post("/privacy/consent", &[SAME, FORM], "action=agree&notice={notice}")]),
    ("no body", &[post("/privacy/consent", &[SAME, FORM], "")]),
    ("broken JSON", &[post("/privacy/consent", &[SAME, JSON], "{")]),
    (
        "JSON with more than there is",
        &[post("/privacy/consent", &[SAME, JSON], r#"{"action":"reject_all","notice":"{notice}","more":1}"#)],
    ),
    (
        "a body of another type",
        &[post("/privacy/consent", &[SAME, ("content-type", "text/plain")], "action=accept_all")],
    ),
    ("a body without type", &[post("/privacy/consent", &[SAME], "action=reject_all&notice={notice}")]),
    (
        "from another site",
        &[post(
            "/privacy/consent",
            &[("sec-fetch-site", "cross-site"), FORM],
            "action=accept_all&notice={notice}",
        )],
    ),
    (
        "from a sibling",
        &[post(
            "/privacy/consent",
            &[("sec-fetch-site", "same-site"), FORM, PEOPLE],
            "action=accept_all&notice={notice}",
        )],
    ),
    ("from nobody knows where", &[post("/privacy/consent", &[FORM], "action=accept_all&notice={notice}")]),
    (
        "from its own origin, by Origin",
        &[post(
            "/privacy/consent",
            &[("origin", "https://shop.example"), FORM],
            "action=reject_all&notice={notice}",
        )],
    ),
    (
        "from another origin, by Origin",
        &[post(
            "/privacy/consent",
            &[("origin", "https://evil.example"), FORM],
            "action=reject_all&notice={notice}",
        )],
    ),
    ("consent by PUT", &[get("/privacy/consent").by("PUT")]),
    ("withdraw nothing", &[post("/privacy/withdraw", &[SAME, FORM, PEOPLE], "")]),
    (
        "withdraw all",
        &[ACCEPT, post("/privacy/withdraw", &[SAME, FORM, PEOPLE], ""), get("/privacy/consent")],
    ),
    (
        "withdraw one",
        &[
            ACCEPT,
            post("/privacy/withdraw", &[SAME, FORM, PEOPLE], "category=analytics"),
            get("/privacy/consent"),
        ],
    ),
    (
        "withdraw one by JSON",
        &[ACCEPT, post("/privacy/withdraw", &[SAME, JSON], r#"{"category":["analytics"]}"#)],
    ),
    (
        "withdraw one that is not there",
        &[ACCEPT, post("/privacy/withdraw", &[SAME, FORM], "category=nothing")],
    ),
    (
        "withdraw from another site",
        &[ACCEPT, post("/privacy/withdraw", &[("sec-fetch-site", "cross-site"), FORM], "")],
    ),
    ("withdraw by GET", &[get("/privacy/withdraw")]),
    ("activate", &[post("/privacy/activate", &[SAME, FORM, PEOPLE], "service=webwidget"), get("/privacy")]),
    ("activate by JSON", &[post("/privacy/activate", &[SAME, JSON], r#"{"service":"webwidget"}"#)]),
    ("activate what is not there", &[post("/privacy/activate", &[SAME, JSON], r#"{"service":"nothing"}"#)]),
    (
        "activate from another site",
        &[post("/privacy/activate", &[("sec-fetch-site", "cross-site"), FORM], "service=webwidget")],
    ),
    ("activate by GET", &[get("/privacy/activate")]),
    ("statement", &[get("/privacy/cookies").with(&[PEOPLE])]),
    ("statement in German", &[get("/privacy/cookies").with(&[PEOPLE, ("accept-language", "de-AT")])]),
    ("statement as Markdown, by Accept", &[get("/privacy/cookies").with(&[("accept", "text/markdown")])]),
    ("statement as JSON, by Accept", &[get("/privacy/cookies").with(&[("accept", "application/json")])]),
    ("statement as Markdown", &[get("/privacy/cookies.md")]),
    ("statement as JSON", &[get("/privacy/cookies.json")]),
    ("statement by POST", &[post("/privacy/cookies", &[SAME, FORM], "")]),
    ("script", &[get("/privacy/privet.js")]),
    ("script under another hash", &[get("/privacy/privet.js?v=0")]),
    ("style", &[get("/privacy/privet.css")]),
    ("style by POST", &[post("/privacy/privet.css", &[SAME], "")]),
    ("an own cookie that is forged", &[get("/privacy/consent").with(&[("cookie", "__Host-privet=forged")])]),
    (
        "an own cookie that is there twice",
        &[get("/privacy/consent").with(&[("cookie", "__Host-privet=a; __Host-privet=b")])],
    ),
    ("cookies that are undeclared", &[get("/privacy/consent").with(&[("cookie", "theme=dark; sid=1")])]),
    ("cookies that are refused", &[REJECT, get("/privacy/consent").with(&[("cookie", "reader=roses")])]),
    ("cookies by proxy headers", &[get("/privacy").with(&[("x-forwarded-for", "8.8.8.8"), PEOPLE])]),
    ("a body that is too large", &[post("/privacy/consent", &[SAME, FORM, ("x-large", "1")], LARGE)]),
    (
        "a notice that is no text",
        &[post("/privacy/consent", &[SAME, FORM], "action=accept_all&notice=%ff%fe")],
    ),
    (
        "a category twice",
        &[
            post(
                "/privacy/consent",
                &[SAME, FORM, PEOPLE],
                "action=save&category=analytics&category=analytics&notice={notice}",
            ),
            get("/privacy/consent"),
        ],
    ),
    (
        "two actions",
        &[
            post(
                "/privacy/consent",
                &[SAME, FORM, PEOPLE],
                "action=accept_all&action=reject_all&notice={notice}",
            ),
            get("/privacy/consent"),
        ],
    ),
    (
        "charset beside the type",
        &[post(
            "/privacy/consent",
            &[SAME, ("content-type", "application/x-www-form-urlencoded; charset=utf-8"), PEOPLE],
            "action=reject_all&notice={notice}",
        )],
    ),
    (
        "the type in capitals",
        &[post(
            "/privacy/consent",
            &[SAME, ("content-type", "APPLICATION/JSON")],
            r#"{"action":"reject_all","notice":"{notice}"}"#,
        )],
    ),
    (
        "JSON for people",
        &[post("/privacy/consent", &[SAME, JSON, PEOPLE], r#"{"action":"reject_all","notice":"{notice}"}"#)],
    ),
    (
        "a gesture",
        &[post(
            "/privacy/consent",
            &[SAME, FORM, PEOPLE, ("sec-fetch-user", "?1")],
            "action=accept_all&notice={notice}",
        )],
    ),
    (
        "in a frame",
        &[post(
            "/privacy/consent",
            &[SAME, FORM, ("sec-fetch-dest", "iframe")],
            "action=accept_all&notice={notice}",
        )],
    ),
    (
        "Origin null",
        &[post("/privacy/consent", &[("origin", "null"), FORM], "action=reject_all&notice={notice}")],
    ),
    (
        "accept under GPC",
        &[
            post(
                "/privacy/consent",
                &[SAME, FORM, PEOPLE, ("sec-gpc", "1")],
                "action=accept_all&notice={notice}",
            ),
            get("/privacy").with(&[("sec-gpc", "1")]),
        ],
    ),
    ("settings for a program", &[get("/privacy").with(&[("accept", "application/json")])]),
    (
        "settings with odd languages",
        &[get("/privacy").with(&[("accept-language", "de;q=0, *;q=nan, en-US")])],
    ),
    ("settings in a language by query", &[get("/privacy?lang=de")]),
    ("settings by PATCH", &[get("/privacy").by("PATCH")]),
    ("banner with where to go back", &[get("/privacy/banner?return_to=%2Farticles%2Froses%3Fq%3D1")]),
    ("banner with two places to go back", &[get("/privacy/banner?return_to=/a&return_to=/b")]),
    ("banner by POST", &[post("/privacy/banner", &[SAME, FORM], "")]),
    ("state by an old browser", &[get("/privacy/consent").with(&[("accept", "*/*")])]),
    ("withdraw with JSON that is none", &[ACCEPT, post("/privacy/withdraw", &[SAME, JSON], "[]")]),
    (
        "withdraw twice",
        &[
            ACCEPT,
            post("/privacy/withdraw", &[SAME, FORM, PEOPLE], ""),
            post("/privacy/withdraw", &[SAME, FORM, PEOPLE], ""),
            get("/privacy"),
        ],
    ),
    (
        "withdraw all but one, one by one",
        &[
            ACCEPT,
            post("/privacy/withdraw", &[SAME, JSON], r#"{"category":["analytics"]}"#),
            post("/privacy/withdraw", &[SAME, JSON], r#"{"category":["functional"]}"#),
            get("/privacy/consent"),
        ],
    ),
    (
        "withdraw where to go back",
        &[ACCEPT, post("/privacy/withdraw", &[SAME, FORM, PEOPLE], "return_to=/articles/roses")],
    ),
    ("withdraw by DELETE", &[get("/privacy/withdraw").by("DELETE")]),
    (
        "activate twice",
        &[
            post("/privacy/activate", &[SAME, JSON], r#"{"service":"webwidget"}"#),
            post("/privacy/activate", &[SAME, JSON], r#"{"service":"webwidget"}"#),
        ],
    ),
    ("activate nothing", &[post("/privacy/activate", &[SAME, FORM], "")]),
    ("activate from nobody knows where", &[post("/privacy/activate", &[JSON], r#"{"service":"webwidget"}"#)]),
    ("statement as an image, which it is not", &[get("/privacy/cookies").with(&[("accept", "image/png")])]),
    (
        "statement, JSON liked better",
        &[get("/privacy/cookies").with(&[("accept", "text/html;q=0.5, application/json")])],
    ),
    (
        "statement with an odd Accept",
        &[get("/privacy/cookies").with(&[("accept", "text/html;q=nan,;;,*/*;q=2")])],
    ),
    ("statement as Markdown in German", &[get("/privacy/cookies.md").with(&[("accept-language", "de")])]),
    ("statement as JSON in German", &[get("/privacy/cookies.json").with(&[("accept-language", "de")])]),
    ("statement after accepting is the same", &[ACCEPT, get("/privacy/cookies.json")]),
    ("Markdown by POST", &[post("/privacy/cookies.md", &[SAME], "")]),
    ("script with two hashes", &[get("/privacy/privet.js?v=0&v=1")]),
    ("script that is held already", &[get("/privacy/privet.js").with(&[("if-none-match", "\"0\"")])]),
    ("script by POST", &[post("/privacy/privet.js", &[SAME], "")]),
    (
        "three cookies of our own, all forged",
        &[get("/privacy")
            .with(&[("cookie", "__Host-privet=a; __Host-privet-active=b; __Host-privet-contact=c")])],
    ),
    ("a cookie without a name", &[get("/privacy/consent").with(&[("cookie", "=x; ;; y")])]),
    ("a cookie that is quoted", &[get("/privacy/consent").with(&[("cookie", "__Host-privet=\"a\"")])]),
    (
        "a contact that was refused",
        &[REJECT, get("/privacy/consent").with(&[("cookie", "__Host-privet-contact=AAAA")])],
    ),
    (
        "pattern cookies that wait",
        &[get("/privacy/consent").with(&[("cookie", "abc.appUserId=1; abc.clientId=2")])],
    ),
    (
        "pattern cookies that were started",
        &[
            post("/privacy/activate", &[SAME, JSON], r#"{"service":"webwidget"}"#),
            get("/privacy/consent").with(&[("cookie", "abc.appUserId=1")]),
        ],
    ),
    (
        "an address by another proxy header",
        &[get("/privacy").with(&[("forwarded", "for=8.8.8.8"), ("cf-connecting-ip", "8.8.8.8")])],
    ),
    (
        "refuse, then save one, then refuse",
        &[
            REJECT,
            post("/privacy/consent", &[SAME, FORM, PEOPLE], "action=save&category=contacts&notice={notice}"),
            REJECT,
            get("/privacy"),
        ],
    ),
    (
        "accept in German",
        &[
            post(
                "/privacy/consent",
                &[SAME, FORM, PEOPLE, ("accept-language", "de")],
                "action=accept_all&notice={notice}",
            ),
            get("/privacy").with(&[("accept-language", "de")]),
        ],
    ),
    (
        "an error in German",
        &[post("/privacy/consent", &[SAME, FORM, PEOPLE, ("accept-language", "de")], "action=x")],
    ),
    (
        "a stale form in German",
        &[post(
            "/privacy/consent",
            &[SAME, FORM, PEOPLE, ("accept-language", "de")],
            "action=accept_all&notice=AAAA",
        )],
    ),
    (
        "refused from elsewhere, for a program",
        &[post("/privacy/consent", &[("sec-fetch-site", "cross-site"), JSON], "{}")],
    ),
    (
        "more than one Accept-Language wish",
        &[get("/privacy").with(&[("accept-language", "fi, sv;q=0.9, de;q=0.8, en;q=0.7")])],
    ),
    (
        "state in the middle of deciding",
        &[
            post(
                "/privacy/consent",
                &[SAME, FORM, PEOPLE],
                "action=save&category=functional&notice={notice}",
            ),
            get("/privacy/banner"),
            get("/privacy/consent"),
        ],
    ),
];

/// More than a form of privet may be.
const LARGE: &str = {
    static BYTES: [u8; 80_000] = [b'x'; 80_000];
    match std::str::from_utf8(&BYTES) {
        Ok(text) => text,
        Err(_) => "",
    }
};

#[derive(Debug, PartialEq, Eq)]
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

/// What is drawn at random is compared by its length.
fn comparable(name: &str, value: &str) -> String {
    match value.split_once('=') {
        Some((cookie, rest)) if name == "set-cookie" && cookie.starts_with("__Host-privet") => {
            let (value, attributes) = rest.split_once(';').unwrap_or((rest, ""));
            format!("{cookie}={};{attributes}", value.len())
        }
        _ => value.to_owned(),
    }
}

fn answer<'a>(status: u16, headers: impl Iterator<Item = (&'a str, &'a [u8])>, body: &[u8]) -> Answer {
    let headers = headers.map(|(n, v)| (n.to_owned(), String::from_utf8_lossy(v).into_owned()));
    // Each framework says the length where it writes the message.
    let mut headers: Vec<_> = headers.filter(|(n, _)| n != "content-length").collect();
    headers.sort();
    Answer { status, headers, body: String::from_utf8_lossy(body).into_owned() }
}

#[derive(Default)]
struct Jar(BTreeMap<String, String>);

impl Jar {
    fn line(&self, step: &Step) -> Option<String> {
        let sent = step.headers.iter().find(|(n, _)| *n == "cookie").map(|(_, v)| (*v).to_owned());
        let held: Vec<_> = self.0.iter().map(|(n, v)| format!("{n}={v}")).chain(sent).collect();
        (!held.is_empty()).then(|| held.join("; "))
    }

    fn take(&mut self, answer: &Answer) {
        for (_, line) in answer.headers.iter().filter(|(n, _)| n == "set-cookie") {
            let (name, rest) = line.split_once('=').unwrap();
            if rest.contains("Max-Age=0") {
                self.0.remove(name);
            } else {
                self.0.insert(name.to_owned(), rest.split(';').next().unwrap().to_owned());
            }
        }
    }
}

async fn by_axum(app: &privet_axum::Protected<Router>, step: &Step, jar: &Jar, body: String) -> Answer {
    let mut request = Request::builder().method(step.method).uri(step.path);
    for (name, value) in step.headers.iter().filter(|(n, _)| *n != "cookie") {
        request = request.header(*name, *value);
    }
    if let Some(line) = jar.line(step) {
        request = request.header("cookie", line);
    }
    let request = request.extension(ConnectInfo(SocketAddr::from(PEER))).body(Body::from(body)).unwrap();
    let (parts, body) = app.clone().oneshot(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    answer(parts.status.as_u16(), parts.headers.iter().map(|(n, v)| (n.as_str(), v.as_bytes())), &body)
}

fn for_actix(step: &Step, jar: &Jar, body: String) -> TestRequest {
    let mut request = TestRequest::with_uri(step.path)
        .method(step.method.parse().unwrap())
        .peer_addr(SocketAddr::from(PEER))
        .set_payload(body);
    for (name, value) in step.headers.iter().filter(|(n, _)| *n != "cookie") {
        request = request.insert_header((*name, *value));
    }
    match jar.line(step) {
        Some(line) => request.insert_header(("cookie", line)),
        None => request,
    }
}

#[actix_web::test]
async fn axum_and_actix_web_answer_alike() {
    let catalogue = Catalogue::from_toml(chat_shop::CATALOGUE).unwrap();
    let clock = privet::FakeClock::at(privet::Timestamp::from_millis(1_800_000_000_000));
    let privet =
        Privet::builder(catalogue).public_origin("https://shop.example").clock(clock).build().await.unwrap();
    let axum = privet_axum::protect(privet_axum::router(&privet), &privet);
    let actix = actix_web::App::new()
        .configure(privet_actix_web::configure(&privet))
        .wrap(privet_actix_web::PrivetMiddleware::new(privet.clone()));
    let actix = init_service(actix).await;
    let mut steps = 0;
    for (name, scenario) in SCENARIOS {
        let mut jars = [Jar::default(), Jar::default()];
        for (at, step) in scenario.iter().enumerate() {
            let state = by_axum(&axum, &get("/privacy/consent"), &jars[0], String::new()).await;
            let state: serde_json::Value = serde_json::from_str(&state.body).unwrap();
            let body = step.body.replace("{notice}", state["notice"].as_str().unwrap());
            let one = by_axum(&axum, step, &jars[0], body.clone()).await;
            let response =
                actix_web::test::call_service(&actix, for_actix(step, &jars[1], body).to_request()).await;
            let status = response.status().as_u16();
            let headers: Vec<_> = response
                .headers()
                .iter()
                .map(|(n, v)| (n.as_str().to_owned(), v.as_bytes().to_vec()))
                .collect();
            let body = actix_web::test::read_body(response).await;
            let two = answer(status, headers.iter().map(|(n, v)| (n.as_str(), v.as_slice())), &body);
            jars[0].take(&one);
            jars[1].take(&two);
            let alike = |a: Answer| Answer {
                headers: a.headers.iter().map(|(n, v)| (n.clone(), comparable(n, v))).collect(),
                ..a
            };
            assert_eq!(alike(one), alike(two), "{name}, step {}", at + 1);
            steps += 1;
        }
    }
    assert!(
        SCENARIOS.len() >= 120 && steps > SCENARIOS.len(),
        "{} scenarios, {steps} steps",
        SCENARIOS.len()
    );
}
