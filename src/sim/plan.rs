//! What one seed stands for: how the switches are set up, which faults there are, and what everybody is going to do. Plain data, made
//! before anything happens, so that parts of it can be left out and the rest goes on as before (`shrink`).
//! Not here: drawing it (`draw`), and doing it (`world`).

use super::text::{Offer, Way};

/// Everything.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// Seeds what is not decided here: the core's own chance, and what becomes of each datagram.
    pub(super) seed: u64,
    pub(super) faults: Faults,
    pub(super) terms: Terms,
    pub(super) calls: Vec<CallPlan>,
    /// What operators do, and when (milliseconds).
    pub(super) words: Vec<(u32, Word)>,
    /// Calls that must be taken, whatever happens.
    pub(super) least_calls: u32,
}

/// A set of kinds of faults; each seed has some of them (swarm testing).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Faults(pub(super) u32);

macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident = $bit:literal, $word:literal;)+) => {
        impl Faults {
            $($(#[$doc])* pub(super) const $name: Faults = Faults(1 << $bit);)+
            /// Each with its word.
            pub(super) const ALL: &[(&'static str, Faults)] = &[$(($word, Faults::$name)),+];
        }
    };
}

faults! {
    /// Datagrams are lost.
    LOSS = 0, "loss";
    /// Datagrams come twice.
    DUPLICATION = 1, "duplication";
    /// Datagrams take unlike times, so that they overtake each other.
    REORDERING = 2, "reordering";
    /// For some time nothing gets through between an agent and its switch.
    PARTITION = 3, "partition";
    /// Long datagrams do not get through.
    MTU = 4, "mtu";
    /// Policy takes its time.
    SLOW_POLICY = 5, "slow-policy";
    /// Policy fails, says nonsense, answers twice, or changes its mind.
    BROKEN_POLICY = 6, "broken-policy";
    /// The relay is slow, has no ports, loses flows.
    BROKEN_RELAY = 7, "broken-relay";
    /// Audio is sent, by strangers too.
    MEDIA = 8, "media";
    /// Agents break the rules of SIP.
    RUDENESS = 9, "rudeness";
    /// Little room, and for some time more messages than can be worked off.
    CAPS = 10, "caps";
    /// A drain, a stop or both.
    ENDING = 11, "ending";
    /// Token keys are replaced.
    ROTATION = 12, "rotation";
    /// The wall clock jumps.
    CLOCK = 13, "clock";
    /// A partition that outlasts every timer.
    LONG_PARTITION = 14, "long-partition";
    /// Connections end.
    BREAKS = 15, "breaks";
}

impl Faults {
    pub(super) fn has(self, other: Faults) -> bool {
        self.0 & other.0 == other.0
    }

    pub(super) fn without(self, other: Faults) -> Faults {
        Faults(self.0 & !other.0)
    }
}

/// How the switches are set up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    pub(super) nodes: u8,
    pub(super) park_ms: u32,
    pub(super) repeat_ms: u32,
    pub(super) ring: u16,
    pub(super) fallback: u16,
    /// How long a side may be silent, milliseconds.
    pub(super) silence_ms: u32,
    pub(super) cap_total: u32,
    pub(super) cap_name: u32,
    pub(super) cap_source: u32,
    pub(super) cap_trunk: u32,
    pub(super) engine: EngineKind,
    /// Bridges that one subject may have, as its JWT says.
    pub(super) concurrent: u32,
}

/// Which policy engine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum EngineKind {
    /// The real default engine, by the grants in the JWTs.
    Grants,
    /// One that is always sure, and often says yes.
    Sure,
    /// One that asks a server.
    Asks,
}

/// One call: who calls, and who is told.
#[derive(Clone, Debug)]
pub(super) struct CallPlan {
    pub(super) at_ms: u32,
    pub(super) node: u8,
    pub(super) route: Called,
    pub(super) caller: Conduct,
    pub(super) clients: Vec<ClientPlan>,
}

/// Which number is called.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Called {
    Foo,
    FooWeb,
    Bar,
    /// One of the numbers that lead to a name of their own, at which telephones are registered.
    Own {
        /// Which.
        number: u8,
        /// Its telephones are rung, and not told.
        rings: bool,
    },
    /// One that has no route.
    Nobody,
}

impl Called {
    /// Whether telephones are rung by the route.
    pub(super) fn rings(self) -> bool {
        matches!(self, Called::Own { rings: true, .. })
    }
}

/// A subscriber.
#[derive(Clone, Debug)]
pub(super) struct ClientPlan {
    /// An index into `office::NAMES`.
    pub(super) name: u8,
    /// An index into `office::SUBJECTS`.
    pub(super) subject: u8,
    /// When it subscribes, after the call began, and when it leaves.
    pub(super) listens_ms: (u32, u32),
    /// The switch that it calls back to.
    pub(super) node: u8,
    pub(super) token: TokenKind,
    pub(super) jwt: JwtKind,
    /// It is a telephone that registers, instead of hearing of calls on a channel.
    pub(super) hand: Option<Hand>,
    pub(super) conduct: Conduct,
}

impl ClientPlan {
    /// Whether it is a telephone that is rung, and not told.
    pub(super) fn is_rung(&self, called: Called) -> bool {
        self.hand.is_some() && (called.rings() || self.jwt == JwtKind::Rings)
    }
}

/// What a telephone does that registers, and what it does when it is rung.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Hand {
    /// When it registers: so long after the first moment at which it may, milliseconds.
    pub(super) registers_ms: u32,
    /// For how long, seconds.
    pub(super) lasts: u32,
    /// How long after the INVITE it says that it rings, milliseconds.
    pub(super) rings_ms: Option<u32>,
    pub(super) pick: Pick,
    /// How long after the INVITE, milliseconds.
    pub(super) after_ms: u32,
    /// It takes a CANCEL for a request like any other, and rings on.
    pub(super) is_stubborn: bool,
    /// What it says to being told; 0 for nothing.
    pub(super) told: u16,
    /// It has opened a connection to the switch.
    pub(super) is_connected: bool,
    /// When the connection ends, after the telephone was to register, and how long after that it opens another, milliseconds.
    pub(super) breaks_ms: Option<(u32, u32)>,
}

/// What somebody does with a telephone that rings.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Pick {
    /// 200 with an offer.
    Answers,
    /// Behind it a fork: two of its branches answer, the second so many milliseconds after the first.
    AnswersTwice(u32),
    /// It answers and hangs up so many milliseconds later, whether its 200 was acknowledged or not.
    HangsUp(u32),
    Refuses(u16),
    Nothing,
}

/// The bridge token that a client brings.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum TokenKind {
    Good,
    /// As the user part of the Request-URI, without a JWT.
    Dial,
    /// Issued to another subject.
    Stolen,
    /// Issued for another name.
    OtherName,
    Expired,
    /// Sealed by a node with other keys.
    Foreign,
    /// Of a generation that was never parked.
    OtherGeneration,
    Garbage,
    /// Two of them.
    Twice,
    /// One character changed.
    Changed,
    Missing,
}

/// The JWT that a client brings.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum JwtKind {
    Good,
    Expired,
    Forged,
    /// Good, and grants nothing here.
    Ungranted,
    /// Good, and its telephones are rung wherever the route leads.
    Rings,
    Missing,
}

/// How a user agent behaves.
#[derive(Clone, Debug)]
pub(super) struct Conduct {
    /// Left out.
    pub(super) is_absent: bool,
    /// From an address that is no trunk's.
    pub(super) is_stranger: bool,
    pub(super) offer: Offer,
    pub(super) ack: Ack,
    pub(super) reinvited: Reinvited,
    pub(super) answers_bye: bool,
    pub(super) manners: Manners,
    /// `None`: left out.
    pub(super) deeds: Vec<Option<Deed>>,
}

/// What an agent can do besides RFC 3261.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Manners {
    /// Its Allow has UPDATE and INFO.
    pub(super) allows: bool,
    pub(super) session: Session,
    pub(super) prack: Prack,
    pub(super) identity: Identity,
    /// It has a UUID (RFC 7989).
    pub(super) has_uuid: bool,
}

impl Manners {
    /// RFC 3261 alone.
    pub(super) const PLAIN: Manners = Manners {
        allows: false,
        session: Session::None,
        prack: Prack::Unable,
        identity: Identity::Plain,
        has_uuid: false,
    };
}

/// What it says of the session timer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Session {
    None,
    /// An interval below the least.
    Short,
    /// The switch is to refresh.
    Theirs,
    /// It is to refresh itself, and does not.
    Forgotten,
}

/// What it does about a ringing that has to be acknowledged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Prack {
    /// It does not require any.
    Unable,
    Prompt,
    Never,
    /// For another response.
    Wrong,
}

/// What its network says of who it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Identity {
    Plain,
    /// Somebody else.
    Asserted,
    /// It wants to be nobody.
    Private,
}

/// What becomes of the ACK of a 2xx.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ack {
    Prompt,
    Late(u32),
    Never,
    /// With an answer that cannot be used, if an answer is due.
    Unusable,
}

/// What a re-INVITE of the switch's is answered with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Reinvited {
    Accepted,
    AcceptedLate(u32),
    Refused(u16),
    /// 200 with an answer that cannot be used.
    Unusable,
    Never,
}

/// Something that an agent does by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Deed {
    pub(super) when: When,
    pub(super) after_ms: u32,
    pub(super) what: What,
}

/// From when on a deed's time is counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum When {
    /// The call began; for a client: it was told of the call.
    Begun,
    /// A provisional response came.
    Ringing,
    /// A 2xx came.
    Answered,
    /// It is all over for this agent.
    Over,
}

/// What is done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum What {
    Invite,
    Cancel,
    Bye,
    Reinvite(Change),
    Options,
    /// A digit.
    Info,
    /// A request that is not served.
    Message,
    /// An UPDATE, with an offer or without one; whoever has a UUID has another one from then on.
    Update(Option<Way>),
    /// The last request once more, byte for byte.
    Again,
    /// The INVITE by another way: another branch.
    Forked,
    /// From now on nothing is sent and nothing answered.
    Vanish,
    /// Something that nobody should send.
    Rude(Rude),
    /// Some packets of audio.
    Talk(u8),
    /// A client's words on its channel.
    Decline,
    Ring,
}

/// A change of the session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Change {
    To(Way),
    /// The media moves to another port.
    Move,
    /// Without an offer.
    Empty,
    /// The last offer once more.
    Repeated,
    Garbage,
    Alien,
}

/// What nobody should send.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Rude {
    /// A BYE with a To tag of nobody's.
    WrongTag,
    /// A BYE as from another peer: the right To tag, another From tag.
    WrongPeer,
    /// A request whose CSeq is not higher than the last.
    OldSequence,
    /// An ACK for nothing.
    StrayAck,
    /// A CANCEL after everything.
    StrayCancel,
    /// A response to nothing.
    StrayResponse,
    /// An INVITE whose Content-Length says more than there is.
    Short,
    /// No SIP at all.
    Noise,
    /// A BYE without any dialog.
    Early,
}

/// What an operator does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Word {
    Drain,
    Stop,
    Abandon,
    /// None's doing: messages come faster than they are worked off, or no longer.
    Behind(bool),
    Rotate,
    /// Seconds by which the wall clock jumps.
    Jump(i32),
    /// Left out.
    Nothing,
}
