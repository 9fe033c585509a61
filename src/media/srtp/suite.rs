//! The suites that we speak, and a master key for one of them.
//! Not here: how keys are made of it (`keys`), and the base64 and parameters of `a=crypto` (`sdp`).
//! RFC 4568 §6.2, RFC 6188 §3 and §4, RFC 7714 §14.2: names, and lengths of keys and salts.

use crate::secret::Secret;
use std::fmt;
use zeroize::Zeroizing;

/// Bytes of the longest master key with its salt: AES-256 in counter mode.
const KEY_AND_SALT_BYTES_MAX: usize = 46;

/// A cipher, a way to authenticate and the length of its tag.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Suite {
    /// RFC 7714, 256 bits.
    AeadAes256Gcm,
    /// RFC 7714, 128 bits.
    AeadAes128Gcm,
    /// RFC 6188, a tag of 80 bits.
    AesCm256HmacSha1_80,
    /// RFC 6188, a tag of 32 bits; SRTCP has 80.
    AesCm256HmacSha1_32,
    /// RFC 4568 §6.2.1: what every peer knows.
    AesCm128HmacSha1_80,
    /// RFC 4568 §6.2.2, a tag of 32 bits; SRTCP has 80.
    AesCm128HmacSha1_32,
}

impl Suite {
    /// All of them, those that we like best first: what is strong and fast, and 32 bits of proof last.
    pub const ALL: [Suite; 6] = [
        Suite::AeadAes256Gcm,
        Suite::AeadAes128Gcm,
        Suite::AesCm256HmacSha1_80,
        Suite::AesCm128HmacSha1_80,
        Suite::AesCm256HmacSha1_32,
        Suite::AesCm128HmacSha1_32,
    ];

    /// By the name that SDP has for it. ABNF's literals do not tell case (RFC 5234 §2.3).
    pub fn parse(name: &[u8]) -> Option<Suite> {
        Suite::ALL.into_iter().find(|suite| suite.as_str().as_bytes().eq_ignore_ascii_case(name))
    }

    /// The name in SDP.
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

    /// Bytes of the master key, and of the key that encrypts.
    pub fn key_bytes(self) -> usize {
        match self {
            Suite::AeadAes256Gcm | Suite::AesCm256HmacSha1_80 | Suite::AesCm256HmacSha1_32 => 32,
            Suite::AeadAes128Gcm | Suite::AesCm128HmacSha1_80 | Suite::AesCm128HmacSha1_32 => 16,
        }
    }

    /// Bytes of the master salt, and of the salt of a stream.
    pub fn salt_bytes(self) -> usize {
        match self {
            Suite::AeadAes256Gcm | Suite::AeadAes128Gcm => 12,
            Suite::AesCm256HmacSha1_80
            | Suite::AesCm256HmacSha1_32
            | Suite::AesCm128HmacSha1_80
            | Suite::AesCm128HmacSha1_32 => 14,
        }
    }
}

/// One direction's master key and salt. `Debug` shows the suite alone; the bytes are wiped when it is dropped.
#[derive(Clone)]
pub struct Master {
    suite: Suite,
    /// The key, the salt behind it, and zeros.
    bytes: Secret<[u8; KEY_AND_SALT_BYTES_MAX]>,
}

impl Master {
    /// A key with the salt behind it, as `inline:` has them (RFC 4568 §6.1); `None` if that is not the suite's length.
    pub fn new(suite: Suite, key_and_salt: &[u8]) -> Option<Master> {
        let mut bytes = Zeroizing::new([0; KEY_AND_SALT_BYTES_MAX]);
        let fits = key_and_salt.len() == suite.key_bytes() + suite.salt_bytes();
        bytes.get_mut(..key_and_salt.len()).filter(|_| fits)?.copy_from_slice(key_and_salt);
        Some(Master { suite, bytes: Secret::new(*bytes) })
    }

    /// The suite that it is for.
    pub fn suite(&self) -> Suite {
        self.suite
    }

    /// The key with the salt behind it.
    pub fn key_and_salt(&self) -> &[u8] {
        let (key, salt) = self.parts();
        self.bytes.expose().get(..key.len() + salt.len()).unwrap_or_default()
    }

    /// The key, the salt.
    pub(super) fn parts(&self) -> (&[u8], &[u8]) {
        let (key, rest) = self.bytes.expose().split_at(self.suite.key_bytes());
        (key, rest.get(..self.suite.salt_bytes()).unwrap_or_default())
    }
}

/// Of two keys of which we know both: it does not matter how long that takes.
impl PartialEq for Master {
    fn eq(&self, other: &Master) -> bool {
        self.suite == other.suite && self.bytes.expose() == other.bytes.expose()
    }
}

impl Eq for Master {}

impl fmt::Debug for Master {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Master").field(&self.suite).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_registry() {
        for (name, expect) in [
            ("AEAD_AES_256_GCM", Some(Suite::AeadAes256Gcm)),
            ("AEAD_AES_128_GCM", Some(Suite::AeadAes128Gcm)),
            ("AES_256_CM_HMAC_SHA1_80", Some(Suite::AesCm256HmacSha1_80)),
            ("AES_256_CM_HMAC_SHA1_32", Some(Suite::AesCm256HmacSha1_32)),
            ("AES_CM_128_HMAC_SHA1_80", Some(Suite::AesCm128HmacSha1_80)),
            ("AES_CM_128_HMAC_SHA1_32", Some(Suite::AesCm128HmacSha1_32)),
            ("aes_cm_128_hmac_sha1_80", Some(Suite::AesCm128HmacSha1_80)),
            ("AES_CM_128_HMAC_SHA1", None),
            ("AES_CM_128_HMAC_SHA1_800", None),
            ("AES_192_CM_HMAC_SHA1_80", None),
            ("F8_128_HMAC_SHA1_80", None),
            ("NULL_HMAC_SHA1_80", None),
            ("", None),
        ] {
            assert_eq!(Suite::parse(name.as_bytes()), expect, "{name}");
        }
    }

    #[test]
    fn a_master_has_exactly_its_suites_bytes() {
        for suite in Suite::ALL {
            let length = suite.key_bytes() + suite.salt_bytes();
            let bytes: Vec<u8> = (1..).take(60).collect();
            for wrong in [0, 1, suite.key_bytes(), length - 1, length + 1, 60] {
                assert_eq!(Master::new(suite, &bytes[..wrong]), None, "{suite:?}: {wrong}");
            }
            let master = Master::new(suite, &bytes[..length]).unwrap();
            assert_eq!((master.suite(), master.key_and_salt()), (suite, &bytes[..length]));
            assert_eq!(master.parts(), bytes[..length].split_at(suite.key_bytes()));
        }
    }

    #[test]
    fn masters_are_equal_by_suite_and_bytes_and_never_show_them() {
        let master = |suite, byte| Master::new(suite, &[byte; 30]).unwrap();
        let one = master(Suite::AesCm128HmacSha1_80, 0xA5);
        assert_eq!(one, one.clone());
        assert_ne!(one, master(Suite::AesCm128HmacSha1_80, 0xA6));
        assert_ne!(one, master(Suite::AesCm128HmacSha1_32, 0xA5));
        assert_eq!(format!("{one:?}"), "Master(AesCm128HmacSha1_80)");
    }
}
