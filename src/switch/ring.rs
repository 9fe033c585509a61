//! Ringing the telephones that registered: where the route or the telephone's grant says so, it is not told of a call but dialled, all
//! of them at once (RFC 3261 §13.2). The first that answers has the call, as a client has it that calls back: with a bridge token, sealed
//! for it before it was rung and opened when it answers, and after policy was asked. The others are told who was faster.
//! Not here: who registered (`registrar`), and the joining of the two legs (`call::merging`).

use super::Switch;
use super::callback::Caller;
use crate::call::{ClientMessage, ClientMessageKind, Event, Incoming, Joining, Refusal, Rung, Spoken};
use crate::event::Hearer;
use crate::id::{BindingId, CallId, CallRef, Side};
use crate::limits;
use crate::mutant::{Mutant, planted};
use crate::name::Name;
use crate::policy::{Action, MediaKinds};
use crate::registrar::Who;
use crate::secret::Secret;
use crate::sip::endpoint::{ClientId, DialogId, Invitation, Owner, RELIABLY};
use crate::sip::wire::{Head, Message, Start};
use crate::time::Now;
use crate::token::{self, Audience, Contents};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// A telephone that rings.
pub(super) struct Ring {
    pub(super) call: CallRef,
    pub(super) binding: BindingId,
    pub(super) name: Name,
    pub(super) who: Who,
    pub(super) token: Secret<String>,
    pub(super) dialog: DialogId,
    pub(super) peer: IpAddr,
    /// What it was told of a session of ours while it rang.
    pub(super) spoken: Option<Spoken>,
    pub(super) stage: Stage,
}

/// How far a telephone is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    /// It rings.
    Ringing,
    /// The same, and its INVITE says that it may ring reliably: it would not have rung otherwise.
    Insisting,
    /// It was lifted, and asked for an offer that can be answered with ports.
    Lifted,
}

/// All that ring, by the INVITE and by the call.
#[derive(Default)]
pub(super) struct Rings {
    by_invite: BTreeMap<ClientId, Ring>,
    by_call: BTreeSet<(CallRef, ClientId)>,
}

impl Rings {
    pub(super) fn add(&mut self, invite: ClientId, ring: Ring) {
        self.by_call.insert((ring.call, invite));
        self.by_invite.insert(invite, ring);
    }

    pub(super) fn get_mut(&mut self, invite: ClientId) -> Option<&mut Ring> {
        self.by_invite.get_mut(&invite)
    }

    /// The INVITE of a telephone that was lifted, by its dialog.
    pub(super) fn lifted(&self, call: CallRef, dialog: DialogId) -> Option<ClientId> {
        let is_it = |ring: &Ring| ring.stage == Stage::Lifted && ring.dialog == dialog;
        self.of(call).into_iter().find(|invite| self.by_invite.get(invite).is_some_and(is_it))
    }

    pub(super) fn remove(&mut self, invite: ClientId) -> Option<Ring> {
        let ring = self.by_invite.remove(&invite)?;
        self.by_call.remove(&(ring.call, invite));
        Some(ring)
    }

    fn of(&self, call: CallRef) -> Vec<ClientId> {
        let ours = self.by_call.iter().skip_while(|(at, _)| *at < call).take_while(|(at, _)| *at == call);
        ours.map(|(_, invite)| *invite).collect()
    }

    fn rings(&self, call: CallRef, binding: BindingId) -> bool {
        self.of(call).iter().any(|invite| self.by_invite.get(invite).is_some_and(|ring| ring.binding == binding))
    }

    /// How many telephones ring.
    pub(super) fn len(&self) -> usize {
        self.by_invite.len()
    }
}

impl Switch {
    /// Whether a client is rung, and not told of calls: one that registered, where the call's route or its own grant says so.
    pub(super) fn is_rung(&self, id: BindingId, by_route: bool) -> bool {
        let Some(binding) = self.registrar.get(id).filter(|binding| binding.contact().is_some()) else { return false };
        by_route || binding.who.claims(self.keyring.users()).is_some_and(|claims| claims.grant().ring)
    }

    /// Rings a telephone, if policy lets it hear of the call and it does not ring yet.
    pub(super) fn ring(&mut self, now: Now, id: BindingId, incoming: &Incoming) {
        let Some(call) = self.lot.find(incoming.call) else { return };
        if self.rings.rings(call, id) {
            return;
        }
        if self.rings.of(call).len() >= limits::TELEPHONES_RUNG_MAX {
            self.stats.told.note("dropped");
            return;
        }
        let Some(ring) = self.invitation(now, id, call, incoming) else {
            self.stats.told.note("withheld");
            return;
        };
        self.dial(now, ring, incoming, None);
    }

    /// Sends a telephone its INVITE, or another one after a refusal.
    pub(super) fn dial(&mut self, now: Now, ring: Ring, incoming: &Incoming, refusal: Option<&Message<'_>>) {
        let passed = self.passed_headers(ring.call);
        let passed = passed.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let reliably = (ring.stage == Stage::Insisting).then_some(RELIABLY);
        let headers: Vec<(&str, &str)> = reliably.into_iter().chain(passed).collect();
        let Some(binding) = self.registrar.get(ring.binding) else { return };
        let (Some(contact), path) = (binding.contact(), binding.path) else { return };
        let invitation = Invitation {
            uri: &contact.uri,
            from: &caller_of(incoming),
            to: &format!("<{}>", self.herald.sip_uri(&binding.name)),
            route: &contact.vector.route,
            headers: &headers,
            body: None,
            opens: binding.opens(),
        };
        let owner = Owner { call: ring.call, side: Side::Client };
        let sent = match refusal {
            Some(refusal) => self.endpoint.invite_again(now, path, owner, &invitation, refusal),
            None => self.endpoint.invite(now, path, owner, &invitation),
        };
        match sent {
            Some((invite, dialog)) => self.rings.add(invite, Ring { dialog, ..ring }),
            None => self.stats.told.note("dropped"),
        }
    }

    /// What of the caller's INVITE is handed on unread, as far as it is text.
    fn passed_headers(&self, call: CallRef) -> Vec<(String, String)> {
        let caller = self.lot.get(call).and_then(|call| call.dialog(Side::Caller));
        let invite = caller.and_then(|dialog| self.endpoint.made_by(dialog)).and_then(|invite| Head::of_kept(invite));
        let Some((invite, _)) = invite else { return Vec::new() };
        let text = |value: &[u8]| std::str::from_utf8(value).ok().map(str::to_owned);
        let of =
            |name: &String| invite.others(name).filter_map(text).map(|value| (name.clone(), value)).collect::<Vec<_>>();
        self.settings.pass_headers.iter().flat_map(of).take(limits::PASSED_HEADERS_MAX).collect()
    }

    /// Who is rung, with the token that is opened when it answers. `None`: policy does not let it hear of the call.
    fn invitation(&mut self, now: Now, id: BindingId, call: CallRef, incoming: &Incoming) -> Option<Ring> {
        let authority = self.authority();
        let binding = self.registrar.get(id)?;
        let claims = binding.who.claims(authority.keyring.users())?;
        let hearer = Hearer { name: &binding.name, claims, source: Some(binding.path.peer.ip()) };
        authority
            .decide(now, Action::Receive, MediaKinds::NONE, hearer, Some((incoming.call, &incoming.called)))
            .ok()?;
        let contents = Contents {
            node: authority.keys.node(),
            call: incoming.call,
            generation: incoming.generation,
            expires: incoming.token_expires,
            subject: claims.subject_hash(),
            record: None,
        };
        let audience = Audience::Client { name: &binding.name, subject: claims.subject() };
        let token = token::seal(&authority.keys, &mut self.rng, &contents, &audience);
        let token = Secret::new(token.expose().to_owned());
        let (name, who, peer) = (binding.name.clone(), binding.who.clone(), binding.path.peer.ip());
        // Its dialog gets its name when the INVITE is sent.
        let (dialog, spoken, stage) = (DialogId::NONE, None, Stage::Ringing);
        Some(Ring { call, binding: id, name, who, token, dialog, peer, spoken, stage })
    }

    /// A telephone's response, if it is one that was rung: whether it was.
    pub(super) fn telephone_answered(&mut self, now: Now, invite: ClientId, response: &Message<'_>) -> bool {
        let Start::Response { status, .. } = response.start() else { return false };
        if status < 200 {
            let Some(ring) = self.rings.by_invite.get(&invite) else { return false };
            let (call, by) = (ring.call, ring.name.clone());
            self.acknowledge_ringing(now, invite, response);
            if status == 180 {
                self.step(now, call, Event::Ringing { by });
            }
            return true;
        }
        let Some(ring) = self.rings.remove(invite) else { return false };
        match status {
            _ if ring.stage == Stage::Lifted => self.lifted_answers(now, invite, ring, response),
            200..300 if self.endpoint.is_described(ring.dialog) => self.lift(now, invite, ring),
            200..300 => {
                let leg = Rung { dialog: ring.dialog, invite, peer: ring.peer, spoken: None };
                self.telephone_joins(now, leg, ring);
            }
            EXTENSION_REQUIRED if ring.stage == Stage::Ringing => self.ring_reliably(now, ring, response),
            // RFC 3261 §21.6: nobody there wants the call; as a client says it on its channel.
            DECLINED => self.decline_by(now, ring),
            _ => tracing::debug!(peer = %ring.peer, status, "a telephone does not take the call"),
        }
        true
    }

    /// A telephone said nothing, or its connection is gone: whether it was one that was rung.
    pub(super) fn telephone_failed(&mut self, now: Now, invite: ClientId) -> bool {
        let Some(ring) = self.rings.remove(invite) else { return false };
        if ring.stage == Stage::Lifted {
            self.hang_up_lifted(now, invite, &ring, &Refusal::status(408), None);
        }
        true
    }

    /// Whoever may answer a call may decline it.
    fn decline_by(&mut self, now: Now, ring: Ring) {
        let Some(facts) = self.lot.get(ring.call).map(|call| call.facts()) else { return };
        let (call, called) = (facts.id, facts.called.clone());
        let authority = self.authority();
        let Some(claims) = ring.who.claims(authority.keyring.users()) else { return };
        let hearer = Hearer { name: &ring.name, claims, source: Some(ring.peer) };
        if authority.decide(now, Action::Bridge, MediaKinds::AUDIO, hearer, Some((call, &called))).is_ok() {
            let subject = claims.subject().into();
            let kind = ClientMessageKind::Declined;
            self.handle_client(now, ClientMessage { call, name: ring.name.clone(), subject, kind });
        }
    }

    /// A telephone was lifted: it is a callback from here on.
    pub(super) fn telephone_joins(&mut self, now: Now, leg: Rung, ring: Ring) {
        let leg = Joining::Rung(leg);
        match self.claim_of(now, &ring) {
            Ok((caller, claim, call, id)) => self.ask_policy(now, leg, (call, id), claim, caller),
            Err(refusal) => {
                self.stats.note_callback_refused(refusal.status);
                leg.refuse(&mut self.turn(now), &refusal);
            }
        }
    }

    fn claim_of(&mut self, now: Now, ring: &Ring) -> Result<(Caller, token::Claim, CallRef, CallId), Refusal> {
        let nobody = || Refusal::warned(403, "bridge_token_invalid", "the bridge token is not valid");
        let claims = ring.who.claims(self.keyring.users()).cloned().ok_or_else(nobody)?;
        let audience = Audience::Client { name: &ring.name, subject: claims.subject() };
        let claim = self.open(now, ring.token.expose().as_bytes(), &audience).map_err(|_| nobody())?;
        let caller = Caller::Known { claims: Box::new(claims), name: ring.name.clone(), who: ring.who.clone() };
        let (call, id) = self.find_waiting(now, &caller, &claim)?;
        Ok((caller, claim, call, id))
    }

    /// A call waits no more: its telephones stop to ring, and hear why.
    pub(super) fn stop_ringing(&mut self, now: Now, call: CallRef, reason: Option<&str>) {
        for invite in self.rings.of(call) {
            let ring = self.rings.remove(invite);
            if planted(Mutant::RingsOn) {
                continue;
            }
            match ring.filter(|ring| ring.stage == Stage::Lifted) {
                Some(ring) => {
                    let refusal = Refusal::status(486).with_first("Reason", reason.map(str::to_owned));
                    self.hang_up_lifted(now, invite, &ring, &refusal, None);
                }
                None => self.endpoint.cancel(now, invite, reason),
            }
        }
    }
}

/// Extension Required (RFC 3261 §21.4.15).
const EXTENSION_REQUIRED: u16 = 421;
/// Decline (RFC 3261 §21.6.2).
const DECLINED: u16 = 603;

/// Who calls, as the telephone shows it: the value of From.
fn caller_of(incoming: &Incoming) -> String {
    match &incoming.from_display {
        Some(display) => format!("\"{}\" <{}>", display.replace(['"', '\\'], ""), incoming.from),
        None => format!("<{}>", incoming.from),
    }
}
