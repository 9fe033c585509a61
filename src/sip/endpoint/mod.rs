//! The user-agent core under the switch: it owns the transactions, the dialogs, their timers and what is to be sent.
//! Bytes go in with the path they came on, [`Event`]s come out; the switch answers with [`Reply`]s and requests in dialogs.
//! Whatever RFC 3261 settles without knowing what the call is about is settled here: retransmissions, matching, order,
//! malformed and unsupported requests (§8.2), CANCEL's own answer (§9.2), the repetition of 2xx (§13.3.1.4), tags, routes.
//! Not here: sockets and clocks (the shell), which calls are wanted (`switch`), and what a request does to a call (`call`).

mod answer;
#[cfg(test)]
mod bench;
mod check;
mod client;
mod dial;
#[cfg(test)]
mod dialogs;
#[cfg(test)]
mod disorder;
#[cfg(test)]
mod invites;
mod key;
mod out;
mod outside;
mod prack;
mod recent;
#[cfg(test)]
mod refusals;
mod reliable;
mod server;
mod sessions;
mod stats;
mod traffic;
#[cfg(test)]
mod updates;
mod way;

pub use crate::sip::dialog::{DialogId, Owner};
pub use dial::Invitation;
pub use outside::{Asker, Outside};
pub use prack::{RELIABLY, is_reliable};
pub use stats::{Counts, Stats};
pub use traffic::Traffic;

use crate::id::CallRef;
use crate::limits;
use crate::mutant::{Mutant, planted};
use crate::rng::Rng;
use crate::sip::Path;
use crate::sip::dialog::session_id::SessionId;
use crate::sip::dialog::{Dialog, Role};
use crate::sip::transaction::ServerInvite;
use crate::sip::transaction::timer::Wheel;
use crate::sip::wire::{Head, Message, Method, Start, Transport, is_keep_alive};
use crate::time::{Instant, Now};
use answer::{New, Server};
use arrayvec::ArrayVec;
use bytes::Bytes;
use client::{Client, Whose};
use dial::Cancel;
use ipnet::IpNet;
use key::{ByFingerprint, Keys};
use out::{Output, exact};
use recent::Recent;
use reliable::Reliable;
use slab::Slab;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;

/// A request from a peer that is, or was, waiting for our answer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ServerId {
    slot: u32,
    generation: u32,
}

/// A request of ours that is, or was, waiting for the peer's answer. Its bits are the ones of its branch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ClientId(u64);

impl ServerId {
    fn index(self) -> usize {
        usize::try_from(self.slot).expect("32 bits fit")
    }
}

/// What the switch has to know of what arrived or ran out. Borrowed from the datagram.
pub enum Event<'a> {
    /// An INVITE outside any dialog. Nothing is kept of it yet: [`Endpoint::reply`] forgets it, [`Endpoint::accept`] keeps it.
    Invite {
        /// Where it came from.
        path: Path,
        /// The INVITE, checked as far as this module does.
        request: Message<'a>,
    },
    /// Any other request outside of an INVITE's dialog: OPTIONS, REGISTER, SUBSCRIBE. Answer with [`Endpoint::reply`].
    Request {
        /// Where it came from.
        path: Path,
        /// The request, checked as far as this module does.
        request: Message<'a>,
    },
    /// A new request in a dialog: BYE, re-INVITE, UPDATE, OPTIONS. Its repetitions are absorbed; answer with [`Endpoint::respond`].
    InDialog {
        /// The leg.
        owner: Owner,
        /// The dialog.
        dialog: DialogId,
        /// What to answer.
        transaction: ServerId,
        /// The request; its CSeq is in order.
        request: Message<'a>,
        /// Where it came from.
        path: Path,
    },
    /// The ACK of our 2xx, the first time only. Its body may be the answer to an offer in the 2xx.
    Ack {
        /// The leg.
        owner: Owner,
        /// The dialog.
        dialog: DialogId,
        /// The INVITE whose 2xx it acknowledges.
        transaction: ServerId,
        /// The ACK.
        message: Message<'a>,
    },
    /// A CANCEL for an INVITE that has no final answer yet, the first time only. The CANCEL has its 200 already; the owner
    /// ends the INVITE with 487.
    Cancel {
        /// The leg.
        owner: Owner,
        /// The INVITE.
        transaction: ServerId,
        /// The CANCEL; it may say why (`Reason`).
        message: Message<'a>,
    },
    /// An answer to a request of ours: each provisional one but 100, and the first final one.
    Response {
        /// The leg.
        owner: Owner,
        /// The dialog the request was sent in; it may be closed by now.
        dialog: DialogId,
        /// Which request. For a 2xx to an INVITE, [`Endpoint::acknowledge`] it.
        transaction: ClientId,
        /// The request's method.
        method: Method<'static>,
        /// The answer.
        message: Message<'a>,
    },
    /// A request of ours got no final answer in time (Timer B or F).
    Failed {
        /// The leg.
        owner: Owner,
        /// The dialog the request was sent in; it may be closed by now.
        dialog: DialogId,
        /// Which request.
        transaction: ClientId,
        /// The request's method.
        method: Method<'static>,
    },
    /// What came of a request outside of any dialog ([`Endpoint::send_outside`]): once each.
    Outside {
        /// Who sent it.
        asker: Asker,
        /// Which request.
        transaction: ClientId,
        /// The request's method.
        method: Method<'static>,
        /// The answer's, 200 to 699; 408 where none came in time (Timer F) or the connection was lost (RFC 3261 §8.1.3.1).
        status: u16,
        /// The final answer; `None` when none came.
        answer: Option<Message<'a>>,
    },
    /// Nobody acknowledged our 2xx within 64*T1: the dialog stands, and RFC 3261 §13.3.1.4 wants it ended with a BYE.
    Unacknowledged {
        /// The leg.
        owner: Owner,
        /// The dialog.
        dialog: DialogId,
    },
    /// Nobody acknowledged our reliable ringing within 64*T1: RFC 3262 §3 wants the INVITE refused with 5xx.
    ProvisionalUnacknowledged {
        /// The leg.
        owner: Owner,
        /// The early dialog.
        dialog: DialogId,
    },
}

/// An answer as the call words it. Via, From, To with our tag, Call-ID, CSeq, Record-Route, Contact, Allow, Server and
/// Content-Length are the endpoint's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reply<'a> {
    /// 100 to 699.
    pub status: u16,
    /// The phrase, where the usual one for the status will not do.
    pub reason: Option<&'a str>,
    /// Further header fields, name and value.
    pub headers: &'a [(&'a str, &'a str)],
    /// Content-Type and body.
    pub body: Option<(&'a str, &'a [u8])>,
}

/// One message to be sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Transmit {
    /// From which of our addresses, and to whom. With a transport that has connections: over which one.
    pub path: Path,
    /// Where a connection is opened if there is none for the path any more (RFC 3261 §18.2.2 for responses, §18.1.1 for requests).
    pub reopen: Option<SocketAddr>,
    /// The message.
    pub bytes: Bytes,
}

/// How this node presents itself.
#[derive(Clone, Debug, Default)]
pub struct EndpointSettings {
    /// The product token of `Server` and `User-Agent`; neither is sent when it is empty.
    pub product: String,
    /// For a listener's address, the `host:port` that peers reach it at, in Contact and Via. A listener that is not here
    /// advertises its own address.
    pub advertised: Vec<(SocketAddr, String)>,
    /// The same for peers outside of `local_nets`, where it differs.
    pub external: Vec<(SocketAddr, String)>,
    /// The networks of peers that reach us as we are, without a NAT in between.
    pub local_nets: Vec<IpNet>,
    /// Networks whose source addresses may be believed: what comes from there may be answered with more than was received.
    pub trusted: Vec<IpNet>,
    /// The listeners that serve TCP at the address where they serve UDP: from there a request that is too large for a datagram
    /// may go by TCP (RFC 3261 §18.1.1).
    pub tcp: Vec<SocketAddr>,
}

/// What timers made known, until it is asked for.
enum Notice {
    Failed { whose: Whose, transaction: ClientId, method: Method<'static> },
    Unacknowledged { owner: Owner, dialog: DialogId },
    ProvisionalUnacknowledged { owner: Owner, dialog: DialogId },
}

/// Whose deadline it is.
#[derive(Clone, Copy)]
enum Due {
    Server(ServerId),
    Client(ClientId),
    Cancel(ClientId),
    Reliable(DialogId),
}

/// A dialog and what is open in it.
struct Held {
    dialog: Dialog,
    /// The peer's INVITE that has no final answer.
    invite_received: Option<ServerId>,
    /// The peer's INVITEs whose 2xx has no ACK: the first one and a re-INVITE that overtook its ACK, no more (see `refuse_glare`).
    acks_due: ArrayVec<ServerId, 2>,
    /// Our INVITE that has no final answer.
    invite_sent: Option<ClientId>,
    /// Our BYE that may not go before that ACK (§15).
    bye_waiting: Option<ClientId>,
    /// The latest provisional response that had to be acknowledged.
    reliable: Option<Box<Reliable>>,
    /// What its messages say of both ends, and the dialog that it is joined to.
    session: SessionId,
    joined: Option<DialogId>,
    /// The peer's offer had its answer by our PRACK.
    is_described: bool,
    /// The call is done with it; it is here for `bye_waiting` alone.
    is_closed: bool,
}

impl Held {
    /// A dialog in which nothing is open.
    fn new(dialog: Dialog) -> Held {
        Held {
            dialog,
            invite_received: None,
            acks_due: ArrayVec::new(),
            invite_sent: None,
            bye_waiting: None,
            reliable: None,
            session: SessionId::default(),
            joined: None,
            is_described: false,
            is_closed: false,
        }
    }

    /// A target refresh (§12.2): the Contact replaces the remote target.
    fn refresh(&mut self, message: &Head<'_>) {
        if let Ok(contact) = message.contact() {
            self.dialog.target = Some(exact(contact.uri.as_bytes()));
        }
    }
}

/// The user-agent core. One thread owns it.
pub struct Endpoint {
    rng: Rng,
    keys: Keys,
    servers: Slab<Box<Server>>,
    /// The generation of the server transaction that was made last.
    generation: u32,
    by_key: ByFingerprint<ServerId>,
    clients: BTreeMap<ClientId, Box<Client>>,
    /// CANCELs of ours, by the INVITE.
    cancels: BTreeMap<ClientId, Box<Cancel>>,
    /// Requests of ours that went over a connection, by that.
    on_connections: BTreeSet<(Path, ClientId)>,
    dialogs: BTreeMap<DialogId, Box<Held>>,
    recent: Recent,
    wheel: Wheel<Due>,
    notices: VecDeque<Notice>,
    output: Output,
    scratch: String,
    stats: Stats,
}

impl Endpoint {
    /// An endpoint without any calls. Tags, branches and table keys come from `rng`.
    pub fn new(mut rng: Rng, settings: EndpointSettings) -> Endpoint {
        let keys = Keys::new(&mut rng);
        Endpoint {
            rng,
            keys,
            servers: Slab::new(),
            generation: 0,
            by_key: ByFingerprint::default(),
            clients: BTreeMap::new(),
            cancels: BTreeMap::new(),
            on_connections: BTreeSet::new(),
            dialogs: BTreeMap::new(),
            recent: Recent::default(),
            wheel: Wheel::new(),
            notices: VecDeque::new(),
            output: Output::new(settings),
            scratch: String::new(),
            stats: Stats::default(),
        }
    }

    /// A datagram arrived. What the switch must know comes back; what is to be sent waits in [`Endpoint::poll_transmit`].
    pub fn handle_datagram<'a>(&mut self, now: Now, path: Path, bytes: &'a [u8]) -> Option<Event<'a>> {
        self.stats.datagrams += 1;
        if is_keep_alive(bytes) {
            self.stats.keep_alives += 1;
            return None;
        }
        let message = match Message::parse(bytes) {
            Ok(message) => message,
            Err(broken) => {
                self.handle_broken(path, bytes.len(), &broken);
                return None;
            }
        };
        match message.start() {
            Start::Request { method, .. } => self.handle_request(now, path, method, message),
            Start::Response { status, .. } => self.handle_response(now, status, message),
        }
    }

    /// Time has passed: repeats what is due, ends what ran out. Then drain [`Endpoint::poll_event`].
    pub fn handle_timeout(&mut self, now: Now) {
        while let Some(due) = self.wheel.poll(now.at) {
            match due {
                Due::Server(id) => self.server_timeout(now, id),
                Due::Client(id) => self.client_timeout(now, id),
                Due::Cancel(id) => self.cancel_timeout(now, id),
                Due::Reliable(dialog) => self.reliable_timeout(now, dialog),
            }
        }
    }

    /// When to call [`Endpoint::handle_timeout`] at the latest.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.wheel.poll_timeout()
    }

    /// The next thing that timers made known: [`Event::Failed`], [`Event::Outside`], [`Event::Unacknowledged`] or
    /// [`Event::ProvisionalUnacknowledged`].
    pub fn poll_event(&mut self) -> Option<Event<'static>> {
        Some(match self.notices.pop_front()? {
            Notice::Failed { whose: Whose::Leg { owner, dialog }, transaction, method } => {
                Event::Failed { owner, dialog, transaction, method }
            }
            Notice::Failed { whose: Whose::Outside(asker), transaction, method } => {
                Event::Outside { asker, transaction, method, status: 408, answer: None }
            }
            Notice::Unacknowledged { owner, dialog } => Event::Unacknowledged { owner, dialog },
            Notice::ProvisionalUnacknowledged { owner, dialog } => Event::ProvisionalUnacknowledged { owner, dialog },
        })
    }

    /// The next datagram to be sent, in order.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.output.poll()
    }

    /// Keeps an INVITE: makes its server transaction and its early dialog, and sends 100 at once. `None` if the tables are
    /// full: the INVITE has been answered with 503 then.
    pub fn accept(
        &mut self,
        now: Now,
        path: Path,
        request: &Message<'_>,
        owner: Owner,
    ) -> Option<(ServerId, DialogId)> {
        if self.dialogs.len() >= limits::SIP_DIALOGS_MAX || self.is_full() {
            self.reply_full(path, request);
            return None;
        }
        let mut chance = || DialogId::from_chance(self.rng.u64());
        let mut dialog = chance();
        while self.dialogs.contains_key(&dialog) {
            dialog = chance();
        }
        // One copy, which the transaction shares with the dialog.
        let invite = exact(request.bytes());
        let key = self.keys.transaction(request, Method::Invite);
        let merged = Some(self.keys.merged(request));
        let new = New { owner, dialog, key, merged, path, request: invite.clone() };
        let id = self.open_server(now, request, new);
        let peer = self.keys.peer(request);
        let made = Dialog::new(owner, invite, peer, path, request.cseq().number);
        let mut held = Held::new(made);
        held.session = self.session_of(dialog, request);
        self.dialogs.insert(dialog, Box::new(held));
        self.begin_invite(dialog, id);
        Some((id, dialog))
    }

    /// The peer's message that made the dialog, to be parsed again where needed: its INVITE, or its 2xx to ours.
    pub fn made_by(&self, dialog: DialogId) -> Option<&Bytes> {
        self.dialogs.get(&dialog).filter(|held| !held.is_closed).map(|held| &held.dialog.made_by)
    }

    /// The transport that the peer's latest request in a dialog came over.
    pub fn transport(&self, dialog: DialogId) -> Option<Transport> {
        self.dialogs.get(&dialog).map(|held| held.dialog.path.transport)
    }

    /// Whether an INVITE of ours made the dialog, so that its Call-ID is ours.
    pub fn made(&self, dialog: DialogId) -> bool {
        self.dialogs.get(&dialog).is_some_and(|held| held.dialog.role == Role::Uac)
    }

    /// Answers a request of [`Event::Invite`] or [`Event::Request`] of somebody we do not know for good, and forgets it. Its
    /// repetitions come up as new events; the same answer gets the same To tag (RFC 3261 §8.2.7). The answer is never larger than
    /// the request (RELIABILITY A19): headers that do not fit are left out, and if it still is, nothing is sent.
    pub fn reply(&mut self, _now: Now, path: Path, request: &Message<'_>, reply: &Reply<'_>) {
        self.reply_stateless(path, request, reply);
    }

    /// Answers a request of somebody we know, a trunk or the bearer of a token, for good. The answer is sent whole, and again for
    /// each repetition: what had no room the first time must not be let in the second.
    pub fn reply_known(&mut self, now: Now, path: Path, request: &Message<'_>, reply: &Reply<'_>) {
        self.reply_kept(now, path, request, reply);
    }

    /// The To tag that the answer to a request of [`Event::Request`] has, if To has none yet.
    pub fn tag_of(&self, request: &Message<'_>) -> Option<DialogId> {
        let method = request.start().method()?;
        Some(self.keys.tag(self.keys.transaction(request, method)))
    }

    /// As [`Endpoint::reply_known`], where a dialog that its owner keeps hangs on the answer (RFC 6665 §4.4.1): with our Contact, and the
    /// request's Record-Route.
    pub fn reply_in_dialog(&mut self, now: Now, path: Path, request: &Message<'_>, tag: DialogId, reply: &Reply<'_>) {
        self.reply_dialog(now, path, request, tag, reply);
    }

    /// Answers a transaction. `false`, and nothing is sent, when it is gone or has its final answer. A 2xx to an INVITE is
    /// repeated until its ACK; any other final answer to the dialog's first INVITE ends the dialog (§12.3).
    pub fn respond(&mut self, now: Now, transaction: ServerId, reply: &Reply<'_>) -> bool {
        self.answer(now, transaction, reply)
    }

    /// Sends a request in a dialog. `None` when the dialog is gone or still early, or the tables are full, or for an INVITE
    /// while another INVITE is open in the dialog (§14.1). A BYE waits for the ACK of our 2xx, or for its failing to come (§15).
    pub fn request(
        &mut self,
        now: Now,
        dialog: DialogId,
        method: Method<'static>,
        headers: &[(&str, &str)],
        body: Option<(&str, &[u8])>,
    ) -> Option<ClientId> {
        self.open_client(now, dialog, method, headers, body)
    }

    /// Sends the ACK for the 2xx to an INVITE of ours, and again for each repetition of that 2xx. `false` when there is
    /// nothing to acknowledge.
    pub fn acknowledge(
        &mut self,
        now: Now,
        dialog: DialogId,
        transaction: ClientId,
        body: Option<(&str, &[u8])>,
    ) -> bool {
        self.send_ack(now, dialog, transaction, body).is_some()
    }

    /// The dialog is over. An INVITE in it that has no final answer gets 487 (§15.1.2); transactions run out by themselves.
    pub fn close(&mut self, now: Now, dialog: DialogId) {
        let Some(held) = self.dialogs.get_mut(&dialog) else { return };
        let (open, acks_due) = (held.invite_received, held.acks_due.clone());
        held.is_closed = true;
        if held.bye_waiting.is_none() {
            self.remove_dialog(dialog);
            // The peer knows that it is over: no need to go on with the 2xx.
            for id in acks_due {
                self.acknowledged(now, id);
            }
        }
        if let Some(id) = open
            && !planted(Mutant::ChangeLeftOpen)
        {
            self.respond(now, id, &Reply { status: 487, reason: None, headers: &[], body: None });
        }
    }

    /// The call is lost (it panicked): 500 for its unanswered requests, BYE in its confirmed dialogs, and no events for it.
    pub fn abandon(&mut self, now: Now, call: CallRef) {
        let pending = self.servers.iter().filter(|(_, server)| server.owner.call == call && server.is_pending());
        let pending: Vec<ServerId> = pending.map(|(slot, server)| server.id(slot)).collect();
        for id in pending {
            self.respond(now, id, &Reply { status: 500, reason: None, headers: &[], body: None });
        }
        let dialogs = self.dialogs.iter().filter(|(_, held)| held.dialog.owner.call == call);
        let dialogs: Vec<DialogId> = dialogs.map(|(id, _)| *id).collect();
        for dialog in dialogs {
            let is_leaving = self.clients.values().any(|client| client.is_in(dialog) && client.method == Method::Bye);
            if !is_leaving {
                self.request(now, dialog, Method::Bye, &[], None);
            }
            self.close(now, dialog);
        }
        let ringing = self.clients.iter().filter(|(_, client)| client.whose().call() == Some(call));
        let ringing: Vec<ClientId> =
            ringing.filter(|(_, client)| client.dialling.is_some()).map(|(id, _)| *id).collect();
        for invite in ringing {
            self.cancel(now, invite, None);
        }
        self.silence_clients(call);
        self.notices.retain(|notice| match notice {
            Notice::Failed { whose, .. } => whose.call() != Some(call),
            Notice::Unacknowledged { owner, .. } | Notice::ProvisionalUnacknowledged { owner, .. } => {
                owner.call != call
            }
        });
    }

    /// Whether a final answer to an INVITE waits for its ACK. Looks at every transaction: for the end of the process.
    pub fn awaits_ack(&self) -> bool {
        self.servers.iter().any(|(_, server)| server.machine.invite().is_some_and(ServerInvite::is_unheard))
    }

    /// The `host:port` that a peer reaches us at over this path: what our own Contact and Via say to it.
    pub fn advertised(&self, path: Path) -> std::borrow::Cow<'_, str> {
        self.output.advertised(path)
    }

    /// What there is now.
    pub fn counts(&self) -> Counts {
        Counts {
            server_transactions: self.servers.len(),
            client_transactions: self.clients.len() + self.cancels.len(),
            dialogs: self.dialogs.len(),
            timers: self.wheel.len(),
            events: self.notices.len(),
            transmits: self.output.len(),
        }
    }

    /// What crossed the wire since the start.
    pub fn traffic(&self) -> &Traffic {
        &self.output.traffic
    }

    /// What has been counted since the start.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }
}
