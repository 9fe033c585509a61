//! All calls, and the one function that everything that happens goes through: it finds the call that an event is for, lets it take
//! its step (`step`), and keeps what has to be done next until somebody asks for it.
//! Not here: sockets, clocks, threads (`daemon`), and what a call does with an event (`call`).
//!
//! ```text
//!  Input ─▶ handle ─▶ (sip::endpoint) ─▶ in-dialog? ─▶ its Call │ a token? ─▶ callback │ else ─▶ admit ─▶ new Call
//!                                                                        poll_effect ─▶ Effect
//! ```

mod admit;
#[cfg(feature = "sim")]
pub mod audit;
mod callback;
mod effect;
mod identity;
mod input;
mod legs;
mod lifted;
mod lot;
mod mail;
mod message;
mod outbound;
mod outgoing;
mod posted;
mod questions;
#[cfg(test)]
mod races;
mod rate;
#[cfg(test)]
mod reached;
mod register;
mod ring;
mod settings;
mod stats;
mod step;
mod subscribe;
mod tell;
#[cfg(test)]
mod tests;
mod transfer;
mod usage;
mod waking;
#[cfg(test)]
mod written;

pub use effect::Effect;
pub use input::{FromClient, Input};
pub use settings::{Caps, Settings};
pub use stats::Stats;

use crate::call::{Action, ClientMessage, ClientMessageKind, Event, Phase, Trunk, plain};
use crate::event::{Authority, Herald};
use crate::id::{CallRef, FlowId};
use crate::media;
use crate::mutant::{Mutant, planted};
use crate::policy::{Keyring, PolicyEngine};
use crate::registrar::Registrar;
use crate::rng::Rng;
use crate::sip::Path;
use crate::sip::auth::Gate;
use crate::sip::endpoint::{self, Asker, Endpoint};
use crate::sip::wire::{Message, Method};
use crate::time::{Instant, Now};
use crate::token::{Keys, SubjectHash};
use crate::trunk::Trunks;
use lot::Lot;
use mail::Mail;
use outgoing::Outgoing;
use posted::Posted;
use questions::Questions;
use rate::Rates;
use ring::Rings;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use tell::Turns;
use usage::Usage;

/// The switch. One thread owns it.
pub struct Switch {
    settings: Arc<Settings>,
    keys: Arc<Keys>,
    keyring: Arc<Keyring>,
    engine: Arc<dyn PolicyEngine>,
    rng: Rng,
    gate: Gate,
    herald: Arc<Herald>,
    endpoint: Endpoint,
    registrar: Registrar,
    posted: Posted,
    mail: Mail,
    outgoing: Outgoing,
    /// How many notices there have been.
    notices: u64,
    turns: Turns,
    lot: Lot,
    /// Connections whose peer has shown a trunk's certificate.
    certified: HashMap<Path, Arc<Trunk>>,
    flows: HashMap<FlowId, CallRef>,
    questions: Questions,
    rings: Rings,
    usage: Usage,
    trunks: Trunks,
    rates: Rates,
    /// When which call wants to be called again. An entry that its call no longer wants is skipped.
    alarms: BinaryHeap<Reverse<(Instant, CallRef)>>,
    actions: VecDeque<Action>,
    /// For the relay, apart from the other effects because they are done before any message leaves.
    commands: VecDeque<media::Command>,
    effects: VecDeque<Effect>,
    draining: bool,
    /// Messages wait that have come before ([`Input::Behind`]).
    is_behind: bool,
    /// How many calls there are in each state, in the order of [`Phase::ALL`].
    census: [usize; Phase::ALL.len()],
    stats: Stats,
    #[cfg(feature = "sim")]
    cells: audit::Cells,
    /// A test's way to let one call's next step panic.
    #[cfg(test)]
    fault: Option<CallRef>,
}

/// What the switch is made of; the shell reads it from configuration and keys.
pub struct Parts {
    /// What the operator wants.
    pub settings: Arc<Settings>,
    /// For bridge tokens.
    pub keys: Arc<Keys>,
    /// What clients prove themselves with: JWTs and passwords.
    pub keyring: Arc<Keyring>,
    /// Who may do what.
    pub engine: Arc<dyn PolicyEngine>,
    /// Chance for call ids and sessions.
    pub rng: Rng,
    /// SIP, with its own chance.
    pub endpoint: Endpoint,
    /// Writes what clients are told over SIP.
    pub herald: Arc<Herald>,
    /// Whom it is told to; empty at the start.
    pub registrar: Registrar,
}

impl Switch {
    /// An empty switch.
    pub fn new(parts: Parts) -> Switch {
        let Parts { settings, keys, keyring, engine, mut rng, endpoint, herald, registrar } = parts;
        Switch {
            settings,
            keys,
            keyring,
            engine,
            gate: Gate::new(&mut rng),
            rng,
            herald,
            endpoint,
            registrar,
            posted: Posted::default(),
            mail: Mail::default(),
            outgoing: Outgoing::new(),
            notices: 0,
            turns: Turns::default(),
            lot: Lot::default(),
            certified: HashMap::new(),
            flows: HashMap::new(),
            questions: Questions::default(),
            rings: Rings::default(),
            usage: Usage::default(),
            trunks: Trunks::default(),
            rates: Rates::default(),
            alarms: BinaryHeap::new(),
            actions: VecDeque::new(),
            commands: VecDeque::new(),
            effects: VecDeque::new(),
            draining: false,
            is_behind: false,
            census: [0; Phase::ALL.len()],
            stats: Stats::default(),
            #[cfg(feature = "sim")]
            cells: audit::Cells::default(),
            #[cfg(test)]
            fault: None,
        }
    }

    /// Something happened. Drain [`Switch::poll_effect`] afterwards.
    pub fn handle(&mut self, now: Now, input: Input<'_>) {
        match input {
            Input::Datagram { path, bytes } => self.handle_datagram(now, path, bytes),
            Input::Connected { path, names } => {
                if let Some(trunk) = self.settings.trunk_named(&names) {
                    self.certified.insert(path, Arc::clone(trunk));
                }
            }
            Input::Disconnected { path } => {
                self.certified.remove(&path);
                self.lose_path(path);
                self.endpoint.handle_disconnected(now, path);
                self.dispatch_notices(now);
            }
            Input::Authority(Authority { keys, keyring, engine }) => {
                (self.keys, self.keyring, self.engine) = (keys, keyring, engine);
            }
            Input::Media(event) => self.handle_media(now, event),
            Input::Client(word) => self.handle_from_client(now, word),
            Input::Answer { question, answer } => self.handle_answer(now, question, answer),
            Input::Located { at, found } => self.handle_located(now, at, found),
            Input::Behind(is_behind) => self.is_behind = is_behind,
            Input::Drain => {
                self.draining = true;
                self.leave_trunks(now);
            }
            Input::Stop => self.stop(now, || Event::Stop),
            Input::Abandon => {
                self.stop(now, || Event::Stop);
                self.stop(now, || Event::Abandon);
            }
        }
    }

    fn stop(&mut self, now: Now, how: fn() -> Event<'static>) {
        self.draining = true;
        self.leave_trunks(now);
        self.lot.all().into_iter().for_each(|at| self.step(now, at, how()));
        self.end_subscriptions(now);
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Now) {
        self.endpoint.handle_timeout(now);
        self.dispatch_notices(now);
        self.handle_overdue(now);
        self.handle_lapsed(now);
        self.take_turns(now);
        self.attend_trunks(now);
        self.handle_mail_due(now);
        while let Some(Reverse((due, at))) = self.alarms.peek().copied() {
            if due > now.at {
                break;
            }
            self.alarms.pop();
            match self.lot.disarm(at, due) {
                Some(wanted) if wanted <= now.at => self.step(now, at, Event::Timeout),
                Some(wanted) if !planted(Mutant::AlarmLost) => self.wake(at, Some(wanted)),
                Some(_) | None => {}
            }
        }
    }

    /// What the endpoint has noticed without a message.
    fn dispatch_notices(&mut self, now: Now) {
        while let Some(event) = self.endpoint.poll_event() {
            self.dispatch(now, event);
        }
    }

    /// What is to be done next. The relay is told first: whoever gets a 200 may send audio at once, and whoever gets a BYE
    /// must not be heard after it.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        let command = self.commands.pop_front().map(Effect::Media);
        let transmit = |endpoint: &mut Endpoint| endpoint.poll_transmit().map(Effect::Transmit);
        let effect = command.or_else(|| transmit(&mut self.endpoint)).or_else(|| self.effects.pop_front());
        let reachable = |(name, telephones)| Effect::Reachable { name, telephones };
        effect.or_else(|| self.registrar.poll_reachable().map(reachable))
    }

    /// When to call [`Switch::handle_timeout`] at the latest.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let alarm = self.alarms.peek().map(|Reverse((due, _))| *due);
        [
            alarm,
            self.endpoint.poll_timeout(),
            self.questions.poll_timeout(),
            self.registrar.poll_timeout(),
            self.trunks.poll_timeout(),
            self.mail.poll_timeout(),
            self.turns.poll_timeout(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// What has been counted.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// SIP's own counts.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// How many calls there are now, by state.
    pub fn census(&self) -> impl Iterator<Item = (Phase, usize)> {
        Phase::ALL.into_iter().zip(self.census)
    }

    /// How many contacts are registered, and how many subscriptions there are.
    pub fn bindings(&self) -> (usize, usize) {
        self.registrar.counts()
    }

    /// How many calls there are now.
    pub fn calls(&self) -> usize {
        self.lot.len()
    }

    /// Whether a peer that was told the end of its call has not confirmed it: our word may have been lost, and is repeated.
    pub fn is_unheard(&self) -> bool {
        self.endpoint.awaits_ack()
    }

    /// Whether nothing is left over: no call, dialog, transaction, flow, question or reserved place.
    pub fn is_idle(&self) -> bool {
        let counts = self.endpoint.counts();
        let sip = counts.dialogs + counts.server_transactions + counts.client_transactions;
        let quiet = self.questions.is_empty() && self.usage.is_empty() && self.rings.len() == 0;
        self.lot.is_clear() && self.flows.is_empty() && quiet && sip == 0
    }

    /// A datagram that breaks us outside of a call's step is dropped and counted: whoever sent it ends no call and not the daemon.
    fn handle_datagram(&mut self, now: Now, path: Path, bytes: &[u8]) {
        let handled = catch_unwind(AssertUnwindSafe(|| {
            if let Some(event) = self.endpoint.handle_datagram(now, path, bytes) {
                self.dispatch(now, event);
            }
        }));
        if handled.is_err() {
            self.stats.panics += 1;
            tracing::error!(peer = %path, "a datagram could not be dealt with and was dropped");
        }
    }

    fn dispatch(&mut self, now: Now, event: endpoint::Event<'_>) {
        match event {
            endpoint::Event::Invite { path, request } if Switch::is_callback(&request) => {
                self.call_back(now, path, &request);
            }
            endpoint::Event::Invite { path, request } => self.admit(now, path, &request),
            endpoint::Event::Request { path, request } => self.handle_other(now, path, &request),
            endpoint::Event::InDialog { owner, dialog, transaction, request, path } => {
                self.handle_in_dialog(now, (owner, dialog), transaction, path, &request);
            }
            endpoint::Event::Ack { owner, dialog, transaction, message } => {
                let event = Event::Acknowledged { side: owner.side, transaction, ack: &message };
                self.step_leg(now, owner, dialog, event);
            }
            endpoint::Event::Cancel { owner, transaction, .. } => {
                let withdrawn = !planted(Mutant::CancelHitsCaller)
                    && self.withdraw(now, owner.call, None, |asking| asking.is_invite(transaction));
                if !withdrawn {
                    self.step(now, owner.call, Event::Cancelled { side: owner.side, transaction });
                }
            }
            endpoint::Event::Response { owner, dialog, transaction, message, .. } => {
                if self.telephone_answered(now, transaction, &message) {
                    return;
                }
                self.hear_response(now, (owner, dialog), transaction, Some(&message));
            }
            endpoint::Event::Failed { transaction, .. } if self.telephone_failed(now, transaction) => {}
            endpoint::Event::Failed { owner, dialog, transaction, .. } => {
                self.hear_response(now, (owner, dialog), transaction, None);
            }
            endpoint::Event::Outside { asker, transaction, method, status, answer } => match asker {
                Asker::Binding(id) => self.handle_told(now, id, transaction, (status, answer)),
                Asker::Letter(id) => self.handle_carried(now, id, (transaction, status), answer.as_ref()),
                Asker::Trunk(at) => self.trunk_answered(now, at, (transaction, method, status), answer.as_ref()),
            },
            endpoint::Event::Unacknowledged { owner, dialog } => {
                self.step_leg(now, owner, dialog, Event::Unacknowledged { side: owner.side });
            }
            endpoint::Event::ProvisionalUnacknowledged { owner, dialog } => {
                self.step_leg(now, owner, dialog, Event::ProvisionalUnacknowledged { side: owner.side });
            }
        }
    }

    /// A request that belongs to no call.
    fn handle_other(&mut self, now: Now, path: Path, request: &Message<'_>) {
        match request.start().method() {
            Some(Method::Register) => self.handle_register(now, path, request),
            Some(Method::Subscribe) => self.handle_subscribe(now, path, request),
            Some(Method::Message) => self.handle_message(now, path, request),
            // Only who has a call can hand one on.
            Some(Method::Refer) => self.endpoint.reply(now, path, request, &plain(403)),
            Some(_) | None => self.handle_options(now, path, request),
        }
    }

    /// OPTIONS: a trunk is told that it may call (RFC 3261 §11.2), in a drain that it may not now. Strangers learn nothing of us, and
    /// get less than they sent (RELIABILITY A19).
    fn handle_options(&mut self, now: Now, path: Path, request: &Message<'_>) {
        let status = match self.trunk_of(path) {
            None => 403,
            Some(_) if self.draining => 503,
            Some(_) => 200,
        };
        match status {
            403 => self.endpoint.reply(now, path, request, &plain(403)),
            _ => self.endpoint.reply_known(now, path, request, &plain(status)),
        }
    }

    /// Whether a trunk's messages come over a path.
    pub fn is_trunks(&self, path: Path) -> bool {
        self.trunk_of(path).is_some()
    }

    /// Whose messages come over a path: the trunk whose certificate was shown on it, or else the one that lists its address.
    fn trunk_of(&self, path: Path) -> Option<&Arc<Trunk>> {
        self.certified.get(&path).or_else(|| self.settings.trunk_of(path.peer.ip()))
    }

    fn handle_media(&mut self, now: Now, event: media::Event) {
        if let Some(at) = self.flows.get(&event.flow()).copied() {
            self.step(now, at, Event::Media(event));
        }
    }

    fn handle_client(&mut self, now: Now, message: ClientMessage) {
        let Some(at) = self.lot.find(message.call) else { return };
        let reached = self.lot.get(at).is_some_and(|call| call.facts().route.name.reaches(&message.name));
        if reached {
            let by = message.name;
            self.step(
                now,
                at,
                match message.kind {
                    ClientMessageKind::Declined => Event::Declined { by },
                    ClientMessageKind::Ringing => Event::Ringing { by },
                    ClientMessageKind::Pressed(dialled) => {
                        Event::Pressed { by, who: SubjectHash::of(&message.subject), dialled }
                    }
                },
            );
        }
    }
}
