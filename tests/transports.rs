//! SIP over connections to the real daemon: whole calls over TCP with SIPp, TLS with names on both sides, and peers that take their time,
//! break off, or send what is no message.
//! Not here: softphones (`baresip`), and WebSockets (`browser`).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod common;

use common::authority::Authority;
use common::line::Line;
use common::sipp::is_installed;
use common::story::NUMBER;
use common::{Daemon, Message, Setup, Sipp, Subscriber, unique, until};
use serde_json::json;
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

/// SIPp's word for TCP with one connection a call.
const TCP: &[&str] = &["-m", "1", "-t", "tn", "-max_socket", "10"];
const UDP: &[&str] = &["-m", "1"];

#[test]
fn calls_go_through_over_tcp_on_either_side_or_both() {
    if !is_installed() {
        return;
    }
    for (trunk_by, client_by) in [(TCP, TCP), (TCP, UDP), (UDP, TCP)] {
        for (caller, client) in [("caller.xml", "client.xml"), ("caller_hangs_up.xml", "client_hung_up_on.xml")] {
            let daemon = Daemon::start();
            let mut subscriber = Subscriber::ready(&daemon, "demo");
            let trunk = Sipp::start_with(&daemon, caller, &[("number", NUMBER)], trunk_by);
            let incoming = subscriber.incoming();
            let keys = [("callback", incoming.sip.as_str()), ("token", &incoming.token), ("jwt", &subscriber.jwt)];
            let phone = Sipp::start_with(&daemon, client, &keys, client_by);
            let (trunk, phone) = (trunk.succeed(), phone.succeed());
            for (finished, by) in [(&trunk, trunk_by), (&phone, client_by)] {
                let contact = finished.messages.lines().filter(|line| line.starts_with("Contact:")).any(|line| {
                    line.contains(&format!("@{}{}>", daemon.sip, if by == TCP { ";transport=tcp" } else { "" }))
                });
                assert!(contact, "our Contact names the way to come by: {}", finished.messages);
            }
            assert_eq!(daemon.finish(1)[0]["outcome"], json!("answered"));
        }
    }
}

#[test]
fn a_caller_who_cancels_over_tcp_gets_487_and_one_whose_connection_is_gone_is_reached_where_he_listens() {
    if !is_installed() {
        return;
    }
    let daemon = Daemon::start_as(&Setup::with(&["park.seconds_max=2"]));
    Sipp::start_with(&daemon, "caller_cancels.xml", &[("number", NUMBER)], TCP).succeed();

    let home = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut line = Line::tcp(daemon.sip);
    line.send(request("INVITE", NUMBER, &home.local_addr().unwrap().to_string(), ""));
    let ringing = until("ringing", Duration::from_secs(5), || line.next().filter(|said| said.status() == Some(180)));
    assert!(ringing.header("via").contains(&format!("received=127.0.0.1;rport={}", line.local.port())));
    drop(line);
    let (stream, _) = home.accept().unwrap();
    let mut back = Line::adopted(stream);
    assert_eq!(back.last(), Some(480), "the final response comes over a connection of ours");
    daemon.finish(2);
}

#[test]
fn whoever_takes_his_time_or_speaks_nonsense_is_left_and_others_are_served() {
    let daemon = Daemon::start();
    let begun = Instant::now();
    let mut silent = Line::tcp(daemon.sip);
    let mut dribbling = Line::tcp(daemon.sip);
    dribbling.send("OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/TCP h;bra");
    let mut broken = Line::tcp(daemon.sip);
    broken.send(request("OPTIONS", "a", "h", "").replace("Content-Length: 0", "Content-Length: nothing"));
    assert_eq!(broken.last(), Some(400));
    assert!(broken.is_closed() && begun.elapsed() < Duration::from_secs(4));

    let mut good = Line::tcp(daemon.sip);
    good.send("\r\n\r\n");
    assert_eq!(good.bytes(2), b"\r\n");
    let two = [request("OPTIONS", "a", "h", ""), request("OPTIONS", "b", "h", "")].concat();
    let (first, second) = two.split_at(two.len() - 30);
    good.send(first);
    assert_eq!(good.last(), Some(200));
    good.send(second);
    assert_eq!(good.last(), Some(200));

    assert!(silent.is_closed() && dribbling.is_closed());
    let waited = begun.elapsed().as_secs();
    assert!((4..9).contains(&waited), "{waited} s");
    good.send(request("OPTIONS", "c", "h", ""));
    assert_eq!(good.last(), Some(200), "a connection that has said something may rest");
    daemon.wait_for_metric("parkway_sip_connections{transport=\"tcp\"}", Duration::from_secs(3), |now| now == 1.0);
    daemon
        .wait_for_metric("parkway_sip_connections_ended_total{reason=\"slow\"}", Duration::from_secs(3), |n| n == 2.0);
    daemon.wait_for_metric("parkway_sip_connections_ended_total{reason=\"broken\"}", Duration::from_secs(3), |n| {
        n == 1.0
    });
    drop(good);
    daemon.finish(0);
}

#[test]
fn more_silent_connections_than_an_address_may_have_stop_nobody() {
    let daemon = Daemon::start();
    // As many as one address may have, and more, from several addresses.
    let mut held = Vec::new();
    let mut refused = 0;
    for at in 0..2_500u32 {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        let from = std::net::Ipv4Addr::new(127, 3, 0, u8::try_from(at % 2 + 1).unwrap());
        let from = std::net::SocketAddr::from((from, 0));
        if socket.bind(&from.into()).and_then(|()| socket.connect(&daemon.sip.into())).is_ok() {
            held.push(socket);
        } else {
            refused += 1;
        }
    }
    assert!(held.len() > 2_000, "{} held, {refused} refused", held.len());
    common::story::assert_calls_work(&daemon);
    let mut line = Line::tcp(daemon.sip);
    line.send(request("OPTIONS", "a", "h", ""));
    assert_eq!(line.last(), Some(200));
    let sample = "parkway_sip_connections_ended_total{reason=\"refused\"}";
    daemon.wait_for_metric(sample, Duration::from_secs(5), |now| now >= 400.0);
    drop((held, line));
    daemon.finish(1);
}

/// A daemon with two certificates of `ours`; a peer that `theirs` calls `sbc.carrier.example` is a trunk, nobody else is.
fn with_tls(dir: &Path, ours: &Authority, theirs: &Authority) -> Daemon {
    let authorities = dir.join("authorities.pem");
    fs::write(&authorities, theirs.pem()).unwrap();
    let mut tables = format!("[tls]\nclient_authorities_file = {authorities:?}\n");
    for name in ["sip.parkway.example", "other.example"] {
        ours.put(dir, name);
        let (chain, key) = (dir.join(format!("{name}.pem")), dir.join(format!("{name}.key")));
        tables += &format!("[[tls.certificate]]\nchain_file = {chain:?}\nkey_file = {key:?}\n");
    }
    tables += "[[trunk]]\nname = \"carrier\"\ntls_names = [\"SBC.carrier.example\"]\n\
        [[route]]\nnumber = \"*\"\nname = \"demo\"\n";
    let set = vec!["sip.listen=127.0.0.1:0,tls:127.0.0.1:0".to_owned(), "park.seconds_max=2".to_owned()];
    Daemon::start_as(&Setup { tables, set, ..Setup::default() })
}

#[test]
fn over_tls_the_certificate_says_who_is_a_trunk_and_ours_is_the_one_that_was_asked_for() {
    let (dir, ours, theirs) = (tempfile::TempDir::new().unwrap(), Authority::new(), Authority::new());
    let daemon = with_tls(dir.path(), &ours, &theirs);
    let tls = daemon.tls.unwrap();
    let connect = |name: &str, identity| Line::tls(tls, name, &ours.certificate, identity);

    let (_, _, carrier) = theirs.sign("sbc.carrier.example");
    let mut trunk = connect("sip.parkway.example", Some(carrier)).unwrap();
    trunk.send(request("INVITE", NUMBER, "h", ""));
    let said: Vec<Message> =
        std::iter::from_fn(|| trunk.next()).take_while(|said| said.status() != Some(480)).collect();
    assert_eq!(said.iter().filter_map(Message::status).collect::<Vec<_>>(), [180]);
    assert_eq!(said[0].contact().split('@').nth(1), Some(format!("{tls};transport=tls").as_str()));

    let (_, _, somebody) = theirs.sign("sbc.other.example");
    for identity in [Some(somebody), None] {
        let mut stranger = connect("other.example", identity).unwrap();
        stranger.send(request("INVITE", NUMBER, "h", ""));
        assert_eq!(stranger.last(), Some(403));
    }
    let (_, _, forged) = Authority::new().sign("sbc.carrier.example");
    let refused = connect("sip.parkway.example", Some(forged)).map(|mut line| {
        line.send(request("INVITE", NUMBER, "h", ""));
        line.last()
    });
    assert!(matches!(refused, Err(_) | Ok(None)), "nobody vouches for it: {refused:?}");
    let mut by_tcp = Line::tcp(daemon.sip);
    by_tcp.send(request("INVITE", NUMBER, "h", ""));
    assert_eq!(by_tcp.last(), Some(403), "without TLS there is no certificate");
    drop((trunk, by_tcp));
    daemon.finish(1);
}

#[test]
fn other_certificates_are_shown_after_hup_and_connections_stay() {
    let (dir, ours, theirs) = (tempfile::TempDir::new().unwrap(), Authority::new(), Authority::new());
    let daemon = with_tls(dir.path(), &ours, &theirs);
    let tls = daemon.tls.unwrap();
    let connect = |name: &str| Line::tls(tls, name, &ours.certificate, None).unwrap();
    let mut before = connect("sip.parkway.example");
    before.send("\r\n\r\n");
    assert_eq!(before.bytes(2), b"\r\n");

    let expiry = daemon.metrics().value("parkway_tls_certificate_expiry_seconds");
    assert!(expiry > 1_700_000_000.0, "{expiry}");
    ours.put(dir.path(), "sip.parkway.example");
    daemon.signal("HUP");
    until("another certificate", Duration::from_secs(5), || {
        (connect("sip.parkway.example").certificate != before.certificate).then_some(())
    });
    before.send(request("OPTIONS", "a", "h", ""));
    assert_eq!(before.last(), Some(403), "the connection is still there");

    fs::write(dir.path().join("sip.parkway.example.pem"), "no certificate").unwrap();
    daemon.signal("HUP");
    until("a word of it", Duration::from_secs(5), || daemon.log().contains("stay in force").then_some(()));
    drop(connect("sip.parkway.example"));
    drop(before);
    daemon.finish(0);
}

/// A request over TCP, all that it needs and nothing else.
fn request(method: &str, user: &str, sent_by: &str, headers: &str) -> String {
    format!(
        "{method} sip:{user}@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TCP {sent_by};rport;branch=z9hG4bK{}\r\nMax-Forwards: 70\r\n\
         From: <sip:caller@127.0.0.1>;tag=1\r\nTo: <sip:{user}@127.0.0.1>\r\nCall-ID: {}\r\nCSeq: 1 {method}\r\n\
         Contact: <sip:caller@127.0.0.1:9;transport=tcp>\r\n{headers}Content-Length: 0\r\n\r\n",
        unique(),
        unique()
    )
}
