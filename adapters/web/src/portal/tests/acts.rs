//! What operators do.

use std::time::Duration;

use serde_json::Value;

use super::fixture::Lab;

/// Whatever was announced went, and nothing else.
fn same(preview: &Value, removed: &Value) {
    let kinds = ["contacts", "conversations", "messages", "notes", "records"];
    assert_eq!(kinds.map(|kind| &preview[kind]), kinds.map(|kind| &removed[kind]));
}

#[test]
fn the_preview_is_what_goes() {
    let lab = Lab::new();
    let (contact, _) = lab.contact(1, "Hello");
    let path = format!("/main/contacts/{contact}");
    for text in ["likes roses", "called on Monday"] {
        assert_eq!(lab.post("agent", &format!("{path}/notes"), &[("text", text)]).status, 303);
    }
    let erase = format!("{path}/erase");
    let (page, preview) = (lab.page("officer", &erase), lab.json("officer", &erase).json());
    assert_eq!(
        (&preview["contacts"], &preview["messages"], &preview["notes"]),
        (&1.into(), &1.into(), &2.into())
    );
    assert!(page.text.contains("<dt>Notes</dt><dd>2</dd>") && page.text.contains("method=\"post\""));
    same(&preview, &lab.post_json("officer", &erase, &[]).json());
    assert_eq!(lab.page("officer", &path).status, 404);
    assert_eq!(lab.post("officer", &erase, &[]).status, 404);
}

#[test]
fn a_clean_up_takes_what_was_counted() {
    let lab = Lab::new();
    for octet in 1..=3 {
        lab.contact(octet, "Hello");
    }
    lab.days_pass(40);
    let (kept, _) = lab.contact(4, "Hello");
    let preview = lab.json("officer", "/main/stale?before=2027-02-01").json();
    assert_eq!((&preview["contacts"], &preview["more"]), (&3.into(), &false.into()));
    assert!(lab.page("officer", "/main/stale?before=2027-02-01").text.contains("<strong>3</strong>"));
    let removed = lab.post_json("officer", "/main/stale", &[("before", "2027-02-01")]).json();
    assert_eq!((&removed["removed"]["contacts"], &removed["contacts"]), (&3.into(), &0.into()));
    assert_eq!(lab.page("officer", &format!("/main/contacts/{kept}")).status, 200);
    // A day that is still to come would be everybody.
    for before in ["", "2027-03-01", "9999-12-31", "x"] {
        assert_eq!(lab.post("officer", "/main/stale", &[("before", before)]).status, 400, "{before}");
    }
    assert_eq!(lab.page("officer", &format!("/main/contacts/{kept}")).status, 200);
}

#[test]
fn a_clean_up_goes_in_steps() {
    let lab = Lab::new();
    for _ in 0..501 {
        lab.contact(1, "Hello");
    }
    lab.days_pass(40);
    let form = [("before", "2027-02-01")];
    let page = lab.post("officer", "/main/stale", &form);
    assert!(page.status == 200 && page.text.contains("<dt>Contacts</dt><dd>500</dd>"));
    assert!(
        page.text.contains("Contacts still left: <strong>1</strong>")
            && page.text.contains(">Continue</button>")
    );
    let page = lab.post("officer", "/main/stale", &form);
    assert!(page.text.contains("<dt>Contacts</dt><dd>1</dd>") && !page.text.contains(">Continue</button>"));
}

#[test]
fn conversations_are_answered_closed_and_erased() {
    let lab = Lab::new();
    let (contact, talk) = lab.contact(1, "Are the roses hardy?");
    let path = format!("/main/conversations/{talk}");
    let open = lab.json("agent", "/main/conversations").json();
    assert_eq!(open["conversations"][0]["awaits_answer"], true);
    assert_eq!(open["conversations"][0]["last"]["text"], "Are the roses hardy?");
    let answered = lab.post_json("agent", &format!("{path}/answer"), &[("text", "To −20 °C.")]);
    assert_eq!(answered.status, 201);
    let seen = lab.json("agent", &path).json();
    assert_eq!(seen["awaits_answer"], false);
    assert_eq!(seen["contact"], contact.to_string());
    assert_eq!(
        (&seen["message_list"][1]["author"], &seen["message_list"][1]["text"]),
        (&"agent".into(), &"To −20 °C.".into())
    );
    let page = lab.page("agent", &path).text;
    assert!(page.find("Are the roses").unwrap() < page.find("To −20").unwrap());
    assert!(page.contains("name=\"text\"") && !page.contains("/erase"));
    let message = format!("{path}/messages/1/erase");
    assert_eq!(lab.json("officer", &message).json()["messages"], 1);
    assert_eq!(lab.post_json("officer", &message, &[]).json()["messages"], 1);
    assert_eq!(lab.page("officer", &message).status, 404);
    assert_eq!(lab.post("officer", &format!("{path}/messages/x/erase"), &[]).status, 404);
    assert_eq!(lab.post("agent", &format!("{path}/close"), &[]).status, 303);
    assert_eq!(lab.post("agent", &format!("{path}/answer"), &[("text", "Late")]).status, 409);
    assert!(!lab.page("agent", &path).text.contains("name=\"text\""));
    let erase = format!("{path}/erase");
    let preview = lab.json("officer", &erase).json();
    assert_eq!((&preview["conversations"], &preview["messages"]), (&1.into(), &1.into()));
    same(&preview, &lab.post_json("officer", &erase, &[]).json());
    assert_eq!(lab.page("officer", &path).status, 404);
}

#[test]
fn notes_and_blocks() {
    let lab = Lab::new();
    let (contact, _) = lab.contact(1, "Hello");
    let path = format!("/main/contacts/{contact}");
    let note = lab.post_json("agent", &format!("{path}/notes"), &[("text", "likes roses")]);
    assert_eq!(note.status, 201);
    let erase = format!("{path}/notes/{}/erase", note.json()["id"].as_str().unwrap());
    let page = lab.page("agent", &path).text;
    assert!(page.contains("likes roses") && page.contains(&format!("action=\"/privacy/portal{erase}\"")));
    assert!(!lab.page("viewer", &path).text.contains("likes roses"));
    assert_eq!(lab.post("agent", &erase, &[]).status, 303);
    assert!(!lab.page("agent", &path).text.contains("likes roses"));
    assert_eq!(lab.post("agent", &format!("{path}/block"), &[]).status, 303);
    assert!(lab.page("viewer", &path).text.contains("Nothing that this contact writes is accepted."));
    assert_eq!(lab.json("viewer", &path).json()["blocked"], true);
    assert_eq!(lab.post("agent", &format!("{path}/unblock"), &[]).status, 303);
    assert_eq!(lab.json("viewer", &path).json()["blocked"], false);
    let export = lab.page("officer", &format!("{path}/export"));
    assert_eq!(export.header("content-disposition"), "attachment; filename=\"contact.json\"");
    assert_eq!(export.json()["contact"]["id"], contact.to_string());
}

#[test]
fn whoever_is_refused_is_in_the_log() {
    let lab = Lab::new();
    let (contact, talk) = lab.contact(1, "Hello");
    let refused = |lab: &Lab| {
        let log = lab.json("officer", "/main/log").json();
        log["events"].as_array().unwrap().iter().filter(|e| e["outcome"] == "refused").count()
    };
    let contact = format!("/main/contacts/{contact}");
    let (export, erase) = (format!("{contact}/export"), format!("{contact}/erase"));
    let talk = format!("/main/conversations/{talk}");
    for (n, path) in ["/main/stale", "/main/stale?before=x", "/main/log", &export, &erase].iter().enumerate()
    {
        assert_eq!((lab.page("agent", path).status, refused(&lab)), (403, n + 1), "{path}");
    }
    assert_eq!((lab.page("viewer", &talk).status, refused(&lab)), (403, 6));
    let answer = format!("{talk}/answer");
    for (n, path) in [&erase, "/main/stale", &answer, &format!("{contact}/notes")].into_iter().enumerate() {
        assert_eq!((lab.post("viewer", path, &[]).status, refused(&lab)), (403, n + 7), "{path}");
    }
}

#[test]
fn the_log_has_it_all() {
    let lab = Lab::new();
    let (contact, _) = lab.contact(1, "Hello");
    lab.page("agent", &format!("/main/contacts/{contact}"));
    // What happens in one millisecond has no order.
    lab.clock.advance(Duration::from_millis(1));
    lab.page("viewer", &format!("/main/contacts/{contact}/erase"));
    lab.clock.advance(Duration::from_millis(1));
    let events = lab.json("officer", "/main/log").json();
    let told: Vec<_> =
        events["events"].as_array().unwrap().iter().map(|e| (&e["verb"], &e["outcome"])).collect();
    assert_eq!(told[0], (&"read-audit".into(), &"allowed".into()));
    assert_eq!(told[1], (&"preview-erasure".into(), &"refused".into()));
    assert_eq!(told[2], (&"see-contact".into(), &"allowed".into()));
    let text = events.to_string();
    assert!(!text.contains(&contact.to_string()) && !text.contains("Hello"));
    for _ in 0..110 {
        lab.json("viewer", "/main/contacts");
    }
    let first = lab.json("officer", "/main/log").json();
    let next = first["next"].as_str().unwrap().to_owned();
    let second = lab.json("officer", &format!("/main/log?after={next}")).json();
    assert!(second["next"].is_null());
    let page = lab.page("officer", "/main/log?lang=de").text;
    assert!(page.contains("Protokoll gelesen") && page.contains(">Nächste Seite</a>"));
}
