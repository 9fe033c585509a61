//! Keys that are pressed in a call, with a real daemon: across clocks of telephone-event (RFC 4733 §2.1).
//! Not here: each packet (`media`), each rule of offer and answer (`sdp`).
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod common;

use common::credentials::Rights;
use common::setup::Setup;
use common::story::{NUMBER, credentials};
use common::voice::describe;
use common::{Daemon, Phone, Subscriber, Wire};
use parkway::media::dtmf::KeyWriter;
use parkway::media::header::Rtp;
use parkway::media::tone::Law;
use parkway::time::Instant;
use serde_json::json;
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio_tungstenite::tungstenite::Message;

/// One packet's time.
const STEP: Duration = Duration::from_millis(20);

/// A telephone that presses keys and notes what it gets.
struct Keypad {
    phone: Phone,
    socket: UdpSocket,
    remote: Option<SocketAddr>,
    formats: &'static [(u8, &'static str)],
    sequence: u16,
}

impl Keypad {
    fn new(daemon: &Daemon, formats: &'static [(u8, &'static str)]) -> Keypad {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        Keypad { phone: Phone::new(daemon.sip, Wire::Plain), socket, remote: None, formats, sequence: 0 }
    }

    fn sdp(&self) -> String {
        describe(self.socket.local_addr().unwrap(), "sendrecv", 1, self.formats)
    }

    fn send(&mut self, payload_type: u8, marker: bool, timestamp: u32, payload: &[u8]) {
        let rtp = Rtp { payload_type, marker, sequence: self.sequence, timestamp, ssrc: 77 };
        let mut packet = [0; 256];
        let length = rtp.write(payload, &mut packet).unwrap();
        self.socket.send_to(&packet[..length], self.remote.unwrap()).unwrap();
        self.sequence = self.sequence.wrapping_add(1);
    }

    /// Audio, so that it is known.
    fn speak(&mut self) {
        for _ in 0..3 {
            let timestamp = 160 * u32::from(self.sequence);
            self.send(0, false, timestamp, &[0xFF; 160]);
        }
    }

    /// The next packet of that payload type.
    fn hear(&self, payload_type: u8) -> (Rtp, Vec<u8>) {
        let mut packet = [0; 2048];
        for _ in 0..100 {
            let length = self.socket.recv(&mut packet).expect("a packet comes");
            let (rtp, payload) = Rtp::parse(&packet[..length]).unwrap();
            if rtp.payload_type == payload_type {
                return (rtp, payload.to_vec());
            }
        }
        panic!("no packet of payload type {payload_type} among a hundred");
    }
}

/// Two of them, bridged and known to the relay.
fn bridge(
    daemon: &Daemon,
    client: &mut Subscriber,
    mut caller: Keypad,
    mut other: Keypad,
    headers: &str,
) -> (Keypad, Keypad, String) {
    let sdp = caller.sdp();
    caller.phone.invite(&format!("sip:{NUMBER}@{}", daemon.sip), headers, &sdp);
    caller.phone.expect(180);
    let incoming = client.incoming();
    let (sdp, headers) = (other.sdp(), format!("{}{headers}", credentials(&incoming.token, &client.jwt)));
    other.phone.invite(&incoming.sip, &headers, &sdp);
    let (to_client, to_caller) = (other.phone.expect(200), caller.phone.expect(200));
    (caller.remote, other.remote) = (to_caller.audio(), to_client.audio());
    client.gone(&incoming.call, "answered_elsewhere");
    // Some packets prove their sender; who is not known yet gets nothing.
    caller.speak();
    other.speak();
    caller.hear(0);
    caller.speak();
    other.hear(0);
    (caller, other, incoming.call)
}

#[test]
fn a_key_keeps_its_length_across_clocks() {
    const NARROW: &[(u8, &str)] = &[(0, "PCMU/8000"), (101, "telephone-event/8000")];
    const WIDE: &[(u8, &str)] = &[(0, "PCMU/8000"), (110, "telephone-event/48000")];
    let daemon = Daemon::start();
    let mut client = Subscriber::ready(&daemon, "demo");
    let (caller, other) = (Keypad::new(&daemon, NARROW), Keypad::new(&daemon, WIDE));
    let (mut caller, mut other, _) = bridge(&daemon, &mut client, caller, other, "");
    let ms = Duration::from_millis(100);
    for (from_caller, payload_types, clock, factor) in
        [(true, (101, 110), 8_000, (6, 1)), (false, (110, 101), 48_000, (1, 6))]
    {
        let (here, there) = if from_caller { (&mut caller, &mut other) } else { (&mut other, &mut caller) };
        for packet in KeyWriter::new('#', 4_000, clock, STEP, ms).unwrap() {
            here.send(payload_types.0, packet.marker, packet.timestamp, &packet.payload);
            let (rtp, payload) = there.hear(payload_types.1);
            let units = |payload: &[u8]| u32::from(u16::from_be_bytes([payload[2], payload[3]]));
            assert_eq!((rtp.marker, rtp.timestamp, &payload[..2]), (packet.marker, 4_000, &packet.payload[..2]));
            assert_eq!(units(&payload), units(&packet.payload) * factor.0 / factor.1);
        }
    }
    caller.phone.hang_up();
    other.phone.be_hung_up_on();
    let record = daemon.finish(1).remove(0);
    let digits = ["caller", "client"].map(|side| record["digits"][side]["rfc4733"].as_u64());
    assert_eq!(digits, [Some(1), Some(1)]);
}

/// Each key, from either side and however it was sent; as shipped nobody is told, and no log has any.
#[test]
fn the_client_that_has_the_call_is_told_each_key_where_the_operator_wants_it() {
    const KEYS: &[(u8, &str)] = &[(0, "PCMU/8000"), (101, "telephone-event/8000")];
    for tells in [true, false] {
        let reporting = if tells { "tell" } else { "count" };
        let setup = Setup::with(&[&format!("media.digits={reporting}"), "media.info_as=info"]);
        let daemon = Daemon::start_as(&setup);
        let mut client = Subscriber::ready(&daemon, "demo");
        // Of the same name, and not the one that has the call.
        let rights = Rights { subject: "somebody else".into(), ..Rights::full("demo") };
        let mut another = Subscriber::open(&daemon, "demo", &rights);
        another.expect("synced");
        let (caller, other) = (Keypad::new(&daemon, KEYS), Keypad::new(&daemon, KEYS));
        let (mut caller, mut other, _) = bridge(&daemon, &mut client, caller, other, "");
        for (from_caller, key, leg) in [(true, '4', "caller"), (false, '#', "client")] {
            let (here, there) = if from_caller { (&mut caller, &mut other) } else { (&mut other, &mut caller) };
            for packet in KeyWriter::new(key, 4_000, 8_000, STEP, Duration::from_millis(100)).unwrap() {
                here.send(101, packet.marker, packet.timestamp, &packet.payload);
                there.hear(101);
            }
            if tells {
                let told = client.expect("digit");
                let said = ["leg", "key", "heard"].map(|member| told[member].as_str().unwrap().to_owned());
                assert_eq!(said, [leg, &key.to_string(), "rfc4733"]);
                assert_eq!(told["duration_ms"], 100);
            }
        }
        // As softphones in browsers write it.
        let (body, kind) = ("Signal=7\r\nDuration=160", "Content-Type: application/dtmf-relay\r\n");
        other.phone.request_with("INFO", kind, body);
        let carried = caller.phone.expect_request("INFO");
        caller.phone.answer(&carried, 200, "");
        other.phone.expect(200);
        if tells {
            let told = client.expect("digit");
            assert_eq!((&told["leg"], &told["key"], &told["heard"]), (&json!("client"), &json!("7"), &json!("info")));
            assert_eq!(told["duration_ms"], 160);
        }
        caller.phone.hang_up();
        other.phone.be_hung_up_on();
        client.expect("ended");
        let incoming = another.incoming();
        another.gone(&incoming.call, "answered_elsewhere");
        another.stays_silent();
        assert!(!daemon.log().contains("Signal"), "a key in the log");
        daemon.wait_for_metric("parkway_digits_total{heard=\"rfc4733\"}", STEP * 250, |count| count == 2.0);
        let record = daemon.finish(1).remove(0);
        let nothing = json!({"rfc4733": 0, "in_band": 0, "info": 0, "untold": 0, "sent": 0, "unsent": 0});
        let expected = |rfc4733: u32, info: u32| {
            let mut counts = nothing.clone();
            (counts["rfc4733"], counts["info"]) = (json!(rfc4733), json!(info));
            counts
        };
        assert_eq!(record["digits"], json!({"caller": expected(1, 0), "client": expected(1, 1)}));
    }
}

/// What a telephone without telephone-event sends for a key: 697 Hz and 1336 Hz, 2.
#[allow(clippy::cast_possible_truncation, reason = "no sample is above 12,000")]
fn tones(samples: u16) -> Vec<u8> {
    let wave = |hz: f32, n: u16| 6_000.0 * (std::f32::consts::TAU * hz * f32::from(n) / 8_000.0).sin();
    (0..samples).map(|n| Law::Mu.encode((wave(697.0, n) + wave(1_336.0, n)) as i16)).collect()
}

/// Where a side has no telephone-event its audio is listened to, if the operator wants it; the key is told as any other, once.
#[test]
fn a_key_in_the_audio_is_told_where_it_is_listened_for() {
    const AUDIO: &[(u8, &str)] = &[(0, "PCMU/8000")];
    const EVENTS: &[(u8, &str)] = &[(0, "PCMU/8000"), (101, "telephone-event/8000")];
    for (listens, formats, expected) in [("true", AUDIO, 1), ("false", AUDIO, 0), ("true", EVENTS, 0)] {
        let daemon = Daemon::start_as(&Setup::with(&["media.digits=tell", &format!("media.in_band={listens}")]));
        let mut client = Subscriber::ready(&daemon, "demo");
        let (caller, other) = (Keypad::new(&daemon, formats), Keypad::new(&daemon, formats));
        let (mut caller, mut other, _) = bridge(&daemon, &mut client, caller, other, "");
        for payload in tones(800).chunks(160).chain([&[0xFF; 160][..]; 5]) {
            let timestamp = 160 * u32::from(caller.sequence);
            caller.send(0, false, timestamp, payload);
            other.hear(0);
        }
        if expected == 1 {
            let told = client.expect("digit");
            assert_eq!(
                (&told["leg"], &told["key"], &told["heard"]),
                (&json!("caller"), &json!("2"), &json!("in_band"))
            );
            assert!((80..=120).contains(&told["duration_ms"].as_u64().unwrap()), "{told}");
        }
        caller.phone.hang_up();
        other.phone.be_hung_up_on();
        let record = daemon.finish(1).remove(0);
        assert_eq!(record["digits"]["caller"]["in_band"], expected, "in_band = {listens}, {formats:?}");
    }
}

/// The whole of what a telephone hears of one stream in a while: numbers, and the keys among them.
fn listen(phone: &Keypad, keys: usize, payload_type: u8) -> (Vec<Rtp>, String) {
    let (mut packets, mut keypad, mut heard) = (Vec::new(), parkway::media::dtmf::Keypad::default(), String::new());
    let mut bytes = [0; 2048];
    while heard.len() < keys {
        let length = phone.socket.recv(&mut bytes).expect("a packet comes");
        let (rtp, payload) = Rtp::parse(&bytes[..length]).unwrap();
        if rtp.payload_type == payload_type {
            heard.extend(keypad.receive(Instant(0), &rtp, payload, 8_000).map(|digit| digit.key));
        }
        packets.push(rtp);
    }
    (packets, heard)
}

/// By INFO, and by a word of the client's on its WebSocket or over HTTP: the caller hears telephone-event, in one stream with the audio.
#[test]
fn keys_that_the_client_wants_pressed_are_heard_by_the_caller_in_one_stream() {
    const KEYS: &[(u8, &str)] = &[(0, "PCMU/8000"), (101, "telephone-event/8000")];
    const OTHER: &[(u8, &str)] = &[(0, "PCMU/8000"), (96, "telephone-event/8000")];
    let daemon = Daemon::start();
    let mut client = Subscriber::ready(&daemon, "demo");
    let (caller, other) = (Keypad::new(&daemon, KEYS), Keypad::new(&daemon, OTHER));
    let (mut caller, mut other, call) = bridge(&daemon, &mut client, caller, other, "");
    let (body, kind) = ("Signal=7\r\nDuration=120", "Content-Type: application/dtmf-relay\r\n");
    other.phone.request_with("INFO", kind, body);
    other.phone.expect(200);
    client.send(Message::text(json!({"type": "press", "call": call, "digits": "12#"}).to_string())).unwrap();
    client.send(Message::text(json!({"type": "press", "call": call, "digits": "1,2"}).to_string())).unwrap();
    assert_eq!(client.expect("error")["reason"], "malformed");
    // It speaks on all the while.
    let (ended, talking) = (Arc::new(AtomicBool::new(false)), other.socket.try_clone().unwrap());
    let (remote, sequence, over) = (other.remote.unwrap(), other.sequence, Arc::clone(&ended));
    let speaker = std::thread::spawn(move || {
        for sequence in sequence..sequence + 2_000 {
            let rtp = Rtp { sequence, timestamp: 160 * u32::from(sequence), ssrc: 77, ..Rtp::default() };
            let mut packet = [0; 172];
            rtp.write(&[0xFF; 160], &mut packet).unwrap();
            talking.send_to(&packet, remote).unwrap();
            if over.load(Ordering::Relaxed) {
                return;
            }
            std::thread::sleep(STEP);
        }
    });
    let (packets, heard) = listen(&caller, 4, 101);
    ended.store(true, Ordering::Relaxed);
    speaker.join().unwrap();
    assert_eq!(heard, "712#");
    let numbers: BTreeSet<u16> = packets.iter().map(|rtp| rtp.sequence).collect();
    assert_eq!(numbers.len(), packets.len(), "no number twice");
    assert!(packets.iter().all(|rtp| rtp.ssrc == 77), "one source");
    assert!(packets.iter().filter(|rtp| rtp.payload_type == 0).count() >= 3, "audio between the keys");
    caller.phone.hang_up();
    other.phone.be_hung_up_on();
    let record = daemon.finish(1).remove(0);
    let digits = &record["digits"];
    assert_eq!((&digits["client"]["info"], &digits["caller"]["sent"]), (&json!(1), &json!(4)), "{digits}");
    assert_eq!(digits["caller"]["unsent"], 0);
}
