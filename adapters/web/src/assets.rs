//! Script and stylesheet, under the hash of their content.

use std::sync::LazyLock;

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

use crate::reply::Reply;

pub(crate) const SCRIPT: &str = include_str!("../assets/privet.js");
pub(crate) const STYLE: &str = include_str!("../assets/privet.css");

fn version(content: &str) -> String {
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
fn asset(content: &'static str, content_type: &str, current: &str, asked: Option<&str>) -> Reply {
    let cache =
        if asked == Some(current) { "public, max-age=31536000, immutable" } else { "public, no-cache" };
    Reply::new(200, content_type, content)
        .header("cache-control", cache)
        .header("etag", format!("\"{current}\""))
}

pub(crate) fn script(asked: Option<&str>) -> Reply {
    asset(SCRIPT, "text/javascript; charset=utf-8", &SCRIPT_VERSION, asked)
}

pub(crate) fn style(asked: Option<&str>) -> Reply {
    asset(STYLE, "text/css; charset=utf-8", &STYLE_VERSION, asked)
}
