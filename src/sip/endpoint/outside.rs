//! Requests of ours outside of any dialog (RFC 3261 §8.1): OPTIONS, REGISTER, MESSAGE, NOTIFY. Who sent one names itself, and hears
//! what came of it exactly once: the final answer, or that there was none in time.
//! Not here: INVITE, which makes dialogs; challenges, which whoever sent the request answers with a new one or not at all; and the
//! order of CSeq and the choice of Call-ID, which a registration keeps for as long as it lives (§10.2).

use super::client::{Client, Whose};
use super::way::{Way, Ways};
use super::{ClientId, Endpoint};
use crate::id::{BindingId, LetterId, TargetId};
use crate::sip::Path;
use crate::sip::wire::Method;
use crate::sip::wire::write::{Branch, RequestHead};
use crate::time::Now;

/// Who sent a request outside of any dialog.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Asker {
    /// For a client that registered or subscribed over SIP.
    Binding(BindingId),
    /// For a message that goes out by a trunk.
    Letter(LetterId),
    /// For a trunk: is its target there, and does it know where we are?
    Trunk(TargetId),
}

/// A request outside of any dialog as its sender words it. Via, Max-Forwards, User-Agent and Content-Length are the endpoint's.
#[derive(Clone, Copy, Debug)]
pub struct Outside<'a> {
    /// Neither INVITE nor ACK nor CANCEL.
    pub method: Method<'static>,
    /// The Request-URI.
    pub uri: &'a str,
    /// The value of From, with its tag.
    pub from: &'a str,
    /// The value of To; without a tag, for there is no dialog.
    pub to: &'a str,
    /// The Call-ID.
    pub call_id: &'a str,
    /// The number of CSeq, below 2^31.
    pub cseq: u32,
    /// The value of Route; empty for none.
    pub route: &'a str,
    /// The value of Contact, with its `<>`.
    pub contact: Option<&'a str>,
    /// Further header fields, name and value.
    pub headers: &'a [(&'a str, &'a str)],
    /// Content-Type and body.
    pub body: Option<(&'a str, &'a [u8])>,
    /// Whether a connection may be opened to the path's peer where there is none: not to one that only comes to us.
    pub opens: bool,
    /// Who hears of the answer.
    pub asker: Asker,
}

impl Endpoint {
    /// Sends a request outside of any dialog over `path`. [`Event::Outside`](super::Event::Outside) says once what came of it. `None`, and nothing is sent,
    /// for an INVITE, ACK or CANCEL, and when the tables are full.
    pub fn send_outside(&mut self, now: Now, path: Path, request: &Outside<'_>) -> Option<ClientId> {
        if matches!(request.method, Method::Invite | Method::Ack | Method::Cancel) {
            return None;
        }
        if self.is_full() {
            self.stats.full += 1;
            return None;
        }
        let id = self.new_branch();
        let branch = Branch::new(id.0);
        let head = RequestHead {
            method: request.method,
            uri: request.uri.as_bytes(),
            transport: path.transport,
            sent_by: "",
            branch: branch.as_str(),
            from: request.from.as_bytes(),
            to: request.to.as_bytes(),
            call_id: request.call_id.as_bytes(),
            cseq: request.cseq,
            contact: request.contact,
            route: request.route.as_bytes(),
            headers: request.headers,
            body: request.body,
        };
        let bytes = self.output.request(path, None, None, head);
        let reopen = Some(path.peer).filter(|_| request.opens && path.transport.is_reliable());
        let ways = Ways { first: Way { path, reopen }, otherwise: None };
        let client = Client::new(Whose::Outside(request.asker), request.method, ways, &bytes, request.cseq);
        self.clients.insert(id, Box::new(client));
        self.start_client(now, id);
        Some(id)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Counts;
    use super::super::bench::{Bench, Heard, answer, header, summary};
    use super::*;
    use crate::limits;
    use crate::sip::Transport;

    const ASKER: Asker = Asker::Trunk(TargetId { trunk: 1, target: 2 });

    fn register() -> Outside<'static> {
        Outside {
            method: Method::Register,
            uri: "sip:registrar.example",
            from: "<sip:us@registrar.example>;tag=1",
            to: "<sip:us@registrar.example>",
            call_id: "lasting",
            cseq: 3,
            route: "<sip:proxy.example;lr>",
            contact: Some("<sip:us@sip.example:5060>"),
            headers: &[("Expires", "600")],
            body: None,
            opens: true,
            asker: ASKER,
        }
    }

    fn sent(bench: &mut Bench, request: &Outside<'_>) -> (ClientId, String) {
        let id = bench.endpoint.send_outside(bench.now, bench.path, request).unwrap();
        let transmit = bench.endpoint.poll_transmit().unwrap();
        assert_eq!(transmit.path, bench.path);
        (id, String::from_utf8(transmit.bytes.to_vec()).unwrap())
    }

    #[test]
    fn it_is_sent_as_worded_and_its_final_answer_is_told_once_to_whoever_sent_it() {
        let mut bench = Bench::new();
        let (id, text) = sent(&mut bench, &register());
        assert!(text.starts_with("REGISTER sip:registrar.example SIP/2.0\r\n"), "{text}");
        for (name, value) in [
            ("From", "<sip:us@registrar.example>;tag=1"),
            ("To", "<sip:us@registrar.example>"),
            ("Call-ID", "lasting"),
            ("CSeq", "3 REGISTER"),
            ("Route", "<sip:proxy.example;lr>"),
            ("Contact", "<sip:us@sip.example:5060>"),
            ("Expires", "600"),
            ("Max-Forwards", "70"),
            ("User-Agent", "Parkway"),
        ] {
            assert_eq!(header(&text, name), value);
        }
        assert!(header(&text, "Via").starts_with("SIP/2.0/UDP sip.example:5060;"));
        for (status, expected) in [(100, None), (183, None), (401, Some(Heard::Outside(ASKER, id, 401))), (200, None)] {
            assert_eq!(bench.hear(&answer(&text, status, "")), expected, "{status}");
        }
        assert_eq!(bench.run_out(), []);
        bench.assert_empty();
    }

    #[test]
    fn it_is_repeated_until_timer_f_and_its_silence_is_a_408() {
        let mut bench = Bench::new();
        let options = Outside { method: Method::Options, contact: None, ..register() };
        let (id, text) = sent(&mut bench, &options);
        assert_eq!((header(&text, "Contact"), summary(&text)), ("", "OPTIONS".into()));
        bench.pass(500);
        assert_eq!(bench.sent(), [text], "Timer E");
        assert_eq!(bench.run_out(), [Heard::Outside(ASKER, id, 408)]);
        assert_eq!(bench.now.at.0, 32_000_000);
        bench.assert_empty();
    }

    #[test]
    fn askers_do_not_hear_of_each_others_answers_and_a_call_hears_of_none() {
        let mut bench = Bench::new();
        let other = Asker::Binding(BindingId(7));
        let dialog = bench.confirmed(&super::super::bench::Ask::invite());
        let (first, one) = sent(&mut bench, &register());
        let message =
            Outside { method: Method::Message, body: Some(("text/plain", b"hi")), asker: other, ..register() };
        let (second, two) = sent(&mut bench, &message);
        assert_eq!((header(&two, "Content-Type"), header(&two, "Content-Length")), ("text/plain", "2"));
        assert_eq!(bench.hear(&answer(&two, 200, "")), Some(Heard::Outside(other, second, 200)));
        // A call that is lost takes its own requests with it and no others.
        bench.endpoint.abandon(bench.now, super::super::bench::OWNER.call);
        assert_eq!(bench.hear(&answer(&one, 503, "")), Some(Heard::Outside(ASKER, first, 503)));
        assert!(bench.endpoint.made_by(dialog).is_none());
    }

    #[test]
    fn over_a_connection_that_may_be_opened_or_not_its_end_is_a_failure() {
        for (opens, transport, reopen) in [
            (true, Transport::Tcp, true),
            (true, Transport::Tls, true),
            (false, Transport::Tcp, false),
            (true, Transport::Udp, false),
        ] {
            let mut bench = Bench::new();
            let path = Path { transport, ..bench.path };
            let id = bench.endpoint.send_outside(bench.now, path, &Outside { opens, ..register() }).unwrap();
            let sent = bench.endpoint.poll_transmit().unwrap();
            assert_eq!((sent.path, sent.reopen), (path, reopen.then_some(path.peer)), "{transport:?}");
            bench.endpoint.handle_disconnected(bench.now, path);
            let heard = bench.pass(0);
            let failed = transport != Transport::Udp;
            assert_eq!(heard, failed.then_some(Heard::Outside(ASKER, id, 408)).into_iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn what_makes_dialogs_or_belongs_to_another_request_is_not_sent() {
        let mut bench = Bench::new();
        for method in [Method::Invite, Method::Ack, Method::Cancel] {
            let request = Outside { method, ..register() };
            assert_eq!(bench.endpoint.send_outside(bench.now, bench.path, &request), None, "{method:?}");
        }
        assert_eq!((bench.endpoint.counts(), bench.endpoint.stats().full), (Counts::default(), 0));
    }

    #[test]
    fn full_tables_refuse_it_and_count_it() {
        let mut bench = Bench::new();
        for _ in 0..limits::SIP_TRANSACTIONS_MAX {
            assert!(bench.endpoint.send_outside(bench.now, bench.path, &register()).is_some());
        }
        assert_eq!(bench.endpoint.send_outside(bench.now, bench.path, &register()), None);
        assert_eq!(bench.endpoint.stats().full, 1);
    }
}
