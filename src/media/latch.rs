//! Which source address speaks for a leg's port, and where that leg may be sent to: the guard against RTP bleed, injection and
//! floods aimed at third parties (RELIABILITY A1, A20, invariant I9). One latch guards one port.
//! Not here: what a packet holds (`header`), and what is done with it (`forward`).
//!
//! ```text
//!               the SDP's address: at once
//!   ┌─────────┐ ───────────────────────────────▶ ┌────────┐  only the pinned address is heard;
//!   │ unheard │                                  │ pinned │  a learned one gives way to the SDP's own
//!   └─────────┘ ───────────────────────────────▶ └────────┘  after two in sequence
//!               SDP's or signalling's IP, any        │ ▲
//!               port: two in sequence of one SSRC    └─┘ new signalling: learn once more, hear the old one meanwhile
//! ```

use crate::limits;
use crate::mutant::{Mutant, planted};
use crate::time::Instant;
use arrayvec::ArrayVec;
use std::net::{IpAddr, SocketAddr};

/// What signalling says of a port's peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Signalled {
    /// The address that the SDP names; `None` while the leg wants nothing.
    pub address: Option<SocketAddr>,
    /// Where the signalling comes from: the only other IP address that may be learned.
    pub signalling: IpAddr,
    /// What may go to `address` before anything came from there.
    pub trust: Trust,
}

/// What a leg may be sent before it was heard (RELIABILITY A20).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trust {
    /// Nothing.
    Nothing,
    /// A second of audio: it has been let in, but the address that it names may be anybody's.
    Burst,
    /// Whatever there is for it: the address is its own.
    Address,
}

/// What a packet brings to be believed by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Evidence {
    /// RTP: the sequence number, which has to follow the one before.
    Sequence(u16),
    /// RTCP: it has no sequence. A second packet of the same SSRC has to follow, unless `heard` says that the SSRC is the one which
    /// this IP address sends validated RTP with: 32 bits that a stranger does not know.
    Report {
        /// Whether SSRC and IP address are those of validated RTP.
        heard: bool,
    },
}

/// What the latch thinks of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// From the pinned address.
    Accepted,
    /// From the pinned address, with a new SSRC.
    AcceptedNewSsrc,
    /// Validated by this packet: its source is pinned from now on.
    Latched,
    /// From an address that may be learned, but not believed yet.
    OnTrial,
    /// From an address that may not be learned.
    Strange,
}

/// One port's guard.
#[derive(Debug, Default)]
pub struct Latch {
    signalled: Option<Signalled>,
    pinned: Option<Pinned>,
    /// Whether an address that signalling did not name may still be learned: from each new signalling until the next validation.
    learning: bool,
    /// The last address that signalling named; it outlives a hold, which names none.
    named_last: Option<SocketAddr>,
    /// Whether signalling has named another address since the last validation: then the old one does not end the learning.
    moved: bool,
    /// Made for the first who has to prove itself: most legs are heard from where their SDP says.
    trials: Option<Box<Trials>>,
    burst: Burst,
}

#[derive(Clone, Copy, Debug)]
struct Pinned {
    address: SocketAddr,
    ssrc: u32,
}

/// An address that may be learned, with what its next packet must look like.
#[derive(Clone, Copy, Debug)]
struct Trial {
    address: SocketAddr,
    ssrc: u32,
    /// `None` for RTCP.
    next: Option<u16>,
    seen: u8,
}

/// Those that have to prove themselves.
#[derive(Debug, Default)]
struct Trials {
    places: ArrayVec<Trial, { limits::LATCH_CANDIDATES_MAX }>,
    /// Newcomers that found no place since the last who got one.
    turned_away: u8,
    /// How many got another's place.
    displaced: u8,
}

/// What was sent to a trusted address before it was heard. A burst that nobody has answered is the leg's last: else whoever may signal
/// could have one sent to a third party after the other.
#[derive(Clone, Copy, Debug, Default)]
struct Burst {
    /// Where it goes, and since when.
    begun: Option<(SocketAddr, Instant)>,
    packets: u8,
}

impl Latch {
    /// New signalling: what it names may be learned, once. The address pinned so far stays valid until then.
    /// Another address has a start burst of its own only if the last one was answered.
    pub fn signal(&mut self, signalled: Signalled) {
        if let Some(address) = signalled.address {
            match self.named_last.replace(address) {
                Some(before) if same(before, address) => {}
                Some(_) | None => self.moved = self.pinned.is_some(),
            }
        }
        self.signalled = Some(signalled);
        self.learning = true;
        self.trials = None;
    }

    /// Whether a packet from `source` is worth reading at all: cheap, and before a byte of the packet is looked at.
    #[inline]
    pub fn may_speak(&self, source: SocketAddr) -> bool {
        self.is_pinned(source) || self.is_named(source) || self.learning && self.is_learnable(source.ip())
    }

    /// Judges a well-formed packet. Only [`Verdict::Accepted`], [`Verdict::AcceptedNewSsrc`] and [`Verdict::Latched`] ones count.
    #[inline]
    pub fn judge(&mut self, source: SocketAddr, ssrc: u32, evidence: Evidence) -> Verdict {
        match &mut self.pinned {
            Some(pinned) if same(pinned.address, source) => {
                let verdict = if pinned.ssrc == ssrc { Verdict::Accepted } else { Verdict::AcceptedNewSsrc };
                pinned.ssrc = ssrc;
                if self.learning {
                    self.confirm(source, ssrc, evidence);
                }
                verdict
            }
            Some(_) | None => self.judge_unpinned(source, ssrc, evidence),
        }
    }

    /// The pinned address, if there is one.
    pub fn pinned(&self) -> Option<SocketAddr> {
        self.pinned.map(|pinned| pinned.address)
    }

    /// The address that is alone on this port until signalling says something new: pinned, and the one that signalling names. A learned
    /// address never is, because it has to give way to the named one.
    #[inline]
    pub fn settled(&self) -> Option<SocketAddr> {
        self.pinned().filter(|pinned| !self.learning && self.is_named(*pinned))
    }

    /// Whether RTCP from `source` is to be believed on RTP's own port: it comes from whom RTP is heard from, or, while that is nobody,
    /// from the address that signalling names. It validates nobody.
    pub fn vouches_for(&self, source: SocketAddr) -> bool {
        self.is_pinned(source) || self.pinned.is_none() && self.is_named(source)
    }

    /// Where RTCP for this leg may go on RTP's own port: where RTP was heard from. There is no burst.
    pub fn destination_on_same_port(&self) -> Option<SocketAddr> {
        self.signalled?.address.and_then(|_| self.pinned())
    }

    /// Whether validated packets of `ssrc` come from this IP address.
    pub fn has_heard(&self, ip: IpAddr, ssrc: u32) -> bool {
        self.pinned.is_some_and(|pinned| pinned.ssrc == ssrc && pinned.address.ip().to_canonical() == ip.to_canonical())
    }

    /// Where the next packet for this leg may go; spends from a trusted leg's start burst. While a moved trusted leg has
    /// not spoken from its new address the burst goes there, then the old address is used again.
    #[inline]
    pub fn destination(&mut self, now: Instant) -> Option<SocketAddr> {
        let signalled = self.signalled.as_ref()?;
        let named = signalled.address?; // RFC 3264 §8.4: it wants nothing now
        let unheard = self.pinned.is_none() || self.moved;
        let may_begin = match signalled.trust {
            Trust::Nothing => planted(Mutant::BurstForUntrusted) && unheard && self.burst.take(now, named),
            Trust::Burst => unheard && self.burst.take(now, named),
            Trust::Address => unheard,
        };
        if may_begin { Some(named) } else { self.pinned() }
    }

    /// Where RTCP for this leg may go, this latch guarding its RTCP port and `rtp` its RTP port: to the address that RTCP came from,
    /// else to the one that the SDP names if RTP was heard from the same IP address. There is no burst.
    pub fn destination_beside(&self, rtp: &Latch) -> Option<SocketAddr> {
        let named = self.signalled.as_ref()?.address?;
        let heard = rtp.pinned.is_some_and(|pinned| pinned.address.ip().to_canonical() == named.ip().to_canonical());
        self.pinned().or_else(|| heard.then_some(named))
    }

    fn judge_unpinned(&mut self, source: SocketAddr, ssrc: u32, evidence: Evidence) -> Verdict {
        let named = self.is_named(source);
        let learnable = self.learning && self.is_learnable(source.ip());
        if !(named || learnable) {
            return Verdict::Strange;
        }
        // The SDP's address needs no trial, unless a learned one is being heard: one forged packet must not silence a leg.
        let at_once = named && (self.pinned.is_none() || self.learning);
        if !at_once && !self.passes_trial(source, ssrc, evidence) {
            return Verdict::OnTrial;
        }
        self.pinned = Some(Pinned { address: source, ssrc });
        self.burst.answer(source);
        self.end_learning();
        Verdict::Latched
    }

    /// After new signalling the address pinned before has to prove itself like any other, but only to end the learning: it is
    /// heard meanwhile. If signalling named another address, the old one never ends it.
    fn confirm(&mut self, source: SocketAddr, ssrc: u32, evidence: Evidence) {
        if self.is_named(source)
            || !self.moved && self.is_learnable(source.ip()) && self.passes_trial(source, ssrc, evidence)
        {
            self.end_learning();
        }
    }

    fn end_learning(&mut self) {
        self.learning = false;
        self.moved = false;
        self.trials = None;
    }

    fn passes_trial(&mut self, source: SocketAddr, ssrc: u32, evidence: Evidence) -> bool {
        let next = match evidence {
            Evidence::Report { heard: true } => return true,
            Evidence::Report { heard: false } => None,
            Evidence::Sequence(sequence) => Some(sequence),
        };
        let following = next.map(|sequence| sequence.wrapping_add(1));
        let trials = self.trials.get_or_insert_default();
        let Some(trial) = trials.places.iter_mut().find(|trial| same(trial.address, source)) else {
            trials.admit(Trial { address: source, ssrc, next: following, seen: 1 });
            return false;
        };
        let follows = trial.ssrc == ssrc && trial.next == next;
        let seen = if follows { trial.seen.saturating_add(1) } else { 1 };
        *trial = Trial { address: source, ssrc, next: following, seen };
        seen >= limits::LATCH_PACKETS_MIN
    }

    fn is_pinned(&self, source: SocketAddr) -> bool {
        self.pinned.is_some_and(|pinned| same(pinned.address, source))
    }

    fn is_named(&self, source: SocketAddr) -> bool {
        self.signalled.and_then(|signalled| signalled.address).is_some_and(|address| same(address, source))
    }

    fn is_learnable(&self, ip: IpAddr) -> bool {
        self.signalled.is_some_and(|signalled| {
            let named = signalled.address.map(|address| address.ip().to_canonical());
            let said = named == Some(ip.to_canonical()) || signalled.signalling.to_canonical() == ip.to_canonical();
            said || planted(Mutant::StrangerLearned)
        })
    }
}

impl Trials {
    /// Gives a newcomer a place. Once all are taken only every so manieth gets the oldest one's: who forges a packet of the leg's host from
    /// one port after the other would else drive the leg out before its next packet.
    fn admit(&mut self, trial: Trial) {
        if self.places.is_full() {
            self.turned_away += 1;
            // One more each time, so that nobody's packets fall into step with it.
            if self.turned_away < limits::LATCH_NEWCOMERS_A_PLACE + self.displaced % 8 {
                return;
            }
            self.displaced = self.displaced.wrapping_add(1);
            self.places.remove(0);
        }
        self.turned_away = 0;
        self.places.push(trial);
    }
}

impl Burst {
    fn take(&mut self, now: Instant, to: SocketAddr) -> bool {
        let (begun, since) = *self.begun.get_or_insert((to, now));
        let lasts = self.packets < limits::START_BURST_PACKETS_MAX && now.since(since) < limits::START_BURST_MAX;
        let left = lasts && same(begun, to);
        self.packets = self.packets.saturating_add(u8::from(left));
        left
    }

    /// Somebody was validated there.
    fn answer(&mut self, source: SocketAddr) {
        if self.begun.is_some_and(|(to, _)| to.ip().to_canonical() == source.ip().to_canonical()) {
            *self = Burst::default();
        }
    }
}

/// Same IP address and port. Scope and flow label of IPv6 do not count: the SDP cannot name them.
fn same(one: SocketAddr, other: SocketAddr) -> bool {
    one.port() == other.port() && one.ip().to_canonical() == other.ip().to_canonical()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Duration;
    use Verdict::{Accepted, AcceptedNewSsrc, Latched, OnTrial, Strange};

    const SDP: &str = "192.0.2.10:4000";
    const NAT: &str = "192.0.2.10:61000";
    const SIGNALLING: &str = "198.51.100.5:7000";
    const ATTACKER: &str = "203.0.113.66:4000";

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn signalled(address: &str) -> Signalled {
        Signalled { address: Some(at(address)), signalling: at(SIGNALLING).ip(), trust: Trust::Nothing }
    }

    /// One step of a story: a packet, or new signalling.
    enum Step {
        Rtp(&'static str, u32, u16, Verdict),
        Rtcp(&'static str, u32, bool, Verdict),
        Signal(&'static str),
        Hold,
    }
    use Step::{Hold, Rtcp, Rtp, Signal};

    /// Tells a latch, signalled with [`SDP`], a story; then it has to be pinned to `expect`.
    fn check(rule: &str, steps: &[Step], expect: Option<&str>) {
        let mut latch = Latch::default();
        latch.signal(signalled(SDP));
        for (number, step) in steps.iter().enumerate() {
            let mut judge = |source: &str, ssrc: u32, evidence: Evidence| match latch.may_speak(at(source)) {
                true => latch.judge(at(source), ssrc, evidence),
                false => Strange,
            };
            match *step {
                Rtp(source, ssrc, sequence, verdict) => {
                    let got = judge(source, ssrc, Evidence::Sequence(sequence));
                    assert_eq!(got, verdict, "{rule}, step {number}");
                }
                Rtcp(source, ssrc, heard, verdict) => {
                    assert_eq!(judge(source, ssrc, Evidence::Report { heard }), verdict, "{rule}, step {number}");
                }
                Signal(address) => latch.signal(signalled(address)),
                Hold => latch.signal(Signalled { address: None, ..signalled(SDP) }),
            }
        }
        assert_eq!(latch.pinned(), expect.map(at), "{rule}");
    }

    #[test]
    fn who_is_heard_first() {
        check("sdp_address_at_once", &[Rtp(SDP, 1, 9, Latched), Rtp(SDP, 1, 10, Accepted)], Some(SDP));
        check("sdp_ip_other_port_after_two", &[Rtp(NAT, 1, 9, OnTrial), Rtp(NAT, 1, 10, Latched)], Some(NAT));
        let signalling = [Rtp(SIGNALLING, 1, 9, OnTrial), Rtp(SIGNALLING, 1, 10, Latched)];
        check("signalling_ip_after_two", &signalling, Some(SIGNALLING));
        check("sequence_may_wrap", &[Rtp(NAT, 1, 65_535, OnTrial), Rtp(NAT, 1, 0, Latched)], Some(NAT));
        check("one_packet_does_not_latch", &[Rtp(NAT, 1, 9, OnTrial)], None);
        check("same_packet_twice_does_not_latch", &[Rtp(NAT, 1, 9, OnTrial), Rtp(NAT, 1, 9, OnTrial)], None);
        check("a_gap_does_not_latch", &[Rtp(NAT, 1, 9, OnTrial), Rtp(NAT, 1, 11, OnTrial)], None);
        check("backwards_does_not_latch", &[Rtp(NAT, 1, 9, OnTrial), Rtp(NAT, 1, 8, OnTrial)], None);
        check("two_ssrcs_do_not_latch", &[Rtp(NAT, 1, 9, OnTrial), Rtp(NAT, 2, 10, OnTrial)], None);
        let ports = [Rtp(NAT, 1, 9, OnTrial), Rtp("192.0.2.10:61002", 1, 10, OnTrial)];
        check("two_ports_do_not_latch", &ports, None);
        let late = [Rtp(NAT, 1, 9, OnTrial), Rtp(NAT, 1, 11, OnTrial), Rtp(NAT, 1, 12, Latched)];
        check("a_trial_may_be_tried_again", &late, Some(NAT));
    }

    #[test]
    fn a_sprayer_from_a_strange_ip_is_never_heard() {
        let before = [Rtp(ATTACKER, 1, 9, Strange), Rtp(ATTACKER, 1, 10, Strange), Rtp(ATTACKER, 1, 11, Strange)];
        check("before", &before, None);
        let during = [Rtp(NAT, 1, 9, OnTrial), Rtp(ATTACKER, 1, 10, Strange), Rtp(NAT, 1, 10, Latched)];
        check("during", &during, Some(NAT));
        let after = [Rtp(SDP, 1, 9, Latched), Rtp(ATTACKER, 1, 10, Strange), Rtp(SDP, 1, 10, Accepted)];
        check("after_with_the_right_ssrc", &after, Some(SDP));
        let again = [
            Rtp(SDP, 1, 9, Latched),
            Signal(SDP),
            Rtp(ATTACKER, 1, 10, Strange),
            Rtp(ATTACKER, 1, 11, Strange),
            Rtp(SDP, 1, 12, Accepted),
        ];
        check("after_new_signalling", &again, Some(SDP));
    }

    #[test]
    fn a_sprayer_from_an_allowed_ip_cannot_take_what_is_heard() {
        const SPRAY: &str = "192.0.2.10:5555";
        let before = [Rtp(SPRAY, 6, 1, OnTrial), Rtp(SDP, 1, 9, Latched), Rtp(SPRAY, 6, 2, Strange)];
        check("before_the_sdp_address_speaks", &before, Some(SDP));
        let after = [Rtp(NAT, 1, 9, OnTrial), Rtp(NAT, 1, 10, Latched), Rtp(SPRAY, 6, 1, Strange)];
        check("after_a_learned_one", &after, Some(NAT));
        let robbed = [
            Rtp(SPRAY, 6, 1, OnTrial),
            Rtp(SPRAY, 6, 2, Latched),
            Rtp(SDP, 1, 9, OnTrial),
            Rtp(SPRAY, 6, 3, Accepted),
            Rtp(SDP, 1, 10, Latched),
            Rtp(SPRAY, 6, 4, Strange),
        ];
        check("the_sdp_address_takes_it_back", &robbed, Some(SDP));
        let crowd = [
            Rtp(NAT, 1, 9, OnTrial),
            Rtp("192.0.2.10:5001", 6, 1, OnTrial),
            Rtp("192.0.2.10:5002", 6, 1, OnTrial),
            Rtp("192.0.2.10:5003", 6, 1, OnTrial),
            Rtp(NAT, 1, 10, Latched),
        ];
        check("a_few_strangers_do_not_end_a_trial", &crowd, Some(NAT));
    }

    #[test]
    fn an_ssrc_may_change_only_at_the_pinned_address() {
        let change = [Rtp(SDP, 1, 9, Latched), Rtp(SDP, 2, 70, AcceptedNewSsrc), Rtp(SDP, 2, 71, Accepted)];
        check("same_address", &change, Some(SDP));
        let hijack = [Rtp(SDP, 1, 9, Latched), Rtp(NAT, 1, 10, Strange), Rtp(NAT, 1, 11, Strange)];
        check("known_ssrc_from_another_port", &hijack, Some(SDP));
    }

    #[test]
    fn new_signalling_allows_learning_once() {
        const MOVED: &str = "192.0.2.77:4000";
        let moved = [
            Rtp(SDP, 1, 9, Latched),
            Signal(MOVED),
            Rtp(SDP, 1, 10, Accepted),
            Rtp(SDP, 1, 11, Accepted),
            Rtp(SDP, 1, 12, Accepted),
            Rtp(MOVED, 2, 1, Latched),
            Rtp(SDP, 1, 13, Strange),
        ];
        check("the_old_address_is_heard_until_the_new_one_is", &moved, Some(MOVED));
        let port_moved = [
            Rtp(SDP, 1, 9, Latched),
            Signal("192.0.2.10:4444"),
            Rtp(SDP, 1, 10, Accepted),
            Rtp(SDP, 1, 11, Accepted),
            Rtp(SDP, 1, 12, Accepted),
            Rtp("192.0.2.10:4446", 2, 1, OnTrial),
            Rtp("192.0.2.10:4446", 2, 2, Latched),
        ];
        check("the_old_port_does_not_end_the_learning", &port_moved, Some("192.0.2.10:4446"));
        let learned = [
            Rtp(SDP, 1, 9, Latched),
            Signal(MOVED),
            Rtp("192.0.2.77:9", 2, 1, OnTrial),
            Rtp(SDP, 1, 10, Accepted),
            Rtp("192.0.2.77:9", 2, 2, Latched),
            Rtp("192.0.2.77:11", 2, 3, Strange),
        ];
        check("the_new_one_may_be_behind_a_nat", &learned, Some("192.0.2.77:9"));
        let confirmed = [
            Rtp(NAT, 1, 9, OnTrial),
            Rtp(NAT, 1, 10, Latched),
            Signal(SDP),
            Rtp(NAT, 1, 11, Accepted),
            Rtp("192.0.2.10:5555", 6, 1, OnTrial),
            Rtp(NAT, 1, 12, Accepted),
            Rtp("192.0.2.10:5555", 6, 2, Strange),
        ];
        check("two_packets_of_the_old_one_end_it_when_nothing_moved", &confirmed, Some(NAT));
        let rebound = [
            Rtp(NAT, 1, 9, OnTrial),
            Rtp(NAT, 1, 10, Latched),
            Signal(SDP),
            Rtp(NAT, 1, 11, Accepted),
            Rtp("192.0.2.10:61777", 1, 12, OnTrial),
            Rtp("192.0.2.10:61777", 1, 13, Latched),
        ];
        check("a_nat_that_bound_anew_is_followed", &rebound, Some("192.0.2.10:61777"));
        let held = [Rtp(SDP, 1, 9, Latched), Hold, Rtp(SDP, 1, 10, Accepted), Signal(SDP), Rtp(SDP, 1, 11, Accepted)];
        check("hold_and_resume_keep_the_address", &held, Some(SDP));
    }

    /// A NATed leg's packets come each 20 ms; somebody who knows its host's address forges packets of it from ever new ports meanwhile. The
    /// leg is learned all the same, within the seconds that a call takes to be given up for silent.
    #[test]
    fn forgeries_from_many_ports_do_not_keep_a_leg_from_being_learned() {
        for forged_between in [1, 3, 4, 5, 16, 31, 32, 35, 63, 100] {
            let mut latch = Latch::default();
            latch.signal(signalled(SDP));
            let mut port = 10_000u16;
            let learned = (0..250).find(|sequence| {
                for _ in 0..forged_between {
                    port += 1;
                    let forged = SocketAddr::new(at(NAT).ip(), port);
                    // The places are his for now, as anybody's who is first; two in sequence of one port he does not send.
                    assert_ne!(latch.judge(forged, 7, Evidence::Sequence(port)), Latched);
                }
                latch.judge(at(NAT), 1, Evidence::Sequence(*sequence)) == Latched
            });
            assert!(learned.is_some_and(|packets| packets < 200), "{forged_between} forged: after {learned:?} packets");
            assert_eq!(latch.pinned(), Some(at(NAT)));
        }
    }

    #[test]
    fn on_the_rtp_port_reports_are_believed_of_whom_rtp_is_heard_from() {
        let heard = |steps: &[&str]| {
            let mut latch = Latch::default();
            latch.signal(signalled(SDP));
            for (sequence, source) in (1..).zip(steps) {
                latch.judge(at(source), 1, Evidence::Sequence(sequence));
            }
            latch
        };
        for (rule, latch, source, expect) in [
            ("nobody_heard_yet", heard(&[]), SDP, (true, None)),
            ("nobody_heard_yet_behind_a_nat", heard(&[]), NAT, (false, None)),
            ("on_trial", heard(&[NAT]), NAT, (false, None)),
            ("learned", heard(&[NAT, NAT]), NAT, (true, Some(NAT))),
            ("named_but_another_was_learned", heard(&[NAT, NAT]), SDP, (false, Some(NAT))),
            ("named", heard(&[SDP]), SDP, (true, Some(SDP))),
            ("another_port_of_the_named_host", heard(&[SDP]), NAT, (false, Some(SDP))),
            ("stranger", heard(&[SDP]), ATTACKER, (false, Some(SDP))),
        ] {
            let (vouches, to) = (latch.vouches_for(at(source)), latch.destination_on_same_port());
            assert_eq!((vouches, to), (expect.0, expect.1.map(at)), "{rule}");
        }
        let mut held = heard(&[SDP]);
        held.signal(Signalled { address: None, ..signalled(SDP) });
        assert_eq!(held.destination_on_same_port(), None, "it wants nothing");
        assert_eq!((Latch::default().vouches_for(at(SDP)), Latch::default().destination_on_same_port()), (false, None));
    }

    #[test]
    fn rtcp_needs_two_reports_or_a_known_ssrc() {
        check("sdp_address_at_once", &[Rtcp(SDP, 1, false, Latched)], Some(SDP));
        check("two_of_one_ssrc", &[Rtcp(NAT, 1, false, OnTrial), Rtcp(NAT, 1, false, Latched)], Some(NAT));
        check("two_ssrcs", &[Rtcp(NAT, 1, false, OnTrial), Rtcp(NAT, 2, false, OnTrial)], None);
        check("ssrc_and_ip_of_heard_rtp", &[Rtcp(NAT, 1, true, Latched)], Some(NAT));
        check("strange_ip", &[Rtcp(ATTACKER, 1, true, Strange)], None);
    }

    #[test]
    fn nothing_goes_to_an_unheard_address_but_a_short_burst_to_a_trusted_one() {
        for (rule, trust, step, expect) in [
            ("a_stranger_gets_nothing", Trust::Nothing, Duration::from_millis(20), 0),
            ("fifty_packets", Trust::Burst, Duration::from_millis(1), 50),
            ("one_second", Trust::Burst, Duration::from_millis(100), 10),
        ] {
            let mut latch = Latch::default();
            let mut now = Instant(0);
            assert_eq!(latch.destination(now), None, "before signalling");
            let mut sent = |latch: &mut Latch| {
                let mut packet = || {
                    now = now + step;
                    latch.destination(now)
                };
                (0..200).filter_map(|_| packet()).count()
            };
            latch.signal(Signalled { trust, ..signalled(SDP) });
            assert_eq!(sent(&mut latch), expect, "{rule}");
            latch.signal(Signalled { trust, ..signalled(SDP) });
            assert_eq!(sent(&mut latch), 0, "{rule}: the same address has no second burst");
            latch.judge(at(SDP), 1, Evidence::Sequence(1));
            assert_eq!(sent(&mut latch), 200, "{rule}: once heard it is sent to");
            latch.signal(Signalled { address: None, ..signalled(SDP) });
            assert_eq!(sent(&mut latch), 0, "{rule}: on hold it wants nothing");
        }
    }

    #[test]
    fn a_moved_leg_is_sent_to_at_its_old_address_until_the_new_one_is_heard() {
        const MOVED: &str = "192.0.2.77:4000";
        for (rule, trust, burst) in
            [("a_stranger_gets_nothing_there", Trust::Nothing, 0), ("a_trusted_one_its_burst", Trust::Burst, 50)]
        {
            let mut latch = Latch::default();
            latch.signal(Signalled { trust, ..signalled(SDP) });
            latch.judge(at(SDP), 1, Evidence::Sequence(1));
            assert_eq!(latch.destination(Instant(0)), Some(at(SDP)), "{rule}");
            latch.signal(Signalled { trust, ..signalled(MOVED) });
            let sent: Vec<_> = (0..60).map(|_| latch.destination(Instant(0)).unwrap()).collect();
            let (there, then) = sent.split_at(burst);
            assert!(there.iter().all(|to| *to == at(MOVED)) && then.iter().all(|to| *to == at(SDP)), "{rule}");
            latch.judge(at(MOVED), 1, Evidence::Sequence(2));
            assert_eq!(latch.destination(Instant(0)), Some(at(MOVED)), "{rule}");
        }
    }

    /// Who is sent to, five seconds long at 20 ms after each word of signalling, while the leg speaks from [`SDP`] in between.
    #[test]
    fn a_leg_whose_burst_nobody_answered_has_no_other() {
        const ONE: &str = "203.0.113.66:4000";
        const OTHER: &str = "203.0.113.77:4000";
        for (rule, words, expect) in [
            ("to_and_fro", [ONE, SDP, ONE, SDP, OTHER, SDP], 50),
            ("one_after_the_other", [ONE, OTHER, ONE, OTHER, ONE, SDP], 50),
            ("nothing_but_itself", [SDP; 6], 0),
        ] {
            let (mut latch, mut now) = (Latch::default(), Instant(0));
            let mut strays = 0;
            for word in [SDP].into_iter().chain(words) {
                latch.signal(Signalled { trust: Trust::Burst, ..signalled(word) });
                for sequence in 0..250 {
                    now = now + Duration::from_millis(20);
                    strays += usize::from(latch.destination(now).is_some_and(|to| to != at(SDP)));
                    latch.judge(at(SDP), 1, Evidence::Sequence(sequence));
                }
            }
            assert_eq!(strays, expect, "{rule}");
        }
        let mut latch = Latch::default();
        for (word, burst) in [(SDP, 50), (ONE, 50), (OTHER, 50)] {
            latch.signal(Signalled { trust: Trust::Burst, ..signalled(word) });
            let sent = (0..60).filter(|_| latch.destination(Instant(0)) == Some(at(word))).count();
            assert_eq!(sent, burst, "each was answered");
            latch.judge(at(word), 1, Evidence::Sequence(1));
        }
    }

    #[test]
    fn rtcp_is_sent_to_the_sdp_address_of_a_host_that_rtp_was_heard_from() {
        let (mut rtp, mut rtcp) = (Latch::default(), Latch::default());
        rtp.signal(signalled(SDP));
        rtcp.signal(signalled("192.0.2.10:4001"));
        assert_eq!(rtcp.destination_beside(&rtp), None);
        rtp.judge(at(SDP), 1, Evidence::Sequence(1));
        assert_eq!(rtcp.destination_beside(&rtp), Some(at("192.0.2.10:4001")));
        rtcp.judge(at(NAT), 1, Evidence::Report { heard: true });
        assert_eq!(rtcp.destination_beside(&rtp), Some(at(NAT)));
    }

    #[test]
    fn a_mapped_ipv4_address_is_the_ipv4_address() {
        let mut latch = Latch::default();
        latch.signal(Signalled { address: Some(at("[::ffff:192.0.2.10]:4000")), ..signalled(SDP) });
        assert_eq!(latch.judge(at(SDP), 1, Evidence::Sequence(1)), Latched);
    }
}
