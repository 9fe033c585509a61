//! The rules of telephones that the switch rings, seen from outside: who may be rung and when, no CANCEL before the INVITE was heard or after
//! its end (§9.1), nobody rings for a call that is over, every 2xx has its ACK, and whoever does not get the call is hung up on once
//! (§13.2.2.4).
//! Not here: requests in the dialog of the first 2xx (`transactions`), and who has the call (`calls`).

use super::super::chance::{ByHash, Hash};
use super::super::text::{Seen, Verb};
use super::{Verdict, hold};
use crate::id::CallId;
use crate::time::{Duration, Instant};
use std::collections::{BTreeMap, BTreeSet};

/// How long a transaction waits for what may still come: 64*T1.
const LIFE: Duration = Duration::from_secs(32);
/// Where it is not certain on which side of such a moment something was.
const SLACK: Duration = Duration::from_millis(100);

/// An INVITE of the switch's that is in no dialog.
pub(crate) struct Rung {
    /// The telephone.
    pub(crate) agent: u32,
    /// The call that it is rung for.
    pub(crate) call: CallId,
    since: Instant,
    call_id: Vec<u8>,
    tag: Vec<u8>,
    branch: Vec<u8>,
    /// Something provisional was heard.
    is_heard: bool,
    refused: Option<Instant>,
    cancelled: Option<Instant>,
    /// Its transaction had ended when a response came.
    is_forgotten: bool,
    /// The first 2xx.
    answered: Option<Instant>,
    /// Those that have answered with 2xx, by their tags; the first is `main`.
    branches: BTreeMap<u64, Branch>,
    main: u64,
}

/// Of a fork.
#[derive(Default)]
struct Branch {
    /// 2xx that were heard since the last ACK.
    owed: u32,
    /// The first came when nobody may have waited for it any more.
    is_late: bool,
    /// The ACK, as it was sent first.
    ack: Option<u64>,
    /// The number of the BYE that was sent, and what it was.
    bye: Option<u64>,
}

/// All of one node.
#[derive(Default)]
pub(crate) struct Dialled {
    /// By Call-ID and the switch's tag.
    rung: ByHash<Rung>,
    /// INVITEs without a final response.
    open: BTreeSet<u64>,
    /// Until when each telephone is registered.
    until: BTreeMap<u32, Instant>,
    pairs: BTreeSet<(u32, CallId)>,
    /// 2xx that want their ACK at once.
    due: BTreeSet<(u64, u64)>,
}

/// What a response to an INVITE of the switch's is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Heard {
    Nothing,
    /// The first 2xx: there is a dialog.
    Answered(CallId),
}

fn key(call_id: &[u8], tag: &[u8]) -> u64 {
    Hash::of(&[call_id, tag])
}

impl Dialled {
    /// A telephone's REGISTER got its 200.
    pub(crate) fn registered(&mut self, now: Instant, agent: u32, lasts: u32) {
        self.until.insert(agent, now + Duration::from_secs(lasts.into()));
    }

    /// Whether it may be rung or told: it is not certain in the moment in which its registration lapses.
    pub(crate) fn is_registered(&self, now: Instant, agent: u32) -> bool {
        self.until.get(&agent).is_some_and(|until| now <= *until + SLACK)
    }

    /// Those who certainly are.
    pub(crate) fn registered_now(&self, now: Instant) -> impl Iterator<Item = u32> {
        self.until.iter().filter(move |(_, until)| now + SLACK < **until).map(|(agent, _)| *agent)
    }

    /// Whether a telephone was rung for a call.
    pub(crate) fn was_rung(&self, agent: u32, call: CallId) -> bool {
        self.pairs.contains(&(agent, call))
    }

    /// A telephone is not registered any more: it was silent.
    pub(crate) fn dismissed(&mut self, agent: u32) {
        self.until.remove(&agent);
    }

    /// A telephone's connection is gone, and with it its registration and what it was rung by (RFC 5626 §5.3, RFC 3261 §8.1.3.1).
    pub(crate) fn cut_off(&mut self, now: Instant, agent: u32) {
        self.until.remove(&agent);
        self.pairs.retain(|(rung, _)| *rung != agent);
        for (key, rung) in self.rung.iter_mut().filter(|(_, rung)| rung.agent == agent && rung.answered.is_none()) {
            rung.refused.get_or_insert(now);
            self.open.remove(key);
        }
    }

    /// The INVITE that a request of the switch's is about, if it is about one: whether it is in the dialog of the first 2xx.
    pub(crate) fn find(&self, seen: &Seen<'_>) -> Option<(&Rung, bool)> {
        let rung = self.rung.get(&key(seen.call_id, seen.tag_of_from()))?;
        Some((rung, rung.answered.is_some() && rung.main == Hash::of(&[seen.tag_of_to()])))
    }

    /// The switch rings a telephone. `waits`: its call does.
    pub(crate) fn invited(
        &mut self,
        now: Instant,
        seen: &Seen<'_>,
        (agent, call): (u32, CallId),
        waits: bool,
    ) -> Verdict {
        hold(waits, || format!("a{agent} is rung for a call that does not wait"))?;
        hold(self.is_registered(now, agent), || format!("a{agent} is rung, and is not registered"))?;
        hold(self.pairs.insert((agent, call)), || format!("a{agent} is rung twice for one call"))?;
        hold(seen.body.is_empty(), || "a telephone is rung with an offer that is nobody's".into())?;
        let rung = Rung {
            agent,
            call,
            since: now,
            call_id: seen.call_id.to_vec(),
            tag: seen.tag_of_from().to_vec(),
            branch: seen.branch().to_vec(),
            is_heard: false,
            refused: None,
            cancelled: None,
            is_forgotten: false,
            answered: None,
            branches: BTreeMap::new(),
            main: 0,
        };
        let key = key(seen.call_id, seen.tag_of_from());
        self.open.insert(key);
        hold(self.rung.insert(key, rung).is_none(), || "I4: two INVITEs with one tag".into())
    }

    /// The INVITE goes once more.
    pub(crate) fn invited_again(&self, seen: &Seen<'_>) -> Verdict {
        let rung = self.rung.get(&key(seen.call_id, seen.tag_of_from())).ok_or("an INVITE of nobody's")?;
        hold(!rung.is_heard, || "§17.1.1.2: an INVITE is repeated that was heard".into())
    }

    /// The switch takes an INVITE back.
    pub(crate) fn cancelled(&mut self, now: Instant, seen: &Seen<'_>, is_new: bool) -> Verdict {
        let rung = self.rung.get_mut(&key(seen.call_id, seen.tag_of_from())).ok_or("a CANCEL for nothing")?;
        hold(rung.branch == seen.branch() && seen.tag_of_to().is_empty(), || {
            "§9.1: a CANCEL of another INVITE".into()
        })?;
        if !is_new {
            return Ok(());
        }
        hold(rung.is_heard, || "§9.1: a CANCEL before anything provisional".into())?;
        hold(rung.refused.is_none() && rung.answered.is_none(), || "§9.1: a CANCEL after the final response".into())?;
        hold(rung.cancelled.replace(now).is_none(), || "a second CANCEL".into())
    }

    /// A response is about to reach the switch.
    pub(crate) fn heard(&mut self, now: Instant, seen: &Seen<'_>) -> Heard {
        let key = key(seen.call_id, seen.tag_of_from());
        let Some(rung) =
            self.rung.get_mut(&key).filter(|rung| seen.verb() == Verb::Invite && seen.branch() == rung.branch)
        else {
            return Heard::Nothing;
        };
        let is_over = rung.is_over(now);
        if is_over {
            self.open.remove(&key);
            rung.is_forgotten = true;
        }
        match seen.status {
            ..200 => rung.is_heard |= rung.answered.is_none(),
            200..300 => {
                let tag = Hash::of(&[seen.tag_of_to()]);
                let is_first = rung.answered.is_none();
                if is_first {
                    (rung.answered, rung.main) = (Some(now), tag);
                }
                let branch =
                    rung.branches.entry(tag).or_insert_with(|| Branch { is_late: is_over, ..Branch::default() });
                branch.owed += 1;
                // The first waits for policy; any other is acknowledged at once.
                let is_unwanted = rung.cancelled.is_some() || tag != rung.main;
                if !is_over && (branch.ack.is_some() || is_unwanted) {
                    self.due.insert((key, tag));
                }
                self.open.remove(&key);
                if is_first {
                    return Heard::Answered(rung.call);
                }
            }
            _ => {
                rung.refused.get_or_insert(now);
                self.open.remove(&key);
            }
        }
        Heard::Nothing
    }

    /// What was heard has led to all that it leads to.
    pub(crate) fn heard_in_full(&mut self, _now: Instant) -> Verdict {
        hold(self.due.is_empty(), || "§13.2.2.4: a 2xx that came again, or is not wanted, has no ACK".into())
    }

    /// The switch acknowledges a response to its INVITE.
    pub(crate) fn acknowledged(&mut self, seen: &Seen<'_>, bytes: &[u8]) -> Verdict {
        let key = key(seen.call_id, seen.tag_of_from());
        let rung = self.rung.get_mut(&key).ok_or("an ACK for nothing")?;
        if rung.refused.is_some() && rung.answered.is_none() {
            return hold(rung.branch == seen.branch(), || "§17.1.1.3: the ACK of a refusal has another branch".into());
        }
        let tag = Hash::of(&[seen.tag_of_to()]);
        let branch = rung.branches.get_mut(&tag).ok_or("an ACK for whoever has not answered")?;
        hold(rung.branch != seen.branch(), || "§13.2.2.4: the ACK of a 2xx has the INVITE's branch".into())?;
        hold(branch.owed > 0, || "an ACK without a 2xx".into())?;
        let hash = Hash::of(&[bytes]);
        hold(branch.ack.is_none_or(|ack| ack == hash), || "two ACKs of one 2xx".into())?;
        (branch.ack, branch.owed) = (Some(hash), 0);
        self.due.remove(&(key, tag));
        Ok(())
    }

    /// The dialog of the first 2xx ends, by the switch or by its telephone, whose BYE has its answer. Who has waited for an ACK for 64*T1
    /// waits no more.
    pub(crate) fn ended(&mut self, now: Instant, call_id: &[u8], tag: &[u8]) -> Verdict {
        let Some(rung) = self.rung.get_mut(&key(call_id, tag)) else { return Ok(()) };
        let is_over = rung.is_over(now);
        let Some(branch) = rung.branches.get_mut(&rung.main) else { return Ok(()) };
        branch.is_late |= is_over && branch.ack.is_none();
        hold(branch.ack.is_some() || branch.is_late, || "§13.2.2.4: a dialog ends before the ACK of its 2xx".into())
    }

    /// The switch hangs up on a branch that is not the first.
    pub(crate) fn hung_up(&mut self, seen: &Seen<'_>, bytes: &[u8]) -> Verdict {
        let rung = self.rung.get_mut(&key(seen.call_id, seen.tag_of_from())).ok_or("a BYE to nobody")?;
        let branch =
            rung.branches.get_mut(&Hash::of(&[seen.tag_of_to()])).ok_or("a BYE to whoever has not answered")?;
        hold(branch.ack.is_some(), || "a BYE before the ACK".into())?;
        let hash = Hash::of(&[bytes]);
        hold(*branch.bye.get_or_insert(hash) == hash, || "a second BYE to a branch".into())
    }

    /// Nobody who was heard rings for a call that is over. `waits`: whether a call does.
    pub(crate) fn check(&self, waits: impl Fn(CallId) -> bool) -> Verdict {
        for rung in self.open.iter().filter_map(|key| self.rung.get(key)) {
            let rings = rung.is_heard && rung.cancelled.is_none();
            hold(!rings || waits(rung.call), || format!("a{} rings for a call that is over", rung.agent))?;
        }
        Ok(())
    }

    /// Call-ID and tag of all dialogs that were made.
    pub(crate) fn dialogs(&self) -> impl Iterator<Item = (&[u8], &[u8], u32)> {
        let is_made = |rung: &&Rung| rung.branches.get(&rung.main).is_some_and(|branch| branch.ack.is_some());
        let answered = self.rung.values().filter(is_made);
        answered.map(|rung| (&*rung.call_id, &*rung.tag, rung.agent))
    }

    /// It is all over.
    pub(crate) fn settled(&self) -> Verdict {
        let mut broken = Vec::new();
        for rung in self.rung.values() {
            let (agent, others) = (rung.agent, rung.branches.iter().filter(|(tag, _)| **tag != rung.main));
            if rung.branches.values().any(|branch| branch.ack.is_none() && !branch.is_late) {
                broken.push(format!("§13.2.2.4: a 2xx of a{agent} was never acknowledged"));
            }
            if others.clone().any(|(_, branch)| branch.bye.is_none() && !branch.is_late) {
                broken.push(format!("§13.2.2.4: a branch of a{agent} was not hung up on"));
            }
        }
        broken.sort();
        broken.into_iter().next().map_or(Ok(()), Err)
    }
}

impl Rung {
    /// Whether its transaction may have ended, so that nothing is expected of a response. What was cancelled has no more than that either
    /// (§9.1).
    fn is_over(&self, now: Instant) -> bool {
        let past = |at: Instant| now.since(at) + SLACK >= LIFE;
        let unheard = !self.is_heard && self.answered.is_none() && self.refused.is_none() && past(self.since);
        self.is_forgotten
            || self.refused.is_some()
            || self.answered.is_some_and(past)
            || self.cancelled.is_some_and(past)
            || unheard
    }
}
