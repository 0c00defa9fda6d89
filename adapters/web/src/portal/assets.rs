//! The portal's script and stylesheet, under the hash of their content.

use std::sync::LazyLock;

use crate::assets::{asset, version};
use crate::reply::Reply;
use crate::request::Request;

pub(super) const SCRIPT: &str = include_str!("../../assets/portal.js");
pub(super) const STYLE: &str = include_str!("../../assets/portal.css");

static SCRIPT_VERSION: LazyLock<String> = LazyLock::new(|| version(SCRIPT));
static STYLE_VERSION: LazyLock<String> = LazyLock::new(|| version(STYLE));

pub(super) fn script_path(root: &str) -> String {
    format!("{root}/portal.js?v={}", *SCRIPT_VERSION)
}

pub(super) fn style_path(root: &str) -> String {
    format!("{root}/portal.css?v={}", *STYLE_VERSION)
}

pub(super) fn script(request: &Request) -> Reply {
    asset(SCRIPT, "text/javascript; charset=utf-8", &SCRIPT_VERSION, request)
}

pub(super) fn style(request: &Request) -> Reply {
    asset(STYLE, "text/css; charset=utf-8", &STYLE_VERSION, request)
}
