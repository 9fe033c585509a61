//! Many telephones' audio at once, on one thread: each says a tone of its own, one packet each 20 ms, plain or under SRTP, and notes
//! everything that it hears and that is not the next packet of whom it talks to.
//! Not here: the relay's own SRTP. These are of `webrtc_srtp`, with which the relay's has to agree.

use super::story::{NUMBER, credentials};
use super::{Daemon, Message, Phone, Subscriber, Wire, voice};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use parkway::media::tone::{AMPLITUDE, FRAME_SAMPLES, Law, Sine, dominant_hz, goertzel};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};
use webrtc_srtp::context::Context;

/// What a packet is encrypted with.
pub(crate) use webrtc_srtp::protection_profile::ProtectionProfile as Suite;

/// From one packet to the next.
pub(crate) const FRAME: Duration = Duration::from_millis(20);
/// Silence for so long is the end of what was sent.
const LAST: Duration = Duration::from_millis(300);
/// Samples of a tenth of a second, from which a tone is told.
const TENTH: usize = 800;
/// What nobody says who has a part in a call: whoever hears it has heard a packet that was slipped in.
pub(crate) const MARK: [u8; 16] = *b"NOT-OF-THIS-CALL";
/// What was heard.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(crate) struct Heard {
    /// Packets of the other side.
    pub(crate) packets: u64,
    /// Gaps in the sequence of those.
    pub(crate) lost: u64,
    /// Of those, any that had come before.
    pub(crate) again: u64,
    /// From elsewhere, of another source, or not authentic.
    pub(crate) strange: u64,
    /// With [`MARK`] in it, whatever else it was.
    pub(crate) marked: u64,
}

/// One side's audio.
pub(crate) struct Talker {
    socket: UdpSocket,
    /// Where it is.
    pub(crate) address: SocketAddr,
    /// Where its SDP says that it is.
    pub(crate) named: SocketAddr,
    /// The relay's port for it.
    pub(crate) remote: Option<SocketAddr>,
    /// Its source.
    pub(crate) ssrc: u32,
    /// That of whom it talks to.
    pub(crate) other: u32,
    /// Its tone.
    pub(crate) hz: u16,
    /// What its packets are protected with.
    pub(crate) suite: Option<Suite>,
    /// The number of its next packet.
    pub(crate) sequence: u16,
    /// What was heard until now.
    pub(crate) heard: Heard,
    tone: Sine,
    next: Option<u16>,
    seals: Option<Context>,
    opens: Option<Context>,
    samples: Vec<i16>,
    /// The same, of what came over the wire.
    raw: Vec<i16>,
}

impl Talker {
    /// Takes a port. Each needs another number, from which its source and its key follow.
    pub(crate) fn bind(ip: IpAddr, number: u16, hz: u16, suite: Option<Suite>) -> Talker {
        let socket = UdpSocket::bind((ip, 0)).unwrap();
        socket.set_nonblocking(true).unwrap();
        let address = socket.local_addr().unwrap();
        let ssrc = 0x5000_0000 + u32::from(number);
        Talker {
            address,
            named: address,
            socket,
            remote: None,
            ssrc,
            other: 0,
            hz,
            suite,
            sequence: 0,
            heard: Heard::default(),
            tone: Sine::new(hz),
            next: None,
            seals: suite.map(|suite| context(suite, &key(suite, ssrc))),
            opens: None,
            samples: Vec::new(),
            raw: Vec::new(),
        }
    }

    /// Its offer.
    pub(crate) fn sdp(&self) -> String {
        let plain = voice::sdp(self.named, "sendrecv", 1);
        let Some(suite) = self.suite else { return plain };
        let name = name(suite);
        let key = STANDARD.encode(key(suite, self.ssrc));
        plain.replace("RTP/AVP", "RTP/SAVP") + &format!("a=crypto:1 {name} inline:{key}\r\n")
    }

    /// Takes the relay's address, and its key, from a description.
    pub(crate) fn follow(&mut self, answer: &Message) {
        self.remote = answer.audio();
        let crypto = answer.body.lines().find_map(|line| line.strip_prefix("a=crypto:")).map(str::trim);
        assert_eq!(crypto.is_some(), self.suite.is_some(), "{}", answer.body);
        self.opens = crypto.zip(self.suite).map(|(crypto, suite)| {
            let key = crypto.split_once("inline:").unwrap().1.split('|').next().unwrap();
            context(suite, &STANDARD.decode(key).unwrap())
        });
    }

    /// Its next packet, as it goes over the wire.
    pub(crate) fn packet(&mut self) -> Vec<u8> {
        let mut plain = rtp(self.ssrc, self.sequence, &[]);
        plain.resize(12 + FRAME_SAMPLES, 0);
        self.tone.fill(Law::Mu, &mut plain[12..]);
        self.sequence = self.sequence.wrapping_add(1);
        self.seals.as_mut().map_or_else(|| plain.clone(), |seals| seals.encrypt_rtp(&plain).unwrap().to_vec())
    }

    /// Sends something as it is.
    pub(crate) fn send(&self, packet: &[u8]) {
        // A kernel without room loses it, which its listener will say.
        let _ = self.socket.send_to(packet, self.remote.unwrap());
    }

    /// Says the next packet.
    pub(crate) fn speak(&mut self) {
        let packet = self.packet();
        self.send(&packet);
    }

    /// Takes all that has come.
    pub(crate) fn listen(&mut self) {
        let mut buffer = [0; 2048];
        while let Ok((length, source)) = self.socket.recv_from(&mut buffer) {
            self.hear(source, &buffer[..length]);
        }
    }

    fn hear(&mut self, source: SocketAddr, packet: &[u8]) {
        let plain = match &mut self.opens {
            Some(opens) => opens.decrypt_rtp(packet).map(|plain| plain.to_vec()).unwrap_or_default(),
            None => packet.to_vec(),
        };
        let has_mark = |bytes: &[u8]| bytes.windows(MARK.len()).any(|window| window == MARK);
        self.heard.marked += u64::from(has_mark(packet) || has_mark(&plain));
        let is_pcmu = plain.len() == 12 + FRAME_SAMPLES && plain[0] >> 6 == 2 && plain[1] & 0x7F == 0;
        if Some(source) != self.remote || !is_pcmu || plain[8..12] != self.other.to_be_bytes() {
            self.heard.strange += 1;
            return;
        }
        let sequence = u16::from_be_bytes([plain[2], plain[3]]);
        let ahead = self.next.map_or(0, |next| sequence.wrapping_sub(next));
        if ahead > u16::MAX / 2 {
            self.heard.again += 1;
            return;
        }
        self.heard.packets += 1;
        self.heard.lost += u64::from(ahead);
        self.next = Some(sequence.wrapping_add(1));
        for (kept, from) in [(&mut self.samples, &plain), (&mut self.raw, &packet.to_vec())] {
            kept.extend(from[12..12 + FRAME_SAMPLES].iter().map(|octet| Law::Mu.decode(*octet)));
            kept.drain(..kept.len().saturating_sub(TENTH));
        }
    }

    /// That nothing came but what the other side says, each packet once and in its order; how many of them are missing since the first,
    /// the last among them.
    pub(crate) fn missing(&self, said_by_other: u16) -> u64 {
        let Heard { packets, lost, again, strange, marked } = self.heard;
        let what = format!("{} hears {:?}, {said_by_other} said", self.address, self.heard);
        assert!(packets > 0 && (again, strange, marked) == (0, 0, 0), "{what}");
        lost + u64::from(said_by_other.wrapping_sub(self.next.unwrap()))
    }

    /// The same, and that none is missing.
    pub(crate) fn assert_lost_nothing(&self, said_by_other: u16) {
        let missing = self.missing(said_by_other);
        assert_eq!(missing, 0, "{} hears {:?}, {said_by_other} said", self.address, self.heard);
    }

    /// That it hears this tone, as loud as it was said, and that the tone cannot be heard on the wire where there is SRTP.
    pub(crate) fn assert_hears(&self, hz: u16) {
        let (found, level) = (dominant_hz(&self.samples), level_db(&self.samples, hz));
        let what = format!("{:?} hears {found:?} Hz at {level:.2} dB of what was said, {hz} Hz", self.suite);
        assert!(found.is_some_and(|found| found.abs_diff(hz) <= 3) && level.abs() < 0.5, "{what}");
        let on_the_wire = dominant_hz(&self.raw);
        assert_eq!(on_the_wire.is_some(), self.suite.is_none(), "{what}; on the wire it is {on_the_wire:?}");
    }
}

/// Talkers who talk at once; those of a call stand side by side, the caller first.
#[derive(Default)]
pub(crate) struct Choir {
    /// All of them.
    pub(crate) talkers: Vec<Talker>,
}

impl Choir {
    /// Another call's caller and client, who talk to each other from now on whenever the choir does.
    pub(crate) fn bridge(&mut self, daemon: &Daemon, subscriber: &mut Subscriber, mut pair: [Talker; 2]) -> [Phone; 2] {
        let [caller, client] = &mut pair;
        (caller.other, client.other) = (client.ssrc, caller.ssrc);
        let phone = |talker: &Talker| Phone::bound((talker.address.ip(), 0).into(), daemon.sip, Wire::Plain);
        let mut phones = [phone(caller), phone(client)];
        phones[0].invite(&format!("sip:{NUMBER}@{}", daemon.sip), "", &caller.sdp());
        phones[0].expect(180);
        let incoming = subscriber.incoming();
        phones[1].invite(&incoming.sip, &credentials(&incoming.token, &subscriber.jwt), &client.sdp());
        client.follow(&phones[1].expect(200));
        caller.follow(&phones[0].expect(200));
        subscriber.gone(&incoming.call, "answered_elsewhere");
        self.talkers.extend(pair);
        phones
    }

    /// Each says its next packet each 20 ms, if `says` so of its place and the turn, until that tells that it is over; the last of it is
    /// waited for. What a busy machine is late with is not made up for in a burst.
    pub(crate) fn talk(&mut self, mut goes_on: impl FnMut(u32) -> bool, says: impl Fn(usize, u32) -> bool) {
        let mut due = Instant::now();
        for turn in 0.. {
            if !goes_on(turn) {
                break;
            }
            let speakers = self.talkers.iter_mut().enumerate().filter(|(at, _)| says(*at, turn));
            speakers.for_each(|(_, talker)| talker.speak());
            due = (due + FRAME).max(Instant::now() + FRAME / 2);
            self.listen_until(due);
        }
        while self.listen_until(Instant::now() + LAST) {}
    }

    /// Whether anything came.
    fn listen_until(&mut self, end: Instant) -> bool {
        let heard =
            |choir: &Choir| choir.talkers.iter().map(|talker| talker.heard.packets + talker.heard.strange).sum();
        let before: u64 = heard(self);
        while Instant::now() < end {
            self.talkers.iter_mut().for_each(Talker::listen);
            std::thread::sleep(Duration::from_millis(4));
        }
        heard(self) > before
    }

    /// Each talker with whom it talks to.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&Talker, &Talker)> {
        self.talkers.chunks(2).flat_map(|pair| [(&pair[0], &pair[1]), (&pair[1], &pair[0])])
    }
}

/// RTP of PCMU.
pub(crate) fn rtp(ssrc: u32, sequence: u16, payload: &[u8]) -> Vec<u8> {
    let timestamp = u32::from(sequence) * u32::try_from(FRAME_SAMPLES).unwrap();
    let [number, time, source] = [u32::from(sequence), timestamp, ssrc].map(u32::to_be_bytes);
    [&[0x80, 0], &number[2..], &time, &source, payload].concat()
}

/// How much louder a tone is than [`AMPLITUDE`].
fn level_db(samples: &[i16], hz: u16) -> f32 {
    // A sine's power by Goertzel is the square of its peak times half the count.
    let half = f32::from(u16::try_from(samples.len()).unwrap()) / 2.0;
    20.0 * (goertzel(samples, hz).sqrt() / half / AMPLITUDE).log10()
}

/// As RFC 4568 §6.2, RFC 6188 §4 and RFC 7714 §14.2 have it.
fn name(suite: Suite) -> &'static str {
    match suite {
        Suite::Aes128CmHmacSha1_80 => "AES_CM_128_HMAC_SHA1_80",
        Suite::Aes128CmHmacSha1_32 => "AES_CM_128_HMAC_SHA1_32",
        Suite::Aes256CmHmacSha1_80 => "AES_256_CM_HMAC_SHA1_80",
        Suite::Aes256CmHmacSha1_32 => "AES_256_CM_HMAC_SHA1_32",
        Suite::AeadAes128Gcm => "AEAD_AES_128_GCM",
        Suite::AeadAes256Gcm => "AEAD_AES_256_GCM",
    }
}

/// A master key and salt that no other source has.
fn key(suite: Suite, ssrc: u32) -> Vec<u8> {
    let bytes = ssrc.to_be_bytes().into_iter().cycle().zip(0u8..);
    bytes
        .map(|(byte, at)| byte.wrapping_mul(37) ^ at.wrapping_mul(89))
        .take(suite.key_len() + suite.salt_len())
        .collect()
}

fn context(suite: Suite, key_and_salt: &[u8]) -> Context {
    let (key, salt) = key_and_salt.split_at(suite.key_len());
    Context::new(key, salt, suite, None, None).unwrap()
}
