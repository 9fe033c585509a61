//! All that can happen to the switch: closed, so that a simulation can make every one of them.

use crate::call::ClientMessage;
use crate::id::QuestionId;
use crate::media;
use crate::policy::Answer;
use crate::sip::Path;

/// Something happened outside.
#[derive(Debug)]
pub enum Input<'a> {
    /// A SIP datagram came. The bytes are only lent: what is to last is copied.
    Datagram {
        /// The path it came over.
        path: Path,
        /// The datagram.
        bytes: &'a [u8],
    },
    /// The relay reports.
    Media(media::Event),
    /// A subscribed client says something about a call it was told of.
    Client(ClientMessage),
    /// The answer to [`super::Effect::Ask`].
    Answer {
        /// The question.
        question: QuestionId,
        /// What came of it.
        answer: Answer,
    },
    /// No new calls from now on; those that are here may go on.
    Drain,
    /// The drain's deadline: end what is left.
    Stop,
    /// The stop's deadline: what peers and the relay have not said by now is not waited for, and no call is left without a record.
    Abandon,
}
