//! What others write does nothing, and what is too much is refused.

use super::fixture::Lab;

const MARKUP: &str = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'--></textarea>";
const UNSEEN: &str = "a\u{0}b\u{1b}[31m\u{202e}exe.gpj\u{2066}\u{85}";

#[test]
fn what_visitors_and_operators_write_is_inert() {
    let lab = Lab::new();
    let mut visitor = lab.visitor(1);
    visitor.consents(&lab);
    visitor.says(&lab, MARKUP, "https://garden.example/roses");
    visitor.says(&lab, UNSEEN, "https://evil.example/roses");
    let posted = visitor.says(&lab, "=1+1", "/lilies");
    let (contact, talk) = (posted.contact.unwrap(), posted.conversation);
    let notes = format!("/main/contacts/{contact}/notes");
    for text in [MARKUP, UNSEEN, "=1+1"] {
        assert_eq!(lab.post("agent", &notes, &[("text", text)]).status, 303);
        let answer = format!("/main/conversations/{talk}/answer");
        assert_eq!(lab.post("agent", &answer, &[("text", text)]).status, 303);
    }
    for path in [
        format!("/main/contacts/{contact}"),
        format!("/main/conversations/{talk}"),
        "/main/conversations".to_owned(),
        format!("/main/conversations/{talk}/messages/1/erase"),
        format!("/main/conversations/{talk}/messages/2/erase"),
    ] {
        let seen = lab.page("officer", &path);
        assert_eq!(seen.status, 200, "{path}");
        assert!(!seen.text.contains("<script>") && !seen.text.contains("<img"), "{path}");
        for c in ['\u{0}', '\u{1b}', '\u{202e}', '\u{2066}', '\u{85}'] {
            assert!(!seen.text.contains(c), "{path} {c:?}");
        }
        assert!(!seen.text.contains(" style=") && !seen.text.contains(" onerror=alert(2)>"), "{path}");
        assert!(seen.header("content-security-policy").starts_with("default-src 'none'"));
    }
    let seen = lab.page("officer", &format!("/main/conversations/{talk}"));
    assert!(seen.text.contains("a\u{fffd}b\u{fffd}[31m\u{fffd}exe.gpj\u{fffd}\u{fffd}"));
    assert!(seen.text.contains("=1+1"));
    // Linked only where it leads to the site itself.
    let seen = lab.page("officer", &format!("/main/contacts/{contact}"));
    assert!(seen.text.contains("href=\"https://garden.example/roses\""));
    assert!(seen.text.contains("href=\"https://garden.example/lilies\""));
    assert!(
        seen.text.contains("https://evil.example/roses")
            && !seen.text.contains("href=\"https://evil.example")
    );
}

#[test]
fn an_origin_that_only_begins_like_the_own_one_is_no_link() {
    let lab = Lab::new();
    let mut visitor = lab.visitor(1);
    visitor.consents(&lab);
    let posted = visitor.says(&lab, "Hi", "https://garden.example.evil.example/x");
    let seen = lab.page("agent", &format!("/main/conversations/{}", posted.conversation));
    assert!(seen.text.contains("garden.example.evil.example/x"));
    assert!(!seen.text.contains("href=\"https://garden.example.evil"));
}

#[test]
fn what_is_too_much_or_none_is_refused() {
    let lab = Lab::new();
    let (contact, talk) = lab.contact(1, "Hello");
    let notes = format!("/main/contacts/{contact}/notes");
    let answer = format!("/main/conversations/{talk}/answer");
    // An adapter passes no body on that is longer than the portal takes.
    let text = "x".repeat(1024 * 1024);
    for path in [&notes, &answer] {
        assert_eq!(lab.send_body("agent", path, None, "same-origin", "text/html").status, 413);
        assert_eq!(lab.post("agent", path, &[("text", &text)]).status, 400, "{path}");
        for text in ["", " \n "] {
            assert_eq!(lab.post("agent", path, &[("text", text)]).status, 400, "{path}");
        }
        assert_eq!(
            lab.send_body("agent", path, Some(b"text=%ff\xff"), "same-origin", "text/html").status,
            400
        );
    }
    for query in [
        "country=D",
        "country=%3Cb%3E",
        "created_from=yesterday",
        "seen_to=2026-02-30",
        "limit=many",
        "limit=-1",
        "cursor=%00",
        "cursor=AAAA",
    ] {
        let seen = lab.page("officer", &format!("/main/contacts?{query}"));
        assert_eq!(seen.status, 400, "{query}");
    }
    for path in [
        "/main/log?after=x",
        "/main/overview?from=2026-13-01",
        "/main/overview?from=2027-01-02&to=2027-01-01",
    ] {
        assert_eq!(lab.page("officer", path).status, 400, "{path}");
    }
    // Days at the ends of the calendar are days.
    for path in [
        "/main/contacts?created_from=0000-01-01&created_to=9999-12-31&seen_from=0000-01-01&seen_to=9999-12-31",
        "/main/overview?from=0000-01-01&to=9999-12-31",
        "/main/overview?to=0000-01-01",
        "/main/overview?from=9999-12-31&to=9999-12-31",
        "/main/stale?before=0000-01-01",
    ] {
        assert_eq!(lab.page("officer", path).status, 200, "{path}");
    }
    // What is asked for is shown again, as text.
    let seen =
        lab.page("officer", "/main/contacts?q=%22%3E%3Cscript%3E%00&known_as=%22autofocus%20onfocus%3Dx");
    assert_eq!(seen.status, 200);
    assert!(!seen.text.contains("<script>") && !seen.text.contains("\"autofocus"));
    let seen = lab.page("officer", "/main/contacts?lang=%22%3E%3Cscript%3E");
    assert!(seen.status == 200 && !seen.text.contains("<script>"));
}

/// Whatever comes, in whichever combination: no fault of ours, and nothing of it does anything.
#[test]
fn random_requests_do_no_harm() {
    const PIECES: &[&str] = &[
        "%00",
        "%0d%0a",
        "%e2%80%ae",
        "<script>",
        "%3Cscript%3E",
        "\"",
        "%22%3E",
        "=1+1",
        "&",
        "=",
        "?",
        "#",
        "..",
        "/",
        "%2f",
        "main",
        "contacts",
        "conversations",
        "erase",
        "messages",
        "stale",
        "log",
        "overview",
        "country",
        "q",
        "cursor",
        "before",
        "after",
        "from",
        "to",
        "limit",
        "lang",
        "de",
        "0",
        "1",
        "-1",
        "99999999999999999999",
        "2027-01-15",
        "ffff",
        "*",
        "{",
        "\u{202e}",
    ];
    let lab = Lab::new();
    let (contact, talk) = lab.contact(1, "Hello");
    let roots = [
        "/main/contacts?".to_owned(),
        format!("/main/contacts/{contact}"),
        format!("/main/conversations/{talk}"),
        "/main/stale?before=".to_owned(),
        "/main/overview?from=".to_owned(),
        "/main/log?after=".to_owned(),
        "/".to_owned(),
    ];
    // Xorshift: the same each time.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut draw = |n: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % n as u64).unwrap()
    };
    for _ in 0..1500 {
        let mut path = roots[draw(roots.len())].clone();
        (0..draw(7)).for_each(|_| path.push_str(PIECES[draw(PIECES.len())]));
        let body: String = (0..draw(7)).map(|_| PIECES[draw(PIECES.len())]).collect();
        let who = ["viewer", "agent", "officer", "foreign"][draw(4)];
        for seen in [
            lab.page(who, &path),
            lab.json(who, &path),
            lab.send_body("agent", &path, Some(body.as_bytes()), "same-origin", "text/html"),
        ] {
            assert!(seen.status < 500, "{path} {body}");
            assert!(!seen.text.contains("<script>"), "{path} {body}");
            assert!(!seen.text.contains(|c: char| c.is_control() && c != '\n'), "{path} {body}");
            assert!(seen.headers.iter().all(|(_, v)| !v.contains(['\r', '\n'])), "{path} {body}");
        }
    }
}
