//! Regimes, the browser's signal and accounts, over the laboratory.

use privet_tests::lab::{DE, FR, GB, US};

use crate::step::{FORM, JSON, PEOPLE, SAME, Scenario, Step, get, post};

const SIGNAL: (&str, &str) = ("sec-gpc", "1");

const fn state(from: (&'static str, &'static str)) -> Step {
    match from.1.as_bytes() {
        b"9.0.0.1" => get("/privacy/consent").with(&[DE]),
        b"9.0.0.2" => get("/privacy/consent").with(&[GB]),
        b"9.0.0.3" => get("/privacy/consent").with(&[FR]),
        _ => get("/privacy/consent").with(&[US]),
    }
}

/// The token of a form is of the regime that its visitor is under, and the table fetches it from nowhere in particular: so
/// what is decided here is decided by withdrawing, which needs none.
const REFUSE_US: Step = post("/privacy/withdraw", &[SAME, FORM, PEOPLE, US], "");
const REFUSE_GB: Step = post("/privacy/withdraw", &[SAME, FORM, PEOPLE, GB], "");
const ACCEPT: Step = post("/privacy/consent", &[SAME, FORM, PEOPLE], "action=accept_all&notice={notice}");
const SELL: Step =
    post("/privacy/consent", &[SAME, FORM, PEOPLE, SIGNAL], "action=save&category=marketing&notice={notice}");
const IN: Step = post("/sign-in/ann", &[SAME, FORM], "");
const OUT: Step = post("/sign-out", &[SAME, FORM], "");

pub(crate) const LAB: &[Scenario] = &[
    ("lab: a page", &[get("/")]),
    ("lab: a page in Germany", &[get("/").with(&[DE])]),
    ("lab: a page in the United Kingdom", &[get("/").with(&[GB])]),
    ("lab: a page in the United States", &[get("/").with(&[US])]),
    ("lab: a page in the United States under GPC", &[get("/").with(&[US, SIGNAL])]),
    ("lab: a page in Germany under GPC", &[get("/").with(&[DE, SIGNAL])]),
    ("lab: settings in the United States", &[get("/privacy").with(&[US, PEOPLE])]),
    ("lab: settings in the United States under GPC", &[get("/privacy").with(&[US, SIGNAL, PEOPLE])]),
    (
        "lab: settings in German in the United States under GPC",
        &[get("/privacy").with(&[US, SIGNAL, PEOPLE, ("accept-language", "de")])],
    ),
    ("lab: settings in the United Kingdom", &[get("/privacy").with(&[GB, PEOPLE])]),
    ("lab: banner in the United States", &[get("/privacy/banner").with(&[US])]),
    ("lab: banner in France", &[get("/privacy/banner").with(&[FR])]),
    ("lab: state in Germany", &[state(DE)]),
    ("lab: state in the United Kingdom", &[state(GB)]),
    ("lab: state in France", &[state(FR)]),
    ("lab: state in the United States", &[state(US)]),
    ("lab: state in the United States under GPC", &[get("/privacy/consent").with(&[US, SIGNAL])]),
    ("lab: cookies in Germany", &[get("/cookies").with(&[DE])]),
    ("lab: cookies in the United Kingdom", &[get("/cookies").with(&[GB])]),
    ("lab: cookies in the United States", &[get("/cookies").with(&[US])]),
    ("lab: cookies in the United States under GPC", &[get("/cookies").with(&[US, SIGNAL])]),
    (
        "lab: what the handler sees in the United Kingdom after an objection",
        &[
            get("/cookies").with(&[GB]),
            REFUSE_GB,
            get("/seen").with(&[GB, ("cookie", "stat=1; ad=1; sid=1")]),
        ],
    ),
    ("lab: an objection expires what stood on the exception", &[get("/cookies").with(&[GB]), REFUSE_GB]),
    ("lab: an opt-out", &[get("/cookies").with(&[US]), REFUSE_US, get("/cookies").with(&[US]), state(US)]),
    ("lab: an opt-out holds in Germany", &[REFUSE_US, state(DE)]),
    (
        "lab: a form from Germany is none in the United States",
        &[post("/privacy/consent", &[SAME, JSON, US], r#"{"action":"accept_all","notice":"{notice}"}"#)],
    ),
    ("lab: accepted, and read in the United States", &[ACCEPT, state(US), get("/cookies").with(&[US])]),
    (
        "lab: accepted under GPC",
        &[ACCEPT, get("/privacy/consent").with(&[SIGNAL]), get("/cookies").with(&[SIGNAL])],
    ),
    (
        "lab: a sale by name under GPC",
        &[SELL, get("/privacy/consent").with(&[SIGNAL]), get("/").with(&[SIGNAL])],
    ),
    (
        "lab: a sale by name, withdrawn",
        &[
            SELL,
            post("/privacy/withdraw", &[SAME, FORM, SIGNAL], "category=marketing"),
            get("/privacy/consent").with(&[SIGNAL]),
        ],
    ),
    ("lab: GPC in several lines' values", &[get("/privacy/consent").with(&[("sec-gpc", "0"), SIGNAL])]),
    ("lab: no GPC", &[get("/privacy/consent").with(&[("sec-gpc", "1, 1")])]),
    ("lab: the promise", &[get("/.well-known/gpc.json")]),
    ("lab: the promise, by POST", &[post("/.well-known/gpc.json", &[SAME, FORM], "")]),
    ("lab: signed in", &[IN, get("/privacy/consent"), get("/")]),
    ("lab: signed in, refused", &[IN, post("/privacy/withdraw", &[SAME, FORM], ""), get("/privacy/consent")]),
    ("lab: signed in, accepted", &[IN, ACCEPT, get("/privacy/consent"), get("/privacy/receipt")]),
    (
        "lab: signed in with a grant of the device, out again",
        &[
            ACCEPT,
            IN,
            post("/privacy/withdraw", &[SAME, FORM], ""),
            get("/privacy"),
            OUT,
            get("/privacy/consent"),
        ],
    ),
    (
        "lab: signed in, accepted, out, in",
        &[IN, ACCEPT, OUT, get("/privacy/consent"), IN, get("/privacy/consent")],
    ),
    (
        "lab: signed in under GPC",
        &[post("/sign-in/ann", &[SAME, FORM, SIGNAL], ""), OUT, ACCEPT, IN, get("/privacy/consent")],
    ),
    ("lab: what is held", &[get("/privacy/me")]),
    ("lab: what is held after accepting", &[ACCEPT, get("/privacy/me")]),
    ("lab: what is held, as CSV", &[ACCEPT, get("/privacy/me?format=csv")]),
    ("lab: what is held, as CSV by Accept", &[ACCEPT, get("/privacy/me").with(&[("accept", "text/csv")])]),
    ("lab: what is held, by POST", &[post("/privacy/me", &[SAME, FORM], "")]),
    ("lab: what is held for an account", &[IN, ACCEPT, get("/privacy/me")]),
];
