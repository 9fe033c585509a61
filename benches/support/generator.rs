//! A trunk and the clients behind it as one load: calls begin when they are due, whether or not others were answered. With Parkway the
//! clients are subscribed and call back with their tokens; with a proxy they are called. One thread, which never waits.
//! What is lost is a call that failed; only where that is asked for are INVITEs repeated that hear nothing.
//! Not here: servers.

use super::leg::{self, Body, Leg};
use super::subscription::{Invitation, Subscription};
use mio::net::UdpSocket;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::os::fd::AsRawFd as _;
use std::time::{Duration, Instant};

/// How long after the last call's end was due answers may come.
const PATIENCE: Duration = Duration::from_secs(3);
/// Of the generator's sockets, as large as the server's.
const BUFFER_BYTES: usize = 4 << 20;
/// RFC 3261 §17.1.1.1.
const T1: Duration = Duration::from_millis(500);
/// How often an INVITE is repeated at most.
const REPEATS_MAX: u32 = 3;
/// The clients' own calls are told from the trunk's by this.
const CLIENT_NUMBERS: u64 = 1 << 40;
const CALLER: Token = Token(1_000_000);
const CLIENT: Token = Token(1_000_001);

/// What becomes of each call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Deed {
    /// It is answered, and the caller hangs up.
    Bridge,
    /// The caller gives up while it rings.
    Cancel,
}

/// How calls are made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) deed: Deed,
    /// Calls a second.
    pub(crate) rate: u32,
    /// Calls of this time are not counted. After 64*T1 transactions end as fast as they begin.
    pub(crate) warm_up: Duration,
    /// Calls of this time are counted.
    pub(crate) measured: Duration,
    /// From the 200 to the BYE, or from the 180 to the CANCEL.
    pub(crate) hold: Duration,
    /// From the last call's begin to the second look at the server.
    pub(crate) settle: Duration,
    /// Whether callers repeat an INVITE that hears nothing (RFC 3261 §17.1.1.2).
    pub(crate) repeats: bool,
}

impl Plan {
    fn calls(&self, time: Duration) -> u64 {
        u64::try_from(time.as_micros()).unwrap_or(0) * u64::from(self.rate) / 1_000_000
    }
}

/// What was seen of a plan.
pub(crate) struct Outcome<L> {
    /// Calls that were counted.
    pub(crate) calls: u64,
    /// Of these, those that were answered and ended as they should, as their callers saw it.
    pub(crate) complete: u64,
    /// Calls, of all, that did not end as they should, on either side.
    pub(crate) failed: u64,
    /// Messages that came twice.
    pub(crate) repeated: u64,
    /// How late the generator was at most.
    pub(crate) late: Duration,
    /// INVITE → 180, in order.
    pub(crate) ringing: Vec<Duration>,
    /// INVITE → 200, in order.
    pub(crate) answered: Vec<Duration>,
    /// The server before and after the counted calls.
    pub(crate) looks: [L; 2],
}

/// Both ends of all calls.
pub(crate) struct Generator {
    poll: Poll,
    trunk: Trunk,
    clients: Clients,
    subscriptions: Vec<Subscription>,
    buffer: Vec<u8>,
}

impl Generator {
    /// Has its sockets, and nobody to call yet.
    pub(crate) fn new() -> Generator {
        let poll = Poll::new().expect("Linux has epoll");
        let (caller, client) = (Wire::bind(&poll, CALLER), Wire::bind(&poll, CLIENT));
        let trunk = Trunk {
            wire: caller,
            desks: 1,
            server: caller_of_nobody(),
            calls: HashMap::new(),
            due: VecDeque::new(),
            unheard: VecDeque::new(),
        };
        let clients = Clients { wire: client, server: caller_of_nobody(), calls: HashMap::new(), next: CLIENT_NUMBERS };
        Generator { poll, trunk, clients, subscriptions: Vec::new(), buffer: vec![0; 65_536] }
    }

    /// Where clients are called.
    pub(crate) fn client(&self) -> SocketAddr {
        self.clients.wire.own
    }

    /// The sockets' ports.
    pub(crate) fn ports(&self) -> [u16; 2] {
        [self.trunk.wire.own.port(), self.clients.wire.own.port()]
    }

    /// Whom to call, and how many desks listen there.
    pub(crate) fn attach(&mut self, server: SocketAddr, subscriptions: Vec<Subscription>) {
        (self.trunk.server, self.clients.server) = (server, server);
        self.trunk.desks = u64::try_from(subscriptions.len()).expect("they are few").max(1);
        for (at, subscription) in subscriptions.iter().enumerate() {
            let descriptor = subscription.descriptor().as_raw_fd();
            let mut source = SourceFd(&descriptor);
            let registered = self.poll.registry().register(&mut source, Token(at), Interest::READABLE);
            registered.expect("epoll takes a socket");
        }
        self.subscriptions = subscriptions;
    }

    /// Makes the calls of a plan; `look` is how the server is looked at.
    pub(crate) fn run<L>(&mut self, plan: Plan, mut look: impl FnMut() -> L) -> Outcome<L> {
        let (uncounted, counted) = (plan.calls(plan.warm_up), plan.calls(plan.measured));
        let mut tally = Tally { uncounted, ..Tally::default() };
        let pause = Duration::from_secs(1) / plan.rate;
        let start = Instant::now();
        let due = |call: u64| start + pause * u32::try_from(call).expect("fewer than four thousand million");
        let last = due(uncounted + counted);
        let (mut next, mut before, mut after) = (0, None, None);
        let mut events = Events::with_capacity(1024);
        loop {
            let now = Instant::now();
            while next < uncounted + counted && due(next) <= now {
                if next == uncounted {
                    before = Some(look());
                }
                tally.late = tally.late.max(now - due(next));
                self.trunk.invite(next);
                next += 1;
            }
            if after.is_none() && now >= last + plan.settle {
                after = Some(look());
            }
            self.trunk.end_what_is_due(plan.deed, now);
            if plan.repeats {
                self.trunk.repeat_what_is_due(now);
            }
            self.poll.poll(&mut events, Some(Duration::ZERO)).expect("epoll works");
            events.iter().for_each(|event| self.hear(event.token(), &plan, &mut tally));
            let patience = now > last + plan.settle + plan.hold + PATIENCE;
            if after.is_some() && (patience || (self.trunk.calls.is_empty() && self.clients.calls.is_empty())) {
                break;
            }
        }
        let looks = [before, after].map(|look| look.expect("the loop ends after both"));
        let left = self.trunk.calls.drain().count() + self.clients.calls.drain().count();
        self.trunk.due.clear();
        self.trunk.unheard.clear();
        tally.outcome(counted, u64::try_from(left).unwrap_or(u64::MAX), looks)
    }

    /// Takes all that a socket has.
    fn hear(&mut self, token: Token, plan: &Plan, tally: &mut Tally) {
        let Generator { trunk, clients, subscriptions, buffer, .. } = self;
        match token {
            CALLER => {
                while let Some(message) = trunk.wire.receive(buffer) {
                    trunk.hear(message, plan, tally);
                }
            }
            CLIENT => {
                while let Some(message) = clients.wire.receive(buffer) {
                    clients.hear(message, plan.deed, tally);
                }
            }
            Token(at) => {
                let Some(subscription) = subscriptions.get_mut(at) else { return };
                while let Some(invitation) = subscription.poll() {
                    if plan.deed == Deed::Bridge {
                        clients.call_back(&invitation, &subscription.jwt);
                    }
                }
            }
        }
    }
}

fn caller_of_nobody() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 9))
}

/// What is counted on the way.
#[derive(Default)]
struct Tally {
    /// Calls below this number are not counted.
    uncounted: u64,
    complete: u64,
    failed: u64,
    repeated: u64,
    late: Duration,
    ringing: Vec<Duration>,
    answered: Vec<Duration>,
}

impl Tally {
    fn outcome<L>(mut self, calls: u64, left: u64, looks: [L; 2]) -> Outcome<L> {
        self.ringing.sort_unstable();
        self.answered.sort_unstable();
        let Tally { complete, failed, repeated, late, ringing, answered, .. } = self;
        Outcome { calls, complete, failed: failed + left, repeated, late, ringing, answered, looks }
    }
}

/// A UDP socket of the generator's.
struct Wire {
    socket: UdpSocket,
    own: SocketAddr,
}

impl Wire {
    fn bind(poll: &Poll, token: Token) -> Wire {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("loopback has a free port");
        let reference = socket2::SockRef::from(&socket);
        // The kernel gives what its own limit allows; what does not fit is counted as an overflow.
        let _ = (reference.set_recv_buffer_size(BUFFER_BYTES), reference.set_send_buffer_size(BUFFER_BYTES));
        socket.set_nonblocking(true).expect("a socket can be told not to wait");
        let own = socket.local_addr().expect("it is bound");
        let mut socket = UdpSocket::from_std(socket);
        poll.registry().register(&mut socket, token, Interest::READABLE).expect("epoll takes a socket");
        Wire { socket, own }
    }

    fn receive<'b>(&self, buffer: &'b mut [u8]) -> Option<&'b str> {
        let length = self.socket.recv(buffer).ok()?;
        Some(std::str::from_utf8(&buffer[..length]).expect("all we sent was text"))
    }

    fn send(&self, to: SocketAddr, message: &str) {
        // What the kernel does not take is missed at the end.
        let _ = self.socket.send_to(message.as_bytes(), to);
    }
}

/// The callers' side.
struct Trunk {
    wire: Wire,
    desks: u64,
    server: SocketAddr,
    calls: HashMap<u64, Call>,
    /// When which call is to be ended.
    due: VecDeque<(Instant, u64)>,
    /// When which INVITE is to be repeated, and how often it was.
    unheard: VecDeque<(Instant, u64, u32)>,
}

/// One caller's call as far as it came.
struct Call {
    leg: Leg,
    sent: Instant,
    is_heard: bool,
    rang: bool,
    answered: bool,
}

impl Trunk {
    fn invite(&mut self, number: u64) {
        let (own, server, desk) = (self.wire.own, self.server, number % self.desks);
        let leg = Leg::new(number, own, &format!("sip:+4930{desk:02}12345@{server}"));
        let invite = leg.invite("");
        let call = Call { leg, sent: Instant::now(), is_heard: false, rang: false, answered: false };
        self.wire.send(server, &invite);
        self.unheard.push_back((call.sent + T1, number, 0));
        self.calls.insert(number, call);
    }

    /// Those that hear nothing at all go again, each time after twice as long.
    fn repeat_what_is_due(&mut self, now: Instant) {
        while self.unheard.front().is_some_and(|(at, ..)| *at <= now) {
            let Some((_, number, times)) = self.unheard.pop_front() else { return };
            let Some(call) = self.calls.get(&number).filter(|call| !call.is_heard) else { continue };
            self.wire.send(self.server, &call.leg.invite(""));
            if times + 1 < REPEATS_MAX {
                // Not in order, and soon enough.
                self.unheard.push_back((now + T1 * 2u32.pow(times + 1), number, times + 1));
            }
        }
    }

    fn end_what_is_due(&mut self, deed: Deed, now: Instant) {
        while self.due.front().is_some_and(|(at, _)| *at <= now) {
            let Some((_, number)) = self.due.pop_front() else { return };
            let Some(call) = self.calls.get(&number) else { continue };
            let request = match deed {
                Deed::Bridge => call.leg.bye(),
                Deed::Cancel => call.leg.cancel(),
            };
            self.wire.send(self.server, &request);
        }
    }

    fn hear(&mut self, message: &str, plan: &Plan, tally: &mut Tally) {
        let now = Instant::now();
        let Some((number, status)) = leg::number(message).zip(leg::any_status(message)) else {
            // The server hangs up where the caller should.
            tally.failed += 1;
            return self.wire.send(self.server, &leg::ok(message));
        };
        let Some(call) = self.calls.get_mut(&number) else {
            tally.repeated += u64::from(status != 100 && !leg::is_about(message, "CANCEL"));
            return;
        };
        call.is_heard = true;
        let (counted, took) = (number >= tally.uncounted, now - call.sent);
        if leg::is_about(message, "CANCEL") {
            return;
        }
        if leg::is_about(message, "BYE") {
            tally.failed += u64::from(status != 200);
            tally.complete += u64::from(status == 200 && counted);
            self.calls.remove(&number);
            return;
        }
        match (status, plan.deed) {
            (100, _) => {}
            (180, deed) => {
                if std::mem::replace(&mut call.rang, true) {
                    tally.repeated += 1;
                    return;
                }
                tally.ringing.extend(counted.then_some(took));
                self.due.extend((deed == Deed::Cancel).then(|| (now + plan.hold, number)));
            }
            (200, Deed::Bridge) => {
                if std::mem::replace(&mut call.answered, true) {
                    tally.repeated += 1;
                    return;
                }
                tally.answered.extend(counted.then_some(took));
                call.leg.hear(message);
                self.wire.send(self.server, &call.leg.acknowledge());
                self.due.push_back((now + plan.hold, number));
            }
            (status, deed) => {
                tally.failed += u64::from((status, deed) != (487, Deed::Cancel));
                call.leg.hear(message);
                self.wire.send(self.server, &call.leg.acknowledge_refusal());
                self.calls.remove(&number);
            }
        }
    }
}

/// The clients' side.
struct Clients {
    wire: Wire,
    server: SocketAddr,
    calls: HashMap<u64, Answer>,
    next: u64,
}

/// One client's call.
enum Answer {
    /// It calls back.
    Calling(Leg),
    /// It has called back, and the 200 came.
    Bridged,
    /// It was called by this INVITE.
    Called(String),
}

impl Clients {
    fn call_back(&mut self, invitation: &Invitation, jwt: &str) {
        let leg = Leg::new(self.next, self.wire.own, &invitation.uri);
        let Invitation { token, .. } = invitation;
        let invite = leg.invite(&format!("Authorization: Bearer {jwt}\r\nX-Bridge-Token: {token}\r\n"));
        self.wire.send(self.server, &invite);
        self.calls.insert(self.next, Answer::Calling(leg));
        self.next += 1;
    }

    fn hear(&mut self, message: &str, deed: Deed, tally: &mut Tally) {
        let Some(number) = leg::number(message) else { return };
        match leg::any_status(message) {
            Some(status) => self.hear_response(number, status, message, tally),
            None => self.hear_request(number, message, deed, tally),
        }
    }

    fn hear_response(&mut self, number: u64, status: u16, message: &str, tally: &mut Tally) {
        let known = self.calls.get_mut(&number);
        match (status, known) {
            (..200, _) => {}
            (200, Some(answer)) => match std::mem::replace(answer, Answer::Bridged) {
                Answer::Calling(mut leg) => {
                    leg.hear(message);
                    self.wire.send(self.server, &leg.acknowledge());
                }
                Answer::Bridged | Answer::Called(_) => tally.repeated += 1,
            },
            (_, Some(Answer::Calling(leg))) => {
                leg.hear(message);
                self.wire.send(self.server, &leg.acknowledge_refusal());
                self.calls.remove(&number);
                tally.failed += 1;
            }
            (_, Some(Answer::Bridged | Answer::Called(_)) | None) => tally.repeated += 1,
        }
    }

    fn hear_request(&mut self, number: u64, message: &str, deed: Deed, tally: &mut Tally) {
        let own = self.wire.own;
        if message.starts_with("INVITE ") {
            self.wire.send(self.server, &leg::respond_with_tag(message, "180 Ringing", own, Body::None));
            if deed == Deed::Bridge {
                self.wire.send(self.server, &leg::respond_with_tag(message, "200 OK", own, Body::Answer));
            }
            let before = self.calls.insert(number, Answer::Called(message.into()));
            tally.repeated += u64::from(before.is_some());
        } else if message.starts_with("BYE ") || message.starts_with("CANCEL ") {
            self.wire.send(self.server, &leg::ok(message));
            match self.calls.remove(&number) {
                Some(Answer::Called(invite)) if message.starts_with("CANCEL ") => {
                    self.wire.send(self.server, &leg::respond_with_tag(&invite, "487 Gone", own, Body::None));
                }
                Some(Answer::Calling(_) | Answer::Bridged | Answer::Called(_)) => {}
                None => tally.repeated += 1,
            }
        }
    }
}
