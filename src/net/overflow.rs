//! What the kernel says of datagrams for which our sockets had no room.
//! Not here: when it is asked; the table has a line for each UDP socket of the machine, so that is no question for a busy thread.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Datagrams that came to these listeners and found their buffers full, since they were bound; 0 where the kernel does not say.
pub fn overflows(listeners: &[SocketAddr]) -> u64 {
    let tables = ["/proc/net/udp", "/proc/net/udp6"].into_iter().filter_map(|path| File::open(path).ok());
    tables.map(|table| sum(BufReader::new(table), listeners)).sum()
}

fn sum(table: impl BufRead, listeners: &[SocketAddr]) -> u64 {
    let lines = table.lines().map_while(Result::ok);
    lines.filter_map(|line| read(&line).filter(|(local, _)| listeners.contains(local))).map(|(_, drops)| drops).sum()
}

/// A socket's address and how many datagrams it has dropped (proc_net_udp: the second and the last column).
fn read(line: &str) -> Option<(SocketAddr, u64)> {
    let mut words = line.split_ascii_whitespace();
    let (ip, port) = words.nth(1)?.split_once(':')?;
    let local = SocketAddr::new(address(ip)?, u16::from_str_radix(port, 16).ok()?);
    Some((local, words.last()?.parse().ok()?))
}

/// An address as words of 32 bits, each printed as the machine has it in memory.
fn address(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| Some(u32::from_str_radix(hex.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    match hex.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let bytes = [word(0)?, word(8)?, word(16)?, word(24)?].concat();
            Some(Ipv6Addr::from(*bytes.first_chunk::<16>()?).into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    #[test]
    fn what_found_no_room_is_counted_for_our_own_socket_alone() {
        for any in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(ours) = UdpSocket::bind(any) else { continue };
            let (local, other) = (ours.local_addr().unwrap(), UdpSocket::bind(any).unwrap());
            assert_eq!(overflows(&[local]), 0, "{local}");
            socket2::SockRef::from(&ours).set_recv_buffer_size(4096).unwrap();
            let full = |_: &u32| overflows(&[local]) > 0;
            let sent = (0..1000).inspect(|_| _ = other.send_to(&[0; 1024], local)).find(full);
            assert!(sent.is_some(), "{local}: a buffer of four kilobytes takes no megabyte");
            assert_eq!(overflows(&[other.local_addr().unwrap()]), 0, "{local}");
        }
    }

    #[test]
    fn a_line_that_is_none_is_passed_over() {
        for line in
            ["", "  sl  local_address rem_address", "1: 0100007F:13C4", "1: 0100007:13C4 x 0", "1: 0100007F:13C4 x y"]
        {
            assert_eq!(read(line), None, "{line}");
        }
    }
}
