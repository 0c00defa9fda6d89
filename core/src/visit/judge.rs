//! Judging a `Set-Cookie` line against the catalogue: at the gate, and in an [audit](crate::audit).
//!
//! What leaves is what was judged: a line that is changed, or that a browser might read otherwise than we do,
//! is written anew from what was understood.

use cookie::{Cookie, Expiration, SameSite as CookieSameSite};
use time::OffsetDateTime;

use super::violation::ViolationKind;
use crate::catalogue::{Catalogue, CookieEntry, EntryGate, EntryId, Lifetime, SameSite};
use crate::clock::Timestamp;

/// A request, as far as browsers choose by it which cookies they send.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SentBy<'a> {
    path: &'a str,
    /// GET or HEAD.
    safe: bool,
    /// The browser says that no other site had a part in it.
    same_site: bool,
}

impl<'a> SentBy<'a> {
    pub(crate) fn new(method: &str, path: &'a str, same_site: bool) -> Self {
        Self { path, safe: matches!(method, "GET" | "HEAD"), same_site }
    }

    /// What `Sec-Fetch-Site` says.
    pub(crate) fn is_same_site(value: &[u8]) -> bool {
        matches!(value, b"same-origin" | b"same-site" | b"none")
    }

    /// Whether the browser sends a cookie of this entry with the request if it has one, however it is set of those that are
    /// declared (RFC 6265bis, section 5.8.3): only then it has none if none came.
    pub(crate) fn would_bring(self, entry: &CookieEntry) -> bool {
        let crosses = self.same_site
            || match entry.same_site {
                SameSite::None => true,
                SameSite::Lax => self.safe,
                SameSite::Strict => false,
            };
        crosses && entry.paths.iter().all(|path| self.is_below(path))
    }

    /// RFC 6265bis, section 5.1.4.
    fn is_below(self, path: &str) -> bool {
        self.path
            .strip_prefix(path)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || path.ends_with('/'))
    }
}

/// An app computes `Expires` a little later than we look.
const EXPIRES_TOLERANCE: time::Duration = time::Duration::seconds(2);

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// The cookie's name.
    pub(crate) name: String,
    /// The line as it may leave; none when it may not.
    pub(crate) line: Option<Vec<u8>>,
    /// What was wrong.
    pub(crate) kind: Option<ViolationKind>,
    /// It takes the cookie away.
    pub(crate) deletes: bool,
    /// Nothing was wrong, and attributes that every cookie has were added.
    pub(crate) completed: bool,
}

pub(crate) struct Judge<'a> {
    pub(crate) catalogue: &'a Catalogue,
    pub(crate) is_own: &'a dyn Fn(&[u8]) -> bool,
    pub(crate) is_open: &'a dyn Fn(EntryGate) -> bool,
    /// Whether setting it would extend a life that visits must not extend, or may, for all that the request shows.
    pub(crate) renews: &'a dyn Fn(EntryId) -> bool,
    pub(crate) now: Timestamp,
    /// Whether cookies get `Secure`: everywhere but in development.
    pub(crate) secure: bool,
}

fn out(name: String, kind: ViolationKind) -> Verdict {
    Verdict { name, line: None, kind: Some(kind), deletes: false, completed: false }
}

impl Judge<'_> {
    pub(crate) fn judge(&self, line: &[u8]) -> Verdict {
        let parsed = std::str::from_utf8(line).ok().and_then(|text| Some((text, Cookie::parse(text).ok()?)));
        let Some((text, mut cookie)) = parsed else { return out(name_of(line), ViolationKind::Unreadable) };
        let name = cookie.name().to_owned();
        if (self.is_own)(name.as_bytes()) {
            return out(name, ViolationKind::Reserved);
        }
        let plain = is_plain(text, &cookie);
        if self.deletes(&cookie) {
            // Taking something away needs nobody's leave; it is written so that every browser takes it away.
            cookie.set_value("");
            cookie.unset_expires();
            cookie.set_max_age(time::Duration::ZERO);
            return Verdict {
                line: Some(written(&cookie)),
                name,
                kind: None,
                deletes: true,
                completed: false,
            };
        }
        let Some(id) = self.catalogue.find_cookie(name.as_bytes()) else {
            return out(name, ViolationKind::Undeclared);
        };
        if !(self.is_open)(self.catalogue.entry_gate(id)) {
            return out(name, ViolationKind::Refused);
        }
        if (self.renews)(id) {
            return out(name, ViolationKind::Renewed);
        }
        let entry = self.catalogue.entry(id);
        let before = cookie.clone();
        let outlives = self.limit_lifetime(&mut cookie, entry);
        let weak = self.limit_attributes(&mut cookie, entry);
        let kind = if outlives {
            Some(ViolationKind::OutlivesDeclaration)
        } else {
            weak.then_some(ViolationKind::Attributes)
        };
        // `==` of cookies looks neither at SameSite nor at the case of a path.
        let same =
            cookie == before && cookie.same_site() == before.same_site() && cookie.path() == before.path();
        let line = if plain && same { line.to_vec() } else { written(&cookie) };
        Verdict { name, line: Some(line), kind, deletes: false, completed: kind.is_none() && !same }
    }

    fn now(&self) -> OffsetDateTime {
        self.now.into()
    }

    /// `Max-Age` goes before `Expires` (RFC 6265bis, section 5.7).
    fn deletes(&self, cookie: &Cookie<'_>) -> bool {
        match (cookie.max_age(), cookie.expires()) {
            (Some(age), _) => !age.is_positive(),
            (None, Some(Expiration::DateTime(at))) => at <= self.now(),
            (None, _) => false,
        }
    }

    fn limit_lifetime(&self, cookie: &mut Cookie<'_>, entry: &CookieEntry) -> bool {
        let lives = match (cookie.max_age(), cookie.expires()) {
            (Some(age), _) => Some((age, time::Duration::ZERO)),
            (None, Some(Expiration::DateTime(at))) => Some((at - self.now(), EXPIRES_TOLERANCE)),
            (None, _) => None,
        };
        let Some((lives, tolerance)) = lives else { return false };
        match entry.lifetime {
            Lifetime::Session => {
                cookie.set_max_age(None);
                cookie.unset_expires();
                true
            }
            Lifetime::Exactly(declared) => {
                let declared = time::Duration::try_from(declared).unwrap_or(time::Duration::MAX);
                let outlives = lives > declared.saturating_add(tolerance);
                if outlives {
                    cookie.set_max_age(declared);
                    cookie.unset_expires();
                }
                outlives
            }
        }
    }

    fn limit_attributes(&self, cookie: &mut Cookie<'_>, entry: &CookieEntry) -> bool {
        let mut weak = false;
        if self.secure {
            cookie.set_secure(true);
        }
        if entry.http_only && cookie.http_only() != Some(true) {
            cookie.set_http_only(true);
            weak = true;
        }
        let rank = |s| match s {
            CookieSameSite::None => 0,
            CookieSameSite::Lax => 1,
            CookieSameSite::Strict => 2,
        };
        let declared = same_site(entry.same_site);
        match cookie.same_site() {
            // A browser keeps a stricter one back where it would send the declared one.
            Some(set)
                if rank(set) == rank(declared) || (rank(set) > rank(declared) && entry.may_be_renewed()) => {}
            set => {
                cookie.set_same_site(declared);
                weak |= set.is_some();
            }
        }
        if cookie.partitioned() == Some(true) && !entry.partitioned {
            cookie.set_partitioned(false);
            weak = true;
        } else if entry.partitioned {
            cookie.set_partitioned(true);
        }
        let domain =
            cookie.domain().map(|d| d.trim_start_matches('.').to_ascii_lowercase()).filter(|d| !d.is_empty());
        if domain.is_some_and(|d| !entry.domains.contains(&d)) {
            cookie.unset_domain();
            weak = true;
        }
        let path = cookie.path().map(str::to_owned);
        if path.as_ref().is_none_or(|p| !entry.paths.contains(p)) {
            // Without a path the browser takes the folder of the request, which no withdrawal would find.
            weak |= path.is_some();
            cookie.set_path(entry.paths.first().map_or("/", String::as_str).to_owned());
        }
        weak
    }
}

pub(crate) fn same_site(declared: SameSite) -> CookieSameSite {
    match declared {
        SameSite::Strict => CookieSameSite::Strict,
        SameSite::Lax => CookieSameSite::Lax,
        SameSite::None => CookieSameSite::None,
    }
}

fn written(cookie: &Cookie<'_>) -> Vec<u8> {
    cookie.to_string().into_bytes()
}

/// What stands before the first `=`, for a report about a line that cannot be read. Without one all of it is a value,
/// which is told to nobody.
fn name_of(line: &[u8]) -> String {
    let end = line.iter().position(|b| matches!(b, b'=' | b';')).unwrap_or(0);
    let end = if line.get(end) == Some(&b'=') { end.min(64) } else { 0 };
    String::from_utf8_lossy(&line[..end]).into_owned()
}

/// Whether every attribute of the line is known, stands once, and was understood: only then do we and every
/// browser read the same.
fn is_plain(text: &str, cookie: &Cookie<'_>) -> bool {
    let (pair, attributes) = text.split_once(';').unwrap_or((text, ""));
    let name = pair.split_once('=').map_or("", |(name, _)| name);
    // Readers differ in what they take for a blank, unless it is one of ASCII.
    if !name.is_ascii() || !attributes.is_ascii() || name.trim_matches([' ', '\t']) != cookie.name() {
        return false;
    }
    let mut seen = Vec::new();
    text.split(';').skip(1).all(|attribute| {
        let (key, value) = attribute.split_once('=').map_or((attribute, None), |(k, v)| (k, Some(v.trim())));
        let key = key.trim().to_ascii_lowercase();
        if seen.contains(&key) {
            return false;
        }
        let understood = match key.as_str() {
            "secure" | "httponly" | "partitioned" => value.is_none(),
            "path" => value.is_some_and(|v| v.starts_with('/')) && cookie.path() == value,
            "domain" => {
                value.is_some_and(|v| !v.trim_start_matches('.').is_empty()) && cookie.domain().is_some()
            }
            "samesite" => cookie.same_site().is_some(),
            "max-age" => {
                let digits = value.map(|v| v.strip_prefix('-').unwrap_or(v)).unwrap_or_default();
                !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) && cookie.max_age().is_some()
            }
            "expires" => matches!(cookie.expires(), Some(Expiration::DateTime(_))),
            _ => false,
        };
        seen.push(key);
        understood
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CATALOGUE: &str = r#"
        [controller]
        name = "Shop"
        contact = "mail"

        [[category]]
        id = "analytics"
        purpose = "Counting."

        [[service]]
        id = "s"
        provider = "Shop"
        purpose = "Things."
        legal_basis = "consent"

        [[service.entry]]
        name = "visits"
        purpose = "Counts."
        duration = "1 day"
        trigger = "server"
        gate = { consent = "analytics" }

        [[service.entry]]
        name = "sid"
        purpose = "Session."
        duration = "session"
        trigger = "server"
        gate = { exempt = "auth", justification = "Sign-in." }

        [[service.entry]]
        name = "wide"
        purpose = "Everywhere."
        duration = "1 day"
        trigger = "server"
        http_only = false
        same_site = "none"
        domain = ["shop.example", "www.shop.example"]
        path = ["/", "/a"]
        gate = { exempt = "auth", justification = "Sign-in." }
    "#;

    fn at() -> Timestamp {
        Timestamp::from_millis(1_800_000_000_000)
    }

    fn verdict(open: bool, line: &[u8]) -> Verdict {
        let catalogue = Catalogue::from_toml(CATALOGUE).unwrap();
        let is_open = |gate| open || gate == EntryGate::Open;
        let judge = Judge {
            catalogue: &catalogue,
            is_own: &|n| n == b"__Host-privet",
            is_open: &is_open,
            renews: &|_| false,
            now: at(),
            secure: true,
        };
        judge.judge(line)
    }

    fn leaves(open: bool, line: &str) -> (Option<String>, Option<ViolationKind>) {
        let v = verdict(open, line.as_bytes());
        (v.line.map(|l| String::from_utf8(l).unwrap()), v.kind)
    }

    const GOOD: &str = "visits=1; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=86400";

    #[test]
    fn what_is_declared_and_open_passes_unchanged() {
        assert_eq!(leaves(true, GOOD), (Some(GOOD.into()), None));
    }

    #[test]
    fn undeclared_refused_reserved_unreadable() {
        assert_eq!(leaves(true, "other=1"), (None, Some(ViolationKind::Undeclared)));
        assert_eq!(leaves(false, GOOD), (None, Some(ViolationKind::Refused)));
        assert_eq!(leaves(true, "__Host-privet=x; Path=/; Secure"), (None, Some(ViolationKind::Reserved)));
        assert_eq!(leaves(true, "__Host-privet=; Max-Age=0"), (None, Some(ViolationKind::Reserved)));
        for bad in [&b"visits"[..], b"", b"=1", b"visits=\xff\xfe", b";visits=1"] {
            assert_eq!(verdict(true, bad).line, None, "{bad:?}");
        }
        // What browsers keep as a value without a name is told to nobody.
        assert_eq!(verdict(true, b"s3cret; Path=/").name, "");
    }

    #[test]
    fn a_deletion_passes_whatever_it_deletes() {
        for deletion in [
            "other=; Max-Age=0",
            "visits=; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
            "visits=; Max-Age=-1; Path=/",
        ] {
            let (line, violation) = leaves(false, deletion);
            assert_eq!((line.is_some(), violation), (true, None), "{deletion}");
        }
        // Max-Age goes first: this one sets.
        let (line, _) = leaves(false, "visits=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=100");
        assert_eq!(line, None);
    }

    #[test]
    fn nothing_outlives_its_declaration() {
        let year = "visits=1; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=31536000";
        assert_eq!(leaves(true, year), (Some(GOOD.into()), Some(ViolationKind::OutlivesDeclaration)));
        let (line, kind) = leaves(true, "visits=1; HttpOnly; Path=/; Expires=Fri, 01 Jan 2100 00:00:00 GMT");
        assert_eq!(kind, Some(ViolationKind::OutlivesDeclaration));
        assert!(line.unwrap().ends_with("Max-Age=86400"));
        let (line, kind) = leaves(true, "sid=1; HttpOnly; Path=/; Max-Age=5");
        assert_eq!(kind, Some(ViolationKind::OutlivesDeclaration));
        let line = line.unwrap();
        assert!(!line.contains("Max-Age") && !line.contains("Expires"), "{line}");
        // A session cookie where a day is declared is shorter, and a day by Expires is a day.
        assert_eq!(leaves(true, "visits=1; HttpOnly; SameSite=Lax; Secure; Path=/").1, None);
        let day = OffsetDateTime::from(at() + std::time::Duration::from_secs(86_401));
        let mut by_date = Cookie::new("visits", "1");
        by_date.set_expires(day);
        by_date.set_http_only(true);
        assert_eq!(leaves(true, &by_date.to_string()).1, None);
    }

    #[test]
    fn attributes_are_those_declared() {
        let (line, kind) = leaves(true, "visits=1");
        assert_eq!(kind, Some(ViolationKind::Attributes), "scripts could read it");
        assert_eq!(line.unwrap(), "visits=1; HttpOnly; SameSite=Lax; Secure; Path=/");
        let (line, kind) = leaves(true, "visits=1; HttpOnly");
        assert_eq!(
            (line.unwrap().as_str(), kind),
            ("visits=1; HttpOnly; SameSite=Lax; Secure; Path=/", None)
        );
        for bad in ["SameSite=None", "Domain=shop.example", "Path=/admin", "Path=x", "Partitioned"] {
            let (line, kind) = leaves(true, &format!("visits=1; HttpOnly; Secure; {bad}"));
            assert_eq!(kind, Some(ViolationKind::Attributes), "{bad}");
            assert_eq!(line.unwrap(), "visits=1; HttpOnly; SameSite=Lax; Secure; Path=/", "{bad}");
        }
        // Nothing else is to be written anew, and the attribute is all the same.
        let base = "visits=1; HttpOnly; Secure; Path=/";
        let lax = Some("visits=1; HttpOnly; SameSite=Lax; Secure; Path=/".to_owned());
        assert_eq!(leaves(true, base), (lax.clone(), None));
        assert_eq!(leaves(true, &format!("{base}; SameSite=None")), (lax, Some(ViolationKind::Attributes)));
        let (line, kind) = leaves(true, "wide=1; SameSite=None; Secure; Path=/A");
        assert_eq!(kind, Some(ViolationKind::Attributes));
        assert!(line.unwrap().ends_with("Path=/"));
        let wide = "wide=1; SameSite=None; Secure; Path=/a; Domain=shop.example; Max-Age=60";
        assert_eq!(leaves(true, wide), (Some(wide.into()), None));
        assert_eq!(leaves(true, "wide=1; SameSite=Strict; Secure; Path=/; Domain=.WWW.shop.example").1, None);
    }

    /// What one reader takes for a deletion and another for a cookie leaves as a deletion for all.
    #[test]
    fn a_deletion_deletes_for_every_reader() {
        for line in [
            "tracker=1; Max-Age=-",
            "tracker=1; Max-Age=0\u{a0}",
            "tracker=1; Max-Age=0\u{85}; Path=/",
            "tracker=1; Max-Age=0",
            "tracker=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
        ] {
            let left = leaves(false, line).0.unwrap();
            assert!(
                left.starts_with("tracker=;") && left.contains("Max-Age=0") && left.is_ascii(),
                "{line:?}: {left}"
            );
        }
        let named = leaves(true, "\u{a0}sid=1; HttpOnly; Secure; SameSite=Lax; Path=/").0;
        assert!(named.is_none_or(|l| l.starts_with("sid=")));
    }

    /// Browsers take the last of a repeated attribute and ignore one they cannot read; so the line that leaves
    /// is the one that was understood.
    #[test]
    fn what_browsers_could_read_otherwise_is_written_anew() {
        let base = "visits=1; HttpOnly; SameSite=Lax; Secure; Path=/";
        for (tricky, expected) in [
            ("; Max-Age=5; Max-Age=99999999", format!("{base}; Max-Age=86400")),
            ("; Max-Age=99999999; Max-Age=5", format!("{base}; Max-Age=5")),
            ("; Expires=not a date", base.to_owned()),
            ("; Priority=High", base.to_owned()),
            ("; SameSite=Banana", base.to_owned()),
        ] {
            let (line, _) = leaves(true, &format!("{base}{tricky}"));
            assert_eq!(line.unwrap(), expected, "{tricky}");
        }
    }

    proptest! {
        /// Whatever an app writes: what leaves is declared, and lives no longer than declared.
        #[test]
        fn nothing_that_leaves_breaks_the_catalogue(line in "(visits|sid|wide|x)=[a-z]{0,3}(; ?(Max-Age|max-age|Expires|Path|Domain|SameSite|Secure|HttpOnly|Partitioned|Foo)(=[-+a-zA-Z0-9:, /]{0,30})?){0,5}") {
            if let Some(line) = verdict(true, line.as_bytes()).line {
                let text = String::from_utf8(line).unwrap();
                let cookie = Cookie::parse(text.as_str()).unwrap();
                let deleted = cookie.max_age().is_some_and(|a| !a.is_positive())
                    || (cookie.max_age().is_none() && matches!(cookie.expires(), Some(Expiration::DateTime(d)) if d <= OffsetDateTime::from(at())));
                if !deleted {
                    prop_assert!(cookie.name() != "x");
                    prop_assert!(cookie.max_age().is_none_or(|a| a <= time::Duration::DAY));
                    prop_assert_eq!(cookie.secure(), Some(true));
                    prop_assert!(cookie.path() == Some("/") || cookie.path() == Some("/a"));
                }
            }
        }

        #[test]
        fn no_bytes_panic(line in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = verdict(true, &line);
        }
    }
}
