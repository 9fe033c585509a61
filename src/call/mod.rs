//! The life of a call: Arriving ─▶ Parked ─▶ Merging ─▶ Bridged ─▶ Ending, one file a state; a transfer leads from Bridged to
//! Held and back. A step consumes the state and
//! gives the next; what is to be done outside is left in the [`Turn`].
//! Not here: finding the call that an event is for, and admitting new ones (`switch`).

mod answering;
mod arriving;
mod bridged;
mod change;
mod early;
mod ending;
mod ends;
mod hearing;
mod held;
mod identity;
mod info;
mod joining;
mod keying;
mod leg;
mod merging;
mod notice;
mod parked;
mod party;
mod phase;
mod pressed;
mod record;
mod refresh;
mod rejoining;
mod rewrite;
mod route;
mod session;
mod session_timer;
mod signal;
mod talk;
mod taping;
mod transfer;
mod transferor;

pub use early::Spoken;
pub use joining::{Joining, Rung};
pub use keying::{KeyReach, Keying, SrtpTerms};
pub use leg::{Pending, Refusal, Ring, plain, too_early};
pub use merging::Callback;
pub use notice::{
    ClientMessage, ClientMessageKind, Digit, Ended, Gone, GoneReason, Incoming, News, Notice, Personal, Quality, Score,
};
pub use phase::Phase;
pub use pressed::{DigitCounts, DigitTerms, InfoAs, SideDigits};
pub use record::{Encrypted, EndedBy, Outcome, Record, Transfer, Video};
pub use rewrite::Rewrite;
pub use route::{Identity, Route, Trunk};
pub use session_timer::Terms as SessionTerms;
pub use taping::RecordingTerms;
pub use transfer::Referral;
pub use transferor::FromTransferor;

use bridged::Bridged;

use crate::id::{CallId, CallRef, FlowId, Side};
use crate::media;
use crate::name::Name;
use crate::rng::Rng;
use crate::sip::endpoint::{ClientId, DialogId, Endpoint, ServerId};
use crate::sip::wire::{Header, Message, Transport};
use crate::time::{Duration, Instant, Now};
use crate::token::SubjectHash;
use ipnet::IpNet;
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// One call: what stays the same while it lives, and the state it is in.
#[derive(Debug)]
pub struct Call {
    facts: Facts,
    state: State,
    /// Who handed it on last, until that leg is gone.
    transferor: Option<transferor::Left>,
    /// How many REFERs the client of the bridge has sent.
    refers: u32,
}

/// The state of a call. The large ones are boxed: most calls at most times are parked.
#[derive(Debug)]
enum State {
    Arriving(arriving::Arriving),
    Parked(parked::Parked),
    Merging(Box<merging::Merging>),
    Bridged(Box<Bridged>),
    Held(Box<held::Held>),
    Ending(Box<ending::Ending>),
    /// Nothing is left of it.
    Over,
}

/// What stays the same in all states.
#[derive(Clone, Debug)]
pub struct Facts {
    /// For people and other systems.
    pub id: CallId,
    /// For the endpoint: whose transactions these are.
    pub at: CallRef,
    /// Where it came from.
    pub trunk: Arc<Trunk>,
    /// Where it is going, since it was handed on last.
    pub route: Arc<Route>,
    /// The number that was called, as routes know it.
    pub called: Arc<str>,
    /// The caller's address.
    pub source: IpAddr,
    /// When the INVITE came.
    pub started: Now,
    /// Callbacks that were refused: how many, and the reason id of the last. The record tells.
    pub refused: (u32, Option<&'static str>),
    /// When the first client said that it rings, milliseconds after the INVITE. The record tells.
    pub rang_ms: Option<u32>,
    /// Since when it waits for a client of its route: since its INVITE, or since it was handed on.
    pub waits_since: Now,
    /// How often it was handed on, and by whom to whom. The record tells.
    pub transfers: Vec<Transfer>,
}

/// How calls are handled, whatever their route.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How often a provisional response is repeated.
    pub repeat: Duration,
    /// The address on which the relay binds its ports.
    pub media_bind: IpAddr,
    /// The address that SDP names instead of an unspecified one.
    pub media_advertised: IpAddr,
    /// The same for peers outside of some networks, where it differs.
    pub media_external: Option<External>,
    /// Whether peers may name loopback addresses in SDP: when we listen on loopback ourselves.
    pub loopback: bool,
    /// A leg that should send and does not is hung up after this.
    pub silence: Duration,
    /// The same while a leg is on hold.
    pub hold_silence: Duration,
    /// Whether a caller that can rings reliably (RFC 3262), and not only one that must.
    pub rings_reliably: bool,
    /// How often sessions are refreshed.
    pub session_timer: SessionTerms,
    /// Whose audio is encrypted.
    pub srtp: SrtpTerms,
    /// What a caller hears that is on hold here.
    pub hold_sound: Option<media::SoundId>,
    /// Whether a call may become a fax by T.38.
    pub t38: bool,
    /// How calls are recorded; `None`: they cannot be.
    pub recording: Option<RecordingTerms>,
    /// What becomes of keys.
    pub digits: DigitTerms,
}

/// How we are reached from outside of our own networks.
#[derive(Clone, Debug)]
pub struct External {
    /// Networks of peers that reach us as we are.
    pub local_nets: Vec<IpNet>,
    /// The address for all others.
    pub address: IpAddr,
}

impl External {
    fn is_for(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        !self.local_nets.iter().any(|network| network.contains(&peer))
    }
}

impl Settings {
    /// The address under which a peer reaches a port that the relay has bound.
    pub fn reachable(&self, bound: SocketAddr, peer: IpAddr) -> SocketAddr {
        let external = self.media_external.as_ref().filter(|external| external.is_for(peer));
        SocketAddr::new(external.map_or(self.media_advertised, |external| external.address), bound.port())
    }
}

/// What one step may use, and where it leaves what is to be done.
pub struct Turn<'t> {
    /// The time.
    pub now: Now,
    /// SIP.
    pub endpoint: &'t mut Endpoint,
    /// Chance.
    pub rng: &'t mut Rng,
    /// What the operator wants.
    pub settings: &'t Settings,
    /// What is to be done outside.
    pub actions: &'t mut VecDeque<Action>,
}

/// What a call wants done outside.
#[derive(Debug)]
pub enum Action {
    /// By the relay.
    Media(media::Command),
    /// By the subscribers' registry.
    Notify(Notice),
    /// By whoever writes records.
    Record(Box<Record>),
}

impl Turn<'_> {
    fn media(&mut self, command: media::Command) {
        self.actions.push_back(Action::Media(command));
    }

    fn notify(&mut self, notice: Notice) {
        self.actions.push_back(Action::Notify(notice));
    }

    fn write(&mut self, record: Record) {
        self.actions.push_back(Action::Record(Box::new(record)));
    }
}

/// Something happened to a call.
pub enum Event<'a> {
    /// Where the call goes is settled: it can be parked.
    Routed {
        /// Its INVITE.
        invite: &'a Message<'a>,
    },
    /// A client has called back, and may.
    Callback(Box<Callback>),
    /// A leg took its INVITE back.
    Cancelled {
        /// Which leg.
        side: Side,
        /// The INVITE.
        transaction: ServerId,
    },
    /// A request in a leg's dialog.
    Request {
        /// Which leg.
        side: Side,
        /// To be answered.
        transaction: ServerId,
        /// What it asks.
        request: &'a Message<'a>,
    },
    /// The ACK of our 2xx.
    Acknowledged {
        /// Which leg.
        side: Side,
        /// The INVITE.
        transaction: ServerId,
        /// The ACK, with an answer in it if our 2xx had the offer.
        ack: &'a Message<'a>,
    },
    /// A leg's response to a request of ours.
    Response {
        /// Which leg.
        side: Side,
        /// To which request.
        transaction: ClientId,
        /// The response.
        response: &'a Message<'a>,
    },
    /// A leg did not answer a request of ours.
    Failed {
        /// Which leg.
        side: Side,
        /// Which request.
        transaction: ClientId,
    },
    /// A leg never ACKed our 2xx.
    Unacknowledged {
        /// Which leg.
        side: Side,
    },
    /// A leg never acknowledged a ringing that it has to acknowledge.
    ProvisionalUnacknowledged {
        /// Which leg.
        side: Side,
    },
    /// The relay reports.
    Media(media::Event),
    /// A client does not want the call.
    Declined {
        /// Who.
        by: Name,
    },
    /// A client rings.
    Ringing {
        /// Who.
        by: Name,
    },
    /// A client wants keys pressed in the call that it has.
    Pressed {
        /// Under which name.
        by: Name,
        /// Who.
        who: SubjectHash,
        /// The keys.
        dialled: media::Dialled,
    },
    /// The client of a bridge hands the call on, and may.
    Referred(Box<Referral>),
    /// Something in the dialog of a client that has handed it on.
    FromTransferor(FromTransferor<'a>),
    /// The time that [`Call::wake_at`] named has come.
    Timeout,
    /// Parkway stops now.
    Stop,
    /// Parkway has stopped: whatever was not heard by now never will be.
    Abandon,
}

/// Why a waiting call is over, for its caller, its clients and its record.
struct Over {
    gone: GoneReason,
    outcome: Outcome,
    ended_by: EndedBy,
    refusal: Refusal,
    reason: &'static str,
}

impl Over {
    fn cancelled() -> Over {
        Over {
            gone: GoneReason::CallerCancelled,
            outcome: Outcome::CallerCancelled,
            ended_by: EndedBy::Caller,
            refusal: Refusal::status(487),
            reason: "caller hung up",
        }
    }

    fn declined() -> Over {
        Over {
            gone: GoneReason::Declined,
            outcome: Outcome::Declined,
            ended_by: EndedBy::Client,
            refusal: Refusal::because(603, "SIP;cause=603;text=\"Declined\""),
            reason: "declined",
        }
    }

    fn unacknowledged() -> Over {
        Over::failed(Refusal::status(408), "no ACK for our 200")
    }

    /// RFC 3262 §3.
    fn provisional_unacknowledged() -> Over {
        Over::failed(Refusal::status(504), "no PRACK for our ringing")
    }

    fn failed(refusal: Refusal, reason: &'static str) -> Over {
        Over { gone: GoneReason::Failed, outcome: Outcome::Failed, ended_by: EndedBy::Parkway, refusal, reason }
    }

    /// After a bridge nobody waits for a final response or for news.
    fn after_bridge(outcome: Outcome, ended_by: EndedBy, reason: &'static str) -> Over {
        Over { gone: GoneReason::AnsweredElsewhere, outcome, ended_by, refusal: Refusal::status(200), reason }
    }

    fn timeout(status: u16) -> Over {
        Over {
            gone: GoneReason::Timeout,
            outcome: Outcome::Timeout,
            ended_by: EndedBy::Parkway,
            refusal: Refusal::because(status, "Q.850;cause=19;text=\"No answer\""),
            reason: "nobody called back",
        }
    }

    fn stopped() -> Over {
        Over {
            gone: GoneReason::ServerStopping,
            outcome: Outcome::Stopped,
            ended_by: EndedBy::Parkway,
            refusal: Refusal::status(503).with("Retry-After", "5"),
            reason: "server stopped",
        }
    }
}

impl Facts {
    /// The generation of the parked leg, which the bridge token names: it grows when an answered call is parked again.
    pub fn generation(&self) -> u32 {
        u32::try_from(self.transfers.len()).unwrap_or(u32::MAX).saturating_add(1)
    }

    /// Tells the clients of the name that the call waits no more.
    fn tell_gone(&self, turn: &mut Turn<'_>, reason: GoneReason, winner: Option<Name>) {
        turn.notify(self.gone(turn.now, reason, winner));
    }

    /// What the clients of a call are told that broke.
    pub fn gone_failed(&self, now: Now) -> Notice {
        self.gone(now, GoneReason::Failed, None)
    }

    fn gone(&self, now: Now, reason: GoneReason, winner: Option<Name>) -> Notice {
        let (name, called, rings) = (self.route.name.clone(), self.called.clone(), self.route.invites);
        Notice::Gone(Gone { call: self.id, name, called, reason, winner, at: now.wall, rings })
    }

    /// The record of a call that broke: what its caller's INVITE said, and no more.
    pub fn lost(&self, caller: Option<DialogId>, turn: &Turn<'_>) -> Record {
        let over = Over::failed(Refusal::status(500), "internal error");
        self.record(caller, &over, turn)
    }

    /// The record of a call that is over now, as far as it is known without a bridge. The caller's dialog must still be there.
    fn record(&self, caller: Option<DialogId>, over: &Over, turn: &Turn<'_>) -> Record {
        let invite = caller.and_then(|caller| record::made_by(turn.endpoint, caller));
        let uri = |header| invite.as_ref().and_then(|invite| record::uri_in(invite, header)).unwrap_or_default();
        Record {
            v: 1,
            call: self.id,
            sip_call_id: invite.as_ref().and_then(record::call_id_in).unwrap_or_default(),
            client_sip_call_id: None,
            session_id: caller.and_then(|caller| turn.endpoint.session_id(caller)).map(|id| id.to_string()),
            trunk: self.trunk.name.clone(),
            name: self.transfers.first().map_or_else(|| self.route.name.to_string(), |first| first.from.clone()),
            transfers: self.transfers.clone(),
            from: self.trunk.calling.apply_in(uri(Header::From)),
            asserted_identity: invite
                .as_ref()
                .and_then(|invite| identity::asserted(invite, &self.trunk))
                .map(|address| self.trunk.calling.apply_in(record::uri_text(&address))),
            to: self.trunk.called.apply_in(uri(Header::To)),
            started: self.started.wall,
            answered: None,
            ended: turn.now.wall,
            waited_ms: record::millis(turn.now.at - self.started.at),
            talked_ms: 0,
            outcome: over.outcome,
            ended_by: over.ended_by,
            status: over.refusal.status,
            reason: over.reason,
            winner: None,
            permit: None,
            parameters: None,
            refused_callbacks: self.refused.0,
            last_refusal: self.refused.1,
            rang_ms: self.rang_ms,
            codec: None,
            srtp: Encrypted::default(),
            recording: None,
            digits: None,
            media: None,
            video: None,
            fax: None,
            warnings: 0,
            findings: Vec::new(),
        }
    }
}

impl Call {
    /// A new call from an accepted INVITE. [`Event::Routed`] comes next.
    pub fn new(facts: Facts, caller: Pending) -> Call {
        Call { facts, state: State::Arriving(arriving::Arriving { caller }), transferor: None, refers: 0 }
    }

    /// Something happened. `None`: the call is over and nothing is left of it.
    pub fn handle(mut self, event: Event<'_>, turn: &mut Turn<'_>) -> Option<Call> {
        if let Event::FromTransferor(event) = event {
            return self.hear_transferor(event, turn);
        }
        if let Event::Referred(referral) = event {
            return Some(self.transfer(*referral, turn));
        }
        if let Event::Ringing { .. } = event {
            let since = turn.now.at - self.facts.started.at;
            self.facts.rang_ms.get_or_insert(u32::try_from(since.as_millis()).unwrap_or(u32::MAX));
        }
        let is_end = matches!(event, Event::Abandon);
        let mut outcome = None;
        self.state = match self.state {
            State::Arriving(arriving) => arriving.handle(event, &self.facts, turn),
            State::Parked(parked) => parked.handle(event, &self.facts, turn),
            State::Merging(merging) => merging.handle(event, &self.facts, turn),
            State::Bridged(bridged) => bridged.handle(event, &self.facts, turn),
            State::Held(held) => {
                let (state, came_of_it) = held.handle(event, &self.facts, turn);
                outcome = came_of_it;
                state
            }
            State::Ending(ending) => ending.handle(event, turn),
            State::Over => State::Over,
        };
        self.tell_transferor(outcome, is_end, turn);
        (!matches!(self.state, State::Over) || self.transferor.is_some()).then_some(self)
    }

    /// What its clients were told when it was parked, for those that come later. `None` once its caller's dialog is gone.
    pub fn incoming(&self, endpoint: &Endpoint) -> Option<Incoming> {
        let invite = endpoint.made_by(self.dialog(Side::Caller)?)?;
        Message::parse(invite).ok().map(|invite| arriving::incoming(&self.facts, &invite))
    }

    /// When [`Event::Timeout`] is due.
    pub fn wake_at(&self) -> Option<Instant> {
        match &self.state {
            State::Parked(parked) => Some(parked.wake_at()),
            State::Merging(merging) => merging.wake_at(),
            State::Bridged(bridged) => bridged.wake_at(),
            State::Held(held) => held.wake_at(),
            State::Ending(ending) => Some(ending.wake_at()),
            State::Arriving(_) | State::Over => None,
        }
    }

    /// What does not change.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// A callback for it was refused.
    pub fn note_refusal(&mut self, reason: &'static str) {
        self.facts.refused = (self.facts.refused.0.saturating_add(1), Some(reason));
    }

    /// All of its state, for a comparison.
    #[cfg(feature = "sim")]
    pub fn describe(&self) -> String {
        format!("{:?}", self.state)
    }

    /// Which state, as metrics and logs write it.
    pub fn state(&self) -> Phase {
        match &self.state {
            State::Arriving(_) => Phase::Arriving,
            State::Parked(_) => Phase::Parked,
            State::Merging(_) => Phase::Merging,
            State::Bridged(_) => Phase::Bridged,
            State::Held(held) if held.rejoining.is_none() => Phase::Parked,
            State::Held(_) => Phase::Merging,
            State::Ending(_) | State::Over => Phase::Ending,
        }
    }

    /// Whose bridge it is or is becoming: counted against that client's limit.
    pub fn holder(&self) -> Option<SubjectHash> {
        match &self.state {
            State::Merging(merging) => Some(merging.holder()),
            State::Bridged(bridged) => Some(bridged.holder()),
            State::Held(held) => held.holder(),
            State::Arriving(_) | State::Parked(_) | State::Ending(_) | State::Over => None,
        }
    }

    /// Whether its record is written already.
    pub fn is_recorded(&self) -> bool {
        match &self.state {
            State::Ending(ending) => ending.is_recorded(),
            State::Arriving(_) | State::Parked(_) | State::Merging(_) | State::Bridged(_) | State::Held(_) => false,
            State::Over => true,
        }
    }

    /// The dialog of one of its legs.
    pub fn dialog(&self, side: Side) -> Option<DialogId> {
        match (&self.state, side) {
            (State::Arriving(arriving), Side::Caller) => Some(arriving.caller.dialog),
            (State::Parked(parked), Side::Caller) => Some(parked.caller.dialog),
            (State::Merging(merging), side) => Some(merging.dialog(side)),
            (State::Bridged(bridged), side) => Some(bridged.dialog(side)),
            (State::Held(held), side) => held.dialog(side),
            (State::Ending(ending), side) => ending.dialog(side),
            (State::Arriving(_) | State::Parked(_), Side::Client) | (State::Over, _) => None,
        }
    }

    /// Its media, while the relay has any.
    pub fn flow(&self) -> Option<FlowId> {
        match &self.state {
            State::Merging(merging) => Some(merging.flow()),
            State::Bridged(bridged) => Some(bridged.flow()),
            State::Held(held) => Some(held.flow()),
            State::Ending(ending) => ending.flow(),
            State::Parked(parked) => parked.flow(),
            State::Arriving(_) | State::Over => None,
        }
    }
}

/// Whether an offer of this trunk's can be relayed: audio or a fax that we know how to carry, to an address that may be sent to.
pub fn acceptable(offer: &[u8], transport: Transport, trunk: &Trunk, settings: &Settings) -> Result<(), Refusal> {
    let keying = Keying::of(settings, transport, trunk.srtp_required);
    session::Said::of(&keying.read(offer)?, keying, settings).map(|_| ())
}

/// Whether the session interval that an INVITE asks for can be granted: else 422 (RFC 4028 §9).
pub fn check_session_timer(invite: &Message<'_>, settings: &Settings) -> Result<(), Refusal> {
    session_timer::Asked::of(invite, settings.session_timer).map(|_| ())
}
