use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use arc_swap::ArcSwap;
use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};

use super::client::ClientIp;
use crate::clock::Day;
use crate::key::{Mac, Secret, TAG_LEN, random_bytes};
use crate::scope::Tenant;

/// What a recipient gets in place of an address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Strategy {
    /// Nothing: the country, if it may have that, is enough.
    #[default]
    Drop,
    /// 128 bits of HMAC-SHA256 under a key that is destroyed with the conversation or the day: the same
    /// visitor gives the same token there and then, and another one elsewhere and later. The key is secret,
    /// so the address cannot be found by trying all (EDPB Guidelines 01/2025 name a MAC; an unkeyed hash of
    /// all IPv4 addresses takes minutes). It is still personal data.
    KeyedHash,
    /// The network: IPv4 to /24, IPv6 to /48. Coarse, and still personal data.
    Truncate,
    /// A larger network: IPv4 to /16, IPv6 to /48.
    TruncateCoarse,
}

impl Strategy {
    /// As it is written in a catalogue.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Drop => "drop",
            Self::KeyedHash => "keyed-hash",
            Self::Truncate => "truncate",
            Self::TruncateCoarse => "truncate-coarse",
        }
    }
}

/// What stands for an address at a recipient. Personal data all the same: it is exported, erased and kept no
/// longer than what it belongs to.
#[derive(Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct Pseudonym(String);

impl Pseudonym {
    /// A pseudonym that a [`Pseudonymizer`] of one's own made.
    #[must_use]
    pub fn new(token: impl Into<String>) -> Self {
        Self(token.into())
    }

    /// The token.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Pseudonym {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pseudonym(..)")
    }
}

/// Where a pseudonym holds: for one tenant, one recipient, and one conversation or one day.
#[derive(Debug)]
pub struct PseudonymScope<'a> {
    tenant: &'a Tenant,
    recipient: &'a str,
    within: &'a [u8],
    key: &'a Mac,
}

impl<'a> PseudonymScope<'a> {
    pub(crate) fn new(tenant: &'a Tenant, recipient: &'a str, within: &'a [u8], key: &'a Mac) -> Self {
        Self { tenant, recipient, within, key }
    }

    /// The recipient's id.
    #[must_use]
    pub fn recipient(&self) -> &str {
        self.recipient
    }

    /// 128 bits of HMAC-SHA256 over domain, tenant, recipient, scope and these bytes, under the scope's key.
    #[must_use]
    pub fn tag(&self, bytes: &[u8]) -> [u8; TAG_LEN] {
        let len = |b: &[u8]| u32::try_from(b.len()).unwrap_or(u32::MAX).to_be_bytes();
        let (tenant, recipient) = (self.tenant.as_str().as_bytes(), self.recipient.as_bytes());
        self.key.tag(&[
            b"privet/pseudonym/1",
            &len(tenant),
            tenant,
            &len(recipient),
            recipient,
            &len(self.within),
            self.within,
            bytes,
        ])
    }
}

/// Makes pseudonyms. [`Strategy`] is the built-in way; another one is given to a recipient with
/// [`Builder::pseudonymizer`](crate::Builder::pseudonymizer).
pub trait Pseudonymizer: fmt::Debug + Send + Sync {
    /// The pseudonym of an address; none when there is nothing to pass on. An unknown address has none.
    fn pseudonymize(&self, address: &ClientIp, scope: &PseudonymScope<'_>) -> Option<Pseudonym>;
}

impl Pseudonymizer for Strategy {
    fn pseudonymize(&self, address: &ClientIp, scope: &PseudonymScope<'_>) -> Option<Pseudonym> {
        match self {
            Self::Drop => None,
            Self::KeyedHash => {
                let tag = scope.tag(&address.subscriber()?);
                Some(Pseudonym(format!("ph1.{}", BASE64URL_NOPAD.encode(&tag))))
            }
            Self::Truncate => truncate(address, 24).map(|ip| Pseudonym(ip.to_string())),
            Self::TruncateCoarse => truncate(address, 16).map(|ip| Pseudonym(ip.to_string())),
        }
    }
}

fn truncate(address: &ClientIp, v4_bits: u32) -> Option<IpAddr> {
    Some(match address.canonical()? {
        IpAddr::V4(ip) => IpAddr::V4((u32::from(ip) & (u32::MAX << (32 - v4_bits))).into()),
        IpAddr::V6(ip) => IpAddr::V6((u128::from(ip) & (u128::MAX << 80)).into()),
    })
}

/// The random keys of the days, in memory: today's and its neighbours.
#[derive(Debug)]
pub(crate) struct EpochKeys(ArcSwap<Vec<(Day, EpochKey)>>);

#[derive(Clone, Debug)]
pub(crate) struct EpochKey {
    peer: Mac,
    pub(crate) pseudonym: Mac,
}

impl EpochKey {
    fn new(secret: &Secret) -> Self {
        let mac = |purpose| Mac::from_key(&secret.derive(purpose, &[]));
        Self { peer: mac("epoch/peer"), pseudonym: mac("epoch/pseudonym") }
    }
}

impl EpochKeys {
    pub(crate) fn new(keys: &[(Day, Secret)]) -> Self {
        let held = Self(ArcSwap::default());
        held.replace(keys);
        held
    }

    /// Holds these and forgets all others.
    pub(crate) fn replace(&self, keys: &[(Day, Secret)]) {
        self.0.store(Arc::new(keys.iter().map(|(day, secret)| (*day, EpochKey::new(secret))).collect()));
    }

    pub(crate) fn with<T>(&self, day: Day, use_key: impl FnOnce(&EpochKey) -> T) -> Option<T> {
        let find = |keys: &[(Day, EpochKey)]| keys.iter().position(|(d, _)| *d == day);
        let keys = self.0.load();
        if let Some(at) = find(&keys) {
            return Some(use_key(&keys[at].1));
        }
        drop(keys);
        // Nobody loaded today's key: `Privet::run` is not running. A key of this process alone keeps
        // yesterday's visitors unlinkable.
        tracing::warn!(
            "no key for today's pseudonyms; serve with `privet.run_while(…)`, or spawn `privet.run(shutdown)` once, so that keys change with the day"
        );
        let fresh = EpochKey::new(&Secret::new(random_bytes().ok()?));
        self.0.rcu(|held| {
            let mut held = held.as_ref().clone();
            if find(&held).is_none() {
                held.push((day, fresh.clone()));
                held.retain(|(d, _)| d.number() >= day.number() - 1);
            }
            held
        });
        let keys = self.0.load();
        find(&keys).map(|at| use_key(&keys[at].1))
    }
}

/// Replaces the peer's address for what runs behind the layer.
#[derive(Debug)]
pub(crate) struct PeerHider;

impl PeerHider {
    /// A unique-local IPv6 address (RFC 4193) that stands for the visitor today, with port 0: rate limiters
    /// still tell visitors apart, and nobody can call it. All whose address is unknown share one.
    pub(crate) fn hide(client: &ClientIp, day: Day, keys: &EpochKeys) -> SocketAddr {
        let subscriber = client.subscriber();
        let tag = subscriber.and_then(|s| keys.with(day, |k| k.peer.tag(&[&s]))).unwrap_or_default();
        let mut octets = [0; 16];
        octets[0] = 0xfd;
        octets[1..].copy_from_slice(&tag[..15]);
        SocketAddr::new(IpAddr::V6(Ipv6Addr::from(octets)), 0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn ip(text: &str) -> ClientIp {
        ClientIp::from(text.parse::<IpAddr>().unwrap())
    }

    fn mac(byte: u8) -> Mac {
        Mac::from_key(&Secret::new([byte; 32]))
    }

    fn hash(address: &ClientIp, recipient: &str, within: &str, key: u8) -> String {
        let (tenant, key) = (Tenant::default(), mac(key));
        let scope = PseudonymScope::new(&tenant, recipient, within.as_bytes(), &key);
        Strategy::KeyedHash.pseudonymize(address, &scope).unwrap().0
    }

    /// IP-02: the same where it shall be the same, another one elsewhere.
    #[test]
    fn ip_02_keyed_per_recipient_scope_and_key() {
        let a = ip("203.0.113.7");
        let base = hash(&a, "desk", "c1", 1);
        assert_eq!(base, hash(&ip("::ffff:203.0.113.7"), "desk", "c1", 1));
        for other in [
            hash(&a, "desk2", "c1", 1),
            hash(&a, "desk", "c2", 1),
            hash(&a, "desk", "c1", 2),
            hash(&ip("203.0.113.8"), "desk", "c1", 1),
            hash(&a, "des", "kc1", 1),
        ] {
            assert_ne!(base, other);
        }
        assert_eq!(base.len(), "ph1.".len() + 22);
    }

    /// IP-02: whoever tries every address of a network without the key, or with a wrong one, finds nothing.
    #[test]
    fn ip_02_a_dictionary_without_the_key_finds_nothing() {
        let target = hash(&ip("203.0.113.7"), "desk", "c1", 1);
        for n in 0..=255u8 {
            let guess = ip(&format!("203.0.113.{n}"));
            assert_ne!(hash(&guess, "desk", "c1", 0), target);
            let unkeyed = sha2::Digest::finalize(sha2::Digest::chain_update(
                <sha2::Sha256 as sha2::Digest>::new(),
                guess.octets().unwrap(),
            ));
            assert!(!target.contains(&BASE64URL_NOPAD.encode(&unkeyed[..16])));
        }
    }

    /// IP-02: without an address there is no pseudonym, rather than one that all unknown visitors share.
    #[test]
    fn ip_02_unknown_fails_closed() {
        let (tenant, key) = (Tenant::default(), mac(1));
        let scope = PseudonymScope::new(&tenant, "desk", b"c1", &key);
        for strategy in [Strategy::Drop, Strategy::KeyedHash, Strategy::Truncate, Strategy::TruncateCoarse] {
            assert_eq!(strategy.pseudonymize(&ClientIp::unknown(), &scope), None);
        }
        assert_eq!(Strategy::Drop.pseudonymize(&ip("203.0.113.7"), &scope), None);
    }

    /// HMAC-SHA256 over the 16-byte form; values from Python's hmac, as published with the project's facts.
    #[test]
    fn ip_02_the_mac_is_hmac_sha256() {
        let key = Mac::from_key(&Secret::new(std::array::from_fn(|i| u8::try_from(i).unwrap())));
        for (address, expected) in [
            ("192.0.2.1", "5b94ca9bb52de8b1ddec78c3089e2582"),
            ("255.255.255.255", "787b5806bddd417c0528542571af05c4"),
            ("2001:db8::1", "df134d4f4e188c9f97906d62fb0fc7f4"),
        ] {
            let tag = key.tag(&[ip(address).octets().unwrap()]);
            assert_eq!(data_encoding::HEXLOWER.encode(&tag), expected, "{address}");
        }
    }

    /// IP-05: values of the published truncation table.
    #[test]
    fn ip_05_truncation() {
        for (address, fine, coarse) in [
            ("0.0.0.255", "0.0.0.0", "0.0.0.0"),
            ("192.0.2.254", "192.0.2.0", "192.0.0.0"),
            ("203.0.113.77", "203.0.113.0", "203.0.0.0"),
            ("::ffff:192.0.2.77", "192.0.2.0", "192.0.0.0"),
            ("2001:db8:85a3:8d3:1319:8a2e:370:7348", "2001:db8:85a3::", "2001:db8:85a3::"),
            ("2001:db8:1:2::3", "2001:db8:1::", "2001:db8:1::"),
            ("fe80::1", "fe80::", "fe80::"),
            ("::1", "::", "::"),
            ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff::", "ffff:ffff:ffff::"),
        ] {
            assert_eq!(truncate(&ip(address), 24).unwrap().to_string(), fine);
            assert_eq!(truncate(&ip(address), 16).unwrap().to_string(), coarse);
        }
    }

    fn epoch(days: &[(i64, u8)]) -> EpochKeys {
        EpochKeys::new(
            &days.iter().map(|(d, b)| (Day::from_number(*d), Secret::new([*b; 32]))).collect::<Vec<_>>(),
        )
    }

    #[test]
    fn hidden_peers_are_unique_local_apart_and_of_the_day() {
        let keys = epoch(&[(1, 1), (2, 2)]);
        let hide = |text: &str, day| PeerHider::hide(&ip(text), Day::from_number(day), &keys);
        let many: BTreeSet<_> = (0..=255).map(|n| hide(&format!("203.0.113.{n}"), 1).to_string()).collect();
        assert_eq!(many.len(), 256);
        assert!(many.iter().all(|a| a.starts_with("[fd") && a.ends_with("]:0")));
        assert_eq!(hide("2001:db8::1", 1), hide("2001:db8::2", 1), "one /64, one visitor");
        assert_ne!(hide("203.0.113.1", 1), hide("203.0.113.1", 2));
        assert_eq!(
            PeerHider::hide(&ClientIp::unknown(), Day::from_number(1), &keys).to_string(),
            "[fd00::]:0"
        );
    }

    /// IP-08: a key that is forgotten cannot be made again.
    #[test]
    fn ip_08_yesterdays_pseudonyms_cannot_be_recomputed() {
        let keys = epoch(&[(1, 1)]);
        let a = ip("203.0.113.7");
        let before = PeerHider::hide(&a, Day::from_number(1), &keys);
        keys.replace(&[(Day::from_number(2), Secret::new([2; 32]))]);
        assert_ne!(PeerHider::hide(&a, Day::from_number(1), &keys), before);
        // Without anybody to load a key the process draws its own and stays with it for the day.
        let alone = epoch(&[]);
        let once = PeerHider::hide(&a, Day::from_number(5), &alone);
        assert_eq!(once, PeerHider::hide(&a, Day::from_number(5), &alone));
    }
}
