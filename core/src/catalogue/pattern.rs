use std::collections::BTreeSet;
use std::fmt;

use serde::{Serialize, Serializer};

use crate::error::{Error, Result};

/// The name of an entry, which may hold placeholders: `<integrationId>.appUserId`.
///
/// It works both ways: [`render`](Self::render) makes a name, [`matches`](Self::matches) recognises one. A
/// placeholder stands for one or more letters, digits, `_` or `-`, so a name with dots is not swallowed.
///
/// ```
/// use privet::catalogue::NamePattern;
///
/// let p = NamePattern::parse("<integrationId>.appUserId")?;
/// assert_eq!(p.render(&[("integrationId", "abc123")])?, "abc123.appUserId");
/// assert!(p.matches("abc123.appUserId"));
/// assert!(!p.matches("abc123.appUserIdX"));
/// # Ok::<(), privet::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NamePattern {
    text: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Part {
    Literal(String),
    Placeholder(String),
}

fn in_placeholder(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-')
}

impl NamePattern {
    /// Reads a name; `<` and `>` enclose a placeholder.
    ///
    /// # Errors
    /// [`Error::Invalid`] when it is empty, a placeholder is not closed or has no plain name, or two
    /// placeholders touch (nobody could tell where one ends).
    pub fn parse(text: &str) -> Result<Self> {
        let bad = |what: &str| {
            Error::invalid(
                format!("`{text}` is no name: {what}"),
                "write a plain name, or one with placeholders such as `<integrationId>.appUserId`",
            )
        };
        let mut parts = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix('<') {
                let end = after.find('>').ok_or_else(|| bad("a `<` is not closed"))?;
                let name = &after[..end];
                if name.is_empty() || !name.bytes().all(in_placeholder) {
                    return Err(bad("a placeholder holds something else than letters, digits, `_` or `-`"));
                }
                if matches!(parts.last(), Some(Part::Placeholder(_))) {
                    return Err(bad("two placeholders touch"));
                }
                parts.push(Part::Placeholder(name.to_owned()));
                rest = &after[end + 1..];
            } else {
                let end = rest.find('<').unwrap_or(rest.len());
                if rest[..end].contains('>') {
                    return Err(bad("a `>` without `<`"));
                }
                parts.push(Part::Literal(rest[..end].to_owned()));
                rest = &rest[end..];
            }
        }
        if parts.is_empty() {
            return Err(bad("it is empty"));
        }
        Ok(Self { text: text.to_owned(), parts })
    }

    /// The pattern as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The name itself, when there is no placeholder in it.
    #[must_use]
    pub fn literal(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [Part::Literal(name)] => Some(name),
            _ => None,
        }
    }

    /// Bytes that stand fixed in the pattern.
    pub(crate) fn fixed_len(&self) -> usize {
        self.parts.iter().map(|p| if let Part::Literal(l) = p { l.len() } else { 0 }).sum()
    }

    /// The name with its placeholders filled.
    ///
    /// # Errors
    /// [`Error::Invalid`] when a placeholder gets no value, or one that [`matches`](Self::matches) would not
    /// recognise.
    pub fn render(&self, values: &[(&str, &str)]) -> Result<String> {
        let mut name = String::with_capacity(self.text.len());
        for part in &self.parts {
            match part {
                Part::Literal(l) => name.push_str(l),
                Part::Placeholder(p) => {
                    let value = values.iter().find(|(k, _)| k == p).map_or("", |(_, v)| v);
                    if value.is_empty() || !value.bytes().all(in_placeholder) {
                        return Err(Error::invalid(
                            format!(
                                "placeholder `<{p}>` has no value, or one with characters other than letters, digits, `_`, `-`"
                            ),
                            "pass a plain value for every placeholder of the name",
                        ));
                    }
                    name.push_str(value);
                }
            }
        }
        Ok(name)
    }

    /// Whether a name is one that this pattern stands for.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        matches_bytes(&self.parts, name.as_bytes())
    }

    /// Whether some name is one that both stand for.
    pub(crate) fn meets(&self, other: &Self) -> bool {
        let (ours, others) = (steps(&self.parts), steps(&other.parts));
        // The places that both can be at after the same bytes, from the start of both.
        let mut reached = BTreeSet::from([(0, 0)]);
        let mut open: Vec<_> = reached.iter().copied().collect();
        while let Some((n, m)) = open.pop() {
            let (Some(a), Some(b)) = (ours.get(n), others.get(m)) else {
                if n == ours.len() && m == others.len() {
                    return true;
                }
                continue;
            };
            if !a.shares_a_byte(*b) {
                continue;
            }
            let next = [(n + 1, m + 1), (n, m + 1), (n + 1, m), (n, m)];
            let stays = [(false, false), (true, false), (false, true), (true, true)];
            for (to, (stays_here, stays_there)) in next.into_iter().zip(stays) {
                let may = (a.repeats() || !stays_here) && (b.repeats() || !stays_there);
                if may && reached.insert(to) {
                    open.push(to);
                }
            }
        }
        false
    }

    pub(crate) fn matches_bytes(&self, name: &[u8]) -> bool {
        matches_bytes(&self.parts, name)
    }
}

/// One byte of a pattern: a fixed one, or one or more of a placeholder.
#[derive(Clone, Copy)]
enum Step {
    Byte(u8),
    Placeholder,
}

impl Step {
    fn repeats(self) -> bool {
        matches!(self, Self::Placeholder)
    }

    fn shares_a_byte(self, other: Self) -> bool {
        match (self, other) {
            (Self::Byte(a), Self::Byte(b)) => a == b,
            (Self::Byte(b), Self::Placeholder) | (Self::Placeholder, Self::Byte(b)) => in_placeholder(b),
            (Self::Placeholder, Self::Placeholder) => true,
        }
    }
}

fn steps(parts: &[Part]) -> Vec<Step> {
    let steps = parts.iter().flat_map(|part| match part {
        Part::Literal(text) => text.bytes().map(Step::Byte).collect(),
        Part::Placeholder(_) => vec![Step::Placeholder],
    });
    steps.collect()
}

/// Linear: all placeholders take the same characters, so what an earlier one could take a later one can take
/// too, and the first place where a literal fits is as good as any other.
fn matches_bytes(parts: &[Part], name: &[u8]) -> bool {
    let takes = |bytes: &[u8]| !bytes.is_empty() && bytes.iter().all(|b| in_placeholder(*b));
    match parts {
        [] => name.is_empty(),
        [Part::Literal(l), rest @ ..] => {
            name.strip_prefix(l.as_bytes()).is_some_and(|n| matches_bytes(rest, n))
        }
        [Part::Placeholder(_)] => takes(name),
        [Part::Placeholder(_), Part::Literal(l)] => name.strip_suffix(l.as_bytes()).is_some_and(takes),
        [Part::Placeholder(_), Part::Literal(l), rest @ ..] => {
            let reach = name.iter().take_while(|b| in_placeholder(**b)).count();
            let place = (1..=reach).find(|at| name[*at..].starts_with(l.as_bytes()));
            place.is_some_and(|at| matches_bytes(rest, &name[at + l.len()..]))
        }
        // Two placeholders never touch: `parse` refuses them.
        [Part::Placeholder(_), Part::Placeholder(_), ..] => false,
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for NamePattern {
    fn serialize<S: Serializer>(&self, s: S) -> std::result::Result<S::Ok, S::Error> {
        s.serialize_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn placeholders_do_not_cross_dots() {
        let p = NamePattern::parse("<id>.token").unwrap();
        assert!(p.matches("a-b_C9.token"));
        for no in ["x.token.token", ".token", "a.tokens", "a b.token", "a.Token", "<id>.token"] {
            assert!(!p.matches(no), "{no}");
        }
        assert!(NamePattern::parse("_ga_<stream>").unwrap().matches("_ga_ABC123"));
        assert!(!NamePattern::parse("_ga_<stream>").unwrap().matches("_ga_"));
        assert!(NamePattern::parse("a<x>b<y>c").unwrap().matches("a1b1b2c"));
    }

    #[test]
    fn patterns_that_meet() {
        let meet = |a: &str, b: &str| NamePattern::parse(a).unwrap().meets(&NamePattern::parse(b).unwrap());
        for (a, b) in [("a", "a"), ("<x>", "a"), ("a<x>", "<y>b"), ("_ga_<x>", "<y>_<z>"), ("<x>.t", "<y>.t")]
        {
            assert!(meet(a, b) && meet(b, a), "{a} {b}");
        }
        for (a, b) in
            [("a", "b"), ("a", "aa"), ("<x>", "a.b"), ("a<x>", "a"), ("<x>.t", "<y>.u"), ("a<x>b", "ab")]
        {
            assert!(!meet(a, b) && !meet(b, a), "{a} {b}");
        }
    }

    #[test]
    fn broken_patterns() {
        for bad in ["", "<", "<>", "a<b", "a>b", "<a><b>", "<a b>"] {
            assert!(NamePattern::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn render_refuses_what_would_not_be_recognised() {
        let p = NamePattern::parse("<id>.token").unwrap();
        for bad in ["", "a.b", "a;b", "é"] {
            assert!(p.render(&[("id", bad)]).is_err(), "{bad:?}");
        }
        assert!(p.render(&[]).is_err());
    }

    proptest! {
        #[test]
        fn two_patterns_that_know_one_name_meet(
            a in "(a|b|<x>a|<x>b|[.]){1,4}", b in "(a|b|<x>a|<x>b|[.]){1,4}", name in "[ab.]{1,7}",
        ) {
            let (a, b) = (NamePattern::parse(&a).unwrap(), NamePattern::parse(&b).unwrap());
            prop_assert!(a.meets(&a));
            prop_assert!(a.meets(&b) || !(a.matches(&name) && b.matches(&name)));
        }

        #[test]
        fn what_is_rendered_is_recognised(id in "[A-Za-z0-9_-]{1,12}", other in "[A-Za-z0-9_-]{1,12}") {
            let p = NamePattern::parse("w.<id>.x<other>").unwrap();
            let name = p.render(&[("id", &id), ("other", &other)]).unwrap();
            prop_assert!(p.matches(&name));
        }

        #[test]
        fn parsing_never_panics(text in ".{0,40}", name in ".{0,40}") {
            if let Ok(p) = NamePattern::parse(&text) { let _ = p.matches(&name); }
        }
    }
}
