//! The transferor: a client that has handed its call on (RFC 5589 §6.1). Its leg is no part of the call any more; it is told what comes of
//! the transfer in the subscription that its REFER has made (RFC 3515 §2.4.4), and then hung up on. It may hang up first: its session is
//! over then, and the subscription goes on in the dialog (RFC 5057 §4.1) until it was told.
//! Not here: whether it may (`switch::transfer`), and the caller that waits again (`held`).
//!
//! ```text
//!  202 ──▶ NOTIFY 100 active ──▶ … ──▶ NOTIFY outcome terminated ──its answer──▶ BYE, unless it has hung up
//!  202 with Refer-Sub: false ──▶ BYE
//! ```

use super::Turn;
use super::leg::{Answered, Leaving, plain, status, too_early};
use crate::sip::endpoint::{ClientId, DialogId, ServerId};
use crate::sip::wire::{Message, Method, write};

/// What a NOTIFY of a transfer carries (RFC 3515 §2.4.5).
const FRAGMENT: &str = "message/sipfrag;version=2.0";
/// What no answer at all counts as (RFC 3261 §8.1.3.1).
const NO_ANSWER: u16 = 408;

/// Something in the transferor's dialog.
pub enum FromTransferor<'a> {
    /// A request.
    Request {
        /// To be answered.
        transaction: ServerId,
        /// What it asks.
        request: &'a Message<'a>,
    },
    /// A response to a request of ours; `None`: there was none.
    Response {
        /// To which request.
        transaction: ClientId,
        /// The response.
        response: Option<&'a Message<'a>>,
    },
}

/// The leg.
#[derive(Debug)]
pub(super) struct Transferor {
    leg: Answered,
    /// The value of Event while it is subscribed.
    event: Option<String>,
    /// The NOTIFY that has no answer yet.
    notify: Option<ClientId>,
    /// What came of it, while it has not been told.
    outcome: Option<u16>,
    /// It knows all that it will ever know.
    is_told: bool,
    /// It has hung up itself.
    is_gone: bool,
}

/// What is left of the leg after a step.
#[derive(Debug)]
pub(super) enum Left {
    Telling(Box<Transferor>),
    Leaving(Leaving),
}

impl Transferor {
    /// Its REFER has its 202. `event`: what it is told as, if it wants to be.
    pub(super) fn begin(leg: Answered, event: Option<String>, expires: u64, turn: &mut Turn<'_>) -> Left {
        let is_told = event.is_none();
        let mut it = Transferor { leg, event, notify: None, outcome: None, is_told, is_gone: false };
        it.notify(100, &format!("active;expires={expires}"), turn);
        it.go_on(turn)
    }

    fn notify(&mut self, status: u16, state: &str, turn: &mut Turn<'_>) {
        let Some(event) = &self.event else { return };
        let fragment = format!("SIP/2.0 {status} {}\r\n", write::reason_phrase(status));
        let headers = [("Event", event.as_str()), ("Subscription-State", state)];
        let body = Some((FRAGMENT, fragment.as_bytes()));
        self.notify = turn.endpoint.request(turn.now, self.leg.dialog, Method::Notify, &headers, body);
    }

    /// The next thing: one NOTIFY at a time, so that they come in order, and a BYE after the last.
    fn go_on(mut self, turn: &mut Turn<'_>) -> Left {
        if self.notify.is_some() {
            return Left::Telling(Box::new(self));
        }
        if let Some(status) = self.outcome.take()
            && !self.is_told
        {
            self.is_told = true;
            self.notify(status, "terminated;reason=noresource", turn);
            if self.notify.is_some() {
                return Left::Telling(Box::new(self));
            }
        }
        if self.is_told { self.leave(turn) } else { Left::Telling(Box::new(self)) }
    }

    fn leave(self, turn: &mut Turn<'_>) -> Left {
        if self.is_gone {
            turn.endpoint.close(turn.now, self.leg.dialog);
            return Left::Leaving(Leaving::Gone);
        }
        Left::Leaving(self.leg.leave(turn, None, None))
    }

    fn requested(mut self, transaction: ServerId, request: &Message<'_>, turn: &mut Turn<'_>) -> Left {
        let is_bye = request.start().method() == Some(Method::Bye);
        if self.is_gone {
            turn.endpoint.respond(turn.now, transaction, &plain(481));
        } else if is_bye {
            turn.endpoint.respond(turn.now, transaction, &plain(200));
            self.is_gone = true;
        } else {
            too_early(turn, transaction, request);
        }
        self.go_on(turn)
    }

    fn responded(mut self, transaction: ClientId, status: u16, turn: &mut Turn<'_>) -> Left {
        if self.notify.take_if(|notify| *notify == transaction).is_some() && status >= 300 {
            // RFC 6665 §4.2.2: a NOTIFY that fails ends the subscription; nobody listens any more.
            self.is_told = true;
        }
        self.go_on(turn)
    }
}

impl Left {
    /// What came of the transfer, as the status of a response to the REFER's call would say it.
    pub(super) fn tell(self, outcome: u16, turn: &mut Turn<'_>) -> Left {
        match self {
            Left::Telling(it) => Transferor { outcome: Some(outcome), ..*it }.go_on(turn),
            Left::Leaving(leaving) => Left::Leaving(leaving),
        }
    }

    /// Something in its dialog.
    pub(super) fn handle(self, event: FromTransferor<'_>, turn: &mut Turn<'_>) -> Left {
        match (self, event) {
            (Left::Telling(it), FromTransferor::Request { transaction, request }) => {
                it.requested(transaction, request, turn)
            }
            (Left::Telling(it), FromTransferor::Response { transaction, response }) => {
                match response.map_or(NO_ANSWER, status) {
                    ..200 => Left::Telling(it),
                    status => it.responded(transaction, status, turn),
                }
            }
            (Left::Leaving(leaving), FromTransferor::Request { transaction, request }) => {
                Left::Leaving(leaving.handle_request(turn, transaction, request.start().method()))
            }
            (Left::Leaving(leaving), FromTransferor::Response { transaction, response: Some(response) }) => {
                Left::Leaving(leaving.handle_response(turn, transaction, response))
            }
            (Left::Leaving(leaving), FromTransferor::Response { transaction, response: None }) => {
                Left::Leaving(leaving.handle_bye_done(turn, transaction))
            }
        }
    }

    /// The call is over: nothing that it says matters any more.
    pub(super) fn dismiss(self, turn: &mut Turn<'_>) {
        let left = match self {
            Left::Telling(it) => it.leave(turn),
            left @ Left::Leaving(_) => left,
        };
        if let Left::Leaving(leaving) = left {
            leaving.abandon(turn);
        }
    }

    /// Its dialog, while it has one.
    pub(super) fn dialog(&self) -> Option<DialogId> {
        match self {
            Left::Telling(it) => Some(it.leg.dialog),
            Left::Leaving(leaving) => leaving.dialog(),
        }
    }
}
