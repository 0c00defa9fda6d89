//! The musts of the law and the tests that carry their ids.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

/// The musts of the groups that are built: id and what it demands.
pub fn musts() -> BTreeMap<String, String> {
    lines_of(|section| section != "[browser]")
}

/// What is left to show in a browser of a must whose rest is shown: id and what.
pub fn for_browsers() -> BTreeMap<String, String> {
    lines_of(|section| section == "[browser]")
}

fn lines_of(wanted: impl Fn(&str) -> bool) -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(root().join("tests/law.toml")).expect("law.toml");
    let mut section = "";
    text.lines()
        .filter(|line| {
            if line.starts_with('[') {
                section = line;
            }
            wanted(section)
        })
        .filter_map(|line| line.strip_prefix('"')?.split_once("\" = \""))
        .map(|(id, demand)| (id.to_owned(), demand.trim_end_matches('"').to_owned()))
        .collect()
}

fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder").map(|e| e.expect("an entry").path()) {
        let name = entry.file_name().and_then(|n| n.to_str()).unwrap_or_default().to_owned();
        if entry.is_dir() && !name.starts_with('.') && name != "target" {
            sources(&entry, into);
        } else if name.ends_with(".rs") {
            into.push(entry);
        }
    }
}

/// Every test whose name begins with an id such as `ip_01_`, by id.
pub fn tests() -> BTreeMap<String, BTreeSet<String>> {
    let mut files = Vec::new();
    sources(&root(), &mut files);
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in files {
        let text = std::fs::read_to_string(&file).expect("a source file");
        let mut is_test = false;
        for line in text.lines().map(str::trim) {
            if line.starts_with("#[") {
                let attributes = ["#[test]", "#[tokio::test", "#[actix_web::test]"];
                is_test |= attributes.into_iter().any(|attribute| line.starts_with(attribute));
                continue;
            }
            let name =
                line.trim_start_matches("async ").strip_prefix("fn ").and_then(|l| l.split('(').next());
            if let (true, Some(name)) = (is_test, name)
                && let Some(id) = id_of(name)
            {
                let place = file.strip_prefix(root()).unwrap_or(&file).display().to_string();
                found.entry(id).or_default().insert(format!("{place} {name}"));
            }
            is_test = false;
        }
    }
    found
}

fn id_of(name: &str) -> Option<String> {
    let mut parts = name.split('_');
    let (group, number) = (parts.next()?, parts.next()?);
    let groups = [
        "con", "rec", "wdr", "gate", "stm", "inf", "ctc", "ip", "geo", "ret", "era", "acc", "prc", "ten",
        "sec", "bre", "chd", "trf", "jur",
    ];
    let is = groups.contains(&group)
        && number.len() == 2
        && number.bytes().all(|b| b.is_ascii_digit())
        && parts.next().is_some();
    is.then(|| format!("{}-{number}", group.to_uppercase()))
}

/// The matrix, for people.
pub fn matrix() -> String {
    let (musts, tests, for_browsers) = (musts(), tests(), for_browsers());
    let mut out = String::from("Musts of the groups that are built, and the tests that carry their ids\n");
    for (id, demand) in &musts {
        out.push_str(&format!("\n{id}  {demand}\n"));
        match tests.get(id) {
            Some(tests) => tests.iter().for_each(|t| out.push_str(&format!("       {t}\n"))),
            None => out.push_str("       NO TEST\n"),
        }
        if let Some(left) = for_browsers.get(id) {
            out.push_str(&format!("       browser, later: {left}\n"));
        }
    }
    out.push_str("\nOther ids that tests carry already: ");
    let others: Vec<_> = tests.keys().filter(|id| !musts.contains_key(*id)).cloned().collect();
    out.push_str(&others.join(", "));
    out.push('\n');
    out
}
