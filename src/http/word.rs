//! What a client may say on its channel, and how often. Sans-IO: text in, [`Word`] out.
//! Not here: what becomes of it (`channel`).

use crate::id::{CallId, LetterId};
use crate::limits;
use crate::media::Dialled;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use std::borrow::Cow;
use std::time::{Duration, Instant};

/// A client's message, a JSON object by `type`.
#[derive(Deserialize, PartialEq, Eq, Debug)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(super) enum Word {
    /// Who it is: as the first message of a channel without a header, and later with a newer credential of the same subject.
    Auth {
        /// The JWT.
        token: String,
    },
    /// It does not want the call.
    Decline {
        /// The call.
        #[serde(deserialize_with = "call_id")]
        call: CallId,
    },
    /// It rings.
    Ringing {
        /// The call.
        #[serde(deserialize_with = "call_id")]
        call: CallId,
    },
    /// It has the call, and wants keys pressed in it.
    Press {
        /// The call.
        #[serde(deserialize_with = "call_id")]
        call: CallId,
        /// The keys.
        #[serde(deserialize_with = "dialled")]
        digits: Dialled,
    },
    /// It has a message.
    Delivered {
        /// The message.
        #[serde(deserialize_with = "message_id")]
        message: LetterId,
    },
    /// Somebody has read a message.
    Read {
        /// The message.
        #[serde(deserialize_with = "message_id")]
        message: LetterId,
    },
    /// Is anybody there: for clients, like those in browsers, that cannot send WebSocket pings.
    Ping,
}

impl Word {
    /// The word, if the text is one.
    pub(super) fn parse(text: &str) -> Option<Word> {
        serde_json::from_str(text).ok()
    }
}

/// An id as events write it: 32 hexadecimal digits, lower case.
fn call_id<'de, D: Deserializer<'de>>(from: D) -> Result<CallId, D::Error> {
    let text = <Cow<'_, str>>::deserialize(from)?;
    CallId::parse(&text).ok_or_else(|| D::Error::custom("a call id is 32 hexadecimal digits"))
}

fn message_id<'de, D: Deserializer<'de>>(from: D) -> Result<LetterId, D::Error> {
    let text = <Cow<'_, str>>::deserialize(from)?;
    LetterId::parse(&text).ok_or_else(|| D::Error::custom("a message id is 32 hexadecimal digits"))
}

/// Keys in one text.
fn dialled<'de, D: Deserializer<'de>>(from: D) -> Result<Dialled, D::Error> {
    let text = <Cow<'_, str>>::deserialize(from)?;
    Dialled::parse(&text).ok_or_else(|| D::Error::custom("digits are 0-9, *, #, A-D, and not too many"))
}

/// Counts a client's messages by the second.
#[derive(Default)]
pub(super) struct Pace {
    since: Option<Instant>,
    messages: u32,
}

impl Pace {
    /// Whether one more message at this moment is too many.
    pub(super) fn is_flood(&mut self, now: Instant) -> bool {
        let same_second = self.since.is_some_and(|since| now.duration_since(since) < Duration::from_secs(1));
        if !same_second {
            *self = Pace { since: Some(now), messages: 0 };
        }
        self.messages += 1;
        self.messages > limits::CLIENT_MESSAGES_PER_SECOND_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_and_everything_else_is_refused() {
        let call = CallId(0xab);
        let hex = call.to_string();
        for (text, expected) in [
            (r#"{"type":"ping"}"#.to_owned(), Some(Word::Ping)),
            (r#"{"type":"auth","token":"a.b.c"}"#.to_owned(), Some(Word::Auth { token: "a.b.c".to_owned() })),
            (format!(r#"{{"type":"decline","call":"{hex}"}}"#), Some(Word::Decline { call })),
            (format!(r#"{{"call":"{hex}","type":"ringing"}}"#), Some(Word::Ringing { call })),
            (format!(r#"{{"type":"decline","call":"{hex}","note":"later versions"}}"#), Some(Word::Decline { call })),
            (format!(r#"{{"type":"decline","call":"{}"}}"#, hex.to_uppercase()), None),
            (format!(r#"{{"type":"delivered","message":"{hex}"}}"#), Some(Word::Delivered { message: LetterId(0xab) })),
            (format!(r#"{{"type":"read","message":"{hex}"}}"#), Some(Word::Read { message: LetterId(0xab) })),
            (format!(r#"{{"type":"read","call":"{hex}"}}"#), None),
            (r#"{"type":"read","message":"ab"}"#.to_owned(), None),
            (r#"{"type":"decline","call":"ab"}"#.to_owned(), None),
            (r#"{"type":"decline","call":"+0000000000000000000000000000ab"}"#.to_owned(), None),
            (r#"{"type":"decline","call":171}"#.to_owned(), None),
            (r#"{"type":"decline"}"#.to_owned(), None),
            (
                format!(r#"{{"type":"press","call":"{hex}","digits":"12#"}}"#),
                Some(Word::Press { call, digits: Dialled::parse("12#").unwrap() }),
            ),
            (format!(r#"{{"type":"press","call":"{hex}","digits":""}}"#), None),
            (format!(r#"{{"type":"press","call":"{hex}","digits":"1,2"}}"#), None),
            (format!(r#"{{"type":"press","call":"{hex}","digits":12}}"#), None),
            (r#"{"type":"answer"}"#.to_owned(), None),
            (r#"{"type":"Ping"}"#.to_owned(), None),
            ("[]".to_owned(), None),
            ("ping".to_owned(), None),
            ("[".repeat(60_000), None),
            (String::new(), None),
        ] {
            assert_eq!(Word::parse(&text), expected, "{:.80}", text);
        }
    }

    #[test]
    fn a_burst_within_the_limit_is_no_flood_and_one_more_is() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        assert!((0..limits::CLIENT_MESSAGES_PER_SECOND_MAX).all(|_| !pace.is_flood(start)));
        assert!(pace.is_flood(start + Duration::from_millis(999)));
        assert!(!pace.is_flood(start + Duration::from_millis(1000)));
    }
}
