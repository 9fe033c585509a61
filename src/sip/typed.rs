//! The one door to the rsip crate: typed values for cold edges, where a record or an event wants a value it can own.
//! What comes in is a single value that `wire` has cut out and read. Not here: messages; `.clippy.toml` bans rsip's.

use super::wire::{Host, NameAddr, Scheme, Uri};
use crate::limits;
use bytes::BytesMut;
use rsip::headers::UntypedHeader;

/// A SIP URI for records and events: host in lower case, no password, no headers, and of the parameters only those that say
/// who is meant and how to get there. `None` for what is no SIP or SIPS URI.
pub fn uri(value: &[u8]) -> Option<rsip::Uri> {
    let read = Uri::parse(value).ok()?;
    let scheme = match read.scheme {
        Scheme::Sip => rsip::Scheme::Sip,
        Scheme::Sips => rsip::Scheme::Sips,
        Scheme::Other(_) => return None,
    };
    let auth = match read.user {
        Some(user) => Some(rsip::Auth { user: text(user)?.to_owned(), password: None }),
        None => None,
    };
    let host_with_port = rsip::HostWithPort { host: host(&read.host?)?, port: read.port.map(rsip::Port::from) };
    let kept = ["user", "transport"].iter().filter_map(|name| param(&read, name));
    Some(rsip::Uri { scheme: Some(scheme), auth, host_with_port, params: kept.collect(), headers: Vec::new() })
}

fn host(host: &Host<'_>) -> Option<rsip::Host> {
    Some(match host {
        Host::Name(name) => rsip::Host::Domain(text(name)?.to_ascii_lowercase().into()),
        Host::V4(ip) => rsip::Host::IpAddr((*ip).into()),
        // rsip writes an IPv6 address without its brackets, which nobody could read back.
        Host::V6(ip) => rsip::Host::Domain(format!("[{ip}]").into()),
    })
}

fn param(uri: &Uri<'_>, name: &str) -> Option<rsip::Param> {
    let value = text(uri.param(name)??)?.to_ascii_lowercase();
    rsip::Param::try_from((name, Some(&*value))).ok()
}

/// The display name for people and records: unquoted, invalid UTF-8 replaced, without what could steer a terminal or turn the
/// direction of writing (RELIABILITY A21), cut to [`DISPLAY_NAME_CHARS_MAX`](limits::DISPLAY_NAME_CHARS_MAX).
pub fn display_name(address: &NameAddr<'_>) -> Option<String> {
    let mut buffer = vec![0; address.display?.len()];
    let name = String::from_utf8_lossy(address.display_unquoted(&mut buffer)?);
    let shown: String = name.chars().filter(|char| !steers(*char)).take(limits::DISPLAY_NAME_CHARS_MAX).collect();
    (!shown.trim().is_empty()).then(|| shown.trim().to_owned())
}

/// Controls, line and paragraph separators, and the marks that embed, override and isolate directions.
fn steers(char: char) -> bool {
    char.is_control() || matches!(char, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// One Warning value (RFC 3261 §20.43), folds undone: a code, who warns, and a text that is still to be escaped.
pub fn warning(value: &[u8]) -> Option<rsip::typed::Warning> {
    let mut unfolded = BytesMut::new();
    super::wire::write::unfold(&mut unfolded, value);
    rsip::headers::Warning::new(text(&unfolded)?).try_into().ok()
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_types, reason = "rsip is the oracle here")]
    use super::*;
    use crate::sip::wire::{Message, Start};
    use rsip::message::HeadersExt as _;
    use rsip::prelude::ToTypedHeader as _;

    #[test]
    fn a_uri_is_normalised() {
        for (from, to) in [
            ("sip:Foo@EXAMPLE.com", Some("sip:Foo@example.com")),
            ("sips:foo:secret@h.example:5061;lr;user=Phone?Subject=x", Some("sips:foo@h.example:5061;user=phone")),
            ("sip:[2001:DB8::1]:5070", Some("sip:[2001:db8::1]:5070")),
            ("sip:foo%2Fweb@192.0.2.1;transport=UDP", Some("sip:foo%2Fweb@192.0.2.1;transport=UDP")),
            ("tel:+4930", None),
            ("nonsense", None),
        ] {
            assert_eq!(uri(from.as_bytes()).map(|uri| uri.to_string()).as_deref(), to, "{from}");
        }
    }

    #[test]
    fn a_display_name_cannot_steer() {
        for (from, to) in [
            ("\"J\u{f6}rg \\\"X\\\"\" <sip:a@b>", Some("J\u{f6}rg \"X\"")),
            ("\"a\\\0\\\x1b[31mb\u{202e}c\r\n d\" <sip:a@b>", Some("a[31mbc d")),
            ("\"\" <sip:a@b>", None),
            ("<sip:a@b>", None),
        ] {
            let address = NameAddr::parse(from.as_bytes()).unwrap();
            assert_eq!(display_name(&address).as_deref(), to, "{from:?}");
        }
        let long = format!("\"{}\" <sip:a@b>", "x".repeat(10_000));
        let shown = display_name(&NameAddr::parse(long.as_bytes()).unwrap());
        assert_eq!(shown.map(|name| name.len()), Some(limits::DISPLAY_NAME_CHARS_MAX));
    }

    #[test]
    fn a_warning_is_read() {
        let warning = warning(b"307 isi.edu \"Session parameter 'foo' not understood\"").unwrap();
        assert_eq!(warning.code, 307);
    }

    /// Ordinary messages, in which nothing is in doubt. No dot in a user part: rsip 0.4 then sees no user.
    fn corpus() -> Vec<String> {
        let mut all = Vec::new();
        for uri in [
            "sip:foo@example.com",
            "sip:+4930123@192.0.2.1:5070;user=phone",
            "sip:example.com",
            "sip:ab@h.example:5061",
        ] {
            for (method, number) in [("INVITE", 1), ("BYE", 2_147_483_647), ("OPTIONS", 0), ("REGISTER", 4711)] {
                for tag in ["", ";tag=to-9.1"] {
                    all.push(format!(
                        "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP pc33.example.com:5066;branch=z9hG4bK{number}\r\n\
                         Via: SIP/2.0/UDP 192.0.2.7;branch=z9hG4bKx\r\nMax-Forwards: 70\r\nTo: Bob <{uri}>{tag}\r\n\
                         From: \"Alice A.\" <sip:alice@atlanta.example>;tag=19283{number}\r\nCall-ID: {number}@pc33\r\n\
                         CSeq: {number} {method}\r\nContact: <{uri}>\r\nContent-Length: 0\r\n\r\n"
                    ));
                }
            }
        }
        all
    }

    #[test]
    fn ordinary_messages_read_as_rsip_reads_them() {
        for text in corpus() {
            let ours = Message::parse(text.as_bytes()).unwrap();
            let theirs = rsip::Request::try_from(text.as_str()).unwrap();
            let string = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            assert_eq!(string(ours.call_id()), theirs.call_id_header().unwrap().value());
            let cseq = theirs.cseq_header().unwrap().typed().unwrap();
            assert_eq!(
                (ours.cseq().number, string(ours.cseq().method.as_bytes())),
                (cseq.seq, cseq.method.to_string())
            );
            let (from, to) = (theirs.from_header().unwrap(), theirs.to_header().unwrap());
            assert_eq!(ours.from().tag().map(string), from.tag().unwrap().map(|tag| tag.to_string()));
            assert_eq!(ours.to().tag().map(string), to.tag().unwrap().map(|tag| tag.to_string()));
            let via = theirs.via_header().unwrap().typed().unwrap();
            assert_eq!(ours.via().branch().map(string), via.branch().map(|branch| branch.to_string()));
            let Start::Request { uri, .. } = ours.start() else { panic!("a response") };
            for (ours, theirs) in [
                (uri, theirs.uri.clone()),
                (ours.to().uri, to.typed().unwrap().uri),
                (ours.from().uri, from.typed().unwrap().uri),
            ] {
                assert_eq!(ours.user.map(string).as_deref(), theirs.user());
                assert_eq!(ours.port, theirs.port().map(|port| *port.value()));
                let host = host(&ours.host.unwrap()).unwrap();
                assert_eq!(host.to_string(), theirs.host().to_string());
            }
        }
    }
}
