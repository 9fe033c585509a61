//! A user agent with one call and one UDP socket: what a trunk's gateway and a softphone have in common (RFC 3261 §8, §13, §15, §17.1).
//! It sends a request again until it is answered, acknowledges, and answers what is asked of it; the story of the call reads
//! [`Agent::next`] and nothing happens between two readings.
//! Not here: when to call and when to hang up (`trunk`, `client`), and media (`audio`).

use super::dialog::{Dialog, Draft, branch, respond};
use super::ladder::{Ink, Ladder, Lane, Way};
use super::message::{Message, Start};
use super::{Failure, Wait};
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use tokio::net::UdpSocket;
use tokio::time::{Duration, Instant, sleep_until};

/// RFC 3261 §17.1.1.1: the estimate of the round trip, from which retransmission starts.
const T1: Duration = Duration::from_millis(500);
/// RFC 3261 §17.1.2.2: the longest interval between retransmissions of a request that is no INVITE.
const T2: Duration = Duration::from_secs(4);
/// How long an abandoned call is given to end properly.
const FAREWELL: Duration = Duration::from_millis(500);
/// Longest message that is read; Parkway's are below 2 kB.
const MESSAGE_BYTES: usize = 8192;

/// The user agent.
pub(super) struct Agent {
    lane: Lane,
    ladder: Ladder,
    socket: UdpSocket,
    buffer: Vec<u8>,
    dialog: Dialog,
    /// Header lines of the INVITE that its dialog's other requests repeat, ACK included (RFC 3261 §13.2.2.4, §22.1).
    credentials: String,
    phase: Phase,
    pending: Option<Pending>,
    /// Branch of the INVITE: its CANCEL and the ACK of a refusal share it.
    invite_branch: String,
    /// The ACK as it was sent, and where to: for each retransmission of the final response (RFC 3261 §13.2.2.4).
    ack: Option<(String, SocketAddr)>,
}

/// How far the call is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Idle,
    Calling,
    Answered,
    Over,
}

/// A request without a final response.
struct Pending {
    method: &'static str,
    branch: String,
    text: String,
    to: SocketAddr,
    interval: Duration,
    /// `None` once an INVITE has its provisional response (RFC 3261 §17.1.1.2, Proceeding).
    resend_at: Option<Instant>,
}

/// What the story of a call is told.
#[derive(Debug)]
pub(super) enum Heard {
    /// A response to our request, each once.
    Response(Response),
    /// The other end hung up; it has its 200 already.
    Bye,
}

/// A response.
#[derive(Debug)]
pub(super) struct Response {
    /// 100 to 699.
    pub(super) status: u16,
    /// Its phrase.
    pub(super) phrase: String,
    /// A session description, or nothing.
    pub(super) body: String,
    /// When it was read from the socket.
    pub(super) at: Instant,
}

impl Agent {
    /// A user agent on a port of its own, from `local` (a URI) to `target` (a URI).
    pub(super) async fn bind(lane: Lane, ladder: Ladder, local: &str, target: &str) -> Result<Agent, Failure> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(|e| Failure::io(lane, &e))?;
        let via = socket.local_addr().map_err(|e| Failure::io(lane, &e))?;
        Ok(Agent {
            lane,
            ladder,
            socket,
            buffer: vec![0; MESSAGE_BYTES],
            dialog: Dialog::new(local, target, via),
            credentials: String::new(),
            phase: Phase::Idle,
            pending: None,
            invite_branch: branch(),
            ack: None,
        })
    }

    /// What proves who calls: header lines for this call's requests.
    pub(super) fn with_credentials(mut self, lines: String) -> Agent {
        self.credentials = lines;
        self
    }

    /// Sends the INVITE with an offer and with header lines that only it has; the time is when it left.
    pub(super) async fn invite(&mut self, extra: &str, offer: &str) -> Result<Instant, Failure> {
        let branch = self.invite_branch.clone();
        let at = self.request("INVITE", branch, extra, offer).await?;
        self.phase = Phase::Calling;
        Ok(at)
    }

    /// Waits for a response of that kind; passes over provisional ones, takes any other final one for a failure.
    pub(super) async fn expect(&mut self, wanted: RangeInclusive<u16>, wait: &Wait) -> Result<Response, Failure> {
        loop {
            match self.next(wait).await? {
                Heard::Response(response) if wanted.contains(&response.status) => return Ok(response),
                Heard::Response(response) if response.status < 200 => {}
                Heard::Response(Response { status, phrase, .. }) => {
                    return Err(self.failure(format!("{status} {phrase} instead of {}", wait.what())));
                }
                Heard::Bye => return Err(self.failure(format!("BYE instead of {}", wait.what()))),
            }
        }
    }

    /// Hangs up and waits for the answer; the time is how long that took.
    pub(super) async fn bye(&mut self) -> Result<Duration, Failure> {
        let at = self.request("BYE", branch(), "", "").await?;
        self.phase = Phase::Over;
        let answer = self.expect(200..=299, &Wait::for_("200 OK to BYE", Duration::from_secs(5))).await?;
        Ok(answer.at - at)
    }

    /// Ends a call whose story broke off, so that the server is not left with half of it: CANCEL or BYE, whichever fits, best effort.
    pub(super) async fn abandon(&mut self) {
        let farewell = Wait::for_("the end", FAREWELL);
        match self.phase {
            Phase::Idle | Phase::Over => return,
            // RFC 3261 §9.1: no CANCEL before a provisional response.
            Phase::Calling if self.pending.as_ref().is_some_and(|pending| pending.resend_at.is_some()) => return,
            Phase::Calling => {
                // RFC 3261 §9.1: same Request-URI, To and branch as the INVITE. The INVITE stays pending for its 487.
                let branch = self.invite_branch.clone();
                let text = self.dialog.write(&Draft { method: "CANCEL", branch: &branch, extra: "", body: "" });
                if let Some(to) = self.dialog.next_hop() {
                    self.arrow(Instant::now(), Way::Sent, "CANCEL");
                    let _ = self.socket.send_to(text.as_bytes(), to).await;
                }
            }
            Phase::Answered => {
                let _ = self.request("BYE", branch(), "", "").await;
            }
        }
        while self.next(&farewell).await.is_ok() {}
    }

    /// The next thing that concerns the story; meanwhile sends again what is due and answers what needs no thought.
    pub(super) async fn next(&mut self, wait: &Wait) -> Result<Heard, Failure> {
        loop {
            let resend_at = self.pending.as_ref().and_then(|pending| pending.resend_at);
            tokio::select! {
                biased;
                received = self.socket.recv_from(&mut self.buffer) => {
                    let (length, from) = received.map_err(|e| Failure::io(self.lane, &e))?;
                    let message = self.buffer.get(..length).and_then(Message::read);
                    let Some(message) = message else { continue };
                    if let Some(heard) = self.handle(&message, from).await? {
                        return Ok(heard);
                    }
                }
                () = sleep_until(resend_at.unwrap_or(wait.until())), if resend_at.is_some() => self.resend().await?,
                () = sleep_until(wait.until()) => return Err(wait.failure(self.lane)),
            }
        }
    }

    async fn handle(&mut self, message: &Message, from: SocketAddr) -> Result<Option<Heard>, Failure> {
        let at = Instant::now();
        match &message.start {
            Start::Response(status, phrase) if self.dialog.sent(message) => {
                self.handle_response(message, *status, phrase, at).await
            }
            Start::Response(..) => Ok(None),
            Start::Request(method) => self.handle_request(message, method, from, at).await,
        }
    }

    async fn handle_response(
        &mut self,
        message: &Message,
        status: u16,
        phrase: &str,
        at: Instant,
    ) -> Result<Option<Heard>, Failure> {
        let method = message.cseq().map_or("", |(_, method)| method);
        let awaited = self
            .pending
            .as_ref()
            .is_some_and(|pending| message.branch() == Some(&pending.branch) && pending.method == method);
        if !awaited {
            // A final response that comes again has not seen our ACK (RFC 3261 §13.2.2.4, §17.1.1.2).
            if let Some((ack, to)) = self.ack.as_ref().filter(|_| method == "INVITE" && status >= 200) {
                self.socket.send_to(ack.as_bytes(), *to).await.map_err(|e| Failure::io(self.lane, &e))?;
            }
            return Ok(None);
        }
        self.arrow(at, Way::Heard, &format!("{status} {phrase}"));
        if status >= 200 {
            self.pending = None;
        } else if let Some(pending) = self.pending.as_mut().filter(|_| method == "INVITE") {
            pending.resend_at = None;
        }
        if method == "INVITE" && status >= 200 {
            self.acknowledge(message, status).await?;
        }
        Ok(Some(Heard::Response(Response { status, phrase: phrase.to_owned(), body: message.body.clone(), at })))
    }

    /// RFC 3261 §13.2.2.4: the ACK of a 2xx is a transaction of its own, to the new target; §17.1.1.3: that of a refusal is not.
    async fn acknowledge(&mut self, response: &Message, status: u16) -> Result<(), Failure> {
        let (branch, extra) = if status < 300 {
            self.dialog.confirm(response).map_err(|lack| self.failure(lack))?;
            self.phase = Phase::Answered;
            (branch(), self.credentials.as_str())
        } else {
            self.dialog.refused(response);
            self.phase = Phase::Over;
            (self.invite_branch.clone(), "")
        };
        let to = self.dialog.next_hop().ok_or_else(|| self.failure("the 2xx names no address in its Contact"))?;
        let text = self.dialog.write(&Draft { method: "ACK", branch: &branch, extra, body: "" });
        self.socket.send_to(text.as_bytes(), to).await.map_err(|e| Failure::io(self.lane, &e))?;
        self.arrow(Instant::now(), Way::Sent, "ACK");
        self.ack = Some((text, to));
        Ok(())
    }

    async fn handle_request(
        &mut self,
        message: &Message,
        method: &str,
        from: SocketAddr,
        at: Instant,
    ) -> Result<Option<Heard>, Failure> {
        let (status, heard) = match method {
            "ACK" => return Ok(None),
            "OPTIONS" => ("200 OK", None),
            _ if !self.dialog.owns(message) => ("481 Call/Transaction Does Not Exist", None),
            // A retransmitted BYE is answered again and told once.
            "BYE" if self.phase == Phase::Over => ("200 OK", None),
            "BYE" => ("200 OK", Some(Heard::Bye)),
            // RFC 3261 §14.2: a change that we cannot follow leaves the session as it is.
            "INVITE" => ("488 Not Acceptable Here", None),
            _ => ("501 Not Implemented", None),
        };
        if heard.is_some() {
            self.phase = Phase::Over;
        }
        self.arrow(at, Way::Heard, method);
        let answer = respond(message, status);
        self.socket.send_to(answer.as_bytes(), from).await.map_err(|e| Failure::io(self.lane, &e))?;
        self.arrow(Instant::now(), Way::Sent, status);
        Ok(heard)
    }

    async fn request(
        &mut self,
        method: &'static str,
        branch: String,
        extra: &str,
        body: &str,
    ) -> Result<Instant, Failure> {
        self.dialog.cseq += 1;
        let extra = format!("{extra}{}", self.credentials);
        let text = self.dialog.write(&Draft { method, branch: &branch, extra: &extra, body });
        let to = self.dialog.next_hop().ok_or_else(|| self.failure("the URI to call names no address"))?;
        let at = Instant::now();
        self.socket.send_to(text.as_bytes(), to).await.map_err(|e| Failure::io(self.lane, &e))?;
        self.arrow(at, Way::Sent, method);
        self.pending = Some(Pending { method, branch, text, to, interval: T1, resend_at: Some(at + T1) });
        Ok(at)
    }

    /// RFC 3261 §17.1.1.2, Timer A doubles without end; §17.1.2.2, Timer E doubles up to T2. The story's wait ends both.
    async fn resend(&mut self) -> Result<(), Failure> {
        let Some(pending) = self.pending.as_mut() else { return Ok(()) };
        pending.interval *= 2;
        if pending.method != "INVITE" {
            pending.interval = pending.interval.min(T2);
        }
        let now = Instant::now();
        pending.resend_at = Some(now + pending.interval);
        self.socket.send_to(pending.text.as_bytes(), pending.to).await.map_err(|e| Failure::io(self.lane, &e))?;
        let text = format!("{} (again)", pending.method);
        self.arrow(now, Way::Sent, &text);
        Ok(())
    }

    /// A failure of this agent's party.
    pub(super) fn failure(&self, what: impl Into<String>) -> Failure {
        Failure::new(self.lane, what)
    }

    fn arrow(&self, at: Instant, way: Way, text: &str) {
        self.ladder.arrow(at, self.lane, way, Ink::Signalling, text);
    }
}
