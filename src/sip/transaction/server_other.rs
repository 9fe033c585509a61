//! The server transaction of every method but INVITE and ACK (RFC 3261 §17.2.2).
//! Not here: the responses themselves.

use super::timer::{T1, T1_64, Timer};
use super::{Class, Send, Todo, class};
use crate::time::{Duration, Instant};

/// One request of a peer. Made when the request arrives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ServerOther {
    state: State,
    reliable: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Not answered yet. RFC 3261 sets no timer here; ours is the client's Timer F: after it nobody can use the answer
    /// (RFC 4320 §4.2: nor may a 408 be sent), and nothing stays forever. A little longer, so that an answer that had to wait for
    /// another peer's whole Timer F still is one.
    Trying {
        f: Instant,
    },
    /// Answered with 1xx.
    Proceeding {
        f: Instant,
    },
    /// Answered; Timer J runs.
    Completed {
        j: Instant,
    },
    Terminated,
}

impl ServerOther {
    /// A request arrived.
    pub fn new(now: Instant, reliable: bool) -> ServerOther {
        ServerOther { state: State::Trying { f: now + T1_64 + T1 }, reliable }
    }

    /// Whether a final answer is still owed.
    pub fn is_pending(&self) -> bool {
        matches!(self.state, State::Trying { .. } | State::Proceeding { .. })
    }

    /// The request arrived again.
    pub fn handle_request(&mut self) -> Todo {
        match self.state {
            State::Trying { .. } => Todo::NOTHING,
            State::Proceeding { .. } | State::Completed { .. } => Todo::send(Send::Response),
            State::Terminated => Todo::ENDED,
        }
    }

    /// The user answers. `None`: it may not, there is a final answer already.
    pub fn handle_response(&mut self, now: Instant, status: u16) -> Option<Todo> {
        let (State::Trying { f } | State::Proceeding { f }) = self.state else {
            return None;
        };
        match class(status) {
            Class::Provisional => self.state = State::Proceeding { f },
            Class::Success | Class::Failure if self.reliable => self.state = State::Terminated,
            Class::Success | Class::Failure => {
                self.state = State::Completed { j: now + Timer::J.duration(false).unwrap_or(Duration::ZERO) };
            }
        }
        Some(Todo { ended: self.state == State::Terminated, ..Todo::send(Send::Response) })
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) -> Todo {
        match self.state {
            State::Trying { f: end } | State::Proceeding { f: end } | State::Completed { j: end } if now < end => {
                Todo::NOTHING
            }
            State::Trying { .. } | State::Proceeding { .. } | State::Completed { .. } | State::Terminated => {
                self.state = State::Terminated;
                Todo::ENDED
            }
        }
    }

    /// When time matters next.
    pub fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Trying { f: end } | State::Proceeding { f: end } | State::Completed { j: end } => Some(end),
            State::Terminated => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Instant = Instant(0);

    fn machines() -> [(&'static str, ServerOther); 4] {
        let trying = ServerOther::new(START, false);
        let (mut proceeding, mut completed, mut terminated) = (trying, trying, trying);
        let _ = proceeding.handle_response(START, 100);
        let _ = completed.handle_response(START, 200);
        let _ = terminated.handle_timeout(START + T1_64 + T1);
        [("trying", trying), ("proceeding", proceeding), ("completed", completed), ("terminated", terminated)]
    }

    #[test]
    fn every_event_is_defined_in_every_state() {
        let (nothing, send) = (Todo::NOTHING, Todo::send(Send::Response));
        let expected = [
            // the request again, 1xx, 2xx, 4xx
            ("trying", [Some(nothing), Some(send), Some(send), Some(send)]),
            ("proceeding", [Some(send), Some(send), Some(send), Some(send)]),
            ("completed", [Some(send), None, None, None]),
            ("terminated", [Some(Todo::ENDED), None, None, None]),
        ];
        for ((state, machine), (same, row)) in machines().into_iter().zip(expected) {
            assert_eq!(state, same);
            assert_eq!(Some({ machine }.handle_request()), row[0], "again in {state}");
            for (status, expected) in [100, 200, 481].into_iter().zip(&row[1..]) {
                assert_eq!({ machine }.handle_response(START, status), *expected, "{status} in {state}");
            }
        }
    }

    #[test]
    fn every_state_ends_after_64_t1_or_a_little_later() {
        for (state, mut machine) in machines() {
            let Some(end) = machine.deadline() else {
                assert_eq!(state, "terminated");
                continue;
            };
            let late = if state == "completed" { Duration::ZERO } else { T1 };
            assert_eq!(end, START + T1_64 + late, "{state}");
            assert_eq!(machine.handle_timeout(Instant(end.0 - 1)), Todo::NOTHING, "{state}");
            assert_eq!(machine.handle_timeout(end), Todo::ENDED, "{state}");
        }
    }

    #[test]
    fn over_a_reliable_transport_the_answer_ends_it() {
        let mut machine = ServerOther::new(START, true);
        assert!(!machine.handle_response(START, 100).unwrap().ended);
        assert!(machine.handle_response(START, 200).unwrap().ended);
    }
}
