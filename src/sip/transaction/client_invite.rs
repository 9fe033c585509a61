//! The INVITE client transaction (RFC 3261 §17.1.1, amended by RFC 6026 §7.2: state Accepted, Timer M).
//! Not here: the ACK of a 2xx, which is no part of the transaction (§13.2.2.4); the endpoint sends and repeats it.

use super::timer::{Repeat, T1_64, Timer};
use super::{Class, Send, Tell, Todo, class};
use crate::time::{Duration, Instant};

/// One INVITE of ours. Made when the INVITE is first sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClientInvite {
    state: State,
    reliable: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Sent; Timers A and B run.
    Calling {
        a: Option<Repeat>,
        b: Instant,
    },
    /// A provisional answer came. RFC 3261 leaves it to the user to end this state; that nothing stays forever, the
    /// patience of a proxy is borrowed (Timer C, §16.6 item 11).
    Proceeding {
        c: Instant,
    },
    /// It was cancelled and has no final answer yet.
    Cancelled {
        end: Instant,
    },
    /// A final answer other than 2xx came and was acknowledged; Timer D runs.
    Completed {
        d: Instant,
    },
    /// A 2xx came; Timer M runs.
    Accepted {
        m: Instant,
    },
    Terminated,
}

impl ClientInvite {
    /// The INVITE is being sent.
    pub fn new(now: Instant, reliable: bool) -> ClientInvite {
        // §17.1.1.2: Timer A doubles without an upper bound; Timer B ends it.
        let a = Timer::A.duration(reliable).map(|_| Repeat::new(now, Duration::MAX));
        ClientInvite { state: State::Calling { a, b: deadline(Timer::B, now, reliable) }, reliable }
    }

    /// Whether no final answer has come.
    pub fn is_pending(&self) -> bool {
        matches!(self.state, State::Calling { .. } | State::Proceeding { .. } | State::Cancelled { .. })
    }

    /// Whether it has a provisional answer and no final one.
    pub fn is_proceeding(&self) -> bool {
        matches!(self.state, State::Proceeding { .. })
    }

    /// Whether it was answered with 2xx and more of those are expected.
    pub fn is_accepted(&self) -> bool {
        matches!(self.state, State::Accepted { .. })
    }

    /// A CANCEL goes out (§9.1): with no final answer in 64*T1 from here the INVITE counts as cancelled, however long it would have rung.
    pub fn cancel(&mut self, now: Instant) {
        if self.is_proceeding() {
            self.state = State::Cancelled { end: now + T1_64 };
        }
    }

    /// A response with our branch arrived.
    pub fn handle_response(&mut self, now: Instant, status: u16) -> Todo {
        let at = |timer| deadline(timer, now, self.reliable);
        match (self.state, class(status)) {
            (State::Calling { .. } | State::Proceeding { .. }, Class::Provisional) => {
                self.state = State::Proceeding { c: at(Timer::C) };
                Todo::tell(Tell::Response)
            }
            (State::Cancelled { .. }, Class::Provisional) => Todo::tell(Tell::Response),
            (State::Calling { .. } | State::Proceeding { .. } | State::Cancelled { .. }, Class::Success) => {
                self.state = State::Accepted { m: at(Timer::M) };
                Todo::tell(Tell::Response)
            }
            (State::Calling { .. } | State::Proceeding { .. } | State::Cancelled { .. }, Class::Failure) => {
                self.state = if self.reliable { State::Terminated } else { State::Completed { d: at(Timer::D) } };
                Todo { send: Send::Ack, tell: Tell::Response, ended: self.reliable }
            }
            (State::Completed { .. }, Class::Failure) => Todo::send(Send::Ack),
            (State::Accepted { .. }, Class::Success) => Todo::tell(Tell::Repeated),
            (State::Completed { .. }, Class::Provisional | Class::Success) => Todo::NOTHING,
            (State::Accepted { .. }, Class::Provisional | Class::Failure) => Todo::NOTHING,
            (State::Terminated, Class::Provisional | Class::Success | Class::Failure) => Todo::ENDED,
        }
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) -> Todo {
        let todo = match &mut self.state {
            State::Calling { b, .. } if now >= *b => Todo::FAILED,
            State::Calling { a: Some(a), .. } => Todo::send_if(a.is_due(now), Send::Request),
            State::Calling { a: None, .. } => Todo::NOTHING,
            State::Proceeding { c: end } | State::Cancelled { end } if now >= *end => Todo::FAILED,
            State::Completed { d: end } | State::Accepted { m: end } if now >= *end => Todo::ENDED,
            State::Proceeding { .. } | State::Cancelled { .. } => Todo::NOTHING,
            State::Completed { .. } | State::Accepted { .. } => Todo::NOTHING,
            State::Terminated => Todo::ENDED,
        };
        if todo.ended {
            self.state = State::Terminated;
        }
        todo
    }

    /// The request or an ACK could not be sent (§17.1.4). After the final answer that is no news for the user.
    pub fn handle_transport_error(&mut self) -> Todo {
        let todo = if self.is_pending() { Todo::FAILED } else { Todo::ENDED };
        self.state = State::Terminated;
        todo
    }

    /// When time matters next.
    pub fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Calling { a, b } => Some(a.map_or(b, |a| a.at().min(b))),
            State::Proceeding { c: at } | State::Cancelled { end: at } => Some(at),
            State::Completed { d: at } | State::Accepted { m: at } => Some(at),
            State::Terminated => None,
        }
    }
}

fn deadline(timer: Timer, now: Instant, reliable: bool) -> Instant {
    now + timer.duration(reliable).unwrap_or(Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Instant = Instant(1_000_000);

    fn at(millis: u64) -> Instant {
        START + Duration::from_millis(millis)
    }

    /// A machine in each state, unreliable.
    fn machines() -> [(&'static str, ClientInvite); 5] {
        let calling = ClientInvite::new(START, false);
        let after = |statuses: &[u16]| {
            let mut machine = calling;
            for status in statuses {
                let _ = machine.handle_response(START, *status);
            }
            machine
        };
        let mut terminated = calling;
        let _ = terminated.handle_transport_error();
        [
            ("calling", calling),
            ("proceeding", after(&[180])),
            ("completed", after(&[486])),
            ("accepted", after(&[200])),
            ("terminated", terminated),
        ]
    }

    #[test]
    fn every_response_is_defined_in_every_state() {
        let (up, nothing) = (Todo::tell(Tell::Response), Todo::NOTHING);
        let up_and_ack = Todo { send: Send::Ack, ..up };
        let expected = [
            ("calling", [up, up, up_and_ack]),
            ("proceeding", [up, up, up_and_ack]),
            ("completed", [nothing, nothing, Todo::send(Send::Ack)]),
            ("accepted", [nothing, Todo::tell(Tell::Repeated), nothing]),
            ("terminated", [Todo::ENDED; 3]),
        ];
        for ((state, machine), (same, row)) in machines().into_iter().zip(expected) {
            assert_eq!(state, same);
            for (status, expected) in [183, 200, 503].into_iter().zip(row) {
                assert_eq!({ machine }.handle_response(at(1), status), expected, "{status} in {state}");
            }
        }
    }

    #[test]
    fn every_state_but_the_last_ends_by_itself() {
        for ((state, mut machine), (end_ms, todo)) in machines().into_iter().zip([
            (32_000, Todo::FAILED),
            (181_000, Todo::FAILED),
            (32_000, Todo::ENDED),
            (32_000, Todo::ENDED),
            (0, Todo::ENDED),
        ]) {
            if end_ms > 0 {
                assert!(!machine.handle_timeout(at(end_ms - 1)).ended, "{state} ends early");
            }
            assert_eq!(machine.handle_timeout(at(end_ms)), todo, "{state}");
            assert_eq!(machine.deadline(), None, "{state}");
        }
    }

    #[test]
    fn the_request_is_repeated_at_doubling_pauses_until_timer_b() {
        let mut machine = ClientInvite::new(START, false);
        let mut sent = Vec::new();
        let end = loop {
            let now = machine.deadline().unwrap();
            match machine.handle_timeout(now) {
                todo if todo == Todo::send(Send::Request) => sent.push((now - START).as_millis()),
                todo => break (todo, now - START),
            }
        };
        assert_eq!(sent, [500, 1500, 3500, 7500, 15_500, 31_500]);
        assert_eq!(end, (Todo::FAILED, T1_64));
    }

    #[test]
    fn one_that_is_cancelled_waits_for_64_t1_however_often_it_rings_and_not_for_timer_c() {
        let mut machine = ClientInvite::new(START, false);
        machine.cancel(at(0));
        assert!(!machine.is_proceeding(), "§9.1: nothing is cancelled that nobody has heard");
        assert_eq!(machine.handle_response(at(100), 180), Todo::tell(Tell::Response));
        machine.cancel(at(1_000));
        assert_eq!(machine.handle_response(at(2_000), 180), Todo::tell(Tell::Response));
        assert_eq!(machine.deadline(), Some(at(1_000) + T1_64));
        assert_eq!(machine.handle_timeout(at(32_999)), Todo::NOTHING);
        let mut answered = machine;
        assert_eq!(answered.handle_response(at(32_999), 487).send, Send::Ack);
        assert_eq!(machine.handle_response(at(32_999), 200), Todo::tell(Tell::Response), "it may be too late");
        let mut silent = ClientInvite::new(START, false);
        assert_eq!(silent.handle_response(at(100), 180), Todo::tell(Tell::Response));
        silent.cancel(at(1_000));
        assert_eq!(silent.handle_timeout(at(33_000)), Todo::FAILED);
    }

    #[test]
    fn over_a_reliable_transport_nothing_is_repeated_or_awaited() {
        let mut machine = ClientInvite::new(START, true);
        assert_eq!(machine.deadline(), Some(START + T1_64));
        let todo = machine.handle_response(at(1), 404);
        assert_eq!(todo, Todo { send: Send::Ack, tell: Tell::Response, ended: true });
    }

    #[test]
    fn a_transport_error_fails_the_request_unless_it_is_answered() {
        for ((state, mut machine), failed) in machines().into_iter().zip([true, true, false, false, false]) {
            let expected = if failed { Todo::FAILED } else { Todo::ENDED };
            assert_eq!(machine.handle_transport_error(), expected, "{state}");
        }
    }
}
