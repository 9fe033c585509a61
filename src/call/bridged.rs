//! Bridged: the two sides talk. The first BYE ends it for both.
//! Not here: what one side changes in its session (`change`), and the packets (`relay`), which cross without us.

use super::change::Change;
use super::ending::{Ending, Holder};
use super::info::Infos;
use super::leg::{Answered, plain, status};
use super::notice::{Digit, News};
use super::session::Session;
use super::talk::Talk;
use super::{EndedBy, Event, Facts, GoneReason, Outcome, State, Turn};
use crate::id::{FlowId, Side};
use crate::media::{self, Line};
use crate::mutant::{Mutant, planted};
use crate::name::Name;
use crate::policy::{Permit, Who};
use crate::sip::endpoint::{ClientId, DialogId, ServerId};
use crate::sip::wire::{Message, Method};
use crate::time::{Duration, Instant, Now};
use crate::token::{Claim, SubjectHash};

/// Two legs that hear each other. Cannot be made without policy's permit and an opened token.
#[derive(Debug)]
pub(super) struct Bridged {
    caller: Answered,
    client: Answered,
    pub(super) session: Session,
    pub(super) change: Option<Change>,
    pub(super) infos: Infos,
    since: Now,
    bridge: Bridge,
    /// What was said before, of a call that was handed on.
    before: Option<Talk>,
}

/// Why these two are bridged: kept as long as they are, and never given back.
#[derive(Debug)]
pub(super) struct Bridge {
    pub(super) permit: Permit,
    pub(super) claim: Claim,
    pub(super) winner: Name,
    /// Who the client is; `None` for a telephone that dialled.
    pub(super) who: Option<Who>,
}

/// Why a bridge is over.
pub(super) struct End {
    by: EndedBy,
    outcome: Outcome,
    reason: &'static str,
    /// For the `Reason` of our BYE.
    header: Option<&'static str>,
}

impl Bridged {
    /// Both have their 200: media flows from now on, and the other clients are told that the call is taken.
    pub(super) fn begin(
        (caller, client): (Answered, Answered),
        mut session: Session,
        bridge: Bridge,
        before: Option<Talk>,
        facts: &Facts,
        turn: &mut Turn<'_>,
    ) -> State {
        session.note_fax(turn.now.wall);
        if let Some(command) = session.record_command(facts) {
            turn.media(command);
        }
        for command in session.commands(turn.settings) {
            turn.media(command);
        }
        if !planted(Mutant::GoneNotTold) {
            facts.tell_gone(turn, GoneReason::AnsweredElsewhere, Some(bridge.winner.clone()));
        }
        let (change, infos) = (None, Infos::new());
        State::Bridged(Box::new(Bridged { caller, client, session, change, infos, since: turn.now, bridge, before }))
    }

    /// Whose bridge it is.
    pub(super) fn holder(&self) -> SubjectHash {
        self.bridge.claim.subject()
    }

    /// Its media.
    pub(super) fn flow(&self) -> FlowId {
        self.session.flow
    }

    /// The dialog of a leg.
    pub(super) fn dialog(&self, side: Side) -> DialogId {
        self.leg_of(side).dialog
    }

    /// Something happened.
    pub(super) fn handle(mut self: Box<Self>, event: Event<'_>, facts: &Facts, turn: &mut Turn<'_>) -> State {
        match event {
            Event::Request { side, transaction, request } => self.requested(side, transaction, request, facts, turn),
            Event::Acknowledged { side, transaction, ack } => self.acknowledged(side, transaction, ack, facts, turn),
            Event::Response { transaction, response, .. } => self.responded(transaction, Some(response), facts, turn),
            Event::Failed { transaction, .. } => self.responded(transaction, None, facts, turn),
            Event::Timeout if self.ends_at().is_some_and(|end| turn.now.at >= end) => {
                self.end(End::too_long(), facts, turn)
            }
            Event::Timeout => self.handle_timeout(facts, turn),
            Event::Unacknowledged { .. } => {
                // RFC 3261 §13.3.1.4: no ACK in 64*T1, so the session is ended.
                self.end(End::failed("no ACK for our 200"), facts, turn)
            }
            Event::Media(media::Event::Silent { side, line, .. }) => self.end(End::silent(side, line), facts, turn),
            Event::Media(media::Event::Dtmf { side: leg, digit: key, duration_ms, heard, .. }) => {
                let digit = Digit { leg, key, duration_ms: Some(duration_ms), heard };
                self.tell_holder(News::Digit(digit), facts, turn);
                self.stay()
            }
            Event::Media(media::Event::Warning { warning, .. }) => {
                self.tell_holder(News::Warning(*warning), facts, turn);
                self.stay()
            }
            Event::Media(media::Event::Added { line, ports, .. }) => {
                self.line_opened(line, ports, turn);
                self.stay()
            }
            // Nobody would notice by silence any more: what watched for it is gone too.
            Event::Media(media::Event::Failed { .. } | media::Event::Closed { .. }) => {
                self.end(End::without_media("the relay lost the call"), facts, turn)
            }
            Event::Pressed { by, who, dialled } => {
                self.asked_to_press((&by, who), dialled, turn);
                self.stay()
            }
            Event::Stop | Event::Abandon => self.end(End::stopped(), facts, turn),
            Event::Callback(callback) => {
                callback.refuse(turn, 410);
                self.stay()
            }
            // A re-INVITE cannot be taken back once the other side was asked: it is answered as the other side answers.
            Event::Routed { .. }
            | Event::Cancelled { .. }
            | Event::Declined { .. }
            | Event::Ringing { .. }
            | Event::Referred(_)
            | Event::FromTransferor(_)
            | Event::ProvisionalUnacknowledged { .. }
            | Event::Media(_) => self.stay(),
        }
    }

    /// A request in one of the two dialogs.
    fn requested(
        self: Box<Self>,
        side: Side,
        transaction: ServerId,
        request: &Message<'_>,
        facts: &Facts,
        turn: &mut Turn<'_>,
    ) -> State {
        match request.start().method() {
            Some(Method::Bye) => self.hung_up(side, transaction, facts, turn),
            Some(Method::Invite | Method::Update) => self.change(side, transaction, request, turn).stay(),
            Some(Method::Info) => self.inform(side, transaction, request, facts, turn).stay(),
            _ => {
                turn.endpoint.respond(turn.now, transaction, &plain(200));
                self.stay()
            }
        }
    }

    /// A response to a request of ours, or none at all.
    fn responded(
        mut self: Box<Self>,
        transaction: ClientId,
        response: Option<&Message<'_>>,
        facts: &Facts,
        turn: &mut Turn<'_>,
    ) -> State {
        if response.is_some_and(|response| status(response) < 200) {
            return self.stay();
        }
        if let Some(info) = self.take_info(transaction) {
            return self.informed(&info, response, facts, turn);
        }
        match (self.take_refresh(transaction), response) {
            (Some(refresh), response) => self.refreshed(refresh, transaction, response, facts, turn),
            (None, Some(response)) => self.answered(transaction, response, facts, turn),
            (None, None) => self.unanswered(transaction, (408, None), facts, turn),
        }
    }

    /// When policy has it ended.
    pub(super) fn ends_at(&self) -> Option<Instant> {
        self.bridge.permit.lasts().map(|lasts| self.since.at + lasts)
    }

    pub(super) fn stay(self: Box<Self>) -> State {
        State::Bridged(self)
    }

    pub(super) fn leg_of(&self, side: Side) -> &Answered {
        match side {
            Side::Caller => &self.caller,
            Side::Client => &self.client,
        }
    }

    pub(super) fn leg(&mut self, side: Side) -> &mut Answered {
        match side {
            Side::Caller => &mut self.caller,
            Side::Client => &mut self.client,
        }
    }

    /// One side's BYE.
    fn hung_up(self: Box<Self>, side: Side, transaction: ServerId, facts: &Facts, turn: &mut Turn<'_>) -> State {
        let end = End { by: side.into(), outcome: Outcome::Answered, reason: "hung up", header: None };
        self.finish(Some((side, transaction)), end, facts, turn)
    }

    /// Why it cannot be handed on just now: something is under way in one of its dialogs, or a fax is.
    pub(super) fn is_busy(&self) -> bool {
        if self.session.agreement.fax.is_some() || !self.session.agreement.speaks {
            return true;
        }
        let refreshes = [Side::Caller, Side::Client].map(|side| self.leg_of(side).refresh.is_some());
        self.change.is_some() || !self.infos.is_empty() || refreshes.contains(&true)
    }

    /// Who answered, and under which name.
    pub(super) fn answerer(&self) -> (Option<&Who>, &Name) {
        (self.bridge.who.as_ref(), &self.bridge.winner)
    }

    /// Tells the client that has the call, and nobody else.
    pub(super) fn tell_holder(&self, news: News, facts: &Facts, turn: &mut Turn<'_>) {
        let holder = Holder::new(self.answerer().1.clone(), self.holder(), facts);
        turn.notify(holder.told(facts.id, news, turn.now.wall));
    }

    /// All bridges of the call up to now.
    fn talk(&self, turn: &Turn<'_>) -> Talk {
        let (first, before) =
            self.before.as_ref().map_or((self.since, Duration::ZERO), |talk| (talk.first, talk.talked));
        Talk {
            first,
            talked: before + (turn.now.at - self.since.at),
            winner: self.bridge.winner.to_string(),
            permit: self.bridge.permit.rule().to_string(),
            parameters: self.bridge.permit.parameters().cloned(),
            client_sip_call_id: super::record::call_id(turn.endpoint, self.client.dialog),
        }
    }

    /// The two part: the caller with the session, and the client.
    pub(super) fn part(self: Box<Self>, turn: &Turn<'_>) -> (Answered, Session, Talk, Answered) {
        let talk = self.talk(turn);
        (self.caller, self.session, talk, self.client)
    }

    pub(super) fn end(self: Box<Self>, end: End, facts: &Facts, turn: &mut Turn<'_>) -> State {
        self.finish(None, end, facts, turn)
    }

    /// Ends both legs: `bye` is the request of the one that hung up by itself.
    fn finish(self: Box<Self>, bye: Option<(Side, ServerId)>, end: End, facts: &Facts, turn: &mut Turn<'_>) -> State {
        let mut record =
            facts.record(Some(self.caller.dialog), &super::Over::after_bridge(end.outcome, end.by, end.reason), turn);
        self.session.write(&mut record, turn.settings);
        record.recording = self.session.taping.missed();
        self.talk(turn).write(&mut record, facts);
        if let Some(received) = self.unanswered_change().filter(|_| !planted(Mutant::ChangeLeftOpen)) {
            turn.endpoint.respond(turn.now, received, &plain(487));
        }
        self.give_infos_up(turn);
        if planted(Mutant::GoneToldTwice) {
            facts.tell_gone(turn, GoneReason::AnsweredElsewhere, None);
        }
        let of = |side: Side| bye.filter(|(by, _)| *by == side).map(|(_, bye)| bye);
        let caller = self.caller.leave(turn, end.header, of(Side::Caller));
        let client = self.client.leave(turn, end.header, of(Side::Client));
        let holder = Holder::new(self.bridge.winner, self.bridge.claim.subject(), facts);
        Ending::begin((caller, client), self.session.flow, record, Some(holder), turn)
    }
}

impl End {
    pub(super) fn failed(reason: &'static str) -> End {
        End { by: EndedBy::Parkway, outcome: Outcome::Answered, reason, header: None }
    }

    fn silent(side: Side, line: Line) -> End {
        let reason = match (line, side) {
            (Line::Fax, Side::Caller | Side::Client) => "no UDPTL from either side",
            (Line::Audio | Line::Video, Side::Caller) => "no RTP from the caller",
            (Line::Audio | Line::Video, Side::Client) => "no RTP from the client",
        };
        End::without_media(reason)
    }

    fn without_media(reason: &'static str) -> End {
        End { header: Some("Q.850;cause=41;text=\"No media\""), ..End::failed(reason) }
    }

    /// RFC 3326 has no cause of its own for it: the text says it.
    fn too_long() -> End {
        let header = Some("Q.850;cause=31;text=\"Longest duration reached\"");
        End { header, ..End::failed("the call lasted as long as policy allows") }
    }

    fn stopped() -> End {
        End { header: Some("SIP;cause=503;text=\"Server stopping\""), ..End::failed("server stopped") }
    }
}
