//! Who must be answered: a caller that waits, a client that may and can and calls back in time, and a network that is well (RELIABILITY L3).
//! Careful: a call is promised only if nothing in its plan could spoil it, so that a promise that is not kept is a violation.
//! Not here: the rules that hold whatever happens (`law`).

use super::law::{Verdict, hold};
use super::office::{self, NAMES};
use super::plan::*;
use super::text::Offer;
use super::world::World;
use crate::call::GoneReason;

/// How long before its deadline a callback must come, milliseconds.
const SPARE_MS: u32 = 1_000;

impl World<'_> {
    /// Every promise was kept.
    pub(super) fn keep_promises(&mut self) -> Verdict {
        let plan = &self.plan;
        let is_calm = plan.faults == Faults::default() && plan.words.is_empty();
        if is_calm && plan.terms.engine == EngineKind::Grants && plan.terms.concurrent >= 50 {
            for (number, call) in plan.calls.iter().enumerate().filter(|(_, call)| is_promised(call, &plan.terms)) {
                let caller = self.agents[self.parts[number][0]].id;
                let seen = self.nodes[usize::from(call.node)].calls.of_caller(caller);
                let gone = seen.and_then(|seen| seen.gone).map(|(reason, _)| reason);
                self.promised += 1;
                hold(gone == Some(GoneReason::AnsweredElsewhere), || {
                    format!("L3: the call of a{caller} had to be answered, and was {gone:?}")
                })?;
            }
        }
        let calls: usize = self.nodes.iter().map(|node| node.calls.len()).sum();
        hold(calls >= self.plan.least_calls as usize, || {
            format!("L8: {calls} calls were taken of {} that there is room for", self.plan.least_calls)
        })
    }
}

fn is_promised(call: &CallPlan, terms: &Terms) -> bool {
    let caller = &call.caller;
    let able = !caller.is_stranger
        && !caller.is_absent
        && !matches!(call.route, Called::Nobody | Called::Own { .. })
        && caller.waits()
        && caller.calls();
    // Where nobody offers, the caller has its 200 before the bridge, and may hang up at once.
    let nobody_offers =
        caller.offer == Offer::Nothing && call.clients.iter().any(|client| client.conduct.offer == Offer::Nothing);
    let offers = !matches!(caller.offer, Offer::Alien | Offer::Garbage) && !nobody_offers;
    let all_good = call
        .clients
        .iter()
        .all(|client| client.is_good(call, terms) || client.conduct.is_absent || !client.conduct.calls());
    let nobody_declines = !call.clients.iter().any(|client| client.conduct.does(|deed| deed.what == What::Decline));
    able && offers && all_good && nobody_declines && call.clients.iter().any(|client| client.is_good(call, terms))
}

impl ClientPlan {
    /// Calls back in time, with all that it needs, and stays.
    fn is_good(&self, call: &CallPlan, terms: &Terms) -> bool {
        let name = &NAMES[usize::from(office::called_name(call.route))];
        let may = matches!(self.token, TokenKind::Good | TokenKind::Dial) && self.jwt == JwtKind::Good;
        let is_told = office::reaches(name, &NAMES[usize::from(self.name)]) && self.listens_ms == (0, 90_000);
        let in_time = |deed: &Deed| {
            deed.what == What::Invite && deed.when == When::Begun && deed.after_ms + SPARE_MS <= terms.park_ms
        };
        let conduct = &self.conduct;
        let can = matches!(conduct.offer, Offer::Usual | Offer::Other | Offer::Nothing);
        may && is_told
            && can
            && self.node == call.node
            && !conduct.is_absent
            && conduct.does(in_time)
            && conduct.waits()
    }
}

impl Conduct {
    fn does(&self, what: impl Fn(&Deed) -> bool) -> bool {
        self.deeds.iter().flatten().any(what)
    }

    fn calls(&self) -> bool {
        self.does(|deed| deed.what == What::Invite)
    }

    /// It does not leave before it is answered, and acknowledges what it is asked.
    fn waits(&self) -> bool {
        let leaves = |deed: &Deed| {
            deed.when != When::Answered && matches!(deed.what, What::Cancel | What::Bye | What::Vanish | What::Forked)
        };
        self.ack == Ack::Prompt && self.manners.session != Session::Short && !self.does(leaves)
    }
}
