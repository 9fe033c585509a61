//! Any bytes as a stream of SIP messages, in any pieces: where a message ends is the same however the stream was cut up, and a message
//! that is cut out is one to the parser too.
//! Not here: frames of a WebSocket (`websocket`).

use crate::limits;
use crate::sip::wire::{Framed, Framer, Message};

/// What comes over TCP or TLS; the first byte says how large its pieces are.
pub fn stream(bytes: &[u8]) {
    // The first byte says how large the pieces are.
    let Some((size, stream)) = bytes.split_first() else { return };
    let whole = cut(stream, stream.len());
    assert_eq!(cut(stream, usize::from(*size) + 1), whole);
    let mut rest = stream;
    for framed in whole {
        let length = match framed {
            Framed::Message(length) => {
                let message = &rest[..length];
                if let Ok(read) = Message::parse(message) {
                    // Blank lines before a message are done with before it.
                    assert_eq!(read.bytes(), message);
                }
                length
            }
            Framed::Ping(length) | Framed::Blank(length) | Framed::Broken(length) => length,
            Framed::Incomplete => break,
        };
        assert!(length > 0 && length <= limits::SIP_BYTES_MAX.min(rest.len()));
        rest = &rest[length..];
    }
}

/// All that is found when so many bytes come at a time, up to what is no whole message or breaks the stream.
fn cut(stream: &[u8], size: usize) -> Vec<Framed> {
    let (mut framer, mut found, mut unread) = (Framer::default(), Vec::new(), Vec::new());
    for piece in stream.chunks(size.max(1)) {
        unread.extend_from_slice(piece);
        loop {
            let framed = framer.next(&unread);
            match framed {
                Framed::Incomplete => break,
                Framed::Broken(_) => {
                    found.push(framed);
                    return found;
                }
                Framed::Message(length) | Framed::Ping(length) | Framed::Blank(length) => {
                    found.push(framed);
                    unread.drain(..length);
                }
            }
        }
    }
    found
}
