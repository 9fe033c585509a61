//! Which way a stream flows, and hold (RFC 3264 §5.1, §6.1, §8.4; RFC 8866 §6.7).
//! Not here: what an address of `0.0.0.0` does to a direction (`Media`), and packets.

use crate::id::Side;

/// What the author of a description does with a stream: always its own view, never ours of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Direction {
    /// Sends and receives; what holds when nothing is said.
    #[default]
    SendRecv,
    /// Sends and wants nothing: has put the other on hold.
    SendOnly,
    /// Receives and sends nothing: accepts being held.
    RecvOnly,
    /// Neither.
    Inactive,
}

impl Direction {
    /// The direction of one who sends and receives as said.
    pub fn new(sends: bool, receives: bool) -> Direction {
        match (sends, receives) {
            (true, true) => Direction::SendRecv,
            (true, false) => Direction::SendOnly,
            (false, true) => Direction::RecvOnly,
            (false, false) => Direction::Inactive,
        }
    }

    /// Reads the attribute's name: `sendrecv` and so on.
    pub fn parse(name: &[u8]) -> Option<Direction> {
        match name {
            b"sendrecv" => Some(Direction::SendRecv),
            b"sendonly" => Some(Direction::SendOnly),
            b"recvonly" => Some(Direction::RecvOnly),
            b"inactive" => Some(Direction::Inactive),
            _ => None,
        }
    }

    /// The attribute's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Direction::SendRecv => "sendrecv",
            Direction::SendOnly => "sendonly",
            Direction::RecvOnly => "recvonly",
            Direction::Inactive => "inactive",
        }
    }

    /// Whether its author sends.
    pub fn sends(self) -> bool {
        matches!(self, Direction::SendRecv | Direction::SendOnly)
    }

    /// Whether its author receives.
    pub fn receives(self) -> bool {
        matches!(self, Direction::SendRecv | Direction::RecvOnly)
    }

    /// The same stream seen from the other end.
    pub fn reversed(self) -> Direction {
        Direction::new(self.receives(), self.sends())
    }

    /// What both allow.
    pub fn and(self, other: Direction) -> Direction {
        Direction::new(self.sends() && other.sends(), self.receives() && other.receives())
    }

    /// The answer to this offer by one who would like to do `wish` (RFC 3264 §6.1): never more than the offer's mirror.
    pub fn answered_with(self, wish: Direction) -> Direction {
        self.reversed().and(wish)
    }
}

/// The same of each stream of a description.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Directions {
    /// Of the audio.
    pub audio: Direction,
    /// Of the video; [`Direction::Inactive`] where there is none.
    pub video: Direction,
    /// The same of the fax.
    pub fax: Direction,
}

impl Directions {
    /// All streams alike.
    pub fn all(direction: Direction) -> Directions {
        Directions { audio: direction, video: direction, fax: direction }
    }
}

/// Whether packets from `side` go to the other leg (`media::Stream::sends`), by what each leg's newest description says of itself:
/// the one must send and the other want it.
pub fn sends(side: Side, caller: Direction, client: Direction) -> bool {
    match side {
        Side::Caller => caller.sends() && client.receives(),
        Side::Client => client.sends() && caller.receives(),
    }
}

#[cfg(test)]
mod tests {
    use super::Direction::{Inactive, RecvOnly, SendOnly, SendRecv};
    use super::*;

    #[test]
    fn an_answer_is_never_more_than_the_mirror_of_the_offer() {
        // RFC 3264 §6.1, all sixteen
        for (offer, wish, answer) in [
            (SendRecv, SendRecv, SendRecv),
            (SendRecv, SendOnly, SendOnly),
            (SendRecv, RecvOnly, RecvOnly),
            (SendRecv, Inactive, Inactive),
            (SendOnly, SendRecv, RecvOnly),
            (SendOnly, SendOnly, Inactive),
            (SendOnly, RecvOnly, RecvOnly),
            (SendOnly, Inactive, Inactive),
            (RecvOnly, SendRecv, SendOnly),
            (RecvOnly, SendOnly, SendOnly),
            (RecvOnly, RecvOnly, Inactive),
            (RecvOnly, Inactive, Inactive),
            (Inactive, SendRecv, Inactive),
            (Inactive, SendOnly, Inactive),
            (Inactive, RecvOnly, Inactive),
            (Inactive, Inactive, Inactive),
        ] {
            assert_eq!(offer.answered_with(wish), answer, "{offer:?} answered with {wish:?}");
        }
    }

    #[test]
    fn a_leg_sends_only_what_it_offers_and_the_other_wants() {
        for (caller, client, caller_sends, client_sends) in [
            (SendRecv, SendRecv, true, true),
            (SendOnly, RecvOnly, true, false),
            (SendOnly, SendRecv, true, false),
            (RecvOnly, SendOnly, false, true),
            (SendOnly, SendOnly, false, false),
            (Inactive, SendRecv, false, false),
            (SendRecv, Inactive, false, false),
        ] {
            assert_eq!(sends(Side::Caller, caller, client), caller_sends, "caller: {caller:?} {client:?}");
            assert_eq!(sends(Side::Client, caller, client), client_sends, "client: {caller:?} {client:?}");
        }
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        for direction in [SendRecv, SendOnly, RecvOnly, Inactive] {
            assert_eq!(Direction::parse(direction.as_str().as_bytes()), Some(direction));
            assert_eq!(direction.reversed().reversed(), direction);
        }
        assert_eq!(Direction::parse(b"SendRecv"), None);
    }
}
