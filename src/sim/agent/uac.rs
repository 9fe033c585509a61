//! The requests that an agent sends and the responses that it gets (RFC 3261 §8.1, §9.1, §13.2, §17.1).
//! Not here: requests that it gets (`uas`).

use super::super::plan::{Ack, Change, Prack, Rude, When};
use super::super::text::{self, Offer, Seen, Verb, Way, Writer};
use super::{Agent, Out, Plans, T2, Tick, Timer};
use crate::time::{Duration, Instant};
use bytes::Bytes;

/// The INVITE that begins the dialog.
#[derive(Clone)]
pub(super) enum Invite {
    None,
    /// Sent, and nothing heard.
    Calling(Sent, Timer),
    /// Something provisional was heard.
    Proceeding(Sent),
    /// It has its final response.
    Done(Sent),
    /// Nobody answered.
    GivenUp,
}

/// What of an INVITE its ACK and CANCEL need.
#[derive(Clone)]
pub(super) struct Sent {
    bytes: Bytes,
    /// The branch of the copy that is being answered.
    branch: Bytes,
    cseq: u32,
}

impl Invite {
    pub(super) fn due(&self) -> Option<Instant> {
        match self {
            Invite::Calling(_, timer) => timer.due(),
            Invite::None | Invite::Proceeding(_) | Invite::Done(_) | Invite::GivenUp => None,
        }
    }

    fn sent(&self) -> Option<&Sent> {
        match self {
            Invite::Calling(sent, _) | Invite::Proceeding(sent) | Invite::Done(sent) => Some(sent),
            Invite::None | Invite::GivenUp => None,
        }
    }
}

/// A request in the dialog, or a CANCEL, that waits for its final response.
pub(super) struct Asking {
    verb: Verb,
    cseq: u32,
    bytes: Bytes,
    pub(super) timer: Timer,
}

impl Asking {
    /// Whether an offer of its is under way.
    pub(super) fn offers(&self) -> bool {
        matches!(self.verb, Verb::Invite | Verb::Update)
    }
}

/// A request to be written.
struct Request<'a> {
    verb: Verb,
    cseq: u32,
    branch: &'a [u8],
    /// Whether it is in the dialog: with the remote tag, to the remote target.
    in_dialog: bool,
    headers: &'a str,
    body: &'a [u8],
}

impl Agent {
    /// Begins a dialog. `headers` are a client's credentials.
    pub(in super::super) fn invite(&mut self, now: Instant, headers: &str, out: &mut Vec<Out>) {
        if self.attempt > 0 && !self.is_over {
            return;
        }
        self.attempt += 1;
        (self.is_over, self.is_confirmed, self.cancels, self.has_forked) = (false, false, false, false);
        self.remote_tag.clear();
        self.target.clear();
        self.rseq = 0;
        self.asking.clear();
        self.said.clear();
        self.acks.clear();
        self.cseq = 1;
        self.description = self.offer(self.conduct.offer, Way::Both);
        let branch = self.branch();
        let body = self.description.clone();
        let request = Request { verb: Verb::Invite, cseq: 1, branch: &branch, in_dialog: false, headers, body: &body };
        let bytes = self.write(&request);
        self.invite = Invite::Calling(
            Sent { bytes: bytes.clone(), branch: branch.clone(), cseq: 1 },
            self.timer(now, Duration::MAX / 4),
        );
        self.send(now, bytes, out);
    }

    pub(super) fn repeat_invite(&mut self, now: Instant, out: &mut Vec<Out>) {
        let Invite::Calling(sent, timer) = &mut self.invite else { return };
        match timer.tick(now) {
            Tick::Nothing => {}
            Tick::Repeat => out.push(Out::Send(sent.bytes.clone())),
            Tick::End => {
                self.invite = Invite::GivenUp;
                self.finish(now);
            }
        }
    }

    pub(super) fn repeat_requests(&mut self, now: Instant, out: &mut Vec<Out>) {
        let mut ended = false;
        self.asking.retain_mut(|asking| match asking.timer.tick(now) {
            Tick::Nothing => true,
            Tick::Repeat => {
                out.push(Out::Send(asking.bytes.clone()));
                true
            }
            Tick::End => {
                ended |= asking.verb == Verb::Bye;
                false
            }
        });
        if ended {
            self.finish(now);
        }
    }

    /// Takes the INVITE back as soon as something provisional was heard (§9.1).
    pub(super) fn cancel(&mut self, now: Instant, out: &mut Vec<Out>) {
        match &self.invite {
            Invite::None | Invite::Calling(..) => self.cancels = true,
            Invite::Proceeding(sent) => {
                let (branch, cseq) = (sent.branch.clone(), sent.cseq);
                self.cancels = true;
                self.begin(now, Verb::Cancel, (&branch, cseq), ("", Vec::new()), out);
            }
            // Too late: a 2xx was acknowledged, so that only BYE is left.
            Invite::Done(_) if self.is_confirmed => self.hang_up(now, out),
            Invite::Done(_) | Invite::GivenUp => {}
        }
    }

    pub(super) fn hang_up(&mut self, now: Instant, out: &mut Vec<Out>) {
        // §15: the caller may end an early dialog by BYE too.
        if !self.remote_tag.is_empty() && !self.is_over {
            self.ask(now, Verb::Bye, Vec::new(), out);
        }
    }

    /// A request in the dialog.
    pub(super) fn ask(&mut self, now: Instant, verb: Verb, body: Vec<u8>, out: &mut Vec<Out>) {
        if self.is_over || self.attempt == 0 || self.remote_tag.is_empty() {
            return;
        }
        self.cseq += 1;
        let (branch, cseq) = (self.branch(), self.cseq);
        self.begin(now, verb, (&branch, cseq), ("", body), out);
    }

    /// A digit.
    pub(super) fn press(&mut self, now: Instant, out: &mut Vec<Out>) {
        if self.is_over || self.attempt == 0 || self.remote_tag.is_empty() {
            return;
        }
        self.cseq += 1;
        let (branch, cseq) = (self.branch(), self.cseq);
        let headers = "Content-Type: application/dtmf\r\nContent-Length: 1\r\n\r\n5";
        self.begin(now, Verb::Info, (&branch, cseq), (headers, Vec::new()), out);
    }

    /// An UPDATE.
    pub(super) fn update(&mut self, now: Instant, way: Option<Way>, out: &mut Vec<Out>) {
        if !self.is_confirmed {
            return;
        }
        self.turns += 1;
        let body = way.map(|way| self.offer(Offer::Usual, way)).unwrap_or_default();
        if !body.is_empty() {
            self.description.clone_from(&body);
        }
        self.ask(now, Verb::Update, body, out);
    }

    /// A ringing that has to be acknowledged (RFC 3262 §4).
    fn acknowledge_ringing(&mut self, now: Instant, seen: &Seen<'_>, out: &mut Vec<Out>) {
        let wrong = match self.conduct.manners.prack {
            Prack::Unable | Prack::Never => return,
            Prack::Prompt => 0,
            Prack::Wrong => 1,
        };
        if seen.rseq <= self.rseq || self.is_over {
            return;
        }
        self.rseq = seen.rseq;
        self.cseq += 1;
        let (branch, cseq) = (self.branch(), self.cseq);
        let headers = format!("RAck: {} {} INVITE\r\n", seen.rseq + wrong, seen.cseq);
        self.begin(now, Verb::Prack, (&branch, cseq), (&headers, Vec::new()), out);
    }

    fn begin(
        &mut self,
        now: Instant,
        verb: Verb,
        (branch, cseq): (&[u8], u32),
        (headers, body): (&str, Vec<u8>),
        out: &mut Vec<Out>,
    ) {
        let in_dialog = verb != Verb::Cancel;
        let bytes = self.write(&Request { verb, cseq, branch, in_dialog, headers, body: &body });
        let timer = self.timer(now, if verb == Verb::Invite { Duration::MAX / 4 } else { T2 });
        self.asking.push(Asking { verb, cseq, bytes: bytes.clone(), timer });
        self.send(now, bytes, out);
    }

    /// A re-INVITE.
    pub(super) fn change(&mut self, now: Instant, change: Change, out: &mut Vec<Out>) {
        if !self.is_confirmed {
            return;
        }
        let body = match change {
            Change::To(way) => self.offer(Offer::Usual, way),
            Change::Move => {
                self.move_media();
                self.offer(Offer::Usual, Way::Both)
            }
            Change::Empty => Vec::new(),
            Change::Repeated => self.description.clone(),
            Change::Garbage => self.offer(Offer::Garbage, Way::Both),
            Change::Alien => self.offer(Offer::Alien, Way::Both),
        };
        if matches!(change, Change::To(_) | Change::Move) {
            self.description.clone_from(&body);
        }
        self.ask(now, Verb::Invite, body, out);
    }

    pub(super) fn offer(&mut self, kind: Offer, way: Way) -> Vec<u8> {
        self.version += 1;
        text::offer(kind, self.host, self.port, self.version, way)
    }

    /// The INVITE once more as though it had gone another way (§8.2.2.2).
    pub(super) fn fork(&mut self, out: &mut Vec<Out>) {
        let Some(sent) = self.invite.sent().map(|sent| sent.bytes.clone()) else { return };
        self.has_forked = true;
        if let Some(at) = memchr::memmem::find(&sent, b"branch=z9hG4bK") {
            let (before, after) = sent.split_at(at + 14);
            out.push(Out::Send([before, b"other-way-", after].concat().into()));
        }
    }

    pub(super) fn handle_response(&mut self, now: Instant, seen: &Seen<'_>, out: &mut Vec<Out>) {
        if seen.verb() == Verb::Invite && self.invite.sent().is_some_and(|sent| sent.cseq == seen.cseq) {
            return self.invite_answered(now, seen, out);
        }
        let Some(at) = self.asking.iter().position(|asking| asking.cseq == seen.cseq && asking.verb == seen.verb())
        else {
            return self.acknowledge_again(seen, out);
        };
        if seen.status < 200 {
            if seen.verb() == Verb::Invite {
                self.asking[at].timer.stop_repeating();
            }
            return;
        }
        let asking = self.asking.swap_remove(at);
        match (asking.verb, seen.status) {
            (Verb::Invite, 200..300) => self.acknowledge(now, seen, seen.body.to_vec(), out),
            (Verb::Invite, _) => self.acknowledge_refusal(now, seen, true, out),
            (Verb::Bye, _) => self.finish(now),
            (Verb::Ack | Verb::Cancel | Verb::Options | Verb::Other, _) => {}
            (Verb::Update | Verb::Prack | Verb::Info | Verb::Register, _) => {}
        }
    }

    fn invite_answered(&mut self, now: Instant, seen: &Seen<'_>, out: &mut Vec<Out>) {
        if seen.status > 100 && self.remote_tag.is_empty() {
            self.remote_tag = seen.tag_of_to().to_vec();
        }
        match seen.status {
            ..200 => {
                if let Invite::Calling(sent, _) = &self.invite {
                    let branch = Bytes::copy_from_slice(seen.branch());
                    self.invite = Invite::Proceeding(Sent { branch, ..sent.clone() });
                    if std::mem::take(&mut self.cancels) {
                        self.cancel(now, out);
                    }
                }
                if seen.rseq > 0 {
                    self.acknowledge_ringing(now, seen, out);
                }
                if seen.status > 100 {
                    self.plan(now, When::Ringing);
                }
            }
            200..300 if self.is_confirmed => self.acknowledge_again(seen, out),
            200..300 => self.take_answer(now, seen, out),
            _ => {
                self.acknowledge_refusal(now, seen, false, out);
                // Of two copies the other one is being answered.
                if seen.status == 482 && self.has_forked || self.is_confirmed {
                    return;
                }
                if let Some(sent) = self.invite.sent().cloned() {
                    self.invite = Invite::Done(sent);
                }
                self.finish(now);
            }
        }
    }

    /// A 2xx, the first time.
    fn take_answer(&mut self, now: Instant, seen: &Seen<'_>, out: &mut Vec<Out>) {
        if let Some(sent) = self.invite.sent().cloned() {
            self.invite = Invite::Done(sent);
        }
        self.remote_tag = seen.tag_of_to().to_vec();
        self.target = seen.contact.to_vec();
        self.is_confirmed = true;
        self.audio = text::audio(seen.body);
        let offered = if self.conduct.offer == Offer::Nothing { seen.body.to_vec() } else { Vec::new() };
        self.acknowledge(now, seen, offered, out);
        if self.cancels || self.is_over {
            // RFC 3261 §9.1, §15: a 2xx that came all the same is acknowledged and ended.
            self.is_over = false;
            return self.hang_up(now, out);
        }
        self.plan(now, When::Answered);
    }

    /// The ACK of a 2xx, with the answer to what was `offered` in it.
    fn acknowledge(&mut self, now: Instant, seen: &Seen<'_>, offered: Vec<u8>, out: &mut Vec<Out>) {
        let body = match self.conduct.ack {
            _ if offered.is_empty() => Vec::new(),
            Ack::Unusable => b"v=0\r\nno answer\r\n".to_vec(),
            Ack::Prompt | Ack::Late(_) | Ack::Never => {
                self.version += 1;
                text::answer(&offered, self.host, self.port, self.version)
            }
        };
        let branch = self.branch();
        let ack =
            Request { verb: Verb::Ack, cseq: seen.cseq, branch: &branch, in_dialog: true, headers: "", body: &body };
        let bytes = self.write(&ack);
        match self.conduct.ack {
            Ack::Never => {}
            Ack::Late(millis) => {
                let due = now + Duration::from_millis(millis.into());
                self.agenda.push((due, Plans::Send(bytes)));
            }
            Ack::Prompt | Ack::Unusable => {
                self.acks.push((seen.cseq, bytes.clone()));
                self.send(now, bytes, out);
            }
        }
    }

    fn acknowledge_again(&mut self, seen: &Seen<'_>, out: &mut Vec<Out>) {
        if seen.verb() == Verb::Invite
            && let Some((_, ack)) = self.acks.iter().find(|(cseq, _)| *cseq == seen.cseq)
        {
            out.push(Out::Send(ack.clone()));
        }
    }

    /// The ACK of any other final response: of the same transaction (§17.1.1.3).
    fn acknowledge_refusal(&mut self, now: Instant, seen: &Seen<'_>, in_dialog: bool, out: &mut Vec<Out>) {
        let tag = std::mem::replace(&mut self.remote_tag, seen.tag_of_to().to_vec());
        let ack =
            Request { verb: Verb::Ack, cseq: seen.cseq, branch: seen.branch(), in_dialog, headers: "", body: b"" };
        let bytes = self.write_to(&ack, true);
        if in_dialog {
            self.remote_tag = tag;
        }
        self.send(now, bytes, out);
    }

    /// What nobody should send.
    pub(super) fn be_rude(&mut self, rude: Rude, out: &mut Vec<Out>) {
        let (branch, cseq) = (self.branch(), self.cseq + 1);
        let plain = Request { verb: Verb::Bye, cseq, branch: &branch, in_dialog: true, headers: "", body: b"" };
        let bytes = match rude {
            Rude::WrongTag => {
                let tag = std::mem::replace(&mut self.remote_tag, b"00beef00beef00be".to_vec());
                let bytes = self.write(&plain);
                self.remote_tag = tag;
                bytes
            }
            Rude::WrongPeer => {
                let text = self.write(&plain);
                let at = memchr::memmem::find(&text, b";tag=t").unwrap_or(0);
                [&text[..at], b";tag=x", &text[at + 6..]].concat().into()
            }
            Rude::OldSequence => self.write(&Request { verb: Verb::Options, cseq: 1, ..plain }),
            Rude::StrayAck => self.write(&Request { verb: Verb::Ack, cseq: 77, ..plain }),
            Rude::StrayCancel => {
                let cancel = self.invite.sent().map(|sent| (sent.branch.clone(), sent.cseq));
                let (branch, cseq) = cancel.filter(|_| self.is_over).unwrap_or((branch.clone(), 1));
                self.write(&Request { verb: Verb::Cancel, branch: &branch, cseq, in_dialog: false, ..plain })
            }
            Rude::StrayResponse => {
                let text = self.write(&plain);
                let end = text.iter().position(|byte| *byte == b'\r').unwrap_or(0);
                [b"SIP/2.0 200 OK", &text[end..]].concat().into()
            }
            Rude::Short => {
                let text = self.write(&Request { verb: Verb::Invite, in_dialog: false, body: b"v=0\r\n", ..plain });
                text.slice(..text.len() - 3)
            }
            Rude::Noise => Bytes::from_static(b"\x16\x03\x01 this is no SIP\r\n\r\n"),
            Rude::Early => self.write(&Request { in_dialog: false, ..plain }),
        };
        out.push(Out::Send(bytes));
    }

    pub(super) fn branch(&mut self) -> Bytes {
        self.branches += 1;
        let mut out = Writer::default();
        out.s("z9hG4bKa").n(self.id.into()).s(".").n(self.branches.into()).bytes()
    }

    fn write(&self, request: &Request<'_>) -> Bytes {
        self.write_to(request, request.in_dialog)
    }

    fn write_to(&self, request: &Request<'_>, with_tag: bool) -> Bytes {
        let mut out = Writer::new();
        out.s(request.verb.as_str()).s(" ");
        if request.in_dialog && !self.target.is_empty() {
            out.s(&self.target);
        } else {
            self.write_called(&mut out);
        }
        out.s(" SIP/2.0\r\nVia: SIP/2.0/");
        self.write_sent_by(&mut out);
        out.s(";branch=").s(request.branch).s(";rport\r\nMax-Forwards: 70\r\nFrom: <");
        self.write_address(&mut out);
        out.s(">;tag=");
        self.write_tag(&mut out);
        out.s("\r\nTo: <");
        self.write_called(&mut out);
        out.s(">");
        if with_tag && !self.remote_tag.is_empty() {
            out.s(";tag=").s(&self.remote_tag);
        }
        out.s("\r\nCall-ID: ");
        self.write_call_id(&mut out);
        out.s("\r\nCSeq: ").n(request.cseq.into()).s(" ").s(request.verb.as_str()).s("\r\n");
        if matches!(request.verb, Verb::Invite | Verb::Update) {
            out.s("Contact: <");
            self.write_address(&mut out);
            out.s(">\r\n");
            self.write_manners(&mut out);
        }
        out.s(request.headers);
        // What ends in a body of its own is whole.
        if request.headers.contains("\r\n\r\n") { out.bytes() } else { out.body(request.body).bytes() }
    }

    pub(super) fn write_called(&self, out: &mut Writer) {
        out.s("sip:").s(&self.called).s("@203.0.113.").n(u64::from(self.node) + 1);
    }
}
