//! One simulated world: virtual time, everybody who acts, and the queue of what happens next. It ends when nothing more happens, or at the
//! first violation.
//! Not here: what a switch wants done and what must hold (`effects`), and who does what (`plan`).

use super::agent::{Agent, Out, Telephone};
use super::chance::Hash;
use super::coverage::{Coverage, Race};
use super::law::{Calls, Dialled, Media, Told, Transactions, Verdict, hold};
use super::network::{BEGIN, Datagram, arrivals, in_order};
use super::office::{self, NAMES, Office};
use super::plan::{JwtKind, Plan, TokenKind, When};
use super::policy::{self, Engine, Shared};
use super::relay::Relay;
use super::sound::Packet;
use super::text::{self, Verb};
use crate::call::{ClientMessage, ClientMessageKind, Incoming};
use crate::id::{CallId, FlowId, QuestionId};
use crate::media;
use crate::policy::Answer;
use crate::rng::Rng;
use crate::sip::{Path, Transport};
use crate::switch::{FromClient, Input, Switch};
use crate::time::{Duration, Instant, Now, Wall};
use crate::token::Keys;
use bytes::Bytes;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::SocketAddr;
use std::sync::Arc;

/// By then everything must be quiet: the last call, its deadline, and every timer there is, twice.
const END: Instant = Instant(BEGIN.0 + 400_000_000);
/// More happenings than any plan has: something goes round for ever.
const HAPPENINGS_MAX: u64 = 3_000_000;
/// Something that happens.
pub(super) enum Happening {
    Begin {
        call: usize,
    },
    ToSwitch {
        agent: u32,
        /// The connection that it goes over; 0 for none.
        over: u16,
        bytes: Bytes,
    },
    ToAgent {
        agent: u32,
        over: u16,
        bytes: Bytes,
    },
    /// An agent's connection ends, or the agent opens another.
    Break {
        agent: usize,
    },
    Reconnect {
        agent: usize,
    },
    /// What a switch has sent found no connection.
    Lost {
        node: usize,
        peer: SocketAddr,
    },
    /// An agent's timer.
    Agent {
        agent: usize,
    },
    /// A telephone registers.
    Register {
        agent: usize,
    },
    /// A client hears of a call.
    Told {
        agent: usize,
        call: CallId,
    },
    Answer {
        node: usize,
        question: QuestionId,
        answer: Box<Answer>,
    },
    Relay {
        node: usize,
        event: Box<media::Event>,
    },
    /// A flow's timer.
    Flow {
        node: usize,
        flow: FlowId,
    },
    Client {
        node: usize,
        message: Box<ClientMessage>,
    },
    Packet {
        node: usize,
        packet: Box<Packet>,
    },
    Word(usize),
}

// The queue moves them about: small ones move quickly.
const _: () = assert!(size_of::<Happening>() <= 48);

struct Entry {
    at: Instant,
    order: u64,
    what: Happening,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Entry) -> bool {
        self.order == other.order
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Entry) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Entry) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

/// One switch and what is around it.
pub(super) struct Node {
    pub(super) switch: Switch,
    pub(super) keys: Arc<Keys>,
    pub(super) relay: Relay,
    pub(super) book: Shared,
    pub(super) transactions: Transactions,
    pub(super) dialled: Dialled,
    pub(super) told: Told,
    pub(super) calls: Calls,
    pub(super) media: Media,
    /// When its switch wants to be called.
    pub(super) due: Option<Instant>,
    /// How many steps its calls had taken when it was looked at last.
    pub(super) steps: u64,
    /// It was stopped, and is no more.
    pub(super) is_stopped: bool,
    pub(super) is_gone: bool,
}

/// The world.
pub(super) struct World<'o> {
    pub(super) office: &'o Office,
    pub(super) plan: Plan,
    pub(super) now: Instant,
    /// Milliseconds by which the wall clock was moved.
    pub(super) jumped: i64,
    queue: BinaryHeap<Reverse<Entry>>,
    order: u64,
    pub(super) nodes: Vec<Node>,
    pub(super) agents: Vec<Agent>,
    /// What each agent was told: the call, once.
    pub(super) told: Vec<Option<Incoming>>,
    /// How many datagrams each agent sent and got.
    numbers: Vec<[u32; 2]>,
    /// For which moment each agent is already in the queue.
    queued: Vec<Option<Instant>>,
    /// When what went last over its connection arrives, either way.
    pub(super) streams: Vec<[Instant; 2]>,
    /// Agents of each call: its caller, then its clients.
    pub(super) parts: Vec<Vec<usize>>,
    pub(super) rng: Rng,
    /// The agent whose datagram, or whose policy's answer, is being dealt with.
    pub(super) current: usize,
    /// The status of the response that is being dealt with.
    pub(super) hearing: u16,
    /// The UUIDs that agents sent, by CSeq, and those by which the switch knows them (RFC 7989).
    pub(super) asked_uuids: BTreeMap<(usize, u32), String>,
    pub(super) uuids: BTreeMap<usize, (u32, String)>,
    /// The dialogs of agents that were answered: Call-ID and the switch's tag.
    pub(super) dialogs: BTreeMap<usize, (Vec<u8>, Vec<u8>)>,
    /// The agents that questions are about.
    pub(super) asking: BTreeMap<(usize, QuestionId), usize>,
    pub(super) trace: Hash,
    pub(super) coverage: Coverage,
    pub(super) happenings: u64,
    /// Calls that had to be answered.
    pub(super) promised: u64,
    /// Lines for people, when somebody wants them.
    pub(super) ladder: Option<Vec<String>>,
    out: Vec<Out>,
}

impl<'o> World<'o> {
    pub(super) fn new(office: &'o Office, plan: Plan, ladder: bool) -> World<'o> {
        let nodes = (0..plan.terms.nodes).map(|node| new_node(office, &plan, node)).collect();
        let mut seed = [3; 32];
        seed[..8].copy_from_slice(&plan.seed.to_le_bytes());
        let mut world = World {
            office,
            now: BEGIN,
            jumped: 0,
            queue: BinaryHeap::new(),
            order: 0,
            nodes,
            agents: Vec::new(),
            told: Vec::new(),
            numbers: Vec::new(),
            queued: Vec::new(),
            streams: Vec::new(),
            parts: Vec::new(),
            rng: Rng::from_seed(seed),
            current: 0,
            hearing: 0,
            asked_uuids: BTreeMap::new(),
            uuids: BTreeMap::new(),
            dialogs: BTreeMap::new(),
            asking: BTreeMap::new(),
            trace: Hash::default(),
            coverage: Coverage::default(),
            happenings: 0,
            promised: 0,
            ladder: ladder.then(Vec::new),
            out: Vec::new(),
            plan,
        };
        world.populate();
        world
    }

    fn populate(&mut self) {
        for call in 0..self.plan.calls.len() {
            let planned = &self.plan.calls[call];
            let mut parts = vec![(planned.node, planned.caller.clone())];
            parts.extend(planned.clients.iter().map(|client| (client.node, client.conduct.clone())));
            let (called, at_ms) = (office::number(planned.route), planned.at_ms);
            let hands: Vec<_> = planned.clients.iter().map(|client| client.hand).collect();
            let mut ids = Vec::with_capacity(parts.len());
            for (part, (node, conduct)) in parts.into_iter().enumerate() {
                let id = u32::try_from(self.agents.len()).expect("few agents");
                let mut agent = Agent::new(id, (call, part), node, conduct);
                agent.called = called.into();
                let hand = part.checked_sub(1).and_then(|client| hands[client]);
                if let (Some(hand), Some(caller)) = (hand, ids.first()) {
                    let caller = u32::try_from(*caller).expect("few agents");
                    agent.telephone = Some(Box::new(Telephone::new(hand, caller)));
                    if hand.is_connected {
                        agent.connect();
                    }
                }
                ids.push(self.agents.len());
                self.agents.push(agent);
            }
            self.expect_telephones(&ids, at_ms);
            self.parts.push(ids);
            self.at(BEGIN + Duration::from_millis(at_ms.into()), Happening::Begin { call });
        }
        let count = self.agents.len();
        self.told = vec![None; count];
        self.numbers = vec![[0; 2]; count];
        self.queued = vec![None; count];
        self.streams = vec![[BEGIN; 2]; count];
        for word in 0..self.plan.words.len() {
            let at = BEGIN + Duration::from_millis(self.plan.words[word].0.into());
            self.at(at, Happening::Word(word));
        }
    }

    /// Puts something in the queue.
    pub(super) fn at(&mut self, at: Instant, what: Happening) {
        self.order += 1;
        self.queue.push(Reverse(Entry { at, order: self.order, what }));
    }

    pub(super) fn clock(&self) -> Now {
        let wall = Wall(START_MILLIS.saturating_add_signed(self.jumped)) + (self.now - BEGIN);
        Now { at: self.now, wall }
    }

    /// Runs to the end.
    pub(super) fn run(&mut self) -> Verdict {
        while let Some(at) = self.next_at() {
            hold(at <= END, || "L1: it never becomes quiet".into())?;
            self.happenings += 1;
            hold(self.happenings < HAPPENINGS_MAX, || "something goes round for ever".into())?;
            self.now = self.now.max(at);
            let timer = self.nodes.iter().position(|node| node.due.is_some_and(|due| due <= at));
            if let Some(node) = timer {
                self.trace.word(at.0);
                self.timeout(node)?;
            } else if let Some(Reverse(entry)) = self.queue.pop() {
                self.happen(entry.what)?;
            }
        }
        self.settled()?;
        self.keep_promises()
    }

    fn next_at(&self) -> Option<Instant> {
        let queued = self.queue.peek().map(|Reverse(entry)| entry.at);
        self.nodes.iter().filter_map(|node| node.due).chain(queued).min()
    }

    fn timeout(&mut self, node: usize) -> Verdict {
        let (now, before) = (self.clock(), self.nodes[node].due);
        self.nodes[node].switch.handle_timeout(now);
        self.drain(node, false, None)?;
        let after = self.nodes[node].due;
        hold(after.is_none_or(|due| due > self.now || before.is_some_and(|before| due > before)), || {
            "a timer goes off for ever".into()
        })
    }

    fn happen(&mut self, what: Happening) -> Verdict {
        match what {
            Happening::Begin { call } => self.begin(call),
            Happening::ToSwitch { agent, over, bytes } if self.is_up(agent, over) => {
                return self.deliver(agent as usize, &bytes);
            }
            Happening::ToAgent { agent, over, bytes } if self.is_up(agent, over) => {
                let agent = agent as usize;
                self.act(agent, |agent, now, out| agent.receive(now, &bytes, out));
                self.read_out(agent, &bytes);
            }
            Happening::ToSwitch { .. } | Happening::ToAgent { .. } => {}
            Happening::Break { agent } => return self.cut_off(agent),
            Happening::Reconnect { agent } => self.reconnect(agent),
            Happening::Lost { node, peer } => {
                return self.input(node, Input::Disconnected { path: tcp(node, peer) });
            }
            Happening::Agent { agent } => {
                self.queued[agent] = None;
                self.act(agent, Agent::handle_timeout);
            }
            Happening::Told { agent, call } => self.tell(agent, call),
            Happening::Register { agent } => self.register(agent),
            Happening::Answer { node, question, answer } => {
                self.current = self.asking.get(&(node, question)).copied().unwrap_or(0);
                return self.input(node, Input::Answer { question, answer: *answer });
            }
            Happening::Relay { node, event } => return self.hear_relay(node, *event),
            Happening::Flow { node, flow } => self.look_at_flow(node, flow),
            Happening::Client { node, message } => return self.input(node, Input::Client(FromClient::Call(*message))),
            Happening::Packet { node, packet } => return self.carry(node, *packet),
            Happening::Word(word) => return self.obey(word),
        }
        Ok(())
    }

    fn begin(&mut self, call: usize) {
        let caller = self.parts[call][0];
        if !self.agents[caller].conduct.is_absent {
            self.note(|| format!("call {call} begins: a{caller}"));
            self.act(caller, |agent, now, _| agent.plan(now, When::Begun));
        }
    }

    /// Lets an agent do something, and does for it what it wants done.
    pub(super) fn act(&mut self, agent: usize, deed: impl FnOnce(&mut Agent, Instant, &mut Vec<Out>)) {
        let mut out = std::mem::take(&mut self.out);
        deed(&mut self.agents[agent], self.now, &mut out);
        // What is done at once may want more to be done at once.
        let mut done = 0;
        while done < out.len() {
            match std::mem::replace(&mut out[done], Out::Ring) {
                Out::Send(bytes) => self.send(agent, true, bytes),
                Out::CallBack => self.call_back(agent, &mut out),
                Out::Talk(packets) => self.talk(agent, packets),
                Out::Decline => self.say(agent, ClientMessageKind::Declined),
                Out::Ring => self.say(agent, ClientMessageKind::Ringing),
            }
            done += 1;
        }
        out.clear();
        self.out = out;
        if let Some(due) = self.agents[agent].poll_timeout()
            && self.queued[agent].is_none_or(|queued| due < queued)
        {
            self.queued[agent] = Some(due);
            self.at(due, Happening::Agent { agent });
        }
    }

    /// Gives a datagram to the network, between an agent and its switch.
    pub(super) fn send(&mut self, agent: usize, to_switch: bool, bytes: Bytes) {
        let number = &mut self.numbers[agent][usize::from(to_switch)];
        *number += 1;
        let (number, id) = (*number, u32::try_from(agent).expect("few agents"));
        let datagram = Datagram {
            agent: id,
            to_switch,
            number,
            bytes: bytes.len(),
            is_old: number > 4 && bytes.starts_with(b"INVITE"),
        };
        let over = self.agents[agent].connection;
        if over > 0 && self.agents[agent].is_cut_off {
            return;
        }
        let arrivals = match over {
            0 => arrivals(&self.plan, self.now, datagram),
            // Nothing is lost, comes twice, or overtakes anything.
            _ => {
                let last = &mut self.streams[agent][usize::from(to_switch)];
                *last = in_order(&self.plan, self.now, datagram, *last);
                std::iter::once(*last).collect()
            }
        };
        for at in arrivals {
            let (agent, bytes) = (id, bytes.clone());
            let what = match to_switch {
                true => Happening::ToSwitch { agent, over, bytes },
                false => Happening::ToAgent { agent, over, bytes },
            };
            self.at(at, what);
        }
    }

    /// A datagram reaches the switch.
    fn deliver(&mut self, agent: usize, bytes: &Bytes) -> Verdict {
        let node = usize::from(self.agents[agent].node);
        if self.nodes[node].is_gone {
            return Ok(());
        }
        self.trace.word(self.now.0 ^ agent as u64);
        self.trace.bytes(bytes);
        let seen = text::read_loosely(bytes);
        self.note(|| format!("a{agent} -> {}", seen.map_or("noise".into(), |seen| describe(&seen))));
        let mut repeated = false;
        if let Some(seen) = &seen {
            let is_listed = self.agents[agent].is_caller() && !self.agents[agent].conduct.is_stranger;
            let over = self.agents[agent].connection;
            repeated = self.nodes[node].transactions.delivered(self.now, seen, (is_listed, over)).is_repeated;
            if self.agents[agent].is_caller() && matches!(seen.verb(), Verb::Cancel | Verb::Bye) {
                self.nodes[node].calls.caller_leaves(self.agents[agent].id);
            }
            self.coverage_of_delivered(node, seen, repeated);
        }
        if !self.is_vouched_for(agent) {
            let id = self.agents[agent].id;
            self.nodes[node].transactions.balance(id, bytes.len(), 0)?;
        }
        if let Some(seen) = &seen {
            self.hear_telephone(node, agent, seen);
        }
        self.current = agent;
        self.hearing = seen.as_ref().map_or(0, |seen| seen.status);
        if let Some(seen) = seen.as_ref().filter(|seen| seen.is_request()) {
            let uuid = String::from_utf8_lossy(seen.session_id).into_owned();
            self.asked_uuids.insert((agent, seen.cseq), uuid);
        }
        policy::ask_for(&self.nodes[node].book, self.agents[agent].id);
        // A telephone says that it rings, and the caller hears that.
        let rings = seen.as_ref().is_some_and(|seen| matches!(seen.status, 100..200));
        let called_back = self.call_of(agent).filter(|_| self.is_deep() && self.agents[agent].part > 0 && !rings);
        let parked = called_back.and_then(|call| Some((call, self.nodes[node].switch.parked(call)?)));
        let path = Path {
            transport: if self.agents[agent].connection > 0 { Transport::Tcp } else { Transport::Udp },
            local: office::address(self.agents[agent].node),
            peer: self.agents[agent].address,
        };
        let now = self.clock();
        self.nodes[node].switch.handle(now, Input::Datagram { path, bytes });
        self.drain(node, repeated, Some(40))?;
        self.nodes[node].dialled.heard_in_full(self.now)?;
        if let Some((call, before)) = parked
            && let Some(after) = self.nodes[node].switch.parked(call)
        {
            hold(before == after, || "I16: a callback that failed left its mark on the parked call".into())?;
        }
        Ok(())
    }

    /// Whether the costly rules are checked too.
    fn is_deep(&self) -> bool {
        self.plan.seed.is_multiple_of(16)
    }

    fn coverage_of_delivered(&mut self, node: usize, seen: &text::Seen<'_>, repeated: bool) {
        if repeated {
            self.coverage.race(Race::Repeated);
        }
        let sent = self.nodes[node].transactions.outcome(seen.call_id, seen.tag_of_from(), seen.cseq);
        if seen.verb() == Verb::Cancel
            && seen.is_request()
            && sent.is_some_and(|(status, _)| (200..300).contains(&status))
        {
            self.coverage.race(Race::CancelAfter200);
        }
        if seen.verb() == Verb::Bye && seen.is_request() && self.nodes[node].transactions.is_hung_up_on(seen) {
            self.coverage.race(Race::BothBye);
        }
    }

    /// Whether an agent's address is worth more than its datagrams: a trunk's, or a client's that brings what it must.
    pub(super) fn is_vouched_for(&self, agent: usize) -> bool {
        let agent = &self.agents[agent];
        !agent.conduct.is_stranger && (agent.is_caller() || self.is_credible(agent))
    }

    /// Whether a client brings what lets it be answered, if policy agrees.
    pub(super) fn is_credible(&self, agent: &Agent) -> bool {
        let call = &self.plan.calls[agent.call];
        let Some(client) = agent.part.checked_sub(1).and_then(|part| call.clients.get(part)) else { return false };
        let token = match client.token {
            TokenKind::Good => {
                matches!(client.jwt, JwtKind::Good | JwtKind::Ungranted | JwtKind::Rings) && self.is_reached(agent)
            }
            TokenKind::Dial => true,
            TokenKind::Stolen | TokenKind::OtherName | TokenKind::Expired | TokenKind::Foreign => false,
            TokenKind::OtherGeneration | TokenKind::Garbage | TokenKind::Twice => false,
            TokenKind::Changed | TokenKind::Missing => false,
        };
        token && client.node == call.node
    }

    /// Whether the called name reaches a client's.
    pub(super) fn is_reached(&self, agent: &Agent) -> bool {
        let call = &self.plan.calls[agent.call];
        let client = agent.part.checked_sub(1).and_then(|part| call.clients.get(part));
        let name = &NAMES[usize::from(office::called_name(call.route))];
        client.is_some_and(|client| office::reaches(name, &NAMES[usize::from(client.name)]))
    }

    /// The call that a client was told of.
    pub(super) fn call_of(&self, agent: usize) -> Option<CallId> {
        self.told[agent].as_ref().map(|incoming| incoming.call)
    }

    /// Hands something that is no datagram to a switch.
    pub(super) fn input(&mut self, node: usize, input: Input<'_>) -> Verdict {
        if self.nodes[node].is_gone {
            return Ok(());
        }
        let now = self.clock();
        self.nodes[node].switch.handle(now, input);
        self.drain(node, false, None)
    }

    /// A line for people.
    pub(super) fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(ladder) = &mut self.ladder {
            let since = (self.now - BEGIN).as_secs_f64();
            ladder.push(format!("{since:>10.4} s  {}", line()));
        }
    }
}

const START_MILLIS: u64 = office::START.0;

fn new_node(office: &Office, plan: &Plan, node: u8) -> Node {
    let (keys, book) = (Arc::new(office::keys(node)), Shared::default());
    let engine = Engine::new(plan, Arc::clone(&book));
    Node {
        switch: office.switch(plan, node, Arc::clone(&keys), engine),
        keys,
        relay: Relay::new(node),
        book,
        transactions: Transactions::default(),
        dialled: Dialled::default(),
        told: Told::default(),
        calls: Calls::default(),
        media: Media::default(),
        due: None,
        steps: 0,
        is_stopped: false,
        is_gone: false,
    }
}

/// The path of a connection.
pub(super) fn tcp(node: usize, peer: SocketAddr) -> Path {
    let local = office::address(u8::try_from(node).expect("few nodes"));
    Path { transport: Transport::Tcp, local, peer }
}

/// The first line of a message and its place in the dialog, for people.
pub(super) fn describe(seen: &text::Seen<'_>) -> String {
    let [start, to_tag] = [seen.start, seen.tag_of_to()].map(String::from_utf8_lossy);
    format!("{start} ({} {}, {} {to_tag})", seen.cseq, seen.verb().as_str(), String::from_utf8_lossy(seen.branch()))
}
