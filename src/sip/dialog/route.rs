//! Where a request in a dialog goes (RFC 3261 §12.2.1.1): its Request-URI, its Route header, and the address it is sent to.
//! Not here: DNS. A host name cannot be resolved yet; the path on which the peer's latest request came stands in for it.

use super::Role;
use crate::sip::Transport;
use crate::sip::wire::{Header, Message, NameAddr, Uri};
use std::net::{IpAddr, SocketAddr};

/// The port of a SIP URI or Via without one (RFC 3261 §19.1.2).
pub fn port(transport: Transport) -> u16 {
    match transport {
        Transport::Udp | Transport::Tcp | Transport::Ws => 5060,
        Transport::Tls => 5061,
    }
}

/// The way of one request.
pub struct Routed<'a> {
    /// The Request-URI.
    pub uri: &'a [u8],
    /// The value of Route; empty for none.
    pub route: Vec<u8>,
    /// Where it is sent.
    pub peer: SocketAddr,
    /// What the peer itself, or its proxy, named as its address, if that can be sent to: it can be reached there by other ways than
    /// the one that it came by.
    pub named: Option<Named>,
}

/// An address in a URI, with the transport that the URI asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Named {
    /// The address.
    pub address: SocketAddr,
    /// `None`: the URI leaves it to us.
    pub transport: Option<Transport>,
}

/// The way of a request of ours in the dialog that `made_by` made: the peer's INVITE, or its 2xx to ours. `target` is the remote target, `source` where the peer's latest
/// request came from.
///
/// A peer without proxies in between may be behind a NAT, where its Contact is of no use: it says so itself by `rport` in Via
/// (RFC 3581), or it shows when the Contact's address is not the one that the request came from. Then, and for a host name, the
/// request goes back the way that the peer's came.
pub fn route<'a>(made_by: &Message<'a>, role: Role, target: &'a [u8], source: SocketAddr) -> Routed<'a> {
    // §12.1.1: for a UAS the route set is Record-Route in the order received; §12.1.2: for a UAC in the reverse order.
    let mut routes: Vec<&[u8]> = made_by.values(Header::RecordRoute).collect();
    if role == Role::Uac {
        routes.reverse();
    }
    let first = routes.first().and_then(|value| NameAddr::parse(value).ok());
    let Some(NameAddr { uri: first, .. }) = first else {
        let named = Uri::parse(target).ok().and_then(|uri| routable(&uri, source));
        // A Contact that points at a third party cannot make us send there.
        let named = named.filter(|named| named.address.ip() == source.ip().to_canonical());
        // Whom we have called is there where we called it.
        let is_direct = role == Role::Uas && made_by.via().rport().is_none();
        let peer =
            named.filter(|_| is_direct).map_or(source, |named| SocketAddr::new(source.ip(), named.address.port()));
        return Routed { uri: target, route: Vec::new(), peer, named };
    };
    let named = routable(&first, source);
    let peer = named.map_or(source, |named| named.address);
    if first.param("lr").is_some() {
        return Routed { uri: target, route: routes.join(&b", "[..]), peer, named };
    }
    // A strict router takes itself out of the Request-URI and finds the target at the end of Route.
    let mut route = routes.get(1..).unwrap_or_default().join(&b", "[..]);
    if !route.is_empty() {
        route.extend_from_slice(b", ");
    }
    route.push(b'<');
    route.extend_from_slice(target);
    route.push(b'>');
    Routed { uri: first.as_bytes(), route, peer, named }
}

/// Where a URI says that whoever was heard from `source` listens, if it names that host.
pub fn listens(uri: &Uri<'_>, source: SocketAddr) -> Option<SocketAddr> {
    let named = routable(uri, source).map(|named| named.address);
    named.filter(|address| address.ip() == source.ip().to_canonical())
}

/// The address in a URI, if it has one that a datagram can be sent to from the socket on which `source` was heard. Peers elsewhere
/// cannot point us at ourselves or at what is on our own link only, where clouds keep their metadata (RELIABILITY A18).
fn routable(uri: &Uri<'_>, source: SocketAddr) -> Option<Named> {
    let ip = uri.host?.ip()?;
    let same_family = ip.is_ipv4() == source.ip().to_canonical().is_ipv4();
    let one_host = match ip {
        IpAddr::V4(ip) => !ip.is_unspecified() && !ip.is_multicast() && !ip.is_broadcast(),
        IpAddr::V6(ip) => !ip.is_unspecified() && !ip.is_multicast(),
    };
    let is_near = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unicast_link_local() || ip.to_ipv4_mapped().is_some(),
    };
    let one_side = !is_near(ip) || is_near(source.ip().to_canonical());
    let transport = uri.param("transport").flatten().and_then(Transport::of);
    let default = port(transport.unwrap_or(Transport::Udp));
    let address = SocketAddr::new(ip, uri.port.unwrap_or(default));
    (same_family && one_host && one_side).then_some(Named { address, transport })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(via: &str, record_route: &str, target: &str) -> (String, String, String) {
        let invite = format!(
            "INVITE sip:foo@192.0.2.9 SIP/2.0\r\nVia: SIP/2.0/UDP {via};branch=z9hG4bKx\r\n{record_route}\
             Max-Forwards: 70\r\nFrom: <sip:a@a.example>;tag=1\r\nTo: <sip:foo@192.0.2.9>\r\nCall-ID: 1\r\n\
             CSeq: 1 INVITE\r\nContact: <sip:a@10.0.0.1>\r\nContent-Length: 0\r\n\r\n"
        );
        let invite = Message::parse(invite.as_bytes()).unwrap();
        let routed = route(&invite, Role::Uas, target.as_bytes(), "192.0.2.1:7000".parse().unwrap());
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        (text(routed.uri), text(&routed.route), routed.peer.to_string())
    }

    #[test]
    fn without_a_route_set_the_target_is_believed_only_when_it_is_the_source() {
        for (via, target, peer) in [
            ("192.0.2.1:5070", "sip:a@192.0.2.1:5070", "192.0.2.1:5070"),
            ("192.0.2.1:5070", "sip:a@192.0.2.1", "192.0.2.1:5060"),
            ("192.0.2.1:5070;rport", "sip:a@192.0.2.1:5070", "192.0.2.1:7000"),
            ("192.0.2.1:5070", "sip:a@10.0.0.1:5070", "192.0.2.1:7000"),
            ("192.0.2.1:5070", "sip:a@198.51.100.7", "192.0.2.1:7000"),
            ("192.0.2.1:5070", "sip:a@a.example", "192.0.2.1:7000"),
            ("192.0.2.1:5070", "tel:+4930", "192.0.2.1:7000"),
        ] {
            assert_eq!(check(via, "", target), (target.into(), String::new(), peer.into()), "{via} {target}");
        }
    }

    #[test]
    fn a_loose_route_set_is_kept_in_order_and_its_first_is_the_next_hop() {
        for (routes, first, peer) in [
            ("<sip:198.51.100.1;lr>", "<sip:198.51.100.1;lr>", "198.51.100.1:5060"),
            ("<sip:p@198.51.100.1:5080;lr;x=1>;y", "<sip:p@198.51.100.1:5080;lr;x=1>;y", "198.51.100.1:5080"),
            ("<sip:proxy.example;lr>", "<sip:proxy.example;lr>", "192.0.2.1:7000"),
            ("<sip:255.255.255.255;lr>", "<sip:255.255.255.255;lr>", "192.0.2.1:7000"),
            ("<sip:224.0.1.75;lr>", "<sip:224.0.1.75;lr>", "192.0.2.1:7000"),
            ("<sip:127.0.0.1:22;lr>", "<sip:127.0.0.1:22;lr>", "192.0.2.1:7000"),
            ("<sip:169.254.169.254:80;lr>", "<sip:169.254.169.254:80;lr>", "192.0.2.1:7000"),
            ("<sip:[2001:db8::1];lr>", "<sip:[2001:db8::1];lr>", "192.0.2.1:7000"),
        ] {
            let header = format!("Record-Route: {routes}\r\nRecord-Route: <sip:q.example;lr>\r\n");
            let expected = ("sip:a@10.0.0.1".into(), format!("{first}, <sip:q.example;lr>"), peer.into());
            assert_eq!(check("192.0.2.1;rport", &header, "sip:a@10.0.0.1"), expected);
        }
    }

    #[test]
    fn a_strict_router_is_the_request_uri_and_the_target_comes_last() {
        let header = "Record-Route: <sip:198.51.100.1>, <sip:q.example;lr>\r\n";
        let expected = ("sip:198.51.100.1".into(), "<sip:q.example;lr>, <sip:a@b>".into(), "198.51.100.1:5060".into());
        assert_eq!(check("192.0.2.1", header, "sip:a@b"), expected);
    }
}
