//! The hashes of digest and what is computed with them (RFC 7616 §3.4.1 to §3.4.3).
//! Not here: where the parts come from, and whether the result is believed.

use crate::secret::Secret;
use md5::Digest as _;
use ring::digest;

/// A hash, by its name in RFC 7616 §3.3. The `-sess` forms, which no telephone needs, are not among them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Algorithm {
    /// Broken as a hash, but all that many telephones know.
    Md5,
    /// What RFC 8760 §2.1 wants offered.
    Sha256,
    /// SHA-512 cut to 256 bits (FIPS 180-4 §5.3.6.2).
    Sha512256,
}

/// A hash in hexadecimal: 32 or 64 digits.
pub(super) type Hex = String;

impl Algorithm {
    /// All of them, the weakest first.
    pub const ALL: [Algorithm; 3] = [Algorithm::Md5, Algorithm::Sha256, Algorithm::Sha512256];

    /// `SHA-256`.
    pub fn as_str(self) -> &'static str {
        match self {
            Algorithm::Md5 => "MD5",
            Algorithm::Sha256 => "SHA-256",
            Algorithm::Sha512256 => "SHA-512-256",
        }
    }

    /// The algorithm of a word, in any case.
    pub fn from_word(word: &str) -> Option<Algorithm> {
        Algorithm::ALL.into_iter().find(|algorithm| algorithm.as_str().eq_ignore_ascii_case(word))
    }

    /// The hash of parts with colons between them.
    fn hash(self, parts: &[&[u8]]) -> Hex {
        let joined = parts.iter().enumerate().flat_map(|(at, part)| [if at == 0 { &b""[..] } else { b":" }, *part]);
        match self {
            Algorithm::Md5 => {
                let mut context = md5::Md5::new();
                joined.for_each(|part| context.update(part));
                hex(&context.finalize())
            }
            Algorithm::Sha256 => sha(&digest::SHA256, joined),
            Algorithm::Sha512256 => sha(&digest::SHA512_256, joined),
        }
    }
}

fn sha<'p>(algorithm: &'static digest::Algorithm, parts: impl Iterator<Item = &'p [u8]>) -> Hex {
    let mut context = digest::Context::new(algorithm);
    parts.for_each(|part| context.update(part));
    hex(context.finish().as_ref())
}

fn hex(bytes: &[u8]) -> Hex {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
    digits.filter_map(|digit| char::from_digit(u32::from(digit), 16)).collect()
}

/// What is left of a password once it is known whose and where it is: HA1 with each algorithm. With one of them and no password
/// its holder can prove himself in this realm, so they are secrets too.
#[derive(Clone, Debug)]
pub struct Secrets([Secret<String>; Algorithm::ALL.len()]);

impl Secrets {
    /// Of a user's password in a realm.
    pub fn new(username: &str, realm: &str, password: &str) -> Secrets {
        let parts = [username.as_bytes(), realm.as_bytes(), password.as_bytes()];
        Secrets(Algorithm::ALL.map(|algorithm| Secret::new(algorithm.hash(&parts))))
    }

    pub(super) fn of(&self, algorithm: Algorithm) -> &Secret<String> {
        let [md5, sha256, sha512_256] = &self.0;
        match algorithm {
            Algorithm::Md5 => md5,
            Algorithm::Sha256 => sha256,
            Algorithm::Sha512256 => sha512_256,
        }
    }
}

/// What a response is computed of, besides HA1.
#[derive(Clone, Copy)]
pub(super) struct Proof<'p> {
    pub(super) method: &'p [u8],
    /// The `uri` parameter as it is in the header.
    pub(super) uri: &'p str,
    pub(super) nonce: &'p str,
    /// With `qop=auth`: nc as it is written, and cnonce. Without: as in RFC 2069.
    pub(super) qop: Option<(&'p str, &'p str)>,
}

impl Proof<'_> {
    pub(super) fn response(&self, algorithm: Algorithm, secrets: &Secrets) -> Hex {
        let request = algorithm.hash(&[self.method, self.uri.as_bytes()]);
        let secret = secrets.of(algorithm).expose();
        let (nonce, request) = (self.nonce.as_bytes(), request.as_bytes());
        match self.qop {
            Some((count, cnonce)) => {
                algorithm.hash(&[secret.as_bytes(), nonce, count.as_bytes(), cnonce.as_bytes(), b"auth", request])
            }
            None => algorithm.hash(&[secret.as_bytes(), nonce, request]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7616 §3.9.1 and RFC 2617 §3.5, and the same inputs with the hash that those do not print.
    #[test]
    fn the_rfcs_examples_come_out() {
        let proof = Proof {
            method: b"GET",
            uri: "/dir/index.html",
            nonce: "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
            qop: Some(("00000001", "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ")),
        };
        let secrets = Secrets::new("Mufasa", "http-auth@example.org", "Circle of Life");
        for (algorithm, expected) in [
            (Algorithm::Md5, "8ca523f5e9506fed4657c9700eebdbec"),
            (Algorithm::Sha256, "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
            (Algorithm::Sha512256, "430d05014cecc49cab6fbe03176d41a1da86cbfe24a16580e22aaad928d960d0"),
        ] {
            assert_eq!(&*proof.response(algorithm, &secrets), expected, "{algorithm:?}");
        }
        let older = Proof { nonce: "dcd98b7102dd2f0e8b11d0f600bfb0c093", qop: Some(("00000001", "0a4f113b")), ..proof };
        let secrets = Secrets::new("Mufasa", "testrealm@host.com", "Circle Of Life");
        assert_eq!(&*older.response(Algorithm::Md5, &secrets), "6629fae49393a05397450978507c4ef1");
        assert_ne!(&*older.response(Algorithm::Sha256, &secrets), "6629fae49393a05397450978507c4ef1");
    }

    /// With and without qop, computed by another program from RFC 8760's rules.
    #[test]
    fn sip_requests_come_out() {
        let secrets = Secrets::new("alice", "atlanta.example.com", "s3cr3t-\u{c5}");
        let with = |qop| Proof {
            method: b"INVITE",
            uri: "sip:bob@biloxi.example.com",
            nonce: "84a4cc6f3082121f32b42a2187831a9e",
            qop,
        };
        let auth = Some(("00000001", "0a4f113b"));
        for (algorithm, qop, expected) in [
            (Algorithm::Md5, None, "76a3a9dfa7c003392c73b077225a3cca"),
            (Algorithm::Md5, auth, "a6c8d5667bdecce774847acf612ed3c7"),
            (Algorithm::Sha256, None, "d95c5e7f03fa518c0980173a0c7ee27874cf4c50e4c5fad7e423a6cbf0da9dfd"),
            (Algorithm::Sha256, auth, "7039e9321ed4e4b4145522a1e03a17e1f146720704c8f40430ce8a14fed71d8a"),
            (Algorithm::Sha512256, None, "bfa0c56679c440870ec8b0be5d445e8e1b948d90c1d316cb6415970f8d067213"),
            (Algorithm::Sha512256, auth, "810c101f25b594bc2b4d42aa022b9a77dacd78b9e67516423f6303565091baf2"),
        ] {
            assert_eq!(&*with(qop).response(algorithm, &secrets), expected, "{algorithm:?} {qop:?}");
        }
    }

    #[test]
    fn an_algorithm_has_one_word_in_any_case() {
        for algorithm in Algorithm::ALL {
            assert_eq!(Algorithm::from_word(&algorithm.as_str().to_lowercase()), Some(algorithm));
        }
        for word in ["", "MD5-sess", "SHA-512", "SHA256"] {
            assert_eq!(Algorithm::from_word(word), None, "{word}");
        }
    }
}
