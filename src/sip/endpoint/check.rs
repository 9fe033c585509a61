//! What every request is checked for before anybody else sees it (RFC 3261 §8.2.1 to §8.2.3), and the refusals.
//! Not here: what needs a dialog or a transaction to decide, and whether the call is wanted.
//!
//! MESSAGE in a dialog gets 405: nobody in a call reads a text.
//! Statuses that are never sent, and why. 421: we need no extension of anybody. 485: a number has one route, the first that matches.
//! 494: no security agreement is asked for (RFC 3329), so a request that requires one gets 420. 483 for an INVITE with
//! `Max-Forwards: 0`: it ends here as at any user agent, only a proxy must refuse it (RFC 3261 §16.3); what would cross a bridge with
//! it is refused there (`call`).

use super::Reply;
use crate::sip::wire::{Content, Head, Header, Message, Method, NameAddr, Scheme, Start};

/// The methods that are served, as Allow has them. [`is_served`] is the same list.
pub(super) const ALLOW: &str =
    "INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, PRACK, INFO, REFER, REGISTER, SUBSCRIBE, MESSAGE";
/// The kinds of content that an INVITE may have; of a multipart, the one description in it is taken.
pub(super) const CONTENT: &str = "application/sdp, multipart/mixed";
/// The extensions that a request may require (RFC 3261 §8.2.2.3).
const EXTENSIONS: [&str; 3] = [RELIABLE, "timer", "norefersub"];
/// The option tag of reliable provisional responses (RFC 3262 §8.1).
pub(super) const RELIABLE: &str = "100rel";
/// The same as Supported has them.
pub(super) const SUPPORTED: &str = "100rel, timer, norefersub";
/// Of these, the ones that may be used towards us in the answer to a request of ours.
pub(super) const SUPPORTED_IN_REQUESTS: &str = "timer";

/// Why a request is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Refusal {
    /// 400: a header that a dialog or a registration needs cannot be read.
    Malformed,
    /// 405 (§8.2.1).
    MethodNotAllowed,
    /// 501 (§8.2.1, §21.5.2).
    MethodUnknown,
    /// 416 (§8.2.2.1).
    Scheme,
    /// 420 (§8.2.2.3).
    Extension,
    /// 415, for the kind of content (§8.2.3).
    MediaType,
    /// 415, for its encoding (§8.2.3).
    Encoding,
    /// 406: no session description that we could answer with is acceptable (§21.4.7).
    NotAcceptable,
    /// 417: a priority that must be understood, of a namespace that is not ours (RFC 4412 §4.6.2): none is.
    ResourcePriority,
    /// 481: a dialog is to be replaced (RFC 3891 §3), and we let none be.
    Replaces,
    /// 493: content that is sealed with a key that we have not (§21.4.27).
    Undecipherable,
}

impl Refusal {
    pub(super) fn status(self) -> u16 {
        match self {
            Refusal::Malformed => 400,
            Refusal::MethodNotAllowed => 405,
            Refusal::MethodUnknown => 501,
            Refusal::Scheme => 416,
            Refusal::Extension => 420,
            Refusal::MediaType | Refusal::Encoding => 415,
            Refusal::NotAcceptable => 406,
            Refusal::ResourcePriority => 417,
            Refusal::Replaces => 481,
            Refusal::Undecipherable => 493,
        }
    }

    /// Hands the answer to `send`. `scratch` is for the one header that is not fixed.
    pub(super) fn write(self, request: &Message<'_>, scratch: &mut String, send: impl FnOnce(&Reply<'_>)) {
        let header = match self {
            Refusal::Malformed | Refusal::Scheme | Refusal::NotAcceptable => None,
            Refusal::Replaces | Refusal::Undecipherable => None,
            // An empty list: there is no namespace that would be accepted.
            Refusal::ResourcePriority => Some(("Accept-Resource-Priority", "")),
            Refusal::MethodNotAllowed | Refusal::MethodUnknown => Some(("Allow", ALLOW)),
            Refusal::MediaType => Some(("Accept", CONTENT)),
            Refusal::Encoding => Some(("Accept-Encoding", "identity")),
            Refusal::Extension => {
                unsupported(request, scratch);
                Some(("Unsupported", scratch.as_str()))
            }
        };
        send(&Reply { status: self.status(), reason: None, headers: header.as_slice(), body: None });
    }
}

/// Every option that the request requires and that we do not support (§8.2.2.3).
fn unsupported(request: &Message<'_>, out: &mut String) {
    out.clear();
    for value in required(request).filter(|option| !is_supported(request, option)) {
        if !out.is_empty() {
            out.push_str(", ");
        }
        out.extend(value.iter().filter(|byte| byte.is_ascii_graphic()).map(|byte| char::from(*byte)));
    }
}

/// All that a request requires, of us or of a proxy: we stand where a proxy would.
fn required<'a>(request: &Head<'a>) -> impl Iterator<Item = &'a [u8]> {
    request.values(Header::Require).chain(request.values(Header::ProxyRequire))
}

fn is_supported(request: &Head<'_>, option: &[u8]) -> bool {
    // RFC 3327 §5.2: a proxy may require that its Path is kept.
    let of_registrations = (request.method() == Some(Method::Register)).then_some("path");
    EXTENSIONS.into_iter().chain(of_registrations).any(|extension| option.eq_ignore_ascii_case(extension.as_bytes()))
}

/// What must be understood: extensions, and the namespace of a priority (RFC 4412 §4.6.2).
fn check_required(request: &Message<'_>) -> Result<(), Refusal> {
    let is_priority = |option: &[u8]| option.eq_ignore_ascii_case(b"resource-priority");
    let has_priority = request.other("Resource-Priority").is_some();
    if required(request).all(|option| is_supported(request, option) || is_priority(option) && has_priority) {
        return if required(request).any(is_priority) { Err(Refusal::ResourcePriority) } else { Ok(()) };
    }
    Err(Refusal::Extension)
}

fn is_served(request: &Message<'_>, method: Method<'_>) -> Result<(), Refusal> {
    match method {
        Method::Invite | Method::Ack | Method::Cancel | Method::Bye | Method::Options => Ok(()),
        Method::Update | Method::Prack | Method::Info | Method::Refer => Ok(()),
        Method::Register | Method::Subscribe => Ok(()),
        Method::Message if request.to().tag().is_none() => Ok(()),
        Method::Notify | Method::Publish | Method::Message => Err(Refusal::MethodNotAllowed),
        Method::Other(_) => Err(Refusal::MethodUnknown),
    }
}

/// Checks a request that is neither ACK nor CANCEL: whether it can be read at all, then in the order of §8.2.
pub(super) fn check(request: &Message<'_>) -> Result<(), Refusal> {
    let Start::Request { method, uri } = request.start() else { return Ok(()) };
    check_contacts(request, method)?;
    is_served(request, method)?;
    // RFC 4475 §3.3.4: an address of record of another scheme is none that a registrar could have.
    if method == Method::Register && matches!(request.to().uri.scheme, Scheme::Other(_)) {
        return Err(Refusal::Malformed);
    }
    match uri.scheme {
        Scheme::Sip | Scheme::Sips => {}
        Scheme::Other(_) => return Err(Refusal::Scheme),
    }
    check_required(request)?;
    if is_offering(method) { check_content(request) } else { Ok(()) }
}

/// A Contact that two readers could read differently is nobody's address (RFC 4475 §3.1.2.13). Only REGISTER has `*` (§10.2.2). Where
/// it becomes the target of a dialog it is a SIP or SIPS URI (§8.1.1.8): to no other could we ever send a BYE. In other requests it
/// says nothing, and what is not needed is not looked at (§8.2.2): a BYE ends its call, whatever is in its Contact.
fn check_contacts(request: &Message<'_>, method: Method<'_>) -> Result<(), Refusal> {
    if !has_contact(method) {
        return Ok(());
    }
    let can_be_target = |contact: &NameAddr<'_>| match contact.uri.scheme {
        Scheme::Sip | Scheme::Sips => true,
        Scheme::Other(_) => !is_offering(method),
    };
    let is_readable = |value| {
        let is_all = method == Method::Register && value == b"*";
        is_all || NameAddr::parse(value).is_ok_and(|contact| can_be_target(&contact))
    };
    if request.values(Header::Contact).all(is_readable) { Ok(()) } else { Err(Refusal::Malformed) }
}

/// The methods in which a Contact is an address that somebody is going to use (RFC 3261 §20.10, RFC 6665 §4.1.2, RFC 3515 §2.4.1).
fn has_contact(method: Method<'_>) -> bool {
    match method {
        Method::Invite | Method::Update | Method::Register => true,
        Method::Subscribe | Method::Notify | Method::Refer => true,
        Method::Ack | Method::Bye | Method::Cancel | Method::Options | Method::Info => false,
        Method::Prack | Method::Publish | Method::Message | Method::Other(_) => false,
    }
}

/// The methods that carry a session description, and refresh the target of their dialog (RFC 3261 §12.2, RFC 3311 §5).
pub(super) fn is_offering(method: Method<'_>) -> bool {
    matches!(method, Method::Invite | Method::Update)
}

fn check_content(request: &Message<'_>) -> Result<(), Refusal> {
    if request.record_routes().any(|route| route.is_err()) {
        return Err(Refusal::Malformed);
    }
    if request.header(Header::Replaces).is_some() {
        return Err(Refusal::Replaces);
    }
    match request.content() {
        Content::Empty => {}
        Content::Sealed => return Err(Refusal::Undecipherable),
        Content::Unknown => return Err(Refusal::MediaType),
        Content::Description(_) => {
            if request.values(Header::ContentEncoding).any(|coding| !coding.eq_ignore_ascii_case(b"identity")) {
                return Err(Refusal::Encoding);
            }
        }
    }
    // §20.1: without Accept, application/sdp is acceptable.
    if request.header(Header::Accept).is_some() && !request.values(Header::Accept).any(accepts_sdp) {
        return Err(Refusal::NotAcceptable);
    }
    Ok(())
}

fn accepts_sdp(range: &[u8]) -> bool {
    let kind = range.split(|byte| *byte == b';').next().unwrap_or_default();
    let mut parts = kind.split(|byte| *byte == b'/').map(<[u8]>::trim_ascii);
    let mut is = |word: &[u8]| parts.next().is_some_and(|part| part == b"*" || part.eq_ignore_ascii_case(word));
    is(b"application") && is(b"sdp")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(method: &str, uri: &str, headers: &str, body: &str) -> Option<Refusal> {
        let text = format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKx\r\nMax-Forwards: 70\r\n\
             From: <sip:a@a.example>;tag=1\r\nTo: <sip:foo@192.0.2.9>\r\nCall-ID: 1\r\nCSeq: 1 {method}\r\n\
             {headers}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        check(&Message::parse(text.as_bytes()).unwrap()).err()
    }

    #[test]
    fn methods_and_schemes_are_those_that_are_served() {
        let uri = "sip:foo@192.0.2.9";
        for (method, uri, expected) in [
            ("INVITE", uri, None),
            ("BYE", uri, None),
            ("OPTIONS", "sips:foo@192.0.2.9", None),
            ("REGISTER", uri, None),
            ("SUBSCRIBE", uri, None),
            ("INFO", uri, None),
            ("REFER", uri, None),
            ("MESSAGE", uri, None),
            ("PUBLISH", uri, Some(Refusal::MethodNotAllowed)),
            ("UPDATE", "tel:+1", Some(Refusal::Scheme)),
            ("invite", uri, Some(Refusal::MethodUnknown)),
            ("NEWMETHOD", uri, Some(Refusal::MethodUnknown)),
            ("OPTIONS", "nobodyKnowsThisScheme:totallyopaquecontent", Some(Refusal::Scheme)),
            ("INVITE", "tel:+49301234", Some(Refusal::Scheme)),
        ] {
            assert_eq!(outcome(method, uri, "", ""), expected, "{method} {uri}");
        }
    }

    #[test]
    fn extensions_and_content_are_refused_unless_they_are_understood() {
        for (headers, body, expected) in [
            ("", "", None),
            ("Content-Type: application/sdp\r\n", "v=0", None),
            ("Content-Type: Application/SDP;charset=utf-8\r\n", "v=0", None),
            ("Content-Type: text/plain\r\n", "", None),
            ("", "v=0", Some(Refusal::MediaType)),
            ("Content-Type: application/unknownformat\r\n", "<audio>", Some(Refusal::MediaType)),
            ("Content-Type: application/sdp\r\nContent-Encoding: gzip\r\n", "v=0", Some(Refusal::Encoding)),
            ("Content-Type: application/sdp\r\nContent-Encoding: Identity\r\n", "v=0", None),
            ("Require: 100rel, TIMER\r\n", "", None),
            ("Require: 100rel, x\r\n", "", Some(Refusal::Extension)),
            ("Require: Timer\r\n", "", None),
            ("Proxy-Require: x\r\n", "", Some(Refusal::Extension)),
            ("Require: sec-agree\r\nSecurity-Client: tls\r\n", "", Some(Refusal::Extension)),
            ("Require: resource-priority\r\n", "", Some(Refusal::Extension)),
            ("Require: Resource-Priority\r\nResource-Priority: x.1\r\n", "", Some(Refusal::ResourcePriority)),
            ("Require: resource-priority, x\r\nResource-Priority: x.1\r\n", "", Some(Refusal::Extension)),
            ("Resource-Priority: x.1\r\n", "", None),
            ("Replaces: 1@b;to-tag=a;from-tag=b\r\n", "", Some(Refusal::Replaces)),
            ("Require: replaces\r\nReplaces: 1@b;to-tag=a;from-tag=b\r\n", "", Some(Refusal::Extension)),
            ("Content-Type: application/pkcs7-mime\r\n", "x", Some(Refusal::Undecipherable)),
            ("Content-Type: multipart/mixed;boundary=b\r\n", "v=0", Some(Refusal::MediaType)),
            (
                "Content-Type: multipart/mixed;boundary=b\r\n",
                "--b\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n--b--",
                None,
            ),
            ("Supported: 100rel, timer\r\n", "", None),
            ("Accept: text/nobodyKnowsThis\r\n", "", Some(Refusal::NotAcceptable)),
            ("Accept:\r\n", "", Some(Refusal::NotAcceptable)),
            ("Accept: text/plain, application/sdp;level=1\r\n", "", None),
            ("Accept: application/*\r\n", "", None),
            ("Accept: */*;q=0.1\r\n", "", None),
            ("Contact: <sip:a@\r\n", "", Some(Refusal::Malformed)),
            ("Contact: tel:+15550100\r\n", "", Some(Refusal::Malformed)),
            ("Contact: <sips:a@192.0.2.1>\r\n", "", None),
            ("Record-Route: x\r\n", "", Some(Refusal::Malformed)),
        ] {
            assert_eq!(outcome("INVITE", "sip:foo@192.0.2.9", headers, body), expected, "{headers:?} {body:?}");
        }
        for (method, expected) in [("REGISTER", None), ("INVITE", Some(Refusal::Extension))] {
            let required = "Require: Path\r\nProxy-Require: path\r\n";
            assert_eq!(outcome(method, "sip:foo@192.0.2.9", required, ""), expected, "RFC 3327 is of registrations");
        }
        for contact in ["Contact: tel:+15550100\r\n", "Contact: <sip:a@\r\n", "Contact: sip:a@192.0.2.15060\r\n"] {
            for method in ["OPTIONS", "BYE"] {
                assert_eq!(
                    outcome(method, "sip:foo@192.0.2.9", contact, ""),
                    None,
                    "{method}: nothing is ever sent to it"
                );
            }
            assert_ne!(outcome("UPDATE", "sip:foo@192.0.2.9", contact, ""), None, "{contact}");
        }
    }

    #[test]
    fn what_is_unsupported_is_listed() {
        let text = "OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKx\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>\r\n\
            Call-ID: 1\r\nCSeq: 1 OPTIONS\r\nRequire: one, two\r\nProxy-Require: three\r\nContent-Length: 0\r\n\r\n";
        let request = Message::parse(text.as_bytes()).unwrap();
        let mut scratch = String::from("left over");
        Refusal::Extension.write(&request, &mut scratch, |reply| {
            assert_eq!((reply.status, reply.headers), (420, &[("Unsupported", "one, two, three")][..]));
        });
    }
}
