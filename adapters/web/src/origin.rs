//! Whether a request comes from the site itself.

/// Where a request came from, as far as its headers tell: `Sec-Fetch-Site` first, which no script can forge, then
/// `Origin` against the app's own origins; never the `Host` header alone, which the same request brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SameOrigin {
    /// From a page of the site, or from the browser's own address bar.
    Yes,
    /// From somewhere else, or from within a frame.
    No,
    /// The headers do not tell: no browser of the last years sends such a request by a form or script.
    Unknown,
}

impl SameOrigin {
    /// Judges headers, named in lower case.
    #[must_use]
    pub fn judge<'h>(
        headers: impl IntoIterator<Item = (&'h str, &'h [u8])>,
        public_origins: &[String],
    ) -> Self {
        let (mut site, mut origin, mut dest) = (Once::Absent, Once::Absent, Once::Absent);
        for (name, value) in headers {
            match name {
                "sec-fetch-site" => site.add(value),
                "origin" => origin.add(value),
                "sec-fetch-dest" => dest.add(value),
                _ => {}
            }
        }
        if let Once::Found(b"iframe" | b"frame" | b"embed" | b"object" | b"fencedframe") = dest {
            return Self::No;
        }
        match (site, origin) {
            (Once::Found(b"same-origin" | b"none"), Once::Absent | Once::Found(_)) => Self::Yes,
            (Once::Absent, Once::Found(origin)) if public_origins.iter().any(|o| o.as_bytes() == origin) => {
                Self::Yes
            }
            (Once::Absent, Once::Absent) => Self::Unknown,
            _ => Self::No,
        }
    }
}

#[derive(Clone, Copy)]
enum Once<'h> {
    Absent,
    Found(&'h [u8]),
    Repeated,
}

impl<'h> Once<'h> {
    fn add(&mut self, value: &'h [u8]) {
        *self = match self {
            Self::Absent => Self::Found(value),
            _ => Self::Repeated,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SEC-02: a forged request creates no consent.
    #[test]
    fn sec_02_only_the_site_itself() {
        let own = ["https://shop.example".to_owned(), "http://127.0.0.1:3000".to_owned()];
        let judge = |headers: &[(&str, &str)]| {
            SameOrigin::judge(headers.iter().map(|(n, v)| (*n, v.as_bytes())), &own)
        };
        use SameOrigin::{No, Unknown, Yes};
        for (headers, expected) in [
            (&[("sec-fetch-site", "same-origin")][..], Yes),
            (&[("sec-fetch-site", "none")], Yes),
            (&[("sec-fetch-site", "same-site")], No),
            (&[("sec-fetch-site", "cross-site")], No),
            (&[("sec-fetch-site", "cross-site"), ("origin", "https://shop.example")], No),
            (&[("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")], No),
            (&[("sec-fetch-site", "same-origin"), ("sec-fetch-dest", "iframe")], No),
            (&[("sec-fetch-site", "same-origin"), ("sec-fetch-dest", "document")], Yes),
            (&[("sec-fetch-site", "new-word")], No),
            (&[("origin", "https://shop.example")], Yes),
            (&[("origin", "http://127.0.0.1:3000")], Yes),
            (&[("origin", "http://127.0.0.1:3001")], No),
            (&[("origin", "https://shop.example.evil.example")], No),
            (&[("origin", "null")], No),
            (&[("origin", "https://shop.example"), ("origin", "https://shop.example")], No),
            (&[("host", "shop.example")], Unknown),
            (&[], Unknown),
        ] {
            assert_eq!(judge(headers), expected, "{headers:?}");
        }
    }
}
