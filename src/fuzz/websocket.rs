//! Any bytes as what a browser sends after the handshake of SIP over WebSocket (RFC 7118): frames, whole or in pieces, with SIP in them or
//! not. No panic, no answer to anybody but over that connection, and nothing is kept for longer than the timers of RFC 3261.
//! Not here: the handshake, which is the HTTP library's.

use super::endpoint::assert_forgets;
use crate::limits;
use crate::rng::Rng;
use crate::sip::endpoint::EndpointSettings;
use crate::sip::wire::is_keep_alive;
use crate::sip::{Endpoint, Path, Transport};
use crate::time::{Instant, Now, Wall};
use std::io::{self, Read, Write};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Message, WebSocket};

/// What comes over a connection after its handshake.
pub fn websocket(bytes: &[u8]) {
    // As `http::sip` does; the library's own 128 kB a connection would take longer to get than all the rest.
    let config = WebSocketConfig::default()
        .read_buffer_size(2048)
        .write_buffer_size(0)
        .max_frame_size(Some(limits::CLIENT_MESSAGE_BYTES_MAX))
        .max_message_size(Some(limits::CLIENT_MESSAGE_BYTES_MAX));
    let mut socket = WebSocket::from_raw_socket(Connection(bytes), Role::Server, Some(config));
    let mut endpoint = Endpoint::new(Rng::from_seed([1; 32]), EndpointSettings::default());
    let path =
        Path { transport: Transport::Ws, local: ([127, 0, 0, 1], 8080).into(), peer: ([127, 0, 0, 1], 50_000).into() };
    let now = Now { at: Instant(1), wall: Wall(1) };
    while let Ok(message) = socket.read() {
        let bytes = match message {
            Message::Text(text) => text.into(),
            Message::Binary(bytes) => bytes,
            Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_) => continue,
        };
        assert!(bytes.len() <= limits::CLIENT_MESSAGE_BYTES_MAX);
        if is_keep_alive(&bytes) {
            continue;
        }
        let _ = endpoint.handle_datagram(now, path, &bytes);
        while let Some(transmit) = endpoint.poll_transmit() {
            assert_eq!((transmit.path.transport, transmit.path.peer), (path.transport, path.peer));
        }
    }
    assert_forgets(endpoint, now);
}

/// What the browser has sent; what is sent to it is nobody's matter.
struct Connection<'b>(&'b [u8]);

impl Read for Connection<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Connection<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
