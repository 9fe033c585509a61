//! Audio as whoever talks hears it: through every combination of plain RTP and SRTP's suites each side hears the other's tone, as high
//! and as loud as it was said, loses none of it, and nothing of it can be heard on a wire that is encrypted.
//! Not here: SRTP's bytes (`media::srtp`), softphones (`baresip`), and what is sent to disturb a call (`bleed`).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod common;

use common::talker::Suite;
use common::{Choir, Daemon, Setup, Subscriber, Talker};
use std::net::Ipv4Addr;

const KINDS: [Option<Suite>; 6] = [
    None,
    Some(Suite::Aes128CmHmacSha1_80),
    Some(Suite::Aes128CmHmacSha1_32),
    Some(Suite::Aes256CmHmacSha1_80),
    Some(Suite::AeadAes128Gcm),
    Some(Suite::AeadAes256Gcm),
];
/// Calls at a time.
const AT_ONCE: usize = 12;
/// Packets of each side: a second.
const PACKETS: u32 = 50;

fn talkers(number: u16, caller: Option<Suite>, client: Option<Suite>) -> [Talker; 2] {
    let bind = |number, hz, suite| Talker::bind(Ipv4Addr::LOCALHOST.into(), number, hz, suite);
    [bind(2 * number, 400 + 10 * number, caller), bind(2 * number + 1, 1_200 + 10 * number, client)]
}

#[test]
fn each_hears_the_other_as_he_speaks_through_every_combination_of_rtp_and_srtp() {
    let daemon = Daemon::start_as(&Setup::with(&["media.srtp=any", "log.level=info"]));
    let mut subscriber = Subscriber::ready(&daemon, "demo");
    let matrix: Vec<_> = KINDS.iter().flat_map(|caller| KINDS.iter().map(move |client| (*caller, *client))).collect();
    for calls in matrix.chunks(AT_ONCE) {
        let mut choir = Choir::default();
        let mut phones = Vec::new();
        for (number, (caller, client)) in (0..).zip(calls) {
            phones.push(choir.bridge(&daemon, &mut subscriber, talkers(number, *caller, *client)));
        }
        choir.talk(|turn| turn < PACKETS, |_, _| true);
        for (hearer, speaker) in choir.pairs() {
            hearer.assert_lost_nothing(speaker.sequence);
            hearer.assert_hears(speaker.hz);
            assert!(hearer.heard.packets + 2 >= PACKETS.into(), "{:?}", hearer.heard);
        }
        for [mut caller, mut client] in phones {
            caller.hang_up();
            client.be_hung_up_on();
        }
    }
    let records = daemon.finish(matrix.len());
    for leg in records.iter().flat_map(|record| [&record["media"]["caller"], &record["media"]["client"]]) {
        assert_eq!((&leg["packets_lost"], &leg["dropped_unauthentic"]), (&0.into(), &0.into()), "{leg:#}");
    }
}

/// Whoever speaks otherwise than was agreed is not heard: in plain words, under another key, or under another suite.
#[test]
fn who_speaks_under_another_key_or_none_is_not_heard() {
    let daemon = Daemon::start_as(&Setup::with(&["media.srtp=any", "log.level=info"]));
    let mut subscriber = Subscriber::ready(&daemon, "demo");
    let mut choir = Choir::default();
    let suite = Some(Suite::Aes128CmHmacSha1_80);
    let mut phones = choir.bridge(&daemon, &mut subscriber, talkers(0, suite, None));
    let others = [None, suite, Some(Suite::AeadAes128Gcm)];
    let mut wrong = others.map(|suite| Talker::bind(Ipv4Addr::LOCALHOST.into(), 77, 700, suite));
    let before = 3;
    choir.talk(|turn| turn < before, |_, _| true);
    // From the caller's own socket, so that the address is right.
    for wrong in &mut wrong {
        wrong.ssrc = choir.talkers[0].ssrc;
        wrong.sequence = choir.talkers[0].sequence;
        (0..10).for_each(|_| choir.talkers[0].send(&wrong.packet()));
    }
    choir.talk(|turn| turn < before, |_, _| true);
    choir.pairs().for_each(|(hearer, speaker)| hearer.assert_lost_nothing(speaker.sequence));
    phones[0].hang_up();
    phones[1].be_hung_up_on();
    let record = &daemon.finish(1)[0];
    assert_eq!(record["media"]["caller"]["dropped_unauthentic"], 30, "{record:#}");
}
