//! The cookie statement in three forms: the same for everybody, so caches may keep it.

use std::fmt::Write as _;

use privet::Visit;
use privet::catalogue::{Statement, StatementVersion};

use crate::negotiate;
use crate::page;
use crate::reply::Reply;
use crate::request::Request;
use crate::words;

fn of(visit: &Visit, request: &Request) -> Statement {
    visit.catalogue().statement(&request.language(visit))
}

fn cacheable(reply: Reply, statement: &Statement) -> Reply {
    reply
        .header("cache-control", "public, max-age=300")
        .header("vary", "Accept, Accept-Language")
        .header("content-language", statement.language.as_str())
}

pub(super) fn negotiated(visit: &Visit, request: &Request) -> Reply {
    match negotiate::choose(request.header("accept"), &["text/html", "text/markdown", "application/json"]) {
        "text/markdown" => markdown(visit, request),
        "application/json" => json(visit, request),
        _ => {
            let statement = of(visit, request);
            let page = page::statement(visit.privet().base_path(), &statement, latest(visit));
            cacheable(Reply::html(200, page), &statement)
        }
    }
}

pub(super) fn json(visit: &Visit, request: &Request) -> Reply {
    let statement = of(visit, request);
    cacheable(Reply::json(200, &statement), &statement)
}

pub(super) fn markdown(visit: &Visit, request: &Request) -> Reply {
    let statement = of(visit, request);
    let text = written(visit.privet().base_path(), &statement, latest(visit));
    cacheable(Reply::new(200, "text/markdown; charset=utf-8", text), &statement)
}

/// Text in a Markdown table: what would be markup is escaped.
fn cell(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '#' | '~' | '&' => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

fn latest(visit: &Visit) -> Option<&StatementVersion> {
    visit.privet().statement_versions(visit.scope()).ok()?.last()
}

fn written(base: &str, statement: &Statement, latest: Option<&StatementVersion>) -> String {
    let words = words::of(&statement.language);
    let mut out = format!(
        "# {}\n\n{}, {}\n\n{}\n",
        words.statement_title,
        cell(&statement.controller.name),
        cell(&statement.controller.contact),
        words.statement_intro
    );
    // Writing into a string cannot fail.
    for group in page::groups(statement, words) {
        let _ = write!(out, "\n## {}\n\n", cell(&group.title));
        if let Some(purpose) = group.purpose {
            let _ = write!(out, "{}\n\n", cell(purpose));
        }
        if !group.external_hosts.is_empty() {
            let _ = write!(out, "{} {}\n\n", words.external_hosts, cell(&group.external_hosts.join(", ")));
        }
        if group.items.is_empty() {
            continue;
        }
        let head = [
            words.name,
            words.purpose,
            words.duration,
            words.provider,
            words.third_parties,
            words.storage,
            words.trigger,
            words.basis,
        ];
        let _ = write!(out, "| {} |\n|{}\n", head.join(" | "), "---|".repeat(head.len()));
        for item in group.items {
            let readers = if item.third_party_access.is_empty() {
                words.nobody.to_owned()
            } else {
                item.third_party_access.join(", ")
            };
            let row = [
                cell(&item.name),
                cell(&item.purpose),
                words.lifetime(item.seconds),
                cell(&format!("{} ({})", item.provider, item.service_label)),
                cell(&readers),
                item.storage.as_str().to_owned(),
                words.trigger(item.trigger).to_owned(),
                item.article.to_owned(),
            ];
            let _ = writeln!(out, "| {} |", row.join(" | "));
        }
    }
    if !statement.recipients.is_empty() {
        let head = [words.name, words.country, words.purpose, words.fields, words.address];
        let _ = write!(
            out,
            "\n## {}\n\n| {} |\n|{}\n",
            words.recipients_title,
            head.join(" | "),
            "---|".repeat(head.len())
        );
        for r in &statement.recipients {
            let row = [
                cell(&r.name),
                cell(&r.country),
                cell(&r.purpose),
                cell(&r.fields.join(", ")),
                words.address(r.address).to_owned(),
            ];
            let _ = writeln!(out, "| {} |", row.join(" | "));
        }
    }
    let _ = write!(
        out,
        "\n{} [{}]({base}).\n\n{} ({})\n",
        words.statement_browser, words.settings_link, words.statement_template, statement.version
    );
    if let Some(latest) = latest {
        let _ = write!(
            out,
            "\n[{} {}, {}]({base}/cookies/versions)\n",
            words.version,
            latest.number,
            latest.date()
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_hold_no_markup() {
        assert_eq!(cell("<integrationId>.x|y\n_z_"), "\\<integrationId\\>.x\\|y \\_z\\_");
    }
}
