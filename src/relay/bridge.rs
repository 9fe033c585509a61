//! One line of a flow: what `media::forward` knows of it, and the four sockets that it is carried by, which may carry another one after it.
//! Not here: threads and readiness (`relay::worker`), and any decision about a packet.

use crate::id::{FlowId, Side};
use crate::limits;
use crate::media::srtp::OVERHEAD_MAX;
use crate::media::{
    Closed, Dialled, Event, Flow, Kind, Line, Outcome, Packet, Ports, Sides, Sound, Stream, WarningTerms,
};
use crate::relay::kept::Locals;
use crate::relay::offload::{Lane, Routes};
use crate::relay::poll::Poll;
use crate::relay::recorder::{Inlet, Tap};
use crate::relay::socket::{LegSockets, Opener};
use crate::relay::{delay, icmp};
use crate::time::{Duration, Instant};
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::SystemTime;

/// A datagram's room: with what protecting it adds, and one byte more than may pass, so that what is too long is seen to be.
pub(super) type Buffer = [u8; BUFFER_BYTES];

/// Its length.
pub(super) const BUFFER_BYTES: usize = limits::RTP_BYTES_MAX + OVERHEAD_MAX + 1;

/// Both of a flow's legs.
const SIDES: [Side; 2] = [Side::Caller, Side::Client];

/// One of a flow's four sockets, and how epoll calls it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Port {
    /// The flow's place in its worker.
    pub(super) key: usize,
    pub(super) side: Side,
    pub(super) kind: Kind,
}

impl Port {
    /// All of a flow's sockets.
    pub(super) fn all(key: usize) -> [Port; 4] {
        [(Side::Caller, Kind::Rtp), (Side::Caller, Kind::Rtcp), (Side::Client, Kind::Rtp), (Side::Client, Kind::Rtcp)]
            .map(|(side, kind)| Port { key, side, kind })
    }

    pub(super) fn token(self) -> u64 {
        let side = match self.side {
            Side::Caller => 0,
            Side::Client => 2,
        };
        let kind = match self.kind {
            Kind::Rtp => 0,
            Kind::Rtcp => 1,
        };
        u64::try_from(self.key).unwrap_or(u64::MAX) << 2 | side | kind
    }
}

impl From<u64> for Port {
    fn from(token: u64) -> Port {
        let side = if token & 2 == 0 { Side::Caller } else { Side::Client };
        let kind = if token & 1 == 0 { Kind::Rtp } else { Kind::Rtcp };
        Port { key: usize::try_from(token >> 2).unwrap_or(usize::MAX), side, kind }
    }
}

/// An open line of a flow.
pub(super) struct Bridge {
    pub(super) id: FlowId,
    pub(super) line: Line,
    pub(super) flow: Flow,
    caller: LegSockets,
    client: LegSockets,
    /// For each socket the turn in which it last gave a packet.
    gave: [u64; 4],
    /// When the kernel received the packet at hand, if it was asked to tell and as long as nothing says that the packet was not sent on.
    received: Option<SystemTime>,
    /// Packets that the kernel has forwarded by itself, until somebody asks.
    carried: u64,
    /// Of a call that is recorded.
    tap: Option<Box<Tap>>,
}

impl Bridge {
    /// Opens the line's sockets; the error is for the record.
    pub(super) fn open(
        (id, line): (FlowId, Line),
        (caller, client): Locals,
        opener: &Opener,
    ) -> Result<Bridge, &'static str> {
        let (caller, client) = (opener.open(caller)?, opener.open(client)?);
        let flow = Flow::new(id);
        Ok(Bridge { id, line, flow, caller, client, gave: [0; 4], received: None, carried: 0, tap: None })
    }

    /// The flow is over, its sockets stay. What still comes for it finds a flow that knows nobody, and goes nowhere.
    pub(super) fn rest(&mut self, now: Instant) {
        self.recall(now);
        self.caller.dissolve();
        self.client.dissolve();
        self.flow = Flow::new(self.id);
        self.tap = None;
    }

    /// Lets another flow have the sockets.
    pub(super) fn reopen(&mut self, (id, line): (FlowId, Line)) {
        (self.id, self.line) = (id, line);
        self.flow = Flow::new(id);
    }

    /// Signalling's latest word on one leg: it may be spoken for from elsewhere.
    pub(super) fn set(&mut self, now: Instant, side: Side, stream: Stream) {
        self.recall(now);
        self.leg_mut(side).dissolve();
        self.flow.set(now, side, stream);
    }

    /// Whoever was on a leg is gone.
    pub(super) fn clear(&mut self, now: Instant, side: Side) {
        self.recall(now);
        self.leg_mut(side).dissolve();
        self.flow.clear(now, side);
    }

    /// Keys are to be pressed for a side to hear, among audio that has to come here.
    pub(super) fn press(&mut self, now: Instant, side: Side, dialled: &Dialled, duration: Option<Duration>) {
        self.recall(now);
        self.flow.press(now, side, dialled, duration);
    }

    /// The call is recorded from now on. Once it is, that is said again after it was handed on.
    pub(super) fn record(&mut self, now: Instant, file: Box<str>, sides: Sides, inlet: &Inlet) {
        self.flow.record();
        self.tap.get_or_insert_with(|| Box::new(Tap::begin(inlet, now, file, sides)));
    }

    /// The addresses of its two sides.
    pub(super) fn locals(&self) -> Locals {
        (self.caller.address().ip(), self.client.address().ip())
    }

    /// Has all four watched, until they are closed.
    pub(super) fn watch(&self, poll: &Poll, key: usize) -> io::Result<()> {
        Port::all(key).into_iter().try_for_each(|port| poll.watch(self.socket(port), port.token()))
    }

    /// Its RTP addresses, for the answer to the command that opened it.
    pub(super) fn ports(&self) -> Ports {
        (self.caller.address(), self.client.address())
    }

    /// Notes that a socket gave a packet in this turn; whether it did in the one before, too, as one does that has many.
    #[inline]
    pub(super) fn gives(&mut self, port: Port, turn: u64) -> bool {
        let at = usize::from(port.side == Side::Client) << 1 | usize::from(port.kind == Kind::Rtcp);
        self.gave.get_mut(at).is_some_and(|gave| std::mem::replace(gave, turn) + 1 == turn)
    }

    /// Has the kernel say when it receives the flow's packets. If it does not, nothing is measured.
    pub(super) fn time(&mut self) {
        self.caller.time();
        self.client.time();
    }

    /// The next packet that one socket received, if there is one. An error may come in place of it, once: it is told of elsewhere, too, and
    /// if there is a packet behind it, the socket is told of again.
    #[inline]
    pub(super) fn receive(&mut self, port: Port, buffer: &mut Buffer) -> Option<(usize, SocketAddr)> {
        if port.kind == Kind::Rtp && self.leg(port.side).is_timed() {
            let (length, source, received) = delay::receive(self.socket(port), buffer).ok()?;
            self.received = received;
            return Some((length, source));
        }
        self.socket(port).recv_from(buffer).ok()
    }

    /// When the kernel received the packet that was just sent on, if it was asked to tell.
    #[inline]
    pub(super) fn take_forwarded(&mut self) -> Option<SystemTime> {
        self.received.take()
    }

    /// Takes what the network says of packets that went to a leg.
    #[cold]
    pub(super) fn take_errors(&mut self, port: Port) {
        for _ in 0..limits::ICMP_BATCH_MAX {
            let Some(told) = icmp::next(self.socket(port)) else { return };
            if let Some((complaint, address)) = told {
                self.flow.complain(port.side, complaint, address);
            }
            self.leg_mut(port.side).count_error();
        }
    }

    /// Sends who listens its next packet; whether anybody still does.
    pub(super) fn play(&mut self, now: Instant, sounds: &[Sound], buffer: &mut Buffer) -> bool {
        for side in [Side::Caller, Side::Client] {
            let mut packet = Packet::new(buffer, 0);
            let sound = self.flow.play(now, side, sounds, &mut packet);
            if let Some(to) = sound.or_else(|| self.flow.play_key(now, side, &mut packet)) {
                // What the kernel does not take is lost: the next packet is not late because of it.
                let _ = self.send_rtp(side, packet.bytes(), to);
            }
        }
        self.flow.plays()
    }

    /// Lets time pass for the flow.
    pub(super) fn handle_timeout(&mut self, now: Instant, tell: &impl Fn(Event)) {
        if self.flow.poll_timeout().is_some_and(|due| due <= now) {
            self.flow.handle_timeout(now);
            self.tell(tell);
        }
    }

    /// Looks whether both sides of the call are heard.
    pub(super) fn warn(&mut self, now: Instant, terms: &WarningTerms, tell: &impl Fn(Event)) {
        let locals = [self.caller.address(), self.client.address()];
        if self.line == Line::Audio {
            self.flow.warn(now, terms, locals).for_each(tell);
        }
    }

    /// The flow is over, and so is what the kernel does for it: what was counted in all.
    pub(super) fn close(&mut self, now: Instant) -> Closed {
        self.recall(now);
        let mut report = self.flow.end(now);
        report.caller.local = Some(self.caller.address());
        report.client.local = Some(self.client.address());
        report.recording = self.tap.take().map(|tap| tap.end(now));
        report
    }

    /// Takes over what the kernel has forwarded, and lets it forward what is certain.
    pub(super) fn offload(&mut self, now: Instant, routes: &mut Routes) {
        self.collect(now);
        for side in SIDES {
            if let Some(rule) =
                self.flow.offloadable(side).filter(|_| self.lane(side).is_some_and(|lane| lane.is_free(now)))
            {
                let (here, there) = (self.leg(side).address(), self.leg(side.other()).address());
                let (way, standing) = (routes.between((here, rule.peer), (there, rule.to)), self.flow.standing(side));
                if let Some((lane, way)) = self.leg_mut(side).lane.as_mut().zip(way) {
                    lane.enforce(rule, there, way, standing);
                }
            }
        }
    }

    /// From now on all of its packets come to the sockets.
    pub(super) fn recall(&mut self, now: Instant) {
        for side in SIDES {
            self.leg_mut(side).lane.iter_mut().for_each(|lane| lane.withdraw(now));
        }
        self.collect(now);
    }

    /// Whether the kernel forwards something of it.
    pub(super) fn is_offloaded(&self) -> bool {
        SIDES.into_iter().any(|side| self.lane(side).is_some_and(|lane| lane.rule().is_some()))
    }

    /// Packets that the kernel has forwarded since this was last asked.
    pub(super) fn take_carried(&mut self) -> u64 {
        std::mem::take(&mut self.carried)
    }

    fn collect(&mut self, now: Instant) {
        for side in SIDES {
            if let Some(carried) = self.leg_mut(side).lane.as_mut().and_then(|lane| lane.collect()) {
                self.flow.carried(now, side, &carried);
                self.carried += carried.packets;
            }
        }
    }

    /// A packet came to the socket though a rule is in force. If that is no longer what there is to say, it ends.
    fn review(&mut self, now: Instant, side: Side) {
        let (rule, standing) = (self.flow.offloadable(side), self.flow.standing(side));
        let Some(lane) = &self.leg(side).lane else { return };
        if lane.rule() == rule.as_ref() { lane.follow(standing) } else { self.recall(now) }
    }

    /// Handles a packet, and tells what it has made known.
    #[inline]
    pub(super) fn pass(
        &mut self,
        now: Instant,
        port: Port,
        (source, packet): (SocketAddr, Packet<'_>),
        tell: &impl Fn(Event),
    ) {
        // What the kernel has forwarded came before this one.
        let offloaded = port.kind == Kind::Rtp && self.lane(port.side).is_some_and(|lane| lane.rule().is_some());
        if offloaded {
            self.collect(now);
        }
        self.forward(now, port, source, packet);
        if offloaded {
            self.review(now, port.side);
        }
        if self.leg(port.side).is_open()
            && let Some(peer) = self.flow.settled(port.side)
        {
            self.leg_mut(port.side).connect(peer);
        }
        self.tell(tell);
    }

    #[inline]
    fn forward(&mut self, now: Instant, port: Port, source: SocketAddr, mut packet: Packet<'_>) {
        let outcome = match port.kind {
            Kind::Rtp => self.flow.receive(now, port.side, source, &mut packet),
            Kind::Rtcp => self.flow.receive_rtcp(now, port.side, source, &mut packet),
        };
        if let Some(tap) = &self.tap
            && let Some(heard) = self.flow.take_heard()
        {
            tap.put(heard);
        }
        let packet = packet.bytes();
        // From the other leg's own socket, so that each peer sees one source address for the whole call. What does not fit into the
        // kernel's buffer is dropped: late audio is worth less than none.
        let there = port.side.other();
        match outcome {
            Outcome::Forward { to } => match self.send_rtp(there, packet, to) {
                Ok(_) => return,
                Err(_) => self.flow.unsent(port.side),
            },
            Outcome::Report { to, through } => {
                if self.send_rtcp(there, through, packet, to).is_err() {
                    self.flow.unsent_rtcp(port.side);
                }
            }
            Outcome::Drop(_) => {}
        }
        self.received = None;
    }

    fn send_rtcp(&self, side: Side, through: Kind, packet: &[u8], to: SocketAddr) -> io::Result<usize> {
        match through {
            Kind::Rtp => self.send_rtp(side, packet, to),
            Kind::Rtcp => self.leg(side).rtcp.send_to(packet, to),
        }
    }

    /// Sends to a side. The error of an earlier packet, any that ICMP can tell of, comes in place of this one, which is then sent again.
    #[inline]
    fn send_rtp(&self, side: Side, packet: &[u8], to: SocketAddr) -> io::Result<usize> {
        match self.leg(side).send_rtp(packet, to) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => self.leg(side).send_rtp(packet, to),
            sent => sent,
        }
    }

    /// What is said of a leg is said of its audio: the other lines have nothing to tell but that a fax is over.
    #[inline]
    fn tell(&mut self, tell: &impl Fn(Event)) {
        while let Some(event) = self.flow.poll_event() {
            if self.line == Line::Audio || matches!(event, Event::Silent { .. }) {
                tell(event);
            }
        }
    }

    fn socket(&self, port: Port) -> &UdpSocket {
        let leg = self.leg(port.side);
        match port.kind {
            Kind::Rtp => &leg.rtp,
            Kind::Rtcp => &leg.rtcp,
        }
    }

    fn lane(&self, side: Side) -> Option<&Lane> {
        self.leg(side).lane.as_deref()
    }

    fn leg(&self, side: Side) -> &LegSockets {
        match side {
            Side::Caller => &self.caller,
            Side::Client => &self.client,
        }
    }

    fn leg_mut(&mut self, side: Side) -> &mut LegSockets {
        match side {
            Side::Caller => &mut self.caller,
            Side::Client => &mut self.client,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Beside it a call has four sockets, and its half in the switch; the bench `media` has the whole.
    #[test]
    fn what_the_relay_keeps_of_a_call_stays_small() {
        let sizes = [size_of::<Flow>(), size_of::<LegSockets>(), size_of::<Bridge>()];
        assert!(sizes.iter().zip(SIZES_MAX).all(|(size, max)| *size <= max), "{sizes:?}, not {SIZES_MAX:?}");
    }

    /// Of a flow, of a leg's sockets, and of both together, bytes.
    const SIZES_MAX: [usize; 3] = [2_960, 96, 3_232];

    #[test]
    fn a_port_is_told_apart_by_its_token() {
        let ports = Port::all(77);
        for (index, port) in (0..).zip(&ports) {
            assert_eq!(Port::from(port.token()), *port);
            assert_eq!((port.key, port.token()), (77, 77 << 2 | index));
        }
    }
}
