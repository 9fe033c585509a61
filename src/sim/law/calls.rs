//! The rules of calls, seen from outside: announced once, gone once, one record each (L5, P4); answered only by a client that brought a
//! good token and had policy's yes, once, and by nobody else meanwhile (I5, I6, I7); late callbacks hear what became of the call.
//! Not here: single messages (`transactions`), and audio (`media`).

use super::super::text::Seen;
use super::{Verdict, hold};
use crate::call::{Gone, GoneReason, Incoming, Outcome, Record};
use crate::id::CallId;
use crate::limits;
use crate::time::{Duration, Instant};
use std::collections::{BTreeMap, BTreeSet};

/// A call that was announced.
pub(crate) struct CallSeen {
    /// The agent that calls.
    pub(crate) caller: u32,
    pub(crate) incoming: Incoming,
    pub(crate) since: Instant,
    pub(crate) gone: Option<(GoneReason, Instant)>,
    recorded: bool,
    /// Its client was told how it was.
    rated: bool,
    /// The client that has a 2xx, and neither side has hung up.
    holder: Option<u32>,
    /// Which of its dialogs that is.
    held_by: u64,
    /// Callbacks that were let in as far as policy.
    pub(crate) tried: u32,
    /// The caller's CANCEL or BYE reached the switch.
    pub(crate) caller_left: bool,
    /// One side's BYE was seen, or sent.
    pub(crate) ended: bool,
}

/// All that were announced by one node.
#[derive(Default)]
pub(crate) struct Calls {
    by_id: BTreeMap<CallId, CallSeen>,
    by_caller: BTreeMap<u32, CallId>,
    waiting: BTreeSet<CallId>,
    is_draining: bool,
    /// Messages wait: there must be no new call meanwhile.
    pub(crate) is_behind: bool,
}

/// A client that calls back, as the law knows it.
#[derive(Clone, Copy)]
pub(crate) struct Party<'a> {
    pub(crate) agent: u32,
    /// Its dialog.
    pub(crate) dialog: u64,
    /// The name that it answers under.
    pub(crate) name: &'a str,
    /// Its token and its JWT are what they must be.
    pub(crate) is_credible: bool,
    /// Policy has said yes to it for this call.
    pub(crate) is_allowed: bool,
}

impl Calls {
    /// A call that was announced.
    pub(crate) fn get(&self, call: CallId) -> Option<&CallSeen> {
        self.by_id.get(&call)
    }

    /// The call that an agent began.
    pub(crate) fn of_caller(&self, agent: u32) -> Option<&CallSeen> {
        self.by_id.get(self.by_caller.get(&agent)?)
    }

    /// Those that wait.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = &CallSeen> {
        self.waiting.iter().filter_map(|call| self.by_id.get(call))
    }

    /// How many were announced.
    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// No more calls from now on.
    pub(crate) fn drain(&mut self) {
        self.is_draining = true;
    }

    pub(crate) fn announced(&mut self, now: Instant, caller: u32, incoming: &Incoming) -> Verdict {
        hold(!self.is_draining, || "L7: a new call in a drain".into())?;
        hold(!self.is_behind, || "L7: a new call though messages wait".into())?;
        hold(!self.by_caller.contains_key(&caller), || "I15: one INVITE made two calls".into())?;
        let seen = CallSeen {
            caller,
            incoming: incoming.clone(),
            since: now,
            gone: None,
            recorded: false,
            rated: false,
            holder: None,
            held_by: 0,
            tried: 0,
            caller_left: false,
            ended: false,
        };
        self.by_caller.insert(caller, incoming.call);
        self.waiting.insert(incoming.call);
        hold(self.by_id.insert(incoming.call, seen).is_none(), || "one call was announced twice".into())
    }

    pub(crate) fn gone(&mut self, now: Instant, gone: &Gone, winner: Option<Party<'_>>) -> Verdict {
        self.waiting.remove(&gone.call);
        let seen = self.by_id.get_mut(&gone.call).ok_or("gone, and was never announced")?;
        hold(seen.gone.is_none(), || "one call was gone twice".into())?;
        hold(seen.incoming.name == gone.name, || "gone for another name".into())?;
        seen.gone = Some((gone.reason, now));
        hold(gone.reason != GoneReason::CallerCancelled || seen.caller_left, || {
            "a call was ended for its caller, who waits".into()
        })?;
        if gone.reason != GoneReason::AnsweredElsewhere {
            return hold(gone.winner.is_none(), || "a winner of what nobody won".into());
        }
        let winner = winner.ok_or("I5: bridged, and no client was answered")?;
        let named = gone.winner.as_ref().map(|name| name.as_str());
        hold(named == Some(winner.name), || format!("the winner is {named:?}, not {}", winner.name))
    }

    /// The client that holds a call now.
    pub(crate) fn holder(&self, call: CallId) -> Option<u32> {
        self.by_id.get(&call)?.holder
    }

    /// A client's INVITE got a 2xx.
    pub(crate) fn client_answered(&mut self, call: Option<CallId>, party: Party<'_>) -> Verdict {
        hold(party.is_credible, || "I5: a client without a good token was answered".into())?;
        hold(party.is_allowed, || "I7: a client was answered without policy's yes".into())?;
        let seen = call.and_then(|call| self.by_id.get_mut(&call)).ok_or("a client was answered for no call")?;
        hold(seen.holder.is_none_or(|holder| holder == party.agent), || "I6: a second client was answered".into())?;
        hold(!seen.ended, || "a client was answered after the end".into())?;
        let gone = seen.gone.filter(|(reason, _)| *reason != GoneReason::AnsweredElsewhere);
        hold(gone.is_none(), || format!("a client was answered for a call that is {gone:?}"))?;
        (seen.holder, seen.held_by) = (Some(party.agent), party.dialog);
        Ok(())
    }

    /// The caller wants to leave.
    pub(crate) fn caller_leaves(&mut self, agent: u32) {
        if let Some(seen) = self.by_caller.get(&agent).and_then(|call| self.by_id.get_mut(call)) {
            seen.caller_left = true;
        }
    }

    /// A client that was answered does not get the call after all: another may.
    pub(crate) fn let_go(&mut self, call: CallId, agent: u32) {
        if let Some(seen) = self.by_id.get_mut(&call).filter(|seen| seen.gone.is_none() && seen.holder == Some(agent)) {
            seen.holder = None;
        }
    }

    /// A leg hung up, or is hung up on. A client's earlier dialogs are no legs of the call.
    pub(crate) fn leg_ended(&mut self, call: CallId, agent: u32, dialog: u64) {
        let is_held = |seen: &CallSeen| seen.holder == Some(agent) && seen.held_by == dialog;
        let is_leg = |seen: &&mut CallSeen| seen.caller == agent || is_held(seen);
        if let Some(seen) = self.by_id.get_mut(&call).filter(is_leg) {
            seen.ended = true;
        }
    }

    /// A callback was let in, or might have been.
    pub(crate) fn tried(&mut self, call: CallId) {
        if let Some(seen) = self.by_id.get_mut(&call) {
            seen.tried += 1;
        }
    }

    /// "Late truth": whoever brings a good token for a call that is over hears 410 with what became of it.
    pub(crate) fn refused(&self, now: Instant, call: CallId, seen: &Seen<'_>) -> Verdict {
        let Some((reason, at)) = self.by_id.get(&call).and_then(|seen| seen.gone) else { return Ok(()) };
        if now.since(at) >= limits::TOMBSTONE_LIFE {
            return Ok(());
        }
        // Merged requests, broken ones, and those that the client took back are none that came late.
        let excused = matches!(seen.status, 400 | 482 | 487);
        let told = memchr::memmem::find(seen.warning, reason.as_str().as_bytes()).is_some();
        let named = told || seen.reason == reason.reason_header().as_bytes();
        hold(excused || seen.status == 410 && named, || {
            format!("late truth: a callback got {} for a call that is {reason:?}", seen.status)
        })
    }

    pub(crate) fn recorded(&mut self, now: Instant, record: &Record, status: u16) -> Verdict {
        let seen = self.by_id.get_mut(&record.call).ok_or("a record of a call that was never announced")?;
        hold(!std::mem::replace(&mut seen.recorded, true), || "L5: two records of one call".into())?;
        let (reason, gone_at) = seen.gone.ok_or("a record of a call that still waits")?;
        let answered = reason == GoneReason::AnsweredElsewhere;
        hold(answered == (record.outcome == Outcome::Answered), || {
            format!("a record says {:?} of a call that is {reason:?}", record.outcome)
        })?;
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let waited = millis(gone_at.since(seen.since));
        hold(record.waited_ms.abs_diff(waited) <= 1, || format!("L5: waited {} ms, not {waited}", record.waited_ms))?;
        let most = if answered { millis(now.since(gone_at)) + 1 } else { 0 };
        hold(record.talked_ms <= most, || format!("L5: talked {} ms of {most}", record.talked_ms))?;
        hold(status == 0 || record.status == status, || {
            format!("a record says {} of an INVITE that was answered with {status}", record.status)
        })?;
        let id = format!("a{}-1@sim", seen.caller);
        hold(record.sip_call_id == id, || format!("a record names {}, not {id}", record.sip_call_id))
    }

    /// The client that had it is told how it was: once, and with what the record says.
    pub(crate) fn told_of_end(&mut self, call: CallId) -> Verdict {
        let seen = self.by_id.get_mut(&call).ok_or("the end of a call that was never announced")?;
        hold(seen.recorded, || "a client is told how a call was that has no record".into())?;
        hold(!std::mem::replace(&mut seen.rated, true), || "a client is told twice how a call was".into())
    }

    /// How long a call waited, when it timed out: never before its deadline, and not much after it unless a callback was being tried.
    pub(crate) fn timed_out(&self, record: &Record, park: Duration) -> Verdict {
        let Some(seen) = self.by_id.get(&record.call).filter(|_| record.outcome == Outcome::Timeout) else {
            return Ok(());
        };
        let waited = Duration::from_millis(record.waited_ms);
        let on_time = waited + Duration::from_millis(2) >= park;
        hold(on_time && (seen.tried > 0 || waited <= park + Duration::from_millis(5)), || {
            format!("L1: parked for {waited:?} of {park:?}")
        })
    }

    /// It is all over.
    pub(crate) fn settled(&self) -> Verdict {
        for seen in self.by_id.values() {
            let agent = seen.caller;
            hold(seen.gone.is_some(), || format!("the call of agent {agent} was never gone"))?;
            hold(seen.recorded, || format!("L5: no record of the call of agent {agent}"))?;
        }
        Ok(())
    }
}
