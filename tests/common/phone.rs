//! A telephone written for the tests: one call over one UDP socket (RFC 3261), able to misbehave as networks and peers do.
//! It repeats its requests until they are answered (§17.1), acknowledges finals, and answers a repeated request as before.
//! Not here: audio (`voice`), and what the test is about.

use super::{Message, unique};
use std::collections::{HashMap, HashSet};
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// RFC 3261 §17.1.1.1.
const T1: Duration = Duration::from_millis(500);
/// How long anything may take that is expected now.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// How messages get across.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wire {
    /// As they are sent.
    Plain,
    /// Everything is sent twice, and the first copy of everything that comes is lost.
    Lossy,
}

/// One call's worth of telephone.
pub(crate) struct Phone {
    socket: UdpSocket,
    daemon: SocketAddr,
    wire: Wire,
    /// Whether a 2xx gets its ACK.
    pub(crate) acknowledges: bool,
    /// What the ACK of a 2xx says that brought an offer.
    pub(crate) late_answer: Option<String>,
    /// What a BYE gets without asking the test.
    pub(crate) answers_bye: Option<u16>,
    from: String,
    to: String,
    target: String,
    /// Its Call-ID.
    pub(crate) call_id: String,
    cseq: u32,
    credentials: String,
    /// The last request, as it was sent, until it is answered.
    pending: Option<Pending>,
    /// The INVITE whose finals are acknowledged, and the ACKs that were sent, by what they acknowledge.
    invite: Option<(String, u32)>,
    acks: HashMap<String, String>,
    answers: HashMap<String, String>,
    lost_once: HashSet<String>,
    /// Responses with this status that came, repetitions among them.
    pub(crate) copies: HashMap<u16, u32>,
}

struct Pending {
    text: String,
    again: Instant,
    pause: Duration,
    provisional: bool,
}

impl Phone {
    /// A telephone on some port of 127.0.0.1.
    pub(crate) fn new(daemon: SocketAddr, wire: Wire) -> Phone {
        Phone::bound("127.0.0.1:0".parse().unwrap(), daemon, wire)
    }

    /// A telephone on that address.
    pub(crate) fn bound(local: SocketAddr, daemon: SocketAddr, wire: Wire) -> Phone {
        let socket = UdpSocket::bind(local).unwrap();
        let local = socket.local_addr().unwrap();
        Phone {
            from: format!("\"A phone\" <sip:phone@{local}>;tag={}", unique()),
            socket,
            daemon,
            wire,
            acknowledges: true,
            late_answer: None,
            answers_bye: None,
            to: String::new(),
            target: String::new(),
            call_id: format!("{}@tests", unique()),
            cseq: 0,
            credentials: String::new(),
            pending: None,
            invite: None,
            acks: HashMap::new(),
            answers: HashMap::new(),
            lost_once: HashSet::new(),
            copies: HashMap::new(),
        }
    }

    /// Where it is.
    pub(crate) fn address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    /// Sends an INVITE that begins a call; `headers` are whole lines.
    pub(crate) fn invite(&mut self, uri: &str, headers: &str, sdp: &str) {
        self.to = format!("<{uri}>");
        self.target = uri.to_owned();
        self.credentials = headers.to_owned();
        self.request("INVITE", sdp);
    }

    /// Sends a request outside of any call.
    pub(crate) fn ask(&mut self, uri: &str, method: &str) {
        self.to = format!("<{uri}>");
        self.target = uri.to_owned();
        self.request(method, "");
    }

    /// The same with this To, which may have a tag, and these header lines. A REGISTER has no other Contact than theirs,
    /// and no request has two.
    pub(crate) fn ask_with(&mut self, uri: &str, to: &str, method: &str, headers: &str) {
        self.to = to.to_owned();
        self.target = uri.to_owned();
        self.cseq += 1;
        let text = self.text(method, &format!("z9hG4bK{}", unique()), self.cseq, headers, "");
        self.pending = Some(Pending { text: text.clone(), again: Instant::now() + T1, pause: T1, provisional: false });
        self.send(&text);
    }

    /// Sends a text to somebody, outside of any call.
    pub(crate) fn write(&mut self, uri: &str, headers: &str, text: &str) {
        self.to = format!("<{uri}>");
        self.target = uri.to_owned();
        self.request_with("MESSAGE", headers, text);
    }

    /// Takes in what a response to the INVITE says of the dialog before there is a 2xx.
    pub(crate) fn enter(&mut self, early: &Message) {
        self.to = early.header("to").to_owned();
        self.target = early.contact().to_owned();
    }

    /// Sends a request in the call as it stands.
    pub(crate) fn request(&mut self, method: &str, sdp: &str) {
        self.request_with(method, "", sdp);
    }

    /// The same with more headers, whole lines; a Content-Type among them is the body's.
    pub(crate) fn request_with(&mut self, method: &str, headers: &str, body: &str) {
        self.cseq += 1;
        let branch = format!("z9hG4bK{}", unique());
        if method == "INVITE" {
            self.invite = Some((branch.clone(), self.cseq));
        }
        let usual = if method == "INVITE" { self.credentials.clone() } else { String::new() };
        let text = self.text(method, &branch, self.cseq, &(usual + headers), body);
        let again = Instant::now() + T1;
        self.pending = Some(Pending { text: text.clone(), again, pause: T1, provisional: false });
        self.send(&text);
    }

    /// Takes the INVITE back (§9.1): same branch, same number.
    pub(crate) fn cancel(&mut self) {
        let (branch, cseq) = self.invite.clone().unwrap();
        let text = self.text("CANCEL", &branch, cseq, "", "");
        self.pending = Some(Pending { text: text.clone(), again: Instant::now() + T1, pause: T1, provisional: false });
        self.send(&text);
    }

    fn text(&self, method: &str, branch: &str, cseq: u32, headers: &str, sdp: &str) -> String {
        let (target, from, to, call_id, local) = (&self.target, &self.from, &self.to, &self.call_id, self.address());
        let kind =
            if sdp.is_empty() || headers.contains("Content-Type") { "" } else { "Content-Type: application/sdp\r\n" };
        let has_own = method == "REGISTER" || headers.contains("Contact: ");
        let contact = if has_own { String::new() } else { format!("Contact: <sip:phone@{local}>\r\n") };
        format!(
            "{method} {target} SIP/2.0\r\n\
             Via: SIP/2.0/UDP {local};branch={branch};rport\r\n\
             Max-Forwards: 70\r\nFrom: {from}\r\nTo: {to}\r\nCall-ID: {call_id}\r\nCSeq: {cseq} {method}\r\n\
             {contact}{headers}{kind}Content-Length: {}\r\n\r\n{sdp}",
            sdp.len()
        )
    }

    /// Sends bytes as they are.
    pub(crate) fn send(&self, text: &str) {
        let times = if self.wire == Wire::Lossy { 2 } else { 1 };
        (0..times).for_each(|_| _ = self.socket.send_to(text.as_bytes(), self.daemon).unwrap());
    }

    /// Waits for a response of that status to the newest request; another final one is the end of the test.
    pub(crate) fn expect(&mut self, status: u16) -> Message {
        self.expect_within(status, SOON)
    }

    /// The same with another patience.
    pub(crate) fn expect_within(&mut self, status: u16, longest: Duration) -> Message {
        let me = self.address();
        let wanted = |message: &Message| message.status().is_some_and(|got| got == status || got >= 200);
        let message = self.wait(longest, wanted);
        let message = message.unwrap_or_else(|| panic!("{me}: no {status} within {longest:?}"));
        assert_eq!(message.status(), Some(status), "{me}: {message:#?}");
        message
    }

    /// Waits for the final response to the newest request, whatever it is.
    pub(crate) fn final_response(&mut self) -> Message {
        let message = self.wait(SOON, |message| message.status().is_some_and(|status| status >= 200));
        message.expect("a final response in time")
    }

    /// Waits for a request of the other side and leaves it unanswered.
    pub(crate) fn expect_request(&mut self, method: &str) -> Message {
        let me = self.address();
        let message = self.poll_request(SOON).unwrap_or_else(|| panic!("{me}: no {method} in time"));
        assert_eq!(message.method(), Some(method), "{message:#?}");
        message
    }

    /// A request of the other side, if one comes in that time.
    pub(crate) fn poll_request(&mut self, longest: Duration) -> Option<Message> {
        self.wait(longest, |message| message.method().is_some_and(|got| got != "ACK"))
    }

    /// Answers an INVITE that makes a dialog, whose tag of ours is `tag`.
    pub(crate) fn answer_invite(&mut self, invite: &Message, tag: &str, status: u16, sdp: &str) {
        self.answer_invite_with(invite, tag, status, "", sdp);
    }

    /// The same with these header lines.
    pub(crate) fn answer_invite_with(&mut self, invite: &Message, tag: &str, status: u16, headers: &str, sdp: &str) {
        let mut invite = invite.clone();
        invite.add_to(&format!(";tag={tag}"));
        if (200..300).contains(&status) {
            // From here on the call is as though we had made it, the other way round.
            self.from = invite.header("to").to_owned();
            self.to = invite.header("from").to_owned();
            self.target = invite.contact().to_owned();
            self.call_id = invite.header("call-id").to_owned();
        }
        self.answer_with(&invite, status, headers, sdp);
    }

    /// The ACK of the other side, if it comes in time.
    pub(crate) fn poll_ack(&mut self) -> Option<Message> {
        self.wait(SOON, |message| message.method() == Some("ACK"))
    }

    /// Whatever comes next within that time: a request, or a response to the newest one.
    pub(crate) fn poll(&mut self, longest: Duration) -> Option<Message> {
        self.wait(longest, |_| true)
    }

    /// Answers a request of the other side; so will its repetitions be.
    pub(crate) fn answer(&mut self, request: &Message, status: u16, sdp: &str) {
        self.answer_with(request, status, "", sdp);
    }

    /// The same with these header lines.
    pub(crate) fn answer_with(&mut self, request: &Message, status: u16, headers: &str, sdp: &str) {
        let mut text = format!("SIP/2.0 {status} As the test says\r\n");
        let copied = [("via", "Via"), ("from", "From"), ("to", "To"), ("call-id", "Call-ID"), ("cseq", "CSeq")];
        for (name, long) in copied.into_iter().chain([("record-route", "Record-Route")]) {
            request.all(name).for_each(|value| text += &format!("{long}: {value}\r\n"));
        }
        if !sdp.is_empty() {
            text += "Content-Type: application/sdp\r\n";
        }
        let contact = format!("Contact: <sip:phone@{}>\r\n", self.address());
        text += &format!("{contact}{headers}Content-Length: {}\r\n\r\n{sdp}", sdp.len());
        self.answers.insert(request.key(), text.clone());
        self.send(&text);
    }

    /// Waits to be hung up on, and says yes; the BYE.
    pub(crate) fn be_hung_up_on(&mut self) -> Message {
        let bye = self.expect_request("BYE");
        self.answer(&bye, 200, "");
        self.settle();
        bye
    }

    /// Hangs up and waits for the yes.
    pub(crate) fn hang_up(&mut self) {
        self.request("BYE", "");
        self.expect(200);
    }

    /// Attends to repetitions for a moment, so that the other side is not left without its answer.
    pub(crate) fn settle(&mut self) {
        let moment = if self.wire == Wire::Lossy { Duration::from_millis(1200) } else { Duration::ZERO };
        assert!(self.wait(moment, |_| true).is_none(), "nothing new comes after the end");
    }

    /// Whether nothing new comes for so long.
    pub(crate) fn hears_nothing(&mut self, moment: Duration) -> bool {
        self.wait(moment, |_| true).is_none()
    }

    /// The first new message that is wanted, repeating the pending request meanwhile as RFC 3261 §17.1 has it.
    fn wait(&mut self, longest: Duration, wanted: impl Fn(&Message) -> bool) -> Option<Message> {
        let deadline = Instant::now() + longest;
        loop {
            let now = Instant::now();
            if now >= deadline {
                return None;
            }
            self.repeat(now);
            let wake = self.pending.as_ref().map_or(deadline, |pending| pending.again.min(deadline));
            let pause = wake.saturating_duration_since(now).max(Duration::from_millis(1));
            if let Some(message) = self.receive(pause).and_then(|message| self.hear(message))
                && wanted(&message)
            {
                return Some(message);
            }
        }
    }

    fn repeat(&mut self, now: Instant) {
        let Some(pending) = &mut self.pending else { return };
        // §17.1.1.2: an INVITE is not repeated any more once something provisional has come.
        let rests = pending.provisional && pending.text.starts_with("INVITE");
        if now >= pending.again {
            pending.pause *= 2;
            pending.again = now + pending.pause;
            if !rests {
                let text = pending.text.clone();
                self.send(&text);
            }
        }
    }

    fn receive(&self, pause: Duration) -> Option<Message> {
        let mut buffer = [0; 65_535];
        self.socket.set_read_timeout(Some(pause)).unwrap();
        let (length, _) = self.socket.recv_from(&mut buffer).ok()?;
        let datagram = &buffer[..length];
        let message = Message::read(datagram);
        assert!(message.is_some(), "the daemon sent no SIP: {}", String::from_utf8_lossy(datagram));
        message
    }

    /// Loses what the wire loses and deals with repetitions; what is new goes on to the test.
    fn hear(&mut self, message: Message) -> Option<Message> {
        if self.wire == Wire::Lossy && self.lost_once.insert(message.key()) {
            return None;
        }
        match message.status() {
            Some(status) => self.hear_response(status, message),
            None => {
                let again = self.answers.get(&message.key()).cloned();
                again.iter().for_each(|text| self.send(text));
                match self.answers_bye.filter(|_| again.is_none() && message.method() == Some("BYE")) {
                    Some(status) => self.answer(&message, status, ""),
                    None => return again.is_none().then_some(message),
                }
                None
            }
        }
    }

    fn hear_response(&mut self, status: u16, message: Message) -> Option<Message> {
        *self.copies.entry(status).or_default() += 1;
        assert_eq!(message.header("call-id"), self.call_id);
        if status < 200 {
            let pending = self.pending.as_mut()?;
            pending.provisional = true;
            return Some(message);
        }
        let key = format!("{}|{}", message.header("cseq"), message.header("to"));
        let known = self.acks.get(&key).cloned();
        if let Some(ack) = known {
            self.send(&ack);
            return None;
        }
        if message.header("cseq").ends_with(" INVITE") {
            self.acknowledge(status, &message, key);
        }
        let to_this = self.pending.as_ref().is_some_and(|pending| is_answered_by(&pending.text, &message));
        self.pending.take_if(|_| to_this);
        // A CANCEL's 200 and the 487 that follows are both news.
        (to_this || message.header("cseq").ends_with(" INVITE")).then_some(message)
    }

    /// §17.1.1.3 for a refusal, §13.2.2.4 for a 2xx, which also confirms the dialog.
    fn acknowledge(&mut self, status: u16, message: &Message, key: String) {
        let Some((branch, cseq)) = self.invite.clone() else { return };
        let text = if status < 300 {
            self.to = message.header("to").to_owned();
            self.target = message.contact().to_owned();
            let answer = self.late_answer.clone().unwrap_or_default();
            self.text("ACK", &format!("z9hG4bK{}", unique()), cseq, "", &answer)
        } else {
            let early = std::mem::replace(&mut self.to, message.header("to").to_owned());
            let text = self.text("ACK", &branch, cseq, "", "");
            // A refused re-INVITE leaves the call as it was; a refused INVITE leaves none.
            self.to = early;
            text
        };
        if status >= 300 || self.acknowledges {
            self.acks.insert(key, text.clone());
            self.send(&text);
        }
    }
}

fn is_answered_by(request: &str, response: &Message) -> bool {
    let branch = response.branch();
    let method = response.header("cseq").rsplit(' ').next().unwrap_or_default();
    request.contains(&format!("branch={branch};")) && request.starts_with(method)
}
