//! A user agent of the simulation, a trunk's caller or a client: RFC 3261's timers and rules, as far as its plan lets it keep them. It never
//! looks into the switch: what it knows came in a message.
//! Not here: when datagrams arrive (`network`), and what must hold (`law`).

mod telephone;
mod uac;
mod uas;

use super::plan::{Conduct, Deed, Identity, Manners, Prack, Session, What, When};
use super::text::{Seen, Verb, Writer, read};
use crate::time::{Duration, Instant};
use bytes::Bytes;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use telephone::Move;
pub(super) use telephone::Telephone;
use uac::{Asking, Invite};
use uas::Unacknowledged;

pub(super) const T1: Duration = Duration::from_millis(500);
/// A little less than T4.
const T4: Duration = Duration::from_millis(4_500);
pub(super) const T2: Duration = Duration::from_secs(4);
pub(super) const T1_64: Duration = Duration::from_secs(32);
/// Agents differ by their ports.
const PORTS: u16 = 10_000;
/// Ports of connections are from here on, a thousand for each agent's first, second and so on.
const CONNECTIONS: u16 = 50_000;

/// Audio is at a port from here on, or so much higher after a move.
const MOVE: u16 = 20_000;

/// One agent.
pub(super) struct Agent {
    pub(super) id: u32,
    /// Which call of the plan, and which of its parts: 0 is the caller.
    pub(super) call: usize,
    pub(super) part: usize,
    /// The node it talks to.
    pub(super) node: u8,
    pub(super) address: SocketAddr,
    /// Which connection it has, counted from 1; 0 for datagrams.
    pub(super) connection: u16,
    /// The connection ended.
    pub(super) is_cut_off: bool,
    pub(super) host: &'static str,
    pub(super) conduct: Conduct,
    pub(super) telephone: Option<Box<Telephone>>,
    /// What it is being told.
    heard: Bytes,
    /// How often it began a dialog; part of every Call-ID and tag.
    pub(super) attempt: u32,
    /// A client's Request-URI user and credentials.
    pub(super) called: String,
    cseq: u32,
    branches: u32,
    invite: Invite,
    /// A CANCEL is due as soon as it may be sent.
    cancels: bool,
    /// A copy of the INVITE went another way.
    has_forked: bool,
    /// The RSeq of the last ringing that it acknowledged.
    rseq: u32,
    /// How often it became another: part of its UUID.
    pub(super) turns: u32,
    remote_tag: Vec<u8>,
    target: Vec<u8>,
    asking: Vec<Asking>,
    /// ACKs of 2xx, for when those come again.
    acks: Vec<(u32, Bytes)>,
    /// Final responses, for when requests come again.
    said: Vec<(u32, Verb, Bytes)>,
    unacknowledged: Option<Unacknowledged>,
    /// What is still to be done by itself, and when.
    agenda: Vec<(Instant, Plans)>,
    pub(super) is_confirmed: bool,
    /// Nothing more is to be said in the dialog.
    pub(super) is_over: bool,
    pub(super) has_vanished: bool,
    version: u32,
    port: u16,
    description: Vec<u8>,
    last: Bytes,
    last_at: Instant,
    /// The relay's port and the first and the last payload type, as the switch's description says.
    pub(super) audio: Option<(u16, u8, u8)>,
}

/// Something on the agenda.
#[derive(Clone)]
enum Plans {
    Deed(Deed),
    /// A late ACK.
    Send(Bytes),
    /// A late answer to a re-INVITE.
    Answer {
        response: Bytes,
        cseq: u32,
    },
    /// What it does about the INVITE that it was rung by.
    Move(Move),
}

/// What an agent wants done by the world.
pub(super) enum Out {
    Send(Bytes),
    /// A client wants to call back: the world knows what it was told.
    CallBack,
    Talk(u8),
    Decline,
    Ring,
}

impl Agent {
    pub(super) fn new(id: u32, (call, part): (usize, usize), node: u8, conduct: Conduct) -> Agent {
        let (host, ip) = match (part, conduct.is_stranger) {
            (_, true) => ("198.51.100.66", Ipv4Addr::new(198, 51, 100, 66)),
            (0, false) if id.is_multiple_of(2) => ("192.0.2.10", Ipv4Addr::new(192, 0, 2, 10)),
            (0, false) => ("192.0.2.11", Ipv4Addr::new(192, 0, 2, 11)),
            (_, false) => ("198.51.100.10", Ipv4Addr::new(198, 51, 100, 10)),
        };
        let port = PORTS + u16::try_from(id).expect("few agents");
        Agent {
            id,
            call,
            part,
            node,
            address: SocketAddr::new(IpAddr::V4(ip), port),
            connection: 0,
            is_cut_off: false,
            host,
            conduct,
            telephone: None,
            heard: Bytes::new(),
            attempt: 0,
            called: String::new(),
            cseq: 0,
            branches: 0,
            invite: Invite::None,
            cancels: false,
            has_forked: false,
            rseq: 0,
            turns: 0,
            remote_tag: Vec::new(),
            target: Vec::new(),
            asking: Vec::new(),
            acks: Vec::new(),
            said: Vec::new(),
            unacknowledged: None,
            agenda: Vec::new(),
            is_confirmed: false,
            is_over: false,
            has_vanished: false,
            version: 0,
            port: MOVE + 2 * u16::try_from(id).expect("few agents"),
            description: Vec::new(),
            last: Bytes::new(),
            last_at: Instant::default(),
            audio: None,
        }
    }

    /// The agent behind an address.
    pub(super) fn at(address: SocketAddr) -> Option<usize> {
        match address.port().checked_sub(CONNECTIONS) {
            Some(port) => Some(usize::from(port % 1_000)),
            None => address.port().checked_sub(PORTS).map(usize::from),
        }
    }

    /// Opens a connection: the first, or another.
    pub(super) fn connect(&mut self) {
        self.connection += 1;
        self.is_cut_off = false;
        let port = CONNECTIONS + 1_000 * (self.connection - 1) + u16::try_from(self.id).expect("few agents");
        self.address.set_port(port);
    }

    /// A timer of a request or a refusal; over a connection nothing is said again.
    fn timer(&self, now: Instant, most: Duration) -> Timer {
        let mut timer = Timer::new(now, most);
        if self.connection > 0 {
            timer.stop_repeating();
        }
        timer
    }

    pub(super) fn is_caller(&self) -> bool {
        self.part == 0
    }

    /// Where it wants its audio.
    pub(super) fn media(&self) -> SocketAddr {
        SocketAddr::new(self.address.ip(), self.port)
    }

    /// The agent whose audio comes from a port.
    pub(super) fn of_media(port: u16) -> u32 {
        u32::from(port % MOVE) / 2
    }

    /// Wants its audio at another port from now on.
    fn move_media(&mut self) {
        self.port = if self.port < 2 * MOVE { self.port + MOVE } else { self.port - MOVE };
    }

    /// Puts the deeds of a moment on the agenda.
    pub(super) fn plan(&mut self, now: Instant, when: When) {
        for deed in &mut self.conduct.deeds {
            if let Some(due) = deed.take_if(|deed| deed.when == when) {
                self.agenda.push((now + Duration::from_millis(due.after_ms.into()), Plans::Deed(due)));
            }
        }
    }

    /// A datagram came.
    pub(super) fn receive(&mut self, now: Instant, bytes: &Bytes, out: &mut Vec<Out>) {
        if self.has_vanished {
            return;
        }
        // The law has complained already of what cannot be read.
        let Some(seen) = read(bytes) else { return };
        if self.telephone.is_some() {
            self.heard = bytes.clone();
            if self.telephone_hears(now, &seen, out) {
                return;
            }
        }
        if seen.is_request() {
            self.handle_request(now, &seen, out);
        } else if self.is_mine(&seen) {
            self.handle_response(now, &seen, out);
        }
    }

    /// Whether a message is about the present dialog.
    fn is_mine(&self, seen: &Seen<'_>) -> bool {
        let mut call_id = Writer::default();
        self.write_call_id(&mut call_id);
        call_id.bytes() == seen.call_id
    }

    /// When something is due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        if self.has_vanished {
            return None;
        }
        let agenda = self.agenda.iter().map(|(at, _)| *at);
        let asking = self.asking.iter().filter_map(|asking| asking.timer.due());
        let answers = self.unacknowledged.iter().filter_map(|answer| answer.timer.due());
        let rung = self.telephone.as_ref().and_then(|telephone| telephone.due());
        agenda.chain(asking).chain(answers).chain(self.invite.due()).chain(rung).min()
    }

    /// Does what is due.
    pub(super) fn handle_timeout(&mut self, now: Instant, out: &mut Vec<Out>) {
        while let Some(at) = self.agenda.iter().position(|(due, _)| *due <= now && !self.has_vanished) {
            match self.agenda.swap_remove(at).1 {
                Plans::Deed(deed) => self.act(now, deed.what, out),
                Plans::Send(bytes) => self.send(now, bytes, out),
                Plans::Answer { response, cseq } => self.answer_reinvite(now, cseq, response, out),
                Plans::Move(what) => self.make(now, what, out),
            }
        }
        if self.has_vanished {
            return;
        }
        self.repeat_invite(now, out);
        self.repeat_requests(now, out);
        self.repeat_answer(now, out);
        self.telephone.iter_mut().for_each(|telephone| telephone.repeat(now, out));
    }

    /// Does something by itself.
    fn act(&mut self, now: Instant, what: What, out: &mut Vec<Out>) {
        match what {
            What::Invite if self.is_caller() => self.invite(now, "", out),
            What::Invite => out.push(Out::CallBack),
            What::Cancel => self.cancel(now, out),
            What::Bye => self.hang_up(now, out),
            What::Reinvite(change) => self.change(now, change, out),
            What::Options => self.ask(now, Verb::Options, Vec::new(), out),
            What::Info => self.press(now, out),
            What::Message => self.ask(now, Verb::Other, Vec::new(), out),
            What::Update(way) => self.update(now, way, out),
            // Over a connection nothing comes twice, and nothing lingers for longer than T4 (RFC 3261 §17.1.2.2).
            What::Again if now.since(self.last_at) < T4 && self.connection == 0 => {
                out.push(Out::Send(self.last.clone()))
            }
            What::Again => {}
            What::Forked => self.fork(out),
            What::Vanish => self.has_vanished = true,
            What::Rude(rude) => self.be_rude(rude, out),
            What::Talk(packets) => out.push(Out::Talk(packets)),
            What::Decline => out.push(Out::Decline),
            What::Ring => out.push(Out::Ring),
        }
    }

    fn send(&mut self, now: Instant, bytes: Bytes, out: &mut Vec<Out>) {
        (self.last, self.last_at) = (bytes.clone(), now);
        out.push(Out::Send(bytes));
    }

    fn write_call_id(&self, out: &mut Writer) {
        if let Some(theirs) = self.telephone.as_ref().and_then(|telephone| telephone.call_id()) {
            out.s(theirs);
            return;
        }
        out.s("a").n(self.id.into()).s("-").n(self.attempt.into()).s("@sim");
    }

    fn write_tag(&self, out: &mut Writer) {
        out.s("t").n(self.id.into()).s("-").n(self.attempt.into());
    }

    /// `user@host:port` of its Contact and From.
    fn write_address(&self, out: &mut Writer) {
        out.s("sip:a").n(self.id.into()).s("@").s(self.host).s(":").n(self.address.port().into());
        if self.connection > 0 {
            out.s(";transport=tcp");
        }
    }

    /// `UDP host:port` of its Via.
    fn write_sent_by(&self, out: &mut Writer) {
        out.s(if self.connection > 0 { "TCP " } else { "UDP " }).s(self.host).s(":").n(self.address.port().into());
    }

    /// Its UUID (RFC 7989).
    pub(super) fn uuid(id: u32, turns: u32) -> String {
        format!("{:08x}{turns:08x}{:016x}", id + 1, 7)
    }

    /// What an INVITE or UPDATE says besides RFC 3261.
    fn write_manners(&self, out: &mut Writer) {
        let Manners { allows, session, prack, identity, has_uuid } = self.conduct.manners;
        if allows {
            out.s("Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, INFO\r\n");
        }
        out.s(match session {
            Session::None => "",
            Session::Short => "Supported: timer\r\nSession-Expires: 60\r\n",
            Session::Theirs => "Supported: timer\r\nSession-Expires: 90;refresher=uas\r\n",
            Session::Forgotten => "Supported: timer\r\nSession-Expires: 90;refresher=uac\r\n",
        });
        if prack != Prack::Unable {
            out.s("Require: 100rel\r\n");
        }
        out.s(match identity {
            Identity::Plain => "",
            Identity::Asserted => "p-asserted-identity : <sip:asserted@trunk.example>\r\n",
            Identity::Private => "Privacy: id\r\n",
        });
        if has_uuid {
            out.s("Session-ID: ").s(&Agent::uuid(self.id, self.turns)).s("\r\n");
        }
    }

    /// It is over; what was to be done in the dialog is not done any more.
    fn finish(&mut self, now: Instant) {
        if !std::mem::replace(&mut self.is_over, true) {
            self.unacknowledged = None;
            self.plan(now, When::Over);
        }
    }
}

/// A repetition that doubles, with an end.
#[derive(Clone, Copy)]
pub(super) struct Timer {
    repeat: Option<Instant>,
    pause: Duration,
    most: Duration,
    end: Instant,
}

/// What a timer says.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Tick {
    Nothing,
    Repeat,
    End,
}

impl Timer {
    pub(super) fn new(now: Instant, most: Duration) -> Timer {
        Timer { repeat: Some(now + T1), pause: T1, most, end: now + T1_64 }
    }

    pub(super) fn due(&self) -> Option<Instant> {
        Some(self.repeat.map_or(self.end, |repeat| repeat.min(self.end)))
    }

    pub(super) fn stop_repeating(&mut self) {
        self.repeat = None;
    }

    pub(super) fn tick(&mut self, now: Instant) -> Tick {
        if now >= self.end {
            return Tick::End;
        }
        match self.repeat {
            Some(at) if now >= at => {
                self.pause = (2 * self.pause).min(self.most);
                self.repeat = Some(now + self.pause);
                Tick::Repeat
            }
            Some(_) | None => Tick::Nothing,
        }
    }
}
