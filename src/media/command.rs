//! What the switch tells the relay and what the relay tells the switch: the only words between the two.
//! A flow is one bridged call's media: two legs, each with an even RTP port and the odd RTCP port above it for audio, and as much again for
//! each further line. The odd one stays unused where a leg has its RTCP on the RTP port.

use crate::id::{FlowId, Side};
use crate::limits;
use crate::media::digits::{Digits, Means};
use crate::media::dtmf::Dialled;
use crate::media::feedback::Reported;
use crate::media::latch::Trust;
use crate::media::player::Play;
use crate::media::presence::Timing;
use crate::media::quality::Codec;
use crate::media::recording::{Recorded, Recording, Sides};
use crate::media::watch::Warning;
use crate::sdp::Master;
use crate::time::Duration;
use arrayvec::ArrayVec;
use serde::Serialize;
use std::net::{IpAddr, SocketAddr};

/// A leg each: the caller's RTP address, the client's. RTCP is one port above.
pub type Ports = (SocketAddr, SocketAddr);

/// One of a flow's streams, as a line of a session description is one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Line {
    /// What every flow has.
    Audio,
    /// Video.
    Video,
    /// A fax (T.38), whose packets are UDPTL: no RTP, and nothing on the port above.
    Fax,
}

impl Line {
    /// All of them.
    pub const ALL: [Line; 3] = [Line::Audio, Line::Video, Line::Fax];
    /// Those that a flow may have besides audio.
    pub const FURTHER: [Line; 2] = [Line::Video, Line::Fax];
}

/// Switch to relay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Take a pair of ports for each leg on `caller_local` and `client_local` (one of the relay's addresses), on one worker.
    /// Answered by [`Event::Opened`] or [`Event::Failed`]. Nothing is forwarded until both legs have a [`Stream`].
    Open {
        /// The new flow.
        flow: FlowId,
        /// The address on which the caller's leg gets its ports.
        caller_local: IpAddr,
        /// The address on which the client's leg gets its ports.
        client_local: IpAddr,
    },
    /// Take as many ports again for a further line of an open flow, which lasts as long as the flow. Answered by [`Event::Added`], with the
    /// ports that it has if it has some already.
    Add {
        /// The flow.
        flow: FlowId,
        /// The line.
        line: Line,
        /// As in [`Command::Open`].
        caller_local: IpAddr,
        /// As in [`Command::Open`].
        client_local: IpAddr,
    },
    /// What signalling now says of one line of one leg. Sent at the bridge and again after each re-INVITE; allows the leg to be learned anew.
    Set {
        /// The flow.
        flow: FlowId,
        /// Which leg.
        side: Side,
        /// The leg's stream.
        stream: Stream,
    },
    /// Whoever was on this leg is gone, and another will come: on no line is anything taken from the leg's addresses or sent to them until the next
    /// [`Command::Set`], which knows none of them. What was counted stays.
    Clear {
        /// The flow.
        flow: FlowId,
        /// Which leg.
        side: Side,
    },
    /// Begin the recording of a call, which goes on until [`Command::Close`]. What of it is recorded, and when, is in each [`Stream`]. A second
    /// one is heeded no more.
    Record {
        /// The flow.
        flow: FlowId,
        /// The file's path below the directory of recordings.
        file: Box<str>,
        /// Whose channels it has.
        sides: Sides,
    },
    /// Press keys for one leg to hear, in the stream that it hears of the other one; those that cannot be pressed are counted.
    Press {
        /// The flow.
        flow: FlowId,
        /// Who is to hear them.
        side: Side,
        /// The keys.
        dialled: Dialled,
        /// How long each is; `None`: as is usual.
        duration: Option<Duration>,
    },
    /// Stop forwarding, give the ports back, answer [`Event::Closed`].
    Close {
        /// The flow.
        flow: FlowId,
    },
}

/// One leg's side of a line, as signalling describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// The line.
    pub line: Line,
    /// Where the leg's SDP says that RTP is to be sent; `None` while it wants nothing (port 0 or `0.0.0.0`).
    pub remote_rtp: Option<SocketAddr>,
    /// Where RTCP comes from and goes.
    pub rtcp: RtcpPort,
    /// Where the leg's signalling comes from: besides the SDP's the only address that may be learned (RELIABILITY A1).
    pub signalling: IpAddr,
    /// Whether the leg may be sent a short burst before it was heard (a caller from a listed trunk; RELIABILITY A20).
    pub trust: Trust,
    /// What this leg calls each payload type and what the other leg calls it. Packets with others are dropped and counted.
    pub payload_types: ArrayVec<Mapping, { limits::CODECS_MAX }>,
    /// Whether this leg's packets go to the other (it may send: `sendrecv`, `sendonly`).
    pub sends: bool,
    /// What the leg hears while nothing is forwarded to it.
    pub plays: Option<Play>,
    /// How long this leg may stay silent before [`Event::Silent`]; `None` while it is not expected to send.
    pub silence_max: Option<Duration>,
    /// The keys of SRTP; `None` where the leg's packets are plain.
    pub keys: Option<Box<Keys>>,
    /// Of a call that is recorded.
    pub recording: Option<Box<Recording>>,
    /// What is made of the leg's keys.
    pub digits: Digits,
}

/// The port of a leg's RTCP, at both ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RtcpPort {
    /// Its own. Where it is to be sent: `a=rtcp`, else the RTP port plus one.
    Own(Option<SocketAddr>),
    /// RTP's (RFC 5761): whoever speaks for that speaks for this.
    Shared,
}

/// The keys of a leg's two directions (RFC 4568 §6.1: each end chooses the one that it sends under).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    /// What is sent to the leg is protected by this one.
    pub ours: Master,
    /// What comes from the leg is.
    pub theirs: Master,
}

/// One payload type, in both legs' numbering.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// The number in packets from this leg.
    pub here: u8,
    /// The number that the other leg knows it by.
    pub there: u8,
    /// RTP clock rate, Hz: for jitter and durations.
    pub clock_rate: u32,
    /// The same on the other leg: another one only of telephone-event.
    pub clock_rate_there: u32,
    /// Whether it is telephone-event (RFC 4733), whose digits are counted.
    pub telephone_event: bool,
    /// What it is coded as: for the opinion score.
    pub codec: Codec,
}

impl Mapping {
    /// Whether its packets have to be counted by another clock on their way.
    pub fn rescales(&self) -> bool {
        self.telephone_event && self.clock_rate != self.clock_rate_there
    }
}

/// Relay to switch.
#[derive(Clone, Debug)]
pub enum Event {
    /// The ports are bound; these addresses go into the SDP.
    Opened {
        /// The flow.
        flow: FlowId,
        /// The RTP address for the caller's leg; the port for RTCP is one above.
        caller: SocketAddr,
        /// The RTP address for the client's leg.
        client: SocketAddr,
    },
    /// What came of [`Command::Add`].
    Added {
        /// The flow.
        flow: FlowId,
        /// The line.
        line: Line,
        /// `None`: no ports to be had. The flow goes on as it is.
        ports: Option<Ports>,
    },
    /// No ports to be had, no such address, or (later) a fault of the relay's own: either way the flow is gone and holds nothing.
    Failed {
        /// The flow.
        flow: FlowId,
        /// A short reason for the record.
        reason: &'static str,
    },
    /// A leg's source address of audio is validated (RELIABILITY A1); packets now go there.
    Latched {
        /// The flow.
        flow: FlowId,
        /// Which leg.
        side: Side,
        /// Its validated source.
        peer: SocketAddr,
    },
    /// A leg was silent for its [`Stream::silence_max`]. Of a fax, where one speaks at a time, both were.
    Silent {
        /// The flow.
        flow: FlowId,
        /// On which line.
        line: Line,
        /// Which leg.
        side: Side,
    },
    /// A leg pressed a key, reported once at its end, where keys are to be told ([`crate::media::Reporting::Tell`]).
    Dtmf {
        /// The flow.
        flow: FlowId,
        /// Who pressed it.
        side: Side,
        /// `0`–`9`, `*`, `#`, `A`–`D`. A secret: it may be a PIN; it reaches no log.
        digit: char,
        /// How long, milliseconds.
        duration_ms: u32,
        /// How it was heard.
        heard: Means,
    },
    /// Somebody is not heard who should be, or is again.
    Warning {
        /// The flow.
        flow: FlowId,
        /// What is said of it.
        warning: Box<Warning>,
    },
    /// The flow is gone and its ports are given back (they rest for [`limits::PORT_REST`]).
    Closed {
        /// The flow.
        flow: FlowId,
        /// What was counted: boxed, because no other event is as large.
        report: Box<Closed>,
    },
}

/// A finished flow's counters, for the call detail record.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Closed {
    /// What came from the caller.
    pub caller: Counters,
    /// What came from the client.
    pub client: Counters,
    /// The same of its video, if it had ports for it. In a call's record it stands elsewhere.
    #[serde(skip)]
    pub video: Option<Box<Closed>>,
    /// The same of a fax.
    #[serde(skip)]
    pub fax: Option<Box<Closed>>,
    /// What became of its recording. The record has it elsewhere.
    #[serde(skip)]
    pub recording: Option<Recorded>,
    /// How many warnings were told while it went on. The record has it elsewhere.
    #[serde(skip)]
    pub warnings: u8,
}

/// What was received from one leg and what became of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Counters {
    /// RTP packets received from the leg's validated address.
    pub packets_received: u64,
    /// Of these, sent on to the other leg.
    pub packets_forwarded: u64,
    /// Payload octets received.
    pub octets_received: u64,
    /// Expected by sequence numbers but never seen (RFC 3550 §A.3); one that comes twice makes up for none.
    pub packets_lost: u64,
    /// Came after one with a higher sequence number.
    pub packets_reordered: u64,
    /// Came a second time.
    pub packets_duplicated: u64,
    /// Interarrival jitter, milliseconds (RFC 3550 §6.4.1): the latest estimate.
    pub jitter_ms: f32,
    /// The highest that it was.
    pub jitter_ms_max: f32,
    /// Dropped: from a strange address.
    pub dropped_source: u64,
    /// Dropped: malformed, wrong version, or of a payload type that was not negotiated.
    pub dropped_malformed: u64,
    /// Dropped: protected by another key than the leg's, or changed on the way (RFC 3711 §3.3).
    pub dropped_unauthentic: u64,
    /// Dropped: a number that has come before, or is too old to tell, with SRTP on the leg that it came from or is to go to.
    pub dropped_replayed: u64,
    /// Dropped: the leg may not send, or the other has nowhere to receive.
    pub dropped_unbridged: u64,
    /// Not sent on: the other leg was hearing that the call is recorded.
    pub packets_replaced: u64,
    /// Dropped: the kernel had no room to send it (EAGAIN, ENOBUFS) or no route.
    pub dropped_unsent: u64,
    /// How often the leg's host said that nobody listens where RTP is sent (ICMP port unreachable): its caller hears nothing.
    pub refused: u64,
    /// How often the network said that the leg's address cannot be reached (ICMP, whatever else).
    pub unreachable: u64,
    /// How often the validated address changed its SSRC: a transfer behind it, a restart, or somebody's forgery.
    pub ssrc_changes: u32,
    /// Packets of ours that went to the leg: tones and music.
    pub packets_played: u64,
    /// RTCP packets forwarded.
    pub rtcp_forwarded: u64,
    /// RTCP packets dropped, whatever the reason.
    pub rtcp_dropped: u64,
    /// Keys that came as telephone-event. In a call's record all that is counted of keys stands elsewhere.
    #[serde(skip)]
    pub dtmf_digits: u32,
    /// Keys that came as tones in the audio.
    #[serde(skip)]
    pub dtmf_in_band: u32,
    /// Keys that came too fast to be told.
    #[serde(skip)]
    pub dtmf_untold: u32,
    /// Keys that we pressed for the leg to hear.
    #[serde(skip)]
    pub dtmf_sent: u32,
    /// Keys that it should have heard of us, and could not.
    #[serde(skip)]
    pub dtmf_unsent: u32,
    /// The address that its SDP named last.
    pub named: Option<SocketAddr>,
    /// The address that it was heard from last.
    pub heard_from: Option<SocketAddr>,
    /// Our address for it.
    pub local: Option<SocketAddr>,
    /// When it was heard and when not.
    pub timing: Timing,
    /// What its RTCP says of what it hears, and the round trip to it.
    pub reported: Reported,
    /// The mean opinion score of what came from it, as far as here (`media::quality`); `null` if none did, or of a codec without values.
    pub mos: Option<f64>,
    /// The same of what it hears, by its own reports and all the way from the other leg; `null` without reports.
    pub mos_heard: Option<f64>,
}

impl Event {
    /// The flow it is about.
    pub fn flow(&self) -> FlowId {
        match self {
            Event::Opened { flow, .. }
            | Event::Added { flow, .. }
            | Event::Failed { flow, .. }
            | Event::Latched { flow, .. }
            | Event::Silent { flow, .. }
            | Event::Dtmf { flow, .. }
            | Event::Warning { flow, .. }
            | Event::Closed { flow, .. } => *flow,
        }
    }
}
