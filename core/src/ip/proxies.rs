use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use ipnet::IpNet;

use super::client::ClientIp;
use crate::error::{Error, Result};

/// The one header in which the trusted proxies pass the address on. There is no fallback to another: a header
/// that the proxies do not write is the visitor's to forge.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProxyHeader {
    /// `X-Forwarded-For`: a comma list, the nearest hop last.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239): its `for=` parameters.
    Forwarded,
    /// A header with one address, by its name in lower case, such as `x-real-ip` or `cf-connecting-ip`.
    Single(String),
}

impl ProxyHeader {
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::XForwardedFor => "x-forwarded-for",
            Self::Forwarded => "forwarded",
            Self::Single(name) => name,
        }
    }
}

/// The proxies whose word about the visitor's address counts: networks in CIDR notation.
///
/// The peer is asked first. Only if it is trusted is the header read, from right to left over all its lines,
/// up to the first hop that is no trusted proxy. A hop that cannot be read ends the walk: the address is then
/// unknown, not the next one.
///
/// ```
/// use privet::ip::TrustedProxies;
///
/// let proxies: TrustedProxies = "10.0.0.0/8, ::1".parse()?;
/// assert!("10.0.0.0/33".parse::<TrustedProxies>().is_err());
/// # Ok::<(), privet::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct TrustedProxies {
    /// Sorted, disjoint ranges of the 16-byte form, both ends included.
    ranges: Vec<(u128, u128)>,
    header: ProxyHeader,
}

impl fmt::Debug for TrustedProxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrustedProxies")
            .field("networks", &self.ranges.len())
            .field("header", &self.header)
            .finish()
    }
}

fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().into(),
        IpAddr::V6(v6) => v6.into(),
    }
}

impl TrustedProxies {
    /// Nobody is trusted: the peer is the visitor.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Trusts these networks; an address alone is a network of one.
    ///
    /// # Errors
    /// [`Error::Config`] that names the network that cannot be read.
    pub fn new<'a>(networks: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        let mut ranges = Vec::new();
        for text in networks {
            let text = text.trim();
            let net =
                text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).map_err(|_| {
                    Error::config(
                        format!("trusted proxy `{}` is no network", text.escape_default()),
                        "write it as CIDR, such as `10.0.0.0/8` or `2001:db8::/32`, or as one address",
                    )
                })?;
            ranges.push((number(net.network()), number(net.broadcast())));
        }
        ranges.sort_unstable();
        let mut joined: Vec<(u128, u128)> = Vec::with_capacity(ranges.len());
        for (from, to) in ranges {
            match joined.last_mut() {
                Some(last) if from <= last.1.saturating_add(1) => last.1 = last.1.max(to),
                _ => joined.push((from, to)),
            }
        }
        Ok(Self { ranges: joined, header: ProxyHeader::default() })
    }

    /// Reads this header instead of `X-Forwarded-For`.
    #[must_use]
    pub fn header(mut self, header: ProxyHeader) -> Self {
        self.header = match header {
            ProxyHeader::Single(name) => ProxyHeader::Single(name.to_ascii_lowercase()),
            other => other,
        };
        self
    }

    pub(crate) fn header_name(&self) -> &str {
        self.header.name()
    }

    /// How many networks are trusted; those that touch count as one.
    pub(crate) fn networks(&self) -> usize {
        self.ranges.len()
    }

    /// Whether an address is one of a trusted proxy.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        let n = number(ip);
        let at = self.ranges.partition_point(|(from, _)| *from <= n);
        at > 0 && n <= self.ranges[at - 1].1
    }

    /// The visitor's address from the peer and the lines of the header, in the order they came.
    pub(crate) fn client<'a>(
        &self,
        peer: Option<IpAddr>,
        lines: impl DoubleEndedIterator<Item = &'a [u8]>,
    ) -> ClientIp {
        let Some(peer) = peer else { return ClientIp::unknown() };
        if self.ranges.is_empty() || !self.contains(peer) {
            return ClientIp::from(peer);
        }
        // No header, or nothing but trusted hops: whoever is furthest away is the one who asks.
        let mut furthest = peer;
        for line in lines.rev() {
            for hop in line.rsplit(|b| *b == b',') {
                let read = match &self.header {
                    ProxyHeader::Forwarded => forwarded_for(hop),
                    ProxyHeader::XForwardedFor | ProxyHeader::Single(_) => address(hop),
                };
                let Some(ip) = read else { return ClientIp::unknown() };
                if !self.contains(ip) {
                    return ClientIp::from(ip);
                }
                furthest = ip;
            }
        }
        ClientIp::from(furthest)
    }
}

impl FromStr for TrustedProxies {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        Self::new(text.split(',').map(str::trim).filter(|t| !t.is_empty()))
    }
}

/// An address with or without brackets, port, zone: what proxies write. Nothing else.
fn address(bytes: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(bytes).ok()?.trim();
    if let Ok(ip) = text.parse::<IpAddr>() {
        return known(ip);
    }
    if let Ok(with_port) = text.parse::<SocketAddr>() {
        return known(with_port.ip());
    }
    let bare = match text.strip_prefix('[') {
        Some(rest) => {
            let (inside, port) = rest.split_once(']')?;
            if !(port.is_empty() || port.strip_prefix(':').is_some_and(|p| p.parse::<u16>().is_ok())) {
                return None;
            }
            inside
        }
        None => text,
    };
    let without_zone = bare.split_once('%').map_or(bare, |(ip, _)| ip);
    without_zone.parse::<Ipv6Addr>().ok().and_then(|ip| known(IpAddr::V6(ip)))
}

fn known(ip: IpAddr) -> Option<IpAddr> {
    let ip = ip.to_canonical();
    (!ip.is_unspecified()).then_some(ip)
}

/// The `for=` of one element of a Forwarded header (RFC 7239, section 4). An obfuscated name or `unknown` is
/// no address.
fn forwarded_for(element: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(element).ok()?;
    let mut found = None;
    for pair in text.split(';') {
        let Some((key, value)) = pair.split_once('=') else { continue };
        if !key.trim().eq_ignore_ascii_case("for") {
            continue;
        }
        if found.is_some() {
            return None;
        }
        let value = value.trim();
        let quoted = value.strip_prefix('"').and_then(|v| v.strip_suffix('"'));
        let plain = match quoted {
            // Inside quotes a backslash escapes; no address needs one.
            Some(inside) if !inside.contains(['\\', '"']) => inside,
            Some(_) => return None,
            None if value.contains(['"', '[', ']']) || value.matches(':').count() > 1 => return None,
            None => value,
        };
        // RFC 7239, section 6: an IPv6 address is in brackets.
        if !plain.starts_with('[') && plain.matches(':').count() > 1 {
            return None;
        }
        found = address(plain.as_bytes());
        found?;
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn walk(networks: &str, header: ProxyHeader, peer: &str, lines: &[&str]) -> Option<String> {
        let proxies: TrustedProxies = networks.parse::<TrustedProxies>().unwrap().header(header);
        let client = proxies.client(Some(peer.parse().unwrap()), lines.iter().map(|l| l.as_bytes()));
        client.canonical().map(|ip| ip.to_string())
    }

    fn xff(networks: &str, peer: &str, lines: &[&str]) -> Option<String> {
        walk(networks, ProxyHeader::XForwardedFor, peer, lines)
    }

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    /// IP-06: what an untrusted peer writes about itself is not read.
    #[test]
    fn ip_06_a_spoofed_header_from_an_untrusted_peer_is_ignored() {
        assert_eq!(xff("", "203.0.113.9", &["8.8.8.8"]), some("203.0.113.9"));
        assert_eq!(xff("10.0.0.0/8", "203.0.113.9", &["8.8.8.8"]), some("203.0.113.9"));
        assert_eq!(xff("10.0.0.0/8", "10.0.0.1", &["8.8.8.8"]), some("8.8.8.8"));
    }

    /// IP-06: the rightmost hop that no trusted proxy is.
    #[test]
    fn ip_06_right_to_left_over_all_lines() {
        assert_eq!(xff("10.0.0.0/8", "10.0.0.1", &["6.6.6.6, 203.0.113.9, 10.1.1.1"]), some("203.0.113.9"));
        assert_eq!(xff("10.0.0.0/8", "10.0.0.1", &["6.6.6.6", "203.0.113.9"]), some("203.0.113.9"));
        assert_eq!(xff("10.0.0.0/8", "10.0.0.1", &["203.0.113.9", "10.0.0.3"]), some("203.0.113.9"));
        assert_eq!(xff("10.0.0.0/8", "10.0.0.1", &["10.9.9.9, 10.0.0.3"]), some("10.9.9.9"));
        assert_eq!(xff("10.0.0.0/8", "10.0.0.1", &[]), some("10.0.0.1"));
    }

    /// IP-06: a hop that cannot be read is unknown, not the next one.
    #[test]
    fn ip_06_an_unreadable_hop_is_unknown() {
        for bad in [
            "",
            "unknown",
            "6.6.6.6, ",
            "6.6.6.6, nonsense",
            "6.6.6.6,1.2.3.4.5",
            "_hidden",
            "999.1.1.1",
            "1.2.3.4:port",
            "0.0.0.0",
            "[::1",
            "[::1]x",
            "[1.2.3.4]",
        ] {
            assert_eq!(xff("10.0.0.0/8", "10.0.0.1", &[bad]), None, "{bad:?}");
        }
        let proxies: TrustedProxies = "10.0.0.0/8".parse().unwrap();
        let lines: [&[u8]; 1] = [b"\xff\xfe"];
        assert!(!proxies.client(Some("10.0.0.1".parse().unwrap()), lines.into_iter()).is_known());
        assert!(!proxies.client(None, lines.into_iter()).is_known());
    }

    #[test]
    fn ports_brackets_zones_and_mapped_addresses() {
        for (written, read) in [
            ("203.0.113.9:4711", "203.0.113.9"),
            ("[2001:db8::7]:443", "2001:db8::7"),
            ("[2001:db8::7]", "2001:db8::7"),
            ("2001:db8::7", "2001:db8::7"),
            ("::ffff:203.0.113.9", "203.0.113.9"),
            ("[::ffff:203.0.113.9]:1", "203.0.113.9"),
            ("fe80::1%eth0", "fe80::1"),
        ] {
            assert_eq!(xff("10.0.0.0/8", "10.0.0.1", &[written]), some(read), "{written}");
        }
        assert_eq!(xff("10.0.0.0/8", "::ffff:10.0.0.1", &["8.8.8.8"]), some("8.8.8.8"));
        assert_eq!(xff("::ffff:10.0.0.0/104", "10.0.0.1", &["8.8.8.8"]), some("8.8.8.8"));
    }

    #[test]
    fn forwarded_is_rfc_7239() {
        let f = |line: &str| walk("10.0.0.0/8", ProxyHeader::Forwarded, "10.0.0.1", &[line]);
        assert_eq!(f("for=192.0.2.60;proto=http;by=203.0.113.43"), some("192.0.2.60"));
        assert_eq!(f("For=\"[2001:db8:cafe::17]:4711\""), some("2001:db8:cafe::17"));
        assert_eq!(f("for=192.0.2.43, for=198.51.100.17"), some("198.51.100.17"));
        assert_eq!(f("for=6.6.6.6, for=10.0.0.5"), some("6.6.6.6"));
        for bad in [
            "for=unknown",
            "for=_hidden",
            "for=2001:db8::1",
            "for=\"2001:db8::1\"",
            "proto=https",
            "for=1.1.1.1;for=2.2.2.2",
            "for=\"1.1.1.1",
            "for=\"1.1\\.1.1\"",
        ] {
            assert_eq!(f(bad), None, "{bad}");
        }
    }

    #[test]
    fn one_header_and_no_fallback() {
        let name = |h: ProxyHeader| TrustedProxies::none().header(h).header_name().to_owned();
        assert_eq!(name(ProxyHeader::Single("CF-Connecting-IP".into())), "cf-connecting-ip");
        assert_eq!(
            walk("10.0.0.0/8", ProxyHeader::Single("x-real-ip".into()), "10.0.0.1", &["8.8.8.8"]),
            some("8.8.8.8")
        );
    }

    #[test]
    fn networks_that_touch_are_joined() {
        let p: TrustedProxies = "10.0.0.0/9, 10.128.0.0/9, 10.1.0.0/16, ::1, 0.0.0.0/0".parse().unwrap();
        assert_eq!(p.ranges.len(), 2);
        assert!(p.contains("::1".parse().unwrap()) && !p.contains("::2".parse().unwrap()));
        assert!("10.0.0.0/33".parse::<TrustedProxies>().unwrap_err().to_string().contains("10.0.0.0/33"));
    }

    proptest! {
        #[test]
        fn nothing_that_is_written_panics(lines in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..80), 0..4), forwarded in any::<bool>()) {
            let header = if forwarded { ProxyHeader::Forwarded } else { ProxyHeader::XForwardedFor };
            let proxies = "10.0.0.0/8".parse::<TrustedProxies>().unwrap().header(header);
            let _ = proxies.client(Some("10.0.0.1".parse().unwrap()), lines.iter().map(Vec::as_slice));
        }

        /// Whatever a visitor writes to the left, the proxy's own word at the right stands.
        #[test]
        fn the_left_side_never_wins(forged in "[0-9a-f.:, \\[\\]]{0,60}") {
            let line = format!("{forged}, 203.0.113.9");
            prop_assert_eq!(xff("10.0.0.0/8", "10.0.0.1", &[&line]), some("203.0.113.9"));
        }
    }
}
