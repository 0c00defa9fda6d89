//! HAR files held against a catalogue: what is found, at which stage, and what is refused.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that meets something else has failed")]

use privet::audit::{Audit, AuditFinding, AuditReport, How, Seen, Stage};
use privet::catalogue::StorageKind;
use privet::consent::Regime;
use privet::{Catalogue, Error};
use serde_json::{Value, json};

const CATALOGUE: &str = r#"
    [controller]
    name = "Shop"
    contact = "privacy@shop.example"

    [[category]]
    id = "analytics"
    purpose = "Counting."

    [[category]]
    id = "marketing"
    purpose = "Advertising."
    sale_or_share = true

    [[service]]
    id = "counter"
    provider = "Shop"
    purpose = "Counts."
    legal_basis = "consent"

    [[service.entry]]
    name = "visits"
    purpose = "Counts."
    duration = "1 day"
    trigger = "server"
    gate = { consent = "analytics" }

    [[service.entry]]
    name = "pages-<day>"
    storage = "local-storage"
    purpose = "Counts pages."
    duration = "1 day"
    trigger = "load"
    gate = { consent = "analytics" }

    [[service.entry]]
    name = "stat"
    purpose = "Statistics."
    duration = "1 day"
    trigger = "server"
    gate = { unless_objected = "analytics", exceptions = ["uk-statistics"] }

    [[service]]
    id = "films"
    provider = "Films Ltd"
    purpose = "Shows films."
    legal_basis = "consent"
    gate = { consent = "marketing" }
    external_hosts = ["https://player.films.example", "*.cdn.films.example"]

    [[service]]
    id = "chat"
    provider = "Shop"
    purpose = "Answers."
    legal_basis = "contract"
    activated_by = ["open"]
    gate = { activation = "chat" }
    external_hosts = ["chat.example"]

    [[service.entry]]
    name = "chat_open"
    purpose = "Keeps it open."
    duration = "session"
    gesture = "open"
    gate = { activation = "chat" }

    [[service.entry]]
    name = "sid"
    purpose = "Session."
    duration = "session"
    trigger = "server"
    gate = { exempt = "auth", justification = "Sign-in." }
"#;

const SITE: &str = "https://shop.example";
const CHOICE: &str = "__Host-privet=c2VjcmV0; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=15552000";
const VISITS: &str = "visits=s3cret; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=86400";
const SID: &str = "sid=s3cret; Path=/; Secure; HttpOnly; SameSite=Lax";
const EXPIRED: &str = "visits=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0";

/// A HAR file in the making: each request comes a second after the last, and is answered within 100 ms.
#[derive(Default)]
struct Recording(Vec<Value>);

impl Recording {
    fn ask(
        mut self,
        method: &str,
        url: &str,
        cookie: &str,
        body: Option<&str>,
        status: u16,
        set: &[&str],
    ) -> Self {
        let mut request = json!({"method": method, "url": url, "headers": []});
        if !cookie.is_empty() {
            request["headers"] = json!([{"name": "Cookie", "value": cookie}]);
        }
        if let Some(body) = body {
            request["postData"] = json!({"mimeType": "application/x-www-form-urlencoded", "text": body});
        }
        let set: Vec<_> = set.iter().map(|s| json!({"name": "set-cookie", "value": s})).collect();
        let (minute, second) = (self.0.len() / 60, self.0.len() % 60);
        self.0.push(json!({
            "startedDateTime": format!("2026-11-27T10:{minute:02}:{second:02}.000+01:00"),
            "time": 100.0,
            "request": request,
            "response": {"status": status, "headers": set},
        }));
        self
    }

    fn get(self, path: &str, cookie: &str, set: &[&str]) -> Self {
        self.ask("GET", &format!("{SITE}{path}"), cookie, None, 200, set)
    }

    fn load(self, url: &str) -> Self {
        self.ask("GET", url, "", None, 200, &[])
    }

    fn decide(self, route: &str, body: &str, status: u16, set: &[&str]) -> Self {
        self.ask("POST", &format!("{SITE}/privacy/{route}"), "", Some(body), status, set)
    }

    fn choose(self, action: &str) -> Self {
        self.decide("consent", &format!("action={action}&notice=t0ken"), 303, &[CHOICE])
    }

    fn withdraw(self, set: &[&str]) -> Self {
        let set: Vec<_> = std::iter::once(CHOICE).chain(set.iter().copied()).collect();
        self.decide("withdraw", "return_to=%2F", 303, &set)
    }

    fn har(&self) -> Vec<u8> {
        let creator = json!({"name": "test", "version": "1"});
        serde_json::to_vec(&json!({"log": {"version": "1.2", "creator": creator, "entries": self.0}}))
            .unwrap()
    }

    fn report(&self) -> AuditReport {
        let mut audit = audit();
        audit.har(&self.har()).unwrap();
        audit.report()
    }
}

fn start() -> Recording {
    Recording::default()
}

fn audit() -> Audit {
    Audit::new(&Catalogue::from_toml(CATALOGUE).unwrap())
}

type Found = (Stage, String, How, AuditFinding);

fn found(report: &AuditReport) -> Vec<Found> {
    report.findings().map(|s| (s.stage, s.name.clone(), s.how, s.finding.unwrap())).collect()
}

fn one(stage: Stage, name: &str, how: How, finding: AuditFinding) -> Found {
    (stage, name.to_owned(), how, finding)
}

use Stage::{AfterGrant, AfterRefusal, AfterWithdrawal, BeforeChoice};

/// A whole visit that keeps to the catalogue has everything in its report and nothing found.
#[test]
fn gate_11_a_clean_visit_is_clean_and_told_whole() {
    let report = start()
        .get("/?q=s3cret", "", &[SID])
        .choose("accept_all")
        .get("/", "__Host-privet=c2VjcmV0; sid=s3cret", &[VISITS])
        .load("https://player.films.example/embed?who=s3cret")
        .load("https://eu.cdn.films.example/a.mp4")
        .withdraw(&[EXPIRED])
        .get("/bye;jsessionid=s3cret", "__Host-privet=c2VjcmV0; sid=s3cret", &[])
        .report();
    assert_eq!(found(&report), []);
    assert!(report.is_clean());
    let seen: Vec<_> = report.seen.iter().map(|s| (s.stage, s.what, s.name.as_str(), s.how)).collect();
    assert_eq!(
        seen,
        [
            (BeforeChoice, Seen::Cookie, "sid", How::Set),
            (AfterGrant, Seen::Cookie, "__Host-privet", How::Set),
            (AfterGrant, Seen::Cookie, "__Host-privet", How::Sent),
            (AfterGrant, Seen::Cookie, "sid", How::Sent),
            (AfterGrant, Seen::Cookie, "visits", How::Set),
            (AfterGrant, Seen::Host, "eu.cdn.films.example", How::Loaded),
            (AfterGrant, Seen::Host, "player.films.example", How::Loaded),
            (AfterWithdrawal, Seen::Cookie, "__Host-privet", How::Set),
            (AfterWithdrawal, Seen::Cookie, "__Host-privet", How::Sent),
            (AfterWithdrawal, Seen::Cookie, "sid", How::Sent),
        ]
    );
    let player = report.seen.iter().find(|s| s.name == "player.films.example").unwrap();
    assert_eq!((player.service.as_deref(), player.count), (Some("films"), 1));
    assert_eq!(player.first, "GET https://player.films.example/embed");
    // Of values nothing is left, and the report is the same each time.
    let (text, json) = (report.to_string(), report.to_json());
    assert!(!text.contains("s3cret") && !json.contains("s3cret") && !json.contains("c2VjcmV0"), "{json}");
    assert!(text.contains("0 findings"), "{text}");
}

/// GATE-11: an extra cookie is named with the stage that it was seen at, by line or by the fallback of a HAR file.
#[test]
fn gate_11_an_undeclared_cookie_is_named_at_each_stage() {
    let extra = &["tracker=s3cret; Path=/"][..];
    let everywhere = start()
        .get("/", "", extra)
        .choose("reject_all")
        .get("/", "", extra)
        .choose("accept_all")
        .get("/", "", extra)
        .withdraw(&[])
        .get("/", "tracker=s3cret", extra)
        .report();
    let undeclared = |stage, how| one(stage, "tracker", how, AuditFinding::Undeclared);
    assert_eq!(
        found(&everywhere),
        [
            undeclared(BeforeChoice, How::Set),
            undeclared(AfterRefusal, How::Set),
            undeclared(AfterGrant, How::Set),
            undeclared(AfterWithdrawal, How::Set),
            undeclared(AfterWithdrawal, How::Sent),
        ]
    );
    for stage in Stage::ALL.iter().copied() {
        let mut audit = audit();
        audit.har_at(stage, &start().get("/", "", extra).har()).unwrap();
        assert_eq!(found(&audit.report()), [undeclared(stage, How::Set)]);
    }
    // Chromium writes several lines as one; others leave the lines out and have the cookies.
    let joined = start().get("/", "", &[&format!("{SID}\ntracker=1; Path=/\n{SID}")]).report();
    assert_eq!(found(&joined), [undeclared(BeforeChoice, How::Set)]);
    assert_eq!(joined.seen[0].count, 2);
    let mut har = start().get("/", "", &[]);
    har.0[0]["response"]["cookies"] = json!([{"name": "tracker", "value": "s3cret", "expires": null}]);
    har.0[0]["request"]["cookies"] = json!([{"name": "other", "value": "s3cret"}]);
    let other = one(BeforeChoice, "other", How::Sent, AuditFinding::Undeclared);
    assert_eq!(found(&har.report()), [other, undeclared(BeforeChoice, How::Set)]);
}

#[test]
fn gate_11_a_gated_cookie_is_found_where_its_gate_is_closed() {
    let report = start()
        .get("/", "", &[VISITS])
        .choose("save")
        .get("/", "visits=1", &[VISITS])
        .decide("consent", "action=save&category=analytics&notice=t", 200, &[CHOICE])
        .get("/", "visits=1", &[VISITS])
        .report();
    let closed = |stage, how| one(stage, "visits", how, AuditFinding::Closed);
    assert_eq!(
        found(&report),
        [closed(BeforeChoice, How::Set), closed(AfterRefusal, How::Set), closed(AfterRefusal, How::Sent)]
    );
    // A year where a day is declared; and by a date, counted from when the answer came.
    let year = "visits=1; Path=/; Secure; HttpOnly; SameSite=Lax; Expires=Sat, 27 Nov 2027 09:00:00 GMT";
    let day = "visits=1; Path=/; Secure; HttpOnly; SameSite=Lax; Expires=Sat, 28 Nov 2026 09:00:01 GMT";
    for (line, finding) in [(year, vec![AuditFinding::Outlives]), (day, vec![])] {
        let report = start().choose("accept_all").get("/", "", &[line]).report();
        assert_eq!(found(&report).into_iter().map(|f| f.3).collect::<Vec<_>>(), finding);
    }
    let open_to_scripts = start().get("/", "", &["sid=1; Path=/; Secure"]).report();
    assert_eq!(found(&open_to_scripts), [one(BeforeChoice, "sid", How::Set, AuditFinding::Attributes)]);
}

/// WDR-02: what a browser still sends after a withdrawal is found: as one that was never expired, or as one that was
/// expired under another path or domain than it was set with.
#[test]
fn wdr_02_a_cookie_that_is_sent_after_the_withdrawal_is_found() {
    let before = || start().choose("accept_all").get("/", "", &[VISITS]);
    let of = |recording: Recording| found(&recording.report());
    let kept = before().withdraw(&[]).get("/", "visits=1", &[]);
    assert_eq!(of(kept), [one(AfterWithdrawal, "visits", How::Sent, AuditFinding::Closed)]);
    let survived = before().withdraw(&[EXPIRED]).get("/", "visits=1", &[]);
    assert_eq!(of(survived), [one(AfterWithdrawal, "visits", How::Sent, AuditFinding::StillSent)]);
    let gone = before().withdraw(&[EXPIRED]).get("/", "sid=1", &[]);
    assert_eq!(of(gone), []);
    let written = before().withdraw(&[EXPIRED]).get("/", "", &[VISITS]);
    assert_eq!(of(written), [one(AfterWithdrawal, "visits", How::Set, AuditFinding::Closed)]);
    // Refusing what was granted is a withdrawal as well; one of another category is none of this one.
    let refused = before().choose("reject_all").get("/", "visits=1", &[]);
    assert_eq!(of(refused), [one(AfterWithdrawal, "visits", How::Sent, AuditFinding::Closed)]);
    let of_other =
        before().decide("withdraw", "category=marketing", 303, &[CHOICE]).get("/", "visits=1", &[]);
    assert_eq!(of(of_other), []);
}

/// What was under way when the withdrawal was answered was sent before it.
#[test]
fn wdr_02_a_request_under_way_belongs_to_the_stage_before() {
    let mut recording = start().choose("accept_all").get("/", "", &[VISITS]).withdraw(&[EXPIRED]).get(
        "/late",
        "visits=1",
        &[],
    );
    recording.0[2]["time"] = json!(1_500.0);
    assert_eq!(found(&recording.report()), []);
    // Its head came at once, and only its body took long.
    recording.0[2]["timings"] = json!({"receive": 1_400.0});
    assert_eq!(
        found(&recording.report()),
        [one(AfterWithdrawal, "visits", How::Sent, AuditFinding::StillSent)]
    );
    // The order in the file does not count.
    let first = recording.0.remove(0);
    recording.0.push(first);
    assert_eq!(
        found(&recording.report()),
        [one(AfterWithdrawal, "visits", How::Sent, AuditFinding::StillSent)]
    );
}

/// GATE-05: a host of somebody else, before consent, after refusal, and one that nobody declared.
#[test]
fn gate_05_a_host_of_somebody_else_is_found_before_consent() {
    let film = "https://player.films.example/embed";
    let report = start()
        .get("/", "", &[])
        .load(film)
        .load("https://fonts.example/a.woff2")
        .choose("reject_all")
        .load(film)
        .load("wss://PLAYER.films.example.evil.example/")
        .load("data:text/plain,hello")
        .choose("accept_all")
        .load(film)
        .load("https://cdn.films.example/")
        .report();
    let host = |stage, name, finding| one(stage, name, How::Loaded, finding);
    assert_eq!(
        found(&report),
        [
            host(BeforeChoice, "fonts.example", AuditFinding::Undeclared),
            host(BeforeChoice, "player.films.example", AuditFinding::Closed),
            host(AfterRefusal, "player.films.example", AuditFinding::Closed),
            host(AfterRefusal, "player.films.example.evil.example", AuditFinding::Undeclared),
            host(AfterGrant, "cdn.films.example", AuditFinding::Undeclared),
        ]
    );
    // What the policy of the page kept from leaving was not loaded.
    let mut blocked = start().get("/", "", &[]).load("https://fonts.example/a.woff2");
    blocked.0[1]["_error"] = json!("net::ERR_BLOCKED_BY_CSP");
    assert!(blocked.report().is_clean());
    // The hosts of the site are its own if it says so.
    let har = start().get("/", "", &[]).load("https://www.shop.example/").har();
    let mut named = audit().site(SITE).unwrap().site("https://www.shop.example").unwrap();
    named.har(&har).unwrap();
    assert!(named.report().is_clean());
    assert!(matches!(audit().site("shop.example"), Err(Error::Config { .. })));
}

/// GATE-03: what a gesture opens is open from the visitor's own gesture on.
#[test]
fn gate_03_a_started_service_is_open_from_then_on() {
    let open = "chat_open=1; Path=/; Secure; HttpOnly; SameSite=Lax";
    let active = "__Host-privet-active=c2VjcmV0; Path=/; Secure; HttpOnly; SameSite=Lax";
    let before = start().get("/", "", &[open]).load("https://chat.example/w.js").report();
    assert_eq!(
        found(&before),
        [
            one(BeforeChoice, "chat_open", How::Set, AuditFinding::Closed),
            one(BeforeChoice, "chat.example", How::Loaded, AuditFinding::Closed)
        ]
    );
    let refused = start().decide("activate", "service=chat", 403, &[]).get("/", "", &[open]).report();
    assert_eq!(found(&refused).len(), 1);
    let other = start().decide("activate", "service=films", 303, &[]).get("/", "", &[open]).report();
    assert_eq!(found(&other).len(), 1);
    let asked = start().decide("activate", "service=chat", 303, &[active]).get("/", "", &[open]);
    let answered = start().get("/chat", "", &[open, active]).load("https://chat.example/w.js");
    let brought = start().get("/", "chat_open=1; __Host-privet-active=c2VjcmV0", &[]);
    for recording in [asked, answered, brought] {
        assert_eq!(found(&recording.report()), []);
    }
}

/// Failures decide nothing: a stale notice, an outage, a route of somebody else.
#[test]
fn gate_11_only_decisions_that_were_taken_move_the_stage() {
    let accept = "action=accept_all&notice=t";
    for status in [409, 503, 403, 400, 0] {
        let report = start().decide("consent", accept, status, &[]).get("/", "", &[VISITS]).report();
        assert_eq!(found(&report), [one(BeforeChoice, "visits", How::Set, AuditFinding::Closed)], "{status}");
    }
    let elsewhere = start().get("/", "", &[]).ask(
        "POST",
        "https://shop.example.evil.example/privacy/consent",
        "",
        Some(accept),
        303,
        &[],
    );
    assert!(
        found(&elsewhere.get("/", "", &[VISITS]).report())
            .iter()
            .any(|f| f.0 == BeforeChoice && f.1 == "visits")
    );
    // A script sends JSON; a form may be kept as its fields.
    for post in [
        json!({"mimeType": "application/json", "text": r#"{"action":"save","categories":["analytics"],"notice":"t","source":"cmp"}"#}),
        json!({"mimeType": "application/x-www-form-urlencoded", "params": [{"name": "action", "value": "accept_all"}]}),
    ] {
        let mut recording = start().choose("accept_all").get("/", "", &[VISITS]);
        recording.0[0]["request"]["postData"] = post;
        assert_eq!(found(&recording.report()), []);
    }
}

#[test]
fn gate_08_a_regime_has_its_own_open_gates() {
    let stat = "stat=1; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=60";
    let of = |regime, har: &[u8]| {
        let mut audit = audit().regime(regime);
        audit.har(har).unwrap();
        found(&audit.report()).into_iter().map(|f| (f.0, f.1)).collect::<Vec<_>>()
    };
    let before = start().get("/", "", &[stat, VISITS]).har();
    let (s, v) = ("stat".to_owned(), "visits".to_owned());
    assert_eq!(of(Regime::OptIn, &before), [(BeforeChoice, s.clone()), (BeforeChoice, v.clone())]);
    assert_eq!(of(Regime::Uk, &before), [(BeforeChoice, v)]);
    assert_eq!(of(Regime::OptOut, &before), []);
    let objected = start().choose("reject_all").get("/", "", &[stat]).har();
    assert_eq!(of(Regime::Uk, &objected), [(AfterRefusal, s)]);
    // The signal of the browser refuses the sale, also where nobody asks first.
    let mut film = start().get("/", "", &[]).load("https://player.films.example/");
    assert_eq!(of(Regime::OptOut, &film.har()), []);
    film.0[1]["request"]["headers"] = json!([{"name": "Sec-GPC", "value": "1"}]);
    assert_eq!(of(Regime::OptOut, &film.har()), [(BeforeChoice, "player.films.example".to_owned())]);
}

/// Storage beside cookies is in no HAR file.
#[test]
fn gate_11_storage_beside_cookies_is_judged_alike() {
    let mut audit = audit();
    audit.seen(BeforeChoice, StorageKind::LocalStorage, "pages-monday");
    audit.seen(AfterGrant, StorageKind::LocalStorage, "pages-monday");
    audit.seen(AfterGrant, StorageKind::SessionStorage, "pages-monday");
    audit.seen(AfterWithdrawal, StorageKind::Cookie, "visits");
    audit.seen(AfterWithdrawal, StorageKind::Cookie, "__Host-privet");
    let report = audit.report();
    assert_eq!(report.seen.len(), 5);
    assert_eq!(
        found(&report),
        [
            one(BeforeChoice, "pages-monday", How::Stored, AuditFinding::Closed),
            one(AfterGrant, "pages-monday", How::Stored, AuditFinding::Undeclared),
            one(AfterWithdrawal, "visits", How::Stored, AuditFinding::Closed),
        ]
    );
    let mut chat = self::audit();
    chat.seen(AfterRefusal, StorageKind::Cookie, "chat_open");
    assert_eq!(found(&chat.report()).len(), 1);
    let mut started = self::audit().started("chat").unwrap();
    started.seen(AfterRefusal, StorageKind::Cookie, "chat_open");
    assert!(started.report().is_clean());
    assert!(matches!(self::audit().started("none"), Err(Error::UnknownService { .. })));
}

/// A file that says nothing is no clean file: each is refused, with cause and cure, and without what stands in it.
#[test]
fn gate_11_what_cannot_be_read_is_refused_and_never_clean() {
    let mut wrong_time = start().get("/", "", &[]);
    wrong_time.0[0]["startedDateTime"] = json!("s3cret");
    let mut no_body = start().choose("accept_all");
    no_body.0[0]["request"].as_object_mut().unwrap().remove("postData");
    let later = start().get("/", "__Host-privet=s3cret", &[]);
    let own_route = start().ask(
        "POST",
        "https://shop.example/mine/consent",
        "",
        Some("action=accept_all"),
        303,
        &[CHOICE],
    );
    let without_cookies = start().get("/", "", &[]).decide("consent", "action=reject_all", 303, &[]);
    for (har, says) in [
        (b"{\"log\": {\"entries\": [".to_vec(), "no JSON"),
        (b"".to_vec(), "no JSON"),
        (b"s3cret".to_vec(), "no JSON"),
        (b"{\"url\": \"s3cret\"}".to_vec(), "no HAR"),
        (b"{\"log\": {\"entries\": [{\"request\": \"s3cret\"}]}}".to_vec(), "no HAR"),
        (b"[]".to_vec(), "no HAR"),
        (start().har(), "no request"),
        (start().load("about:blank").load("chrome-extension://s3cret/").har(), "no request"),
        (wrong_time.har(), "entry 0"),
        (no_body.har(), "does not say which"),
        (later.har(), "before the file begins"),
        (own_route.har(), "no route of privet below `/privacy`"),
        (without_cookies.har(), "exported without cookies"),
    ] {
        let mut audit = audit();
        let error = audit.har(&har).unwrap_err();
        assert!(matches!(error, Error::Invalid { .. }));
        let said = error.to_string();
        assert!(said.contains(says) && said.contains("; ") && !said.contains("s3cret"), "{said}");
        assert_eq!(audit.report().requests, 0, "{said}");
    }
    // Whose stage is named needs no beginning.
    let mut named = audit();
    named.har_at(AfterGrant, &later.har()).unwrap();
    assert!(named.report().is_clean());
    // A byte order mark is allowed (HAR 1.2).
    let marked = [b"\xef\xbb\xbf".to_vec(), start().get("/", "", &[]).har()].concat();
    audit().har(&marked).unwrap();
}

/// Whatever stands before privet may redirect too: what was not taken opens nothing.
#[test]
fn gate_01_what_something_else_answered_opens_nothing() {
    let to_sign_in = start().get("/", "", &[SID]).decide("consent", "action=accept_all", 303, &[SID]);
    let expired = start().decide("consent", "action=accept_all", 200, &["__Host-privet=; Path=/; Max-Age=0"]);
    for recording in [to_sign_in, expired] {
        let error = audit().har(&recording.get("/", "", &[VISITS]).har()).unwrap_err().to_string();
        assert!(error.contains("set no `__Host-privet`"), "{error}");
    }
    // A site that asks nothing remembers nothing.
    let bare = "[controller]\nname = \"Shop\"\ncontact = \"c\"";
    let mut bare = Audit::new(&Catalogue::from_toml(bare).unwrap());
    bare.har(&start().decide("consent", "action=accept_all", 303, &[]).get("/", "", &[VISITS]).har())
        .unwrap();
    assert_eq!(found(&bare.report()), [one(AfterRefusal, "visits", How::Set, AuditFinding::Undeclared)]);
    let open = "chat_open=1; Path=/; Secure; HttpOnly; SameSite=Lax";
    let started = start().decide("activate", "service=chat", 303, &[]).get("/", "", &[open]).report();
    assert_eq!(found(&started), [one(BeforeChoice, "chat_open", How::Set, AuditFinding::Closed)]);
}

/// GATE-10: what the gate adds to each line is missing where a line left beside the gate.
#[test]
fn gate_10_a_line_that_did_not_pass_the_gate_is_found() {
    for (line, whole) in [
        (SID, true),
        ("sid=1; Path=/; HttpOnly; SameSite=Lax", false),
        ("sid=1; Path=/; HttpOnly; Secure", false),
        ("sid=1; HttpOnly; Secure; SameSite=Lax", false),
    ] {
        let report = start().get("/", "", &[line]).report();
        let weak = one(BeforeChoice, "sid", How::Set, AuditFinding::Attributes);
        assert_eq!(found(&report), if whole { vec![] } else { vec![weak] }, "{line}");
    }
    // Which of them a file without the lines had, nobody can tell; how long it lives has to be told.
    let of_file = |cookie: Value| {
        let mut recording = start().get("/", "", &[]);
        recording.0[0]["response"]["cookies"] = json!([cookie]);
        let mut audit = audit();
        audit.har(&recording.har()).map(|()| found(&audit.report()))
    };
    assert_eq!(of_file(json!({"name": "sid", "httpOnly": true, "expires": ""})).unwrap(), []);
    let unreadable =
        of_file(json!({"name": "sid", "httpOnly": true, "expires": "Fri, 01 Jan 2100 00:00:00 GMT"}));
    assert!(unreadable.unwrap_err().to_string().contains("`expires` of a cookie of entry 0"));
}

/// GATE-05: what somebody else reads is told as well, and needs to be declared.
#[test]
fn gate_05_cookies_that_a_host_of_somebody_else_reads_are_found() {
    let film = "https://player.films.example/embed";
    let report = start()
        .choose("accept_all")
        .get("/", "", &[])
        .ask("GET", film, "watcher=s3cret", None, 200, &[])
        .report();
    let site = |report: &AuditReport| found(report).into_iter().map(|f| (f.1, f.2, f.3)).collect::<Vec<_>>();
    assert_eq!(site(&report), [("watcher".to_owned(), How::Sent, AuditFinding::Undeclared)]);
}

/// A site that is set up otherwise is judged as it is set up.
#[test]
fn gate_11_an_installation_knows_its_own_names() {
    let catalogue = Catalogue::from_toml(CATALOGUE).unwrap();
    let life = std::time::Duration::from_secs(300 * 86_400);
    let builder = privet::Privet::builder(catalogue).public_origin(SITE).shared_domain("shop.example");
    let privet = futures_executor::block_on(builder.choice_life(life).base_path("/mine").build()).unwrap();
    let choice =
        "__Secure-privet=1; Path=/; Secure; HttpOnly; SameSite=Lax; Domain=shop.example; Max-Age=25920000";
    let har = start()
        .ask("POST", "https://shop.example/mine/consent", "", Some("action=accept_all"), 303, &[choice])
        .get("/", "", &[VISITS])
        .har();
    let mut audit = privet.audit(privet.scopes().next().unwrap()).unwrap();
    audit.har(&har).unwrap();
    assert_eq!(found(&audit.report()), []);
    let mut by_default = self::audit();
    by_default.har(&har).unwrap();
    assert!(!by_default.report().is_clean());
}
