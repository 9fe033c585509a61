//! INFO in a bridge (RFC 2976, RFC 6086 §4): digits that one side presses are carried to the other. Anything else has no meaning that we
//! could answer for.
//! Not here: digits in RTP (RFC 4733), which the relay forwards without us.
//!
//! ```text
//!  Info-Package ─▶ 469, we know none │ empty ─▶ 200 │ digits ─▶ telephone-event, 200, or INFO to the other side, its answer │ else ─▶ 415
//! ```

use super::bridged::{Bridged, End};
use super::leg::{plain, status};
use super::pressed::InfoAs;
use super::signal::Signal;
use super::{Facts, State, Turn};
use crate::id::Side;
use crate::limits;
use crate::media::Dialled;
use crate::mutant::{Mutant, planted};
use crate::sip::endpoint::{ClientId, Reply, ServerId};
use crate::sip::wire::{Message, Method};
use arrayvec::ArrayVec;

/// The kinds of content that are carried.
const DIGITS: [&str; 2] = ["application/dtmf-relay", "application/dtmf"];
/// The same as Accept has them.
const ACCEPT: &str = "application/dtmf-relay, application/dtmf";

/// INFOs on their way across.
pub(super) type Infos = ArrayVec<Info, { limits::INFOS_OPEN_MAX }>;

/// One of them.
#[derive(Debug)]
pub(super) struct Info {
    received: ServerId,
    sent: ClientId,
}

impl Bridged {
    /// An INFO.
    pub(super) fn inform(
        mut self: Box<Self>,
        from: Side,
        received: ServerId,
        request: &Message<'_>,
        facts: &Facts,
        turn: &mut Turn<'_>,
    ) -> Box<Self> {
        let refused = |status, headers| Some(Reply { headers, ..plain(status) });
        let reply = if request.other("Info-Package").is_some() {
            // RFC 6086 §4.2.2: with the packages that we take, which are none.
            refused(469, &[("Recv-Info", "")][..])
        } else if request.body().is_empty() || self.press_info(from, request, facts, turn) {
            refused(200, &[])
        } else {
            match self.carry_info(from, received, request, turn) {
                Ok(()) => {
                    if let Some(Signal { key, duration_ms }) = Signal::parse(request.body()) {
                        self.pressed_by_info(from, (key, duration_ms), facts, turn);
                    }
                    None
                }
                Err(415) => refused(415, &[("Accept", ACCEPT)]),
                Err(503) => refused(503, &[("Retry-After", "1")]),
                Err(status) => refused(status, &[]),
            }
        };
        if let Some(reply) = reply {
            turn.endpoint.respond(turn.now, received, &reply);
        }
        self
    }

    /// Presses the digit for the other side to hear, where that is how it hears digits and the operator wants it so.
    fn press_info(&mut self, from: Side, request: &Message<'_>, facts: &Facts, turn: &mut Turn<'_>) -> bool {
        let is_short = request.body().len() <= limits::INFO_BODY_BYTES_MAX;
        let is_wanted = turn.settings.digits.info_as == InfoAs::Rfc4733 && is_short && digits(request).is_some();
        let Some(Signal { key, duration_ms }) = Signal::parse(request.body()).filter(|_| is_wanted) else {
            return false;
        };
        let dialled = Dialled::parse(key.encode_utf8(&mut [0; 4]));
        let is_pressed = dialled.is_some_and(|dialled| self.press(from.other(), dialled, duration_ms, turn));
        if is_pressed {
            self.pressed_by_info(from, (key, duration_ms), facts, turn);
        }
        is_pressed
    }

    /// Carries digits to the other side, or says with which status not.
    fn carry_info(
        &mut self,
        from: Side,
        received: ServerId,
        request: &Message<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<(), u16> {
        let to = self.leg_of(from.other());
        let kind = digits(request).filter(|_| to.may_take(turn, "INFO")).ok_or(415_u16)?;
        if request.body().len() > limits::INFO_BODY_BYTES_MAX {
            return Err(413);
        }
        // RFC 3261 §16.3: what would have to go on, and must not.
        if request.max_forwards() == Some(0) {
            return Err(483);
        }
        if self.infos.is_full() {
            return Err(503);
        }
        let body = Some((kind, request.body()));
        let sent = turn.endpoint.request(turn.now, to.dialog, Method::Info, &[], body).ok_or(503_u16)?;
        self.infos.push(Info { received, sent });
        Ok(())
    }

    /// The INFO that a response of the other side's, or its silence, answers.
    pub(super) fn take_info(&mut self, sent: ClientId) -> Option<Info> {
        let at = self.infos.iter().position(|info| info.sent == sent)?;
        Some(self.infos.remove(at))
    }

    /// The other side has answered an INFO, or not (`None`).
    pub(super) fn informed(
        self: Box<Self>,
        info: &Info,
        response: Option<&Message<'_>>,
        facts: &Facts,
        turn: &mut Turn<'_>,
    ) -> State {
        let status = response.map_or(408, status);
        let passed_on = match status {
            200..300 => 200,
            // A challenge is never answered and never passed on (RELIABILITY A8).
            401 | 407 => 403,
            // RFC 4320 §4.1: no 408 but for INVITE.
            408 => 504,
            status => status,
        };
        turn.endpoint.respond(turn.now, info.received, &plain(passed_on));
        if matches!(status, 408 | 481) {
            return self.end(End::failed("the other side lost the call"), facts, turn);
        }
        self.stay()
    }

    /// The bridge is over: nobody is going to answer any more (RFC 3261 §15.1.2).
    pub(super) fn give_infos_up(&self, turn: &mut Turn<'_>) {
        for info in self.infos.iter().filter(|_| !planted(Mutant::InfoLeftOpen)) {
            turn.endpoint.respond(turn.now, info.received, &plain(487));
        }
    }
}

/// The kind of content of an INFO, if it is one that is carried: the word for it, not the sender's.
fn digits(request: &Message<'_>) -> Option<&'static str> {
    let (kind, subtype) = request.content_type()?;
    DIGITS.into_iter().find(|digits| {
        digits.split_once('/').is_some_and(|(wanted_kind, wanted)| {
            kind.eq_ignore_ascii_case(wanted_kind.as_bytes()) && subtype.eq_ignore_ascii_case(wanted.as_bytes())
        })
    })
}
