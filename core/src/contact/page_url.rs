use std::fmt;
use std::sync::Arc;

use url::Url;

/// The longest page URL that is kept, in bytes.
const MAX_LEN: usize = 512;

/// What stands for a part that was taken out.
const REDACTED: &str = "[redacted]";

/// The page a message was sent from, cut down to what the contact list needs: scheme, host and path. User
/// info, query and fragment are gone, and so are path segments that look like an address or a secret (GDPR
/// Art. 5(1)(c)).
///
/// ```
/// use privet::contact::{PageUrl, PageUrlPolicy};
///
/// let policy = PageUrlPolicy::default().redact_after("/reset/");
/// let page = PageUrl::minimise("https://u:p@shop.example/reset/TOKEN?email=a@b#f", &policy).unwrap();
/// assert_eq!(page.as_str(), "https://shop.example/reset/[redacted]");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct PageUrl(String);

/// Says whether a path segment is to go.
type IsPersonal = dyn Fn(&str) -> bool + Send + Sync;

/// What a [`PageUrl`] keeps beyond scheme, host and path, and what it loses of the path.
#[derive(Clone, Default)]
pub struct PageUrlPolicy {
    keep_query: Vec<String>,
    redact_after: Vec<String>,
    redact: Option<Arc<IsPersonal>>,
}

impl fmt::Debug for PageUrlPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PageUrlPolicy")
            .field("keep_query", &self.keep_query)
            .field("redact_after", &self.redact_after)
            .finish_non_exhaustive()
    }
}

impl PageUrlPolicy {
    /// Keeps one key of the query with its value.
    #[must_use]
    pub fn keep_query(mut self, key: impl Into<String>) -> Self {
        self.keep_query.push(key.into());
        self
    }

    /// Takes out what follows this path prefix.
    #[must_use]
    pub fn redact_after(mut self, prefix: impl Into<String>) -> Self {
        self.redact_after.push(prefix.into());
        self
    }

    /// Takes out the path segments for which the function says so, beside those that always go.
    #[must_use]
    pub fn redact(mut self, is_personal: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        self.redact = Some(Arc::new(is_personal));
        self
    }

    fn is_personal(&self, segment: &str) -> bool {
        let lower = segment.to_ascii_lowercase();
        let digits = segment.bytes().filter(u8::is_ascii_digit).count();
        let token = segment.len() >= 24
            && digits >= 4
            && segment.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.=~".contains(&b));
        segment.contains('@')
            || lower.contains("%40")
            || token
            || self.redact.as_ref().is_some_and(|f| f(segment))
    }
}

impl PageUrl {
    /// Cuts a URL, or a path on this site, down. Nothing is kept of what is neither.
    #[must_use]
    pub fn minimise(input: &str, policy: &PageUrlPolicy) -> Option<Self> {
        let input = input.trim();
        // A path is read against a host that exists nowhere, and shown without it.
        let base = Url::parse("http://site.invalid/").ok()?;
        let local = input.starts_with('/') && !input.starts_with("//") && !input.starts_with("/\\");
        let mut url = if local { base.join(input).ok()? } else { Url::parse(input).ok()? };
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return None;
        }
        url.set_username("").ok()?;
        url.set_password(None).ok()?;
        url.set_fragment(None);
        let kept: Vec<_> = url
            .query_pairs()
            .filter(|(k, _)| policy.keep_query.iter().any(|keep| keep == k))
            .map(|(k, v)| (k.into_owned(), v.into_owned()))
            .collect();
        url.set_query(None);
        if !kept.is_empty() {
            url.query_pairs_mut().extend_pairs(kept);
        }
        let mut out = if local { String::new() } else { url.origin().ascii_serialization() };
        out.push_str(&path(url.path(), policy));
        if local && out.starts_with("//") {
            // As a link it would lead to another site.
            return None;
        }
        if let Some(query) = url.query() {
            out.push('?');
            out.push_str(query);
        }
        // The URL parser leaves ASCII only, so every byte is a boundary.
        out.truncate(MAX_LEN);
        Some(Self(out))
    }

    /// The URL as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn from_stored(text: String) -> Self {
        Self(text)
    }
}

fn path(path: &str, policy: &PageUrlPolicy) -> String {
    if let Some(prefix) =
        policy.redact_after.iter().find(|p| path.len() > p.len() && path.starts_with(p.as_str()))
    {
        return format!("{prefix}{REDACTED}");
    }
    path.split('/').map(|s| if policy.is_personal(s) { REDACTED } else { s }).collect::<Vec<_>>().join("/")
}

/// Without the URL, which belongs to a visitor.
impl fmt::Debug for PageUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PageUrl(..)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cut(input: &str) -> Option<String> {
        PageUrl::minimise(input, &PageUrlPolicy::default()).map(|p| p.0)
    }

    #[test]
    fn a_path_never_leads_to_another_site() {
        let policy = PageUrlPolicy::default();
        for odd in ["/.//evil.example/x", "/..//evil.example", "/x/..//evil.example", "/%2e//evil.example"] {
            assert!(PageUrl::minimise(odd, &policy).is_none(), "{odd}");
        }
    }

    #[test]
    fn ctc_04_query_fragment_and_user_info_go() {
        assert_eq!(
            cut("https://u:p@shop.example:8443/a/b?token=1#x").unwrap(),
            "https://shop.example:8443/a/b"
        );
        assert_eq!(cut("/articles/roses?utm=1#top").unwrap(), "/articles/roses");
        assert_eq!(cut("  /  ").unwrap(), "/");
    }

    #[test]
    fn ctc_04_addresses_and_secrets_in_the_path_go() {
        assert_eq!(cut("/u/anna@example.org/orders").unwrap(), "/u/[redacted]/orders");
        assert_eq!(cut("/u/anna%40example.org").unwrap(), "/u/[redacted]");
        assert_eq!(cut("/reset/9f1c0e6a5b7d48e2a3c4f506").unwrap(), "/reset/[redacted]");
        assert_eq!(
            cut("/articles/how-to-cut-a-privet-hedge").unwrap(),
            "/articles/how-to-cut-a-privet-hedge"
        );
        let policy = PageUrlPolicy::default().redact(|s| s == "me").keep_query("lang");
        assert_eq!(
            PageUrl::minimise("/x/me?lang=de&q=1", &policy).unwrap().as_str(),
            "/x/[redacted]?lang=de"
        );
    }

    #[test]
    fn other_schemes_and_nonsense_are_nothing() {
        for bad in [
            "javascript:alert(1)",
            "data:text/html,x",
            "file:///etc/passwd",
            "",
            "shop",
            "http://",
            "mailto:a@b",
        ] {
            assert_eq!(cut(bad), None, "{bad}");
        }
        assert_eq!(cut("//evil.example/x"), None);
    }

    proptest! {
        #[test]
        fn bounded_and_without_query(path in "[ -~]{0,2000}") {
            if let Some(page) = cut(&format!("/{path}")) {
                prop_assert!(page.len() <= MAX_LEN);
                prop_assert!(!page.contains(['?', '#', '@']));
            }
            let _ = cut(&path);
        }
    }
}
