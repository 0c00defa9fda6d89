//! The versions of the cookie statement with their dates and differences: the same for everybody.

use privet::Visit;
use privet::catalogue::{Language, StatementDiff};
use serde_json::{Value, json};

use super::not_found;
use crate::changes;
use crate::negotiate;
use crate::reply::Reply;
use crate::request::Request;

fn cacheable(reply: Reply, language: &Language) -> Reply {
    reply
        .header("cache-control", "public, max-age=300")
        .header("vary", "Accept, Accept-Language")
        .header("content-language", language.as_str())
}

pub(super) fn negotiated(visit: &Visit, request: &Request) -> Reply {
    match negotiate::choose(request.header("accept"), &["text/html", "application/json"]) {
        "application/json" => json(visit, request),
        _ => html(visit, request),
    }
}

fn html(visit: &Visit, request: &Request) -> Reply {
    let language = request.language(visit);
    match changes::versions(visit, &language) {
        Ok(page) => cacheable(Reply::html(200, page), &language),
        Err(_) => not_found(visit, request),
    }
}

pub(super) fn json(visit: &Visit, request: &Request) -> Reply {
    let language = request.language(visit);
    let Ok(all) = visit.privet().statement_changes(visit.scope(), &language) else {
        return not_found(visit, request);
    };
    let rows: Vec<Value> = all
        .rev()
        .map(|(version, diff)| {
            let material = diff.is_some_and(StatementDiff::is_material);
            json!({ "version": version.number, "date": version.date(), "material": material, "changes": diff })
        })
        .collect();
    cacheable(Reply::json(200, &rows), &language)
}
