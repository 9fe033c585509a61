//! Any bytes as a request. Where we accept it, we answer it and ask something in its dialog, as we do in a call; rsip, another reading of
//! the same RFC, must find in both what we put there. Where rsip is known to read otherwise, [`KNOWN`] says how; nothing else is let pass.
//! Not here: what only we read (`message`).

#![expect(clippy::disallowed_types, reason = "rsip is the oracle here")]

use crate::sip::wire::write::{self, Reply, RequestHead};
use crate::sip::wire::{Header, Host, Message, Method, NameAddr, Path, Start, Transport, Uri};
use bytes::BytesMut;
use rsip::Response;
use rsip::message::HeadersExt as _;
use rsip::prelude::{ToTypedHeader as _, UntypedHeader as _};

/// Whether a request has some thing in it.
type Has = fn(&Message<'_>) -> bool;

/// Where rsip 0.4 reads otherwise than RFC 3261 says, and whether a request has such a thing in it.
const KNOWN: [(&str, Has); 11] = [
    ("wants UTF-8 everywhere; the RFC lets TEXT and quoted strings be any bytes", |request| {
        std::str::from_utf8(request.bytes()).is_err()
    }),
    ("splits From and To at characters within quotes and escapes", |request| {
        [request.from(), request.to()]
            .iter()
            .any(|address| address.display.is_some_and(|name| !name.iter().all(is_plain)))
    }),
    ("sees no user that has other characters than letters, digits and a few marks", |request| {
        uris(request).iter().any(|uri| {
            uri.user.is_some_and(|user| !user.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'+'))
        })
    }),
    ("reads no IPv6 reference", |request| uris(request).iter().any(|uri| matches!(uri.host, Some(Host::V6(_))))),
    ("reads no other URI than SIP's", |request| uris(request).iter().any(|uri| uri.host.is_none())),
    ("reads a URI's parameters and headers as it likes, and passwords as part of the user", |request| {
        uris(request)
            .iter()
            .any(|uri| uri.params.iter().next().is_some() || !uri.headers.is_empty() || uri.password.is_some())
    }),
    (
        "reads one value in a line of Via, of SIP/2.0 and the RFCs' transports, with one blank and nothing in quotes or brackets",
        |request| {
            let line = request.header(Header::Via).unwrap_or_default();
            let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"./:;=-_ ".contains(byte);
            let protocols = ["SIP/2.0/UDP ", "SIP/2.0/TCP ", "SIP/2.0/TLS ", "SIP/2.0/WS ", "SIP/2.0/WSS "];
            let known = protocols.iter().any(|protocol| line.starts_with(protocol.as_bytes()));
            !known || !line.iter().all(is_plain) || line.iter().filter(|byte| **byte == b' ').count() != 1
        },
    ),
    (
        "reads only tokens as values of parameters; we take them as they are written, as RFC 3261's hosts and quoted strings are",
        |request| {
            let params = [request.from().params, request.to().params, request.via().params];
            params
                .iter()
                .flat_map(|params| params.iter())
                .any(|(_, value)| value.is_some_and(|value| !value.iter().all(is_token)))
        },
    ),
    ("wants no white space between an address and its parameters, nor between these", |request| {
        let lines = [Header::From, Header::To].into_iter().filter_map(|header| request.header(header));
        let behind = |line: &[u8]| line.iter().rposition(|byte| *byte == b'>').unwrap_or(0);
        lines.into_iter().any(|line| line[behind(line)..].iter().any(u8::is_ascii_whitespace))
    }),
    ("wants one blank between the number and the method of CSeq, where RFC 3261 lets be any white space", |request| {
        let line = request.header(Header::CSeq).unwrap_or_default();
        !line.contains(&b' ') || line.iter().filter(|byte| byte.is_ascii_whitespace()).count() != 1
    }),
    ("knows no other methods than the RFCs'", |request| matches!(request.cseq().method, Method::Other(_))),
];

/// A request.
pub fn differential(bytes: &[u8]) {
    let Ok(request) = Message::parse(bytes) else { return };
    let Start::Request { uri, .. } = request.start() else { return };
    if KNOWN.iter().any(|(_, has)| has(&request)) {
        return;
    }
    check_answer(&request);
    check_request(&request, uri);
}

/// Our 200 says the same to both readers.
fn check_answer(request: &Message<'_>) {
    let path =
        Path { transport: Transport::Udp, local: ([192, 0, 2, 9], 5060).into(), peer: ([192, 0, 2, 1], 5060).into() };
    let mut out = BytesMut::new();
    write::reply(&mut out, request, &Reply { to_tag: Some("ours"), ..Reply::new(200) }, &path);
    let text = std::str::from_utf8(&out).expect("the request was UTF-8");
    let ours = Message::parse(&out).expect("what we write we can read");
    let theirs = Response::try_from(text).unwrap_or_else(|error| panic!("rsip cannot read\n{text}\n{error}"));
    assert_eq!(u16::from(theirs.status_code.clone()), 200);
    same(&ours, &theirs, text);
    let via = theirs.via_header().expect("there is one").typed().expect("it was written by us");
    assert_eq!(via.branch().map(|branch| branch.value().to_owned()), ours.via().branch().map(string), "{text}");
}

/// A request of ours in the dialog says the same to both readers.
fn check_request(request: &Message<'_>, uri: Uri<'_>) {
    let mut out = BytesMut::new();
    let from = [line(request.to()), b";x".to_vec()].concat();
    let head = RequestHead {
        method: Method::Bye,
        uri: uri.as_bytes(),
        transport: Transport::Udp,
        sent_by: "192.0.2.9:5060",
        branch: "z9hG4bKours",
        from: &from,
        to: &line(request.from()),
        call_id: request.call_id(),
        cseq: 7,
        contact: None,
        route: b"",
        headers: &[],
        body: None,
    };
    write::request(&mut out, &head);
    let text = std::str::from_utf8(&out).expect("the request was UTF-8");
    let ours = Message::parse(&out).unwrap_or_else(|broken| panic!("we cannot read\n{text}\n{}", broken.error));
    let theirs = rsip::Request::try_from(text).unwrap_or_else(|error| panic!("rsip cannot read\n{text}\n{error}"));
    same(&ours, &theirs, text);
    same_uri(&uri, &theirs.uri, text);
}

fn same<M: rsip::message::HeadersExt>(ours: &Message<'_>, theirs: &M, text: &str) {
    assert_eq!(string(ours.call_id()), theirs.call_id_header().expect("there is one").value(), "{text}");
    let sequence =
        theirs.cseq_header().expect("there is one").typed().unwrap_or_else(|error| panic!("{error}\n{text}"));
    assert_eq!(
        (ours.cseq().number, string(ours.cseq().method.as_bytes())),
        (sequence.seq, sequence.method.to_string())
    );
    let from = theirs.from_header().expect("there is one").typed().unwrap_or_else(|error| panic!("{error}\n{text}"));
    let to = theirs.to_header().expect("there is one").typed().unwrap_or_else(|error| panic!("{error}\n{text}"));
    assert_eq!(ours.from().tag().map(string), from.tag().map(|tag| tag.value().to_owned()), "{text}");
    assert_eq!(ours.to().tag().map(string), to.tag().map(|tag| tag.value().to_owned()), "{text}");
    same_uri(&ours.from().uri, &from.uri, text);
    same_uri(&ours.to().uri, &to.uri, text);
}

fn same_uri(ours: &Uri<'_>, theirs: &rsip::Uri, text: &str) {
    assert_eq!(ours.user.map(string).as_deref(), theirs.user(), "{text}");
    assert_eq!(ours.port, theirs.port().map(|port| *port.value()), "{text}");
    let host = match ours.host {
        Some(Host::Name(name)) => string(name),
        Some(Host::V4(ip)) => ip.to_string(),
        Some(Host::V6(_)) | None => panic!("those are known"),
    };
    assert_eq!(host.to_ascii_lowercase(), theirs.host().to_string().to_ascii_lowercase(), "{text}");
}

fn uris<'a>(request: &Message<'a>) -> Vec<Uri<'a>> {
    let Start::Request { uri, .. } = request.start() else { return Vec::new() };
    vec![uri, request.from().uri, request.to().uri]
}

/// An address and its tag, as we write them into requests of a dialog.
fn line(address: NameAddr<'_>) -> Vec<u8> {
    let tag = address.tag().map(|tag| [b";tag=", tag].concat()).unwrap_or_default();
    [b"<", address.uri.as_bytes(), b">", &tag].concat()
}

fn is_token(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(byte)
}

fn is_plain(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"\" ".contains(byte)
}

fn string(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
