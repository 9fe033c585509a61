//! One leg of a call as a trunk or a client sees it: the requests of a script, each built from what Parkway answered to the one before.
//! Not here: sockets, retransmission, and any judgement; a bench looks at the status and goes on. Nor any reader of the server's: what
//! measures it shares no code with it.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

/// Where nobody listens, for calls whose audio does not matter.
const NO_MEDIA: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 40_100);

/// What a side offers or answers: G.711 and telephone-event. With a line that says a key it is SRTP (RFC 4568).
pub fn description(media: SocketAddr, crypto: &str) -> String {
    format!(
        "v=0\r\n\
         o=- 20518 1 IN IP4 {ip}\r\n\
         s=-\r\n\
         c=IN IP4 {ip}\r\n\
         t=0 0\r\n\
         m=audio {port} {profile} 8 0 101\r\n\
         a=rtpmap:8 PCMA/8000\r\n\
         a=rtpmap:0 PCMU/8000\r\n\
         a=rtpmap:101 telephone-event/8000\r\n\
         a=fmtp:101 0-15\r\n\
         a=ptime:20\r\n{crypto}",
        profile = if crypto.is_empty() { "RTP/AVP" } else { "RTP/SAVP" },
        ip = media.ip(),
        port = media.port(),
    )
}

/// Where a description in a message wants the audio.
pub fn media_address(message: &str) -> Option<SocketAddrV4> {
    let word = |prefix: &str| message.lines().find_map(|line| line.strip_prefix(prefix)?.split(' ').next());
    Some(SocketAddrV4::new(word("c=IN IP4 ")?.trim().parse().ok()?, word("m=audio ")?.parse().ok()?))
}

/// A user agent client's view of its dialog.
pub struct Leg {
    /// Every call has another: it is in the Call-ID, the tag and the branches.
    number: u64,
    own: SocketAddr,
    /// The Request-URI: what is called, then Parkway's Contact.
    target: String,
    /// `To`, with Parkway's tag as soon as it is known.
    to: String,
    /// `Route` lines for the proxies between (RFC 3261 §12.1.2).
    routes: String,
    media: SocketAddr,
    /// The line of its descriptions that says its key, if it has one.
    crypto: String,
}

impl Leg {
    /// A leg that has not sent anything yet.
    pub fn new(number: u64, own: SocketAddr, target: &str) -> Leg {
        let (target, to, routes) = (target.to_owned(), format!("<{target}>"), String::new());
        Leg { number, own, target, to, routes, media: NO_MEDIA, crypto: String::new() }
    }

    /// The same with its audio there.
    pub fn with_media(self, media: SocketAddr) -> Leg {
        Leg { media, ..self }
    }

    /// The same with a key for its audio.
    pub fn with_key(self, crypto: String) -> Leg {
        Leg { crypto, ..self }
    }

    /// The INVITE, with further header lines; without any it has about 880 bytes, which is what trunks send.
    pub fn invite(&self, more: &str) -> String {
        let own = self.own;
        let more = format!(
            "Record-Route: <sip:{own};lr>\r\n\
             Contact: <sip:+4917012345678@{own}>\r\n\
             Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE\r\n\
             Supported: 100rel, timer, replaces\r\n\
             User-Agent: Trunk-SBC/7.4.1\r\n\
             P-Asserted-Identity: <sip:+4917012345678@trunk.example.net;user=phone>\r\n\
             {more}Content-Type: application/sdp\r\n"
        );
        self.request("INVITE", 1, "invite", &more, &description(self.media, &self.crypto))
    }

    /// Takes Parkway's tag and Contact from a response.
    pub fn hear(&mut self, response: &str) {
        if let Some(to) = header(response, "To") {
            self.to = to.into();
        }
        if let Some(contact) = header(response, "Contact") {
            self.target = contact.trim_matches(['<', '>']).into();
        }
        let own = self.own.to_string();
        let mut proxies: Vec<&str> = headers(response, "Record-Route").filter(|proxy| !proxy.contains(&own)).collect();
        proxies.reverse();
        self.routes = proxies.iter().map(|proxy| format!("Route: {proxy}\r\n")).collect();
    }

    /// The ACK of a 2xx: a request of its own (RFC 3261 §13.2.2.4).
    pub fn acknowledge(&self) -> String {
        self.request("ACK", 1, "ack", "", "")
    }

    /// The ACK of any other final response: part of the INVITE's transaction (RFC 3261 §17.1.1.3).
    pub fn acknowledge_refusal(&self) -> String {
        self.request("ACK", 1, "invite", "", "")
    }

    /// The CANCEL of the INVITE (RFC 3261 §9.1).
    pub fn cancel(&self) -> String {
        self.request("CANCEL", 1, "invite", "", "")
    }

    /// The BYE.
    pub fn bye(&self) -> String {
        self.request("BYE", 2, "bye", "", "")
    }

    fn request(&self, method: &str, cseq: u32, branch: &str, more: &str, body: &str) -> String {
        let Leg { number, own, target, to, routes, .. } = self;
        format!(
            "{method} {target} SIP/2.0\r\n\
             Via: SIP/2.0/UDP {own};rport;branch=z9hG4bK-524287-1---{number:016x}-{branch}\r\n\
             Max-Forwards: 70\r\n\
             From: \"Anna Beispiel\" <sip:+4917012345678@trunk.example.net>;tag=8f2c{number:08x}\r\n\
             To: {to}\r\n\
             Call-ID: {number:016x}-7d0a-4c55-9a3e-2b1f6d7c8e90@{ip}\r\n\
             CSeq: {cseq} {method}\r\n\
             {routes}{more}Content-Length: {length}\r\n\r\n{body}",
            ip = own.ip(),
            length = body.len(),
        )
    }
}

/// The number of the leg that a response is for.
pub fn number(response: &str) -> Option<u64> {
    let (number, _) = header(response, "Call-ID")?.split_once('-')?;
    u64::from_str_radix(number, 16).ok()
}

/// The status of a response to that method; `None` for a request, and for a response to another one.
pub fn status(message: &str, method: &str) -> Option<u16> {
    is_about(message, method).then(|| any_status(message)).flatten()
}

/// The status of any response; `None` for a request.
pub fn any_status(message: &str) -> Option<u16> {
    message.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()
}

/// Whether a message belongs to a request of that method.
pub fn is_about(message: &str, method: &str) -> bool {
    header(message, "CSeq").is_some_and(|sequence| sequence.ends_with(method))
}

/// 200 to a request (RFC 3261 §8.2.6).
pub fn ok(request: &str) -> String {
    respond(request, "200 OK", "", "")
}

/// A response with our tag in `To`, which makes a dialog of it, to a request that came by way of a proxy.
pub fn respond_with_tag(request: &str, status: &str, own: SocketAddr, body: Body) -> String {
    let more: String = headers(request, "Record-Route").map(|proxy| format!("Record-Route: {proxy}\r\n")).collect();
    let more = format!("{more}Contact: <sip:client@{own}>\r\n");
    match body {
        Body::None => respond(request, status, &more, ""),
        Body::Answer => {
            respond(request, status, &(more + "Content-Type: application/sdp\r\n"), &description(NO_MEDIA, ""))
        }
    }
}

/// What a response has in it.
pub enum Body {
    /// Nothing.
    None,
    /// A session description.
    Answer,
}

/// With all that RFC 3261 §8.2.6.2 copies; a `To` without a tag gets one.
fn respond(request: &str, status: &str, more: &str, body: &str) -> String {
    let mut response = format!("SIP/2.0 {status}\r\n");
    for via in headers(request, "Via") {
        response.extend(["Via: ", via, "\r\n"]);
    }
    for name in ["From", "To", "Call-ID", "CSeq"] {
        let value = header(request, name).unwrap_or_default();
        let tag = if name == "To" && !value.contains(";tag=") { ";tag=c1" } else { "" };
        response.extend([name, ": ", value, tag, "\r\n"]);
    }
    response + more + &format!("Content-Length: {}\r\n\r\n{body}", body.len())
}

/// The first field of that name.
fn header<'m>(message: &'m str, name: &str) -> Option<&'m str> {
    headers(message, name).next()
}

/// All fields of that name, as Parkway and Kamailio write them.
fn headers<'m>(message: &'m str, name: &str) -> impl Iterator<Item = &'m str> {
    let value = move |line: &'m str| line.strip_prefix(name)?.strip_prefix(": ");
    message.split("\r\n").take_while(|line| !line.is_empty()).filter_map(value)
}
