//! Pieces of a call's story that many tests tell: a caller who is parked, a client who calls back, two who talk.

use super::{Daemon, Incoming, Phone, Subscriber, Voice, Wire};
use std::time::Duration;

/// The number that the tests call.
pub(crate) const NUMBER: &str = "4930123456";

/// A side of a call: its telephone and its audio.
pub(crate) struct Side {
    /// Signalling.
    pub(crate) phone: Phone,
    /// Sound.
    pub(crate) voice: Voice,
}

/// A caller who hears it ring.
pub(crate) fn park(daemon: &Daemon) -> Side {
    park_over(daemon, Wire::Plain)
}

/// The same over a bad wire.
pub(crate) fn park_over(daemon: &Daemon, wire: Wire) -> Side {
    let mut side = Side { phone: Phone::new(daemon.sip, wire), voice: Voice::bind() };
    side.phone.invite(&format!("sip:{NUMBER}@{}", daemon.sip), "", &side.voice.sdp());
    side.phone.expect(180);
    side
}

/// The header lines of a callback.
pub(crate) fn credentials(token: &str, jwt: &str) -> String {
    format!("X-Bridge-Token: {token}\r\nAuthorization: Bearer {jwt}\r\n")
}

/// A client who has sent its callback.
pub(crate) fn call_back(daemon: &Daemon, client: &Subscriber, incoming: &Incoming, wire: Wire) -> Side {
    let mut side = Side { phone: Phone::new(daemon.sip, wire), voice: Voice::bind() };
    side.phone.invite(&incoming.sip, &credentials(&incoming.token, &client.jwt), &side.voice.sdp());
    side
}

/// The caller and the client, bridged; the event is taken.
pub(crate) fn bridge(daemon: &Daemon, client: &mut Subscriber) -> (Side, Side) {
    let mut caller = park(daemon);
    let incoming = client.incoming();
    let mut other = call_back(daemon, client, &incoming, Wire::Plain);
    let to_client = other.phone.expect(200);
    let to_caller = caller.phone.expect(200);
    caller.voice.talk(to_caller.audio().unwrap(), 440);
    other.voice.talk(to_client.audio().unwrap(), 350);
    assert_eq!(client.gone(&incoming.call, "answered_elsewhere").as_deref(), Some(client.name.as_str()));
    (caller, other)
}

/// That a call goes through now: who is not harmed by what came before. One record.
pub(crate) fn assert_calls_work(daemon: &Daemon) {
    let mut client = Subscriber::ready(daemon, "demo");
    let (mut caller, mut other) = bridge(daemon, &mut client);
    assert_hear_each_other(&caller, &other);
    caller.phone.hang_up();
    other.phone.be_hung_up_on();
}

/// That a caller who was parked before can be answered now. One record.
pub(crate) fn assert_can_be_answered(daemon: &Daemon, client: &Subscriber, incoming: &Incoming, caller: &mut Side) {
    let mut other = call_back(daemon, client, incoming, Wire::Plain);
    let to_client = other.phone.expect(200);
    let to_caller = caller.phone.expect_within(200, Duration::from_secs(5));
    caller.voice.talk(to_caller.audio().unwrap(), 440);
    other.voice.talk(to_client.audio().unwrap(), 350);
    assert_hear_each_other(caller, &other);
    other.phone.hang_up();
    caller.phone.be_hung_up_on();
}

/// That each hears the other's tone, and nothing from anywhere else.
pub(crate) fn assert_hear_each_other(caller: &Side, other: &Side) {
    for (side, hz) in [(caller, 350), (other, 440)] {
        let heard = side.voice.wait_for(15);
        let tone = heard.hz().unwrap_or_default();
        let strange = heard.strange;
        assert!(tone.abs_diff(hz) <= 3 && strange == 0, "{tone} Hz instead of {hz}, {strange} strange packets");
    }
}
