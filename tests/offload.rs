//! Audio that the kernel forwards by itself comes out as the relay's sockets send it, byte for byte, and is counted as if they had; all
//! else goes to them. The same is said twice, with the kernel's help and without, over wires and on loopback, in network namespaces of
//! the test's own. Takes root and Linux 6.6; without says that it is skipped.
//! Not here: what it saves (`parkway bench media`).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod common;
#[path = "offload/stage.rs"]
mod stage;
#[path = "offload/wire.rs"]
mod wire;

use common::story::{assert_hear_each_other, bridge};
use common::{Daemon, Setup, Subscriber};
use object::{Object as _, ObjectSection as _};
use parkway::id::Side::{Caller, Client};
use parkway::media::Closed;
use parkway::media::dtmf::KeyWriter;
use parkway::media::header::Rtp;
use parkway::time::Duration;
use stage::{AUDIO, KEYS, Place, Stage, WAIT, packet};
use std::path::Path;
use std::process::Command;
use wire::{Dress, Seen, Version};

/// What the daemon says once if it does not let the kernel forward anything.
const IT_DOES_NOT: &str = "the kernel forwards no audio by itself";

const VERSIONS: [Version; 2] = [Version::Four, Version::Six];

/// What came of a story: all that came out and was told, what the record says, and how many packets no socket has seen.
struct Outcome {
    heard: Vec<Seen>,
    told: Vec<String>,
    closed: Closed,
    carried: u64,
}

fn play(place: &Place, offload: bool, story: impl Fn(&mut Stage, &Place)) -> Option<Outcome> {
    let mut stage = Stage::start(place, offload)?;
    story(&mut stage, place);
    let closed = stage.close();
    stage.talk(Caller);
    stage.talk(Client);
    stage.hear_nothing();
    let carried = stage.relay.counts().carried;
    Some(Outcome { heard: stage.heard, told: stage.told, closed, carried })
}

/// Plays the story with the kernel's help and without; with it, so many packets are not to be seen by a socket.
fn check_at(place: Option<Place>, carried: u64, story: impl Fn(&mut Stage, &Place)) {
    let Some(place) = place else { return };
    let Some(without) = play(&place, false, &story) else { return };
    let Some(with) = play(&place, true, &story) else { return };
    assert_eq!(with.heard, without.heard, "what came out");
    assert_eq!(with.told, without.told, "what was told");
    assert_eq!(with.closed, without.closed, "what was counted");
    assert_eq!((without.carried, with.carried), (0, carried));
}

/// Two wires of one version.
fn wires(version: Version) -> Option<Place> {
    Place::wires([version; 2])
}

/// The same on wires and on loopback, over IPv4 and IPv6.
fn check(carried: u64, story: impl Fn(&mut Stage, &Place)) {
    for version in VERSIONS {
        check_at(wires(version), carried, &story);
        check_at(Place::loopback(version), carried, &story);
    }
}

/// The same on wires, where the two sides have two versions of IP.
fn check_between_versions(carried: impl Fn(Version) -> u64, story: impl Fn(&mut Stage, &Place)) {
    for versions in [[Version::Four, Version::Six], [Version::Six, Version::Four]] {
        check_at(Place::wires(versions), carried(versions[0]), &story);
    }
}

#[test]
fn audio_crosses_as_it_does_by_the_sockets_and_is_counted_alike() {
    let story = |stage: &mut Stage, _: &Place| {
        for _ in 0..100 {
            stage.cross(Caller);
            stage.cross(Client);
        }
    };
    check(200, story);
    check_between_versions(|_| 200, story);
}

/// Lengths that are odd or less than an Ethernet frame's least; markers; checksums that were computed by the sender, or, of IPv4, are none: what
/// has none gets one by the sockets, if it needs one.
#[test]
fn audio_of_any_length_and_dress_crosses() {
    let story = |stage: &mut Stage, place: &Place| {
        for length in [0, 1, 2, 3, 17, 18, 19, 161, 480, 1_220] {
            let rtp = next(stage, AUDIO[0]);
            stage.say(Caller, &packet(&Rtp { marker: length % 2 == 0, ..rtp }, &vec![0xFF; length]));
            stage.hear();
        }
        for without_checksum in [false, place.versions[0] == Version::Four] {
            for octet in [0, 1, 0x80, 0xFF] {
                let dress = Dress { without_checksum, ..Dress::default() };
                let rtp = next(stage, AUDIO[0]);
                stage.say_dressed(Caller, &packet(&rtp, &[octet; 33]), dress);
                stage.hear();
            }
        }
    };
    check(18, story);
    check_between_versions(|caller| if caller == Version::Four { 14 } else { 18 }, story);
}

/// RFC 768: what comes out as 0 is written as 0xFFFF, since 0 says that there is none.
#[test]
fn a_checksum_is_never_taken_for_none() {
    let story = |stage: &mut Stage, _: &Place| {
        let rtp = next(stage, AUDIO[0]);
        let there = packet(&Rtp { payload_type: AUDIO[1], ..rtp }, &[0; 160]);
        // What makes the sum of all that leaves the relay come out so.
        let rest = stage.checksum_to(Client, &there).to_be_bytes();
        let payload = [&[0; 158][..], &rest].concat();
        stage.say_dressed(Caller, &packet(&rtp, &payload), Dress::default());
        stage.hear();
    };
    check(1, story);
    check_between_versions(|_| 1, story);
}

#[test]
fn without_a_checksum_nothing_is_taken_over_ipv6() {
    for place in [wires, Place::loopback] {
        check_at(place(Version::Six), 1, |stage, _| {
            let audio = stage.audio(Caller);
            stage.say_dressed(Caller, &audio, Dress { without_checksum: true, ..Dress::default() });
            stage.hear_nothing();
            stage.phones[0].rtp.sequence = stage.phones[0].rtp.sequence.wrapping_sub(1);
            // Whether the kernel takes the next one: nothing came to the sockets.
            stage.cross(Caller);
        });
    }
}

#[test]
fn what_is_lost_doubled_and_late_is_counted_alike() {
    // The kernel takes what follows the packet before: the first two.
    check(2, |stage, _| {
        let packets: Vec<Vec<u8>> = (0..12).map(|_| stage.audio(Caller)).collect();
        for at in [0, 1, 4, 3, 3, 9, 11] {
            stage.say(Caller, &packets[at]);
            stage.hear();
        }
    });
}

/// A packet far off, and then one that follows another such one: the sender has begun anew.
#[test]
fn a_sender_that_begins_anew_is_followed() {
    check(1 + 2, |stage, _| {
        let jump = |stage: &mut Stage, numbers: u16| {
            let sequence = &mut stage.phones[0].rtp.sequence;
            *sequence = sequence.wrapping_add(numbers);
        };
        stage.cross(Caller);
        jump(stage, 20_000);
        stage.cross(Caller);
        jump(stage, 0u16.wrapping_sub(20_000));
        stage.cross(Caller);
        jump(stage, 30_000);
        // By the second one it has; what follows that is forwarded by the kernel again, once the relay has understood.
        (0..2).for_each(|_| _ = stage.cross(Caller));
        stage.rest();
        (0..2).for_each(|_| _ = stage.cross(Caller));
    });
}

/// Packets come faster than a worker looks, keys among them, while rules begin and end: what comes out is in the order that it was sent in.
#[test]
fn nothing_overtakes_anything() {
    for (place, version) in
        [wires, Place::loopback].into_iter().flat_map(|place| VERSIONS.map(|version| (place, version)))
    {
        let Some(place) = place(version) else { return };
        let Some(mut stage) = Stage::start(&place, true) else { return };
        for round in 0..150u8 {
            if round % 50 == 25 {
                stage.set(Caller, stage.phones[0].at, true);
            }
            for number in 0..20 {
                let payload_type = if number % 10 == 7 { KEYS[0] } else { AUDIO[0] };
                let rtp = next(&mut stage, payload_type);
                stage.say(Caller, &packet(&rtp, &[1, 0, 0, number, round]));
            }
            let first = stage.phones[0].rtp.sequence.wrapping_sub(19);
            for number in 0..20 {
                let seen = &stage.hear().payload;
                assert_eq!(u16::from_be_bytes([seen[2], seen[3]]), first.wrapping_add(number));
            }
        }
        let closed = stage.close();
        assert_eq!((closed.caller.packets_lost, closed.caller.packets_forwarded), (0, 3_001));
        assert!(stage.relay.counts().carried > 0, "the kernel took its part");
    }
}

/// The next header of the caller's, of that payload type.
fn next(stage: &mut Stage, payload_type: u8) -> Rtp {
    stage.audio(Caller);
    Rtp { payload_type, ..stage.phones[0].rtp }
}

#[test]
fn keys_reports_and_all_that_is_no_plain_audio_go_to_the_sockets() {
    check(0, |stage, _| {
        let rtp = next(stage, AUDIO[0]);
        let step = Duration::from_millis(20);
        for key in KeyWriter::new('7', rtp.timestamp, 8_000, step, Duration::from_millis(60)).unwrap() {
            let rtp = Rtp { marker: key.marker, ..next(stage, KEYS[0]) };
            stage.say(Caller, &packet(&Rtp { timestamp: key.timestamp, ..rtp }, &key.payload));
            assert_eq!(stage.hear().payload[1] & 0x7F, KEYS[1]);
        }
        let report = [&[0x80, 201, 0, 1][..], &stage.phones[0].rtp.ssrc.to_be_bytes()].concat();
        stage.report(Caller, &report);
        stage.hear();
        // The report on the port of the audio, an unknown payload type, STUN, DTLS, another version, and less than a header.
        let plain = stage.audio(Caller);
        let with = |at: usize, octet: u8| [&plain[..at], &[octet], &plain[at + 1..]].concat();
        for packet in [report, with(1, 9), with(0, 0), with(0, 22), with(0, 0x40), plain[..11].to_vec(), vec![]] {
            stage.say(Caller, &packet);
            stage.hear_nothing();
        }
        // A source that contributed, an extension, padding: the sockets read these.
        let extended = [&with(0, 0x90)[..12], &[0xBE, 0xDE, 0, 0], &plain[12..]].concat();
        for packet in [with(0, 0x81), extended, [&with(0, 0xA0)[..], &[1]].concat()] {
            stage.say(Caller, &packet);
            stage.hear();
        }
        let long = packet(&next(stage, AUDIO[0]), &[1; 1_400]);
        stage.say(Caller, &long);
        stage.hear();
    });
}

#[test]
fn options_and_fragments_go_to_the_sockets() {
    check(2, |stage, _| {
        for dress in [Dress { options: true, ..Dress::default() }, Dress { fragments: true, ..Dress::default() }] {
            let audio = stage.audio(Caller);
            stage.say_dressed(Caller, &audio, dress);
            stage.hear();
            stage.rest();
            stage.cross(Caller);
        }
    });
}

#[test]
fn a_stranger_is_not_heard_and_disturbs_nothing() {
    check(20, |stage, place| {
        for _ in 0..10 {
            stage.cross(Caller);
            stage.cross(Client);
            let audio = stage.audio(Caller);
            // It takes the number that the caller's own next packet has.
            stage.phones[0].rtp.sequence = stage.phones[0].rtp.sequence.wrapping_sub(1);
            stage.intrude(Caller, place.stranger, &audio);
            stage.hear_nothing();
        }
    });
}

/// In the caller's own name, but with another SSRC: the sockets take it for a new source, and so does the kernel, no sooner.
#[test]
fn another_ssrc_is_judged_by_the_sockets() {
    check(1 + 1 + 2, |stage, _| {
        stage.cross(Caller);
        let forged = packet(&Rtp { ssrc: 0xDEAD_BEEF, ..next(stage, AUDIO[0]) }, &[9; 160]);
        stage.say_dressed(Caller, &forged, Dress::default());
        stage.hear();
        // The rule was for another SSRC, both now and in the other direction.
        stage.cross(Caller);
        stage.rest();
        stage.cross(Caller);
        stage.phones[0].rtp.ssrc = 0x3333_3333;
        stage.cross(Caller);
        stage.rest();
        (0..2).for_each(|_| _ = stage.cross(Caller));
    });
}

#[test]
fn who_is_put_on_hold_or_sent_away_is_not_heard_by_the_kernel_either() {
    check(1 + 1, |stage, _| {
        stage.cross(Caller);
        let caller = stage.phones[0].at;
        stage.set(Caller, caller, false);
        stage.rest();
        stage.talk(Caller);
        stage.hear_nothing();
        stage.set(Caller, caller, true);
        stage.rest();
        stage.cross(Caller);
        stage.rest();
        stage.cross(Caller);
        stage.clear(Client);
        stage.rest();
        stage.talk(Caller);
        stage.talk(Client);
        stage.hear_nothing();
    });
}

#[test]
fn who_moves_is_followed_and_nothing_goes_where_he_was() {
    check(1 + 2, |stage, place| {
        let before = stage.cross(Caller).destination;
        stage.set(Client, place.moved, true);
        stage.rest();
        // Until he is heard from there, he is where he was; by the sockets, as nothing is certain.
        assert_eq!(stage.cross(Caller).destination, before);
        let audio = stage.audio(Client);
        stage.intrude(Client, place.moved, &audio);
        stage.hear();
        assert_eq!(stage.cross(Caller).destination, place.moved);
        stage.rest();
        stage.talk(Client);
        stage.hear_nothing();
        for _ in 0..2 {
            assert_eq!(stage.cross(Caller).destination, place.moved);
        }
    });
}

/// The way to the client leads over the caller's wire, and back again.
#[test]
fn a_new_route_is_taken() {
    for version in VERSIONS {
        check_at(wires(version), 4, |stage, place| {
            let mut stations = vec![stage.cross(Caller).stations];
            for verb in ["add", "del"] {
                place.detour(verb);
                stage.rest();
                stage.rest();
                stations.push(stage.cross(Caller).stations);
            }
            assert!(stations[0] != stations[1] && stations[0] == stations[2]);
            // A packet that has to be encrypted is none for the kernel's short way.
            place.policy("add");
            stage.rest();
            stage.cross(Caller);
            place.policy("delete");
            stage.rest();
            stage.rest();
            stage.cross(Caller);
        });
    }
}

#[test]
fn a_call_of_the_daemon_is_forwarded_by_the_kernel_and_recorded_as_any_other() {
    let daemon = Daemon::start_as(&Setup::with(&["media.offload=auto"]));
    if daemon.log().contains(IT_DOES_NOT) {
        return eprintln!("SKIPPED: {}", daemon.log().lines().find(|line| line.contains(IT_DOES_NOT)).unwrap());
    }
    let mut client = Subscriber::ready(&daemon, "demo");
    let (mut caller, mut other) = bridge(&daemon, &mut client);
    assert_hear_each_other(&caller, &other);
    daemon.wait_for_metric("parkway_rtp_offloaded", WAIT, |flows| flows == 1.0);
    daemon.wait_for_metric("parkway_rtp_offloaded_packets_total", WAIT, |packets| packets >= 50.0);
    assert_hear_each_other(&caller, &other);
    let heard = [caller.voice.heard(), other.voice.heard()].map(|heard| f64::from(heard.packets));
    caller.phone.hang_up();
    other.phone.be_hung_up_on();
    daemon.wait_for_metric("parkway_rtp_offloaded", WAIT, |flows| flows == 0.0);
    let record = daemon.finish(1).remove(0);
    for (side, heard) in [("client", heard[0]), ("caller", heard[1])] {
        let leg = &record["media"][side];
        assert!(leg["packets_forwarded"].as_f64().unwrap() >= heard && leg["packets_lost"] == 0, "{leg}");
    }
}

/// What starts a program with these capabilities and no others.
fn with_capabilities(capabilities: &[&str]) -> Vec<String> {
    let kept = capabilities.iter().map(|capability| format!(",+{capability}"));
    vec!["setpriv".into(), format!("--bounding-set=-all{}", kept.collect::<String>())]
}

fn may_drop_capabilities() -> bool {
    let may =
        Command::new("setpriv").args(["--bounding-set=-all", "true"]).status().is_ok_and(|status| status.success());
    if !may {
        eprintln!("SKIPPED: setpriv (the Debian package util-linux) cannot drop capabilities here, which takes root");
    }
    may
}

#[test]
fn without_the_capabilities_auto_goes_on_and_says_so_once() {
    if !may_drop_capabilities() {
        return;
    }
    let by = with_capabilities(&["net_admin"]);
    let daemon = Daemon::start_as(&Setup { by, ..Setup::with(&["media.offload=auto"]) });
    assert_eq!(daemon.log().matches(IT_DOES_NOT).count(), 1, "{}", daemon.log());
    let mut client = Subscriber::ready(&daemon, "demo");
    let (mut caller, mut other) = bridge(&daemon, &mut client);
    assert_hear_each_other(&caller, &other);
    caller.phone.hang_up();
    other.phone.be_hung_up_on();
    assert_eq!(daemon.metrics().value("parkway_rtp_offloaded_packets_total"), 0.0);
    daemon.finish(1);
}

#[test]
fn what_is_required_and_not_to_be_had_ends_the_start_with_78() {
    if !may_drop_capabilities() {
        return;
    }
    let by = with_capabilities(&["net_admin"]);
    let words = [env!("CARGO_BIN_EXE_parkway"), "--set", "media.offload=required", "--set", "sip.listen=127.0.0.1:0"];
    let output = Command::new(&by[0]).args(&by[1..]).args(words).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    let line = said.lines().last().unwrap_or_default();
    assert_eq!(output.status.code(), Some(78), "{said}");
    assert!(line.contains("media.offload: required, but ") && line.contains("CAP_BPF and CAP_NET_ADMIN"), "{said}");
}

#[test]
fn two_capabilities_are_enough() {
    if !may_drop_capabilities() {
        return;
    }
    let by = with_capabilities(&["bpf", "net_admin"]);
    let daemon = Daemon::start_as(&Setup { by, ..Setup::with(&["media.offload=auto"]) });
    assert!(!daemon.log().contains("not permitted"), "{}", daemon.log());
    daemon.finish(0);
}

/// The instructions of the program in an object.
fn instructions(object: &[u8]) -> Vec<u8> {
    let object = object::File::parse(object).unwrap();
    object.section_by_name("classifier").unwrap().data().unwrap().to_vec()
}

/// Other compilers than the one that made it are as good, but make another.
#[test]
fn the_program_is_what_its_text_says() {
    const MADE_BY: &str = "clang version 14.";
    let version = Command::new("clang").arg("--version").output().map(|output| output.stdout).unwrap_or_default();
    if !String::from_utf8_lossy(&version).contains(MADE_BY) {
        return eprintln!("SKIPPED: there is no {MADE_BY} (Debian 12's package clang)");
    }
    let (directory, out) =
        (Path::new(env!("CARGO_MANIFEST_DIR")).join("src/relay/offload"), tempfile::TempDir::new().unwrap());
    let made = out.path().join("program.o");
    let status = Command::new(directory.join("build")).arg(&made).status().unwrap();
    assert!(status.success(), "{status}");
    let [made, committed] = [made, directory.join("program.o")].map(|path| instructions(&std::fs::read(path).unwrap()));
    assert!(
        !made.is_empty() && made == committed,
        "program.o is older than program.c: run {}/build",
        directory.display()
    );
}
