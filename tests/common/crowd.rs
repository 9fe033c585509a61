//! Many callers and clients at once, on one thread and two sockets, with RFC 3261's timers: they repeat what is not answered and
//! answer again what is repeated, so a bad network changes nothing but the time that it takes.
//! Not here: sound, and what a call is for; each test looks at [`Seen`].

use super::{Incoming, Message, Subscriber, story};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

const T1: Duration = Duration::from_millis(500);
const T2: Duration = Duration::from_secs(4);
/// Timers B and F.
const GIVE_UP: Duration = Duration::from_secs(32);

/// How callers call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// How many.
    pub(crate) calls: u64,
    /// How many a second.
    pub(crate) rate: u32,
    /// One of so many gives up while it rings.
    pub(crate) cancel_every: u64,
    /// From the 200 to the BYE.
    pub(crate) hold: Duration,
}

/// What was seen of all of them.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct Seen {
    /// Callers who got 200 and hung up.
    pub(crate) answered: u64,
    /// Callers who got 487.
    pub(crate) cancelled: u64,
    /// Clients who got 200 and were hung up on.
    pub(crate) bridged: u64,
    /// Clients who came too late.
    pub(crate) late: u64,
    /// Requests that were sent again.
    pub(crate) repeated: u64,
    /// Whose INVITE got several final responses, or none, or whose BYE got none, or whom somebody else hung up on.
    pub(crate) wrong: u64,
}

/// The crowd.
pub(crate) struct Crowd {
    trunk: UdpSocket,
    clients: UdpSocket,
    server: SocketAddr,
    agents: BTreeMap<String, Agent>,
    next: u64,
    /// What was seen so far.
    pub(crate) seen: Seen,
    /// What was wrong, the first few.
    pub(crate) complaints: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Role {
    Caller { cancels: bool },
    Client,
}

/// One leg.
struct Agent {
    role: Role,
    uri: String,
    tag: String,
    /// `To` and Request-URI as the 2xx says.
    to: String,
    target: String,
    begun: Instant,
    /// Statuses of all final responses to the INVITE.
    finals: BTreeSet<u16>,
    ack: Option<String>,
    request: Option<Request>,
    /// When the BYE is due.
    hang_up: Option<Instant>,
    /// What has come to its end by then is over and answers only repetitions.
    over: Option<Instant>,
}

/// A request that waits for an answer.
struct Request {
    text: String,
    method: &'static str,
    next: Instant,
    interval: Duration,
    since: Instant,
    /// RFC 3261 §17.1.1.2: after a provisional response an INVITE is not sent again.
    quiet: bool,
}

impl Crowd {
    /// At that address, nobody calling yet.
    pub(crate) fn new(own: IpAddr, server: SocketAddr) -> Crowd {
        let [trunk, clients] = [(); 2].map(|()| {
            let socket = UdpSocket::bind((own, 0)).unwrap();
            socket.set_nonblocking(true).unwrap();
            socket
        });
        let (seen, complaints) = (Seen::default(), Vec::new());
        Crowd { trunk, clients, server, agents: BTreeMap::new(), next: 0, seen, complaints }
    }

    /// Makes all calls of a plan and lets them come to their end; `meanwhile` is done again and again, with how many are answered.
    pub(crate) fn run(&mut self, plan: Plan, subscriber: &mut Subscriber, mut meanwhile: impl FnMut(u64)) {
        let start = Instant::now();
        let pause = Duration::from_secs(1) / plan.rate;
        let end = start + pause * u32::try_from(plan.calls).unwrap() + plan.hold + GIVE_UP * 3;
        let mut begun = 0;
        while begun < plan.calls || self.agents.values().any(|agent| agent.over.is_none()) {
            let now = Instant::now();
            if begun < plan.calls && now >= start + pause * u32::try_from(begun).unwrap() {
                self.call(begun % plan.cancel_every == 1, now);
                begun += 1;
            }
            self.hear(&plan);
            while let Some(event) = subscriber.poll(Duration::from_millis(1)) {
                if event["type"] == "incoming" {
                    let incoming = Incoming::of(event);
                    self.call_back(&incoming, &subscriber.jwt, now);
                }
                self.hear(&plan);
            }
            self.let_time_pass(Instant::now());
            meanwhile(self.seen.answered);
            assert!(now < end, "calls do not end: {:?}", self.seen);
        }
    }

    fn call(&mut self, cancels: bool, now: Instant) {
        let uri = format!("sip:{}@{}", story::NUMBER, self.server);
        self.begin(Role::Caller { cancels }, uri, "", now);
    }

    fn call_back(&mut self, incoming: &Incoming, jwt: &str, now: Instant) {
        let credentials = story::credentials(&incoming.token, jwt);
        self.begin(Role::Client, incoming.sip.clone(), &credentials, now);
    }

    fn begin(&mut self, role: Role, uri: String, more: &str, now: Instant) {
        self.next += 1;
        let (id, tag) = (format!("crowd-{}-{}", std::process::id(), self.next), format!("t{}", self.next));
        let (to, target) = (format!("<{uri}>"), uri.clone());
        let mut agent = Agent {
            role,
            uri,
            tag,
            to,
            target,
            begun: now,
            finals: BTreeSet::new(),
            ack: None,
            request: None,
            hang_up: None,
            over: None,
        };
        let own = self.socket(role).local_addr().unwrap();
        let body = super::voice::sdp(own, "sendrecv", 1);
        let more = format!("{more}Contact: <sip:crowd@{own}>\r\nContent-Type: application/sdp\r\n");
        let invite = agent.write(&id, own, "INVITE", 1, "invite", &more, &body);
        agent.ask("INVITE", invite.clone(), now);
        self.send(role, &invite);
        self.agents.insert(id, agent);
    }

    fn socket(&self, role: Role) -> &UdpSocket {
        match role {
            Role::Caller { .. } => &self.trunk,
            Role::Client => &self.clients,
        }
    }

    fn send(&self, role: Role, text: &str) {
        let _ = self.socket(role).send_to(text.as_bytes(), self.server);
    }

    /// Takes what has come to both sockets.
    fn hear(&mut self, plan: &Plan) {
        let mut buffer = [0; 4096];
        for role in [Role::Caller { cancels: false }, Role::Client] {
            while let Ok((length, _)) = self.socket(role).recv_from(&mut buffer) {
                let message = Message::read(&buffer[..length]).expect("Parkway writes SIP");
                match message.status() {
                    Some(status) => self.hear_response(status, &message, plan),
                    None => self.hear_request(role, &message),
                }
            }
        }
    }

    fn hear_response(&mut self, status: u16, message: &Message, plan: &Plan) {
        let id = message.header("call-id").to_owned();
        let Some(mut agent) = self.agents.remove(&id) else { return };
        let now = Instant::now();
        let own = self.socket(agent.role).local_addr().unwrap();
        let method = message.header("cseq").split(' ').nth(1).unwrap_or_default().to_owned();
        let answers = agent.request.as_ref().is_some_and(|request| request.method == method);
        match (method.as_str(), status) {
            ("INVITE", ..200) => {
                agent.request.iter_mut().filter(|_| answers).for_each(|request| request.quiet = true);
                // RFC 3261 §9.1: a CANCEL waits for a provisional response.
                if status > 100 && agent.role == (Role::Caller { cancels: true }) && answers {
                    let cancel = agent.write(&id, own, "CANCEL", 1, "invite", "", "");
                    self.send(agent.role, &cancel);
                    agent.ask("CANCEL", cancel, now);
                }
            }
            ("INVITE", 200..) => {
                let first = agent.finals.is_empty();
                agent.finals.insert(status);
                if first {
                    agent.settle(&id, own, status, message);
                    if status < 300 && agent.role != Role::Client {
                        agent.hang_up = Some(now + plan.hold);
                    } else if status >= 300 {
                        self.count(&mut agent, now);
                    }
                    agent.request = None;
                }
                agent.ack.iter().for_each(|ack| self.send(agent.role, ack));
            }
            ("BYE", 200..) if answers => {
                agent.request = None;
                if status != 200 {
                    self.complain(format!("BYE was answered by {status}"));
                }
                self.count(&mut agent, now);
            }
            (_, 200..) if answers => agent.request = None,
            (_, _) => {}
        }
        self.agents.insert(id, agent);
    }

    fn hear_request(&mut self, role: Role, message: &Message) {
        let id = message.header("call-id").to_owned();
        let ok = answer(message);
        self.send(role, &ok);
        let Some(mut agent) = self.agents.remove(&id) else { return };
        if message.method() == Some("BYE") && agent.over.is_none() {
            match agent.role {
                Role::Client => self.count(&mut agent, Instant::now()),
                Role::Caller { .. } => self.complain(format!("the caller was hung up on: {message:?}")),
            }
        }
        self.agents.insert(id, agent);
    }

    /// A leg has come to its end.
    fn count(&mut self, agent: &mut Agent, now: Instant) {
        agent.over = Some(now);
        let seen = &mut self.seen;
        match (agent.role, agent.finals.first()) {
            (Role::Caller { .. }, Some(200)) => seen.answered += 1,
            (Role::Caller { cancels: true }, Some(487)) => seen.cancelled += 1,
            (Role::Client, Some(200)) => seen.bridged += 1,
            // The caller had given up.
            (Role::Client, Some(410 | 487)) => seen.late += 1,
            (role, status) => self.complain(format!("{role:?} got {status:?}")),
        }
    }

    fn complain(&mut self, what: String) {
        self.seen.wrong += 1;
        if self.complaints.len() < 10 {
            self.complaints.push(what);
        }
    }

    /// Repeats what is due, hangs up where it is time, and forgets who was over for as long as repetitions may come.
    fn let_time_pass(&mut self, now: Instant) {
        let mut sent = Vec::new();
        let mut silent = Vec::new();
        for (id, agent) in &mut self.agents {
            if agent.hang_up.is_some_and(|at| at <= now) {
                agent.hang_up = None;
                let own = match agent.role {
                    Role::Caller { .. } => self.trunk.local_addr().unwrap(),
                    Role::Client => self.clients.local_addr().unwrap(),
                };
                let bye = agent.write(id, own, "BYE", 2, "bye", "", "");
                agent.ask("BYE", bye.clone(), now);
                sent.push((agent.role, bye));
            }
            if let Some(request) = agent.request.as_mut().filter(|request| request.next <= now && !request.quiet) {
                request.interval *= 2;
                if request.method != "INVITE" {
                    request.interval = request.interval.min(T2);
                }
                request.next = now + request.interval;
                self.seen.repeated += 1;
                sent.push((agent.role, request.text.clone()));
            }
            let waits = agent.request.as_ref().map_or(agent.begun, |request| request.since);
            if agent.over.is_none() && now > waits + GIVE_UP * 2 {
                silent.push(format!("{:?}: no answer to {:?}", agent.role, agent.request.as_ref().map(|r| r.method)));
                agent.over = Some(now);
            }
        }
        sent.iter().for_each(|(role, text)| self.send(*role, text));
        silent.into_iter().for_each(|what| self.complain(what));
        let mut several = Vec::new();
        self.agents.retain(|id, agent| {
            let gone = agent.over.is_some_and(|at| now > at + GIVE_UP);
            several.extend(agent.several(id).filter(|_| gone));
            !gone
        });
        several.into_iter().for_each(|what| self.complain(what));
    }

    /// Waits until no repetition can come any more, answering those that do.
    pub(crate) fn finish(&mut self, longest: Duration) {
        let plan = Plan { calls: 0, rate: 1, cancel_every: 1, hold: Duration::ZERO };
        let end = Instant::now() + longest;
        while Instant::now() < end {
            self.hear(&plan);
            self.let_time_pass(Instant::now());
            std::thread::sleep(Duration::from_millis(2));
        }
        let several: Vec<String> = self.agents.iter().filter_map(|(id, agent)| agent.several(id)).collect();
        several.into_iter().for_each(|what| self.complain(what));
    }
}

impl Agent {
    /// What is wrong if its INVITE had several final responses; one may come any number of times.
    fn several(&self, id: &str) -> Option<String> {
        (self.finals.len() > 1).then(|| format!("{id} got {:?}", self.finals))
    }

    fn ask(&mut self, method: &'static str, text: String, now: Instant) {
        self.request = Some(Request { text, method, next: now + T1, interval: T1, since: now, quiet: false });
    }

    /// Takes the dialog's remote side from the first final response and writes the ACK (RFC 3261 §13.2.2.4, §17.1.1.3).
    fn settle(&mut self, id: &str, own: SocketAddr, status: u16, message: &Message) {
        self.to = message.header("to").to_owned();
        let ack = if status < 300 {
            self.target = message.contact().to_owned();
            self.write(id, own, "ACK", 1, "ack", "", "")
        } else {
            self.write(id, own, "ACK", 1, "invite", "", "")
        };
        self.ack = Some(ack);
    }

    #[expect(clippy::too_many_arguments, reason = "they are the parts of a request")]
    fn write(
        &self,
        id: &str,
        own: SocketAddr,
        method: &str,
        cseq: u32,
        branch: &str,
        more: &str,
        body: &str,
    ) -> String {
        let Agent { tag, to, target, uri, .. } = self;
        // RFC 3261 §9.1: a CANCEL has the To of the INVITE.
        let to = if method == "CANCEL" { &format!("<{uri}>") } else { to };
        format!(
            "{method} {target} SIP/2.0\r\nVia: SIP/2.0/UDP {own};rport;branch=z9hG4bK-{id}-{branch}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:crowd@{own}>;tag={tag}\r\nTo: {to}\r\nCall-ID: {id}\r\nCSeq: {cseq} {method}\r\n\
             {more}Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
    }
}

/// 200 to a request.
fn answer(request: &Message) -> String {
    let vias: String = request.all("via").map(|via| format!("Via: {via}\r\n")).collect();
    let copied = [("From", "from"), ("To", "to"), ("Call-ID", "call-id"), ("CSeq", "cseq")];
    let copied: String = copied.map(|(name, key)| format!("{name}: {}\r\n", request.header(key))).concat();
    format!("SIP/2.0 200 OK\r\n{vias}{copied}Content-Length: 0\r\n\r\n")
}
