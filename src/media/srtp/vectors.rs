//! The examples that the RFCs print, and some that follow from theirs.
//! Not here: what no example covers, which another's SRTP is asked for (`differential`).
//! RFC 3711 appendix B, RFC 6188 §7, RFC 7714 §16 and §17.

use super::counter::Counter;
use super::fixtures::{SSRC, from_hexadecimal, protect, unprotect};
use super::keys::Keys;
use super::transform::{Place, Transform};
use super::{Inbound, Master, OVERHEAD_MAX, Outbound, Stream, Suite};

/// RFC 3711 §B.3.
const MASTER_128: &str = "e1f97a0d3e018be0d64fa32c06de41390ec675ad498afeebb6960b3aabe6";
/// RFC 6188 §7.2.
const MASTER_256: &str = "f0f04914b513f2763a1b1fa130f10e2998f6f6e43e4309d1e622a0e332b9f1b63b04803de51ee7c96423ab5b78d2";
/// RFC 7714 §16 and §17: the salt of the stream; keys are 00, 01, 02 and so on.
const GALOIS_SALT: &str = "517569642070726f2071756f";

fn master(suite: Suite, text: &str) -> Master {
    Master::new(suite, &from_hexadecimal(text)).unwrap()
}

#[test]
fn the_key_stream_is_that_of_rfc_3711() {
    let counter = Counter::new(&from_hexadecimal("2b7e151628aed2a6abf7158809cf4f3c"));
    let first = 0xF0F1_F2F3_F4F5_F6F7_F8F9_FAFB_FCFD_0000;
    let mut stream = [0; 0xFF02 * 16];
    counter.apply(first, &mut stream);
    for (block, expect) in [
        (0, "e03ead0935c95e80e166b16dd92b4eb4"),
        (1, "d23513162b02d0f72a43a2fe4a5f97ab"),
        (2, "41e95b3bb0a2e8dd477901e4fca894c0"),
        (0xFEFF, "ec8cdf7398607cb0f2d21675ea9ea1e4"),
        (0xFF00, "362b7c3c6773516318a077d7fc5073ae"),
        (0xFF01, "6a2cc3787889374fbeb4c81b17ba6c44"),
    ] {
        assert_eq!(stream[block * 16..][..16], from_hexadecimal(expect), "{block:#x}");
    }
    for length in [0, 1, 15, 16, 17, 127, 128, 129, 160] {
        let mut part = vec![0; length];
        counter.apply(first, &mut part);
        assert_eq!(part, stream[..length], "{length} bytes");
    }
}

#[test]
fn keys_are_derived_as_in_the_examples() {
    for (suite, text, encryption, authentication, salt) in [
        (
            Suite::AesCm128HmacSha1_80,
            MASTER_128,
            "c61e7a93744f39ee10734afe3ff7a087",
            "cebe321f6ff7716b6fd4ab49af256a156d38baa4",
            0x30CB_BC08_863D_8C85_D49D_B34A_9AE1,
        ),
        (
            Suite::AesCm256HmacSha1_80,
            MASTER_256,
            "5ba1064e30ec51613cad926c5a28ef731ec7fb397f70a960653caf06554cd8c4",
            "fd9c32d39ed5fbb5a9dc96b30818454d1313dc05",
            0xFA31_7916_85CA_444A_9E07_C6C6_4E93,
        ),
    ] {
        let keys = Keys::derive(&master(suite, text), Stream::Rtp);
        assert_eq!(keys.encryption(), from_hexadecimal(encryption), "{suite:?}");
        assert_eq!(keys.authentication.as_slice(), from_hexadecimal(authentication), "{suite:?}");
        assert_eq!(keys.salt, salt, "{suite:?}");
        let other = Keys::derive(&master(suite, text), Stream::Rtcp);
        assert!(other.encryption() != keys.encryption() && other.authentication != keys.authentication);
    }
}

/// A packet of libsrtp's self-test under the keys of RFC 3711 §B.3 and RFC 6188 §7.2: as it protects it, and what follows for other suites
/// and for the next round.
#[test]
fn packets_in_counter_mode_are_those_of_the_examples() {
    let plain = from_hexadecimal("800f1234decafbadcafebabeabababababababababababababababab");
    let header = "800f1234decafbadcafebabe";
    for (suite, text, round, expect) in [
        (Suite::AesCm128HmacSha1_80, MASTER_128, 0, "4e55dc4ce79978d88ca4d215949d2402b78d6acc99ea179b8dbb"),
        (Suite::AesCm128HmacSha1_32, MASTER_128, 0, "4e55dc4ce79978d88ca4d215949d2402b78d6acc"),
        (Suite::AesCm128HmacSha1_80, MASTER_128, 1, "179265c8bf303e4c24e7279f739bb5a6f8b3916fd670057bf1dc"),
        (Suite::AesCm256HmacSha1_80, MASTER_256, 0, "f1d9de17ff251ff1aa007774b0b4b40da08d9d9a5b3a55d8873b"),
    ] {
        let transform = Transform::new(&master(suite, text), Stream::Rtp);
        let place = Place::rtp(12, SSRC, round << 16 | 0x1234);
        let protected = seal(&transform, &plain, place);
        assert_eq!(protected, from_hexadecimal(&format!("{header}{expect}")), "{suite:?}, round {round}");
        assert_eq!(open(&transform, &protected, place), Some(plain.clone()));
        if round == 0 {
            let key = master(suite, text);
            assert_eq!(protect(&mut Outbound::new(&key), Stream::Rtp, &plain).as_ref(), Ok(&protected));
            assert_eq!(unprotect(&mut Inbound::new(&key), Stream::Rtp, &protected).as_ref(), Ok(&plain));
        }
    }
}

#[test]
fn packets_under_gcm_are_those_of_rfc_7714() {
    let text = "8040f17b8041f8d35501a0b247616c6c696120657374206f6d6e69732064697669736120696e207061727465732074726573";
    let plain = from_hexadecimal(text);
    for (suite, expect) in [
        (
            Suite::AeadAes128Gcm,
            "f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b36de3adf8833899d7f27beb16a9152cf765ee4390cce",
        ),
        (
            Suite::AeadAes256Gcm,
            "32b1de78a822fe12ef9f78fa332e33aab18012389a58e2f3b50b2a0276ffae0f1ba63799b87b7aa3db36dfffd6b0f9bb7878d7a76c13",
        ),
    ] {
        let transform = galois(suite, Stream::Rtp);
        let place = Place::rtp(12, 0x5501_A0B2, 0xF17B);
        let protected = seal(&transform, &plain, place);
        assert_eq!(protected, from_hexadecimal(&format!("8040f17b8041f8d35501a0b2{expect}")), "{suite:?}");
        assert_eq!(open(&transform, &protected, place), Some(plain.clone()));
    }
}

#[test]
fn reports_under_gcm_are_those_of_rfc_7714() {
    let head = "81c8000d4d617273";
    let body = "4e5450314e545032525450200000042a0000e9304c756e61deadbeefdeadbeefdeadbeefdeadbeefdeadbeef";
    let plain = from_hexadecimal(&format!("{head}{body}"));
    for (suite, word, expect) in [
        (
            Suite::AeadAes128Gcm,
            0x8000_05D4,
            "63e94885dcdab67ca727d7662f6b7e997ff5c0f76c06f32dc676a5f1730d6fda4ce09b4686303ded0bb9275bc84aa45896cf4d2fc5abf87245d9eade800005d4",
        ),
        (Suite::AeadAes128Gcm, 0x05D4, &format!("{body}841dd9683dd78ec92ae58790125f62b3000005d4")),
        (
            Suite::AeadAes256Gcm,
            0x8000_05D4,
            "d50ae4d1f5ce5d304ba297e47d470c282c3ece5dbffe0a50a2eaa5c1110555be8415f658c61de0476f1b6fad1d1eb30c4446839f57ff6f6cb26ac3be800005d4",
        ),
        (Suite::AeadAes256Gcm, 0x05D4, &format!("{body}91db4afbfeee5a978fab4393ed2615fe000005d4")),
    ] {
        let transform = galois(suite, Stream::Rtcp);
        let place = Place::rtcp_received(0x4D61_7273, word, plain.len());
        let protected = seal(&transform, &plain, place);
        assert_eq!(protected, from_hexadecimal(&format!("{head}{expect}")), "{suite:?} {word:#x}");
        assert_eq!(transform.length(&protected), Some(plain.len()));
        assert_eq!(transform.word(&protected, plain.len()), Some(word));
        assert_eq!(open(&transform, &protected, place), Some(plain.clone()));
    }
}

fn galois(suite: Suite, stream: Stream) -> Transform {
    let key: Vec<u8> = (0..).take(suite.key_bytes()).collect();
    Transform::with(suite, stream, &Keys::of(&key, &from_hexadecimal(GALOIS_SALT)))
}

fn seal(transform: &Transform, packet: &[u8], place: Place) -> Vec<u8> {
    let mut buffer = [packet, &[0; OVERHEAD_MAX]].concat();
    let length = transform.seal(&mut buffer, packet.len(), place).unwrap();
    buffer.truncate(length);
    buffer
}

fn open(transform: &Transform, packet: &[u8], place: Place) -> Option<Vec<u8>> {
    let mut buffer = packet.to_vec();
    let length = transform.length(packet)?;
    transform.open(&mut buffer, length, place)?;
    buffer.truncate(length);
    Some(buffer)
}
