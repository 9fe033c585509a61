//! Requests of ours in dialogs (RFC 3261 §12.2.1, §17.1), the answers to them, and the ACKs of those.
//! Not here: requests outside of dialogs (`outside`), what an answer does to its call, and challenges: a challenge to a request in
//! a dialog is never answered (RELIABILITY A8).

use super::check::is_offering;
use super::dial::Dialling;
use super::out::exact;
use super::outside::Asker;
use super::way::{Way, Ways};
use super::{ClientId, DialogId, Due, Endpoint, Event, Held, Notice, Owner};
use crate::id::CallRef;
use crate::mutant::{Mutant, planted};
use crate::sip::dialog::session_id::SESSION_ID;
use crate::sip::dialog::{Role, route};
use crate::sip::transaction::timer::Alarm;
use crate::sip::transaction::{ClientInvite, ClientOther, Send, Tell, Todo};
use crate::sip::wire::write::{self, Branch, RequestHead};
use crate::sip::wire::{Header, Message, Method, Start};
use crate::sip::{Path, Transport};
use crate::time::{Instant, Now};
use bytes::Bytes;

/// One request of ours and its answer.
pub(super) struct Client {
    whose: Whose,
    pub(super) method: Method<'static>,
    machine: Machine,
    alarm: Alarm,
    pub(super) way: Way,
    /// By which datagrams, if there is no connection.
    pub(super) otherwise: Option<Path>,
    pub(super) request: Bytes,
    cseq: u32,
    /// The ACK of the 2xx, for when that comes again; empty until there is one.
    ack: Bytes,
    /// Whether the call is gone and wants to hear nothing.
    is_silent: bool,
    /// Of an INVITE outside of any dialog.
    pub(super) dialling: Option<Box<Dialling>>,
}

/// Who hears of a request's answer.
#[derive(Clone, Copy)]
pub(super) enum Whose {
    /// A leg, whose dialog the request was sent in.
    Leg { owner: Owner, dialog: DialogId },
    /// Whoever sent it outside of any dialog.
    Outside(Asker),
}

impl Whose {
    /// The call that the request belongs to.
    pub(super) fn call(self) -> Option<CallRef> {
        match self {
            Whose::Leg { owner, .. } => Some(owner.call),
            Whose::Outside(_) => None,
        }
    }

    fn dialog(self) -> Option<DialogId> {
        match self {
            Whose::Leg { dialog, .. } => Some(dialog),
            Whose::Outside(_) => None,
        }
    }
}

impl Client {
    /// One that is not sent yet.
    pub(super) fn new(whose: Whose, method: Method<'static>, ways: Ways, request: &Bytes, cseq: u32) -> Client {
        Client {
            whose,
            method,
            machine: Machine::Waiting,
            alarm: Alarm::OFF,
            way: ways.first,
            otherwise: ways.otherwise,
            request: exact(request),
            cseq,
            ack: Bytes::new(),
            is_silent: false,
            dialling: None,
        }
    }

    /// Who hears of its answer.
    pub(super) fn whose(&self) -> Whose {
        self.whose
    }

    /// The number of its CSeq.
    pub(super) fn cseq(&self) -> u32 {
        self.cseq
    }

    /// Nobody wants to hear of its answer any more.
    pub(super) fn silence(&mut self) {
        self.is_silent = true;
    }

    /// A CANCEL goes out for it.
    pub(super) fn cancel(&mut self, now: Instant) {
        match &mut self.machine {
            Machine::Invite(machine) => machine.cancel(now),
            Machine::Waiting | Machine::Other(_) => {}
        }
    }

    /// Whether an INVITE has a provisional response.
    pub(super) fn was_heard(&self) -> bool {
        match &self.machine {
            Machine::Invite(machine) => machine.is_proceeding(),
            Machine::Waiting | Machine::Other(_) => false,
        }
    }

    /// Whether it was sent in this dialog.
    pub(super) fn is_in(&self, dialog: DialogId) -> bool {
        self.whose.dialog() == Some(dialog)
    }
}

enum Machine {
    /// A BYE that has to wait for an ACK (§15).
    Waiting,
    Invite(ClientInvite),
    Other(ClientOther),
}

impl Machine {
    fn new(now: Instant, method: Method<'_>, transport: Transport) -> Machine {
        let reliable = transport.is_reliable();
        if method == Method::Invite {
            Machine::Invite(ClientInvite::new(now, reliable))
        } else {
            Machine::Other(ClientOther::new(now, reliable))
        }
    }

    fn deadline(&self) -> Option<Instant> {
        match self {
            Machine::Waiting => None,
            Machine::Invite(machine) => machine.deadline(),
            Machine::Other(machine) => machine.deadline(),
        }
    }

    fn handle_response(&mut self, now: Instant, status: u16) -> Todo {
        match self {
            // Nobody can answer what was not sent.
            Machine::Waiting => Todo::default(),
            Machine::Invite(machine) => machine.handle_response(now, status),
            Machine::Other(machine) => machine.handle_response(now, status),
        }
    }

    fn handle_timeout(&mut self, now: Instant) -> Todo {
        match self {
            Machine::Waiting => Todo::default(),
            Machine::Invite(machine) => machine.handle_timeout(now),
            Machine::Other(machine) => machine.handle_timeout(now),
        }
    }
}

impl Client {
    /// It could not be sent.
    pub(super) fn handle_transport_error(&mut self) -> Todo {
        match &mut self.machine {
            Machine::Waiting => Todo::default(),
            Machine::Invite(machine) => machine.handle_transport_error(),
            Machine::Other(machine) => machine.handle_transport_error(),
        }
    }

    /// Whether it still waits for its first answer or for its final one.
    pub(super) fn is_pending(&self) -> bool {
        match &self.machine {
            Machine::Waiting => false,
            Machine::Invite(machine) => machine.is_pending(),
            Machine::Other(machine) => machine.is_pending(),
        }
    }
}

impl Held {
    /// Whether a request may be sent now.
    fn allows(&self, method: Method<'_>) -> bool {
        // ACK and CANCEL are no requests of their own. §15: the callee may not end an early dialog with BYE.
        let is_in_dialog = !matches!(method, Method::Ack | Method::Cancel) && self.dialog.is_confirmed;
        // §14.1: nor may an INVITE be sent while another is open, whoever sent that.
        let is_blocked = self.invite_received.is_some() || self.invite_sent.is_some() || !self.acks_due.is_empty();
        let is_ending = self.is_closed || self.bye_waiting.is_some();
        !is_ending && is_in_dialog && (method != Method::Invite || !is_blocked)
    }
}

impl Endpoint {
    pub(super) fn open_client(
        &mut self,
        now: Now,
        dialog: DialogId,
        method: Method<'static>,
        headers: &[(&str, &str)],
        body: Option<(&str, &[u8])>,
    ) -> Option<ClientId> {
        // A BYE makes room; without it the peer would never hear that the call is over.
        if self.is_full() && method != Method::Bye {
            self.stats.full += 1;
            return None;
        }
        let held = self.dialogs.get_mut(&dialog).filter(|held| held.allows(method))?;
        let cseq = held.dialog.next_cseq()?;
        let owner = held.dialog.owner;
        let waits = method == Method::Bye && !held.acks_due.is_empty() && !planted(Mutant::ByeBeforeAck);
        let id = self.new_branch();
        let (ways, bytes) = self.write_request(dialog, id, method, cseq, headers, body)?;
        let held = self.dialogs.get_mut(&dialog)?;
        match method {
            Method::Invite => held.invite_sent = Some(id),
            Method::Bye if waits => held.bye_waiting = Some(id),
            Method::Bye | Method::Options | Method::Info | Method::Update | Method::Message | Method::Refer => {}
            Method::Prack | Method::Register | Method::Subscribe | Method::Notify | Method::Publish => {}
            Method::Ack | Method::Cancel | Method::Other(_) => {}
        }
        let client = Client::new(Whose::Leg { owner, dialog }, method, ways, &bytes, cseq);
        self.clients.insert(id, Box::new(client));
        if !waits {
            self.start_client(now, id);
        }
        Some(id)
    }

    /// Sends the request for the first time.
    pub(super) fn start_client(&mut self, now: Now, id: ClientId) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        let path = client.way.path;
        client.machine = Machine::new(now.at, client.method, path.transport);
        self.output.send(client.way, client.request.clone());
        if path.transport.is_reliable() {
            self.on_connections.insert((path, id));
        }
        self.settle_client(id, Todo::default());
    }

    pub(super) fn new_branch(&mut self) -> ClientId {
        loop {
            // The shard byte is zero, as in a dialog's id.
            let id = ClientId(self.rng.u64() >> 8);
            if !self.clients.contains_key(&id) {
                return id;
            }
        }
    }

    /// Writes a request in a dialog: the INVITE's To is our From, its From the peer's To (§12.1.1, §12.2.1.1).
    pub(super) fn write_request(
        &mut self,
        id: DialogId,
        branch: ClientId,
        method: Method<'_>,
        cseq: u32,
        headers: &[(&str, &str)],
        body: Option<(&str, &[u8])>,
    ) -> Option<(Ways, Bytes)> {
        let dialog = &self.dialogs.get(&id)?.dialog;
        let (made_by, refreshed, path, role) =
            (dialog.made_by.clone(), dialog.target.clone(), dialog.path, dialog.role);
        let made_by = Message::parse(&made_by).expect("it was parsed before it was kept");
        let (ours, theirs, called) = match role {
            Role::Uas => (Header::To, Header::From, made_by.from()),
            Role::Uac => (Header::From, Header::To, made_by.to()),
        };
        // An RFC 2543 element may have sent no Contact; what it called itself is the next best.
        let contact = made_by.contact().map_or(called.uri, |contact| contact.uri);
        let target = refreshed.as_deref().unwrap_or(contact.as_bytes());
        let routed = route::route(&made_by, role, target, path.peer);
        let mut from = made_by.header(ours)?.to_vec();
        if role == Role::Uas {
            from.extend_from_slice(format!(";tag={id}").as_bytes());
        }
        let branch = Branch::new(branch.0);
        let request = RequestHead {
            method,
            uri: routed.uri,
            transport: path.transport,
            sent_by: "",
            branch: branch.as_str(),
            from: &from,
            to: made_by.header(theirs)?,
            call_id: made_by.call_id(),
            cseq,
            contact: None,
            route: &routed.route,
            headers,
            body,
        };
        let contact = is_offering(method).then_some((id, path.transport));
        let session = self.session_id(id);
        let bytes = self.output.request(path, session.as_deref(), contact, request);
        // An ACK goes once, and nobody would tell us that it did not arrive: it takes the way of the dialog.
        let has_tcp = method != Method::Ack && self.output.has_tcp(path.local);
        let ways = Ways::of(path, &routed, bytes.len(), has_tcp);
        let transport = ways.first.path.transport;
        Some((ways, if transport == path.transport { bytes } else { write::over(&bytes, transport) }))
    }

    /// A response: to the request whose branch it has, if the method is the same (§17.1.3). Anything else is dropped (§18.1.2).
    pub(super) fn handle_response<'a>(&mut self, now: Now, status: u16, message: Message<'a>) -> Option<Event<'a>> {
        let id = client_of(&message);
        let method = message.cseq().method;
        if let (Some(id), Method::Cancel) = (id, method) {
            self.cancel_is_answered(now, id, status);
            return None;
        }
        let found = id.and_then(|id| Some((id, self.clients.get_mut(&id)?)));
        let Some((id, client)) = found.filter(|(_, client)| client.method == method) else {
            self.stats.responses_unmatched += 1;
            return None;
        };
        let todo = client.machine.handle_response(now.at, status);
        let (whose, method, is_silent) = (client.whose, client.method, client.is_silent);
        match (client.dialling.is_some(), status) {
            (true, 200..300) => return self.is_answered(now, id, todo, message),
            (true, ..200) => {
                self.send_cancel(now, id);
                if !self.is_in_order(id, &message) {
                    self.settle_client(id, todo);
                    return None;
                }
            }
            (true | false, _) => {}
        }
        if let Some(dialog) = whose.dialog() {
            self.hear_session(dialog, &message);
        }
        self.send_again(id, todo, Some(&message));
        let is_final = todo.tell == Tell::Response && status >= 200;
        if let Some(dialog) = whose.dialog().filter(|_| is_final) {
            self.request_is_answered(dialog, id, status, &message);
            let is_orphan = method == Method::Invite && status < 300 && !self.dialogs.contains_key(&dialog);
            if is_orphan && !planted(Mutant::LateAnswerNotAcked) {
                self.ack_orphan(id, &message);
            }
        }
        self.settle_client(id, todo);
        // 100 says only that the next hop has it.
        let is_news = todo.tell == Tell::Response && status > 100 && !is_silent;
        match whose {
            Whose::Leg { owner, dialog } => {
                is_news.then_some(Event::Response { owner, dialog, transaction: id, method, message })
            }
            Whose::Outside(asker) => {
                let answer = Some(message);
                is_final.then_some(Event::Outside { asker, transaction: id, method, status, answer })
            }
        }
    }

    /// What a final answer to an INVITE or UPDATE of ours does to its dialog.
    fn request_is_answered(&mut self, dialog: DialogId, id: ClientId, status: u16, message: &Message<'_>) {
        let Some(held) = self.dialogs.get_mut(&dialog) else { return };
        let is_update = message.cseq().method == Method::Update;
        if held.invite_sent.take_if(|open| *open == id).is_none() && !is_update {
            return;
        }
        if status < 300 {
            held.refresh(message);
        }
    }

    /// Sends what the machine wants sent again, or the ACK of a final answer that is not 2xx.
    pub(super) fn send_again(&mut self, id: ClientId, todo: Todo, response: Option<&Message<'_>>) {
        let Some(client) = self.clients.get(&id) else { return };
        let way = client.way;
        let bytes = match (todo.send, todo.tell) {
            (Send::Request, _) => client.request.clone(),
            (Send::Ack, _) => {
                let request = client.request.clone();
                let (Some(response), Ok(request)) = (response, Message::parse(&request)) else { return };
                match self.write_failure_ack(way.path, &request, response) {
                    Some(ack) => return self.output.send(way, ack),
                    None => return,
                }
            }
            (Send::Nothing, Tell::Repeated) => {
                self.stats.repeats_received += 1;
                client.ack.clone()
            }
            (Send::Nothing | Send::Response | Send::Trying, _) => return,
        };
        // The call may not have acknowledged the first 2xx yet.
        if !bytes.is_empty() {
            self.stats.repeats_sent += 1;
            self.output.send(way, bytes);
        }
    }

    /// §17.1.1.3: as the request, but for the method, and To from the response.
    fn write_failure_ack(&mut self, path: Path, request: &Message<'_>, response: &Message<'_>) -> Option<Bytes> {
        let branch = std::str::from_utf8(request.via().branch()?).ok()?;
        self.write_ack(path, branch, request, response)
    }

    /// A 2xx that overtook the end of its dialog, or was overtaken by it: §13.2.2.4 wants its ACK all the same, and the peer would
    /// repeat it for half a minute. All that the ACK needs is in the INVITE.
    fn ack_orphan(&mut self, id: ClientId, response: &Message<'_>) {
        let branch = Branch::new(self.new_branch().0);
        let Some((way, request)) = self.clients.get(&id).map(|client| (client.way, client.request.clone())) else {
            return;
        };
        let Ok(request) = Message::parse(&request) else { return };
        let Some(bytes) = self.write_ack(way.path, branch.as_str(), &request, response) else { return };
        if let Some(client) = self.clients.get_mut(&id) {
            client.ack = exact(&bytes);
        }
        self.output.send(way, bytes);
    }

    fn write_ack(&mut self, path: Path, branch: &str, request: &Message<'_>, response: &Message<'_>) -> Option<Bytes> {
        let Start::Request { uri, .. } = request.start() else { return None };
        let ack = RequestHead {
            method: Method::Ack,
            uri: uri.as_bytes(),
            transport: path.transport,
            sent_by: "",
            branch,
            from: request.header(Header::From)?,
            to: response.header(Header::To)?,
            call_id: request.call_id(),
            cseq: request.cseq().number,
            contact: None,
            route: request.header(Header::Route).unwrap_or_default(),
            headers: &[],
            body: None,
        };
        // The INVITE has said which session this is.
        let session = request.other(SESSION_ID).and_then(|value| std::str::from_utf8(value).ok());
        Some(self.output.request(path, session, None, ack))
    }

    /// The ACK of a 2xx: a request of its own in the dialog, with the INVITE's CSeq (§13.2.2.4).
    pub(super) fn send_ack(
        &mut self,
        _now: Now,
        dialog: DialogId,
        id: ClientId,
        body: Option<(&str, &[u8])>,
    ) -> Option<()> {
        let client = self.clients.get(&id).filter(|client| client.is_in(dialog) && client.ack.is_empty())?;
        let cseq = match &client.machine {
            Machine::Invite(machine) if machine.is_accepted() => client.cseq,
            Machine::Invite(_) | Machine::Waiting | Machine::Other(_) => return None,
        };
        let branch = self.new_branch();
        let (ways, bytes) = self.write_request(dialog, branch, Method::Ack, cseq, &[], body)?;
        let client = self.clients.get_mut(&id)?;
        client.ack = exact(&bytes);
        client.way = ways.first;
        client.request = Bytes::new();
        self.output.send(ways.first, bytes);
        Some(())
    }

    pub(super) fn settle_client(&mut self, id: ClientId, todo: Todo) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        if todo.ended && !planted(Mutant::ClientTransactionKept) {
            self.wheel.clear(&mut client.alarm);
            self.on_connections.remove(&(client.way.path, id));
            self.clients.remove(&id);
        } else {
            let deadline = client.machine.deadline();
            self.wheel.set(&mut client.alarm, deadline, Due::Client(id));
        }
    }

    pub(super) fn client_timeout(&mut self, now: Now, id: ClientId) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        let todo = client.machine.handle_timeout(now.at);
        self.send_again(id, todo, None);
        self.settle_failed(id, todo);
    }

    /// After what may have failed it: its owner is told if it has.
    pub(super) fn settle_failed(&mut self, id: ClientId, todo: Todo) {
        if todo.tell == Tell::Failed {
            self.tell_failed(id);
        }
        self.settle_client(id, todo);
    }

    fn tell_failed(&mut self, id: ClientId) {
        let Some(client) = self.clients.get(&id) else { return };
        let Client { whose, method, is_silent, .. } = **client;
        self.stats.failed += 1;
        if let Some(held) = whose.dialog().and_then(|dialog| self.dialogs.get_mut(&dialog)) {
            held.invite_sent = held.invite_sent.filter(|open| *open != id);
        }
        if !is_silent {
            self.notices.push_back(Notice::Failed { whose, transaction: id, method });
        }
    }

    /// No more events for this call.
    pub(super) fn silence_clients(&mut self, call: CallRef) {
        for client in self.clients.values_mut().filter(|client| client.whose.call() == Some(call)) {
            client.is_silent = true;
        }
    }
}

/// The request that a response says it answers. §8.1.3.3: a response with more than our Via was led astray.
fn client_of(response: &Message<'_>) -> Option<ClientId> {
    if response.vias().count() != 1 {
        return None;
    }
    let bits = response.via().branch()?.strip_prefix(b"z9hG4bK")?;
    DialogId::parse(bits).map(|bits| ClientId(bits.0))
}
