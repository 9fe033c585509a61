//! All that can happen to the switch: closed, so that a simulation can make every one of them.

use crate::call::ClientMessage;
use crate::event::Authority;
use crate::id::{LetterId, QuestionId, TargetId};
use crate::letter::{Letter, State};
use crate::media;
use crate::policy::Answer;
use crate::sip::Path;
use crate::sip::target::{Hop, Unlocated};

/// Something happened outside.
pub enum Input<'a> {
    /// A SIP message came: a datagram, or what is one message of a stream. The bytes are only lent: what is to last is copied.
    Datagram {
        /// The path it came over.
        path: Path,
        /// The datagram.
        bytes: &'a [u8],
    },
    /// A peer has opened a connection and shown a certificate that an authority of ours vouches for.
    Connected {
        /// Which.
        path: Path,
        /// The host names in the certificate, in lower case.
        names: Vec<String>,
    },
    /// A connection is gone, or could not be opened: what was to be answered over it will not be.
    Disconnected {
        /// The path it was.
        path: Path,
    },
    /// The relay reports.
    Media(media::Event),
    /// A subscribed client says something about a call or a message that it was told of, or writes one.
    Client(FromClient),
    /// The answer to [`super::Effect::Ask`].
    Answer {
        /// The question.
        question: QuestionId,
        /// What came of it.
        answer: Answer,
    },
    /// The answer to [`super::Effect::Locate`].
    Located {
        /// Which target.
        at: TargetId,
        /// The ways to it, best first, or why there is none.
        found: Result<Vec<Hop>, Unlocated>,
    },
    /// Another policy and other keys from now on: bridge tokens open with the keys before them as long as these live.
    Authority(Authority),
    /// Messages come faster than they are worked off, or no longer: meanwhile new calls are refused, so that those that are here go on.
    Behind(bool),
    /// No new calls from now on; those that are here may go on.
    Drain,
    /// The drain's deadline: end what is left.
    Stop,
    /// The stop's deadline: what peers and the relay have not said by now is not waited for, and no call is left without a record.
    Abandon,
}

/// What a subscribed client has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromClient {
    /// A word on a call.
    Call(ClientMessage),
    /// It writes to somebody, and policy lets it.
    Letter(Box<Letter>),
    /// A message was handed to it, it has it, or somebody has read it.
    Receipt {
        /// The message.
        letter: LetterId,
        /// What became of it.
        state: State,
    },
}
