//! baresip, an ordinary softphone that cannot set headers, dials the URI from the event: it must get the call, and both sides
//! must hear each other.
//! Not here: clients that bring their token in a header (`sipp`).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod common;

use common::authority::Authority;
use common::softphone::{GUEST, PHONE_HZ, Remote, Softphone, modules, recording, wave};
use common::story::{NUMBER, park};
use common::{Daemon, Rights, Setup, Sipp, Subscriber, page, program, sipp, until};
use parkway::media::tone::{Sine, dominant_hz};
use serde_json::Value;
use socket2::{Domain, Protocol, Socket, Type};
use std::fs;
use std::path::Path;
use std::time::Duration;

/// What the caller says, and the music.
const CALLER_HZ: u16 = 440;
const MUSIC_HZ: u16 = 1_000;

#[test]
fn a_softphone_that_dials_the_uri_from_the_event_talks_to_the_caller() {
    let Some(modules) = modules() else { return };
    talk(&modules, &Daemon::start(), |uri, _| uri.to_owned());
}

#[test]
fn it_may_dial_over_tcp_as_well() {
    let Some(modules) = modules() else { return };
    talk(&modules, &Daemon::start(), |uri, _| format!("{uri};transport=tcp"));
}

#[test]
fn it_may_dial_over_tls_as_well() {
    let Some(modules) = modules() else { return };
    let record = talk(&modules, &with_tls().1, over_tls);
    assert_eq!((&record["srtp"]["caller"], &record["srtp"]["client"]), (&Value::Null, &Value::Null));
}

/// SRTP where it has to be (RTP/SAVP) and where it may be (RTP/AVP with a=crypto); the caller's audio is plain.
#[test]
fn its_audio_may_be_encrypted() {
    let Some(modules) = modules() else { return };
    for encryption in ["srtp-mand", "srtp"] {
        let (_certificates, daemon) = with_tls();
        let account = format!("{GUEST};mediaenc={encryption}");
        let record = talk_as(&account, &modules, &daemon, over_tls);
        let srtp = (&record["srtp"]["caller"], record["srtp"]["client"].as_str());
        assert_eq!(srtp, (&Value::Null, Some("AES_CM_128_HMAC_SHA1_80")), "{encryption}");
        for fault in ["dropped_unauthentic", "dropped_replayed", "dropped_malformed"] {
            assert_eq!(record["media"]["client"][fault].as_u64(), Some(0), "{encryption}: {fault}");
        }
    }
}

/// Over UDP whoever reads the SIP would have the keys, so there are none, and a softphone that insists is refused.
#[test]
fn its_keys_are_not_taken_over_udp() {
    let Some(modules) = modules() else { return };
    let daemon = Daemon::start();
    let mut subscriber = Subscriber::open(&daemon, "demo", &Rights { dial: true, ..Rights::full("demo") });
    subscriber.expect("synced");
    let mut caller = park(&daemon);
    let incoming = subscriber.incoming();
    let dir = daemon.dir().join("baresip");
    let order = format!("/dial {}", incoming.dial.as_deref().unwrap());
    let mut phone = Softphone::start(&dir, &modules, &format!("{GUEST};mediaenc=srtp-mand"), &order);
    let said = until("the softphone is refused", Duration::from_secs(10), || {
        let said = fs::read_to_string(dir.join("output")).unwrap_or_default();
        said.contains("session closed").then_some(said)
    });
    assert!(said.contains("488"), "{said}");
    caller.phone.cancel();
    caller.phone.expect(200);
    caller.phone.expect(487);
    assert!(program::wait(&mut phone.child, Duration::from_secs(20)).is_some());
    daemon.finish(1);
}

/// Both sides encrypt, each with keys of its own.
#[test]
fn two_softphones_with_srtp_hear_each_other() {
    let Some(modules) = modules() else { return };
    let (_certificates, daemon) = with_tls();
    let mut subscriber = Subscriber::open(&daemon, "demo", &Rights { dial: true, ..Rights::full("demo") });
    subscriber.expect("synced");
    let account = format!("{GUEST};mediaenc=srtp-mand");
    let [calls, answers] = ["caller", "client"].map(|name| daemon.dir().join(name));
    let number = format!("sip:+4930123456@{};transport=tls", daemon.tls.unwrap());
    let mut caller = Softphone::start_with(CALLER_HZ, &calls, &modules, &account, &format!("/dial {number}"));
    let incoming = subscriber.incoming();
    let uri = over_tls(incoming.dial.as_deref().unwrap(), &daemon);
    let mut client = Softphone::start(&answers, &modules, &account, &format!("/dial {uri}"));
    for phone in [&mut caller, &mut client] {
        assert!(program::wait(&mut phone.child, Duration::from_secs(20)).is_some());
    }
    for (dir, other) in [(&calls, PHONE_HZ), (&answers, CALLER_HZ)] {
        let heard = recording(dir);
        let tone = heard.chunks(4000).filter_map(dominant_hz).find(|tone| tone.abs_diff(other) <= 3);
        assert!(tone.is_some(), "{}: nothing of {other} Hz in {} samples", dir.display(), heard.len());
    }
    let record = daemon.finish(1).remove(0);
    for side in ["caller", "client"] {
        assert_eq!(record["srtp"][side].as_str(), Some("AES_CM_128_HMAC_SHA1_80"), "{side}: {record:#}");
        assert_eq!(record["media"][side]["dropped_unauthentic"].as_u64(), Some(0), "{side}: {record:#}");
    }
}

/// Its reports come to the RTP port (RFC 5761); the caller has said nothing of that, and has two.
#[test]
fn its_reports_may_come_to_the_rtp_port() {
    let Some(modules) = modules() else { return };
    for encryption in ["", ";mediaenc=srtp-mand"] {
        let (_certificates, daemon) = with_tls();
        let record = talk_as(&format!("{GUEST};rtcp_mux=yes{encryption}"), &modules, &daemon, over_tls);
        let client = &record["media"]["client"];
        let (forwarded, malformed) = (client["rtcp_forwarded"].as_u64(), client["dropped_malformed"].as_u64());
        assert!(forwarded > Some(0) && malformed == Some(0), "{record:#}");
        let said = fs::read_to_string(daemon.dir().join("baresip/output")).unwrap_or_default();
        assert_eq!(said.matches("a=rtcp-mux\r\n").count(), 2, "its offer and our answer: {said}");
    }
}

/// As early media, and from then on the client's own voice.
#[test]
fn a_softphone_hears_music_until_it_is_answered() {
    let Some(modules) = modules() else { return };
    let files = tempfile::TempDir::new().unwrap();
    let music = files.path().join("music.wav");
    fs::write(&music, wave(&Sine::new(MUSIC_HZ).take(8_000).collect::<Vec<i16>>())).unwrap();
    let usual = Setup::with(&["park.hears=music"]);
    let tables = format!("[[media.sound]]\nname = \"music\"\nfile = {music:?}\n{}", usual.tables);
    let daemon = Daemon::start_as(&Setup { tables, ..usual });
    let mut subscriber = Subscriber::open(&daemon, "demo", &Rights { dial: true, ..Rights::full("demo") });
    subscriber.expect("synced");
    let [calls, answers] = ["caller", "client"].map(|name| daemon.dir().join(name));
    let number = format!("/dial sip:+4930123456@{}", daemon.sip);
    let mut caller = Softphone::start_with(CALLER_HZ, &calls, &modules, GUEST, &number);
    let incoming = subscriber.incoming();
    // It listens for a while.
    std::thread::sleep(Duration::from_millis(1_500));
    let mut client = Softphone::dial(&answers, &modules, incoming.dial.as_deref().unwrap());
    for phone in [&mut caller, &mut client] {
        assert!(program::wait(&mut phone.child, Duration::from_secs(20)).is_some());
    }
    let heard: Vec<u16> = recording(&calls).chunks(2000).filter_map(dominant_hz).collect();
    let begins = |hz: u16| heard.iter().position(|tone| tone.abs_diff(hz) <= 3);
    let (music, voice) = (begins(MUSIC_HZ), begins(PHONE_HZ));
    assert!(music.is_some() && music < voice, "it heard {heard:?}");
    let record = daemon.finish(1).remove(0);
    assert_eq!(record["outcome"].as_str(), Some("answered"));
    let played = record["media"]["caller"]["packets_played"].as_u64().unwrap();
    assert!(played >= 50 && record["media"]["client"]["packets_played"].as_u64() == Some(0), "{record:#}");
}

/// A daemon that listens for TLS, too, with a certificate as long as the directory is there.
fn with_tls() -> (tempfile::TempDir, Daemon) {
    let (dir, authority) = (tempfile::TempDir::new().unwrap(), Authority::new());
    authority.put(dir.path(), "127.0.0.1");
    let (chain, key) = (dir.path().join("127.0.0.1.pem"), dir.path().join("127.0.0.1.key"));
    let usual = Setup::with(&["sip.listen=127.0.0.1:0,tls:127.0.0.1:0"]);
    let tables = format!("[[tls.certificate]]\nchain_file = {chain:?}\nkey_file = {key:?}\n{}", usual.tables);
    (dir, Daemon::start_as(&Setup { tables, ..usual }))
}

fn over_tls(uri: &str, daemon: &Daemon) -> String {
    let (user, _) = uri.split_once('@').unwrap();
    format!("{user}@{};transport=tls", daemon.tls.unwrap())
}

fn talk(modules: &Path, daemon: &Daemon, uri: impl Fn(&str, &Daemon) -> String) -> Value {
    talk_as(GUEST, modules, daemon, uri)
}

/// A call is parked and a softphone dials; both hear each other, and the softphone hangs up. The call's record.
fn talk_as(account: &str, modules: &Path, daemon: &Daemon, uri: impl Fn(&str, &Daemon) -> String) -> Value {
    let rights = Rights { dial: true, ..Rights::full("demo") };
    let mut subscriber = Subscriber::open(daemon, "demo", &rights);
    subscriber.expect("synced");
    let mut caller = park(daemon);
    let incoming = subscriber.incoming();
    let dir = daemon.dir().join("baresip");
    let order = format!("/dial {}", uri(incoming.dial.as_deref().expect("a URI to dial"), daemon));
    let mut phone = Softphone::start(&dir, modules, account, &order);

    let answer = caller.phone.expect(200);
    caller.voice.talk(answer.audio().unwrap(), CALLER_HZ);
    let heard = caller.voice.wait_for(50);
    let (tone, strange) = (heard.hz().unwrap_or_default(), heard.strange);
    assert!(tone.abs_diff(PHONE_HZ) <= 3 && strange == 0, "the caller heard {tone} Hz, {strange} strange packets");
    assert_eq!(subscriber.gone(&incoming.call, "answered_elsewhere").as_deref(), Some("demo"));

    caller.phone.be_hung_up_on();
    assert!(program::wait(&mut phone.child, Duration::from_secs(20)).is_some_and(|status| status.success()));
    let heard = recording(&dir);
    // The last seconds are after the first packets and before the end. On a busy machine the telephone may play late once, so most of them count.
    let mut tones: Vec<_> = heard.rchunks(4000).skip(1).take(5).filter_map(dominant_hz).collect();
    tones.sort_unstable();
    let tone = tones.get(tones.len() / 2).copied().unwrap_or_default();
    assert!(tone.abs_diff(CALLER_HZ) <= 3, "the softphone heard {tone} Hz in {} samples", heard.len());

    let record = daemon.look_for_leftovers(1).remove(0);
    daemon.look_into_log();
    assert_eq!((record["outcome"].as_str(), record["ended_by"].as_str()), (Some("answered"), Some("client")));
    for side in ["caller", "client"] {
        let forwarded = record["media"][side]["packets_forwarded"].as_u64();
        assert!(forwarded.is_some_and(|packets| packets >= 50), "{side}: {record:#}");
    }
    record
}

#[test]
fn a_softphone_that_dials_a_uri_too_late_is_told_so() {
    let Some(modules) = modules() else { return };
    let daemon = Daemon::start();
    let mut subscriber = Subscriber::open(&daemon, "demo", &Rights { dial: true, ..Rights::full("demo") });
    subscriber.expect("synced");
    let mut caller = park(&daemon);
    let incoming = subscriber.incoming();
    caller.phone.cancel();
    subscriber.gone(&incoming.call, "caller_cancelled");
    let dir = daemon.dir().join("baresip");
    let mut phone = Softphone::dial(&dir, &modules, incoming.dial.as_deref().unwrap());
    let said = until("the softphone is refused", Duration::from_secs(10), || {
        let said = fs::read_to_string(dir.join("output")).unwrap_or_default();
        said.contains("session closed").then_some(said)
    });
    assert!(said.contains("410"), "{said}");
    assert!(program::wait(&mut phone.child, Duration::from_secs(20)).is_some());
    daemon.finish(1);
}

/// By digest over UDP, as most desk telephones do; without a WebSocket it hears of a call by MESSAGE.
#[test]
fn a_softphone_registers_with_its_password_and_is_told_of_a_call() {
    let Some(modules) = modules() else { return };
    let password = "a-password-of-forty-letters-that-nobody-guesses";
    let user = format!("\n[[user]]\nname = \"anna\"\nsecret = \"{password}\"\nreceive = [\"demo\"]\n");
    // libre 1.1 gives up at a challenge with another hash.
    let setup = Setup::with(&["digest.algorithms=MD5"]);
    let daemon = Daemon::start_as(&Setup { tables: setup.tables.clone() + &user, ..setup });
    daemon.secrets.add(password);
    let dir = daemon.dir().join("baresip");
    let account = format!("<sip:demo@{}>;auth_user=anna;auth_pass={password};regint=60", daemon.sip);
    let mut phone = Softphone::start(&dir, &modules, &account, "/reginfo");
    daemon.wait_for_metric("parkway_sip_bindings", Duration::from_secs(10), |now| now == 1.0);
    let mut caller = park(&daemon);
    // It takes text alone, says so, and takes the same as text.
    daemon.wait_for_metric("parkway_sip_events_total{result=\"delivered\"}", Duration::from_secs(10), |now| now == 1.0);
    let said = fs::read_to_string(dir.join("output")).unwrap_or_default();
    assert!(said.contains("200 OK (Parkway) [1 binding]"), "{said}");
    caller.phone.cancel();
    caller.phone.expect(200);
    caller.phone.expect(487);
    assert!(program::wait(&mut phone.child, Duration::from_secs(20)).is_some());
    daemon.wait_for_metric("parkway_sip_bindings", Duration::from_secs(10), |now| now == 0.0);
    daemon.finish(1);
}

/// Messages both ways: it proves its password for what it sends, and says that it has what it gets.
#[test]
fn a_softphone_sends_a_message_and_takes_one() {
    let Some(modules) = modules() else { return };
    let password = "a-password-of-forty-letters-that-nobody-guesses";
    let tables = format!(
        "[[trunk]]\nname = \"elsewhere\"\nallow = [\"192.0.2.0/24\"]\n\n[[route]]\nnumber = \"*\"\nname = \"demo\"\n\n\
         [[user]]\nname = \"anna\"\nsecret = \"{password}\"\nreceive = [\"demo\"]\nmessage = [\"friend\"]\n"
    );
    let daemon = Daemon::start_as(&Setup { tables, ..Setup::with(&["digest.algorithms=MD5"]) });
    daemon.secrets.add(password);
    let mut friend = Subscriber::open(&daemon, "friend", &Rights::listen_only("friend").writes_to(&["demo"]));
    friend.expect("synced");
    let dir = daemon.dir().join("baresip");
    let account = format!("<sip:demo@{}>;auth_user=anna;auth_pass={password};regint=60", daemon.sip);
    let mut phone = Softphone::start(&dir, &modules, &account, "/message hello friend");
    let event = friend.expect("message");
    assert_eq!((event["text"].as_str(), event["from"].as_str()), (Some("hello friend"), Some("demo")), "{event:#}");
    daemon.wait_for_metric("parkway_sip_bindings", Duration::from_secs(10), |now| now == 1.0);
    let bearer = format!("Authorization: Bearer {}\r\n", friend.jwt);
    let body = r#"{"to":"demo","text":"hello softphone","from":"friend"}"#;
    assert_eq!(page::ask(daemon.http, "POST /v1/messages", &bearer, body).map(|(status, _)| status), Some(202));
    assert_eq!(friend.expect("message_state")["state"], "delivered");
    let said = fs::read_to_string(dir.join("output")).unwrap_or_default();
    assert!(said.contains("From: <sip:friend@") && said.contains("hello softphone"), "who wrote what: {said}");
    assert!(program::wait(&mut phone.child, Duration::from_secs(20)).is_some());
    daemon.finish(0);
}

/// A plain telephone, which knows nothing of callbacks: it is rung, answers by itself, and both hear each other.
#[test]
fn a_softphone_that_is_rung_answers_and_talks() {
    let Some(modules) = modules() else { return };
    for transport in ["udp", "tcp"] {
        let password = "a-password-of-forty-letters-that-nobody-guesses";
        let user = format!(
            "\n[[user]]\nname = \"anna\"\nsecret = \"{password}\"\nreceive = [\"demo\"]\nbridge = [\"demo\"]\nring = \"invite\"\n"
        );
        let setup = Setup::with(&["digest.algorithms=MD5"]);
        let daemon = Daemon::start_as(&Setup { tables: setup.tables.clone() + &user, ..setup });
        daemon.secrets.add(password);
        let dir = daemon.dir().join("baresip");
        let account = format!(
            "<sip:demo@{};transport={transport}>;auth_user=anna;auth_pass={password};regint=60;answermode=auto;\
             audio_codecs=PCMU/8000/1,PCMA/8000/1",
            daemon.sip
        );
        let mut phone = Softphone::start(&dir, &modules, &account, "/reginfo");
        daemon.wait_for_metric("parkway_sip_bindings", Duration::from_secs(10), |now| now == 1.0);
        let mut caller = park(&daemon);
        let answer = caller.phone.expect(200);
        caller.voice.talk(answer.audio().unwrap(), CALLER_HZ);
        let tone = caller.voice.wait_for(50).hz().unwrap_or_default();
        assert!(tone.abs_diff(PHONE_HZ) <= 3, "{transport}: the caller heard {tone} Hz");
        caller.phone.hang_up();
        assert!(program::wait(&mut phone.child, Duration::from_secs(20)).is_some());
        let heard = recording(&dir);
        let tone = dominant_hz(heard.rchunks(4000).nth(1).unwrap_or_default()).unwrap_or_default();
        assert!(tone.abs_diff(CALLER_HZ) <= 3, "{transport}: the softphone heard {tone} Hz in {} samples", heard.len());
        let record = daemon.finish(1).remove(0);
        assert_eq!((record["outcome"].as_str(), record["winner"].as_str()), (Some("answered"), Some("demo")));
    }
}

/// SIPp plays captures of telephone-event that its makers have taken; the softphone says what it hears, and presses keys itself.
#[test]
fn keys_cross_between_sipp_and_a_softphone() {
    let Some(modules) = modules() else { return };
    if !sipp::is_installed() || !may_send_raw() {
        return;
    }
    let daemon = Daemon::start_as(&Setup::with(&["media.digits=tell"]));
    let mut subscriber = Subscriber::open(&daemon, "demo", &Rights { dial: true, ..Rights::full("demo") });
    subscriber.expect("synced");
    let trunk = Sipp::start(&daemon, "caller_presses.xml", &[("number", NUMBER)]);
    let incoming = subscriber.incoming();
    let dir = daemon.dir().join("baresip");
    let mut phone = Softphone::dial(&dir, &modules, incoming.dial.as_deref().unwrap());
    subscriber.gone(&incoming.call, "answered_elsewhere");
    let mut line = Remote::connect(&dir);
    let mut pressed = |keys: &str, leg: &str| {
        for key in keys.chars() {
            let told = subscriber.expect("digit");
            let said = ["leg", "key", "heard"].map(|member| told[member].as_str().unwrap_or_default().to_owned());
            assert_eq!(said, [leg, &key.to_string(), "rfc4733"], "{told}");
        }
    };
    assert_eq!((0..3).map(|_| line.hear_key()).collect::<String>(), "59#");
    pressed("59#", "caller");
    line.press("42");
    pressed("42", "client");
    line.hang_up();
    trunk.succeed();
    assert!(program::wait(&mut phone.child, Duration::from_secs(20)).is_some());
    subscriber.expect("ended");
    let record = daemon.finish(1).remove(0);
    let digits = ["caller", "client"].map(|side| record["digits"][side]["rfc4733"].as_u64());
    assert_eq!(digits, [Some(3), Some(2)], "{record:#}");
}

/// Whether SIPp can play captures, which it does over raw sockets; if not, says so.
fn may_send_raw() -> bool {
    let opened = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::UDP));
    opened.inspect_err(|error| eprintln!("SKIPPED: a raw socket: {error} (it takes root)")).is_ok()
}
