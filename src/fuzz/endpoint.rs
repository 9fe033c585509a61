//! Any bytes as datagrams from anybody: no panic, and nothing is kept of strangers for longer than the timers of RFC 3261.
//! Not here: calls (`sim`).

use crate::rng::Rng;
use crate::sip::endpoint::EndpointSettings;
use crate::sip::{Endpoint, Path, Transport};
use crate::time::{Duration, Instant, Now, Wall};

/// Datagrams of one peer, a NUL between two of them.
pub fn endpoint(bytes: &[u8]) {
    let mut endpoint = Endpoint::new(Rng::from_seed([1; 32]), EndpointSettings::default());
    let path =
        Path { transport: Transport::Udp, local: ([127, 0, 0, 1], 5060).into(), peer: ([127, 0, 0, 1], 5070).into() };
    let now = Now { at: Instant(1), wall: Wall(1) };
    // A NUL separates datagrams: no SIP message has one where it would be missed.
    for datagram in bytes.split(|byte| *byte == 0) {
        let _ = endpoint.handle_datagram(now, path, datagram);
        while endpoint.poll_transmit().is_some() {}
    }
    assert_forgets(endpoint, now);
}

/// Nothing is kept of who says no more, whatever it had said.
pub(super) fn assert_forgets(mut endpoint: Endpoint, mut now: Now) {
    for _ in 0..8 {
        now.at = now.at + Duration::from_secs(64);
        endpoint.handle_timeout(now);
        while endpoint.poll_event().is_some() {}
        while endpoint.poll_transmit().is_some() {}
    }
    let counts = endpoint.counts();
    assert_eq!((counts.server_transactions, counts.dialogs, counts.timers), (0, 0, 0));
}
