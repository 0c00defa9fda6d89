use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::client::ClientIp;
use crate::error::{Error, Result};

/// Two letters that a country file gives for an address: ISO 3166-1 alpha-2, and user-assigned codes such as
/// `XK` that files use. Never a guess: what stands for "nobody knows" is [`Country::Unknown`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct CountryCode([u8; 2]);

/// Codes that files use for something that is no country: reserved, anonymous, satellite, Tor, a continent.
const NO_COUNTRY: &[&[u8; 2]] = &[b"XX", b"ZZ", b"T1", b"EU", b"AP", b"A1", b"A2", b"O1"];

impl CountryCode {
    /// Two upper-case letters that stand for a country.
    #[must_use]
    pub fn new(code: &str) -> Option<Self> {
        let code: [u8; 2] = code.as_bytes().try_into().ok()?;
        let fits = code.iter().all(u8::is_ascii_uppercase) && !NO_COUNTRY.contains(&&code);
        fits.then_some(Self(code))
    }

    pub(crate) const fn to_bytes(self) -> [u8; 2] {
        self.0
    }

    /// The two letters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Two ASCII letters, as `new` has seen to.
        std::str::from_utf8(&self.0).unwrap_or("")
    }
}

impl fmt::Display for CountryCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for CountryCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CountryCode({self})")
    }
}

impl FromStr for CountryCode {
    type Err = Error;
    fn from_str(code: &str) -> Result<Self> {
        Self::new(code).ok_or_else(|| {
            Error::invalid(
                format!("`{}` is no country code", code.escape_default()),
                "write two letters as ISO 3166-1 does",
            )
        })
    }
}

impl TryFrom<String> for CountryCode {
    type Error = Error;
    fn try_from(code: String) -> Result<Self> {
        code.parse()
    }
}

impl From<CountryCode> for String {
    fn from(code: CountryCode) -> Self {
        code.as_str().to_owned()
    }
}

impl Serialize for CountryCode {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// The country that an address is likely used in: an estimate, and nothing finer (GDPR Art. 5(1)(c)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Country {
    /// Nobody knows; the strictest rules apply.
    #[default]
    Unknown,
    /// Probably this one.
    Known(CountryCode),
}

impl Country {
    /// The code, if there is one.
    #[must_use]
    pub fn code(self) -> Option<CountryCode> {
        match self {
            Self::Unknown => None,
            Self::Known(code) => Some(code),
        }
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("unknown"),
            Self::Known(code) => code.fmt(f),
        }
    }
}

/// Finds the country of an address, here: a look-up over the network would send the address to somebody.
///
/// Addresses that belong to no country, such as private ones, are not asked for.
pub trait CountryLookup: fmt::Debug + Send + Sync {
    /// The code that the data gives for a public address.
    fn lookup(&self, ip: IpAddr) -> Option<CountryCode>;
}

/// Asks `data` for the country of a client; special-purpose addresses have none.
pub(crate) fn country_of(client: &ClientIp, data: Option<&dyn CountryLookup>) -> Country {
    let (Some(ip), Some(data)) = (client.canonical(), data) else { return Country::Unknown };
    if is_special(ip) {
        return Country::Unknown;
    }
    data.lookup(ip).map_or(Country::Unknown, Country::Known)
}

/// Whether an address is on the Internet: not private, local, reserved or of documentation (RFC 6890), and none of the
/// forms of IPv6 that hold an address of IPv4, which might be.
#[must_use]
pub fn is_public(ip: IpAddr) -> bool {
    !is_special(ip)
}

/// Addresses that the IANA special-purpose registries (RFC 6890) give to no network on the Internet.
fn is_special(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_special_v4(ip),
        IpAddr::V6(ip) => is_special_v6(ip),
    }
}

fn is_special_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_documentation()
        || a == 0
        || a >= 224
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (18..20).contains(&b))
}

fn is_special_v6(ip: Ipv6Addr) -> bool {
    let s = ip.segments();
    // Only 2000::/3 is given out; the rest is special in one way or another.
    s[0] & 0xe000 != 0x2000
        || (s[0] == 0x2001 && s[1] == 0x0db8)
        || (s[0] == 0x2001 && s[1] < 0x0200)
        || s[0] == 0x2002
        || (s[0] == 0x3fff && s[1] < 0x1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Everywhere;
    impl CountryLookup for Everywhere {
        fn lookup(&self, _: IpAddr) -> Option<CountryCode> {
            CountryCode::new("DE")
        }
    }

    fn country(text: &str) -> Country {
        country_of(&ClientIp::from(text.parse::<IpAddr>().unwrap()), Some(&Everywhere))
    }

    /// GEO-05: reserved ranges are unknown, whatever the data says.
    #[test]
    fn geo_05_special_ranges_are_unknown() {
        for special in [
            "10.1.2.3",
            "127.0.0.1",
            "169.254.1.1",
            "192.168.1.1",
            "172.16.0.1",
            "100.64.0.1",
            "192.0.2.1",
            "198.18.0.1",
            "203.0.113.1",
            "224.0.0.1",
            "255.255.255.255",
            "0.1.2.3",
            "192.0.0.8",
            "::1",
            "fe80::1",
            "fd00::1",
            "2001:db8::1",
            "ff02::1",
            "::8.8.8.8",
            "64:ff9b::8.8.8.8",
            "2002:808:808::",
            "2001::1",
            "3fff::1",
            "::ffff:10.0.0.1",
        ] {
            assert_eq!(country(special), Country::Unknown, "{special}");
        }
        for public in
            ["8.8.8.8", "2001:4860:4860::8888", "::ffff:8.8.8.8", "100.128.0.1", "172.32.0.1", "2001:200::1"]
        {
            assert_eq!(country(public).to_string(), "DE", "{public}");
        }
        assert_eq!(country_of(&ClientIp::unknown(), Some(&Everywhere)), Country::Unknown);
        assert_eq!(country_of(&ClientIp::from(IpAddr::from([8, 8, 8, 8])), None), Country::Unknown);
    }

    /// GEO-05: codes for no country are no country.
    #[test]
    fn geo_05_pseudo_codes_are_unknown() {
        for bad in ["XX", "ZZ", "T1", "EU", "AP", "A1", "A2", "O1", "de", "D", "DEU", "", "D1"] {
            assert_eq!(CountryCode::new(bad), None, "{bad}");
        }
        for good in ["DE", "XK", "GB"] {
            assert_eq!(CountryCode::new(good).unwrap().as_str(), good);
        }
    }
}
