//! One dialog as its caller sees it (RFC 3261 §12.1.2), and the text of the requests in it.
//! Not here: sockets and retransmission (`agent`), and what a message means for the call (`trunk`, `client`).

use super::message::{self, Message};
use std::net::SocketAddr;

/// What an endpoint of the demo understands.
const ALLOW: &str = "INVITE, ACK, BYE, CANCEL, OPTIONS";

/// What all requests of a call share.
pub(super) struct Dialog {
    call_id: String,
    /// Our address, as Via and Contact say it.
    via: SocketAddr,
    /// `From`, with our tag.
    local: String,
    /// `To`, with the other end's tag once a 2xx has brought it.
    remote: String,
    /// The Request-URI: at first what is called, then the other end's Contact.
    target: String,
    routes: Vec<String>,
    contact: String,
    /// The number of the last request.
    pub(super) cseq: u32,
}

/// A request to be written.
pub(super) struct Draft<'a> {
    /// Its method.
    pub(super) method: &'a str,
    /// The branch of its transaction.
    pub(super) branch: &'a str,
    /// Header lines beyond those of the dialog, each with its line end.
    pub(super) extra: &'a str,
    /// A session description, or nothing.
    pub(super) body: &'a str,
}

impl Dialog {
    /// From `local` (a URI) to `target` (a URI).
    pub(super) fn new(local: &str, target: &str, via: SocketAddr) -> Dialog {
        Dialog {
            call_id: format!("{}@{}", fresh(), via.ip()),
            via,
            local: format!("<{local}>;tag={}", fresh()),
            remote: format!("<{target}>"),
            target: target.to_owned(),
            routes: Vec::new(),
            contact: format!("sip:{}@{via}", message::user_of(local)),
            cseq: 0,
        }
    }

    /// Where the next request goes: the first route, else the target (RFC 3261 §12.2.1.1, loose routers).
    pub(super) fn next_hop(&self) -> Option<SocketAddr> {
        message::address_of(self.routes.first().unwrap_or(&self.target))
    }

    /// A request, ready to send.
    pub(super) fn write(&self, draft: &Draft<'_>) -> String {
        let Draft { method, branch, extra, body } = draft;
        let routes: String = self.routes.iter().map(|route| format!("Route: <{route}>\r\n")).collect();
        let content = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        // RFC 3261 §20, table 2: of our requests only INVITE needs a Contact.
        let contact = match *method {
            "INVITE" => format!("Contact: <{}>\r\nAllow: {ALLOW}\r\n", self.contact),
            _ => String::new(),
        };
        format!(
            "{method} {target} SIP/2.0\r\n\
             Via: SIP/2.0/UDP {via};rport;branch={branch}\r\n\
             Max-Forwards: 70\r\n\
             {routes}\
             From: {local}\r\n\
             To: {remote}\r\n\
             Call-ID: {call_id}\r\n\
             CSeq: {cseq} {method}\r\n\
             {contact}{extra}{content}\
             Content-Length: {length}\r\n\r\n{body}",
            target = self.target,
            via = self.via,
            local = self.local,
            remote = self.remote,
            call_id = self.call_id,
            cseq = self.cseq,
            length = body.len(),
        )
    }

    /// A 2xx makes the dialog: the other end's tag, target and routes (RFC 3261 §12.1.2). The error says what the 2xx lacks.
    pub(super) fn confirm(&mut self, response: &Message) -> Result<(), &'static str> {
        let to = response.header("to").filter(|to| tag_of(to).is_some()).ok_or("the 2xx has no To tag")?;
        self.remote = to.to_owned();
        self.target = response.contact().ok_or("the 2xx has no Contact")?.to_owned();
        self.routes = response.route_set();
        Ok(())
    }

    /// The ACK of a refusal repeats the refusal's To (RFC 3261 §17.1.1.3).
    pub(super) fn refused(&mut self, response: &Message) {
        if let Some(to) = response.header("to") {
            self.remote = to.to_owned();
        }
    }

    /// Whether a response is to a request of this dialog.
    pub(super) fn sent(&self, response: &Message) -> bool {
        response.header("call-id") == Some(&self.call_id)
            && response.header("from").and_then(tag_of) == tag_of(&self.local)
    }

    /// Whether a request is within this dialog: Call-ID and both tags (RFC 3261 §12.2.2). Anything else deserves 481.
    pub(super) fn owns(&self, request: &Message) -> bool {
        request.header("call-id") == Some(&self.call_id)
            && request.header("to").and_then(tag_of) == tag_of(&self.local)
            && request.header("from").and_then(tag_of) == tag_of(&self.remote)
    }
}

/// A response to `request`, without a body (RFC 3261 §8.2.6.2).
pub(super) fn respond(request: &Message, status: &str) -> String {
    let copied = |name: &str, title: &str| -> String {
        request.headers(name).map(|value| format!("{title}: {value}\r\n")).collect()
    };
    let to = request.header("to").unwrap_or_default();
    let tag = if tag_of(to).is_some() { String::new() } else { format!(";tag={}", fresh()) };
    format!(
        "SIP/2.0 {status}\r\n{}{}To: {to}{tag}\r\n{}{}Allow: {ALLOW}\r\nContent-Length: 0\r\n\r\n",
        copied("via", "Via"),
        copied("from", "From"),
        copied("call-id", "Call-ID"),
        copied("cseq", "CSeq"),
    )
}

/// A branch that no other transaction has, with the cookie of RFC 3261 §8.1.1.7.
pub(super) fn branch() -> String {
    format!("z9hG4bK{}", fresh())
}

fn tag_of(name_addr: &str) -> Option<&str> {
    let parameters = name_addr.rsplit('>').next().unwrap_or(name_addr);
    parameters.split(';').find_map(|parameter| parameter.trim().strip_prefix("tag="))
}

/// 64 random bits in hexadecimal.
fn fresh() -> String {
    let bytes: [u8; 8] = super::chance();
    format!("{:016x}", u64::from_be_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dialog() -> Dialog {
        Dialog::new("sip:+49301@127.0.0.1", "sip:+4930123456@127.0.0.1:5060", "127.0.0.1:5070".parse().unwrap())
    }

    fn draft(method: &str) -> Draft<'_> {
        Draft { method, branch: "z9hG4bK1", extra: "", body: "" }
    }

    /// What a server would make of `request`: its response, with a tag, a Contact and a proxy in the path.
    fn answered(request: &str) -> Message {
        let request = Message::read(request.as_bytes()).unwrap();
        let extra = "Contact: <sip:lot@127.0.0.1:5066>\r\nRecord-Route: <sip:127.0.0.1:5061;lr>\r\nContent-Length";
        Message::read(respond(&request, "200 OK").replacen("Content-Length", extra, 1).as_bytes()).unwrap()
    }

    #[test]
    fn a_2xx_moves_target_routes_and_tag_to_the_other_end() {
        let mut dialog = dialog();
        assert_eq!(dialog.next_hop(), Some("127.0.0.1:5060".parse().unwrap()));
        let ok = answered(&dialog.write(&draft("INVITE")));
        assert!(dialog.sent(&ok));
        dialog.confirm(&ok).unwrap();
        assert_eq!(dialog.next_hop(), Some("127.0.0.1:5061".parse().unwrap()));
        let bye = dialog.write(&draft("BYE"));
        assert!(bye.starts_with("BYE sip:lot@127.0.0.1:5066 SIP/2.0\r\n"), "{bye}");
        assert!(bye.contains("Route: <sip:127.0.0.1:5061;lr>\r\n"), "{bye}");
        assert!(tag_of(&dialog.remote).is_some());
    }

    #[test]
    fn only_requests_with_both_tags_are_within_the_dialog() {
        let mut dialog = dialog();
        dialog.confirm(&answered(&dialog.write(&draft("INVITE")))).unwrap();
        let theirs = format!(
            "BYE sip:x SIP/2.0\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {}\r\n\r\n",
            dialog.remote, dialog.local, dialog.call_id
        );
        let read = |text: &str| Message::read(text.as_bytes()).unwrap();
        assert!(dialog.owns(&read(&theirs)));
        for (from, to) in [("tag=", "tag=x"), ("Call-ID: ", "Call-ID: x"), (";tag=", ";gat=")] {
            assert!(!dialog.owns(&read(&theirs.replacen(from, to, 1))), "{from}");
        }
    }

    #[test]
    fn a_2xx_that_makes_no_dialog_is_refused_with_its_reason() {
        for (text, reason) in [
            ("SIP/2.0 200 OK\r\nTo: <sip:x>\r\nContact: <sip:y>\r\n\r\n", "the 2xx has no To tag"),
            ("SIP/2.0 200 OK\r\nTo: <sip:x>;tag=1\r\n\r\n", "the 2xx has no Contact"),
        ] {
            assert_eq!(dialog().confirm(&Message::read(text.as_bytes()).unwrap()), Err(reason));
        }
    }
}
