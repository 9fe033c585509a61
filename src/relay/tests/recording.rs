//! Recordings of flows over real sockets: who is in which channel, who was told, and what is in the file however the call ends.

use super::*;
use crate::media::tone::{AMPLITUDE, goertzel};
use crate::media::{Announcement, Play, Recorded, Recording, Sides, SoundId};
use std::fs;
use std::path::Path;

const FRAME: std::time::Duration = std::time::Duration::from_millis(20);

fn recorder(directory: &Path) -> RecorderSettings {
    RecorderSettings {
        directory: directory.to_owned(),
        longest: Duration::from_secs(60),
        files_max: 2,
        free_bytes_min: 0,
    }
}

fn start_with(recorder: RecorderSettings) -> (Relay, Receiver<Event>) {
    let (sender, receiver) = channel();
    let settings = RelaySettings { recorder: Some(recorder), ..settings(1, 20_000, 27_999) };
    (Relay::start(settings, move |event| drop(sender.send(event))).unwrap(), receiver)
}

/// Signalling for a phone whose words are recorded, and which is told so by the relay's only sound, of a second.
fn recorded(phone: &Phone, events: (u8, u8), is_told: bool) -> Stream {
    let play = Play { sound: SoundId(0), law: Law::Mu, payload_type: 0, ssrc: 0xABCD };
    let announces = is_told.then_some(Announcement { play, every: None });
    let recording = Recording { laws: [(0, Law::Mu)].into_iter().collect(), announces };
    Stream { recording: Some(Box::new(recording)), ..phone.stream(events) }
}

fn begin(relay: &Relay, sides: Sides) {
    relay.command(Command::Record { flow: FLOW, file: "2026-11-26/one.wav".into(), sides });
}

/// Keeps the phones' time, as a sound card would: how long the last packet took is not added to the next pause.
struct Pace(std::time::Instant);

impl Pace {
    fn new() -> Pace {
        Pace(std::time::Instant::now())
    }

    /// All speak for so many packets.
    fn speak(&mut self, phones: &mut [&mut Phone], packets: u32) {
        for _ in 0..packets {
            phones.iter_mut().for_each(|phone| phone.talk());
            self.0 += FRAME;
            std::thread::sleep(self.0.saturating_duration_since(std::time::Instant::now()));
        }
    }
}

/// The samples of a file by channels. Its header has to be right.
fn read(path: &Path) -> Vec<Vec<i16>> {
    let bytes = fs::read(path).unwrap();
    let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    assert_eq!((&bytes[..4], &bytes[8..16], number(24)), (&b"RIFF"[..], &b"WAVEfmt "[..], 8_000));
    let length = usize::try_from(number(40)).unwrap();
    assert!(length <= bytes.len() - 44 && number(4) == number(40) + 36);
    let channels = usize::from(bytes[22]);
    let samples: Vec<i16> = bytes[44..44 + length].chunks(2).map(|two| i16::from_le_bytes([two[0], two[1]])).collect();
    (0..channels).map(|channel| samples.iter().skip(channel).step_by(channels).copied().collect()).collect()
}

/// The amplitude of one frequency, as a share of what the phones speak with.
fn share(samples: &[i16], hz: u16) -> f32 {
    let count = f32::from(u16::try_from(samples.len()).unwrap());
    goertzel(samples, hz).sqrt() * 2.0 / count / AMPLITUDE
}

/// The part in which one frequency is heard: its first and last sample that is loud, and how loud it is in the middle.
fn heard(samples: &[i16], hz: u16) -> (usize, usize, f32) {
    let loud = |sample: &i16| sample.unsigned_abs() > 3_000;
    let first = samples.iter().position(loud).unwrap_or(0);
    let last = samples.iter().rposition(loud).unwrap_or(0);
    let middle = (first + last) / 2;
    (first, last, share(&samples[middle - 1_000..middle + 1_000], hz))
}

fn finished(relay: &Relay, path: &Path) {
    let counts = relay.recordings().unwrap();
    let frames = (0..FINISHED_FRAMES_MAX).take_while(|_| counts.finished.load(Ordering::Relaxed) == 0);
    frames.for_each(|_| std::thread::sleep(FRAME));
    assert!(path.exists(), "no recording was finished in time");
}

/// How long a recording may take to be finished, in frames: ten seconds.
const FINISHED_FRAMES_MAX: u32 = 500;

/// A call of which both sides are recorded, where nobody has to be told.
fn recorded_call(relay: &Relay, events: &Receiver<Event>) -> (Phone, Phone) {
    let (mut caller, mut client) = call(relay, events);
    begin(relay, Sides::Both);
    relay.command(Command::Set { flow: FLOW, side: Side::Caller, stream: recorded(&caller, (101, 96), false) });
    relay.command(Command::Set { flow: FLOW, side: Side::Client, stream: recorded(&client, (96, 101), false) });
    introduce(events, &mut caller, &mut client);
    (caller, client)
}

#[test]
fn each_side_is_in_its_channel_after_both_were_told() {
    let directory = tempfile::tempdir().unwrap();
    let (relay, events) = start_with(recorder(directory.path()));
    let (caller, client) = open(&relay, &events, FLOW);
    let (mut caller, mut client) = (Phone::new("127.0.0.2", caller, 440), Phone::new("127.0.0.3", client, 697));
    begin(&relay, Sides::Both);
    relay.command(Command::Set { flow: FLOW, side: Side::Caller, stream: recorded(&caller, (101, 96), true) });
    relay.command(Command::Set { flow: FLOW, side: Side::Client, stream: recorded(&client, (96, 101), true) });
    introduce(&events, &mut caller, &mut client);
    Pace::new().speak(&mut [&mut caller, &mut client], 100);
    // A key that is pressed is no audio.
    caller.send(101, &[5, 0x80, 1, 64]);
    let report = close(&relay, &events, FLOW);
    let Recorded { file, seconds, failed, .. } = report.recording.clone().unwrap();
    assert_eq!((file.as_deref(), failed), (Some("2026-11-26/one.wav"), None));
    let path = directory.path().join("2026-11-26/one.wav");
    finished(&relay, &path);
    let channels = read(&path);
    let length = channels[0].len();
    let whole = f64::from(u32::try_from(length).unwrap()) / 8_000.0;
    assert!((whole - seconds).abs() < 0.002, "{length} samples, {seconds} s");
    for (channel, (own, other)) in channels.iter().zip([(440, 697), (697, 440)]) {
        let (first, last, level) = heard(channel, own);
        // Nothing is recorded before the second of the announcement is over.
        assert!(first >= 8_000 - 320 && last > first + 4_000, "{own} Hz from {first} to {last}");
        assert!((0.95..1.05).contains(&level), "{own} Hz at {level}");
        let middle = (first + last) / 2;
        assert!(share(&channel[middle - 1_000..middle + 1_000], other) < 0.02);
        assert!(share(&channel[middle - 1_000..middle + 1_000], 1_000) < 0.02, "the announcement is not recorded");
    }
    for (counters, who) in [(report.caller, "caller"), (report.client, "client")] {
        assert_eq!(counters.packets_played, 50, "{who} heard all of it, once");
        assert!(counters.packets_replaced >= 40, "{who} was not heard meanwhile: {counters:?}");
    }
}

#[test]
fn one_side_alone_is_one_channel_and_nobody_is_told_where_nobody_has_to_be() {
    let directory = tempfile::tempdir().unwrap();
    let (relay, events) = start_with(recorder(directory.path()));
    let (mut caller, mut client) = call(&relay, &events);
    let silent = Recording::default();
    begin(&relay, Sides::Client);
    let of_caller = Stream { recording: Some(Box::new(silent)), ..caller.stream((101, 96)) };
    relay.command(Command::Set { flow: FLOW, side: Side::Caller, stream: of_caller });
    relay.command(Command::Set { flow: FLOW, side: Side::Client, stream: recorded(&client, (96, 101), false) });
    introduce(&events, &mut caller, &mut client);
    Pace::new().speak(&mut [&mut caller, &mut client], 40);
    let report = close(&relay, &events, FLOW);
    let path = directory.path().join("2026-11-26/one.wav");
    finished(&relay, &path);
    let channels = read(&path);
    assert_eq!((channels.len(), report.caller.packets_played, report.caller.packets_replaced), (1, 0, 0));
    let (.., level) = heard(&channels[0], 697);
    assert!((0.95..1.05).contains(&level), "{level}");
    assert!(share(&channels[0][2_000..4_000], 440) < 0.02);
}

#[test]
fn a_call_that_is_handed_on_is_one_file() {
    let directory = tempfile::tempdir().unwrap();
    let (relay, events) = start_with(recorder(directory.path()));
    let (mut caller, mut client) = recorded_call(&relay, &events);
    let mut pace = Pace::new();
    pace.speak(&mut [&mut caller, &mut client], 30);
    relay.command(Command::Clear { flow: FLOW, side: Side::Client });
    // The caller waits: what it says meanwhile is nobody's.
    pace.speak(&mut [&mut caller], 30);
    let mut next = Phone::new("127.0.0.4", client.relay, 1_209);
    begin(&relay, Sides::Both);
    relay.command(Command::Set { flow: FLOW, side: Side::Client, stream: recorded(&next, (96, 101), false) });
    pace.speak(&mut [&mut caller, &mut next], 30);
    close(&relay, &events, FLOW);
    let path = directory.path().join("2026-11-26/one.wav");
    finished(&relay, &path);
    let channels = read(&path);
    let third = |channel: usize, number: usize| {
        let at = number * 4_800 + 1_400;
        &channels[channel][at..at + 2_000]
    };
    assert!(share(third(0, 0), 440) > 0.9 && share(third(0, 1), 440) < 0.02 && share(third(0, 2), 440) > 0.9);
    assert!(share(third(1, 0), 697) > 0.9 && share(third(1, 1), 697) < 0.02 && share(third(1, 2), 1_209) > 0.9);
}

#[test]
fn a_disk_that_does_not_take_it_costs_the_recording_and_not_the_call() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("2026-11-26"), b"no directory").unwrap();
    let good = recorder(directory.path());
    for (rule, settings, expect) in [
        ("unwritable", good.clone(), "cannot write "),
        ("full", RecorderSettings { free_bytes_min: u64::MAX, ..good.clone() }, "the disk has less room left"),
        ("many", RecorderSettings { files_max: 0, ..good.clone() }, "0 recordings are made already"),
    ] {
        let (relay, events) = start_with(settings);
        let (mut caller, mut client) = recorded_call(&relay, &events);
        Pace::new().speak(&mut [&mut caller, &mut client], 10);
        let report = close(&relay, &events, FLOW);
        let Recorded { failed, seconds, .. } = report.recording.unwrap();
        assert!(failed.as_ref().is_some_and(|what| what.starts_with(expect)), "{rule}: {failed:?}");
        assert_eq!((seconds, relay.recordings().unwrap().failed.load(Ordering::Relaxed)), (0.0, 1), "{rule}");
        assert!(report.client.packets_forwarded >= 10, "{rule}: the two hear each other");
    }
}

#[test]
fn a_call_that_is_longer_than_it_may_be_recorded_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let (relay, events) =
        start_with(RecorderSettings { longest: Duration::from_secs(1), ..recorder(directory.path()) });
    let (mut caller, mut client) = recorded_call(&relay, &events);
    Pace::new().speak(&mut [&mut caller, &mut client], 75);
    let report = close(&relay, &events, FLOW);
    assert_eq!(report.recording.map(|recorded| (recorded.seconds, recorded.failed)), Some((1.0, None)));
    assert!(report.client.packets_forwarded > 60);
    let path = directory.path().join("2026-11-26/one.wav");
    finished(&relay, &path);
    assert!((8_000..=8_400).contains(&read(&path)[0].len()));
}

#[test]
fn a_relay_that_stops_leaves_whole_files() {
    let directory = tempfile::tempdir().unwrap();
    let (relay, events) = start_with(recorder(directory.path()));
    let (mut caller, mut client) = recorded_call(&relay, &events);
    Pace::new().speak(&mut [&mut caller, &mut client], 40);
    relay.stop();
    let channels = read(&directory.path().join("2026-11-26/one.wav"));
    assert!(heard(&channels[0], 440).2 > 0.9 && heard(&channels[1], 697).2 > 0.9);
}
