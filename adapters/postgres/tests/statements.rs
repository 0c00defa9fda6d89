//! The statements of the sources, for a distributed PostgreSQL.
#![allow(clippy::unwrap_used, reason = "a test that meets something else has failed")]

/// The literals of a source, without those of its own tests.
fn literals(source: &str) -> Vec<String> {
    let source = source.split("#[cfg(test)]").next().unwrap();
    let (mut all, mut current) = (Vec::new(), None::<String>);
    let mut chars = source.chars();
    while let Some(c) = chars.next() {
        match (&mut current, c) {
            (None, '"') => current = Some(String::new()),
            (None, '/') if chars.as_str().starts_with('/') => drop(chars.by_ref().find(|c| *c == '\n')),
            (None, _) => {}
            (Some(_), '"') => all.extend(current.take()),
            (Some(literal), '\\') => literal.extend(chars.next()),
            (Some(literal), c) => literal.push(c),
        }
    }
    all
}

fn sources(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { all.extend(sources(&path)) } else { all.push(path) }
    }
    all
}

/// Tables that are the same everywhere, or in one place.
const OF_THE_INSTALLATION: [&str; 4] = ["meta", "leases", "ledger", "_privet_migrations"];

/// What writes or locks rows names the tenant as its first value, so that it is about one tenant's and goes to one node; and
/// nothing is looked for by recursion, which goes to one node alone.
#[test]
fn what_writes_is_about_one_tenant() {
    let mut seen = 0;
    for path in sources(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src")) {
        for sql in literals(&std::fs::read_to_string(&path).unwrap()) {
            // Where there are several nodes the month is looked through without it.
            let of_one_node = path.ends_with("partitions.rs") && sql.starts_with("WITH RECURSIVE t (tenant)");
            assert!(of_one_node || !sql.contains("RECURSIVE"), "{}: {sql}", path.display());
            let table =
                ["UPDATE privet.", "DELETE FROM privet.", "INSERT INTO privet."].iter().find_map(|verb| {
                    let rest = sql.split_once(verb)?.1;
                    Some(rest.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).next().unwrap())
                });
            let locks = sql.contains("FOR UPDATE") || sql.contains("FOR SHARE");
            if table.is_none() && !locks {
                continue;
            }
            seen += 1;
            let elsewhere = OF_THE_INSTALLATION.iter().any(|t| sql.contains(&format!("privet.{t}")));
            let tenant = sql.contains("tenant = $1") || sql.contains("(tenant") || sql.contains("tenant, ");
            assert!(elsewhere || tenant, "{}: {sql}", path.display());
        }
    }
    assert!(seen > 50, "{seen}");
}
