//! A request as an adapter hands it over: owned, and bounded.

use privet::Visit;
use privet::catalogue::Language;

use crate::language;
use crate::origin::SameOrigin;

/// The longest body that any route takes, in bytes. An adapter reads no further and passes `None` beyond it.
pub const BODY_LIMIT: usize = 16 * 1024;

/// The method of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    /// `GET`
    Get,
    /// `HEAD`: answered like `GET`; the framework drops the body.
    Head,
    /// `POST`
    Post,
    /// Any other.
    Other,
}

impl Method {
    fn named(name: &str) -> Self {
        match name {
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            "POST" => Self::Post,
            _ => Self::Other,
        }
    }
}

/// A request to one of privet's own routes.
#[derive(Clone, Debug)]
pub struct Request {
    pub(crate) method: Method,
    pub(crate) path: String,
    query: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Option<Vec<u8>>,
}

impl Request {
    /// A request without headers and body: its method by name, its whole path, its query without `?`.
    #[must_use]
    pub fn new(method: &str, path: impl Into<String>, query: impl Into<String>) -> Self {
        Self {
            method: Method::named(method),
            path: path.into(),
            query: query.into(),
            headers: Vec::new(),
            body: Some(Vec::new()),
        }
    }

    /// Its headers, named in lower case.
    #[must_use]
    pub fn headers<'h>(mut self, headers: impl IntoIterator<Item = (&'h str, &'h [u8])>) -> Self {
        self.headers.extend(headers.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())));
        self
    }

    /// Its body; none when it is longer than the route takes, or could not be read: the adapter bounds it.
    #[must_use]
    pub fn body(mut self, body: Option<&[u8]>) -> Self {
        self.body = body.map(<[u8]>::to_vec);
        self
    }

    /// Its whole path: for guards.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// A header that stands once and is text, by its name in lower case: for guards.
    #[must_use]
    pub fn header_value(&self, name: &str) -> Option<&str> {
        self.header(name)
    }

    /// A cookie that stands once and is text: for guards. What the gate closed is not there.
    #[must_use]
    pub fn cookie(&self, name: &str) -> Option<&str> {
        let pairs =
            self.all("cookie").filter_map(|line| std::str::from_utf8(line).ok()).flat_map(|l| l.split(';'));
        let mut values = pairs.filter_map(|pair| pair.trim().split_once('=')).filter(|(n, _)| *n == name);
        match (values.next(), values.next()) {
            (Some((_, value)), None) => Some(value),
            _ => None,
        }
    }

    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.headers.iter().filter(move |(n, _)| n == name).map(|(_, v)| v.as_slice())
    }

    /// A header that stands once and is text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut all = self.all(name);
        match (all.next(), all.next()) {
            (Some(value), None) => std::str::from_utf8(value).ok(),
            _ => None,
        }
    }

    pub(crate) fn bounded_body(&self) -> Option<&[u8]> {
        self.body.as_deref()
    }

    pub(crate) fn query_value(&self, name: &str) -> Option<String> {
        self.query_pairs().find(|(k, _)| k == name).map(|(_, v)| v.into_owned())
    }

    pub(crate) fn query_pairs(&self) -> form_urlencoded::Parse<'_> {
        form_urlencoded::parse(self.query.as_bytes())
    }

    /// Whether it came from the site itself.
    pub(crate) fn same_origin(&self, own: &[String]) -> SameOrigin {
        let headers = ["sec-fetch-site", "origin", "sec-fetch-dest"];
        let lines = headers.iter().flat_map(|name| self.all(name).map(move |value| (*name, value)));
        SameOrigin::judge(lines, own)
    }

    /// The language to answer in: the one asked for by `?lang=`, or the browser's, or the site's first.
    pub(crate) fn language(&self, visit: &Visit) -> Language {
        let asked = self.query_value("lang");
        language::choose(visit.catalogue(), asked.as_deref(), self.header("accept-language"))
    }
}

/// A path on this site, for a redirect: nothing that a browser could read as another site.
pub(crate) fn local_path(path: &str) -> Option<&str> {
    let local = path.starts_with('/')
        && !path.starts_with("//")
        && path.len() <= 2048
        && path.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
    local.then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_stay_here() {
        for good in ["/", "/articles/roses?q=1#top", "/a//b"] {
            assert_eq!(local_path(good), Some(good));
        }
        for bad in [
            "",
            "//evil.example",
            "/\\evil.example",
            "https://evil.example",
            "javascript:alert(1)",
            "/a b",
            "/\n",
            "/\r\nx: y",
            "/ä",
            "x",
        ] {
            assert_eq!(local_path(bad), None, "{bad:?}");
        }
        assert_eq!(local_path(&format!("/{}", "a".repeat(3000))), None);
    }
}
