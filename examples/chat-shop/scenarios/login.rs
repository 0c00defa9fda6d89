//! What is true of signing in on any framework: for the tests of the examples.

use std::net::SocketAddr;
use std::time::Duration;

use chat_shop::{Accounts, CATALOGUE, COOKIE, Countries, OperatorToken, Settings, Shop, installation};
use privet::{FakeClock, Storage, Timestamp};
use privet_web::testing::{Answered, Asked, InProcess, Jar};

const HERE: ([u8; 4], u16) = ([203, 0, 113, 7], 4711);
const THERE: ([u8; 4], u16) = ([203, 0, 113, 8], 4711);
const PORTAL: &str = "/privacy/portal";

/// A shop with one operator, whose password is this, and a clock that stands still.
pub(crate) async fn shop() -> (Shop, FakeClock, String) {
    let clock = FakeClock::at(Timestamp::from_millis(1_800_000_000_000));
    let (settings, storage) = (Settings::default(), Storage::in_memory().unwrap());
    let countries = Countries::Embedded.lookup();
    let privet = installation(CATALOGUE, &settings, storage, countries, clock.clone()).await.unwrap();
    let (token, _) = OperatorToken::generate().unwrap();
    let (accounts, password) = Accounts::generate().unwrap();
    (Shop::open(privet, token, None).unwrap().with_accounts(accounts), clock, password)
}

/// The shop's app, and the browser of somebody who wants into its portal.
pub(crate) struct Office<A> {
    app: A,
    clock: FakeClock,
    password: String,
    jar: Jar,
    site: &'static str,
    peer: ([u8; 4], u16),
}

impl<A: InProcess> Office<A> {
    pub(crate) fn new(app: A, clock: FakeClock, password: String) -> Self {
        Self { app, clock, password, jar: Jar::default(), site: "same-origin", peer: HERE }
    }

    async fn ask(&mut self, method: &str, path: &str, form: String) -> Answered {
        let mut asked =
            Asked::new(method, path).header("sec-fetch-site", self.site).peer(SocketAddr::from(self.peer));
        if method == "POST" {
            asked = asked.header("content-type", "application/x-www-form-urlencoded").body(form);
        }
        if let Some(line) = self.jar.line() {
            asked = asked.header("cookie", line);
        }
        let answer = self.app.ask(asked).await;
        self.jar.take(&answer);
        answer
    }

    async fn sign_in(&mut self, name: &str, password: &str) -> Answered {
        self.ask("POST", "/login", format!("name={name}&password={password}")).await
    }

    async fn sign_in_right(&mut self) -> Answered {
        let password = self.password.clone();
        self.sign_in("operator", &password).await
    }

    async fn is_in(&mut self) -> bool {
        self.ask("GET", PORTAL, String::new()).await.status != 401
    }
}

fn header<'a>(answer: &'a Answered, name: &str) -> &'a str {
    answer.all(name).next().unwrap_or_default()
}

pub(crate) async fn passwords<A: InProcess>(mut office: Office<A>) {
    let page = office.ask("GET", "/login", String::new()).await;
    assert_eq!((page.status, header(&page, "cache-control")), (200, "private, no-store"));
    assert!(!office.is_in().await);

    let wrong = office.sign_in("operator", "wrong").await;
    assert_eq!(wrong.status, 401);
    assert!(wrong.all("set-cookie").next().is_none() && !office.is_in().await);
    let password = office.password.clone();
    let unknown = office.sign_in("nobody", &password).await;
    assert_eq!((unknown.status, &unknown.body), (401, &wrong.body), "no name is told");
    assert_eq!(office.ask("POST", "/login", "name=operator".to_owned()).await.status, 400);

    let right = office.sign_in_right().await;
    assert_eq!((right.status, header(&right, "location")), (303, PORTAL));
    let cookie = header(&right, "set-cookie").to_owned();
    let (pair, attributes) = cookie.split_once("; ").unwrap();
    assert_eq!(pair.strip_prefix(COOKIE).unwrap().len(), 1 + 32);
    for attribute in ["Path=/", "Secure", "HttpOnly", "SameSite=Strict"] {
        assert!(attributes.split("; ").any(|a| a == attribute), "{attribute}");
    }
    assert!(office.is_in().await);
    // Another one who makes an id up.
    office.jar = Jar::default();
    let guess = format!("{COOKIE}={}", "0".repeat(32));
    let asked = Asked::new("GET", PORTAL).header("cookie", guess);
    assert_eq!(office.app.ask(asked).await.status, 401);
}

pub(crate) async fn expiry<A: InProcess>(mut office: Office<A>) {
    office.sign_in_right().await;
    office.clock.advance(Duration::from_secs(29 * 60));
    assert!(office.is_in().await);
    office.clock.advance(Duration::from_secs(29 * 60));
    assert!(office.is_in().await, "work keeps it");
    office.clock.advance(Duration::from_secs(30 * 60));
    assert!(!office.is_in().await, "idle");

    office.sign_in_right().await;
    for _ in 0..12 * 60 / 29 {
        office.clock.advance(Duration::from_secs(29 * 60));
        assert!(office.is_in().await);
    }
    office.clock.advance(Duration::from_secs(29 * 60));
    assert!(!office.is_in().await, "twelve hours, however much was done");
}

pub(crate) async fn logout<A: InProcess>(mut office: Office<A>) {
    office.sign_in_right().await;
    let held = office.jar.clone();
    let out = office.ask("POST", "/logout", String::new()).await;
    assert_eq!((out.status, header(&out, "location")), (303, "/login"));
    assert!(office.jar.names().all(|name| name != COOKIE));
    assert!(!office.is_in().await);
    office.jar = held;
    assert!(!office.is_in().await, "a kept cookie opens nothing");

    // Who signs in again has one session, and another one than before.
    office.jar = Jar::default();
    office.sign_in_right().await;
    let before = office.jar.clone();
    office.sign_in_right().await;
    assert_ne!(before.line(), office.jar.line());
    assert!(office.is_in().await);
    office.jar = before;
    assert!(!office.is_in().await);
}

pub(crate) async fn throttle<A: InProcess>(mut office: Office<A>) {
    for _ in 0..3 {
        assert_eq!(office.sign_in("operator", "wrong").await.status, 401);
    }
    let told = office.sign_in_right().await;
    assert_eq!((told.status, header(&told, "retry-after")), (429, "1"), "not even the right one");
    assert!(!office.is_in().await);
    // Unknown names wait alike.
    for _ in 0..3 {
        assert_eq!(office.sign_in("nobody", "wrong").await.status, 401);
    }
    assert_eq!(office.sign_in("nobody", "wrong").await.status, 429);
    // The owner, from elsewhere.
    office.peer = THERE;
    assert_eq!(office.sign_in_right().await.status, 303);
    assert!(office.is_in().await);
    office.peer = HERE;
    office.clock.advance(Duration::from_secs(1));
    assert_eq!(office.sign_in("operator", "wrong").await.status, 401);
    let told = office.sign_in("operator", "wrong").await;
    assert_eq!((told.status, header(&told, "retry-after")), (429, "2"));
    office.clock.advance(Duration::from_secs(2));
    assert_eq!(office.sign_in_right().await.status, 303);
    assert_eq!(office.sign_in("operator", "wrong").await.status, 401, "forgotten");
}

pub(crate) async fn other_sites<A: InProcess>(mut office: Office<A>) {
    office.site = "cross-site";
    assert_eq!(office.sign_in_right().await.status, 403);
    office.site = "same-origin";
    office.sign_in_right().await;
    office.site = "cross-site";
    assert_eq!(office.ask("POST", "/logout", String::new()).await.status, 403);
    office.site = "same-origin";
    assert!(office.is_in().await);
}
