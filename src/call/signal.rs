//! The one key in the body of an INFO, as telephones write it: `application/dtmf-relay` has lines, `application/dtmf` has the key alone. No
//! RFC says how (RFC 6086 §5 keeps clear of both); this is what SIP.js, JsSIP, SIPp's scenarios and desk telephones send.
//! Not here: what becomes of it (`info`).
//!
//! ```text
//!  application/dtmf-relay:  Signal=5 CRLF Duration=160        application/dtmf:  5
//! ```

use crate::media::dtmf;

/// A key, as an INFO says it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Signal {
    /// `0`–`9`, `*`, `#`, `A`–`D`.
    pub(super) key: char,
    /// For how long, milliseconds.
    pub(super) duration_ms: Option<u32>,
}

impl Signal {
    /// The key in a body of either kind; `None` if it has none, or something that is no key, as a hook flash.
    pub(super) fn parse(body: &[u8]) -> Option<Signal> {
        let text = std::str::from_utf8(body).ok()?;
        let mut signal = None;
        let mut duration_ms = None;
        for line in text.lines() {
            match line.split_once('=').map(|(name, value)| (name.trim(), value.trim())) {
                Some((name, value)) if name.eq_ignore_ascii_case("Signal") => signal = signal.or_else(|| key(value)),
                Some((name, value)) if name.eq_ignore_ascii_case("Duration") => duration_ms = value.parse().ok(),
                Some(_) => {}
                None => signal = signal.or_else(|| key(line.trim())),
            }
        }
        Some(Signal { key: signal?, duration_ms })
    }
}

/// A key by itself, or by its event code, which some write from 10 on (RFC 4733 §3.2).
fn key(text: &str) -> Option<char> {
    let mut letters = text.chars();
    match (letters.next(), letters.next()) {
        (Some(key), None) => dtmf::key(key),
        (Some(_), Some(_)) => dtmf::key_of(text.parse().ok()?),
        (None, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_key_is_read_as_telephones_write_it() {
        for (body, key, duration_ms) in [
            ("Signal=5\r\nDuration=160", '5', Some(160)),
            ("Signal= 5\r\nDuration= 160\r\n", '5', Some(160)),
            ("signal=*\nduration=250\n", '*', Some(250)),
            ("Duration=100\r\nSignal=d\r\n", 'D', Some(100)),
            ("Signal=11\r\n", '#', None),
            ("Signal=1\r\nDuration=long", '1', None),
            ("Signal=1\r\nDuration=99999999999", '1', None),
            ("7", '7', None),
            ("#\r\n", '#', None),
            ("10", '*', None),
        ] {
            assert_eq!(Signal::parse(body.as_bytes()), Some(Signal { key, duration_ms }), "{body:?}");
        }
    }

    #[test]
    fn what_is_no_key_is_none() {
        for body in
            ["", "Signal=", "Signal=!", "Signal=16", "Signal=123", "Signal=E", "hello", "=5", "Duration=100", "é", "-1"]
        {
            assert_eq!(Signal::parse(body.as_bytes()), None, "{body:?}");
        }
        assert_eq!(Signal::parse(b"Signal=\xFF"), None);
    }

    proptest! {
        #[test]
        fn whatever_comes_it_is_one_of_sixteen_keys_or_none(body in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Some(signal) = Signal::parse(&body) {
                prop_assert!("0123456789*#ABCD".contains(signal.key));
            }
        }
    }
}
