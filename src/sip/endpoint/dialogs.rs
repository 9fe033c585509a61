//! Requests in a dialog, ours and the peer's, and whose they are.
//! Not here: UPDATE and changes that cross (`updates`), and any order of them (`disorder`).

use super::bench::{Ask, Bench, Heard, OWNER, VIA, answer, header, plain, summary};
use super::*;

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
