//! The basic rules of RFC 3261 §25.1, one production a function, named as there.
//! Not here: rules of one header. White space is that of a value whose framing has been checked: a CRLF in it is always a fold.

use nom::bytes::complete::{take, take_while1};
use nom::character::complete::char as byte;
use nom::combinator::{recognize, verify};
use nom::multi::many0_count;
use nom::sequence::pair;
use nom::{IResult, Parser};

/// What a production gives: the rest and its value, or nothing to say about why not.
pub(super) type Parsed<'a, T> = IResult<&'a [u8], T, ()>;

pub(super) const TOKEN: u16 = 1;
pub(super) const USER: u16 = 2;
pub(super) const PASSWORD: u16 = 4;
pub(super) const PARAM: u16 = 8;
pub(super) const HNV: u16 = 16;
pub(super) const HOST: u16 = 32;
pub(super) const URIC: u16 = 64;
pub(super) const VALUE: u16 = 128;
pub(super) const CALL_ID: u16 = 256;
pub(super) const LABEL: u16 = 512;

/// Letters and digits are of every class.
const ALNUM: u16 = 0x3ff;

/// Which classes each byte is of; one load decides, where a chain of comparisons would be the cost of the whole parser.
static CLASSES: [u16; 256] = classes();

#[expect(clippy::indexing_slicing, reason = "runs in the compiler")]
const fn classes() -> [u16; 256] {
    let mut table = [0; 256];
    let mut at = 0;
    while at < 26 {
        table[b'a' as usize + at] = ALNUM;
        table[b'A' as usize + at] = ALNUM;
        if at < 10 {
            table[b'0' as usize + at] = ALNUM;
        }
        at += 1;
    }
    table = with(table, TOKEN, b"-.!%*_+`'~");
    // unreserved, then user-unreserved; escapes are `escaped_run`'s. `#` is not in it, but star codes (`*31#`) come unescaped.
    table = with(table, USER, b"-_.!~*'()&=+$,;?/#");
    table = with(table, PASSWORD, b"-_.!~*'()&=+$,");
    table = with(table, PARAM, b"-_.!~*'()[]/:&+$");
    table = with(table, HNV, b"-_.!~*'()[]/?:+$=&");
    // A hostname has no `_`, but hosts inside of companies do.
    table = with(table, HOST, b"-._");
    table = with(table, LABEL, b"-_");
    table = with(table, URIC, b"-_.!~*'();/?:@&=+$,#[]");
    // gen-value: token or host, and what phones put unquoted into tags; nothing that ends a value or is in an address.
    table = with(table, VALUE, b"-.!%*_+`'~[]:/=&$()");
    // More than the grammar's `word`s, for it is only ever compared; but no separator that would end it in Replaces.
    with(table, CALL_ID, b"!\"#$%&'()*+-./:<=>?@[\\]^_`{|}~")
}

#[expect(clippy::indexing_slicing, reason = "runs in the compiler")]
const fn with(mut table: [u16; 256], class: u16, bytes: &[u8]) -> [u16; 256] {
    let mut at = 0;
    while at < bytes.len() {
        table[bytes[at] as usize] |= class;
        at += 1;
    }
    table
}

/// Whether a byte is of a class.
#[expect(clippy::indexing_slicing, reason = "256 entries for a byte")]
pub(super) fn is(class: u16, byte: u8) -> bool {
    CLASSES[usize::from(byte)] & class != 0
}

/// One or more bytes of a class.
pub(super) fn run<'a>(class: u16) -> impl Fn(&'a [u8]) -> Parsed<'a, &'a [u8]> {
    move |input| match run_length(class, input) {
        0 => Err(nom::Err::Error(())),
        length => take(length)(input),
    }
}

/// Bytes of a class and whole `escaped`s, perhaps none: `"%" HEXDIG HEXDIG`.
pub(super) fn escaped_run<'a>(class: u16) -> impl Fn(&'a [u8]) -> Parsed<'a, &'a [u8]> {
    move |input| {
        let mut length = run_length(class, input);
        while let Some([b'%', after @ ..]) = input.get(length..)
            && hex_pair(after).is_some()
        {
            length += ESCAPED_BYTES + run_length(class, after.get(2..).unwrap_or_default());
        }
        take(length)(input)
    }
}

const ESCAPED_BYTES: usize = 3;

fn run_length(class: u16, input: &[u8]) -> usize {
    input.iter().position(|byte| !is(class, *byte)).unwrap_or(input.len())
}

pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// What is left without the white space before it.
pub(super) fn skip_space(mut input: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = input
        && is_space(*first)
    {
        input = rest;
    }
    input
}

/// `token`
pub(super) fn token(input: &[u8]) -> Parsed<'_, &[u8]> {
    run(TOKEN)(input)
}

/// `LWS`
pub(super) fn lws(input: &[u8]) -> Parsed<'_, &[u8]> {
    take_while1(is_space)(input)
}

/// `SEMI`, `EQUAL`, `SLASH`, `COLON`: a separator with white space round it.
pub(super) fn separator<'a>(separator: u8) -> impl Fn(&'a [u8]) -> Parsed<'a, ()> {
    move |input| match skip_space(input) {
        [first, rest @ ..] if *first == separator => Ok((skip_space(rest), ())),
        _ => Err(nom::Err::Error(())),
    }
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
    let allowed = verify(take(1usize), |byte: &[u8]| byte.is_ascii() && byte != b"\r" && byte != b"\n");
    recognize(pair(byte('\\'), allowed)).parse(input)
}

/// A parameter's name, and its value if it has one.
pub(super) type Param<'a> = (&'a [u8], Option<&'a [u8]>);

/// Of one parameter: absent, there without a value, or with one.
pub(super) type Given<'a> = Option<Option<&'a [u8]>>;

/// `generic-param`
fn generic_param(input: &[u8]) -> Parsed<'_, Param<'_>> {
    let (rest, name) = token(input)?;
    match separator(b'=')(rest) {
        Ok((rest, ())) => gen_value(rest).map(|(rest, value)| (rest, (name, Some(value)))),
        Err(_) => Ok((rest, (name, None))),
    }
}

/// `gen-value`
fn gen_value(input: &[u8]) -> Parsed<'_, &[u8]> {
    match input.first() {
        Some(b'"') => quoted_string(input),
        Some(_) | None => run(VALUE)(input),
    }
}

/// `*( SEMI generic-param )`: all of them, and the value of the `decisive` one. It is there at most once (RFC 3261 §7.3.1),
/// or two readers could decide differently.
pub(super) fn header_params<'a>(decisive: &'static [u8]) -> impl Fn(&'a [u8]) -> Parsed<'a, (&'a [u8], Given<'a>)> {
    move |input| {
        let (mut rest, mut found) = (input, None);
        while let Some((after, (name, value))) = next_param(rest)? {
            if name.eq_ignore_ascii_case(decisive) && found.replace(value).is_some() {
                return Err(nom::Err::Failure(()));
            }
            rest = after;
        }
        let (_, params) = take(input.len() - rest.len())(input)?;
        Ok((rest, (params, found)))
    }
}

/// `SEMI generic-param`, or nothing. What follows a SEMI must be a parameter: `;;` and a `;` at the end are refused, not
/// overlooked (RFC 4475 §3.1.2.1).
#[inline(always)]
pub(super) fn next_param(input: &[u8]) -> Result<Option<(&[u8], Param<'_>)>, nom::Err<()>> {
    match separator(b';')(input) {
        Ok((after, ())) => generic_param(after).map(Some),
        Err(_) => Ok(None),
    }
}

/// `1*DIGIT`, at most ten of them, as a number; never wrapped (RELIABILITY A12).
pub(super) fn number(input: &[u8]) -> Parsed<'_, u32> {
    let (mut rest, mut number) = (input, 0u32);
    while let [digit @ b'0'..=b'9', after @ ..] = rest {
        let sum = number.checked_mul(10).and_then(|tens| tens.checked_add(u32::from(digit - b'0')));
        number = sum.ok_or(nom::Err::Error(()))?;
        rest = after;
    }
    match input.len() - rest.len() {
        1..=DIGITS_MAX => Ok((rest, number)),
        _ => Err(nom::Err::Error(())),
    }
}

/// The digits of 2^32 - 1.
const DIGITS_MAX: usize = 10;

/// `port`: 1 to 65535.
pub(super) fn port(input: &[u8]) -> Parsed<'_, u16> {
    let (rest, number) = number(input)?;
    let port = u16::try_from(number).ok().filter(|port| *port != 0);
    port.map(|port| (rest, port)).ok_or(nom::Err::Error(()))
}

/// The byte that two hexadecimal digits stand for.
fn hex_pair(digits: &[u8]) -> Option<u8> {
    let mut digits = digits.iter().map(|digit| char::from(*digit).to_digit(16));
    let (high, low) = (digits.next()??, digits.next()??);
    u8::try_from(high << 4 | low).ok()
}

/// Bytes with escapes undone, one at a time. A `%` that begins no escape stays.
pub(super) fn unescaped(bytes: &[u8]) -> impl Iterator<Item = u8> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (first, after) = rest.split_first()?;
        let (byte, after) = match hex_pair(after) {
            Some(byte) if *first == b'%' => (byte, after.get(2..).unwrap_or_default()),
            Some(_) | None => (*first, after),
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
            (";x=1;x=2", true),
            (";tag=1;x=2;TAG=1", false),
        ] {
            assert_eq!(whole(header_params(b"tag"), text.as_bytes()).is_some(), good, "{text:?}");
        }
    }
}
