//! What a body is, as far as anybody here needs it (RFC 3261 §7.4, RFC 2046 §5.1): a session description, by itself or as the one
//! such part of a `multipart/mixed`; something sealed; or something that is none of our business.
//! Not here: what a description says (`sdp`). Parts are only found, never copied, and never looked into for further parts.

use super::abnf::{self, header_params};
use super::frame::trim;
use super::params::Params;
use super::{Head, Header, Message, fields};
use crate::limits;
use memchr::memmem;

/// What a body is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Content<'b> {
    /// There is none.
    Empty,
    /// `application/sdp`, or the part of a `multipart/mixed` that is.
    Description(&'b [u8]),
    /// Something that is encrypted (RFC 3261 §23.4.3, RFC 1847): we have no key for anything.
    Sealed,
    /// Anything else, and a multipart that two readers could take apart differently.
    Unknown,
}

impl<'a> Message<'a> {
    /// What the body is.
    pub fn content(&self) -> Content<'a> {
        self.content_of(self.body())
    }

    /// The session description in the body; empty if there is none.
    pub fn description(&self) -> &'a [u8] {
        match self.content() {
            Content::Description(description) => description,
            Content::Empty | Content::Sealed | Content::Unknown => &[],
        }
    }
}

impl Head<'_> {
    /// What the body is that belongs to this head.
    pub fn content_of<'b>(&self, body: &'b [u8]) -> Content<'b> {
        if body.is_empty() {
            return Content::Empty;
        }
        self.header(Header::ContentType).and_then(media_type).map_or(Content::Unknown, |(kind, params)| match kind {
            Kind::Description => Content::Description(body),
            Kind::Sealed => Content::Sealed,
            Kind::Mixed => mixed(params, body).map_or(Content::Unknown, Content::Description),
            Kind::Other => Content::Unknown,
        })
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Description,
    Mixed,
    Sealed,
    Other,
}

/// A Content-Type: which kind, and its parameters.
fn media_type(value: &[u8]) -> Option<(Kind, Params<'_>)> {
    let (rest, (name, subtype)) = fields::media_type(value).ok()?;
    let (params, _) = abnf::whole(header_params(b""), rest)?;
    let is = |one: &[u8], other: &[u8]| name.eq_ignore_ascii_case(one) && subtype.eq_ignore_ascii_case(other);
    let kind = if is(b"application", b"sdp") {
        Kind::Description
    } else if is(b"multipart", b"mixed") {
        Kind::Mixed
    } else if is(b"application", b"pkcs7-mime") || is(b"multipart", b"encrypted") {
        Kind::Sealed
    } else {
        Kind::Other
    };
    Some((kind, Params::of_checked(params)))
}

/// The one session description among the parts. `None` as well when a part that we do not know must not be ignored (RFC 5621 §8.3;
/// what says nothing may be, as every trunk that adds ISUP expects).
fn mixed<'b>(params: Params<'_>, body: &'b [u8]) -> Option<&'b [u8]> {
    let boundary = unquoted(params.get("boundary")??);
    if boundary.is_empty() || boundary.len() > BOUNDARY_BYTES_MAX {
        return None;
    }
    let delimiter = [b"\r\n--", boundary].concat();
    // The first delimiter may stand at the very beginning, without the line before it.
    let mut rest = match body.strip_prefix(delimiter.get(2..)?) {
        Some(rest) => rest,
        None => body.get(memmem::find(body, &delimiter)? + delimiter.len()..)?,
    };
    let (mut found, mut count) = (None, 0);
    while !rest.starts_with(b"--") {
        count += 1;
        let part = line_end(rest).filter(|_| count <= limits::SIP_BODY_PARTS_MAX)?;
        // A part may be empty: then the line end before its delimiter is the one after the last.
        let end = memmem::find(part, &delimiter)?;
        let (part, after) = part.split_at_checked(end)?;
        rest = after.get(delimiter.len()..)?;
        match read_part(part)? {
            Some(_) if found.is_some() => return None,
            Some(description) => found = Some(description),
            None => {}
        }
    }
    found
}

/// RFC 2046 §5.1.1.
const BOUNDARY_BYTES_MAX: usize = 70;

fn unquoted(value: &[u8]) -> &[u8] {
    value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value)
}

/// What follows a delimiter's line, if nothing but white space is on it.
fn line_end(rest: &[u8]) -> Option<&[u8]> {
    let spaces = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    rest.get(spaces..)?.strip_prefix(b"\r\n")
}

/// The description in a part, if it is one. The outer `None`: the part cannot be read, or may not be ignored.
fn read_part(part: &[u8]) -> Option<Option<&[u8]>> {
    let (head, content) = match part.strip_prefix(b"\r\n") {
        Some(content) => (&[][..], content),
        None => part.split_at_checked(memmem::find(part, b"\r\n\r\n")?)?,
    };
    let content = content.strip_prefix(b"\r\n\r\n").unwrap_or(content);
    let kind = header(head, b"Content-Type").and_then(media_type).map_or(Kind::Other, |(kind, _)| kind);
    let is_plain = |name: &[u8], plain: &[&[u8]]| {
        header(head, name).is_none_or(|value| plain.iter().any(|word| value.eq_ignore_ascii_case(word)))
    };
    let is_readable = is_plain(b"Content-Transfer-Encoding", &[b"7bit", b"8bit", b"binary"])
        && is_plain(b"Content-Encoding", &[b"identity"]);
    match kind {
        Kind::Description if is_readable => Some(Some(content)),
        Kind::Description => None,
        Kind::Mixed | Kind::Sealed | Kind::Other => (!is_required(head)).then_some(None),
    }
}

/// RFC 3204 §4: `handling=required`.
fn is_required(head: &[u8]) -> bool {
    header(head, b"Content-Disposition").is_some_and(|value| {
        value.split(|byte| *byte == b';').skip(1).any(|param| {
            let mut words = param.split(|byte| *byte == b'=').map(<[u8]>::trim_ascii);
            let is = |word: Option<&[u8]>, wanted: &[u8]| word.is_some_and(|word| word.eq_ignore_ascii_case(wanted));
            is(words.next(), b"handling") && is(words.next().map(unquoted), b"required")
        })
    })
}

/// The value of a part's header, folds inside; the first of that name.
fn header<'b>(head: &'b [u8], name: &[u8]) -> Option<&'b [u8]> {
    let mut rest = head;
    while !rest.is_empty() {
        let mut end = memmem::find(rest, b"\r\n").unwrap_or(rest.len());
        while matches!(rest.get(end + 2), Some(b' ' | b'\t')) {
            let after = rest.get(end + 2..).unwrap_or_default();
            end += 2 + memmem::find(after, b"\r\n").unwrap_or(after.len());
        }
        let line = rest.get(..end).unwrap_or_default();
        if let Some((found, value)) = memchr::memchr(b':', line).and_then(|colon| line.split_at_checked(colon))
            && trim(found).eq_ignore_ascii_case(name)
        {
            return value.strip_prefix(b":").map(trim);
        }
        rest = rest.get(end + 2..).unwrap_or_default();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(content_type: &str, body: &str, expected: Content<'_>) {
        let text = format!(
            "INVITE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKx\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>\r\n\
             Call-ID: 1\r\nCSeq: 1 INVITE\r\n{content_type}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let message = Message::parse(text.as_bytes()).unwrap();
        assert_eq!(message.content(), expected, "{content_type} {body:?}");
    }

    const MIXED: &str = "Content-Type: multipart/mixed;boundary=\"x y\"\r\n";
    const SDP: &str = "Content-Type: application/sdp\r\n\r\nv=0\r\n";

    #[test]
    fn a_body_is_what_its_type_says() {
        check("", "", Content::Empty);
        check("Content-Type: text/plain\r\n", "", Content::Empty);
        check("", "v=0", Content::Unknown);
        check("c : Application/SDP ; charset=utf-8\r\n", "v=0", Content::Description(b"v=0"));
        check("Content-Type: application/pkcs7-mime; smime-type=enveloped-data\r\n", "x", Content::Sealed);
        check("Content-Type: multipart/encrypted;boundary=b;protocol=\"p\"\r\n", "x", Content::Sealed);
        check("Content-Type: multipart/signed;boundary=b\r\n", "x", Content::Unknown);
        check("Content-Type: application/sdp x\r\n", "v=0", Content::Unknown);
    }

    #[test]
    fn the_description_is_found_among_the_parts() {
        let other = "Content-Type: application/isup\r\nContent-Disposition: signal;handling=optional\r\n\r\n\u{1}\r\n";
        for body in [
            format!("--x y\r\n{SDP}\r\n--x y--\r\n"),
            format!("a preamble\r\n--x y \t\r\n{SDP}\r\n--x y\r\n{other}\r\n--x y--"),
            format!("--x y\r\n{other}\r\n--x y\r\n{SDP}\r\n--x y--an epilogue"),
            format!("--x y\r\n\r\nplain text\r\n--x y\r\n{SDP}\r\n--x y--"),
            "--x y\r\ncontent-type :\r\n application/sdp\r\n\r\nv=0\r\n\r\n--x y--".into(),
            format!("--x y\r\nContent-Transfer-Encoding: 8BIT\r\n{SDP}\r\n--x y--"),
        ] {
            check(MIXED, &body, Content::Description(b"v=0\r\n"));
        }
    }

    #[test]
    fn what_could_be_taken_apart_in_two_ways_is_none_of_ours() {
        let many = |count: usize| format!("{}--x y--", "--x y\r\n\r\nt\r\n".repeat(count));
        let required = "Content-Type: application/x\r\nContent-Disposition: x; Handling = required\r\n\r\nx";
        for body in [
            "no delimiter at all".into(),
            format!("--x y\r\n{SDP}\r\n--x y\r\n{SDP}\r\n--x y--"),
            format!("--x y\r\n{SDP}\r\n"),
            format!("--x yz\r\n{SDP}\r\n--x yz--"),
            format!("--x y\r\n{SDP}\r\n--x y\r\n{required}\r\n--x y--"),
            format!("--x y\r\nContent-Transfer-Encoding: base64\r\n{SDP}\r\n--x y--"),
            format!("--x y\r\nContent-Encoding: gzip\r\n{SDP}\r\n--x y--"),
            "--x y\r\nContent-Type: text/plain\r\n\r\nx\r\n--x y--".into(),
            many(limits::SIP_BODY_PARTS_MAX + 1),
        ] {
            check(MIXED, &body, Content::Unknown);
        }
        check("Content-Type: multipart/mixed\r\n", "--\r\n\r\n----", Content::Unknown);
        check("Content-Type: multipart/mixed;boundary=\"\"\r\n", "--\r\n\r\n----", Content::Unknown);
    }

    #[test]
    fn there_is_a_last_part() {
        let parts = |count: usize| "--x y\r\n\r\nt\r\n".repeat(count);
        let most = limits::SIP_BODY_PARTS_MAX;
        check(MIXED, &format!("{}--x y\r\n{SDP}\r\n--x y--", parts(most - 1)), Content::Description(b"v=0\r\n"));
        check(MIXED, &format!("{}--x y\r\n{SDP}\r\n--x y--", parts(most)), Content::Unknown);
    }

    proptest::proptest! {
        #[test]
        fn no_body_breaks_the_reader(body in "(--b|\r\n|--|:|Content-Type: application/sdp|v=0| |b){0,40}") {
            let head = "Content-Type: multipart/mixed;boundary=b\r\n";
            let text = format!("X sip:a SIP/2.0\r\n{head}\r\n{body}");
            let (head, body) = Head::of_kept(text.as_bytes()).unwrap();
            let _ = head.content_of(body);
        }
    }
}
