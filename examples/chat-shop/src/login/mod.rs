//! Operators sign in: name and password, a session on the server, and the guard that lets them into the portal.
//!
//! Sessions are in memory: a restart signs everybody out. An app with several servers keeps them where all can see them.

mod accounts;
mod sessions;
mod throttle;

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use askama::Template;
use async_trait::async_trait;
use privet::portal::Operator;
use privet::{Error, Timestamp, Visit};
use privet_web::{Guard, Request};
use serde::Deserialize;
use tokio::sync::Semaphore;

pub use accounts::Accounts;
use sessions::Sessions;
use throttle::Throttle;

use crate::pages::rendered;
use crate::{CSP, PERSONAL, Shop};

/// The cookie of an operator's session, as the catalogue declares it.
pub const COOKIE: &str = "__Host-operator";
/// Where operators sign in.
pub const LOGIN: &str = "/login";
/// Where they sign out.
pub const LOGOUT: &str = "/logout";

const ATTRIBUTES: &str = "Path=/; Secure; HttpOnly; SameSite=Strict";
/// So many passwords are checked at once: each takes 19 MiB and some time.
const AT_ONCE: usize = 2;
/// And nobody waits longer for their turn.
const TURN: Duration = Duration::from_secs(5);

/// `POST /login`: the form.
#[derive(Deserialize)]
pub struct Credentials {
    name: String,
    password: String,
}

impl Credentials {
    /// What to send instead, for who sends something else.
    pub const EXPECTED: &'static str = "send name and password, as a form";
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(..)")
    }
}

/// An answer about signing in or out, for any framework.
#[derive(Clone, PartialEq, Eq)]
pub struct Told {
    /// The status code.
    pub status: u16,
    /// The headers, named in lower case.
    pub headers: Vec<(&'static str, String)>,
    /// A page, or nothing.
    pub body: String,
}

/// Without the cookie.
impl fmt::Debug for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Told").field("status", &self.status).finish_non_exhaustive()
    }
}

impl Told {
    fn page(status: u16, problem: Option<&str>) -> privet::Result<Self> {
        let headers = [
            ("content-type", "text/html; charset=utf-8"),
            ("content-security-policy", CSP),
            ("cache-control", PERSONAL),
        ];
        Ok(Self {
            status,
            headers: headers.map(|(name, value)| (name, value.to_owned())).into(),
            body: rendered(&LoginPage { problem })?,
        })
    }

    fn to(location: &str) -> Self {
        let headers = [("location", location), ("cache-control", PERSONAL)];
        Self {
            status: 303,
            headers: headers.map(|(name, value)| (name, value.to_owned())).into(),
            body: String::new(),
        }
    }

    fn with(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }
}

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage<'a> {
    problem: Option<&'a str>,
}

struct Desk {
    accounts: Accounts,
    sessions: Mutex<Sessions>,
    throttle: Mutex<Throttle>,
    turns: Semaphore,
}

/// Who may work in the portal, and who is at work.
#[derive(Clone)]
pub struct OperatorDesk(Arc<Desk>);

impl fmt::Debug for OperatorDesk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OperatorDesk").field("accounts", &self.0.accounts).finish_non_exhaustive()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How signing in ended.
enum SignedIn {
    As(String),
    Wrong,
    Wait(Duration),
}

impl OperatorDesk {
    pub(crate) fn new(accounts: Accounts) -> Self {
        Self(Arc::new(Desk {
            accounts,
            sessions: Mutex::default(),
            throttle: Mutex::default(),
            turns: Semaphore::new(AT_ONCE),
        }))
    }

    async fn sign_in(&self, sent: Credentials, from: IpAddr, now: Timestamp) -> privet::Result<SignedIn> {
        // Counted before the password is looked at, so that many at once are not one.
        if let Err(wait) = locked(&self.0.throttle).attempt(&sent.name, from, now) {
            return Ok(SignedIn::Wait(wait));
        }
        let Ok(Ok(turn)) = tokio::time::timeout(TURN, self.0.turns.acquire()).await else {
            return Err(Error::unavailable("login", "too many passwords wait to be checked"));
        };
        let (desk, name) = (self.clone(), sent.name.clone());
        let checking = tokio::task::spawn_blocking(move || desk.0.accounts.check(&sent.name, &sent.password));
        let checked = checking.await.map_err(|e| Error::unavailable("login", e))?;
        drop(turn);
        let Some(operator) = checked else {
            tracing::warn!("an operator's password was wrong");
            return Ok(SignedIn::Wrong);
        };
        locked(&self.0.throttle).succeeded(&name, from);
        locked(&self.0.sessions).open(operator, now).map(SignedIn::As)
    }
}

/// A session opens the portal while it is used, and twelve hours at most.
#[async_trait]
impl Guard for OperatorDesk {
    async fn operator(&self, visit: &Visit, request: &Request) -> privet::Result<Option<Operator>> {
        let Some(id) = request.cookie(COOKIE) else { return Ok(None) };
        // A page that waits for messages by itself is nobody at work.
        let at_work = !request.path().ends_with("/events");
        Ok(locked(&self.0.sessions).operator(id, visit.privet().now(), at_work))
    }

    fn login(&self) -> Option<String> {
        Some(LOGIN.to_owned())
    }

    fn logout(&self) -> Option<String> {
        Some(LOGOUT.to_owned())
    }
}

impl Shop {
    /// The guard of the portal.
    #[must_use]
    pub fn desk(&self) -> OperatorDesk {
        self.desk.clone()
    }

    /// `GET /login`
    ///
    /// # Errors
    /// None that is known.
    pub fn login(&self, visit: &Visit) -> privet::Result<Told> {
        // No page for visitors: it asks for no consent.
        visit.banner_shown();
        Told::page(200, None)
    }

    /// `POST /login`: `from` is the address that privet shows, which is a pseudonym, and `old` the cookie of a session
    /// before, which ends.
    ///
    /// # Errors
    /// That passwords cannot be checked now.
    pub async fn log_in(
        &self,
        visit: &Visit,
        sent: Credentials,
        from: IpAddr,
        old: Option<&str>,
    ) -> privet::Result<Told> {
        visit.banner_shown();
        match self.desk.sign_in(sent, from, self.privet.now()).await? {
            SignedIn::As(id) => {
                if let Some(old) = old {
                    locked(&self.desk.0.sessions).close(old);
                }
                let portal = format!("{}/portal", self.privet.base_path());
                Ok(Told::to(&portal).with("set-cookie", format!("{COOKIE}={id}; {ATTRIBUTES}")))
            }
            SignedIn::Wrong => Told::page(401, Some("Name or password is wrong.")),
            SignedIn::Wait(wait) => {
                let page = Told::page(429, Some("Too many attempts. Please wait a little, then try again."))?;
                // Rounded up, so that who waits as told comes through.
                Ok(page.with("retry-after", wait.as_millis().div_ceil(1000).to_string()))
            }
        }
    }

    /// `POST /logout`
    #[must_use]
    pub fn log_out(&self, session: Option<&str>) -> Told {
        if let Some(id) = session {
            locked(&self.desk.0.sessions).close(id);
        }
        Told::to(LOGIN).with("set-cookie", format!("{COOKIE}=; {ATTRIBUTES}; Max-Age=0"))
    }
}
