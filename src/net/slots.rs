//! Room for so many, in all and for each address: a slot is taken before anything is spent on a client, and given back by dropping it.
//! Not here: what a client hears when there is none.

use dashmap::DashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Notify;

/// The slots of one kind of client.
pub struct Slots {
    total_max: usize,
    per_source_max: usize,
    total: AtomicUsize,
    by_source: DashMap<IpAddr, usize>,
    /// Wakes who waits for the last slot to come back.
    emptied: Notify,
}

/// One client's place.
pub struct Slot {
    slots: Arc<Slots>,
    source: IpAddr,
}

impl Slots {
    /// So many in all and so many for one source.
    pub fn new(total_max: usize, per_source_max: usize) -> Arc<Slots> {
        Arc::new(Slots {
            total_max,
            per_source_max,
            total: AtomicUsize::new(0),
            by_source: DashMap::new(),
            emptied: Notify::new(),
        })
    }

    /// A slot for this address, if there is one.
    pub fn take(self: &Arc<Self>, address: IpAddr) -> Option<Slot> {
        let source = source(address);
        let mut taken = self.by_source.entry(source).or_insert(0);
        let room = |total: usize| (total < self.total_max).then_some(total + 1);
        let fits =
            *taken < self.per_source_max && self.total.fetch_update(Ordering::SeqCst, Ordering::SeqCst, room).is_ok();
        *taken += usize::from(fits);
        let unused = *taken == 0;
        drop(taken);
        if unused {
            self.by_source.remove_if(&source, |_, taken| *taken == 0);
        }
        fits.then(|| Slot { slots: Arc::clone(self), source })
    }

    /// Returns when no slot is taken.
    pub async fn empty(&self) {
        while self.total.load(Ordering::SeqCst) > 0 {
            self.emptied.notified().await;
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(mut taken) = self.slots.by_source.get_mut(&self.source) {
            *taken = taken.saturating_sub(1);
        }
        self.slots.by_source.remove_if(&self.source, |_, taken| *taken == 0);
        if self.slots.total.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.slots.emptied.notify_one();
        }
    }
}

/// What counts as one address: IPv4 also where it is mapped into IPv6, and of IPv6 the /64 that one subscriber line has for itself.
fn source(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_source_gets_its_share_and_no_more_until_it_gives_back() {
        let slots = Slots::new(10, 2);
        let held = (slots.take(ip("10.0.0.1")), slots.take(ip("::ffff:10.0.0.1")));
        assert!(held.0.is_some() && held.1.is_some());
        assert!(slots.take(ip("10.0.0.1")).is_none());
        assert!(slots.take(ip("10.0.0.2")).is_some());
        drop(held);
        assert!(slots.take(ip("10.0.0.1")).is_some());
        assert_eq!((slots.by_source.len(), slots.total.load(Ordering::SeqCst)), (0, 0));
    }

    #[test]
    fn all_together_get_no_more_than_the_total() {
        let slots = Slots::new(2, 2);
        let held = (slots.take(ip("10.0.0.1")), slots.take(ip("10.0.0.2")));
        assert!(slots.take(ip("10.0.0.3")).is_none());
        assert_eq!(slots.by_source.len(), 2, "a refused source leaves nothing behind");
        drop(held);
    }

    #[test]
    fn one_ipv6_line_is_one_source() {
        let slots = Slots::new(10, 1);
        let _held = slots.take(ip("2001:db8::1"));
        assert!(slots.take(ip("2001:db8::2")).is_none());
        assert!(slots.take(ip("2001:db8:0:1::1")).is_some());
    }
}
