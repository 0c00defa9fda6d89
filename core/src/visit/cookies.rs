//! The `Cookie` header, as bytes: no request of a browser is refused for what stands in it.

use memchr::memchr;

/// One pair of a `Cookie` line. Most are asked for their name only, so the rest is trimmed when it is asked for.
pub(crate) struct Pair<'a> {
    pub(crate) name: &'a [u8],
    /// From its first byte to the next `;`.
    text: &'a [u8],
    /// Where the value begins.
    value: usize,
}

impl<'a> Pair<'a> {
    /// Its bytes as they came.
    pub(crate) fn raw(&self) -> &'a [u8] {
        trim_end(self.text)
    }

    pub(crate) fn value(&self) -> &'a [u8] {
        trim_start(trim_end(&self.text[self.value..]))
    }
}

fn trim_start(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    bytes
}

fn trim_end(mut bytes: &[u8]) -> &[u8] {
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// The pairs of a line (RFC 6265bis, section 5.8.3, read backwards). A pair without `=` is a value without name.
pub(crate) fn pairs(line: &[u8]) -> impl Iterator<Item = Pair<'_>> {
    let mut rest = line;
    std::iter::from_fn(move || {
        loop {
            rest = trim_start(rest);
            if rest.is_empty() {
                return None;
            }
            // Names are short and values are not: a loop finds the end of the one, `memchr` of the other.
            let stop = rest.iter().position(|b| matches!(b, b'=' | b';')).unwrap_or(rest.len());
            let (before, after) = rest.split_at(stop);
            if after.first() == Some(&b'=') {
                let end = stop + memchr(b';', after).unwrap_or(after.len());
                let text = &rest[..end];
                rest = rest.get(end + 1..).unwrap_or_default();
                return Some(Pair { name: trim_end(before), text, value: stop + 1 });
            }
            rest = after.get(1..).unwrap_or_default();
            if !before.is_empty() {
                return Some(Pair { name: &[], text: before, value: 0 });
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Vec<(String, String)> {
        let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
        pairs(line.as_bytes()).map(|p| (text(p.name), text(p.value()))).collect()
    }

    #[test]
    fn pairs_as_browsers_send_them_and_as_they_do_not() {
        let p = |n: &str, v: &str| (n.to_owned(), v.to_owned());
        assert_eq!(read("a=1; b=2"), [p("a", "1"), p("b", "2")]);
        assert_eq!(read("a=1;b=2;; ;"), [p("a", "1"), p("b", "2")]);
        assert_eq!(read("a=x=y; =v; bare; c="), [p("a", "x=y"), p("", "v"), p("", "bare"), p("c", "")]);
        assert_eq!(read(""), []);
        assert_eq!(read("a=\"q;r\""), [p("a", "\"q"), p("", "r\"")]);
    }
}
