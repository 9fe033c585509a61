//! INVITEs of ours outside of any dialog (RFC 3261 §13.2): a client's telephone is rung. The first 2xx makes a dialog, of which the call
//! hears; a 2xx that nobody wants any more, or that comes from another branch of a fork (§13.2.2.4), is acknowledged and hung up on
//! here. And CANCEL (§9.1), which waits until the INVITE was heard.
//! Not here: who is rung, and what becomes of an answer (`switch`, `call`). A redirection is not followed and a challenge is not answered: both
//! are refusals (RELIABILITY A8, §2.5).

use super::client::{Client, Whose};
use super::out::exact;
use super::prack::Early;
use super::way::{Way, Ways};
use super::{ClientId, DialogId, Due, Endpoint, Event, Held, Owner};
use crate::limits;
use crate::mutant::{Mutant, planted};
use crate::sip::Path;
use crate::sip::dialog::Dialog;
use crate::sip::dialog::session_id::{SESSION_ID, SessionId, Uuid};
use crate::sip::transaction::timer::Alarm;
use crate::sip::transaction::{ClientOther, Send, Tell, Todo};
use crate::sip::wire::write::{Branch, RequestHead};
use crate::sip::wire::{Header, Message, Method, Start};
use crate::time::Now;
use arrayvec::ArrayVec;
use bytes::Bytes;

/// An INVITE outside of any dialog, as its sender words it. Tag, Call-ID, Contact, Allow and the rest are the endpoint's.
#[derive(Clone, Copy, Debug)]
pub struct Invitation<'a> {
    /// The Request-URI.
    pub uri: &'a str,
    /// The value of From, without a tag.
    pub from: &'a str,
    /// The value of To.
    pub to: &'a str,
    /// The value of Route; empty for none.
    pub route: &'a str,
    /// Further header fields, name and value.
    pub headers: &'a [(&'a str, &'a str)],
    /// Content-Type and body; without an offer the peer's 2xx has one (§13.2.1).
    pub body: Option<(&'a str, &'a [u8])>,
    /// Whether a connection may be opened to the path's peer where there is none.
    pub opens: bool,
}

/// What is kept of such an INVITE beside its transaction.
#[derive(Default)]
pub(super) struct Dialling {
    wish: Wish,
    /// The fingerprint of the branch that has the dialog; it outlives that.
    first: Option<u128>,
    /// Other branches that have answered, by their fingerprint, and the ACK that each gets again.
    forks: ArrayVec<(u128, Bytes), { limits::SIP_FORKS_MAX }>,
    /// Branches that ring and want to know that it was heard.
    pub(super) early: Vec<Early>,
}

/// What an INVITE is known by.
struct Named<'n> {
    id: ClientId,
    dialog: DialogId,
    call_id: &'n [u8],
    cseq: u32,
}

/// Whether the INVITE is still wanted.
#[derive(Default)]
enum Wish {
    #[default]
    Wanted,
    /// No more, but it was not heard yet: with the `Reason` of the CANCEL.
    Unwanted(Option<String>),
    Cancelled,
}

/// The CANCEL of an INVITE. It has the INVITE's branch, so it is found by that.
pub(super) struct Cancel {
    machine: ClientOther,
    alarm: Alarm,
    way: Way,
    request: Bytes,
}

impl Dialling {
    /// What there has been in the early dialog of a branch: the number of our latest request, and whether an offer has its answer.
    fn so_far(&self, peer: u128, invite: u32) -> (u32, bool) {
        let early = self.early.iter().find(|early| early.is_of(peer));
        early.map_or((invite, false), Early::so_far)
    }
}

impl Endpoint {
    /// Sends an INVITE outside of any dialog over `path`. What comes of it are [`Event::Response`]s and [`Event::Failed`] of `owner`;
    /// with the first 2xx there is the dialog, and [`Endpoint::acknowledge`] is due. `None`: the tables are full.
    pub fn invite(
        &mut self,
        now: Now,
        path: Path,
        owner: Owner,
        invitation: &Invitation<'_>,
    ) -> Option<(ClientId, DialogId)> {
        if self.has_no_room() {
            return None;
        }
        let (dialog, id) = (DialogId::from_chance(self.rng.u64()), self.new_branch());
        let call_id = format!("{:032x}", self.rng.u128());
        let named = Named { id, dialog, call_id: call_id.as_bytes(), cseq: FIRST_CSEQ };
        Some(self.send_invite(now, path, owner, invitation, &named))
    }

    /// The same once more after a refusal that says how it would be taken (§8.1.3.5): with the same Call-ID and tag, and the next number.
    pub fn invite_again(
        &mut self,
        now: Now,
        path: Path,
        owner: Owner,
        invitation: &Invitation<'_>,
        refusal: &Message<'_>,
    ) -> Option<(ClientId, DialogId)> {
        let dialog = refusal.from().tag().and_then(DialogId::parse)?;
        let cseq = refusal.cseq().number.checked_add(1)?;
        if self.dialogs.contains_key(&dialog) || self.has_no_room() {
            return None;
        }
        let named = Named { id: self.new_branch(), dialog, call_id: refusal.call_id(), cseq };
        Some(self.send_invite(now, path, owner, invitation, &named))
    }

    fn has_no_room(&mut self) -> bool {
        let is_full = self.is_full() || self.dialogs.len() >= limits::SIP_DIALOGS_MAX;
        self.stats.full += u64::from(is_full);
        is_full
    }

    fn send_invite(
        &mut self,
        now: Now,
        path: Path,
        owner: Owner,
        invitation: &Invitation<'_>,
        named: &Named<'_>,
    ) -> (ClientId, DialogId) {
        let Named { id, dialog, call_id, cseq } = *named;
        let from = format!("{};tag={dialog}", invitation.from);
        let session = SessionId { local: self.keys.session(dialog), remote: Uuid::default() }.text();
        let branch = Branch::new(id.0);
        let head = RequestHead {
            method: Method::Invite,
            uri: invitation.uri.as_bytes(),
            transport: path.transport,
            sent_by: "",
            branch: branch.as_str(),
            from: from.as_bytes(),
            to: invitation.to.as_bytes(),
            call_id,
            cseq,
            contact: None,
            route: invitation.route.as_bytes(),
            headers: invitation.headers,
            body: invitation.body,
        };
        let bytes = self.output.request(path, Some(&session), Some((dialog, path.transport)), head);
        let reopen = Some(path.peer).filter(|_| invitation.opens && path.transport.is_reliable());
        let ways = Ways { first: Way { path, reopen }, otherwise: None };
        let mut client = Client::new(Whose::Leg { owner, dialog }, Method::Invite, ways, &bytes, cseq);
        client.dialling = Some(Box::default());
        self.clients.insert(id, Box::new(client));
        self.start_client(now, id);
        (id, dialog)
    }

    /// The INVITE is not wanted any more, and nobody hears what becomes of it: a CANCEL goes as soon as it may, and whoever answers all the
    /// same is hung up on. Nothing happens to an INVITE that has its final answer.
    pub fn cancel(&mut self, now: Now, invite: ClientId, reason: Option<&str>) {
        let Some(client) = self.clients.get_mut(&invite).filter(|client| client.is_pending()) else { return };
        let Some(dialling) = client.dialling.as_mut() else { return };
        dialling.wish = Wish::Unwanted(reason.map(str::to_owned));
        client.silence();
        if client.was_heard() || planted(Mutant::CancelTooEarly) {
            self.send_cancel(now, invite);
        }
    }

    /// §9.1: an INVITE that nobody has heard yet may be overtaken by its CANCEL, so that waits for the first provisional response.
    pub(super) fn send_cancel(&mut self, now: Now, invite: ClientId) {
        // A final answer may have overtaken the provisional one: then there is nothing to be cancelled.
        let Some(client) =
            self.clients.get_mut(&invite).filter(|client| client.was_heard() || planted(Mutant::CancelTooEarly))
        else {
            return;
        };
        let Some(dialling) = client.dialling.as_mut() else { return };
        let reason = match std::mem::replace(&mut dialling.wish, Wish::Cancelled) {
            Wish::Unwanted(reason) => reason,
            kept @ (Wish::Wanted | Wish::Cancelled) => {
                dialling.wish = kept;
                return;
            }
        };
        client.cancel(now.at);
        let (way, request) = (client.way, client.request.clone());
        let Some(bytes) = self.write_cancel(way.path, &request, reason.as_deref()) else { return };
        let machine = ClientOther::new(now.at, way.path.transport.is_reliable());
        let cancel = Cancel { machine, alarm: Alarm::OFF, way, request: exact(&bytes) };
        self.cancels.insert(invite, Box::new(cancel));
        self.output.send(way, bytes);
        self.settle_cancel(invite, Todo::default());
        self.settle_client(invite, Todo::default());
    }

    /// §9.1: the INVITE's Request-URI, Via, Route, From, To, Call-ID and number.
    fn write_cancel(&mut self, path: Path, invite: &Bytes, reason: Option<&str>) -> Option<Bytes> {
        let invite = Message::parse(invite).ok()?;
        let Start::Request { uri, .. } = invite.start() else { return None };
        let reason = reason.map(|reason| ("Reason", reason));
        let head = RequestHead {
            method: Method::Cancel,
            uri: uri.as_bytes(),
            transport: path.transport,
            sent_by: "",
            branch: std::str::from_utf8(invite.via().branch()?).ok()?,
            from: invite.header(Header::From)?,
            to: invite.header(Header::To)?,
            call_id: invite.call_id(),
            cseq: invite.cseq().number,
            contact: None,
            route: invite.header(Header::Route).unwrap_or_default(),
            headers: reason.as_slice(),
            body: None,
        };
        let session = invite.other(SESSION_ID).and_then(|session| std::str::from_utf8(session).ok());
        Some(self.output.request(path, session, None, head))
    }

    /// A response to a CANCEL. Which one does not matter: the INVITE has an answer of its own (§9.1).
    pub(super) fn cancel_is_answered(&mut self, now: Now, invite: ClientId, status: u16) {
        let Some(cancel) = self.cancels.get_mut(&invite) else {
            self.stats.responses_unmatched += 1;
            return;
        };
        let todo = cancel.machine.handle_response(now.at, status);
        self.settle_cancel(invite, todo);
    }

    pub(super) fn cancel_timeout(&mut self, now: Now, invite: ClientId) {
        let Some(cancel) = self.cancels.get_mut(&invite) else { return };
        let todo = cancel.machine.handle_timeout(now.at);
        if todo.send == Send::Request {
            self.stats.repeats_sent += 1;
            self.output.send(cancel.way, cancel.request.clone());
        }
        self.settle_cancel(invite, todo);
    }

    fn settle_cancel(&mut self, invite: ClientId, todo: Todo) {
        let Some(cancel) = self.cancels.get_mut(&invite) else { return };
        if todo.ended {
            self.wheel.clear(&mut cancel.alarm);
            self.cancels.remove(&invite);
        } else {
            let deadline = cancel.machine.deadline();
            self.wheel.set(&mut cancel.alarm, deadline, Due::Cancel(invite));
        }
    }

    /// A 2xx to an INVITE of ours outside of a dialog. The first one makes the dialog, if it is still wanted.
    pub(super) fn is_answered<'a>(
        &mut self,
        now: Now,
        id: ClientId,
        todo: Todo,
        message: Message<'a>,
    ) -> Option<Event<'a>> {
        let peer = self.keys.answerer(&message);
        let client = self.clients.get(&id)?;
        let (Whose::Leg { owner, dialog }, path, cseq) = (client.whose(), client.way.path, client.cseq()) else {
            return None;
        };
        let dialling = client.dialling.as_ref()?;
        let is_wanted = matches!(dialling.wish, Wish::Wanted);
        let known = dialling.first == Some(peer) || planted(Mutant::ForkTaken);
        let (cseq, is_described) = dialling.so_far(peer, cseq);
        match todo.tell {
            Tell::Response if is_wanted => {
                let dialling = self.clients.get_mut(&id).and_then(|client| client.dialling.as_mut());
                dialling.into_iter().for_each(|dialling| dialling.first = Some(peer));
                let answer = exact(message.bytes());
                let mut held = Held::new(Dialog::answered(owner, answer, peer, path, cseq));
                held.session = self.session_of(dialog, &message);
                held.is_described = is_described;
                self.dialogs.insert(dialog, Box::new(held));
                self.settle_client(id, todo);
                Some(Event::Response { owner, dialog, transaction: id, method: Method::Invite, message })
            }
            Tell::Repeated if known => {
                if !planted(Mutant::RepeatedAnswerNotAcked) {
                    self.send_again(id, todo, Some(&message));
                }
                self.settle_client(id, todo);
                None
            }
            Tell::Response | Tell::Repeated => {
                self.turn_down(now, id, peer, &message);
                self.settle_client(id, todo);
                None
            }
            Tell::Nothing | Tell::Acknowledged | Tell::Unacknowledged | Tell::Failed => {
                self.settle_client(id, todo);
                None
            }
        }
    }

    /// §13.2.2.4: every 2xx is acknowledged, and a dialog that nobody wants is ended with a BYE: once, and the ACK for each repetition.
    fn turn_down(&mut self, now: Now, id: ClientId, peer: u128, answer: &Message<'_>) {
        let Some(client) = self.clients.get(&id) else { return };
        let (whose, way, cseq) = (client.whose(), client.way, client.cseq());
        let Some(dialling) = client.dialling.as_ref() else { return };
        if let Some((_, ack)) = dialling.forks.iter().find(|(fork, _)| *fork == peer) {
            let ack = ack.clone();
            self.stats.repeats_sent += 1;
            return self.output.send(way, ack);
        }
        let Whose::Leg { owner, .. } = whose else { return };
        // A dialog for as long as it takes to write two requests in it; their transactions outlive it.
        let passing = DialogId::from_chance(self.rng.u64());
        let (latest, _) = dialling.so_far(peer, cseq);
        let dialog = Dialog::answered(owner, exact(answer.bytes()), peer, way.path, latest);
        self.dialogs.insert(passing, Box::new(Held::new(dialog)));
        let branch = self.new_branch();
        let ack = self.write_request(passing, branch, Method::Ack, cseq, &[], None);
        if let Some((ways, ack)) = ack {
            let kept = exact(&ack);
            self.output.send(ways.first, ack);
            let dialling = self.clients.get_mut(&id).and_then(|client| client.dialling.as_mut());
            let _full = dialling.map(|dialling| dialling.forks.try_push((peer, kept)));
        }
        if planted(Mutant::LateAnswerKept) {
            self.dialogs.remove(&passing);
            return;
        }
        if let Some(bye) = self.request(now, passing, Method::Bye, &[], None)
            && let Some(bye) = self.clients.get_mut(&bye)
        {
            bye.silence();
        }
        self.dialogs.remove(&passing);
    }
}

/// The number of an INVITE that begins something.
const FIRST_CSEQ: u32 = 1;

#[cfg(test)]
pub(super) mod tests {
    use super::super::bench::{Bench, Heard, OWNER, answer, header, summary};
    use super::*;

    pub(crate) const INVITATION: Invitation<'static> = Invitation {
        uri: "sip:anna@192.0.2.1:5071",
        from: "\"Caller\" <sip:+4930@sip.example>",
        to: "<sip:anna@sip.example>",
        route: "",
        headers: &[("Alert-Info", "<urn:alert:tone:normal>")],
        body: None,
        opens: false,
    };

    pub(crate) struct Dialled {
        pub(crate) bench: Bench,
        pub(crate) id: ClientId,
        pub(crate) dialog: DialogId,
        pub(crate) invite: String,
    }

    pub(crate) fn dial() -> Dialled {
        let mut bench = Bench::new();
        let (id, dialog) = bench.endpoint.invite(bench.now, bench.path, OWNER, &INVITATION).unwrap();
        let invite = bench.sent().pop().unwrap();
        Dialled { bench, id, dialog, invite }
    }

    impl Dialled {
        /// The telephone answers the INVITE, under this tag.
        pub(crate) fn hear(&mut self, status: u16, tag: &str) -> Option<Heard> {
            let text = self.answer(status, tag, "");
            self.bench.hear(&text)
        }

        /// What it answers, with further header lines.
        pub(crate) fn answer(&self, status: u16, tag: &str, headers: &str) -> String {
            let contact = format!("Contact: <sip:anna@192.0.2.1:5071>\r\n{headers}");
            let text = answer(&self.invite, status, &contact);
            let to = header(&text, "To").to_owned();
            if tag.is_empty() { text } else { text.replace(&to, &format!("{to};tag={tag}")) }
        }
    }

    #[test]
    fn an_answered_invite_is_a_dialog_in_which_both_can_ask() {
        let mut dialled = dial();
        assert!(dialled.invite.starts_with("INVITE sip:anna@192.0.2.1:5071 SIP/2.0\r\n"));
        let tag = format!(";tag={}", dialled.dialog);
        for (name, value) in [
            ("From", format!("\"Caller\" <sip:+4930@sip.example>{tag}")),
            ("To", "<sip:anna@sip.example>".into()),
            ("CSeq", "1 INVITE".into()),
            ("Contact", format!("<sip:{}@sip.example:5060>", dialled.dialog)),
            ("Alert-Info", "<urn:alert:tone:normal>".into()),
            ("Allow", super::super::check::ALLOW.into()),
            ("Supported", "timer".into()),
        ] {
            assert_eq!(header(&dialled.invite, name), value);
        }
        assert_eq!(dialled.hear(100, ""), None);
        assert_eq!(dialled.hear(180, "a"), Some(Heard::Response(dialled.id, 180)));
        assert_eq!(dialled.hear(200, "a"), Some(Heard::Response(dialled.id, 200)));
        let Dialled { mut bench, id, dialog, invite } = dialled;
        assert!(bench.endpoint.acknowledge(bench.now, dialog, id, Some(("application/sdp", b"v=0"))));
        let ack = bench.sent().pop().unwrap();
        assert_eq!((summary(&ack), header(&ack, "To")), ("ACK".into(), "<sip:anna@sip.example>;tag=a"));
        assert_eq!((header(&ack, "CSeq"), header(&ack, "Call-ID")), ("1 ACK", header(&invite, "Call-ID")));
        let mut again = Dialled { bench, id, dialog, invite };
        assert_eq!(again.hear(200, "a"), None);
        assert_eq!(again.bench.sent(), [ack], "the same ACK for the same 2xx");

        let Dialled { mut bench, dialog, invite, .. } = again;
        let theirs = format!(
            "OPTIONS sip:{dialog}@192.0.2.9 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5071;branch=z9hG4bKt\r\n\
             From: <sip:anna@sip.example>;tag=a\r\nTo: <sip:x@y>;tag={dialog}\r\nCall-ID: {}\r\nCSeq: 0 OPTIONS\r\n\
             Content-Length: 0\r\n\r\n",
            header(&invite, "Call-ID")
        );
        assert!(matches!(bench.hear(&theirs), Some(Heard::InDialog(_))), "any number may be the first");
        bench.sent();
        bench.endpoint.request(bench.now, dialog, Method::Bye, &[], None).unwrap();
        let bye = bench.sent().pop().unwrap();
        assert!(bye.starts_with("BYE sip:anna@192.0.2.1:5071 SIP/2.0\r\n"));
        assert_eq!((header(&bye, "CSeq"), header(&bye, "From")), ("2 BYE", header(&invite, "From")));
        assert_eq!(header(&bye, "To"), "<sip:anna@sip.example>;tag=a");
    }

    #[test]
    fn a_cancel_waits_for_the_first_provisional_response_and_a_487_is_no_news() {
        let mut dialled = dial();
        dialled.bench.endpoint.cancel(dialled.bench.now, dialled.id, Some("SIP;cause=200"));
        assert_eq!(dialled.bench.said(), [""; 0], "nobody has heard the INVITE yet");
        assert_eq!(dialled.hear(180, "a"), None);
        let cancel = dialled.bench.sent().pop().unwrap();
        assert_eq!((summary(&cancel), header(&cancel, "Reason")), ("CANCEL".into(), "SIP;cause=200"));
        for name in ["Via", "From", "To", "Call-ID"] {
            assert_eq!(header(&cancel, name), header(&dialled.invite, name), "{name}");
        }
        assert_eq!(header(&cancel, "CSeq"), "1 CANCEL");
        dialled.bench.pass(500);
        assert_eq!(dialled.bench.said(), ["CANCEL"], "Timer E");
        assert_eq!(dialled.bench.hear(&answer(&cancel, 200, "")), None);
        assert_eq!(dialled.hear(487, "a"), None);
        assert_eq!(dialled.bench.said(), ["ACK"]);
        assert_eq!(dialled.bench.run_out(), []);
        dialled.bench.assert_empty();
    }

    #[test]
    fn who_answers_an_invite_that_is_not_wanted_is_hung_up_on() {
        let mut dialled = dial();
        dialled.hear(180, "a");
        dialled.bench.endpoint.cancel(dialled.bench.now, dialled.id, None);
        assert_eq!(dialled.bench.said(), ["CANCEL"]);
        assert_eq!(dialled.hear(200, "a"), None, "the answer has crossed the CANCEL");
        let sent = dialled.bench.sent();
        assert_eq!(sent.iter().map(|text| summary(text)).collect::<Vec<_>>(), ["ACK", "BYE"]);
        assert_eq!((header(&sent[1], "CSeq"), header(&sent[1], "To")), ("2 BYE", header(&sent[0], "To")));
        assert_eq!(dialled.hear(200, "a"), None);
        assert_eq!(dialled.bench.sent(), [sent[0].clone()], "an ACK again, and no second BYE");
        assert_eq!(dialled.bench.hear(&answer(&sent[1], 200, "")), None);
        assert_eq!(dialled.bench.run_out(), []);
        dialled.bench.assert_empty();
    }

    /// RFC 3261 §9.1: the ringing was overtaken by the answer.
    #[test]
    fn what_has_its_final_answer_is_not_cancelled() {
        let mut dialled = dial();
        dialled.bench.endpoint.cancel(dialled.bench.now, dialled.id, None);
        assert_eq!(dialled.hear(200, "a"), None);
        assert_eq!(dialled.bench.said(), ["ACK", "BYE"]);
        assert_eq!(dialled.hear(180, "a"), None);
        assert_eq!(dialled.bench.said(), [""; 0]);
    }

    #[test]
    fn of_several_branches_that_answer_the_first_has_the_call() {
        let mut dialled = dial();
        assert_eq!(dialled.hear(200, "a"), Some(Heard::Response(dialled.id, 200)));
        let (now, dialog, id) = (dialled.bench.now, dialled.dialog, dialled.id);
        dialled.bench.endpoint.acknowledge(now, dialog, id, None);
        dialled.bench.sent();
        assert_eq!(dialled.hear(200, "b"), None);
        let sent = dialled.bench.sent();
        assert_eq!(sent.iter().map(|text| summary(text)).collect::<Vec<_>>(), ["ACK", "BYE"]);
        assert!(sent.iter().all(|text| header(text, "To").ends_with(";tag=b")));
        assert!(dialled.bench.endpoint.made_by(dialled.dialog).is_some());
    }

    /// RFC 3261 §13.2.2.4: the ACK was lost, and the call is over meanwhile.
    #[test]
    fn an_answer_that_comes_again_after_its_dialog_gets_the_same_ack_and_no_second_bye() {
        let mut dialled = dial();
        assert_eq!(dialled.hear(200, "a"), Some(Heard::Response(dialled.id, 200)));
        let (now, dialog, id) = (dialled.bench.now, dialled.dialog, dialled.id);
        dialled.bench.endpoint.acknowledge(now, dialog, id, None);
        dialled.bench.endpoint.request(now, dialog, Method::Bye, &[], None).unwrap();
        dialled.bench.endpoint.close(now, dialog);
        let sent = dialled.bench.sent();
        assert_eq!(sent.iter().map(|text| summary(text)).collect::<Vec<_>>(), ["ACK", "BYE"]);
        assert!(dialled.bench.endpoint.made_by(dialog).is_none(), "the dialog is gone");
        assert_eq!(dialled.hear(200, "a"), None);
        assert_eq!(dialled.bench.sent(), [sent[0].clone()]);
    }

    #[test]
    fn a_refusal_a_silence_and_a_lost_connection_are_told_and_leave_nothing() {
        for status in [302, 401, 486, 603] {
            let mut dialled = dial();
            assert_eq!(dialled.hear(status, "a"), Some(Heard::Response(dialled.id, status)));
            assert_eq!(dialled.bench.said(), ["ACK"]);
            assert_eq!(dialled.bench.run_out(), []);
            dialled.bench.assert_empty();
        }
        let mut silent = dial();
        assert_eq!(silent.bench.run_out(), [Heard::Failed(silent.id)]);
        silent.bench.assert_empty();
        let mut lost = dial();
        lost.bench.endpoint.abandon(lost.bench.now, OWNER.call);
        assert_eq!(lost.bench.run_out(), []);
        lost.bench.assert_empty();
    }
}
