//! The simulated relay: the core's own flows, without sockets. It answers as the daemon's does, or, where the plan says so, late, with a
//! failure, or not at all.
//! Not here: threads and ports of the real one (`relay` of the shell), and what may be forwarded (`law`).

use super::chance::Lot;
use super::office;
use super::plan::{Faults, Plan};
use crate::id::{FlowId, Side};
use crate::media::{Closed, Command, Event, Flow, Line, Outcome, Packet, Ports, Stream};
use crate::time::{Duration, Instant};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// A node's relay.
pub(super) struct Relay {
    node: u8,
    flows: BTreeMap<FlowId, Open>,
    by_port: BTreeMap<u16, (FlowId, Side)>,
    /// The agent whose callback each flow was opened for: what becomes of a flow depends on that, and not on what else happens.
    agents: BTreeMap<FlowId, u32>,
    opened: u64,
}

/// An open flow.
pub(super) struct Open {
    flow: Flow,
    ports: [u16; 2],
    pub(super) tally: [Tally; 2],
}

/// What came to one leg's port, as counted from outside.
#[derive(Clone, Copy, Default)]
pub(super) struct Tally {
    pub(super) arrived: u64,
    pub(super) forwarded: u64,
}

/// The relay's word on its way to the switch.
pub(super) struct Word {
    pub(super) at: Instant,
    pub(super) event: Event,
}

impl Relay {
    pub(super) fn new(node: u8) -> Relay {
        Relay { node, flows: BTreeMap::new(), by_port: BTreeMap::new(), agents: BTreeMap::new(), opened: 0 }
    }

    /// Whether it holds nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.flows.is_empty() && self.by_port.is_empty()
    }

    /// Notes for whose callback a flow is going to be opened.
    pub(super) fn note(&mut self, flow: FlowId, agent: u32) {
        self.agents.insert(flow, agent);
    }

    /// For whose callback a flow was opened.
    pub(super) fn agent(&self, flow: FlowId) -> Option<u32> {
        self.agents.get(&flow).copied()
    }

    fn lot(&self, plan: &Plan, flow: FlowId) -> Lot {
        Lot::of(plan.seed, [self.agent(flow).unwrap_or(0).into(), 0x77])
    }

    /// How long its words take to the switch: sometimes long enough for much to happen meanwhile.
    pub(super) fn delay(&self, plan: &Plan, flow: FlowId) -> Duration {
        let slow = plan.faults.has(Faults::BROKEN_RELAY);
        Duration::from_micros(if slow { self.lot(plan, flow).below(9, 60_000).into() } else { 200 })
    }

    /// Carries out a command; what it says to that comes back.
    pub(super) fn command(&mut self, plan: &Plan, now: Instant, command: &Command) -> Vec<Word> {
        let broken = plan.faults.has(Faults::BROKEN_RELAY);
        let soon = now + Duration::from_micros(200);
        match command {
            Command::Open { flow, .. } => {
                let lot = self.lot(plan, *flow);
                let fate = if broken { lot.below(0, 10) } else { 9 };
                if fate == 0 {
                    return vec![Word { at: soon, event: Event::Failed { flow: *flow, reason: "no ports" } }];
                }
                let opened = self.open(*flow);
                let delay = match fate {
                    1 => return Vec::new(),
                    2 => Duration::from_millis(lot.below(1, 4_000).into()),
                    _ => Duration::from_micros(lot.below(1, 3_000).into()),
                };
                let mut words = vec![Word { at: soon + delay, event: opened }];
                if fate == 3 {
                    let at = soon + delay + Duration::from_millis(lot.below(2, 3_000).into());
                    let event = Event::Failed { flow: *flow, reason: "fault in the relay" };
                    words.push(Word { at, event });
                }
                words
            }
            // Ports that nobody sends anything to, or none.
            Command::Add { flow, line, .. } => {
                let fate = if broken { self.lot(plan, *flow).below(10, 4) } else { 3 };
                let at = soon + Duration::from_micros(self.lot(plan, *flow).below(11, 3_000).into());
                let ports = (fate > 0).then(|| self.further());
                let event = Event::Added { flow: *flow, line: *line, ports };
                if fate == 1 { Vec::new() } else { vec![Word { at, event }] }
            }
            Command::Set { stream: Stream { line: Line::Video | Line::Fax, .. }, .. } => Vec::new(),
            Command::Set { flow, side, stream } => {
                if let Some(open) = self.flows.get_mut(flow) {
                    open.flow.set(now, *side, stream.clone());
                }
                Vec::new()
            }
            Command::Record { flow, .. } => {
                if let Some(open) = self.flows.get_mut(flow) {
                    open.flow.record();
                }
                Vec::new()
            }
            Command::Press { flow, side, dialled, duration } => {
                if let Some(open) = self.flows.get_mut(flow) {
                    open.flow.press(now, *side, dialled, *duration);
                }
                Vec::new()
            }
            Command::Clear { flow, side } => {
                if let Some(open) = self.flows.get_mut(flow) {
                    open.flow.clear(now, *side);
                }
                Vec::new()
            }
            Command::Close { flow } => {
                let (report, lot) = (self.remove(now, *flow), self.lot(plan, *flow));
                let fate = if broken { lot.below(3, 10) } else { 9 };
                let event = Event::Closed { flow: *flow, report: Box::new(report) };
                match fate {
                    0 => Vec::new(),
                    1 => vec![Word { at: soon + Duration::from_millis(lot.below(4, 5_000).into()), event }],
                    _ => vec![Word { at: soon, event }],
                }
            }
        }
    }

    /// A flow that broke: it holds nothing any more. Whether it was there.
    pub(super) fn break_down(&mut self, flow: FlowId) -> bool {
        let there = self.flows.contains_key(&flow);
        self.remove(Instant::default(), flow);
        there
    }

    fn open(&mut self, flow: FlowId) -> Event {
        self.opened += 1;
        let first = 30_000 + u16::try_from(self.opened * 4 % 30_000).unwrap_or(0);
        let ports = [first, first + 2];
        for (port, side) in ports.into_iter().zip([Side::Caller, Side::Client]) {
            self.by_port.insert(port, (flow, side));
        }
        self.flows.insert(flow, Open { flow: Flow::new(flow), ports, tally: [Tally::default(); 2] });
        let at = |port| SocketAddr::new(office::address(self.node).ip(), port);
        Event::Opened { flow, caller: at(ports[0]), client: at(ports[1]) }
    }

    fn further(&self) -> Ports {
        let at = |port| SocketAddr::new(office::address(self.node).ip(), port);
        (at(20_000), at(20_002))
    }

    fn remove(&mut self, now: Instant, flow: FlowId) -> Closed {
        let Some(mut open) = self.flows.remove(&flow) else { return Closed::default() };
        open.ports.iter().for_each(|port| _ = self.by_port.remove(port));
        open.flow.end(now)
    }

    /// A packet came to a port. Where it goes, and what signalling is to hear.
    pub(super) fn receive(
        &mut self,
        now: Instant,
        port: u16,
        source: SocketAddr,
        mut packet: Packet<'_>,
    ) -> Option<(FlowId, Side, Option<SocketAddr>)> {
        let (id, side) = *self.by_port.get(&port)?;
        let open = self.flows.get_mut(&id)?;
        let tally = &mut open.tally[side as usize];
        tally.arrived += 1;
        let to = match open.flow.receive(now, side, source, &mut packet) {
            Outcome::Forward { to } => {
                tally.forwarded += 1;
                Some(to)
            }
            // The simulation has no RTCP, and no leg that has it on its RTP port.
            Outcome::Report { .. } | Outcome::Drop(_) => None,
        };
        Some((id, side, to))
    }

    /// What flows have to say, now that something happened or time passed.
    pub(super) fn poll_event(&mut self, flow: FlowId) -> Option<Event> {
        self.flows.get_mut(&flow)?.flow.poll_event()
    }

    /// When a flow wants to be looked at.
    pub(super) fn poll_timeout(&self, flow: FlowId) -> Option<Instant> {
        self.flows.get(&flow)?.flow.poll_timeout()
    }

    pub(super) fn handle_timeout(&mut self, now: Instant, flow: FlowId) {
        if let Some(open) = self.flows.get_mut(&flow) {
            open.flow.handle_timeout(now);
        }
    }

    /// What was counted of a flow, inside and outside.
    pub(super) fn counts(&self, flow: FlowId) -> Option<(Closed, [Tally; 2])> {
        self.flows.get(&flow).map(|open| (open.flow.report(), open.tally))
    }
}
