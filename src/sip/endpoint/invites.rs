//! What comes of an INVITE: where its answers go and how often, until its ACK or its CANCEL.
//! Not here: what is refused (`refusals`), and what follows in the dialog (`dialogs`).

use super::bench::{Ask, Bench, Heard, VIA, header, plain, summary};
use super::*;

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
fn answers_go_where_via_says() {
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
fn memory_of_a_parked_invite_is_small() {
    let size = size_of::<Server>() + size_of::<Held>();
    // Besides these the INVITE, once, and an entry each in three tables and the wheel.
    assert!(size <= 640, "{size}");
}
