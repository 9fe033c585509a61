//! One worker thread: waits for packets and commands, gives each its turn, and looks after time.
//! Not here: what a packet's fate is (`media::forward`), and choosing the worker (`relay`).

use crate::id::{FlowId, Side};
use crate::limits;
use crate::media::{Closed, Command, Event, Line, Packet, Ports, Stream, Trust, WarningTerms};
use crate::relay::RelaySettings;
use crate::relay::beat::Beat;
use crate::relay::bridge::{BUFFER_BYTES, Bridge, Buffer, Port};
use crate::relay::clock::Clock;
use crate::relay::delay::Delays;
use crate::relay::inbox::{Message, Receiver};
use crate::relay::kept::{Kept, Locals};
use crate::relay::offload::Routes;
use crate::relay::poll::{Poll, Ready};
use crate::relay::socket::Opener;
use crate::telemetry::counts::Histogram;
use crate::time::{Duration, Instant};
use slab::Slab;
use std::collections::{BTreeSet, HashMap};
use std::io;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// What the outside may see of a worker.
pub(super) struct Gauges {
    pub(super) heartbeat: AtomicU64,
    pub(super) flows: AtomicUsize,
    /// Flows' worth of sockets that are kept.
    pub(super) kept: AtomicUsize,
    /// 1 while it lets packets gather.
    pub(super) gathering: AtomicUsize,
    /// Flows of which the kernel forwards something by itself.
    pub(super) offloaded: AtomicUsize,
    /// Packets that it has forwarded.
    pub(super) carried: AtomicU64,
    /// How long packets stayed, of all workers.
    pub(super) delays: Arc<Histogram>,
}

impl Gauges {
    pub(super) fn new(delays: Arc<Histogram>) -> Gauges {
        Gauges {
            heartbeat: AtomicU64::default(),
            flows: AtomicUsize::default(),
            kept: AtomicUsize::default(),
            gathering: AtomicUsize::default(),
            offloaded: AtomicUsize::default(),
            carried: AtomicU64::default(),
            delays,
        }
    }
}

/// A worker's whole state. It owns its flows and their sockets; nobody else touches them.
pub(super) struct Worker<F> {
    pub(super) poll: Poll,
    pub(super) inbox: Receiver,
    pub(super) opener: Opener,
    pub(super) clock: Clock,
    pub(super) gauges: Arc<Gauges>,
    pub(super) tell: Arc<F>,
    /// For how long packets gather, where there are many.
    coalesce: Duration,
    /// When somebody is told that a side is not heard.
    warnings: WarningTerms,
    state: State,
}

struct State {
    /// Those of open flows, one a line, and the kept ones.
    bridges: Slab<Bridge>,
    /// Open lines of flows.
    by_id: HashMap<(FlowId, Line), usize>,
    kept: Kept,
    /// `None` where the kernel forwards nothing by itself.
    routes: Option<Routes>,
    /// Flows opened since the last tick.
    opened: u32,
    /// Whether they were so many before it that sockets are kept.
    keeps: bool,
    buffer: Box<Buffer>,
    /// Whether commands were left for the next turn.
    commands_left: bool,
    next_tick: Instant,
    /// Which turn it is.
    turn: u64,
    /// When the last turn began.
    turned: Instant,
    /// Whether a socket gave packets in that one and the one before, and may have more.
    is_behind: bool,
    /// Packets taken since the last tick.
    packets: u32,
    /// Whether they were so many before it that they are let gather.
    gathers: bool,
    delays: Delays,
    /// What legs hear of us.
    beat: Beat,
    /// The flow that is being worked on: the culprit, should there be a panic.
    at_work: Option<usize>,
}

impl<F: Fn(Event)> Worker<F> {
    pub(super) fn new(
        poll: Poll,
        inbox: Receiver,
        opener: Opener,
        clock: Clock,
        gauges: Arc<Gauges>,
        tell: Arc<F>,
        settings: &RelaySettings,
    ) -> io::Result<Worker<F>> {
        let state = State {
            bridges: Slab::new(),
            by_id: HashMap::new(),
            kept: Kept::new(opener.kept_max, opener.ports.rng()),
            routes: opener.offload.as_ref().map(|_| Routes::open()).transpose()?,
            opened: 0,
            keeps: false,
            buffer: Box::new([0; BUFFER_BYTES]),
            commands_left: false,
            next_tick: Instant::default(),
            turn: 0,
            turned: Instant::default(),
            is_behind: false,
            packets: 0,
            gathers: false,
            delays: Delays::new(Arc::clone(&gauges.delays)),
            beat: Beat::new(Arc::clone(&settings.sounds)),
            at_work: None,
        };
        Ok(Worker {
            poll,
            inbox,
            opener,
            clock,
            gauges,
            tell,
            coalesce: settings.coalesce,
            warnings: settings.warnings,
            state,
        })
    }

    /// Works until told to stop. A panic costs the flow that it happened in, not the others.
    pub(super) fn run(mut self) {
        let mut ready = Ready::new();
        loop {
            match catch_unwind(AssertUnwindSafe(|| self.turn(&mut ready))) {
                Ok(Ok(ControlFlow::Continue(()))) => {}
                Ok(Ok(ControlFlow::Break(()))) => break,
                Ok(Err(error)) => {
                    // The heartbeat ends with the loop, so the watchdog sees it.
                    tracing::error!(%error, "a relay worker cannot wait for packets");
                    break;
                }
                Err(_) => self.drop_culprit(),
            }
        }
        for flow in self.state.by_id.keys().map(|(flow, _)| *flow).collect::<BTreeSet<_>>() {
            self.carry_out(self.clock.now(), Command::Close { flow });
        }
        self.state.bridges.clear();
        self.gauges.flows.store(0, Ordering::Relaxed);
        self.gauges.kept.store(0, Ordering::Relaxed);
    }

    /// Waits, then does what is due: commands first, so that a closed flow forwards nothing more; then a packet of each socket that has
    /// some, so that none has to wait for another's burst; then the clock's.
    fn turn(&mut self, ready: &mut Ready) -> io::Result<ControlFlow<()>> {
        self.gauges.heartbeat.fetch_add(1, Ordering::Relaxed);
        let patience = if self.state.commands_left { Duration::ZERO } else { limits::RELAY_TICK };
        let patience = self.state.beat.patience(patience, || self.clock.now());
        self.gather();
        self.poll.wait(ready, patience)?;
        let now = self.clock.now();
        self.state.turned = now;
        self.state.turn += 1;
        self.state.is_behind = false;
        if self.obey(now).is_break() {
            return Ok(ControlFlow::Break(()));
        }
        for (token, has_errors) in ready.tokens() {
            let port = Port::from(token);
            if has_errors && let Some(bridge) = self.state.bridges.get_mut(port.key) {
                bridge.take_errors(port);
            }
            if self.take(now, port).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        let State { beat, bridges, at_work, .. } = &mut self.state;
        beat.play(now, bridges, at_work);
        self.tick(now);
        Ok(ControlFlow::Continue(()))
    }

    /// Where packets are many, a wake-up for each costs more than the packets do: the next turn begins a little after the last one, with all
    /// that has come meanwhile. A burst of one flow does not wait for that, nor do commands that were left.
    fn gather(&self) {
        let next = self.state.turned + self.coalesce;
        if self.state.gathers && !self.state.is_behind && !self.state.commands_left {
            std::thread::sleep(next.since(self.clock.now()));
        }
    }

    fn obey(&mut self, now: Instant) -> ControlFlow<()> {
        self.inbox.begin();
        // Also should one of them panic: the others then wait for the next turn, not for the next tick.
        self.state.commands_left = true;
        for _ in 0..limits::RELAY_BATCH_MAX {
            match self.inbox.poll() {
                Some(Message::Command(command)) => self.carry_out(now, *command),
                Some(Message::Stop) => return ControlFlow::Break(()),
                None => {
                    self.state.commands_left = false;
                    return ControlFlow::Continue(());
                }
            }
        }
        ControlFlow::Continue(())
    }

    fn carry_out(&mut self, now: Instant, command: Command) {
        match command {
            Command::Open { flow, caller_local, client_local } => {
                let opened = self.open(now, (flow, Line::Audio), (caller_local, client_local));
                (self.tell)(match opened {
                    Ok((caller, client)) => Event::Opened { flow, caller, client },
                    Err(reason) => Event::Failed { flow, reason },
                });
            }
            Command::Add { flow, line, caller_local, client_local } => {
                let ports = self.add(now, (flow, line), (caller_local, client_local));
                (self.tell)(Event::Added { flow, line, ports });
            }
            Command::Set { flow, side, stream } => {
                let stream = self.trusted(flow, side, stream);
                let Some(&key) = self.state.by_id.get(&(flow, stream.line)) else { return };
                if let Some(bridge) = self.state.bridges.get_mut(key) {
                    bridge.set(now, side, stream);
                    self.state.beat.note(now, key, bridge);
                }
            }
            Command::Record { flow, file, sides } => {
                let inlet = self.opener.recorder.clone();
                if let Some((bridge, inlet)) = self.by_id((flow, Line::Audio)).zip(inlet) {
                    bridge.record(now, file, sides, &inlet);
                }
            }
            Command::Press { flow, side, dialled, duration } => {
                let Some(&key) = self.state.by_id.get(&(flow, Line::Audio)) else { return };
                if let Some(bridge) = self.state.bridges.get_mut(key) {
                    bridge.press(now, side, &dialled, duration);
                    self.state.beat.note(now, key, bridge);
                }
            }
            Command::Clear { flow, side } => {
                for line in Line::ALL {
                    if let Some(bridge) = self.by_id((flow, line)) {
                        bridge.clear(now, side);
                    }
                }
            }
            Command::Close { flow } => {
                let [video, fax] = [Line::Video, Line::Fax].map(|line| self.close(now, (flow, line)).map(Box::new));
                let report = Closed { video, fax, ..self.close(now, (flow, Line::Audio)).unwrap_or_default() };
                (self.tell)(Event::Closed { flow, report: Box::new(report) });
            }
        }
    }

    /// Many a fax machine says nothing until it hears the other one, so one of them would wait for ever for an address that has not spoken. One
    /// from whose host the same leg's audio came has spoken (RELIABILITY A20).
    fn trusted(&mut self, flow: FlowId, side: Side, stream: Stream) -> Stream {
        let (Line::Fax, Some(named)) = (stream.line, stream.remote_rtp) else { return stream };
        let heard = self.by_id((flow, Line::Audio)).and_then(|audio| audio.flow.heard_from(side));
        let is_its_own = heard.is_some_and(|heard| heard.ip().to_canonical() == named.ip().to_canonical());
        Stream { trust: if is_its_own { Trust::Address } else { stream.trust }, ..stream }
    }

    /// A further line of a flow that is open.
    fn add(&mut self, now: Instant, id: (FlowId, Line), locals: Locals) -> Option<Ports> {
        self.by_id((id.0, Line::Audio))?;
        match self.by_id(id) {
            Some(bridge) => Some(bridge.ports()),
            None => self.open(now, id, locals).ok(),
        }
    }

    fn open(&mut self, now: Instant, id: (FlowId, Line), locals: Locals) -> Result<Ports, &'static str> {
        if self.state.by_id.contains_key(&id) {
            return Err("the flow is open already");
        }
        let kept = self.state.kept.take(now, locals, limits::RELAY_KEPT_CHOICE_MIN);
        let key = match kept.map_or_else(|| self.open_sockets(id, locals), Ok) {
            Ok(key) => key,
            // Better ports that somebody may guess than no call.
            Err(reason) => self.state.kept.take(now, locals, 1).ok_or(reason)?,
        };
        let bridge = self.state.bridges.get_mut(key).ok_or("no such place")?;
        bridge.reopen(id);
        let ports = bridge.ports();
        self.state.by_id.insert(id, key);
        self.state.opened += 1;
        self.gauge();
        Ok(ports)
    }

    fn open_sockets(&mut self, id: (FlowId, Line), locals: Locals) -> Result<usize, &'static str> {
        let mut bridge = Bridge::open(id, locals, &self.opener)?;
        let slot = self.state.bridges.vacant_entry();
        bridge.watch(&self.poll, slot.key()).map_err(|_| "the kernel watches no more sockets")?;
        let key = slot.key();
        if key % limits::RELAY_TIMED_EVERY == 0 {
            bridge.time();
        }
        slot.insert(bridge);
        Ok(key)
    }

    /// Ends a line of a flow. Where flows come and go fast and ports are plenty, its sockets wait for the next one.
    fn close(&mut self, now: Instant, id: (FlowId, Line)) -> Option<Closed> {
        let key = self.state.by_id.remove(&id)?;
        let bridge = self.state.bridges.get_mut(key)?;
        let (report, locals) = (bridge.close(now), bridge.locals());
        self.gauges.carried.fetch_add(bridge.take_carried(), Ordering::Relaxed);
        if self.state.keeps && self.state.kept.has_room() && self.opener.ports.are_plenty([locals.0, locals.1]) {
            bridge.rest(now);
            self.state.kept.put(now, locals, key);
            self.gauge();
        } else {
            self.remove(key);
        }
        Some(report)
    }

    /// Forgets a place; its sockets and ports go when the caller drops it.
    fn remove(&mut self, key: usize) -> Option<Bridge> {
        let bridge = self.state.bridges.try_remove(key)?;
        let id = (bridge.id, bridge.line);
        if self.state.by_id.get(&id) == Some(&key) {
            self.state.by_id.remove(&id);
        }
        self.gauge();
        Some(bridge)
    }

    fn gauge(&self) {
        self.gauges.flows.store(self.state.by_id.len(), Ordering::Relaxed);
        self.gauges.kept.store(self.state.kept.count(), Ordering::Relaxed);
    }

    fn by_id(&mut self, id: (FlowId, Line)) -> Option<&mut Bridge> {
        self.state.bridges.get_mut(*self.state.by_id.get(&id)?)
    }

    /// Handles a packet that one socket received. What was said to us before it came counts for it, so the inbox is looked at once it is
    /// here.
    fn take(&mut self, now: Instant, port: Port) -> ControlFlow<()> {
        // An earlier one of this turn may have had the flow closed.
        let Some(bridge) = self.state.bridges.get_mut(port.key) else { return ControlFlow::Continue(()) };
        let Some((length, source)) = bridge.receive(port, &mut self.state.buffer) else {
            return ControlFlow::Continue(());
        };
        self.state.packets += 1;
        self.state.is_behind |= bridge.gives(port, self.state.turn);
        if self.inbox.has_news() {
            self.obey(now)?;
        }
        let Some(bridge) = self.state.bridges.get_mut(port.key) else { return ControlFlow::Continue(()) };
        let packet = Packet::new(self.state.buffer.as_mut_slice(), length);
        self.state.at_work = Some(port.key);
        bridge.pass(now, port, (source, packet), &*self.tell);
        if let Some(received) = bridge.take_forwarded() {
            self.state.delays.note(received);
        }
        self.state.at_work = None;
        ControlFlow::Continue(())
    }

    fn tick(&mut self, now: Instant) {
        if now < self.state.next_tick {
            return;
        }
        self.state.next_tick = now + limits::RELAY_TICK;
        self.offload(now);
        for (key, bridge) in &mut self.state.bridges {
            self.state.at_work = Some(key);
            bridge.handle_timeout(now, &*self.tell);
            if !self.warnings.is_off() {
                bridge.warn(now, &self.warnings, &*self.tell);
            }
            self.state.beat.note(now, key, bridge);
        }
        self.state.at_work = None;
        self.state.delays.flush();
        let packets = std::mem::take(&mut self.state.packets);
        self.state.gathers = packets >= limits::RELAY_GATHER_PACKETS_MIN && !self.coalesce.is_zero();
        self.gauges.gathering.store(usize::from(self.state.gathers), Ordering::Relaxed);
        self.state.keeps = std::mem::take(&mut self.state.opened) >= limits::RELAY_KEEP_OPENS_MIN;
        for _ in 0..limits::RELAY_KEPT_CLOSED_MAX {
            let Some(key) = self.state.kept.poll_unwanted(now) else { break };
            self.remove(key);
        }
    }

    /// Before silence is looked for: a leg of which the kernel hears is not silent.
    fn offload(&mut self, now: Instant) {
        let Some(routes) = &mut self.state.routes else { return };
        let (changed, are_plain, mut offloaded) = (routes.have_changed(), routes.are_plain(), 0);
        for (key, bridge) in &mut self.state.bridges {
            self.state.at_work = Some(key);
            if changed || !are_plain {
                bridge.recall(now);
            }
            if are_plain {
                bridge.offload(now, routes);
            }
            offloaded += usize::from(bridge.is_offloaded());
            self.gauges.carried.fetch_add(bridge.take_carried(), Ordering::Relaxed);
        }
        self.gauges.offloaded.store(offloaded, Ordering::Relaxed);
    }

    fn drop_culprit(&mut self) {
        let culprit = self.state.at_work.take().and_then(|key| {
            self.state.kept.forget(key);
            self.remove(key)
        });
        if let Some(bridge) = culprit {
            tracing::error!(flow = bridge.id.0, "a panic in the relay ended a flow");
            // With all of its lines: whoever hears of the failure closes nothing any more.
            for line in Line::ALL {
                if let Some(key) = self.state.by_id.get(&(bridge.id, line)).copied() {
                    self.remove(key);
                }
            }
            (self.tell)(Event::Failed { flow: bridge.id, reason: "fault in the relay" });
        }
    }
}
