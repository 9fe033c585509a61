//! One end's audio: a tone and key presses every 20 ms as G.711 µ-law and telephone-event over RTP (RFC 3550, RFC 4733),
//! and what came back. Tones and keys are made and told apart by `media::tone` and `media::dtmf`; sequence numbers are counted here anew,
//! not by the relay's own statistics.
//! Not here: signalling (`agent`), and whether what was heard is right (`check`).

use super::Failure;
use super::ladder::{Ink, Ladder, Lane, Way};
use super::offer::{Answer, PCMU};
use crate::media::dtmf::{KeyWriter, Keypad};
use crate::media::header::Rtp;
use crate::media::tone::{FRAME_SAMPLES, Law, SAMPLE_RATE, Sine, dominant_hz};
use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use tokio::net::UdpSocket;
use tokio::time::{Duration, Instant, interval};

/// What the caller says, Hz: the pitch that musicians tune to.
pub(super) const TONE_CALLER: u16 = 440;
/// What the client says, Hz: no multiple of the other, so that neither can be taken for the other's echo.
pub(super) const TONE_CLIENT: u16 = 620;
/// The keys that the client presses.
pub(super) const DIGITS: &str = "42#";

/// One packet's time.
const FRAME: Duration = Duration::from_millis(20);
/// How long a key is held.
const PRESS: Duration = Duration::from_millis(100);
/// After this long without a packet the other end has fallen silent; a busy machine may hold packets back for a few frames.
const QUIET: Duration = Duration::from_millis(400);
/// Longest packet that is read; 172 bytes are expected.
const PACKET_BYTES: usize = 1500;
/// Times that a pair of ports is sought before the machine counts as full.
const PORT_TRIES: usize = 32;
/// Samples over which the tone is measured, and how many such stretches, of which the middle one counts.
const STRETCH: (usize, usize) = (400, 3);
/// Most samples that are kept: five times what is expected.
const SAMPLES_MAX: usize = 80_000;

/// What one end heard, and how much it said.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Hearing {
    /// Packets sent.
    pub(super) sent: u64,
    /// Packets of the agreed kinds that came from the agreed address, each sequence number once.
    pub(super) received: u64,
    /// Numbers missing between the first and the last received.
    pub(super) lost: u64,
    /// Packets that should not have come as they did: doubled, out of order, malformed, of another payload type, source or SSRC.
    pub(super) disturbed: u64,
    /// When the first packet came.
    pub(super) first: Option<Instant>,
    /// The frequency that was heard, Hz.
    pub(super) tone_hz: Option<u16>,
    /// The keys that were heard.
    pub(super) digits: String,
    /// The payload type of telephone-event in what this end said, and in what it heard.
    pub(super) events: (u8, u8),
}

/// What one end is to say: a tone of about two seconds, with keys in between. Both ends say it in 100 packets.
pub(super) struct Script {
    hz: u16,
    steps: VecDeque<Step>,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// So many frames of the tone.
    Tone(u32),
    /// A key.
    Key(char),
}

impl Script {
    /// The caller's tone.
    pub(super) fn caller() -> Script {
        Script { hz: TONE_CALLER, steps: VecDeque::from([Step::Tone(100)]) }
    }

    /// The client's tone, with [`DIGITS`] in the middle of it.
    pub(super) fn client() -> Script {
        let mut steps = VecDeque::from([Step::Tone(40)]);
        for digit in DIGITS.chars() {
            steps.extend([Step::Key(digit), Step::Tone(4)]);
        }
        steps.push_back(Step::Tone(27));
        Script { hz: TONE_CLIENT, steps }
    }
}

/// One end's audio.
pub(super) struct Audio {
    lane: Lane,
    ladder: Ladder,
    rtp: UdpSocket,
    /// Kept so that nobody else gets the port: RTCP would come there (RFC 3550 §11).
    _rtcp: UdpSocket,
    local: SocketAddr,
    mouth: Mouth,
    ear: Ear,
}

impl Audio {
    /// An even port and the odd one above it; `events` is what this end's packets are to call telephone-event.
    pub(super) async fn bind(lane: Lane, ladder: Ladder, script: Script, events: u8) -> Result<Audio, Failure> {
        let (rtp, rtcp, local) = bind_pair().await.map_err(|e| Failure::io(lane, &e))?;
        Ok(Audio { lane, ladder, rtp, _rtcp: rtcp, local, mouth: Mouth::new(script), ear: Ear::new(events) })
    }

    /// Where this end receives, for its offer.
    pub(super) fn address(&self) -> SocketAddr {
        self.local
    }

    /// Says the script and listens, until both are done.
    pub(super) async fn run(&mut self, answer: &Answer) -> Result<(), Failure> {
        let mut tick = interval(FRAME);
        let mut packet = [0; PACKET_BYTES];
        let mut last_heard = Instant::now();
        let lane = self.lane;
        loop {
            tokio::select! {
                received = self.rtp.recv_from(&mut packet) => {
                    let (length, from) = received.map_err(|e| Failure::io(lane, &e))?;
                    last_heard = Instant::now();
                    self.hear(last_heard, packet.get(..length).unwrap_or_default(), from == answer.remote);
                }
                _ = tick.tick() => match self.mouth.next(answer.events) {
                    Some(said) => self.say(&said, answer.remote).await.map_err(|e| Failure::io(lane, &e))?,
                    None if last_heard.elapsed() >= QUIET => return Ok(()),
                    None => {}
                },
            }
        }
    }

    /// What it all came to. Measures the tone on another thread: the arithmetic would hold up the packets of other calls.
    pub(super) async fn finish(self, said_as: u8) -> Hearing {
        let Audio { ear, mouth, .. } = self;
        let measuring = tokio::task::spawn_blocking(move || ear.finish(mouth.sent, said_as));
        measuring.await.expect("the measuring does not panic")
    }

    async fn say(&mut self, said: &Said, to: SocketAddr) -> io::Result<()> {
        let mut packet = [0; PACKET_BYTES];
        let length = said.header.write(&said.payload, &mut packet).expect("a frame is shorter than the longest packet");
        let first = self.mouth.sent == 0;
        self.rtp.send_to(packet.get(..length).unwrap_or_default(), to).await?;
        self.mouth.sent += 1;
        match said.key.filter(|_| said.header.marker) {
            Some(key) => self.arrow(Way::Sent, &format!("key {key}, type {}", said.header.payload_type)),
            None if first => self.arrow(Way::Sent, &format!("RTP, {} Hz", self.mouth.hz)),
            None => {}
        }
        Ok(())
    }

    fn hear(&mut self, at: Instant, packet: &[u8], from_agreed: bool) {
        let first = self.ear.first.is_none();
        let key = self.ear.hear(at, packet, from_agreed);
        if first && self.ear.first.is_some() {
            self.arrow(Way::Heard, "RTP, first packet");
        }
        if let Some(key) = key {
            self.arrow(Way::Heard, &format!("key {key}, type {}", self.ear.events));
        }
    }

    fn arrow(&self, way: Way, text: &str) {
        self.ladder.arrow(Instant::now(), self.lane, way, Ink::Media, text);
    }
}

async fn bind_pair() -> io::Result<(UdpSocket, UdpSocket, SocketAddr)> {
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..PORT_TRIES {
        let rtp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let local = rtp.local_addr()?;
        if !local.port().is_multiple_of(2) {
            continue;
        }
        match UdpSocket::bind((Ipv4Addr::LOCALHOST, local.port() + 1)).await {
            Ok(rtcp) => return Ok((rtp, rtcp, local)),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Makes the packets.
struct Mouth {
    hz: u16,
    sine: Sine,
    steps: VecDeque<Step>,
    pressed: Option<(char, KeyWriter)>,
    sequence: u16,
    timestamp: u32,
    ssrc: u32,
    sent: u64,
}

/// A packet to be sent.
struct Said {
    header: Rtp,
    payload: Vec<u8>,
    /// Of a key's packets: which.
    key: Option<char>,
}

impl Mouth {
    fn new(script: Script) -> Mouth {
        let [s0, s1, t0, t1, t2, t3, c0, c1, c2, c3]: [u8; 10] = super::chance();
        Mouth {
            hz: script.hz,
            sine: Sine::new(script.hz),
            steps: script.steps,
            pressed: None,
            // RFC 3550 §5.1: all three start at random.
            sequence: u16::from_be_bytes([s0, s1]),
            timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
            ssrc: u32::from_be_bytes([c0, c1, c2, c3]),
            sent: 0,
        }
    }

    /// The next frame's packet; `None` when all is said.
    fn next(&mut self, events: u8) -> Option<Said> {
        let said = self.frame(events)?;
        self.sequence = self.sequence.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(160);
        Some(said)
    }

    fn frame(&mut self, events: u8) -> Option<Said> {
        if let Some((key, writer)) = &mut self.pressed {
            if let Some(packet) = writer.next() {
                let (key, timestamp) = (Some(*key), packet.timestamp);
                let header = self.header(events, packet.marker, timestamp);
                return Some(Said { header, payload: packet.payload.to_vec(), key });
            }
            self.pressed = None;
        }
        match self.steps.pop_front()? {
            Step::Tone(0) => self.frame(events),
            Step::Tone(frames) => {
                self.steps.push_front(Step::Tone(frames - 1));
                let mut payload = vec![0; FRAME_SAMPLES];
                self.sine.fill(Law::Mu, &mut payload);
                let header = self.header(PCMU, self.sent == 0, self.timestamp);
                Some(Said { header, payload, key: None })
            }
            Step::Key(key) => {
                let writer = KeyWriter::new(key, self.timestamp, SAMPLE_RATE, FRAME, PRESS);
                self.pressed = Some((key, writer.expect("DIGITS are keys of a telephone")));
                self.frame(events)
            }
        }
    }

    fn header(&self, payload_type: u8, marker: bool, timestamp: u32) -> Rtp {
        Rtp { payload_type, marker, sequence: self.sequence, timestamp, ssrc: self.ssrc }
    }
}

/// Takes the packets in.
struct Ear {
    /// The payload type of telephone-event in what comes.
    events: u8,
    /// Sequence numbers that came, counted on beyond 65,535.
    seen: BTreeSet<u64>,
    ssrc: Option<u32>,
    disturbed: u64,
    first: Option<Instant>,
    samples: Vec<i16>,
    keypad: Keypad,
    digits: String,
}

impl Ear {
    fn new(events: u8) -> Ear {
        Ear {
            events,
            seen: BTreeSet::new(),
            ssrc: None,
            disturbed: 0,
            first: None,
            samples: Vec::new(),
            keypad: Keypad::default(),
            digits: String::new(),
        }
    }

    /// A datagram came; a key that it completes is returned.
    fn hear(&mut self, at: Instant, packet: &[u8], from_agreed: bool) -> Option<char> {
        let Some((header, payload)) = Rtp::parse(packet).ok().filter(|(header, _)| from_agreed && self.agreed(header))
        else {
            self.disturbed += 1;
            return None;
        };
        if !self.count(header.sequence) {
            return None;
        }
        let first = *self.first.get_or_insert(at);
        if header.payload_type == PCMU {
            let room = SAMPLES_MAX.saturating_sub(self.samples.len());
            self.samples.extend(payload.iter().take(room).map(|&octet| Law::Mu.decode(octet)));
            return None;
        }
        let key = self.keypad.receive(since(first, at), &header, payload, SAMPLE_RATE)?.key;
        self.digits.push(key);
        Some(key)
    }

    /// One of the payload types that were agreed, and always the same source.
    fn agreed(&mut self, header: &Rtp) -> bool {
        let known = header.payload_type == PCMU || header.payload_type == self.events;
        known && *self.ssrc.get_or_insert(header.ssrc) == header.ssrc
    }

    /// Takes a sequence number into account; `false` for one that came before.
    fn count(&mut self, sequence: u16) -> bool {
        // One cycle is put below the first number, so that a late packet has somewhere to go.
        let last = self.seen.last().copied().unwrap_or_else(|| u64::from(sequence) + 0x1_0000);
        let last_low = u16::try_from(last & 0xFFFF).expect("16 bits are left");
        let ahead = sequence.wrapping_sub(last_low).cast_signed();
        let number = last.saturating_add_signed(i64::from(ahead));
        if ahead < 0 || self.seen.contains(&number) {
            self.disturbed += 1;
        }
        self.seen.insert(number)
    }

    fn finish(mut self, sent: u64, said_as: u8) -> Hearing {
        // A key whose release never came is given up by then.
        let later = crate::time::Instant(u64::MAX);
        self.digits.extend(self.keypad.handle_timeout(later).map(|digit| digit.key));
        let received = self.seen.len() as u64;
        let spread = self.seen.first().zip(self.seen.last()).map_or(0, |(first, last)| last - first + 1);
        Hearing {
            sent,
            received,
            lost: spread - received,
            disturbed: self.disturbed,
            first: self.first,
            tone_hz: tone(&self.samples),
            digits: self.digits,
            events: (said_as, self.events),
        }
    }
}

/// The middle one of what some stretches, spread over the whole, sound like: so a tone that is there only at the start does not count.
fn tone(samples: &[i16]) -> Option<u16> {
    let (length, count) = STRETCH;
    let room = samples.len().checked_sub(length)?;
    let mut heard: Vec<Option<u16>> =
        (0..count).map(|i| room * i / (count - 1)).map(|at| dominant_hz(samples.get(at..at + length)?)).collect();
    heard.sort_unstable();
    heard.get(count / 2).copied().flatten()
}

/// The core's clock, which counts from where one likes.
fn since(origin: Instant, at: Instant) -> crate::time::Instant {
    crate::time::Instant(0) + at.saturating_duration_since(origin)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All packets of a script as they would leave.
    fn packets(script: Script, events: u8) -> Vec<Vec<u8>> {
        let mut mouth = Mouth::new(script);
        let mut packets = Vec::new();
        while let Some(said) = mouth.next(events) {
            let mut packet = vec![0; PACKET_BYTES];
            let length = said.header.write(&said.payload, &mut packet).unwrap();
            packet.truncate(length);
            packets.push(packet);
            mouth.sent += 1;
        }
        packets
    }

    fn heard(packets: &[Vec<u8>], events: u8) -> Hearing {
        let mut ear = Ear::new(events);
        let start = Instant::now();
        let mut at = start;
        for packet in packets {
            at += FRAME;
            ear.hear(at, packet, true);
        }
        ear.finish(packets.len() as u64, events)
    }

    #[test]
    fn what_one_end_says_the_other_hears() {
        for (script, tone, digits) in [(Script::caller(), TONE_CALLER, ""), (Script::client(), TONE_CLIENT, DIGITS)] {
            let packets = packets(script, 96);
            assert_eq!(packets.len(), 100);
            let heard = heard(&packets, 96);
            assert_eq!((heard.sent, heard.received, heard.lost, heard.disturbed), (100, 100, 0, 0));
            assert!(heard.tone_hz.unwrap().abs_diff(tone) <= 3, "{:?}", heard.tone_hz);
            assert_eq!(heard.digits, digits);
        }
    }

    #[test]
    fn what_goes_wrong_on_the_way_is_counted() {
        type Spoil = fn(&mut Vec<Vec<u8>>);
        let rows: [(&str, Spoil, u64, u64); 6] = [
            ("one_is_lost", |p| drop(p.remove(50)), 1, 0),
            ("the_first_are_not_let_through", |p| drop(p.drain(..3)), 0, 0),
            ("one_comes_twice", |p| p.insert(50, p[49].clone()), 0, 1),
            ("two_change_places", |p| p.swap(50, 51), 0, 1),
            ("one_has_a_strange_payload_type", |p| p[50][1] = 8, 1, 1),
            ("one_is_of_another_source", |p| p[50][11] ^= 1, 1, 1),
        ];
        for (rule, spoil, lost, disturbed) in rows {
            let mut packets = packets(Script::caller(), 96);
            spoil(&mut packets);
            let heard = heard(&packets, 96);
            assert_eq!((heard.lost, heard.disturbed), (lost, disturbed), "{rule}");
        }
    }

    #[test]
    fn a_payload_type_that_is_not_translated_gives_no_digits() {
        let heard = heard(&packets(Script::client(), 96), 101);
        assert_eq!(heard.digits, "");
        assert_eq!(heard.disturbed, 21);
    }

    #[test]
    fn a_tone_that_breaks_off_or_changes_is_not_taken_for_the_first() {
        let sine = |hz, samples| Sine::new(hz).take(samples).collect::<Vec<i16>>();
        for (samples, expected) in [
            (sine(440, 16_000), Some(440)),
            ([sine(440, 4_000), vec![0; 12_000]].concat(), None),
            (vec![0; 16_000], None),
            (sine(440, 300), None),
        ] {
            let heard = tone(&samples);
            assert!(
                heard.zip(expected).map_or(heard == expected, |(a, b)| a.abs_diff(b) <= 3),
                "{heard:?} {expected:?}"
            );
        }
    }
}
