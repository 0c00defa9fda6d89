//! The `Cookie` header, as bytes: no request of a browser is refused for what stands in it.

/// One pair of a `Cookie` line: its bytes as they came, its name and its value.
pub(super) struct Pair<'a> {
    pub(super) raw: &'a [u8],
    pub(super) name: &'a [u8],
    pub(super) value: &'a [u8],
}

fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// The pairs of a line (RFC 6265bis, section 5.8.3, read backwards). A pair without `=` is a value without name.
pub(super) fn pairs(line: &[u8]) -> impl Iterator<Item = Pair<'_>> {
    line.split(|b| *b == b';').map(trim).filter(|raw| !raw.is_empty()).map(|raw| {
        match raw.iter().position(|b| *b == b'=') {
            Some(at) => Pair { raw, name: trim(&raw[..at]), value: trim(&raw[at + 1..]) },
            None => Pair { raw, name: &[], value: raw },
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Vec<(String, String)> {
        let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
        pairs(line.as_bytes()).map(|p| (text(p.name), text(p.value))).collect()
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
