//! What is done to the bytes of one packet at one index: made secret and authentic, and back.
//! Not here: which index that is and whether it was used (`sources`), and where a header ends (`media::header`).
//! RFC 3711 §4.1.1 (AES-CM), §4.2 (HMAC-SHA1), RFC 7714 §8 and §9 (AES-GCM).

use super::Stream;
use super::counter::Counter;
use super::keys::Keys;
use super::{Master, Suite};
use crate::limits;
use arrayvec::ArrayVec;
use hmac::{Hmac, Mac};
use ring::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, Tag, UnboundKey};
use sha1::Sha1;
use std::fmt;

/// Bytes of GCM's tag (RFC 7714 §13.2), the longest.
pub(super) const TAG_BYTES_MAX: usize = 16;
/// Bytes of SRTCP's word: the E flag and the index.
const WORD_BYTES: usize = 4;
/// Bytes at the head of an SRTCP packet that stay clear.
const RTCP_CLEAR_BYTES: usize = 8;
/// SRTCP's E flag: the packet is encrypted.
const ENCRYPTED: u32 = 1 << 31;

/// The keys of one stream, made ready: AES's schedule, and the HMAC's state once its key is in it.
pub(super) struct Transform {
    stream: Stream,
    /// As a number of as many bits as it has.
    salt: u128,
    cipher: Cipher,
}

#[expect(clippy::large_enum_variant, reason = "it lives in a box, as a part of what is as large")]
enum Cipher {
    Counter { counter: Counter, mac: Hmac<Sha1>, tag_bytes: usize },
    Galois(LessSafeKey),
}

/// Where a packet stands in its stream, and what of it stays clear.
#[derive(Clone, Copy)]
pub(super) struct Place {
    /// Bytes at its head that are authenticated and not encrypted.
    clear: usize,
    ssrc: u32,
    index: u64,
    /// What is authenticated besides the packet: RTP's roll-over counter, or SRTCP's word.
    word: [u8; WORD_BYTES],
}

impl Place {
    /// Of an RTP packet whose payload begins behind `clear` bytes.
    #[inline]
    pub(super) fn rtp(clear: usize, ssrc: u32, index: u64) -> Place {
        let [_, _, roll_over @ .., _, _] = index.to_be_bytes();
        Place { clear, ssrc, index, word: roll_over }
    }

    /// Of an RTCP packet that is encrypted.
    pub(super) fn rtcp(ssrc: u32, index: u32) -> Place {
        let word = (index | ENCRYPTED).to_be_bytes();
        Place { clear: RTCP_CLEAR_BYTES, ssrc, index: index.into(), word }
    }

    /// Of an RTCP packet of `length` bytes with this word, which says whether it is encrypted.
    pub(super) fn rtcp_received(ssrc: u32, word: u32, length: usize) -> Place {
        let index = word & !ENCRYPTED;
        let clear = if word & ENCRYPTED == 0 { length } else { RTCP_CLEAR_BYTES };
        Place { clear, ssrc, index: index.into(), word: word.to_be_bytes() }
    }

    /// SRTCP's index.
    pub(super) fn index(&self) -> u64 {
        self.index
    }

    /// What makes its key stream its own: SSRC · 2^48 and the index, under the salt (RFC 3711 §4.1.1, RFC 7714 §8.1 and §9.1: the one is the
    /// other times 2^16, for the blocks are counted there).
    #[inline]
    fn salted(&self, salt: u128) -> u128 {
        salt ^ u128::from(self.ssrc) << 48 ^ u128::from(self.index)
    }
}

impl Transform {
    /// The stream's, under a master key.
    pub(super) fn new(master: &Master, stream: Stream) -> Transform {
        Transform::with(master.suite(), stream, &Keys::derive(master, stream))
    }

    /// The same under keys that are derived.
    pub(super) fn with(suite: Suite, stream: Stream, keys: &Keys) -> Transform {
        let galois = |algorithm| {
            let key = UnboundKey::new(algorithm, keys.encryption()).expect("the key is as long as the suite's");
            Cipher::Galois(LessSafeKey::new(key))
        };
        let counter = |tag_bytes| {
            let mac = Hmac::new_from_slice(keys.authentication.as_ref()).expect("HMAC takes a key of any length");
            Cipher::Counter { counter: Counter::new(keys.encryption()), mac, tag_bytes }
        };
        let cipher = match (suite, stream) {
            (Suite::AeadAes256Gcm, _) => galois(&AES_256_GCM),
            (Suite::AeadAes128Gcm, _) => galois(&AES_128_GCM),
            (Suite::AesCm256HmacSha1_32 | Suite::AesCm128HmacSha1_32, Stream::Rtp) => counter(4),
            // RFC 4568 §6.2.2, RFC 6188 §4: the short tag is for SRTP alone.
            (Suite::AesCm256HmacSha1_32 | Suite::AesCm128HmacSha1_32, Stream::Rtcp)
            | (Suite::AesCm256HmacSha1_80 | Suite::AesCm128HmacSha1_80, _) => counter(10),
        };
        Transform { stream, salt: keys.salt, cipher }
    }

    /// Protects the first `length` bytes; the new length, or `None` if there is no room for it.
    #[inline]
    pub(super) fn seal(&self, buffer: &mut [u8], length: usize, place: Place) -> Option<usize> {
        let (packet, _) = buffer.split_at_mut_checked(length)?;
        let (head, body) = packet.split_at_mut_checked(place.clear)?;
        match &self.cipher {
            Cipher::Counter { counter, mac, tag_bytes } => {
                counter.apply(place.salted(self.salt) << 16, body);
                let tag = authenticate(mac, packet, place).finalize().into_bytes();
                let length = self.append_word(buffer, length, place)?;
                append(buffer, length, tag.get(..*tag_bytes)?)
            }
            Cipher::Galois(key) => {
                let nonce = self.nonce(place);
                let tag = match self.stream {
                    Stream::Rtp => key.seal_in_place_separate_tag(nonce, Aad::from(head), body),
                    Stream::Rtcp => key.seal_in_place_separate_tag(nonce, with_word(head, place)?, body),
                };
                let length = append(buffer, length, tag.ok()?.as_ref())?;
                self.append_word(buffer, length, place)
            }
        }
    }

    /// Authenticates and lays open a packet of which [`Transform::length`] said where it ends. `None` if it is not authentic; GCM may
    /// have spoilt it by then.
    #[inline]
    pub(super) fn open(&self, packet: &mut [u8], length: usize, place: Place) -> Option<()> {
        let (packet, behind) = packet.split_at_mut_checked(length)?;
        match &self.cipher {
            Cipher::Counter { counter, mac, .. } => {
                let tag = behind.get(self.word_bytes()..)?;
                // In constant time; at most as long as it is, because `length` says so.
                authenticate(mac, packet, place).verify_truncated_left(tag).ok()?;
                counter.apply(place.salted(self.salt) << 16, packet.get_mut(place.clear..)?);
            }
            Cipher::Galois(key) => {
                let (head, body) = packet.split_at_mut_checked(place.clear)?;
                let tag = Tag::try_from(behind.get(..TAG_BYTES_MAX)?).ok()?;
                let nonce = self.nonce(place);
                match self.stream {
                    Stream::Rtp => key.open_in_place_separate_tag(nonce, Aad::from(head), tag, body, 0..),
                    Stream::Rtcp => key.open_in_place_separate_tag(nonce, with_word(head, place)?, tag, body, 0..),
                }
                .ok()?;
            }
        }
        Some(())
    }

    /// Bytes of a protected packet without its tag and word; `None` if it is shorter than these.
    #[inline]
    pub(super) fn length(&self, packet: &[u8]) -> Option<usize> {
        packet.len().checked_sub(self.word_bytes() + self.tag_bytes())
    }

    /// SRTCP's word; `length` is what [`Transform::length`] said.
    pub(super) fn word(&self, packet: &[u8], length: usize) -> Option<u32> {
        let at = match &self.cipher {
            Cipher::Counter { .. } => length,
            Cipher::Galois(_) => length + TAG_BYTES_MAX,
        };
        packet.get(at..)?.first_chunk().map(|word| u32::from_be_bytes(*word))
    }

    fn tag_bytes(&self) -> usize {
        match &self.cipher {
            Cipher::Counter { tag_bytes, .. } => *tag_bytes,
            Cipher::Galois(_) => TAG_BYTES_MAX,
        }
    }

    fn word_bytes(&self) -> usize {
        match self.stream {
            Stream::Rtp => 0,
            Stream::Rtcp => WORD_BYTES,
        }
    }

    fn append_word(&self, buffer: &mut [u8], length: usize, place: Place) -> Option<usize> {
        match self.stream {
            Stream::Rtp => Some(length),
            Stream::Rtcp => append(buffer, length, &place.word),
        }
    }

    /// GCM must never see a nonce twice under one key. This one has the SSRC and the index in it, which [`super::Outbound`] uses once; the
    /// streams have keys of their own.
    fn nonce(&self, place: Place) -> Nonce {
        let [_, _, _, _, nonce @ ..] = place.salted(self.salt).to_be_bytes();
        Nonce::assume_unique_for_key(nonce)
    }
}

/// RFC 3711 §4.2: the packet and the word, under a state that has the key in it already.
#[inline]
fn authenticate(keyed: &Hmac<Sha1>, packet: &[u8], place: Place) -> Hmac<Sha1> {
    keyed.clone().chain_update(packet).chain_update(place.word)
}

/// RFC 7714 §9.3: what is clear, and the word, though that does not stand behind it.
fn with_word(head: &[u8], place: Place) -> Option<Aad<ArrayVec<u8, { limits::RTP_BYTES_MAX + WORD_BYTES }>>> {
    let mut associated = ArrayVec::new();
    associated.try_extend_from_slice(head).ok()?;
    associated.try_extend_from_slice(&place.word).ok()?;
    Some(Aad::from(associated))
}

/// Writes behind the first `length` bytes; the new length.
#[inline]
fn append(buffer: &mut [u8], length: usize, bytes: &[u8]) -> Option<usize> {
    let end = length.checked_add(bytes.len())?;
    buffer.get_mut(length..end)?.copy_from_slice(bytes);
    Some(end)
}

impl fmt::Debug for Transform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transform").field("stream", &self.stream).finish_non_exhaustive()
    }
}
