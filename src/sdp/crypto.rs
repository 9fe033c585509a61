//! The keys of SRTP in a session description: `a=crypto` (SDES, RFC 4568), with the suites of RFC 6188 and RFC 7714.
//! Not here: what is done with the keys (`media::srtp`), and whether a leg may have them (`call`): who reads the signalling reads them too.
//!
//! ```text
//! a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj|2^20
//!          tag suite                        key and salt, base64                       lifetime
//! ```

use crate::rng::Rng;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, Engine, GeneralPurpose, GeneralPurposeConfig};
use std::fmt;
use zeroize::Zeroizing;

/// The longest key with its salt, bytes.
pub const KEY_AND_SALT_BYTES_MAX: usize = 46;

/// Some leave the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// How packets are encrypted and authenticated.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Suite {
    /// RFC 7714, 256 bits.
    AeadAes256Gcm,
    /// RFC 7714, 128 bits.
    AeadAes128Gcm,
    /// RFC 6188, with an authentication tag of 80 bits.
    AesCm256HmacSha1_80,
    /// RFC 6188, with one of 32 bits.
    AesCm256HmacSha1_32,
    /// RFC 4568 §6.2.1: what everybody has.
    AesCm128HmacSha1_80,
    /// RFC 4568 §6.2.2.
    AesCm128HmacSha1_32,
}

impl Suite {
    /// All of them, in our order of preference: short tags come last.
    pub const ALL: [Suite; 6] = [
        Suite::AeadAes256Gcm,
        Suite::AeadAes128Gcm,
        Suite::AesCm256HmacSha1_80,
        Suite::AesCm128HmacSha1_80,
        Suite::AesCm256HmacSha1_32,
        Suite::AesCm128HmacSha1_32,
    ];

    /// The one of this name; some write that of 256 bits as RFC 6188's drafts did.
    pub fn parse(name: &[u8]) -> Option<Suite> {
        match name {
            b"AES_CM_256_HMAC_SHA1_80" => Some(Suite::AesCm256HmacSha1_80),
            b"AES_CM_256_HMAC_SHA1_32" => Some(Suite::AesCm256HmacSha1_32),
            // Literals of an ABNF know no case (RFC 5234 §2.3).
            name => Suite::ALL.into_iter().find(|suite| suite.as_str().as_bytes().eq_ignore_ascii_case(name)),
        }
    }

    /// The name in `a=crypto`.
    pub fn as_str(self) -> &'static str {
        match self {
            Suite::AeadAes256Gcm => "AEAD_AES_256_GCM",
            Suite::AeadAes128Gcm => "AEAD_AES_128_GCM",
            Suite::AesCm256HmacSha1_80 => "AES_256_CM_HMAC_SHA1_80",
            Suite::AesCm256HmacSha1_32 => "AES_256_CM_HMAC_SHA1_32",
            Suite::AesCm128HmacSha1_80 => "AES_CM_128_HMAC_SHA1_80",
            Suite::AesCm128HmacSha1_32 => "AES_CM_128_HMAC_SHA1_32",
        }
    }

    /// Length of the master key, bytes.
    pub fn key_bytes(self) -> usize {
        match self {
            Suite::AeadAes256Gcm | Suite::AesCm256HmacSha1_80 | Suite::AesCm256HmacSha1_32 => 32,
            Suite::AeadAes128Gcm | Suite::AesCm128HmacSha1_80 | Suite::AesCm128HmacSha1_32 => 16,
        }
    }

    /// Length of the master salt, bytes.
    pub fn salt_bytes(self) -> usize {
        match self {
            Suite::AeadAes256Gcm | Suite::AeadAes128Gcm => 12,
            Suite::AesCm256HmacSha1_80
            | Suite::AesCm256HmacSha1_32
            | Suite::AesCm128HmacSha1_80
            | Suite::AesCm128HmacSha1_32 => 14,
        }
    }

    fn bytes(self) -> usize {
        self.key_bytes() + self.salt_bytes()
    }
}

/// One direction's master key and salt (RFC 3711 §3.2.1). `Debug` shows the suite alone; wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Master {
    suite: Suite,
    key_and_salt: Zeroizing<[u8; KEY_AND_SALT_BYTES_MAX]>,
}

impl Master {
    /// `None` if that is not as long as the suite wants it.
    pub fn new(suite: Suite, key_and_salt: &[u8]) -> Option<Master> {
        let mut master = Master { suite, key_and_salt: Zeroizing::new([0; KEY_AND_SALT_BYTES_MAX]) };
        let room = master.key_and_salt.get_mut(..suite.bytes())?;
        if room.len() != key_and_salt.len() {
            return None;
        }
        room.copy_from_slice(key_and_salt);
        Some(master)
    }

    /// A new one.
    pub fn draw(suite: Suite, rng: &mut Rng) -> Master {
        let mut master = Master { suite, key_and_salt: Zeroizing::new([0; KEY_AND_SALT_BYTES_MAX]) };
        if let Some(room) = master.key_and_salt.get_mut(..suite.bytes()) {
            rng.fill(room);
        }
        master
    }

    /// What it is for.
    pub fn suite(&self) -> Suite {
        self.suite
    }

    /// The key and the salt.
    pub fn parts(&self) -> (&[u8], &[u8]) {
        self.key_and_salt().split_at_checked(self.suite.key_bytes()).unwrap_or_default()
    }

    /// The key, then the salt.
    pub fn key_and_salt(&self) -> &[u8] {
        self.key_and_salt.get(..self.suite.bytes()).unwrap_or_default()
    }
}

impl fmt::Debug for Master {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "«key of {}»", self.suite.as_str())
    }
}

/// One `a=crypto` that we can do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Crypto {
    /// Which of its author's it is; the answer repeats it (RFC 4568 §5.1.2). At most nine digits.
    pub tag: u32,
    /// What its author encrypts with.
    pub master: Master,
}

impl Crypto {
    /// Reads the value of an `a=crypto` (RFC 4568 §9.1). `None` is no error: another line may be one that we can do (§5.1.2). We cannot do
    /// suites that we do not know, several keys or key identifiers in the packets (MKI), and session parameters but `WSH`, which is a hint, and
    /// those whose author lets us ignore them.
    pub(super) fn parse(value: &[u8]) -> Option<Crypto> {
        let mut words = value.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
        let (tag, suite, key) = (words.next()?, words.next()?, words.next()?);
        let is_harmless = |word: &[u8]| word.starts_with(b"WSH=") || word.starts_with(b"-");
        if !words.all(is_harmless) {
            return None;
        }
        let key = key.strip_prefix(b"inline:")?;
        let (key, behind) = key.split_at(memchr::memchr(b'|', key).unwrap_or(key.len()));
        // A lifetime has no colon, an MKI has one, and further keys come after a semicolon.
        if memchr::memchr2(b':', b';', behind).is_some() || memchr::memchr(b';', key).is_some() {
            return None;
        }
        let key = Zeroizing::new(BASE64.decode(key).ok()?);
        Some(Crypto { tag: tag_of(tag)?, master: Master::new(Suite::parse(suite)?, &key)? })
    }

    /// The value of the attribute.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let key = Zeroizing::new(BASE64.encode(self.master.key_and_salt()));
        out.extend_from_slice(self.tag.to_string().as_bytes());
        for word in [" ", self.master.suite().as_str(), " inline:", &key] {
            out.extend_from_slice(word.as_bytes());
        }
    }
}

/// `1*9DIGIT`.
fn tag_of(word: &[u8]) -> Option<u32> {
    let is_tag = (1..=9).contains(&word.len()) && word.iter().all(u8::is_ascii_digit);
    is_tag.then(|| std::str::from_utf8(word).ok()?.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 30 bytes, as RFC 4568 §6.1's example has them.
    const KEY: &str = "d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj";

    fn parse(value: &str) -> Option<(u32, Suite)> {
        Crypto::parse(value.as_bytes()).map(|crypto| (crypto.tag, crypto.master.suite()))
    }

    #[test]
    fn a_line_that_we_can_do_is_read() {
        for (rule, value, tag) in [
            ("plain", format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}"), 1),
            ("with_a_lifetime", format!("7 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^31"), 7),
            ("with_a_lifetime_in_decimal", format!("7 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|1048576"), 7),
            ("with_a_hint", format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY} WSH=128"), 1),
            ("with_what_may_be_ignored", format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY} -X=1"), 1),
            ("in_other_case", format!("1 aes_cm_128_hmac_sha1_80 inline:{KEY}"), 1),
            ("more_blanks", format!("999999999  AES_CM_128_HMAC_SHA1_80   inline:{KEY}"), 999_999_999),
        ] {
            assert_eq!(parse(&value), Some((tag, Suite::AesCm128HmacSha1_80)), "{rule}");
        }
        let long = "A".repeat(56) + "AAAAAA==";
        for (name, key) in [
            ("AES_CM_128_HMAC_SHA1_32", KEY),
            ("AES_256_CM_HMAC_SHA1_80", long.as_str()),
            ("AES_CM_256_HMAC_SHA1_80", long.trim_end_matches('=')),
            ("AEAD_AES_128_GCM", &(String::from("A").repeat(36) + "AA==")),
        ] {
            assert!(parse(&format!("1 {name} inline:{key}")).is_some(), "{name}");
        }
    }

    #[test]
    fn a_line_that_we_cannot_do_is_passed_over() {
        for (rule, value) in [
            ("unknown_suite", format!("1 F8_128_HMAC_SHA1_80 inline:{KEY}")),
            ("key_of_another_length", format!("1 AEAD_AES_128_GCM inline:{KEY}")),
            ("key_cut_short", format!("1 AES_CM_128_HMAC_SHA1_80 inline:{}", &KEY[4..])),
            ("key_that_is_no_base64", format!("1 AES_CM_128_HMAC_SHA1_80 inline:*{}", &KEY[1..])),
            ("no_key", "1 AES_CM_128_HMAC_SHA1_80 inline:".to_owned()),
            ("no_key_at_all", "1 AES_CM_128_HMAC_SHA1_80".to_owned()),
            ("another_method", format!("1 AES_CM_128_HMAC_SHA1_80 uri:{KEY}")),
            ("key_identifier", format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|1:4")),
            ("lifetime_and_key_identifier", format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^20|1:4")),
            ("two_keys", format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^20|1:4;inline:{KEY}|2^20|2:4")),
            ("not_encrypted", format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY} UNENCRYPTED_SRTP")),
            ("not_authenticated", format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY} UNAUTHENTICATED_SRTP")),
            ("keys_derived_again", format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY} KDR=1")),
            ("tag_of_ten_digits", format!("1000000000 AES_CM_128_HMAC_SHA1_80 inline:{KEY}")),
            ("tag_that_is_none", format!("x AES_CM_128_HMAC_SHA1_80 inline:{KEY}")),
            ("empty", String::new()),
        ] {
            assert_eq!(parse(&value), None, "{rule}");
        }
    }

    #[test]
    fn what_is_written_is_read_alike_and_keys_are_not_shown() {
        let mut rng = Rng::from_seed([3; 32]);
        for suite in Suite::ALL {
            let crypto = Crypto { tag: 5, master: Master::draw(suite, &mut rng) };
            let mut text = Vec::new();
            crypto.write(&mut text);
            assert_eq!(Crypto::parse(&text).as_ref(), Some(&crypto));
            assert_ne!(Master::draw(suite, &mut rng), crypto.master);
            assert_eq!(Suite::parse(suite.as_str().as_bytes()), Some(suite));
            assert_eq!(Master::new(suite, &crypto.master.key_and_salt()[1..]), None);
            assert_eq!(format!("{:?}", crypto.master), format!("«key of {}»", suite.as_str()));
        }
    }
}
