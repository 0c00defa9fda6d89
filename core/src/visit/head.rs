use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

/// A request head as an adapter sees it. Header names are in lower case.
pub trait RequestHead {
    /// The address of the peer; none when the adapter does not know it.
    fn peer(&self) -> Option<IpAddr>;

    /// The method, as it came.
    fn method(&self) -> &str;

    /// The path of the request, without query.
    fn path(&self) -> &str;

    /// The host that the request names, without port.
    fn host(&self) -> Option<&str>;

    /// Every header line, in the order they came.
    fn headers<'a>(&'a self, each: &mut dyn FnMut(&'a str, &'a [u8]));
}

/// The headers of a response that concern privet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResponseHeader {
    /// `Cache-Control`
    CacheControl,
    /// `CDN-Cache-Control` (RFC 9213), which goes before `Cache-Control` in caches between
    CdnCacheControl,
    /// `Content-Type`
    ContentType,
    /// `Set-Cookie`
    SetCookie,
    /// `Surrogate-Control`, which goes before `Cache-Control` in some caches between
    SurrogateControl,
    /// `Vary`
    Vary,
}

impl ResponseHeader {
    /// Its name, in lower case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::CacheControl => "cache-control",
            Self::CdnCacheControl => "cdn-cache-control",
            Self::ContentType => "content-type",
            Self::SetCookie => "set-cookie",
            Self::SurrogateControl => "surrogate-control",
            Self::Vary => "vary",
        }
    }
}

/// A response head as an adapter sees it.
pub trait ResponseHead {
    /// The status code.
    fn status(&self) -> u16;

    /// Every line of a header, in order.
    fn lines<'a>(&'a self, header: ResponseHeader, each: &mut dyn FnMut(&'a [u8]));

    /// Takes all lines of a header out.
    fn remove(&mut self, header: ResponseHeader);

    /// Adds a line of a header, after those that are there.
    fn append(&mut self, header: ResponseHeader, line: Cow<'static, [u8]>);
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
