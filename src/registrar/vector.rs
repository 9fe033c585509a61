//! The proxies between a client and us, as its REGISTER names them (RFC 3327): what is sent to the client goes by them, in their order.
//! Not here: the Route header itself (`sip::endpoint`), and whether whoever registers may do so (`switch`).
//!
//! Whoever registers has proved who he is, and a Path leads no further than his own Contact does: it is said in what goes back the way
//! that the REGISTER came, and never where we send to. So it is kept although a client does not say that it knows of it: few telephones do,
//! and §5.3 leaves that to the registrar.

use crate::limits;
use crate::sip::dialog::route;
use crate::sip::wire::{Header, Message, NameAddr, Scheme};
use std::net::SocketAddr;

/// The path vector of a contact; empty for one that registered by itself.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Vector {
    /// The value of Path as it came, and of Route in requests to the contact (§5.4); empty for none.
    pub route: String,
    /// Where the proxy next to us listens, if that can be told from its URI, and it is where the REGISTER came from.
    pub listens: Option<SocketAddr>,
    /// Whether the proxy next to the client keeps its flow (RFC 5626 §5.1: `ob`).
    pub keeps_flow: bool,
}

impl Vector {
    /// Reads it from a REGISTER that came from `source`. `None`: it cannot be read, leads by a strict router, which no Path may (§5.2: `lr`),
    /// or is longer than one that is kept.
    pub fn read(request: &Message<'_>, source: SocketAddr) -> Option<Vector> {
        let values: Vec<&[u8]> = request.values(Header::Path).take(limits::PATHS_MAX + 1).collect();
        let length: usize = values.iter().map(|value| value.len() + ", ".len()).sum();
        if values.len() > limits::PATHS_MAX || length > limits::PATH_BYTES_MAX {
            return None;
        }
        let hops: Vec<NameAddr<'_>> = values.iter().map(|value| hop(value)).collect::<Option<_>>()?;
        let listens = hops.first().and_then(|first| route::listens(&first.uri, source));
        let keeps_flow = hops.last().is_some_and(|last| last.uri.param("ob").is_some());
        let route = String::from_utf8(values.join(&b", "[..])).ok()?;
        Some(Vector { route, listens, keeps_flow })
    }

    /// Whether there is no proxy in between.
    pub fn is_empty(&self) -> bool {
        self.route.is_empty()
    }
}

fn hop(value: &[u8]) -> Option<NameAddr<'_>> {
    // RFC 3327 §4: name-addr, which a comma and a semicolon can be told apart in.
    let is_bracketed = value.contains(&b'<') && !value.contains(&b'\r');
    let hop = NameAddr::parse(value).ok().filter(|_| is_bracketed)?;
    let is_sip = matches!(hop.uri.scheme, Scheme::Sip | Scheme::Sips);
    (is_sip && hop.uri.param("lr").is_some()).then_some(hop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &str) -> Option<Vector> {
        let register = format!(
            "REGISTER sip:x SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.8;branch=z9hG4bKx\r\nMax-Forwards: 70\r\n{lines}From: <sip:a@x>;tag=1\r\n\
             To: <sip:a@x>\r\nCall-ID: 1\r\nCSeq: 1 REGISTER\r\nContent-Length: 0\r\n\r\n"
        );
        Vector::read(&Message::parse(register.as_bytes()).unwrap(), "192.0.2.8:40001".parse().unwrap())
    }

    #[test]
    fn the_proxies_are_kept_in_the_order_in_which_requests_go_by_them() {
        for (lines, route, listens, keeps_flow) in [
            ("", "", None, false),
            ("Path: <sip:192.0.2.8;lr>\r\n", "<sip:192.0.2.8;lr>", Some("192.0.2.8:5060"), false),
            (
                "Path: <sip:p2@192.0.2.8:5070;transport=tcp;lr>, \"an edge\" <sip:p1.example;lr;ob>\r\n",
                "<sip:p2@192.0.2.8:5070;transport=tcp;lr>, \"an edge\" <sip:p1.example;lr;ob>",
                Some("192.0.2.8:5070"),
                true,
            ),
            (
                "Path: <sip:p2.example;lr;ob>\r\npath: <sips:p1;lr>;x=1\r\n",
                "<sip:p2.example;lr;ob>, <sips:p1;lr>;x=1",
                None,
                false,
            ),
            // Where somebody else listens is nobody's business but his.
            ("Path: <sip:192.0.2.9;lr>\r\n", "<sip:192.0.2.9;lr>", None, false),
        ] {
            let listens = listens.map(|address| address.parse().unwrap());
            assert_eq!(read(lines), Some(Vector { route: route.into(), listens, keeps_flow }), "{lines}");
        }
    }

    #[test]
    fn what_is_no_path_or_too_much_of_one_is_none() {
        let many = "Path: <sip:p.example;lr>\r\n";
        assert!(read(&many.repeat(limits::PATHS_MAX)).is_some());
        let long = |bytes: usize| format!("Path: <sip:{}@p.example;lr>\r\n", "u".repeat(bytes));
        assert!(read(&long(limits::PATH_BYTES_MAX - 40)).is_some());
        for lines in [
            "Path: <sip:p.example>\r\n",
            "Path: sip:p.example;lr\r\n",
            "Path: <tel:+4930;lr>\r\n",
            "Path: <sip:p.example;lr\r\n",
            "Path: <sip:p.example;lr>, *\r\n",
            "Path: <sip:p.example;lr>;x=\"\r\n \"\r\n",
            &many.repeat(limits::PATHS_MAX + 1),
            &long(limits::PATH_BYTES_MAX),
        ] {
            assert_eq!(read(lines), None, "{lines}");
        }
    }
}
