//! Whether a call is recorded: its route says so, a client's grant goes before it, and what cannot be recorded is not agreed on.
//! Not here: the packets and files (`media::recording`, `relay`), and who may say so (`policy`).

use super::leg::Refusal;
use super::session::not_acceptable;
use super::{Facts, Settings};
use crate::id::Side;
use crate::media::tone::Law;
use crate::media::{Announcement, Play, Recorded, Recording, Sides, SoundId};
use crate::policy::{Permit, RecordRule};
use crate::sdp::{Agreement, NotAgreed};
use crate::time::Duration;
use crate::token::Claim;

/// How calls are recorded, where they are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RecordingTerms {
    /// What both sides hear before; `None`: nothing.
    pub announces: Option<SoundId>,
    /// After how long they hear it again.
    pub every: Option<Duration>,
    /// Whether a call that should be recorded and cannot be is refused.
    pub is_required: bool,
}

/// What was decided for one call.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(super) struct Taping {
    sides: Option<Sides>,
    is_required: bool,
    /// Why it is not recorded, though it should be.
    missed: Option<&'static str>,
}

impl Taping {
    /// What policy and the route say; of whoever dialled, what policy said when his token was sealed. A call that has to be recorded is refused
    /// where nothing is.
    pub(super) fn decide(
        (permit, claim): (&Permit, &Claim),
        facts: &Facts,
        settings: &Settings,
    ) -> Result<Taping, Refusal> {
        let wanted = match permit.recording().or(claim.record()) {
            Some(RecordRule::Require) => Some(facts.route.record.unwrap_or(Sides::Both)),
            Some(RecordRule::Forbid) => None,
            None => facts.route.record,
        };
        match (wanted, settings.recording) {
            (None, _) => Ok(Taping::default()),
            (Some(_), Some(terms)) => Ok(Taping { sides: wanted, is_required: terms.is_required, missed: None }),
            (Some(_), None) => {
                let sentence = "the call has to be recorded, and there is no recording.directory";
                Err(Refusal::warned(488, "recording_unavailable", sentence))
            }
        }
    }

    /// What of an agreement stands: in a call that is recorded, what can be. If that is nothing, the call is refused, or goes on unrecorded.
    pub(super) fn narrow(&mut self, agreement: Agreement) -> Result<Agreement, Refusal> {
        match self.keep(&agreement) {
            Err(_) if !self.is_required => {
                let missed = if agreement.speaks { "no codec in common that can be recorded" } else { "it is a fax" };
                (self.sides, self.missed) = (None, Some(missed));
                Ok(agreement)
            }
            narrowed => narrowed,
        }
    }

    /// The same of a session that is recorded already: it stays so.
    pub(super) fn keep(&self, agreement: &Agreement) -> Result<Agreement, Refusal> {
        if self.sides.is_none() {
            return Ok(agreement.clone());
        }
        let refused = |error: NotAgreed| match error {
            NotAgreed::NoAudio => not_acceptable(&"the call is recorded, and a fax by T.38 cannot be"),
            NotAgreed::NoCommonCodec => {
                not_acceptable(&"no audio codec in common that can be recorded, as the call has to be")
            }
        };
        agreement.telephony_only().map_err(refused)
    }

    /// Whose words are recorded.
    pub(super) fn sides(&self) -> Option<Sides> {
        self.sides
    }

    /// What the relay is told of one side, whose own source is `ssrc`.
    pub(super) fn stream(
        &self,
        side: Side,
        agreement: &Agreement,
        settings: &Settings,
        play: impl FnOnce(SoundId) -> Option<Play>,
    ) -> Option<Box<Recording>> {
        let sides = self.sides?;
        let law = |agreed: &crate::sdp::Agreed| Some((agreed.leg(side).from_leg, Law::named(&agreed.encoding)?));
        let laws = agreement.audio.list.iter().filter(|agreed| agreed.encoding(side).is_g711()).filter_map(law);
        let laws = if sides.has(side) { laws.take(2).collect() } else { Default::default() };
        let announces = settings.recording.and_then(|terms| {
            let play = play(terms.announces?)?;
            Some(Announcement { play, every: terms.every })
        });
        Some(Box::new(Recording { laws, announces }))
    }

    /// For the record, until the relay says more.
    pub(super) fn missed(&self) -> Option<Recorded> {
        let failed = Some(self.missed?.to_owned());
        Some(Recorded { failed, ..Recorded::default() })
    }
}

/// The file of a call, below the directory of recordings: the day of its INVITE (UTC), and its id.
pub(super) fn file(facts: &Facts) -> Box<str> {
    let started = facts.started.wall.to_string();
    let day = started.split('T').next().unwrap_or_default();
    format!("{day}/{}.wav", facts.id).into()
}
