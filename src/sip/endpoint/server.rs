//! Requests from peers: what they belong to (RFC 3261 §8.2, §9.2, §12.2.2, §17.2.3), their transactions, and our answers.
//! Not here: what the request does to its call.

use super::answer::New;
use super::check::{self, Refusal};
use super::out::{Worded, exact};
use super::way::reply_way;
use super::{DialogId, Endpoint, Event, Held, Reply, ServerId};
use crate::limits;
use crate::mutant::{Mutant, planted};
use crate::sip::Path;
use crate::sip::transaction::Tell;
use crate::sip::wire::write::Answerable;
use crate::sip::wire::{Broken, Message, Method, Start};
use crate::time::Now;

impl Endpoint {
    /// A datagram that is no acceptable message: one stateless answer at most (§16.3, §21.4.1, §21.5.6).
    pub(super) fn handle_broken(&mut self, path: Path, received: usize, broken: &Broken<'_>) {
        self.stats.count_malformed(broken.error);
        let (Some(status), Some(request)) = (broken.reply_status(), broken.answerable()) else { return };
        let tag = self.keys.broken_tag(request.head());
        let reply = Reply { status, reason: None, headers: &[], body: None };
        let worded =
            Worded { method: Method::Other(b""), tag, in_dialog: false, room: None, session: None, reply: &reply };
        self.send_no_larger(path, request, received, &worded);
    }

    pub(super) fn handle_request<'a>(
        &mut self,
        now: Now,
        path: Path,
        method: Method<'a>,
        request: Message<'a>,
    ) -> Option<Event<'a>> {
        self.output.traffic.count_request(method);
        let key = self.keys.transaction(&request, method);
        match method {
            Method::Ack => {
                if planted(Mutant::AckAnswered) {
                    self.reply_status(path, &request, 200);
                }
                return self.handle_ack(now, key, request);
            }
            Method::Cancel => return self.handle_cancel(now, path, key, request),
            Method::Invite | Method::Bye | Method::Options | Method::Register | Method::Subscribe => {}
            Method::Notify | Method::Publish | Method::Message | Method::Info | Method::Prack => {}
            Method::Update | Method::Refer | Method::Other(_) => {}
        }
        if let Some(id) = self.by_key.get(&key).copied()
            && !planted(Mutant::RepeatTakenAsNew)
        {
            self.repeat_request(now, id);
            return None;
        }
        if self.repeat_kept(now, path, key, &request) {
            return None;
        }
        if let Err(refusal) = check::check(&request) {
            self.refuse(path, &request, refusal);
            return None;
        }
        // RFC 6665 §4.4.1: a subscription's dialog is its own, and a registration has none.
        let is_own = matches!(method, Method::Subscribe | Method::Register);
        if request.to().tag().is_some() && !is_own {
            return self.handle_in_dialog(now, path, key, method, request);
        }
        // §8.2.2.2: it forked on its way and came to us twice; the copy that came first is being answered.
        let is_merged = method == Method::Invite && self.by_key.contains_key(&self.keys.merged(&request));
        if is_merged && !planted(Mutant::MergedUndetected) {
            self.stats.merged += 1;
            self.reply_kept(now, path, &request, &bare(482));
            return None;
        }
        // §15.1.2, RFC 3311 §5, RFC 3262 §3, RFC 6086 §4.2: these belong to a dialog, and one without a To tag names none.
        if matches!(method, Method::Bye | Method::Update | Method::Prack | Method::Info) {
            self.stats.dialogs_unknown += 1;
            self.reply_status(path, &request, 481);
            return None;
        }
        let is_invite = method == Method::Invite;
        Some(if is_invite { Event::Invite { path, request } } else { Event::Request { path, request } })
    }

    /// The request came again: its latest answer goes again (§17.2).
    fn repeat_request(&mut self, now: Now, id: ServerId) {
        self.stats.repeats_received += 1;
        if let Some(server) = self.server_mut(id) {
            let todo = server.machine.handle_request();
            self.send_latest(now, id, todo);
        }
    }

    fn refuse(&mut self, path: Path, request: &Message<'_>, refusal: Refusal) {
        let mut scratch = std::mem::take(&mut self.scratch);
        refusal.write(request, &mut scratch, |reply| self.reply_stateless(path, request, reply));
        self.scratch = scratch;
        self.stats.refused += 1;
    }

    /// The same for one that had no transaction. Whether it had such an answer.
    fn repeat_kept(&mut self, now: Now, path: Path, key: u128, request: &Message<'_>) -> bool {
        let Some(answer) = self.recent.get(now.at, key).cloned() else { return false };
        self.stats.repeats_received += 1;
        self.stats.repeats_sent += 1;
        self.output.send(reply_way(request, path), answer);
        true
    }

    /// A bare final answer that is not remembered.
    pub(super) fn reply_status(&mut self, path: Path, request: &Message<'_>, status: u16) {
        self.reply_stateless(path, request, &bare(status));
    }

    pub(super) fn reply_stateless(&mut self, path: Path, request: &Message<'_>, reply: &Reply<'_>) {
        let Some((worded, _)) = self.word(request, reply) else { return };
        self.send_no_larger(path, request, request.bytes().len(), &worded);
    }

    /// A final answer that the request's repetitions get too.
    pub(super) fn reply_kept(&mut self, now: Now, path: Path, request: &Message<'_>, reply: &Reply<'_>) {
        let Some((worded, key)) = self.word(request, reply) else { return };
        self.send_kept(now, path, request, &worded, key);
    }

    pub(super) fn reply_dialog(
        &mut self,
        now: Now,
        path: Path,
        request: &Message<'_>,
        tag: DialogId,
        reply: &Reply<'_>,
    ) {
        let Some((worded, key)) = self.word(request, reply) else { return };
        self.send_kept(now, path, request, &Worded { tag, in_dialog: true, ..worded }, key);
    }

    fn send_kept(&mut self, now: Now, path: Path, request: &Message<'_>, worded: &Worded<'_>, key: u128) {
        let bytes = self.output.reply(request, &path, worded);
        self.recent.keep(now.at, key, exact(&bytes));
        self.output.send(reply_way(request, path), bytes);
    }

    /// An answer to a request without a transaction, and what the request's repetitions are known by.
    fn word<'r>(&self, request: &Message<'r>, reply: &'r Reply<'r>) -> Option<(Worded<'r>, u128)> {
        // ACK is never answered (§17.2.1), nor is a response.
        let Start::Request { method, .. } = request.start() else { return None };
        if method == Method::Ack && !planted(Mutant::AckAnswered) {
            return None;
        }
        let key = self.keys.transaction(request, method);
        Some((Worded { method, tag: self.keys.tag(key), in_dialog: false, room: None, session: None, reply }, key))
    }

    /// To whoever may have a forged source address no more is sent than came (RELIABILITY A19): the answer without its phrase, and with
    /// those of its headers that have room, the first first; if that is still too much, nothing. `received`: bytes of the request.
    fn send_no_larger<'m, 'a: 'm>(
        &mut self,
        path: Path,
        request: impl Into<Answerable<'m, 'a>> + Copy,
        received: usize,
        worded: &Worded<'_>,
    ) {
        let mut bytes = self.output.draft(request, &path, worded);
        let allowed = if self.output.trusts(path) { usize::MAX } else { received };
        if bytes.len() > allowed {
            bytes = self.output.draft(request, &path, &Worded { room: Some(0), ..*worded });
            let room = allowed.saturating_sub(bytes.len());
            if room > 0 && !worded.reply.headers.is_empty() {
                bytes = self.output.draft(request, &path, &Worded { room: Some(room), ..*worded });
            }
        }
        if bytes.len() > allowed {
            self.stats.withheld += 1;
            return;
        }
        self.output.traffic.count_response(worded.reply.status);
        self.output.send(reply_way(request, path), bytes);
    }

    /// An ACK for a final answer that is not 2xx has the INVITE's branch; one for a 2xx is a request in the dialog (§17.2.3, §13.3.1.4).
    fn handle_ack<'a>(&mut self, now: Now, key: u128, message: Message<'a>) -> Option<Event<'a>> {
        if let Some(id) = self.by_key.get(&key).copied() {
            let machine = self.server_mut(id).and_then(|server| server.machine.invite().copied());
            if machine.is_some_and(|machine| !machine.awaits_ack()) {
                let _ = self.acknowledged(now, id);
                return None;
            }
        }
        let dialog = message.to().tag().and_then(DialogId::parse)?;
        let peer = self.keys.peer(&message);
        let found = self.dialogs.get(&dialog).filter(|held| held.dialog.peer == peer);
        let (owner, is_closed) = found.map(|held| (held.dialog.owner, held.is_closed)).unzip();
        let due = found.map(|held| held.acks_due.clone()).unwrap_or_default();
        let cseq = message.cseq().number;
        // A re-INVITE may have overtaken the ACK: each 2xx has its own.
        let is_meant = |id: &ServerId| self.servers.get(id.index()).is_some_and(|server| server.cseq == cseq);
        let (Some(owner), Some(transaction)) = (owner, due.into_iter().find(is_meant)) else {
            self.stats.acks_unmatched += 1;
            return None;
        };
        let is_first = !planted(Mutant::AckIgnored) && self.acknowledged(now, transaction) == Tell::Acknowledged;
        (is_first && is_closed == Some(false)).then_some(Event::Ack { owner, dialog, transaction, message })
    }

    /// §9.2: the CANCEL is answered here, whatever becomes of the INVITE; its repetitions get the same answer when that is gone.
    fn handle_cancel<'a>(&mut self, now: Now, path: Path, key: u128, message: Message<'a>) -> Option<Event<'a>> {
        if self.repeat_kept(now, path, key, &message) {
            return None;
        }
        let invite = self.keys.transaction(&message, Method::Invite);
        let Some(id) = self.by_key.get(&invite).copied() else {
            self.stats.refused += 1;
            self.reply_status(path, &message, 481);
            return None;
        };
        let server = self.server_mut(id)?;
        let (tag, owner) = (server.dialog, server.owner);
        let is_owed = server.is_pending() || planted(Mutant::CancelAfterFinal);
        let is_news = is_owed && !std::mem::replace(&mut server.is_cancelled, true);
        let session = self.session_id(tag);
        let session = session.as_deref();
        let worded = Worded { method: Method::Cancel, tag, in_dialog: false, room: None, session, reply: &bare(200) };
        let bytes = self.output.reply(&message, &path, &worded);
        self.recent.keep(now.at, key, exact(&bytes));
        self.output.send(reply_way(&message, path), bytes);
        is_news.then_some(Event::Cancel { owner, transaction: id, message })
    }

    /// A new request with a To tag (§12.2.2).
    fn handle_in_dialog<'a>(
        &mut self,
        now: Now,
        path: Path,
        key: u128,
        method: Method<'a>,
        request: Message<'a>,
    ) -> Option<Event<'a>> {
        let (is_full, peer) = (self.is_full(), self.keys.peer(&request));
        let dialog = request.to().tag().and_then(DialogId::parse);
        let held = dialog.and_then(|dialog| Some((dialog, self.dialogs.get_mut(&dialog)?)));
        let is_peer = |held: &Held| held.dialog.peer == peer || planted(Mutant::PeerUnchecked);
        let Some((dialog, held)) = held.filter(|(_, held)| is_peer(held) && !held.is_closed) else {
            self.stats.dialogs_unknown += 1;
            self.reply_status(path, &request, 481);
            return None;
        };
        // Before anything of the dialog changes. A BYE makes room.
        if is_full && method != Method::Bye {
            self.reply_full(path, &request);
            return None;
        }
        if !held.dialog.advance(request.cseq().number, method) && !planted(Mutant::CSeqUnchecked) {
            self.stats.out_of_order += 1;
            // The dialog may be gone when it comes again.
            self.reply_kept(now, path, &request, &bare(500));
            return None;
        }
        held.dialog.path = path;
        self.hear_session(dialog, &request);
        let held = self.dialogs.get_mut(&dialog)?;
        let owner = held.dialog.owner;
        // The peer hangs up itself: a BYE of ours that still waits (§15) has nobody to go to any more.
        if method == Method::Bye
            && let Some(bye) = held.bye_waiting.take()
        {
            self.clients.remove(&bye);
        }
        // §14.2: one INVITE at a time. The peer's second gets 500 and when to try again; one that crosses ours gets 491.
        // One may overtake the ACK of the 2xx before it; more than one has to wait for that.
        let glare = match (method == Method::Invite, held.invite_received, held.invite_sent) {
            (true, Some(_), _) => Some(500),
            (true, None, Some(_)) => Some(491),
            (true, None, None) => held.acks_due.is_full().then_some(491),
            (false, _, _) => None,
        };
        let new = New { owner, dialog, key, merged: None, path, request: exact(request.bytes()) };
        let transaction = self.open_server(now, &request, new);
        match glare {
            Some(status) => self.refuse_glare(now, transaction, status),
            None if method == Method::Invite => self.begin_invite(dialog, transaction),
            None => {}
        }
        if method == Method::Prack {
            self.handle_prack(now, dialog, transaction, &request);
            return None;
        }
        glare.is_none().then_some(Event::InDialog { owner, dialog, transaction, request, path })
    }

    fn refuse_glare(&mut self, now: Now, transaction: ServerId, status: u16) {
        // §14.2: a random number of seconds between 0 and 10.
        const SECONDS: [&str; 11] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10"];
        let chance = usize::try_from(self.rng.below(11)).unwrap_or(0);
        let seconds = SECONDS.get(chance).copied().unwrap_or("10");
        let headers = [("Retry-After", seconds)];
        let headers = if status == 500 { &headers[..] } else { &[] };
        self.respond(now, transaction, &Reply { status, reason: None, headers, body: None });
    }

    pub(super) fn reply_full(&mut self, path: Path, request: &Message<'_>) {
        self.stats.full += 1;
        let reply = Reply { status: 503, reason: None, headers: &[("Retry-After", "5")], body: None };
        self.reply_stateless(path, request, &reply);
    }

    pub(super) fn is_full(&self) -> bool {
        self.servers.len() + self.clients.len() + self.cancels.len() >= limits::SIP_TRANSACTIONS_MAX
    }
}

/// A final answer with nothing but its status.
fn bare(status: u16) -> Reply<'static> {
    Reply { status, reason: None, headers: &[], body: None }
}
