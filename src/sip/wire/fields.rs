//! The values that are checked in every message (RFC 3261 §8.1.1, §20), and the small ones that are read when asked for.
//! Not here: addresses and Via, which have files of their own.

use super::abnf::{self, Parsed, lws, number, separator, token};
use super::{CSeq, Error, Head, Header, Method, RAck, Refresher, SessionExpires, Start, Via, via};
use nom::Parser;
use nom::bytes::complete::{tag, take_while};
use nom::combinator::{map, opt};
use nom::sequence::{delimited, separated_pair};

/// The first Via value of a line.
pub(super) fn first_via(line: &[u8]) -> Result<Via<'_>, Error> {
    match via::via_parm(line) {
        Ok((rest, via)) if matches!(abnf::skip_space(rest), [] | [b',', ..]) => Ok(via),
        Ok(_) | Err(_) => Err(Error::Malformed(Header::Via)),
    }
}

/// The first Via value of a message with this start line. In a request its branch is not the magic cookie alone: every such
/// request would be the same transaction (RFC 4475 §3.2.1).
pub(super) fn top_via<'a>(line: &'a [u8], start: &Start<'_>) -> Result<Via<'a>, Error> {
    let via = first_via(line)?;
    let cookie_alone = via.branch().is_some_and(|branch| branch.eq_ignore_ascii_case(b"z9hG4bK"));
    if cookie_alone && start.method().is_some() { Err(Error::Malformed(Header::Via)) } else { Ok(via) }
}

/// `callid`
pub(super) fn call_id(value: &[u8]) -> Result<&[u8], Error> {
    abnf::whole(abnf::run(abnf::CALL_ID), value).ok_or(Error::Malformed(Header::CallId))
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
    let (rest, number) = number(input)?;
    let (rest, _) = lws(rest)?;
    let (rest, method) = token(rest)?;
    if number < CSEQ_BELOW { Ok((rest, CSeq { number, method: Method::of(method) })) } else { Err(nom::Err::Error(())) }
}

const CSEQ_BELOW: u32 = 1 << 31;

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
    separated_pair(token, separator(b'/'), token).parse(input)
}

/// `delta-seconds`, perhaps with a comment (Retry-After) and parameters.
pub(super) fn delta_seconds(value: &[u8]) -> Option<u32> {
    let (rest, seconds) = number(value).ok()?;
    let (rest, _) = opt(comment).parse(abnf::skip_space(rest)).ok()?;
    abnf::whole(abnf::header_params(b""), rest).map(|_| seconds)
}

/// RFC 4028 §4: `delta-seconds *(SEMI se-params)`. A refresher that is neither of the two is as good as none.
pub(super) fn session_expires(value: &[u8]) -> Option<SessionExpires> {
    let (rest, seconds) = number(value).ok()?;
    let (_, refresher) = abnf::whole(abnf::header_params(b"refresher"), rest)?;
    let refresher = refresher.flatten();
    let role = [Refresher::Uac, Refresher::Uas]
        .into_iter()
        .find(|role| refresher.is_some_and(|word| word.eq_ignore_ascii_case(role.as_str().as_bytes())));
    Some(SessionExpires { seconds, refresher: role })
}

/// `comment`, without one in another.
fn comment(input: &[u8]) -> Parsed<'_, &[u8]> {
    let text = take_while(|byte| !matches!(byte, b'(' | b')' | b'\\'));
    delimited(tag(&b"("[..]), text, tag(&b")"[..])).parse(input)
}
