//! The rules of audio, seen from outside: commands in order, nothing forwarded before the bridge or after its end (I8), only to and from
//! the two sides' own addresses (I9), every packet forwarded or counted (M1), none twice (M2), nothing from a closed flow (M4).
//! Not here: loss and order on the way to the relay (`network`).

use super::{Verdict, hold};
use crate::id::{FlowId, Side};
use crate::media::{Closed, Command, Counters, Line, Stream};
use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::super::relay::Tally;

/// Most packets to a trusted side that was not heard.
const BURST: u32 = 50;

/// A flow, as the commands say it.
#[derive(Default)]
struct Known {
    is_closed: bool,
    /// Of each side, where its descriptions wanted audio.
    named: [Vec<SocketAddr>; 2],
    /// Whether each side may send, and what its payload types are to the other.
    sends: [bool; 2],
    numbers: [Vec<(u8, u8)>; 2],
    /// Packets that each side sent from an address of its own, and how many went to it before that.
    heard: [bool; 2],
    unheard: [u32; 2],
}

/// All flows of one node.
#[derive(Default)]
pub(crate) struct Media {
    flows: BTreeMap<FlowId, Known>,
}

impl Media {
    pub(crate) fn commanded(&mut self, command: &Command) -> Verdict {
        match command {
            Command::Open { flow, .. } => {
                hold(self.flows.insert(*flow, Known::default()).is_none(), || "a flow was opened twice".into())
            }
            Command::Add { flow, .. } => self.open(*flow).map(|_| ()),
            // Nobody in here sends pictures.
            Command::Set { flow, stream: Stream { line: Line::Video | Line::Fax, .. }, .. } => {
                self.open(*flow).map(|_| ())
            }
            Command::Set { flow, side, stream } => {
                let known = self.open(*flow)?;
                known.named[*side as usize].extend(stream.remote_rtp);
                known.sends[*side as usize] = stream.sends;
                known.numbers[*side as usize] = stream.payload_types.iter().map(|to| (to.here, to.there)).collect();
                Ok(())
            }
            Command::Record { flow, .. } | Command::Press { flow, .. } => self.open(*flow).map(drop),
            Command::Clear { flow, side } => {
                let (known, side) = (self.open(*flow)?, *side as usize);
                (known.named[side], known.sends[side], known.numbers[side]) = (Vec::new(), false, Vec::new());
                (known.heard[side], known.unheard[side]) = (false, 0);
                Ok(())
            }
            Command::Close { flow } => {
                self.open(*flow)?.is_closed = true;
                Ok(())
            }
        }
    }

    fn open(&mut self, flow: FlowId) -> Result<&mut Known, String> {
        let known = self.flows.get_mut(&flow).ok_or("a command for a flow that was never opened")?;
        if known.is_closed { Err("a command for a flow that is closed".into()) } else { Ok(known) }
    }

    /// Where the two sides of a flow want their audio.
    pub(crate) fn sides(&self, flow: FlowId) -> Option<[SocketAddr; 2]> {
        let known = self.flows.get(&flow)?;
        Some([*known.named[0].last()?, *known.named[1].last()?])
    }

    /// A packet went from `source` on `from`'s port to `to`.
    pub(crate) fn forwarded(&mut self, flow: FlowId, from: Side, source: SocketAddr, to: SocketAddr) -> Verdict {
        let known = self.open(flow).map_err(|_| "M4: a closed flow forwards")?;
        let (here, there) = (from as usize, from.other() as usize);
        hold(known.sends[here], || "I8: audio of a side that is on hold".into())?;
        // The simulated sides signal from the address that their audio has.
        let owns = |side: usize, address: SocketAddr| known.named[side].iter().any(|named| named.ip() == address.ip());
        hold(owns(here, source), || format!("I9: audio of {source} was let in"))?;
        hold(owns(there, to), || format!("I9: audio went to {to}"))?;
        known.heard[here] = true;
        if !known.heard[there] {
            known.unheard[there] += 1;
            let most = if from == Side::Client { BURST } else { 0 };
            hold(known.unheard[there] <= most, || format!("A20: {} packets to a side that was not heard", most + 1))?;
        }
        Ok(())
    }

    /// RFC 3264 §5.1: a packet bears the number that its receiver knows the codec by.
    pub(crate) fn renumbered(&self, flow: FlowId, from: Side, here: u8, there: u8) -> Verdict {
        let numbers = self.flows.get(&flow).map(|known| &known.numbers[from as usize]);
        let right = numbers.is_some_and(|numbers| numbers.contains(&(here, there)));
        hold(right, || format!("a packet of type {here} went on as {there}"))
    }

    /// A side was heard, whether its packet went on or not.
    pub(crate) fn heard(&mut self, flow: FlowId, side: Side, source: SocketAddr) {
        if let Some(known) = self.flows.get_mut(&flow) {
            let named = known.named[side as usize].iter().any(|named| named.ip() == source.ip());
            known.heard[side as usize] |= named;
        }
    }

    /// What was counted is what happened.
    pub(crate) fn counted(report: &Closed, tally: [Tally; 2]) -> Verdict {
        for (counters, tally) in [report.caller, report.client].iter().zip(tally) {
            let Counters {
                packets_forwarded,
                dropped_source,
                dropped_malformed,
                dropped_unbridged,
                packets_replaced,
                ..
            } = *counters;
            let sum = packets_forwarded + dropped_source + dropped_malformed + dropped_unbridged + packets_replaced;
            hold(sum == tally.arrived, || format!("M1: {} packets came, {sum} were counted", tally.arrived))?;
            hold(packets_forwarded == tally.forwarded, || "M1: forwarded packets were not counted".into())?;
        }
        Ok(())
    }

    /// It is all over.
    pub(crate) fn settled(&self) -> Verdict {
        let open = self.flows.values().filter(|known| !known.is_closed).count();
        hold(open == 0, || format!("L2: {open} flows were never closed"))
    }
}
