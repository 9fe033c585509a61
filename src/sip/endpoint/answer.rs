//! The transactions of peers' requests and our answers in them (RFC 3261 §17.2, §13.3.1.4).
//! Not here: what a request belongs to (`server`), and what is answered (the call).

use super::check::is_offering;
use super::out::{Worded, exact};
use super::way::{self, back_port};
use super::{DialogId, Due, Endpoint, Notice, Owner, Reply, ServerId};
use crate::mutant::{Mutant, planted};
use crate::sip::Path;
use crate::sip::transaction::timer::Alarm;
use crate::sip::transaction::{Send, ServerInvite, ServerOther, Tell, Todo};
use crate::sip::wire::write::Answerable;
use crate::sip::wire::{Head, Message, Method};
use crate::time::{Instant, Now};
use bytes::Bytes;

/// One request of a peer's and its answer.
pub(super) struct Server {
    /// Tells it from an earlier one at the same place.
    generation: u32,
    pub(super) owner: Owner,
    /// The dialog; its id is our tag even after it is gone.
    pub(super) dialog: DialogId,
    pub(super) machine: Machine,
    alarm: Alarm,
    /// Its fingerprints in the table: that of its branch, and for an INVITE outside a dialog that of §8.2.2.2.
    key: u128,
    merged: Option<u128>,
    pub(super) cseq: u32,
    /// Where the request came from.
    source: Path,
    /// The port there that the answer goes to, or where a new connection is opened for it.
    back_port: u16,
    /// The request, until the final answer: provisional answers are made from it anew.
    request: Bytes,
    latest: Latest,
    /// Whether the owner has heard of a CANCEL.
    pub(super) is_cancelled: bool,
}

pub(super) enum Machine {
    Invite(ServerInvite),
    Other(ServerOther),
}

/// The answer that a repeated request gets.
enum Latest {
    None,
    /// One that can be written again from the request and this status.
    Plain(u16),
    /// One with more in it, or a final one.
    Kept(Bytes),
}

impl Machine {
    fn deadline(&self) -> Option<Instant> {
        match self {
            Machine::Invite(machine) => machine.deadline(),
            Machine::Other(machine) => machine.deadline(),
        }
    }

    pub(super) fn handle_request(&mut self) -> Todo {
        match self {
            Machine::Invite(machine) => machine.handle_request(),
            Machine::Other(machine) => machine.handle_request(),
        }
    }

    fn handle_response(&mut self, now: Instant, status: u16) -> Option<Todo> {
        match self {
            Machine::Invite(machine) => machine.handle_response(now, status),
            Machine::Other(machine) => machine.handle_response(now, status),
        }
    }

    fn handle_timeout(&mut self, now: Instant) -> Todo {
        match self {
            Machine::Invite(machine) => machine.handle_timeout(now),
            Machine::Other(machine) => machine.handle_timeout(now),
        }
    }

    pub(super) fn invite(&self) -> Option<&ServerInvite> {
        match self {
            Machine::Invite(machine) => Some(machine),
            Machine::Other(_) => None,
        }
    }
}

impl Server {
    pub(super) fn id(&self, slot: usize) -> ServerId {
        let slot = u32::try_from(slot).expect("fewer than SIP_TRANSACTIONS_MAX slots");
        ServerId { slot, generation: self.generation }
    }

    pub(super) fn is_pending(&self) -> bool {
        match &self.machine {
            Machine::Invite(machine) => machine.is_pending(),
            Machine::Other(machine) => machine.is_pending(),
        }
    }
}

/// What a new transaction is made of.
pub(super) struct New {
    pub(super) owner: Owner,
    pub(super) dialog: DialogId,
    pub(super) key: u128,
    pub(super) merged: Option<u128>,
    pub(super) path: Path,
    pub(super) request: Bytes,
}

impl Endpoint {
    pub(super) fn server_mut(&mut self, id: ServerId) -> Option<&mut Server> {
        let server = self.servers.get_mut(id.index())?;
        (server.generation == id.generation).then_some(server)
    }

    /// Makes a server transaction.
    pub(super) fn open_server(&mut self, now: Now, request: &Message<'_>, new: New) -> ServerId {
        let reliable = new.path.transport.is_reliable();
        let is_invite = request.cseq().method == Method::Invite;
        let machine = if is_invite {
            Machine::Invite(ServerInvite::new(now.at, reliable))
        } else {
            Machine::Other(ServerOther::new(now.at, reliable))
        };
        self.generation = self.generation.wrapping_add(1);
        let slot = self.servers.insert(Box::new(Server {
            generation: self.generation,
            owner: new.owner,
            dialog: new.dialog,
            machine,
            alarm: Alarm::OFF,
            key: new.key,
            merged: new.merged,
            cseq: request.cseq().number,
            source: new.path,
            back_port: back_port(request, new.path),
            request: new.request,
            latest: Latest::None,
            is_cancelled: false,
        }));
        let id = self.servers[slot].id(slot);
        for key in [Some(new.key), new.merged].into_iter().flatten() {
            self.by_key.insert(key, id);
        }
        self.settle_server(id, Todo::default());
        id
    }

    /// The INVITE is the one that is open in its dialog.
    pub(super) fn begin_invite(&mut self, dialog: DialogId, id: ServerId) {
        if let Some(held) = self.dialogs.get_mut(&dialog) {
            held.invite_received = Some(id);
        }
    }

    pub(super) fn answer(&mut self, now: Now, id: ServerId, reply: &Reply<'_>) -> bool {
        let kept = self.server_mut(id).filter(|server| server.is_pending()).map(|server| server.request.clone());
        let Some(request) = kept else {
            self.stats.answers_refused += 1;
            return false;
        };
        let (request, _) = Head::of_kept(&request).expect("it was parsed before it was kept");
        self.answer_to(now, id, reply, Answerable::of_head(&request))
    }

    /// The same with the request at hand.
    fn answer_to<'m, 'a: 'm>(
        &mut self,
        now: Now,
        id: ServerId,
        reply: &Reply<'_>,
        request: Answerable<'m, 'a>,
    ) -> bool {
        let server = self.server_mut(id);
        let Some(server) = server.filter(|server| server.is_pending() && (100..700).contains(&reply.status)) else {
            self.stats.answers_refused += 1;
            return false;
        };
        let Some(todo) = server.machine.handle_response(now.at, reply.status) else { return false };
        let (tag, source, back) = (server.dialog, server.source, way::back(server.source, server.back_port));
        let is_invite = server.machine.invite().is_some();
        let Some(method) = request.head().method() else { return false };
        let session = self.session_id(tag);
        let session = session.as_deref();
        let worded = Worded { method, tag, in_dialog: is_offering(method), room: None, session, reply };
        let bytes = self.output.reply(request, &source, &worded);
        self.keep(id, reply, &bytes);
        self.output.send(back, bytes);
        self.settle_server(id, todo);
        if is_invite && reply.status >= 200 {
            self.invite_is_answered(tag, id, reply.status, request.head());
        }
        if method == Method::Update
            && (200..300).contains(&reply.status)
            && let Some(held) = self.dialogs.get_mut(&tag)
        {
            held.refresh(request.head());
        }
        true
    }

    /// Keeps what a repetition of the request, or of the answer, will need.
    fn keep(&mut self, id: ServerId, reply: &Reply<'_>, bytes: &Bytes) {
        if reply.status >= 200 && planted(Mutant::ProvisionalAfterFinal) {
            return;
        }
        let Some(server) = self.server_mut(id) else { return };
        let is_plain = reply.reason.is_none() && reply.headers.is_empty() && reply.body.is_none();
        server.latest = match reply.status {
            ..200 if is_plain && server.machine.invite().is_some() => Latest::Plain(reply.status),
            _ => Latest::Kept(exact(bytes)),
        };
        if reply.status >= 200 {
            server.request = Bytes::new();
        }
    }

    /// What a final answer to an INVITE does to its dialog (§12.1, §12.2.2, §12.3).
    fn invite_is_answered(&mut self, dialog: DialogId, id: ServerId, status: u16, request: &Head<'_>) {
        let Some(held) = self.dialogs.get_mut(&dialog).filter(|held| held.invite_received == Some(id)) else { return };
        held.invite_received = None;
        let has_reliable = held.reliable.is_some();
        if (200..300).contains(&status) {
            held.acks_due.push(id);
            // The first INVITE is there whole: nothing has to be taken out of it.
            if held.dialog.is_confirmed {
                held.refresh(request);
            }
            held.dialog.is_confirmed = true;
        } else if !held.dialog.is_confirmed {
            return self.remove_dialog(dialog);
        }
        if has_reliable {
            self.quiet_reliable(dialog);
        }
    }

    /// After each event: the transaction's next deadline, or its end.
    pub(super) fn settle_server(&mut self, id: ServerId, todo: Todo) {
        if todo.ended {
            return self.forget_server(id);
        }
        let Some(server) = self.servers.get_mut(id.index()).filter(|server| server.generation == id.generation) else {
            return;
        };
        let deadline = server.machine.deadline();
        self.wheel.set(&mut server.alarm, deadline, Due::Server(id));
    }

    fn forget_server(&mut self, id: ServerId) {
        if self.server_mut(id).is_none() {
            return;
        }
        let Some(mut server) = self.servers.try_remove(id.index()) else { return };
        self.wheel.clear(&mut server.alarm);
        for key in [Some(server.key), server.merged].into_iter().flatten() {
            self.by_key.remove(&key);
        }
        if let Some(held) = self.dialogs.get_mut(&server.dialog) {
            held.invite_received = held.invite_received.filter(|open| *open != id);
        }
    }

    pub(super) fn server_timeout(&mut self, now: Now, id: ServerId) {
        let Some(server) = self.server_mut(id) else { return };
        let todo = server.machine.handle_timeout(now.at);
        let dialog = server.dialog;
        self.send_latest(now, id, todo);
        self.settle_server(id, todo);
        if todo.tell == Tell::Unacknowledged {
            self.stats.unacknowledged += 1;
            if let Some(held) = self.dialogs.get(&dialog).filter(|held| !held.is_closed) {
                self.notices.push_back(Notice::Unacknowledged { owner: held.dialog.owner, dialog });
            }
            self.ack_is_over(now, dialog, id);
        }
    }

    /// The 2xx is acknowledged or never will be: a BYE that had to wait for that (§15) can go.
    fn ack_is_over(&mut self, now: Now, dialog: DialogId, id: ServerId) {
        let Some(held) = self.dialogs.get_mut(&dialog) else { return };
        let Some(at) = held.acks_due.iter().position(|due| *due == id) else { return };
        held.acks_due.remove(at);
        if !held.acks_due.is_empty() {
            return;
        }
        let waiting = held.bye_waiting.take();
        if held.is_closed {
            self.remove_dialog(dialog);
        }
        if let Some(bye) = waiting {
            self.start_client(now, bye);
        }
    }

    /// What a machine wants sent: the latest answer again, or 100 for want of any (§17.2.1).
    pub(super) fn send_latest(&mut self, now: Now, id: ServerId, todo: Todo) {
        if todo.send == Send::Trying {
            self.answer(now, id, &Reply { status: 100, reason: None, headers: &[], body: None });
        }
        if todo.send != Send::Response {
            return;
        }
        let Some(server) = self.servers.get(id.index()).filter(|server| server.generation == id.generation) else {
            return;
        };
        let bytes = match &server.latest {
            Latest::None => return,
            Latest::Kept(bytes) => bytes.clone(),
            Latest::Plain(status) => {
                let reply = Reply { status: *status, reason: None, headers: &[], body: None };
                let Some((request, _)) = Head::of_kept(&server.request) else { return };
                let (method, tag) = (Method::Invite, server.dialog);
                let session = self.session_id(tag);
                let session = session.as_deref();
                let worded = Worded { method, tag, in_dialog: true, room: None, session, reply: &reply };
                self.output.reply(Answerable::of_head(&request), &server.source, &worded)
            }
        };
        self.stats.repeats_sent += 1;
        self.output.send(way::back(server.source, server.back_port), bytes);
    }

    /// Tells the machine of an ACK, and lets go of an answer that need not be sent again.
    pub(super) fn acknowledged(&mut self, now: Now, id: ServerId) -> Tell {
        let Some(server) = self.server_mut(id) else { return Tell::Nothing };
        let Machine::Invite(machine) = &mut server.machine else { return Tell::Nothing };
        let todo = machine.handle_ack(now.at);
        let dialog = server.dialog;
        if !machine.needs_response() {
            server.latest = Latest::None;
        }
        self.settle_server(id, todo);
        if todo.tell == Tell::Acknowledged {
            self.ack_is_over(now, dialog, id);
        }
        todo.tell
    }
}
