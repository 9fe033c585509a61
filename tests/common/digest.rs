//! Digest as a telephone computes it (RFC 7616 §3.4), by the tests' own hand.

use super::Message;
use md5::Digest as _;

/// A user with a password.
#[derive(Clone, Copy)]
pub(crate) struct User<'u> {
    pub(crate) name: &'u str,
    pub(crate) password: &'u str,
}

fn hash(algorithm: &str, text: &str) -> String {
    let bytes = match algorithm {
        "MD5" => md5::Md5::digest(text.as_bytes()).to_vec(),
        "SHA-256" => ring::digest::digest(&ring::digest::SHA256, text.as_bytes()).as_ref().to_vec(),
        _ => panic!("{algorithm}: the tests do not know it"),
    };
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A parameter of a challenge.
pub(crate) fn parameter<'c>(challenge: &'c str, name: &str) -> Option<&'c str> {
    let params = challenge.strip_prefix("Digest ")?.split(", ");
    params
        .filter_map(|param| param.split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value.trim_matches('"'))
}

/// The Authorization line that answers the challenge with this algorithm in a 401.
pub(crate) fn answer(
    refusal: &Message,
    algorithm: &str,
    user: User<'_>,
    (method, uri): (&str, &str),
    count: u32,
) -> String {
    let mut challenges = refusal.all("www-authenticate");
    let challenge = challenges.find(|value| parameter(value, "algorithm") == Some(algorithm));
    let challenge = challenge.unwrap_or_else(|| panic!("no {algorithm} in {refusal:#?}"));
    let (realm, nonce) = (parameter(challenge, "realm").unwrap(), parameter(challenge, "nonce").unwrap());
    assert_eq!(parameter(challenge, "qop"), Some("auth"));
    let (count, cnonce) = (format!("{count:08x}"), super::unique());
    let User { name, password } = user;
    let ours = hash(algorithm, &format!("{name}:{realm}:{password}"));
    let theirs = hash(algorithm, &format!("{method}:{uri}"));
    let response = hash(algorithm, &format!("{ours}:{nonce}:{count}:{cnonce}:auth:{theirs}"));
    format!(
        "Authorization: Digest username=\"{name}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", response=\"{response}\", \
         algorithm={algorithm}, qop=auth, nc={count}, cnonce=\"{cnonce}\"\r\n"
    )
}
