//! Audio: packets from agents, and from somebody who wants to be taken for one, to the simulated relay and through it.
//! Not here: what a packet may do (`law::media`), and the flows themselves (`relay`).

use super::chance::Lot;
use super::law::Verdict;
use super::plan::Faults;
use super::world::{Happening, World};
use crate::id::FlowId;
use crate::media::{self, header::Rtp};
use crate::switch::Input;
use crate::time::Duration;
use std::net::SocketAddr;

/// Somebody who sprays packets at ports that are not his.
const ATTACKER: &str = "203.0.113.66:4000";

/// A packet on its way to the relay.
#[derive(Clone, Copy)]
pub(super) struct Packet {
    port: u16,
    source: SocketAddr,
    sequence: u16,
    payload_type: u8,
}

impl World<'_> {
    /// Some packets of audio, and perhaps somebody who wants to be taken for the sender.
    pub(super) fn talk(&mut self, agent: usize, packets: u8) {
        let (id, node) = (self.agents[agent].id, usize::from(self.agents[agent].node));
        let Some((port, payload_type, event)) = self.agents[agent].audio else { return };
        let (source, link) = (self.agents[agent].media(), Lot::of(self.plan.seed, [id.into(), 0x22]));
        // Somebody who knows the port tries to be learned before the side itself speaks.
        let forged = if link.percent(999, 30) { 3 } else { 0 };
        for number in 0..forged {
            let source = ATTACKER.parse().expect("an address");
            let packet = Packet { port, source, sequence: number, payload_type };
            self.at(
                self.now + Duration::from_micros(number.into()),
                Happening::Packet { node, packet: Box::new(packet) },
            );
        }
        for number in 0..u16::from(packets) {
            let which = u64::from(number) * 4;
            let late = Duration::from_micros(u64::from(number) * 20_000 + u64::from(link.below(which, 30_000)));
            let lost = self.plan.faults.has(Faults::LOSS) && link.percent(which + 1, 10);
            let twice = self.plan.faults.has(Faults::DUPLICATION) && link.percent(which + 2, 10);
            let payload_type = if number % 3 == 2 { event } else { payload_type };
            let packet = Packet { port, source, sequence: number, payload_type };
            for _ in 0..usize::from(!lost) + usize::from(twice) {
                self.at(self.now + late, Happening::Packet { node, packet: Box::new(packet) });
            }
            if link.percent(which + 3, 20) {
                let packet = Packet { source: ATTACKER.parse().expect("an address"), ..packet };
                self.at(self.now + late, Happening::Packet { node, packet: Box::new(packet) });
            }
        }
    }

    /// A packet reaches a port of the relay's.
    pub(super) fn carry(&mut self, node: usize, packet: Packet) -> Verdict {
        let Packet { port, source, sequence, payload_type } = packet;
        if self.nodes[node].is_gone {
            return Ok(());
        }
        let ssrc = u32::from(source.port());
        let rtp = Rtp { payload_type, sequence, timestamp: 160 * u32::from(sequence), ssrc, marker: false };
        let mut packet = [0; 16];
        let length = rtp.write(b"talk", &mut packet).unwrap_or(0);
        let received = media::Packet::new(&mut packet, length);
        let Some((flow, side, to)) = self.nodes[node].relay.receive(self.now, port, source, received) else {
            return Ok(());
        };
        if let Some(to) = to {
            let there = packet[1] & 0x7f;
            self.nodes[node].media.renumbered(flow, side, payload_type, there)?;
            self.check_forwarded(node, flow, side, (source, to))?;
        } else {
            self.nodes[node].media.heard(flow, side, source);
        }
        self.look_at_flow(node, flow);
        Ok(())
    }

    /// Passes on what a flow has to say, and comes back when it may have more.
    pub(super) fn look_at_flow(&mut self, node: usize, flow: FlowId) {
        let now = self.now;
        if self.nodes[node].relay.poll_timeout(flow).is_some_and(|due| due <= now) {
            self.nodes[node].relay.handle_timeout(now, flow);
        }
        while let Some(event) = self.nodes[node].relay.poll_event(flow) {
            let delay = self.nodes[node].relay.delay(&self.plan, flow);
            self.at(now + delay, Happening::Relay { node, event: Box::new(event) });
        }
        if let Some(due) = self.nodes[node].relay.poll_timeout(flow) {
            self.at(due.max(now + Duration::from_millis(1)), Happening::Flow { node, flow });
        }
    }

    pub(super) fn hear_relay(&mut self, node: usize, event: media::Event) -> Verdict {
        if let media::Event::Failed { flow, reason: "fault in the relay" } = event
            && !self.nodes[node].relay.break_down(flow)
        {
            return Ok(());
        }
        self.input(node, Input::Media(event))
    }
}
