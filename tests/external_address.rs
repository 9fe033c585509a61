//! Behind a NAT: who is told which of our addresses, in Contact, Via, SDP and events, as telephones on the wire see it.
//! Not here: the choice itself (`sip::endpoint`, `call`).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod common;

use common::story::{call_back, park};
use common::{Daemon, Setup, Subscriber, Wire};

#[test]
fn peers_outside_of_the_local_networks_are_told_the_external_address_everywhere() {
    for (local_net, expected) in [("10.0.0.0/8", "203.0.113.1"), ("127.0.0.0/8", "127.0.0.1")] {
        let set = ["sip.external_address=203.0.113.1", &format!("sip.local_net={local_net}")];
        let daemon = Daemon::start_as(&Setup::with(&set));
        let mut client = Subscriber::ready(&daemon, "demo");
        let mut caller = park(&daemon);
        let incoming = client.incoming();
        // Who the client is that will call back is not known when it is told.
        assert!(incoming.sip.contains("@203.0.113.1:"), "{}", incoming.sip);
        let mut other = call_back(&daemon, &client, &incoming, Wire::Plain);
        for side in [&mut other, &mut caller] {
            let answer = side.phone.expect(200);
            assert!(answer.header("contact").contains(&format!("@{expected}:")), "{}", answer.header("contact"));
            assert_eq!(answer.audio().unwrap().ip().to_string(), expected);
        }
        caller.phone.hang_up();
        other.phone.be_hung_up_on();
        daemon.finish(1);
    }
}
