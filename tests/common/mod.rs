//! What the tests with real peers share: a daemon of their own, its clients' credentials and subscriptions, and the peers.
//! Not here: the library's own reading and writing of SIP, SDP and RTP. A witness that reads with the accused's own eyes would
//! miss what both get wrong.
#![allow(dead_code, unused_imports, reason = "each test program uses its part of this")]

pub(crate) mod authority;
pub(crate) mod credentials;
pub(crate) mod crowd;
pub(crate) mod daemon;
pub(crate) mod digest;
pub(crate) mod impairment;
pub(crate) mod line;
pub(crate) mod message;
pub(crate) mod namespaces;
pub(crate) mod page;
pub(crate) mod phone;
pub(crate) mod program;
pub(crate) mod push_service;
pub(crate) mod setup;
pub(crate) mod sipp;
pub(crate) mod softphone;
pub(crate) mod sprayer;
pub(crate) mod story;
pub(crate) mod subscriber;
pub(crate) mod talker;
pub(crate) mod voice;

pub(crate) use credentials::Rights;
pub(crate) use crowd::Crowd;
pub(crate) use daemon::Daemon;
pub(crate) use message::Message;
pub(crate) use phone::{Phone, Wire};
pub(crate) use setup::Setup;
pub(crate) use sipp::{Finished, Sipp};
pub(crate) use subscriber::{Incoming, Subscriber};
pub(crate) use talker::{Choir, Talker};
pub(crate) use voice::Voice;

use std::time::{Duration, Instant};

/// Looks again and again until there is something to see; `what` is the complaint when there never is.
pub(crate) fn until<T>(what: &str, longest: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + longest;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < deadline, "{what}: not within {longest:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A word that nobody else in this run has: for tags, branches and Call-IDs.
pub(crate) fn unique() -> String {
    use std::sync::atomic::{AtomicU64, Ordering};
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    format!("{:x}{:x}{:x}", std::process::id(), now.as_nanos(), COUNT.fetch_add(1, Ordering::Relaxed))
}
