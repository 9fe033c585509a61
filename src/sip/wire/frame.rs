//! From a datagram to the lines of its head: where each header field is, and nothing about what it says.
//! Here is where two parsers could read the same bytes differently, so here is no tolerance: CRLF alone ends a line,
//! a name is a token, an empty line ends the head. Not here: whether the message is a good one (`Message::parse`).

use super::abnf::{self, TOKEN, is_space, skip_space};
use super::values::Values;
use super::{Error, Header, Method, start_line, via};
use crate::limits;
use arrayvec::ArrayVec;

/// Where one header field's value is, without the white space round it; its name is what follows the white space behind the value
/// of the line before. Offsets from the start of the message. 6 bytes, so that an index of 20 is two cache lines.
#[derive(Clone, Copy, Debug)]
struct HeaderLine {
    id: Header,
    /// Whether the value has a fold in it, which a writer must take out.
    folded: bool,
    start: u16,
    end: u16,
}

/// The header fields of a message, by position: an index over its bytes, not a copy. [`Message`](super::Message) derefs to it.
pub struct Head<'a> {
    bytes: &'a [u8],
    start_line: &'a [u8],
    lines: ArrayVec<HeaderLine, { limits::SIP_HEADERS_MAX }>,
    /// One bit for each [`Header`] that is there, and for each that is there on more than one line.
    seen: u64,
    repeated: u64,
    /// For each header that is there, its first line, so that none is searched for.
    first_lines: [u8; Header::COUNT],
}

/// The raw value of a header line.
#[derive(Clone, Copy)]
pub(super) struct Raw<'a> {
    pub(super) value: &'a [u8],
    pub(super) folded: bool,
}

impl<'a> Head<'a> {
    /// The index of a message that was read before and kept as [`Message::bytes`](super::Message::bytes), and its body. Nothing
    /// is judged again, which is most of the work of reading. `None` for what was never a message.
    pub fn of_kept(message: &'a [u8]) -> Option<(Head<'a>, &'a [u8])> {
        let mut head = Head::new(message);
        let body = head.read().ok()?;
        Some((head, body))
    }

    /// The method of a request.
    pub fn method(&self) -> Option<Method<'a>> {
        start_line::method_of(self.start_line)
    }

    /// The first raw value of a header: trimmed, folds still inside.
    pub fn header(&self, header: Header) -> Option<&'a [u8]> {
        self.first(header).map(|raw| raw.value)
    }

    /// The raw value of each line of a header, in order; may hold several values each.
    pub fn headers(&self, header: Header) -> impl Iterator<Item = &'a [u8]> + use<'a, '_> {
        self.raw(header).map(|raw| raw.value)
    }

    /// Each comma-separated value of a header over all its lines, in order, trimmed. Commas in quotes and in `<>` do not separate.
    pub fn values(&self, header: Header) -> impl Iterator<Item = &'a [u8]> + use<'a, '_> {
        self.headers(header).flat_map(Values::of)
    }

    /// The raw value of a header that is not in [`Header`], by name without regard to case. The first, if there are more.
    pub fn other(&self, name: &str) -> Option<&'a [u8]> {
        self.others(name).next()
    }

    /// Every raw value of a header that is not in [`Header`], so that a sensitive one can be refused when it is there twice.
    pub fn others<'n>(&self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n, '_> {
        let is_it = |line: &[u8]| abnf::token(line).is_ok_and(|(_, token)| token.eq_ignore_ascii_case(name.as_bytes()));
        let unknown = self.named().filter(|(header, _)| *header == Header::Other);
        unknown.filter(move |(_, (line, _))| is_it(line)).map(|(_, (_, value))| value)
    }

    /// Whether a list header (Require, Supported, Allow, …) has this token, without regard to case.
    pub fn lists(&self, header: Header, token: &str) -> bool {
        self.values(header).any(|value| value.eq_ignore_ascii_case(token.as_bytes()))
    }

    /// The first line.
    pub(super) fn start_line(&self) -> &'a [u8] {
        self.start_line
    }

    /// The raw value of each line of a header, and whether it is folded.
    pub(super) fn raw(&self, header: Header) -> impl Iterator<Item = Raw<'a>> + use<'a, '_> {
        let bytes = self.bytes;
        let lines = match (self.seen & header.bit(), self.repeated & header.bit()) {
            (0, _) => &[],
            (_, 0) => self.lines.get(self.first_of(header)).map_or(&[][..], std::slice::from_ref),
            (_, _) => self.lines.get(self.first_of(header)..).unwrap_or_default(),
        };
        lines.iter().filter(move |line| line.id == header).map(move |line| line.raw(bytes))
    }

    /// The raw value of the first line of a header, and whether it is folded.
    pub(super) fn first(&self, header: Header) -> Option<Raw<'a>> {
        let line = self.lines.get(self.first_of(header)).filter(|line| line.id == header)?;
        Some(line.raw(self.bytes))
    }

    fn first_of(&self, header: Header) -> usize {
        self.first_lines.get(header.index()).map_or(usize::MAX, |line| usize::from(*line))
    }

    /// Each header field in order: which, its line from the name on, and its value.
    fn named(&self) -> impl Iterator<Item = (Header, (&'a [u8], &'a [u8]))> + use<'a, '_> {
        let bytes = self.bytes;
        let mut before_ends = self.start_line.len();
        self.lines.iter().map(move |line| {
            let named = skip_space(bytes.get(before_ends..).unwrap_or_default());
            before_ends = usize::from(line.end);
            (line.id, (named, line.raw(bytes).value))
        })
    }

    /// The headers that are there on more than one line, of a set.
    pub(super) fn repeated(&self, set: u64) -> u64 {
        self.repeated & set
    }

    /// The headers of a set that are not there.
    pub(super) fn missing(&self, set: u64) -> u64 {
        set & !self.seen
    }

    /// Whether a response could be made: whom to answer, and what to copy.
    pub(super) fn has_reply_headers(&self) -> bool {
        self.missing(Header::MANDATORY) == 0 && self.values(Header::Via).next().is_some_and(via::begins_well)
    }

    /// An index of nothing yet, over a datagram.
    pub(super) fn new(bytes: &'a [u8]) -> Head<'a> {
        Head { bytes, start_line: &[], lines: ArrayVec::new(), seen: 0, repeated: 0, first_lines: [0; Header::COUNT] }
    }

    /// Finds the lines up to the empty one, and returns what follows it. After an error, the lines before it are there.
    pub(super) fn read(&mut self) -> Result<&'a [u8], Error> {
        if self.bytes.len() > limits::SIP_BYTES_MAX {
            return Err(Error::TooLong);
        }
        let (line, mut rest) = split_line(self.bytes)?;
        self.start_line = line;
        loop {
            if let Some(body) = rest.strip_prefix(b"\r\n") {
                return Ok(body);
            }
            rest = self.read_field(rest)?;
        }
    }

    /// Indexes one header field, folds included, and returns what follows it.
    fn read_field(&mut self, input: &'a [u8]) -> Result<&'a [u8], Error> {
        let (id, value) = match Header::of_usual_line(input) {
            Some(usual) => usual,
            None => split_name(input)?,
        };
        let (mut field, mut rest) = split_line(value)?;
        let mut folded = false;
        while let [b' ' | b'\t', ..] = rest {
            let (line, after) = split_line(rest)?;
            // A line of nothing but white space would end the head for a reader that trims lines first.
            if line.iter().all(|byte| is_space(*byte)) {
                return Err(Error::Fold);
            }
            rest = after;
            folded = true;
            field = value.get(..value.len() - rest.len() - CRLF_BYTES).unwrap_or_default();
        }
        let value = skip_space(field);
        let start = self.bytes.len() - rest.len() - CRLF_BYTES - value.len();
        let end = start + trim_end(value).len();
        self.push(HeaderLine { id, folded, start: offset(start)?, end: offset(end)? })?;
        Ok(rest)
    }

    fn push(&mut self, line: HeaderLine) -> Result<(), Error> {
        let bit = line.id.bit();
        if self.seen & bit != 0 {
            self.repeated |= bit;
        } else if let (Some(first), Ok(at)) =
            (self.first_lines.get_mut(line.id.index()), u8::try_from(self.lines.len()))
        {
            *first = at;
        }
        self.seen |= bit;
        self.lines.try_push(line).map_err(|_| Error::TooManyHeaders)
    }
}

impl HeaderLine {
    fn raw<'a>(&self, bytes: &'a [u8]) -> Raw<'a> {
        let value = bytes.get(usize::from(self.start)..usize::from(self.end)).unwrap_or_default();
        Raw { value, folded: self.folded }
    }
}

const CRLF_BYTES: usize = 2;

/// How far into the message, as the index has it.
fn offset(at: usize) -> Result<u16, Error> {
    u16::try_from(at).map_err(|_| Error::TooLong)
}

/// A line without its CRLF, and what follows. A CR or LF that is not part of a CRLF is nowhere in a head.
fn split_line(bytes: &[u8]) -> Result<(&[u8], &[u8]), Error> {
    let at = memchr::memchr2(b'\r', b'\n', bytes).ok_or(Error::NoBlankLine)?;
    let (line, rest) = bytes.split_at_checked(at).ok_or(Error::NoBlankLine)?;
    let rest = rest.strip_prefix(b"\r\n").ok_or(Error::LineEnding)?;
    Ok((line, rest))
}

/// `header-name HCOLON`: which header, and what follows the colon. RFC 3261 §25.1: white space may be before the colon, but no
/// fold.
fn split_name(bytes: &[u8]) -> Result<(Header, &[u8]), Error> {
    let Some(colon) = memchr::memchr(b':', bytes) else {
        return Err(if bytes.contains(&b'\n') { Error::HeaderName } else { Error::NoBlankLine });
    };
    let (name, rest) = bytes.split_at_checked(colon).ok_or(Error::NoBlankLine)?;
    let name = without_trailing_space(name);
    let value = rest.strip_prefix(b":").filter(|_| is_token(name)).ok_or(Error::HeaderName)?;
    Ok((Header::of(name), value))
}

fn is_token(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|byte| abnf::is(TOKEN, *byte))
}

fn without_trailing_space(mut name: &[u8]) -> &[u8] {
    while let [rest @ .., b' ' | b'\t'] = name {
        name = rest;
    }
    name
}

/// A value without the white space and folds at its ends.
pub(super) fn trim(value: &[u8]) -> &[u8] {
    trim_end(skip_space(value))
}

fn trim_end(mut value: &[u8]) -> &[u8] {
    while let [rest @ .., last] = value
        && is_space(*last)
    {
        value = rest;
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(fields: &str, expected: Result<&[(Header, &str)], Error>) {
        let text = format!("OPTIONS sip:a SIP/2.0\r\n{fields}\r\n");
        let mut head = Head::new(text.as_bytes());
        let result = head.read();
        let found: Vec<_> = head.named().map(|(id, (_, value))| (id, std::str::from_utf8(value).unwrap())).collect();
        assert_eq!(result.map(|_| &found[..]), expected, "{fields:?}");
    }

    #[test]
    fn names_have_case_compact_forms_and_space_before_the_colon() {
        check("v: 1\r\nVIA:2\r\nvia \t : 3 \r\n", Ok(&[(Header::Via, "1"), (Header::Via, "2"), (Header::Via, "3")]));
        check("Subject:\r\ns :\r\n", Ok(&[(Header::Subject, ""), (Header::Subject, "")]));
    }

    #[test]
    fn a_fold_is_part_of_the_value() {
        check(
            "To :\r\n sip:a ;\r\n\ttag=1\r\nf: x\r\n",
            Ok(&[(Header::To, "sip:a ;\r\n\ttag=1"), (Header::From, "x")]),
        );
        check("Subject: a\r\n b \r\n", Ok(&[(Header::Subject, "a\r\n b")]));
    }

    #[test]
    fn what_would_be_framed_differently_is_refused() {
        for (fields, error) in [
            ("To: a\nVia: b\r\n", Error::LineEnding),
            ("To: a\rVia: b\r\n", Error::LineEnding),
            ("To: a\r\r\nVia: b\r\n", Error::LineEnding),
            ("To: a\r\n\nVia: b\r\n", Error::HeaderName),
            ("To: a\r\n \r\nVia: b\r\n", Error::Fold),
            ("To:\r\n \r\n", Error::Fold),
            (" To: a\r\n", Error::HeaderName),
            ("To\r\n : a\r\n", Error::HeaderName),
            ("To a\r\n", Error::HeaderName),
            (": a\r\n", Error::HeaderName),
            ("T(o: a\r\n", Error::HeaderName),
            ("T\0o: a\r\n", Error::HeaderName),
            ("\u{ff}\u{ff}\r\nRoute: <sip:a>\r\n", Error::HeaderName),
        ] {
            check(fields, Err(error));
        }
    }

    #[test]
    fn a_head_without_its_empty_line_keeps_the_lines_it_has() {
        for text in
            ["", "OPTIONS sip:a SIP/2.0", "OPTIONS sip:a SIP/2.0\r\n", "OPTIONS sip:a SIP/2.0\r\nTo: a\r\n", "O\r\nTo"]
        {
            assert_eq!(Head::new(text.as_bytes()).read(), Err(Error::NoBlankLine), "{text:?}");
        }
        let mut head = Head::new(b"OPTIONS sip:a SIP/2.0\r\nTo: a\r\nFrom: b");
        assert_eq!(head.read(), Err(Error::NoBlankLine));
        assert_eq!((head.header(Header::To), head.header(Header::From)), (Some(&b"a"[..]), None));
    }

    #[test]
    fn there_is_a_last_header_and_a_longest_message() {
        let with = |count: usize| format!("O sip:a SIP/2.0\r\n{}\r\n", "X: y\r\n".repeat(count));
        assert!(Head::new(with(limits::SIP_HEADERS_MAX).as_bytes()).read().is_ok());
        assert_eq!(Head::new(with(limits::SIP_HEADERS_MAX + 1).as_bytes()).read(), Err(Error::TooManyHeaders));
        let of_length = |length: usize| format!("O sip:a SIP/2.0\r\nX: {}\r\n\r\n", "y".repeat(length - 24));
        assert!(Head::new(of_length(limits::SIP_BYTES_MAX).as_bytes()).read().is_ok());
        assert_eq!(Head::new(of_length(limits::SIP_BYTES_MAX + 1).as_bytes()).read(), Err(Error::TooLong));
    }

    #[test]
    fn unknown_headers_are_found_by_name_and_counted() {
        let mut head =
            Head::new(b"O sip:a SIP/2.0\r\nX-Bridge-Token: 1\r\nTo: a\r\nx-bridge-token : 2\r\nX-Bridge: 3\r\n\r\n");
        head.read().unwrap();
        assert_eq!(head.other("X-Bridge-Token"), Some(&b"1"[..]));
        assert_eq!(head.others("x-BRIDGE-token").count(), 2);
        assert_eq!(head.other("To"), None);
    }
}
