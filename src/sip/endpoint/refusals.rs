//! What is answered without a transaction, or not at all: requests that are not served, strangers, and what cannot be read.
//! Not here: what an INVITE is answered once it is kept (`invites`).

use super::bench::{Ask, Bench, Heard, VIA, answer, header, plain, summary};
use super::*;

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
        (Ask { method: "PUBLISH", ..Ask::invite() }, "405 PUBLISH", "Allow", check::ALLOW),
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
    let unknown = Ask { method: "PUBLISH", ..Ask::invite() }.text();
    for (source, text, expected) in [
        ("192.0.2.1:5071", &*unknown, Some("405 PUBLISH")),
        ("198.51.100.7:5071", &unknown, Some("405 PUBLISH")),
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
        ("mpart01", "MESSAGE"),
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
fn ack_is_never_answered_even_when_the_switch_asks_for_it() {
    let mut bench = Bench::new();
    let ack = Ask { method: "ACK", ..Ask::invite() }.text();
    let ack = Message::parse(ack.as_bytes()).unwrap();
    bench.endpoint.reply(bench.now, bench.path, &ack, &plain(403));
    assert_eq!(bench.said(), [""; 0]);
}
