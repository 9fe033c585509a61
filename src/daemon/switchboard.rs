//! The switch thread: it alone has the switch and the SIP sockets. What happened goes in, what is to be done comes out of one match.
//! No queue lies between a datagram and its call; what comes from other threads comes through bounded queues, one for each kind of
//! sender, so that no relay can crowd out an operator.

use super::outbound::Locator;
use super::status::Status;
use crate::call::{ClientMessage, ClientMessageKind, News, Notice};
use crate::event::Authority;
use crate::inquire::Inquirer;
use crate::limits;
use crate::media;
use crate::net::{Clock, Happened, Sockets, StreamEvent, Streams};
use crate::notify::Publisher;
use crate::push::Bell;
use crate::relay::Relay;
use crate::sip::{Path, Transmit, Transport};
use crate::switch::{Effect, FromClient, Input, Switch};
use crate::telemetry::Records;
use crate::time::{Duration, Now};
use std::sync::Arc;
use tokio::sync::mpsc;

/// What the operator tells the switch thread.
pub(super) enum Word {
    /// No new calls; end when there are none, at the latest after this time.
    Drain(Duration),
    /// End all calls now.
    Stop,
    /// The file of records was moved away: open it anew.
    ReopenRecords,
    /// Another policy and other keys from now on.
    Authority(Authority),
}

/// The switch thread's belongings.
pub(super) struct Switchboard {
    pub(super) switch: Switch,
    pub(super) sockets: Sockets,
    pub(super) streams: Streams,
    pub(super) locator: Locator,
    pub(super) inquirer: Inquirer,
    pub(super) relay: Arc<Relay>,
    pub(super) publisher: Publisher,
    /// Where sleeping clients are woken, if any can be.
    pub(super) bell: Option<Bell>,
    pub(super) ends: Ends,
    pub(super) records: Records,
    pub(super) words: mpsc::Receiver<Word>,
    pub(super) events: mpsc::Receiver<media::Event>,
    pub(super) clients: mpsc::Receiver<FromClient>,
    pub(super) clock: Clock,
    pub(super) status: Arc<Status>,
    pub(super) closing: Closing,
    pub(super) backlog: Backlog,
}

/// Whether messages come faster than they are worked off: then no queue is found empty for long. A thread that was kept from working for a while
/// finds one too, but works it off before that many. It is trunks who bring work: a flood of strangers, whose messages cost little and get none,
/// must not have their calls refused.
#[derive(Default)]
pub(super) struct Backlog {
    /// Messages of connections since their queue was found empty.
    streamed: usize,
    /// Three for each message of a trunk that waited, one less for each of anybody else: of a call about half are its trunk's.
    pressing: usize,
    /// What the switch was told last.
    stands: bool,
    /// Calls that were refused for it, as the log was told last.
    refused: u64,
}

impl Backlog {
    /// A message that came behind so many, of a trunk or of anybody else.
    fn count(&mut self, in_a_row: usize, is_trunks: impl FnOnce() -> bool) {
        if in_a_row > limits::SIP_BATCH_MAX {
            let pressing = if is_trunks() { self.pressing + 3 } else { self.pressing.saturating_sub(1) };
            // What was once too much is forgotten, even if strangers keep the queue from ever being empty.
            self.pressing = pressing.min(2 * limits::SIP_BACKLOG_MAX);
        }
    }

    /// What the switch is to be told, if that is something else than before.
    fn news(&mut self, datagrams: usize) -> Option<bool> {
        if datagrams.max(self.streamed) < limits::SIP_BATCH_MAX {
            self.pressing = 0;
        }
        let stands = self.pressing >= limits::SIP_BACKLOG_MAX;
        (std::mem::replace(&mut self.stands, stands) != stands).then_some(stands)
    }
}

/// Calls that wait no more, of which the clients are not told yet. To wake the tasks that tell them costs more than what they do, so the
/// end of one call goes with the beginning of the next: on a busy switch that comes at once.
#[derive(Default)]
pub(super) struct Ends {
    held: Vec<Notice>,
    /// When they go at the latest.
    due: Option<tokio::time::Instant>,
}

/// How far the end is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Closing {
    /// Not in sight.
    Open,
    /// Calls may run out until then.
    Draining(tokio::time::Instant),
    /// Calls are being ended, and registrars have been told; at that time whatever is left is left.
    Stopping(tokio::time::Instant),
    /// The same, and no registrar is waited for.
    Hurrying(tokio::time::Instant),
}

impl Switchboard {
    /// Runs until it was drained or stopped.
    pub(super) async fn run(mut self) {
        let mut second = tokio::time::interval(Duration::from_secs(1));
        loop {
            self.carry_out();
            self.end_drain();
            if self.is_done() {
                break;
            }
            let wake = self.wake_at();
            // Whoever is ready has the same chance: under a flood of datagrams timers, the relay and the watchdog get their turns too.
            tokio::select! {
                socket = self.sockets.readable() => self.read(socket),
                Some(event) = self.streams.next() => self.attend_connections(event),
                Some(event) = self.events.recv() => self.attend_relay(event),
                Some(word) = self.words.recv() => self.hear(word),
                Some((at, found)) = self.locator.next() => self.input(Input::Located { at, found }),
                Some((question, answer)) = self.inquirer.next() => self.input(Input::Answer { question, answer }),
                Some(message) = self.clients.recv() => self.hear_client(message),
                () = tokio::time::sleep_until(wake) => self.handle_timeout(),
                _ = second.tick() => self.show(),
            }
        }
        // No call is left without its record, whoever still owes us a word.
        self.input(Input::Abandon);
        self.carry_out();
        self.tell_ends();
        self.show();
    }

    fn show(&mut self) {
        let refused = self.switch.stats().refused.0.get("overload").copied().unwrap_or_default();
        let before = std::mem::replace(&mut self.backlog.refused, refused);
        if refused > before {
            tracing::warn!(
                calls = refused - before,
                "messages come faster than they are worked off: new calls get 503"
            );
        }
        self.status.show(&self.switch, &self.streams, self.clock.now());
    }

    /// One batch of datagrams, under one reading of the clock.
    fn read(&mut self, socket: usize) {
        let now = self.clock.now();
        for _ in 0..limits::SIP_BATCH_MAX {
            let behind = self.sockets.backlog();
            let Some(received) = self.sockets.receive(socket) else { break };
            let path = Path { transport: Transport::Udp, local: received.local, peer: received.peer };
            self.backlog.count(behind, || self.switch.is_trunks(path));
            self.switch.handle(now, Input::Datagram { path, bytes: received.bytes });
            self.carry_out();
        }
        self.look_behind();
    }

    /// Tells the switch when messages begin to wait, and when they do no longer.
    fn look_behind(&mut self) {
        if let Some(stands) = self.backlog.news(self.sockets.backlog()) {
            self.input(Input::Behind(stands));
        }
    }

    /// One batch of what came over connections.
    fn attend_connections(&mut self, first: StreamEvent) {
        let now = self.clock.now();
        self.attend_connection(now, first);
        for _ in 1..limits::SIP_BATCH_MAX {
            self.carry_out();
            self.backlog.streamed += 1;
            let Some(event) = self.streams.try_next() else {
                self.backlog.streamed = 0;
                break;
            };
            self.attend_connection(now, event);
        }
        self.look_behind();
    }

    fn attend_connection(&mut self, now: Now, event: StreamEvent) {
        match self.streams.handle(event) {
            Happened::Connected { path, names } => self.switch.handle(now, Input::Connected { path, names }),
            Happened::Message { path, bytes } => {
                self.backlog.count(self.backlog.streamed, || self.switch.is_trunks(path));
                self.switch.handle(now, Input::Datagram { path, bytes: &bytes });
            }
            Happened::Disconnected(paths) => self.disconnected(now, paths),
            Happened::Nothing => {}
        }
    }

    fn disconnected(&mut self, now: Now, paths: Vec<Path>) {
        for path in paths {
            self.switch.handle(now, Input::Disconnected { path });
        }
    }

    /// One batch of the relay's events: as many as of datagrams, so that neither queue grows behind the other.
    fn attend_relay(&mut self, first: media::Event) {
        let now = self.clock.now();
        self.switch.handle(now, Input::Media(first));
        for _ in 1..limits::SIP_BATCH_MAX {
            self.carry_out();
            let Ok(event) = self.events.try_recv() else { return };
            self.switch.handle(now, Input::Media(event));
        }
    }

    fn hear(&mut self, word: Word) {
        match word {
            Word::Drain(longest) => {
                self.input(Input::Drain);
                self.status.drain();
                if self.closing == Closing::Open {
                    self.closing = Closing::Draining(tokio::time::Instant::now() + longest);
                }
            }
            Word::Stop => {
                self.stop();
                if let Closing::Stopping(until) = self.closing {
                    self.closing = Closing::Hurrying(until);
                }
            }
            Word::ReopenRecords => self.records.reopen(),
            Word::Authority(authority) => self.input(Input::Authority(authority)),
        }
    }

    fn hear_client(&mut self, word: FromClient) {
        if let (Some(bell), FromClient::Call(ClientMessage { call, kind, .. })) = (&self.bell, &word)
            && *kind == ClientMessageKind::Ringing
        {
            bell.rings(*call);
        }
        self.input(Input::Client(word));
    }

    fn stop(&mut self) {
        self.input(Input::Stop);
        self.status.drain();
        if !matches!(self.closing, Closing::Stopping(_) | Closing::Hurrying(_)) {
            self.closing = Closing::Stopping(tokio::time::Instant::now() + limits::STOP_MAX);
        }
    }

    fn input(&mut self, input: Input<'_>) {
        self.switch.handle(self.clock.now(), input);
    }

    fn handle_timeout(&mut self) {
        let now = self.clock.now();
        self.switch.handle_timeout(now);
        if self.ends.due.is_some_and(|due| tokio::time::Instant::now() >= due) {
            self.tell_ends();
        }
        match self.closing {
            Closing::Draining(until) if tokio::time::Instant::now() >= until => self.stop(),
            Closing::Open | Closing::Draining(_) | Closing::Stopping(_) | Closing::Hurrying(_) => {}
        }
    }

    fn wake_at(&self) -> tokio::time::Instant {
        let idle = tokio::time::Instant::now() + Duration::from_secs(3600);
        let due = self.switch.poll_timeout().map_or(idle, |at| self.clock.deadline(at));
        let due = self.ends.due.map_or(due, |ends| ends.min(due));
        match self.closing {
            Closing::Open => due,
            Closing::Draining(until) | Closing::Stopping(until) | Closing::Hurrying(until) => due.min(until),
        }
    }

    /// All calls have run out before the drain's deadline: what is left is to see that their peers know.
    fn end_drain(&mut self) {
        if matches!(self.closing, Closing::Draining(_)) && self.switch.calls() == 0 {
            self.stop();
        }
    }

    /// Whether all calls are over and their peers know it.
    fn is_quiet(&self) -> bool {
        self.switch.calls() == 0 && !self.switch.is_unheard()
    }

    /// Whether there is nothing left to wait for.
    fn is_done(&self) -> bool {
        match self.closing {
            Closing::Open | Closing::Draining(_) => false,
            Closing::Stopping(until) => {
                let is_quiet = self.is_quiet() && !self.switch.trunks().is_leaving();
                is_quiet || tokio::time::Instant::now() >= until
            }
            Closing::Hurrying(until) => self.is_quiet() || tokio::time::Instant::now() >= until,
        }
    }

    /// Does what the switch wants done.
    fn carry_out(&mut self) {
        while let Some(effect) = self.switch.poll_effect() {
            match effect {
                Effect::Transmit(transmit) => self.transmit(transmit),
                Effect::Media(command) => self.relay.command(command),
                Effect::Notify(notice) => self.notify(notice),
                Effect::Reachable { name, telephones } => {
                    self.publisher.reachable(self.clock.now().at, &name, telephones);
                }
                Effect::Ask { id, question } => {
                    if let Err(answer) = self.inquirer.ask(id, question) {
                        self.switch.handle(self.clock.now(), Input::Answer { question: id, answer });
                    }
                }
                Effect::Locate(locate) => self.locator.ask(locate),
                Effect::Device(word) => {
                    if let Some(bell) = &self.bell {
                        bell.device(word);
                    }
                }
                Effect::Record(record) => {
                    self.status.count(&record);
                    self.records.write(&*record);
                }
            }
        }
    }

    fn notify(&mut self, notice: Notice) {
        match notice {
            Notice::Incoming(_) | Notice::Letter(_) | Notice::Changed(_) | Notice::Forgotten(_) => {
                self.tell_ends();
                self.publish(notice);
            }
            Notice::Gone(_) | Notice::Personal(_) => {
                if let Notice::Personal(personal) = &notice
                    && let News::Warning(warning) = &personal.news
                {
                    self.status.warn(personal.call, warning);
                }
                let latest = || tokio::time::Instant::now() + limits::NOTICE_HELD_MAX;
                self.ends.due.get_or_insert_with(latest);
                self.ends.held.push(notice);
                if self.ends.held.len() >= limits::SIP_BATCH_MAX {
                    self.tell_ends();
                }
            }
        }
    }

    /// Tells the clients of the calls that wait no more.
    fn tell_ends(&mut self) {
        self.ends.due = None;
        let mut held = std::mem::take(&mut self.ends.held);
        held.drain(..).for_each(|notice| self.publish(notice));
        self.ends.held = held;
    }

    /// Tells those who are connected, and then those who wake the others.
    fn publish(&mut self, notice: Notice) {
        let Some(bell) = self.bell.as_ref().filter(|bell| bell.is_wanted()) else {
            self.publisher.publish(notice);
            return;
        };
        self.publisher.publish(notice.clone());
        match &notice {
            Notice::Incoming(incoming) => bell.call(incoming, || self.switch.connected(&incoming.name)),
            Notice::Gone(gone) => bell.over(self.publisher.newest(), gone),
            Notice::Personal(_) | Notice::Letter(_) | Notice::Changed(_) | Notice::Forgotten(_) => {}
        }
    }

    fn transmit(&mut self, transmit: Transmit) {
        let Transmit { path, reopen, bytes } = transmit;
        match path.transport {
            Transport::Udp => {
                if !self.sockets.send(path.local, path.peer, &bytes) {
                    self.status.count_unsent();
                }
            }
            Transport::Tcp | Transport::Tls | Transport::Ws => {
                let lost = self.streams.send(path, reopen, bytes);
                self.disconnected(self.clock.now(), lost);
            }
        }
    }
}
