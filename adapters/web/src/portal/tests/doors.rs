//! Who gets where.

use privet::contact::NoteId;

use super::super::routes::ROUTES;
use super::fixture::{Lab, ORIGIN};

/// Each route with ids that are there.
fn paths(lab: &Lab) -> Vec<(bool, &'static str, String)> {
    ROUTES
        .iter()
        .map(|route| {
            // One of its own for each: some erase it.
            let (contact, conversation) = lab.contact(1, "Are the roses hardy?");
            let mut path = route.path.replace("{site}", "main").replace("{number}", "1");
            path = path.replace("{contact}", &contact.to_string());
            path = path.replace("{conversation}", &conversation.to_string());
            path = path.replace("{note}", &NoteId::generate().unwrap().to_string());
            (route.post, route.path, path)
        })
        .collect()
}

/// What a route answers to a viewer, an agent, an officer, and an officer of another tenant.
fn expected(post: bool, route: &str) -> [u16; 4] {
    match (post, route) {
        (_, "" | "/" | "/portal.css" | "/portal.js" | "/openapi.json") => [200; 4],
        (false, "/{site}") => [303, 303, 303, 404],
        (false, "/{site}/contacts" | "/{site}/contacts/{contact}" | "/{site}/overview") => {
            [200, 200, 200, 404]
        }
        (
            false,
            "/{site}/conversations"
            | "/{site}/conversations/{conversation}"
            | "/{site}/conversations/{conversation}/events",
        ) => [403, 200, 200, 404],
        (false, _) | (true, "/{site}/stale") => [403, 403, 200, 404],
        // There is no such note.
        (true, "/{site}/contacts/{contact}/notes/{note}/erase") => [403, 404, 404, 404],
        (true, path) if path.ends_with("/erase") => [403, 403, 303, 404],
        (true, _) => [403, 303, 303, 404],
    }
}

#[test]
fn every_route_asks_who_it_is() {
    let lab = Lab::new();
    for (n, who) in ["viewer", "agent", "officer", "foreign"].into_iter().enumerate() {
        for (post, route, path) in paths(&lab) {
            let form = [("text", "Yes, to −20 °C."), ("before", "2026-01-01")];
            let seen = if post { lab.post(who, &path, &form) } else { lab.page(who, &path) };
            let mut wanted = expected(post, route)[n];
            if who == "foreign" && route.trim_matches('/').is_empty() {
                // One site: straight to it.
                wanted = 303;
            }
            assert_eq!(seen.status, wanted, "{who} {post} {route}: {}", seen.text);
            if !route.contains("portal.") {
                assert_eq!(seen.header("cache-control"), "private, no-store", "{route}");
            }
        }
    }
}

#[test]
fn a_stranger_learns_nothing() {
    let lab = Lab::new();
    let known = lab.page("", "");
    assert_eq!((known.status, known.header("cache-control")), (401, "private, no-store"));
    assert!(
        known.text.contains("href=\"/sign-in\"")
            && known.header("content-security-policy").contains("frame-ancestors 'none'")
    );
    let (mut asked, problem) = (0, lab.json("", "").text);
    assert!(problem.contains("For operators only"));
    let all = paths(&lab).into_iter().map(|(post, _, path)| (post, path));
    let more = ["/nothing", "/main/nothing", "/%00", "/nowhere/contacts", "/main/contacts/1"];
    for (post, path) in all.chain(more.map(|p| (false, p.to_owned()))) {
        let seen = if post { lab.post("", &path, &[]) } else { lab.page("", &path) };
        assert_eq!((seen.status, &seen.text), (401, &known.text), "{path}");
        assert_eq!(lab.json("", &path).text, problem, "{path}");
        asked += 1;
    }
    assert_eq!(asked, ROUTES.len() + 5);
    assert_eq!(lab.send_body("", "/main/stale", None, "cross-site", "text/html").text, known.text);
    let broken = lab.page("broken", "");
    assert_eq!(broken.status, 503);
    assert!(!broken.text.contains("sessions"));
}

#[test]
fn what_is_not_there_and_what_is_foreign_look_alike() {
    let lab = Lab::new();
    let (contact, conversation) = lab.contact(1, "Hello");
    let unknown = lab.page("foreign", "/nothing/at/all");
    assert_eq!(unknown.status, 404);
    let own_prefix = |text: &str| text.split("<footer>").next().unwrap().to_owned();
    for path in [
        format!("/main/contacts/{contact}"),
        format!("/theirs/contacts/{contact}"),
        format!("/theirs/conversations/{conversation}"),
        "/theirs/contacts/no-id".to_owned(),
        "/second/contacts".to_owned(),
        "/theirs/contacts/00000000-0000-4000-8000-000000000000".to_owned(),
        "/theirs/conversations/%00".to_owned(),
    ] {
        let seen = lab.page("foreign", &path);
        assert_eq!(seen.status, 404, "{path}");
        assert_eq!(own_prefix(&seen.text), own_prefix(&unknown.text), "{path}");
        assert_eq!(lab.json("foreign", &path).text, lab.json("foreign", "/nothing").text, "{path}");
    }
    // At another site of the same tenant it is not there either.
    assert_eq!(lab.page("officer", &format!("/second/contacts/{contact}")).status, 404);
    assert_eq!(lab.page("officer", &format!("/main/contacts/{contact}")).status, 200);
}

#[test]
fn only_the_portal_itself_changes_something() {
    let lab = Lab::new();
    let (contact, _) = lab.contact(1, "Hello");
    let path = format!("/main/contacts/{contact}/erase");
    for from in ["cross-site", "same-site", "new-word"] {
        assert_eq!(lab.send_body("officer", &path, Some(b""), from, "text/html").status, 403, "{from}");
    }
    // Headers that do not tell are refused as well; the origin tells, where it is the site's own.
    for (origin, status) in [("", 403), ("https://evil.example", 403), ("null", 403), (ORIGIN, 303)] {
        let mut request = lab.request("POST", "officer", &path);
        if !origin.is_empty() {
            request = request.headers([("origin", origin.as_bytes())]);
        }
        assert_eq!(lab.sent(&request).status, status, "{origin}");
    }
    assert_eq!(lab.page("officer", &format!("/main/contacts/{contact}")).status, 404);
    let seen = lab.sent(&lab.request("DELETE", "officer", &path));
    assert_eq!((seen.status, seen.header("allow")), (405, "GET, HEAD, POST"));
}
