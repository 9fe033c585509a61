//! What holds for all packets and all keys: what was protected is accepted once, whatever came before it and in whatever order; nothing else is.
//! Not here: the bytes that others expect (`vectors`, `differential`).

use super::fixtures::{SSRC, any_bytes, below, master, packet, pair, protect, rng, rtcp, rtp, unprotect};
use super::transform::{Place, Transform};
use super::{Fault, Inbound, OVERHEAD_MAX, Outbound, Stream, Suite};
use crate::limits;
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_assert_eq, prop_oneof, proptest};

const STREAMS: [Stream; 2] = [Stream::Rtp, Stream::Rtcp];

fn each_suite_and_stream() -> impl Iterator<Item = (Suite, Stream)> {
    Suite::ALL.into_iter().flat_map(|suite| STREAMS.map(|stream| (suite, stream)))
}

fn some_suite() -> impl Strategy<Value = Suite> {
    (0..Suite::ALL.len()).prop_map(|number| Suite::ALL[number])
}

fn some_stream() -> impl Strategy<Value = Stream> {
    prop_oneof![Just(Stream::Rtp), Just(Stream::Rtcp)]
}

#[test]
fn the_header_stays_clear_and_the_rest_does_not() {
    for (suite, stream) in each_suite_and_stream() {
        let (mut outbound, mut inbound) = pair(suite);
        let plain = match stream {
            // A CSRC, an extension of one word, four bytes of payload and four of padding.
            Stream::Rtp => {
                [&[0xB1, 96, 0, 1, 0, 0, 0, 0, 1, 2, 3, 4, 9, 9, 9, 9, 1, 2, 0, 1, 7, 7, 7, 7][..], &[0x55; 7], &[4]]
                    .concat()
            }
            Stream::Rtcp => [&[0x80, 201, 0, 1, 1, 2, 3, 4, 0x81, 202, 0, 2][..], &[0x55; 8]].concat(),
        };
        let clear = if stream == Stream::Rtp { 24 } else { 8 };
        let protected = protect(&mut outbound, stream, &plain).unwrap();
        assert_eq!(protected[..clear], plain[..clear], "{suite:?}");
        assert!(
            protected[clear..plain.len()].iter().zip(&plain[clear..]).filter(|(one, other)| one == other).count() < 4
        );
        let tag = match (suite, stream) {
            (Suite::AeadAes256Gcm | Suite::AeadAes128Gcm, _) => 16,
            (Suite::AesCm256HmacSha1_32 | Suite::AesCm128HmacSha1_32, Stream::Rtp) => 4,
            _ => 10,
        };
        let word = if stream == Stream::Rtp { 0 } else { 4 };
        assert_eq!(protected.len() - plain.len(), tag + word, "{suite:?} {stream:?}");
        assert!(tag + word <= OVERHEAD_MAX);
        assert_eq!(unprotect(&mut inbound, stream, &protected), Ok(plain));
    }
}

#[test]
fn what_was_touched_in_any_way_is_refused_and_leaves_no_trace() {
    for (suite, stream) in each_suite_and_stream() {
        let (mut outbound, mut inbound) = pair(suite);
        let mut rng = rng(2);
        for number in [65_534, 65_535, 0] {
            let plain = packet(&mut rng, stream, SSRC, number);
            let protected = protect(&mut outbound, stream, &plain).unwrap();
            for bit in 0..8 * protected.len() {
                let mut touched = protected.clone();
                touched[bit / 8] ^= 1 << (bit % 8);
                assert!(unprotect(&mut inbound, stream, &touched).is_err(), "{suite:?} {stream:?} bit {bit}");
            }
            for length in 0..protected.len() {
                assert!(unprotect(&mut inbound, stream, &protected[..length]).is_err(), "{suite:?} {length} bytes");
            }
            let longer = [&protected[..], &[0]].concat();
            assert!(unprotect(&mut inbound, stream, &longer).is_err());
            assert_eq!(unprotect(&mut inbound, stream, &protected), Ok(plain));
            assert_eq!(unprotect(&mut inbound, stream, &protected), Err(Fault::Replayed));
        }
    }
}

#[test]
fn only_the_suite_the_key_and_the_stream_of_its_sender_open_a_packet() {
    for (suite, stream) in each_suite_and_stream() {
        let (mut outbound, _) = pair(suite);
        let protected = protect(&mut outbound, stream, &packet(&mut rng(3), stream, SSRC, 7)).unwrap();
        for other in Suite::ALL {
            // The two tags of one cipher differ in SRTP alone.
            let sizes = |suite: Suite| (suite.key_bytes(), suite.salt_bytes());
            let expect = other == suite || stream == Stream::Rtcp && sizes(other) == sizes(suite);
            let opened = |seed| unprotect(&mut Inbound::new(&master(other, seed)), stream, &protected).is_ok();
            assert_eq!((opened(1), opened(2)), (expect, false), "{suite:?} {other:?} {stream:?}");
        }
        let other = if stream == Stream::Rtp { Stream::Rtcp } else { Stream::Rtp };
        assert!(unprotect(&mut pair(suite).1, other, &protected).is_err());
    }
}

#[test]
fn what_is_no_packet_is_malformed() {
    let rtp = [0x80, 96, 0, 1, 0, 0, 0, 0, 1, 2, 3, 4];
    let with_flags = |flags: u8| [&[flags][..], &rtp[1..]].concat();
    for (rule, stream, packet) in [
        ("empty", Stream::Rtp, vec![]),
        ("eleven_bytes", Stream::Rtp, rtp[..11].to_vec()),
        ("version_1", Stream::Rtp, with_flags(0x40)),
        ("csrcs_beyond_the_end", Stream::Rtp, with_flags(0x81)),
        ("extension_beyond_the_end", Stream::Rtp, with_flags(0x90)),
        ("longer_than_a_frame", Stream::Rtp, [&rtp[..], &[0; 1_500]].concat()),
        ("empty_report", Stream::Rtcp, vec![]),
        ("rtp_as_rtcp", Stream::Rtcp, rtp.to_vec()),
        ("report_of_version_1", Stream::Rtcp, vec![0x40, 201, 0, 1, 1, 2, 3, 4]),
        ("report_without_ssrc", Stream::Rtcp, vec![0x80, 201, 0, 0, 0x80, 202, 0, 0]),
        ("report_longer_than_a_frame", Stream::Rtcp, [&[0x80, 201, 1, 0x77, 1, 2, 3, 4][..], &[0; 1_496]].concat()),
    ] {
        for suite in Suite::ALL {
            let (mut outbound, mut inbound) = pair(suite);
            assert_eq!(protect(&mut outbound, stream, &packet), Err(Fault::Malformed), "{rule}");
            let good = self::packet(&mut rng(1), stream, SSRC, 1);
            let overhead = protect(&mut outbound, stream, &good).unwrap().len() - good.len();
            let received = [&packet[..], &[0; OVERHEAD_MAX][..overhead]].concat();
            assert_eq!(unprotect(&mut inbound, stream, &received), Err(Fault::Malformed), "{rule}");
            assert_eq!(unprotect(&mut inbound, stream, &received[..overhead - 1]), Err(Fault::Malformed), "{rule}");
        }
    }
    let (mut outbound, _) = pair(Suite::AeadAes128Gcm);
    let mut buffer = [&rtp[..], &[0; OVERHEAD_MAX]].concat();
    assert_eq!(outbound.protect_rtp(&mut buffer[..12 + OVERHEAD_MAX - 1], 12), Err(Fault::Malformed), "no room");
    assert_eq!(outbound.protect_rtp(&mut buffer, 12 + OVERHEAD_MAX + 1), Err(Fault::Malformed), "beyond the buffer");
    assert_eq!(outbound.protect_rtp(&mut buffer, 12), Ok(28), "and its index was not used");
}

#[test]
fn an_index_encrypts_one_packet() {
    for suite in Suite::ALL {
        let (mut outbound, _) = pair(suite);
        let mut rng = rng(4);
        let mut send = |sequence| protect(&mut outbound, Stream::Rtp, &rtp(&mut rng, SSRC, sequence)).err();
        for (rule, sequence, expect) in [
            ("first", 1_000, None),
            ("again", 1_000, Some(Fault::Replayed)),
            ("ahead", 1_300, None),
            ("late_within_the_window", 1_045, None),
            ("late_again", 1_045, Some(Fault::Replayed)),
            ("late_beyond_the_window", 1_044, Some(Fault::Replayed)),
            ("before_the_first_round", 65_000, Some(Fault::Replayed)),
            ("far_ahead", 30_000, None),
            ("further", 60_000, None),
            ("the_next_round", 1_000, None),
            ("again_in_the_next_round", 1_000, Some(Fault::Replayed)),
        ] {
            assert_eq!(send(sequence), expect, "{rule}");
        }
    }
}

#[test]
fn the_rounds_of_both_ends_agree_whatever_is_lost() {
    for suite in [Suite::AeadAes128Gcm, Suite::AesCm128HmacSha1_80] {
        let (mut outbound, mut inbound) = pair(suite);
        let mut rng = rng(5);
        let mut delivered = 0;
        let mut number = 65_000;
        while number < 5 << 16 {
            // Now and then nothing comes for up to a fifth of a round.
            number += if rng.below(100) == 0 { rng.below(13_000) } else { 1 + rng.below(40) };
            let plain = rtp(&mut rng, SSRC, u16::try_from(number % 65_536).unwrap());
            let protected = protect(&mut outbound, Stream::Rtp, &plain).unwrap();
            if rng.below(4) > 0 {
                assert_eq!(unprotect(&mut inbound, Stream::Rtp, &protected), Ok(plain), "{number}");
                delivered += 1;
            }
        }
        assert!(delivered > 500, "{delivered}");
    }
}

#[test]
fn strangers_leave_no_trace_and_one_source_too_many_is_refused() {
    for (suite, stream) in each_suite_and_stream() {
        let (_, mut inbound) = pair(suite);
        let mut rng = rng(6);
        for _ in 0..1_000 {
            let ssrc = rng.below(u32::MAX);
            let forged = [packet(&mut rng, stream, ssrc, 9), any_bytes(&mut rng, 20)].concat();
            assert_eq!(unprotect(&mut inbound, stream, &forged), Err(Fault::Unauthentic));
        }
        // A sender for each, so that the limit is the receiver's.
        let from = |rng: &mut _, ssrc, number| {
            protect(&mut Outbound::new(&master(suite, 1)), stream, &packet(rng, stream, ssrc, number)).unwrap()
        };
        let most = u32::try_from(limits::SRTP_SOURCES_MAX).unwrap();
        for ssrc in 0..most {
            assert!(unprotect(&mut inbound, stream, &from(&mut rng, ssrc, 1)).is_ok());
        }
        assert_eq!(unprotect(&mut inbound, stream, &from(&mut rng, most, 1)), Err(Fault::TooManySources));
        assert_eq!(unprotect(&mut inbound, stream, &from(&mut rng, 0, 1)), Err(Fault::Replayed), "still remembered");
    }
    let (mut outbound, _) = pair(Suite::AesCm128HmacSha1_80);
    let sent = (0..20).filter(|ssrc| protect(&mut outbound, Stream::Rtp, &rtp(&mut rng(7), *ssrc, 1)).is_ok());
    assert_eq!(sent.count(), limits::SRTP_SOURCES_MAX);
}

#[test]
fn a_report_that_is_not_encrypted_is_authenticated_all_the_same() {
    for suite in Suite::ALL {
        let plain = rtcp(&mut rng(8), SSRC);
        let transform = Transform::new(&master(suite, 1), Stream::Rtcp);
        let mut clear = [&plain[..], &[0; OVERHEAD_MAX]].concat();
        let length = transform.seal(&mut clear, plain.len(), Place::rtcp_received(SSRC, 77, plain.len())).unwrap();
        clear.truncate(length);
        assert!(clear.starts_with(&plain), "{suite:?}");
        let (_, mut inbound) = pair(suite);
        for bit in 0..8 * clear.len() {
            let mut touched = clear.clone();
            touched[bit / 8] ^= 1 << (bit % 8);
            assert!(unprotect(&mut inbound, Stream::Rtcp, &touched).is_err(), "{suite:?} bit {bit}");
        }
        assert_eq!(unprotect(&mut inbound, Stream::Rtcp, &clear), Ok(plain));
        assert_eq!(unprotect(&mut inbound, Stream::Rtcp, &clear), Err(Fault::Replayed));
    }
}

#[test]
fn neither_end_shows_its_keys_and_both_fit_into_a_small_box() {
    let (outbound, inbound) = pair(Suite::AesCm256HmacSha1_80);
    for shown in [format!("{outbound:?}"), format!("{inbound:?}")] {
        assert!(shown.contains("Transform { stream: Rtp, .. }") && !shown.contains("key"), "{shown}");
    }
    assert!(size_of::<Outbound>() <= 3_072 && size_of::<Inbound>() <= 3_072, "{}", size_of::<Inbound>());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn any_bytes_are_refused_and_leave_no_trace(
        suite in some_suite(), stream in some_stream(),
        noise in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..120), 1..40),
    ) {
        let (mut outbound, mut inbound) = pair(suite);
        for (number, mut noise) in (1..).zip(noise) {
            let plain = packet(&mut rng(9), stream, SSRC, number);
            let protected = protect(&mut outbound, stream, &plain).unwrap();
            prop_assert_eq!(unprotect(&mut inbound, stream, &noise).is_err(), true);
            // The same under a header that is right.
            let head = noise.len().min(8);
            noise[..head].copy_from_slice(&protected[..head]);
            prop_assert_eq!(unprotect(&mut inbound, stream, &noise).is_err(), true);
            prop_assert_eq!(unprotect(&mut inbound, stream, &protected), Ok(plain));
        }
    }

    #[test]
    fn within_the_window_order_does_not_matter(
        suite in some_suite(), stream in some_stream(), first in any::<u16>(), seed in any::<u8>(),
    ) {
        let (mut outbound, mut inbound) = pair(suite);
        let mut rng = rng(seed);
        let mut sent = Vec::new();
        for number in 0..200 {
            let plain = packet(&mut rng, stream, SSRC, first.wrapping_add(number));
            sent.push((protect(&mut outbound, stream, &plain).unwrap(), plain));
        }
        // The first one says which round it is (RFC 3711 §3.3.1: nothing else does).
        let (protected, plain) = sent.remove(0);
        prop_assert_eq!(unprotect(&mut inbound, stream, &protected), Ok(plain));
        let mut heard = vec![protected];
        while !sent.is_empty() {
            let (protected, plain) = sent.swap_remove(below(&mut rng, sent.len()));
            prop_assert_eq!(unprotect(&mut inbound, stream, &protected), Ok(plain));
            heard.push(protected);
            let again = &heard[below(&mut rng, heard.len())];
            prop_assert_eq!(unprotect(&mut inbound, stream, again), Err(Fault::Replayed));
        }
    }
}
