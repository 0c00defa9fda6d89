//! The versions of the cookie statement with their dates and differences: the same for everybody.

use privet::Visit;
use privet::catalogue::{Language, StatementDiff, StatementVersion};
use serde_json::{Value, json};

use super::not_found;
use crate::negotiate;
use crate::page::{self, VersionRow};
use crate::reply::Reply;
use crate::request::Request;

/// Each version with what is different from the one before, the latest first.
fn history<'v>(visit: &'v Visit, language: &Language) -> Vec<(&'v StatementVersion, Option<StatementDiff>)> {
    let versions = visit.privet().statement_versions(visit.scope()).unwrap_or_default();
    let before = std::iter::once(None).chain(versions.iter().map(Some));
    let mut all: Vec<_> =
        versions.iter().zip(before).map(|(v, before)| (v, before.map(|b| b.diff(v, language)))).collect();
    all.reverse();
    all
}

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
    let rows: Vec<_> = history(visit, &language)
        .into_iter()
        .map(|(version, diff)| VersionRow::new(version, diff, visit.catalogue(), &language))
        .collect();
    if rows.is_empty() {
        return not_found(visit, request);
    }
    cacheable(Reply::html(200, page::versions(visit.privet().base_path(), &language, &rows)), &language)
}

pub(super) fn json(visit: &Visit, request: &Request) -> Reply {
    let language = request.language(visit);
    let rows: Vec<Value> = history(visit, &language)
        .into_iter()
        .map(|(version, diff)| {
            let material = diff.as_ref().is_some_and(StatementDiff::is_material);
            json!({ "version": version.number, "date": version.date(), "material": material, "changes": diff })
        })
        .collect();
    cacheable(Reply::json(200, &rows), &language)
}
