//! The portal's doors on both frameworks: every route that there is, by its own document.

use oas3::OpenApiV3Spec;
use privet::Storage;
use privet_tests::database::{Backend, Database};
use privet_tests::lab::OPERATOR;
use privet_tests::server::Framework;
use privet_web::testing::{Answered, Asked};
use rstest::rstest;
use serde_json::Value;

use crate::step::{FORM, PEOPLE, SAME, Step, post};
use crate::{Adapter, Drawn, Side, assert_alike, in_memory, secret};

const OFFICER: &str = "privacy-officer@main";
const NOBODY: &str = "00000000-0000-4000-8000-000000000000";

const ACCEPT: Step = post("/privacy/consent", &[SAME, FORM, PEOPLE], "action=accept_all&notice={notice}");
const SAY: Step = post("/say", &[SAME, FORM], "");

/// A laboratory with one contact that asks a person something, and where both are.
struct Door {
    side: Side,
    contact: String,
    conversation: String,
}

/// In memory where nothing is said.
async fn storage(on: Option<&Database>) -> Storage {
    match on {
        None => in_memory(),
        Some(database) => database.another().under(secret()).await,
    }
}

/// Where a door's data is: in memory, or in a database, which is not there on every machine.
fn place(backend: Option<Backend>) -> Option<Option<Database>> {
    match backend {
        None => Some(None),
        Some(backend) => Database::fresh(backend).map(Some),
    }
}

async fn asked(side: &mut Side, method: &'static str, path: &str, headers: &[(&str, &str)]) -> Answered {
    let body = if method == "POST" { "text=Hello&before=2020-01-01" } else { "" };
    let asked = Asked::new(method, path.to_owned()).body(body.to_owned());
    let all = headers.iter().filter(|(_, value)| !value.is_empty());
    side.client.ask(all.fold(asked, |asked, (name, value)| asked.header(*name, *value))).await
}

impl Door {
    async fn open(framework: Framework, storage: Storage) -> Self {
        let mut side = Side::open(Adapter::InTheLab(framework), storage).await;
        side.take(&ACCEPT).await;
        assert_eq!(side.take(&SAY).await.status, 204);
        let mut first = async |path: &str, list: &str| {
            let headers = [(OPERATOR, OFFICER), ("accept", "application/json")];
            let answer = asked(&mut side, "GET", path, &headers).await;
            let value: Value = serde_json::from_slice(&answer.body).unwrap();
            value[list][0]["id"].as_str().unwrap().to_owned()
        };
        let contact = first("/privacy/portal/main/contacts", "contacts").await;
        let conversation = first("/privacy/portal/main/conversations", "conversations").await;
        Self { side, contact, conversation }
    }

    /// The portal's own document, as a client of it reads it.
    async fn document(&mut self) -> OpenApiV3Spec {
        let document =
            asked(&mut self.side, "GET", "/privacy/portal/openapi.json", &[(OPERATOR, OFFICER)]).await;
        oas3::from_json(String::from_utf8(document.body.to_vec()).unwrap()).unwrap()
    }

    /// Every route, as its document has it: method and path.
    async fn routes(&mut self) -> Vec<(&'static str, String)> {
        let document = self.document().await;
        let mut routes = Vec::new();
        for (path, method, _) in document.operations() {
            routes.push((if method.as_str() == "GET" { "GET" } else { "POST" }, path));
        }
        routes
    }

    fn filled(&self, path: &str, there: bool) -> String {
        let (contact, conversation) =
            if there { (&*self.contact, &*self.conversation) } else { (NOBODY, NOBODY) };
        path.replace("{contact}", contact)
            .replace("{conversation}", conversation)
            .replace("{site}", "main")
            .replace("{note}", NOBODY)
            .replace("{number}", "1")
    }
}

/// What must not tell two things apart, but for the address that was asked for.
fn told(answer: &Answered, path: &str) -> (u16, Vec<(String, String)>, String) {
    let mut headers = answer.headers.clone();
    headers.sort();
    (answer.status, headers, String::from_utf8_lossy(&answer.body).replace(path, "…"))
}

/// TEN-02, SEC-02: a stranger, an operator of another tenant, and a form of another site get the same for what is there and for
/// what is not, on every route of the portal, on both frameworks, over memory and over PostgreSQL.
#[rstest]
#[case::in_memory(None)]
#[case::postgres(Some(Backend::Postgres))]
#[case::through_a_pooler(Some(Backend::Pooled))]
#[tokio::test(flavor = "multi_thread")]
async fn ten_02_nobody_learns_at_the_door_what_is_behind_it(#[case] backend: Option<Backend>) {
    let Some(database) = place(backend) else { return };
    let mut doors = Vec::new();
    for framework in [Framework::Axum, Framework::ActixWeb] {
        doors.push(Door::open(framework, storage(database.as_ref()).await).await);
    }
    let routes = doors[0].routes().await;
    assert_eq!(routes, doors[1].routes().await);
    assert!(routes.len() >= 28, "{}", routes.len());
    let everybody = [
        ("", "same-origin", 401),
        ("privacy-officer@other", "same-origin", 404),
        (OFFICER, "cross-site", 403),
        (OFFICER, "", 403),
    ];
    for (method, route) in &routes {
        for (who, from, wanted) in everybody {
            // Whoever may read is not asked whence; and what every operator has is no secret of a tenant's.
            let of_site = route.contains("{site}");
            if (wanted == 403 && *method == "GET") || (wanted == 404 && !of_site) {
                continue;
            }
            for accept in ["text/html", "application/json"] {
                let headers = [(OPERATOR, who), ("sec-fetch-site", from), ("accept", accept), FORM];
                let mut both = Vec::new();
                for door in &mut doors {
                    let (there, missing) = (door.filled(route, true), door.filled(route, false));
                    let one = asked(&mut door.side, method, &there, &headers).await;
                    let two = asked(&mut door.side, method, &missing, &headers).await;
                    assert_eq!(one.status, wanted, "{method} {route} by {who:?}: {:?}", told(&one, ""));
                    assert_eq!(told(&one, &there), told(&two, &missing), "{method} {route} by {who:?}");
                    both.push(one);
                }
                let name = format!("{method} {route} by {who:?}");
                // What is drawn at random on either side stands in the links to other languages.
                assert_alike(&mut Drawn::default(), &name, 0, &both[0], &both[1]);
            }
        }
    }
    // Forged and mistaken cursors are refused alike.
    let known = ["AAAA", "not a cursor", &"A".repeat(66)];
    for door in &mut doors {
        for cursor in known {
            let path = format!("/privacy/portal/main/contacts?cursor={}", cursor.replace(' ', "+"));
            assert_eq!(
                asked(&mut door.side, "GET", &path, &[(OPERATOR, OFFICER)]).await.status,
                400,
                "{cursor}"
            );
        }
        let left = asked(
            &mut door.side,
            "GET",
            "/privacy/portal/main/contacts",
            &[(OPERATOR, OFFICER), ("accept", "application/json")],
        )
        .await;
        assert!(String::from_utf8_lossy(&left.body).contains(&door.contact), "nothing was done");
    }
}

/// What an operator sees is the same on both, and the same from memory and from PostgreSQL.
#[rstest]
#[case::in_memory(Framework::ActixWeb, None)]
#[case::postgres(Framework::ActixWeb, Some(Backend::Postgres))]
#[case::postgres_on_axum(Framework::Axum, Some(Backend::Postgres))]
#[case::through_a_pooler(Framework::ActixWeb, Some(Backend::Pooled))]
#[tokio::test(flavor = "multi_thread")]
async fn the_portal_answers_alike_on_both(#[case] framework: Framework, #[case] backend: Option<Backend>) {
    let Some(database) = place(backend) else { return };
    let mut one = Door::open(Framework::Axum, in_memory()).await;
    let mut two = Door::open(framework, storage(database.as_ref()).await).await;
    let mut drawn = Drawn::default();
    let routes = one.routes().await;
    for (method, route) in routes.iter().filter(|(method, route)| {
        // What erases comes last, and what does not end is looked at in a browser.
        let lasting = !route.ends_with("/erase") && !route.ends_with("/stale") && !route.ends_with("/events");
        *method == "GET" || lasting
    }) {
        if route.ends_with("/events") || route.ends_with("/log") {
            continue;
        }
        for accept in ["text/html", "application/json"] {
            let headers = [(OPERATOR, OFFICER), ("sec-fetch-site", "same-origin"), ("accept", accept), FORM];
            let (a, b) = (one.filled(route, true), two.filled(route, true));
            let first = asked(&mut one.side, method, &a, &headers).await;
            let second = asked(&mut two.side, method, &b, &headers).await;
            assert!(first.status < 500, "{method} {route}");
            assert_alike(&mut drawn, &format!("{method} {route} as {accept}"), 0, &first, &second);
        }
    }
}

/// The document is what a client meets: every operation answers with a status and a kind of body that it names, to whoever may
/// and to a stranger, and takes the parameters that its path has.
#[rstest]
#[case::in_memory(None)]
#[case::postgres(Some(Backend::Postgres))]
#[tokio::test(flavor = "multi_thread")]
async fn the_document_says_what_is_answered(#[case] backend: Option<Backend>) {
    let Some(database) = place(backend) else { return };
    let mut door = Door::open(Framework::Axum, storage(database.as_ref()).await).await;
    let document = door.document().await;
    let mut names = std::collections::BTreeSet::new();
    // What erases comes last.
    let mut operations: Vec<_> = document.operations().collect();
    operations.sort_by_key(|(path, method, _)| {
        (method.as_str() == "POST" && path.ends_with("/erase"), path.clone())
    });
    for (path, method, operation) in operations {
        let name = operation.operation_id.clone().unwrap();
        assert!(names.insert(name.clone()), "{name} twice");
        for parameter in operation.parameters(&document).unwrap() {
            let in_path = path.contains(&format!("{{{}}}", parameter.name));
            assert_eq!(parameter.required == Some(true), in_path, "{name}: {}", parameter.name);
        }
        let responses = operation.responses(&document);
        let method = if method.as_str() == "GET" { "GET" } else { "POST" };
        for who in [OFFICER, ""] {
            let there = door.filled(&path, true);
            let headers =
                [(OPERATOR, who), ("sec-fetch-site", "same-origin"), ("accept", "application/json"), FORM];
            let answer = asked(&mut door.side, method, &there, &headers).await;
            let said = responses.get(&answer.status.to_string());
            let said = said
                .unwrap_or_else(|| panic!("{name} answered {}, which is not in the document", answer.status));
            let kind = answer.all("content-type").next().unwrap_or_default().to_owned();
            let kind = kind.split(';').next().unwrap_or_default().to_owned();
            assert_eq!(
                said.content.contains_key(&kind),
                !kind.is_empty(),
                "{name}, {}: {kind}",
                answer.status
            );
            assert_eq!(answer.status == 401, who.is_empty(), "{name}");
        }
    }
}
