//! Rejoining: a callback that may have a held call is being joined to it. The caller is asked first, by a re-INVITE with what the client
//! offers; its answer is the client's. A client that offers nothing gets what the caller has answered, and answers in its ACK. Whatever
//! fails here of the client's leaves the caller on hold.
//! Not here: the caller that waits (`held`), and whether the callback may have the call.
//!
//! ```text
//!  client offers:  Due ──re-INVITE──▶ Asked ──200──▶ Bridged
//!  client is mute: Due ──re-INVITE──▶ Asked ──200──▶ Offered ──ACK──▶ Bridged
//! ```

use super::answering::Client;
use super::bridged::{Bridge, Bridged};
use super::held::{Held, What, too_late};
use super::leg::{Leaving, Refusal};
use super::merging::Callback;
use super::session::not_acceptable;
use super::taping::Taping;
use super::{Facts, State, Turn};
use crate::id::Side;
use crate::limits;
use crate::name::Name;
use crate::policy::{Permit, Who};
use crate::sdp::{self, Agreement, Direction, Directions};
use crate::sip::endpoint::ServerId;
use crate::sip::wire::Message;
use crate::time::Instant;
use crate::token::Claim;
use bytes::Bytes;

/// The client and how far it is.
#[derive(Debug)]
pub(super) struct Rejoining {
    pub(super) client: Client,
    /// What it offers; empty if it leaves that to us.
    says: Bytes,
    stage: Stage,
    /// Longer it does not wait.
    pub(super) until: Instant,
    permit: Permit,
    pub(super) claim: Claim,
    winner: Name,
    who: Option<Who>,
}

/// What is being waited for.
#[derive(Debug)]
enum Stage {
    /// That the caller can be asked.
    Due,
    /// The caller's answer.
    Asked,
    /// The client's ACK, with its answer to this.
    Offered(Box<Agreement>),
}

impl Rejoining {
    /// Whether the caller is still to be asked.
    pub(super) fn is_due(&self) -> bool {
        matches!(self.stage, Stage::Due)
    }
}

impl Held {
    /// A client calls back.
    pub(super) fn rejoin(mut self, callback: Callback, facts: &Facts, turn: &mut Turn<'_>) -> Held {
        if self.rejoining.is_some() {
            too_late(callback, turn);
            return self;
        }
        let Callback { client, permit, claim, winner, who } = callback;
        let says = client.offer(turn.endpoint);
        let taping = client.check(&says).and_then(|()| Taping::decide((&permit, &claim), facts, turn.settings));
        match taping {
            Ok(taping) => self.session.taping = taping,
            Err(refusal) => {
                client.refuse(turn, &refusal);
                return self;
            }
        }
        self.session.renew_client(&client, permit.media(), turn);
        turn.endpoint.join_sessions([self.caller.dialog, client.dialog()]);
        let (client, until) = (Client::Joining(client), turn.now.at + limits::REJOIN_MAX);
        self.rejoining =
            Some(Box::new(Rejoining { client, says, stage: Stage::Due, until, permit, claim, winner, who }));
        self.pursue(turn);
        self
    }

    /// Asks the caller.
    pub(super) fn join_caller(&mut self, turn: &mut Turn<'_>) {
        let says = self.rejoining.as_ref().map(|rejoining| rejoining.says.clone()).unwrap_or_default();
        match self.proposal(&says, turn) {
            Ok((proposed, directions)) => {
                self.invite(What::Join(Box::new(proposed.clone())), &proposed, directions, turn);
                if let Some(rejoining) = self.rejoining.as_mut().filter(|_| self.ours.is_some()) {
                    rejoining.stage = Stage::Asked;
                }
            }
            Err(refusal) => self.fail_client(&refusal, None, turn),
        }
    }

    /// What the caller is offered for the client.
    fn proposal(&mut self, says: &[u8], turn: &Turn<'_>) -> Result<(Agreement, Directions), Refusal> {
        let known = self.session.agreement.clone();
        if says.is_empty() {
            return Ok((self.session.taping.narrow(known)?, Directions::all(Direction::SendRecv)));
        }
        let (said, offer) = self.session.end(Side::Client).read(says, turn.settings)?;
        let outline = self.session.end(Side::Caller).outline();
        let proposed = sdp::propose(Side::Client, &offer, Some(&known), outline);
        let proposed = proposed.map_err(|error| not_acceptable(&error))?;
        Ok((self.session.taping.narrow(proposed)?, said.directions()))
    }

    /// The caller has said yes. If there is no client any more to whom, it goes on hold again.
    pub(super) fn caller_joined(mut self, facts: &Facts, turn: &mut Turn<'_>) -> (State, Option<u16>) {
        let Some(mut rejoining) = self.rejoining.take_if(|rejoining| matches!(rejoining.stage, Stage::Asked)) else {
            self.pursue(turn);
            return self.stay();
        };
        let agreement = self.session.agreement.clone();
        let directions = self.session.end(Side::Caller).directions();
        if rejoining.says.is_empty() {
            let end = self.session.client_for_caller();
            let offer = end.offer(Side::Client, &agreement, directions, turn);
            rejoining.client = rejoining.client.answer(turn, &offer);
            rejoining.stage = Stage::Offered(Box::new(agreement));
            self.rejoining = Some(rejoining);
            return self.stay();
        }
        let says = rejoining.says.clone();
        let end = self.session.end(Side::Client);
        match end.read(&says, turn.settings) {
            Ok((said, offer)) => {
                end.hear(said, &offer, turn.rng);
                let answer = end.answer(Side::Client, &offer, &agreement, directions);
                rejoining.client = rejoining.client.answer(turn, &answer);
                self.bridge(*rejoining, facts, turn)
            }
            Err(refusal) => {
                self.rejoining = Some(rejoining);
                self.client_fails(&refusal, None, turn).stay()
            }
        }
    }

    /// The client's ACK: of its 2xx, perhaps with the answer to our offer.
    pub(super) fn client_acknowledged(
        mut self,
        ack: &Message<'_>,
        facts: &Facts,
        turn: &mut Turn<'_>,
    ) -> (State, Option<u16>) {
        let Some(rejoining) = self.rejoining.take() else { return self.stay() };
        let Stage::Offered(proposed) = &rejoining.stage else {
            self.rejoining = Some(rejoining);
            return self.stay();
        };
        let end = self.session.end(Side::Client);
        match end.hear_answer(Side::Client, proposed, ack.description(), turn.settings) {
            Ok(agreement) => {
                self.session.agreement = agreement;
                self.bridge(*rejoining, facts, turn)
            }
            Err(refusal) => {
                self.rejoining = Some(rejoining);
                self.client_fails(&refusal, None, turn).stay()
            }
        }
    }

    fn bridge(self, rejoining: Rejoining, facts: &Facts, turn: &mut Turn<'_>) -> (State, Option<u16>) {
        let Rejoining { client, permit, claim, winner, who, .. } = rejoining;
        let Client::Answered(client) = client else { return self.stay() };
        let bridge = Bridge { permit, claim, winner, who };
        let talk = Some(self.talk);
        (Bridged::begin((self.caller, client), self.session, bridge, talk, facts, turn), Some(200))
    }

    /// The client is out of it; `bye` is its request if it hung up itself. The caller goes on hold again where it was told otherwise.
    pub(super) fn client_fails(mut self, refusal: &Refusal, bye: Option<ServerId>, turn: &mut Turn<'_>) -> Held {
        self.fail_client(refusal, bye, turn);
        self.pursue(turn);
        self
    }

    pub(super) fn fail_client(&mut self, refusal: &Refusal, bye: Option<ServerId>, turn: &mut Turn<'_>) {
        if let Some(rejoining) = self.rejoining.take() {
            turn.endpoint.part_sessions([self.caller.dialog, rejoining.client.dialog()]);
            rejoining.client.dismiss(turn, refusal, bye);
        }
    }
}

impl Client {
    /// The call that it was to have is over.
    pub(super) fn leave(self, turn: &mut Turn<'_>, refusal: &Refusal) -> Leaving {
        match self {
            Client::Joining(leg) => leg.leave(turn, refusal, None),
            Client::Answered(leg) => leg.leave(turn, refusal.reason(), None),
        }
    }
}
