//! Bytes in, bytes out, under a virtual clock.

use super::*;
use crate::id::Side;
use crate::rng::Rng;
use crate::sip::Transport;
use crate::time::Duration;

pub(super) const OWNER: Owner = Owner { call: CallRef { slot: 3, generation: 9 }, side: Side::Caller };
pub(super) const VIA: &str = "SIP/2.0/UDP 192.0.2.1:5070;rport;branch=z9hG4bK";

pub(super) fn plain(status: u16) -> Reply<'static> {
    Reply { status, reason: None, headers: &[], body: None }
}

/// What an event was, for comparison.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Heard {
    Invite,
    Request,
    InDialog(ServerId),
    Ack(DialogId),
    Cancel(ServerId),
    Response(ClientId, u16),
    Failed(ClientId),
    Outside(Asker, ClientId, u16),
    Unacknowledged(DialogId),
    ProvisionalUnacknowledged(DialogId),
}

fn heard(event: &Event<'_>) -> Heard {
    match event {
        Event::Invite { .. } => Heard::Invite,
        Event::Request { .. } => Heard::Request,
        Event::InDialog { transaction, owner, .. } => {
            assert_eq!(*owner, OWNER);
            Heard::InDialog(*transaction)
        }
        Event::Ack { dialog, .. } => Heard::Ack(*dialog),
        Event::Cancel { transaction, .. } => Heard::Cancel(*transaction),
        Event::Response { transaction, message, .. } => {
            let Start::Response { status, .. } = message.start() else { panic!("a request") };
            Heard::Response(*transaction, status)
        }
        Event::Failed { transaction, .. } => Heard::Failed(*transaction),
        Event::Outside { asker, transaction, status, answer, .. } => {
            assert!(answer.is_some() || *status == 408);
            Heard::Outside(*asker, *transaction, *status)
        }
        Event::Unacknowledged { dialog, .. } => Heard::Unacknowledged(*dialog),
        Event::ProvisionalUnacknowledged { dialog, .. } => Heard::ProvisionalUnacknowledged(*dialog),
    }
}

/// A request as the tests word it.
#[derive(Clone)]
pub(super) struct Ask {
    pub(super) method: &'static str,
    pub(super) uri: String,
    pub(super) via: String,
    pub(super) from: String,
    pub(super) to_tag: String,
    pub(super) call_id: String,
    pub(super) cseq: u32,
    pub(super) extra: String,
    pub(super) body: String,
}

impl Ask {
    pub(super) fn invite() -> Ask {
        Ask {
            method: "INVITE",
            uri: "sip:foo@192.0.2.9".into(),
            via: format!("{VIA}1"),
            from: "<sip:+4930@trunk.example>;tag=peer".into(),
            to_tag: String::new(),
            call_id: "call-1".into(),
            cseq: 7,
            extra: "Contact: <sip:gw@192.0.2.1:5070>\r\n".into(),
            body: String::new(),
        }
    }

    /// A later request in the dialog, with a branch of its own.
    pub(super) fn within(method: &'static str, cseq: u32, dialog: DialogId) -> Ask {
        Ask { method, cseq, via: format!("{VIA}{method}{cseq}"), to_tag: dialog.to_string(), ..Ask::invite() }
    }

    pub(super) fn text(&self) -> String {
        let Ask { method, uri, via, from, to_tag, call_id, cseq, extra, body } = self;
        let tag = if to_tag.is_empty() { String::new() } else { format!(";tag={to_tag}") };
        format!(
            "{method} {uri} SIP/2.0\r\nVia: {via}\r\nMax-Forwards: 70\r\nFrom: {from}\r\nTo: <sip:foo@192.0.2.9>{tag}\r\n\
             Call-ID: {call_id}\r\nCSeq: {cseq} {method}\r\n{extra}Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
    }
}

pub(super) struct Bench {
    pub(super) endpoint: Endpoint,
    pub(super) now: Now,
    pub(super) path: Path,
}

impl Bench {
    pub(super) fn new() -> Bench {
        let (local, peer) = ("192.0.2.9:5060".parse().unwrap(), "192.0.2.1:5071".parse().unwrap());
        let settings = EndpointSettings {
            product: "Parkway".into(),
            advertised: vec![(local, "sip.example:5060".into())],
            external: Vec::new(),
            local_nets: Vec::new(),
            trusted: vec!["192.0.2.0/24".parse().unwrap()],
            tcp: vec![local],
        };
        let endpoint = Endpoint::new(Rng::from_seed([5; 32]), settings);
        Bench { endpoint, now: Now::default(), path: Path { transport: Transport::Udp, local, peer } }
    }

    pub(super) fn hear(&mut self, text: &str) -> Option<Heard> {
        self.endpoint.handle_datagram(self.now, self.path, text.as_bytes()).map(|event| heard(&event))
    }

    /// An INVITE comes and is kept.
    pub(super) fn accept(&mut self, ask: &Ask) -> (ServerId, DialogId) {
        let text = ask.text();
        let Some(Event::Invite { path, request }) = self.endpoint.handle_datagram(self.now, self.path, text.as_bytes())
        else {
            panic!("no INVITE")
        };
        self.endpoint.accept(self.now, path, &request, OWNER).unwrap()
    }

    /// A call that is answered and acknowledged, and nothing left to send.
    pub(super) fn confirmed(&mut self, invite: &Ask) -> DialogId {
        let (id, dialog) = self.accept(invite);
        assert!(self.endpoint.respond(self.now, id, &plain(200)));
        let ack = Ask { method: "ACK", cseq: invite.cseq, ..Ask::within("ACK", 7, dialog) };
        assert_eq!(self.hear(&ack.text()), Some(Heard::Ack(dialog)));
        self.sent();
        dialog
    }

    pub(super) fn sent(&mut self) -> Vec<String> {
        let all = std::iter::from_fn(|| self.endpoint.poll_transmit());
        all.map(|transmit| String::from_utf8(transmit.bytes.to_vec()).unwrap()).collect()
    }

    /// The first lines of what is sent, with the CSeq's method for answers: `200 INVITE`, `BYE`.
    pub(super) fn said(&mut self) -> Vec<String> {
        self.sent().iter().map(|text| summary(text)).collect()
    }

    pub(super) fn pass(&mut self, millis: u64) -> Vec<Heard> {
        self.now.at = self.now.at + Duration::from_millis(millis);
        self.endpoint.handle_timeout(self.now);
        std::iter::from_fn(|| self.endpoint.poll_event()).map(|event| heard(&event)).collect()
    }

    /// Lets every timer run out.
    pub(super) fn run_out(&mut self) -> Vec<Heard> {
        let mut all = Vec::new();
        while let Some(at) = self.endpoint.poll_timeout() {
            let millis = u64::try_from((at - self.now.at).as_millis()).unwrap();
            all.extend(self.pass(millis));
        }
        all
    }

    pub(super) fn assert_empty(&mut self) {
        self.sent();
        assert_eq!(self.endpoint.counts(), Counts::default());
        assert!(self.endpoint.by_key.is_empty());
    }
}

pub(super) fn summary(text: &str) -> String {
    let line = text.lines().next().unwrap();
    match line.strip_prefix("SIP/2.0 ") {
        Some(status) => format!("{} {}", &status[..3], header(text, "CSeq").split(' ').nth(1).unwrap()),
        None => line.split(' ').next().unwrap().to_string(),
    }
}

pub(super) fn header<'t>(text: &'t str, name: &str) -> &'t str {
    let line = text.lines().find(|line| line.starts_with(&format!("{name}:")));
    line.map_or("", |line| line[name.len() + 1..].trim())
}

/// The peer's answer to a request of ours.
pub(super) fn answer(request: &str, status: u16, extra: &str) -> String {
    let copied = ["Via", "From", "To", "Call-ID", "CSeq"].map(|name| format!("{name}: {}\r\n", header(request, name)));
    format!("SIP/2.0 {status} X\r\n{}{extra}Content-Length: 0\r\n\r\n", copied.concat())
}

#[test]
fn a_call_is_accepted_answered_acknowledged_and_ended_by_the_peer() {
    let mut bench = Bench::new();
    let invite =
        Ask { extra: "Contact: <sip:gw@192.0.2.1:5070>\r\nRecord-Route: <sip:p1;lr>\r\n".into(), ..Ask::invite() };
    let (id, dialog) = bench.accept(&invite);
    assert!(bench.endpoint.respond(bench.now, id, &plain(180)));
    assert!(bench.endpoint.respond(bench.now, id, &Reply { body: Some(("application/sdp", b"v=0")), ..plain(200) }));
    let sent = bench.sent();
    assert_eq!([summary(&sent[0]), summary(&sent[1])], ["180 INVITE", "200 INVITE"]);
    for text in &sent {
        assert_eq!(header(text, "To"), format!("<sip:foo@192.0.2.9>;tag={dialog}"));
        assert_eq!(header(text, "Contact"), format!("<sip:{dialog}@sip.example:5060>"));
        assert_eq!(header(text, "Record-Route"), "<sip:p1;lr>");
        assert_eq!(header(text, "Server"), "Parkway");
    }
    assert_eq!((header(&sent[1], "Allow"), header(&sent[1], "Content-Length")), (check::ALLOW, "3"));
    let ack = Ask::within("ACK", 7, dialog).text();
    assert_eq!(bench.hear(&ack), Some(Heard::Ack(dialog)));
    assert_eq!(bench.hear(&ack), None, "the ACK is passed up once");
    let bye = Ask::within("BYE", 8, dialog).text();
    let Some(Heard::InDialog(bye_id)) = bench.hear(&bye) else { panic!("no BYE") };
    assert_eq!(bench.hear(&bye), None, "nothing to repeat yet");
    assert!(bench.endpoint.respond(bench.now, bye_id, &plain(200)));
    bench.endpoint.close(bench.now, dialog);
    assert_eq!(bench.hear(&bye), None);
    assert_eq!(bench.said(), ["200 BYE", "200 BYE"]);
    assert_eq!(bench.run_out(), []);
    bench.assert_empty();
}

#[test]
pub(super) fn answers_go_where_via_says() {
    for (via, peer) in [
        ("SIP/2.0/UDP 192.0.2.1:5070;rport;branch=z9hG4bK1", "192.0.2.1:5071"),
        ("SIP/2.0/UDP 192.0.2.1:5070;branch=z9hG4bK1", "192.0.2.1:5070"),
        ("SIP/2.0/UDP 10.0.0.7;branch=z9hG4bK1", "192.0.2.1:5060"),
        ("SIP/2.0/UDP host.example:99;maddr=198.51.100.1;branch=z9hG4bK1", "192.0.2.1:99"),
    ] {
        let mut bench = Bench::new();
        let (id, _) = bench.accept(&Ask { via: via.into(), ..Ask::invite() });
        bench.endpoint.respond(bench.now, id, &plain(180));
        let Transmit { path, .. } = bench.endpoint.poll_transmit().unwrap();
        assert_eq!((path.peer.to_string(), path.local), (peer.into(), bench.path.local), "{via}");
    }
}

#[test]
fn an_invite_gets_100_when_200_ms_went_by_or_it_came_again_before_there_was_an_answer() {
    for again in [false, true] {
        let mut bench = Bench::new();
        let (id, _) = bench.accept(&Ask::invite());
        assert_eq!(bench.pass(199), []);
        assert_eq!(bench.said(), [""; 0]);
        if again {
            assert_eq!(bench.hear(&Ask::invite().text()), None);
        } else {
            bench.pass(1);
        }
        assert_eq!(bench.said(), ["100 INVITE"]);
        bench.pass(10_000);
        assert_eq!(bench.said(), [""; 0], "once");
        bench.endpoint.respond(bench.now, id, &plain(486));
        assert_eq!(bench.said(), ["486 INVITE"]);
    }
}

#[test]
fn a_repeated_invite_gets_the_latest_provisional_answer_again() {
    let mut bench = Bench::new();
    let invite = Ask::invite();
    let (id, _) = bench.accept(&invite);
    for reply in [plain(100), plain(180), Reply { body: Some(("application/sdp", b"v=0")), ..plain(183) }] {
        bench.endpoint.respond(bench.now, id, &reply);
        let first = bench.sent().pop();
        assert_eq!(bench.hear(&invite.text()), None);
        assert_eq!(bench.sent().pop(), first, "byte for byte");
    }
}

#[test]
fn cancel_is_answered_and_told_once_and_487_is_acknowledged() {
    let mut bench = Bench::new();
    let invite = Ask::invite();
    let (id, dialog) = bench.accept(&invite);
    let cancel = Ask { method: "CANCEL", extra: String::new(), ..invite.clone() }.text();
    assert_eq!(bench.hear(&cancel), Some(Heard::Cancel(id)));
    assert_eq!(bench.hear(&cancel), None, "its repetition is no news");
    let sent = bench.sent();
    assert_eq!([summary(&sent[0]), summary(&sent[1])], ["200 CANCEL", "200 CANCEL"]);
    assert!(header(&sent[0], "To").ends_with(&dialog.to_string()), "§9.2: the same To tag");
    assert!(bench.endpoint.respond(bench.now, id, &plain(487)));
    assert!(!bench.endpoint.respond(bench.now, id, &plain(200)), "one final answer");
    assert_eq!(bench.endpoint.stats().answers_refused, 1);
    bench.pass(500);
    assert_eq!(bench.said(), ["487 INVITE", "487 INVITE"]);
    let ack = Ask { method: "ACK", to_tag: dialog.to_string(), extra: String::new(), ..invite }.text();
    assert_eq!((bench.hear(&ack), bench.hear(&ack)), (None, None));
    bench.pass(4999);
    assert_eq!(bench.endpoint.counts().server_transactions, 1, "Timer I");
    bench.pass(1);
    assert_eq!(bench.said(), [""; 0]);
    bench.assert_empty();
}

#[test]
fn a_cancel_after_the_final_answer_changes_nothing_and_one_for_nothing_gets_481() {
    let mut bench = Bench::new();
    let invite = Ask::invite();
    let (id, _) = bench.accept(&invite);
    bench.endpoint.respond(bench.now, id, &plain(200));
    let cancel = Ask { method: "CANCEL", ..invite };
    assert_eq!(bench.hear(&cancel.text()), None);
    assert_eq!(bench.hear(&Ask { via: format!("{VIA}other"), ..cancel }.text()), None);
    assert_eq!(bench.said(), ["200 INVITE", "200 CANCEL", "481 CANCEL"]);
}

#[test]
fn a_2xx_is_repeated_until_its_ack_or_for_32_s() {
    let mut bench = Bench::new();
    let invite = Ask::invite();
    let (id, dialog) = bench.accept(&invite);
    bench.endpoint.respond(bench.now, id, &plain(200));
    bench.sent();
    let mut times = Vec::new();
    let mut told = Vec::new();
    while let Some(at) = bench.endpoint.poll_timeout() {
        told.extend(bench.pass(u64::try_from((at - bench.now.at).as_millis()).unwrap()));
        times.extend(bench.said().iter().map(|_| bench.now.at.0 / 1000));
    }
    assert_eq!(times, [500, 1500, 3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500]);
    assert_eq!((told, bench.now.at.0), (vec![Heard::Unacknowledged(dialog)], 32_000_000));
    assert!(bench.endpoint.request(bench.now, dialog, Method::Bye, &[], None).is_some(), "§13.3.1.4");
}

#[test]
fn our_bye_has_route_target_and_sequence_and_its_answer_is_told() {
    let mut bench = Bench::new();
    let extra = "Contact: <sip:gw@192.0.2.1:5070>\r\nRecord-Route: <sip:198.51.100.1;lr>, <sip:p2.example;lr>\r\n";
    let dialog = bench.confirmed(&Ask { extra: extra.into(), ..Ask::invite() });
    let reason = [("Reason", "Q.850;cause=16")];
    let bye = bench.endpoint.request(bench.now, dialog, Method::Bye, &reason, None).unwrap();
    let Transmit { path, bytes, .. } = bench.endpoint.poll_transmit().unwrap();
    assert_eq!(path.peer, "198.51.100.1:5060".parse().unwrap());
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    assert!(
        text.starts_with(
            "BYE sip:gw@192.0.2.1:5070 SIP/2.0\r\nVia: SIP/2.0/UDP sip.example:5060;rport;branch=z9hG4bK00"
        )
    );
    for (name, value) in [
        ("Route", "<sip:198.51.100.1;lr>, <sip:p2.example;lr>"),
        ("From", &format!("<sip:foo@192.0.2.9>;tag={dialog}")),
        ("To", "<sip:+4930@trunk.example>;tag=peer"),
        ("Call-ID", "call-1"),
        ("CSeq", "1 BYE"),
        ("Reason", "Q.850;cause=16"),
        ("User-Agent", "Parkway"),
        ("Max-Forwards", "70"),
    ] {
        assert_eq!(header(&text, name), value);
    }
    bench.pass(500);
    assert_eq!(bench.sent(), std::slice::from_ref(&text), "Timer E");
    bench.endpoint.close(bench.now, dialog);
    assert_eq!(bench.hear(&answer(&text, 100, "")), None, "100 is no news");
    assert_eq!(bench.hear(&answer(&text, 200, "")), Some(Heard::Response(bye, 200)));
    assert_eq!(bench.hear(&answer(&text, 200, "")), None);
    assert_eq!(bench.run_out(), []);
    bench.assert_empty();
}

#[test]
fn a_request_that_nobody_answers_fails_after_32_s() {
    let mut bench = Bench::new();
    let dialog = bench.confirmed(&Ask::invite());
    let invite = bench.endpoint.request(bench.now, dialog, Method::Invite, &[], None).unwrap();
    assert_eq!(bench.endpoint.request(bench.now, dialog, Method::Invite, &[], None), None, "§14.1: one at a time");
    bench.pass(31_999);
    assert_eq!(bench.pass(1), [Heard::Failed(invite)]);
    assert!(bench.endpoint.request(bench.now, dialog, Method::Invite, &[], None).is_some());
}

#[test]
fn our_reinvite_is_acknowledged_and_acknowledged_again() {
    let mut bench = Bench::new();
    let dialog = bench.confirmed(&Ask::invite());
    let sdp = Some(("application/sdp", &b"v=0"[..]));
    let id = bench.endpoint.request(bench.now, dialog, Method::Invite, &[], sdp).unwrap();
    let invite = bench.sent().pop().unwrap();
    assert_eq!(header(&invite, "Contact"), format!("<sip:{dialog}@sip.example:5060>"));
    let ok = answer(&invite, 200, "Contact: <sip:new@192.0.2.1:5099>\r\n");
    assert!(!bench.endpoint.acknowledge(bench.now, dialog, id, None), "nothing to acknowledge yet");
    assert_eq!(bench.hear(&ok), Some(Heard::Response(id, 200)));
    assert_eq!(bench.hear(&ok), None, "not acknowledged yet");
    assert!(bench.endpoint.acknowledge(bench.now, dialog, id, None));
    assert_eq!(bench.hear(&ok), None);
    let sent = bench.sent();
    assert_eq!((sent.len(), &sent[0]), (2, &sent[1]), "the ACK again for the 2xx again");
    assert!(sent[0].starts_with("ACK sip:new@192.0.2.1:5099 SIP/2.0\r\n"), "the target was refreshed");
    assert_eq!(header(&sent[0], "CSeq"), "1 ACK");
    assert_ne!(header(&sent[0], "Via"), header(&invite, "Via"), "§13.2.2.4: a branch of its own");
}

#[test]
fn a_refused_reinvite_of_ours_is_acknowledged_by_its_transaction() {
    let mut bench = Bench::new();
    let dialog = bench.confirmed(&Ask::invite());
    let id = bench.endpoint.request(bench.now, dialog, Method::Invite, &[], None).unwrap();
    let invite = bench.sent().pop().unwrap();
    let refusal = answer(&invite, 488, "");
    assert_eq!(bench.hear(&refusal), Some(Heard::Response(id, 488)));
    assert_eq!(bench.hear(&refusal), None);
    let sent = bench.sent();
    assert_eq!([summary(&sent[0]), summary(&sent[1])], ["ACK", "ACK"]);
    assert_eq!((header(&sent[0], "Via"), header(&sent[0], "CSeq")), (header(&invite, "Via"), "1 ACK"));
    assert!(bench.endpoint.request(bench.now, dialog, Method::Invite, &[], None).is_some(), "the way is free");
}

#[test]
fn a_reinvite_of_the_peers_is_answered_acknowledged_and_refreshes_the_target() {
    let mut bench = Bench::new();
    let dialog = bench.confirmed(&Ask::invite());
    let reinvite = Ask { extra: "Contact: <sip:moved@192.0.2.1:6000>\r\n".into(), ..Ask::within("INVITE", 8, dialog) };
    let Some(Heard::InDialog(id)) = bench.hear(&reinvite.text()) else { panic!("no re-INVITE") };
    assert_eq!(bench.endpoint.request(bench.now, dialog, Method::Invite, &[], None), None, "§14.1");
    let second = Ask::within("INVITE", 9, dialog);
    assert_eq!(bench.hear(&second.text()), None);
    let sent = bench.sent();
    assert_eq!(sent.iter().map(|text| summary(text)).collect::<Vec<_>>(), ["500 INVITE"]);
    assert!(header(&sent[0], "Retry-After").parse::<u32>().unwrap() <= 10, "§14.2");
    bench.endpoint.respond(bench.now, id, &plain(200));
    assert_eq!(bench.hear(&Ask::within("ACK", 9, dialog).text()), None, "that is for the 500");
    assert_eq!(bench.hear(&Ask::within("ACK", 8, dialog).text()), Some(Heard::Ack(dialog)));
    bench.sent();
    bench.endpoint.request(bench.now, dialog, Method::Bye, &[], None).unwrap();
    assert!(bench.sent()[0].starts_with("BYE sip:moved@192.0.2.1:6000 "));
}

#[test]
fn invites_that_cross_get_491() {
    let mut bench = Bench::new();
    let dialog = bench.confirmed(&Ask::invite());
    bench.endpoint.request(bench.now, dialog, Method::Invite, &[], None).unwrap();
    bench.sent();
    assert_eq!(bench.hear(&Ask::within("INVITE", 8, dialog).text()), None);
    assert_eq!(bench.said(), ["491 INVITE"]);
    assert_eq!(bench.hear(&Ask { method: "ACK", ..Ask::within("INVITE", 8, dialog) }.text()), None);
}

#[test]
fn our_bye_waits_for_the_ack_of_our_2xx() {
    for acknowledged in [true, false] {
        let mut bench = Bench::new();
        let (id, dialog) = bench.accept(&Ask::invite());
        assert_eq!(
            bench.endpoint.request(bench.now, dialog, Method::Bye, &[], None),
            None,
            "§15: not while it is early"
        );
        bench.endpoint.respond(bench.now, id, &plain(200));
        assert!(bench.endpoint.request(bench.now, dialog, Method::Bye, &[], None).is_some());
        bench.endpoint.close(bench.now, dialog);
        assert_eq!(bench.said(), ["200 INVITE"]);
        if acknowledged {
            assert_eq!(bench.hear(&Ask::within("ACK", 7, dialog).text()), None, "nobody wants to hear of it");
        } else {
            assert_eq!(bench.pass(32_000), []);
        }
        assert_eq!(bench.said(), ["BYE"]);
        assert_eq!(bench.run_out().len(), 1, "the BYE fails");
        bench.assert_empty();
    }
}

#[test]
fn requests_are_matched_to_dialogs_by_all_of_their_identity() {
    let mut bench = Bench::new();
    let dialog = bench.confirmed(&Ask::invite());
    let bye = Ask::within("BYE", 8, dialog);
    for (what, ask) in [
        ("tag", Ask { to_tag: "0123456789abcdef".into(), ..bye.clone() }),
        ("no tag of ours", Ask { to_tag: "x".into(), ..bye.clone() }),
        ("Call-ID", Ask { call_id: "call-2".into(), ..bye.clone() }),
        ("remote tag", Ask { from: "<sip:+4930@trunk.example>;tag=other".into(), ..bye.clone() }),
        ("no remote tag", Ask { from: "<sip:+4930@trunk.example>".into(), ..bye.clone() }),
    ] {
        assert_eq!((bench.hear(&ask.text()), bench.said()), (None, vec!["481 BYE".to_string()]), "{what}");
        let ack = Ask { method: "ACK", cseq: 7, ..ask };
        assert_eq!((bench.hear(&ack.text()), bench.said()), (None, vec![]), "ACK, {what}");
    }
    for (method, cseq) in [("BYE", 6), ("OPTIONS", 6), ("OPTIONS", 7)] {
        let old = Ask { method, cseq, via: format!("{VIA}-old-{method}{cseq}"), ..bye.clone() };
        assert_eq!(bench.hear(&old.text()), None);
        assert_eq!(bench.said(), [format!("500 {method}")], "§12.2.2");
    }
    assert!(matches!(bench.hear(&bye.text()), Some(Heard::InDialog(_))));
}

#[test]
fn the_peer_may_end_an_early_dialog_with_bye() {
    let mut bench = Bench::new();
    let (_, dialog) = bench.accept(&Ask::invite());
    let Some(Heard::InDialog(bye)) = bench.hear(&Ask::within("BYE", 8, dialog).text()) else { panic!("no BYE") };
    bench.endpoint.respond(bench.now, bye, &plain(200));
    bench.endpoint.close(bench.now, dialog);
    assert_eq!(bench.said(), ["200 BYE", "487 INVITE"]);
    bench.run_out();
    bench.assert_empty();
}

#[test]
fn a_merged_request_gets_482_and_a_new_one_does_not() {
    let mut bench = Bench::new();
    let invite = Ask::invite();
    bench.accept(&invite);
    bench.sent();
    let by_another_way = Ask { via: format!("{VIA}2"), ..invite.clone() };
    assert_eq!((bench.hear(&by_another_way.text()), bench.said()), (None, vec!["482 INVITE".to_string()]));
    let new = Ask { cseq: 8, via: format!("{VIA}3"), ..by_another_way };
    assert_eq!(bench.hear(&new.text()), Some(Heard::Invite));
}

#[test]
fn an_rfc_2543_invite_is_matched_without_a_branch() {
    let mut bench = Bench::new();
    let old = Ask { via: "SIP/2.0/UDP 192.0.2.1:5070".into(), ..Ask::invite() };
    let (id, dialog) = bench.accept(&old);
    assert_eq!(bench.hear(&old.text()), None);
    assert_eq!(bench.hear(&Ask { method: "CANCEL", ..old.clone() }.text()), Some(Heard::Cancel(id)));
    bench.endpoint.respond(bench.now, id, &plain(487));
    assert_eq!(bench.said(), ["100 INVITE", "200 CANCEL", "487 INVITE"]);
    assert_eq!(bench.hear(&Ask { method: "ACK", to_tag: dialog.to_string(), ..old }.text()), None);
    bench.pass(5000);
    bench.assert_empty();
}

#[test]
fn a_stateless_answer_is_the_same_for_each_repetition() {
    let mut bench = Bench::new();
    let invite = Ask::invite();
    let answers: Vec<String> = (0..2)
        .map(|_| {
            let text = invite.text();
            let Some(Event::Invite { path, request }) =
                bench.endpoint.handle_datagram(bench.now, bench.path, text.as_bytes())
            else {
                panic!("no INVITE")
            };
            bench.endpoint.reply(bench.now, path, &request, &plain(403));
            bench.sent().pop().unwrap()
        })
        .collect();
    assert_eq!(answers[0], answers[1]);
    let tag = header(&answers[0], "To").rsplit_once("tag=").unwrap().1.to_string();
    assert_eq!(bench.hear(&Ask { method: "ACK", to_tag: tag, ..invite }.text()), None);
    bench.assert_empty();
}

#[test]
fn what_is_not_served_is_refused_without_state() {
    let mut bench = Bench::new();
    for (ask, expected, name, value) in [
        (Ask { method: "MESSAGE", ..Ask::invite() }, "405 MESSAGE", "Allow", check::ALLOW),
        (Ask { method: "FOO", ..Ask::invite() }, "501 FOO", "Allow", check::ALLOW),
        (Ask { uri: "tel:+49".into(), ..Ask::invite() }, "416 INVITE", "Allow", ""),
        (Ask { extra: "Require: x, y\r\n".into(), ..Ask::invite() }, "420 INVITE", "Unsupported", "x, y"),
        (Ask { body: "x".into(), ..Ask::invite() }, "415 INVITE", "Accept", check::CONTENT),
        (
            Ask { extra: "Require: resource-priority\r\nResource-Priority: q735.0\r\n".into(), ..Ask::invite() },
            "417 INVITE",
            "Accept-Resource-Priority",
            "",
        ),
        (Ask { extra: "Replaces: 1;to-tag=a;from-tag=b\r\n".into(), ..Ask::invite() }, "481 INVITE", "Allow", ""),
        (
            Ask { extra: "Content-Type: application/pkcs7-mime\r\n".into(), body: "x".into(), ..Ask::invite() },
            "493 INVITE",
            "Accept",
            "",
        ),
        (Ask { extra: "X: y\r\n".repeat(limits::SIP_HEADERS_MAX), ..Ask::invite() }, "513 INVITE", "Allow", ""),
    ] {
        assert_eq!(bench.hear(&ask.text()), None);
        let sent = bench.sent();
        assert_eq!((summary(&sent[0]).as_str(), header(&sent[0], name)), (expected, value));
        assert!(header(&sent[0], "To").contains(";tag="));
    }
    let options = Ask { method: "OPTIONS", ..Ask::invite() }.text();
    let Some(Event::Request { path, request }) =
        bench.endpoint.handle_datagram(bench.now, bench.path, options.as_bytes())
    else {
        panic!("no OPTIONS")
    };
    bench.endpoint.reply(bench.now, path, &request, &plain(200));
    let sent = bench.sent();
    assert_eq!((header(&sent[0], "Allow"), header(&sent[0], "Accept")), (check::ALLOW, check::CONTENT));
    bench.assert_empty();
}

/// RELIABILITY A19: whoever may have a forged source address gets no more than it sent.
#[test]
fn strangers_get_no_more_bytes_than_they_sent() {
    let short = "OPTIONS sip:f SIP/2.0\r\nVia: SIP/2.0/UDP h;rport\r\nFrom: <sip:a@b>\r\nTo: <sip:f>\r\nCall-ID: 1\r\n\
                 CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n";
    let unknown = Ask { method: "MESSAGE", ..Ask::invite() }.text();
    for (source, text, expected) in [
        ("192.0.2.1:5071", &*unknown, Some("405 MESSAGE")),
        ("198.51.100.7:5071", &unknown, Some("405 MESSAGE")),
        ("192.0.2.1:5071", short, Some("403 OPTIONS")),
        ("198.51.100.7:5071", short, None),
    ] {
        let mut bench = Bench::new();
        bench.path.peer = source.parse().unwrap();
        if let Some(Event::Request { path, request }) =
            bench.endpoint.handle_datagram(bench.now, bench.path, text.as_bytes())
        {
            bench.endpoint.reply(bench.now, path, &request, &plain(403));
        }
        let sent = bench.sent();
        assert_eq!(sent.first().map(|text| summary(text)), expected.map(String::from), "{source} {text}");
        let is_stranger = source.starts_with("198");
        assert!(!is_stranger || sent.iter().all(|answer| answer.len() <= text.len()), "{sent:?}");
        assert_eq!(bench.endpoint.stats().withheld, u64::from(expected.is_none()));
    }
}

/// RELIABILITY A19, RFC 3261 §21.4.2: a 401 is of no use without a challenge, so where there is not room for all headers the first
/// ones have it.
#[test]
fn of_the_headers_of_an_answer_to_a_stranger_as_many_go_as_fit() {
    let challenges = ["Digest nonce=\"0123456789\", algorithm=SHA-256", "Digest nonce=\"0123456789\", algorithm=MD5"];
    let headers =
        [("WWW-Authenticate", challenges[0]), ("WWW-Authenticate", challenges[1]), ("Warning", "399 a \"b\"")];
    let reply = Reply { headers: &headers, ..plain(401) };
    let mut expected = 0..=headers.len();
    let mut seen = Vec::new();
    for padding in (0..300).step_by(4) {
        let text = Ask { method: "OPTIONS", extra: format!("X: {}\r\n", "x".repeat(padding)), ..Ask::invite() }.text();
        let mut bench = Bench::new();
        bench.path.peer = "198.51.100.7:5071".parse().unwrap();
        let event = bench.endpoint.handle_datagram(bench.now, bench.path, text.as_bytes());
        let Some(Event::Request { path, request }) = event else { panic!("no OPTIONS: {text}") };
        bench.endpoint.reply(bench.now, path, &request, &reply);
        let sent = bench.sent();
        let Some(answer) = sent.first() else { continue };
        assert!(answer.len() <= text.len(), "{answer}");
        let fitted: Vec<_> = headers.iter().filter(|(_, value)| answer.contains(value)).collect();
        assert!(fitted.len() < 2 || answer.contains(challenges[0]), "the first has the room first: {answer}");
        seen.push(fitted.len());
        assert_eq!(bench.endpoint.traffic().responses().collect::<Vec<_>>(), [(401, 1)], "counted once");
    }
    seen.dedup();
    assert!(seen.is_sorted() && expected.all(|count| seen.contains(&count)), "{seen:?}");
}

/// §8.2.7, §17.2.1: what was refused without a transaction is refused when it comes again, whatever has changed.
#[test]
fn a_refused_request_of_a_known_peer_gets_the_same_answer_for_64_t1() {
    let mut bench = Bench::new();
    let text = Ask::invite().text();
    let Some(Event::Invite { path, request }) = bench.endpoint.handle_datagram(bench.now, bench.path, text.as_bytes())
    else {
        panic!("no INVITE")
    };
    bench.endpoint.reply_known(bench.now, path, &request, &plain(503));
    let first = bench.sent();
    for _ in 0..3 {
        assert_eq!(bench.hear(&text), None);
        assert_eq!(bench.sent(), first);
    }
    bench.pass(32_000);
    assert_eq!(bench.hear(&text), Some(Heard::Invite), "by then it is another request");
}

/// A re-INVITE may overtake the ACK of the 2xx before it, or that ACK may be lost: each 2xx waits for its own.
#[test]
fn a_reinvite_that_overtakes_an_ack_leaves_both_2xx_to_their_own_acks() {
    for order in [[7, 8], [8, 7]] {
        let mut bench = Bench::new();
        let (id, dialog) = bench.accept(&Ask::invite());
        bench.endpoint.respond(bench.now, id, &plain(200));
        let Some(Heard::InDialog(second)) = bench.hear(&Ask::within("INVITE", 8, dialog).text()) else {
            panic!("no re-INVITE")
        };
        bench.endpoint.respond(bench.now, second, &plain(200));
        assert_eq!(bench.hear(&Ask { via: format!("{VIA}-9"), ..Ask::within("INVITE", 9, dialog) }.text()), None);
        assert_eq!(bench.said().last().unwrap(), "491 INVITE", "two are enough");
        for cseq in order {
            let ack = Ask { via: format!("{VIA}-ack-{cseq}"), ..Ask::within("ACK", cseq, dialog) };
            assert_eq!(bench.hear(&ack.text()), Some(Heard::Ack(dialog)), "{order:?}");
        }
        bench.sent();
        assert_eq!(bench.run_out(), [], "{order:?}");
        assert!(bench.said().iter().all(|text| text == "491 INVITE"), "only that has no ACK: {order:?}");
    }
}

#[test]
fn what_cannot_be_read_is_answered_once_or_dropped() {
    let mut bench = Bench::new();
    let good = Ask::invite().text();
    for (text, expected) in [
        (good.replace("CSeq: 7", "CSeq: 99999999999"), vec!["400 INVITE"]),
        (good.replace("sip:foo@192.0.2.9 SIP/2.0", "sip:foo@192.0.2.9 SIP/7.0"), vec!["505 INVITE"]),
        (good.replace("Call-ID: call-1\r\n", ""), vec![]),
        (good.replace("INVITE", "ACK").replace("CSeq: 7", "CSeq: x"), vec![]),
        ("\r\n\r\n".to_string(), vec![]),
        ("hello".to_string(), vec![]),
        (answer(&good, 200, ""), vec![]),
        (answer(&good, 200, "").replace("z9hG4bK1", "z9hG4bK00ffeeddccbbaa99"), vec![]),
    ] {
        assert_eq!(bench.hear(&text), None);
        let said: Vec<String> = bench.said().iter().map(|said| said.replace("99999999999", "INVITE")).collect();
        assert_eq!(said, expected, "{text}");
    }
    let stats = bench.endpoint.stats();
    assert_eq!((stats.datagrams, stats.keep_alives, stats.responses_unmatched), (8, 1, 2));
    assert_eq!(stats.malformed.iter().sum::<u64>(), 5);
    bench.assert_empty();
}

#[test]
fn an_abandoned_call_answers_what_is_open_and_says_bye() {
    let mut bench = Bench::new();
    let confirmed = bench.confirmed(&Ask::invite());
    assert!(matches!(bench.hear(&Ask::within("OPTIONS", 8, confirmed).text()), Some(Heard::InDialog(_))));
    let other = Ask { via: format!("{VIA}2"), call_id: "call-2".into(), ..Ask::invite() };
    bench.accept(&other);
    bench.sent();
    bench.endpoint.abandon(bench.now, CallRef { slot: 3, generation: 8 });
    assert_eq!(bench.said(), [""; 0], "an earlier call in the same slot");
    bench.endpoint.abandon(bench.now, OWNER.call);
    let mut said = bench.said();
    said.sort();
    assert_eq!(said, ["500 INVITE", "500 OPTIONS", "BYE"]);
    assert_eq!(bench.run_out(), [], "nobody is there to be told");
    bench.assert_empty();
}

#[test]
fn memory_of_a_parked_invite_is_small() {
    let size = size_of::<Server>() + size_of::<Held>();
    // Besides these the INVITE, once, and an entry each in three tables and the wheel.
    assert!(size <= 640, "{size}");
}

#[test]
fn rfc_4475_messages_have_the_outcome_that_is_expected() {
    let (mut found, mut wanted) = (Vec::new(), Vec::new());
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/sip/rfc4475");
    for (file, expected) in [
        // It has a To tag: a dialog that is not ours (§12.2.2).
        ("wsinv", "481"),
        ("intmeth", "501"),
        ("esc01", "INVITE"),
        ("escnull", "REGISTER"),
        ("esc02", "501"),
        ("lwsdisp", "OPTIONS"),
        ("longreq", "INVITE"),
        ("dblreq", "REGISTER"),
        ("semiuri", "OPTIONS"),
        ("transports", "OPTIONS"),
        ("mpart01", "405"),
        ("unreason", ""),
        ("noreason", ""),
        ("badinv01", "400"),
        ("clerr", "400"),
        ("ncl", "400"),
        ("scalar02", "400"),
        ("scalarlg", ""),
        ("quotbal", "400"),
        ("lwsruri", "400"),
        ("badvers", "505"),
        ("mismatch01", "400"),
        ("bigcode", ""),
        ("badbranch", "400"),
        ("unkscm", "416"),
        ("novelsc", "416"),
        ("unksm2", "400"),
        ("bext01", "420"),
        ("invut", "415"),
        ("regaut01", "REGISTER"),
        ("multi01", "400"),
        ("mcl01", "400"),
        ("bcast", ""),
        ("zeromf", "OPTIONS"),
        ("sdp01", "406"),
        ("inv2543", "INVITE"),
    ] {
        let Ok(bytes) = std::fs::read(folder.join(file).with_extension("dat")) else {
            eprintln!("{file}: the shared data is not here");
            continue;
        };
        let mut bench = Bench::new();
        let event = bench.endpoint.handle_datagram(bench.now, bench.path, &bytes);
        let outcome = match event {
            Some(Event::Invite { .. }) => "INVITE".into(),
            Some(Event::Request { request, .. }) => {
                String::from_utf8(request.cseq().method.as_bytes().to_vec()).unwrap()
            }
            Some(_) => "an event".into(),
            None => std::iter::from_fn(|| bench.endpoint.poll_transmit())
                .map(|sent| String::from_utf8_lossy(&sent.bytes[8..11]).into_owned())
                .collect(),
        };
        found.push((file, outcome));
        wanted.push((file, expected.to_string()));
    }
    assert_eq!(found, wanted);
}

#[test]
fn a_response_must_have_our_branch_our_method_and_no_other_via() {
    let mut bench = Bench::new();
    let dialog = bench.confirmed(&Ask::invite());
    let id = bench.endpoint.request(bench.now, dialog, Method::Bye, &[], None).unwrap();
    let good = answer(&bench.sent().pop().unwrap(), 200, "");
    for bad in [
        good.replace("CSeq: 1 BYE", "CSeq: 1 INVITE"),
        good.replace("From:", "Via: SIP/2.0/UDP 192.0.2.77;branch=z9hG4bKx\r\nFrom:"),
        good.replace("z9hG4bK00", "z9hG4bK01"),
        good.replace("z9hG4bK00", "00"),
    ] {
        assert_ne!(bad, good);
        assert_eq!((bench.hear(&bad), bench.said()), (None, vec![]), "{bad}");
    }
    assert_eq!(bench.endpoint.stats().responses_unmatched, 4);
    assert_eq!(bench.hear(&good), Some(Heard::Response(id, 200)));
}

#[test]
fn ack_is_never_answered_even_when_the_switch_asks_for_it() {
    let mut bench = Bench::new();
    let ack = Ask { method: "ACK", ..Ask::invite() }.text();
    let ack = Message::parse(ack.as_bytes()).unwrap();
    bench.endpoint.reply(bench.now, bench.path, &ack, &plain(403));
    assert_eq!(bench.said(), [""; 0]);
}
