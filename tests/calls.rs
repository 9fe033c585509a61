//! The life of a call as the tests' own telephones see it, where that takes more than a scenario can say: who hears of a call,
//! declining, late subscribers, offers that come late, key presses, changes of the session from both sides.
//! Not here: the ends of a call that SIPp sees as well (`sipp`), and what networks do to it (`bad_network`).
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod common;

use common::story::{
    NUMBER, Side, assert_can_be_answered, assert_hear_each_other, bridge, call_back, credentials, park,
};
use common::voice::{describe, sdp};
use common::{Daemon, Message, Phone, Rights, Setup, Subscriber, Voice, Wire};
use parkway::media::tone::{FRAME_SAMPLES, Law, Sine};
use std::net::UdpSocket;
use std::time::Duration;

/// The numbers that an `m=audio` line lists, in its order.
fn formats(message: &Message) -> Vec<&str> {
    let line = message.body.lines().find(|line| line.starts_with("m=audio ")).unwrap_or_default();
    line.split_whitespace().skip(3).collect()
}

#[test]
fn everybody_under_the_called_name_hears_of_a_call_and_nobody_else() {
    let tables =
        "[[trunk]]\nname = \"gateway\"\nallow = [\"127.0.0.0/8\"]\n[[route]]\nnumber = \"*\"\nname = \"demo\"\n";
    let daemon = Daemon::start_as(&Setup { tables: tables.into(), ..Setup::default() });
    let mut reached = ["demo", "demo/web", "demo/mobile/2"].map(|name| Subscriber::ready(&daemon, name));
    let mut others = ["demonstration", "foo/demo"].map(|name| Subscriber::ready(&daemon, name));
    let mut caller = park(&daemon);
    let told = reached.each_mut().map(|subscriber| subscriber.incoming());
    let mut late = Subscriber::open(&daemon, "demo/late", &Rights::full("demo/late"));
    assert_eq!(late.incoming().call, told[0].call, "who subscribes while a call waits is told of it");
    late.expect("synced");
    let [_, web, _] = &told;
    let mut other = call_back(&daemon, &reached[1], web, Wire::Plain);
    other.phone.expect(200);
    caller.phone.expect(200);
    for subscriber in reached.iter_mut().chain([&mut late]) {
        assert_eq!(subscriber.gone(&web.call, "answered_elsewhere").as_deref(), Some("demo/web"));
    }
    others.each_mut().iter_mut().for_each(|subscriber| subscriber.stays_silent());
    caller.phone.hang_up();
    other.phone.be_hung_up_on();
    assert_eq!(daemon.finish(1)[0]["winner"], "demo/web");
}

#[test]
fn an_event_says_who_calls_whom_until_when_and_how_to_call_back() {
    let daemon = Daemon::start();
    let mut plain = Subscriber::ready(&daemon, "demo/web");
    let mut dialler = Subscriber::open(&daemon, "demo", &Rights { dial: true, ..Rights::full("demo") });
    dialler.expect("synced");
    let mut caller = park(&daemon);
    let (one, two) = (plain.incoming(), dialler.incoming());
    assert_eq!(one.event["from_display"], "A phone");
    assert_eq!(one.event["to"], format!("sip:{NUMBER}@{}", daemon.sip));
    assert_eq!((&one.event["name"], &one.event["for"]), (&"demo".into(), &"demo/web".into()));
    assert_eq!(one.event["media"], serde_json::json!(["audio"]));
    assert_eq!((one.sip, one.dial), (format!("sip:demo/web@{}", daemon.sip), None));
    assert!(two.dial.is_some_and(|uri| uri.ends_with(&format!("@{}", daemon.sip))));
    assert!(one.event["signature"].as_str().is_some_and(|signature| signature.len() == 86), "{:#}", one.event);
    assert!((100..200).contains(&one.token.len()) && one.token != two.token);
    caller.phone.cancel();
    plain.gone(&one.call, "caller_cancelled");
    daemon.finish(1);
}

#[test]
fn a_call_that_a_client_declines_is_refused_with_603() {
    let daemon = Daemon::start();
    let mut client = Subscriber::ready(&daemon, "demo");
    let mut caller = park(&daemon);
    let incoming = client.incoming();
    client.say("ringing", &incoming.call);
    client.say("decline", &incoming.call);
    assert!(caller.phone.expect(603).header("reason").contains("Declined"));
    client.gone(&incoming.call, "declined");
    let mut late = call_back(&daemon, &client, &incoming, Wire::Plain);
    assert!(late.phone.expect(410).header("reason").contains("cause=603"));
    let record = daemon.finish(1).remove(0);
    assert_eq!(record["outcome"], "declined");
    assert!(record["rang_ms"].is_u64(), "{record:#}");
}

#[test]
fn a_client_that_may_not_answer_may_not_decline_for_the_others() {
    let daemon = Daemon::start();
    let mut client = Subscriber::ready(&daemon, "demo");
    let mut listener = Subscriber::open(&daemon, "demo/wall", &Rights::listen_only("demo/wall"));
    listener.expect("synced");
    let mut caller = park(&daemon);
    let incoming = client.incoming();
    listener.incoming();
    listener.say("decline", &incoming.call);
    assert_eq!(listener.expect("error")["reason"], "bridge_not_granted");
    assert_can_be_answered(&daemon, &client, &incoming, &mut caller);
    daemon.finish(1);
}

#[test]
fn an_invite_without_an_offer_is_answered_with_one() {
    let daemon = Daemon::start();
    let mut client = Subscriber::ready(&daemon, "demo");
    for (caller_offers, client_offers) in [(false, true), (true, false), (false, false)] {
        let sides = [(); 2].map(|()| Side { phone: Phone::new(daemon.sip, Wire::Plain), voice: Voice::bind() });
        let [mut caller, mut other] = sides;
        let offer = |side: &Side, offers: bool| if offers { side.voice.sdp() } else { String::new() };
        // The answer to an offer in a 200 travels in the ACK (RFC 3261 §13.2.2.4).
        caller.phone.late_answer = (!caller_offers).then(|| caller.voice.sdp());
        other.phone.late_answer = (!client_offers).then(|| other.voice.sdp());
        caller.phone.invite(&format!("sip:{NUMBER}@{}", daemon.sip), "", &offer(&caller, caller_offers));
        caller.phone.expect(180);
        let incoming = client.incoming();
        let headers = credentials(&incoming.token, &client.jwt);
        other.phone.invite(&incoming.sip, &headers, &offer(&other, client_offers));
        let to_caller = std::thread::scope(|scope| {
            let waits = scope.spawn(|| caller.phone.expect(200));
            let to_client = other.phone.expect(200);
            other.voice.talk(to_client.audio().unwrap(), 350);
            waits.join().unwrap()
        });
        caller.voice.talk(to_caller.audio().unwrap(), 440);
        client.gone(&incoming.call, "answered_elsewhere");
        assert_hear_each_other(&caller, &other);
        caller.phone.hang_up();
        other.phone.be_hung_up_on();
    }
    daemon.finish(3);
}

#[test]
fn payload_types_that_the_sides_number_differently_are_translated() {
    let daemon = Daemon::start();
    let mut client = Subscriber::ready(&daemon, "demo");
    let [caller_rtp, client_rtp] = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
    let offer = |rtp: &UdpSocket, events| {
        describe(rtp.local_addr().unwrap(), "sendrecv", 1, &[(0, "PCMU/8000"), (events, "telephone-event/8000")])
    };
    let mut caller = Phone::new(daemon.sip, Wire::Plain);
    caller.invite(&format!("sip:{NUMBER}@{}", daemon.sip), "", &offer(&caller_rtp, 101));
    caller.expect(180);
    let incoming = client.incoming();
    let mut other = Phone::new(daemon.sip, Wire::Plain);
    other.invite(&incoming.sip, &credentials(&incoming.token, &client.jwt), &offer(&client_rtp, 96));
    let (to_client, to_caller) = (other.expect(200), caller.expect(200));
    assert_eq!((formats(&to_caller), formats(&to_client)), (vec!["0", "101"], vec!["0", "96"]));
    // RFC 4733 §2.3: event 5 with its end bit.
    let press = |number: u8| [&[0x80, number, 0, 1, 0, 0, 0, 160, 1, 2, 3, 4][..], &[5, 0x8A, 3, 0x20]].concat();
    client_rtp.send_to(&press(96), to_client.audio().unwrap()).unwrap();
    caller_rtp.send_to(&press(101), to_caller.audio().unwrap()).unwrap();
    for (rtp, number) in [(&caller_rtp, 101), (&client_rtp, 96)] {
        let mut packet = [0; 1500];
        rtp.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let (length, _) = rtp.recv_from(&mut packet).unwrap();
        assert_eq!((packet[1] & 0x7F, &packet[12..length]), (number, &[5, 0x8A, 3, 0x20][..]));
    }
    caller.hang_up();
    other.be_hung_up_on();
    daemon.finish(1);
}

#[test]
fn audio_from_a_stranger_is_not_forwarded() {
    let daemon = Daemon::start();
    let mut client = Subscriber::ready(&daemon, "demo");
    let mut caller = park(&daemon);
    let incoming = client.incoming();
    let mut other = call_back(&daemon, &client, &incoming, Wire::Plain);
    let (to_client, to_caller) = (other.phone.expect(200), caller.phone.expect(200));
    other.voice.talk(to_client.audio().unwrap(), 350);
    caller.voice.talk(to_caller.audio().unwrap(), 440);
    assert_hear_each_other(&caller, &other);
    let stranger = UdpSocket::bind("127.0.0.9:0").unwrap();
    let mut packet = [0; 12 + FRAME_SAMPLES];
    packet[0] = 0x80;
    Sine::new(1000).fill(Law::Mu, &mut packet[12..]);
    stranger.connect(to_caller.audio().unwrap()).unwrap();
    let refused = (0..50).filter(|_| {
        std::thread::sleep(Duration::from_millis(5));
        stranger.send(&packet).is_err()
    });
    assert!(refused.count() > 0, "the kernel tells him that nobody listens there");
    assert_hear_each_other(&caller, &other);
    caller.phone.hang_up();
    other.phone.be_hung_up_on();
    let record = daemon.finish(1).remove(0);
    assert_eq!(record["media"]["caller"]["dropped_source"], 0, "none has come as far as us: {record:#}");
    assert_eq!(record["findings"], serde_json::json!([]), "{record:#}");
    for leg in ["caller", "client"] {
        let leg = &record["media"][leg];
        assert!(leg["mos"].as_f64().is_some_and(|mos| (1.0..=4.41).contains(&mos)), "{record:#}");
        assert_eq!((&leg["mos_heard"], &leg["named"]), (&serde_json::Value::Null, &leg["heard_from"]), "{record:#}");
    }
}

#[test]
fn a_record_says_in_words_that_one_side_was_never_heard() {
    let daemon = Daemon::start();
    let mut client = Subscriber::ready(&daemon, "demo");
    let mut caller = park(&daemon);
    let incoming = client.incoming();
    let mut other = call_back(&daemon, &client, &incoming, Wire::Plain);
    let (to_client, to_caller) = (other.phone.expect(200), caller.phone.expect(200));
    caller.voice.talk(to_caller.audio().unwrap(), 440);
    // Nobody is missed in a call that is shorter.
    std::thread::sleep(Duration::from_millis(2_500));
    caller.phone.hang_up();
    other.phone.be_hung_up_on();
    let record = daemon.finish(1).remove(0);
    let findings: Vec<(&str, &str)> = record["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|finding| (finding["id"].as_str().unwrap(), finding["text"].as_str().unwrap()))
        .collect();
    let [("one_way_audio", words), ("never_heard", why)] = findings[..] else { panic!("{record:#}") };
    assert_eq!(words, "one-way audio: the caller was heard, the client never was");
    let (here, there) = (to_client.audio().unwrap(), other.voice.address());
    let expect = format!("the client's audio never arrived: nothing came to {here} from {there} in 2.");
    assert!(why.starts_with(&expect), "{why}");
}

/// What the record says, to the client that had the call and to nobody else; where the trunk is stays unsaid.
#[test]
fn a_client_is_told_how_its_call_was() {
    let daemon = Daemon::start();
    let mut client = Subscriber::ready(&daemon, "demo/web");
    let mut again = Subscriber::ready(&daemon, "demo/web");
    let mut others = ["demo", "demo/web/2"].map(|name| Subscriber::ready(&daemon, name));
    let mut caller = park(&daemon);
    let incoming = client.incoming();
    others.each_mut().iter_mut().for_each(|subscriber| _ = subscriber.incoming());
    again.incoming();
    let mut other = call_back(&daemon, &client, &incoming, Wire::Plain);
    let (to_client, _) = (other.phone.expect(200), caller.phone.expect(200));
    other.voice.talk(to_client.audio().unwrap(), 350);
    std::thread::sleep(Duration::from_millis(2_500));
    caller.phone.hang_up();
    other.phone.be_hung_up_on();
    for subscriber in [&mut client, &mut again] {
        assert_eq!(subscriber.gone(&incoming.call, "answered_elsewhere").as_deref(), Some("demo/web"));
    }
    others.each_mut().iter_mut().for_each(|subscriber| _ = subscriber.gone(&incoming.call, "answered_elsewhere"));
    let told = client.expect("ended");
    assert_eq!(again.expect("ended"), told, "on each channel that it has");
    others.each_mut().iter_mut().for_each(|subscriber| subscriber.stays_silent());
    let record = daemon.finish(1).remove(0);
    assert_eq!((&told["call"], &told["name"]), (&record["call"], &"demo/web".into()));
    assert_eq!((&told["talked_ms"], &told["ended_by"]), (&record["talked_ms"], &"caller".into()));
    for side in ["caller", "client"] {
        assert_eq!(told["quality"][side]["mos"], record["media"][side]["mos"], "{told:#}");
    }
    assert!(told["quality"]["client"]["mos"].is_f64(), "{told:#}");
    let ids = |document: &serde_json::Value| -> Vec<String> {
        document["findings"].as_array().unwrap().iter().map(|finding| finding["id"].to_string()).collect()
    };
    assert_eq!((ids(&told), ids(&record).len()), (ids(&record), 2), "{told:#}");
    let text = told["findings"][1]["text"].as_str().unwrap();
    assert!(text.starts_with("the caller's audio never arrived: nothing came to our port from its address"), "{text}");
}

#[test]
fn the_client_may_hold_too_and_audio_follows_a_new_address() {
    let daemon = Daemon::start();
    let mut client = Subscriber::ready(&daemon, "demo");
    let (mut caller, mut other) = bridge(&daemon, &mut client);
    other.phone.request("INVITE", &sdp(other.voice.address(), "sendonly", 2));
    let offered = caller.phone.expect_request("INVITE");
    assert_eq!(offered.direction(), "sendonly");
    caller.phone.answer(&offered, 200, &sdp(caller.voice.address(), "recvonly", 2));
    assert_eq!(other.phone.expect(200).direction(), "recvonly");

    // It moves to another port and takes the call back.
    let mut moved = Voice::bind();
    other.phone.request("INVITE", &sdp(moved.address(), "sendrecv", 3));
    let offered = caller.phone.expect_request("INVITE");
    assert_eq!(offered.direction(), "sendrecv");
    caller.phone.answer(&offered, 200, &sdp(caller.voice.address(), "sendrecv", 3));
    let answer = other.phone.expect(200);
    moved.talk(answer.audio().unwrap(), 1200);
    other.voice = moved;
    assert!(other.voice.wait_for(15).hz().is_some_and(|hz| hz.abs_diff(440) <= 3), "it hears at its new port");
    let before = caller.voice.heard().packets;
    let heard = caller.voice.wait_for(before + 15).hz();
    assert!(heard.is_some_and(|hz| hz.abs_diff(1200) <= 3), "and is heard from there: {heard:?}");
    other.phone.hang_up();
    caller.phone.be_hung_up_on();
    daemon.finish(1);
}

#[test]
fn a_second_change_meanwhile_gets_491_and_a_refused_one_changes_nothing() {
    let daemon = Daemon::start();
    let mut client = Subscriber::ready(&daemon, "demo");
    let (mut caller, mut other) = bridge(&daemon, &mut client);
    other.phone.request("INVITE", &sdp(other.voice.address(), "sendonly", 2));
    let offered = caller.phone.expect_request("INVITE");
    // RFC 3261 §14.2: glare.
    caller.phone.request("INVITE", &sdp(caller.voice.address(), "sendonly", 2));
    caller.phone.expect(491);
    caller.phone.answer(&offered, 488, "");
    other.phone.expect(488);
    let before = [caller.voice.heard().packets, other.voice.heard().packets];
    caller.voice.wait_for(before[0] + 10);
    other.voice.wait_for(before[1] + 10);
    caller.phone.hang_up();
    other.phone.be_hung_up_on();
    daemon.finish(1);
}

#[test]
fn a_client_may_have_no_more_calls_at_a_time_than_its_grant_says() {
    let daemon = Daemon::start();
    let rights = Rights { concurrent: 1, ..Rights::full("demo") };
    let mut client = Subscriber::open(&daemon, "demo", &rights);
    client.expect("synced");
    let (mut first_caller, mut first) = bridge(&daemon, &mut client);
    let mut caller = park(&daemon);
    let incoming = client.incoming();
    let mut second = call_back(&daemon, &client, &incoming, Wire::Plain);
    assert!(second.phone.expect(403).header("warning").contains("concurrency_exceeded"));
    first.phone.hang_up();
    first_caller.phone.be_hung_up_on();
    let mut second = call_back(&daemon, &client, &incoming, Wire::Plain);
    second.phone.expect(200);
    caller.phone.expect(200);
    second.phone.hang_up();
    caller.phone.be_hung_up_on();
    daemon.finish(2);
}

#[test]
fn a_parked_caller_hears_180_again_or_183_as_its_route_says() {
    let tables = "[[trunk]]\nname = \"gateway\"\nallow = [\"127.0.0.0/8\"]\n\
                  [[route]]\nnumber = \"*\"\nname = \"demo\"\nresponse = 183\n";
    let set = vec!["park.repeat_seconds=1".to_owned()];
    let daemon = Daemon::start_as(&Setup { tables: tables.into(), set, ..Setup::default() });
    let mut phone = Phone::new(daemon.sip, Wire::Plain);
    phone.invite(&format!("sip:{NUMBER}@{}", daemon.sip), "", &Voice::bind().sdp());
    (0..3).for_each(|_| _ = phone.expect(183));
    phone.cancel();
    phone.final_response();
    phone.final_response();
    daemon.finish(1);
}
