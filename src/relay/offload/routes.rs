//! Which way the kernel would send a packet of ours, asked when a rule is written, and whether that may have changed since.
//! A question of a few bytes to netlink(7), and an answer of which two numbers are read.
//! Not here: who the next hop is: the program leaves that to the kernel for each packet.

use rustix::io::Errno;
use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::{AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;

/// `RTM_GETLINK`, `RTM_GETROUTE`, and what answers them.
const GET_LINK: u16 = 18;
const NEW_LINK: u16 = 16;
const GET_ROUTE: u16 = 26;
const NEW_ROUTE: u16 = 24;
/// `XFRM_MSG_GETSPDINFO`, and what answers it.
const GET_POLICY_COUNTS: u16 = 0x25;
const POLICY_COUNTS: u16 = 0x24;
/// `NLM_F_REQUEST`.
const REQUEST: u16 = 1;
/// `RTA_DST`, `RTA_SRC`, `RTA_OIF`, `RTA_GATEWAY`, `RTA_VIA`: attributes of a route.
const DESTINATION: u16 = 1;
const SOURCE: u16 = 2;
const INTERFACE: u16 = 4;
const GATEWAY: u16 = 5;
const VIA: u16 = 18;
/// `RTN_UNICAST`, `RTN_LOCAL`.
const UNICAST: u8 = 1;
const LOCAL: u8 = 2;
/// `AF_INET`, `AF_INET6`.
const INET: u8 = 2;
const INET6: u8 = 10;
/// `ARPHRD_ETHER`, `ARPHRD_LOOPBACK`: packets of theirs begin with an Ethernet header.
const ETHERNET_LIKE: [u16; 2] = [1, 772];
/// `RTMGRP_LINK`, `_IPV4_IFADDR`, `_IPV4_ROUTE`, `_IPV4_RULE`, and the same three of IPv6: whatever may lead a packet elsewhere, but for
/// neighbours.
const GROUPS: u32 = 0x1 | 0x10 | 0x40 | 0x80 | 0x100 | 0x400 | 0x4_0000;
/// Lengths of the message's head and of a route's, bytes.
const HEAD: usize = 16;
const ROUTE: usize = 12;

/// How a packet gets to where it goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::relay) enum Way {
    /// To a socket of this machine.
    Here,
    /// Through this interface, to whoever it is for or to a router there.
    Through { interface: u32, gateway: Option<IpAddr> },
}

/// The kernel's routes, as one worker asks for them.
pub(in crate::relay) struct Routes {
    routes: Questions,
    /// `None` where the kernel knows of no IPsec.
    policies: Option<Questions>,
    news: OwnedFd,
}

impl Routes {
    pub(in crate::relay) fn open() -> io::Result<Routes> {
        // The protocol of routes is 0, `NETLINK_ROUTE`.
        let policies = Questions::open(Some(netlink::XFRM)).ok();
        Ok(Routes { routes: Questions::open(None)?, policies, news: socket(None, GROUPS)? })
    }

    /// The way of what comes from a peer to one of our addresses and leaves from another one to where it goes; each pair is ours, then theirs.
    pub(in crate::relay) fn between(
        &mut self,
        from: (SocketAddr, SocketAddr),
        to: (SocketAddr, SocketAddr),
    ) -> Option<Way> {
        let mut way = |(ours, theirs): (SocketAddr, SocketAddr)| self.way(plain(ours)?, plain(theirs)?);
        let is_ipv4 = |(ours, _): (SocketAddr, SocketAddr)| ours.ip().to_canonical().is_ipv4();
        let is_one_version = is_ipv4(from) == is_ipv4(to);
        let (from, to) = (way(from)?, way(to)?);
        match (from, to) {
            // A packet for a socket of this machine brings its route along, which is one of its version.
            (Way::Here, Way::Here) => is_one_version.then_some(Way::Here),
            (Way::Through { .. }, Way::Through { interface, .. }) => self.is_ethernet(interface).then_some(to),
            // What has been on a wire is not taken in at loopback.
            (Way::Here, Way::Through { .. }) | (Way::Through { .. }, Way::Here) => None,
        }
    }

    /// Whether something has changed since it was last asked.
    pub(in crate::relay) fn have_changed(&mut self) -> bool {
        let mut changed = false;
        loop {
            match rustix::net::recv(&self.news, &mut [0; 64], RecvFlags::DONTWAIT) {
                Err(Errno::AGAIN) => return changed,
                // More than there was room for.
                Ok(_) | Err(Errno::NOBUFS | Errno::INTR) => changed = true,
                Err(_) => return true,
            }
        }
    }

    /// Whether packets leave this host as they are: the program knows nothing of IPsec, which would let them out in the clear.
    pub(in crate::relay) fn are_plain(&mut self) -> bool {
        let Some(policies) = &mut self.policies else { return true };
        policies.ask(GET_POLICY_COUNTS, &[0; 4], has_no_policies).unwrap_or(false)
    }

    /// Whether an interface's packets begin with an Ethernet header: the program reads and writes no others.
    pub(super) fn is_ethernet(&mut self, interface: u32) -> bool {
        // `ifinfomsg`: the interface's number, and nothing else.
        let [i0, i1, i2, i3] = interface.to_ne_bytes();
        let body = [0, 0, 0, 0, i0, i1, i2, i3, 0, 0, 0, 0, 0, 0, 0, 0];
        let read = |answer: &[u8]| u16_at(answer, HEAD + 2).filter(|_| u16_at(answer, 4) == Some(NEW_LINK));
        self.routes.ask(GET_LINK, &body, read).flatten().is_some_and(|kind| ETHERNET_LIKE.contains(&kind))
    }

    /// The way from one of our addresses to another address.
    fn way(&mut self, from: IpAddr, to: IpAddr) -> Option<Way> {
        if from.is_ipv4() != to.is_ipv4() {
            return None;
        }
        // `rtmsg`: of the family, both addresses whole; the rest is for the kernel to choose.
        let (family, bits) = if to.is_ipv4() { (INET, 32) } else { (INET6, 128) };
        let route = [family, bits, bits, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let body = [&route[..], &address_attribute(DESTINATION, to), &address_attribute(SOURCE, from)].concat();
        self.routes.ask(GET_ROUTE, &body, way).flatten()
    }
}

/// A socket to the kernel that asks one thing at a time.
struct Questions {
    socket: OwnedFd,
    number: u32,
}

impl Questions {
    fn open(protocol: Option<Protocol>) -> io::Result<Questions> {
        Ok(Questions { socket: socket(protocol, 0)?, number: 0 })
    }

    fn ask<T>(&mut self, kind: u16, body: &[u8], read: impl Fn(&[u8]) -> T) -> Option<T> {
        self.number = self.number.wrapping_add(1);
        let length = u32::try_from(HEAD + body.len()).ok()?.to_ne_bytes();
        let [kind, flags, number] =
            [kind.to_ne_bytes().to_vec(), REQUEST.to_ne_bytes().to_vec(), self.number.to_ne_bytes().to_vec()];
        let message = [&length[..], &kind, &flags, &number, &[0; 4], body].concat();
        rustix::net::send(&self.socket, &message, SendFlags::DONTWAIT).ok()?;
        let mut answer = [0; 1_024];
        // The kernel has answered by now. What it said to an earlier question that was given up is passed over.
        loop {
            let (length, _) = rustix::net::recv(&self.socket, &mut answer, RecvFlags::DONTWAIT).ok()?;
            let answer = answer.get(..length)?;
            if number_at(answer, 8) == Some(self.number) {
                return Some(read(answer));
            }
        }
    }
}

fn socket(protocol: Option<Protocol>, groups: u32) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, protocol)?;
    rustix::net::bind(&socket, &SocketAddrNetlink::new(0, groups))?;
    Ok(socket)
}

/// Whether an answer says that there are no IPsec policies: `xfrmu_spdinfo` counts those for what comes in, goes out and passes through.
fn has_no_policies(answer: &[u8]) -> bool {
    let counts = [0, 4, 8].map(|at| number_at(answer, HEAD + 4 + 4 + at));
    u16_at(answer, 4) == Some(POLICY_COUNTS) && counts == [Some(0); 3]
}

/// What an answer says; `None` if it is no route, or one that leads nowhere.
fn way(answer: &[u8]) -> Option<Way> {
    let kind = *answer.get(HEAD + 7)?;
    match (u16_at(answer, 4)?, kind) {
        (NEW_ROUTE, LOCAL) => Some(Way::Here),
        (NEW_ROUTE, UNICAST) => {
            let attributes = answer.get(HEAD + ROUTE..)?;
            let gateway = match attribute(attributes, GATEWAY) {
                Some(octets) => Some(address(octets)?),
                None => None,
            };
            // A router of the other version of IP is for the sockets.
            let interface = attribute(attributes, INTERFACE).filter(|_| attribute(attributes, VIA).is_none())?;
            Some(Way::Through { interface: number_at(interface, 0)?, gateway })
        }
        (_, _) => None,
    }
}

/// An address that a rule may have: what is of one link alone means nothing without it, and is for the sockets.
fn plain(at: SocketAddr) -> Option<IpAddr> {
    match at.ip().to_canonical() {
        IpAddr::V6(address) if address.is_unicast_link_local() => None,
        IpAddr::V4(address) => Some(address.into()),
        IpAddr::V6(address) => Some(address.into()),
    }
}

fn address(octets: &[u8]) -> Option<IpAddr> {
    match octets.len() {
        4 => octets.first_chunk().map(|octets: &[u8; 4]| Ipv4Addr::from(*octets).into()),
        16 => octets.first_chunk().map(|octets: &[u8; 16]| Ipv6Addr::from(*octets).into()),
        _ => None,
    }
}

fn address_attribute(kind: u16, address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => [&8u16.to_ne_bytes()[..], &kind.to_ne_bytes(), &address.octets()].concat(),
        IpAddr::V6(address) => [&20u16.to_ne_bytes()[..], &kind.to_ne_bytes(), &address.octets()].concat(),
    }
}

/// What an attribute has in it. Each begins at a multiple of four.
fn attribute(mut rest: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let (length, kind) = (usize::from(u16_at(rest, 0)?), u16_at(rest, 2)?);
        if kind == wanted {
            return rest.get(4..length);
        }
        rest = rest.get(length.max(4).next_multiple_of(4)..)?;
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|number| u16::from_ne_bytes(*number))
}

fn number_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|number| u32::from_ne_bytes(*number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_here_and_nothing_is_reached_from_it() {
        let mut routes = Routes::open().unwrap();
        let at = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(routes.way(at("127.0.0.1"), at("127.9.8.7")), Some(Way::Here));
        assert_eq!(routes.way(at("192.0.2.1"), at("127.0.0.1")), None, "not an address of ours");
        assert_eq!(routes.way(at("::1"), at("127.0.0.1")), None, "of two versions");
        let pair = |address: &str| (SocketAddr::new(at(address), 1), SocketAddr::new(at(address), 2));
        for (from, to, expect) in [
            ("127.0.0.1", "127.0.0.2", Some(Way::Here)),
            ("::1", "::1", Some(Way::Here)),
            ("::ffff:127.0.0.1", "127.0.0.2", Some(Way::Here)),
            ("127.0.0.1", "::1", None),
            ("::1", "127.0.0.1", None),
        ] {
            assert_eq!(routes.between(pair(from), pair(to)), expect, "{from} to {to}");
        }
    }

    #[test]
    fn what_is_of_one_link_alone_is_for_the_sockets() {
        let at = |text: &str| plain(text.parse().unwrap());
        assert_eq!(at("[fe80::1]:4000"), None);
        assert_eq!(at("[2001:db8::1]:4000"), Some("2001:db8::1".parse().unwrap()));
        assert_eq!(at("[::ffff:192.0.2.1]:4000"), Some("192.0.2.1".parse().unwrap()));
    }

    #[test]
    fn an_answer_is_read_or_refused() {
        let route = |message: u16, kind: u8, attributes: &[u8]| {
            let mut answer = vec![0; HEAD + ROUTE];
            answer[4..6].copy_from_slice(&message.to_ne_bytes());
            answer[HEAD + 7] = kind;
            [&answer, attributes].concat()
        };
        let attribute = |kind: u16, value: &[u8]| {
            let length = u16::try_from(4 + value.len()).unwrap();
            let mut bytes = [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), value].concat();
            bytes.resize(bytes.len().next_multiple_of(4), 0);
            bytes
        };
        let through = [attribute(DESTINATION, &[1, 2, 3]), attribute(INTERFACE, &7u32.to_ne_bytes())].concat();
        let by = |gateway: &str| address_attribute(GATEWAY, gateway.parse().unwrap());
        let way_by = |gateway: Option<&str>| {
            Some(Way::Through { interface: 7, gateway: gateway.map(|gateway| gateway.parse().unwrap()) })
        };
        let with = |more: &[u8]| route(NEW_ROUTE, UNICAST, &[&through, more].concat());
        for (rule, answer, expect) in [
            ("through_an_interface", with(&[]), way_by(None)),
            ("by_a_router", with(&by("192.0.2.1")), way_by(Some("192.0.2.1"))),
            ("by_a_router_of_one_link", with(&by("fe80::1")), way_by(Some("fe80::1"))),
            ("by_a_router_of_another_version", with(&attribute(VIA, &[10, 0, 1])), None),
            ("by_a_router_without_an_address", with(&attribute(GATEWAY, &[1, 2, 3])), None),
            ("here", route(NEW_ROUTE, LOCAL, &through), Some(Way::Here)),
            ("without_an_interface", route(NEW_ROUTE, UNICAST, &attribute(DESTINATION, &[1])), None),
            ("cut_short", with(&[])[..HEAD + ROUTE + 12].to_vec(), None),
            ("unreachable", route(NEW_ROUTE, 7, &through), None),
            ("an_error", route(2, UNICAST, &through), None),
            ("an_attribute_of_no_length", route(NEW_ROUTE, UNICAST, &[0, 0, 9, 0]), None),
            ("nothing", vec![], None),
        ] {
            assert_eq!(way(&answer), expect, "{rule}");
        }
    }
}
