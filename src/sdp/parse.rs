//! Bytes to a [`Description`]: the grammar of RFC 8866 §9, one production a function.
//! Not here: what may be sent to (`address`) and what is relayed (`media`). Nothing is copied, everything is counted.

use super::crypto::Crypto;
use super::direction::Direction;
use super::media::{Connection, Encoding, Format, Kind, Media, Protocol, Rtcp};
use super::{Description, Error, What};
use crate::limits;
use arrayvec::ArrayVec;
use nom::bytes::complete::{tag, take_while1};
use nom::character::complete::digit1;
use nom::combinator::{map_res, opt, rest};
use nom::sequence::preceded;
use nom::{IResult, Parser};
use std::net::IpAddr;

type Parsed<'a, T> = IResult<&'a [u8], T>;

/// Reads a whole description.
pub(super) fn description(body: &[u8]) -> Result<Description<'_>, Error> {
    if body.len() > limits::SDP_BYTES_MAX {
        return Err(Error { line: 1, what: What::TooLong });
    }
    let mut reader = Reader::default();
    let mut count = 0;
    for line in lines(body) {
        count += 1;
        reader.line(line).map_err(|what| Error { line: count, what })?;
    }
    reader.finish(body).map_err(|what| Error { line: count + 1, what })
}

/// RFC 8866 §5: lines end with CRLF, and LF alone is to be accepted. What ends the body (nothing, or empty lines) is no matter.
fn lines(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    let end = body.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n')).map_or(0, |last| last + 1);
    let mut rest = body.get(..end);
    let next = move || {
        let text = rest?;
        let (line, after) = match memchr::memchr(b'\n', text) {
            Some(at) => (text.get(..at)?, text.get(at + 1..)),
            None => (text, None),
        };
        rest = after;
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    };
    std::iter::from_fn(next)
}

/// What has been read so far. Before the first `m=`, `direction` and `connection` are the session's: what each stream starts with.
#[derive(Default)]
struct Reader<'a> {
    begun: bool,
    origin: Option<&'a [u8]>,
    timing: Option<&'a [u8]>,
    direction: Direction,
    connection: Option<Connection<'a>>,
    attributes: usize,
    /// Whether the last stream had a `c=` of its own.
    media_has_connection: bool,
    media: ArrayVec<Media<'a>, { limits::SDP_MEDIA_MAX }>,
}

impl<'a> Reader<'a> {
    fn line(&mut self, line: &'a [u8]) -> Result<(), What> {
        let (letter, value) = type_letter(line).ok_or(if self.begun { What::Line } else { What::Version })?;
        // RFC 8866 §9: a byte-string has neither. A lone CR or a NUL that we passed on could end a line for somebody else.
        if memchr::memchr2(b'\0', b'\r', value).is_some() {
            return Err(What::Line);
        }
        let value = value.trim_ascii_end();
        if !self.begun {
            self.begun = true;
            return if (letter, value) == (b'v', b"0") { Ok(()) } else { Err(What::Version) };
        }
        match letter {
            b'o' if self.origin.is_none() && is_origin(value) => self.origin = Some(value),
            b'o' => return Err(What::Origin),
            b't' if timing(value).is_err() => return Err(What::Timing),
            b't' => self.timing = self.timing.or(Some(value)),
            b'c' => self.connection(value)?,
            b'm' => self.media(value)?,
            b'a' => self.attribute(value)?,
            b'b' => self.bandwidth(value),
            b'v' => return Err(What::Version),
            // nothing of what they say is relayed: names, repetitions, the obsolete key (RFC 8866 §5)
            _ => {}
        }
        Ok(())
    }

    fn connection(&mut self, value: &'a [u8]) -> Result<(), What> {
        let connection = whole(connection_field(value)).and_then(Words::resolve).ok_or(What::Connection)?;
        match self.media.last_mut() {
            // RFC 8866 §5.7: several are layers of a multicast; the first is the base
            Some(_) if self.media_has_connection => {}
            Some(media) => {
                media.connection = Some(connection);
                self.media_has_connection = true;
            }
            None => self.connection = self.connection.or(Some(connection)),
        }
        Ok(())
    }

    fn media(&mut self, value: &'a [u8]) -> Result<(), What> {
        let (formats, (kind, port, _count, protocol)) = media_field(value).map_err(|_| What::Media)?;
        let port = number(port).ok_or(What::Port)?;
        let (kind, protocol) = (Kind::parse(kind), Protocol::parse(protocol));
        let first_format = words(formats).next().unwrap_or_default();
        if (first_format.is_empty() && port != 0) || !formats.iter().all(|byte| *byte == b' ' || is_visible(*byte)) {
            return Err(What::Media);
        }
        if words(formats).count() > limits::SDP_FORMATS_MAX {
            return Err(What::TooManyFormats);
        }
        self.media_has_connection = false;
        let mut media = Media {
            kind,
            port,
            protocol,
            first_format,
            formats: Vec::new(),
            direction: self.direction,
            connection: self.connection,
            rtcp: None,
            rtcp_mux: false,
            ptime_ms: None,
            crypto: None,
            bandwidth: Vec::new(),
            feedback: Vec::new(),
            t38: Vec::new(),
        };
        if media.has_codecs() {
            let read = rtp_formats(formats).map(|formats| media.formats = formats);
            without_audio(&mut media, read)?;
        }
        self.media.try_push(media).map_err(|_| What::TooManyMedia)
    }

    /// RFC 8866 §5.8: what a sender of video may use. One that is no word and a number is as though absent.
    fn bandwidth(&mut self, value: &'a [u8]) {
        let video = self.media.last_mut().filter(|media| media.kind == Kind::Video);
        let fits = |media: &&mut Media<'_>| media.bandwidth.len() < limits::SDP_BANDWIDTHS_MAX;
        if let Some(media) = video.filter(fits)
            && whole((word_until_colon, tag(":"), digits).parse(value)).is_some()
        {
            media.bandwidth.push(value);
        }
    }

    fn attribute(&mut self, value: &'a [u8]) -> Result<(), What> {
        self.attributes += 1;
        if self.attributes > limits::SDP_ATTRIBUTES_MAX {
            return Err(What::TooManyAttributes);
        }
        let direction = Direction::parse(value);
        let Some(media) = self.media.last_mut() else {
            self.direction = direction.unwrap_or(self.direction);
            return Ok(());
        };
        media.direction = direction.unwrap_or(media.direction);
        if media.is_t38() {
            of_fax(value, media);
        }
        if !media.has_codecs() {
            return Ok(());
        }
        media.rtcp_mux |= matches!(value, b"rtcp-mux" | b"rtcp-mux-only");
        let read = of_codecs(value, media);
        without_audio(media, read)
    }

    fn finish(mut self, bytes: &'a [u8]) -> Result<Description<'a>, What> {
        for media in &mut self.media {
            if media.connection.is_some_and(Connection::is_hold) {
                media.direction = media.direction.and(Direction::SendOnly);
            }
            media.leave_room_for_rtcp();
        }
        let origin = self.origin.ok_or(What::Origin)?;
        Ok(Description { bytes, origin, timing: self.timing.unwrap_or(b"0 0"), media: self.media })
    }
}

// --- lines into their parts -------------------------------------------------------------------------------------------

/// `type "="` and what follows. RFC 8866 §5: a description with a letter that is not known is to be refused.
fn type_letter(line: &[u8]) -> Option<(u8, &[u8])> {
    let [letter, b'=', value @ ..] = line else { return None };
    b"vosiuepcbtrzkam".contains(letter).then_some((*letter, value))
}

/// `origin-field`: at least six words; some devices let blanks into the user's name, which nobody reads.
fn is_origin(value: &[u8]) -> bool {
    words(value).count() >= 6
}

/// `time-field`: `start-time SP stop-time`.
fn timing(input: &[u8]) -> Parsed<'_, ()> {
    let (input, _) = (digit1, blanks, digit1).parse(input)?;
    nom::combinator::eof(input).map(|(rest, _)| (rest, ()))
}

/// `nettype SP addrtype SP connection-address`, not yet understood.
struct Words<'a> {
    network: &'a [u8],
    kind: &'a [u8],
    address: &'a str,
}

fn connection_field(input: &[u8]) -> Parsed<'_, Words<'_>> {
    let (rest, (network, _, kind, _, address)) = (visible, blanks, visible, blanks, word).parse(input)?;
    Ok((rest, Words { network, kind, address }))
}

impl<'a> Words<'a> {
    /// `None` where the address is an IP address of the other version.
    fn resolve(self) -> Option<Connection<'a>> {
        // RFC 8866 §5.7: a multicast address has a time to live and a count behind it
        let ip: Option<IpAddr> = self.address.split('/').next().and_then(|address| address.parse().ok());
        match (self.network, self.kind, ip) {
            (b"IN", b"IP4", Some(ip)) => ip.is_ipv4().then_some(Connection::Ip(ip)),
            (b"IN", b"IP6", Some(ip)) => ip.is_ipv6().then_some(Connection::Ip(ip)),
            (_, _, Some(_) | None) => Some(Connection::Other(self.address)),
        }
    }
}

/// The word of an `m=` line, its port, how many ports, and the word for how it is carried.
type MediaWords<'a> = (&'a str, &'a [u8], Option<&'a [u8]>, &'a str);

/// `media SP port ["/" integer] SP proto`, leaving the formats. The number of ports is read past: we send to the first.
fn media_field(input: &[u8]) -> Parsed<'_, MediaWords<'_>> {
    let (rest, (kind, _, port, count, _, protocol)) =
        (word, blanks, digits, opt(preceded(tag("/"), digits)), blanks, word).parse(input)?;
    Ok((rest, (kind, port, count, protocol)))
}

/// `1*(SP fmt)` where each is an RTP payload type. A number that comes twice counts once.
fn rtp_formats<'a>(formats: &'a [u8]) -> Result<Vec<Format<'a>>, What> {
    let mut list: Vec<Format<'a>> = Vec::with_capacity(words(formats).count());
    for word in words(formats) {
        let payload_type = payload_type(word).ok_or(What::PayloadType)?;
        if list.iter().all(|known| known.payload_type != payload_type) {
            list.push(Format { payload_type, encoding: Encoding::of_static(payload_type), fmtp: None });
        }
    }
    Ok(list)
}

/// A video stream that cannot be read is refused by itself: what nobody needs for talking must not cost the call.
fn without_audio(media: &mut Media<'_>, read: Result<(), What>) -> Result<(), What> {
    match read {
        Err(_) if media.kind == Kind::Video => {
            (media.port, media.formats) = (0, Vec::new());
            Ok(())
        }
        read => read,
    }
}

// --- attributes -------------------------------------------------------------------------------------------------------

/// `attribute-name ":"`, leaving the value.
fn attribute(input: &[u8]) -> Parsed<'_, &[u8]> {
    let (rest, name) = word_until_colon(input)?;
    let (rest, _) = (tag(":"), opt(blanks)).parse(rest)?;
    Ok((rest, name))
}

/// An attribute of a stream of codecs.
fn of_codecs<'a>(value: &'a [u8], media: &mut Media<'a>) -> Result<(), What> {
    match attribute(value) {
        Ok((rest, b"rtpmap")) => return rtpmap(rest, media),
        Ok((rest, b"fmtp")) => fmtp(rest, media),
        Ok((rest, b"ptime")) => media.ptime_ms = ptime(rest).or(media.ptime_ms),
        Ok((rest, b"rtcp")) => media.rtcp = Some(rtcp(rest)?),
        Ok((rest, b"crypto")) if media.crypto.is_none() => media.crypto = Crypto::parse(rest).map(Box::new),
        Ok((rest, b"rtcp-fb")) if media.kind == Kind::Video => media.feedback.extend(feedback(rest)),
        Ok((_, _)) | Err(_) => {}
    }
    Ok(())
}

/// An attribute of a fax. Its parameters cross as they are, those that nobody knows yet, too; a fax of which some cannot be passed on is
/// refused: without them the two ends would mean different things.
fn of_fax<'a>(value: &'a [u8], media: &mut Media<'a>) {
    if !value.get(..3).is_some_and(|begin| begin.eq_ignore_ascii_case(b"T38")) {
        return;
    }
    let is_text = value.iter().all(|byte| *byte == b' ' || is_visible(*byte));
    if is_text && value.len() <= limits::SDP_T38_BYTES_MAX && media.t38.len() < limits::SDP_T38_MAX {
        media.t38.push(value);
    } else {
        media.port = 0;
    }
}

/// `("*" / fmt) SP rtcp-fb-val` (RFC 4585 §4.2).
fn feedback(value: &[u8]) -> Option<(Option<u8>, &[u8])> {
    let (value, (format, _)) = (visible, blanks).parse(value).ok()?;
    let format = if format == b"*" { None } else { Some(payload_type(format)?) };
    (!value.is_empty()).then_some((format, value))
}

/// `payload-type SP encoding-name "/" clock-rate ["/" encoding-params]` (RFC 8866 §6.6).
fn rtpmap<'a>(value: &'a [u8], media: &mut Media<'a>) -> Result<(), What> {
    let name = text(|byte| is_visible(byte) && byte != b'/');
    let mut production = (digits, blanks, name, tag("/"), digits, opt(preceded(tag("/"), digits)));
    let (format, _, name, _, clock_rate, channels) = whole(production.parse(value)).ok_or(What::RtpMap)?;
    let payload_type = payload_type(format).ok_or(What::PayloadType)?;
    let clock_rate = number(clock_rate).filter(|rate| *rate > 0).ok_or(What::RtpMap)?;
    let channels = number(channels.unwrap_or(b"1")).filter(|channels| *channels > 0).ok_or(What::RtpMap)?;
    if let Some(format) = media.formats.iter_mut().find(|format| format.payload_type == payload_type) {
        format.encoding = Some(Encoding { name, clock_rate, channels });
    }
    Ok(())
}

/// `fmt SP format-specific-params` (RFC 8866 §6.15). Without parameters, or for a format that is not offered, it says nothing.
fn fmtp<'a>(value: &'a [u8], media: &mut Media<'a>) {
    let Ok((_, (number, _, parameters))) = (digits, blanks, rest).parse(value) else { return };
    let Some(number) = payload_type(number) else { return };
    if let Some(format) = media.formats.iter_mut().find(|format| format.payload_type == number) {
        format.fmtp = Some(parameters).filter(|parameters| !parameters.is_empty());
    }
}

/// `a=ptime` (RFC 8866 §6.4): advice, so one that is out of bounds, fractional or not a number is as though absent.
fn ptime(value: &[u8]) -> Option<u8> {
    let ptime = number(whole(digits(value))?)?;
    (1..=limits::SDP_PTIME_MS_MAX).contains(&ptime).then_some(ptime)
}

/// `port [nettype SP addrtype SP connection-address]` (RFC 3605 §2.1).
fn rtcp(value: &[u8]) -> Result<Rtcp<'_>, What> {
    let mut production = (digits, opt(preceded(blanks, connection_field)));
    let (port, words) = whole(production.parse(value)).ok_or(What::Rtcp)?;
    let port = number(port).ok_or(What::Port)?;
    let connection = words.map(|words| words.resolve().ok_or(What::Rtcp)).transpose()?;
    Ok(Rtcp { port, connection })
}

// --- words ------------------------------------------------------------------------------------------------------------

/// What a production made of all its input.
fn whole<T>(parsed: Parsed<'_, T>) -> Option<T> {
    parsed.ok().filter(|(rest, _)| rest.is_empty()).map(|(_, value)| value)
}

fn words(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b' ').filter(|word| !word.is_empty())
}

fn payload_type(digits: &[u8]) -> Option<u8> {
    number(digits).filter(|number| *number <= 127)
}

/// The number that these digits are, if it fits; `None` also for anything that is no digit, and for nothing.
fn number<N: TryFrom<u32>>(digits: &[u8]) -> Option<N> {
    let add = |sum: u32, digit: &u8| {
        let digit = digit.is_ascii_digit().then(|| u32::from(digit - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    };
    let sum = digits.iter().try_fold(0, add)?;
    if digits.is_empty() { None } else { N::try_from(sum).ok() }
}

/// `VCHAR`: looser than RFC 8866's `token`, but fit to be written back.
fn is_visible(byte: u8) -> bool {
    byte.is_ascii_graphic()
}

fn text<'a>(of: impl Fn(u8) -> bool) -> impl Parser<&'a [u8], Output = &'a str, Error = nom::error::Error<&'a [u8]>> {
    map_res(take_while1(of), std::str::from_utf8)
}

fn word(input: &[u8]) -> Parsed<'_, &str> {
    text(is_visible).parse(input)
}

/// `bwtype`.
fn word_until_colon(input: &[u8]) -> Parsed<'_, &[u8]> {
    take_while1(|byte| is_visible(byte) && byte != b':').parse(input)
}

/// The same where nobody needs a text.
fn visible(input: &[u8]) -> Parsed<'_, &[u8]> {
    take_while1(is_visible).parse(input)
}

fn digits(input: &[u8]) -> Parsed<'_, &[u8]> {
    digit1(input)
}

/// `SP`, one or, by careless writers, more.
fn blanks(input: &[u8]) -> Parsed<'_, &[u8]> {
    take_while1(|byte| byte == b' ').parse(input)
}

#[cfg(test)]
mod tests {
    use super::super::{AddressRules, BadAddress, Remote, Role};
    use super::*;
    use proptest::prelude::*;
    use std::net::SocketAddr;

    const HEAD: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n";
    const STRICT: AddressRules = AddressRules { loopback: false };

    /// A description with this audio stream, whose lines are separated by `|`.
    fn audio(lines: &str) -> String {
        format!("{HEAD}{}\r\n", lines.replace('|', "\r\n"))
    }

    fn address(text: &str) -> Option<SocketAddr> {
        Some(text.parse().unwrap())
    }

    /// What must hold of whatever was read: the bounds of RELIABILITY A13.
    fn check_bounds(body: &[u8]) -> Option<Description<'_>> {
        let description = Description::parse(body).ok()?;
        assert!(body.len() <= limits::SDP_BYTES_MAX);
        let heap: usize = description.media.iter().map(|media| size_of::<Format>() * media.formats.capacity()).sum();
        assert!(heap + size_of::<Description>() <= 64 * 1024, "{heap}");
        for media in &description.media {
            assert!(media.formats.len() <= limits::SDP_FORMATS_MAX);
            assert!(media.formats.iter().all(|format| format.payload_type <= 127));
            assert!(media.ptime_ms.is_none_or(|ptime| (1..=limits::SDP_PTIME_MS_MAX).contains(&ptime)));
            assert!(media.formats.iter().flat_map(|format| format.encoding).all(|encoding| encoding.clock_rate > 0));
            let _ = media.remote(STRICT);
        }
        Some(description)
    }

    #[test]
    fn everything_that_the_relay_needs_is_read() {
        let body = audio(
            "m=audio 49170 RTP/AVP 0 96 101|a=rtpmap:96 opus/48000/2|a=fmtp:96 useinbandfec=1; stereo=0|\
             a=rtpmap:101 telephone-event/8000|a=fmtp:101 0-15|a=ptime:20|a=sendonly|a=rtcp:53020|m=video 0 RTP/AVP 31",
        );
        let description = Description::parse(body.as_bytes()).unwrap();
        assert_eq!((description.origin, description.timing), (&b"- 1 1 IN IP4 192.0.2.1"[..], &b"0 0"[..]));
        assert_eq!(description.media.len(), 2);
        let (index, media) = description.audio().unwrap();
        assert_eq!((index, media.kind, media.protocol), (0, Kind::Audio, Protocol::RtpAvp));
        assert_eq!((media.port, media.ptime_ms, media.direction), (49_170, Some(20), Direction::SendOnly));
        let found: Vec<_> =
            media.formats.iter().map(|format| (format.payload_type, format.encoding, format.fmtp)).collect();
        let encoding = |name, clock_rate, channels| Some(Encoding { name, clock_rate, channels });
        assert_eq!(
            found,
            [
                (0, encoding("PCMU", 8000, 1), None),
                (96, encoding("OPUS", 48_000, 2), Some(&b"useinbandfec=1; stereo=0"[..])),
                (101, encoding("telephone-event", 8000, 1), Some(&b"0-15"[..])),
            ]
        );
        assert_eq!(media.formats[2].encoding.unwrap().role(), Role::TelephoneEvent);
        let remote = Remote { rtp: address("192.0.2.1:49170"), rtcp: address("192.0.2.1:53020") };
        assert_eq!(media.remote(STRICT), Ok(remote));
    }

    #[test]
    fn careless_writers_are_understood() {
        for body in [
            audio("m=audio 4000 RTP/AVP 0"),
            audio("m=audio 4000 RTP/AVP 0").replace("\r\n", "\n"),
            audio("m=audio 4000 RTP/AVP 0").trim_end().to_owned(),
            audio("m=audio 4000 RTP/AVP 0") + "\r\n\r\n",
            audio("m=audio 4000 RTP/AVP 0").replace("s=-\r\n", "").replace("t=0 0\r\n", ""),
            audio("m=audio  4000 RTP/AVP  0 "),
            audio("m=audio 4000/2 RTP/AVP 0"),
            audio("m=audio 4000 RTP/AVP 0|a=|a=unknown|a=:|a=fmtp:x|a=fmtp:0|a=fmtp:99 x=1"),
            audio("m=audio 4000 RTP/AVP 0 0 0"),
            audio("m=audio 4000 RTP/AVP 0").replace("o=- 1", "o=John Doe 1"),
            audio("b=AS:64|k=prompt|i=\u{e9}|m=audio 4000 RTP/AVP 0|i=x|b=AS:64|c=IN IP4 192.0.2.1|c=IN IP4 192.0.2.9"),
            audio("m=video 0 RTP/AVP|m=audio 4000 RTP/AVP 0").replace("c=IN IP4 192.0.2.1\r\n", "")
                + "c=IN IP4 192.0.2.1",
        ] {
            let description = Description::parse(body.as_bytes()).unwrap_or_else(|error| panic!("{error}: {body}"));
            let (_, media) = description.audio().unwrap();
            assert_eq!(media.formats.len(), 1, "{body}");
            assert_eq!(media.remote(STRICT).unwrap().rtp, address("192.0.2.1:4000"), "{body}");
        }
    }

    #[test]
    fn what_is_no_description_is_refused_with_line_and_reason() {
        let many = |line: &str, count: usize| vec![line; count].join("|");
        let formats = |count: usize| format!("m=audio 4000 RTP/AVP{}", " 0".repeat(count));
        let o = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\n";
        for (body, line, what) in [
            (String::new(), 1, What::Version),
            ("o=- 1 1 IN IP4 192.0.2.1".into(), 1, What::Version),
            ("v=1\r\n".into(), 1, What::Version),
            ("v=0\r\nv=0\r\n".into(), 2, What::Version),
            ("; comment\r\nv=0".into(), 1, What::Version),
            ("v=0\r\ns=-\r\nt=0 0\r\n".into(), 4, What::Origin),
            ("v=0\r\no=- 1 1 IN IP4\r\n".into(), 2, What::Origin),
            (format!("{o}{o}"), 3, What::Version),
            (format!("{o}o=- 1 1 IN IP4 192.0.2.1\r\n"), 3, What::Origin),
            (format!("{o}t=now\r\n"), 3, What::Timing),
            (format!("{o}t=0 0 0\r\n"), 3, What::Timing),
            (format!("{o}x=1\r\n"), 3, What::Line),
            (format!("{o}s\r\n"), 3, What::Line),
            (format!("{o}\r\ns=-\r\n"), 3, What::Line),
            (format!("{o}s=a\0b\r\n"), 3, What::Line),
            (format!("{o}s=a\rb\r\n"), 3, What::Line),
            (format!("{o}c=IN IP4\r\n"), 3, What::Connection),
            (format!("{o}c=IN IP4 2001:db8::1\r\n"), 3, What::Connection),
            (format!("{o}c=IN IP6 192.0.2.1\r\n"), 3, What::Connection),
            (audio("m=audio"), 6, What::Media),
            (audio("m=audio x RTP/AVP 0"), 6, What::Media),
            (audio("m=audio -1 RTP/AVP 0"), 6, What::Media),
            (audio("m=audio 4000 RTP/AVP"), 6, What::Media),
            (audio("m=image 4000 udptl \u{1b}[2J"), 6, What::Media),
            (audio("m=audio 65536 RTP/AVP 0"), 6, What::Port),
            (audio("m=audio 99999999999999999999 RTP/AVP 0"), 6, What::Port),
            (audio("m=audio 4000 RTP/AVP 128"), 6, What::PayloadType),
            (audio("m=audio 4000 RTP/AVP 0 pcmu"), 6, What::PayloadType),
            (audio("m=audio 4000 RTP/AVP 96|a=rtpmap:96 opus"), 7, What::RtpMap),
            (audio("m=audio 4000 RTP/AVP 96|a=rtpmap:96 opus/0"), 7, What::RtpMap),
            (audio("m=audio 4000 RTP/AVP 96|a=rtpmap:96 opus/4294967296"), 7, What::RtpMap),
            (audio("m=audio 4000 RTP/AVP 96|a=rtpmap:96 opus/48000/0"), 7, What::RtpMap),
            (audio("m=audio 4000 RTP/AVP 96|a=rtpmap:96 opus/48000/256"), 7, What::RtpMap),
            (audio("m=audio 4000 RTP/AVP 96|a=rtpmap:300 opus/48000"), 7, What::PayloadType),
            (audio("m=audio 4000 RTP/AVP 0|a=rtcp:x"), 7, What::Rtcp),
            (audio("m=audio 4000 RTP/AVP 0|a=rtcp:65536"), 7, What::Port),
            (audio("m=audio 4000 RTP/AVP 0|a=rtcp:4001 IN IP4 ::1"), 7, What::Rtcp),
            (audio(&many("m=audio 4000 RTP/AVP 0", 9)), 14, What::TooManyMedia),
            (audio(&formats(65)), 6, What::TooManyFormats),
            (audio(&many("a=x", 257)), 262, What::TooManyAttributes),
            (audio(&format!("i={}", "x".repeat(16_384))), 1, What::TooLong),
        ] {
            assert_eq!(Description::parse(body.as_bytes()), Err(Error { line, what }), "{body:?}");
        }
        for body in [audio(&many("m=audio 4000 RTP/AVP 0", 8)), audio(&formats(64)), audio(&many("a=x", 256))] {
            assert!(Description::parse(body.as_bytes()).is_ok(), "{body:?}");
        }
        let error = Error { line: 6, what: What::Port };
        assert_eq!(error.to_string(), "SDP line 6: the port is not 0 to 65535");
    }

    #[test]
    fn a_ptime_out_of_bounds_is_as_though_absent() {
        for (value, expected) in [
            ("1", Some(1)),
            ("20", Some(20)),
            ("200", Some(200)),
            ("201", None),
            ("0", None),
            ("-20", None),
            ("20.5", None),
            ("4294967296", None),
            ("99999999999999999999999", None),
            ("", None),
        ] {
            let body = audio(&format!("m=audio 4000 RTP/AVP 0|a=ptime:{value}"));
            assert_eq!(Description::parse(body.as_bytes()).unwrap().media[0].ptime_ms, expected, "{value}");
        }
    }

    /// RFC 5761 §4, §5.1.1; RFC 8858 §4.
    #[test]
    fn rtcp_on_the_rtp_port_leaves_no_payload_types_that_look_like_it() {
        for (lines, expected) in [
            ("m=audio 4000 RTP/AVP 0 72|a=rtpmap:72 L16/8000", (false, &[0, 72][..])),
            ("m=audio 4000 RTP/AVP 0 63 64 95 96|a=rtcp-mux", (true, &[0, 63, 96])),
            ("m=audio 4000 RTP/AVP 72|a=rtcp-mux|a=rtpmap:72 L16/8000", (true, &[])),
            ("m=audio 4000 RTP/AVP 0|a=rtcp-mux-only|a=rtcp-mux|a=rtcp:4000", (true, &[0])),
            ("m=audio 4000 RTP/AVP 0|a=rtcp-mux-only", (true, &[0])),
            ("m=audio 4000 RTP/SAVP 0|a=rtcp-mux", (true, &[0])),
            // Of a stream, not of the session; and not every word that begins alike.
            ("a=rtcp-mux|m=audio 4000 RTP/AVP 0 72", (false, &[0, 72])),
            ("m=audio 4000 RTP/AVP 0 72|a=rtcp-mux:1", (false, &[0, 72])),
            ("m=audio 4000 RTP/AVP 0 72|a=rtcp-mux-onl", (false, &[0, 72])),
            ("m=audio 4000 RTP/AVP 0 72|m=audio 4002 RTP/AVP 0|a=rtcp-mux", (false, &[0, 72])),
        ] {
            let body = audio(lines);
            let description = Description::parse(body.as_bytes()).unwrap();
            let media = &description.media[0];
            let formats: Vec<u8> = media.formats.iter().map(|format| format.payload_type).collect();
            assert_eq!((media.rtcp_mux, formats.as_slice()), expected, "{lines}");
        }
    }

    #[test]
    fn the_nearest_direction_holds_and_an_unspecified_address_takes_receiving_away() {
        for (lines, expected) in [
            ("m=audio 4000 RTP/AVP 0", Direction::SendRecv),
            ("a=recvonly|m=audio 4000 RTP/AVP 0", Direction::RecvOnly),
            ("a=recvonly|m=audio 4000 RTP/AVP 0|a=sendonly", Direction::SendOnly),
            ("m=audio 4000 RTP/AVP 0|c=IN IP4 0.0.0.0", Direction::SendOnly),
            ("m=audio 4000 RTP/AVP 0|c=IN IP4 0.0.0.0|a=recvonly", Direction::Inactive),
            ("m=audio 4000 RTP/AVP 0|c=IN IP6 ::|a=inactive", Direction::Inactive),
        ] {
            let body = audio(lines);
            assert_eq!(Description::parse(body.as_bytes()).unwrap().media[0].direction, expected, "{lines}");
        }
    }

    #[test]
    fn packets_go_where_the_stream_says_and_nowhere_that_they_may_not() {
        let remote = |rtp: &str, rtcp: &str| Ok(Remote { rtp: address(rtp), rtcp: address(rtcp) });
        let only = |rtp: &str| Ok(Remote { rtp: address(rtp), rtcp: None });
        let forbidden = |ip: &str| Err(BadAddress::Forbidden(ip.parse().unwrap()));
        for (lines, expected) in [
            ("m=audio 4000 RTP/AVP 0", remote("192.0.2.1:4000", "192.0.2.1:4001")),
            ("m=audio 4000 RTP/AVP 0|c=IN IP4 192.0.2.7", remote("192.0.2.7:4000", "192.0.2.7:4001")),
            ("m=audio 4000 RTP/AVP 0|c=IN IP6 2001:db8::1", remote("[2001:db8::1]:4000", "[2001:db8::1]:4001")),
            ("m=audio 4000 RTP/AVP 0|c=IN IP6 ::ffff:192.0.2.9", remote("192.0.2.9:4000", "192.0.2.9:4001")),
            ("m=audio 65535 RTP/AVP 0", only("192.0.2.1:65535")),
            ("m=audio 4000 RTP/AVP 0|a=rtcp:0", only("192.0.2.1:4000")),
            ("m=audio 4000 RTP/AVP 0|a=rtcp:9 IN IP4 192.0.2.8", remote("192.0.2.1:4000", "192.0.2.8:9")),
            ("m=audio 4000 RTP/AVP 0|a=rtcp:9 IN IP4 127.0.0.1", forbidden("127.0.0.1")),
            ("m=audio 4000 RTP/AVP 0|a=rtcp:9 IN IP4 host.example", Err(BadAddress::NotAnIp)),
            ("m=audio 0 RTP/AVP 0", Ok(Remote::default())),
            ("m=audio 4000 RTP/AVP 0|c=IN IP4 0.0.0.0", Ok(Remote::default())),
            ("m=audio 4000 RTP/AVP 0|c=IN IP4 224.2.1.1/127/3", forbidden("224.2.1.1")),
            ("m=audio 4000 RTP/AVP 0|c=IN IP4 255.255.255.255", forbidden("255.255.255.255")),
            ("m=audio 4000 RTP/AVP 0|c=IN IP6 ::ffff:127.0.0.1", forbidden("127.0.0.1")),
            ("m=audio 4000 RTP/AVP 0|c=IN IP4 host.example", Err(BadAddress::NotAnIp)),
            ("m=audio 4000 RTP/AVP 0|c=IN IP4 127.1", Err(BadAddress::NotAnIp)),
            ("m=audio 4000 RTP/AVP 0|c=IN IP4 0177.0.0.1", Err(BadAddress::NotAnIp)),
            ("m=audio 4000 RTP/AVP 0|c=IN IP6 fe80::1%lo", Err(BadAddress::NotAnIp)),
            ("m=audio 4000 RTP/AVP 0|c=ATM NSAP 192.0.2.1", Err(BadAddress::NotAnIp)),
        ] {
            let body = audio(lines);
            let description = Description::parse(body.as_bytes()).unwrap();
            assert_eq!(description.media[0].remote(STRICT), expected, "{lines}");
        }
        let nowhere = "v=0\no=- 1 1 IN IP4 192.0.2.1\nm=audio 4000 RTP/AVP 0";
        let description = Description::parse(nowhere.as_bytes()).unwrap();
        assert_eq!(description.media[0].remote(STRICT), Err(BadAddress::Missing));
    }

    #[test]
    fn only_plain_rtp_audio_with_a_port_is_relayed() {
        for (lines, expected) in [
            ("m=audio 4000 RTP/AVP 0", Some(0)),
            ("m=video 4000 RTP/AVP 31|m=audio 0 RTP/AVP 0|m=audio 4000 RTP/SAVP 0|m=audio 4002 RTP/AVP 0", Some(3)),
            ("m=audio 4000 RTP/AVP 0|m=audio 4002 RTP/AVP 0", Some(0)),
            ("m=audio 0 RTP/AVP 0", None),
            ("m=audio 4000 RTP/AVPF 0", None),
            ("m=audio 4000 UDP/TLS/RTP/SAVPF 0", None),
            ("m=audio 4000 udp wb", None),
            ("m=image 4000 udptl t38|m=message 7394 TCP/MSRP *|m=text 4000 RTP/AVP 98", None),
        ] {
            let body = audio(lines);
            let found = Description::parse(body.as_bytes()).unwrap().audio().map(|(index, _)| index);
            assert_eq!(found, expected, "{lines}");
        }
    }

    #[test]
    fn a_number_without_rtpmap_means_what_rfc_3551_says_and_an_rtpmap_goes_before() {
        let body = audio("m=audio 4000 RTP/AVP 0 3 8 9 13 18 2 96|a=rtpmap:8 L8/8000|a=rtpmap:97 opus/48000/2");
        let description = Description::parse(body.as_bytes()).unwrap();
        let names: Vec<_> = description.media[0].formats.iter().map(|format| format.encoding.map(|e| e.name)).collect();
        let some = ["PCMU", "GSM", "L8", "G722", "CN", "G729"].map(Some);
        assert_eq!(names, [&some[..], &[None, None]].concat());
    }

    /// The files below a folder of shared test material, or none with a printed reason where it is not there.
    fn files(folder: &str) -> Vec<(String, Vec<u8>)> {
        let path = format!("{}/../shared/data/{folder}", env!("CARGO_MANIFEST_DIR"));
        let Ok(entries) = std::fs::read_dir(&path) else {
            println!("skipped: no {path}");
            return Vec::new();
        };
        let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files.into_iter().map(|path| (path.display().to_string(), std::fs::read(path).unwrap())).collect()
    }

    #[test]
    fn a_browsers_test_descriptions_are_read_or_refused() {
        let files = files("sdp/mozilla");
        let read = files.iter().filter(|(_, body)| check_bounds(body).is_some()).count();
        for (path, body) in &files {
            println!("{path}: {:?}", Description::parse(body).map(|description| description.media.len()));
        }
        assert!(files.is_empty() || read * 2 > files.len(), "{read} of {}", files.len());
    }

    #[test]
    fn the_bodies_of_rfc_5118_are_read() {
        for (path, message) in files("sip/rfc5118") {
            let Some(at) = message.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
            let body = &message[at + 4..];
            if !body.starts_with(b"v=") {
                continue;
            }
            let description = Description::parse(body).unwrap_or_else(|error| panic!("{path}: {error}"));
            let (_, media) = description.audio().unwrap();
            assert!(media.remote(STRICT).unwrap().rtp.is_some(), "{path}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        #[test]
        fn no_bytes_make_it_panic_or_grow(body in proptest::collection::vec(any::<u8>(), 0..600)) {
            check_bounds(&body);
        }

        #[test]
        fn no_arrangement_of_lines_makes_it_panic_or_grow(
            lines in proptest::collection::vec(
                prop_oneof![
                    "[vosiuepcbtrzkamx]=[ -~]{0,20}",
                    "m=(audio|video|image) [0-9]{1,6}(/[0-9]{1,3})? (RTP/AVP|RTP/SAVP|udptl)( [0-9]{1,3}){0,70}",
                    "a=rtcp-mux(-only)?",
                    "a=(rtpmap|fmtp|rtcp|ptime):[0-9]{1,3}( [ -~]{0,30}/[0-9]{0,11})?",
                    "c=IN IP[46] [0-9a-f.:/]{0,20}",
                    "a=(sendrecv|sendonly|recvonly|inactive)",
                ],
                0..40,
            )
        ) {
            check_bounds(format!("{HEAD}{}", lines.join("\r\n")).as_bytes());
        }
    }
}
