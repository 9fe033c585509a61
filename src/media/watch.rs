//! What is wrong with the audio of a call while it goes on: one side is not heard, or neither is. Each is told once when it begins, and once when
//! it is over. Only where both sides are to send: a call on hold is silent by intention.
//! Not here: the words (`diagnosis`), what was wrong with a call that is over, and when silence ends a call (`leg`).

use crate::id::Side;
use crate::limits;
use crate::media::diagnosis::Finding;
use crate::time::{Duration, Instant};

/// After which silence somebody is told; `None`: never.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct WarningTerms {
    /// Of a side that was heard before.
    pub silent: Option<Duration>,
    /// Of one that never was.
    pub unheard: Option<Duration>,
}

/// For how long nothing has come of a side that is awaited.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Silence {
    /// Until now.
    pub lasts: Duration,
    /// Whether something came before.
    pub was_heard: bool,
}

/// Who is not heard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unheard {
    /// This side, while the other one is.
    One(Side),
    /// Both.
    Both,
}

/// What an operator and a client are told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Warning {
    /// What is wrong.
    pub finding: Finding,
    /// The same without any address of the caller's.
    pub for_client: Finding,
    /// That it is over, and how long it was.
    pub over_after: Option<Duration>,
}

/// A call's watch, once it had something to say.
#[derive(Debug, Default)]
pub struct Watch {
    /// What is wrong now, since when, and as it was said.
    current: Option<(Unheard, Instant, Warning)>,
    /// How often something was.
    told: u8,
}

impl Watch {
    /// Who is not heard now, as far as somebody was told.
    pub fn current(&self) -> Option<Unheard> {
        self.current.as_ref().map(|(unheard, ..)| *unheard)
    }

    /// How many warnings were told.
    pub fn told(&self) -> u8 {
        self.told
    }

    /// Ends what was wrong; `None` if nothing was.
    pub fn end(&mut self, now: Instant) -> Option<Warning> {
        let (_, since, warning) = self.current.take()?;
        Some(Warning { over_after: Some(now.since(since)), ..warning })
    }

    /// Begins it. Who has been told [`limits::WARNINGS_A_CALL_MAX`] times is told no more.
    pub fn begin(&mut self, unheard: Unheard, since: Instant, words: impl FnOnce() -> Warning) -> Option<Warning> {
        if self.told >= limits::WARNINGS_A_CALL_MAX {
            return None;
        }
        self.told += 1;
        let warning = words();
        self.current = Some((unheard, since, warning.clone()));
        Some(warning)
    }
}

impl WarningTerms {
    /// Who is not heard, the caller's silence being the first and the client's the second, and both sides awaited. `current` is who was not heard
    /// a moment ago: that the side which speaks takes a breath does not end it.
    pub fn judge(&self, [caller, client]: [Option<Silence>; 2], current: Option<Unheard>) -> Option<Unheard> {
        let (caller, client) = caller.zip(client)?;
        let one = |side, other: &Silence| {
            let speaks = other.was_heard && other.lasts < limits::SPEAKING_PAUSE_MAX;
            Some(Unheard::One(side)).filter(|unheard| speaks || current == Some(*unheard))
        };
        match (self.is_long(&caller), self.is_long(&client)) {
            (false, false) => None,
            (true, false) => one(Side::Caller, &client),
            (false, true) => one(Side::Client, &caller),
            (true, true) => Some(Unheard::Both),
        }
    }

    /// Whether nothing is ever told.
    pub fn is_off(&self) -> bool {
        *self == WarningTerms::default()
    }

    fn is_long(&self, silence: &Silence) -> bool {
        let max = if silence.was_heard { self.silent } else { self.unheard };
        max.is_some_and(|max| silence.lasts >= max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMS: WarningTerms =
        WarningTerms { silent: Some(Duration::from_secs(10)), unheard: Some(Duration::from_secs(5)) };

    fn heard(seconds: u64) -> Option<Silence> {
        Some(Silence { lasts: Duration::from_secs(seconds), was_heard: true })
    }

    fn never(seconds: u64) -> Option<Silence> {
        Some(Silence { was_heard: false, ..heard(seconds).unwrap() })
    }

    #[test]
    fn who_is_not_heard() {
        let (caller, client, both) =
            (Some(Unheard::One(Side::Caller)), Some(Unheard::One(Side::Client)), Some(Unheard::Both));
        for (rule, silences, current, expected) in [
            ("they_talk", [heard(0), heard(0)], None, None),
            ("one_listens_for_a_while", [heard(0), heard(9)], None, None),
            ("one_is_silent", [heard(0), heard(10)], None, client),
            ("the_other_is", [heard(10), heard(0)], None, caller),
            ("one_never_was_heard", [heard(0), never(5)], None, client),
            ("and_may_still_come", [heard(0), never(4)], None, None),
            ("both_are", [heard(10), heard(10)], None, both),
            ("neither_ever_was", [never(5), never(5)], None, both),
            ("one_of_each", [never(5), heard(10)], None, both),
            ("one_is_on_hold", [heard(60), None], None, None),
            ("both_are_on_hold", [None, None], client, None),
            ("who_else_is_about_to_be_silent_does_not_speak", [heard(4), heard(10)], None, None),
            ("nor_who_was_never_heard", [never(4), heard(10)], None, None),
            ("it_goes_on_while_the_other_takes_a_breath", [heard(4), heard(30)], client, client),
            ("until_neither_is_heard", [heard(10), heard(36)], client, both),
            ("or_it_is_heard_again", [heard(1), heard(0)], client, None),
            ("one_of_two_is_heard_again", [heard(0), heard(50)], both, client),
        ] {
            assert_eq!(TERMS.judge(silences, current), expected, "{rule}");
        }
        let silent = [never(99), heard(99)];
        assert_eq!(WarningTerms { unheard: None, ..TERMS }.judge(silent, None), None, "it does not speak");
        assert!(WarningTerms::default().is_off() && WarningTerms::default().judge(silent, None).is_none());
    }

    #[test]
    fn each_is_told_at_its_beginning_and_its_end_and_not_for_ever() {
        let finding = Finding { id: "dead_air", leg: "client", text: String::new() };
        let words = || Warning { finding: finding.clone(), for_client: finding.clone(), over_after: None };
        let mut watch = Watch::default();
        assert_eq!(watch.end(Instant(7)), None);
        for told in 1..=limits::WARNINGS_A_CALL_MAX {
            assert_eq!(watch.begin(Unheard::Both, Instant(5), words), Some(words()));
            assert_eq!((watch.current(), watch.told()), (Some(Unheard::Both), told));
            let over = Warning { over_after: Some(Duration::from_micros(2)), ..words() };
            assert_eq!(watch.end(Instant(7)), Some(over));
        }
        assert_eq!(watch.begin(Unheard::Both, Instant(9), words), None, "it is enough");
        assert_eq!((watch.end(Instant(9)), watch.told()), (None, limits::WARNINGS_A_CALL_MAX));
    }
}
