//! SIP and SDP as the actors write and read them: none of the code that is under test, and fast, because it runs for every message.
//! Not here: what a message means (`agent`, `law`).

use bytes::Bytes;

/// Methods, as far as the actors care.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verb {
    Invite,
    Ack,
    Cancel,
    Bye,
    Options,
    Update,
    Prack,
    Info,
    Register,
    /// One that the switch does not serve; of the switch's own, what a telephone is told by.
    Other,
}

impl Verb {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Verb::Invite => "INVITE",
            Verb::Ack => "ACK",
            Verb::Cancel => "CANCEL",
            Verb::Bye => "BYE",
            Verb::Options => "OPTIONS",
            Verb::Update => "UPDATE",
            Verb::Prack => "PRACK",
            Verb::Info => "INFO",
            Verb::Register => "REGISTER",
            Verb::Other => "MESSAGE",
        }
    }

    fn of(text: &[u8]) -> Verb {
        match text {
            b"INVITE" => Verb::Invite,
            b"ACK" => Verb::Ack,
            b"CANCEL" => Verb::Cancel,
            b"BYE" => Verb::Bye,
            b"OPTIONS" => Verb::Options,
            b"UPDATE" => Verb::Update,
            b"PRACK" => Verb::Prack,
            b"INFO" => Verb::Info,
            b"REGISTER" => Verb::Register,
            _ => Verb::Other,
        }
    }
}

/// A message as it was read.
#[derive(Clone, Copy, Default)]
pub(super) struct Seen<'a> {
    pub(super) start: &'a [u8],
    /// 0 for a request.
    pub(super) status: u16,
    pub(super) cseq: u32,
    method: &'a [u8],
    /// All Via lines, line ends included.
    pub(super) vias: &'a [u8],
    branch: &'a [u8],
    pub(super) from: &'a [u8],
    pub(super) to: &'a [u8],
    /// The tags of From and To.
    tags: [&'a [u8]; 2],
    pub(super) call_id: &'a [u8],
    /// The URI in the Contact.
    pub(super) contact: &'a [u8],
    pub(super) warning: &'a [u8],
    pub(super) reason: &'a [u8],
    /// 0 for none.
    pub(super) rseq: u32,
    pub(super) rack: &'a [u8],
    pub(super) session_expires: &'a [u8],
    pub(super) session_id: &'a [u8],
    length: Option<usize>,
    pub(super) body: &'a [u8],
}

/// Reads a message that must be well-formed; `None` if it is not.
pub(super) fn read(bytes: &[u8]) -> Option<Seen<'_>> {
    read_loosely(bytes).filter(|seen| seen.length == Some(seen.body.len()))
}

/// Reads a message whose body may be shorter than it says.
pub(super) fn read_loosely(bytes: &[u8]) -> Option<Seen<'_>> {
    let mut seen = Seen::default();
    let mut at = 0;
    loop {
        let end = at + memchr::memchr(b'\r', bytes.get(at..)?)?;
        let line = bytes.get(at..end)?;
        let next = end + 2;
        if bytes.get(end + 1) != Some(&b'\n') {
            return None;
        }
        if line.is_empty() {
            seen.body = bytes.get(next..)?;
            break;
        }
        if at == 0 {
            seen.start = line;
            seen.status = match line.strip_prefix(b"SIP/2.0 ") {
                Some(rest) => u16::try_from(number(rest.get(..3)?)?).ok()?,
                None => 0,
            };
        } else {
            seen.take(bytes, line, at, next)?;
        }
        at = next;
    }
    let complete = !seen.vias.is_empty() && !seen.call_id.is_empty();
    (complete && seen.cseq > 0 && !seen.to.is_empty()).then_some(seen)
}

/// Whether it is an INVITE or a MESSAGE outside of any dialog.
pub(super) fn begins_call(bytes: &[u8]) -> bool {
    (bytes.starts_with(b"INVITE ") || bytes.starts_with(b"MESSAGE "))
        && read_loosely(bytes).is_some_and(|seen| seen.tag_of_to().is_empty())
}

impl<'a> Seen<'a> {
    fn take(&mut self, bytes: &'a [u8], line: &'a [u8], at: usize, next: usize) -> Option<()> {
        let colon = memchr::memchr(b':', line)?;
        let value = line.get(colon + 1..)?.trim_ascii();
        match line.get(..colon)? {
            b"Via" => {
                let begin = at - self.vias.len();
                if self.vias.is_empty() {
                    self.branch = param(value, b"branch=");
                }
                self.vias = bytes.get(begin..next)?;
            }
            b"From" => (self.from, self.tags[0]) = (value, param(value, b"tag=")),
            b"To" => (self.to, self.tags[1]) = (value, param(value, b"tag=")),
            b"Call-ID" => self.call_id = value,
            b"CSeq" => {
                let space = memchr::memchr(b' ', value)?;
                self.cseq = number(value.get(..space)?)?;
                self.method = value.get(space + 1..)?;
            }
            b"Contact" => self.contact = value.strip_prefix(b"<")?.split(|byte| *byte == b'>').next()?,
            b"Warning" => self.warning = value,
            b"Reason" => self.reason = value,
            b"RSeq" => self.rseq = long_number(value)?,
            b"RAck" => self.rack = value,
            b"Session-Expires" => self.session_expires = value,
            b"Session-ID" => self.session_id = value,
            b"Content-Length" => self.length = Some(number(value)? as usize),
            _ => {}
        }
        Some(())
    }

    /// The method of the request, or of the one that is answered.
    pub(super) fn verb(&self) -> Verb {
        Verb::of(self.method)
    }

    pub(super) fn is_request(&self) -> bool {
        self.status == 0
    }

    /// The branch of the first Via.
    pub(super) fn branch(&self) -> &'a [u8] {
        self.branch
    }

    pub(super) fn tag_of_from(&self) -> &'a [u8] {
        self.tags[0]
    }

    pub(super) fn tag_of_to(&self) -> &'a [u8] {
        self.tags[1]
    }
}

/// The value after `;name=`.
fn param<'a>(text: &'a [u8], name: &[u8]) -> &'a [u8] {
    let mut parts = text.split(|byte| *byte == b';').skip(1);
    parts.find_map(|part| part.strip_prefix(name)).unwrap_or_default()
}

pub(super) fn number(text: &[u8]) -> Option<u32> {
    if text.is_empty() || text.len() > 9 {
        return None;
    }
    text.iter().try_fold(0, |number, byte| byte.is_ascii_digit().then(|| number * 10 + u32::from(byte - b'0')))
}

/// The same of up to ten digits.
fn long_number(text: &[u8]) -> Option<u32> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// The interval of a Session-Expires, and whether it is the sender of the request who refreshes.
pub(super) fn session(value: &[u8]) -> Option<(u32, bool)> {
    let interval = number(value.split(|byte| *byte == b';').next()?)?;
    Some((interval, param(value, b"refresher=") != b"uas"))
}

/// The RSeq and the CSeq that a RAck names.
pub(super) fn acknowledged(rack: &[u8]) -> Option<(u32, u32)> {
    let mut words = rack.split(|byte| *byte == b' ');
    Some((long_number(words.next()?)?, number(words.next()?)?))
}

/// Lays text end to end.
#[derive(Default)]
pub(super) struct Writer(Vec<u8>);

impl Writer {
    pub(super) fn new() -> Writer {
        Writer(Vec::with_capacity(1200))
    }

    pub(super) fn s(&mut self, text: &(impl AsRef<[u8]> + ?Sized)) -> &mut Writer {
        self.0.extend_from_slice(text.as_ref());
        self
    }

    pub(super) fn n(&mut self, number: u64) -> &mut Writer {
        let (mut digits, mut at, mut left) = ([0; 20], 20, number);
        loop {
            at -= 1;
            digits[at] = b'0' + u8::try_from(left % 10).expect("a digit");
            left /= 10;
            if left == 0 {
                break;
            }
        }
        self.s(&digits[at..])
    }

    /// Ends the header and adds the body.
    pub(super) fn body(&mut self, body: &[u8]) -> &mut Writer {
        if !body.is_empty() {
            self.s("Content-Type: application/sdp\r\n");
        }
        self.s("Content-Length: ").n(body.len() as u64).s("\r\n\r\n").s(body)
    }

    pub(super) fn bytes(&mut self) -> Bytes {
        Bytes::from(std::mem::take(&mut self.0))
    }
}

/// What a side offers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Offer {
    /// PCMA, PCMU, telephone-event as 101.
    Usual,
    /// PCMU, telephone-event as 96.
    Other,
    /// Audio as [`Offer::Usual`], and video.
    Video,
    /// The INVITE has no description: the other side is to offer.
    Nothing,
    /// A codec that nobody else has.
    Alien,
    /// A body that is no description.
    Garbage,
}

/// What a description says of the direction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Way {
    Both,
    SendOnly,
    Inactive,
}

impl Way {
    fn as_str(self) -> &'static str {
        match self {
            Way::Both => "sendrecv",
            Way::SendOnly => "sendonly",
            Way::Inactive => "inactive",
        }
    }
}

/// Writes an offer of a side with its media at `host:port`.
pub(super) fn offer(kind: Offer, host: &str, port: u16, version: u32, way: Way) -> Vec<u8> {
    let mut out = Writer::new();
    match kind {
        Offer::Nothing => return Vec::new(),
        Offer::Garbage => return b"v=0\r\nthis is no description\r\n".to_vec(),
        Offer::Usual | Offer::Other | Offer::Video | Offer::Alien => {}
    }
    let head = |out: &mut Writer| {
        out.s("v=0\r\no=- 7 ").n(u64::from(version)).s(" IN IP4 ").s(host).s("\r\ns=-\r\nc=IN IP4 ").s(host);
        out.s("\r\nt=0 0\r\nm=audio ").n(u64::from(port)).s(" RTP/AVP ");
    };
    head(&mut out);
    out.s(match kind {
        Offer::Other => "0 96\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:96 telephone-event/8000\r\na=fmtp:96 0-15\r\n",
        Offer::Alien => "97\r\na=rtpmap:97 alien/16000\r\n",
        Offer::Usual | Offer::Video | Offer::Nothing | Offer::Garbage => {
            "8 0 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\n"
        }
    });
    out.s("a=").s(way.as_str()).s("\r\n");
    if kind == Offer::Video {
        out.s("m=video ").n(u64::from(port) + 2).s(" RTP/AVP 99\r\na=rtpmap:99 H264/90000\r\n");
    }
    out.0
}

/// Answers an offer with all that it names, from `host:port`. Directions are turned round (RFC 3264 §6.1).
pub(super) fn answer(offered: &[u8], host: &str, port: u16, version: u32) -> Vec<u8> {
    let mut out = Writer::new();
    out.s("v=0\r\no=- 8 ").n(u64::from(version)).s(" IN IP4 ").s(host).s("\r\ns=-\r\nc=IN IP4 ").s(host);
    out.s("\r\nt=0 0\r\n");
    let mut in_media = false;
    for line in offered.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end).filter(|line| !line.is_empty()) {
        if let Some(rest) = line.strip_prefix(b"m=") {
            in_media = true;
            let mut words = rest.split(|byte| *byte == b' ');
            let (kind, _) = (words.next().unwrap_or_default(), words.next());
            out.s("m=").s(kind).s(" ").n(u64::from(if kind == b"audio" { port } else { 0 }));
            words.for_each(|word| {
                out.s(" ").s(word);
            });
            out.s("\r\n");
        } else if in_media && line.starts_with(b"a=") {
            let turned: &[u8] = match line {
                b"a=sendonly" => b"a=recvonly",
                b"a=recvonly" => b"a=sendonly",
                _ => line,
            };
            out.s(turned).s("\r\n");
        }
    }
    out.0
}

/// The port of the audio, and the first and the last of its payload types.
pub(super) fn audio(description: &[u8]) -> Option<(u16, u8, u8)> {
    let at = memchr::memmem::find(description, b"m=audio ")?;
    let line = description.get(at + 8..)?.split(|byte| *byte == b'\r').next()?;
    let mut words = line.split(|byte| *byte == b' ');
    let port = u16::try_from(number(words.next()?)?).ok()?;
    let mut types = words.skip(1).filter_map(|word| u8::try_from(number(word)?).ok());
    let first = types.next()?;
    Some((port, first, types.last().unwrap_or(first)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_as_it_was_written() {
        let mut out = Writer::new();
        out.s("INVITE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKx;rport\r\nVia: SIP/2.0/UDP g;branch=y\r\n");
        out.s("From: <sip:a@b>;tag=1\r\nTo: <sip:c@d>\r\nCall-ID: i\r\nCSeq: 70 INVITE\r\nContact: <sip:e@f>\r\n");
        let bytes = out.body(b"v=0\r\n").bytes();
        let seen = read(&bytes).unwrap();
        assert!(seen.is_request() && seen.verb() == Verb::Invite && seen.cseq == 70);
        assert_eq!((seen.branch(), seen.tag_of_from(), seen.tag_of_to()), (&b"z9hG4bKx"[..], &b"1"[..], &b""[..]));
        assert_eq!((seen.contact, seen.body), (&b"sip:e@f"[..], &b"v=0\r\n"[..]));
        assert!(seen.vias.starts_with(b"Via: SIP/2.0/UDP h;") && seen.vias.ends_with(b"UDP g;branch=y\r\n"));
        assert!(read(&bytes[..bytes.len() - 1]).is_none(), "Content-Length must be the body's");
    }

    #[test]
    fn an_answer_turns_an_offer_round() {
        let offered = offer(Offer::Video, "192.0.2.1", 4000, 1, Way::SendOnly);
        let answered = String::from_utf8(answer(&offered, "192.0.2.2", 5000, 1)).unwrap();
        assert!(answered.contains("m=audio 5000 RTP/AVP 8 0 101\r\n") && answered.contains("a=recvonly"));
        assert!(answered.contains("m=video 0 RTP/AVP 99"));
        assert_eq!(audio(&offered), Some((4000, 8, 101)));
        assert!(offer(Offer::Nothing, "h", 1, 1, Way::Both).is_empty());
    }
}
