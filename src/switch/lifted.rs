//! Telephones that ring only if somebody acknowledges it (RFC 3262). Their INVITE has no offer, so what rings first brings one (§5), at a time
//! at which nobody may have the call yet and no port is open: the PRACK says that nothing is to be sent. When such a telephone is lifted it
//! is asked for an offer once more, and that is its callback.
//! Not here: telephones that ring without (`ring`), and which response is in order (`sip::endpoint`).
//!
//! ```text
//!  INVITE ─421, Require: 100rel─▶ INVITE, Supported: 100rel ─▶ 1xx, RSeq, offer ─▶ PRACK, inactive ─▶ 2xx ─▶ ACK
//!                                                   as if it had called back ◀─ 2xx, offer ◀─ re-INVITE ◀─┘
//! ```

use super::Switch;
use super::ring::{Ring, Stage};
use crate::call::{Joining, Keying, Refusal, Rung, Spoken, too_early};
use crate::id::CallRef;
use crate::sip::endpoint::{ClientId, DialogId, ServerId, is_reliable};
use crate::sip::wire::{Header, Message, Method, Start, Transport};
use crate::time::Now;
use bytes::Bytes;
use std::net::SocketAddr;

impl Switch {
    /// A telephone does not ring but reliably: it gets another INVITE that lets it, if the call still waits.
    pub(super) fn ring_reliably(&mut self, now: Now, ring: Ring, refusal: &Message<'_>) {
        let incoming = self.lot.get(ring.call).and_then(|call| call.incoming(&self.endpoint));
        let Some(incoming) = incoming.filter(|_| refusal.lists(Header::Require, RELIABLE)) else {
            tracing::debug!(peer = %ring.peer, "a telephone wants an extension that there is not");
            return;
        };
        self.dial(now, Ring { stage: Stage::Insisting, ..ring }, &incoming, Some(refusal));
    }

    /// A telephone rings, perhaps so that it has to be acknowledged, and perhaps with an offer.
    pub(super) fn acknowledge_ringing(&mut self, now: Now, invite: ClientId, response: &Message<'_>) {
        if !is_reliable(response) {
            return;
        }
        let Some(ring) = self.rings.get_mut(invite) else { return };
        let offer = response.description();
        let answer = if offer.is_empty() {
            None
        } else {
            let spoken = *ring.spoken.get_or_insert_with(|| Spoken { session_id: self.rng.u64() >> 1 });
            let settings = &self.settings.call;
            let from = settings.reachable(SocketAddr::new(settings.media_bind, 0), ring.peer).ip();
            let path = self.registrar.get(ring.binding).map(|binding| binding.path.transport);
            let transport = path.unwrap_or(Transport::Udp);
            spoken.answer(offer, from, Keying::of(settings, transport, false), &mut self.rng)
        };
        let body = answer.as_deref().map(|answer| ("application/sdp", answer));
        self.endpoint.prack(now, invite, response, body);
    }

    /// A telephone was lifted whose offer has been answered before.
    pub(super) fn lift(&mut self, now: Now, invite: ClientId, ring: Ring) {
        let leg = Rung { dialog: ring.dialog, invite, peer: ring.peer, spoken: None };
        match leg.ask_again(&mut self.turn(now)) {
            Some(asked) => self.rings.add(asked, Ring { stage: Stage::Lifted, ..ring }),
            None => Joining::Rung(leg).refuse(&mut self.turn(now), &Refusal::status(503)),
        }
    }

    /// What it answers to that: with its offer it has called back.
    pub(super) fn lifted_answers(&mut self, now: Now, invite: ClientId, ring: Ring, response: &Message<'_>) {
        match (response.start(), ring.spoken) {
            (Start::Response { status: 200..300, .. }, Some(spoken)) => {
                let spoken = Some(Box::new((spoken, Bytes::copy_from_slice(response.bytes()))));
                let leg = Rung { dialog: ring.dialog, invite, peer: ring.peer, spoken };
                self.telephone_joins(now, leg, ring);
            }
            (Start::Response { .. } | Start::Request { .. }, _) => {
                self.hang_up_lifted(now, invite, &ring, &Refusal::status(488), None);
            }
        }
    }

    /// A request of its before it could be joined: whether the dialog is one of these.
    pub(super) fn lifted_asks(
        &mut self,
        now: Now,
        call: CallRef,
        dialog: DialogId,
        transaction: ServerId,
        request: &Message<'_>,
    ) -> bool {
        let Some(invite) = self.rings.lifted(call, dialog) else { return false };
        if request.start().method() != Some(Method::Bye) {
            too_early(&mut self.turn(now), transaction, request);
        } else if let Some(ring) = self.rings.remove(invite) {
            self.hang_up_lifted(now, invite, &ring, &Refusal::status(487), Some(transaction));
        }
        true
    }

    /// It does not get the call.
    pub(super) fn hang_up_lifted(
        &mut self,
        now: Now,
        invite: ClientId,
        ring: &Ring,
        refusal: &Refusal,
        bye: Option<ServerId>,
    ) {
        let leg = Rung { dialog: ring.dialog, invite, peer: ring.peer, spoken: None };
        Joining::Rung(leg).dismiss(&mut self.turn(now), refusal, bye);
    }
}

/// The extension (RFC 3262 §8.1).
const RELIABLE: &str = "100rel";
