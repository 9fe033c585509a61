//! Our own descriptions: answers and offers that speak for the other leg, with the relay's address (RFC 3264 §5, §6, §8).
//! Not here: what is agreed (`answer`). Never written: anything of a peer's but words that `parse` has checked.

use super::Description;
use super::address::unmapped;
use super::agreement::Agreement;
use super::answer::{Agreed, Codecs, bit};
use super::crypto::Crypto;
use super::direction::{Direction, Directions};
use super::fax::Fax;
use super::media::{Encoding, Kind, Media, Protocol};
use crate::id::Side;
use crate::limits;
use std::net::SocketAddr;

/// Our end of one leg's session.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Local {
    /// Our session's number in `o=`, the same for the life of the leg; its lower 63 bits are written (RFC 3264 §5).
    pub session_id: u64,
    /// How often our description changed; grows by one with each change (RFC 3264 §8). See [`Local::changed`].
    pub version: u64,
    /// Our end of the audio. Its address is the session's.
    pub audio: LocalStream,
    /// Our end of the video, on the same address; `None` while there are no ports for it.
    pub video: Option<LocalStream>,
    /// The same of a fax.
    pub fax: Option<LocalStream>,
}

/// Our end of one stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LocalStream {
    /// The relay's RTP address for this leg; RTCP is one port above, or on the same.
    pub address: SocketAddr,
    /// Whether it is on the same (RFC 5761): the leg wants it so. In an offer, that we would.
    pub rtcp_mux: bool,
    /// What the other leg says of itself in its newest description, for which we speak here.
    pub direction: Direction,
    /// How the leg's packets are protected, which is no matter of the other leg's.
    pub carriage: Carriage,
}

/// As what a stream is carried.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Carriage {
    /// RTP/SAVP, where keys are a must, instead of RTP/AVP.
    pub is_secure: bool,
    /// RTP/AVPF or RTP/SAVPF, where feedback has a meaning (RFC 4585).
    pub has_feedback: bool,
    /// What we encrypt with, and the leg can choose from while it has not answered. Without any it is plain RTP.
    pub crypto: Vec<Crypto>,
}

impl Carriage {
    fn protocol(&self) -> Protocol<'static> {
        match (self.is_secure, self.has_feedback) {
            (false, false) => Protocol::RtpAvp,
            (false, true) => Protocol::RtpAvpf,
            (true, false) => Protocol::RtpSavp,
            (true, true) => Protocol::RtpSavpf,
        }
    }
}

impl Local {
    /// The same end in a description that differs from the last: with the next version.
    #[must_use]
    pub fn changed(self, directions: Directions) -> Local {
        let audio = LocalStream { direction: directions.audio, ..self.audio };
        let video = self.video.map(|video| LocalStream { direction: directions.video, ..video });
        let fax = self.fax.map(|fax| LocalStream { direction: directions.fax, ..fax });
        Local { version: self.version.wrapping_add(1), audio, video, fax, ..self }
    }
}

/// What must be remembered of a leg's session for the next offer to it: its `m=` lines, which may be added to but never taken away
/// (RFC 3264 §8), and the payload types that once had a meaning in it (§8.3.2).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outline {
    /// At most [`limits::SDP_MEDIA_MAX`]; most sessions have one.
    lines: Vec<Line>,
    used: u128,
}

/// One `m=` line of an outline.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Line {
    /// The audio that is relayed.
    Audio,
    /// The video that is, or was: it can be again.
    Video,
    /// The same of the fax.
    Fax,
    /// One that is not: the line as it is repeated, with port 0.
    Refused(Box<[u8]>),
}

impl Default for Outline {
    fn default() -> Outline {
        Outline { lines: std::iter::once(Line::Audio).collect(), used: 0 }
    }
}

impl Outline {
    /// The outline of a session that began with this offer of the leg's.
    pub fn of(offer: &Description<'_>) -> Outline {
        let mut lines: Vec<Line> = offer.media.iter().map(Line::refused).collect();
        let audio = offer.audio().map(|(index, _)| index);
        let switched_off = || offer.media.iter().position(|media| media.kind == Kind::Audio);
        let fax = offer.fax().map(|(index, _)| index);
        if let Some(line) = fax.and_then(|index| lines.get_mut(index)) {
            *line = Line::Fax;
        }
        match audio.or_else(switched_off).and_then(|index| lines.get_mut(index)) {
            Some(line) => *line = Line::Audio,
            // It has taken the audio's place.
            None if fax.is_some() => {}
            // RFC 3264 §8.1: a new stream takes a new line, or the place of one that is refused
            None => match (lines.len() >= limits::SDP_MEDIA_MAX, lines.first_mut()) {
                (true, Some(first)) => *first = Line::Audio,
                (true, None) | (false, _) => lines.push(Line::Audio),
            },
        }
        if let Some(line) = offer.video().and_then(|(index, _)| lines.get_mut(index)) {
            *line = Line::Video;
        }
        let formats = offer.media.iter().flat_map(|media| &media.formats);
        Outline { lines, used: formats.fold(0, |used, format| used | bit(format.payload_type)) }
    }

    /// Takes over the lines of a later offer of the leg's, once it has been accepted.
    pub fn follow(&mut self, offer: &Description<'_>) {
        let Outline { mut lines, used } = Outline::of(offer);
        // RFC 3264 §8: there are never fewer than before, whatever the peer thinks
        lines.extend(self.lines.iter().skip(lines.len()).map(Line::as_refused));
        self.lines = lines;
        self.used |= used;
    }

    /// Has lines for what is to be offered, if there is room. A fax that is alone takes the audio's line, and gives it back: it says the same in
    /// another way (RFC 3264 §8.3.3). A leg that has shown a line for each keeps both.
    pub fn fit(&mut self, proposed: &Agreement) {
        let wants_fax = proposed.fax.is_some();
        if wants_fax && self.fax_index().is_none() {
            let in_place = self.audio_index().filter(|_| !proposed.speaks);
            self.open(Line::Fax, self.refused(b"m=image ").or(in_place));
        }
        if proposed.speaks && self.audio_index().is_none() {
            let in_place = self.fax_index().filter(|_| !wants_fax);
            self.open(Line::Audio, in_place.or_else(|| self.refused(b"m=audio ")));
        }
        if proposed.video.is_some() && self.video_index().is_none() {
            self.open(Line::Video, self.refused(b"m=video "));
        }
    }

    /// A line that is refused and begins so (RFC 3264 §8.1: a new stream may have its place).
    fn refused(&self, begin: &[u8]) -> Option<usize> {
        self.lines.iter().position(|line| matches!(line, Line::Refused(text) if text.starts_with(begin)))
    }

    fn open(&mut self, line: Line, place: Option<usize>) {
        if let Some(place) = place.and_then(|index| self.lines.get_mut(index)) {
            *place = line;
        } else if self.lines.len() < limits::SDP_MEDIA_MAX {
            self.lines.push(line);
        }
    }

    /// Which `m=` line is the video.
    pub fn video_index(&self) -> Option<usize> {
        self.lines.iter().position(|line| *line == Line::Video)
    }

    /// Which `m=` line is the audio.
    pub fn audio_index(&self) -> Option<usize> {
        self.lines.iter().position(|line| *line == Line::Audio)
    }

    /// Which `m=` line is the fax.
    pub fn fax_index(&self) -> Option<usize> {
        self.lines.iter().position(|line| *line == Line::Fax)
    }

    /// Every payload type that the leg has offered, a bit each.
    pub(super) fn used(&self) -> u128 {
        self.used
    }
}

/// A line for video without any.
const NO_VIDEO: &[u8] = b"m=video 0 RTP/AVP 31\r\n";
/// A line for a fax without any.
const NO_FAX: &[u8] = b"m=image 0 udptl t38\r\n";

impl Line {
    fn refused(media: &Media<'_>) -> Line {
        let mut text = Vec::new();
        write_refused(&mut text, media);
        Line::Refused(text.into())
    }

    fn as_refused(&self) -> Line {
        match self {
            Line::Audio => Line::Refused(b"m=audio 0 RTP/AVP 0\r\n".as_slice().into()),
            Line::Video => Line::Refused(NO_VIDEO.into()),
            Line::Fax => Line::Refused(NO_FAX.into()),
            Line::Refused(text) => Line::Refused(text.clone()),
        }
    }
}

/// Appends our answer to `side`'s offer: every `m=` line in its order, audio, video and fax with what is agreed, the others refused.
/// Directions are the offer's, answered with those of `local`.
pub fn write_answer(out: &mut Vec<u8>, offer: &Description<'_>, side: Side, agreement: &Agreement, local: &Local) {
    write_session(out, local, offer.timing);
    let [audio, video, fax] = [offer.audio(), offer.video(), offer.fax()].map(|stream| stream.map(|(index, _)| index));
    for (index, media) in offer.media.iter().enumerate() {
        let answer = |own: &LocalStream| media.direction.answered_with(own.direction);
        if audio == Some(index) && agreement.speaks {
            write_stream(out, (Kind::Audio, side), &agreement.audio, &local.audio, answer(&local.audio));
        } else if video == Some(index)
            && let Some((codecs, own)) = with_video(agreement, local)
        {
            write_stream(out, (Kind::Video, side), codecs, own, answer(own));
        } else if fax == Some(index)
            && let Some((fax, own)) = with_fax(agreement, local)
        {
            write_fax(out, fax.told(side), own, answer(own));
        } else {
            write_refused(out, media);
        }
    }
}

/// Appends our offer to `side`: the lines of its session so far (`Outline::default()` for a new one) with what is proposed.
/// Directions are the other leg's own, those of `local`.
pub fn write_offer(out: &mut Vec<u8>, outline: &Outline, side: Side, proposed: &Agreement, local: &Local) {
    write_session(out, local, b"0 0");
    for line in &outline.lines {
        match line {
            Line::Audio if proposed.speaks => {
                write_stream(out, (Kind::Audio, side), &proposed.audio, &local.audio, local.audio.direction);
            }
            Line::Audio => {
                let number = proposed.audio.first().map_or(0, |agreed| agreed.leg(side).from_leg);
                let protocol = local.audio.carriage.protocol();
                write_line(out, &["m=audio 0 ", protocol.as_str(), " ", Digits::of(number).as_str()]);
            }
            Line::Video => match with_video(proposed, local) {
                Some((codecs, own)) => write_stream(out, (Kind::Video, side), codecs, own, own.direction),
                None => out.extend_from_slice(NO_VIDEO),
            },
            Line::Fax => match with_fax(proposed, local) {
                Some((fax, own)) => write_fax(out, fax.told(side), own, own.direction),
                None => out.extend_from_slice(NO_FAX),
            },
            Line::Refused(text) => out.extend_from_slice(text),
        }
    }
}

fn with_video<'a>(agreement: &'a Agreement, local: &'a Local) -> Option<(&'a Codecs, &'a LocalStream)> {
    agreement.video.as_deref().zip(local.video.as_ref())
}

fn with_fax<'a>(agreement: &'a Agreement, local: &'a Local) -> Option<(&'a Fax, &'a LocalStream)> {
    agreement.fax.as_deref().zip(local.fax.as_ref())
}

fn write_session(out: &mut Vec<u8>, local: &Local, timing: &[u8]) {
    // What two streams need: growing by little would copy it all again and again.
    out.reserve(512);
    let ip = unmapped(local.audio.address.ip());
    let version = if ip.is_ipv4() { "IN IP4 " } else { "IN IP6 " };
    let ip = ip.to_string();
    // RFC 3264 §5: both numbers fit a signed 64-bit integer
    let [id, count] = [local.session_id, local.version].map(|number| Digits::of(number & (u64::MAX >> 1)));
    write_line(out, &["v=0"]);
    write_line(out, &["o=parkway ", id.as_str(), " ", count.as_str(), " ", version, &ip]);
    write_line(out, &["s=-"]);
    write_line(out, &["c=", version, &ip]);
    write_bytes(out, &["t="], timing);
}

/// A relayed stream as `side` is to see it: its numbers, the other leg's wishes.
fn write_stream(
    out: &mut Vec<u8>,
    (kind, side): (Kind<'_>, Side),
    codecs: &Codecs,
    local: &LocalStream,
    direction: Direction,
) {
    let port = Digits::of(local.address.port());
    put(out, &["m=", kind.as_str(), " ", port.as_str(), " ", local.carriage.protocol().as_str()]);
    for agreed in &codecs.list {
        put(out, &[" ", Digits::of(agreed.leg(side).from_leg).as_str()]);
    }
    write_line(out, &[]);
    let wishes = codecs.wishes(side.other());
    for bandwidth in &wishes.bandwidth {
        write_bytes(out, &["b="], bandwidth);
    }
    for agreed in &codecs.list {
        write_format(out, side, agreed, local.carriage.has_feedback);
    }
    for crypto in &local.carriage.crypto {
        put(out, &["a=crypto:"]);
        crypto.write(out);
        write_line(out, &[]);
    }
    if local.rtcp_mux {
        write_line(out, &["a=rtcp-mux"]);
    }
    if let Some(ptime_ms) = wishes.ptime_ms {
        write_line(out, &["a=ptime:", Digits::of(ptime_ms).as_str()]);
    }
    write_line(out, &["a=", direction.as_str()]);
}

/// A fax as a leg is to see it: with what the other one says of it (T.38 annex D). Gateways look for a direction only where it is another
/// than everybody's.
fn write_fax(out: &mut Vec<u8>, told: &[Box<[u8]>], local: &LocalStream, direction: Direction) {
    write_line(out, &["m=image ", Digits::of(local.address.port()).as_str(), " udptl t38"]);
    for parameter in told {
        write_bytes(out, &["a="], parameter);
    }
    if direction != Direction::SendRecv {
        write_line(out, &["a=", direction.as_str()]);
    }
}

/// RFC 3264 §5.1: an `a=rtpmap` for static payload types too.
fn write_format(out: &mut Vec<u8>, side: Side, agreed: &Agreed, has_feedback: bool) {
    let number = Digits::of(agreed.leg(side).from_leg);
    let Encoding { name, clock_rate, channels } = agreed.encoding(side);
    put(out, &["a=rtpmap:", number.as_str(), " ", name, "/", Digits::of(clock_rate).as_str()]);
    if channels != 1 {
        put(out, &["/", Digits::of(channels).as_str()]);
    }
    write_line(out, &[]);
    // RFC 3264 §6.1: parameters say what their author wants to get; here that is the other leg
    if let Some(fmtp) = &agreed.leg(side.other()).fmtp {
        write_bytes(out, &["a=fmtp:", number.as_str(), " "], fmtp);
    }
    for value in agreed.leg(side.other()).feedback.iter().filter(|_| has_feedback) {
        write_bytes(out, &["a=rtcp-fb:", number.as_str(), " "], value);
    }
}

/// RFC 3264 §6: refused is the same line with port 0 and at least one of its formats.
fn write_refused(out: &mut Vec<u8>, media: &Media<'_>) {
    let format = if media.first_format.is_empty() { b"0" } else { media.first_format };
    write_bytes(out, &["m=", media.kind.as_str(), " 0 ", media.protocol.as_str(), " "], format);
}

fn write_bytes(out: &mut Vec<u8>, name: &[&str], value: &[u8]) {
    put(out, name);
    out.extend_from_slice(value);
    write_line(out, &[]);
}

fn write_line(out: &mut Vec<u8>, words: &[&str]) {
    put(out, words);
    out.extend_from_slice(b"\r\n");
}

fn put(out: &mut Vec<u8>, words: &[&str]) {
    words.iter().for_each(|word| out.extend_from_slice(word.as_bytes()));
}

/// A number in decimal. The formatter of the standard library takes a hundred instructions a number, and a description has many.
struct Digits {
    digits: [u8; DIGITS_MAX],
    from: usize,
}

/// Of a 64-bit number.
const DIGITS_MAX: usize = 20;

impl Digits {
    fn of(number: impl Into<u64>) -> Digits {
        let mut rest: u64 = number.into();
        let (mut digits, mut from) = ([b'0'; DIGITS_MAX], DIGITS_MAX);
        for digit in digits.iter_mut().rev() {
            *digit += u8::try_from(rest % 10).unwrap_or(0);
            (rest, from) = (rest / 10, from - 1);
            if rest == 0 {
                break;
            }
        }
        Digits { digits, from }
    }

    fn as_str(&self) -> &str {
        self.digits.get(self.from..).and_then(|digits| std::str::from_utf8(digits).ok()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{AddressRules, accept_answer, agree, propose, sends};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_number_is_written_as_everybody_writes_it() {
        for number in [0, 7, 10, 255, 8_000, u64::from(u32::MAX), u64::MAX >> 1, u64::MAX] {
            assert_eq!(Digits::of(number).as_str(), number.to_string());
        }
    }

    const CALLER: &str = "v=0\r\no=caller 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=5 6\r\n\
        m=video 5000 RTP/AVP 31 96\r\na=rtpmap:96 VP8/90000\r\n\
        m=audio 4000 RTP/AVP 0 8 101\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:30\r\n\
        m=image 5004 udptl t38\r\n";
    const CLIENT: &str = "v=0\r\no=client 1 1 IN IP4 192.0.2.2\r\ns=-\r\nc=IN IP4 192.0.2.2\r\nt=0 0\r\n\
        m=audio 4000 RTP/AVP 8 96\r\na=rtpmap:96 telephone-event/8000\r\na=fmtp:96 0-15\r\n";

    fn stream_at(address: SocketAddr, direction: Direction) -> LocalStream {
        LocalStream { address, rtcp_mux: false, direction, carriage: Carriage::default() }
    }

    fn local(address: &str) -> Local {
        let audio = stream_at(address.parse().unwrap(), Direction::SendRecv);
        Local { session_id: 7, version: 1, audio, video: None, fax: None }
    }

    fn parse(body: &str) -> Description<'_> {
        Description::parse(body.as_bytes()).unwrap_or_else(|error| panic!("{error}: {body}"))
    }

    fn answered(offer: &Description<'_>, side: Side, agreement: &Agreement, local: Local) -> String {
        let mut out = Vec::new();
        write_answer(&mut out, offer, side, agreement, &local);
        String::from_utf8(out).unwrap()
    }

    fn offered(outline: &Outline, side: Side, proposed: &Agreement, local: Local) -> String {
        let mut out = Vec::new();
        write_offer(&mut out, outline, side, proposed, &local);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_leg_is_answered_line_by_line_in_its_own_numbers_with_the_others_wishes() {
        let (caller, client) = (parse(CALLER), parse(CLIENT));
        let agreement = agree(&caller, &client).unwrap();
        assert_eq!(
            answered(&caller, Side::Caller, &agreement, local("198.51.100.1:20000")),
            "v=0\r\no=parkway 7 1 IN IP4 198.51.100.1\r\ns=-\r\nc=IN IP4 198.51.100.1\r\nt=5 6\r\n\
             m=video 0 RTP/AVP 31\r\n\
             m=audio 20000 RTP/AVP 8 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\n\
             a=fmtp:101 0-15\r\na=sendrecv\r\n\
             m=image 0 udptl t38\r\n"
        );
        assert_eq!(
            answered(&client, Side::Client, &agreement, local("[2001:db8::1]:20002")),
            "v=0\r\no=parkway 7 1 IN IP6 2001:db8::1\r\ns=-\r\nc=IN IP6 2001:db8::1\r\nt=0 0\r\n\
             m=audio 20002 RTP/AVP 8 96\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:96 telephone-event/8000\r\n\
             a=fmtp:96 0-16\r\na=ptime:30\r\na=sendrecv\r\n"
        );
    }

    #[test]
    fn a_leg_without_an_offer_gets_the_others_codecs_or_the_default() {
        let client = parse(CLIENT);
        let proposed = propose(Side::Client, &client, None, &Outline::default()).unwrap();
        let head = "v=0\r\no=parkway 7 1 IN IP4 198.51.100.1\r\ns=-\r\nc=IN IP4 198.51.100.1\r\nt=0 0\r\n";
        for (proposed, stream) in [
            (
                proposed,
                "m=audio 20000 RTP/AVP 8 96\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:96 telephone-event/8000\r\n\
                 a=fmtp:96 0-15\r\na=sendrecv\r\n",
            ),
            (
                Agreement::by_default(),
                "m=audio 20000 RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n\
                 a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=sendrecv\r\n",
            ),
        ] {
            let offer = offered(&Outline::default(), Side::Caller, &proposed, local("198.51.100.1:20000"));
            assert_eq!(offer, format!("{head}{stream}"));
        }
    }

    #[test]
    fn rtcp_on_the_rtp_port_is_said_of_the_audio_alone() {
        let caller = parse(CALLER);
        let agreement = agree(&caller, &caller).unwrap();
        for rtcp_mux in [true, false] {
            let local = local("198.51.100.1:20000");
            let local = Local { audio: LocalStream { rtcp_mux, ..local.audio }, ..local };
            let answer = answered(&caller, Side::Caller, &agreement, local.clone());
            let offer = offered(&Outline::of(&caller), Side::Caller, &agreement, local);
            for text in [answer, offer] {
                let expected = [false, rtcp_mux, false];
                assert_eq!(
                    parse(&text).media.iter().map(|media| media.rtcp_mux).collect::<Vec<_>>(),
                    expected,
                    "{text}"
                );
            }
        }
    }

    #[test]
    fn both_numbers_of_the_origin_fit_63_bits() {
        let local = Local { session_id: u64::MAX, version: u64::MAX, ..local("192.0.2.9:4000") };
        let offer = offered(&Outline::default(), Side::Caller, &Agreement::by_default(), local.clone());
        assert!(offer.contains("o=parkway 9223372036854775807 9223372036854775807 IN IP4 192.0.2.9\r\n"), "{offer}");
        assert_eq!(local.changed(Directions::all(Direction::Inactive)).version, 0);
    }

    #[test]
    fn a_session_never_loses_a_line() {
        let outline = Outline::of(&parse(CALLER));
        assert_eq!((outline.audio_index(), outline.lines.len()), (Some(1), 3));
        let offer = offered(&outline, Side::Caller, &Agreement::by_default(), local("192.0.2.9:4000"));
        let offer = parse(&offer);
        let lines: Vec<_> = offer.media.iter().map(|media| (media.kind, media.port)).collect();
        assert_eq!(lines, [(Kind::Video, 0), (Kind::Audio, 4000), (Kind::Image, 0)]);

        let mut outline = outline;
        outline.follow(&parse(CLIENT));
        assert_eq!((outline.audio_index(), outline.lines.len()), (Some(0), 3));

        let head = "v=0\no=- 1 1 IN IP4 192.0.2.1\nc=IN IP4 192.0.2.1\n";
        for (lines, audio, count) in [
            ("", Some(0), 1),
            ("m=video 4000 RTP/AVP 31\n", Some(1), 2),
            ("m=video 4000 RTP/AVP 31\nm=audio 0 RTP/AVP 0\n", Some(1), 2),
            // There is no room for another.
            (&"m=video 4000 RTP/AVP 31\n".repeat(8), None, 8),
        ] {
            let outline = Outline::of(&parse(&format!("{head}{lines}")));
            assert_eq!((outline.audio_index(), outline.lines.len()), (audio, count), "{lines}");
        }
    }

    /// One re-INVITE of the caller's carried across: what we offer to the client, its answer, and our answer to the caller.
    struct Carried {
        offer: String,
        answer: String,
        agreement: Agreement,
    }

    fn carry(agreement: &Agreement, offer: &str, client_answers: impl Fn(&str) -> String) -> Carried {
        let (theirs, outline) = (parse(offer), Outline::of(&parse(CLIENT)));
        let proposed = propose(Side::Caller, &theirs, Some(agreement), &outline).unwrap();
        let to_client = local("198.51.100.1:20002").changed(theirs.directions());
        let offer = offered(&outline, Side::Client, &proposed, to_client);
        let answer = client_answers(&offer);
        let answer = parse(&answer);
        let agreement = accept_answer(Side::Client, &proposed, &outline, &answer).unwrap();
        let to_caller = local("198.51.100.1:20000").changed(answer.directions());
        let answer = answered(&theirs, Side::Caller, &agreement, to_caller);
        Carried { offer, answer, agreement }
    }

    #[test]
    fn hold_and_resume_are_carried_across_the_bridge() {
        let (caller, client) = (parse(CALLER), parse(CLIENT));
        let agreement = agree(&caller, &client).unwrap();
        for (asks, to_client, client_says, to_caller) in [
            ("sendonly", "sendonly", "recvonly", "recvonly"),
            ("sendonly", "sendonly", "inactive", "inactive"),
            ("inactive", "inactive", "inactive", "inactive"),
            ("recvonly", "recvonly", "sendonly", "sendonly"),
            ("sendrecv", "sendrecv", "sendrecv", "sendrecv"),
            // the client, on its part, keeps the caller on hold
            ("sendrecv", "sendrecv", "sendonly", "sendonly"),
            // one that does not know its part gets no more than it may have
            ("sendonly", "sendonly", "sendrecv", "recvonly"),
        ] {
            let offer = CALLER.replace("a=ptime:30\r\n", &format!("a=ptime:30\r\na={asks}\r\n"));
            let said = CLIENT.to_owned() + "a=" + client_says;
            let carried = carry(&agreement, &offer, |_| said.clone());
            assert!(carried.offer.contains(&format!("a={to_client}\r\n")), "{asks}: {}", carried.offer);
            assert!(carried.answer.contains(&format!("a={to_caller}\r\n")), "{asks}: {}", carried.answer);
            assert!(carried.offer.contains("o=parkway 7 2 "), "a changed description has the next version");
            assert_eq!(carried.agreement, agreement, "{asks}: the numbers stay");
            let [caller, client] = [asks, client_says].map(|name| Direction::parse(name.as_bytes()).unwrap());
            let answer = parse(&carried.answer);
            let ours = answer.audio().unwrap().1.direction;
            assert_eq!(sends(Side::Caller, caller, client), ours.receives(), "{asks}");
            assert_eq!(sends(Side::Client, caller, client), ours.sends(), "{asks}");
        }
    }

    #[test]
    fn hold_the_old_way_is_carried_the_new_way_and_a_new_address_stays_on_its_own_leg() {
        let (caller, client) = (parse(CALLER), parse(CLIENT));
        let agreement = agree(&caller, &client).unwrap();
        let rules = AddressRules::default();

        let held = CALLER.replace("c=IN IP4 192.0.2.1", "c=IN IP4 0.0.0.0");
        let carried = carry(&agreement, &held, |_| CLIENT.to_owned() + "a=recvonly");
        assert!(carried.offer.contains("a=sendonly\r\n") && carried.answer.contains("a=recvonly\r\n"));
        assert_eq!(parse(&held).audio().unwrap().1.remote(rules).unwrap().rtp, None);

        let moved = CALLER.replace("c=IN IP4 192.0.2.1", "c=IN IP4 192.0.2.77").replace("4000", "4444");
        let carried = carry(&agreement, &moved, |_| CLIENT.to_owned());
        assert!(carried.offer.contains("c=IN IP4 198.51.100.1\r\n") && !carried.offer.contains("192.0.2.77"));
        let remote = parse(&moved).audio().unwrap().1.remote(rules).unwrap();
        assert_eq!(remote.rtp, Some("192.0.2.77:4444".parse().unwrap()));
    }

    #[test]
    fn a_codec_that_is_new_to_the_bridge_is_carried_with_a_free_number() {
        let (caller, client) = (parse(CALLER), parse(CLIENT));
        let agreement = agree(&caller, &client).unwrap();
        let wider =
            CALLER.replace("0 8 101\r\n", "96 8 101\r\na=rtpmap:96 opus/48000/2\r\na=fmtp:96 useinbandfec=1\r\n");
        let carried = carry(&agreement, &wider, |_| CLIENT.replace("8 96", "97 8") + "a=rtpmap:97 opus/48000/2");
        assert!(carried.offer.contains("m=audio 20002 RTP/AVP 97 8 96\r\n"), "{}", carried.offer);
        assert!(
            carried.offer.contains("a=rtpmap:97 opus/48000/2\r\na=fmtp:97 useinbandfec=1\r\n"),
            "{}",
            carried.offer
        );
        assert!(carried.answer.contains("m=audio 20000 RTP/AVP 96 8\r\n"), "{}", carried.answer);
    }

    prop_compose! {
        /// A stream with formats of all sorts.
        fn stream()(
            formats in proptest::collection::btree_map(
                prop_oneof![Just(0u8), Just(8), Just(9), Just(18), 96u8..=127],
                (
                    prop_oneof![Just("opus/48000/2"), Just("PCMU/8000"), Just("speex/16000"), Just("AMR/8000"),
                        Just("telephone-event/8000"), Just("telephone-event/48000"), Just("CN/8000"), Just("red/8000")],
                    proptest::option::of(prop_oneof![Just("octet-align=1"), Just("annexb=no"), Just("0-15"), Just("a b=\u{e9};")]),
                ),
                1..12,
            ),
            ptime in proptest::option::of(1u8..=200),
            direction in prop_oneof![Just("sendrecv"), Just("sendonly"), Just("recvonly"), Just("inactive")],
        ) -> String {
            let mut text = String::from("v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\nc=IN IP4 192.0.2.1\r\nm=audio 4000 RTP/AVP");
            formats.keys().for_each(|number| text += &format!(" {number}"));
            text += &format!("\r\na={direction}\r\n");
            ptime.iter().for_each(|ptime| text += &format!("a=ptime:{ptime}\r\n"));
            for (number, (encoding, fmtp)) in &formats {
                if *number >= 96 {
                    text += &format!("a=rtpmap:{number} {encoding}\r\n");
                }
                fmtp.iter().for_each(|fmtp| text += &format!("a=fmtp:{number} {fmtp}\r\n"));
            }
            text
        }
    }

    fn some_direction() -> impl Strategy<Value = Direction> {
        (any::<bool>(), any::<bool>()).prop_map(|(sends, receives)| Direction::new(sends, receives))
    }

    /// What is written for a leg says what was agreed and nothing else.
    fn check_written(written: &str, side: Side, agreement: &Agreement, local: &Local, direction: Direction) {
        let written = parse(written);
        let (_, media) = written.audio().unwrap();
        assert_eq!(media.remote(AddressRules::default()).unwrap().rtp, Some(local.audio.address));
        let ptime_ms = agreement.audio.wishes(side.other()).ptime_ms;
        assert_eq!((media.direction, media.ptime_ms), (direction, ptime_ms));
        let formats: Vec<_> = media.formats.iter().map(|f| (f.payload_type, f.encoding.unwrap(), f.fmtp)).collect();
        let expected = agreement.audio.list.iter();
        let expected = expected.map(|a| (a.leg(side).from_leg, a.encoding(side), a.leg(side.other()).fmtp.as_deref()));
        assert_eq!(formats, expected.collect::<Vec<_>>());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        #[test]
        fn what_is_written_is_read_as_it_was_agreed(
            caller in stream(), client in stream(), port in 1u16..=65_534, direction in some_direction(),
        ) {
            let (caller, client) = (parse(&caller), parse(&client));
            let address = SocketAddr::from(([198, 51, 100, 1], port));
            let local = Local { session_id: 7, version: 1, audio: stream_at(address, direction), video: None, fax: None };
            if let Ok(agreement) = agree(&caller, &client) {
                for (side, offer) in [(Side::Caller, &caller), (Side::Client, &client)] {
                    let answer = answered(offer, side, &agreement, local.clone());
                    check_written(&answer, side, &agreement, &local, offer.media[0].direction.answered_with(direction));
                    // RFC 3264 §6.1: an answer names nothing that was not offered under that number
                    for format in &parse(&answer).media[0].formats {
                        let offered = offer.media[0].formats.iter();
                        prop_assert!(offered.clone().any(|o| (o.payload_type, o.encoding) == (format.payload_type, format.encoding)));
                    }
                }
            }
            if let Ok(proposed) = propose(Side::Caller, &caller, agree(&caller, &client).ok().as_ref(), &Outline::of(&client)) {
                let offer = offered(&Outline::of(&client), Side::Client, &proposed, local.clone());
                check_written(&offer, Side::Client, &proposed, &local, direction);
                // one who answers with all that was offered, as it was offered, gets it
                let accepted = accept_answer(Side::Client, &proposed, &Outline::of(&client), &parse(&offer)).unwrap();
                let numbers = |of: &Agreement| of.audio.list.iter().map(|a| a.client.from_leg).collect::<Vec<_>>();
                prop_assert_eq!(numbers(&accepted), numbers(&proposed));
            }
        }
    }
}
