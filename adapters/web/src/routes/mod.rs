//! The routes: from a request to an answer.

mod act;
mod me;
mod receipt;
mod statement;
mod versions;

use privet::consent::SiteNotice;
use privet::{Privet, Visit};

use crate::assets;
use crate::negotiate;
use crate::page;
use crate::reply::Reply;
use crate::request::{Method, Request, local_path};
use crate::state::state_json;
use crate::words;

/// Where the promise to honour Global Privacy Control is read (W3C GPC, "GPC Support Resource").
const GPC_PATH: &str = "/.well-known/gpc.json";

/// The paths of privet's own routes, for a framework's router.
#[must_use]
pub fn paths(privet: &Privet) -> Vec<String> {
    let base = privet.base_path();
    [
        "",
        "/banner",
        "/consent",
        "/withdraw",
        "/activate",
        "/cookies",
        "/cookies.md",
        "/cookies.json",
        "/cookies/versions",
        "/cookies/versions.json",
        "/receipt",
        "/me",
        "/privet.js",
        "/privet.css",
    ]
    .map(|route| format!("{base}{route}"))
    .into_iter()
    .chain(privet.promises_gpc().then(|| GPC_PATH.to_owned()))
    .collect()
}

/// Answers a request to one of privet's own routes.
pub async fn respond(visit: &Visit, request: &Request) -> Reply {
    // These pages show the choice, or are not pages.
    visit.banner_shown();
    if request.path == GPC_PATH {
        return gpc_support(visit, request);
    }
    let base = visit.privet().base_path();
    let Some(route) = request.path.strip_prefix(base) else { return not_found(visit, request) };
    match (request.method, route) {
        (Method::Get | Method::Head, "" | "/") => settings(visit, request, 200, false),
        (Method::Get | Method::Head, "/banner") => banner(visit, request),
        (Method::Get | Method::Head, "/consent") => state(visit, request),
        (Method::Get | Method::Head, "/cookies") => statement::negotiated(visit, request),
        (Method::Get | Method::Head, "/cookies.md") => statement::markdown(visit, request),
        (Method::Get | Method::Head, "/cookies.json") => statement::json(visit, request),
        (Method::Get | Method::Head, "/cookies/versions") => versions::negotiated(visit, request),
        (Method::Get | Method::Head, "/cookies/versions.json") => versions::json(visit, request),
        (Method::Get | Method::Head, "/receipt") => receipt::receipt(visit, request).await,
        (Method::Get | Method::Head, "/me") => me::me(visit, request).await,
        (Method::Get | Method::Head, "/privet.js") => assets::script(request),
        (Method::Get | Method::Head, "/privet.css") => assets::style(request),
        (Method::Post, "/consent") => act::consent(visit, request).await,
        (Method::Post, "/withdraw") => act::withdraw(visit, request).await,
        (Method::Post, "/activate") => act::activate(visit, request),
        (
            _,
            ""
            | "/"
            | "/banner"
            | "/cookies"
            | "/cookies.md"
            | "/cookies.json"
            | "/cookies/versions"
            | "/cookies/versions.json"
            | "/receipt"
            | "/me"
            | "/privet.js"
            | "/privet.css",
        ) => Reply::problem(405, "Method not allowed").header("allow", "GET, HEAD"),
        (_, "/consent") => Reply::problem(405, "Method not allowed").header("allow", "GET, HEAD, POST"),
        (_, "/withdraw" | "/activate") => Reply::problem(405, "Method not allowed").header("allow", "POST"),
        _ => not_found(visit, request),
    }
}

/// Only where it was promised: nobody finds a promise that the site did not make.
fn gpc_support(visit: &Visit, request: &Request) -> Reply {
    match (visit.gpc_promise(), request.method) {
        (None, _) => not_found(visit, request),
        (Some(since), Method::Get | Method::Head) => {
            let promise = serde_json::json!({ "gpc": true, "lastUpdate": since });
            Reply::json(200, &promise).header("cache-control", "public, max-age=86400")
        }
        (Some(_), _) => Reply::problem(405, "Method not allowed").header("allow", "GET, HEAD"),
    }
}

fn not_found(visit: &Visit, request: &Request) -> Reply {
    failed(visit, request, 404, |w| (w.not_found, ""))
}

/// The notice to show, in the language of the request. A built site has one in every language.
fn notice<'v>(visit: &'v Visit, request: &Request) -> Option<&'v SiteNotice> {
    visit.notice(&request.language(visit))
}

/// Where a decision comes back to.
fn return_to(request: &Request, given: Option<&str>) -> String {
    let asked = request.query_value("return_to");
    given.or(asked.as_deref()).and_then(local_path).unwrap_or("/").to_owned()
}

/// Whether the client is a person's browser that shows pages, rather than a script.
pub(crate) fn wants_html(request: &Request) -> bool {
    let sends_json = request
        .header("content-type")
        .is_some_and(|t| t.trim_start().to_ascii_lowercase().starts_with("application/json"));
    let offers =
        if sends_json { ["application/json", "text/html"] } else { ["text/html", "application/json"] };
    negotiate::choose(request.header("accept"), &offers) == "text/html"
}

/// An answer to what went wrong: a page for people, a problem for programs, nothing of the inside for either.
fn failed(
    visit: &Visit,
    request: &Request,
    status: u16,
    said: impl Fn(&words::Words) -> (&'static str, &'static str),
) -> Reply {
    let language = request.language(visit);
    let (title, text) = said(words::of(&language));
    if wants_html(request) {
        Reply::html(status, page::said(visit.privet().base_path(), &language, title, text)).personal()
    } else {
        Reply::problem(status, title)
    }
}

fn settings(visit: &Visit, request: &Request, status: u16, stale: bool) -> Reply {
    let Some(notice) = notice(visit, request) else { return not_found(visit, request) };
    let return_to = return_to(request, None);
    Reply::html(status, page::settings(visit, notice, &return_to, stale))
        .header("content-language", notice.notice.language.as_str())
        .personal()
}

fn banner(visit: &Visit, request: &Request) -> Reply {
    let Some(notice) = notice(visit, request) else { return not_found(visit, request) };
    let return_to = return_to(request, None);
    Reply::html(200, page::banner(visit, notice, &return_to))
        .header("content-language", notice.notice.language.as_str())
        .personal()
}

fn state(visit: &Visit, request: &Request) -> Reply {
    let Some(notice) = notice(visit, request) else { return not_found(visit, request) };
    Reply::json(200, &state_json(visit, notice, false)).personal()
}
