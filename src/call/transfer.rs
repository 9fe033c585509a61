//! A blind transfer (RFC 3515, RFC 5589 §6): the client of a bridge hands the caller to another name. The bridge ends, the caller waits
//! again, and the client is told what comes of it.
//! Not here: whether the client may, and what the REFER has to be (`switch::transfer`).

use super::held::Held;
use super::leg::{Refusal, plain, too_early};
use super::record::Transfer;
use super::transferor::{FromTransferor, Left, Transferor};
use super::{Call, Notice, Route, State, Turn};
use crate::name::Name;
use crate::policy::{Permit, Who};
use crate::sip::endpoint::{DialogId, Reply, ServerId};
use std::sync::Arc;

/// A REFER that may be done: policy said yes to it.
#[derive(Debug)]
pub struct Referral {
    /// To be answered.
    pub transaction: ServerId,
    /// For whom the caller is to wait.
    pub route: Arc<Route>,
    /// The value of Event in what the client is told; `None` if it wants to hear nothing (RFC 4488).
    pub event: Option<String>,
    /// Policy's yes.
    pub permit: Permit,
}

/// The subscription lasts until the call is over at the latest, and a little longer than the call waits: seconds.
const SUBSCRIPTION_SPARE_SECONDS: u64 = 60;

impl Call {
    /// Who has answered the call, while it is bridged, and under which name.
    pub fn answerer(&self) -> Option<(Option<&Who>, &Name)> {
        match &self.state {
            State::Bridged(bridged) => Some(bridged.answerer()),
            State::Arriving(_) | State::Parked(_) | State::Merging(_) => None,
            State::Held(_) | State::Ending(_) | State::Over => None,
        }
    }

    /// The client has sent a REFER: whether it is its first.
    pub fn note_refer(&mut self) -> bool {
        self.refers = self.refers.saturating_add(1);
        self.refers == 1
    }

    /// Whether a dialog is that of the client which has handed the call on.
    pub fn is_transferor(&self, dialog: DialogId) -> bool {
        self.transferor.as_ref().and_then(Left::dialog) == Some(dialog)
    }

    /// Hands the call on, unless something is under way that must have its end first.
    pub(super) fn transfer(mut self, referral: Referral, turn: &mut Turn<'_>) -> Call {
        let Referral { transaction, route, event, permit } = referral;
        let is_free = matches!(&self.state, State::Bridged(bridged) if !bridged.is_busy());
        if !is_free {
            // RFC 3261 §14.2: as for any other request that meets one.
            Refusal::later(turn).write(|reply| turn.endpoint.respond(turn.now, transaction, reply));
            return self;
        }
        let State::Bridged(bridged) = self.state else { return self };
        let by = bridged.answerer().1.to_string();
        tracing::info!(%by, to = %route.name, rule = permit.rule(), "the call is handed on");
        let (from, to) = (self.facts.route.name.to_string(), route.name.to_string());
        self.facts.transfers.push(Transfer { at: turn.now.wall, by, from, to });
        (self.facts.route, self.facts.waits_since) = (route, turn.now);
        // RFC 4488 §4.1: whoever wanted no subscription hears that there is none.
        let headers = [("Refer-Sub", "false")];
        let headers = if event.is_none() { &headers[..] } else { &[] };
        turn.endpoint.respond(turn.now, transaction, &Reply { headers, ..plain(202) });
        let (caller, session, talk, client) = bridged.part(turn);
        turn.endpoint.part_sessions([caller.dialog, client.dialog]);
        let expires = self.facts.route.park.as_secs() + SUBSCRIPTION_SPARE_SECONDS;
        let left = Transferor::begin(client, event, expires, turn);
        if let Some(before) = self.transferor.replace(left) {
            before.dismiss(turn);
        }
        self.refers = 0;
        self.state = State::Held(Box::new(Held::begin(caller, session, talk, &self.facts, turn)));
        if let Some(incoming) = self.incoming(turn.endpoint) {
            turn.notify(Notice::Incoming(incoming));
        }
        self.forget_transferor();
        self
    }

    /// Something in the dialog of whoever handed the call on.
    pub(super) fn hear_transferor(mut self, event: FromTransferor<'_>, turn: &mut Turn<'_>) -> Option<Call> {
        match (self.transferor.take(), event) {
            (Some(left), event) => self.transferor = Some(left.handle(event, turn)),
            (None, FromTransferor::Request { transaction, request }) => too_early(turn, transaction, request),
            (None, FromTransferor::Response { .. }) => {}
        }
        self.forget_transferor();
        (!matches!(self.state, State::Over) || self.transferor.is_some()).then_some(self)
    }

    /// After a step: what came of the transfer, if that is known now.
    pub(super) fn tell_transferor(&mut self, outcome: Option<u16>, is_end: bool, turn: &mut Turn<'_>) {
        if let (Some(left), Some(status)) = (self.transferor.take_if(|_| outcome.is_some()), outcome) {
            self.transferor = Some(left.tell(status, turn));
        }
        if let Some(left) = self.transferor.take_if(|_| is_end) {
            left.dismiss(turn);
        }
        self.forget_transferor();
    }

    fn forget_transferor(&mut self) {
        self.transferor.take_if(|left| left.dialog().is_none());
    }
}
