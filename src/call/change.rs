//! A change of a bridge's session: what one side offers is carried to the other and answered with the other's answer (RFC 3261 §14,
//! RFC 3264 §8).
//! Not here: what the two have agreed (`session`), and how a bridge ends (`bridged`).

use super::bridged::{Bridged, End};
use super::leg::{Refusal, SDP, described, plain, status};
use super::session::{Said, not_acceptable};
use super::{Facts, State, Turn};
use crate::id::Side;
use crate::mutant::{Mutant, planted};
use crate::sdp::{self, Agreement, Description};
use crate::sip::endpoint::{ClientId, ServerId};
use crate::sip::wire::{Message, Method};
use bytes::Bytes;

/// A change of the session that is under way. There is at most one: another gets 491 (RFC 3261 §14.2).
#[derive(Debug)]
pub(super) enum Change {
    /// A re-INVITE of `from` was carried to the other side as `sent` and waits for its answer.
    Carried { from: Side, received: ServerId, sent: ClientId, offer: Bytes, proposed: Box<Agreement> },
    /// This re-INVITE had no offer; it has ours, and its ACK brings the answer.
    Offered { received: ServerId },
}

impl Bridged {
    /// A re-INVITE.
    pub(super) fn change(
        mut self: Box<Self>,
        from: Side,
        received: ServerId,
        body: &[u8],
        turn: &mut Turn<'_>,
    ) -> Box<Self> {
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
        let sent = turn.endpoint.request(turn.now, dialog, Method::Invite, &[], Some((SDP, &carried)));
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
    pub(super) fn answered(
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
    pub(super) fn unanswered(
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
    pub(super) fn acknowledged(
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
}
