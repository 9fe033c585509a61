//! Recordings as an operator gets them from the daemon itself: files, records, what becomes of them when it is killed, and what it says where
//! it cannot write.
//! Not here: every case of what is recorded when (`media::recording`, `media::timeline`, `relay`), and what is agreed (`flows`).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod common;

use common::softphone::{self, Softphone};
use common::talker::Suite;
use common::{Choir, Daemon, Rights, Setup, Subscriber, Talker, program, story, until};
use parkway::media::tone::dominant_hz;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// What announces a recording where no sound does.
const BEEP_HZ: u16 = 1_400;

/// A daemon that records all calls, and the directory that they go to.
fn start(more: &[&str]) -> (Daemon, tempfile::TempDir) {
    let recordings = tempfile::tempdir().unwrap();
    let directory = format!("recording.directory={}", recordings.path().display());
    let mut set = vec!["park.record=both", "recording.free_mb_min=0", "media.srtp=any", directory.as_str()];
    set.extend(more);
    (Daemon::start_as(&Setup::with(&set)), recordings)
}

/// The left and the right samples of a file.
fn read(path: &Path) -> [Vec<i16>; 2] {
    let bytes = fs::read(path).unwrap();
    let length = usize::try_from(u32::from_le_bytes(bytes[40..44].try_into().unwrap())).unwrap();
    assert!(bytes.starts_with(b"RIFF") && length > 0 && 44 + length <= bytes.len(), "{length} of {}", bytes.len());
    let samples: Vec<i16> = bytes[44..44 + length].chunks(2).map(|two| i16::from_le_bytes([two[0], two[1]])).collect();
    [0, 1].map(|channel| samples.iter().skip(channel).step_by(2).copied().collect())
}

/// The tone in the middle of what is not silence, and how loud it is at its loudest.
fn tone(samples: &[i16]) -> (Option<u16>, u16) {
    let loud = |sample: &i16| sample.unsigned_abs() > 3_000;
    let (first, last) = (samples.iter().position(loud).unwrap(), samples.iter().rposition(loud).unwrap());
    let middle = &samples[(first + last) / 2 - 400..(first + last) / 2 + 400];
    (dominant_hz(middle), middle.iter().map(|sample| sample.unsigned_abs()).max().unwrap())
}

/// The only file of this ending.
fn only(directory: &Path, ending: &str) -> Option<PathBuf> {
    let days = fs::read_dir(directory).unwrap().map(|day| day.unwrap().path());
    let files = days.flat_map(|day| fs::read_dir(day).unwrap()).map(|file| file.unwrap().path());
    let mut files = files.filter(|file| file.to_str().unwrap().ends_with(ending));
    let file = files.next();
    assert!(files.next().is_none());
    file
}

#[test]
fn both_sides_are_recorded_where_one_is_encrypted() {
    let (daemon, recordings) = start(&["recording.announce=none"]);
    let mut subscriber = Subscriber::ready(&daemon, "demo");
    let bind = |number, hz, suite| Talker::bind(Ipv4Addr::LOCALHOST.into(), number, hz, suite);
    let mut choir = Choir::default();
    let pair = [bind(0, 600, Some(Suite::AeadAes128Gcm)), bind(1, 1_100, None)];
    let [mut caller, mut client] = choir.bridge(&daemon, &mut subscriber, pair);
    choir.talk(|turn| turn < 75, |_, _| true);
    choir.pairs().for_each(|(hearer, speaker)| hearer.assert_hears(speaker.hz));
    caller.hang_up();
    client.be_hung_up_on();
    let record = daemon.record();
    let recording = &record["recording"];
    assert_eq!((&recording["failed"], &recording["dropped"]), (&serde_json::Value::Null, &0.into()), "{record:#}");
    let path = recordings.path().join(recording["file"].as_str().unwrap());
    assert!(path.ends_with(format!("{}.wav", record["call"].as_str().unwrap())));
    until("the file", Duration::from_secs(5), || path.exists().then_some(()));
    let [left, right] = read(&path);
    for (samples, hz) in [(&left, 600u16), (&right, 1_100)] {
        let (heard, level) = tone(samples);
        assert!(heard.is_some_and(|heard| heard.abs_diff(hz) <= 3), "{heard:?} in place of {hz}");
        assert!((9_000..=10_500).contains(&level), "{level}");
    }
    let length = f64::from(u32::try_from(left.len()).unwrap()) / 8_000.0;
    assert!((recording["seconds"].as_f64().unwrap() - length).abs() < 0.01, "{record:#}");
    daemon
        .wait_for_metric("parkway_recordings_total{result=\"finished\"}", Duration::from_secs(5), |count| count == 1.0);
    daemon.finish(1);
}

/// It hears the beep that announces it and then the caller; what it said is on the right.
#[test]
fn a_softphone_in_a_recorded_call_is_told_and_recorded() {
    const CALLER_HZ: u16 = 440;
    let Some(modules) = softphone::modules() else { return };
    let (daemon, recordings) = start(&["recording.beep_seconds=0"]);
    let mut subscriber = Subscriber::open(&daemon, "demo", &Rights { dial: true, ..Rights::full("demo") });
    subscriber.expect("synced");
    let mut caller = story::park(&daemon);
    let incoming = subscriber.incoming();
    let dir = daemon.dir().join("baresip");
    let mut phone = Softphone::dial(&dir, &modules, incoming.dial.as_deref().unwrap());
    let answer = caller.phone.expect(200);
    caller.voice.talk(answer.audio().unwrap(), CALLER_HZ);
    caller.phone.be_hung_up_on();
    assert!(program::wait(&mut phone.child, Duration::from_secs(20)).is_some());
    let path = until("the file", Duration::from_secs(5), || only(recordings.path(), ".wav"));
    let [left, right] = read(&path);
    for (samples, hz) in [(&left, CALLER_HZ), (&right, softphone::PHONE_HZ)] {
        let (heard, _) = tone(samples);
        assert!(heard.is_some_and(|heard| heard.abs_diff(hz) <= 3), "{heard:?} in place of {hz}");
    }
    let heard: Vec<u16> = softphone::recording(&dir).chunks(800).filter_map(dominant_hz).collect();
    let begins = |hz: u16| heard.iter().position(|tone| tone.abs_diff(hz) <= 3);
    let (beep, voice) = (begins(BEEP_HZ), begins(CALLER_HZ));
    assert!(beep.is_some() && beep < voice, "it heard {heard:?}");
    let record = daemon.finish(1).remove(0);
    assert_eq!(
        (&record["recording"]["failed"], &record["recording"]["dropped"]),
        (&serde_json::Value::Null, &0.into())
    );
}

#[test]
fn a_daemon_that_is_killed_leaves_a_file_that_can_be_played() {
    let (mut daemon, recordings) = start(&["recording.beep_seconds=0"]);
    let directory = format!("recording.directory={}", recordings.path().display());
    let mut client = Subscriber::ready(&daemon, "demo");
    let (caller, other) = story::bridge(&daemon, &mut client);
    caller.voice.wait_for(150);
    other.voice.wait_for(150);
    daemon.signal("KILL");
    daemon.wait(Duration::from_secs(5));
    assert_eq!(only(recordings.path(), ".wav"), None);
    let part = only(recordings.path(), ".part").unwrap();
    let [left, right] = read(&part);
    assert!(left.len() >= 8_000 && left.len() == right.len(), "{} samples", left.len());
    for (samples, hz) in [(&left, 440u16), (&right, 350)] {
        let (heard, _) = tone(samples);
        assert!(heard.is_some_and(|heard| heard.abs_diff(hz) <= 3), "{heard:?} in place of {hz}");
    }
    let next = Daemon::start_as(&Setup::with(&[&directory, "recording.free_mb_min=0"]));
    let whole = until("the file", Duration::from_secs(5), || only(recordings.path(), ".wav"));
    assert!(read(&whole)[0].len() >= left.len() && !part.exists());
    until("a line of it", Duration::from_secs(5), || {
        next.log().contains("that an earlier run did not end").then_some(())
    });
    next.finish(0);
}

#[test]
fn where_nothing_can_be_written_there_is_no_start() {
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("file"), b"no directory").unwrap();
    let file = place.path().join("parkway.toml");
    let directory = place.path().join("file/recordings");
    let listen =
        "[sip]\nlisten = [\"127.0.0.1:0\"]\n[http]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n";
    fs::write(&file, format!("[recording]\ndirectory = \"{}\"\n{listen}", directory.display())).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_parkway")).arg("--config").arg(&file).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(78), "{said}");
    let expect = format!("parkway.toml:2: recording.directory: cannot write below {}", directory.display());
    assert!(said.contains(&expect) && said.contains("StateDirectory="), "{said}");
}
