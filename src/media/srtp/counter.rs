//! AES in counter mode: the key stream that encrypts a packet, and the one that keys are derived from.
//! Not here: which counter a packet begins with (`transform`). RFC 3711 §4.1.1, RFC 6188 §2.

use aes::{Aes128Enc, Aes256Enc};
use ctr::cipher::consts::U16;
use ctr::cipher::{BlockCipher, BlockEncrypt, InnerIvInit, KeyInit, StreamCipherCore};
use ctr::{CtrCore, flavors::Ctr128BE};

/// A key's schedule, made once. It is wiped when dropped.
#[expect(clippy::large_enum_variant, reason = "it lives in a box, as a part of what is as large")]
pub(super) enum Counter {
    Aes128(Aes128Enc),
    Aes256(Aes256Enc),
}

impl Counter {
    /// For a key of 16 or 32 bytes.
    pub(super) fn new(key: &[u8]) -> Counter {
        match Aes128Enc::new_from_slice(key) {
            Ok(cipher) => Counter::Aes128(cipher),
            Err(_) => Counter::Aes256(Aes256Enc::new_from_slice(key).expect("a suite's key has 16 or 32 bytes")),
        }
    }

    /// Adds the key stream that begins at `first`, whose low 16 bits count the blocks.
    #[inline]
    pub(super) fn apply(&self, first: u128, bytes: &mut [u8]) {
        match self {
            Counter::Aes128(cipher) => apply(cipher, first, bytes),
            Counter::Aes256(cipher) => apply(cipher, first, bytes),
        }
    }
}

#[inline]
fn apply(cipher: &(impl BlockEncrypt<BlockSize = U16> + BlockCipher), first: u128, bytes: &mut [u8]) {
    CtrCore::<_, Ctr128BE>::inner_iv_init(cipher, &first.to_be_bytes().into()).apply_keystream_partial(bytes.into());
}
