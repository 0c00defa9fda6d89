//! Names of countries, as the Unicode CLDR has them.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::words::{LANGUAGES, PortalWords};

type Names = [&'static str; LANGUAGES.len()];

static NAMES: LazyLock<BTreeMap<&'static str, Names>> = LazyLock::new(|| {
    let lines = include_str!("../../assets/countries.tsv").lines().filter(|l| !l.starts_with('#'));
    lines
        .filter_map(|line| {
            let (code, names) = line.split_once('\t')?;
            let names: Vec<_> = names.split('\t').collect();
            Some((code, names.try_into().ok()?))
        })
        .collect()
});

fn in_language(names: &Names, words: &PortalWords) -> &'static str {
    let column = LANGUAGES.iter().position(|l| l.lang == words.lang).unwrap_or(0);
    names.get(column).copied().unwrap_or("")
}

/// The name of a country; its code, where it has none.
pub(super) fn name<'c>(words: &PortalWords, code: &'c str) -> &'c str {
    NAMES.get(code).map_or(code, |names| in_language(names, words))
}

/// Every country by its code and name, by name.
pub(super) fn all(words: &PortalWords) -> Vec<(&'static str, &'static str)> {
    let mut all: Vec<_> = NAMES.iter().map(|(code, names)| (*code, in_language(names, words))).collect();
    all.sort_by_key(|(_, name)| name.chars().map(folded).collect::<String>());
    all
}

/// A letter without its accent, as far as names of countries begin with one.
fn folded(c: char) -> char {
    match c {
        'Å' | 'Ä' | 'Á' => 'A',
        'Ç' => 'C',
        'É' | 'È' | 'Ë' => 'E',
        'Í' | 'Î' => 'I',
        'Ö' | 'Ô' => 'O',
        'Ü' => 'U',
        c => c,
    }
}

#[cfg(test)]
mod tests {
    use super::super::words::named;
    use super::*;

    #[test]
    fn every_country_has_a_name_in_every_language() {
        assert_eq!(NAMES.len(), 250);
        for words in LANGUAGES {
            let all = all(words);
            assert!(all.iter().all(|(code, name)| code.len() == 2 && !name.is_empty()), "{}", words.lang);
        }
        let de = named("de").unwrap();
        assert_eq!(
            (name(de, "AT"), name(de, "GB"), name(de, "QQ")),
            ("Österreich", "Vereinigtes Königreich", "QQ")
        );
        let all = all(de);
        let place = |code| all.iter().position(|(c, _)| *c == code).unwrap();
        assert!(place("OM") < place("AT") && place("AT") < place("PK"));
    }
}
