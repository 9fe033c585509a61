//! Writes responses and requests by laying slices end to end.
//! Not here: what to say. Nothing is allocated while the buffer is large enough, so re-use it. No CR or LF of a value that
//! is handed in reaches the wire, whoever it came from: each run of them becomes a space.

use super::abnf::is_space;
use super::frame::Raw;
use super::params::split_param;
use super::{Head, Header, Message, Method, NameAddr, Via, fields, via};
use crate::sip::wire::{Path, Transport};
use arrayvec::{ArrayString, ArrayVec};
use bytes::{BufMut, Bytes, BytesMut};
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

/// A tag or other random token of ours: 16 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag([u8; 16]);

impl Tag {
    /// From 64 random bits.
    pub fn new(bits: u64) -> Tag {
        let mut digits = [0; 16];
        for (at, digit) in digits.iter_mut().rev().enumerate() {
            let value = u8::try_from(bits >> (4 * at) & 0xf).unwrap_or(0);
            *digit = if value < 10 { b'0' + value } else { b'a' + value - 10 };
        }
        Tag(digits)
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("hexadecimal digits are ASCII")
    }
}

impl std::fmt::Debug for Tag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A branch of ours: the magic cookie (RFC 3261 §8.1.1.7) and 16 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Branch([u8; 23]);

impl Branch {
    /// From 64 random bits.
    pub fn new(bits: u64) -> Branch {
        let mut text = *b"z9hG4bK0000000000000000";
        for (to, digit) in text.iter_mut().skip(7).zip(Tag::new(bits).0) {
            *to = digit;
        }
        Branch(text)
    }

    /// Cookie and digits.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("cookie and digits are ASCII")
    }
}

impl std::fmt::Debug for Branch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a response has that is not copied from its request.
#[derive(Clone, Copy, Debug)]
pub struct Reply<'r> {
    /// 100 to 699.
    pub status: u16,
    /// For people; [`reason_phrase`] has the usual ones.
    pub reason: &'r str,
    /// Added to To if To has no tag yet; leave it out of a 100 (RFC 3261 §8.2.6.2).
    pub to_tag: Option<&'r str>,
    /// The value of Contact, with its `<>`. With it, a 101 to 299 also has the request's Record-Route (RFC 3261 §12.1.1).
    pub contact: Option<&'r str>,
    /// Other headers, in order.
    pub headers: &'r [(&'r str, &'r str)],
    /// Content type and content.
    pub body: Option<(&'r str, &'r [u8])>,
}

impl<'r> Reply<'r> {
    /// A response with the usual reason phrase and nothing else.
    pub fn new(status: u16) -> Reply<'r> {
        Reply { status, reason: reason_phrase(status), to_tag: None, contact: None, headers: &[], body: None }
    }
}

/// A request as far as its response needs it: a [`Message`], or what [`Broken::answerable`](super::Broken::answerable) gives.
#[derive(Clone, Copy)]
pub struct Answerable<'m, 'a> {
    head: &'m Head<'a>,
    /// The first Via value; `None` if its parameters cannot be read.
    via: Option<Via<'a>>,
    /// Whether a tag is to be added to To: not to one that cannot be read, in which it might end up inside of something.
    to_takes_tag: bool,
}

impl<'m, 'a> From<&'m Message<'a>> for Answerable<'m, 'a> {
    fn from(message: &'m Message<'a>) -> Answerable<'m, 'a> {
        Answerable { head: message, via: Some(message.via()), to_takes_tag: message.to().tag().is_none() }
    }
}

impl<'m, 'a> Answerable<'m, 'a> {
    /// Its headers.
    pub fn head(&self) -> &'m Head<'a> {
        self.head
    }

    /// The first Via value; `None` if its parameters cannot be read.
    pub fn via(&self) -> Option<Via<'a>> {
        self.via
    }

    /// Of a head that has the headers that a response copies: of a broken request, or of one that was checked and kept.
    pub fn of_head(head: &'m Head<'a>) -> Answerable<'m, 'a> {
        let via = head.header(Header::Via).and_then(|line| fields::first_via(line).ok());
        let to = head.header(Header::To).and_then(|to| NameAddr::parse(to).ok());
        Answerable { head, via, to_takes_tag: to.is_some_and(|to| to.tag().is_none()) }
    }
}

/// Appends the response to `request`, which came over `path`. Copies every Via (the first gets `received` and `rport`:
/// RFC 3261 §18.2.1, RFC 3581 §4), From, To, Call-ID and CSeq.
pub fn reply<'m, 'a: 'm>(out: &mut BytesMut, request: impl Into<Answerable<'m, 'a>>, reply: &Reply<'_>, path: &Path) {
    let request = request.into();
    put_status_line(out, reply);
    put_vias(out, &request, path);
    put_first(out, b"\r\nFrom: ", request.head, Header::From);
    put_first(out, b"\r\nTo: ", request.head, Header::To);
    if let (Some(tag), true) = (reply.to_tag, request.to_takes_tag) {
        put_field(out, b";tag=", tag.as_bytes());
    }
    put_first(out, b"\r\nCall-ID: ", request.head, Header::CallId);
    put_first(out, b"\r\nCSeq: ", request.head, Header::CSeq);
    if reply.contact.is_some() && (101..300).contains(&reply.status) {
        put_record_routes(out, request.head);
    }
    put_end(out, reply.contact, reply.headers, reply.body);
}

#[inline(always)]
fn put_status_line(out: &mut BytesMut, reply: &Reply<'_>) {
    let digit = |value: u16| b'0' + u8::try_from(value % 10).unwrap_or(0);
    let status = [digit(reply.status / 100), digit(reply.status / 10), digit(reply.status)];
    out.put_slice(b"SIP/2.0 ");
    out.put_slice(&status);
    put_field(out, b" ", reply.reason.as_bytes());
}

fn put_vias(out: &mut BytesMut, request: &Answerable<'_, '_>, path: &Path) {
    let mut vias = request.head.raw(Header::Via);
    if let Some(first) = vias.next() {
        out.put_slice(b"\r\nVia: ");
        match &request.via {
            Some(via) => put_top_via(out, first, via, path.peer),
            // One whose parameters cannot be read goes back as it came.
            None => put_raw(out, first),
        }
    }
    for raw in vias {
        out.put_slice(b"\r\nVia: ");
        put_raw(out, raw);
    }
}

/// The line with the first Via value, which gets what only we know about where the request came from.
fn put_top_via(out: &mut BytesMut, line: Raw<'_>, via: &Via<'_>, peer: SocketAddr) {
    let folded = line.folded;
    match via.around_source() {
        Some((before, behind)) => {
            put_raw(out, Raw { value: before, folded });
            put_raw(out, Raw { value: behind, folded });
        }
        None => put_without_source(out, via, folded),
    }
    put_source(out, via, peer);
    let others = line.value.get(via.as_bytes().len()..).unwrap_or_default();
    if !others.is_empty() {
        put_raw(out, Raw { value: others, folded });
    }
}

/// The value without its `received`s and `rport`s, wherever they are.
fn put_without_source(out: &mut BytesMut, via: &Via<'_>, folded: bool) {
    let (all, mut rest) = (via.as_bytes(), via.params.as_bytes());
    let mut kept_from = 0;
    while let Some(((name, _), after)) = split_param(rest) {
        if via::is_source(name) {
            put_raw(out, Raw { value: all.get(kept_from..all.len() - rest.len()).unwrap_or_default(), folded });
            kept_from = all.len() - after.len();
        }
        rest = after;
    }
    put_raw(out, Raw { value: all.get(kept_from..).unwrap_or_default(), folded });
}

/// `received` and `rport`, as far as the answer needs them.
fn put_source(out: &mut BytesMut, via: &Via<'_>, peer: SocketAddr) {
    let source = peer.ip().to_canonical();
    let rport_asked = via.rport().is_some();
    let mut known = Short::new();
    // RFC 3261 §18.2.1: when sent-by is a name or another address. RFC 3581 §4: and whenever rport is there.
    if rport_asked || via.host.ip() != Some(source) {
        push(&mut known, b";received=");
        push_ip(&mut known, source);
    }
    if rport_asked {
        push(&mut known, b";rport=");
        push_number(&mut known, u32::from(peer.port()));
    }
    out.put_slice(&known);
}

/// The first line of a header of the request after its name; a broken request may have more of them.
#[inline(always)]
fn put_first(out: &mut BytesMut, name: &[u8], request: &Head<'_>, header: Header) {
    if let Some(raw) = request.first(header) {
        out.put_slice(name);
        put_raw(out, raw);
    }
}

fn put_record_routes(out: &mut BytesMut, request: &Head<'_>) {
    for raw in request.raw(Header::RecordRoute) {
        out.put_slice(b"\r\nRecord-Route: ");
        put_raw(out, raw);
    }
}

/// A request of ours.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'r> {
    /// The method of the Request-Line and of CSeq.
    pub method: Method<'r>,
    /// The Request-URI.
    pub uri: &'r [u8],
    /// How it is sent, for the Via.
    pub transport: Transport,
    /// Host and port that answers are to be sent to, for the Via.
    pub sent_by: &'r str,
    /// The branch, with its magic cookie: [`Branch`].
    pub branch: &'r str,
    /// The value of From, with its tag.
    pub from: &'r [u8],
    /// The value of To, with its tag if it has one.
    pub to: &'r [u8],
    /// The Call-ID.
    pub call_id: &'r [u8],
    /// The number of CSeq.
    pub cseq: u32,
    /// The value of Contact, with its `<>`.
    pub contact: Option<&'r str>,
    /// The route set as one Route value, comma-separated; empty for none.
    pub route: &'r [u8],
    /// Other headers, in order.
    pub headers: &'r [(&'r str, &'r str)],
    /// Content type and content.
    pub body: Option<(&'r str, &'r [u8])>,
}

/// Appends a request, with Max-Forwards 70 (RFC 3261 §8.1.1.6) and an rport that asks (RFC 3581 §3).
pub fn request(out: &mut BytesMut, request: &RequestHead<'_>) {
    let method = request.method.as_bytes();
    put_text(out, method);
    out.put_u8(b' ');
    put_text(out, request.uri);
    out.put_slice(b" SIP/2.0");
    put_field(out, b"\r\nVia: SIP/2.0/", request.transport.token().as_bytes());
    put_field(out, b" ", request.sent_by.as_bytes());
    put_field(out, b";rport;branch=", request.branch.as_bytes());
    out.put_slice(b"\r\nMax-Forwards: 70");
    if !request.route.is_empty() {
        put_field(out, b"\r\nRoute: ", request.route);
    }
    put_field(out, b"\r\nFrom: ", request.from);
    put_field(out, b"\r\nTo: ", request.to);
    put_field(out, b"\r\nCall-ID: ", request.call_id);
    let mut number = Short::new();
    push_number(&mut number, request.cseq);
    put_field(out, b"\r\nCSeq: ", &number);
    put_field(out, b" ", method);
    put_end(out, request.contact, request.headers, request.body);
}

/// A request that [`request`] wrote, as it goes by another transport: only its Via says which.
pub fn over(request: &[u8], transport: Transport) -> Bytes {
    const VIA: &[u8] = b"\r\nVia: SIP/2.0/";
    let Some(begin) = memchr::memmem::find(request, VIA).map(|at| at + VIA.len()) else { return Bytes::new() };
    let (before, rest) = request.split_at_checked(begin).unwrap_or((request, &[]));
    let token = rest.iter().take_while(|byte| **byte != b' ').count();
    let behind = rest.get(token..).unwrap_or_default();
    [before, transport.token().as_bytes(), behind].concat().into()
}

/// Contact, other headers, the body's headers, the empty line and the body.
fn put_end(out: &mut BytesMut, contact: Option<&str>, headers: &[(&str, &str)], body: Option<(&str, &[u8])>) {
    if let Some(contact) = contact {
        put_field(out, b"\r\nContact: ", contact.as_bytes());
    }
    for (name, value) in headers {
        put_field(out, b"\r\n", name.as_bytes());
        put_field(out, b": ", value.as_bytes());
    }
    let Some((content_type, content)) = body else { return out.put_slice(b"\r\nContent-Length: 0\r\n\r\n") };
    let mut length = Short::new();
    push_number(&mut length, u32::try_from(content.len()).expect("a body fits a datagram"));
    put_field(out, b"\r\nContent-Type: ", content_type.as_bytes());
    put_field(out, b"\r\nContent-Length: ", &length);
    out.put_slice(b"\r\n\r\n");
    out.put_slice(content);
}

// Inlined, so that the literal before the value is stored and not copied by a call: a tenth of a response's time.
#[inline(always)]
fn put_field(out: &mut BytesMut, before: &[u8], value: &[u8]) {
    out.put_slice(before);
    put_text(out, value);
}

#[inline(always)]
fn put_raw(out: &mut BytesMut, raw: Raw<'_>) {
    if raw.folded { unfold(out, raw.value) } else { out.put_slice(raw.value) }
}

fn put_text(out: &mut BytesMut, text: &[u8]) {
    match memchr::memchr2(b'\r', b'\n', text) {
        None => out.put_slice(text),
        Some(_) => unfold(out, text),
    }
}

/// Appends a header value that was received, each fold made one space (RFC 3261 §7.3.1), and each lone CR or LF too.
pub fn unfold(out: &mut BytesMut, value: &[u8]) {
    let mut rest = value;
    while let Some(at) = memchr::memchr2(b'\r', b'\n', rest) {
        let (line, fold) = rest.split_at_checked(at).unwrap_or((rest, &[]));
        out.put_slice(line.trim_ascii_end());
        out.put_u8(b' ');
        let ends = fold.iter().position(|byte| !is_space(*byte)).unwrap_or(fold.len());
        rest = fold.get(ends..).unwrap_or_default();
    }
    out.put_slice(rest);
}

/// A few words that are put together before they are written: each write to the buffer has its price.
type Short = ArrayVec<u8, SHORT_BYTES_MAX>;

/// `;received=`, the longest IPv6 address, `;rport=65535`.
const SHORT_BYTES_MAX: usize = 10 + 45 + 12;

fn push(short: &mut Short, bytes: &[u8]) {
    short.try_extend_from_slice(bytes).expect("what is pushed is short");
}

fn push_number(short: &mut Short, number: u32) {
    let mut digits = [b'0'; DIGITS_MAX];
    let (mut left, mut length) = (number, 0);
    for digit in digits.iter_mut().rev() {
        *digit += u8::try_from(left % 10).unwrap_or(0);
        left /= 10;
        length += 1;
        if left == 0 {
            break;
        }
    }
    push(short, digits.get(DIGITS_MAX - length..).unwrap_or_default());
}

/// The digits of 2^32 - 1.
const DIGITS_MAX: usize = 10;

fn push_octet(short: &mut Short, octet: u8) {
    let digits = [b'0' + octet / 100, b'0' + octet / 10 % 10, b'0' + octet % 10];
    let leading_zeros = usize::from(octet < 100) + usize::from(octet < 10);
    push(short, digits.get(leading_zeros..).unwrap_or_default());
}

fn push_ip(short: &mut Short, ip: IpAddr) {
    match ip {
        IpAddr::V4(ip) => {
            for (at, octet) in ip.octets().into_iter().enumerate() {
                if at > 0 {
                    push(short, b".");
                }
                push_octet(short, octet);
            }
        }
        IpAddr::V6(ip) => {
            let mut text = ArrayString::<45>::new();
            write!(text, "{ip}").expect("no IPv6 address is longer");
            push(short, text.as_bytes());
        }
    }
}

/// The reason phrase that RFC 3261 §21 and its extensions give a status. RFC 3261 §8.1.3.2: another is as the first of its class.
pub fn reason_phrase(status: u16) -> &'static str {
    let phrase_of = |wanted| REASONS.iter().find(|(status, _)| *status == wanted).map(|(_, phrase)| *phrase);
    phrase_of(status).or_else(|| phrase_of(status / 100 * 100)).unwrap_or_default()
}

const REASONS: &[(u16, &str)] = &[
    (100, "Trying"),
    (180, "Ringing"),
    (181, "Call Is Being Forwarded"),
    (182, "Queued"),
    (183, "Session Progress"),
    (199, "Early Dialog Terminated"),
    (200, "OK"),
    (202, "Accepted"),
    (204, "No Notification"),
    (300, "Multiple Choices"),
    (301, "Moved Permanently"),
    (302, "Moved Temporarily"),
    (305, "Use Proxy"),
    (380, "Alternative Service"),
    (400, "Bad Request"),
    (401, "Unauthorized"),
    (402, "Payment Required"),
    (403, "Forbidden"),
    (404, "Not Found"),
    (405, "Method Not Allowed"),
    (406, "Not Acceptable"),
    (407, "Proxy Authentication Required"),
    (408, "Request Timeout"),
    (410, "Gone"),
    (412, "Conditional Request Failed"),
    (413, "Request Entity Too Large"),
    (414, "Request-URI Too Long"),
    (415, "Unsupported Media Type"),
    (416, "Unsupported URI Scheme"),
    (420, "Bad Extension"),
    (421, "Extension Required"),
    (422, "Session Interval Too Small"),
    (423, "Interval Too Brief"),
    (428, "Use Identity Header"),
    (429, "Provide Referrer Identity"),
    (433, "Anonymity Disallowed"),
    (436, "Bad Identity Info"),
    (437, "Unsupported Credential"),
    (438, "Invalid Identity Header"),
    (439, "First Hop Lacks Outbound Support"),
    (440, "Max-Breadth Exceeded"),
    (469, "Bad Info Package"),
    (470, "Consent Needed"),
    (480, "Temporarily Unavailable"),
    (481, "Call/Transaction Does Not Exist"),
    (482, "Loop Detected"),
    (483, "Too Many Hops"),
    (484, "Address Incomplete"),
    (485, "Ambiguous"),
    (486, "Busy Here"),
    (487, "Request Terminated"),
    (488, "Not Acceptable Here"),
    (489, "Bad Event"),
    (491, "Request Pending"),
    (493, "Undecipherable"),
    (494, "Security Agreement Required"),
    (500, "Server Internal Error"),
    (501, "Not Implemented"),
    (502, "Bad Gateway"),
    (503, "Service Unavailable"),
    (504, "Server Time-out"),
    (505, "Version Not Supported"),
    (513, "Message Too Large"),
    (555, "Push Notification Service Not Supported"),
    (580, "Precondition Failure"),
    (600, "Busy Everywhere"),
    (603, "Decline"),
    (604, "Does Not Exist Anywhere"),
    (606, "Not Acceptable"),
    (607, "Unwanted"),
    (608, "Rejected"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::wire::Start;
    use crate::sip::wire::Transport;

    const INVITE: &str = "INVITE sip:foo@192.0.2.9 SIP/2.0\r\n\
        v: SIP/2.0/UDP 192.0.2.1:5070;rport;branch=z9hG4bK1;received=203.0.113.1 , SIP/2.0/UDP\r\n  b.example;branch=z9hG4bK2\r\n\
        Via: SIP/2.0/UDP c.example;branch=z9hG4bK3\r\n\
        f: \"A\"\r\n <sip:a@b.example>;tag=1\r\n\
        TO : <sip:foo@192.0.2.9>\r\n\
        i: call-1\r\n\
        CSeq: 7\r\n INVITE\r\n\
        Record-Route: <sip:p2;lr>\r\n\
        Record-Route: <sip:p1;lr>, <sip:p0;lr>\r\n\
        Content-Length: 0\r\n\r\n";

    fn path(peer: &str) -> Path {
        Path { transport: Transport::Udp, local: "192.0.2.9:5060".parse().unwrap(), peer: peer.parse().unwrap() }
    }

    fn written(request: &str, response: &Reply<'_>, peer: &str) -> String {
        let request = Message::parse(request.as_bytes()).unwrap();
        let mut out = BytesMut::new();
        reply(&mut out, &request, response, &path(peer));
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn a_response_copies_what_it_must_unfolded() {
        let reply = Reply { to_tag: Some("t"), contact: Some("<sip:192.0.2.9>"), ..Reply::new(180) };
        let expected = "SIP/2.0 180 Ringing\r\n\
            Via: SIP/2.0/UDP 192.0.2.1:5070;branch=z9hG4bK1;received=192.0.2.1;rport=40000 , SIP/2.0/UDP b.example;branch=z9hG4bK2\r\n\
            Via: SIP/2.0/UDP c.example;branch=z9hG4bK3\r\n\
            From: \"A\" <sip:a@b.example>;tag=1\r\n\
            To: <sip:foo@192.0.2.9>;tag=t\r\n\
            Call-ID: call-1\r\n\
            CSeq: 7 INVITE\r\n\
            Record-Route: <sip:p2;lr>\r\n\
            Record-Route: <sip:p1;lr>, <sip:p0;lr>\r\n\
            Contact: <sip:192.0.2.9>\r\n\
            Content-Length: 0\r\n\r\n";
        assert_eq!(written(INVITE, &reply, "192.0.2.1:40000"), expected);
    }

    #[test]
    fn record_route_is_in_responses_that_make_a_dialog() {
        for (status, contact, expected) in [
            (100, true, false),
            (180, true, true),
            (180, false, false),
            (200, true, true),
            (302, true, false),
            (486, false, false),
        ] {
            let reply = Reply { contact: contact.then_some("<sip:x>"), ..Reply::new(status) };
            assert_eq!(written(INVITE, &reply, "192.0.2.1:1").contains("Record-Route"), expected, "{status}");
        }
    }

    #[test]
    fn received_and_rport_say_where_the_request_came_from() {
        for (via, peer, expected) in [
            ("192.0.2.1", "192.0.2.1:5060", "192.0.2.1;branch=b"),
            ("192.0.2.1", "192.0.2.1:5061", "192.0.2.1;branch=b"),
            ("192.0.2.1", "198.51.100.7:5060", "192.0.2.1;branch=b;received=198.51.100.7"),
            ("a.example", "192.0.2.1:5060", "a.example;branch=b;received=192.0.2.1"),
            ("192.0.2.1;rport", "192.0.2.1:5060", "192.0.2.1;branch=b;received=192.0.2.1;rport=5060"),
            (
                "192.0.2.1;rport=1;received=203.0.113.9",
                "192.0.2.1:255",
                "192.0.2.1;branch=b;received=192.0.2.1;rport=255",
            ),
            ("192.0.2.1;RPort;a=1;rport", "192.0.2.1:9", "192.0.2.1;a=1;branch=b;received=192.0.2.1;rport=9"),
            (
                "192.0.2.1;received=::1;a=\";rport\";rport",
                "[::2]:9",
                "192.0.2.1;a=\";rport\";branch=b;received=::2;rport=9",
            ),
            ("192.0.2.1;received=192.0.2.7", "192.0.2.1:5060", "192.0.2.1;branch=b"),
            ("192.0.2.1", "[::ffff:192.0.2.1]:5060", "192.0.2.1;branch=b"),
            ("[2001:db8::1]:5061", "[2001:db8::2]:5061", "[2001:db8::1]:5061;branch=b;received=2001:db8::2"),
        ] {
            let request = format!(
                "OPTIONS sip:a SIP/2.0\r\nVia: SIP/2.0/UDP {via};branch=b\r\nFrom: sip:a;tag=1\r\nTo: sip:b;tag=2\r\n\
                 Call-ID: c\r\nCSeq: 1 OPTIONS\r\n\r\n"
            );
            let text = written(&request, &Reply { to_tag: Some("not this"), ..Reply::new(200) }, peer);
            let line = text.lines().nth(1).unwrap();
            assert_eq!(line, format!("Via: SIP/2.0/UDP {expected}"), "{via} {peer}");
            assert!(text.contains("To: sip:b;tag=2\r\n"));
        }
    }

    #[test]
    fn our_own_values_cannot_write_headers() {
        let headers = [("X-A", "1\r\nX-Evil: 2"), ("X-B\r\n", "3\n\r4")];
        let reply =
            Reply { reason: "No\r\n way", headers: &headers, body: Some(("text/plain", b"\r\n")), ..Reply::new(403) };
        let text = written(INVITE, &reply, "192.0.2.1:40000");
        assert!(text.starts_with("SIP/2.0 403 No way\r\n"), "{text}");
        assert!(
            text.contains(
                "\r\nX-A: 1 X-Evil: 2\r\nX-B : 3 4\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\n\r\n"
            ),
            "{text}"
        );
    }

    #[test]
    fn a_request_reads_as_it_was_meant() {
        let mut out = BytesMut::new();
        let branch = Branch::new(0xabc);
        let ours = RequestHead {
            method: Method::Bye,
            uri: b"sip:a@192.0.2.1:5070",
            transport: Transport::Udp,
            sent_by: "192.0.2.9:5060",
            branch: branch.as_str(),
            from: b"<sip:foo@192.0.2.9>;tag=t",
            to: b"\"A\"\r\n <sip:a@b.example>;tag=1",
            call_id: b"call-1",
            cseq: 4_294,
            contact: Some("<sip:192.0.2.9>"),
            route: b"<sip:p1;lr>, <sip:p2;lr>",
            headers: &[("Reason", "Q.850;cause=16")],
            body: Some(("application/sdp", b"v=0\r\n")),
        };
        request(&mut out, &ours);
        let read = Message::parse(&out).unwrap();
        assert!(matches!(read.start(), Start::Request { method: Method::Bye, uri } if uri.as_bytes() == ours.uri));
        assert_eq!((read.via().branch(), read.via().rport()), (Some(&b"z9hG4bK0000000000000abc"[..]), Some(None)));
        assert_eq!((read.via().sent_by(), read.max_forwards()), (&b"192.0.2.9:5060"[..], Some(70)));
        assert_eq!((read.from().tag(), read.to().tag()), (Some(&b"t"[..]), Some(&b"1"[..])));
        assert_eq!((read.cseq().number, read.call_id(), read.body()), (4_294, ours.call_id, &b"v=0\r\n"[..]));
        assert_eq!(read.values(Header::Route).count(), 2);
        assert_eq!(read.header(Header::To), Some(&b"\"A\" <sip:a@b.example>;tag=1"[..]));
        assert_eq!(read.content_type(), Some((&b"application"[..], &b"sdp"[..])));
    }

    #[test]
    fn numbers_and_tags_are_written_whole() {
        for (number, expected) in [(0, "0"), (9, "9"), (10, "10"), (4_294_967_295, "4294967295")] {
            let mut short = Short::new();
            push_number(&mut short, number);
            assert_eq!(short.as_slice(), expected.as_bytes());
        }
        assert_eq!(Tag::new(0x0123_4567_89ab_cdef).as_str(), "0123456789abcdef");
        assert_eq!(Tag::new(0).as_str(), "0000000000000000");
    }

    #[test]
    fn an_unknown_status_has_the_phrase_of_its_class() {
        for (status, phrase) in [
            (180, "Ringing"),
            (199, "Early Dialog Terminated"),
            (299, "OK"),
            (499, "Bad Request"),
            (699, "Busy Everywhere"),
        ] {
            assert_eq!(reason_phrase(status), phrase);
        }
    }
}
