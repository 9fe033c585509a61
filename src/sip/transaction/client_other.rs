//! The client transaction of every method but INVITE (RFC 3261 §17.1.2).
//! Not here: ACK, which has no transaction.

use super::timer::{Repeat, T2, Timer};
use super::{Class, Send, Tell, Todo, class};
use crate::mutant::{Mutant, planted};
use crate::time::{Duration, Instant};

/// One request of ours. Made when the request is first sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClientOther {
    state: State,
    reliable: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Sent; Timers E and F run. RFC 3261 has two states here, Trying and Proceeding; all that differs is the pause of
    /// Timer E, which [`Repeat::slowest`] holds.
    Trying {
        e: Option<Repeat>,
        f: Instant,
    },
    /// Answered; Timer K runs.
    Completed {
        k: Instant,
    },
    Terminated,
}

impl ClientOther {
    /// The request is being sent.
    pub fn new(now: Instant, reliable: bool) -> ClientOther {
        let e = Timer::E.duration(reliable && !planted(Mutant::RepeatedOverConnection)).map(|_| Repeat::new(now, T2));
        ClientOther { state: State::Trying { e, f: deadline(Timer::F, now, reliable) }, reliable }
    }

    /// Whether the final answer is still to come.
    pub fn is_pending(&self) -> bool {
        matches!(self.state, State::Trying { .. })
    }

    /// A response with our branch arrived.
    pub fn handle_response(&mut self, now: Instant, status: u16) -> Todo {
        match (self.state, class(status)) {
            (State::Trying { e, f }, Class::Provisional) => {
                self.state = State::Trying { e: e.map(Repeat::slowest), f };
                Todo::tell(Tell::Response)
            }
            (State::Trying { .. }, Class::Success | Class::Failure) => {
                let completed = State::Completed { k: deadline(Timer::K, now, self.reliable) };
                self.state = if self.reliable { State::Terminated } else { completed };
                Todo { tell: Tell::Response, ended: self.reliable, ..Todo::NOTHING }
            }
            (State::Completed { .. }, Class::Provisional | Class::Success | Class::Failure) => Todo::NOTHING,
            (State::Terminated, Class::Provisional | Class::Success | Class::Failure) => Todo::ENDED,
        }
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) -> Todo {
        let todo = match &mut self.state {
            State::Trying { f, .. } if now >= *f => Todo::FAILED,
            State::Trying { e: Some(e), .. } => Todo::send_if(e.is_due(now), Send::Request),
            State::Completed { k } if now >= *k => Todo::ENDED,
            State::Trying { e: None, .. } | State::Completed { .. } => Todo::NOTHING,
            State::Terminated => Todo::ENDED,
        };
        if todo.ended {
            self.state = State::Terminated;
        }
        todo
    }

    /// The request could not be sent (§17.1.4). After the final answer that is no news for the user.
    pub fn handle_transport_error(&mut self) -> Todo {
        let todo = if matches!(self.state, State::Trying { .. }) { Todo::FAILED } else { Todo::ENDED };
        self.state = State::Terminated;
        todo
    }

    /// When time matters next.
    pub fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Trying { e, f } => Some(e.map_or(f, |e| e.at().min(f))),
            State::Completed { k } => Some(k),
            State::Terminated => None,
        }
    }
}

fn deadline(timer: Timer, now: Instant, reliable: bool) -> Instant {
    now + timer.duration(reliable).unwrap_or(Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use super::super::timer::T1_64;
    use super::*;

    const START: Instant = Instant(0);

    fn at(millis: u64) -> Instant {
        START + Duration::from_millis(millis)
    }

    fn machines() -> [(&'static str, ClientOther); 4] {
        let trying = ClientOther::new(START, false);
        let (mut proceeding, mut completed, mut terminated) = (trying, trying, trying);
        let _ = proceeding.handle_response(START, 100);
        let _ = completed.handle_response(START, 200);
        let _ = terminated.handle_transport_error();
        [("trying", trying), ("proceeding", proceeding), ("completed", completed), ("terminated", terminated)]
    }

    #[test]
    fn every_event_is_defined_in_every_state() {
        let (up, nothing, ended, failed) = (Todo::tell(Tell::Response), Todo::NOTHING, Todo::ENDED, Todo::FAILED);
        let expected = [
            // 1xx, 2xx, 4xx, transport error
            ("trying", [up, up, up, failed]),
            ("proceeding", [up, up, up, failed]),
            ("completed", [nothing, nothing, nothing, ended]),
            ("terminated", [ended, ended, ended, ended]),
        ];
        for ((state, machine), (same, row)) in machines().into_iter().zip(expected) {
            assert_eq!(state, same);
            for (status, expected) in [100, 200, 481].into_iter().zip(row) {
                assert_eq!({ machine }.handle_response(at(1), status), expected, "{status} in {state}");
            }
            assert_eq!({ machine }.handle_transport_error(), row[3], "transport error in {state}");
        }
    }

    fn sent_until_the_end(mut machine: ClientOther) -> (Vec<u128>, Todo, Duration) {
        let mut sent = Vec::new();
        loop {
            let now = machine.deadline().unwrap();
            match machine.handle_timeout(now) {
                todo if todo == Todo::send(Send::Request) => sent.push((now - START).as_millis()),
                todo => return (sent, todo, now - START),
            }
        }
    }

    #[test]
    fn timer_e_doubles_up_to_t2_and_timer_f_gives_up() {
        let every_4_s = [3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500];
        let [(_, trying), (_, proceeding), (_, completed), _] = machines();
        let expected: Vec<u128> = [500, 1500].into_iter().chain(every_4_s).collect();
        assert_eq!(sent_until_the_end(trying), (expected, Todo::FAILED, T1_64));
        let expected: Vec<u128> = (0..8).map(|n| 500 + n * 4000).collect();
        assert_eq!(sent_until_the_end(proceeding), (expected, Todo::FAILED, T1_64));
        assert_eq!(sent_until_the_end(completed), (Vec::new(), Todo::ENDED, Duration::from_secs(5)));
        assert_eq!(sent_until_the_end(ClientOther::new(START, true)), (Vec::new(), Todo::FAILED, T1_64));
    }

    #[test]
    fn over_a_reliable_transport_the_answer_ends_it() {
        let mut machine = ClientOther::new(START, true);
        assert!(machine.handle_response(START, 200).ended);
    }
}
