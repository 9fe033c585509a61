//! The bridge token: what the notification hands to a client, and what the client's callback must bring (PRODUCT "The bridge
//! token"). [`seal`] makes one, [`open`] turns one back into a [`Claim`], and nothing else can make a [`Claim`].
//!
//! Not here: whether the call still waits (`switch`), and who may answer it (`policy`). *A token that is brought twice opens
//! twice*: it is dead as soon as its leg is no longer parked in the generation it names, and only the switch knows that.
//!
//! ```text
//!   0        1      5             21                    85              101
//!   | v1 = 1 | kid  | salt        | ciphertext          | tag            |      base64url without padding: 135 characters
//!            | 2 node, 2 master   |
//!                                 | node 8 | call 16 | generation 4 | expires 8 | subject 16 | record 1 | 11 × 0 |
//! ```
//! HKDF-SHA256 (RFC 5869) of the node's master with the token's own salt gives a key for this token alone; AES-256-GCM
//! (NIST SP 800-38D) seals with it once, so its nonce is zero and there is no counter to lose in a crash. The version, the kid
//! and the [`Audience`] are associated data: they are not inside, and a token does not open with any other.

mod claims;
mod keys;

pub use claims::{Audience, Claim, Contents, RecordRule, SubjectHash};
pub use keys::Keys;

use crate::mutant::{Mutant, planted};
use crate::rng::Rng;
use crate::secret::Secret;
use crate::time::Wall;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use claims::PLAIN_BYTES;
use keys::{KID_BYTES, Master, SALT_BYTES};
use ring::aead::{Aad, LessSafeKey, Nonce, Tag};
use ring::digest;
use std::fmt;

/// Characters of every token: 101 bytes in base64url without padding. No token is shorter or longer.
pub const TEXT_CHARS: usize = 135;

const VERSION: u8 = 1;
const TAG_BYTES: usize = 16;
const SEALED_BYTES: usize = 1 + KID_BYTES + SALT_BYTES + PLAIN_BYTES + TAG_BYTES;
/// The first part of the associated data: tells a bridge token from whatever else these masters may one day seal.
const PURPOSE: &[u8] = b"parkway-bridge";
const _: () = assert!(SEALED_BYTES == 101 && TEXT_CHARS == (SEALED_BYTES * 8).div_ceil(6));

/// A sealed token. It cannot be printed or compared; take the text out with [`Token::expose`], and log [`Token::hash`].
pub struct Token(Secret<String>);

impl Token {
    /// The text, for the event that carries it to the client and for nothing else.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// What a log may say of it.
    pub fn hash(&self) -> LogHash {
        log_hash(self.expose().as_bytes())
    }
}

/// The first six bytes of a token's SHA-256: enough to follow one token through the logs, useless to whoever reads them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LogHash([u8; 6]);

impl fmt::Display for LogHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// No token of ours, or not for this audience, or too old. One answer for every way to be wrong: whoever guesses learns nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Invalid;

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the bridge token is not valid")
    }
}

impl std::error::Error for Invalid {}

/// Seals `contents` for one audience with the newest key. `rng` gives the salt.
///
/// `contents.node` is [`Keys::node`], and for [`Audience::Client`] `contents.subject` is the hash of that subject; anything else
/// is our mistake, and the token would not open.
pub fn seal(keys: &Keys, rng: &mut Rng, contents: &Contents, audience: &Audience<'_>) -> Token {
    debug_assert!(is_ours(keys, contents, audience), "a token is sealed by its own node and for its own subject");
    let master = keys.newest();
    let mut salt = [0; SALT_BYTES];
    rng.fill(&mut salt);
    let mut body = contents.to_bytes();
    let tag = LessSafeKey::new(master.token_key(&salt))
        .seal_in_place_separate_tag(zero_nonce(), associated(master.kid(), audience), &mut body)
        .expect("64 bytes are far below AES-GCM's limit");
    let sealed = [&[VERSION], &master.kid()[..], &salt, &body, tag.as_ref()].concat();
    Token(Secret::new(BASE64_URL_SAFE_NO_PAD.encode(sealed)))
}

/// Opens a token that was brought by `audience`, as the caller knows it from the client's own credential, never from the token.
///
/// Good while `now` is before its expiry, however often it is brought: see the module's door comment about replay.
pub fn open(keys: &Keys, now: Wall, text: &[u8], audience: &Audience<'_>) -> Result<Claim, Invalid> {
    open_if(keys, now, text, audience, |contents| now < contents.expires)
}

/// The same for whoever knows the call that the token is for: `is_in_date` may judge by something better than a wall clock that can be
/// set. It is asked only about what one of our keys has opened.
pub fn open_if(
    keys: &Keys,
    now: Wall,
    text: &[u8],
    audience: &Audience<'_>,
    is_in_date: impl FnOnce(&Contents) -> bool,
) -> Result<Claim, Invalid> {
    let sealed = Sealed::parse(text).ok_or(Invalid)?;
    let mut masters = keys.opening(sealed.kid, now).peekable();
    if masters.peek().is_none() {
        // An unknown kid costs the same work as a known one, so that time does not tell which kids we have.
        let _ = std::hint::black_box(sealed.open_with(keys.newest(), audience));
    }
    let contents = masters.find_map(|master| sealed.open_with(master, audience)).ok_or(Invalid)?;
    let in_date = is_in_date(&contents) || planted(Mutant::TokenExpiry);
    let ours = is_ours(keys, &contents, audience);
    if in_date & ours { Ok(Claim { contents, dial: matches!(audience, Audience::Dial) }) } else { Err(Invalid) }
}

/// Whether a text has a token's length and alphabet, so that the user part of a Request-URI is worth a try at [`open`].
/// A name or a telephone number never does; a yes promises nothing.
pub fn looks_like(text: &[u8]) -> bool {
    text.len() == TEXT_CHARS && text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte))
}

/// What a log may say of a text that was brought as a token, good or not.
pub fn log_hash(text: &[u8]) -> LogHash {
    let digest = digest::digest(&digest::SHA256, text);
    LogHash(digest.as_ref().first_chunk().copied().unwrap_or_default())
}

/// A token's parts, read but not yet believed.
#[derive(Clone, Copy)]
struct Sealed {
    kid: [u8; KID_BYTES],
    salt: [u8; SALT_BYTES],
    body: [u8; PLAIN_BYTES],
    tag: Tag,
}

impl Sealed {
    fn parse(text: &[u8]) -> Option<Sealed> {
        if text.len() != TEXT_CHARS {
            return None;
        }
        let mut bytes = [0; SEALED_BYTES];
        // The decoder refuses padding and a last character with stray bits (RFC 4648 §3.5): one token has one spelling.
        let length = BASE64_URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).ok()?;
        let (version, rest) = bytes.get(..length)?.split_first()?;
        let (kid, rest) = rest.split_first_chunk()?;
        let (salt, rest) = rest.split_first_chunk()?;
        let (body, tag) = rest.split_first_chunk()?;
        let tag = Tag::try_from(tag).ok()?;
        (*version == VERSION).then_some(Sealed { kid: *kid, salt: *salt, body: *body, tag })
    }

    fn open_with(mut self, master: &Master, audience: &Audience<'_>) -> Option<Contents> {
        let key = LessSafeKey::new(master.token_key(&self.salt));
        key.open_in_place_separate_tag(zero_nonce(), associated(self.kid, audience), self.tag, &mut self.body, 0..)
            .ok()?;
        Contents::from_bytes(&self.body)
    }
}

/// What every token of this ring for this audience says inside.
fn is_ours(keys: &Keys, contents: &Contents, audience: &Audience<'_>) -> bool {
    let of_its_subject = match audience {
        Audience::Client { subject, .. } => {
            contents.subject == SubjectHash::of(subject) || planted(Mutant::TokenAudience)
        }
        Audience::Dial => true,
    };
    contents.node == keys.node() && of_its_subject
}

fn associated(kid: [u8; KID_BYTES], audience: &Audience<'_>) -> Aad<Vec<u8>> {
    let mut data = Vec::with_capacity(PURPOSE.len() + 1 + KID_BYTES + 128);
    data.extend_from_slice(PURPOSE);
    data.push(VERSION);
    data.extend_from_slice(&kid);
    if !planted(Mutant::TokenAudience) {
        audience.write(&mut data);
    }
    Aad::from(data)
}

/// Each key seals one token, so every nonce is the first and only one (NIST SP 800-38D §8).
fn zero_nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; ring::aead::NONCE_LEN])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::CallId;
    use crate::limits;
    use crate::name::Name;
    use crate::time::Duration;
    use proptest::prelude::{any, prop_assert, proptest};

    const MASTER: [u8; 32] = [0x11; 32];
    const OTHER: [u8; 32] = [0x22; 32];
    const NOON: Wall = Wall(1_795_000_000_000);

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    fn keys() -> Keys {
        Keys::new(7, MASTER)
    }

    fn contents() -> Contents {
        let call = CallId(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
        let subject = SubjectHash::of("alice-web");
        Contents { node: 7, call, generation: 3, expires: NOON + Duration::from_secs(60), subject, record: None }
    }

    fn sealed_by(keys: &Keys, audience: &Audience<'_>) -> Token {
        seal(keys, &mut Rng::from_seed([5; 32]), &contents(), audience)
    }

    fn opens(text: &[u8], audience: &Audience<'_>) -> bool {
        open(&keys(), NOON, text, audience).is_ok()
    }

    #[test]
    fn what_was_sealed_is_what_opens() {
        let foo = name("foo");
        for audience in [Audience::Client { name: &foo, subject: "alice-web" }, Audience::Dial] {
            let token = sealed_by(&keys(), &audience);
            let claim = open(&keys(), NOON, token.expose().as_bytes(), &audience).unwrap();
            let expected = contents();
            assert_eq!((claim.node(), claim.call(), claim.generation()), (7, expected.call, 3));
            assert_eq!((claim.expires(), claim.subject()), (expected.expires, expected.subject));
            assert_eq!(claim.dial(), audience == Audience::Dial);
        }
    }

    #[test]
    fn tokens_stay_readable_from_one_release_to_the_next() {
        // Node 7, master of 0x11, salt 00..0f, the contents above; made with another implementation of HKDF and AES-GCM.
        let foo = name("foo");
        let common = "AVmsMYoAAQIDBAUGBwgJCgsMDQ4PPMD_3Yy-YJGOCrpyjinNMFo20V2Xez5jEA0UMfzE7kkmYNKdKlwNARzfD4_8EmgFVjjHmDeps8hKlvKNHhP4g";
        for (audience, tag) in [
            (Audience::Client { name: &foo, subject: "alice-web" }, "SHflZn0XqulcUD7EsHUq6M"),
            (Audience::Dial, "d1LGI3ubAeoy5OXx4ZO2vs"),
        ] {
            let claim = open(&keys(), NOON, format!("{common}{tag}").as_bytes(), &audience).unwrap();
            assert_eq!(claim.contents, contents());
        }
    }

    #[test]
    fn every_token_has_the_same_length_and_looks_like_one() {
        let (short, long) = (name("a"), name(&"a".repeat(limits::NAME_BYTES_MAX)));
        for audience in [
            Audience::Dial,
            Audience::Client { name: &short, subject: "alice-web" },
            Audience::Client { name: &long, subject: "alice-web" },
        ] {
            let token = sealed_by(&keys(), &audience);
            assert_eq!(token.expose().len(), TEXT_CHARS);
            assert!(looks_like(token.expose().as_bytes()));
        }
    }

    #[test]
    fn what_has_another_length_or_alphabet_does_not_look_like_a_token() {
        let good = "A".repeat(TEXT_CHARS);
        assert!(looks_like(good.as_bytes()));
        for bad in [
            "+4930123456",
            "foo/web",
            "",
            &good[1..],
            &format!("{good}A"),
            &good.replacen('A', "+", 1),
            &good.replacen('A', "=", 1),
        ] {
            assert!(!looks_like(bad.as_bytes()), "{bad:?}");
        }
    }

    #[test]
    fn two_tokens_of_one_call_are_never_the_same() {
        let mut rng = Rng::from_seed([1; 32]);
        let one = seal(&keys(), &mut rng, &contents(), &Audience::Dial);
        let two = seal(&keys(), &mut rng, &contents(), &Audience::Dial);
        assert_ne!(one.expose(), two.expose());
        assert_ne!(one.hash(), two.hash());
    }

    #[test]
    fn a_token_with_any_bit_flipped_is_refused() {
        let token = sealed_by(&keys(), &Audience::Dial);
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(token.expose()).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let text = BASE64_URL_SAFE_NO_PAD.encode(flipped);
            assert!(!opens(text.as_bytes(), &Audience::Dial), "bit {bit}");
        }
        assert_eq!(bytes.len() * 8, 808);
        assert!(opens(token.expose().as_bytes(), &Audience::Dial), "and the untouched one opens");
    }

    #[test]
    fn a_token_with_any_character_changed_is_refused() {
        let token = sealed_by(&keys(), &Audience::Dial);
        let text = token.expose().as_bytes();
        for at in 0..text.len() {
            for other in 0..=255 {
                let mut changed = text.to_vec();
                changed[at] = other;
                assert_eq!(opens(&changed, &Audience::Dial), other == text[at], "{other:#x} at {at}");
            }
        }
    }

    #[test]
    fn a_token_has_one_spelling() {
        // 101 bytes fill 134 2/3 characters: the last one has two bits of nothing, which RFC 4648 §3.5 wants zero.
        let token = sealed_by(&keys(), &Audience::Dial);
        let text = token.expose();
        let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let last = alphabet.iter().position(|letter| *letter == text.as_bytes()[TEXT_CHARS - 1]).unwrap();
        assert_eq!(last % 4, 0);
        for stray in 1..4 {
            let respelled = format!("{}{}", &text[..TEXT_CHARS - 1], char::from(alphabet[last + stray]));
            assert!(!opens(respelled.as_bytes(), &Audience::Dial), "stray bits {stray}");
        }
    }

    #[test]
    fn what_is_cut_extended_or_no_base64url_is_refused() {
        let token = sealed_by(&keys(), &Audience::Dial);
        let text = token.expose();
        for bad in [
            String::new(),
            text[1..].into(),
            text[..TEXT_CHARS - 1].into(),
            format!("{text}A"),
            format!("{text}="),
            format!(" {text}"),
            format!("{text}\r\n"),
            format!("{}=", &text[..TEXT_CHARS - 1]),
            format!("+{}", &text[1..]),
            format!("%{}", &text[1..]),
            text.to_ascii_uppercase(),
            "\u{e9}".repeat(67) + "a",
            "A".repeat(TEXT_CHARS),
            "A".repeat(100_000),
        ] {
            assert!(!opens(bad.as_bytes(), &Audience::Dial), "{bad:?}");
        }
    }

    #[test]
    fn a_token_opens_for_its_own_audience_alone() {
        let (foo, web, fooa) = (name("foo"), name("foo/web"), name("fooa"));
        let client = |name, subject| Audience::Client { name, subject };
        let own = client(&foo, "alice-web");
        let (of_client, of_dial) = (sealed_by(&keys(), &own), sealed_by(&keys(), &Audience::Dial));
        for (token, audience, expected, rule) in [
            (&of_client, own, true, "its own"),
            (&of_client, client(&web, "alice-web"), false, "a name below"),
            (&of_client, client(&foo, "alice-mobile"), false, "another subject"),
            (&of_client, client(&foo, ""), false, "no subject"),
            (&of_client, client(&foo, "Alice-Web"), false, "case counts"),
            (&of_client, client(&fooa, "lice-web"), false, "the border between name and subject"),
            (&of_client, Audience::Dial, false, "possession does not do for a client's token"),
            (&of_dial, Audience::Dial, true, "possession does for a dial token"),
            (&of_dial, own, false, "a dial token is not the client's own"),
        ] {
            assert_eq!(opens(token.expose().as_bytes(), &audience), expected, "{rule}");
        }
    }

    #[test]
    fn a_token_is_good_before_its_expiry_and_not_at_it() {
        let token = sealed_by(&keys(), &Audience::Dial);
        let expires = contents().expires.0;
        for (now, expected) in
            [(0, true), (expires - 1, true), (expires, false), (expires + 1, false), (u64::MAX, false)]
        {
            let opened = open(&keys(), Wall(now), token.expose().as_bytes(), &Audience::Dial);
            assert_eq!(opened.is_ok(), expected, "at {now}");
        }
    }

    #[test]
    fn a_token_brought_twice_opens_twice_because_only_the_switch_knows() {
        let token = sealed_by(&keys(), &Audience::Dial);
        assert!((0..2).all(|_| opens(token.expose().as_bytes(), &Audience::Dial)));
    }

    #[test]
    fn another_nodes_or_masters_token_is_refused() {
        let token = sealed_by(&keys(), &Audience::Dial);
        for (keys, expected, rule) in [
            (Keys::new(7, MASTER), true, "the same after a restart"),
            (Keys::new(7, OTHER), false, "another master"),
            (Keys::new(8, MASTER), false, "another node that was given a copy of the master"),
        ] {
            assert_eq!(open(&keys, NOON, token.expose().as_bytes(), &Audience::Dial).is_ok(), expected, "{rule}");
        }
    }

    #[test]
    fn a_token_of_a_later_version_or_with_unknown_flags_is_refused() {
        let mut plain = contents().to_bytes();
        assert_eq!(Contents::from_bytes(&plain), Some(contents()));
        for (at, flag) in (53..PLAIN_BYTES).map(|at| (at, 1)).chain([(52, 3), (52, 0xFF)]) {
            plain[at] = flag;
            assert_eq!(Contents::from_bytes(&plain), None, "flag byte {at}");
            plain[at] = 0;
        }
    }

    #[test]
    fn what_the_grant_says_of_recording_goes_along_whoever_brings_the_token() {
        for record in [None, Some(RecordRule::Require), Some(RecordRule::Forbid)] {
            let contents = Contents { record, ..contents() };
            let token = seal(&keys(), &mut Rng::from_seed([5; 32]), &contents, &Audience::Dial);
            let claim = open(&keys(), NOON, token.expose().as_bytes(), &Audience::Dial).unwrap();
            assert_eq!((claim.record(), token.expose().len()), (record, TEXT_CHARS));
        }
    }

    #[test]
    fn after_a_rotation_the_new_master_seals_and_the_old_opens_until_it_is_retired() {
        let (first, end) = (keys(), NOON + limits::TOKEN_LIFE_MAX);
        let second = first.rotate(OTHER, NOON);
        let long = Contents { expires: Wall(u64::MAX), ..contents() };
        let old = seal(&first, &mut Rng::from_seed([5; 32]), &long, &Audience::Dial);
        let new = seal(&second, &mut Rng::from_seed([6; 32]), &long, &Audience::Dial);
        let just_before = Wall(end.0 - 1);
        for (ring, token, now, expected, rule) in [
            (&second, &new, NOON, true, "the new ring opens its own"),
            (&second, &old, NOON, true, "and the old"),
            (&first, &new, NOON, false, "the old ring does not open the new: the new master sealed it"),
            (&second, &old, just_before, true, "up to the longest life of a token"),
            (&second, &old, end, false, "and not past it, retired or not"),
            (&second.retire(just_before), &old, NOON, true, "retiring leaves what is in date"),
            (&second.retire(end), &old, NOON, false, "and drops what is not"),
            (&second.retire(Wall(u64::MAX)), &new, Wall(u64::MAX - 1), true, "but never the one that seals"),
            (&second.rotate(OTHER, end), &new, end, true, "handing in the same master changes nothing"),
            (&second.rotate(MASTER, NOON), &new, NOON, true, "going back to an old master keeps the other"),
            (&second.rotate(MASTER, NOON), &old, Wall(u64::MAX - 1), true, "and makes the old one the newest"),
        ] {
            assert_eq!(open(ring, now, token.expose().as_bytes(), &Audience::Dial).is_ok(), expected, "{rule}");
        }
    }

    #[test]
    fn rotating_without_end_keeps_the_ring_bounded_and_the_last_tokens_good() {
        let mut ring = keys();
        let mut last = Vec::new();
        for round in 0..2 * u64::try_from(limits::TOKEN_MASTERS_MAX).unwrap() {
            last = sealed_by(&ring, &Audience::Dial).expose().as_bytes().to_vec();
            let mut master = [0; 32];
            master[..8].copy_from_slice(&round.to_be_bytes());
            ring = ring.rotate(master, NOON);
            assert!(open(&ring, NOON, &last, &Audience::Dial).is_ok(), "round {round}");
        }
        assert_eq!(format!("{ring:?}"), format!("Keys {{ node: 7, masters: {}, .. }}", limits::TOKEN_MASTERS_MAX));
        assert!(open(&ring, NOON, &last, &Audience::Dial).is_ok());
    }

    #[test]
    fn a_token_leaves_only_a_short_hash_in_a_log() {
        assert_eq!(log_hash(b"abc").to_string(), "ba7816bf8f01", "the start of FIPS 180-4's example");
        let token = sealed_by(&keys(), &Audience::Dial);
        assert_eq!(token.hash(), log_hash(token.expose().as_bytes()));
        assert!(!format!("{:?}", keys()).contains("17"), "no byte of a master");
    }

    proptest! {
        #[test]
        fn random_text_never_opens(text in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(!opens(&text, &Audience::Dial));
        }

        #[test]
        fn random_text_that_looks_like_a_token_never_opens(text in "A[A-Za-z0-9_-]{133}[AEIMQUYcgkosw048]") {
            prop_assert!(looks_like(text.as_bytes()));
            prop_assert!(!opens(text.as_bytes(), &Audience::Dial));
        }
    }
}
