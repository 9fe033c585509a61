//! One call takes one step: it is taken out of the lot, told what happened, and put back, unless it is over or the step broke. What it
//! counts against, what it wants done and when it wants to be called again is kept here.
//! Not here: which call something is for (`mod`, `legs`), and what it does with it (`call`).

use super::Switch;
use super::effect::Effect;
use super::lot::Fate;
use super::usage::Taken;
use crate::call::{Action, Call, Event, Facts, Notice, Phase, Turn};
use crate::id::{CallRef, FlowId, Side};
use crate::media;
use crate::mutant::{Mutant, planted};
use crate::sip::endpoint::DialogId;
use crate::time::{Instant, Now};
use crate::token::SubjectHash;
use std::cmp::Reverse;
use std::panic::{AssertUnwindSafe, catch_unwind};

impl Switch {
    /// Lets one call take one step. A panic in it ends that call and no other.
    pub(super) fn step(&mut self, now: Now, at: CallRef, event: Event<'_>) {
        let Some(call) = self.lot.take(at) else { return };
        #[cfg(feature = "sim")]
        self.cells.note(&call, &event);
        // One span a call: whatever is logged during the step names it. Made anew for each step: a parked call keeps none.
        let _span = tracing::info_span!("call", id = %call.facts().id, name = %call.facts().route.name).entered();
        let (facts, before) = (call.facts().clone(), Standing::of(&call));
        let (flow, caller) = (call.flow(), call.dialog(Side::Caller));
        #[cfg(test)]
        let fault = self.fault.take_if(|fault| *fault == at).is_some();
        let mut turn = self.turn(now);
        let stepped = catch_unwind(AssertUnwindSafe(|| {
            let stepped = call.handle(event, &mut turn);
            #[cfg(test)]
            assert!(!fault, "a planted fault");
            stepped
        }));
        match stepped {
            Ok(Some(call)) => {
                if before.phase != Some(call.state()) {
                    tracing::debug!(state = call.state().as_str(), "the call goes on");
                }
                // Whoever it waits for may be another than before.
                self.account(now, call.facts(), before, Standing::of(&call));
                self.lot.put(at, call);
                self.wake_call(at);
            }
            Ok(None) => self.forget(now, at, &facts, before),
            Err(_) => self.lose(now, at, &facts, before, (flow, caller)),
        }
        self.follow_flow(at, flow);
        self.carry_out(now, facts.started);
        let waits = self.lot.get(at).is_some_and(|call| Standing::of(call).waits);
        if before.waits && !waits {
            self.turn_away(now, at, facts.id);
        }
    }

    /// A call is over.
    fn forget(&mut self, now: Now, at: CallRef, facts: &Facts, before: Standing) {
        self.account(now, facts, before, Standing::default());
        self.lot.waiting().end(&facts.trunk.name);
        self.lot.remove(at);
    }

    /// A call panicked: its legs are told by the endpoint, its clients and its record by us. What the step had wanted done is not: half of
    /// a step is none.
    fn lose(
        &mut self,
        now: Now,
        at: CallRef,
        facts: &Facts,
        before: Standing,
        (flow, caller): (Option<FlowId>, Option<DialogId>),
    ) {
        self.stats.panics += 1;
        tracing::error!(call = %facts.id, "the call panicked and was ended");
        self.actions.clear();
        // What the step broke on may be in the INVITE, which the record reads too: then it has to do without.
        let record = catch_unwind(AssertUnwindSafe(|| facts.lost(caller, &self.turn(now))));
        let record = record.unwrap_or_else(|_| facts.lost(None, &self.turn(now)));
        self.endpoint.abandon(now, at);
        self.forget(now, at, facts, before);
        self.actions.extend(flow.map(|flow| Action::Media(media::Command::Close { flow })));
        // Clients were told of it when it was parked, not before.
        let announced = before.waits && before.phase != Some(Phase::Arriving);
        self.actions.extend(announced.then(|| Action::Notify(facts.gone_failed(now))));
        self.actions.extend((!before.recorded).then(|| Action::Record(Box::new(record))));
    }

    /// Keeps the counts that admission and policy go by.
    pub(super) fn account(&mut self, now: Now, facts: &Facts, before: Standing, after: Standing) {
        if before.phase != after.phase {
            self.recount(before.phase, |count| count.saturating_sub(1));
            self.recount(after.phase, |count| count + 1);
        }
        if before.waits && !after.waits {
            self.lot.waiting().leave(&facts.route.name, facts.source);
            if after.holder.is_some() {
                self.stats.callbacks.note("won");
            }
        } else if !before.waits && after.waits {
            self.lot.waiting().enter(&facts.route.name, facts.source);
        }
        self.usage.pass(now, before.place(), after.place());
    }

    /// Hands on what calls want done, and remembers what concerns us.
    fn carry_out(&mut self, now: Now, started: Now) {
        while let Some(action) = self.actions.pop_front() {
            if let Action::Notify(Notice::Gone(gone)) = &action
                && !planted(Mutant::FateForgotten)
            {
                let fate = Fate { reason: gone.reason, winner: gone.winner.clone(), at: gone.at, started };
                self.lot.fates().remember(now.at, gone.call, fate);
            }
            if let Action::Notify(Notice::Incoming(incoming)) = &action {
                self.lot.fates().forget(incoming.call);
            }
            match action {
                Action::Media(command) => self.commands.push_back(command),
                Action::Notify(notice) => self.announce(now, notice),
                Action::Record(record) => {
                    self.stats.note_record(&record);
                    self.effects.push_back(Effect::Record(record));
                }
            }
        }
    }

    fn recount(&mut self, phase: Option<Phase>, count: impl Fn(usize) -> usize) {
        let at = phase.and_then(|phase| Phase::ALL.iter().position(|one| *one == phase));
        if let Some(calls) = at.and_then(|at| self.census.get_mut(at)) {
            *calls = count(*calls);
        }
    }

    fn wake_call(&mut self, at: CallRef) {
        let wanted = self.lot.get(at).and_then(Call::wake_at);
        self.wake(at, wanted);
    }

    /// Keeps whose events a flow's are. One that its call has let go of is nobody's, whether the relay ever says that it is closed
    /// or not.
    fn follow_flow(&mut self, at: CallRef, before: Option<FlowId>) {
        let after = self.lot.get(at).and_then(Call::flow);
        if let Some(left) = before.filter(|_| before != after && !planted(Mutant::FlowKept)) {
            self.flows.remove(&left);
        }
        if let Some(flow) = after {
            self.flows.insert(flow, at);
        }
    }

    /// Sees to it that a call is called again in time. One alarm a call: an earlier one stands until it goes off.
    pub(super) fn wake(&mut self, at: CallRef, wanted: Option<Instant>) {
        if let Some(due) = wanted.and_then(|wanted| self.lot.arm(at, wanted)) {
            self.alarms.push(Reverse((due, at)));
        }
    }

    pub(super) fn turn(&mut self, now: Now) -> Turn<'_> {
        Turn {
            now,
            endpoint: &mut self.endpoint,
            rng: &mut self.rng,
            settings: &self.settings.call,
            actions: &mut self.actions,
        }
    }
}

/// What of a call counts against a limit.
#[derive(Clone, Copy, Default)]
pub(super) struct Standing {
    /// The state it is in.
    pub(super) phase: Option<Phase>,
    pub(super) waits: bool,
    pub(super) holder: Option<SubjectHash>,
    /// Whether its record is written.
    pub(super) recorded: bool,
}

impl Standing {
    pub(super) fn of(call: &Call) -> Standing {
        let waits = matches!(call.state(), Phase::Arriving | Phase::Parked | Phase::Merging);
        Standing { phase: Some(call.state()), waits, holder: call.holder(), recorded: call.is_recorded() }
    }

    /// The place that it takes of a subject's.
    fn place(&self) -> Option<(SubjectHash, Taken)> {
        let taken = if self.phase == Some(Phase::Bridged) { Taken::Bridged } else { Taken::Merging };
        self.holder.map(|subject| (subject, taken))
    }
}
