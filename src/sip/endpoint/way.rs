//! Which way a message goes: over the connection that is there, over a new one, or as a datagram (RFC 3261 §18.1.1, §18.2.2); and
//! what becomes of requests whose connection is gone.
//! Not here: opening connections (`net`), and what the addresses in a dialog are (`dialog::route`).

use super::{ClientId, Endpoint};
use crate::limits;
use crate::sip::dialog::route::{self, Named, Routed};
use crate::sip::wire::write::{self, Answerable};
use crate::sip::{Path, Transport};
use crate::time::Now;
use std::net::SocketAddr;

/// How a message is sent: over which path, and where else if the path is a connection that is gone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Way {
    pub(super) path: Path,
    pub(super) reopen: Option<SocketAddr>,
}

/// How a request is sent, and by which datagrams if that cannot be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Ways {
    pub(super) first: Way,
    pub(super) otherwise: Option<Path>,
}

impl From<Path> for Way {
    fn from(path: Path) -> Way {
        Way { path, reopen: None }
    }
}

impl Ways {
    /// Of a request in a dialog whose peer came over `path`. A connection that is there is used: it passes every NAT, and the peer
    /// listens on it. `has_tcp`: whether TCP may stand in for UDP where the peer lets us choose; the next request chooses anew.
    pub(super) fn of(path: Path, routed: &Routed<'_>, bytes: usize, has_tcp: bool) -> Ways {
        let datagrams = |peer| Path { transport: Transport::Udp, peer, ..path };
        let address = routed.named.map(|named| named.address);
        match (path.transport, routed.named) {
            (Transport::Udp, Some(Named { address, transport })) if has_tcp && wants_tcp(transport, bytes) => {
                let path = Path { transport: Transport::Tcp, peer: address, ..path };
                Ways { first: Way { path, reopen: Some(address) }, otherwise: Some(datagrams(routed.peer)) }
            }
            (Transport::Udp, _) => Ways { first: datagrams(routed.peer).into(), otherwise: None },
            (Transport::Tcp, named) => {
                let by_udp = named.filter(|named| matches!(named.transport, None | Some(Transport::Udp)));
                let otherwise = by_udp.map(|named| datagrams(named.address));
                Ways { first: Way { path, reopen: address }, otherwise }
            }
            (Transport::Tls, _) => Ways { first: Way { path, reopen: address }, otherwise: None },
            (Transport::Ws, _) => Ways { first: path.into(), otherwise: None },
        }
    }
}

/// RFC 3261 §18.1.1: what could be too large for a datagram's way goes by TCP; and what the URI wants goes so anyway.
fn wants_tcp(asked: Option<Transport>, bytes: usize) -> bool {
    match asked {
        Some(transport) => transport == Transport::Tcp,
        None => bytes > limits::SIP_DATAGRAM_BYTES_MAX,
    }
}

/// Where the answer to a request with this top Via goes (RFC 3261 §18.2.2, RFC 3581 §4): to the source address, and to the source
/// port if `rport` asks for it, else to the port of sent-by. `maddr` is not followed: it would aim our answers at others.
pub(super) fn reply_way<'m, 'a: 'm>(request: impl Into<Answerable<'m, 'a>>, path: Path) -> Way {
    back(path, back_port(request, path))
}

/// The port of the source to which an answer goes that finds no connection any more.
pub(super) fn back_port<'m, 'a: 'm>(request: impl Into<Answerable<'m, 'a>>, path: Path) -> u16 {
    match request.into().via() {
        Some(via) if path.transport.is_reliable() || via.rport().is_none() => {
            via.port.unwrap_or(route::port(path.transport))
        }
        Some(_) | None => path.peer.port(),
    }
}

/// The way of an answer to what came over `path`: over a connection it goes back on that.
pub(super) fn back(path: Path, port: u16) -> Way {
    let peer = SocketAddr::new(path.peer.ip(), port);
    match path.transport {
        Transport::Udp => Path { peer, ..path }.into(),
        Transport::Tcp | Transport::Tls => Way { path, reopen: Some(peer) },
        Transport::Ws => path.into(),
    }
}

impl Endpoint {
    /// A connection is gone, or could not be opened. Requests of ours that were to be answered over it go as datagrams if they may
    /// (RFC 3261 §18.1.1), else they have failed (§8.1.3.1: as though by a 503); then drain [`Endpoint::poll_event`].
    pub fn handle_disconnected(&mut self, now: Now, path: Path) {
        let first = (path, ClientId(0));
        let lost = self.on_connections.range(first..).take_while(|(over, _)| *over == path).map(|(_, id)| *id);
        let lost: Vec<ClientId> = lost.collect();
        for id in lost {
            self.on_connections.remove(&(path, id));
            self.client_disconnected(now, id);
        }
    }

    fn client_disconnected(&mut self, now: Now, id: ClientId) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        if !client.is_pending() {
            return;
        }
        match client.otherwise.take() {
            Some(datagrams) => {
                client.request = write::over(&client.request, datagrams.transport);
                client.way = datagrams.into();
                self.start_client(now, id);
            }
            None => {
                let todo = client.handle_transport_error();
                self.settle_failed(id, todo);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::bench::{Ask, Bench, answer, header};
    use super::super::{DialogId, Event};
    use super::*;
    use crate::sip::wire::Method;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    /// The way as `transport:peer`, with `|reopen` and `/otherwise` where there are such.
    fn ways(transport: Transport, named: Option<(&str, Option<Transport>)>, bytes: usize, has_tcp: bool) -> String {
        let path = Path { transport, local: address("192.0.2.9:5060"), peer: address("192.0.2.1:7000") };
        let named = named.map(|(text, transport)| Named { address: address(text), transport });
        let routed =
            Routed { uri: b"", route: Vec::new(), peer: named.map_or(path.peer, |named| named.address), named };
        let Ways { first, otherwise } = Ways::of(path, &routed, bytes, has_tcp);
        let reopen = first.reopen.map(|peer| format!("|{}", peer.port())).unwrap_or_default();
        let otherwise = otherwise.map(|path| format!("/{}:{}", path.transport.as_str(), path.peer.port()));
        format!("{}:{}{reopen}{}", first.path.transport.as_str(), first.path.peer.port(), otherwise.unwrap_or_default())
    }

    #[test]
    fn a_request_takes_the_way_that_is_there_and_a_large_one_tcp() {
        let large = limits::SIP_DATAGRAM_BYTES_MAX + 1;
        let (open, udp, tcp) = (None, Some(Transport::Udp), Some(Transport::Tcp));
        let contact = |transport| Some(("192.0.2.1:5070", transport));
        for (over, named, bytes, has_tcp, expected) in [
            (Transport::Udp, None, 500, true, "udp:7000"),
            (Transport::Udp, None, large, true, "udp:7000"),
            (Transport::Udp, contact(open), 500, true, "udp:5070"),
            (Transport::Udp, contact(open), large - 1, true, "udp:5070"),
            (Transport::Udp, contact(open), large, true, "tcp:5070|5070/udp:5070"),
            (Transport::Udp, contact(open), large, false, "udp:5070"),
            (Transport::Udp, contact(udp), large, true, "udp:5070"),
            (Transport::Udp, contact(tcp), 500, true, "tcp:5070|5070/udp:5070"),
            (Transport::Tcp, None, 500, true, "tcp:7000"),
            (Transport::Tcp, contact(tcp), 500, true, "tcp:7000|5070"),
            (Transport::Tcp, contact(open), 500, true, "tcp:7000|5070/udp:5070"),
            (Transport::Tls, contact(open), 500, true, "tls:7000|5070"),
            (Transport::Ws, contact(open), large, true, "ws:7000"),
        ] {
            assert_eq!(ways(over, named, bytes, has_tcp), expected, "{over:?} {named:?} {bytes} {has_tcp}");
        }
    }

    /// A bench whose peer came by this transport and named no proxy.
    fn bench(transport: Transport) -> (Bench, DialogId) {
        let mut bench = Bench::new();
        bench.path.transport = transport;
        let contact = "Contact: <sip:gw@192.0.2.1:5070>\r\n".to_owned();
        let dialog = bench.confirmed(&Ask { extra: contact, ..Ask::invite() });
        bench.sent();
        (bench, dialog)
    }

    #[test]
    fn over_a_connection_nothing_is_repeated_and_its_end_fails_what_waits() {
        let (mut bench, dialog) = bench(Transport::Ws);
        let connection = bench.path;
        bench.endpoint.request(bench.now, dialog, Method::Bye, &[], None).unwrap();
        let sent = bench.endpoint.poll_transmit().unwrap();
        assert_eq!((sent.path, sent.reopen), (connection, None));
        assert!(header(std::str::from_utf8(&sent.bytes).unwrap(), "Via").starts_with("SIP/2.0/WS sip.example:5060;"));
        bench.pass(4000);
        assert_eq!(bench.said(), [""; 0]);
        bench.endpoint.handle_disconnected(bench.now, Path { peer: address("192.0.2.1:1"), ..connection });
        assert!(bench.endpoint.poll_event().is_none(), "that was another connection");
        bench.endpoint.handle_disconnected(bench.now, connection);
        assert!(matches!(bench.endpoint.poll_event(), Some(Event::Failed { method: Method::Bye, .. })));
        bench.endpoint.close(bench.now, dialog);
        bench.endpoint.handle_disconnected(bench.now, connection);
        assert!(bench.run_out().is_empty());
        bench.assert_empty();
    }

    #[test]
    fn what_is_too_large_for_a_datagram_goes_by_tcp_and_as_a_datagram_all_the_same_if_nobody_listens() {
        let (mut bench, dialog) = bench(Transport::Udp);
        let body = "x".repeat(limits::SIP_DATAGRAM_BYTES_MAX);
        let large = Some(("application/sdp", body.as_bytes()));
        bench.endpoint.request(bench.now, dialog, Method::Invite, &[], large).unwrap();
        let by_tcp = bench.endpoint.poll_transmit().unwrap();
        let connection = Path { transport: Transport::Tcp, peer: address("192.0.2.1:5070"), ..bench.path };
        assert_eq!((by_tcp.path, by_tcp.reopen), (connection, Some(connection.peer)));
        let text = String::from_utf8(by_tcp.bytes.to_vec()).unwrap();
        assert!(header(&text, "Via").starts_with("SIP/2.0/TCP "));
        assert!(!header(&text, "Contact").contains("transport"), "it is no choice for later requests");
        bench.endpoint.handle_disconnected(bench.now, connection);
        let datagram = bench.endpoint.poll_transmit().unwrap();
        assert_eq!(datagram.path, bench.path, "the way back of whoever asks for rport");
        assert_eq!(datagram.bytes, text.replace("SIP/2.0/TCP ", "SIP/2.0/UDP "));
        bench.pass(500);
        assert_eq!(bench.said(), ["INVITE"], "Timer A");
        bench.hear(&answer(&text, 488, ""));
        bench.endpoint.request(bench.now, dialog, Method::Bye, &[], None).unwrap();
        assert_eq!(bench.endpoint.poll_transmit().unwrap().path.transport, Transport::Udp, "the ACK");
        assert_eq!(bench.endpoint.poll_transmit().unwrap().path.transport, Transport::Udp);
    }

    #[test]
    fn an_answer_goes_back_over_its_connection_or_to_where_the_peer_listens() {
        let (mut bench, _) = bench(Transport::Tcp);
        let via = "SIP/2.0/TCP 192.0.2.7:5090;rport;branch=z9hG4bKnew".to_owned();
        bench.hear(&Ask { method: "OPTIONS", via, to_tag: "1".into(), ..Ask::invite() }.text());
        let sent = bench.endpoint.poll_transmit().unwrap();
        assert_eq!((sent.path, sent.reopen), (bench.path, Some(address("192.0.2.1:5090"))));
    }
}
