//! The endpoint as its tests drive it: bytes in, bytes out, under a virtual clock.
//! Not here: the tests (`invites`, `dialogs`, `refusals`, `updates`, `disorder`).

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
