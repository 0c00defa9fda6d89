//! privet's own routes.

use crate::step::{ACCEPT, FORM, JSON, PEOPLE, REJECT, SAME, Scenario, WITHDRAW, get, post};

/// Every route of privet with good and bad input.
pub(crate) const ROUTES: &[Scenario] = &[
    ("settings", &[get("/privacy").with(&[PEOPLE])]),
    ("settings in German", &[get("/privacy").with(&[PEOPLE, ("accept-language", "de")])]),
    ("settings after accepting", &[ACCEPT, get("/privacy")]),
    ("settings after refusing", &[REJECT, get("/privacy")]),
    ("settings with where to go back", &[get("/privacy?return_to=/articles/roses")]),
    ("settings with where not to go back", &[get("/privacy?return_to=//evil.example/")]),
    ("settings with an empty query", &[get("/privacy?")]),
    ("settings by POST", &[post("/privacy", &[SAME, FORM], "")]),
    ("settings by DELETE", &[get("/privacy").by("DELETE")]),
    ("versions of the statement", &[get("/privacy/cookies/versions").with(&[PEOPLE])]),
    (
        "versions of the statement in German",
        &[get("/privacy/cookies/versions").with(&[PEOPLE, ("accept-language", "de")])],
    ),
    ("versions of the statement by JSON", &[get("/privacy/cookies/versions.json")]),
    (
        "versions of the statement by Accept",
        &[get("/privacy/cookies/versions").with(&[("accept", "application/json")])],
    ),
    ("versions of the statement by POST", &[post("/privacy/cookies/versions", &[SAME, FORM], "")]),
    ("banner", &[get("/privacy/banner")]),
    ("banner in French, which is not there", &[get("/privacy/banner").with(&[("accept-language", "fr")])]),
    ("banner after accepting", &[ACCEPT, get("/privacy/banner")]),
    ("banner after refusing", &[REJECT, get("/privacy/banner")]),
    ("state", &[get("/privacy/consent")]),
    ("state with GPC", &[get("/privacy/consent").with(&[("sec-gpc", "1")])]),
    ("state with something that is not GPC", &[get("/privacy/consent").with(&[("sec-gpc", "true")])]),
    ("state after accepting", &[ACCEPT, get("/privacy/consent")]),
    ("state after refusing", &[REJECT, get("/privacy/consent")]),
    (
        "accept, with where to go back",
        &[post(
            "/privacy/consent",
            &[SAME, FORM, PEOPLE],
            "action=accept_all&return_to=/articles/roses&notice={notice}",
        )],
    ),
    (
        "accept, with where not to go back",
        &[post(
            "/privacy/consent",
            &[SAME, FORM, PEOPLE],
            "action=accept_all&return_to=https://evil.example&notice={notice}",
        )],
    ),
    (
        "save one",
        &[
            post("/privacy/consent", &[SAME, FORM, PEOPLE], "action=save&category=analytics&notice={notice}"),
            get("/privacy/consent"),
        ],
    ),
    (
        "save none is a refusal",
        &[
            post("/privacy/consent", &[SAME, FORM, PEOPLE], "action=save&notice={notice}"),
            get("/privacy/consent"),
        ],
    ),
    (
        "save one by JSON",
        &[post(
            "/privacy/consent",
            &[SAME, JSON],
            r#"{"action":"save","category":["analytics"],"notice":"{notice}"}"#,
        )],
    ),
    (
        "save one that is not there",
        &[post("/privacy/consent", &[SAME, FORM, PEOPLE], "action=save&category=nothing&notice={notice}")],
    ),
    ("accept, reject, accept", &[ACCEPT, REJECT, ACCEPT, get("/privacy")]),
    ("a forged notice", &[post("/privacy/consent", &[SAME, FORM, PEOPLE], "action=accept_all&notice=AAAA")]),
    (
        "a forged notice by JSON",
        &[post("/privacy/consent", &[SAME, JSON], r#"{"action":"accept_all","notice":"AAAA"}"#)],
    ),
    ("no notice", &[post("/privacy/consent", &[SAME, FORM, PEOPLE], "action=accept_all")]),
    ("no action", &[post("/privacy/consent", &[SAME, FORM, PEOPLE], "notice={notice}")]),
    ("another action", &[post("/privacy/consent", &[SAME, FORM], "action=agree&notice={notice}")]),
    ("no body", &[post("/privacy/consent", &[SAME, FORM], "")]),
    ("broken JSON", &[post("/privacy/consent", &[SAME, JSON], "{")]),
    (
        "JSON with more than there is",
        &[post("/privacy/consent", &[SAME, JSON], r#"{"action":"reject_all","notice":"{notice}","more":1}"#)],
    ),
    (
        "a body of another type",
        &[post("/privacy/consent", &[SAME, ("content-type", "text/plain")], "action=accept_all")],
    ),
    ("a body without type", &[post("/privacy/consent", &[SAME], "action=reject_all&notice={notice}")]),
    (
        "from another site",
        &[post(
            "/privacy/consent",
            &[("sec-fetch-site", "cross-site"), FORM],
            "action=accept_all&notice={notice}",
        )],
    ),
    (
        "from a sibling",
        &[post(
            "/privacy/consent",
            &[("sec-fetch-site", "same-site"), FORM, PEOPLE],
            "action=accept_all&notice={notice}",
        )],
    ),
    ("from nobody knows where", &[post("/privacy/consent", &[FORM], "action=accept_all&notice={notice}")]),
    (
        "from its own origin, by Origin",
        &[post(
            "/privacy/consent",
            &[("origin", "http://localhost:3000"), FORM],
            "action=reject_all&notice={notice}",
        )],
    ),
    (
        "from another origin, by Origin",
        &[post(
            "/privacy/consent",
            &[("origin", "https://evil.example"), FORM],
            "action=reject_all&notice={notice}",
        )],
    ),
    ("consent by PUT", &[get("/privacy/consent").by("PUT")]),
    ("withdraw nothing", &[post("/privacy/withdraw", &[SAME, FORM, PEOPLE], "")]),
    (
        "withdraw all",
        &[ACCEPT, post("/privacy/withdraw", &[SAME, FORM, PEOPLE], ""), get("/privacy/consent")],
    ),
    (
        "withdraw one",
        &[
            ACCEPT,
            post("/privacy/withdraw", &[SAME, FORM, PEOPLE], "category=analytics"),
            get("/privacy/consent"),
        ],
    ),
    (
        "withdraw one by JSON",
        &[ACCEPT, post("/privacy/withdraw", &[SAME, JSON], r#"{"category":["analytics"]}"#)],
    ),
    (
        "withdraw one that is not there",
        &[ACCEPT, post("/privacy/withdraw", &[SAME, FORM], "category=nothing")],
    ),
    (
        "withdraw from another site",
        &[ACCEPT, post("/privacy/withdraw", &[("sec-fetch-site", "cross-site"), FORM], "")],
    ),
    ("withdraw by GET", &[get("/privacy/withdraw")]),
    ("activate", &[post("/privacy/activate", &[SAME, FORM, PEOPLE], "service=webwidget"), get("/privacy")]),
    ("activate by JSON", &[post("/privacy/activate", &[SAME, JSON], r#"{"service":"webwidget"}"#)]),
    ("activate what is not there", &[post("/privacy/activate", &[SAME, JSON], r#"{"service":"nothing"}"#)]),
    (
        "activate from another site",
        &[post("/privacy/activate", &[("sec-fetch-site", "cross-site"), FORM], "service=webwidget")],
    ),
    ("activate by GET", &[get("/privacy/activate")]),
    ("statement", &[get("/privacy/cookies").with(&[PEOPLE])]),
    ("statement in German", &[get("/privacy/cookies").with(&[PEOPLE, ("accept-language", "de-AT")])]),
    ("statement as Markdown, by Accept", &[get("/privacy/cookies").with(&[("accept", "text/markdown")])]),
    ("statement as JSON, by Accept", &[get("/privacy/cookies").with(&[("accept", "application/json")])]),
    ("statement as Markdown", &[get("/privacy/cookies.md")]),
    ("statement as JSON", &[get("/privacy/cookies.json")]),
    ("statement by POST", &[post("/privacy/cookies", &[SAME, FORM], "")]),
    ("no receipt", &[get("/privacy/receipt")]),
    ("no receipt, for people", &[get("/privacy/receipt").with(&[PEOPLE])]),
    ("no receipt after refusing", &[REJECT, get("/privacy/receipt")]),
    ("a receipt after accepting", &[ACCEPT, get("/privacy/receipt")]),
    (
        "a receipt after taking one back",
        &[
            ACCEPT,
            post("/privacy/withdraw", &[SAME, FORM, PEOPLE], "category=analytics"),
            get("/privacy/receipt"),
        ],
    ),
    ("no receipt after taking all back", &[ACCEPT, WITHDRAW, get("/privacy/receipt")]),
    ("no receipt when it lapsed", &[ACCEPT, get("/privacy/receipt").after_days(213)]),
    ("a receipt by POST", &[post("/privacy/receipt", &[SAME, FORM], "")]),
    ("script", &[get("/privacy/privet.js")]),
    ("script under another hash", &[get("/privacy/privet.js?v=0")]),
    ("style", &[get("/privacy/privet.css")]),
    ("style by POST", &[post("/privacy/privet.css", &[SAME], "")]),
    ("an own cookie that is forged", &[get("/privacy/consent").with(&[("cookie", "__Host-privet=forged")])]),
    (
        "an own cookie that is there twice",
        &[get("/privacy/consent").with(&[("cookie", "__Host-privet=a; __Host-privet=b")])],
    ),
    ("cookies that are undeclared", &[get("/privacy/consent").with(&[("cookie", "theme=dark; sid=1")])]),
    ("cookies that are refused", &[REJECT, get("/privacy/consent").with(&[("cookie", "reader=roses")])]),
    ("cookies by proxy headers", &[get("/privacy").with(&[("x-forwarded-for", "8.8.8.8"), PEOPLE])]),
    ("a body that is too large", &[post("/privacy/consent", &[SAME, FORM, ("x-large", "1")], LARGE)]),
    (
        "a notice that is no text",
        &[post("/privacy/consent", &[SAME, FORM], "action=accept_all&notice=%ff%fe")],
    ),
    (
        "a category twice",
        &[
            post(
                "/privacy/consent",
                &[SAME, FORM, PEOPLE],
                "action=save&category=analytics&category=analytics&notice={notice}",
            ),
            get("/privacy/consent"),
        ],
    ),
    (
        "two actions",
        &[
            post(
                "/privacy/consent",
                &[SAME, FORM, PEOPLE],
                "action=accept_all&action=reject_all&notice={notice}",
            ),
            get("/privacy/consent"),
        ],
    ),
    (
        "charset beside the type",
        &[post(
            "/privacy/consent",
            &[SAME, ("content-type", "application/x-www-form-urlencoded; charset=utf-8"), PEOPLE],
            "action=reject_all&notice={notice}",
        )],
    ),
    (
        "the type in capitals",
        &[post(
            "/privacy/consent",
            &[SAME, ("content-type", "APPLICATION/JSON")],
            r#"{"action":"reject_all","notice":"{notice}"}"#,
        )],
    ),
    (
        "JSON for people",
        &[post("/privacy/consent", &[SAME, JSON, PEOPLE], r#"{"action":"reject_all","notice":"{notice}"}"#)],
    ),
    (
        "a gesture",
        &[post(
            "/privacy/consent",
            &[SAME, FORM, PEOPLE, ("sec-fetch-user", "?1")],
            "action=accept_all&notice={notice}",
        )],
    ),
    (
        "in a frame",
        &[post(
            "/privacy/consent",
            &[SAME, FORM, ("sec-fetch-dest", "iframe")],
            "action=accept_all&notice={notice}",
        )],
    ),
    (
        "Origin null",
        &[post("/privacy/consent", &[("origin", "null"), FORM], "action=reject_all&notice={notice}")],
    ),
    (
        "accept under GPC",
        &[
            post(
                "/privacy/consent",
                &[SAME, FORM, PEOPLE, ("sec-gpc", "1")],
                "action=accept_all&notice={notice}",
            ),
            get("/privacy").with(&[("sec-gpc", "1")]),
        ],
    ),
    ("settings for a program", &[get("/privacy").with(&[("accept", "application/json")])]),
    (
        "settings with odd languages",
        &[get("/privacy").with(&[("accept-language", "de;q=0, *;q=nan, en-US")])],
    ),
    ("settings in a language by query", &[get("/privacy?lang=de")]),
    ("settings by PATCH", &[get("/privacy").by("PATCH")]),
    ("banner with where to go back", &[get("/privacy/banner?return_to=%2Farticles%2Froses%3Fq%3D1")]),
    ("banner with two places to go back", &[get("/privacy/banner?return_to=/a&return_to=/b")]),
    ("banner by POST", &[post("/privacy/banner", &[SAME, FORM], "")]),
    ("state by an old browser", &[get("/privacy/consent").with(&[("accept", "*/*")])]),
    ("withdraw with JSON that is none", &[ACCEPT, post("/privacy/withdraw", &[SAME, JSON], "[]")]),
    (
        "withdraw twice",
        &[
            ACCEPT,
            post("/privacy/withdraw", &[SAME, FORM, PEOPLE], ""),
            post("/privacy/withdraw", &[SAME, FORM, PEOPLE], ""),
            get("/privacy"),
        ],
    ),
    (
        "withdraw all but one, one by one",
        &[
            ACCEPT,
            post("/privacy/withdraw", &[SAME, JSON], r#"{"category":["analytics"]}"#),
            post("/privacy/withdraw", &[SAME, JSON], r#"{"category":["functional"]}"#),
            get("/privacy/consent"),
        ],
    ),
    (
        "withdraw where to go back",
        &[ACCEPT, post("/privacy/withdraw", &[SAME, FORM, PEOPLE], "return_to=/articles/roses")],
    ),
    ("withdraw by DELETE", &[get("/privacy/withdraw").by("DELETE")]),
    (
        "activate twice",
        &[
            post("/privacy/activate", &[SAME, JSON], r#"{"service":"webwidget"}"#),
            post("/privacy/activate", &[SAME, JSON], r#"{"service":"webwidget"}"#),
        ],
    ),
    ("activate nothing", &[post("/privacy/activate", &[SAME, FORM], "")]),
    ("activate from nobody knows where", &[post("/privacy/activate", &[JSON], r#"{"service":"webwidget"}"#)]),
    ("statement as an image, which it is not", &[get("/privacy/cookies").with(&[("accept", "image/png")])]),
    (
        "statement, JSON liked better",
        &[get("/privacy/cookies").with(&[("accept", "text/html;q=0.5, application/json")])],
    ),
    (
        "statement with an odd Accept",
        &[get("/privacy/cookies").with(&[("accept", "text/html;q=nan,;;,*/*;q=2")])],
    ),
    ("statement as Markdown in German", &[get("/privacy/cookies.md").with(&[("accept-language", "de")])]),
    ("statement as JSON in German", &[get("/privacy/cookies.json").with(&[("accept-language", "de")])]),
    ("statement after accepting is the same", &[ACCEPT, get("/privacy/cookies.json")]),
    ("Markdown by POST", &[post("/privacy/cookies.md", &[SAME], "")]),
    ("script with two hashes", &[get("/privacy/privet.js?v=0&v=1")]),
    ("script that is held already", &[get("/privacy/privet.js").with(&[("if-none-match", "\"0\"")])]),
    ("script by POST", &[post("/privacy/privet.js", &[SAME], "")]),
    (
        "three cookies of our own, all forged",
        &[get("/privacy")
            .with(&[("cookie", "__Host-privet=a; __Host-privet-active=b; __Host-privet-contact=c")])],
    ),
    ("a cookie without a name", &[get("/privacy/consent").with(&[("cookie", "=x; ;; y")])]),
    ("a cookie that is quoted", &[get("/privacy/consent").with(&[("cookie", "__Host-privet=\"a\"")])]),
    (
        "a contact that was refused",
        &[REJECT, get("/privacy/consent").with(&[("cookie", "__Host-privet-contact=AAAA")])],
    ),
    (
        "pattern cookies that wait",
        &[get("/privacy/consent").with(&[("cookie", "abc.appUserId=1; abc.clientId=2")])],
    ),
    (
        "pattern cookies that were started",
        &[
            post("/privacy/activate", &[SAME, JSON], r#"{"service":"webwidget"}"#),
            get("/privacy/consent").with(&[("cookie", "abc.appUserId=1")]),
        ],
    ),
    (
        "an address by another proxy header",
        &[get("/privacy").with(&[("forwarded", "for=8.8.8.8"), ("cf-connecting-ip", "8.8.8.8")])],
    ),
    (
        "refuse, then save one, then refuse",
        &[
            REJECT,
            post("/privacy/consent", &[SAME, FORM, PEOPLE], "action=save&category=contacts&notice={notice}"),
            REJECT,
            get("/privacy"),
        ],
    ),
    (
        "accept in German",
        &[
            post(
                "/privacy/consent",
                &[SAME, FORM, PEOPLE, ("accept-language", "de")],
                "action=accept_all&notice={notice}",
            ),
            get("/privacy").with(&[("accept-language", "de")]),
        ],
    ),
    (
        "an error in German",
        &[post("/privacy/consent", &[SAME, FORM, PEOPLE, ("accept-language", "de")], "action=x")],
    ),
    (
        "a stale form in German",
        &[post(
            "/privacy/consent",
            &[SAME, FORM, PEOPLE, ("accept-language", "de")],
            "action=accept_all&notice=AAAA",
        )],
    ),
    (
        "refused from elsewhere, for a program",
        &[post("/privacy/consent", &[("sec-fetch-site", "cross-site"), JSON], "{}")],
    ),
    (
        "more than one Accept-Language wish",
        &[get("/privacy").with(&[("accept-language", "fi, sv;q=0.9, de;q=0.8, en;q=0.7")])],
    ),
    (
        "state in the middle of deciding",
        &[
            post(
                "/privacy/consent",
                &[SAME, FORM, PEOPLE],
                "action=save&category=functional&notice={notice}",
            ),
            get("/privacy/banner"),
            get("/privacy/consent"),
        ],
    ),
];

/// More than a form of privet may be.
pub(crate) const LARGE: &str = {
    static BYTES: [u8; 80_000] = [b'x'; 80_000];
    match std::str::from_utf8(&BYTES) {
        Ok(text) => text,
        Err(_) => "",
    }
};
