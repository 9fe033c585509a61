//! Why not: one closed list of stable ids, the same in the SIP `Warning`, the HTTP problem document, the record and the log.
//! Not here: status codes (`http` and `sip` choose them) and what an unauthenticated stranger may be told of them.

use std::fmt;

/// Why something was refused. An id, once published, keeps its meaning.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Reason {
    /// No credential came with the request.
    NoCredential,
    /// The JWT is too long, no JWS in compact form, no JSON, or its claims are not as they must be.
    TokenMalformed,
    /// The JWT is past its `exp`.
    TokenExpired,
    /// The JWT is before its `nbf` or `iat`.
    TokenNotYetValid,
    /// The JWT is for somebody else.
    TokenWrongAudience,
    /// The JWT was not signed by the key it names, or was changed since.
    TokenBadSignature,
    /// The JWT names a key that is not ours, or none where there are several.
    TokenUnknownKey,
    /// The JWT's `alg` is not its key's, or it demands something of us that we do not do.
    TokenAlgorithm,
    /// The JWT of a helper library is for nobody, or for somebody whose identity is no name.
    TokenIdentity,
    /// The user is unknown, or the proof of the password is wrong; which, nobody is told.
    PasswordWrong,
    /// The proof is right, but for a challenge that is too old or was answered before.
    NonceStale,
    /// The grants do not cover receiving for this name.
    NameNotGranted,
    /// The grants do not cover answering calls for this name.
    BridgeNotGranted,
    /// The grants do not cover handing calls to this name.
    TransferNotGranted,
    /// The grants do not cover writing to this name or number.
    MessageNotGranted,
    /// The grants do not cover knowing who is there under this name.
    PresenceNotGranted,
    /// The grants do not cover a URI that can be dialled, or a dialled URI is used for something else than answering.
    DialNotGranted,
    /// The grants do not cover this kind of media.
    MediaNotGranted,
    /// The subject has as many bridges as it may have.
    ConcurrencyExceeded,
    /// The grants do not cover requests from this address.
    SourceNotGranted,
    /// The grants do not cover this time.
    TimeNotGranted,
    /// The grants do not cover calls to this number.
    CalledNotGranted,
    /// The subject has answered as many calls as it may.
    CallsExceeded,
    /// The subject has answered as many calls in this hour, or on this day, as it may.
    RateExceeded,
    /// Calls of so many subjects are counted that there is no room for one more.
    CallsUncounted,
    /// None of the operator's rules applies.
    NoRule,
    /// No engine could decide: it failed, or its server did, or was too slow.
    PolicyUnavailable,
    /// One of the operator's rules says no; or an external engine did and gave no reason of this list.
    PolicyDenied,
}

impl Reason {
    /// All of them, in the order above.
    pub const ALL: [Reason; 28] = [
        Reason::NoCredential,
        Reason::TokenMalformed,
        Reason::TokenExpired,
        Reason::TokenNotYetValid,
        Reason::TokenWrongAudience,
        Reason::TokenBadSignature,
        Reason::TokenUnknownKey,
        Reason::TokenAlgorithm,
        Reason::TokenIdentity,
        Reason::PasswordWrong,
        Reason::NonceStale,
        Reason::NameNotGranted,
        Reason::BridgeNotGranted,
        Reason::TransferNotGranted,
        Reason::MessageNotGranted,
        Reason::PresenceNotGranted,
        Reason::DialNotGranted,
        Reason::MediaNotGranted,
        Reason::ConcurrencyExceeded,
        Reason::SourceNotGranted,
        Reason::TimeNotGranted,
        Reason::CalledNotGranted,
        Reason::CallsExceeded,
        Reason::RateExceeded,
        Reason::CallsUncounted,
        Reason::NoRule,
        Reason::PolicyUnavailable,
        Reason::PolicyDenied,
    ];

    /// The stable id: `token_expired`.
    pub fn as_str(self) -> &'static str {
        self.texts().0
    }

    /// The last part of the HTTP problem type (RFC 9457 §3.1.1): `token-expired`.
    pub fn slug(self) -> &'static str {
        self.texts().1
    }

    /// One sentence for people, without a full stop; fit for the problem document's `title` and a SIP `Warning` text.
    pub fn title(self) -> &'static str {
        self.texts().2
    }

    fn texts(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Reason::NoCredential => ("no_credential", "no-credential", "No credential was presented"),
            Reason::TokenMalformed => ("token_malformed", "token-malformed", "The access token cannot be read"),
            Reason::TokenExpired => ("token_expired", "token-expired", "The access token has expired"),
            Reason::TokenNotYetValid => {
                ("token_not_yet_valid", "token-not-yet-valid", "The access token is not valid yet")
            }
            Reason::TokenWrongAudience => {
                ("token_wrong_audience", "token-wrong-audience", "The access token is for another service")
            }
            Reason::TokenBadSignature => {
                ("token_bad_signature", "token-bad-signature", "The access token's signature is wrong")
            }
            Reason::TokenUnknownKey => (
                "token_unknown_key",
                "token-unknown-key",
                "The access token was signed with a key that is not known here",
            ),
            Reason::TokenAlgorithm => {
                ("token_algorithm", "token-algorithm", "The access token's algorithm is not its key's")
            }
            Reason::TokenIdentity => {
                ("token_identity", "token-identity", "The access token's identity is not fit to be a name")
            }
            Reason::PasswordWrong => ("password_wrong", "password-wrong", "The user name or the password is wrong"),
            Reason::NonceStale => ("nonce_stale", "nonce-stale", "The challenge that was answered is used up"),
            Reason::NameNotGranted => ("name_not_granted", "name-not-granted", "This name is not granted"),
            Reason::BridgeNotGranted => {
                ("bridge_not_granted", "bridge-not-granted", "Answering calls for this name is not granted")
            }
            Reason::TransferNotGranted => {
                ("transfer_not_granted", "transfer-not-granted", "Handing a call to this name is not granted")
            }
            Reason::MessageNotGranted => {
                ("message_not_granted", "message-not-granted", "Writing to this name or number is not granted")
            }
            Reason::PresenceNotGranted => {
                ("presence_not_granted", "presence-not-granted", "Knowing who is there under this name is not granted")
            }
            Reason::DialNotGranted => {
                ("dial_not_granted", "dial-not-granted", "Dialling without a further credential is not granted")
            }
            Reason::MediaNotGranted => ("media_not_granted", "media-not-granted", "This kind of media is not granted"),
            Reason::ConcurrencyExceeded => {
                ("concurrency_exceeded", "concurrency-exceeded", "No more calls at the same time are granted")
            }
            Reason::SourceNotGranted => {
                ("source_not_granted", "source-not-granted", "This is not granted from this address")
            }
            Reason::TimeNotGranted => ("time_not_granted", "time-not-granted", "This is not granted at this time"),
            Reason::CalledNotGranted => {
                ("called_not_granted", "called-not-granted", "Calls to this number are not granted")
            }
            Reason::CallsExceeded => ("calls_exceeded", "calls-exceeded", "No more calls are granted"),
            Reason::RateExceeded => ("rate_exceeded", "rate-exceeded", "No more calls are granted for now"),
            Reason::CallsUncounted => {
                ("calls_uncounted", "calls-uncounted", "Calls are limited and cannot be counted now")
            }
            Reason::NoRule => ("no_rule", "no-rule", "No rule allows it"),
            Reason::PolicyUnavailable => {
                ("policy_unavailable", "policy-unavailable", "No decision could be had, so the answer is no")
            }
            Reason::PolicyDenied => ("policy_denied", "policy-denied", "The policy does not allow it"),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_reason_has_an_id_a_slug_and_a_sentence_of_its_own() {
        let ids: BTreeSet<&str> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        let titles: BTreeSet<&str> = Reason::ALL.iter().map(|reason| reason.title()).collect();
        assert_eq!((ids.len(), titles.len()), (Reason::ALL.len(), Reason::ALL.len()));
        for reason in Reason::ALL {
            assert_eq!(reason.slug(), reason.as_str().replace('_', "-"));
            assert!(reason.as_str().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'));
            assert!(!reason.title().ends_with('.') && reason.title().is_ascii() && !reason.title().contains('"'));
        }
    }
}
