//! What must hold whatever a flow says (PRODUCT.md "Invariants"): checked on each message and effect as it leaves the switch, and once
//! more when the flow is over.

use super::wire::Text;
use parkway::call::{News, Notice, Record};
use parkway::id::{CallId, FlowId};
use parkway::media::Command;
use std::collections::{BTreeMap, BTreeSet};

/// What has left the switch so far, as much of it as the rules need.
#[derive(Default)]
pub(crate) struct Law {
    /// Of each request that we answered: our tag, and the final response once there is one.
    answered: BTreeMap<String, Answered>,
    /// Our own requests, by branch.
    asked: BTreeMap<String, Vec<u8>>,
    /// The newest CSeq of ours in each dialog.
    numbers: BTreeMap<String, u32>,
    parked: BTreeMap<CallId, usize>,
    gone: BTreeMap<CallId, usize>,
    recorded: BTreeMap<CallId, usize>,
    rated: BTreeMap<CallId, usize>,
    flows: BTreeMap<FlowId, Flow>,
}

#[derive(Default)]
struct Answered {
    tag: Option<String>,
    last: Option<(u16, Vec<u8>)>,
}

#[derive(Default)]
struct Flow {
    closed: bool,
}

impl Law {
    /// A message that left the switch.
    pub(crate) fn sent(&mut self, message: &Text, bytes: &[u8]) -> Result<(), String> {
        match message.status() {
            Some(status) => self.responded(status, message, bytes),
            None => self.requested(message, bytes),
        }
    }

    fn responded(&mut self, status: u16, message: &Text, bytes: &[u8]) -> Result<(), String> {
        let (number, method) = message.cseq();
        if method == "ACK" {
            return Err("an ACK was answered".into());
        }
        let call_id = message.header("Call-ID").unwrap_or_default();
        let key = format!("{} {call_id} {number} {method}", message.branch());
        let answered = self.answered.entry(key).or_default();
        if status > 100 {
            let tag = message.tag("To").ok_or("a response without a To tag")?.to_string();
            if answered.tag.get_or_insert_with(|| tag.clone()) != &tag {
                return Err("two To tags in the responses to one request".into());
            }
        }
        match &answered.last {
            Some((last, kept)) if *last >= 200 && *kept != bytes => {
                Err(format!("{status} after the final response {last}"))
            }
            Some(_) | None => {
                answered.last = Some((status, bytes.to_vec()));
                Ok(())
            }
        }
    }

    fn requested(&mut self, message: &Text, bytes: &[u8]) -> Result<(), String> {
        let (number, method) = message.cseq();
        // RFC 3261 §9.1: it has all of its INVITE.
        if method == "CANCEL" {
            return match self.asked.contains_key(message.branch()) {
                true => Ok(()),
                false => Err("a CANCEL of nothing".into()),
            };
        }
        if let Some(kept) = self.asked.insert(message.branch().into(), bytes.to_vec()) {
            return if kept == bytes || method == "ACK" {
                Ok(())
            } else {
                Err("another request with the same branch".into())
            };
        }
        let dialog = format!("{:?} {:?}", message.header("Call-ID"), message.tag("From"));
        let newest = self.numbers.entry(dialog).or_default();
        if method != "ACK" {
            if number <= *newest {
                return Err(format!("CSeq {number} after {newest} (RFC 3261 §12.2.1.1)"));
            }
            *newest = number;
        }
        Ok(())
    }

    pub(crate) fn told(&mut self, notice: &Notice) -> Result<(), String> {
        match notice {
            // A call that was handed on is announced again, after it was gone.
            Notice::Incoming(incoming) => {
                let turns = self.gone.get(&incoming.call).copied().unwrap_or(0);
                count(&mut self.parked, incoming.call, turns, "announced")
            }
            Notice::Gone(gone) => {
                let turns = self.parked.get(&gone.call).copied().unwrap_or(0);
                let before = turns.checked_sub(1).ok_or("gone, and was never announced")?;
                count(&mut self.gone, gone.call, before, "gone")
            }
            Notice::Personal(personal) => match &personal.news {
                News::Ended(_) if !self.recorded.contains_key(&personal.call) => {
                    Err("a client is told how a call was that has no record".into())
                }
                News::Ended(_) => count(&mut self.rated, personal.call, 0, "told how it was"),
                News::Digit(_) | News::Warning(_) if self.recorded.contains_key(&personal.call) => {
                    Err("a client is told of something in a call that is over".into())
                }
                News::Digit(_) | News::Warning(_) => Ok(()),
            },
            Notice::Letter(_) | Notice::Changed(_) | Notice::Forgotten(_) => Ok(()),
        }
    }

    pub(crate) fn recorded(&mut self, record: &Record) -> Result<(), String> {
        match self.gone.contains_key(&record.call) {
            true => count(&mut self.recorded, record.call, 0, "recorded"),
            false => Err("a record of a call that still waits".into()),
        }
    }

    pub(crate) fn commanded(&mut self, command: &Command) -> Result<(), String> {
        let (flow, what) = match command {
            Command::Open { flow, .. } => (flow, "open"),
            Command::Add { flow, .. } => (flow, "set"),
            Command::Set { flow, .. } => (flow, "set"),
            Command::Clear { flow, .. } | Command::Record { flow, .. } | Command::Press { flow, .. } => (flow, "set"),
            Command::Close { flow } => (flow, "close"),
        };
        match (self.flows.get_mut(flow), what) {
            (None, "open") => {
                self.flows.insert(*flow, Flow::default());
                Ok(())
            }
            (Some(there), "set") if !there.closed => Ok(()),
            (Some(there), "close") if !there.closed => {
                there.closed = true;
                Ok(())
            }
            (there, what) => {
                let state = there.map_or("was never opened", |flow| if flow.closed { "is closed" } else { "is open" });
                Err(format!("media {what} for a flow that {state}"))
            }
        }
    }

    /// The flow is over.
    pub(crate) fn settled(&self) -> Result<(), String> {
        let unfinished =
            self.answered.iter().find(|(_, answered)| answered.last.as_ref().is_some_and(|(status, _)| *status < 200));
        if let Some((request, _)) = unfinished {
            return Err(format!("no final response to {request}"));
        }
        let calls: BTreeSet<_> = self.parked.keys().collect();
        if self.gone != self.parked {
            return Err("a parked call was never gone".into());
        }
        if self.recorded.keys().collect::<BTreeSet<_>>() != calls {
            return Err("a parked call has no record".into());
        }
        match self.flows.values().all(|flow| flow.closed) {
            true => Ok(()),
            false => Err("media was opened and never closed".into()),
        }
    }
}

/// One more, after so many.
fn count(counts: &mut BTreeMap<CallId, usize>, call: CallId, before: usize, what: &str) -> Result<(), String> {
    let count = counts.entry(call).or_default();
    *count += 1;
    if *count != before + 1 { Err(format!("one call was {what} twice")) } else { Ok(()) }
}
