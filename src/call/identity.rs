//! Who calls, as clients and the record are told: From is what the caller says of itself, P-Asserted-Identity what its network says, and
//! Privacy what it wants kept (RFC 3323, RFC 3325).
//! Not here: names of header fields. They are read by `sip::wire` before anything is believed, whatever their case, spaces and folds.

use super::record::uri_text;
use super::route::{Identity, Trunk};
use crate::mutant::{Mutant, planted};
use crate::sip::typed;
use crate::sip::wire::{Head, Header, NameAddr, Scheme};

/// The URI of a caller that wants to be nobody (RFC 3323 §4.1.1.3).
pub(super) const ANONYMOUS: &str = "sip:anonymous@anonymous.invalid";

/// Who calls.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Caller {
    pub(super) uri: String,
    pub(super) display: Option<String>,
}

impl Caller {
    /// As clients are told. A caller's wish to be nobody is kept whoever hands it on.
    pub(super) fn shown(invite: &Head<'_>, trunk: &Trunk) -> Caller {
        if wants_privacy(invite) && !planted(Mutant::PrivacyIgnored) {
            return Caller { uri: ANONYMOUS.into(), display: None };
        }
        let from = || NameAddr::parse(invite.header(Header::From)?).ok();
        let address = asserted(invite, trunk).or_else(from);
        let uri = address.as_ref().map(uri_text).unwrap_or_default();
        // Nobody has no number that a rule could rewrite, whoever wrote it there.
        let uri = if uri == ANONYMOUS { uri } else { trunk.calling.apply_in(uri) };
        Caller { uri, display: address.as_ref().and_then(typed::display_name) }
    }
}

impl Trunk {
    /// The URI of whoever sent a message of this trunk's, by the same rules as for its calls.
    pub fn author_of(&self, request: &Head<'_>) -> String {
        Caller::shown(request, self).uri
    }
}

/// The identity that a trunk vouches for, if it is one that may.
pub(super) fn asserted<'a>(invite: &Head<'a>, trunk: &Trunk) -> Option<NameAddr<'a>> {
    match trunk.identity {
        Identity::From if !planted(Mutant::IdentityBelieved) => None,
        Identity::From | Identity::Asserted => asserted_in(invite),
    }
}

/// RFC 3325 §9.1: one SIP URI, one telephone number, or one of each. Of anything else nobody knows what is meant. The SIP URI counts.
fn asserted_in<'a>(invite: &Head<'a>) -> Option<NameAddr<'a>> {
    let (mut sip, mut tel) = (None, None);
    for value in invite.values(Header::PAssertedIdentity) {
        let address = NameAddr::parse(value).ok()?;
        let place = match address.uri.scheme {
            Scheme::Sip | Scheme::Sips => &mut sip,
            Scheme::Other(scheme) if scheme.eq_ignore_ascii_case(b"tel") => &mut tel,
            Scheme::Other(_) => return None,
        };
        if place.replace(address).is_some() {
            return None;
        }
    }
    sip.or(tel)
}

/// RFC 3323 §4.2, RFC 3325 §7: whoever asks for any of these does not want to be named. The list is one of semicolons; commas, and more
/// than one line, are read as what they mean.
fn wants_privacy(invite: &Head<'_>) -> bool {
    let mut words = invite.headers(Header::Privacy).flat_map(|line| line.split(|byte| matches!(byte, b';' | b',')));
    words.any(|word| [&b"id"[..], b"user", b"header"].iter().any(|kind| word.trim_ascii().eq_ignore_ascii_case(kind)))
}

#[cfg(test)]
mod tests {
    use super::super::rewrite::Rewrite;
    use super::*;

    fn check(identity: Identity, fields: &str, uri: &str, display: Option<&str>) {
        let text = format!("INVITE sip:a SIP/2.0\r\nFrom: \"Me\" <sip:+49301@caller.example>;tag=1\r\n{fields}\r\n");
        let (invite, _) = Head::of_kept(text.as_bytes()).unwrap();
        let trunk = Trunk { identity, ..Trunk::default() };
        let expected = Caller { uri: uri.into(), display: display.map(Into::into) };
        assert_eq!(Caller::shown(&invite, &trunk), expected, "{identity:?} {fields:?}");
    }

    const FROM: &str = "sip:+49301@caller.example";

    #[test]
    fn an_asserted_identity_is_believed_of_a_trunk_that_may_assert_one_and_of_no_other() {
        let fields = "P-Asserted-Identity: \"Real\" <sip:+49302@trunk.example>\r\n";
        check(Identity::Asserted, fields, "sip:+49302@trunk.example", Some("Real"));
        check(Identity::From, fields, FROM, Some("Me"));
        check(Identity::Asserted, "", FROM, Some("Me"));
        // What a caller prefers is for its network to judge.
        check(Identity::Asserted, "P-Preferred-Identity: <sip:x@y.example>\r\n", FROM, Some("Me"));
    }

    #[test]
    fn however_the_name_of_the_header_is_spelled_it_is_that_header() {
        for fields in [
            "p-asserted-identity: <sip:+49302@trunk.example>\r\n",
            "P-ASSERTED-IDENTITY \t : <sip:+49302@trunk.example>\r\n",
            "P-Asserted-Identity:\r\n <sip:+49302@trunk.example>\r\n",
            "P-Asserted-Identity:<sip:+49302@trunk.example>\r\n",
            "P-Asserted-Identity: <sip:+49302@trunk.example>, <tel:+49302>\r\n",
            "P-Asserted-Identity: <tel:+49302>\r\nP-Asserted-Identity: <sip:+49302@trunk.example>\r\n",
        ] {
            check(Identity::Asserted, fields, "sip:+49302@trunk.example", None);
            check(Identity::From, fields, FROM, Some("Me"));
        }
        check(Identity::Asserted, "P-Asserted-Identity: <tel:+49302>\r\n", "tel:+49302", None);
    }

    #[test]
    fn an_assertion_that_could_mean_two_is_none() {
        for fields in [
            "P-Asserted-Identity: <sip:a@b.example>, <sip:c@d.example>\r\n",
            "P-Asserted-Identity: <sip:a@b.example>\r\np-asserted-identity : <sips:a@b.example>\r\n",
            "P-Asserted-Identity: <tel:+1>, <tel:+2>\r\n",
            "P-Asserted-Identity: <sip:a@b.example>, nonsense\r\n",
            "P-Asserted-Identity: <urn:service:sos>\r\n",
            "P-Asserted-Identity:\r\n",
        ] {
            check(Identity::Asserted, fields, FROM, Some("Me"));
        }
    }

    #[test]
    fn a_caller_that_wants_to_be_nobody_is_nobody() {
        let asserted = "P-Asserted-Identity: <sip:+49302@trunk.example>\r\n";
        for privacy in [
            "Privacy: id\r\n",
            "privacy : ID;critical\r\n",
            "Privacy: header;user\r\n",
            "Privacy: user\r\n",
            "Privacy: none\r\nPrivacy:\r\n id\r\n",
            "Privacy: session, id\r\n",
        ] {
            for identity in [Identity::Asserted, Identity::From] {
                check(identity, &format!("{asserted}{privacy}"), ANONYMOUS, None);
            }
        }
        let rules = ["* -> +4930*".to_owned()];
        let trunk = Trunk { calling: Rewrite::parse(&rules).unwrap(), ..Trunk::default() };
        for (fields, uri) in [
            ("Privacy: id\r\nFrom: <sip:1@b.example>\r\n", ANONYMOUS),
            ("From: <sip:anonymous@anonymous.invalid>;tag=1\r\n", ANONYMOUS),
            ("From: <sip:1@b.example>\r\n", "sip:+49301@b.example"),
        ] {
            let text = format!("INVITE sip:a SIP/2.0\r\n{fields}\r\n");
            let (invite, _) = Head::of_kept(text.as_bytes()).unwrap();
            assert_eq!(Caller::shown(&invite, &trunk).uri, uri, "a rule for numbers: {fields:?}");
        }
        for privacy in
            ["Privacy: none\r\n", "Privacy: session\r\n", "Privacy:\r\n", "X-Privacy: id\r\n", "Privacy: idle\r\n"]
        {
            check(Identity::Asserted, &format!("{asserted}{privacy}"), "sip:+49302@trunk.example", None);
        }
    }
}
