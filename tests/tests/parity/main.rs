//! One table of scenarios through axum and actix-web: the same status, headers and bytes.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that meets something else has failed")]

mod app;
mod lab;
mod portal;
mod routes;
mod seen;
mod step;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use privet::store::{MemoryKeyStore, MemoryLedger, MemoryStore};
use privet::{Analytics, FakeClock, KeyRing, Storage, Timestamp};
use privet_tests::database::{Backend, Database};
use privet_tests::log::Log;
use privet_tests::server::{Framework, OPERATOR};
use privet_tests::site::{Client, Site};
use privet_web::testing::{Answered, Asked};
use rstest::rstest;
use tower::ServiceExt as _;

use crate::step::{Differs, Scenario, Step};

/// A visitor of a site of their own, whose clock and secret are those of the other framework's.
struct Side {
    client: Client,
    clock: FakeClock,
    held: String,
}

/// What is between the table and privet.
#[derive(Clone, Copy, Debug)]
enum Adapter {
    Of(Framework),
    /// The one of the guide, which has privet's routes alone.
    OfTheGuide,
    /// The laboratory in place of the shop.
    InTheLab(Framework),
}

const AXUM: Adapter = Adapter::Of(Framework::Axum);
const ACTIX_WEB: Adapter = Adapter::Of(Framework::ActixWeb);

/// In memory, under the secret that every side has.
fn in_memory() -> Storage {
    let (store, keys) = (Arc::new(MemoryStore::new()), Arc::new(MemoryKeyStore::new()));
    Storage::new(store, keys, Arc::new(MemoryLedger::new()), secret())
}

fn secret() -> KeyRing {
    KeyRing::from_bytes(*b"a secret of thirty-two bytes, so").unwrap()
}

impl Side {
    async fn open(adapter: Adapter, storage: Storage) -> Self {
        let clock = FakeClock::at(Timestamp::from_millis(1_800_000_000_000));
        let mut client = Client::new(match adapter {
            Adapter::Of(framework) => Site::open(framework, storage, clock.clone()).await,
            Adapter::OfTheGuide => Site::in_the_guide(storage, clock.clone()).await,
            Adapter::InTheLab(framework) => privet_tests::lab::open(framework, storage, clock.clone()).await,
        });
        let held = client.token().await;
        Self { client, clock, held }
    }

    async fn first_contact(&mut self) -> String {
        let list = Asked::new("GET", "/contacts")
            .header("authorization", format!("Bearer {OPERATOR}"))
            .header("accept", "application/json");
        let list = self.client.ask(list).await;
        let list: serde_json::Value = serde_json::from_slice(&list.body).unwrap();
        list["contacts"][0]["id"].as_str().unwrap_or_default().to_owned()
    }

    async fn take(&mut self, step: &Step) -> Answered {
        self.clock.advance(step.after);
        let fills = |name: &str| step.path.contains(name) || step.body.contains(name);
        let notice = if fills("{notice}") { self.client.token().await } else { String::new() };
        let contact = if fills("{contact}") { self.first_contact().await } else { String::new() };
        let filled = |text: &str| {
            text.replace("{notice}", &notice).replace("{held}", &self.held).replace("{contact}", &contact)
        };
        let asked = Asked::new(step.method, filled(step.path)).body(filled(step.body));
        let headers = step.headers.iter();
        self.client.ask(headers.fold(asked, |asked, (name, value)| asked.header(*name, *value))).await
    }
}

/// What each side drew at random, with what the other drew in its place.
#[derive(Default)]
struct Drawn {
    there: HashMap<String, String>,
    back: HashMap<String, String>,
}

/// Shorter than an id or a MAC is nothing that is drawn at random.
const DRAWN_LEN: usize = 20;

impl Drawn {
    /// Whether two texts are the same but for what was drawn, which has to stand for the same everywhere.
    fn alike(&mut self, one: &str, two: &str) -> bool {
        let (mut ones, mut twos) = (pieces(one), pieces(two));
        loop {
            match (ones.next(), twos.next()) {
                (None, None) => return true,
                (Some(a), Some(b)) if a == b => {}
                (Some(a), Some(b)) if a.len() == b.len() && a.len() >= DRAWN_LEN => {
                    if self.there.entry(a.to_owned()).or_insert_with(|| b.to_owned()) != b
                        || self.back.entry(b.to_owned()).or_insert_with(|| a.to_owned()) != a
                    {
                        return false;
                    }
                }
                _ => return false,
            }
        }
    }
}

fn pieces(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-')))
}

/// Each framework says the length where it writes the message.
fn headers(answer: &Answered) -> Vec<(String, String)> {
    let mut headers: Vec<_> =
        answer.headers.iter().filter(|(name, _)| name != "content-length").cloned().collect();
    // Between headers the order is free, between lines of one it is not.
    headers.sort_by(|(one, _), (two, _)| one.cmp(two));
    headers
}

fn same_headers(drawn: &mut Drawn, one: &Answered, two: &Answered) -> bool {
    let (one, two) = (headers(one), headers(two));
    one.len() == two.len() && one.iter().zip(&two).all(|((n, v), (m, w))| n == m && drawn.alike(v, w))
}

fn same_body(drawn: &mut Drawn, one: &Answered, two: &Answered) -> bool {
    drawn.alike(&String::from_utf8_lossy(&one.body), &String::from_utf8_lossy(&two.body))
}

fn shown(answer: &Answered) -> String {
    format!("{} {:#?}\n{}", answer.status, headers(answer), String::from_utf8_lossy(&answer.body))
}

/// Both answers to the last step, after it was made sure that those before it are alike.
async fn both(drawn: &mut Drawn, other: Adapter, scenario: &Scenario) -> (Answered, Answered) {
    beside(drawn, other, in_memory(), scenario).await
}

/// The same, with what the other side keeps kept elsewhere.
async fn beside(
    drawn: &mut Drawn,
    other: Adapter,
    storage: Storage,
    (name, steps): &Scenario,
) -> (Answered, Answered) {
    let axum = match other {
        Adapter::InTheLab(_) => Adapter::InTheLab(Framework::Axum),
        Adapter::Of(_) | Adapter::OfTheGuide => AXUM,
    };
    let mut axum = Side::open(axum, in_memory()).await;
    let mut other = Side::open(other, storage).await;
    let mut answers = None;
    for (at, step) in steps.iter().enumerate() {
        if let Some((one, two)) = answers.take() {
            assert_alike(drawn, name, at, &one, &two);
        }
        answers = Some((axum.take(step).await, other.take(step).await));
    }
    // Cookies that hold something drawn are compared by what the next request makes of them.
    let state = step::get("/privacy/consent");
    let (one, two) = (axum.take(&state).await, other.take(&state).await);
    assert_alike(drawn, name, steps.len() + 1, &one, &two);
    answers.unwrap()
}

fn assert_alike(drawn: &mut Drawn, name: &str, step: usize, one: &Answered, two: &Answered) {
    let alike = one.status == two.status && same_headers(drawn, one, two) && same_body(drawn, one, two);
    assert!(alike, "{name}, step {step}\naxum: {}\n\nthe other: {}", shown(one), shown(two));
}

#[tokio::test]
async fn axum_and_actix_web_answer_alike() {
    let scenarios = || routes::ROUTES.iter().chain(app::APP);
    let mut statuses = BTreeMap::new();
    for scenario in scenarios() {
        let mut drawn = Drawn::default();
        let (one, two) = both(&mut drawn, ACTIX_WEB, scenario).await;
        *statuses.entry(one.status).or_insert(0) += 1;
        assert_alike(&mut drawn, scenario.0, scenario.1.len(), &one, &two);
    }
    let seen: Vec<_> = statuses.keys().copied().collect();
    assert_eq!(seen, [200, 303, 400, 401, 403, 404, 405, 409, 413, 415], "good and bad input: {statuses:?}");
    let names: BTreeSet<_> = scenarios().map(|(name, _)| name).collect();
    assert!(scenarios().count() >= 190, "{}", scenarios().count());
    assert_eq!(names.len(), scenarios().count(), "each has a name of its own");
}

/// PostgreSQL below, directly or through a pooler, and memory below: the same site. The pooler's half is actix-web's.
#[rstest]
#[case::directly(Backend::Postgres, Framework::Axum)]
#[case::through_a_pooler(Backend::Pooled, Framework::ActixWeb)]
#[tokio::test(flavor = "multi_thread")]
async fn postgres_and_memory_answer_alike(#[case] backend: Backend, #[case] framework: Framework) {
    let Some(database) = Database::fresh(backend) else { return };
    // Other tables for each scenario would take longer than everything else.
    let (pool, storage) = (database.pool(), database.under(secret()).await);
    let scenarios = routes::ROUTES.iter().chain(app::APP).map(|scenario| (Adapter::Of(framework), scenario));
    let in_lab = lab::LAB.iter().map(|scenario| (Adapter::InTheLab(framework), scenario));
    for (adapter, scenario) in scenarios.chain(in_lab) {
        database.empty(&pool).await;
        let mut drawn = Drawn::default();
        let (one, two) = beside(&mut drawn, adapter, storage.clone(), scenario).await;
        assert_alike(&mut drawn, scenario.0, scenario.1.len(), &one, &two);
    }
}

/// What regimes, the browser's signal and accounts change is the same on both.
#[tokio::test]
async fn the_laboratory_answers_alike_on_both() {
    for scenario in lab::LAB {
        let mut drawn = Drawn::default();
        let (one, two) = both(&mut drawn, Adapter::InTheLab(Framework::ActixWeb), scenario).await;
        assert_alike(&mut drawn, scenario.0, scenario.1.len(), &one, &two);
    }
}

/// The adapter that the guide teaches is one.
#[tokio::test]
async fn axum_and_the_guide_answer_alike() {
    for scenario in routes::ROUTES {
        let mut drawn = Drawn::default();
        let (one, two) = both(&mut drawn, Adapter::OfTheGuide, scenario).await;
        assert_alike(&mut drawn, scenario.0, scenario.1.len(), &one, &two);
    }
}

/// What is listed as a difference is one, and nothing else of the answers is.
#[tokio::test]
async fn the_frameworks_differ_where_it_is_listed() {
    for (scenario, differs, reason) in app::DIFFERENCES {
        let mut drawn = Drawn::default();
        let (mut one, mut two) = both(&mut drawn, ACTIX_WEB, scenario).await;
        let said = format!("{} ({reason})\naxum: {}\n\nactix-web: {}", scenario.0, shown(&one), shown(&two));
        match *differs {
            Differs::Header(name) => {
                assert!(one.all(name).ne(two.all(name)), "{said}");
                for answer in [&mut one, &mut two] {
                    answer.headers.retain(|(n, _)| n != name);
                }
                assert!(same_body(&mut drawn, &one, &two), "{said}");
            }
            Differs::Page => {
                assert_eq!(one.status, two.status, "{said}");
                assert!(!same_body(&mut drawn, &one, &two), "{said}");
                continue;
            }
            Differs::Body => assert!(!same_body(&mut drawn, &one, &two), "{said}"),
            Differs::Status(axum, actix) => {
                assert_eq!((one.status, two.status), (axum, actix), "{said}");
                continue;
            }
        }
        assert!(one.status == two.status && same_headers(&mut drawn, &one, &two), "{said}");
    }
}

/// The table says the same of the consent cookie's value only because it looks at it.
#[test]
fn what_is_drawn_stands_for_the_same_everywhere() {
    let (a, b, c) = ("a".repeat(26), "b".repeat(26), "c".repeat(26));
    let mut drawn = Drawn::default();
    assert!(drawn.alike(&format!("id={a}; {a}"), &format!("id={b}; {b}")));
    assert!(!drawn.alike(&a, &c), "it stood for another before");
    assert!(!drawn.alike(&c, &b), "another stood for it before");
    assert!(!Drawn::default().alike(&a, &b[1..]));
    assert!(!Drawn::default().alike("refused", "granted"), "too short to be drawn");
}

/// The last difference: with nothing of privet around a route, `Option<Granted<C>>` is a 500 with the cure on axum.
/// actix-web makes a `None` of whatever an extractor fails with, and there is nobody to answer instead: it is the strict
/// side, and said in the log, each time.
#[tokio::test]
async fn without_privet_an_option_is_answered_by_axum_and_logged_on_actix_web() {
    let log = Log::default();
    let _guard = log.listen(tracing::Level::ERROR);
    let of_axum = axum::Router::new().route(
        "/",
        axum::routing::get(|granted: Option<privet_axum::Granted<Analytics>>| async move {
            granted.map_or("none", |_| "granted")
        }),
    );
    let request = http::Request::new(axum::body::Body::empty());
    let answer = of_axum.oneshot(request).await.unwrap();
    assert_eq!(answer.status(), 500);
    assert_eq!(log.said().matches("privet is not around this route").count(), 1);

    let of_actix = actix_web::App::new().route(
        "/",
        actix_web::web::get().to(|granted: Option<privet_actix_web::Granted<Analytics>>| async move {
            granted.map_or("none", |_| "granted")
        }),
    );
    let of_actix = actix_web::test::init_service(of_actix).await;
    let request = actix_web::test::TestRequest::default().to_request();
    assert_eq!(actix_web::test::call_and_read_body(&of_actix, request).await, "none");
    assert_eq!(log.said().matches("as the last `wrap`").count(), 1);
}
