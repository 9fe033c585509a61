//! Our registration with a trunk that wants one (RFC 3261 §10.2): it tells the registrar where calls to our number go, proves who we are
//! when it is asked to (RFC 7616), comes again in time, and waits longer each time that it fails (RFC 5626 §4.5).
//! Not here: sending, and which ways there are (`trunk`).
//!
//! ```text
//!  due ─▶ REGISTER ─▶ 2xx: kept until shortly before it ends
//!            ├─ 401, 407 ─▶ REGISTER with the proof; a second challenge is a failure
//!            ├─ 423 ─▶ REGISTER with the time that it wants, once
//!            ├─ silence, 408, 503 ─▶ the next way … ─▶ none left: pause
//!            └─ anything else: pause
//!  leave, if it is held, or as soon as it is: REGISTER, Expires 0 ─▶ 401, 407: once more with the proof │ anything else, silence: over
//! ```

use crate::id::TargetId;
use crate::limits;
use crate::sip::auth::{self, Credentials};
use crate::sip::endpoint::ClientId;
use crate::sip::target::Hop;
use crate::sip::wire::{Header, Message, Uri};
use crate::time::{Duration, Instant};
use std::sync::Arc;

/// What the operator wants registered.
#[derive(Clone, Debug)]
pub struct Registered {
    /// Our address-of-record: `sip:account@registrar.example`. Its domain is the registrar.
    pub uri: Arc<str>,
    /// The user part of `uri`, which is that of our Contact too: calls come to it.
    pub user: Arc<str>,
    /// The registrar: the Request-URI.
    pub registrar: Arc<str>,
    /// The proof that we are it.
    pub credentials: Option<Credentials>,
    /// How long it shall last.
    pub life: Duration,
}

/// How a registration stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Enrolment {
    /// Not yet, or not any more.
    Absent,
    /// It holds until then.
    Held(Instant),
}

/// A way to a target of the trunk.
pub(super) type Way = (TargetId, Hop);

/// What is to be sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Enrol {
    pub(super) way: Way,
    pub(super) cseq: u32,
    pub(super) expires: u64,
    /// A header with the proof.
    pub(super) proof: Option<(&'static str, String)>,
}

/// One registration.
#[derive(Debug)]
pub(super) struct Registration {
    wants: Arc<Registered>,
    /// The same for as long as we run (§10.2: all registrations of a user agent).
    pub(super) call_id: String,
    pub(super) from_tag: String,
    /// The URI of our Contact, as it was sent last.
    pub(super) contact: String,
    cseq: u32,
    /// What we ask for, seconds; a registrar may have asked for more (423).
    expires: u64,
    failures: u32,
    enrolment: Enrolment,
    /// By which way it was made: only that way has our Contact as the registrar knows it.
    made_by: Option<Way>,
    /// It is being taken back (§10.2.2), and until then it is waited for what the registrar says to that.
    leaving: Option<Instant>,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// The next REGISTER goes then.
    Resting { until: Instant },
    /// It is to be sent this way.
    Sending(Attempt),
    /// It is out; if there is no answer by then, the next way is tried.
    Sent { request: ClientId, attempt: Attempt, until: Instant },
    /// It was taken back, or we have said so: nothing more comes of it.
    Over,
}

/// What has been tried.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Attempt {
    way: Way,
    /// How many ways were tried before this.
    tried: usize,
    /// Whether a challenge was answered already.
    proved: bool,
    /// Whether a longer time was asked for already.
    lengthened: bool,
    /// Whether it takes the registration back.
    leaves: bool,
}

/// What came of an answer, for the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Outcome {
    /// It is going on.
    Pending,
    /// Registered; `true` if it was not before.
    Held(bool),
    /// It failed, with this status.
    Failed(u16),
    /// It is taken back.
    Left,
}

impl Registration {
    /// One that begins at once.
    pub(super) fn new(wants: Arc<Registered>, call_id: String, from_tag: String) -> Registration {
        let expires = wants.life.as_secs();
        let (cseq, failures, enrolment) = (0, 0, Enrolment::Absent);
        let state = State::Resting { until: Instant::default() };
        let (contact, made_by, leaving) = (String::new(), None, None);
        Registration { wants, call_id, from_tag, contact, cseq, expires, failures, enrolment, made_by, leaving, state }
    }

    pub(super) fn wants(&self) -> &Arc<Registered> {
        &self.wants
    }

    /// How it stands.
    pub(super) fn enrolment(&self, now: Instant) -> Enrolment {
        match self.enrolment {
            Enrolment::Held(until) if now < until => Enrolment::Held(until),
            Enrolment::Held(_) | Enrolment::Absent => Enrolment::Absent,
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Resting { until } | State::Sent { until, .. } => Some(until),
            State::Sending(_) | State::Over => None,
        }
    }

    /// Takes it back (§10.2.2). One that is being made has to have its answer first (§10.2).
    pub(super) fn leave(&mut self, now: Instant) -> Option<Enrol> {
        if self.leaving.is_some() {
            return None;
        }
        let end = now + limits::UNREGISTER_WAIT_MAX;
        self.leaving = Some(end);
        match &mut self.state {
            State::Sent { until, .. } => {
                *until = end;
                None
            }
            State::Resting { .. } | State::Sending(_) | State::Over => self.take_back(now),
        }
    }

    /// Whether it is still to be seen what the registrar says to that.
    pub(super) fn is_leaving(&self) -> bool {
        self.leaving.is_some() && !self.is_over()
    }

    /// Whether nothing more comes of it.
    pub(super) fn is_over(&self) -> bool {
        self.state == State::Over
    }

    fn take_back(&mut self, now: Instant) -> Option<Enrol> {
        let way = self.made_by.filter(|_| matches!(self.enrolment(now), Enrolment::Held(_)));
        self.enrolment = Enrolment::Absent;
        self.state = State::Over;
        Some(self.send(Attempt { way: way?, tried: 0, proved: false, lengthened: true, leaves: true }, None))
    }

    /// Time has passed, and these are the ways. Without any it is tried again a little later: DNS may not have answered yet.
    pub(super) fn handle_timeout(&mut self, now: Instant, ways: &[Way], chance: u32) -> (Option<Enrol>, Outcome) {
        match self.state {
            State::Resting { until } if now >= until => (self.begin(now, ways), Outcome::Pending),
            State::Sent { until, .. } if now >= until && self.leaving.is_some() => {
                self.state = State::Over;
                (None, Outcome::Failed(408))
            }
            State::Sent { attempt, until, .. } if now >= until => self.pass_over(now, attempt, ways, (408, chance)),
            State::Resting { .. } | State::Sent { .. } | State::Sending(_) | State::Over => (None, Outcome::Pending),
        }
    }

    fn begin(&mut self, now: Instant, ways: &[Way]) -> Option<Enrol> {
        let Some(way) = ways.first() else {
            self.state = State::Resting { until: now + limits::LOCATE_MAX / 8 };
            return None;
        };
        Some(self.send(Attempt { way: *way, tried: 0, proved: false, lengthened: false, leaves: false }, None))
    }

    /// The REGISTER that was asked for is out, or could not be sent.
    pub(super) fn handle_sent(
        &mut self,
        now: Instant,
        request: Option<ClientId>,
        ways: &[Way],
        chance: u32,
    ) -> Option<Enrol> {
        let State::Sending(attempt) = self.state else { return None };
        match request {
            Some(request) => {
                let until = self.leaving.unwrap_or(now + limits::REGISTER_WAIT_MAX);
                self.state = State::Sent { request, attempt, until };
                None
            }
            None => self.fail_over(now, attempt, ways, chance),
        }
    }

    /// What came of a REGISTER. `cnonce` is fresh chance.
    pub(super) fn handle_answer(
        &mut self,
        now: Instant,
        (request, status, answer): (ClientId, u16, Option<&Message<'_>>),
        ways: &[Way],
        (cnonce, chance): (&str, u32),
    ) -> (Option<Enrol>, Outcome) {
        let State::Sent { request: ours, attempt, .. } = self.state else { return (None, Outcome::Pending) };
        if ours != request {
            return (None, Outcome::Pending);
        }
        match (status, answer) {
            (200..300, Some(_)) if attempt.leaves => {
                self.state = State::Over;
                (None, Outcome::Left)
            }
            (200..300, Some(answer)) => {
                let is_new = matches!(self.enrolment(now), Enrolment::Absent);
                let contact = Uri::parse(self.contact.as_bytes()).ok();
                let granted = contact.and_then(|contact| granted(answer, &contact));
                self.hold(now, granted.unwrap_or(self.expires), chance);
                self.made_by = Some(attempt.way);
                match self.leaving {
                    Some(_) => (self.take_back(now), Outcome::Pending),
                    None => (None, Outcome::Held(is_new)),
                }
            }
            // It was to be renewed, and is to be taken back now: what there was before is still there.
            _ if self.leaving.is_some() && !attempt.leaves => (self.take_back(now), Outcome::Pending),
            // §22.2: the proof is for a request of its own, with the next CSeq. A second challenge says that it was wrong.
            (401 | 407, Some(answer)) if !attempt.proved => match self.prove(answer, cnonce) {
                Some(proof) => (Some(self.send(Attempt { proved: true, ..attempt }, Some(proof))), Outcome::Pending),
                None => self.give_up(now, status, chance),
            },
            // §10.3: too short for this registrar.
            (423, Some(answer)) if !attempt.lengthened => match least(answer).filter(|least| *least > self.expires) {
                Some(least) => {
                    self.expires = least;
                    let next = Attempt { proved: false, lengthened: true, ..attempt };
                    (Some(self.send(next, None)), Outcome::Pending)
                }
                None => self.give_up(now, status, chance),
            },
            (408 | 503, _) => self.pass_over(now, attempt, ways, (status, chance)),
            (_, _) => self.give_up(now, status, chance),
        }
    }

    fn prove(&self, answer: &Message<'_>, cnonce: &str) -> Option<(&'static str, String)> {
        let credentials = self.wants.credentials.as_ref()?;
        auth::answer(answer, credentials, b"REGISTER", &self.wants.registrar, cnonce)
    }

    fn send(&mut self, attempt: Attempt, proof: Option<(&'static str, String)>) -> Enrol {
        // 2^31 - 1 registrations take longer than anybody waits; from there it begins anew.
        self.cseq = if self.cseq >= (1 << 31) - 1 { 1 } else { self.cseq + 1 };
        self.state = State::Sending(attempt);
        let expires = if attempt.leaves { 0 } else { self.expires };
        Enrol { way: attempt.way, cseq: self.cseq, expires, proof }
    }

    fn fail_over(&mut self, now: Instant, attempt: Attempt, ways: &[Way], chance: u32) -> Option<Enrol> {
        let tried = attempt.tried + 1;
        let Some(way) = ways.get(tried).filter(|_| self.leaving.is_none()) else {
            self.pause(now, chance);
            return None;
        };
        Some(self.send(Attempt { way: *way, tried, proved: false, ..attempt }, None))
    }

    /// The same for a status that says that nobody was there.
    fn pass_over(
        &mut self,
        now: Instant,
        attempt: Attempt,
        ways: &[Way],
        (status, chance): (u16, u32),
    ) -> (Option<Enrol>, Outcome) {
        match self.fail_over(now, attempt, ways, chance) {
            Some(next) => (Some(next), Outcome::Pending),
            None => (None, Outcome::Failed(status)),
        }
    }

    fn give_up(&mut self, now: Instant, status: u16, chance: u32) -> (Option<Enrol>, Outcome) {
        self.pause(now, chance);
        (None, Outcome::Failed(status))
    }

    /// It comes again when nine tenths of its time are over, a little before or after others of ours.
    fn hold(&mut self, now: Instant, seconds: u64, chance: u32) {
        let life = Duration::from_secs(seconds.clamp(1, limits::REGISTER_SECONDS_MAX));
        let kept = life.max(Duration::from_secs(limits::REGISTER_SECONDS_MIN));
        self.failures = 0;
        self.enrolment = Enrolment::Held(now + life);
        let early = kept / 10 + kept / 10 * chance.min(1023) / 1024;
        self.state = State::Resting { until: now + kept.saturating_sub(early) };
    }

    /// RFC 5626 §4.5: twice as long each time, and of that between half and all, by chance.
    fn pause(&mut self, now: Instant, chance: u32) {
        if self.leaving.is_some() {
            self.state = State::Over;
            return;
        }
        let longest = limits::REGISTER_PAUSE_MIN * (1 << self.failures.min(10));
        let longest = longest.min(limits::REGISTER_PAUSE_MAX);
        self.failures = self.failures.saturating_add(1);
        self.state = State::Resting { until: now + longest / 2 + longest / 2 * chance.min(1023) / 1024 };
    }
}

/// How long the registrar keeps it, seconds: what it says of our Contact, else of all (§10.2.4). A registrar may have changed the
/// Contact's address to the one that it sees; the user part it leaves.
fn granted(answer: &Message<'_>, contact: &Uri<'_>) -> Option<u64> {
    let all = || answer.contacts().filter_map(Result::ok);
    let same = all().find(|listed| listed.uri.same(contact));
    let ours = same.or_else(|| all().find(|listed| listed.uri.user == contact.user));
    let text = ours.and_then(|ours| std::str::from_utf8(ours.param("expires")??).ok());
    text.and_then(|text| text.parse().ok()).or_else(|| answer.number(Header::Expires)?.ok().map(u64::from))
}

/// `Min-Expires` (§20.23), within reason.
fn least(answer: &Message<'_>) -> Option<u64> {
    let seconds = answer.number(Header::MinExpires)?.ok().map(u64::from)?;
    (seconds <= limits::REGISTER_SECONDS_MAX).then_some(seconds)
}
