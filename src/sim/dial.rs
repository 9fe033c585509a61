//! What a switch sends to telephones by itself: it is judged here, because it is in no dialog that an agent began.
//! Not here: the rules (`law::dialled`), and what telephones do (`agent::telephone`).

use super::chance::Hash;
use super::law::{Heard, Party, Verdict};
use super::text::{Seen, Verb};
use super::world::World;

impl World<'_> {
    /// Judges a request of a switch's that is about an INVITE of its own: whether it was one, and all has been said about it.
    pub(super) fn dial(&mut self, node: usize, agent: usize, seen: &Seen<'_>, bytes: &[u8]) -> Result<bool, String> {
        let is_outside = seen.tag_of_to().is_empty();
        match seen.verb() {
            Verb::Invite if is_outside => {
                match self.nodes[node].transactions.began(self.now, seen, bytes)? {
                    true => self.invite_of(node, agent, seen)?,
                    false => self.nodes[node].dialled.invited_again(seen)?,
                }
                Ok(true)
            }
            Verb::Cancel => {
                let is_new = self.nodes[node].transactions.began(self.now, seen, bytes)?;
                self.nodes[node].dialled.cancelled(self.now, seen, is_new)?;
                Ok(true)
            }
            Verb::Other if is_outside => self.nodes[node].transactions.began(self.now, seen, bytes).map(|_| true),
            Verb::Ack if seen.cseq == 1 && self.nodes[node].dialled.find(seen).is_some() => {
                self.nodes[node].dialled.acknowledged(seen, bytes)?;
                let is_main = self.nodes[node].dialled.find(seen).is_some_and(|(_, is_main)| is_main);
                if is_main && !seen.body.is_empty() {
                    self.telephone_joined(node, agent, seen)?;
                }
                Ok(!is_main)
            }
            Verb::Bye => match self.nodes[node].dialled.find(seen) {
                Some((_, false)) => self.nodes[node].dialled.hung_up(seen, bytes).map(|()| true),
                Some((_, true)) => {
                    self.nodes[node].dialled.ended(self.now, seen.call_id, seen.tag_of_from()).map(|()| false)
                }
                None => Ok(false),
            },
            Verb::Invite | Verb::Ack | Verb::Options | Verb::Update | Verb::Prack => Ok(false),
            Verb::Info | Verb::Register | Verb::Other => Ok(false),
        }
    }

    /// A telephone is rung: for the call of whoever is named in From.
    fn invite_of(&mut self, node: usize, agent: usize, seen: &Seen<'_>) -> Verdict {
        let from = String::from_utf8_lossy(seen.from);
        let caller = from.split("<sip:a").nth(1).and_then(|rest| rest.split('@').next()?.parse::<u32>().ok());
        let caller = caller.ok_or("a telephone is rung for nobody")?;
        let call = self.nodes[node].calls.of_caller(caller).ok_or("a telephone is rung for a call that is none")?;
        let (incoming, waits) = (call.incoming.clone(), call.gone.is_none());
        let planned = &self.plan.calls[self.agents[agent].call];
        let is_rung = planned.clients[self.agents[agent].part - 1]
            .is_rung(self.plan.calls[self.agents[caller as usize].call].route);
        if !is_rung {
            return Err(format!("a{agent} is rung, and wants to be told"));
        }
        let call = incoming.call;
        if self.parts[self.agents[agent].call].first().is_some_and(|own| self.agents[*own].id == caller) {
            self.told[agent] = Some(incoming);
        }
        let id = self.agents[agent].id;
        self.nodes[node].dialled.invited(self.now, seen, (id, call), waits)
    }

    /// A response is about to reach a switch that may be to an INVITE of its own.
    pub(super) fn hear_telephone(&mut self, node: usize, agent: usize, seen: &Seen<'_>) {
        if seen.is_request() || self.agents[agent].telephone.is_none() {
            return;
        }
        if let Heard::Answered(call) = self.nodes[node].dialled.heard(self.now, seen) {
            self.nodes[node].transactions.dialled(seen);
            self.nodes[node].calls.tried(call);
        }
    }

    /// A telephone has the call: its ACK has the answer to its offer.
    fn telephone_joined(&mut self, node: usize, agent: usize, seen: &Seen<'_>) -> Verdict {
        let call = self.call_of(agent);
        let is_credible = self.is_credible(&self.agents[agent]);
        let party = self.party(node, agent);
        let party = Party { is_credible, dialog: Hash::of(&[seen.call_id]), ..party };
        let held = call.and_then(|call| self.nodes[node].calls.holder(call));
        if held != Some(party.agent) {
            self.dialogs.insert(agent, (seen.call_id.to_vec(), seen.tag_of_from().to_vec()));
            return self.nodes[node].calls.client_answered(call, party);
        }
        Ok(())
    }

    /// Nobody rings for a call that is over.
    pub(super) fn check_rung(&self, node: usize) -> Verdict {
        let node = &self.nodes[node];
        node.dialled.check(|call| node.calls.get(call).is_some_and(|seen| seen.gone.is_none()))
    }

    /// Nothing more happens: whoever answered was hung up on, or has hung up.
    pub(super) fn telephones_settled(&self, node: usize) -> Verdict {
        let node = &self.nodes[node];
        let mut open: Vec<u32> = node
            .dialled
            .dialogs()
            .filter(|(call_id, tag, _)| node.transactions.is_open(call_id, tag))
            .map(|(_, _, agent)| agent)
            .collect();
        open.sort_unstable();
        open.first().map_or(Ok(()), |agent| Err(format!("§13.2.2.4: a{agent} has answered, and nobody hung up")))
    }
}
