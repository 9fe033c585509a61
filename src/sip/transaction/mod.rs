//! Transactions (RFC 3261 §17, RFC 6026): one request, its answers, and the repetition of both. One machine a file, each a
//! value that is told what happened and says what is to be done; every event is defined in every state.
//! Not here: tables of transactions, matching, and the bytes that are sent (`sip::endpoint`).

pub mod client_invite;
pub mod client_other;
pub mod server_invite;
pub mod server_other;
pub mod timer;

pub use client_invite::ClientInvite;
pub use client_other::ClientOther;
pub use server_invite::ServerInvite;
pub use server_other::ServerOther;

/// What a machine wants done after an event. By default nothing.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Todo {
    /// What to send.
    pub send: Send,
    /// What the transaction's user must know.
    pub tell: Tell,
    /// The machine is in its last state: forget the transaction.
    pub ended: bool,
}

/// What a machine sends.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Send {
    /// Nothing.
    #[default]
    Nothing,
    /// Client: the request, again.
    Request,
    /// Client: the ACK of a final answer that is not 2xx.
    Ack,
    /// Server: the latest response, for the first time or again.
    Response,
    /// Server: 100, because there is no response yet.
    Trying,
}

/// What the transaction's user must know.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Tell {
    /// Nothing.
    #[default]
    Nothing,
    /// Client: this response.
    Response,
    /// Client: the 2xx to an INVITE came again; acknowledge it again.
    Repeated,
    /// Client: no final answer came in time, or the request could not be sent.
    Failed,
    /// Server: the ACK of the 2xx, the first time.
    Acknowledged,
    /// Server: no ACK came for the 2xx.
    Unacknowledged,
}

impl Todo {
    const NOTHING: Todo = Todo { send: Send::Nothing, tell: Tell::Nothing, ended: false };
    const ENDED: Todo = Todo { ended: true, ..Todo::NOTHING };
    const FAILED: Todo = Todo { tell: Tell::Failed, ..Todo::ENDED };

    fn send(send: Send) -> Todo {
        Todo { send, ..Todo::NOTHING }
    }

    fn send_if(due: bool, send: Send) -> Todo {
        if due { Todo::send(send) } else { Todo::NOTHING }
    }

    fn tell(tell: Tell) -> Todo {
        Todo { tell, ..Todo::NOTHING }
    }
}

/// The three kinds of responses that the machines tell apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Class {
    Provisional,
    Success,
    Failure,
}

/// 1xx; 2xx; everything else.
fn class(status: u16) -> Class {
    match status {
        ..200 => Class::Provisional,
        200..300 => Class::Success,
        300.. => Class::Failure,
    }
}
