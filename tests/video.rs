//! Calls with video over real sockets: pictures cross beside the sound, with what receivers say of them, and to nobody who was not heard.
//! Not here: what is offered and answered in which order (`flows`).
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod common;

use common::story::{NUMBER, Side, assert_hear_each_other, credentials};
use common::{Daemon, Message, Phone, Rights, Subscriber, Voice, Wire, until};
use parkway::media::header::Rtp;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

const MOMENT: Duration = Duration::from_millis(150);

/// A camera and a screen: an even port and the one above it.
struct Screen {
    rtp: UdpSocket,
    rtcp: UdpSocket,
    number: u8,
    sequence: u16,
}

impl Screen {
    fn bind(number: u8) -> Screen {
        let (rtp, rtcp) = until("two ports side by side", Duration::from_secs(5), || {
            let rtp = UdpSocket::bind("127.0.0.1:0").ok()?;
            let port = rtp.local_addr().ok()?.port();
            let rtcp = UdpSocket::bind(("127.0.0.1", port.checked_add(1)?)).ok()?;
            Some((rtp, rtcp))
        });
        [&rtp, &rtcp].into_iter().for_each(|socket| socket.set_read_timeout(Some(MOMENT)).unwrap());
        Screen { rtp, rtcp, number, sequence: 0 }
    }

    fn line(&self) -> String {
        let (number, port) = (self.number, self.rtp.local_addr().unwrap().port());
        format!(
            "m=video {port} RTP/AVPF {number}\r\nb=AS:384\r\na=rtpmap:{number} H264/90000\r\n\
             a=fmtp:{number} profile-level-id=42e01f;packetization-mode=1\r\na=rtcp-fb:{number} nack pli\r\n"
        )
    }

    /// The next packet of a picture, as it is sent.
    fn packet(&mut self) -> Vec<u8> {
        self.sequence += 1;
        let (sequence, ssrc) = (self.sequence, u32::from(self.number));
        let rtp =
            Rtp { payload_type: self.number, sequence, timestamp: 3_000, ssrc, marker: sequence.is_multiple_of(2) };
        let mut packet = vec![0; 1_212];
        rtp.write(&[self.number; 1_200], &mut packet).unwrap();
        packet
    }

    fn show(&mut self, remote: SocketAddr) -> Vec<u8> {
        let packet = self.packet();
        self.rtp.send_to(&packet, remote).unwrap();
        packet
    }

    /// The next packet that comes within a moment, and from where.
    fn see(socket: &UdpSocket) -> Option<(Vec<u8>, SocketAddr)> {
        let mut packet = [0; 1_600];
        let (length, source) = socket.recv_from(&mut packet).ok()?;
        Some((packet[..length].to_vec(), source))
    }
}

/// Where a description wants the video, and what it says of it.
fn video(message: &Message) -> (SocketAddr, &str) {
    let (_, lines) = message.body.split_once("m=video ").unwrap();
    let port = lines.split(' ').next().unwrap().parse().unwrap();
    (SocketAddr::new(message.audio().unwrap().ip(), port), lines)
}

fn above(rtp: SocketAddr) -> SocketAddr {
    SocketAddr::new(rtp.ip(), rtp.port() + 1)
}

/// As the other side gets it: under its number, and otherwise as it was.
fn renumbered(mut packet: Vec<u8>, number: u8) -> Vec<u8> {
    packet[1] = packet[1] & 0x80 | number;
    packet
}

fn call(daemon: &Daemon, subscriber: &mut Subscriber, lines: [&str; 2]) -> [(Side, Message); 2] {
    let side = || Side { phone: Phone::new(daemon.sip, Wire::Plain), voice: Voice::bind() };
    let (mut caller, mut client) = (side(), side());
    let sdp = caller.voice.sdp() + lines[0];
    caller.phone.invite(&format!("sip:{NUMBER}@{}", daemon.sip), "", &sdp);
    caller.phone.expect(180);
    let incoming = subscriber.incoming();
    let sdp = client.voice.sdp() + lines[1];
    client.phone.invite(&incoming.sip, &credentials(&incoming.token, &subscriber.jwt), &sdp);
    let to_client = client.phone.expect(200);
    let to_caller = caller.phone.expect(200);
    caller.voice.talk(to_caller.audio().unwrap(), 440);
    client.voice.talk(to_client.audio().unwrap(), 350);
    [(caller, to_caller), (client, to_client)]
}

#[test]
fn two_who_have_video_see_and_hear_each_other_and_the_record_tells() {
    let daemon = Daemon::start();
    let mut subscriber = Subscriber::open(&daemon, "demo", &Rights { sees: true, ..Rights::full("demo") });
    subscriber.expect("synced");
    let (mut here, mut there) = (Screen::bind(99), Screen::bind(97));
    let [(mut caller, to_caller), (mut client, to_client)] =
        call(&daemon, &mut subscriber, [&here.line(), &there.line()]);
    let ((at_caller, said), (at_client, _)) = (video(&to_caller), video(&to_client));
    assert!(at_caller != at_client && at_caller != to_caller.audio().unwrap(), "{at_caller} {at_client}");
    for line in [
        " RTP/AVPF 99\r\n",
        "b=AS:384\r\n",
        "a=fmtp:99 profile-level-id=42e01f;packetization-mode=1\r\n",
        "a=rtcp-fb:99 nack pli\r\n",
    ] {
        assert!(said.contains(line), "{line} {said}");
    }
    // The client may be anybody with a grant: until it was heard, nothing goes where its SDP says (RELIABILITY A20).
    here.show(at_caller);
    assert_eq!(Screen::see(&there.rtp), None);
    let shown = there.show(at_client);
    assert_eq!(Screen::see(&here.rtp), Some((renumbered(shown, 99), at_caller)));
    for _ in 0..20 {
        let shown = here.show(at_caller);
        assert_eq!(Screen::see(&there.rtp), Some((renumbered(shown, 97), at_client)));
        let shown = there.show(at_client);
        assert_eq!(Screen::see(&here.rtp), Some((renumbered(shown, 99), at_caller)));
    }
    // Somebody else's pictures go nowhere.
    let stranger = UdpSocket::bind("127.0.0.66:0").unwrap();
    stranger.send_to(&here.packet(), at_caller).unwrap();
    assert_eq!(Screen::see(&there.rtp), None);
    // RFC 4585 §6.3.1: the client has lost a picture of the caller's, and says so behind its report.
    let lost = [&[0x80, 201, 0, 1, 0, 0, 0, 97][..], &[0x81, 206, 0, 2, 0, 0, 0, 97, 0, 0, 0, 99]].concat();
    there.rtcp.send_to(&lost, above(at_client)).unwrap();
    assert_eq!(Screen::see(&here.rtcp), Some((lost, above(at_caller))));
    assert_hear_each_other(&caller, &client);
    caller.phone.hang_up();
    client.phone.be_hung_up_on();
    let record = &daemon.finish(1)[0];
    let seen = &record["video"];
    assert_eq!((&record["codec"], &seen["codec"]), (&"PCMU/8000".into(), &"H264/90000".into()), "{record:#}");
    let counted = |side: &str, what: &str| seen["media"][side][what].as_u64().unwrap();
    assert_eq!((counted("caller", "packets_received"), counted("caller", "packets_forwarded")), (21, 20), "{seen:#}");
    assert_eq!((counted("client", "packets_received"), counted("client", "packets_forwarded")), (21, 21), "{seen:#}");
    assert_eq!(
        (counted("client", "octets_received"), counted("client", "rtcp_forwarded")),
        (21 * 1_200, 1),
        "{seen:#}"
    );
    // The kernel drops it where the socket is connected, we do where it is not.
    assert!(counted("caller", "dropped_source") <= 1, "{seen:#}");
}

#[test]
fn a_client_without_the_grant_hears_and_does_not_see() {
    let daemon = Daemon::start();
    let mut subscriber = Subscriber::ready(&daemon, "demo");
    let (here, there) = (Screen::bind(99), Screen::bind(97));
    let [(mut caller, to_caller), (mut client, to_client)] =
        call(&daemon, &mut subscriber, [&here.line(), &there.line()]);
    for message in [&to_caller, &to_client] {
        assert!(message.body.contains("m=video 0 RTP/AVPF 9"), "{}", message.body);
    }
    assert_hear_each_other(&caller, &client);
    client.phone.hang_up();
    caller.phone.be_hung_up_on();
    assert!(daemon.finish(1)[0]["video"].is_null());
}
