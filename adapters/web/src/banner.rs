use std::fmt;

use privet::Visit;

use crate::language;
use crate::page;
use crate::request::local_path;

/// What a page embeds with one line of its template: the banner for a visitor who has not decided, the lasting link
/// to the settings, and the script with the state it needs. Safe HTML; put it before `</body>`.
///
/// It needs no script to work and no inline script to be allowed. Rendering it makes the response private to the
/// visitor.
#[derive(Clone, Debug)]
pub struct Banner {
    html: String,
}

impl Banner {
    /// Renders the banner of a visit. `accepted` is the `Accept-Language` header; `return_to` is where a decision without
    /// script comes back to: the path and query of this page.
    #[must_use]
    pub fn render(visit: &Visit, accepted: Option<&str>, return_to: &str) -> Self {
        visit.banner_shown();
        let language = language::choose(visit.catalogue(), None, accepted);
        let html =
            visit.notice(&language).map(|n| page::embed(visit, n, local_path(return_to).unwrap_or("/")));
        Self { html: html.unwrap_or_default() }
    }

    /// The HTML.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.html
    }
}

/// The HTML, as it stands: a template has to take it as safe.
impl fmt::Display for Banner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.html)
    }
}
