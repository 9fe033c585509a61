//! Where one packet goes: one line of a bridged call's two legs, what each may receive and send, and what is counted on the way. Of a fax the
//! packets are UDPTL, and all that is said of RTP's addresses goes for them.
//! Not here: sockets and clocks (`relay`), codecs, and rewriting anything but the payload type and an event's duration (`rescale`): sequence
//! numbers, timestamps and SSRCs cross unchanged, SRTP is taken off and put on by each leg's keys. RFC 3550 §5.1, §6; RFC 3264 §5.1 (payload types differ by direction); RFC 5761 (RTCP on the RTP port); RELIABILITY A1, A20, M1, I9.

use crate::id::{FlowId, Side};
use crate::media::command::{Closed, Event, Stream};
use crate::media::diagnosis;
use crate::media::dtmf::{Dialled, Digit};
use crate::media::header::{self, Rtp};
use crate::media::leg::{Change, Leg, Notice};
use crate::media::offload::{Carried, Rule, Standing};
use crate::media::packet::Packet;
use crate::media::recording::{Heard, Tape};
use crate::media::security;
use crate::media::sound::Sound;
use crate::media::watch::{Unheard, Warning, WarningTerms, Watch};
use crate::mutant::{Mutant, planted};
use crate::time::{Duration, Instant};
use std::net::SocketAddr;

/// One line of a bridged call. Drain [`Flow::poll_event`] after each call of a method that takes `now`.
#[derive(Debug)]
pub struct Flow {
    id: FlowId,
    caller: Leg,
    client: Leg,
    /// Of a call that is recorded.
    tape: Option<Box<Tape>>,
    /// Of a call in which something was wrong while it went on.
    watch: Option<Box<Watch>>,
}

/// What is to be done with a packet that arrived.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Send the RTP packet, which was patched in place, to `to` from the *other* leg's RTP port.
    Forward {
        /// The other leg's validated address (or, within the start burst, a trusted leg's SDP address).
        to: SocketAddr,
    },
    /// Send the RTCP packet to `to` from one of the *other* leg's ports.
    Report {
        /// An address of the other leg's from which it was heard.
        to: SocketAddr,
        /// Which port.
        through: Kind,
    },
    /// Forget the packet; it is counted.
    Drop(Reason),
}

/// One of a leg's two ports of ours: the even or the odd one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// For RTP, and for RTCP where the leg has both on one port.
    Rtp,
    /// For RTCP.
    Rtcp,
}

/// Why a packet is not sent on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reason {
    /// From an address that is not (yet) validated for the leg.
    Source,
    /// Not RTP (or RTCP), or of a payload type that was not negotiated.
    Malformed,
    /// Protected by another key, or changed on the way.
    Unauthentic,
    /// A number that has come before, where SRTP does not let it pass again.
    Replayed,
    /// The leg may not send now, or the other leg has no address that may be sent to.
    Unbridged,
    /// The other leg hears something of ours: that the call is recorded, or a key.
    Replaced,
}

/// What the network says of a packet that was sent (ICMP).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Complaint {
    /// Nobody listens at that port.
    Refused,
    /// The host, or the network, is not reached.
    Unreachable,
}

impl Flow {
    /// A flow that forwards nothing until both legs are [`Flow::set`].
    pub fn new(id: FlowId) -> Flow {
        Flow { id, caller: Leg::default(), client: Leg::default(), tape: None, watch: None }
    }

    /// The call is recorded from now on: what of it is, the legs' streams say. To be taken by [`Flow::take_heard`] after each packet.
    pub fn record(&mut self) {
        self.tape.get_or_insert_with(Tape::new);
    }

    /// The audio of the packet that was received last, if it is recorded.
    #[inline]
    pub fn take_heard(&mut self) -> Option<Heard<'_>> {
        self.tape.as_mut()?.take()
    }

    /// Signalling's latest word on one leg; allows its address to be learned anew.
    pub fn set(&mut self, now: Instant, side: Side, stream: Stream) {
        self.leg(side).set(now, stream);
    }

    /// Whoever was on a leg is gone.
    pub fn clear(&mut self, now: Instant, side: Side) {
        self.leg(side).clear(now);
    }

    /// A packet came to `side`'s RTP port from `source`.
    #[inline]
    pub fn receive(&mut self, now: Instant, side: Side, source: SocketAddr, packet: &mut Packet<'_>) -> Outcome {
        let (from, _) = self.legs(side);
        if from.is_fax() {
            return self.receive_fax(now, side, source, packet.bytes());
        }
        if from.rtcp_port() == Kind::Rtp && header::is_rtcp(packet.bytes()) {
            return self.cross(now, (side, Kind::Rtp), source, packet);
        }
        let mapping = match from.accept(now, source, packet) {
            Ok(mapping) => mapping,
            Err(reason) => return Outcome::Drop(reason),
        };
        if self.tape.is_some() {
            self.keep(now, side, packet.bytes());
        }
        let (from, to) = self.legs(side);
        if to.is_being_told() {
            from.counters().packets_replaced += 1;
            return Outcome::Drop(Reason::Replaced);
        }
        let destination = if from.sends() || planted(Mutant::HoldIgnored) { to.destination(now) } else { None };
        let Some(destination) = destination else {
            from.counters().dropped_unbridged += u64::from(!planted(Mutant::DropUncounted));
            return Outcome::Drop(Reason::Unbridged);
        };
        if !to.renumber(packet) {
            from.counters().packets_replaced += 1;
            return Outcome::Drop(Reason::Replaced);
        }
        if mapping.here != mapping.there && !planted(Mutant::PayloadTypeKept) {
            header::set_payload_type(packet.bytes_mut(), mapping.there);
        }
        if mapping.rescales() {
            from.rescale(packet, &mapping);
        }
        if let Err(fault) = to.protect(packet) {
            return Outcome::Drop(security::count(fault, from.counters()));
        }
        from.counters().packets_forwarded += 1;
        Outcome::Forward { to: destination }
    }

    /// A datagram of a fax crosses as it is.
    fn receive_fax(&mut self, now: Instant, side: Side, source: SocketAddr, datagram: &[u8]) -> Outcome {
        let (from, to) = self.legs(side);
        if let Err(reason) = from.accept_fax(now, source, datagram) {
            return Outcome::Drop(reason);
        }
        to.listen(now);
        let Some(destination) = to.destination(now).filter(|_| from.sends()) else {
            from.counters().dropped_unbridged += 1;
            return Outcome::Drop(Reason::Unbridged);
        };
        from.counters().packets_forwarded += 1;
        Outcome::Forward { to: destination }
    }

    /// A packet came to `side`'s RTCP port from `source`.
    pub fn receive_rtcp(&mut self, now: Instant, side: Side, source: SocketAddr, packet: &mut Packet<'_>) -> Outcome {
        self.cross(now, (side, Kind::Rtcp), source, packet)
    }

    /// Keeps a packet's audio for the recording, if both legs know that there is one.
    fn keep(&mut self, now: Instant, side: Side, packet: &[u8]) {
        let (from, to) = match side {
            Side::Caller => (&self.caller, &self.client),
            Side::Client => (&self.client, &self.caller),
        };
        if let Some(tape) = &mut self.tape
            && to.is_told()
            && let Ok((rtp, payload)) = Rtp::parse(packet)
            && let Some(law) = from.recorded_as(rtp.payload_type)
        {
            let Rtp { ssrc, timestamp, .. } = rtp;
            tape.put(Heard { side, at: now, ssrc, timestamp, law, payload });
        }
    }

    /// RTCP crosses whatever the direction of the audio: reports go on while a leg is on hold (RFC 3264 §5.1).
    fn cross(
        &mut self,
        now: Instant,
        (side, port): (Side, Kind),
        source: SocketAddr,
        packet: &mut Packet<'_>,
    ) -> Outcome {
        let (from, to) = self.legs(side);
        let sent = from.accept_rtcp(port, source, packet).and_then(|()| {
            from.hear_rtcp(now, packet.bytes(), to);
            to.send_rtcp(now, packet)
        });
        match sent {
            Ok((to, through)) => {
                from.counters().rtcp_forwarded += 1;
                Outcome::Report { to, through }
            }
            Err(reason) => {
                from.counters().rtcp_dropped += 1;
                Outcome::Drop(reason)
            }
        }
    }

    /// Whether a leg is to hear something of ours, a packet each [`crate::media::player::FRAME`].
    pub fn plays(&self) -> bool {
        [&self.caller, &self.client].into_iter().any(|leg| leg.plays() || leg.is_pressed_for())
    }

    /// Keys are to be pressed for `side` to hear. One that the other leg pressed itself a moment ago is the same one, said in two ways.
    pub fn press(&mut self, now: Instant, side: Side, dialled: &Dialled, duration: Option<Duration>) {
        let (to, from) = self.legs(side);
        if !dialled.only().is_some_and(|key| from.has_pressed(now, key)) {
            to.press(dialled, duration);
        }
    }

    /// The next packet of a key that `side` is to hear, and where it goes.
    pub fn play_key(&mut self, now: Instant, side: Side, packet: &mut Packet<'_>) -> Option<SocketAddr> {
        let (to, from) = self.legs(side);
        to.play_key(now, from, packet)
    }

    /// The next packet of what `side` is to hear, and where it goes.
    #[inline]
    pub fn play(&mut self, now: Instant, side: Side, sounds: &[Sound], packet: &mut Packet<'_>) -> Option<SocketAddr> {
        self.leg(side).play(now, sounds, packet)
    }

    /// Where `side` is heard from, if it is.
    pub fn heard_from(&self, side: Side) -> Option<SocketAddr> {
        match side {
            Side::Caller => self.caller.pinned(),
            Side::Client => self.client.pinned(),
        }
    }

    /// The address that all RTP of `side` comes from and goes to until the next [`Flow::set`] or [`Flow::clear`], once that is certain.
    #[inline]
    pub fn settled(&self, side: Side) -> Option<SocketAddr> {
        match side {
            Side::Caller => self.caller.settled(),
            Side::Client => self.client.settled(),
        }
    }

    /// What the kernel may be told of the audio that comes from `side`. Only what is certain: both legs are settled, so that it has one
    /// sender, one SSRC and one way to go.
    pub fn offloadable(&self, side: Side) -> Option<Rule> {
        let (from, to) = match side {
            Side::Caller => (&self.caller, &self.client),
            Side::Client => (&self.client, &self.caller),
        };
        // The kernel gives packets no other numbers.
        let is_plain = from.is_plain() && to.is_plain() && !to.renumbers();
        from.rule(to.settled().filter(|_| is_plain)?)
    }

    /// How far the reception of `side` has come.
    pub fn standing(&self, side: Side) -> Standing {
        match side {
            Side::Caller => self.caller.standing(),
            Side::Client => self.client.standing(),
        }
    }

    /// The kernel has forwarded audio that came from `side`, the last of it a moment ago.
    pub fn carried(&mut self, now: Instant, side: Side, carried: &Carried) {
        self.leg(side).carried(now, carried);
    }

    /// The kernel did not take an RTP packet that `side` sent and that [`Flow::receive`] said to forward.
    pub fn unsent(&mut self, side: Side) {
        let counters = self.leg(side).counters();
        counters.packets_forwarded = counters.packets_forwarded.saturating_sub(1);
        counters.dropped_unsent += 1;
    }

    /// The network said something of a packet that went to `address`. Counted if that is where the leg is: others are forged, or meant
    /// somebody who has left.
    pub fn complain(&mut self, side: Side, complaint: Complaint, address: SocketAddr) {
        let leg = self.leg(side);
        if leg.is_at(address) {
            match complaint {
                Complaint::Refused => leg.counters().refused += 1,
                Complaint::Unreachable => leg.counters().unreachable += 1,
            }
        }
    }

    /// As [`Flow::unsent`], of an RTCP packet.
    pub fn unsent_rtcp(&mut self, side: Side) {
        let counters = self.leg(side).counters();
        counters.rtcp_forwarded = counters.rtcp_forwarded.saturating_sub(1);
        counters.rtcp_dropped += 1;
    }

    /// When [`Flow::handle_timeout`] has something to do; `None` while nothing is awaited.
    pub fn poll_timeout(&self) -> Option<Instant> {
        [self.caller.poll_timeout(), self.client.poll_timeout()].into_iter().flatten().min()
    }

    /// Time passed: reports silent legs and keys whose end was lost.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.caller.handle_timeout(now);
        self.client.handle_timeout(now);
    }

    /// What signalling is to hear.
    #[inline]
    pub fn poll_event(&mut self) -> Option<Event> {
        let flow = self.id;
        let mut take = |side| self.leg(side).poll_notice().map(|notice| (side, notice));
        let (side, notice) = take(Side::Caller).or_else(|| take(Side::Client))?;
        Some(match notice {
            Notice::Presence(Change::Latched) => Event::Latched { flow, side, peer: self.leg(side).pinned()? },
            Notice::Presence(Change::Silent) => Event::Silent { flow, side, line: self.leg(side).line() },
            Notice::Dtmf(Digit { key: digit, duration_ms }, heard) => {
                Event::Dtmf { flow, side, digit, duration_ms, heard }
            }
        })
    }

    /// Looks whether both are heard who should be. What is over comes first, then what begins; both only when it changes. `locals` are our
    /// addresses for the caller and the client, for the words.
    pub fn warn(
        &mut self,
        now: Instant,
        terms: &WarningTerms,
        locals: [SocketAddr; 2],
    ) -> impl Iterator<Item = Event> + use<> {
        let silences = [self.caller.silence(now), self.client.silence(now)];
        let current = self.watch.as_ref().and_then(|watch| watch.current());
        let unheard = terms.judge(silences, current);
        let told = if unheard == current { [None, None] } else { self.change_watch(now, unheard, locals) };
        let flow = self.id;
        told.into_iter().flatten().map(move |warning| Event::Warning { flow, warning: Box::new(warning) })
    }

    #[cold]
    fn change_watch(
        &mut self,
        now: Instant,
        unheard: Option<Unheard>,
        locals: [SocketAddr; 2],
    ) -> [Option<Warning>; 2] {
        let closed = self.report_at(now, locals);
        let lasts = |leg: &Leg| leg.silence(now).map_or(Duration::ZERO, |silence| silence.lasts);
        let (caller, client) = (lasts(&self.caller), lasts(&self.client));
        let watch = self.watch.get_or_insert_default();
        let over = watch.end(now);
        let began = unheard.and_then(|unheard| {
            let silence = match unheard {
                Unheard::One(Side::Caller) => caller,
                Unheard::One(Side::Client) => client,
                Unheard::Both => caller.min(client),
            };
            let words = |hides_caller| diagnosis::warning(&closed, unheard, silence, hides_caller);
            let since = Instant(now.0.saturating_sub(u64::try_from(silence.as_micros()).unwrap_or(u64::MAX)));
            let told = || Warning { finding: words(false), for_client: words(true), over_after: None };
            watch.begin(unheard, since, told)
        });
        [over, began]
    }

    /// What was counted so far, in a call that goes on.
    fn report_at(&self, now: Instant, [caller, client]: [SocketAddr; 2]) -> Closed {
        let mut closed = self.report();
        closed.caller.timing.awaited_ms = self.caller.awaited_ms(now);
        closed.client.timing.awaited_ms = self.client.awaited_ms(now);
        (closed.caller.local, closed.client.local) = (Some(caller), Some(client));
        closed
    }

    /// What was counted so far.
    pub fn report(&self) -> Closed {
        let (caller, client) = (self.caller.report(&self.client), self.client.report(&self.caller));
        let warnings = self.watch.as_ref().map_or(0, |watch| watch.told());
        Closed { caller, client, video: None, fax: None, recording: None, warnings }
    }

    /// It is over: what was counted, up to now.
    pub fn end(&mut self, now: Instant) -> Closed {
        self.caller.end(now);
        self.client.end(now);
        self.report()
    }

    fn leg(&mut self, side: Side) -> &mut Leg {
        self.legs(side).0
    }

    /// The leg on `side`, then the other one.
    fn legs(&mut self, side: Side) -> (&mut Leg, &mut Leg) {
        match side {
            Side::Caller => (&mut self.caller, &mut self.client),
            Side::Client => (&mut self.client, &mut self.caller),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::command::{Counters, Line, Mapping, RtcpPort};
    use crate::media::dtmf::KeyWriter;
    use crate::media::header::Rtp;
    use crate::media::quality::Codec;
    use crate::media::{Digits, Means, Reporting, Trust};

    const CALLER: &str = "192.0.2.10:4000";
    const CLIENT: &str = "198.51.100.20:5000";
    const STRANGER: &str = "203.0.113.66:4000";

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn audio(here: u8) -> Mapping {
        Mapping {
            here,
            there: here,
            clock_rate: 8_000,
            clock_rate_there: 8_000,
            telephone_event: false,
            codec: Codec::G711,
        }
    }

    fn stream(rtp: &str, event: (u8, u8)) -> Stream {
        let rtp = at(rtp);
        let keys = Mapping { here: event.0, there: event.1, telephone_event: true, codec: Codec::Other, ..audio(0) };
        Stream {
            line: Line::Audio,
            remote_rtp: Some(rtp),
            rtcp: RtcpPort::Own(Some(SocketAddr::new(rtp.ip(), rtp.port() + 1))),
            signalling: rtp.ip(),
            trust: Trust::Nothing,
            plays: None,
            payload_types: [audio(0), audio(8), keys].into_iter().collect(),
            sends: true,
            silence_max: Some(Duration::from_secs(30)),
            keys: None,
            recording: None,
            digits: Digits { reporting: Reporting::Tell, ..Digits::default() },
        }
    }

    impl Flow {
        /// Receives RTP in a buffer without room.
        fn hear(&mut self, now: Instant, side: Side, source: SocketAddr, packet: &mut [u8]) -> Outcome {
            let length = packet.len();
            self.receive(now, side, source, &mut Packet::new(packet, length))
        }
    }

    /// A flow between [`CALLER`] (telephone-event 101) and [`CLIENT`] (96), both heard.
    fn bridged() -> Flow {
        let mut flow = Flow::new(FlowId(7));
        flow.set(Instant(0), Side::Caller, stream(CALLER, (101, 96)));
        flow.set(Instant(0), Side::Client, stream(CLIENT, (96, 101)));
        for (side, source) in [(Side::Caller, CALLER), (Side::Client, CLIENT)] {
            flow.hear(Instant(0), side, at(source), &mut packet(0, 0));
        }
        while flow.poll_event().is_some() {}
        flow
    }

    fn packet(payload_type: u8, sequence: u16) -> Vec<u8> {
        let mut out = [0; 172];
        let rtp = Rtp { payload_type, sequence, timestamp: 160 * u32::from(sequence), ssrc: 9, marker: false };
        let length = rtp.write(&[0x55; 160], &mut out).unwrap();
        out[..length].to_vec()
    }

    const TO_CLIENT: Outcome =
        Outcome::Forward { to: SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 20)), 5000) };

    #[test]
    fn who_has_left_a_leg_is_neither_heard_nor_sent_to_and_whoever_comes_is_new() {
        const NEXT: &str = "198.51.100.99:6000";
        let mut flow = bridged();
        flow.clear(Instant(0), Side::Client);
        let hear =
            |flow: &mut Flow, side, source, sequence| flow.hear(Instant(0), side, at(source), &mut packet(0, sequence));
        assert_eq!(hear(&mut flow, Side::Caller, CALLER, 1), Outcome::Drop(Reason::Unbridged));
        assert_eq!(hear(&mut flow, Side::Client, CLIENT, 1), Outcome::Drop(Reason::Source));
        flow.set(Instant(0), Side::Client, stream(NEXT, (96, 101)));
        assert_eq!(hear(&mut flow, Side::Caller, CALLER, 2), Outcome::Drop(Reason::Unbridged), "not heard yet");
        assert_eq!(hear(&mut flow, Side::Client, CLIENT, 2), Outcome::Drop(Reason::Source), "the one that left");
        assert_eq!(hear(&mut flow, Side::Client, NEXT, 1), Outcome::Forward { to: at(CALLER) });
        assert_eq!(hear(&mut flow, Side::Caller, CALLER, 3), Outcome::Forward { to: at(NEXT) });
        let closed = flow.report();
        assert_eq!((closed.client.dropped_source, closed.client.packets_forwarded), (2, 2), "what was counted stays");
    }

    #[test]
    fn what_becomes_of_a_packet() {
        let malformed = Outcome::Drop(Reason::Malformed);
        for (rule, source, packet, expect) in [
            ("from_the_leg", CALLER, packet(8, 1), TO_CLIENT),
            ("from_a_stranger", STRANGER, packet(8, 1), Outcome::Drop(Reason::Source)),
            ("from_another_port_of_the_leg", "192.0.2.10:4002", packet(8, 1), Outcome::Drop(Reason::Source)),
            ("from_the_other_leg", CLIENT, packet(8, 1), Outcome::Drop(Reason::Source)),
            ("payload_type_not_negotiated", CALLER, packet(9, 1), malformed),
            ("payload_type_of_the_other_leg", CALLER, packet(96, 1), malformed),
            ("version_1", CALLER, vec![0x40; 172], malformed),
            ("too_short", CALLER, vec![0x80; 11], malformed),
            ("too_long", CALLER, [packet(8, 1), vec![0; 1_400]].concat(), malformed),
            ("a_stranger_is_not_even_parsed", STRANGER, vec![], Outcome::Drop(Reason::Source)),
        ] {
            let mut packet = packet;
            assert_eq!(bridged().hear(Instant(1), Side::Caller, at(source), &mut packet), expect, "{rule}");
        }
    }

    #[test]
    fn only_the_payload_type_is_rewritten() {
        let mut flow = bridged();
        let original = packet(101, 1);
        let mut sent = original.clone();
        assert_eq!(flow.hear(Instant(1), Side::Caller, at(CALLER), &mut sent), TO_CLIENT);
        assert_eq!(sent.get(1), Some(&96));
        assert_eq!((sent.get(..1), sent.get(2..)), (original.get(..1), original.get(2..)));
        let mut back = packet(96, 1);
        flow.hear(Instant(1), Side::Client, at(CLIENT), &mut back);
        assert_eq!(back.get(1), Some(&101));
    }

    #[test]
    fn nothing_crosses_before_both_legs_are_set_and_heard() {
        let mut flow = Flow::new(FlowId(7));
        let unbridged = Outcome::Drop(Reason::Unbridged);
        let from_caller = |flow: &mut Flow, n| flow.hear(Instant(n), Side::Caller, at(CALLER), &mut packet(0, 1));
        assert_eq!(from_caller(&mut flow, 0), Outcome::Drop(Reason::Source));
        flow.set(Instant(0), Side::Caller, stream(CALLER, (101, 96)));
        assert_eq!(from_caller(&mut flow, 0), unbridged);
        flow.set(Instant(0), Side::Client, stream(CLIENT, (96, 101)));
        assert_eq!(from_caller(&mut flow, 0), unbridged);
        flow.set(Instant(0), Side::Client, Stream { trust: Trust::Burst, ..stream(CLIENT, (96, 101)) });
        let burst = (0..100).filter(|n| from_caller(&mut flow, *n) == TO_CLIENT).count();
        assert_eq!(burst, 50, "a trusted leg gets its burst");
        flow.hear(Instant(0), Side::Client, at(CLIENT), &mut packet(0, 1));
        assert_eq!(from_caller(&mut flow, 0), TO_CLIENT);
        flow.set(Instant(0), Side::Caller, Stream { sends: false, ..stream(CALLER, (101, 96)) });
        assert_eq!(from_caller(&mut flow, 0), unbridged, "it may not send");
        flow.set(Instant(0), Side::Caller, stream(CALLER, (101, 96)));
        flow.set(Instant(0), Side::Client, Stream { remote_rtp: None, ..stream(CLIENT, (96, 101)) });
        assert_eq!(from_caller(&mut flow, 0), unbridged, "the other is on hold");
    }

    #[test]
    fn every_received_packet_is_forwarded_or_counted_as_dropped() {
        let mut flow = bridged();
        let mut rng = crate::rng::Rng::from_seed([5; 32]);
        let sources = [CALLER, CALLER, CALLER, STRANGER, "192.0.2.10:4002"];
        for sequence in 1..2_000 {
            let source = sources[usize::try_from(rng.below(5)).unwrap()];
            let mut packet = packet([0, 8, 101, 77][usize::try_from(rng.below(4)).unwrap()], sequence);
            packet.truncate(usize::try_from(rng.below(40)).unwrap() * 5);
            if rng.below(50) == 0 {
                flow.set(Instant(0), Side::Caller, Stream { sends: rng.below(2) == 0, ..stream(CALLER, (101, 96)) });
            }
            let outcome = flow.hear(Instant(u64::from(sequence) * 20_000), Side::Caller, at(source), &mut packet);
            if matches!(outcome, Outcome::Forward { .. }) && rng.below(10) == 0 {
                flow.unsent(Side::Caller);
            }
            while flow.poll_event().is_some() {}
        }
        let Counters { packets_received, packets_forwarded, dropped_unbridged, dropped_unsent, .. } =
            flow.report().caller;
        assert_eq!(packets_received, packets_forwarded + dropped_unbridged + dropped_unsent);
        let Counters { dropped_source, dropped_malformed, .. } = flow.report().caller;
        assert_eq!(packets_received + dropped_source + dropped_malformed, 2_000);
        assert!(
            [packets_forwarded, dropped_unbridged, dropped_unsent, dropped_source, dropped_malformed]
                .iter()
                .all(|n| *n > 20)
        );
    }

    #[test]
    fn a_million_bad_packets_change_nothing_but_counters() {
        let mut flow = bridged();
        for n in 0..1_000_000u32 {
            let [a, b, c, d] = n.wrapping_mul(2_654_435_761).to_be_bytes();
            let source = SocketAddr::new([203, a, b, c].into(), u16::from(d) + 1);
            flow.hear(Instant(1), Side::Caller, source, &mut [0x80, 0, a, b, c, d, a, b, 0, 0, 0, 9, d]);
        }
        assert!(flow.poll_event().is_none());
        let report = flow.report().caller;
        assert_eq!((report.dropped_source, report.packets_received, report.packets_lost), (1_000_000, 1, 0));
        assert_eq!(flow.hear(Instant(2), Side::Caller, at(CALLER), &mut packet(0, 1)), TO_CLIENT);
    }

    #[test]
    fn a_key_crosses_to_a_leg_with_another_clock() {
        let mut flow = bridged();
        let rates = |stream: Stream, clock_rate, clock_rate_there| {
            let payload_types = stream.payload_types.iter().map(|mapping| match mapping.telephone_event {
                true => Mapping { clock_rate, clock_rate_there, ..*mapping },
                false => *mapping,
            });
            Stream { payload_types: payload_types.collect(), ..stream }
        };
        flow.set(Instant(2), Side::Caller, rates(stream(CALLER, (101, 96)), 8_000, 48_000));
        flow.set(Instant(2), Side::Client, rates(stream(CLIENT, (96, 101)), 48_000, 8_000));
        let event = |here: u8, duration: [u8; 2]| {
            let rtp = Rtp { payload_type: here, marker: true, sequence: 3, timestamp: 160, ssrc: 9 };
            let mut out = [0; 16];
            rtp.write(&[5, 10, duration[0], duration[1]], &mut out).unwrap();
            out
        };
        let [mut up, mut down] = [event(101, [0, 160]), event(96, [3, 192])];
        assert_eq!(flow.hear(Instant(3), Side::Caller, at(CALLER), &mut up), TO_CLIENT);
        assert_eq!(flow.hear(Instant(3), Side::Client, at(CLIENT), &mut down), Outcome::Forward { to: at(CALLER) });
        assert_eq!((up, down), (event(96, [3, 192]), event(101, [0, 160])));
        // What has no duration is no event; audio is what it was.
        let mut cut = event(101, [0, 160])[..14].to_vec();
        assert_eq!(flow.hear(Instant(4), Side::Caller, at(CALLER), &mut cut), Outcome::Drop(Reason::Malformed));
        let mut speech = packet(0, 4);
        assert_eq!(flow.hear(Instant(4), Side::Caller, at(CALLER), &mut speech), TO_CLIENT);
        assert_eq!(speech, packet(0, 4));
    }

    #[test]
    fn a_key_is_told_once_and_its_packets_cross() {
        let mut flow = bridged();
        let step = Duration::from_millis(20);
        let mut told = Vec::new();
        for (n, key) in (1..).zip(KeyWriter::new('#', 160, 8_000, step, Duration::from_millis(120)).unwrap()) {
            let mut out = [0; 16];
            let rtp = Rtp { payload_type: 101, marker: key.marker, sequence: n, timestamp: key.timestamp, ssrc: 9 };
            rtp.write(&key.payload, &mut out).unwrap();
            assert_eq!(flow.hear(Instant(u64::from(n) * 20_000), Side::Caller, at(CALLER), &mut out), TO_CLIENT);
            told.extend(std::iter::from_fn(|| flow.poll_event()));
        }
        let [Event::Dtmf { flow: FlowId(7), side: Side::Caller, digit: '#', duration_ms: 120, heard: Means::Rfc4733 }] =
            told[..]
        else {
            panic!("told {told:?}");
        };
        let report = flow.report().caller;
        assert_eq!((report.dtmf_digits, report.jitter_ms), (1, 0.0));
    }

    #[test]
    fn a_silent_leg_is_told_once_until_it_speaks_again() {
        let mut flow = bridged();
        let silent = |flow: &mut Flow, second: u64| {
            flow.handle_timeout(Instant(second * 1_000_000));
            std::iter::from_fn(|| flow.poll_event()).filter(|event| matches!(event, Event::Silent { .. })).count()
        };
        assert_eq!(flow.poll_timeout(), Some(Instant(30_000_000)));
        assert_eq!(silent(&mut flow, 29), 0);
        assert_eq!(silent(&mut flow, 30), 2, "both legs");
        assert_eq!((silent(&mut flow, 90), flow.poll_timeout()), (0, None));
        flow.hear(Instant(91_000_000), Side::Caller, at(STRANGER), &mut packet(0, 1));
        assert_eq!(flow.poll_timeout(), None, "a stranger does not break the silence");
        flow.hear(Instant(91_000_000), Side::Caller, at(CALLER), &mut packet(0, 1));
        assert_eq!((silent(&mut flow, 120), silent(&mut flow, 121)), (0, 1));
        flow.set(Instant(122_000_000), Side::Client, stream(CLIENT, (96, 101)));
        assert_eq!((silent(&mut flow, 151), silent(&mut flow, 152)), (0, 1), "signalling arms it again");
        flow.set(Instant(0), Side::Client, Stream { silence_max: None, ..stream(CLIENT, (96, 101)) });
        assert_eq!(silent(&mut flow, 9_999), 0, "not expected to send");
    }

    #[test]
    fn a_validated_source_is_told_once() {
        let mut flow = Flow::new(FlowId(7));
        flow.set(Instant(0), Side::Caller, stream(CALLER, (101, 96)));
        let nat = "192.0.2.10:61000";
        let mut told = Vec::new();
        for sequence in 1..5 {
            flow.hear(Instant(0), Side::Caller, at(nat), &mut packet(0, sequence));
            told.extend(std::iter::from_fn(|| flow.poll_event()));
        }
        let [Event::Latched { flow: FlowId(7), side: Side::Caller, peer }] = told[..] else { panic!("told {told:?}") };
        assert_eq!(peer, at(nat));
        assert_eq!(flow.report().caller.dropped_source, 1, "the packet on trial");
    }

    #[test]
    fn an_ssrc_change_is_counted_and_passes_but_a_hijacked_ssrc_does_not() {
        let mut flow = bridged();
        let mut changed = packet(0, 1);
        changed[11] = 77;
        assert_eq!(flow.hear(Instant(1), Side::Caller, at(CALLER), &mut changed), TO_CLIENT);
        assert_eq!(flow.hear(Instant(1), Side::Caller, at(STRANGER), &mut changed), Outcome::Drop(Reason::Source));
        assert_eq!(flow.report().caller.ssrc_changes, 1);
    }

    /// What the client says of the caller's stream, SSRC 9, whose sender report named `u32::MAX` went to it.
    #[test]
    fn reports_that_cross_tell_of_the_other_wire_and_of_the_round_trip() {
        let mut flow = bridged();
        let spoken = |sequence: u16| Instant(u64::from(sequence) * 20_000);
        for sequence in 1..=200 {
            flow.hear(spoken(sequence), Side::Caller, at(CALLER), &mut packet(0, sequence));
        }
        let cross = |flow: &mut Flow, now, side, source: &str, packet: &[u8]| {
            let mut bytes = packet.to_vec();
            let packet = &mut Packet::new(&mut bytes, usize::MAX);
            let outcome = flow.receive_rtcp(Instant(now), side, at(source), packet);
            assert!(matches!(outcome, Outcome::Report { through: Kind::Rtcp, .. }), "{outcome:?}");
        };
        let sender = [[0x80, 200, 0, 6, 0, 0, 0, 9].as_slice(), &[0, 0, 255, 255, 255, 255, 0, 0], &[0; 12]].concat();
        cross(&mut flow, 1_000_000, Side::Caller, "192.0.2.10:4001", &sender);
        let block = [9u32, 20, 200, 80, u32::MAX, 65_536].map(u32::to_be_bytes);
        let receiver = [[0x81, 201, 0, 7, 0, 0, 0, 9].as_slice(), block.as_flattened()].concat();
        cross(&mut flow, 2_060_000, Side::Client, "198.51.100.20:5001", &receiver);
        let Closed { caller, client, .. } = flow.end(Instant(4_000_000));
        assert_eq!(client.reported.round_trip.map(|trip| trip.mean_ms), Some(60.0));
        assert_eq!((client.reported.packets_lost, client.reported.packets_expected), (Some(20), 201));
        assert_eq!((client.reported.jitter_ms, client.reported.ignored), (Some(10.0), 0));
        // One tenth lost, one way 30 ms and 20 of jitter buffer and packet each: R = 93.2 - 1.68 - 95 * 9.95 / (9.95 + 25.1).
        assert_eq!((client.mos_heard, caller.mos_heard), (Some(3.33), None));
        assert_eq!((caller.mos, caller.reported.round_trip), (Some(4.4), None));
    }

    #[test]
    fn what_the_network_says_counts_if_it_is_of_the_leg() {
        let mut flow = bridged();
        for (complaint, address) in [
            (Complaint::Refused, CLIENT),
            (Complaint::Unreachable, CLIENT),
            (Complaint::Unreachable, CLIENT),
            (Complaint::Refused, STRANGER),
            (Complaint::Refused, "198.51.100.20:5002"),
        ] {
            flow.complain(Side::Client, complaint, at(address));
        }
        let Closed { caller, client, .. } = flow.report();
        assert_eq!((client.refused, client.unreachable), (1, 2));
        assert_eq!((caller.refused, caller.unreachable), (0, 0));
    }

    #[test]
    fn an_end_tells_when_each_leg_was_heard() {
        let mut flow = bridged();
        flow.hear(Instant(500_000), Side::Caller, at(CALLER), &mut packet(0, 1));
        flow.clear(Instant(6_000_000), Side::Client);
        let Closed { caller, client, .. } = flow.end(Instant(9_000_000));
        assert_eq!((caller.timing.last_packet_ms, caller.timing.silent_at_end_ms), (Some(500), 8_500));
        assert_eq!((client.timing.awaited_ms, client.timing.silent_at_end_ms), (6_000, 0), "it had left");
        assert_eq!(
            (client.named, client.heard_from),
            (Some(at(CLIENT)), Some(at(CLIENT))),
            "who it was is still known"
        );
        assert_eq!(caller.heard_from, Some(at(CALLER)));
    }

    #[test]
    fn rtcp_crosses_between_validated_ports_only() {
        let report = |ssrc: u8| [0x80, 201, 0, 1, 0, 0, 0, ssrc];
        let to_client = Outcome::Report { to: at("198.51.100.20:5001"), through: Kind::Rtcp };
        let strange = Outcome::Drop(Reason::Source);
        for (rule, source, mut packet, expect) in [
            ("from_the_sdp_address", "192.0.2.10:4001", report(9), to_client),
            ("from_another_port_with_the_ssrc_of_its_rtp", "192.0.2.10:61001", report(9), to_client),
            ("from_another_port_with_another_ssrc", "192.0.2.10:61001", report(8), strange),
            ("from_a_stranger", "203.0.113.66:4001", report(9), strange),
            ("malformed", "192.0.2.10:4001", [0x80, 0, 0, 1, 0, 0, 0, 9], Outcome::Drop(Reason::Malformed)),
        ] {
            let mut flow = bridged();
            let outcome = flow.receive_rtcp(Instant(0), Side::Caller, at(source), &mut Packet::new(&mut packet, 8));
            assert_eq!(outcome, expect, "{rule}");
            let counted = flow.report().caller;
            assert_eq!(counted.rtcp_forwarded + counted.rtcp_dropped, 1, "{rule}");
        }
        let mut flow = Flow::new(FlowId(7));
        flow.set(Instant(0), Side::Caller, stream(CALLER, (101, 96)));
        flow.set(Instant(0), Side::Client, stream(CLIENT, (96, 101)));
        let mut packet = report(9);
        let packet = &mut Packet::new(&mut packet, 8);
        let unheard = flow.receive_rtcp(Instant(0), Side::Caller, at("192.0.2.10:4001"), packet);
        assert_eq!(unheard, Outcome::Drop(Reason::Unbridged), "the client was not heard yet");
    }

    /// RFC 5761: each leg has its own way, and changes it by itself.
    #[test]
    fn reports_cross_between_one_port_and_two() {
        const REPORT: [u8; 8] = [0x80, 201, 0, 1, 0, 0, 0, 9];
        let to = |address: &str, through| Outcome::Report { to: at(address), through };
        let [at_rtp, at_rtcp] = [Kind::Rtp, Kind::Rtcp];
        let (strange, malformed) = (Outcome::Drop(Reason::Source), Outcome::Drop(Reason::Malformed));
        for (rule, muxed, port, source, expect) in [
            ("neither", [false; 2], at_rtcp, "192.0.2.10:4001", to("198.51.100.20:5001", at_rtcp)),
            ("both", [true; 2], at_rtp, CALLER, to(CLIENT, at_rtp)),
            ("the_caller", [true, false], at_rtp, CALLER, to("198.51.100.20:5001", at_rtcp)),
            ("the_client", [false, true], at_rtcp, "192.0.2.10:4001", to(CLIENT, at_rtp)),
            ("not_agreed", [false, true], at_rtp, CALLER, malformed),
            ("to_the_port_that_is_not_used", [true; 2], at_rtcp, "192.0.2.10:4001", strange),
            ("from_another_port", [true; 2], at_rtp, "192.0.2.10:4001", strange),
            ("from_a_stranger", [true; 2], at_rtp, STRANGER, strange),
        ] {
            let mut flow = bridged();
            for (side, address, event, is_muxed) in
                [(Side::Caller, CALLER, (101, 96), muxed[0]), (Side::Client, CLIENT, (96, 101), muxed[1])]
            {
                let usual = stream(address, event);
                flow.set(
                    Instant(0),
                    side,
                    Stream { rtcp: if is_muxed { RtcpPort::Shared } else { usual.rtcp }, ..usual },
                );
            }
            let (mut bytes, mut next) = (REPORT, packet(0, 1));
            let packet = &mut Packet::new(&mut bytes, 8);
            let outcome = match port {
                Kind::Rtp => flow.receive(Instant(0), Side::Caller, at(source), packet),
                Kind::Rtcp => flow.receive_rtcp(Instant(0), Side::Caller, at(source), packet),
            };
            assert_eq!(outcome, expect, "{rule}");
            let counted = flow.report().caller;
            let is_report = u64::from(outcome != malformed);
            assert_eq!((counted.rtcp_forwarded + counted.rtcp_dropped, counted.ssrc_changes), (is_report, 0), "{rule}");
            assert_eq!(flow.hear(Instant(1), Side::Caller, at(CALLER), &mut next), TO_CLIENT, "{rule}: audio");
        }
    }

    /// A flow of a fax, of which nobody was heard.
    fn faxing() -> Flow {
        let fax = |rtp| Stream {
            line: Line::Fax,
            rtcp: RtcpPort::Own(None),
            payload_types: [].into_iter().collect(),
            silence_max: Some(Duration::from_secs(120)),
            ..stream(rtp, (0, 0))
        };
        let mut flow = Flow::new(FlowId(7));
        flow.set(Instant(0), Side::Caller, fax(CALLER));
        flow.set(Instant(0), Side::Client, fax(CLIENT));
        flow
    }

    fn page(number: u16) -> Vec<u8> {
        let mut out = [0; 60];
        let length = crate::media::udptl::write(number, b"a line of it", &mut out).unwrap();
        out[..length].to_vec()
    }

    #[test]
    fn a_fax_is_taken_from_whom_signalling_named_and_from_nobody_else() {
        const BEHIND_NAT: &str = "192.0.2.10:61000";
        let mut flow = faxing();
        let from_caller =
            |flow: &mut Flow, source: &str, number| flow.hear(Instant(1), Side::Caller, at(source), &mut page(number));
        assert_eq!(flow.hear(Instant(1), Side::Client, at(CLIENT), &mut page(0)), Outcome::Drop(Reason::Unbridged));
        // Of the named host's other ports one has to send two in sequence; a number that comes again is none.
        let strange = Outcome::Drop(Reason::Source);
        for (number, expected) in
            [(7, strange), (7, strange), (9, strange), (10, TO_CLIENT), (10, TO_CLIENT), (12, TO_CLIENT)]
        {
            assert_eq!(from_caller(&mut flow, BEHIND_NAT, number), expected, "{number}");
        }
        assert_eq!(from_caller(&mut flow, STRANGER, 13), strange);
        assert_eq!(from_caller(&mut flow, "192.0.2.10:61002", 13), strange, "it was learned once");
        assert_eq!(from_caller(&mut flow, "192.0.2.10:61002", 14), strange, "and signalling has said nothing since");
        for bad in [&[][..], &[0, 15, 9, 1], &packet(0, 1), &[&page(15)[..], &[0; 1_500]].concat()] {
            let outcome = flow.hear(Instant(1), Side::Caller, at(BEHIND_NAT), &mut bad.to_vec());
            assert_eq!(outcome, Outcome::Drop(Reason::Malformed), "{bad:?}");
        }
        let closed = flow.report();
        let Counters { packets_received, packets_forwarded, packets_lost, packets_duplicated, .. } = closed.caller;
        assert_eq!((packets_received, packets_forwarded, packets_lost, packets_duplicated), (3, 3, 1, 1));
        assert_eq!((closed.caller.dropped_source, closed.caller.dropped_malformed), (6, 4));
        assert!([Side::Caller, Side::Client].map(|side| flow.offloadable(side)) == [None, None], "it is no RTP");
    }

    #[test]
    fn a_fax_is_silent_when_neither_side_sends() {
        let mut flow = faxing();
        let second = |seconds: u64| Instant(seconds * 1_000_000);
        let told = |flow: &mut Flow| -> Vec<Event> { std::iter::from_fn(|| flow.poll_event()).collect() };
        for at_second in (0..600).step_by(60) {
            flow.hear(second(at_second), Side::Caller, at(CALLER), &mut page(1));
            flow.handle_timeout(second(at_second + 59));
        }
        assert!(told(&mut flow).iter().all(|event| matches!(event, Event::Latched { .. })), "one speaks at a time");
        flow.handle_timeout(second(540 + 119));
        assert!(told(&mut flow).is_empty());
        flow.handle_timeout(second(540 + 120));
        let told = told(&mut flow);
        assert!(matches!(told[..], [Event::Silent { line: Line::Fax, .. }, Event::Silent { .. }]), "{told:?}");
    }

    #[test]
    fn who_falls_silent_is_told_once_and_that_he_is_heard_again() {
        let terms = WarningTerms { silent: Some(Duration::from_secs(10)), unheard: Some(Duration::from_secs(5)) };
        let second = |seconds: u16| Instant(u64::from(seconds) * 1_000_000);
        let warn = |flow: &mut Flow, seconds| -> Vec<(&str, &str, Option<u64>)> {
            let told = flow.warn(second(seconds), &terms, [at(CALLER), at(CLIENT)]);
            let said = told.map(|event| {
                let Event::Warning { warning, .. } = event else { panic!("{event:?}") };
                (warning.finding.id, warning.finding.leg, warning.over_after.map(|lasted| lasted.as_secs()))
            });
            said.collect()
        };
        let mut flow = bridged();
        let hear = |flow: &mut Flow, side: Side, seconds| {
            let source = if side == Side::Caller { CALLER } else { CLIENT };
            flow.hear(second(seconds), side, at(source), &mut packet(0, seconds));
        };
        // The client is heard until the 20th second, the caller all the time but from the 40th to the 52nd, and then there is a hold.
        let mut told = Vec::new();
        for seconds in 1..100 {
            if !(40..52).contains(&seconds) {
                hear(&mut flow, Side::Caller, seconds);
            }
            if seconds <= 20 || seconds >= 60 {
                hear(&mut flow, Side::Client, seconds);
            }
            if seconds == 70 {
                for (side, leg, keys) in [(Side::Caller, CALLER, (101, 96)), (Side::Client, CLIENT, (96, 101))] {
                    flow.set(second(seconds), side, Stream { sends: false, ..stream(leg, keys) });
                }
            }
            told.extend(warn(&mut flow, seconds).into_iter().map(|said| (seconds, said)));
        }
        assert_eq!(
            told,
            [
                (30, ("one_way_audio", "client", None)),
                (49, ("one_way_audio", "client", Some(29))),
                (49, ("dead_air", "client", None)),
                (52, ("dead_air", "client", Some(13))),
                (52, ("one_way_audio", "client", None)),
                (60, ("one_way_audio", "client", Some(40))),
            ]
        );
        assert_eq!(flow.end(second(100)).warnings, 3);
    }

    #[test]
    fn a_side_that_was_never_heard_is_told_with_the_reason_and_none_is_that_is_not_awaited() {
        let terms = WarningTerms { silent: None, unheard: Some(Duration::from_secs(5)) };
        let mut flow = Flow::new(FlowId(7));
        flow.set(Instant(0), Side::Caller, stream(CALLER, (101, 96)));
        let warned = |flow: &mut Flow, now: u64| {
            let told = flow.warn(Instant(now), &terms, [at(CALLER), at(CLIENT)]).next();
            told.map(|event| if let Event::Warning { warning, .. } = event { *warning } else { panic!("{event:?}") })
        };
        assert_eq!(warned(&mut flow, 60_000_000), None, "nobody is there to hear it");
        flow.set(Instant(0), Side::Client, stream(CLIENT, (96, 101)));
        for sequence in 0..4 {
            flow.hear(Instant(4_000_000), Side::Client, at(CLIENT), &mut packet(0, sequence));
            flow.hear(Instant(4_000_000), Side::Caller, at(STRANGER), &mut packet(0, sequence));
        }
        assert_eq!(warned(&mut flow, 4_900_000), None);
        let warning = warned(&mut flow, 5_000_000).unwrap();
        let text = "the caller's audio never arrived: 4 packets came to 192.0.2.10:4000 from elsewhere, none from 192.0.2.10:4000, which its SDP names";
        assert_eq!((warning.finding.id, warning.finding.text.as_str()), ("strange_source", text));
        assert!(!warning.for_client.text.contains("192.0.2."), "{warning:?}");
        assert_eq!(warned(&mut flow, 5_500_000), None, "once");
    }
}
