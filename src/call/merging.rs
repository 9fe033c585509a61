//! Merging: a callback that may have the call is being joined to it. Ports are opened first; then both sides are answered. A side
//! whose INVITE had no offer gets ours in its 200 and answers in its ACK, so the other side has to wait for that.
//! Until the caller has its 200, whatever fails here leaves it parked as it was.
//! Not here: whether the callback may have the call: its [`Permit`] and [`Claim`] prove that.
//!
//! ```text
//!  both offer:      Opening ──ports──▶ Bridged
//!  client offers:   Opening ──ports──▶ Asked(caller) ──ACK──▶ Bridged
//!  caller offers:   Opening ──ports──▶ Asked(client) ──ACK──▶ Bridged
//!  neither:         Opening ──ports──▶ Asked(caller) ──ACK──▶ Asked(client) ──ACK──▶ Bridged
//! ```

use super::answering::{Caller, Client};
use super::bridged::{Bridge, Bridged};
use super::ending::Ending;
use super::ends::{Compatible, Ends, Offers, Rules, compatible};
use super::hearing::Hearing;
use super::joining::Joining;
use super::leg::{Refusal, too_early};
use super::parked::Parked;
use super::party::Party;
use super::session::{End, Lines, Session, not_acceptable};
use super::taping::Taping;
use super::{EndedBy, Event, Facts, GoneReason, Over, State, Turn};
use crate::id::{FlowId, Side};
use crate::limits;
use crate::media::{self, Line, Ports};
use crate::mutant::{Mutant, planted};
use crate::name::Name;
use crate::policy::{Permit, Who};
use crate::sdp::{self, Agreement};
use crate::sip::endpoint::{DialogId, ServerId};
use crate::sip::wire::{Message, Method};
use crate::time::Instant;
use crate::token::{Claim, SubjectHash};
use arrayvec::ArrayVec;
use bytes::Bytes;
use std::net::SocketAddr;

/// A client that may have the call: policy said yes and the token was good.
#[derive(Debug)]
pub struct Callback {
    /// The client's leg.
    pub client: Joining,
    /// Policy's yes.
    pub permit: Permit,
    /// The opened token.
    pub claim: Claim,
    /// The name under which the client answers.
    pub winner: Name,
    /// Who it is, for what it asks for later; `None` for a telephone that dialled the URI from the event.
    pub who: Option<Who>,
}

impl Callback {
    /// It came too late.
    pub(super) fn refuse(self, turn: &mut Turn<'_>, status: u16) {
        self.client.refuse(turn, &Refusal::because(status, GoneReason::AnsweredElsewhere.reason_header()));
    }
}

/// The state.
#[derive(Debug)]
pub(super) struct Merging {
    caller: Caller,
    client: Client,
    /// What each side has said in SDP; empty while it has said nothing.
    caller_says: Bytes,
    client_says: Bytes,
    stage: Stage,
    flow: FlowId,
    lines: FurtherLines,
    taping: Taping,
    permit: Permit,
    claim: Claim,
    winner: Name,
    who: Option<Who>,
}

/// What there is to be besides audio.
#[derive(Clone, Default, Debug)]
struct FurtherLines {
    /// Ports are awaited.
    wanted: Lines,
    /// There are some. What is in neither list is refused to both.
    open: ArrayVec<(Line, Ports), { Line::FURTHER.len() }>,
}

impl FurtherLines {
    /// What came of one that is wanted.
    fn settle(&mut self, line: Line, ports: Option<Ports>) {
        self.wanted.retain(|wanted| *wanted != line);
        self.open.extend(ports.map(|ports| (line, ports)).filter(|_| self.open.iter().all(|(open, _)| *open != line)));
    }
}

/// What is being waited for.
#[derive(Debug)]
enum Stage {
    /// The relay's ports: those for audio if they are not there yet, and those for what else is wanted.
    Opening { deadline: Instant, audio: Option<Ports> },
    /// The ACK of one side, with the answer to our offer.
    Asked { side: Side, ends: Box<Ends>, proposed: Box<Agreement> },
}

impl Stage {
    fn opening(turn: &Turn<'_>) -> Stage {
        Stage::Opening { deadline: turn.now.at + limits::MEDIA_OPEN_MAX, audio: None }
    }
}

/// Why a callback does not get the call that it may have. The call is parked as before.
pub(super) struct Unable {
    pub(super) parked: Parked,
    pub(super) client: Joining,
    pub(super) refusal: Refusal,
}

impl Merging {
    /// Begins it, unless the two offers have no codec in common.
    pub(super) fn begin(
        parked: Parked,
        callback: Callback,
        facts: &Facts,
        turn: &mut Turn<'_>,
    ) -> Result<Merging, Box<Unable>> {
        let Callback { client, permit, claim, winner, who } = callback;
        let (caller_says, client_says) = (parked.caller.offer(turn.endpoint), client.offer(turn.endpoint));
        let parked = parked.without_opening(facts, turn);
        let parties = [
            Party::caller(parked.caller.dialog, parked.caller.peer, facts, turn),
            Party::client(client.dialog(), client.peer(), permit.media(), turn),
        ];
        let any = Lines::from(Line::FURTHER);
        let rules = Rules::of(&parties, parked.hearing.as_deref(), &any, turn.settings);
        let offered = || {
            client.check(&client_says)?;
            let mut taping = Taping::decide((&permit, &claim), facts, turn.settings)?;
            let Compatible { agreement, mut lines } = compatible([&caller_says, &client_says], &rules, turn.settings)?;
            agreement.map(|agreement| taping.narrow(agreement)).transpose()?;
            lines.retain(|line| *line != Line::Fax || taping.sides().is_none());
            Ok((taping, FurtherLines { wanted: lines, ..FurtherLines::default() }))
        };
        let (taping, lines) = match offered() {
            Ok(decided) => decided,
            Err(refusal) => return Err(Box::new(Unable { parked, client, refusal })),
        };
        let flow = parked.flow().unwrap_or_else(|| FlowId(turn.rng.u64()));
        let stage = Stage::opening(turn);
        let (caller, client) = (Caller::Parked(parked), Client::Joining(client));
        Ok(Merging { caller, client, caller_says, client_says, stage, flow, lines, taping, permit, claim, winner, who })
    }

    /// Goes on: with ports of its own, or, with a caller that hears something, those that it hears it through.
    pub(super) fn start(self, facts: &Facts, turn: &mut Turn<'_>) -> State {
        if let Some(heard) = self.caller.hearing().and_then(Hearing::heard).cloned() {
            return self.join(heard.end, heard.client, facts, turn);
        }
        let (flow, local) = (self.flow, turn.settings.media_bind);
        turn.media(media::Command::Open { flow, caller_local: local, client_local: local });
        for line in &self.lines.wanted {
            turn.media(media::Command::Add { flow, line: *line, caller_local: local, client_local: local });
        }
        self.stay()
    }

    /// When to be called again.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        match self.stage {
            Stage::Opening { deadline, .. } => Some(deadline),
            // The endpoint reports a 2xx that nobody acknowledges.
            Stage::Asked { .. } => None,
        }
    }

    /// Whose bridge it is going to be.
    pub(super) fn holder(&self) -> SubjectHash {
        self.claim.subject()
    }

    /// Its media.
    pub(super) fn flow(&self) -> FlowId {
        self.flow
    }

    /// The dialog of a leg.
    pub(super) fn dialog(&self, side: Side) -> DialogId {
        match side {
            Side::Caller => self.caller.dialog(),
            Side::Client => self.client.dialog(),
        }
    }

    /// Something happened.
    pub(super) fn handle(self, event: Event<'_>, facts: &Facts, turn: &mut Turn<'_>) -> State {
        match event {
            Event::Media(media::Event::Opened { flow, caller, client }) if flow == self.flow => {
                self.opened((caller, client), facts, turn)
            }
            Event::Media(media::Event::Added { flow, line, ports }) if flow == self.flow => {
                self.added(line, ports, facts, turn)
            }
            Event::Media(media::Event::Failed { flow, .. } | media::Event::Closed { flow, .. })
                if flow == self.flow =>
            {
                self.without_media().client_fails(Refusal::status(503), None, facts, turn)
            }
            Event::Acknowledged { side, ack, .. } => self.acknowledged(side, ack, facts, turn),
            Event::Cancelled { side: Side::Client, .. } if !planted(Mutant::CancelEndsCall) => {
                self.client_fails(Refusal::status(487), None, facts, turn)
            }
            Event::Cancelled { .. } => self.caller_fails(Over::cancelled(), None, facts, turn),
            Event::Request { side, transaction, request } => self.requested(side, transaction, request, facts, turn),
            Event::Unacknowledged { side: Side::Caller } => {
                self.caller_fails(Over::unacknowledged(), None, facts, turn)
            }
            Event::ProvisionalUnacknowledged { side: Side::Caller } => {
                self.caller_fails(Over::provisional_unacknowledged(), None, facts, turn)
            }
            Event::Unacknowledged { side: Side::Client } => self.client_fails(Refusal::status(408), None, facts, turn),
            Event::Timeout if self.wake_at().is_some_and(|at| turn.now.at >= at) => self.handle_late(facts, turn),
            Event::Callback(callback) => {
                callback.refuse(turn, 486);
                self.stay()
            }
            Event::Stop | Event::Abandon => self.caller_fails(Over::stopped(), None, facts, turn),
            Event::Routed { .. }
            | Event::Declined { .. }
            | Event::Ringing { .. }
            | Event::Pressed { .. }
            | Event::Referred(_)
            | Event::FromTransferor(_)
            | Event::Response { .. }
            | Event::Failed { .. }
            // A client is not rung.
            | Event::ProvisionalUnacknowledged { side: Side::Client }
            | Event::Media(_)
            | Event::Timeout => self.stay(),
        }
    }

    fn stay(self) -> State {
        State::Merging(Box::new(self))
    }

    /// The relay has lost the flow: the caller hears nothing more.
    fn without_media(mut self) -> Merging {
        if let Caller::Parked(parked) = &mut self.caller {
            parked.hearing = None;
        }
        self
    }

    /// The ports for audio are there.
    fn opened(mut self, ports: Ports, facts: &Facts, turn: &mut Turn<'_>) -> State {
        if !self.lines.wanted.is_empty()
            && let Stage::Opening { audio, .. } = &mut self.stage
        {
            *audio = Some(ports);
            return self.stay();
        }
        let [party, _] = self.parties(facts, turn);
        let (settings, address) = (turn.settings, party.address);
        let reachable = |port| settings.reachable(port, address);
        let lines = self.lines.open.clone();
        let mut caller = End::new(reachable(ports.0), party, turn);
        for (line, ports) in lines {
            caller = caller.with_line(line, Some(reachable(ports.0)), settings);
        }
        self.join(caller, ports.1, facts, turn)
    }

    /// Those for another line are, or there are none.
    fn added(mut self, line: Line, ports: Option<Ports>, facts: &Facts, turn: &mut Turn<'_>) -> State {
        if !self.lines.wanted.contains(&line) {
            return self.stay();
        }
        self.lines.settle(line, ports);
        match self.stage {
            Stage::Opening { audio: Some(audio), .. } => self.opened(audio, facts, turn),
            Stage::Opening { audio: None, .. } | Stage::Asked { .. } => self.stay(),
        }
    }

    /// The relay says nothing. If it is only of what is not audio, there is none of that.
    fn handle_late(mut self, facts: &Facts, turn: &mut Turn<'_>) -> State {
        match self.stage {
            Stage::Opening { audio: Some(audio), .. } => {
                self.lines.wanted.clear();
                self.opened(audio, facts, turn)
            }
            Stage::Opening { audio: None, .. } | Stage::Asked { .. } => {
                self.client_fails(Refusal::status(503), None, facts, turn)
            }
        }
    }

    /// The caller's end is there, and the client's ports.
    fn join(mut self, caller: End, client: SocketAddr, facts: &Facts, turn: &mut Turn<'_>) -> State {
        let [_, party] = self.parties(facts, turn);
        let (settings, address) = (turn.settings, party.address);
        let reachable = |port| settings.reachable(port, address);
        let mut client = End::new(reachable(client), party, turn);
        for (line, ports) in self.lines.open.clone() {
            client = client.with_line(line, Some(reachable(ports.1)), settings);
        }
        let client = client.after(self.client.spoken());
        let mut ends = Ends { caller, client };
        let says = self.says_both();
        let heard = Offers::read(&says, &self.rules(facts, turn));
        let heard = heard.and_then(|offers| {
            let agreed = ends.hear_offers(&offers, turn)?;
            Ok((agreed.map(|agreed| self.taping.narrow(agreed)).transpose()?, offers))
        });
        match heard {
            Ok((agreed, offers)) => {
                turn.endpoint.join_sessions([self.caller.dialog(), self.client.dialog()]);
                self.advance(ends, agreed, &offers, facts, turn)
            }
            Err(refusal) => self.client_fails(refusal, None, facts, turn),
        }
    }

    /// The next step: a side that has said nothing is asked, the caller first; when both have spoken, it is done.
    fn advance(
        self,
        ends: Ends,
        agreed: Option<Agreement>,
        offers: &Offers<'_>,
        facts: &Facts,
        turn: &mut Turn<'_>,
    ) -> State {
        if self.caller_says.is_empty() {
            self.ask(Side::Caller, ends, agreed, facts, turn)
        } else if self.client_says.is_empty() {
            self.ask(Side::Client, ends, agreed, facts, turn)
        } else {
            self.finish(ends, agreed, offers, facts, turn)
        }
    }

    /// Answers an INVITE that had no offer with our own: what the other side has said, or what everybody has.
    fn ask(
        mut self,
        side: Side,
        mut ends: Ends,
        agreed: Option<Agreement>,
        facts: &Facts,
        turn: &mut Turn<'_>,
    ) -> State {
        let from = side.other();
        let proposed = match agreed {
            Some(agreement) => Ok(agreement),
            None => ends
                .propose(from, self.says(from), &self.rules(facts, turn))
                .and_then(|proposed| self.taping.narrow(proposed)),
        };
        let proposed = match proposed {
            Ok(proposed) => proposed,
            Err(refusal) => return self.client_fails(refusal, None, facts, turn),
        };
        let directions = ends.of(from).directions();
        ends.speak_for(from);
        let offer = ends.of(side).offer(side, &proposed, directions, turn);
        match side {
            Side::Caller => self.caller = self.caller.answer(turn, &offer),
            Side::Client => self.client = self.client.answer(turn, &offer),
        }
        self.stage = Stage::Asked { side, ends: Box::new(ends), proposed: Box::new(proposed) };
        self.stay()
    }

    /// The ACK that brings the answer to our offer.
    fn acknowledged(mut self, from: Side, ack: &Message<'_>, facts: &Facts, turn: &mut Turn<'_>) -> State {
        let Some((mut ends, proposed)) = self.take_question(from, turn) else { return self.stay() };
        match ends.of(from).hear_answer(from, &proposed, ack.description(), turn.settings) {
            Ok(agreement) => {
                let says = Bytes::copy_from_slice(ack.description());
                match from {
                    Side::Caller => self.caller_says = says,
                    Side::Client => self.client_says = says,
                }
                let says = self.says_both();
                let said = Offers::read(&says, &self.rules(facts, turn)).unwrap_or_default();
                self.advance(*ends, Some(agreement), &said, facts, turn)
            }
            Err(refusal) => match from {
                Side::Caller => {
                    self.caller_fails(Over::failed(refusal, "the caller's answer is unusable"), None, facts, turn)
                }
                Side::Client => self.client_fails(refusal, None, facts, turn),
            },
        }
    }

    /// What a side was asked, if it was: with its answer the asking is over.
    fn take_question(&mut self, from: Side, turn: &Turn<'_>) -> Option<(Box<Ends>, Box<Agreement>)> {
        if !matches!(self.stage, Stage::Asked { side, .. } if side == from) {
            return None;
        }
        match std::mem::replace(&mut self.stage, Stage::opening(turn)) {
            Stage::Asked { ends, proposed, .. } => Some((ends, proposed)),
            Stage::Opening { .. } => None,
        }
    }

    /// Both have spoken: who still waits for an answer gets it, and the two are bridged.
    fn finish(
        mut self,
        mut ends: Ends,
        agreed: Option<Agreement>,
        offers: &Offers<'_>,
        facts: &Facts,
        turn: &mut Turn<'_>,
    ) -> State {
        let Some(agreement) = agreed else {
            return self.client_fails(not_acceptable(&sdp::NotAgreed::NoAudio), None, facts, turn);
        };
        let (of_caller, of_client) = (ends.caller.directions(), ends.client.directions());
        if let (Caller::Parked(_), Some(offer)) = (&self.caller, &offers.caller) {
            let answer = match self.caller.hearing().and_then(Hearing::heard) {
                Some(heard) => heard.answer.clone(),
                None => ends.caller.answer(Side::Caller, offer, &agreement, of_client),
            };
            self.caller = self.caller.answer(turn, &answer);
        }
        if let (Client::Joining(_), Some(offer)) = (&self.client, &offers.client) {
            let answer = ends.client.answer(Side::Client, offer, &agreement, of_caller);
            self.client = self.client.answer(turn, &answer);
        }
        let session = Session::new(self.flow, agreement, self.taping.clone(), [ends.caller, ends.client]);
        match (self.caller, self.client) {
            (Caller::Answered(caller), Client::Answered(client)) => {
                let Merging { permit, claim, winner, who, .. } = self;
                let bridge = Bridge { permit, claim, winner, who };
                Bridged::begin((caller, client), session, bridge, None, facts, turn)
            }
            (caller, client) => Merging { caller, client, ..self }.stay(),
        }
    }

    /// A request in one of the two dialogs. BYE ends the leg; nothing else can be done yet.
    fn requested(
        self,
        side: Side,
        transaction: ServerId,
        request: &Message<'_>,
        facts: &Facts,
        turn: &mut Turn<'_>,
    ) -> State {
        if request.start().method() != Some(Method::Bye) {
            too_early(turn, transaction, request);
            return self.stay();
        }
        match side {
            Side::Caller => self.caller_fails(Over::cancelled(), Some(transaction), facts, turn),
            Side::Client => self.client_fails(Refusal::status(487), Some(transaction), facts, turn),
        }
    }

    /// The client is out of it; `bye` is its request if it hung up. The caller stays parked, unless it has been answered already: then
    /// there is nobody to talk to.
    fn client_fails(self, refusal: Refusal, bye: Option<ServerId>, facts: &Facts, turn: &mut Turn<'_>) -> State {
        match self.caller {
            Caller::Parked(parked) => {
                self.client.dismiss(turn, &refusal, bye);
                let is_heard = parked.flow() == Some(self.flow);
                if !is_heard && !planted(Mutant::PortsKept) {
                    turn.media(media::Command::Close { flow: self.flow });
                }
                State::Parked(parked)
            }
            Caller::Answered(_) => {
                let over = Over::failed(refusal.clone(), "the client left before the bridge");
                let bye = bye.map(|bye| (Side::Client, bye));
                self.end(Over { ended_by: EndedBy::Client, ..over }, &refusal, bye, facts, turn)
            }
        }
    }

    /// The caller is out of it, or has to be: the call is over. `bye` is its request if it hung up.
    fn caller_fails(self, over: Over, bye: Option<ServerId>, facts: &Facts, turn: &mut Turn<'_>) -> State {
        let refusal = Refusal::because(410, over.gone.reason_header());
        self.end(over, &refusal, bye.map(|bye| (Side::Caller, bye)), facts, turn)
    }

    /// Ends both legs: `to_client` is for a client that still waits for an answer, `bye` the request of the one that hung up.
    fn end(
        self,
        over: Over,
        to_client: &Refusal,
        bye: Option<(Side, ServerId)>,
        facts: &Facts,
        turn: &mut Turn<'_>,
    ) -> State {
        let mut record = facts.record(Some(self.caller.dialog()), &over, turn);
        record.client_sip_call_id = super::record::call_id(turn.endpoint, self.client.dialog());
        let of = |side: Side| bye.filter(|(by, _)| *by == side).map(|(_, bye)| bye);
        let caller = match self.caller {
            Caller::Parked(parked) => parked.caller.leave(turn, &over.refusal, of(Side::Caller)),
            Caller::Answered(leg) => {
                record.status = 200;
                leg.leave(turn, None, of(Side::Caller))
            }
        };
        let client = match self.client {
            Client::Joining(leg) => leg.leave(turn, to_client, of(Side::Client)),
            Client::Answered(leg) => leg.leave(turn, Some(over.gone.reason_header()), of(Side::Client)),
        };
        facts.tell_gone(turn, over.gone, None);
        Ending::begin((caller, client), self.flow, record, None, turn)
    }

    fn parties(&self, facts: &Facts, turn: &Turn<'_>) -> [Party; 2] {
        let caller = Party::caller(self.caller.dialog(), self.caller.peer(), facts, turn);
        [caller, Party::client(self.client.dialog(), self.client.peer(), self.permit.media(), turn)]
    }

    fn rules(&self, facts: &Facts, turn: &Turn<'_>) -> Rules {
        let lines = self.lines.open.iter().map(|(line, _)| *line).collect();
        Rules::of(&self.parties(facts, turn), self.caller.hearing(), &lines, turn.settings)
    }

    /// Both, apart from the state, which is consumed while they are read.
    fn says_both(&self) -> [Bytes; 2] {
        [self.caller_says.clone(), self.client_says.clone()]
    }

    fn says(&self, side: Side) -> &Bytes {
        match side {
            Side::Caller => &self.caller_says,
            Side::Client => &self.client_says,
        }
    }
}
