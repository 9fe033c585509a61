//! All that the switch can ask the shell to do: closed, and done by one match in `daemon`.

use crate::call::{Notice, Record};
use crate::id::QuestionId;
use crate::media;
use crate::name::Name;
use crate::policy::Question;
use crate::registrar::DeviceWord;
use crate::sip::Transmit;
use crate::trunk::Locate;

/// Something is to be done outside.
#[derive(Debug)]
pub enum Effect {
    /// Send a SIP datagram.
    Transmit(Transmit),
    /// Tell the relay.
    Media(media::Command),
    /// Tell the subscribers of a name.
    Notify(Notice),
    /// So many clients are reached over SIP under this name: tell those who watch it.
    Reachable {
        /// The name.
        name: Name,
        /// How many.
        telephones: u32,
    },
    /// Ask an external policy server; the answer comes back as [`super::Input::Answer`].
    Ask {
        /// To be named in the answer.
        id: QuestionId,
        /// What to ask.
        question: Question,
    },
    /// Find a trunk's target; the answer comes back as [`super::Input::Located`].
    Locate(Locate),
    /// A client says how it is woken, or that it is not any more.
    Device(Box<DeviceWord>),
    /// Write a call detail record.
    Record(Box<Record>),
}
