//! Identifiers that one module hands to another instead of a pointer.
//! Not here: anything that is looked up by what the peer sent (tags, branches, Call-IDs): that is `sip`.

use std::fmt;

/// Names one call for people and for other systems: in logs, records, tokens and events.
/// Random, 128 bits, written as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u128);

impl CallId {
    /// Reads what `Display` writes, and nothing else: no sign, no upper case, no missing zeros.
    pub fn parse(text: &str) -> Option<CallId> {
        let call = u128::from_str_radix(text, 16).map(CallId).ok()?;
        (call.to_string() == text).then_some(call)
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Names one message that somebody wrote. 128 bits, written as a call's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LetterId(pub u128);

impl LetterId {
    /// Reads what `Display` writes, and nothing else.
    pub fn parse(text: &str) -> Option<LetterId> {
        CallId::parse(text).map(|CallId(bits)| LetterId(bits))
    }
}

impl fmt::Display for LetterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&CallId(self.0), f)
    }
}

impl fmt::Debug for LetterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Where a call stands in the switch's lot. The generation tells a call from an earlier one in the same slot,
/// so a late timer, media event or policy answer for a call that is gone finds nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct CallRef {
    /// The slot in the lot.
    pub slot: u32,
    /// How many calls held that slot before.
    pub generation: u32,
}

/// One of a call's two legs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Side {
    /// The leg whose INVITE was parked.
    Caller,
    /// The leg that called back with the bridge token.
    Client,
}

impl Side {
    /// The other leg.
    pub fn other(self) -> Side {
        match self {
            Side::Caller => Side::Client,
            Side::Client => Side::Caller,
        }
    }

    /// `caller` or `client`, as logs and records write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Side::Caller => "caller",
            Side::Client => "client",
        }
    }
}

/// One bridged call's media in the relay: two legs, each with its RTP and RTCP ports.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FlowId(pub u64);

/// A client that registered or subscribed over SIP. Never given twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct BindingId(pub u64);

/// One of a trunk's targets: both by their place in the configuration, which holds until a restart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TargetId {
    /// The trunk.
    pub trunk: u32,
    /// The target, in the order of preference.
    pub target: u32,
}

/// A question to a policy engine that is not answered yet.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct QuestionId(pub u64);
