//! The trunks that we go to, not those that come to us: whether each of a trunk's targets answers, which one is used, and our
//! registration with those that want one. Ways come from DNS through the shell, OPTIONS and REGISTER go out through the endpoint.
//! Not here: calls from trunks (`switch::admit`), DNS (`resolve`), digests (`sip::auth`).

mod health;
mod register;
#[cfg(test)]
mod tests;

pub use health::Standing;
pub use register::{Enrolment, Registered};

use crate::id::TargetId;
use crate::rng::Rng;
use crate::sip::Path;
use crate::sip::endpoint::{Asker, ClientId, Endpoint, Outside};
use crate::sip::target::{Carrier, Hop, Target, Unlocated};
use crate::sip::wire::write::Tag;
use crate::sip::wire::{Message, Method};
use crate::time::{Duration, Instant, Now};
use health::{Health, Step};
use register::{Enrol, Outcome, Registration, Way};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

/// A trunk that we go to, as the operator wants it.
#[derive(Clone, Debug)]
pub struct Outbound {
    /// The trunk's name, as calls from it have it.
    pub name: Arc<str>,
    /// Where it may be reached, best first.
    pub targets: Vec<Target>,
    /// How often each target is asked whether it is there; `None`: never, and it counts as up.
    pub health: Option<Duration>,
    /// The registration that it wants.
    pub register: Option<Arc<Registered>>,
    /// Whether it takes messages to numbers (RFC 3428).
    pub messages: bool,
}

/// A way to a trunk that takes messages to numbers.
#[derive(Clone, Debug)]
pub struct MessageWay {
    /// The trunk's name.
    pub trunk: Arc<str>,
    /// Its target.
    pub target: Target,
    /// Over which of our addresses to which of its.
    pub path: Path,
    /// Our registration with it, if it wants one.
    pub registered: Option<Arc<Registered>>,
}

/// What the shell is asked: where is it? The answer comes back to [`Trunks::handle_located`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Locate {
    /// To be named in the answer.
    pub at: TargetId,
    /// The target.
    pub target: Target,
    /// Chance for the choice among equal servers.
    pub chance: [u8; 32],
}

/// All trunks that we go to.
#[derive(Default)]
pub struct Trunks {
    lines: Vec<Line>,
    /// From where requests can go out.
    listeners: Vec<(Carrier, SocketAddr)>,
    locates: VecDeque<Locate>,
    /// When to be called again: the earliest of all deadlines, kept because it is asked for after every event.
    next: Option<Instant>,
}

/// One trunk.
struct Line {
    settings: Arc<Outbound>,
    targets: Vec<Health>,
    registration: Option<Registration>,
    /// Whether it was up when it was last looked at.
    was_up: bool,
}

/// What a step needs of its surroundings.
pub struct Turn<'a> {
    /// The time.
    pub now: Now,
    /// Sends the requests.
    pub endpoint: &'a mut Endpoint,
    /// Chance for tags, Call-IDs and pauses.
    pub rng: &'a mut Rng,
}

impl Turn<'_> {
    /// Below 1024: for pauses that are not to be the same.
    fn chance(&mut self) -> u32 {
        self.rng.below(1024)
    }
}

impl Trunks {
    /// Trunks of which nothing is known yet: the first [`Trunks::handle_timeout`] asks. `listeners`: what requests can go out from.
    pub fn new(outbound: &[Arc<Outbound>], listeners: Vec<(Carrier, SocketAddr)>, rng: &mut Rng) -> Trunks {
        let line = |settings: &Arc<Outbound>| {
            let registration = settings.register.as_ref().map(|wants| {
                let (call_id, tag) = (format!("{:032x}", rng.u128()), Tag::new(rng.u64()));
                Registration::new(Arc::clone(wants), call_id, tag.as_str().to_owned())
            });
            let targets = settings.targets.iter().map(|_| Health::new(settings.health)).collect();
            Line { settings: Arc::clone(settings), targets, registration, was_up: true }
        };
        let mut trunks =
            Trunks { lines: outbound.iter().map(line).collect(), listeners, locates: VecDeque::new(), next: None };
        trunks.settle();
        trunks
    }

    /// When to call [`Trunks::handle_timeout`] at the latest.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.next
    }

    /// The next target that is to be found.
    pub fn poll_locate(&mut self) -> Option<Locate> {
        self.locates.pop_front()
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, turn: &mut Turn<'_>) {
        if self.next.is_none_or(|next| turn.now.at < next) {
            return;
        }
        for trunk in 0..self.lines.len() {
            for target in 0..self.lines.get(trunk).map_or(0, |line| line.targets.len()) {
                self.step(turn, (trunk, target), |health, now, chance| health.handle_timeout(now, chance));
            }
            let chance = turn.chance();
            let outcome = self.step_registration(turn, trunk, |registration, now, ways| {
                registration.handle_timeout(now, ways, chance)
            });
            self.tell_registration(trunk, outcome);
            self.note(trunk);
        }
        self.settle();
    }

    /// The shell has found a target, or not.
    pub fn handle_located(&mut self, turn: &mut Turn<'_>, at: TargetId, found: Result<Vec<Hop>, Unlocated>) {
        let Some(place) = place(at) else { return };
        let (why, was_lost) =
            (found.as_ref().err().copied(), self.health(place).is_some_and(|health| health.is_lost()));
        self.step(turn, place, |health, now, chance| health.handle_located(now, found, chance));
        let is_lost = self.health(place).is_some_and(|health| health.is_lost());
        if let (false, true, Some(why), Some((trunk, target))) = (was_lost, is_lost, why, self.target(place)) {
            tracing::warn!(%trunk, %target, "a trunk's target cannot be found: {why}");
        }
        self.note(place.0);
        self.settle();
    }

    /// What came of a request of ours.
    pub fn handle_answer(
        &mut self,
        turn: &mut Turn<'_>,
        at: TargetId,
        (request, method, status): (ClientId, Method<'_>, u16),
        answer: Option<&Message<'_>>,
    ) {
        let Some(place) = place(at) else { return };
        if method == Method::Register {
            self.registered(turn, place.0, (request, status, answer));
        } else {
            self.step(turn, place, |health, now, chance| health.handle_answer(now, request, status, chance));
        }
        self.note(place.0);
        self.settle();
    }

    /// No more calls are wanted: registrars are told that we are not there.
    pub fn leave(&mut self, turn: &mut Turn<'_>) {
        for trunk in 0..self.lines.len() {
            let step = |registration: &mut Registration, now, _: &[Way]| (registration.leave(now), Outcome::Pending);
            self.step_registration(turn, trunk, step);
        }
        self.settle();
    }

    /// Whether one of them may still say something to that.
    pub fn is_leaving(&self) -> bool {
        self.lines.iter().filter_map(|line| line.registration.as_ref()).any(Registration::is_leaving)
    }

    /// Each trunk's name, whether it is up, and whether it has our registration; `None` where none is wanted.
    pub fn standings(&self, now: Now) -> impl Iterator<Item = (&Arc<str>, bool, Option<bool>)> {
        self.lines.iter().map(move |line| {
            let held = |registration: &Registration| matches!(registration.enrolment(now.at), Enrolment::Held(_));
            (&line.settings.name, line.is_up(), line.registration.as_ref().map(held))
        })
    }

    /// The ways that a request to a trunk may take, best first: those of its targets in their order, the ones that are down left out.
    pub fn ways(&self, trunk: usize) -> Vec<(TargetId, Hop)> {
        let targets = self.lines.get(trunk).into_iter().flat_map(|line| line.targets.iter().enumerate());
        targets
            .flat_map(|(target, health)| health.ways().filter_map(move |hop| Some((id(trunk, target)?, hop))))
            .collect()
    }

    /// Whether there is a trunk that takes messages to numbers.
    pub fn takes_messages(&self) -> bool {
        self.lines.iter().any(|line| line.settings.messages)
    }

    /// The ways that a message to a number may take, best first: those of the trunks that take messages, in their order.
    pub fn message_ways(&self) -> Vec<MessageWay> {
        let lines = self.lines.iter().enumerate().filter(|(_, line)| line.settings.messages);
        let ways = lines.flat_map(|(trunk, _)| self.ways(trunk));
        ways.filter_map(|(at, hop)| {
            let (trunk, target) = place(at)?;
            let line = self.lines.get(trunk)?;
            let (target, registered) = (line.settings.targets.get(target)?.clone(), line.settings.register.clone());
            Some(MessageWay { trunk: Arc::clone(&line.settings.name), target, path: self.path(hop)?, registered })
        })
        .collect()
    }

    fn target(&self, (trunk, target): (usize, usize)) -> Option<(Arc<str>, Target)> {
        let settings = &self.lines.get(trunk)?.settings;
        Some((Arc::clone(&settings.name), settings.targets.get(target)?.clone()))
    }

    /// Lets one target take a step, and does what it wants done until it rests.
    fn step(
        &mut self,
        turn: &mut Turn<'_>,
        place: (usize, usize),
        step: impl FnOnce(&mut Health, Instant, u32) -> Step,
    ) {
        let (now, chance) = (turn.now.at, turn.chance());
        let Some(health) = self.health(place) else { return };
        let before = health.standing();
        let mut wanted = step(health, now, chance);
        loop {
            wanted = match wanted {
                Step::Rest => break,
                Step::Locate => self.locate(turn, place),
                Step::Ping(hop) => {
                    let ping = self.ping(turn, place, hop);
                    let Some(health) = self.health(place) else { return };
                    health.handle_sent(now, ping, chance)
                }
            };
        }
        self.note_target(place, before);
    }

    /// Says when a target goes down or comes back.
    fn note_target(&mut self, place: (usize, usize), before: Standing) {
        let (Some(after), Some((trunk, target))) = (self.health(place).map(|it| it.standing()), self.target(place))
        else {
            return;
        };
        match (before, after) {
            (Standing::Unknown | Standing::Up, Standing::Down) => {
                tracing::warn!(%trunk, %target, "a trunk's target does not answer any more");
            }
            (Standing::Down, Standing::Up) => tracing::info!(%trunk, %target, "a trunk's target answers again"),
            (Standing::Unknown | Standing::Up, Standing::Unknown | Standing::Up)
            | (Standing::Down, Standing::Unknown | Standing::Down) => {}
        }
    }

    fn health(&mut self, (trunk, target): (usize, usize)) -> Option<&mut Health> {
        self.lines.get_mut(trunk)?.targets.get_mut(target)
    }

    /// An address is found at once; for a name the shell is asked.
    fn locate(&mut self, turn: &mut Turn<'_>, place: (usize, usize)) -> Step {
        let (Some((_, target)), Some(at)) = (self.target(place), id(place.0, place.1)) else { return Step::Rest };
        if let Some(hop) = target.direct() {
            let (now, chance) = (turn.now.at, turn.chance());
            let Some(health) = self.health(place) else { return Step::Rest };
            return health.handle_located(now, Ok(vec![hop]), chance);
        }
        let mut chance = [0; 32];
        turn.rng.fill(&mut chance);
        self.locates.push_back(Locate { at, target, chance });
        Step::Rest
    }

    fn ping(&mut self, turn: &mut Turn<'_>, place: (usize, usize), hop: Hop) -> Option<ClientId> {
        let (path, (_, target), asker) = (self.path(hop)?, self.target(place)?, id(place.0, place.1)?);
        let us = turn.endpoint.advertised(path).into_owned();
        let (uri, tag) = (target.to_string(), Tag::new(turn.rng.u64()));
        let call_id = format!("{:032x}", turn.rng.u128());
        let options = Outside {
            method: Method::Options,
            uri: &uri,
            from: &format!("<sip:{us}>;tag={}", tag.as_str()),
            to: &format!("<{uri}>"),
            call_id: &call_id,
            cseq: 1,
            route: "",
            contact: None,
            headers: &[],
            body: None,
            opens: true,
            asker: Asker::Trunk(asker),
        };
        turn.endpoint.send_outside(turn.now, path, &options)
    }

    /// Lets a trunk's registration take a step, and sends what it wants sent until it rests.
    fn step_registration(
        &mut self,
        turn: &mut Turn<'_>,
        trunk: usize,
        step: impl FnOnce(&mut Registration, Instant, &[Way]) -> (Option<Enrol>, Outcome),
    ) -> Outcome {
        let (now, chance, ways) = (turn.now.at, turn.chance(), self.ways(trunk));
        let Some(registration) = self.registration(trunk) else { return Outcome::Pending };
        let (mut wanted, outcome) = step(registration, now, &ways);
        while let Some(enrol) = wanted {
            let request = self.enrol(turn, trunk, &enrol);
            let Some(registration) = self.registration(trunk) else { return outcome };
            wanted = registration.handle_sent(now, request, &ways, chance);
        }
        outcome
    }

    fn registration(&mut self, trunk: usize) -> Option<&mut Registration> {
        self.lines.get_mut(trunk)?.registration.as_mut()
    }

    fn registered(&mut self, turn: &mut Turn<'_>, trunk: usize, answer: (ClientId, u16, Option<&Message<'_>>)) {
        let (cnonce, chance) = (Tag::new(turn.rng.u64()), turn.chance());
        let outcome = self.step_registration(turn, trunk, |registration, now, ways| {
            registration.handle_answer(now, answer, ways, (cnonce.as_str(), chance))
        });
        self.tell_registration(trunk, outcome);
    }

    fn tell_registration(&self, trunk: usize, outcome: Outcome) {
        let Some(line) = self.lines.get(trunk) else { return };
        let (name, is_over) = (&line.settings.name, line.registration.as_ref().is_some_and(Registration::is_over));
        match outcome {
            Outcome::Held(true) => tracing::info!(trunk = %name, "registered"),
            Outcome::Left => tracing::info!(trunk = %name, "the registration is taken back"),
            Outcome::Failed(status) if is_over => {
                tracing::warn!(trunk = %name, status, "the registration was not taken back; it ends with its time");
            }
            Outcome::Failed(status) => {
                tracing::warn!(trunk = %name, status, "the registration failed; it is tried again");
            }
            Outcome::Held(false) | Outcome::Pending => {}
        }
    }

    fn enrol(&mut self, turn: &mut Turn<'_>, trunk: usize, enrol: &Enrol) -> Option<ClientId> {
        let (at, hop) = enrol.way;
        let path = self.path(hop)?;
        let us = turn.endpoint.advertised(path).into_owned();
        let registration = self.registration(trunk)?;
        let wants = Arc::clone(registration.wants());
        registration.contact = format!("sip:{}@{us}{}", wants.user, path.transport.uri_parameter());
        let (expires, contact) = (enrol.expires.to_string(), format!("<{}>", registration.contact));
        let mut headers = vec![("Expires", expires.as_str())];
        headers.extend(enrol.proof.as_ref().map(|(name, value)| (*name, value.as_str())));
        let register = Outside {
            method: Method::Register,
            uri: &wants.registrar,
            from: &format!("<{}>;tag={}", wants.uri, registration.from_tag),
            to: &format!("<{}>", wants.uri),
            call_id: &registration.call_id,
            cseq: enrol.cseq,
            route: "",
            contact: Some(&contact),
            headers: &headers,
            body: None,
            opens: true,
            asker: Asker::Trunk(at),
        };
        turn.endpoint.send_outside(turn.now, path, &register)
    }

    /// From which of our addresses a way can be taken: the first listener of its transport and family.
    fn path(&self, hop: Hop) -> Option<Path> {
        let fits = |listener: &&(Carrier, SocketAddr)| {
            listener.0 == hop.carrier && listener.1.is_ipv4() == hop.address.is_ipv4()
        };
        let (_, local) = self.listeners.iter().find(fits)?;
        Some(Path { transport: hop.carrier.transport(), local: *local, peer: hop.address })
    }

    /// Says when a trunk goes down or comes back.
    fn note(&mut self, trunk: usize) {
        let Some(line) = self.lines.get_mut(trunk) else { return };
        let (is_up, name) = (line.is_up(), &line.settings.name);
        match (std::mem::replace(&mut line.was_up, is_up), is_up) {
            (true, false) => tracing::warn!(trunk = %name, "the trunk is down: none of its targets answers"),
            (false, true) => tracing::info!(trunk = %name, "the trunk is up again"),
            (true, true) | (false, false) => {}
        }
    }

    fn settle(&mut self) {
        let deadlines = self.lines.iter().flat_map(|line| {
            let registration = line.registration.as_ref().and_then(Registration::deadline);
            line.targets.iter().filter_map(Health::deadline).chain(registration)
        });
        self.next = deadlines.min();
    }
}

impl Line {
    /// Whether there is a target that may be used.
    fn is_up(&self) -> bool {
        self.targets.is_empty() || self.targets.iter().any(|health| health.standing() != Standing::Down)
    }
}

fn id(trunk: usize, target: usize) -> Option<TargetId> {
    Some(TargetId { trunk: trunk.try_into().ok()?, target: target.try_into().ok()? })
}

fn place(at: TargetId) -> Option<(usize, usize)> {
    Some((at.trunk.try_into().ok()?, at.target.try_into().ok()?))
}
