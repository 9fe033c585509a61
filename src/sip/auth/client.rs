//! Digest as the client does it (RFC 7616 §3.4, RFC 3261 §22.2, RFC 8760 §2.4), for requests of ours to a trunk.
//! Not here: when to answer a challenge. The caller's rules are: only of a trunk that has credentials, and one retry at most.

use super::algorithm::Proof;
use super::{Algorithm, Secrets};
use crate::secret::Secret;
use crate::sip::wire::{AuthParams, Header, Message, Start};

/// Who we are to a trunk.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The user name.
    pub username: String,
    /// The one realm whose challenges are answered: a proof for another would be a proof for somebody else. `None`: whatever the
    /// trunk calls itself.
    pub realm: Option<String>,
    /// The password.
    pub password: Secret<String>,
}

/// The header with which a request is to be sent again after a 401 or 407, name and value. `method` and `uri` are the new
/// request's; `cnonce` is fresh chance, letters and digits. `None`: no challenge in it is one that we answer, of our realm with
/// an algorithm that we know. Of several, the strongest algorithm is used, whatever their order.
pub fn answer(
    response: &Message<'_>,
    credentials: &Credentials,
    method: &[u8],
    uri: &str,
    cnonce: &str,
) -> Option<(&'static str, String)> {
    let (asks, answers) = match response.start() {
        Start::Response { status: 401, .. } => (Header::WwwAuthenticate, "Authorization"),
        Start::Response { status: 407, .. } => (Header::ProxyAuthenticate, "Proxy-Authorization"),
        Start::Response { .. } | Start::Request { .. } => return None,
    };
    value(response.headers(asks), credentials, method, uri, cnonce).map(|value| (answers, value))
}

/// The value for the challenges in these lines.
pub(super) fn value<'l>(
    lines: impl Iterator<Item = &'l [u8]>,
    credentials: &Credentials,
    method: &[u8],
    uri: &str,
    cnonce: &str,
) -> Option<String> {
    let challenges = lines.filter_map(|line| Challenge::read(&AuthParams::parse(line)?));
    let ours = challenges.filter(|one| credentials.realm.as_ref().is_none_or(|realm| *realm == one.realm));
    // Of equals the first, which the server would rather have.
    let challenge = ours.reduce(|best, next| if next.algorithm > best.algorithm { next } else { best })?;
    Some(challenge.answered(credentials, method, uri, cnonce))
}

/// The count of a nonce that was not used before: each challenge is answered once.
const FIRST: &str = "00000001";

struct Challenge {
    realm: String,
    nonce: String,
    opaque: Option<String>,
    algorithm: Algorithm,
    /// `qop=auth`. Without: RFC 2069's form, which RFC 3261 §22.4 keeps.
    auth: bool,
}

impl Challenge {
    /// `None` for one that we cannot answer.
    fn read(value: &AuthParams<'_>) -> Option<Challenge> {
        let text = |name| value.get(name).map(|text| text.into_owned());
        let algorithm = value.get("algorithm").map_or(Some(Algorithm::Md5), |word| Algorithm::from_word(&word))?;
        let qops = value.get("qop");
        let auth = qops.as_ref().is_some_and(|qops| qops.split(',').any(|qop| qop.trim().eq_ignore_ascii_case("auth")));
        let challenge =
            Challenge { realm: text("realm")?, nonce: text("nonce")?, opaque: text("opaque"), algorithm, auth };
        let texts = [Some(&challenge.realm), Some(&challenge.nonce), challenge.opaque.as_ref()];
        // They go into a header of ours.
        let writable = !texts.into_iter().flatten().any(|text| text.chars().any(char::is_control));
        (value.is("Digest") && writable && (auth || qops.is_none())).then_some(challenge)
    }

    fn answered(&self, credentials: &Credentials, method: &[u8], uri: &str, cnonce: &str) -> String {
        let username = &credentials.username;
        let secrets = Secrets::new(username, &self.realm, credentials.password.expose());
        let proof = Proof { method, uri, nonce: &self.nonce, qop: self.auth.then_some((FIRST, cnonce)) };
        let response = proof.response(self.algorithm, &secrets);
        let (username, realm, nonce, uri) = (quoted(username), quoted(&self.realm), quoted(&self.nonce), quoted(uri));
        let algorithm = self.algorithm.as_str();
        let mut value = format!(
            "Digest username={username}, realm={realm}, nonce={nonce}, uri={uri}, response=\"{response}\", algorithm={algorithm}"
        );
        if self.auth {
            value.push_str(&format!(", qop=auth, nc={FIRST}, cnonce=\"{cnonce}\""));
        }
        if let Some(opaque) = &self.opaque {
            value.push_str(&format!(", opaque={}", quoted(opaque)));
        }
        value
    }
}

/// `quoted-string` (RFC 3261 §25.1).
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials(realm: Option<&str>) -> Credentials {
        let password = Secret::new("Circle of Life".to_owned());
        Credentials { username: "Mufasa".into(), realm: realm.map(str::to_owned), password }
    }

    fn answered(realm: Option<&str>, challenges: &[&str]) -> Option<String> {
        let lines = challenges.iter().map(|line| line.as_bytes());
        value(lines, &credentials(realm), b"GET", "/dir/index.html", "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ")
    }

    const MD5: &str = "Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", algorithm=MD5, \
        nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\"";

    /// RFC 7616 §3.9.1.
    #[test]
    fn the_rfcs_example_comes_out() {
        let sha256 = MD5.replace("MD5", "SHA-256");
        assert_eq!(
            answered(Some("http-auth@example.org"), &[MD5, &sha256]).unwrap(),
            "Digest username=\"Mufasa\", realm=\"http-auth@example.org\", nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", \
             uri=\"/dir/index.html\", response=\"753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1\", \
             algorithm=SHA-256, qop=auth, nc=00000001, cnonce=\"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ\", \
             opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""
        );
        assert!(answered(None, &[MD5]).unwrap().contains("response=\"8ca523f5e9506fed4657c9700eebdbec\""));
    }

    #[test]
    fn only_challenges_of_our_realm_that_we_know_are_answered() {
        let with = |from: &str, to: &str| {
            assert!(MD5.contains(from), "{from}");
            MD5.replacen(from, to, 1)
        };
        let stronger_elsewhere = with("algorithm=MD5", "algorithm=SHA-512-256").replace("example.org", "other.example");
        for (realm, challenge, expected) in [
            (Some("http-auth@example.org"), MD5.to_owned(), true),
            (Some("other"), MD5.to_owned(), false),
            (Some("HTTP-AUTH@example.org"), MD5.to_owned(), false),
            (None, with("algorithm=MD5, ", ""), true),
            (None, with("algorithm=MD5", "algorithm=\"md5\""), true),
            (None, with("algorithm=MD5", "algorithm=MD5-sess"), false),
            (None, with("qop=\"auth, auth-int\", ", ""), true),
            (None, with("auth, auth-int", "auth-int"), false),
            (None, with("Digest", "Basic"), false),
            (None, with("nonce=", "once="), false),
            (None, with("FQhe", "\\\u{1}"), false),
            (None, "Bearer realm=\"x\"".into(), false),
            (None, "Negotiate".into(), false),
        ] {
            assert_eq!(answered(realm, &[&challenge]).is_some(), expected, "{challenge}");
        }
        let value = answered(Some("http-auth@example.org"), &[&stronger_elsewhere, MD5]).unwrap();
        assert!(value.contains("algorithm=MD5"), "{value}");
        assert_eq!(answered(None, &[]), None);
    }

    #[test]
    fn a_401_and_a_407_have_each_their_header() {
        let response = |status: &str, header: &str| {
            format!(
                "SIP/2.0 {status} x\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKx\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>;tag=2\r\n\
                 Call-ID: 1\r\nCSeq: 1 REGISTER\r\n{header}: {MD5}\r\nContent-Length: 0\r\n\r\n"
            )
        };
        for (status, header, expected) in [
            ("401", "WWW-Authenticate", Some("Authorization")),
            ("407", "Proxy-Authenticate", Some("Proxy-Authorization")),
            ("401", "Proxy-Authenticate", None),
            ("403", "WWW-Authenticate", None),
        ] {
            let text = response(status, header);
            let response = Message::parse(text.as_bytes()).unwrap();
            let answer = answer(&response, &credentials(None), b"REGISTER", "sip:b", "abc");
            assert_eq!(answer.as_ref().map(|(name, _)| *name), expected, "{status} {header}");
            if let Some((_, value)) = answer {
                // What is written can be read.
                assert_eq!(AuthParams::parse(value.as_bytes()).unwrap().get("uri").unwrap(), "sip:b");
            }
        }
    }

    #[test]
    fn what_is_quoted_comes_out_as_it_went_in() {
        let mut odd = credentials(None);
        odd.username = "a\"b\\c".into();
        let value = value([MD5.as_bytes()].into_iter(), &odd, b"GET", "/", "x").unwrap();
        assert_eq!(AuthParams::parse(value.as_bytes()).unwrap().get("username").unwrap(), "a\"b\\c");
    }
}
