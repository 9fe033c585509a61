//! One side of a call as SIP sees it, in three types: its INVITE waits for a final response; it was answered; it is on its way out.
//! Each step consumes the one before, so nothing answers twice or hangs up on what was never answered.
//! Not here: what the two legs are to each other (`merging`, `bridged`), and what they say in SDP (`session`).

use super::session_timer::{Asked, SessionTimer};
use super::{Settings, Turn, record};
use crate::limits;
use crate::mutant::{Mutant, planted};
use crate::sip::endpoint::{ClientId, DialogId, Endpoint, Reply, ServerId};
use crate::sip::wire::{Content, Head, Header, Message, Method, Start};
use arrayvec::ArrayVec;
use bytes::Bytes;
use std::net::IpAddr;

/// A final response that is no answer, with what tells the peer why.
#[derive(Clone, Debug, Default)]
pub struct Refusal {
    /// 300–699.
    pub status: u16,
    /// A stable id for counters and records.
    pub id: Option<&'static str>,
    /// Header fields, name and value, the one that the response is of no use without first: where there is not room for all, the last
    /// are left out.
    headers: Vec<(&'static str, String)>,
}

impl Refusal {
    /// A status with its usual phrase and nothing else.
    pub fn status(status: u16) -> Refusal {
        Refusal { status, ..Refusal::default() }
    }

    /// The same with a `Reason` (RFC 3326).
    pub fn because(status: u16, reason: &str) -> Refusal {
        Refusal::status(status).with("Reason", reason)
    }

    /// The same with a `Warning` that carries a stable reason id and a sentence for people (warn-code 399, RFC 3261 §20.43).
    pub fn warned(status: u16, id: &'static str, sentence: &str) -> Refusal {
        let warning = format!("399 parkway \"{id}: {sentence}\"");
        Refusal { id: Some(id), ..Refusal::status(status) }.with("Warning", warning)
    }

    /// "Not now, try again": in 0 to 10 seconds (RFC 3261 §14.2, RFC 3311 §5.2).
    pub(super) fn later(turn: &mut Turn<'_>) -> Refusal {
        Refusal::status(500).with("Retry-After", turn.rng.below(11).to_string())
    }

    /// With one more header field.
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Refusal {
        self.headers.push((name, value.into()));
        self
    }

    /// With header fields before those that it has.
    pub fn with_first(mut self, name: &'static str, values: impl IntoIterator<Item = String>) -> Refusal {
        self.headers.splice(0..0, values.into_iter().map(|value| (name, value)));
        self
    }

    /// With those of its header fields alone that are wanted.
    pub fn only(mut self, is_wanted: impl Fn(&str, &str) -> bool) -> Refusal {
        self.headers.retain(|(name, value)| is_wanted(name, value));
        self
    }

    /// Its `Reason`, for a BYE that says the same.
    pub(super) fn reason(&self) -> Option<&str> {
        self.headers.iter().find(|(name, _)| *name == "Reason").map(|(_, value)| value.as_str())
    }

    /// Hands the response to `send` with its headers in place.
    pub fn write<T>(&self, send: impl FnOnce(&Reply<'_>) -> T) -> T {
        let headers = self.headers.iter().map(|(name, value)| (*name, value.as_str()));
        let headers: ArrayVec<(&str, &str), { limits::SIP_ADDED_HEADERS_MAX }> =
            headers.take(limits::SIP_ADDED_HEADERS_MAX).collect();
        send(&Reply { headers: &headers, ..plain(self.status) })
    }
}

/// A response with nothing but its status.
pub fn plain(status: u16) -> Reply<'static> {
    Reply { status, reason: None, headers: &[], body: None }
}

/// The content type of a session description.
pub(super) const SDP: &str = "application/sdp";

/// A request in a dialog whose session does not exist yet. An UPDATE without an offer says only where its sender is (RFC 3311 §5.2);
/// anything else would change what is not there (RFC 3261 §14.2).
pub fn too_early(turn: &mut Turn<'_>, transaction: ServerId, request: &Message<'_>) {
    if request.start().method() == Some(Method::Update) && request.body().is_empty() {
        turn.endpoint.respond(turn.now, transaction, &plain(200));
        return;
    }
    Refusal::later(turn).write(|reply| turn.endpoint.respond(turn.now, transaction, reply));
}

/// A response's status; 0 for what is none.
pub(super) fn status(response: &Message<'_>) -> u16 {
    match response.start() {
        Start::Response { status, .. } => status,
        Start::Request { .. } => 0,
    }
}

/// A leg whose INVITE has no final response yet.
#[derive(Debug)]
pub struct Pending {
    /// The early dialog.
    pub dialog: DialogId,
    /// The INVITE's transaction.
    pub invite: ServerId,
    /// The address that the INVITE came from.
    pub peer: IpAddr,
    /// How it may ring.
    pub ring: Ring,
}

/// How a leg may ring (RFC 3262).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ring {
    /// By a response that nobody acknowledges.
    Plainly,
    /// By one that is repeated until its PRACK.
    Reliably,
    /// Only reliably, and it cannot: the first reliable response to an INVITE without an offer must have one (§5), and there is nobody yet
    /// whom it could speak for. 100 has to do.
    Never,
}

impl Ring {
    /// How an INVITE wants it (§3): reliably where it requires that, and where it can and the operator wants it.
    pub fn of(invite: &Message<'_>, settings: &Settings) -> Ring {
        let is_required = invite.lists(Header::Require, "100rel");
        let is_wanted = settings.rings_reliably && invite.lists(Header::Supported, "100rel");
        match (is_required || is_wanted, invite.description().is_empty()) {
            (true, false) => Ring::Reliably,
            (true, true) if is_required => Ring::Never,
            (true | false, _) => Ring::Plainly,
        }
    }
}

impl Pending {
    /// Something provisional: 180 or 183, perhaps with a session description.
    pub fn ring(&self, turn: &mut Turn<'_>, status: u16, sdp: Option<&[u8]>) {
        let body = sdp.map(|sdp| (SDP, sdp));
        match self.ring {
            Ring::Plainly => turn.endpoint.respond(turn.now, self.invite, &Reply { body, ..plain(status) }),
            Ring::Reliably => turn.endpoint.respond_reliably(turn.now, self.invite, status, body),
            Ring::Never => false,
        };
    }

    /// A 2xx with a session description. The session timer runs from now on (RFC 4028 §9).
    pub fn answer(self, turn: &mut Turn<'_>, sdp: &[u8]) -> Answered {
        let asked = Asked::of_kept(record::made_by(turn.endpoint, self.dialog));
        let Pending { dialog, peer, .. } = self;
        let timer = SessionTimer::default();
        let mut leg = Answered { dialog, peer, timer, refresh: None };
        leg.accept(turn, self.invite, asked, Some(sdp));
        leg
    }

    /// Any other final response; the early dialog ends with it (RFC 3261 §12.3).
    pub fn refuse(self, turn: &mut Turn<'_>, refusal: &Refusal) {
        refusal.write(|reply| turn.endpoint.respond(turn.now, self.invite, reply));
    }

    /// Refuses it, and answers the BYE with which the peer ended it in its early dialog (RFC 3261 §15), if it did.
    pub fn leave(self, turn: &mut Turn<'_>, refusal: &Refusal, bye: Option<ServerId>) -> Leaving {
        if let Some(bye) = bye {
            turn.endpoint.respond(turn.now, bye, &plain(200));
        }
        if !planted(Mutant::LegNotRefused) {
            self.refuse(turn, refusal);
        }
        Leaving::Gone
    }

    /// The session description in the INVITE, as its sender wrote it; empty if it had none.
    pub fn offer(&self, endpoint: &Endpoint) -> Bytes {
        described_in(endpoint, self.dialog)
    }
}

/// The session description in the message that made a dialog, as its sender wrote it; empty if it had none.
pub(super) fn described_in(endpoint: &Endpoint, dialog: DialogId) -> Bytes {
    endpoint.made_by(dialog).map(described).unwrap_or_default()
}

/// The same of any message.
pub(super) fn described(message: &Bytes) -> Bytes {
    match Head::of_kept(message).map(|(head, body)| head.content_of(body)) {
        // A part of the message that the dialog keeps anyway, not a copy.
        Some(Content::Description(description)) => message.slice_ref(description),
        Some(Content::Empty | Content::Sealed | Content::Unknown) | None => Bytes::new(),
    }
}

/// A leg with a confirmed dialog.
#[derive(Debug)]
pub struct Answered {
    /// The dialog.
    pub dialog: DialogId,
    /// The address that its INVITE came from.
    pub peer: IpAddr,
    /// Its session timer.
    pub(super) timer: SessionTimer,
    /// The request of ours that refreshes its session, while it has no answer.
    pub(super) refresh: Option<(ClientId, Method<'static>)>,
}

impl Answered {
    /// 200 to a request that refreshes the session, perhaps with a description.
    pub(super) fn accept(&mut self, turn: &mut Turn<'_>, request: ServerId, asked: Asked, sdp: Option<&[u8]>) {
        let words = self.timer.grant(turn.now.at, asked, turn.settings.session_timer);
        let body = sdp.map(|sdp| (SDP, sdp));
        turn.endpoint.respond(turn.now, request, &Reply { headers: &words.headers(), body, ..plain(200) });
    }

    /// Sends an INVITE or UPDATE, which refreshes the session whatever else it is for (RFC 4028 §7.4).
    pub(super) fn send(&self, turn: &mut Turn<'_>, method: Method<'static>, sdp: Option<&[u8]>) -> Option<ClientId> {
        let words = self.timer.ask();
        let body = sdp.map(|sdp| (SDP, sdp));
        turn.endpoint.request(turn.now, self.dialog, method, &words.headers(), body)
    }

    /// Whether the peer said in its INVITE that it takes requests of this method (RFC 3261 §20.5). Without Allow that is not known.
    pub(super) fn allows(&self, turn: &Turn<'_>, method: &str) -> bool {
        record::made_by(turn.endpoint, self.dialog).is_some_and(|invite| invite.lists(Header::Allow, method))
    }

    /// Whether it may be tried with a request of this method: it does not say that it does not allow it.
    pub(super) fn may_take(&self, turn: &Turn<'_>, method: &str) -> bool {
        let silent = |invite: &Head<'_>| invite.header(Header::Allow).is_none();
        record::made_by(turn.endpoint, self.dialog).is_some_and(|invite| silent(&invite)) || self.allows(turn, method)
    }

    /// We hang up. The endpoint holds the BYE back until the RFC lets it go: after the ACK of our 2xx (RFC 3261 §15).
    fn hang_up(self, turn: &mut Turn<'_>, reason: Option<&str>) -> Leaving {
        let reason = reason.map(|reason| ("Reason", reason));
        let bye = if planted(Mutant::ByeNotSent) {
            None
        } else {
            turn.endpoint.request(turn.now, self.dialog, Method::Bye, reason.as_slice(), None)
        };
        match bye {
            Some(bye) => Leaving::Saying { dialog: self.dialog, bye },
            None => {
                turn.endpoint.close(turn.now, self.dialog);
                Leaving::Gone
            }
        }
    }

    /// Ends it: with the answer to the peer's BYE if it hung up by itself, else with ours.
    pub fn leave(self, turn: &mut Turn<'_>, reason: Option<&str>, bye: Option<ServerId>) -> Leaving {
        match bye {
            Some(bye) => self.answer_bye(turn, bye),
            None => self.hang_up(turn, reason),
        }
    }

    /// Ends a leg that no call waits for any more: nothing that it says to our BYE matters.
    pub fn dismiss(self, turn: &mut Turn<'_>, bye: Option<ServerId>) {
        let dialog = self.dialog;
        let _ = self.leave(turn, None, bye);
        turn.endpoint.close(turn.now, dialog);
    }

    /// The peer hung up: its BYE is answered and the dialog is over.
    fn answer_bye(self, turn: &mut Turn<'_>, transaction: ServerId) -> Leaving {
        turn.endpoint.respond(turn.now, transaction, &plain(200));
        if planted(Mutant::ByeForBye) {
            return self.hang_up(turn, None);
        }
        turn.endpoint.close(turn.now, self.dialog);
        Leaving::Gone
    }
}

/// A leg that is being ended.
#[derive(Debug)]
pub enum Leaving {
    /// The BYE is on its way, or waits for the ACK of our 2xx.
    Saying {
        /// The dialog.
        dialog: DialogId,
        /// The BYE's transaction.
        bye: ClientId,
    },
    /// Nothing is left to do.
    Gone,
}

impl Leaving {
    /// Its dialog, while it has one.
    pub fn dialog(&self) -> Option<DialogId> {
        match self {
            Leaving::Saying { dialog, .. } => Some(*dialog),
            Leaving::Gone => None,
        }
    }

    /// A response. A late 2xx to a re-INVITE of ours still wants its ACK (RFC 3261 §13.2.2.4).
    pub fn handle_response(self, turn: &mut Turn<'_>, transaction: ClientId, response: &Message<'_>) -> Leaving {
        let status = status(response);
        match &self {
            Leaving::Saying { dialog, .. }
                if response.cseq().method == Method::Invite && (200..300).contains(&status) =>
            {
                if !planted(Mutant::LateAnswerNotAcked) {
                    turn.endpoint.acknowledge(turn.now, *dialog, transaction, None);
                }
                self
            }
            Leaving::Saying { .. } if status >= 200 => self.handle_bye_done(turn, transaction),
            Leaving::Saying { .. } | Leaving::Gone => self,
        }
    }

    /// A final response to our BYE, or none at all: the dialog is over (RFC 3261 §15.1.1).
    pub fn handle_bye_done(self, turn: &mut Turn<'_>, transaction: ClientId) -> Leaving {
        match self {
            Leaving::Saying { dialog, bye } if bye == transaction => {
                turn.endpoint.close(turn.now, dialog);
                Leaving::Gone
            }
            Leaving::Saying { .. } | Leaving::Gone => self,
        }
    }

    /// A request from a peer that is being hung up on: its own BYE ends the dialog, anything else comes too late.
    pub fn handle_request(self, turn: &mut Turn<'_>, transaction: ServerId, method: Option<Method<'_>>) -> Leaving {
        let bye = method == Some(Method::Bye);
        turn.endpoint.respond(turn.now, transaction, &plain(if bye { 200 } else { 481 }));
        if bye { self.abandon(turn) } else { self }
    }

    /// Waits for nothing more: the peer has hung up itself, or does not answer.
    pub fn abandon(self, turn: &mut Turn<'_>) -> Leaving {
        match self {
            Leaving::Saying { dialog, .. } => turn.endpoint.close(turn.now, dialog),
            Leaving::Gone => {}
        }
        Leaving::Gone
    }
}
