use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use zeroize::{Zeroize, ZeroizeOnDrop};

/// The address of a visitor, or that it is not known.
///
/// It has no `Display` and no `Serialize`, its `Debug` tells nothing, and it is overwritten when dropped.
///
/// ```
/// use privet::ip::ClientIp;
///
/// let ip = ClientIp::from("203.0.113.7".parse::<std::net::IpAddr>()?);
/// assert_eq!(format!("{ip:?}"), "ClientIp(..)");
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
///
/// ```compile_fail
/// let ip = privet::ip::ClientIp::from(std::net::IpAddr::from([203, 0, 113, 7]));
/// println!("{ip}");
/// ```
///
/// ```compile_fail
/// fn leaves<T: serde::Serialize>(_: T) {}
/// leaves(privet::ip::ClientIp::from(std::net::IpAddr::from([203, 0, 113, 7])));
/// ```
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct ClientIp {
    /// The 16-byte form: IPv4 as `::ffff:a.b.c.d`.
    octets: [u8; 16],
    known: bool,
}

impl ClientIp {
    /// An address that nobody knows: no peer, or a proxy header that cannot be read.
    #[must_use]
    pub const fn unknown() -> Self {
        Self { octets: [0; 16], known: false }
    }

    /// Whether there is an address.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.known
    }

    /// The 16-byte form, IPv4 as `::ffff:a.b.c.d`; for a [`Pseudonymizer`](super::Pseudonymizer) or
    /// [`CountryLookup`](super::CountryLookup) of one's own, and for nothing else.
    #[must_use]
    pub fn octets(&self) -> Option<&[u8; 16]> {
        self.known.then_some(&self.octets)
    }

    /// The address in its own family, `::ffff:a.b.c.d` as IPv4.
    pub(crate) fn canonical(&self) -> Option<IpAddr> {
        self.known.then(|| IpAddr::V6(Ipv6Addr::from(self.octets)).to_canonical())
    }

    /// Whether it is one that nobody reaches from the Internet: loopback, private, link-local, unique-local.
    /// An unknown one is not.
    pub(crate) fn is_local(&self) -> bool {
        match self.canonical() {
            Some(IpAddr::V4(ip)) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
            Some(IpAddr::V6(ip)) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
            None => false,
        }
    }

    /// What tells one subscriber from another: an IPv4 address, or the /64 of an IPv6 address.
    pub(crate) fn subscriber(&self) -> Option<[u8; 16]> {
        let mut octets = *self.octets()?;
        if !Ipv6Addr::from(octets).to_canonical().is_ipv4() {
            octets[8..].fill(0);
        }
        Some(octets)
    }
}

impl From<IpAddr> for ClientIp {
    fn from(ip: IpAddr) -> Self {
        let v6 = match ip {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => v6,
        };
        // A socket that is bound to nothing has the unspecified address, which names nobody.
        let known = !IpAddr::V6(v6).to_canonical().is_unspecified();
        Self { octets: v6.octets(), known }
    }
}

impl fmt::Debug for ClientIp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientIp(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> ClientIp {
        ClientIp::from(text.parse::<IpAddr>().unwrap())
    }

    #[test]
    fn ipv4_has_one_form() {
        assert_eq!(ip("::ffff:192.0.2.1").octets(), ip("192.0.2.1").octets());
        assert_eq!(ip("::ffff:192.0.2.1").canonical(), Some("192.0.2.1".parse().unwrap()));
    }

    #[test]
    fn ipv6_counts_as_its_64() {
        assert_eq!(ip("2001:db8:1:2:a:b:c:d").subscriber(), ip("2001:db8:1:2::").subscriber());
        assert_ne!(ip("2001:db8:1:2::").subscriber(), ip("2001:db8:1:3::").subscriber());
        assert_ne!(ip("192.0.2.1").subscriber(), ip("192.0.2.2").subscriber());
    }

    #[test]
    fn unspecified_is_unknown() {
        for text in ["0.0.0.0", "::", "::ffff:0.0.0.0"] {
            assert!(!ip(text).is_known(), "{text}");
        }
        assert!(ClientIp::unknown().octets().is_none());
    }

    /// IP-01: whatever prints a value prints no address.
    #[test]
    fn ip_01_debug_tells_nothing() {
        for text in ["203.0.113.77", "2001:db8::77"] {
            let shown = format!("{:?} {:#?}", ip(text), Some(ip(text)));
            assert!(!shown.contains("77") && !shown.contains("203"), "{shown}");
        }
    }
}
