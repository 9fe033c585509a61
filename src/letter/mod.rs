//! What people write to each other, one message at a time (RFC 3428 §3): who wrote what to whom, and what became of it.
//! Not here: which ways a message takes (`switch`, `notify`), and who may write (`policy`). Called letters here, because a message is what
//! SIP sends.
//!
//! ```text
//!  Accepted ─▶ Sent ─▶ Delivered ─▶ Read
//!      └────────┴──▶ Failed
//! ```

mod table;

pub use table::{Full, Kept, Letters};

use crate::id::LetterId;
use crate::name::Name;
use crate::time::Wall;
use crate::token::SubjectHash;
use ring::digest;
use std::sync::Arc;

/// A message. Kept once, whoever holds it: boxed strings, because there may be thousands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Letter {
    /// Names it.
    pub id: LetterId,
    /// Whom it is for: subscribers of this name and of those below it, or a number.
    pub name: Name,
    /// Who wrote it, as its readers are told: a name, the subject of a credential, or a SIP URI.
    pub from: Box<str>,
    /// Who hears what becomes of it.
    pub sender: Sender,
    /// What it says.
    pub text: Box<str>,
    /// When it came.
    pub at: Wall,
    /// Whether it goes out by a trunk, and to nobody here.
    pub leaves: bool,
}

/// Whose message it is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Sender {
    /// A client's, by the subject of its credential.
    Client(SubjectHash),
    /// A trunk's, by its name.
    Trunk(Arc<str>),
}

/// What became of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// It is here, and nobody else has it.
    Accepted,
    /// A channel or a gateway took it.
    Sent,
    /// A device or a client has said that it has it.
    Delivered,
    /// A client has said that somebody read it.
    Read,
    /// It is given up.
    Failed(Failure),
}

/// Why a message is given up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failure {
    /// Nobody came for it in time.
    Nobody,
    /// No trunk takes messages to numbers, or none that does can be reached.
    NoTrunk,
    /// It is too long for the only way that there is.
    TooLarge,
    /// The trunk says no, with this status.
    Refused(u16),
}

/// A message's new state.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// The message.
    pub id: LetterId,
    /// Whose it is.
    pub sender: Sender,
    /// Whom it is for.
    pub name: Name,
    /// What became of it.
    pub state: State,
    /// When.
    pub at: Wall,
}

impl LetterId {
    /// The id of what a client calls by an id of its own: the same for the same client and word, so that what is posted twice is one message.
    pub fn of(subject: &str, own: &str) -> LetterId {
        let mut context = digest::Context::new(&digest::SHA256);
        // A subject has no control characters, so no two pairs are the same bytes.
        [subject.as_bytes(), b"\n", own.as_bytes()].into_iter().for_each(|part| context.update(part));
        let digest = context.finish();
        LetterId(u128::from_be_bytes(digest.as_ref().first_chunk().copied().unwrap_or_default()))
    }
}

impl State {
    /// The word that events and answers have.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Accepted => "accepted",
            State::Sent => "sent",
            State::Delivered => "delivered",
            State::Read => "read",
            State::Failed(_) => "failed",
        }
    }

    /// Why, of one that failed.
    pub fn failure(self) -> Option<Failure> {
        match self {
            State::Failed(failure) => Some(failure),
            State::Accepted | State::Sent | State::Delivered | State::Read => None,
        }
    }

    /// Whether it is still to be told to whoever comes.
    pub fn is_open(self) -> bool {
        match self {
            State::Accepted | State::Sent => true,
            State::Delivered | State::Read | State::Failed(_) => false,
        }
    }

    /// Whether a message may come from this state to that one: states come out of order, and what is known is not taken back.
    pub fn may_become(self, next: State) -> bool {
        match (self, next) {
            (State::Accepted, State::Sent) => true,
            (State::Accepted | State::Sent, State::Delivered | State::Read | State::Failed(_)) => true,
            (State::Delivered, State::Read) => true,
            (State::Accepted | State::Sent | State::Delivered | State::Read | State::Failed(_), _) => false,
        }
    }
}

impl Failure {
    /// The stable id.
    pub fn as_str(self) -> &'static str {
        match self {
            Failure::Nobody => "nobody_there",
            Failure::NoTrunk => "no_trunk",
            Failure::TooLarge => "too_large",
            Failure::Refused(_) => "refused",
        }
    }

    /// The status that a trunk refused it with.
    pub fn status(self) -> Option<u16> {
        match self {
            Failure::Refused(status) => Some(status),
            Failure::Nobody | Failure::NoTrunk | Failure::TooLarge => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_never_taken_back() {
        let failed = State::Failed(Failure::Nobody);
        let all = [State::Accepted, State::Sent, State::Delivered, State::Read, failed];
        for (from, allowed) in [
            (State::Accepted, "sent delivered read failed"),
            (State::Sent, "delivered read failed"),
            (State::Delivered, "read"),
            (State::Read, ""),
            (failed, ""),
        ] {
            let next: Vec<&str> = all.iter().filter(|next| from.may_become(**next)).map(|next| next.as_str()).collect();
            assert_eq!(next.join(" "), allowed, "{from:?}");
        }
    }

    #[test]
    fn what_a_client_calls_the_same_is_one_message_and_nobody_elses() {
        assert_eq!(LetterId::of("ann", "1"), LetterId::of("ann", "1"));
        let others = [LetterId::of("ann", "2"), LetterId::of("bob", "1"), LetterId::of("an", "n1")];
        assert!(others.iter().all(|other| *other != LetterId::of("ann", "1")));
    }
}
