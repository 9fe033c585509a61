//! What a switch wants done: it is judged, and then it is done, in the simulated world.
//! Not here: what happens by itself (`world`), and the rules (`law`).

use super::agent::Agent;
use super::chance::Hash;
use super::coverage::Race;
use super::law::{Media, Party, Verdict, hold};
use super::network::BEGIN;
use super::office::{self, NAMES, SUBJECTS};
use super::plan::{Called, Identity, Prack, TokenKind};
use super::policy;
use super::text::{self, Seen, Verb};
use super::world::{Happening, World, describe};
use crate::call::{Gone, GoneReason, Incoming, News, Notice, Outcome, Personal, Record};
use crate::id::{FlowId, Side};
use crate::media::Command;
use crate::sip::{Transmit, Transport};
use crate::switch::Effect;
use crate::time::Duration;
use std::net::SocketAddr;

impl World<'_> {
    /// Judges and does all that a switch wants done after one input. `repeated`: the input was a request that came before, so that nothing
    /// but answers may follow (I15). `most`: how many effects one input may have (I14).
    pub(super) fn drain(&mut self, node: usize, repeated: bool, most: Option<u32>) -> Verdict {
        let (mut count, mut asks, mut rung) = (0, false, Vec::new());
        while let Some(effect) = self.nodes[node].switch.poll_effect() {
            count += 1;
            hold(most.is_none_or(|most| count <= most), || "I14: one datagram has very many effects".into())?;
            match effect {
                // A call is announced in the step in which its telephones are rung; who they are rung for is known when it was.
                Effect::Transmit(transmit) if text::begins_call(&transmit.bytes) => rung.push(transmit),
                Effect::Transmit(transmit) => self.transmit(node, &transmit)?,
                other if repeated => return Err(format!("I15: a repeated request had an effect: {other:?}")),
                Effect::Media(command) => self.command(node, &command)?,
                Effect::Notify(Notice::Incoming(incoming)) => self.announce(node, &incoming)?,
                Effect::Notify(Notice::Gone(gone)) => self.announce_gone(node, &gone)?,
                Effect::Notify(Notice::Personal(personal)) => self.announce_personal(node, &personal)?,
                Effect::Notify(notice @ (Notice::Letter(_) | Notice::Changed(_) | Notice::Forgotten(_))) => {
                    return Err(format!("nobody writes, and {notice:?}"));
                }
                // Nobody watches.
                Effect::Reachable { .. } => {}
                Effect::Ask { id, .. } => {
                    asks = true;
                    self.ask(node, id);
                }
                Effect::Locate(locate) => return Err(format!("no trunk is gone to, and {locate:?}")),
                Effect::Device(word) => return Err(format!("nobody is woken, and {word:?}")),
                Effect::Record(record) => self.record(node, &record)?,
            }
        }
        rung.iter().try_for_each(|transmit| self.transmit(node, transmit))?;
        self.check_rung(node)?;
        let now = self.now;
        for agent in self.nodes[node].told.silent(now) {
            self.nodes[node].dialled.dismissed(agent);
        }
        if std::mem::take(&mut self.nodes[node].told.has_news) {
            self.check_told(node)?;
        }
        let node = &mut self.nodes[node];
        hold(node.switch.stats().panics == 0, || "a call panicked".into())?;
        node.due = node.switch.poll_timeout();
        // What no call and no callback had a part in changes no count of theirs.
        let steps = node.switch.cells().steps;
        if std::mem::replace(&mut node.steps, steps) != steps || asks {
            return node.switch.audit().map_err(String::from);
        }
        Ok(())
    }

    fn transmit(&mut self, node: usize, transmit: &Transmit) -> Verdict {
        let Transmit { path, bytes, .. } = transmit;
        self.trace.bytes(bytes);
        let seen = text::read(bytes).ok_or("a message that nobody can read")?;
        self.note(|| format!("a{} <- {}", port(path.peer), describe(&seen)));
        let lives = |agent: &Agent| {
            let is_own = agent.address == path.peer;
            is_own || agent.connection > 0 && agent.address.ip() == path.peer.ip()
        };
        let agent = Agent::at(path.peer).filter(|agent| self.agents.get(*agent).is_some_and(lives));
        let agent = agent.ok_or_else(|| format!("{} was sent to {}, where nobody is", describe(&seen), path.peer))?;
        if seen.is_request() && !self.dial(node, agent, path.peer, &seen, bytes)? {
            let over = self.agents[agent].connection;
            self.nodes[node].transactions.requested(self.now, &seen, bytes, over)?;
            if seen.verb() == Verb::Bye {
                self.end_leg(node, agent, seen.call_id);
            }
        } else if !seen.is_request() {
            match self.nodes[node].transactions.responded(self.now, &seen, bytes)? {
                true => self.responded(node, agent, &seen)?,
                false if seen.verb() == Verb::Invite && seen.status < 300 => self.coverage.race(Race::LostAck),
                false => {}
            }
        }
        if !self.is_vouched_for(agent) {
            let id = self.agents[agent].id;
            self.nodes[node].transactions.balance(id, 0, bytes.len())?;
        }
        if path.transport == Transport::Tcp
            && (self.agents[agent].address != path.peer || self.agents[agent].is_cut_off)
        {
            // Nobody listens where a connection came from.
            self.at(self.now + Duration::from_micros(300), Happening::Lost { node, peer: path.peer });
            return Ok(());
        }
        self.send(agent, false, bytes.clone());
        Ok(())
    }

    /// A response: what it means for the call.
    fn responded(&mut self, node: usize, agent: usize, seen: &Seen<'_>) -> Verdict {
        self.coverage_of_response(seen);
        self.note_uuid(agent, seen);
        match (seen.verb(), seen.status) {
            (Verb::Bye, 200) => {
                let tag = format!("t{}-", self.agents[agent].id);
                hold(seen.tag_of_from().starts_with(tag.as_bytes()), || "I4: a BYE of somebody else was taken".into())?;
                self.nodes[node].dialled.ended(self.now, seen.call_id, seen.tag_of_to())?;
                self.end_leg(node, agent, seen.call_id);
            }
            (Verb::Invite, 491) => return self.check_glare(node, agent),
            (Verb::Invite, 200) if seen.cseq == 1 => {
                self.dialogs.insert(agent, (seen.call_id.to_vec(), seen.tag_of_to().to_vec()));
                if self.agents[agent].part > 0 {
                    return self.callback_answered(node, agent, seen);
                }
            }
            // A first INVITE has the number 1; those in a dialog have higher ones.
            (Verb::Invite, _) if seen.cseq == 1 && self.agents[agent].part > 0 => {
                return self.callback_answered(node, agent, seen);
            }
            (Verb::Invite | Verb::Ack | Verb::Cancel | Verb::Bye | Verb::Options | Verb::Other, _) => {}
            (Verb::Register, 200) => {
                let lasts = self.agents[agent].telephone.as_ref().map_or(0, |telephone| telephone.hand.lasts);
                self.nodes[node].dialled.registered(self.now, self.agents[agent].id, lasts);
                self.nodes[node].told.has_news = true;
            }
            (Verb::Update | Verb::Prack | Verb::Info | Verb::Register, _) => {}
        }
        Ok(())
    }

    /// By which UUID the switch knows an agent. Of what got 400, 481 or 500 nobody can tell whether it was of the dialog and in order, or whether
    /// the other side said so.
    fn note_uuid(&mut self, agent: usize, seen: &Seen<'_>) {
        if !matches!(seen.verb(), Verb::Invite | Verb::Update) {
            return;
        }
        let is_older = match seen.cseq {
            // A first INVITE that is refused begins nothing, unless it is a caller's, who has a record all the same; one that came by two
            // ways says nothing new.
            1 => seen.status >= 300 && (self.agents[agent].part > 0 || seen.status == 482),
            number => self.uuids.get(&agent).is_some_and(|(cseq, _)| number < *cseq),
        };
        let Some(uuid) = self.asked_uuids.get(&(agent, seen.cseq)).filter(|_| !is_older) else { return };
        let known = if matches!(seen.status, 400 | 481 | 500) { String::new() } else { uuid.clone() };
        self.uuids.insert(agent, (seen.cseq, known));
    }

    /// 491 is for whoever crosses a change that is under way, on this side or the other.
    fn check_glare(&self, node: usize, agent: usize) -> Verdict {
        let others = &self.parts[self.agents[agent].call];
        let changing = others
            .iter()
            .filter_map(|agent| self.dialogs.get(agent))
            .any(|(call_id, tag)| self.nodes[node].transactions.is_changing(self.now, call_id, tag));
        // The other side's own 491 is passed on.
        hold(changing || self.hearing == 491, || "491, and no change of the session is under way".into())
    }

    fn callback_answered(&mut self, node: usize, agent: usize, seen: &Seen<'_>) -> Verdict {
        let call = self.call_of(agent);
        let is_credible = self.is_credible(&self.agents[agent]);
        if let Some(call) = call.filter(|_| is_credible || seen.status < 300) {
            self.nodes[node].calls.tried(call);
        }
        match (seen.status, call) {
            (200..300, _) => {
                let party = self.party(node, agent);
                let party = Party { is_credible, dialog: Hash::of(&[seen.call_id]), ..party };
                return self.nodes[node].calls.client_answered(call, party);
            }
            (300.., Some(call)) if is_credible => {
                self.coverage_of_refusal(seen.status);
                return self.nodes[node].calls.refused(self.now, call, seen);
            }
            _ => {}
        }
        Ok(())
    }

    /// A callback was refused that could have been answered.
    fn coverage_of_refusal(&mut self, status: u16) {
        match status {
            487 => self.coverage.race(Race::WithdrawnCallback),
            408 | 488 | 503 => self.coverage.race(Race::FailedMerge),
            _ => {}
        }
    }

    /// What the law must know of a client.
    pub(super) fn party(&self, node: usize, agent: usize) -> Party<'static> {
        let planned = &self.plan.calls[self.agents[agent].call];
        let client = &planned.clients[self.agents[agent].part - 1];
        let (dialled, subject) = (client.token == TokenKind::Dial, usize::from(client.subject));
        let called = &NAMES[usize::from(office::called_name(planned.route))];
        let hash = self.office.hashes[subject];
        let is_allowed = self
            .call_of(agent)
            .is_some_and(|call| policy::has_allowed(&self.nodes[node].book, call, SUBJECTS[subject], hash, dialled));
        Party {
            agent: self.agents[agent].id,
            dialog: 0,
            // A dialled token says nothing of the name that it was issued for.
            name: if dialled { called } else { &NAMES[usize::from(client.name)] },
            is_credible: true,
            is_allowed,
        }
    }

    fn end_leg(&mut self, node: usize, agent: usize, call_id: &[u8]) {
        let id = self.agents[agent].id;
        let call = match self.agents[agent].part {
            0 => self.nodes[node].calls.of_caller(id).map(|seen| seen.incoming.call),
            _ => self.call_of(agent),
        };
        if let Some(call) = call {
            self.nodes[node].calls.leg_ended(call, id, Hash::of(&[call_id]));
        }
    }

    fn coverage_of_response(&mut self, seen: &Seen<'_>) {
        let race = match (seen.verb(), seen.status) {
            (Verb::Invite, 482) => Race::Forked,
            (Verb::Invite, 491) => Race::Glare,
            (Verb::Invite, 486) => Race::TwoCallbacks,
            (Verb::Invite, 410) if seen.warning.is_empty() => Race::GoneWhileAsked,
            (Verb::Invite, 410) => Race::LateCallback,
            (Verb::Invite, 487) if seen.cseq > 1 => Race::ByeDuringReinvite,
            _ => return,
        };
        self.coverage.race(race);
    }

    fn command(&mut self, node: usize, command: &Command) -> Verdict {
        self.trace.word(0x3ed1a);
        self.note(|| format!("relay <- {}", short(command)));
        self.nodes[node].media.commanded(command)?;
        self.follow_flow(node, command);
        if let Command::Close { flow } = command
            && let Some((report, tally)) = self.nodes[node].relay.counts(*flow)
        {
            Media::counted(&report, tally)?;
        }
        let now = self.now;
        for word in self.nodes[node].relay.command(&self.plan, now, command) {
            self.at(word.at, Happening::Relay { node, event: Box::new(word.event) });
        }
        if let Command::Set { flow, side: Side::Client, .. } = command
            && let Some(due) = self.nodes[node].relay.poll_timeout(*flow)
        {
            self.at(due, Happening::Flow { node, flow: *flow });
        }
        Ok(())
    }

    /// A flow is opened for the callback that is being dealt with. With its end a client that has its 200 lets go of the call, though it
    /// may hear that later (§15: our BYE waits for its ACK).
    fn follow_flow(&mut self, node: usize, command: &Command) {
        match command {
            Command::Open { flow, .. } => {
                let agent = self.agents[self.current].id;
                self.nodes[node].relay.note(*flow, agent);
            }
            Command::Close { flow } => {
                let agent = self.nodes[node].relay.agent(*flow).map(|agent| agent as usize);
                if let Some((agent, call)) = agent.and_then(|agent| Some((agent, self.call_of(agent)?))) {
                    let id = self.agents[agent].id;
                    self.nodes[node].calls.let_go(call, id);
                }
            }
            Command::Add { .. } | Command::Set { .. } | Command::Clear { .. } | Command::Record { .. } => {}
            Command::Press { .. } => {}
        }
    }

    /// A packet is on its way from one side to the other.
    pub(super) fn check_forwarded(
        &mut self,
        node: usize,
        flow: FlowId,
        from: Side,
        (source, to): (SocketAddr, SocketAddr),
    ) -> Verdict {
        self.nodes[node].media.forwarded(flow, from, source, to)?;
        let sides = self.nodes[node].media.sides(flow).ok_or("I8: audio crosses before both sides are known")?;
        let [caller, client] = sides.map(|side| Agent::of_media(side.port()));
        let seen = self.nodes[node].calls.of_caller(caller).ok_or("I8: audio of no call")?;
        let bridged = seen.gone.is_some_and(|(reason, _)| reason == GoneReason::AnsweredElsewhere);
        hold(bridged, || "I8: audio crosses before the bridge".into())?;
        hold(!seen.ended, || "I8: audio crosses after the first BYE".into())?;
        let holder = self.nodes[node].calls.holder(seen.incoming.call);
        hold(holder == Some(client), || format!("I6: audio goes to agent {client}, and {holder:?} was answered"))
    }

    fn announce(&mut self, node: usize, incoming: &Incoming) -> Verdict {
        self.trace.bytes(&incoming.call.0.to_le_bytes());
        let current = &self.agents[self.current];
        let is_private = current.conduct.manners.identity == Identity::Private;
        let caller = match caller_of(&incoming.from) {
            Some(caller) if !is_private => caller,
            None if is_private && incoming.from.as_ref() == ANONYMOUS && incoming.from_display.is_none() => current.id,
            Some(_) | None => return Err(format!("an event from {}, which is not who called", incoming.from)),
        };
        self.note(|| format!("notify <- incoming {} of a{caller}", incoming.call));
        let agent = self.agents.get(caller as usize).ok_or("a call of nobody")?;
        let call = agent.call;
        let planned = &self.plan.calls[call];
        let called = &NAMES[usize::from(office::called_name(planned.route))];
        hold(!agent.conduct.is_stranger && agent.is_caller(), || "a stranger's call was parked".into())?;
        hold(planned.route != Called::Nobody, || "a call to nobody was parked".into())?;
        hold(incoming.name.as_str() == called, || format!("a call to {called} was announced to {}", incoming.name))?;
        self.nodes[node].calls.announced(self.now, caller, incoming)?;
        self.nodes[node].told.has_news |= matches!(planned.route, Called::Own { .. });
        let (begun, clients) = (BEGIN + Duration::from_millis(planned.at_ms.into()), planned.clients.clone());
        for (part, client) in (1..).zip(clients) {
            let name = &self.office.names[usize::from(client.name)];
            let reached = office::reaches(called, &NAMES[usize::from(client.name)]);
            hold(incoming.name.reaches(name) == reached, || format!("I13: {called} and {name}"))?;
            let agent = self.parts[call][part];
            // One that is not reached may have got hold of the event all the same.
            let is_telephone = self.agents[agent].telephone.is_some();
            if self.agents[agent].conduct.is_absent || is_telephone || !reached && part != 1 {
                continue;
            }
            let listens = [client.listens_ms.0, client.listens_ms.1].map(|ms| begun + Duration::from_millis(ms.into()));
            let at = (self.now + Duration::from_millis(2)).max(listens[0]);
            if at < listens[1] {
                self.at(at, Happening::Told { agent, call: incoming.call });
            }
        }
        Ok(())
    }

    fn announce_gone(&mut self, node: usize, gone: &Gone) -> Verdict {
        self.trace.bytes(&gone.call.0.to_le_bytes());
        self.trace.bytes(gone.reason.as_str().as_bytes());
        self.note(|| format!("notify <- gone {} {}", gone.call, gone.reason.as_str()));
        let holder = self.nodes[node].calls.holder(gone.call).map(|agent| agent as usize);
        let winner = holder.map(|agent| self.party(node, agent));
        self.nodes[node].calls.gone(self.now, gone, winner)
    }

    /// To nobody but who has had the call; of its end after its record. Nobody presses a key here.
    fn announce_personal(&mut self, node: usize, ended: &Personal) -> Verdict {
        hold(matches!(ended.news, News::Ended(_)), || "a key that nobody has pressed".into())?;
        self.trace.bytes(&ended.call.0.to_le_bytes());
        self.note(|| format!("notify <- ended {} {}", ended.call, ended.name));
        let holder = self.nodes[node].calls.holder(ended.call).ok_or("the end of a talk that nobody had")?;
        let party = self.party(node, holder as usize);
        let client = &self.plan.calls[self.agents[holder as usize].call].clients[self.agents[holder as usize].part - 1];
        let is_its = self.office.hashes[usize::from(client.subject)] == ended.holder;
        let is_its = is_its && party.name == ended.name.as_str();
        hold(is_its, || format!("{} is told of the end of another's talk", ended.name))?;
        self.nodes[node].calls.told_of_end(ended.call)
    }

    fn ask(&mut self, node: usize, question: crate::id::QuestionId) {
        self.asking.insert((node, question), self.current);
        let number = self.current as u64 | u64::from(self.agents[self.current].attempt) << 32;
        for (delay, answer) in policy::answers(&self.plan, number) {
            self.at(self.now + delay, Happening::Answer { node, question, answer: Box::new(answer) });
        }
    }

    fn record(&mut self, node: usize, record: &Record) -> Verdict {
        self.trace.word(record.waited_ms << 32 ^ record.talked_ms);
        self.note(|| format!("record <- {} {} ({})", record.call, record.outcome.as_str(), record.reason));
        let caller = self.nodes[node].calls.get(record.call).map(|seen| (seen.caller, seen.tried));
        let (caller, tried) = caller.ok_or("a record of a call that was never announced")?;
        let (call_id, tag) = (format!("a{caller}-1@sim"), format!("t{caller}-1"));
        let invite = self.nodes[node].transactions.outcome(call_id.as_bytes(), tag.as_bytes(), 1);
        let (status, pause) = invite.ok_or("a record of a call without an INVITE")?;
        let repeat = Duration::from_millis(self.plan.terms.repeat_ms.into());
        // A ringing that has no PRACK is repeated in its own time (RFC 3262 §3).
        let manners = self.agents[caller as usize].conduct.manners;
        hold(tried > 0 || manners.prack != Prack::Unable || pause <= repeat + Duration::from_millis(5), || {
            format!("§13.3.1.1: nothing provisional for {pause:?}, instead of {repeat:?}")
        })?;
        if record.outcome == Outcome::Timeout && tried == 0 {
            self.coverage.race(Race::Nobody);
        }
        if record.reason.starts_with("no RTP") {
            self.coverage.race(Race::Vanished);
        }
        let park = Duration::from_millis(self.plan.terms.park_ms.into());
        self.check_session_id(node, caller, record)?;
        self.nodes[node].calls.timed_out(record, park)?;
        self.nodes[node].calls.recorded(self.now, record, status)
    }

    /// RFC 7989 §7: the leg of the caller names the two peers as they called themselves last.
    fn check_session_id(&self, node: usize, caller: u32, record: &Record) -> Verdict {
        let Some(holder) = self.nodes[node].calls.holder(record.call).filter(|_| record.outcome == Outcome::Answered)
        else {
            return Ok(());
        };
        let of = |agent: u32| self.uuids.get(&(agent as usize)).map(|(_, uuid)| uuid).filter(|uuid| !uuid.is_empty());
        let (Some(client), Some(caller)) = (of(holder), of(caller)) else { return Ok(()) };
        let expected = format!("{client};remote={caller}");
        hold(record.session_id.as_ref() == Some(&expected), || {
            format!("RFC 7989 §7: the session is {:?}, not {expected}", record.session_id)
        })
    }

    /// Nothing more happens: nothing may be left (L2), and nobody may wait for anything.
    pub(super) fn settled(&mut self) -> Verdict {
        for at in 0..self.nodes.len() {
            let cells = self.nodes[at].switch.cells().clone();
            self.coverage.take_cells(&cells);
            let node = &self.nodes[at];
            node.calls.settled()?;
            node.media.settled()?;
            if node.is_stopped {
                continue;
            }
            node.transactions.settled(node.is_stopped)?;
            node.dialled.settled()?;
            self.telephones_settled(at)?;
            hold(node.switch.is_idle(), || format!("L2: left over: {:?}", node.switch.endpoint().counts()))?;
            hold(node.switch.poll_timeout().is_none(), || "L2: a timer is left over".into())?;
            hold(node.relay.is_empty(), || "L2: a flow is left in the relay".into())?;
        }
        Ok(())
    }
}

/// `a12` for an address of agent 12.
fn port(address: SocketAddr) -> usize {
    Agent::at(address).unwrap_or(usize::MAX)
}

/// A caller that wants to be nobody (RFC 3323 §4.1.1.3).
const ANONYMOUS: &str = "sip:anonymous@anonymous.invalid";

/// The agent in `sip:a12@host`.
fn caller_of(uri: &str) -> Option<u32> {
    uri.strip_prefix("sip:a")?.split('@').next()?.parse().ok()
}

fn short(command: &Command) -> String {
    match command {
        Command::Open { flow, .. } => format!("open {:x}", flow.0),
        Command::Add { flow, .. } => format!("add {:x}", flow.0),
        Command::Set { flow, side, stream } => format!("set {:x} {} {:?}", flow.0, side.as_str(), stream.remote_rtp),
        Command::Record { flow, file, .. } => format!("record {:x} {file}", flow.0),
        Command::Press { flow, side, .. } => format!("press {:x} {}", flow.0, side.as_str()),
        Command::Clear { flow, side } => format!("clear {:x} {}", flow.0, side.as_str()),
        Command::Close { flow } => format!("close {:x}", flow.0),
    }
}
