//! The basic rules of RFC 3261 §25.1, one production a function, named as there.
//! Not here: rules of one header. White space is that of a value whose framing has been checked: a CRLF in it is always a fold.

use nom::bytes::complete::{take_while, take_while1};
use nom::character::complete::char as byte;
use nom::combinator::{cut, opt, recognize};
use nom::multi::many0_count;
use nom::sequence::{delimited, pair, preceded};
use nom::{IResult, Parser};

/// What a production gives: the rest and its value, or nothing to say about why not.
pub(super) type Parsed<'a, T> = IResult<&'a [u8], T, ()>;

pub(super) const TOKEN: u8 = 1;
pub(super) const USER: u8 = 2;
pub(super) const PASSWORD: u8 = 4;
pub(super) const PARAM: u8 = 8;
pub(super) const HNV: u8 = 16;
pub(super) const HOST: u8 = 32;
pub(super) const URIC: u8 = 64;
pub(super) const VALUE: u8 = 128;

/// Which classes each byte is of; one load decides, where a chain of comparisons would be the cost of the whole parser.
static CLASSES: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut at = 0;
    while at < 26 {
        table[b'a' as usize + at] = 0xff;
        table[b'A' as usize + at] = 0xff;
        if at < 10 {
            table[b'0' as usize + at] = 0xff;
        }
        at += 1;
    }
    table = with(table, TOKEN, b"-.!%*_+`'~");
    // unreserved and escaped, then user-unreserved. `#` is not in it, but star codes (`*31#`) come unescaped.
    table = with(table, USER, b"-_.!~*'()%&=+$,;?/#");
    table = with(table, PASSWORD, b"-_.!~*'()%&=+$,");
    table = with(table, PARAM, b"-_.!~*'()%[]/:&+$");
    table = with(table, HNV, b"-_.!~*'()%[]/?:+$=&");
    // A hostname has no `_`, but hosts inside of companies do.
    table = with(table, HOST, b"-._");
    table = with(table, URIC, b"-_.!~*'()%;/?:@&=+$,#[]");
    // gen-value: token or host, and what phones put unquoted into tags; nothing that ends a value or is in an address.
    with(table, VALUE, b"-.!%*_+`'~[]:/=&$()")
}

const fn with(mut table: [u8; 256], class: u8, bytes: &[u8]) -> [u8; 256] {
    let mut at = 0;
    while at < bytes.len() {
        table[bytes[at] as usize] |= class;
        at += 1;
    }
    table
}

/// Whether a byte is of a class.
#[expect(clippy::indexing_slicing, reason = "256 entries for a byte")]
pub(super) fn is(class: u8, byte: u8) -> bool {
    CLASSES[usize::from(byte)] & class != 0
}

/// One or more bytes of a class.
pub(super) fn run<'a>(class: u8) -> impl Fn(&'a [u8]) -> Parsed<'a, &'a [u8]> {
    move |input| take_while1(|byte| is(class, byte))(input)
}

pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// `token`
pub(super) fn token(input: &[u8]) -> Parsed<'_, &[u8]> {
    run(TOKEN)(input)
}

/// `SWS`
pub(super) fn sws(input: &[u8]) -> Parsed<'_, &[u8]> {
    take_while(is_space)(input)
}

/// `LWS`
pub(super) fn lws(input: &[u8]) -> Parsed<'_, &[u8]> {
    take_while1(is_space)(input)
}

/// `SEMI`, `EQUAL`, `SLASH`, `COLON`: a separator with white space round it.
pub(super) fn separator<'a>(separator: char) -> impl Fn(&'a [u8]) -> Parsed<'a, char> {
    move |input| delimited(sws, byte(separator), sws).parse(input)
}

/// `quoted-string`, its quotes kept.
pub(super) fn quoted_string(input: &[u8]) -> Parsed<'_, &[u8]> {
    recognize((byte('"'), many0_count(qdtext.or(quoted_pair)), byte('"'))).parse(input)
}

/// Some `qdtext` and `LWS`. Not controls: they would reach logs.
fn qdtext(input: &[u8]) -> Parsed<'_, &[u8]> {
    take_while1(|byte| byte >= b' ' && !matches!(byte, b'"' | b'\\' | 0x7f) || is_space(byte))(input)
}

/// `quoted-pair`: any ASCII byte but CR and LF.
fn quoted_pair(input: &[u8]) -> Parsed<'_, &[u8]> {
    let escaped = nom::bytes::complete::take(1usize);
    let allowed = nom::combinator::verify(escaped, |byte: &[u8]| byte.is_ascii() && byte != b"\r" && byte != b"\n");
    recognize(pair(byte('\\'), allowed)).parse(input)
}

/// `generic-param`: a name, and a value if it has one.
pub(super) fn generic_param(input: &[u8]) -> Parsed<'_, (&[u8], Option<&[u8]>)> {
    pair(token, opt(preceded(separator('='), cut(gen_value)))).parse(input)
}

/// `gen-value`
fn gen_value(input: &[u8]) -> Parsed<'_, &[u8]> {
    match input.first() {
        Some(b'"') => quoted_string(input),
        Some(_) | None => run(VALUE)(input),
    }
}

/// `*( SEMI generic-param )`
pub(super) fn header_params(input: &[u8]) -> Parsed<'_, &[u8]> {
    // What follows a SEMI must be a parameter: `;;` and a `;` at the end are refused, not overlooked (RFC 4475 §3.1.2.1).
    recognize(many0_count(preceded(separator(';'), cut(generic_param)))).parse(input)
}

/// `1*DIGIT`, at most ten of them, as a number; never wrapped (RELIABILITY A12).
pub(super) fn number(input: &[u8]) -> Parsed<'_, u32> {
    let (rest, digits) = take_while1(|byte: u8| byte.is_ascii_digit())(input)?;
    let value = (digits.len() <= 10).then(|| decimal(digits)).flatten();
    value.map(|value| (rest, value)).ok_or(nom::Err::Error(()))
}

fn decimal(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0u32, |sum, digit| sum.checked_mul(10)?.checked_add(u32::from(digit.checked_sub(b'0')?)))
}

/// `port`: 1 to 65535.
pub(super) fn port(input: &[u8]) -> Parsed<'_, u16> {
    nom::combinator::map_opt(number, |number| u16::try_from(number).ok().filter(|port| *port != 0)).parse(input)
}

/// Whether every `%` begins an `escaped`: `"%" HEXDIG HEXDIG`.
pub(super) fn escapes_are_whole(bytes: &[u8]) -> bool {
    memchr::memchr_iter(b'%', bytes).all(|at| hex_pair(bytes.get(at + 1..)).is_some())
}

/// The byte that two hexadecimal digits stand for.
pub(super) fn hex_pair(digits: Option<&[u8]>) -> Option<u8> {
    let mut digits = digits?.iter().map(|digit| char::from(*digit).to_digit(16));
    let (high, low) = (digits.next()??, digits.next()??);
    u8::try_from(high << 4 | low).ok()
}

/// Bytes with escapes undone, one at a time. A `%` that begins no escape stays.
pub(super) fn unescaped(bytes: &[u8]) -> impl Iterator<Item = u8> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (first, after) = rest.split_first()?;
        let (byte, after) = match hex_pair((*first == b'%').then_some(after)) {
            Some(byte) => (byte, after.get(2..).unwrap_or_default()),
            None => (*first, after),
        };
        rest = after;
        Some(byte)
    })
}

/// Runs a production that must fill all of `input`.
pub(super) fn whole<'a, T>(production: impl Fn(&'a [u8]) -> Parsed<'a, T>, input: &'a [u8]) -> Option<T> {
    match production(input) {
        Ok(([], value)) => Some(value),
        Ok(_) | Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_never_wrapped() {
        for (text, expected) in [
            ("0", Some(0)),
            ("0068", Some(68)),
            ("2147483647", Some(2_147_483_647)),
            ("2147483648", Some(2_147_483_648)),
            ("4294967295", Some(u32::MAX)),
            ("4294967296", None),
            ("4294967297", None),
            ("9999999999", None),
            ("18446744073709551616", None),
            ("00000000001", None),
            ("", None),
            ("-1", None),
            ("+1", None),
            ("1x", None),
        ] {
            assert_eq!(whole(number, text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn a_port_is_1_to_65535() {
        for (text, expected) in
            [("0", None), ("1", Some(1)), ("65535", Some(65535)), ("65536", None), ("5060", Some(5060))]
        {
            assert_eq!(whole(port, text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn quoted_strings_end_at_their_own_quote() {
        for (text, whole_string) in [
            (r#""""#, true),
            (r#""a\"b""#, true),
            (r#""a\\""#, true),
            ("\"a\r\n b\"", true),
            ("\"\\\0\"", true),
            (r#""a"#, false),
            (r#""a\"#, false),
            (r#""a"b"#, false),
            ("\"a\0\"", false),
            ("\"\\\r\"", false),
        ] {
            assert_eq!(whole(quoted_string, text.as_bytes()).is_some(), whole_string, "{text:?}");
        }
    }

    #[test]
    fn parameters_are_checked_to_the_last_byte() {
        for (text, good) in [
            ("", true),
            (";a", true),
            (" ; a = b ; c=\"d;e\"", true),
            (";received=2001:db8::9:255", true),
            (";received=[2001:db8::9]", true),
            (";;a", false),
            (";a;", false),
            (";a=", false),
            (";a=b c", false),
            (";a=b,c", false),
            (";a=\"b", false),
        ] {
            assert_eq!(whole(header_params, text.as_bytes()).is_some(), good, "{text:?}");
        }
    }
}
