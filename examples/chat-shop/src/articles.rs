//! The site's articles, and the full-text search over them: SQLite's FTS5, in memory.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use rusqlite::Connection;

/// An article.
#[derive(Clone, Copy, Debug)]
pub struct Article {
    /// Its place in the URL.
    pub slug: &'static str,
    /// Its title.
    pub title: &'static str,
    /// What it is about.
    pub summary: &'static str,
    /// Its paragraphs.
    pub text: &'static str,
}

impl Article {
    /// The text, paragraph by paragraph.
    pub fn paragraphs(&self) -> impl Iterator<Item = &'static str> {
        self.text.split("\n\n").map(str::trim).filter(|p| !p.is_empty())
    }
}

const FILES: [(&str, &str); 6] = [
    ("planting", include_str!("../articles/planting.txt")),
    ("cutting", include_str!("../articles/cutting.txt")),
    ("roses", include_str!("../articles/roses.txt")),
    ("pests", include_str!("../articles/pests.txt")),
    ("wildlife", include_str!("../articles/wildlife.txt")),
    ("delivery", include_str!("../articles/delivery.txt")),
];

/// The articles with their index.
pub struct Articles {
    all: Vec<Article>,
    index: Mutex<Connection>,
}

impl fmt::Debug for Articles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Articles").field("all", &self.all.len()).finish_non_exhaustive()
    }
}

impl Articles {
    /// Reads and indexes the articles.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn load() -> rusqlite::Result<Self> {
        let all: Vec<_> = FILES
            .into_iter()
            .map(|(slug, file)| {
                let (title, rest) = file.split_once('\n').unwrap_or((file, ""));
                let (summary, text) = rest.split_once('\n').unwrap_or((rest, ""));
                Article { slug, title, summary, text }
            })
            .collect();
        let index = Connection::open_in_memory()?;
        index.execute_batch("CREATE VIRTUAL TABLE articles USING fts5 (slug UNINDEXED, title, summary, text, tokenize = 'porter unicode61')")?;
        for a in &all {
            index.execute(
                "INSERT INTO articles VALUES (?1, ?2, ?3, ?4)",
                [a.slug, a.title, a.summary, a.text],
            )?;
        }
        Ok(Self { all, index: Mutex::new(index) })
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> &[Article] {
        &self.all
    }

    /// The one with this slug.
    #[must_use]
    pub fn get(&self, slug: &str) -> Option<&Article> {
        self.all.iter().find(|a| a.slug == slug)
    }

    /// The articles that fit a question best.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn search(&self, question: &str) -> rusqlite::Result<Vec<&Article>> {
        // Each word is quoted, so that no question is read as FTS5's own language.
        let words: Vec<_> = question
            .split(|c: char| !c.is_alphanumeric())
            .filter(|w| w.chars().count() > 2)
            .take(24)
            .map(|w| format!("\"{w}\""))
            .collect();
        if words.is_empty() {
            return Ok(Vec::new());
        }
        let index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        let mut statement = index.prepare_cached(
            "SELECT slug FROM articles WHERE articles MATCH ?1 ORDER BY bm25(articles, 0, 4, 2, 1) LIMIT 3",
        )?;
        let slugs = statement.query_map([words.join(" OR ")], |row| row.get::<_, String>(0))?;
        slugs.map(|slug| Ok(self.get(&slug?))).filter_map(Result::transpose).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_find_articles_and_break_nothing() {
        let articles = Articles::load().unwrap();
        let best = |q: &str| articles.search(q).unwrap().first().map(|a| a.slug);
        assert_eq!(best("When should I cut my hedge?"), Some("cutting"));
        assert_eq!(best("my plants arrived dry"), Some("delivery"));
        assert_eq!(best("hedgehogs"), Some("wildlife"));
        for odd in ["", "\"", "a OR", "NEAR(", "title:x*", "xyzzy", "'; DROP TABLE articles", "\u{0}"] {
            assert!(articles.search(odd).is_ok(), "{odd:?}");
        }
        assert!(articles.all().iter().all(|a| a.paragraphs().count() >= 3));
    }
}
