//! One target of a trunk: where it is and whether it answers. It is asked for its ways (DNS), the ways are asked in turn by OPTIONS
//! (RFC 3261 §11), and the first that answers is the one that is used until it does not.
//! Not here: sending, and which of several targets is taken (`trunk`).
//!
//! ```text
//!  due ─▶ locate ─▶ ping the best way ─▶ answered: up, until the next round
//!                        └─ silent, 408, 503 ─▶ ping the next way … ─▶ none left: one failure more; after three: down
//!  A round that failed is followed by the next one soon, until the target is down.
//! ```

use crate::limits;
use crate::sip::endpoint::ClientId;
use crate::sip::target::{Hop, Unlocated};
use crate::time::{Duration, Instant};

/// What is known of a target.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// Nothing yet, or nobody asks: it is tried like one that is up.
    Unknown,
    /// It answered.
    Up,
    /// It failed [`limits::TARGET_FAILURES_MAX`] times in a row.
    Down,
}

/// What is to be done for a target.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Step {
    /// Nothing, before the next deadline.
    Rest,
    /// Ask where it is.
    Locate,
    /// Send OPTIONS this way, and say which request that is.
    Ping(Hop),
}

/// One target.
#[derive(Clone, Debug)]
pub(super) struct Health {
    /// From one round to the next.
    every: Duration,
    /// Whether it is pinged; else it is only located again.
    pings: bool,
    /// The ways to it, best first, as DNS said last.
    hops: Vec<Hop>,
    /// The way that is used.
    best: usize,
    /// Whether DNS had no way when it was asked last.
    is_lost: bool,
    standing: Standing,
    failures: u32,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// The next round begins then.
    Resting { until: Instant },
    /// DNS is asked; if no answer comes, it is asked again then.
    Locating { until: Instant },
    /// The way is to be pinged: nobody has said yet that it was.
    Sending { tried: usize },
    /// An OPTIONS is out, the one after `tried` others of this round.
    Pinging { ping: ClientId, tried: usize, until: Instant },
}

impl Health {
    /// A target whose first round begins at once. Without `every` it is not pinged, and counts as up whatever happens.
    pub(super) fn new(every: Option<Duration>) -> Health {
        Health {
            every: every.unwrap_or(limits::LOCATE_EVERY),
            pings: every.is_some(),
            hops: Vec::new(),
            best: 0,
            is_lost: false,
            standing: Standing::Unknown,
            failures: 0,
            state: State::Resting { until: Instant::default() },
        }
    }

    /// What is known of it.
    pub(super) fn standing(&self) -> Standing {
        self.standing
    }

    /// Whether DNS had no way to it when it was asked last.
    pub(super) fn is_lost(&self) -> bool {
        self.is_lost
    }

    /// The ways to it, the one that is used first; none as long as it was never found, or while it is down.
    pub(super) fn ways(&self) -> impl Iterator<Item = Hop> {
        let hops = if self.standing == Standing::Down { &[] } else { self.hops.as_slice() };
        let (before, from_best) = hops.split_at_checked(self.best).unwrap_or((&[], hops));
        from_best.iter().chain(before).copied()
    }

    /// When time matters next.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Resting { until } | State::Locating { until } | State::Pinging { until, .. } => Some(until),
            State::Sending { .. } => None,
        }
    }

    /// Time has passed. `chance` is below 1024: it spreads the rounds of many targets.
    pub(super) fn handle_timeout(&mut self, now: Instant, chance: u32) -> Step {
        match self.state {
            State::Resting { until } if now >= until => {
                self.state = State::Locating { until: now + limits::LOCATE_MAX * 2 };
                Step::Locate
            }
            // The question was lost on its way.
            State::Locating { until } if now >= until => self.handle_located(now, Err(Unlocated::Unanswered), chance),
            State::Pinging { until, tried, .. } if now >= until => self.fail_over(now, tried, chance),
            State::Resting { .. } | State::Locating { .. } | State::Pinging { .. } | State::Sending { .. } => {
                Step::Rest
            }
        }
    }

    /// DNS has answered.
    pub(super) fn handle_located(&mut self, now: Instant, found: Result<Vec<Hop>, Unlocated>, chance: u32) -> Step {
        if !matches!(self.state, State::Locating { .. }) {
            return Step::Rest;
        }
        self.is_lost = found.is_err();
        match found {
            Ok(hops) => {
                // The way that is used stays the one, if it is still there.
                let used = self.hops.get(self.best);
                self.best = used.and_then(|used| hops.iter().position(|hop| hop == used)).unwrap_or(0);
                self.hops = hops;
            }
            // Where it was is the best guess: a name server that is gone is no reason not to call.
            Err(Unlocated::Unanswered | Unlocated::Absent | Unlocated::Unsupported) => {}
        }
        match self.hops.get(self.best) {
            Some(hop) if self.pings => {
                self.state = State::Sending { tried: 0 };
                Step::Ping(*hop)
            }
            Some(_) => self.rest(now, self.every, chance),
            None => self.count_failure(now, chance),
        }
    }

    /// The OPTIONS that was asked for is out, or could not be sent.
    pub(super) fn handle_sent(&mut self, now: Instant, ping: Option<ClientId>, chance: u32) -> Step {
        let State::Sending { tried } = self.state else { return Step::Rest };
        match ping {
            Some(ping) => {
                self.state = State::Pinging { ping, tried, until: now + limits::PING_WAIT_MAX.min(self.every) };
                Step::Rest
            }
            None => self.fail_over(now, tried, chance),
        }
    }

    /// What came of an OPTIONS. Any answer shows that somebody is there who could take a call, also one that knows no OPTIONS or wants
    /// us to prove who we are; 503 says that it cannot (RFC 3261 §21.5.4), and 408 that nobody was behind it (§8.1.3.1).
    pub(super) fn handle_answer(&mut self, now: Instant, ping: ClientId, status: u16, chance: u32) -> Step {
        match self.state {
            State::Pinging { ping: ours, tried, .. } if ours == ping => match status {
                408 | 503 => self.fail_over(now, tried, chance),
                _ => {
                    (self.standing, self.failures) = (Standing::Up, 0);
                    self.rest(now, self.every, chance)
                }
            },
            // One of an earlier round; its time is over.
            State::Pinging { .. } | State::Resting { .. } | State::Locating { .. } | State::Sending { .. } => {
                Step::Rest
            }
        }
    }

    /// The next way, if there is one that was not tried in this round.
    fn fail_over(&mut self, now: Instant, tried: usize, chance: u32) -> Step {
        let tried = tried + 1;
        if tried >= self.hops.len() {
            return self.count_failure(now, chance);
        }
        self.best = (self.best + 1) % self.hops.len();
        self.state = State::Sending { tried };
        self.hops.get(self.best).map_or(Step::Rest, |hop| Step::Ping(*hop))
    }

    fn count_failure(&mut self, now: Instant, chance: u32) -> Step {
        self.failures = self.failures.saturating_add(1);
        if self.pings && self.failures >= limits::TARGET_FAILURES_MAX {
            self.standing = Standing::Down;
        }
        // Another round begins with the way after those that failed.
        self.best = if self.hops.is_empty() { 0 } else { (self.best + 1) % self.hops.len() };
        let soon = self.pings && self.standing != Standing::Down;
        self.rest(now, if soon { self.every.min(limits::PING_WAIT_MAX) } else { self.every }, chance)
    }

    /// Until the next round: the time given, less up to an eighth of it.
    fn rest(&mut self, now: Instant, time: Duration, chance: u32) -> Step {
        let less = time / 8 * chance.min(1023) / 1024;
        self.state = State::Resting { until: now + time.saturating_sub(less) };
        Step::Rest
    }
}
