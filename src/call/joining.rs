//! A client's leg that is to be joined to a parked call: the client has called us, or we have rung its telephone and it has answered.
//! Either way it has said what it offers and waits for our answer: in the response to its INVITE, or in the ACK of its 2xx.
//! Not here: whether it may have the call (`switch`), and the joining itself (`merging`).

use super::early::Spoken;
use super::leg::{Answered, Leaving, Pending, Refusal, SDP, described, described_in, plain};
use super::session_timer::SessionTimer;
use super::{Turn, record};
use crate::sip::endpoint::{ClientId, DialogId, Endpoint, ServerId};
use crate::sip::wire::{Head, Method};
use bytes::Bytes;
use std::net::IpAddr;

/// The leg.
#[derive(Debug)]
pub enum Joining {
    /// The client has sent an INVITE.
    Called(Pending),
    /// The client has answered ours.
    Rung(Rung),
}

/// A telephone that has answered our INVITE, which had no offer: its 2xx has one, and waits for its ACK with our answer (RFC 3261
/// §13.2.2.4).
#[derive(Debug)]
pub struct Rung {
    /// The dialog.
    pub dialog: DialogId,
    /// Our INVITE.
    pub invite: ClientId,
    /// The telephone's address.
    pub peer: IpAddr,
    /// Of one that has offered something before it was lifted, what was said then, and what it said when it was asked for another offer: the
    /// INVITE is the one that asked.
    pub spoken: Option<Box<(Spoken, Bytes)>>,
}

impl Joining {
    /// Its dialog.
    pub fn dialog(&self) -> DialogId {
        match self {
            Joining::Called(leg) => leg.dialog,
            Joining::Rung(leg) => leg.dialog,
        }
    }

    /// The client's address.
    pub fn peer(&self) -> IpAddr {
        match self {
            Joining::Called(leg) => leg.peer,
            Joining::Rung(leg) => leg.peer,
        }
    }

    /// Whether this is the INVITE with which the client has called.
    pub fn is_invite(&self, transaction: ServerId) -> bool {
        matches!(self, Joining::Called(leg) if leg.invite == transaction)
    }

    /// Whether it can be answered at all: a telephone whose 2xx has no offer cannot (RFC 3261 §13.2.1).
    pub(super) fn check(&self, offer: &[u8]) -> Result<(), Refusal> {
        match self {
            Joining::Rung(_) if offer.is_empty() => Err(Refusal::status(488)),
            Joining::Called(_) | Joining::Rung(_) => Ok(()),
        }
    }

    /// What it offers; empty if it leaves that to us.
    pub(super) fn offer(&self, endpoint: &Endpoint) -> Bytes {
        match self {
            Joining::Rung(Rung { spoken: Some(spoken), .. }) => described(&spoken.1),
            Joining::Called(_) | Joining::Rung(_) => described_in(endpoint, self.dialog()),
        }
    }

    /// The session of ours that it knows already, if it knows one.
    pub(super) fn spoken(&self) -> Option<Spoken> {
        match self {
            Joining::Rung(leg) => leg.spoken.as_ref().map(|spoken| spoken.0),
            Joining::Called(_) => None,
        }
    }

    /// It gets the call, with a session description.
    pub(super) fn answer(self, turn: &mut Turn<'_>, sdp: &[u8]) -> Answered {
        match self {
            Joining::Called(leg) => leg.answer(turn, sdp),
            Joining::Rung(leg) => leg.answer(turn, sdp),
        }
    }

    /// It does not get the call, and no call waits for what it says to that; `bye` is its request if it hung up itself.
    pub fn dismiss(self, turn: &mut Turn<'_>, refusal: &Refusal, bye: Option<ServerId>) {
        let dialog = self.dialog();
        if let Leaving::Saying { .. } = self.leave(turn, refusal, bye) {
            turn.endpoint.close(turn.now, dialog);
        }
    }

    /// It does not get the call.
    pub fn refuse(self, turn: &mut Turn<'_>, refusal: &Refusal) {
        self.dismiss(turn, refusal, None);
    }

    /// The same of a call that goes on until the leg is gone.
    pub(super) fn leave(self, turn: &mut Turn<'_>, refusal: &Refusal, bye: Option<ServerId>) -> Leaving {
        match self {
            Joining::Called(leg) => leg.leave(turn, refusal, bye),
            Joining::Rung(leg) => leg.leave(turn, refusal, bye),
        }
    }
}

impl Rung {
    /// It was lifted, and its offer was answered before: it is asked for another one, by a re-INVITE without an offer (RFC 3261 §14.1).
    pub fn ask_again(&self, turn: &mut Turn<'_>) -> Option<ClientId> {
        turn.endpoint.acknowledge(turn.now, self.dialog, self.invite, None);
        self.answered(turn).send(turn, Method::Invite, None)
    }

    /// The leg, with the session timer that it wants (RFC 4028 §7.2).
    fn answered(&self, turn: &mut Turn<'_>) -> Answered {
        let mut timer = SessionTimer::default();
        if let Some(answer) = record::made_by(turn.endpoint, self.dialog) {
            timer.take(turn.now.at, &answer);
        }
        if let Some((again, _)) = self.spoken.as_ref().and_then(|spoken| Head::of_kept(&spoken.1)) {
            timer.take(turn.now.at, &again);
        }
        Answered { dialog: self.dialog, peer: self.peer, timer, refresh: None }
    }

    /// The ACK, with our answer.
    fn answer(self, turn: &mut Turn<'_>, sdp: &[u8]) -> Answered {
        turn.endpoint.acknowledge(turn.now, self.dialog, self.invite, Some((SDP, sdp)));
        self.answered(turn)
    }

    /// RFC 3261 §13.2.2.4: a 2xx is acknowledged, whatever becomes of it; then it is hung up on.
    fn leave(self, turn: &mut Turn<'_>, refusal: &Refusal, bye: Option<ServerId>) -> Leaving {
        turn.endpoint.acknowledge(turn.now, self.dialog, self.invite, None);
        if let Some(bye) = bye {
            turn.endpoint.respond(turn.now, bye, &plain(200));
            turn.endpoint.close(turn.now, self.dialog);
            return Leaving::Gone;
        }
        let leg = Answered { dialog: self.dialog, peer: self.peer, timer: SessionTimer::default(), refresh: None };
        leg.leave(turn, refusal.reason(), None)
    }
}
