//! Another's SRTP beside ours: what the one protects the other opens, and the bytes between are the same.
//! Not here: what ours refuses and theirs does not (`properties`). `bench` has it as well, to drive the daemon with it.

use super::fixtures::{SSRC, below, master, packet, pair, protect, rng, rtcp, rtp, unprotect};
use super::{Stream, Suite};
use std::collections::VecDeque;
use webrtc_srtp::context::Context;
use webrtc_srtp::option::{srtcp_replay_protection, srtp_replay_protection};
use webrtc_srtp::protection_profile::ProtectionProfile;

fn theirs(suite: Suite) -> Context {
    let profile = match suite {
        Suite::AeadAes256Gcm => ProtectionProfile::AeadAes256Gcm,
        Suite::AeadAes128Gcm => ProtectionProfile::AeadAes128Gcm,
        Suite::AesCm256HmacSha1_80 => ProtectionProfile::Aes256CmHmacSha1_80,
        Suite::AesCm256HmacSha1_32 => ProtectionProfile::Aes256CmHmacSha1_32,
        Suite::AesCm128HmacSha1_80 => ProtectionProfile::Aes128CmHmacSha1_80,
        Suite::AesCm128HmacSha1_32 => ProtectionProfile::Aes128CmHmacSha1_32,
    };
    let master = master(suite, 1);
    let (key, salt) = master.parts();
    let windows = (Some(srtp_replay_protection(64)), Some(srtcp_replay_protection(64)));
    Context::new(key, salt, profile, windows.0, windows.1).unwrap()
}

#[test]
fn both_make_the_same_bytes_of_a_packet() {
    for suite in Suite::ALL {
        let (mut ours, mut theirs) = (pair(suite).0, theirs(suite));
        let mut rng = rng(1);
        // Their SRTCP index begins with 1.
        protect(&mut ours, Stream::Rtcp, &rtcp(&mut rng, SSRC)).unwrap();
        let mut number = 60_000;
        while number < 3 << 16 {
            number += 1 + rng.below(200);
            let plain = rtp(&mut rng, SSRC, u16::try_from(number % 65_536).unwrap());
            let expect = theirs.encrypt_rtp(&plain).unwrap();
            assert_eq!(protect(&mut ours, Stream::Rtp, &plain).unwrap(), expect, "{suite:?} {plain:02x?}");
            let plain = rtcp(&mut rng, SSRC);
            let expect = theirs.encrypt_rtcp(&plain).unwrap();
            assert_eq!(protect(&mut ours, Stream::Rtcp, &plain).unwrap(), expect, "{suite:?} {plain:02x?}");
        }
    }
}

/// Two sources, loss, and packets that overtake each other by a few dozen, across three rounds.
#[test]
fn what_the_one_sends_the_other_receives() {
    for suite in Suite::ALL {
        let (mut outbound, mut inbound) = pair(suite);
        let (mut their_outbound, mut their_inbound) = (theirs(suite), theirs(suite));
        let mut rng = rng(2);
        let (mut under_way, mut numbers, mut received) = (VecDeque::new(), [1_000, 65_530], 0);
        for _ in 0..4_000 {
            let source = below(&mut rng, 2);
            let ssrc = SSRC + u32::try_from(source).unwrap();
            let stream = if rng.below(4) == 0 { Stream::Rtcp } else { Stream::Rtp };
            numbers[source] += if stream == Stream::Rtp { 1 + rng.below(150) } else { 0 };
            let plain = packet(&mut rng, stream, ssrc, u16::try_from(numbers[source] % 65_536).unwrap());
            let ours = protect(&mut outbound, stream, &plain).unwrap();
            let theirs = match stream {
                Stream::Rtp => their_outbound.encrypt_rtp(&plain),
                Stream::Rtcp => their_outbound.encrypt_rtcp(&plain),
            };
            under_way.push_back((stream, plain, ours, theirs.unwrap()));
            let place = below(&mut rng, under_way.len().min(3));
            let Some((stream, plain, ours, theirs)) = under_way.remove(place).filter(|_| rng.below(5) > 0) else {
                continue;
            };
            let opened = match stream {
                Stream::Rtp => their_inbound.decrypt_rtp(&ours),
                Stream::Rtcp => their_inbound.decrypt_rtcp(&ours),
            };
            let mine = unprotect(&mut inbound, stream, &theirs);
            assert_eq!(mine.as_ref().ok(), opened.as_deref().ok().map(<[u8]>::to_vec).as_ref(), "{suite:?} {stream:?}");
            received += usize::from(mine == Ok(plain));
        }
        assert!(received > 3_000, "{suite:?}: {received}");
    }
}
