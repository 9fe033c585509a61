//! SRTP of a telephone whose server is measured, by a library that the server does not have (webrtc-srtp), so that an independent
//! implementation protects what the server reads and checks what it writes. Each leg has a context for each way, and each looks for what
//! comes twice, which the library does only when asked.
//! Not here: how keys are agreed (`phones`, `rtpengine`).

use super::failed;
use crate::daemon::Failure;
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use ring::rand::{SecureRandom as _, SystemRandom};
use webrtc_srtp::context::Context;
use webrtc_srtp::option::{srtcp_replay_protection, srtp_replay_protection};
use webrtc_srtp::protection_profile::ProtectionProfile;

/// Packets back to which the library looks for what comes twice (RFC 3711 §3.3.2: 64 at least).
const WINDOW_PACKETS: usize = 128;

/// How packets are protected.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Suite {
    /// AES_CM_128_HMAC_SHA1_80 (RFC 4568 §6.2.1), which every telephone has.
    Cm,
    /// AEAD_AES_128_GCM (RFC 7714 §14.2).
    Gcm,
}

impl Suite {
    /// As a session description calls it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Suite::Cm => "AES_CM_128_HMAC_SHA1_80",
            Suite::Gcm => "AEAD_AES_128_GCM",
        }
    }

    /// Of the master salt; the master key has 16 of both.
    fn salt_bytes(self) -> usize {
        match self {
            Suite::Cm => 14,
            Suite::Gcm => 12,
        }
    }

    fn profile(self) -> ProtectionProfile {
        match self {
            Suite::Cm => ProtectionProfile::Aes128CmHmacSha1_80,
            Suite::Gcm => ProtectionProfile::AeadAes128Gcm,
        }
    }
}

/// A master key with its salt, and for what.
#[derive(Clone)]
pub(super) struct Master {
    suite: Suite,
    /// Names the attribute: an answer has the number of what it takes (RFC 4568 §5.1.2).
    tag: u8,
    octets: Vec<u8>,
}

impl Master {
    /// One that nobody else has.
    pub(super) fn draw(suite: Suite) -> Result<Master, Failure> {
        let mut octets = vec![0; KEY_BYTES + suite.salt_bytes()];
        SystemRandom::new().fill(&mut octets).map_err(|_| failed("the kernel gives no random bytes"))?;
        Ok(Master { suite, tag: 1, octets })
    }

    pub(super) fn suite(&self) -> Suite {
        self.suite
    }

    /// The same as the answer to an offer.
    pub(super) fn answering(&self, offer: &Master) -> Master {
        Master { tag: offer.tag, ..self.clone() }
    }

    /// The attribute of a description that says it (RFC 4568 §9.2).
    pub(super) fn attribute(&self) -> String {
        format!("a=crypto:{} {} inline:{}\r\n", self.tag, self.suite.name(), BASE64.encode(&self.octets))
    }

    /// The same of a message; `None` if none in it is of that suite, or not of its length.
    pub(super) fn read(suite: Suite, message: &str) -> Option<Master> {
        let attributes = message.lines().filter_map(|line| line.strip_prefix("a=crypto:"));
        let read = |attribute: &str| {
            let mut words = attribute.split_whitespace();
            let tag = words.next()?.parse().ok()?;
            let inline = words.next().filter(|name| *name == suite.name()).and_then(|_| words.next());
            let octets = BASE64.decode(inline?.strip_prefix("inline:")?.split('|').next()?).ok()?;
            (octets.len() == KEY_BYTES + suite.salt_bytes()).then_some(Master { suite, tag, octets })
        };
        attributes.filter_map(read).next()
    }

    fn context(&self) -> Result<Context, Failure> {
        let (key, salt) = self.octets.split_at(KEY_BYTES);
        let windows = (srtp_replay_protection(WINDOW_PACKETS), srtcp_replay_protection(WINDOW_PACKETS));
        let context = Context::new(key, salt, self.suite.profile(), Some(windows.0), Some(windows.1));
        context.map_err(|error| failed(format!("no SRTP: {error}")))
    }
}

/// Of a master key, bytes.
const KEY_BYTES: usize = 16;
/// RFC 4568 §9.2 has padding in it, and rtpengine leaves it out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// One leg's contexts.
pub(super) struct Secure {
    says: Context,
    hears: Context,
}

impl Secure {
    /// With its own key and the server's.
    pub(super) fn new(own: &Master, server: &Master) -> Result<Secure, Failure> {
        Ok(Secure { says: own.context()?, hears: server.context()? })
    }

    /// What goes over the network for a packet of RTP; `None` if the library does not want to.
    pub(super) fn protect(&mut self, packet: &[u8]) -> Option<Bytes> {
        self.says.encrypt_rtp(packet).ok()
    }

    /// The packet of RTP; `None` if its tag is not the server's, or if it came before.
    pub(super) fn open(&mut self, packet: &[u8]) -> Option<Bytes> {
        self.hears.decrypt_rtp(packet).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKET: [u8; 32] =
        [0x80, 8, 0, 9, 0, 0, 0, 1, 0, 0, 0, 7, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20];

    fn pair(suite: Suite) -> [Secure; 2] {
        let [one, other] = [0, 1].map(|_| Master::draw(suite).expect("Linux gives random bytes"));
        [Secure::new(&one, &other), Secure::new(&other, &one)].map(|secure| secure.expect("the keys are long enough"))
    }

    #[test]
    fn what_one_says_the_other_hears_once_and_only_whole() {
        for suite in [Suite::Cm, Suite::Gcm] {
            let [mut one, mut other] = pair(suite);
            let sealed = one.protect(&PACKET).expect("it can be protected");
            assert_ne!(sealed[12..32], PACKET[12..], "{suite:?}");
            let mut changed = sealed.to_vec();
            changed[20] ^= 1;
            for (what, packet, heard) in [
                ("changed", &changed[..], None),
                ("plain", &PACKET[..], None),
                ("whole", &sealed[..], Some(&PACKET[..])),
                ("twice", &sealed[..], None),
            ] {
                assert_eq!(other.open(packet).as_deref(), heard, "{suite:?} {what}");
            }
            assert_eq!(pair(suite)[1].open(&sealed), None, "{suite:?} with another's key");
        }
    }

    #[test]
    fn a_key_is_read_from_the_line_of_its_suite() {
        let key = Master::draw(Suite::Cm).expect("Linux gives random bytes");
        let inline = BASE64.encode(&key.octets);
        let own = key.attribute();
        assert_eq!(own, format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{inline}\r\n"));
        for (what, message, found) in [
            ("alone", own.clone(), true),
            (
                "after another",
                format!(
                    "a=crypto:1 AES_CM_128_HMAC_SHA1_32 inline:{inline}\r\na=crypto:2 AES_CM_128_HMAC_SHA1_80 inline:{inline}|2^31\r\n"
                ),
                true,
            ),
            ("another suite", own.replace("_80", "_32"), false),
            ("too short", own.replace(&inline, "AAAA"), false),
            ("no base64", own.replace(&inline, "%%%%"), false),
            ("nothing", String::new(), false),
        ] {
            let read = Master::read(Suite::Cm, &message);
            assert_eq!(read.as_ref().map(|read| &read.octets), found.then_some(&key.octets), "{what}");
            let answered = read.map(|read| key.answering(&read).tag);
            assert_eq!(answered, found.then_some(if what == "after another" { 2 } else { 1 }), "{what}");
        }
        assert!(Master::read(Suite::Gcm, &own).is_none());
        let key = Master::draw(Suite::Gcm).expect("Linux gives random bytes");
        for line in [key.attribute(), key.attribute().trim_end_matches(['=', '\r', '\n']).to_owned()] {
            assert_eq!(Master::read(Suite::Gcm, &line).map(|read| read.octets), Some(key.octets.clone()), "{line}");
        }
    }
}
