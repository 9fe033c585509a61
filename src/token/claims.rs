//! What a bridge token says, and for whom: [`Contents`] go in, a [`Claim`] comes out.
//! Not here: keys, encryption and text (`token`). A [`Claim`] proves that we sealed the token and that it is in date, not that
//! its call still waits.

use crate::id::CallId;
use crate::name::Name;
use crate::time::Wall;
use ring::digest;
use serde::{Deserialize, Serialize};

/// Bytes of what is sealed: always all of them, so that the length of a token says nothing.
pub(super) const PLAIN_BYTES: usize = 64;
/// Room for what a later version may restrict. All zero today; anything else is a restriction that we do not know.
const FLAGS_NONE: [u8; 11] = [0; 11];

/// Who may use a token. It is not inside the token: whoever opens one says who brought it, and a wrong audience opens nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Audience<'a> {
    /// A client that proves by its own credential who it is: a stolen token is useless without that credential.
    Client {
        /// The name the token was issued for: the one the client subscribed to.
        name: &'a Name,
        /// The client as its credential names it: the JWT's `sub` (RFC 7519 §4.1.2) or the digest user.
        subject: &'a str,
    },
    /// A softphone that can only dial the URI of the event: possession is the credential. Issued only where policy grants it.
    Dial,
}

impl Audience<'_> {
    /// Writes it for the associated data. The length before the name keeps `a` + `bc` apart from `ab` + `c`; the kind before
    /// everything keeps [`Audience::Dial`] apart from every client.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Audience::Client { name, subject } => {
                let length = u32::try_from(name.as_str().len()).unwrap_or(u32::MAX);
                out.push(b'c');
                out.extend_from_slice(&length.to_be_bytes());
                out.extend_from_slice(name.as_str().as_bytes());
                out.extend_from_slice(subject.as_bytes());
            }
            Audience::Dial => out.push(b'd'),
        }
    }
}

/// The first 16 bytes of the SHA-256 of a client's subject: tells clients apart inside a token without naming them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SubjectHash(pub [u8; 16]);

impl SubjectHash {
    /// The hash of a subject.
    pub fn of(subject: &str) -> SubjectHash {
        let digest = digest::digest(&digest::SHA256, subject.as_bytes());
        SubjectHash(digest.as_ref().first_chunk().copied().unwrap_or_default())
    }
}

/// What goes before the word of a call's route on whether it is recorded.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RecordRule {
    /// It is so.
    Require,
    /// It is not so.
    Forbid,
}

impl RecordRule {
    /// As it is sealed; 0 says that there is none.
    fn to_byte(rule: Option<RecordRule>) -> u8 {
        match rule {
            None => 0,
            Some(RecordRule::Require) => 1,
            Some(RecordRule::Forbid) => 2,
        }
    }

    fn from_byte(byte: u8) -> Option<Option<RecordRule>> {
        [None, Some(RecordRule::Require), Some(RecordRule::Forbid)]
            .into_iter()
            .find(|rule| RecordRule::to_byte(*rule) == byte)
    }
}

/// What is sealed into a token.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Contents {
    /// The node that parks the call: [`Keys::node`](super::Keys::node).
    pub node: u64,
    /// The parked call.
    pub call: CallId,
    /// The generation in which its leg is parked. It grows when an answered leg is parked again, and older tokens are dead then; a
    /// bridge that failed before the caller was answered leaves it as it was.
    pub generation: u32,
    /// The token is good before this instant, and not at it.
    pub expires: Wall,
    /// The client it is issued to, also where the audience is [`Audience::Dial`].
    pub subject: SubjectHash,
    /// What the client's grant says of recording, where the token is all that is brought ([`Audience::Dial`]): else it would be got rid of by
    /// dialling.
    pub record: Option<RecordRule>,
}

impl Contents {
    /// As they are sealed, big-endian: node 8, call 16, generation 4, expires 8, subject 16, record 1, flags 11.
    pub(super) fn to_bytes(self) -> [u8; PLAIN_BYTES] {
        let mut bytes = [0; PLAIN_BYTES];
        let fields: [&[u8]; 7] = [
            &self.node.to_be_bytes(),
            &self.call.0.to_be_bytes(),
            &self.generation.to_be_bytes(),
            &self.expires.0.to_be_bytes(),
            &self.subject.0,
            &[RecordRule::to_byte(self.record)],
            &FLAGS_NONE,
        ];
        bytes.iter_mut().zip(fields.into_iter().flatten()).for_each(|(byte, field)| *byte = *field);
        bytes
    }

    /// The reverse; nothing where a flag is set.
    pub(super) fn from_bytes(bytes: &[u8; PLAIN_BYTES]) -> Option<Contents> {
        let (node, rest) = bytes.split_first_chunk()?;
        let (call, rest) = rest.split_first_chunk()?;
        let (generation, rest) = rest.split_first_chunk()?;
        let (expires, rest) = rest.split_first_chunk()?;
        let (subject, rest) = rest.split_first_chunk()?;
        let (record, flags) = rest.split_first()?;
        let record = RecordRule::from_byte(*record)?;
        (flags == FLAGS_NONE).then_some(Contents {
            node: u64::from_be_bytes(*node),
            call: CallId(u128::from_be_bytes(*call)),
            generation: u32::from_be_bytes(*generation),
            expires: Wall(u64::from_be_bytes(*expires)),
            subject: SubjectHash(*subject),
            record,
        })
    }
}

/// An opened token. Only [`open`](super::open) makes one, and it cannot be copied: it is one of the two proofs without which
/// no bridge can be built.
#[derive(Debug)]
pub struct Claim {
    pub(super) contents: Contents,
    pub(super) dial: bool,
}

impl Claim {
    /// The node that parks the call.
    pub fn node(&self) -> u64 {
        self.contents.node
    }

    /// The call it lets its bearer join.
    pub fn call(&self) -> CallId {
        self.contents.call
    }

    /// The generation in which that call must still be parked.
    pub fn generation(&self) -> u32 {
        self.contents.generation
    }

    /// When it stops to be good.
    pub fn expires(&self) -> Wall {
        self.contents.expires
    }

    /// The client it was issued to.
    pub fn subject(&self) -> SubjectHash {
        self.contents.subject
    }

    /// What the grant of that client says of recording, if the token has to say it.
    pub fn record(&self) -> Option<RecordRule> {
        self.contents.record
    }

    /// Whether possession alone was the credential: it was issued for [`Audience::Dial`].
    pub fn dial(&self) -> bool {
        self.dial
    }
}
