//! Which pairs of ports are free, taken or at rest, on each of the relay's addresses. A pair is an even RTP port and the odd RTCP
//! port above it (RFC 3550 §11), chosen at random so that a sprayer cannot know it (RELIABILITY A1); whoever takes one holds a
//! `Lease` that gives it back when dropped (A6). Not here: binding them (`relay::socket`).

use crate::limits;
use crate::relay::clock::Clock;
use crate::rng::Rng;
use crate::time::{Duration, Instant};
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// All workers' ports. The lock is taken when a flow opens and closes, never for a packet.
pub(super) struct Ports {
    pools: Mutex<Pools>,
    clock: Clock,
}

struct Pools {
    rng: Rng,
    by_address: BTreeMap<IpAddr, Pool>,
}

/// One address's pairs, each named by its RTP port.
#[derive(Default)]
struct Pool {
    free: Vec<u16>,
    /// With the time at which they were given back, in that order.
    resting: VecDeque<(Instant, u16)>,
    taken: usize,
}

/// How many pairs are taken, at rest and free.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct PairCounts {
    pub(super) taken: usize,
    pub(super) resting: usize,
    pub(super) free: usize,
}

/// A pair that nobody else has; back to rest when dropped.
pub(super) struct Lease {
    ports: Arc<Ports>,
    address: IpAddr,
    port: u16,
}

impl Ports {
    /// Each address gets all pairs that fit into the range.
    pub(super) fn new(addresses: &[IpAddr], range: RangeInclusive<u16>, seed: [u8; 32], clock: Clock) -> Ports {
        let pairs: Vec<u16> = pairs(range).collect();
        let pool = |&address: &IpAddr| (address, Pool { free: pairs.clone(), ..Pool::default() });
        let by_address = addresses.iter().map(pool).collect();
        Ports { pools: Mutex::new(Pools { rng: Rng::from_seed(seed), by_address }), clock }
    }

    /// Whether legs may be given ports on this address.
    pub(super) fn has(&self, address: IpAddr) -> bool {
        self.lock().by_address.contains_key(&address)
    }

    /// Whether so many pairs are free that others may be held back: half of them, on each of these addresses.
    pub(super) fn are_plenty(&self, addresses: [IpAddr; 2]) -> bool {
        let pools = self.lock();
        addresses.iter().all(|address| {
            pools.by_address.get(address).is_some_and(|pool| pool.free.len() >= pool.taken + pool.resting.len())
        })
    }

    /// A generator of its own for one of those that hold pairs back.
    pub(super) fn rng(&self) -> Rng {
        let mut seed = [0; 32];
        self.lock().rng.fill(&mut seed);
        Rng::from_seed(seed)
    }

    /// A free pair, any of them as likely as any other; where there is none, the one that has rested longest; `None` if there is none
    /// that has rested at all.
    pub(super) fn take(self: &Arc<Ports>, address: IpAddr) -> Option<Lease> {
        let now = self.clock.now();
        let Pools { rng, by_address } = &mut *self.lock();
        let port = by_address.get_mut(&address)?.take(now, rng)?;
        Some(Lease { ports: Arc::clone(self), address, port })
    }

    pub(super) fn counts(&self) -> PairCounts {
        let now = self.clock.now();
        self.lock().by_address.values_mut().fold(PairCounts::default(), |sum, pool| {
            pool.wake(now, limits::PORT_REST);
            PairCounts {
                taken: sum.taken + pool.taken,
                resting: sum.resting + pool.resting.len(),
                free: sum.free + pool.free.len(),
            }
        })
    }

    /// A panic elsewhere leaves the pools whole: each change of them is one step.
    fn lock(&self) -> MutexGuard<'_, Pools> {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pool {
    fn take(&mut self, now: Instant, rng: &mut Rng) -> Option<u16> {
        self.wake(now, limits::PORT_REST);
        if self.free.is_empty() {
            self.wake(now, limits::PORT_REST_MIN);
        }
        let count = u32::try_from(self.free.len()).ok().filter(|&count| count > 0)?;
        let chosen = usize::try_from(rng.below(count)).ok()?;
        self.taken += 1;
        Some(self.free.swap_remove(chosen))
    }

    fn give(&mut self, now: Instant, port: u16) {
        self.taken = self.taken.saturating_sub(1);
        self.resting.push_back((now, port));
    }

    /// Frees those that have rested so long.
    fn wake(&mut self, now: Instant, rest: Duration) {
        while self.resting.front().is_some_and(|(since, _)| *since + rest <= now) {
            self.free.extend(self.resting.pop_front().map(|(_, port)| port));
        }
    }
}

impl Lease {
    /// Where RTP is to be received.
    pub(super) fn rtp(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.port)
    }

    /// Where RTCP is to be received: the port above.
    pub(super) fn rtcp(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.port | 1)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let now = self.ports.clock.now();
        if let Some(pool) = self.ports.lock().by_address.get_mut(&self.address) {
            pool.give(now, self.port);
        }
    }
}

/// The even ports of a range whose odd neighbours are in it too.
pub(super) fn pairs(range: RangeInclusive<u16>) -> impl Iterator<Item = u16> {
    let last = *range.end();
    range.filter(move |port| port % 2 == 0 && *port < last && *port > 0)
}

/// The kernel's range for ports it chooses itself, if it overlaps `port_min..=port_max`: then some pairs will at times be
/// taken by other sockets of this machine. For the configuration check; `None` also where the kernel does not say.
pub fn overlaps_ephemeral_range(port_min: u16, port_max: u16) -> Option<RangeInclusive<u16>> {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?;
    overlap(&text, port_min, port_max)
}

fn overlap(text: &str, port_min: u16, port_max: u16) -> Option<RangeInclusive<u16>> {
    let mut words = text.split_ascii_whitespace();
    let (low, high): (u16, u16) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    (low <= port_max && port_min <= high).then_some(low..=high)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn ports(range: RangeInclusive<u16>) -> Arc<Ports> {
        Arc::new(Ports::new(&[HERE], range, [1; 32], Clock::start()))
    }

    #[test]
    fn a_pair_is_even_and_odd_and_within_the_range() {
        for (range, expect) in [
            (30_000..=30_003, vec![30_000, 30_002]),
            (30_001..=30_004, vec![30_002]),
            (30_000..=30_000, vec![]),
            (65_532..=65_535, vec![65_532, 65_534]),
            (0..=3, vec![2]),
        ] {
            assert_eq!(pairs(range.clone()).collect::<Vec<_>>(), expect, "{range:?}");
        }
    }

    #[test]
    fn no_pair_is_taken_twice_and_all_come_back() {
        let ports = ports(30_000..=30_019);
        let leases: Vec<Lease> = std::iter::from_fn(|| ports.take(HERE)).collect();
        let mut taken: Vec<u16> = leases.iter().map(|lease| lease.rtp().port()).collect();
        assert!(!taken.is_sorted(), "the choice is random");
        taken.sort_unstable();
        assert_eq!(taken, (30_000..=30_018).step_by(2).collect::<Vec<u16>>());
        assert!(leases.iter().all(|lease| lease.rtcp().port() == lease.rtp().port() + 1));
        assert_eq!(ports.counts(), PairCounts { taken: 10, resting: 0, free: 0 });
        drop(leases);
        assert_eq!(ports.counts(), PairCounts { taken: 0, resting: 10, free: 0 });
        assert!(ports.take(HERE).is_none(), "all are at rest");
        assert!(ports.take(IpAddr::from([192, 0, 2, 1])).is_none(), "not our address");
    }

    #[test]
    fn pairs_are_plenty_while_half_are_free() {
        let ports = ports(30_000..=30_007);
        let elsewhere = IpAddr::from([192, 0, 2, 1]);
        let mut leases = Vec::new();
        for (taken, plenty) in [(0, true), (1, true), (2, true), (3, false)] {
            while leases.len() < taken {
                leases.extend(ports.take(HERE));
            }
            assert_eq!(ports.are_plenty([HERE, HERE]), plenty, "{taken} of 4");
        }
        drop(leases);
        assert!(!ports.are_plenty([HERE, HERE]), "three are at rest");
        assert!(!ports.are_plenty([HERE, elsewhere]), "not our address");
    }

    #[test]
    fn a_freed_pair_rests_as_long_as_there_are_others() {
        let mut pool = Pool { free: vec![30_000, 30_002], ..Pool::default() };
        let mut rng = Rng::from_seed([1; 32]);
        let [first, other] = [(); 2].map(|()| pool.take(Instant(0), &mut rng).unwrap());
        pool.give(Instant(0), first);
        pool.give(Instant(0) + limits::PORT_REST_MIN, other);
        let (little, enough) = (Instant(0) + limits::PORT_REST_MIN, Instant(0) + limits::PORT_REST);
        assert_eq!(pool.take(Instant(little.0 - 1), &mut rng), None);
        assert_eq!(pool.take(little, &mut rng), Some(first), "the longest at rest, and no other");
        assert_eq!(pool.take(little, &mut rng), None);
        pool.give(little, first);
        pool.free.push(30_004);
        assert_eq!(pool.take(Instant(enough.0 - 1), &mut rng), Some(30_004), "nobody's rest is cut short without need");
        assert_eq!(pool.take(enough + limits::PORT_REST_MIN, &mut rng).map(|port| port == 30_004), Some(false));
    }

    #[test]
    fn an_overlap_with_the_ephemeral_range_is_seen() {
        for (text, min, max, expect) in [
            ("32768\t60999\n", 30_000, 31_999, None),
            ("32768\t60999\n", 30_000, 32_768, Some(32_768..=60_999)),
            ("32768\t60999\n", 60_999, 65_000, Some(32_768..=60_999)),
            ("32768\t60999\n", 61_000, 65_000, None),
            ("1024 65535", 30_000, 31_999, Some(1_024..=65_535)),
            ("nonsense", 30_000, 31_999, None),
        ] {
            assert_eq!(overlap(text, min, max), expect, "{text} {min} {max}");
        }
    }
}
