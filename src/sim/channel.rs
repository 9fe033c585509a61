//! What clients hear on their channels and say on them, and the callbacks that follow.
//! Not here: user agents (`agent`).

use super::agent::Out;
use super::draw::BEFORE_MS;
use super::network::BEGIN;
use super::office::{self, SUBJECTS};
use super::plan::{TokenKind, When};
use super::world::{Happening, World};
use crate::call::{ClientMessage, ClientMessageKind};
use crate::id::CallId;
use crate::time::Duration;
use std::sync::Arc;

impl World<'_> {
    /// The telephones among a call's agents are going to register: most before it begins.
    pub(super) fn expect_telephones(&mut self, agents: &[usize], at_ms: u32) {
        let first = BEGIN + Duration::from_millis(at_ms.saturating_sub(BEFORE_MS).into());
        for agent in agents {
            let hand = self.agents[*agent].telephone.as_ref().map(|telephone| telephone.hand);
            if let Some(hand) = hand.filter(|_| !self.agents[*agent].conduct.is_absent) {
                let at = first + Duration::from_millis(hand.registers_ms.into());
                self.at(at, Happening::Register { agent: *agent });
                if let Some((after, _)) = hand.breaks_ms {
                    let at = first + Duration::from_millis(after.into());
                    self.at(at, Happening::Break { agent: *agent });
                }
            }
        }
    }

    /// A telephone registers with its credentials.
    pub(super) fn register(&mut self, agent: usize) {
        let client = &self.plan.calls[self.agents[agent].call].clients[self.agents[agent].part - 1];
        let (name, jwt) = (&self.office.names[usize::from(client.name)], client.jwt);
        let mut headers = String::new();
        if let Some(jwt) = self.office.jwt(jwt, client.subject, self.plan.terms.concurrent) {
            headers.extend(["Authorization: Bearer ", jwt, "\r\n"]);
        }
        // A slash may stand in the user part of a URI as it is (RFC 3261 §25.1).
        self.agents[agent].called = name.to_string();
        self.act(agent, |agent, now, out| agent.register(now, &headers, out));
    }

    /// A client hears of a call, perhaps when that is over: it may have lain in a queue, or on a push service's way. What comes of that is
    /// "late truth".
    pub(super) fn tell(&mut self, agent: usize, call: CallId) {
        let node = usize::from(self.plan.calls[self.agents[agent].call].node);
        let Some(seen) = self.nodes[node].calls.get(call) else { return };
        if self.told[agent].is_none() {
            self.told[agent] = Some(seen.incoming.clone());
            self.act(agent, |agent, now, _| agent.plan(now, When::Begun));
        }
    }

    /// A client's INVITE with its credentials.
    pub(super) fn call_back(&mut self, agent: usize, out: &mut Vec<Out>) {
        let Some(incoming) = &self.told[agent] else { return };
        let call = &self.plan.calls[self.agents[agent].call];
        let client = &call.clients[self.agents[agent].part - 1];
        let (name, subject) = (&self.office.names[usize::from(client.name)], SUBJECTS[usize::from(client.subject)]);
        let keys = Arc::clone(&self.nodes[usize::from(call.node)].keys);
        let mut headers = String::new();
        let mut called = name.to_string();
        if client.token != TokenKind::Missing {
            let token = office::token(client.token, &keys, incoming, (name, subject), &mut self.rng);
            if client.token == TokenKind::Dial {
                called.clone_from(&token);
            } else {
                headers = format!("X-Bridge-Token: {token}\r\n");
            }
        }
        if client.token == TokenKind::Twice {
            headers = headers.repeat(2);
        }
        if client.token != TokenKind::Dial
            && let Some(jwt) = self.office.jwt(client.jwt, client.subject, self.plan.terms.concurrent)
        {
            headers.extend(["Authorization: Bearer ", jwt, "\r\n"]);
        }
        self.agents[agent].called = called;
        self.agents[agent].invite(self.now, &headers, out);
    }

    /// A client's word on its channel.
    pub(super) fn say(&mut self, agent: usize, kind: ClientMessageKind) {
        let Some(call) = self.call_of(agent) else { return };
        let planned = &self.plan.calls[self.agents[agent].call];
        let client = &planned.clients[self.agents[agent].part - 1];
        let message = ClientMessage {
            call,
            name: self.office.names[usize::from(client.name)].clone(),
            subject: SUBJECTS[usize::from(client.subject)].into(),
            kind,
        };
        let node = usize::from(planned.node);
        self.at(self.now + Duration::from_millis(2), Happening::Client { node, message: Box::new(message) });
    }
}
