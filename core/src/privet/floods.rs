//! Floods of grants. Each grant is a row that has to be kept for years, and anybody can send one: so there is a bound on
//! how many come from one address, and on how many are under way at once. What takes something away has none: nobody
//! is kept from refusing or withdrawing (GDPR Art. 7(3)).

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::Privet;
use crate::clock::Timestamp;
use crate::consent::Act;
use crate::error::{Error, Result};
use crate::ip::PeerHider;
use crate::visit::Visit;

/// Addresses that are remembered. When there are more, those are forgotten that have used least.
const MAX_HELD: usize = 10_000;
/// Grants on their way into the store at once, in the whole process.
const MAX_UNDER_WAY: usize = 1_024;
/// What one grant takes: a bucket that fills by `n` a second fills by `n` a millisecond in these.
const GRANT: u64 = 1_000;

/// How many grants an address may send.
#[derive(Clone, Copy, Debug)]
pub(super) struct GrantRate {
    pub(super) burst: u32,
    pub(super) per_second: u32,
}

impl Default for GrantRate {
    /// A company or a mobile network behind one address is far below it.
    fn default() -> Self {
        Self { burst: 600, per_second: 10 }
    }
}

impl GrantRate {
    pub(super) fn check(self) -> Result<()> {
        if self.burst == 0 || self.per_second == 0 {
            return Err(Error::config(
                "with `grants_per_address` at nought nobody could agree to anything",
                "set both to 1 at least",
            ));
        }
        Ok(())
    }

    fn full(self) -> u64 {
        u64::from(self.burst) * GRANT
    }
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    left: u64,
    at: Timestamp,
}

impl Bucket {
    fn left(&self, rate: GrantRate, now: Timestamp) -> u64 {
        let passed = u64::try_from(now.since(self.at).as_millis()).unwrap_or(u64::MAX);
        self.left.saturating_add(passed.saturating_mul(rate.per_second.into())).min(rate.full())
    }
}

/// The grants of this process. An address stands in here as what replaces it that day, and in memory only.
#[derive(Debug, Default)]
pub(super) struct Floods {
    rate: GrantRate,
    buckets: Mutex<HashMap<IpAddr, Bucket>>,
    under_way: AtomicUsize,
    told: AtomicBool,
}

/// A grant under way.
#[derive(Debug)]
pub(super) struct UnderWay<'f>(&'f AtomicUsize);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Floods {
    pub(super) fn new(rate: GrantRate) -> Self {
        Self { rate, ..Self::default() }
    }

    fn start(&self) -> Result<UnderWay<'_>, Duration> {
        let under_way = UnderWay(&self.under_way);
        if self.under_way.fetch_add(1, Ordering::Relaxed) < MAX_UNDER_WAY {
            Ok(under_way)
        } else {
            Err(Duration::from_secs(1))
        }
    }

    /// Takes one grant of an address, or says how long it has to wait for the next.
    fn take(&self, address: IpAddr, now: Timestamp) -> Result<(), Duration> {
        let rate = self.rate;
        let mut held = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if held.len() >= MAX_HELD && !held.contains_key(&address) {
            make_room(&mut held, rate, now);
        }
        let bucket = held.entry(address).or_insert(Bucket { left: rate.full(), at: now });
        let left = bucket.left(rate, now);
        *bucket = Bucket { left: left.saturating_sub(GRANT), at: now };
        if left >= GRANT {
            return Ok(());
        }
        bucket.left = left;
        Err(Duration::from_millis((GRANT - left).div_ceil(rate.per_second.into())))
    }
}

/// Forgets the fullest buckets: their addresses are as good as new.
fn make_room(held: &mut HashMap<IpAddr, Bucket>, rate: GrantRate, now: Timestamp) {
    held.retain(|_, bucket| bucket.left(rate, now) < rate.full());
    if held.len() >= MAX_HELD {
        let mut fullest: Vec<_> = held.iter().map(|(ip, b)| (Reverse(b.left(rate, now)), *ip)).collect();
        fullest.select_nth_unstable(MAX_HELD / 10);
        fullest.iter().take(MAX_HELD / 10).for_each(|(_, ip)| {
            held.remove(ip);
        });
    }
}

impl Privet {
    /// Lets an act pass, unless it is a grant of a flood. What it gives is held until the act is recorded.
    pub(super) fn admit(&self, visit: &Visit, act: Act) -> Result<Option<UnderWay<'_>>> {
        if act != Act::Grant {
            return Ok(None);
        }
        let floods = &self.0.floods;
        let now = visit.now();
        let address = visit.with_client(|client| PeerHider::hide(client, now.day(), self.epoch_keys()).ip());
        let admitted = floods.start().and_then(|under_way| floods.take(address, now).map(|()| under_way));
        admitted.map(Some).map_err(|wait| {
            if !floods.told.swap(true, Ordering::Relaxed) {
                tracing::warn!(
                    "grants come faster than `Builder::grants_per_address` lets one address send them, or than the store takes them; some are answered with 429; if all visitors seem to come from one address, name the proxy in front of the app with `Builder::trusted_proxies`; this is said once"
                );
            }
            Error::TooManyGrants { retry_after: Duration::from_secs(wait.as_millis().div_ceil(1_000).try_into().unwrap_or(1)) }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millis(1_800_000_000_000 + ms)
    }

    fn ip(n: u32) -> IpAddr {
        IpAddr::from(n.to_be_bytes())
    }

    #[test]
    fn a_bucket_fills_again() {
        let floods = Floods::new(GrantRate { burst: 3, per_second: 2 });
        let takes = |ms| floods.take(ip(1), at(ms));
        for _ in 0..3 {
            assert_eq!(takes(0), Ok(()));
        }
        assert_eq!(takes(0), Err(Duration::from_millis(500)));
        assert_eq!(takes(499), Err(Duration::from_millis(1)));
        assert_eq!(takes(500), Ok(()));
        assert_eq!(takes(500), Err(Duration::from_millis(500)));
        assert_eq!(floods.take(ip(2), at(500)), Ok(()), "another address");
        // Never more than a burst, however long it was quiet.
        for _ in 0..3 {
            assert_eq!(takes(1_000_000), Ok(()));
        }
        assert!(takes(1_000_000).is_err());
        // A clock that was put back keeps nobody waiting for longer than before.
        assert!(takes(0).is_err());
        assert_eq!(takes(500), Ok(()));
    }

    #[test]
    fn the_map_is_bounded_and_forgets_no_flood() {
        let floods = Floods::new(GrantRate { burst: 5, per_second: 1 });
        let flood = ip(u32::MAX);
        (0..5).for_each(|_| floods.take(flood, at(0)).unwrap());
        for n in 0..3 * u32::try_from(MAX_HELD).unwrap() {
            assert_eq!(floods.take(ip(n), at(0)), Ok(()));
            if n % 1_000 == 0 {
                assert!(floods.buckets.lock().unwrap().len() <= MAX_HELD);
            }
        }
        assert!(floods.take(flood, at(0)).is_err(), "whoever has used most is remembered");
        // What is full again is forgotten first.
        floods.take(ip(0), at(10_000)).unwrap();
        make_room(&mut floods.buckets.lock().unwrap(), floods.rate, at(10_000));
        assert_eq!(floods.buckets.lock().unwrap().len(), 1);
    }

    #[test]
    fn grants_under_way_are_bounded() {
        let floods = Floods::default();
        let mut all: Vec<_> = (0..MAX_UNDER_WAY).map(|_| floods.start().unwrap()).collect();
        assert_eq!(floods.start().unwrap_err(), Duration::from_secs(1));
        assert_eq!(floods.start().unwrap_err(), Duration::from_secs(1));
        all.pop();
        let one = floods.start().unwrap();
        assert!(floods.start().is_err());
        drop((one, all));
        assert_eq!(floods.under_way.load(Ordering::Relaxed), 0);
    }
}
