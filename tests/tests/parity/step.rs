//! What a scenario is made of.

use std::time::Duration;

/// A request of a scenario. In its path and its body `{notice}` is a token of the form that the browser would have now,
/// `{held}` one from the beginning of the scenario, and `{contact}` the id of the first contact.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) headers: &'static [(&'static str, &'static str)],
    pub(crate) body: &'static str,
    /// How far the clock moves before it.
    pub(crate) after: Duration,
}

/// What it is, and the requests.
pub(crate) type Scenario = (&'static str, &'static [Step]);

/// What a framework does by itself or cannot do, whatever the app says.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Differs {
    /// The value of a header that the framework writes.
    Header(&'static str),
    /// The bodies.
    Body,
    /// Another page with the same status.
    Page,
    /// The framework answers before any handler is asked: status on axum, status on actix-web.
    Status(u16, u16),
}

pub(crate) const fn get(path: &'static str) -> Step {
    Step { method: "GET", path, headers: &[], body: "", after: Duration::ZERO }
}

pub(crate) const fn post(
    path: &'static str,
    headers: &'static [(&'static str, &'static str)],
    body: &'static str,
) -> Step {
    Step { method: "POST", path, headers, body, after: Duration::ZERO }
}

impl Step {
    pub(crate) const fn with(mut self, headers: &'static [(&'static str, &'static str)]) -> Self {
        self.headers = headers;
        self
    }

    pub(crate) const fn by(mut self, method: &'static str) -> Self {
        self.method = method;
        self
    }

    pub(crate) const fn after_hours(mut self, hours: u64) -> Self {
        self.after = Duration::from_secs(hours * 3600);
        self
    }

    pub(crate) const fn after_days(self, days: u64) -> Self {
        self.after_hours(days * 24)
    }
}

pub(crate) const SAME: (&str, &str) = ("sec-fetch-site", "same-origin");
pub(crate) const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
pub(crate) const JSON: (&str, &str) = ("content-type", "application/json");
pub(crate) const PEOPLE: (&str, &str) = ("accept", "text/html,*/*;q=0.8");

pub(crate) const ACCEPT: Step =
    post("/privacy/consent", &[SAME, FORM, PEOPLE], "action=accept_all&notice={notice}");
pub(crate) const REJECT: Step =
    post("/privacy/consent", &[SAME, FORM, PEOPLE], "action=reject_all&notice={notice}");
pub(crate) const WITHDRAW: Step = post("/privacy/withdraw", &[SAME, FORM, PEOPLE], "");
