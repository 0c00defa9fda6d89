//! HAR files (HTTP Archive 1.2), as browsers and their drivers export them.

use std::time::Duration;

use cookie::Cookie;
use serde::Deserialize;
use serde_json::error::Category;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use url::form_urlencoded;

use super::visitor::Exchange;
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::visit::judge::SentBy;

#[derive(Deserialize)]
struct File {
    log: Log,
}

#[derive(Deserialize)]
struct Log {
    entries: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    started_date_time: String,
    /// In milliseconds; -1 where it is not known.
    time: Option<f64>,
    timings: Option<Timings>,
    request: Request,
    response: Response,
    /// What Chromium says of a request that failed.
    #[serde(default, rename = "_error")]
    error: serde_json::Value,
}

#[derive(Deserialize)]
struct Timings {
    receive: Option<f64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    method: String,
    url: String,
    #[serde(default)]
    headers: Vec<Header>,
    #[serde(default)]
    cookies: Vec<SentCookie>,
    post_data: Option<PostData>,
}

#[derive(Deserialize)]
struct Response {
    /// Some exporters write -1 where there was no answer.
    status: i32,
    #[serde(default)]
    headers: Vec<Header>,
    #[serde(default)]
    cookies: Vec<SetCookie>,
}

#[derive(Deserialize)]
struct Header {
    name: String,
    value: String,
}

#[derive(Deserialize)]
struct SentCookie {
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SetCookie {
    name: String,
    path: Option<String>,
    domain: Option<String>,
    expires: Option<String>,
    http_only: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PostData {
    mime_type: Option<String>,
    text: Option<String>,
    params: Option<Vec<Param>>,
}

#[derive(Deserialize)]
struct Param {
    name: String,
    value: Option<String>,
}

/// A file without anything that could be judged.
pub(super) fn empty() -> Error {
    Error::invalid(
        "the HAR file holds no request to a web site",
        "open the developer tools before the page, let the page load, and export then",
    )
}

/// The exchanges of a file, in the order in which they were sent. Nothing of the file is in an error but places.
pub(super) fn read(har: &[u8]) -> Result<Vec<Exchange>> {
    let har = har.strip_prefix(b"\xef\xbb\xbf").unwrap_or(har);
    if har.starts_with(b"PK\x03\x04") {
        return Err(Error::invalid("it is a ZIP archive", "unpack it, and give the .har file that is in it"));
    }
    let file: File = serde_json::from_slice(har).map_err(|e| {
        let at = format!("line {}, column {}", e.line(), e.column());
        match e.classify() {
            Category::Data => Error::invalid(
                format!("it is JSON, and no HAR file: what stands before {at} is not as HAR 1.2 has it"),
                "export it anew, as HAR, from the developer tools of a browser",
            ),
            Category::Io | Category::Syntax | Category::Eof => Error::invalid(
                format!("it is no JSON from {at} on"),
                "export the HAR file anew; it may have been cut off",
            ),
        }
    })?;
    if file.log.entries.is_empty() {
        return Err(empty());
    }
    let entries = file.log.entries.into_iter().enumerate().filter(|(_, e)| e.was_sent());
    let mut exchanges = entries.map(|(n, entry)| entry.exchange(n)).collect::<Result<Vec<_>>>()?;
    exchanges.sort_by_key(|e| e.sent);
    Ok(exchanges)
}

impl Entry {
    /// A browser lists what it did not let out, too.
    fn was_sent(&self) -> bool {
        let blocked =
            ["net::ERR_BLOCKED_BY_CLIENT", "net::ERR_BLOCKED_BY_CSP", "net::ERR_BLOCKED_BY_ADMINISTRATOR"];
        self.error.as_str().is_none_or(|error| !blocked.contains(&error))
    }

    fn exchange(self, n: usize) -> Result<Exchange> {
        let Ok(sent) = OffsetDateTime::parse(&self.started_date_time, &Rfc3339) else {
            return Err(Error::invalid(
                format!("`startedDateTime` of entry {n} is no time of ISO 8601 with its zone"),
                "export the HAR file anew, from the developer tools of a browser",
            ));
        };
        let sent = Timestamp::from(sent);
        let positive = |ms: Option<f64>| ms.filter(|ms| ms.is_finite() && *ms > 0.0).unwrap_or(0.0);
        // The head of an answer comes before its body.
        let wait = (positive(self.time) - positive(self.timings.and_then(|t| t.receive))).max(0.0);
        let wait = Duration::try_from_secs_f64(wait / 1000.0).unwrap_or_default();
        let mut sites = lines(&self.request.headers, "sec-fetch-site").peekable();
        let same_site = sites.peek().is_some() && sites.all(|value| SentBy::is_same_site(value.as_bytes()));
        let gpc = lines(&self.request.headers, "sec-gpc").any(|value| value == "1");
        let cookies = if has(&self.request.headers, "cookie") {
            lines(&self.request.headers, "cookie").map(|line| line.as_bytes().to_vec()).collect()
        } else {
            self.request.cookies.into_iter().map(|c| format!("{}=", c.name).into_bytes()).collect()
        };
        let lines_whole = has(&self.response.headers, "set-cookie");
        let set_cookies = if lines_whole {
            // Chromium writes several lines as one value.
            let all = lines(&self.response.headers, "set-cookie").flat_map(str::lines);
            all.map(|line| line.trim().as_bytes().to_vec()).collect()
        } else {
            let of_file = self.response.cookies.into_iter().map(|cookie| cookie.line(n));
            of_file.collect::<Result<_>>()?
        };
        Ok(Exchange {
            answered: sent + wait,
            gpc,
            same_site,
            cookies,
            set_cookies,
            lines_whole,
            status: u16::try_from(self.response.status).unwrap_or(0),
            body: self.request.post_data.and_then(PostData::body),
            ..Exchange::new(self.request.method, self.request.url, sent)
        })
    }
}

fn lines<'h>(headers: &'h [Header], name: &'static str) -> impl Iterator<Item = &'h str> {
    headers.iter().filter(move |h| h.name.eq_ignore_ascii_case(name)).map(|h| h.value.as_str())
}

fn has(headers: &[Header], name: &'static str) -> bool {
    lines(headers, name).next().is_some()
}

impl SetCookie {
    /// The line that it was read from, as far as the file still has it.
    fn line(self, n: usize) -> Result<Vec<u8>> {
        let mut cookie = Cookie::build((self.name, "")).http_only(self.http_only.unwrap_or_default());
        if let Some(path) = self.path.filter(|p| !p.is_empty()) {
            cookie = cookie.path(path);
        }
        if let Some(domain) = self.domain.filter(|d| !d.is_empty()) {
            cookie = cookie.domain(domain);
        }
        if let Some(at) = self.expires.filter(|at| !at.is_empty()) {
            // One that nobody can read is not taken for the session's.
            let at = OffsetDateTime::parse(&at, &Rfc3339).map_err(|_| {
                Error::invalid(
                    format!("`expires` of a cookie of entry {n} is no time of ISO 8601 with its zone"),
                    "export the HAR file with its `Set-Cookie` headers, from the developer tools of a browser",
                )
            })?;
            cookie = cookie.expires(at);
        }
        Ok(cookie.build().to_string().into_bytes())
    }
}

impl PostData {
    fn body(self) -> Option<(String, Vec<u8>)> {
        let content_type = self.mime_type.unwrap_or_default();
        if let Some(text) = self.text.filter(|t| !t.is_empty()) {
            return Some((content_type, text.into_bytes()));
        }
        let mut form = form_urlencoded::Serializer::new(String::new());
        for param in self.params? {
            form.append_pair(&param.name, param.value.as_deref().unwrap_or(""));
        }
        Some(("application/x-www-form-urlencoded".to_owned(), form.finish().into_bytes()))
    }
}
