//! The Via header (RFC 3261 §20.42): where a request went, where its answer goes.
//! Not here: adding `received` and `rport` (`write`).

use super::abnf::{self, Given, Param, Parsed, lws, separator, token};
use super::{Error, Host, Params, host};
use nom::Parser;
use nom::bytes::complete::{take, take_while};
use nom::combinator::consumed;
use nom::sequence::preceded;
use std::net::IpAddr;

/// One via-parm.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Via<'a> {
    /// The transport as it was written: `UDP`, `TLS`, …
    pub transport: &'a [u8],
    /// The host of sent-by.
    pub host: Host<'a>,
    /// The port of sent-by, 1 to 65535.
    pub port: Option<u16>,
    /// The parameters.
    pub params: Params<'a>,
    sent_by: &'a [u8],
    branch: Option<&'a [u8]>,
    rport: Option<Option<u16>>,
    source: Source,
    bytes: &'a [u8],
}

/// Where in the value `received` and `rport` are, which an answer has of its own (RFC 3261 §18.2.1, RFC 3581 §4). Noted while the
/// value is read, so that whoever answers need not read it again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Source {
    #[default]
    Nowhere,
    /// In one place: from the first `;` up to what follows.
    At(u16, u16),
    /// In more places than one, or too far out.
    Scattered,
}

impl<'a> Via<'a> {
    /// Reads one value, which fills all of `value`.
    pub fn parse(value: &'a [u8]) -> Result<Via<'a>, Error> {
        abnf::whole(via_parm, value).ok_or(Error::ViaParm)
    }

    /// The value as it was written.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Host and port as they were written, without white space around them.
    pub fn sent_by(&self) -> &'a [u8] {
        self.sent_by
    }

    /// The branch. Absent from an RFC 2543 element.
    pub fn branch(&self) -> Option<&'a [u8]> {
        self.branch
    }

    /// Where the request before us says it saw that one come from; with or without brackets (RFC 5118 §4.5).
    pub fn received(&self) -> Option<IpAddr> {
        host::address(self.params.get("received")??)
    }

    /// RFC 3581: absent, asked for (`Some(None)`), or filled in.
    pub fn rport(&self) -> Option<Option<u16>> {
        self.rport
    }

    /// What an answer keeps of the value, before and behind `received` and `rport`; `None` if it takes a walk over the
    /// parameters to tell.
    pub(super) fn around_source(&self) -> Option<(&'a [u8], &'a [u8])> {
        match self.source {
            Source::Nowhere => Some((self.bytes, &[])),
            Source::At(from, to) => Some((self.bytes.get(..from.into())?, self.bytes.get(to.into()..)?)),
            Source::Scattered => None,
        }
    }
}

/// Whether a value says at least who sent it and how, so that it can be answered although its parameters are wrong.
pub(super) fn begins_well(value: &[u8]) -> bool {
    protocol_and_sent_by(value).is_ok()
}

/// `via-parm`
pub(super) fn via_parm(input: &[u8]) -> Parsed<'_, Via<'_>> {
    let (params, (transport, (sent_by, (host, port)))) = protocol_and_sent_by(input)?;
    let (mut rest, mut noted) = (params, Noted::default());
    while let Some((after, param)) = abnf::next_param(rest)? {
        noted.note(param, input.len() - rest.len(), input.len() - after.len())?;
        rest = after;
    }
    let (_, params) = take(params.len() - rest.len())(params)?;
    let (_, bytes) = take(input.len() - rest.len())(input)?;
    let (params, branch) = (Params::of_checked(params), noted.branch.flatten());
    let Noted { rport, source, .. } = noted;
    Ok((rest, Via { transport, host, port, params, sent_by, branch, rport, source, bytes }))
}

/// What the parameters say that is asked for in each request.
#[derive(Default)]
struct Noted<'a> {
    branch: Given<'a>,
    rport: Option<Option<u16>>,
    source: Source,
}

impl<'a> Noted<'a> {
    /// One parameter, and where it is. Two branches are refused, as [`abnf::header_params`] has it.
    fn note(&mut self, (name, value): Param<'a>, from: usize, to: usize) -> Result<(), nom::Err<()>> {
        if name.eq_ignore_ascii_case(b"branch") {
            return self.branch.replace(value).map_or(Ok(()), |_| Err(nom::Err::Failure(())));
        }
        if name.eq_ignore_ascii_case(b"rport") {
            self.rport.get_or_insert(value.and_then(|digits| abnf::whole(abnf::port, digits)));
        }
        if is_source(name) {
            self.source = self.source.and(from, to);
        }
        Ok(())
    }
}

impl Source {
    /// With another of them, from its `;` up to what follows; side by side they are one place.
    fn and(self, from: usize, to: usize) -> Source {
        match (self, u16::try_from(from), u16::try_from(to)) {
            (Source::Nowhere, Ok(from), Ok(to)) => Source::At(from, to),
            (Source::At(first, end), Ok(from), Ok(to)) if end == from => Source::At(first, to),
            (Source::Nowhere | Source::At(..) | Source::Scattered, _, _) => Source::Scattered,
        }
    }
}

/// Whether a parameter says where a request came from.
pub(super) fn is_source(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"rport") || name.eq_ignore_ascii_case(b"received")
}

/// The transport, the bytes of sent-by, and what they say.
type ProtocolAndSentBy<'a> = (&'a [u8], (&'a [u8], (Host<'a>, Option<u16>)));

/// `sent-protocol LWS sent-by`
fn protocol_and_sent_by(input: &[u8]) -> Parsed<'_, ProtocolAndSentBy<'_>> {
    let (rest, transport) = sent_protocol(input)?;
    let (rest, _) = lws(rest)?;
    let (rest, sent_by) = consumed(host::sent_by).parse(rest)?;
    Ok((rest, (transport, sent_by)))
}

/// `sent-protocol`: name and version are any token, so that a request of another version can be answered (RFC 4475 §3.1.2.16).
fn sent_protocol(input: &[u8]) -> Parsed<'_, &[u8]> {
    if let Some(transport) = input.strip_prefix(b"SIP/2.0/") {
        return preceded(take_while(abnf::is_space), token).parse(transport);
    }
    preceded((token, separator(b'/'), token, separator(b'/')), token).parse(input)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn via(text: &str) -> Via<'_> {
        Via::parse(text.as_bytes()).unwrap_or_else(|_| panic!("{text}"))
    }

    #[test]
    fn transport_sent_by_and_branch_are_found() {
        for (text, transport, sent_by, port, branch) in [
            ("SIP/2.0/UDP a.example;branch=z9hG4bK1", "UDP", "a.example", None, Some("z9hG4bK1")),
            ("SIP / 2.0 / TCP\t192.0.2.1:5070", "TCP", "192.0.2.1:5070", Some(5070), None),
            ("SIP/2.0/TLS [2001:db8::1]:5061 ; Branch = x", "TLS", "[2001:db8::1]:5061", Some(5061), Some("x")),
            ("SIP/2.0\r\n /UDP\r\n  192.0.2.2;branch=390skdjuw", "UDP", "192.0.2.2", None, Some("390skdjuw")),
            ("SIP/7.0/UNKNOWN t4.example;rport", "UNKNOWN", "t4.example", None, None),
        ] {
            let via = via(text);
            assert_eq!((via.transport, via.sent_by()), (transport.as_bytes(), sent_by.as_bytes()), "{text}");
            assert_eq!((via.port, via.branch()), (port, branch.map(str::as_bytes)), "{text}");
        }
    }

    #[test]
    fn received_has_brackets_or_not() {
        for (text, expected) in [
            (";received=192.0.2.1", Some("192.0.2.1")),
            (";received=2001:db8::9:255", Some("2001:db8::9:255")),
            (";received=[2001:db8::9:255]", Some("2001:db8::9:255")),
            (";received=example.com", None),
            (";received", None),
            ("", None),
        ] {
            let text = format!("SIP/2.0/UDP a.example{text}");
            assert_eq!(via(&text).received(), expected.map(|ip| ip.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn rport_is_absent_asked_for_or_filled_in() {
        for (text, expected) in
            [("", None), (";rport", Some(None)), (";rport=5062", Some(Some(5062))), (";rport=0", Some(None))]
        {
            let text = format!("SIP/2.0/UDP a.example{text}");
            assert_eq!(via(&text).rport(), expected, "{text}");
        }
    }

    #[test]
    fn what_says_the_source_is_cut_out() {
        for (text, expected) in [
            (";branch=b", Some((";branch=b", ""))),
            (";rport;branch=b", Some(("", ";branch=b"))),
            (";branch=b ; RPort = 1;x", Some((";branch=b", ";x"))),
            (";a;rport;received=192.0.2.1;x", Some((";a", ";x"))),
            (";rport;a;received=192.0.2.1", None),
            (";rport;a;rport", None),
        ] {
            let text = format!("SIP/2.0/UDP a.example{text}");
            let expected = expected.map(|(before, behind)| (format!("SIP/2.0/UDP a.example{before}"), behind));
            let expected = expected.as_ref().map(|(before, behind)| (before.as_bytes(), behind.as_bytes()));
            assert_eq!(via(&text).around_source(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_via_is_refused() {
        for text in [
            "",
            "SIP/2.0/UDP",
            "SIP/2.0 a.example",
            "SIP/2.0/UDP a.example:0",
            "SIP/2.0/UDP a.example:65536",
            "SIP/2.0/UDP a.example:",
            "SIP/2.0/UDP 2001:db8::1",
            "SIP/2.0/UDP a.example;;,;,,",
            "SIP/2.0/UDP a.example;branch=",
            "SIP/2.0/UDP a.example;branch=a;Branch=b",
            "SIP/2.0/UDP a.example;branch=a, SIP/2.0/UDP b.example",
        ] {
            assert_eq!(Via::parse(text.as_bytes()), Err(Error::ViaParm), "{text}");
        }
        assert!(begins_well(b"SIP/2.0/UDP 192.0.2.15;;,;,,") && !begins_well(b"SIP/2.0/UDP ;branch=1"));
    }
}
