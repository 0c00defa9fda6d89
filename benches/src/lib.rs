//! What stands on the path of a request, case by case: the same page, the same request of a decided visitor with ten
//! cookies, on axum and on actix-web, and around the page either nothing, the smallest layer that does privet's job,
//! privet, or a peer.
//!
//! `cargo bench -p privet-benches --bench request_path` measures time, `--bench instructions` counts instructions.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a bench that cannot start has to say so"
)]

mod catalogue;
mod hand_written;
mod on_actix_web;
mod on_axum;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;

use axum::body::Bytes;

/// What stands around the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Surrounding {
    Nothing,
    /// The smallest layer that reads an authenticated consent cookie.
    HandWritten,
    /// privet, which may leave addresses where they are, for a visitor who took an action, or none yet.
    Privet {
        shows_addresses: bool,
        action: Option<&'static str>,
    },
    /// What reads one cookie: tower-cookies, or actix-web itself.
    Cookies,
    /// What reads one value of a session: tower-sessions with its store in memory, or actix-session with its cookie.
    Sessions,
}

/// The page, and what stands around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    name: &'static str,
    framework: Framework,
    surrounding: Surrounding,
    budget: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framework {
    Axum,
    ActixWeb,
}

const fn axum(name: &'static str, surrounding: Surrounding) -> Case {
    Case { name, framework: Framework::Axum, surrounding, budget: None }
}

const fn actix_web(name: &'static str, surrounding: Surrounding) -> Case {
    Case { name, framework: Framework::ActixWeb, surrounding, budget: None }
}

/// privet as it is.
const PRIVET: Surrounding = Surrounding::Privet { shows_addresses: false, action: Some("accept_all") };
/// privet, with addresses left where they are.
const SHOWING: Surrounding = Surrounding::Privet { shows_addresses: true, action: Some("accept_all") };
/// privet, for a visitor who refused while a browser still sends what is not allowed any more.
const REFUSED: Surrounding = Surrounding::Privet { shows_addresses: false, action: Some("reject_all") };
/// privet, for a visitor who has not decided and brings no cookie.
const UNDECIDED: Surrounding = Surrounding::Privet { shows_addresses: false, action: None };

impl Case {
    /// All of them, in the order of the tables: the page alone comes first on each framework.
    pub const ALL: [Self; 15] = [
        axum("axum: bare", Surrounding::Nothing),
        axum("axum: hand-written layer", Surrounding::HandWritten),
        axum("axum: privet, addresses not hidden", SHOWING).at_most(22_000),
        axum("axum: privet", PRIVET).at_most(30_000),
        axum("axum: privet, closed cookies sent", REFUSED),
        axum("axum: privet, first visit", UNDECIDED),
        axum("axum: tower-cookies, read", Surrounding::Cookies),
        axum("axum: tower-sessions in memory, read", Surrounding::Sessions),
        actix_web("actix-web: bare", Surrounding::Nothing),
        actix_web("actix-web: privet, addresses not hidden", SHOWING).at_most(22_000),
        actix_web("actix-web: privet", PRIVET).at_most(30_000),
        actix_web("actix-web: privet, closed cookies sent", REFUSED),
        actix_web("actix-web: privet, first visit", UNDECIDED),
        actix_web("actix-web: its own cookies, read", Surrounding::Cookies),
        actix_web("actix-web: actix-session cookie, read", Surrounding::Sessions),
    ];

    const fn at_most(mut self, instructions: u64) -> Self {
        self.budget = Some(instructions);
        self
    }

    /// As the tables name it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.name
    }

    /// Whether it is the page alone, which the cases after it are compared with.
    #[must_use]
    pub fn is_bare(self) -> bool {
        self.surrounding == Surrounding::Nothing
    }

    /// The instructions per request that the case may cost, where there is a limit.
    #[must_use]
    pub const fn budget(self) -> Option<u64> {
        self.budget
    }

    /// Finds a case by its name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|c| c.name == name)
    }
}

/// Asks an app for its page so many times, and gives the last answer: what stands between the count and the app is in no
/// request's cost.
type Answers = Box<dyn Fn(u64) -> Pin<Box<dyn Future<Output = Bytes>>>>;

/// An app, with what it shall answer.
struct Built {
    answers: Answers,
    expected: &'static str,
}

/// An app that answers, and the request it is asked.
pub struct Bench {
    runtime: tokio::runtime::Runtime,
    answers: Answers,
}

impl fmt::Debug for Bench {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bench").finish_non_exhaustive()
    }
}

const PEER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7)), 40_000);

impl Bench {
    /// Builds the case, and checks that the page learns what it shall learn from the request.
    #[must_use]
    pub fn new(case: Case) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let Built { answers, expected } = runtime.block_on(async {
            match case.framework {
                Framework::Axum => on_axum::build(case.surrounding).await,
                Framework::ActixWeb => on_actix_web::build(case.surrounding).await,
            }
        });
        assert_eq!(runtime.block_on(answers(1)), expected, "{}", case.name);
        Self { runtime, answers }
    }

    /// Asks so many times.
    pub fn run(&self, requests: u64) {
        self.runtime.block_on((self.answers)(requests));
    }
}

/// An installation, the cookies of a visitor of it, and what the page shall answer.
struct Visited {
    privet: privet::Privet,
    cookies: Option<String>,
    expected: &'static str,
}

async fn visited(shows_addresses: bool, action: Option<&str>) -> Visited {
    let privet = catalogue::privet(shows_addresses).await;
    let cookies = match action {
        Some(action) => Some(catalogue::cookies(&catalogue::decided(&privet, action).await)),
        None => None,
    };
    Visited { privet, cookies, expected: text(action == Some("accept_all")) }
}

const YES: &str = "granted";
const NO: &str = "not granted";

const fn text(granted: bool) -> &'static str {
    if granted { YES } else { NO }
}
