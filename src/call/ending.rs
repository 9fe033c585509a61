//! Ending: both sides are told that it is over, the relay gives its ports back and its counters, the record is written. Then nothing is left.

use super::leg::Leaving;
use super::notice::{Ended, News, Notice, Personal, Quality, Score};
use super::{Event, Facts, Record, State, Turn};
use crate::id::{CallId, FlowId, Side};
use crate::limits;
use crate::media;
use crate::mutant::{Mutant, planted};
use crate::name::Name;
use crate::sip::endpoint::DialogId;
use crate::time::{Instant, Wall};
use crate::token::SubjectHash;
use std::sync::Arc;

/// A call that is being taken down.
#[derive(Debug)]
pub(super) struct Ending {
    caller: Leaving,
    client: Leaving,
    flow: Option<FlowId>,
    /// Written as soon as the relay's counters are in it.
    record: Option<Record>,
    /// The client that is told of it.
    holder: Option<Box<Holder>>,
    /// When we stop waiting for peers that do not answer.
    deadline: Instant,
}

/// A client that had the call, and is told how it was.
#[derive(Debug)]
pub(super) struct Holder {
    name: Name,
    called: Arc<str>,
    subject: SubjectHash,
    /// Whether telephones of the call are rung, and not told.
    rings: bool,
}

impl Holder {
    /// The client that answered under this name.
    pub(super) fn new(name: Name, subject: SubjectHash, facts: &Facts) -> Holder {
        Holder { name, called: facts.called.clone(), subject, rings: facts.route.invites }
    }

    /// What it is told.
    fn ended(self, record: &Record) -> Notice {
        let score = |leg: &media::Counters| Score { mos: leg.mos, mos_heard: leg.mos_heard };
        let quality = |closed: &media::Closed| Quality { caller: score(&closed.caller), client: score(&closed.client) };
        let ended = Ended {
            ended_by: record.ended_by,
            talked_ms: record.talked_ms,
            quality: record.media.as_ref().map(quality),
            findings: record.media.as_ref().map(media::diagnosis::findings_for_client).unwrap_or_default(),
        };
        self.told(record.call, News::Ended(ended), record.ended)
    }

    /// Something that it is told, and nobody else.
    pub(super) fn told(self, call: CallId, news: News, at: Wall) -> Notice {
        let Holder { name, called, subject: holder, rings } = self;
        Notice::Personal(Box::new(Personal { call, name, called, holder, news, at, rings }))
    }
}

impl Ending {
    /// Begins it: the relay is told to stop at once, so nobody hears anything after the first BYE.
    pub(super) fn begin(
        (caller, client): (Leaving, Leaving),
        flow: FlowId,
        record: Record,
        holder: Option<Holder>,
        turn: &mut Turn<'_>,
    ) -> State {
        turn.media(media::Command::Close { flow });
        if planted(Mutant::RecordTwice) {
            turn.write(record.clone());
        }
        let patience = if planted(Mutant::EndingForever) { limits::PARK_MAX } else { limits::ENDING_MAX };
        let deadline = turn.now.at + patience;
        let (record, holder) = (Some(record), holder.map(Box::new));
        State::Ending(Box::new(Ending { caller, client, flow: Some(flow), record, holder, deadline }))
    }

    /// When to give up.
    pub(super) fn wake_at(&self) -> Instant {
        self.deadline
    }

    /// Whether the record is written.
    pub(super) fn is_recorded(&self) -> bool {
        self.record.is_none()
    }

    /// Its media, until the relay has let go of it.
    pub(super) fn flow(&self) -> Option<FlowId> {
        self.flow
    }

    /// The dialog of a leg, while it has one.
    pub(super) fn dialog(&self, side: Side) -> Option<DialogId> {
        match side {
            Side::Caller => self.caller.dialog(),
            Side::Client => self.client.dialog(),
        }
    }

    /// Something happened.
    pub(super) fn handle(mut self, event: Event<'_>, turn: &mut Turn<'_>) -> State {
        match event {
            Event::Request { side, transaction, request } => {
                self.step(side, |leg| leg.handle_request(turn, transaction, request.start().method()));
            }
            Event::Response { side, transaction, response } => {
                self.step(side, |leg| leg.handle_response(turn, transaction, response));
            }
            Event::Failed { side, transaction } => self.step(side, |leg| leg.handle_bye_done(turn, transaction)),
            Event::Media(media::Event::Closed { report, .. }) => self.write(Some(*report), turn),
            Event::Abandon => self.give_up(turn),
            Event::Timeout if turn.now.at >= self.deadline => self.give_up(turn),
            Event::Callback(callback) => callback.refuse(turn, 410),
            // The endpoint sends a BYE that waited for an ACK.
            Event::Acknowledged { .. } | Event::Unacknowledged { .. } => {}
            Event::ProvisionalUnacknowledged { .. } => {}
            Event::Routed { .. }
            | Event::Timeout
            | Event::Media(_)
            | Event::Cancelled { .. }
            | Event::Declined { .. }
            | Event::Ringing { .. }
            | Event::Pressed { .. }
            | Event::Referred(_)
            | Event::FromTransferor(_)
            | Event::Stop => {}
        }
        let done = matches!((&self.caller, &self.client), (Leaving::Gone, Leaving::Gone)) && self.flow.is_none();
        if done { State::Over } else { State::Ending(Box::new(self)) }
    }

    fn step(&mut self, side: Side, step: impl FnOnce(Leaving) -> Leaving) {
        let leg = match side {
            Side::Caller => &mut self.caller,
            Side::Client => &mut self.client,
        };
        *leg = step(std::mem::replace(leg, Leaving::Gone));
    }

    fn write(&mut self, mut report: Option<media::Closed>, turn: &mut Turn<'_>) {
        self.flow = None;
        if let Some(mut record) = self.record.take() {
            // Of a call that had video once, and none at its end, the counters are left.
            if let Some(counted) = report.as_mut().and_then(|report| report.video.take()) {
                record.video.get_or_insert_default().media = Some(*counted);
            }
            if let Some((fax, counted)) = record.fax.as_mut().zip(report.as_mut().and_then(|report| report.fax.take()))
            {
                fax.count(&counted);
            }
            record.warnings = report.as_ref().map_or(0, |report| report.warnings);
            record.findings = report.as_ref().map(media::diagnosis::findings).unwrap_or_default();
            let recording = report.as_mut().and_then(|report| report.recording.take());
            record.recording = recording.or(record.recording);
            record.add_digits(report.as_ref());
            record.media = report;
            let ended = self.holder.take().map(|holder| holder.ended(&record));
            turn.write(record);
            ended.into_iter().for_each(|ended| turn.notify(ended));
        }
    }

    fn give_up(&mut self, turn: &mut Turn<'_>) {
        self.step(Side::Caller, |leg| leg.abandon(turn));
        self.step(Side::Client, |leg| leg.abandon(turn));
        self.write(None, turn);
    }
}
