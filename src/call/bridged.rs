//! Bridged: the two sides talk. What one side changes in its session is carried to the other and answered with the other's answer
//! (RFC 3261 §14, RFC 3264 §8). The first BYE ends it for both.
//! Not here: the packets (`relay`), which cross without us.

use super::ending::Ending;
use super::leg::{Answered, Refusal, described, plain, status};
use super::session::{Said, Session, not_acceptable};
use super::{EndedBy, Event, Facts, GoneReason, Outcome, State, Turn};
use crate::id::{FlowId, Side};
use crate::media;
use crate::mutant::{Mutant, planted};
use crate::name::Name;
use crate::policy::Permit;
use crate::sdp::{self, Agreement, Description};
use crate::sip::endpoint::{ClientId, DialogId, ServerId};
use crate::sip::wire::{Message, Method};
use crate::time::Now;
use crate::token::{Claim, SubjectHash};
use bytes::Bytes;

/// Two legs that hear each other. Cannot be made without policy's permit and an opened token.
#[derive(Debug)]
pub(super) struct Bridged {
    caller: Answered,
    client: Answered,
    session: Session,
    change: Option<Change>,
    since: Now,
    bridge: Bridge,
}

/// Why these two are bridged: kept as long as they are, and never given back.
#[derive(Debug)]
pub(super) struct Bridge {
    pub(super) permit: Permit,
    pub(super) claim: Claim,
    pub(super) winner: Name,
}

/// A change of the session that is under way. There is at most one: another gets 491 (RFC 3261 §14.2).
#[derive(Debug)]
enum Change {
    /// A re-INVITE of `from` was carried to the other side as `sent` and waits for its answer.
    Carried { from: Side, received: ServerId, sent: ClientId, offer: Bytes, proposed: Box<Agreement> },
    /// This re-INVITE had no offer; it has ours, and its ACK brings the answer.
    Offered { received: ServerId },
}

/// Why a bridge is over.
struct End {
    by: EndedBy,
    outcome: Outcome,
    reason: &'static str,
    /// For the `Reason` of our BYE.
    header: Option<&'static str>,
}

impl Bridged {
    /// Both have their 200: media flows from now on, and the other clients are told that the call is taken.
    pub(super) fn begin(
        caller: Answered,
        client: Answered,
        session: Session,
        bridge: Bridge,
        facts: &Facts,
        turn: &mut Turn<'_>,
    ) -> State {
        for command in session.commands(turn.settings) {
            turn.media(command);
        }
        if !planted(Mutant::GoneNotTold) {
            facts.tell_gone(turn, GoneReason::AnsweredElsewhere, Some(bridge.winner.clone()));
        }
        State::Bridged(Box::new(Bridged { caller, client, session, change: None, since: turn.now, bridge }))
    }

    /// Whose bridge it is.
    pub(super) fn holder(&self) -> SubjectHash {
        self.bridge.claim.subject()
    }

    /// Its media.
    pub(super) fn flow(&self) -> FlowId {
        self.session.flow
    }

    /// The dialog of a leg.
    pub(super) fn dialog(&self, side: Side) -> DialogId {
        match side {
            Side::Caller => self.caller.dialog,
            Side::Client => self.client.dialog,
        }
    }

    /// Something happened.
    pub(super) fn handle(self: Box<Self>, event: Event<'_>, facts: &Facts, turn: &mut Turn<'_>) -> State {
        match event {
            Event::Request { side, transaction, request } => match request.start().method() {
                Some(Method::Bye) => self.hung_up(side, transaction, facts, turn),
                Some(Method::Invite) => self.change(side, transaction, request.description(), turn).stay(),
                _ => {
                    turn.endpoint.respond(turn.now, transaction, &plain(200));
                    self.stay()
                }
            },
            Event::Acknowledged { side, transaction, ack } => self.acknowledged(side, transaction, ack, facts, turn),
            Event::Response { transaction, response, .. } => self.answered(transaction, response, facts, turn),
            Event::Failed { transaction, .. } => self.unanswered(transaction, 408, facts, turn),
            Event::Unacknowledged { .. } => {
                // RFC 3261 §13.3.1.4: no ACK in 64*T1, so the session is ended.
                self.end(End::failed("no ACK for our 200"), facts, turn)
            }
            Event::Media(media::Event::Silent { side, .. }) => self.end(End::silent(side), facts, turn),
            // Nobody would notice by silence any more: what watched for it is gone too.
            Event::Media(media::Event::Failed { .. } | media::Event::Closed { .. }) => {
                self.end(End::without_media("the relay lost the call"), facts, turn)
            }
            Event::Stop | Event::Abandon => self.end(End::stopped(), facts, turn),
            Event::Callback(callback) => {
                callback.refuse(turn, 410);
                self.stay()
            }
            // A re-INVITE cannot be taken back once the other side was asked: it is answered as the other side answers.
            Event::Routed { .. }
            | Event::Cancelled { .. }
            | Event::Declined { .. }
            | Event::Ringing { .. }
            | Event::Media(_)
            | Event::Timeout => self.stay(),
        }
    }

    fn stay(self: Box<Self>) -> State {
        State::Bridged(self)
    }

    fn leg(&mut self, side: Side) -> &mut Answered {
        match side {
            Side::Caller => &mut self.caller,
            Side::Client => &mut self.client,
        }
    }

    /// A re-INVITE.
    fn change(mut self: Box<Self>, from: Side, received: ServerId, body: &[u8], turn: &mut Turn<'_>) -> Box<Self> {
        if self.change.is_some() {
            turn.endpoint.respond(turn.now, received, &plain(491));
            return self;
        }
        let changed = if body.is_empty() {
            self.offer_again(from, received, turn);
            Ok(())
        } else {
            self.carry(from, received, body, turn)
        };
        if let Err(refusal) = changed {
            refusal.write(|reply| turn.endpoint.respond(turn.now, received, reply));
        }
        self
    }

    /// A re-INVITE without an offer gets ours: the session as it is.
    fn offer_again(&mut self, to: Side, received: ServerId, turn: &mut Turn<'_>) {
        let direction = self.session.end(to.other()).direction();
        let agreement = self.session.agreement.clone();
        let offer = self.session.end(to).offer(to, &agreement, direction);
        turn.endpoint.respond(turn.now, received, &described(&offer));
        self.change = Some(Change::Offered { received });
    }

    /// A re-INVITE with an offer is carried to the other side, in that side's numbering.
    fn carry(&mut self, from: Side, received: ServerId, body: &[u8], turn: &mut Turn<'_>) -> Result<(), Refusal> {
        let offer = Description::parse(body).map_err(|error| not_acceptable(&error))?;
        let said = Said::of(&offer, turn.settings)?;
        let to = from.other();
        if self.session.end(from).repeats(&offer) {
            let direction = self.session.end(to).direction();
            let agreement = self.session.agreement.clone();
            let answer = self.session.end(from).answer(from, &offer, &agreement, direction);
            turn.endpoint.respond(turn.now, received, &described(&answer));
            return Ok(());
        }
        let (_, audio) = offer.audio().ok_or_else(|| not_acceptable(&sdp::NotAgreed::NoAudio))?;
        let known = self.session.agreement.clone();
        let proposed = sdp::propose(from, audio, Some(&known), self.session.end(to).outline())
            .map_err(|error| not_acceptable(&error))?;
        // RFC 3264 §8: versions of a description grow by one, so one that is not sent has none.
        let mut end = self.session.end(to).clone();
        let carried = end.offer(to, &proposed, said.direction());
        let dialog = self.leg(to).dialog;
        let sent = turn.endpoint.request(turn.now, dialog, Method::Invite, &[], Some((super::leg::SDP, &carried)));
        let sent = sent.ok_or_else(|| Refusal::status(491))?;
        *self.session.end(to) = end;
        self.change = Some(Change::Carried {
            from,
            received,
            sent,
            offer: Bytes::copy_from_slice(body),
            proposed: Box::new(proposed),
        });
        Ok(())
    }

    /// A response to the re-INVITE that we carried.
    fn answered(
        mut self: Box<Self>,
        transaction: ClientId,
        response: &Message<'_>,
        facts: &Facts,
        turn: &mut Turn<'_>,
    ) -> State {
        let status = status(response);
        if status < 200 {
            return self.stay();
        }
        if status >= 300 {
            return self.unanswered(transaction, status, facts, turn);
        }
        match self.change.take() {
            Some(Change::Carried { from, received, sent, offer, proposed }) if sent == transaction => {
                let dialog = self.leg(from.other()).dialog;
                turn.endpoint.acknowledge(turn.now, dialog, transaction, None);
                match self.settle(from, &offer, &proposed, response.description(), turn) {
                    Ok(answer) => {
                        turn.endpoint.respond(turn.now, received, &described(&answer));
                        self.stay()
                    }
                    Err(refusal) => {
                        // The other side believes in a session that this side cannot have.
                        refusal.write(|reply| turn.endpoint.respond(turn.now, received, reply));
                        self.end(End::failed("a re-INVITE was answered with an unusable session"), facts, turn)
                    }
                }
            }
            change => {
                self.change = change;
                self.stay()
            }
        }
    }

    /// Both sides have the new session: the relay is told, and the answer for `from` is made.
    fn settle(
        &mut self,
        from: Side,
        offer: &[u8],
        proposed: &Agreement,
        answer: &[u8],
        turn: &mut Turn<'_>,
    ) -> Result<Vec<u8>, Refusal> {
        let to = from.other();
        let agreement = self.session.end(to).hear_answer(to, proposed, answer, turn.settings)?;
        let offer = Description::parse(offer).map_err(|error| not_acceptable(&error))?;
        let said = Said::of(&offer, turn.settings)?;
        self.session.end(from).hear(said, Some(&offer));
        self.session.agreement = agreement;
        let direction = self.session.end(to).direction();
        let agreement = self.session.agreement.clone();
        for command in self.session.commands(turn.settings) {
            turn.media(command);
        }
        Ok(self.session.end(from).answer(from, &offer, &agreement, direction))
    }

    /// The other side refused the re-INVITE, or said nothing. The session stays as it was, unless the dialog is gone
    /// (RFC 3261 §12.2.1.2).
    fn unanswered(
        mut self: Box<Self>,
        transaction: ClientId,
        status: u16,
        facts: &Facts,
        turn: &mut Turn<'_>,
    ) -> State {
        match self.change.take() {
            Some(Change::Carried { received, sent, .. }) if sent == transaction => {
                // A challenge is never answered and never passed on (RELIABILITY A8).
                let passed_on = if matches!(status, 401 | 407) { 488 } else { status };
                turn.endpoint.respond(turn.now, received, &plain(passed_on));
                if matches!(status, 408 | 481) {
                    return self.end(End::failed("the other side lost the call"), facts, turn);
                }
            }
            change => self.change = change,
        }
        self.stay()
    }

    /// An ACK: of the first 2xx, or of one to a re-INVITE, perhaps with the answer to our offer.
    fn acknowledged(
        mut self: Box<Self>,
        side: Side,
        transaction: ServerId,
        ack: &Message<'_>,
        facts: &Facts,
        turn: &mut Turn<'_>,
    ) -> State {
        match self.change.take() {
            Some(Change::Offered { received }) if received == transaction => {
                self.change = planted(Mutant::ChangeKept).then_some(Change::Offered { received });
                let agreement = self.session.agreement.clone();
                match self.session.end(side).hear_answer(side, &agreement, ack.description(), turn.settings) {
                    Ok(agreement) => self.session.agreement = agreement,
                    Err(_) => return self.end(End::failed("an ACK without a usable answer"), facts, turn),
                }
                for command in self.session.commands(turn.settings) {
                    turn.media(command);
                }
            }
            change => self.change = change,
        }
        self.stay()
    }

    /// One side's BYE.
    fn hung_up(self: Box<Self>, side: Side, transaction: ServerId, facts: &Facts, turn: &mut Turn<'_>) -> State {
        let end = End { by: side.into(), outcome: Outcome::Answered, reason: "hung up", header: None };
        self.finish(Some((side, transaction)), end, facts, turn)
    }

    fn end(self: Box<Self>, end: End, facts: &Facts, turn: &mut Turn<'_>) -> State {
        self.finish(None, end, facts, turn)
    }

    /// Ends both legs: `bye` is the request of the one that hung up by itself.
    fn finish(self: Box<Self>, bye: Option<(Side, ServerId)>, end: End, facts: &Facts, turn: &mut Turn<'_>) -> State {
        let mut record =
            facts.record(Some(self.caller.dialog), &super::Over::after_bridge(end.outcome, end.by, end.reason), turn);
        record.client_sip_call_id = super::record::call_id(turn.endpoint, self.client.dialog);
        record.status = 200;
        record.answered = Some(self.since.wall);
        record.waited_ms = super::record::millis(self.since.at - facts.started.at);
        record.talked_ms = super::record::millis(turn.now.at - self.since.at);
        record.winner = Some(self.bridge.winner.to_string());
        record.permit = Some(self.bridge.permit.rule().to_string());
        record.codec = self.session.codec();
        if let Some(Change::Carried { received, .. }) = self.change
            && !planted(Mutant::ChangeLeftOpen)
        {
            turn.endpoint.respond(turn.now, received, &plain(487));
        }
        if planted(Mutant::GoneToldTwice) {
            facts.tell_gone(turn, GoneReason::AnsweredElsewhere, None);
        }
        let of = |side: Side| bye.filter(|(by, _)| *by == side).map(|(_, bye)| bye);
        let caller = self.caller.leave(turn, end.header, of(Side::Caller));
        let client = self.client.leave(turn, end.header, of(Side::Client));
        Ending::begin(caller, client, self.session.flow, record, turn)
    }
}

impl End {
    fn failed(reason: &'static str) -> End {
        End { by: EndedBy::Parkway, outcome: Outcome::Answered, reason, header: None }
    }

    fn silent(side: Side) -> End {
        let reason = match side {
            Side::Caller => "no RTP from the caller",
            Side::Client => "no RTP from the client",
        };
        End::without_media(reason)
    }

    fn without_media(reason: &'static str) -> End {
        End { header: Some("Q.850;cause=41;text=\"No media\""), ..End::failed(reason) }
    }

    fn stopped() -> End {
        End { header: Some("SIP;cause=503;text=\"Server stopping\""), ..End::failed("server stopped") }
    }
}
