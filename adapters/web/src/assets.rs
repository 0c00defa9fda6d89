//! Script and stylesheet, under the hash of their content.

use std::sync::LazyLock;

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

use crate::reply::Reply;
use crate::request::Request;

pub(crate) const SCRIPT: &str = include_str!("../assets/privet.js");
pub(crate) const STYLE: &str = include_str!("../assets/privet.css");

pub(crate) fn version(content: &str) -> String {
    HEXLOWER.encode(&Sha256::digest(content.as_bytes())[..8])
}

static SCRIPT_VERSION: LazyLock<String> = LazyLock::new(|| version(SCRIPT));
static STYLE_VERSION: LazyLock<String> = LazyLock::new(|| version(STYLE));

pub(crate) fn script_path(base: &str) -> String {
    format!("{base}/privet.js?v={}", *SCRIPT_VERSION)
}

pub(crate) fn style_path(base: &str) -> String {
    format!("{base}/privet.css?v={}", *STYLE_VERSION)
}

/// Under its own hash it never changes; without it, it is asked for again.
pub(crate) fn asset(content: &'static str, content_type: &str, current: &str, request: &Request) -> Reply {
    let asked = request.query_value("v");
    let cache = if asked.as_deref() == Some(current) {
        "public, max-age=31536000, immutable"
    } else {
        "public, no-cache"
    };
    let etag = format!("\"{current}\"");
    let held = request.header("if-none-match").is_some_and(|tags| tags.contains(&etag));
    let reply = if held { Reply::not_modified() } else { Reply::new(200, content_type, content) };
    reply.header("cache-control", cache).header("etag", etag)
}

pub(crate) fn script(request: &Request) -> Reply {
    asset(SCRIPT, "text/javascript; charset=utf-8", &SCRIPT_VERSION, request)
}

pub(crate) fn style(request: &Request) -> Reply {
    asset(STYLE, "text/css; charset=utf-8", &STYLE_VERSION, request)
}
