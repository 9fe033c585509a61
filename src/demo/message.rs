//! What a trunk or a phone reads off the wire: a SIP message as lines of text (RFC 3261 §7).
//! Deliberately not `sip::wire`: a witness that reads with the accused's own eyes would miss what both get wrong.
//! Not here: what to do about a message (`agent`). No folded lines, no quoted commas: Parkway writes neither.

/// A SIP message, its header names in their long form.
#[derive(Debug)]
pub(super) struct Message {
    /// What the first line says.
    pub(super) start: Start,
    headers: Vec<(String, String)>,
    /// The session description, or nothing.
    pub(super) body: String,
}

/// The first line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// `METHOD uri SIP/2.0`; only the method matters to an endpoint with one address.
    Request(String),
    /// `SIP/2.0 code phrase`.
    Response(u16, String),
}

impl Message {
    /// `None` for what is no SIP message: keep-alives, noise.
    pub(super) fn read(datagram: &[u8]) -> Option<Message> {
        let text = std::str::from_utf8(datagram).ok()?;
        let (head, body) = text.split_once("\r\n\r\n")?;
        let mut lines = head.split("\r\n");
        let start = read_start(lines.next()?)?;
        let headers = lines
            .map(|line| {
                let (name, value) = line.split_once(':')?;
                Some((long_name(name.trim()), value.trim().to_owned()))
            })
            .collect::<Option<Vec<_>>>()?;
        Some(Message { start, headers, body: body.to_owned() })
    }

    /// The first field of that (lower-case, long) name.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// All fields of that (lower-case, long) name, in order.
    pub(super) fn headers<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The sequence number and the method of `CSeq`.
    pub(super) fn cseq(&self) -> Option<(u32, &str)> {
        let (number, method) = self.header("cseq")?.split_once(' ')?;
        Some((number.trim().parse().ok()?, method.trim()))
    }

    /// The branch of the topmost Via, which says whose transaction this is (RFC 3261 §17.1.3).
    pub(super) fn branch(&self) -> Option<&str> {
        let top = self.header("via")?.split(',').next()?;
        top.split(';').find_map(|parameter| parameter.trim().strip_prefix("branch="))
    }

    /// The URI of `Contact`: where requests within the dialog go (RFC 3261 §12.1.2).
    pub(super) fn contact(&self) -> Option<&str> {
        self.header("contact").map(uri_of)
    }

    /// The values of `Record-Route`, last first: the route set of a UAC (RFC 3261 §12.1.2).
    pub(super) fn route_set(&self) -> Vec<String> {
        let mut routes: Vec<String> = self
            .headers("record-route")
            .flat_map(|line| line.split(','))
            .map(|value| uri_of(value.trim()).to_owned())
            .collect();
        routes.reverse();
        routes
    }
}

fn read_start(line: &str) -> Option<Start> {
    if let Some(status) = line.strip_prefix("SIP/2.0 ") {
        let (code, phrase) = status.split_once(' ').unwrap_or((status, ""));
        return Some(Start::Response(code.parse().ok()?, phrase.to_owned()));
    }
    let (method, rest) = line.split_once(' ')?;
    rest.ends_with(" SIP/2.0").then(|| Start::Request(method.to_owned()))
}

/// RFC 3261 §7.3.3: the compact forms an endpoint meets.
fn long_name(name: &str) -> String {
    match name {
        "v" => "via".to_owned(),
        "f" => "from".to_owned(),
        "t" => "to".to_owned(),
        "i" => "call-id".to_owned(),
        "m" => "contact".to_owned(),
        "c" => "content-type".to_owned(),
        "l" => "content-length".to_owned(),
        other => other.to_ascii_lowercase(),
    }
}

/// The URI of a name-addr or addr-spec (RFC 3261 §20): what stands between `<` and `>`, else what stands before the parameters.
pub(super) fn uri_of(value: &str) -> &str {
    match value.split_once('<') {
        Some((_, rest)) => rest.split('>').next().unwrap_or(rest),
        None => value.split(';').next().unwrap_or(value).trim(),
    }
}

/// The user part of a SIP or tel URI; the whole text where there is no URI around it.
pub(super) fn user_of(uri: &str) -> &str {
    let rest = uri.strip_prefix("sip:").or_else(|| uri.strip_prefix("tel:")).unwrap_or(uri);
    rest.split(['@', ';']).next().unwrap_or(rest)
}

/// `host:port` of a SIP URI, which in the demo is always an address (no DNS); 5060 where the port is silent (RFC 3261 §19.1.2).
pub(super) fn address_of(uri: &str) -> Option<std::net::SocketAddr> {
    let rest = uri.strip_prefix("sip:")?;
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    let host = host.split([';', '?']).next()?;
    host.parse().ok().or_else(|| Some(std::net::SocketAddr::new(host.parse().ok()?, 5060)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RINGING: &[u8] = b"SIP/2.0 180 Ringing\r\n\
        v: SIP/2.0/UDP 127.0.0.1:5070;rport=5070;branch=z9hG4bKabc\r\n\
        Record-Route: <sip:10.0.0.1;lr>, <sip:10.0.0.2:5062;lr>\r\n\
        t: <sip:x@127.0.0.1>;tag=9\r\n\
        Contact: <sip:lot@127.0.0.1:5066;transport=udp>\r\n\
        CSeq: 7 INVITE\r\n\r\n";

    #[test]
    fn a_response_is_read_with_compact_names_and_its_route_set_reversed() {
        let message = Message::read(RINGING).unwrap();
        assert_eq!(message.start, Start::Response(180, "Ringing".to_owned()));
        assert_eq!(message.branch(), Some("z9hG4bKabc"));
        assert_eq!(message.header("to"), Some("<sip:x@127.0.0.1>;tag=9"));
        assert_eq!(message.cseq(), Some((7, "INVITE")));
        assert_eq!(message.contact(), Some("sip:lot@127.0.0.1:5066;transport=udp"));
        assert_eq!(message.route_set(), ["sip:10.0.0.2:5062;lr", "sip:10.0.0.1;lr"]);
    }

    #[test]
    fn what_is_no_message_is_passed_over() {
        for noise in
            [&b"\r\n\r\n"[..], b"", b"\xff\xfe\r\n\r\n", b"INVITE sip:x HTTP/1.1\r\n\r\n", b"BYE x SIP/2.0\r\nx"]
        {
            assert!(Message::read(noise).is_none(), "{noise:?}");
        }
    }

    #[test]
    fn uris_give_their_user_and_their_address() {
        for (uri, user, address) in [
            ("sip:demo/web@127.0.0.1:5062", "demo/web", Some("127.0.0.1:5062")),
            ("sip:lot@127.0.0.1;transport=udp", "lot", Some("127.0.0.1:5060")),
            ("sip:[::1]:5070", "[::1]:5070", Some("[::1]:5070")),
            ("tel:+4930", "+4930", None),
            ("+4930", "+4930", None),
        ] {
            assert_eq!(user_of(uri), user, "{uri}");
            assert_eq!(address_of(uri), address.map(|text| text.parse().unwrap()), "{uri}");
        }
    }
}
