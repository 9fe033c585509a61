//! The two legs of a call that is being joined, each of which waits for its answer, or has it.
//! Not here: who is answered when, and what (`merging`, `rejoining`).

use super::Turn;
use super::early::Spoken;
use super::hearing::Hearing;
use super::joining::Joining;
use super::leg::{Answered, Refusal};
use super::parked::Parked;
use crate::sip::endpoint::{DialogId, ServerId};
use std::net::IpAddr;

/// The caller's leg.
#[derive(Debug)]
pub(super) enum Caller {
    Parked(Parked),
    Answered(Answered),
}

/// The client's leg.
#[derive(Debug)]
pub(super) enum Client {
    Joining(Joining),
    Answered(Answered),
}

impl Caller {
    pub(super) fn peer(&self) -> IpAddr {
        match self {
            Caller::Parked(parked) => parked.caller.peer,
            Caller::Answered(leg) => leg.peer,
        }
    }

    pub(super) fn dialog(&self) -> DialogId {
        match self {
            Caller::Parked(parked) => parked.caller.dialog,
            Caller::Answered(leg) => leg.dialog,
        }
    }

    /// What it hears meanwhile.
    pub(super) fn hearing(&self) -> Option<&Hearing> {
        match self {
            Caller::Parked(parked) => parked.hearing.as_deref(),
            Caller::Answered(_) => None,
        }
    }

    pub(super) fn answer(self, turn: &mut Turn<'_>, sdp: &[u8]) -> Caller {
        match self {
            Caller::Parked(parked) => Caller::Answered(parked.caller.answer(turn, sdp)),
            Caller::Answered(_) => self,
        }
    }
}

impl Client {
    pub(super) fn peer(&self) -> IpAddr {
        match self {
            Client::Joining(leg) => leg.peer(),
            Client::Answered(leg) => leg.peer,
        }
    }

    pub(super) fn spoken(&self) -> Option<Spoken> {
        match self {
            Client::Joining(leg) => leg.spoken(),
            Client::Answered(_) => None,
        }
    }

    pub(super) fn dialog(&self) -> DialogId {
        match self {
            Client::Joining(leg) => leg.dialog(),
            Client::Answered(leg) => leg.dialog,
        }
    }

    pub(super) fn answer(self, turn: &mut Turn<'_>, sdp: &[u8]) -> Client {
        match self {
            Client::Joining(leg) => Client::Answered(leg.answer(turn, sdp)),
            Client::Answered(_) => self,
        }
    }

    /// Sends it away while the caller stays parked: nobody waits for what it says to that.
    pub(super) fn dismiss(self, turn: &mut Turn<'_>, refusal: &Refusal, bye: Option<ServerId>) {
        match self {
            Client::Joining(leg) => {
                leg.dismiss(turn, refusal, bye);
            }
            Client::Answered(leg) => leg.dismiss(turn, bye),
        }
    }
}
