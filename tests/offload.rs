//! Audio that the kernel forwards by itself comes out as the relay's sockets send it, byte for byte, and is counted as if they had; all
//! else goes to them. The same is said twice, with the kernel's help and without, over wires and on loopback, in network namespaces of
//! the test's own. Takes root and Linux 6.6; without says that it is skipped.
//! Not here: what it saves (`cargo bench --bench media -- --offload`).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod common;
#[path = "offload/stage.rs"]
mod stage;
#[path = "offload/wire.rs"]
mod wire;

use parkway::id::Side::{self, Caller, Client};
use parkway::media::dtmf::KeyWriter;
use parkway::media::header::Rtp;
use parkway::media::{Closed, Event};
use parkway::time::Duration;
use stage::{KEYS, Place, Stage, packet};
use wire::Seen;

/// All that comes out while this is said, what the record says then, and how many packets no socket has seen.
fn outcome(place: &Place, offload: bool, story: impl Fn(&mut Stage, &Place)) -> Option<(Vec<Seen>, Closed, u64)> {
    let mut stage = Stage::start(place, offload)?;
    story(&mut stage, place);
    let closed = stage.close();
    stage.talk(Caller);
    stage.talk(Client);
    stage.hear_nothing();
    let carried = stage.relay.counts().carried;
    Some((stage.heard, closed, carried))
}

/// Plays the story with the kernel's help and without, on wires and on loopback; with it, so many packets are not to be seen by a socket.
fn check(carried: u64, story: impl Fn(&mut Stage, &Place)) {
    for place in [Place::wires, Place::loopback] {
        let Some(place) = place() else { return };
        let Some((heard, closed, by_sockets)) = outcome(&place, false, &story) else { return };
        let Some((heard_then, closed_then, by_kernel)) = outcome(&place, true, &story) else { return };
        assert_eq!(heard_then, heard, "what came out");
        assert_eq!(closed_then, closed, "what was counted");
        assert_eq!((by_sockets, by_kernel), (0, carried));
    }
}

#[test]
fn audio_crosses_as_it_does_by_the_sockets_and_is_counted_alike() {
    check(200, |stage, _| {
        for _ in 0..100 {
            for side in [Caller, Client] {
                stage.talk(side);
                stage.hear();
            }
        }
    });
}
