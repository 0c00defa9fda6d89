//! Lists and figures, in the languages of their readers.

use privet::contact::CappedCount;

use super::super::contacts::capped;
use super::super::words::{LANGUAGES, named};
use super::fixture::Lab;

fn ids(lab: &Lab, query: &str) -> Vec<String> {
    let seen = lab.json("officer", &format!("/main/contacts?{query}"));
    assert_eq!(seen.status, 200, "{query}: {}", seen.text);
    let rows = seen.json()["contacts"].as_array().unwrap().clone();
    rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn filters() {
    let lab = Lab::new();
    let (first, _) = lab.contact(1, "Hello");
    lab.days_pass(1);
    let (second, talk) = lab.contact(2, "Bonjour");
    lab.days_pass(1);
    let (third, _) = lab.contact(9, "?");
    let [first, second, third] = [first, second, third].map(|id| id.to_string());
    assert_eq!(ids(&lab, ""), [third.clone(), second.clone(), first.clone()]);
    for (query, expected) in [
        ("country=DE", vec![&first]),
        ("country=fr", vec![&second]),
        ("country=IT", vec![]),
        ("created_from=2027-01-16", vec![&third, &second]),
        ("created_to=2027-01-16", vec![&second, &first]),
        ("created_from=2027-01-16&created_to=2027-01-16", vec![&second]),
        ("seen_from=2027-01-17&seen_to=", vec![&third]),
        ("seen_to=2027-01-15", vec![&first]),
        ("seen_to=2027-01-15&country=FR", vec![]),
        ("q=nobody@garden.example", vec![]),
        ("known_as=4711", vec![]),
    ] {
        assert_eq!(ids(&lab, query).iter().collect::<Vec<_>>(), expected, "{query}");
    }
    assert_eq!(ids(&lab, &format!("q={}", &second[..13])), std::slice::from_ref(&second));
    assert_eq!(ids(&lab, "open=1").len(), 3);
    lab.post("agent", &format!("/main/conversations/{talk}/close"), &[]);
    assert_eq!(ids(&lab, "open=1"), [third, first]);
    // Who may not see what a contact is known as may not find it out by asking.
    for query in ["q=nobody@garden.example", "known_as=4711"] {
        assert_eq!(lab.page("viewer", &format!("/main/contacts?{query}")).status, 403);
    }
}

#[test]
fn pages_lead_on_and_back() {
    let lab = Lab::new();
    for octet in 1..=5 {
        lab.contact(octet, "Hello");
        lab.days_pass(1);
    }
    let all = ids(&lab, "limit=10");
    let first = lab.json("officer", "/main/contacts?limit=2").json();
    assert!(first["previous"].is_null());
    assert_eq!((&first["total"]["count"], &first["total"]["more"]), (&5.into(), &false.into()));
    let next = first["next"].as_str().unwrap();
    let second = lab.json("officer", &format!("/main/contacts?limit=2&cursor={next}")).json();
    assert_eq!((&second["contacts"][0]["id"], &second["as_of"]), (&all[2].as_str().into(), &first["as_of"]));
    let back = second["previous"].as_str().unwrap();
    assert_eq!(ids(&lab, &format!("limit=2&cursor={back}")), all[..2]);
    // A cursor is of one list.
    assert_eq!(lab.json("officer", &format!("/main/contacts?limit=2&country=DE&cursor={next}")).status, 400);
    assert_eq!(lab.json("officer", &format!("/second/contacts?limit=2&cursor={next}")).status, 400);
    // A page's links carry what was asked, and the language.
    let page = lab.page("officer", "/main/contacts?limit=2&seen_from=2027-01-01&lang=fr").text;
    let link =
        page.split("rel=\"next\" href=\"").nth(1).unwrap().split('"').next().unwrap().replace("&#38;", "&");
    assert!(link.contains("seen_from=2027-01-01") && link.ends_with("lang=fr"), "{link}");
    let followed = lab.page("officer", link.strip_prefix("/privacy/portal").unwrap());
    assert!(
        followed.status == 200 && followed.text.contains(&all[2]) && followed.text.contains("rel=\"prev\"")
    );
}

#[test]
fn many_are_not_counted_to_the_end() {
    let shown = |lang, count, more| capped(named(lang).unwrap(), CappedCount { count, more });
    assert_eq!(shown("en", 10_000, true), "10,000+");
    assert_eq!(shown("de", 10_000, true), "10.000+");
    assert_eq!(shown("fr", 10_000, false), "10\u{202f}000");
}

#[test]
fn columns_are_these_in_this_order() {
    let lab = Lab::new();
    let (contact, _) = lab.contact(1, "Hello");
    let seen = lab.json("viewer", "/main/contacts");
    assert_eq!(
        seen.text,
        format!(
            "{{\"contacts\":[{{\"id\":\"{contact}\",\"country\":\"DE\",\"created\":\"2027-01-15T08:00:00Z\",\"last_seen\":\"2027-01-15T08:00:00Z\",\"conversations\":1}}],\"next\":null,\"previous\":null,\"as_of\":\"2027-01-15T08:00:00Z\",\"behind_ms\":null,\"total\":{{\"count\":1,\"more\":false}}}}"
        )
    );
    let page = lab.page("viewer", "/main/contacts?lang=en").text;
    let heads: Vec<_> =
        page.split("<th scope=\"col\"").skip(1).map(|h| h.split(['>', '<']).nth(1).unwrap()).collect();
    assert_eq!(heads, ["Contact ID", "Country", "Created", "Last seen", "Conversations"]);
    assert!(
        page.contains("Germany (DE)")
            && page.contains("<time datetime=\"2027-01-15T08:00:00Z\">15 Jan 2027, 08:00 UTC</time>")
    );
}

#[test]
fn a_role_sees_what_it_may_do() {
    let lab = Lab::new();
    let (contact, _) = lab.contact(1, "Hello");
    let path = format!("/main/contacts/{contact}");
    for (who, there, gone) in [
        (
            "viewer",
            vec!["/main/overview"],
            vec![
                "/main/conversations",
                "/notes",
                "/block",
                "/export",
                "/erase",
                "/main/log",
                "/main/stale",
                "/roses",
            ],
        ),
        (
            "agent",
            vec!["/main/conversations", "/notes", "/block", "/roses"],
            vec!["/export", "/main/log", "/main/stale"],
        ),
        (
            "officer",
            vec!["/main/conversations", "/notes", "/block", "/export", "/erase", "/main/log", "/main/stale"],
            vec![],
        ),
    ] {
        let page = lab.page(who, &path).text;
        let within = |text: &&str| page.contains(*text);
        assert!(there.iter().all(within), "{who}");
        assert_eq!(gone.iter().filter(|t| within(t)).collect::<Vec<_>>(), Vec::<&&str>::new(), "{who}");
        let told = lab.json(who, &path).json();
        assert_eq!(told["consent"][0]["act"], "grant");
        assert_eq!(
            told["conversation_list"][0]["pages"].as_array().unwrap().len(),
            usize::from(who != "viewer")
        );
    }
}

#[test]
fn every_page_is_sound_in_every_language() {
    let lab = Lab::new();
    let (contact, talk) = lab.contact(1, "Hello");
    let paths = [
        String::new(),
        "/nothing".to_owned(),
        "/main/contacts".to_owned(),
        format!("/main/contacts/{contact}"),
        format!("/main/contacts/{contact}/erase"),
        "/main/stale?before=2027-01-15".to_owned(),
        "/main/conversations".to_owned(),
        format!("/main/conversations/{talk}"),
        format!("/main/conversations/{talk}/erase"),
        "/main/overview".to_owned(),
        "/main/log".to_owned(),
    ];
    for words in LANGUAGES {
        for path in &paths {
            let sep = if path.contains('?') { '&' } else { '?' };
            let seen = lab.page("officer", &format!("{path}{sep}lang={}", words.lang));
            let text = &seen.text;
            assert_eq!(seen.header("content-language"), words.lang, "{path}");
            assert!(text.contains(&format!("<html lang=\"{}\">", words.lang)), "{path}");
            assert_eq!(text.matches("<h1").count(), 1, "{path}");
            assert_eq!(text.matches("<table>").count(), text.matches("<caption").count(), "{path}");
            assert_eq!(
                text.matches("aria-current=\"page\"").count(),
                usize::from(path.starts_with("/main/")),
                "{path}"
            );
            assert!(
                !text.contains("<style") && !text.contains(" style=") && !text.contains("<script>"),
                "{path}"
            );
            // Whatever is filled in has a label, and every id is there once.
            let ids: Vec<_> = text.split(" id=\"").skip(1).map(|t| t.split('"').next().unwrap()).collect();
            let distinct: std::collections::BTreeSet<_> = ids.iter().collect();
            assert_eq!(distinct.len(), ids.len(), "{path}: {ids:?}");
            for kind in ["<input", "<select", "<textarea"] {
                for tag in text.split(kind).skip(1).map(|t| t.split('>').next().unwrap()) {
                    if tag.contains("type=\"hidden\"") {
                        continue;
                    }
                    let id = tag.split(" id=\"").nth(1).unwrap().split('"').next().unwrap();
                    assert!(text.contains(&format!("<label for=\"{id}\"")), "{path}: {id}");
                }
            }
        }
    }
    let request = lab.request("GET", "officer", "/main/contacts");
    let seen = lab.sent(&request.headers([("accept-language", b"pt, it;q=0.9, en;q=0.1".as_slice())]));
    assert!(seen.text.contains("<html lang=\"it\">") && seen.text.contains("Germania"));
}

#[test]
fn figures_are_charts_with_tables() {
    let lab = Lab::new();
    for octet in [1, 1, 1, 1, 1, 2] {
        lab.contact(octet, "Hello");
    }
    let told = lab.json("viewer", "/main/overview?from=2027-01-14&to=2027-01-15").json();
    assert_eq!(told["contacts"][1]["count"], 6);
    assert_eq!(told["countries"].as_array().unwrap().len(), 1, "one contact is no group");
    assert_eq!(told["countries"][0]["contacts"], 5);
    let page = lab.page("viewer", "/main/overview").text;
    let charts = page.matches("<svg class=\"chart\" role=\"img\"").count();
    assert_eq!((charts, page.matches("<details>").count()), (5, 5));
    assert!(page.contains("Germany (DE)") && !page.contains("France"));
    assert!(!page.contains("NaN"));
}

#[test]
fn sites_assets_and_the_document() {
    let lab = Lab::new();
    let sites = lab.page("officer", "").text;
    assert!(
        sites.contains("/privacy/portal/main/contacts") && sites.contains("/privacy/portal/second/contacts")
    );
    assert!(!sites.contains("theirs"));
    assert_eq!(lab.page("foreign", "/").header("location"), "/privacy/portal/theirs/contacts");
    assert_eq!(lab.json("officer", "").json()["sites"], serde_json::json!(["main", "second"]));
    for start in ["<link rel=\"stylesheet\" href=\"", "<script src=\""] {
        let path = sites.split(start).nth(1).unwrap().split('"').next().unwrap();
        let seen = lab.page("viewer", path.strip_prefix("/privacy/portal").unwrap());
        assert_eq!((seen.status, seen.header("cache-control")), (200, "public, max-age=31536000, immutable"));
    }
    let document = lab.page("viewer", "/openapi.json").json();
    assert_eq!(document["openapi"], "3.1.0");
    assert!(document["paths"]["/privacy/portal/{site}/contacts"]["get"].is_object());
}
