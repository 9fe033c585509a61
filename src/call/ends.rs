//! The two ends of a session that is to be, and what both sides have said of it so far.
//! Not here: in which order they are asked (`merging`).

use super::hearing::Hearing;
use super::keying::Keying;
use super::leg::Refusal;
use super::party::Party;
use super::session::{End, Lines, Said, not_acceptable};
use super::{Settings, Turn};
use crate::id::Side;
use crate::media::Line;
use crate::sdp::{self, Agreement, Description};
use bytes::Bytes;

/// Both ends of the session to be.
#[derive(Debug)]
pub(super) struct Ends {
    pub(super) caller: End,
    pub(super) client: End,
}

/// How what the two say is read.
pub(super) struct Rules {
    /// What goes for their keys: the caller's, the client's.
    pub(super) keying: [Keying; 2],
    /// What of the caller's payload types it was told that it may use, of audio alone; `None` if it was told nothing yet.
    pub(super) only: Option<Vec<u8>>,
}

/// What both sides have said, read once for all that is made of it.
#[derive(Default)]
pub(super) struct Offers<'s> {
    pub(super) caller: Option<Description<'s>>,
    pub(super) client: Option<Description<'s>>,
}

impl Ends {
    pub(super) fn of(&mut self, side: Side) -> &mut End {
        match side {
            Side::Caller => &mut self.caller,
            Side::Client => &mut self.client,
        }
    }

    /// The other side has said nothing, and is made an offer that speaks for `from`.
    pub(super) fn speak_for(&mut self, from: Side) {
        let (end, other) = match from {
            Side::Caller => (&mut self.client, &self.caller),
            Side::Client => (&mut self.caller, &self.client),
        };
        end.speak_for(other);
    }

    /// Takes in what both INVITEs offered; with two offers there is an agreement already.
    pub(super) fn hear_offers(
        &mut self,
        offers: &Offers<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<Option<Agreement>, Refusal> {
        let agreed = agreed(offers.caller.as_ref(), offers.client.as_ref())?;
        for (side, description) in [(Side::Caller, &offers.caller), (Side::Client, &offers.client)] {
            if let Some(description) = description {
                let said = self.of(side).judge(description, turn.settings)?;
                self.of(side).hear(said, description, turn.rng);
            }
        }
        Ok(agreed)
    }

    /// What to offer to the side that said nothing: what the other has said, or the codecs that everybody has.
    pub(super) fn propose(&mut self, from: Side, says: &[u8], rules: &Rules) -> Result<Agreement, Refusal> {
        let Some(description) = rules.read(from, says)? else { return Ok(Agreement::by_default()) };
        sdp::propose(from, &description, None, self.of(from.other()).outline()).map_err(|error| not_acceptable(&error))
    }
}

impl<'s> Offers<'s> {
    pub(super) fn read([caller, client]: &'s [Bytes; 2], rules: &Rules) -> Result<Offers<'s>, Refusal> {
        Ok(Offers { caller: rules.read(Side::Caller, caller)?, client: rules.read(Side::Client, client)? })
    }
}

impl Rules {
    /// Of these two, the first of whom may hear something already. There are the lines that there are ports for, and that both may have.
    pub(super) fn of(parties: &[Party; 2], hearing: Option<&Hearing>, lines: &Lines, settings: &Settings) -> Rules {
        let keyings = parties.each_ref().map(|party| party.keying(settings));
        let both = |line: &Line| lines.contains(line) && keyings.iter().all(|keying| keying.may_have(*line));
        let keying =
            keyings.map(|keying| Line::FURTHER.into_iter().fold(keying, |keying, line| keying.with(line, both(&line))));
        Rules { keying, only: hearing.and_then(Hearing::heard).map(|heard| heard.formats.clone()) }
    }

    /// What a side offered, if it did.
    fn read<'s>(&self, side: Side, says: &'s [u8]) -> Result<Option<Description<'s>>, Refusal> {
        if says.is_empty() {
            return Ok(None);
        }
        let [of_caller, of_client] = self.keying;
        match (side, &self.only) {
            (Side::Client, _) => of_client.read(says).map(Some),
            (Side::Caller, None) => of_caller.read(says).map(Some),
            (Side::Caller, Some(only)) => Ok(Some(of_caller.read(says)?.only(only))),
        }
    }
}

/// What is known before both have spoken.
pub(super) struct Compatible {
    /// What they agree on, if both have offered something.
    pub(super) agreement: Option<Agreement>,
    /// What they can have besides audio.
    pub(super) lines: Lines,
}

/// Looks at what both offer. An error is the client's: the caller's offer was looked at before it was parked.
pub(super) fn compatible(
    [caller, client]: [&[u8]; 2],
    rules: &Rules,
    settings: &Settings,
) -> Result<Compatible, Refusal> {
    let caller = rules.read(Side::Caller, caller).ok().flatten();
    let client = rules.read(Side::Client, client)?;
    if let Some(client) = &client {
        let [_, of_client] = rules.keying;
        Said::of(client, of_client, settings)?;
    }
    let agreement = agreed(caller.as_ref(), client.as_ref())?;
    let offered = |line: &Line| [&caller, &client].into_iter().flatten().any(|description| offers(description, *line));
    let has = |line: &Line| agreement.as_ref().map_or_else(|| offered(line), |agreement| agreed_on(agreement, *line));
    let lines = Line::FURTHER.into_iter().filter(has).collect();
    Ok(Compatible { agreement, lines })
}

/// Whether a description has a line that could be relayed.
pub(super) fn offers(description: &Description<'_>, line: Line) -> bool {
    let found = match line {
        Line::Audio => description.audio(),
        Line::Video => description.video(),
        Line::Fax => description.fax(),
    };
    found.is_some()
}

/// Whether an agreement has a line.
fn agreed_on(agreement: &Agreement, line: Line) -> bool {
    match line {
        Line::Audio => agreement.speaks,
        Line::Video => agreement.video.is_some(),
        Line::Fax => agreement.fax.is_some(),
    }
}

/// The same of descriptions that have been read.
fn agreed(caller: Option<&Description<'_>>, client: Option<&Description<'_>>) -> Result<Option<Agreement>, Refusal> {
    let has_any = |description: &&Description<'_>| description.audio().is_some() || description.fax().is_some();
    let Some((caller, client)) = caller.filter(has_any).zip(client.filter(has_any)) else { return Ok(None) };
    sdp::agree(caller, client).map(Some).map_err(|error| not_acceptable(&error))
}
