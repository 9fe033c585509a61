//! Arriving: an INVITE was accepted, and where it goes is not settled yet. Routes are known at once, so a call is here for one step
//! only; an application's instructions will be waited for here.

use super::hearing::Hearing;
use super::identity::Caller;
use super::leg::Pending;
use super::parked::Parked;
use super::record::uri_text;
use super::{Event, Facts, Incoming, Notice, State, Turn};
use crate::limits;
use crate::mutant::{Mutant, planted};
use crate::policy::MediaKinds;
use crate::sdp::{Description, Kind};
use crate::sip::wire::Message;
use crate::time::Duration;

/// The caller's INVITE has its 100.
#[derive(Debug)]
pub(super) struct Arriving {
    /// The caller's leg.
    pub caller: Pending,
}

impl Arriving {
    /// Something happened.
    pub(super) fn handle(self, event: Event<'_>, facts: &Facts, turn: &mut Turn<'_>) -> State {
        match event {
            Event::Routed { invite } => State::Parked(self.park(facts, invite, turn)),
            Event::Callback(_)
            | Event::Cancelled { .. }
            | Event::Request { .. }
            | Event::Acknowledged { .. }
            | Event::Response { .. }
            | Event::Failed { .. }
            | Event::Unacknowledged { .. }
            | Event::ProvisionalUnacknowledged { .. }
            | Event::Media(_)
            | Event::Declined { .. }
            | Event::Ringing { .. }
            | Event::Pressed { .. }
            | Event::Referred(_)
            | Event::FromTransferor(_)
            | Event::Timeout
            | Event::Stop
            | Event::Abandon => State::Arriving(self),
        }
    }

    /// Lets the caller ring and tells the clients of the name.
    fn park(self, facts: &Facts, invite: &Message<'_>, turn: &mut Turn<'_>) -> Parked {
        let hearing = Hearing::begin(&self.caller, facts, turn);
        if hearing.is_none() {
            self.caller.ring(turn, facts.route.ring, None);
        }
        turn.notify(Notice::Incoming(incoming(facts, invite)));
        let late = if planted(Mutant::ParkDeadline) { limits::PARK_MAX } else { Duration::ZERO };
        let (deadline, repeat_at) = (turn.now.at + facts.route.park + late, turn.now.at + turn.settings.repeat);
        Parked { caller: self.caller, deadline, repeat_at, hearing: hearing.map(Box::new) }
    }
}

/// What the clients are told of it. The same whenever it is asked for: those who come later hear the same.
pub(super) fn incoming(facts: &Facts, invite: &Message<'_>) -> Incoming {
    let expires = facts.waits_since.wall + facts.route.park;
    let caller = Caller::shown(invite, &facts.trunk);
    Incoming {
        call: facts.id,
        generation: facts.generation(),
        name: facts.route.name.clone(),
        called: facts.called.clone(),
        from: caller.uri.into(),
        from_display: caller.display.map(Into::into),
        to: facts.trunk.called.apply_in(uri_text(&invite.to())).into(),
        media: offered(invite),
        recorded: facts.route.record.is_some(),
        expires,
        token_expires: expires + limits::TOMBSTONE_LIFE,
        rings: facts.route.invites,
        data: facts.route.data.clone(),
    }
}

/// Which kinds of media the caller offers; an INVITE without an offer will be asked for audio.
fn offered(invite: &Message<'_>) -> MediaKinds {
    let description = Description::parse(invite.description()).ok();
    let media = description.iter().flat_map(|description| &description.media).filter(|media| media.port != 0);
    let kinds = media.map(|media| match media.kind {
        Kind::Audio => MediaKinds::AUDIO,
        Kind::Video => MediaKinds::VIDEO,
        Kind::Image => MediaKinds::IMAGE,
        Kind::Application | Kind::Text | Kind::Message | Kind::Other(_) => MediaKinds::NONE,
    });
    let kinds = kinds.collect::<MediaKinds>();
    if kinds.covers(MediaKinds::IMAGE) { kinds } else { kinds | MediaKinds::AUDIO }
}
