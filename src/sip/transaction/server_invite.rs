//! The INVITE server transaction (RFC 3261 §17.2.1, amended by RFC 6026 §7.1: state Accepted, Timer L).
//! The repetition of a 2xx until its ACK is the user agent's business, not the transaction's (§13.3.1.4); it is kept here all
//! the same, since both give up at the same moment, 64*T1 after the 2xx, and one timer does for both.
//! Not here: the responses themselves.

use super::timer::{Repeat, T2, TRYING, Timer};
use super::{Class, Send, Tell, Todo, class};
use crate::mutant::{Mutant, planted};
use crate::time::{Duration, Instant};

/// One INVITE of a peer. Made when the INVITE arrives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ServerInvite {
    state: State,
    reliable: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// No final answer yet. Until there is any, 100 is due.
    Proceeding {
        trying: Option<Instant>,
    },
    /// Answered with 300 to 699; Timers G and H run.
    Completed {
        g: Option<Repeat>,
        h: Instant,
    },
    /// That answer was acknowledged; Timer I runs.
    Confirmed {
        i: Instant,
    },
    /// Answered with 2xx, which is repeated until it is acknowledged; Timer L runs.
    Accepted {
        repeat: Option<Repeat>,
        l: Instant,
    },
    Terminated,
}

impl ServerInvite {
    /// An INVITE arrived.
    pub fn new(now: Instant, reliable: bool) -> ServerInvite {
        ServerInvite { state: State::Proceeding { trying: Some(now + TRYING) }, reliable }
    }

    /// Whether a final answer is still owed.
    pub fn is_pending(&self) -> bool {
        matches!(self.state, State::Proceeding { .. })
    }

    /// Whether the answer was a 2xx whose ACK has not come.
    pub fn awaits_ack(&self) -> bool {
        matches!(self.state, State::Accepted { repeat: Some(_), .. })
    }

    /// Whether a final answer of any kind was sent and not acknowledged.
    pub fn is_unheard(&self) -> bool {
        matches!(self.state, State::Completed { .. }) || self.awaits_ack()
    }

    /// Whether the latest response may have to be sent again.
    pub fn needs_response(&self) -> bool {
        match self.state {
            State::Proceeding { .. } | State::Completed { .. } => true,
            State::Accepted { repeat, .. } => repeat.is_some(),
            State::Confirmed { .. } | State::Terminated => false,
        }
    }

    /// The INVITE arrived again.
    pub fn handle_request(&mut self) -> Todo {
        match self.state {
            State::Proceeding { trying: Some(_) } => Todo::send(Send::Trying),
            State::Proceeding { trying: None } | State::Completed { .. } => Todo::send(Send::Response),
            // RFC 6026 §7.1: absorbed; the 2xx has its own schedule.
            State::Accepted { .. } | State::Confirmed { .. } => Todo::NOTHING,
            State::Terminated => Todo::ENDED,
        }
    }

    /// An ACK arrived: with the INVITE's branch for a final answer that is not 2xx, in the dialog for a 2xx.
    pub fn handle_ack(&mut self, now: Instant) -> Todo {
        match self.state {
            State::Completed { .. } if self.reliable => self.end(Todo::ENDED),
            State::Completed { .. } => {
                self.state = State::Confirmed { i: now + Timer::I.duration(false).unwrap_or(Duration::ZERO) };
                Todo::NOTHING
            }
            State::Accepted { repeat: Some(_), l } => {
                self.state = State::Accepted { repeat: None, l };
                Todo::tell(Tell::Acknowledged)
            }
            State::Proceeding { .. } | State::Accepted { repeat: None, .. } | State::Confirmed { .. } => Todo::NOTHING,
            State::Terminated => Todo::ENDED,
        }
    }

    /// The user answers. `None`: it may not, there is a final answer already.
    pub fn handle_response(&mut self, now: Instant, status: u16) -> Option<Todo> {
        if !self.is_pending() {
            return None;
        }
        let end = |timer: Timer| now + timer.duration(self.reliable).unwrap_or(Duration::ZERO);
        // §17.2.1 and §13.3.1.4: T1, doubling, at most T2. The 2xx over a reliable transport too: a later hop may not be.
        let repeat = Repeat::new(now, T2);
        self.state = match class(status) {
            Class::Provisional => State::Proceeding { trying: None },
            Class::Success => State::Accepted { repeat: Some(repeat), l: end(Timer::L) },
            Class::Failure => {
                let g = Timer::G.duration(self.reliable).map(|_| repeat);
                State::Completed { g, h: end(Timer::H) }
            }
        };
        Some(Todo::send(Send::Response))
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) -> Todo {
        match &mut self.state {
            State::Accepted { repeat: Some(_), l } if now >= *l => {
                self.end(Todo { tell: Tell::Unacknowledged, ..Todo::ENDED })
            }
            State::Accepted { l: end, .. } | State::Completed { h: end, .. } | State::Confirmed { i: end }
                if now >= *end =>
            {
                self.end(Todo::ENDED)
            }
            State::Accepted { repeat: Some(repeat), .. } | State::Completed { g: Some(repeat), .. } => {
                Todo::send_if(repeat.is_due(now) && !planted(Mutant::AnswerNotRepeated), Send::Response)
            }
            State::Proceeding { trying } => Todo::send_if(trying.is_some_and(|trying| now >= trying), Send::Trying),
            State::Confirmed { .. } => Todo::NOTHING,
            State::Accepted { repeat: None, .. } | State::Completed { g: None, .. } => Todo::NOTHING,
            State::Terminated => Todo::ENDED,
        }
    }

    /// When time matters next. Once it was answered provisionally, never while we owe the final answer: how long a call may wait is the
    /// call's business.
    pub fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Proceeding { trying } => trying,
            State::Terminated => None,
            State::Completed { g: repeat, h: end } | State::Accepted { repeat, l: end } => {
                Some(repeat.map_or(end, |repeat| repeat.at().min(end)))
            }
            State::Confirmed { i } => Some(i),
        }
    }

    fn end(&mut self, todo: Todo) -> Todo {
        self.state = State::Terminated;
        todo
    }
}

#[cfg(test)]
mod tests {
    use super::super::timer::T1_64;
    use super::*;

    const START: Instant = Instant(7_000_000);

    fn at(millis: u64) -> Instant {
        START + Duration::from_millis(millis)
    }

    fn after(status: u16, acknowledged: bool) -> ServerInvite {
        let mut machine = ServerInvite::new(START, false);
        let _ = machine.handle_response(START, status);
        if acknowledged {
            let _ = machine.handle_ack(START);
        }
        machine
    }

    fn machines() -> [(&'static str, ServerInvite); 7] {
        let mut terminated = after(486, false);
        let _ = terminated.handle_timeout(at(32_000));
        [
            ("unanswered", ServerInvite::new(START, false)),
            ("proceeding", after(180, false)),
            ("completed", after(486, false)),
            ("confirmed", after(486, true)),
            ("accepted", after(200, false)),
            ("acknowledged", after(200, true)),
            ("terminated", terminated),
        ]
    }

    #[test]
    fn every_event_is_defined_in_every_state() {
        let (nothing, send, ended) = (Todo::NOTHING, Todo::send(Send::Response), Todo::ENDED);
        let expected = [
            // INVITE again, ACK, 1xx, 2xx, 4xx
            ("unanswered", [Some(Todo::send(Send::Trying)), Some(nothing), Some(send), Some(send), Some(send)]),
            ("proceeding", [Some(send), Some(nothing), Some(send), Some(send), Some(send)]),
            ("completed", [Some(send), Some(nothing), None, None, None]),
            ("confirmed", [Some(nothing), Some(nothing), None, None, None]),
            ("accepted", [Some(nothing), Some(Todo::tell(Tell::Acknowledged)), None, None, None]),
            ("acknowledged", [Some(nothing), Some(nothing), None, None, None]),
            ("terminated", [Some(ended), Some(ended), None, None, None]),
        ];
        for ((state, machine), (same, row)) in machines().into_iter().zip(expected) {
            assert_eq!(state, same);
            assert_eq!(Some({ machine }.handle_request()), row[0], "INVITE in {state}");
            assert_eq!(Some({ machine }.handle_ack(at(1))), row[1], "ACK in {state}");
            for (status, expected) in [180, 200, 487].into_iter().zip(&row[2..]) {
                assert_eq!({ machine }.handle_response(at(1), status), *expected, "{status} in {state}");
            }
        }
    }

    /// When the response is repeated, and how and when it ends.
    fn sent_until_the_end(mut machine: ServerInvite) -> (Vec<u128>, Todo, Duration) {
        let mut sent = Vec::new();
        loop {
            let now = machine.deadline().unwrap();
            match machine.handle_timeout(now) {
                todo if todo == Todo::send(Send::Response) => sent.push((now - START).as_millis()),
                todo => return (sent, todo, now - START),
            }
        }
    }

    #[test]
    fn a_final_answer_is_repeated_at_t1_to_t2_until_64_t1() {
        let every: Vec<u128> = [500, 1500].into_iter().chain((0..8).map(|n| 3500 + n * 4000)).collect();
        let unacknowledged = Todo { tell: Tell::Unacknowledged, ..Todo::ENDED };
        let [_, proceeding, completed, confirmed, accepted, acknowledged, _] = machines().map(|(_, machine)| machine);
        assert_eq!(proceeding.deadline(), None);
        assert_eq!(sent_until_the_end(completed), (every.clone(), Todo::ENDED, T1_64));
        assert_eq!(sent_until_the_end(confirmed), (Vec::new(), Todo::ENDED, Duration::from_secs(5)));
        assert_eq!(sent_until_the_end(accepted), (every, unacknowledged, T1_64));
        assert_eq!(sent_until_the_end(acknowledged), (Vec::new(), Todo::ENDED, T1_64));
    }

    #[test]
    fn trying_is_due_after_200_ms_without_any_answer() {
        for reliable in [false, true] {
            let unanswered = ServerInvite::new(START, reliable);
            assert_eq!(unanswered.deadline(), Some(at(200)));
            assert_eq!({ unanswered }.handle_timeout(at(199)), Todo::NOTHING);
            assert_eq!({ unanswered }.handle_timeout(at(200)), Todo::send(Send::Trying));
            for status in [100, 180] {
                let mut answered = unanswered;
                let _ = answered.handle_response(at(1), status);
                assert_eq!((answered.deadline(), answered.handle_timeout(at(200))), (None, Todo::NOTHING), "{status}");
            }
        }
    }

    #[test]
    fn over_a_reliable_transport_only_2xx_is_repeated() {
        let mut machine = ServerInvite::new(START, true);
        let _ = machine.handle_response(START, 486);
        assert_eq!(machine.deadline(), Some(START + T1_64), "Timer H alone");
        assert_eq!(machine.handle_ack(at(1)), Todo::ENDED, "Timer I is zero");
        let mut machine = ServerInvite::new(START, true);
        let _ = machine.handle_response(START, 200);
        assert_eq!(machine.deadline(), Some(at(500)));
    }

    #[test]
    fn what_is_owed_and_awaited_is_known() {
        let expected = [(true, false, true), (true, false, true), (false, false, true), (false, false, false)];
        let accepted = [(false, true, true), (false, false, false), (false, false, false)];
        for ((state, machine), expected) in machines().into_iter().zip(expected.into_iter().chain(accepted)) {
            let found = (machine.is_pending(), machine.awaits_ack(), machine.needs_response());
            assert_eq!(found, expected, "{state}");
        }
    }
}
