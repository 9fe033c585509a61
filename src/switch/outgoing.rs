//! A message to a number: MESSAGE by a trunk that takes it (RFC 3428), the next way if one does not answer, and its answer is the message's state.
//! Not here: which ways there are (`trunk`), and what a state means (`letter`).

use super::Switch;
use crate::event::TEXT;
use crate::id::LetterId;
use crate::letter::{Failure, Letter, State};
use crate::limits;
use crate::sip::auth;
use crate::sip::endpoint::{Asker, ClientId, Outside};
use crate::sip::wire::write::Tag;
use crate::sip::wire::{Message, Method, Transport};
use crate::time::Now;
use crate::trunk::MessageWay;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// The messages that are on their way to a trunk.
pub(super) type Outgoing = BTreeMap<LetterId, Journey>;

/// One of them.
pub(super) struct Journey {
    letter: Arc<Letter>,
    /// The ways that are left, the one that is tried first.
    ways: VecDeque<MessageWay>,
    request: Option<ClientId>,
    call_id: String,
    tag: Tag,
    cseq: u32,
    /// The header that proves who we are, after a challenge.
    proof: Option<(&'static str, String)>,
}

impl Switch {
    /// Sends a message to the trunks that take any.
    pub(super) fn send_away(&mut self, now: Now, letter: &Arc<Letter>) {
        let all = self.trunks.message_ways();
        // RFC 3428 §8.
        let fits = |way: &MessageWay| {
            way.path.transport != Transport::Udp || letter.text.len() <= limits::MESSAGE_DATAGRAM_TEXT_BYTES_MAX
        };
        let is_found = !all.is_empty();
        let ways: VecDeque<MessageWay> = all.into_iter().filter(fits).collect();
        if ways.is_empty() {
            let failure = if is_found { Failure::TooLarge } else { Failure::NoTrunk };
            return self.advance(now, letter.id, State::Failed(failure));
        }
        let (call_id, tag) = (format!("{:032x}", self.rng.u128()), Tag::new(self.rng.u64()));
        let letter = Arc::clone(letter);
        let journey = Journey { letter, ways, request: None, call_id, tag, cseq: 1, proof: None };
        self.go(now, journey, Failure::NoTrunk);
    }

    /// Tries the ways that are left; with none, the message is given up for this reason.
    fn go(&mut self, now: Now, mut journey: Journey, why: Failure) {
        let id = journey.letter.id;
        while let Some(way) = journey.ways.front() {
            journey.request = self.send_message(now, &journey, way);
            if journey.request.is_some() {
                self.outgoing.insert(id, journey);
                return;
            }
            journey.ways.pop_front();
        }
        self.advance(now, id, State::Failed(why));
    }

    fn send_message(&mut self, now: Now, journey: &Journey, way: &MessageWay) -> Option<ClientId> {
        let us = self.endpoint.advertised(way.path).into_owned();
        let uri = number_at(&journey.letter, way)?;
        // A trunk knows us by the account that it gave us. A number may be ours, too; a name means nothing there.
        let from = match &way.registered {
            Some(registered) => registered.uri.to_string(),
            None if journey.letter.from.starts_with('+') => format!("sip:{}@{us}", journey.letter.from),
            None => self.herald.author_uri(&journey.letter.from),
        };
        let headers: Vec<(&str, &str)> = journey.proof.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let message = Outside {
            method: Method::Message,
            uri: &uri,
            from: &format!("<{from}>;tag={}", journey.tag.as_str()),
            to: &format!("<{uri}>"),
            call_id: &journey.call_id,
            cseq: journey.cseq,
            route: "",
            contact: None,
            headers: &headers,
            body: Some((TEXT, journey.letter.text.as_bytes())),
            opens: true,
            asker: Asker::Letter(journey.letter.id),
        };
        self.endpoint.send_outside(now, way.path, &message)
    }

    /// What came of one.
    pub(super) fn handle_carried(
        &mut self,
        now: Now,
        id: LetterId,
        (request, status): (ClientId, u16),
        answer: Option<&Message<'_>>,
    ) {
        if self.outgoing.get(&id).is_none_or(|journey| journey.request != Some(request)) {
            return;
        }
        let Some(mut journey) = self.outgoing.remove(&id) else { return };
        tracing::debug!(message = %id, status, trunk = journey.ways.front().map(|way| &*way.trunk), "a trunk has answered");
        match status {
            // RFC 3428 §7: whoever says 202 does not know yet.
            202 => self.advance(now, id, State::Sent),
            200..300 => self.advance(now, id, State::Delivered),
            401 | 407 if journey.proof.is_none() => match answer.and_then(|answer| self.prove(answer, &journey)) {
                Some(proof) => {
                    journey.proof = Some(proof);
                    journey.cseq += 1;
                    self.go(now, journey, Failure::Refused(status));
                }
                None => self.advance(now, id, State::Failed(Failure::Refused(status))),
            },
            // RFC 3261 §8.1.3.1, §21.5: another way may be better.
            408 | 500..600 => {
                journey.ways.pop_front();
                journey.proof = None;
                let failure = if status == 408 { Failure::NoTrunk } else { Failure::Refused(status) };
                self.go(now, journey, failure);
            }
            _ => self.advance(now, id, State::Failed(Failure::Refused(status))),
        }
    }

    fn prove(&mut self, answer: &Message<'_>, journey: &Journey) -> Option<(&'static str, String)> {
        let way = journey.ways.front()?;
        let credentials = way.registered.as_ref()?.credentials.as_ref()?;
        let uri = number_at(&journey.letter, way)?;
        let cnonce = Tag::new(self.rng.u64());
        auth::answer(answer, credentials, b"MESSAGE", &uri, cnonce.as_str())
    }
}

/// The number's URI at a trunk's target.
fn number_at(letter: &Letter, way: &MessageWay) -> Option<String> {
    let target = way.target.to_string();
    let (scheme, host) = target.split_once(':')?;
    Some(format!("{scheme}:{}@{host}", letter.name))
}
