//! The program as CI calls it.
#![allow(clippy::unwrap_used, reason = "a test that meets something else has failed")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

const CATALOGUE: &str = r#"
    [controller]
    name = "Shop"
    contact = "privacy@shop.example"

    [[category]]
    id = "analytics"
    purpose = "Counting."

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
"#;

const VISITS: &str = "visits=s3cret; Path=/; Secure; HttpOnly; SameSite=Lax";

fn entry(second: u32, method: &str, url: &str, set: &str, form: &str) -> Value {
    let mut entry = json!({
        "startedDateTime": format!("2026-11-27T10:00:{second:02}.000Z"),
        "time": 5,
        "request": {"method": method, "url": url, "headers": []},
        "response": {"status": if method == "POST" { 303 } else { 200 }, "headers": []},
    });
    if !set.is_empty() {
        entry["response"]["headers"] = json!([{"name": "Set-Cookie", "value": set}]);
    }
    if !form.is_empty() {
        entry["request"]["postData"] = json!({"mimeType": "application/x-www-form-urlencoded", "text": form});
    }
    entry
}

/// A visitor who accepts at a path, and is counted from then on.
fn accepting(base: &str, days: u32) -> Vec<Value> {
    let choice =
        format!("__Host-privet=x; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age={}", days * 86_400);
    vec![
        entry(0, "GET", "https://shop.example/", "", ""),
        entry(
            1,
            "POST",
            &format!("https://shop.example{base}/consent"),
            &choice,
            "action=accept_all&notice=t",
        ),
        entry(2, "GET", "https://shop.example/", VISITS, ""),
    ]
}

fn write(folder: &Path, name: &str, entries: &[Value]) {
    fs::write(folder.join(name), json!({"log": {"version": "1.2", "entries": entries}}).to_string()).unwrap();
}

fn audit(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_audit")).args(args).current_dir(folder).output().unwrap()
}

fn code_and_text(folder: &Path, args: &[&str]) -> (i32, String) {
    let output = audit(folder, args);
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(text).unwrap())
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("privet.toml"), CATALOGUE).unwrap();
    folder
}

/// GATE-11: nought for a clean visit, one for an extra cookie, which is named with its stage.
#[test]
fn gate_11_the_exit_code_says_whether_all_is_declared() {
    let folder = folder();
    let at = folder.path();
    write(at, "clean.har", &accepting("/privacy", 180));
    write(at, "extra.har", &[entry(0, "GET", "https://shop.example/?q=s3cret", "tracker=s3cret", "")]);
    write(at, "elsewhere.har", &accepting("/mine", 300));
    let call = |args: &[&str]| code_and_text(at, &[&["--catalogue", "privet.toml"], args].concat());

    let (code, text) = call(&["clean.har"]);
    assert_eq!(code, 0, "{text}");
    let (code, text) = call(&["clean.har", "extra.har"]);
    assert_eq!(code, 1);
    let line = text.lines().find(|l| l.contains("tracker")).unwrap();
    assert!(line.starts_with("before-choice") && line.contains("undeclared"), "{line}");
    assert!(text.contains("4 requests") && text.contains("1 findings") && !text.contains("s3cret"), "{text}");

    let (code, text) = call(&["--json", "extra.har"]);
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, &report["seen"][0]["name"]), (1, &json!("tracker")));
    assert_eq!((call(&["--json", "extra.har"])), (code, text), "the same each time");

    assert_eq!(call(&["--stage", "after-grant", "clean.har"]).0, 0);
    assert_eq!(call(&["--stage", "after-withdrawal", "clean.har"]).0, 1);
    let (code, text) = call(&["--site", "https://blog.example", "clean.har"]);
    assert_eq!(code, 1);
    assert!(text.contains("host") && text.contains("shop.example"), "{text}");
    assert_eq!(call(&["--base-path", "/mine", "--choice-life", "300", "elsewhere.har"]).0, 0);
    assert_eq!(call(&["--regime", "opt-out", "--stage", "before-choice", "clean.har"]).0, 0);
    let (code, text) = call(&["--seen", "after-refusal:local-storage:a:b"]);
    assert!(code == 1 && text.contains("a:b"), "{text}");
}

/// What cannot be judged is no clean visit: two, with the file and the reason.
#[test]
fn gate_11_bad_input_is_named_and_not_clean() {
    let folder = folder();
    let at = folder.path();
    write(at, "clean.har", &accepting("/privacy", 180));
    write(at, "empty.har", &[]);
    write(at, "elsewhere.har", &accepting("/mine", 180));
    fs::write(at.join("broken.har"), "{\"log\": s3cret").unwrap();
    fs::write(at.join("other.har"), "{\"name\": \"s3cret\"}").unwrap();
    fs::write(at.join("wrong.toml"), "[controller]\nnam = 1").unwrap();
    for (args, says) in [
        (
            &["--catalogue", "privet.toml", "clean.har", "empty.har"][..],
            "empty.har: the HAR file holds no request",
        ),
        (&["--catalogue", "privet.toml", "broken.har"], "broken.har: it is no JSON"),
        (&["--catalogue", "privet.toml", "other.har"], "other.har: it is JSON, and no HAR file"),
        (&["--catalogue", "privet.toml", "none.har"], "none.har: "),
        (&["--catalogue", "privet.toml", "elsewhere.har"], "no route of privet below `/privacy`"),
        (&["--catalogue", "wrong.toml", "clean.har"], "wrong.toml: "),
        (&["--catalogue", "none.toml", "clean.har"], "none.toml: "),
        (&["--catalogue", "privet.toml", "--base-path", "mine", "clean.har"], "`mine` is no path"),
        (&["--catalogue", "privet.toml", "--site", "shop", "clean.har"], "`shop` is no origin"),
        (&["--catalogue", "privet.toml", "--stage", "later", "clean.har"], "no stage `later`"),
        (&["--catalogue", "privet.toml", "--regime", "none", "clean.har"], "no regime `none`"),
        (&["--catalogue", "privet.toml", "--choice-life", "long", "clean.har"], "`long` is no number"),
        (&["--catalogue", "privet.toml", "--seen", "theme"], "no stage `theme`"),
        (&["--catalogue", "privet.toml", "--strict", "clean.har"], "no option --strict"),
        (&["--catalogue", "privet.toml"], "no HAR file is named"),
        (&["clean.har", "--catalogue"], "--catalogue needs a value"),
        (&["clean.har"], "no catalogue is named"),
    ] {
        let output = audit(at, args);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {said}");
        assert!(said.contains(says) && !said.contains("s3cret"), "{args:?}: {said}");
        assert!(output.stdout.is_empty(), "{args:?}");
    }
}
