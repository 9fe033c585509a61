//! Where one message of a stream ends and the next begins (RFC 3261 §18.3, §7.5; RFC 5626 §4.4.1).
//! Not here: what a message says (`Message::parse` reads the same bytes the same way), and reading from a connection (`net`).

use super::{Head, Header, abnf, abnf::number};
use crate::limits;

/// What the unread bytes of a stream begin with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Framed {
    /// Too little of a message to say how long it is, or less of it than that.
    Incomplete,
    /// A message of so many bytes.
    Message(usize),
    /// A double CRLF where a message could begin: the peer wants a CRLF (RFC 5626 §4.4.1). So many bytes are done with.
    Ping(usize),
    /// So many bytes of empty lines, which mean nothing (RFC 3261 §7.5).
    Blank(usize),
    /// A message of which nobody can say where it ends, so that nothing behind it can be found. So many bytes of it are enough to answer
    /// it by; after that the connection is of no use.
    Broken(usize),
}

/// Finds the messages in a stream, however it was cut up on its way.
#[derive(Clone, Copy, Default, Debug)]
pub struct Framer {
    /// How many of the unread bytes have no empty line in them, so that each is looked at once.
    searched: usize,
}

impl Framer {
    /// What `unread`, the bytes after those that earlier calls said to be done with, begins with. Call it again with more bytes after
    /// [`Framed::Incomplete`], without the bytes of what was found after anything else.
    pub fn next(&mut self, unread: &[u8]) -> Framed {
        if let Some(framed) = between_messages(unread) {
            return framed;
        }
        let from = self.searched.saturating_sub(END.len() - 1);
        let end = memchr::memmem::find(unread.get(from..).unwrap_or_default(), END).map(|at| from + at + END.len());
        let Some(end) = end else {
            self.searched = unread.len();
            return self.unless_too_long(unread.len(), unread.len());
        };
        let mut head = Head::new(unread.get(..end).unwrap_or_default());
        let length = head.read().ok().and_then(|_| body_length(&head)).and_then(|body| body.checked_add(end));
        match length {
            Some(length) if length <= limits::SIP_BYTES_MAX && unread.len() >= length => {
                self.searched = 0;
                Framed::Message(length)
            }
            Some(length) => self.unless_too_long(length, end),
            None => Framed::Broken(end),
        }
    }

    fn unless_too_long(&self, length: usize, answerable: usize) -> Framed {
        if length > limits::SIP_BYTES_MAX {
            Framed::Broken(answerable.min(limits::SIP_BYTES_MAX))
        } else {
            Framed::Incomplete
        }
    }
}

/// The end of a head.
const END: &[u8] = b"\r\n\r\n";

fn between_messages(unread: &[u8]) -> Option<Framed> {
    match unread {
        [] | [b'\r'] | [b'\r', b'\n'] | [b'\r', b'\n', b'\r'] => Some(Framed::Incomplete),
        [b'\r', b'\n', b'\r', b'\n', ..] => Some(Framed::Ping(END.len())),
        [b'\r', b'\n', ..] => Some(Framed::Blank(2)),
        _ => None,
    }
}

/// What Content-Length says. Without one there is no body that could be told from the next message, so there is none.
fn body_length(head: &Head<'_>) -> Option<usize> {
    if head.repeated(Header::ContentLength.bit()) != 0 {
        return None;
    }
    let Some(value) = head.header(Header::ContentLength) else { return Some(0) };
    abnf::whole(number, value).and_then(|length| usize::try_from(length).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::wire::Message;
    use proptest::prelude::*;

    fn message(headers: &str, body: &str) -> String {
        format!(
            "MESSAGE sip:a@b SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bKx\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>\r\n\
             Call-ID: 1\r\nCSeq: 1 MESSAGE\r\n{headers}\r\n{body}"
        )
    }

    /// All that a stream has in it when it comes in pieces of at most `piece` bytes: messages, `ping`, and how it ends.
    fn read(stream: &[u8], piece: usize) -> Vec<String> {
        let (mut framer, mut found, mut begin) = (Framer::default(), Vec::new(), 0);
        for end in (piece..stream.len()).step_by(piece).chain([stream.len()]) {
            loop {
                let unread = &stream[begin..end];
                let text = |length| String::from_utf8_lossy(&unread[..length]).into_owned();
                begin += match framer.next(unread) {
                    Framed::Incomplete => break,
                    Framed::Message(length) => {
                        assert!(Message::parse(&unread[..length]).is_ok());
                        found.push(text(length));
                        length
                    }
                    Framed::Ping(length) => {
                        found.push("ping".into());
                        length
                    }
                    Framed::Blank(length) => length,
                    Framed::Broken(length) => {
                        found.push(format!("broken {}", text(length)));
                        return found;
                    }
                };
            }
        }
        found.extend((begin < stream.len()).then(|| "incomplete".to_owned()));
        found
    }

    #[test]
    fn messages_are_found_however_the_stream_is_cut() {
        let one = message("Content-Length: 5\r\n", "hello");
        let two = message("l : 0\r\n", "");
        let body = message("Content-Length: 8\r\n", "\r\n\r\nabcd");
        let none = message("", "");
        let stream = format!("\r\n{one}{two}\r\n\r\n\r\n{body}{none}\r\n\r\n{one}");
        let expected = [&one, &two, "ping", &body, &none, "ping", &one];
        for piece in 1..stream.len() {
            assert_eq!(read(stream.as_bytes(), piece), expected, "pieces of {piece}");
        }
    }

    #[test]
    fn what_cannot_be_framed_is_broken_and_what_is_short_is_waited_for() {
        let large = format!("Content-Length: {}\r\n", limits::SIP_BYTES_MAX);
        for headers in
            ["Content-Length: -1\r\n", "Content-Length: 1\r\nl: 1\r\n", "Content-Length: 5x\r\n", "Bad\r\n", &large]
        {
            let text = message(headers, "");
            assert_eq!(read(text.as_bytes(), 7), [format!("broken {text}")], "{headers}");
        }
        for text in [message("Content-Length: 9\r\n", "8 bytes."), "MESSAGE sip:a@b SIP/2.0\r\nVia:".into(), "M".into()]
        {
            assert_eq!(read(text.as_bytes(), 3), ["incomplete"], "{text}");
        }
        let endless = vec![b'a'; limits::SIP_BYTES_MAX + 1];
        assert!(read(&endless, 1000)[0].starts_with("broken aaaa"));
        assert_eq!(read(&endless[1..], 1000), ["incomplete"]);
    }

    proptest! {
        #[test]
        fn any_bytes_come_to_an_end(stream in proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), any::<u8>()], 0..300)) {
            let mut framer = Framer::default();
            let mut unread = &stream[..];
            loop {
                let done = match framer.next(unread) {
                    Framed::Incomplete => break,
                    Framed::Broken(length) => { prop_assert!(length <= unread.len()); break }
                    Framed::Message(length) | Framed::Ping(length) | Framed::Blank(length) => length,
                };
                prop_assert!((1..=unread.len()).contains(&done));
                unread = &unread[done..];
            }
        }
    }
}
