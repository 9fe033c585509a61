//! One leg's rule: whether it is in force, and what was forwarded by it. A leg has its port alone, so its rule has one writer.
//! Not here: what the rule is (`media::forward`), and the memory (`table`).

use super::routes::Way;
use super::table::{Slot, Table};
use crate::limits;
use crate::media::{Carried, Rule, Standing};
use crate::time::Instant;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A rule that is in force, but takes nothing up before the packet that follows the last one of the socket's.
const WAITING: u32 = 1;

/// A leg's place in the table. Dropping it ends its rule.
pub(in crate::relay) struct Lane {
    table: Arc<Table>,
    index: usize,
    rule: Option<Rule>,
    /// What had been counted when it was last asked.
    packets: u64,
    octets: u64,
    /// The highest sequence number that it said then.
    sequence: u32,
    /// When the last rule ended: a run of the program that had begun by then may still read it.
    ended: Option<Instant>,
}

impl Lane {
    pub(super) fn new(table: &Arc<Table>, local: SocketAddr) -> Option<Lane> {
        let index = table.index(local)?;
        Some(Lane { table: Arc::clone(table), index, rule: None, packets: 0, octets: 0, sequence: 0, ended: None })
    }

    /// The rule that is in force.
    pub(in crate::relay) fn rule(&self) -> Option<&Rule> {
        self.rule.as_ref()
    }

    /// Whether a rule may be written: no run of the program lasts as long as a tick.
    pub(in crate::relay) fn is_free(&self, now: Instant) -> bool {
        self.rule.is_none() && self.ended.is_none_or(|ended| ended + limits::RELAY_TICK <= now)
    }

    /// Puts a rule into force, by which packets leave from `source` on that way.
    pub(in crate::relay) fn enforce(&mut self, rule: Rule, source: SocketAddr, way: Way, standing: Standing) {
        let Some(slot) = self.table.slot(self.index) else { return };
        let to = rule.to.ip().to_canonical();
        let (interface, next_hop) = match way {
            Way::Here => (0, to),
            Way::Through { interface, gateway } => (interface, gateway.unwrap_or(to)),
        };
        for (place, address) in [
            (&slot.peer, rule.peer.ip()),
            (&slot.source, source.ip()),
            (&slot.destination, to),
            (&slot.next_hop, next_hop),
        ] {
            place.store(address.to_canonical());
        }
        let numbers = [
            (&slot.interface, interface),
            (&slot.ssrc, rule.ssrc.to_be()),
            (&slot.clock_rate, 0),
            (&slot.sequence, u32::from(standing.sequence)),
        ];
        numbers.into_iter().for_each(|(place, number)| place.store(number, Ordering::Relaxed));
        for (place, port) in [
            (&slot.peer_port, rule.peer.port()),
            (&slot.source_port, source.port()),
            (&slot.destination_port, rule.to.port()),
        ] {
            place.store(port.to_be(), Ordering::Relaxed);
        }
        slot.version.store(if to.is_ipv4() { 4 } else { 6 }, Ordering::Relaxed);
        slot.jitter.store(standing.jitter, Ordering::Relaxed);
        write_types(slot, &rule);
        self.sequence = standing.sequence.into();
        self.packets = slot.packets.load(Ordering::Relaxed);
        self.octets = slot.octets.load(Ordering::Relaxed);
        slot.live.store(WAITING, Ordering::SeqCst);
        self.rule = Some(rule);
    }

    /// Ends the rule: what comes from now on comes to the socket.
    pub(in crate::relay) fn withdraw(&mut self, now: Instant) {
        if self.rule.take().is_some() {
            self.end();
            self.ended = Some(now);
        }
    }

    /// What was forwarded since it was last asked.
    pub(in crate::relay) fn collect(&mut self) -> Option<Carried> {
        let slot = self.table.slot(self.index)?;
        let (packets, octets) = (slot.packets.load(Ordering::Acquire), slot.octets.load(Ordering::Relaxed));
        self.sequence = slot.sequence.load(Ordering::Relaxed);
        let carried = Carried {
            packets: packets.wrapping_sub(std::mem::replace(&mut self.packets, packets)),
            octets: octets.wrapping_sub(std::mem::replace(&mut self.octets, octets)),
            standing: Standing {
                sequence: u16::try_from(self.sequence).unwrap_or(0),
                jitter: slot.jitter.load(Ordering::Relaxed),
            },
        };
        (carried.packets > 0).then_some(carried)
    }

    /// The socket has sent on a packet of this leg: what follows on that overtakes nothing. Not if the kernel has come further meanwhile, which
    /// is not to be forgotten.
    pub(in crate::relay) fn follow(&self, standing: Standing) {
        if let Some(slot) = self.table.slot(self.index) {
            let next = u32::from(standing.sequence);
            let _ = slot.sequence.compare_exchange(self.sequence, next, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    fn end(&self) {
        if let Some(slot) = self.table.slot(self.index) {
            slot.live.store(0, Ordering::SeqCst);
        }
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.end();
    }
}

fn write_types(slot: &Slot, rule: &Rule) {
    let known = rule.payload_types.iter().map(|mapping| (mapping.clock_rate, [mapping.here, mapping.there]));
    for (place, (clock_rate, numbers)) in slot.types.iter().zip(known.chain(std::iter::repeat((0, [0; 2])))) {
        place.numbers.store(u16::from_ne_bytes(numbers), Ordering::Relaxed);
        place.clock_rate.store(clock_rate, Ordering::Relaxed);
    }
}
