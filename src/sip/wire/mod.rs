//! SIP messages as bytes (RFC 3261 §7, §25): a borrowed index over one datagram, and the writers of ours.
//! One reading decides policy *and* forwarding, so what two parsers could read differently is refused here.
//! Not here: any state between two messages, and anything that a message means.

#![warn(clippy::indexing_slicing)]

mod abnf;
mod auth_params;
mod error;
mod fields;
mod frame;
mod headers;
mod host;
mod multipart;
mod name_addr;
mod params;
mod path;
mod start_line;
mod stream;
#[cfg(test)]
mod torture;
mod uri;
mod values;
mod via;
pub mod write;

pub use auth_params::AuthParams;
pub use error::{Broken, Error};
pub use frame::Head;
pub use headers::Header;
pub use host::Host;
pub use multipart::Content;
pub use name_addr::NameAddr;
pub use params::Params;
pub use path::{Path, Transport};
pub use start_line::{Method, Start};
pub use stream::{Framed, Framer};
pub use uri::{Scheme, Uri};
pub use via::Via;

use std::ops::Deref;

/// A message whose structure has been checked: start line, framing, body length, and the headers that every message has.
/// Other headers are read when asked for. Lives on the stack and borrows from the datagram; derefs to its [`Head`].
pub struct Message<'a> {
    head: Head<'a>,
    checked: Checked<'a>,
}

/// What has been read of every message, once.
struct Checked<'a> {
    start: Start<'a>,
    via: Via<'a>,
    from: NameAddr<'a>,
    to: NameAddr<'a>,
    call_id: &'a [u8],
    cseq: CSeq<'a>,
    max_forwards: Option<u8>,
    bytes: &'a [u8],
    body: &'a [u8],
}

/// The value of CSeq (RFC 3261 §20.16).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CSeq<'a> {
    /// Below 2^31 (RFC 3261 §8.1.1.5).
    pub number: u32,
    /// In a request, the request's method.
    pub method: Method<'a>,
}

/// The value of RAck (RFC 3262 §7.2): the reliable provisional response that a PRACK acknowledges.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RAck<'a> {
    /// The RSeq of that response.
    pub rseq: u32,
    /// Its CSeq.
    pub cseq: CSeq<'a>,
}

/// The value of Session-Expires (RFC 4028 §4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SessionExpires {
    /// The interval.
    pub seconds: u32,
    /// Who refreshes, if it is said.
    pub refresher: Option<Refresher>,
}

/// Who refreshes a session, in the roles of the request that the header belongs to (RFC 4028 §4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refresher {
    /// Who sends the request.
    Uac,
    /// Who answers it.
    Uas,
}

impl Refresher {
    /// `uac` or `uas`.
    pub fn as_str(self) -> &'static str {
        match self {
            Refresher::Uac => "uac",
            Refresher::Uas => "uas",
        }
    }
}

impl<'a> Message<'a> {
    /// Reads one datagram. Bytes beyond Content-Length are cut off (RFC 3261 §18.3).
    #[expect(clippy::result_large_err, reason = "both sides hold the index, and neither may allocate")]
    pub fn parse(datagram: &'a [u8]) -> Result<Message<'a>, Broken<'a>> {
        let mut head = Head::new(datagram);
        match Checked::read(&mut head, datagram) {
            Ok(checked) => Ok(Message { head, checked }),
            Err(error) => Err(Broken::new(error, head)),
        }
    }

    /// The message, without what followed its body.
    pub fn bytes(&self) -> &'a [u8] {
        self.checked.bytes
    }

    /// The body; empty if there is none.
    pub fn body(&self) -> &'a [u8] {
        self.checked.body
    }

    /// The start line.
    pub fn start(&self) -> Start<'a> {
        self.checked.start
    }

    /// The first Via value.
    pub fn via(&self) -> Via<'a> {
        self.checked.via
    }

    /// Every Via value, the first included.
    pub fn vias(&self) -> impl Iterator<Item = Result<Via<'a>, Error>> {
        self.values(Header::Via).map(Via::parse)
    }

    /// From. May have no tag, from an RFC 2543 element.
    pub fn from(&self) -> NameAddr<'a> {
        self.checked.from
    }

    /// To.
    pub fn to(&self) -> NameAddr<'a> {
        self.checked.to
    }

    /// Call-ID, compared byte by byte.
    pub fn call_id(&self) -> &'a [u8] {
        self.checked.call_id
    }

    /// CSeq.
    pub fn cseq(&self) -> CSeq<'a> {
        self.checked.cseq
    }

    /// Every Contact value.
    pub fn contacts(&self) -> impl Iterator<Item = Result<NameAddr<'a>, Error>> {
        self.values(Header::Contact).map(NameAddr::parse)
    }

    /// Every Route value.
    pub fn routes(&self) -> impl Iterator<Item = Result<NameAddr<'a>, Error>> {
        self.values(Header::Route).map(NameAddr::parse)
    }

    /// Every Record-Route value.
    pub fn record_routes(&self) -> impl Iterator<Item = Result<NameAddr<'a>, Error>> {
        self.values(Header::RecordRoute).map(NameAddr::parse)
    }

    /// Max-Forwards, if there is one.
    pub fn max_forwards(&self) -> Option<u8> {
        self.checked.max_forwards
    }

    /// Content-Type without its parameters: type and subtype, to be compared without regard to case.
    pub fn content_type(&self) -> Option<(&'a [u8], &'a [u8])> {
        let (rest, media_type) = fields::media_type(self.header(Header::ContentType)?).ok()?;
        abnf::whole(abnf::header_params(b""), rest).map(|_| media_type)
    }

    /// RAck, if there is one.
    pub fn rack(&self) -> Option<Result<RAck<'a>, Error>> {
        let value = self.header(Header::RAck)?;
        Some(abnf::whole(fields::rack, value).ok_or(Error::Malformed(Header::RAck)))
    }
}

impl<'a> Head<'a> {
    /// A header that is a number, perhaps with parameters: Expires, Min-Expires, Session-Expires, Min-SE, RSeq, Retry-After.
    /// `None` if it is absent; 32 bits, never wrapped.
    pub fn number(&self, header: Header) -> Option<Result<u32, Error>> {
        let value = self.header(header)?;
        Some(fields::delta_seconds(value).ok_or(Error::Malformed(header)))
    }

    /// Session-Expires, if there is one (RFC 4028 §4).
    pub fn session_expires(&self) -> Option<Result<SessionExpires, Error>> {
        let value = self.header(Header::SessionExpires)?;
        Some(fields::session_expires(value).ok_or(Error::Malformed(Header::SessionExpires)))
    }

    /// The first Contact; `*` is an error here (only REGISTER has it).
    pub fn contact(&self) -> Result<NameAddr<'a>, Error> {
        let first = self.values(Header::Contact).next().ok_or(Error::Missing(Header::Contact))?;
        NameAddr::parse(first).map_err(|_| Error::Malformed(Header::Contact))
    }
}

impl<'a> Checked<'a> {
    /// Reads the index, then what every message must have. What is wrong first is the error.
    fn read(head: &mut Head<'a>, datagram: &'a [u8]) -> Result<Checked<'a>, Error> {
        let after_head = head.read()?;
        let start = Start::parse(head.start_line())?;
        check_presence(head)?;
        let value = |header| head.header(header).ok_or(Error::Missing(header));
        let address = |header| NameAddr::parse(value(header)?).map_err(|_| Error::Malformed(header));
        let via = fields::top_via(value(Header::Via)?, &start)?;
        let (from, to) = (address(Header::From)?, address(Header::To)?);
        let call_id = fields::call_id(value(Header::CallId)?)?;
        let cseq = fields::cseq_of(value(Header::CSeq)?, &start)?;
        let max_forwards = fields::max_forwards(head)?;
        let body = fields::body(head, after_head)?;
        let excess = after_head.len() - body.len();
        let bytes = datagram.get(..datagram.len() - excess).unwrap_or_default();
        Ok(Checked { start, via, from, to, call_id, cseq, max_forwards, bytes, body })
    }
}

fn check_presence(head: &Head<'_>) -> Result<(), Error> {
    if let Some(header) = Header::first_of(head.missing(Header::MANDATORY)) {
        return Err(Error::Missing(header));
    }
    match Header::first_of(head.repeated(Header::SINGLE)) {
        Some(header) => Err(Error::Repeated(header)),
        None => Ok(()),
    }
}

impl<'a> Deref for Message<'a> {
    type Target = Head<'a>;
    fn deref(&self) -> &Head<'a> {
        &self.head
    }
}

/// Whether a datagram is only CR and LF: a keep-alive (RFC 5626 §3.5.1, and older habits), to be dropped without a word.
pub fn is_keep_alive(datagram: &[u8]) -> bool {
    datagram.iter().all(|byte| matches!(byte, b'\r' | b'\n'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GOOD: &str = "INVITE sip:foo%2Fweb@192.0.2.9:5060;user=phone SIP/2.0\r\n\
        Via: SIP/2.0/UDP 192.0.2.1:5070;rport;branch=z9hG4bK776asdhds\r\n\
        Max-Forwards: 70\r\n\
        To: <sip:foo@192.0.2.9>\r\n\
        From: \"Caller, A.\" <sip:+4930123@trunk.example>;tag=1928301774\r\n\
        Call-ID: a84b4c76e66710@trunk.example\r\n\
        CSeq: 314159 INVITE\r\n\
        Contact: <sip:caller@192.0.2.1:5070>\r\n\
        Session-Expires: 1800;refresher=uac\r\n\
        Supported: timer, 100rel\r\n\
        X-Bridge-Token: abc\r\n\
        Content-Type: application/sdp; charset=utf-8\r\n\
        Content-Length: 5\r\n\r\nv=0\r\n";

    fn error_of(text: &[u8]) -> Option<Error> {
        Message::parse(text).err().map(|broken| broken.error)
    }

    fn with(from: &str, to: &str) -> String {
        assert!(GOOD.contains(from), "{from}");
        GOOD.replacen(from, to, 1)
    }

    #[test]
    fn a_good_message_is_read_whole() {
        let message = Message::parse(GOOD.as_bytes()).unwrap();
        let Start::Request { method: Method::Invite, uri } = message.start() else { panic!("no INVITE") };
        assert_eq!((uri.user, uri.port), (Some(&b"foo%2Fweb"[..]), Some(5060)));
        assert_eq!(message.via().branch(), Some(&b"z9hG4bK776asdhds"[..]));
        assert_eq!((message.from().tag(), message.to().tag()), (Some(&b"1928301774"[..]), None));
        assert_eq!(message.call_id(), b"a84b4c76e66710@trunk.example");
        assert_eq!(message.cseq(), CSeq { number: 314_159, method: Method::Invite });
        assert_eq!((message.max_forwards(), message.body()), (Some(70), &b"v=0\r\n"[..]));
        assert_eq!(message.content_type(), Some((&b"application"[..], &b"sdp"[..])));
        assert_eq!(message.contact().unwrap().uri.as_bytes(), b"sip:caller@192.0.2.1:5070");
        assert_eq!(message.number(Header::SessionExpires), Some(Ok(1800)));
        assert_eq!(message.number(Header::Expires), None);
        assert!(message.lists(Header::Supported, "100REL") && !message.lists(Header::Supported, "rel"));
        assert_eq!((message.other("x-bridge-token"), message.others("X-Bridge-Token").count()), (Some(&b"abc"[..]), 1));
        assert_eq!(message.bytes(), GOOD.as_bytes());
    }

    #[test]
    fn the_body_is_as_long_as_content_length_says() {
        for (from, to, body) in [
            ("Content-Length: 5", "Content-Length: 2", "v="),
            ("Content-Length: 5", "l:0", ""),
            ("Content-Length: 5", "Content-Length: 0000000005", "v=0\r\n"),
            ("Content-Length: 5\r\n", "", "v=0\r\n"),
        ] {
            let text = with(from, to);
            let message = Message::parse(text.as_bytes()).unwrap();
            assert_eq!(message.body(), body.as_bytes(), "{to}");
            assert!(message.bytes().ends_with(format!("\r\n\r\n{body}").as_bytes()), "{to}");
        }
    }

    #[test]
    fn what_two_readers_could_read_differently_is_refused() {
        use Error::{BodyShort, CSeqMethod, HeaderName, LineEnding, Malformed, Missing, NoBlankLine, Repeated};
        for (from, to, error) in [
            ("Content-Length: 5", "Content-Length: 5\r\nContent-Length: 0", Repeated(Header::ContentLength)),
            ("Content-Length: 5", "Content-Length: 5\r\nl: 5", Repeated(Header::ContentLength)),
            ("Content-Length: 5", "Content-Length: 5x", Malformed(Header::ContentLength)),
            ("Content-Length: 5", "Content-Length: -5", Malformed(Header::ContentLength)),
            ("Content-Length: 5", "Content-Length: +5", Malformed(Header::ContentLength)),
            ("Content-Length: 5", "Content-Length: 5, 5", Malformed(Header::ContentLength)),
            ("Content-Length: 5", "Content-Length: 5 5", Malformed(Header::ContentLength)),
            ("Content-Length: 5", "Content-Length:", Malformed(Header::ContentLength)),
            ("Content-Length: 5", "Content-Length: 4294967301", Malformed(Header::ContentLength)),
            ("Content-Length: 5", "Content-Length: 18446744073709551621", Malformed(Header::ContentLength)),
            ("Content-Length: 5", "Content-Length: 6", BodyShort),
            ("Content-Length: 5", "Content-Length: 4294967295", BodyShort),
            ("\r\nTo:", "\nTo:", LineEnding),
            ("\r\nTo:", "\rTo:", LineEnding),
            ("\r\nTo:", "\n\r\nTo:", LineEnding),
            ("Content-Length: 5\r\n\r\n", "Content-Length: 5\r\n", HeaderName),
            ("Content-Length: 5\r\n\r\nv=0\r\n", "Content-Length: 5\r\n", NoBlankLine),
            ("Max-Forwards", "f: <sip:evil@x>;tag=2\r\nMax-Forwards", Repeated(Header::From)),
            ("Max-Forwards", "FROM\t: <sip:evil@x>;tag=2\r\nMax-Forwards", Repeated(Header::From)),
            ("Max-Forwards", "t: <sip:evil@x>\r\nMax-Forwards", Repeated(Header::To)),
            ("Max-Forwards", "i: 1\r\nMax-Forwards", Repeated(Header::CallId)),
            ("Max-Forwards", "cseq: 1 INVITE\r\nMax-Forwards", Repeated(Header::CSeq)),
            ("Max-Forwards: 70", "Max-Forwards: 70\r\nMax-Forwards: 1", Repeated(Header::MaxForwards)),
            ("Content-Type", "c: text/plain\r\nContent-Type", Repeated(Header::ContentType)),
            ("Session-Expires", "x: 90\r\nSession-Expires", Repeated(Header::SessionExpires)),
            ("Max-Forwards", "\u{ff}\u{ff}\r\nMax-Forwards", HeaderName),
            ("tag=1928301774", "tag=1928301774, <sip:evil@x>;tag=2", Malformed(Header::From)),
            ("tag=1928301774", "tag=1928301774;tag=2", Malformed(Header::From)),
            ("tag=1928301774", "TAG;x=y", Malformed(Header::From)),
            ("z9hG4bK776asdhds", "z9hG4bK776asdhds;branch=z9hG4bK2", Malformed(Header::Via)),
            ("branch=z9hG4bK776asdhds", "branch=z9hG4bK", Malformed(Header::Via)),
            ("CSeq: 314159 INVITE", "CSeq: 314159 ACK", CSeqMethod),
            ("CSeq: 314159 INVITE", "CSeq: 314159 invite", CSeqMethod),
            ("a84b4c76e66710@trunk.example", "a84b4c76e66710 @trunk.example", Malformed(Header::CallId)),
            ("a84b4c76e66710@trunk.example", "", Malformed(Header::CallId)),
            ("Via: SIP/2.0/UDP 192.0.2.1:5070;rport;branch=z9hG4bK776asdhds\r\n", "", Missing(Header::Via)),
            ("Call-ID: a84b4c76e66710@trunk.example\r\n", "", Missing(Header::CallId)),
        ] {
            assert_eq!(error_of(with(from, to).as_bytes()), Some(error), "{to:?}");
        }
    }

    #[test]
    fn numbers_have_their_range() {
        for (from, to, header) in [
            ("CSeq: 314159", "CSeq: 2147483648", Header::CSeq),
            ("CSeq: 314159", "CSeq: 4294967296", Header::CSeq),
            ("CSeq: 314159", "CSeq: 36893488147419103232", Header::CSeq),
            ("CSeq: 314159", "CSeq: -1", Header::CSeq),
            ("CSeq: 314159", "CSeq:", Header::CSeq),
            ("Max-Forwards: 70", "Max-Forwards: 256", Header::MaxForwards),
            ("Max-Forwards: 70", "Max-Forwards: 300", Header::MaxForwards),
            ("Max-Forwards: 70", "Max-Forwards: -1", Header::MaxForwards),
            ("Max-Forwards: 70", "Max-Forwards: 4294967366", Header::MaxForwards),
            ("192.0.2.1:5070;rport", "192.0.2.1:70606;rport", Header::Via),
            ("192.0.2.1:5070;rport", "192.0.2.1:0;rport", Header::Via),
        ] {
            assert_eq!(error_of(with(from, to).as_bytes()), Some(Error::Malformed(header)), "{to}");
        }
        for (from, to) in [
            ("CSeq: 314159", "CSeq: 2147483647"),
            ("CSeq: 314159", "CSeq: 0"),
            ("Max-Forwards: 70", "Max-Forwards: 255"),
            ("Max-Forwards: 70", "Max-Forwards: 0068"),
            ("192.0.2.1:5070;rport", "192.0.2.1:65535;rport"),
        ] {
            assert_eq!(error_of(with(from, to).as_bytes()), None, "{to}");
        }
    }

    #[test]
    fn compact_and_folded_headers_are_read_right() {
        let mut text = GOOD.to_string();
        for (long, compact) in [
            ("Via:", "v :"),
            ("To:", "T:\r\n"),
            ("From:", "f\t:"),
            ("Call-ID:", "i:"),
            ("Contact:", "m:"),
            ("Supported:", "k:"),
            ("Content-Type:", "c:"),
            ("Content-Length:", "l:"),
            ("Session-Expires:", "x:"),
        ] {
            text = text.replacen(long, compact, 1);
        }
        let text =
            text.replacen(" <sip:+4930123", "\r\n\t<sip:+4930123", 1).replacen(";tag=", "\r\n ;\r\n tag\r\n =\r\n ", 1);
        let message = Message::parse(text.as_bytes()).unwrap();
        assert_eq!(message.from().tag(), Some(&b"1928301774"[..]));
        assert_eq!(message.to().uri.as_bytes(), b"sip:foo@192.0.2.9");
        assert_eq!((message.body(), message.number(Header::SessionExpires)), (&b"v=0\r\n"[..], Some(Ok(1800))));
    }

    #[test]
    fn a_broken_request_is_answered_only_when_an_answer_can_be_made() {
        for (from, to, status) in [
            ("Content-Length: 5", "Content-Length: 9999", Some(400)),
            ("SIP/2.0\r\nVia: SIP/2.0", "SIP/7.0\r\nVia: SIP/7.0", Some(505)),
            ("INVITE sip", "ACK sip", None),
            ("INVITE sip", "INV(ITE sip", None),
            ("CSeq: 314159", "CSeq: 9999999999", Some(400)),
            ("Max-Forwards", "From: sip:x\r\nMax-Forwards", Some(400)),
            (";rport;branch", ";;,;,,;branch", Some(400)),
            ("SIP/2.0/UDP 192.0.2.1:5070", "SIP/2.0/UDP ", None),
            ("Call-ID: a84b4c76e66710@trunk.example\r\n", "", None),
            ("\r\nX-Bridge", "\nX-Bridge", Some(400)),
            ("\r\nTo", "\nTo", None),
        ] {
            let text = with(from, to);
            let broken = Message::parse(text.as_bytes()).err().unwrap();
            assert_eq!(broken.reply_status(), status, "{to:?} {broken:?}");
        }
        let response = "SIP/2.0 200 OK\r\nVia: x\r\n\r\n";
        assert_eq!(Message::parse(response.as_bytes()).err().unwrap().reply_status(), None);
    }

    #[test]
    fn keep_alives_are_told_from_messages() {
        assert!(is_keep_alive(b"\r\n\r\n") && is_keep_alive(b"") && !is_keep_alive(GOOD.as_bytes()));
    }

    #[test]
    fn seconds_may_have_a_comment_and_parameters() {
        for (value, expected) in [
            ("120", Some(120)),
            ("18000;duration=3600", Some(18_000)),
            ("120 (I'm in a meeting)", Some(120)),
            ("120 (busy) ;duration=5", Some(120)),
            ("949302838503028349304023988", None),
            ("4294967296", None),
            ("-1", None),
            ("12 13", None),
            ("", None),
        ] {
            let text = with("X-Bridge-Token: abc", &format!("Retry-After: {value}"));
            let seconds = Message::parse(text.as_bytes()).unwrap().number(Header::RetryAfter);
            assert_eq!(seconds, Some(expected.ok_or(Error::Malformed(Header::RetryAfter))), "{value}");
        }
    }

    #[test]
    fn rack_names_the_response_it_acknowledges() {
        let text = with("X-Bridge-Token: abc", "RAck: 776656 1 INVITE");
        let rack = Message::parse(text.as_bytes()).unwrap().rack();
        assert_eq!(rack, Some(Ok(RAck { rseq: 776_656, cseq: CSeq { number: 1, method: Method::Invite } })));
        let text = with("X-Bridge-Token: abc", "RAck: 776656 1");
        assert_eq!(Message::parse(text.as_bytes()).unwrap().rack(), Some(Err(Error::Malformed(Header::RAck))));
    }

    /// Reads everything there is to read.
    fn exhaust(message: &Message<'_>) {
        let mut buffer = [0; 64];
        let addresses = message.contacts().chain(message.routes()).chain(message.record_routes());
        for address in addresses.flatten().chain([message.from(), message.to()]) {
            let _ =
                (address.display_unquoted(&mut buffer).is_some(), address.uri.user_unescaped(&mut buffer).is_some());
            assert!(address.uri.same(&address.uri));
        }
        let _ = message.vias().flatten().filter(|via| via.received().is_some() || via.rport().is_some()).count();
        let _ = (message.contact().is_ok(), message.content_type(), message.rack(), message.number(Header::Expires));
        let _ = (message.other("X-Bridge-Token"), message.lists(Header::Supported, "timer"));
    }

    /// What is accepted says the same when its bytes are read again, and a reply to it is a message about the same thing.
    fn check_reread(bytes: &[u8]) {
        let path = crate::sip::wire::Path {
            transport: crate::sip::wire::Transport::Udp,
            local: "192.0.2.9:5060".parse().unwrap(),
            peer: "198.51.100.1:5060".parse().unwrap(),
        };
        let mut out = bytes::BytesMut::new();
        let message = match Message::parse(bytes) {
            Ok(message) => message,
            Err(broken) => {
                let Some(head) = broken.answerable() else { return };
                return write::reply(&mut out, head, &write::Reply::new(400), &path);
            }
        };
        exhaust(&message);
        let again = Message::parse(message.bytes()).unwrap();
        assert_eq!((again.start(), again.via(), again.from()), (message.start(), message.via(), message.from()));
        assert_eq!((again.to(), again.cseq(), again.body()), (message.to(), message.cseq(), message.body()));
        let reply = write::Reply { to_tag: Some("1"), ..write::Reply::new(200) };
        write::reply(&mut out, &message, &reply, &path);
        let reply = Message::parse(&out).unwrap_or_else(|broken| panic!("{:?} {}", broken.error, out.escape_ascii()));
        assert_eq!((reply.call_id(), reply.cseq()), (message.call_id(), message.cseq()));
        assert_eq!((reply.via().branch(), reply.from().tag()), (message.via().branch(), message.from().tag()));
        assert_eq!(reply.to().tag(), message.to().tag().or(Some(b"1")));
        assert_eq!(reply.vias().count(), message.vias().count());
    }

    /// Bytes that mean something to the grammar, so that mutations reach deep.
    const MEANINGFUL: &[&str] = &[
        "\r\n", "\r", "\n", " ", "\t", ":", ";", ",", "=", "\"", "\\", "<", ">", "@", "%", "%00", "[", "]", "/", "?",
        "-", "0", "\0", "\u{ff}", "v:", "tag=",
    ];

    proptest! {
        #[test]
        fn mutations_never_panic_and_what_is_accepted_rereads_the_same(
            changes in prop::collection::vec((0..GOOD.len(), 0..3usize, 0..MEANINGFUL.len(), any::<u8>()), 0..6)
        ) {
            let mut bytes = GOOD.as_bytes().to_vec();
            for (at, kind, word, byte) in changes {
                let at = at.min(bytes.len());
                match kind {
                    0 => drop(bytes.splice(at..at, MEANINGFUL[word].bytes())),
                    1 => drop(bytes.splice(at..(at + 1 + usize::from(byte) % 4).min(bytes.len()), [])),
                    _ => drop(bytes.splice(at..(at + 1).min(bytes.len()), [byte])),
                }
            }
            check_reread(&bytes);
        }

        #[test]
        fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            check_reread(&bytes);
        }
    }
}
