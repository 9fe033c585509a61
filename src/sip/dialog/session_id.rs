//! `Session-ID` (RFC 7989): one UUID for each end of a session, the same pair in every message of both legs of a bridge, so that whoever
//! collects messages finds what belongs together.
//! Not here: which dialogs are joined (`call`), and where the header is written (`sip::endpoint`).

use crate::sip::wire::Head;
use crate::sip::wire::write::Tag;
use arrayvec::ArrayString;
use std::fmt;

/// The header's name.
pub const SESSION_ID: &str = "Session-ID";

/// The UUID of one end (RFC 7989 §5); all zeros while it is not known.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Uuid(u128);

impl Uuid {
    /// Of 128 bits that nobody can guess: version 4, variant 1 (RFC 4122 §4.4).
    pub fn from_chance(bits: u128) -> Uuid {
        let version = (bits & !(0xf << 76)) | 4 << 76;
        Uuid((version & !(0b11 << 62)) | 0b10 << 62)
    }

    /// Whether it says nothing.
    pub fn is_null(self) -> bool {
        self.0 == 0
    }

    /// What the sender of a message calls itself. `None` where it does not, or not in the form of RFC 7989 §5, or twice.
    pub fn of_sender(message: &Head<'_>) -> Option<Uuid> {
        let mut all = message.others(SESSION_ID);
        let value = all.next().filter(|_| all.next().is_none())?;
        let (uuid, rest) = value.split_at_checked(DIGITS)?;
        let is_end = matches!(rest.trim_ascii_start(), [] | [b';', ..]);
        let lower_hex = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let digits = std::str::from_utf8(uuid).ok().filter(|_| is_end && uuid.iter().all(lower_hex))?;
        u128::from_str_radix(digits, 16).ok().map(Uuid).filter(|uuid| !uuid.is_null())
    }
}

impl Uuid {
    /// Its digits: the header is in every message of ours, and the formatter takes ten times as long.
    fn digits(self) -> [Tag; 2] {
        let [high, low] = [self.0 >> 64, self.0 & u128::from(u64::MAX)];
        [high, low].map(|half| Tag::new(u64::try_from(half).unwrap_or_default()))
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.digits().iter().try_for_each(|half| f.write_str(half.as_str()))
    }
}

const DIGITS: usize = 32;
/// What is between the two.
const REMOTE: &str = ";remote=";
const TEXT_BYTES: usize = 2 * DIGITS + REMOTE.len();

/// Both ends as one leg names them.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct SessionId {
    /// Who speaks to the peer: ourselves, or the other leg's peer once there is one.
    pub local: Uuid,
    /// The peer.
    pub remote: Uuid,
}

impl SessionId {
    /// The header's value.
    pub fn text(&self) -> ArrayString<TEXT_BYTES> {
        let ([high, low], [remote_high, remote_low]) = (self.local.digits(), self.remote.digits());
        let mut text = ArrayString::new();
        for part in [high.as_str(), low.as_str(), REMOTE, remote_high.as_str(), remote_low.as_str()] {
            text.push_str(part);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "47755a9de7794ba387653f2099600ef2";

    fn sender(fields: &str) -> Option<String> {
        let text = format!("INVITE sip:a SIP/2.0\r\n{fields}\r\n");
        let (head, _) = Head::of_kept(text.as_bytes()).unwrap();
        Uuid::of_sender(&head).map(|uuid| uuid.to_string())
    }

    #[test]
    fn a_sender_is_read_in_the_form_of_the_rfc_and_in_no_other() {
        let null = "0".repeat(32);
        for good in [
            format!("Session-ID: {A};remote={null}\r\n"),
            format!("session-id : {A} ;remote={null};x=y\r\n"),
            format!("Session-ID:\r\n {A}\r\n"),
        ] {
            assert_eq!(sender(&good).as_deref(), Some(A), "{good}");
        }
        for bad in [
            String::new(),
            "Session-ID:\r\n".into(),
            format!("Session-ID: {null};remote={A}\r\n"),
            format!("Session-ID: {A}0\r\n"),
            format!("Session-ID: {}\r\n", &A[1..]),
            format!("Session-ID: {}\r\n", A.to_uppercase()),
            format!("Session-ID: +{}\r\n", &A[1..]),
            format!("Session-ID: {A}\r\nSession-ID: {A}\r\n"),
            format!("Session-ID: {}\u{e9}\r\n", &A[1..]),
        ] {
            assert_eq!(sender(&bad), None, "{bad}");
        }
    }

    #[test]
    fn ours_is_a_random_uuid_and_is_written_as_the_rfc_writes_it() {
        for bits in [0, u128::MAX, 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef] {
            let text = Uuid::from_chance(bits).to_string();
            assert_eq!((text.len(), &text[12..13]), (32, "4"), "{text}");
            assert!("89ab".contains(&text[16..17]), "{text}");
        }
        let id = SessionId { local: Uuid::from_chance(0), remote: Uuid::default() };
        assert_eq!(id.text().as_str(), format!("00000000000040008000000000000000;remote={}", "0".repeat(32)));
    }
}
