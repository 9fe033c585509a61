//! The values that are checked in every message (RFC 3261 §8.1.1, §20), and the small ones that are read when asked for.
//! Not here: addresses and Via, which have files of their own.

use super::abnf::{self, Parsed, lws, number, separator, token};
use super::{CSeq, Error, Head, Header, Method, RAck, Start, Via, values};
use nom::Parser;
use nom::combinator::{map, verify};
use nom::sequence::{pair, separated_pair};

/// The first Via value. In a request its branch is not the magic cookie alone: every such request would be the same
/// transaction (RFC 4475 §3.2.1).
pub(super) fn top_via<'a>(line: &'a [u8], start: &Start<'_>) -> Result<Via<'a>, Error> {
    let bad = Error::Malformed(Header::Via);
    let (first, _) = values::split_value(line);
    let via = Via::parse(super::frame::trim(first)).map_err(|_| bad)?;
    let cookie_alone = via.branch().is_some_and(|branch| branch.eq_ignore_ascii_case(b"z9hG4bK"));
    if cookie_alone && start.method().is_some() { Err(bad) } else { Ok(via) }
}

/// `callid`, with more bytes than the grammar has: it is only ever compared. No white space, and none of the separators
/// that would end it in Replaces or Target-Dialog.
pub(super) fn call_id(value: &[u8]) -> Result<&[u8], Error> {
    let good = !value.is_empty() && value.iter().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b',' | b';'));
    if good { Ok(value) } else { Err(Error::Malformed(Header::CallId)) }
}

/// The value of CSeq in a message with this start line.
pub(super) fn cseq_of<'a>(value: &'a [u8], start: &Start<'_>) -> Result<CSeq<'a>, Error> {
    let cseq = abnf::whole(cseq, value).ok_or(Error::Malformed(Header::CSeq))?;
    match start.method() {
        Some(method) if method != cseq.method => Err(Error::CSeqMethod),
        Some(_) | None => Ok(cseq),
    }
}

/// `1*DIGIT LWS Method`. RFC 3261 §8.1.1.5: below 2^31.
fn cseq(input: &[u8]) -> Parsed<'_, CSeq<'_>> {
    let number = verify(number, |number| *number < 1 << 31);
    map(separated_pair(number, lws, token), |(number, token)| CSeq { number, method: Method::of(token) }).parse(input)
}

/// RFC 3262 §7.2: `response-num LWS CSeq-num LWS Method`
pub(super) fn rack(input: &[u8]) -> Parsed<'_, RAck<'_>> {
    map(separated_pair(number, lws, cseq), |(rseq, cseq)| RAck { rseq, cseq }).parse(input)
}

/// Max-Forwards: 0 to 255 (RFC 3261 §20.22).
pub(super) fn max_forwards(head: &Head<'_>) -> Result<Option<u8>, Error> {
    let Some(value) = head.header(Header::MaxForwards) else { return Ok(None) };
    let hops = abnf::whole(number, value).and_then(|hops| u8::try_from(hops).ok());
    hops.map(Some).ok_or(Error::Malformed(Header::MaxForwards))
}

/// The body of a datagram: as long as Content-Length says, or all that is left (RFC 3261 §18.3).
pub(super) fn body<'a>(head: &Head<'_>, after_head: &'a [u8]) -> Result<&'a [u8], Error> {
    let Some(value) = head.header(Header::ContentLength) else { return Ok(after_head) };
    let length = abnf::whole(number, value).and_then(|length| usize::try_from(length).ok());
    let length = length.ok_or(Error::Malformed(Header::ContentLength))?;
    after_head.get(..length).ok_or(Error::BodyShort)
}

/// `m-type SLASH m-subtype`
pub(super) fn media_type(input: &[u8]) -> Parsed<'_, (&[u8], &[u8])> {
    separated_pair(token, separator('/'), token).parse(input)
}

/// `delta-seconds`, perhaps with a comment (Retry-After) and parameters.
pub(super) fn delta_seconds(value: &[u8]) -> Option<u32> {
    let (rest, seconds) = number(value).ok()?;
    let (rest, _) = pair(abnf::sws, nom::combinator::opt(comment)).parse(rest).ok()?;
    abnf::whole(abnf::header_params, rest).map(|_| seconds)
}

/// `comment`, without one in another.
fn comment(input: &[u8]) -> Parsed<'_, &[u8]> {
    use nom::bytes::complete::{tag, take_while};
    let text = take_while(|byte| !matches!(byte, b'(' | b')' | b'\\'));
    nom::sequence::delimited(tag(&b"("[..]), text, tag(&b")"[..])).parse(input)
}
