//! The site of the bench: nine cookies of its own, and privet's.

use axum::Router;
use privet::{Catalogue, Privet};
use privet_web::testing::{Asked, InProcess as _};

const NAMES: [&str; 9] =
    ["theme", "lang", "ab_bucket", "cart_id", "seen_tour", "stats_id", "stats_run", "promo_src", "last_page"];

const CONTROLLER: &str = r#"
    [controller]
    name = "Bench"
    contact = "privacy@bench.example"

    [[category]]
    id = "functional"
    purpose = "Remembers settings."

    [[category]]
    id = "analytics"
    purpose = "Counts visits."

    [[category]]
    id = "marketing"
    purpose = "Shows offers."

    [[category]]
    id = "contacts"
    purpose = "Recognises the browser in the chat."

    [[service]]
    id = "site"
    provider = "Bench"
    purpose = "What the site remembers."
    legal_basis = "consent"
"#;

/// The nine cookies of the site, as a browser sends them.
pub(crate) fn others() -> impl Iterator<Item = String> {
    NAMES.iter().enumerate().map(|(n, name)| format!("{name}=value-{n}-0123456789"))
}

/// The `Cookie` line: the nine and a consent cookie.
pub(crate) fn cookies(consent: &str) -> String {
    others().chain([format!("__Host-privet={consent}")]).collect::<Vec<_>>().join("; ")
}

/// privet with the nine cookies declared.
pub(crate) async fn privet(show_addresses: bool) -> Privet {
    let entries: String = NAMES
        .iter()
        .map(|name| {
            format!(
                "[[service.entry]]\nname = \"{name}\"\npurpose = \"A setting.\"\nduration = \"30 days\"\n\
                 trigger = \"server\"\ngate = {{ consent = \"functional\" }}\n"
            )
        })
        .collect();
    let catalogue = Catalogue::from_toml(&format!("{CONTROLLER}{entries}")).unwrap();
    let builder = Privet::builder(catalogue);
    let builder = if show_addresses { builder.show_addresses() } else { builder };
    builder.build().await.unwrap()
}

/// The value of the cookie that a choice leaves on the device.
pub(crate) async fn decided(privet: &Privet, action: &str) -> String {
    let mut site = privet_axum::testing::in_process::<Router>(privet_axum::router(privet), privet);
    let state = site.ask(Asked::new("GET", "/privacy/consent")).await;
    let state: serde_json::Value = serde_json::from_slice(&state.body).unwrap();
    let form = format!("action={action}&notice={}", state["notice"].as_str().unwrap());
    let asked = Asked::new("POST", "/privacy/consent")
        .header("sec-fetch-site", "same-origin")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form);
    let answer = site.ask(asked).await;
    let line = answer.all("set-cookie").next().unwrap();
    line.strip_prefix("__Host-privet=").unwrap().split(';').next().unwrap().to_owned()
}
