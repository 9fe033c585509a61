//! What a caller hears before anybody has answered: a tone or music as early media, in a 183 with a session (RFC 3960 §2, RFC 3262 §5).
//! Not here: packets (`media::player`), and the bridge that comes of it (`merging`), which keeps ports, keys and codec: the 2xx has to say
//! what the 183 has said (RFC 3261 §13.2.1).

use super::leg::Pending;
use super::party::Party;
use super::session::End;
use super::{Facts, Turn};
use crate::id::{FlowId, Side};
use crate::limits;
use crate::media::Command;
use crate::sdp::{self, Direction, Directions};
use crate::time::Instant;
use std::net::SocketAddr;

/// A caller that hears something, or is going to.
#[derive(Debug)]
pub(super) struct Hearing {
    flow: FlowId,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// The relay's ports are awaited; the caller has not been told anything.
    Opening { until: Instant },
    /// It has its 183.
    Heard(Box<Heard>),
}

/// What was said in the 183.
#[derive(Clone, Debug)]
pub(super) struct Heard {
    /// The caller's end of the session.
    pub(super) end: End,
    /// The payload types that were agreed on.
    pub(super) formats: Vec<u8>,
    /// The description.
    pub(super) answer: Vec<u8>,
    /// The ports of the client that is to come.
    pub(super) client: SocketAddr,
}

impl Hearing {
    /// Begins it, if the route has a sound and the caller can hear it.
    pub(super) fn begin(caller: &Pending, facts: &Facts, turn: &mut Turn<'_>) -> Option<Hearing> {
        facts.route.hears?;
        let party = Party::caller(caller.dialog, caller.peer, facts, turn);
        let says = caller.offer(turn.endpoint);
        let offer = party.keying(turn.settings).read(&says).ok()?;
        sdp::telephony(&offer)?;
        let (flow, local) = (FlowId(turn.rng.u64()), turn.settings.media_bind);
        turn.media(Command::Open { flow, caller_local: local, client_local: local });
        Some(Hearing { flow, stage: Stage::Opening { until: turn.now.at + limits::MEDIA_OPEN_MAX } })
    }

    /// Its media.
    pub(super) fn flow(&self) -> FlowId {
        self.flow
    }

    /// When the ports are awaited no longer.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        match self.stage {
            Stage::Opening { until } => Some(until),
            Stage::Heard(_) => None,
        }
    }

    /// What was said, once that is so.
    pub(super) fn heard(&self) -> Option<&Heard> {
        match &self.stage {
            Stage::Opening { .. } => None,
            Stage::Heard(heard) => Some(heard),
        }
    }

    /// The ports are there: the caller is told, and hears. `None`: it cannot be.
    pub(super) fn opened(
        self,
        ports: (SocketAddr, SocketAddr),
        caller: &Pending,
        facts: &Facts,
        turn: &mut Turn<'_>,
    ) -> Option<Hearing> {
        let party = Party::caller(caller.dialog, caller.peer, facts, turn);
        let mut end = End::new(turn.settings.reachable(ports.0, caller.peer), party, turn);
        let says = caller.offer(turn.endpoint);
        let (said, offer) = end.read(&says, turn.settings).ok()?;
        let agreement = sdp::telephony(&offer)?;
        end.hear(said, &offer, turn.rng);
        let answer = end.answer(Side::Caller, &offer, &agreement, Directions::all(Direction::SendRecv));
        let stream = end.hearing(Side::Caller, &agreement, facts.route.hears);
        turn.media(Command::Set { flow: self.flow, side: Side::Caller, stream });
        let formats = agreement.audio.renumbering(Side::Caller).map(|number| number.here).collect();
        let heard = Heard { end, formats, answer, client: ports.1 };
        let hearing = Hearing { stage: Stage::Heard(Box::new(heard)), ..self };
        hearing.ring(caller, turn);
        Some(hearing)
    }

    /// 183, again.
    pub(super) fn ring(&self, caller: &Pending, turn: &mut Turn<'_>) {
        if let Stage::Heard(heard) = &self.stage {
            caller.ring(turn, 183, Some(&heard.answer));
        }
    }

    /// Nobody hears it any more.
    pub(super) fn end(self, turn: &mut Turn<'_>) {
        turn.media(Command::Close { flow: self.flow });
    }
}
