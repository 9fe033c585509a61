//! One leg of a flow: who speaks for it, what it may say, how well it is received, and whether it has fallen silent.
//! Not here: the other leg (`forward`). RELIABILITY A1, A3 (bad media is counted, never an event), M1.

use crate::media::command::{Counters, Line, Mapping, RtcpPort, Stream};
use crate::media::counted::Counted;
use crate::media::digits::{Means, Reporting, Told};
use crate::media::dtmf::{self, Dialled, Digit, Keypad};
use crate::media::feedback::Feedback;
use crate::media::forward::{Kind, Reason};
use crate::media::header::{self, Rtp};
use crate::media::latch::{Evidence, Latch, Signalled, Trust, Verdict};
use crate::media::offload::{Carried, Rule, Standing};
use crate::media::packet::Packet;
use crate::media::player::Player;
use crate::media::presence::Presence;
use crate::media::presser::{self, Presser, Readiness};
use crate::media::quality::{Codec, Way};
use crate::media::recording::{Announcer, Recording};
use crate::media::rescale::Rescaler;
use crate::media::security::{self, Security};
use crate::media::sound::Sound;
use crate::media::srtp::Fault;
use crate::media::statistics::{self, Reception};
use crate::media::tone::Law;
use crate::media::udptl;
use crate::media::watch::Silence;
use crate::time::{Duration, Instant};
use arrayvec::ArrayVec;
use std::net::SocketAddr;

/// Most changes between two looks: a packet validates its source, and time ends a leg.
const CHANGES_MAX: usize = 2;

/// What signalling is to hear of a leg.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Notice {
    /// Whether it is there is known.
    Presence(Change),
    /// It pressed a key.
    Dtmf(Digit, Means),
}

/// Something about whether a leg is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Change {
    /// Its source was validated.
    Latched,
    /// It sent nothing for too long.
    Silent,
}

/// A leg's state; one file up are the two that make a flow.
#[derive(Debug, Default)]
pub(super) struct Leg {
    stream: Option<Stream>,
    /// Of a leg with SRTP.
    security: Option<Box<Security>>,
    /// Of a leg that hears something of ours, or has heard it.
    player: Option<Player>,
    /// Whether it knows that the call is recorded.
    announcer: Announcer,
    rtp: Latch,
    /// Of the port for RTCP; knows nobody where there is none.
    rtcp: Latch,
    keypad: Keypad,
    /// Of a leg whose keys are told, or come as tones.
    told: Option<Box<Told>>,
    rescaler: Rescaler,
    reception: Reception,
    presence: Presence,
    feedback: Feedback,
    /// Of its latest audio.
    codec: Codec,
    counted: Counted,
    /// Since when it is silent: its last valid packet, or the last signalling.
    heard: Instant,
    told_silent: bool,
    changes: ArrayVec<Change, CHANGES_MAX>,
}

impl Leg {
    pub(super) fn set(&mut self, now: Instant, stream: Stream) {
        let Stream { signalling, trust, .. } = stream;
        self.rtp.signal(Signalled { address: stream.remote_rtp, signalling, trust });
        match stream.rtcp {
            RtcpPort::Own(address) => self.rtcp.signal(Signalled { address, signalling, trust: Trust::Nothing }),
            RtcpPort::Shared => self.rtcp = Latch::default(),
        }
        self.heard = now;
        self.told_silent = false;
        self.security = Security::follow(self.security.take(), stream.keys.clone());
        self.announcer = self.announcer.follow(stream.recording.as_deref());
        self.presence.expect(now, stream.sends);
        self.told = Told::follow(self.told.take(), stream.digits);
        self.counted.named = stream.remote_rtp.or(self.counted.named);
        self.stream = Some(stream);
        self.choose_sound();
    }

    /// Forgets who is there: nobody is, until it is set anew.
    pub(super) fn clear(&mut self, now: Instant) {
        self.presence.expect(now, false);
        self.counted.heard_from = self.rtp.pinned().or(self.counted.heard_from);
        (self.stream, self.rtp, self.rtcp) = (None, Latch::default(), Latch::default());
        (self.security, self.player, self.announcer) = (None, None, Announcer::Idle);
        (self.keypad, self.rescaler) = (Keypad::default(), Rescaler::default());
        self.told.iter_mut().for_each(|told| told.clear());
    }

    /// Validates, counts and times a packet from this leg, and takes its protection away. What it is called on the other leg, if it may go
    /// there.
    #[inline]
    pub(super) fn accept(
        &mut self,
        now: Instant,
        source: SocketAddr,
        packet: &mut Packet<'_>,
    ) -> Result<Mapping, Reason> {
        let Some(stream) = self.stream.as_ref().filter(|_| self.rtp.may_speak(source)) else {
            self.counted.dropped_source += 1;
            return Err(Reason::Source);
        };
        if let Some(security) = &mut self.security
            && let Err(fault) = security.unprotect_rtp(packet)
        {
            return Err(security::count(fault, &mut self.counted));
        }
        let known = Rtp::parse(packet.bytes()).ok().and_then(|(rtp, payload)| {
            let mapping = stream.payload_types.iter().find(|mapping| mapping.here == rtp.payload_type)?;
            // A duration that is not there cannot be counted by another clock.
            let is_whole = payload.len() >= dtmf::EVENT_BYTES || !mapping.rescales();
            is_whole.then_some((rtp, payload, *mapping))
        });
        let hears_keys = stream.digits.reporting != Reporting::Off;
        let Some((rtp, payload, mapping)) = known else {
            self.counted.dropped_malformed += 1;
            return Err(Reason::Malformed);
        };
        self.believe(source, rtp.ssrc, rtp.sequence)?;
        self.count(now, (rtp.ssrc, rtp.sequence), payload.len());
        if mapping.telephone_event {
            if hears_keys {
                let digit = self.keypad.receive(now, &rtp, payload, mapping.clock_rate);
                self.tell_digit(now, digit, Means::Rfc4733);
            }
        } else {
            self.reception.time(now, rtp.timestamp, mapping.clock_rate);
            if mapping.codec != Codec::Other {
                self.codec = mapping.codec;
            }
            if let Some(ear) = self.told.as_mut().and_then(|told| told.ear.as_mut())
                && let Some(law) = Law::numbered(rtp.payload_type)
            {
                let digit = ear.hear(now, &rtp, payload, law);
                self.tell_digit(now, digit, Means::InBand);
            }
        }
        Ok(mapping)
    }

    /// The same of a datagram of a fax, which names no source.
    pub(super) fn accept_fax(&mut self, now: Instant, source: SocketAddr, datagram: &[u8]) -> Result<(), Reason> {
        if !self.rtp.may_speak(source) {
            self.counted.dropped_source += 1;
            return Err(Reason::Source);
        }
        let Ok(number) = udptl::parse(datagram) else {
            self.counted.dropped_malformed += 1;
            return Err(Reason::Malformed);
        };
        self.believe(source, 0, number)?;
        self.count(now, (0, number), datagram.len());
        Ok(())
    }

    /// Whether a packet that is well-formed comes from whom the leg is.
    #[inline]
    fn believe(&mut self, source: SocketAddr, ssrc: u32, sequence: u16) -> Result<(), Reason> {
        match self.rtp.judge(source, ssrc, Evidence::Sequence(sequence)) {
            Verdict::Accepted => {}
            Verdict::AcceptedNewSsrc => self.counted.ssrc_changes = self.counted.ssrc_changes.saturating_add(1),
            Verdict::Latched => self.tell(Change::Latched),
            Verdict::OnTrial | Verdict::Strange => {
                self.counted.dropped_source += 1;
                return Err(Reason::Source);
            }
        }
        Ok(())
    }

    /// Whether what comes from it is a fax.
    #[inline]
    pub(super) fn is_fax(&self) -> bool {
        self.stream.as_ref().is_some_and(|stream| stream.line == Line::Fax)
    }

    /// Which one it is of.
    pub(super) fn line(&self) -> Line {
        self.stream.as_ref().map_or(Line::Audio, |stream| stream.line)
    }

    /// It hears a fax, in which one speaks at a time (T.30): that it is silent meanwhile says nothing.
    #[inline]
    pub(super) fn listen(&mut self, now: Instant) {
        self.heard = now;
        self.told_silent = false;
    }

    /// Counts the duration of a key that came from this leg by the other leg's clock.
    #[cold]
    pub(super) fn rescale(&mut self, packet: &mut Packet<'_>, mapping: &Mapping) {
        self.rescaler.rescale(packet.bytes_mut(), mapping.clock_rate, mapping.clock_rate_there);
    }

    /// A valid packet came.
    #[inline]
    fn count(&mut self, now: Instant, (ssrc, sequence): (u32, u16), octets: usize) {
        self.heard = now;
        self.told_silent = false;
        self.presence.hear(now);
        self.counted.packets_received += 1;
        self.counted.octets_received += u64::try_from(octets).unwrap_or(0);
        self.reception.count(ssrc, sequence);
    }

    /// Which of its ports is the one for RTCP.
    #[inline]
    pub(super) fn rtcp_port(&self) -> Kind {
        match self.stream.as_ref().map(|stream| stream.rtcp) {
            Some(RtcpPort::Shared) => Kind::Rtp,
            Some(RtcpPort::Own(_)) | None => Kind::Rtcp,
        }
    }

    /// Validates an RTCP packet from this leg, and takes its protection away.
    pub(super) fn accept_rtcp(
        &mut self,
        port: Kind,
        source: SocketAddr,
        packet: &mut Packet<'_>,
    ) -> Result<(), Reason> {
        let may_speak = match port {
            Kind::Rtp => self.rtp.vouches_for(source),
            Kind::Rtcp => self.rtcp.may_speak(source),
        };
        if !may_speak {
            return Err(Reason::Source);
        }
        if let Some(security) = &mut self.security
            && let Err(fault) = security.unprotect_rtcp(packet)
        {
            return Err(security::reason(fault));
        }
        let ssrc = header::rtcp_sender(packet.bytes()).map_err(|_| Reason::Malformed)?;
        if port == Kind::Rtp {
            return Ok(());
        }
        let heard = self.rtp.has_heard(source.ip(), ssrc);
        match self.rtcp.judge(source, ssrc, Evidence::Report { heard }) {
            Verdict::Accepted | Verdict::AcceptedNewSsrc | Verdict::Latched => Ok(()),
            Verdict::OnTrial | Verdict::Strange => Err(Reason::Source),
        }
    }

    /// Protects an RTP packet that is to go to this leg.
    #[inline]
    pub(super) fn protect(&mut self, packet: &mut Packet<'_>) -> Result<(), Fault> {
        self.security.as_mut().map_or(Ok(()), |security| security.protect_rtp(packet))
    }

    /// Whether this leg's audio may reach the other.
    pub(super) fn sends(&self) -> bool {
        self.stream.as_ref().is_some_and(|stream| stream.sends)
    }

    /// Whether it is to hear something of ours.
    pub(super) fn plays(&self) -> bool {
        self.player.as_ref().is_some_and(Player::is_playing)
    }

    /// The next packet of what it is to hear, and where it goes.
    #[inline]
    pub(super) fn play(&mut self, now: Instant, sounds: &[Sound], packet: &mut Packet<'_>) -> Option<SocketAddr> {
        let player = self.player.as_mut().filter(|player| player.is_playing())?;
        let to = self.rtp.destination(now)?;
        player.write(now, sounds, packet)?;
        self.protect(packet).ok()?;
        self.counted.packets_played += 1;
        if self.announcer.is_saying() {
            self.announce(now, sounds);
        }
        Some(to)
    }

    /// It was sent a frame of the announcement.
    fn announce(&mut self, now: Instant, sounds: &[Sound]) {
        let Some(announcement) = self.recording().and_then(|recording| recording.announces) else { return };
        let frames = sounds.get(usize::from(announcement.play.sound.0)).map_or(0, Sound::frames);
        self.announcer = self.announcer.hear(now, frames, announcement.every);
        if !self.announcer.is_saying() {
            self.choose_sound();
        }
    }

    /// What it is to hear of us from now on: that it is recorded goes before all else.
    fn choose_sound(&mut self) {
        let announces = self.recording().and_then(|recording| recording.announces);
        let announces = announces.filter(|_| self.announcer.is_saying()).map(|announcement| announcement.play);
        let plays = announces.or_else(|| self.stream.as_ref().and_then(|stream| stream.plays));
        self.player = Player::follow(self.player.take(), plays);
    }

    fn recording(&self) -> Option<&Recording> {
        self.stream.as_ref()?.recording.as_deref()
    }

    /// Whether it hears that the call is recorded, and nothing else.
    #[inline]
    pub(super) fn is_being_told(&self) -> bool {
        self.announcer.is_saying()
    }

    /// Whether it knows that the call is recorded.
    #[inline]
    pub(super) fn is_told(&self) -> bool {
        self.announcer.is_told()
    }

    /// How a payload type of its is recorded, if it is.
    #[inline]
    pub(super) fn recorded_as(&self, payload_type: u8) -> Option<Law> {
        let recording = self.recording().filter(|_| self.is_told() && self.sends())?;
        recording.laws.iter().find(|(number, _)| *number == payload_type).map(|(_, law)| *law)
    }

    /// Keys are to be pressed for it to hear.
    pub(super) fn press(&mut self, dialled: &Dialled, duration: Option<Duration>) {
        self.told.get_or_insert_default().presser.get_or_insert_default().push(dialled, duration);
    }

    /// Whether it hears a key of ours, or is to hear one.
    pub(super) fn is_pressed_for(&self) -> bool {
        self.presser().is_some_and(Presser::is_busy)
    }

    /// Whether the other leg's packets have other numbers here.
    pub(super) fn renumbers(&self) -> bool {
        self.presser().is_some_and(Presser::renumbers)
    }

    fn presser(&self) -> Option<&Presser> {
        self.told.as_ref()?.presser.as_deref()
    }

    /// Keys of ours that it has heard, and has not.
    fn pressed(&self) -> (u32, u32) {
        self.told.as_ref().map_or((0, 0), |told| told.pressed())
    }

    /// Gives a packet of the other leg's its number here; `false`: it is left out, because a key of ours is heard.
    #[inline]
    pub(super) fn renumber(&mut self, packet: &mut Packet<'_>) -> bool {
        let presser = self.told.as_mut().and_then(|told| told.presser.as_mut());
        presser.is_none_or(|presser| presser.renumber(packet.bytes_mut()))
    }

    /// The next packet of a key that it is to hear in what `other` says, and where it goes.
    pub(super) fn play_key(&mut self, now: Instant, other: &Leg, packet: &mut Packet<'_>) -> Option<SocketAddr> {
        let hears_more = self.plays() || self.is_being_told();
        let to = self.rtp.destination(now);
        let ready = || if hears_more || to.is_none() { Readiness::Later } else { other.readiness(now) };
        self.told.as_mut()?.presser.as_mut()?.write(now, ready, packet)?;
        self.protect(packet).ok()?;
        to
    }

    /// Whether a key may be pressed in what it says, for the other leg to hear.
    fn readiness(&self, now: Instant) -> Readiness {
        let Some(stream) = self.stream.as_ref().filter(|stream| stream.sends) else { return Readiness::Never };
        // One of its own is down.
        if self.keypad.poll_timeout().is_some() {
            return Readiness::Later;
        }
        let known = self.reception.timestamp_at(now).zip(self.reception.ssrc());
        let Some(((timestamp, clock_rate), ssrc)) = known else { return Readiness::Later };
        // RFC 4733 §2.1: that on the clock of the audio, if there are several.
        let events = stream.payload_types.iter().filter(|mapping| mapping.telephone_event);
        let Some(event) = events.min_by_key(|event| event.clock_rate != clock_rate) else { return Readiness::Never };
        let Mapping { there: payload_type, clock_rate_there: clock_rate, .. } = *event;
        let sequence = self.reception.standing().sequence;
        Readiness::Ready(presser::Standing { ssrc, sequence, timestamp, payload_type, clock_rate })
    }

    /// Whether it has pressed this key itself a moment ago.
    pub(super) fn has_pressed(&self, now: Instant, key: char) -> bool {
        self.keypad.has_heard(now, key)
    }

    /// Where the next RTP packet for this leg goes.
    pub(super) fn destination(&mut self, now: Instant) -> Option<SocketAddr> {
        self.rtp.destination(now)
    }

    /// Who was validated last.
    pub(super) fn pinned(&self) -> Option<SocketAddr> {
        self.rtp.pinned()
    }

    /// Who alone speaks for its RTP port, and is alone sent to, until it is set anew.
    #[inline]
    pub(super) fn settled(&self) -> Option<SocketAddr> {
        self.rtp.settled()
    }

    /// Whether RTP for this leg may have gone there.
    pub(super) fn is_at(&self, address: SocketAddr) -> bool {
        self.rtp.may_speak(address)
    }

    /// Whether its packets go as they come from the other leg, and by nobody else's hand: they are neither protected, nor mixed with any of
    /// ours, nor recorded.
    pub(super) fn is_plain(&self) -> bool {
        self.security.is_none() && !self.plays() && self.recording().is_none()
    }

    /// What may be told of its audio, if that goes to `to` and cannot go anywhere else.
    pub(super) fn rule(&self, to: SocketAddr) -> Option<Rule> {
        let stream = self.stream.as_ref().filter(|stream| stream.sends && stream.line != Line::Fax)?;
        let (peer, ssrc) = (self.rtp.settled()?, self.reception.ssrc()?);
        // Tones are heard in audio, so all of it has to come here.
        if stream.digits.in_band {
            return None;
        }
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
        self.presence.hear(now);
        self.counted.packets_received += carried.packets;
        self.counted.packets_forwarded += carried.packets;
        self.counted.octets_received += carried.octets;
        self.reception.carry(carried.packets, carried.standing.jitter);
    }

    /// For what becomes of its packets after they were accepted.
    pub(super) fn counters(&mut self) -> &mut Counted {
        &mut self.counted
    }

    /// An RTCP packet is to go to this leg: where to, and through which of our ports. It is protected as the leg's are.
    pub(super) fn send_rtcp(&mut self, now: Instant, packet: &mut Packet<'_>) -> Result<(SocketAddr, Kind), Reason> {
        let through = self.rtcp_port();
        let to = match through {
            Kind::Rtp => self.rtp.destination_on_same_port(),
            Kind::Rtcp => self.rtcp.destination_beside(&self.rtp),
        };
        let to = to.ok_or(Reason::Unbridged)?;
        self.feedback.sent(now, packet.bytes());
        let protected = self.security.as_mut().map_or(Ok(()), |security| security.protect_rtcp(packet));
        protected.map_err(security::reason)?;
        Ok((to, through))
    }

    /// A valid RTCP packet came from this leg: what it says of the other one, which is what it hears.
    pub(super) fn hear_rtcp(&mut self, now: Instant, packet: &[u8], other: &Leg) {
        self.feedback.received(now, packet, &other.reception);
    }

    /// For how long nothing has come of it, if it is awaited.
    pub(super) fn silence(&self, now: Instant) -> Option<Silence> {
        self.presence.silence(now)
    }

    /// For how long it was awaited up to now, milliseconds.
    pub(super) fn awaited_ms(&self, now: Instant) -> u64 {
        self.presence.awaited_ms(now)
    }

    /// The call is over.
    pub(super) fn end(&mut self, now: Instant) {
        self.presence.end(now);
    }

    pub(super) fn report(&self, other: &Leg) -> Counters {
        Counters {
            packets_lost: self.reception.lost(),
            packets_reordered: self.reception.reordered(),
            packets_duplicated: self.reception.duplicated(),
            jitter_ms: self.reception.jitter_ms(),
            jitter_ms_max: self.reception.jitter_ms_max(),
            heard_from: self.rtp.pinned().or(self.counted.heard_from),
            timing: self.presence.report(),
            reported: self.feedback.report(),
            mos: self.mos(),
            mos_heard: self.mos_heard(other),
            dtmf_untold: self.told.as_ref().map_or(0, |told| told.untold),
            dtmf_in_band: self.told.as_ref().map_or(0, |told| told.in_band),
            dtmf_sent: self.pressed().0,
            dtmf_unsent: self.pressed().1,
            ..self.counted.report()
        }
    }

    /// Of what came from it, as far as here: half a round trip, one packet's audio, and a buffer of twice the jitter.
    fn mos(&self) -> Option<f64> {
        let loss = ratio(self.reception.lost(), self.reception.expected())?;
        let delay_ms = self.way_ms() + f64::from(self.reception.packet_ms() + 2.0 * self.reception.jitter_ms());
        Way { codec: self.codec, loss, burst_ratio: self.reception.burst_ratio(), delay_ms }.mos()
    }

    /// Of what it hears: its reports are of the whole way from the other leg.
    fn mos_heard(&self, other: &Leg) -> Option<f64> {
        let reported = self.feedback.report();
        let loss = ratio(reported.packets_lost?, reported.packets_expected)?;
        let jitter_ms = reported.jitter_ms.unwrap_or_default();
        let delay_ms = self.way_ms() + other.way_ms() + f64::from(other.reception.packet_ms() + 2.0 * jitter_ms);
        // The pattern of losses is known as far as here.
        Way { codec: other.codec, loss, burst_ratio: other.reception.burst_ratio(), delay_ms }.mos()
    }

    /// One way between it and us, milliseconds; 0 while nobody knows.
    fn way_ms(&self) -> f64 {
        self.feedback.report().round_trip.map_or(0.0, |trip| f64::from(trip.mean_ms) / 2.0)
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let tones = self.told.as_ref().and_then(|told| told.ear.as_ref()?.poll_timeout());
        [self.silent_at(), self.keypad.poll_timeout(), tones, self.announcer.again_at()].into_iter().flatten().min()
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if self.silent_at().is_some_and(|due| due <= now) {
            self.told_silent = true;
            self.tell(Change::Silent);
        }
        let digit = self.keypad.handle_timeout(now);
        self.tell_digit(now, digit, Means::Rfc4733);
        let digit = self.told.as_mut().and_then(|told| told.ear.as_mut()?.handle_timeout(now));
        self.tell_digit(now, digit, Means::InBand);
        if self.announcer.handle_timeout(now) {
            self.choose_sound();
        }
    }

    pub(super) fn poll_notice(&mut self) -> Option<Notice> {
        let digit = |told: &mut Box<Told>| told.poll().map(|(digit, means)| Notice::Dtmf(digit, means));
        self.changes.pop_at(0).map(Notice::Presence).or_else(|| self.told.as_mut().and_then(digit))
    }

    fn silent_at(&self) -> Option<Instant> {
        let silence_max = self.stream.as_ref()?.silence_max?;
        (!self.told_silent).then_some(self.heard + silence_max)
    }

    /// It pressed a key, perhaps: counted, and told where it is to be and they do not come too fast.
    fn tell_digit(&mut self, now: Instant, digit: Option<Digit>, means: Means) {
        let Some(digit) = digit else { return };
        let count = match (means, &mut self.told) {
            (Means::InBand, Some(told)) => &mut told.in_band,
            (Means::InBand | Means::Rfc4733 | Means::Info, _) => &mut self.counted.dtmf_digits,
        };
        *count = count.saturating_add(1);
        let Some(told) = self.told.as_mut().filter(|_| self.stream.as_ref().is_some_and(tells)) else { return };
        told.note(now, digit, means);
    }

    /// Full only if the owner does not drain after each call, as it must.
    fn tell(&mut self, change: Change) {
        let pushed = self.changes.try_push(change);
        debug_assert!(pushed.is_ok(), "the flow's events were not drained");
    }
}

fn tells(stream: &Stream) -> bool {
    stream.digits.reporting == Reporting::Tell
}

fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| statistics::float(part) / statistics::float(whole))
}
