//! What a switch sends to telephones by itself: it is judged here, because it is in no dialog that an agent began.
//! Not here: the rules (`law::dialled`), and what telephones do (`agent::telephone`).

use super::chance::Hash;
use super::law::{Heard, News, Party, Verdict, hold};
use super::office::{self, NAMES};
use super::text::{self, Seen, Verb};
use super::world::{Happening, World, tcp};
use crate::id::CallId;
use crate::switch::Input;
use crate::time::Duration;
use std::net::SocketAddr;

impl World<'_> {
    /// Judges a request of a switch's that is about an INVITE of its own: whether it was one, and all has been said about it.
    pub(super) fn dial(
        &mut self,
        node: usize,
        agent: usize,
        peer: SocketAddr,
        seen: &Seen<'_>,
        bytes: &[u8],
    ) -> Result<bool, String> {
        let over = self.agents[agent].connection;
        let is_outside = seen.tag_of_to().is_empty();
        match seen.verb() {
            Verb::Invite if is_outside => {
                match self.nodes[node].transactions.began(self.now, seen, bytes, over)? {
                    true => self.invite_of(node, agent, peer, seen)?,
                    false => self.nodes[node].dialled.invited_again(seen)?,
                }
                Ok(true)
            }
            Verb::Cancel => {
                let is_new = self.nodes[node].transactions.began(self.now, seen, bytes, over)?;
                self.nodes[node].dialled.cancelled(self.now, seen, is_new)?;
                Ok(true)
            }
            Verb::Other if is_outside => {
                if self.nodes[node].transactions.began(self.now, seen, bytes, over)? {
                    self.message(node, agent, peer, seen)?;
                }
                Ok(true)
            }
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
    fn invite_of(&mut self, node: usize, agent: usize, peer: SocketAddr, seen: &Seen<'_>) -> Verdict {
        self.check_connection(agent, peer)?;
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

    /// A telephone is told of a call.
    fn message(&mut self, node: usize, agent: usize, peer: SocketAddr, seen: &Seen<'_>) -> Verdict {
        self.check_connection(agent, peer)?;
        let (news, call) = document(seen.body).ok_or("a telephone is told what nobody can read")?;
        let known = self.nodes[node].calls.get(call).ok_or("a telephone is told of a call that is none")?;
        let (name, gone, caller) = (known.incoming.name.as_str().to_owned(), known.gone.is_some(), known.caller);
        let planned = &self.plan.calls[self.agents[agent].call];
        let client = &planned.clients[self.agents[agent].part - 1];
        if news == News::Ended {
            self.check_had(node, agent, call)?;
        }
        hold(news == News::Ended || office::reaches(&name, &NAMES[usize::from(client.name)]), || {
            format!("a{agent} is told of a call to {name}")
        })?;
        let called = self.plan.calls[self.agents[caller as usize].call].route;
        hold(!client.is_rung(called), || format!("a{agent} is told, and wants to be rung"))?;
        let id = self.agents[agent].id;
        let is_registered = self.nodes[node].dialled.is_registered(self.now, id);
        hold(is_registered, || format!("a{agent} is told, and is not registered"))?;
        self.nodes[node].told.sent(self.now, seen, (id, call), (news, gone))
    }

    /// A telephone is told how a call was: it is of the subject that has had it, and of no other.
    fn check_had(&self, node: usize, agent: usize, call: CallId) -> Verdict {
        let holder = self.nodes[node].calls.holder(call).ok_or("the end of a talk that nobody had")?;
        let subject = |agent: usize| {
            let of = &self.agents[agent];
            self.plan.calls[of.call].clients[of.part - 1].subject
        };
        hold(subject(agent) == subject(holder as usize), || format!("a{agent} is told how another's call was"))
    }

    /// What a switch begins goes over the connection that is there.
    fn check_connection(&self, agent: usize, peer: SocketAddr) -> Verdict {
        let agent = &self.agents[agent];
        hold(agent.address == peer && !agent.is_cut_off, || {
            format!("a{} is called over a connection that is gone", agent.id)
        })
    }

    /// Whether a connection is the one that an agent has.
    pub(super) fn is_up(&self, agent: u32, over: u16) -> bool {
        let agent = &self.agents[agent as usize];
        over == agent.connection && (over == 0 || !agent.is_cut_off)
    }

    /// An agent's connection ends.
    pub(super) fn cut_off(&mut self, agent: usize) -> Verdict {
        let peer = self.agents[agent].address;
        let hand = self.agents[agent].telephone.as_ref().and_then(|telephone| telephone.hand.breaks_ms);
        if self.agents[agent].connection == 0 || self.agents[agent].is_cut_off {
            return Ok(());
        }
        self.note(|| format!("a{agent}: its connection ends"));
        self.agents[agent].is_cut_off = true;
        if let Some((_, after)) = hand {
            self.at(self.now + Duration::from_millis(after.into()), Happening::Reconnect { agent });
        }
        let (node, id) = (usize::from(self.agents[agent].node), self.agents[agent].id);
        self.nodes[node].dialled.cut_off(self.now, id);
        self.nodes[node].told.cut_off(id);
        self.input(node, Input::Disconnected { path: tcp(node, peer) })
    }

    /// It opens another, and registers over that.
    pub(super) fn reconnect(&mut self, agent: usize) {
        self.agents[agent].connect();
        self.streams[agent] = [self.now; 2];
        self.register(agent);
    }

    /// A telephone that was told of its call does as a client that heard of it on its channel.
    pub(super) fn read_out(&mut self, agent: usize, bytes: &[u8]) {
        if self.agents[agent].telephone.is_none() || !bytes.starts_with(b"MESSAGE") {
            return;
        }
        let Some((News::Incoming, call)) = text::read(bytes).and_then(|seen| document(seen.body)) else { return };
        let node = usize::from(self.agents[agent].node);
        let caller = self.nodes[node].calls.get(call).map(|seen| seen.caller as usize);
        let own = self.parts[self.agents[agent].call][0];
        if caller == Some(own) && !self.agents[agent].has_vanished {
            self.tell(agent, call);
        }
    }

    /// Who is registered and has nothing on its way has been told of all that waits, or is rung for it.
    pub(super) fn check_told(&self, node: usize) -> Verdict {
        let of_node = &self.nodes[node];
        for id in of_node.dialled.registered_now(self.now) {
            if of_node.told.is_open(id) {
                continue;
            }
            let agent = &self.agents[id as usize];
            let client = &self.plan.calls[agent.call].clients[agent.part - 1];
            for call in
                of_node.calls.waiting().filter(|call| call.incoming.name.as_str() == NAMES[usize::from(client.name)])
            {
                let is_rung = client.is_rung(self.plan.calls[self.agents[call.caller as usize].call].route);
                let knows = match is_rung {
                    true => of_node.dialled.was_rung(id, call.incoming.call),
                    false => of_node.told.knows(id, call.incoming.call),
                };
                hold(knows, || format!("a{id} was not told of the call of a{}", call.caller))?;
            }
        }
        Ok(())
    }

    /// A response is about to reach a switch that may be to an INVITE of its own.
    pub(super) fn hear_telephone(&mut self, node: usize, agent: usize, seen: &Seen<'_>) {
        if seen.is_request() || self.agents[agent].telephone.is_none() {
            return;
        }
        if seen.verb() == Verb::Other && seen.status >= 200 {
            let id = self.agents[agent].id;
            self.nodes[node].told.answered(seen, id);
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

/// What a telephone is told: whether the call waits, or waits no more, and which it is.
fn document(body: &[u8]) -> Option<(News, CallId)> {
    let at = memchr::memmem::find(body, b"\"call\":\"")? + 8;
    let digits = std::str::from_utf8(body.get(at..at + 32)?).ok()?;
    let is = |kind: &[u8]| memchr::memmem::find(body, kind).is_some();
    let news = match () {
        () if is(b"\"type\":\"incoming\"") => News::Incoming,
        () if is(b"\"type\":\"gone\"") => News::Gone,
        () if is(b"\"type\":\"ended\"") => News::Ended,
        () => return None,
    };
    Some((news, CallId(u128::from_str_radix(digits, 16).ok()?)))
}
