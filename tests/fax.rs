//! Calls that become a fax (T.38 over UDPTL) over real sockets, and calls again: datagrams cross as they are, both ways, and nobody else gets
//! one or brings one in.
//! So does a page that one strange fax machine sends another.
//! Not here: what is offered and answered in which order (`flows`).
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod common;
#[path = "fax/machine.rs"]
mod machine;

use common::story::{NUMBER, Side, assert_hear_each_other, bridge, credentials};
use common::voice::sdp;
use common::{Daemon, Message, Phone, Rights, Subscriber, Voice, Wire};
use machine::Maker;
use parkway::media::udptl;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

const MOMENT: Duration = Duration::from_millis(150);

/// A fax machine's port.
struct Machine {
    socket: UdpSocket,
    number: u16,
    letter: u8,
}

impl Machine {
    fn bind(letter: u8) -> Machine {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(MOMENT)).unwrap();
        Machine { socket, number: u16::MAX - 2, letter }
    }

    fn sdp(&self, bit_rate: u32) -> String {
        machine_at(self.socket.local_addr().unwrap().port(), bit_rate)
    }

    /// The next piece of a page, as it is sent. Numbers wrap.
    fn datagram(&mut self) -> Vec<u8> {
        self.number = self.number.wrapping_add(1);
        let mut datagram = [0; 300];
        let length = udptl::write(self.number, &[self.letter; 200], &mut datagram).unwrap();
        datagram[..length].to_vec()
    }

    fn send(&mut self, remote: SocketAddr) -> Vec<u8> {
        let datagram = self.datagram();
        self.socket.send_to(&datagram, remote).unwrap();
        datagram
    }

    /// What comes within a moment, and from where.
    fn receive(&self) -> Option<(Vec<u8>, SocketAddr)> {
        let mut datagram = [0; 1_600];
        let (length, source) = self.socket.recv_from(&mut datagram).ok()?;
        Some((datagram[..length].to_vec(), source))
    }
}

/// All that a machine says of itself: a fax, and nothing else (T.38 annex D).
fn machine_at(port: u16, bit_rate: u32) -> String {
    format!(
        "v=0\r\no=fax {port} 2 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=image {port} udptl t38\r\n\
         a=T38FaxVersion:0\r\na=T38MaxBitRate:{bit_rate}\r\na=T38FaxRateManagement:transferredTCF\r\n\
         a=T38FaxMaxBuffer:1024\r\na=T38FaxMaxDatagram:316\r\na=T38FaxUdpEC:t38UDPRedundancy\r\n"
    )
}

/// Where a description wants the fax.
fn image(message: &Message) -> SocketAddr {
    let (_, line) = message.body.split_once("m=image ").unwrap_or_else(|| panic!("{}", message.body));
    let port = line.split(' ').next().unwrap().parse().unwrap();
    SocketAddr::new([127, 0, 0, 1].into(), port)
}

fn faxing(daemon: &Daemon) -> Subscriber {
    let mut subscriber = Subscriber::open(daemon, "demo", &Rights { faxes: true, ..Rights::full("demo") });
    subscriber.expect("synced");
    subscriber
}

/// One side offers something and the other one answers: what each is told.
fn change(asks: &mut Side, offer: &str, answers: &mut Side, answer: &str) -> (Message, Message) {
    asks.phone.request("INVITE", offer);
    let invite = answers.phone.expect_request("INVITE");
    answers.phone.answer(&invite, 200, answer);
    (asks.phone.expect(200), invite)
}

#[test]
fn a_call_becomes_a_fax_and_a_call_again_and_the_record_tells() {
    let daemon = Daemon::start();
    let mut subscriber = faxing(&daemon);
    let (mut caller, mut client) = bridge(&daemon, &mut subscriber);
    assert_hear_each_other(&caller, &client);
    let (mut here, mut there) = (Machine::bind(1), Machine::bind(2));
    let (to_client, to_caller) = change(&mut client, &there.sdp(14_400), &mut caller, &here.sdp(9_600));
    let (at_caller, at_client) = (image(&to_caller), image(&to_client));
    for (message, rate) in [(&to_caller, 14_400), (&to_client, 9_600)] {
        let body = &message.body;
        assert!(!body.contains("m=audio") && body.contains("a=T38FaxUdpEC:t38UDPRedundancy\r\n"), "{body}");
        assert!(body.contains(&format!("a=T38MaxBitRate:{rate}\r\n")), "what the other one can: {body}");
    }
    // Both hosts were heard in this call, so whoever speaks first is heard by one that waits for that.
    for _ in 0..10 {
        let sent = here.send(at_caller);
        assert_eq!(there.receive(), Some((sent, at_client)));
        let sent = there.send(at_client);
        assert_eq!(here.receive(), Some((sent, at_caller)));
    }
    // Somebody else's are nobody's, and he gets none; nor is anything taken that is no datagram of a fax.
    let stranger = UdpSocket::bind("127.0.0.66:0").unwrap();
    stranger.set_read_timeout(Some(MOMENT)).unwrap();
    for _ in 0..5 {
        stranger.send_to(&here.datagram(), at_caller).unwrap();
        stranger.send_to(&there.datagram(), at_client).unwrap();
    }
    here.socket.send_to(&[0x80; 172], at_caller).unwrap();
    assert_eq!((there.receive(), here.receive()), (None, None));
    let sent = here.send(at_caller);
    assert_eq!(there.receive(), Some((sent, at_client)));
    assert!(stranger.recv_from(&mut [0; 9]).is_err());
    // And back, by the other side.
    let [spoken, heard] =
        [(&caller, 3), (&client, 4)].map(|(side, version)| sdp(side.voice.address(), "sendrecv", version));
    let (back, asked) = change(&mut caller, &spoken, &mut client, &heard);
    assert!(back.audio().is_some() && asked.audio().is_some() && !asked.body.contains("m=image 3"), "{}", asked.body);
    let heard = (caller.voice.heard().packets, client.voice.heard().packets);
    caller.voice.wait_for(heard.0 + 20);
    client.voice.wait_for(heard.1 + 20);
    here.send(at_caller);
    assert_eq!(there.receive(), None, "the fax is over");
    caller.phone.hang_up();
    client.phone.be_hung_up_on();
    subscriber.expect("ended");
    daemon.wait_for_metric("parkway_fax_calls_total", Duration::from_secs(5), |calls| calls == 1.0);
    assert_eq!(daemon.metrics().value("parkway_fax_datagrams_total"), 21.0);
    let record = &daemon.finish(1)[0];
    let fax = &record["fax"];
    let counted = |side: &str, what: &str| fax[side][what].as_u64().unwrap();
    assert_eq!((counted("caller", "received"), counted("caller", "forwarded")), (12, 11), "{record:#}");
    assert_eq!((counted("client", "received"), counted("client", "forwarded")), (10, 10), "{record:#}");
    assert!(fax["began"].as_str().unwrap().ends_with('Z') && counted("caller", "dropped_malformed") == 1, "{record:#}");
}

/// RFC 3261 §14.1.
#[test]
fn a_fax_that_is_refused_or_not_granted_leaves_the_audio_as_it_was() {
    for (faxes, refuses) in [(true, true), (false, false)] {
        let daemon = Daemon::start();
        let mut subscriber = Subscriber::open(&daemon, "demo", &Rights { faxes, ..Rights::full("demo") });
        subscriber.expect("synced");
        let (mut caller, mut client) = bridge(&daemon, &mut subscriber);
        assert_hear_each_other(&caller, &client);
        client.phone.request("INVITE", &Machine::bind(2).sdp(14_400));
        if refuses {
            let invite = caller.phone.expect_request("INVITE");
            caller.phone.answer(&invite, 488, "");
        }
        let refused = client.phone.expect(488);
        assert_eq!(refused.header("warning").contains("a grant of image"), !refuses, "{refused:#?}");
        let heard = (caller.voice.heard().packets, client.voice.heard().packets);
        caller.voice.wait_for(heard.0 + 20);
        client.voice.wait_for(heard.1 + 20);
        caller.phone.hang_up();
        client.phone.be_hung_up_on();
        assert!(daemon.finish(1)[0]["fax"].is_null());
    }
}

#[test]
fn a_fax_from_the_start_is_parked_and_bridged() {
    let daemon = Daemon::start();
    let mut subscriber = faxing(&daemon);
    let (mut here, mut there) = (Machine::bind(1), Machine::bind(2));
    let side = || Side { phone: Phone::new(daemon.sip, Wire::Plain), voice: Voice::bind() };
    let (mut caller, mut client) = (side(), side());
    caller.phone.invite(&format!("sip:{NUMBER}@{}", daemon.sip), "", &here.sdp(33_600));
    caller.phone.expect(180);
    let incoming = subscriber.incoming();
    client.phone.invite(&incoming.sip, &credentials(&incoming.token, &subscriber.jwt), &there.sdp(14_400));
    let (at_client, at_caller) = (image(&client.phone.expect(200)), image(&caller.phone.expect(200)));
    // Nobody was heard yet: the client's address may be anybody's until it speaks (RELIABILITY A20).
    here.send(at_caller);
    assert_eq!(there.receive(), None);
    let sent = there.send(at_client);
    assert_eq!(here.receive(), Some((sent, at_caller)));
    let sent = here.send(at_caller);
    assert_eq!(there.receive(), Some((sent, at_client)));
    client.phone.hang_up();
    caller.phone.be_hung_up_on();
    let record = &daemon.finish(1)[0];
    assert_eq!(record["fax"]["caller"]["received"], 2, "{record:#}");
    assert_eq!((record["codec"].is_null(), record["findings"].as_array().unwrap().len()), (true, 0), "{record:#}");
}

/// Two machines that know nothing of us, either of them the sender: the page arrives as it was drawn.
#[test]
fn a_page_goes_from_one_strange_machine_to_another() {
    let directory = tempfile::TempDir::new().unwrap();
    let Some(maker) = Maker::make(directory.path()) else { return };
    let file = |name: &str| directory.path().join(name);
    let page = file("page.tiff");
    maker.draw(&page);
    for caller_sends in [true, false] {
        let daemon = Daemon::start();
        let mut subscriber = faxing(&daemon);
        let (mut caller, mut client) = bridge(&daemon, &mut subscriber);
        assert_hear_each_other(&caller, &client);
        let received = file(if caller_sends { "at-client.tiff" } else { "at-caller.tiff" });
        let (mut sender, mut receiver) = (maker.start("send", &page), maker.start("receive", &received));
        let (here, there) = if caller_sends { (&mut sender, &mut receiver) } else { (&mut receiver, &mut sender) };
        let (to_client, to_caller) =
            change(&mut client, &machine_at(there.port, 14_400), &mut caller, &machine_at(here.port, 14_400));
        here.begin(image(&to_caller).port());
        there.begin(image(&to_client).port());
        let (sent, got) = (sender.end(), receiver.end());
        assert!(sent.starts_with("end OK, sent 1, received 0, 14400 bit/s"), "{sent}");
        assert!(got.starts_with("end OK, sent 0, received 1, 14400 bit/s, redundancy used 0"), "{got}");
        assert!(maker.is_same(&page, &received));
        caller.phone.hang_up();
        client.phone.be_hung_up_on();
        let record = daemon.finish(1).remove(0);
        for (side, other) in [("caller", "client"), ("client", "caller")] {
            let crossed = ["received", "forwarded"].map(|what| record["fax"][side][what].as_u64().unwrap());
            // The last words of a machine may come when the other one is not there any more.
            assert!(crossed[1] > 20 && crossed[0] - crossed[1] <= 5, "{side}: {:#}", record["fax"]);
            assert_eq!(record["fax"][other]["dropped_malformed"], 0);
        }
    }
}
