use std::net::{IpAddr, SocketAddr};

/// A request head as an adapter sees it. Header names are in lower case.
pub trait RequestHead {
    /// The address of the peer; none when the adapter does not know it.
    fn peer(&self) -> Option<IpAddr>;

    /// The path of the request, without query.
    fn path(&self) -> &str;

    /// The host that the request names, without port.
    fn host(&self) -> Option<&str>;

    /// Every header line, in the order they came.
    fn headers<'a>(&'a self, each: &mut dyn FnMut(&'a str, &'a [u8]));
}

/// A response head as an adapter sees it. Header names are in lower case.
pub trait ResponseHead {
    /// The status code.
    fn status(&self) -> u16;

    /// The first line of a header.
    fn header(&self, name: &str) -> Option<&[u8]>;

    /// Every `Set-Cookie` line, in order.
    fn set_cookies<'a>(&'a self, each: &mut dyn FnMut(&'a [u8]));

    /// Puts these in the place of all `Set-Cookie` lines.
    fn replace_set_cookies(&mut self, lines: Vec<Vec<u8>>);

    /// Puts one line in the place of all lines of a header.
    fn set_header(&mut self, name: &'static str, value: &str);

    /// Adds a line of a header.
    fn append_header(&mut self, name: &'static str, value: &str);
}

/// How the request goes on to the handlers.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Rewrite {
    /// Headers to be taken out: they carry the visitor's address.
    pub remove: Vec<String>,
    /// What becomes of the `Cookie` header, if anything does: gone, or one line without what the gate closes.
    pub cookie: Option<Option<Vec<u8>>>,
    /// What stands for the peer, if addresses are hidden.
    pub peer: Option<SocketAddr>,
}

/// Why a request is not served at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// It belongs to no declared site.
    UnknownSite,
    /// Its cookies are larger than anything that was set here.
    CookiesTooLarge,
    /// Cookies without the `__Host-` prefix are for development; the peer is not.
    PublicPeerInDevelopment,
}

impl Refusal {
    /// The status code of the answer.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::UnknownSite => 404,
            Self::CookiesTooLarge => 431,
            Self::PublicPeerInDevelopment => 403,
        }
    }

    /// What the answer says: nothing of the inside.
    #[must_use]
    pub fn message(self) -> &'static str {
        match self {
            Self::UnknownSite => "Not found.",
            Self::CookiesTooLarge => {
                "The cookies of this site in your browser are too large. Please delete them and try again."
            }
            Self::PublicPeerInDevelopment => "This is a development server; it serves local visitors only.",
        }
    }
}

/// The host of a `Host` header or authority, without port: what a resolver gets.
#[must_use]
pub fn host_without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port))
            if port.bytes().all(|b| b.is_ascii_digit()) && (!name.contains(':') || name.ends_with(']')) =>
        {
            name
        }
        _ => host,
    }
}
