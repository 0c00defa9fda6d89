//! The app's own routes: what handlers get from privet and what becomes of their answers, over time too.

use crate::step::{ACCEPT, Differs, FORM, JSON, PEOPLE, REJECT, SAME, Scenario, Step, WITHDRAW, get, post};

const OPERATOR: (&str, &str) = ("authorization", "Bearer an-operators-token-for-tests");
const PROGRAM: (&str, &str) = ("accept", "application/json");

const CONTACTS: Step = get("/contacts").with(&[OPERATOR, PROGRAM]);
const MESSAGES: Step = get("/chat/messages");
const ASK: Step = post(
    "/chat/messages",
    &[SAME, JSON],
    r#"{"text":"When do I plant roses?","channel":"ai-search","page":"/articles/roses?mail=anna@example.org"}"#,
);
const ASK_A_PERSON: Step =
    post("/chat/messages", &[SAME, JSON], r#"{"text":"Who are you?","channel":"live-support","page":"/"}"#);
const KEEP: Step = post("/chat/keep", &[SAME, FORM], "");

pub(crate) const APP: &[Scenario] = &[
    ("home", &[get("/").with(&[PEOPLE])]),
    ("home in German", &[get("/").with(&[PEOPLE, ("accept-language", "de")])]),
    ("home after accepting", &[ACCEPT, get("/")]),
    ("home after refusing", &[REJECT, get("/")]),
    ("home with a query, where a choice comes back to", &[get("/?from=letter&x=%3Cb%3E")]),
    ("home with a forged cookie", &[get("/").with(&[("cookie", "__Host-privet=AAAA")])]),
    ("home under GPC", &[ACCEPT, get("/").with(&[("sec-gpc", "1")])]),
    ("an article", &[get("/articles/roses")]),
    ("an article after refusing", &[REJECT, get("/articles/roses")]),
    ("an article after accepting counts", &[ACCEPT, get("/articles/roses")]),
    ("two articles count in one cookie", &[ACCEPT, get("/articles/roses"), get("/articles/pests")]),
    ("an article twice counts once", &[ACCEPT, get("/articles/roses"), get("/articles/roses")]),
    (
        "an article after counting was withdrawn",
        &[
            ACCEPT,
            get("/articles/roses"),
            post("/privacy/withdraw", &[SAME, FORM, PEOPLE], "category=analytics"),
            get("/articles/roses"),
        ],
    ),
    (
        "a count that the browser still sends after a refusal",
        &[REJECT, get("/articles/roses").with(&[("cookie", "reader=pests")])],
    ),
    ("an article by its letters' numbers", &[get("/articles/r%6Fses")]),
    ("an article that is not there", &[get("/articles/none").with(&[PEOPLE])]),
    ("a path into another", &[get("/articles/..%2F..%2Fcontacts")]),
    ("an article with a slash at its end", &[get("/articles/roses/")]),
    ("nowhere", &[get("/nowhere").with(&[PEOPLE])]),
    ("nowhere, by POST", &[post("/nowhere", &[SAME, FORM], "x=1")]),
    ("nowhere, after accepting", &[ACCEPT, get("/nowhere")]),
    ("below privet's routes, where nothing is", &[get("/privacy/nothing").with(&[PEOPLE])]),
    // Routes that privet does not have yet, or has only where the app promises it: nobody answers them.
    ("the notice under Art. 13", &[get("/privacy/notice").with(&[PEOPLE])]),
    ("the notice under Art. 13, as JSON", &[get("/privacy/notice.json")]),
    ("what is held about me", &[ACCEPT, ASK, get("/privacy/me")]),
    ("what is held about me, as CSV", &[ACCEPT, ASK, get("/privacy/me?format=csv")]),
    ("what is held of a visit", &[REJECT, ASK, get("/privacy/me")]),
    ("what is held about me, as if it were a file", &[ACCEPT, get("/privacy/me.css")]),
    ("erase me", &[ACCEPT, post("/privacy/me/erase", &[SAME, FORM], "")]),
    ("the promise to honour GPC, which this app does not make", &[get("/.well-known/gpc.json")]),
    ("privet's base with a slash at its end", &[get("/privacy/").with(&[PEOPLE])]),
    ("the shop's style", &[get("/shop.css")]),
    ("the shop's script", &[get("/chat.js")]),
    ("no messages", &[MESSAGES]),
    ("no messages, as a page", &[MESSAGES.with(&[PEOPLE])]),
    ("a question", &[ASK, MESSAGES, get("/")]),
    ("a question after refusing", &[REJECT, ASK, MESSAGES, CONTACTS]),
    ("a question after accepting", &[ACCEPT, ASK, MESSAGES, CONTACTS]),
    ("two questions are one conversation", &[ACCEPT, ASK, ASK, CONTACTS]),
    ("a question to a person", &[ASK_A_PERSON, MESSAGES.with(&[PEOPLE])]),
    (
        "a question by form",
        &[
            post(
                "/chat/messages",
                &[SAME, FORM, PEOPLE],
                "text=roses&channel=ai-search&page=/articles/roses%3Fx%3D1",
            ),
            get("/"),
        ],
    ),
    (
        "a question by form, from elsewhere",
        &[post(
            "/chat/messages",
            &[SAME, FORM, PEOPLE],
            "text=roses&channel=ai-search&page=https://evil.example/",
        )],
    ),
    (
        "a question by form, for a program",
        &[post("/chat/messages", &[SAME, FORM, PROGRAM], "text=roses&channel=ai-search")],
    ),
    (
        "a question with markup",
        &[
            post(
                "/chat/messages",
                &[SAME, JSON],
                r#"{"text":"<script>alert(1)</script>","channel":"ai-search","page":"/"}"#,
            ),
            get("/"),
        ],
    ),
    (
        "a question from another site",
        &[post(
            "/chat/messages",
            &[("sec-fetch-site", "cross-site"), JSON],
            r#"{"text":"x","channel":"ai-search"}"#,
        )],
    ),
    ("a question in a frame", &[ASK.with(&[SAME, JSON, ("sec-fetch-dest", "iframe")])]),
    ("a question of a program that says nothing", &[ASK.with(&[JSON])]),
    ("no question", &[post("/chat/messages", &[SAME, JSON], "")]),
    ("a question that is no JSON", &[post("/chat/messages", &[SAME, JSON], "{")]),
    (
        "a question to nobody",
        &[post("/chat/messages", &[SAME, JSON], r#"{"text":"x","channel":"telepathy"}"#)],
    ),
    ("an empty question", &[post("/chat/messages", &[SAME, JSON], r#"{"text":"","channel":"ai-search"}"#)]),
    (
        "a question with a lone surrogate",
        &[post("/chat/messages", &[SAME, JSON], r#"{"text":"\ud800","channel":"ai-search"}"#)],
    ),
    ("half a form", &[post("/chat/messages", &[SAME, FORM], "text=x")]),
    ("a question of another type", &[post("/chat/messages", &[SAME, ("content-type", "text/plain")], "x")]),
    ("a question without a type", &[post("/chat/messages", &[SAME], "text=x&channel=ai-search")]),
    ("a question that is too long", &[post("/chat/messages", &[SAME, FORM], crate::routes::LARGE)]),
    ("keep without anything", &[KEEP]),
    ("keep by GET", &[get("/chat/keep")]),
    ("keep after refusing", &[REJECT, ASK, KEEP]),
    ("keep after accepting", &[ASK, ACCEPT, get("/"), KEEP, MESSAGES, CONTACTS]),
    ("keep from another site", &[ACCEPT, KEEP.with(&[("sec-fetch-site", "cross-site")])]),
    ("contacts for nobody", &[get("/contacts")]),
    ("contacts with a wrong token", &[get("/contacts").with(&[("authorization", "Bearer x")])]),
    ("contacts as a page", &[ACCEPT, ASK, get("/contacts").with(&[OPERATOR, PEOPLE])]),
    ("contacts, one at a time", &[ACCEPT, ASK, get("/contacts?limit=1").with(&[OPERATOR, PROGRAM])]),
    ("contacts, with a limit that is none", &[get("/contacts?limit=many").with(&[OPERATOR])]),
    ("contacts, with a cursor that is none", &[get("/contacts?after=x").with(&[OPERATOR])]),
    (
        "a contact that is erased",
        &[
            ACCEPT,
            ASK,
            get("/contacts/{contact}").by("DELETE").with(&[OPERATOR]),
            CONTACTS,
            MESSAGES,
            ASK,
            get("/"),
        ],
    ),
    ("a contact that nobody may erase", &[ACCEPT, ASK, get("/contacts/{contact}").by("DELETE"), CONTACTS]),
    ("a contact that is not there", &[get("/contacts/x").by("DELETE").with(&[OPERATOR])]),
    (
        "withdrawn: the contact goes, the chat goes on",
        &[ACCEPT, ASK, WITHDRAW, CONTACTS, ASK, MESSAGES, get("/")],
    ),
    (
        "cookies of an old browser",
        &[get("/").with(&[("cookie", "a=1; $Version=1; b=\"2\"; =; ;;; reader=roses")])],
    ),
    (
        "an address in every header that tells one",
        &[get("/").with(&[
            ("x-forwarded-for", "8.8.8.8, 10.0.0.1"),
            ("forwarded", "for=8.8.8.8;proto=https;host=evil.example"),
            ("x-real-ip", "8.8.8.8"),
            ("true-client-ip", "8.8.8.8"),
        ])],
    ),
    // The clock.
    ("a refusal lasts five months", &[REJECT, get("/privacy/consent").after_days(150), get("/")]),
    ("a refusal is over after seven", &[REJECT, get("/privacy/consent").after_days(213), get("/")]),
    ("a grant lasts five months", &[ACCEPT, get("/privacy/consent").after_days(150), get("/articles/roses")]),
    (
        "a grant is over after seven",
        &[ACCEPT, get("/privacy/consent").after_days(213), get("/articles/roses")],
    ),
    ("a contact's consent lapses", &[ACCEPT, ASK, CONTACTS.after_days(213), MESSAGES, ASK, CONTACTS]),
    (
        "a session's chat is over the next day",
        &[ASK, MESSAGES.after_hours(1), MESSAGES.after_hours(25), get("/")],
    ),
    (
        "an activation is over the next day",
        &[
            post("/privacy/activate", &[SAME, JSON], r#"{"service":"webwidget"}"#),
            get("/").with(&[("cookie", "abc.appUserId=1")]).after_hours(25),
        ],
    ),
    (
        "a form that lay open over lunch",
        &[post("/privacy/consent", &[SAME, FORM, PEOPLE], "action=accept_all&notice={held}").after_hours(1)],
    ),
    (
        "a form that lay open for a month",
        &[post("/privacy/consent", &[SAME, FORM, PEOPLE], "action=accept_all&notice={held}").after_days(31)],
    ),
    ("a contact is seen again", &[ACCEPT, ASK, get("/articles/pests").after_hours(30), CONTACTS]),
    ("a new conversation after a pause", &[ACCEPT, ASK, ASK.after_days(3), CONTACTS, MESSAGES]),
    (
        "a choice that is renewed",
        &[ACCEPT, REJECT.after_days(100), get("/").after_days(100), get("/").after_days(100)],
    ),
];

/// What the frameworks do by themselves: the same question, and what is not the same in the answers, with the reason.
///
/// One more has no row, since nothing of privet is around it, and has a test of its own in `main.rs`: without the
/// middleware `Option<Granted<C>>` is `None` on actix-web, which swallows what an extractor fails with; axum answers 500.
pub(crate) const DIFFERENCES: &[(Scenario, Differs, &str)] = &[
    (
        ("a page by another method", &[post("/", &[SAME, FORM], "")]),
        Differs::Header("allow"),
        "the same list, which axum writes without and actix-web with a space",
    ),
    (
        ("a page by HEAD", &[get("/").by("HEAD")]),
        Differs::Body,
        "axum's router drops the body; actix-web drops it where it writes the message, which is not in process",
    ),
    (
        ("privet's page by HEAD", &[get("/privacy").by("HEAD")]),
        Differs::Body,
        "axum's router drops the body; actix-web drops it where it writes the message, which is not in process",
    ),
    (
        ("a path of privet's in letters' numbers", &[get("/privacy/%63onsent").with(&[PEOPLE])]),
        Differs::Page,
        "actix-web routes by the decoded path and privet says that there is nothing; axum's router knows no such route, and the app says so",
    ),
    (
        ("a path that is no text", &[get("/articles/%ff")]),
        Differs::Status(400, 404),
        "axum refuses a path parameter that is not UTF-8 by itself; actix-web gives the handler what it can read",
    ),
];
