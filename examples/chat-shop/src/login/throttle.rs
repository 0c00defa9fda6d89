//! Guessing gets slow, for who guesses: each pair of a name and an address waits on its own, so that nobody locks an
//! operator out, and each address waits for all names together.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use privet::Timestamp;
use sha2::{Digest as _, Sha256};

/// So many attempts at one name are free; each one after them waits twice as long as the one before.
const FREE: u32 = 3;
/// So many attempts at any names.
const FREE_OF_ADDRESS: u32 = 20;
/// Nobody waits longer.
const LONGEST: Duration = Duration::from_secs(300);
/// After so long without an attempt, all is forgotten.
const FORGOTTEN: Duration = Duration::from_secs(3_600);
/// So much is remembered.
const ENTRIES: usize = 20_000;

#[derive(Clone, Copy)]
struct Tries {
    count: u32,
    last: Timestamp,
}

/// Names are remembered by their hash: somebody may have typed their password into the wrong field.
type Key = ([u8; 32], IpAddr);

#[derive(Default)]
pub(super) struct Throttle {
    pairs: HashMap<Key, Tries>,
    addresses: HashMap<IpAddr, Tries>,
}

fn key(name: &str, from: IpAddr) -> Key {
    (Sha256::digest(name.as_bytes()).into(), from)
}

impl Tries {
    fn wait(self, free: u32, now: Timestamp) -> Duration {
        let Some(over) = self.count.checked_sub(free) else { return Duration::ZERO };
        let delay = Duration::from_secs(1u64 << over.min(16)).min(LONGEST);
        delay.saturating_sub(now.since(self.last))
    }
}

impl Throttle {
    /// Counts an attempt, or says how long to wait with it; one that has to wait is not counted.
    pub(super) fn attempt(&mut self, name: &str, from: IpAddr, now: Timestamp) -> Result<(), Duration> {
        let key = key(name, from);
        let of_pair = self.pairs.get(&key).map(|t| t.wait(FREE, now)).unwrap_or_default();
        let of_address = self.addresses.get(&from).map(|t| t.wait(FREE_OF_ADDRESS, now)).unwrap_or_default();
        let wait = of_pair.max(of_address);
        if !wait.is_zero() {
            return Err(wait);
        }
        note(&mut self.pairs, key, now);
        note(&mut self.addresses, from, now);
        Ok(())
    }

    /// Forgets the attempts at a name from an address that knows its password.
    pub(super) fn succeeded(&mut self, name: &str, from: IpAddr) {
        self.pairs.remove(&key(name, from));
        if let Some(tries) = self.addresses.get_mut(&from) {
            tries.count = tries.count.saturating_sub(1);
        }
    }
}

fn note<K: Copy + Eq + std::hash::Hash>(all: &mut HashMap<K, Tries>, key: K, now: Timestamp) {
    if all.len() >= ENTRIES && !all.contains_key(&key) {
        all.retain(|_, tries| now.since(tries.last) < FORGOTTEN);
        // Still full: those whose turn is the longest ago make room.
        while all.len() >= ENTRIES {
            let Some(oldest) = all.iter().min_by_key(|(_, t)| t.last).map(|(k, _)| *k) else { break };
            all.remove(&oldest);
        }
    }
    let tries = all.entry(key).or_insert(Tries { count: 0, last: now });
    if now.since(tries.last) >= FORGOTTEN {
        tries.count = 0;
    }
    *tries = Tries { count: tries.count.saturating_add(1), last: tries.last.max(now) };
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 7));
    const THERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 8));

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(1_800_000_000_000) + Duration::from_secs(seconds)
    }

    #[test]
    fn guessing_doubles_the_wait_and_the_owner_comes_in_from_elsewhere() {
        let (mut throttle, mut now) = (Throttle::default(), 0);
        for _ in 0..3 {
            throttle.attempt("ann", HERE, at(now)).unwrap();
        }
        for expected in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300] {
            assert_eq!(throttle.attempt("ann", HERE, at(now)), Err(Duration::from_secs(expected)));
            now += expected;
            throttle.attempt("ann", HERE, at(now)).unwrap();
        }
        throttle.attempt("ann", THERE, at(now)).unwrap();
        throttle.attempt("bob", HERE, at(now)).unwrap();
        assert!(throttle.attempt("ann", HERE, at(now)).is_err());
        throttle.attempt("ann", HERE, at(now + 3_600)).unwrap();
        throttle.attempt("ann", HERE, at(now + 3_600)).unwrap();
    }

    #[test]
    fn a_right_password_ends_the_wait() {
        let mut throttle = Throttle::default();
        for _ in 0..100 {
            throttle.attempt("ann", HERE, at(0)).unwrap();
            throttle.succeeded("ann", HERE);
        }
    }

    #[test]
    fn one_address_at_many_names_waits_too() {
        let mut throttle = Throttle::default();
        for n in 0..20 {
            throttle.attempt(&n.to_string(), HERE, at(0)).unwrap();
        }
        assert_eq!(throttle.attempt("another", HERE, at(0)), Err(Duration::from_secs(1)));
        throttle.attempt("another", THERE, at(0)).unwrap();
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut all = HashMap::new();
        for n in 0..ENTRIES + 100 {
            note(&mut all, n, at(n as u64 / 100));
        }
        assert_eq!(all.len(), ENTRIES);
        assert!(!all.contains_key(&0) && all.contains_key(&(ENTRIES + 99)));
    }
}
