//! How each statement finds its rows: none walks through a tenant or a site to find one of them. The statements are taken from
//! the sources, so that a new one is looked at as well.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that meets something else has failed")]

use std::path::Path;

use privet::conformance::block_on;
use rusqlite::Connection;

/// The string literals of a source that are statements.
fn statements(source: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut rest = source;
    while let Some((_, from)) = rest.split_once('"') {
        let end = from.char_indices().find(|(at, c)| *c == '"' && !from[..*at].ends_with('\\'));
        let Some((end, _)) = end else { break };
        let text = from[..end].split_whitespace().collect::<Vec<_>>().join(" ");
        if ["SELECT ", "UPDATE ", "DELETE ", "WITH "].iter().any(|verb| text.starts_with(verb)) {
            all.push(text);
        }
        rest = &from[end + 1..];
    }
    all
}

/// What stands in the braces of a statement that is put together.
const PARTS: &[(&str, &str)] = &[
    ("{CONTACT}", "*"),
    ("{CONVERSATION}", "*"),
    ("{EVENT}", "*"),
    ("{MESSAGE}", "*"),
    ("{NOTIFICATION}", "*"),
    ("{RECORD}", "*"),
    ("{SUMMARY}", "id, country, created, last_seen, conversations"),
    ("{VERSION}", "*"),
    ("{contacts}", "1"),
    ("{DAY_MS}", "86400000"),
    ("{live}", "0, 1"),
    ("{age}", "last_message"),
    ("{is_shown}", "erasing IS NULL AND frozen_until IS NULL AND last_seen >= ?5 AND consent_until > ?6"),
    ("{what}", "owned"),
];

/// What goes through all there is of a tenant or a site, in steps or on purpose.
const WALKS: &[&str] = &[
    // The chain is checked from one end to the other.
    "SELECT count(*) FROM consent_records r WHERE tenant",
    // Figures are about all contacts of a site; an index has all that is asked.
    "SELECT country, count(*) FROM contacts",
    // Few rows: one per class, version, or day and notice.
    "FROM retention_rules",
    "FROM statements",
    "FROM consent_counts",
];

#[test]
fn nothing_is_found_by_walking_through_a_site() {
    let folder = tempfile::tempdir().unwrap();
    block_on(privet_sqlite::open(folder.path())).unwrap();
    let db = Connection::open(folder.path().join("privet.db")).unwrap();
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store");
    let (mut seen, mut walks) = (0, Vec::new());
    for file in std::fs::read_dir(sources).unwrap() {
        for text in statements(&std::fs::read_to_string(file.unwrap().path()).unwrap()) {
            let sql = PARTS.iter().fold(text, |sql, (part, with)| sql.replace(part, with));
            if sql.contains('{') || WALKS.iter().any(|walk| sql.contains(walk)) {
                continue;
            }
            let mut plan =
                db.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap_or_else(|e| panic!("{sql}: {e}"));
            let steps =
                plan.query_map(rusqlite::params_from_iter(vec![0; plan.parameter_count()]), |r| r.get(3));
            let steps: Vec<String> = steps.unwrap().map(Result::unwrap).collect();
            seen += 1;
            let walking = |step: &&String| {
                let all = ["(tenant=?)", "(tenant=? AND site=?)"].iter().any(|end| step.ends_with(end));
                // In the order that is asked for it ends with the limit.
                let whole = ["SCAN CONSTANT ROW", "SCAN whose", "SCAN owned", "SCAN ends"];
                let whole = step.starts_with("SCAN ") && !whole.contains(&step.as_str());
                whole || (all && !sql.contains("ORDER BY"))
            };
            walks.extend(steps.iter().filter(walking).map(|step| format!("{sql}\n    {step}")));
        }
    }
    assert!(seen > 60, "{seen} statements are few: are they still found in the sources?");
    assert!(walks.is_empty(), "{}", walks.join("\n"));
}
