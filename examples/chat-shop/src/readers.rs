use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use privet::{Analytics, Granted};

/// Readers per article: a number, and nothing about who they were.
#[derive(Debug, Default)]
pub struct Readers(Mutex<BTreeMap<String, u64>>);

impl Readers {
    /// How many readers of an article were counted.
    #[must_use]
    pub fn count(&self, slug: &str) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(slug).copied().unwrap_or(0)
    }

    /// Counts a visitor who allows it, once a month per article: `seen` is the cookie that the last count left.
    pub(crate) fn note(&self, slug: &str, seen: Option<&str>, granted: &Granted<Analytics>) {
        let mut counted: Vec<_> = seen.unwrap_or_default().split('.').filter(|s| !s.is_empty()).collect();
        if counted.contains(&slug) {
            return;
        }
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(slug.to_owned()).or_default() += 1;
        counted.push(slug);
        if let Err(error) = granted.set_cookie("reader", &counted.join(".")) {
            tracing::error!("{error}");
        }
    }
}
