//! RTCP on the RTP port (RFC 5761, RFC 8858): each side as it likes, from the first offer on and by later ones, with real sockets.
//! Not here: which words say so (`sdp`), and whose reports are believed (`media::latch`).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod common;

use common::story::{NUMBER, credentials};
use common::voice::{describe, sdp};
use common::{Daemon, Message, Phone, Subscriber, Wire};
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// A telephone that sends reports of what it says.
struct End {
    phone: Phone,
    rtp: UdpSocket,
    rtcp: UdpSocket,
    ssrc: u32,
    sequence: u16,
    /// Our RTP port for it.
    relay: Option<SocketAddr>,
    is_muxed: bool,
}

impl End {
    fn new(daemon: &Daemon, ssrc: u32) -> End {
        let [rtp, rtcp] = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
        for socket in [&rtp, &rtcp] {
            socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        }
        let phone = Phone::new(daemon.sip, Wire::Plain);
        End { phone, rtp, rtcp, ssrc, sequence: 0, relay: None, is_muxed: false }
    }

    /// What it offers or answers, with such words about RTCP.
    fn says(&self, version: u32, words: &str) -> String {
        let port = self.rtcp.local_addr().unwrap().port();
        format!("{}a=rtcp:{port}\r\n{words}", sdp(self.rtp.local_addr().unwrap(), "sendrecv", version))
    }

    /// It is told what we say.
    fn follow(&mut self, told: &Message) {
        self.relay = told.audio();
        self.is_muxed = told.body.contains("\r\na=rtcp-mux\r\n");
    }

    fn speak(&mut self) {
        let mut packet = [0xD5; 172];
        self.sequence += 1;
        packet[..2].copy_from_slice(&[0x80, 0]);
        packet[2..4].copy_from_slice(&self.sequence.to_be_bytes());
        packet[4..8].copy_from_slice(&(160 * u32::from(self.sequence)).to_be_bytes());
        packet[8..12].copy_from_slice(&self.ssrc.to_be_bytes());
        self.rtp.send_to(&packet, self.relay.unwrap()).unwrap();
    }

    fn report(&self) {
        let report = [&[0x80, 201, 0, 1][..], &self.ssrc.to_be_bytes()].concat();
        self.reports().send_to(&report, self.relays().unwrap()).unwrap();
    }

    /// Its socket for reports, and the port of ours that they come from.
    fn reports(&self) -> &UdpSocket {
        if self.is_muxed { &self.rtp } else { &self.rtcp }
    }

    fn relays(&self) -> Option<SocketAddr> {
        self.relay.map(|relay| SocketAddr::new(relay.ip(), relay.port() + u16::from(!self.is_muxed)))
    }

    /// Whether a report of the other side is next, past its audio.
    fn hears_report(&self, of: u32) -> bool {
        let mut packet = [0; 1500];
        while let Ok((length, source)) = self.reports().recv_from(&mut packet) {
            if packet[1] == 201 {
                assert_eq!((Some(source), &packet[4..length]), (self.relays(), &of.to_be_bytes()[..]));
                return true;
            }
            assert!(packet[1] & 0x7F == 0 && self.is_muxed, "{:?}", &packet[..length]);
        }
        false
    }
}

/// Both talk until both have a report of the other.
fn assert_reports_cross(rule: &str, caller: &mut End, client: &mut End) {
    let (mut heard, begun) = ([false; 2], Instant::now());
    while heard != [true; 2] {
        assert!(begun.elapsed() < Duration::from_secs(10), "{rule}: {heard:?}");
        for end in [&mut *caller, &mut *client] {
            end.speak();
            end.report();
        }
        heard[0] |= caller.hears_report(client.ssrc);
        heard[1] |= client.hears_report(caller.ssrc);
    }
    // Nothing late is taken for what comes after a change.
    while caller.hears_report(client.ssrc) || client.hears_report(caller.ssrc) {}
}

/// A new offer of the caller's, which the client answers as it did before.
fn change(caller: &mut End, client: &mut End, version: u32, words: &str) -> Message {
    let offer = caller.says(version, words);
    caller.phone.request("INVITE", &offer);
    let offered = client.phone.expect_request("INVITE");
    let answer = client.says(version, if client.is_muxed { "a=rtcp-mux\r\n" } else { "" });
    client.phone.answer(&offered, 200, &answer);
    let told = caller.phone.expect(200);
    caller.follow(&told);
    offered
}

const MUX: &str = "a=rtcp-mux\r\n";
const MUX_ONLY: &str = "a=rtcp-mux\r\na=rtcp-mux-only\r\n";

#[test]
fn each_side_has_its_reports_where_it_wants_them() {
    let daemon = Daemon::start();
    let mut subscriber = Subscriber::ready(&daemon, "demo");
    for (words, muxed) in [([MUX, ""], [true, false]), (["", MUX_ONLY], [false, true]), ([MUX_ONLY, MUX], [true, true])]
    {
        let [mut caller, mut client] = [1, 2].map(|ssrc| End::new(&daemon, ssrc));
        let offers = [caller.says(1, words[0]), client.says(1, words[1])];
        caller.phone.invite(&format!("sip:{NUMBER}@{}", daemon.sip), "", &offers[0]);
        caller.phone.expect(180);
        let incoming = subscriber.incoming();
        client.phone.invite(&incoming.sip, &credentials(&incoming.token, &subscriber.jwt), &offers[1]);
        for end in [&mut client, &mut caller] {
            let told = end.phone.expect(200);
            assert!(!told.body.contains("rtcp-mux-only"), "RFC 8858 §4.3: no answer says so");
            end.follow(&told);
        }
        assert_eq!([caller.is_muxed, client.is_muxed], muxed, "{words:?}");
        assert_reports_cross("from the first offer on", &mut caller, &mut client);

        // The caller changes its mind, twice; what the client has stays.
        for (version, words, now) in [(2, "", false), (3, MUX, true), (4, "", false)] {
            let offered = change(&mut caller, &mut client, version, words);
            assert_eq!(offered.body.contains("a=rtcp-mux"), muxed[1], "what it has is offered again");
            assert_eq!([caller.is_muxed, client.is_muxed], [now, muxed[1]], "{words:?}");
            assert_reports_cross("after a change", &mut caller, &mut client);
        }
        caller.phone.hang_up();
        client.phone.be_hung_up_on();
        subscriber.gone(&incoming.call, "answered_elsewhere");
    }
    for record in daemon.finish(3) {
        for side in ["caller", "client"] {
            let media = &record["media"][side];
            assert!(media["rtcp_forwarded"].as_u64() >= Some(4), "{record:#}");
            assert_eq!((&media["ssrc_changes"], &media["dropped_malformed"]), (&0.into(), &0.into()), "{record:#}");
        }
    }
}

/// An offer of ours says it where it speaks for a side that has said it, and who is offered it may leave it.
#[test]
fn who_is_offered_it_may_leave_it() {
    let daemon = Daemon::start();
    let mut subscriber = Subscriber::ready(&daemon, "demo");
    for (by_caller, by_client, expect) in [(MUX, MUX, true), (MUX, "", false), ("", MUX, false)] {
        let [mut caller, mut client] = [1, 2].map(|ssrc| End::new(&daemon, ssrc));
        let offer = caller.says(1, by_caller);
        caller.phone.invite(&format!("sip:{NUMBER}@{}", daemon.sip), "", &offer);
        caller.phone.expect(180);
        let incoming = subscriber.incoming();
        client.phone.late_answer = Some(client.says(1, by_client));
        client.phone.invite(&incoming.sip, &credentials(&incoming.token, &subscriber.jwt), "");
        let offered = client.phone.expect(200);
        client.follow(&offered);
        assert_eq!(client.is_muxed, by_caller == MUX, "the offer speaks for the caller");
        client.is_muxed = expect;
        let told = caller.phone.expect(200);
        caller.follow(&told);
        assert_reports_cross("after our offer", &mut caller, &mut client);
        caller.phone.hang_up();
        client.phone.be_hung_up_on();
        subscriber.gone(&incoming.call, "answered_elsewhere");
    }
    daemon.finish(3);
}

/// RFC 5761 §4: payload types 64 to 95 look like RTCP.
#[test]
fn a_callback_whose_only_codec_looks_like_a_report_is_refused() {
    let daemon = Daemon::start();
    let mut subscriber = Subscriber::ready(&daemon, "demo");
    let [mut caller, mut client] = [1, 2].map(|ssrc| End::new(&daemon, ssrc));
    let offer = caller.says(1, MUX);
    caller.phone.invite(&format!("sip:{NUMBER}@{}", daemon.sip), "", &offer);
    caller.phone.expect(180);
    let incoming = subscriber.incoming();
    let offer = describe(client.rtp.local_addr().unwrap(), "sendrecv", 1, &[(72, "PCMU/8000")]);
    let credentials = credentials(&incoming.token, &subscriber.jwt);
    client.phone.invite(&incoming.sip, &credentials, &format!("{offer}{MUX}"));
    let refused = client.phone.expect(488);
    assert!(refused.header("warning").contains("no audio codec in common"), "{}", refused.header("warning"));
    let mut again = End::new(&daemon, 2);
    again.phone.invite(&incoming.sip, &credentials, &offer);
    let told = again.phone.expect(200);
    assert!(told.body.contains(" RTP/AVP 72\r\n"), "on two ports it is a payload type as any other");
    caller.phone.expect(200);
    caller.phone.hang_up();
    again.phone.be_hung_up_on();
    daemon.finish(1);
}
