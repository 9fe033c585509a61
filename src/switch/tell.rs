//! Telling the clients that are reached over SIP: the same documents as over a WebSocket, by MESSAGE to a contact that registered and by
//! NOTIFY in a subscription's dialog, over the path that the client came by. One at a time to each client (RFC 3428 §8).
//! Not here: who these clients are (`registrar`), and what the documents say (`event`).

use super::Switch;
use crate::call::Notice;
use crate::event::{Hearer, Herald, TEXT};
use crate::id::{BindingId, CallId};
use crate::letter::{Letter, State};
use crate::limits;
use crate::mutant::{Mutant, planted};
use crate::name::Name;
use crate::policy::{Action, MediaKinds};
use crate::registrar::{Binding, Contact, Dialog, Kind, Parcel};
use crate::sip::endpoint::{Asker, ClientId, Endpoint, Outside};
use crate::sip::wire::{Header, Message, Method};
use crate::sip::{Path, Transport};
use crate::time::{Instant, Now};
use crate::token::SubjectHash;
use std::collections::VecDeque;
use std::sync::Arc;

/// What the documents are.
const JSON: &str = "application/json";
/// An answer to a NOTIFY or MESSAGE that says that nobody is there any more: none came, or it was 408.
const SILENT: u16 = 408;

/// Whose turn it is to be told something.
#[derive(Default)]
pub(super) struct Turns {
    queue: VecDeque<BindingId>,
    /// When the last ones were told.
    at: Instant,
}

impl Turns {
    /// When [`Switch::take_turns`] is due: at once, if there is somebody.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        (!self.queue.is_empty()).then_some(self.at)
    }
}

impl Switch {
    /// A call waits, or waits no more. Notices are counted from 1, as the publisher of the WebSockets' side counts them: one notice has one
    /// id, whichever way it goes.
    pub(super) fn tell(&mut self, now: Now, notice: &Notice) {
        self.notices += 1;
        let sequence = self.notices;
        let (name, whose, parcel) = match notice {
            Notice::Incoming(incoming) => {
                self.posted.add(&incoming.name, incoming.call, sequence);
                (&incoming.name, None, Parcel::Incoming { call: incoming.call, sequence })
            }
            Notice::Gone(gone) => {
                self.posted.remove(&gone.name, gone.call);
                (&gone.name, None, Parcel::Gone { gone: Arc::new(gone.clone()), sequence })
            }
            Notice::Letter(letter) => {
                self.mail.letters.add(now.at, Arc::clone(letter), sequence);
                if letter.leaves {
                    return;
                }
                (&letter.name, None, Parcel::Letter { letter: Arc::clone(letter), sequence })
            }
            Notice::Changed(change) => return self.mail.letters.advance(change, sequence),
            Notice::Forgotten(id) => return self.mail.letters.remove(*id),
            Notice::Personal(personal) => {
                let whose = Some(personal.holder);
                (&personal.name, whose, Parcel::Personal { personal: Arc::new((**personal).clone()), sequence })
            }
        };
        for id in self.registrar.reached(name) {
            if whose.is_some_and(|holder| !self.is_client(id, name, holder)) {
                continue;
            }
            self.push(id, parcel.clone());
            let Some(binding) = self.registrar.get_mut(id) else { continue };
            if !std::mem::replace(&mut binding.queued, true) {
                self.turns.queue.push_back(id);
            }
        }
        self.take_turns(now);
    }

    /// The clients that hear of calls for a name over a connection of their own, which lives. Over datagrams nobody knows whether anybody is
    /// there, and behind a proxy the connection is the proxy's.
    pub fn connected(&self, name: &Name) -> Vec<(Name, SubjectHash)> {
        let mut found = Vec::new();
        for binding in self.registrar.reached(name).into_iter().filter_map(|id| self.registrar.get(id)) {
            let is_direct = binding.contact().is_none_or(|contact| contact.vector.is_empty());
            if binding.path.transport != Transport::Udp
                && is_direct
                && let Some(claims) = binding.who.claims(self.keyring.users())
            {
                found.push((binding.name.clone(), claims.subject_hash()));
            }
        }
        found
    }

    /// Whether a binding is this client's, under this very name.
    fn is_client(&self, id: BindingId, name: &Name, who: SubjectHash) -> bool {
        self.registrar.get(id).filter(|binding| binding.name == *name).is_some_and(|binding| {
            binding.who.claims(self.keyring.users()).is_some_and(|claims| claims.subject_hash() == who)
        })
    }

    /// Tells some of those whose turn it is. A name may have thousands of clients, and calls have to go on meanwhile: the others' turn comes
    /// with the next timeout, which is due at once.
    pub(super) fn take_turns(&mut self, now: Now) {
        self.turns.at = now.at;
        for _ in 0..limits::BINDINGS_TOLD_AT_ONCE {
            let Some(id) = self.turns.queue.pop_front() else { return };
            self.registrar.get_mut(id).into_iter().for_each(|binding| binding.queued = false);
            self.send_next(now, id);
        }
    }

    /// A client is new here, or comes by a new way: it is told of all that waits.
    pub(super) fn introduce(&mut self, now: Now, id: BindingId) {
        let Some(name) = self.registrar.get(id).map(|binding| binding.name.clone()) else { return };
        for (sequence, call) in self.posted.waiting_for(&name) {
            self.push(id, Parcel::Incoming { call, sequence });
        }
        for (sequence, letter) in self.mail.letters.waiting_for(&name) {
            self.push(id, Parcel::Letter { letter, sequence });
        }
        self.send_next(now, id);
    }

    /// Queues a parcel; one too many is lost.
    pub(super) fn push(&mut self, id: BindingId, parcel: Parcel) {
        if self.registrar.get_mut(id).is_some_and(|binding| !binding.push(parcel)) {
            self.stats.told.note("dropped");
        }
    }

    /// Sends the next thing that a client has to be told and may be told, unless one is on its way.
    pub(super) fn send_next(&mut self, now: Now, id: BindingId) {
        while let Some(parcel) = self.registrar.get_mut(id).and_then(Binding::pop) {
            let is_last = matches!(parcel, Parcel::Terminated(_));
            if self.rings_instead(now, id, &parcel) {
                continue;
            }
            let Some(document) = self.document(now, id, &parcel) else { continue };
            let sent = self.send(now, id, &parcel, &document);
            if is_last {
                self.registrar.remove(id);
                return;
            }
            match sent {
                Some(transaction) => {
                    self.registrar
                        .get_mut(id)
                        .into_iter()
                        .for_each(|binding| binding.sent(transaction, parcel.clone()));
                    return;
                }
                None => self.stats.told.note("dropped"),
            }
        }
    }

    /// A telephone that is rung is not told besides, neither of the call nor of its end.
    fn rings_instead(&mut self, now: Now, id: BindingId, parcel: &Parcel) -> bool {
        match parcel {
            Parcel::State | Parcel::Letter { .. } | Parcel::Terminated(_) => false,
            Parcel::Incoming { call, sequence } => {
                let Some(incoming) = self.incoming(*call, *sequence) else { return false };
                let rung = self.is_rung(id, incoming.rings);
                if rung {
                    self.ring(now, id, &incoming);
                }
                rung && !planted(Mutant::RungAndTold)
            }
            Parcel::Gone { gone, .. } => self.is_rung(id, gone.rings),
            Parcel::Personal { personal, .. } => self.is_rung(id, personal.rings),
        }
    }

    /// The document of a parcel, written for this client now; `None` if it is not for it, or no longer true.
    fn document(&mut self, now: Now, id: BindingId, parcel: &Parcel) -> Option<String> {
        let call = match parcel {
            Parcel::State | Parcel::Terminated(_) => return Some(String::new()),
            Parcel::Incoming { call, .. } => Some((*call, self.lot.get(self.lot.find(*call)?)?.facts().called.clone())),
            Parcel::Gone { gone, .. } => Some((gone.call, gone.called.clone())),
            Parcel::Personal { personal, .. } => Some((personal.call, personal.called.clone())),
            Parcel::Letter { .. } => None,
        };
        let authority = self.authority();
        let binding = self.registrar.get(id)?;
        let claims = binding.who.claims(authority.keyring.users());
        let source = Some(binding.path.peer.ip());
        let hearer = claims.map(|claims| Hearer { name: &binding.name, claims, source });
        let about = call.as_ref().map(|(call, called)| (*call, &**called));
        let may = |hearer| authority.decide(now, Action::Receive, MediaKinds::NONE, hearer, about).is_ok();
        let Some(hearer) = hearer.filter(|hearer| may(*hearer)) else {
            self.stats.told.note("withheld");
            return None;
        };
        match parcel {
            Parcel::State | Parcel::Terminated(_) => None,
            Parcel::Incoming { call, sequence } => {
                let incoming = self.incoming(*call, *sequence)?;
                Some(self.herald.incoming(&authority, now, hearer, (*sequence, &incoming), &mut self.rng))
            }
            Parcel::Gone { gone, sequence } => Some(self.herald.gone(*sequence, gone)),
            Parcel::Personal { personal, sequence } => Some(self.herald.personal(*sequence, personal)),
            // A telephone shows what it gets.
            Parcel::Letter { letter, .. } if binding.contact().is_some() => Some(letter.text.to_string()),
            Parcel::Letter { letter, sequence } => Some(self.herald.message(*sequence, letter)),
        }
    }

    /// What is known of a call that still waits since the notice of that number.
    fn incoming(&self, call: CallId, sequence: u64) -> Option<crate::call::Incoming> {
        let call = self.lot.get(self.lot.find(call)?)?;
        let facts = call.facts();
        self.posted.holds(&facts.route.name, facts.id, sequence).then(|| call.incoming(&self.endpoint))?
    }

    fn send(&mut self, now: Now, id: BindingId, parcel: &Parcel, document: &str) -> Option<ClientId> {
        let fresh = (self.rng.u64(), self.rng.u128());
        let binding = self.registrar.get_mut(id)?;
        let (path, opens, left) = (binding.path, binding.opens(), (binding.expires - now.at).as_secs());
        let mut mail = Mail { endpoint: &mut self.endpoint, herald: &self.herald, now, id, path, opens };
        match &mut binding.kind {
            Kind::Contact(contact) => {
                let letter = match parcel {
                    Parcel::Letter { letter, .. } => Some(&**letter),
                    Parcel::State | Parcel::Incoming { .. } | Parcel::Gone { .. } => None,
                    Parcel::Personal { .. } | Parcel::Terminated(_) => None,
                };
                mail.message((&binding.name, letter), contact, fresh, document)
            }
            Kind::Subscription(dialog) => {
                let state = match parcel {
                    Parcel::Terminated(reason) => format!("terminated;reason={reason}"),
                    Parcel::State | Parcel::Incoming { .. } | Parcel::Gone { .. } => format!("active;expires={left}"),
                    Parcel::Personal { .. } | Parcel::Letter { .. } => format!("active;expires={left}"),
                };
                mail.notify(dialog, &state, document)
            }
        }
    }

    /// What came of telling a client something.
    pub(super) fn handle_told(
        &mut self,
        now: Now,
        id: BindingId,
        transaction: ClientId,
        (status, answer): (u16, Option<Message<'_>>),
    ) {
        let Some(binding) = self.registrar.get_mut(id) else { return };
        let Some(parcel) = binding.answered(transaction) else { return };
        // RFC 3261 §21.4.13: many telephones take text alone; the document is one.
        let letter = match &parcel {
            Parcel::Letter { letter, .. } => Some(letter.id),
            Parcel::State | Parcel::Incoming { .. } | Parcel::Gone { .. } => None,
            Parcel::Personal { .. } | Parcel::Terminated(_) => None,
        };
        let takes_text = letter.is_none()
            && status == 415
            && answer.is_some_and(|answer| answer.values(Header::Accept).any(is_text));
        if takes_text && binding.say_again_as_text(parcel) {
            return self.send_next(now, id);
        }
        let is_subscription = binding.dialog().is_some();
        let result = match status {
            200..300 => "delivered",
            SILENT => "unanswered",
            _ => "refused",
        };
        self.stats.told.note(result);
        // RFC 6665 §4.2.2: a NOTIFY that fails ends the subscription. A contact that says nothing is gone (RFC 5626 §5.3.1); it may
        // come back by itself.
        if status == SILENT || (is_subscription && status >= 300) {
            tracing::debug!(peer = %binding.path, name = %binding.name, status, "a client is not there any more");
            self.registrar.remove(id);
            return;
        }
        // RFC 3428 §7: 202 is a gateway's, which does not know yet.
        match (letter, status) {
            (Some(letter), 202) => self.advance(now, letter, State::Sent),
            (Some(letter), 200..300) => self.advance(now, letter, State::Delivered),
            (Some(_) | None, _) => {}
        }
        self.send_next(now, id);
    }

    /// A path is gone, and with it whoever came over it.
    pub(super) fn lose_path(&mut self, path: Path) {
        if !planted(Mutant::BindingKept) {
            self.registrar.lose(path);
        }
    }

    /// Ends what has lasted long enough. A subscriber is told (RFC 6665 §4.2.2), unless it was told before.
    pub(super) fn handle_lapsed(&mut self, now: Now) {
        while let Some(id) = self.registrar.overdue(now.at) {
            self.dismiss(now, id, "timeout");
        }
    }

    /// We stop: subscribers are to come back to whoever is here then (RFC 6665 §4.1.3 "deactivated").
    pub(super) fn end_subscriptions(&mut self, now: Now) {
        for id in self.registrar.ids() {
            if self.registrar.get(id).is_some_and(|binding| binding.dialog().is_some()) {
                self.dismiss(now, id, "deactivated");
            }
        }
    }

    /// Takes one out of the table, with a last NOTIFY if it is a subscription.
    fn dismiss(&mut self, now: Now, id: BindingId, reason: &'static str) {
        let Some(mut binding) = self.registrar.remove(id) else { return };
        let (path, is_told) = (binding.path, binding.is_terminated());
        if let (Kind::Subscription(dialog), false) = (&mut binding.kind, is_told) {
            let mut mail = Mail { endpoint: &mut self.endpoint, herald: &self.herald, now, id, path, opens: false };
            mail.notify(dialog, &format!("terminated;reason={reason}"), "");
        }
    }
}

/// How one client is written to.
struct Mail<'m> {
    endpoint: &'m mut Endpoint,
    herald: &'m Herald,
    now: Now,
    id: BindingId,
    path: Path,
    opens: bool,
}

impl Mail<'_> {
    /// RFC 3428: to a contact, in no dialog.
    fn message(
        &mut self,
        (name, letter): (&Name, Option<&Letter>),
        to: &Contact,
        (tag, call_id): (u64, u128),
        document: &str,
    ) -> Option<ClientId> {
        // RFC 3428 §8.
        let is_datagram = self.path.transport == Transport::Udp;
        if letter.is_some() && is_datagram && document.len() > limits::MESSAGE_DATAGRAM_TEXT_BYTES_MAX {
            return None;
        }
        let kind = if to.text_only || letter.is_some() { TEXT } else { JSON };
        let own = self.herald.sip_uri(name);
        let from = letter.map_or_else(|| own.clone(), |letter| self.herald.author_uri(&letter.from));
        let message = Outside {
            method: Method::Message,
            uri: &to.uri,
            from: &format!("<{from}>;tag={tag:016x}"),
            to: &format!("<{own}>"),
            call_id: &format!("{call_id:032x}"),
            cseq: 1,
            route: &to.vector.route,
            contact: None,
            headers: &[],
            body: body(kind, document),
            opens: self.opens,
            asker: Asker::Binding(self.id),
        };
        self.endpoint.send_outside(self.now, self.path, &message)
    }

    /// RFC 6665 §4.2.2: in the subscription's dialog, with how that stands.
    fn notify(&mut self, dialog: &mut Dialog, state: &str, document: &str) -> Option<ClientId> {
        dialog.local_cseq = dialog.local_cseq.saturating_add(1);
        let transport = self.path.transport.uri_parameter();
        let notify = Outside {
            method: Method::Notify,
            uri: &dialog.target,
            from: &dialog.local,
            to: &dialog.remote,
            call_id: &dialog.call_id,
            cseq: dialog.local_cseq,
            route: &dialog.route,
            contact: Some(&format!("<sip:{}@{}{transport}>", dialog.local_tag, self.herald.sip_host)),
            headers: &[("Event", &dialog.event), ("Subscription-State", state)],
            body: body(JSON, document),
            opens: self.opens,
            asker: Asker::Binding(self.id),
        };
        self.endpoint.send_outside(self.now, self.path, &notify)
    }
}

fn body<'d>(kind: &'d str, document: &'d str) -> Option<(&'d str, &'d [u8])> {
    (!document.is_empty()).then_some((kind, document.as_bytes()))
}

fn is_text(range: &[u8]) -> bool {
    let kind = range.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    [&b"*/*"[..], b"text/*", b"text/plain"].iter().any(|known| kind.eq_ignore_ascii_case(known))
}
