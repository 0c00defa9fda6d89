//! The statements of the sources, for a PostgreSQL that is distributed by tenant: each names the tenant whose rows it is about.
#![allow(clippy::unwrap_used, reason = "a test that meets something else has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Tables that have no tenant. They exempt what is said of them, and nothing else in the same statement.
const OF_THE_INSTALLATION: [&str; 4] = ["_privet_migrations", "leases", "ledger", "meta"];

/// What looks past one tenant on purpose: the source, the function or constant that has it, how many statements, and why. They
/// only read: what is found is changed by statements that name its tenant, and nothing there locks or writes.
const ON_PURPOSE: [(&str, &str, usize, &str); 11] = [
    (
        "partitions.rs",
        "default_of",
        1,
        "whether the default partition has to be looked through is asked of all of it",
    ),
    ("partitions.rs", "has_others", 1, "a month goes as a whole when it is over for every tenant in it"),
    (
        "partitions.rs",
        "has_others_somewhere",
        1,
        "the same, from one tenant to the next, where there are several nodes",
    ),
    ("partitions.rs", "count", 1, "what went with a month is told for all tenants together"),
    ("store/chain.rs", "next_head", 1, "anchors go from one tenant to the next"),
    ("store/erase.rs", "marked", 2, "erasures that were begun are found whosever they are"),
    ("store/list.rs", "page", 1, "its conditions are put together, and the first one is the tenant"),
    ("store/list.rs", "count", 1, "its conditions are put together, and the first one is the tenant"),
    ("store/outbox.rs", "next_tenant", 1, "notifications that are due are taken from one tenant to the next"),
    ("store/retention.rs", "TENANTS", 6, "a sweep goes from one tenant to the next"),
    ("store/retention.rs", "FENCED", 1, "a sweep of fences goes from one tenant to the next"),
];

/// A literal of a source, and the function or constant that it is in.
struct Literal {
    within: String,
    text: String,
}

/// The literals of a source, without those of its own tests.
fn literals(source: &str) -> Vec<Literal> {
    let source: Vec<char> = source.split("#[cfg(test)]").next().unwrap().chars().collect();
    let (mut all, mut within, mut word, mut before) =
        (Vec::new(), String::new(), String::new(), String::new());
    let mut at = 0;
    while at < source.len() {
        let c = source[at];
        at += 1;
        if c.is_ascii_alphanumeric() || c == '_' {
            word.push(c);
            continue;
        }
        if matches!(before.as_str(), "fn" | "const" | "static") && !word.is_empty() && word != "fn" {
            within.clone_from(&word);
        }
        if !word.is_empty() {
            before = std::mem::take(&mut word);
        }
        match c {
            '/' if source.get(at) == Some(&'/') => {
                while source.get(at).is_some_and(|c| *c != '\n') {
                    at += 1;
                }
            }
            // A character, or else a lifetime.
            '\'' if source.get(at) == Some(&'\\') => {
                at += 2;
                while source.get(at - 1) != Some(&'\'') {
                    at += 1;
                }
            }
            '\'' if source.get(at + 1) == Some(&'\'') => at += 2,
            '"' => {
                assert!(!matches!(before.as_str(), "r"), "a raw literal is not read here");
                let mut text = String::new();
                while source[at] != '"' {
                    if source[at] == '\\' {
                        at += 1;
                    }
                    text.push(source[at]);
                    at += 1;
                }
                at += 1;
                all.push(Literal { within: within.clone(), text });
            }
            _ => {}
        }
    }
    all
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { all.extend(files(&path)) } else { all.push(path) }
    }
    all.sort();
    all
}

/// A word, a value or a sign, and the query that it stands in: what is in brackets is another one, and so is each side of a
/// UNION.
struct Token {
    text: String,
    query: usize,
}

impl Token {
    fn is(&self, word: &str) -> bool {
        self.text.eq_ignore_ascii_case(word)
    }

    fn is_any(&self, words: &[&str]) -> bool {
        words.iter().any(|word| self.is(word))
    }
}

struct Statement {
    tokens: Vec<Token>,
    /// The query that each query is in, if it is in one.
    outer: Vec<Option<usize>>,
}

impl Statement {
    fn read(sql: &str) -> Self {
        let (mut tokens, mut outer, mut open) = (Vec::<Token>::new(), vec![None], vec![0]);
        let mut chars = sql.chars().peekable();
        while let Some(c) = chars.next() {
            let is_word = |c: &char| c.is_ascii_alphanumeric() || "_.${}".contains(*c);
            let mut text = c.to_string();
            match c {
                c if c.is_whitespace() => continue,
                '\'' => {
                    let _ = chars.by_ref().find(|c| *c == '\'');
                    text.push('\'');
                }
                c if is_word(&c) => {
                    while let Some(c) = chars.next_if(is_word) {
                        text.push(c);
                    }
                }
                _ => {}
            }
            if text == ")" {
                open.pop();
                // The rest of a statement that began in another literal.
                if open.is_empty() {
                    outer.push(None);
                    open.push(outer.len() - 1);
                }
            }
            if text == ";" || text.eq_ignore_ascii_case("UNION") {
                let of = open.pop().and_then(|ended: usize| outer[ended]);
                outer.push(of);
                open.push(outer.len() - 1);
            }
            let query = *open.last().unwrap();
            tokens.push(Token { text, query });
            if c == '(' {
                outer.push(Some(query));
                open.push(outer.len() - 1);
            }
        }
        Self { tokens, outer }
    }

    fn token(&self, at: usize) -> &str {
        self.tokens.get(at).map_or("", |t| &t.text)
    }

    fn begins_with(&self, words: &[&str]) -> bool {
        self.tokens.first().is_some_and(|t| t.is_any(words))
    }

    fn locks(&self) -> bool {
        let strength =
            |at: usize| self.tokens.get(at).is_some_and(|t| t.is_any(&["UPDATE", "SHARE", "KEY", "NO"]));
        self.tokens.iter().enumerate().any(|(at, t)| t.is("FOR") && strength(at + 1))
    }

    fn writes(&self) -> bool {
        let verb = |at: usize, t: &Token| {
            t.is_any(&["INSERT", "DELETE", "MERGE", "TRUNCATE"])
                || t.is("UPDATE") && self.token(at + 1).starts_with("privet.")
        };
        self.tokens.iter().enumerate().any(|(at, t)| verb(at, t))
    }

    /// What stands for a table in its query, and the token after it.
    fn alias(&self, at: usize) -> (&str, usize) {
        const NONE: [&str; 24] = [
            "",
            "AS",
            "CROSS",
            "FOR",
            "FROM",
            "GROUP",
            "HAVING",
            "JOIN",
            "LEFT",
            "LIMIT",
            "OFFSET",
            "ON",
            "ORDER",
            "RETURNING",
            "RIGHT",
            "SELECT",
            "SET",
            "UNION",
            "USING",
            "VALUES",
            "WHERE",
            "FULL",
            "INNER",
            "NATURAL",
        ];
        let explicit = self.token(at + 1).eq_ignore_ascii_case("AS");
        let next = if explicit { at + 2 } else { at + 1 };
        let word = self.token(next);
        let is_name = word.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
        if is_name && !NONE.iter().any(|n| n.eq_ignore_ascii_case(word)) {
            return (word, next + 1);
        }
        (self.token(at).trim_start_matches("privet."), at + 1)
    }

    /// A row that is put in has its tenant first, and it is a value, or that of rows which this statement took out.
    fn puts_in_for_one(&self, after: usize) -> bool {
        if self.token(after) != "(" || self.token(after + 1) != "tenant" {
            return false;
        }
        let query = self.tokens[after].query;
        let Some(end) = (after + 1..self.tokens.len())
            .find(|at| self.token(*at) == ")" && self.tokens[*at].query == query)
        else {
            return false;
        };
        let value = match self.token(end + 1).to_ascii_uppercase().as_str() {
            "VALUES" => end + 3,
            "SELECT" => end + 2,
            _ => return false,
        };
        if is_value(self.token(value)) {
            return true;
        }
        let from = (value..self.tokens.len())
            .find(|at| self.tokens[*at].is("FROM") && self.tokens[*at].query == query);
        // The rows of a part of this statement, whose own tables are looked at as well.
        let part = from.map(|from| self.token(from + 1)).unwrap_or_default();
        let given = |at: usize| self.token(at) == part && self.token(at + 1).eq_ignore_ascii_case("AS");
        self.token(value) == "tenant" && (0..self.tokens.len()).any(given)
    }

    /// What is wrong with it: the tables whose rows it takes without saying of which tenant.
    fn complaints(&self, without_tenant: &BTreeSet<String>) -> Vec<String> {
        // What is done to tables, and not to rows.
        if self.begins_with(&["ALTER", "CREATE", "DROP", "LOCK"]) {
            return Vec::new();
        }
        let mut wrong = Vec::new();
        // Name, query, and whether the tenant of its rows is known.
        let mut tables: Vec<(&str, usize, bool)> = Vec::new();
        for (at, token) in self.tokens.iter().enumerate() {
            let Some(table) = token.text.strip_prefix("privet.") else { continue };
            if table.is_empty() || without_tenant.contains(table) {
                continue;
            }
            let (alias, after) = self.alias(at);
            let before = at.checked_sub(1).map(|at| &self.tokens[at]);
            match before {
                Some(t) if t.is("INTO") => {
                    if !self.puts_in_for_one(after) {
                        wrong.push(format!("rows go into `{table}` without the tenant as their first value"));
                    }
                }
                Some(t) if t.is_any(&["FROM", "JOIN", "UPDATE", "USING", "ONLY", ","]) => {
                    tables.push((alias, token.query, false));
                }
                _ => wrong.push(format!("what is done to `{table}` is not understood")),
            }
        }
        loop {
            let known = tables.iter().filter(|t| t.2).count();
            for n in 0..tables.len() {
                let (alias, query, _) = tables[n];
                tables[n].2 |= self.names_the_tenant(alias, query, &tables);
            }
            if tables.iter().filter(|t| t.2).count() == known {
                break;
            }
        }
        let nobodys = tables.iter().filter(|t| !t.2);
        wrong.extend(nobodys.map(|(alias, ..)| format!("rows of `{alias}` are taken without `tenant = $n`")));
        wrong
    }

    /// Whether the conditions of its query hold a table to the tenant that is bound, or to that of another table that is held so.
    fn names_the_tenant(&self, alias: &str, query: usize, tables: &[(&str, usize, bool)]) -> bool {
        let own: Vec<usize> = (0..self.tokens.len()).filter(|at| self.tokens[*at].query == query).collect();
        let conditions = own.iter().skip_while(|at| !self.tokens[**at].is_any(&["WHERE", "ON"]));
        if conditions.clone().any(|at| self.tokens[*at].is("OR")) {
            return false;
        }
        let alone = tables.iter().filter(|t| t.1 == query).count() == 1;
        let is_ours = |word: &str| match word.strip_suffix(".tenant") {
            Some(of) => of == alias,
            None => word == "tenant" && alone,
        };
        conditions.copied().any(|at| {
            let begins = at > 0 && self.tokens[at - 1].is_any(&["WHERE", "ON", "AND"]);
            if !begins || self.token(at + 1) != "=" {
                return false;
            }
            let (left, right) = (self.token(at), self.token(at + 2));
            if is_ours(left) && is_value(right) {
                return true;
            }
            let other = match (is_ours(left), is_ours(right)) {
                (true, false) => right,
                (false, true) => left,
                _ => return false,
            };
            other.strip_suffix(".tenant").is_some_and(|other| self.is_held(other, query, tables))
        })
    }

    /// A table of this query or of one around it whose tenant is known; or one of the statement around this literal.
    fn is_held(&self, name: &str, query: usize, tables: &[(&str, usize, bool)]) -> bool {
        let mut around = Some(query);
        while let Some(query) = around {
            if let Some(table) = tables.iter().find(|t| t.0 == name && t.1 == query) {
                return table.2;
            }
            around = self.outer[query];
        }
        !self.tokens.iter().any(|t| t.text == name)
    }
}

/// A value that is bound.
fn is_value(word: &str) -> bool {
    word.strip_prefix('$').is_some_and(|n| n.parse::<u32>().is_ok())
}

/// The tables of the migrations, and whether their first column is the tenant.
fn tables() -> BTreeMap<String, bool> {
    let mut all = BTreeMap::new();
    for path in files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations")) {
        let sql = std::fs::read_to_string(path).unwrap();
        let lines = sql.lines().map(|line| line.split("--").next().unwrap());
        let statement = Statement::read(&lines.collect::<Vec<_>>().join("\n"));
        for at in 0..statement.tokens.len() {
            let created = at > 1 && statement.token(at - 2) == "CREATE" && statement.token(at - 1) == "TABLE";
            let Some(name) = statement.token(at).strip_prefix("privet.").filter(|_| created) else {
                continue;
            };
            let has_tenant = match statement.token(at + 1) {
                "PARTITION" => all[statement.token(at + 3).trim_start_matches("privet.")],
                _ => statement.token(at + 2) == "tenant",
            };
            all.insert(name.to_owned(), has_tenant);
        }
    }
    all
}

fn without_tenant() -> BTreeSet<String> {
    OF_THE_INSTALLATION.iter().map(|t| (*t).to_owned()).collect()
}

#[test]
fn tables_have_a_tenant_or_are_the_installations() {
    let tables = tables();
    assert!(tables.len() > 18, "{tables:?}");
    let without: Vec<_> = tables.iter().filter(|t| !t.1).map(|t| t.0.as_str()).collect();
    // The one that says which of these migrations are done is not in them.
    assert_eq!(without, OF_THE_INSTALLATION[1..]);
}

/// What takes, changes, locks or puts in rows of a table that has a tenant names that tenant, so that it is about one tenant's
/// and goes to one node; and nothing is looked for by recursion, which goes to one node alone.
#[test]
fn every_statement_is_about_one_tenant() {
    let (without_tenant, folder) = (without_tenant(), Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    let (mut seen, mut wrong) = (0, Vec::new());
    let mut on_purpose: BTreeMap<(String, String), usize> = BTreeMap::new();
    for path in files(&folder) {
        let source = path.strip_prefix(&folder).unwrap().to_str().unwrap().to_owned();
        let literals = literals(&std::fs::read_to_string(&path).unwrap());
        for literal in &literals {
            let (sql, within) = (&literal.text, &literal.within);
            let statement = Statement::read(sql);
            // Where there are several nodes the month is looked through without it.
            let of_one_node = source == "partitions.rs" && sql.starts_with("WITH RECURSIVE t (tenant)");
            if sql.contains("RECURSIVE") && !of_one_node {
                wrong.push(format!("{source}, {within}: recursion\n    {sql}"));
            }
            if !sql.contains("privet.") {
                continue;
            }
            seen += 1;
            let complaints = statement.complaints(&without_tenant);
            if complaints.is_empty() {
                continue;
            }
            if ON_PURPOSE.iter().any(|(s, w, ..)| source == *s && within == w) {
                *on_purpose.entry((source.clone(), within.clone())).or_default() += 1;
            } else {
                wrong.push(format!("{source}, {within}: {}\n    {sql}", complaints.join(", ")));
            }
        }
        for (source, within, ..) in ON_PURPOSE.iter().filter(|(s, ..)| *s == source) {
            let theirs = literals.iter().filter(|l| l.within == *within).map(|l| Statement::read(&l.text));
            if theirs.into_iter().any(|s| s.locks() || s.writes()) {
                wrong.push(format!("{source}, {within} is to look only, and it locks or writes"));
            }
        }
    }
    let list = literals(&std::fs::read_to_string(folder.join("store/list.rs")).unwrap());
    assert!(list.iter().any(|l| l.text.starts_with("tenant = $1 AND ")), "a list has its tenant first");
    for (source, within, statements, why) in ON_PURPOSE {
        let found = on_purpose.get(&(source.to_owned(), within.to_owned())).copied().unwrap_or(0);
        if found != statements {
            wrong.push(format!(
                "{source}, {within}: {found} statements instead of {statements} are so because {why}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen > 100, "{seen}");
}

/// What the look at the sources is worth.
#[test]
fn statements_about_more_than_one_tenant_are_seen() {
    let complains = |sql: &str| !Statement::read(sql).complaints(&without_tenant()).is_empty();
    for bad in [
        "SELECT tenant, id FROM privet.contacts FOR UPDATE",
        "SELECT id FROM privet.contacts WHERE site = $1 FOR SHARE",
        "SELECT id FROM privet.contacts c WHERE site = $1 FOR KEY SHARE OF c",
        "SELECT count(*) FROM privet.{name}",
        "SELECT id FROM privet.contacts WHERE tenant = $1 OR id = $2",
        "SELECT id FROM privet.contacts WHERE NOT tenant = $1",
        "SELECT id FROM privet.contacts WHERE tenant > $1",
        "SELECT id FROM privet.contacts WHERE tenant = ANY($1)",
        "SELECT id FROM privet.contacts WHERE ($1 IS NULL OR tenant = $1)",
        "SELECT id FROM privet.contacts WHERE id IN (SELECT id FROM privet.notes WHERE tenant = $1)",
        "SELECT id FROM privet.contacts WHERE tenant = $1 UNION ALL SELECT id FROM privet.contacts",
        "SELECT c.id FROM privet.contacts c JOIN privet.notes n ON n.contact = c.id WHERE c.tenant = $1",
        "SELECT c.id FROM privet.contacts c JOIN privet.notes n ON n.tenant = c.tenant WHERE c.site = $1",
        "SELECT c.id FROM unnest($1::text[]) AS d (tenant) JOIN privet.contacts c ON c.tenant = d.tenant",
        "SELECT c.id FROM privet.contacts c WHERE c.tenant = c.tenant",
        "SELECT value, id FROM privet.meta, privet.contacts WHERE key = $1",
        "UPDATE privet.contacts SET tenant = $1",
        "UPDATE privet.contacts c SET site = d.site FROM d WHERE d.tenant = $1 AND c.id = d.id",
        "WITH d AS (SELECT id FROM privet.notes WHERE tenant = $1) DELETE FROM privet.notes n USING d WHERE n.id = d.id",
        "DELETE FROM privet.contacts WHERE id IN (SELECT id FROM privet.leases WHERE tenant = $1)",
        "INSERT INTO privet.notes (site, tenant) VALUES ($1, $2)",
        "INSERT INTO privet.notes VALUES ($1, $2)",
        "INSERT INTO privet.notes (tenant, site) SELECT tenant, site FROM privet.contacts",
        "INSERT INTO privet.notes (tenant, site) SELECT t.* FROM unnest($1::text[], $2::text[]) AS t",
        "INSERT INTO privet.notes (tenant) VALUES ($1) ; DELETE FROM privet.notes",
        "TRUNCATE privet.notes",
    ] {
        assert!(complains(bad), "{bad}");
    }
    for good in [
        "SELECT value FROM privet.meta FOR UPDATE",
        "SELECT id FROM privet.contacts WHERE tenant = $1 AND (site = $2 OR site = $3) FOR UPDATE",
        "SELECT n.id FROM privet.contacts c JOIN privet.notes n ON n.tenant = c.tenant WHERE c.tenant = $1",
        "EXISTS (SELECT 1 FROM privet.notes n WHERE n.tenant = contacts.tenant)",
        "SELECT id FROM privet.notes n WHERE n.tenant = $2 AND EXISTS (SELECT 1 FROM privet.contacts c WHERE c.tenant = n.tenant)",
        "UPDATE privet.contacts c SET live = live OR $2 FROM d WHERE c.tenant = $1 AND c.id = d.id",
        "INSERT INTO privet.notes (tenant, id) VALUES ($1, $2) ON CONFLICT (tenant, id) DO UPDATE SET id = excluded.id",
        "INSERT INTO privet.notes AS n (tenant, id) SELECT $1, id FROM d",
        "WITH g AS (DELETE FROM privet.notes WHERE tenant = $1 RETURNING tenant) INSERT INTO privet.notes (tenant) SELECT tenant FROM g",
    ] {
        assert!(!complains(good), "{good}");
    }
}
