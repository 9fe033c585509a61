//! From a master key to the keys of one stream.
//! Not here: what is done with them (`transform`).
//! RFC 3711 §4.3 with a derivation rate of zero; RFC 6188 §2 (AES-256 derives with AES-256); RFC 7714 §11 (GCM derives as AES-CM does).

use super::Master;
use super::Stream;
use super::counter::Counter;
use zeroize::Zeroizing;

/// Bytes of the salt with which keys are derived.
const SALT_BYTES: usize = 14;

/// What protects one stream.
pub(super) struct Keys {
    /// Of 16 or 32 bytes.
    encryption: Zeroizing<[u8; 32]>,
    encryption_bytes: usize,
    /// HMAC-SHA1's (RFC 3711 §5.2); GCM does not need it.
    pub(super) authentication: Zeroizing<[u8; 20]>,
    /// The salt as a number of as many bits as the suite's has.
    pub(super) salt: u128,
}

impl Keys {
    /// Derives them.
    pub(super) fn derive(master: &Master, stream: Stream) -> Keys {
        let (key, salt) = master.parts();
        let generator = Counter::new(key);
        // RFC 7714 §11: GCM's shorter salt has zeros behind it.
        let short_bits = 8 * SALT_BYTES.saturating_sub(salt.len());
        let salt = number(salt) << short_bits;
        // RFC 3711 §4.3.1, §4.3.2: labels 0 to 2 are RTP's, 3 to 5 are RTCP's.
        let first_label: u128 = match stream {
            Stream::Rtp => 0,
            Stream::Rtcp => 3,
        };
        // RFC 3711 §4.3.3: the key stream that begins at (label · 2^48 and salt) · 2^16.
        let fill = |label: u128, out: &mut [u8]| generator.apply((salt ^ (first_label + label) << 48) << 16, out);
        let mut keys = Keys {
            encryption: Zeroizing::default(),
            encryption_bytes: key.len(),
            authentication: Zeroizing::default(),
            salt: 0,
        };
        let mut derived_salt = [0; SALT_BYTES];
        fill(0, keys.encryption.as_mut());
        fill(1, keys.authentication.as_mut());
        fill(2, &mut derived_salt);
        keys.salt = number(&derived_salt) >> short_bits;
        keys
    }

    /// Keys that are known, for the examples that begin with them.
    #[cfg(test)]
    pub(super) fn of(encryption: &[u8], salt: &[u8]) -> Keys {
        let mut bytes = Zeroizing::new([0; 32]);
        bytes[..encryption.len()].copy_from_slice(encryption);
        let (encryption_bytes, authentication) = (encryption.len(), Zeroizing::default());
        Keys { encryption: bytes, encryption_bytes, authentication, salt: number(salt) }
    }

    /// The key that encrypts.
    pub(super) fn encryption(&self) -> &[u8] {
        self.encryption.get(..self.encryption_bytes).unwrap_or_default()
    }
}

/// A number of at most 16 bytes, the first of which weighs most.
fn number(bytes: &[u8]) -> u128 {
    bytes.iter().fold(0, |number, byte| number << 8 | u128::from(*byte))
}
