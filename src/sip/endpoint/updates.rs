//! UPDATE as the endpoint sees it (RFC 3311): a request in a dialog that says where its sender is, both ways.

use super::bench::{Ask, Bench, Heard, answer, header, plain, summary};
use super::check;
use crate::sip::wire::Method;

const MOVED: &str = "Contact: <sip:gw@192.0.2.1:5099>\r\n";

#[test]
fn an_update_that_is_taken_moves_the_target_and_one_that_is_refused_does_not() {
    for (status, target) in [(200, "sip:gw@192.0.2.1:5099"), (488, "sip:gw@192.0.2.1:5070")] {
        let mut bench = Bench::new();
        let dialog = bench.confirmed(&Ask::invite());
        let update = Ask { extra: MOVED.into(), ..Ask::within("UPDATE", 8, dialog) };
        let Some(Heard::InDialog(id)) = bench.hear(&update.text()) else { panic!("no UPDATE") };
        assert!(bench.endpoint.respond(bench.now, id, &plain(status)));
        let sent = bench.sent();
        assert_eq!(summary(&sent[0]), format!("{status} UPDATE"));
        let expected = if status == 200 { check::ALLOW } else { "" };
        assert_eq!(header(&sent[0], "Allow"), expected);
        assert_eq!(header(&sent[0], "Contact").is_empty(), status != 200);
        bench.endpoint.request(bench.now, dialog, Method::Bye, &[], None).unwrap();
        assert!(bench.sent()[0].starts_with(&format!("BYE {target} SIP/2.0")), "{status}");
    }
}

#[test]
fn an_update_of_ours_says_where_we_are_and_learns_where_the_peer_is() {
    let mut bench = Bench::new();
    let dialog = bench.confirmed(&Ask::invite());
    let id = bench.endpoint.request(bench.now, dialog, Method::Update, &[], None).unwrap();
    let sent = bench.sent();
    assert_eq!(header(&sent[0], "Contact"), format!("<sip:{dialog}@sip.example:5060>"));
    assert_eq!(header(&sent[0], "Allow"), check::ALLOW);
    assert_eq!(bench.hear(&answer(&sent[0], 200, MOVED)), Some(Heard::Response(id, 200)));
    bench.endpoint.request(bench.now, dialog, Method::Bye, &[], None).unwrap();
    assert!(bench.sent()[0].starts_with("BYE sip:gw@192.0.2.1:5099 SIP/2.0"));
}

#[test]
fn an_update_of_no_dialog_gets_481_and_one_out_of_order_500() {
    let mut bench = Bench::new();
    let dialog = bench.confirmed(&Ask::invite());
    assert_eq!(
        bench.hear(&Ask { method: "UPDATE", via: "SIP/2.0/UDP h;branch=z9hG4bKu".into(), ..Ask::invite() }.text()),
        None
    );
    assert_eq!(bench.said(), ["481 UPDATE"]);
    assert_eq!(bench.hear(&Ask::within("UPDATE", 7, dialog).text()), None);
    assert_eq!(bench.said(), ["500 UPDATE"]);
}
