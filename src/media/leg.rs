//! One leg of a flow: who speaks for it, what it may say, how well it is received, and whether it has fallen silent.
//! Not here: the other leg (`forward`). RELIABILITY A1, A3 (bad media is counted, never an event), M1.

use crate::media::command::{Counters, Mapping, Stream};
use crate::media::dtmf::{Digit, Keypad};
use crate::media::forward::Reason;
use crate::media::header::{self, Rtp};
use crate::media::latch::{Evidence, Latch, Signalled, Verdict};
use crate::media::offload::{Carried, Rule, Standing};
use crate::media::statistics::Reception;
use crate::time::Instant;
use arrayvec::ArrayVec;
use std::net::SocketAddr;

/// Most notices between two looks: a packet validates its source and ends a key, and time ends a key and a leg.
const NOTICES_MAX: usize = 4;

/// What signalling is to hear of a leg.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Notice {
    /// Its source was validated.
    Latched(SocketAddr),
    /// It sent nothing for too long.
    Silent,
    /// It pressed a key.
    Dtmf(Digit),
}

/// A leg's state; one file up are the two that make a flow.
#[derive(Debug, Default)]
pub(super) struct Leg {
    stream: Option<Stream>,
    rtp: Latch,
    rtcp: Latch,
    keypad: Keypad,
    reception: Reception,
    counters: Counters,
    /// Since when it is silent: its last valid packet, or the last signalling.
    heard: Instant,
    told_silent: bool,
    notices: ArrayVec<Notice, NOTICES_MAX>,
}

impl Leg {
    pub(super) fn set(&mut self, now: Instant, stream: Stream) {
        let Stream { signalling, trusted, .. } = stream;
        self.rtp.signal(Signalled { address: stream.remote_rtp, signalling, trusted });
        self.rtcp.signal(Signalled { address: stream.remote_rtcp, signalling, trusted: false });
        self.heard = now;
        self.told_silent = false;
        self.stream = Some(stream);
    }

    /// Forgets who is there: nobody is, until it is set anew.
    pub(super) fn clear(&mut self) {
        (self.stream, self.rtp, self.rtcp) = (None, Latch::default(), Latch::default());
        self.keypad = Keypad::default();
    }

    /// Validates, counts and times a packet from this leg. What it is called on the other leg, if it may go there.
    #[inline]
    pub(super) fn accept(&mut self, now: Instant, source: SocketAddr, packet: &[u8]) -> Result<Mapping, Reason> {
        let Some(stream) = self.stream.as_ref().filter(|_| self.rtp.may_speak(source)) else {
            self.counters.dropped_source += 1;
            return Err(Reason::Source);
        };
        let known = Rtp::parse(packet).ok().and_then(|(rtp, payload)| {
            let mapping = stream.payload_types.iter().find(|mapping| mapping.here == rtp.payload_type)?;
            Some((rtp, payload, *mapping))
        });
        let Some((rtp, payload, mapping)) = known else {
            self.counters.dropped_malformed += 1;
            return Err(Reason::Malformed);
        };
        match self.rtp.judge(source, rtp.ssrc, Evidence::Sequence(rtp.sequence)) {
            Verdict::Accepted => {}
            Verdict::AcceptedNewSsrc => self.counters.ssrc_changes = self.counters.ssrc_changes.saturating_add(1),
            Verdict::Latched => self.tell(Notice::Latched(source)),
            Verdict::OnTrial | Verdict::Strange => {
                self.counters.dropped_source += 1;
                return Err(Reason::Source);
            }
        }
        self.heard = now;
        self.told_silent = false;
        self.counters.packets_received += 1;
        self.counters.octets_received += u64::try_from(payload.len()).unwrap_or(0);
        self.reception.count(rtp.ssrc, rtp.sequence);
        if mapping.telephone_event {
            let digit = self.keypad.receive(now, &rtp, payload, mapping.clock_rate);
            self.tell_digit(digit);
        } else {
            self.reception.time(now, rtp.timestamp, mapping.clock_rate);
        }
        Ok(mapping)
    }

    /// Validates an RTCP packet from this leg.
    pub(super) fn accept_rtcp(&mut self, source: SocketAddr, packet: &[u8]) -> Result<(), Reason> {
        if !self.rtcp.may_speak(source) {
            return Err(Reason::Source);
        }
        let ssrc = header::rtcp_sender(packet).map_err(|_| Reason::Malformed)?;
        let heard = self.rtp.has_heard(source.ip(), ssrc);
        match self.rtcp.judge(source, ssrc, Evidence::Report { heard }) {
            Verdict::Accepted | Verdict::AcceptedNewSsrc | Verdict::Latched => Ok(()),
            Verdict::OnTrial | Verdict::Strange => Err(Reason::Source),
        }
    }

    /// Whether this leg's audio may reach the other.
    pub(super) fn sends(&self) -> bool {
        self.stream.as_ref().is_some_and(|stream| stream.sends)
    }

    /// Where the next RTP packet for this leg goes.
    pub(super) fn destination(&mut self, now: Instant) -> Option<SocketAddr> {
        self.rtp.destination(now)
    }

    /// Who alone speaks for its RTP port, and is alone sent to, until it is set anew.
    #[inline]
    pub(super) fn settled(&self) -> Option<SocketAddr> {
        self.rtp.settled()
    }

    /// What may be told of its audio, if that goes to `to` and cannot go anywhere else.
    pub(super) fn rule(&self, to: SocketAddr) -> Option<Rule> {
        let stream = self.stream.as_ref().filter(|stream| stream.sends)?;
        let (peer, ssrc) = (self.rtp.settled()?, self.reception.ssrc()?);
        let payload_types = stream.payload_types.iter().filter(|mapping| !mapping.telephone_event).copied().collect();
        Some(Rule { peer, ssrc, to, payload_types })
    }

    pub(super) fn standing(&self) -> Standing {
        self.reception.standing()
    }

    /// Others have forwarded what it said.
    pub(super) fn carried(&mut self, now: Instant, carried: &Carried) {
        self.heard = now;
        self.told_silent = false;
        self.counters.packets_received += carried.packets;
        self.counters.packets_forwarded += carried.packets;
        self.counters.octets_received += carried.octets;
        self.reception.carry(carried.packets, carried.standing);
    }

    /// Where the next RTCP packet for this leg goes.
    pub(super) fn destination_rtcp(&self) -> Option<SocketAddr> {
        self.rtcp.destination_beside(&self.rtp)
    }

    /// For what becomes of its packets after they were accepted.
    pub(super) fn counters(&mut self) -> &mut Counters {
        &mut self.counters
    }

    pub(super) fn report(&self) -> Counters {
        Counters { packets_lost: self.reception.lost(), jitter_ms: self.reception.jitter_ms(), ..self.counters }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        [self.silent_at(), self.keypad.poll_timeout()].into_iter().flatten().min()
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if self.silent_at().is_some_and(|due| due <= now) {
            self.told_silent = true;
            self.tell(Notice::Silent);
        }
        let digit = self.keypad.handle_timeout(now);
        self.tell_digit(digit);
    }

    pub(super) fn poll_notice(&mut self) -> Option<Notice> {
        self.notices.pop_at(0)
    }

    fn silent_at(&self) -> Option<Instant> {
        let silence_max = self.stream.as_ref()?.silence_max?;
        (!self.told_silent).then_some(self.heard + silence_max)
    }

    fn tell_digit(&mut self, digit: Option<Digit>) {
        if let Some(digit) = digit {
            self.counters.dtmf_digits = self.counters.dtmf_digits.saturating_add(1);
            self.tell(Notice::Dtmf(digit));
        }
    }

    /// Full only if the owner does not drain after each call, as it must.
    fn tell(&mut self, notice: Notice) {
        let pushed = self.notices.try_push(notice);
        debug_assert!(pushed.is_ok(), "the flow's events were not drained");
    }
}
