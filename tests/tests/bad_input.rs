//! Bad input, each kind by its name: a clear error, and nothing lost.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that meets something else has failed"
)]

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use privet::ip::{CountryLookup as _, MaxmindCountries};
use privet_tests::client::{Sending, Visitor};
use privet_tests::mmdb::{Schema, country_file};
use privet_tests::server::{Framework, Starting, contacts, folder};
use rstest::rstest;

const PROGRAM: &str = env!("CARGO_BIN_EXE_chat-under-test");

const NETWORKS: &[(&str, &str)] =
    &[("8.8.8.0/24", "US"), ("81.2.69.0/24", "GB"), ("2a02:d00::/32", "DE"), ("1.1.1.0/24", "EU")];

fn write(path: &Path, bytes: impl AsRef<[u8]>) -> PathBuf {
    std::fs::write(path, bytes).unwrap();
    path.to_owned()
}

fn code(countries: &MaxmindCountries, ip: &str) -> Option<String> {
    countries.lookup(ip.parse::<IpAddr>().unwrap()).map(|c| c.to_string())
}

/// GEO-01: every schema gives the country and nothing finer; a code for no country is none.
#[test]
fn geo_01_country_files_of_every_schema() {
    let dir = folder();
    for schema in [Schema::City, Schema::Flat, Schema::Plain] {
        let path = write(&dir.path().join("x.mmdb"), country_file(schema, NETWORKS, 1_700_000_000));
        let countries = MaxmindCountries::open(&path).unwrap();
        assert_eq!(code(&countries, "8.8.8.8").as_deref(), Some("US"), "{schema:?}");
        assert_eq!(code(&countries, "81.2.69.160").as_deref(), Some("GB"), "{schema:?}");
        assert_eq!(code(&countries, "2a02:d00::1").as_deref(), Some("DE"), "{schema:?}");
        assert_eq!(code(&countries, "1.1.1.1"), None, "{schema:?}: `EU` is no country");
        assert_eq!(code(&countries, "9.9.9.9"), None, "{schema:?}");
        assert_eq!(countries.built().as_millis(), 1_700_000_000_000);
    }
    let path = write(&dir.path().join("x.mmdb"), country_file(Schema::Network, NETWORKS, 1));
    let error = MaxmindCountries::open(&path).unwrap_err().to_string();
    assert!(error.contains("no country codes") && error.contains("x.mmdb"), "{error}");
}

/// A file cut off or overwritten anywhere is refused, or serves without panic; the old one stays.
#[test]
fn a_country_file_damaged_anywhere_is_refused_and_the_old_one_serves_on() {
    let dir = folder();
    let good = country_file(Schema::City, NETWORKS, 1_700_000_000);
    let path = write(&dir.path().join("x.mmdb"), &good);
    let countries = MaxmindCountries::open(&path).unwrap();
    let mut refused = 0;
    for at in (0..good.len()).step_by(97) {
        let mut overwritten = good.clone();
        overwritten[at..(at + 40).min(good.len())].fill(0xff);
        for bad in [&good[..at], &overwritten] {
            write(&path, bad);
            if countries.reload().is_err() {
                refused += 1;
                assert_eq!(code(&countries, "8.8.8.8").as_deref(), Some("US"), "the old one serves on");
            } else {
                write(&path, &good);
                countries.reload().unwrap();
            }
        }
    }
    assert!(refused > 20, "{refused}");
    // The second half overwritten, as an interrupted `cp` leaves it: it opens, and every look-up would fail.
    let newer = country_file(Schema::City, &[("8.8.8.0/24", "CA")], 1_800_000_000);
    write(&path, &newer);
    assert!(countries.reload().unwrap(), "newer data");
    assert_eq!(code(&countries, "8.8.8.8").as_deref(), Some("CA"));
}

/// The files that others found to break readers: set `PRIVET_VECTORS` to the folder with `mmdb_files`.
#[test]
fn odd_files_of_others_do_not_panic() {
    let Ok(vectors) = std::env::var("PRIVET_VECTORS") else {
        println!("not run: `PRIVET_VECTORS` names no folder");
        return;
    };
    let mut seen = 0;
    for (path, _) in privet_tests::server::files(&Path::new(&vectors).join("mmdb_files")) {
        if path.extension().is_some_and(|e| e == "mmdb") {
            let from = Instant::now();
            if let Ok(countries) = MaxmindCountries::open(&path) {
                let _ = (code(&countries, "8.8.8.8"), code(&countries, "2001:218::1"));
            }
            assert!(from.elapsed() < Duration::from_secs(5), "{}", path.display());
            seen += 1;
        }
    }
    assert!(seen >= 30, "{seen} files");
}

/// A corrupt country file at the start ends the start; at a reload it is said, and the old one serves on.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_corrupt_country_file_at_start_and_at_reload(
    #[values(Framework::Axum, Framework::ActixWeb)] framework: Framework,
) {
    let data = folder();
    let file = write(&data.path().join("country.mmdb"), "not a country file");
    let start = |file: &Path| {
        Starting::new(PROGRAM, &data.path().join("data"))
            .on(framework)
            .env("PRIVET_COUNTRY_DB", file)
            .env("PRIVET_TRUSTED_PROXIES", "127.0.0.1")
    };
    let ended = start(&file).start().await.unwrap_err();
    assert!(!ended.status.success());
    assert!(
        ended.said().contains("country.mmdb") && ended.said().contains("download it again"),
        "{}",
        ended.said()
    );
    let missing = start(&data.path().join("none.mmdb")).start().await.unwrap_err();
    assert!(
        missing.said().contains("none.mmdb") && missing.said().contains("check that it exists"),
        "{}",
        missing.said()
    );

    write(&file, country_file(Schema::Flat, NETWORKS, 1));
    let server = start(&file).running().await;
    let country = async || {
        let mut visitor = Visitor::new(server.addr).behind_proxy([127, 0, 0, 1], "8.8.8.8");
        visitor.decide("accept_all", &[]).await;
        visitor.say("hello", "ai-search").await;
        contacts(server.addr).await[0]["country"].clone()
    };
    assert_eq!(country().await, "US");
    write(&file, "half a fi");
    server.signal("HUP").await;
    assert_eq!(country().await, "US");
    write(&file, country_file(Schema::City, &[("8.8.8.0/24", "CA")], 2));
    server.signal("HUP").await;
    let from = Instant::now();
    while country().await != "CA" {
        assert!(from.elapsed() < Duration::from_secs(20), "the new file is not served");
    }
    let ended = server.stop().await;
    assert!(ended.said().contains("the one before serves on"), "{}", ended.said());
    assert!(ended.said().contains("was reloaded"), "{}", ended.said());
}

/// Settings that cannot be are said by name.
#[tokio::test(flavor = "multi_thread")]
async fn settings_that_cannot_be_are_said_by_name() {
    let data = folder();
    for (name, value, says) in [
        ("PRIVET_ADDR", "localhost", "127.0.0.1:3000"),
        ("PRIVET_ADDR", "203.0.113.7:1", "cannot be listened on"),
        ("PRIVET_TRUSTED_PROXIES", "10.0.0.0/33", "10.0.0.0/33"),
        ("PRIVET_SUPPORT_URL", "support.example", "PRIVET_SUPPORT_URL"),
    ] {
        let ended = Starting::new(PROGRAM, data.path()).env(name, value).start().await.unwrap_err();
        assert!(!ended.status.success());
        assert!(ended.said().contains(says), "{name}: {}", ended.said());
    }
    let broken = write(&data.path().join("broken.toml"), "[controller]\nname = \"x\"\ncontact = \n");
    let ended =
        Starting::new(PROGRAM, data.path()).env("PRIVET_TEST_CATALOGUE", &broken).start().await.unwrap_err();
    assert!(ended.said().contains("line 3, column"), "{}", ended.said());
    let unknown = write(
        &data.path().join("unknown.toml"),
        "[controller]\nname = \"x\"\ncontact = \"c\"\nfax = \"1\"\n",
    );
    let ended =
        Starting::new(PROGRAM, data.path()).env("PRIVET_TEST_CATALOGUE", &unknown).start().await.unwrap_err();
    assert!(ended.said().contains("line 4, column 1") && ended.said().contains("fax"), "{}", ended.said());
}

/// Requests that no browser sends: an answer, never a panic, and nothing of the inside.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn requests_that_no_browser_sends(
    #[values(Framework::Axum, Framework::ActixWeb)] framework: Framework,
) {
    let data = folder();
    let server = Starting::new(PROGRAM, data.path()).on(framework).running().await;
    let addr = server.addr;
    let mut anna = Visitor::new(addr);
    anna.decide("accept_all", &[]).await;
    anna.say("hello", "ai-search").await;
    let good = anna.cookies.clone();

    // 100 KB of Cookie header.
    let big = Sending::get("/").header("cookie", format!("a={}", "x".repeat(100_000))).to(addr).await;
    assert_eq!(big.status, 431);
    assert!(big.text().contains("delete them"), "{}", big.text());
    let lines =
        (0..200).fold(Sending::get("/"), |s, n| s.header("cookie", format!("c{n}={}", "x".repeat(500))));
    assert_eq!(lines.to(addr).await.status, 431);

    // Bytes that are no text, in every header that is read.
    for name in
        ["cookie", "accept", "accept-language", "sec-gpc", "origin", "host", "x-forwarded-for", "user-agent"]
    {
        let odd = Sending::get("/").header(name, b"\xff\xfe\x80=\xf0").to(addr).await;
        assert!([200, 400].contains(&odd.status), "{name}: {}", odd.status);
        assert!(odd.cookies().is_empty(), "{name}");
    }

    // A consent cookie that is foreign, tampered, repeated or cut: absent, and the page is served.
    let value = &good["__Host-privet"];
    for cookie in [
        format!("__Host-privet={}", value.replace(&value[5..6], if &value[5..6] == "A" { "B" } else { "A" })),
        format!("__Host-privet={value}; __Host-privet={value}"),
        format!("__Host-privet={}", &value[..20]),
        "__Host-privet=EAFRKwSMHocIrlcQEJ2lOG824dv-rXkJejQhcdNqCVU".to_owned(),
        format!("__Host-privet=\"{value}\""),
    ] {
        let page = Sending::get("/").header("cookie", &cookie).to(addr).await;
        assert_eq!(page.status, 200);
        assert!(page.text().contains("privet-notice"), "asked again: {cookie}");
        let state = Sending::get("/privacy/consent").header("cookie", &cookie).to(addr).await.json();
        assert_eq!(state["decided"], false);
    }

    // Decisions that cannot be read, from elsewhere, too long, of another kind.
    let token = anna.token().await;
    let form = |body: &str| Sending::form("/privacy/consent", body.to_owned());
    let from = |site: &str| {
        Sending::new("POST", "/privacy/consent")
            .header("sec-fetch-site", site)
            .body("application/x-www-form-urlencoded", format!("action=accept_all&notice={token}"))
    };
    for (what, request, status) in [
        ("no action", form(&format!("notice={token}")), 400),
        ("an unknown action", form(&format!("action=x&notice={token}")), 400),
        ("an unknown category", form(&format!("action=save&category=letters&notice={token}")), 400),
        ("no token", form("action=accept_all"), 409),
        ("a token of nobody", form("action=accept_all&notice=AQEBx"), 409),
        ("bytes that are no text", Sending::form("/privacy/consent", b"action=\xff\xfe".to_vec()), 400),
        ("too long", form(&format!("action=save&x={}", "y".repeat(20_000))), 413),
        (
            "another kind",
            Sending::new("POST", "/privacy/consent")
                .header("sec-fetch-site", "same-origin")
                .body("text/xml", "<x/>"),
            415,
        ),
        (
            "broken JSON",
            Sending::new("POST", "/privacy/consent")
                .header("sec-fetch-site", "same-origin")
                .body("application/json", "{\"action\":"),
            400,
        ),
        (
            "JSON with more",
            Sending::json(
                "/privacy/consent",
                &serde_json::json!({"action":"accept_all","notice":token,"admin":true}),
            ),
            400,
        ),
        ("another site", from("cross-site"), 403),
        ("another site of the domain", from("same-site"), 403),
        (
            "who knows where",
            Sending::new("POST", "/privacy/consent")
                .body("application/x-www-form-urlencoded", format!("action=accept_all&notice={token}")),
            403,
        ),
        (
            "another origin",
            Sending::new("POST", "/privacy/consent")
                .header("origin", "http://evil.example")
                .body("application/x-www-form-urlencoded", "action=reject_all"),
            403,
        ),
        ("a frame", from("same-origin").header("sec-fetch-dest", "iframe"), 403),
        (
            "a withdrawal from elsewhere",
            Sending::new("POST", "/privacy/withdraw").header("sec-fetch-site", "cross-site"),
            403,
        ),
        (
            "an activation from elsewhere",
            Sending::new("POST", "/privacy/activate").header("sec-fetch-site", "cross-site"),
            403,
        ),
        ("an unknown service", Sending::form("/privacy/activate", "service=x"), 400),
        ("another method", Sending::new("DELETE", "/privacy/consent"), 405),
        (
            "a GET that would act",
            Sending::get(&format!("/privacy/withdraw?action=accept_all&notice={token}")),
            405,
        ),
        ("nowhere", Sending::get("/privacy/nowhere"), 404),
    ] {
        let response = request.to(addr).await;
        assert_eq!(response.status, status, "{what}: {}", response.text());
        assert!(response.cookies().is_empty(), "{what}");
        let text = response.text();
        for inside in ["sqlite", "privet.db", "panicked", "src/", "Error"] {
            assert!(!text.contains(inside), "{what}: {text}");
        }
    }
    // Redirects stay here.
    for (to, lands) in [
        ("//evil.example", "/"),
        ("https://evil.example", "/"),
        ("/\\evil.example", "/"),
        ("%0d%0aset-cookie:x=1", "/"),
        ("/articles/roses", "/articles/roses"),
    ] {
        let token = anna.token().await;
        let response = form(&format!("action=reject_all&notice={token}&return_to={to}")).to(addr).await;
        assert_eq!((response.status, response.header("location")), (303, Some(lands)), "{to}");
    }
    // Messages that are none.
    for (body, status) in [
        (serde_json::json!({"text":"","channel":"ai-search"}), 400),
        (serde_json::json!({"text":"x".repeat(20_000),"channel":"ai-search"}), 400),
        (serde_json::json!({"text":"x","channel":"fax"}), 400),
        (serde_json::json!({"channel":"ai-search"}), 400),
        (
            serde_json::json!({"text":"\u{0}\u{202e}<script>alert(1)</script>","channel":"ai-search","page":"javascript:alert(1)"}),
            200,
        ),
    ] {
        assert_eq!(anna.send(Sending::json("/chat/messages", &body)).await.status, status, "{body}");
    }
    let page = anna.get("/").await.text();
    assert!(!page.contains("<script>alert"), "what a visitor writes is no markup");
    // A contact list for nobody, and cursors of nobody.
    for (request, status) in [
        (Sending::get("/contacts"), 401),
        (Sending::get("/contacts").header("authorization", "Bearer x"), 401),
        (Sending::get("/contacts").header("authorization", b"Bearer \xff"), 401),
        (
            Sending::get("/contacts?after=x")
                .header("authorization", format!("Bearer {}", privet_tests::server::OPERATOR)),
            400,
        ),
        (
            Sending::new("DELETE", "/contacts/x")
                .header("authorization", format!("Bearer {}", privet_tests::server::OPERATOR)),
            404,
        ),
    ] {
        assert_eq!(request.to(addr).await.status, status);
    }
    // Nothing was lost by all of it.
    assert_eq!(contacts(addr).await.len(), 1);
    assert_eq!(anna.get("/chat/messages").await.json()["messages"][0]["text"], "hello");
    assert!(server.stop().await.status.success());
}

/// P10: what the log says of bad input names no cookie value and no token.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn the_log_of_bad_input_tells_nothing_of_visitors(
    #[values(Framework::Axum, Framework::ActixWeb)] framework: Framework,
) {
    let data = folder();
    let server = Starting::new(PROGRAM, data.path()).on(framework).running().await;
    let mut anna = Visitor::new(server.addr);
    anna.decide("accept_all", &[]).await;
    anna.say("a very personal message", "live-support").await;
    let token = anna.token().await;
    let cross = Sending::new("POST", "/privacy/consent")
        .body("application/x-www-form-urlencoded", format!("action=accept_all&notice={token}"));
    assert_eq!(anna.send(cross).await.status, 403);
    let values: Vec<_> = anna.cookies.values().cloned().collect();
    let ended = server.stop().await;
    let said = ended.said() + &String::from_utf8_lossy(&ended.out);
    assert!(said.contains("public_origin"), "the developer is told: {said}");
    assert!(!said.contains(&token) && !said.contains("personal message"), "{said}");
    assert!(values.iter().all(|v| !said.contains(v.as_str())), "{said}");
}
