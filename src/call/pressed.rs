//! The keys that the sides of a bridge press: how many, for the record, and which, for the client that has the call, if the operator wants
//! it told. A key may be part of a PIN: it stands in no record and no log, and goes to nobody else.
//! Not here: how keys are heard (`media`, `info`), and that they cross.

use super::notice::{Digit, News};
use super::record::Record;
use super::{Bridged, Facts, Turn};
use crate::id::Side;
use crate::media::digits::Pace;
use crate::media::{Closed, Counters, Dialled, Means, Reporting};
use crate::name::Name;
use crate::time::Duration;
use crate::token::SubjectHash;
use serde::Serialize;

/// What becomes of the keys of all calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DigitTerms {
    /// Whether they are counted or told.
    pub reporting: Reporting,
    /// Whether tones are listened for where a side has no telephone-event.
    pub in_band: bool,
    /// What becomes of a key in an INFO.
    pub info_as: InfoAs,
}

/// How the other side gets a key that came in an INFO.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InfoAs {
    /// In an INFO.
    #[default]
    Info,
    /// As telephone-event, if that was agreed on; else in an INFO.
    Rfc4733,
}

/// How many keys each side pressed, by how they were heard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DigitCounts {
    /// The caller's.
    pub caller: SideDigits,
    /// The client's.
    pub client: SideDigits,
}

/// One side's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SideDigits {
    /// As packets of telephone-event.
    pub rfc4733: u32,
    /// As tones.
    pub in_band: u32,
    /// In INFOs.
    pub info: u32,
    /// Of all these, how many came too fast to be told.
    pub untold: u32,
    /// Keys that we pressed for it to hear: they came in INFOs of the other side, or the client asked for them.
    pub sent: u32,
    /// The same, where that could not be done.
    pub unsent: u32,
}

/// The keys that came by INFO, of which the relay knows nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pressed {
    caller: ByInfo,
    client: ByInfo,
}

#[derive(Clone, Copy, Debug, Default)]
struct ByInfo {
    count: u32,
    untold: u32,
    pace: Pace,
}

impl Pressed {
    fn side(&mut self, side: Side) -> &mut ByInfo {
        match side {
            Side::Caller => &mut self.caller,
            Side::Client => &mut self.client,
        }
    }

    /// For the record, until the relay says more.
    pub(super) fn counts(&self, reporting: Reporting) -> Option<DigitCounts> {
        let of = |by: &ByInfo| SideDigits { info: by.count, untold: by.untold, ..SideDigits::default() };
        match reporting {
            Reporting::Off => None,
            Reporting::Count | Reporting::Tell => {
                Some(DigitCounts { caller: of(&self.caller), client: of(&self.client) })
            }
        }
    }
}

impl DigitCounts {
    /// The relay has said what it has heard.
    pub(super) fn add(&mut self, heard: &Closed) {
        for (side, heard) in [(&mut self.caller, &heard.caller), (&mut self.client, &heard.client)] {
            let Counters { dtmf_digits, dtmf_in_band, dtmf_untold, dtmf_sent, dtmf_unsent, .. } = *heard;
            (side.rfc4733, side.in_band) = (dtmf_digits, dtmf_in_band);
            (side.sent, side.unsent) = (dtmf_sent, dtmf_unsent);
            side.untold = side.untold.saturating_add(dtmf_untold);
        }
    }

    /// Both sides' together, by how they were heard.
    pub fn totals(&self) -> [(Means, u64); 3] {
        let sum = |of: fn(&SideDigits) -> u32| u64::from(of(&self.caller)) + u64::from(of(&self.client));
        [
            (Means::Rfc4733, sum(|side| side.rfc4733)),
            (Means::InBand, sum(|side| side.in_band)),
            (Means::Info, sum(|side| side.info)),
        ]
    }
}

impl Record {
    /// What the relay has counted goes beside what we have.
    pub(super) fn add_digits(&mut self, heard: Option<&Closed>) {
        if let Some((digits, heard)) = self.digits.as_mut().zip(heard) {
            digits.add(heard);
        }
    }
}

impl Bridged {
    /// A side has pressed a key in an INFO that we took.
    pub(super) fn pressed_by_info(
        &mut self,
        leg: Side,
        (key, duration_ms): (char, Option<u32>),
        facts: &Facts,
        turn: &mut Turn<'_>,
    ) {
        let reporting = turn.settings.digits.reporting;
        let by = self.session.pressed.side(leg);
        by.count = by.count.saturating_add(u32::from(reporting != Reporting::Off));
        if reporting != Reporting::Tell {
            return;
        }
        if by.pace.admits(turn.now.at) {
            self.tell_holder(News::Digit(Digit { leg, key, duration_ms, heard: Means::Info }), facts, turn);
        } else {
            by.untold = by.untold.saturating_add(1);
        }
    }

    /// Presses keys for a side to hear; `false` where that has no telephone-event, or is not to hear anything.
    pub(super) fn press(&self, hears: Side, dialled: Dialled, duration_ms: Option<u32>, turn: &mut Turn<'_>) -> bool {
        let duration = duration_ms.map(|ms| Duration::from_millis(ms.into()));
        let command = self.session.press_command(hears, dialled, duration);
        command.into_iter().map(|command| turn.media(command)).next().is_some()
    }

    /// A client has asked for keys: they are as those of its telephone, and nobody else's to ask for.
    pub(super) fn asked_to_press(&self, (by, who): (&Name, SubjectHash), dialled: Dialled, turn: &mut Turn<'_>) {
        if *by == *self.answerer().1 && who == self.holder() {
            self.press(Side::Caller, dialled, None, turn);
        }
    }
}
