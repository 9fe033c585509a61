//! What the network says of packets that were sent: the error queue of a socket (`IP_RECVERR`), which also those have that are not connected.
//! Not here: whom an error is about (`media::forward` knows, and counts only what is about the leg). Errors are forged as easily as packets,
//! so they are counters, a few are read at a time, and a socket that has many is no longer asked.

use crate::media::forward::Complaint;
use crate::relay::delay::{Control, address};
use nix::sys::socket::sockopt::{Ipv4RecvErr, Ipv6RecvErr};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt};
use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

/// Has the kernel keep errors for us; without that it empties the queue.
pub(super) fn ask(socket: &UdpSocket, is_ipv6: bool, wanted: bool) -> io::Result<()> {
    let set = if is_ipv6 { setsockopt(socket, Ipv6RecvErr, &wanted) } else { setsockopt(socket, Ipv4RecvErr, &wanted) };
    Ok(set?)
}

/// The next error, and the address that the packet was sent to; the inner `None` is one that is not the network's word. Taking the last one
/// also takes it from the front of the next packet.
pub(super) fn next(socket: &UdpSocket) -> Option<Option<(Complaint, SocketAddr)>> {
    let (mut control, mut packet) = (Control([0; 256]), [0]);
    let mut parts = [IoSliceMut::new(&mut packet)];
    let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
    let message = recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut parts, Some(&mut control.0), flags).ok()?;
    let complaint = message.cmsgs().ok().and_then(|mut beside| beside.find_map(read));
    Some(complaint.zip(message.address.as_ref().and_then(address)))
}

fn read(beside: ControlMessageOwned) -> Option<Complaint> {
    let (ControlMessageOwned::Ipv4RecvErr(error, _) | ControlMessageOwned::Ipv6RecvErr(error, _)) = beside else {
        return None;
    };
    // RFC 792, RFC 4443: what the kernel itself says of a packet that it did not send is told where it is sent.
    if ![libc::SO_EE_ORIGIN_ICMP, libc::SO_EE_ORIGIN_ICMP6].contains(&error.ee_origin) {
        return None;
    }
    let refused = i32::try_from(error.ee_errno).is_ok_and(|number| number == libc::ECONNREFUSED);
    Some(if refused { Complaint::Refused } else { Complaint::Unreachable })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Duration;
    use std::time::Instant;

    /// A socket and an address of its host at which nobody listens.
    fn beside_a_closed_port(local: &str) -> Option<(UdpSocket, SocketAddr)> {
        let Ok(socket) = UdpSocket::bind(local) else {
            eprintln!("SKIPPED: no {local} here");
            return None;
        };
        socket.set_nonblocking(true).unwrap();
        let closed = UdpSocket::bind(local).unwrap().local_addr().unwrap();
        Some((socket, closed))
    }

    /// On loopback the answer is there when the send returns, or soon after.
    fn wait(socket: &UdpSocket) -> Option<Option<(Complaint, SocketAddr)>> {
        let begun = Instant::now();
        let mut tries =
            std::iter::repeat_with(|| next(socket)).take_while(|_| begun.elapsed() < Duration::from_secs(20));
        tries.find_map(std::convert::identity)
    }

    #[test]
    fn a_closed_port_is_told_of_with_its_address_and_eats_no_packet() {
        for local in ["127.0.0.1:0", "[::1]:0"] {
            let Some((socket, closed)) = beside_a_closed_port(local) else { continue };
            ask(&socket, closed.is_ipv6(), true).unwrap();
            assert_eq!(next(&socket), None);
            socket.send_to(b"x", closed).unwrap();
            assert_eq!(wait(&socket), Some(Some((Complaint::Refused, closed))));
            assert_eq!(next(&socket), None);
            socket.send_to(b"y", socket.local_addr().unwrap()).unwrap();
            assert_eq!(socket.recv(&mut [0]).unwrap(), 1, "nothing stands before it");
        }
    }

    #[test]
    fn a_socket_that_is_no_longer_asked_has_no_errors() {
        let (socket, closed) = beside_a_closed_port("127.0.0.1:0").unwrap();
        ask(&socket, false, true).unwrap();
        socket.send_to(b"x", closed).unwrap();
        ask(&socket, false, false).unwrap();
        assert!(socket.take_error().unwrap().is_some(), "what stood before the next packet still does, once");
        socket.send_to(b"x", closed).unwrap();
        assert_eq!(next(&socket), None);
    }

    /// The namespace's name tells the inner part that it is in it.
    const NAMESPACE: &str = "PARKWAY_ICMP_NAMESPACE";

    #[test]
    fn a_host_that_is_not_there_is_told_of() {
        let name = format!("parkway-icmp-{}", std::process::id());
        let ip = |words: &str| {
            let run = std::process::Command::new("ip").args(words.split(' ')).output();
            run.is_ok_and(|output| output.status.success())
        };
        if !ip(&format!("netns add {name}")) {
            return eprintln!(
                "SKIPPED: `ip netns add` is not allowed here (it takes root, and the Debian package iproute2)"
            );
        }
        let inside = |words: &str| ip(&format!("-n {name} {words}"));
        // A wire whose other end has no address: nobody answers when the host is asked for.
        let is_wired = ["link add here type veth peer name there", "address add 192.0.2.1/24 dev here"]
            .into_iter()
            .chain(["link set here up", "link set there up", "link set lo up"])
            .all(inside);
        let test = std::env::current_exe().unwrap();
        let mut run = std::process::Command::new("ip");
        run.args(["netns", "exec", &name]).arg(test).env(NAMESPACE, &name);
        let passed = is_wired.then(|| {
            run.args(["--exact", "relay::icmp::tests::inside_a_host_is_not_there", "--ignored"]).output().unwrap()
        });
        assert!(ip(&format!("netns delete {name}")));
        let Some(output) = passed else { return eprintln!("SKIPPED: there are no veth interfaces here") };
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && told.contains("1 passed"), "{told}");
    }

    /// Run by the test above, in a namespace of its own.
    #[test]
    #[ignore = "takes the namespace that another test makes"]
    fn inside_a_host_is_not_there() {
        if std::env::var_os(NAMESPACE).is_none() {
            return eprintln!("SKIPPED: no namespace");
        }
        let socket = UdpSocket::bind("192.0.2.1:0").unwrap();
        ask(&socket, false, true).unwrap();
        let nobody: SocketAddr = "192.0.2.7:4000".parse().unwrap();
        socket.send_to(b"x", nobody).unwrap();
        assert_eq!(wait(&socket), Some(Some((Complaint::Unreachable, nobody))));
    }
}
